//! The engine against an ordered map, with snapshots, ingestions, crashes, full disks and failing I/O at every step.
//!
//! The map is told what was applied, batch by batch. Whatever happens, the engine must have what the map has after some batch, and none that
//! was flushed may be missing. Everything that is read, now or as a snapshot has it, must be what the map has.

use std::collections::BTreeMap;
use std::ops::Bound;

use lsm::{ApplyError, Batch, Change, IngestId, Scan, Snapshot, Version};
use reactor::rng::Rng;
use reactor::sim::{Fault, Latency};

use crate::world::{options, World};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn apply(map: &mut Map, batch: &Batch) {
    for change in batch.changes() {
        match change {
            Change::Put { key, value } => drop(map.insert(key.to_vec(), value.to_vec())),
            Change::Delete { key } => drop(map.remove(key)),
            Change::DeleteRange { first, end } => delete(map, first, end),
        }
    }
}

fn delete(map: &mut Map, first: &[u8], end: &[u8]) {
    let keys: Vec<Vec<u8>> = map.range(first.to_vec()..end.to_vec()).map(|(key, _)| key.clone()).collect();
    keys.into_iter().for_each(|key| drop(map.remove(&key)));
}

/// What happened to the tree.
#[derive(Clone)]
enum Step {
    Batch(Batch),
    /// The range has these rows now.
    Rows(Vec<u8>, Vec<u8>, Map),
}

/// Rows on their way in.
struct Ingesting {
    id: IngestId,
    first: Vec<u8>,
    end: Vec<u8>,
    rows: Map,
    left: Vec<(Vec<u8>, Vec<u8>)>,
    is_ended: bool,
}

struct Twin {
    world: World,
    rng: Rng,
    /// What was flushed for certain.
    base: Map,
    since: Vec<(Version, Step)>,
    now: Map,
    snapshots: Vec<(Snapshot, Map)>,
    ingesting: Option<Ingesting>,
    keys: u64,
    /// Keys mostly ascend, as times do.
    ascends: bool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    restarts: u64,
    failures: u64,
    full: u64,
    flushes: u64,
    compactions: u64,
    moves: u64,
    drops: u64,
    ingestions: u64,
    lost_ingestions: u64,
    disk_reads: u64,
    lost_batches: u64,
    stalls: u64,
}

