//! One workload, with each of its disk operations failing in turn: the engine stops, says so, and comes back whole.

use bitcask::{AppendError, Options, Record};
use reactor::sim::{Fault, Latency, SimDisk};

use crate::world::{options, slot, stamp, World};

const ROUNDS: u64 = 40;

fn start(disk: SimDisk) -> World {
    let options = Options { segment_bytes: 64 << 10, cache_bytes: 0, ..options() };
    World::opened(disk, options)
}

fn key(n: u64) -> [u8; 8] {
    (n % 8).to_le_bytes()
}

/// Overwrites eight keys again and again; how many rounds were acknowledged.
fn work(world: &mut World) -> u64 {
    world.settle();
    for n in 0..ROUNDS {
        let key = key(n);
        let body = vec![n as u8; 9_000];
        let record = Record {
            slot: slot(&key),
            key: &key,
            stamp: stamp(n + 1),
            kind: bitcask::Kind::Value,
            body: &body,
        };
        match world.bitcask.append(record) {
            Ok(lsn) => {
                world.settle();
                if world.persisted < lsn {
                    return n;
                }
            }
            Err(AppendError::Failed | AppendError::NotReady | AppendError::Full) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    ROUNDS
}

#[test]
fn any_single_failure_is_survived() {
    let disk = || {
        let mut disk = SimDisk::new(7);
        disk.set_latency(Latency::none());
        disk
    };
    let mut healthy = start(disk());
    assert_eq!(work(&mut healthy), ROUNDS);
    let stats = healthy.bitcask.stats();
    assert!(
        stats.counters.merges > 3 && stats.counters.hints > 3,
        "the workload meets everything: {stats:?}"
    );
    let steps = healthy.disk.counters().submitted;
    let mut failed = 0;
    for (step, fault) in (0..steps).flat_map(|step| [(step, Fault::Io), (step, Fault::ShortWrite)]) {
        let mut disk = disk();
        disk.fail_nth(step, fault);
        let mut world = start(disk);
        let acknowledged = work(&mut world);
        failed += u64::from(world.failed.is_some());
        assert!(world.failed.is_some() || acknowledged == ROUNDS, "step {step}: it works or it says so");
        let mut world = if step % 2 == 0 { world.crash() } else { world.restarted() };
        world.settle();
        assert_eq!(world.failed, None, "step {step}");
        for n in acknowledged.saturating_sub(8)..acknowledged {
            let entry = world.bitcask.info(slot(&key(n)), &key(n)).entry.expect("it was acknowledged");
            assert!(entry.stamp >= stamp(n + 1), "step {step}: round {n} was acknowledged");
            let body = world.value(&key(n)).expect("it was acknowledged");
            assert_eq!(body, vec![entry.stamp.round as u8 - 1; 9_000], "step {step}");
        }
    }
    assert!(failed > steps, "most failures stop the slice: {failed} of {steps} steps, twice");
}
