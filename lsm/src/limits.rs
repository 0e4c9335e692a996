//! Every bound of the engine, and why it is what it is.

use reactor::BLOCK_BYTES;

/// The longest key, in bytes: a table's key and its clustering columns together.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// The longest value, in bytes: as long as that of any entity.
pub const VALUE_BYTES_MAX: usize = 24 << 20;

/// Changes of one batch.
pub const BATCH_CHANGES_MAX: usize = 1 << 20;

/// Bytes of one batch: a memtable takes it as a whole, however full it is.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Range deletions of one batch: half of what a memtable may hold.
pub const BATCH_RANGES_MAX: usize = RANGES_MAX / 2;

/// The longest end of a range of keys: the longest key, and a byte of 0 behind it.
pub const END_BYTES_MAX: usize = KEY_BYTES_MAX + 1;

/// No tree comes to this version, nor to files of such numbers: what says that one did is damaged, and must not make a sum overflow.
pub const NUMBER_MAX: u64 = u64::MAX >> 2;

/// Levels of the tree. With a factor of ten between them, six below the first hold what no disk does.
pub const LEVELS: usize = 7;

/// Snapshots that may be held at one time: each may keep a version of every key from going, and all versions of a key lie in one block.
pub const SNAPSHOTS_MAX: usize = 40;

/// Range deletions that a memtable may hold before it is flushed: each read looks through them.
pub const RANGES_MAX: usize = 1 << 12;

/// Range deletions that a memtable may have taken before it is flushed, whatever is left of them.
pub const RANGE_CHANGES_MAX: usize = 1 << 16;

/// Entries between two restart points of a data block: a key is found by a binary search over restart points and a walk
/// over half as many entries as this, on average.
pub const RESTART_ENTRIES: usize = 16;

/// Data blocks of one section, whose index and filter are one block of their own: with blocks of 4 KiB and rows of 120 bytes a
/// section's block has some 10 KiB.
pub const SECTION_BLOCKS_MAX: usize = 128;

/// Bytes of one write to a table that is being made.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Chunks of a table that may wait for the disk; then its making waits.
pub const CHUNKS_MAX: usize = 2;

/// What a compaction reads at a time from one table, in bytes.
pub const COMPACTION_READ_BYTES: usize = 512 << 10;

/// What a scan reads ahead at most, in bytes; it begins with one block and doubles.
pub const SCAN_READ_BYTES_MAX: usize = 256 << 10;

/// Bytes of rows after which a scan ends, whatever was asked for.
pub const SCAN_BYTES_MAX: usize = 1 << 30;

/// The longest block on disk, envelope included. A block has one key at least, with all its versions that snapshots keep.
pub const BLOCK_DISK_BYTES_MAX: usize = 1 << 30;

/// Bytes that a read from disk may ask for at once: a length above it in an index is damage.
pub const READ_BYTES_MAX: usize = BLOCK_DISK_BYTES_MAX;

/// Bytes of one frame of the manifest; an edit that is longer takes several.
pub const MANIFEST_FRAME_BYTES_MAX: usize = 16 << 20;

/// Bytes of the memtable's chunks of memory.
pub const ARENA_CHUNK_BYTES: usize = 256 << 10;

/// Memtables at one time: the one that is being filled, and those that wait for their flush.
pub const MEMTABLES_MAX: usize = 3;

/// Entries of one leaf of the memtable: an insertion moves half as many references of four bytes.
pub const LEAF_ENTRIES_MAX: usize = 128;

/// A manifest that is longer than this, and twice as long as what it says, is written anew.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// How long to wait before space is asked for again, in nanoseconds.
pub const FULL_RETRY_NS: u64 = 1_000_000_000;

/// How long compactions rest when the disk refused to read for one, in nanoseconds.
pub const READ_RETRY_NS: u64 = 1_000_000_000;

/// Tables that recovery opens at the same time.
pub const OPENING_MAX: usize = 32;

/// Compactions that run at the same time: one from the first level, which holds up writes, and one among the others.
pub const COMPACTIONS_MAX: usize = 2;

const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES), "a table is written in whole blocks");
const _: () = assert!(RESTART_ENTRIES > 1 && LEAF_ENTRIES_MAX > 3, "a leaf can be split");
const _: () = assert!(KEY_BYTES_MAX + 64 < ARENA_CHUNK_BYTES, "a key fits into a chunk of memory");
const _: () = assert!(
    (SNAPSHOTS_MAX + 2) * (KEY_BYTES_MAX + VALUE_BYTES_MAX + 64) < BLOCK_DISK_BYTES_MAX,
    "a row with all its versions fits into a block"
);
