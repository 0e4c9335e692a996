//! The table of one slot: fingerprint → packed entry, 26 bytes each, in fingerprint order.
//!
//! A sorted list of small sorted leaves. Fingerprints are even, so leaves fill evenly and a place can be guessed; a leaf grows a few entries at a
//! time and is split in two at its bound, so no insertion ever moves more than a leaf, however many keys one tag puts
//! into one slot. Against open addressing this wastes less (93 % full on average, not 80 %) and a walk in order, which
//! SCAN and digests need, costs nothing.

use crate::fingerprint::Fingerprint;
use crate::limits::{
    LEAF_ENTRIES_MAX, LEAF_GROWTH, LENGTH_BITS, OFFSET_BITS, RECORD_UNITS_MAX, ROUND_BITS, SEGMENT_BITS,
};
use crate::types::Kind;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// Index in the segment table.
    pub segment: u16,
    /// From the segment's start, in units.
    pub offset: u32,
    /// Of the record with its padding, in units.
    pub length: u32,
}

impl Location {
    pub fn bytes(self) -> u64 {
        u64::from(self.length) * crate::limits::UNIT_BYTES as u64
    }
}

/// What a table holds for a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub round: u64,
    /// Interned (node, incarnation).
    pub origin: u16,
    /// Not `Promise`.
    pub kind: Kind,
    pub marked: bool,
    /// The record extends another, of which the directory has the place elsewhere.
    pub extends: bool,
    pub location: Location,
}

const CELL_BYTES: usize = 26;

/// What is added to the length of a record that extends another: no other is so long, so no bit is taken for it.
const DELTA_LENGTHS: u32 = RECORD_UNITS_MAX + 1;

/// A fingerprint and its cell: 8 + 2 bytes of fingerprint; round, segment, kind; offset, length, origin, mark.
#[derive(Clone, Copy)]
struct Packed([u8; CELL_BYTES]);

impl Packed {
    fn new(fingerprint: Fingerprint, cell: &Cell) -> Packed {
        let Location { segment, offset, length } = cell.location;
        assert!(length < DELTA_LENGTHS, "a record is not longer than the longest");
        let length = if cell.extends { length + DELTA_LENGTHS } else { length };
        assert!(
            cell.round >> ROUND_BITS == 0
                && segment >> SEGMENT_BITS == 0
                && offset >> OFFSET_BITS == 0
                && length >> LENGTH_BITS == 0,
            "every field fits into its bits"
        );
        let kind: u64 = match cell.kind {
            Kind::Value => 1,
            Kind::Tombstone => 2,
            Kind::Expiring => 3,
            Kind::Promise => unreachable!("a promise is no entry"),
        };
        let first = cell.round | u64::from(segment) << ROUND_BITS | kind << (ROUND_BITS + SEGMENT_BITS);
        let second = u64::from(offset)
            | u64::from(length) << OFFSET_BITS
            | u64::from(cell.origin) << (OFFSET_BITS + LENGTH_BITS)
            | u64::from(cell.marked) << 63;
        let mut bytes = [0; CELL_BYTES];
        bytes[..8].copy_from_slice(&fingerprint.hi.to_le_bytes());
        bytes[8..10].copy_from_slice(&fingerprint.lo.to_le_bytes());
        bytes[10..18].copy_from_slice(&first.to_le_bytes());
        bytes[18..].copy_from_slice(&second.to_le_bytes());
        Packed(bytes)
    }

    fn word(&self, at: usize) -> u64 {
        let b = &self.0[at..at + 8];
        u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { hi: self.word(0), lo: u16::from_le_bytes([self.0[8], self.0[9]]) }
    }

