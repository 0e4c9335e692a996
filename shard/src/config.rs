//! What a core is told at its start.

use paxos::{Member, Members};

use crate::command::Limits;
use crate::limits::{
    COMMANDS_MAX, COMMAND_BYTES_MAX, COUNTED_RING_MAX, DELTA_OBJECT_BYTES_MIN, ENTRIES_KEPT_BYTES,
    GIVEN_ROWS_MAX, OBJECTS_BYTES_MAX, REPAIR_BYTES_PER_SECOND, REPAIR_RECORDS_PER_SECOND,
    REPAIR_TAIL_RECORDS, SLOTS,
};
use crate::repair::RepairRate;

/// The place of one core in its set, and its bounds. The same on every start, but for what the operator changes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hosts of the set, by member index. Ballots name them, so the order never changes.
    pub hosts: Vec<u16>,
    /// Which of them this is.
    pub me: Member,
    /// Which slice of the slots this core owns.
    pub slice: u16,
    /// How many slices there are: the slots are cut into so many runs of equal length, give or take one.
    pub slices: u16,
    /// The number of the member set in force.
    pub epoch: u32,
    /// Whether this host has lost what it had promised: then it votes for nothing and proposes nothing.
    pub learner: bool,
    /// Limits of values and keys.
    pub limits: Limits,
    /// Commands waiting or under way at most.
    pub commands_max: usize,
    /// Bytes of commands waiting or under way at most.
    pub command_bytes_max: usize,
    /// How fast repair may go.
    pub repair: RepairRate,
    /// Records that the core must lack before it asks for the tails of its peers' logs; 0: it always does so first.
    pub repair_tail_records: u64,
    /// Votes that the core remembers for each member that has named their slots.
    pub counted_ring: usize,
    /// Encoded bytes from which on an object is kept decoded, and proposed as what changes in it.
    pub delta_object_bytes_min: usize,
    /// Bytes that such objects may take while nothing is under way for them.
    pub objects_bytes: usize,
    /// Bytes of entries of log groups that stay in the log for peers that were away, though the tree has them on disk.
    pub entries_kept_bytes: u64,
    /// Rows on one page of those that a peer takes over.
    pub row_page_max: usize,
    /// Rows that one step of filling an index goes through.
    pub fill_rows_max: usize,
    /// Seeds jitter and the hashes of maps in memory.
    pub seed: u64,
}

impl Config {
    /// A configuration with default bounds.
    pub fn new(hosts: Vec<u16>, me: Member, slice: u16, seed: u64) -> Config {
        Config {
            hosts,
            me,
            slice,
            slices: 1,
            epoch: 1,
            learner: false,
            limits: Limits::default(),
            commands_max: COMMANDS_MAX,
            command_bytes_max: COMMAND_BYTES_MAX,
            repair: RepairRate {
                bytes_per_second: REPAIR_BYTES_PER_SECOND,
                records_per_second: REPAIR_RECORDS_PER_SECOND,
            },
            repair_tail_records: REPAIR_TAIL_RECORDS,
            counted_ring: COUNTED_RING_MAX,
            delta_object_bytes_min: DELTA_OBJECT_BYTES_MIN,
            objects_bytes: OBJECTS_BYTES_MAX,
            entries_kept_bytes: ENTRIES_KEPT_BYTES,
            row_page_max: GIVEN_ROWS_MAX,
            fill_rows_max: sql::limits::BACKFILL_ROWS,
            seed,
        }
    }

    /// The member set's size.
    pub fn members(&self) -> Members {
        u8::try_from(self.hosts.len()).ok().and_then(Members::new).expect("a set has 1, 3 or 5 hosts")
    }

    /// The slots of this core's slice, first and last.
    pub fn slots(&self) -> (u16, u16) {
        assert!(self.slice < self.slices, "slice {} of {}", self.slice, self.slices);
        let start = |slice: u32| (slice * u32::from(SLOTS)).div_ceil(u32::from(self.slices));
        (start(u32::from(self.slice)) as u16, (start(u32::from(self.slice) + 1) - 1) as u16)
    }

    /// The number that names this core in ballots and command ids.
    pub fn node(&self) -> u32 {
        node_of(self.hosts[usize::from(self.me)], self.slice)
    }
}

/// The number that names a core in ballots and command ids: its host and its slice.
pub fn node_of(host: u16, slice: u16) -> u32 {
    u32::from(host) << 16 | u32::from(slice)
}
