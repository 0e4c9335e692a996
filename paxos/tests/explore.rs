//! Exhaustive exploration of small configurations: every order of every delivery, disk completion, timeout and crash.
//!
//! The network is the set of all messages ever sent, and any of them may arrive at any time, any number of times: loss, repetition,
//! reordering and replay need no steps of their own. Local states, messages and checker states are interned, and local steps
//! remembered, so that a global step is a few table look-ups. A local step that changes nothing is skipped.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use paxos::{Member, Message};

use crate::checker::Checker;
use crate::driver::{Effects, Event, Id, Log, Mutation, Replica, Setup};

/// What a client at one replica does, in order.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write(Id),
    Read,
}

/// One small world.
#[derive(Clone, Copy, Debug)]
struct World {
    name: &'static str,
    scripts: [&'static [Op]; 3],
    /// How many ballots each replica may issue.
    ballots: [u8; 3],
    /// Replicas whose disk takes a step of its own; the others are never crashed, and for them a late completion is the same as a
    /// late message.
    slow: [bool; 3],
    /// How many crashes, each of a replica with a slow disk.
    crashes: u8,
    finish_first: bool,
    mutation: Mutation,
}

const SILENT: &[Op] = &[];

const PLAIN: World = World {
    name: "plain",
    scripts: [SILENT; 3],
    ballots: [1, 1, 1],
    slow: [false; 3],
    crashes: 0,
    finish_first: false,
    mutation: Mutation::None,
};

/// Two lanes of folded multiplication: 128 bits of fingerprint stand for a state.
struct Fingerprint(u64, u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0xa076_1d64_78bd_642f).wrapping_add(1);
        self.1 = fold(self.1.rotate_left(17) ^ word, 0xe703_7ed1_a0b4_28db).wrapping_add(3);
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

fn fingerprint(value: &impl Hash) -> u128 {
    let mut hasher = Fingerprint::default();
    value.hash(&mut hasher);
    u128::from(hasher.0) << 64 | u128::from(hasher.1)
}

type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Fingerprint>>;
type FastSet<K> = HashSet<K, BuildHasherDefault<Fingerprint>>;

/// Numbers for values.
struct Interner<T> {
    known: FastMap<u128, u32>,
    values: Vec<T>,
}

impl<T: Hash> Interner<T> {
    fn new() -> Interner<T> {
        Interner { known: FastMap::default(), values: Vec::new() }
    }

    fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.values.len()).expect("fewer than four billion values");
        match self.known.entry(fingerprint(&value)) {
            Slot::Occupied(slot) => *slot.get(),
            Slot::Vacant(slot) => {
                slot.insert(next);
                self.values.push(value);
                next
            }
        }
    }
}

/// A replica and how far its client has come.
#[derive(Clone, Hash)]
struct Local {
    replica: Replica,
    next: u8,
}

#[derive(Clone, Hash)]
struct Envelope {
    from: Member,
    to: Member,
    message: Message<Log>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Deliver(u16),
    Persist,
    Start,
    Poke,
    GiveUp,
    Settle,
    Crash,
}

impl Action {
    /// The action in one word.
    fn code(self) -> u32 {
        match self {
            Action::Deliver(id) => u32::from(id),
            Action::Persist => 1 << 16,
            Action::Start => 2 << 16,
            Action::Poke => 3 << 16,
            Action::GiveUp => 4 << 16,
            Action::Settle => 5 << 16,
            Action::Crash => 6 << 16,
        }
    }
}

/// What an action does to one replica.
struct Step {
    local: u32,
    sends: Vec<u16>,
    events: u32,
}

/// Messages that may have an effect, at most, in any state.
const NET_MAX: usize = 40;

/// The network: sorted numbers of messages, and [`NO_MESSAGE`] behind them.
type Net = [u16; NET_MAX];

const NO_MESSAGE: u16 = u16::MAX;

fn sent(net: &Net) -> impl Iterator<Item = u16> + '_ {
    net.iter().copied().take_while(|id| *id != NO_MESSAGE)
}

fn send(net: &mut Net, id: u16) {
    if !net.contains(&id) {
        assert_eq!(net[NET_MAX - 1], NO_MESSAGE, "NET_MAX holds all messages of a state");
        net[NET_MAX - 1] = id;
        net.sort_unstable();
    }
}

/// One state of the world, by numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Global {
    net: Net,
    locals: [u32; 3],
    checker: u32,
    crashes: u8,
}

/// How an exploration ended.
struct Report {
    states: usize,
    locals: usize,
    messages: usize,
    violation: Option<(String, Vec<String>)>,
}

