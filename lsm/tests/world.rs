//! An engine on a simulated disk, and the loop that drives both.

use std::collections::BTreeMap;

use lsm::{
    Batch, Codec, Damage, Event, Fault, Get, IngestId, LevelOptions, Lsm, Options, ReadError, Recovered,
    Rows, Scan, Scanned, Snapshot, Ticket, Value, Version,
};
use reactor::sim::SimDisk;

/// Everything small, so that a few thousand rows fill some levels.
pub fn options() -> Options {
    Options {
        memtable_bytes: 16 << 10,
        block_bytes: 512,
        table_bytes: 12 << 10,
        cache_bytes: 24 << 10,
        codec: Codec::Lz4,
        last_codec: Codec::Zstd,
        levels: LevelOptions { first_tables: 3, base_bytes: 40 << 10, factor: 4 },
        manifest_bytes: 16 << 10,
        ..Options::new(3)
    }
}

pub struct World {
    pub disk: SimDisk,
    pub lsm: Lsm,
    pub options: Options,
    pub now: u64,
    pub ready: Option<Recovered>,
    pub failed: Option<Fault>,
    pub full: bool,
    pub flushed: Version,
    pub damaged: Vec<Damage>,
    pub ingested: BTreeMap<IngestId, Version>,
    pub lost: Vec<IngestId>,
    pub got: BTreeMap<Ticket, Result<Option<Value>, ReadError>>,
    pub scanned: BTreeMap<Ticket, Result<Rows, ReadError>>,
    /// Bytes of background work in a turn.
    pub budget: u64,
}

impl World {
    /// A fresh directory, recovered.
    pub fn new(seed: u64, options: Options) -> World {
        let mut world = World::opened(SimDisk::new(seed), options);
        world.settle();
        world
    }

    /// An engine on this disk, its recovery just begun.
    pub fn opened(mut disk: SimDisk, options: Options) -> World {
        let lsm = Lsm::open(options, &mut disk);
        let mut world = World {
            disk,
            lsm,
            options,
            now: 0,
            ready: None,
            failed: None,
            full: false,
            flushed: Version(0),
            damaged: Vec::new(),
            ingested: BTreeMap::new(),
            lost: Vec::new(),
            got: BTreeMap::new(),
            scanned: BTreeMap::new(),
            budget: 4 << 10,
        };
        world.now = world.disk.next_event().unwrap_or(0);
        world
    }

    /// The process ends and is started again; with the power, or without.
    pub fn restarted(self, power: bool) -> World {
        let World { mut disk, options, now, .. } = self;
        match power {
            true => disk.crash(),
            false => disk.kill(),
        }
        disk.clear_aimed();
        let mut world = World::opened(disk, options);
        world.now = world.now.max(now);
        world
    }

    /// As `restarted`, and recovered.
    pub fn reopened(self) -> World {
        let mut world = self.restarted(false);
        world.settle();
        assert!(world.ready.is_some(), "{:?}", world.failed);
        world
    }

    /// One turn: what is due is taken, background work goes on. False when nothing is under way.
    pub fn turn(&mut self) -> bool {
        self.work();
        let Some(due) = self.disk.next_event() else { return self.lsm.background_wanted() };
        self.now = self.now.max(due);
        for completion in self.disk.poll_completions(self.now) {
            assert!(self.lsm.on_disk(&mut self.disk, completion), "every operation is the engine's");
        }
        self.drain();
        true
    }

    pub fn work(&mut self) {
        self.drain();
        if self.lsm.background_wanted() {
            self.lsm.background(&mut self.disk, self.now, self.budget);
        }
        self.drain();
    }

    /// Turns until nothing is under way.
    pub fn settle(&mut self) {
        let mut turns = 0;
        while self.turn() {
            turns += 1;
            assert!(turns < 1_000_000, "the engine comes to rest");
        }
    }

    /// Turns until nothing happens for some seconds, over which a full disk is tried again.
    pub fn settle_while_full(&mut self) {
        for _ in 0..5 {
            self.settle();
            self.now += 1_500_000_000;
            self.lsm.background(&mut self.disk, self.now, self.budget);
        }
        self.settle();
    }

    fn drain(&mut self) {
        while let Some(event) = self.lsm.poll() {
            let is_read = matches!(event, Event::Got { .. } | Event::Scanned { .. });
            assert!(self.failed.is_none() || is_read, "nothing but answers follows a failure");
            match event {
                Event::Ready(recovered) => {
                    assert!(self.ready.is_none(), "an engine is ready once");
                    self.flushed = recovered.flushed_to;
                    self.ready = Some(recovered);
                }
                Event::Flushed(version) => {
                    assert!(version >= self.flushed);
                    self.flushed = version;
                }
                Event::Got { ticket, result } => drop(self.got.insert(ticket, result)),
                Event::Scanned { ticket, result } => drop(self.scanned.insert(ticket, result)),
                Event::Ingested(id, version) => drop(self.ingested.insert(id, version)),
                Event::IngestionLost(id) => self.lost.push(id),
                Event::Damaged(damage) => self.damaged.push(damage),
                Event::Full(full) => self.full = full,
                Event::Failed(fault) => self.failed = Some(fault),
            }
        }
    }

    /// Applies a batch, waiting for background work where there has to be some first.
    pub fn apply(&mut self, batch: &Batch) -> Version {
        loop {
            match self.lsm.apply(batch) {
                Ok(version) => return version,
                Err(lsm::ApplyError::Stalled) => {
                    assert!(self.turn(), "background work gets on: {:?}", self.lsm.stats());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Version {
        let mut batch = Batch::new();
        batch.put(key, value);
        self.apply(&batch)
    }

    pub fn delete_range(&mut self, first: &[u8], end: &[u8]) -> Version {
        let mut batch = Batch::new();
        batch.delete_range(first, end);
        self.apply(&batch)
    }

    /// Everything that was applied goes to tables.
    pub fn flush(&mut self) {
        self.lsm.flush();
        self.settle();
    }

    pub fn try_get(&mut self, key: &[u8], snapshot: Option<&Snapshot>) -> Result<Option<Vec<u8>>, ReadError> {
        match self.lsm.get(&mut self.disk, key, snapshot) {
            Get::Ready(value) => Ok(value.map(|value| value.to_vec())),
            Get::Pending(ticket) => loop {
                if let Some(result) = self.got.remove(&ticket) {
                    return result.map(|value| value.map(|value| value.to_vec()));
                }
                assert!(self.turn(), "a read ends");
            },
        }
    }

    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.try_get(key, None).expect("the read brings it")
    }

    pub fn try_scan(&mut self, scan: Scan, snapshot: Option<&Snapshot>) -> Result<Rows, ReadError> {
        match self.lsm.scan(&mut self.disk, scan, snapshot) {
            Scanned::Ready(rows) => Ok(rows),
            Scanned::Pending(ticket) => loop {
                if let Some(result) = self.scanned.remove(&ticket) {
                    return result;
                }
                assert!(self.turn(), "a scan ends");
            },
        }
    }

    /// All rows.
    pub fn all(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let scan = Scan { rows_max: usize::MAX, bytes_max: usize::MAX, ..Scan::default() };
        let rows = self.try_scan(scan, None).expect("the scan brings them");
        assert!(!rows.more);
        rows.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}
