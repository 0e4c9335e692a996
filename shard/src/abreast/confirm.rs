//! Reads that wait for a Confirm, and Confirms that are out.
//!
//! A read that finds its key clean waits, without an entity; at the end of the turn one Confirm leaves for all that wait, to as many members
//! as make a majority with this core. When they have answered, each read is looked at again: a key that is clean still, of a slot that is
//! abreast with them, is served from the own record. Any other read becomes an agreed read, and so does one that was not answered in
//! time. Whom to ask, how long to wait, and whom to ask then is the matter of [`crate::readers`], as for agreed reads.
//!
//! Invariant: what clients of one connection ask of a key takes effect in the order in which it was asked. So an answer to one Confirm counts for
//! those before it too, which are decided first, and whatever else comes for the key of a read that waits finds that read in the
//! key's queue before it.

use std::collections::VecDeque;
use std::mem;

use bitcask::{Fingerprint, FingerprintHasher, KeyRef};
use hashbrown::HashMap;
use paxos::{Ballot, Member, MemberSet, Members};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::Noted;
use crate::core::{ballot_of, Shard};
use crate::entity::{Asked, Queued};
use crate::error::{self, Fault};
use crate::held::Held;
use crate::limits::{CONFIRMS_MAX, CONFIRM_LISTS_KEPT, READ_PATIENCE_NS_MIN, RESEND_NS};
use crate::objects::Cached;
use crate::turn::Turn;
use crate::wire::{Confirm, Confirmed, Counted, PeerMessage, Sender, Told};

/// A read that waits.
#[derive(Debug)]
struct Waiting {
    reference: KeyRef,
    /// The own record when the read came, and its bytes: the key was clean. Zero: there was none.
    ballot: Ballot,
    body: Option<Held>,
    queued: Queued,
}

/// A Confirm that is out.
#[derive(Debug)]
struct Out {
    id: u64,
    reads: Vec<Waiting>,
    /// Who was asked, who has answered so that it counts, and who will not.
    to: MemberSet,
    answered: MemberSet,
    strange: MemberSet,
    asked: Asked,
    since: Nanos,
    /// When it goes on without those who did not answer.
    wake: Nanos,
}

/// What waits and what is out.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    waiting: Vec<Waiting>,
    out: VecDeque<Out>,
    /// How many reads of each key wait, or are out.
    keys: HashMap<Fingerprint, u32, FingerprintHasher>,
    number: u32,
    /// Whom the next Confirm will ask, as far as it is known in this turn. None: it was not looked at.
    few: Option<Option<MemberSet>>,
    spare: Vec<Vec<Waiting>>,
}

impl Confirms {
    /// When it wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        if !self.waiting.is_empty() && self.out.len() < CONFIRMS_MAX {
            return Some(0);
        }
        self.out.iter().map(|out| out.wake).min()
    }

    fn release(&mut self, fingerprint: Fingerprint) {
        let count = self.keys.get_mut(&fingerprint).expect("a read that waits is counted");
        *count -= 1;
        if *count == 0 {
            self.keys.remove(&fingerprint);
        }
    }

    /// All that wait and are out, in their order.
    fn take_all(&mut self) -> Vec<Waiting> {
        self.keys.clear();
        let mut reads: Vec<Waiting> = self.out.drain(..).flat_map(|out| out.reads).collect();
        reads.append(&mut self.waiting);
        reads
    }

    /// Those of one key, in their order.
    fn take(&mut self, fingerprint: Fingerprint) -> Vec<Waiting> {
        if self.keys.is_empty() || self.keys.remove(&fingerprint).is_none() {
            return Vec::new();
        }
        let lists = self.out.iter_mut().map(|out| &mut out.reads).chain([&mut self.waiting]);
        lists.flat_map(|list| list.extract_if(.., |read| read.reference.1 == fingerprint)).collect()
    }

    fn keep(&mut self, list: Vec<Waiting>) {
        if self.spare.len() < CONFIRM_LISTS_KEPT {
            self.spare.push(list);
        }
    }
}

impl<D: Disk> Shard<D> {
    // ---- in ----

