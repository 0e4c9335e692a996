//! Statements of SQL on one key: on a partition of a table in the small layout, which is one value, and on the catalog
//! (docs/design/tables.md). What a statement means is the crate `sql`'s matter.
//!
//! A partition is the fields of a hash: keys and bytes as docs/formats/sql.md has them, and under the empty key, which no row has, a header:
//! the number of its table, the version of the table that its index entries are up to, and the number of that version's next index. Of a table
//! that was dropped nothing is seen, whatever lies there. Indexes that came since are filled before a statement runs, and stay with its next
//! write.
//!
//! A statement is planned by the core's own catalog. Where the session that sent it is of this process, and has planned it by the same version, its
//! plan is that already ([`Planned`]).

use std::fmt;
use std::sync::Arc;

use sql::{
    Backfill, Catalog, Change, Effect, Execution, Input, Outcome, Partition, Plan, Query, Share, Statement,
    Step, Table,
};

use reactor::mutants::planted;

use super::bytes::{put_bytes, put_varint, DecodeError, Reader};
use super::codec::Arguments;
use super::{errors, Command, Context, KeyCommand, Op};
use crate::command::limits::{OBJECT_ENTRIES_MAX, PLAN_BYTES_MAX};
use crate::limits::{CATALOG_BYTES_MAX, CATALOG_VERSION_MAX};
use crate::object::Hash;
use crate::reply::Reply;
use crate::state::{State, Value};

/// The key whose value the catalog is. No client's command is taken for it, and what walks the keyspace passes over it.
pub const CATALOG_KEY: &[u8] = b"\0synod:catalog";

/// Where a partition says of which table it is.
const HEADER: &[u8] = b"";

/// A statement with all that it is run with, as its session drew it: so it means the same wherever it is run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// The statement.
    pub text: Box<[u8]>,
    /// $1 and so on.
    pub parameters: Vec<Vec<u8>>,
    /// What now() is: microseconds since 1970.
    pub now_micros: i64,
    /// What gen_random_uuid() begins with.
    pub random: [u64; 2],
    /// The version of the catalog that its session planned it by.
    pub catalog: u64,
    /// Whether it may change rows, or the catalog.
    pub writes: bool,
    /// It reads all partitions, and this is what is asked of the one.
    pub share: Option<Box<Share>>,
    /// What its session made of it.
    pub planned: Planned,
}

/// The plan of a statement by the catalog whose version it bears, where the session that planned it is of this process: no part of what the
/// statement is, and left behind when it travels. What is made of the same text, context and catalog is the same.
#[derive(Clone, Default)]
pub struct Planned(Option<(Arc<Query>, usize)>);

impl Planned {
    /// A plan, if it is short enough to be kept in a queue.
    pub fn new(query: Box<Query>) -> Planned {
        let bytes = query.bytes();
        Planned((bytes <= PLAN_BYTES_MAX).then(|| (Arc::from(query), bytes)))
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |(_, bytes)| *bytes)
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Planned").field(&self.0.is_some()).finish()
    }
}

/// Whether there is one says nothing of what the statement is.
impl PartialEq for Planned {
    fn eq(&self, _: &Planned) -> bool {
        true
    }
}

impl Eq for Planned {}

/// What a partition says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    table: u32,
    version: u64,
    next_index: u32,
}

impl Header {
    fn of(table: &Table) -> Header {
        Header { table: table.id, version: table.version, next_index: table.next_index }
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.table.into());
        put_varint(&mut out, self.version);
        put_varint(&mut out, self.next_index.into());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut reader = Reader::new(bytes);
        let small = |number| u32::try_from(number).map_err(|_| DecodeError::Malformed);
        let table = small(reader.varint()?)?;
        let (version, next_index) = (reader.varint()?, small(reader.varint()?)?);
        reader.end()?;
        Ok(Header { table, version, next_index })
    }
}

