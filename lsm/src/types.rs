//! The words of the interface.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::block::Block;
use crate::choose::LevelOptions;
use crate::envelope::Codec;
use crate::error::{Damage, Fault, ReadError};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_CHANGES_MAX, BATCH_RANGES_MAX, END_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::varint::{self, Reader};

/// Counts the changes that were applied to a tree: each has a version, in the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Names a read that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names an ingestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IngestId(pub u64);

/// A change of one key, or of a range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value from now on.
    Put {
        /// At most [`KEY_BYTES_MAX`] bytes.
        key: &'a [u8],
        /// At most [`VALUE_BYTES_MAX`] bytes.
        value: &'a [u8],
    },
    /// The key has no value from now on.
    Delete {
        /// At most [`KEY_BYTES_MAX`] bytes.
        key: &'a [u8],
    },
    /// The keys from `first` on and below `end` have no value from now on. It costs the same however many there are.
    DeleteRange {
        /// The first key.
        first: &'a [u8],
        /// Above all of them, and above `first`; at most [`END_BYTES_MAX`] bytes.
        end: &'a [u8],
    },
}

/// Changes that happen together, in their order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    changes: usize,
    ranges: usize,
    is_too_large: bool,
}

impl Batch {
    /// One without changes.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change<'_>) {
        let (tag, key, other) = match change {
            Change::Put { key, value } => (1, key, value),
            Change::Delete { key } => (2, key, &[][..]),
            Change::DeleteRange { first, end } => (3, first, end),
        };
        let bound = if tag == 1 { VALUE_BYTES_MAX } else { END_BYTES_MAX };
        let fits = key.len() <= KEY_BYTES_MAX
            && other.len() <= bound
            && self.changes < BATCH_CHANGES_MAX
            && self.bytes.len() + key.len() + other.len() <= BATCH_BYTES_MAX
            && (tag != 3 || self.ranges < BATCH_RANGES_MAX);
        assert!(tag != 3 || key < other, "a range has a key");
        self.is_too_large |= !fits;
        if fits {
            self.bytes.push(tag);
            varint::put_bytes(&mut self.bytes, key);
            varint::put_bytes(&mut self.bytes, other);
            self.changes += 1;
            self.ranges += usize::from(tag == 3);
        }
    }

    /// The key has this value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(Change::Put { key, value });
    }

    /// The key has no value.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(Change::Delete { key });
    }

    /// The keys from `first` on and below `end` have no value.
    pub fn delete_range(&mut self, first: &[u8], end: &[u8]) {
        self.push(Change::DeleteRange { first, end });
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Whether there are range deletions.
    pub(crate) fn has_ranges(&self) -> bool {
        self.ranges > 0
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a change was beyond its bound, or too much for one batch, and was left out.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// Without any changes again, with its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.changes, self.ranges, self.is_too_large) = (0, 0, false);
    }

    /// The changes.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut reader = Reader::new(&self.bytes);
        std::iter::from_fn(move || {
            let (tag, key, other) = (reader.byte()?, reader.bytes()?, reader.bytes()?);
            Some(match tag {
                1 => Change::Put { key, value: other },
                2 => Change::Delete { key },
                _ => Change::DeleteRange { first: key, end: other },
            })
        })
    }
}

/// How an engine is set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The core, which every frame of the manifest bears.
    pub core: u32,
    /// Bytes of a memtable before it is flushed. Three times as many may be in memory, and then writes are held up.
    pub memtable_bytes: usize,
    /// Bytes of a block before it is compressed, about.
    pub block_bytes: usize,
    /// Bytes of a table, about.
    pub table_bytes: u64,
    /// What the block cache may hold, in bytes.
    pub cache_bytes: u64,
    /// Bits of filter for each key.
    pub bits_per_key: usize,
    /// How blocks of the last level are compressed, which has nearly all.
    pub last_codec: Codec,
    /// How those of the other levels are.
    pub codec: Codec,
    /// How levels grow.
    pub levels: LevelOptions,
    /// Bytes of a manifest before a new one is begun; twice as many are set aside for it.
    pub manifest_bytes: u64,
}

impl Options {
    /// The defaults for a core: memtables and tables of 64 MiB, blocks of 4 KiB, 64 MiB of cache, filters of ten bits.
    pub fn new(core: u32) -> Options {
        Options {
            core,
            memtable_bytes: 64 << 20,
            block_bytes: 4 << 10,
            table_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            bits_per_key: 10,
            last_codec: Codec::Lz4,
            codec: Codec::Lz4,
            levels: LevelOptions::default(),
            manifest_bytes: crate::limits::MANIFEST_BYTES_MAX,
        }
    }
}

/// The tree as it was at a version. What it sees stays as long as it, or a copy of it, is there.
#[derive(Clone, Debug)]
pub struct Snapshot {
    registered: Rc<Registered>,
}

/// Versions of snapshots that are held, and how many of each.
pub(crate) type SnapshotVersions = Rc<RefCell<BTreeMap<u64, u32>>>;

#[derive(Debug)]
struct Registered {
    version: u64,
    all: SnapshotVersions,
}

impl Snapshot {
    pub(crate) fn new(version: u64, all: &SnapshotVersions) -> Snapshot {
        *all.borrow_mut().entry(version).or_default() += 1;
        Snapshot { registered: Rc::new(Registered { version, all: all.clone() }) }
    }

    /// The newest version that it sees.
    pub fn version(&self) -> Version {
        Version(self.registered.version)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut all = self.all.borrow_mut();
        if let Some(count) = all.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.version);
            }
        }
    }
}

/// The bytes of a row; cheap to clone.
#[derive(Clone)]
pub struct Value(Bytes);

