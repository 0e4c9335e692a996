//! Operators: which type they work in, and what they refuse.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::literals::number;
use super::types::common;
use super::{coerce, Binder, Bound};
use crate::cast::Level;
use crate::datum::Datum;
use crate::error::Error;
use crate::expression::{Arithmetic, Comparison, Expression};
use crate::types::{ColumnType, Type};

/// The name of a type, for messages.
fn shown(bound: &Bound) -> String {
    bound.kind.map_or("unknown".to_owned(), |kind| kind.kind.to_string())
}

fn no_operator(left: &Bound, symbol: &str, right: &Bound) -> Error {
    let (left, right) = (shown(left), shown(right));
    Error::operator(format!(
        "operator does not exist: {left} {symbol} {right}; cast one side, as in (…)::{left}"
    ))
}

impl Binder<'_> {
    pub(super) fn unary(&mut self, operator: UnaryOperator, operand: &Expr) -> Result<Bound, Error> {
        if let (UnaryOperator::Minus, Some(digits)) = (operator, negated_number(operand)) {
            return number(&digits);
        }
        match (operator, operand) {
            (UnaryOperator::Not, operand) => {
                Ok(Bound::boolean(Expression::Not(Box::new(self.operand(operand, "NOT")?))))
            }
            (UnaryOperator::Minus | UnaryOperator::Plus, operand) => {
                let bound = self.bind(operand)?;
                let negated = operator == UnaryOperator::Minus;
                if negated && bound.kind.is_none() {
                    let message = "operator is not unique: - unknown; say what it is: - $1::INT";
                    return Err(Error::new(crate::ErrorKind::Type, "42725", message));
                }
                let kind = bound.kind.unwrap_or(ColumnType::plain(Type::Double));
                if !kind.kind.is_number() {
                    return Err(Error::operator(format!(
                        "operator does not exist: {operator} {kind}; cast to a number"
                    )));
                }
                let value = coerce(bound, kind, Level::Implicit)?;
                Ok(Bound::typed(if negated { Expression::Negate(Box::new(value)) } else { value }, kind))
            }
            (other, _) => Err(Error::unsupported(format!("the operator {other} is not supported"))),
        }
    }

    pub(super) fn binary(
        &mut self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Bound, Error> {
        if matches!(operator, BinaryOperator::And | BinaryOperator::Or) {
            let (left, right) = (
                Box::new(self.operand(left, &operator.to_string())?),
                Box::new(self.operand(right, &operator.to_string())?),
            );
            let joined = if *operator == BinaryOperator::And {
                Expression::And(left, right)
            } else {
                Expression::Or(left, right)
            };
            return Ok(Bound::boolean(joined));
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let comparison = match operator {
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            BinaryOperator::Plus => return arithmetic(Arithmetic::Plus, left, right),
            BinaryOperator::Minus => return arithmetic(Arithmetic::Minus, left, right),
            BinaryOperator::Multiply => return arithmetic(Arithmetic::Times, left, right),
            BinaryOperator::Divide => return arithmetic(Arithmetic::Divide, left, right),
            BinaryOperator::Modulo => return arithmetic(Arithmetic::Modulo, left, right),
            BinaryOperator::StringConcat => return concat(left, right),
            other => {
                return Err(Error::unsupported(format!(
                    "the operator {other} is not supported; there are + - * / % || = <> < <= > >= AND OR NOT"
                )))
            }
        };
        Ok(Bound::boolean(self.compare(comparison, left, right)?))
    }

    /// A comparison of two values of one type, or of two numbers.
    pub(super) fn compare(
        &self,
        comparison: Comparison,
        left: Bound,
        right: Bound,
    ) -> Result<Expression, Error> {
        let (left, right) = matched(left, right, comparison.symbol())?;
        Ok(Expression::Compare(comparison, Box::new(left), Box::new(right)))
    }

    pub(super) fn distinct(&mut self, left: &Expr, right: &Expr, negated: bool) -> Result<Bound, Error> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        // Beside a NULL that has no type it is asked whether the other side is NULL, of whatever type that is.
        let null = |bound: &Bound| {
            bound.kind.is_none() && matches!(bound.expression, Expression::Constant(Datum::Null))
        };
        if null(&left) || null(&right) {
            let value = Box::new(if null(&left) { right.expression } else { left.expression });
            return Ok(Bound::boolean(Expression::IsNull { value, negated: !negated }));
        }
        let (left, right) = matched(left, right, "=")?;
        Ok(Bound::boolean(Expression::Distinct { left: Box::new(left), right: Box::new(right), negated }))
    }

    pub(super) fn in_list(&mut self, value: &Expr, list: &[Expr], negated: bool) -> Result<Bound, Error> {
        let value = self.bind(value)?;
        let mut all = vec![value];
        for item in list {
            all.push(self.bind(item)?);
        }
        let kind = match common(&all, "IN") {
            Ok(kind) if kind.kind.is_ordered() => kind,
            // Each is compared on its own, and most often one of them cannot be.
            _ => {
                let mut found = Expression::Constant(Datum::Bool(false));
                for item in &all[1..] {
                    let equal = self.compare(Comparison::Equal, all[0].clone(), item.clone())?;
                    found = Expression::Or(Box::new(found), Box::new(equal));
                }
                return Ok(Bound::boolean(if negated { Expression::Not(Box::new(found)) } else { found }));
            }
        };
        let mut list = all
            .into_iter()
            .map(|one| coerce(one, kind, Level::Implicit))
            .collect::<Result<Vec<_>, Error>>()?;
        let value = Box::new(list.remove(0));
        Ok(Bound::boolean(Expression::In { value, list, negated }))
    }
}

