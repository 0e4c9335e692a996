//! Every bound of a run, with where it comes from.

use reactor::clock::{Nanos, MICROSECOND, MILLISECOND, SECOND};

/// Hosts of the largest cluster.
pub const HOSTS_MAX: usize = 5;

/// The largest segments of a broad plan, in bytes. Each start reads all there are, twice with the power failure that is tried, and
/// 150 operations seldom fill one of this size: larger ones show nothing more and cost most of a run. Only writes that go astray need room to go to.
pub const SEGMENT_BYTES_BROAD_MAX: u64 = 256 << 10;

/// Steps at most in so much time of a run. Most runs take some 5,000 to 30,000 altogether; five hosts of three cores that die again and again
/// take 600,000 in that time (seed 113,817: 2,900,000 in its 100 seconds). Beyond this something spins.
pub const STEPS_MAX: u64 = 2_000_000;

/// The time that [`STEPS_MAX`] is about.
pub const STEPS_TIME: Nanos = 20 * SECOND;

/// Faults stop at this time at the latest, even if clients are not done, unless the plan says otherwise.
pub const FAULTS_UNTIL_MAX: Nanos = 20 * SECOND;

/// How much too fast or too slow a clock runs at most, in a million. Deadlines are told in the host's own time, so a fifth
/// stretches none of them beyond [`OVERDUE`].
pub const DRIFT_PPM_MAX: u64 = 200_000;

/// After faults stop: time for restarts, reconnects and the deadlines of what was under way, before the last reads.
pub const SETTLE: Nanos = 2 * SECOND;

/// The last reads have this deadline; with all hosts up and connected each must be answered by then.
pub const LAST_READ_DEADLINE: Nanos = 3 * SECOND;

/// Passes of last reads until all hosts must agree: each leaves a record of a minority undecided only by a rare race.
pub const LAST_PASSES_MAX: u32 = 8;

/// Times that the last surveys wait for replicas to hold the same: as long as that may take, by [`LEVEL_POLL`].
pub const LAST_WAITS_MAX: u32 = (LEVEL_MAX / LEVEL_POLL) as u32;

/// After the last reads nothing may be under way any more once this has passed.
pub const QUIET: Nanos = 2 * SECOND;

/// When all was read and nothing is under way, replicas must be equal after this time at the latest. Looks of repair at a peer are a
/// second apart, up to eight where the ones before came to nothing.
pub const LEVEL_MAX: Nanos = 30 * SECOND;

/// After faults stop, keys that ended so long ago by all hosts' wall clocks are gone, although nobody asked for them: sweeps are a
/// second apart.
pub const ENDED_MS: u64 = 3_000;

/// How often it is looked whether they are.
pub const LEVEL_POLL: Nanos = 500 * MILLISECOND;

/// How long after its deadline the reply to a request may come, on a host that runs. The slowest disk operation of a plan
/// (see [`crate::plan`]) lies below it.
pub const OVERDUE: Nanos = 3 * SECOND;

/// The longest request deadline that clients ask for.
pub const DEADLINE_MAX: Nanos = SECOND;

/// Questions that a client asks at once, at most. The search for a linear order gets costly with many on one key.
pub const PIPELINE_MAX: u64 = 5;

/// Where disks are lost, clients keep a third of their questions until all learners are voters again, but no longer than this.
pub const HELD_BACK_UNTIL_MAX: Nanos = 6 * SECOND;

/// Keys of a command of many, at most: a question of its own each, for the history.
pub const GROUP_MAX: u64 = 4;

/// Places for keys that commands of many keys set and delete, in the runs that have such commands: few, so that those commands meet on
/// the same keys, and a command may name all of them.
pub const GROUPED_PLACES: usize = 3;

/// Encoded bytes from which on objects are large, where they are written as what changes in them.
pub const LARGE_OBJECT_BYTES: usize = 600;

/// Bytes that are added to an element of a list, or put into another field of a hash, by every sixth command on a long object: a chain has room for some deltas then, and ends
/// with such a command now and then.
pub const LENGTH_BYTES: usize = 1_200;

/// Commands of a run that may add so much: lists must not outgrow the segments.
pub const LENGTHENED_MAX: u64 = 150;

/// COUNT of a page of SCAN at most: a slice has few keys, and a walk is to take more than one page.
pub const SCAN_COUNT_MAX: u64 = 3;

/// Time between turns of one host at least: what a turn itself takes.
pub const TURN_NS: Nanos = 2 * MICROSECOND;

/// Time until the engine's upkeep gets its next step.
pub const UPKEEP_NS: Nanos = 200 * MICROSECOND;

/// Writes of unknown outcome on one key, after which clients move on to a fresh key: the cost of the search for a linear
/// order doubles with each of them.
pub const UNKNOWN_PER_KEY_MAX: usize = 7;

/// Expiring writes on one key, each of which may end at an unknown time, before clients move on to a fresh key.
pub const EXPIRING_PER_KEY_MAX: usize = 6;

/// Power failures that are tried in a copy, in a million turns in which a disk operation ended; besides one at each start.
/// Each costs about a millisecond.
pub const SHADOWS_PER_MILLION: u32 = 3_000;

/// The same while names in the directory are not durable: then a power failure undoes most.
pub const SHADOWS_PER_MILLION_VOLATILE: u32 = 30_000;

/// Syncs of a start that is tried in a copy which fail, in a million: so that the first two, of the directory and the identity,
/// pass in half of them, and one of a segment fails.
pub const FAILED_START_PER_MILLION: u32 = 300_000;

/// Turns of a recovery in such a copy at most: every disk operation in it ends at once, and each turn takes all that ended.
pub const SHADOW_TURNS_MAX: u32 = 10_000;

/// Records of one slot that are compared at the end, at most: more than a run has keys.
pub const SLOT_RECORDS_MAX: usize = 4_096;

/// Votes that a core remembers for another one where they are to be too few: as in `paxos/tests/cluster`.
pub const COUNTED_RING: usize = 3;

/// Old messages kept for replay.
pub const REPLAY_KEPT: usize = 128;

/// Bytes of a line of the story that are printed.
pub const STORY_LINE_BYTES_MAX: usize = 400;

/// Seconds of real time after which a seed of a hunt for a planted bug counts as hung. Seeds take milliseconds, those that end
/// at [`STEPS_MAX`] a few seconds.
pub const HUNT_SEED_SECONDS_MAX: u64 = 120;

/// What the wall clock of every host shows when a run begins, in milliseconds since 1970.
pub const WALL_MS: i64 = 1_700_000_000_000;

/// The longest life of an expiring value.
pub const EXPIRY_MAX: Nanos = 300 * MILLISECOND;

const _: () =
    assert!(GROUP_MAX <= PIPELINE_MAX, "parts are told apart like questions that are asked at once");
const _: () = assert!(SETTLE > DEADLINE_MAX, "what was asked under faults ends before the last reads");
const _: () = assert!(SETTLE > EXPIRY_MAX, "what expires has expired before the last reads");
