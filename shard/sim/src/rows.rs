//! Keys that are partitions of a table: one row of each stands for a value, and commands are said as statements.
//!
//! Where the table is not there the key has no value: so a statement that reads is answered, and one that writes was not done.

use shard::command::{Command, KeyCommand, Limits, Op, Planned, Sql};
use shard::reply::Reply;
use shard::state::Value;
use sql::{Context, Plan, Statement};
use synod_bench::history;

use crate::ledger::TOKEN_BYTES;
use crate::workload::Told;

/// The table.
pub const TABLE: &str = "kv";

/// What makes it.
pub const CREATE: &str = "CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT)";

/// The key of a partition that has this name.
pub fn key_of(name: &str) -> Vec<u8> {
    format!("{{{TABLE}:{name}}}").into_bytes()
}

/// The name of a partition; None: the key is none.
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(b"{kv:")?.strip_suffix(b"}")
}

/// The value that a partition stands for: the one token in it.
pub fn text_of(value: &Value) -> Vec<u8> {
    let Value::Rows(rows) = value else { return Vec::new() };
    let is_token = |bytes: &&[u8]| {
        bytes.last() == Some(&b';') && bytes[..TOKEN_BYTES - 1].iter().all(u8::is_ascii_digit)
    };
    let of = |bytes: &[u8]| bytes.windows(TOKEN_BYTES).find(is_token).map(<[u8]>::to_vec);
    rows.iter().find_map(|(_, bytes)| of(bytes)).unwrap_or_default()
}

/// Whether a command can be said as a statement.
pub fn is_said(command: &history::Command) -> bool {
    use history::Command::{Clear, CompareSet, Del, Exists, Get, Set, SetIfAbsent};
    matches!(command, Get | Set(_) | SetIfAbsent(_) | CompareSet { .. } | Del | Clear | Exists)
}

/// The statement of a command.
pub fn statement(key: &[u8], command: &history::Command) -> Command {
    use history::Command::{Clear, CompareSet, Del, Exists, Get, Set, SetIfAbsent};
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = text(name_of(key).expect("the key is a partition's"));
    let said = match command {
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
    };
    let writes = !command.is_read();
    Command::Key(KeyCommand { key: key.into(), op: Op::Sql(Box::new(sql_of(&said, writes))) })
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
    let words: [&[u8]; 3] = [b"HGET", key, b"v"];
    match Command::parse(&words, &Limits::default()) {
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
pub fn told(command: &history::Command, reply: &Reply) -> Told {
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
        (Get | Exists, Reply::Array(lines)) => match lines.get(1) {
            Some(Reply::Array(row)) => match row.first() {
                Some(Reply::Bulk(value)) => known(history::Reply::Value(value.clone())),
                Some(Reply::Int(count)) => known(history::Reply::Int(*count)),
                _ => known(history::Reply::Nil),
            },
            _ => known(history::Reply::Nil),
        },
        (Set(_) | CompareSet { .. }, Reply::Int(_)) => known(history::Reply::Ok),
        (_, Reply::Int(count)) => known(history::Reply::Int(*count)),
        _ => known(history::Reply::Nil),
    }
}

/// Whether an error says that there is no such table.
pub fn is_of_no_table(text: &str) -> bool {
    text.starts_with("SQL 42P01 ")
}
