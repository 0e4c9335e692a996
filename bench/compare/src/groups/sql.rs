//! What statements cost beside SET: INSERT of rows into many partitions, with and without an index, and SELECT of fifty rows by a range of the
//! clustering key. Synod alone, tables of the small layout, each statement with its values as parameters.

use super::{in_turn, measured};
use crate::context::Context;
use crate::error::Result;
use crate::load::{fill, preload, Load};
use crate::machine::Machine;
use crate::point::Point;
use crate::record::{Operation, Record, Who};
use crate::systems::{synod, System};

/// Its name.
pub const NAME: &str = "sql";

/// Clients and depth, those of the goals.
pub const POINT: Point = Point::new(50, 16);

/// What is measured.
pub const OPERATIONS: [Operation; 4] =
    [Operation::Set, Operation::Insert, Operation::IndexedInsert, Operation::SelectRows];

/// Keys that are set.
const KEYS: u64 = 100_000;

/// Partitions of each table.
const PARTITIONS: u64 = 1_000;

/// Clustering keys that an INSERT draws from: so many that a row is hardly ever there already, which would be an error.
const DRAWN: u64 = 500_000_000;

/// Rows of each partition that are read.
const ROWS: u64 = 200;

/// Rows of one answer.
const ANSWERED: u64 = 50;

/// The table that is read.
const READ: &str = "messages";

fn insert(table: &str) -> String {
    format!("SQL 'INSERT INTO {table} VALUES ($1, $2, $2, $3)' __rand_int__ __member__ __data__")
}

/// As [`insert`], where the row may be there: the load that follows a preload writes the same rows once more.
fn upsert(table: &str) -> String {
    format!("SQL 'UPSERT INTO {table} VALUES ($1, $2, $2, $3)' __rand_int__ __member__ __data__")
}

fn make(system: &System, table: &str) -> Result<()> {
    synod::define(
        system,
        &format!("CREATE TABLE {table} (p TEXT, c BIGINT, a BIGINT, v TEXT, PRIMARY KEY (p, c))"),
    )
}

/// What stands before the digits of a key: so it is of the slot of the partition `{table:digits}`.
fn prefix(table: &str) -> String {
    format!("{table}:")
}

/// What is asked, in this run.
fn load(context: &Context, operation: Operation, run: usize) -> Load {
    let closed = Load::closed(context, operation, POINT);
    let on = |table: &str, members: u64, command: String| Load {
        keys: PARTITIONS,
        members,
        prefix: prefix(table),
        command,
        ..closed.clone()
    };
    match operation {
        Operation::Insert => on(&plain(run), DRAWN, insert(&plain(run))),
        Operation::IndexedInsert => on(&indexed(run), DRAWN, insert(&indexed(run))),
        // Every place that is drawn has so many rows behind it.
        Operation::SelectRows => on(
            READ,
            ROWS - ANSWERED + 1,
            format!("SQL 'SELECT c, v FROM {READ} WHERE p = $1 AND c >= $2 LIMIT {ANSWERED}' __rand_int__ __member__"),
        ),
        _ => Load { keys: KEYS, ..closed },
    }
}

/// The tables that a run inserts into.
fn plain(run: usize) -> String {
    format!("plain{run}")
}

fn indexed(run: usize) -> String {
    format!("indexed{run}")
}

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    let ours = synod::three(context, 1, synod::SEGMENT)?;
    let target = ours.target(Who::Synod);
    preload(context, target, KEYS, "key:")?;
    make(&ours, READ)?;
    let rows = Load::filling(Operation::Insert, upsert(READ), (PARTITIONS, ROWS), &prefix(READ));
    fill(context, target, rows)?;
    for run in 1..=context.options.runs {
        make(&ours, &plain(run))?;
        make(&ours, &indexed(run))?;
        synod::define(&ours, &format!("CREATE INDEX ON {} (a)", indexed(run)))?;
        for operation in in_turn(&OPERATIONS, run) {
            measured(context, record, NAME, run, target, &load(context, *operation, run))?;
        }
    }
    Ok(())
}
