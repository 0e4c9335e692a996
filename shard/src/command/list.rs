//! Lists: what the commands do with them, and how they read their arguments.

use super::codec::Arguments;
use super::objects::{bytes_of, copy, count, keep, object};
use super::parse::{is, Args};
use super::{errors, numbers, Command, Context, Op};
use crate::object::List;
use crate::reply::Reply;
use crate::state::State;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where LPUSH and LPOP work.
    Left,
    /// Where RPUSH and RPOP work.
    Right,
}

/// What can be done with a list. Places count from 0, negative ones from the end, which is -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOp {
    /// LPUSH, RPUSH, LPUSHX, RPUSHX.
    Push {
        /// Where.
        end: End,
        /// Whether an absent list stays absent.
        if_present: bool,
        /// One after the other.
        elements: Vec<Box<[u8]>>,
    },
    /// LPOP and RPOP, with a count or without.
    Pop(End, Option<u64>),
    /// LLEN.
    Count,
    /// LINDEX.
    Get(i64),
    /// LRANGE: the first and the last place.
    Range(i64, i64),
    /// LSET.
    Set(i64, Box<[u8]>),
    /// LINSERT.
    Insert {
        /// BEFORE rather than AFTER.
        before: bool,
        /// The element beside which it comes.
        pivot: Box<[u8]>,
        /// What is inserted.
        element: Box<[u8]>,
    },
    /// LREM: so many from the front, from the end if negative; 0 = all.
    Remove(i64, Box<[u8]>),
    /// LTRIM: the first and the last place that stay.
    Trim(i64, i64),
    /// LPOS.
    Find(Search),
}

/// What LPOS looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The element.
    pub element: Box<[u8]>,
    /// Which of those that are found is the first to count; negative from the end. Not 0.
    pub rank: i64,
    /// How many are wanted, 0 = all. None: one, and not as a list.
    pub count: Option<u64>,
    /// How many elements are looked at; 0 = all.
    pub looks_max: u64,
}

impl ListOp {
    /// Bytes of the arguments that can be long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            ListOp::Push { elements, .. } => bytes_of(elements),
            ListOp::Set(_, element) | ListOp::Remove(_, element) => element.len(),
            ListOp::Insert { pivot, element, .. } => pivot.len() + element.len(),
            ListOp::Find(search) => search.element.len(),
            ListOp::Pop(..) | ListOp::Count | ListOp::Get(_) | ListOp::Range(..) | ListOp::Trim(..) => 0,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        match self {
            ListOp::Count | ListOp::Get(_) | ListOp::Range(..) | ListOp::Find(_) => true,
            ListOp::Push { .. }
            | ListOp::Pop(..)
            | ListOp::Set(..)
            | ListOp::Insert { .. }
            | ListOp::Remove(..)
            | ListOp::Trim(..) => false,
        }
    }

    /// Its argument list.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        match self {
            ListOp::Push { end, if_present, elements } => {
                let name = match (end, if_present) {
                    (End::Left, false) => "LPUSH",
                    (End::Right, false) => "RPUSH",
                    (End::Left, true) => "LPUSHX",
                    (End::Right, true) => "RPUSHX",
                };
                to.text(name).bytes(key).all(elements)
            }
            ListOp::Pop(end, count) => {
                to.text(if *end == End::Left { "LPOP" } else { "RPOP" }).bytes(key);
                match count {
                    Some(count) => to.number(count),
                    None => to,
                }
            }
            ListOp::Count => to.text("LLEN").bytes(key),
            ListOp::Get(place) => to.text("LINDEX").bytes(key).number(place),
            ListOp::Range(first, last) => to.text("LRANGE").bytes(key).number(first).number(last),
            ListOp::Set(place, element) => to.text("LSET").bytes(key).number(place).bytes(element),
            ListOp::Insert { before, pivot, element } => {
                let side = if *before { "BEFORE" } else { "AFTER" };
                to.text("LINSERT").bytes(key).text(side).bytes(pivot).bytes(element)
            }
            ListOp::Remove(count, element) => to.text("LREM").bytes(key).number(count).bytes(element),
            ListOp::Trim(first, last) => to.text("LTRIM").bytes(key).number(first).number(last),
            ListOp::Find(search) => {
                to.text("LPOS").bytes(key).bytes(&search.element).text("RANK").number(search.rank);
                if let Some(count) = search.count {
                    to.text("COUNT").number(count);
                }
                to.text("MAXLEN").number(search.looks_max)
            }
        }
    }
}

