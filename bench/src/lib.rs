//! The harness of Synod: load, drills, and the checker of what clients saw.
//!
//! **Holds**: [`history`], a record of what clients asked and were told, with its text format; [`check`],
//! which decides whether a history is linearizable per key; and, behind the default feature `cli`, `load`
//! (speed and latency), `drill` (load while hosts are killed) and the command line of the binary
//! `synod-bench`.
//!
//! **Leaves out**: every other crate of ours. The harness knows servers only by their sockets and the Redis
//! protocol, so it drives Redis and Valkey with the same code and can be trusted to judge Synod. The
//! simulator uses [`history`] and [`check`] without the feature, so those two know neither sockets nor
//! clocks: times are numbers that the caller gives.
//!
//! **Invariants**: what a server does is a result, counted and reported, and never a panic. A load in an open
//! loop measures from when an operation was due. An outcome that nobody knows (connection lost, timeout,
//! `-UNCERTAIN`) is never counted as done or as failed. A checker never calls a good history bad; where it
//! gives up it says `Undecided`. Everything random comes from a seed.

pub mod check;
pub mod error;
pub mod history;
pub mod limits;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod drill;
#[cfg(feature = "lab")]
pub mod lab;
#[cfg(feature = "cli")]
pub mod load;
#[cfg(feature = "cli")]
pub mod procs;
#[cfg(feature = "cli")]
pub mod resp;
#[cfg(feature = "cli")]
pub mod slot;
#[cfg(feature = "cli")]
pub mod summary;
#[cfg(feature = "cli")]
pub mod wire;
