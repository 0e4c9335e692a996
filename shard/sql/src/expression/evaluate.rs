//! The value of an expression for a row, by SQL's logic of three values.

use std::cell::Cell;
use std::cmp::Ordering;

use super::arithmetic::calculate;
use super::like::matches;
use super::{Comparison, Expression, Function};
use crate::cast::cast;
use crate::datum::Datum;
use crate::error::Error;
use crate::limits::VALUE_BYTES_MAX;

/// What expressions are evaluated on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Frame<'a> {
    pub(crate) row: &'a [Datum],
    pub(crate) excluded: &'a [Datum],
    pub(crate) aggregates: &'a [Datum],
    /// The state of the generator behind random values.
    pub(crate) random: Option<&'a Cell<[u64; 2]>>,
}

/// A random UUID (version 4) off the generator's state. Both halves are counters that a bijection mixes (splitmix64), so that two of one
/// statement never meet.
pub(crate) fn random_uuid(state: &Cell<[u64; 2]>) -> Datum {
    let mut bytes = [0; 16];
    let mut halves = state.get();
    for (half, out) in halves.iter_mut().zip(bytes.chunks_mut(8)) {
        *half = half.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*half ^ *half >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.copy_from_slice(&(mixed ^ mixed >> 31).to_be_bytes());
    }
    state.set(halves);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Datum::Uuid(bytes)
}

fn truth(value: Option<bool>) -> Datum {
    value.map_or(Datum::Null, Datum::Bool)
}

fn is(operator: Comparison, order: Ordering) -> bool {
    match operator {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

impl Expression {
    /// The value.
    pub(crate) fn evaluate(&self, frame: &Frame) -> Result<Datum, Error> {
        Ok(match self {
            Expression::Constant(value) => value.clone(),
            Expression::Column(index) => frame.row[*index].clone(),
            Expression::Excluded(index) => frame.excluded[*index].clone(),
            Expression::Aggregate(index) => frame.aggregates[*index].clone(),
            Expression::Cast(value, to) => cast(value.evaluate(frame)?, *to)?,
            Expression::Arithmetic(operator, left, right) => {
                calculate(*operator, &left.evaluate(frame)?, &right.evaluate(frame)?)?
            }
            Expression::Negate(value) => negated(value.evaluate(frame)?)?,
            Expression::Concat(left, right) => concat(left.evaluate(frame)?, right.evaluate(frame)?)?,
            Expression::Compare(operator, left, right) => {
                let order = left.evaluate(frame)?.compare(&right.evaluate(frame)?);
                truth(order.map(|order| is(*operator, order)))
            }
            Expression::Distinct { left, right, negated } => {
                Datum::Bool(left.evaluate(frame)?.same(&right.evaluate(frame)?) == *negated)
            }
            Expression::And(left, right) => match left.truth(frame)? {
                Some(false) => Datum::Bool(false),
                left => match (left, right.truth(frame)?) {
                    (_, Some(false)) => Datum::Bool(false),
                    (Some(true), right) => truth(right),
                    _ => Datum::Null,
                },
            },
            Expression::Or(left, right) => match left.truth(frame)? {
                Some(true) => Datum::Bool(true),
                left => match (left, right.truth(frame)?) {
                    (_, Some(true)) => Datum::Bool(true),
                    (Some(false), right) => truth(right),
                    _ => Datum::Null,
                },
            },
            Expression::Not(value) => truth(value.truth(frame)?.map(|value| !value)),
            Expression::IsNull { value, negated } => {
                Datum::Bool(value.evaluate(frame)?.is_null() != *negated)
            }
            Expression::IsBool { value, wanted, negated } => {
                Datum::Bool((value.truth(frame)? == Some(*wanted)) != *negated)
            }
            Expression::In { value, list, negated } => {
                truth(is_in(&value.evaluate(frame)?, list, frame)?.map(|found| found != *negated))
            }
            Expression::Like { value, pattern, negated } => {
                match (value.evaluate(frame)?, pattern.evaluate(frame)?) {
                    (Datum::Text(text), Datum::Text(pattern)) => {
                        Datum::Bool(matches(&text, &pattern)? != *negated)
                    }
                    _ => Datum::Null,
                }
            }
            Expression::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    if condition.truth(frame)? == Some(true) {
                        return result.evaluate(frame);
                    }
                }
                otherwise.evaluate(frame)?
            }
            Expression::Call(function, arguments) => call(*function, arguments, frame)?,
        })
    }

    /// The value of a condition: true, false or neither.
    pub(crate) fn truth(&self, frame: &Frame) -> Result<Option<bool>, Error> {
        Ok(match self.evaluate(frame)? {
            Datum::Bool(value) => Some(value),
            _ => None,
        })
    }
}

