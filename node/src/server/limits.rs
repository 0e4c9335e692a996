//! Bounds of what a core keeps for its operators.

/// Most entries that `slowlog-max-len` may ask for. An entry is below 1 KiB, so a core's slow log stays below
/// 16 MiB.
pub const SLOWLOG_ENTRIES_MAX: i64 = 16_384;

/// Bytes of a command's first key (or argument) that an entry of the slow log keeps. Copied for each command
/// that is on its way, so it is kept short.
pub const BRIEF_BYTES_MAX: usize = 48;

/// Events that LATENCY keeps, and samples of each: Redis has 160 samples.
pub const LATENCY_EVENTS_MAX: usize = 16;
/// Samples of one event.
pub const LATENCY_SAMPLES_MAX: usize = 160;

/// Codes of errors that INFO errorstats tells apart; later ones are counted under `other`. Redis: 128.
pub const ERROR_CODES_MAX: usize = 128;

/// Buckets of a latency histogram: powers of two of microseconds, up to 18 minutes.
pub const LATENCY_BUCKETS: usize = 31;

/// Longest DEBUG SLEEP, in seconds.
pub const SLEEP_SECONDS_MAX: f64 = 60.0;

const _: () = assert!(LATENCY_BUCKETS <= 63);
