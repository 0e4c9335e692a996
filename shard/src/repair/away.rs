//! What others lack of this core's log: since when each member was away, as far as this core can tell, and stretches of the log for
//! those that ask for their tails. Between two questions nothing is kept.

use std::collections::BTreeMap;

use bitcask::{LogEnd, LogPlace, Stretch, Stretched, Ticket};
use paxos::{Member, MemberSet, Members};
use reactor::Disk;

use crate::config::node_of;
use crate::core::{ballot_of, Shard};
use crate::limits::{REPAIR_TAIL_BYTES, REPAIR_TAIL_BYTES_BUSY, REPAIR_TAIL_READS_MAX};
use crate::turn::Turn;
use crate::wire::{Copied, RepairSaid};

/// How many of the slots that a member asks about may differ, one in so many, for it to lack little.
const LITTLE: usize = 16;

/// How long one member was away, as places in this core's log.
#[derive(Clone, Copy, Debug, Default)]
struct Absence {
    /// Where the log ended when the member was lost. None: it was level since.
    since: Option<LogPlace>,
    /// Where it ended when the member was there again, or as a learner asked for the first time.
    until: Option<LogEnd>,
}

/// A stretch that is being read for a member.
#[derive(Clone, Copy, Debug)]
struct TailRead {
    to: Member,
    question: u64,
    among: MemberSet,
}

/// What this core knows of what others lack.
#[derive(Debug, Default)]
pub(super) struct Away {
    absences: [Absence; Members::MAX as usize],
    reads: BTreeMap<Ticket, TailRead>,
}

impl Away {
    fn absence(&mut self, member: Member) -> &mut Absence {
        &mut self.absences[usize::from(member)]
    }

    /// Of so many slots that a member asked about, so many differ.
    pub fn note_compared(&mut self, member: Member, asked: usize, differ: usize) {
        if differ * LITTLE <= asked {
            *self.absence(member) = Absence::default();
        }
    }
}

impl<D: Disk> Shard<D> {
    /// This core begins to serve, or to vote: of what its log holds so far it knows nothing to be chosen, or others have it.
    pub(crate) fn note_start(&mut self) {
        let end = self.store.log_end();
        for (member, up) in (0..).zip(&self.links_up) {
            let until = up.then_some(LogEnd { newest: u32::MAX, ..end });
            *self.repair.away.absence(member) = Absence { since: Some(end.place), until };
        }
    }

    /// A link comes up or goes down.
    pub(crate) fn note_away(&mut self, member: Member, up: bool) {
        let end = self.store.log_end();
        let absence = self.repair.away.absence(member);
        // What merge copies from now on is mostly what the member has: it leaps over that.
        absence.until = up.then_some(LogEnd { newest: u32::MAX, ..end });
        if !up {
            absence.since.get_or_insert(end.place);
        }
    }

    /// A member wants to know what it lacks of this core's log. While too much of that is under way it gets no answer, and asks again.
    pub(super) fn start_tail(
        &mut self,
        turn: &mut Turn<'_, D>,
        (to, question): (Member, u64),
        from: Option<LogPlace>,
        bytes: u32,
        among: MemberSet,
    ) {
        if self.repair.away.reads.len() >= REPAIR_TAIL_READS_MAX {
            return;
        }
        let end = self.store.log_end();
        let learner = self.learners[usize::from(to)];
        let absence = self.repair.away.absence(to);
        if learner && from.is_none() {
            // It lacks everything, and what is written now does not reach it either: were the end not this one, there might be none.
            *absence = Absence { since: Some(LogPlace::default()), until: Some(end) };
        }
        let (from, until) = (from.or(absence.since), absence.until.unwrap_or(end));
        let busy = self.is_busy(turn.clock.now);
        let most = if busy { REPAIR_TAIL_BYTES_BUSY } else { REPAIR_TAIL_BYTES };
        let bytes = bytes.min(most) as usize;
        match from.and_then(|from| self.store.read_stretch(turn.disk, (from, until), bytes)) {
            Some(ticket) => drop(self.repair.away.reads.insert(ticket, TailRead { to, question, among })),
            None => self.say_repair(
                turn,
                to,
                question,
                RepairSaid::Tail { next: None, read: 0, left: 0, records: vec![] },
            ),
        }
    }

    /// A stretch was read.
    pub(crate) fn on_stretch(&mut self, turn: &mut Turn<'_, D>, ticket: Ticket, stretch: &Stretch) {
        let Some(TailRead { to, question, among }) = self.repair.away.reads.remove(&ticket) else { return };
        let proposed = |(node, count): (&u32, &u32)| match self.proposer(*node, among) {
            Some(member) if member != self.config.me => *count,
            _ => 0,
        };
        let mut left: u32 = stretch.unmarked.iter().map(proposed).sum();
        let (mut records, me) = (Vec::new(), Some(self.config.me));
        for stretched in stretch.records() {
            match stretched {
                Stretched::Whole(record) if self.sends(record.stamp.node, record.slot, among) == me => {
                    let bitcask::Record { key, stamp, body, .. } = record;
                    records.push(Copied { key, ballot: ballot_of(stamp), entry: body });
                }
                // What the key has is more than what is here: the next comparison brings it.
                Stretched::Whole(_) | Stretched::Delta(..) => left += 1,
            }
        }
        let read = u32::try_from(stretch.read).unwrap_or(u32::MAX);
        let said = RepairSaid::Tail { next: Some(stretch.next), read, left, records };
        self.say_repair(turn, to, question, said);
    }

    /// Which of the members that are asked for their tails sends a record: who proposed it knows best that it is chosen; of others' each
    /// sends a part.
    fn sends(&self, node: u32, slot: u16, among: MemberSet) -> Option<Member> {
        let mut asked = (0..self.members.count()).filter(|member| among.contains(*member));
        let part = usize::from(slot) % usize::from(among.count().max(1));
        self.proposer(node, among).or_else(|| asked.nth(part))
    }

    /// Which of them it is that proposes by this number.
    fn proposer(&self, node: u32, among: MemberSet) -> Option<Member> {
        let hosts = (0..).zip(&self.config.hosts);
        let mut asked = hosts.filter(|(member, _)| among.contains(*member));
        asked.find(|(_, host)| node_of(**host, self.config.slice) == node).map(|(member, _)| member)
    }
}
