//! The steps of a survey: choose a range, compare, go through it slot by slot.

use std::collections::VecDeque;

use bitcask::{Fingerprint, KeyRef, Kind};
use paxos::Member;
use reactor::mutants::planted;
use reactor::Disk;

use super::job::Job;
use super::page::{merge, Page};
use super::place::Place;
use super::survey::{Batch, Compare, Lister, Plan, Reads, Stage, Survey, Walk};
use super::SurveyId;
use crate::command::CATALOG_KEY;
use crate::core::Shard;
use crate::limits::{ASK_KEYS_MAX, RANGE_SLOTS_MAX, SURVEY_TURN_RECORDS};
use crate::reply::Reply;
use crate::turn::Turn;
use crate::wire::SlotAsk;

/// What a step came to.
pub(super) enum Step {
    /// The next step may follow.
    On,
    /// Something must happen first.
    Wait,
    /// The survey is at its end.
    End(Reply),
}

/// Records of this replica that a range of slots has, where keys are wanted: some dozens of questions about keys, so that
/// comparing costs little beside them.
const RANGE_RECORDS: u64 = 16 * ASK_KEYS_MAX as u64;

impl<D: Disk> Shard<D> {
    /// Takes steps until the survey waits for something. Some: its reply.
    pub(super) fn go_on(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: SurveyId,
        survey: &mut Survey,
    ) -> Option<Reply> {
        let mut left = SURVEY_TURN_RECORDS;
        while survey.question.is_none() {
            let step = match &survey.stage {
                Stage::Next => self.next_range(turn, survey),
                Stage::Compare(_) => self.plan_walk(survey),
                Stage::Walk(walk) if walk.batch.is_some() => self.go_on_reading(turn, id, survey),
                Stage::Walk(_) => self.walk(turn, survey, &mut left),
            };
            match step {
                Step::On => {}
                Step::Wait => return None,
                Step::End(reply) => return Some(reply),
            }
        }
        // Keys may still be read here while a peer is asked for others.
        if survey.batch().is_some() {
            self.start_reads(turn, id, survey);
        }
        None
    }

    /// Chooses the next range of slots, and asks the others whether they hold the same there.
    fn next_range(&mut self, turn: &mut Turn<'_, D>, survey: &mut Survey) -> Step {
        while let Some(run) = survey.runs.front().copied().filter(|run| run.1 < survey.at.slot) {
            survey.runs.pop_front();
            // Runs of a walk that comes round to its start are not in order.
            if let Some(next) = survey.runs.front().filter(|next| next.0 <= run.0) {
                survey.at = Place::start(next.0);
            }
        }
        let Some(run) = survey.runs.front().copied() else {
            return Step::End(survey.job.finish(None));
        };
        survey.at = survey.at.max(Place::start(run.0));
        let first = survey.at.slot;
        let last = self.range_end(&survey.job, first, run.1);
        let own: Vec<_> = (first..=last).map(|slot| self.store.slot_summary(slot)).collect();
        let sum = own.iter().fold(0_u128, |sum, slot| sum.wrapping_add(slot.sum));
        survey.stage = Stage::Compare(Compare { first, own, said: Vec::new() });
        if self.members.majority() > 1 {
            let others = self.others_up();
            self.put_question(turn, survey, SlotAsk::Sums { first, last, sum }, others);
        }
        Step::On
    }

    /// The last slot of a range: as many as one question may be about, or enough for what is wanted.
    fn range_end(&self, job: &Job, first: u16, run_last: u16) -> u16 {
        let last = run_last.min(first.saturating_add(RANGE_SLOTS_MAX - 1));
        if job.is_count() {
            return last;
        }
        let wanted = job.left().unwrap_or(RANGE_RECORDS).min(RANGE_RECORDS);
        let mut records = 0;
        let enough = |slot: &u16| {
            records += u64::from(self.store.slot_summary(*slot).records);
            records >= wanted
        };
        (first..last).find(enough).unwrap_or(last)
    }

    /// A majority has answered: decides what is to be done with each slot.
    fn plan_walk(&mut self, survey: &mut Survey) -> Step {
        let Stage::Compare(compare) = &survey.stage else { return Step::On };
        let majority = usize::from(self.members.majority());
        assert!(compare.said.len() + 1 >= majority, "a majority has answered");
        let partly = survey.at != Place::start(survey.at.slot);
        let plan = |(index, own): (usize, &bitcask::SlotSummary)| {
            let begun = partly && index == 0;
            match compare.equals(index) >= majority || planted(160) {
                false => Plan::Merge,
                true if own.records == 0 => Plan::Known(0),
                true if survey.job.is_count() && !begun => Plan::Known(own.keys),
                true => Plan::Own,
            }
        };
        let plans: Vec<Plan> = compare.own.iter().enumerate().map(plan).collect();
        let mut best: Vec<(usize, Member)> =
            compare.said.iter().map(|(member, sums)| (compare.differences(sums), *member)).collect();
        best.sort_unstable();
        let merged = plans.iter().filter(|plan| **plan == Plan::Merge).count();
        self.metrics.slots_merged += merged as u64;
        let lister = |(_, member)| Lister { member, entries: VecDeque::new(), until: Place::start(0) };
        let listers = best.into_iter().take(majority - 1).map(lister).collect();
        survey.stage = Stage::Walk(Walk { first: compare.first, plans, listers, batch: None });
        Step::On
    }

