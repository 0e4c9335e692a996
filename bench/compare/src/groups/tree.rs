//! The engine of rows alone, beside RocksDB by its own `db_bench` and beside fjall: 16-byte keys, 100-byte values, random keys. None of
//! them syncs, and neither ours nor RocksDB has a log: rows are what flushes and compactions leave. All compress by LZ4; fjall, by its own default, only lower levels.
//!
//! Our benchmark is a program that is called with `--keys N --seconds S --dir DIR` and ends its output with a line of JSON, whose fields
//! are those of [`Measured`].

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{db_bench, told};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{LOAD_PATIENCE, VALUE_BYTES};
use crate::machine::Machine;
use crate::process;
use crate::record::Record;

/// Its name.
pub const NAME: &str = "tree";

/// Rows per second of a random load, until nothing is left to compact.
pub const LOAD: &str = "lsm, random load with compaction";
/// The same.
pub const ROCKSDB_LOAD: &str = "RocksDB, random load with compaction";
/// The same.
pub const FJALL_LOAD: &str = "fjall, random load with compaction";
/// Gets of rows in memory, one core, a third of them of keys that are not there.
pub const WARM: &str = "lsm, warm gets of one core";
/// The same.
pub const ROCKSDB_WARM: &str = "RocksDB, warm gets of one thread";
/// Scans of 100 rows in memory.
pub const SCANS: &str = "lsm, warm scans of 100 rows";
/// The same.
pub const ROCKSDB_SCANS: &str = "RocksDB, warm scans of 100 rows";
/// Gets with a cache of a tenth of the rows, 32 at a time.
pub const COLD: &str = "lsm, cold gets";
/// The same, with direct reads.
pub const ROCKSDB_COLD: &str = "RocksDB, cold gets";
/// Bytes written per byte of rows.
pub const WRITTEN: &str = "lsm, bytes written per byte";
/// The same.
pub const ROCKSDB_WRITTEN: &str = "RocksDB, bytes written per byte";
/// Bytes of tables per byte of rows that were written.
pub const KEPT: &str = "lsm, bytes kept per byte";
/// The same.
pub const ROCKSDB_KEPT: &str = "RocksDB, bytes kept per byte";

/// Reads under way of the cold gets.
const READ_DEPTH: u64 = 32;

/// Rows of a scan.
const SCAN_ROWS: u64 = 100;

/// What the benchmark of the engine says.
#[derive(Debug, Deserialize)]
struct Measured {
    load_and_compact_per_second: f64,
    warm_gets_per_second: f64,
    warm_scans_per_second: f64,
    cold_gets_per_second: f64,
    written_per_byte: f64,
    kept_bytes_per_row_byte: f64,
}

/// What the load of fjall says.
#[derive(Debug, Deserialize)]
struct Loaded {
    load_and_compact_per_second: f64,
}

/// A figure and its unit.
type Figure = (&'static str, f64, &'static str);

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    for run in 1..=context.options.runs {
        let mut figures = in_folder(context, rocksdb)?;
        figures.extend(in_folder(context, fjall)?);
        if let Some(program) = &context.programs.tree {
            figures.extend(in_folder(context, |context, folder| ours(context, program, folder))?);
        }
        for (name, value, unit) in figures {
            context.say(&format!("{NAME} run {run}: {name}: {value:.2} {unit}"));
            record.figure(NAME, run, name, value, unit);
        }
    }
    if context.programs.tree.is_none() {
        record.left_out.push(format!("{NAME}: lsm itself; name its benchmark with --tree"));
    }
    Ok(())
}

/// In a fresh folder that goes away with its rows.
fn in_folder(
    context: &Context,
    measure: impl FnOnce(&Context, &Path) -> Result<Vec<Figure>>,
) -> Result<Vec<Figure>> {
    let folder =
        tempfile::tempdir_in(&context.dir).map_err(|error| CompareError::io("making a folder", error))?;
    measure(context, folder.path())
}

fn row_bytes(context: &Context) -> u64 {
    context.options.engine_keys * (16 + VALUE_BYTES as u64)
}

