//! The command layer by itself, over a map of states.

use std::collections::BTreeMap;

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Command, Context, Joint, Limits, Statements};
use shard::joint::{Snapshot, Write};
use shard::reply::{format_double, Reply};
use shard::state::State;

use super::connection::Told;
use super::maker::{Words, FAR};

/// See the module's head.
pub struct Store {
    states: BTreeMap<Vec<u8>, State>,
    rng: Rng,
}

impl Store {
    /// With nothing in it.
    pub fn new(rng: Rng) -> Store {
        Store { states: BTreeMap::new(), rng }
    }

    /// Runs a command.
    pub fn run(&mut self, words: &Words) -> Told {
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let command = match Command::parse(&args, &Limits::default()) {
            Ok(command) => command,
            Err(error) => return told(&error),
        };
        if let Command::Joint(joint) = &command {
            return told(&self.run_joint(joint));
        }
        let split = command.split();
        let replies = split.parts.iter().map(|part| self.run_one(part)).collect();
        told(&split.gather.join(replies))
    }

    fn run_joint(&mut self, joint: &Joint) -> Reply {
        let mut found = |key: &[u8]| {
            let state = self.states.entry(key.to_vec()).or_default();
            Snapshot { version: state.version, is: Write::of(state) }
        };
        let found: Vec<Snapshot> = joint.keys.iter().map(|key| found(key)).collect();
        let limits = Limits::default();
        let now_wall_ms = 1_000 * (FAR / 2);
        let ran = joint.run(
            &found,
            &mut Context {
                now_wall_ms,
                limits: &limits,
                rng: &mut self.rng,
                catalog: &Catalog::default(),
                statements: &mut Statements::default(),
            },
        );
        for ((key, found), write) in joint.keys.iter().zip(found).zip(ran.writes) {
            if let Some(write) = write {
                self.states.insert(key.to_vec(), write.state(found.version + 1));
            }
        }
        ran.reply
    }

    fn run_one(&mut self, command: &Command) -> Reply {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        assert_eq!(Command::decode(&wire).as_ref(), Ok(command), "a command is the same on the other host");
        let key = command.key().expect("all are about keys").to_vec();
        let state = self.states.entry(key).or_default();
        let limits = Limits::default();
        execute(
            command,
            state,
            &mut Context {
                now_wall_ms: 1_000 * (FAR / 2),
                limits: &limits,
                rng: &mut self.rng,
                catalog: &Catalog::default(),
                statements: &mut Statements::default(),
            },
        )
    }
}

/// A reply in RESP2.
fn told(reply: &Reply) -> Told {
    let list = |items: &[Reply]| Told::List(items.iter().map(told).collect());
    match reply {
        Reply::Simple(text) => Told::Line(text.to_string()),
        Reply::Error(text) => Told::Error(text.to_string()),
        Reply::Int(number) => Told::Int(*number),
        Reply::Nil => Told::Nil,
        Reply::NilArray => Told::NilList,
        Reply::Bulk(bytes) => Told::Bulk(bytes.clone()),
        Reply::Verbatim(text) => Told::Bulk(text.clone().into_bytes()),
        Reply::Double(number) => Told::Bulk(format_double(*number).into_bytes()),
        Reply::Bool(truth) => Told::Int((*truth).into()),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(items),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            Told::List(pairs.iter().flat_map(|(one, other)| [told(one), told(other)]).collect())
        }
    }
}
