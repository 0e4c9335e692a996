//! The narrow trait that every engine stands on: submit an operation, hear its completion later as an event.
//!
//! Two implementations: the core's io_uring (feature `uring`) and the simulator's disk. A disk is rooted at one
//! directory that belongs to one core; names are plain file names in it, never paths.

use crate::AlignedBuf;

/// A file that the disk has open. Chosen by the disk at open, never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// Identifies one submitted operation. Never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// An operation on the core's directory. Offsets and lengths are multiples of the block size.
#[derive(Debug)]
pub enum Op {
    /// Open a file for reading and writing. Completes with [`Outcome::Opened`].
    Open {
        /// Plain file name.
        name: String,
        /// Make the file; fails when it exists. Without it, fails when the file is absent.
        create: bool,
    },
    /// Close a file. Completes with [`Outcome::Done`].
    Close {
        /// The handle, of no use from here on.
        file: FileId,
    },
    /// Read `buf.len()` bytes. Completes with [`Outcome::Read`].
    Read {
        /// Where from.
        file: FileId,
        /// Bytes from the start of the file, whole blocks.
        offset: u64,
        /// Takes the bytes; its length is how many are asked for.
        buf: AlignedBuf,
    },
    /// Write the whole buffer. A short write is an error. Completes with [`Outcome::Written`].
    Write {
        /// Where to.
        file: FileId,
        /// Bytes from the start of the file, whole blocks.
        offset: u64,
        /// The bytes.
        buf: AlignedBuf,
        /// The bytes are on stable storage before the completion (RWF_DSYNC).
        sync: bool,
    },
    /// Reserve space so that the file has at least `bytes` bytes; what is added reads as zero. ENOSPC shows here.
    /// The length is durable after [`Op::Sync`].
    Preallocate {
        /// Which file.
        file: FileId,
        /// The least length it has afterwards.
        bytes: u64,
    },
    /// Make everything written to the file, and its length, durable.
    Sync {
        /// Which file.
        file: FileId,
    },
    /// Rename a file over whatever has the new name. Durable after [`Op::SyncDir`].
    Rename {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// Remove a file; handles to it stay usable. Durable after [`Op::SyncDir`].
    Remove {
        /// Plain file name.
        name: String,
    },
    /// Make creations, renames and removals durable.
    SyncDir,
    /// List the directory. Completes with [`Outcome::Listed`].
    List,
}

/// What a completed operation yields.
#[derive(Debug)]
pub enum Outcome {
    /// Of `Close`, `Preallocate`, `Sync`, `Rename`, `Remove`, `SyncDir`.
    Done,
    /// Of `Open`.
    Opened {
        /// The handle.
        file: FileId,
        /// The file's length in bytes.
        len: u64,
    },
    /// Of `Read`.
    Read {
        /// The buffer, handed back.
        buf: AlignedBuf,
        /// How many of its bytes were read: short only at the end of the file.
        bytes: usize,
    },
    /// Of `Write`.
    Written {
        /// The buffer, for reuse.
        buf: AlignedBuf,
    },
    /// Of `List`.
    Listed {
        /// Names in byte order, with their lengths in bytes.
        files: Vec<(String, u64)>,
    },
}

/// Why an operation failed, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No such file.
    NotFound,
    /// No space (ENOSPC, EDQUOT).
    Full,
    /// Anything else, a short write included. A failed write or sync is never retried.
    Io,
}

/// A failed operation: the kind to act on, and the words to log.
#[derive(Clone, Debug)]
pub struct DiskError {
    /// What the caller can do about it.
    pub kind: DiskErrorKind,
    /// Verb, object and the system's reason, for the log.
    pub message: String,
}

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation, as `submit` named it.
    pub id: OpId,
    /// What came of it.
    pub result: Result<Outcome, DiskError>,
}

/// Where one core's files live. Completions are handed to the core as events by whoever drives the disk; they may
/// come in any order.
pub trait Disk {
    /// Takes the operation; its completion comes later, never from inside this call.
    fn submit(&mut self, op: Op) -> OpId;
}
