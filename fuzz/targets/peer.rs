//! Fuzz target `peer`; see `fuzz/bodies/src/peer.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::run("peer", input));
