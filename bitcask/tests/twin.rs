//! The engine against an ordered map, with crashes, restarts and failing I/O at every step.
//!
//! The map is told what was appended, in order. Whatever happens, the engine must stand where the map stands after some
//! prefix of that which holds at least everything that was persisted.

use std::collections::{BTreeMap, BTreeSet};

use bitcask::limits::{BASE_BYTES_MIN, DELTAS_MAX, DELTA_PART};
use bitcask::{AppendError, Bitcask, Found, Kind, Lsn, Read, Record, Stamp, Ticket};
use reactor::rng::Rng;
use reactor::sim::{Fault, Latency};

use crate::world::{options, World};

const KEYS: u64 = 40;
const SLOTS: u64 = 4;

#[derive(Clone, Debug)]
enum Change {
    Put { key: u64, stamp: Stamp, kind: Kind, body: Vec<u8> },
    Extend { key: u64, stamp: Stamp, kind: Kind, base: Stamp, body: Vec<u8> },
    Promise { key: u64, stamp: Stamp },
    Remove { key: u64, stamp: Stamp, promised: Stamp },
    Meta { id: u8, bytes: Vec<u8> },
}

/// A key's newest record, and what it extends.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    stamp: Stamp,
    kind: Kind,
    /// Of the whole, where that is another.
    whole: Stamp,
    body: Vec<u8>,
    deltas: Vec<Vec<u8>>,
}

impl Held {
    /// Bytes of its deltas on disk, and of its whole.
    fn bytes(&self, key: u64) -> (u64, u64) {
        let deltas = self.deltas.iter().map(|delta| bytes_of(48, key, delta.len()));
        (deltas.sum(), bytes_of(32, key, self.body.len()))
    }

    fn is_found(&self, found: &Found, newest: bool) -> bool {
        let bodies: Vec<&[u8]> = self.deltas.iter().map(Vec::as_slice).collect();
        let read: Vec<&[u8]> = found.deltas.iter().map(|delta| &**delta).collect();
        let fits = match newest {
            true => *found.body == *self.deltas.last().unwrap_or(&self.body) && read.is_empty(),
            false => *found.body == self.body && read == bodies,
        };
        fits && (found.stamp, found.kind) == (self.stamp, self.kind)
            && found.base.is_some() == (newest && !bodies.is_empty())
    }
}

/// Bytes of a record on disk, with so many before the key.
fn bytes_of(before: usize, key: u64, body: usize) -> u64 {
    (before + name(key).len() + body).next_multiple_of(8) as u64
}

