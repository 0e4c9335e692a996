//! The tests of the engine: one binary.

mod basic;
mod corners;
mod crash;
mod damage;
mod files;
mod full;
mod ingest;
mod levels;
#[cfg(feature = "mutants")]
mod mutants;
mod twin;
mod world;
