//! How fast repair may go: a bucket of bytes and one of records, filled with time, slower while somebody has commands to serve.

use reactor::clock::Nanos;

use super::load::WHOLE_SHARE;
use crate::limits::REPAIR_BURST_NS;

/// How fast one core may take records over from its peers when nobody has anything else to do. While somebody has commands to
/// serve it takes a part of this that follows what they leave (`load`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairRate {
    /// Bytes of records a second, as they lie on disk.
    pub bytes_per_second: u64,
    /// Records a second.
    pub records_per_second: u64,
}

/// The buckets. What is taken may exceed what is there; then the next one waits until the debt is paid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rate: RepairRate,
    /// What is there, in bytes and records times a second's nanoseconds; below zero is debt.
    bytes: i128,
    records: i128,
    filled_at: Nanos,
}

const SECOND: i128 = 1_000_000_000;

impl Pace {
    /// Full buckets.
    pub fn new(rate: RepairRate) -> Pace {
        let rate = RepairRate {
            bytes_per_second: rate.bytes_per_second.max(1),
            records_per_second: rate.records_per_second.max(1),
        };
        Pace { rate, bytes: 0, records: 0, filled_at: 0 }
    }

    /// Another rate from now on.
    pub fn set_rate(&mut self, rate: RepairRate) {
        *self =
            Pace { bytes: self.bytes, records: self.records, filled_at: self.filled_at, ..Pace::new(rate) };
    }

    /// Fills the buckets, at so many thousandths of the rate. Says when something may be taken: now, or at a later time.
    pub fn look(&mut self, now: Nanos, share: u32) -> Result<(), Nanos> {
        let part = |rate: u64| (i128::from(rate) * i128::from(share) / i128::from(WHOLE_SHARE)).max(1);
        let (bytes_rate, records_rate) =
            (part(self.rate.bytes_per_second), part(self.rate.records_per_second));
        let gone = i128::from(now.saturating_sub(self.filled_at));
        self.filled_at = now;
        let burst = i128::from(REPAIR_BURST_NS);
        self.bytes = (self.bytes + gone * bytes_rate).min(burst * bytes_rate);
        self.records = (self.records + gone * records_rate).min(burst * records_rate);
        if self.bytes >= 0 && self.records >= 0 {
            return Ok(());
        }
        let wait = (-self.bytes / bytes_rate).max(-self.records / records_rate) + 1;
        Err(now.saturating_add(Nanos::try_from(wait).unwrap_or(REPAIR_BURST_NS)))
    }

    /// Takes so much.
    pub fn take(&mut self, bytes: u64, records: u64) {
        self.bytes -= i128::from(bytes) * SECOND;
        self.records -= i128::from(records) * SECOND;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_in_a_second(rate: RepairRate, step: (u64, u64), share: u32) -> (u64, u64) {
        let mut pace = Pace::new(rate);
        let (mut now, mut sum) = (1, (0, 0));
        while now < 1_000_000_000 {
            match pace.look(now, share) {
                Ok(()) => {
                    pace.take(step.0, step.1);
                    sum = (sum.0 + step.0, sum.1 + step.1);
                }
                Err(at) => {
                    assert!(at > now, "time goes on");
                    now = at;
                }
            }
        }
        sum
    }

    #[test]
    fn a_second_of_takings_is_the_rate_of_what_is_short() {
        let rate = RepairRate { bytes_per_second: 1_000_000, records_per_second: 1_000 };
        let near = |value: u64, wanted: u64| value >= wanted * 9 / 10 && value <= wanted * 12 / 10;
        let large = taken_in_a_second(rate, (10_000, 1), WHOLE_SHARE);
        assert!(near(large.0, 1_000_000), "{large:?}");
        let small = taken_in_a_second(rate, (50, 5), WHOLE_SHARE);
        assert!(near(small.1, 1_000), "{small:?}");
        let busy = taken_in_a_second(rate, (10_000, 1), 200);
        assert!(near(busy.0, 200_000), "{busy:?}");
    }

    #[test]
    fn another_rate_holds_from_then_on_and_debts_stay() {
        let mut pace = Pace::new(RepairRate { bytes_per_second: 1_000, records_per_second: 1_000_000 });
        pace.take(2_000, 1);
        assert_eq!(pace.look(0, WHOLE_SHARE), Err(2_000_000_001));
        pace.set_rate(RepairRate { bytes_per_second: 2_000, records_per_second: 1_000_000 });
        assert_eq!(pace.look(0, WHOLE_SHARE), Err(1_000_000_001));
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let mut pace = Pace::new(RepairRate { bytes_per_second: 1_000, records_per_second: 1_000 });
        assert_eq!(pace.look(3_600_000_000_000, WHOLE_SHARE), Ok(()));
        pace.take(500, 1);
        assert!(pace.look(3_600_000_000_001, WHOLE_SHARE).is_err());
    }
}
