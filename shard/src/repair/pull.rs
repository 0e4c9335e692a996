//! Going through the slots that differ: lists of those who hold others, then copies of what is newer there.

use std::collections::VecDeque;

use bitcask::Fingerprint;
use paxos::{Ballot, Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::merge::{merge, Item, Lister};
use crate::core::{ballot_of, Shard};
use crate::limits::{
    LIST_ENTRIES_MAX, REPAIR_FETCH_BYTES, REPAIR_FETCH_BYTES_BUSY, REPAIR_FLIGHT_BYTES_MAX, REPAIR_JOBS_MAX,
    REPAIR_RESENDS_MAX, REPAIR_RESEND_NS, REPAIR_STALL_NS, REPAIR_WANTS_MAX,
};
use crate::turn::Turn;
use crate::wire::{Copied, Listed, RepairAsked, Wanted};

/// The repair of one slot.
#[derive(Debug)]
pub(super) struct Job {
    listers: Vec<Lister>,
    /// What is to be fetched and was not asked for.
    wants: VecDeque<Item>,
    fetch: Option<Fetch>,
    /// When something last came of it.
    since: Nanos,
    /// How often it asked again since then.
    resends: u32,
    /// Something that was wanted did not come.
    missed: bool,
    /// Some of it was listed.
    listed: bool,
}

/// A question for copies that is out.
#[derive(Debug)]
struct Fetch {
    id: u64,
    wants: Vec<Item>,
    bytes: u64,
}

impl Job {
    fn new(members: impl Iterator<Item = Member>, now: Nanos) -> Job {
        let listers = members.map(Lister::new).collect();
        let wants = VecDeque::new();
        Job { listers, wants, fetch: None, since: now, resends: 0, missed: false, listed: false }
    }

    /// When it asks again, or is given up.
    pub fn due(&self) -> Nanos {
        self.since + REPAIR_RESEND_NS
    }

    /// Takes back all questions that are out; the bytes that were wanted.
    fn take_back(&mut self) -> u64 {
        self.listers.iter_mut().for_each(|lister| lister.asked = false);
        let Some(fetch) = self.fetch.take() else { return 0 };
        fetch.wants.into_iter().rev().for_each(|item| self.wants.push_front(item));
        fetch.bytes
    }

    /// Something came of it.
    fn note(&mut self, now: Nanos) {
        (self.since, self.resends) = (now, 0);
    }

    /// Records and bytes that it knows of and has not got.
    pub fn left(&self) -> (u64, u64) {
        let under_way = self.fetch.iter().flat_map(|fetch| &fetch.wants);
        let wants = self.wants.iter().chain(under_way);
        wants.fold((0, 0), |sum, item| (sum.0 + 1, sum.1 + u64::from(item.bytes)))
    }

    fn is_over(&self) -> bool {
        self.wants.is_empty() && self.fetch.is_none() && self.listers.iter().all(Lister::is_over)
    }
}

impl<D: Disk> Shard<D> {
    /// Goes on with the slots that differ, as fast as it may.
    pub(super) fn pull(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        self.repair.paced_until = None;
        let late: Vec<u16> =
            self.repair.jobs.iter().filter(|(_, job)| job.due() <= now).map(|(slot, _)| *slot).collect();
        late.into_iter().for_each(|slot| self.ask_again(turn, slot));
        let tails = self.pull_tails(turn);
        while !tails && self.repair.jobs.len() < REPAIR_JOBS_MAX {
            let Some((slot, members)) = self.repair.queue.pop_first() else { break };
            self.start_job(turn, slot, members);
        }
        let waiting =
            |(slot, job): (&u16, &Job)| (!job.wants.is_empty() && job.fetch.is_none()).then_some(*slot);
        let slots: Vec<u16> = self.repair.jobs.iter().filter_map(waiting).collect();
        for slot in slots {
            if !self.fetch(turn, slot) {
                return;
            }
        }
    }

    fn start_job(&mut self, turn: &mut Turn<'_, D>, slot: u16, members: MemberSet) {
        let up = self.voters_up().into_iter().filter(|member| members.contains(*member));
        let job = Job::new(up, turn.clock.now);
        self.repair.jobs.insert(slot, job);
        self.go_on_pulling(turn, slot);
    }

    /// A job has waited long enough: its questions, or their answers, were lost.
    fn ask_again(&mut self, turn: &mut Turn<'_, D>, slot: u16) {
        let Some(job) = self.repair.jobs.get_mut(&slot) else { return };
        job.resends += 1;
        if job.resends > REPAIR_RESENDS_MAX {
            (self.repair.pass_lacks, self.repair.lacking) = (true, true);
            return self.end_job(slot);
        }
        job.since = turn.clock.now;
        self.repair.flight_bytes -= job.take_back();
        self.repair.asked.retain(|_, of| *of != slot);
        self.go_on_pulling(turn, slot);
    }

    /// Drops a job, done or not; what is missing is found by the next look.
    fn end_job(&mut self, slot: u16) {
        let Some(job) = self.repair.jobs.remove(&slot) else { return };
        self.repair.asked.retain(|_, of| *of != slot);
        self.repair.flight_bytes -= job.fetch.map_or(0, |fetch| fetch.bytes);
        self.repair.seen.slots += 1;
    }

    /// Asks for the lists that are missing, merges what is there, and ends what is over.
    fn go_on_pulling(&mut self, turn: &mut Turn<'_, D>, slot: u16) {
        let majority = self.members.majority();
        loop {
            let Some(job) = self.repair.jobs.get_mut(&slot) else { return };
            if job.is_over() {
                for lister in job.listers.iter().filter(|_| !job.missed) {
                    self.repair.coming.note_level(slot, lister.member);
                }
                return self.end_job(slot);
            }
            if !job.wants.is_empty() || job.fetch.is_some() {
                return;
            }
            let asks: Vec<(Member, Fingerprint)> = job
                .listers
                .iter_mut()
                .filter(|lister| lister.wants_page())
                .filter_map(|lister| {
                    lister.asked = true;
                    Some((lister.member, lister.next?))
                })
                .collect();
            let max = LIST_ENTRIES_MAX as u16;
            for (member, from) in &asks {
                let id = self.ask_repair(turn, *member, RepairAsked::List { slot, from: *from, max });
                self.repair.asked.insert(id, slot);
            }
            let Some(job) = self.repair.jobs.get_mut(&slot) else { return };
            if job.listers.iter().any(|lister| lister.asked) {
                return;
            }
            let items = merge(&mut job.listers, majority, usize::from(slot));
            self.want(slot, &items);
        }
    }

    /// Of what the peers hold, notes what is newer than what is here.
    fn want(&mut self, slot: u16, items: &[Item]) {
        let newer: Vec<Item> = items.iter().filter(|item| self.lacks(slot, item)).copied().collect();
        if !newer.is_empty() {
            (self.repair.pass_lacks, self.repair.lacking) = (true, true);
        }
        self.repair.seen.records += newer.len() as u64;
        self.repair.seen.bytes += newer.iter().map(|item| u64::from(item.bytes)).sum::<u64>();
        self.repair.pass.records += newer.len() as u64;
        if let Some(job) = self.repair.jobs.get_mut(&slot) {
            self.repair.pass.slots += u64::from(!std::mem::replace(&mut job.listed, true));
            job.wants.extend(newer);
        }
    }

    /// Whether a record that is listed is newer than what is here.
    fn lacks(&self, slot: u16, item: &Item) -> bool {
        let own = self.store.slot_entries(slot, item.fingerprint, 1).into_iter().next();
        let own = own.filter(|(fingerprint, _)| *fingerprint == item.fingerprint);
        self.is_newer(own.map(|(_, entry)| entry), item.ballot, item.dead)
    }

    /// Whether a record at this ballot is newer than what is here. A tombstone of which nothing is here and that the floor covers is
    /// not: it was dropped here.
    pub(super) fn is_newer(&self, own: Option<bitcask::Entry>, ballot: Ballot, dead: bool) -> bool {
        match own {
            Some(entry) => ballot_of(entry.stamp) < ballot && !planted(135),
            None => !dead || !self.is_below_floor(ballot),
        }
    }

    /// Asks one member for copies for a slot. False: not now.
    fn fetch(&mut self, turn: &mut Turn<'_, D>, slot: u16) -> bool {
        let now = turn.clock.now;
        let busy = self.is_busy(now);
        let stalled_until = Some(self.repair.stalled_until).filter(|until| *until > now);
        let paced_until = self.repair.pace.look(now, self.background_share(now)).err().max(stalled_until);
        if paced_until.is_some() || self.repair.flight_bytes >= REPAIR_FLIGHT_BYTES_MAX {
            self.repair.paced_until = paced_until;
            // What waits for its turn was not lost.
            let waits = |job: &&mut Job| job.fetch.is_none() && !job.wants.is_empty();
            self.repair.jobs.values_mut().filter(waits).for_each(|job| job.since = now);
            return false;
        }
        let bytes_max = if busy { REPAIR_FETCH_BYTES_BUSY } else { REPAIR_FETCH_BYTES };
        let Some(job) = self.repair.jobs.get_mut(&slot) else { return true };
        let Some(from) = job.wants.front().map(|item| item.from) else { return true };
        let (mut wants, mut bytes) = (Vec::new(), 0);
        while let Some(item) = job.wants.pop_front_if(|item| {
            item.from == from && wants.len() < REPAIR_WANTS_MAX && bytes < u64::from(bytes_max)
        }) {
            bytes += u64::from(item.bytes);
            wants.push(item);
        }
        let wanted =
            |item: &Item| Wanted { fingerprint: item.fingerprint, ballot: item.ballot, proven: item.proven };
        let asked = RepairAsked::Fetch { slot, bytes_max, wants: wants.iter().map(wanted).collect() };
        self.repair.pace.take(bytes, wants.len() as u64);
        self.repair.flight_bytes += bytes;
        let id = self.ask_repair(turn, from, asked);
        self.repair.asked.insert(id, slot);
        if let Some(job) = self.repair.jobs.get_mut(&slot) {
            (job.fetch, job.since) = (Some(Fetch { id, wants, bytes }), now);
        }
        true
    }

    /// A page of a peer's list. `counted`: the subscription under which it was read, if that says anything ([`crate::abreast`]).
    pub(super) fn on_listed(
        &mut self,
        turn: &mut Turn<'_, D>,
        (from, id): (Member, u64),
        counted: Option<u64>,
        entries: Vec<Listed>,
        more: bool,
    ) {
        let Some(slot) = self.repair.asked.remove(&id) else { return };
        let Some(job) = self.repair.jobs.get_mut(&slot) else { return };
        let Some(lister) = job.listers.iter_mut().find(|lister| lister.member == from && lister.asked) else {
            return;
        };
        if entries.first().is_some_and(|first| Some(first.fingerprint) < lister.next) {
            self.metrics.messages_refused += 1;
            return;
        }
        let newer = |listed: &Listed| {
            let own = self.store.info_as((slot, listed.fingerprint)).entry;
            let own = own.map_or(Ballot::ZERO, |own| ballot_of(own.stamp));
            (listed.ballot > own).then_some((listed.fingerprint, listed.ballot))
        };
        let noted = counted.filter(|_| self.abreast.note_listed(slot, entries.iter().filter_map(newer)));
        lister.take(entries, more);
        if lister.note(noted) {
            self.abreast.note_level(from, slot, slot);
        }
        job.note(turn.clock.now);
        self.go_on_pulling(turn, slot);
        self.pull(turn);
    }

    /// Copies of records.
    pub(super) fn on_copies(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: u64,
        taken: usize,
        records: &[Copied<'_>],
    ) {
        let Some(slot) = self.repair.asked.remove(&id) else { return };
        let Some(job) = self.repair.jobs.get_mut(&slot) else { return };
        let Some(fetch) = job.fetch.take_if(|fetch| fetch.id == id) else { return };
        self.repair.flight_bytes -= fetch.bytes;
        job.note(turn.clock.now);
        let (about, rest) = fetch.wants.split_at(taken.min(fetch.wants.len()));
        rest.iter().rev().for_each(|item| job.wants.push_front(*item));
        let mut later = Vec::new();
        job.missed |= records.len() < about.len();
        for record in records {
            if !self.take_copy(turn, slot, record) {
                later.push(self.store.fingerprint(record.key));
            }
        }
        if !later.is_empty() {
            self.repair.stalled_until = turn.clock.now + REPAIR_STALL_NS;
            let again = about.iter().filter(|item| later.contains(&item.fingerprint));
            if let Some(job) = self.repair.jobs.get_mut(&slot) {
                job.wants.extend(again);
            }
        }
        self.go_on_pulling(turn, slot);
        self.pull(turn);
    }
}
