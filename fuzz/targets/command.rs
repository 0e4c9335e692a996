//! Fuzz target `command`; see `fuzz/bodies/src/command.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("command", input));
