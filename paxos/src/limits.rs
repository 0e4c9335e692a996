//! How much one instance may hold for others while its disk is slow.

/// Changes of durable state that may wait for the disk before requests of peers are dropped. A healthy entity has one or two
/// under way (the record being written and the next one on the fast path); sixteen leaves room for every member of the largest
/// set to raise the promise a few times during one stall. What is dropped is as good as lost on the network: it is asked again.
pub const PENDING_MAX: usize = 16;

/// Answers that may wait for one change. The same answer to the same member is kept once, so this is reached only by distinct
/// ballots that are refused: four for each member of the largest set.
pub const WITHHELD_MAX: usize = 20;

const _: () = assert!(WITHHELD_MAX >= 4 * crate::quorum::Members::MAX as usize);
const _: () = assert!(PENDING_MAX > 2 * crate::quorum::Members::MAX as usize);
