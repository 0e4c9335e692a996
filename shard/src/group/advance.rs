//! Bringing the rows of a group up to an entry that is known to be chosen, and what may go from the log then.
//!
//! From that entry the way leads back, base by base, to the one that the tree has; then the entries are applied in their order. Each step may
//! wait for the disk; one such *job* per group. Nothing else changes the rows of a group.

use std::collections::VecDeque;
use std::rc::Rc;

use ahash::RandomState;
use bitcask::{Fingerprint, FingerprintHasher, KeyRef};
use hashbrown::HashMap;
use lsm::{ApplyError, Event, Get, IngestId};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::fetch::{Asked, Serving};
use super::give::{Given, Giving};
use super::log::{Logged, Recent};
use super::regain::Regaining;
use super::take::Taking;
use super::trim::{Judging, Trimming, Unflushed};
use super::{rows, Entry, Place};
use crate::core::{EntityId, Shard, Status};
use crate::held::Held;
use crate::limits::{GROUP_JOBS_MAX, GROUP_PATH_MAX};
use crate::object::{Group, Name};
use crate::tree::Standing;
use crate::turn::Turn;

/// What a core keeps for its groups.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(super) recent: Recent,
    /// What a learner has to have before it is a voter.
    pub(super) regaining: Regaining,
    pub(super) jobs: HashMap<Fingerprint, Job, FingerprintHasher>,
    /// What reads of the tree are for.
    pub(crate) reads: HashMap<lsm::Ticket, TreeRead, RandomState>,
    /// Jobs that wait until the tree takes something.
    stalled: VecDeque<Fingerprint>,
    /// Peers that wait for entries, with what is read for them.
    pub(super) serving: Vec<(bitcask::Ticket, Serving)>,
    /// Peers that are given rows, and what the tree is read for because of them.
    pub(super) given: Vec<Given>,
    pub(super) giving: HashMap<lsm::Ticket, Giving, RandomState>,
    /// Groups whose jobs take rows over.
    pub(super) taking: Vec<Fingerprint>,
    /// Ingestions that were given up and have not ended: until then nothing is applied to their groups.
    pub(super) ending: Vec<(IngestId, Fingerprint)>,
    /// The entries in the log, and what is known of those that the tree has on disk.
    pub(super) trimming: Trimming,
    pub(super) judging: HashMap<lsm::Ticket, Judging, RandomState>,
    pub(super) unflushed: Unflushed,
    /// Counts runs of batches.
    pub(crate) runs: u64,
    /// Since the tree is open, what was of no use in it has gone.
    is_swept: bool,
}

/// What a read of the tree is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TreeRead {
    /// The name of the entry that was applied last to the group with this fingerprint.
    Name(Fingerprint),
    /// A statement of an entity's batch, in the run of this number.
    Statement(EntityId, u64),
    /// The name row of a group of which an entry may go from the log.
    Trimming,
    /// A peer, which is told something.
    Giving,
    /// Nobody waits for it any more.
    Nothing,
}

/// What a read for a statement has brought.
pub(crate) enum TreeAnswer {
    Got(lsm::Ticket, Result<Option<lsm::Value>, lsm::ReadError>),
    Scanned(Result<lsm::Rows, lsm::ReadError>),
}

/// Where the rows of a group stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// They are those of the entry.
    There,
    /// They are on their way: who waits is told.
    UnderWay,
    /// They are those of a later entry.
    Ahead,
    /// An entry between them and that one is not here, or there are too many.
    Lacking,
    /// The tree is closed.
    Closed,
}

/// A group that is brought up to an entry.
#[derive(Debug)]
pub(super) struct Job {
    pub place: Place,
    pub to: Name,
    /// What the tree has, once that is known.
    pub applied: Option<Option<Name>>,
    /// Entries that are to be applied, the last first.
    path: Vec<Name>,
    /// The one that is looked at next, on the way back.
    next: Option<Name>,
    /// An entry that is not here, and peers were asked for.
    pub asked: Option<Asked>,
    /// Rows that are taken over instead, because entries are gone.
    pub taking: Option<Taking>,
}

