//! Expressions with their types, and how one takes another's.

use crate::cast::{level, Level};
use crate::datum::{parse_bytea, Datum};
use crate::error::Error;
use crate::expression::Expression;
use crate::types::{ColumnType, Type};

/// An expression and its type; a literal that has none yet is a constant text, or bytes that are none.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) expression: Expression,
    pub(crate) kind: Option<ColumnType>,
}

impl Bound {
    pub(crate) fn typed(expression: Expression, kind: ColumnType) -> Bound {
        Bound { expression, kind: Some(kind) }
    }

    pub(crate) fn plain(expression: Expression, kind: Type) -> Bound {
        Bound::typed(expression, ColumnType::plain(kind))
    }

    pub(crate) fn boolean(expression: Expression) -> Bound {
        Bound::plain(expression, Type::Bool)
    }

    pub(crate) fn unknown(value: Datum) -> Bound {
        Bound { expression: Expression::Constant(value), kind: None }
    }

    /// As a value of its own: what has no type is text.
    pub(crate) fn settled(self) -> Result<(Expression, ColumnType), Error> {
        match self.kind {
            Some(kind) => Ok((self.expression, kind)),
            None => {
                let text = ColumnType::plain(Type::Text);
                Ok((coerce(self, text, Level::Implicit)?, text))
            }
        }
    }
}

/// The expression in another type, if a cast of this level may do that.
pub(crate) fn coerce(bound: Bound, to: ColumnType, allowed: Level) -> Result<Expression, Error> {
    let Some(from) = bound.kind else {
        let value = match (bound.expression, to.kind) {
            (Expression::Constant(Datum::Text(text)), Type::Bytea) => {
                Datum::Bytea(parse_bytea(text.as_bytes())?)
            }
            (Expression::Constant(Datum::Text(text)), _) => Datum::of_text(text, to)?,
            (Expression::Constant(Datum::Bytea(bytes)), Type::Bytea) => Datum::Bytea(parse_bytea(&bytes)?),
            (Expression::Constant(Datum::Bytea(_)), kind) => {
                let message = format!("the parameter is no UTF-8, which {kind} has to be");
                return Err(Error::new(crate::ErrorKind::Value, "22021", message));
            }
            _ => Datum::Null,
        };
        return Ok(Expression::Constant(value));
    };
    if from.kind == to.kind && (to.precision.is_none() || from.precision == to.precision) {
        return Ok(bound.expression);
    }
    match level(from.kind, to.kind) {
        Some(needed) if needed <= allowed => Ok(Expression::Cast(Box::new(bound.expression), to)),
        _ => Err(Error::mismatch(format!("{from} is no {to}; cast it: (…)::{to}"))),
    }
}

/// The type that all of these can be, by the rules for CASE and its like; `place` is for the message.
pub(crate) fn common(bounds: &[Bound], place: &str) -> Result<ColumnType, Error> {
    let mut found: Option<Type> = None;
    for kind in bounds.iter().filter_map(|bound| bound.kind).map(|kind| kind.kind) {
        found = Some(match (found, found.and_then(Type::rank), kind.rank()) {
            (None, ..) => kind,
            (Some(before), Some(low), Some(high)) => {
                if low < high {
                    kind
                } else {
                    before
                }
            }
            (Some(before), ..) if before == kind => before,
            (Some(before), ..) => {
                return Err(Error::mismatch(format!(
                    "{place} types {before} and {kind} cannot be matched; cast one of them"
                )))
            }
        });
    }
    Ok(ColumnType::plain(found.unwrap_or(Type::Text)))
}
