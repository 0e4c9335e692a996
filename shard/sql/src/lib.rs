//! Tables by SQL: everything of it that needs no disk, no network and no clock.
//!
//! A statement is about one partition of a table: all rows that have the same partition key. A partition is one consensus group, its name is
//! `{table:key}`, and its rows and index entries are keys and bytes in it, ordered as bytes (`row.rs`, `key.rs`). A statement is read
//! ([`Statement::parse`]), planned against a [`Catalog`] ([`Plan::new`]) and run by an [`Execution`], which asks for the keys it needs, is given
//! them, and says in the end what to answer and what to change. It runs at one host, where the state is; the others apply the changes, which are
//! one entry: a row and its index entries change together or not at all. Statements that change the catalog are functions from one catalog to
//! the next ([`Catalog::change`]).
//!
//! The dialect, its types and its errors are PostgreSQL's where they have the same words; `scripts/like-postgres` compares. docs/sql.md is what
//! users read.
//!
//! Left out: joins, sorting, grouping, subqueries, transactions over partitions, unique indexes and statistics. Where a query needs an order or
//! a key that is not there, it is refused, and the error says what to create. Nothing is read that the caller was not asked for: how partitions
//! are found, locked and replicated is not known here.
//!
//! Invariants:
//!
//! 1. The same statement on the same state with the same [`Context`] gives the same outcome: no clock, no chance, no hash order.
//! 2. The order of keys' bytes is the order of their values, and equal values have equal bytes.
//! 3. Statements, parameters, cursors, stored rows and catalogs are checked: what is wrong with them is an [`Error`], never a panic.
//! 4. What a statement takes of stack and memory has bounds with names ([`limits`]), which hold before it is run.
//! 5. An index has an entry for every row that was written since the catalog has it, whether or not it is ready to be read.

mod backfill;
mod bind;
mod bytes;
mod cast;
mod catalog;
mod codec;
mod cursor;
mod datum;
mod define;
mod double;
pub mod error;
mod execute;
mod expression;
mod hash;
mod key;
pub mod limits;
mod numeric;
mod parse;
mod plan;
mod reply;
mod routing;
mod row;
mod scan;
mod schema;
mod statements;
mod timestamp;
mod types;

pub use backfill::Backfill;
pub use catalog::Catalog;
pub use datum::{Datum, Row};
pub use define::{Changed, Effect};
pub use error::{Error, ErrorKind};
pub use execute::{Execution, Input, Part, Share, Step};
pub use hash::{hash_fields, hash_key_parts, parse_hash_key, HashKey};
pub use numeric::{Numeric, Precision};
pub use parse::{Kind, Statement};
pub use plan::{Context, Plan, Query};
pub use reply::{Change, Outcome, Reply, Rows};
pub use routing::Partition;
pub use scan::{too_long, End, Scan};
pub use schema::{Column, Default, Index, KeyColumn, Layout, Table};
pub use statements::Statements;
pub use types::{ColumnType, Type};
