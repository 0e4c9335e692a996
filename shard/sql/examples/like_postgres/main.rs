//! Random statements of the shared subset, given to a PostgreSQL server and to this crate over a map, result by result.
//!
//! `cargo run --release -p sql --example like_postgres -- SOCKET STATEMENTS SEED`, with the server's Unix socket; its user and database are
//! `postgres`. `scripts/like-postgres` starts one. Rows are compared with their types, in order where the statement gives one; errors by their
//! SQLSTATE: a statement with several faults may be refused for either. A difference of what is stored ends it at once, others once there are
//! some. `STORY=1` shows all that was written before, `SHOW_OTHERWISE=1` each statement that both refuse for different reasons.

mod maker;
mod tables;
mod wire;

#[path = "../../tests/store.rs"]
mod store;

use std::collections::BTreeMap;
use std::process::ExitCode;

use sql::{Datum, Reply, Type};

use maker::{Maker, Pair};
use store::Store;
use wire::{Postgres, Told};

/// Statements that are sent before their replies are read.
const PIPELINE: usize = 100;
/// Statements from one line of progress to the next.
const PROGRESS: u64 = 10_000;
/// Statements after which the tables are made anew, so that columns and rows do not become many.
const ERA: u64 = 4_000;

/// Differences that end it.
const DIFFERENT_MAX: u64 = 12;

