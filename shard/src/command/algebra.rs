//! Unions, intersections and differences of sets and sorted sets, and ranges of them that are stored.

use std::collections::BTreeMap;

use reactor::mutants::planted;

use super::joint::{is_other, Keys, States, Work};
use super::limits::JOINT_REPLY_BYTES_MAX;
use super::objects::{count, keep, object};
use super::parse::{is, Args};
use super::parse_sorted_set;
use super::sorted_set::{self, Range};
use super::{errors, numbers, Command, Context};
use crate::object::{Element, Score, Set, SortedSet};
use crate::reply::Reply;
use crate::state::{State, Type, Value};

/// How members are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Those of any.
    Union,
    /// Those of all.
    Intersection,
    /// Those of the first and of no other.
    Difference,
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// They are answered; sorted sets' with their scores or without.
    Answer { with_scores: bool },
    /// They are counted, up to here; 0: all.
    Count { limit: usize },
    /// They are put at the key at this place.
    Store(usize),
}

/// SINTER, SUNION, SDIFF and their like. Numbers are places among the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetAlgebra {
    pub how: How,
    pub from: Vec<usize>,
    pub then: Then,
}

/// ZINTER, ZUNION, ZDIFF and their like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SortedSetAlgebra {
    pub how: How,
    /// Places, and what scores there are multiplied with.
    pub from: Vec<(usize, Score)>,
    pub aggregate: Aggregate,
    pub then: Then,
}

/// What becomes of the scores of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Least,
    Greatest,
}

impl Then {
    fn is_read(self) -> bool {
        !matches!(self, Then::Store(_))
    }
}

impl SetAlgebra {
    pub fn is_read(&self) -> bool {
        self.then.is_read()
    }
}

impl SortedSetAlgebra {
    pub fn is_read(&self) -> bool {
        self.then.is_read()
    }
}

// ---- sets ----

pub(super) fn run_on_sets(work: &SetAlgebra, states: &mut States<'_>, context: &mut Context<'_>) -> Reply {
    let mut sets: Vec<Set> = Vec::with_capacity(work.from.len());
    for place in &work.from {
        let state = states.at(*place);
        if is_other(state, Type::Set) {
            return errors::WRONG_TYPE;
        }
        sets.push(object(state).cloned().unwrap_or_default());
    }
    let limit = match work.then {
        Then::Count { limit } if limit > 0 => limit,
        _ => usize::MAX,
    };
    let members = members_of(work.how, &sets, limit);
    match work.then {
        Then::Answer { .. } => bounded(Reply::Set(members.into_iter().map(Reply::bulk).collect())),
        Then::Count { .. } => count(members.len()),
        Then::Store(_) if members.is_empty() && planted(577) => count(0),
        Then::Store(to) => {
            let mut set = Set::default();
            for member in members {
                set.insert(member);
            }
            store(states.at(to), set.len(), |state| keep(state, set, context))
        }
    }
}

/// A union may be longer than any of the objects that it is of.
fn bounded(reply: Reply) -> Reply {
    if reply.encoded_bytes() > JOINT_REPLY_BYTES_MAX {
        errors::REPLY_TOO_LONG
    } else {
        reply
    }
}

/// Up to a number of members of the result, in the order of their bytes.
fn members_of(how: How, sets: &[Set], limit: usize) -> Vec<&[u8]> {
    let Some((first, others)) = sets.split_first() else { return Vec::new() };
    let all = |set: &'_ Set| -> Vec<&[u8]> { Vec::with_capacity(set.len()) };
    match how {
        How::Union => {
            let mut members = all(first);
            members.extend(sets.iter().flat_map(Set::iter).map(|member| &**member));
            members.sort_unstable();
            members.dedup();
            members.truncate(limit);
            members
        }
        How::Intersection => {
            let kept = first.iter().filter(|member| others.iter().all(|set| set.contains(member)));
            kept.map(|member| &**member).take(limit).collect()
        }
        How::Difference => {
            let kept = first.iter().filter(|member| !others.iter().any(|set| set.contains(member)));
            kept.map(|member| &**member).take(limit).collect()
        }
    }
}

/// Puts a result to a key, whatever was there; one without entries takes the key with it. Answers how many entries it has.
pub(super) fn store(
    state: &mut State,
    entries: usize,
    keep: impl FnOnce(&mut State) -> Result<(), Reply>,
) -> Reply {
    let before = state.clone();
    state.delete();
    match keep(state) {
        Ok(()) => count(entries),
        Err(error) => {
            *state = before;
            error
        }
    }
}

// ---- sorted sets ----

/// What members of one object come to: their scores, those of a plain set being 1, multiplied with its weight. An infinity times 0 is no number.
type Products = Vec<(Element, f64)>;

fn products_of(value: Option<&Value>, weight: Score) -> Result<Products, Reply> {
    let weight = weight.value();
    match value {
        None => Ok(Vec::new()),
        Some(Value::Set(set)) => Ok(set.iter().map(|member| (member.clone(), weight)).collect()),
        Some(Value::SortedSet(set)) => {
            Ok(set.iter_from(0).map(|(score, member)| (member.clone(), score.value() * weight)).collect())
        }
        Some(_) => Err(errors::WRONG_TYPE),
    }
}

