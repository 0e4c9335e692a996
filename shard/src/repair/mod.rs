//! Staying equal: replicas compare what they hold, and take over from each other what they lack (docs/design/repair.md).
//!
//! Every core looks for what *it* lacks: so of two replicas only the one that is behind moves anything. What a message may
//! lose, the next look finds again; nothing here outlives a restart, and nothing is sent twice by itself.
//!
//! Parts: `look` (comparing sums), `pull` (lists and copies of the slots that differ), `merge` (what of them is to be fetched;
//! pure), `tail` (copies in the order of the peers' logs), `serve` (questions of peers), `away` (their tails of this core's log), `copy` (copies in, entities settled), `pace` (how fast; pure), `load` (what clients leave of that; pure), `rejoin` (a learner
//! becomes a voter), `dropping` (tombstones that nobody needs go), `emptying` (tombstones in the
//! place of flushed values, where they cannot go).

mod away;
mod copy;
mod dropping;
mod emptying;
mod load;
mod look;
mod merge;
mod pace;
mod pull;
mod rejoin;
mod serve;
mod tail;

use std::collections::BTreeMap;

use paxos::{Ballot, Member, MemberSet};
use reactor::clock::Nanos;
use reactor::Disk;

use self::away::Away;
use self::dropping::Dropping;
use self::emptying::Emptying;
use self::load::Load;
use self::look::Look;
use self::pull::Job;
use self::rejoin::Coming;
use self::serve::Serving;
use self::tail::Tails;
use crate::core::{Shard, Status};
use crate::turn::Turn;
use crate::wire::{Counted, PeerMessage, RepairAnswer, RepairAsk, RepairAsked, RepairSaid, Sender};

pub(crate) use self::copy::{Settle, Why};
pub(crate) use self::dropping::DroppingRead;
pub use self::load::Burden;
pub(crate) use self::pace::Pace;
pub use self::pace::RepairRate;
pub(crate) use self::serve::ServingRead;

/// How far a core is with becoming equal to its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairProgress {
    /// The core votes for nothing until it has taken over what it lost.
    pub learner: bool,
    /// The last look found that every voter that can be talked to holds the same, and there is no work left from an earlier one.
    pub level: bool,
    /// Slots that are still to be gone through.
    pub slots_to_go: u64,
    /// Records still to be taken over, as far as they are known; an estimate for slots that were not listed yet.
    pub entities_behind: u64,
    /// Bytes of them.
    pub bytes_to_go: u64,
    /// Records taken over since the start.
    pub copied: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
    /// Entities that this core settled since the start because nobody could prove that their record was chosen.
    pub settled: u64,
}

/// The state of a core's repair.
#[derive(Debug)]
pub(crate) struct Repair {
    last_id: u32,
    coming: Coming,
    look: Look,
    /// Slots to be gone through, with the members that hold others.
    queue: BTreeMap<u16, MemberSet>,
    jobs: BTreeMap<u16, Job>,
    /// Which slot's job a question belongs to.
    asked: BTreeMap<u64, u16>,
    flight_bytes: u64,
    pace: Pace,
    /// When the buckets have something again.
    paced_until: Option<Nanos>,
    /// The log took no copies, and is given a moment.
    stalled_until: Nanos,
    serving: BTreeMap<u64, Serving>,
    last_serving: u64,
    reading: usize,
    /// Entities being settled.
    settling: usize,
    load: Load,
    level: bool,
    /// For all that is known, something is to be taken over: the last comparison with all members found it, or there was none.
    lacking: bool,
    /// The pass under way has found something to take over, or could not tell.
    pass_lacks: bool,
    dropping: Dropping,
    emptying: Emptying,
    seen: Seen,
    pass: Pass,
    tails: Option<Tails>,
    /// There were some already. A learner takes tails over once: its peers' logs go on, and only slots that are gone through bring it to an end.
    had_tails: bool,
    away: Away,
    copied: u64,
    copied_bytes: u64,
    settled: u64,
    /// `copied` at the end of the last pass, and how many passes since moved nothing.
    copied_before: u64,
    idle_passes: u32,
}

/// What the slots that were gone through since the core was last level came to, to estimate the others by.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    slots: u64,
    records: u64,
    bytes: u64,
}

/// What the slots that were listed since the last comparison came to.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    slots: u64,
    /// Records that are lacked.
    records: u64,
    /// The tails of the peers' logs were asked for.
    tails: bool,
}