impl Job {
    fn new(place: Place, to: Name) -> Job {
        let (applied, path, next) = (None, Vec::new(), Some(to));
        Job { place, to, applied, path, next, asked: None, taking: None }
    }

    /// The rows are those of this entry now: the way leads back to it, if it is not there yet.
    pub fn stands_at(&mut self, name: Name) {
        (self.applied, self.next) = (Some(Some(name)), Some(self.to));
        self.path.clear();
    }

    /// When peers are asked again.
    fn again_at(&self) -> Option<Nanos> {
        self.taking.as_ref().map_or(self.asked.map(|asked| asked.again_at), Taking::again_at)
    }
}

impl Groups {
    pub fn new(hashes: RandomState) -> Groups {
        Groups {
            recent: Recent::default(),
            regaining: Regaining::default(),
            jobs: HashMap::with_hasher(FingerprintHasher),
            reads: HashMap::with_hasher(hashes.clone()),
            stalled: VecDeque::new(),
            serving: Vec::new(),
            given: Vec::new(),
            giving: HashMap::with_hasher(hashes.clone()),
            taking: Vec::new(),
            ending: Vec::new(),
            trimming: Trimming::default(),
            judging: HashMap::with_hasher(hashes.clone()),
            unflushed: Unflushed::new(hashes),
            runs: 0,
            is_swept: false,
        }
    }

    /// When something is due by the clock.
    pub fn deadline(&self) -> Option<Nanos> {
        let jobs = self.jobs.values().filter_map(Job::again_at).min();
        let given = self.given.iter().map(|given| given.until).min();
        [jobs, given, self.trimming.deadline(), self.regaining.deadline()].into_iter().flatten().min()
    }

    /// Groups whose peers were to answer by now.
    pub(super) fn asking(&self, now: Nanos) -> Vec<Fingerprint> {
        let is_due = |job: &Job| job.again_at().is_some_and(|at| at <= now);
        let mut due: Vec<Fingerprint> =
            self.jobs.iter().filter(|(_, job)| is_due(job)).map(|(group, _)| *group).collect();
        due.sort_unstable();
        due
    }
}

impl<D: Disk> Shard<D> {
    /// What is under way for groups is given up: another catalog or epoch begins, or the storage has failed.
    pub(crate) fn void_groups(&mut self) {
        self.void_takings();
        self.void_trimming();
        let groups = &mut self.groups;
        groups.jobs.clear();
        groups.stalled.clear();
        groups.serving.clear();
        groups.given.clear();
        groups.giving.clear();
        groups.reads.values_mut().for_each(|read| *read = TreeRead::Nothing);
    }

    /// What was asked for an entry that a group waits for, if it does.
    pub(super) fn asked_for(&mut self, group: Fingerprint, key: &[u8], name: Name) -> Option<&mut Asked> {
        let job = self.groups.jobs.get_mut(&group).filter(|job| *job.place.key == *key)?;
        job.asked.as_mut().filter(|asked| asked.name == name)
    }

    /// Where the rows of a head are: if they are of this epoch, and of a table that there is.
    pub(crate) fn place_of_group(
        &self,
        reference: KeyRef,
        key: &[u8],
        epoch: u32,
        group: &Group,
    ) -> Option<Place> {
        let is_there =
            epoch == self.flushing.epoch() && self.catalogs.current().table_by_id(group.table).is_some();
        is_there.then(|| Place { reference, key: key.into(), epoch, table: group.table })
    }

    /// A head was accepted: what it names as its base is chosen, and is applied.
    pub(crate) fn follow(&mut self, turn: &mut Turn<'_, D>, reference: KeyRef, key: &[u8], head: &Entry) {
        let Some(place) = self.place_of_group(reference, key, head.epoch, &head.group) else { return };
        if self.config.learner {
            // What it accepts are copies of what is chosen.
            return self.note_to_regain(turn.clock.now, place, head.name());
        }
        let known = if planted(545) { Some(head.name()) } else { head.group.base };
        if let Some(known) = known {
            self.bring_up(turn, place, known);
        }
    }

