//! The full disk: whatever was taken has a place, and so have the deletes that make room again.

use bitcask::{AppendError, Kind, Lsn, Options, Record};
use reactor::rng::Rng;
use reactor::sim::{Latency, SimDisk};

use crate::twin::seeds;
use crate::world::{options, slot, stamp, World};

const SEGMENTS: u64 = 16;

/// A world in which the disk becomes full under bursts of writes.
struct Filling {
    world: World,
    rng: Rng,
    body_max: u64,
    /// Keys by number, with the round of what was taken last.
    keys: Vec<u64>,
    last: Lsn,
}

impl Filling {
    fn new(seed: u64) -> Filling {
        let mut rng = Rng::new(seed);
        let segment_bytes = [64 << 10, 128 << 10, 512 << 10][rng.below(3) as usize];
        let mut disk = SimDisk::new(seed);
        if rng.coin() {
            disk.set_latency(Latency::none());
        }
        disk.set_capacity(segment_bytes * SEGMENTS + rng.below(segment_bytes));
        let mut world = World::opened(disk, Options { segment_bytes, ..options() });
        world.settle();
        let body_max = [50, 3_000, segment_bytes / 3][rng.below(3) as usize];
        Filling { world, rng, body_max, keys: Vec::new(), last: Lsn(0) }
    }

    fn append(&mut self, key: u64, round: u64, kind: Kind, body: &[u8]) -> Result<(), AppendError> {
        let key = key.to_le_bytes();
        let record = Record { slot: slot(&key), key: &key, stamp: stamp(round), kind, body };
        let admitted = self.world.bitcask.admits(record.slot, &key, kind, body.len());
        let taken = self.world.bitcask.append(record);
        assert_eq!(admitted, taken.map(|_| ()), "what is admitted is taken, and nothing else");
        self.last = taken?;
        Ok(())
    }

    /// Bursts of new keys until the disk is found full; what is under way then is left so.
    fn until_full(&mut self) {
        loop {
            for _ in 0..self.rng.below(60) {
                let mut body = vec![0; self.rng.below(self.body_max) as usize];
                self.rng.fill(&mut body);
                let key = self.keys.len() as u64;
                match self.append(key, 1, Kind::Value, &body) {
                    Ok(()) => self.keys.push(1),
                    Err(AppendError::Full) => return,
                    Err(error) => assert_eq!(error, AppendError::Making),
                }
            }
            self.world.turn();
        }
    }

    /// Everything that was taken becomes durable, and that without any more space.
    fn all_is_durable(&mut self) {
        self.world.settle();
        assert_eq!(self.world.failed, None);
        assert_eq!(self.world.persisted, self.last, "what was taken has a place");
    }
}

#[test]
fn what_was_taken_before_the_disk_was_full_has_a_place_and_deletes_behind_it() {
    for seed in 0..seeds() {
        let mut filling = Filling::new(seed);
        filling.until_full();
        // Nothing has settled yet: values wait, frames are in flight.
        filling.append(u64::MAX, 9, Kind::Promise, b"").expect("promises are taken");
        for key in 0..20.min(filling.keys.len() as u64) {
            filling.append(key, 2, Kind::Tombstone, b"").expect("deletes are taken");
        }
        filling.world.bitcask.append_meta(1, b"name").expect("named values are taken");
        filling.last.0 += 1;
        filling.all_is_durable();
    }
}

#[test]
fn deletes_empty_a_full_disk() {
    for seed in 0..seeds() / 4 {
        let mut filling = Filling::new(seed);
        filling.until_full();
        let keys = filling.keys.len() as u64;
        for key in 0..keys {
            // One at a time, each in a frame of its own: what takes the most room.
            let mut tries = 0;
            while let Err(error) = filling.append(key, 2, Kind::Tombstone, b"") {
                assert!(matches!(error, AppendError::Making | AppendError::ReserveUsed), "{error}");
                tries += 1;
                let stats = filling.world.bitcask.stats();
                assert!(
                    tries < 10,
                    "seed {seed}: merge makes room for the delete of key {key} of {keys}: {stats:?}"
                );
                filling.world.settle_while_full();
            }
            filling.world.turn();
        }
        filling.all_is_durable();
        filling.world.settle_while_full();
        assert!(!filling.world.full, "seed {seed}: {:?}", filling.world.bitcask.stats());
        filling.append(0, 3, Kind::Value, b"again").expect("values are taken again");
        filling.all_is_durable();
        let mut world = filling.world.reopen();
        assert_eq!(world.value(&0_u64.to_le_bytes()).as_deref(), Some(&b"again"[..]));
        assert_eq!(world.bitcask.stats().keys, 1);
    }
}

#[test]
fn deletes_that_free_nothing_end_with_the_reserve_and_say_so() {
    let mut filling = Filling::new(0);
    filling.until_full();
    let mut taken = 0_u64;
    let refused = loop {
        // Of keys that never were: tombstones that stay.
        match filling.append(1 << 40 | taken, 1, Kind::Tombstone, &[7; 1_000]) {
            Ok(()) => taken += 1,
            Err(AppendError::Making) => {}
            Err(error) => break error,
        }
        filling.world.settle_while_full();
        assert!(taken < 10_000, "there is an end");
    };
    assert_eq!(refused, AppendError::ReserveUsed);
    assert!(refused.to_string().contains("deletes"), "{refused}");
    filling.all_is_durable();
    // Space that somebody else frees ends it.
    filling.world.disk.set_capacity(u64::MAX);
    filling.world.settle_while_full();
    assert!(!filling.world.full);
    filling.append(1 << 41, 1, Kind::Tombstone, b"").expect("deletes are taken again");
    filling.append(1 << 41, 2, Kind::Value, b"x").expect("values too");
    filling.all_is_durable();
    let world = filling.world.reopen();
    assert_eq!(world.bitcask.stats().entries, filling.keys.len() as u64 + taken + 1);
}

#[test]
fn a_full_disk_is_started_on_again_and_again() {
    for seed in 0..seeds() / 6 {
        let mut filling = Filling::new(seed);
        filling.until_full();
        filling.all_is_durable();
        let keys = filling.keys.len() as u64;
        let mut world = filling.world;
        for start in 1..=12_u8 {
            world = if start % 2 == 0 { world.crash() } else { world.restarted() };
            world.settle_while_full();
            assert_eq!(world.failed, None);
            assert!(world.ready.is_some());
            world.bitcask.append_meta(1, &[start]).expect("each start writes its number");
            world.append(&(u64::from(start) % keys).to_le_bytes(), 2, Kind::Tombstone, b"");
            world.settle();
            assert_eq!(world.bitcask.meta(1), Some(&[start][..]), "seed {seed}");
        }
    }
}
