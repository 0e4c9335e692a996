//! Fuzz target `http`; see `fuzz/bodies/src/http.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("http", input));