/// Runs a command on a key that holds a list or nothing.
pub(super) fn run(op: &ListOp, state: &mut State, context: &mut Context<'_>) -> Reply {
    let changed = match op {
        ListOp::Push { end, if_present, elements } => push(state, *end, *if_present, elements, context),
        ListOp::Pop(end, count) => pop(state, *end, *count, context),
        ListOp::Set(place, element) => set(state, *place, element, context),
        ListOp::Insert { before, pivot, element } => insert(state, *before, pivot, element, context),
        ListOp::Remove(count, element) => remove(state, *count, element, context),
        ListOp::Trim(first, last) => trim(state, *first, *last, context),
        ListOp::Count | ListOp::Get(_) | ListOp::Range(..) | ListOp::Find(_) => {
            return look(op, object(state));
        }
    };
    changed.unwrap_or_else(|error| error)
}

/// What changes nothing.
fn look(op: &ListOp, list: Option<&List>) -> Reply {
    let len = list.map_or(0, List::len);
    match op {
        ListOp::Count => count(len),
        ListOp::Get(at) => {
            let element = list.zip(place(*at, len)).and_then(|(list, place)| list.get(place));
            element.map_or(Reply::Nil, Reply::bulk)
        }
        ListOp::Range(first, last) => {
            let (from, to) = range(*first, *last, len);
            // Its iterator tells how many come, so the reply is allocated once.
            let elements = |list: &List| list.iter_from(from).take(to - from).map(Reply::bulk).collect();
            Reply::Array(list.map(elements).unwrap_or_default())
        }
        ListOp::Find(search) => find(search, list),
        ListOp::Push { .. }
        | ListOp::Pop(..)
        | ListOp::Set(..)
        | ListOp::Insert { .. }
        | ListOp::Remove(..)
        | ListOp::Trim(..) => unreachable!("it is a write"),
    }
}

/// The place that an argument means, if it is one of a list of so many elements.
fn place(at: i64, len: usize) -> Option<usize> {
    let from_start = match usize::try_from(at) {
        Ok(at) => at,
        Err(_) => len.checked_sub(usize::try_from(at.unsigned_abs()).ok()?)?,
    };
    (from_start < len).then_some(from_start)
}

/// From where up to where two arguments reach, the last one included, cut to what there is.
pub(super) fn range(first: i64, last: i64, len: usize) -> (usize, usize) {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let from = from_start(first).max(0);
    let to = from_start(last).saturating_add(1).min(len);
    if from >= to {
        return (0, 0);
    }
    (from as usize, to as usize)
}

fn push(
    state: &mut State,
    end: End,
    if_present: bool,
    elements: &[Box<[u8]>],
    context: &Context<'_>,
) -> Result<Reply, Reply> {
    if if_present && state.value.is_none() {
        return Ok(Reply::Int(0));
    }
    let mut list: List = copy(state);
    for element in elements {
        let place = if end == End::Left { 0 } else { list.len() };
        list.insert(place, element);
    }
    let len = list.len();
    keep(state, list, context)?;
    Ok(count(len))
}

