//! Statements on a partition in the large layout: what they run on the tree, and what they come to (docs/design/log-groups.md).
//!
//! What the small layout does in one go ([`super::sql`]) is in two parts here, with reads of the tree between them.

use std::sync::Arc;

use sql::{
    parse_hash_key, Backfill, Catalog, Execution, HashKey, Layout, Outcome, Partition, Plan, Query, Table,
};

use reactor::mutants::planted;

use super::sql::{query_of, sql_error, sql_reply, Refused};
use super::{as_hash, errors, table_of, AsHash, Command, Context, KeyCommand, Op, Sql};
use crate::group::statement::{Ended, Work};
use crate::object::indexes::Task;
use crate::object::Indexes;
use crate::reply::Reply;
use crate::state::Value;

/// The table of a command whose key is a partition of it in the large layout: such a command is run on the tree. `value`: what the key has.
pub(crate) fn table_on_tree<'c>(
    command: &Command,
    value: Option<&Value>,
    catalog: &'c Catalog,
) -> Option<&'c Arc<Table>> {
    let Command::Key(command) = command else { return None };
    if !matches!(value, None | Some(Value::Rows(_) | Value::Group(_))) {
        return None;
    }
    if !matches!(command.op, Op::Sql(_) | Op::AsHash(_) | Op::Vacuum) {
        return None;
    }
    let table = table_of(&command.key).and_then(|name| catalog.table(name).ok())?;
    let is_here = match &command.op {
        Op::AsHash(read) => row_of(&command.key, read, catalog).is_some(),
        // A step of what is to be done for the table's indexes.
        Op::Vacuum => indexes_of(table, value).is_some_and(|indexes| indexes.next_task(table).is_some()),
        _ => true,
    };
    (is_here && table.layout == Layout::Large).then_some(table)
}

/// What the rows of a table say of its indexes. None: it has none there.
pub(crate) fn indexes_of<'v>(table: &Table, value: Option<&'v Value>) -> Option<&'v Indexes> {
    match value {
        Some(Value::Group(group)) if group.table == table.id => Some(&group.indexes),
        _ => None,
    }
}

/// The numbers of those indexes of the table that cannot be read in a partition yet.
pub(crate) fn lacking(table: &Table, value: Option<&Value>) -> Vec<u32> {
    indexes_of(table, value).map_or(Vec::new(), |indexes| indexes.lacking(table))
}

/// The row that is read as a hash, if it lies under this key.
fn row_of(key: &[u8], read: &AsHash, catalog: &Catalog) -> Option<HashKey> {
    let row = parse_hash_key(catalog, read.row.as_deref().unwrap_or(key))?;
    (row.partition.routing.as_bytes() == key).then_some(row)
}

/// What a command runs on the tree; or its reply, if it runs nothing. `value`: what the key has; `rows_max`: how many rows a step for an index has.
pub(crate) fn begin(
    command: &KeyCommand,
    table: &Arc<Table>,
    value: Option<&Value>,
    rows_max: usize,
    context: &mut Context<'_>,
) -> Result<Work, Reply> {
    match &command.op {
        Op::Sql(sql) => {
            begin_statement(&command.key, sql, table, &lacking(table, value), context).map_err(reply_of)
        }
        Op::Vacuum => begin_task(&command.key, table, value, rows_max),
        Op::AsHash(read) => {
            let row = row_of(&command.key, read, context.catalog).ok_or(errors::TABLE_CHANGED)?;
            Ok(Work::Row(row.row))
        }
        _ => Err(errors::WRONG_TYPE),
    }
}

/// The next step for the indexes of a partition.
fn begin_task(key: &[u8], table: &Arc<Table>, value: Option<&Value>, rows_max: usize) -> Result<Work, Reply> {
    let task = indexes_of(table, value).and_then(|indexes| indexes.next_task(table));
    let partition = Partition::of_name(table, key);
    // A key that no partition has: there is nothing to be seen to.
    let (Some(task), Some(partition)) = (task, partition) else { return Err(Reply::Int(0)) };
    let backfill = match task.fills {
        true => Backfill::fill(table, task.index, &partition),
        false => Backfill::clear(table, task.index, &partition).map(Some),
    };
    let Ok(Some(mut backfill)) = backfill else { return Err(Reply::Int(0)) };
    task.place.iter().for_each(|place| backfill.resume(place.clone()));
    Ok(Work::Fill(task, backfill, rows_max))
}

