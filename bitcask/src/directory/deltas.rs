//! Keys whose newest record extends another: where the records are that it extends, and how recovery finds out.
//!
//! The table of a slot points to the newest record, as for every key; what lies behind it is here, in eight bytes a record, and nothing is here of
//! any other key. A chain's own order is that of its stamps, each base below what extends it, so records are found in any order, as all
//! are, and put together when everything is known.

use std::collections::BTreeMap;

use reactor::mutants::planted;

use super::{Directory, KeyRef};
use crate::fingerprint::Keyed;
use crate::limits::{FOUND_DELTAS_MIN, LENGTH_BITS, OFFSET_BITS, SEGMENT_BITS};
use crate::segments::Segments;
use crate::table::{Cell, Location};
use crate::types::{ChainSize, Kind, Stamp};

/// A place in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part(u64);

const _: () = assert!(SEGMENT_BITS + OFFSET_BITS + LENGTH_BITS <= 64, "a place fits into a word");

impl Part {
    fn new(at: Location) -> Part {
        let above = u64::from(at.segment) << OFFSET_BITS | u64::from(at.offset);
        Part(above << LENGTH_BITS | u64::from(at.length))
    }

    fn location(self) -> Location {
        let above = self.0 >> LENGTH_BITS;
        Location {
            segment: (above >> OFFSET_BITS) as u16,
            offset: (above & ((1 << OFFSET_BITS) - 1)) as u32,
            length: (self.0 & ((1 << LENGTH_BITS) - 1)) as u32,
        }
    }
}

/// What the newest record of a key extends.
#[derive(Default)]
struct Chain {
    /// Where the whole lies, and the deltas that extend it, oldest first, without the newest: one more part for each delta.
    parts: Vec<Part>,
    /// Bytes of all deltas, the newest included.
    bytes: u64,
}

/// The chains of a directory.
#[derive(Default)]
pub(super) struct Chains {
    by_key: BTreeMap<KeyRef, Chain>,
    deltas: u64,
}

impl Chains {
    /// A record of so many bytes extends the one at this place.
    fn extend(&mut self, key: KeyRef, old: Location, bytes: u64) {
        let chain = self.by_key.entry(key).or_default();
        chain.parts.push(Part::new(old));
        chain.bytes += bytes;
        self.deltas += 1;
    }

    /// Nothing extends the key's records any more.
    pub fn end(&mut self, segments: &mut Segments, key: KeyRef) {
        let chain = self.by_key.remove(&key).expect("what extends a record has a chain");
        self.deltas -= chain.parts.len() as u64;
        chain.parts.iter().for_each(|part| segments.died(part.location()));
    }

    /// A copy of a part is durable: points there if the original still counts.
    pub fn move_part(&mut self, segments: &mut Segments, key: KeyRef, from: Location, to: Location) {
        let chain = self.by_key.get_mut(&key).expect("what extends a record has a chain");
        if let Some(part) = chain.parts.iter_mut().find(|part| **part == Part::new(from)) {
            *part = Part::new(to);
            segments.died(from);
            segments.born(to);
        }
    }

    /// Bytes of RAM, about: a map's leaves are two thirds full.
    pub fn ram_bytes(&self) -> usize {
        let entries = self.by_key.len() * size_of::<(KeyRef, Chain)>() * 3 / 2;
        let parts = self.by_key.values().map(|chain| chain.parts.capacity() * size_of::<Part>());
        entries + parts.sum::<usize>()
    }
}

/// A record that extends another, as recovery has found it.
struct FoundDelta {
    key: KeyRef,
    stamp: Stamp,
    base: Stamp,
    kind: Kind,
    era: u32,
    location: Location,
}

/// All of them, some more than once.
#[derive(Default)]
pub(super) struct FoundDeltas {
    list: Vec<FoundDelta>,
    /// How many of them were left when it was last looked which are needed.
    kept: usize,
}

impl Directory {
    /// The key's newest record, if it is a value, and the chain that ends with it.
    pub fn newest_value(&self, key: KeyRef) -> Option<(Stamp, ChainSize)> {
        let (entry, location) = self.find(key).filter(|(entry, _)| entry.kind != Kind::Tombstone)?;
        let alone = ChainSize { whole: location.bytes(), ..ChainSize::default() };
        Some((entry.stamp, if entry.delta { self.chain(key)? } else { alone }))
    }

    /// Of a key whose newest record is a delta.
    pub fn chain(&self, key: KeyRef) -> Option<ChainSize> {
        let Chain { parts, bytes } = self.chains.by_key.get(&key)?;
        let whole = parts.first().map_or(0, |part| part.location().bytes());
        Some(ChainSize { deltas: parts.len() as u32, bytes: *bytes, whole })
    }

    /// Keys whose newest record is a delta, and all deltas of these.
    pub fn chains(&self) -> (u64, u64) {
        (self.chains.by_key.len() as u64, self.chains.deltas)
    }

