//! CREATE, DROP and ALTER: from one catalog to the next.

use std::sync::Arc;

use crate::bind::Binder;
use crate::catalog::Catalog;
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::expression::{Expression, Function};
use crate::limits::{
    COLUMNS_MAX, INDEXES_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX, NUMBER_MAX, TABLES_MAX, VERSION_MAX,
};
use crate::parse::{AddColumn, Body, ColumnSyntax, CreateIndex, CreateTable, Statement};
use crate::schema::{Column, Default, Index, KeyColumn, Table};
use crate::types::Type;
use crate::Context;

/// What came of a change of the catalog.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The next catalog; none if nothing had to be done (IF NOT EXISTS and its like).
    pub catalog: Option<Catalog>,
    /// What the owner has to do once the next catalog is chosen.
    pub effects: Vec<Effect>,
}

/// What follows from a change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// All partitions of the table can go. Another table may have its name, and so its routing keys, before they are gone: what tells them
    /// apart is the table's number.
    DropTable {
        /// The table's number.
        table: u32,
        /// Its name, which routing keys begin with.
        name: String,
    },
    /// A [`crate::Backfill`] that fills is to go through all partitions; then [`Catalog::index_filled`].
    FillIndex {
        /// The table's number.
        table: u32,
        /// The index's.
        index: u32,
    },
    /// A [`crate::Backfill`] that clears is to go through all partitions.
    ClearIndex {
        /// The table's number.
        table: u32,
        /// The index's.
        index: u32,
    },
}

fn exists(what: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::Exists,
        if what == "column" { "42701" } else { "42P07" },
        format!("{what} \"{name}\" exists already; choose another name, or write IF NOT EXISTS"),
    )
}

/// Names are part of routing keys, so they have no signs in them.
fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let begins = name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    let signs = name.chars().all(|one| one.is_alphanumeric() || one == '_' || one == '$');
    match begins && signs && name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => {
            let name = crate::error::shortened(name);
            let message = format!("\"{name}\" cannot be the name of a {what}: letters, digits, _ and $, no digit first, at most {NAME_BYTES_MAX} bytes");
            Err(Error::new(ErrorKind::Value, "42602", message))
        }
    }
}

impl Catalog {
    /// The catalog after a CREATE, DROP or ALTER.
    pub fn change(&self, statement: &Statement, context: &Context) -> Result<Changed, Error> {
        context.check(statement)?;
        if !self.is_within(VERSION_MAX / 2, NUMBER_MAX / 2) {
            return Err(Error::too_large(
                "the versions of the catalog, or the numbers of tables or indexes, are used up",
            ));
        }
        match &statement.body {
            Body::CreateTable(create) => self.create_table(create, context),
            Body::CreateIndex(create) => self.create_index(create),
            Body::DropTables { names, if_exists } => self.drop_tables(names, *if_exists),
            Body::DropIndexes { names, if_exists } => self.drop_indexes(names, *if_exists),
            Body::AddColumns { table, columns } => self.add_columns(table, columns, context),
            _ => Err(Error::syntax("this statement does not change the catalog")),
        }
    }

    fn create_table(&self, create: &CreateTable, context: &Context) -> Result<Changed, Error> {
        check_name("table", &create.name)?;
        if self.tables.contains_key(&create.name) {
            return match create.if_not_exists {
                true => Ok(Changed { catalog: None, effects: Vec::new() }),
                false => Err(exists("table", &create.name)),
            };
        }
        if self.tables.len() >= TABLES_MAX {
            return Err(Error::too_large(format!("there are {TABLES_MAX} tables already; drop one")));
        }
        let mut table = Table {
            id: self.next_table,
            name: create.name.clone(),
            version: 1,
            layout: create.layout,
            columns: Vec::new(),
            partition: Vec::new(),
            clustering: Vec::new(),
            indexes: Vec::new(),
            next_index: 1,
        };
        for syntax in &create.columns {
            add_column(&mut table, syntax, context)?;
        }
        set_key(&mut table, create)?;
        Ok(Changed { catalog: Some(self.with(table)), effects: Vec::new() })
    }

