//! The whole thing as its users meet it: hosts as real processes with real files, and clients on real sockets.
//!
//! Each test has a folder and ports of its own, so that all run side by side and beside a cluster that serves. Nothing waits for
//! a fixed time: [`host::eventually`] asks until it is so, and fails when it never is.

mod bad_bytes;
pub mod client;
mod cores;
mod counters;
mod disk;
mod files;
mod flushes;
pub mod host;
mod kills;
mod large;
mod limits;
mod minority;
mod scans;
mod shell;
mod stop;
mod strangers;
mod tables;
mod trees;
mod waits;
mod watchdog;
