//! The key directory: what every key's newest durable record is, and where it lies.
//!
//! The one rule: the greatest stamp wins, not the position in the log. So records may be taken in any order, any number
//! of times, from segments and hints alike, and the result is the same.
//!
//! Values of an older era count as tombstones. When an era begins nothing is walked over: a slot knows the era up to which its kinds are true,
//! what is asked of one that is behind is answered as of now, and the first record that it takes brings it up.

mod deltas;

use std::collections::BTreeMap;
use std::rc::Rc;

use reactor::mutants::planted;

use deltas::{Chains, FoundDeltas};

use crate::fingerprint::{Fingerprint, Keyed};
use crate::limits::{GATHERED_MAX, PAGE_SLOTS, SLOTS};
use crate::origins::Origins;
use crate::segments::Segments;
use crate::table::{Cell, Location, Table};
use crate::types::{Entry, Info, Kind, SlotEntry, SlotSummary, Stamp};

/// A key by what stands for it: its slot and its fingerprint.
pub type KeyRef = (u16, Fingerprint);

/// One line of memory: what is asked of a slot costs one wait, or two with the entry.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    table: Table,
    keys: u32,
    expiring: u32,
    records: u32,
    /// Values of older eras are tombstones in it.
    era: u32,
    sum: u128,
}

const _: () = assert!(size_of::<Slot>() == 64);

/// What a slot is that nothing was ever put into.
static EMPTY: Slot = Slot { table: Table::EMPTY, keys: 0, expiring: 0, records: 0, era: 0, sum: 0 };

/// Something for each slot, in pages that are made when one of theirs is first written: a core that owns few slots, or holds few
/// keys, neither takes room for all of them nor walks over them.
struct PerSlot<T>(Box<[Vec<T>]>);

impl<T: Default> PerSlot<T> {
    fn new() -> PerSlot<T> {
        PerSlot(std::iter::repeat_with(Vec::new).take(SLOTS / PAGE_SLOTS).collect())
    }

    fn get_mut(&mut self, slot: u16) -> &mut T {
        let slot = usize::from(slot);
        let page = &mut self.0[slot / PAGE_SLOTS];
        if page.is_empty() {
            page.resize_with(PAGE_SLOTS, T::default);
        }
        &mut page[slot % PAGE_SLOTS]
    }

    /// What there is, each with its slot.
    fn into_slots(self) -> impl Iterator<Item = (u16, T)> {
        let pages = self.0.into_vec().into_iter().zip((0..SLOTS).step_by(PAGE_SLOTS));
        pages.flat_map(|(page, first)| page.into_iter().zip(first..).map(|(of, slot)| (slot as u16, of)))
    }
}

impl PerSlot<Slot> {
    fn get(&self, slot: u16) -> &Slot {
        let slot = usize::from(slot);
        self.0[slot / PAGE_SLOTS].get(slot % PAGE_SLOTS).unwrap_or(&EMPTY)
    }

    /// Those of a range whose page is there, in order.
    fn present(&self, first: u16, last: u16) -> impl Iterator<Item = &Slot> {
        let (first, last) = (usize::from(first), usize::from(last));
        let pages = self
            .0
            .iter()
            .enumerate()
            .skip(first / PAGE_SLOTS)
            .take_while(move |(at, _)| at * PAGE_SLOTS <= last);
        pages.flat_map(move |(at, page)| {
            let base = at * PAGE_SLOTS;
            page.iter()
                .enumerate()
                .filter(move |(index, _)| (first..=last).contains(&(base + index)))
                .map(|(_, slot)| slot)
        })
    }
}

/// A promise above its key's stamp.
#[derive(Clone, Copy)]
struct Promised {
    stamp: Stamp,
    location: Location,
}

/// A named value.
struct Meta {
    round: u64,
    bytes: Rc<[u8]>,
    location: Location,
}

/// What a key's records up to these stamps are: gone.
#[derive(Clone, Copy, Default)]
struct Removed {
    entry: Stamp,
    promised: Stamp,
}

/// A value or tombstone that recovery has found.
struct FoundEntry {
    fingerprint: Fingerprint,
    round: u64,
    /// Interned, and counted once for this.
    origin: u16,
    kind: Kind,
    era: u32,
    location: Location,
}