    /// Where the records lie that the newest of the key extends, newest first.
    pub fn extended(&self, key: KeyRef) -> impl Iterator<Item = Location> + '_ {
        let parts = self.chains.by_key.get(&key).map_or(&[][..], |chain| &chain.parts);
        parts.iter().rev().map(|part| part.location())
    }

    /// Whether a value or tombstone at this place is the newest of its key, or one that the newest extends.
    pub fn needs_entry(&self, key: KeyRef, at: Location) -> bool {
        let Some(cell) = self.slots.get(key.0).table.find(key.1) else { return false };
        let is_part = || {
            let chain = self.chains.by_key.get(&key);
            chain.is_some_and(|chain| chain.parts.contains(&Part::new(at)))
        };
        cell.location == at || cell.extends && is_part()
    }

    /// The key's newest record extends what was that.
    pub(super) fn extend(
        &mut self,
        keyed: &Keyed,
        key: KeyRef,
        old: Option<Cell>,
        (base, era): (Stamp, u32),
        location: Location,
    ) {
        let old = old.expect("a delta extends a record that is there");
        // One that an era has overtaken extends what counts as a tombstone, and counts as one.
        let is_over = era < self.slots.get(key.0).era;
        let extended = (self.stamp(&old), old.kind != Kind::Tombstone || is_over);
        assert!(extended == (base, true), "a delta extends the newest record of its key, and a value");
        self.uncount(keyed, key, &old);
        self.chains.extend(key, old.location, location.bytes());
    }

    /// Recovery has found a record that extends another. It is taken when everything was found.
    pub fn find_delta(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
        key: KeyRef,
        (stamp, kind, era): (Stamp, Kind, u32),
        base: Stamp,
        location: Location,
    ) {
        let recovering = self.recovering.as_mut().expect("only recovery finds records");
        let deltas = &mut recovering.deltas;
        deltas.list.push(FoundDelta { key, stamp, base, kind, era, location });
        if deltas.list.len() >= 2 * deltas.kept.max(FOUND_DELTAS_MIN) {
            self.take_all(segments, keyed);
            let list = self.found_deltas();
            let kept = list.len();
            self.recovering.as_mut().expect("only recovery finds records").deltas =
                FoundDeltas { list, kept };
        }
    }

    /// The deltas that were found and may be needed, in the order of their stamps, each once. A whole ends all older ones: none is between a
    /// delta and what it extends, but another form of one of these.
    fn found_deltas(&mut self) -> Vec<FoundDelta> {
        let recovering = self.recovering.as_mut().expect("only recovery finds records");
        let mut list = std::mem::take(&mut recovering.deltas.list);
        list.retain(|delta| {
            let removed = self.removal(delta.key).is_some_and(|removed| delta.stamp <= removed.entry);
            let cell = self.slots.get(delta.key.0).table.find(delta.key.1);
            !removed && cell.is_none_or(|cell| self.stamp(&cell) < delta.stamp)
        });
        list.sort_by_key(|delta| (delta.key, delta.stamp, delta.location));
        list.dedup_by_key(|delta| (delta.key, delta.stamp));
        list
    }

    /// Puts the chains together: everything else was taken.
    pub(super) fn take_deltas(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
    ) -> Result<(), (Location, String)> {
        let found = self.found_deltas();
        found.chunk_by(|a, b| a.key == b.key).try_for_each(|of_key| self.take_chain(segments, keyed, of_key))
    }

    /// Of all that extends some record of a key, takes what the newest of them needs, oldest first.
    fn take_chain(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
        of_key: &[FoundDelta],
    ) -> Result<(), (Location, String)> {
        let Some(newest) = of_key.last() else { return Ok(()) };
        let key = newest.key;
        let whole = self.info(key).entry.map_or(Stamp::ZERO, |entry| entry.stamp);
        let mut chain = vec![newest];
        let mut last = newest;
        // A base is below what extends it, so this comes to an end.
        while last.base != whole && !planted(231) {
            let Ok(at) = of_key.binary_search_by_key(&last.base, |delta| delta.stamp) else {
                let message = format!("what it extends is gone, the record of round {}", last.base.round);
                return Err((last.location, message));
            };
            last = &of_key[at];
            chain.push(last);
        }
        // What an era is over for counts as a tombstone with all that extends it.
        let is_over = newest.era < self.slots.get(key.0).era.max(self.era);
        if !is_over && self.info(key).entry.is_some_and(|entry| entry.kind == Kind::Tombstone) {
            return Err((last.location, "it extends a record without a value".to_owned()));
        }
        for FoundDelta { stamp, base, kind, era, location, .. } in chain.into_iter().rev() {
            if !self.has_room_for(*stamp) {
                return Err((*location, "more origins of stamps than can be kept".to_owned()));
            }
            let base = (!planted(231)).then_some(*base);
            self.take_entry(segments, keyed, key, (*stamp, *kind, *era), base, *location);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_its_parts() {
        let most = |bits: u32| (1_u32 << bits) - 1;
        for segment in [0, 1, most(SEGMENT_BITS) as u16] {
            for (offset, length) in [(0, 1), (5, 7), (most(OFFSET_BITS), most(LENGTH_BITS))] {
                let at = Location { segment, offset, length };
                assert_eq!(Part::new(at).location(), at);
            }
        }
    }
}
