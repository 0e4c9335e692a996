//! The bounds of the admin server.

use std::time::Duration;

/// Requests that are answered at once; more are turned away with 503. A scraper, a probe and some people.
pub const CONNECTIONS_MAX: usize = 16;

/// Longest request head in bytes: the paths are short, browsers send some headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

/// Header lines of a request that are looked at.
pub const HEADERS_MAX: usize = 64;

/// Time for a request to arrive, and for its answer to leave.
pub const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// Time that `synod status` gives a host to answer.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that `synod status` reads: a status of the largest host, some 300 bytes per core.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A core that has not published for so long is stuck; it publishes ten times a second.
pub const STALL_MS: u64 = 5_000;

/// Hosts that a page has room for.
pub const PEERS_MAX: usize = crate::datadir::limits::HOSTS_MAX;

const _: () =
    assert!(crate::datadir::limits::SLICES_MAX as u64 * 512 < ANSWER_BYTES_MAX, "a status fits an answer");
