//! Bounds of a client connection. Those that an operator may change are defaults of settings.

/// Most cores of a host: a SCAN cursor has eight bits for the core, and a client id too.
pub const CORES_MAX: usize = 256;

/// Requests of one connection that may wait for their replies. At this many the session reads no more until
/// half of them are answered; deep pipelines lose nothing, as a core keeps that many in flight anyway.
pub const PIPELINE_DEPTH_MAX: usize = 1024;

/// Parts (keys, or cores) that one command may be split into.
pub const PARTS_MAX: usize = 65_536;

/// Commands that one transaction may have.
pub const QUEUED_MAX: usize = shard::command::limits::TRANSACTION_OPS_MAX;

/// Bytes that the commands of one transaction may have in any case; else those of the longest value.
pub const QUEUED_BYTES_MIN: usize = 1 << 20;

/// Bytes that a statement of SQL and its arguments may have in any case; else those of the longest value.
pub const STATEMENT_BYTES_MIN: usize = 1 << 20;

/// Statements that read all partitions of a table, of the clients of one core: each may hold its answer and some partitions' parts, of 16 MiB each.
pub const SCANS_MAX: usize = 4;

/// Partitions that such a statement reads at a time: so many may wait for a peer, and other clients of their cores hardly notice.
pub const SCAN_PARTITIONS: usize = 4;

/// Keys that are looked at in one step, for those that are partitions.
pub const SCAN_KEYS: u64 = 1024;

/// How long a page of such a statement goes on, in microseconds: then it ends, however few rows it has.
pub const SCAN_PAGE_US: u64 = 500_000;

/// How long such a statement goes on that is no page, in seconds.
pub const SCAN_SECONDS_MAX: u64 = 60;

/// Keys that one connection may watch.
pub const WATCHED_MAX: usize = 1024;

/// Bytes of those keys.
pub const WATCHED_BYTES_MAX: usize = 1 << 20;

/// Bytes of replies that one connection may leave unread, in the session and in its socket's queue. A slow
/// reader is closed above it.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Input buffer that an idle session keeps.
pub const INPUT_BYTES_KEPT: usize = 16 * 1024;

/// Input that a client may send ahead while it waits for a key; then its socket is not read. Until then it is, so that one that is gone is noticed.
pub const BLOCKED_INPUT_BYTES_MAX: usize = 64 * 1024;

/// Output buffer that an idle session keeps.
pub const OUTPUT_BYTES_KEPT: usize = 16 * 1024;

/// Longest client name and library name, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// Clients of one host by default. Setting: `maxclients`.
pub const CLIENTS_MAX: usize = 10_000;

const _: () = assert!(PARTS_MAX <= crate::resp::limits::ARGS_MAX);
// The largest reply to one request still fits, so that a reader that keeps up is never closed.
const _: () = assert!(OUTPUT_BYTES_MAX > 3 * crate::resp::limits::BULK_BYTES_MAX);
const _: () = assert!(PIPELINE_DEPTH_MAX >= 2);
