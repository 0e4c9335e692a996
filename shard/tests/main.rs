//! Tests of the shard.

mod bridge;
mod command;
mod keyspace;
mod learner;
mod repair;
