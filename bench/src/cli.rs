//! The command line: options in, tables and exit codes out.
//!
//! Exit codes: 0 good, 1 what was checked does not hold (writes lost, history not linearizable, nothing
//! answered, a preload with errors), 2 wrong options (by clap), 3 the harness could not do its work.

use std::io::{IsTerminal, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;

use crate::check;
use crate::drill::{self, Control};
use crate::error::BenchError;
use crate::history::History;
#[cfg(feature = "lab")]
use crate::lab::{self, args::ChaosArgs};
use crate::load::confirm::Confirm;
use crate::load::keys::Distribution;
use crate::load::{self, Plan};
use scale::ScaleArgs;

mod scale;

/// Exit code: what was checked does not hold.
const BAD: u8 = 1;

/// Exit code: the harness could not do its work.
const BROKEN: u8 = 3;

/// Load harness, kill drill and history checker for Synod, Redis and Valkey.
#[derive(Debug, Parser)]
#[command(name = "synod-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load servers at full speed, or at a fixed rate with --rate, and measure.
    Load(LoadArgs),
    /// Load servers of 1, 2, ... n cores alike, and print what each core of the larger ones is worth.
    Scale(ScaleArgs),
    /// Break something under load and check that nothing acknowledged is lost.
    Drill {
        #[command(subcommand)]
        drill: Drill,
    },
    /// Check a recorded history for linearizability, key by key.
    Check {
        /// The file, as `drill kill --history` writes it.
        history: PathBuf,
    },
    /// Print reports written with --json as one table; fail if a drill among them lost anything.
    Report {
        /// The files, in the order of the table.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Drill {
    /// SIGKILL a host in the middle of a load, restart it, read everything back.
    Kill(KillArgs),
    /// Start three hosts of Synod in a network of their own and break everything that can be broken, by a seed.
    #[cfg(feature = "lab")]
    Chaos(ChaosArgs),
}

#[derive(Debug, Args)]
struct KillArgs {
    /// Plain ports of the hosts, as ip:port,ip:port; with --cluster-dir found in DIR/cluster.json.
    #[arg(long, value_delimiter = ',', value_parser = host)]
    hosts: Vec<SocketAddr>,
    /// Password, sent with AUTH.
    #[arg(long, env = "SYNOD_BENCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Directory of a cluster that --script started.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kill_cmd", "restart_cmd"])]
    cluster_dir: Option<PathBuf>,
    /// The script that kills and restarts: `SCRIPT kill DIR N`, `SCRIPT restart DIR N`.
    #[arg(long, value_name = "SCRIPT", default_value = "scripts/cluster")]
    script: PathBuf,
    /// Shell command that kills host {n} (from 1; also {ip}, {port}); without it the listening process gets
    /// SIGKILL.
    #[arg(long, value_name = "COMMAND")]
    kill_cmd: Option<String>,
    /// Shell command that restarts host {n}; returns when the host is starting.
    #[arg(long, value_name = "COMMAND", required_unless_present = "cluster_dir")]
    restart_cmd: Option<String>,
    /// Seconds of load, all kills included.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Clients, each with one connection.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Registers.
    #[arg(long, default_value_t = 1_000)]
    keys: usize,
    /// Kills, spread over the time.
    #[arg(long, default_value_t = 1)]
    kills: usize,
    /// Seed of the clients' choices and of the victims.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long a client waits for a reply.
    #[arg(long, default_value_t = 2_000)]
    timeout_ms: u64,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the history of all operations, for `synod-bench check`.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Servers, and how to get in.
#[derive(Debug, Args)]
struct Servers {
    /// Servers, as ip:port,ip:port.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:6379", value_parser = host)]
    hosts: Vec<SocketAddr>,
    /// Password, sent with AUTH.
    #[arg(long, env = "SYNOD_BENCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

#[derive(Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    servers: Servers,
    /// Cluster mode: read CLUSTER SLOTS from --hosts, route by slot, follow MOVED and ASK.
    #[arg(long)]
    cluster: bool,
    /// Clients; each has one connection, in cluster mode one per node.
    #[arg(short = 'c', long, default_value_t = 50)]
    connections: usize,
    /// Operations in flight per client.
    #[arg(short = 'P', long, default_value_t = 1)]
    pipeline: usize,
    /// The command that reads: get, hget, lrange-100, sismember or zscore; or any other as a line, in which __key__ stands for the key,
    /// __rand_int__ for its twelve digits alone, __member__ for those of the member, and __data__ for a value.
    #[arg(long, default_value = "get", value_parser = load::commands::Command::read)]
    read: load::commands::Command,
    /// The command that writes: set, incr, hset, lpush, rpop, sadd or zadd; or any other, as for --read.
    #[arg(long, default_value = "set", value_parser = load::commands::Command::write)]
    write: load::commands::Command,
    /// Parts of reads and writes.
    #[arg(long, default_value = "1:1", value_parser = mix)]
    mix: (u32, u32),
    /// Number of keys.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Number of members of each key (fields of a hash, members of a set), drawn uniformly.
    #[arg(long, default_value_t = 1)]
    members: u64,
    /// Draw keys by a Zipf distribution with this exponent (YCSB: 0.99) instead of uniformly.
    #[arg(long, num_args = 0..=1, default_missing_value = "0.99", value_name = "EXPONENT")]
    zipf: Option<f64>,
    /// What stands before the twelve digits of a key; may hold a {tag}.
    #[arg(long, default_value = "key:")]
    key_prefix: String,
    /// Bytes per value.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// Write every member of every key once before measuring; before rpop, push them.
    #[arg(long)]
    preload: bool,
    /// Measured seconds.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of the same load before that, not measured.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// Threads of the harness.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Open loop: operations per second, all threads together. Latency counts from when an operation was due.
    #[arg(long)]
    rate: Option<f64>,
    /// Drop a connection that owes a reply for so long.
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
    /// Ask for this after each batch of writes, and count them as answered when enough copies have them:
    /// "WAIT replicas ms" or "WAITAOF local replicas ms" (Redis and Valkey).
    #[arg(long, value_name = "COMMAND", value_parser = Confirm::parse)]
    confirm: Option<Confirm>,
    /// Seed of keys, mix and values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Server processes whose CPU time is measured; found by their listening ports if not given.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the latencies as an HDR interval log (ns, one histogram per second and command).
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

fn host(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; write ip:port"))?;
    found.next().ok_or_else(|| "no address of that name".to_owned())
}

fn mix(text: &str) -> Result<(u32, u32), String> {
    let (reads, writes) = text.split_once(':').ok_or("write READS:WRITES, such as 9:1")?;
    let part = |part: &str| part.parse::<u32>().map_err(|error| format!("{part}: {error}"));
    Ok((part(reads)?, part(writes)?))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let fits = (0.0..=1e6).contains(&seconds);
    fits.then_some(seconds).ok_or_else(|| "0 to 1,000,000 seconds".to_owned())
}

impl LoadArgs {
    fn plan(&self) -> Plan {
        Plan {
            hosts: self.servers.hosts.clone(),
            cluster: self.cluster,
            connections: self.connections,
            pipeline: self.pipeline,
            read: self.read.clone(),
            write: self.write.clone(),
            mix: self.mix,
            keys: self.keys,
            members: self.members,
            distribution: self.zipf.map_or(Distribution::Uniform, |exponent| Distribution::Zipf { exponent }),
            key_prefix: self.key_prefix.clone(),
            value_bytes: self.value_bytes,
            preload: self.preload,
            seconds: Duration::from_secs_f64(self.seconds),
            warmup: Duration::from_secs_f64(self.warmup),
            threads: self.threads,
            confirm: self.confirm.clone(),
            rate: self.rate,
            password: self.servers.password.clone(),
            seed: self.seed,
            timeout: Duration::from_millis(self.timeout_ms),
            pids: self.pids.clone(),
            progress: !self.quiet && std::io::stderr().is_terminal(),
        }
    }
}

/// Reads the command line of this process, does what it says and gives the exit code.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Load(args) => run_load(&args),
        Command::Scale(args) => scale::run(&args),
        Command::Drill { drill: Drill::Kill(args) } => run_kill(&args),
        #[cfg(feature = "lab")]
        Command::Drill { drill: Drill::Chaos(args) } => {
            match lab::chaos(&args, std::env::args_os().skip(1)) {
                Ok(code) => return ExitCode::from(code),
                Err(error) => Err(error),
            }
        }
        Command::Check { history } => run_check(&history),
        Command::Report { files } => run_report(&files),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BAD),
        Err(error) => {
            eprintln!("synod-bench: {error}");
            ExitCode::from(BROKEN)
        }
    }
}

