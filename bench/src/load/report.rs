//! What a load tells: progress on a terminal, a table, JSON, and an HDR interval log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::keys::Distribution;
use super::tally::{Interval, Tally};
use super::Plan;
use crate::error::BenchError;
use crate::procs::Process;

/// Latencies and speed of one kind of operation.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Operations answered without an error.
    pub operations: u64,
    /// The same per second.
    pub ops_per_second: f64,
    /// Mean latency, microseconds.
    pub mean_us: f64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// 99.9th percentile, microseconds.
    pub p999_us: f64,
    /// The longest, microseconds.
    pub max_us: f64,
}

impl Line {
    fn new(operations: u64, seconds: f64, latencies: &Histogram<u64>) -> Line {
        let us = |ns: u64| ns as f64 / 1e3;
        Line {
            operations,
            ops_per_second: operations as f64 / seconds,
            mean_us: latencies.mean() / 1e3,
            p50_us: us(latencies.value_at_quantile(0.5)),
            p99_us: us(latencies.value_at_quantile(0.99)),
            p999_us: us(latencies.value_at_quantile(0.999)),
            max_us: us(latencies.max()),
        }
    }
}

/// How the preload went.
#[derive(Debug, Clone, Serialize)]
pub struct Preload {
    /// Keys, or members of keys, written.
    pub keys: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Errors by kind; their keys may be missing.
    pub errors: BTreeMap<String, u64>,
}

/// CPU time of the server processes over the measured time.
#[derive(Debug, Clone, Serialize)]
pub struct Cpu {
    /// The processes.
    pub pids: Vec<u32>,
    /// CPUs in use on average, all processes together.
    pub cores: f64,
    /// Microseconds, user and system, per operation answered.
    pub us_per_operation: f64,
}

/// The result of a load.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The options, in words.
    pub what: String,
    /// `closed` or `open`.
    pub loop_kind: &'static str,
    /// The asked rate of an open loop, operations per second.
    pub rate: Option<f64>,
    /// Measured seconds.
    pub seconds: f64,
    /// The command that reads.
    pub read: String,
    /// The command that writes.
    pub write: String,
    /// Reads and writes together.
    pub all: Line,
    /// Reads alone.
    pub reads: Line,
    /// Writes alone.
    pub writes: Line,
    /// Reads that found nothing.
    pub misses: u64,
    /// Errors of all kinds.
    pub errors: u64,
    /// Errors by kind.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// MOVED and ASK that were followed.
    pub redirects: u64,
    /// Connections lost.
    pub disconnects: u64,
    /// Open loop: operations due and unanswered at the end; they are in the latencies, with the time gone by.
    pub unanswered: u64,
    /// Operations answered in each second.
    pub ops_by_second: Vec<u64>,
    /// CPU time of the servers; `null` if no process was found, one of them ended, or nothing was answered.
    pub servers: Option<Cpu>,
    /// CPUs that this harness used.
    pub own_cores: Option<f64>,
    /// The preload, if there was one.
    pub preload: Option<Preload>,
    #[serde(skip)]
    intervals: Vec<Interval>,
    #[serde(skip)]
    started_at: SystemTime,
}

impl Report {
    /// Sums up what was measured.
    pub fn new(
        plan: &Plan,
        processes: &[Process],
        intervals: Vec<Interval>,
        started_at: SystemTime,
        servers_us: Option<u64>,
        own_us: Option<u64>,
    ) -> Report {
        let seconds = plan.seconds.as_secs_f64();
        let mut total = Tally::new();
        for interval in &intervals {
            total.add(&interval.tally);
        }
        let mut both = total.reads.clone();
        both.add(&total.writes).expect("all histograms have the same bounds");
        let operations = total.operations();
        let cpu = |us: u64| Cpu {
            pids: processes.iter().map(|process| process.pid).collect(),
            cores: us as f64 / 1e6 / seconds,
            us_per_operation: us as f64 / operations as f64,
        };
        Report {
            what: describe(plan),
            loop_kind: if plan.rate.is_some() { "open" } else { "closed" },
            rate: plan.rate,
            seconds,
            read: plan.read.to_string(),
            write: plan.write.to_string(),
            all: Line::new(operations, seconds, &both),
            reads: Line::new(total.done.0, seconds, &total.reads),
            writes: Line::new(total.done.1, seconds, &total.writes),
            misses: total.misses,
            errors: total.errors(),
            errors_by_kind: total.errors_named(),
            redirects: total.redirects,
            disconnects: total.disconnects,
            unanswered: total.unanswered,
            ops_by_second: intervals.iter().map(|interval| interval.tally.operations()).collect(),
            servers: servers_us.filter(|_| operations > 0).map(cpu),
            own_cores: own_us.map(|us| us as f64 / 1e6 / seconds),
            preload: None,
            intervals,
            started_at,
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.what);
        if let Some(preload) = &self.preload {
            let errors: u64 = preload.errors.values().sum();
            let _ =
                writeln!(out, "preload: {} keys in {:.1} s, {errors} errors", preload.keys, preload.seconds);
        }
        let _ = writeln!(
            out,
            "\n{:<10}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "ops", "ops/s", "p50 us", "p99 us", "p99.9 us", "max us"
        );
        let lines =
            [(self.read.as_str(), &self.reads), (self.write.as_str(), &self.writes), ("all", &self.all)];
        for (name, line) in lines {
            if name != "all" && line.operations == 0 {
                continue;
            }
            let _ = writeln!(
                out,
                "{name:<10}{:>12}{:>12.0}{:>12.1}{:>12.1}{:>12.1}{:>12.1}",
                line.operations, line.ops_per_second, line.p50_us, line.p99_us, line.p999_us, line.max_us
            );
        }
        self.table_tail(&mut out);
        out
    }

