//! Which operation comes next, and on which key.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution as _, Zipf};

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Each key alike.
    Uniform,
    /// The k-th most popular key is drawn in proportion to `1 / k^exponent`. YCSB uses 0.99.
    Zipf {
        /// The exponent, above 0.
        exponent: f64,
    },
}

impl Distribution {
    /// Whether the exponent is one that a Zipf distribution can have.
    pub fn is_valid(&self) -> bool {
        match self {
            Distribution::Uniform => true,
            Distribution::Zipf { exponent } => exponent.is_finite() && *exponent > 0.0,
        }
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plan's command that reads.
    Read,
    /// The plan's command that writes.
    Write,
}

/// A prime above every number of keys ([`crate::limits::KEYS_MAX`]): multiplying by it modulo the number of
/// keys is a permutation, so that popular keys are spread over all slots and none is hit twice.
const SPREAD: u64 = 777_472_128_049;

/// Draws operations; the same for all threads, each with its own generator.
#[derive(Debug, Clone, Copy)]
pub struct Chooser {
    zipf: Option<Zipf<f64>>,
    keys: u64,
    members: u64,
    reads: u32,
    total: u32,
}

impl Chooser {
    /// A chooser over `keys` keys of `members` members each; `mix` is (reads, writes).
    ///
    /// # Panics
    /// If there are no keys or members, the mix is empty or the exponent is not valid: [`super::Plan::check`] refuses those.
    pub fn new(distribution: Distribution, keys: u64, members: u64, mix: (u32, u32)) -> Chooser {
        let total = mix.0 + mix.1;
        assert!(keys > 0 && members > 0 && total > 0, "a plan that was checked has keys and a mix");
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipf { exponent } => {
                Some(Zipf::new(keys as f64, exponent).expect("a valid exponent"))
            }
        };
        Chooser { zipf, keys, members, reads: mix.0, total }
    }

    /// The next operation and its number. Members of a key are drawn uniformly.
    pub fn draw(&self, random: &mut SmallRng) -> (Kind, u64) {
        let kind = if random.random_range(0..self.total) < self.reads { Kind::Read } else { Kind::Write };
        let key = match &self.zipf {
            None => random.random_range(0..self.keys),
            Some(zipf) => {
                let rank = (zipf.sample(random) as u64).clamp(1, self.keys) - 1;
                (u128::from(rank) * u128::from(SPREAD) % u128::from(self.keys)) as u64
            }
        };
        let member = if self.members == 1 { 0 } else { random.random_range(0..self.members) };
        (kind, key * self.members + member)
    }
}

/// Where a thread's operations come from.
#[derive(Debug)]
pub enum Source {
    /// Endless, drawn.
    Mix {
        /// Draws them.
        chooser: Chooser,
        /// With this.
        random: SmallRng,
    },
    /// One write of each number of a range.
    Each {
        /// The next number.
        next: u64,
        /// The number behind the last.
        end: u64,
    },
}

impl Source {
    /// An endless source with its own seed.
    pub fn mix(chooser: Chooser, seed: u64) -> Source {
        Source::Mix { chooser, random: SmallRng::seed_from_u64(seed) }
    }

    /// The next operation; `None` when a range is done.
    pub fn take(&mut self) -> Option<(Kind, u64)> {
        match self {
            Source::Mix { chooser, random } => Some(chooser.draw(random)),
            Source::Each { next, end } => {
                let number = *next;
                *next += u64::from(number < *end);
                (number < *end).then_some((Kind::Write, number))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KEYS_MAX;

    #[test]
    fn the_spread_is_prime_to_every_number_of_keys() {
        let factor = (2..1u64 << 20).find(|d| SPREAD.is_multiple_of(*d));
        assert_eq!(factor, None, "trial division up to the root");
        const { assert!(SPREAD < 1 << 40 && SPREAD > KEYS_MAX) };
    }

    #[test]
    fn ranks_are_spread_without_collisions() {
        for keys in [1u64, 2, 10, 1_000, 65_536, 99_999] {
            let mut seen = vec![false; keys as usize];
            for rank in 0..keys {
                let key = (u128::from(rank) * u128::from(SPREAD) % u128::from(keys)) as usize;
                assert!(!std::mem::replace(&mut seen[key], true));
            }
        }
    }

    #[test]
    fn draws_follow_the_mix_and_the_distribution() {
        let mut random = SmallRng::seed_from_u64(1);
        let chooser = Chooser::new(Distribution::Zipf { exponent: 0.99 }, 1_000, 7, (3, 1));
        let (mut reads, mut hottest, mut members) = (0, 0, [0; 7]);
        for _ in 0..100_000 {
            let (kind, number) = chooser.draw(&mut random);
            assert!(number < 7_000);
            reads += u32::from(kind == Kind::Read);
            hottest += u32::from(number / 7 == 0);
            members[number as usize % 7] += 1;
        }
        assert!((74_000..76_000).contains(&reads), "{reads}");
        assert!(members.iter().all(|count| (13_800..14_800).contains(count)), "{members:?}");
        // 1 / (sum over k of 1/k^0.99) for a thousand keys is 0.129.
        assert!((12_000..14_000).contains(&hottest), "{hottest}");
    }

    #[test]
    fn a_range_gives_each_number_once() {
        let mut source = Source::Each { next: 5, end: 8 };
        let numbers: Vec<u64> = std::iter::from_fn(|| source.take()).map(|(_, number)| number).collect();
        assert_eq!(numbers, [5, 6, 7]);
        assert_eq!(source.take(), None);
    }
}
