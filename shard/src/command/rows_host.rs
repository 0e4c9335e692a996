//! Rows of the table: commands that a host answers by itself. CLUSTER is here with its two keyspace subcommands.

use super::keyspace;
use super::table::{row, Keys, Row};

const CLUSTER: &[Row] = &[
    row("cluster|countkeysinslot", 3, "cluster", "3.0.0", "The number of keys in a slot.")
        .flags(&["stale"], &["slow"])
        .on_keyspace(keyspace::parse_count_in_slot),
    row("cluster|getkeysinslot", 4, "cluster", "3.0.0", "Some keys of a slot.")
        .flags(&["stale"], &["slow"])
        .on_keyspace(keyspace::parse_keys_in_slot),
    row("cluster|help", 2, "cluster", "5.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow"]),
    row("cluster|info", 2, "cluster", "3.0.0", "The state of the cluster, in text.")
        .flags(&["stale"], &["slow"]),
    row("cluster|keyslot", 3, "cluster", "3.0.0", "The slot of a key.").flags(&["stale"], &["slow"]),
    row("cluster|links", 2, "cluster", "7.0.0", "The links to peers.").flags(&["stale"], &["slow"]),
    row("cluster|myid", 2, "cluster", "3.0.0", "The id of this node.").flags(&["stale"], &["slow"]),
    row("cluster|myshardid", 2, "cluster", "7.2.0", "The id of the shard of this node.")
        .flags(&["loading", "stale"], &["slow"]),
    row("cluster|nodes", 2, "cluster", "3.0.0", "All nodes, in text.").flags(&["stale"], &["slow"]),
    row("cluster|replicas", 3, "cluster", "5.0.0", "The replicas of a node.")
        .flags(&["admin", "stale"], &["admin", "slow", "dangerous"]),
    row("cluster|shards", 2, "cluster", "7.0.0", "All shards with slots and nodes.")
        .flags(&["stale"], &["slow"]),
    row("cluster|slots", 2, "cluster", "3.0.0", "Ranges of slots with their nodes.")
        .flags(&["stale"], &["slow"]),
];

const COMMAND: &[Row] = &[
    row("command|count", 2, "server", "2.8.13", "The number of commands.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
    row("command|info", -2, "server", "2.8.13", "Rows of the table of commands.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
    row("command|list", -2, "server", "7.0.0", "The names of commands.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
    row("command|docs", -2, "server", "7.0.0", "What commands do.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
    row("command|getkeys", -4, "server", "2.8.13", "The keys in an argument list.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
    row(
        "command|getkeysandflags",
        -4,
        "server",
        "7.0.0",
        "The keys in an argument list, and how they are used.",
    )
    .flags(&["loading", "stale"], &["slow", "connection"]),
    row("command|help", 2, "server", "5.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
];

const CLIENT: &[Row] = &[
    row("client|id", 2, "connection", "5.0.0", "The id of the connection.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|getname", 2, "connection", "2.6.9", "The name of the connection.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|setname", 3, "connection", "2.6.9", "Names the connection.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|setinfo", 4, "connection", "7.2.0", "Tells name and version of the client library.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|info", 2, "connection", "6.2.0", "What is known of the connection.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|list", -2, "connection", "2.4.0", "All connections.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|kill", -3, "connection", "2.4.0", "Closes connections.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|unblock", -3, "connection", "5.0.0", "Wakes a blocked connection.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|tracking", -3, "connection", "6.0.0", "Tracks keys for client-side caches.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|no-evict", 3, "connection", "7.0.0", "Accepted; nothing is evicted.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|no-touch", 3, "connection", "7.2.0", "Accepted; accesses are not tracked.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|reply", 3, "connection", "3.2.0", "Turns replies on or off.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|pause", -3, "connection", "2.9.50", "Holds commands back.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|unpause", 2, "connection", "6.2.0", "Ends a pause.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous", "connection"]),
    row("client|maint_notifications", -3, "connection", "8.2.0", "Asks for pushes when slots move.")
        .flags(&["noscript", "loading", "stale"], &["slow", "connection"]),
    row("client|help", 2, "connection", "5.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow", "connection"]),
];

const CONFIG: &[Row] = &[
    row("config|get", -3, "server", "2.0.0", "Parameters that match patterns.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous"]),
    row("config|set", -4, "server", "2.0.0", "Sets parameters.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous"]),
    row("config|resetstat", 2, "server", "2.0.0", "Sets the counters of INFO to zero.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous"]),
    row("config|rewrite", 2, "server", "2.8.0", "Writes the configuration file anew.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous"]),
    row("config|help", 2, "server", "5.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow"]),
];

const MODULE: &[Row] = &[
    row("module|list", 2, "server", "4.0.0", "All modules: none.")
        .flags(&["admin", "noscript"], &["admin", "slow", "dangerous"]),
    row("module|help", 2, "server", "5.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow"]),
];

const FUNCTION: &[Row] = &[
    row("function|flush", -2, "scripting", "7.0.0", "Deletes all functions: none.")
        .flags(&["write", "noscript"], &["write", "slow", "scripting"]),
    row("function|help", 2, "scripting", "7.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow", "scripting"]),
];

const ACL: &[Row] = &[
    row("acl|whoami", 2, "server", "6.0.0", "The user of the connection.")
        .flags(&["noscript", "loading", "stale"], &["slow"]),
    row("acl|help", 2, "server", "6.0.0", "Lists the subcommands.").flags(&["loading", "stale"], &["slow"]),
];

