//! What happens to a frame between two ports of the switch: pure, decided by a seeded generator.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::RngExt;

/// One direction between two ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing passes.
    pub cut: bool,
    /// Every frame takes so long.
    pub delay: Duration,
    /// And, drawn for each frame, up to so much longer: frames overtake each other.
    pub jitter: Duration,
    /// Frames lost, of a thousand.
    pub lost: u32,
    /// Frames that come twice, of a thousand.
    pub repeated: u32,
}

/// What becomes of one frame: how long until it arrives, once or twice. Empty: it does not.
pub type Fate = [Option<Duration>; 2];

impl Link {
    /// Draws what becomes of a frame.
    pub fn fate(&self, random: &mut SmallRng) -> Fate {
        if self.cut || self.happens(self.lost, random) {
            return [None, None];
        }
        let first = self.travel(random);
        let second = self.happens(self.repeated, random).then(|| self.travel(random));
        [Some(first), second]
    }

    fn happens(&self, of_a_thousand: u32, random: &mut SmallRng) -> bool {
        of_a_thousand > 0 && random.random_range(0..1_000) < of_a_thousand
    }

    fn travel(&self, random: &mut SmallRng) -> Duration {
        let jitter = self.jitter.as_nanos() as u64;
        let more = if jitter == 0 { 0 } else { random.random_range(0..=jitter) };
        self.delay + Duration::from_nanos(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn arrivals(link: Link) -> Vec<Duration> {
        let mut random = SmallRng::seed_from_u64(7);
        (0..10_000).flat_map(|_| link.fate(&mut random)).flatten().collect()
    }

    #[test]
    fn a_link_does_what_it_is_told() {
        let ms = Duration::from_millis;
        assert_eq!(arrivals(Link::default()), vec![Duration::ZERO; 10_000], "a healthy link is a wire");
        assert!(arrivals(Link { cut: true, repeated: 500, ..Link::default() }).is_empty());
        let lossy = arrivals(Link { lost: 300, ..Link::default() }).len();
        assert!((6_700..7_300).contains(&lossy), "{lossy} of 10,000 passed a loss of 30 %");
        let repeating = arrivals(Link { repeated: 100, ..Link::default() }).len();
        assert!((10_800..11_200).contains(&repeating), "{repeating}");
        let slow = arrivals(Link { delay: ms(10), jitter: ms(5), ..Link::default() });
        assert!(slow.iter().all(|&time| (ms(10)..=ms(15)).contains(&time)));
        assert!(slow.windows(2).any(|pair| pair[0] > pair[1]), "jitter reorders");
    }
}
