//! What can go wrong, by what the caller can do about it.

/// Why a record was not taken. The engine goes on, except after `Failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Recovery is not done. Ask again after `Ready`.
    NotReady,
    /// The disk is full. Values are refused until `Full(false)`; deletes are taken while the reserve lasts.
    Full,
    /// The disk is full, and so is what is kept back for deletes and promises. Merge gives some of it back if what was
    /// deleted before was larger than a delete is; else somebody has to free space.
    ReserveUsed,
    /// The key directory has as many keys (or promises) as it may have. Refuse the client with `-OOM`.
    TooManyKeys,
    /// Too much waits for the disk already. Refuse the client, who may retry.
    Backlog,
    /// The segment for it is still being made, and it is not known yet whether there is space. Try again in a moment.
    Making,
    /// Key or body is longer than its bound. Refuse the client.
    TooLarge,
    /// The stamp's round is beyond what can be stored: no honest history reaches it.
    Round,
    /// `remove`, and what extends a record: the key's newest record is not the one that was named.
    Changed,
    /// The deltas of the key are as many, or as large, as they may be: append a whole.
    Chain,
    /// A write failed. The slice stops and comes back by recovery.
    Failed,
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AppendError::NotReady => "the log is still being recovered",
            AppendError::Full => "the disk is full",
            AppendError::ReserveUsed => "the disk is full, and so is what was kept back for deletes",
            AppendError::TooManyKeys => "the key directory is full",
            AppendError::Making => "the log's next segment is still being made",
            AppendError::Backlog => "too much waits for the disk",
            AppendError::TooLarge => "key or value is too large",
            AppendError::Round => "the round is out of range",
            AppendError::Changed => "the entry has changed",
            AppendError::Chain => "the chain of deltas is at its bound",
            AppendError::Failed => "the log has failed",
        })
    }
}

impl std::error::Error for AppendError {}

/// Why the slice stops. Never retried: it comes back by recovery, and from peers where bytes are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk refused an operation. What was in flight may or may not be durable.
    Io {
        /// Verb, object and the system's reason.
        message: String,
    },
    /// Bytes that were durable once are not what was written: repair from peers.
    Damage {
        /// The file.
        file: String,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// The directory belongs to another core: nothing is wrong with its files.
    Foreign {
        /// The file that says so.
        file: String,
        /// The core in it.
        found: u32,
        /// The core that was started on it.
        expected: u32,
    },
    /// A file was written by a newer build: run that one.
    Newer {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The newest that this build reads.
        supported: u16,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Io { message } => write!(f, "the disk failed: {message}"),
            Fault::Damage { file, offset, message } => {
                write!(f, "{file} is damaged at byte {offset}: {message}")
            }
            Fault::Foreign { file, found, expected } => {
                write!(
                    f,
                    "{file} says that the directory belongs to core {found}, but this is core {expected}"
                )
            }
            Fault::Newer { file, found, supported } => {
                write!(f, "{file} has version {found}, this build reads up to version {supported}")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Why a read brought nothing. A `Failed` event follows or went before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// What happened, for the log.
    pub message: String,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}
