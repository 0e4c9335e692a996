//! One load by `synod-bench`, as a process of its own, with what the machine did meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{CURVE, LOAD_PATIENCE, PRELOAD, PRELOAD_TAIL, VALUE_BYTES};
use crate::machine::Watch;
use crate::point::Point;
use crate::process;
use crate::record::{Operation, Outcome, Who};

/// A system as a load reaches it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The system.
    pub who: Who,
    /// Addresses.
    pub hosts: Vec<SocketAddr>,
    /// Route by slot, as cluster clients do.
    pub cluster: bool,
    /// What is asked after each batch of writes.
    pub confirm: Option<&'static str>,
    /// All processes of the system.
    pub pids: Vec<u32>,
    /// Threads of the harness.
    pub threads: usize,
}

/// What to do to it.
#[derive(Debug, Clone)]
pub struct Load {
    /// What is done.
    pub operation: Operation,
    /// The command of the harness that does it.
    pub command: String,
    /// How many at once.
    pub point: Point,
    /// Keys.
    pub keys: u64,
    /// Members of each of them.
    pub members: u64,
    /// What stands before their digits.
    pub prefix: String,
    /// Operations per second of an open loop.
    pub rate: Option<f64>,
    /// Measured time.
    pub seconds: Duration,
    /// Time of the same before.
    pub warmup: Duration,
}

impl Load {
    /// A closed loop over the preloaded keys, as long as the options say.
    pub fn closed(context: &Context, operation: Operation, point: Point) -> Load {
        Load {
            operation,
            command: operation.command().to_owned(),
            point,
            keys: context.options.keys,
            members: 1,
            prefix: "key:".to_owned(),
            rate: None,
            seconds: context.options.seconds,
            warmup: context.options.warmup,
        }
    }

    /// Each member of each key once, deep.
    pub fn filling(operation: Operation, command: String, (keys, members): (u64, u64), prefix: &str) -> Load {
        Load {
            operation,
            command,
            point: Point::new(PRELOAD.0, PRELOAD.1),
            keys,
            members,
            prefix: prefix.to_owned(),
            rate: None,
            seconds: PRELOAD_TAIL,
            warmup: Duration::ZERO,
        }
    }
}

/// The part of the harness' report that is needed.
#[derive(Debug, Deserialize)]
struct Report {
    seconds: f64,
    all: Line,
    errors: u64,
    servers: Option<Cpu>,
    own_cores: Option<f64>,
    preload: Option<Preloaded>,
}

