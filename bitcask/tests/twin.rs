//! The engine against an ordered map, with crashes, restarts and failing I/O at every step.
//!
//! The map is told what was appended, in order. Whatever happens, the engine must stand where the map stands after some
//! prefix of that which holds at least everything that was persisted.

use std::collections::{BTreeMap, BTreeSet};

use bitcask::{Bitcask, Kind, Lsn, Record, Stamp};
use reactor::rng::Rng;
use reactor::sim::{Fault, Latency};

use crate::world::{options, World};

const KEYS: u64 = 40;
const SLOTS: u64 = 4;

#[derive(Clone, Debug)]
enum Change {
    Put { key: u64, stamp: Stamp, kind: Kind, body: Vec<u8> },
    Promise { key: u64, stamp: Stamp },
    Remove { key: u64, stamp: Stamp, promised: Stamp },
    Meta { id: u8, bytes: Vec<u8> },
}

/// The dumb engine.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, (Stamp, bool, Vec<u8>)>,
    promises: BTreeMap<u64, Stamp>,
    metas: BTreeMap<u8, Vec<u8>>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { key, stamp, kind, body } => {
                if self.entries.get(key).is_none_or(|(old, _, _)| old < stamp) {
                    self.entries.insert(*key, (*stamp, *kind == Kind::Value, body.clone()));
                }
                self.drop_promise(*key, *stamp);
            }
            Change::Promise { key, stamp } => {
                let covered = self.entries.get(key).is_some_and(|(entry, _, _)| entry >= stamp);
                if !covered && self.promises.get(key).is_none_or(|old| old < stamp) {
                    self.promises.insert(*key, *stamp);
                }
            }
            Change::Remove { key, stamp, promised } => {
                if self.entries.get(key).is_none_or(|(entry, _, _)| entry <= stamp) {
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
            let ours = self.entries.get(&key).map(|(stamp, value, _)| (*stamp, *value));
            let theirs = info.entry.map(|entry| (entry.stamp, entry.kind == Kind::Value));
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
        Ok(())
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
    /// Stamps that were given out: none ever stands for two records of a key.
    used: BTreeSet<(u64, Stamp)>,
    round: u64,
    restarts: u64,
    failures: u64,
    fulls: u64,
    merges: u64,
    hints: u64,
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
            used: BTreeSet::new(),
            round: 1,
            restarts: 0,
            failures: 0,
            fulls: 0,
            merges: 0,
            hints: 0,
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
            0..50 => self.append(),
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
        if !self.used.insert((key, stamp)) {
            return;
        }
        let kind = [Kind::Value, Kind::Value, Kind::Tombstone, Kind::Promise][self.rng.below(4) as usize];
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
        match self.world.bitcask.read(&mut self.world.disk, slot(key), &name(key)) {
            bitcask::Read::Absent => assert!(!self.base.entries.contains_key(&key)),
            bitcask::Read::Ready(found) => {
                let (stamp, value, body) = &self.base.entries[&key];
                assert_eq!((found.stamp, found.kind == Kind::Value), (*stamp, *value));
                assert_eq!(*found.body, **body);
            }
            // Its bytes are compared after the next restart; meanwhile it keeps merge from removing its segment.
            bitcask::Read::Pending(_) => {}
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
            let expected = self.base.entries.get(&key).map(|(_, _, body)| body.as_slice());
            assert_eq!(found.as_ref().map(|found| &*found.body), expected, "key {key}");
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
    let mut totals = [0; 6];
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
        let counts = [1, twin.restarts, twin.failures, twin.fulls, twin.merges, twin.hints];
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    println!("seeds, restarts, failures, refused as full, merges, hints: {totals:?}");
    assert!(totals.iter().all(|&total| total >= seeds()), "everything was met: {totals:?}");
}
