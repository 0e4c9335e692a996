//! Sorted sets: what the commands do with them.

use reactor::mutants::planted;

use super::codec::Arguments;
use super::objects::{bytes_of, copy, count, keep, object, Chosen};
use super::scan::Scan;
use super::span::Span;
use super::{errors, Context};
use crate::object::{Element, Score, SortedSet};
use crate::reply::{format_double, Reply};
use crate::state::State;

/// What can be done with a sorted set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortedSetOp {
    /// ZADD and ZINCRBY.
    Add(Add),
    /// ZREM.
    Remove(Vec<Box<[u8]>>),
    /// ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.
    RemoveSpan(Span),
    /// ZPOPMIN and ZPOPMAX.
    Pop {
        /// From the highest score rather than the lowest.
        highest: bool,
        /// How many; None: one, and not as a list of pairs.
        count: Option<u64>,
    },
    /// ZCARD.
    Count,
    /// ZCOUNT, ZLEXCOUNT.
    CountSpan(Span),
    /// ZSCORE.
    Score(Box<[u8]>),
    /// ZMSCORE.
    Scores(Vec<Box<[u8]>>),
    /// ZRANK and ZREVRANK.
    Rank {
        /// The member.
        member: Box<[u8]>,
        /// From the highest score.
        reverse: bool,
        /// WITHSCORE.
        with_score: bool,
    },
    /// ZRANGE and its kin.
    Range(Range),
    /// ZRANDMEMBER without a count.
    Random,
    /// ZRANDMEMBER with a count, and with scores or without.
    RandomMany(Chosen, bool),
    /// ZSCAN.
    Scan(Scan),
}

/// What ZADD does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Add {
    /// NX: only members that are new.
    pub absent: bool,
    /// XX: only members that are there.
    pub present: bool,
    /// GT: only to higher scores.
    pub higher: bool,
    /// LT: only to lower scores.
    pub lower: bool,
    /// CH: answers how many changed, not how many are new.
    pub counts_changed: bool,
    /// INCR: adds to the score of one member, and answers it.
    pub adds: bool,
    /// Scores and members.
    pub pairs: Vec<(Score, Box<[u8]>)>,
}

/// What ZRANGE answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which members.
    pub span: Span,
    /// From the highest to the lowest.
    pub reverse: bool,
    /// LIMIT: how many are passed over, and how many follow at most; negative: all.
    pub limit: Option<(i64, i64)>,
    /// WITHSCORES.
    pub with_scores: bool,
}

impl SortedSetOp {
    /// Bytes of the arguments that can be long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            SortedSetOp::Add(add) => {
                add.pairs.iter().map(|(_, member)| member.len() + size_of::<(Score, Box<[u8]>)>()).sum()
            }
            SortedSetOp::Remove(members) | SortedSetOp::Scores(members) => bytes_of(members),
            SortedSetOp::RemoveSpan(span) | SortedSetOp::CountSpan(span) => span.bytes(),
            SortedSetOp::Range(range) => range.span.bytes(),
            SortedSetOp::Score(member) | SortedSetOp::Rank { member, .. } => member.len(),
            SortedSetOp::Scan(scan) => scan.bytes(),
            SortedSetOp::Pop { .. }
            | SortedSetOp::Count
            | SortedSetOp::Random
            | SortedSetOp::RandomMany(..) => 0,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        match self {
            SortedSetOp::Add(_)
            | SortedSetOp::Remove(_)
            | SortedSetOp::RemoveSpan(_)
            | SortedSetOp::Pop { .. } => false,
            SortedSetOp::Count
            | SortedSetOp::CountSpan(_)
            | SortedSetOp::Score(_)
            | SortedSetOp::Scores(_)
            | SortedSetOp::Rank { .. }
            | SortedSetOp::Range(_)
            | SortedSetOp::Random
            | SortedSetOp::RandomMany(..)
            | SortedSetOp::Scan(_) => true,
        }
    }

    /// Its argument list.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        match self {
            SortedSetOp::Add(add) => add.spell(key, to),
            SortedSetOp::Remove(members) => to.text("ZREM").bytes(key).all(members),
            SortedSetOp::RemoveSpan(span) => {
                let name = match span {
                    Span::Ranks(..) => "ZREMRANGEBYRANK",
                    Span::Scores(..) => "ZREMRANGEBYSCORE",
                    Span::Lex(..) => "ZREMRANGEBYLEX",
                };
                span.spell(to.text(name).bytes(key))
            }
            SortedSetOp::Pop { highest, count } => {
                to.text(if *highest { "ZPOPMAX" } else { "ZPOPMIN" }).bytes(key);
                match count {
                    Some(count) => to.number(count),
                    None => to,
                }
            }
            SortedSetOp::Count => to.text("ZCARD").bytes(key),
            SortedSetOp::CountSpan(span) => {
                let name = if matches!(span, Span::Lex(..)) { "ZLEXCOUNT" } else { "ZCOUNT" };
                span.spell(to.text(name).bytes(key))
            }
            SortedSetOp::Score(member) => to.text("ZSCORE").bytes(key).bytes(member),
            SortedSetOp::Scores(members) => to.text("ZMSCORE").bytes(key).all(members),
            SortedSetOp::Rank { member, reverse, with_score } => {
                to.text(if *reverse { "ZREVRANK" } else { "ZRANK" }).bytes(key).bytes(member);
                if *with_score {
                    to.text("WITHSCORE");
                }
                to
            }
            SortedSetOp::Range(range) => range.spell(key, to),
            SortedSetOp::Random => to.text("ZRANDMEMBER").bytes(key),
            SortedSetOp::RandomMany(chosen, with_scores) => {
                to.text("ZRANDMEMBER").bytes(key).number(chosen.number());
                if *with_scores {
                    to.text("WITHSCORES");
                }
                to
            }
            SortedSetOp::Scan(scan) => {
                scan.spell(to.text("ZSCAN").bytes(key));
                to
            }
        }
    }
}