impl Repair {
    /// Nothing known yet.
    pub fn new(rate: RepairRate) -> Repair {
        Repair {
            last_id: 0,
            coming: Coming::Voter,
            look: Look::Resting { at: 0 },
            queue: BTreeMap::new(),
            jobs: BTreeMap::new(),
            asked: BTreeMap::new(),
            flight_bytes: 0,
            pace: Pace::new(rate),
            paced_until: None,
            stalled_until: 0,
            serving: BTreeMap::new(),
            last_serving: 0,
            reading: 0,
            settling: 0,
            load: Load::default(),
            level: false,
            lacking: true,
            pass_lacks: true,
            dropping: Dropping::default(),
            emptying: Emptying::default(),
            seen: Seen::default(),
            pass: Pass::default(),
            tails: None,
            had_tails: false,
            away: Away::default(),
            copied: 0,
            copied_bytes: 0,
            settled: 0,
            copied_before: 0,
            idle_passes: 0,
        }
    }

    /// A command came in.
    pub fn note_command(&mut self) {
        self.load.note_command();
    }

    /// A flush epoch began.
    pub fn note_flush(&mut self, now: Nanos) {
        self.emptying.begin(now);
    }

    /// A majority answered a question of this core after so long.
    pub fn note_round(&mut self, now: Nanos, took: Nanos) {
        self.load.note_round(now, took);
    }

    /// When it wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        let jobs = self.jobs.values().map(Job::due).min();
        let look = self.look.due().filter(|_| self.coming.looks());
        let voter = matches!(self.coming, Coming::Voter);
        let dropping = voter.then(|| self.dropping.due());
        let emptying = self.emptying.due().filter(|_| voter);
        let tails = self.tails.as_ref().and_then(Tails::due);
        [look, jobs, tails, self.paced_until, self.coming.due(), dropping, emptying]
            .into_iter()
            .flatten()
            .min()
    }

    /// Slots, records and bytes still to be taken over.
    fn to_go(&self) -> (u64, u64, u64) {
        let slots = (self.queue.len() + self.jobs.len()) as u64;
        let (records, bytes) = self.jobs.values().fold((0, 0), |sum, job| {
            let left = job.left();
            (sum.0 + left.0, sum.1 + left.1)
        });
        let unseen = self.queue.len() as u64;
        let average = |sum: u64| sum.checked_div(self.seen.slots).unwrap_or(0) * unseen;
        let (taken, taken_bytes) =
            self.tails.as_ref().map_or((0, 0), |tails| (tails.taken, tails.taken_bytes));
        let records = (records + average(self.seen.records)).saturating_sub(taken);
        (slots, records, (bytes + average(self.seen.bytes)).saturating_sub(taken_bytes))
    }
}