#[derive(Clone)]
enum Bytes {
    Block(Rc<Block>, Range<usize>),
    Own(Rc<[u8]>),
}

impl Value {
    pub(crate) fn own(bytes: &[u8]) -> Value {
        Value(Bytes::Own(bytes.into()))
    }

    pub(crate) fn part(block: Rc<Block>, part: Range<usize>) -> Value {
        assert!(part.end <= block.bytes().len(), "a value lies within its block");
        Value(Bytes::Block(block, part))
    }
}

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Block(block, part) => &block.bytes()[part.clone()],
            Bytes::Own(bytes) => bytes,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// The answer to [`crate::Lsm::get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Get {
    /// The key's value, if it has one.
    Ready(Option<Value>),
    /// It is read from disk: an [`Event::Got`] follows.
    Pending(Ticket),
}

/// Which rows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The first key.
    pub first: Box<[u8]>,
    /// Above all keys that are asked for; none: there is no end.
    pub end: Option<Box<[u8]>>,
    /// From the end to the start.
    pub reverse: bool,
    /// At most so many rows.
    pub rows_max: usize,
    /// No more rows once there are so many bytes.
    pub bytes_max: usize,
}

/// Rows in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Where key and value of each end.
    ends: Vec<(u32, u32)>,
    /// There may be more.
    pub more: bool,
}

impl Rows {
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len() as u32));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Key and value of a row.
    pub fn row(&self, index: usize) -> (&[u8], &[u8]) {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1 as usize);
        let (key_end, end) = self.ends[index];
        (&self.bytes[start..key_end as usize], &self.bytes[key_end as usize..end as usize])
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.len()).map(|index| self.row(index))
    }
}

/// The answer to [`crate::Lsm::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// The rows.
    Ready(Rows),
    /// They are read from disk: an [`Event::Scanned`] follows.
    Pending(Ticket),
}

/// Whether the tree keeps up with what is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// It does.
    None,
    /// It is behind: no more than so many bytes a second should be applied.
    Slow {
        /// Bytes of batches.
        bytes_per_second: u64,
    },
    /// Nothing is taken until background work has got on.
    Stop,
}

/// What the engine tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is done: the tree stands where it stood after the change of this version.
    Ready(Recovered),
    /// Everything up to this version is durable: whatever logs it elsewhere may drop it.
    Flushed(Version),
    /// The end of a pending read.
    Got {
        /// Which read.
        ticket: Ticket,
        /// What it found.
        result: Result<Option<Value>, ReadError>,
    },
    /// The end of a pending scan.
    Scanned {
        /// Which one.
        ticket: Ticket,
        /// What it found.
        result: Result<Rows, ReadError>,
    },
    /// The range has the rows that were ingested, durably, from this version on.
    Ingested(IngestId, Version),
    /// An ingestion came to nothing, for want of space or because it was given up: the range is as it was.
    IngestionLost(IngestId),
    /// A table cannot be believed. Reads of its keys fail, and it is not compacted, nor is what lies over it, until its range is
    /// ingested or deleted: then it goes.
    Damaged(Damage),
    /// The disk became full (`true`), or has space again.
    Full(bool),
    /// The engine stops; nothing else follows but answers to those who read.
    Failed(Fault),
}

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Everything up to this version is there, and nothing behind it but what was ingested.
    pub flushed_to: Version,
    /// Tables of the tree.
    pub tables: u64,
    /// Bytes of their files.
    pub table_bytes: u64,
    /// Files of work that had not ended, which are removed.
    pub orphans: u64,
    /// Bytes at the manifest's end that were torn and are dropped.
    pub torn_bytes: u64,
    /// The directory held no tree: this is its first start.
    pub fresh: bool,
}

/// Counts what the engine did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Changes applied.
    pub changes: u64,
    /// Bytes of the batches that had them.
    pub batch_bytes: u64,
    /// Memtables flushed.
    pub flushes: u64,
    /// Bytes of the tables that were made of them.
    pub flushed_bytes: u64,
    /// Compactions that rewrote tables.
    pub compactions: u64,
    /// Tables that went a level down as they were.
    pub moves: u64,
    /// Tables dropped because a range deletion hides all that they have.
    pub drops: u64,
    /// Bytes of tables that compactions read.
    pub compacted_in_bytes: u64,
    /// Bytes of tables that compactions wrote.
    pub compacted_out_bytes: u64,
    /// Bytes of tables that were ingested.
    pub ingested_bytes: u64,
    /// Reads from disk for gets and scans.
    pub disk_reads: u64,
    /// Bytes of those.
    pub disk_read_bytes: u64,
    /// Edits of the manifest.
    pub edits: u64,
}

/// How the engine stands, for metrics and `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What it did since it was opened.
    pub counters: Counters,
    /// Bytes of memtables.
    pub memtable_bytes: u64,
    /// Memtables that wait for their flush.
    pub sealed_memtables: u64,
    /// Tables of each level.
    pub tables: [u64; crate::limits::LEVELS],
    /// Bytes of them.
    pub table_bytes: [u64; crate::limits::LEVELS],
    /// Bytes that compaction has yet to move until every level is within its target.
    pub debt_bytes: u64,
    /// Snapshots that are held.
    pub snapshots: u64,
    /// Gets and scans that wait for the disk.
    pub waiting_reads: u64,
    /// Bytes in the block cache.
    pub cache_bytes: u64,
    /// Blocks that the cache had.
    pub cache_hits: u64,
    /// Blocks that it had not.
    pub cache_misses: u64,
    /// Tables that cannot be believed.
    pub damaged_tables: u64,
}
