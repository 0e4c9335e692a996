//! Keys that are partitions of a table: the rows of each stand for a value, and commands are said as statements.
//!
//! Where the table is not there the key has no value: so a statement that reads is answered, and one that writes was not done.

use shard::command::{Command, KeyCommand, Limits, Op, Planned, Sql};
use shard::reply::Reply;
use sql::{Context, Plan, Statement};
use synod_bench::history;

use crate::ledger::TOKEN_BYTES;
use crate::workload::Told;

/// Rows of each partition in the large layout that has any: all have the value.
pub const ROWS: i64 = 3;

/// Bytes of each of them that mean nothing: so that trees are flushed.
const FILLING_BYTES: usize = 200;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// In the small layout. A partition has one row.
    Small,
    /// In the large layout. A partition has [`ROWS`], which are written, and read, together.
    Large,
}

impl Table {
    /// Both.
    const ALL: [Table; 2] = [Table::Small, Table::Large];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Small => "kv",
            Table::Large => "big",
        }
    }

    /// What makes it.
    pub fn create(self) -> &'static str {
        match self {
            Table::Small => "CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT)",
            Table::Large => {
                "CREATE TABLE big (k TEXT, n INT, v TEXT, w TEXT, PRIMARY KEY (k, n)) WITH (layout = 'large')"
            }
        }
    }
}

/// The key of a partition that has this name.
pub fn key_of(table: Table, name: &str) -> Vec<u8> {
    format!("{{{}:{name}}}", table.name()).into_bytes()
}

/// The table and the name of a partition; None: the key is none.
pub fn partition_of(key: &[u8]) -> Option<(Table, &[u8])> {
    let within = key.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let name_in = |table: Table| within.strip_prefix(table.name().as_bytes())?.strip_prefix(b":");
    Table::ALL.into_iter().find_map(|table| Some((table, name_in(table)?)))
}

/// The name of a partition; None: the key is none.
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    partition_of(key).map(|(_, name)| name)
}

/// The value that the rows of a partition stand for: the one token in them.
pub fn text_of<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let is_token = |bytes: &&[u8]| {
        bytes.last() == Some(&b';') && bytes[..TOKEN_BYTES - 1].iter().all(u8::is_ascii_digit)
    };
    let of = |bytes: &[u8]| bytes.windows(TOKEN_BYTES).find(is_token).map(<[u8]>::to_vec);
    rows.into_iter().find_map(of).unwrap_or_default()
}

/// Whether a command can be said as a statement.
pub fn is_said(command: &history::Command) -> bool {
    use history::Command::{Clear, CompareSet, Del, Exists, Get, Set, SetIfAbsent};
    matches!(command, Get | Set(_) | SetIfAbsent(_) | CompareSet { .. } | Del | Clear | Exists)
}

/// The statement of a command.
pub fn statement(key: &[u8], command: &history::Command) -> Command {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (table, name) = partition_of(key).expect("the key is a partition's");
    let name = text(name);
    let said = match table {
        Table::Small => said_small(&name, command, text),
        Table::Large => said_large(&name, command, text),
    };
    let writes = !command.is_read();
    Command::Key(KeyCommand { key: key.into(), op: Op::Sql(Box::new(sql_of(&said, writes))) })
}

fn said_small(name: &str, command: &history::Command, text: impl Fn(&[u8]) -> String) -> String {
    use history::Command::{Clear, CompareSet, Del, Exists, Get, Set, SetIfAbsent};
    match command {
        Get => format!("SELECT v FROM kv WHERE k = '{name}'"),
        Exists => format!("SELECT count(*) FROM kv WHERE k = '{name}'"),
        Set(value) => format!("UPSERT INTO kv (k, v) VALUES ('{name}', '{}')", text(value)),
        SetIfAbsent(value) => {
            format!("INSERT INTO kv (k, v) VALUES ('{name}', '{}') ON CONFLICT DO NOTHING", text(value))
        }
        CompareSet { expected, value } => {
            let (expected, value) = (text(expected), text(value));
            format!("UPDATE kv SET v = '{value}' WHERE k = '{name}' IF v = '{expected}'")
        }
        Del | Clear => format!("DELETE FROM kv WHERE k = '{name}'"),
        other => unreachable!("no statement says {other:?}"),
    }
}

fn said_large(name: &str, command: &history::Command, text: impl Fn(&[u8]) -> String) -> String {
    use history::Command::{Clear, CompareSet, Del, Exists, Get, Set, SetIfAbsent};
    let rows = |value: &[u8]| {
        let (value, filling) = (text(value), "x".repeat(FILLING_BYTES));
        let row = |n: i64| format!("('{name}', {n}, '{value}', '{filling}')");
        (0..ROWS).map(row).collect::<Vec<String>>().join(", ")
    };
    // All rows: of every other partition by the index of the values, while there is one.
    let by_value = name.bytes().map(usize::from).sum::<usize>() % 2 == 0;
    let all = if by_value { "v >= ''".to_owned() } else { format!("n < {ROWS}") };
    match command {
        Get => format!("SELECT v FROM big WHERE k = '{name}' AND {all}"),
        Exists => format!("SELECT count(*) FROM big WHERE k = '{name}'"),
        Set(value) => format!("UPSERT INTO big (k, n, v, w) VALUES {}", rows(value)),
        SetIfAbsent(value) => {
            format!("INSERT INTO big (k, n, v, w) VALUES {} ON CONFLICT DO NOTHING", rows(value))
        }
        CompareSet { expected, value } => {
            let (expected, value) = (text(expected), text(value));
            format!("UPDATE big SET v = '{value}' WHERE k = '{name}' AND {all} IF v = '{expected}'")
        }
        Del | Clear => format!("DELETE FROM big WHERE k = '{name}' AND {all}"),
        other => unreachable!("no statement says {other:?}"),
    }
}

