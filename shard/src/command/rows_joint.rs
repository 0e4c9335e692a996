//! Rows of the table: commands on several keys as one step.

use super::table::{row, Keys, Row};
use super::{algebra, joint, lcs, pops, sort};

const TWO: Keys = Keys { first: 1, last: 2, step: 1, counted: 0, stored: false };
const ALL: Keys = Keys { first: 1, last: -1, step: 1, counted: 0, stored: false };
const PAIRS: Keys = Keys { first: 1, last: -1, step: 2, counted: 0, stored: false };

pub(super) const ROWS: &[Row] = &[
    row("rename", 3, "generic", "1.0.0", "Gives a key another name, whatever had it.")
        .flags(&["write"], &["keyspace", "write", "slow"])
        .in_one_step()
        .on_key(joint::parse_rename)
        .keys(TWO),
    row("renamenx", 3, "generic", "1.0.0", "Gives a key another name, if nothing has it.")
        .flags(&["write", "fast"], &["keyspace", "write", "fast"])
        .in_one_step()
        .on_key(joint::parse_rename_absent)
        .keys(TWO),
    row("copy", -3, "generic", "6.2.0", "Copies the value of a key to another one.")
        .flags(&["write", "denyoom"], &["keyspace", "write", "slow"])
        .in_one_step()
        .on_key(joint::parse_copy)
        .keys(TWO),
    row("msetnx", -3, "string", "1.0.1", "Sets keys, if all of them are absent.")
        .flags(&["write", "denyoom"], &["write", "string", "slow"])
        .in_one_step()
        .on_key(joint::parse_set_all_if_absent)
        .keys(PAIRS),
    row("smove", 4, "set", "1.0.0", "Moves a member from one set to another.")
        .flags(&["write", "fast"], &["write", "set", "fast"])
        .in_one_step()
        .on_key(joint::parse_move_member)
        .keys(TWO),
    row("lmove", 5, "list", "6.2.0", "Moves an element from an end of one list to an end of another.")
        .flags(&["write", "denyoom"], &["write", "list", "slow"])
        .in_one_step()
        .on_key(joint::parse_move_element)
        .keys(TWO),
    row("rpoplpush", 3, "list", "1.2.0", "Moves the last element of one list to the front of another.")
        .flags(&["write", "denyoom"], &["write", "list", "slow"])
        .in_one_step()
        .on_key(joint::parse_pop_push)
        .keys(TWO),
    row(
        "blmove",
        6,
        "list",
        "6.2.0",
        "Moves an element from an end of one list to an end of another, once there is one.",
    )
    .flags(&["write", "denyoom", "blocking"], &["write", "list", "slow", "blocking"])
    .in_one_step()
    .on_keys_in_turn(pops::wait_move)
    .keys(TWO),
    row(
        "brpoplpush",
        4,
        "list",
        "2.2.0",
        "Moves the last element of one list to the front of another, once there is one.",
    )
    .flags(&["write", "denyoom", "blocking"], &["write", "list", "slow", "blocking"])
    .in_one_step()
    .on_keys_in_turn(pops::wait_pop_push)
    .keys(TWO),
    row("sinter", -2, "set", "1.0.0", "The members that all of these sets have.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_intersection)
        .keys(ALL),
    row("sunion", -2, "set", "1.0.0", "The members that any of these sets has.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_union)
        .keys(ALL),
    row("sdiff", -2, "set", "1.0.0", "The members of the first set that no other of these has.")
        .flags(&["readonly"], &["read", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_difference)
        .keys(ALL),
    row("sinterstore", -3, "set", "1.0.0", "Stores the members that all of these sets have.")
        .flags(&["write", "denyoom"], &["write", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_intersection)
        .keys(ALL),
    row("sunionstore", -3, "set", "1.0.0", "Stores the members that any of these sets has.")
        .flags(&["write", "denyoom"], &["write", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_union)
        .keys(ALL),
    row("sdiffstore", -3, "set", "1.0.0", "Stores the members of the first set that no other of these has.")
        .flags(&["write", "denyoom"], &["write", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_difference)
        .keys(ALL),
    row("sintercard", -3, "set", "7.0.0", "How many members all of these sets have.")
        .flags(&["readonly", "movablekeys"], &["read", "set", "slow"])
        .in_one_step()
        .on_key(algebra::parse_count_intersection)
        .keys(Keys::counted(1)),
    row("zinter", -3, "sorted-set", "6.2.0", "The members that all of these sorted sets have.")
        .flags(&["readonly", "movablekeys"], &["read", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_sorted_intersection)
        .keys(Keys::counted(1)),
    row("zunion", -3, "sorted-set", "6.2.0", "The members that any of these sorted sets has.")
        .flags(&["readonly", "movablekeys"], &["read", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_sorted_union)
        .keys(Keys::counted(1)),
    row(
        "zdiff",
        -3,
        "sorted-set",
        "6.2.0",
        "The members of the first sorted set that no other of these has.",
    )
    .flags(&["readonly", "movablekeys"], &["read", "sortedset", "slow"])
    .in_one_step()
    .on_key(algebra::parse_sorted_difference)
    .keys(Keys::counted(1)),
    row("zinterstore", -4, "sorted-set", "2.0.0", "Stores the members that all of these sorted sets have.")
        .flags(&["write", "denyoom", "movablekeys"], &["write", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_sorted_intersection)
        .keys(Keys::STORED_COUNTED),
    row("zunionstore", -4, "sorted-set", "2.0.0", "Stores the members that any of these sorted sets has.")
        .flags(&["write", "denyoom", "movablekeys"], &["write", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_sorted_union)
        .keys(Keys::STORED_COUNTED),
    row(
        "zdiffstore",
        -4,
        "sorted-set",
        "6.2.0",
        "Stores the members of the first sorted set that no other of these has.",
    )
    .flags(&["write", "denyoom", "movablekeys"], &["write", "sortedset", "slow"])
    .in_one_step()
    .on_key(algebra::parse_store_sorted_difference)
    .keys(Keys::STORED_COUNTED),
    row("zintercard", -3, "sorted-set", "7.0.0", "How many members all of these sorted sets have.")
        .flags(&["readonly", "movablekeys"], &["read", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_count_sorted_intersection)
        .keys(Keys::counted(1)),
    row("zrangestore", -5, "sorted-set", "6.2.0", "Stores the members of a range of a sorted set.")
        .flags(&["write", "denyoom"], &["write", "sortedset", "slow"])
        .in_one_step()
        .on_key(algebra::parse_store_range)
        .keys(TWO),
    row(
        "sort",
        -2,
        "generic",
        "1.0.0",
        "The elements of a list, a set or a sorted set, in order; stores them if asked.",
    )
    .flags(&["write", "denyoom", "movablekeys"], &["write", "set", "sortedset", "list", "slow", "dangerous"])
    .in_one_step()
    .on_key(sort::parse)
    .keys(Keys::SORTED),
    row("lcs", -3, "string", "7.0.0", "The longest common subsequence of two strings.")
        .flags(&["readonly"], &["read", "string", "slow"])
        .in_one_step()
        .on_key(lcs::parse)
        .keys(TWO),
];
