//! One client of the lab: a plain loop, on a plain port with a fixed first host or on the core ports as a
//! cluster client has it.
//!
//! Keys are of four kinds: registers and counters with one writer (their losses can be counted), shared
//! registers with all clients as writers, and contended keys under conditional commands, which are left behind
//! every few seconds. Every value is written once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::door::{Asked, Door};
use super::limits::{CONTENDED_GENERATION, COUNTER_GENERATION};
use crate::drill::client::{first_word, Answer};
use crate::history::{Command, Operation, Outcome};
use crate::limits::{DRILL_OPERATIONS_MAX, DRILL_PAUSE};

/// Every third client uses a contended key, so that few operations on it are open at once.
const CONTENDED_PARTS: usize = 3;

/// What all clients share.
#[derive(Debug)]
pub struct World {
    /// The zero of all times.
    pub start: Instant,
    /// Set at the end.
    pub stop: AtomicBool,
    /// Raised when everything was healed: plain clients return to their first host.
    pub healed: AtomicU64,
    /// Plain ports of the hosts.
    pub hosts: Vec<SocketAddr>,
    /// Clients.
    pub clients: usize,
    /// Keys of each kind.
    pub keys: usize,
    /// Operations per second of one client.
    pub rate: f64,
    /// Seed of the clients' choices.
    pub seed: u64,
}

impl World {
    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a run is shorter than centuries")
    }

    /// Every key that may have been written until now.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let registers = (0..self.keys).map(register);
        let age = self.counter_generation();
        let counters = (0..=age).flat_map(|g| (0..self.clients).map(move |client| counter(client, g)));
        let shared = (0..self.keys).map(shared);
        let contended =
            (0..=self.generation()).flat_map(|g| (0..self.keys).map(move |number| contended(number, g)));
        registers.chain(counters).chain(shared).chain(contended).collect()
    }

    fn counter_generation(&self) -> u64 {
        self.start.elapsed().as_secs() / COUNTER_GENERATION.as_secs()
    }

    fn generation(&self) -> u64 {
        self.start.elapsed().as_secs() / CONTENDED_GENERATION.as_secs()
    }
}

fn register(number: usize) -> Vec<u8> {
    format!("r{number}").into_bytes()
}

fn counter(client: usize, generation: u64) -> Vec<u8> {
    format!("c{client}.{generation}").into_bytes()
}

fn shared(number: usize) -> Vec<u8> {
    format!("s{number}").into_bytes()
}

fn contended(number: usize, generation: u64) -> Vec<u8> {
    format!("x{number}.{generation}").into_bytes()
}

/// How an operation ended, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who asked.
    pub client: u32,
    /// Which host, from 0.
    pub host: usize,
    /// Whether it was a SET without conditions.
    pub set: bool,
    /// When it was asked, ns.
    pub call: u64,
    /// When it ended, ns.
    pub end: u64,
    /// What went wrong, if anything; an outcome of which nobody knows is wrong too.
    pub failure: Option<String>,
}

/// What a client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether it came in by the core ports, each key at the host that it is routed to.
    pub routed: bool,
    /// The operations, for the checkers.
    pub operations: Vec<Operation>,
    /// The same, for who asks about time and place.
    pub events: Vec<Event>,
    /// Connections lost or not made.
    pub reconnects: u64,
}

/// A client.
#[derive(Debug)]
pub struct Client<'a> {
    world: &'a World,
    index: usize,
    random: SmallRng,
    door: Door<'a>,
    healed: u64,
    sequence: u64,
    seen: Seen,
}