fn pop(state: &mut State, end: End, wanted: Option<u64>, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut list: List = copy(state);
    if list.is_empty() {
        return Ok(if wanted.is_some() { Reply::NilArray } else { Reply::Nil });
    }
    let mut popped = Vec::new();
    while (popped.len() as u64) < wanted.unwrap_or(1) && !list.is_empty() {
        let place = if end == End::Left { 0 } else { list.len() - 1 };
        popped.push(Reply::bulk(list.remove(place)));
    }
    if !popped.is_empty() {
        keep(state, list, context)?;
    }
    match wanted {
        Some(_) => Ok(Reply::Array(popped)),
        None => Ok(popped.pop().unwrap_or(Reply::Nil)),
    }
}

fn set(state: &mut State, at: i64, element: &[u8], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut list: List = copy(state);
    if list.is_empty() {
        return Err(errors::NO_SUCH_KEY);
    }
    let place = place(at, list.len()).ok_or(errors::INDEX_OUT_OF_RANGE)?;
    list.replace(place, element);
    keep(state, list, context)?;
    Ok(Reply::OK)
}

fn insert(
    state: &mut State,
    before: bool,
    pivot: &[u8],
    element: &[u8],
    context: &Context<'_>,
) -> Result<Reply, Reply> {
    let mut list: List = copy(state);
    if list.is_empty() {
        return Ok(Reply::Int(0));
    }
    let Some(place) = list.iter_from(0).position(|other| **other == *pivot) else {
        return Ok(Reply::Int(-1));
    };
    list.insert(if before { place } else { place + 1 }, element);
    let len = list.len();
    keep(state, list, context)?;
    Ok(count(len))
}

fn remove(state: &mut State, wanted: i64, element: &[u8], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut list: List = copy(state);
    let same = list.iter_from(0).enumerate().filter(|(_, other)| ***other == *element);
    let mut places: Vec<usize> = same.map(|(place, _)| place).collect();
    let most = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
    if wanted > 0 {
        places.truncate(most);
    } else if wanted < 0 {
        places.drain(..places.len().saturating_sub(most));
    }
    // From the end, so that the places of the others stay.
    places.iter().rev().for_each(|place| drop(list.remove(*place)));
    if !places.is_empty() {
        keep(state, list, context)?;
    }
    Ok(count(places.len()))
}

fn trim(state: &mut State, first: i64, last: i64, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut list: List = copy(state);
    let (from, to) = range(first, last, list.len());
    if to - from < list.len() {
        list.cut(from, to);
        keep(state, list, context)?;
    }
    Ok(Reply::OK)
}

fn find(search: &Search, list: Option<&List>) -> Reply {
    let len = list.map_or(0, List::len);
    let looks = usize::try_from(search.looks_max).ok().filter(|looks| *looks > 0).unwrap_or(len).min(len);
    let skip = usize::try_from(search.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let wanted = match search.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let from = if search.rank > 0 { 0 } else { len - looks };
    let looked_at = list.into_iter().flat_map(|list| list.iter_from(from)).take(looks);
    let same = looked_at.enumerate().filter(|(_, element)| ***element == *search.element);
    let places = same.map(|(place, _)| from + place);
    let found: Vec<usize> = if search.rank > 0 {
        places.skip(skip).take(wanted).collect()
    } else {
        let all: Vec<usize> = places.collect();
        all.into_iter().rev().skip(skip).take(wanted).collect()
    };
    if search.count.is_some() {
        return Reply::Array(found.into_iter().map(count).collect());
    }
    found.first().map_or(Reply::Nil, |place| count(*place))
}

/// Most bytes of a list that Redis keeps in one piece.
const PACKED_BYTES_MAX: usize = 8 * 1024;

/// What Redis would say of a list freshly made.
pub(super) fn encoding(list: &List) -> &'static str {
    if list.encoded_bytes() <= PACKED_BYTES_MAX {
        "listpack"
    } else {
        "quicklist"
    }
}

fn on_key(args: &Args<'_>, op: ListOp) -> Result<Command, Reply> {
    args.on_key(Op::OnList(op))
}