    fn cell(&self) -> Cell {
        let (first, second) = (self.word(10), self.word(18));
        let bits = |word: u64, from: u32, count: u32| word >> from & ((1 << count) - 1);
        let length = bits(second, OFFSET_BITS, LENGTH_BITS) as u32;
        let extends = length >= DELTA_LENGTHS;
        Cell {
            round: bits(first, 0, ROUND_BITS),
            origin: bits(second, OFFSET_BITS + LENGTH_BITS, 16) as u16,
            kind: match first >> (ROUND_BITS + SEGMENT_BITS) {
                2 => Kind::Tombstone,
                3 => Kind::Expiring,
                _ => Kind::Value,
            },
            marked: second >> 63 == 1,
            extends,
            location: Location {
                segment: bits(first, ROUND_BITS, SEGMENT_BITS) as u16,
                offset: bits(second, 0, OFFSET_BITS) as u32,
                length: if extends { length - DELTA_LENGTHS } else { length },
            },
        }
    }
}

/// Entries in order.
type Entries = Vec<Packed>;

/// Entries from `low` on.
struct Leaf {
    low: Fingerprint,
    entries: Entries,
}

/// Looks where the fingerprint should lie among entries that begin at `from`, for they are spread evenly, and walks from there:
/// one or two lines of memory are touched, where halving touches one for each step. `below` is where the next leaf begins.
fn find(entries: &[Packed], fingerprint: Fingerprint, from: u64, below: u64) -> Result<usize, usize> {
    let before = |at: usize| entries[at].fingerprint() <= fingerprint;
    let count = entries.len();
    let mut at = expected(fingerprint.hi.saturating_sub(from), below.saturating_sub(from), count);
    while at < count && before(at) {
        at += 1;
    }
    while at > 0 && !before(at - 1) {
        at -= 1;
    }
    match at.checked_sub(1) {
        Some(last) if entries[last].fingerprint() == fingerprint => Ok(last),
        _ => Err(at),
    }
}

/// Of `count` entries that are spread over `whole`, how many should lie in the first `part` of it.
fn expected(part: u64, whole: u64, count: usize) -> usize {
    if whole == u64::MAX {
        return ((u128::from(part) * count as u128) >> 64) as usize;
    }
    // Without the lower bits the product fits a word: a leaf has fewer entries than they count.
    let (part, whole) = (part >> SPREAD_BITS, (whole >> SPREAD_BITS).max(1));
    ((part * count as u64 / whole) as usize).min(count)
}

/// Bits that do not matter for where an entry should lie.
const SPREAD_BITS: u32 = 16;
const _: () = assert!(LEAF_ENTRIES_MAX < 1 << SPREAD_BITS);

fn insert(entries: &mut Entries, at: usize, packed: Packed) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(LEAF_GROWTH);
    }
    entries.insert(at, packed);
}

/// The table of one slot. Most have one leaf, which is reached without a step over the list of leaves; and the table is so small that a
/// slot fits into a line of memory.
#[derive(Default)]
pub(crate) struct Table {
    first: Entries,
    /// What does not fit into the first leaf, in order.
    #[allow(clippy::box_collection, reason = "a pointer, where a list would take three words of each slot")]
    more: Option<Box<Vec<Leaf>>>,
}

impl Table {
    /// A table with nothing in it.
    pub const EMPTY: Table = Table { first: Vec::new(), more: None };

    fn more(&self) -> &[Leaf] {
        self.more.as_deref().map_or(&[], |more| more)
    }

    /// The leaf whose range holds the fingerprint: 0 is the first, and the place in it.
    fn seek(&self, fingerprint: Fingerprint) -> (usize, Result<usize, usize>) {
        let more = self.more();
        if more.is_empty() {
            return (0, find(&self.first, fingerprint, 0, u64::MAX));
        }
        let index = more.partition_point(|leaf| leaf.low <= fingerprint);
        let below = more.get(index).map_or(u64::MAX, |next| next.low.hi);
        match index.checked_sub(1).map(|index| &more[index]) {
            None => (0, find(&self.first, fingerprint, 0, below)),
            Some(leaf) => (index, find(&leaf.entries, fingerprint, leaf.low.hi, below)),
        }
    }

    fn entries(&self, index: usize) -> &Entries {
        match index.checked_sub(1) {
            None => &self.first,
            Some(index) => &self.more()[index].entries,
        }
    }

