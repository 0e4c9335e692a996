//! Plans of SELECT, UPDATE and DELETE.

use std::sync::Arc;

use sqlparser::ast::{Expr, SelectItem, SelectItemQualifiedWildcardKind};

use super::access::{choose, partition_of};
use super::{order, Condition, Context, Projection, Query, Selection, Work};
use crate::bind::{coerce, Binder};
use crate::cast::Level;
use crate::catalog::Catalog;
use crate::cursor::{Given, Position};
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::expression::Expression;
use crate::parse::{name_of, Change, Condition as Asked, Select};
use crate::routing::Partition;
use crate::schema::{Default, Table};
use crate::types::{ColumnType, Type};

/// The conditions of WHERE that must all hold.
fn conditions(binder: &mut Binder, filter: Option<&Expr>) -> Result<Vec<Expression>, Error> {
    let mut list = Vec::new();
    if let Some(expr) = filter {
        // Taken apart before constants are evaluated: where one of them is false, the others still say which partition it is about.
        binder.condition(expr)?.conjuncts(&mut list);
    }
    let mut list = list.into_iter().map(Expression::folded).collect::<Result<Vec<_>, Error>>()?;
    list.retain(|condition| !matches!(condition, Expression::Constant(Datum::Bool(true))));
    Ok(list)
}

fn needs_partition(table: &Table, read: bool) -> Error {
    let names: Vec<String> =
        table.partition.iter().map(|column| format!("{} = …", table.columns[*column].name)).collect();
    let scan = if read {
        ", or write ALLOW SCAN at the end, which reads all partitions"
    } else {
        ": one statement changes one partition"
    };
    let message = format!(
        "table \"{}\" is partitioned by ({}): WHERE must say {}{scan}",
        table.name,
        table.partition_names(),
        names.join(" AND ")
    );
    Error::new(ErrorKind::NeedsKey, "0A000", message)
}

pub(super) fn select(catalog: &Catalog, select: &Select, context: &Context) -> Result<Query, Error> {
    let table = Arc::clone(catalog.table(&select.table)?);
    let alias = select.alias.as_deref();
    let mut binder = Binder { aggregates: Some(Vec::new()), ..Binder::new(&table, alias, context, "SELECT") };
    let projection = projection(&mut binder, &select.items)?;
    let aggregates = binder.aggregates.take().unwrap_or_default();
    let order = order::items(&table, alias, &select.order, &select.items)?;
    if !aggregates.is_empty() {
        let column = |part: &Expression| matches!(part, Expression::Column(_));
        let plain = projection.expressions.iter().any(|expression| expression.any(&column));
        if plain || !order.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, "42803", "a column cannot stand beside an aggregate, nor order one: GROUP BY is not supported. Aggregate it too, or ask twice"));
        }
    }
    let mut conditions =
        conditions(&mut Binder::new(&table, alias, context, "WHERE"), select.filter.as_ref())?;
    let values = partition_of(&table, &mut conditions)?;
    if values.is_none() && !select.allow_scan {
        return Err(needs_partition(&table, true));
    }
    if values.is_none() && !order.is_empty() {
        return Err(Error::unsupported("ORDER BY with ALLOW SCAN is not supported: rows come partition by partition. Order them where they are needed"));
    }
    let given = match &select.cursor {
        None => None,
        Some(_) if !aggregates.is_empty() => {
            return Err(Error::unsupported("CURSOR with an aggregate is not supported: it is one row"))
        }
        Some(expr) => Some(Given::parse(&text(context, expr, &table)?)?),
    };
    let begun = given.as_ref().and_then(|given| Some(given.as_ref()?.index()));
    let access = choose(&table, conditions, &order, begun)?;
    let limit = number(context, select.limit.as_ref(), &table)?;
    let place = |given: Option<Given>| match given {
        None => Ok(Position::default()),
        Some(given) => given.check(&table, &access, values.is_none()),
    };
    let page = given.map(place).transpose()?;
    let partition = values.map(|values| Partition::new(&table, &values)).transpose()?;
    let work = Work::Select(Selection { access, projection, aggregates, limit, page });
    Ok(Query { table, partition, work, random: context.random })
}

/// What LIMIT says.
fn number(context: &Context, expr: Option<&Expr>, table: &Table) -> Result<Option<u64>, Error> {
    let Some(expr) = expr else { return Ok(None) };
    let mut binder = Binder { columns: false, ..Binder::new(table, None, context, "LIMIT") };
    let bound = binder.bind(expr)?;
    match coerce(bound, ColumnType::plain(Type::BigInt), Level::Assignment)?.folded()? {
        Expression::Constant(Datum::Null) => Ok(None),
        Expression::Constant(Datum::BigInt(limit)) => match u64::try_from(limit) {
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(Error::new(ErrorKind::Value, "2201W", "LIMIT must not be negative")),
        },
        _ => Err(Error::unsupported("LIMIT is a number or a parameter")),
    }
}

/// What CURSOR says.
fn text(context: &Context, expr: &Expr, table: &Table) -> Result<String, Error> {
    let mut binder = Binder { columns: false, ..Binder::new(table, None, context, "CURSOR") };
    let bound = binder.bind(expr)?;
    match coerce(bound, ColumnType::plain(Type::Text), Level::Assignment)?.folded()? {
        Expression::Constant(Datum::Text(text)) => Ok(text),
        _ => Err(Error::unsupported("CURSOR is a text or a parameter")),
    }
}