impl Add {
    fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        to.text("ZADD").bytes(key);
        let options = [
            ("NX", self.absent),
            ("XX", self.present),
            ("GT", self.higher),
            ("LT", self.lower),
            ("CH", self.counts_changed),
            ("INCR", self.adds),
        ];
        for (name, _) in options.iter().filter(|(_, is_set)| *is_set) {
            to.text(name);
        }
        self.pairs.iter().fold(to, |to, (score, member)| to.number(score.value()).bytes(member))
    }

    /// The score that a member gets. None: it stays as it is.
    fn score(&self, old: Option<Score>, given: Score) -> Result<Option<Score>, Reply> {
        if self.absent && old.is_some() || self.present && old.is_none() {
            return Ok(None);
        }
        let Some(old) = old else { return Ok(Some(given)) };
        let new = if self.adds { Score::new(old.value() + given.value()) } else { Some(given) };
        let new = new.ok_or(errors::SCORE_NOT_A_NUMBER)?;
        let fits = !(self.higher && new <= old || self.lower && new >= old);
        Ok(fits.then_some(new))
    }
}

impl Range {
    fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        let mut ends = self.span.texts();
        let by = match self.span {
            Span::Ranks(..) => None,
            Span::Scores(..) => Some("BYSCORE"),
            Span::Lex(..) => Some("BYLEX"),
        };
        if self.reverse && by.is_some() {
            ends.reverse();
        }
        to.text("ZRANGE").bytes(key).bytes(&ends[0]).bytes(&ends[1]);
        if let Some(by) = by {
            to.text(by);
        }
        if self.reverse {
            to.text("REV");
        }
        if let Some((offset, count)) = self.limit {
            to.text("LIMIT").number(offset).number(count);
        }
        if self.with_scores {
            to.text("WITHSCORES");
        }
        to
    }

    fn reply(&self, set: Option<&SortedSet>) -> Reply {
        answer(self.members(set).into_iter(), self.with_scores)
    }

    /// The members in it, in its order.
    pub(super) fn members<'a>(&self, set: Option<&'a SortedSet>) -> Vec<&'a (Score, Element)> {
        let (from, to) = set.map_or((0, 0), |set| self.span.ranks(set, self.reverse));
        let (from, to) = match self.limit {
            None => (from, to),
            Some((offset, _)) if offset < 0 => (0, 0),
            Some((offset, wanted)) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(to - from);
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(to - from - offset);
                if self.reverse {
                    (to - offset - wanted, to - offset)
                } else {
                    (from + offset, from + offset + wanted)
                }
            }
        };
        let mut members: Vec<&(Score, Element)> =
            set.into_iter().flat_map(|set| set.iter_from(from)).take(to - from).collect();
        if self.reverse {
            members.reverse();
        }
        members
    }
}

/// Members as a reply, with their scores if asked.
pub(super) fn answer<'a>(members: impl Iterator<Item = &'a (Score, Element)>, with_scores: bool) -> Reply {
    if with_scores {
        Reply::Pairs(members.map(pair).collect())
    } else {
        Reply::Array(members.map(|(_, member)| Reply::bulk(member)).collect())
    }
}

fn pair((score, member): &(Score, Element)) -> (Reply, Reply) {
    (Reply::bulk(member), Reply::Double(score.value()))
}

/// Runs a command on a key that holds a sorted set or nothing.
pub(super) fn run(op: &SortedSetOp, state: &mut State, context: &mut Context<'_>) -> Reply {
    let changed = match op {
        SortedSetOp::Add(what) => add(state, what, context),
        SortedSetOp::Remove(members) => remove(state, members, context),
        SortedSetOp::RemoveSpan(span) => remove_span(state, span, context),
        SortedSetOp::Pop { highest, count } => pop(state, *highest, *count, context),
        read => look(read, object(state), context),
    };
    changed.unwrap_or_else(|error| error)
}

