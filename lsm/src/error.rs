//! What can go wrong, by what the caller can do about it.

/// Why a batch was not taken. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Recovery is not done. Ask again after `Ready`.
    NotReady,
    /// The tree cannot be compacted or flushed as fast as it is written to. Wait for background work, and try again.
    Stalled,
    /// The disk is full and memory is used up. Free space on it, and try again later.
    Full,
    /// A key, a value or the batch is longer than its bound. Refuse the client.
    TooLarge,
    /// The engine has failed. It comes back by recovery.
    Failed,
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ApplyError::NotReady => "the tree is still being opened",
            ApplyError::Stalled => "the tree is written to faster than the disk takes it",
            ApplyError::Full => "the disk is full",
            ApplyError::TooLarge => "a key, a value or the batch is too large",
            ApplyError::Failed => "the tree has failed",
        })
    }
}

impl std::error::Error for ApplyError {}

/// Why the engine stops. Never retried: it comes back by recovery, and from peers where bytes are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk refused an operation.
    Io {
        /// Verb, object and the system's reason.
        message: String,
    },
    /// Bytes that were durable once are not what was written, and without them the tree is not known: repair from peers.
    Damage {
        /// The file.
        file: String,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong.
        message: String,
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
            Fault::Newer { file, found, supported } => {
                write!(f, "{file} has version {found}, this build reads up to version {supported}")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Why a read brought nothing. The engine goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The disk refused to read. Another try may bring it; another replica has it.
    Io {
        /// Verb, object and the system's reason.
        message: String,
    },
    /// A table has bytes that are not what was written. Take the keys of its range from a peer ([`crate::Lsm::ingest`]).
    Damaged(Damage),
    /// Recovery is not done. Ask again after `Ready`.
    NotReady,
    /// The engine has failed.
    Failed,
}

/// A table of which a part cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where, in bytes from its start.
    pub offset: u64,
    /// What is wrong.
    pub message: String,
    /// The first key of the table.
    pub first: Box<[u8]>,
    /// The end of its keys: above all of them.
    pub end: Box<[u8]>,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io { message } => write!(f, "the disk failed: {message}"),
            ReadError::Damaged(Damage { file, offset, message, .. }) => {
                write!(f, "{file} is damaged at byte {offset}: {message}")
            }
            ReadError::NotReady => f.write_str("the tree is still being opened"),
            ReadError::Failed => f.write_str("the tree has failed"),
        }
    }
}

impl std::error::Error for ReadError {}
