//! What clients asked and what they were told: the record that the checkers judge.
//!
//! Times are numbers of one clock that all clients share: nanoseconds of a monotonic clock, or the virtual
//! time or the count of events of a simulator. Only their order counts: an operation that returned at a
//! smaller time than another was called came before it; equal times mean "at once", so a recorder with a
//! coarse clock sees less.
//!
//! Outcomes are three, and the difference is the point of the record: *replied*; *failed*, the store said
//! that nothing was applied; *unknown*, the connection was lost, the time was over or the store said that it
//! does not know. An unknown operation may take effect at any time after its call, or never. Each key starts
//! absent.

use crate::history::format::ParseError;

pub mod format;

/// What a client asked, about one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// GET: the value, or nil.
    Get,
    /// SET: OK.
    Set(Vec<u8>),
    /// SETNX, or SET with NX: 1 or OK if it was absent, else 0 or nil.
    SetIfAbsent(Vec<u8>),
    /// SET with IFEQ, compare and set: OK or 1 if the value was the expected one, else nil or 0.
    CompareSet {
        /// The value it must have.
        expected: Vec<u8>,
        /// The value it gets.
        value: Vec<u8>,
    },
    /// GETSET, or SET with GET: the value before, or nil.
    GetSet(Vec<u8>),
    /// GETDEL: the value before, or nil.
    GetDel,
    /// DEL: 1 if it existed, else 0.
    Del,
    /// FLUSHALL, as far as this key is concerned: OK, and it is gone.
    Clear,
    /// INCRBY (INCR, DECR): the number after, or refused.
    IncrBy(i64),
    /// APPEND: the length after.
    Append(Vec<u8>),
    /// EXISTS: 1 or 0.
    Exists,
    /// STRLEN: the length, 0 if absent.
    Strlen,
}

impl Command {
    /// Whether it never changes anything.
    pub fn is_read(&self) -> bool {
        matches!(self, Command::Get | Command::Exists | Command::Strlen)
    }
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// OK
    Ok,
    /// Nothing there, or a condition that did not hold.
    Nil,
    /// A number.
    Int(i64),
    /// A value.
    Value(Vec<u8>),
    /// An error that follows from the value, such as INCRBY of what is no number. Other errors are
    /// [`Outcome::Failed`].
    Refused,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Replied {
        /// When.
        at: u64,
        /// With what.
        reply: Reply,
    },
    /// It was not applied, for certain.
    Failed,
    /// Nobody knows whether it was or will be applied.
    Unknown,
}

/// One operation of one client on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: u32,
    /// About which key.
    pub key: Vec<u8>,
    /// When.
    pub call: u64,
    /// What.
    pub command: Command,
    /// How it ended.
    pub outcome: Outcome,
    /// The version of the entry that it wrote or read, where the store tells: versions of one key rise with
    /// each change.
    pub version: Option<u64>,
}

impl Operation {
    /// When it returned; `None` if it did not.
    pub fn returned(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Replied { at, .. } => Some(*at),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// What it was told; `None` if nothing.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Replied { reply, .. } => Some(reply),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }
}

/// Names an operation that is being recorded: its place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub usize);

/// Operations of all clients and keys, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

impl History {
    /// Nothing yet.
    pub fn new() -> History {
        History::default()
    }

    /// Records that a client asks. The outcome is unknown until one of the other calls says more.
    pub fn call(&mut self, client: u32, key: &[u8], command: Command, at: u64) -> OperationId {
        let id = OperationId(self.operations.len());
        let outcome = Outcome::Unknown;
        self.operations.push(Operation {
            client,
            key: key.to_vec(),
            call: at,
            command,
            outcome,
            version: None,
        });
        id
    }

    /// Records the reply to an operation, and the version that came with it if any.
    ///
    /// # Panics
    /// If the operation has an outcome already, or returned before it was called.
    pub fn replied(&mut self, id: OperationId, at: u64, reply: Reply, version: Option<u64>) {
        let operation = self.open(id);
        assert!(at >= operation.call, "operation {} returned at {at}, before its call", id.0);
        operation.outcome = Outcome::Replied { at, reply };
        operation.version = version;
    }

    /// Records that an operation was not applied, for certain.
    ///
    /// # Panics
    /// If the operation has an outcome already.
    pub fn failed(&mut self, id: OperationId) {
        self.open(id).outcome = Outcome::Failed;
    }

    fn open(&mut self, id: OperationId) -> &mut Operation {
        let operation = self.operations.get_mut(id.0).expect("an id that this history gave");
        assert!(operation.outcome == Outcome::Unknown, "operation {} has two outcomes", id.0);
        operation
    }

    /// The text of the history; see [`mod@format`].
    pub fn to_text(&self) -> String {
        format::to_text(self)
    }

    /// Reads what [`History::to_text`] wrote.
    ///
    /// # Errors
    /// The first line that cannot be read, and why.
    pub fn from_text(text: &str) -> Result<History, ParseError> {
        format::from_text(text)
    }
}