fn ours(context: &Context, program: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let mut command = Command::new(program);
    command.args(["--keys", &context.options.engine_keys.to_string()]);
    command.args(["--seconds", &context.options.seconds.as_secs_f64().to_string(), "--dir"]).arg(folder);
    let name = "the benchmark of the engine of rows";
    let log = context.dir.join("tree.log");
    let text = process::run_well(name, &mut command, &log, LOAD_PATIENCE, &context.stop)?;
    let measured: Measured = told(&text)
        .ok_or_else(|| CompareError::tool(name, format!("ended without its line of JSON: {text}")))?;
    Ok(vec![
        (LOAD, measured.load_and_compact_per_second, "rows/s"),
        (WARM, measured.warm_gets_per_second, "ops/s"),
        (SCANS, measured.warm_scans_per_second, "ops/s"),
        (COLD, measured.cold_gets_per_second, "ops/s"),
        (WRITTEN, measured.written_per_byte, ""),
        (KEPT, measured.kept_bytes_per_row_byte, ""),
    ])
}

fn rocksdb(context: &Context, folder: &Path) -> Result<Vec<Figure>> {
    let bytes = row_bytes(context);
    let options = |own: &[String]| {
        let mut all = vec!["--bloom_bits=10".to_owned(), "--compression_type=lz4".to_owned()];
        all.extend_from_slice(own);
        all
    };
    let started = SystemTime::now();
    let fill = options(&["--disable_wal=1".to_owned()]);
    let filled = db_bench::run(context, folder, "fillrandom,flush,waitforcompaction,stats", &fill)?;
    let tables = tables(folder)?;
    let kept: u64 = tables.iter().map(|(bytes, _)| bytes).sum();
    // Not to the end of the program: it sleeps for seconds before it looks whether there is something to compact.
    let last = tables.iter().map(|(_, written)| *written).max().unwrap_or(started);
    let took =
        last.duration_since(started).map_err(|error| CompareError::tool("db_bench", error.to_string()))?;
    let load = context.options.engine_keys as f64 / took.max(Duration::from_nanos(1)).as_secs_f64();
    let again = |cache_bytes: u64| {
        let seconds = context.options.seconds.as_secs().max(1);
        [
            "--use_existing_db=1".to_owned(),
            format!("--cache_size={cache_bytes}"),
            format!("--duration={seconds}"),
        ]
    };
    let mut warm = options(&again(2 * bytes));
    warm.push(format!("--seek_nexts={SCAN_ROWS}"));
    let warm = db_bench::run(context, folder, "readseq,readrandom,seekrandom", &warm)?;
    let mut cold = options(&again(bytes / 10));
    cold.extend(["--use_direct_reads=1".to_owned(), format!("--threads={READ_DEPTH}")]);
    let cold = db_bench::run(context, folder, "readrandom", &cold)?;
    Ok(vec![
        (ROCKSDB_LOAD, load, "rows/s"),
        (ROCKSDB_WARM, db_bench::rate(&warm, "readrandom")?, "ops/s"),
        (ROCKSDB_SCANS, db_bench::rate(&warm, "seekrandom")?, "ops/s"),
        (ROCKSDB_COLD, db_bench::rate(&cold, "readrandom")?, "ops/s"),
        (ROCKSDB_WRITTEN, db_bench::compacted_bytes(&filled)? / bytes as f64, ""),
        (ROCKSDB_KEPT, kept as f64 / bytes as f64, ""),
    ])
}

/// The lengths of RocksDB's tables, and when each was written.
fn tables(folder: &Path) -> Result<Vec<(u64, SystemTime)>> {
    let failed = |error| CompareError::io(format!("looking at {}", folder.display()), error);
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().extension().is_some_and(|extension| extension == "sst") {
            let about = entry.metadata().map_err(failed)?;
            tables.push((about.len(), about.modified().map_err(failed)?));
        }
    }
    Ok(tables)
}

fn fjall(context: &Context, folder: &Path) -> Result<Vec<Figure>> {
    let failed = |error| CompareError::io("finding this program", error);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["fjall", &context.options.engine_keys.to_string()]).arg(folder.join("rows"));
    let log = context.dir.join("fjall.log");
    let text = process::run_well("fjall", &mut command, &log, LOAD_PATIENCE, &context.stop)?;
    let loaded: Loaded = told(&text)
        .ok_or_else(|| CompareError::tool("fjall", format!("ended without its line of JSON: {text}")))?;
    Ok(vec![(FJALL_LOAD, loaded.load_and_compact_per_second, "rows/s")])
}
