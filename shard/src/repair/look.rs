//! Looking for differences: sums of ranges first, then once more of the slots that differed, because writes under way make slots
//! differ for a moment.

use std::collections::BTreeMap;

use paxos::{Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::{Pass, Seen};
use crate::core::Shard;
use crate::limits::{
    MS, RANGE_SLOTS_MAX, REPAIR_ANSWER_NS, REPAIR_LOOK_BUSY_NS, REPAIR_LOOK_NS, REPAIR_LOOK_NS_MAX,
    REPAIR_SECOND_LOOK_NS,
};
use crate::turn::Turn;
use crate::wire::RepairAsked;

/// Where a comparison stands.
#[derive(Debug)]
pub(super) enum Look {
    /// The next one begins at a time.
    Resting { at: Nanos },
    /// The sums of ranges are asked for: the first slot by question.
    First { until: Nanos, asked: BTreeMap<u64, (Member, u16)>, differing: BTreeMap<u16, MemberSet> },
    /// Differences are given time to go away by themselves.
    Waiting { at: Nanos, differing: BTreeMap<u16, MemberSet> },
    /// The slots that differed are asked for again.
    Second { until: Nanos, asked: BTreeMap<u64, (Member, Vec<u16>)>, differing: BTreeMap<u16, MemberSet> },
    /// Differing slots are gone through; when that is over one looks again.
    Working,
}

impl Look {
    /// When it goes on by itself.
    pub fn due(&self) -> Option<Nanos> {
        match self {
            Look::Resting { at } | Look::Waiting { at, .. } => Some(*at),
            Look::First { until, .. } | Look::Second { until, .. } => Some(*until),
            Look::Working => None,
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Looks soon: a link came up, say.
    pub(crate) fn look_soon(&mut self, now: Nanos) {
        if let Look::Resting { at } = &mut self.repair.look {
            *at = (*at).min(now + 10 * MS);
        }
        self.repair.idle_passes = 0;
    }

    pub(super) fn look_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        let repair = &self.repair;
        let over = repair.jobs.is_empty() && repair.queue.is_empty() && repair.tails.is_none();
        match &mut self.repair.look {
            Look::Resting { at } if *at <= now => self.first_look(turn),
            Look::First { until, .. } if *until <= now => self.end_first_look(turn),
            Look::Waiting { at, differing } if *at <= now => {
                let differing = std::mem::take(differing);
                self.second_look(turn, differing);
            }
            Look::Second { until, .. } if *until <= now => self.end_second_look(turn),
            Look::Working if over => self.look_again(now),
            _ => {}
        }
    }

    /// All that differed was gone through. Where that moved something, more may have come to differ; where it did not, it is for
    /// others to move: that takes its time, and looking on costs them some.
    fn look_again(&mut self, now: Nanos) {
        let idle =
            if self.repair.copied > self.repair.copied_before { 0 } else { self.repair.idle_passes + 1 };
        (self.repair.copied_before, self.repair.idle_passes) = (self.repair.copied, idle);
        self.repair.lacking = self.repair.pass_lacks || !self.all_others_up();
        let wait = (REPAIR_SECOND_LOOK_NS << (2 * idle.min(8))).min(REPAIR_LOOK_NS_MAX);
        self.repair.look = Look::Resting { at: now + wait };
    }

    /// The next look is a while off.
    fn rest(&mut self, now: Nanos) {
        self.repair.idle_passes = 0;
        let wait = if self.is_busy(now) { REPAIR_LOOK_BUSY_NS } else { REPAIR_LOOK_NS };
        let jitter = self.rng.below(wait / 8);
        self.repair.look = Look::Resting { at: now + wait - jitter };
    }

    fn first_look(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        self.greet(turn);
        let voters = self.voters_up();
        if voters.is_empty() {
            self.repair.level = false;
            self.repair.lacking = true;
            return self.rest(now);
        }
        self.name_slots(turn, &voters);
        let (first, last) = self.config.slots();
        let mut asked = BTreeMap::new();
        for start in (first..=last).step_by(usize::from(RANGE_SLOTS_MAX)) {
            let end = last.min(start.saturating_add(RANGE_SLOTS_MAX - 1));
            let sum = self.store.range_sum(start, end);
            for member in &voters {
                let id = self.ask_repair(turn, *member, RepairAsked::Range { first: start, last: end, sum });
                asked.insert(id, (*member, start));
            }
        }
        self.repair.look = Look::First { until: now + REPAIR_ANSWER_NS, asked, differing: BTreeMap::new() };
    }

    /// The sums of a range, or None where they are the same as here.
    /// `counts`: what is the same is abreast ([`crate::abreast`]).
    pub(super) fn on_range(
        &mut self,
        turn: &mut Turn<'_, D>,
        (from, id): (Member, u64),
        counts: bool,
        sums: Option<Vec<u128>>,
    ) {
        let (store, abreast) = (&self.store, &mut self.abreast);
        let Look::First { asked, differing, .. } = &mut self.repair.look else { return };
        let Some((member, first)) = asked.get(&id).copied() else { return };
        if member != from {
            return;
        }
        asked.remove(&id);
        let last = self.config.slots().1.min(first.saturating_add(RANGE_SLOTS_MAX - 1));
        let coming = &mut self.repair.coming;
        match sums {
            Some(sums) => {
                for (slot, sum) in (first..=last).zip(sums) {
                    if store.slot_summary(slot).sum == sum || planted(136) {
                        coming.note_level(slot, from);
                        if counts {
                            abreast.note_level(from, slot, slot);
                        }
                    } else {
                        differing.entry(slot).or_default().insert(from);
                    }
                }
            }
            None => {
                if coming.takes_over() {
                    (first..=last).for_each(|slot| coming.note_level(slot, from));
                }
                if counts {
                    abreast.note_level(from, first, last);
                }
            }
        }
        if asked.is_empty() {
            self.end_first_look(turn);
        }
    }

    fn end_first_look(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        let Look::First { asked, differing, .. } = &mut self.repair.look else { return };
        let (complete, mut differing) = (asked.is_empty(), std::mem::take(differing));
        if self.config.learner {
            // What is not here is to be taken over, under way or not; what was taken over is done with.
            differing.retain(|slot, _| !self.is_taken_over(*slot));
        }
        if differing.is_empty() {
            self.note_same(complete);
            return self.rest(now);
        }
        self.repair.pass_lacks = !complete;
        if self.config.learner {
            return self.work(turn, differing);
        }
        self.repair.look = Look::Waiting { at: now + REPAIR_SECOND_LOOK_NS, differing };
    }

    fn second_look(&mut self, turn: &mut Turn<'_, D>, differing: BTreeMap<u16, MemberSet>) {
        let mut asked = BTreeMap::new();
        for member in self.voters_up() {
            let slots = differing.iter().filter(|(_, members)| members.contains(member));
            let sums: Vec<_> = slots.map(|(slot, _)| (*slot, self.store.slot_summary(*slot).sum)).collect();
            if !sums.is_empty() {
                let slots = sums.iter().map(|(slot, _)| *slot).collect();
                asked.insert(self.ask_repair(turn, member, RepairAsked::Slots(sums)), (member, slots));
            }
        }
        let until = turn.clock.now + if asked.is_empty() { 0 } else { REPAIR_ANSWER_NS };
        self.repair.look = Look::Second { until, asked, differing: BTreeMap::new() };
    }

    /// The slots that still differ.
    /// `counts`: the others are abreast.
    pub(super) fn on_differ(
        &mut self,
        turn: &mut Turn<'_, D>,
        (from, id): (Member, u64),
        counts: bool,
        slots: &[u16],
    ) {
        let (first, last) = self.config.slots();
        let Look::Second { asked, differing, .. } = &mut self.repair.look else { return };
        if asked.get(&id).is_none_or(|(member, _)| *member != from) {
            return;
        }
        let (_, about) = asked.remove(&id).unwrap_or_default();
        for slot in about.into_iter().filter(|slot| counts && slots.binary_search(slot).is_err()) {
            self.abreast.note_level(from, slot, slot);
        }
        for slot in slots.iter().filter(|slot| (first..=last).contains(*slot)) {
            differing.entry(*slot).or_default().insert(from);
        }
        if asked.is_empty() {
            self.end_second_look(turn);
        }
    }

    fn end_second_look(&mut self, turn: &mut Turn<'_, D>) {
        let Look::Second { asked, differing, .. } = &mut self.repair.look else { return };
        let (complete, differing) = (asked.is_empty(), std::mem::take(differing));
        let complete = complete && !self.repair.pass_lacks;
        if differing.is_empty() {
            self.note_same(complete);
            return self.rest(turn.clock.now);
        }
        self.repair.pass_lacks = !complete;
        self.work(turn, differing);
    }

    /// A look found no difference; `complete`: all whom it asked have answered.
    fn note_same(&mut self, complete: bool) {
        self.repair.level = complete;
        self.repair.lacking = !complete || !self.all_others_up();
        self.repair.seen = Seen::default();
    }

    /// Whether all other members are voters that can be talked to.
    pub(super) fn all_others_up(&self) -> bool {
        self.voters_up().len() + 1 == usize::from(self.members.count())
    }

    /// Goes through the slots that differ.
    fn work(&mut self, turn: &mut Turn<'_, D>, differing: BTreeMap<u16, MemberSet>) {
        self.repair.level = false;
        self.repair.queue = differing;
        self.repair.pass = Pass::default();
        self.repair.look = Look::Working;
        self.pull(turn);
    }
}