impl<'a> Client<'a> {
    /// Client `index`; every third uses the core ports.
    pub fn new(world: &'a World, index: usize) -> Client<'a> {
        let seed = world.seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let routed = index % 3 == 2;
        let door = Door::new(&world.hosts, index, routed);
        let random = SmallRng::seed_from_u64(seed);
        let seen = Seen { routed, ..Seen::default() };
        Client { world, index, random, door, healed: 0, sequence: 0, seen }
    }

    /// Runs until it is told to stop, or its share of the record is full.
    pub fn run(mut self) -> Seen {
        let share = DRILL_OPERATIONS_MAX / self.world.clients;
        while !self.world.stop.load(Ordering::Acquire) && self.seen.operations.len() < share {
            let healed = self.world.healed.load(Ordering::Acquire);
            if healed != self.healed {
                self.healed = healed;
                self.door.go_home();
            }
            self.operate();
            self.think();
        }
        self.seen.reconnects = self.door.reconnects;
        self.seen
    }

    /// Pauses between operations: half to one and a half times the mean that the rate asks for.
    fn think(&mut self) {
        let mean = 1.0 / self.world.rate;
        std::thread::sleep(Duration::from_secs_f64(mean * self.random.random_range(0.5..1.5)));
    }

    fn value(&mut self) -> Vec<u8> {
        self.sequence += 1;
        format!("{}.{}", self.index, self.sequence).into_bytes()
    }

    fn draw(&mut self) -> (Vec<u8>, Command) {
        let (clients, keys) = (self.world.clients, self.world.keys);
        match self.random.random_range(0..20) {
            // The registers of a client are those whose number is its index, modulo the number of clients.
            0..=3 if self.index < keys => {
                let own = (keys - self.index).div_ceil(clients);
                let number = self.random.random_range(0..own) * clients + self.index;
                (register(number), Command::Set(self.value()))
            }
            0..=4 => (counter(self.index, self.world.counter_generation()), Command::IncrBy(1)),
            5..=8 => (shared(self.random.random_range(0..keys)), Command::Set(self.value())),
            9..=11 => self.contend(),
            12..=14 => (register(self.random.random_range(0..keys)), Command::Get),
            15 => {
                let client = self.random.random_range(0..clients);
                (counter(client, self.world.counter_generation()), Command::Get)
            }
            _ => (shared(self.random.random_range(0..keys)), Command::Get),
        }
    }

    /// A command whose effect depends on what is there.
    fn contend(&mut self) -> (Vec<u8>, Command) {
        let part = self.index % CONTENDED_PARTS;
        let parts = self.world.keys.div_ceil(CONTENDED_PARTS);
        let number = (self.random.random_range(0..parts) * CONTENDED_PARTS + part) % self.world.keys;
        let command = match self.random.random_range(0..6) {
            0 => Command::SetIfAbsent(self.value()),
            1 => Command::GetSet(self.value()),
            2 => Command::GetDel,
            3 => Command::Append(self.value()),
            4 => Command::Set(self.value()),
            _ => Command::Get,
        };
        (contended(number, self.world.generation()), command)
    }

    fn operate(&mut self) {
        let (key, command) = self.draw();
        let call = self.world.now_ns();
        let Some(Asked { host, answer }) = self.door.call(&key, &words(&key, &command)) else {
            // No host can be reached; nothing was asked.
            std::thread::sleep(DRILL_PAUSE);
            return;
        };
        let end = self.world.now_ns();
        let (outcome, failure) = match Answer::of(answer) {
            Answer::Replied(reply) => (Outcome::Replied { at: end, reply }, None),
            Answer::Refused(text) => (Outcome::Failed, Some(short(&text))),
            Answer::Uncertain => (Outcome::Unknown, Some("UNCERTAIN".to_owned())),
            Answer::Lost(how) => (Outcome::Unknown, Some(how.to_owned())),
        };
        if failure.is_some() {
            std::thread::sleep(DRILL_PAUSE);
        }
        let client = self.index as u32;
        let set = matches!(command, Command::Set(_));
        self.seen.events.push(Event { client, host, set, call, end, failure });
        self.seen.operations.push(Operation { client, key, call, command, outcome, version: None });
    }
}

/// An error by which failures are counted: its first words, without numbers that differ.
fn short(text: &str) -> String {
    match first_word(text) {
        "ERR" => text.split(':').next().unwrap_or(text).to_owned(),
        word => word.to_owned(),
    }
}

/// A command as a client sends it.
fn words(key: &[u8], command: &Command) -> Vec<Vec<u8>> {
    let line = |name: &str, rest: &[&[u8]]| {
        let head = [name.as_bytes().to_vec(), key.to_vec()];
        head.into_iter().chain(rest.iter().map(|word| word.to_vec())).collect()
    };
    match command {
        Command::Get => line("GET", &[]),
        Command::Set(value) => line("SET", &[value]),
        Command::SetIfAbsent(value) => line("SET", &[value, b"NX"]),
        Command::CompareSet { expected, value } => line("SET", &[value, b"IFEQ", expected]),
        Command::GetSet(value) => line("SET", &[value, b"GET"]),
        Command::GetDel => line("GETDEL", &[]),
        Command::Del => line("DEL", &[]),
        Command::Clear => vec![b"FLUSHALL".to_vec()],
        Command::IncrBy(by) => line("INCRBY", &[by.to_string().as_bytes()]),
        Command::Append(value) => line("APPEND", &[value]),
        Command::Exists => line("EXISTS", &[]),
        Command::Strlen => line("STRLEN", &[]),
    }
}
