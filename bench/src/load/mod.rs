//! `synod-bench load`: a load at full speed (closed loop) or at a fixed rate (open loop), measured.
//!
//! * **Closed loop**: each client sends `pipeline` operations at once and the next ones when all are
//!   answered, as redis-benchmark and the pipelines of client libraries do. Says how much a server can do.
//!   Its latencies say little about a server that stalls: while it stalls, nothing is asked.
//! * **Open loop** (`rate`): operation *i* of a thread is due at `i / rate`, whatever the server does, and
//!   its latency counts from that time, not from when a connection had room to send it. So a stall of 100 ms
//!   at 10,000 ops/s costs 1,000 operations up to 100 ms each, as it would cost users (no coordinated
//!   omission). What was due and not answered when the time was over counts with the time that had gone by.
//!
//! One thread drives many connections with epoll ([`worker`]); a connection belongs to a *client*, which has
//! one per node in cluster mode and moves on to the next host when its own is gone in plain mode. Operations
//! are chosen by [`keys`] among two [`commands`], encoded by [`requests`], routed by [`topology`], counted by [`tally`], and told by
//! [`report`].

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::limits::{CONNECTIONS_MAX, KEYS_MAX, PIPELINE_MAX, PRELOAD_PIPELINE_MIN, VALUE_BYTES_MAX};
use crate::procs::{self, CpuMeter, Process};
use commands::Command;
use confirm::Confirm;
use keys::{Chooser, Distribution, Source};
use pace::Phase;
use report::{Progress, Report};
use tally::Tally;
use topology::Topology;
use worker::Worker;

pub mod commands;
pub mod confirm;
pub mod keys;
pub mod pace;
pub mod report;
pub mod requests;
pub mod tally;
pub mod topology;
pub mod worker;

mod link;

/// What to load, with what, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Servers. In cluster mode, where the slot map is read first.
    pub hosts: Vec<SocketAddr>,
    /// Route by slot and follow MOVED, as a cluster client does.
    pub cluster: bool,
    /// Clients over all threads; each has one connection, in cluster mode one per node.
    pub connections: usize,
    /// Operations in flight per client; in a closed loop sent as one batch.
    pub pipeline: usize,
    /// The command that reads.
    pub read: Command,
    /// The command that writes.
    pub write: Command,
    /// Parts of reads and of writes in the mix, such as (9, 1).
    pub mix: (u32, u32),
    /// Number of keys.
    pub keys: u64,
    /// Number of members of each key: 1 for whole values.
    pub members: u64,
    /// How keys are drawn.
    pub distribution: Distribution,
    /// What stands before the twelve digits of a key. May hold a `{tag}`.
    pub key_prefix: String,
    /// Bytes per value.
    pub value_bytes: usize,
    /// Write every member of every key once before measuring.
    pub preload: bool,
    /// Measured time.
    pub seconds: Duration,
    /// Time before it under the same load, not measured.
    pub warmup: Duration,
    /// Threads of the harness.
    pub threads: usize,
    /// Asked after each batch of writes on a connection; they count as answered when it is.
    pub confirm: Option<Confirm>,
    /// Operations per second of an open loop; `None` for a closed loop.
    pub rate: Option<f64>,
    /// Sent with AUTH on each connection.
    pub password: Option<String>,
    /// Seed of keys, mix and values.
    pub seed: u64,
    /// A connection that owes a reply for so long without giving any is dropped.
    pub timeout: Duration,
    /// Server processes whose CPU is measured; found by their listening ports if empty.
    pub pids: Vec<u32>,
    /// Show a progress bar on standard error.
    pub progress: bool,
}

