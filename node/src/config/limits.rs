//! The bounds of settings, each with its derivation.

use crate::datadir::limits::{HOSTS_MAX, SLICES_MAX};

/// Longest configuration file in bytes: some hundred times the longest sensible one, so that a wrong path (a log, a
/// device) is refused instead of read into memory.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Largest host id. A host id and a slice share the 32 bits of a ballot's node, half each.
pub const HOST_ID_MAX: u64 = u16::MAX as u64;

/// Most cores of a host: one per slice.
pub const CORES_MAX: u64 = SLICES_MAX as u64;

/// Smallest and largest bound for one value in bytes. A peer message carries a value whole and is at most 24 MiB, of
/// which key and record take a part.
pub const VALUE_BYTES: std::ops::RangeInclusive<u64> = 1..=20 << 20;

/// Smallest and largest bound for one key in bytes: keys are stored beside every record and hint.
pub const KEY_BYTES: std::ops::RangeInclusive<u64> = 1..=64 << 10;

/// A request deadline below a disk write and a round trip would refuse everything; above a minute it bounds nothing.
pub const DEADLINE_MS: std::ops::RangeInclusive<u64> = 10..=60_000;

/// A core may take no turn for so long: more than what its rarest and longest work takes, and up to a minute where a disk is known
/// to hang that long.
pub const STALL_MS: std::ops::RangeInclusive<u64> = 200..=60_000;

/// Clients per host: each takes a file descriptor.
pub const CLIENTS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// Output buffer per client in bytes: room for one value at least (checked against `value_bytes_max` too).
pub const OUTPUT_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Segment size in bytes. The smallest still holds the largest value with its frame; offsets inside a segment are
/// 32 bits wide.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

/// Value cache per core in bytes.
pub const CACHE_BYTES: std::ops::RangeInclusive<u64> = 0..=1 << 40;

/// Decoded objects per core in bytes.
pub const OBJECTS_BYTES: std::ops::RangeInclusive<u64> = 0..=1 << 40;

/// Blocks of rows in memory per core in bytes.
pub const TREE_CACHE_BYTES: std::ops::RangeInclusive<u64> = 0..=1 << 40;

/// Rows that each core gathers in memory, in bytes. Below 1 MiB the tree would consist of tiny tables; a crash has to apply all of it again.
pub const TREE_MEMTABLE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

/// The most that a share of `memory_max` gives for these rows: more writes no less, and takes longer to apply again.
pub const TREE_MEMTABLE_SHARE_BYTES_MAX: u64 = 256 << 20;

/// Size of the smallest object that is written as what changes in it. Below 1 KiB a delta is no smaller; above the longest value none is.
pub const DELTA_OBJECT_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 30;

/// Merge budget in bytes per second. Below 1 MiB/s the log of a busy core would outgrow its disk.
pub const MERGE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 30;

/// Bytes that a core takes over in a second. With less than 64 KiB/s a host that was down for a day would need weeks.
pub const REPAIR_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 30;

/// Records that a core takes over in a second: a fiftieth of the least is still two each second.
pub const REPAIR_RECORDS: std::ops::RangeInclusive<u64> = 100..=100_000_000;

/// Keys, values and objects in memory, of all cores, in bytes. Zero: each has a bound of its own.
pub const MEMORY: std::ops::RangeInclusive<u64> = 0..=1 << 46;

/// Bytes of the directory that a key takes, at most.
pub const KEY_DIRECTORY_BYTES: u64 = 32;

/// Keys per core: the directory takes at most [`KEY_DIRECTORY_BYTES`] per key.
pub const KEYS: std::ops::RangeInclusive<u64> = 1_000..=4_000_000_000;

/// Ports that may be configured; 0 (any) would make an address that no peer can know.
pub const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// A cluster secret shorter than this can be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longest cluster secret in bytes; the generated one has 64.
pub const SECRET_BYTES_MAX: usize = 1024;

/// A suggestion is offered up to this edit distance, and only below a third of the word's length.
pub const SUGGESTION_DISTANCE_MAX: usize = 4;

/// Hosts of one cluster in the member list.
pub const MEMBERS_MAX: usize = HOSTS_MAX;

const _: () = assert!(*KEY_BYTES.end() < *VALUE_BYTES.end());
const _: () = assert!(*VALUE_BYTES.end() + *KEY_BYTES.end() < 24 << 20, "a value must fit a peer message");
const _: () = assert!(*OUTPUT_BYTES.end() > *VALUE_BYTES.end());
const _: () = assert!(SECRET_BYTES_MIN < SECRET_BYTES_MAX);
