//! Every bound of a core, with where it comes from.

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// Commands of one entity that are merged into one entry. A batch must fit an entry's request ids (each some 30 bytes)
/// well below a peer frame of 1 MiB.
pub const BATCH_COMMANDS_MAX: usize = 1024;

/// Bytes of commands merged into one entry, beyond the first command: a hot key must not build entries of many megabytes.
pub const BATCH_BYTES_MAX: usize = 256 << 10;

/// Commands waiting or under way in one core, those forwarded included. At 100,000 a second and the default deadline of one
/// second no healthy core comes near it.
pub const COMMANDS_MAX: usize = 100_000;

/// Bytes of commands waiting or under way in one core: six values of the largest size, a million small ones.
pub const COMMAND_BYTES_MAX: usize = 128 << 20;

/// Entities with something under way in one core. Each command concerns one; the rest are acceptor work for peers, which
/// the peers' own COMMANDS_MAX bounds.
pub const ENTITIES_MAX: usize = 6 * COMMANDS_MAX;

/// A result is kept beside its request id up to this size; above it a retry learns that it was applied, not the reply.
pub const RESULT_BYTES_MAX: usize = 512;

/// Origins (proposing cores) in one entry's table of request ids: the cores of one slice, one for each member.
pub const ORIGINS_MAX: usize = 8;

/// Applied commands of one origin kept in one entry. Above it further commands of that origin are refused as busy until it
/// says that earlier ones are settled.
pub const ORIGIN_IDS_MAX: usize = 4 * BATCH_COMMANDS_MAX;

/// How far above the own counter a round may be. Rounds grow by one per proposal, so an honest peer is never 2^40 ahead.
pub const ROUND_JUMP_MAX: u64 = 1 << 40;

/// The highest round at all: 2^47 proposals are nine years at half a million a second; the directory packs rounds into 48 bits.
pub const ROUND_MAX: u64 = 1 << 47;

/// First repetition of a question that was not answered. Three times a slow sync, so that a healthy cluster repeats nothing.
pub const RESEND_NS: u64 = 40 * MS;

/// Repetitions are spaced at most this far apart.
pub const RESEND_NS_MAX: u64 = 160 * MS;

/// Back-off after a lost ballot: full jitter over this, doubled for each further loss.
pub const BACKOFF_NS: u64 = MS;

/// The back-off grows up to this.
pub const BACKOFF_NS_MAX: u64 = 64 * MS;

/// How long an agreed read in conflict waits for the write in flight before it finishes it by itself.
pub const READ_SETTLE_NS: u64 = 3 * MS;

/// A forwarded command that is not answered in this time is proposed here.
pub const FORWARD_NS: u64 = 150 * MS;

/// Bytes that one step of the engine's upkeep may read or write: some hundred microseconds of a fast disk.
pub const MERGE_STEP_BYTES: u64 = 256 << 10;

/// Slots in all, as in Redis Cluster.
pub const SLOTS: u16 = 16384;

const _: () = assert!(RESEND_NS <= RESEND_NS_MAX && BACKOFF_NS <= BACKOFF_NS_MAX);
const _: () = assert!(ORIGIN_IDS_MAX + BATCH_COMMANDS_MAX < u16::MAX as usize);
const _: () = assert!(BATCH_COMMANDS_MAX < COMMANDS_MAX);
const _: () = assert!(ROUND_JUMP_MAX < ROUND_MAX && ROUND_MAX < 1 << 48);
