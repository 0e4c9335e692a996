//! One client of a drill: a plain loop over one connection, as an application without any cleverness has it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::{Plan, Shared};
use crate::history::{Command, Operation, Outcome, Reply};
use crate::limits::{DRILL_OPERATIONS_MAX, DRILL_PAUSE};
use crate::resp::Value;
use crate::wire::Wire;

/// The first word of an error that says that a write may be applied or not.
const UNCERTAIN: &str = "UNCERTAIN";

/// What came back to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A reply that is no error.
    Replied(Reply),
    /// An error: nothing was applied, for certain.
    Refused(String),
    /// An error that says that a write may be applied or not.
    Uncertain,
    /// No reply, and why: nobody knows, and the connection is of no use any more.
    Lost(&'static str),
}

impl Answer {
    /// Reads a reply, or its absence.
    pub(crate) fn of(answer: io::Result<Value>) -> Answer {
        let reply = match answer {
            Ok(Value::Error(text)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                let uncertain = first_word(&text) == UNCERTAIN;
                return if uncertain { Answer::Uncertain } else { Answer::Refused(text) };
            }
            Err(error) => {
                let timeout = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                return Answer::Lost(if timeout { "timeout" } else { "connection lost" });
            }
            Ok(Value::Simple(_)) => Reply::Ok,
            Ok(Value::Int(number)) => Reply::Int(number),
            Ok(Value::Bulk(value)) => Reply::Value(value),
            Ok(Value::Nil) => Reply::Nil,
            // The commands of a drill have no such reply: the checkers will say so.
            Ok(Value::Array(_)) => Reply::Refused,
        };
        Answer::Replied(reply)
    }
}

/// The word by which errors are told apart.
pub(crate) fn first_word(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or("empty error")
}

/// What one client saw, in numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// The client, from 0.
    pub client: usize,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Reads answered.
    pub reads: u64,
    /// Operations that failed for certain, or reads without an answer.
    pub errors: u64,
    /// Writes of unknown outcome.
    pub unknown: u64,
    /// Connections lost or not made.
    pub reconnects: u64,
    /// The longest time between two answers, ms.
    pub longest_gap_ms: f64,
    /// When that gap ended, seconds from the start.
    pub longest_gap_end_s: f64,
    /// The client used up its share of [`DRILL_OPERATIONS_MAX`] and stopped early.
    pub stopped_early: bool,
    /// What went wrong, by the first word of the error.
    pub by_kind: BTreeMap<String, u64>,
}

/// What one client saw.
#[derive(Debug)]
pub struct Seen {
    /// In numbers.
    pub line: Line,
    /// Operation by operation.
    pub operations: Vec<Operation>,
}

/// The key of a register.
pub(crate) fn register_key(prefix: &str, number: usize) -> Vec<u8> {
    format!("{prefix}:r{number}").into_bytes()
}

/// The key of a client's counter.
pub(crate) fn counter_key(prefix: &str, client: usize) -> Vec<u8> {
    format!("{prefix}:c{client}").into_bytes()
}

/// A client of a drill.
#[derive(Debug)]
pub struct Client<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    index: usize,
    random: SmallRng,
    wire: Option<Wire>,
    host: usize,
    returned: u64,
    sequence: u64,
    last_answer: Duration,
    line: Line,
    operations: Vec<Operation>,
}