    /// As [`Shard::follow`], of a head that an entity has accepted.
    pub(crate) fn follow_own(&mut self, turn: &mut Turn<'_, D>, id: EntityId, head: &[u8]) {
        if let Some(head) = Entry::of_head(head) {
            let (reference, key) = (self.peek(id).reference, self.peek(id).key.clone());
            self.follow(turn, reference, &key, &head);
        }
    }

    /// What this core has proposed is chosen: if it is an entry, it is applied.
    pub(crate) fn apply_chosen(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let Some((_, Held::Here(head))) = self.peek(id).warm() else { return };
        let Some(head) = Entry::of_head(&head) else { return };
        let (reference, key) = (self.peek(id).reference, self.peek(id).key.clone());
        if let Some(place) = self.place_of_group(reference, &key, head.epoch, &head.group) {
            self.bring_up(turn, place, head.name());
        }
    }

    /// Brings the rows of a group up to an entry that is known to be chosen, as far as nothing has to be waited for.
    pub(crate) fn bring_up(&mut self, turn: &mut Turn<'_, D>, place: Place, to: Name) -> Brought {
        let fingerprint = place.reference.1;
        if self.tree.rows().is_none() {
            return self.no_tree();
        }
        if self.groups.ending.iter().any(|(_, group)| *group == fingerprint) {
            return Brought::Lacking;
        }
        if self.groups.jobs.contains_key(&fingerprint) {
            return Brought::UnderWay;
        }
        let mut job = Job::new(place, to);
        let brought = self.drive(turn, &mut job);
        if brought != Brought::UnderWay {
            return brought;
        }
        if self.groups.jobs.len() >= GROUP_JOBS_MAX {
            // Who waits tries again, and what is read meanwhile is kept.
            return Brought::Lacking;
        }
        self.groups.jobs.insert(fingerprint, job);
        brought
    }

    /// Goes on with a job; if that is its end, who waits for it goes on as well.
    pub(super) fn go_on_with_job(&mut self, turn: &mut Turn<'_, D>, fingerprint: Fingerprint) {
        let Some(mut job) = self.groups.jobs.remove(&fingerprint) else { return };
        match self.drive(turn, &mut job) {
            Brought::UnderWay => drop(self.groups.jobs.insert(fingerprint, job)),
            brought => self.finish_job(turn, &job, brought),
        }
    }

    /// A job is at its end: who waits for it goes on.
    pub(super) fn finish_job(&mut self, turn: &mut Turn<'_, D>, job: &Job, brought: Brought) {
        assert!(job.taking.is_none(), "what is taken over is given up first");
        self.on_brought(turn, &job.place, job.to, brought);
    }

    fn drive(&mut self, turn: &mut Turn<'_, D>, job: &mut Job) -> Brought {
        loop {
            if job.taking.is_some() {
                return self.go_on_taking(turn, job);
            }
            let Some(applied) = job.applied else {
                match self.applied_name(turn, &job.place) {
                    Ok(Some(applied)) => job.applied = Some(applied),
                    Ok(None) => return Brought::UnderWay,
                    Err(brought) => return brought,
                }
                continue;
            };
            if applied == Some(job.to) {
                return Brought::There;
            }
            if applied.is_some_and(|applied| applied > job.to) {
                return Brought::Ahead;
            }
            let step = match job.next {
                Some(next) => self.look_back(turn, job, applied, next),
                None => self.look_ahead_at(turn, job),
            };
            if let Err(brought) = step {
                return brought;
            }
        }
    }

    /// The name of the entry that the rows of a group are of. None: it is being read.
    fn applied_name(
        &mut self,
        turn: &mut Turn<'_, D>,
        place: &Place,
    ) -> Result<Option<Option<Name>>, Brought> {
        let key = rows::name_key(&place.prefix());
        let Some(tree) = self.tree.rows() else { return Err(self.no_tree()) };
        match tree.get(turn.disk, &key, None) {
            Get::Ready(bytes) => name_in(bytes.as_deref()).map(Some),
            Get::Pending(ticket) => {
                self.groups.reads.insert(ticket, TreeRead::Name(place.reference.1));
                Ok(None)
            }
        }
    }