fn reply_of(refused: Refused) -> Reply {
    match refused {
        Refused::Reply(reply) => reply,
        Refused::Error(error) => sql_error(&error),
    }
}

fn begin_statement(
    key: &[u8],
    sql: &Sql,
    table: &Arc<Table>,
    lacking: &[u32],
    context: &mut Context<'_>,
) -> Result<Work, Refused> {
    let reads_lacking = |query: &Query| query.index().is_some_and(|index| lacking.contains(&index));
    let changed = || Refused::Reply(errors::TABLE_CHANGED);
    if sql.catalog > context.catalog.version() {
        // Who hears of a newer catalog adopts it first; so the sender is not as it should be.
        return Err(changed());
    }
    let Some(share) = &sql.share else {
        let query = query_of(key, sql, context)?;
        let query = match reads_lacking(&query) && !planted(562) {
            true => without_reading(sql, table, lacking, context)?,
            false => Arc::unwrap_or_clone(query),
        };
        return Ok(Work::Execution(Execution::new(query)?));
    };
    let statement = context.statements.read(&sql.text)?;
    let plan = Plan::new(context.catalog, &statement, &sql.context()).map_err(|_| changed())?;
    let Plan::Query(query) = plan else { return Err(changed()) };
    let is_planned = query.partition().is_none()
        && query.table().id == table.id
        && (table.id, table.version) == (share.table, share.version);
    let partition = Partition::of_name(table, key).filter(|_| is_planned).ok_or_else(changed)?;
    if reads_lacking(&query) {
        // All parts go the same way.
        return Err(Refused::Reply(errors::INDEX_FILLING));
    }
    Ok(Work::Execution(Execution::part(*query, &partition, share)?))
}

/// The plan of a statement by a catalog in which these indexes are not read.
fn without_reading(
    sql: &Sql,
    table: &Table,
    lacking: &[u32],
    context: &mut Context<'_>,
) -> Result<Query, Refused> {
    let catalog = context.catalog.without_reading(table.id, lacking);
    match Plan::new(&catalog, &*context.statements.read(&sql.text)?, &sql.context())? {
        Plan::Query(query) => Ok(*query),
        Plan::Answer(_) => Err(Refused::Reply(errors::TABLE_CHANGED)),
    }
}

/// What a command's work has come to.
pub(crate) struct Done {
    pub reply: Reply,
    /// What changes in the rows.
    pub changes: Vec<sql::Change>,
    /// What the rows say of the table's indexes from now on, where that changes.
    pub indexes: Option<Indexes>,
}

impl Done {
    fn reply(reply: Reply) -> Done {
        Done { reply, changes: Vec::new(), indexes: None }
    }
}

/// What a command has come to, whose work is at its end. `value`: what the key has.
pub(crate) fn end(
    command: &KeyCommand,
    ended: Ended,
    table: &Table,
    value: Option<&Value>,
    context: &mut Context<'_>,
) -> Done {
    match (&command.op, ended) {
        (Op::Sql(sql), Ended::Execution(execution, Outcome { reply, changes })) => match &sql.share {
            Some(_) => Done::reply(Reply::Bulk(execution.into_part(reply).encode())),
            None if changes.is_empty() => Done::reply(sql_reply(reply)),
            None if sql.writes => {
                let mut indexes =
                    indexes_of(table, value).cloned().unwrap_or_else(|| Indexes::of_none(table));
                indexes.note_written(table);
                Done { reply: sql_reply(reply), changes, indexes: Some(indexes) }
            }
            None => Done::reply(errors::TABLE_CHANGED),
        },
        (Op::AsHash(read), Ended::Row(bytes)) => {
            Done::reply(as_hash::answer(&command.key, read, bytes.as_deref(), context))
        }
        (Op::Vacuum, Ended::Fill(task, changes, place)) => {
            end_task(&task, changes, place.as_deref(), table, value)
        }
        (op, ended) => panic!("another command's work: {op:?}, {ended:?}"),
    }
}

/// A step for an index was taken. The reply says whether there is more to be done.
fn end_task(
    task: &Task,
    changes: Vec<sql::Change>,
    place: Option<&[u8]>,
    table: &Table,
    value: Option<&Value>,
) -> Done {
    let Some(mut indexes) = indexes_of(table, value).cloned() else { return Done::reply(Reply::Int(0)) };
    indexes.note_step(task, place);
    let more = indexes.next_task(table).is_some();
    Done { reply: Reply::Int(more.into()), changes, indexes: Some(indexes) }
}
