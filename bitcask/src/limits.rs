//! Every bound of the engine, with where it comes from.

use reactor::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use reactor::BLOCK_BYTES;

/// Slots of the key space: CRC16 of the key, modulo this, as in Redis Cluster.
pub const KEY_SLOTS: usize = 16_384;

/// Slots of all records: behind those of keys there is a page of slots for what the owner keeps for itself, which no range of the key space has.
pub const SLOTS: usize = KEY_SLOTS + PAGE_SLOTS;

/// Slots of the key directory that come to be together: six KiB of them, so that a core with few keys stays small and the list of pages,
/// which each look goes through, stays in the processor's nearest cache.
pub const PAGE_SLOTS: usize = 64;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// The longest body, in bytes: a 20 MB value and what shard wraps around it.
pub const BODY_BYTES_MAX: usize = 24 << 20;

/// The longest named value, in bytes: they are kept in RAM.
pub const META_BYTES_MAX: usize = 64 << 10;

/// Records start and end at multiples of this many bytes, so that a location fits into 25 bits.
pub const UNIT_BYTES: usize = 8;

/// Bits of a record's place in its segment, counted in units.
pub const OFFSET_BITS: u32 = 25;

/// Bits of a record's length, counted in units.
pub const LENGTH_BITS: u32 = 22;

/// Bits of a segment's index in the segment table.
pub const SEGMENT_BITS: u32 = 15;

/// Bits of a stamp's round in the key directory. At a million rounds a second it lasts four years of one key's
/// constant writing; rounds come from a Lamport counter whose jumps shard caps.
pub const ROUND_BITS: u32 = 47;

/// The greatest round that a stamp may have.
pub const ROUND_MAX: u64 = (1 << ROUND_BITS) - 1;

/// The most segments at one time: 8 TiB at the default size.
pub const SEGMENTS_MAX: usize = 1 << SEGMENT_BITS;

/// The largest segment: what a location can address.
pub const SEGMENT_BYTES_MAX: u64 = (1 << OFFSET_BITS) * UNIT_BYTES as u64;

/// The smallest segment: a few frames, so that tests seal and merge often.
pub const SEGMENT_BYTES_MIN: u64 = 16 * BLOCK_BYTES as u64;

/// A frame is closed once its payload has this many bytes; a longer record gets a frame of its own. Large enough
/// that the write, not the sync, takes most of the time; small enough that a scan rarely reads a frame twice.
pub const FRAME_FILL_BYTES: usize = 256 << 10;

/// What may wait to be written, in bytes: some seconds of a slow disk. Beyond it appends are refused.
pub const BACKLOG_BYTES_MAX: usize = 128 << 20;

/// How much one read of recovery takes, in bytes, of a file that has sixteen times as much. Of smaller ones it takes less: most of what it reads there
/// has not been written yet.
pub const SCAN_BYTES: usize = 1 << 20;

/// How much one read of recovery takes at least, in bytes.
pub const SCAN_BYTES_MIN: usize = 64 << 10;

/// How much one read of hint writing or merge takes, in bytes: what is looked at within one turn, some 100 us of small
/// records. A longer frame is read whole.
pub const BACKGROUND_READ_BYTES: usize = 128 << 10;

/// How much one read of a stretch of the log takes at most, in bytes: any frame of more than one record. Longer ones are stepped over.
pub const STRETCH_BYTES_MAX: usize = 512 << 10;

/// How many files recovery reads at a time.
pub const RECOVERY_PARALLEL: usize = 8;

/// How many bytes behind a bad frame are searched for frames of a later sequence: more than the longest frame, so
/// that one damaged frame never hides its successors.
pub const DAMAGE_SEARCH_BYTES: u64 = 64 << 20;

/// How much one step of zero-filling writes, in bytes.
pub const FILL_BYTES: usize = 1 << 20;

/// Segments that are kept ready: the log's next; one that is begun only for deletes, promises and named values; and
/// merge's, without which a full disk could not be emptied again. Less than this is a full disk: values are refused.
pub const READY_WANTED: usize = 3;

/// How long to wait before space is asked for again, in nanoseconds.
pub const FULL_RETRY_NS: u64 = 1_000_000_000;

/// Promises that stand above their key's stamp, at one time: each takes about 100 bytes of RAM.
pub const PROMISES_MAX: usize = 1 << 20;