/// How an answer looks to clients: a count, nil where IF did not hold, or rows: an array of arrays, of which the first has the names of the
/// columns; with CURSOR an array of the cursor and that. NULL is nil, whole numbers are integers, and all else is text.
pub fn sql_reply(reply: sql::Reply) -> Reply {
    match reply {
        sql::Reply::Count(count) => Reply::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        sql::Reply::NotApplied => Reply::Nil,
        sql::Reply::Rows(rows) => {
            let names = rows.columns.into_iter().map(|(name, _)| Reply::Bulk(name.into_bytes())).collect();
            let lines =
                rows.rows.into_iter().map(|row| Reply::Array(row.into_iter().map(value_reply).collect()));
            let lines = Reply::Array(std::iter::once(Reply::Array(names)).chain(lines).collect());
            match rows.cursor {
                Some(cursor) => Reply::Array(vec![Reply::Bulk(cursor.into_bytes()), lines]),
                None => lines,
            }
        }
    }
}

fn value_reply(value: sql::Datum) -> Reply {
    match value {
        sql::Datum::Int(number) => Reply::Int(number.into()),
        sql::Datum::BigInt(number) => Reply::Int(number),
        sql::Datum::Text(text) | sql::Datum::Jsonb(text) => Reply::Bulk(text.into_bytes()),
        other => other.text().map_or(Reply::Nil, |text| Reply::Bulk(text.into_bytes())),
    }
}

/// How an error looks to clients: `SQL`, the SQLSTATE, and the text.
pub fn sql_error(error: &sql::Error) -> Reply {
    Reply::Error(format!("SQL {} {}", error.state, error.message).into())
}

impl Sql {
    /// Bytes of what can be long.
    pub(super) fn bytes(&self) -> usize {
        let parameters = self.parameters.iter().map(|one| one.len() + size_of::<Vec<u8>>());
        let share = self.share.as_ref().and_then(|share| share.behind.as_ref()).map_or(0, Vec::len);
        size_of::<Sql>() + self.text.len() + parameters.sum::<usize>() + share + self.planned.bytes()
    }

    pub(super) fn context(&self) -> sql::Context<'_> {
        sql::Context { parameters: &self.parameters, now_micros: self.now_micros, random: self.random }
    }

    /// The argument list of a statement on its way: no client can send it.
    pub(super) fn spell<'a, 'b>(
        &self,
        name: &str,
        key: &[u8],
        to: &'a mut Arguments<'b>,
    ) -> &'a mut Arguments<'b> {
        let mut numbers = Vec::new();
        put_varint(&mut numbers, self.now_micros as u64);
        self.random.iter().for_each(|half| put_varint(&mut numbers, *half));
        put_varint(&mut numbers, self.catalog);
        match &self.share {
            None => put_varint(&mut numbers, self.writes.into()),
            Some(share) => put_share(share, &mut numbers),
        }
        to.text(name).bytes(key).bytes(&numbers).bytes(&self.text);
        self.parameters.iter().fold(to, |to, parameter| to.bytes(parameter))
    }
}

/// The first arguments of statements on their way.
pub(super) const RUN: &str = "SQL";
pub(super) const DEFINE: &str = "DEFINE";
pub(super) const CATALOG: &str = "CATALOG";
pub(super) const VACUUM: &str = "VACUUM";

/// Reads a statement on its way; None: the arguments are another command's.
pub(super) fn read(arguments: &[&[u8]]) -> Option<Result<Command, DecodeError>> {
    let (name, rest) = arguments.split_first()?;
    let is = |wanted: &str| *name == wanted.as_bytes();
    if is(CATALOG) {
        return Some(match rest {
            [] => Ok(on_catalog(Op::Catalog)),
            _ => Err(DecodeError::Malformed),
        });
    }
    if is(VACUUM) {
        return Some(match rest {
            [key] => Ok(Command::Key(KeyCommand { key: (*key).into(), op: Op::Vacuum })),
            _ => Err(DecodeError::Malformed),
        });
    }
    let is_run = is(RUN);
    if !is_run && !is(DEFINE) {
        return None;
    }
    let [key, numbers, text, parameters @ ..] = rest else { return Some(Err(DecodeError::Malformed)) };
    Some(read_statement(numbers, text, parameters).and_then(|sql| match is_run {
        true => Ok(Command::Key(KeyCommand { key: (*key).into(), op: Op::Sql(Box::new(sql)) })),
        false if *key == CATALOG_KEY && sql.writes => Ok(on_catalog(Op::Define(Box::new(sql)))),
        false => Err(DecodeError::Malformed),
    }))
}