impl Twin {
    fn new(seed: u64) -> Twin {
        let mut rng = Rng::new(seed);
        let mut world = World::new(rng.next_u64(), options());
        world.budget = 1 << rng.between(9, 14);
        let keys = [30, 300, 2_000][rng.below(3) as usize];
        let (base, now) = (Map::new(), Map::new());
        let (since, snapshots, counts) = (Vec::new(), Vec::new(), Counts::default());
        let ascends = rng.below(3) == 0;
        Twin { world, rng, base, since, now, snapshots, ingesting: None, keys, ascends, counts }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.keys);
        if self.ascends && self.rng.below(8) > 0 {
            let time = self.world.lsm.version().0;
            return format!("2/{:08}", time - self.rng.below(1 + time.min(9))).into_bytes();
        }
        // Keys of different lengths, some the beginning of others.
        let mut key = format!("{}/{:05}", number % 3, number).into_bytes();
        key.truncate(if number.is_multiple_of(11) { 5 } else { 7 });
        if number.is_multiple_of(7) {
            key.extend_from_slice(&[b'x'; 20]);
        }
        key
    }

    fn range(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (a, b) = (self.key(), self.key());
        match a.cmp(&b) {
            std::cmp::Ordering::Less => (a, b),
            std::cmp::Ordering::Greater => (b, a),
            std::cmp::Ordering::Equal => (a.clone(), [&a[..], &[0]].concat()),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let most = if self.rng.below(60) == 0 { 6_000 } else { 120 };
        let mut value = vec![b'v'; self.rng.below(most) as usize];
        let half = value.len() / 2;
        self.rng.fill(&mut value[..half]);
        value
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..36 => self.apply(),
            36..50 => self.get(),
            50..60 => self.scan(),
            60..64 => self.snapshot(),
            64..92 => {
                for _ in 0..self.rng.below(6) {
                    self.world.turn();
                }
            }
            92 => self.world.lsm.flush(),
            93 => self.world.settle(),
            94 => self.ingest(),
            95 if self.rng.below(3) == 0 => self.restart(true),
            96 if self.rng.below(3) == 0 => self.restart(false),
            97 if self.rng.below(4) == 0 => {
                let nth = self.rng.below(20);
                let fault = [Fault::Io, Fault::ShortWrite, Fault::Full][self.rng.below(3) as usize];
                self.world.disk.fail_nth(nth, fault);
            }
            98 if self.rng.below(3) == 0 => self.change_space(),
            _ => self.feed(),
        }
        self.note_flushed();
        self.note_ingested();
        if self.world.failed.is_some() {
            self.counts.failures += 1;
            let power = self.rng.coin();
            self.restart(power);
        }
    }

    fn apply(&mut self) {
        let mut batch = Batch::new();
        for _ in 0..=self.rng.below(8) {
            let key = self.key();
            match self.rng.below(30) {
                0..22 => {
                    let value = self.value();
                    batch.put(&key, &value);
                }
                22..29 => batch.delete(&key),
                _ if self.rng.below(10) == 0 => {
                    let third = self.rng.below(3) as u8;
                    batch.delete_range(&[b'0' + third], &[b'1' + third]);
                }
                _ => {
                    let (first, end) = self.range();
                    batch.delete_range(&first, &end);
                }
            }
        }
        let is_blocked = |ingesting: &Ingesting| {
            let inside = |key: &[u8]| *key >= *ingesting.first && *key < *ingesting.end;
            batch.changes().any(|change| match change {
                Change::Put { key, .. } | Change::Delete { key } => inside(key),
                Change::DeleteRange { first, end } => *first < *ingesting.end && *ingesting.first < *end,
            })
        };
        if self.ingesting.as_ref().is_some_and(is_blocked) {
            return;
        }
        match self.world.lsm.apply(&batch) {
            Ok(version) => {
                apply(&mut self.now, &batch);
                self.since.push((version, Step::Batch(batch)));
            }
            Err(ApplyError::Stalled) => self.counts.stalls += 1,
            Err(ApplyError::Full) => self.counts.full += 1,
            Err(ApplyError::Failed) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads may fail where an operation was aimed at.
    fn get(&mut self) {
        let key = self.key();
        let at = self.rng.below(self.snapshots.len() as u64 + 1) as usize;
        let snapshot = self.snapshots.get(at).map(|(snapshot, _)| snapshot.clone());
        let expected = self.snapshots.get(at).map_or(&self.now, |(_, map)| map).get(&key).cloned();
        if let Ok(found) = self.world.try_get(&key, snapshot.as_ref()) {
            assert_eq!(found, expected, "key {}", key.escape_ascii());
        }
    }

    fn scan(&mut self) {
        let (first, end) = self.range();
        let (from_start, to_end) = (self.rng.below(4) == 0, self.rng.below(4) == 0);
        let at = self.rng.below(self.snapshots.len() as u64 + 1) as usize;
        let snapshot = self.snapshots.get(at).map(|(snapshot, _)| snapshot.clone());
        let map = self.snapshots.get(at).map_or(&self.now, |(_, map)| map);
        let first = if from_start { Vec::new() } else { first };
        let end = (!to_end).then_some(end);
        let reverse = self.rng.coin();
        let rows_max = 1 + self.rng.below(60) as usize;
        let upper = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let range = map.range((Bound::Included(first.clone()), upper));
        let row = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        let mut expected: Vec<(Vec<u8>, Vec<u8>)> = range.map(row).collect();
        if reverse {
            expected.reverse();
        }
        let more = expected.len() > rows_max;
        expected.truncate(rows_max);
        let scan = Scan {
            first: first.into(),
            end: end.map(Vec::into_boxed_slice),
            reverse,
            rows_max,
            bytes_max: usize::MAX,
        };
        if let Ok(rows) = self.world.try_scan(scan.clone(), snapshot.as_ref()) {
            let same = rows.iter().zip(&expected).position(|(found, (key, value))| found != (key, value));
            let at = same.unwrap_or(rows.len().min(expected.len()));
            let show = |key: Option<&[u8]>| key.map(|key| key.escape_ascii().to_string());
            let is_same = same.is_none() && (rows.len(), rows.more) == (expected.len(), more);
            let found = show((at < rows.len()).then(|| rows.row(at).0));
            let expected = show(expected.get(at).map(|(key, _)| &key[..]));
            assert!(is_same, "row {at} is {found:?}, not {expected:?}: {scan:?}");
        }
    }

    fn snapshot(&mut self) {
        if self.snapshots.len() >= 3 || self.rng.below(3) == 0 && !self.snapshots.is_empty() {
            let at = self.rng.below(self.snapshots.len() as u64) as usize;
            self.snapshots.swap_remove(at);
        } else if let Some(snapshot) = self.world.lsm.snapshot() {
            self.snapshots.push((snapshot, self.now.clone()));
        }
    }

    fn ingest(&mut self) {
        if self.ingesting.is_some() || self.world.failed.is_some() {
            return;
        }
        let (first, end) = self.range();
        let mut rows = Map::new();
        for _ in 0..self.rng.below(400) {
            let key = self.key();
            if key >= first && key < end {
                let value = self.value();
                rows.insert(key, value);
            }
        }
        let left = rows.iter().rev().map(|(key, value)| (key.clone(), value.clone())).collect();
        let id = self.world.lsm.ingest(&first, &end);
        self.ingesting = Some(Ingesting { id, first, end, rows, left, is_ended: false });
    }

    fn feed(&mut self) {
        let most = self.rng.below(100);
        let Some(ingesting) = &mut self.ingesting else { return };
        for _ in 0..most {
            if !self.world.lsm.ingest_has_room(ingesting.id) {
                break;
            }
            let Some((key, value)) = ingesting.left.pop() else { break };
            assert!(self.world.lsm.ingest_row(ingesting.id, &key, &value), "rows come in order");
        }
        if ingesting.left.is_empty() && !ingesting.is_ended {
            ingesting.is_ended = true;
            match self.rng.below(6) {
                0 => self.world.lsm.ingest_abandon(ingesting.id),
                _ => self.world.lsm.ingest_end(ingesting.id),
            }
        }
    }

    fn note_ingested(&mut self) {
        let Some(Ingesting { id, .. }) = self.ingesting else { return };
        if self.world.lost.contains(&id) {
            self.counts.lost_ingestions += 1;
            self.ingesting = None;
        }
        let Some(version) = self.world.ingested.get(&id).copied() else { return };
        let Some(Ingesting { first, end, rows, .. }) = self.ingesting.take() else { return };
        self.counts.ingestions += 1;
        delete(&mut self.now, &first, &end);
        self.now.extend(rows.clone());
        // It is durable, whatever was applied beside it is or not.
        delete(&mut self.base, &first, &end);
        self.base.extend(rows.clone());
        self.since.push((version, Step::Rows(first, end, rows)));
    }

    fn note_flushed(&mut self) {
        let flushed = self.world.flushed;
        while self.since.first().is_some_and(|(version, _)| *version <= flushed) {
            let (_, step) = self.since.remove(0);
            play(&mut self.base, &step);
        }
    }

    /// The disk is full for a while, or has space again.
    fn change_space(&mut self) {
        let used = self.world.disk.used_bytes();
        let bytes = if self.rng.below(3) == 0 { used + self.rng.below(60_000) } else { u64::MAX };
        self.world.disk.set_capacity(bytes);
        self.world.now += 2_000_000_000;
        self.world.lsm.background(&mut self.world.disk, self.world.now, 1);
    }

    fn count(&mut self) {
        let counters = self.world.lsm.stats().counters;
        self.counts.flushes += counters.flushes;
        self.counts.compactions += counters.compactions;
        self.counts.moves += counters.moves;
        self.counts.drops += counters.drops;
        self.counts.disk_reads += counters.disk_reads;
    }

    /// The process ends, with the power or without; it comes back, at the second try if the first one fails.
    fn restart(&mut self, power: bool) {
        self.counts.restarts += 1;
        self.count();
        self.snapshots.clear();
        let ingesting = self.ingesting.take();
        let world =
            std::mem::replace(&mut self.world, World::opened(reactor::sim::SimDisk::new(0), options()));
        let budget = world.budget;
        let mut world = world.restarted(power);
        // What a process that was killed left is not durable: its successor must not act on it before the power fails.
        if self.rng.below(if power { 4 } else { 2 }) == 0 {
            for _ in 0..self.rng.below(30) {
                world.turn();
            }
            world = world.restarted(true);
        }
        world.disk.set_capacity(u64::MAX);
        world.settle();
        assert_eq!(world.failed, None);
        assert!(world.ready.is_some(), "recovery ends");
        world.budget = budget;
        self.world = world;
        self.find_prefix(ingesting);
    }

    /// The tree stands behind some batch, none that was flushed missing. An ingestion that was on its way is there as a whole or not at all.
    fn find_prefix(&mut self, ingesting: Option<Ingesting>) {
        let found: Map = self.world.all().into_iter().collect();
        let flushed = self.world.flushed;
        let mut map = self.base.clone();
        let taken = self.since.iter().take_while(|(version, _)| *version <= flushed).count();
        self.since.drain(..taken).for_each(|(_, step)| play(&mut map, &step));
        self.counts.lost_batches += self.since.len() as u64;
        self.since.clear();
        if found != map {
            let ingesting = ingesting
                .unwrap_or_else(|| panic!("the tree is not what was flushed: {}", differ(&map, &found)));
            play(&mut map, &Step::Rows(ingesting.first, ingesting.end, ingesting.rows));
            assert!(found == map, "the tree is not what was flushed: {}", differ(&map, &found));
        }
        self.base = map.clone();
        self.now = map;
    }
}

fn differ(expected: &Map, found: &Map) -> String {
    let key = expected.keys().chain(found.keys()).find(|key| expected.get(*key) != found.get(*key));
    let key = key.cloned().unwrap_or_default();
    let show = |map: &Map| map.get(&key).map(|value| value.escape_ascii().to_string());
    format!("{} is {:?}, not {:?}", key.escape_ascii(), show(found), show(expected))
}

fn play(map: &mut Map, step: &Step) {
    match step {
        Step::Batch(batch) => apply(map, batch),
        Step::Rows(first, end, rows) => {
            delete(map, first, end);
            map.extend(rows.clone());
        }
    }
}

/// How many seeds are run, and where they start: others where someone asks for it.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|count| count.parse().ok());
    let first = number("LSM_FIRST_SEED").unwrap_or(0);
    first..first + number("LSM_SEEDS").unwrap_or(40)
}

