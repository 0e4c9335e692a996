//! The table of one slot: fingerprint → packed entry, 26 bytes each, in fingerprint order.
//!
//! A sorted list of small sorted leaves. Fingerprints are even, so leaves fill evenly and a place can be guessed; a leaf grows a few entries at a
//! time and is split in two at its bound, so no insertion ever moves more than a leaf, however many keys one tag puts
//! into one slot. Against open addressing this wastes less (93 % full on average, not 80 %) and a walk in order, which
//! SCAN and digests need, costs nothing.

use crate::fingerprint::Fingerprint;
use crate::limits::{LEAF_ENTRIES_MAX, LEAF_GROWTH, LENGTH_BITS, OFFSET_BITS, ROUND_BITS, SEGMENT_BITS};

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
    pub tombstone: bool,
    pub marked: bool,
    pub location: Location,
}

const CELL_BYTES: usize = 26;

/// A fingerprint and its cell: 8 + 2 bytes of fingerprint; round, segment, kind; offset, length, origin, mark.
#[derive(Clone, Copy)]
struct Packed([u8; CELL_BYTES]);

impl Packed {
    fn new(fingerprint: Fingerprint, cell: &Cell) -> Packed {
        let Location { segment, offset, length } = cell.location;
        assert!(
            cell.round >> ROUND_BITS == 0
                && segment >> SEGMENT_BITS == 0
                && offset >> OFFSET_BITS == 0
                && length >> LENGTH_BITS == 0,
            "every field fits into its bits"
        );
        let kind = if cell.tombstone { 2 } else { 1 };
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
        Cell {
            round: bits(first, 0, ROUND_BITS),
            origin: bits(second, OFFSET_BITS + LENGTH_BITS, 16) as u16,
            tombstone: first >> (ROUND_BITS + SEGMENT_BITS) == 2,
            marked: second >> 63 == 1,
            location: Location {
                segment: bits(first, ROUND_BITS, SEGMENT_BITS) as u16,
                offset: bits(second, 0, OFFSET_BITS) as u32,
                length: bits(second, OFFSET_BITS, LENGTH_BITS) as u32,
            },
        }
    }
}

/// Entries in order. `low` is the first one's fingerprint, so that finding a leaf touches no entries.
#[derive(Default)]
struct Leaf {
    low: Fingerprint,
    entries: Vec<Packed>,
}

impl Leaf {
    /// Looks where the fingerprint should lie, for they are spread evenly, and walks from there: one or two lines of
    /// memory are touched, where halving touches one for each step. `below` is where the next leaf begins.
    fn find(&self, fingerprint: Fingerprint, from: u64, below: u64) -> Result<usize, usize> {
        let before = |at: usize| self.entries[at].fingerprint() <= fingerprint;
        let count = self.entries.len();
        let (part, whole) = (fingerprint.hi.saturating_sub(from), below.saturating_sub(from).max(1));
        let mut at = ((u128::from(part) * count as u128 / u128::from(whole)) as usize).min(count);
        while at < count && before(at) {
            at += 1;
        }
        while at > 0 && !before(at - 1) {
            at -= 1;
        }
        match at.checked_sub(1) {
            Some(last) if self.entries[last].fingerprint() == fingerprint => Ok(last),
            _ => Err(at),
        }
    }

    fn insert(&mut self, at: usize, packed: Packed) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(LEAF_GROWTH);
        }
        self.entries.insert(at, packed);
        self.low = self.entries[0].fingerprint();
    }
}

/// The table of one slot. Most have one leaf, which is reached without a step over the list of leaves.
#[derive(Default)]
pub(crate) struct Table {
    first: Leaf,
    more: Vec<Leaf>,
}

impl Table {
    /// A table with nothing in it.
    pub const EMPTY: Table =
        Table { first: Leaf { low: Fingerprint::MIN, entries: Vec::new() }, more: Vec::new() };

    /// The leaf whose range holds the fingerprint: 0 is the first, and the place in it.
    fn seek(&self, fingerprint: Fingerprint) -> (usize, Result<usize, usize>) {
        let index = self.more.partition_point(|leaf| leaf.low <= fingerprint);
        let leaf = self.leaf(index);
        let from = if index == 0 { 0 } else { leaf.low.hi };
        let below = self.more.get(index).map_or(u64::MAX, |next| next.low.hi);
        (index, leaf.find(fingerprint, from, below))
    }

    fn leaf(&self, index: usize) -> &Leaf {
        match index.checked_sub(1) {
            None => &self.first,
            Some(index) => &self.more[index],
        }
    }

