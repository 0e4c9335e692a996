//! Rows of the table: commands on keys and on the keyspace.

use super::table::{row, Keys, Row};
use super::{expiry, keys, keyspace, parse, sort};

pub(super) const ONE: Keys = Keys { first: 1, last: 1, step: 1, counted: 0, stored: false };
const SUB: Keys = Keys { first: 2, last: 2, step: 1, counted: 0, stored: false };
const ALL: Keys = Keys { first: 1, last: -1, step: 1, counted: 0, stored: false };
/// All arguments but the last one, which is a time to wait.
pub(super) const ALL_BUT_TIME: Keys = Keys { first: 1, last: -2, step: 1, counted: 0, stored: false };
const PAIRS: Keys = Keys { first: 1, last: -1, step: 2, counted: 0, stored: false };

const OBJECT: &[Row] = &[
    row("object|encoding", 3, "generic", "2.2.3", "How Redis would encode the value.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_key(keys::parse_encoding)
        .keys(SUB),
    row("object|freq", 3, "generic", "4.0.0", "Access frequency: not tracked.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_key(keys::parse_frequency)
        .keys(SUB),
    row("object|idletime", 3, "generic", "2.2.3", "Seconds since the last access: not tracked, always 0.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_key(keys::parse_idle_time)
        .keys(SUB),
    row("object|refcount", 3, "generic", "2.2.3", "References to the value: always 1.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_key(keys::parse_reference_count)
        .keys(SUB),
    row("object|version", 3, "generic", "synod", "The version of a key: another one after each change.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_key(keys::parse_version)
        .keys(SUB),
    row("object|help", 2, "generic", "6.2.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["keyspace", "slow"]),
];

const MEMORY: &[Row] = &[
    row("memory|usage", -3, "server", "4.0.0", "Bytes of the value, as each replica stores it.")
        .flags(&["readonly"], &["read", "slow"])
        .on_key(keys::parse_memory)
        .keys(SUB),
    row("memory|help", 2, "server", "4.0.0", "Lists the subcommands.")
        .flags(&["loading", "stale"], &["slow"]),
];

pub(super) const ROWS: &[Row] = &[
    row("get", 2, "string", "1.0.0", "The value of a key.")
        .flags(&["readonly", "fast"], &["read", "string", "fast"])
        .on_key(parse::get)
        .keys(ONE),
    row("set", -3, "string", "1.0.0", "Sets a key, on conditions and with an expiry if asked.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .on_key(parse::set)
        .keys(ONE),
    row("setex", 4, "string", "2.0.0", "Sets a key that expires after seconds.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .on_key(parse::set_seconds)
        .keys(ONE),
    row("psetex", 4, "string", "2.6.0", "Sets a key that expires after milliseconds.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .on_key(parse::set_milliseconds)
        .keys(ONE),
    row("setnx", 3, "string", "1.0.0", "Sets a key if it is absent.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::set_absent)
        .keys(ONE),
    row("getset", 3, "string", "1.0.0", "Sets a key and answers its old value.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::get_set)
        .keys(ONE),
    row("getdel", 2, "string", "6.2.0", "Deletes a key and answers its value.")
        .flags(&["write", "fast"], &["write", "string", "fast"])
        .on_key(parse::get_delete)
        .keys(ONE),
    row("getex", -2, "string", "6.2.0", "The value of a key, whose expiry is set or removed.")
        .flags(&["write", "fast"], &["write", "string", "fast"])
        .on_key(parse::get_expire)
        .keys(ONE),
    row("getv", 2, "string", "synod", "The version and the value of a key.")
        .flags(&["readonly", "fast"], &["read", "string", "fast"])
        .on_key(parse::get_versioned)
        .keys(ONE),
    row(
        "setv",
        -4,
        "string",
        "synod",
        "Sets a key if it is still at a version (0: absent); answers the new one.",
    )
    .flags(&["write", "denyoom"], &["write", "string", "slow"])
    .on_key(parse::set_versioned)
    .keys(ONE),
    row("mget", -2, "string", "1.0.0", "The values of many keys. Not atomic across keys.")
        .flags(&["readonly", "fast"], &["read", "string", "fast"])
        .on_key(parse::get_many)
        .keys(ALL),
    row("mset", -3, "string", "1.0.1", "Sets many keys. Not atomic across keys.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .on_key(parse::set_many)
        .keys(PAIRS),
    row("incr", 2, "string", "1.0.0", "Adds one to a number.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::increment)
        .keys(ONE),
    row("incrby", 3, "string", "1.0.0", "Adds to a number.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::add)
        .keys(ONE),
    row("incrbyfloat", 3, "string", "2.6.0", "Adds to a decimal number.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::add_float)
        .keys(ONE),
    row("decr", 2, "string", "1.0.0", "Takes one from a number.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::decrement)
        .keys(ONE),
    row("decrby", 3, "string", "1.0.0", "Takes from a number.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::subtract)
        .keys(ONE),
    row("append", 3, "string", "2.0.0", "Appends to a value; an absent key starts empty.")
        .flags(&["write", "denyoom", "fast"], &["write", "string", "fast"])
        .on_key(parse::append)
        .keys(ONE),
    row("strlen", 2, "string", "2.2.0", "The length of a value in bytes.")
        .flags(&["readonly", "fast"], &["read", "string", "fast"])
        .on_key(parse::length)
        .keys(ONE),
    row("getrange", 4, "string", "2.4.0", "A part of a value.")
        .flags(&["readonly"], &["read", "string", "slow"])
        .on_key(parse::get_range)
        .keys(ONE),
    row("substr", 4, "string", "1.0.0", "A part of a value: the old name of GETRANGE.")
        .flags(&["readonly"], &["read", "string", "slow"])
        .on_key(parse::get_range)
        .keys(ONE),
    row("setrange", 4, "string", "2.2.0", "Overwrites a part of a value.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .on_key(parse::set_range)
        .keys(ONE),
    row("digest", 2, "string", "8.4.0", "The XXH3 digest of a value, in hexadecimal.")
        .flags(&["readonly", "fast"], &["read", "string", "fast"])
        .on_key(parse::value_digest)
        .keys(ONE),
    row("del", -2, "generic", "1.0.0", "Deletes keys. Not atomic across keys.")
        .flags(&["write"], &["keyspace", "write", "slow"])
        .on_key(parse::delete)
        .keys(ALL),
    row("unlink", -2, "generic", "4.0.0", "Deletes keys. The same as DEL.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(parse::delete)
        .keys(ALL),
    row("delex", -2, "string", "8.4.0", "Deletes a key if its value is, or is not, a certain one.")
        .flags(&["write", "fast"], &["write", "string", "fast"])
        .on_key(parse::delete_if)
        .keys(ONE),
    row("exists", -2, "generic", "1.0.0", "How many of the keys are present. Not atomic across keys.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(parse::exists)
        .keys(ALL),
    row("touch", -2, "generic", "3.2.1", "How many of the keys are present. The same as EXISTS.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(parse::exists)
        .keys(ALL),
    row("type", 2, "generic", "1.0.0", "The type of a value.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(keys::parse_type)
        .keys(ONE),
    row("ttl", 2, "generic", "1.0.0", "The seconds until a key expires.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(expiry::parse_ttl)
        .keys(ONE),
    row("pttl", 2, "generic", "2.6.0", "The milliseconds until a key expires.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(expiry::parse_pttl)
        .keys(ONE),
    row("expire", -3, "generic", "1.0.0", "Lets a key expire after seconds.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(expiry::parse_expire)
        .keys(ONE),
    row("pexpire", -3, "generic", "2.6.0", "Lets a key expire after milliseconds.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(expiry::parse_pexpire)
        .keys(ONE),
    row("expireat", -3, "generic", "1.2.0", "Lets a key expire at a time in seconds.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(expiry::parse_expire_at)
        .keys(ONE),
    row("pexpireat", -3, "generic", "2.6.0", "Lets a key expire at a time in milliseconds.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(expiry::parse_pexpire_at)
        .keys(ONE),
    row("expiretime", 2, "generic", "7.0.0", "The time in seconds at which a key expires.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(expiry::parse_expire_time)
        .keys(ONE),
    row("pexpiretime", 2, "generic", "7.0.0", "The time in milliseconds at which a key expires.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_key(expiry::parse_pexpire_time)
        .keys(ONE),
    row("persist", 2, "generic", "2.2.0", "Removes the expiry of a key.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .on_key(expiry::parse_persist)
        .keys(ONE),
    row("sort_ro", -2, "generic", "7.0.0", "The elements of a list, a set or a sorted set, in order.")
        .flags(&["readonly", "movablekeys"], &["read", "set", "sortedset", "list", "slow", "dangerous"])
        .on_key(sort::parse_read_only)
        .keys(ONE),
    row("object", -2, "generic", "2.2.3", "Looks at how a value is kept.")
        .flags(&[], &["slow"])
        .subcommands(OBJECT),
    row("memory", -2, "server", "4.0.0", "Says what a value takes.")
        .flags(&[], &["slow"])
        .subcommands(MEMORY),
    row("dbsize", 1, "server", "1.0.0", "The number of keys.")
        .flags(&["readonly", "fast"], &["keyspace", "read", "fast"])
        .on_keyspace(keyspace::parse_size),
    row("keys", 2, "generic", "1.0.0", "All keys that match a pattern.")
        .flags(&["readonly"], &["keyspace", "read", "slow", "dangerous"])
        .on_keyspace(keyspace::parse_keys),
    row("scan", -2, "generic", "2.8.0", "Some keys, and a cursor to go on with.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_keyspace(keyspace::parse_scan),
    row("randomkey", 1, "generic", "1.0.0", "Any key.")
        .flags(&["readonly"], &["keyspace", "read", "slow"])
        .on_keyspace(keyspace::parse_random),
    row("flushall", -1, "server", "1.0.0", "Deletes all keys.")
        .flags(&["write"], &["keyspace", "write", "slow", "dangerous"])
        .on_keyspace(keyspace::parse_flush),
    row("flushdb", -1, "server", "1.0.0", "Deletes all keys: there is one database.")
        .flags(&["write"], &["keyspace", "write", "slow", "dangerous"])
        .on_keyspace(keyspace::parse_flush),
];