    fn table_tail(&self, out: &mut String) {
        let named: Vec<String> =
            self.errors_by_kind.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let named = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        let _ = writeln!(
            out,
            "\nerrors: {}{named}, misses: {}, redirects: {}, connections lost: {}",
            self.errors, self.misses, self.redirects, self.disconnects
        );
        if self.loop_kind == "open" {
            let _ = writeln!(out, "due and unanswered at the end: {}", self.unanswered);
        }
        match &self.servers {
            Some(cpu) => {
                let _ = writeln!(
                    out,
                    "servers' CPU: {:.2} us per operation, {:.2} cores (processes {:?})",
                    cpu.us_per_operation, cpu.cores, cpu.pids
                );
            }
            None => out.push_str(
                "servers' CPU: not measured (no process found, one ended, or nothing was answered)\n",
            ),
        }
        if let Some(cores) = self.own_cores {
            let _ = writeln!(out, "own CPU: {cores:.2} cores");
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), BenchError> {
        let text =
            serde_json::to_string_pretty(self).expect("a report has only string keys and plain values");
        std::fs::write(path, text + "\n")
            .map_err(|error| BenchError::io(format!("writing {}", path.display()), error))
    }

    /// Writes the latencies as an HDR interval log: per second one histogram for each of the two commands, its name
    /// as the tag, in ns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_hdr(&self, path: &Path) -> Result<(), BenchError> {
        self.hdr_log(path).map_err(|error| BenchError::io(format!("writing {}", path.display()), error))
    }

    fn hdr_log(&self, path: &Path) -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut serializer = V2DeflateSerializer::new();
        // Values are ns; the readable column of the log is in ms, as in other tools.
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("synod-bench load, latencies in nanoseconds")
            .with_start_time(self.started_at)
            .with_base_time(self.started_at)
            .with_max_value_divisor(1e6)
            .begin_log_with(&mut out, &mut serializer)?;
        for interval in &self.intervals {
            let start = Duration::from_secs(interval.second as u64);
            for (name, histogram) in
                [(&self.read, &interval.tally.reads), (&self.write, &interval.tally.writes)]
            {
                if histogram.is_empty() {
                    continue;
                }
                log.write_histogram(histogram, start, Duration::from_secs(1), Tag::new(name))
                    .map_err(|error| std::io::Error::other(format!("{error:?}")))?;
            }
        }
        out.flush()
    }
}

fn describe(plan: &Plan) -> String {
    let loop_kind = match plan.rate {
        Some(rate) => format!("open loop at {rate:.0} ops/s"),
        None => "closed loop".to_owned(),
    };
    let keys = match plan.distribution {
        Distribution::Uniform => "uniform".to_owned(),
        Distribution::Zipf { exponent } => format!("zipf {exponent}"),
    };
    let confirm =
        plan.confirm.as_ref().map_or(String::new(), |confirm| format!(", each batch with {confirm}"));
    let own =
        [&plan.read, &plan.write].into_iter().zip([plan.mix.0, plan.mix.1]).filter(|(_, part)| *part > 0);
    let own = own.filter_map(|(command, _)| Some(format!(", {command}: {}", command.own_line()?)));
    let own: String = own.collect();
    let members = if plan.members == 1 { String::new() } else { format!(" of {} members", plan.members) };
    format!(
        "{loop_kind}, {}{} connections x {} deep, {} threads, {}:{} {}:{}, {} keys{members} {keys}, \
         {} B values, {:.1} s after {:.1} s{confirm}{own}",
        if plan.cluster { "cluster, " } else { "" },
        plan.connections,
        plan.pipeline,
        plan.threads,
        plan.read,
        plan.write,
        plan.mix.0,
        plan.mix.1,
        plan.keys,
        plan.value_bytes,
        plan.seconds.as_secs_f64(),
        plan.warmup.as_secs_f64(),
    )
}

/// The progress bar; does nothing where it is not wanted.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(shown: bool, length: u64, template: &str) -> Progress {
        let bar = if shown { ProgressBar::new(length) } else { ProgressBar::hidden() };
        bar.set_style(
            ProgressStyle::with_template(template).expect("a template that is a constant and valid"),
        );
        Progress { bar }
    }

    /// A bar over a number of keys.
    pub fn keys(shown: bool, keys: u64) -> Progress {
        Progress::new(shown, keys, "preload {wide_bar} {pos}/{len} keys {per_sec}")
    }

    /// A bar over a length of time.
    pub fn seconds(shown: bool, length: Duration) -> Progress {
        Progress::new(shown, length.as_millis() as u64, "{msg:>24} {wide_bar} {elapsed}")
    }

    /// So many keys are done.
    pub fn keys_done(&self, keys: u64) {
        self.bar.set_position(keys);
    }

    /// So much time is over.
    pub fn elapsed(&self, elapsed: Duration) {
        self.bar.set_position(elapsed.as_millis() as u64);
    }

    /// The speed of the newest second of one thread.
    pub fn speed(&self, interval: &Interval) {
        self.bar.set_message(format!("{} ops/s a thread", interval.tally.operations()));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
