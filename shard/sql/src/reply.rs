//! What a client is told.

use crate::datum::Datum;
use crate::types::ColumnType;

/// The answer to a statement.
#[derive(Clone, Debug)]
pub enum Reply {
    /// How many rows were inserted, changed or deleted.
    Count(u64),
    /// IF did not hold: nothing was changed.
    NotApplied,
    /// Rows.
    Rows(Rows),
}

/// Rows of an answer.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Names and types of the columns.
    pub columns: Vec<(String, ColumnType)>,
    /// The rows: a value for each column.
    pub rows: Vec<Vec<Datum>>,
    /// Of a SELECT with CURSOR: where the next page begins, or "0" behind the last one.
    pub cursor: Option<String>,
}

/// A change of one key of a partition. All changes of a statement are one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key in the partition.
    pub key: Vec<u8>,
    /// Its bytes; none removes it.
    pub value: Option<Vec<u8>>,
}

/// What came of a statement.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For the client.
    pub reply: Reply,
    /// For the partition, in the order of their keys; empty if nothing is to be written.
    pub changes: Vec<Change>,
}