fn read_statement(numbers: &[u8], text: &[u8], parameters: &[&[u8]]) -> Result<Sql, DecodeError> {
    let mut reader = Reader::new(numbers);
    let now_micros = reader.varint()? as i64;
    let random = [reader.varint()?, reader.varint()?];
    let catalog = reader.varint()?;
    let (writes, share) = match reader.varint()? {
        0 => (false, None),
        1 => (true, None),
        SHARE => (false, Some(Box::new(take_share(&mut reader)?))),
        _ => return Err(DecodeError::Malformed),
    };
    reader.end()?;
    let parameters = parameters.iter().map(|parameter| parameter.to_vec()).collect();
    let planned = Planned::default();
    Ok(Sql { text: text.into(), parameters, now_micros, random, catalog, writes, share, planned })
}

/// What stands where others say whether they write.
const SHARE: u64 = 2;

fn put_share(share: &Share, out: &mut Vec<u8>) {
    put_varint(out, SHARE);
    put_varint(out, share.table.into());
    put_varint(out, share.version);
    put_varint(out, share.rows_max.is_some().into());
    put_varint(out, share.rows_max.unwrap_or(0));
    // No place is empty.
    put_bytes(out, share.behind.as_deref().unwrap_or_default());
}

fn take_share(reader: &mut Reader<'_>) -> Result<Share, DecodeError> {
    let table = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
    let version = reader.varint()?;
    let rows_max = match (reader.varint()?, reader.varint()?) {
        (0, 0) => None,
        (1, rows) => Some(rows),
        _ => return Err(DecodeError::Malformed),
    };
    let behind = reader.bytes()?;
    Ok(Share { table, version, rows_max, behind: (!behind.is_empty()).then(|| behind.to_vec()) })
}

/// A command on the catalog.
fn on_catalog(op: Op) -> Command {
    Command::Key(KeyCommand { key: CATALOG_KEY.into(), op })
}

/// Runs a statement on a partition. The value is rows, or nothing is there.
pub(super) fn run(key: &[u8], sql: &Sql, state: &mut State, context: &mut Context<'_>) -> Reply {
    if sql.catalog > context.catalog.version() {
        // Who hears of a newer catalog adopts it first; so the sender is not as it should be.
        return errors::TABLE_CHANGED;
    }
    let done = match &sql.share {
        None => {
            query_of(key, sql, context).and_then(|query| run_query(sql, query, state, context)).map(sql_reply)
        }
        Some(share) => run_part(key, sql, share, state, context),
    };
    match done {
        Ok(reply) => reply,
        Err(Refused::Reply(reply)) => reply,
        Err(Refused::Error(error)) => sql_error(&error),
    }
}

/// Why a statement was not done.
pub(super) enum Refused {
    Error(sql::Error),
    Reply(Reply),
}

impl From<sql::Error> for Refused {
    fn from(error: sql::Error) -> Refused {
        Refused::Error(error)
    }
}

pub(super) fn query_of(key: &[u8], sql: &Sql, context: &mut Context<'_>) -> Result<Arc<Query>, Refused> {
    let query = match &sql.planned {
        Planned(Some((query, _))) if sql.catalog == context.catalog.version() => Arc::clone(query),
        _ => match Plan::new(context.catalog, &*context.statements.read(&sql.text)?, &sql.context())? {
            Plan::Query(query) => Arc::from(query),
            Plan::Answer(_) => return Err(Refused::Reply(errors::TABLE_CHANGED)),
        },
    };
    let is_here = query.partition().is_some_and(|partition| partition.routing.as_bytes() == key);
    match is_here && query.writes() == sql.writes {
        true => Ok(query),
        // Planned by an older catalog, it was about another partition.
        false => Err(Refused::Reply(errors::TABLE_CHANGED)),
    }
}