    /// One step through a range.
    fn walk(&mut self, turn: &mut Turn<'_, D>, survey: &mut Survey, left: &mut usize) -> Step {
        if survey.job.is_enough() {
            let at = survey.at;
            return Step::End(survey.job.finish(Some(at)));
        }
        let Stage::Walk(walk) = &mut survey.stage else { return Step::On };
        let at = survey.at;
        if at.slot > walk.last() {
            survey.stage = Stage::Next;
            return Step::On;
        }
        let plan = walk.plan(at.slot);
        if let Plan::Known(keys) = plan {
            let hidden = self.catalog_key_in(at.slot).filter(|key| self.is_alive(*key));
            survey.job.add_count((keys as usize).saturating_sub(hidden.iter().count()));
            survey.at = at.next_slot();
            return Step::On;
        }
        if *left == 0 {
            survey.again_at = Some(turn.clock.now);
            return Step::Wait;
        }
        let merged = plan == Plan::Merge;
        let behind: Vec<Member> =
            walk.listers.iter().filter(|lister| merged && lister.until <= at).map(|l| l.member).collect();
        if !behind.is_empty() {
            let slots = walk.merged_from(at.slot);
            let max = survey.job.list_max() as u16;
            let ask = SlotAsk::List { slots, from: at.fingerprint, max };
            self.put_question(turn, survey, ask, behind);
            return Step::On;
        }
        let max = survey.job.page_max();
        let own = self.store.slot_entries(at.slot, at.fingerprint, max);
        let listers = if merged { &mut walk.listers[..] } else { &mut [] };
        let page = merge(at, &own, max, listers, survey.job.cut());
        *left = left.saturating_sub(own.len().max(page.items.len()).max(1));
        let hidden = self.catalog_key_in(at.slot).map(|key| key.1);
        let living = page.items.iter().filter(|(one, item)| !item.dead && hidden != Some(**one)).count();
        if survey.job.is_count() {
            survey.job.add_count(living);
            survey.at = page.until;
        } else {
            walk.batch = Some(batch(at.slot, page, &survey.job));
        }
        Step::On
    }

    /// The catalog's key, if it is of a slot: it is no client's.
    pub(crate) fn catalog_key_in(&self, slot: u16) -> Option<KeyRef> {
        let is_here = crate::slot::slot(CATALOG_KEY) == slot;
        is_here.then(|| self.store.key_ref(slot, CATALOG_KEY))
    }

    /// Whether a record is the catalog's: it counts for every flush epoch, which the engine does not know of it, and is never dropped.
    pub(crate) fn is_catalogs(&self, slot: u16, fingerprint: Fingerprint) -> bool {
        self.catalog_key_in(slot).is_some_and(|key| key.1 == fingerprint)
    }

    /// Whether there is a value here.
    fn is_alive(&self, key: KeyRef) -> bool {
        let entry = self.store.slot_entries(key.0, key.1, 1).into_iter().next();
        entry.is_some_and(|(found, entry)| found == key.1 && entry.kind != Kind::Tombstone)
    }

    /// Where RANDOMKEY starts: in a slot by the number of its records, anywhere in it.
    pub(super) fn random_place(&mut self, runs: &[(u16, u16)]) -> Place {
        let slots = || runs.iter().flat_map(|run| run.0..=run.1);
        let records = |slot: u16| u64::from(self.store.slot_summary(slot).records);
        let total: u64 = slots().map(records).sum();
        let slot = if total == 0 {
            let count = slots().count() as u64;
            let nth = if count == 0 { 0 } else { self.rng.below(count) };
            slots().nth(nth as usize)
        } else {
            let mut nth = self.rng.below(total);
            slots().find(|slot| {
                let records = u64::from(self.store.slot_summary(*slot).records);
                let here = nth < records;
                nth = nth.saturating_sub(records);
                here
            })
        };
        let fingerprint = Fingerprint { hi: self.rng.next_u64(), lo: 0 };
        slot.map_or(Place::start(0), |slot| Place { slot, fingerprint }.group())
    }
}

/// The keys of a page, to be read where their newest records are.
fn batch(slot: u16, page: Page, job: &Job) -> Batch {
    let mut queue = VecDeque::new();
    let mut remote: Vec<(Member, Vec<Fingerprint>)> = Vec::new();
    for (fingerprint, item) in page.items.iter().filter(|(_, item)| !item.dead) {
        match item.holder {
            None => queue.push_back((*fingerprint, item.bytes)),
            Some(_) if planted(162) => {}
            Some(member) => match remote.iter_mut().find(|(holder, _)| *holder == member) {
                Some((_, fingerprints)) => fingerprints.push(*fingerprint),
                None => remote.push((member, vec![*fingerprint])),
            },
        }
    }
    let seen = page.items.len() as u64;
    let (until, reads) = (page.until, Reads::of(queue));
    Batch { slot, until, seen, reads, remote, keys: Vec::new(), kind: job.kind() }
}
