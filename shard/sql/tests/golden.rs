//! Golden scripts: a line is a statement, `-- $1 = 'value'` in front of it gives parameters, and the lines that follow are what came of it.
//!
//! Scripts lie in tests/scripts. `UPDATE_SCRIPTS=1` writes what came in place of what was expected; review the diff. `@ page 2` gives scans in
//! pages of two, `@ now 2024-…` sets the time, `@ hash key` reads a row as a hash, `@ keys` shows partitions, `@ cursor SELECT …` runs a
//! SELECT page by page.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sql::{hash_fields, parse_hash_key, ColumnType, Datum, Error, Reply, Type};

use crate::store::Store;

fn show(result: Result<Reply, Error>) -> String {
    match result {
        Ok(Reply::Count(count)) => format!("{count}"),
        Ok(Reply::NotApplied) => "not applied".to_owned(),
        Ok(Reply::Rows(rows)) => {
            let names: Vec<&str> = rows.columns.iter().map(|(name, _)| name.as_str()).collect();
            let mut out = names.join(" | ");
            for row in &rows.rows {
                let values: Vec<String> =
                    row.iter().map(|value| value.text().unwrap_or("∅".to_owned())).collect();
                write!(out, "\n{}", values.join(" | ")).expect("a string takes all");
            }
            if let Some(cursor) = rows.cursor {
                write!(out, "\ncursor {cursor}").expect("a string takes all");
            }
            out
        }
        Err(error) => format!("{:?} {}: {error}", error.kind, error.state),
    }
}

struct Script {
    store: Store,
    parameters: Vec<Vec<u8>>,
    out: String,
}

impl Script {
    fn run(&mut self, line: &str) -> String {
        if let Some(rest) = line.strip_prefix("-- $") {
            let (_, value) = rest.split_once(" = ").expect("a parameter has a value");
            let text = value.trim_matches('\'');
            let bytes = text.strip_prefix("bytes ").map(|bytes| {
                bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect()
            });
            self.parameters.push(bytes.unwrap_or_else(|| text.as_bytes().to_vec()));
            return String::new();
        }
        let parameters = std::mem::take(&mut self.parameters);
        let Some(call) = line.strip_prefix("@ ") else {
            return show(self.store.run(line.as_bytes(), &parameters));
        };
        let (name, rest) = call.split_once(' ').unwrap_or((call, ""));
        match name {
            "page" => self.store.page = rest.parse().expect("a number"),
            "now" => {
                let Ok(Datum::Timestamp(micros)) =
                    Datum::parse(rest, ColumnType { kind: Type::Timestamp, precision: None })
                else {
                    panic!("a time")
                };
                self.store.now_micros = micros;
            }
            "hash" => return self.hash(rest),
            "keys" => {
                let tables: Vec<_> = self.store.catalog.tables().cloned().collect();
                let shown = self.store.partitions.iter().map(|((table, key), contents)| {
                    let table =
                        tables.iter().find(|held| held.id == *table).expect("partitions are of tables");
                    let partition =
                        sql::Partition::of_key(table, key.clone()).expect("the key of a partition");
                    format!("{}: {} keys", partition.routing, contents.len())
                });
                return shown.collect::<Vec<_>>().join("\n");
            }
            "cursor" => return self.pages(rest, &parameters),
            other => panic!("no such call: {other}"),
        }
        String::new()
    }

    fn hash(&self, key: &str) -> String {
        match parse_hash_key(&self.store.catalog, key.as_bytes()) {
            None => "an ordinary key".to_owned(),
            Some(key) => {
                let contents = self.store.partitions.get(&(key.table.id, key.partition.key.clone()));
                match contents.and_then(|contents| contents.get(&key.row)) {
                    None => format!("{}: no row", key.partition.routing),
                    Some(bytes) => {
                        let fields = hash_fields(&key, bytes).expect("a row");
                        fields.iter().map(|(field, value)| format!("{field} = {value}\n")).collect()
                    }
                }
            }
        }
    }

    fn pages(&mut self, sql: &str, parameters: &[Vec<u8>]) -> String {
        let (mut cursor, mut out) = ("0".to_owned(), String::new());
        loop {
            match self.store.run(format!("{sql} CURSOR '{cursor}'").as_bytes(), parameters) {
                Ok(Reply::Rows(mut rows)) => {
                    cursor = rows.cursor.take().expect("a page has a cursor");
                    let shown = show(Ok(Reply::Rows(rows)));
                    writeln!(out, "page: {}", shown.lines().skip(1).collect::<Vec<_>>().join(", "))
                        .expect("a string takes all");
                }
                other => return out + &show(other),
            }
            if cursor == "0" {
                return out;
            }
        }
    }
}

fn run(path: &Path) {
    let text = std::fs::read_to_string(path).expect("the script can be read");
    let mut script = Script { store: Store::default(), parameters: Vec::new(), out: String::new() };
    for line in text.lines() {
        if line.starts_with("  ") {
            continue;
        }
        writeln!(script.out, "{line}").expect("a string takes all");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for shown in script.run(line).lines() {
            writeln!(script.out, "  {shown}").expect("a string takes all");
        }
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        std::fs::write(path, &script.out).expect("the script can be written");
    } else {
        assert_eq!(script.out, text, "{}", path.display());
    }
}

#[test]
fn scripts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(folder).expect("there are scripts");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(paths.len() >= 6, "the scripts are there");
    paths.iter().for_each(|path| run(path));
}
