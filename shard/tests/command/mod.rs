//! The command layer from outside: golden scripts, the table, and the way between hosts.

mod codec;
mod deltas;
mod once;
mod random;
mod rules;
mod scripts;
mod sort_and_lcs;
mod table;
mod transactions;

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, Joint, KeyCommand, Limits, Op, Statements};
use shard::joint::{JointId, Runner, Todo};
use shard::reply::Reply;
use shard::state::State;
use std::collections::{BTreeMap, VecDeque};

/// The plainest host there is: a map of states and a clock, one command after the other.
pub struct Host {
    pub states: BTreeMap<Vec<u8>, State>,
    pub now_ms: u64,
    pub limits: Limits,
    pub rng: Rng,
    /// Whether the last command changed anything.
    pub changed: bool,
    /// Joint commands so far.
    ids: u64,
}

impl Host {
    pub fn new() -> Host {
        Host {
            states: BTreeMap::new(),
            now_ms: 1_000_000,
            limits: Limits::default(),
            rng: Rng::new(1),
            changed: false,
            ids: 0,
        }
    }

    /// Parses, splits, executes and gathers. Each part goes over the wire first, so that both ways are the same.
    pub fn run(&mut self, args: &[&[u8]]) -> Reply {
        self.changed = false;
        let command = match Command::parse(args, &self.limits) {
            Ok(command) => command,
            Err(error) => return error,
        };
        if let Command::Joint(joint) = &command {
            return self.run_joint(joint);
        }
        let split = command.split();
        let replies = split.parts.iter().map(|part| self.run_one(part)).collect();
        split.gather.join(replies)
    }

    /// Takes it through its steps, each of them a command on one key.
    pub fn run_joint(&mut self, joint: &Joint) -> Reply {
        self.ids += 1;
        let id = |seq| JointId { node: 1, incarnation: 1, seq };
        let mut runner =
            Runner::new(joint.keys.clone(), joint.is_read(), joint.request.clone(), id(self.ids));
        let mut todos = VecDeque::from(runner.resume(id(self.ids)));
        let (mut answer, mut changed) = (None, false);
        while let Some(todo) = todos.pop_front() {
            match todo {
                Todo::Ask(place, step) => {
                    let key = joint.keys[place].clone();
                    let reply =
                        self.run_one(&Command::Key(KeyCommand { key, op: Op::Joint(Box::new(step)) }));
                    todos.extend(runner.on_reply(place, reply));
                }
                Todo::Run => {
                    let (now_wall_ms, limits) = (self.now_ms, &self.limits);
                    let mut context = Context {
                        now_wall_ms,
                        limits,
                        rng: &mut self.rng,
                        catalog: &Catalog::default(),
                        statements: &mut Statements::default(),
                    };
                    let ran = joint.run(runner.states(), &mut context);
                    changed = ran.writes.iter().any(Option::is_some);
                    todos.extend(runner.on_ran(ran));
                }
                Todo::Answer(reply) => answer = Some(reply),
                Todo::Pause => panic!("nobody else is there"),
                Todo::End => assert!(todos.is_empty(), "the end is the end"),
            }
        }
        let tied = self.states.values().filter(|state| state.ties.is_some()).count();
        assert_eq!(tied, 0, "nothing is left at any key");
        self.changed = changed;
        answer.expect("it was answered")
    }

    fn run_one(&mut self, command: &Command) -> Reply {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        assert_eq!(Command::decode(&wire).as_ref(), Ok(command), "a command is the same on the other host");
        let Some(key) = command.key() else {
            return Reply::Simple(format!("{command:?}").into());
        };
        let state = self.states.entry(key.to_vec()).or_default();
        state.changed = false;
        let mut context = Context {
            now_wall_ms: self.now_ms,
            limits: &self.limits,
            rng: &mut self.rng,
            catalog: &Catalog::default(),
            statements: &mut Statements::default(),
        };
        let reply = execute(command, state, &mut context);
        self.changed |= state.changed;
        reply
    }
}

/// Splits a line into arguments: blanks between them, "quotes" with \xHH, \r, \n, \t and \" inside.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut bytes) = (Vec::new(), line.bytes().peekable());
    while let Some(byte) = bytes.next() {
        let mut word = Vec::new();
        match byte {
            b' ' => continue,
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    word.push(if byte == b'\\' { escaped(&mut bytes) } else { byte });
                }
            }
            byte => {
                word.push(byte);
                while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
    words
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    match bytes.next() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'x') => {
            let digits: String = bytes.take(2).map(char::from).collect();
            u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
        }
        Some(other) => other,
        None => panic!("a backslash ends the line"),
    }
}
