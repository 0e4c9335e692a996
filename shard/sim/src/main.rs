//! The command line of the simulator.

use std::io::IsTerminal;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use sim::{scenarios, Report, Sums};

/// Plays whole clusters under faults, each run decided by a seed, and checks them.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Options {
    /// Seeds to play, FIRST..END.
    #[arg(long, value_parser = range, default_value = "0..500")]
    seeds: Range<u64>,
    /// Plays this seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "determinism"])]
    seed: Option<u64>,
    /// With --seed: tells the story, message by message.
    #[arg(long, requires = "seed")]
    log: bool,
    /// Plays this many seeds twice and compares the hashes of their events.
    #[arg(long, value_name = "SEEDS", conflicts_with = "seeds")]
    determinism: Option<u64>,
    /// Threads, each with seeds of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: u64,
    /// What to report besides the sums.
    #[arg(long, value_enum)]
    report: Option<Extra>,
    #[cfg(feature = "mutants")]
    #[command(flatten)]
    planted: Planted,
}

/// What there is to do with planted bugs.
#[cfg(feature = "mutants")]
#[derive(Debug, clap::Args)]
struct Planted {
    /// Plants this bug in the product.
    #[arg(long, value_name = "NUMBER")]
    mutant: Option<u32>,
    /// Lists the bugs that can be planted.
    #[arg(long)]
    list_mutants: bool,
    /// Hunts all planted bugs, or those of --only, and fails if one lives.
    #[arg(long, conflicts_with = "mutant")]
    hunt: bool,
    /// With --hunt: these numbers alone.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", requires = "hunt")]
    only: Vec<u32>,
    /// The part of a hunt's child.
    #[arg(long, hide = true, requires = "mutant")]
    hunted: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Extra {
    /// How often each rare state was met.
    Labels,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("want FIRST..END, such as 0..500")?;
    let number =
        |text: &str| text.replace('_', "").parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(first)?..number(end)?;
    if range.is_empty() {
        return Err("there is no seed in this range".to_owned());
    }
    Ok(range)
}

fn main() -> ExitCode {
    let options = Options::parse();
    name_the_seed_in_panics();
    #[cfg(feature = "mutants")]
    if let Some(code) = plant(&options) {
        return code;
    }
    if let Some(seed) = options.seed {
        return one(seed, options.log);
    }
    if let Some(count) = options.determinism {
        return twice(count);
    }
    for scenario in scenarios::ALL {
        note_seed(scenario.seed);
        if let Some(violation) = sim::play(scenario.plan(), false).violation {
            eprintln!("scenario \"{}\" failed ({}): {violation}", scenario.name, scenario.story);
            return ExitCode::FAILURE;
        }
    }
    many(&options)
}

/// Plants the bug that is asked for. Some: that was all there was to do.
#[cfg(feature = "mutants")]
fn plant(options: &Options) -> Option<ExitCode> {
    let Planted { mutant, list_mutants, hunt, only, hunted } = &options.planted;
    if *list_mutants {
        for mutant in sim::mutants::ALL {
            println!("{:>4}  {:<9} {}", mutant.number, mutant.home(), mutant.what);
        }
        return Some(ExitCode::SUCCESS);
    }
    if *hunt {
        return Some(match sim::hunt::wanted(only) {
            Ok(wanted) => sim::hunt::hunt(&wanted, &options.seeds, options.threads),
            Err(error) => refuse(&error),
        });
    }
    let number = (*mutant)?;
    if sim::mutants::find(number).is_none() {
        return Some(refuse(&format!("there is no planted bug {number}: see --list-mutants")));
    }
    sim::mutants::select(number);
    hunted.then(|| sim::hunt::hunted(options.seeds.clone()))
}

#[cfg(feature = "mutants")]
fn refuse(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn one(seed: u64, log: bool) -> ExitCode {
    note_seed(seed);
    let plan = sim::Plan::draw(seed);
    if log {
        println!("{plan:#?}");
    }
    let report = sim::play(plan, log);
    let mut sums = Sums::default();
    sums.add(&report);
    print_sums(&sums, Duration::ZERO);
    print_labels(&sums);
    println!("hash of all events: {:016x}", report.hash);
    verdict(&report)
}

fn verdict(report: &Report) -> ExitCode {
    let Some(violation) = &report.violation else { return ExitCode::SUCCESS };
    eprintln!("SEED {} FAILED after {:.3} ms: {violation}", report.seed, report.virtual_ns as f64 / 1e6);
    eprintln!("replay: {}", replay(report.seed));
    ExitCode::FAILURE
}

fn replay(seed: u64) -> String {
    #[cfg(feature = "mutants")]
    if let Some(number) = sim::mutants::selected() {
        return format!(
            "cargo run --release -p sim --features mutants -- --mutant {number} --seed {seed} --log"
        );
    }
    format!("cargo run --release -p sim -- --seed {seed} --log")
}

fn twice(count: u64) -> ExitCode {
    for seed in 0..count {
        note_seed(seed);
        let (one, other) = (sim::run(seed, false), sim::run(seed, false));
        if (one.hash, one.steps) != (other.hash, other.steps) {
            eprintln!("SEED {seed} is not deterministic: {:016x} and {:016x}", one.hash, other.hash);
            eprintln!("replay: {}", replay(seed));
            return ExitCode::FAILURE;
        }
    }
    println!("{count} seeds gave the same events twice");
    ExitCode::SUCCESS
}

fn many(options: &Options) -> ExitCode {
    let started = Instant::now();
    let total = options.seeds.end - options.seeds.start;
    let mut sums = Sums::default();
    let failed = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<Report>();
        for thread in 0..options.threads {
            let (sender, seeds, step) = (sender.clone(), options.seeds.clone(), options.threads as usize);
            scope.spawn(move || {
                for seed in seeds.skip(thread as usize).step_by(step) {
                    note_seed(seed);
                    let report = sim::run(seed, false);
                    let failed = report.violation.is_some();
                    if sender.send(report).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut shown = Instant::now();
        let progress = std::io::stderr().is_terminal();
        for report in receiver {
            sums.add(&report);
            if report.violation.is_some() {
                return Some(report);
            }
            if progress && shown.elapsed() > Duration::from_millis(500) {
                shown = Instant::now();
                let rate = sums.seeds as f64 / started.elapsed().as_secs_f64();
                eprint!("\r{} of {total} seeds, {rate:.0} a second   ", sums.seeds);
            }
        }
        None
    });
    if std::io::stderr().is_terminal() {
        eprint!("\r");
    }
    print_sums(&sums, started.elapsed());
    if options.report.is_some() {
        print_labels(&sums);
    }
    failed.map_or(ExitCode::SUCCESS, |report| verdict(&report))
}

fn print_sums(sums: &Sums, took: Duration) {
    println!(
        "seeds: {}, operations: {} answered, {} not applied, {} unknown; entries chosen: {}, events: {}",
        sums.seeds, sums.replied, sums.failed, sums.unknown, sums.choices, sums.steps
    );
    println!("virtual time: {:.1} s, real time: {:.1} s", sums.virtual_ns as f64 / 1e9, took.as_secs_f64());
}

fn print_labels(sums: &Sums) {
    for (label, count) in &sums.labels {
        println!("{count:>10}  {label}");
    }
}

thread_local! {
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn note_seed(seed: u64) {
    SEED.set(seed);
}

/// An assertion of the product that fails ends the run like any other violation: with the seed and the command to see it again.
fn name_the_seed_in_panics() {
    std::panic::set_hook(Box::new(|info| {
        let seed = SEED.get();
        eprintln!("\nSEED {seed} FAILED: an assertion does not hold: {info}");
        eprintln!("replay: {}", replay(seed));
        std::process::exit(1);
    }));
}