    fn create_index(&self, create: &CreateIndex) -> Result<Changed, Error> {
        let mut table = Table::clone(self.table(&create.table)?);
        let columns: Vec<&str> = create.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut name =
            create.name.clone().unwrap_or_else(|| format!("{}_{}_idx", create.table, columns.join("_")));
        while create.name.is_none() && name.len() > NAME_BYTES_MAX {
            name.pop();
        }
        check_name("index", &name)?;
        if self.table_of_index(&name).is_ok() {
            return match create.if_not_exists {
                true => Ok(Changed { catalog: None, effects: Vec::new() }),
                false => Err(exists("index", &name)),
            };
        }
        if table.indexes.len() >= INDEXES_MAX {
            return Err(Error::too_large(format!(
                "table \"{}\" has {INDEXES_MAX} indexes already; each write writes them all. Drop one",
                table.name
            )));
        }
        let key = key_columns(&table, &create.columns)?;
        let index = Index { id: table.next_index, name, columns: key, ready: false };
        let effects = vec![Effect::FillIndex { table: table.id, index: index.id }];
        table.next_index += 1;
        table.version += 1;
        table.indexes.push(index);
        Ok(Changed { catalog: Some(self.with(table)), effects })
    }

    fn drop_tables(&self, names: &[String], if_exists: bool) -> Result<Changed, Error> {
        let mut next = self.clone();
        let mut effects = Vec::new();
        for name in names {
            match next.tables.remove(name) {
                Some(table) => effects.push(Effect::DropTable { table: table.id, name: table.name.clone() }),
                None if if_exists => {}
                None => return Err(next.table(name).err().unwrap_or_else(|| Error::damage("the catalog"))),
            }
        }
        next.version += 1;
        Ok(Changed { catalog: (!effects.is_empty()).then_some(next), effects })
    }

    fn drop_indexes(&self, names: &[String], if_exists: bool) -> Result<Changed, Error> {
        let mut next: Option<Catalog> = None;
        let mut effects = Vec::new();
        for name in names {
            let current = next.as_ref().unwrap_or(self);
            let found: Arc<Table> = match current.table_of_index(name) {
                Ok(table) => Arc::clone(table),
                Err(_) if if_exists => continue,
                Err(error) => return Err(error),
            };
            let mut table = Table::clone(&found);
            let gone = table.indexes.iter().filter(|index| index.name == *name);
            effects.extend(gone.map(|index| Effect::ClearIndex { table: table.id, index: index.id }));
            table.indexes.retain(|index| index.name != *name);
            table.version += 1;
            let after = current.with(table);
            next = Some(after);
        }
        Ok(Changed { catalog: next.map(|next| Catalog { version: self.version + 1, ..next }), effects })
    }

    fn add_columns(&self, name: &str, columns: &[AddColumn], context: &Context) -> Result<Changed, Error> {
        let mut table = Table::clone(self.table(name)?);
        let before = table.columns.len();
        table.version += 1;
        for AddColumn { column, if_not_exists } in columns {
            if *if_not_exists && table.columns.iter().any(|held| held.name == column.name) {
                continue;
            }
            if column.primary {
                return Err(Error::unsupported(format!(
                    "column \"{}\" cannot become part of the key of a table that exists",
                    column.name
                )));
            }
            add_column(&mut table, column, context)?;
            let added = table.columns.last().ok_or_else(|| Error::damage("the catalog"))?;
            match &added.default {
                Default::Constant(value) if value.is_null() && added.not_null => {
                    return Err(Error::new(
                        ErrorKind::Constraint,
                        "23502",
                        format!("column \"{}\" is NOT NULL: rows that exist need a DEFAULT", added.name),
                    ));
                }
                Default::Constant(_) => {}
                Default::Now | Default::RandomUuid => {
                    return Err(Error::unsupported(format!("the DEFAULT of an added column, \"{}\", is what rows that exist have: it must be constant", added.name)));
                }
            }
        }
        let changed = table.columns.len() > before;
        Ok(Changed { catalog: changed.then(|| self.with(table)), effects: Vec::new() })
    }
}

