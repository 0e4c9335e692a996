//! Clients: closed loops that ask, wait, give up, and go on elsewhere.

use std::collections::BTreeSet;

use paxos::{Ballot, Member};
use reactor::clock::{Nanos, MICROSECOND, MILLISECOND};
use shard::command::Command;
use shard::reply::Reply;
use shard::RequestId;
use synod_bench::history::{self, OperationId};

use super::core::Input;
use super::jobs::{job_of, JobAsk};
use super::surveys::Asked;
use super::tables::TableAsk;
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::ledger::show;
use crate::limits::{DEADLINE_MAX, HELD_BACK_UNTIL_MAX, OVERDUE, PIPELINE_MAX};
use crate::objects::{self, Shape};
use crate::order::Swap;
use crate::plan::Plan;
use crate::rows::{self, Table};
use crate::survey::Scan;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::{Ask, Form, Kind, Told};

/// Of the questions of clients that ask about the keyspace, one in so many does.
const SURVEY_ONE_IN: u64 = 6;

/// Of the questions of clients that ask about many keys at once, one in so many does.
const GROUP_ONE_IN: u64 = 4;

/// A client, connected to one core. It asks one question at a time, or a few at once, and goes on when all have ended.
#[derive(Debug)]
pub(super) struct Client {
    at: Place,
    pub left: u32,
    pub waits_for: BTreeSet<RequestId>,
    /// What it asks again, since it may have been done or not: as another operation, or, numbered, as the same one.
    again: Option<(Ask, Option<OperationId>)>,
    /// A walk through the keys that goes on.
    pub scan: Option<Scan>,
}

impl Client {
    pub fn new(id: u32, plan: &Plan) -> Client {
        let hosts = u32::from(plan.hosts);
        let core = (id / hosts % u32::from(plan.cores)) as u16;
        let at = Place { host: (id % hosts) as Member, core };
        Client { at, left: plan.operations, waits_for: BTreeSet::new(), again: None, scan: None }
    }

    pub fn is_done(&self) -> bool {
        self.left == 0 && self.waits_for.is_empty()
    }
}

/// Who asked.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// A client, with what it asked and its place in the history; `again`: it asked the same before, under the same number.
    Client { client: u32, ask: Box<Ask>, operation: OperationId, again: bool },
    /// A producer or a worker of jobs.
    Job(JobAsk),
    /// A mover, with the number of its question.
    Joint(usize),
    /// The last read of a key.
    LastRead { key: Vec<u8>, operation: OperationId },
    /// A session or a definer.
    Table(TableAsk),
    /// A client that asked about the keyspace. None: it is the last question.
    Survey { client: Option<u32>, asked: Box<Asked> },
}

/// A request that has not ended, for the simulator: the host owes a reply.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    /// The core that the client is connected to.
    pub at: Place,
    /// The core that owns the key.
    pub slice: u16,
    pub asker: Asker,
    pub deadline: Nanos,
    pub command: Command,
    /// It reached the host.
    pub arrived: bool,
    /// The newest that was chosen of its key when it was asked.
    pub chosen: Ballot,
}

impl World {
    /// A client asks its next question, if it has any left.
    pub(super) fn issue(&mut self, client: u32) {
        let entry = &mut self.clients[client as usize];
        if self.phase != Phase::Faults || entry.left == 0 {
            return self.check_done();
        }
        let at = entry.at;
        if !self.core(at).serves() {
            // Refused at once: nothing was asked.
            self.move_on(client);
            let at = self.now + self.work.between(MILLISECOND, 5 * MILLISECOND);
            return self.schedule(at, Event::Issue(client));
        }
        if self.holds_back(client) {
            let at = self.now + self.work.between(MILLISECOND, 50 * MILLISECOND);
            return self.schedule(at, Event::Issue(client));
        }
        if self.plan.classes.has(Class::Surveys) && self.work.below(SURVEY_ONE_IN) == 0 {
            return self.issue_survey(client, at);
        }
        if self.plan.classes.has(Class::Flushes) && self.work.below(self.plan.flush_one_in) == 0 {
            return self.issue_flush(client, at);
        }
        let left = u64::from(self.clients[client as usize].left);
        if self.plan.classes.has(Class::ManyKeys) && left > 1 && self.work.below(GROUP_ONE_IN) == 0 {
            if let Some(group) = self.workload.next_group(client, left) {
                return self.issue_group(client, at, group);
            }
        }
        let together =
            if self.plan.classes.has(Class::Pipelines) { self.work.between(1, PIPELINE_MAX) } else { 1 };
        let together = together.min(left);
        if together > 1 {
            self.label("a client asked several things at once");
        }
        for place in 0..together as u32 {
            self.issue_one(client, at, place);
        }
    }

