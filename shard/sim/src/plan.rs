//! What a seed stands for: the cluster, the load, and which faults it meets (swarm testing: each class is drawn on or off).

use std::collections::BTreeSet;

use paxos::Member;
use reactor::clock::{Nanos, MICROSECOND, MILLISECOND, SECOND};
use reactor::rng::Rng;
use reactor::sim::Latency;

use crate::class::{Class, Classes, HARMLESS};
use crate::limits::{DRIFT_PPM_MAX, FAULTS_UNTIL_MAX, SEGMENT_BYTES_BROAD_MAX};

/// A stream of decisions of its own for each concern, so that switching one fault off does not shift the others.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// The plan itself.
    Plan = 1,
    /// Delays and losses of messages.
    Net = 2,
    /// Disks.
    Disk = 3,
    /// When and where hosts die.
    Crash = 4,
    /// Partitions, pauses, clocks, routes.
    Nemesis = 5,
    /// What clients ask.
    Work = 6,
    /// Times of turns and the seeds of the cores' own jitter.
    Jitter = 7,
    /// What makes the plan broad: cores, and the rarer faults.
    Breadth = 8,
    /// Which commands there are beside those of one key.
    Width = 9,
    /// Queues of jobs.
    Jobs = 10,
    /// Commands on several keys.
    Joint = 11,
    /// Objects that are written as what changes in them.
    Deltas = 12,
    /// Flushes.
    Flush = 13,
    /// Turns of those who wait for jobs.
    Turns = 14,
    /// Power failures that are tried in a copy.
    Shadow = 15,
    /// Tables.
    Tables = 0,
}

impl Stream {
    /// The generator of this stream for a seed.
    pub fn rng(self, seed: u64) -> Rng {
        Rng::new(seed.wrapping_mul(16).wrapping_add(self as u64))
    }
}

/// How hosts reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Each message on its own: delayed, lost, repeated, replayed, reordered.
    Messages,
    /// Byte streams under the product's own links: delayed, cut, reset in the middle of a frame, damaged.
    Streams,
}

/// How messages fare. Chances are per million.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest and longest time on the way.
    pub delay: (Nanos, Nanos),
    /// Messages that take eight times as long.
    pub tail: u32,
    /// Messages that are lost (of a stream: pieces at which the connection is reset).
    pub loss: u32,
    /// Messages that arrive twice (of a stream: pieces with a flipped bit).
    pub repeat: u32,
    /// Messages after which an old one arrives once more.
    pub replay: u32,
}

impl Weather {
    /// Nothing is lost.
    pub const FAIR: Weather =
        Weather { delay: (50 * MICROSECOND, 200 * MICROSECOND), tail: 0, loss: 0, repeat: 0, replay: 0 };

    fn draw(rng: &mut Rng) -> Weather {
        let longest = [300 * MICROSECOND, 2 * MILLISECOND, 30 * MILLISECOND][rng.below(3) as usize];
        Weather {
            delay: (30 * MICROSECOND, longest),
            tail: if rng.coin() { 30_000 } else { 0 },
            loss: if rng.coin() { rng.below(150_000) as u32 } else { 0 },
            repeat: if rng.coin() { rng.below(200_000) as u32 } else { 0 },
            replay: if rng.coin() { rng.below(60_000) as u32 } else { 0 },
        }
    }
}

/// Who is preferred for which slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// The same on all hosts, for the whole run.
    Fixed,
    /// Each host routes around peers that it takes for dead.
    Liveness,
    /// Each host has a view of its own, which changes at any time.
    Torn,
    /// Each host takes itself for preferred, for the whole run: what others write to its keys is all foreign to it.
    Own,
}

/// Classes of the narrow plan that two seeds of five have, in the order in which they are drawn.
const NARROW: [Class; 6] =
    [Class::Blackouts, Class::Cuts, Class::Pauses, Class::SlowDisks, Class::FalseSignals, Class::Clocks];

/// One in so many seeds asks about the keyspace, and one in so many about many keys at once.
const WIDE_ONE_IN: u64 = 4;

