//! The tests of the links: whole `Net`s, wired to each other over a network that is simulated in virtual
//! time.

// The whole crate is tests; the lint's own exception covers test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod bounds;
mod golden;
mod reconnect;
mod refusals;
mod twin;
mod world;
