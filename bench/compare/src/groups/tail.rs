//! Tails: SET in an open loop at half the peak rate, while overwritten segments are merged away, beside Valkey at the same rate.
//!
//! The peak is the lower one of the two systems' closed loops in the same run: above what a system can do at all its tail is only
//! the length of the measurement. Segments are small and keys few, so that the closed loop before has left enough dead
//! records to merge; how many segments were merged during the open loop is counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{in_turn, keep};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::READY_PATIENCE;
use crate::load::{self, preload, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Sample, Who};
use crate::systems::{redis, synod};

/// Its name.
pub const NAME: &str = "tail";

/// Clients and depth of both loops.
pub const POINT: Point = Point::new(50, 16);

/// Segments that were merged away on all hosts during the open loop.
pub const MERGED: &str = "segments merged during the open loop, all hosts";

/// Keys are this part of the others' number, so that most of what is written replaces something.
const KEYS_DIVISOR: u64 = 10;

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let keys = (context.options.keys / KEYS_DIVISOR).max(1);
    let ours = synod::three(context, 1, synod::SEGMENT_SMALL)?;
    let theirs = redis::start(context, Who::ValkeyWaitaof)?;
    let targets = [ours.target(Who::Synod), theirs.target(Who::ValkeyWaitaof)];
    for target in targets {
        preload(context, target, keys, "key:")?;
    }
    for run in 1..=context.options.runs {
        let mut peak = f64::INFINITY;
        for target in in_turn(&targets, run) {
            let outcome =
                load::run(context, target, &Load { keys, ..Load::closed(context, Operation::Set, POINT) })?;
            peak = peak.min(outcome.ops_per_second);
            let sample = Sample {
                group: NAME,
                run,
                who: target.who,
                operation: Operation::Set,
                point: POINT,
                rate: None,
                outcome,
            };
            keep(context, record, sample);
        }
        let rate = Some((peak / 2.0).max(1.0));
        for target in in_turn(&targets, run) {
            let before = merged(context)?;
            let load = Load {
                keys,
                rate,
                seconds: context.options.seconds * 2,
                ..Load::closed(context, Operation::PacedSet, POINT)
            };
            let outcome = load::run(context, target, &load)?;
            if target.who == Who::Synod {
                note_merges(record, run, merged(context)? - before);
            }
            keep(
                context,
                record,
                Sample {
                    group: NAME,
                    run,
                    who: target.who,
                    operation: Operation::PacedSet,
                    point: POINT,
                    rate,
                    outcome,
                },
            );
        }
    }
    Ok(())
}

/// Without merging the comparison is easier than the goal asks; then that is said beside the results.
fn note_merges(record: &mut Record, run: usize, count: f64) {
    record.figure(NAME, run, MERGED, count, "");
    if count < 1.0 {
        record
            .left_out
            .push(format!("{NAME} run {run}: the open loop was run, but no segment was merged meanwhile"));
    }
}

/// Segments merged away so far, all hosts together.
fn merged(context: &Context) -> Result<f64> {
    let mut sum = 0.0;
    for addr in synod::admin(context) {
        let text = metrics(addr)
            .map_err(|error| CompareError::io(format!("reading the metrics of {addr}"), error))?;
        sum += counter(&text, "synod_merge_segments_total");
    }
    Ok(sum)
}

fn metrics(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, READY_PATIENCE)?;
    stream.set_read_timeout(Some(READY_PATIENCE))?;
    stream.write_all(
        format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The sum over all cores of a counter in Prometheus' text format.
fn counter(text: &str, name: &str) -> f64 {
    let value = |line: &str| {
        line.strip_prefix(name)?.starts_with('{').then(|| line.rsplit(' ').next()?.parse::<f64>().ok())?
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_are_summed_over_cores() {
        let text = "# TYPE a_total counter\na_total{core=\"0\"} 3\na_total{core=\"1\"} 4\na_total_more{core=\"0\"} 9\n";
        assert_eq!(super::counter(text, "a_total"), 7.0);
        assert_eq!(super::counter(text, "b_total"), 0.0);
    }
}