/// Runs the part that a partition has in a statement that reads all of them: the same that was planned for the others, of the same table.
fn run_part(
    key: &[u8],
    sql: &Sql,
    share: &Share,
    state: &State,
    context: &mut Context<'_>,
) -> Result<Reply, Refused> {
    let changed = || Refused::Reply(errors::TABLE_CHANGED);
    let statement = context.statements.read(&sql.text)?;
    let plan = Plan::new(context.catalog, &statement, &sql.context()).map_err(|_| changed())?;
    let Plan::Query(query) = plan else { return Err(changed()) };
    let table = Arc::clone(query.table());
    let is_planned = query.partition().is_none() && (table.id, table.version) == (share.table, share.version);
    let partition = Partition::of_name(&table, key).filter(|_| is_planned).ok_or_else(changed)?;
    let (rows, _) = rows_of(&table, &partition, state)?;
    let mut execution = Execution::part(*query, &partition, share)?;
    let Outcome { reply, .. } = run_on(&mut execution, &rows)?;
    Ok(Reply::Bulk(execution.into_part(reply).encode()))
}

/// Runs an execution to its end.
fn run_on(execution: &mut Execution, rows: &Hash) -> Result<Outcome, sql::Error> {
    let mut input = Input::Start;
    loop {
        input = match execution.step(input)? {
            Step::Done(outcome) => return Ok(outcome),
            Step::Get(keys) => {
                Input::Values(keys.iter().map(|key| rows.get(key).map(|value| &**value)).collect())
            }
            Step::Scan { from, to, backwards, limit } => scan(rows, &from, &to, backwards, limit),
        };
    }
}

fn run_query(
    sql: &Sql,
    query: Arc<Query>,
    state: &mut State,
    context: &Context<'_>,
) -> Result<sql::Reply, Refused> {
    let table = Arc::clone(query.table());
    let (mut rows, is_current) = rows_of(&table, query.partition().expect("it is on one partition"), state)?;
    let Outcome { reply, changes } = run_on(&mut Execution::new(Arc::unwrap_or_clone(query))?, &rows)?;
    if changes.is_empty() {
        return Ok(reply);
    }
    if !sql.writes {
        return Err(Refused::Reply(errors::TABLE_CHANGED));
    }
    change(&mut rows, changes);
    if !is_current {
        rows.set(HEADER, &Header::of(&table).encode());
    }
    keep(state, rows, context)?;
    Ok(reply)
}

/// The rows of the table that lie in the state, with all index entries that the table wants; and whether their header is the one of the table.
fn rows_of(table: &Arc<Table>, partition: &Partition, state: &State) -> Result<(Hash, bool), Refused> {
    let Some(Value::Rows(rows)) = &state.value else { return Ok((Hash::default(), false)) };
    let header = rows.get(HEADER).map(|bytes| Header::decode(bytes));
    let Some(Ok(header)) = header else { return Err(Refused::Reply(errors::ROWS_UNREADABLE)) };
    if header.table != table.id && !planted(541) {
        return Ok((Hash::default(), false));
    }
    let mut rows = rows.clone();
    if header.version == table.version {
        return Ok((rows, header == Header::of(table)));
    }
    // Numbers of indexes only go up.
    if header.version > table.version || header.next_index > table.next_index {
        return Err(Refused::Reply(errors::ROWS_UNREADABLE));
    }
    for gone in (1..header.next_index).filter(|id| table.indexes.iter().all(|index| index.id != *id)) {
        fill(&mut rows, Some(Backfill::clear(table, gone, partition)?))?;
    }
    for index in table.indexes.iter().filter(|index| index.id >= header.next_index) {
        fill(&mut rows, Backfill::fill(table, index.id, partition)?)?;
    }
    Ok((rows, false))
}

