//! ACL, as far as there is one user, who may do everything.

use shard::reply::Reply;

use super::{catalog, text, Server};

const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// ACL with the subcommand `sub` in lower case; `args` are the words behind ACL.
pub(super) fn command(server: &Server, sub: &str, args: &[&[u8]]) -> Reply {
    let rest = args.get(1..).unwrap_or_default();
    match (sub, rest) {
        ("whoami", _) => Reply::bulk("default"),
        ("users", _) => Reply::Array(vec![Reply::bulk("default")]),
        ("list", _) => Reply::Array(vec![Reply::bulk(line(server))]),
        ("getuser", [user]) if *user == b"default" => user_reply(server),
        ("getuser", _) => Reply::NilArray,
        ("cat", []) => Reply::Array(CATEGORIES.iter().map(Reply::bulk).collect()),
        ("cat", [category]) => commands_of(category),
        ("cat", _) => text::arity("acl|cat"),
        _ => text::help("ACL", HELP),
    }
}

/// The user as a rule. The password is shown as unknown: its hash is nobody's business.
fn line(server: &Server) -> &'static str {
    match server.settings.password() {
        None => "user default on nopass ~* &* +@all",
        Some(_) => "user default on #(redacted) ~* &* +@all",
    }
}

fn user_reply(server: &Server) -> Reply {
    let mut flags = vec![Reply::bulk("on")];
    flags.extend(server.settings.password().is_none().then(|| Reply::bulk("nopass")));
    Reply::Map(vec![
        (Reply::bulk("flags"), Reply::Set(flags)),
        (Reply::bulk("passwords"), Reply::Array(vec![])),
        (Reply::bulk("commands"), Reply::bulk("+@all")),
        (Reply::bulk("keys"), Reply::bulk("~*")),
        (Reply::bulk("channels"), Reply::bulk("&*")),
        (Reply::bulk("selectors"), Reply::Array(vec![])),
    ])
}

fn commands_of(category: &[u8]) -> Reply {
    if !CATEGORIES.iter().any(|known| text::is(category, known)) {
        let category = text::printable(category, 128);
        return Reply::Error(format!("ERR Unknown category '{category}'").into());
    }
    let all = catalog::rows().flat_map(|row| std::iter::once(row).chain(catalog::subcommands(row)));
    let of = all.filter(|row| row.categories.iter().any(|own| text::is(category, own)));
    Reply::Array(of.map(|row| Reply::bulk(row.name)).collect())
}

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "GETUSER <username>",
    "    Get the user's details.",
    "LIST",
    "    Show users details in config file format.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];