impl<D: Disk> Shard<D> {
    /// The order-free sums of the records that are durable here, slot by slot over the slice. Replicas with the same sums hold
    /// the same ballots of the same keys, tombstones included. Walks through the slots: some ten microseconds.
    pub fn slot_sums(&self) -> impl Iterator<Item = (u16, u128)> + '_ {
        let (first, last) = self.config.slots();
        (first..=last).map(|slot| (slot, self.store.slot_summary(slot).sum))
    }

    /// Whether this core votes for nothing, because it lost what it had promised and has not taken it over again.
    pub fn is_learner(&self) -> bool {
        self.config.learner
    }

    /// How far this core is with becoming equal to its peers.
    pub fn repair_progress(&self) -> RepairProgress {
        let repair = &self.repair;
        let (slots_to_go, entities_behind, bytes_to_go) = repair.to_go();
        let slots_to_go = slots_to_go.max(self.slots_to_take_over());
        RepairProgress {
            learner: self.config.learner,
            level: repair.level && slots_to_go == 0,
            slots_to_go,
            entities_behind: entities_behind + self.groups_to_regain(),
            bytes_to_go,
            copied: repair.copied,
            copied_bytes: repair.copied_bytes,
            settled: repair.settled,
        }
    }

    /// Changes how fast repair may go.
    pub fn set_repair_rate(&mut self, rate: RepairRate) {
        self.config.repair = rate;
        self.repair.pace.set_rate(rate);
    }

    /// The voters that can be talked to, this one left out.
    fn voters_up(&self) -> Vec<Member> {
        let others = (0..self.members.count()).filter(|member| *member != self.config.me);
        others.filter(|member| self.peers_up[usize::from(*member)]).collect()
    }

    /// Whether commands are served, here or where copies come from.
    pub(crate) fn is_busy(&self, now: Nanos) -> bool {
        self.repair.load.is_busy(now)
    }

    /// The part of its rate that what runs in the background may use, in thousandths.
    pub(crate) fn background_share(&self, now: Nanos) -> u32 {
        self.repair.load.share(now)
    }

    /// Asks a member something; the question's id.
    fn ask_repair(&mut self, turn: &mut Turn<'_, D>, to: Member, asked: RepairAsked) -> u64 {
        self.repair.last_id = self.repair.last_id.wrapping_add(1);
        let id = u64::from(self.incarnation) << 32 | u64::from(self.repair.last_id);
        self.ask_repair_as(turn, to, id, asked);
        id
    }

    fn ask_repair_as(&mut self, turn: &mut Turn<'_, D>, to: Member, id: u64, asked: RepairAsked) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::RepairAsk(RepairAsk { id, asked }).encode(sender, out));
    }

    /// Answers a question.
    fn say_repair(&mut self, turn: &mut Turn<'_, D>, to: Member, id: u64, said: RepairSaid<'_>) {
        let (sender, floor, round) = (self.sender(), self.floor, self.round);
        let settled_below = self.own_settled_below();
        let counted = match said {
            // What these say was read from the directory in this very step.
            RepairSaid::Same | RepairSaid::Sums(_) | RepairSaid::Differ(_) | RepairSaid::Listed { .. } => {
                self.abreast.counted(to)
            }
            _ => Counted::default(),
        };
        let burden = self.repair.load.here(turn.clock.now);
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| {
            PeerMessage::RepairAnswer(RepairAnswer {
                id,
                burden,
                floor,
                round,
                settled_below,
                counted,
                said,
            })
            .encode(sender, out);
        });
    }

    /// An answer to one of this core's questions, or to one of an earlier life or look, which nobody waits for.
    pub(crate) fn on_repair_answer(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        answer: RepairAnswer<'_>,
    ) {
        if !self.see_round(answer.floor.round.max(answer.round)) {
            self.metrics.messages_refused += 1;
            return;
        }
        self.repair.load.note_peer(turn.clock.now, answer.burden);
        if answer.said == RepairSaid::Epoch {
            return self.on_epoch_told(turn, from, theirs.epoch, answer.id);
        }
        self.note_bounds(answer.floor, answer.round);
        self.take_watermark(from, theirs.incarnation, answer.settled_below);
        let counts = self.abreast.on_counted(from, theirs.incarnation, answer.counted);
        match answer.said {
            RepairSaid::Epoch => {}
            RepairSaid::Same => self.on_range(turn, (from, answer.id), counts, None),
            RepairSaid::Sums(sums) => self.on_range(turn, (from, answer.id), counts, Some(sums)),
            RepairSaid::Differ(slots) => self.on_differ(turn, (from, answer.id), counts, &slots),
            RepairSaid::Listed { entries, more } => {
                let counted = counts.then_some(answer.counted.subscription);
                self.on_listed(turn, (from, answer.id), counted, entries, more);
            }
            RepairSaid::Copies { taken, records } => {
                self.on_copies(turn, answer.id, usize::from(taken), &records);
            }
            RepairSaid::Tail { next, read, left, records } => {
                self.on_tail(turn, (from, answer.id), (next, read, left), &records);
            }
            RepairSaid::Consents(agreed) => self.on_consents(turn, from, answer.id, &agreed),
        }
    }

    /// What is due by the clock.
    pub(crate) fn repair_timers(&mut self, turn: &mut Turn<'_, D>) {
        if !self.repairs() {
            return self.repair_timers_alone(turn);
        }
        self.repair.load.look(turn.clock.now);
        self.rejoin_timers(turn);
        if self.repair.coming.looks() {
            self.look_timers(turn);
        }
        self.pull(turn);
        if matches!(self.repair.coming, Coming::Voter) && !self.config.learner {
            self.drop_timers(turn);
            self.empty_timers(turn);
        }
    }

    /// As [`Shard::repair_timers`], for a host that has no others: it drops nothing, and what is flushed gives way.
    fn repair_timers_alone(&mut self, turn: &mut Turn<'_, D>) {
        if self.status == Status::Ready && !self.config.learner {
            self.repair.load.look(turn.clock.now);
            self.empty_timers(turn);
        }
    }

    /// A member cannot be talked to any more, or the epoch changed: what rests on answers of before is void, and what was compared
    /// may be so no more.
    pub(crate) fn void_comparison(&mut self) {
        self.repair.lacking = true;
    }

    /// When repair wants a turn.
    pub(crate) fn repair_deadline(&self) -> Option<Nanos> {
        match self.repairs() {
            true => self.repair.deadline(),
            false => self.repair.emptying.due().filter(|_| self.status == Status::Ready),
        }
    }

    /// Whether there is anybody to be equal to, and anything to be it with.
    fn repairs(&self) -> bool {
        self.status == Status::Ready && self.members.count() > 1
    }

    /// The storage failed: repair has come to its end.
    pub(crate) fn fail_repair(&mut self) {
        self.repair = Repair::new(self.config.repair);
    }

    /// A ballot is at or below the floor: an entity that holds nothing refuses it.
    fn is_below_floor(&self, ballot: Ballot) -> bool {
        ballot <= self.floor
    }
}