impl<'a> Client<'a> {
    /// Client `index` of the plan; its first host is that of its index.
    pub(crate) fn new(plan: &'a Plan, shared: &'a Shared, index: usize) -> Client<'a> {
        let seed = plan.seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Client {
            plan,
            shared,
            index,
            random: SmallRng::seed_from_u64(seed),
            wire: None,
            host: index % plan.hosts.len(),
            returned: 0,
            sequence: 0,
            last_answer: shared.start.elapsed(),
            line: Line { client: index, ..Line::default() },
            operations: Vec::new(),
        }
    }

    /// Runs until the drill is over.
    pub fn run(mut self) -> Seen {
        let share = DRILL_OPERATIONS_MAX / self.plan.clients;
        while !self.shared.stop.load(Ordering::Acquire) {
            if self.operations.len() >= share {
                self.line.stopped_early = true;
                break;
            }
            self.go_home();
            if self.connected() {
                self.operate();
            }
        }
        if !self.line.stopped_early {
            self.note_gap();
        }
        Seen { line: self.line, operations: self.operations }
    }

    /// Returns to the first host when a host came back, so that the one that was killed serves again.
    fn go_home(&mut self) {
        let returned = self.shared.returned.load(Ordering::Acquire);
        if returned != self.returned {
            self.returned = returned;
            self.host = self.index % self.plan.hosts.len();
            self.wire = None;
        }
    }

    fn addr(&self) -> SocketAddr {
        self.plan.hosts[self.host]
    }

    /// Connects if need be, trying each host once, at once; false if none can be reached.
    fn connected(&mut self) -> bool {
        if self.wire.is_some() {
            return true;
        }
        for _ in 0..self.plan.hosts.len() {
            match Wire::connect(self.addr(), self.plan.password.as_deref(), self.plan.timeout) {
                Ok(wire) => {
                    self.wire = Some(wire);
                    return true;
                }
                Err(_) => self.next_host(),
            }
        }
        std::thread::sleep(DRILL_PAUSE);
        false
    }

    fn next_host(&mut self) {
        self.wire = None;
        self.host = (self.host + 1) % self.plan.hosts.len();
        self.line.reconnects += 1;
    }

    /// Draws an operation: 4 of 10 SET an own register, 1 INCR the own counter, 5 GET any key.
    fn draw(&mut self) -> (Vec<u8>, Command) {
        let (clients, keys) = (self.plan.clients, self.plan.keys);
        let prefix = &self.shared.prefix;
        match self.random.random_range(0..10) {
            0..=3 => {
                // The registers of a client are those whose number is its index, modulo the number of
                // clients.
                let own = (keys - self.index).div_ceil(clients);
                let number = self.random.random_range(0..own) * clients + self.index;
                self.sequence += 1;
                let value = format!("{}.{}", self.index, self.sequence).into_bytes();
                (register_key(prefix, number), Command::Set(value))
            }
            4 => (counter_key(prefix, self.index), Command::IncrBy(1)),
            _ => match self.random.random_range(0..keys + clients) {
                number if number < keys => (register_key(prefix, number), Command::Get),
                number => (counter_key(prefix, number - keys), Command::Get),
            },
        }
    }

    fn now_ns(&self) -> u64 {
        self.shared.start.elapsed().as_nanos() as u64
    }

    fn operate(&mut self) {
        let (key, command) = self.draw();
        let call = self.now_ns();
        let Some(wire) = &mut self.wire else { return };
        let answer = match &command {
            Command::Set(value) => wire.call(&[b"SET", &key, value]),
            Command::IncrBy(_) => wire.call(&[b"INCR", &key]),
            _ => wire.call(&[b"GET", &key]),
        };
        let at = self.now_ns();
        let outcome = self.outcome(answer, at, command.is_read());
        let client = self.index as u32;
        self.operations.push(Operation { client, key, call, command, outcome, version: None });
    }

    fn outcome(&mut self, answer: io::Result<Value>, at: u64, is_read: bool) -> Outcome {
        match Answer::of(answer) {
            Answer::Replied(reply) => {
                *if is_read { &mut self.line.reads } else { &mut self.line.acknowledged } += 1;
                self.note_gap();
                Outcome::Replied { at, reply }
            }
            Answer::Refused(text) => {
                std::thread::sleep(DRILL_PAUSE);
                self.count(first_word(&text));
                self.line.errors += 1;
                Outcome::Failed
            }
            Answer::Uncertain => {
                std::thread::sleep(DRILL_PAUSE);
                self.unknown(UNCERTAIN, is_read)
            }
            Answer::Lost(how) => {
                self.next_host();
                self.unknown(how, is_read)
            }
        }
    }

    fn unknown(&mut self, kind: &str, is_read: bool) -> Outcome {
        self.count(kind);
        *if is_read { &mut self.line.errors } else { &mut self.line.unknown } += 1;
        Outcome::Unknown
    }

    fn count(&mut self, kind: &str) {
        crate::load::tally::count_bounded(&mut self.line.by_kind, kind, 1);
    }

    fn note_gap(&mut self) {
        let now = self.shared.start.elapsed();
        let gap = now.saturating_sub(self.last_answer).as_secs_f64() * 1e3;
        if gap > self.line.longest_gap_ms {
            self.line.longest_gap_ms = gap;
            self.line.longest_gap_end_s = now.as_secs_f64();
        }
        self.last_answer = now;
    }
}
