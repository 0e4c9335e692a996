//! The world of a run: hosts, network, clients and faults under one clock, one event at a time.

mod clients;
mod core;
mod cuts;
mod disks;
mod ends;
mod finish;
mod groups;
mod host;
mod jobs;
mod joints;
mod losses;
mod messages;
mod nemesis;
mod replicas;
mod shadow;
mod signals;
mod streams;
mod surveys;
mod tables;
mod trees;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use paxos::{Member, Members};
use reactor::clock::Nanos;
use reactor::rng::Rng;
use shard::reply::Reply;
use shard::RequestId;
use synod_bench::history::{self, History};

use crate::class::Class;
use crate::flushes::Flush;
use crate::ledger::Ledger;
use crate::limits::GROUPED_PLACES;
use crate::order::Swap;
use crate::pace::Pace;
use crate::plan::{Plan, Stream, Weather};
use crate::report::Report;
use crate::story::Story;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::{Extras, Workload};

use self::core::Core;
use clients::{Client, Outstanding};
use groups::Groups;
use host::Host;
use jobs::{JobEvent, Jobs};
use joints::{JointEvent, Joints};
use messages::Messages;
use signals::Signals;
use streams::{Streams, Wire};
use tables::{TableEvent, Tables};

/// One core of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    host: Member,
    core: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {} core {}", self.host, self.core)
    }
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    /// A core's turn; of no account if it wants its turn at another time now.
    Turn(Place),
    /// A message arrives.
    Deliver { from: Member, to: Place, bytes: Rc<[u8]> },
    /// Something happens to a connection.
    Wire(Wire),
    /// A client asks its next question.
    Issue(u32),
    /// A question arrives at a host.
    Ask { request: RequestId },
    /// A reply arrives at a client.
    Answer { client: u32, request: RequestId, reply: Box<Reply> },
    /// A client has waited long enough, or its connection is gone.
    GiveUp { client: u32, request: RequestId },
    /// A core learns that a peer is up or down.
    Signal { at: Place, peer: Member, up: bool, stamp: u64 },
    /// The next fault.
    Nemesis,
    /// A host that is down starts.
    Start { host: Member, life: u32 },
    /// A host with a failed slice is started again.
    Restart { host: Member, life: u32 },
    /// A host that was given up gets new disks.
    Replace { host: Member },
    /// The way from one host to another is cut, or open again.
    Way { from: Member, to: Member, blocked: bool },
    /// A host in a loop of crashes falls.
    Fall { host: Member, life: u32 },
    /// A slow disk recovers.
    Quicken(Place),
    /// A full disk has space again.
    Free(Place),
    /// A producer or a worker of jobs does something.
    Job(JobEvent),
    /// A mover does something.
    Joint(JointEvent),
    /// A definer does something.
    Table(TableEvent),
    /// Requests are looked over for such as should have ended.
    Watch,
    /// The next part of the end.
    Finish,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Clients work, faults happen.
    Faults,
    /// Faults have stopped; what was under way ends, and learners become voters.
    Settling { since: Nanos },
    /// Every key is read on every host, until all hosts say the same, and, where repair can make them so, hold the same.
    LastReads { pass: u32, waits: u32 },
    /// Every slice of every host is asked for its keys. Where replicas are not level, one may hold what nobody has finished.
    LastSurveys { level: bool },
    /// All was read; nothing may be under way soon.
    Quiet,
    /// Repair makes all replicas equal.
    Levelling { since: Nanos },
    /// It is over.
    Over,
}

/// See the module's head.
pub struct World {
    plan: Plan,
    now: Nanos,
    phase: Phase,
    queue: BTreeMap<(Nanos, u64), Event>,
    queued: u64,
    steps: u64,
    pace: Pace,
    hosts: Vec<Host>,
    messages: Messages,
    streams: Streams,
    signals: Signals,
    /// `blocked[from][to]`: nothing passes in this direction.
    blocked: Vec<Vec<bool>>,
    /// `clogged[from][to]`: what is sent this way arrives later than this.
    clogged: Vec<Vec<Nanos>>,
    weather: Weather,
    clients: Vec<Client>,
    outstanding: BTreeMap<RequestId, Outstanding>,
    groups: Groups,
    jobs: Option<Jobs>,
    joints: Option<Joints>,
    flushes: Vec<Flush>,
    tables: Option<Tables>,
    last_request: u64,
    workload: Workload,
    history: History,
    swaps: Vec<Swap>,
    /// How many milliseconds values last that were written with an end.
    lives: BTreeMap<Vec<u8>, u64>,
    last_reads: BTreeMap<Vec<u8>, Vec<history::Reply>>,
    ledger: Ledger,
    story: Story,
    net: Rng,
    crash: Rng,
    nemesis: Rng,
    jitter: Rng,
    shadow: Rng,
    work: Rng,
    /// Strikes of the nemesis so far.
    strikes: u64,
    /// Faults of all kinds that happened.
    faults: u64,
    labels: BTreeMap<&'static str, u64>,
}

