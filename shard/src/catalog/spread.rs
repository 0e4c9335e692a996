//! A change of the catalog that is to be known: to a majority of the slice's voters, before the client that asked for it has its answer.
//!
//! Every message bears its sender's version, so who has it need not be asked; who lacks it is told the bytes until it has them.

use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;
use sql::Catalog;

use crate::command::sql_error;
use crate::core::Shard;
use crate::error::{self, Fault};
use crate::limits::{CATALOG_RESEND_NS, CATALOG_WAITING_MAX};
use crate::reply::Reply;
use crate::turn::{RequestId, Turn};
use crate::wire::Sender;

/// Changes that clients of this host wait for.
#[derive(Debug, Default)]
pub(super) struct Spread {
    jobs: Vec<Job>,
    /// The newest version that each member has said it has, in this config epoch.
    told: Vec<u64>,
    /// When those that lack it are told next.
    tell_at: Nanos,
}

/// Somebody waits for a version.
#[derive(Clone, Copy, Debug)]
struct Job {
    version: u64,
    request: RequestId,
    deadline: Nanos,
}

impl Spread {
    pub fn new(members: usize) -> Spread {
        Spread { told: vec![0; members], ..Spread::default() }
    }

    pub fn deadline(&self) -> Option<Nanos> {
        self.jobs.iter().map(|job| job.deadline.min(self.tell_at)).min()
    }
}

impl<D: Disk> Shard<D> {
    /// A client's session has a catalog that was chosen, and wants a majority of the slice to have it.
    pub(crate) fn submit_spread(
        &mut self,
        turn: &mut Turn<'_, D>,
        request: RequestId,
        bytes: &[u8],
        deadline: Nanos,
    ) {
        let version = match Catalog::decode(bytes) {
            Ok(catalog) => catalog.version(),
            Err(error) => return turn.effects.replies.push((request, sql_error(&error))),
        };
        if self.catalogs.spread.jobs.len() >= CATALOG_WAITING_MAX {
            self.metrics.refused += 1;
            return turn.effects.replies.push((request, error::BUSY));
        }
        self.catalogs.spread.jobs.push(Job { version, request, deadline });
        self.take_catalog(turn, bytes);
        self.go_on_spreading(turn);
    }

    /// A message of a member was heeded, and bears this.
    pub(crate) fn note_catalog_of(&mut self, turn: &mut Turn<'_, D>, from: Member, theirs: Sender) {
        let told = &mut self.catalogs.spread.told[usize::from(from)];
        if theirs.catalog > *told && theirs.epoch == self.epoch {
            *told = theirs.catalog;
            self.go_on_spreading(turn);
        }
    }

    /// The config epoch is another one: what was said counts no more.
    pub(crate) fn void_spread(&mut self) {
        self.catalogs.spread.told.fill(0);
    }

    /// Answers those whose version a majority has, and tells those that lack it.
    pub(super) fn go_on_spreading(&mut self, turn: &mut Turn<'_, D>) {
        if self.catalogs.spread.jobs.is_empty() {
            return;
        }
        let known = self.known_by_majority();
        let done = self.catalogs.spread.jobs.extract_if(.., |job| job.version <= known);
        turn.effects.replies.extend(done.map(|job| (job.request, Reply::OK)));
        if !self.catalogs.spread.jobs.is_empty() && self.catalogs.spread.tell_at <= turn.clock.now {
            self.tell_who_lacks_it(turn);
        }
    }

    /// The newest version that a majority of the voters has, and this core, too.
    fn known_by_majority(&self) -> u64 {
        let (own, me) = (self.catalogs.version(), self.config.me);
        if planted(540) {
            return own;
        }
        let of = |member: Member| match (member == me, usize::from(member)) {
            (true, _) if self.config.learner => 0,
            (true, _) => own,
            (false, at) if self.learners[at] => 0,
            (false, at) => self.catalogs.spread.told[at],
        };
        let mut versions: Vec<u64> = (0..self.members.count()).map(of).collect();
        versions.sort_unstable_by(|left, right| right.cmp(left));
        let last = usize::from(self.members.majority()) - 1;
        versions.get(last).map_or(0, |version| (*version).min(own))
    }

    fn tell_who_lacks_it(&mut self, turn: &mut Turn<'_, D>) {
        self.catalogs.spread.tell_at = turn.clock.now + CATALOG_RESEND_NS;
        let (own, me) = (self.catalogs.version(), self.config.me);
        let lacks = |member: &Member| {
            let at = usize::from(*member);
            *member != me && self.links_up[at] && self.catalogs.spread.told[at] < own
        };
        let members: Vec<Member> = (0..self.members.count()).filter(lacks).collect();
        members.into_iter().for_each(|member| self.tell_catalog(turn, member));
    }

    /// What is due by the clock.
    pub(super) fn spread_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        let late: Vec<Job> = self.catalogs.spread.jobs.extract_if(.., |job| job.deadline <= now).collect();
        for job in late {
            self.metrics.expired_deadlines += 1;
            self.metrics.uncertain += 1;
            turn.effects.replies.push((job.request, error::UNCERTAIN));
        }
        self.go_on_spreading(turn);
    }

    /// The core failed: who waits is told.
    pub(crate) fn fail_catalogs(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        let (begun, not) = (error::failed(fault, true), error::failed(fault, false));
        let jobs = std::mem::take(&mut self.catalogs.spread.jobs);
        turn.effects.replies.extend(jobs.iter().map(|job| (job.request, begun.clone())));
        let waiting = std::mem::take(&mut self.catalogs.waiting);
        for request in waiting {
            self.release_waiting(&request);
            turn.effects.replies.push((request.id, not.clone()));
        }
        (self.catalogs.saving, self.catalogs.asked_at) = Default::default();
        (self.catalogs.wanted, self.catalogs.try_at) = Default::default();
    }
}