/// The digits of a number with a minus in front. The sign belongs to the literal, or the least integer could not be written.
fn negated_number(operand: &Expr) -> Option<String> {
    match operand {
        Expr::Nested(inner) => negated_number(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => Some(format!("-{digits}")),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => negated_number(expr)
            .map(|digits| digits.strip_prefix('-').map_or(format!("-{digits}"), str::to_owned)),
        _ => None,
    }
}

/// Both sides in the type that they are compared in.
pub(super) fn matched(left: Bound, right: Bound, symbol: &str) -> Result<(Expression, Expression), Error> {
    let kind = match (left.kind.map(|kind| kind.kind), right.kind.map(|kind| kind.kind)) {
        (None, None) => Type::Text,
        (Some(kind), None) | (None, Some(kind)) => kind,
        (Some(left_kind), Some(right_kind)) => match (left_kind.rank(), right_kind.rank()) {
            (Some(low), Some(high)) => {
                if low < high {
                    right_kind
                } else {
                    left_kind
                }
            }
            _ if left_kind == right_kind => left_kind,
            _ => return Err(no_operator(&left, symbol, &right)),
        },
    };
    if !kind.is_ordered() {
        return Err(Error::operator(format!("operator does not exist: {kind} {symbol} {kind}; JSONB is not compared, but its text is: (…)::TEXT")));
    }
    let kind = ColumnType::plain(kind);
    Ok((coerce(left, kind, Level::Implicit)?, coerce(right, kind, Level::Implicit)?))
}

fn arithmetic(operator: Arithmetic, left: Bound, right: Bound) -> Result<Bound, Error> {
    let symbol = operator.symbol();
    let kind = match (left.kind.map(|kind| kind.kind), right.kind.map(|kind| kind.kind)) {
        (None, None) => {
            let message = format!("operator is not unique: unknown {symbol} unknown; say what they are: $1::INT {symbol} $2::INT");
            return Err(Error::new(crate::ErrorKind::Type, "42725", message));
        }
        (Some(kind), None) | (None, Some(kind)) if kind.is_number() => kind,
        (Some(left_kind), Some(right_kind)) if left_kind.is_number() && right_kind.is_number() => {
            left_kind.max(right_kind)
        }
        _ => return Err(no_operator(&left, symbol, &right)),
    };
    if operator == Arithmetic::Modulo && kind == Type::Double {
        return Err(no_operator(&left, symbol, &right));
    }
    let to = ColumnType::plain(kind);
    let (left, right) =
        (Box::new(coerce(left, to, Level::Implicit)?), Box::new(coerce(right, to, Level::Implicit)?));
    Ok(Bound::typed(Expression::Arithmetic(operator, left, right), to))
}

/// Text with text, or with the text of anything; bytes with bytes.
fn concat(left: Bound, right: Bound) -> Result<Bound, Error> {
    let kinds = (left.kind.map(|kind| kind.kind), right.kind.map(|kind| kind.kind));
    let to = match kinds {
        (Some(Type::Bytea), Some(Type::Bytea) | None) | (None, Some(Type::Bytea)) => Type::Bytea,
        (Some(left_kind), Some(right_kind)) if left_kind != Type::Text && right_kind != Type::Text => {
            return Err(no_operator(&left, "||", &right))
        }
        _ => Type::Text,
    };
    let kind = ColumnType::plain(to);
    let (left, right) =
        (Box::new(coerce(left, kind, Level::Explicit)?), Box::new(coerce(right, kind, Level::Explicit)?));
    Ok(Bound::typed(Expression::Concat(left, right), kind))
}
