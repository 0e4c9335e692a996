//! The engine alone, beside RocksDB by its own `db_bench`: synced puts from 64 writers, 16-byte keys, 100-byte values.
//!
//! The engine's own benchmark is a program that is called with `--keys N --seconds S --dir DIR` and ends its output with a line of
//! JSON, whose fields are those of [`Measured`]. Without one only RocksDB is measured, and that is said.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::{db_bench, told};
use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::LOAD_PATIENCE;
use crate::machine::Machine;
use crate::process;
use crate::record::Record;

/// Its name.
pub const NAME: &str = "engine";

/// Synced puts of 64 writers, RocksDB.
pub const ROCKSDB_PUTS: &str = "RocksDB, synced puts of 64 writers";

/// Synced puts of 64 writers, the engine.
pub const PUTS: &str = "bitcask, synced puts of 64 writers";

/// Gets of values in memory, one core.
pub const WARM: &str = "bitcask, warm gets of one core";
/// Gets of values on disk.
pub const COLD: &str = "bitcask, cold gets";
/// Direct reads of the same device at the same depth.
pub const RAW: &str = "raw direct reads at the same depth";
/// Memory per key.
pub const MEMORY: &str = "bitcask, memory per key";
/// Time to start with all keys.
pub const START: &str = "bitcask, start-up with all keys";

const WRITERS: u64 = 64;

/// What the benchmark of the engine says; what it does not say is not judged.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Measured {
    synced_puts_per_second: Option<f64>,
    warm_gets_per_second: Option<f64>,
    cold_gets_per_second: Option<f64>,
    raw_reads_per_second: Option<f64>,
    ram_bytes_per_key: Option<f64>,
    start_seconds: Option<f64>,
}

/// Measures it.
pub fn measure(context: &Context, _machine: &Machine, record: &mut Record) -> Result<()> {
    for run in 1..=context.options.runs {
        let folder =
            tempfile::tempdir_in(&context.dir).map_err(|error| CompareError::io("making a folder", error))?;
        let rate = rocksdb(context, folder.path())?;
        context.say(&format!("{NAME} run {run}: {ROCKSDB_PUTS}: {rate:.0}/s"));
        record.figure(NAME, run, ROCKSDB_PUTS, rate, "ops/s");
        if let Some(program) = &context.programs.engine {
            let folder = tempfile::tempdir_in(&context.dir)
                .map_err(|error| CompareError::io("making a folder", error))?;
            note(context, record, run, &bitcask(context, program, folder.path())?);
        }
    }
    if context.programs.engine.is_none() {
        record.left_out.push(format!("{NAME}: bitcask itself; name its benchmark with --engine"));
    }
    Ok(())
}

fn bitcask(context: &Context, program: &Path, folder: &Path) -> Result<Measured> {
    let mut command = Command::new(program);
    command.args(["--keys", &context.options.engine_keys.to_string()]);
    command.args(["--seconds", &context.options.seconds.as_secs_f64().to_string(), "--dir"]).arg(folder);
    let log = context.dir.join("engine.log");
    let text = process::run_well("the engine's benchmark", &mut command, &log, LOAD_PATIENCE, &context.stop)?;
    told(&text).ok_or_else(|| {
        CompareError::tool("the engine's benchmark", format!("ended without its line of JSON: {text}"))
    })
}

fn note(context: &Context, record: &mut Record, run: usize, measured: &Measured) {
    let figures = [
        (PUTS, measured.synced_puts_per_second, "ops/s"),
        (WARM, measured.warm_gets_per_second, "ops/s"),
        (COLD, measured.cold_gets_per_second, "ops/s"),
        (RAW, measured.raw_reads_per_second, "ops/s"),
        (MEMORY, measured.ram_bytes_per_key, "bytes"),
        (START, measured.start_seconds, "s"),
    ];
    for (name, value, unit) in figures {
        if let Some(value) = value {
            context.say(&format!("{NAME} run {run}: {name}: {value:.1} {unit}"));
            record.figure(NAME, run, name, value, unit);
        }
    }
}

fn rocksdb(context: &Context, folder: &Path) -> Result<f64> {
    let seconds = context.options.seconds.as_secs().max(1);
    let options = [
        "--sync=1".to_owned(),
        "--compression_type=none".to_owned(),
        format!("--threads={WRITERS}"),
        format!("--duration={seconds}"),
    ];
    db_bench::rate(&db_bench::run(context, folder, "fillrandom", &options)?, "fillrandom")
}

#[cfg(test)]
mod tests {
    use super::{told, Measured};

    #[test]
    fn what_the_engine_tells_is_its_last_line_of_json() {
        let text = "puts ...\n{\"start_seconds\": 1}\n{\"start_seconds\": 2.5, \"more\": 3}\ndone\n";
        let measured: Measured = told(text).unwrap();
        assert_eq!((measured.start_seconds, measured.warm_gets_per_second), (Some(2.5), None));
        assert!(told::<Measured>("no JSON\n").is_none() && told::<Measured>("{\n").is_none());
    }
}