/// What recovery needs until its end.
struct Recovering {
    /// Removals seen so far.
    removed: BTreeMap<KeyRef, Removed>,
    /// Entries not taken yet. Taken one by one as they lie in the log, each would wait for memory several times; of one slot, side by
    /// side, they find its table in the processor's caches.
    gathered: PerSlot<Vec<FoundEntry>>,
    deltas: FoundDeltas,
}

/// The key directory of one core.
pub(crate) struct Directory {
    slots: PerSlot<Slot>,
    /// Of keys whose newest record extends another.
    chains: Chains,
    origins: Origins,
    promises: BTreeMap<KeyRef, Promised>,
    metas: BTreeMap<u8, Meta>,
    /// While recovery takes records out of order.
    recovering: Option<Box<Recovering>>,
    entries: u64,
    /// Of slots that are not behind the era.
    keys: u64,
    era: u32,
    round_max: u64,
}

impl Directory {
    /// An empty directory, ready for recovery.
    pub fn new() -> Directory {
        Directory {
            slots: PerSlot::new(),
            chains: Chains::default(),
            origins: Origins::default(),
            promises: BTreeMap::new(),
            metas: BTreeMap::new(),
            recovering: Some(Box::new(Recovering {
                removed: BTreeMap::new(),
                gathered: PerSlot::new(),
                deltas: FoundDeltas::default(),
            })),
            entries: 0,
            keys: 0,
            era: 0,
            round_max: 0,
        }
    }

    /// Recovery has found everything: records now come in the order of the log. Only now it is known what extends what, and which removals
    /// took effect: one whose key has a newer entry found that entry in its way, and left the promise alone too. Says where a
    /// record lies whose base is nowhere.
    pub fn recovered(&mut self, segments: &mut Segments, keyed: &Keyed) -> Result<(), (Location, String)> {
        self.take_all(segments, keyed);
        self.take_deltas(segments, keyed)?;
        let removed = self.recovering.take().map(|recovering| recovering.removed);
        for (key, removed) in removed.unwrap_or_default() {
            if !self.contains(key) {
                self.drop_promise(segments, key, removed.promised.max(removed.entry));
            }
        }
        Ok(())
    }

    /// Recovery has found a value or tombstone. It is taken with others of its slot, at the end of recovery at the latest.
    pub fn find_entry(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
        (slot, fingerprint): KeyRef,
        (stamp, kind, era): (Stamp, Kind, u32),
        location: Location,
    ) -> Result<(), String> {
        let pair = (stamp.node, stamp.incarnation);
        if !self.origins.has_room(pair) {
            // Some belong to what is gathered and will not be kept.
            self.take_all(segments, keyed);
        }
        let Some(origin) = self.origins.acquire(pair) else {
            return Err("more origins of stamps than can be kept".to_owned());
        };
        let recovering = self.recovering.as_mut().expect("only recovery finds records");
        let gathered = recovering.gathered.get_mut(slot);
        gathered.push(FoundEntry { fingerprint, round: stamp.round, origin, kind, era, location });
        if gathered.len() == GATHERED_MAX {
            let found = std::mem::replace(gathered, Vec::with_capacity(GATHERED_MAX));
            self.take_entries(segments, keyed, slot, found);
        }
        Ok(())
    }

    fn take_all(&mut self, segments: &mut Segments, keyed: &Keyed) {
        let Some(recovering) = &mut self.recovering else { return };
        let gathered = std::mem::replace(&mut recovering.gathered, PerSlot::new());
        for (slot, found) in gathered.into_slots() {
            self.take_entries(segments, keyed, slot, found);
        }
    }

    fn take_entries(&mut self, segments: &mut Segments, keyed: &Keyed, slot: u16, found: Vec<FoundEntry>) {
        for FoundEntry { fingerprint, round, origin, kind, era, location } in found {
            let (node, incarnation) = self.origins.pair(origin);
            let stamp = Stamp { round, node, incarnation };
            self.take_entry(segments, keyed, (slot, fingerprint), (stamp, kind, era), None, location);
            self.origins.release(origin);
        }
    }

    /// Values of older eras are tombstones from now on. Eras only grow.
    pub fn set_era(&mut self, era: u32) {
        if era > self.era {
            self.era = era;
            let current = self.slots.0.iter().flatten().filter(|slot| slot.era >= era);
            self.keys = current.map(|slot| u64::from(slot.keys)).sum();
        }
    }

    pub fn era(&self) -> u32 {
        self.era
    }

