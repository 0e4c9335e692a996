//! Literals and parameters.

use sqlparser::ast::{TypedString, Value};

use super::{coerce, Binder, Bound};
use crate::cast::Level;
use crate::datum::Datum;
use crate::error::Error;
use crate::expression::Expression;
use crate::numeric::Numeric;
use crate::types::{ColumnType, Type};

impl Binder<'_> {
    pub(super) fn literal(&self, value: &Value) -> Result<Bound, Error> {
        match value {
            Value::Number(digits, false) => number(digits),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Ok(Bound::unknown(Datum::Text(text.clone())))
            }
            Value::DollarQuotedString(quoted) => Ok(Bound::unknown(Datum::Text(quoted.value.clone()))),
            Value::Boolean(value) => Ok(Bound::boolean(Expression::Constant(Datum::Bool(*value)))),
            Value::Null => Ok(Bound::unknown(Datum::Null)),
            Value::Placeholder(name) => self.parameter(name),
            other => Err(Error::unsupported(format!(
                "the literal {} is not supported; write '…', or E'…' for escapes",
                crate::error::shortened(&other.to_string())
            ))),
        }
    }

    fn parameter(&self, name: &str) -> Result<Bound, Error> {
        let index = parameter_index(name)
            .ok_or_else(|| Error::syntax(format!("{name} is no parameter; they are $1, $2 and so on")))?;
        let given = self.context.parameters;
        let bytes = given.get(index - 1).ok_or_else(|| {
            let message =
                format!("there is no parameter {name}: {} were given behind the statement", given.len());
            Error::new(crate::ErrorKind::Value, "08P01", message)
        })?;
        Ok(Bound::unknown(match std::str::from_utf8(bytes) {
            Ok(text) => Datum::Text(text.to_owned()),
            Err(_) => Datum::Bytea(bytes.clone()),
        }))
    }

    pub(super) fn typed_string(&self, typed: &TypedString) -> Result<Bound, Error> {
        let to = ColumnType::parse(&typed.data_type)?;
        let bound = self.literal(&typed.value.value)?;
        Ok(Bound::typed(coerce(bound, to, Level::Explicit)?, to))
    }
}

/// The number behind the dollar sign.
pub(crate) fn parameter_index(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|index| (1..=crate::limits::PARAMETERS_MAX).contains(index))
}

/// The least of INT, BIGINT and NUMERIC that holds it.
pub(super) fn number(digits: &str) -> Result<Bound, Error> {
    if let Ok(small) = digits.parse::<i32>() {
        return Ok(Bound::plain(Expression::Constant(Datum::Int(small)), Type::Int));
    }
    if let Ok(large) = digits.parse::<i64>() {
        return Ok(Bound::plain(Expression::Constant(Datum::BigInt(large)), Type::BigInt));
    }
    Ok(Bound::plain(Expression::Constant(Datum::Numeric(Numeric::parse(digits)?)), Type::Numeric))
}
