//! The process: everything of `synod` that is not the keys of one core.
//!
//! ```text
//! cli ─▶ config, datadir ─▶ boot ─▶ core (one per CPU) ◀─ server, session, resp, cluster
//!                             └──▶ admin (a thread of its own, fed by the cores' pages)
//! ```
//!
//! `shell` is a client: `synod sql`, which meets the rest in nothing but the protocol.
//!
//! [`boot`] turns a configuration into a running process; [`core`] is the glue of one core: ring, peers, shard, sessions.
//! What lies on no request path (configuration, logs, admin port, signals) runs on threads of its own and meets the cores
//! in two places only: the pages that they publish into, and the words of [`boot::Control`] that they look at.

pub mod admin;
pub mod boot;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod core;
pub mod datadir;
pub mod dev;
pub mod dev_cluster;
pub mod gather;
pub mod log;
pub mod resp;
pub mod server;
pub mod session;
mod shell;
mod watchdog;