impl Plan {
    /// Checks that the numbers fit together and into [`crate::limits`].
    ///
    /// # Errors
    /// [`BenchError::Usage`] that names the option.
    pub fn check(&self) -> Result<(), BenchError> {
        let rules = [
            (!self.hosts.is_empty(), "--hosts: name at least one ip:port".to_owned()),
            (self.threads >= 1, "--threads: at least 1".to_owned()),
            (
                (self.threads..=CONNECTIONS_MAX).contains(&self.connections),
                format!("--connections: from --threads up to {CONNECTIONS_MAX}"),
            ),
            ((1..=PIPELINE_MAX).contains(&self.pipeline), format!("--pipeline: 1 to {PIPELINE_MAX}")),
            (
                self.mix.0.checked_add(self.mix.1).is_some_and(|sum| sum > 0),
                "--mix: as in 9:1, not both 0".to_owned(),
            ),
            ((1..=KEYS_MAX).contains(&self.keys), format!("--keys: 1 to {KEYS_MAX}")),
            (
                self.members >= 1 && self.operations_named().is_some_and(|count| count <= KEYS_MAX),
                format!("--members: at least 1, and --keys times --members at most {KEYS_MAX}"),
            ),
            (
                self.mix.0 == 0 || self.mix.1 == 0 || self.read.goes_with(&self.write),
                format!(
                    "--read {} reads {}, and --write {} writes {}",
                    self.read,
                    self.read.on(),
                    self.write,
                    self.write.on()
                ),
            ),
            (self.value_bytes <= VALUE_BYTES_MAX, format!("--value-bytes: up to {VALUE_BYTES_MAX}")),
            (self.seconds >= Duration::from_millis(100), "--seconds: at least 0.1".to_owned()),
            (self.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "--rate: above 0".to_owned()),
            (self.timeout >= Duration::from_millis(1), "--timeout-ms: at least 1".to_owned()),
            (self.distribution.is_valid(), "--zipf: the exponent must be above 0 and finite".to_owned()),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(BenchError::Usage(text)),
            None => Ok(()),
        }
    }

    /// How many numbers operations are drawn from.
    fn operations_named(&self) -> Option<u64> {
        self.keys.checked_mul(self.members)
    }

    fn processes(&self, topology: &Topology) -> Vec<Process> {
        if self.pids.is_empty() {
            let mut addrs = self.hosts.clone();
            addrs.extend(topology.nodes());
            procs::listening(&addrs)
        } else {
            self.pids.iter().filter_map(|&pid| Process::running(pid)).collect()
        }
    }
}

/// Runs the plan: slot map, preload, warm-up, measured time.
///
/// # Errors
/// A plan that does not fit together, a server that cannot be reached at the start or refuses the password, a
/// thread that cannot get its system resources. What goes wrong later is counted in the report.
pub fn run(plan: &Plan) -> Result<Report, BenchError> {
    plan.check()?;
    let topology = Topology::start(plan)?;
    let result = run_phases(plan, &topology);
    topology.stop();
    result
}

fn run_phases(plan: &Plan, topology: &Topology) -> Result<Report, BenchError> {
    let preload = if plan.preload { Some(preload(plan, topology)?) } else { None };
    let mut report = measure(plan, topology)?;
    report.preload = preload;
    Ok(report)
}

/// The share of thread `index` of a count.
fn share(count: u64, threads: usize, index: usize) -> (u64, u64) {
    let bound = |index: usize| (u128::from(count) * index as u128 / threads as u128) as u64;
    (bound(index), bound(index + 1))
}

fn preload(plan: &Plan, topology: &Topology) -> Result<report::Preload, BenchError> {
    let pipeline = plan.pipeline.max(PRELOAD_PIPELINE_MIN);
    let deep = Plan { pipeline, rate: None, write: plan.write.preloader(), ..plan.clone() };
    let count = plan.operations_named().expect("a plan that was checked has no more than KEYS_MAX");
    let phase = Phase { start: Instant::now(), warmup: Duration::ZERO, length: None };
    let source = |index| {
        let (from, to) = share(count, deep.threads, index);
        Source::Each { next: from, end: to }
    };
    let progress = Progress::keys(plan.progress, count);
    let total = drive(&deep, topology, &phase, &source, |receiver| {
        let mut total = Tally::new();
        while let Ok(interval) = receiver.recv() {
            total.add(&interval.tally);
            progress.keys_done(total.operations());
        }
        total
    })?;
    progress.finish();
    let seconds = phase.start.elapsed().as_secs_f64();
    Ok(report::Preload { keys: total.operations(), seconds, errors: total.errors_named() })
}

fn measure(plan: &Plan, topology: &Topology) -> Result<Report, BenchError> {
    let processes = plan.processes(topology);
    let chooser = Chooser::new(plan.distribution, plan.keys, plan.members, plan.mix);
    let phase = Phase { start: Instant::now(), warmup: plan.warmup, length: Some(plan.seconds) };
    let source = |index: usize| Source::mix(chooser, plan.seed.wrapping_add(index as u64));
    let started_at = std::time::SystemTime::now();
    let (intervals, servers_us, own_us) =
        drive(plan, topology, &phase, &source, |receiver| collect(plan, &phase, &processes, &receiver))?;
    Ok(Report::new(plan, &processes, intervals, started_at, servers_us, own_us))
}

