//! How many steps a run takes in a time: where something spins there are more than any load explains.

use reactor::clock::{Nanos, SECOND};

use crate::limits::{STEPS_MAX, STEPS_TIME};

/// Counts the steps of one stretch of time after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    since: Nanos,
    steps: u64,
}

impl Pace {
    /// A step is taken at this time; what to say of it if there were too many lately.
    pub fn spins(&mut self, now: Nanos) -> Option<String> {
        if now >= self.since + STEPS_TIME {
            *self = Pace { since: now, steps: 0 };
        }
        self.steps += 1;
        (self.steps > STEPS_MAX).then(|| format!("{STEPS_MAX} steps within {} seconds", STEPS_TIME / SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps apart from each other by so many nanoseconds.
    fn spins(apart: Nanos, steps: u64) -> bool {
        let mut pace = Pace::default();
        (0..steps).any(|step| pace.spins(step * apart).is_some())
    }

    #[test]
    fn a_long_run_may_take_many_steps_and_no_stretch_of_it_may() {
        let busy = STEPS_TIME / STEPS_MAX;
        assert!(!spins(busy, 5 * STEPS_MAX));
        assert!(spins(busy - 1, 2 * STEPS_MAX));
        assert!(spins(0, STEPS_MAX + 1) && !spins(0, STEPS_MAX));
    }
}