    /// Why there are no rows: the tree is being opened, or it is closed for good.
    pub(crate) fn no_tree(&self) -> Brought {
        match self.tree.standing() {
            Standing::Closed(_) => Brought::Closed,
            Standing::Opening | Standing::Open(_) => Brought::Lacking,
        }
    }

    /// One step back from an entry to its base.
    fn look_back(
        &mut self,
        turn: &mut Turn<'_, D>,
        job: &mut Job,
        applied: Option<Name>,
        next: Name,
    ) -> Result<(), Brought> {
        if Some(next) == applied {
            job.next = None;
            return Ok(());
        }
        if applied.is_some_and(|applied| applied > next) {
            // Each chosen entry stands on the chosen one before it: so somebody has told what is not so.
            self.metrics.corrupt_entries += 1;
            return Err(Brought::Lacking);
        }
        let entry = self.entry_for(turn, job, next);
        if planted(549) && entry.is_err() && !job.path.is_empty() {
            job.next = None;
            return Ok(());
        }
        let entry = entry?;
        if job.path.len() >= GROUP_PATH_MAX {
            let peer = self.peers_up.iter().position(|up| *up).and_then(|peer| u8::try_from(peer).ok());
            let takes = peer.is_some_and(|peer| self.begin_taking(turn, job, (peer, next)));
            return Err(if takes { Brought::UnderWay } else { Brought::Lacking });
        }
        job.path.push(next);
        job.next = entry.group.base;
        Ok(())
    }

    /// Applies the next entry.
    fn look_ahead_at(&mut self, turn: &mut Turn<'_, D>, job: &mut Job) -> Result<(), Brought> {
        let name = *job.path.last().expect("what is to be applied ends with what is wanted");
        let entry = self.entry_for(turn, job, name)?;
        self.apply(job, &entry)?;
        job.path.pop();
        job.applied = Some(Some(name));
        Ok(())
    }

    fn entry_for(&mut self, turn: &mut Turn<'_, D>, job: &mut Job, name: Name) -> Result<Rc<Entry>, Brought> {
        match self.logged(turn, (job.place.reference, &job.place.key), name) {
            Logged::Here(entry) => {
                job.asked = None;
                Ok(entry)
            }
            Logged::Reading(_) => Err(Brought::UnderWay),
            Logged::Absent => {
                let have = job.applied.flatten();
                let gone = job.asked.filter(|asked| asked.name == name && asked.again_at <= turn.clock.now);
                if let Some(peer) = gone.and_then(|asked| asked.gone) {
                    // Nobody has told it, and one of them has its rows.
                    if self.begin_taking(turn, job, (peer, name)) {
                        return Err(Brought::UnderWay);
                    }
                }
                job.asked = self.ask_for_entry(turn, &job.place, (name, have), job.asked);
                Err(if job.asked.is_some() { Brought::UnderWay } else { Brought::Lacking })
            }
        }
    }

    fn apply(&mut self, job: &Job, entry: &Entry) -> Result<(), Brought> {
        let prefix = job.place.prefix();
        let batch = rows::changes_of(&prefix, entry);
        let Some(tree) = self.tree.rows() else { return Err(Brought::Closed) };
        match tree.apply(&batch) {
            Ok(_) => {
                self.metrics.entries_applied += 1;
                self.groups.unflushed.note_applied(&prefix, job.applied.flatten(), entry.name());
                Ok(())
            }
            Err(ApplyError::Stalled | ApplyError::Full) if planted(557) => Ok(()),
            Err(ApplyError::Stalled | ApplyError::Full) => {
                self.groups.stalled.push_back(job.place.reference.1);
                Err(Brought::UnderWay)
            }
            Err(ApplyError::TooLarge) => {
                // No core of ours proposes that.
                self.metrics.corrupt_entries += 1;
                Err(Brought::Lacking)
            }
            Err(ApplyError::NotReady | ApplyError::Failed) => Err(Brought::Closed),
        }
    }

