//! Rows of the table: commands on sorted sets.

use super::parse_sorted_set as parse;
use super::pops;
use super::rows_data::{ALL_BUT_TIME, ONE};
use super::table::{row, Keys, Row};

pub(super) const ROWS: &[Row] = &[
    row("zadd", -4, "sorted-set", "1.2.0", "Adds members with scores, or changes scores.")
        .flags(&["write", "denyoom", "fast"], &["write", "sortedset", "fast"])
        .on_key(parse::add)
        .keys(ONE),
    row("zincrby", 4, "sorted-set", "1.2.0", "Adds to the score of a member.")
        .flags(&["write", "denyoom", "fast"], &["write", "sortedset", "fast"])
        .on_key(parse::increment)
        .keys(ONE),
    row("zrem", -3, "sorted-set", "1.2.0", "Removes members; the last one takes the key with it.")
        .flags(&["write", "fast"], &["write", "sortedset", "fast"])
        .on_key(parse::remove)
        .keys(ONE),
    row("zremrangebyrank", 4, "sorted-set", "2.0.0", "Removes the members from one rank to another.")
        .flags(&["write"], &["write", "sortedset", "slow"])
        .on_key(parse::remove_ranks)
        .keys(ONE),
    row("zremrangebyscore", 4, "sorted-set", "1.2.0", "Removes the members from one score to another.")
        .flags(&["write"], &["write", "sortedset", "slow"])
        .on_key(parse::remove_scores)
        .keys(ONE),
    row("zremrangebylex", 4, "sorted-set", "2.8.9", "Removes the members from some bytes to others.")
        .flags(&["write"], &["write", "sortedset", "slow"])
        .on_key(parse::remove_lex)
        .keys(ONE),
    row("zpopmin", -2, "sorted-set", "5.0.0", "Takes the members with the lowest scores.")
        .flags(&["write", "fast"], &["write", "sortedset", "fast"])
        .on_key(parse::pop_lowest)
        .keys(ONE),
    row("zpopmax", -2, "sorted-set", "5.0.0", "Takes the members with the highest scores.")
        .flags(&["write", "fast"], &["write", "sortedset", "fast"])
        .on_key(parse::pop_highest)
        .keys(ONE),
    row("zmpop", -4, "sorted-set", "7.0.0", "Takes members from the first of some sorted sets that has any.")
        .flags(&["write", "movablekeys"], &["write", "sortedset", "slow"])
        .on_keys_in_turn(pops::members)
        .keys(Keys::counted(1)),
    row("bzpopmin", -3, "sorted-set", "5.0.0", "Takes the member with the lowest score of the first of some sorted sets that has any, once one has.")
        .flags(&["write", "blocking", "fast"], &["write", "sortedset", "fast", "blocking"])
        .on_keys_in_turn(pops::wait_lowest)
        .keys(ALL_BUT_TIME),
    row("bzpopmax", -3, "sorted-set", "5.0.0", "Takes the member with the highest score of the first of some sorted sets that has any, once one has.")
        .flags(&["write", "blocking", "fast"], &["write", "sortedset", "fast", "blocking"])
        .on_keys_in_turn(pops::wait_highest)
        .keys(ALL_BUT_TIME),
    row("bzmpop", -5, "sorted-set", "7.0.0", "Takes members from the first of some sorted sets that has any, once one has.")
        .flags(&["write", "blocking", "movablekeys"], &["write", "sortedset", "slow", "blocking"])
        .on_keys_in_turn(pops::wait_members)
        .keys(Keys::counted(2)),
    row("zcard", 2, "sorted-set", "1.2.0", "How many members there are.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::count)
        .keys(ONE),
    row("zcount", 4, "sorted-set", "2.0.0", "How many members there are from one score to another.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::count_scores)
        .keys(ONE),
    row("zlexcount", 4, "sorted-set", "2.8.9", "How many members there are from some bytes to others.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::count_lex)
        .keys(ONE),
    row("zscore", 3, "sorted-set", "1.2.0", "The score of a member.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::score)
        .keys(ONE),
    row("zmscore", -3, "sorted-set", "6.2.0", "The scores of members.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::scores)
        .keys(ONE),
    row("zrank", -3, "sorted-set", "2.0.0", "How many members come before one.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::rank)
        .keys(ONE),
    row("zrevrank", -3, "sorted-set", "2.0.0", "How many members come behind one.")
        .flags(&["readonly", "fast"], &["read", "sortedset", "fast"])
        .on_key(parse::reverse_rank)
        .keys(ONE),
    row("zrange", -4, "sorted-set", "1.2.0", "The members of a span: of ranks, of scores or of bytes.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::range)
        .keys(ONE),
    row(
        "zrevrange",
        -4,
        "sorted-set",
        "1.2.0",
        "The members from one rank to another, from the highest score on.",
    )
    .flags(&["readonly"], &["read", "sortedset", "slow"])
    .on_key(parse::reverse_range)
    .keys(ONE),
    row("zrangebyscore", -4, "sorted-set", "1.0.5", "The members from one score to another.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::range_by_score)
        .keys(ONE),
    row("zrevrangebyscore", -4, "sorted-set", "2.2.0", "The members from one score down to another.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::reverse_range_by_score)
        .keys(ONE),
    row("zrangebylex", -4, "sorted-set", "2.8.9", "The members from some bytes to others.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::range_by_lex)
        .keys(ONE),
    row("zrevrangebylex", -4, "sorted-set", "2.8.9", "The members from some bytes down to others.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::reverse_range_by_lex)
        .keys(ONE),
    row("zrandmember", -2, "sorted-set", "6.2.0", "Members by chance, with their scores if asked.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::random)
        .keys(ONE),
    row("zscan", -3, "sorted-set", "2.8.0", "Some members with their scores, and a cursor to go on with.")
        .flags(&["readonly"], &["read", "sortedset", "slow"])
        .on_key(parse::scan)
        .keys(ONE),
];
