//! Tables, columns and indexes.

use crate::datum::Datum;
use crate::error::{suggestion, Error, ErrorKind};
use crate::types::ColumnType;

/// How partitions of a table are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One object in memory.
    Small,
    /// In a tree on the disk.
    Large,
}

/// What a column has where a row says nothing.
#[derive(Clone, Debug)]
pub enum Default {
    /// The same for all rows.
    Constant(Datum),
    /// The time of the statement.
    Now,
    /// A random one for each row.
    RandomUuid,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type.
    pub kind: ColumnType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The default; NULL if there is none.
    pub default: Default,
    /// The version of the table that it came with: rows of older ones have its default.
    pub since: u64,
}

/// A column of a key, and whether it is ordered downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Index of the column in its table.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
}

/// A local index: its entries lie in the partition of their rows and change with them.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its number in its table, never used again.
    pub id: u32,
    /// The name.
    pub name: String,
    /// What its entries are ordered by; behind it comes the clustering key.
    pub columns: Vec<KeyColumn>,
    /// Whether all partitions have all its entries. Until then writes keep it and reads do not use it.
    pub ready: bool,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its number in the catalog, never used again.
    pub id: u32,
    /// The name.
    pub name: String,
    /// Goes up with each change of the table; rows carry it, and plans.
    pub version: u64,
    /// How partitions are stored.
    pub layout: Layout,
    /// The columns, in the order of `SELECT *`.
    pub columns: Vec<Column>,
    /// Indexes of the columns that rows of one partition have in common.
    pub partition: Vec<usize>,
    /// What rows of a partition are ordered by.
    pub clustering: Vec<KeyColumn>,
    /// The indexes, by age.
    pub indexes: Vec<Index>,
    /// The number of the next index.
    pub next_index: u32,
}

impl Table {
    /// Where a column is.
    pub fn column(&self, name: &str) -> Result<usize, Error> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            let near = suggestion(name, self.columns.iter().map(|column| column.name.as_str()));
            let message = format!("column \"{name}\" of table \"{}\" does not exist{near}", self.name);
            Error::new(ErrorKind::Unknown, "42703", message)
        })
    }

    /// Whether a column is part of the primary key.
    pub fn is_key(&self, column: usize) -> bool {
        self.partition.contains(&column) || self.clustering.iter().any(|key| key.column == column)
    }

    /// Names of the partition's columns, for messages.
    pub(crate) fn partition_names(&self) -> String {
        let names: Vec<&str> =
            self.partition.iter().map(|column| self.columns[*column].name.as_str()).collect();
        names.join(", ")
    }

    /// Names and directions of a key's columns.
    pub(crate) fn key_names(&self, key: &[KeyColumn]) -> String {
        let name = |key: &KeyColumn| {
            let direction = if key.descending { " DESC" } else { "" };
            format!("{}{direction}", self.columns[key.column].name)
        };
        key.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl Layout {
    /// Its name in statements.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Small => "small",
            Layout::Large => "large",
        }
    }
}
