//! One Synod host of one core, one replica, beside single processes of Redis and Valkey and the null server.

use super::{closed_loops, Pair};
use crate::context::Context;
use crate::error::Result;
use crate::load::preload;
use crate::machine::Machine;
use crate::record::{Operation, Record, Who};
use crate::systems::{null, redis, synod};

/// Its name.
pub const NAME: &str = "one";

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::one(context)?;
    let always = redis::start(context, Who::RedisAlways)?;
    let memory = redis::start(context, Who::RedisMemory)?;
    let valkey = redis::start(context, Who::ValkeyMemory)?;
    let null = null::start(context)?;
    let (core, plain) = (ours.target(Who::One), ours.target(Who::OnePlain));
    let (always, memory) = (always.target(Who::RedisAlways), memory.target(Who::RedisMemory));
    let (valkey, null) = (valkey.target(Who::ValkeyMemory), null.target(Who::Null));
    for target in [core, always, memory, valkey] {
        preload(context, target, context.options.keys, "key:")?;
    }
    let sets: [Pair<'_>; 5] = [core, always, memory, plain, null].map(|target| (target, Operation::Set));
    let gets: [Pair<'_>; 4] = [core, valkey, plain, null].map(|target| (target, Operation::Get));
    closed_loops(context, record, NAME, &context.options.points, &[&sets[..], &gets[..]].concat())
}
