//! The groups of measurements. The systems of a group are started and preloaded together and stay up while each point goes from
//! one to the next, so that what is compared was measured within seconds; the order turns round from run to run.

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::load::{self, Load, Target};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Sample};

pub mod cores;
pub mod db_bench;
pub mod engine;
pub mod etcd;
pub mod hot;
pub mod idle;
pub mod large;
pub mod objects;
pub mod reads;
pub mod single;
pub mod sql;
pub mod tail;
pub mod touch;
pub mod tree;
pub mod writes;

/// A group: its name on the command line and in the results, what it measures, and how.
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    measure: fn(&Context, &Machine, &mut Record) -> Result<()>,
}

/// All groups, in the order in which they are measured.
pub const ALL: [Group; 14] = [
    Group {
        name: writes::NAME,
        about: "replicated writes beside Valkey WAITAOF and Redis WAIT",
        measure: writes::measure,
    },
    Group {
        name: reads::NAME,
        about: "linearizable reads beside one Redis process",
        measure: reads::measure,
    },
    Group {
        name: single::NAME,
        about: "one host, one core beside single processes and the null server",
        measure: single::measure,
    },
    Group { name: touch::NAME, about: "first touch of keys beside repeated writes", measure: touch::measure },
    Group { name: etcd::NAME, about: "puts and linearizable gets beside etcd", measure: etcd::measure },
    Group {
        name: idle::NAME,
        about: "one client beside the disk, loopback and PING; CPU at rest",
        measure: idle::measure,
    },
    Group {
        name: objects::NAME,
        about: "commands on hashes, lists, sets and sorted sets beside Valkey WAITAOF",
        measure: objects::measure,
    },
    Group {
        name: large::NAME,
        about: "objects of a megabyte and a tag of 100,000 keys beside SET",
        measure: large::measure,
    },
    Group { name: sql::NAME, about: "INSERT and SELECT of rows beside SET", measure: sql::measure },
    Group { name: hot::NAME, about: "INCR of one key through each host", measure: hot::measure },
    Group {
        name: tail::NAME,
        about: "open loop at half the peak rate with merge running",
        measure: tail::measure,
    },
    Group {
        name: cores::NAME,
        about: "three hosts of four cores beside three of one",
        measure: cores::measure,
    },
    Group {
        name: engine::NAME,
        about: "the engine of values alone beside RocksDB",
        measure: engine::measure,
    },
    Group {
        name: tree::NAME,
        about: "the engine of rows alone beside RocksDB and fjall",
        measure: tree::measure,
    },
];

/// Measures one group.
pub fn measure(group: &Group, context: &Context, machine: &Machine, record: &mut Record) -> Result<()> {
    context.say(&format!("{}: {}", group.name, group.about));
    (group.measure)(context, machine, record)
}

/// The group of this name.
pub fn named(name: &str) -> Result<&'static Group> {
    ALL.iter().find(|group| group.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|group| group.name).collect();
        CompareError::Usage(format!("there is no group {name}: {}", names.join(", ")))
    })
}

/// One thing to measure at a point.
type Pair<'a> = (&'a Target, Operation);

/// Measures every pair at every point, run after run: within a run, the systems of one point follow each other.
fn closed_loops(
    context: &Context,
    record: &mut Record,
    group: &'static str,
    points: &[Point],
    pairs: &[Pair<'_>],
) -> Result<()> {
    for run in 1..=context.options.runs {
        for &point in points {
            for &(target, operation) in in_turn(pairs, run) {
                let load = Load::closed(context, operation, point);
                measured(context, record, group, run, target, &load)?;
            }
        }
    }
    Ok(())
}

/// Measures one load and records it, or why it could not be.
fn measured(
    context: &Context,
    record: &mut Record,
    group: &'static str,
    run: usize,
    target: &Target,
    load: &Load,
) -> Result<()> {
    let (who, operation, point) = (target.who, load.operation, load.point);
    match load::run(context, target, load) {
        Ok(outcome) => {
            keep(context, record, Sample { group, run, who, operation, point, rate: load.rate, outcome });
        }
        // A system that gave no answer to one load may well give some to the next.
        Err(error @ CompareError::Tool { .. }) => {
            fail(context, record, format!("{group} run {run}, {} {point}: {error}", operation.name()));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The last line of a program's output that is JSON.
fn told<T: DeserializeOwned>(text: &str) -> Option<T> {
    let line = text.lines().rfind(|line| line.starts_with('{'))?;
    serde_json::from_str(line).ok()
}

/// A B C in odd runs, C B A in even ones: what drifts over time favours nobody.
fn in_turn<T>(items: &[T], run: usize) -> impl Iterator<Item = &T> {
    let forward = run % 2 == 1;
    (0..items.len()).filter_map(move |index| items.get(if forward { index } else { items.len() - 1 - index }))
}

/// Records what could not be measured and says it.
pub fn fail(context: &Context, record: &mut Record, text: String) {
    context.say(&text);
    record.failed.push(text);
}

/// Records a sample and says it.
fn keep(context: &Context, record: &mut Record, sample: Sample) {
    let outcome = &sample.outcome;
    context.say(&format!(
        "{} run {}: {:<16} {:<8} {:<48} {:>9.0} ops/s, p50 {:>8.0} us, {} errors",
        sample.group,
        sample.run,
        sample.operation.name(),
        sample.point,
        sample.who.name(),
        outcome.ops_per_second,
        outcome.p50_us,
        outcome.errors,
    ));
    record.samples.push(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns_round() {
        let names = |run| in_turn(&["a", "b", "c"], run).copied().collect::<String>();
        assert_eq!((names(1), names(2), names(3)), ("abc".to_owned(), "cba".to_owned(), "abc".to_owned()));
    }

    #[test]
    fn groups_are_found_by_their_names() {
        for group in &ALL {
            assert_eq!(named(group.name).unwrap().about, group.about);
        }
        assert!(named("speed").is_err());
    }
}