    // ---- what was waited for ----

    /// What the tree has to tell. What is stalled is tried again.
    pub(crate) fn drain_tree(&mut self, turn: &mut Turn<'_, D>) {
        if !self.groups.is_swept && self.status == Status::Ready && self.tree.rows().is_some() {
            self.groups.is_swept = true;
            self.sweep_tree();
        }
        while let Some(event) = self.next_of_tree() {
            match event {
                Event::Got { ticket, result } => match self.groups.reads.remove(&ticket) {
                    Some(TreeRead::Name(fingerprint)) => {
                        let applied = result.map_err(|_| Brought::Closed);
                        self.on_name_read(
                            turn,
                            fingerprint,
                            applied.and_then(|bytes| name_in(bytes.as_deref())),
                        );
                    }
                    Some(TreeRead::Statement(id, run)) => {
                        self.on_statement_read(turn, (id, run), TreeAnswer::Got(ticket, result));
                    }
                    Some(TreeRead::Trimming) => self.on_name_judged(ticket, result),
                    Some(TreeRead::Giving) => self.on_given_name(turn, ticket, result),
                    Some(TreeRead::Nothing) | None => {}
                },
                Event::Scanned { ticket, result } => match self.groups.reads.remove(&ticket) {
                    Some(TreeRead::Statement(id, run)) => {
                        self.on_statement_read(turn, (id, run), TreeAnswer::Scanned(result));
                    }
                    Some(TreeRead::Giving) => self.on_given_rows(turn, ticket, result),
                    _ => {}
                },
                Event::Flushed(version) => {
                    let now = self.tree.rows().map_or(version, |tree| tree.version());
                    self.groups.unflushed.note_flushed(version, now);
                    self.groups.trimming.note_flushed();
                }
                Event::Ingested(id, _) => self.on_ingestion_ended(turn, id, true),
                Event::IngestionLost(id) => self.on_ingestion_ended(turn, id, false),
                _ => {}
            }
        }
        self.take_more(turn);
        self.trim(turn);
        for _ in 0..self.groups.stalled.len() {
            let Some(fingerprint) = self.groups.stalled.pop_front() else { return };
            self.go_on_with_job(turn, fingerprint);
        }
    }

    /// What comes next of what was read of the tree here.
    fn next_of_tree(&mut self) -> Option<Event> {
        let reads = &self.groups.reads;
        self.tree.poll_for(|event| match event {
            Event::Got { ticket, .. } | Event::Scanned { ticket, .. } => reads.contains_key(ticket),
            event => matches!(event, Event::Flushed(_) | Event::Ingested(..) | Event::IngestionLost(_)),
        })
    }

    fn on_name_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        fingerprint: Fingerprint,
        applied: Result<Option<Name>, Brought>,
    ) {
        let Some(mut job) = self.groups.jobs.remove(&fingerprint) else { return };
        match applied {
            Ok(applied) => {
                job.applied = Some(applied);
                self.groups.jobs.insert(fingerprint, job);
                self.go_on_with_job(turn, fingerprint);
            }
            Err(brought) => self.on_brought(turn, &job.place, job.to, brought),
        }
    }

    /// Rows that are of no use any more go: those of older flush epochs, and of tables that were dropped.
    pub(crate) fn sweep_tree(&mut self) {
        let batch = rows::sweep(self.flushing.epoch(), self.catalogs.current());
        let Some(tree) = self.tree.rows() else { return };
        if tree.version() > lsm::Version(0) {
            // What is not taken now goes with the next sweep; nobody sees it.
            let _ = tree.apply(&batch);
        }
    }
}

/// The name in a name row.
pub(super) fn name_in(bytes: Option<&[u8]>) -> Result<Option<Name>, Brought> {
    bytes.map(rows::read_name).transpose().map_err(|_| Brought::Closed)
}