/// The dumb engine.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, Held>,
    promises: BTreeMap<u64, Stamp>,
    metas: BTreeMap<u8, Vec<u8>>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { key, stamp, kind, body } => {
                if self.entries.get(key).is_none_or(|old| old.stamp < *stamp) {
                    let (stamp, body, deltas) = (*stamp, body.clone(), vec![]);
                    self.entries.insert(*key, Held { stamp, kind: *kind, whole: stamp, body, deltas });
                }
                self.drop_promise(*key, *stamp);
            }
            Change::Extend { key, stamp, kind, base, body } => {
                let held = self.entries.get_mut(key).filter(|held| held.stamp == *base);
                let held = held.expect("a delta extends what is there");
                (held.stamp, held.kind) = (*stamp, *kind);
                held.deltas.push(body.clone());
                self.drop_promise(*key, *stamp);
            }
            Change::Promise { key, stamp } => {
                let covered = self.entries.get(key).is_some_and(|entry| entry.stamp >= *stamp);
                if !covered && self.promises.get(key).is_none_or(|old| old < stamp) {
                    self.promises.insert(*key, *stamp);
                }
            }
            Change::Remove { key, stamp, promised } => {
                if self.entries.get(key).is_none_or(|entry| entry.stamp <= *stamp) {
                    self.entries.remove(key);
                    self.drop_promise(*key, *promised.max(stamp));
                }
            }
            Change::Meta { id, bytes } => {
                self.metas.insert(*id, bytes.clone());
            }
        }
    }

    fn drop_promise(&mut self, key: u64, stamp: Stamp) {
        if self.promises.get(&key).is_some_and(|promised| *promised <= stamp) {
            self.promises.remove(&key);
        }
    }

    /// What the engine's directory says of everything, without bodies.
    fn matches(&self, bitcask: &Bitcask) -> Result<(), String> {
        let mut records = 0;
        for key in 0..KEYS {
            let info = bitcask.info(slot(key), &name(key));
            let ours = self.entries.get(&key).map(|held| {
                let (bytes, whole) = held.bytes(key);
                (held.stamp, held.kind, held.deltas.len() as u32, bytes, whole)
            });
            let theirs = info.entry.map(|entry| {
                let chain = bitcask.chain(bitcask.key_ref(slot(key), &name(key)));
                assert_eq!(chain.is_some(), entry.delta);
                let (deltas, bytes, whole) = chain
                    .map_or((0, 0, u64::from(entry.bytes)), |chain| (chain.deltas, chain.bytes, chain.whole));
                (entry.stamp, entry.kind, deltas, bytes, whole)
            });
            if ours != theirs || self.promises.get(&key).copied() != info.promised {
                return Err(format!(
                    "key {key}: model {ours:?} {:?}, engine {info:?}",
                    self.promises.get(&key)
                ));
            }
            records += u32::from(ours.is_some());
        }
        for id in 0..4 {
            if self.metas.get(&id).map(Vec::as_slice) != bitcask.meta(id) {
                return Err(format!("meta {id}"));
            }
        }
        let summed: u32 = (0..SLOTS).map(|slot| bitcask.slot_summary(slot as u16).records).sum();
        if summed != records {
            return Err(format!("{summed} records in the slots, {records} in the model"));
        }
        let (live, theirs) = (self.live_bytes(), bitcask.stats().live_bytes);
        if live != theirs {
            return Err(format!("{theirs} bytes are needed, {live} in the model"));
        }
        Ok(())
    }

    /// Bytes of all records that count.
    fn live_bytes(&self) -> u64 {
        let entries = self.entries.iter().map(|(key, held)| {
            let (deltas, whole) = held.bytes(*key);
            deltas + whole
        });
        let promises = self.promises.keys().map(|key| bytes_of(32, *key, 0));
        let metas = self.metas.values().map(|bytes| (33 + bytes.len()).next_multiple_of(8) as u64);
        entries.chain(promises).chain(metas).sum()
    }
}

fn slot(key: u64) -> u16 {
    (key % SLOTS) as u16
}

/// Keys of different lengths.
fn name(key: u64) -> Vec<u8> {
    vec![b'a' + key as u8 % 26; 1 + key as usize * 7]
}

struct Twin {
    world: World,
    rng: Rng,
    /// What is persisted for certain.
    base: Model,
    /// What was appended since, with its numbers.
    since: Vec<(Lsn, Change)>,
    /// No key gets a stamp at or below this one after it was removed: the owner's floor.
    floors: BTreeMap<u64, u64>,
    /// What reads that are under way will find, and whether they look at the newest record only.
    reading: BTreeMap<Ticket, (Held, bool)>,
    /// Stamps that were given out: none ever stands for two records of a key.
    used: BTreeSet<(u64, Stamp)>,
    round: u64,
    restarts: u64,
    failures: u64,
    fulls: u64,
    merges: u64,
    hints: u64,
    deltas: u64,
    /// Of these, on a whole that was not durable.
    on_coming: u64,
    folds: u64,
    chains_read: u64,
}

impl Twin {
    fn new(seed: u64) -> Twin {
        let mut rng = Rng::new(seed);
        let options = bitcask::Options { segment_bytes: 64 << 10, cache_bytes: 8 << 10, ..options() };
        let world = World::new(rng.next_u64(), options);
        Twin {
            world,
            rng,
            base: Model::default(),
            since: Vec::new(),
            floors: BTreeMap::new(),
            reading: BTreeMap::new(),
            used: BTreeSet::new(),
            round: 1,
            restarts: 0,
            failures: 0,
            fulls: 0,
            merges: 0,
            hints: 0,
            deltas: 0,
            on_coming: 0,
            folds: 0,
            chains_read: 0,
        }
    }

