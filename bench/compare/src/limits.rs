//! Every bound of this program, with where it comes from.

use std::time::Duration;

/// Bytes per value, those of the reference figures.
pub const VALUE_BYTES: usize = 100;

/// How long a system may take to be ready: etcd elects, replicas of Redis load a snapshot.
pub const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long a process may take to end by itself before it is killed.
pub const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks at something that is awaited. A child is awaited by looking, so that Ctrl-C is seen meanwhile.
pub const POLL: Duration = Duration::from_millis(20);

/// Lines of a program's output that an error quotes.
pub const LAST_LINES: usize = 4;

/// What a load may take beyond its own time before it is given up: a preload of all keys at a few thousand a second.
pub const LOAD_PATIENCE: Duration = Duration::from_secs(600);

/// Clients that preload, and their depth: enough to load every core, below every server's bounds.
pub const PRELOAD: (usize, usize) = (50, 64);

/// Measured time behind a preload, which the harness wants: long enough for an answer on a busy machine, and for replicas to level.
pub const PRELOAD_TAIL: Duration = Duration::from_secs(1);

/// Time for systems to come to rest after they were started, before their idle CPU is looked at.
pub const SETTLE: Duration = Duration::from_secs(3);

/// Keys of the comparison with etcd; at its speed a million would take minutes to preload.
pub const ETCD_KEYS_MAX: u64 = 100_000;

/// Clients of the comparison with etcd.
pub const ETCD_CLIENTS: usize = 256;

/// HTTP/2 connections per etcd host. The clients share them, as etcd's own client does with one.
pub const ETCD_CHANNELS_PER_HOST: usize = 4;

/// Round trips of one client per figure: a median stays put from some thousand on.
pub const ROUND_TRIPS: usize = 4_000;

/// Rounds of the probe of simultaneous syncs; each takes about as long as a sync.
pub const SYNC_ROUNDS: usize = 1_000;

/// Writers of the probe of the disk, one for each host of a cluster on this machine.
pub const SYNC_WRITERS: usize = 3;

/// Length of each probe file. The disk's cache must not hold the spread of overwrites by chance.
pub const PROBE_FILE_BYTES: usize = 64 << 20;

/// The least time to look at an idle cluster: the kernel tells CPU time to 10 ms, and 1 % of a core is looked for.
pub const IDLE_LOOK_MIN: Duration = Duration::from_secs(5);

/// Requests of the first, short run with redis-benchmark, from which the count of the real one is derived.
pub const HOT_TRIAL_REQUESTS: u64 = 20_000;

/// CPUs that three hosts of four cores and a load of four threads need to be measured apart.
pub const CORES_CPUS_MIN: usize = 16;

/// Shares of the latencies that a percentile curve shows.
pub const CURVE: [f64; 12] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// The longest latency that the etcd client tells apart, in ns: 1,000 s, as in `synod-bench`.
pub const LATENCY_NS_MAX: u64 = 1_000_000_000_000;

/// Input of the null server that may wait for the rest of a request.
pub const NULL_INPUT_BYTES_MAX: usize = 64 << 20;
