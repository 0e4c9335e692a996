//! Which versions of a key somebody may still see.
//!
//! Snapshots cut the versions into stripes: nobody can tell two versions of the same stripe apart, except that the newest is there. So of
//! each key only the newest version of each stripe is kept, and it only where no deletion of the same stripe covers it.

use reactor::mutants::planted;

/// Goes through the entries of a tree in order and says which are needed.
#[derive(Debug)]
pub(crate) struct Stripes {
    /// Versions of snapshots, ascending.
    snapshots: Vec<u64>,
    last_key: Vec<u8>,
    /// The stripe of the last entry of that key.
    last_stripe: Option<usize>,
}

impl Stripes {
    pub fn new(snapshots: Vec<u64>) -> Stripes {
        assert!(snapshots.is_sorted(), "snapshots ascend");
        let snapshots = if planted(606) { Vec::new() } else { snapshots };
        Stripes { snapshots, last_key: Vec::new(), last_stripe: None }
    }

    pub fn snapshots(&self) -> &[u64] {
        &self.snapshots
    }

    fn stripe(&self, version: u64) -> usize {
        self.snapshots.partition_point(|snapshot| *snapshot < version)
    }

    /// The newest version that belongs to the stripe of this one.
    pub fn end_of(&self, version: u64) -> u64 {
        self.snapshots.get(self.stripe(version)).copied().unwrap_or(u64::MAX)
    }

    /// Whether a version lies before all snapshots: everybody sees what is newest of those.
    pub fn is_oldest(&self, version: u64) -> bool {
        self.stripe(version) == 0
    }

    /// The last entry will come once more.
    pub fn forget(&mut self) {
        self.last_stripe = None;
    }

    /// Whether somebody may see this entry. They come by key, and for each key from the newest version to the oldest. `covering`: the
    /// newest range deletion of its stripe over the key.
    pub fn is_seen(&mut self, key: &[u8], version: u64, covering: u64) -> bool {
        let stripe = self.stripe(version);
        let is_same = self.last_stripe.is_some() && self.last_key == key;
        if !is_same {
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        let is_hidden = is_same && self.last_stripe == Some(stripe);
        self.last_stripe = Some(stripe);
        // Equal only where both are 0: no deletion, and an entry that is older than all that anybody asks about.
        !is_hidden && covering <= version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_stripe_is_seen() {
        let mut stripes = Stripes::new(vec![3, 6]);
        let seen: Vec<u64> = (1..=9).rev().filter(|version| stripes.is_seen(b"k", *version, 0)).collect();
        assert_eq!(seen, [9, 6, 3]);
        let seen: Vec<u64> = (1..=9).rev().filter(|version| stripes.is_seen(b"l", *version, 5)).collect();
        assert_eq!(seen, [9, 6], "what a deletion covers is not");
        assert_eq!([1, 3, 4, 6, 7].map(|version| stripes.end_of(version)), [3, 3, 6, 6, u64::MAX]);
        assert!(stripes.is_oldest(3) && !stripes.is_oldest(4));
    }
}
