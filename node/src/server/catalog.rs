//! All commands: the table of `shard`, and what the host answers besides it.
//!
//! The rows here are tried only after the shard's table has failed, so they cost nothing to commands on data.

use shard::command::table::{self, Keys, Level, Row};
use shard::reply::Reply;

use super::text;

const fn row(
    name: &'static str,
    arity: i8,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
) -> Row {
    Row {
        name,
        arity,
        flags: &["admin", "noscript", "loading", "stale"],
        is_joint: false,
        keys: Keys::NONE,
        categories: &["admin", "slow", "dangerous"],
        group,
        since,
        summary,
        level: Level::Host,
        subcommands: &[],
    }
}

const fn open(row: Row) -> Row {
    Row { flags: &["loading", "stale"], categories: &["slow"], ..row }
}

const SLOWLOG: &[Row] = &[
    row("slowlog|get", -2, "server", "2.2.12", "The newest slow commands."),
    row("slowlog|len", 2, "server", "2.2.12", "How many slow commands are kept."),
    row("slowlog|reset", 2, "server", "2.2.12", "Forgets the slow commands."),
    open(row("slowlog|help", 2, "server", "6.2.0", "Lists the subcommands.")),
];

const LATENCY: &[Row] = &[
    row("latency|latest", 2, "server", "2.8.13", "The newest slow sample of each event."),
    row("latency|history", 3, "server", "2.8.13", "The slow samples of an event."),
    row("latency|reset", -2, "server", "2.8.13", "Forgets the samples of events."),
    row("latency|doctor", 2, "server", "2.8.13", "What the samples say."),
    row("latency|histogram", -2, "server", "7.0.0", "How long commands took."),
    open(row("latency|help", 2, "server", "2.8.13", "Lists the subcommands.")),
];

static EXTRA: &[Row] = &[
    Row { subcommands: SLOWLOG, ..open(row("slowlog", -2, "server", "2.2.12", "Looks at slow commands.")) },
    Row { subcommands: LATENCY, ..open(row("latency", -2, "server", "2.8.13", "Looks at latencies.")) },
];

static EXTRA_SUBCOMMANDS: &[Row] = &[
    row("acl|cat", -2, "server", "6.0.0", "Categories of commands, or the commands of one."),
    row("acl|getuser", 3, "server", "6.0.0", "What a user may do."),
    row("acl|list", 2, "server", "6.0.0", "All users: one."),
    row("acl|users", 2, "server", "6.0.0", "Names of all users: one."),
    open(row("client|caching", 3, "connection", "6.0.0", "Refused: there is no tracking.")),
    open(row("client|getredir", 2, "connection", "6.0.0", "Where invalidations go: nowhere.")),
    open(row("client|trackinginfo", 2, "connection", "6.2.0", "The state of tracking: off.")),
    open(row("function|list", -2, "scripting", "7.0.0", "All libraries: none.")),
    open(row("function|stats", 2, "scripting", "7.0.0", "The running function: none.")),
    row("cluster|addslots", -3, "cluster", "3.0.0", REFUSED),
    row("cluster|addslotsrange", -4, "cluster", "7.0.0", REFUSED),
    row("cluster|bumpepoch", 2, "cluster", "3.0.0", REFUSED),
    row("cluster|count-failure-reports", 3, "cluster", "3.0.0", "Reports that a node failed: none."),
    row("cluster|delslots", -3, "cluster", "3.0.0", REFUSED),
    row("cluster|delslotsrange", -4, "cluster", "7.0.0", REFUSED),
    row("cluster|failover", -2, "cluster", "3.0.0", REFUSED),
    row("cluster|flushslots", 2, "cluster", "3.0.0", REFUSED),
    row("cluster|forget", 3, "cluster", "3.0.0", REFUSED),
    row("cluster|meet", -4, "cluster", "3.0.0", REFUSED),
    row("cluster|replicate", 3, "cluster", "3.0.0", REFUSED),
    row("cluster|reset", -2, "cluster", "3.0.0", REFUSED),
    row("cluster|saveconfig", 2, "cluster", "3.0.0", REFUSED),
    row("cluster|set-config-epoch", 3, "cluster", "3.0.0", REFUSED),
    row("cluster|setslot", -4, "cluster", "3.0.0", REFUSED),
    row("cluster|slaves", 3, "cluster", "3.0.0", "As CLUSTER REPLICAS."),
];