struct Explorer {
    world: World,
    locals: Interner<Local>,
    messages: Interner<Envelope>,
    checkers: Interner<Checker>,
    events: Interner<Vec<Event>>,
    steps: FastMap<u64, Option<u32>>,
    taken: Vec<Step>,
    judged: FastMap<(u32, u8, u32), Result<u32, String>>,
}

impl Explorer {
    fn new(world: World) -> Explorer {
        Explorer {
            world,
            locals: Interner::new(),
            messages: Interner::new(),
            checkers: Interner::new(),
            events: Interner::new(),
            steps: FastMap::default(),
            taken: Vec::new(),
            judged: FastMap::default(),
        }
    }

    fn start(&mut self) -> Global {
        assert_eq!(self.events.number(Vec::new()), 0, "number 0 stands for no events");
        let world = self.world;
        let strict = world.mutation == Mutation::None;
        let locals = [0u8, 1, 2].map(|me| {
            let index = usize::from(me);
            let setup = Setup {
                members: 3,
                mutation: world.mutation,
                quick_disk: !world.slow[index],
                finish_first: world.finish_first,
                lamport: false,
                ballots: world.ballots[index],
                deltas: false,
            };
            self.locals.number(Local { replica: Replica::new(me, setup), next: 0 })
        });
        let checker = self.checkers.number(Checker::new(3, strict));
        Global { net: [NO_MESSAGE; NET_MAX], locals, checker, crashes: world.crashes }
    }

    /// The effect of an action on a local state; None if it is not possible or changes nothing.
    fn step(&mut self, me: u8, local: u32, action: Action) -> Option<u32> {
        let key = u64::from(local) << 32 | u64::from(action.code());
        if let Some(known) = self.steps.get(&key) {
            return *known;
        }
        let mut state = self.locals.values[local as usize].clone();
        let mut fx = Effects::default();
        let possible = self.act(me, &mut state, action, &mut fx);
        let result = possible.then(|| {
            let after = self.locals.number(state);
            let envelope = |(to, message)| Envelope { from: me, to, message };
            let number = |sent| u16::try_from(self.messages.number(sent)).expect("few distinct messages");
            let sends: Vec<u16> = fx.sends.into_iter().map(envelope).map(number).collect();
            let events = self.events.number(fx.events);
            self.taken.push(Step { local: after, sends, events });
            u32::try_from(self.taken.len() - 1).expect("fewer than four billion steps")
        });
        let moved = |index: &u32| {
            let step = &self.taken[*index as usize];
            step.local != local || !step.sends.is_empty() || step.events != 0
        };
        let result = result.filter(moved);
        self.steps.insert(key, result);
        result
    }

    fn act(&self, me: u8, state: &mut Local, action: Action, fx: &mut Effects) -> bool {
        let script = self.world.scripts[usize::from(me)];
        let replica = &mut state.replica;
        match action {
            Action::Deliver(id) => {
                let Envelope { from, message, .. } = self.messages.values[id as usize].clone();
                replica.deliver(from, message, fx);
            }
            Action::Persist if replica.has_unsaved() => replica.persist(fx),
            Action::Start => match script.get(usize::from(state.next)) {
                Some(Op::Write(id)) if !replica.has_write() => {
                    replica.start_write(*id, fx);
                    state.next += 1;
                }
                Some(Op::Read) if !replica.has_read() => {
                    replica.start_read(fx);
                    state.next += 1;
                }
                _ => return false,
            },
            Action::Poke if replica.wants_ballot() => replica.poke(fx),
            Action::GiveUp if replica.has_ballot() && replica.ballots_left > 0 => replica.give_up_ballot(),
            Action::Settle if replica.is_asking() => replica.settle(fx),
            Action::Crash => replica.crash(fx),
            _ => return false,
        }
        true
    }

    /// The state after a step, or what it violates.
    fn apply(&mut self, before: &Global, me: u8, index: u32, crash: bool) -> Result<Global, String> {
        let mut after = *before;
        let step = &self.taken[index as usize];
        after.locals[usize::from(me)] = step.local;
        after.crashes -= u8::from(crash);
        for id in &step.sends {
            send(&mut after.net, *id);
        }
        if step.events != 0 {
            let key = (before.checker, me, step.events);
            let events = step.events;
            after.checker = match self.judged.get(&key) {
                Some(known) => known.clone()?,
                None => {
                    let verdict = self.judge(before.checker, me, events);
                    self.judged.insert(key, verdict.clone());
                    verdict?
                }
            };
        }
        self.prune(&mut after);
        Ok(after)
    }

    /// Forgets messages that can never have an effect again: states that differ only in them are the same.
    fn prune(&mut self, state: &mut Global) {
        let before = state.net;
        let mut kept = 0;
        for id in sent(&before) {
            if !self.is_spent(state, id) {
                state.net[kept] = id;
                kept += 1;
            }
        }
        state.net[kept..].fill(NO_MESSAGE);
    }

