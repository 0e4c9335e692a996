//! What the hot path costs in CPU: appends, lookups and cached reads on a disk that does nothing.
//!
//! `cargo run --release -p bitcask --example hot_path`

use std::time::Instant;

use bitcask::{Bitcask, Kind, Options, Read, Record, Stamp};
use reactor::null::NullDisk;

fn settle(bitcask: &mut Bitcask, disk: &mut NullDisk) {
    loop {
        bitcask.flush(disk);
        let completions = disk.take_completions();
        if completions.is_empty() {
            break;
        }
        for completion in completions {
            bitcask.on_disk(disk, completion);
        }
        while bitcask.poll().is_some() {}
    }
}

fn report(what: &str, count: u64, start: Instant) {
    let nanos = start.elapsed().as_nanos() as u64;
    println!("{what:<40} {:>8} ns", nanos / count);
}

fn main() {
    const KEYS: u64 = 1_000_000;
    const PER_TURN: u64 = 32;
    let mut disk = NullDisk::default();
    let options = Options { cache_bytes: 512 << 20, ..Options::new(0, [1; 16]) };
    let mut bitcask = Bitcask::open(options, &mut disk);
    settle(&mut bitcask, &mut disk);
    let body = [7; 100];
    for (round, what) in
        [(1, "append of a new key, 32 per frame"), (2, "append over an old key, 32 per frame")]
    {
        let start = Instant::now();
        for n in 0..KEYS {
            let (key, slot) = (n.to_le_bytes(), (n * 7919 % 16_384) as u16);
            let stamp = Stamp { round, node: 1, incarnation: 1 };
            let record = Record { slot, key: &key, stamp, kind: Kind::Value, body: &body };
            bitcask.append(record).expect("there is room");
            if n % PER_TURN == 0 {
                settle(&mut bitcask, &mut disk);
            }
        }
        settle(&mut bitcask, &mut disk);
        report(what, KEYS, start);
    }
    let start = Instant::now();
    let mut found = 0;
    for n in 0..KEYS {
        let n = n.wrapping_mul(48_271) % KEYS;
        found += u64::from(bitcask.info((n * 7919 % 16_384) as u16, &n.to_le_bytes()).entry.is_some());
    }
    assert_eq!(found, KEYS);
    report("lookup", KEYS, start);
    let start = Instant::now();
    let mut cached = 0;
    for n in 0..KEYS {
        let n = n.wrapping_mul(48_271) % KEYS;
        let read = bitcask.read(&mut disk, (n * 7919 % 16_384) as u16, &n.to_le_bytes());
        cached += u64::from(matches!(read, Read::Ready(_)));
    }
    report(&format!("read, {} % from the cache", cached * 100 / KEYS), KEYS, start);
}
