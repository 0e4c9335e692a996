//! Rows of the table: commands on hashes.

use super::hash;
use super::rows_data::ONE;
use super::table::{row, Row};

pub(super) const ROWS: &[Row] = &[
    row("hset", -4, "hash", "2.0.0", "Sets fields of a hash.")
        .flags(&["write", "denyoom", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_set)
        .keys(ONE),
    row("hmset", -4, "hash", "2.0.0", "Sets fields of a hash: the old name of HSET.")
        .flags(&["write", "denyoom", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_set_many)
        .keys(ONE),
    row("hsetnx", 4, "hash", "2.0.0", "Sets a field of a hash if it is absent.")
        .flags(&["write", "denyoom", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_set_if_absent)
        .keys(ONE),
    row("hget", 3, "hash", "2.0.0", "The value of a field.")
        .flags(&["readonly", "fast"], &["read", "hash", "fast"])
        .on_key(hash::parse_get)
        .keys(ONE),
    row("hmget", -3, "hash", "2.0.0", "The values of fields.")
        .flags(&["readonly", "fast"], &["read", "hash", "fast"])
        .on_key(hash::parse_get_many)
        .keys(ONE),
    row("hgetall", 2, "hash", "2.0.0", "All fields and their values.")
        .flags(&["readonly"], &["read", "hash", "slow"])
        .on_key(hash::parse_get_all)
        .keys(ONE),
    row("hkeys", 2, "hash", "2.0.0", "All fields.")
        .flags(&["readonly"], &["read", "hash", "slow"])
        .on_key(hash::parse_fields)
        .keys(ONE),
    row("hvals", 2, "hash", "2.0.0", "All values.")
        .flags(&["readonly"], &["read", "hash", "slow"])
        .on_key(hash::parse_values)
        .keys(ONE),
    row("hlen", 2, "hash", "2.0.0", "How many fields there are.")
        .flags(&["readonly", "fast"], &["read", "hash", "fast"])
        .on_key(hash::parse_count)
        .keys(ONE),
    row("hexists", 3, "hash", "2.0.0", "Whether there is a field.")
        .flags(&["readonly", "fast"], &["read", "hash", "fast"])
        .on_key(hash::parse_exists)
        .keys(ONE),
    row("hstrlen", 3, "hash", "3.2.0", "The length of a field's value in bytes.")
        .flags(&["readonly", "fast"], &["read", "hash", "fast"])
        .on_key(hash::parse_length)
        .keys(ONE),
    row("hdel", -3, "hash", "2.0.0", "Removes fields; the last one takes the key with it.")
        .flags(&["write", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_delete)
        .keys(ONE),
    row("hincrby", 4, "hash", "2.0.0", "Adds to a number in a field.")
        .flags(&["write", "denyoom", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_add)
        .keys(ONE),
    row("hincrbyfloat", 4, "hash", "2.6.0", "Adds to a decimal number in a field.")
        .flags(&["write", "denyoom", "fast"], &["write", "hash", "fast"])
        .on_key(hash::parse_add_float)
        .keys(ONE),
    row("hrandfield", -2, "hash", "6.2.0", "Fields by chance, with their values if asked.")
        .flags(&["readonly"], &["read", "hash", "slow"])
        .on_key(hash::parse_random)
        .keys(ONE),
    row("hscan", -3, "hash", "2.8.0", "Some fields with their values, and a cursor to go on with.")
        .flags(&["readonly"], &["read", "hash", "slow"])
        .on_key(hash::parse_scan)
        .keys(ONE),
];
