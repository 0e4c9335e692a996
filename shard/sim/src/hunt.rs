//! The hunt: every planted bug, one process each, seed by seed, until a check fails.
//!
//! Processes, because a broken assertion ends one, and because the choice of the bug is a global. The child says on its
//! standard output which seed found the bug, and what caught it; nothing else of it is read.

use std::io::Read;
use std::ops::Range;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::HUNT_SEED_SECONDS_MAX;
use crate::mutants::{self, Mutant};

/// First word of the line in which a child says that it found its bug.
const FOUND: &str = "found";

/// What a hunt found out about one planted bug.
#[derive(Debug)]
pub struct Quarry {
    /// The bug.
    pub mutant: &'static Mutant,
    /// How many seeds it took, and what caught it. None: it lives.
    pub found: Option<(u64, String)>,
}

/// Hunts the planted bugs in `wanted` on so many threads, prints the table, and fails if one lives.
pub fn hunt(wanted: &[&'static Mutant], seeds: &Range<u64>, threads: u64) -> ExitCode {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let mut quarries = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(mutant) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt_one(mutant, seeds);
                    if sender.send(found.map(|found| Quarry { mutant, found })).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().inspect(tell).collect::<Result<Vec<_>, String>>()
    });
    let Ok(quarries) = &mut quarries else { return ExitCode::FAILURE };
    quarries.sort_by_key(|quarry| quarry.mutant.number);
    print_table(quarries);
    let alive = quarries.iter().filter(|quarry| quarry.found.is_none()).count();
    println!(
        "{} planted bugs, {alive} alive after the seeds {}..{}; {:.0} s",
        quarries.len(),
        seeds.start,
        seeds.end,
        started.elapsed().as_secs_f64()
    );
    if alive == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tell(quarry: &Result<Quarry, String>) {
    match quarry {
        Ok(Quarry { mutant, found: Some((seeds, by)) }) => {
            eprintln!("{}: {seeds} seeds, {by}", mutant.number)
        }
        Ok(Quarry { mutant, found: None }) => eprintln!("{}: ALIVE, {}", mutant.number, mutant.what),
        Err(error) => eprintln!("the hunt cannot go on: {error}"),
    }
}

fn print_table(quarries: &[Quarry]) {
    println!("| bug | crate | planted | seeds | caught by |\n|---|---|---|---|---|");
    for Quarry { mutant, found } in quarries {
        let (seeds, by) = match found {
            Some((seeds, by)) => (seeds.to_string(), by.as_str()),
            None => ("-".to_owned(), "ALIVE"),
        };
        println!("| {} | {} | {} | {seeds} | {by} |", mutant.number, mutant.home(), mutant.what);
    }
}

/// Runs a child for one bug.
fn hunt_one(mutant: &Mutant, seeds: &Range<u64>) -> Result<Option<(u64, String)>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(["--mutant", &mutant.number.to_string(), "--hunted"])
        .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("start of a child: {error}"))?;
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said).map_err(|error| format!("output of a child: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("end of a child: {error}"))?;
    let found = said.lines().find_map(|line| {
        let (seed, by) = line.strip_prefix(FOUND)?.trim_start().split_once(' ')?;
        Some((seed.parse::<u64>().ok()?.saturating_sub(seeds.start) + 1, by.to_owned()))
    });
    match (found, status.success()) {
        (Some(found), _) => Ok(Some(found)),
        (None, true) => Ok(None),
        (None, false) => Err(format!("the child for {} ended with {status}", mutant.number)),
    }
}

/// The seed that this child plays.
static SEED: AtomicU64 = AtomicU64::new(0);

/// The child's part: plays the seeds in order until one fails, and says so.
pub fn hunted(seeds: Range<u64>) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let said = info.payload_as_str().unwrap_or("a panic without words").replace('\n', " ");
        let place = info.location().map_or(String::new(), |place| format!(" ({})", place.file()));
        report(SEED.load(Ordering::Relaxed), &format!("assertion: {said}{place}"));
    }));
    std::thread::spawn(watch);
    for seed in seeds.clone() {
        SEED.store(seed, Ordering::Relaxed);
        if let Some(violation) = crate::run(seed, false).violation {
            report(seed, violation.invariant);
        }
    }
    // What no seed of the range found, a named scenario may: it is the story of such a bug. It counts as one seed more.
    for scenario in crate::scenarios::ALL {
        SEED.store(seeds.end, Ordering::Relaxed);
        if let Some(violation) = crate::play(scenario.plan(), false).violation {
            report(seeds.end, &format!("{} (scenario \"{}\")", violation.invariant, scenario.name));
        }
    }
    ExitCode::SUCCESS
}

/// A bug that makes the product spin within one step of the simulator is found by nothing that counts steps.
fn watch() {
    let mut last = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let seed = SEED.load(Ordering::Relaxed);
        if seed != last.0 {
            last = (seed, Instant::now());
        } else if last.1.elapsed() > Duration::from_secs(HUNT_SEED_SECONDS_MAX) {
            report(seed, "liveness: a step does not end");
        }
    }
}

/// Says what was found, once, and ends the process.
fn report(seed: u64, by: &str) -> ! {
    static ONCE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _once = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{FOUND} {seed} {by}");
    std::process::exit(1);
}

/// The planted bugs that a hunt is for: those that are named, or all.
pub fn wanted(numbers: &[u32]) -> Result<Vec<&'static Mutant>, String> {
    if numbers.is_empty() {
        return Ok(mutants::ALL.iter().collect());
    }
    let find =
        |number: &u32| mutants::find(*number).ok_or_else(|| format!("there is no planted bug {number}"));
    numbers.iter().map(find).collect()
}
