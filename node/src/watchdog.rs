//! Sends the clients and peers of a stuck core away, so that they go on at another host: a connection that is closed is the
//! signal that clients and peers act on, and a core that does not turn cannot give it.
//!
//! A thread of its own looks at how many turns each core has taken. A core that is well takes ten in a second at least,
//! for it publishes its page so often. What the thread does about one that took none is told by
//! [`reactor::uring::Watched`]; no lock and nothing on the way of a request is needed for it.
//!
//! A process that was stopped and goes on is not stuck: the watchdog was as late as the cores, and gives them all their
//! time once more. Nor is a core that waits for a CPU: that time is not counted, where the system tells it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::uring::Watched;

use crate::admin::{CorePage, Metric};
use crate::boot::Failure;

/// How often the cores are looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// A look that comes later than this after the last one says nothing about the cores.
const LATE: Duration = Duration::from_millis(100);

/// What a look found out about a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Well,
    /// For the first time, or still.
    Stuck {
        first: bool,
    },
    /// It turns again.
    Recovered,
}

/// What is known of one core.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    turns: Option<u64>,
    /// How long it took no turn, without the time in which it waited for a CPU.
    silent: Duration,
    /// How long it had waited for a CPU at the last look.
    waited: Option<Duration>,
    stuck: bool,
}

impl Seen {
    /// The core has taken so many turns, `since` after the last look; none: it has not begun, or has ended. `waited` is asked
    /// of a core that took none; `allowed` is how long it may stand still.
    fn look(
        &mut self,
        allowed: Duration,
        turns: Option<u64>,
        since: Duration,
        waited: impl Fn() -> Option<Duration>,
    ) -> Found {
        let turned = turns.is_none() || turns != self.turns;
        self.turns = turns;
        if turned {
            (self.silent, self.waited) = (Duration::ZERO, None);
            return if std::mem::take(&mut self.stuck) { Found::Recovered } else { Found::Well };
        }
        let before = std::mem::replace(&mut self.waited, waited());
        let meanwhile =
            self.waited.zip(before).map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then));
        if since > LATE && !self.stuck {
            self.silent = Duration::ZERO;
            return Found::Well;
        }
        self.silent = self.silent.saturating_add(since.saturating_sub(meanwhile));
        if self.silent < allowed {
            return Found::Well;
        }
        Found::Stuck { first: !std::mem::replace(&mut self.stuck, true) }
    }
}

/// The running thread; dropping it ends it.
pub(crate) struct Watchdog {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Watches these cores, which may stand still for so many milliseconds; what it does is counted in their pages. With a look
    /// before and one after, connections end within 200 ms more.
    pub(crate) fn start(
        cores: Vec<(Arc<Watched>, Arc<CorePage>)>,
        allowed_ms: u64,
    ) -> Result<Watchdog, Failure> {
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let allowed = Duration::from_millis(allowed_ms);
        let thread = std::thread::Builder::new()
            .name("synod-watchdog".to_owned())
            .spawn(move || watch(&cores, allowed, &until))
            .map_err(|error| Failure::Other(format!("cannot start a thread: {error}")))?;
        Ok(Watchdog { ended, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to tell; a panic has ended the process.
            let _ = thread.join();
        }
    }
}

fn watch(cores: &[(Arc<Watched>, Arc<CorePage>)], allowed: Duration, ended: &AtomicBool) {
    let mut seen = vec![(Seen::default(), 0_u64); cores.len()];
    let mut last = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        std::thread::park_timeout(PERIOD);
        let since = last.elapsed();
        last += since;
        for ((watched, page), (seen, stalls)) in cores.iter().zip(&mut seen) {
            let core = page.core();
            match seen.look(allowed, watched.turns(), since, || watched.waited()) {
                Found::Well => {}
                Found::Stuck { first: true } => {
                    *stalls += 1;
                    page.set(Metric::Stalls, *stalls);
                    let connections = watched.cut_off();
                    tracing::error!(
                        core,
                        connections,
                        "a core does not turn any more: its connections are closed, so that clients and peers go elsewhere; \
                         the disk or the machine may hang (see dmesg), or it is a bug: report it with the output of \
                         `cat /proc/PID/task/*/stack`"
                    );
                }
                // Whoever came meanwhile was let in by the kernel alone.
                Found::Stuck { first: false } => drop(watched.cut_off()),
                Found::Recovered => tracing::warn!(core, "a core that did not turn turns again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_millis(300);

    /// Looks as (turns, milliseconds since the last look), and what each finds.
    fn looks(table: &[(Option<u64>, u64)]) -> Vec<Found> {
        let mut seen = Seen::default();
        table
            .iter()
            .map(|(turns, since)| seen.look(ALLOWED, *turns, Duration::from_millis(*since), || None))
            .collect()
    }

    #[test]
    fn a_core_is_stuck_when_it_was_seen_to_stand_still() {
        let stands = |turns, times| vec![(Some(turns), 50); times];
        let found = looks(&[stands(7, 7), stands(8, 1)].concat());
        assert_eq!(found[..6], [Found::Well; 6]);
        assert_eq!(found[6..], [Found::Stuck { first: true }, Found::Recovered]);
        let found = looks(&stands(7, 9));
        assert_eq!(found[7..], [Found::Stuck { first: false }; 2]);
        // It turned once in between.
        assert!(looks(&[stands(7, 6), stands(8, 6), stands(9, 6)].concat())
            .iter()
            .all(|f| *f == Found::Well));
    }

    #[test]
    fn who_was_late_himself_blames_nobody() {
        let stopped = [(Some(7), 50), (Some(7), 50), (Some(7), 60_000), (Some(7), 50), (Some(8), 50)];
        assert_eq!(looks(&stopped), [Found::Well; 5]);
        // Late every time, as on a machine without a CPU to spare.
        assert_eq!(looks(&[(Some(7), 150); 20]), [Found::Well; 20]);
        // What is stuck stays so over a late look.
        let found =
            looks(&[vec![(Some(7), 50); 7], vec![(Some(7), 500); 1], vec![(Some(8), 500); 1]].concat());
        assert_eq!(
            found[6..],
            [Found::Stuck { first: true }, Found::Stuck { first: false }, Found::Recovered]
        );
    }

    #[test]
    fn waiting_for_a_cpu_is_not_standing_still() {
        let mut seen = Seen::default();
        let mut at = |ms: u64| {
            seen.look(ALLOWED, Some(7), Duration::from_millis(50), || Some(Duration::from_millis(ms)))
        };
        // Of each 50 ms it waits 45.
        assert!((0..40).all(|look| at(look * 45) == Found::Well));
        let stuck = (0..10).map(|_| at(39 * 45)).find(|found| *found != Found::Well);
        assert_eq!(stuck, Some(Found::Stuck { first: true }), "then it waits for nothing any more");
    }

    #[test]
    fn before_the_first_turn_and_after_the_last_nothing_is_wrong() {
        assert_eq!(looks(&[(None, 50); 20]), [Found::Well; 20]);
        let ended = [vec![(Some(7), 50); 7], vec![(None, 50); 10]].concat();
        assert_eq!(looks(&ended)[7..], [&[Found::Recovered][..], &[Found::Well; 9]].concat());
    }
}