/// What a statement came to, for the summary.
#[derive(Default)]
struct Counts {
    done: u64,
    rows: u64,
    written: u64,
    refused: u64,
    otherwise: u64,
    different: u64,
    /// Refused here alone, as is documented.
    documented: u64,
    /// Whether tables have other rows now here than there, since one of those was a write.
    apart: bool,
    /// Not compared because of that.
    passed: u64,
    /// How many were refused there with each SQLSTATE.
    states: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [socket, statements, seed] = &args[..] else {
        eprintln!("usage: like_postgres SOCKET STATEMENTS SEED");
        return ExitCode::from(2);
    };
    let (Ok(statements), Ok(seed)) = (statements.parse::<u64>(), seed.parse::<u64>()) else {
        eprintln!("like_postgres: STATEMENTS and SEED are numbers");
        return ExitCode::from(2);
    };
    match compare(socket, statements, seed) {
        Ok(counts) if counts.different > 0 => ExitCode::FAILURE,
        Ok(counts) => {
            println!(
                "{} statements as in PostgreSQL: {} rows and {} written ones alike, {} refused by both, {} of those for another of their faults; {} refused here alone as \
                 documented",
                counts.done - counts.passed, counts.rows, counts.written, counts.refused, counts.otherwise, counts.documented
            );
            let states: Vec<String> =
                counts.states.iter().map(|(state, count)| format!("{state} {count}")).collect();
            println!("refused with {}", states.join(", "));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("like_postgres: seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(socket: &str, statements: u64, seed: u64) -> Result<Counts, String> {
    let mut postgres = Postgres::connect(socket).map_err(|error| format!("{socket}: {error}"))?;
    let mut maker = Maker::new(seed);
    let mut counts = Counts::default();
    let (mut store, mut story) = (Store::default(), Vec::new());
    while counts.done - counts.passed < statements {
        let apart = std::mem::take(&mut counts.apart);
        if apart || counts.done.is_multiple_of(ERA) {
            (store, story) = (Store::default(), Vec::new());
            store.page = 1 + (counts.done / ERA % 7) as usize;
            let made = maker.begin();
            run(&mut postgres, &mut store, &made, &mut counts, &mut story)?;
        }
        let left = PIPELINE as u64 - counts.done % PIPELINE as u64;
        let batch: Vec<Pair> = (0..left).map(|_| maker.statement()).collect();
        run(&mut postgres, &mut store, &batch, &mut counts, &mut story)?;
        counts.done += batch.len() as u64;
        if counts.done.is_multiple_of(PROGRESS) {
            println!("{} statements, {} refused by both", counts.done, counts.refused);
        }
    }
    Ok(counts)
}

fn run(
    postgres: &mut Postgres,
    store: &mut Store,
    batch: &[Pair],
    counts: &mut Counts,
    story: &mut Vec<String>,
) -> Result<(), String> {
    let asked = batch.iter().filter(|pair| !pair.theirs.is_empty());
    postgres.send(asked.map(|pair| pair.theirs.as_str())).map_err(|error| error.to_string())?;
    for pair in batch {
        let ours = pair.run(store);
        if pair.theirs.is_empty() {
            ours.map_err(|error| format!("{}: {error}", pair.ours))?;
            continue;
        }
        let theirs = postgres.receive().map_err(|error| error.to_string())?;
        if counts.apart {
            counts.passed += 1;
            continue;
        }
        if pair.writes {
            story.push(pair.ours.clone());
        }
        let result = differ(pair, ours, theirs, counts).map_err(|why| {
            let parameters: Vec<String> =
                pair.parameters.iter().map(|one| one.escape_ascii().to_string()).collect();
            let before = story
                .iter()
                .rev()
                .take(if std::env::var_os("STORY").is_some() { usize::MAX } else { 0 })
                .cloned()
                .collect::<Vec<_>>();
            format!(
                "{why}\n ours: {} {parameters:?}\n theirs: {}\n{}",
                pair.ours,
                pair.theirs,
                before.join("\n")
            )
        });
        if let Err(why) = result {
            counts.different += 1;
            if pair.writes || counts.different >= DIFFERENT_MAX {
                return Err(why);
            }
            eprintln!("like_postgres: {why}");
        }
    }
    Ok(())
}

/// What is refused here and is not there, as docs/sql.md says.
fn documented(error: &sql::Error) -> bool {
    ["NUMERIC holds neither", "TIMESTAMP holds no"].iter().any(|begin| error.message.starts_with(begin))
}

fn differ(
    pair: &Pair,
    ours: Result<Reply, sql::Error>,
    theirs: Told,
    counts: &mut Counts,
) -> Result<(), String> {
    match (ours, theirs) {
        (Err(ours), Told::Count(_) | Told::Rows { .. }) if documented(&ours) => {
            counts.documented += 1;
            counts.apart = pair.writes;
            Ok(())
        }
        (Err(ours), Told::Error { state, message }) => {
            counts.refused += 1;
            *counts.states.entry(state.clone()).or_default() += 1;
            if ours.state != state {
                counts.otherwise += 1;
                if std::env::var_os("SHOW_OTHERWISE").is_some() {
                    println!(
                        "{}\n  ours {}: {}\n  theirs {state}: {message}",
                        pair.theirs, ours.state, ours.message
                    );
                }
            }
            Ok(())
        }
        (Ok(Reply::Count(ours)), Told::Count(theirs)) if ours == theirs => {
            counts.written += ours;
            Ok(())
        }
        (Ok(Reply::NotApplied), Told::Count(0)) => Ok(()),
        (Ok(Reply::NotApplied), Told::Rows { rows, .. }) if rows.is_empty() => Ok(()),
        (Ok(Reply::Rows(mut rows)), Told::Rows { types, rows: mut theirs }) => {
            let kinds: Vec<Type> = rows.columns.iter().map(|(_, kind)| kind.kind).collect();
            if kinds.iter().map(|kind| wire::type_number(*kind)).ne(types.iter().copied()) {
                return Err(format!("types: ours {kinds:?}, theirs {types:?}"));
            }
            let mut ours: Vec<Vec<Option<String>>> =
                rows.rows.drain(..).map(|row| row.iter().map(Datum::text).collect()).collect();
            if !pair.ordered {
                ours.sort();
                theirs.sort();
            }
            counts.rows += ours.len() as u64;
            if ours != theirs {
                let place = ours
                    .iter()
                    .zip(&theirs)
                    .position(|(ours, theirs)| ours != theirs)
                    .unwrap_or(ours.len().min(theirs.len()));
                return Err(format!(
                    "{} and {} rows; row {place}:\n ours:   {:?}\n theirs: {:?}",
                    ours.len(),
                    theirs.len(),
                    ours.get(place),
                    theirs.get(place)
                ));
            }
            Ok(())
        }
        (ours, theirs) => Err(format!("ours {ours:?}\n theirs {theirs:?}")),
    }
}