    /// Has a command wait for the next Confirm, if it is a read that one may serve; else it comes back.
    pub(crate) fn await_confirm(
        &mut self,
        turn: &Turn<'_, D>,
        reference: KeyRef,
        queued: Queued,
    ) -> Option<Queued> {
        if !queued.command.is_read() || queued.deadline <= turn.clock.now {
            return Some(queued);
        }
        let Some(few) = self.whom_to_confirm() else { return Some(queued) };
        if self.abreast_of(few, reference.0) < self.confirms_needed() {
            return Some(queued);
        }
        let key = queued.command.key().unwrap_or_default();
        let Some((ballot, body)) = self.clean_record(reference, key) else { return Some(queued) };
        let confirms = &mut self.abreast.confirms;
        *confirms.keys.entry(reference.1).or_default() += 1;
        confirms.waiting.push(Waiting { reference, ballot, body, queued });
        None
    }

    /// Something comes for a key that no Confirm can serve: reads of the key that wait go before it.
    pub(crate) fn let_reads_pass(&mut self, turn: &mut Turn<'_, D>, reference: KeyRef) {
        for read in self.abreast.confirms.take(reference.1) {
            self.agree(turn, read);
        }
    }

    /// Whom a Confirm would ask now. None: too few are abreast at all.
    fn whom_to_confirm(&mut self) -> Option<MemberSet> {
        if let Some(few) = self.abreast.confirms.few {
            return few;
        }
        let few = self.readers.choose(&self.reachable_and_begun());
        self.abreast.confirms.few = Some(few);
        few
    }

    /// Which members can be asked.
    fn reachable_and_begun(&self) -> Vec<bool> {
        let asker = &self.abreast.asker;
        (0..).zip(&self.peers_up).map(|(member, up)| *up && asker.has_begun(member)).collect()
    }

    /// How many others must confirm.
    fn confirms_needed(&self) -> u8 {
        self.members.majority() - 1 - u8::from(planted(175) && self.members.majority() > 2)
    }

    /// With how many of these members a slot is abreast.
    fn abreast_of(&self, members: MemberSet, slot: u16) -> u8 {
        let asker = &self.abreast.asker;
        let abreast = |member: &Member| members.contains(*member) && asker.is_abreast(*member, slot);
        (0..self.members.count()).filter(abreast).count() as u8
    }

    /// The newest record of a key that is clean: its ballot and bytes, or zero and none. None: it is not clean, or not at hand.
    fn clean_record(&mut self, reference: KeyRef, key: &[u8]) -> Option<(Ballot, Option<Held>)> {
        let under_way = self.places.contains_key(&reference.1) || self.removing.contains(&reference.1);
        if under_way {
            return None;
        }
        let (ballot, body) = match self.cached(reference, key) {
            Cached::Absent => (Ballot::ZERO, None),
            Cached::Here(entry, held) if entry.marked || planted(171) => (ballot_of(entry.stamp), Some(held)),
            Cached::Here(..) | Cached::Elsewhere => return None,
        };
        (self.abreast.asker.need(reference.1) <= ballot).then_some((ballot, body))
    }

    // ---- out ----

    /// One Confirm for all that wait.
    pub(crate) fn ask_confirms(&mut self, turn: &mut Turn<'_, D>) {
        self.confirm_timers(turn);
        if !self.abreast.confirms.waiting.is_empty() && self.abreast.confirms.out.len() < CONFIRMS_MAX {
            self.ask_confirm(turn);
        }
        self.abreast.confirms.few = None;
    }

    fn ask_confirm(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        let up = self.reachable_and_begun();
        let few = self.readers.choose(&up);
        let confirms = &mut self.abreast.confirms;
        let spare = confirms.spare.pop().unwrap_or_default();
        let reads = mem::replace(&mut confirms.waiting, spare);
        let Some(few) = few else {
            self.agree_all(turn, reads);
            return;
        };
        if few.count() == 0 {
            // Of one member: what it knows to be chosen is the newest that there is.
            self.serve_reads(turn, reads, few);
            return;
        }
        confirms.number = confirms.number.wrapping_add(1);
        let id = u64::from(self.incarnation) << 32 | u64::from(confirms.number);
        let race = self.readers.is_race(confirms.number);
        let to = if race { set_of(&up, |_| true) } else { few };
        let (asked, patience) =
            if race { (Asked::Race, RESEND_NS) } else { (Asked::Few, self.readers.patience()) };
        let (answered, strange) = (MemberSet::EMPTY, MemberSet::EMPTY);
        let wake = wake_by(now + patience, &reads);
        let out = Out { id, reads, to, answered, strange, asked, since: now, wake };
        self.abreast.confirms.out.push_back(out);
        self.metrics.confirms += 1;
        self.metrics.peer_round_trips += 1;
        self.say_confirm(turn, id, to);
    }