fn push_of(args: &Args<'_>, end: End, if_present: bool) -> Result<Command, Reply> {
    on_key(args, ListOp::Push { end, if_present, elements: args.from(2).map(Into::into).collect() })
}

/// LPUSH key element …
pub(super) fn parse_push_left(args: &Args<'_>) -> Result<Command, Reply> {
    push_of(args, End::Left, false)
}

/// RPUSH key element …
pub(super) fn parse_push_right(args: &Args<'_>) -> Result<Command, Reply> {
    push_of(args, End::Right, false)
}

/// LPUSHX key element …
pub(super) fn parse_push_left_if_present(args: &Args<'_>) -> Result<Command, Reply> {
    push_of(args, End::Left, true)
}

/// RPUSHX key element …
pub(super) fn parse_push_right_if_present(args: &Args<'_>) -> Result<Command, Reply> {
    push_of(args, End::Right, true)
}

/// A count that may follow the key.
pub(super) fn count_behind_key(args: &Args<'_>) -> Result<Option<u64>, Reply> {
    match args.all.get(2) {
        None => Ok(None),
        Some(_) if args.all.len() > 3 => Err(errors::arity(args.row.name)),
        Some(count) => {
            let count = numbers::integer(count).and_then(|count| u64::try_from(count).ok());
            Ok(Some(count.ok_or(errors::NOT_POSITIVE)?))
        }
    }
}

/// `LPOP key [count]`.
pub(super) fn parse_pop_left(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Pop(End::Left, count_behind_key(args)?))
}

/// RPOP key [count].
pub(super) fn parse_pop_right(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Pop(End::Right, count_behind_key(args)?))
}

/// LLEN key.
pub(super) fn parse_count(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Count)
}

/// LINDEX key index.
pub(super) fn parse_get(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Get(args.integer(2)?))
}

/// LRANGE key start stop.
pub(super) fn parse_range(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Range(args.integer(2)?, args.integer(3)?))
}

/// LSET key index element.
pub(super) fn parse_set(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Set(args.integer(2)?, args.owned(3)))
}

/// LINSERT key BEFORE|AFTER pivot element.
pub(super) fn parse_insert(args: &Args<'_>) -> Result<Command, Reply> {
    let before = is(args.at(2), "BEFORE");
    if !before && !is(args.at(2), "AFTER") {
        return Err(errors::SYNTAX);
    }
    on_key(args, ListOp::Insert { before, pivot: args.owned(3), element: args.owned(4) })
}

/// LREM key count element.
pub(super) fn parse_remove(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Remove(args.integer(2)?, args.owned(3)))
}

/// LTRIM key start stop.
pub(super) fn parse_trim(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, ListOp::Trim(args.integer(2)?, args.integer(3)?))
}

/// `LPOS key element [RANK rank] [COUNT count] [MAXLEN length]`.
pub(super) fn parse_find(args: &Args<'_>) -> Result<Command, Reply> {
    let mut search = Search { element: args.owned(2), rank: 1, count: None, looks_max: 0 };
    let mut from = args.from(3);
    while let Some(option) = from.next() {
        let number = numbers::integer(from.next().ok_or(errors::SYNTAX)?);
        let unsigned = |error| number.and_then(|number| u64::try_from(number).ok()).ok_or(error);
        if is(option, "RANK") {
            search.rank = match number.ok_or(errors::NOT_AN_INTEGER)? {
                0 => return Err(errors::RANK_ZERO),
                i64::MIN => return Err(errors::OUT_OF_RANGE),
                rank => rank,
            };
        } else if is(option, "COUNT") {
            search.count = Some(unsigned(errors::NEGATIVE_COUNT)?);
        } else if is(option, "MAXLEN") {
            search.looks_max = unsigned(errors::NEGATIVE_MAXLEN)?;
        } else {
            return Err(errors::SYNTAX);
        }
    }
    on_key(args, ListOp::Find(search))
}
