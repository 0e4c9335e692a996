//! The simulator: a whole cluster in one thread, under virtual time and one seed.
//!
//! # What it holds
//!
//! [`run`] plays a seed: hosts with the product's own core (`shard`, and under it `paxos` and `bitcask`) over simulated disks,
//! clients, a network, and faults, all drawn from the seed ([`plan`]). While it plays, [`ledger`] checks every message,
//! vote and promise; when faults have stopped every request must end, every key is read on every host, and the history of
//! the clients is judged, key by key ([`order`], and the checkers of `synod-bench`).
//!
//! # What it leaves out, and why
//!
//! The kernel, sockets and `node`: the lab of real processes has those. What the cores of a host say to each other is reduced to
//! its effect: a command goes to the core that owns its key.
//!
//! # Invariants
//!
//! 1. A seed, and nothing else, decides a run: the same seed gives the same hash of all events. 2. Each concern has a
//!    generator of its own ([`plan::Stream`]), so that one fault does not shift the others. 3. A checker never calls a good
//!    run bad; what it cannot decide is counted, not failed. 4. Nothing of the product is changed for the simulator: it
//!    looks in through `Shard::inspect` and `Shard::under_way`, which only read. 5. Bugs are planted in the product by a
//!    feature that its own build never has ([`mutants`]).

pub mod class;
pub mod entries;
pub mod flushes;
#[cfg(feature = "mutants")]
pub mod hunt;
pub mod indexes;
pub mod labels;
pub mod ledger;
pub mod limits;
mod moves;
pub mod mutants;
mod objects;
pub mod order;
mod pace;
pub mod plan;
pub mod records;
pub mod reduce;
pub mod report;
mod rows;
pub mod scenarios;
pub mod story;
pub mod survey;
pub mod violation;
pub mod workload;
mod world;

pub use plan::Plan;
pub use reduce::Reduction;
pub use report::{Report, Sums};
pub use violation::Violation;

/// Plays a seed. `printed`: tells its story on standard output.
pub fn run(seed: u64, printed: bool) -> Report {
    play(Plan::draw(seed), printed)
}

/// Plays a plan.
pub fn play(plan: Plan, printed: bool) -> Report {
    world::World::new(plan, printed).run()
}
