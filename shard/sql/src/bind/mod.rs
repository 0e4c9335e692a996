//! From syntax to expressions: names are looked up, parameters put in, types resolved by PostgreSQL's rules.
//!
//! A quoted literal and a parameter have no type of their own; they take that of what they are compared with, added to or stored in.

mod functions;
mod literals;
mod operators;
mod types;

use sqlparser::ast::{CastKind, Expr, Ident};

use crate::cast::Level;
use crate::error::Error;
use crate::expression::{Aggregate, Comparison, Expression};
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_PARTS_MAX};
use crate::parse::name_of;
use crate::schema::Table;
use crate::types::{ColumnType, Type};
use crate::Context;

pub(crate) use literals::parameter_index;
pub(crate) use types::{coerce, Bound};

/// Resolves the expressions of one clause.
pub(crate) struct Binder<'a> {
    pub(crate) table: &'a Table,
    /// Another name of the table in this statement.
    pub(crate) alias: Option<&'a str>,
    pub(crate) context: &'a Context<'a>,
    /// What the clause is called, for messages.
    pub(crate) clause: &'static str,
    /// Whether columns may be named.
    pub(crate) columns: bool,
    /// Whether EXCLUDED is there.
    pub(crate) excluded: bool,
    /// Aggregates found so far, where they are allowed.
    pub(crate) aggregates: Option<Vec<Aggregate>>,
    /// Parts resolved so far: BETWEEN and CASE resolve one operand several times, and may be nested.
    pub(crate) parts: usize,
    /// Bytes of literals and parameters so far.
    pub(crate) bytes: usize,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(
        table: &'a Table,
        alias: Option<&'a str>,
        context: &'a Context<'a>,
        clause: &'static str,
    ) -> Binder<'a> {
        Binder {
            table,
            alias,
            context,
            clause,
            columns: true,
            excluded: false,
            aggregates: None,
            parts: 0,
            bytes: 0,
        }
    }

    /// A condition.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Result<Expression, Error> {
        let bound = self.bind(expr)?;
        self.boolean(bound, self.clause)
    }

    fn boolean(&self, bound: Bound, place: &str) -> Result<Expression, Error> {
        match bound.kind {
            None | Some(ColumnType { kind: Type::Bool, .. }) => {
                coerce(bound, ColumnType::plain(Type::Bool), Level::Implicit)
            }
            Some(other) => {
                Err(Error::mismatch(format!("argument of {place} must be type BOOL, not type {other}")))
            }
        }
    }

    fn operand(&mut self, expr: &Expr, operator: &str) -> Result<Expression, Error> {
        let bound = self.bind(expr)?;
        self.boolean(bound, operator)
    }

    /// What is to be stored in a column.
    pub(crate) fn assigned(&mut self, expr: &Expr, column: usize) -> Result<Expression, Error> {
        let bound = self.bind(expr)?;
        let held = &self.table.columns[column];
        if let Some(from) = bound.kind {
            if crate::cast::level(from.kind, held.kind.kind).is_none_or(|level| level > Level::Assignment) {
                let (name, to) = (&held.name, held.kind.kind);
                let message = format!("column \"{name}\" is of type {to} but expression is of type {from}; cast it: ({expr})::{to}");
                return Err(Error::mismatch(message));
            }
        }
        coerce(bound, held.kind, Level::Assignment)?.folded()
    }

    /// An expression of any type.
    pub(crate) fn bind(&mut self, expr: &Expr) -> Result<Bound, Error> {
        self.parts += 1;
        if self.parts > EXPRESSION_PARTS_MAX {
            return Err(Error::too_large(format!(
                "the expressions in {} have more than {EXPRESSION_PARTS_MAX} parts",
                self.clause
            )));
        }
        match expr {
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => {
                let bound = self.literal(&value.value)?;
                self.counted(bound)
            }
            Expr::TypedString(typed) => self.typed_string(typed),
            Expr::Identifier(name) => self.column(&name_of(name)),
            Expr::CompoundIdentifier(names) => self.qualified(names),
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                let (bound, to) = (self.bind(expr)?, ColumnType::parse(data_type)?);
                if let (Some(from), None) =
                    (bound.kind, bound.kind.and_then(|from| crate::cast::level(from.kind, to.kind)))
                {
                    return Err(Error::new(
                        crate::ErrorKind::Type,
                        "42846",
                        format!("cannot cast type {from} to {to}"),
                    ));
                }
                Ok(Bound::typed(coerce(bound, to, Level::Explicit)?, to))
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(value) => self.is_null(value, false),
            Expr::IsNotNull(value) => self.is_null(value, true),
            Expr::IsTrue(value) => self.is_bool(value, true, false, "IS TRUE"),
            Expr::IsNotTrue(value) => self.is_bool(value, true, true, "IS NOT TRUE"),
            Expr::IsFalse(value) => self.is_bool(value, false, false, "IS FALSE"),
            Expr::IsNotFalse(value) => self.is_bool(value, false, true, "IS NOT FALSE"),
            Expr::IsUnknown(value) => {
                let value = Box::new(self.operand(value, "IS UNKNOWN")?);
                Ok(Bound::boolean(Expression::IsNull { value, negated: false }))
            }
            Expr::IsNotUnknown(value) => {
                let value = Box::new(self.operand(value, "IS NOT UNKNOWN")?);
                Ok(Bound::boolean(Expression::IsNull { value, negated: true }))
            }
            Expr::IsDistinctFrom(left, right) => self.distinct(left, right, false),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(left, right, true),
            Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(function) => self.function(function),
            other => Err(unsupported(other)),
        }
    }

    /// Counts the bytes of a literal: parameters are long, and may stand in many places.
    fn counted(&mut self, bound: Bound) -> Result<Bound, Error> {
        if let Expression::Constant(value) = &bound.expression {
            self.bytes += value.bytes();
        }
        match self.bytes <= EXPRESSION_BYTES_MAX {
            true => Ok(bound),
            false => Err(Error::too_large(format!(
                "literals and parameters in {} come to more than {EXPRESSION_BYTES_MAX} bytes",
                self.clause
            ))),
        }
    }

    fn column(&self, name: &str) -> Result<Bound, Error> {
        if !self.columns {
            return Err(Error::new(
                crate::ErrorKind::Unsupported,
                "42703",
                format!("a column, \"{name}\", cannot stand in {}", self.clause),
            ));
        }
        let index = self.table.column(name)?;
        Ok(Bound::typed(Expression::Column(index), ColumnType::plain(self.table.columns[index].kind.kind)))
    }

    fn qualified(&self, names: &[Ident]) -> Result<Bound, Error> {
        let [table, column] = names else {
            let shown = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
            return Err(Error::unsupported(format!(
                "{shown}: there are no schemas; write table.column or column"
            )));
        };
        let (table, column) = (name_of(table), name_of(column));
        if table == "excluded" && self.excluded {
            let index = self.table.column(&column)?;
            return Ok(Bound::typed(
                Expression::Excluded(index),
                ColumnType::plain(self.table.columns[index].kind.kind),
            ));
        }
        if table != self.alias.unwrap_or(&self.table.name) {
            let message = format!(
                "\"{table}\" is not the table of this statement, \"{}\"; joins are not supported",
                self.alias.unwrap_or(&self.table.name)
            );
            return Err(Error::new(crate::ErrorKind::Unknown, "42P01", message));
        }
        self.column(&column)
    }

    fn is_null(&mut self, value: &Expr, negated: bool) -> Result<Bound, Error> {
        let value = Box::new(self.bind(value)?.expression);
        Ok(Bound::boolean(Expression::IsNull { value, negated }))
    }

    fn is_bool(&mut self, value: &Expr, wanted: bool, negated: bool, place: &str) -> Result<Bound, Error> {
        let value = Box::new(self.operand(value, place)?);
        Ok(Bound::boolean(Expression::IsBool { value, wanted, negated }))
    }

    fn between(&mut self, value: &Expr, negated: bool, low: &Expr, high: &Expr) -> Result<Bound, Error> {
        let (below, above) = if negated {
            (Comparison::Less, Comparison::Greater)
        } else {
            (Comparison::GreaterOrEqual, Comparison::LessOrEqual)
        };
        let (left, right) = (self.bind(value)?, self.bind(low)?);
        let first = Box::new(self.compare(below, left, right)?);
        let (left, right) = (self.bind(value)?, self.bind(high)?);
        let second = Box::new(self.compare(above, left, right)?);
        Ok(Bound::boolean(if negated {
            Expression::Or(first, second)
        } else {
            Expression::And(first, second)
        }))
    }

    fn like(&mut self, value: &Expr, pattern: &Expr, negated: bool) -> Result<Bound, Error> {
        let (value, pattern) = (self.bind(value)?, self.bind(pattern)?);
        let text = ColumnType::plain(Type::Text);
        for side in [&value, &pattern] {
            if side.kind.is_some_and(|kind| kind.kind != Type::Text) {
                return Err(Error::operator("LIKE takes TEXT on both sides; cast the other: (…)::TEXT"));
            }
        }
        let value = Box::new(coerce(value, text, Level::Implicit)?);
        let pattern = Box::new(coerce(pattern, text, Level::Implicit)?);
        Ok(Bound::boolean(Expression::Like { value, pattern, negated }))
    }
}

fn unsupported(expr: &Expr) -> Error {
    let remedy = match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            "; subqueries are not: ask twice"
        }
        Expr::ILike { .. } => "; compare lower(…) LIKE '…'",
        Expr::Between { .. } | Expr::Like { .. } => "; without further words it is",
        Expr::Collate { .. } => "; text is ordered by its bytes, as COLLATE \"C\" does",
        _ => "",
    };
    Error::unsupported(format!("{} is not supported{remedy}", crate::error::shortened(&expr.to_string())))
}
