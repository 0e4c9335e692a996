//! Every bound of this crate, with where it comes from.

/// Bytes of a value that a fuzzed command may make. The product's own bound, 20 MB, times the keys of one MGET would take more
/// memory than a fuzzer is given; what holds for the bound holds for a smaller one.
pub const VALUE_BYTES_MAX: usize = 16 << 10;

/// Bytes that a decoder may allocate for each byte of its input: a reply of one byte takes a [`shard::reply::Reply`] of 40, and a
/// vector that grows by doubling holds its old and its new half at once.
pub const DECODED_BYTES_PER_BYTE: usize = 192;

/// Bytes that a parser of requests may hold for each byte of its input: two offsets of four bytes for an argument of six
/// (`$0\r\n\r\n`), or for an inline word of two, doubled by a growing vector and its copy.
pub const PARSER_BYTES_PER_BYTE: usize = 32;

/// Bytes that anything may allocate whatever its input is: the first capacity of a few vectors, and what the test harness says
/// meanwhile on a thread of its own.
pub const ANY_BYTES: usize = 16 << 10;

/// Bytes of memory that a session may keep behind unread input, whatever arrived.
pub const INPUT_KEPT_BYTES: usize = 64 << 10;

/// Operations of a history that are judged: the search is exponential in what is open at once.
pub const JUDGED_OPERATIONS_MAX: usize = 8;

/// Turns after which an engine that is still busy hangs.
pub const TURNS_MAX: usize = 100_000;
