//! One hot key: INCR through the plain port of each host in turn, by `redis-benchmark`, which has done so for years.

use std::net::SocketAddr;
use std::process::Command;

use super::{fail, in_turn, keep};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{HOT_TRIAL_REQUESTS, LOAD_PATIENCE};
use crate::load::Target;
use crate::machine::Machine;
use crate::point::Point;
use crate::process;
use crate::record::{Operation, Outcome, Record, Sample, Who};
use crate::systems::synod;

/// Its name.
pub const NAME: &str = "hot";

/// The points that are measured.
pub const POINTS: [Point; 3] = [Point::new(50, 1), Point::new(50, 16), Point::new(50, 64)];

/// The rate through the slowest of the hosts.
pub const SLOWEST: &str = "INCR through the slowest host, best of the points";

/// Measures it. The sample of a point is the slowest host's.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let target = ours.target(Who::SynodPlain);
    for run in 1..=context.options.runs {
        let mut best = 0.0_f64;
        for point in POINTS {
            let outcome = match slowest(context, target, point, run) {
                // redis-benchmark gives up at the first error reply; the other points may be without.
                Err(error @ CompareError::Tool { .. }) => {
                    fail(context, record, format!("{NAME} run {run}, {point}: {error}"));
                    continue;
                }
                outcome => outcome?,
            };
            best = best.max(outcome.ops_per_second);
            keep(
                context,
                record,
                Sample {
                    group: NAME,
                    run,
                    who: target.who,
                    operation: Operation::Incr,
                    point,
                    rate: None,
                    outcome,
                },
            );
        }
        record.figure(NAME, run, SLOWEST, best, "ops/s");
    }
    Ok(())
}

/// The outcome through the host that was slowest.
fn slowest(context: &Context, target: &Target, point: Point, run: usize) -> Result<Outcome> {
    let mut slowest: Option<Outcome> = None;
    for addr in in_turn(&target.hosts, run) {
        let outcome = increments(context, *addr, point)?;
        if slowest.as_ref().is_none_or(|slowest| outcome.ops_per_second < slowest.ops_per_second) {
            slowest = Some(outcome);
        }
    }
    slowest.ok_or_else(|| CompareError::tool(NAME, "a cluster without hosts"))
}

/// A short trial says how many requests fill the time.
fn increments(context: &Context, addr: SocketAddr, point: Point) -> Result<Outcome> {
    let trial = benchmark(context, addr, point, HOT_TRIAL_REQUESTS)?;
    let count = trial.ops_per_second * context.options.seconds.as_secs_f64();
    benchmark(context, addr, point, (count as u64).max(HOT_TRIAL_REQUESTS))
}

fn benchmark(context: &Context, addr: SocketAddr, point: Point, count: u64) -> Result<Outcome> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string(), "--csv"]);
    command.args([
        "-c",
        &point.connections.to_string(),
        "-P",
        &point.pipeline.to_string(),
        "-n",
        &count.to_string(),
    ]);
    command.args(["INCR", "hot"]);
    let log = context.dir.join("redis-benchmark.log");
    let text = process::run_well("redis-benchmark", &mut command, &log, LOAD_PATIENCE, &context.stop)?;
    read(&text)
        .ok_or_else(|| CompareError::tool("redis-benchmark", format!("said what is not understood: {text}")))
}

/// Reads the last line of its CSV: name, requests per second, then mean, least, p50, p95, p99 and greatest latency in ms.
fn read(text: &str) -> Option<Outcome> {
    let line = text.lines().rfind(|line| line.starts_with('"'))?;
    let fields: Vec<f64> =
        line.split(',').skip(1).filter_map(|field| field.trim_matches('"').parse().ok()).collect();
    let &[ops_per_second, _mean, _least, p50, _p95, p99, max] = fields.as_slice() else { return None };
    Some(Outcome {
        ops_per_second,
        p50_us: p50 * 1e3,
        p99_us: p99 * 1e3,
        max_us: max * 1e3,
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_csv_of_redis_benchmark_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"INCR hot\",\"71942.45\",\"0.369\",\"0.136\",\"0.343\",\"0.559\",\"0.703\",\"1.343\"\n";
        let outcome = super::read(text).unwrap();
        assert_eq!((outcome.ops_per_second, outcome.p50_us, outcome.max_us), (71942.45, 343.0, 1343.0));
        assert!(super::read("Could not connect").is_none() && super::read("\"test\",\"rps\"").is_none());
    }
}
