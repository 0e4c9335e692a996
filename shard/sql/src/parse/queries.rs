//! SELECT, INSERT, UPDATE and DELETE out of `sqlparser`'s trees. Whatever they have that is not taken here is refused by name.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Expr, FromTable, LimitClause, ObjectName, OnConflictAction,
    OnInsert, OrderByKind, Query, SetExpr, Statement as Syntax, TableFactor, TableObject, TableWithJoins,
};

use super::clauses::Extra;
use super::{name_of, object, Body, Change, Condition, Conflict, Insert, Select};
use crate::error::Error;

/// Refuses what is there and should not be.
fn refuse(there: &[(bool, &str)]) -> Result<(), Error> {
    match there.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(Error::unsupported(format!("{what} is not supported"))),
        None => Ok(()),
    }
}

pub(super) fn select(syntax: Syntax, extra: Extra) -> Result<Body, Error> {
    let Syntax::Query(query) = syntax else { return Err(Error::syntax("a SELECT is expected")) };
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = *query;
    refuse(&[
        (with.is_some(), "WITH in front of a query"),
        (fetch.is_some(), "FETCH (LIMIT is)"),
        (!locks.is_empty(), "FOR UPDATE (each statement is atomic; UPDATE … IF checks what was read before)"),
        (
            for_clause.is_some()
                || settings.is_some()
                || format_clause.is_some()
                || !pipe_operators.is_empty(),
            "what stands behind the query",
        ),
    ])?;
    let SetExpr::Select(mut select) = *body else {
        return Err(Error::unsupported(
            "a query that is not one SELECT (UNION, VALUES, parentheses) is not supported",
        ));
    };
    let items = std::mem::take(&mut select.projection);
    let from = std::mem::take(&mut select.from);
    let filter = select.selection.take();
    // What is left over has no place here; the tree can say how it is written.
    let left = select.to_string();
    let left = left.trim_start_matches("SELECT").trim();
    if !left.is_empty() {
        return Err(Error::unsupported(format!(
            "in SELECT, {} is not supported",
            crate::error::shortened(left)
        )));
    }
    let order = match order_by {
        None => Vec::new(),
        Some(order) if order.interpolate.is_none() => match order.kind {
            OrderByKind::Expressions(list) => list,
            OrderByKind::All(_) => {
                return Err(Error::unsupported("ORDER BY ALL is not supported; name the columns"))
            }
        },
        Some(_) => return Err(Error::unsupported("INTERPOLATE is not supported")),
    };
    let limit = match limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit, offset: None, limit_by }) if limit_by.is_empty() => limit,
        Some(_) => return Err(Error::unsupported("OFFSET is not supported: it would read what it passes over. Go on with CURSOR, or behind the last key")),
    };
    let (table, alias) = match from.as_slice() {
        [] => {
            return Err(Error::unsupported(
                "a SELECT without FROM is not supported: every statement is about a table",
            ))
        }
        [one] => table(one)?,
        _ => return Err(Error::unsupported("several tables in FROM are not supported: there are no joins")),
    };
    Ok(Body::Select(Box::new(Select {
        table,
        alias,
        items,
        filter,
        order,
        limit,
        cursor: extra.cursor,
        allow_scan: extra.allow_scan,
    })))
}

/// The one table, and its other name.
fn table(from: &TableWithJoins) -> Result<(String, Option<String>), Error> {
    if !from.joins.is_empty() {
        return Err(Error::unsupported(
            "JOIN is not supported: a statement is about one partition of one table",
        ));
    }
    let TableFactor::Table { name, alias, .. } = &from.relation else {
        return Err(Error::unsupported(format!(
            "{} is not supported in FROM; name a table",
            crate::error::shortened(&from.relation.to_string())
        )));
    };
    let plain = match alias {
        Some(alias) => format!("{name} {alias}"),
        None => name.to_string(),
    };
    if from.relation.to_string().replace(" AS ", " ") != plain.replace(" AS ", " ")
        || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty())
    {
        return Err(Error::unsupported(format!(
            "{} is not supported in FROM; name a table",
            crate::error::shortened(&from.relation.to_string())
        )));
    }
    Ok((object(name)?, alias.as_ref().map(|alias| name_of(&alias.name))))
}

