//! The times of a load: its phases, and when the operations of an open loop are due.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use crate::error::BenchError;

/// The time of one part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// When it starts.
    pub start: Instant,
    /// Not measured, from the start.
    pub warmup: Duration,
    /// Measured, after the warm-up; `None`: until the source is empty and all is answered.
    pub length: Option<Duration>,
}

impl Phase {
    /// The time now, ns since the start.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// When the measured time starts.
    pub fn warm_ns(&self) -> u64 {
        self.warmup.as_nanos() as u64
    }

    /// When it ends.
    pub fn end_ns(&self) -> u64 {
        self.length.map_or(u64::MAX, |length| (self.warmup + length).as_nanos() as u64)
    }
}

/// When the operations of one thread of an open loop are due.
#[derive(Debug)]
pub struct Pace {
    first_ns: f64,
    gap_ns: f64,
    taken: u64,
    timer: OwnedFd,
}

impl Pace {
    /// Thread `index` of `threads` that do `rate` operations per second together. Events of its timer bear
    /// `token`.
    ///
    /// # Errors
    /// The system gives no timer.
    pub fn new(
        rate: f64,
        index: usize,
        threads: usize,
        registry: &Registry,
        token: Token,
    ) -> Result<Pace, BenchError> {
        assert!(rate > 0.0 && index < threads, "a plan that was checked");
        let failed = |error| BenchError::io("making a timer", error);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE).map_err(failed)?;
        let gap_ns = 1e9 * threads as f64 / rate;
        // The threads take turns, so that together they are even.
        let first_ns = gap_ns * index as f64 / threads as f64;
        Ok(Pace { first_ns, gap_ns, taken: 0, timer })
    }

    /// When the next operation is due, ns since the start of the phase. Computed anew each time: nothing adds
    /// up.
    pub fn due_ns(&self) -> u64 {
        (self.first_ns + self.taken as f64 * self.gap_ns) as u64
    }

    /// Takes the next operation and says when it was due.
    pub fn take(&mut self) -> u64 {
        let due = self.due_ns();
        self.taken += 1;
        due
    }

    /// Wakes the loop up after so long.
    ///
    /// # Errors
    /// The system refuses the timer.
    pub fn arm(&self, wait: Duration) -> Result<(), BenchError> {
        // A timer of zero would be switched off.
        let nanos = wait.as_nanos().clamp(1, 999_999_999) as i64;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: 0, tv_nsec: nanos } };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .map_err(|error| BenchError::io("setting a timer", error.into()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_at_an_even_rate() {
        let poll = mio::Poll::new().unwrap();
        let mut dues = Vec::new();
        for index in 0..3 {
            let mut pace = Pace::new(3_000.0, index, 3, poll.registry(), Token(index)).unwrap();
            dues.extend((0..1_000).map(|_| pace.take()));
        }
        dues.sort_unstable();
        for (number, due) in dues.into_iter().enumerate() {
            assert!(
                due.abs_diff(number as u64 * 1_000_000 / 3) <= 1,
                "operation {number} is due at {due} ns"
            );
        }
    }
}
