//! How long a question of a proposal may go unanswered before it is asked again: what such questions took lately, and some more.
//!
//! Links lose nothing while they stand, so what is not answered yet is nearly always under way, and to ask again only adds to what it waits
//! behind: with a fixed time, a core with so much in flight that answers take longer than that asks everything twice. The time is a mean and four
//! times the mean distance from it, as TCP has it for its retransmissions (RFC 6298, section 2), between bounds. A question that
//! was repeated counts from its first time: that errs on the side of patience, and no further than the bound. Answers come in frames, hundreds
//! at a time that all took the same: each turn counts once, or the spread would be that within a frame.

use reactor::clock::Nanos;

use crate::limits::{RESEND_NS, ROUND_NS_MAX};

/// How much of the mean is old, in eighths, with each answer (RFC 6298: alpha).
const OLD_EIGHTHS: Nanos = 7;

/// How much of the spread is old, in quarters (RFC 6298: beta).
const OLD_QUARTERS: Nanos = 3;

/// What the questions of one core took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rounds {
    mean: Nanos,
    /// The mean distance from the mean.
    spread: Nanos,
    /// The longest of the turn at hand, and when that was.
    longest: (Nanos, Nanos),
}

impl Rounds {
    /// A majority has answered after so long. Of what is answered in one turn the longest counts.
    pub fn on_answer(&mut self, now: Nanos, took: Nanos) {
        let (longest, at) = self.longest;
        if at == now {
            self.longest.0 = longest.max(took);
        } else {
            self.learn(longest.min(ROUND_NS_MAX));
            self.longest = (took, now);
        }
    }

    fn learn(&mut self, took: Nanos) {
        let distance = self.mean.abs_diff(took);
        self.spread = (self.spread * OLD_QUARTERS + distance) / (OLD_QUARTERS + 1);
        self.mean = (self.mean * OLD_EIGHTHS + took) / (OLD_EIGHTHS + 1);
    }

    /// How long to wait before a question is asked again.
    pub fn patience(&self) -> Nanos {
        (self.mean + 4 * self.spread).clamp(RESEND_NS, ROUND_NS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn after(took: &[Nanos], times: usize) -> Rounds {
        let mut rounds = Rounds::default();
        (1..).zip(took.iter().cycle().take(times)).for_each(|(now, took)| rounds.on_answer(now, took * MS));
        rounds
    }

    #[test]
    fn what_is_answered_quickly_is_asked_again_after_the_least_time() {
        assert_eq!(Rounds::default().patience(), RESEND_NS);
        assert_eq!(after(&[1, 2, 5], 99).patience(), RESEND_NS);
    }

    #[test]
    fn what_takes_long_is_given_longer_and_never_more_than_the_bound() {
        let even = after(&[100], 99).patience();
        assert!((99 * MS..110 * MS).contains(&even), "{even}");
        assert!(after(&[60, 140], 99).patience() > 200 * MS, "uneven ones get more");
        assert_eq!(after(&[100_000], 99).patience(), ROUND_NS_MAX);
    }

    #[test]
    fn what_comes_together_counts_once() {
        let mut rounds = Rounds::default();
        for now in 1..100 {
            let took = if now % 2 == 0 { 60 } else { 140 };
            (0..1_000).for_each(|_| rounds.on_answer(now, took * MS));
        }
        assert!(rounds.patience() > 200 * MS);
    }

    #[test]
    fn a_moment_without_answers_is_forgotten_with_the_next_ones() {
        let mut rounds = after(&[5_000], 20);
        (100..140).for_each(|now| rounds.on_answer(now, MS));
        assert_eq!(rounds.patience(), RESEND_NS);
    }
}
