//! The memtable: what was applied and is not in a table yet, sorted.
//!
//! Entries lie in chunks of memory, in the order in which they came; leaves of up to [`LEAF_ENTRIES_MAX`] references to them are sorted,
//! and so are the leaves. Finding a place is two binary searches, the first of them over what is mostly in the processor's caches. Nothing
//! is ever changed or freed before the whole is.

use std::cmp::Ordering;

use crate::limits::{
    ARENA_CHUNK_BYTES, BATCH_BYTES_MAX, BATCH_CHANGES_MAX, LEAF_ENTRIES_MAX, RANGES_MAX, RANGE_CHANGES_MAX,
};
use crate::ranges::Ranges;

/// Bytes in front of an entry: lengths of key and value, version.
const HEAD_BYTES: usize = 16;

/// The length that says "deleted".
const DELETED: u32 = u32::MAX;

/// Entries begin at multiples of this, so that 32 bits name any place in 16 GiB.
const ALIGN_BYTES: usize = 4;

/// Bits of a reference that name a place within a chunk.
const PLACE_BITS: u32 = (ARENA_CHUNK_BYTES / ALIGN_BYTES).trailing_zeros();
const _: () = assert!(ARENA_CHUNK_BYTES == ALIGN_BYTES << PLACE_BITS, "a chunk is a power of two");

/// Chunks that a batch takes at most: large entries have one each, and of small ones some begin a new one early.
const CHUNKS_OF_A_BATCH: usize =
    2 * BATCH_BYTES_MAX / (ARENA_CHUNK_BYTES / 8) + BATCH_CHANGES_MAX * HEAD_BYTES / ARENA_CHUNK_BYTES + 2;
const _: () = assert!(CHUNKS_OF_A_BATCH < 1 << (31 - PLACE_BITS), "an empty one holds any batch");

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntryRef(u32);

/// A sorted list of entries, and the range deletions that came with them.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    chunks: Vec<Vec<u8>>,
    /// The chunk that takes more.
    filling: Option<usize>,
    leaves: Vec<Vec<EntryRef>>,
    /// The first entry of each leaf.
    firsts: Vec<EntryRef>,
    bytes: usize,
    entries: usize,
    pub ranges: Ranges,
    /// Range deletions that came.
    range_changes: usize,
    /// The oldest and the newest version.
    versions: Option<(u64, u64)>,
    /// Counts insertions: who stands at a place looks for it again when this has changed.
    changes: u64,
}

/// A place in a memtable, at an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    leaf: usize,
    at: usize,
}

