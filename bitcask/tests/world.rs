//! An engine on a simulated disk, and the loop that drives both.

use bitcask::{
    AppendError, Bitcask, Event, Fault, Found, Kind, LogEnd, LogPlace, Lsn, Options, Read, ReadError, Record,
    Recovered, Stamp, Stretch, Ticket,
};
use reactor::sim::SimDisk;

/// The slot of a key, for tests: any fixed function will do.
pub fn slot(key: &[u8]) -> u16 {
    key.iter().fold(7_u16, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte))) % 16_384
}

pub fn stamp(round: u64) -> Stamp {
    Stamp { round, node: 1, incarnation: 1 }
}

pub fn options() -> Options {
    Options { segment_bytes: 128 << 10, cache_bytes: 64 << 10, ..Options::new(3, [9; 16]) }
}

pub struct World {
    pub disk: SimDisk,
    pub bitcask: Bitcask,
    pub options: Options,
    pub now: u64,
    pub persisted: Lsn,
    pub ready: Option<Recovered>,
    pub failed: Option<Fault>,
    pub full: bool,
    pub reads: Vec<(bitcask::Ticket, Result<Option<Found>, bitcask::ReadError>)>,
    pub stretches: Vec<(Ticket, Result<Stretch, ReadError>)>,
    /// Whether background work is done while waiting.
    pub background: bool,
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
        let bitcask = Bitcask::open(options.clone(), &mut disk);
        let mut world = World {
            disk,
            bitcask,
            options,
            now: 0,
            persisted: Lsn(0),
            ready: None,
            failed: None,
            full: false,
            reads: Vec::new(),
            stretches: Vec::new(),
            background: true,
        };
        world.now = world.disk.next_event().unwrap_or(0);
        world
    }

    /// Restarts the process on the same disk, and waits for recovery.
    pub fn reopen(self) -> World {
        let mut world = self.restarted();
        world.settle();
        world
    }

    /// Restarts the process on the same disk, its recovery just begun.
    pub fn restarted(self) -> World {
        let World { mut disk, options, now, background, .. } = self;
        disk.kill();
        let mut world = World::opened(disk, options);
        world.now = world.now.max(now);
        world.background = background;
        world
    }

    /// The power fails; the process is started again, its recovery just begun.
    pub fn crash(self) -> World {
        let World { mut disk, options, now, background, .. } = self;
        disk.crash();
        disk.clear_aimed();
        let mut world = World::opened(disk, options);
        world.now = world.now.max(now);
        world.background = background;
        world
    }

    /// One turn: what is due is taken, what was appended is flushed. False when nothing is under way.
    pub fn turn(&mut self) -> bool {
        self.drain();
        self.bitcask.flush(&mut self.disk);
        if self.background && self.bitcask.background_wanted() {
            self.bitcask.background(&mut self.disk, self.now, 1 << 20);
        }
        self.drain();
        let Some(due) = self.disk.next_event() else { return false };
        self.now = self.now.max(due);
        for completion in self.disk.poll_completions(self.now) {
            assert!(self.bitcask.on_disk(&mut self.disk, completion), "every operation is the engine's");
        }
        self.drain();
        true
    }

    /// Turns until nothing is under way.
    pub fn settle(&mut self) {
        let mut turns = 0;
        while self.turn() {
            turns += 1;
            assert!(turns < 1_000_000, "the engine comes to rest");
        }
    }

    /// A turn that takes what is due by `now`, which may be nothing.
    pub fn turn_until(&mut self, now: u64) {
        self.drain();
        self.bitcask.flush(&mut self.disk);
        if self.background && self.bitcask.background_wanted() {
            self.bitcask.background(&mut self.disk, self.now, 1 << 20);
        }
        self.now = self.now.max(now);
        for completion in self.disk.poll_completions(self.now) {
            assert!(self.bitcask.on_disk(&mut self.disk, completion), "every operation is the engine's");
        }
        self.drain();
    }

    /// Turns until nothing happens for some seconds, over which a full disk is tried again.
    pub fn settle_while_full(&mut self) {
        for _ in 0..5 {
            self.settle();
            self.now += 1_500_000_000;
            self.bitcask.background(&mut self.disk, self.now, 1 << 20);
        }
        self.settle();
    }

    fn drain(&mut self) {
        while let Some(event) = self.bitcask.poll() {
            assert!(
                self.failed.is_none() || matches!(event, Event::Read { .. } | Event::Stretch { .. }),
                "nothing follows a failure"
            );
            match event {
                Event::Ready(recovered) => self.ready = Some(recovered),
                Event::Persisted(lsn) => {
                    assert!(lsn > self.persisted);
                    self.persisted = lsn;
                }
                Event::Read { ticket, result } => self.reads.push((ticket, result)),
                Event::Stretch { ticket, result } => self.stretches.push((ticket, result)),
                Event::Full(full) => self.full = full,
                Event::LossEnded => assert_eq!(self.bitcask.loss(), None),
                Event::Failed(fault) => self.failed = Some(fault),
            }
        }
    }

    pub fn append(&mut self, key: &[u8], round: u64, kind: Kind, body: &[u8]) -> Lsn {
        self.try_append(key, round, kind, body).expect("the record is taken")
    }

    /// Adds a record, and waits for the segment for it where there is none.
    pub fn try_append(
        &mut self,
        key: &[u8],
        round: u64,
        kind: Kind,
        body: &[u8],
    ) -> Result<Lsn, AppendError> {
        let record = Record { slot: slot(key), key, stamp: stamp(round), kind, body };
        loop {
            match self.bitcask.append(record) {
                Err(AppendError::Making) => assert!(self.turn(), "the segment is made"),
                taken => return taken,
            }
        }
    }

    pub fn put(&mut self, key: &[u8], round: u64, body: &[u8]) -> Lsn {
        self.append(key, round, Kind::Value, body)
    }

    /// Reads a key, waiting for the disk where needed.
    pub fn read(&mut self, key: &[u8]) -> Option<Found> {
        self.read_at(slot(key), key)
    }

    /// As `read`, for a key of a given slot.
    pub fn read_at(&mut self, slot: u16, key: &[u8]) -> Option<Found> {
        match self.bitcask.read(&mut self.disk, slot, key) {
            Read::Absent => None,
            Read::Ready(found) => Some(found),
            Read::Pending(ticket) => loop {
                if let Some(at) = self.reads.iter().position(|(t, _)| *t == ticket) {
                    return self.reads.swap_remove(at).1.expect("the record is whole");
                }
                assert!(self.turn(), "the read ends");
            },
        }
    }

    /// Reads a stretch of the log, waiting for the disk.
    pub fn stretch(&mut self, from: LogPlace, until: LogEnd, bytes: usize) -> Option<Stretch> {
        let ticket = self.bitcask.read_stretch(&mut self.disk, (from, until), bytes)?;
        loop {
            if let Some(at) = self.stretches.iter().position(|(t, _)| *t == ticket) {
                return Some(self.stretches.swap_remove(at).1.expect("the disk reads"));
            }
            assert!(self.turn(), "the read ends");
        }
    }

    /// The body of a key's value.
    pub fn value(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let found = self.read(key)?;
        assert_eq!(&*found.key, key);
        (found.kind == Kind::Value).then(|| found.body.to_vec())
    }
}