/// The bytes of a row of the table, if it lies in the state.
pub(super) fn row_of<'a>(table: &Table, row: &[u8], state: &'a State) -> Result<Option<&'a [u8]>, Reply> {
    let Some(Value::Rows(rows)) = &state.value else { return Ok(None) };
    match rows.get(HEADER).map(|bytes| Header::decode(bytes)) {
        Some(Ok(header)) if header.table != table.id => Ok(None),
        Some(Ok(header)) if header.version <= table.version => Ok(rows.get(row).map(|bytes| &**bytes)),
        _ => Err(errors::ROWS_UNREADABLE),
    }
}

fn fill(rows: &mut Hash, backfill: Option<Backfill>) -> Result<(), sql::Error> {
    let Some(mut backfill) = backfill else { return Ok(()) };
    while let Some((from, to, limit)) = backfill.wanted() {
        let Input::Page { entries, more } = scan(rows, from, to, false, limit) else {
            unreachable!("a scan gives a page");
        };
        change(rows, backfill.step(&entries, more)?);
    }
    Ok(())
}

fn scan<'a>(rows: &'a Hash, from: &[u8], to: &[u8], backwards: bool, limit: usize) -> Input<'a> {
    let (first, end) = (rows.place_of(from), rows.place_of(to));
    let many = end.saturating_sub(first).min(limit);
    let begin = if backwards { end - many } else { first };
    let entries = rows.iter_from(begin).take(many).map(|(key, value)| (&**key, &**value));
    let mut entries: Vec<(&[u8], &[u8])> = entries.collect();
    if backwards {
        entries.reverse();
    }
    Input::Page { entries, more: end.saturating_sub(first) > many }
}

fn change(rows: &mut Hash, changes: Vec<Change>) {
    for Change { key, value } in changes {
        match value {
            Some(value) => drop(rows.set(&key, &value)),
            None => drop(rows.remove(&key)),
        }
    }
}

/// Leaves the changed rows; where there are none but the header, nothing.
fn keep(state: &mut State, rows: Hash, context: &Context<'_>) -> Result<(), Refused> {
    if rows.len() <= 1 {
        state.delete();
        return Ok(());
    }
    // What is over a bound may shrink: it was made under another one.
    let (bytes, entries) = match &state.value {
        Some(Value::Rows(old)) => (old.encoded_bytes(), old.len()),
        _ => (0, 0),
    };
    if rows.encoded_bytes() > context.limits.value_bytes_max.max(bytes)
        || rows.len() > OBJECT_ENTRIES_MAX.max(entries)
    {
        return Err(Refused::Reply(errors::partition_too_large(context.limits)));
    }
    state.put(Value::Rows(rows), 0);
    Ok(())
}

/// The name of the table that a partition's key begins with.
pub(crate) fn table_of(key: &[u8]) -> Option<&str> {
    let name = key.strip_prefix(b"{")?.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(name).ok()
}

/// Removes rows of a table that was dropped: its number is in no catalog any more, and whoever has its rows has a catalog that is no older than
/// the table. What does not say of which table it is stays.
pub(super) fn vacuum(state: &mut State, context: &Context<'_>) -> Reply {
    let rows = match &state.value {
        Some(Value::Rows(rows)) => rows,
        Some(Value::Group(group)) if context.catalog.table_by_id(group.table).is_none() => {
            return Reply::Int(state.delete().into());
        }
        _ => return Reply::Int(0),
    };
    match rows.get(HEADER).map(|bytes| Header::decode(bytes)) {
        Some(Ok(header)) if context.catalog.table_by_id(header.table).is_none() => {
            Reply::Int(state.delete().into())
        }
        _ => Reply::Int(0),
    }
}

/// Whether a value is a partition of the table with this number.
pub(crate) fn is_partition_of(value: Option<&Value>, table: u32) -> bool {
    match value {
        Some(Value::Rows(rows)) => is_of(rows, table),
        Some(Value::Group(group)) => group.table == table,
        _ => false,
    }
}