    /// Whether a client waits with the rest of its questions: what is wrong with a learner that votes again shows only if it is asked then.
    fn holds_back(&self, client: u32) -> bool {
        let rest = self.clients[client as usize].left <= self.plan.operations / 3;
        let waits = rest && self.plan.classes.has(Class::Losses) && self.now < HELD_BACK_UNTIL_MAX;
        waits && self.learner().is_some()
    }

    /// One question, the `place`th of those asked at once.
    fn issue_one(&mut self, client: u32, at: Place, place: u32) {
        let entry = &mut self.clients[client as usize];
        entry.left -= 1;
        let again = entry.again.take();
        let (ask, operation) = again.unwrap_or_else(|| (self.workload.next(client), None));
        if let Some(shape) = objects::shape_of(&ask.key) {
            self.label(match shape {
                Shape::List => "a command about a list",
                Shape::Hash => "a command about a hash",
                Shape::Set => "a command about a set",
                Shape::SortedSet => "a command about a sorted set",
                Shape::Members => "a command about a set of tokens",
                Shape::End => "a command about when a key ends",
            });
        }
        match rows::partition_of(&ask.key) {
            Some((Table::Small, _)) => self.label("a statement on a partition"),
            Some((Table::Large, _)) => self.label("a statement on a large partition"),
            None => {}
        }
        if ask.in_steps {
            self.label("a transaction");
        }
        let command = ask.to_command();
        self.issue_part(client, at, place, (ask, operation), command);
    }

    /// One question of one key, as a command of its own or as a part of one; of an operation that began before, where it is asked again.
    pub(super) fn issue_part(
        &mut self,
        client: u32,
        at: Place,
        place: u32,
        (ask, again): (Ask, Option<OperationId>),
        command: Command,
    ) -> RequestId {
        if let (Form::Expiring(ms), Some(value)) = (ask.form, ask.value()) {
            self.lives.insert(value.to_vec(), ms);
        }
        let thread = client * PIPELINE_MAX as u32 + place;
        let operation =
            again.unwrap_or_else(|| self.history.call(thread, &ask.key, ask.command.clone(), self.now));
        let deadline = self.now + self.work.between(30 * MILLISECOND, DEADLINE_MAX);
        let (arrival, chosen) = (self.client_delay(), self.ledger.newest_chosen(&ask.key));
        let request = self.open_request(Outstanding {
            at,
            slice: self.ledger.slice_of(&ask.key),
            asker: Asker::Client { client, ask: Box::new(ask), operation, again: again.is_some() },
            deadline,
            command,
            arrived: false,
            chosen,
        });
        self.clients[client as usize].waits_for.insert(request);
        self.schedule(self.now + arrival, Event::Ask { request });
        let mut patience = self.work.between(self.plan.patience, 4 * self.plan.patience);
        if self.plan.classes.has(Class::Disconnects) && self.work.below(8) == 0 {
            self.label("a client went away at once");
            patience = self.work.below(200 * MICROSECOND);
        }
        self.schedule(self.now + patience, Event::GiveUp { client, request });
        request
    }

