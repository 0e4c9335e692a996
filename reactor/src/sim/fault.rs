//! What the simulated disk may do wrong, and how long it takes.

use crate::clock::MICROSECOND;
use crate::rng::Rng;
use crate::{Nanos, Op};

/// How an aimed or drawn operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO. A failed write may have reached the disk in part.
    Io,
    /// A write that stops half way.
    ShortWrite,
    /// ENOSPC.
    Full,
}

/// Rates of faults, in a million operations of the kind. All zero by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads that fail.
    pub read_error_per_million: u32,
    /// Writes that fail, done in part.
    pub write_error_per_million: u32,
    /// Writes that stop half way, and say so.
    pub short_write_per_million: u32,
    /// `Sync` and `SyncDir` that fail.
    pub sync_error_per_million: u32,
    /// Reads in which one bit differs from what is on disk.
    pub read_rot_per_million: u32,
    /// Reads in which one block is what it was before it was last written, unnoticed.
    pub stale_read_per_million: u32,
    /// Writes after which one bit on disk differs, unnoticed.
    pub write_rot_per_million: u32,
    /// Writes that land on another block of the file, unnoticed.
    pub misdirected_per_million: u32,
}

/// How long operations take: drawn evenly between bounds, sometimes much longer.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Bounds for a read.
    pub read: (Nanos, Nanos),
    /// Bounds for a write without sync, and for everything not named here.
    pub write: (Nanos, Nanos),
    /// Bounds for a sync, and for a write with sync.
    pub sync: (Nanos, Nanos),
    /// How many operations in a million are slow.
    pub slow_per_million: u32,
    /// How many times longer those take.
    pub slow_factor: u64,
}

impl Default for Latency {
    /// About what a local NVMe disk does.
    fn default() -> Latency {
        Latency {
            read: (60 * MICROSECOND, 120 * MICROSECOND),
            write: (10 * MICROSECOND, 40 * MICROSECOND),
            sync: (80 * MICROSECOND, 300 * MICROSECOND),
            slow_per_million: 2_000,
            slow_factor: 50,
        }
    }
}

impl Latency {
    /// Everything is done as soon as it is polled for.
    pub fn none() -> Latency {
        Latency { read: (0, 0), write: (0, 0), sync: (0, 0), slow_per_million: 0, slow_factor: 1 }
    }

    pub(super) fn draw(&self, op: &Op, rng: &mut Rng) -> Nanos {
        let (low, high) = match op {
            Op::Read { .. } => self.read,
            Op::Write { sync: true, .. } | Op::Sync { .. } | Op::SyncDir => self.sync,
            _ => self.write,
        };
        let time = rng.between(low, high);
        if rng.chance(self.slow_per_million) {
            time.saturating_mul(self.slow_factor)
        } else {
            time
        }
    }
}

pub(super) fn verb(op: &Op) -> &'static str {
    match op {
        Op::Open { .. } => "open",
        Op::Close { .. } => "close",
        Op::Read { .. } => "read",
        Op::Write { .. } => "write",
        Op::Preallocate { .. } => "preallocate",
        Op::Sync { .. } => "sync",
        Op::Rename { .. } => "rename",
        Op::Remove { .. } => "remove",
        Op::SyncDir => "sync of the directory",
        Op::List => "list",
    }
}