/// As in Redis, what is no number becomes 0.
fn number(value: f64) -> Score {
    Score::new(value).or(Score::new(0.0)).expect("0 is a number")
}

impl Aggregate {
    /// The other may be no number: a sum with it is 0, and it is neither the least nor the greatest.
    fn join(self, one: Score, other: f64) -> Score {
        match self {
            Aggregate::Sum => number(one.value() + other),
            Aggregate::Least => number(one.value().min(other)),
            Aggregate::Greatest => number(one.value().max(other)),
        }
    }
}

pub(super) fn run_on_sorted_sets(
    work: &SortedSetAlgebra,
    states: &mut States<'_>,
    context: &mut Context<'_>,
) -> Reply {
    let mut found = Vec::with_capacity(work.from.len());
    for (place, weight) in &work.from {
        match products_of(states.at(*place).value.as_ref(), *weight) {
            Ok(products) => found.push(products),
            Err(error) => return error,
        }
    }
    if work.how != How::Difference {
        // As in Redis, the smallest comes first: it matters where infinities add up to no number, which is 0.
        found.sort_by_key(Vec::len);
    }
    let scores = put_together(work.how, work.aggregate, found);
    let mut set = SortedSet::default();
    for (member, score) in &scores {
        set.set(member, *score);
    }
    match work.then {
        Then::Count { limit } => count(if limit == 0 { set.len() } else { set.len().min(limit) }),
        Then::Store(to) => store(states.at(to), set.len(), |state| keep(state, set, context)),
        Then::Answer { with_scores } => bounded(sorted_set::answer(set.iter_from(0), with_scores)),
    }
}

/// As in Redis, a product that is no number is 0 in a union, and where it is the first one; else an intersection has it as it is.
fn put_together(how: How, aggregate: Aggregate, found: Vec<Products>) -> BTreeMap<Element, Score> {
    let mut found = found.into_iter();
    let first = found.next().unwrap_or_default().into_iter();
    let mut result: BTreeMap<Element, Score> =
        first.map(|(member, product)| (member, number(product))).collect();
    for next in found {
        match how {
            How::Union => {
                for (member, product) in next {
                    let score = number(product);
                    result
                        .entry(member)
                        .and_modify(|own| *own = aggregate.join(*own, score.value()))
                        .or_insert(score);
                }
            }
            How::Intersection => {
                let next: BTreeMap<Element, f64> = next.into_iter().collect();
                result.retain(|member, own| {
                    let product = next.get(member);
                    product.into_iter().for_each(|product| *own = aggregate.join(*own, *product));
                    product.is_some()
                });
            }
            How::Difference => {
                for (member, _) in &next {
                    result.remove(member);
                }
            }
        }
    }
    result
}

pub(super) fn store_range(
    states: &mut States<'_>,
    (from, to): (usize, usize),
    range: &Range,
    context: &mut Context<'_>,
) -> Reply {
    if is_other(states.at(from), Type::SortedSet) {
        return errors::WRONG_TYPE;
    }
    let mut set = SortedSet::default();
    for (score, member) in range.members(object(states.at(from))) {
        set.set(member, *score);
    }
    store(states.at(to), set.len(), |state| keep(state, set, context))
}

// ---- arguments ----

fn sets(args: &Args<'_>, how: How) -> Result<Command, Reply> {
    let mut keys = Keys::default();
    let from = args.from(1).map(|key| keys.place(key)).collect();
    keys.joint(Work::OnSets(SetAlgebra { how, from, then: Then::Answer { with_scores: false } }))
}

/// The destination comes first: it is the anchor.
fn store_sets(args: &Args<'_>, how: How) -> Result<Command, Reply> {
    let mut keys = Keys::default();
    let then = Then::Store(keys.place(args.at(1)));
    let from = args.from(2).map(|key| keys.place(key)).collect();
    keys.joint(Work::OnSets(SetAlgebra { how, from, then }))
}

/// `SINTER key [key …]`.
pub(super) fn parse_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    sets(args, How::Intersection)
}

/// `SUNION key [key …]`.
pub(super) fn parse_union(args: &Args<'_>) -> Result<Command, Reply> {
    sets(args, How::Union)
}

/// `SDIFF key [key …]`.
pub(super) fn parse_difference(args: &Args<'_>) -> Result<Command, Reply> {
    sets(args, How::Difference)
}

/// `SINTERSTORE destination key [key …]`.
pub(super) fn parse_store_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    store_sets(args, How::Intersection)
}

/// `SUNIONSTORE destination key [key …]`.
pub(super) fn parse_store_union(args: &Args<'_>) -> Result<Command, Reply> {
    store_sets(args, How::Union)
}

/// `SDIFFSTORE destination key [key …]`.
pub(super) fn parse_store_difference(args: &Args<'_>) -> Result<Command, Reply> {
    store_sets(args, How::Difference)
}

