//! Puts and linearizable gets of three hosts, Synod's and etcd's.

use super::{in_turn, keep};
use crate::context::Context;
use crate::error::Result;
use crate::limits::{ETCD_CLIENTS, ETCD_KEYS_MAX};
use crate::load::{self, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Sample, Who};
use crate::systems::{etcd, synod};

/// Its name.
pub const NAME: &str = "etcd";

/// The point that is measured.
pub const POINT: Point = Point::new(ETCD_CLIENTS, 1);

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let keys = context.options.keys.min(ETCD_KEYS_MAX);
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let theirs = etcd::start(context)?;
    let (ours, theirs) = (ours.target(Who::Synod), theirs.target(Who::Etcd));
    load::preload(context, ours, keys, "key:")?;
    crate::etcd::preload(context, theirs, keys, "key:", ETCD_CLIENTS)?;
    for run in 1..=context.options.runs {
        for operation in [Operation::Set, Operation::Get] {
            for target in in_turn(&[ours, theirs], run) {
                let load = Load { keys, ..Load::closed(context, operation, POINT) };
                let measure = if target.who == Who::Etcd { crate::etcd::run } else { load::run };
                let outcome = measure(context, target, &load)?;
                keep(
                    context,
                    record,
                    Sample {
                        group: NAME,
                        run,
                        who: target.who,
                        operation,
                        point: POINT,
                        rate: None,
                        outcome,
                    },
                );
            }
        }
    }
    Ok(())
}
