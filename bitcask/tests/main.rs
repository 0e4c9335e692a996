//! The tests of bitcask: golden scripts, twins, limits, recovery.

mod basic;
mod world;
