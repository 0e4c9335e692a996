//! The command line of the simulator.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use sim::records::{self, Batch};
use sim::{labels, reduce, scenarios, Reduction, Report, Sums};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds that are written to the record together.
const BATCH: u64 = 500;

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
    /// With --seed: cuts the failing run down, and says how to play what is left.
    #[arg(long, requires = "seed", conflicts_with = "log")]
    shrink: bool,
    /// Adds what was played, without a failure, to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    ledger: Option<PathBuf>,
    /// With --ledger: goes on where the seeds played on this commit end.
    #[arg(long, requires = "ledger")]
    resume: bool,
    /// With --ledger: prints the sums of each commit, and plays nothing.
    #[arg(long, requires = "ledger")]
    ledger_sum: bool,
    /// With --ledger: what is played, instead of the commit that is checked out.
    #[arg(long, requires = "ledger")]
    commit: Option<String>,
    #[command(flatten)]
    reduction: Reduction,
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
        return if options.shrink { shrink(seed, &options) } else { one(seed, &options) };
    }
    if let Some(count) = options.determinism {
        return twice(count);
    }
    match long_run(&options) {
        Ok(code) => code,
        Err(error) => refuse(&error),
    }
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

fn refuse(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn one(seed: u64, options: &Options) -> ExitCode {
    note_run(seed, &options.reduction);
    let log = options.log;
    let plan = plan(seed, &options.reduction);
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

fn plan(seed: u64, reduction: &Reduction) -> sim::Plan {
    let mut plan = sim::Plan::draw(seed);
    reduction.apply(&mut plan);
    plan
}

fn replay(seed: u64) -> String {
    let reduction = REDUCTION.with_borrow(Reduction::to_string);
    #[cfg(feature = "mutants")]
    if let Some(number) = sim::mutants::selected() {
        return format!(
            "cargo run --release -p sim --features mutants -- --mutant {number} --seed {seed}{reduction} --log"
        );
    }
    format!("cargo run --release -p sim -- --seed {seed}{reduction} --log")
}

fn shrink(seed: u64, options: &Options) -> ExitCode {
    #[cfg(feature = "mutants")]
    let before: Vec<String> = options
        .planted
        .mutant
        .iter()
        .flat_map(|number| ["--mutant".to_owned(), number.to_string()])
        .collect();
    #[cfg(not(feature = "mutants"))]
    let before: Vec<String> = Vec::new();
    match reduce::shrink(seed, &before, &options.reduction) {
        Ok(Some(reduction)) => {
            note_run(seed, &reduction);
            println!("replay: {}", replay(seed));
            ExitCode::FAILURE
        }
        Ok(None) => {
            println!("seed {seed} does not fail");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

fn twice(count: u64) -> ExitCode {
    for seed in 0..count {
        note_run(seed, &Reduction::default());
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

/// Scenarios, then seeds, in batches if there is a record of them.
fn long_run(options: &Options) -> Result<ExitCode, String> {
    let batches = options.ledger.as_deref().map(records::read).transpose()?.unwrap_or_default();
    if options.ledger_sum {
        records::sums(&batches).iter().for_each(|line| println!("{line}"));
        return Ok(ExitCode::SUCCESS);
    }
    let commit = match (&options.commit, &options.ledger) {
        (Some(commit), _) => commit.clone(),
        (None, Some(_)) => checked_out()?,
        (None, None) => String::new(),
    };
    let mut next = options.seeds.start;
    if options.resume {
        next = records::resume(&batches, &commit, next);
    }
    for scenario in scenarios::ALL {
        note_run(scenario.seed, &Reduction::default());
        if let Some(violation) = sim::play(scenario.plan(), false).violation {
            eprintln!("scenario \"{}\" failed ({}): {violation}", scenario.name, scenario.story);
            return Ok(ExitCode::FAILURE);
        }
    }
    let (started, mut sums) = (Instant::now(), Sums::default());
    while next < options.seeds.end {
        let end =
            if options.ledger.is_some() { options.seeds.end.min(next + BATCH) } else { options.seeds.end };
        let mut own = Sums::default();
        if let Some(report) = batch(next..end, options, started, &sums, &mut own) {
            sums.join(&own);
            print_sums(&sums, started.elapsed());
            return Ok(verdict(&report));
        }
        if let Some(path) = &options.ledger {
            records::append(path, &Batch::new(&commit, next, end, &own))?;
        }
        sums.join(&own);
        next = end;
    }
    print_sums(&sums, started.elapsed());
    Ok(if options.report.is_some() { report_labels(&sums) } else { ExitCode::SUCCESS })
}

/// The commit that is checked out, marked if what is there differs from it.
fn checked_out() -> Result<String, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        output.map_err(|error| format!("ask git for the commit: {error}; name it with --commit"))
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let same = git(&["diff", "--quiet", "HEAD"])?.status.success();
    let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
    if commit.is_empty() {
        return Err("git knows no commit here; name it with --commit".to_owned());
    }
    Ok(if same { commit } else { commit + "+changes" })
}

/// Plays seeds on all threads; a report that has a violation, if there is one.
fn batch(
    seeds: Range<u64>,
    options: &Options,
    started: Instant,
    before: &Sums,
    sums: &mut Sums,
) -> Option<Report> {
    let total = options.seeds.end - options.seeds.start;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<Report>();
        for thread in 0..options.threads {
            let (sender, seeds, step) = (sender.clone(), seeds.clone(), options.threads as usize);
            scope.spawn(move || {
                for seed in seeds.skip(thread as usize).step_by(step) {
                    note_run(seed, &options.reduction);
                    let report = sim::play(plan(seed, &options.reduction), false);
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
                let played = before.seeds + sums.seeds;
                let rate = played as f64 / started.elapsed().as_secs_f64();
                eprint!("\r{played} of {total} seeds, {rate:.0} a second   ");
            }
        }
        None
    })
}

/// Prints the labels, and fails if one was met too rarely.
fn report_labels(sums: &Sums) -> ExitCode {
    print_labels(sums);
    let missed = labels::missed(sums);
    for (label, hits) in &missed {
        eprintln!("met too rarely: {label} ({hits} times in {} seeds)", sums.seeds);
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_sums(sums: &Sums, took: Duration) {
    println!(
        "seeds: {}, operations: {} answered, {} not applied, {} unknown; entries chosen: {}, faults: {}, events: {}",
        sums.seeds, sums.replied, sums.failed, sums.unknown, sums.choices, sums.faults, sums.steps
    );
    println!("virtual time: {:.1} s, real time: {:.1} s", sums.virtual_ns as f64 / 1e9, took.as_secs_f64());
}

fn print_labels(sums: &Sums) {
    for (label, count) in &sums.labels {
        println!("{count:>10}  {label}");
    }
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static REDUCTION: RefCell<Reduction> = RefCell::default();
}

fn note_run(seed: u64, reduction: &Reduction) {
    SEED.set(seed);
    REDUCTION.with_borrow_mut(|noted| noted.clone_from(reduction));
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
