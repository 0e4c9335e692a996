//! Parts that are the same for all rows are evaluated once, before any row is read. As in PostgreSQL an error in them is an error of the
//! statement, but not in a branch that is never taken.

use super::{Expression, Frame, Function};
use crate::datum::Datum;
use crate::error::Error;
use crate::types::Type;

fn folded_all(list: Vec<Expression>) -> Result<Vec<Expression>, Error> {
    list.into_iter().map(Expression::folded).collect()
}

fn boxed(one: Expression) -> Result<Box<Expression>, Error> {
    one.folded().map(Box::new)
}

impl Expression {
    fn is_constant(&self) -> bool {
        matches!(self, Expression::Constant(_))
    }

    fn is_bool(&self, wanted: bool) -> bool {
        matches!(self, Expression::Constant(Datum::Bool(value)) if *value == wanted)
    }

    /// Whether it is evaluated for each row, though it looks the same for all: what is random, and what in PostgreSQL depends on settings,
    /// which are the text of a timestamp and the reading of one.
    fn waits(&self) -> bool {
        match self {
            Expression::Call(Function::RandomUuid, _) => true,
            Expression::Cast(value, to) => match value.as_ref() {
                Expression::Constant(Datum::Text(text)) if to.kind == Type::Timestamp => {
                    Datum::parse(text, *to).is_err()
                }
                Expression::Constant(Datum::Timestamp(_)) => to.kind == Type::Text,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it is NULL because a part is, whatever the others are: they are not evaluated then.
    fn is_null_by_a_part(&self) -> bool {
        let null = |part: &Expression| matches!(part, Expression::Constant(Datum::Null));
        match self {
            Expression::Arithmetic(..)
            | Expression::Negate(_)
            | Expression::Concat(..)
            | Expression::Compare(..)
            | Expression::Like { .. }
            | Expression::Cast(..)
            | Expression::Not(_) => self.children().into_iter().any(null),
            Expression::In { value, .. } => null(value),
            _ => false,
        }
    }

    /// The same expression, with what does not depend on a row evaluated.
    pub(crate) fn folded(self) -> Result<Expression, Error> {
        let folded = match self {
            Expression::And(left, right) => return junction(left.folded()?, *right, false),
            Expression::Or(left, right) => return junction(left.folded()?, *right, true),
            Expression::Case { branches, otherwise } => return case(branches, *otherwise),
            Expression::Call(Function::Coalesce, arguments) => return coalesce(arguments),
            Expression::Call(function, arguments) => Expression::Call(function, folded_all(arguments)?),
            Expression::Cast(value, to) => Expression::Cast(boxed(*value)?, to),
            Expression::Negate(value) => Expression::Negate(boxed(*value)?),
            Expression::Not(value) => Expression::Not(boxed(*value)?),
            Expression::IsNull { value, negated } => Expression::IsNull { value: boxed(*value)?, negated },
            Expression::IsBool { value, wanted, negated } => {
                Expression::IsBool { value: boxed(*value)?, wanted, negated }
            }
            Expression::Arithmetic(operator, left, right) => {
                Expression::Arithmetic(operator, boxed(*left)?, boxed(*right)?)
            }
            Expression::Compare(operator, left, right) => {
                Expression::Compare(operator, boxed(*left)?, boxed(*right)?)
            }
            Expression::Concat(left, right) => Expression::Concat(boxed(*left)?, boxed(*right)?),
            Expression::Distinct { left, right, negated } => {
                Expression::Distinct { left: boxed(*left)?, right: boxed(*right)?, negated }
            }
            Expression::Like { value, pattern, negated } => {
                Expression::Like { value: boxed(*value)?, pattern: boxed(*pattern)?, negated }
            }
            Expression::In { value, list, negated } => {
                Expression::In { value: boxed(*value)?, list: folded_all(list)?, negated }
            }
            leaf => return Ok(leaf),
        };
        if folded.is_null_by_a_part() {
            return Ok(Expression::null());
        }
        if let Expression::Call(Function::NullIf, parts) = &folded {
            // What is compared with NULL is not equal to it: the first value it is.
            if let [Expression::Constant(Datum::Null), _, result]
            | [_, Expression::Constant(Datum::Null), result] = parts.as_slice()
            {
                return Ok(result.clone());
            }
        }
        match !folded.waits() && folded.children().into_iter().all(Expression::is_constant) {
            true => folded.evaluate(&Frame::default()).map(Expression::Constant),
            false => Ok(folded),
        }
    }
}

/// AND, where false decides, and OR, where true does.
fn junction(left: Expression, right: Expression, decides: bool) -> Result<Expression, Error> {
    if left.is_bool(decides) {
        return Ok(left);
    }
    let right = right.folded()?;
    if right.is_bool(decides) || left.is_bool(!decides) {
        return Ok(right);
    }
    if right.is_bool(!decides) {
        return Ok(left);
    }
    let both = left.is_constant() && right.is_constant();
    let (left, right) = (Box::new(left), Box::new(right));
    let joined = if decides { Expression::Or(left, right) } else { Expression::And(left, right) };
    match both {
        true => joined.evaluate(&Frame::default()).map(Expression::Constant),
        false => Ok(joined),
    }
}

fn case(branches: Vec<(Expression, Expression)>, otherwise: Expression) -> Result<Expression, Error> {
    let mut kept = Vec::new();
    for (condition, result) in branches {
        let condition = condition.folded()?;
        if condition.is_bool(true) {
            let result = result.folded()?;
            return Ok(match kept.is_empty() {
                true => result,
                false => Expression::Case { branches: kept, otherwise: Box::new(result) },
            });
        }
        if !condition.is_constant() {
            kept.push((condition, result.folded()?));
        }
    }
    let otherwise = Box::new(otherwise.folded()?);
    Ok(match kept.is_empty() {
        true => *otherwise,
        false => Expression::Case { branches: kept, otherwise },
    })
}

fn coalesce(arguments: Vec<Expression>) -> Result<Expression, Error> {
    let mut kept = Vec::new();
    for argument in arguments {
        let argument = argument.folded()?;
        let decided = argument.is_constant();
        if matches!(argument, Expression::Constant(Datum::Null)) {
            continue;
        }
        kept.push(argument);
        if decided {
            break;
        }
    }
    Ok(match kept.len() {
        0 => Expression::null(),
        1 => kept.swap_remove(0),
        _ => Expression::Call(Function::Coalesce, kept),
    })
}
