//! How fast a core's upkeep (merge, spare segments, hints) may read and write, so that the log's own writes are not held up.

use reactor::Nanos;

/// Bytes of one step: some hundred microseconds of a fast disk.
pub(super) const STEP_BYTES: u64 = 256 << 10;

/// A bucket that fills with time; a step is taken when it holds one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    bytes_per_second: u64,
    bytes: u64,
    filled_at: Nanos,
}

impl Budget {
    /// Full, at this rate.
    pub fn new(bytes_per_second: u64) -> Budget {
        Budget { bytes_per_second: bytes_per_second.max(1), bytes: STEP_BYTES, filled_at: 0 }
    }

    /// Changes the rate.
    pub fn set_rate(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second.max(1);
    }

    /// Whether a step may be taken now. If not, at which time.
    pub fn look(&mut self, now: Nanos) -> Result<(), Nanos> {
        let gone = now.saturating_sub(self.filled_at);
        let earned = u128::from(gone) * u128::from(self.bytes_per_second) / 1_000_000_000;
        if earned > 0 {
            self.bytes =
                self.bytes.saturating_add(earned.min(u128::from(2 * STEP_BYTES)) as u64).min(2 * STEP_BYTES);
            self.filled_at = now;
        }
        if self.bytes >= STEP_BYTES {
            return Ok(());
        }
        let missing = u128::from(STEP_BYTES - self.bytes) * 1_000_000_000;
        let wait = missing.div_ceil(u128::from(self.bytes_per_second)).max(1);
        Err(now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// A step was taken.
    pub fn spend(&mut self) {
        self.bytes = self.bytes.saturating_sub(STEP_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, STEP_BYTES};

    #[test]
    fn a_second_of_steps_is_the_rate() {
        let mut budget = Budget::new(16 * STEP_BYTES);
        let (mut now, mut steps) = (1, 0);
        while now < 1_000_000_000 {
            match budget.look(now) {
                Ok(()) => {
                    steps += 1;
                    budget.spend();
                }
                Err(at) => {
                    assert!(at > now, "time goes on");
                    now = at;
                }
            }
        }
        assert!((15..=18).contains(&steps), "{steps}");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let mut budget = Budget::new(STEP_BYTES);
        assert_eq!(budget.look(3_600_000_000_000), Ok(()));
        budget.spend();
        budget.spend();
        assert!(budget.look(3_600_000_000_001).is_err());
    }
}
