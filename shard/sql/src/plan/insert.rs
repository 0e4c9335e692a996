//! Plans of INSERT and UPSERT: the rows are made before anything is read.

use std::cell::Cell;
use std::sync::Arc;

use super::query::{assignments, default_of, returning};
use super::{Context, Insertion, OnConflict, Query, Work};
use crate::bind::Binder;
use crate::catalog::Catalog;
use crate::datum::{Datum, Row};
use crate::error::{Error, ErrorKind};
use crate::expression::{Expression, Frame};
use crate::limits::{CHANGED_ROWS_MAX, FOUND_BYTES_MAX};
use crate::parse::{Conflict, Insert};
use crate::routing::Partition;
use crate::schema::Table;

pub(super) fn insert(catalog: &Catalog, insert: &Insert, context: &Context) -> Result<Query, Error> {
    let table = Arc::clone(catalog.table(&insert.table)?);
    let targets = targets(&table, &insert.columns)?;
    if insert.rows.len() > CHANGED_ROWS_MAX {
        return Err(Error::too_large(format!(
            "the INSERT has {} rows; one statement changes at most {CHANGED_ROWS_MAX}",
            insert.rows.len()
        )));
    }
    let random = Cell::new(context.random);
    let mut binder = Binder { columns: false, ..Binder::new(&table, None, context, "VALUES") };
    let mut rows = Vec::with_capacity(insert.rows.len());
    let mut bytes = 0;
    for values in &insert.rows {
        let listed = if insert.columns.is_empty() {
            &targets[..values.len().min(targets.len())]
        } else {
            &targets[..]
        };
        if values.len() != listed.len() {
            let more = if values.len() > listed.len() {
                "more values than columns"
            } else {
                "fewer values than columns"
            };
            return Err(Error::syntax(format!("INSERT has {more}: {} and {}", values.len(), listed.len())));
        }
        let mut cells: Vec<Option<Expression>> = vec![None; table.columns.len()];
        for (column, expr) in listed.iter().zip(values) {
            if let Some(expr) = expr {
                cells[*column] = Some(binder.assigned(expr, *column)?);
            }
        }
        let frame = Frame { random: Some(&random), ..Frame::default() };
        let cell = |(column, cell): (usize, Option<Expression>)| match cell
            .unwrap_or_else(|| default_of(&table, column, context))
        {
            Expression::Constant(value) => Ok(value),
            other => other.evaluate(&frame),
        };
        let row = cells.into_iter().enumerate().map(cell).collect::<Result<Row, Error>>()?;
        check_nulls(&table, &row)?;
        bytes += row.iter().map(Datum::bytes).sum::<usize>();
        if bytes > FOUND_BYTES_MAX {
            return Err(Error::too_large(format!(
                "the rows of the INSERT take more than {FOUND_BYTES_MAX} bytes; send some at a time"
            )));
        }
        rows.push(row);
    }
    let partition = common_partition(&table, &rows)?;
    let conflict = conflict(&table, insert, &targets, context)?;
    let returning = returning(&table, None, context, insert.returning.as_deref())?;
    let work = Work::Insert(Insertion { rows, conflict, returning });
    Ok(Query { table, partition: Some(partition), work, random: random.get() })
}

/// The columns that values are given for.
fn targets(table: &Table, names: &[String]) -> Result<Vec<usize>, Error> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut targets = Vec::new();
    for name in names {
        let column = table.column(name)?;
        if targets.contains(&column) {
            return Err(Error::new(ErrorKind::Exists, "42701", format!("column \"{name}\" is named twice")));
        }
        targets.push(column);
    }
    Ok(targets)
}

/// That no column that must have a value has none.
pub(crate) fn check_nulls(table: &Table, row: &[Datum]) -> Result<(), Error> {
    match table.columns.iter().zip(row).find(|(column, value)| column.not_null && value.is_null()) {
        Some((column, _)) => {
            let message = format!(
                "null value in column \"{}\" of table \"{}\" violates its NOT NULL; give a value",
                column.name, table.name
            );
            Err(Error::new(ErrorKind::Constraint, "23502", message))
        }
        None => Ok(()),
    }
}

fn common_partition(table: &Table, rows: &[Row]) -> Result<Partition, Error> {
    let of = |row: &Row| {
        let values: Vec<_> = table.partition.iter().map(|column| row[*column].clone()).collect();
        Partition::new(table, &values)
    };
    let first = of(rows.first().ok_or_else(|| Error::syntax("INSERT has no rows"))?)?;
    for row in &rows[1..] {
        let other = of(row)?;
        if other.key != first.key {
            let message = format!(
                "one INSERT is for one partition, and its rows are of {} and {}; send one for each {}",
                first.routing,
                other.routing,
                table.partition_names()
            );
            return Err(Error::new(ErrorKind::NeedsKey, "0A000", message));
        }
    }
    Ok(first)
}

fn conflict(
    table: &Table,
    insert: &Insert,
    targets: &[usize],
    context: &Context,
) -> Result<OnConflict, Error> {
    match &insert.conflict {
        Conflict::Refuse => Ok(OnConflict::Refuse),
        Conflict::Nothing { target } => {
            check_target(table, target, true)?;
            Ok(OnConflict::Nothing)
        }
        Conflict::Update { target, set, filter } => {
            check_target(table, target, false)?;
            let mut binder = Binder { excluded: true, ..Binder::new(table, None, context, "DO UPDATE") };
            let set = assignments(&mut binder, set)?;
            if let Some((column, _)) = set.iter().find(|(column, _)| table.is_key(*column)) {
                return Err(Error::unsupported(format!(
                    "DO UPDATE cannot change \"{}\", which is part of the key; UPDATE can",
                    table.columns[*column].name
                )));
            }
            let filter = filter.as_ref().map(|expr| binder.condition(expr)?.folded()).transpose()?;
            Ok(OnConflict::Update { set, filter })
        }
        Conflict::Replace => {
            let given = targets.iter().filter(|column| !table.is_key(**column));
            Ok(OnConflict::Update {
                set: given.map(|column| (*column, Expression::Excluded(*column))).collect(),
                filter: None,
            })
        }
    }
}

/// That the columns of ON CONFLICT are those of the primary key.
fn check_target(table: &Table, target: &[String], may_be_left_out: bool) -> Result<(), Error> {
    let columns = target.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, Error>>()?;
    let key: Vec<usize> =
        table.partition.iter().copied().chain(table.clustering.iter().map(|column| column.column)).collect();
    let same = key.iter().all(|column| columns.contains(column))
        && columns.iter().all(|column| key.contains(column));
    if same || target.is_empty() && may_be_left_out {
        return Ok(());
    }
    let names: Vec<&str> = key.iter().map(|column| table.columns[*column].name.as_str()).collect();
    let message =
        format!("ON CONFLICT takes the columns of the primary key: ON CONFLICT ({})", names.join(", "));
    Err(Error::new(ErrorKind::NeedsKey, if target.is_empty() { "42601" } else { "42P10" }, message))
}
