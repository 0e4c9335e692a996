//! One core's keys: commands in, replicated decisions out.
//!
//! # What it holds
//!
//! [`Shard`] is everything one core does with its slice of the keys: it takes commands ([`Request`]) and messages of the other
//! replicas, drives one `paxos` instance per entity, appends to the core's log through `bitcask`, and hands out replies
//! and messages ([`Effects`]). Its modules, in the order of a command's life: [`command`] (parse and run, pure), [`object`] (what is more than a string),
//! `forward` (to the preferred core, or here), `learner` (to a voter, or not at all), `coordinator` (queue, propose, read), `batch` (run commands), `objects` (large ones, decoded), `deltas` (what changes in them, in the place of them), `answers` (replies out), [`joint`] (several keys as one step), `acceptor` (what peers ask),
//! `votes` (what they ask most, in short), `abreast` (reads confirmed many at a time), `ranges` (phase 1 for many keys at once), `entities`, `core` (steps, timers), `due` (what time has come), `gauges` (what a core shows), `storage` (what the log says), [`tree`] (rows in their order, beside the log), `epoch` (voter or learner), `flush` (all keys emptied at once), `catalog` (the tables of SQL), `group` (log groups, whose rows lie in the [`tree`]), `waits` (clients that wait for a key), `repair` (what this replica lacks), `expiring` (keys whose time has come), [`wire`] and [`record`] (bytes).
//!
//! # What it leaves out, and why
//!
//! Sockets, threads, clocks, randomness: time comes in with each [`Turn`], randomness from the seed of the configuration,
//! disk operations end as events. So the shard is deterministic: the same seed, times and events give the same effects,
//! and the simulator runs this very code.
//!
//! # Invariants
//!
//! 1. A reply to a write leaves only when an entry that bears it is chosen. 2. A message that depends on a change leaves only
//!    when the change is durable (`paxos` withholds it). 3. A command is applied at most once, wherever it was sent: its
//!    id is in the entry ([`record::Applied`]). 4. Every queue has a bound in [`limits`]. 5. An entity is in memory only while
//!    something is under way. 6. Bytes from peers are checked before they are stepped. 7. After a storage failure nothing is
//!    stepped any more. 8. A learner ([`Config::learner`]) has no entities: it neither votes nor proposes.

pub mod command;
pub mod config;
pub mod error;
pub mod joint;
pub mod limits;
pub mod metrics;
pub mod object;
pub mod record;
pub mod reply;
pub mod requests;
pub mod slot;
pub mod state;
pub mod tree;
pub mod turn;
pub mod wire;

mod abreast;
mod acceptor;
mod answers;
mod batch;
mod catalog;
mod coordinator;
mod core;
mod deltas;
mod due;
mod entities;
mod entity;
mod epoch;
mod expiring;
mod flush;
mod forward;
mod gauges;
mod group;
mod held;
mod keyspace;
mod learner;
mod objects;
mod patience;
mod ranges;
mod readers;
mod repair;
mod rounds;
mod storage;
mod timers;
mod votes;
mod waits;

pub use config::Config;
pub use core::Shard;
pub use error::Fault;
pub use held::Held;
pub use repair::{Burden, RepairProgress, RepairRate};
pub use turn::{Clock, Effects, Outbox, Request, RequestId, Scope, Turn, WaitId};
