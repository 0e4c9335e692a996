//! Fuzz target `front`; see `fuzz/bodies/src/front.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("front", input));
