//! The words of the interface.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::error::{Fault, ReadError};
use crate::fingerprint::Fingerprint;
use crate::record;

/// The opaque order of the records of one key: the greatest wins, wherever it lies. Ordered lexicographically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// At most [`crate::limits::ROUND_MAX`].
    pub round: u64,
    /// Who wrote it.
    pub node: u32,
    /// In which of its lives.
    pub incarnation: u32,
}

impl Stamp {
    /// Below every stamp that a record may have.
    pub const ZERO: Stamp = Stamp { round: 0, node: 0, incarnation: 0 };
}

/// What a record says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key has this body.
    Value,
    /// The key has this body, until a time of which its owner knows.
    Expiring,
    /// The key was deleted. The body may hold what its owner must not forget.
    Tombstone,
    /// Nothing below this stamp will be taken for the key any more. Has no body.
    Promise,
}

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Below [`crate::limits::SLOTS`]; a key's slot never changes.
    pub slot: u16,
    /// At most [`crate::limits::KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// Above [`Stamp::ZERO`].
    pub stamp: Stamp,
    /// What it says.
    pub kind: Kind,
    /// At most [`crate::limits::BODY_BYTES_MAX`] bytes; empty for a promise.
    pub body: &'a [u8],
}

/// What the key directory knows of a key's newest durable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its stamp.
    pub stamp: Stamp,
    /// Not `Promise`.
    pub kind: Kind,
    /// The mark, which a restart forgets.
    pub marked: bool,
    /// It is a delta: it extends another record, and what the key has is in both.
    pub delta: bool,
    /// Bytes that the record takes on disk, header and key included.
    pub bytes: u32,
}

/// How large the chain of a key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainSize {
    /// Deltas in it.
    pub deltas: u32,
    /// Bytes that they take on disk, headers and keys included.
    pub bytes: u64,
    /// Bytes that the whole takes at its end.
    pub whole: u64,
}

/// What the key directory knows of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The newest record.
    pub entry: Option<Entry>,
    /// The promise, while it stands above the entry's stamp.
    pub promised: Option<Stamp>,
}

/// Log sequence number: counts the records appended since the engine was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A place in an engine's log, for [`crate::Bitcask::read_stretch`]. Ordered as segments are begun. Nothing need be there: segments come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPlace {
    /// The count of a segment, from 1 on.
    pub segment: u32,
    /// A block of it, from its start.
    pub block: u32,
}

/// Where an engine's log ended at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The place behind the last durable record: what was written later lies behind it.
    pub place: LogPlace,
    /// The count of the newest segment, the log's or merge's. Merge copies what lies before the place behind it, too, as long as there is
    /// an engine: who must come to an end reads none of the segments that it began later.
    pub newest: u32,
}

/// What a stretch of the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The records, as they lie in their frames.
    pub(crate) records: Vec<u8>,
    /// Where to go on: behind the place that was asked for.
    pub next: LogPlace,
    /// Bytes of the log that it stands for.
    pub read: u64,
    /// How many more records were the newest of their keys and not marked, by the node of their stamps.
    pub unmarked: BTreeMap<u32, u32>,
}

impl Stretch {
    /// Those of its records that were the newest of their keys, and marked, when it was read; in the order of the log.
    pub fn records(&self) -> impl Iterator<Item = Stretched<'_>> {
        let mut rest = &self.records[..];
        std::iter::from_fn(move || {
            let (raw, taken) = record::decode_proved(rest).ok()?;
            rest = rest.get(taken..)?;
            let kind = raw.kind.of_key();
            let record = Record { slot: raw.slot, key: raw.key, stamp: raw.stamp, kind, body: raw.body };
            Some(raw.base.map_or(Stretched::Whole(record), |base| Stretched::Delta(record, base)))
        })
    }
}

