//! Fuzz target `step`; see `fuzz/bodies/src/step.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("step", input));
