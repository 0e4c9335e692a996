//! SORT and SORT_RO: the elements of a list, a set or a sorted set in an order that is asked for; answered, or stored as a list.
//!
//! As in a cluster of Redis', what would look at other keys by a pattern (BY with a `*`, and GET) is refused by name. ALPHA compares
//! bytes, whatever the locale; so the order is the same on all hosts.

use super::algebra;
use super::codec::Arguments;
use super::joint::{Keys, States, Work};
use super::objects::keep;
use super::parse::{is, Args};
use super::{errors, numbers, Command, Context, Op};
use crate::object::{Element, List, Score, Set, SortedSet};
use crate::reply::Reply;
use crate::state::{State, Value};

/// What elements are compared by. Equal ones are compared by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The numbers that they spell.
    Number,
    /// Their bytes.
    Bytes,
    /// Nothing: they stay in the order of their object.
    Place,
}

/// In which order, and which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    by: By,
    /// The last one comes first.
    descends: bool,
    /// How many are left out in front.
    skip: u64,
    /// How many there are at most. None: all.
    count: Option<u64>,
}

impl Sort {
    /// Its argument list. What is stored does not travel: it is a joint command's.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        let by: &[&str] = match self.by {
            By::Number => &[],
            By::Bytes => &["ALPHA"],
            By::Place => &["BY", "NOSORT"],
        };
        let order = if self.descends { "DESC" } else { "ASC" };
        let to = by.iter().fold(to.text("SORT_RO").bytes(key), |to, word| to.text(word));
        let to = to.text(order).text("LIMIT").number(self.skip);
        match self.count {
            Some(count) => to.number(count),
            None => to.number(-1),
        }
    }

    /// From which place up to which, that one excluded, of so many.
    fn places(&self, len: usize) -> (usize, usize) {
        let cut = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(len);
        let from = cut(self.skip);
        (from, self.count.map_or(len, |count| cut(count).saturating_add(from).min(len)))
    }
}

/// Elements of an object as they come, from a place on, so many at most.
fn some(value: &Value, from: usize, count: usize) -> Vec<&Element> {
    match value {
        Value::List(list) => list.iter_from(from).take(count).collect(),
        Value::Set(set) => set.iter().skip(from).take(count).collect(),
        Value::SortedSet(set) => set.iter_from(from).map(|(_, member)| member).take(count).collect(),
        Value::Str(_) | Value::Hash(_) | Value::Rows(_) | Value::Group(_) => Vec::new(),
    }
}

/// The elements that are asked for. `stores`: then those of a set are in an order even if none is asked for, which is that of their bytes.
fn sorted<'a>(sort: &Sort, value: Option<&'a Value>, stores: bool) -> Result<Vec<&'a Element>, Reply> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let len = match value {
        Value::List(list) => List::len(list),
        Value::Set(set) => Set::len(set),
        Value::SortedSet(set) => SortedSet::len(set),
        Value::Str(_) | Value::Hash(_) | Value::Rows(_) | Value::Group(_) => return Err(errors::WRONG_TYPE),
    };
    let (from, to) = sort.places(len);
    Ok(match sort.by {
        By::Place if sort.descends && (stores || !matches!(value, Value::Set(_))) => {
            let mut elements = some(value, len - to, to - from);
            elements.reverse();
            elements
        }
        By::Place => some(value, from, to - from),
        By::Bytes => ordered(some(value, 0, len), (from, to), sort.descends),
        By::Number => {
            let weigh = |element: &'a Element| numbers::weight(element).map(|weight| (weight, element));
            let weighed: Option<Vec<(Score, &Element)>> =
                some(value, 0, len).into_iter().map(weigh).collect();
            let weighed = weighed.ok_or(errors::NOT_TO_BE_SORTED)?;
            ordered(weighed, (from, to), sort.descends).into_iter().map(|(_, element)| element).collect()
        }
    })
}

/// Those from one place up to another in the order. What is behind them is not put in order.
fn ordered<T: Ord>(mut items: Vec<T>, (from, to): (usize, usize), descends: bool) -> Vec<T> {
    let compare = |one: &T, other: &T| if descends { other.cmp(one) } else { one.cmp(other) };
    if to < items.len() {
        items.select_nth_unstable_by(to, compare);
        items.truncate(to);
    }
    items.sort_unstable_by(compare);
    items.drain(..from);
    items
}

/// Runs it on its key, and answers.
pub(super) fn run(sort: &Sort, state: &State) -> Reply {
    match sorted(sort, state.value.as_ref(), false) {
        Ok(elements) => Reply::Array(elements.into_iter().map(Reply::bulk).collect()),
        Err(error) => error,
    }
}

/// Runs it on one key, and puts a list of the result to another, whatever was there.
pub(super) fn store(
    states: &mut States<'_>,
    (from, to): (usize, usize),
    sort: &Sort,
    context: &mut Context<'_>,
) -> Reply {
    let mut list = List::default();
    match sorted(sort, states.look(from).value.as_ref(), true) {
        Ok(elements) => elements.into_iter().for_each(|element| list.insert(list.len(), element)),
        Err(error) => return error,
    }
    algebra::store(states.at(to), list.len(), |state| keep(state, list, context))
}

// ---- arguments ----

/// `key [BY pattern] [LIMIT offset count] [GET pattern] [ASC|DESC] [ALPHA] [STORE destination]`: the last one counts of what comes twice.
fn options<'a>(args: &Args<'a>, may_store: bool) -> Result<(Sort, Option<&'a [u8]>), Reply> {
    let mut sort = Sort { by: By::Number, descends: false, skip: 0, count: None };
    let (mut stays, mut store) = (false, None);
    let mut words = args.from(2);
    while let Some(option) = words.next() {
        let mut next = || words.next().ok_or(errors::SYNTAX);
        match option {
            option if is(option, "ASC") => sort.descends = false,
            option if is(option, "DESC") => sort.descends = true,
            option if is(option, "ALPHA") => sort.by = By::Bytes,
            option if is(option, "LIMIT") => {
                let (skip, count) = (next()?, next()?);
                let number = |word| numbers::integer(word).ok_or(errors::NOT_AN_INTEGER);
                sort.skip = u64::try_from(number(skip)?).unwrap_or(0);
                sort.count = u64::try_from(number(count)?).ok();
            }
            option if is(option, "STORE") && may_store => store = Some(next()?),
            option if is(option, "BY") => {
                if next()?.contains(&b'*') {
                    return Err(errors::SORT_BY_OTHER_KEYS);
                }
                stays = true;
            }
            option if is(option, "GET") => {
                next()?;
                return Err(errors::SORT_GET_OTHER_KEYS);
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    if stays {
        sort.by = By::Place;
    }
    Ok((sort, store))
}

/// `SORT key [BY pattern] [LIMIT offset count] [ASC|DESC] [ALPHA] [STORE destination]`. The destination comes first: it is the anchor.
pub(super) fn parse(args: &Args<'_>) -> Result<Command, Reply> {
    let (sort, store) = options(args, true)?;
    let Some(destination) = store else { return args.on_key(Op::Sort(sort)) };
    let mut keys = Keys::default();
    let to = keys.place(destination);
    let from = keys.place(args.at(1));
    keys.joint(Work::StoreSorted { from, to, sort })
}

/// `SORT_RO key [BY pattern] [LIMIT offset count] [ASC|DESC] [ALPHA]`.
pub(super) fn parse_read_only(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Sort(options(args, false)?.0))
}
