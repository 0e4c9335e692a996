//! CREATE, DROP and ALTER out of `sqlparser`'s trees.

use sqlparser::ast::{
    AlterTableOperation, ColumnDef, ColumnOption, CreateIndex as IndexSyntax, CreateTable as TableSyntax,
    CreateTableOptions, Expr, IndexColumn, ObjectType, SqlOption, Statement as Syntax, TableConstraint,
    Value,
};

use super::{descending, name_of, object, Body};
use crate::error::{suggestion, Error};
use crate::schema::Layout;
use crate::types::ColumnType;

/// CREATE TABLE.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: String,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnSyntax>,
    pub(crate) key: Vec<(String, bool)>,
    pub(crate) layout: Layout,
    pub(crate) partition: Option<Vec<String>>,
}

/// A column's definition.
#[derive(Clone, Debug)]
pub(crate) struct ColumnSyntax {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) not_null: bool,
    pub(crate) default: Option<Expr>,
    pub(crate) primary: bool,
}

/// A column that is added to a table.
#[derive(Clone, Debug)]
pub(crate) struct AddColumn {
    pub(crate) column: ColumnSyntax,
    pub(crate) if_not_exists: bool,
}

/// CREATE INDEX.
#[derive(Clone, Debug)]
pub(crate) struct CreateIndex {
    pub(crate) name: Option<String>,
    pub(crate) table: String,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<(String, bool)>,
}

pub(super) fn definition(syntax: Syntax) -> Result<Body, Error> {
    match syntax {
        Syntax::CreateTable(table) => create_table(table).map(Body::CreateTable),
        Syntax::CreateIndex(index) => create_index(index).map(Body::CreateIndex),
        Syntax::AlterTable(alter) => {
            let table = object(&alter.name)?;
            let columns = alter.operations.into_iter().map(added).collect::<Result<Vec<_>, Error>>()?;
            Ok(Body::AddColumns { table, columns })
        }
        Syntax::Drop { object_type, if_exists, names, cascade: false, .. } => {
            let names = names.iter().map(object).collect::<Result<Vec<_>, Error>>()?;
            match object_type {
                ObjectType::Table => Ok(Body::DropTables { names, if_exists }),
                ObjectType::Index => Ok(Body::DropIndexes { names, if_exists }),
                other => Err(Error::unsupported(format!(
                    "DROP {other} is not supported; DROP TABLE and DROP INDEX are"
                ))),
            }
        }
        Syntax::Drop { .. } => Err(Error::unsupported(
            "DROP … CASCADE is not supported; nothing depends on a table but its indexes, which go with it",
        )),
        other => {
            let shown = other.to_string();
            let shown = crate::error::shortened(&shown);
            Err(Error::unsupported(format!("{shown} is not supported; there are CREATE TABLE, CREATE INDEX, ALTER TABLE … ADD COLUMN, DROP TABLE and DROP INDEX")))
        }
    }
}

fn create_table(mut syntax: TableSyntax) -> Result<CreateTable, Error> {
    let name = object(&syntax.name)?;
    let columns =
        std::mem::take(&mut syntax.columns).into_iter().map(column).collect::<Result<Vec<_>, Error>>()?;
    let mut keys: Vec<Vec<(String, bool)>> = columns
        .iter()
        .filter(|column| column.primary)
        .map(|column| vec![(column.name.clone(), false)])
        .collect();
    for constraint in std::mem::take(&mut syntax.constraints) {
        match constraint {
            TableConstraint::PrimaryKey(primary) => {
                keys.push(primary.columns.iter().map(key_column).collect::<Result<_, Error>>()?)
            }
            other => {
                return Err(Error::unsupported(format!(
                    "{} is not supported; of constraints there are PRIMARY KEY and NOT NULL",
                    crate::error::shortened(&other.to_string())
                )))
            }
        }
    }
    let (mut layout, mut partition) = (Layout::Small, None);
    let options = std::mem::take(&mut syntax.table_options);
    match options {
        CreateTableOptions::None => {}
        CreateTableOptions::With(options) => {
            for option in &options {
                read_option(option, &mut layout, &mut partition)?;
            }
        }
        other => {
            return Err(Error::unsupported(format!(
                "{} is not supported; WITH (…) is",
                crate::error::shortened(&other.to_string())
            )))
        }
    }
    let if_not_exists = std::mem::take(&mut syntax.if_not_exists);
    // What is left over has no place here; the tree can say how it is written.
    let left = syntax.to_string();
    if left != format!("CREATE TABLE {} ()", syntax.name) && left != format!("CREATE TABLE {}", syntax.name) {
        let left = left.replacen(&format!(" {} ()", syntax.name), "", 1);
        return Err(Error::unsupported(format!(
            "{} is not supported; a table has columns, a PRIMARY KEY and WITH (layout, partition)",
            crate::error::shortened(&left)
        )));
    }
    match <[Vec<(String, bool)>; 1]>::try_from(keys) {
        Ok([key]) => Ok(CreateTable { name, if_not_exists, columns, key, layout, partition }),
        Err(keys) if keys.is_empty() => Err(Error::new(
            crate::ErrorKind::NeedsKey,
            "42P16",
            format!("table \"{name}\" needs a PRIMARY KEY (partition column, clustering columns …)"),
        )),
        Err(_) => Err(Error::new(
            crate::ErrorKind::Syntax,
            "42P16",
            format!("table \"{name}\" has several PRIMARY KEYs; write one, PRIMARY KEY (a, b)"),
        )),
    }
}