/// `LIMIT limit`, or nothing.
fn limit<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<usize, Reply> {
    let mut limit = 0;
    while let Some(option) = words.next() {
        if !is(option, "LIMIT") {
            return Err(errors::SYNTAX);
        }
        let number = words.next().ok_or(errors::SYNTAX)?;
        let number = numbers::integer(number).filter(|number| *number >= 0).ok_or(errors::NEGATIVE_LIMIT)?;
        limit = usize::try_from(number).unwrap_or(usize::MAX);
    }
    Ok(limit)
}

/// `SINTERCARD numkeys key [key …] [LIMIT limit]`.
pub(super) fn parse_count_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    let number = numbers::integer(args.at(1)).filter(|number| *number > 0).ok_or(errors::NUMKEYS)?;
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    if number > args.all.len() - 2 {
        return Err(errors::MORE_KEYS_THAN_ARGUMENTS);
    }
    let mut keys = Keys::default();
    let from = args.from(2).take(number).map(|key| keys.place(key)).collect();
    let then = Then::Count { limit: limit(args.from(2 + number))? };
    keys.joint(Work::OnSets(SetAlgebra { how: How::Intersection, from, then }))
}

/// `ZINTERCARD numkeys key [key …] [LIMIT limit]`.
pub(super) fn parse_count_sorted_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    let number = key_count(args, 1)?;
    let one = Score::new(1.0).expect("1 is a number");
    let mut keys = Keys::default();
    let from = args.from(2).take(number).map(|key| (keys.place(key), one)).collect();
    let then = Then::Count { limit: limit(args.from(2 + number))? };
    let (how, aggregate) = (How::Intersection, Aggregate::Sum);
    keys.joint(Work::OnSortedSets(SortedSetAlgebra { how, from, aggregate, then }))
}

/// `numkeys key [key …]` of sorted sets, from an index on: how many keys there are.
fn key_count(args: &Args<'_>, at: usize) -> Result<usize, Reply> {
    let number = args.integer(at)?;
    let Some(number) = usize::try_from(number).ok().filter(|number| *number > 0) else {
        return Err(errors::no_input_key(args.row.name));
    };
    if number > args.all.len() - at - 1 {
        return Err(errors::SYNTAX);
    }
    Ok(number)
}

/// `[destination] numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`.
fn sorted_sets(args: &Args<'_>, how: How, stores: bool) -> Result<Command, Reply> {
    let mut keys = Keys::default();
    let mut then = match stores {
        true => Then::Store(keys.place(args.at(1))),
        false => Then::Answer { with_scores: false },
    };
    let at = if stores { 2 } else { 1 };
    let number = key_count(args, at)?;
    let one = Score::new(1.0).expect("1 is a number");
    let mut from: Vec<(usize, Score)> =
        args.from(at + 1).take(number).map(|key| (keys.place(key), one)).collect();
    let mut aggregate = Aggregate::Sum;
    let mut words = args.from(at + 1 + number);
    while let Some(option) = words.next() {
        let weighs = how != How::Difference;
        match option {
            option if is(option, "WEIGHTS") && weighs => {
                for (_, weight) in &mut from {
                    let word = words.next().ok_or(errors::SYNTAX)?;
                    *weight = numbers::score(word).ok_or(errors::WEIGHT)?;
                }
            }
            option if is(option, "AGGREGATE") && weighs => {
                aggregate = match words.next().ok_or(errors::SYNTAX)? {
                    word if is(word, "SUM") => Aggregate::Sum,
                    word if is(word, "MIN") => Aggregate::Least,
                    word if is(word, "MAX") => Aggregate::Greatest,
                    _ => return Err(errors::SYNTAX),
                };
            }
            option if is(option, "WITHSCORES") && !stores => {
                then = Then::Answer { with_scores: true };
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    keys.joint(Work::OnSortedSets(SortedSetAlgebra { how, from, aggregate, then }))
}

/// `ZINTER numkeys key …`.
pub(super) fn parse_sorted_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Intersection, false)
}

/// `ZUNION numkeys key …`.
pub(super) fn parse_sorted_union(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Union, false)
}

/// `ZDIFF numkeys key …`.
pub(super) fn parse_sorted_difference(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Difference, false)
}

/// `ZINTERSTORE destination numkeys key …`.
pub(super) fn parse_store_sorted_intersection(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Intersection, true)
}

/// `ZUNIONSTORE destination numkeys key …`.
pub(super) fn parse_store_sorted_union(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Union, true)
}

/// `ZDIFFSTORE destination numkeys key …`.
pub(super) fn parse_store_sorted_difference(args: &Args<'_>) -> Result<Command, Reply> {
    sorted_sets(args, How::Difference, true)
}

/// `ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`.
pub(super) fn parse_store_range(args: &Args<'_>) -> Result<Command, Reply> {
    let range = parse_sorted_set::range_to_store(args)?;
    let mut keys = Keys::default();
    let to = keys.place(args.at(1));
    let from = keys.place(args.at(2));
    keys.joint(Work::StoreRange { from, to, range })
}
