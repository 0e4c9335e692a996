//! Casts: which there are, who may do them unasked, and what comes of them. All of it is PostgreSQL's.

use crate::datum::Datum;
use crate::error::Error;
use crate::numeric::Numeric;
use crate::types::{ColumnType, Type};

/// Who may cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Any expression, unasked.
    Implicit,
    /// What is stored into a column.
    Assignment,
    /// CAST and `::`.
    Explicit,
}

/// Who may cast from one type to another, if anybody may.
pub(crate) fn level(from: Type, to: Type) -> Option<Level> {
    if from == to {
        return Some(Level::Implicit);
    }
    match (from.rank(), to.rank()) {
        (Some(low), Some(high)) if low < high => return Some(Level::Implicit),
        (Some(_), Some(_)) => return Some(Level::Assignment),
        _ => {}
    }
    match (from, to) {
        (_, Type::Text) => Some(Level::Assignment),
        (Type::Text, _) | (Type::Bool, Type::Int) | (Type::Int, Type::Bool) => Some(Level::Explicit),
        _ => None,
    }
}

/// A value as one of another type.
pub(crate) fn cast(value: Datum, to: ColumnType) -> Result<Datum, Error> {
    let cast = match (value, to.kind) {
        (Datum::Null, _) => Datum::Null,
        (Datum::Bool(value), Type::Int) => Datum::Int(value.into()),
        (Datum::Bool(value), Type::Text) => Datum::Text(if value { "true" } else { "false" }.to_owned()),
        (Datum::Int(value), Type::Bool) => Datum::Bool(value != 0),
        (Datum::Text(value), Type::Text) => Datum::Text(value),
        (Datum::Text(value), _) => return Datum::parse(&value, to),
        (value, kind) if kind.is_number() && value.kind().is_some_and(Type::is_number) => {
            to_number(value, to)?
        }
        (value, Type::Text) => Datum::Text(value.text().unwrap_or_default()),
        (value, kind) if value.kind() == Some(kind) => value,
        (value, kind) => {
            let from = value.kind().map_or("NULL", Type::name);
            return Err(Error::new(
                crate::ErrorKind::Type,
                "42846",
                format!("cannot cast type {from} to {kind}"),
            ));
        }
    };
    Ok(cast)
}

fn to_number(value: Datum, to: ColumnType) -> Result<Datum, Error> {
    Ok(match to.kind {
        Type::Int => Datum::Int(
            to_integer(&value)
                .and_then(|wide| i32::try_from(wide).ok())
                .ok_or_else(|| Error::out_of_range("integer"))?,
        ),
        Type::BigInt => Datum::BigInt(to_integer(&value).ok_or_else(|| Error::out_of_range("bigint"))?),
        Type::Double => Datum::Double(to_double(&value)?),
        _ => {
            let number = to_numeric(&value)?;
            Datum::Numeric(match to.precision {
                Some(precision) => number.fitted(precision)?,
                None => number,
            })
        }
    })
}

/// Decimals round halves away from zero, doubles to the even neighbour.
fn to_integer(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int(value) => Some((*value).into()),
        Datum::BigInt(value) => Some(*value),
        Datum::Numeric(value) => value.to_integer(),
        Datum::Double(value) => {
            let rounded = value.round_ties_even();
            // 2^63 itself is out of range, and is what the greatest integer rounds to.
            let bound = 9_223_372_036_854_775_808.0;
            (rounded >= -bound && rounded < bound).then_some(rounded as i64)
        }
        _ => None,
    }
}

pub(crate) fn to_double(value: &Datum) -> Result<f64, Error> {
    Ok(match value {
        Datum::Int(value) => f64::from(*value),
        Datum::BigInt(value) => *value as f64,
        Datum::Double(value) => *value,
        Datum::Numeric(value) => crate::double::parse(&value.to_string())?,
        _ => return Err(Error::mismatch("a number is needed here")),
    })
}

