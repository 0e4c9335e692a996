//! The choice of a path to the rows: the primary key or an index, and stretches of it. What the path does not tell stays a filter.

use super::bounds::{appended, bound_of, stretch, Bound};
use super::order::{backwards_for, OrderItem};
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::expression::{literal, Comparison, Expression};
use crate::key::after_all;
use crate::limits::RANGES_MAX;
use crate::row;
use crate::schema::{Index, KeyColumn, Table};

/// Keys from the first one to before the second.
pub(crate) type Range = (Vec<u8>, Vec<u8>);

/// Where rows are looked for in a partition.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    /// These rows.
    Keys(Vec<Vec<u8>>),
    /// Rows in these stretches, in order.
    Rows(Vec<Range>),
    /// Rows whose entries of this index, by its place, are in these stretches.
    Index(usize, Vec<Range>),
}

/// A path, and what its rows must fulfil besides.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) path: Path,
    pub(crate) backwards: bool,
    pub(crate) filter: Vec<Expression>,
    /// The conditions that became the path, for EXPLAIN.
    pub(crate) bounds: Vec<Expression>,
    /// Whether no row can fulfil the conditions.
    pub(crate) never: bool,
}

/// A key that could be the path.
struct Candidate<'a> {
    index: Option<(usize, &'a Index)>,
    prefixes: Vec<Vec<u8>>,
    /// Sides of the column behind those that are equal to something.
    sides: Option<(KeyColumn, Vec<(Comparison, Datum)>)>,
    /// Conditions that the path tells, and those that it tells in part.
    used: Vec<usize>,
    partly: Vec<usize>,
    equal: usize,
    whole: bool,
    backwards: bool,
}

/// Values of the partition's columns where the conditions give all of them; those conditions go.
pub(super) fn partition_of(
    table: &Table,
    conditions: &mut Vec<Expression>,
) -> Result<Option<Vec<Datum>>, Error> {
    let mut found = vec![None; table.partition.len()];
    let mut used = Vec::new();
    for (place, condition) in conditions.iter().enumerate() {
        let (column, value) = match bound_of(table, condition) {
            Some((column, Bound::Equal(value))) if !value.is_null() => (column, value),
            Some((column, Bound::OneOf(mut values))) if values.len() == 1 => (column, values.remove(0)),
            _ => continue,
        };
        let Some(slot) = table.partition.iter().position(|held| *held == column).map(|at| &mut found[at])
        else {
            continue;
        };
        if slot.is_none() {
            *slot = Some(value);
            used.push(place);
        }
    }
    let Some(values) = found.into_iter().collect::<Option<Vec<Datum>>>() else { return Ok(None) };
    let mut place = 0;
    conditions.retain(|_| {
        place += 1;
        !used.contains(&(place - 1))
    });
    Ok(Some(values))
}

/// The best path for these conditions, in this order if there is one. `begun`: the number of the index by which earlier pages went, 0 for none; where
/// that is a path, it is taken.
pub(super) fn choose(
    table: &Table,
    conditions: Vec<Expression>,
    order: &[OrderItem],
    begun: Option<u64>,
) -> Result<Access, Error> {
    let never = |condition: &Expression| match condition {
        Expression::Constant(value) => !matches!(value, Datum::Bool(true)),
        // What is compared with NULL is neither true nor false.
        Expression::Compare(_, left, right) => {
            [left, right].into_iter().any(|side| matches!(side.as_ref(), Expression::Constant(Datum::Null)))
        }
        _ => false,
    };
    if conditions.iter().any(never) {
        return Ok(Access {
            path: Path::Keys(Vec::new()),
            backwards: false,
            filter: Vec::new(),
            bounds: Vec::new(),
            never: true,
        });
    }
    let bounds: Vec<Option<(usize, Bound)>> =
        conditions.iter().map(|condition| bound_of(table, condition)).collect();
    let primary = Some(candidate(table, None, &bounds, order));
    let indexes = table.indexes.iter().enumerate().filter(|(_, index)| index.ready);
    let indexes = indexes.map(|(place, index)| Some(candidate(table, Some((place, index)), &bounds, order)));
    let mut usable: Vec<Candidate> = std::iter::once(primary).chain(indexes).flatten().flatten().collect();
    let number = |candidate: &Candidate| candidate.index.map_or(0, |(_, index)| index.id.into());
    if let Some(at) = usable.iter().position(|candidate| begun == Some(number(candidate))) {
        usable = vec![usable.swap_remove(at)];
    }
    // The primary key comes first, and is taken where an index is no better: entries of an index cost a read each.
    let better = |best, other| if score(&other) > score(&best) { other } else { best };
    let best = usable.into_iter().reduce(better);
    let Some(best) = best else { return Err(no_order(table, order)) };
    let (used, partly, path) = (best.used.clone(), best.partly.clone(), path(table, &best));
    let (mut bounds, mut filter) = (Vec::new(), Vec::new());
    for (place, condition) in conditions.into_iter().enumerate() {
        match (used.contains(&place), partly.contains(&place)) {
            (true, _) => bounds.push(condition),
            (false, true) => {
                bounds.push(condition.clone());
                filter.push(condition);
            }
            (false, false) => filter.push(condition),
        }
    }
    Ok(Access { path, backwards: best.backwards, filter, bounds, never: false })
}

