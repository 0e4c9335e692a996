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
    /// GET
    Get,
    /// SET
    Set,
}

/// A prime above every number of keys ([`crate::limits::KEYS_MAX`]): multiplying by it modulo the number of
/// keys is a permutation, so that popular keys are spread over all slots and none is hit twice.
const SPREAD: u64 = 777_472_128_049;

/// Draws operations; the same for all threads, each with its own generator.
#[derive(Debug, Clone, Copy)]
pub struct Chooser {
    zipf: Option<Zipf<f64>>,
    keys: u64,
    gets: u32,
    total: u32,
}

impl Chooser {
    /// A chooser over `keys` keys; `mix` is (GETs, SETs).
    ///
    /// # Panics
    /// If there are no keys, the mix is empty or the exponent is not valid: [`super::Plan::check`] refuses
    /// those.
    pub fn new(distribution: Distribution, keys: u64, mix: (u32, u32)) -> Chooser {
        let total = mix.0 + mix.1;
        assert!(keys > 0 && total > 0, "a plan that was checked has keys and a mix");
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipf { exponent } => {
                Some(Zipf::new(keys as f64, exponent).expect("a valid exponent"))
            }
        };
        Chooser { zipf, keys, gets: mix.0, total }
    }

    /// The next operation and the number of its key.
    pub fn draw(&self, random: &mut SmallRng) -> (Kind, u64) {
        let kind = if random.random_range(0..self.total) < self.gets { Kind::Get } else { Kind::Set };
        let key = match &self.zipf {
            None => random.random_range(0..self.keys),
            Some(zipf) => {
                let rank = (zipf.sample(random) as u64).clamp(1, self.keys) - 1;
                (u128::from(rank) * u128::from(SPREAD) % u128::from(self.keys)) as u64
            }
        };
        (kind, key)
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
    /// One SET of each key of a range.
    Each {
        /// The next key.
        next: u64,
        /// The key behind the last.
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
                let key = *next;
                *next += u64::from(key < *end);
                (key < *end).then_some((Kind::Set, key))
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
        let chooser = Chooser::new(Distribution::Zipf { exponent: 0.99 }, 1_000, (3, 1));
        let (mut gets, mut hottest) = (0, 0);
        for _ in 0..100_000 {
            let (kind, key) = chooser.draw(&mut random);
            assert!(key < 1_000);
            gets += u32::from(kind == Kind::Get);
            hottest += u32::from(key == 0);
        }
        assert!((74_000..76_000).contains(&gets), "{gets}");
        // 1 / (sum over k of 1/k^0.99) for a thousand keys is 0.129.
        assert!((12_000..14_000).contains(&hottest), "{hottest}");
    }

    #[test]
    fn a_range_gives_each_key_once() {
        let mut source = Source::Each { next: 5, end: 8 };
        let keys: Vec<u64> = std::iter::from_fn(|| source.take()).map(|(_, key)| key).collect();
        assert_eq!(keys, [5, 6, 7]);
        assert_eq!(source.take(), None);
    }
}