type Measured = (Vec<tally::Interval>, Option<u64>, Option<u64>);

/// Collects what the threads send, and measures CPU time from the end of the warm-up to the end.
fn collect(
    plan: &Plan,
    phase: &Phase,
    processes: &[Process],
    receiver: &Receiver<tally::Interval>,
) -> Measured {
    let own: Vec<Process> = Process::running(std::process::id()).into_iter().collect();
    let mut intervals: Vec<tally::Interval> = Vec::new();
    let progress = Progress::seconds(plan.progress, plan.warmup + plan.seconds);
    let mut meters = None;
    let mut spent = None;
    let measured_from = phase.start + phase.warmup;
    let end = measured_from + plan.seconds;
    loop {
        let now = Instant::now();
        if meters.is_none() && now >= measured_from {
            meters = Some((CpuMeter::start(processes), CpuMeter::start(&own)));
        }
        if spent.is_none() && now >= end {
            spent = meters.as_ref().map(|(servers, own)| (servers.elapsed_us(), own.elapsed_us()));
        }
        let next = if now < measured_from { measured_from - now } else { end.saturating_duration_since(now) };
        let wait = next.clamp(Duration::from_millis(1), Duration::from_millis(100));
        match receiver.recv_timeout(wait) {
            Ok(interval) => {
                progress.speed(&interval);
                tally::merge_into(&mut intervals, interval);
            }
            Err(RecvTimeoutError::Timeout) => progress.elapsed(phase.start.elapsed()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    progress.finish();
    let (servers_us, own_us) = spent
        .or_else(|| meters.as_ref().map(|(servers, own)| (servers.elapsed_us(), own.elapsed_us())))
        .unwrap_or((None, None));
    (intervals, servers_us, own_us)
}

/// Runs one worker per thread through a phase, and `collect` beside them on what they send.
fn drive<T>(
    plan: &Plan,
    topology: &Topology,
    phase: &Phase,
    source: &dyn Fn(usize) -> Source,
    collect: impl FnOnce(Receiver<tally::Interval>) -> T,
) -> Result<T, BenchError> {
    let (sender, receiver) = mpsc::channel();
    let workers: Result<Vec<Worker>, BenchError> = (0..plan.threads)
        .map(|index| Worker::new(plan, topology, *phase, index, source(index), sender.clone()))
        .collect();
    let workers = workers?;
    drop(sender);
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || worker.run())).collect();
        let collected = collect(receiver);
        for thread in threads {
            thread.join().expect("a worker thread returns its errors; a panic aborts the process")?;
        }
        Ok(collected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan for whole values, such as tests of the parts need.
    pub(super) fn plan() -> Plan {
        Plan {
            hosts: vec![SocketAddr::from(([127, 0, 0, 1], 6379))],
            cluster: false,
            connections: 1,
            pipeline: 1,
            read: Command::GET,
            write: Command::SET,
            mix: (1, 1),
            keys: 1,
            members: 1,
            distribution: Distribution::Uniform,
            key_prefix: String::new(),
            value_bytes: 0,
            preload: false,
            seconds: Duration::from_secs(1),
            warmup: Duration::ZERO,
            threads: 1,
            confirm: None,
            rate: None,
            password: None,
            seed: 1,
            timeout: Duration::from_secs(1),
            pids: Vec::new(),
            progress: false,
        }
    }

    #[test]
    fn commands_of_a_plan_fit_together() {
        let hget = Command::read("hget").unwrap();
        let rules = [
            (plan(), None),
            (Plan { members: 0, ..plan() }, Some("--members")),
            (Plan { keys: KEYS_MAX, members: 2, ..plan() }, Some("--members")),
            (
                Plan { read: hget.clone(), ..plan() },
                Some("--read hget reads hashes, and --write set writes strings"),
            ),
            (Plan { read: hget, mix: (1, 0), ..plan() }, None),
        ];
        for (plan, wanted) in rules {
            let error = plan.check().err().map(|error| error.to_string());
            assert_eq!(error.is_some(), wanted.is_some(), "{error:?}");
            assert!(error.unwrap_or_default().contains(wanted.unwrap_or_default()));
        }
    }

    #[test]
    fn shares_cover_everything_once() {
        for (count, threads) in [(0, 1), (10, 3), (7, 8), (KEYS_MAX, 7)] {
            let mut expected = 0;
            for index in 0..threads {
                let (from, to) = share(count, threads, index);
                assert_eq!(from, expected);
                expected = to;
            }
            assert_eq!(expected, count);
        }
    }
}
