//! What large things cost: commands on objects of a megabyte, and SET of a key among a hundred thousand of one tag, beside SET of keys that
//! have nothing to do with each other. Synod alone: no other system is compared with itself here.

use super::{in_turn, measured};
use crate::context::Context;
use crate::error::Result;
use crate::load::{preload, preload_members, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Who};
use crate::systems::synod;

/// Its name.
pub const NAME: &str = "large";

/// Clients and depth.
pub const POINT: Point = Point::new(50, 16);

/// What changes an object.
pub const OPERATIONS: [Operation; 4] = [Operation::Lpush, Operation::Sadd, Operation::Hset, Operation::Zadd];

/// Objects of each kind.
const OBJECTS: u64 = 20;

/// Keys that are set, with a tag and without.
const KEYS: u64 = 100_000;

/// What stands before the keys of the same tag.
const TAGGED: &str = "{tag}:";

/// Entries that make about a megabyte: elements and values of a hundred bytes, members of thirteen, scores of eight.
fn entries(operation: Operation) -> u64 {
    match operation {
        Operation::Sadd => 75_000,
        Operation::Zadd => 47_000,
        Operation::Hset => 9_000,
        _ => 10_000,
    }
}

/// Entries that a load draws from: so many that most are new, where one that is there already would change nothing.
fn drawn(operation: Operation) -> u64 {
    match operation {
        Operation::Sadd | Operation::Zadd => 100 * entries(operation),
        _ => entries(operation),
    }
}

fn prefix(operation: Operation) -> String {
    format!("large-{}:", operation.command())
}

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let target = ours.target(Who::Synod);
    for operation in OPERATIONS {
        preload_members(context, target, operation, (OBJECTS, entries(operation)), &prefix(operation))?;
    }
    for prefix in ["key:", TAGGED] {
        preload(context, target, KEYS, prefix)?;
    }
    let on_objects = OPERATIONS.map(|operation| (operation, OBJECTS, drawn(operation), prefix(operation)));
    let sets = [(Operation::Set, "key:"), (Operation::TaggedSet, TAGGED)];
    let sets = sets.map(|(operation, prefix)| (operation, KEYS, 1, prefix.to_owned()));
    let loads: Vec<_> = sets.into_iter().chain(on_objects).collect();
    for run in 1..=context.options.runs {
        for (operation, keys, members, prefix) in in_turn(&loads, run) {
            let load = Load {
                keys: *keys,
                members: *members,
                prefix: prefix.clone(),
                ..Load::closed(context, *operation, POINT)
            };
            measured(context, record, NAME, run, target, &load)?;
        }
    }
    Ok(())
}