    fn entries_mut(&mut self, index: usize) -> &mut Entries {
        match (index.checked_sub(1), &mut self.more) {
            (None, _) => &mut self.first,
            (Some(index), Some(more)) => &mut more[index].entries,
            (Some(_), None) => panic!("a leaf that was found is there"),
        }
    }

    pub fn find(&self, fingerprint: Fingerprint) -> Option<Cell> {
        let (index, found) = self.seek(fingerprint);
        found.ok().map(|at| self.entries(index)[at].cell())
    }

    /// Reads the line of memory that tells where the entries are; [`Table::touch_entries`] then reads the one in which the
    /// fingerprint should lie. Done for many keys before anything else is done with them, the waits for memory overlap.
    pub fn touch_leaf(&self) -> usize {
        self.first.len()
    }

    /// See [`Table::touch_leaf`]. Says nothing.
    pub fn touch_entries(&self, fingerprint: Fingerprint) -> u64 {
        // The entry is seldom further away than two from where it should lie.
        let at = expected(fingerprint.hi, u64::MAX, self.first.len());
        let word = |at: usize| self.first.get(at).map_or(0, |packed| packed.word(0));
        word(at.saturating_sub(2)).wrapping_add(word(at + 1)).wrapping_add(word(at))
    }

    /// Puts the cell there that `choose` makes of the one that is there; None leaves all as it is. Says whether one was put.
    pub fn put(
        &mut self,
        fingerprint: Fingerprint,
        choose: impl FnOnce(Option<Cell>) -> Option<Cell>,
    ) -> bool {
        let (index, found) = self.seek(fingerprint);
        let entries = self.entries_mut(index);
        let Some(cell) = choose(found.ok().map(|at| entries[at].cell())) else { return false };
        let packed = Packed::new(fingerprint, &cell);
        match found {
            Ok(at) => entries[at] = packed,
            Err(at) => {
                insert(entries, at, packed);
                if entries.len() >= LEAF_ENTRIES_MAX {
                    self.split(index);
                }
            }
        }
        true
    }

    /// Changes the cell where it lies, if it is there.
    pub fn change(&mut self, fingerprint: Fingerprint, change: impl FnOnce(Cell) -> Option<Cell>) {
        let (index, Ok(at)) = self.seek(fingerprint) else { return };
        let packed = &mut self.entries_mut(index)[at];
        if let Some(cell) = change(packed.cell()) {
            *packed = Packed::new(fingerprint, &cell);
        }
    }

    /// Makes tombstones of all values, where they lie.
    pub fn end_values(&mut self) {
        let more = self.more.iter_mut().flat_map(|more| more.iter_mut()).map(|leaf| &mut leaf.entries);
        for packed in std::iter::once(&mut self.first).chain(more).flatten() {
            let cell = packed.cell();
            if cell.kind != Kind::Tombstone {
                *packed = Packed::new(packed.fingerprint(), &Cell { kind: Kind::Tombstone, ..cell });
            }
        }
    }

    fn split(&mut self, index: usize) {
        let entries = self.entries_mut(index);
        let upper = entries.split_off(LEAF_ENTRIES_MAX / 2);
        entries.shrink_to(LEAF_ENTRIES_MAX / 2 + LEAF_GROWTH);
        let low = upper[0].fingerprint();
        let more = self.more.get_or_insert_default();
        more.reserve_exact(1);
        more.insert(index, Leaf { low, entries: upper });
    }

    /// Takes the cell out.
    pub fn remove(&mut self, fingerprint: Fingerprint) -> Option<Cell> {
        let (index, Ok(at)) = self.seek(fingerprint) else { return None };
        let entries = self.entries_mut(index);
        let cell = entries.remove(at).cell();
        if entries.is_empty() {
            *entries = Vec::new();
            if let (Some(index), Some(more)) = (index.checked_sub(1), &mut self.more) {
                more.remove(index);
                if more.is_empty() {
                    self.more = None;
                }
            }
        } else if entries.capacity() > 2 * entries.len() + LEAF_GROWTH {
            entries.shrink_to(entries.len() + LEAF_GROWTH);
        }
        Some(cell)
    }