impl World {
    /// The world of a plan, before anything happens.
    pub fn new(plan: Plan, printed: bool) -> World {
        let members = Members::new(plan.hosts).expect("a plan has 3 or 5 hosts");
        let mut work = Stream::Work.rng(plan.seed);
        let grouped = if plan.classes.is_drawn(Class::ManyKeys) { GROUPED_PLACES } else { 0 };
        let extras = Extras {
            objects: plan.classes.is_drawn(Class::Objects),
            long: plan.classes.is_drawn(Class::Deltas),
            transactions: plan.classes.is_drawn(Class::Transactions),
            numbers: plan.classes.is_drawn(Class::Numbers),
            flushes: plan.classes.is_drawn(Class::Flushes),
            tables: plan.classes.is_drawn(Class::Tables),
            large_tables: plan.classes.is_drawn(Class::LargeTables),
            ends: plan.classes.is_drawn(Class::Ends),
        };
        let workload = Workload::new(work.fork(), plan.keys, grouped, plan.reads, extras);
        let mut ledger = Ledger::new(members, plan.cores);
        workload.keys().iter().for_each(|(key, appended)| ledger.watch(key, *appended));
        let jobs =
            plan.classes.has(Class::Jobs).then(|| Jobs::new(Stream::Jobs.rng(plan.seed).fork(), &plan));
        jobs.iter().flat_map(Jobs::keys).for_each(|key| ledger.watch(key, false));
        let is_joint = plan.classes.has(Class::Joint) || plan.classes.has(Class::Moves);
        let joints = is_joint.then(|| Joints::new(&plan));
        for (key, appended) in joints.iter().flat_map(Joints::keys) {
            ledger.watch(&key, appended && !extras.flushes);
        }
        let has_large = plan.classes.has(Class::LargeTables);
        let tables = plan
            .classes
            .has(Class::Tables)
            .then(|| Tables::new(Stream::Tables.rng(plan.seed).fork(), has_large));
        let count = usize::from(plan.hosts);
        let mut disks = Stream::Disk.rng(plan.seed);
        World {
            now: 0,
            phase: Phase::Faults,
            queue: BTreeMap::new(),
            queued: 0,
            steps: 0,
            pace: Pace::default(),
            hosts: (0..plan.hosts).map(|member| Host::new(member, &plan, || disks.next_u64())).collect(),
            messages: Messages::default(),
            streams: Streams::default(),
            signals: Signals::new(count, usize::from(plan.cores)),
            blocked: vec![vec![false; count]; count],
            clogged: vec![vec![0; count]; count],
            weather: plan.weather,
            clients: (0..plan.clients).map(|id| Client::new(id, &plan)).collect(),
            outstanding: BTreeMap::new(),
            groups: Groups::default(),
            jobs,
            joints,
            flushes: Vec::new(),
            tables,
            last_request: 0,
            workload,
            history: History::new(),
            swaps: Vec::new(),
            lives: BTreeMap::new(),
            last_reads: BTreeMap::new(),
            ledger,
            story: Story::new(printed),
            net: Stream::Net.rng(plan.seed),
            crash: Stream::Crash.rng(plan.seed),
            nemesis: Stream::Nemesis.rng(plan.seed),
            jitter: Stream::Jitter.rng(plan.seed),
            shadow: Stream::Shadow.rng(plan.seed),
            work,
            strikes: 0,
            faults: 0,
            labels: BTreeMap::new(),
            plan,
        }
    }

    /// Runs to the end, or to the first violation.
    pub fn run(mut self) -> Report {
        let found = self.play().and_then(|()| self.judge());
        self.report(found.err())
    }

    fn play(&mut self) -> Checked {
        for host in 0..self.plan.hosts {
            self.start(host)?;
        }
        for client in 0..self.plan.clients {
            let at = self.work.below(1 + self.plan.think);
            self.schedule(at, Event::Issue(client));
        }
        self.begin_jobs();
        self.begin_joints();
        self.begin_tables();
        self.schedule(self.plan.nemesis_every, Event::Nemesis);
        self.schedule(crate::limits::DEADLINE_MAX, Event::Watch);
        while self.phase != Phase::Over {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                return Err(Violation::new(
                    invariant::BOUNDED,
                    "nothing is left to happen, and it is not over",
                ));
            };
            self.now = at;
            self.steps += 1;
            if let Some(steps) = self.pace.spins(at) {
                let detail = format!("{steps}; {} events wait", self.queue.len());
                return Err(Violation::new(invariant::BOUNDED, detail));
            }
            self.step(event)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Checked {
        match event {
            Event::Turn(place) => return self.turn(place),
            Event::Deliver { from, to, bytes } => self.deliver(from, to, &bytes),
            Event::Wire(wire) => self.on_wire(wire),
            Event::Issue(client) => self.issue(client),
            Event::Ask { request } => self.ask(request),
            Event::Answer { client, request, reply } => return self.answer(client, request, &reply),
            Event::GiveUp { client, request } => self.give_up(client, request),
            Event::Signal { at, peer, up, stamp } => self.on_signal(at, peer, up, stamp),
            Event::Nemesis => return self.strike(),
            Event::Start { host, life } => {
                if self.hosts[usize::from(host)].may_start(life) {
                    return self.start(host);
                }
            }
            Event::Restart { host, life } => return self.restart(host, life),
            Event::Replace { host } => self.may_replace(host),
            Event::Way { from, to, blocked } => {
                self.set_blocked(from, to, blocked && self.phase == Phase::Faults);
            }
            Event::Fall { host, life } => self.fall(host, life),
            Event::Free(place) => self.free_disk(place),
            Event::Quicken(place) => {
                let healthy = self.plan.disk;
                self.core_mut(place).disk.set_latency(healthy);
            }
            Event::Job(event) => self.on_job_event(event),
            Event::Joint(event) => self.on_joint_event(event),
            Event::Table(event) => self.on_table_event(event),
            Event::Watch => return self.watch(),
            Event::Finish => return self.finish(),
        }
        Ok(())
    }

    fn core(&self, place: Place) -> &Core {
        &self.hosts[usize::from(place.host)].cores[usize::from(place.core)]
    }

    fn core_mut(&mut self, place: Place) -> &mut Core {
        &mut self.hosts[usize::from(place.host)].cores[usize::from(place.core)]
    }

    fn schedule(&mut self, at: Nanos, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    fn label(&mut self, label: &'static str) {
        *self.labels.entry(label).or_default() += 1;
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.tell(self.now, line);
    }
}