pub(super) const ROWS: &[Row] = &[
    row("cluster", -2, "cluster", "3.0.0", "Looks at the cluster.")
        .flags(&[], &["slow"])
        .subcommands(CLUSTER),
    row("ping", -1, "connection", "1.0.0", "Answers PONG, or the argument.")
        .flags(&["fast"], &["fast", "connection"]),
    row("echo", 2, "connection", "1.0.0", "Answers the argument.")
        .flags(&["loading", "stale", "fast"], &["fast", "connection"]),
    row("quit", -1, "connection", "1.0.0", "Closes the connection.")
        .flags(&["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], &["fast", "connection"]),
    row("reset", 1, "connection", "6.2.0", "Puts the connection into its first state.")
        .flags(&["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], &["fast", "connection"]),
    row("auth", -2, "connection", "1.0.0", "Gives a password.")
        .flags(&["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], &["fast", "connection"]),
    row("hello", -1, "connection", "6.0.0", "Chooses the protocol, and may give a password.")
        .flags(&["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], &["fast", "connection"]),
    row("select", 2, "connection", "1.0.0", "Chooses a database: there is one, 0.")
        .flags(&["loading", "stale", "fast"], &["fast", "connection"]),
    row("multi", 1, "transactions", "1.2.0", "Begins a transaction, on keys of one slot.")
        .flags(&["noscript", "loading", "stale", "fast", "allow_busy"], &["fast", "transaction"]),
    row("exec", 1, "transactions", "1.2.0", "Runs what was queued since MULTI, as one step.")
        .flags(&["noscript", "loading", "stale", "skip_slowlog"], &["slow", "transaction"]),
    row("discard", 1, "transactions", "2.0.0", "Forgets what was queued since MULTI.")
        .flags(&["noscript", "loading", "stale", "fast", "allow_busy"], &["fast", "transaction"]),
    row("watch", -2, "transactions", "2.2.0", "EXEC does nothing if a watched key has changed by then.")
        .flags(&["noscript", "loading", "stale", "fast", "allow_busy"], &["fast", "transaction"])
        .keys(Keys { first: 1, last: -1, step: 1, counted: 0, stored: false }),
    row("unwatch", 1, "transactions", "2.2.0", "Watches no key any more.")
        .flags(&["noscript", "loading", "stale", "fast", "allow_busy"], &["fast", "transaction"]),
    row(
        "reqid",
        -4,
        "transactions",
        "synod",
        "Numbers a write of a client, so that it is done once however often it is sent.",
    )
    .flags(&["write", "denyoom", "movablekeys"], &["write", "slow"])
    .keys(Keys { first: 4, last: 4, step: 1, counted: 0, stored: false }),
    row("sql", -2, "sql", "synod", "Runs a statement of SQL on a table: docs/sql.md.")
        .flags(&["write", "denyoom"], &["write", "slow"]),
    row("time", 1, "server", "2.6.0", "The time of the host.")
        .flags(&["loading", "stale", "fast"], &["fast"]),
    row("command", -1, "server", "2.8.13", "All commands.")
        .flags(&["loading", "stale"], &["slow", "connection"])
        .subcommands(COMMAND),
    row("client", -2, "connection", "2.4.0", "Looks at connections.")
        .flags(&[], &["slow"])
        .subcommands(CLIENT),
    row("config", -2, "server", "2.0.0", "Reads and sets parameters.")
        .flags(&[], &["slow"])
        .subcommands(CONFIG),
    row("info", -1, "server", "1.0.0", "The state of the host, in text.")
        .flags(&["loading", "stale"], &["slow", "dangerous"]),
    row("readonly", 1, "cluster", "3.0.0", "Accepted; every node answers reads with the newest value.")
        .flags(&["loading", "stale", "fast"], &["fast", "connection"]),
    row("readwrite", 1, "cluster", "3.0.0", "Accepted; see READONLY.")
        .flags(&["loading", "stale", "fast"], &["fast", "connection"]),
    row("asking", 1, "cluster", "3.0.0", "Accepted; see READONLY.").flags(&["fast"], &["fast", "connection"]),
    row("wait", 3, "generic", "3.0.0", "How many other replicas have the writes of this connection.")
        .flags(&["noscript"], &["slow", "connection"]),
    row("waitaof", 4, "generic", "7.2.0", "As WAIT, for writes that are synced: all are.")
        .flags(&["blocking"], &["slow", "blocking", "connection"]),
    row("module", -2, "server", "4.0.0", "Looks at modules: there are none.")
        .flags(&[], &["slow"])
        .subcommands(MODULE),
    row("function", -2, "scripting", "7.0.0", "Looks at functions: there are none.")
        .flags(&[], &["slow"])
        .subcommands(FUNCTION),
    row("debug", -2, "server", "1.0.0", "For tests.")
        .flags(&["admin", "noscript", "loading", "stale"], &["admin", "slow", "dangerous"]),
    row("acl", -2, "server", "6.0.0", "Looks at users.").flags(&[], &["slow"]).subcommands(ACL),
    row("shutdown", -1, "server", "1.0.0", "Ends the process after its clients have been answered.").flags(
        &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
        &["admin", "slow", "dangerous"],
    ),
    row("lastsave", 1, "server", "1.0.0", "The time of the last save: now, all is synced.")
        .flags(&["loading", "stale", "fast"], &["admin", "fast", "dangerous"]),
];
