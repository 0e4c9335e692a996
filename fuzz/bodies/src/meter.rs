//! Counts allocated bytes, so that memory ahead of the bytes is a failure and not a matter of luck.

use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The counter is one for the whole process; whoever measures does it alone.
static MEASURING: Mutex<()> = Mutex::new(());

/// Runs `work`, and panics if at any time it had allocated more than `bytes_max` bytes. Exact only where no other thread
/// allocates meanwhile.
pub fn bounded<T>(bytes_max: usize, work: impl FnOnce() -> T) -> T {
    let guard = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    drop(guard);
    assert!(peak <= bytes_max, "{peak} bytes were allocated, {bytes_max} are allowed for this input");
    result
}
