//! The bounds of a data directory.

/// Hosts of one cluster that a directory can name. Member sets have 1, 3 or 5 hosts.
pub const HOSTS_MAX: usize = 5;

/// Slices of one host: cores of the largest machines in use. The core's number in a peer's hello is wider.
pub const SLICES_MAX: u16 = 256;

/// Longest identity or peers file in bytes: both hold a line per host and some ten more.
pub const FILE_BYTES_MAX: u64 = 16 << 10;

/// Bytes of a cluster id and of a data-directory id: random, so wide enough that no two are equal.
pub const ID_BYTES: usize = 16;

const _: () = assert!(HOSTS_MAX * 128 < FILE_BYTES_MAX as usize, "a line per host fits");