    pub(super) fn open_request(&mut self, outstanding: Outstanding) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.tell(|| format!("{:?} to {}: {:?}", request, outstanding.at, outstanding.command));
        self.outstanding.insert(request, outstanding);
        request
    }

    pub(super) fn client_delay(&mut self) -> Nanos {
        self.work.between(5 * MICROSECOND, 60 * MICROSECOND)
    }

    /// A question arrives at its host, and goes to the core that owns the key: as mail, if that is another one.
    pub(super) fn ask(&mut self, request: RequestId) {
        let Some(outstanding) = self.outstanding.get_mut(&request) else { return };
        outstanding.arrived = true;
        let (at, slice) = (outstanding.at, outstanding.slice);
        let (command, deadline) = (outstanding.command.clone(), outstanding.deadline);
        if !self.core(at).is_up() {
            let gone = self.outstanding.remove(&request);
            if let Some(Asker::Joint(number)) = gone.as_ref().map(|one| &one.asker) {
                self.on_joint_lost(*number);
            }
            let job = gone.as_ref().and_then(job_of);
            job.iter().for_each(|ask| self.on_job_lost(ask, false));
            return;
        }
        if slice != at.core {
            self.label("a command went to another core");
        }
        let owner = Place { core: slice, ..at };
        if let Some(command) = self.plan(request, at, command) {
            self.arrive(owner, Input::Request { id: request, command, deadline });
        }
    }

    /// A host replies. What the reply claims is checked as it leaves.
    pub(super) fn reply(&mut self, place: Place, request: RequestId, reply: Reply) -> Checked {
        self.tell(|| format!("{place} replies to {request:?}: {reply:?}"));
        let owes = |one: &Outstanding| one.at.host == place.host && one.slice == place.core;
        let Some(outstanding) = self.outstanding.remove(&request).filter(owes) else {
            let detail = format!("{place} replied to {request:?}, which it does not owe a reply");
            return Err(Violation::new(invariant::ONE_REPLY, detail));
        };
        match outstanding.asker {
            Asker::Client { client, ask, operation, again } => {
                self.check_claim(&ask, outstanding.chosen, &reply)?;
                self.note_part(request, &reply)?;
                self.settle(client, request, &ask, (operation, again), &reply)
            }
            Asker::Job(ask) => self.on_job_reply(&ask, &reply),
            Asker::Joint(number) => self.on_joint_reply(number, &reply),
            Asker::Table(ask) => self.on_table_reply(ask, reply),
            Asker::LastRead { key, operation } => {
                self.on_last_read(place.host, key, (operation, outstanding.chosen), reply)
            }
            Asker::Survey { client, asked } => self.on_survey(place.core, request, client, *asked, &reply),
        }
    }

    /// `chosen`: the newest that was chosen of the key when it was asked.
    fn check_claim(&self, ask: &Ask, chosen: Ballot, reply: &Reply) -> Checked {
        let kind = self.workload.kind_of(&ask.key);
        let Told::Reply(told, _) = ask.told(reply) else { return Ok(()) };
        match (&ask.command, &told) {
            (history::Command::Append(token), history::Reply::Int(_)) if kind == Kind::Appended => {
                self.ledger.appended(&ask.key, token)
            }
            (history::Command::Get, told) => self.check_shown(&ask.key, told, chosen),
            _ => Ok(()),
        }
    }

    pub(super) fn check_shown(&self, key: &[u8], told: &history::Reply, chosen: Ballot) -> Checked {
        match (told, self.workload.kind_of(key)) {
            // Its values come again.
            (_, Kind::Counter | Kind::Tagged) => Ok(()),
            _ if matches!(objects::shape_of(key), Some(Shape::Set | Shape::End)) => Ok(()),
            (history::Reply::Value(value), _) => self.ledger.shown(key, value, chosen),
            // Where there are flushes, any may be empty.
            (history::Reply::Nil, Kind::Appended) if !self.plan.classes.is_drawn(Class::Flushes) => {
                self.ledger.shown(key, b"", chosen)
            }
            _ => Ok(()),
        }
    }

    /// The reply is recorded at the moment it leaves, if the client still waits for it: the way back could only blur it.
    fn settle(
        &mut self,
        client: u32,
        request: RequestId,
        ask: &Ask,
        (operation, again): (OperationId, bool),
        reply: &Reply,
    ) -> Checked {
        if !self.waits(client, request) {
            self.label("a reply came too late for its client");
            return Ok(());
        }
        let told = match ask.told(reply) {
            // It says what became of this attempt, not of the ones before it.
            Told::Failed if again => Told::Unknown,
            told => told,
        };
        let label = match &told {
            Told::Reply(reply, version) => {
                if again {
                    self.label("a numbered request was answered when it was sent again");
                }
                self.history.replied(operation, self.now, reply.clone(), *version);
                if let (Form::Versioned(Some(expected)), Some(version)) = (ask.form, *version) {
                    let (key, call) = (ask.key.clone(), self.history.operations[operation.0].call);
                    self.swaps.push(Swap { key, expected, version, call, returned: self.now });
                }
                "replied"
            }
            Told::Failed => {
                self.history.failed(operation);
                "failed"
            }
            Told::Unknown => {
                self.may_ask_again(client, ask, operation);
                "unknown by reply"
            }
        };
        self.label(label);
        if let Reply::Error(text) = reply {
            let kind = ["no quorum", "timeout", "UNCERTAIN", "still reading", "busy"];
            let kind = kind.into_iter().find(|kind| text.contains(kind));
            self.label(kind.unwrap_or("another error"));
        }
        self.learn(ask, &told);
        let delay = self.client_delay();
        self.schedule(self.now + delay, Event::Answer { client, request, reply: Box::new(reply.clone()) });
        Ok(())
    }

    fn learn(&mut self, ask: &Ask, told: &Told) {
        if let Some((key, appended)) = self.workload.learn(ask, told) {
            self.ledger.watch(&key, appended);
            self.note_new_key(&key);
            self.note_new_partition(&key);
        }
    }

    /// A reply reaches its client, which goes on.
    pub(super) fn answer(&mut self, client: u32, request: RequestId, reply: &Reply) -> Checked {
        if !self.clients[client as usize].waits_for.remove(&request) {
            return Ok(());
        }
        if reply.is_error() && self.work.coin() {
            self.move_on(client);
        }
        self.go_on(client);
        Ok(())
    }

    /// A client does not wait any longer: it will never know, and goes on elsewhere.
    pub(super) fn give_up(&mut self, client: u32, request: RequestId) {
        // The reply may be on its way; then the history has it already.
        if !self.clients[client as usize].waits_for.remove(&request) {
            return;
        }
        let asker = self.outstanding.get(&request).map(|outstanding| outstanding.asker.clone());
        if let Some(Asker::Client { ask, operation, .. }) = asker {
            self.learn(&ask, &Told::Unknown);
            self.may_ask_again(client, &ask, operation);
            self.label("unknown by giving up");
        }
        self.tell(|| format!("client {client} gives up {request:?}"));
        self.move_on(client);
        self.go_on(client);
    }

    pub(super) fn waits(&self, client: u32, request: RequestId) -> bool {
        self.clients[client as usize].waits_for.contains(&request)
    }

    /// What may have been done or not is asked again, as a question of its own: unless values must all be different.
    fn may_ask_again(&mut self, client: u32, ask: &Ask, operation: OperationId) {
        if ask.number.is_some() {
            if self.work.below(4) > 0 {
                self.clients[client as usize].again = Some((ask.clone(), Some(operation)));
            }
            return;
        }
        let unlike = matches!(self.workload.kind_of(&ask.key), Kind::Appended | Kind::Register);
        if self.plan.classes.has(Class::Retries) && (ask.command.is_read() || !unlike) && self.work.coin() {
            self.label("a client asked again");
            if let Some(value) = ask.value() {
                self.ledger.written_again(&ask.key, value);
            }
            self.clients[client as usize].again = Some((ask.clone(), None));
        }
    }

    fn move_on(&mut self, client: u32) {
        let host = self.work.below(u64::from(self.plan.hosts)) as Member;
        let core = if self.plan.cores > 1 { self.work.below(u64::from(self.plan.cores)) as u16 } else { 0 };
        self.clients[client as usize].at = Place { host, core };
    }

    fn go_on(&mut self, client: u32) {
        if !self.clients[client as usize].waits_for.is_empty() {
            return;
        }
        let think = self.work.below(1 + self.plan.think);
        self.schedule(self.now + think, Event::Issue(client));
    }

    /// A host died: its clients notice the reset, or wait on; it owes nothing any more.
    pub(super) fn hang_up(&mut self, host: Member) {
        let gone: Vec<RequestId> = self
            .outstanding
            .iter()
            .filter(|(_, one)| one.at.host == host && one.arrived)
            .map(|(id, _)| *id)
            .collect();
        for request in gone {
            let Some(outstanding) = self.outstanding.remove(&request) else { continue };
            if let Some(ask) = job_of(&outstanding) {
                self.on_job_lost(&ask, true);
                continue;
            }
            let (client, ask) = match outstanding.asker {
                Asker::Client { client, ask, operation, .. } => (client, Some((ask, operation))),
                Asker::Survey { client: Some(client), .. } => (client, None),
                Asker::Joint(number) => {
                    self.on_joint_lost(number);
                    continue;
                }
                Asker::Survey { client: None, .. }
                | Asker::LastRead { .. }
                | Asker::Job(_)
                | Asker::Table(_) => continue,
            };
            if !self.waits(client, request) {
                continue;
            }
            if let Some((ask, operation)) = ask {
                self.learn(&ask, &Told::Unknown);
                self.may_ask_again(client, &ask, operation);
            }
            self.label("unknown by a reset");
            let after = self.work.between(MILLISECOND / 10, 3 * MILLISECOND);
            self.schedule(self.now + after, Event::GiveUp { client, request });
        }
        self.hang_up_workers(host);
    }

    /// Looks for requests that should have ended long ago.
    pub(super) fn watch(&mut self) -> Checked {
        for (request, one) in &self.outstanding {
            let host = &self.hosts[usize::from(one.at.host)];
            let since = one.deadline.max(host.paused_until);
            if one.arrived && host.is_up() && since + OVERDUE < self.now {
                let detail = format!(
                    "{} owes a reply to {request:?} ({}) since {} ms",
                    one.at,
                    show(one.command.key().unwrap_or_default()),
                    one.deadline / MILLISECOND
                );
                return Err(Violation::new(invariant::ONE_REPLY, detail));
            }
        }
        self.schedule(self.now + DEADLINE_MAX / 4, Event::Watch);
        Ok(())
    }
}