fn score(candidate: &Candidate) -> (bool, usize, usize) {
    (candidate.whole, candidate.equal, candidate.sides.as_ref().map_or(0, |(_, sides)| sides.len()))
}

fn no_order(table: &Table, order: &[OrderItem]) -> Error {
    let wanted: Vec<String> = order
        .iter()
        .map(|item| {
            format!("{}{}", table.columns[item.column].name, if item.descending { " DESC" } else { "" })
        })
        .collect();
    let wanted = wanted.join(", ");
    let building = match table.indexes.iter().find(|index| !index.ready) {
        Some(index) => format!(" (index \"{}\" is still being filled)", index.name),
        None => String::new(),
    };
    let key = match table.clustering.is_empty() {
        true => "one row each".to_owned(),
        false => format!("rows ordered by {}", table.key_names(&table.clustering)),
    };
    let message = format!("no key gives ORDER BY {wanted}: partitions of \"{}\" have {key}. CREATE INDEX ON {} ({wanted}){building}", table.name, table.name);
    Error::new(ErrorKind::NeedsKey, "0A000", message)
}

/// How a key could be used, unless it has another order.
fn candidate<'a>(
    table: &Table,
    index: Option<(usize, &'a Index)>,
    bounds: &[Option<(usize, Bound)>],
    order: &[OrderItem],
) -> Option<Candidate<'a>> {
    let prefix = index.map_or_else(row::row_prefix, |(_, index)| row::index_prefix(index));
    let mut columns: Vec<KeyColumn> = index.map_or_else(Vec::new, |(_, index)| index.columns.clone());
    columns.extend(&table.clustering);
    let mut made = Candidate {
        index,
        prefixes: vec![prefix],
        sides: None,
        used: Vec::new(),
        partly: Vec::new(),
        equal: 0,
        whole: false,
        backwards: false,
    };
    let mut fixed = table.partition.clone();
    let mut all = true;
    for column in &columns {
        let of_column = || {
            bounds.iter().enumerate().filter_map(|(place, bound)| {
                bound.as_ref().filter(|(held, _)| *held == column.column).map(|(_, bound)| (place, bound))
            })
        };
        let equal = of_column().find(|(_, bound)| matches!(bound, Bound::Equal(_)));
        let one_of = of_column().find(|(_, bound)| matches!(bound, Bound::OneOf(values) if made.prefixes.len() * values.len() <= RANGES_MAX));
        if let Some((place, Bound::Equal(value))) = equal {
            made.prefixes = made.prefixes.iter().map(|prefix| appended(prefix, value, *column)).collect();
            made.used.push(place);
            fixed.push(column.column);
        } else if let Some((place, Bound::OneOf(values))) = one_of {
            made.prefixes = made
                .prefixes
                .iter()
                .flat_map(|prefix| values.iter().map(|value| appended(prefix, value, *column)))
                .collect();
            made.used.push(place);
        } else {
            let mut sides = Vec::new();
            for (place, bound) in of_column() {
                if let Bound::Sides(more, whole) = bound {
                    sides.extend(more.iter().cloned());
                    if *whole { &mut made.used } else { &mut made.partly }.push(place);
                }
            }
            made.sides = (!sides.is_empty()).then_some((*column, sides));
            all = false;
            break;
        }
        made.equal += 1;
    }
    made.whole = all && index.is_none();
    made.prefixes.sort();
    made.prefixes.dedup();
    made.backwards = match backwards_for(order, &columns, &fixed) {
        Some(backwards) => backwards,
        // At most one row has no order.
        None if made.whole && made.prefixes.len() == 1 => false,
        None => return None,
    };
    Some(made)
}

fn path(table: &Table, candidate: &Candidate) -> Path {
    if candidate.whole {
        assert!(candidate.index.is_none(), "rows have whole keys, entries of indexes have not");
        return Path::Keys(candidate.prefixes.clone());
    }
    let one = |prefix: &Vec<u8>| match &candidate.sides {
        Some((column, sides)) => stretch(prefix, *column, sides),
        None => after_all(prefix).map(|to| (prefix.clone(), to)),
    };
    let ranges: Vec<Range> = candidate.prefixes.iter().filter_map(one).collect();
    match candidate.index {
        Some((place, _)) => Path::Index(place, ranges),
        None if table.clustering.is_empty() => Path::Keys(vec![row::row_prefix()]),
        None => Path::Rows(ranges),
    }
}

/// Names the values of a partition, for EXPLAIN.
pub(super) fn shown_values(table: &Table, values: &[Datum]) -> String {
    let pairs = table
        .partition
        .iter()
        .zip(values)
        .map(|(column, value)| format!("{} = {}", table.columns[*column].name, literal(value)));
    pairs.collect::<Vec<_>>().join(", ")
}
