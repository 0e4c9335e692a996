//! A million keys: what they take in RAM, measured and not reckoned, and how long they take to come back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bitcask::{Kind, Options};
use reactor::sim::Latency;

use crate::world::{options, stamp, World};

const KEYS: u64 = 1_000_000;

/// The bound of docs and design: all told, per key.
const BYTES_PER_KEY_MAX: f64 = 32.0;

/// The system's allocator, counted: each allocation with the eight bytes and the rounding to sixteen that glibc adds.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

fn charged(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

#[allow(unsafe_code)]
// An allocator can only be an unsafe trait's; each call is handed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(charged(layout), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(charged(layout), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(charged(layout), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measured in a process of its own, so that no other test's memory is counted: the test starts itself again.
#[test]
fn a_million_keys() {
    const CHILD: &str = "BITCASK_MILLION_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().expect("a test knows its own file");
        let arguments = ["million::a_million_keys", "--exact", "--nocapture", "--test-threads=1"];
        let output =
            std::process::Command::new(program).args(arguments).env(CHILD, "1").output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| line.starts_with("1000000 keys")).for_each(|line| println!("{line}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("1000000 keys: recovered"), "the child ran to its end: {text}");
        return;
    }
    let options = Options { segment_bytes: 16 << 20, cache_bytes: 0, ..options() };
    let mut world = World::new(1, options);
    world.disk.set_latency(Latency::none());
    let key = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes();
    let slot = |n: u64| (n * 7919 % 16_384) as u16;
    for n in 0..KEYS {
        let key = key(n);
        let record = bitcask::Record {
            slot: slot(n),
            key: &key,
            stamp: stamp(1 + n % 9),
            kind: Kind::Value,
            body: b"0123456789abcdef",
        };
        world.bitcask.append(record).expect("it is taken");
        if n % 1_000 == 0 {
            world.turn();
        }
    }
    world.settle();
    let World { disk, options, bitcask, .. } = world;
    let stats = bitcask.stats();
    assert_eq!(stats.entries, KEYS);
    let with = HELD.load(Ordering::Relaxed);
    drop(bitcask);
    let per_key = (with - HELD.load(Ordering::Relaxed)) as f64 / KEYS as f64;
    println!("\n{KEYS} keys: {per_key:.2} bytes of RAM per key in a grown directory, all told");
    assert!(per_key <= BYTES_PER_KEY_MAX, "{per_key}");

    let mut disk = disk;
    disk.kill();
    let before = HELD.load(Ordering::Relaxed);
    let start = Instant::now();
    let mut world = World::opened(disk, options);
    world.background = false;
    world.settle();
    let time = start.elapsed();
    let recovered = world.ready.expect("it is ready");
    assert_eq!(recovered.entries, KEYS);
    let per_key = (HELD.load(Ordering::Relaxed) - before) as f64 / KEYS as f64;
    println!("{KEYS} keys: {per_key:.2} bytes of RAM per key in a recovered directory, all told");
    assert!(per_key <= BYTES_PER_KEY_MAX, "{per_key}");
    println!(
        "{KEYS} keys: recovered in {} ms of CPU and simulated disk, {} hints, {} MB read",
        time.as_millis(),
        recovered.hints_used,
        recovered.bytes_read / 1_000_000
    );
    for n in (0..KEYS).step_by(9_973) {
        let found = world.read_at(slot(n), &key(n)).expect("it is there");
        assert_eq!((found.stamp, &*found.body), (stamp(1 + n % 9), &b"0123456789abcdef"[..]));
    }
    lookups_allocate_nothing();
}

/// What the directory or the cache answers costs no allocation.
fn lookups_allocate_nothing() {
    let mut world = World::new(1, options());
    for n in 0..100_u64 {
        world.put(&n.to_le_bytes(), 1, b"body");
    }
    world.settle();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for n in 0..200_u64 {
        let key = n.to_le_bytes();
        let slot = crate::world::slot(&key);
        assert_eq!(world.bitcask.info(slot, &key).entry.is_some(), n < 100);
        let found = world.bitcask.read(&mut world.disk, slot, &key);
        assert_eq!(matches!(found, bitcask::Read::Ready(_)), n < 100);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}
