//! EXPLAIN, DESCRIBE and SHOW TABLES.

use super::access::shown_values;
use super::{lines, Access, Condition, OnConflict, Path, Query, Work};
use crate::catalog::Catalog;
use crate::datum::Datum;
use crate::expression::{literal, Expression};
use crate::hash::hash_key;
use crate::reply::{Reply, Rows};
use crate::schema::{Default, Table};
use crate::types::{ColumnType, Type};

/// What a statement would do.
pub(super) fn explain(query: &Query) -> Reply {
    let table = &query.table;
    let mut out = Vec::new();
    match &query.work {
        Work::Select(selection) => {
            out.push(format!("SELECT from \"{}\"", table.name));
            where_from(query, &selection.access, &mut out);
            if !selection.aggregates.is_empty() {
                out.push(format!("  aggregates: {}", selection.aggregates.len()));
            }
            out.extend(selection.limit.map(|limit| format!("  limit: {limit}")));
        }
        Work::Insert(insertion) => {
            out.push(format!("INSERT {} rows into \"{}\"", insertion.rows.len(), table.name));
            out.push(format!(
                "  partition: {}",
                query.partition.as_ref().map_or("", |partition| &partition.routing)
            ));
            out.push("  path: each row's key".to_owned());
            match &insertion.conflict {
                OnConflict::Refuse => {}
                OnConflict::Nothing => out.push("  on conflict: nothing".to_owned()),
                OnConflict::Update { set, filter } => {
                    let set: Vec<String> = set
                        .iter()
                        .map(|(column, value)| {
                            format!("{} = {}", table.columns[*column].name, value.show(table))
                        })
                        .collect();
                    out.push(format!("  on conflict: set {}", set.join(", ")));
                    out.extend(
                        filter.as_ref().map(|filter| format!("  on conflict where: {}", filter.show(table))),
                    );
                }
            }
        }
        Work::Update { access, set, condition, .. } => {
            let set: Vec<String> = set
                .iter()
                .map(|(column, value)| format!("{} = {}", table.columns[*column].name, value.show(table)))
                .collect();
            out.push(format!("UPDATE \"{}\" set {}", table.name, set.join(", ")));
            where_from(query, access, &mut out);
            only_if(condition.as_ref(), table, &mut out);
        }
        Work::Delete { access, condition, .. } => {
            out.push(format!("DELETE from \"{}\"", table.name));
            where_from(query, access, &mut out);
            only_if(condition.as_ref(), table, &mut out);
        }
    }
    if query.writes() && !table.indexes.is_empty() {
        let names: Vec<&str> = table.indexes.iter().map(|index| index.name.as_str()).collect();
        out.push(format!("  indexes written: {}", names.join(", ")));
    }
    lines("plan", out)
}

fn only_if(condition: Option<&Condition>, table: &Table, out: &mut Vec<String>) {
    out.extend(condition.map(|condition| match condition {
        Condition::Exists => "  if: a row is there".to_owned(),
        Condition::Holds(expression) => format!("  if: {}", expression.show(table)),
    }));
}

fn where_from(query: &Query, access: &Access, out: &mut Vec<String>) {
    let table = &query.table;
    out.push(match &query.partition {
        Some(partition) => {
            let values = partition.values(table).unwrap_or_default();
            format!("  partition: {} ({})", partition.routing, shown_values(table, &values))
        }
        None => "  partition: all of them, one after the other".to_owned(),
    });
    let ranges = |count: usize| if count == 1 { String::new() } else { format!(" in {count} stretches") };
    let path = match &access.path {
        Path::Keys(keys) if keys.is_empty() => "nothing is read".to_owned(),
        Path::Keys(keys) if keys.len() == 1 => "one row by its key".to_owned(),
        Path::Keys(keys) => format!("{} rows by their keys", keys.len()),
        Path::Rows(stretches) if access.bounds.is_empty() => {
            format!("the whole partition{}", ranges(stretches.len()))
        }
        Path::Rows(stretches) => {
            format!("a range of the key ({}){}", table.key_names(&table.clustering), ranges(stretches.len()))
        }
        Path::Index(index, stretches) => {
            let index = &table.indexes[*index];
            format!(
                "index {} ({}){}, then each row",
                index.name,
                table.key_names(&index.columns),
                ranges(stretches.len())
            )
        }
    };
    out.push(format!("  path: {path}{}", if access.backwards { ", backwards" } else { "" }));
    if let (Some(partition), Path::Keys(keys)) = (&query.partition, &access.path) {
        let name = match keys.as_slice() {
            [row] => hash_key(table, partition, row).ok(),
            _ => None,
        };
        out.extend(name.map(|name| format!("  as a hash: {name}")));
    }
    let shown = |conditions: &[Expression]| {
        conditions.iter().map(|condition| condition.show(table)).collect::<Vec<_>>().join(" AND ")
    };
    if access.never {
        out.push("  bounds: no row fulfils the conditions".to_owned());
    }
    if !access.bounds.is_empty() {
        out.push(format!("  bounds: {}", shown(&access.bounds)));
    }
    if !access.filter.is_empty() {
        out.push(format!("  filter: {}", shown(&access.filter)));
    }
}

fn text(text: impl Into<String>) -> Datum {
    Datum::Text(text.into())
}

fn texts(names: &[&str]) -> Vec<(String, ColumnType)> {
    names.iter().map(|name| ((*name).to_owned(), ColumnType::plain(Type::Text))).collect()
}

/// The columns of a table, its keys, its indexes and its layout.
pub(super) fn describe(table: &Table) -> Reply {
    let mut rows = Vec::new();
    for (place, column) in table.columns.iter().enumerate() {
        let key =
            match (table.partition.contains(&place), table.clustering.iter().find(|key| key.column == place))
            {
                (true, _) => "partition key",
                (_, Some(key)) if key.descending => "clustering key, descending",
                (_, Some(_)) => "clustering key",
                _ => "",
            };
        let null = if column.not_null { "NOT NULL" } else { "" };
        let default = match &column.default {
            Default::Constant(value) if value.is_null() => String::new(),
            Default::Constant(value) => literal(value),
            Default::Now => "now()".to_owned(),
            Default::RandomUuid => "gen_random_uuid()".to_owned(),
        };
        rows.push(vec![
            text(&column.name),
            text(column.kind.to_string()),
            text(null),
            text(default),
            text(key),
        ]);
    }
    for index in &table.indexes {
        let state = if index.ready { "" } else { "being filled" };
        rows.push(vec![
            text(&index.name),
            text("index"),
            text(state),
            text(""),
            text(table.key_names(&index.columns)),
        ]);
    }
    rows.push(vec![
        text(&table.name),
        text("table"),
        text(format!("version {}", table.version)),
        text(""),
        text(format!("layout '{}'", table.layout.name())),
    ]);
    Reply::Rows(Rows { columns: texts(&["name", "type", "null", "default", "key"]), rows, cursor: None })
}

/// All tables.
pub(super) fn show_tables(catalog: &Catalog) -> Reply {
    let rows = catalog.tables().map(|table| {
        vec![
            text(&table.name),
            text(table.layout.name()),
            text(table.partition_names()),
            text(table.key_names(&table.clustering)),
        ]
    });
    Reply::Rows(Rows {
        columns: texts(&["table", "layout", "partition", "clustering"]),
        rows: rows.collect(),
        cursor: None,
    })
}
