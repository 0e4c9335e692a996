//! What a run finds: the invariant that broke, and the facts that show it.

use std::fmt;

/// The invariants, by the names that a failure prints (consensus.md section 8).
pub mod invariant {
    /// Two different entries at one ballot, or an entry that nobody proposed.
    pub const ONE_ENTRY: &str = "one entry per ballot";
    /// A durable promise or accepted ballot went down, over a crash or not.
    pub const PROMISES_RISE: &str = "promises never go down";
    /// A host voted below what it had promised for all keys of a slot.
    pub const RANGE_BINDS: &str = "a promise for a range binds every key of it";
    /// What was durable would be gone, or the slice could not start, had the power failed.
    pub const SURVIVES: &str = "what is durable survives the power";
    /// A message claims what is not durable.
    pub const DURABLE_FIRST: &str = "durable before it is said";
    /// A message claims a choice that no majority made.
    pub const CHOSEN_IS_CHOSEN: &str = "what is called chosen is chosen";
    /// A proposal above a chosen entry does not extend it.
    pub const EXTENDS: &str = "what follows a chosen entry extends it";
    /// A reply left for a write that is not chosen, or showed a value that is not.
    pub const REPLY_CHOSEN: &str = "a reply shows chosen entries only";
    /// A read showed what was superseded before it was asked.
    pub const NEWEST: &str = "a read shows the newest";
    /// A command was applied twice.
    pub const ONCE: &str = "a command is applied at most once";
    /// The rows of a log group in a tree are not those of a chosen entry.
    pub const ROWS: &str = "rows are what chosen entries say";
    /// Of each index of a group the entries are those of its rows.
    pub const INDEXES: &str = "entries of indexes are those of the rows";
    /// The history of a key is not linearizable.
    pub const LINEARIZABLE: &str = "linearizable per key";
    /// A command about the keyspace missed a key that was there all the time, or told of one that was not.
    pub const SURVEY: &str = "a survey sees what is there";
    /// The reply to a command of many keys is not what its parts were told.
    pub const GATHERED: &str = "many keys, one reply";
    /// A job that was acknowledged is gone, or was given out twice.
    pub const JOBS: &str = "no job is lost, none is given out twice";
    /// A command on several keys is seen in part, or keys disagree on the order of such commands.
    pub const TOGETHER: &str = "what belongs together is seen together";
    /// Who waited was told late, or after who came later.
    pub const WAITS: &str = "who waits is told in time and in turn";
    /// A request has no reply, or more than one, or it came too late.
    pub const ONE_REPLY: &str = "every request has one reply in time";
    /// After faults stopped: a read failed, or hosts disagree, or something never ended.
    pub const CONVERGES: &str = "after faults all is well again";
    /// A key whose time came long ago is still held, although its host sweeps.
    pub const ENDED: &str = "what has ended goes";
    /// Something spins, or grows without bound.
    pub const BOUNDED: &str = "queues and steps are bounded";
    /// Bytes on the wire that no host should have sent.
    pub const WELL_FORMED: &str = "messages can be read";
    /// A core stopped although its disk never failed.
    pub const NO_FAULT: &str = "a core stops only if its disk fails";
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, one of [`invariant`].
    pub invariant: &'static str,
    /// What shows it.
    pub detail: String,
}

impl Violation {
    /// A violation with its evidence.
    pub fn new(invariant: &'static str, detail: impl Into<String>) -> Violation {
        Violation { invariant, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// The result of a check.
pub type Checked = Result<(), Violation>;
