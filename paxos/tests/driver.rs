//! A replica as the tests drive it: an instance, its disk, and the few rules that the protocol leaves to the caller (fresh ballots,
//! retries, request ids, what to do with a read that found a conflict). Exploration and random schedules share it.
//!
//! The entry is the list of all commands ever applied, so "extends" is "has as a prefix", and linearizability can be read off.

mod epochs;
mod forms;
mod shared;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

pub use forms::Form;
use forms::Records;
use paxos::{
    AcceptorState, Ballot, Entry, Found, Instance, Member, Members, Message, Output, ReadOutcome, Recorded,
    Report, Token,
};

/// A command, by its request id.
pub type Id = u16;

/// An entry: the ids of all commands applied, in order; and in which form it is sent, which is no part of what it means.
#[derive(Clone, Default)]
pub struct Log(pub Vec<Id>, pub Form);

impl PartialEq for Log {
    fn eq(&self, other: &Log) -> bool {
        self.0 == other.0
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&self.0).finish()
    }
}

/// Stands in a log where a tombstone was dropped: the commands before it are remembered by the checker alone.
pub const DROPPED: Id = Id::MAX;

impl Log {
    /// Whether the entry remembers the command.
    pub fn has(&self, id: Id) -> bool {
        self.0.rsplit(|known| *known == DROPPED).next().is_some_and(|known| known.contains(&id))
    }

    /// Whether this log is `earlier` or an extension of it.
    pub fn extends(&self, earlier: &Log) -> bool {
        self.0.starts_with(&earlier.0)
    }

    fn with(&self, id: Id) -> Log {
        Log(self.0.iter().copied().chain([id]).collect(), Form::Whole)
    }
}

impl Entry for Log {
    fn agrees(&self, other: &Log) -> bool {
        self == other
    }
}

/// A fault planted in the caller or the disk, to prove that the checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The protocol as it is.
    None,
    /// Answers leave before the change they rest on is durable.
    AnswerEarly,
    /// The proposer counts its own accept before it is durable.
    CountOwnEarly,
    /// A restart issues ballots that were issued before it.
    BallotReuse,
    /// A read returns the highest record of a majority without finishing it.
    HighestUnfinished,
    /// A restart forgets a bare promise.
    ForgetPromise,
    /// The proposer does not extend what phase 1 found.
    IgnoreFound,
    /// The fast path is taken from a record that is not known to be chosen.
    FastUnchosen,
    /// The fast path is taken from a record of another proposer.
    FastForeign,
    /// A read trusts the own record without asking anybody.
    ReadAlone,
    /// A retried command is applied without looking for its id.
    ApplyTwice,
    /// A delta is taken whatever was accepted before it.
    AnyBase,
    /// The whole that is sent to who lacks the base is what it was before the delta.
    WholeOfTheBase,
    /// A merge keeps the newest record of a key, and not what that stands on.
    MergeKeepsTheNewest,
    /// Who lacks the base votes.
    NeedBaseIsAVote,
    /// A command that is found in an older epoch is acknowledged.
    OlderIdsCount,
}

/// What the checker must know of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An Accept was issued.
    Proposed { ballot: Ballot, log: Log },
    /// A vote became durable.
    Voted { ballot: Ballot, log: Log },
    /// A client sent a write, for the first time or again.
    WriteStarted { id: Id },
    /// The write was acknowledged on the strength of the entry chosen at `ballot`.
    Acked { id: Id, ballot: Ballot, log: Log },
    /// The write was given up: its outcome is unknown.
    WriteDropped { id: Id },
    /// A client sent a read.
    ReadStarted,
    /// The read was answered.
    ReadDone { ballot: Ballot, log: Log },
    /// The read was given up.
    ReadDropped,
    /// A promise that was given did not survive, or a record was called corrupt.
    Broken(&'static str),
}

/// What a step of a replica led to.
#[derive(Default)]
pub struct Effects {
    pub sends: Vec<(Member, Message<Log>)>,
    pub events: Vec<Event>,
}

/// What the current ballot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Job {
    Write(Id),
    Read,
}

/// Where a read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Asking(u64),
    Finish,
}

