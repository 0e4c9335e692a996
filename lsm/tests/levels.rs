//! What compaction comes to: the space and the writing that it costs.

use reactor::rng::Rng;

use crate::world::{options, World};

fn fill(world: &mut World, count: u64, key: impl Fn(u64) -> u64) {
    let mut rng = Rng::new(9);
    for number in 0..count {
        let mut value = [0; 100];
        rng.fill(&mut value);
        world.put(format!("{:08}", key(number)).as_bytes(), &value);
        if number % 16 == 0 {
            world.turn();
        }
    }
    world.flush();
}

/// Bytes that were written to tables for each byte of a row, and bytes of tables for each byte of a row that is there.
fn amplification(world: &mut World) -> (f64, f64) {
    let stats = world.lsm.stats();
    let counters = stats.counters;
    let written = counters.flushed_bytes + counters.compacted_out_bytes;
    let rows: usize = world.all().iter().map(|(key, value)| key.len() + value.len()).sum();
    let tables: u64 = stats.table_bytes.iter().sum();
    (written as f64 / counters.batch_bytes as f64, tables as f64 / rows as f64)
}

#[test]
fn random_rows_cost_a_few_times_their_bytes() {
    let mut world = World::new(1, options());
    fill(&mut world, 20_000, |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 12_000);
    let stats = world.lsm.stats();
    assert!(stats.tables[..6].iter().filter(|tables| **tables > 0).count() > 1, "{stats:?}");
    let (written, space) = amplification(&mut world);
    // Blocks of 512 bytes, and files in whole blocks of 4 KiB, cost more here than they do at their usual sizes.
    assert!(written < 11.0 && space < 1.9, "{written} written, {space} kept");
}

#[test]
fn rows_in_their_order_are_written_once() {
    let mut world = World::new(2, options());
    fill(&mut world, 10_000, |number| number);
    let counters = world.lsm.stats().counters;
    assert_eq!(counters.compactions, 0, "tables that overlap nothing go down as they are");
    assert!(counters.moves > 10);
}

#[test]
fn levels_stay_within_their_targets() {
    let mut world = World::new(3, options());
    fill(&mut world, 12_000, |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
    let stats = world.lsm.stats();
    assert_eq!(stats.debt_bytes, 0, "{stats:?}");
    assert!(stats.tables[0] < 3);
    let (upper, last) = (stats.table_bytes[..6].iter().sum::<u64>(), stats.table_bytes[6]);
    assert!(upper < last, "the last level has nearly all: {upper} and {last}");
}