    /// The era of all values of a slot that is not behind: those of older ones are tombstones, and the first of a newer one makes them so.
    pub fn slot_era(&self, slot: u16) -> u32 {
        self.slots.get(slot).era
    }

    /// Makes the kinds of a slot true for an era.
    fn begin_era(&mut self, slot: u16, era: u32) {
        let slot = self.slots.get_mut(slot);
        if slot.era < era {
            if slot.era >= self.era {
                self.keys -= u64::from(slot.keys);
            }
            if slot.keys > 0 {
                slot.table.end_values();
            }
            (slot.era, slot.keys, slot.expiring) = (era, 0, 0);
        }
    }

    /// Keys with a value.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn promises(&self) -> usize {
        self.promises.len()
    }

    pub fn round_max(&self) -> u64 {
        self.round_max
    }

    /// Whether the origin of a stamp can be interned.
    pub fn has_room_for(&self, stamp: Stamp) -> bool {
        self.origins.has_room((stamp.node, stamp.incarnation))
    }

    pub fn contains(&self, (slot, fingerprint): KeyRef) -> bool {
        self.slots.get(slot).table.find(fingerprint).is_some()
    }

    pub fn info(&self, key: KeyRef) -> Info {
        let slot = self.slots.get(key.0);
        let entry = slot.table.find(key.1).map(|cell| self.entry(slot, &cell));
        let promised = if self.promises.is_empty() { None } else { self.promises.get(&key).map(|p| p.stamp) };
        Info { entry, promised }
    }

    /// Brings what is known of these keys into the processor's caches, all at once: with millions of keys each look
    /// would wait for memory three times, one look after the other.
    pub fn warm(&self, keys: impl Iterator<Item = KeyRef> + Clone) {
        let leaves: usize = keys
            .clone()
            .map(|(slot, _)| self.slots.get(slot).table.touch_leaf())
            .fold(0, usize::wrapping_add);
        let entries: u64 = keys
            .map(|(slot, fingerprint)| self.slots.get(slot).table.touch_entries(fingerprint))
            .fold(0, u64::wrapping_add);
        std::hint::black_box((leaves, entries));
    }

    /// The entry and where its record lies.
    pub fn find(&self, (slot, fingerprint): KeyRef) -> Option<(Entry, Location)> {
        let slot = self.slots.get(slot);
        let cell = slot.table.find(fingerprint)?;
        Some((self.entry(slot, &cell), cell.location))
    }

    fn stamp(&self, cell: &Cell) -> Stamp {
        stamp_in(&self.origins, cell)
    }

    fn entry(&self, slot: &Slot, cell: &Cell) -> Entry {
        Entry {
            stamp: self.stamp(cell),
            kind: if slot.era < self.era { Kind::Tombstone } else { cell.kind },
            marked: cell.marked,
            delta: cell.extends,
            bytes: cell.location.bytes() as u32,
        }
    }

    /// Sets the mark if the entry still has this stamp.
    pub fn mark(&mut self, (slot, fingerprint): KeyRef, stamp: Stamp) {
        let Directory { slots, origins, .. } = self;
        slots.get_mut(slot).table.change(fingerprint, |cell| {
            let fits = stamp_in(origins, &cell) == stamp && !cell.marked;
            fits.then_some(Cell { marked: true, ..cell })
        });
    }

    pub fn summary(&self, slot: u16) -> SlotSummary {
        let Slot { keys, expiring, records, era, sum, .. } = self.slots.get(slot);
        let (keys, expiring) = if *era < self.era { (0, 0) } else { (*keys, *expiring) };
        SlotSummary { keys, expiring, records: *records, sum: *sum }
    }

    /// The sum over a range of slots, both ends included.
    pub fn range_sum(&self, first: u16, last: u16) -> u128 {
        self.slots.present(first, last).fold(0, |sum, slot| sum.wrapping_add(slot.sum))
    }

    pub fn slot_entries(&self, slot: u16, from: Fingerprint, max: usize) -> Vec<SlotEntry> {
        let slot = self.slots.get(slot);
        let listed = slot.table.range(from).take(max);
        listed.map(|(fingerprint, cell)| (fingerprint, self.entry(slot, &cell))).collect()
    }

    /// Takes a durable value or tombstone. True if it is now the key's newest record. One with a base extends what was that, which
    /// stays.
    pub fn take_entry(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
        key: KeyRef,
        (stamp, kind, era): (Stamp, Kind, u32),
        base: Option<Stamp>,
        location: Location,
    ) -> bool {
        self.round_max = self.round_max.max(stamp.round);
        if self.removal(key).is_some_and(|removed| stamp <= removed.entry) {
            return false;
        }
        let (slot, fingerprint) = key;
        self.begin_era(slot, era.max(self.era));
        let kind = if era < self.slots.get(slot).era { Kind::Tombstone } else { kind };
        let Directory { slots, origins, .. } = self;
        let mut old = None;
        let took = slots.get_mut(slot).table.put(fingerprint, |found| {
            if found.as_ref().is_some_and(|old| (stamp_in(origins, old) >= stamp) != planted(206)) {
                return None;
            }
            old = found;
            let origin = origins
                .acquire((stamp.node, stamp.incarnation))
                .expect("there is room for the origin of every record that was taken");
            Some(Cell { round: stamp.round, origin, kind, marked: false, extends: base.is_some(), location })
        });
        if !took {
            return false;
        }
        match (old, base) {
            (Some(old), None) => self.forget_cell(segments, keyed, key, &old),
            (old, Some(base)) => self.extend(keyed, key, old, (base, era), location),
            (None, None) => self.entries += 1,
        }
        let slot = self.slots.get_mut(slot);
        slot.records += 1;
        slot.expiring += u32::from(kind == Kind::Expiring);
        slot.keys += u32::from(kind != Kind::Tombstone);
        self.keys += u64::from(kind != Kind::Tombstone);
        slot.sum = slot.sum.wrapping_add(keyed.term(fingerprint, stamp));
        segments.born(location);
        self.drop_promise(segments, key, stamp);
        true
    }

    /// Uncounts a cell that is replaced or removed, with all that its record extends.
    fn forget_cell(&mut self, segments: &mut Segments, keyed: &Keyed, key: KeyRef, cell: &Cell) {
        self.uncount(keyed, key, cell);
        segments.died(cell.location);
        if cell.extends {
            self.chains.end(segments, key);
        }
    }

    /// Uncounts a cell that is the key's newest no more.
    fn uncount(&mut self, keyed: &Keyed, key: KeyRef, cell: &Cell) {
        let stamp = self.stamp(cell);
        let slot = self.slots.get_mut(key.0);
        slot.records -= 1;
        slot.expiring -= u32::from(cell.kind == Kind::Expiring);
        slot.keys -= u32::from(cell.kind != Kind::Tombstone);
        self.keys -= u64::from(cell.kind != Kind::Tombstone);
        slot.sum = slot.sum.wrapping_sub(keyed.term(key.1, stamp));
        self.origins.release(cell.origin);
    }

    /// Drops the promise if it does not stand above this stamp.
    fn drop_promise(&mut self, segments: &mut Segments, key: KeyRef, stamp: Stamp) {
        if self.promises.is_empty() {
            return;
        }
        let goes = |promised: &Promised| promised.stamp <= stamp || planted(208);
        if let Some(promised) = self.promises.get(&key).copied().filter(goes) {
            self.promises.remove(&key);
            segments.died(promised.location);
        }
    }

    /// Takes a durable promise. True if it is now the key's promise.
    pub fn take_promise(&mut self, segments: &mut Segments, key: KeyRef, stamp: Stamp, at: Location) -> bool {
        self.round_max = self.round_max.max(stamp.round);
        let info = self.info(key);
        let covered = info.entry.is_some_and(|entry| entry.stamp >= stamp);
        if covered || info.promised.is_some_and(|promised| promised >= stamp && !planted(207)) {
            return false;
        }
        if let Some(old) = self.promises.insert(key, Promised { stamp, location: at }) {
            segments.died(old.location);
        }
        segments.born(at);
        true
    }

    /// Takes a durable removal: the entry up to `stamp` goes, and the promise up to `promised`. Neither does if a newer
    /// entry was durable first. In recovery, which takes records out of order, the promise waits for its end.
    pub fn take_remove(
        &mut self,
        segments: &mut Segments,
        keyed: &Keyed,
        key: KeyRef,
        stamp: Stamp,
        promised: Stamp,
    ) -> bool {
        self.round_max = self.round_max.max(stamp.round).max(promised.round);
        if let Some(recovering) = &mut self.recovering {
            let removed = recovering.removed.entry(key).or_default();
            removed.entry = removed.entry.max(stamp);
            removed.promised = removed.promised.max(promised);
        }
        let cell = self.slots.get(key.0).table.find(key.1);
        if cell.as_ref().is_some_and(|cell| self.stamp(cell) > stamp) {
            return false;
        }
        if self.recovering.is_none() {
            self.drop_promise(segments, key, promised.max(stamp));
        }
        if cell.is_none() {
            return false;
        }
        self.begin_era(key.0, self.era);
        let Some(cell) = self.slots.get_mut(key.0).table.remove(key.1) else { return false };
        self.forget_cell(segments, keyed, key, &cell);
        self.entries -= 1;
        true
    }

    /// Takes a durable named value. True if it is now the newest.
    pub fn take_meta(
        &mut self,
        segments: &mut Segments,
        id: u8,
        round: u64,
        bytes: &[u8],
        at: Location,
    ) -> bool {
        if self.metas.get(&id).is_some_and(|old| old.round >= round) {
            return false;
        }
        if let Some(old) = self.metas.insert(id, Meta { round, bytes: Rc::from(bytes), location: at }) {
            segments.died(old.location);
        }
        segments.born(at);
        true
    }

    pub fn meta(&self, id: u8) -> Option<&[u8]> {
        self.metas.get(&id).map(|meta| &*meta.bytes)
    }

    pub fn meta_round(&self, id: u8) -> u64 {
        self.metas.get(&id).map_or(0, |meta| meta.round)
    }

    /// The promise's stamp, if the promise record that counts lies there.
    pub fn promise_at(&self, key: KeyRef) -> Option<Location> {
        self.promises.get(&key).map(|promised| promised.location)
    }

    pub fn meta_at(&self, id: u8) -> Option<Location> {
        self.metas.get(&id).map(|meta| meta.location)
    }

    /// Whether a removal is still needed against older records of its key. A newer record makes it needless.
    pub fn needs_removal(&self, (slot, fingerprint): KeyRef, stamp: Stamp) -> bool {
        let cell = self.slots.get(slot).table.find(fingerprint);
        cell.is_none_or(|cell| self.stamp(&cell) <= stamp)
    }

    /// A copy of the entry's record, or of one that it extends, is durable: points there if the original still counts.
    pub fn move_entry(&mut self, segments: &mut Segments, key: KeyRef, from: Location, to: Location) {
        let mut extends = false;
        self.slots.get_mut(key.0).table.change(key.1, |cell| {
            if cell.location != from && !planted(209) {
                extends = cell.extends;
                return None;
            }
            segments.died(cell.location);
            segments.born(to);
            Some(Cell { location: to, ..cell })
        });
        if extends {
            self.chains.move_part(segments, key, from, to);
        }
    }

    /// As [`Directory::move_entry`], for a promise.
    pub fn move_promise(&mut self, segments: &mut Segments, key: KeyRef, from: Location, to: Location) {
        if let Some(promised) = self.promises.get_mut(&key).filter(|promised| promised.location == from) {
            promised.location = to;
            segments.died(from);
            segments.born(to);
        }
    }

    /// As [`Directory::move_entry`], for a named value.
    pub fn move_meta(&mut self, segments: &mut Segments, id: u8, from: Location, to: Location) {
        if let Some(meta) = self.metas.get_mut(&id).filter(|meta| meta.location == from) {
            meta.location = to;
            segments.died(from);
            segments.born(to);
        }
    }

    fn removal(&self, key: KeyRef) -> Option<Removed> {
        let removed = &self.recovering.as_ref()?.removed;
        if removed.is_empty() {
            return None;
        }
        removed.get(&key).copied()
    }

    /// Bytes of RAM that the directory takes, the allocator's own overhead left out.
    pub fn ram_bytes(&self) -> usize {
        let pages =
            self.slots.0.iter().map(|page| page.capacity() * size_of::<Slot>() + size_of::<Vec<Slot>>());
        let slots = self.slots.0.iter().flatten();
        let tables = slots.map(|slot| slot.table.heap_bytes());
        pages.sum::<usize>() + tables.sum::<usize>() + self.chains.ram_bytes()
    }
}

/// The stamp of a cell.
fn stamp_in(origins: &Origins, cell: &Cell) -> Stamp {
    let (node, incarnation) = origins.pair(cell.origin);
    Stamp { round: cell.round, node, incarnation }
}