fn add_column(table: &mut Table, syntax: &ColumnSyntax, context: &Context) -> Result<(), Error> {
    check_name("column", &syntax.name)?;
    if table.columns.iter().any(|column| column.name == syntax.name) {
        return Err(exists("column", &syntax.name));
    }
    if table.columns.len() >= COLUMNS_MAX {
        return Err(Error::too_large(format!(
            "table \"{}\" would have more than {COLUMNS_MAX} columns; keep some in a JSONB",
            table.name
        )));
    }
    let null = Default::Constant(Datum::Null);
    table.columns.push(Column {
        name: syntax.name.clone(),
        kind: syntax.kind,
        not_null: syntax.not_null,
        default: null,
        since: table.version,
    });
    let place = table.columns.len() - 1;
    let Some(expr) = &syntax.default else { return Ok(()) };
    let now_called = expr.to_string().to_lowercase();
    let default = {
        let mut binder = Binder { columns: false, ..Binder::new(table, None, context, "DEFAULT") };
        match binder.assigned(expr, place)? {
            // now() is a constant of this statement, but not of the table.
            Expression::Constant(_)
                if syntax.kind.kind == Type::Timestamp
                    && matches!(now_called.as_str(), "now()" | "localtimestamp" | "current_timestamp") =>
            {
                Default::Now
            }
            Expression::Constant(value) => Default::Constant(value),
            Expression::Call(Function::RandomUuid, _) => Default::RandomUuid,
            _ => {
                return Err(Error::unsupported(format!(
                    "DEFAULT {expr} is not supported; there are constants, now() and gen_random_uuid()"
                )))
            }
        }
    };
    table.columns[place].default = default;
    Ok(())
}

fn key_columns(table: &Table, names: &[(String, bool)]) -> Result<Vec<KeyColumn>, Error> {
    if names.len() > KEY_COLUMNS_MAX {
        return Err(Error::too_large(format!(
            "a key has at most {KEY_COLUMNS_MAX} columns, not {}",
            names.len()
        )));
    }
    let mut key: Vec<KeyColumn> = Vec::new();
    for (name, descending) in names {
        let column = table.column(name)?;
        let held = &table.columns[column];
        if !held.kind.kind.is_ordered() {
            return Err(Error::mismatch(format!(
                "column \"{name}\" is {}, which has no order, and cannot be in a key",
                held.kind
            )));
        }
        if key.iter().any(|other| other.column == column) {
            return Err(Error::new(
                ErrorKind::Exists,
                "42701",
                format!("column \"{name}\" is twice in the key"),
            ));
        }
        key.push(KeyColumn { column, descending: *descending });
    }
    Ok(key)
}

/// The columns of the primary key: those of the partition first, the others order the rows in it.
fn set_key(table: &mut Table, create: &CreateTable) -> Result<(), Error> {
    let key = key_columns(table, &create.key)?;
    let first: Vec<String> = create.key.iter().take(1).map(|(name, _)| name.clone()).collect();
    let partition = create.partition.clone().unwrap_or(first);
    let begins = create.key.iter().map(|(name, _)| name).take(partition.len()).eq(partition.iter());
    if !begins || partition.is_empty() {
        let (names, wanted): (Vec<&str>, _) =
            (create.key.iter().map(|(name, _)| name.as_str()).collect(), partition.join(", "));
        let message = format!(
            "partition = '{wanted}': the columns of the partition are the first ones of the PRIMARY KEY ({})",
            names.join(", ")
        );
        return Err(Error::new(ErrorKind::NeedsKey, "42P16", message));
    }
    let (partition, clustering) = key.split_at(partition.len());
    if let Some(down) = partition.iter().find(|column| column.descending) {
        return Err(Error::unsupported(format!(
            "DESC of \"{}\": partitions have no order; rows in them do",
            table.columns[down.column].name
        )));
    }
    table.partition = partition.iter().map(|column| column.column).collect();
    table.clustering = clustering.to_vec();
    for column in &key {
        table.columns[column.column].not_null = true;
    }
    Ok(())
}