/// One in so many seeds has hosts that all take themselves for preferred.
const OWN_ONE_IN: u64 = 4;

/// In half of those so many clients at least crowd one or two keys, in half of these mostly to read them, for so many operations together: what is wrong with who asks whom shows only
/// where a write ends while the answer to a question is on its way.
const CROWD_MIN: u32 = 5;
const CROWD_OPERATIONS: u32 = 400;

/// In half of the others so many clients ask so much about so few keys, at leisure.
const RESTING_KEYS: usize = 4;
const RESTING_CLIENTS: u32 = 5;
const RESTING_OPERATIONS: u32 = 800;

/// One in so many seeds has keys that hold objects.
const OBJECTS_ONE_IN: u64 = 4;

/// One in so many seeds has objects that are written as what changes in them.
const DELTAS_ONE_IN: u64 = 4;

/// One in so many seeds has transactions.
const TRANSACTIONS_ONE_IN: u64 = 4;

/// One in so many seeds has clients that number their writes.
const NUMBERS_ONE_IN: u64 = 5;

/// One in so many seeds has queues of jobs.
const JOBS_ONE_IN: u64 = 8;

/// The slowest message where turns of those who wait for jobs are judged.
pub(crate) const TURNS_DELAY_MAX: Nanos = 2 * MILLISECOND;

/// One in so many seeds has commands on several keys.
const JOINT_ONE_IN: u64 = 5;

/// Keys where something is crowded.
pub(crate) const CROWDED_KEYS_MAX: u64 = 2;

/// One in so many seeds has tables.
const TABLES_ONE_IN: u64 = 4;

/// Of the seeds with tables all but one in so many have a large one;
const LARGE_TABLES_BUT_ONE_IN: u64 = 4;

/// and there so many keys at most, and so many operations together at least: what a member lacks of a group shows only where the group goes on.
const LARGE_KEYS_MAX: usize = 4;
const LARGE_OPERATIONS: u32 = 300;

/// One in so many seeds has flushes.
const FLUSHES_ONE_IN: u64 = 3;

/// One in so many seeds has keys that are about when they end, and one in so many keys between which things are moved.
const ENDS_ONE_IN: u64 = 5;
const MOVES_ONE_IN: u64 = 5;

/// Of the questions of clients where there are flushes, one in so many is one;
const FLUSH_ONE_IN: u64 = 16;

/// and one in so many where they crowd few keys, with so many operations together: each flush that may have happened is one more order for the checker
/// to try.
const CROWDED_FLUSH_ONE_IN: u64 = 6;
const CROWDED_FLUSH_OPERATIONS: u32 = 160;

/// In half of what is left messages overtake each other by far, with so many operations.
const SHUFFLED_OPERATIONS: u32 = 2_000;

/// Messages that are lost there at least, per million, where there are faults.
const OWN_LOSS_MIN: u32 = 50_000;

/// One in so many seeds has none but those: what a healthy cluster does, mostly the fast path, is worth a look as well.
const CALM_ONE_IN: u64 = 16;

/// One in so many of the others loses disks.
const LOSSES_ONE_IN: u64 = 4;

/// Longest pause of a client between two operations in half of those: 25 to 50 of them take a few seconds.
const THINK_WHILE_REJOINING: Nanos = 300 * MILLISECOND;