    fn is_spent(&mut self, state: &Global, id: u16) -> bool {
        let Envelope { from, to, ref message } = self.messages.values[id as usize];
        let local = |member: Member| state.locals[usize::from(member)];
        let replica = |member: Member| &self.locals.values[local(member) as usize].replica;
        match message {
            // Nobody waits for the answer (a ballot and a question never come back), and the promise bars it for good.
            Message::Prepare { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Restamp { ballot, .. } => {
                replica(from).ballot() != Some(*ballot) && *ballot < replica(to).durable_promise()
            }
            Message::Query { id, .. } => replica(from).question() != Some(*id),
            // An answer that is of no use now is of no use ever: it was counted, or its ballot or question is over.
            _ => self.step(to, local(to), Action::Deliver(id)).is_none(),
        }
    }

    fn judge(&mut self, checker: u32, me: u8, events: u32) -> Result<u32, String> {
        let mut next = self.checkers.values[checker as usize].clone();
        for event in &self.events.values[events as usize] {
            next.event(me, event)?;
        }
        Ok(self.checkers.number(next))
    }

    /// Visits every state. Breadth first, so that a violation comes with a shortest way to it.
    fn explore(&mut self, states_max: usize) -> Report {
        let start = self.start();
        let mut seen: FastSet<u128> = FastSet::default();
        let mut states = vec![start];
        let mut parents = vec![(0usize, 0u8, Action::Start)];
        seen.insert(fingerprint(&start));
        let mut cursor = 0;
        let mut violation = None;
        let mut actions = Vec::new();
        'search: while cursor < states.len() {
            let state = states[cursor];
            self.actions(&state, &mut actions);
            for (me, action) in actions.drain(..) {
                let Some(step) = self.step(me, state.locals[usize::from(me)], action) else { continue };
                match self.apply(&state, me, step, action == Action::Crash) {
                    Ok(next) => {
                        if seen.insert(fingerprint(&next)) {
                            states.push(next);
                            parents.push((cursor, me, action));
                        }
                    }
                    Err(what) => {
                        violation = Some((what, self.path(&parents, cursor, (me, action))));
                        break 'search;
                    }
                }
            }
            assert!(states.len() <= states_max, "{}: more than {states_max} states", self.world.name);
            cursor += 1;
        }
        let (locals, messages) = (self.locals.values.len(), self.messages.values.len());
        Report { states: states.len(), locals, messages, violation }
    }

    fn actions(&self, state: &Global, into: &mut Vec<(u8, Action)>) {
        for me in 0..3u8 {
            let crashable = state.crashes > 0 && self.world.slow[usize::from(me)];
            let always = [Action::Persist, Action::Start, Action::Poke, Action::GiveUp, Action::Settle];
            into.extend(always.map(|action| (me, action)));
            into.extend(crashable.then_some((me, Action::Crash)));
        }
        into.extend(sent(&state.net).map(|id| (self.messages.values[id as usize].to, Action::Deliver(id))));
    }

    fn path(&self, parents: &[(usize, u8, Action)], at: usize, last: (u8, Action)) -> Vec<String> {
        let mut path = vec![last];
        let mut at = at;
        while at != 0 {
            let (parent, me, action) = parents[at];
            path.push((me, action));
            at = parent;
        }
        let words = |(me, action): &(u8, Action)| match action {
            Action::Deliver(id) => {
                let Envelope { from, message, .. } = &self.messages.values[*id as usize];
                format!("{me} receives from {from}: {message:?}")
            }
            _ => format!("{me}: {action:?}"),
        };
        path.iter().rev().map(words).collect()
    }
}

fn holds(world: World) {
    holds_within(world, STATES_MAX);
}

fn holds_within(world: World, states_max: usize) {
    let report = Explorer::new(world).explore(states_max);
    println!(
        "{}: {} states, {} local states, {} messages",
        world.name, report.states, report.locals, report.messages
    );
    if let Some((what, path)) = report.violation {
        panic!("{}: {what}\n  {}", world.name, path.join("\n  "));
    }
}

fn finds(mutation: Mutation, world: World) {
    let report = Explorer::new(World { mutation, ..world }).explore(STATES_MAX);
    let (what, path) =
        report.violation.unwrap_or_else(|| panic!("{mutation:?} was not found in {} states", report.states));
    println!("{mutation:?}: {what}, after {} steps, {} states", path.len(), report.states);
}

/// A world that grows beyond this has become another one: the test says so.
const STATES_MAX: usize = 1_500_000;

