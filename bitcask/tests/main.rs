//! The tests of bitcask: golden scripts, twins, limits, recovery.

// Helpers of tests unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod aside;
mod basic;
mod deltas;
mod eras;
mod files;
mod full;
mod golden;
mod million;
mod recovery;
mod space;
mod steps;
mod stretch;
mod twin;
mod world;
