//! Fuzz target `table`; see `fuzz/bodies/src/table.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("table", input));
