//! Fuzz target `record`; see `fuzz/bodies/src/record.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("record", input));
