//! The cluster as clients see it: who is shown as the primary of which slots, and where a key is sent.
//!
//! **What it holds.** [`Layout`]: what the configuration says (hosts, slices, ports). [`ClusterMap`]: a pure
//! function of the layout and of which slices are reachable ([`Liveness`]): per slot the port that is
//! announced as its primary. Beside it the texts of CLUSTER SLOTS, SHARDS, NODES and INFO, the decision
//! between serving, MOVED and CROSSSLOT ([`ClusterMap::route`]), and the SMIGRATED push for clients that
//! asked to hear of changes.
//!
//! **What it leaves out.** Who is reachable is netbatch's to say. The map is a hint for clients and never a
//! condition of correctness: any core serves any key of its slice, so two hosts with different maps cost
//! redirects, not data.
//!
//! **Invariants.**
//! 1. Each of the 16384 slots has exactly one primary, whoever is dead.
//! 2. Hosts with the same layout and liveness show byte-identical maps, in one order: no host puts itself
//!    first.
//! 3. A port is primary and nothing else; at least two are shown, even by a single core (redis-benchmark
//!    refuses one).
//! 4. A slot never leaves its slice, so a client is never sent to a core that would have to forward.
//! 5. A client is never sent to a port that is believed dead.

mod commands;
mod layout;
mod map;
mod push;
mod render;

pub use commands::cluster_command;
pub use layout::{slice_of, slice_slots, Host, HostId, Layout, LayoutError};
pub use map::{ClusterMap, Liveness, Port, Primary, Route};
pub use push::migrated;
pub use shard::slot::{slot, SLOTS};
