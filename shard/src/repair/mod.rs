//! Staying equal: what a replica holds, in a form that can be held against what the others hold (docs/design/repair.md).

use reactor::Disk;

use crate::core::Shard;

impl<D: Disk> Shard<D> {
    /// The order-free sums of the records that are durable here, slot by slot over the slice. Replicas with the same sums hold
    /// the same ballots of the same keys, tombstones included. Walks through the slots: some ten microseconds.
    pub fn slot_sums(&self) -> impl Iterator<Item = (u16, u128)> + '_ {
        let (first, last) = self.config.slots();
        (first..=last).map(|slot| (slot, self.store.slot_summary(slot).sum))
    }

    /// Whether this core votes for nothing, because it lost what it had promised and has not taken it over again.
    pub fn is_learner(&self) -> bool {
        self.config.learner
    }
}