fn negated(value: Datum) -> Result<Datum, Error> {
    Ok(match value {
        Datum::Int(value) => Datum::Int(value.checked_neg().ok_or_else(|| Error::out_of_range("integer"))?),
        Datum::BigInt(value) => {
            Datum::BigInt(value.checked_neg().ok_or_else(|| Error::out_of_range("bigint"))?)
        }
        Datum::Numeric(value) => Datum::Numeric(value.negated()),
        Datum::Double(value) => Datum::Double(-value),
        other => other,
    })
}

fn concat(left: Datum, right: Datum) -> Result<Datum, Error> {
    let joined = match (left, right) {
        (Datum::Text(left), Datum::Text(right)) => Datum::Text(left + &right),
        (Datum::Bytea(left), Datum::Bytea(right)) => Datum::Bytea([left, right].concat()),
        _ => Datum::Null,
    };
    match joined.bytes() / 2 <= VALUE_BYTES_MAX {
        true => Ok(joined),
        false => {
            Err(Error::too_large(format!("an expression makes a value of more than {VALUE_BYTES_MAX} bytes")))
        }
    }
}

fn is_in(value: &Datum, list: &[Expression], frame: &Frame) -> Result<Option<bool>, Error> {
    let mut unknown = false;
    for item in list {
        match value.compare(&item.evaluate(frame)?) {
            Some(Ordering::Equal) => return Ok(Some(true)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { None } else { Some(false) })
}

fn call(function: Function, arguments: &[Expression], frame: &Frame) -> Result<Datum, Error> {
    if function == Function::Coalesce {
        for argument in arguments {
            let value = argument.evaluate(frame)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        return Ok(Datum::Null);
    }
    let values =
        arguments.iter().map(|argument| argument.evaluate(frame)).collect::<Result<Vec<Datum>, Error>>()?;
    Ok(match (function, values.as_slice()) {
        // Behind the two values that are compared comes the first one in the result's type.
        (Function::NullIf, [left, right, result]) => {
            if left.compare(right) == Some(Ordering::Equal) {
                Datum::Null
            } else {
                result.clone()
            }
        }
        (Function::Greatest, values) => extreme(values, Ordering::Greater),
        (Function::Least, values) => extreme(values, Ordering::Less),
        (Function::Abs, [value]) => match value {
            Datum::Int(number) if *number < 0 => negated(value.clone())?,
            Datum::BigInt(number) if *number < 0 => negated(value.clone())?,
            Datum::Numeric(number) => Datum::Numeric(number.absolute()),
            Datum::Double(number) => Datum::Double(number.abs()),
            other => other.clone(),
        },
        (Function::Length, [Datum::Text(text)]) => Datum::Int(text.chars().count() as i32),
        (Function::Length | Function::OctetLength, [Datum::Bytea(bytes)]) => Datum::Int(bytes.len() as i32),
        (Function::OctetLength, [Datum::Text(text)]) => Datum::Int(text.len() as i32),
        (Function::Lower, [Datum::Text(text)]) => Datum::Text(text.to_ascii_lowercase()),
        (Function::Upper, [Datum::Text(text)]) => Datum::Text(text.to_ascii_uppercase()),
        (Function::RandomUuid, []) => frame.random.map_or(Datum::Null, random_uuid),
        _ => Datum::Null,
    })
}

/// The greatest or least value; NULLs are passed over.
fn extreme(values: &[Datum], wanted: Ordering) -> Datum {
    let mut best = &Datum::Null;
    for value in values {
        if best.is_null() || value.compare(best) == Some(wanted) {
            best = value;
        }
    }
    best.clone()
}
