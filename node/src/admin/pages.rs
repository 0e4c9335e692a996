//! One page per core: numbers that the core writes and the admin thread reads, with nothing between them but memory.
//!
//! A core keeps its own plain counters and copies them into its page some ten times a second, then calls
//! [`CorePage::publish`]. Every number stands for itself; a reader may see one from this copy and another from the one
//! before, which a scrape cannot tell from having come a moment earlier. So all stores and loads are relaxed.

use std::array::from_fn;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::limits::PEERS_MAX;
use super::metrics::{Metric, Timing, BUCKETS, METRICS, TIMINGS};

/// How far a core is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoreState {
    /// Its thread is not up yet.
    Starting = 0,
    /// Reading its log.
    Recovering = 1,
    /// Serving.
    Ready = 2,
    /// Finishing what is in flight, on the way out.
    Draining = 3,
    /// Its slice has stopped after a disk error; the process must be restarted.
    Failed = 4,
}

impl CoreState {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            CoreState::Starting => "starting",
            CoreState::Recovering => "recovering",
            CoreState::Ready => "ready",
            CoreState::Draining => "draining",
            CoreState::Failed => "failed",
        }
    }
}

/// The page of one core.
#[derive(Debug)]
#[repr(align(128))]
pub struct CorePage {
    core: u16,
    started: Instant,
    /// Milliseconds since `started` of the last publish, plus one; 0 before the first.
    beat: AtomicU64,
    state: AtomicU32,
    values: [AtomicU64; METRICS.len()],
    /// Host id, shifted left by two, with the lowest bit set while it is up and the next one if it is a learner; 0 is an
    /// empty place.
    peers: [AtomicU64; PEERS_MAX],
    timings: [TimingPage; TIMINGS.len()],
}

#[derive(Debug)]
struct TimingPage {
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

/// The counts of one timing as a core keeps them: plain numbers.
#[derive(Clone, Debug, Default)]
pub struct TimingCounts {
    /// Per bucket, the last being what exceeds all bounds.
    pub counts: [u64; BUCKETS.len() + 1],
    /// Sum of everything recorded, in nanoseconds.
    pub sum_ns: u64,
}

impl TimingCounts {
    /// Counts one duration.
    pub fn record(&mut self, nanos: u64) {
        self.record_many(nanos, 1);
    }

