//! The command line.
//!
//! Exit codes: 0 everything asked for was measured (whatever came out), 2 wrong options (by clap), 3 something could not be
//! measured, so what is printed is not complete, 130 stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::context::{Context, Options, Programs};
use crate::error::{CompareError, Result};
use crate::goals;
use crate::groups;
use crate::machine::{self, Machine};
use crate::page;
use crate::point::Point;
use crate::process::Stop;
use crate::record::Record;
use crate::table;

/// Exit code: something could not be measured.
const BROKEN: u8 = 3;

/// Exit code: stopped, as shells count SIGINT.
const STOPPED: u8 = 130;

/// Synod beside Valkey, Redis, etcd and RocksDB, on this machine.
#[derive(Debug, Parser)]
#[command(name = "synod-compare", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    helper: Option<Helper>,
    #[command(flatten)]
    args: Args,
}

/// What this program runs of itself.
#[derive(Debug, Subcommand)]
enum Helper {
    /// Serve as a server that does nothing but answer.
    #[command(hide = true)]
    Null {
        /// Where to listen.
        addr: SocketAddr,
    },
    /// Load rows into fjall.
    #[command(hide = true)]
    Fjall {
        /// How many.
        keys: u64,
        /// A folder that is made.
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Args {
    /// How often each point is measured on each system.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// Measured seconds of each load.
    #[arg(long, default_value_t = 6.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of the same load before that.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    warmup: f64,
    /// Preloaded keys.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    keys: u64,
    /// Keys of the engines' benchmarks.
    #[arg(long, default_value_t = 10_000_000)]
    engine_keys: u64,
    /// Only these groups: set, get, one, load, etcd, idle, objects, large, sql, hot, tail, cores, engine, tree.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these points.
    #[arg(long, value_delimiter = ',', default_values_t = Point::ALL)]
    points: Vec<Point>,
    /// One short run with few keys: does everything work, and about how fast is it.
    #[arg(long)]
    quick: bool,
    /// Write everything measured as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with tables and plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// A folder on the disk to be measured; the data goes into a fresh folder in it.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The first of a hundred ports to listen on.
    #[arg(long, default_value_t = 23_100, value_parser = clap::value_parser!(u16).range(1_024..=65_400))]
    port_base: u16,
    /// The program synod.
    #[arg(long, value_name = "FILE", default_value = "target/release/synod")]
    synod: PathBuf,
    /// The program synod-bench.
    #[arg(long, value_name = "FILE", default_value = "target/release/synod-bench")]
    bench: PathBuf,
    /// The benchmark of the engine.
    #[arg(long, value_name = "FILE")]
    engine: Option<PathBuf>,
    /// The benchmark of the engine of rows.
    #[arg(long, value_name = "FILE")]
    tree: Option<PathBuf>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    (0.0..=3_600.0).contains(&seconds).then_some(seconds).ok_or_else(|| "0 to 3,600 seconds".to_owned())
}

impl Args {
    fn options(&self) -> Options {
        let asked = Options {
            runs: usize::from(self.runs),
            seconds: Duration::from_secs_f64(self.seconds.max(0.1)),
            warmup: Duration::from_secs_f64(self.warmup),
            keys: self.keys,
            engine_keys: self.engine_keys,
            points: self.points.clone(),
            port_base: self.port_base,
        };
        if !self.quick {
            return asked;
        }
        let (seconds, warmup) = (Duration::from_secs(1), Duration::from_millis(500));
        Options {
            runs: 1,
            seconds,
            warmup,
            keys: self.keys.min(20_000),
            engine_keys: self.engine_keys.min(200_000),
            ..asked
        }
    }

    fn groups(&self) -> Result<Vec<&'static groups::Group>> {
        if self.only.is_empty() {
            return Ok(groups::ALL.iter().collect());
        }
        self.only.iter().map(|name| groups::named(name)).collect()
    }
}

/// Reads the command line of this process, does what it says and gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.helper {
        Some(Helper::Null { addr }) => crate::null::serve(addr).map(|()| true),
        Some(Helper::Fjall { keys, folder }) => crate::fjall::load(&folder, keys).map(|()| true),
        None => compare(&cli.args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN),
        Err(CompareError::Interrupted) => ExitCode::from(STOPPED),
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(BROKEN)
        }
    }
}

/// Measures, prints and writes; whether every group could be measured.
fn compare(args: &Args) -> Result<bool> {
    let groups = args.groups()?;
    let folder = tempfile::Builder::new().prefix("synod-compare-").tempdir_in(&args.dir);
    let folder = folder
        .map_err(|error| CompareError::io(format!("making a folder in {}", args.dir.display()), error))?;
    machine::must_be_a_disk(folder.path())?;
    let programs = Programs {
        synod: args.synod.clone(),
        bench: args.bench.clone(),
        engine: args.engine.clone(),
        tree: args.tree.clone(),
    };
    let context = Context {
        options: args.options(),
        programs,
        dir: folder.path().to_owned(),
        stop: Stop::on_signals()?,
    };
    let machine = Machine::look(&args.synod);
    let mut record = Record::default();
    for group in groups {
        match groups::measure(group, &context, &machine, &mut record) {
            Ok(()) => {}
            Err(CompareError::Interrupted) => return Err(CompareError::Interrupted),
            // What fails in one group says nothing about the others.
            Err(error) => {
                groups::fail(&context, &mut record, format!("{}: {error}", group.name));
            }
        }
    }
    let goals = goals::judge(&record);
    print!("{}", table::text(&machine, &record, &goals));
    if let Some(path) = &args.json {
        write(path, &page::json(&machine, &context.options, &record, &goals))?;
    }
    if let Some(path) = &args.html {
        write(path, &page::html(&machine, &context.options, &record, &goals)?)?;
    }
    Ok(record.failed.is_empty())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| CompareError::io(format!("writing {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_fit_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let cli = Cli::parse_from([
            "synod-compare",
            "--json",
            "a",
            "--json",
            "b",
            "--quick",
            "--points",
            "c1P1,c2P3",
        ]);
        assert_eq!(cli.args.json, Some(PathBuf::from("b")), "the last one counts");
        assert_eq!(cli.args.options().runs, 1);
        assert_eq!(cli.args.options().points, [Point::new(1, 1), Point::new(2, 3)]);
        assert!(Cli::try_parse_from(["synod-compare", "--points", "c0P1"]).is_err());
    }
}
