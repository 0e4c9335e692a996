//! FLUSHALL: a flush that a client of this core has asked for.
//!
//! A majority of the voters is asked for their epochs; one more than the newest is made durable at a majority; then it is done. This core has it
//! durable itself only after another one has, lest it come back from a loss of all the others with a flush of which nobody else heard.
//!
//! Clients who come while one goes on wait for the next: the epoch that this one comes to may have been served in before they asked.

use paxos::{Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{Shard, Status};
use crate::error::{self, Fault};
use crate::limits::{FLUSHES_WAITING_MAX, FLUSH_EPOCH_MAX, RESEND_NS, RESEND_NS_MAX};
use crate::reply::Reply;
use crate::turn::{RequestId, Turn};
use crate::wire::{Flush, FlushSaid, PeerMessage, Sender};

/// Who waits for a flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    request: RequestId,
    deadline: Nanos,
    /// A flush that was begun for it has left, and may happen whatever becomes of the next.
    may_happen: bool,
}

/// A flush that goes on.
#[derive(Debug)]
pub(super) struct Job {
    askers: Vec<Asker>,
    question: u64,
    stage: Stage,
    /// Who has answered: this core, if it counts, among them.
    heard: MemberSet,
    since: Nanos,
    resends: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For their epochs; the newest so far.
    Asking(u32),
    /// To have this one durable.
    Raising(u32),
}

impl Job {
    fn due(&self) -> Nanos {
        self.since + (RESEND_NS << self.resends.min(4)).min(RESEND_NS_MAX)
    }

    fn said(&self) -> FlushSaid {
        match self.stage {
            Stage::Asking(_) => FlushSaid::Ask,
            Stage::Raising(epoch) => FlushSaid::Raise(epoch),
        }
    }

    /// From now on somebody may take the epoch.
    fn raise(&mut self, epoch: u32) {
        (self.stage, self.heard) = (Stage::Raising(epoch), MemberSet::EMPTY);
        self.askers.iter_mut().for_each(|asker| asker.may_happen = true);
    }
}

impl super::Flushing {
    /// When flushes want a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        let due = self.job.as_ref().map(Job::due);
        let askers = self.job.iter().flat_map(|job| &job.askers).chain(&self.waiting);
        // Nobody goes on but those who wait: a flush begins at once.
        let begins = (self.job.is_none() && !self.waiting.is_empty()).then_some(0);
        askers.map(|asker| asker.deadline).chain(due).chain(begins).min()
    }
}

impl<D: Disk> Shard<D> {
    /// A client of this host wants all keys of the core gone.
    pub(crate) fn submit_flush(&mut self, turn: &mut Turn<'_, D>, request: RequestId, deadline: Nanos) {
        let up = self.hosts_up();
        if up < self.members.majority() {
            self.metrics.no_quorum += 1;
            let reply = error::no_quorum(up, self.members.count(), false);
            return turn.effects.replies.push((request, reply));
        }
        if self.flushing.waiting.len() >= FLUSHES_WAITING_MAX {
            self.metrics.refused += 1;
            return turn.effects.replies.push((request, error::BUSY));
        }
        self.flushing.waiting.push(Asker { request, deadline, may_happen: false });
        self.start_flush(turn);
    }

    /// Begins the next flush, if somebody waits and none goes on.
    fn start_flush(&mut self, turn: &mut Turn<'_, D>) {
        if self.flushing.job.is_some() || self.flushing.waiting.is_empty() {
            return;
        }
        let question = self.flush_question();
        let own = self.flushing.epoch;
        let mut heard = MemberSet::EMPTY;
        heard.insert(self.config.me);
        let askers = std::mem::take(&mut self.flushing.waiting);
        let stage = Stage::Asking(own);
        let mut job = Job { askers, question, stage, heard, since: turn.clock.now, resends: 0 };
        if planted(531) {
            job.raise(own + 1);
        }
        self.flushing.job = Some(job);
        self.ask_of_flush(turn);
        self.go_on_flushing(turn);
    }

    fn flush_question(&mut self) -> u64 {
        self.flushing.last_question = self.flushing.last_question.wrapping_add(1);
        u64::from(self.incarnation) << 32 | u64::from(self.flushing.last_question)
    }

    /// Asks the voters that have not answered.
    fn ask_of_flush(&mut self, turn: &mut Turn<'_, D>) {
        let Some(job) = &self.flushing.job else { return };
        let (flush, heard) = (Flush { id: job.question, said: job.said() }, job.heard);
        let me = self.config.me;
        let others = (0..self.members.count()).filter(|member| *member != me && !heard.contains(*member));
        let others: Vec<Member> = others.filter(|member| self.peers_up[usize::from(*member)]).collect();
        others.into_iter().for_each(|member| self.say_of_flush(turn, member, flush));
    }

    fn say_of_flush(&mut self, turn: &mut Turn<'_, D>, to: Member, flush: Flush) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Flush(flush).encode(sender, out));
    }

