//! Every bound of the lab, with where it comes from.

use std::time::Duration;

/// Hosts of the lab's cluster: the least that survives the loss of one.
pub const HOSTS: usize = 3;

/// Ports of the switch: one for each host, and one, the first, for the clients.
pub const PORTS: usize = HOSTS + 1;

/// The longest Ethernet frame: 1,500 bytes of payload, the header of 14, a VLAN tag of 4, rounded up.
pub const FRAME_BYTES_MAX: usize = 2_048;

/// Frames taken from one port before the next has its turn: enough to make the system call for waiting rare,
/// few enough that no port waits long (64 frames take about 0.3 ms).
pub const FRAMES_PER_TURN_MAX: usize = 64;

/// Frames under way at once. At 100,000 frames a second and a delay of 100 ms there are 10,000; beyond the
/// bound, 140 MB, frames are lost as in a real queue.
pub const FRAMES_UNDER_WAY_MAX: usize = 65_536;

/// How long the idle switch waits before it looks whether to stop.
pub const SWITCH_LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a host may take to be gone, to answer again, or to serve a write again: the time for which the
/// product may be without a majority, with much room for a busy machine.
pub const HOST_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a host that should go or come.
pub const HOST_LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long a probe of a host may take.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Keys that a probe of a host writes: with four cores, one of them is left out once in 100 hosts.
pub const PROBE_KEYS: usize = 20;

/// How long a client of the lab waits for a reply. Above the product's default deadline of 1 s for a request
/// without a majority, so that the product speaks first.
pub const CLIENT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// The time after a cut during which operations on the majority's side may fail.
pub const CUT_GRACE: Duration = Duration::from_millis(200);

/// How soon a core must stop after a sync of its log has failed.
pub const STOP_WITHIN: Duration = Duration::from_millis(100);

/// How much one slow host may add to the p99 of the other hosts' clients.
pub const SLOW_P99_FACTOR: f64 = 2.0;

/// How far apart hosts are in the drill of three places: one way.
pub const DISTANCE: Duration = Duration::from_millis(10);

/// Syncs that fail, one after the other, in the drill of failing syncs: each host has its turn, some twice.
pub const SCENARIO_ROUNDS: usize = 6;

/// How long a killed host may take to serve again, for each GB that it holds.
pub const RESTART_PER_GB: Duration = Duration::from_secs(2);

/// Bytes of values that hosts hold when they are killed for that.
pub const FILL_BYTES: usize = 1_000_000_000;

/// Bytes of one of those values: some 60,000 keys, of which none is large.
pub const FILL_VALUE_BYTES: usize = 16_384;

/// Values under way while hosts are filled: 1 MiB, below what any queue of the product holds.
pub const FILL_PIPELINE: usize = 64;

/// Redirects that one operation of a cluster client follows.
pub const REDIRECTS_MAX: usize = 5;

/// How long one generation of contended keys is used. The search for an order of operations grows with those
/// of unknown outcome, which stay open for ever, so keys must be left behind.
pub const CONTENDED_GENERATION: Duration = Duration::from_secs(5);

/// How long one generation of counters is used, for the same reason: with a host killed every second, an increment of
/// one client is of unknown outcome some 20 times, far below what the search can keep open.
pub const COUNTER_GENERATION: Duration = Duration::from_secs(60);

/// Lines of a host's log that are shown when it ended by itself.
pub const LOG_LINES_SHOWN: usize = 12;

/// Bytes of one in-memory disk. Three of them, each byte perhaps twice (what was written, what is durable), are
/// far below the memory of any machine that builds this crate.
pub const DISK_BYTES_MAX: u64 = 512 << 20;

/// What a write, or a sync, takes on a slow disk: 20 a second.
pub const SLOW_DISK_WRITE: Duration = Duration::from_millis(50);

/// Bits of a disk that decay at once: so many that some are in what is read again.
pub const ROTTEN_BITS: usize = 8;

/// What a tmpfs is filled with at a time; the last piece decides how full it gets, so it is one block.
pub const BALLAST_BYTES: usize = 4_096;

/// Bytes of a disk in a file (a loop device) and of a tmpfs.
pub const SMALL_DISK_BYTES: u64 = 384 << 20;

const _: () = assert!(PORTS < 255, "the last byte of an address is the number of its port");