const W1: &[Op] = &[Op::Write(1)];
const W2: &[Op] = &[Op::Write(2)];
const W3: &[Op] = &[Op::Write(3)];
const W1_W2: &[Op] = &[Op::Write(1), Op::Write(2)];
const R: &[Op] = &[Op::Read];
const R_R: &[Op] = &[Op::Read, Op::Read];
const W1_R: &[Op] = &[Op::Write(1), Op::Read];
const R_W3: &[Op] = &[Op::Read, Op::Write(3)];

const TWO_WRITERS: World = World { name: "two writers", scripts: [W1, W2, SILENT], ..PLAIN };
const FAST: World = World { name: "fast path against a rival", scripts: [W1_W2, W3, SILENT], ..PLAIN };
const SAME_ID: World =
    World { name: "one request at two proposers", scripts: [W1, W1, SILENT], ballots: [2, 1, 1], ..PLAIN };
const TWO_READS: World = World { name: "a writer and two reads", scripts: [W1, R_R, SILENT], ..PLAIN };
const CRASH_OF_PROPOSER: World = World {
    name: "two writers, crash of one",
    scripts: [W1, W3, SILENT],
    slow: [true, false, false],
    crashes: 1,
    ..PLAIN
};
const CRASH_AND_RESTART: World = World {
    name: "a writer that crashes and writes again",
    scripts: [W1_W2, SILENT, R],
    ballots: [2, 0, 0],
    slow: [true, false, false],
    crashes: 1,
    ..PLAIN
};
const CRASH_OF_ACCEPTOR: World = World {
    name: "two writers, crash of the third",
    scripts: [W1, W2, SILENT],
    slow: [false, false, true],
    crashes: 1,
    ..PLAIN
};
const CRASH_OF_READER: World = World {
    name: "a writer and a reader that crashes",
    scripts: [W1, R_R, SILENT],
    slow: [false, true, false],
    crashes: 1,
    ..PLAIN
};

#[test]
fn writers() {
    holds(TWO_WRITERS);
    holds(World { name: "two writers, finishing first", finish_first: true, ..TWO_WRITERS });
    holds(World { name: "two writers, all disks slow", slow: [true; 3], ..TWO_WRITERS });
    holds(World { name: "two writers, one retries", ballots: [2, 1, 1], ..TWO_WRITERS });
}

#[test]
fn fast_path_and_retries() {
    holds(FAST);
    holds(SAME_ID);
}

#[test]
fn readers() {
    holds(TWO_READS);
    holds(World { name: "a writer, two readers", scripts: [W1, R, R], ballots: [1, 1, 0], ..PLAIN });
}

#[test]
fn crashes() {
    holds(CRASH_OF_PROPOSER);
    holds(World { scripts: [W1_W2, SILENT, SILENT], ..CRASH_AND_RESTART });
    holds(CRASH_OF_ACCEPTOR);
    holds(CRASH_OF_READER);
}

/// Worlds of minutes and gigabytes, for a release build: they run when PAXOS_EXPLORE_STATES says how many states are allowed, and
/// the smallest of them always.
#[test]
fn wide() {
    let allowed = std::env::var("PAXOS_EXPLORE_STATES").ok().and_then(|text| text.parse().ok());
    holds(World { name: "a writer and a reader", scripts: [W1, R, SILENT], ..PLAIN });
    let Some(allowed) = allowed else { return };
    let all = [
        World { name: "fast path, finishing first", finish_first: true, ..FAST },
        CRASH_AND_RESTART,
        World { name: "a writer that reads, a writer", scripts: [W1_R, W2, SILENT], ..PLAIN },
        World { name: "two writers and a reader", scripts: [W1, W2, R], ballots: [1, 1, 0], ..PLAIN },
        World { name: "two writers, both retry", ballots: [2, 2, 0], ..TWO_WRITERS },
        World { name: "fast path, crash", ballots: [1, 1, 0], scripts: FAST.scripts, ..CRASH_OF_PROPOSER },
    ];
    for world in all {
        holds_within(world, allowed);
    }
}

#[test]
fn every_planted_fault_is_found() {
    finds(Mutation::AnswerEarly, CRASH_OF_ACCEPTOR);
    finds(Mutation::CountOwnEarly, CRASH_OF_PROPOSER);
    finds(Mutation::BallotReuse, CRASH_AND_RESTART);
    finds(Mutation::HighestUnfinished, TWO_READS);
    finds(Mutation::ForgetPromise, CRASH_OF_ACCEPTOR);
    finds(Mutation::IgnoreFound, TWO_WRITERS);
    finds(Mutation::FastUnchosen, World { ballots: [2, 1, 1], ..FAST });
    finds(Mutation::FastForeign, World { scripts: [W1_W2, R_W3, SILENT], ..PLAIN });
    finds(Mutation::ReadAlone, World { scripts: [W1_R, W2, SILENT], ..PLAIN });
    finds(Mutation::ApplyTwice, SAME_ID);
}