/// One replica with its disk and its clients' open requests: at most one write and one read.
#[derive(Clone, Debug)]
pub struct Replica {
    me: Member,
    members: Members,
    mutation: Mutation,
    /// Changes become durable at once, not by a step of their own.
    quick_disk: bool,
    /// An unfinished record is finished by itself before it is extended.
    finish_first: bool,
    /// Rounds of all messages raise the own counter; else only those that cost a ballot do (fewer states, same rules).
    lamport: bool,
    inst: Instance<Log>,
    durable: AcceptorState,
    durable_log: Option<Log>,
    /// Entries may be deltas; then this is what the log has.
    deltas: bool,
    records: Records,
    /// Of the slot.
    epoch: u64,
    /// An absent record refuses every ballot up to this one. Durable.
    floor: Ballot,
    /// What was before nothing: a ghost, for the checker's eyes.
    pub absent: Log,
    disk: VecDeque<(Token, Recorded<Log>)>,
    incarnation: u32,
    round: u64,
    told: Ballot,
    /// How many ballots may yet be issued.
    pub ballots_left: u8,
    job: Option<Job>,
    proposal: Option<(Ballot, Log)>,
    write: Option<Id>,
    read: Option<Reading>,
    reads: u32,
    heard: Vec<(Member, Report<Log>)>,
    /// The fast path is not for records up to this round: they are from before an epoch.
    fast_above: u64,
    /// Requests below this ballot are refused, whatever was promised for the record alone.
    bound: Ballot,
    /// Nothing is proposed below this one.
    own_bound: Ballot,
    /// Changes that were ever handed to the disk.
    written: u64,
}

impl Hash for Replica {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.inst, &self.durable, &self.durable_log, self.floor, &self.absent).hash(hasher);
        self.disk.iter().for_each(|(_, record)| record.hash(hasher));
        (self.incarnation, self.round, self.told, self.ballots_left).hash(hasher);
        (self.job, &self.proposal, self.write, self.read, self.reads, &self.heard).hash(hasher);
    }
}

/// How a replica is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub members: u8,
    pub mutation: Mutation,
    pub quick_disk: bool,
    pub finish_first: bool,
    pub lamport: bool,
    pub ballots: u8,
    /// Entries may be deltas.
    pub deltas: bool,
}

impl Setup {
    /// A replica that follows all rules, in a world with clocks of rounds, whole entries and no bound on ballots.
    pub fn fair(members: u8, finish_first: bool) -> Setup {
        Setup {
            members,
            mutation: Mutation::None,
            quick_disk: false,
            finish_first,
            lamport: true,
            ballots: 0,
            deltas: false,
        }
    }
}

impl Replica {
    pub fn new(me: Member, setup: Setup) -> Replica {
        let members = Members::new(setup.members).expect("a member count");
        Replica {
            me,
            members,
            mutation: setup.mutation,
            quick_disk: setup.quick_disk,
            finish_first: setup.finish_first,
            lamport: setup.lamport,
            inst: Instance::new(me, members, AcceptorState::default(), None),
            durable: AcceptorState::default(),
            durable_log: None,
            deltas: setup.deltas,
            records: Records::default(),
            epoch: 0,
            floor: Ballot::ZERO,
            absent: Log::default(),
            disk: VecDeque::new(),
            incarnation: 1,
            round: 0,
            told: Ballot::ZERO,
            ballots_left: setup.ballots,
            job: None,
            proposal: None,
            write: None,
            read: None,
            reads: 0,
            heard: Vec::new(),
            fast_above: 0,
            bound: Ballot::ZERO,
            own_bound: Ballot::ZERO,
            written: 0,
        }
    }

    /// A new epoch: all that rests on answers is void, and so is the fast path.
    pub fn change_epoch(&mut self, fx: &mut Effects) {
        self.give_up_ballot();
        if matches!(self.read, Some(Reading::Asking(_))) {
            self.inst.abandon_read();
            self.read = None;
            fx.events.push(Event::ReadDropped);
        }
        self.fast_above = self.round.max(self.durable.promised.round);
    }

    /// The log is lost: nothing of what it promised is known any more.
    pub fn lose_log(&mut self, fx: &mut Effects) {
        self.give_up_requests(fx);
        self.disk.clear();
        (self.durable, self.durable_log, self.floor) = (AcceptorState::default(), None, Ballot::ZERO);
        self.records.clear();
        (self.told, self.round, self.reads, self.fast_above) = (Ballot::ZERO, 0, 0, 0);
        self.inst = Instance::new(self.me, self.members, self.durable, None);
    }

