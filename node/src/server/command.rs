//! COMMAND and its subcommands, from the catalog.

use shard::command::glob;
use shard::command::table::Row;
use shard::reply::Reply;

use super::{catalog, text, tips};

/// COMMAND with the subcommand `sub` in lower case, empty for COMMAND alone; `args` are the words behind
/// COMMAND.
pub(super) fn command(sub: &str, args: &[&[u8]]) -> Reply {
    let rest = args.get(1..).unwrap_or_default();
    match sub {
        "" => Reply::Array(catalog::rows().map(row_reply).collect()),
        "count" => Reply::Int(i64::try_from(catalog::rows().count()).unwrap_or(i64::MAX)),
        "info" if rest.is_empty() => Reply::Array(catalog::rows().map(row_reply).collect()),
        "info" => Reply::Array(
            rest.iter().map(|name| catalog::find(name).map_or(Reply::NilArray, row_reply)).collect(),
        ),
        "docs" if rest.is_empty() => Reply::Map(catalog::rows().map(docs).collect()),
        "docs" => Reply::Map(rest.iter().filter_map(|name| catalog::find(name)).map(docs).collect()),
        "list" => list(rest),
        "getkeys" => keys(rest, |key, _| Reply::bulk(key)),
        "getkeysandflags" => keys(rest, |key, row| Reply::Array(vec![Reply::bulk(key), key_flags(row)])),
        _ => text::help("COMMAND", HELP),
    }
}

fn int(number: i8) -> Reply {
    Reply::Int(i64::from(number))
}

/// The ten fields of a command.
fn row_reply(row: &'static Row) -> Reply {
    let words = |words: &[&'static str], prefix: &str| {
        Reply::Set(words.iter().map(|word| Reply::Simple(format!("{prefix}{word}").into())).collect())
    };
    Reply::Array(vec![
        Reply::bulk(row.name),
        int(row.arity),
        words(row.flags, ""),
        int(row.keys.first),
        int(row.keys.last),
        int(row.keys.step),
        words(row.categories, "@"),
        Reply::Set(tips::of(row.name).iter().map(Reply::bulk).collect()),
        Reply::Set(key_specs(row)),
        Reply::Set(catalog::subcommands(row).map(row_reply).collect()),
    ])
}

/// Where the keys are, in the form of Redis 7: from a fixed index on, every so many arguments.
fn key_specs(row: &Row) -> Vec<Reply> {
    if row.keys.is_none() {
        return Vec::new();
    }
    let from = row.keys.first.max(row.keys.counted);
    let begin = Reply::Map(vec![
        (Reply::bulk("type"), Reply::bulk("index")),
        (Reply::bulk("spec"), Reply::Map(vec![(Reply::bulk("index"), int(from))])),
    ]);
    // The last key, counted from the first one, or from the end.
    let last = if row.keys.last < 0 { row.keys.last } else { row.keys.last.saturating_sub(row.keys.first) };
    let range = vec![
        (Reply::bulk("lastkey"), int(last)),
        (Reply::bulk("keystep"), int(row.keys.step)),
        (Reply::bulk("limit"), Reply::Int(0)),
    ];
    let counted = vec![
        (Reply::bulk("keynumidx"), int(0)),
        (Reply::bulk("firstkey"), int(1)),
        (Reply::bulk("keystep"), int(1)),
    ];
    let (kind, spec) = if row.keys.counted > 0 { ("keynum", counted) } else { ("range", range) };
    let find =
        Reply::Map(vec![(Reply::bulk("type"), Reply::bulk(kind)), (Reply::bulk("spec"), Reply::Map(spec))]);
    let spec = |flags: Reply, begin: Reply, find: Reply| {
        Reply::Map(vec![
            (Reply::bulk("flags"), flags),
            (Reply::bulk("begin_search"), begin),
            (Reply::bulk("find_keys"), find),
        ])
    };
    if !row.keys.stored {
        return vec![spec(key_flags(row), begin, find)];
    }
    // Behind an option, which may be anywhere: COMMAND GETKEYS knows.
    let unknown = || {
        let nothing = Reply::Map(Vec::new());
        Reply::Map(vec![(Reply::bulk("type"), Reply::bulk("unknown")), (Reply::bulk("spec"), nothing)])
    };
    vec![spec(flags(&["RO", "access"]), begin, find), spec(flags(&["OW", "update"]), unknown(), unknown())]
}

fn key_flags(row: &Row) -> Reply {
    flags(if row.is_write() { &["RW", "access", "update"] } else { &["RO", "access"] })
}

fn flags(flags: &[&'static str]) -> Reply {
    Reply::Set(flags.iter().map(|flag| Reply::Simple((*flag).into())).collect())
}

fn docs(row: &'static Row) -> (Reply, Reply) {
    let mut fields = vec![
        (Reply::bulk("summary"), Reply::bulk(row.summary)),
        (Reply::bulk("since"), Reply::bulk(row.since)),
        (Reply::bulk("group"), Reply::bulk(row.group)),
    ];
    let subcommands: Vec<_> = catalog::subcommands(row).map(docs).collect();
    if !subcommands.is_empty() {
        fields.push((Reply::bulk("subcommands"), Reply::Map(subcommands)));
    }
    (Reply::bulk(row.name), Reply::Map(fields))
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: subcommands as well.
fn list(rest: &[&[u8]]) -> Reply {
    let names = |rows: &mut dyn Iterator<Item = &'static Row>| {
        Reply::Array(rows.map(|row| Reply::bulk(row.name)).collect())
    };
    let mut all = catalog::rows().flat_map(|row| std::iter::once(row).chain(catalog::subcommands(row)));
    match rest {
        [] => names(&mut all),
        [by, what, value] if text::is(by, "FILTERBY") => match what {
            what if text::is(what, "MODULE") => Reply::Array(vec![]),
            what if text::is(what, "ACLCAT") => {
                names(&mut all.filter(|row| row.categories.iter().any(|own| text::is(value, own))))
            }
            what if text::is(what, "PATTERN") => {
                let pattern = value.to_ascii_lowercase();
                names(&mut all.by_ref().filter(|row| glob(&pattern, row.name.as_bytes())))
            }
            _ => Reply::error(text::SYNTAX),
        },
        _ => Reply::error(text::SYNTAX),
    }
}

fn keys(args: &[&[u8]], show: fn(&[u8], &Row) -> Reply) -> Reply {
    let row = match catalog::resolve(args) {
        Ok(row) => row,
        Err(Reply::Error(text)) if text.starts_with("ERR wrong number") => {
            return Reply::error("ERR Invalid number of arguments specified for command");
        }
        Err(_) => return Reply::error("ERR Invalid command specified"),
    };
    if row.keys.is_none() {
        return Reply::error("ERR The command has no key arguments");
    }
    Reply::Array(row.keys_of(args).map(|key| show(key, row)).collect())
}

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the total number of commands in this server.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <cat>|PATTERN <pattern>)]",
    "    Return a list of all commands in this server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple commands.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple commands.",
    "GETKEYS <full-command>",
    "    Return the keys from a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full command.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_commands_has_their_subcommands() {
        let Reply::Array(names) = list(&[]) else { panic!("a list") };
        for name in ["get", "client", "client|list", "memory|usage", "exec"] {
            assert!(names.contains(&Reply::bulk(name)), "{name}");
        }
    }
}
