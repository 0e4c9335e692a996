//! Tests of the shard.

mod abreast;
mod bridge;
mod catalog;
mod command;
mod deadlines;
mod deltas;
mod expiry;
mod flush;
mod groups;
mod keyspace;
mod learner;
mod pops;
mod ranges;
mod readers;
mod repair;
mod slow_peer;
mod tree;
mod votes;
mod waits;