fn read_option(
    option: &SqlOption,
    layout: &mut Layout,
    partition: &mut Option<Vec<String>>,
) -> Result<(), Error> {
    let SqlOption::KeyValue { key, value } = option else {
        return Err(Error::unsupported(format!("WITH ({option}) is not supported; write WITH (layout = 'small' or 'large', partition = 'columns')")));
    };
    let text = match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name_of(name),
        other => return Err(Error::unsupported(format!("WITH ({key} = {other}): write a quoted text"))),
    };
    match (name_of(key).as_str(), text.as_str()) {
        ("layout", "small") => *layout = Layout::Small,
        ("layout", "large") => *layout = Layout::Large,
        ("layout", other) => return Err(Error::new(crate::ErrorKind::Value, "22023", format!("layout = '{other}': there are 'small' (a partition is one object in memory) and 'large' (on the disk)"))),
        ("partition", list) => *partition = Some(list.split(',').map(|name| name.trim().to_owned()).collect()),
        (other, _) => {
            let near = suggestion(other, ["layout", "partition"].into_iter());
            return Err(Error::new(crate::ErrorKind::Value, "22023", format!("there is no table option \"{other}\"{near} (there are layout and partition)")));
        }
    }
    Ok(())
}

fn column(definition: ColumnDef) -> Result<ColumnSyntax, Error> {
    let name = name_of(&definition.name);
    let mut column = ColumnSyntax {
        kind: ColumnType::parse(&definition.data_type)?,
        name,
        not_null: false,
        default: None,
        primary: false,
    };
    for option in definition.options {
        match option.option {
            ColumnOption::Null => {}
            // The order that all text has here.
            ColumnOption::Collation(name) if matches!(name.to_string().as_str(), "\"C\"" | "\"POSIX\"") => {}
            ColumnOption::NotNull => column.not_null = true,
            ColumnOption::Default(expr) => column.default = Some(expr),
            ColumnOption::PrimaryKey(_) => column.primary = true,
            other => {
                return Err(Error::unsupported(format!(
                    "{other} of column \"{}\" is not supported; there are NOT NULL, DEFAULT and PRIMARY KEY",
                    column.name
                )))
            }
        }
    }
    Ok(column)
}

fn added(operation: AlterTableOperation) -> Result<AddColumn, Error> {
    match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
            Ok(AddColumn { column: column(column_def)?, if_not_exists })
        }
        other => Err(Error::unsupported(format!(
            "ALTER TABLE … {} is not supported; ADD COLUMN is",
            crate::error::shortened(&other.to_string())
        ))),
    }
}

fn create_index(syntax: IndexSyntax) -> Result<CreateIndex, Error> {
    let plain =
        IndexSyntax { name: None, if_not_exists: false, columns: Vec::new(), using: None, ..syntax.clone() }
            .to_string();
    if plain.trim_end() != format!("CREATE INDEX ON {}()", syntax.table_name) {
        return Err(Error::unsupported(format!("{} is not supported; write CREATE INDEX name ON table (columns). An index is local to its partition, and so cannot be UNIQUE", crate::error::shortened(&plain))));
    }
    if let Some(using) =
        syntax.using.as_ref().filter(|using| !using.to_string().eq_ignore_ascii_case("btree"))
    {
        return Err(Error::unsupported(format!("USING {using} is not supported; indexes are ordered")));
    }
    Ok(CreateIndex {
        name: syntax.name.as_ref().map(object).transpose()?,
        table: object(&syntax.table_name)?,
        if_not_exists: syntax.if_not_exists,
        columns: syntax.columns.iter().map(key_column).collect::<Result<_, Error>>()?,
    })
}

/// A column of a key and whether it goes down.
fn key_column(syntax: &IndexColumn) -> Result<(String, bool), Error> {
    let order = &syntax.column;
    match (&order.expr, &syntax.operator_class, descending(&order.options, false)) {
        (Expr::Identifier(name), None, Some(descending)) if order.with_fill.is_none() => {
            Ok((name_of(name), descending))
        }
        _ => Err(Error::unsupported(format!(
            "{syntax} is not supported in a key; name columns, with ASC or DESC, and NULLs greatest"
        ))),
    }
}