    /// It is a voter again, with ballots that no former life of it has issued.
    pub fn start_life(&mut self, incarnation: u32) {
        assert!(incarnation > self.incarnation, "incarnations grow");
        self.incarnation = incarnation;
    }

    /// The highest round that this replica has seen.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Its own ballots lie above this round from now on.
    pub fn see_round(&mut self, round: u64) {
        self.round = self.round.max(round);
    }

    /// What is durable here, for who lost it.
    pub fn tell(&self) -> (Ballot, Ballot, Option<Log>) {
        (self.durable.accepted, self.inst.state().chosen_to, self.durable_log.clone())
    }

    /// Takes over a record that is known to be chosen.
    pub fn take_over(&mut self, ballot: Ballot, log: Log, fx: &mut Effects) {
        let mut out = Vec::new();
        self.round = self.round.max(ballot.round);
        self.inst.take_over(ballot, log, self.floor, &mut out);
        self.run(out, fx);
    }

    /// Whether nothing is under way, and what is durable is all there is.
    pub fn is_idle(&self) -> bool {
        self.inst.is_idle()
            && self.disk.is_empty()
            && !self.has_ballot()
            && self.write.is_none()
            && self.read.is_none()
    }

    /// What absent records are refused up to.
    pub fn floor(&self) -> Ballot {
        self.floor
    }

    /// Raises the floor to the promise.
    pub fn raise_floor(&mut self) {
        self.floor = self.floor.max(self.durable.promised);
        self.round = self.round.max(self.floor.round);
    }

    /// Forgets the record, and the promise with it.
    pub fn forget_record(&mut self) {
        (self.durable, self.durable_log) = (AcceptorState::default(), None);
        self.records.clear();
        self.inst = Instance::new(self.me, self.members, self.durable, None);
    }

    pub fn has_write(&self) -> bool {
        self.write.is_some()
    }

    pub fn has_read(&self) -> bool {
        self.read.is_some()
    }

    pub fn has_ballot(&self) -> bool {
        self.inst.current_ballot().is_some()
    }

    pub fn has_unsaved(&self) -> bool {
        !self.disk.is_empty()
    }

    /// The ballot under way.
    pub fn ballot(&self) -> Option<Ballot> {
        self.inst.current_ballot()
    }

    /// The promise that no crash takes back.
    pub fn durable_promise(&self) -> Ballot {
        self.durable.promised
    }

