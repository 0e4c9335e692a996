//! Replicated writes: Synod by both kinds of ports, Valkey with WAITAOF, Redis with WAIT.

use super::closed_loops;
use crate::context::Context;
use crate::error::Result;
use crate::load::preload;
use crate::machine::Machine;
use crate::probe;
use crate::record::{Operation, Record, Who};
use crate::systems::{redis, synod};

/// Its name.
pub const NAME: &str = "set";

/// What the disk takes, bytes per second synced.
pub const BANDWIDTH: &str = "synced bandwidth, three writers of 128 KiB";

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    for run in 1..=context.options.runs {
        record.figure(NAME, run, BANDWIDTH, probe::disk(&context.dir)?.bytes_per_second, "bytes/s");
    }
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let valkey = redis::start(context, Who::ValkeyWaitaof)?;
    let redis = redis::start(context, Who::RedisWait)?;
    let targets = [
        ours.target(Who::Synod),
        valkey.target(Who::ValkeyWaitaof),
        ours.target(Who::SynodPlain),
        redis.target(Who::RedisWait),
    ];
    for target in targets.into_iter().filter(|target| target.who != Who::SynodPlain) {
        preload(context, target, context.options.keys, "key:")?;
    }
    let pairs = targets.map(|target| (target, Operation::Set));
    closed_loops(context, record, NAME, &context.options.points, &pairs)
}
