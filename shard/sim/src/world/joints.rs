//! Commands on several keys as one step (docs/design/several-keys.md): movers put a token to some keys of one slot, or read them side by side,
//! and others write and read the same keys one by one.
//!
//! Others move and copy what keys of another tag hold ([`crate::moves`]), and are movers like them.
//!
//! A token is at all keys that it was put to, or at none; what is read side by side never shows a part; and there is one order of all tokens
//! that every key agrees with. Each key is an appended one besides, with all that the ledger and the history check of such keys.

use std::collections::{BTreeMap, BTreeSet};

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND, SECOND};
use reactor::rng::Rng;
use shard::command::{Command, Limits, Queue};
use shard::reply::Reply;
use synod_bench::history::{self, Operation, OperationId};

use super::clients::{Asker, Outstanding};
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::ledger::{show, TOKEN_BYTES};
use crate::limits::{DEADLINE_MAX, OVERDUE};
use crate::moves::Moves;
use crate::objects::{self, Shape};
use crate::plan::{Plan, Stream};
use crate::violation::{invariant, Checked, Violation};
use crate::workload;

/// Questions that each mover has.
const QUESTIONS: u32 = 25;

/// Longest pause of a mover.
const THINK: Nanos = 100 * MILLISECOND;

/// Threads of movers in the history, one for each of its keys.
const MOVERS: u32 = 3000;

/// What happens by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum JointEvent {
    /// A mover asks.
    Ask(u32),
    /// Nobody waits for the answer to a question any longer.
    GiveUp(usize),
}

#[derive(Clone, Copy, Debug)]
struct Mover {
    /// It moves things between keys.
    moves: bool,
    left: u32,
    /// The question that it waits for.
    waits_for: Option<usize>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nobody knows.
    Open,
    /// It was done.
    Done,
    /// It was not done.
    Not,
}

/// A question of a mover.
#[derive(Debug)]
struct Question {
    mover: u32,
    what: What,
}

/// What it is about.
#[derive(Debug)]
enum What {
    Tokens(Tokens),
    /// One of [`Moves`], by its number there.
    Move(usize),
}

/// A token that was put to some keys, or was looked for there.
#[derive(Debug)]
struct Tokens {
    keys: Vec<usize>,
    token: Option<Vec<u8>>,
    told: Told,
    /// What was seen, key by key.
    seen: Vec<Vec<u8>>,
    /// One for each key.
    operations: Vec<OperationId>,
    is_joint: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Joints {
    rng: Rng,
    keys: Vec<Vec<u8>>,
    movers: Vec<Mover>,
    asked: Vec<Question>,
    moves: Option<Moves>,
}

impl Joints {
    /// What the plan has of both.
    pub fn new(plan: &Plan) -> Joints {
        let mut stream = Stream::Joint.rng(plan.seed);
        let (rng, moves) = (stream.fork(), stream.fork());
        let mut joints = Joints { rng, keys: Vec::new(), movers: Vec::new(), asked: Vec::new(), moves: None };
        if plan.classes.has(Class::Joint) {
            joints.begin(plan);
        }
        if plan.classes.has(Class::Moves) {
            joints.moves = Some(Moves::new(moves));
            joints.add_movers(true);
        }
        joints
    }

    /// Draws keys that tokens are put to. Where there are objects they hold lists, in half of the runs, in the place of strings.
    fn begin(&mut self, plan: &Plan) {
        let lists = plan.classes.is_drawn(Class::Objects).then_some(plan.classes.is_drawn(Class::Deltas));
        let tag = self.rng.below(1000);
        let count = self.rng.between(2, 4);
        let suffix = lists.filter(|_| self.rng.coin()).map(|is_long| objects::suffix(Shape::List, is_long));
        let suffix = suffix.unwrap_or_default();
        self.keys = (0..count).map(|key| format!("a{{{tag}}}{key}{suffix}").into_bytes()).collect();
        self.add_movers(false);
    }

    fn add_movers(&mut self, moves: bool) {
        let mover = Mover { moves, left: QUESTIONS, waits_for: None };
        self.movers.extend(vec![mover; self.rng.between(2, 4) as usize]);
    }