    /// Counts `times` durations of the same length, as those of one turn are.
    pub fn record_many(&mut self, nanos: u64, times: u64) {
        let bucket = BUCKETS.iter().position(|(bound, _)| nanos <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(times);
        }
        self.sum_ns = self.sum_ns.saturating_add(nanos.saturating_mul(times));
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl CorePage {
    /// An empty page.
    pub fn new(core: u16) -> CorePage {
        CorePage {
            core,
            started: Instant::now(),
            beat: AtomicU64::new(0),
            state: AtomicU32::new(CoreState::Starting as u32),
            values: from_fn(|_| AtomicU64::new(0)),
            peers: from_fn(|_| AtomicU64::new(0)),
            timings: from_fn(|_| TimingPage {
                counts: from_fn(|_| AtomicU64::new(0)),
                sum_ns: AtomicU64::new(0),
            }),
        }
    }

    /// Whose page it is.
    pub fn core(&self) -> u16 {
        self.core
    }

    // What the core writes.

    /// Says how far the core is.
    pub fn set_state(&self, state: CoreState) {
        self.state.store(state as u32, Ordering::Relaxed);
    }

    /// Writes one number.
    pub fn set(&self, metric: Metric, value: u64) {
        if let Some(place) = self.values.get(metric as usize) {
            place.store(value, Ordering::Relaxed);
        }
    }

    /// Writes one timing.
    pub fn set_timing(&self, timing: Timing, counts: &TimingCounts) {
        let Some(page) = self.timings.get(timing as usize) else { return };
        for (place, count) in page.counts.iter().zip(&counts.counts) {
            place.store(*count, Ordering::Relaxed);
        }
        page.sum_ns.store(counts.sum_ns, Ordering::Relaxed);
    }

    /// Says whether a peer is up, to this core, and whether it is a learner. A page has room for the hosts of one cluster.
    pub fn set_peer(&self, host: u32, up: bool, learner: bool) {
        let word = u64::from(host) << 2 | u64::from(learner) << 1 | u64::from(up);
        let mine = |place: &&AtomicU64| {
            let held = place.load(Ordering::Relaxed);
            held == 0 || held >> 2 == u64::from(host)
        };
        let place = self.peers.iter().find(mine).expect("a page has room for the hosts of one cluster");
        place.store(word, Ordering::Relaxed);
    }

    /// Says that the core is alive and its numbers are current.
    pub fn publish(&self) {
        self.beat.store(self.age_ms().saturating_add(1), Ordering::Relaxed);
    }

    // What the admin thread reads.

    /// How far the core is.
    pub fn state(&self) -> CoreState {
        match self.state.load(Ordering::Relaxed) {
            0 => CoreState::Starting,
            1 => CoreState::Recovering,
            2 => CoreState::Ready,
            3 => CoreState::Draining,
            _ => CoreState::Failed,
        }
    }

    /// One number.
    pub fn value(&self, metric: Metric) -> u64 {
        self.values.get(metric as usize).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    /// One timing.
    pub fn timing(&self, timing: Timing) -> TimingCounts {
        let Some(page) = self.timings.get(timing as usize) else { return TimingCounts::default() };
        TimingCounts {
            counts: from_fn(|bucket| {
                page.counts.get(bucket).map_or(0, |place| place.load(Ordering::Relaxed))
            }),
            sum_ns: page.sum_ns.load(Ordering::Relaxed),
        }
    }

    /// Whether a peer is up, to this core.
    pub fn peer_up(&self, host: u32) -> bool {
        self.peer_word(host) & 1 == 1
    }

    /// Whether a peer is a learner, as far as this core has met it.
    pub fn peer_learner(&self, host: u32) -> bool {
        self.peer_word(host) & 2 == 2
    }

    fn peer_word(&self, host: u32) -> u64 {
        let mut words = self.peers.iter().map(|place| place.load(Ordering::Relaxed));
        words.find(|word| *word != 0 && *word >> 2 == u64::from(host)).unwrap_or(0)
    }

    /// Milliseconds since the core last published; since the page was made when it never did.
    pub fn silent_ms(&self) -> u64 {
        self.age_ms().saturating_sub(self.beat.load(Ordering::Relaxed).saturating_sub(1))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let page = CorePage::new(3);
        page.set(Metric::Keys, 7);
        page.set_state(CoreState::Ready);
        assert_eq!((page.core(), page.value(Metric::Keys), page.value(Metric::Commands)), (3, 7, 0));
        assert_eq!(page.state(), CoreState::Ready);
        for state in [CoreState::Starting, CoreState::Recovering, CoreState::Draining, CoreState::Failed] {
            page.set_state(state);
            assert_eq!(page.state(), state);
        }
    }

    #[test]
    fn peers_have_a_place_each() {
        let page = CorePage::new(0);
        page.set_peer(2, true, false);
        page.set_peer(3, false, false);
        assert_eq!([page.peer_up(1), page.peer_up(2), page.peer_up(3)], [false, true, false]);
        page.set_peer(2, false, false);
        page.set_peer(3, true, true);
        assert_eq!([page.peer_up(2), page.peer_up(3)], [false, true]);
        assert_eq!([page.peer_learner(1), page.peer_learner(2), page.peer_learner(3)], [false, false, true]);
        for host in 10..10 + PEERS_MAX as u32 - 2 {
            page.set_peer(host, true, false);
        }
        assert!(page.peer_up(10) && page.peer_up(3));
    }

    #[test]
    fn durations_fall_into_their_buckets() {
        let mut counts = TimingCounts::default();
        for nanos in [0, 50_000, 50_001, 2_500_000_000, 2_500_000_001, u64::MAX] {
            counts.record(nanos);
        }
        counts.record_many(60_000, 4);
        assert_eq!((counts.counts[0], counts.counts[1], counts.counts[14], counts.counts[15]), (2, 5, 1, 2));
        assert_eq!((counts.count(), counts.sum_ns), (10, u64::MAX));
        let page = CorePage::new(0);
        page.set_timing(Timing::Commit, &counts);
        assert_eq!(page.timing(Timing::Commit).counts, counts.counts);
        assert_eq!(page.timing(Timing::Sync).count(), 0);
    }
}
