//! Which conditions say where in a key to look, and which bytes that is.

use crate::cast::{below, exactly, Below};
use crate::datum::Datum;
use crate::expression::{Comparison, Expression};
use crate::key::{after_all, encode};
use crate::schema::{KeyColumn, Table};

/// What a condition says of one column.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    /// It is this value, which may be NULL.
    Equal(Datum),
    /// It is one of these, none of which is NULL.
    OneOf(Vec<Datum>),
    /// It is not NULL and on these sides of values; and whether the condition says no more than that.
    Sides(Vec<(Comparison, Datum)>, bool),
}

/// The column that an expression is, possibly as a wider number.
fn column_of(expression: &Expression) -> Option<usize> {
    match expression {
        Expression::Column(column) => Some(*column),
        Expression::Cast(inner, to) if to.kind.is_number() => match inner.as_ref() {
            Expression::Column(column) => Some(*column),
            _ => None,
        },
        _ => None,
    }
}

fn constant_of(expression: &Expression) -> Option<&Datum> {
    match expression {
        Expression::Constant(value) => Some(value),
        _ => None,
    }
}

/// What the condition says of a column, if it says no more than that.
pub(super) fn bound_of(table: &Table, condition: &Expression) -> Option<(usize, Bound)> {
    match condition {
        Expression::Compare(comparison, left, right) => {
            let (column, value, comparison) = match (column_of(left), constant_of(right)) {
                (Some(column), Some(value)) => (column, value, *comparison),
                _ => (column_of(right)?, constant_of(left)?, comparison.flipped()),
            };
            let widened = !matches!(
                (left.as_ref(), right.as_ref()),
                (Expression::Column(_), _) | (_, Expression::Column(_))
            );
            let Some(value) = exact(table, column, value, widened) else {
                return inexact(table, column, value, comparison).map(|bound| (column, bound));
            };
            match comparison {
                Comparison::Equal => Some((column, Bound::Equal(value))),
                Comparison::NotEqual => None,
                side => Some((column, Bound::Sides(vec![(side, value)], true))),
            }
        }
        Expression::In { value, list, negated: false } => {
            let column = column_of(value)?;
            let widened = !matches!(value.as_ref(), Expression::Column(_));
            let mut values = Vec::new();
            for item in list {
                let item = constant_of(item)?;
                match exact(table, column, item, widened) {
                    Some(value) => values.push(value),
                    // What the column cannot hold is none of its values.
                    None => {
                        below(item, table.columns[column].kind)?;
                    }
                }
            }
            Some((column, Bound::OneOf(values)))
        }
        Expression::Like { value, pattern, negated: false } => match (value.as_ref(), pattern.as_ref()) {
            (Expression::Column(column), Expression::Constant(Datum::Text(pattern))) => {
                let (sides, whole) = begins_with(pattern)?;
                Some((*column, Bound::Sides(sides, whole)))
            }
            _ => None,
        },
        Expression::IsNull { value, negated: false } => match value.as_ref() {
            Expression::Column(column) => Some((*column, Bound::Equal(Datum::Null))),
            _ => None,
        },
        _ => None,
    }
}

/// Between which texts those lie that a pattern takes, and whether all in between are: it begins with characters that stand for themselves.
fn begins_with(pattern: &str) -> Option<(Vec<(Comparison, Datum)>, bool)> {
    let end = pattern.find(['%', '_', '\\']).unwrap_or(pattern.len());
    let (begin, rest) = pattern.split_at(end);
    let mut next: Vec<char> = begin.chars().collect();
    // The least text behind all that begin so: with the last character that has a next one replaced by that.
    let after = loop {
        let last = next.pop()?;
        // Between these two there are no characters.
        let following =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(following) = following {
            break next.iter().chain([&following]).collect::<String>();
        }
    };
    let sides = vec![
        (Comparison::GreaterOrEqual, Datum::Text(begin.to_owned())),
        (Comparison::Less, Datum::Text(after)),
    ];
    Some((sides, rest == "%"))
}

/// The value in the column's own type. Columns that are compared as doubles are not looked up: several of their values are one double.
fn exact(table: &Table, column: usize, value: &Datum, widened: bool) -> Option<Datum> {
    let kind = table.columns[column].kind;
    let double = matches!(value, Datum::Double(_));
    match widened && double {
        true => None,
        false => exactly(value, kind),
    }
}

/// What a comparison with a number says of a column that cannot hold it: its values are less than that, or greater.
fn inexact(table: &Table, column: usize, value: &Datum, comparison: Comparison) -> Option<Bound> {
    let place = below(value, table.columns[column].kind)?;
    let greater = match comparison {
        Comparison::Greater | Comparison::GreaterOrEqual => true,
        Comparison::Less | Comparison::LessOrEqual => false,
        Comparison::Equal => return Some(Bound::OneOf(Vec::new())),
        Comparison::NotEqual => return None,
    };
    let side = match (place, greater) {
        (Below::Down(down), true) => (Comparison::Greater, down),
        (Below::Down(down), false) => (Comparison::LessOrEqual, down),
        (Below::None(least), true) => (Comparison::GreaterOrEqual, least),
        (Below::None(_), false) => return Some(Bound::OneOf(Vec::new())),
    };
    Some(Bound::Sides(vec![side], true))
}

/// The bytes of a key's values, one behind the other.
pub(super) fn appended(prefix: &[u8], value: &Datum, column: KeyColumn) -> Vec<u8> {
    let mut key = prefix.to_vec();
    encode(value, column.descending, &mut key);
    key
}

/// The stretch of keys behind a prefix whose next value is not NULL and within the sides; empty stretches are none.
pub(super) fn stretch(
    prefix: &[u8],
    column: KeyColumn,
    sides: &[(Comparison, Datum)],
) -> Option<(Vec<u8>, Vec<u8>)> {
    // All values that are not NULL begin with one byte.
    let mut any = appended(prefix, &Datum::Bool(false), column);
    any.truncate(prefix.len() + 1);
    let mut to = after_all(&any)?;
    let mut from = any;
    for (comparison, value) in sides {
        let key = appended(prefix, value, column);
        let comparison = if column.descending { comparison.flipped() } else { *comparison };
        match comparison {
            Comparison::Greater => from = from.max(after_all(&key)?),
            Comparison::GreaterOrEqual => from = from.max(key),
            Comparison::Less => to = to.min(key),
            _ => to = to.min(after_all(&key)?),
        }
    }
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn patterns_are_ranges() {
        let rows = [
            ("ab%", Some(("ab", "ac", true))),
            ("ab", Some(("ab", "ac", false))),
            ("a_b%", Some(("a", "b", false))),
            ("a\\%%", Some(("a", "b", false))),
            ("a\u{d7ff}%", Some(("a\u{d7ff}", "a\u{e000}", true))),
            ("a\u{10ffff}%", Some(("a\u{10ffff}", "b", true))),
            ("\u{10ffff}%", None),
            ("%a", None),
            ("", None),
        ];
        for (pattern, expected) in rows {
            let found = begins_with(pattern).map(|(sides, whole)| {
                let texts: Vec<String> = sides.iter().filter_map(|(_, value)| value.text()).collect();
                (texts[0].clone(), texts[1].clone(), whole)
            });
            let expected = expected.map(|(from, to, whole)| (from.to_owned(), to.to_owned(), whole));
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
