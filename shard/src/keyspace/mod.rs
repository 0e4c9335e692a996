//! Commands about the keyspace: DBSIZE, SCAN, KEYS, RANDOMKEY and their like, and the partitions of a table, answered from a majority. FLUSHALL is [`crate::flush`]'s matter.
//!
//! # How
//!
//! A *survey* goes through the slots of its scope in order. It takes a range of slots and compares: the sums of what the
//! replicas hold go by question and answer, and where a majority has the same, this replica's directory is the answer. The
//! slots where that is not so are merged: the replicas needed for a majority list them, page by page, and of each key the
//! greatest ballot counts. Listing, like comparing, is done from the directories in memory; records are read only for
//! commands that want keys, and asked of a peer only where the peer's record is the newest.
//!
//! # What may be relied on
//!
//! A write that was answered before the survey began is at its ballot or a newer one on a majority, so any majority asked
//! afterwards shows it. A write under way may show or not; so may one that no host finished yet. DBSIZE and
//! COUNTKEYSINSLOT count from the directories, which do not know when values end: as in Redis, a key past its end counts
//! until somebody looks at it, a sweep at the latest. All others drop what has ended. A survey that meets a flush begins anew, so that it tells of one
//! flush epoch.
//!
//! # Parts
//!
//! `place` (cursors), `survey` (what is known of one), `job` (what the commands gather), `page` (merging, pure),
//! `walk` (the steps), `fetch` (keys), `ask` (questions and answers in), `answer` (questions of peers).

mod answer;
mod ask;
mod fetch;
mod job;
mod page;
mod place;
mod survey;
mod walk;

use std::collections::{BTreeMap, VecDeque};

use bitcask::Fingerprint;
use reactor::clock::Nanos;
use reactor::Disk;

use self::answer::Answering;
use self::job::Job;
use self::survey::Survey;
use crate::command::Keyspace;
use crate::core::{Shard, Status};
use crate::error::{self, Fault};
use crate::limits::{SURVEYS_MAX, SURVEYS_WAITING_MAX, SURVEY_REPLY_BYTES_MAX};
use crate::reply::Reply;
use crate::turn::{RequestId, Scope, Turn};

/// Names a survey, or an answer in the making; never used anew.
pub(crate) type SurveyId = u64;

/// What a disk read of this module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SurveyRead {
    reader: Reader,
    fingerprint: Fingerprint,
    /// Bytes of the record on disk.
    bytes: u32,
}

/// Who wants a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Survey(SurveyId),
    Answer(SurveyId),
}

/// The surveys of a core, and its answers to those of its peers.
#[derive(Debug, Default)]
pub(crate) struct Surveys {
    last_id: SurveyId,
    running: BTreeMap<SurveyId, Survey>,
    waiting: VecDeque<Survey>,
    answers: BTreeMap<SurveyId, Answering>,
    /// Bytes of keys gathered by all running surveys.
    reply_bytes: usize,
}

impl Surveys {
    /// When the next of them wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        let waiting = self.waiting.iter().map(|survey| survey.deadline);
        self.running.values().map(Survey::due).chain(waiting).min()
    }

    /// Surveys of clients that are not answered.
    pub fn under_way(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// Whether one goes over slots now.
    pub fn is_walking(&self) -> bool {
        !self.running.is_empty()
    }

    fn next_id(&mut self) -> SurveyId {
        self.last_id += 1;
        self.last_id
    }
}

impl<D: Disk> Shard<D> {
    /// A command about the keyspace, from a client of this host.
    pub(crate) fn survey(
        &mut self,
        turn: &mut Turn<'_, D>,
        request: RequestId,
        command: Keyspace,
        scope: Scope,
        deadline: Nanos,
    ) {
        let (up, members) = (self.hosts_up(), self.members.count());
        let Some(job) = Job::new(&command) else { return self.submit_flush(turn, request, deadline) };
        if up < self.members.majority() {
            self.metrics.no_quorum += 1;
            let reply = error::no_quorum(up, members, true);
            return turn.effects.replies.push((request, reply));
        }
        let runs = match command {
            Keyspace::CountInSlot(slot) | Keyspace::KeysInSlot { slot, .. } => vec![(slot, slot)],
            _ => scope.clone().map_or_else(|| vec![self.config.slots()], |scope| scope.into_vec()),
        };
        let asked = Box::new((command, scope));
        let cursor = match asked.0 {
            Keyspace::Scan { cursor, .. } | Keyspace::Partitions { cursor, .. } => Some(cursor),
            _ => None,
        };
        let survey = match (&asked.0, cursor) {
            (_, Some(cursor)) => Survey::from_cursor((request, asked), job, deadline, runs, cursor),
            (Keyspace::Random, None) => {
                let start = self.random_place(&runs);
                Survey::around((request, asked), job, deadline, &runs, start)
            }
            _ => Survey::new((request, asked), job, deadline, runs),
        };
        if self.surveys.running.len() < SURVEYS_MAX {
            self.start_survey(turn, survey);
        } else if self.surveys.waiting.len() < SURVEYS_WAITING_MAX {
            self.surveys.waiting.push_back(survey);
        } else {
            self.metrics.refused += 1;
            turn.effects.replies.push((request, error::BUSY));
        }
    }

