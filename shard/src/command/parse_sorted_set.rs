//! Reading the argument lists of commands on sorted sets.

use super::list::count_behind_key;
use super::objects::Chosen;
use super::parse::{is, Args};
use super::scan::Scan;
use super::sorted_set::{Add, Range, SortedSetOp};
use super::span::Span;
use super::{errors, numbers, Command, Op};
use crate::reply::Reply;

fn on_key(args: &Args<'_>, op: SortedSetOp) -> Result<Command, Reply> {
    args.on_key(Op::OnSortedSet(op))
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member …`
pub(super) fn add(args: &Args<'_>) -> Result<Command, Reply> {
    let mut what = Add::default();
    let mut at = 2;
    while let Some(option) = args.all.get(at) {
        let flag = match option {
            option if is(option, "NX") => &mut what.absent,
            option if is(option, "XX") => &mut what.present,
            option if is(option, "GT") => &mut what.higher,
            option if is(option, "LT") => &mut what.lower,
            option if is(option, "CH") => &mut what.counts_changed,
            option if is(option, "INCR") => &mut what.adds,
            _ => break,
        };
        *flag = true;
        at += 1;
    }
    let rest = args.all.len() - at;
    if rest == 0 || rest % 2 == 1 {
        return Err(errors::SYNTAX);
    }
    if what.absent && what.present {
        return Err(errors::ZADD_NX_XX);
    }
    if what.higher && what.lower || what.absent && (what.higher || what.lower) {
        return Err(errors::ZADD_GT_LT_NX);
    }
    if what.adds && rest > 2 {
        return Err(errors::ZADD_INCR);
    }
    let pairs = args.from(at).step_by(2).zip(args.from(at + 1).step_by(2));
    for (score, member) in pairs {
        let score = numbers::score(score).ok_or(errors::NOT_A_FLOAT)?;
        what.pairs.push((score, member.into()));
    }
    on_key(args, SortedSetOp::Add(what))
}

/// ZINCRBY key increment member.
pub(super) fn increment(args: &Args<'_>) -> Result<Command, Reply> {
    let by = numbers::score(args.at(2)).ok_or(errors::NOT_A_FLOAT)?;
    on_key(args, SortedSetOp::Add(Add { adds: true, pairs: vec![(by, args.owned(3))], ..Add::default() }))
}

/// ZREM key member …
pub(super) fn remove(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::Remove(args.from(2).map(Into::into).collect()))
}

fn ranks(args: &Args<'_>, ends: usize) -> Result<Span, Reply> {
    Ok(Span::Ranks(args.integer(ends)?, args.integer(ends + 1)?))
}

/// ZREMRANGEBYRANK key start stop.
pub(super) fn remove_ranks(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::RemoveSpan(ranks(args, 2)?))
}

/// ZREMRANGEBYSCORE key min max.
pub(super) fn remove_scores(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::RemoveSpan(Span::scores(args.at(2), args.at(3))?))
}

/// ZREMRANGEBYLEX key min max.
pub(super) fn remove_lex(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::RemoveSpan(Span::lex(args.at(2), args.at(3))?))
}

/// `ZPOPMIN key [count]`.
pub(super) fn pop_lowest(args: &Args<'_>) -> Result<Command, Reply> {
    pop(args, false)
}

/// `ZPOPMAX key [count]`.
pub(super) fn pop_highest(args: &Args<'_>) -> Result<Command, Reply> {
    pop(args, true)
}

fn pop(args: &Args<'_>, highest: bool) -> Result<Command, Reply> {
    if args.all.len() > 3 {
        return Err(errors::SYNTAX);
    }
    on_key(args, SortedSetOp::Pop { highest, count: count_behind_key(args)? })
}

/// ZCARD key.
pub(super) fn count(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::Count)
}

/// ZCOUNT key min max.
pub(super) fn count_scores(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::CountSpan(Span::scores(args.at(2), args.at(3))?))
}

/// ZLEXCOUNT key min max.
pub(super) fn count_lex(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::CountSpan(Span::lex(args.at(2), args.at(3))?))
}

/// ZSCORE key member.
pub(super) fn score(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::Score(args.owned(2)))
}

/// ZMSCORE key member …
pub(super) fn scores(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::Scores(args.from(2).map(Into::into).collect()))
}

/// `ZRANK key member [WITHSCORE]`.
pub(super) fn rank(args: &Args<'_>) -> Result<Command, Reply> {
    rank_of(args, false)
}

/// `ZREVRANK key member [WITHSCORE]`.
pub(super) fn reverse_rank(args: &Args<'_>) -> Result<Command, Reply> {
    rank_of(args, true)
}

fn rank_of(args: &Args<'_>, reverse: bool) -> Result<Command, Reply> {
    let with_score = match args.all.get(3) {
        None => false,
        Some(_) if args.all.len() > 4 => return Err(errors::arity(args.row.name)),
        Some(option) if is(option, "WITHSCORE") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    on_key(args, SortedSetOp::Rank { member: args.owned(2), reverse, with_score })
}

/// What may follow the ends of a range.
#[derive(Default)]
struct Options {
    by_score: bool,
    by_lex: bool,
    reverse: bool,
    limit: Option<(i64, i64)>,
    with_scores: bool,
}

impl Options {
    /// `is_general`: ZRANGE, which can say by what and in which order; of the others the names say it.
    fn read(args: &Args<'_>, is_general: bool) -> Result<Options, Reply> {
        Options::read_from(args.from(4), is_general)
    }

    fn read_from<'a>(mut from: impl Iterator<Item = &'a [u8]>, is_general: bool) -> Result<Options, Reply> {
        let mut options = Options::default();
        while let Some(option) = from.next() {
            if is(option, "WITHSCORES") {
                options.with_scores = true;
            } else if is(option, "LIMIT") {
                let mut number = || {
                    let number = from.next().ok_or(errors::SYNTAX)?;
                    numbers::integer(number).ok_or(errors::NOT_AN_INTEGER)
                };
                options.limit = Some((number()?, number()?));
            } else if is(option, "BYSCORE") && is_general {
                options.by_score = true;
            } else if is(option, "BYLEX") && is_general {
                options.by_lex = true;
            } else if is(option, "REV") && is_general {
                options.reverse = true;
            } else {
                return Err(errors::SYNTAX);
            }
        }
        if options.by_score && options.by_lex {
            return Err(errors::SYNTAX);
        }
        Ok(options)
    }

    fn on_key(self, args: &Args<'_>) -> Result<Command, Reply> {
        on_key(args, SortedSetOp::Range(self.range(args, 2)?))
    }

    /// The range, whose ends are from an index on.
    fn range(mut self, args: &Args<'_>, ends: usize) -> Result<Range, Reply> {
        let by_rank = !self.by_score && !self.by_lex;
        // As in Redis, a limit of -1, which is none, may stand anywhere.
        if by_rank && self.limit.take().is_some_and(|(_, count)| count != -1) {
            return Err(errors::LIMIT_ALONE);
        }
        if self.with_scores && self.by_lex {
            return Err(errors::WITHSCORES_BYLEX);
        }
        let (mut low, mut high) = (args.at(ends), args.at(ends + 1));
        if self.reverse {
            (low, high) = (high, low);
        }
        let span = if self.by_score {
            Span::scores(low, high)?
        } else if self.by_lex {
            Span::lex(low, high)?
        } else {
            ranks(args, ends)?
        };
        let Options { reverse, limit, with_scores, .. } = self;
        Ok(Range { span, reverse, limit, with_scores })
    }
}

/// `ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`.
pub(super) fn range(args: &Args<'_>) -> Result<Command, Reply> {
    Options::read(args, true)?.on_key(args)
}

/// The range of ZRANGESTORE.
pub(super) fn range_to_store(args: &Args<'_>) -> Result<Range, Reply> {
    let options = Options::read_from(args.from(5), true)?;
    if options.with_scores {
        return Err(errors::SYNTAX);
    }
    options.range(args, 3)
}

/// `ZREVRANGE key start stop [WITHSCORES]`.
pub(super) fn reverse_range(args: &Args<'_>) -> Result<Command, Reply> {
    Options { reverse: true, ..Options::read(args, false)? }.on_key(args)
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`.
pub(super) fn range_by_score(args: &Args<'_>) -> Result<Command, Reply> {
    Options { by_score: true, ..Options::read(args, false)? }.on_key(args)
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`.
pub(super) fn reverse_range_by_score(args: &Args<'_>) -> Result<Command, Reply> {
    Options { by_score: true, reverse: true, ..Options::read(args, false)? }.on_key(args)
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`.
pub(super) fn range_by_lex(args: &Args<'_>) -> Result<Command, Reply> {
    Options { by_lex: true, ..Options::read(args, false)? }.on_key(args)
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`.
pub(super) fn reverse_range_by_lex(args: &Args<'_>) -> Result<Command, Reply> {
    Options { by_lex: true, reverse: true, ..Options::read(args, false)? }.on_key(args)
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`.
pub(super) fn random(args: &Args<'_>) -> Result<Command, Reply> {
    if args.all.len() == 2 {
        return on_key(args, SortedSetOp::Random);
    }
    let chosen = Chosen::read(args, 2)?;
    let with_scores = match (args.all.get(3), args.all.len()) {
        (None, _) => false,
        (Some(option), 4) if is(option, "WITHSCORES") => true,
        _ => return Err(errors::SYNTAX),
    };
    let chosen = if with_scores { chosen.of_pairs()? } else { chosen };
    on_key(args, SortedSetOp::RandomMany(chosen, with_scores))
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`.
pub(super) fn scan(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SortedSetOp::Scan(Scan::read(args, false)?))
}
