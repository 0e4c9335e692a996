//! Tests of the shard.

mod command;
