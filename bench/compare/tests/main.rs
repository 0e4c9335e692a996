//! The binary, end to end.

#![allow(clippy::unwrap_used)]

mod program;
