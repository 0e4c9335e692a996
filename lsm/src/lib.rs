//! The storage engine for rows in the order of their keys: a log-structured merge tree.
//!
//! Changes go to a memtable; full ones are flushed to tables, which are written once and never changed; tables are merged down through levels
//! in the background, each level ten times as large as the one above it. A read asks the sources from the newest to the oldest, or merges
//! them. Like the engine for single records it is driven by its owner: completions go in, events come out, and background work is done when
//! the owner has time for it, as much as the owner says.
//!
//! It has no log of its own. What is applied and not flushed yet is lost in a crash, and comes back from the log of whoever applied it: each
//! change has a version, the tree always stands where it stood after some batch, and [`Event::Flushed`] says up to which version the log is
//! not needed any more. An owner with many logs keeps the place of each in a row of its own, put by the batch that it belongs to: what is
//! flushed is flushed together.
//!
//! Tables and indexes of the owner are ranges of keys; to drop one costs a range deletion, however many rows it has. Rows that come from
//! elsewhere in their order replace a range at once ([`Lsm::ingest`]).
//!
//! Left out: a log; column families, since prefixes of keys do what they are for and are flushed together; merge operators; transactions
//! beyond a batch; compression dictionaries.
//!
//! Invariants:
//!
//! 1. What a source has of a key is newer than what the sources below it have. Tables of a level below the first have keys of their own.
//! 2. Recovery finds the tree as it was after some batch that is not older than the last one that [`Event::Flushed`] named.
//! 3. A file counts from the moment at which the manifest that names it is durable, and is gone only when the manifest that drops it is
//!    durable and nobody reads it.
//! 4. What a snapshot sees stays as long as it is held.
//! 5. Every byte from disk is checked before it is believed. A damaged table fails the reads of its keys, keeps what lies over it in the first
//!    level from going down, and goes when its range is ingested or deleted.
//! 6. A failed write or sync is never retried: the engine stops, and comes back by recovery. A full disk is no failure: work is given up and
//!    begun again when there is space.
//! 7. Nothing depends on a clock, on chance or on the order of completions but how far background work is.

mod background;
mod block;
mod cache;
pub mod choose;
mod compact;
mod cursor;
mod engine;
mod envelope;
pub mod error;
mod fetch;
mod filter;
mod flush;
mod get;
mod ingest;
mod inspect;
mod job;
mod levels;
pub mod limits;
mod log;
mod manifest;
mod memtable;
mod merge;
mod names;
mod ranges;
mod reads;
mod recover;
mod scan;
mod sink;
mod stripes;
mod table;
mod types;
mod varint;

pub use choose::LevelOptions;
pub use engine::Lsm;
pub use envelope::Codec;
pub use error::{ApplyError, Damage, Fault, ReadError};
pub use inspect::inspect;
pub use types::{
    Batch, Change, Counters, Event, Get, IngestId, Options, Pressure, Recovered, Rows, Scan, Scanned,
    Snapshot, Stats, Ticket, Value, Version,
};