    /// Entries in order, from `from` on.
    pub fn range(&self, from: Fingerprint) -> impl Iterator<Item = (Fingerprint, Cell)> + '_ {
        let (first, _) = self.seek(from);
        std::iter::once(&self.first)
            .chain(self.more().iter().map(|leaf| &leaf.entries))
            .skip(first)
            .flat_map(|entries| entries.iter())
            .map(|packed| (packed.fingerprint(), packed))
            .skip_while(move |(fingerprint, _)| *fingerprint < from)
            .map(|(fingerprint, packed)| (fingerprint, packed.cell()))
    }

    /// Bytes that the table has asked the allocator for.
    pub fn heap_bytes(&self) -> usize {
        let leaves = std::iter::once(&self.first).chain(self.more().iter().map(|leaf| &leaf.entries));
        let entries: usize = leaves.map(|entries| entries.capacity() * CELL_BYTES).sum();
        let more = |more: &Vec<Leaf>| size_of::<Vec<Leaf>>() + more.capacity() * size_of::<Leaf>();
        entries + self.more.as_deref().map_or(0, more)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reactor::rng::Rng;

    use super::*;
    use crate::limits::DELTA_UNITS_MAX;

    fn cell(rng: &mut Rng) -> Cell {
        let extends = rng.coin();
        let most = if extends { DELTA_UNITS_MAX } else { RECORD_UNITS_MAX };
        let length = if rng.coin() { most } else { rng.below(u64::from(most)) as u32 };
        Cell {
            round: rng.below(1 << ROUND_BITS),
            origin: rng.next_u64() as u16,
            kind: [Kind::Value, Kind::Expiring, Kind::Tombstone][rng.below(3) as usize],
            marked: rng.coin(),
            extends,
            location: Location {
                segment: rng.below(1 << SEGMENT_BITS) as u16,
                offset: rng.below(1 << OFFSET_BITS) as u32,
                length,
            },
        }
    }

    #[test]
    fn packing_loses_nothing() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            let fingerprint = Fingerprint { hi: rng.next_u64(), lo: rng.next_u64() as u16 };
            let cell = cell(&mut rng);
            let packed = Packed::new(fingerprint, &cell);
            assert_eq!((packed.fingerprint(), packed.cell()), (fingerprint, cell));
        }
    }

    /// A twin: the table against an ordered map. Few distinct upper bits in some, so that leaves share them.
    #[test]
    fn it_does_what_an_ordered_map_does() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let spread = [2, 50, u64::MAX][seed as usize % 3];
            for _ in 0..4000 {
                let fingerprint = Fingerprint { hi: rng.below(spread), lo: rng.below(800) as u16 };
                if rng.below(3) == 0 {
                    assert_eq!(table.remove(fingerprint), model.remove(&fingerprint));
                } else {
                    let cell = cell(&mut rng);
                    let mut before = None;
                    let mut swap = |old| {
                        before = old;
                        Some(cell)
                    };
                    assert!(table.put(fingerprint, &mut swap));
                    assert_eq!(before, model.insert(fingerprint, cell));
                    assert!(!table.put(fingerprint, |_| None));
                }
                let probe = Fingerprint { hi: rng.below(spread), lo: rng.below(800) as u16 };
                assert_eq!(table.find(probe), model.get(&probe).copied());
            }
            let from = Fingerprint { hi: rng.below(spread), lo: 400 };
            let listed: Vec<_> = table.range(from).collect();
            let expected: Vec<_> = model.range(from..).map(|(&f, &c)| (f, c)).collect();
            assert_eq!(listed, expected);
            for fingerprint in model.keys() {
                assert!(table.remove(*fingerprint).is_some());
            }
            assert_eq!(table.range(Fingerprint::MIN).count(), 0);
            assert_eq!(table.heap_bytes(), 0, "an empty table gives its memory back");
        }
    }
}
