//! Tests of the shard.

mod command;
mod keyspace;
mod learner;
