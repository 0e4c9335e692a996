//! Statements on a partition in the large layout: what they run on the tree, and what they come to (docs/design/log-groups.md).
//!
//! What the small layout does in one go ([`super::sql`]) is in two parts here, with reads of the tree between them.

use std::sync::Arc;

use sql::{parse_hash_key, Catalog, Execution, HashKey, Layout, Outcome, Partition, Plan, Table};

use super::sql::{query_of, sql_error, sql_reply, Refused};
use super::{as_hash, errors, table_of, AsHash, Command, Context, KeyCommand, Op, Sql};
use crate::group::statement::{Ended, Work};
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
    if !matches!(command.op, Op::Sql(_) | Op::AsHash(_)) {
        return None;
    }
    let table = table_of(&command.key).and_then(|name| catalog.table(name).ok())?;
    let is_here = match &command.op {
        Op::AsHash(read) => row_of(&command.key, read, catalog).is_some(),
        _ => true,
    };
    (is_here && table.layout == Layout::Large).then_some(table)
}

/// The row that is read as a hash, if it lies under this key.
fn row_of(key: &[u8], read: &AsHash, catalog: &Catalog) -> Option<HashKey> {
    let row = parse_hash_key(catalog, read.row.as_deref().unwrap_or(key))?;
    (row.partition.routing.as_bytes() == key).then_some(row)
}

/// What a command runs on the tree; or its reply, if it runs nothing.
pub(crate) fn begin(
    command: &KeyCommand,
    table: &Arc<Table>,
    context: &mut Context<'_>,
) -> Result<Work, Reply> {
    match &command.op {
        Op::Sql(sql) => begin_statement(&command.key, sql, table, context).map_err(reply_of),
        Op::AsHash(read) => {
            let row = row_of(&command.key, read, context.catalog).ok_or(errors::TABLE_CHANGED)?;
            Ok(Work::Row(row.row))
        }
        _ => Err(errors::WRONG_TYPE),
    }
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
    context: &mut Context<'_>,
) -> Result<Work, Refused> {
    let changed = || Refused::Reply(errors::TABLE_CHANGED);
    if sql.catalog > context.catalog.version() {
        // Who hears of a newer catalog adopts it first; so the sender is not as it should be.
        return Err(changed());
    }
    let Some(share) = &sql.share else {
        return Ok(Work::Execution(Execution::new(Arc::unwrap_or_clone(query_of(key, sql, context)?))?));
    };
    let statement = context.statements.read(&sql.text)?;
    let plan = Plan::new(context.catalog, &statement, &sql.context()).map_err(|_| changed())?;
    let Plan::Query(query) = plan else { return Err(changed()) };
    let is_planned = query.partition().is_none()
        && query.table().id == table.id
        && (table.id, table.version) == (share.table, share.version);
    let partition = Partition::of_name(table, key).filter(|_| is_planned).ok_or_else(changed)?;
    Ok(Work::Execution(Execution::part(*query, &partition, share)?))
}

/// The reply to a command whose work is at its end, and what that changes.
pub(crate) fn end(
    command: &KeyCommand,
    ended: Ended,
    context: &mut Context<'_>,
) -> (Reply, Vec<sql::Change>) {
    match (&command.op, ended) {
        (Op::Sql(sql), Ended::Execution(execution, Outcome { reply, changes })) => match &sql.share {
            Some(_) => (Reply::Bulk(execution.into_part(reply).encode()), Vec::new()),
            None if changes.is_empty() || sql.writes => (sql_reply(reply), changes),
            None => (errors::TABLE_CHANGED, Vec::new()),
        },
        (Op::AsHash(read), Ended::Row(bytes)) => {
            (as_hash::answer(&command.key, read, bytes.as_deref(), context), Vec::new())
        }
        (op, ended) => panic!("another command's work: {op:?}, {ended:?}"),
    }
}
