//! Functions, aggregates and CASE.

use sqlparser::ast::{
    CaseWhen, Expr, Function as Syntax, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};

use super::operators::matched;
use super::types::common;
use super::{coerce, Binder, Bound};
use crate::cast::Level;
use crate::datum::Datum;
use crate::error::{suggestion, Error, ErrorKind};
use crate::expression::{Aggregate, AggregateFunction, Comparison, Expression, Function};
use crate::parse::name_of;
use crate::types::{ColumnType, Type};

/// All functions there are, for suggestions.
const NAMES: [&str; 19] = [
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "abs",
    "length",
    "char_length",
    "octet_length",
    "lower",
    "upper",
    "now",
    "localtimestamp",
    "current_timestamp",
    "gen_random_uuid",
    "count",
    "min",
    "max",
    "sum",
    "avg",
];

impl Binder<'_> {
    pub(super) fn function(&mut self, syntax: &Syntax) -> Result<Bound, Error> {
        let shown = || crate::error::shortened(&syntax.to_string());
        let name = match syntax.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name_of(name),
            _ => {
                return Err(Error::unsupported(format!(
                    "{} is not supported: functions have no schema",
                    shown()
                )))
            }
        };
        if syntax.filter.is_some()
            || syntax.over.is_some()
            || !syntax.within_group.is_empty()
            || syntax.null_treatment.is_some()
        {
            return Err(Error::unsupported(format!(
                "{} is not supported: FILTER, OVER and WITHIN GROUP are not",
                shown()
            )));
        }
        let list = match &syntax.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                list.args.clone()
            }
            _ => {
                return Err(Error::unsupported(format!(
                    "{} is not supported: arguments are plain expressions, without DISTINCT",
                    shown()
                )))
            }
        };
        let aggregate = match name.as_str() {
            "count" => Some(AggregateFunction::Count),
            "min" => Some(AggregateFunction::Min),
            "max" => Some(AggregateFunction::Max),
            "sum" => Some(AggregateFunction::Sum),
            "avg" => Some(AggregateFunction::Avg),
            _ => None,
        };
        if let Some(function) = aggregate {
            return self.aggregate(&name, function, &list);
        }
        let mut arguments = Vec::new();
        for argument in &list {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(self.bind(expr)?),
                _ => {
                    return Err(Error::unsupported(format!(
                        "{} is not supported: arguments are plain expressions",
                        shown()
                    )))
                }
            }
        }
        self.plain(&name, arguments)
    }

    fn plain(&self, name: &str, arguments: Vec<Bound>) -> Result<Bound, Error> {
        let count = arguments.len();
        match (name, count) {
            ("coalesce" | "greatest" | "least", 1..) => {
                let function = match name {
                    "coalesce" => Function::Coalesce,
                    "greatest" => Function::Greatest,
                    _ => Function::Least,
                };
                let kind = common(&arguments, &name.to_uppercase())?;
                if function != Function::Coalesce && !kind.kind.is_ordered() {
                    return Err(Error::operator(format!(
                        "{name} takes values that are compared, which {kind} is not"
                    )));
                }
                let arguments = arguments
                    .into_iter()
                    .map(|argument| coerce(argument, kind, Level::Implicit))
                    .collect::<Result<_, Error>>()?;
                Ok(Bound::typed(Expression::Call(function, arguments), kind))
            }
            ("nullif", 2) => null_if(arguments),
            ("abs", 1) => {
                let [argument] =
                    <[Bound; 1]>::try_from(arguments).map_err(|_| Error::syntax("abs takes one argument"))?;
                // Of the types of numbers DOUBLE is the preferred one, and what a literal is taken for.
                let kind = argument.kind.unwrap_or(ColumnType::plain(Type::Double));
                if !kind.kind.is_number() {
                    return Err(Error::operator("abs takes a number; cast the argument"));
                }
                let argument = coerce(argument, kind, Level::Implicit)?;
                Ok(Bound::typed(Expression::Call(Function::Abs, vec![argument]), kind))
            }
            ("length" | "char_length" | "octet_length" | "lower" | "upper", 1) => {
                text_function(name, arguments)
            }
            ("now" | "localtimestamp" | "current_timestamp", 0) => Ok(Bound::plain(
                Expression::Constant(Datum::Timestamp(self.context.now_micros)),
                Type::Timestamp,
            )),
            ("gen_random_uuid", 0) => {
                Ok(Bound::plain(Expression::Call(Function::RandomUuid, Vec::new()), Type::Uuid))
            }
            _ if NAMES.contains(&name) => Err(Error::new(
                ErrorKind::Type,
                "42883",
                format!("function {name} does not take {count} arguments"),
            )),
            _ => Err(Error::new(
                ErrorKind::Unknown,
                "42883",
                format!("function {name} does not exist{}", suggestion(name, NAMES.into_iter())),
            )),
        }
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: AggregateFunction,
        list: &[FunctionArg],
    ) -> Result<Bound, Error> {
        // While its argument is resolved no aggregates are allowed.
        let Some(found) = self.aggregates.take() else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "42803",
                format!("the aggregate {name} cannot stand in {}", self.clause),
            ));
        };
        let argument = match list {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if function == AggregateFunction::Count => None,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(self.bind(expr)),
            _ => {
                return Err(Error::new(
                    ErrorKind::Type,
                    "42883",
                    format!("{name} takes one argument{}", if name == "count" { ", or *" } else { "" }),
                ))
            }
        };
        let mut found = found;
        let argument = argument.transpose()?;
        let summed = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
        if summed && argument.as_ref().is_some_and(|argument| argument.kind.is_none()) {
            let message = format!("function {name}(unknown) is not unique; say what it is: {name}($1::INT)");
            return Err(Error::new(ErrorKind::Type, "42725", message));
        }
        let argument = argument.map(Bound::settled).transpose()?;
        let kind = argument.as_ref().map(|(_, kind)| kind.kind);
        let result = aggregate_type(name, function, kind)?;
        let expression = argument.map(|(expression, _)| expression.folded()).transpose()?;
        found.push(Aggregate { function, argument: expression, kind });
        let bound = Bound::plain(Expression::Aggregate(found.len() - 1), result);
        self.aggregates = Some(found);
        Ok(bound)
    }

    pub(super) fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Bound, Error> {
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for branch in branches {
            conditions.push(match operand {
                None => self.operand(&branch.condition, "CASE/WHEN")?,
                Some(operand) => {
                    // A literal in this place is text, whatever it is compared with.
                    let (expression, kind) = self.bind(operand)?.settled()?;
                    let (left, right) = (Bound::typed(expression, kind), self.bind(&branch.condition)?);
                    self.compare(Comparison::Equal, left, right)?
                }
            });
            results.push(self.bind(&branch.result)?);
        }
        results.push(match otherwise {
            Some(expr) => self.bind(expr)?,
            None => Bound::unknown(Datum::Null),
        });
        let kind = common(&results, "CASE")?;
        let mut results = results
            .into_iter()
            .map(|result| coerce(result, kind, Level::Implicit))
            .collect::<Result<Vec<_>, Error>>()?;
        let otherwise = Box::new(results.pop().unwrap_or_else(Expression::null));
        Ok(Bound::typed(
            Expression::Case { branches: conditions.into_iter().zip(results).collect(), otherwise },
            kind,
        ))
    }
}

