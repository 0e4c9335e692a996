//! What the fuzz targets do with an input.
//!
//! # What it holds
//!
//! One function for each target, from bytes to nothing: it returns, or it panics and has found a bug. [`TARGETS`] lists them
//! with inputs to start from, which are made by the product's own encoders. cargo-fuzz calls them from `fuzz/targets`, the tests
//! of this crate call them with the committed corpora and a bounded number of mutations; so one home serves both.
//!
//! # What it leaves out, and why
//!
//! Sockets, files and threads: what is fuzzed are the layers that take bytes without them. Sanitizers and coverage, which
//! cargo-fuzz adds from outside. Checks of what commands mean beyond a small model: the simulator and the twins have those.
//!
//! # Invariants
//!
//! 1. A target decides everything by its input: no clock, no randomness, nothing kept from one input to the next.
//! 2. A target checks more than that nothing panics: the same bytes in other pieces mean the same, what is decoded is
//!    encoded as it was, and memory follows the bytes that arrived ([`meter`]).
//! 3. Checksums are made right where a target is about what lies behind them, since no mutation finds them.

mod command;
mod config;
mod delta;
mod disk;
mod front;
mod history;
mod http;
mod input;
pub mod limits;
mod message;
pub mod meter;
mod peer;
mod record;
mod resp;
mod segment;
mod step;
mod table;
mod walk;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its binary and its corpus.
    pub name: &'static str,
    /// Takes an input; panics where it shows a bug.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the tests try: some seconds' worth.
    pub rounds: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "resp", run: resp::run, seeds: resp::seeds, rounds: 40_000 },
    Target { name: "front", run: front::run, seeds: front::seeds, rounds: 1_500 },
    Target { name: "command", run: command::run, seeds: command::seeds, rounds: 20_000 },
    Target { name: "peer", run: peer::run, seeds: peer::seeds, rounds: 10_000 },
    Target { name: "message", run: message::run, seeds: message::seeds, rounds: 40_000 },
    Target { name: "step", run: step::run, seeds: step::seeds, rounds: 600 },
    Target { name: "record", run: record::run, seeds: record::seeds, rounds: 40_000 },
    Target { name: "delta", run: delta::run, seeds: delta::seeds, rounds: 20_000 },
    Target { name: "segment", run: segment::run, seeds: segment::seeds, rounds: 1_000 },
    Target { name: "disk", run: disk::run, seeds: disk::seeds, rounds: 500 },
    Target { name: "config", run: config::run, seeds: config::seeds, rounds: 10_000 },
    Target { name: "http", run: http::run, seeds: http::seeds, rounds: 40_000 },
    Target { name: "history", run: history::run, seeds: history::seeds, rounds: 10_000 },
    Target { name: "table", run: table::run, seeds: table::seeds, rounds: 4_000 },
];

/// Runs the target of this name, for the binaries of cargo-fuzz.
///
/// # Panics
/// If there is no such target, or the input shows a bug.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the binaries of cargo-fuzz and the corpora are named after.
    #[test]
    fn every_target_has_a_binary_and_a_corpus() {
        let manifest = include_str!("../../Cargo.toml");
        let named =
            |line: &str| line.strip_prefix("name = \"").map(|rest| rest.trim_end_matches('"').to_owned());
        let binaries: Vec<String> =
            manifest.split("[[bin]]").skip(1).filter_map(|bin| bin.lines().find_map(named)).collect();
        let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(binaries, targets);
        for target in TARGETS {
            let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/");
            assert!(std::path::Path::new(corpus).join(target.name).is_dir(), "{}", target.name);
            assert!(!(target.seeds)().is_empty(), "{}", target.name);
        }
    }
}