    /// The question that an agreed read is waiting on.
    pub fn question(&self) -> Option<u64> {
        match self.read {
            Some(Reading::Asking(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether [`Replica::poke`] would do anything.
    pub fn wants_ballot(&self) -> bool {
        !self.has_ballot() && (self.write.is_some() || self.read == Some(Reading::Finish))
    }

    pub fn is_asking(&self) -> bool {
        matches!(self.read, Some(Reading::Asking(_)))
    }

    pub fn start_write(&mut self, id: Id, fx: &mut Effects) {
        assert!(self.write.is_none(), "one write at a time");
        self.write = Some(id);
        fx.events.push(Event::WriteStarted { id });
        if !self.has_ballot() {
            self.poke(fx);
        }
    }

    pub fn start_read(&mut self, fx: &mut Effects) {
        assert!(self.read.is_none(), "one read at a time");
        fx.events.push(Event::ReadStarted);
        if self.mutation == Mutation::ReadAlone && self.inst.state().is_chosen() {
            let log = self.inst.entry().cloned().unwrap_or_default();
            fx.events.push(Event::ReadDone { ballot: self.inst.state().accepted, log });
            return;
        }
        let mut out = Vec::new();
        self.ask(&mut out);
        self.run(out, fx);
    }

    fn ask(&mut self, out: &mut Vec<Output<Log>>) {
        self.reads += 1;
        let id = (u64::from(self.incarnation) << 32) | u64::from(self.reads);
        self.read = Some(Reading::Asking(id));
        self.heard.clear();
        self.inst.query(id, out);
    }

    /// Starts a ballot for what is waiting: the read that must be finished, else the write.
    pub fn poke(&mut self, fx: &mut Effects) {
        assert!(self.wants_ballot(), "somebody waits and no ballot is under way");
        let mut out = Vec::new();
        match (self.read, self.write) {
            (Some(Reading::Finish), _) => self.start_ballot(Job::Read, &mut out, fx),
            (_, Some(id)) if self.may_go_fast() => self.go_fast(id, &mut out, fx),
            (_, Some(id)) => self.start_ballot(Job::Write(id), &mut out, fx),
            _ => {}
        }
        self.run(out, fx);
    }

    fn may_go_fast(&mut self) -> bool {
        let state = self.inst.state();
        let own = state.accepted.same_proposer(Ballot::new(0, self.node(), self.incarnation));
        match self.mutation {
            Mutation::FastUnchosen if own => {
                self.inst.learn_chosen(state.accepted);
            }
            Mutation::FastForeign if state.is_chosen() && state.promised == state.accepted.succ() => {
                return true
            }
            _ => {}
        }
        self.inst.can_fast(self.node(), self.incarnation)
            && state.accepted.round > self.fast_above
            && state.accepted.succ() >= self.own_bound
    }

    fn go_fast(&mut self, id: Id, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        let ballot = self.inst.state().accepted;
        let log = self.inst.entry().cloned().expect("a chosen record is held");
        if log.has(id) {
            return self.on_known(id, ballot, log, fx);
        }
        self.job = Some(Job::Write(id));
        self.propose(ballot.succ(), log.in_epoch(self.epoch).with(id), out, fx);
    }

    fn propose(&mut self, ballot: Ballot, mut log: Log, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        log.1 = self.form_of(&log);
        self.round = self.round.max(ballot.round);
        self.proposal = Some((ballot, log.clone()));
        if self.inst.propose(log.clone(), self.floor, out) {
            fx.events.push(Event::Proposed { ballot, log });
        }
    }

    fn finish(&mut self, found: Found<Log>, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        let ballot = self.inst.current_ballot().expect("phase 1 is done");
        self.proposal = Some((ballot, found.entry.clone()));
        if self.inst.finish(self.floor, out) {
            fx.events.push(Event::Proposed { ballot, log: found.entry });
        }
    }

    fn node(&self) -> u32 {
        u32::from(self.me)
    }

    fn start_ballot(&mut self, job: Job, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        if self.ballots_left == 0 {
            match job {
                Job::Write(id) => {
                    self.write = None;
                    fx.events.push(Event::WriteDropped { id });
                }
                Job::Read => {
                    self.read = None;
                    fx.events.push(Event::ReadDropped);
                }
            }
            return;
        }
        self.ballots_left -= 1;
        let promised = self.inst.state().promised;
        let mut ballot = Ballot::new(self.round + 1, self.node(), self.incarnation);
        if ballot < promised {
            ballot.round = promised.round + 1;
        }
        self.round = ballot.round;
        self.job = Some(job);
        self.inst.prepare(ballot, self.floor, out);
    }

    /// The deadline of the current ballot: it is abandoned, and its late answers count for nothing.
    pub fn give_up_ballot(&mut self) {
        self.inst.abandon();
        self.job = None;
        self.proposal = None;
    }

    /// The deadline of the requests: the clients are told that the outcome is unknown.
    pub fn give_up_requests(&mut self, fx: &mut Effects) {
        self.give_up_ballot();
        fx.events.extend(self.write.take().map(|id| Event::WriteDropped { id }));
        fx.events.extend(self.read.take().map(|_| Event::ReadDropped));
        self.inst.abandon_read();
    }

    /// The read has waited long enough.
    pub fn settle(&mut self, fx: &mut Effects) {
        let mut out = Vec::new();
        self.inst.settle_read(&mut out);
        self.run(out, fx);
    }

    pub fn resend(&mut self, fx: &mut Effects) {
        let mut out = Vec::new();
        self.inst.resend(&mut out);
        self.run(out, fx);
    }

    pub fn deliver(&mut self, from: Member, message: Message<Log>, fx: &mut Effects) {
        if self.lamport {
            self.round = self.round.max(message.round_max());
        }
        if let Some(refusal) = self.refusal(&message) {
            return fx.sends.push((from, refusal));
        }
        if self.mutation == Mutation::HighestUnfinished {
            if let Message::State { id, report } = &message {
                self.hear(from, *id, report.clone(), fx);
            }
        }
        let Some(message) = self.by_form(from, message, fx) else { return };
        let mut out = Vec::new();
        self.inst.receive(from, message, self.floor, &mut out);
        self.run(out, fx);
    }

    /// The fault of [`Mutation::HighestUnfinished`].
    fn hear(&mut self, from: Member, id: u64, report: Report<Log>, fx: &mut Effects) {
        if self.read != Some(Reading::Asking(id)) || self.heard.iter().any(|(member, _)| *member == from) {
            return;
        }
        self.heard.push((from, report));
        if self.heard.len() + 1 < usize::from(self.members.majority()) {
            return;
        }
        let own = (self.inst.state().accepted, self.inst.entry().cloned().unwrap_or_default());
        let heard = self.heard.drain(..).map(|(_, report)| (report.accepted, report.entry));
        let (ballot, log) = heard.fold(own, |best, (ballot, log)| match log {
            Some(log) if ballot > best.0 => (ballot, log),
            _ => best,
        });
        self.inst.abandon_read();
        self.read = None;
        fx.events.push(Event::ReadDone { ballot, log });
    }

    /// The disk finishes the oldest change that is under way.
    pub fn persist(&mut self, fx: &mut Effects) {
        let (token, record) = self.disk.pop_front().expect("a change is under way");
        self.make_durable(record, fx);
        let mut out = Vec::new();
        self.inst.persisted(token, &mut out);
        self.run(out, fx);
    }

    fn make_durable(&mut self, record: Recorded<Log>, fx: &mut Effects) {
        let before = self.durable.promised;
        match record {
            Recorded::Promised { ballot } => self.durable.promised = ballot,
            Recorded::Accepted { ballot, entry } => {
                self.durable.promised = ballot.succ();
                self.durable.accepted = ballot;
                self.durable_log = Some(entry.clone());
                if self.deltas {
                    self.records.store(ballot, &entry);
                    self.durable_log = self.records.newest();
                }
                let log = self.durable_log.clone().unwrap_or_default();
                fx.events.push(Event::Voted { ballot, log });
            }
        }
        if self.durable.promised < before {
            fx.events.push(Event::Broken("a durable promise went down"));
        }
    }

    /// Power loss and restart: what was not durable is gone, the incarnation is raised before anything is served.
    pub fn crash(&mut self, fx: &mut Effects) {
        let mut out = Effects::default();
        self.give_up_requests(&mut out);
        fx.events.extend(out.events);
        self.disk.clear();
        self.heard.clear();
        if self.mutation == Mutation::ForgetPromise {
            let accepted = self.durable.accepted;
            self.durable.promised = if accepted.is_zero() { accepted } else { accepted.succ() };
        }
        if self.mutation != Mutation::BallotReuse {
            self.incarnation += 1;
        }
        if self.deltas && self.durable_log.is_some() {
            self.durable_log = self.records.newest();
            if self.durable_log.is_none() {
                // A read finds damage, and the record comes from elsewhere: here that is the end of the play.
                fx.events.push(Event::Broken("a record's chain has no beginning"));
                self.durable_log = Some(Log::default());
            }
        }
        let absent = self.durable.accepted.is_zero();
        let floor = if absent { self.floor } else { Ballot::ZERO };
        if self.durable.promised.max(floor) < self.told {
            fx.events.push(Event::Broken("a promise that was given did not survive"));
        }
        self.round = self.durable.promised.round.max(self.durable.accepted.round).max(self.floor.round);
        self.reads = 0;
        self.inst = Instance::new(self.me, self.members, self.durable, self.durable_log.clone());
    }

    /// An idle instance is dropped, and made again from durable state and the one bit "accepted is chosen".
    pub fn recycle(&mut self) {
        if self.inst.is_idle() && self.disk.is_empty() {
            let state = self.inst.state();
            assert_eq!((state.promised, state.accepted), (self.durable.promised, self.durable.accepted));
            self.inst = Instance::new(self.me, self.members, self.durable, self.durable_log.clone());
            if state.is_chosen() {
                self.inst.learn_chosen(state.accepted);
            }
        }
    }

    fn run(&mut self, outputs: Vec<Output<Log>>, fx: &mut Effects) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            let mut more = Vec::new();
            self.on_output(output, &mut more, fx);
            queue.extend(more);
        }
    }

    fn on_output(&mut self, output: Output<Log>, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        match output {
            Output::Persist { token, record } => self.on_persist(token, record, out, fx),
            Output::Send { to, message } => {
                match &message {
                    Message::Promise { ballot, .. } => self.told = self.told.max(*ballot),
                    Message::Accepted { ballot } => self.told = self.told.max(ballot.succ()),
                    _ => {}
                }
                fx.sends.push((to, message));
            }
            Output::Prepared { found } => self.on_prepared(found, out, fx),
            Output::Chosen { ballot } => self.on_chosen(ballot, out, fx),
            Output::Lost(lost) => {
                self.round = self.round.max(lost.rival.round);
                self.job = None;
                self.proposal = None;
            }
            Output::Read { id, outcome } => self.on_read(id, outcome, out, fx),
            Output::Corrupt { .. } => fx.events.push(Event::Broken("two entries at one ballot met")),
        }
    }

    fn on_persist(
        &mut self,
        token: Token,
        record: Recorded<Log>,
        out: &mut Vec<Output<Log>>,
        fx: &mut Effects,
    ) {
        if self.quick_disk {
            self.make_durable(record, fx);
            self.inst.persisted(token, out);
            return;
        }
        let own = matches!((&record, &self.proposal), (Recorded::Accepted { ballot, .. }, Some((b, _))) if ballot == b);
        self.disk.push_back((token, record));
        self.written += 1;
        match self.mutation {
            Mutation::AnswerEarly => self.inst.persisted(token, out),
            Mutation::CountOwnEarly if own && self.disk.len() == 1 => self.inst.persisted(token, out),
            _ => {}
        }
    }

    fn on_prepared(&mut self, found: Option<Found<Log>>, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        let ballot = self.inst.current_ballot().expect("phase 1 is done");
        let job = self.job.expect("phase 1 was started for something");
        if ballot < self.own_bound {
            return self.give_up_ballot();
        }
        match (job, found) {
            (Job::Read, None) => self.read_at_phase_1(Ballot::ZERO, Log::default(), fx),
            (Job::Read, Some(found)) if found.chosen => self.read_at_phase_1(found.ballot, found.entry, fx),
            (Job::Read, Some(found)) => self.settle_found(found, out, fx),
            (Job::Write(id), Some(found)) if found.entry.has(id) && self.mutation != Mutation::ApplyTwice => {
                if found.chosen {
                    self.give_up_ballot();
                    self.on_known(id, found.ballot, found.entry, fx);
                } else {
                    self.settle_found(found, out, fx);
                }
            }
            (Job::Write(_), Some(found)) if self.finish_first && !found.chosen => {
                self.settle_found(found, out, fx);
            }
            (Job::Write(id), found) => {
                let found = found.filter(|_| self.mutation != Mutation::IgnoreFound);
                let log = found.map_or_else(|| self.absent.clone(), |found| found.entry);
                let log = log.in_epoch(self.epoch).with(id);
                self.propose(ballot, log, out, fx);
            }
        }
    }

    fn read_at_phase_1(&mut self, ballot: Ballot, log: Log, fx: &mut Effects) {
        self.give_up_ballot();
        self.read = None;
        fx.events.push(Event::ReadDone { ballot, log });
    }

    fn on_chosen(&mut self, ballot: Ballot, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        let (proposed, log) = self.proposal.take().expect("what is chosen was proposed");
        assert_eq!(proposed, ballot, "the ballot under way is the one chosen");
        match self.job.take() {
            Some(Job::Read) => {
                self.read = None;
                fx.events.push(Event::ReadDone { ballot, log });
            }
            Some(Job::Write(id)) if log.has(id) => self.on_known(id, ballot, log, fx),
            // An unfinished record was finished first; the write itself follows, on the fast path if nobody came between.
            Some(Job::Write(id)) if self.may_go_fast() => self.go_fast(id, out, fx),
            _ => {}
        }
    }

    fn on_read(&mut self, id: u64, outcome: ReadOutcome<Log>, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        if self.read != Some(Reading::Asking(id)) {
            return;
        }
        self.read = None;
        match outcome {
            ReadOutcome::Local { ballot } => {
                let log = self.inst.entry().cloned().unwrap_or_default();
                fx.events.push(Event::ReadDone { ballot, log });
            }
            ReadOutcome::Remote { ballot, entry } => {
                self.inst.take_over(ballot, entry.clone(), self.floor, out);
                fx.events.push(Event::ReadDone { ballot, log: entry });
            }
            ReadOutcome::Conflict => self.read = Some(Reading::Finish),
        }
    }
}