/// A statement with what it is run with.
pub fn sql_of(text: &str, writes: bool) -> Sql {
    let (now_micros, random) = (1_700_000_000_000_000, [1, 2]);
    let text = text.as_bytes().into();
    Sql {
        text,
        parameters: Vec::new(),
        now_micros,
        random,
        catalog: 0,
        writes,
        share: None,
        planned: Planned::default(),
    }
}

/// A read of the value as that of a hash's field.
pub fn hash_read(key: &[u8]) -> Command {
    let is_large = partition_of(key).is_some_and(|(table, _)| table == Table::Large);
    // Of a partition that has several rows the second one.
    let row = if is_large { [key, b":1"].concat() } else { key.to_vec() };
    let words: [&[u8]; 3] = [b"HGET", &row, b"v"];
    match Command::parse(&words, &Limits::default()) {
        Ok(Command::Key(read)) if is_large => Command::Key(read.at_row()),
        Ok(Command::Key(read)) => Command::Key(read.at_name()),
        other => unreachable!("it is a read of a key: {other:?}"),
    }
}

/// What a session says of a statement by a catalog: nothing, if it can be sent.
pub fn refusal(catalog: &sql::Catalog, sql: &Sql) -> Option<Reply> {
    let context = Context { parameters: &sql.parameters, now_micros: sql.now_micros, random: sql.random };
    let planned = Statement::parse(&sql.text).and_then(|parsed| Plan::new(catalog, &parsed, &context));
    planned.err().map(|error| shard::command::sql_error(&error))
}

/// What a reply says to the client that asked.
pub fn told(table: Table, command: &history::Command, reply: &Reply) -> Told {
    use history::Command::{CompareSet, Exists, Get, Set};
    let known = |reply: history::Reply| Told::Reply(reply, None);
    match (command, reply) {
        (_, Reply::Error(text)) if text.starts_with("UNCERTAIN") => Told::Unknown,
        (Get, Reply::Error(text)) if is_of_no_table(text) => known(history::Reply::Nil),
        (Exists, Reply::Error(text)) if is_of_no_table(text) => known(history::Reply::Int(0)),
        (_, Reply::Error(_)) => Told::Failed,
        // Read as a hash: the value, nothing, or that there are rows of no table.
        (Get, Reply::Array(found)) if !matches!(found.first(), Some(Reply::Array(_))) => {
            match found.first() {
                Some(Reply::Bulk(value)) => known(history::Reply::Value(value.clone())),
                Some(Reply::Error(text)) if !text.starts_with("WRONGTYPE") => Told::Failed,
                _ => known(history::Reply::Nil),
            }
        }
        // Of a row by its own name the value alone.
        (Get, Reply::Bulk(value)) => known(history::Reply::Value(value.clone())),
        (Get, Reply::Array(lines)) => known(read(table, lines)),
        (Exists, Reply::Array(lines)) => match first_of(lines.get(1)) {
            Some(Reply::Int(count)) => known(history::Reply::Int(partitions(table, *count))),
            _ => known(history::Reply::Nil),
        },
        (Set(_) | CompareSet { .. }, Reply::Int(_)) => known(history::Reply::Ok),
        (_, Reply::Int(count)) => known(history::Reply::Int(partitions(table, *count))),
        _ => known(history::Reply::Nil),
    }
}

fn first_of(line: Option<&Reply>) -> Option<&Reply> {
    match line {
        Some(Reply::Array(row)) => row.first(),
        _ => None,
    }
}

/// What was read: the value of all rows. Where they do not have the same, or some are missing, it is a value that nobody writes.
fn read(table: Table, lines: &[Reply]) -> history::Reply {
    let values: Vec<&[u8]> = lines[1..]
        .iter()
        .filter_map(|line| match first_of(Some(line)) {
            Some(Reply::Bulk(value)) => Some(&value[..]),
            _ => None,
        })
        .collect();
    let Some(first) = values.first() else { return history::Reply::Nil };
    let is_whole = partitions(table, values.len() as i64) == 1;
    match is_whole && values.iter().all(|value| value == first) {
        true => history::Reply::Value(first.to_vec()),
        false => history::Reply::Value(values.join(&b'+')),
    }
}

/// How many values so many rows are. A part of one is less than none, which nobody believes.
fn partitions(table: Table, rows: i64) -> i64 {
    match table {
        Table::Small => rows,
        Table::Large if rows % ROWS == 0 => rows / ROWS,
        Table::Large => -rows,
    }
}

/// Whether an error says that there is no such table.
pub fn is_of_no_table(text: &str) -> bool {
    text.starts_with("SQL 42P01 ")
}
