//! The engine alone, beside RocksDB by its own `db_bench`: synced puts from 64 writers, 16-byte keys, 100-byte values.

use std::path::Path;
use std::process::Command;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{LOAD_PATIENCE, VALUE_BYTES};
use crate::machine::Machine;
use crate::process;
use crate::record::Record;

/// Its name.
pub const NAME: &str = "engine";

/// Synced puts of 64 writers, RocksDB.
pub const ROCKSDB_PUTS: &str = "RocksDB, synced puts of 64 writers";

/// Synced puts of 64 writers, the engine.
pub const PUTS: &str = "bitcask, synced puts of 64 writers";

const WRITERS: u64 = 64;

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    for run in 1..=context.options.runs {
        let folder =
            tempfile::tempdir_in(&context.dir).map_err(|error| CompareError::io("making a folder", error))?;
        let rate = rocksdb(context, folder.path())?;
        context.say(&format!("{NAME} run {run}: {ROCKSDB_PUTS}: {rate:.0}/s"));
        record.figure(NAME, run, ROCKSDB_PUTS, rate, "ops/s");
    }
    Ok(())
}

fn rocksdb(context: &Context, folder: &Path) -> Result<f64> {
    let mut command = Command::new("db_bench");
    command.args(["--benchmarks=fillrandom", "--sync=1", "--key_size=16", "--compression_type=none"]);
    command.arg(format!("--db={}", folder.display())).arg(format!("--value_size={VALUE_BYTES}"));
    command.arg(format!("--threads={WRITERS}")).arg(format!("--num={}", context.options.engine_keys));
    command.arg(format!("--duration={}", context.options.seconds.as_secs().max(1)));
    let text = process::run_well(
        "db_bench",
        &mut command,
        &context.dir.join("db_bench.log"),
        LOAD_PATIENCE,
        &context.stop,
    )?;
    read(&text, "fillrandom")
        .ok_or_else(|| CompareError::tool("db_bench", format!("said what is not understood: {text}")))
}

/// The operations per second in a line such as `fillrandom : 12.3 micros/op 81234 ops/sec ...`.
fn read(text: &str, benchmark: &str) -> Option<f64> {
    let line = text.lines().rfind(|line| line.starts_with(benchmark))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "ops/sec")?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rate_of_db_bench_is_read() {
        let text = "Entries:    1000\nfillrandom   :     101.2 micros/op 632123 ops/sec 2.0 seconds 1264 operations;   70.0 MB/s\n";
        assert_eq!(super::read(text, "fillrandom"), Some(632123.0));
        assert_eq!(super::read("fillrandom : 1 micros/op", "fillrandom"), None);
    }
}
