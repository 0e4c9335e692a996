//! Fuzz target `config`; see `fuzz/bodies/src/config.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("config", input));