impl Memtable {
    /// About what it takes in memory, but for a part of a chunk.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + 6 * self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.ranges.is_empty()
    }

    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The oldest and the newest version of anything in it.
    pub fn versions(&self) -> Option<(u64, u64)> {
        self.versions
    }

    /// Adds an entry; `None` for a deletion. The version is above all that are there.
    pub fn insert(&mut self, key: &[u8], version: u64, value: Option<&[u8]>) {
        let place = self.locate(key, version);
        let entry = self.store(key, version, value);
        self.entries += 1;
        self.note(version);
        let Some(leaf) = self.leaves.get_mut(place.leaf) else {
            self.leaves.push(vec![entry]);
            self.firsts.push(entry);
            return;
        };
        leaf.insert(place.at, entry);
        if place.at == 0 {
            self.firsts[place.leaf] = entry;
        }
        if leaf.len() > LEAF_ENTRIES_MAX {
            // Where keys come in order the leaf stays as it is, or all leaves would stay half full.
            let keep = if place.at + 1 == leaf.len() { leaf.len() - 1 } else { leaf.len() / 2 };
            let mut rest = Vec::with_capacity(LEAF_ENTRIES_MAX + 1);
            rest.extend(leaf.drain(keep..));
            self.firsts.insert(place.leaf + 1, rest[0]);
            self.leaves.insert(place.leaf + 1, rest);
        }
    }

    /// Deletes a range. `snapshots`: who else may look at it, ascending.
    pub fn delete_range(&mut self, first: &[u8], end: &[u8], version: u64, snapshots: &[u64]) {
        self.ranges.add_thin(first, end, version, snapshots);
        self.range_changes += 1;
        self.bytes += first.len() + end.len() + 64;
        self.note(version);
    }

    fn note(&mut self, version: u64) {
        let (oldest, newest) = self.versions.unwrap_or((version, 0));
        assert!(version > newest, "versions ascend");
        self.versions = Some((oldest, version));
        self.changes += 1;
    }

    fn store(&mut self, key: &[u8], version: u64, value: Option<&[u8]>) -> EntryRef {
        let value_bytes = value.map_or(DELETED, |value| value.len() as u32);
        let bytes = HEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        let bytes = bytes.next_multiple_of(ALIGN_BYTES);
        let (chunk, at) = self.room(bytes);
        self.bytes += bytes;
        let memory = &mut self.chunks[chunk];
        memory.resize(at, 0);
        memory.extend_from_slice(&(key.len() as u32).to_le_bytes());
        memory.extend_from_slice(&value_bytes.to_le_bytes());
        memory.extend_from_slice(&version.to_le_bytes());
        memory.extend_from_slice(key);
        memory.extend_from_slice(value.unwrap_or_default());
        EntryRef(((chunk << PLACE_BITS) | (at / ALIGN_BYTES)) as u32)
    }

    /// Finds so many bytes. What does not fit well gets a chunk of its own.
    fn room(&mut self, bytes: usize) -> (usize, usize) {
        if let Some(filling) = self.filling {
            let used = self.chunks[filling].len().next_multiple_of(ALIGN_BYTES);
            if used + bytes <= ARENA_CHUNK_BYTES {
                return (filling, used);
            }
        }
        let is_large = bytes > ARENA_CHUNK_BYTES / 8;
        let size = if is_large { bytes } else { ARENA_CHUNK_BYTES };
        self.chunks.push(Vec::with_capacity(size));
        let chunk = self.chunks.len() - 1;
        assert!(chunk < 1 << (32 - PLACE_BITS), "a memtable is flushed long before");
        if !is_large {
            self.filling = Some(chunk);
        }
        (chunk, 0)
    }

    /// Whether it has as many range deletions as it should.
    pub fn has_many_ranges(&self) -> bool {
        self.ranges.fragments().len() >= RANGES_MAX || self.range_changes >= RANGE_CHANGES_MAX
    }

    /// Whether it might not hold another batch.
    pub fn is_at_its_end(&self) -> bool {
        self.chunks.len() + CHUNKS_OF_A_BATCH >= 1 << (32 - PLACE_BITS)
    }

    #[inline]
    fn entry(&self, entry: EntryRef) -> (&[u8], u64, Option<&[u8]>) {
        let chunk = &self.chunks[(entry.0 >> PLACE_BITS) as usize];
        let at = (entry.0 as usize & ((1 << PLACE_BITS) - 1)) * ALIGN_BYTES;
        let (head, rest) = chunk[at..].split_at(HEAD_BYTES);
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let version = u64::from(number(8)) | u64::from(number(12)) << 32;
        let (key, rest) = rest.split_at(number(0) as usize);
        let value = (number(4) != DELETED).then(|| &rest[..number(4) as usize]);
        (key, version, value)
    }

    /// Whether the entry sorts before a key's version.
    #[inline]
    fn is_before(&self, entry: EntryRef, key: &[u8], version: u64) -> bool {
        let (other, its_version, _) = self.entry(entry);
        match other.cmp(key) {
            Ordering::Less => true,
            Ordering::Equal => its_version > version,
            Ordering::Greater => false,
        }
    }

    /// Where the first entry lies that does not sort before this one; it may be behind the last entry of a leaf.
    fn locate(&self, key: &[u8], version: u64) -> Place {
        let leaf =
            self.firsts.partition_point(|first| self.is_before(*first, key, version)).saturating_sub(1);
        let entries = self.leaves.get(leaf).map_or(&[][..], Vec::as_slice);
        Place { leaf, at: entries.partition_point(|entry| self.is_before(*entry, key, version)) }
    }

    fn settled(&self, place: Place) -> Option<Place> {
        match self.leaves.get(place.leaf) {
            Some(leaf) if place.at < leaf.len() => Some(place),
            _ => (place.leaf + 1 < self.leaves.len()).then_some(Place { leaf: place.leaf + 1, at: 0 }),
        }
    }

    pub fn first(&self) -> Option<Place> {
        self.settled(Place { leaf: 0, at: 0 })
    }

    pub fn last(&self) -> Option<Place> {
        let leaf = self.leaves.len().checked_sub(1)?;
        Some(Place { leaf, at: self.leaves[leaf].len() - 1 })
    }

    /// The first entry of this key that is not newer than the version, or of a key above it.
    pub fn seek(&self, key: &[u8], version: u64) -> Option<Place> {
        self.settled(self.locate(key, version))
    }

    /// The last entry of a key below this one.
    pub fn seek_before(&self, key: &[u8]) -> Option<Place> {
        let place = self.locate(key, u64::MAX);
        self.back(place)
    }

    pub fn next(&self, place: Place) -> Option<Place> {
        self.settled(Place { at: place.at + 1, ..place })
    }

    pub fn prev(&self, place: Place) -> Option<Place> {
        self.back(place)
    }

    fn back(&self, place: Place) -> Option<Place> {
        match place.at.checked_sub(1) {
            Some(at) => (at < self.leaves.get(place.leaf)?.len()).then_some(Place { at, ..place }),
            None => {
                let leaf = place.leaf.checked_sub(1)?;
                Some(Place { leaf, at: self.leaves[leaf].len() - 1 })
            }
        }
    }

    /// Key, version and value at a place.
    #[inline]
    pub fn at(&self, place: Place) -> (&[u8], u64, Option<&[u8]>) {
        self.entry(self.leaves[place.leaf][place.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_sorted_map() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut memtable = Memtable::default();
            let mut map = BTreeMap::new();
            let in_order = seed % 3 == 0;
            for version in 1..=2_000 {
                let number = if in_order { version } else { rng.below(500) };
                let key = number.to_be_bytes()[4..].to_vec();
                let largest = if rng.below(200) == 0 { 100_000 } else { 40 };
                let value = (rng.below(4) > 0).then(|| vec![version as u8; rng.below(largest) as usize]);
                memtable.insert(&key, version, value.as_deref());
                map.insert((key, Reverse(version)), value);
            }
            let all: Vec<_> = map.iter().collect();
            let of = |place: Place| {
                let (key, version, value) = memtable.at(place);
                ((key.to_vec(), Reverse(version)), value.map(<[u8]>::to_vec))
            };
            let mut place = memtable.first();
            for ((key, version), value) in &all {
                assert_eq!(place.map(of), Some(((key.clone(), *version), (*value).clone())));
                place = place.and_then(|place| memtable.next(place));
            }
            assert_eq!(place, None);
            let mut place = memtable.last();
            for ((key, version), value) in all.iter().rev() {
                assert_eq!(place.map(of), Some(((key.clone(), *version), (*value).clone())));
                place = place.and_then(|place| memtable.prev(place));
            }
            assert_eq!(place, None);
            for _ in 0..500 {
                let key = rng.below(510).to_be_bytes()[4..].to_vec();
                let version = rng.below(2_100);
                let expected =
                    map.range((key.clone(), Reverse(version))..).next().map(|(key, _)| key.clone());
                assert_eq!(memtable.seek(&key, version).map(|place| of(place).0), expected);
                let expected =
                    map.range(..(key.clone(), Reverse(u64::MAX))).next_back().map(|(key, _)| key.clone());
                assert_eq!(memtable.seek_before(&key).map(|place| of(place).0), expected);
            }
        }
    }
}