    fn say_confirm(&mut self, turn: &mut Turn<'_, D>, id: u64, to: MemberSet) {
        let sender = self.sender();
        for member in (0..self.members.count()).filter(|member| to.contains(*member)) {
            let Some((place, incarnation)) = self.abreast.asker.place(member) else { continue };
            self.metrics.messages_out += 1;
            let confirm = Confirm { id, place, incarnation };
            turn.effects.message(member, |out| PeerMessage::Confirm(confirm).encode(sender, out));
        }
    }

    /// A member asks what was counted for it.
    pub(crate) fn on_confirm(&mut self, turn: &mut Turn<'_, D>, from: Member, asked: &Confirm) {
        let told = self.told_to(from, (asked.place, asked.incarnation));
        let confirmed = Confirmed { id: asked.id, told };
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(from, |out| PeerMessage::Confirmed(confirmed).encode(sender, out));
    }

    /// What was counted for a member since a place.
    pub(crate) fn told_to(&self, member: Member, place: (Counted, u32)) -> Told {
        self.abreast.counters.told(member, self.incarnation, place)
    }

    /// A member tells what it has counted.
    pub(crate) fn on_confirmed(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        answer: &Confirmed,
    ) {
        let noted = self.note_told(from, theirs, &answer.told);
        // What was asked before is answered by that as well, whomever it asked.
        for out in self.abreast.confirms.out.iter_mut().filter(|out| out.id <= answer.id || planted(172)) {
            let set = if noted == Noted::Told { &mut out.answered } else { &mut out.strange };
            set.insert(from);
        }
        self.decide_confirms(turn, from);
    }

    /// Takes note of what a member has counted.
    pub(crate) fn note_told(&mut self, from: Member, theirs: Sender, told: &Told) -> Noted {
        let noted = self.abreast.asker.on_told(from, theirs.incarnation, told);
        match noted {
            Noted::Told => self.metrics.votes_told += told.records.as_ref().map_or(0, Vec::len) as u64,
            Noted::Stranger => self.metrics.confirms_strange += 1,
            Noted::Lost => self.metrics.counts_lost += 1,
        }
        noted
    }

    /// Serves what enough members have answered, in order, and gives up what those who were asked cannot decide any more.
    fn decide_confirms(&mut self, turn: &mut Turn<'_, D>, last: Member) {
        let needed = self.confirms_needed();
        while let Some(out) = self.abreast.confirms.out.pop_front_if(|out| out.answered.count() >= needed) {
            self.serve_all(turn, out, last);
        }
        let may_answer = |out: &Out, member: Member| {
            out.answered.contains(member) || out.to.contains(member) && !out.strange.contains(member)
        };
        let hopeless =
            |out: &Out| ((0..Members::MAX).filter(|member| may_answer(out, *member)).count() as u8) < needed;
        if let Some(last) = self.abreast.confirms.out.iter().rposition(hopeless) {
            self.give_up_confirms(turn, last);
        }
    }

    /// Reads of the Confirms up to this one are agreed. Those of earlier ones, too, because they come first.
    fn give_up_confirms(&mut self, turn: &mut Turn<'_, D>, last: usize) {
        for _ in 0..=last {
            let Some(out) = self.abreast.confirms.out.pop_front() else { return };
            self.agree_all(turn, out.reads);
        }
    }

    fn serve_all(&mut self, turn: &mut Turn<'_, D>, out: Out, last: Member) {
        let Out { reads, answered, asked, since, .. } = out;
        self.repair.note_round(turn.clock.now, turn.clock.now - since);
        match asked {
            Asked::Few => self.readers.on_answer(turn.clock.now - since),
            Asked::Race => self.readers.on_decided(turn.clock.now, last),
            Asked::All => {}
        }
        self.serve_reads(turn, reads, answered);
    }

    fn serve_reads(&mut self, turn: &mut Turn<'_, D>, mut reads: Vec<Waiting>, answered: MemberSet) {
        for read in reads.drain(..) {
            self.abreast.confirms.release(read.reference.1);
            self.serve(turn, read, answered);
        }
        self.abreast.confirms.keep(reads);
    }

    /// Serves a confirmed read from the own record as it is now, or has it agreed.
    fn serve(&mut self, turn: &mut Turn<'_, D>, read: Waiting, answered: MemberSet) {
        let Waiting { reference, ballot, body, queued } = read;
        let abreast = self.abreast_of(answered, reference.0) >= self.confirms_needed();
        let Some(body) = self.still_clean(reference, &queued, ballot, body).filter(|_| abreast) else {
            return self.agree_now(turn, reference, queued);
        };
        let Some(reply) = self.run_read(turn, &queued, body.as_ref()) else {
            return self.agree_now(turn, reference, queued);
        };
        self.metrics.confirmed_commands += 1;
        self.metrics.confirmed_absent += u64::from(body.is_none());
        match reply {
            Some(reply) => self.answer(turn, queued, reply),
            None => self.release(&queued),
        }
    }