/// Prints to standard output; a reader that went away ends nothing but the printing.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn run_load(args: &LoadArgs) -> Result<bool, BenchError> {
    let report = load::run(&args.plan())?;
    print(&report.table());
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    if let Some(path) = &args.hdr {
        report.write_hdr(path)?;
    }
    if report.all.operations == 0 {
        eprintln!("synod-bench: no operation was answered");
    }
    let preloaded = report.preload.as_ref().is_none_or(|preload| preload.errors.is_empty());
    if !preloaded {
        eprintln!("synod-bench: the preload had errors, so keys may be missing");
    }
    Ok(preloaded && report.all.operations > 0)
}

impl KillArgs {
    fn plan(&self) -> Result<drill::Plan, BenchError> {
        let control = match (&self.cluster_dir, &self.restart_cmd) {
            (Some(dir), _) => Control::Script { script: self.script.clone(), dir: dir.clone() },
            (None, Some(restart)) => {
                Control::Commands { kill: self.kill_cmd.clone(), restart: restart.clone() }
            }
            (None, None) => return Err(BenchError::Usage("give --cluster-dir or --restart-cmd".to_owned())),
        };
        let hosts = match &control {
            Control::Script { dir, .. } if self.hosts.is_empty() => hosts_of_cluster(dir)?,
            _ => self.hosts.clone(),
        };
        Ok(drill::Plan {
            hosts,
            password: self.password.clone(),
            control,
            seconds: Duration::from_secs_f64(self.seconds),
            clients: self.clients,
            keys: self.keys,
            kills: self.kills,
            seed: self.seed,
            timeout: Duration::from_millis(self.timeout_ms),
            progress: !self.quiet && std::io::stderr().is_terminal(),
        })
    }
}

