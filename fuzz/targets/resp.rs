//! Fuzz target `resp`; see `fuzz/bodies/src/resp.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("resp", input));
