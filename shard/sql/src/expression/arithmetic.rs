//! Arithmetic on numbers of one type, with PostgreSQL's errors.

use super::Arithmetic;
use crate::cast::{to_double, to_numeric};
use crate::datum::Datum;
use crate::error::Error;

/// The result of an operator; NULL if one side is.
pub(super) fn calculate(operator: Arithmetic, left: &Datum, right: &Datum) -> Result<Datum, Error> {
    match (left, right) {
        (Datum::Null, _) | (_, Datum::Null) => Ok(Datum::Null),
        (Datum::Int(left), Datum::Int(right)) => {
            let wide = integers(operator, (*left).into(), (*right).into())?;
            let narrow = wide.and_then(|wide| i32::try_from(wide).ok());
            narrow.map(Datum::Int).ok_or_else(|| Error::out_of_range("integer"))
        }
        (Datum::Int(_) | Datum::BigInt(_), Datum::Int(_) | Datum::BigInt(_)) => {
            let result = integers(operator, to_i64(left), to_i64(right))?;
            result.map(Datum::BigInt).ok_or_else(|| Error::out_of_range("bigint"))
        }
        (Datum::Double(_), _) | (_, Datum::Double(_)) => {
            doubles(operator, to_double(left)?, to_double(right)?)
        }
        _ => {
            let (left, right) = (to_numeric(left)?, to_numeric(right)?);
            let result = match operator {
                Arithmetic::Plus => left.plus(&right),
                Arithmetic::Minus => left.minus(&right),
                Arithmetic::Times => left.times(&right),
                Arithmetic::Divide => left.divided_by(&right),
                Arithmetic::Modulo => left.modulo(&right),
            };
            result.map(Datum::Numeric)
        }
    }
}

fn to_i64(value: &Datum) -> i64 {
    match value {
        Datum::Int(value) => (*value).into(),
        Datum::BigInt(value) => *value,
        _ => 0,
    }
}

/// None is an overflow.
fn integers(operator: Arithmetic, left: i64, right: i64) -> Result<Option<i64>, Error> {
    if right == 0 && matches!(operator, Arithmetic::Divide | Arithmetic::Modulo) {
        return Err(Error::division_by_zero());
    }
    Ok(match operator {
        Arithmetic::Plus => left.checked_add(right),
        Arithmetic::Minus => left.checked_sub(right),
        Arithmetic::Times => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Modulo => Some(left.wrapping_rem(right)),
    })
}

/// What grows beyond all bounds, or shrinks to nothing, is an error unless it came in so.
fn doubles(operator: Arithmetic, left: f64, right: f64) -> Result<Datum, Error> {
    let result = match operator {
        Arithmetic::Plus => left + right,
        Arithmetic::Minus => left - right,
        Arithmetic::Times => left * right,
        Arithmetic::Divide if right == 0.0 && !left.is_nan() => return Err(Error::division_by_zero()),
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => {
            return Err(Error::operator(
                "operator does not exist: double precision % double precision; cast to NUMERIC",
            ))
        }
    };
    if result.is_infinite() && left.is_finite() && right.is_finite() {
        return Err(Error::new(crate::ErrorKind::Value, "22003", "value out of range: overflow"));
    }
    let from_nothing = match operator {
        Arithmetic::Times => left == 0.0 || right == 0.0,
        Arithmetic::Divide => left == 0.0 || right.is_infinite(),
        _ => true,
    };
    if result == 0.0 && !from_nothing {
        return Err(Error::new(crate::ErrorKind::Value, "22003", "value out of range: underflow"));
    }
    Ok(Datum::Double(result))
}

/// The sum of two values of one type, for SUM.
pub(crate) fn add_numbers(left: &Datum, right: &Datum) -> Result<Datum, Error> {
    calculate(Arithmetic::Plus, left, right)
}

/// The quotient, for AVG.
pub(crate) fn divide_numbers(left: &Datum, right: &Datum) -> Result<Datum, Error> {
    calculate(Arithmetic::Divide, left, right)
}

#[cfg(test)]
mod tests {
    use super::{calculate, Arithmetic};
    use crate::datum::Datum;

    #[test]
    fn limits_are_errors() {
        let rows = [
            (Arithmetic::Plus, Datum::Int(i32::MAX), Datum::Int(1), Err("22003")),
            (Arithmetic::Plus, Datum::Int(i32::MAX), Datum::BigInt(1), Ok("2147483648")),
            (Arithmetic::Divide, Datum::BigInt(i64::MIN), Datum::Int(-1), Err("22003")),
            (Arithmetic::Modulo, Datum::BigInt(i64::MIN), Datum::BigInt(-1), Ok("0")),
            (Arithmetic::Divide, Datum::Int(-7), Datum::Int(2), Ok("-3")),
            (Arithmetic::Modulo, Datum::Int(-7), Datum::Int(2), Ok("-1")),
            (Arithmetic::Divide, Datum::Int(1), Datum::Int(0), Err("22012")),
            (Arithmetic::Times, Datum::Double(1e300), Datum::Double(1e10), Err("22003")),
            (Arithmetic::Times, Datum::Double(1e-300), Datum::Double(1e-10), Ok("1e-310")),
            (Arithmetic::Times, Datum::Double(1e-300), Datum::Double(1e-300), Err("22003")),
            (Arithmetic::Divide, Datum::Double(0.0), Datum::Double(0.0), Err("22012")),
            (Arithmetic::Divide, Datum::Double(1.0), Datum::Double(f64::INFINITY), Ok("0")),
        ];
        for (operator, left, right, expected) in rows {
            let result = calculate(operator, &left, &right);
            let shown = result.map(|datum| datum.text().expect("a number")).map_err(|error| error.state);
            assert_eq!(shown.as_deref().map_err(|state| *state), expected, "{left:?} {operator:?} {right:?}");
        }
    }
}
