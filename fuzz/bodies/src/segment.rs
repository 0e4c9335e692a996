//! Recovery from files whose frames have right checksums and say anything: it ends ready or failed, and what is ready works.

use bitcask::{Bitcask, Event, Fault, Fingerprint, Kind, Lsn, Options, Read, Record, Stamp};
use reactor::frame::{Filling, Header};
use reactor::sim::SimDisk;

use crate::input::{put_chunk, Input};
use crate::limits::TURNS_MAX;

/// The segment that a fuzzed one is named as.
const SEGMENT: u64 = 1 << 32;

thread_local! {
    /// A segment that the engine wrote, sealed and gave a hint. The same for every input.
    static SEALED: (u64, Vec<u8>) = {
        let engine = filled(60);
        let hint = engine.disk.list().into_iter().find_map(|(name, _)| {
            u64::from_str_radix(name.strip_prefix("hint-")?.strip_suffix(".log")?, 16).ok()
        });
        let id = hint.expect("a full segment has a hint");
        (id, engine.disk.bytes_of(&segment_name(id)).expect("the hint's segment is there"))
    };
}

fn segment_name(id: u64) -> String {
    format!("seg-{id:016x}.log")
}

/// One byte that says which file it is, then its frames: knobs, and a payload.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let id = if kind % 3 == 1 { SEALED.with(|sealed| sealed.0) } else { SEGMENT };
    let bytes = file(kind, id, &mut input);
    // Whatever a file holds, it can be shown.
    assert!(!bitcask::inspect(&bytes).is_empty(), "every file has an end");
    let mut disk = SimDisk::new(1);
    match kind % 3 {
        0 => disk.put(&segment_name(id), &bytes),
        1 => {
            SEALED.with(|sealed| disk.put(&segment_name(id), &sealed.1));
            disk.put(&format!("hint-{id:016x}.log"), &bytes);
        }
        _ => disk.put("bitcask.id", &bytes),
    }
    let Some(mut engine) = Engine::open(disk) else { return };
    engine.read_everything();
    engine.write_and_reopen();
}

pub fn options() -> Options {
    let segment_bytes = bitcask::limits::SEGMENT_BYTES_MIN;
    Options { segment_bytes, cache_bytes: 16 << 10, ..Options::new(0, [9; 16]) }
}

/// Frames in a row, padded to a segment's length.
fn file(kind: u8, id: u64, input: &mut Input<'_>) -> Vec<u8> {
    let flags = [0, 2, 3][usize::from(kind % 3)];
    let (mut bytes, mut previous_crc, mut sequence) = (Vec::new(), 0, 0);
    while !input.is_empty() && bytes.len() < 1 << 18 {
        let knobs = input.byte();
        let payload = input.chunk();
        let mut filling = Filling::default();
        filling.extend(payload.len()).copy_from_slice(payload);
        let header = Header {
            version: 0,
            flags: if knobs & 1 == 0 { flags } else { u16::from(input.byte()) },
            core: u32::from(knobs & 2 != 0) * u32::from(input.byte()),
            previous_crc: if knobs & 4 == 0 { previous_crc } else { 7 },
            segment: if kind % 3 == 2 { 0 } else { id + u64::from(knobs & 8 != 0) },
            sequence: sequence + u64::from(knobs & 16 != 0) * u64::from(input.byte()),
            payload_bytes: 0,
            crc: 0,
        };
        let (header, frame) = filling.seal(header);
        (previous_crc, sequence) = (header.crc, header.sequence + 1);
        bytes.extend_from_slice(frame.as_slice());
        if knobs & 32 != 0 {
            // A torn or rotten place.
            let at = usize::from(input.word()) % bytes.len();
            bytes[at] ^= 1 << (knobs >> 6);
        }
    }
    let ends_with_last_frame = kind & 0x80 != 0;
    if kind.is_multiple_of(3) && !ends_with_last_frame {
        bytes.resize(bytes.len().max(options().segment_bytes as usize), 0);
    }
    bytes
}

/// A directory with this many keys of 2,000 bytes, written one by one.
pub fn filled(keys: u64) -> Engine {
    let mut engine = Engine::open(SimDisk::new(1)).expect("an empty directory");
    for key in 0..keys {
        engine.put(&key.to_le_bytes(), 1 + key, &[key as u8; 2000]);
        engine.settle();
    }
    engine
}

/// An engine and the disk under it.
pub struct Engine {
    pub disk: SimDisk,
    bitcask: Bitcask,
    now: u64,
    ready: Option<u64>,
    failed: Option<Fault>,
    persisted: Lsn,
    reads: Vec<bool>,
}

