//! The table: every row is answered by somebody, and every parser of arguments is behind a row.

use std::collections::BTreeSet;

use shard::command::table::{self, Level, Row};
use shard::command::{Command, Limits, Pop};

/// All rows, subcommands included.
fn all() -> Vec<&'static Row> {
    table::rows().flat_map(|row| std::iter::once(row).chain(row.subcommands)).collect()
}

/// The fewest arguments of a row, of a kind that fits it.
fn fewest(row: &Row) -> Vec<Vec<u8>> {
    let mut args: Vec<Vec<u8>> = row.name.split('|').map(|word| word.as_bytes().to_vec()).collect();
    while args.len() < usize::from(row.arity.unsigned_abs()) {
        args.push(b"1".to_vec());
    }
    // What cannot be a number.
    if row.name == "linsert" {
        args[2] = b"BEFORE".to_vec();
    }
    if row.name.ends_with("mpop") {
        *args.last_mut().expect("there are some") =
            if row.name.contains('l') { b"LEFT" } else { &b"MIN"[..] }.to_vec();
    }
    if row.name.ends_with("lmove") {
        (args[3], args[4]) = (b"LEFT".to_vec(), b"RIGHT".to_vec());
    }
    if matches!(row.keys.counted, 1 | 2) && row.group == "sorted-set" && !row.name.ends_with("pop") {
        args[row.keys.counted as usize] = b"1".to_vec();
    }
    // Keys that are one would be one.
    if matches!(row.name, "copy" | "rename" | "renamenx" | "smove" | "lmove" | "rpoplpush" | "zrangestore") {
        args[2] = b"2".to_vec();
    }
    if row.name.starts_with('z') && row.name.contains("lex") {
        (args[2], args[3]) = (b"-".to_vec(), b"+".to_vec());
    }
    args
}

fn parse(args: &[Vec<u8>]) -> Result<Command, shard::reply::Reply> {
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    Command::parse(&args, &Limits::default())
}

#[test]
fn every_row_parses_with_its_fewest_arguments() {
    for row in all() {
        let parsed = parse(&fewest(row));
        match row.level {
            Level::Host => assert!(parsed.is_err(), "{} is answered by the host", row.name),
            Level::Key(_) => {
                let command = parsed.expect(row.name);
                assert!(!matches!(command, Command::Keyspace(_)), "{}", row.name);
                let args = fewest(row);
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                let named = row.keys_of(&args).map(<[u8]>::to_vec);
                if let Command::Joint(joint) = &command {
                    let named: BTreeSet<Vec<u8>> = named.collect();
                    let keys: BTreeSet<Vec<u8>> = joint.keys.iter().map(|key| key.to_vec()).collect();
                    assert_eq!((keys.len(), &keys), (joint.keys.len(), &named), "{}", row.name);
                    continue;
                }
                let keys: Vec<Vec<u8>> =
                    command.split().parts.iter().map(|part| part.key().expect(row.name).to_vec()).collect();
                assert_eq!(keys, named.collect::<Vec<_>>(), "{}", row.name);
            }
            Level::Pop(_) => {
                assert!(parsed.is_err(), "{} is no command on one key", row.name);
                let args = fewest(row);
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                let pop = Pop::parse_row(row, &args, &Limits::default()).expect(row.name);
                let keys: Vec<&[u8]> = pop.keys.iter().chain(&pop.to).map(|key| &**key).collect();
                assert_eq!(keys, row.keys_of(&args).collect::<Vec<_>>(), "{}", row.name);
            }
            Level::Keyspace(_) => {
                assert!(matches!(parsed.expect(row.name), Command::Keyspace(_)), "{}", row.name);
            }
        }
    }
}

#[test]
fn one_argument_fewer_or_more_is_an_arity_error() {
    for row in all() {
        let text = format!("Error(\"ERR wrong number of arguments for '{}' command\")", row.name);
        let mut args = fewest(row);
        if row.arity >= 0 {
            args.push(b"1".to_vec());
            assert_eq!(format!("{:?}", parse(&args).expect_err(row.name)), text);
            args.pop();
        }
        args.pop();
        if args.len() == row.name.split('|').count() {
            assert_eq!(format!("{:?}", parse(&args).expect_err(row.name)), text);
        }
    }
}

#[test]
fn flags_agree_with_what_commands_do() {
    for row in all() {
        if let Level::Key(_) = row.level {
            let command = parse(&fewest(row)).expect(row.name);
            // GETEX without an option, SORT without STORE and XX-less DELEX are told apart by their arguments alone.
            if !matches!(row.name, "getex" | "sort") {
                assert_eq!(row.is_write(), command.is_write(), "{}", row.name);
            }
            assert_ne!(row.is_write(), row.has_flag("readonly"), "{}", row.name);
        }
    }
}

#[test]
fn rows_are_complete() {
    let rows = all();
    assert!(rows.len() > 100, "rows are missing");
    for row in rows {
        let name = row.name;
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(
            row.arity != 0 && !row.group.is_empty() && !row.since.is_empty() && row.summary.ends_with('.'),
            "{name}"
        );
        assert_eq!(row.keys.first == 0, row.keys.step == 0, "{name}");
        assert!(row.has_flag("fast") == row.categories.contains(&"fast"), "{name}");
        assert!(row.subcommands.is_empty() || row.keys.first == 0, "{name}");
        for sub in row.subcommands {
            assert!(sub.name.starts_with(&format!("{name}|")) && sub.subcommands.is_empty(), "{}", sub.name);
        }
    }
}