/// Classes that came later, and one in how many seeds has them.
const BROAD: [(Class, u64); 15] = [
    (Class::CrashLoops, 6),
    (Class::Shapes, 5),
    (Class::Flaps, 6),
    (Class::Clogs, 5),
    (Class::LongPauses, 30),
    (Class::FailSlow, 8),
    (Class::Drift, 4),
    (Class::ReadErrors, 10),
    (Class::FullDisks, 8),
    (Class::Rot, 10),
    (Class::Astray, 12),
    (Class::StaleReads, 12),
    (Class::Pipelines, 4),
    (Class::Retries, 4),
    (Class::Disconnects, 8),
];

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Hosts: 3 or 5.
    pub hosts: u8,
    /// Cores of each host: slices of the keys.
    pub cores: u16,
    /// Closed-loop clients.
    pub clients: u32,
    /// Operations of each.
    pub operations: u32,
    /// Most commands only read.
    pub reads: bool,
    /// Of the questions where there are flushes, one in so many is one.
    pub flush_one_in: u64,
    /// Places for keys; each is taken by one key after the other.
    pub keys: usize,
    /// How hosts reach each other.
    pub transport: Transport,
    /// How messages fare.
    pub weather: Weather,
    /// Whether more than the narrow plan was drawn.
    pub is_broad: bool,
    /// Which faults happen, and which kinds of load.
    pub classes: Classes,
    /// Strikes of the nemesis that are left out, by number.
    pub spared: BTreeSet<u64>,
    /// Hosts whose disks may be damaged for good: a minority.
    pub victims: Vec<Member>,
    /// How much too fast the clock of each host runs, in a million; too slow if below zero.
    pub drift_ppm: Vec<i64>,
    /// Deaths at a turn, per million turns.
    pub crash_per_million: u32,
    /// Faults stop at this time at the latest.
    pub faults_until: Nanos,
    /// When the storage of a core fails, the other cores of its host go on; else the process ends.
    pub slices_fail_alone: bool,
    /// Who is preferred.
    pub routes: Routes,
    /// Mean time between steps of the nemesis.
    pub nemesis_every: Nanos,
    /// Longest pause of a client between two operations.
    pub think: Nanos,
    /// How long a client waits at least.
    pub patience: Nanos,
    /// Latency of healthy disks.
    pub disk: Latency,
    /// Size of the log's segments.
    pub segment_bytes: u64,
    /// Size of the value cache: 0 makes every load a disk read.
    pub cache_bytes: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Plan {
        let mut plan = Plan::draw_without_deltas(seed);
        if Stream::Deltas.rng(seed).below(DELTAS_ONE_IN) == 0 {
            plan.lengthen();
        }
        plan.draw_tables(&mut Stream::Tables.rng(seed));
        // Of the seeds in which nothing fails, in half of those with queues of jobs messages are quick: so turns can be judged.
        if plan.classes.is_drawn(Class::Jobs) && !plan.has_faults() && Stream::Turns.rng(seed).coin() {
            plan.routes = Routes::Fixed;
            [Class::Tail, Class::Loss, Class::Repeat].into_iter().for_each(|class| plan.switch_off(class));
            plan.weather.delay.1 = plan.weather.delay.1.min(TURNS_DELAY_MAX);
        }
        plan.draw_last();
        plan
    }

    /// Draws what came last, each from what is left of a stream that something else began with: the rest of a seed's plan is what it was.
    fn draw_last(&mut self) {
        let drawn = |stream: Stream, one_in: u64| {
            let mut rng = stream.rng(self.seed);
            rng.next_u64();
            rng.below(one_in) == 0
        };
        let ends = drawn(Stream::Turns, ENDS_ONE_IN);
        // A survey would see these keys, and a flush empty them.
        let is_alone = !self.classes.is_drawn(Class::Surveys) && !self.classes.is_drawn(Class::Flushes);
        let moves = is_alone && drawn(Stream::Joint, MOVES_ONE_IN);
        let ranked = self.classes.is_drawn(Class::Jobs) && drawn(Stream::Jobs, 2);
        self.classes.draw(Class::Ends, ends);
        self.classes.draw(Class::Moves, moves);
        self.classes.draw(Class::RankedJobs, ranked);
    }

    /// Draws tables. In half of the seeds that have some they are crowded, as flushes are: few keys, and messages that are lost.
    fn draw_tables(&mut self, rng: &mut Rng) {
        let tables = rng.below(TABLES_ONE_IN) == 0;
        self.classes.draw(Class::Tables, tables);
        if tables && rng.coin() {
            self.crowd(rng);
        }
        // Drawn last, so that the rest of a seed's plan is what it was before there were large ones.
        let large = tables && rng.below(LARGE_TABLES_BUT_ONE_IN) > 0;
        self.classes.draw(Class::LargeTables, large);
        if large {
            self.keys = self.keys.min(LARGE_KEYS_MAX);
            self.operations = self.operations.max(LARGE_OPERATIONS / self.clients);
        }
    }

    /// One or two keys, and messages that are lost: what is wrong with a host that has not heard of something shows only where a key is read before it
    /// is written again.
    fn crowd(&mut self, rng: &mut Rng) {
        self.keys = rng.between(1, CROWDED_KEYS_MAX) as usize;
        self.operations = self.operations.min(CROWDED_FLUSH_OPERATIONS / self.clients);
        let loss = OWN_LOSS_MIN + rng.below(200_000) as u32;
        if self.has_faults() {
            self.weather.loss = self.weather.loss.max(loss);
            self.classes.draw(Class::Loss, true);
        }
    }

    /// Has long objects written as what changes in them.
    pub fn lengthen(&mut self) {
        self.classes.draw(Class::Objects, true);
        self.classes.draw(Class::Deltas, true);
    }

    /// As [`Plan::draw`] was before there were deltas: scenarios that were found by it stay what they are.
    pub fn draw_without_deltas(seed: u64) -> Plan {
        let mut plan = Plan::draw_narrow(seed);
        plan.broaden(&mut Stream::Breadth.rng(seed));
        plan.widen(&mut Stream::Width.rng(seed));
        let flushes = plan.draw_flushes(&mut Stream::Flush.rng(seed));
        // A survey would see the queues, and a flush empty them.
        let jobs = Stream::Jobs.rng(seed).below(JOBS_ONE_IN) == 0
            && !flushes
            && !plan.classes.is_drawn(Class::Surveys);
        plan.classes.draw(Class::Jobs, jobs);
        // So it would see these keys.
        let joint =
            Stream::Joint.rng(seed).below(JOINT_ONE_IN) == 0 && !plan.classes.is_drawn(Class::Surveys);
        plan.classes.draw(Class::Joint, joint);
        plan
    }

    /// Draws what came later than the rest, from a stream of its own: so the narrow plan of a seed is what it always was, and
    /// scenarios that were found by it stay what they are.
    fn broaden(&mut self, rng: &mut Rng) {
        self.is_broad = true;
        self.cores = [1, 1, 2, 3][rng.below(4) as usize];
        self.slices_fail_alone = rng.coin();
        for (class, one_in) in BROAD {
            let drawn = rng.below(one_in) == 0;
            self.classes.draw(class, drawn);
        }
        if !self.classes.is_drawn(Class::Astray) {
            self.segment_bytes = self.segment_bytes.min(SEGMENT_BYTES_BROAD_MAX);
        }
        let minority = (self.hosts - 1) / 2;
        let first = rng.below(u64::from(self.hosts)) as Member;
        self.victims = (0..minority).map(|step| (first + step) % self.hosts).collect();
        for host in 0..usize::from(self.hosts) {
            let far = [200, 50_000, DRIFT_PPM_MAX][rng.below(3) as usize];
            let drift = rng.below(2 * far) as i64 - far as i64;
            if self.classes.is_drawn(Class::Drift) {
                self.drift_ppm[host] = drift;
            }
        }
        if self.classes.is_drawn(Class::LongPauses) {
            // Clients work for as long as the pauses last.
            self.faults_until = 100 * SECOND;
            self.think = 3 * SECOND;
        }
        if rng.below(CALM_ONE_IN) == 0 {
            let faults: Vec<Class> = self.classes.on().filter(|class| !HARMLESS.contains(class)).collect();
            faults.into_iter().for_each(|class| self.switch_off(class));
        } else {
            // Drawn last, so that the rest of a seed's plan is what it was before there were losses.
            let loses = rng.below(LOSSES_ONE_IN) == 0;
            self.classes.draw(Class::Losses, loses);
            if loses && rng.coin() {
                // Clients work for as long as it takes to become a voter again, and longer.
                self.think = self.think.max(THINK_WHILE_REJOINING);
            }
        }
    }

    /// Draws commands that are about more than one key, from a stream of their own for the same reason.
    fn widen(&mut self, rng: &mut Rng) {
        for class in [Class::Surveys, Class::ManyKeys] {
            let drawn = rng.below(WIDE_ONE_IN) == 0;
            self.classes.draw(class, drawn);
        }
        // Drawn last, for the same reason.
        if rng.below(OWN_ONE_IN) == 0 {
            self.be_their_own(rng);
        }
        let objects = rng.below(OBJECTS_ONE_IN) == 0;
        self.classes.draw(Class::Objects, objects);
        let transactions = rng.below(TRANSACTIONS_ONE_IN) == 0;
        self.classes.draw(Class::Transactions, transactions);
        let numbers = rng.below(NUMBERS_ONE_IN) == 0;
        self.classes.draw(Class::Numbers, numbers);
    }

    /// Draws flushes. In half of the seeds that have some they are many, of one or two keys, and messages are lost: what is wrong with a host that has
    /// not heard of one shows only where the key is read before it is written again.
    fn draw_flushes(&mut self, rng: &mut Rng) -> bool {
        let flushes = rng.below(FLUSHES_ONE_IN) == 0;
        self.classes.draw(Class::Flushes, flushes);
        if flushes && rng.coin() {
            self.flush_one_in = CROWDED_FLUSH_ONE_IN;
            self.crowd(rng);
        }
        flushes
    }

    /// Has each host take itself for preferred. What it reads is at hand, and it misses some of what the others write: else reads that are
    /// confirmed show nothing that others would not.
    fn be_their_own(&mut self, rng: &mut Rng) {
        self.routes = Routes::Own;
        self.cache_bytes = self.cache_bytes.max(1 << 20);
        let loss = OWN_LOSS_MIN + rng.below(100_000) as u32;
        if self.has_faults() {
            self.weather.loss = self.weather.loss.max(loss);
            self.classes.draw(Class::Loss, true);
        }
        let (crowded, keys, reads) = (rng.coin(), rng.between(1, 2) as usize, rng.coin());
        if crowded {
            (self.keys, self.think, self.reads) = (keys, 0, reads);
            self.clients = self.clients.max(CROWD_MIN);
            self.operations = CROWD_OPERATIONS / self.clients;
        } else if rng.coin() {
            // Messages that are quick, or lost, and keys that are at rest now and then: reads of them are confirmed, from records that
            // others have gone past.
            (self.keys, self.think) = (RESTING_KEYS, 5 * MILLISECOND);
            (self.clients, self.operations) = (RESTING_CLIENTS, RESTING_OPERATIONS / RESTING_CLIENTS);
            (self.weather.delay.1, self.reads) = (MILLISECOND, rng.coin());
            if self.has_faults() {
                self.weather.loss = rng.between(100_000, 300_000) as u32;
            }
            if rng.below(3) > 0 {
                self.be_five();
            }
        } else if rng.coin() {
            self.shuffle(rng);
        }
    }

    /// Messages that overtake each other by far, between three hosts of one core that die now and then, and few that are lost: what is wrong with
    /// answers that come late shows only where a vote comes between the moment when they were true and the moment when they are heard.
    pub(crate) fn shuffle(&mut self, rng: &mut Rng) {
        for class in self.classes.on().collect::<Vec<_>>() {
            if !matches!(class, Class::Crashes | Class::TurnCrashes | Class::Loss | Class::Tail) {
                self.switch_off(class);
            }
        }
        (self.hosts, self.cores, self.transport) = (3, 1, Transport::Messages);
        self.victims.truncate(1);
        self.drift_ppm.truncate(3);
        self.weather.delay = (30 * MICROSECOND, [3, 10, 30][rng.below(3) as usize] * MILLISECOND);
        self.weather.tail = [30_000, 150_000, 300_000][rng.below(3) as usize];
        self.weather.loss = [20_000, 100_000, 200_000][rng.below(3) as usize];
        [Class::Loss, Class::Tail].into_iter().for_each(|class| self.classes.draw(class, true));
        self.keys = rng.between(2, 12) as usize;
        self.clients = rng.between(5, 10) as u32;
        self.operations = SHUFFLED_OPERATIONS / self.clients;
        self.reads = rng.coin();
        self.think = [2, 10, 30][rng.below(3) as usize] * MILLISECOND;
    }

    /// Five hosts in the place of three: what is wrong with who makes a majority shows only there.
    fn be_five(&mut self) {
        self.hosts = 5;
        let first = self.victims.first().copied().unwrap_or(0);
        self.victims = vec![first, (first + 1) % self.hosts];
        self.drift_ppm.resize(usize::from(self.hosts), 0);
        if self.has_faults() {
            self.classes.draw(Class::Shapes, true);
        }
    }

    /// Switches a class off.
    pub fn switch_off(&mut self, class: Class) {
        self.classes.switch_off(class);
        match class {
            Class::Loss => self.weather.loss = 0,
            Class::Repeat => self.weather.repeat = 0,
            Class::Replay => self.weather.replay = 0,
            Class::Tail => self.weather.tail = 0,
            Class::TurnCrashes => self.crash_per_million = 0,
            Class::Drift => self.drift_ppm.fill(0),
            _ => {}
        }
    }

    /// The plan of a seed, of one core to a host and with the older faults only.
    pub fn draw_narrow(seed: u64) -> Plan {
        let rng = &mut Stream::Plan.rng(seed);
        let hosts = if rng.below(5) == 0 { 5 } else { 3 };
        let transport = if rng.below(4) == 0 { Transport::Streams } else { Transport::Messages };
        let clients = rng.between(3, 6) as u32;
        let crashes = rng.below(3) > 0;
        let mut classes = Classes::default();
        classes.draw(Class::Crashes, crashes);
        for class in NARROW {
            classes.draw(class, rng.below(5) < 2);
        }
        classes.draw(Class::DiskErrors, rng.below(10) == 0);
        let mut plan = Plan {
            seed,
            hosts,
            cores: 1,
            clients,
            operations: 150 / clients,
            reads: false,
            flush_one_in: FLUSH_ONE_IN,
            keys: rng.between(2, 8) as usize,
            transport,
            weather: Weather::draw(rng),
            is_broad: false,
            classes,
            spared: BTreeSet::new(),
            victims: Vec::new(),
            drift_ppm: vec![0; usize::from(hosts)],
            crash_per_million: if crashes { [0, 500, 3_000][rng.below(3) as usize] } else { 0 },
            faults_until: FAULTS_UNTIL_MAX,
            slices_fail_alone: false,
            routes: [Routes::Fixed, Routes::Liveness, Routes::Torn][rng.below(3) as usize],
            nemesis_every: [15, 60, 200][rng.below(3) as usize] * MILLISECOND,
            think: [0, 2, 20][rng.below(3) as usize] * MILLISECOND,
            patience: [20, 100, 600][rng.below(3) as usize] * MILLISECOND,
            disk: disk_latency(rng),
            segment_bytes: [64 << 10, 256 << 10, 1 << 20][rng.below(3) as usize],
            cache_bytes: [0, 1 << 10, 1 << 20][rng.below(3) as usize],
        };
        let Weather { tail, loss, repeat, replay, .. } = plan.weather;
        plan.classes.draw(Class::Tail, tail > 0);
        plan.classes.draw(Class::Loss, loss > 0);
        plan.classes.draw(Class::Repeat, repeat > 0);
        plan.classes.draw(Class::Replay, replay > 0);
        plan.classes.draw(Class::TurnCrashes, plan.crash_per_million > 0);
        plan.classes.draw(Class::Reroutes, plan.routes == Routes::Torn);
        plan
    }

    /// Whether any fault is on that keeps hosts from working.
    pub fn has_faults(&self) -> bool {
        self.classes.on().any(|class| !HARMLESS.contains(&class))
    }
}

fn disk_latency(rng: &mut Rng) -> Latency {
    let default = Latency::default();
    match rng.below(3) {
        0 => default,
        1 => Latency { slow_per_million: 20_000, ..default },
        // A disk that takes milliseconds to sync lets many messages pass between a write and its end.
        _ => Latency {
            sync: (MILLISECOND, 8 * MILLISECOND),
            slow_per_million: 5_000,
            slow_factor: 5,
            ..default
        },
    }
}
