//! Planted bugs: where the code asks `planted`, the branch behind it is wrong on purpose, so that the simulator can
//! prove that it finds such a bug (docs/testing.md). One process has one of them, or none.
//!
//! Without the feature `mutants`, which no build of `synod` has, the answer is a constant "no" and the wrong branches are
//! gone. With it the choice is the one global of this crate: nothing but it decides which bug is there, so runs still
//! follow from their seed.

#[cfg(feature = "mutants")]
use core::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "mutants")]
static SELECTED: AtomicU32 = AtomicU32::new(0);

/// Selects the planted bug that this process has; 0: none.
#[cfg(feature = "mutants")]
pub fn select(number: u32) {
    SELECTED.store(number, Ordering::Relaxed);
}

/// Whether the planted bug of this number is selected.
#[cfg(feature = "mutants")]
pub(crate) fn planted(number: u32) -> bool {
    SELECTED.load(Ordering::Relaxed) == number
}

/// Whether the planted bug of this number is selected: never, without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn planted(_number: u32) -> bool {
    false
}
