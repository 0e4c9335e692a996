//! Fuzz target `message`; see `fuzz/bodies/src/message.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("message", input));