    /// The keys, and whether they are appended to only.
    pub fn keys(&self) -> Vec<(Vec<u8>, bool)> {
        let moved = self.moves.iter().flat_map(Moves::keys).map(|key| (key, false));
        self.keys.iter().map(|key| (key.clone(), true)).chain(moved).collect()
    }

    /// Whether all was asked and answered.
    pub fn is_done(&self) -> bool {
        self.movers.iter().all(|mover| mover.left == 0 && mover.waits_for.is_none())
    }

    /// Draws which keys a question is about, and what it puts there.
    fn draw(&mut self, mover: u32) -> (Vec<usize>, Option<Vec<u8>>, bool) {
        let is_joint = self.rng.below(3) > 0;
        let mut keys: Vec<usize> = (0..self.keys.len()).collect();
        let wanted = if is_joint { self.rng.between(2, keys.len() as u64) as usize } else { 1 };
        while keys.len() > wanted {
            let place = self.rng.below(keys.len() as u64) as usize;
            keys.remove(place);
        }
        let first = self.rng.below(keys.len() as u64) as usize;
        keys.swap(0, first);
        let writes = self.rng.below(3) > 0;
        let token = writes.then(|| format!("t{mover}{:05};", self.asked.len()).into_bytes());
        assert!(token.iter().all(|token| token.len() == TOKEN_BYTES), "a token has a fixed width");
        (keys, token, is_joint)
    }

    /// Judges what was moved, by what was read of those keys in the end. Whether all of it could be decided.
    pub fn judge_moves(&self, last_reads: &[&Operation]) -> Result<bool, Violation> {
        self.moves.as_ref().map_or(Ok(true), |moves| moves.judge(last_reads))
    }

    /// What was asked about tokens.
    fn tokens(&self) -> impl Iterator<Item = &Tokens> {
        self.asked.iter().filter_map(|question| match &question.what {
            What::Tokens(tokens) => Some(tokens),
            What::Move(_) => None,
        })
    }

    /// Judges where tokens are, by what the keys hold in the end.
    pub fn judge(&self, text: impl Fn(&[u8]) -> Vec<u8>) -> Checked {
        let ends: Vec<Vec<u8>> = self.keys.iter().map(|key| text(key)).collect();
        let holds = |text: &[u8], token: &[u8]| text.chunks(TOKEN_BYTES).any(|chunk| chunk == token);
        for question in self.tokens() {
            let Tokens { keys, token: Some(token), .. } = question else { continue };
            let there: Vec<bool> = keys.iter().map(|key| holds(&ends[*key], token)).collect();
            if there.iter().any(|is| *is != there[0]) {
                return Err(self.broken(question, "is at some of its keys, and not at others"));
            }
        }
        let side_by_side =
            |question: &&Tokens| question.token.is_none() && question.is_joint && question.told == Told::Done;
        for read in self.tokens().filter(side_by_side) {
            for other in self.tokens() {
                let Some(token) = &other.token else { continue };
                let seen = read.keys.iter().zip(&read.seen).filter(|(key, _)| other.keys.contains(key));
                let there: BTreeSet<bool> = seen.map(|(_, seen)| holds(seen, token)).collect();
                if there.len() > 1 {
                    return Err(self.broken(other, &format!("was seen in part by {read:?}")));
                }
            }
        }
        self.check_order(&ends)
    }

    fn broken(&self, question: &Tokens, why: &str) -> Violation {
        let token = show(question.token.as_deref().unwrap_or_default());
        let keys: Vec<String> = question.keys.iter().map(|key| show(&self.keys[*key])).collect();
        Violation::new(invariant::TOGETHER, format!("{token} of {} {why}", keys.join(", ")))
    }

