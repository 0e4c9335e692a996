//! Rows of the table: commands on lists.

use super::rows_data::{ALL_BUT_TIME, ONE};
use super::table::{row, Keys, Row};
use super::{list, pops};

pub(super) const ROWS: &[Row] = &[
    row("lpush", -3, "list", "1.0.0", "Puts elements in front of a list, one after the other.")
        .flags(&["write", "denyoom", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_push_left)
        .keys(ONE),
    row("rpush", -3, "list", "1.0.0", "Puts elements behind a list, one after the other.")
        .flags(&["write", "denyoom", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_push_right)
        .keys(ONE),
    row("lpushx", -3, "list", "2.2.0", "Puts elements in front of a list that is there.")
        .flags(&["write", "denyoom", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_push_left_if_present)
        .keys(ONE),
    row("rpushx", -3, "list", "2.2.0", "Puts elements behind a list that is there.")
        .flags(&["write", "denyoom", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_push_right_if_present)
        .keys(ONE),
    row("lpop", -2, "list", "1.0.0", "Takes elements from the front; the last one takes the key with it.")
        .flags(&["write", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_pop_left)
        .keys(ONE),
    row("rpop", -2, "list", "1.0.0", "Takes elements from the end; the last one takes the key with it.")
        .flags(&["write", "fast"], &["write", "list", "fast"])
        .on_key(list::parse_pop_right)
        .keys(ONE),
    row("lmpop", -4, "list", "7.0.0", "Takes elements from the first of some lists that has any.")
        .flags(&["write", "movablekeys"], &["write", "list", "slow"])
        .on_keys_in_turn(pops::elements)
        .keys(Keys::counted(1)),
    row(
        "blpop",
        -3,
        "list",
        "2.0.0",
        "Takes the first element of the first of some lists that has any, once one has.",
    )
    .flags(&["write", "blocking"], &["write", "list", "slow", "blocking"])
    .on_keys_in_turn(pops::wait_left)
    .keys(ALL_BUT_TIME),
    row(
        "brpop",
        -3,
        "list",
        "2.0.0",
        "Takes the last element of the first of some lists that has any, once one has.",
    )
    .flags(&["write", "blocking"], &["write", "list", "slow", "blocking"])
    .on_keys_in_turn(pops::wait_right)
    .keys(ALL_BUT_TIME),
    row(
        "blmpop",
        -5,
        "list",
        "7.0.0",
        "Takes elements from the first of some lists that has any, once one has.",
    )
    .flags(&["write", "blocking", "movablekeys"], &["write", "list", "slow", "blocking"])
    .on_keys_in_turn(pops::wait_elements)
    .keys(Keys::counted(2)),
    row("llen", 2, "list", "1.0.0", "How many elements there are.")
        .flags(&["readonly", "fast"], &["read", "list", "fast"])
        .on_key(list::parse_count)
        .keys(ONE),
    row("lindex", 3, "list", "1.0.0", "The element at a place.")
        .flags(&["readonly"], &["read", "list", "slow"])
        .on_key(list::parse_get)
        .keys(ONE),
    row("lrange", 4, "list", "1.0.0", "The elements from one place to another.")
        .flags(&["readonly"], &["read", "list", "slow"])
        .on_key(list::parse_range)
        .keys(ONE),
    row("lset", 4, "list", "1.0.0", "Puts another element in the place of one.")
        .flags(&["write", "denyoom"], &["write", "list", "slow"])
        .on_key(list::parse_set)
        .keys(ONE),
    row("linsert", 5, "list", "2.2.0", "Puts an element before or after another.")
        .flags(&["write", "denyoom"], &["write", "list", "slow"])
        .on_key(list::parse_insert)
        .keys(ONE),
    row("lrem", 4, "list", "1.0.0", "Removes elements that are equal to one.")
        .flags(&["write"], &["write", "list", "slow"])
        .on_key(list::parse_remove)
        .keys(ONE),
    row("ltrim", 4, "list", "1.0.0", "Leaves the elements from one place to another.")
        .flags(&["write"], &["write", "list", "slow"])
        .on_key(list::parse_trim)
        .keys(ONE),
    row("lpos", -3, "list", "6.0.6", "The places of elements that are equal to one.")
        .flags(&["readonly"], &["read", "list", "slow"])
        .on_key(list::parse_find)
        .keys(ONE),
];
