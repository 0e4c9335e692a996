//! The tests of `synod-bench`: histories, good and planted, and, with the command line, load and drill
//! against small servers that live in the test.

// All of this is test code; clippy knows only functions marked as tests by themselves.
#![allow(clippy::unwrap_used)]

mod checkers;
mod generate;
mod histories;

#[cfg(feature = "cli")]
mod command_line;
#[cfg(feature = "cli")]
mod drill;
#[cfg(feature = "cli")]
mod load;
#[cfg(feature = "cli")]
mod server;
