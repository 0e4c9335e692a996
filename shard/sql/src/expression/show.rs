//! Expressions as text, for EXPLAIN.

use super::{Expression, Function};
use crate::datum::Datum;
use crate::schema::Table;

/// A value as a statement writes it.
pub(crate) fn literal(value: &Datum) -> String {
    match value {
        Datum::Null => "NULL".to_owned(),
        Datum::Bool(value) => value.to_string(),
        Datum::Int(_) | Datum::BigInt(_) | Datum::Numeric(_) => value.text().unwrap_or_default(),
        Datum::Double(number) if number.is_finite() => value.text().unwrap_or_default(),
        _ => {
            let text = value.text().unwrap_or_default();
            format!("'{}'", crate::error::shortened(&text).replace('\'', "''"))
        }
    }
}

impl Expression {
    /// The expression as a statement writes it, parentheses around all operators.
    pub(crate) fn show(&self, table: &Table) -> String {
        let show = |one: &Expression| one.show(table);
        let list = |many: &[Expression]| many.iter().map(show).collect::<Vec<_>>().join(", ");
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Expression::Constant(value) => literal(value),
            Expression::Column(index) => table.columns[*index].name.clone(),
            Expression::Excluded(index) => format!("excluded.{}", table.columns[*index].name),
            Expression::Aggregate(index) => format!("aggregate {}", index + 1),
            Expression::Cast(value, to) => format!("{}::{to}", show(value)),
            Expression::Arithmetic(operator, left, right) => {
                format!("({} {} {})", show(left), operator.symbol(), show(right))
            }
            Expression::Negate(value) => format!("(- {})", show(value)),
            Expression::Concat(left, right) => format!("({} || {})", show(left), show(right)),
            Expression::Compare(operator, left, right) => {
                format!("({} {} {})", show(left), operator.symbol(), show(right))
            }
            Expression::Distinct { left, right, negated } => {
                format!("({} IS {}DISTINCT FROM {})", show(left), not(negated), show(right))
            }
            Expression::And(left, right) => format!("({} AND {})", show(left), show(right)),
            Expression::Or(left, right) => format!("({} OR {})", show(left), show(right)),
            Expression::Not(value) => format!("(NOT {})", show(value)),
            Expression::IsNull { value, negated } => format!("({} IS {}NULL)", show(value), not(negated)),
            Expression::IsBool { value, wanted, negated } => {
                format!("({} IS {}{})", show(value), not(negated), wanted.to_string().to_uppercase())
            }
            Expression::In { value, list: items, negated } => {
                format!("({} {}IN ({}))", show(value), not(negated), list(items))
            }
            Expression::Like { value, pattern, negated } => {
                format!("({} {}LIKE {})", show(value), not(negated), show(pattern))
            }
            Expression::Case { branches, otherwise } => {
                let branch = |(condition, result): &(Expression, Expression)| {
                    format!("WHEN {} THEN {} ", show(condition), show(result))
                };
                let branches: String = branches.iter().map(branch).collect();
                format!("CASE {branches}ELSE {} END", show(otherwise))
            }
            // The third argument is the first one once more.
            Expression::Call(Function::NullIf, arguments) => {
                format!("nullif({})", list(arguments.get(..2).unwrap_or_default()))
            }
            Expression::Call(function, arguments) => format!("{}({})", function.name(), list(arguments)),
        }
    }
}
