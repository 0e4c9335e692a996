//! Rows of the table: commands on sets.

use super::rows_data::ONE;
use super::set;
use super::table::{row, Row};

pub(super) const ROWS: &[Row] = &[
    row("sadd", -3, "set", "1.0.0", "Adds members to a set.")
        .flags(&["write", "denyoom", "fast"], &["write", "set", "fast"])
        .on_key(set::parse_add)
        .keys(ONE),
    row("srem", -3, "set", "1.0.0", "Removes members; the last one takes the key with it.")
        .flags(&["write", "fast"], &["write", "set", "fast"])
        .on_key(set::parse_remove)
        .keys(ONE),
    row("spop", -2, "set", "1.0.0", "Takes members away by chance.")
        .flags(&["write", "fast"], &["write", "set", "fast"])
        .on_key(set::parse_pop)
        .keys(ONE),
    row("scard", 2, "set", "1.0.0", "How many members there are.")
        .flags(&["readonly", "fast"], &["read", "set", "fast"])
        .on_key(set::parse_count)
        .keys(ONE),
    row("sismember", 3, "set", "1.0.0", "Whether it has a member.")
        .flags(&["readonly", "fast"], &["read", "set", "fast"])
        .on_key(set::parse_contains)
        .keys(ONE),
    row("smismember", -3, "set", "6.2.0", "Which of these it has.")
        .flags(&["readonly", "fast"], &["read", "set", "fast"])
        .on_key(set::parse_contains_each)
        .keys(ONE),
    row("smembers", 2, "set", "1.0.0", "All members.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .on_key(set::parse_members)
        .keys(ONE),
    row("srandmember", -2, "set", "1.0.0", "Members by chance.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .on_key(set::parse_random)
        .keys(ONE),
    row("sscan", -3, "set", "2.8.0", "Some members, and a cursor to go on with.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .on_key(set::parse_scan)
        .keys(ONE),
];
