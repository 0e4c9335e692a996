//! The seam to the kernel, and everything of it that is pure.
//!
//! The default build holds what engines and the simulator stand on: the [`Disk`] trait, aligned buffers, the 4 KiB
//! frame codec that every log uses, and the simulated disk. It never touches the kernel. With the feature `uring`
//! (enabled by `node` alone) it also holds the only code of the project that talks to the kernel on the hot path.
//!
//! Left out: what is stored (the engines'), when work is done (the pump's and its owner's), and any clock: time is a
//! number that the caller hands in.
//!
//! Invariants of the pure part:
//!
//! 1. A completion never comes from inside `submit`, and every submitted operation completes exactly once, unless the
//!    process ends. Completions come in any order.
//! 2. File I/O is whole blocks, in buffers that are aligned to blocks.
//! 3. What a write with `sync`, a `Sync` or a `SyncDir` has completed survives a crash; anything else may not.
//! 4. The simulated disk does nothing that does not follow from its seed and the calls.

pub mod buffer;
pub mod clock;
pub mod disk;
pub mod frame;
pub mod mutants;
pub mod null;
pub mod rng;
pub mod sim;
#[cfg(feature = "uring")]
pub mod uring;

pub use buffer::{AlignedBuf, BLOCK_BYTES};
pub use clock::Nanos;
pub use disk::{Completion, Disk, DiskError, DiskErrorKind, FileId, Op, OpId, Outcome};