/// What changes nothing.
fn look(op: &SortedSetOp, set: Option<&SortedSet>, context: &mut Context<'_>) -> Result<Reply, Reply> {
    let score = |member: &[u8]| set.and_then(|set| set.score(member));
    let score_reply = |member: &[u8]| score(member).map_or(Reply::Nil, |score| Reply::Double(score.value()));
    let len = set.map_or(0, SortedSet::len);
    let at = |rank: usize| set.and_then(|set| set.at(rank)).expect("ranks are below the length");
    Ok(match op {
        SortedSetOp::Count => count(len),
        SortedSetOp::CountSpan(span) => {
            let (from, to) = set.map_or((0, 0), |set| span.ranks(set, false));
            count(to - from)
        }
        SortedSetOp::Score(member) => score_reply(member),
        SortedSetOp::Scores(members) => {
            Reply::Array(members.iter().map(|member| score_reply(member)).collect())
        }
        SortedSetOp::Rank { member, reverse, with_score } => {
            match set.and_then(|set| set.rank(member)).zip(score(member)) {
                None if *with_score => Reply::NilArray,
                None => Reply::Nil,
                Some((rank, score)) => {
                    let rank = count(if *reverse { len - 1 - rank } else { rank });
                    if *with_score {
                        Reply::Array(vec![rank, Reply::Double(score.value())])
                    } else {
                        rank
                    }
                }
            }
        }
        SortedSetOp::Range(range) => range.reply(set),
        SortedSetOp::Random => {
            let places = Chosen::Different(1).places(len, |_| 0, context)?;
            places.first().map_or(Reply::Nil, |place| Reply::bulk(&at(*place).1))
        }
        SortedSetOp::RandomMany(chosen, with_scores) => {
            let places = chosen.places(len, |place| at(place).1.len(), context)?;
            answer(places.into_iter().map(at), *with_scores)
        }
        SortedSetOp::Scan(scan) => {
            let none = SortedSet::default();
            let set = set.unwrap_or(&none);
            scan.page(set.scan_order(), set.iter_from(0).map(|(_, member)| member), |member, replies| {
                let score = score(member).expect("a member has a score");
                replies.extend([Reply::bulk(member), Reply::bulk(format_double(score.value()))]);
            })
        }
        SortedSetOp::Add(_)
        | SortedSetOp::Remove(_)
        | SortedSetOp::RemoveSpan(_)
        | SortedSetOp::Pop { .. } => unreachable!("it is a write"),
    })
}

fn add(state: &mut State, what: &Add, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: SortedSet = copy(state);
    let (before, mut changed, mut last) = (set.len(), 0, None);
    for (given, member) in &what.pairs {
        let old = set.score(member);
        last = what.score(old, *given)?;
        if let Some(new) = last.filter(|new| old != Some(*new)) {
            set.set(member, new);
            changed += 1;
        }
    }
    let new = set.len() - before;
    if changed > 0 {
        keep(state, set, context)?;
    }
    Ok(match (what.adds, last) {
        (true, Some(score)) => Reply::Double(score.value()),
        (true, None) => Reply::Nil,
        (false, _) => count(if what.counts_changed { changed } else { new }),
    })
}

fn remove(state: &mut State, members: &[Box<[u8]>], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: SortedSet = copy(state);
    let gone = members.iter().filter(|member| set.remove(member)).count();
    if gone > 0 {
        keep(state, set, context)?;
    }
    Ok(count(gone))
}

fn remove_span(state: &mut State, span: &Span, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: SortedSet = copy(state);
    let (from, to) = span.ranks(&set, false);
    if from < to {
        set.remove_ranks(from, to);
        keep(state, set, context)?;
    }
    Ok(count(to - from))
}

fn pop(state: &mut State, highest: bool, wanted: Option<u64>, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: SortedSet = copy(state);
    let len = set.len();
    let many = usize::try_from(wanted.unwrap_or(1)).unwrap_or(usize::MAX).min(len);
    let (from, to) = if highest || planted(580) { (len - many, len) } else { (0, many) };
    let mut popped = set.remove_ranks(from, to);
    if !popped.is_empty() {
        keep(state, set, context)?;
    }
    if highest {
        popped.reverse();
    }
    if wanted.is_some() {
        return Ok(Reply::Pairs(popped.iter().map(pair).collect()));
    }
    Ok(Reply::Array(popped.iter().map(pair).flat_map(|(member, score)| [member, score]).collect()))
}

/// Most members, and the longest one, of a sorted set that Redis keeps in one piece.
const PACKED: (usize, usize) = (128, 64);

/// What Redis would say of a sorted set freshly made.
pub(super) fn encoding(set: &SortedSet) -> &'static str {
    if set.len() <= PACKED.0 && set.iter_from(0).all(|(_, member)| member.len() <= PACKED.1) {
        "listpack"
    } else {
        "skiplist"
    }
}