/// A record in a stretch of the log.
#[derive(Clone, Copy, Debug)]
pub enum Stretched<'a> {
    /// All that the key has.
    Whole(Record<'a>),
    /// What extends the record of the stamp: all that the key has is known by a read of the key.
    Delta(Record<'a>, Stamp),
}

/// Names a read that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Bytes of a record, shared with the value cache; cheap to clone.
#[derive(Clone)]
pub struct Bytes {
    record: Rc<[u8]>,
    start: u32,
    end: u32,
}

impl Bytes {
    /// A part of a record.
    pub(crate) fn part(record: &Rc<[u8]>, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= record.len(), "a part lies within its record");
        Bytes { record: record.clone(), start: range.start as u32, end: range.end as u32 }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::from(&bytes[..])
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes { record: Rc::from(bytes), start: 0, end: bytes.len() as u32 }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.record[self.start as usize..self.end as usize]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its stamp.
    pub stamp: Stamp,
    /// Not `Promise`.
    pub kind: Kind,
    /// Its key.
    pub key: Bytes,
    /// Its body. Where it extends others, the body of the whole that all of them extend.
    pub body: Bytes,
    /// The bodies of the deltas that extend the whole, oldest first: none of most keys.
    pub deltas: Vec<Bytes>,
    /// What the record extends, where it was read by itself ([`crate::Bitcask::read_newest`]): then the body is its own.
    pub base: Option<Stamp>,
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The key has no record.
    Absent,
    /// From memory.
    Ready(Found),
    /// From disk: an [`Event::Read`] follows.
    Pending(Ticket),
}

/// What is known of a key without the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cached {
    /// The key has no record.
    Absent,
    /// Its newest record.
    Here(Entry, Found),
    /// Its newest record is on disk only, or is another key's of the same fingerprint.
    Elsewhere,
}

/// What the engine tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is done: appends and reads are taken.
    Ready(Recovered),
    /// Every record up to this one is durable and in the key directory.
    Persisted(Lsn),
    /// The end of a pending read; `None` where the record on disk has another key.
    Read {
        /// Which read.
        ticket: Ticket,
        /// What it found.
        result: Result<Option<Found>, ReadError>,
    },
    /// The end of a [`crate::Bitcask::read_stretch`].
    Stretch {
        /// Which one.
        ticket: Ticket,
        /// What it found.
        result: Result<Stretch, ReadError>,
    },
    /// The disk became full (`true`), or has space again.
    Full(bool),
    /// The mark of a log that was put aside is gone: see [`crate::Bitcask::end_loss`].
    LossEnded,
    /// The slice stops; nothing else follows.
    Failed(Fault),
}

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries in the key directory, tombstones included.
    pub entries: u64,
    /// Promises above their key's stamp.
    pub promises: u64,
    /// Segments with records.
    pub segments: u64,
    /// Segments that were known from their hint alone.
    pub hints_used: u64,
    /// Hints that were damaged or cut off, whose segments were read instead.
    pub hints_refused: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes at the log's end that were torn and are dropped.
    pub torn_bytes: u64,
    /// The greatest round of any record or promise, for the owner's clock of rounds.
    pub round_max: u64,
    /// The directory was empty: this is its first start.
    pub fresh: bool,
    /// How many logs were put aside in this directory and still lie there.
    pub losses: u32,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSummary {
    /// Keys with a value.
    pub keys: u32,
    /// Those of them that are `Kind::Expiring`.
    pub expiring: u32,
    /// Keys with a value or a tombstone.
    pub records: u32,
    /// Sum, modulo 2^128, of a hash of each record's fingerprint and stamp. Two directories with the same fingerprint
    /// key and the same sum hold the same records.
    pub sum: u128,
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The core, which every frame bears.
    pub core: u32,
    /// Size of a segment, between [`crate::limits::SEGMENT_BYTES_MIN`] and [`crate::limits::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// What the value cache may hold, in bytes.
    pub cache_bytes: u64,
    /// How many keys the directory may hold, tombstones included.
    pub keys_max: u64,
    /// Keys the fingerprints of a new directory. An existing one keeps the key that it was made with. Hosts whose slot
    /// sums are to be compared need the same one; clients must not know it.
    pub fingerprint_key: [u8; 16],
    /// A log with damage in what was acknowledged is put aside, under `lost-...` names, and an empty one begun: for an owner who can
    /// take over what was lost from elsewhere, and who looks at [`crate::Bitcask::loss`]. Without it the slice stops.
    pub put_aside: bool,
    /// The era of a record's body, in which it was made. See [`crate::Bitcask::set_era`].
    pub era_of: fn(&[u8]) -> u32,
}

impl Options {
    /// The defaults for a core: 256 MiB segments, 64 MiB of cache, 64 M keys (2 GiB of RAM).
    pub fn new(core: u32, fingerprint_key: [u8; 16]) -> Options {
        Options {
            core,
            segment_bytes: 256 << 20,
            cache_bytes: 64 << 20,
            keys_max: 64 << 20,
            fingerprint_key,
            put_aside: false,
            era_of: |_| 0,
        }
    }
}

/// A place in the entries of a slot, and the entry.
pub type SlotEntry = (Fingerprint, Entry);