impl Engine {
    /// Recovers; none if recovery says that it cannot.
    pub fn open(mut disk: SimDisk) -> Option<Engine> {
        let bitcask = Bitcask::open(options(), &mut disk);
        let (failed, persisted, reads) = (None, Lsn(0), Vec::new());
        let mut engine = Engine { disk, bitcask, now: 0, ready: None, failed, persisted, reads };
        engine.settle();
        assert!(engine.ready.is_some() != engine.failed.is_some(), "recovery ends, in one way");
        engine.ready.is_some().then_some(engine)
    }

    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.bitcask.flush(&mut self.disk);
            if self.bitcask.background_wanted() {
                self.bitcask.background(&mut self.disk, self.now, 1 << 20);
            }
            self.drain();
            let Some(due) = self.disk.next_event() else { return };
            self.now = self.now.max(due);
            for completion in self.disk.poll_completions(self.now) {
                assert!(self.bitcask.on_disk(&mut self.disk, completion), "every operation is the engine's");
            }
            self.drain();
        }
        panic!("the engine does not come to rest");
    }

    fn drain(&mut self) {
        while let Some(event) = self.bitcask.poll() {
            match event {
                Event::Ready(recovered) => self.ready = Some(recovered.entries),
                Event::Persisted(lsn) => self.persisted = lsn,
                Event::Read { result, .. } => self.reads.push(result.is_ok()),
                Event::Failed(fault) => self.failed = Some(fault),
                Event::Stretch { .. } | Event::Full(_) | Event::LossEnded => {}
            }
        }
    }

    /// Appends a value, if the engine takes it.
    pub fn put(&mut self, key: &[u8], round: u64, body: &[u8]) -> Option<Lsn> {
        let stamp = Stamp { round, node: 1, incarnation: 1 };
        self.bitcask.append(Record { slot: slot(key), key, stamp, kind: Kind::Value, body }).ok()
    }

    /// Appends a delta on the record of the round before, if the engine takes it.
    fn extend(&mut self, key: &[u8], round: u64, body: &[u8]) -> Option<Lsn> {
        let stamp = |round| Stamp { round, node: 1, incarnation: 1 };
        let record = Record { slot: slot(key), key, stamp: stamp(round), kind: Kind::Value, body };
        self.bitcask.append_delta(record, stamp(round - 1)).ok()
    }

    /// Every key of the directory, by fingerprint: what comes back bears the stamp that the directory names.
    fn read_everything(&mut self) {
        for slot in 0..bitcask::limits::SLOTS as u16 {
            if self.bitcask.slot_summary(slot).records == 0 {
                continue;
            }
            for (fingerprint, entry) in self.bitcask.slot_entries(slot, Fingerprint::MIN, usize::MAX) {
                let read = self.bitcask.read_fingerprint(&mut self.disk, slot, fingerprint);
                if let Read::Ready(found) = read {
                    assert_eq!(found.stamp, entry.stamp, "the record is the one that was named");
                }
                self.settle();
            }
        }
    }

    /// What is written now is there after the next start, as far as this one went well.
    fn write_and_reopen(mut self) {
        let key = b"written now";
        let lsn = self.put(key, bitcask::limits::ROUND_MAX, b"body");
        self.settle();
        let (durable, entries) = (lsn.is_some_and(|lsn| lsn <= self.persisted), self.entries());
        if self.failed.is_some() {
            return;
        }
        self.disk.kill();
        let again = Engine::open(self.disk).expect("what was recovered once is recovered again");
        assert_eq!(again.entries(), entries, "the same keys");
        if durable {
            let found = again.bitcask.info(slot(key), key).entry;
            assert!(found.is_some_and(|entry| entry.stamp.round == bitcask::limits::ROUND_MAX));
        }
    }

    fn entries(&self) -> u64 {
        self.bitcask.stats().entries
    }

    /// The body of a key, if it can be read.
    pub fn body(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        match self.bitcask.read(&mut self.disk, slot(key), key) {
            Read::Ready(found) => Some(found.body.to_vec()),
            Read::Absent => None,
            Read::Pending(_) => {
                self.settle();
                // It is cached now, unless the read failed.
                match self.bitcask.read(&mut self.disk, slot(key), key) {
                    Read::Ready(found) => Some(found.body.to_vec()),
                    _ => {
                        self.settle();
                        None
                    }
                }
            }
        }
    }
}

/// The slot of a key; any fixed function will do.
fn slot(key: &[u8]) -> u16 {
    key.iter().fold(7_u16, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte))) % 16_384
}

/// The payloads of real files, with deltas in them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut engine = filled(60);
    for key in 57..60_u64 {
        for delta in 1..=key - 55 {
            assert!(engine.extend(&key.to_le_bytes(), 1 + key + delta, b"delta").is_some(), "it is taken");
        }
        engine.settle();
    }
    let mut seeds = Vec::new();
    for (name, _) in engine.disk.list() {
        let bytes = engine.disk.bytes_of(&name).unwrap_or_default();
        let kind = if name.starts_with("seg") { 0 } else { 1 + u8::from(name.starts_with("bitcask")) };
        let mut seed = vec![kind];
        let mut at = 0;
        while let Ok((header, payload)) = reactor::frame::decode(bytes.get(at..).unwrap_or_default()) {
            seed.push(0);
            put_chunk(&mut seed, payload);
            at += header.frame_bytes();
            if kind == 0 && seed.len() > 8 << 10 {
                break;
            }
        }
        if seed.len() > 1 {
            seeds.push(seed);
        }
    }
    seeds
}
