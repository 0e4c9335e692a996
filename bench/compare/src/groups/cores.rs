//! Cores: three hosts of four cores each beside three hosts of one, on a machine that has the CPUs for both and for the load.

use super::keep;
use crate::context::Context;
use crate::error::Result;
use crate::limits::CORES_CPUS_MIN;
use crate::load::{self, preload, Load, Target};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Sample, Who};
use crate::systems::synod;

/// Its name.
pub const NAME: &str = "cores";

/// Clients and depth: enough for the load to keep four times the cores busy.
pub const POINT: Point = Point::new(200, 16);

/// Threads of the harness, the same for both.
const THREADS: usize = 4;

/// Measures it.
pub fn measure(context: &Context, machine: &Machine, record: &mut Record) -> Result<()> {
    if machine.cpus < CORES_CPUS_MIN {
        let text = format!("{NAME}: needs {CORES_CPUS_MIN} CPUs, this machine has {}", machine.cpus);
        context.say(&text);
        record.left_out.push(text);
        return Ok(());
    }
    for run in 1..=context.options.runs {
        for (who, cores) in [(Who::Synod, 1), (Who::SynodFour, 4)] {
            let system = synod::three(context, cores, synod::SEGMENT)?;
            let target = Target { threads: THREADS, ..system.target(who).clone() };
            preload(context, &target, context.options.keys, "key:")?;
            for operation in [Operation::Set, Operation::Get] {
                let outcome = load::run(context, &target, &Load::closed(context, operation, POINT))?;
                keep(
                    context,
                    record,
                    Sample { group: NAME, run, who, operation, point: POINT, rate: None, outcome },
                );
            }
        }
    }
    Ok(())
}