/// The part of `DIR/cluster.json` that a drill needs.
#[derive(Debug, Deserialize)]
struct ClusterFile {
    /// The plain ports.
    plain: Vec<SocketAddr>,
}

fn hosts_of_cluster(dir: &Path) -> Result<Vec<SocketAddr>, BenchError> {
    let path = dir.join("cluster.json");
    let what = format!("reading {}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| BenchError::io(&what, error))?;
    let file = serde_json::from_str::<ClusterFile>(&text);
    file.map(|file| file.plain).map_err(|error| BenchError::Usage(format!("{what}: {error}; give --hosts")))
}

fn run_kill(args: &KillArgs) -> Result<bool, BenchError> {
    let (report, history) = drill::run(&args.plan()?)?;
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    if let Some(path) = &args.history {
        std::fs::write(path, history.to_text())
            .map_err(|error| BenchError::io(format!("writing {}", path.display()), error))?;
    }
    print(&report.table());
    Ok(report.good)
}

fn run_report(files: &[PathBuf]) -> Result<bool, BenchError> {
    let summary = crate::summary::read(files)?;
    print!("{}", summary.text);
    Ok(summary.good)
}

fn run_check(path: &Path) -> Result<bool, BenchError> {
    let what = format!("reading {}", path.display());
    let started = Instant::now();
    let text = std::fs::read_to_string(path).map_err(|error| BenchError::io(&what, error))?;
    let history = History::from_text(&text).map_err(|error| BenchError::Usage(format!("{what}: {error}")))?;
    let read = started.elapsed();
    let summary = check::check(&history);
    let all = started.elapsed();
    let (read, all) = (read.as_secs_f64(), all.as_secs_f64());
    let rate = summary.operations as f64 / all.max(f64::MIN_POSITIVE);
    print(&format!("read in {read:.2} s, judged in {:.2} s: {rate:.0} operations a second\n", all - read));
    print(&summary.to_text(&history));
    Ok(summary.is_linearizable())
}