/// The first value in the type of the comparison, except that integers are compared as they are.
fn null_if(arguments: Vec<Bound>) -> Result<Bound, Error> {
    let [left, right] =
        <[Bound; 2]>::try_from(arguments).map_err(|_| Error::syntax("nullif takes two arguments"))?;
    let integers =
        |bound: &Bound| matches!(bound.kind, Some(ColumnType { kind: Type::Int | Type::BigInt, .. }));
    let own = (integers(&left) && integers(&right)).then(|| left.clone());
    let pair = [left.clone(), right.clone()];
    let (left, right) = matched(left, right, "=")?;
    let kind = common(&pair, "NULLIF")?;
    let (result, kind) = match own {
        Some(bound) => (bound.expression, bound.kind.unwrap_or(kind)),
        None => (left.clone(), kind),
    };
    Ok(Bound::typed(Expression::Call(Function::NullIf, vec![left, right, result]), kind))
}

fn text_function(name: &str, arguments: Vec<Bound>) -> Result<Bound, Error> {
    let [argument] =
        <[Bound; 1]>::try_from(arguments).map_err(|_| Error::syntax(format!("{name} takes one argument")))?;
    let (function, result) = match name {
        "lower" => (Function::Lower, Type::Text),
        "upper" => (Function::Upper, Type::Text),
        "octet_length" => (Function::OctetLength, Type::Int),
        _ => (Function::Length, Type::Int),
    };
    let (expression, kind) = argument.settled()?;
    let bytes = kind.kind == Type::Bytea && matches!(name, "length" | "octet_length");
    match kind.kind == Type::Text || bytes {
        true => Ok(Bound::plain(Expression::Call(function, vec![expression]), result)),
        false => {
            Err(Error::operator(format!("function {name}({kind}) does not exist; cast the argument to TEXT")))
        }
    }
}

fn aggregate_type(name: &str, function: AggregateFunction, kind: Option<Type>) -> Result<Type, Error> {
    let ordered = [Type::Int, Type::BigInt, Type::Numeric, Type::Double, Type::Text, Type::Timestamp];
    match (function, kind) {
        (AggregateFunction::Count, _) => Ok(Type::BigInt),
        (AggregateFunction::Min | AggregateFunction::Max, Some(kind)) if ordered.contains(&kind) => Ok(kind),
        (AggregateFunction::Sum, Some(Type::Int)) => Ok(Type::BigInt),
        (AggregateFunction::Sum | AggregateFunction::Avg, Some(Type::Double)) => Ok(Type::Double),
        (AggregateFunction::Sum | AggregateFunction::Avg, Some(kind)) if kind.is_number() => {
            Ok(Type::Numeric)
        }
        (_, kind) => Err(Error::operator(format!(
            "function {name}({}) does not exist",
            kind.map_or("unknown", Type::name)
        ))),
    }
}
