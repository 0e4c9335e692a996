//! Linearizable reads of three hosts, beside one Redis process that replicates nothing.

use super::closed_loops;
use crate::context::Context;
use crate::error::Result;
use crate::load::preload;
use crate::machine::Machine;
use crate::record::{Operation, Record, Who};
use crate::systems::{redis, synod};

/// Its name.
pub const NAME: &str = "get";

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let redis = redis::start(context, Who::RedisMemory)?;
    let targets = [ours.target(Who::Synod), redis.target(Who::RedisMemory), ours.target(Who::SynodPlain)];
    for target in targets.into_iter().filter(|target| target.who != Who::SynodPlain) {
        preload(context, target, context.options.keys, "key:")?;
    }
    let pairs = targets.map(|target| (target, Operation::Get));
    closed_loops(context, record, NAME, &context.options.points, &pairs)
}
