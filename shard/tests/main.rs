//! Tests of the shard.

mod bridge;
mod command;
mod deadlines;
mod keyspace;
mod learner;
mod readers;
mod repair;
mod slow_peer;
mod votes;