    fn start_survey(&mut self, turn: &mut Turn<'_, D>, survey: Survey) {
        let id = self.surveys.next_id();
        self.surveys.running.insert(id, survey);
        self.advance(turn, id);
    }

    /// Lets a survey go on as far as it can.
    fn advance(&mut self, turn: &mut Turn<'_, D>, id: SurveyId) {
        if self.status != Status::Ready {
            return;
        }
        let Some(mut survey) = self.surveys.running.remove(&id) else { return };
        survey.again_at = None;
        let bytes = survey.job.bytes();
        let reply = self.go_on(turn, id, &mut survey);
        self.surveys.reply_bytes += survey.job.bytes() - bytes;
        let reply = reply.or_else(|| {
            let full = self.surveys.reply_bytes > SURVEY_REPLY_BYTES_MAX;
            full.then_some(error::TOO_MANY_KEYS_FOUND)
        });
        match reply {
            Some(reply) => self.end_survey(turn, survey, reply),
            None => {
                self.surveys.running.insert(id, survey);
            }
        }
    }

    fn end_survey(&mut self, turn: &mut Turn<'_, D>, survey: Survey, reply: Reply) {
        self.surveys.reply_bytes -= survey.job.bytes();
        turn.effects.replies.push((survey.request, reply));
    }

    /// What is due: deadlines, repetitions, surveys that paused, and those that waited for a place.
    pub(crate) fn survey_timers(&mut self, turn: &mut Turn<'_, D>) {
        if self.status != Status::Ready || self.surveys.under_way() == 0 {
            return;
        }
        let now = turn.clock.now;
        let quorum = self.hosts_up() >= self.members.majority();
        let ids: Vec<SurveyId> = self.surveys.running.keys().copied().collect();
        for id in ids {
            let over = |survey: &Survey| survey.deadline <= now || !quorum;
            if self.surveys.running.get(&id).is_some_and(over) {
                self.give_up(turn, id);
            } else {
                self.look_after(turn, id);
            }
        }
        self.waiting_surveys(turn, quorum);
    }

    /// Another flush epoch: what was found so far may be gone, and what is being read for peers.
    pub(crate) fn survey_anew(&mut self, turn: &mut Turn<'_, D>) {
        self.surveys.answers.clear();
        for survey in std::mem::take(&mut self.surveys.running).into_values() {
            self.metrics.survey_restarts += 1;
            self.surveys.reply_bytes -= survey.job.bytes();
            let (command, scope) = *survey.asked;
            self.survey(turn, survey.request, command, scope, survey.deadline);
        }
    }

    fn waiting_surveys(&mut self, turn: &mut Turn<'_, D>, quorum: bool) {
        let now = turn.clock.now;
        let waiting = std::mem::take(&mut self.surveys.waiting);
        for survey in waiting {
            if survey.deadline <= now || !quorum {
                let reply = self.too_late(&survey);
                turn.effects.replies.push((survey.request, reply));
            } else if self.surveys.running.len() < SURVEYS_MAX {
                self.start_survey(turn, survey);
            } else {
                self.surveys.waiting.push_back(survey);
            }
        }
    }

    fn give_up(&mut self, turn: &mut Turn<'_, D>, id: SurveyId) {
        if let Some(survey) = self.surveys.running.remove(&id) {
            let reply = self.too_late(&survey);
            self.end_survey(turn, survey, reply);
        }
    }

    /// What a survey answers that cannot be brought to its end.
    fn too_late(&mut self, survey: &Survey) -> Reply {
        let up = self.hosts_up();
        let answers = survey.answers().map_or(up, |answers| answers.min(up));
        self.metrics.expired_deadlines += 1;
        if answers < self.members.majority() {
            self.metrics.no_quorum += 1;
            error::no_quorum(answers, self.members.count(), true)
        } else {
            error::SURVEY_TIMED_OUT
        }
    }

    /// The core failed: every survey is answered with that.
    pub(crate) fn fail_surveys(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        let surveys = std::mem::take(&mut self.surveys);
        self.surveys.last_id = surveys.last_id;
        for survey in surveys.running.into_values().chain(surveys.waiting) {
            turn.effects.replies.push((survey.request, error::failed(fault, false)));
        }
    }

    /// A record of this module was read.
    pub(crate) fn on_survey_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        read: SurveyRead,
        found: Option<bitcask::Found>,
    ) {
        match read.reader {
            Reader::Survey(id) => {
                if let Some(batch) = self.surveys.running.get_mut(&id).and_then(Survey::batch) {
                    batch.reads.ended(read.bytes);
                    batch.take_found(found.as_ref(), (self.flushing.epoch(), turn.clock.wall_ms));
                    self.advance(turn, id);
                }
            }
            Reader::Answer(id) => {
                if let Some(mut answering) = self.surveys.answers.remove(&id) {
                    answering.reads.ended(read.bytes);
                    let epoch = self.flushing.epoch();
                    answering.take_found(read.fingerprint, read.bytes, found.as_ref(), epoch);
                    self.go_on_answering(turn, id, answering);
                }
            }
        }
    }
}
