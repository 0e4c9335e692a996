//! A score: a double that has an order.

use std::cmp::Ordering;

/// A double that is not NaN; -0 is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score(f64);

impl Score {
    /// None for NaN.
    pub fn new(value: f64) -> Option<Score> {
        // What is added turns -0 into 0 and leaves the rest.
        (!value.is_nan()).then_some(Score(value + 0.0))
    }

    /// The double.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Eight bytes, lowest first.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_bits().to_le_bytes()
    }

    /// Reads [`Score::to_bytes`]. None: no score has these.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Score> {
        let score = Score::new(f64::from_bits(u64::from_le_bytes(bytes)))?;
        (score.to_bytes() == bytes).then_some(score)
    }
}

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        self.0.partial_cmp(&other.0).expect("no score is NaN")
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_one_zero_and_an_order() {
        let values = [f64::NEG_INFINITY, -1e300, -1.0, 0.0, f64::MIN_POSITIVE, 1.5, f64::INFINITY];
        let scores = values.map(|value| Score::new(value).expect("is no NaN"));
        assert!(scores.is_sorted());
        for score in scores {
            assert_eq!(Score::from_bytes(score.to_bytes()), Some(score));
        }
        assert_eq!(Score::new(-0.0).map(Score::to_bytes), Some([0; 8]));
        for bits in [f64::NAN.to_bits(), (-0.0_f64).to_bits()] {
            assert_eq!(Score::from_bytes(bits.to_le_bytes()), None);
        }
    }
}
