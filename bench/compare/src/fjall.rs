//! Random rows into fjall, in a process of its own: keys of 16 digits, one after the other, its journal not synced, until nothing is
//! left to flush or to compact. Ends with a line of JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{Database, KeyspaceCreateOptions};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::error::{CompareError, Result};
use crate::limits::{POLL, VALUE_BYTES};

/// Looks, [`POLL`] apart, at which its background work must be found at rest before it counts as done.
const QUIET_LOOKS: u32 = 10;

/// Loads a fresh folder and prints rows per second.
///
/// # Errors
/// fjall says that something went wrong.
pub fn load(folder: &Path, keys: u64) -> Result<()> {
    let per_second =
        rows_per_second(folder, keys).map_err(|error| CompareError::tool("fjall", error.to_string()))?;
    println!("{{\"load_and_compact_per_second\":{per_second:.1}}}");
    Ok(())
}

fn rows_per_second(folder: &Path, keys: u64) -> fjall::Result<f64> {
    let database = Database::builder(folder).open()?;
    let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
    let mut random = SmallRng::seed_from_u64(1);
    let mut value = [b'v'; VALUE_BYTES];
    let start = Instant::now();
    for _ in 0..keys {
        // Half of a value repeats, as that of RocksDB's benchmark does.
        random.fill_bytes(&mut value[..VALUE_BYTES / 2]);
        rows.insert(format!("{:016}", random.random_range(0..keys)), value)?;
    }
    rows.rotate_memtable_and_wait()?;
    let mut quiet = 0;
    while quiet < QUIET_LOOKS {
        std::thread::sleep(POLL);
        let rests = database.outstanding_flushes() == 0 && database.active_compactions() == 0;
        quiet = if rests { quiet + 1 } else { 0 };
    }
    Ok(keys as f64
        / start.elapsed().saturating_sub(POLL * QUIET_LOOKS).max(Duration::from_nanos(1)).as_secs_f64())
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_are_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert!(super::rows_per_second(folder.path(), 1_000).unwrap() > 0.0);
        assert!(super::load(std::path::Path::new("/dev/null"), 1).is_err());
    }
}
