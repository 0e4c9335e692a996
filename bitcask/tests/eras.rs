//! Values of older eras count as tombstones, through restarts, merges and hints.

use std::collections::BTreeMap;

use bitcask::{AppendError, Kind, Options, Record};
use reactor::rng::Rng;

use crate::world::{options, slot, stamp, World};

/// The era of a body is in its first four bytes.
fn era_of(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |era| u32::from_le_bytes(*era))
}

fn with_eras() -> Options {
    Options { era_of, ..options() }
}

fn body(era: u32, bytes: usize) -> Vec<u8> {
    let mut body = era.to_le_bytes().to_vec();
    body.resize(4 + bytes, 7);
    body
}

/// What is known of each key: its newest round, its kind, its era, and how many deltas end its chain.
type Model = BTreeMap<Vec<u8>, (u64, Kind, u32, u64)>;

fn put(world: &mut World, model: &mut Model, key: &[u8], (round, kind, era): (u64, Kind, u32), bytes: usize) {
    let body = body(era, bytes);
    world.try_append(key, round, kind, &body).unwrap();
    let newest = model.get(key).is_none_or(|(known, ..)| *known < round);
    if newest {
        model.insert(key.to_vec(), (round, kind, era, 0));
    }
}

/// A delta on the key's newest record, if the engine takes it; it takes one on a value of its own era and of no other.
fn extend(world: &mut World, model: &mut Model, key: &[u8], (round, of, era): (u64, u32, u32)) -> bool {
    let Some(known) = model.get_mut(key) else { return false };
    let body = body(of, 4);
    let record = Record { slot: slot(key), key, stamp: stamp(round), kind: Kind::Value, body: &body };
    let taken = world.bitcask.append_delta(record, stamp(known.0));
    if known.1 == Kind::Tombstone || known.2 < era || known.2 != of {
        assert_eq!(taken, Err(AppendError::Changed), "key {key:?} round {round}");
    }
    if taken.is_ok() {
        *known = (round, Kind::Value, of, known.3 + 1);
    }
    taken.is_ok()
}

/// Everything that is told of keys and slots is as of the era.
fn check(world: &mut World, model: &Model, era: u32) {
    let kind = |(_, kind, of, _): &(u64, Kind, u32, u64)| if *of < era { Kind::Tombstone } else { *kind };
    let mut slots: BTreeMap<u16, (u32, u32, u32)> = BTreeMap::new();
    for (key, known) in model {
        let entry = world.bitcask.info(slot(key), key).entry.unwrap();
        assert_eq!((entry.stamp, entry.kind), (stamp(known.0), kind(known)), "key {key:?}");
        let listed = world.bitcask.slot_entries(slot(key), world.bitcask.fingerprint(key), 1);
        assert_eq!(listed[0].1, entry);
        let sums = slots.entry(slot(key)).or_default();
        sums.0 += u32::from(entry.kind != Kind::Tombstone);
        sums.1 += u32::from(entry.kind == Kind::Expiring);
        sums.2 += 1;
        // What is read is the chain as it was written.
        let found = world.read(key).unwrap();
        assert_eq!((found.deltas.len() as u64, found.base), (known.3, None), "key {key:?}");
        assert!(found
            .deltas
            .iter()
            .chain([&found.body])
            .all(|part| known.1 == Kind::Tombstone || era_of(part) == known.2));
    }
    let chains = model.values().filter(|known| known.3 > 0).count() as u64;
    let deltas = model.values().map(|known| known.3).sum();
    let stats = world.bitcask.stats();
    assert_eq!((stats.chains, stats.deltas), (chains, deltas));
    for (slot, (keys, expiring, records)) in &slots {
        let summary = world.bitcask.slot_summary(*slot);
        assert_eq!((summary.keys, summary.expiring, summary.records), (*keys, *expiring, *records));
    }
    let keys: u32 = slots.values().map(|(keys, ..)| *keys).sum();
    assert_eq!(world.bitcask.stats().keys, u64::from(keys));
}