/// Read buffers that are kept for reuse, and the largest of them in bytes.
pub const READ_BUFFERS_MAX: usize = 64;
/// See [`READ_BUFFERS_MAX`].
pub const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Entries in a leaf of a slot's table before it is split: an insertion moves half of them, 1.7 KiB.
pub const LEAF_ENTRIES_MAX: usize = 128;

/// By how many entries a leaf grows: half of them is what a slot wastes on average.
pub const LEAF_GROWTH: usize = 8;

/// Entries of one slot that recovery gathers before it takes them: 1.3 KiB for each slot, until it is done.
pub const GATHERED_MAX: usize = 32;

/// Distinct (node, incarnation) pairs among live stamps.
pub const ORIGINS_MAX: usize = 1 << 16;

/// The deltas of one key, at most: a read of the key reads all of them, and with fewer the wholes that end chains would cost more than
/// the deltas (docs/design/collections.md, section 2).
pub const DELTAS_MAX: u32 = 4096;

/// The deltas of one key take at most as many bytes as the whole that they extend, divided by this. A key that changes all the time costs
/// `1 + DELTA_PART` bytes of the log for each byte of its deltas; who reads it from disk reads up to `1 + 1 / DELTA_PART` of its bytes.
pub const DELTA_PART: u64 = 1;

/// The shortest record that a delta may extend, in bytes: below that, a whole is hardly longer than a delta, and no log needs to keep in mind
/// which short records are under way.
pub const BASE_BYTES_MIN: usize = 512;

/// The longest body of a delta, in bytes.
pub const DELTA_BODY_BYTES_MAX: usize = BODY_BYTES_MAX / 4;

/// Reads that one read of a chain has under way at a time: a disk's queue is kept busy, and others still get their turn.
pub const CHAIN_READS_MAX: usize = 64;

/// How many deltas recovery gathers at least before it looks which of them are needed: 5 MiB.
pub const FOUND_DELTAS_MIN: usize = 1 << 16;

/// The longest record, in units.
pub const RECORD_UNITS_MAX: u32 = (LONGEST_RECORD / UNIT_BYTES) as u32;

/// The longest record that extends another, in units.
pub const DELTA_UNITS_MAX: u32 = (LONGEST_DELTA / UNIT_BYTES) as u32;

const LONGEST_RECORD: usize = crate::record::HEADER_BYTES + KEY_BYTES_MAX + BODY_BYTES_MAX + UNIT_BYTES;
const LONGEST_DELTA: usize = crate::record::HEADER_BYTES
    + crate::record::BASE_BYTES
    + KEY_BYTES_MAX
    + DELTA_BODY_BYTES_MAX
    + UNIT_BYTES;

const _: () = assert!(SLOTS.is_multiple_of(PAGE_SLOTS), "every slot has its place in a page");
const _: () = assert!(HEADER_BYTES.is_multiple_of(UNIT_BYTES), "records start at whole units");
const _: () =
    assert!(LONGEST_RECORD + 64 <= PAYLOAD_BYTES_MAX, "the longest record and a seal fit into a frame");
const _: () = assert!(
    RECORD_UNITS_MAX + DELTA_UNITS_MAX + 1 < 1 << LENGTH_BITS,
    "a record's length fits into its bits, and so does that of a delta above all others"
);
const _: () =
    assert!(PAYLOAD_BYTES_MAX as u64 + 8192 < SEGMENT_BYTES_MAX, "a frame fits into a segment of its own");
const _: () =
    assert!(FRAME_FILL_BYTES + 2 * BLOCK_BYTES <= STRETCH_BYTES_MAX, "a stretch holds a full frame");
const _: () = assert!(FRAME_FILL_BYTES * 2 < SCAN_BYTES, "a scan sees more than one frame at a time");
const _: () = assert!((PAYLOAD_BYTES_MAX as u64) < DAMAGE_SEARCH_BYTES, "a search passes the longest frame");
const _: () = assert!(OFFSET_BITS + LENGTH_BITS + 16 + 1 == 64, "the second word of a directory entry");
const _: () = assert!(ROUND_BITS + SEGMENT_BITS + 2 == 64, "the first word of a directory entry");
const _: () = assert!(BACKLOG_BYTES_MAX > 2 * PAYLOAD_BYTES_MAX, "two records of any length can wait");

/// Keys that are brought into the processor's caches at once: more than memory reads can be under way, few enough that the
/// first one is still there when its turn comes.
pub const WARM_KEYS: usize = 16;
