//! Fuzz target `history`; see `fuzz/bodies/src/history.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("history", input));