    /// A voter says something of a flush. What it asks for is durable by now.
    pub(crate) fn on_flush_said(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        flush: Flush,
    ) {
        match flush.said {
            FlushSaid::Ask | FlushSaid::Raise(_) => {
                self.say_of_flush(turn, from, Flush { id: flush.id, said: FlushSaid::Told });
            }
            FlushSaid::Told => {
                let Some(job) = self.flushing.job.as_mut().filter(|job| job.question == flush.id) else {
                    return;
                };
                match &mut job.stage {
                    Stage::Asking(newest) => *newest = theirs.flush.max(*newest),
                    Stage::Raising(epoch) if theirs.flush < *epoch => return,
                    Stage::Raising(_) => {}
                }
                job.heard.insert(from);
                self.go_on_flushing(turn);
            }
        }
    }

    /// Goes on with the flush as far as what is known by now allows.
    pub(super) fn go_on_flushing(&mut self, turn: &mut Turn<'_, D>) {
        let (own, majority) = (self.flushing.epoch, self.members.majority());
        let question = self.flush_question();
        let Some(job) = &mut self.flushing.job else { return };
        if let Stage::Asking(newest) = job.stage {
            if job.heard.count() < majority {
                return;
            }
            let epoch = newest.max(own) + 1;
            if epoch > FLUSH_EPOCH_MAX {
                return self.end_flush(turn, &error::UNCERTAIN, &error::FLUSHES_USED_UP);
            }
            job.raise(epoch);
            (job.question, job.since, job.resends) = (question, turn.clock.now, 0);
            self.ask_of_flush(turn);
        }
        let Some(job) = &mut self.flushing.job else { return };
        let Stage::Raising(epoch) = job.stage else { return };
        if own >= epoch {
            job.heard.insert(self.config.me);
        } else if job.heard.count() > 0 || majority == 1 || planted(531) {
            // What the log does not take now it takes at the next try.
            self.save_flush_epoch(turn, epoch);
            return;
        }
        if job.heard.count() >= majority {
            self.metrics.flushes += 1;
            self.end_flush(turn, &Reply::OK, &Reply::OK);
        }
    }

    /// Ends the flush that goes on. `begun`: the answer for whom one may happen or has happened, `not` for the others.
    fn end_flush(&mut self, turn: &mut Turn<'_, D>, begun: &Reply, not: &Reply) {
        let Some(job) = self.flushing.job.take() else { return };
        self.answer_askers(turn, &job.askers, begun, not);
    }

    fn answer_askers(&self, turn: &mut Turn<'_, D>, askers: &[Asker], begun: &Reply, not: &Reply) {
        let reply = |asker: &Asker| if asker.may_happen { begun } else { not }.clone();
        turn.effects.replies.extend(askers.iter().map(|asker| (asker.request, reply(asker))));
    }

    /// The config epoch is another one: what was answered counts no more. What has left may happen nevertheless.
    pub(crate) fn void_flush(&mut self) {
        if let Some(job) = self.flushing.job.take() {
            self.flushing.waiting.extend(job.askers);
        }
    }

    /// What is due by the clock.
    pub(crate) fn flush_timers(&mut self, turn: &mut Turn<'_, D>) {
        if self.status != Status::Ready {
            return;
        }
        let now = turn.clock.now;
        let late = |asker: &mut Asker| asker.deadline <= now;
        let mut askers: Vec<Asker> = self.flushing.waiting.extract_if(.., late).collect();
        if let Some(job) = &mut self.flushing.job {
            askers.extend(job.askers.extract_if(.., late));
        }
        self.flushing.job.take_if(|job| job.askers.is_empty());
        askers.into_iter().for_each(|asker| self.answer_late_flush(turn, asker));
        self.start_flush(turn);
        if let Some(job) = self.flushing.job.as_mut().filter(|job| job.due() <= now) {
            (job.since, job.resends) = (now, job.resends + 1);
            self.metrics.resends += 1;
            self.ask_of_flush(turn);
            self.go_on_flushing(turn);
        }
    }

    fn answer_late_flush(&mut self, turn: &mut Turn<'_, D>, asker: Asker) {
        self.metrics.expired_deadlines += 1;
        let (up, members) = (self.hosts_up(), self.members.count());
        let reply = match asker.may_happen {
            true => error::UNCERTAIN,
            false if up < self.members.majority() => error::no_quorum(up, members, false),
            false => error::TIMED_OUT,
        };
        self.metrics.uncertain += u64::from(asker.may_happen);
        turn.effects.replies.push((asker.request, reply));
    }

    /// The core failed: who waits is told.
    pub(crate) fn fail_flushes(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        let (begun, not) = (error::failed(fault, true), error::failed(fault, false));
        let mut askers = std::mem::take(&mut self.flushing.waiting);
        askers.extend(self.flushing.job.take().into_iter().flat_map(|job| job.askers));
        self.answer_askers(turn, &askers, &begun, &not);
        (self.flushing.held, self.flushing.held_bytes, self.flushing.saving) = Default::default();
    }
}