/// The columns of an answer: names as PostgreSQL gives them.
pub(super) fn projection(binder: &mut Binder, items: &[SelectItem]) -> Result<Projection, Error> {
    let mut made = Projection { columns: Vec::new(), expressions: Vec::new() };
    for item in items {
        let (name, expr) = match item {
            SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                all(binder.table, &mut made);
                continue;
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                if options.to_string().is_empty() =>
            {
                if name.to_string().to_lowercase() != binder.alias.unwrap_or(&binder.table.name) {
                    return Err(Error::new(
                        ErrorKind::Unknown,
                        "42P01",
                        format!("{name} is not the table of this statement"),
                    ));
                }
                all(binder.table, &mut made);
                continue;
            }
            SelectItem::UnnamedExpr(expr) => (title(expr), expr),
            SelectItem::ExprWithAlias { expr, alias } => (name_of(alias), expr),
            other => {
                return Err(Error::unsupported(format!("{other} is not supported; name columns, or write *")))
            }
        };
        let (expression, kind) = binder.bind(expr)?.settled()?;
        made.columns.push((name, kind));
        made.expressions.push(expression.folded()?);
    }
    match made.expressions.is_empty() {
        true => Err(Error::syntax("SELECT and RETURNING name at least one column")),
        false => Ok(made),
    }
}

fn all(table: &Table, made: &mut Projection) {
    for (index, column) in table.columns.iter().enumerate() {
        made.columns.push((column.name.clone(), column.kind));
        made.expressions.push(Expression::Column(index));
    }
}

fn title(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name_of(name),
        Expr::CompoundIdentifier(names) => names.last().map_or("?column?".to_owned(), name_of),
        Expr::Function(function) => function.name.to_string().to_lowercase(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => title(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}

pub(super) fn returning(
    table: &Table,
    alias: Option<&str>,
    context: &Context,
    items: Option<&[SelectItem]>,
) -> Result<Option<Projection>, Error> {
    items.map(|items| projection(&mut Binder::new(table, alias, context, "RETURNING"), items)).transpose()
}

/// Column and new value of each assignment. DEFAULT is None.
pub(super) fn assignments(
    binder: &mut Binder,
    set: &[(String, Option<Expr>)],
) -> Result<Vec<(usize, Expression)>, Error> {
    let mut made: Vec<(usize, Expression)> = Vec::new();
    for (name, expr) in set {
        let column = binder.table.column(name)?;
        if made.iter().any(|(other, _)| *other == column) {
            return Err(Error::new(
                ErrorKind::Syntax,
                "42601",
                format!("multiple assignments to column \"{name}\""),
            ));
        }
        if binder.table.partition.contains(&column) {
            return Err(Error::unsupported(format!("\"{name}\" says in which partition the row is and cannot be changed; INSERT it there and DELETE it here")));
        }
        let value = match expr {
            Some(expr) => binder.assigned(expr, column)?,
            None => default_of(binder.table, column, binder.context),
        };
        made.push((column, value));
    }
    Ok(made)
}

/// What a column has where a statement says nothing.
pub(super) fn default_of(table: &Table, column: usize, context: &Context) -> Expression {
    match &table.columns[column].default {
        Default::Constant(value) => Expression::Constant(value.clone()),
        Default::Now => Expression::Constant(Datum::Timestamp(context.now_micros)),
        Default::RandomUuid => Expression::Call(crate::expression::Function::RandomUuid, Vec::new()),
    }
}

/// What UPDATE and DELETE have in common.
fn found(
    table: &Table,
    change: &Change,
    context: &Context,
) -> Result<(Partition, super::Access, Option<Condition>), Error> {
    let alias = change.alias.as_deref();
    let mut conditions =
        conditions(&mut Binder::new(table, alias, context, "WHERE"), change.filter.as_ref())?;
    let values = partition_of(table, &mut conditions)?.ok_or_else(|| needs_partition(table, false))?;
    let condition = match &change.condition {
        None => None,
        Some(Asked::Exists) => Some(Condition::Exists),
        Some(Asked::Holds(expr)) => {
            Some(Condition::Holds(Binder::new(table, alias, context, "IF").condition(expr)?.folded()?))
        }
    };
    Ok((Partition::new(table, &values)?, choose(table, conditions, &[], None)?, condition))
}

pub(super) fn update(catalog: &Catalog, change: &Change, context: &Context) -> Result<Query, Error> {
    let table = Arc::clone(catalog.table(&change.table)?);
    let set = assignments(&mut Binder::new(&table, change.alias.as_deref(), context, "UPDATE"), &change.set)?;
    let returning = returning(&table, change.alias.as_deref(), context, change.returning.as_deref())?;
    let (partition, access, condition) = found(&table, change, context)?;
    Ok(Query {
        table,
        partition: Some(partition),
        work: Work::Update { access, set, condition, returning },
        random: context.random,
    })
}

pub(super) fn delete(catalog: &Catalog, change: &Change, context: &Context) -> Result<Query, Error> {
    let table = Arc::clone(catalog.table(&change.table)?);
    let returning = returning(&table, change.alias.as_deref(), context, change.returning.as_deref())?;
    let (partition, access, condition) = found(&table, change, context)?;
    Ok(Query {
        table,
        partition: Some(partition),
        work: Work::Delete { access, condition, returning },
        random: context.random,
    })
}
