//! RocksDB's own benchmark, as the groups of the engines run it: keys of 16 bytes, values of [`VALUE_BYTES`] of which half repeats.

use std::path::Path;
use std::process::Command;

use crate::context::Context;
use crate::error::{CompareError, Result};
use crate::limits::{LOAD_PATIENCE, VALUE_BYTES};
use crate::process;

/// Runs benchmarks of it one after the other on a folder; gives what it printed.
///
/// # Errors
/// It cannot be started, or ends badly.
pub fn run(context: &Context, folder: &Path, benchmarks: &str, options: &[String]) -> Result<String> {
    let mut command = Command::new("db_bench");
    command.arg(format!("--benchmarks={benchmarks}")).arg(format!("--db={}", folder.display()));
    command.arg("--key_size=16").arg(format!("--value_size={VALUE_BYTES}"));
    command.arg(format!("--num={}", context.options.engine_keys)).args(options);
    let log = context.dir.join("db_bench.log");
    process::run_well("db_bench", &mut command, &log, LOAD_PATIENCE, &context.stop)
}

/// The rate of the last run of a benchmark, from a line such as `fillrandom : 12.3 micros/op 81234 ops/sec ...`.
///
/// # Errors
/// There is no such line.
pub fn rate(text: &str, benchmark: &str) -> Result<f64> {
    let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(benchmark));
    before(lines.next_back().unwrap_or_default(), "ops/sec").ok_or_else(|| not_understood(text))
}

/// What all flushes and compactions wrote, in bytes, from a line such as `Cumulative compaction: 1.50 GB write, ...`.
///
/// # Errors
/// There is no such line.
pub fn compacted_bytes(text: &str) -> Result<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Cumulative compaction:"));
    lines
        .find_map(|line| before(line, "GB"))
        .map(|gb| gb * f64::from(1 << 30))
        .ok_or_else(|| not_understood(text))
}

/// The number before a word.
fn before(line: &str, unit: &str) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == unit)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

fn not_understood(text: &str) -> CompareError {
    CompareError::tool("db_bench", format!("said what is not understood: {text}"))
}

#[cfg(test)]
mod tests {
    use super::{compacted_bytes, rate};

    #[test]
    fn what_db_bench_says_is_read() {
        let text = "readrandom:\nfillrandom   :     101.2 micros/op 632123 ops/sec 2.0 seconds 1264 operations;   70.0 MB/s\n\
                    readrandom : 2 micros/op 7 ops/sec\nreadrandom : 1 micros/op 9 ops/sec 2.0 seconds 4 operations; (3 of 4 found)\n\
                    Cumulative compaction: 0.50 GB write, 12.00 MB/s write, 0.10 GB read\n";
        assert_eq!(rate(text, "fillrandom").unwrap(), 632_123.0);
        assert_eq!(rate(text, "readrandom").unwrap(), 9.0);
        assert_eq!(compacted_bytes(text).unwrap(), f64::from(1 << 29));
        assert!(rate("fillrandom : 1 micros/op", "fillrandom").is_err() && compacted_bytes("").is_err());
    }
}
