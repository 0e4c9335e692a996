//! Bounds of the command layer.

/// Bounds that an operator may set. Every host of a set should use the same ones: arguments are checked by the host
/// that parses a client's bytes, growth by APPEND and SETRANGE by the one that executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes, as an argument or as the result of APPEND and SETRANGE.
    pub value_bytes_max: usize,
    /// Longest key in bytes.
    pub key_bytes_max: usize,
}

/// Default of [`Limits::value_bytes_max`]: 20 MB. A value, its key and its headers must fit into one peer message.
pub const VALUE_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Default of [`Limits::key_bytes_max`]: 64 KiB. A key is part of every record and of every message about it.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the longest peer message (netbatch): the ceiling for whatever an operator sets.
pub const MESSAGE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Entries of one object: fields, elements or members. Decoded, each takes about 100 bytes beside its own.
pub const OBJECT_ENTRIES_MAX: usize = 1_000_000;

/// Bytes of a reply that repeats members by chance, and so could be of any length.
pub const RANDOM_REPLY_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// Bytes of a reply that several objects make: below what a client may leave unread.
pub const JOINT_REPLY_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;

/// Cells of LCS' table: the length of the one string plus one, times that of the other plus one. As many as Redis has in the 512 MB of its default
/// `proto-max-bulk-len`, at four bytes each; here one takes a bit, and all of them some milliseconds of a core.
pub const LCS_CELLS_MAX: usize = 1 << 27;

/// Commands of one transaction: each is run on the core before anything else is.
pub const TRANSACTION_OPS_MAX: usize = 4096;

/// Bytes that the replies of one transaction may have together in any case; else those of the longest value.
pub const TRANSACTION_REPLY_BYTES_MIN: usize = 1 << 20;

/// Bytes of a plan that goes with its statement to the core that runs it; a longer one is made there again. A row of some KiB.
pub const PLAN_BYTES_MAX: usize = 32 << 10;

/// Arguments of one command: as Redis' default of `proto-max-multibulk-len` for clients, and far above what fits
/// usefully into a peer message.
pub const ARGUMENTS_MAX: usize = 1024 * 1024;

/// Largest relative expiry in milliseconds: what is left of an i64 above every wall clock before the year 10889.
/// Redis' bound is `i64::MAX - now`; a fixed one can be checked without a clock and differs by some thousand years in
/// 292 million.
pub const RELATIVE_MS_MAX: i64 = i64::MAX - (1 << 48);

/// Deepest nesting of a decoded reply. The deepest one that a shard makes has five levels (LCS with IDX in a
/// transaction: replies, fields, matches, ranges, places); the bound keeps hostile
/// bytes from exhausting the stack.
pub const REPLY_DEPTH_MAX: usize = 8;

/// Bytes of arguments that an unknown-command error repeats, as Redis has it.
pub const ERROR_ARGUMENT_BYTES_MAX: usize = 128;

const _: () = assert!(VALUE_BYTES_MAX + KEY_BYTES_MAX < MESSAGE_BYTES_MAX, "a record fits one message");
const _: () = assert!(
    VALUE_BYTES_MAX + 4 * OBJECT_ENTRIES_MAX < MESSAGE_BYTES_MAX,
    "all of an object fits one message, as a reply too: one byte more for each field and value, two for each pair"
);
const _: () = assert!(KEY_BYTES_MAX < VALUE_BYTES_MAX, "a key is no longer than a value");
const _: () = assert!(RELATIVE_MS_MAX > 0 && REPLY_DEPTH_MAX >= 5, "room for what Redis clients send");

impl Limits {
    /// What a command that comes from another host is parsed with: the message bounds it, and its first host has
    /// checked it against the operator's limits.
    pub const WIRE: Limits = Limits { value_bytes_max: MESSAGE_BYTES_MAX, key_bytes_max: MESSAGE_BYTES_MAX };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { value_bytes_max: VALUE_BYTES_MAX, key_bytes_max: KEY_BYTES_MAX }
    }
}
