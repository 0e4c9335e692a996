//! The seam to the kernel, and everything of it that is pure.
//!
//! The default build holds what engines and the simulator stand on: the [`Disk`] trait, aligned buffers, the 4 KiB
//! frame codec that every log uses, and the simulated disk. It never touches the kernel. With the feature `uring`
//! (enabled by `node` alone) it also holds the only code of the project that talks to the kernel on the hot path.

pub mod buffer;
pub mod clock;
pub mod disk;
pub mod frame;
pub mod rng;
pub mod sim;
#[cfg(feature = "uring")]
pub mod uring;

pub use buffer::{AlignedBuf, BLOCK_BYTES};
pub use clock::Nanos;
pub use disk::{Completion, Disk, DiskError, DiskErrorKind, FileId, Op, OpId, Outcome};
