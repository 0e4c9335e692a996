//! Every bound of this crate, with where it comes from.

use std::time::Duration;

/// Slots of a Redis Cluster; the protocol fixes it.
pub const SLOTS: usize = 16_384;

/// Nesting of a reply that is still read. `CLUSTER SLOTS` needs five levels; a hostile server must not
/// exhaust the stack.
pub const REPLY_DEPTH_MAX: usize = 16;

/// The longest bulk string a server may announce: what Redis itself allows by default (`proto-max-bulk-len`).
pub const BULK_BYTES_MAX: usize = 512 << 20;

/// Elements that an array may announce. A full slot map, one slot a range, has `SLOTS` of them.
pub const ARRAY_COUNT_MAX: usize = 1 << 20;

/// The longest line of a reply. An error text of a server is far below it.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// The input buffer of a connection at its start: a full pipeline of small replies in one read.
pub const INPUT_BYTES_MIN: usize = 32 << 10;

/// Keys of a load, times the members of each. Their names have twelve digits, and the prime that spreads popular keys has 40 bits.
pub const KEYS_MAX: u64 = 1 << 39;

/// Connections of one load process; below the usual `nofile` of 65,536.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Operations in flight per connection.
pub const PIPELINE_MAX: usize = 10_000;

/// The depth used for the preload where the asked depth is smaller: its latency is not measured.
pub const PRELOAD_PIPELINE_MIN: usize = 32;

/// The longest value of a load, that of a Redis server's own default bound.
pub const VALUE_BYTES_MAX: usize = BULK_BYTES_MAX;

/// Nodes that a slot map may name. A map is read from a server, so it needs a bound.
pub const NODES_MAX: usize = 1_024;

/// Times that one operation follows MOVED or ASK before it counts as an error. Clients in the field use 3 to
/// 16.
pub const REDIRECTS_MAX: u8 = 8;

/// Kinds of errors that a report tells apart; later kinds are counted together.
pub const ERROR_KINDS_MAX: usize = 32;

/// The longest name of a kind of error in a report, in characters.
pub const ERROR_NAME_CHARS_MAX: usize = 80;

/// First pause before a lost connection is made again; doubles up to `RECONNECT_MAX`.
pub const RECONNECT_MIN: Duration = Duration::from_millis(5);

/// Longest pause before a lost connection is made again.
pub const RECONNECT_MAX: Duration = Duration::from_millis(500);

/// Shortest time between two readings of the slot map.
pub const MAP_REFRESH_MIN: Duration = Duration::from_millis(20);

/// How long a blocking connection may take. The servers are near; a dead host must not hold a client.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest latency that the histograms tell apart, in ns: 1,000 s.
pub const LATENCY_NS_MAX: u64 = 1_000_000_000_000;

/// Significant decimal digits of the histograms.
pub const LATENCY_DIGITS: u8 = 3;

/// Operations that one drill records. At about 200 bytes each they are held in RAM, below 1 GB, until the
/// check is done; clients that used up their share stop, and the report says so.
pub const DRILL_OPERATIONS_MAX: usize = 5_000_000;

/// Keys of one drill.
pub const DRILL_KEYS_MAX: usize = 1_000_000;

/// Clients of one drill; each is a thread.
pub const DRILL_CLIENTS_MAX: usize = 512;

/// Kills of one drill.
pub const DRILL_KILLS_MAX: usize = 10_000;

/// The pause of a drill's client after an error reply, or when no host can be reached: no client hammers a
/// host in trouble.
pub const DRILL_PAUSE: Duration = Duration::from_millis(1);

/// Reads in flight while a drill reads everything back.
pub const READ_BACK_BATCH: usize = 128;

/// How long the read-back of one key may be retried before the drill gives up: an unread key proves nothing.
pub const READ_BACK_PATIENCE: Duration = Duration::from_secs(20);

/// How long a killed process may take to be gone, and a restarted one to answer.
pub const RESTART_PATIENCE: Duration = Duration::from_secs(60);

/// Operations of one key that the search keeps open at once: the bits of its set of linearized operations.
pub const OPEN_OPERATIONS_MAX: usize = 128;

/// Configurations (state and set of linearized operations) that the search may hold for one key at once. At
/// 100 to 200 bytes each this is below 40 MB and a second; beyond it the verdict is `Undecided`, never a
/// wrong one.
pub const CONFIGURATIONS_MAX: usize = 200_000;

/// The longest argument that a history file may hold.
pub const HISTORY_ARGUMENT_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(KEYS_MAX < 1_000_000_000_000, "a number of a key or member has twelve digits");
const _: () = assert!(PRELOAD_PIPELINE_MIN <= PIPELINE_MAX);
const _: () = assert!(SLOTS <= ARRAY_COUNT_MAX, "a map of single slots must be readable");
const _: () = assert!(NODES_MAX < u16::MAX as usize, "a slot map holds node indexes of 16 bits");
const _: () = assert!(OPEN_OPERATIONS_MAX == u128::BITS as usize);
const _: () = assert!(LINE_BYTES_MAX >= ERROR_NAME_CHARS_MAX);