const REFUSED: &str = "Refused: the cluster is made by configuration.";

/// The row of an argument list, subcommand included, with its arity checked; or what to answer the client.
pub fn resolve(args: &[&[u8]]) -> Result<&'static Row, Reply> {
    table::resolve(args).or_else(|error| match extra(args) {
        Some(row) if row.takes(args.len()) => Ok(row),
        Some(row) => Err(text::arity(row.name)),
        None => Err(match (args.first().and_then(|name| find_extra(name)), args.get(1)) {
            (Some(row), Some(sub)) => text::unknown_subcommand(row.name, sub),
            (Some(row), None) => text::arity(row.name),
            (None, _) => error,
        }),
    })
}

fn find_extra(name: &[u8]) -> Option<&'static Row> {
    EXTRA.iter().find(|row| text::is(name, row.name))
}

fn extra(args: &[&[u8]]) -> Option<&'static Row> {
    let (name, sub) = (args.first()?, args.get(1)?);
    if let Some(row) = find_extra(name) {
        return table::subcommand(row, sub);
    }
    let container = table::find(name)?;
    extra_subcommands(container).find(|row| text::is(sub, own_name(row)))
}

/// Subcommands that are here for a container of the shard's table.
fn extra_subcommands(container: &Row) -> impl Iterator<Item = &'static Row> {
    let container = container.name;
    EXTRA_SUBCOMMANDS
        .iter()
        .filter(move |row| row.name.split_once('|').is_some_and(|(of, _)| of == container))
}

/// The last part of a row's name.
pub fn own_name(row: &Row) -> &'static str {
    row.name.split_once('|').map_or(row.name, |(_, own)| own)
}

/// All commands.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    table::rows().chain(EXTRA)
}

/// All subcommands of a command.
pub fn subcommands(row: &'static Row) -> impl Iterator<Item = &'static Row> {
    row.subcommands.iter().chain(extra_subcommands(row))
}

/// The row of `name` or `name|sub`, in any case.
pub fn find(name: &[u8]) -> Option<&'static Row> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let own = parts.next()?;
    let row = table::find(own).or_else(|| find_extra(own))?;
    match parts.next() {
        None => Some(row),
        Some(sub) => subcommands(row).find(|row| text::is(sub, own_name(row))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(line: &str) -> Result<&'static str, String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        resolve(&args).map(|row| row.name).map_err(|reply| match reply {
            Reply::Error(text) => text.into_owned(),
            other => panic!("not an error: {other:?}"),
        })
    }

    #[test]
    fn names_and_errors_as_redis() {
        let table = [
            ("get a", Ok("get")),
            ("SLOWLOG Get", Ok("slowlog|get")),
            ("slowlog", Err("ERR wrong number of arguments for 'slowlog' command")),
            ("slowlog foo", Err("ERR unknown subcommand 'foo'. Try SLOWLOG HELP.")),
            ("slowlog len 1", Err("ERR wrong number of arguments for 'slowlog|len' command")),
            ("acl list", Ok("acl|list")),
            ("acl foo", Err("ERR unknown subcommand 'foo'. Try ACL HELP.")),
            ("cluster meet a 1", Ok("cluster|meet")),
            ("cluster keyslot", Err("ERR wrong number of arguments for 'cluster|keyslot' command")),
            ("client trackinginfo", Ok("client|trackinginfo")),
            ("client id 1", Err("ERR wrong number of arguments for 'client|id' command")),
            ("foo a b c", Err("ERR unknown command 'foo', with args beginning with: 'a' 'b' 'c' ")),
        ];
        for (line, want) in table {
            assert_eq!(resolved(line), want.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn no_row_is_in_both_tables() {
        for row in EXTRA {
            assert!(table::find(row.name.as_bytes()).is_none(), "{}", row.name);
        }
        for row in EXTRA_SUBCOMMANDS {
            let (container, own) = row.name.split_once('|').expect("a subcommand");
            let container = table::find(container.as_bytes()).expect("a container of the shard's table");
            assert!(table::subcommand(container, own.as_bytes()).is_none(), "{}", row.name);
            assert!(find(row.name.as_bytes()).is_some_and(|found| std::ptr::eq(found, row)));
        }
    }
}
