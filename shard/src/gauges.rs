//! What a core shows of itself: to its owner, for gauges and the operator's eyes, and to the simulator, which compares what is durable with what
//! the core says.

use paxos::{AcceptorState, Ballot};
use reactor::Disk;

use crate::core::{meta, Shard, Status};
use crate::error::Fault;
use crate::metrics::Metrics;
use crate::tree::Tree;

impl<D: Disk> Shard<D> {
    /// Whether the core serves.
    pub fn is_ready(&self) -> bool {
        self.status == Status::Ready
    }

    /// Why the core stopped serving, if it did.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The log that was put aside at this start because it was damaged, for the operator's eyes: the core is a learner then, until it
    /// has taken over what it lost.
    pub fn loss(&self) -> Option<&bitcask::Loss> {
        self.loss.as_ref()
    }

    /// How many logs were put aside in the core's directory and still lie there.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Bytes of RAM that the engine's key directory takes. Walks through all of it: once a minute, not more.
    pub fn directory_bytes(&self) -> u64 {
        self.store.directory_bytes()
    }

    /// Bytes of large objects that are kept decoded, by the lengths of their encodings.
    pub fn objects_bytes(&self) -> u64 {
        self.objects.bytes() as u64
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tree, for those who keep rows in it.
    pub fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// The counters of the engine for records.
    pub fn store_stats(&self) -> bitcask::Stats {
        self.store.stats()
    }

    /// Whether the disk is full: values are refused.
    pub fn is_full(&self) -> bool {
        self.store.is_full()
    }

    /// The counter of this core's starts; 0 before it is known.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Entities and votes in memory, and commands under way, those on several keys included, for the owner's gauges.
    pub fn under_way(&self) -> (usize, usize) {
        (self.entities.len() + self.votes.len(), self.commands + self.joints.len())
    }

    /// What is durable about a key: for the simulator, which compares it with what this core says. Where nothing is held, the
    /// floor stands for the promise.
    pub fn inspect(&self, key: &[u8]) -> AcceptorState {
        let (mut state, _) = self.stored_state(self.store.key_ref(crate::slot::slot(key), key));
        if state.accepted.is_zero() {
            state.promised = state.promised.max(self.durable_floor());
        }
        state
    }

    /// What is durably promised for all keys of a slot: for the simulator. Zero: nothing.
    pub fn range_promise(&self, slot: u16) -> Ballot {
        self.ranges.durable(slot)
    }

    /// The config epoch that is durable here: for the simulator.
    pub fn durable_epoch(&self) -> u32 {
        self.number(meta::EPOCH).unwrap_or(0).max(self.config.epoch)
    }

    /// The ballot that entities refuse up to that are absent here.
    pub fn floor(&self) -> Ballot {
        self.floor
    }
}