#[derive(Debug, Deserialize)]
struct Line {
    ops_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

#[derive(Debug, Deserialize)]
struct Cpu {
    cores: f64,
    us_per_operation: f64,
}

#[derive(Debug, Deserialize)]
struct Preloaded {
    keys: u64,
    seconds: f64,
}

fn command(context: &Context, target: &Target, load: &Load) -> Command {
    let mut command = Command::new(&context.programs.bench);
    let hosts: Vec<String> = target.hosts.iter().map(SocketAddr::to_string).collect();
    let pids: Vec<String> = target.pids.iter().map(u32::to_string).collect();
    let (kind, mix) = if load.operation.reads() { ("--read", "1:0") } else { ("--write", "0:1") };
    command.args(["load", "--quiet", kind, &load.command, "--mix", mix, "--hosts", &hosts.join(",")]);
    command.args(["--pids", &pids.join(","), "--threads", &target.threads.to_string()]);
    command.args(["-c", &load.point.connections.to_string(), "-P", &load.point.pipeline.to_string()]);
    command.args(["--keys", &load.keys.to_string(), "--members", &load.members.to_string()]);
    command.args(["--key-prefix", &load.prefix]);
    command.args(["--value-bytes", &VALUE_BYTES.to_string()]);
    command.args(["--seconds", &load.seconds.as_secs_f64().to_string()]);
    command.args(["--warmup", &load.warmup.as_secs_f64().to_string()]);
    if target.cluster {
        command.arg("--cluster");
    }
    if let Some(confirm) = target.confirm.filter(|_| !load.operation.reads()) {
        command.args(["--confirm", confirm]);
    }
    if let Some(rate) = load.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    command
}

fn harness(
    context: &Context,
    target: &Target,
    command: &mut Command,
    patience: Duration,
) -> Result<(Report, Vec<(f64, f64)>)> {
    let file = |name: &str| context.dir.join(name);
    let (json, hdr, log) = (file("load.json"), file("load.hdr"), file("load.log"));
    command.arg("--json").arg(&json).arg("--hdr").arg(&hdr);
    let name = format!("synod-bench on {}", target.who.name());
    process::run_well(&name, command, &log, patience, &context.stop)?;
    let text =
        std::fs::read(&json).map_err(|error| CompareError::io("reading a report of the harness", error))?;
    let report =
        serde_json::from_slice(&text).map_err(|error| CompareError::tool(name, error.to_string()))?;
    Ok((report, curve(&hdr)?))
}

/// Runs a load.
pub fn run(context: &Context, target: &Target, load: &Load) -> Result<Outcome> {
    let patience = load.seconds + load.warmup + LOAD_PATIENCE;
    let watch = Watch::start(&target.pids);
    let (report, curve) = harness(context, target, &mut command(context, target, load), patience)?;
    let (busy, written) = (watch.busy_cores(), watch.written_per_second());
    assert!(report.seconds > 0.0, "the harness refuses an empty measured time");
    let all = report.all;
    let servers = report.servers.as_ref().map(|cpu| cpu.cores);
    let known = servers.zip(report.own_cores).map(|(servers, own)| servers + own);
    Ok(Outcome {
        ops_per_second: all.ops_per_second,
        p50_us: all.p50_us,
        p99_us: all.p99_us,
        p999_us: all.p999_us,
        max_us: all.max_us,
        errors: report.errors,
        servers_us_per_operation: report.servers.map(|cpu| cpu.us_per_operation),
        harness_cores: report.own_cores,
        other_cores: busy.zip(known).map(|(busy, known)| (busy - known).max(0.0)),
        disk_bytes_per_operation: written.map(|bytes| bytes / all.ops_per_second),
        curve,
    })
}

/// Sets every key once, unconfirmed and deep, and gives how many of them per second.
///
/// # Errors
/// Also if a key could not be set: what follows would measure misses.
pub fn preload(context: &Context, target: &Target, keys: u64, prefix: &str) -> Result<f64> {
    preload_members(context, target, Operation::Set, (keys, 1), prefix)
}

/// The same with another operation, once for each member of each key.
///
/// # Errors
/// Also if a member could not be written.
pub fn preload_members(
    context: &Context,
    target: &Target,
    operation: Operation,
    counts: (u64, u64),
    prefix: &str,
) -> Result<f64> {
    fill(context, target, Load::filling(operation, operation.command().to_owned(), counts, prefix))
}

/// The same with any command ([`Load::filling`]).
///
/// # Errors
/// Also if one of them failed.
pub fn fill(context: &Context, target: &Target, load: Load) -> Result<f64> {
    let quiet = Target { confirm: None, ..target.clone() };
    let mut command = command(context, &quiet, &load);
    let (report, _) = harness(context, target, command.arg("--preload"), LOAD_PATIENCE)?;
    let wanted = load.keys * load.members;
    let done = report.preload.filter(|done| done.keys == wanted && done.seconds > 0.0);
    let done = done.ok_or_else(|| CompareError::tool(target.who.name(), "not every key could be set"))?;
    Ok(done.keys as f64 / done.seconds)
}

/// The percentiles of an interval log, all its seconds together.
fn curve(path: &Path) -> Result<Vec<(f64, f64)>> {
    let log = std::fs::read(path).map_err(|error| CompareError::io("reading an interval log", error))?;
    let broken = |text: String| CompareError::tool("interval log of the harness", text);
    let mut deserializer = Deserializer::new();
    let mut total = Histogram::<u64>::new(3).expect("three digits are within the bounds of the crate");
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.map_err(|error| broken(format!("{error:?}")))? else {
            continue;
        };
        let bytes = base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram());
        let bytes = bytes.map_err(|error| broken(error.to_string()))?;
        let histogram: Histogram<u64> =
            deserializer.deserialize(&mut bytes.as_slice()).map_err(|error| broken(error.to_string()))?;
        total.add(histogram).map_err(|error| broken(error.to_string()))?;
    }
    Ok(percentiles(&total))
}

/// The points of a percentile curve, in microseconds, of latencies in nanoseconds.
pub fn percentiles(latencies: &Histogram<u64>) -> Vec<(f64, f64)> {
    CURVE.into_iter().map(|share| (share, latencies.value_at_quantile(share) as f64 / 1e3)).collect()
}
