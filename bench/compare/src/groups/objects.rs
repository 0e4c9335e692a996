//! Commands on hashes, lists, sets and sorted sets, beside Valkey WAITAOF: those that redis-benchmark measures, each on many objects
//! that grow from nothing, or on lists that were filled before.

use super::{in_turn, measured};
use crate::context::Context;
use crate::error::Result;
use crate::load::{preload_members, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Who};
use crate::systems::{redis, synod};

/// Its name.
pub const NAME: &str = "objects";

/// Clients and depth, those of the goal.
pub const POINT: Point = Point::new(50, 16);

/// What is measured, in this order: pushes fill what pops empty, a list of [`LIST_ITEMS`] is there before.
pub const OPERATIONS: [Operation; 6] =
    [Operation::Lpush, Operation::Rpop, Operation::Lrange, Operation::Sadd, Operation::Hset, Operation::Zadd];

/// Objects of each kind.
const KEYS: u64 = 1_000;

/// Members that are drawn from, of each object: so many that most are new.
const MEMBERS: u64 = 100_000;

/// Items of each list before: more than LRANGE_100 asks for.
const LIST_ITEMS: u64 = 150;

/// What stands before the keys of a run; each kind of object has its own.
fn prefix(operation: Operation, run: usize) -> String {
    match operation {
        Operation::Lpush | Operation::Rpop | Operation::Lrange => format!("list{run}:"),
        other => format!("{}{run}:", other.command()),
    }
}

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let valkey = redis::start(context, Who::ValkeyWaitaof)?;
    let targets = [ours.target(Who::Synod), valkey.target(Who::ValkeyWaitaof), ours.target(Who::SynodPlain)];
    for run in 1..=context.options.runs {
        for target in targets.into_iter().filter(|target| target.who != Who::SynodPlain) {
            let lists = prefix(Operation::Lpush, run);
            preload_members(context, target, Operation::Lpush, (KEYS, LIST_ITEMS), &lists)?;
        }
        for operation in OPERATIONS {
            let load = Load {
                keys: KEYS,
                members: MEMBERS,
                prefix: prefix(operation, run),
                ..Load::closed(context, operation, POINT)
            };
            for target in in_turn(&targets, run) {
                measured(context, record, NAME, run, target, &load)?;
            }
        }
    }
    Ok(())
}
