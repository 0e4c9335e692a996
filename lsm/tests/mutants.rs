//! Planted bugs (feature `mutants`): each is found by the twin, or the tests prove less than they seem to.

use crate::twin::survives;

/// Number, and what is wrong.
const MUTANTS: &[(u32, &str)] = &[
    (602, "a memtable is dropped before the edit that names its table is durable"),
    (603, "what a manifest says is acted on before it is durable"),
    (604, "a table counts before its bytes are synced"),
    (605, "a compaction drops deletions although older versions lie below"),
    (606, "a compaction keeps only the newest version, whatever snapshots see"),
    (607, "a range deletion is dropped at the first compaction"),
    (608, "a range deletion of a table is not looked at by gets"),
    (609, "a scan takes range deletions for older than they are"),
    (610, "a table that a snapshot sees is dropped because a range deletion hides it from later readers"),
    (611, "an ingestion does not wait for what was applied before"),
    (612, "a table goes down past tables that it overlaps"),
    (613, "a full disk does not stop the compaction that met it"),
    (614, "a rename is not made durable before the old manifest goes"),
    (615, "tables of level 0 are asked from the oldest to the newest"),
];

/// Seeds that are tried for each.
const SEEDS: u64 = 2_000;

#[test]
fn every_planted_bug_is_found() {
    let mut lived = Vec::new();
    let only: Option<u32> = std::env::var("LSM_MUTANT").ok().and_then(|number| number.parse().ok());
    for (number, what) in MUTANTS.iter().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
        reactor::mutants::select(*number);
        std::panic::set_hook(Box::new(|_| {}));
        let found = (0..SEEDS).find(|seed| !survives(*seed));
        let _ = std::panic::take_hook();
        match found {
            Some(seed) => println!("{number}: seed {seed}: {what}"),
            None => lived.push((number, what)),
        }
    }
    reactor::mutants::select(0);
    assert!(lived.is_empty(), "these lived: {lived:?}");
}