    fn leaf_mut(&mut self, index: usize) -> &mut Leaf {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(index) => &mut self.more[index],
        }
    }

    pub fn find(&self, fingerprint: Fingerprint) -> Option<Cell> {
        let (index, found) = self.seek(fingerprint);
        found.ok().map(|at| self.leaf(index).entries[at].cell())
    }

    /// Reads the line of memory that tells where the entries are; [`Table::touch_entries`] then reads the one in which the
    /// fingerprint should lie. Done for many keys before anything else is done with them, the waits for memory overlap.
    pub fn touch_leaf(&self) -> usize {
        self.first.entries.len()
    }

    /// See [`Table::touch_leaf`]. Says nothing.
    pub fn touch_entries(&self, fingerprint: Fingerprint) -> u64 {
        let entries = &self.first.entries;
        let at = ((u128::from(fingerprint.hi) * entries.len() as u128) >> 64) as usize;
        entries.get(at).map_or(0, |packed| packed.word(0))
    }

    /// Sets the cell; the one it replaces comes back.
    pub fn set(&mut self, fingerprint: Fingerprint, cell: &Cell) -> Option<Cell> {
        let packed = Packed::new(fingerprint, cell);
        let (index, found) = self.seek(fingerprint);
        let leaf = self.leaf_mut(index);
        match found {
            Ok(at) => Some(std::mem::replace(&mut leaf.entries[at], packed).cell()),
            Err(at) => {
                leaf.insert(at, packed);
                if leaf.entries.len() >= LEAF_ENTRIES_MAX {
                    self.split(index);
                }
                None
            }
        }
    }

    /// Changes the cell where it lies, if it is there.
    pub fn change(&mut self, fingerprint: Fingerprint, change: impl FnOnce(Cell) -> Option<Cell>) {
        let (index, Ok(at)) = self.seek(fingerprint) else { return };
        let packed = &mut self.leaf_mut(index).entries[at];
        if let Some(cell) = change(packed.cell()) {
            *packed = Packed::new(fingerprint, &cell);
        }
    }

    fn split(&mut self, index: usize) {
        let leaf = self.leaf_mut(index);
        let upper = leaf.entries.split_off(LEAF_ENTRIES_MAX / 2);
        leaf.entries.shrink_to(LEAF_ENTRIES_MAX / 2 + LEAF_GROWTH);
        let low = upper[0].fingerprint();
        self.more.reserve_exact(1);
        self.more.insert(index, Leaf { low, entries: upper });
    }

    /// Takes the cell out.
    pub fn remove(&mut self, fingerprint: Fingerprint) -> Option<Cell> {
        let (index, Ok(at)) = self.seek(fingerprint) else { return None };
        let leaf = self.leaf_mut(index);
        let cell = leaf.entries.remove(at).cell();
        match (leaf.entries.first(), index.checked_sub(1)) {
            (Some(first), _) => leaf.low = first.fingerprint(),
            (None, Some(index)) => {
                self.more.remove(index);
                return Some(cell);
            }
            (None, None) => *leaf = Leaf { low: Fingerprint::MIN, entries: Vec::new() },
        }
        let leaf = self.leaf_mut(index);
        if leaf.entries.capacity() > 2 * leaf.entries.len() + LEAF_GROWTH {
            leaf.entries.shrink_to(leaf.entries.len() + LEAF_GROWTH);
        }
        Some(cell)
    }

    /// Entries in order, from `from` on.
    pub fn range(&self, from: Fingerprint) -> impl Iterator<Item = (Fingerprint, Cell)> + '_ {
        let (first, _) = self.seek(from);
        std::iter::once(&self.first)
            .chain(&self.more)
            .skip(first)
            .flat_map(|leaf| leaf.entries.iter())
            .map(|packed| (packed.fingerprint(), packed))
            .skip_while(move |(fingerprint, _)| *fingerprint < from)
            .map(|(fingerprint, packed)| (fingerprint, packed.cell()))
    }

    /// Bytes that the table has asked the allocator for.
    pub fn heap_bytes(&self) -> usize {
        let leaves = std::iter::once(&self.first).chain(&self.more);
        let entries: usize = leaves.map(|leaf| leaf.entries.capacity() * CELL_BYTES).sum();
        entries + self.more.capacity() * size_of::<Leaf>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reactor::rng::Rng;

    use super::*;

    fn cell(rng: &mut Rng) -> Cell {
        Cell {
            round: rng.below(1 << ROUND_BITS),
            origin: rng.next_u64() as u16,
            tombstone: rng.coin(),
            marked: rng.coin(),
            location: Location {
                segment: rng.below(1 << SEGMENT_BITS) as u16,
                offset: rng.below(1 << OFFSET_BITS) as u32,
                length: rng.below(1 << LENGTH_BITS) as u32,
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
                    assert_eq!(table.set(fingerprint, &cell), model.insert(fingerprint, cell));
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
        }
    }
}
