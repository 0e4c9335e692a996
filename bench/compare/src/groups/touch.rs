//! The first write of each key beside later writes of the same keys, by as many clients as deep.

use super::keep;
use crate::context::Context;
use crate::error::Result;
use crate::limits::PRELOAD;
use crate::load::{self, preload, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Outcome, Record, Sample, Who};
use crate::systems::synod;

/// Its name.
pub const NAME: &str = "load";

/// Clients and depth of both loads.
pub const POINT: Point = Point::new(PRELOAD.0, PRELOAD.1);

/// Measures it: keys of a prefix of its own in each run.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let target = ours.target(Who::Synod);
    for run in 1..=context.options.runs {
        let prefix = format!("touch{run}:");
        let ops_per_second = preload(context, target, context.options.keys, &prefix)?;
        let first = Outcome { ops_per_second, ..Outcome::default() };
        let again =
            load::run(context, target, &Load { prefix, ..Load::closed(context, Operation::Set, POINT) })?;
        for (operation, outcome) in [(Operation::FirstSet, first), (Operation::Set, again)] {
            let sample =
                Sample { group: NAME, run, who: target.who, operation, point: POINT, rate: None, outcome };
            keep(context, record, sample);
        }
    }
    Ok(())
}