pub(crate) fn to_numeric(value: &Datum) -> Result<Numeric, Error> {
    match value {
        Datum::Int(value) => Ok(Numeric::from(i64::from(*value))),
        Datum::BigInt(value) => Ok(Numeric::from(*value)),
        Datum::Numeric(value) => Ok(value.clone()),
        Datum::Double(value) if value.is_finite() => {
            // 15 significant digits, without zeros at their end, as C's %.15g.
            let text = format!("{value:.14e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            Numeric::parse(&format!("{}e{exponent}", mantissa.trim_end_matches('0')))
        }
        Datum::Double(_) => Err(Error::new(
            crate::ErrorKind::Value,
            "22003",
            "NUMERIC holds neither NaN nor infinity; DOUBLE does",
        )),
        _ => Err(Error::mismatch("a number is needed here")),
    }
}

/// The value in another type, if it is exactly the same there: a bound of a key.
pub(crate) fn exactly(value: &Datum, to: ColumnType) -> Option<Datum> {
    let from = value.kind()?;
    if from == to.kind && from != Type::Numeric {
        return Some(value.clone());
    }
    if !from.is_number() || !to.kind.is_number() {
        return None;
    }
    // Doubles are compared as doubles: what is equal to one there need not be so in the column's type.
    if (from == Type::Double) != (to.kind == Type::Double) && from == Type::Double {
        return None;
    }
    let there = cast(value.clone(), to).ok()?;
    let back = cast(there.clone(), ColumnType::plain(from)).ok()?;
    (back.compare(value)? == std::cmp::Ordering::Equal).then_some(there)
}

/// The values of a column's type below a number that it does not hold.
pub(crate) enum Below {
    /// This is the greatest of them.
    Down(Datum),
    /// There are none: this is the least value of the type, and greater.
    None(Datum),
}

/// Where a number lies among the values of a column's type, which are integers, or have so many digits. Other types have no such places.
pub(crate) fn below(value: &Datum, to: ColumnType) -> Option<Below> {
    if !matches!(value, Datum::Int(_) | Datum::BigInt(_) | Datum::Numeric(_)) {
        return None;
    }
    let (scale, least, greatest) = match (to.kind, to.precision) {
        (Type::Int, _) => (0, Numeric::from(i64::from(i32::MIN)), Numeric::from(i64::from(i32::MAX))),
        (Type::BigInt, _) => (0, Numeric::from(i64::MIN), Numeric::from(i64::MAX)),
        (Type::Numeric, Some(precision)) => {
            let greatest = Numeric::greatest(precision);
            (precision.scale, greatest.negated(), greatest)
        }
        _ => return None,
    };
    let number = to_numeric(value).ok()?;
    if number < least {
        return cast(Datum::Numeric(least), to).ok().map(Below::None);
    }
    let down = if number > greatest { greatest } else { number.floored(scale) };
    cast(Datum::Numeric(down), to).ok().map(Below::Down)
}

#[cfg(test)]
mod tests {
    use super::{cast, exactly, level, Level};
    use crate::datum::Datum;
    use crate::types::{ColumnType, Type};

    #[test]
    fn values_are_cast_as_in_postgresql() {
        let rows = [
            (Datum::Double(2.5), Type::Int, Ok("2")),
            (Datum::Double(3.5), Type::BigInt, Ok("4")),
            (Datum::Double(f64::NAN), Type::Int, Err("22003")),
            (Datum::Double(9.3e18), Type::BigInt, Err("22003")),
            (Datum::Double(0.1), Type::Numeric, Ok("0.1")),
            (Datum::Double(1e20), Type::Numeric, Ok("100000000000000000000")),
            (Datum::BigInt(1 << 31), Type::Int, Err("22003")),
            (Datum::Bool(true), Type::Text, Ok("true")),
            (Datum::Bool(true), Type::Int, Ok("1")),
            (Datum::Text(" 7 ".into()), Type::Int, Ok("7")),
            (Datum::Bytea(vec![1]), Type::Text, Ok("\\x01")),
            (Datum::Bool(true), Type::Uuid, Err("42846")),
        ];
        for (value, to, expected) in rows {
            let result = cast(value.clone(), ColumnType::plain(to));
            let shown = result.map(|datum| datum.text().expect("a value")).map_err(|error| error.state);
            assert_eq!(shown.as_deref().map_err(|state| *state), expected, "{value:?} as {to}");
        }
        assert_eq!(level(Type::Numeric, Type::Int), Some(Level::Assignment));
        assert_eq!(level(Type::Int, Type::Double), Some(Level::Implicit));
        assert_eq!(level(Type::Bool, Type::BigInt), None);
    }

    #[test]
    fn bounds_are_exact() {
        let int = ColumnType::plain(Type::Int);
        assert!(exactly(&Datum::BigInt(5), int).is_some_and(|value| value.same(&Datum::Int(5))));
        assert!(exactly(&Datum::BigInt(1 << 40), int).is_none());
        assert!(exactly(&Datum::Numeric("1.5".to_owned().parse_numeric()), int).is_none());
        assert!(exactly(&Datum::Double(5.0), int).is_none());
    }

    trait ParseNumeric {
        fn parse_numeric(&self) -> crate::Numeric;
    }

    impl ParseNumeric for String {
        fn parse_numeric(&self) -> crate::Numeric {
            crate::numeric::Numeric::parse(self).expect("a number")
        }
    }
}