pub(super) fn insert(syntax: Syntax, upsert: bool) -> Result<Body, Error> {
    let Syntax::Insert(insert) = syntax else { return Err(Error::syntax("an INSERT is expected")) };
    refuse(&[
        (
            insert.or.is_some()
                || insert.ignore
                || insert.overwrite
                || insert.replace_into
                || insert.priority.is_some(),
            "what stands behind INSERT",
        ),
        (insert.table_alias.is_some() || insert.insert_alias.is_some(), "AS in INSERT"),
        (
            insert.partitioned.is_some() || !insert.after_columns.is_empty() || insert.output.is_some(),
            "PARTITION or OUTPUT in INSERT",
        ),
        (!insert.assignments.is_empty(), "SET in INSERT (VALUES is)"),
    ])?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT goes into a table"));
    };
    let columns = insert.columns.iter().map(object).collect::<Result<Vec<_>, Error>>()?;
    let rows = match insert.source {
        None => vec![Vec::new()],
        Some(query) => match *query.body {
            SetExpr::Values(values)
                if query.order_by.is_none() && query.limit_clause.is_none() && query.with.is_none() =>
            {
                values
                    .rows
                    .into_iter()
                    .map(|row| row.content.into_iter().map(not_default).collect())
                    .collect()
            }
            _ => return Err(Error::unsupported("INSERT takes VALUES; INSERT … SELECT is not supported")),
        },
    };
    let conflict = match (insert.on, upsert) {
        (None, false) => Conflict::Refuse,
        (None, true) => Conflict::Replace,
        (Some(_), true) => {
            return Err(Error::unsupported(
                "UPSERT says already what happens on a conflict; write INSERT … ON CONFLICT",
            ))
        }
        (Some(OnInsert::OnConflict(on)), false) => conflict(on)?,
        (Some(other), false) => {
            return Err(Error::unsupported(format!("{other} is not supported; ON CONFLICT is")))
        }
    };
    Ok(Body::Insert(Box::new(Insert {
        table: object(name)?,
        columns,
        rows,
        conflict,
        returning: insert.returning,
    })))
}

/// DEFAULT is read as the name of a column.
fn not_default(expr: Expr) -> Option<Expr> {
    match &expr {
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") =>
        {
            None
        }
        _ => Some(expr),
    }
}

fn conflict(on: sqlparser::ast::OnConflict) -> Result<Conflict, Error> {
    let target = match on.conflict_target {
        None => Vec::new(),
        Some(ConflictTarget::Columns(columns)) => columns.iter().map(name_of).collect(),
        Some(ConflictTarget::OnConstraint(_)) => {
            return Err(Error::unsupported(
                "ON CONSTRAINT is not supported; name the columns of the primary key",
            ))
        }
    };
    match on.action {
        OnConflictAction::DoNothing => Ok(Conflict::Nothing { target }),
        OnConflictAction::DoUpdate(update) => Ok(Conflict::Update {
            target,
            set: assignments(update.assignments)?,
            filter: update.selection.map(Box::new),
        }),
    }
}

fn assignments(list: Vec<Assignment>) -> Result<Vec<(String, Option<Expr>)>, Error> {
    let one = |assignment: Assignment| match assignment.target {
        AssignmentTarget::ColumnName(ObjectName(parts)) => {
            Ok((object(&ObjectName(parts))?, not_default(assignment.value)))
        }
        AssignmentTarget::Tuple(_) => {
            Err(Error::unsupported("SET (a, b) = (…) is not supported; write SET a = …, b = …"))
        }
    };
    list.into_iter().map(one).collect()
}

pub(super) fn change(syntax: Syntax, condition: Option<Condition>) -> Result<Body, Error> {
    match syntax {
        Syntax::Update(update) => {
            refuse(&[
                (update.from.is_some(), "FROM in UPDATE (there are no joins)"),
                (update.or.is_some() || update.output.is_some(), "OR or OUTPUT in UPDATE"),
                (
                    !update.order_by.is_empty() || update.limit.is_some(),
                    "ORDER BY or LIMIT in UPDATE (give a range of the key)",
                ),
            ])?;
            let (table, alias) = table(&update.table)?;
            let set = assignments(update.assignments)?;
            Ok(Body::Update(Box::new(Change {
                table,
                alias,
                set,
                filter: update.selection,
                condition,
                returning: update.returning,
            })))
        }
        Syntax::Delete(delete) => {
            refuse(&[
                (delete.using.is_some(), "USING in DELETE (there are no joins)"),
                (delete.output.is_some(), "OUTPUT in DELETE"),
                (
                    !delete.order_by.is_empty() || delete.limit.is_some(),
                    "ORDER BY or LIMIT in DELETE (give a range of the key)",
                ),
                (!delete.tables.is_empty(), "DELETE of several tables"),
            ])?;
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let [from] = from.as_slice() else {
                return Err(Error::unsupported("DELETE of several tables is not supported"));
            };
            let (table, alias) = table(from)?;
            Ok(Body::Delete(Box::new(Change {
                table,
                alias,
                set: Vec::new(),
                filter: delete.selection,
                condition,
                returning: delete.returning,
            })))
        }
        _ => Err(Error::syntax("an UPDATE or DELETE is expected")),
    }
}