    /// One order for all keys: no circle among what follows what at some key.
    fn check_order(&self, ends: &[Vec<u8>]) -> Checked {
        let mut follows: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
        let mut free: BTreeSet<&[u8]> = BTreeSet::new();
        for text in ends {
            let tokens: Vec<&[u8]> = text.chunks(TOKEN_BYTES).collect();
            free.extend(&tokens);
            for pair in tokens.windows(2) {
                follows.entry(pair[0]).or_default().insert(pair[1]);
            }
        }
        let mut before: BTreeMap<&[u8], usize> = BTreeMap::new();
        follows.values().flatten().for_each(|token| *before.entry(token).or_default() += 1);
        free.retain(|token| !before.contains_key(token));
        while let Some(token) = free.pop_first() {
            for next in follows.remove(token).into_iter().flatten() {
                let Some(count) = before.get_mut(next) else { continue };
                *count -= 1;
                if *count == 0 {
                    before.remove(next);
                    free.insert(next);
                }
            }
        }
        if before.is_empty() {
            return Ok(());
        }
        let circle: Vec<String> = before.keys().map(|token| show(token)).collect();
        Err(Violation::new(
            invariant::TOGETHER,
            format!("keys disagree on the order of {}", circle.join(", ")),
        ))
    }
}

/// What the reply about one key says; None: it is none of those that tell.
fn told(shape: Option<Shape>, token: Option<&[u8]>, reply: &Reply) -> Option<history::Reply> {
    if let Some(shape) = shape {
        let command = token.map_or(history::Command::Get, |token| history::Command::Append(token.to_vec()));
        if let Some(workload::Told::Reply(told, _)) = objects::told(shape, b"", &command, reply) {
            return Some(told);
        }
    }
    match reply {
        Reply::Int(length) => Some(history::Reply::Int(*length)),
        Reply::Bulk(value) => Some(history::Reply::Value(value.clone())),
        Reply::Nil => Some(history::Reply::Nil),
        Reply::Array(elements) if elements.is_empty() => Some(history::Reply::Nil),
        _ => None,
    }
}

/// What is asked about some keys, together or about the one alone.
fn said(names: &[Vec<u8>], told: &history::Command, is_joint: bool) -> Command {
    let of_key = |name: &Vec<u8>| match (objects::shape_of(name), told) {
        (Some(shape), told) => {
            let words = objects::words(shape, name, told);
            parsed(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
        (None, history::Command::Append(token)) => parsed(&[b"APPEND", name, token]),
        (None, _) => parsed(&[b"GET", name]),
    };
    if !is_joint {
        return of_key(&names[0]);
    }
    let mut queue = Queue::default();
    for name in names {
        assert!(queue.push(of_key(name)), "it can be part of a transaction");
    }
    queue.exec(&[]).expect("they are few keys")
}

fn parsed(words: &[&[u8]]) -> Command {
    Command::parse(words, &Limits::default()).expect("it can be parsed")
}

impl World {
    /// Movers begin.
    pub(super) fn begin_joints(&mut self) {
        let movers = self.joints.as_ref().map_or(0, |joints| joints.movers.len() as u32);
        (0..movers).for_each(|mover| self.move_later(mover));
    }

    pub(super) fn on_joint_event(&mut self, event: JointEvent) {
        match event {
            JointEvent::Ask(mover) => self.ask_jointly(mover),
            JointEvent::GiveUp(question) => self.end_question(question),
        }
    }

    fn move_later(&mut self, mover: u32) {
        let Some(joints) = &mut self.joints else { return };
        let pause = joints.rng.below(THINK);
        self.schedule(self.now + pause, Event::Joint(JointEvent::Ask(mover)));
    }

    fn ask_jointly(&mut self, mover: u32) {
        let (hosts, cores) = (self.plan.hosts, self.plan.cores);
        let Some(joints) = &mut self.joints else { return };
        if self.phase != Phase::Faults || joints.movers[mover as usize].left == 0 {
            return self.check_done();
        }
        let host = joints.rng.below(u64::from(hosts)) as Member;
        let at = Place { host, core: joints.rng.below(u64::from(cores)) as u16 };
        if !self.core(at).serves() {
            return self.move_later(mover);
        }
        let now = self.now;
        let Some(joints) = &mut self.joints else { return };
        let number = joints.asked.len();
        joints.movers[mover as usize].left -= 1;
        joints.movers[mover as usize].waits_for = Some(number);
        let moves = joints.moves.as_mut().filter(|_| joints.movers[mover as usize].moves);
        let (key, command, what) = match moves.map(|moves| moves.ask(now)) {
            Some((number, key, command)) => (key, command, What::Move(number)),
            None => {
                let (keys, token, is_joint) = joints.draw(mover);
                let names: Vec<Vec<u8>> = keys.iter().map(|key| joints.keys[*key].clone()).collect();
                let told = token.clone().map_or(history::Command::Get, history::Command::Append);
                let mut asked = |name: &Vec<u8>, place: u32| {
                    let thread = MOVERS + mover * 8 + place;
                    self.history.call(thread, name, told.clone(), now)
                };
                let operations = names.iter().zip(0..).map(|(name, place)| asked(name, place)).collect();
                let command = said(&names, &told, is_joint);
                let tokens = Tokens { keys, token, told: Told::Open, seen: Vec::new(), operations, is_joint };
                (names[0].clone(), command, What::Tokens(tokens))
            }
        };
        joints.asked.push(Question { mover, what });
        let request = self.open_request(Outstanding {
            at,
            slice: self.ledger.slice_of(&key),
            asker: Asker::Joint(number),
            deadline: now + DEADLINE_MAX,
            command,
            arrived: false,
            chosen: self.ledger.newest_chosen(&key),
        });
        let (delay, patience) = (self.client_delay(), DEADLINE_MAX + OVERDUE + SECOND);
        self.schedule(now + delay, Event::Ask { request });
        // What was on its way to a core that is gone is not answered, and nobody says so.
        self.schedule(now + patience, Event::Joint(JointEvent::GiveUp(number)));
    }

    /// The mover goes on, if it still waits for this.
    fn end_question(&mut self, number: usize) {
        let Some(joints) = &mut self.joints else { return };
        let mover = joints.asked[number].mover;
        if joints.movers[mover as usize].waits_for == Some(number) {
            joints.movers[mover as usize].waits_for = None;
            let fresh = match (&joints.asked[number].what, &mut joints.moves) {
                (What::Move(number), Some(moves)) => moves.ended(*number),
                _ => None,
            };
            fresh.into_iter().flatten().for_each(|key| self.ledger.watch(&key, false));
            self.move_later(mover);
        }
    }

    /// A question was answered.
    pub(super) fn on_joint_reply(&mut self, number: usize, reply: &Reply) -> Checked {
        let now = self.now;
        let Some(joints) = &mut self.joints else { return Ok(()) };
        let question = &mut joints.asked[number];
        if joints.movers[question.mover as usize].waits_for != Some(number) {
            self.label("a reply came too late for its client");
            return Ok(());
        }
        let question = match &mut question.what {
            What::Tokens(tokens) => tokens,
            What::Move(of) => {
                let label = joints.moves.as_mut().map(|moves| moves.answered(*of, now, reply));
                label.into_iter().for_each(|label| self.label(label));
                self.end_question(number);
                return Ok(());
            }
        };
        let parts: &[Reply] = match reply {
            Reply::Array(parts) if question.is_joint => parts,
            other => std::slice::from_ref(other),
        };
        let shape = objects::shape_of(&joints.keys[question.keys[0]]);
        let told = |reply: &Reply| told(shape, question.token.as_deref(), reply);
        let all: Option<Vec<history::Reply>> = parts.iter().map(told).collect();
        let label = if let Some(all) = all.filter(|all| all.len() == question.keys.len()) {
            question.told = Told::Done;
            for (told, operation) in all.into_iter().zip(&question.operations) {
                match &told {
                    history::Reply::Value(value) => question.seen.push(value.clone()),
                    history::Reply::Nil => question.seen.push(Vec::new()),
                    _ => {}
                }
                self.history.replied(*operation, now, told, None);
            }
            match (question.is_joint, question.token.is_some()) {
                (true, true) if shape.is_some() => "several lists were written in one step",
                (true, true) => "several keys were written in one step",
                (true, false) => "several keys were read side by side",
                (false, _) => "a key of joint commands alone",
            }
        } else if matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN")) {
            "a joint command is uncertain"
        } else {
            question.told = Told::Not;
            question.operations.iter().for_each(|operation| self.history.failed(*operation));
            "a joint command was refused"
        };
        self.label(label);
        self.end_question(number);
        Ok(())
    }

    /// The reply will not come, or the question never reached a host.
    pub(super) fn on_joint_lost(&mut self, number: usize) {
        self.end_question(number);
    }
}
