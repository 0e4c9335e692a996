//! Fuzz target `segment`; see `fuzz/bodies/src/segment.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("segment", input));
