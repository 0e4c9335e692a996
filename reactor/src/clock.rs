//! Time as the engines see it: a number that the caller hands in.
//!
//! Nothing below `node` reads a clock. The pump reads the monotonic clock once per turn; the simulator counts it.

/// A point in monotonic time, or a span of it, in nanoseconds.
pub type Nanos = u64;

/// One microsecond.
pub const MICROSECOND: Nanos = 1_000;

/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
