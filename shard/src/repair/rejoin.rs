//! A learner takes over what it lost, and is a voter again (docs/design/repair.md section 4; modelled in `paxos/tests/rejoin.rs`).
//!
//! It asks enough voters for their epochs and takes one above; under that one it goes through its slots until, for each of them, so
//! many voters hold nothing that is not here that every majority has one of them. Only records that are proven chosen are taken
//! over, so that they may count as votes. Then its role, the highest floor it heard of, and an incarnation of this epoch's own
//! range are written behind all the copies; when they are durable, so are those. Log groups want their rows, too (`group/regain.rs`).
//!
//! What its former life promised is lost, and binds it all the same: a proposer that has not heard of the epoch may hold such a promise, and
//! an entry that it accepted alone. At least one other member of the majority that made that promise is among those who answered, and
//! its round counter was not below it. So the new life votes for nothing up to the highest of these counters, its *bar*.

use std::collections::BTreeMap;

use paxos::{Ballot, Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::{Look, Repair};
use crate::core::{meta, Shard};
use crate::forward::Forwards;
use crate::limits::{EPOCH_MAX, REJOIN_NS, STARTS_BITS};
use crate::turn::Turn;
use crate::wire::bytes::put_ballot;
use crate::wire::RepairAsked;

/// How far a learner is.
#[derive(Debug)]
pub(super) enum Coming {
    /// It is none.
    Voter,
    /// Voters are asked for their epochs, by one question whose id is drawn: what is old and answers a former life bears another.
    Epochs { question: u64, told: BTreeMap<Member, u32>, at: Nanos },
    /// What was lost is taken over: for each slot, who holds nothing that is not here.
    Slots { first: u16, level_with: Vec<MemberSet>, floor: Ballot, bar: u64, at: Nanos },
    /// The new role is being made durable.
    Saving { lsn: bitcask::Lsn, incarnation: u32, floor: Ballot, bar: u64 },
}

impl Coming {
    /// When it goes on by itself.
    pub fn due(&self) -> Option<Nanos> {
        match self {
            Coming::Epochs { at, .. } | Coming::Slots { at, .. } => Some(*at),
            Coming::Voter | Coming::Saving { .. } => None,
        }
    }

    /// Whether sums are to be compared: voters always do, a learner while it takes over.
    pub fn looks(&self) -> bool {
        matches!(self, Coming::Voter | Coming::Slots { .. })
    }

    /// Whether slots are being taken over.
    pub fn takes_over(&self) -> bool {
        matches!(self, Coming::Slots { .. })
    }

    /// A member holds nothing of a slot that is not here.
    pub fn note_level(&mut self, slot: u16, member: Member) {
        let Coming::Slots { first, level_with, .. } = self else { return };
        if let Some(set) = slot.checked_sub(*first).and_then(|at| level_with.get_mut(usize::from(at))) {
            set.insert(member);
        }
    }

    /// How many of the members with a slot level are known.
    fn count(&self, slot: u16) -> u8 {
        let Coming::Slots { first, level_with, .. } = self else { return 0 };
        let set = slot.checked_sub(*first).and_then(|at| level_with.get(usize::from(at)));
        set.map_or(0, |set| set.count())
    }
}

impl<D: Disk> Shard<D> {
    /// How many voters hold, between them, whatever was chosen: any majority has one of so many others.
    fn sources_needed(&self) -> u8 {
        if planted(141) {
            return 1;
        }
        self.members.count() - self.members.majority() + 1
    }

    /// Whether a learner is done with a slot. A voter never is.
    pub(super) fn is_taken_over(&self, slot: u16) -> bool {
        self.config.learner && self.repair.coming.count(slot) >= self.sources_needed()
    }

    /// Slots that a learner has not taken over.
    pub(super) fn slots_to_take_over(&self) -> u64 {
        let (first, last) = self.config.slots();
        match self.config.learner {
            true => (first..=last).filter(|slot| !self.is_taken_over(*slot)).count() as u64,
            false => 0,
        }
    }

    pub(super) fn rejoin_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        match &mut self.repair.coming {
            Coming::Voter if self.config.learner => {
                let question = self.rng.next_u64();
                self.repair.coming = Coming::Epochs { question, told: BTreeMap::new(), at: now };
            }
            Coming::Epochs { question, at, .. } if *at <= now => {
                *at = now + REJOIN_NS;
                let question = *question;
                for member in self.voters_up() {
                    self.ask_repair_as(turn, member, question, RepairAsked::Epoch);
                }
            }
            Coming::Slots { at, .. } if *at <= now => {
                *at = now + REJOIN_NS;
                if self.slots_to_take_over() == 0 && self.has_regained() || planted(137) {
                    self.save_role();
                }
            }
            _ => {}
        }
    }

    /// A voter's epoch, as it was when it was asked this question.
    pub(super) fn on_epoch_told(&mut self, turn: &mut Turn<'_, D>, from: Member, epoch: u32, id: u64) {
        let needed = usize::from(self.sources_needed());
        let Coming::Epochs { question, told, .. } = &mut self.repair.coming else { return };
        if *question != id {
            return;
        }
        told.insert(from, epoch);
        if told.len() < needed {
            return;
        }
        // Above all that its former life was ever in: whichever voters knew of that epoch, one of them has answered.
        let next = told.values().copied().fold(self.epoch, u32::max).saturating_add(1);
        if next > EPOCH_MAX {
            return;
        }
        self.take_epoch(turn, next);
        if self.epoch != next {
            return;
        }
        let (first, last) = self.config.slots();
        let level_with = vec![MemberSet::EMPTY; usize::from(last - first) + 1];
        let at = turn.clock.now + REJOIN_NS;
        self.repair.coming = Coming::Slots { first, level_with, floor: Ballot::ZERO, bar: 0, at };
        self.repair.look = Look::Resting { at: turn.clock.now };
    }

    /// The floor and the round counter of a voter, as of an answer under the present epoch.
    pub(super) fn note_bounds(&mut self, theirs: Ballot, round: u64) {
        if let Coming::Slots { floor, bar, .. } = &mut self.repair.coming {
            (*floor, *bar) = (theirs.max(*floor), round.max(*bar));
        }
    }

    /// Everything is here, durable or on its way to the log: the new role goes behind it.
    fn save_role(&mut self) {
        let Coming::Slots { floor, bar, .. } = self.repair.coming else { return };
        let range = (self.epoch - 1) << STARTS_BITS;
        let incarnation = (self.incarnation + 1).max(if planted(164) { 0 } else { range + 1 });
        let mut bytes = Vec::with_capacity(16);
        put_ballot(&mut bytes, floor);
        let written = self
            .store
            .append_meta(meta::FLOOR, &bytes)
            .and_then(|_| self.store.append_meta(meta::BAR, &bar.to_le_bytes()))
            .and_then(|_| self.store.append_meta(meta::INCARNATION, &incarnation.to_le_bytes()))
            .and_then(|_| self.store.append_meta(meta::ROLE, &[meta::VOTER]));
        // What the log does not take now it takes at the next try.
        if let Ok(lsn) = written {
            self.repair.coming = Coming::Saving { lsn, incarnation, floor, bar };
        }
    }

    /// Records up to this one are durable.
    pub(crate) fn on_role_persisted(&mut self, turn: &mut Turn<'_, D>, lsn: bitcask::Lsn) {
        let Coming::Saving { lsn: own, incarnation, floor, bar } = self.repair.coming else { return };
        if own > lsn {
            return;
        }
        assert!(incarnation > self.incarnation, "a new life has an incarnation of its own");
        self.config.learner = false;
        self.incarnation = incarnation;
        (self.floor, self.bar) = (floor, bar);
        self.round = self.round.max(floor.round).max(bar);
        self.fast_above = self.round;
        let handed_over = std::mem::take(&mut self.forwards);
        self.former = Some(handed_over).filter(|former| !former.travelling.is_empty());
        self.forwards = Forwards::default();
        self.repair = Repair::new(self.config.repair);
        self.abreast.begin(incarnation);
        self.ranges.void();
        self.end_regaining();
        self.begin_waits();
        self.note_start();
        self.greet(turn);
        self.look_soon(turn.clock.now);
    }
}