    fn settle_base(&mut self) {
        let persisted = self.world.persisted;
        while self.since.first().is_some_and(|(lsn, _)| *lsn <= persisted) {
            let (_, change) = self.since.remove(0);
            self.base.apply(&change);
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..25 => self.append(),
            25..50 => self.append_delta(),
            50..56 => self.remove(),
            56..60 => self.append_meta(),
            60..90 => {
                self.world.turn();
            }
            90..95 => self.read(),
            95 => self.world.settle(),
            96 => self.restart(true),
            97 => self.restart(false),
            98 => {
                let nth = self.rng.below(20);
                let fault = [Fault::Io, Fault::ShortWrite, Fault::Full][self.rng.below(3) as usize];
                self.world.disk.fail_nth(nth, fault);
            }
            _ => self.change_space(),
        }
        self.settle_base();
        self.check_reads();
        if self.world.failed.is_some() {
            self.failures += 1;
            let crash = self.rng.coin();
            self.restart(crash);
        } else {
            self.base.matches(&self.world.bitcask).expect("the directory is what was persisted");
        }
    }

    fn append(&mut self) {
        let key = self.rng.below(KEYS);
        self.round += self.rng.below(3);
        let floor = self.floors.get(&key).copied().unwrap_or(0);
        // Some stamps are old, and lose.
        let round = if self.rng.below(8) == 0 { self.rng.between(1, self.round) } else { self.round };
        let round = round.max(floor + 1);
        self.round = self.round.max(round);
        let stamp = Stamp { round, node: self.rng.below(3) as u32, incarnation: self.restarts as u32 };
        let kinds = [Kind::Value, Kind::Value, Kind::Expiring, Kind::Tombstone, Kind::Promise];
        let kind = kinds[self.rng.below(5) as usize];
        // Nothing comes between a delta and what it extends.
        let between = |held: Held| held.whole < stamp && stamp < held.stamp;
        if kind != Kind::Promise && self.newest(key).is_some_and(between) || !self.used.insert((key, stamp)) {
            return;
        }
        let most = if self.rng.below(40) == 0 { 90_000 } else { 3_000 };
        let mut body = vec![0; if kind == Kind::Promise { 0 } else { self.rng.below(most) as usize }];
        self.rng.fill(&mut body);
        let record = Record { slot: slot(key), key: &name(key), stamp, kind, body: &body };
        match self.world.bitcask.append(record) {
            Ok(lsn) => self.since.push((
                lsn,
                match kind {
                    Kind::Promise => Change::Promise { key, stamp },
                    kind => Change::Put { key, stamp, kind, body },
                },
            )),
            Err(bitcask::AppendError::Full | bitcask::AppendError::ReserveUsed) => self.fulls += 1,
            Err(bitcask::AppendError::Failed | bitcask::AppendError::Making) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The newest of all that was appended of a key.
    fn newest(&self, key: u64) -> Option<Held> {
        let mut model = Model::default();
        model.entries.extend(self.base.entries.get(&key).map(|held| (key, held.clone())));
        let of_key = |change: &&Change| match change {
            Change::Put { key: of, .. } | Change::Extend { key: of, .. } | Change::Remove { key: of, .. } => {
                *of == key
            }
            Change::Promise { .. } | Change::Meta { .. } => false,
        };
        self.since.iter().map(|(_, change)| change).filter(of_key).for_each(|change| model.apply(change));
        model.entries.remove(&key)
    }

    fn append_delta(&mut self) {
        let key = self.rng.below(KEYS);
        let Some(held) = self.newest(key).filter(|held| held.kind != Kind::Tombstone) else { return };
        let base = held.stamp;
        self.round = (self.round + self.rng.below(3)).max(base.round + 1);
        let stamp = Stamp { round: self.round, node: self.rng.below(3) as u32, incarnation: 0 };
        if !self.used.insert((key, stamp)) {
            return;
        }
        let kind = if self.rng.coin() { Kind::Value } else { Kind::Expiring };
        let mut body = vec![0; self.rng.below(100) as usize];
        self.rng.fill(&mut body);
        let (before, whole) = held.bytes(key);
        let bytes = before + bytes_of(48, key, body.len());
        // What is durable and what is under way is extended alike.
        let under_way = self.since.iter().any(|(_, change)| match change {
            Change::Put { key: of, stamp, .. } => (*of, *stamp) == (key, held.whole),
            _ => false,
        });
        let takes = held.deltas.len() < DELTAS_MAX as usize
            && bytes * DELTA_PART <= whole
            && whole >= BASE_BYTES_MIN as u64;
        let (of, name) = (slot(key), name(key));
        let bitcask = &mut self.world.bitcask;
        assert_eq!(bitcask.takes_delta(of, &name, base, &body), takes, "key {key}, {held:?}");
        assert!(!bitcask.takes_delta(of, &name, Stamp { incarnation: u32::MAX, ..base }, &body));
        let record = Record { slot: of, key: &name, stamp, kind, body: &body };
        match bitcask.append_delta(record, base) {
            Ok(lsn) => {
                assert!(takes);
                self.deltas += 1;
                self.on_coming += u64::from(under_way);
                self.since.push((lsn, Change::Extend { key, stamp, kind, base, body }));
            }
            Err(AppendError::Changed | AppendError::Chain) => {
                assert!(!takes);
                self.folds += 1;
            }
            Err(AppendError::Full) => self.fulls += 1,
            Err(AppendError::Failed | AppendError::Making) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn remove(&mut self) {
        let key = self.rng.below(KEYS);
        let info = self.world.bitcask.info(slot(key), &name(key));
        let Some(entry) = info.entry else { return };
        if let Ok(lsn) = self.world.bitcask.remove(slot(key), &name(key), entry.stamp) {
            let promised = info.promised.unwrap_or_default();
            let floor = entry.stamp.round.max(promised.round).max(self.round);
            self.floors.insert(key, floor);
            self.since.push((lsn, Change::Remove { key, stamp: entry.stamp, promised }));
        }
    }

    fn append_meta(&mut self) {
        let id = self.rng.below(4) as u8;
        let bytes = self.rng.next_u64().to_le_bytes()[..self.rng.below(9) as usize].to_vec();
        if let Ok(lsn) = self.world.bitcask.append_meta(id, &bytes) {
            self.since.push((lsn, Change::Meta { id, bytes }));
        }
    }

    fn read(&mut self) {
        let key = self.rng.below(KEYS);
        let newest = self.rng.below(3) == 0;
        let (disk, bitcask, name) = (&mut self.world.disk, &mut self.world.bitcask, name(key));
        let read = match newest {
            true => bitcask.read_newest(disk, bitcask.key_ref(slot(key), &name), &name),
            false => bitcask.read(disk, slot(key), &name),
        };
        match read {
            Read::Absent => assert!(!self.base.entries.contains_key(&key)),
            Read::Ready(found) => assert!(self.base.entries[&key].is_found(&found, newest), "key {key}"),
            // Whatever happens to the key meanwhile.
            Read::Pending(ticket) => {
                drop(self.reading.insert(ticket, (self.base.entries[&key].clone(), newest)));
            }
        }
    }

    fn check_reads(&mut self) {
        for (ticket, result) in std::mem::take(&mut self.world.reads) {
            let (held, newest) = self.reading.remove(&ticket).expect("it was asked for");
            match result {
                Ok(found) => assert!(held.is_found(&found.expect("it is this key's"), newest), "{held:?}"),
                Err(_) => assert!(self.world.failed.is_some()),
            }
            self.chains_read += u64::from(!held.deltas.is_empty() && !newest);
        }
    }

    /// The disk is full for a while, or has space again.
    fn change_space(&mut self) {
        let used = self.world.disk.used_bytes();
        let bytes = if self.rng.below(3) == 0 { used + self.rng.below(100_000) } else { u64::MAX };
        self.world.disk.set_capacity(bytes);
    }

    /// The process ends, with the power or without; it comes back, at the second try if the first one fails.
    fn restart(&mut self, power: bool) {
        self.restarts += 1;
        let stats = self.world.bitcask.stats();
        self.merges += stats.counters.merges;
        self.hints += stats.counters.hints;
        let options = self.world.options.clone();
        let disk = reactor::sim::SimDisk::new(0);
        let old = std::mem::replace(&mut self.world, World::opened(disk, options));
        self.world = if power { old.crash() } else { old.restarted() };
        self.reading.clear();
        if self.rng.below(4) == 0 {
            self.world.disk.fail_nth(self.rng.below(40), Fault::Io);
        }
        if self.rng.below(4) == 0 {
            for _ in 0..self.rng.below(60) {
                self.world.turn();
            }
            let disk = reactor::sim::SimDisk::new(0);
            let options = self.world.options.clone();
            let old = std::mem::replace(&mut self.world, World::opened(disk, options));
            self.world = old.crash();
        }
        self.world.disk.set_capacity(u64::MAX);
        self.world.background = false;
        self.world.settle();
        self.world.disk.clear_aimed();
        if self.world.failed.is_some() {
            let disk = reactor::sim::SimDisk::new(0);
            let options = self.world.options.clone();
            let old = std::mem::replace(&mut self.world, World::opened(disk, options));
            self.world = old.crash();
            self.world.settle();
        }
        assert_eq!(self.world.failed, None);
        assert!(self.world.ready.is_some());
        self.world.background = true;
        self.find_prefix();
        self.read_all();
    }

    /// The engine stands behind some prefix of what was appended.
    fn find_prefix(&mut self) {
        let mut model = self.base.clone();
        let mut reasons = vec![model.matches(&self.world.bitcask)];
        for (_, change) in &self.since {
            if reasons.last().is_some_and(Result::is_ok) {
                break;
            }
            model.apply(change);
            reasons.push(model.matches(&self.world.bitcask));
        }
        if reasons.last().is_some_and(Result::is_err) {
            panic!(
                "no prefix fits: {reasons:?}; since {:?}",
                self.since.iter().map(short).collect::<Vec<_>>()
            );
        }
        self.base = model;
        self.since.clear();
    }

    fn read_all(&mut self) {
        for key in 0..KEYS {
            let reference = (slot(key), name(key));
            let found = self.world.read_at(reference.0, &reference.1);
            match (self.base.entries.get(&key), &found) {
                (Some(held), Some(found)) => {
                    assert!(held.is_found(found, false), "key {key}: {held:?}, {found:?}")
                }
                (held, found) => assert_eq!((held, found), (None, &None), "key {key}"),
            }
        }
    }
}

fn short((lsn, change): &(Lsn, Change)) -> String {
    match change {
        Change::Put { key, stamp, kind, body } => {
            format!("{}: {kind:?} {key} {stamp:?} {}", lsn.0, body.len())
        }
        other => format!("{}: {other:?}", lsn.0),
    }
}

/// How many seeds are run: more where someone asks for more.
pub fn seeds() -> u64 {
    std::env::var("BITCASK_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

/// Where the seeds start: another place where someone repeats one.
fn first_seed() -> u64 {
    std::env::var("BITCASK_FIRST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

#[test]
fn it_stands_where_a_prefix_of_the_writes_stands() {
    let mut totals = [0; 10];
    for seed in first_seed()..first_seed() + seeds() {
        let mut twin = Twin::new(seed);
        if seed % 3 == 0 {
            twin.world.disk.set_latency(Latency::none());
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..1_000 {
                twin.step();
            }
            twin.restart(false);
        }));
        if let Err(panic) = result {
            println!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        let (deltas, on_coming, folds) = (twin.deltas, twin.on_coming, twin.folds);
        let Twin { restarts, failures, fulls, merges, hints, chains_read, .. } = twin;
        let counts = [1, restarts, failures, fulls, merges, hints, deltas, on_coming, folds, chains_read];
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    println!("seeds, restarts, failures, refused as full, merges, hints, deltas, those on a whole under way, not taken, chains read: {totals:?}");
    assert!(totals.iter().all(|&total| total >= seeds()), "everything was met: {totals:?}");
}
