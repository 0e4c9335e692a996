//! The storage engine for entities that are single records: an append-only log, and a directory of it in RAM.
//!
//! It knows keys, slots, kinds, opaque ordered stamps and bytes, and nothing of ballots. Everything is written once, in
//! order, to segments of a fixed size that were made ready beforehand: one frame in flight, the next one filling, so
//! that whatever arrives during one sync shares the next. The key directory holds 26 bytes per key and answers "which
//! stamp?" without the disk. Sealed segments get a hint, so that start-up reads keys and not values, and are merged
//! away in the background when little of them is needed. It is driven by its owner: completions go in, events come out.
//!
//! A record may extend the newest one of its key: a *delta*. What the key has is then in a *chain* of records, of which the directory knows
//! the newest, and beside it the places of the others; a read brings all of them, and what they come to is the owner's affair.
//!
//! Left out: transactions over several records, ordered scans over keys (that is lsm's), what deltas mean, and a directory larger than RAM.
//!
//! Invariants:
//!
//! 1. The greatest stamp of a key wins, wherever its record lies. So records may be read in any order, and copied.
//! 2. Nothing is visible in [`Bitcask::info`] or [`Bitcask::read`] before it is durable.
//! 3. A failed write or sync is never retried. The slice stops, and comes back by recovery.
//! 4. A segment goes only when copies of all that is needed of it are durable and nobody reads it.
//! 5. A removal outlives every older record of its key. What a record extends lives as long as it.
//! 6. Every byte from disk is checked before it is believed; damage is told from a torn tail, and stops the slice, or has the
//!    whole log put aside where the owner can take over from elsewhere.

mod aside;
mod cache;
mod chain;
mod chain_reads;
pub mod choose;
mod core;
mod deltas;
mod directory;
mod engine;
pub mod error;
mod fingerprint;
mod hint;
mod hinting;
mod identity;
mod inspect;
pub mod limits;
mod log;
mod merge;
mod names;
mod origins;
mod places;
mod prepare;
mod reads;
mod record;
mod recover;
mod segments;
mod stretch;
mod table;
mod task;
mod types;
mod walk;

pub use crate::core::Counters;
pub use aside::Loss;
pub use directory::KeyRef;
pub use engine::{Bitcask, Stats};
pub use error::{AppendError, Fault, ReadError};
pub use fingerprint::{Fingerprint, FingerprintHasher};
pub use inspect::inspect;
pub use types::{
    Bytes, Cached, ChainSize, Entry, Event, Found, Info, Kind, LogEnd, LogPlace, Lsn, Options, Read, Record,
    Recovered, SlotEntry, SlotSummary, Stamp, Stretch, Stretched, Ticket,
};
