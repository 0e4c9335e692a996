//! Fuzz target `disk`; see `fuzz/bodies/src/disk.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("disk", input));
