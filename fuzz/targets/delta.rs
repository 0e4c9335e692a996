//! Fuzz target `delta`; see `fuzz/bodies/src/delta.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("delta", input));