/// A twin: whatever comes in whatever order, a map says the same.
#[test]
fn older_values_are_tombstones_whatever_happens() {
    let (mut merges, mut hints, mut deltas, mut refused, mut ended) = (0, 0, 0, 0, 0);
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(seed, with_eras());
        let (mut model, mut era, mut round) = (Model::new(), 0, 0);
        for step in 0..600 {
            match rng.below(60) {
                0 => {
                    ended += model.values().filter(|known| known.3 > 0 && known.2 == era).count();
                    era += 1 + rng.below(3) as u32;
                    world.bitcask.set_era(era);
                    world.bitcask.set_era(era - 1);
                    assert_eq!(world.bitcask.era(), era);
                }
                1 => {
                    world.settle();
                    let counters = world.bitcask.stats().counters;
                    (merges, hints) = (merges + counters.merges, hints + counters.hints);
                    world = if rng.coin() { world.reopen() } else { world.crash() };
                    world.settle();
                    assert_eq!(world.failed, None);
                    world.bitcask.set_era(era);
                }
                2 => {
                    world.settle();
                    check(&mut world, &model, era);
                }
                3..20 => {
                    round += 1;
                    let key = rng.below(50).to_le_bytes();
                    // Now and then of another one.
                    let of = era - u32::from(era > 0 && rng.below(8) == 0);
                    let taken = extend(&mut world, &mut model, &key, (round, of, era));
                    deltas += u64::from(taken);
                    refused += u64::from(!taken);
                    if rng.coin() {
                        world.turn();
                    }
                }
                die => {
                    round += 1;
                    let key = rng.below(50).to_le_bytes();
                    let kind = [Kind::Value, Kind::Expiring, Kind::Tombstone][rng.below(3) as usize];
                    // Now and then of an older one, as who has not heard proposes it.
                    let of = era - (rng.below(4) as u32 / 3).min(era);
                    // And below what is there.
                    let round = if die % 10 == 0 { 1 + rng.below(round) } else { round };
                    // Not between a delta and its base: the whole of that chain is above what is so old.
                    let between =
                        |(known, _, _, deltas): &(u64, Kind, u32, u64)| *deltas > 0 && round < *known;
                    if model.get(&key[..]).is_none_or(|known| known.0 != round && !between(known)) {
                        // Long enough to be extended while it is under way.
                        put(&mut world, &mut model, &key, (round, kind, of), 500 + rng.below(4_000) as usize);
                    }
                    if rng.coin() {
                        world.turn();
                    }
                }
            }
            assert_eq!(world.failed, None, "seed {seed} step {step}");
        }
        world.settle();
        check(&mut world, &model, era);
    }
    assert!(merges > 20 && hints > 20, "{merges} merges, {hints} hints");
    assert!(deltas > 500 && refused > 500 && ended > 20, "{deltas} deltas, {refused} refused, {ended} ended");
}

#[test]
fn what_is_read_is_as_it_was_written() {
    let mut world = World::new(1, with_eras());
    let mut model = Model::new();
    put(&mut world, &mut model, b"key", (1, Kind::Value, 0), 10);
    world.settle();
    world.bitcask.set_era(9);
    check(&mut world, &model, 9);
    assert_eq!(world.value(b"key").unwrap(), body(0, 10));
}

/// A chain is under way, or durable, when an era begins that it is not of: it counts as a tombstone as a whole, through merges and restarts, and
/// goes as a whole.
#[test]
fn a_chain_ends_with_its_era() {
    for durable in 0..3 {
        let mut world = World::new(1, with_eras());
        let mut model = Model::new();
        put(&mut world, &mut model, b"key", (1, Kind::Value, 0), 60_000);
        if durable > 0 {
            world.settle();
        }
        for round in 2..50 {
            assert!(extend(&mut world, &mut model, b"key", (round, 0, 0)));
        }
        if durable > 1 {
            world.settle();
        }
        world.bitcask.set_era(1);
        // Neither is it a base any more, for whatever era.
        assert!(!world.bitcask.takes_delta(slot(b"key"), b"key", stamp(49), &body(0, 4)));
        assert!(!extend(&mut world, &mut model, b"key", (50, 0, 1)));
        assert!(!extend(&mut world, &mut model, b"key", (50, 1, 1)));
        world.settle();
        check(&mut world, &model, 1);
        // Another key brings the era to the slot: at recovery too, and there before what is older is put together.
        let other = (0..).map(|n: u32| n.to_le_bytes()).find(|other| slot(other) == slot(b"key")).unwrap();
        put(&mut world, &mut model, &other, (60, Kind::Value, 1), 10);
        world.settle();
        check(&mut world, &model, 1);
        for _ in 0..2 {
            world = world.reopen();
            check(&mut world, &model, 1);
            world.bitcask.set_era(1);
            check(&mut world, &model, 1);
        }
        world.bitcask.remove(slot(b"key"), b"key", stamp(49)).unwrap();
        world.settle();
        model.remove(&b"key"[..]);
        check(&mut world, &model, 1);
        let mut world = world.reopen();
        check(&mut world, &model, 1);
    }
}