/// Whether the twin of a seed finds nothing wrong.
#[cfg(feature = "mutants")]
pub fn survives(seed: u64) -> bool {
    let play = || {
        let mut twin = Twin::new(seed);
        for _ in 0..2_500 {
            twin.step();
        }
        twin.restart(false);
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).is_ok()
}

#[test]
fn it_has_what_a_map_has() {
    let mut totals = Counts::default();
    for seed in seeds() {
        let mut twin = Twin::new(seed);
        if seed % 3 == 0 {
            twin.world.disk.set_latency(Latency::none());
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..2_500 {
                twin.step();
            }
            twin.restart(false);
            twin.count();
        }));
        if let Err(panic) = result {
            println!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        let counts = twin.counts;
        totals.restarts += counts.restarts;
        totals.failures += counts.failures;
        totals.full += counts.full;
        totals.flushes += counts.flushes;
        totals.compactions += counts.compactions;
        totals.moves += counts.moves;
        totals.drops += counts.drops;
        totals.ingestions += counts.ingestions;
        totals.lost_ingestions += counts.lost_ingestions;
        totals.disk_reads += counts.disk_reads;
        totals.lost_batches += counts.lost_batches;
        totals.stalls += counts.stalls;
    }
    println!("{totals:?}");
    let Counts { restarts, failures, full, flushes, compactions, moves, .. } = totals;
    let Counts { drops, ingestions, lost_ingestions, disk_reads, lost_batches, .. } = totals;
    let all = [
        restarts,
        failures,
        full,
        flushes,
        compactions,
        moves,
        drops,
        ingestions,
        lost_ingestions,
        disk_reads,
    ];
    assert!(all.iter().chain([&lost_batches]).all(|count| *count > 0), "everything was met: {totals:?}");
}