    /// The bytes of a clean key's record, mostly those that were at hand when the read came.
    fn still_clean(
        &mut self,
        reference: KeyRef,
        queued: &Queued,
        ballot: Ballot,
        body: Option<Held>,
    ) -> Option<Option<Held>> {
        if self.places.contains_key(&reference.1) || self.removing.contains(&reference.1) {
            return None;
        }
        let entry = self.store.info_as(reference).entry;
        let now = entry.map_or(Ballot::ZERO, |entry| ballot_of(entry.stamp));
        let marked = entry.is_none_or(|entry| entry.marked || planted(171));
        if now == ballot && marked {
            return (self.abreast.asker.need(reference.1) <= ballot).then_some(body);
        }
        let key = queued.command.key().unwrap_or_default();
        self.clean_record(reference, key).map(|(_, body)| body)
    }

    // ---- what no Confirm serves ----

    fn agree_all(&mut self, turn: &mut Turn<'_, D>, mut reads: Vec<Waiting>) {
        for read in reads.drain(..) {
            self.abreast.confirms.release(read.reference.1);
            self.agree(turn, read);
        }
        self.abreast.confirms.keep(reads);
    }

    fn agree(&mut self, turn: &mut Turn<'_, D>, read: Waiting) {
        self.agree_now(turn, read.reference, read.queued);
    }

    /// A read that waited goes the way of all that no Confirm serves.
    fn agree_now(&mut self, turn: &mut Turn<'_, D>, reference: KeyRef, queued: Queued) {
        self.metrics.unconfirmed_commands += 1;
        self.enqueue_as(turn, reference, queued);
    }

    /// What was not answered in time: the others are asked; what they do not answer either is agreed.
    fn confirm_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        while let Some(late) = self.abreast.confirms.out.iter().position(|out| out.wake <= now) {
            let up = self.reachable_and_begun();
            let Some(out) = self.abreast.confirms.out.get_mut(late) else { return };
            let asked_before = out.to;
            let rest = set_of(&up, |member| !asked_before.contains(member));
            let hurries = out.reads.iter().any(|read| read.queued.deadline <= now);
            let few = out.asked == Asked::Few;
            if few && now >= out.since + self.readers.patience() {
                self.readers.on_late(now, out.since);
                self.metrics.confirms_late += 1;
            }
            if few && !hurries && rest.count() > 0 {
                (out.asked, out.to) = (Asked::Race, out.to.union(rest));
                // Where this turn itself comes late, they get a moment nevertheless.
                out.wake = wake_by((out.since + RESEND_NS).max(now + READ_PATIENCE_NS_MIN), &out.reads);
                let id = out.id;
                self.metrics.resends += 1;
                self.say_confirm(turn, id, rest);
                continue;
            }
            self.give_up_confirms(turn, late);
        }
    }

    /// What was compared counts no more, and reads that wait for it are agreed.
    pub(crate) fn void_confirms(&mut self, turn: &mut Turn<'_, D>) {
        self.abreast.asker.begin_anew_with_all();
        self.ask_confirms_anew(turn);
    }

    /// What was asked so far counts no more: reads that wait for it are agreed.
    pub(crate) fn ask_confirms_anew(&mut self, turn: &mut Turn<'_, D>) {
        for read in self.abreast.confirms.take_all() {
            self.agree(turn, read);
        }
    }

    /// The storage failed: whoever waits is told.
    pub(crate) fn fail_confirms(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        for read in self.abreast.confirms.take_all() {
            self.answer(turn, read.queued, error::failed(fault, false));
        }
    }
}

/// Of the members that are `up`, those that are `wanted`.
fn set_of(up: &[bool], wanted: impl Fn(Member) -> bool) -> MemberSet {
    let members = (0..).zip(up).filter(|(member, up)| **up && wanted(*member));
    members.fold(MemberSet::EMPTY, |mut set, (member, _)| {
        set.insert(member);
        set
    })
}

/// This time, or the earliest deadline of these reads if that is sooner.
fn wake_by(at: Nanos, reads: &[Waiting]) -> Nanos {
    reads.iter().map(|read| read.queued.deadline).min().map_or(at, |deadline| deadline.min(at))
}