fn is_of(rows: &Hash, table: u32) -> bool {
    let header = rows.get(HEADER).map(|bytes| Header::decode(bytes));
    matches!(header, Some(Ok(header)) if header.table == table)
}

/// The newest catalog that is known: the key's, or the core's. The key's counts for every flush epoch, and is never dropped, so whatever was chosen
/// once is in all that come later.
fn newest(state: &State, context: &Context<'_>) -> Result<Catalog, sql::Error> {
    let chosen = match &state.value {
        Some(Value::Str(bytes)) => Some(Catalog::decode(bytes)?),
        _ => None,
    };
    let own = context.catalog;
    if planted(543) {
        return Ok(chosen.unwrap_or_default());
    }
    Ok(chosen.filter(|chosen| chosen.version() > own.version()).unwrap_or_else(|| own.clone()))
}

/// Answers the newest catalog's bytes.
pub(super) fn catalog(state: &State, context: &Context<'_>) -> Reply {
    match newest(state, context).and_then(|catalog| catalog.encode()) {
        Ok(bytes) => Reply::Bulk(bytes),
        Err(error) => sql_error(&error),
    }
}

/// Changes the catalog; answers the version of the newest one, which has the change.
pub(super) fn define(sql: &Sql, state: &mut State, context: &Context<'_>) -> Reply {
    match defined(sql, state, context) {
        Ok(Next::Same(version)) => version_reply(version),
        Ok(Next::New(base, next)) => {
            // The version of the record: whatever becomes of the value, no other catalog has that number.
            state.version_floor = state.version_floor.max(base + 1);
            state.touch();
            let next = next.at_version(state.version);
            let bytes = next.encode().expect("it was encoded before, with another number");
            state.put(Value::Str(bytes), 0);
            version_reply(next.version())
        }
        Err(error) => sql_error(&error),
    }
}

fn version_reply(version: u64) -> Reply {
    Reply::Int(i64::try_from(version).expect("versions are below 2^63"))
}

/// What a statement makes of the catalog.
enum Next {
    Same(u64),
    /// Of a catalog of this version.
    New(u64, Catalog),
}

fn defined(sql: &Sql, state: &State, context: &Context<'_>) -> Result<Next, sql::Error> {
    let base = newest(state, context)?;
    let statement = Statement::parse(&sql.text)?;
    let changed = base.change(&statement, &sql.context())?;
    let Some(mut next) = changed.catalog else { return Ok(Next::Same(base.version())) };
    if base.version() >= CATALOG_VERSION_MAX {
        return Err(sql::Error::not_served("the versions of the catalog are used up"));
    }
    for effect in changed.effects {
        if let Effect::FillIndex { table, index } = effect {
            // A partition is filled before the next statement on it, or knows that it is not (`Indexes`).
            next = next.index_filled(table, index).unwrap_or(next);
        }
    }
    let bytes = next.encode()?.len();
    if bytes + VERSION_BYTES_MAX > CATALOG_BYTES_MAX {
        let most = CATALOG_BYTES_MAX - VERSION_BYTES_MAX;
        return Err(sql::Error::not_served(format!("the catalog would have {bytes} bytes, at most {most} are served: drop tables, or use fewer and shorter columns")));
    }
    Ok(Next::New(base.version(), next))
}

/// What a greater version may add to a catalog's bytes.
const VERSION_BYTES_MAX: usize = 10;

/// Whether a client may name this key.
pub(super) fn is_reserved(key: &[u8]) -> bool {
    key == CATALOG_KEY
}

/// Whether a statement began under an older catalog than this: if it is found in an entry, nobody knows by which it was planned.
pub(crate) fn is_of_older_catalog(command: &Command, version: u64) -> bool {
    matches!(command, Command::Key(KeyCommand { op: Op::Sql(sql), .. }) if sql.catalog < version)
}
