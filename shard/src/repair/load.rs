//! How much clients want of a core, and what is left for repair: pure.
//!
//! A core with commands to serve is *busy*. It is *strained* when what it asks its peers takes clearly longer than it did in its better moments of the last
//! half minute: then somebody waits for CPUs or disks that copies may be using. Repair takes a share of its rate that grows slowly while nobody is strained
//! and falls quickly when somebody is, as transfers in the background do on the network (LEDBAT, RFC 6817): clients come first, and
//! what they leave is used.

use reactor::clock::Nanos;

use crate::limits::{
    REPAIR_BUSY_COMMANDS, REPAIR_BUSY_NS, REPAIR_SHARE_BUSY, REPAIR_SHARE_MAX, REPAIR_SHARE_MIN,
    REPAIR_STRAIN_NS, REPAIR_STRAIN_SPAN_NS, REPAIR_STRAIN_WINDOWS, REPAIR_STRAIN_WINDOW_NS,
};

/// What a core says of itself to those that it sends copies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Burden {
    /// Nobody wants anything.
    #[default]
    Idle,
    /// There are commands to serve.
    Busy,
    /// And they take longer than they did.
    Strained,
}

/// All of repair's rate, in parts of a thousand.
pub(crate) const WHOLE_SHARE: u32 = 1_000;

/// Whether commands are served, here or at a peer, and how well.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Commands since the window began.
    commands: u64,
    since: Nanos,
    here_until: Nanos,
    peer_until: Nanos,
    strain: Strain,
    share: Share,
}

impl Load {
    /// A command came in.
    pub fn note_command(&mut self) {
        self.commands += 1;
    }

    /// A majority answered a question after so long.
    pub fn note_round(&mut self, now: Nanos, took: Nanos) {
        self.strain.note(now, took);
    }

    /// A peer said how it is.
    pub fn note_peer(&mut self, now: Nanos, burden: Burden) {
        if burden >= Burden::Busy {
            self.peer_until = now + REPAIR_BUSY_NS;
        }
        if burden == Burden::Strained {
            self.share.shrink(now);
        }
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Nanos) {
        let busy = self.commands >= REPAIR_BUSY_COMMANDS;
        if busy {
            self.here_until = now + REPAIR_BUSY_NS;
        }
        if busy || now.saturating_sub(self.since) >= REPAIR_BUSY_NS {
            (self.commands, self.since) = (0, now);
        }
        if self.strain.is_strained(now) {
            self.share.shrink(now);
        }
        if self.is_busy(now) {
            self.share.grow(now);
        } else {
            self.share = Share::default();
        }
    }

    /// How this core is.
    pub fn here(&self, now: Nanos) -> Burden {
        match self.here_until > now {
            true if self.strain.is_strained(now) => Burden::Strained,
            true => Burden::Busy,
            false => Burden::Idle,
        }
    }

    /// Whether commands are served, here or where copies come from.
    pub fn is_busy(&self, now: Nanos) -> bool {
        self.here_until > now || self.peer_until > now
    }

    /// The part of its rate that repair may use, in thousandths.
    pub fn share(&self, now: Nanos) -> u32 {
        if self.is_busy(now) {
            self.share.now
        } else {
            WHOLE_SHARE
        }
    }
}

/// What questions to peers take now, and took in the better moments.
#[derive(Clone, Copy, Debug, Default)]
struct Strain {
    /// The window at hand: since when, the sum of what its questions took, and how many there were.
    since: Nanos,
    sum: Nanos,
    count: u64,
    /// The means of the last windows, the newest first, and when that ended.
    last: [Nanos; REPAIR_STRAIN_WINDOWS],
    ended_at: Nanos,
    /// The least mean of the span at hand and of the one before, and when the first began. Zero: there was none.
    least: Nanos,
    least_before: Nanos,
    span_since: Nanos,
}

impl Strain {
    fn note(&mut self, now: Nanos, took: Nanos) {
        if now.saturating_sub(self.since) >= REPAIR_STRAIN_WINDOW_NS {
            if let Some(mean) = self.sum.checked_div(self.count) {
                self.end_window(now, mean.max(1));
            }
            (self.since, self.sum, self.count) = (now, 0, 0);
        }
        self.sum = self.sum.saturating_add(took);
        self.count += 1;
    }

    fn end_window(&mut self, now: Nanos, mean: Nanos) {
        self.last.rotate_right(1);
        (self.last[0], self.ended_at) = (mean, now);
        if now.saturating_sub(self.span_since) >= REPAIR_STRAIN_SPAN_NS {
            (self.least_before, self.least, self.span_since) = (self.least, 0, now);
        }
        self.least = if self.least == 0 { mean } else { self.least.min(mean) };
    }

    fn is_strained(&self, now: Nanos) -> bool {
        let best = [self.least, self.least_before].into_iter().filter(|least| *least > 0).min();
        let usual = |best: Nanos| best + best / 2 + REPAIR_STRAIN_NS;
        // The least of some windows: one that the disk or a merge held up says nothing.
        let lately = self.last.into_iter().min().unwrap_or(0);
        now.saturating_sub(self.ended_at) < REPAIR_BUSY_NS && best.is_some_and(|best| lately > usual(best))
    }
}

/// The part of its rate that repair takes beside commands.
#[derive(Clone, Copy, Debug)]
struct Share {
    now: u32,
    changed_at: Nanos,
}

impl Default for Share {
    fn default() -> Share {
        Share { now: REPAIR_SHARE_BUSY, changed_at: 0 }
    }
}

impl Share {
    /// Once in so long: what is done about strain takes a while to be felt.
    fn is_due(&mut self, now: Nanos) -> bool {
        let due = now.saturating_sub(self.changed_at) >= REPAIR_BUSY_NS;
        if due {
            self.changed_at = now;
        }
        due
    }

    fn shrink(&mut self, now: Nanos) {
        if self.is_due(now) {
            self.now = (self.now * 2 / 3).max(REPAIR_SHARE_MIN);
        }
    }

    fn grow(&mut self, now: Nanos) {
        if self.is_due(now) {
            self.now = (self.now + REPAIR_SHARE_MIN / 4).min(REPAIR_SHARE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// A busy core whose questions take so long, from one time on for so many milliseconds.
    fn serve(load: &mut Load, from: Nanos, ms: u64, took: Nanos) -> Nanos {
        for at in (from..).step_by(MS as usize).take(ms as usize) {
            (0..10).for_each(|_| load.note_command());
            load.note_round(at, took);
            load.look(at);
        }
        from + ms * MS
    }

    #[test]
    fn what_takes_longer_than_in_better_moments_is_strain_until_those_are_long_ago() {
        let mut load = Load::default();
        let now = serve(&mut load, 1, 1_000, MS);
        assert_eq!(load.here(now), Burden::Busy);
        let now = serve(&mut load, now, 300, MS + MS / 4);
        assert_eq!(load.here(now), Burden::Busy, "a quarter more is nothing");
        let now = serve(&mut load, now, 300, 4 * MS);
        assert_eq!(load.here(now), Burden::Strained);
        let now = serve(&mut load, now, 300, MS);
        assert_eq!(load.here(now), Burden::Busy);
        let now = serve(&mut load, now, 3 * REPAIR_STRAIN_SPAN_NS / MS, 4 * MS);
        assert_eq!(load.here(now), Burden::Busy, "it has become the usual");
        assert_eq!(load.here(now + 2 * REPAIR_BUSY_NS), Burden::Idle);
    }

    #[test]
    fn the_share_falls_fast_under_strain_and_grows_slowly_without_it() {
        let mut load = Load::default();
        assert_eq!(load.share(0), WHOLE_SHARE);
        let now = serve(&mut load, 1, 1_000, MS);
        let calm = load.share(now);
        assert!((REPAIR_SHARE_BUSY..REPAIR_SHARE_MAX).contains(&calm));
        let now = serve(&mut load, now, 2_500, 9 * MS);
        assert_eq!(load.share(now), REPAIR_SHARE_MIN);
        let now = serve(&mut load, now, 1_000, MS);
        assert!((REPAIR_SHARE_MIN + 1..calm + REPAIR_SHARE_BUSY).contains(&load.share(now)));
        let now = serve(&mut load, now, 30_000, MS);
        assert_eq!(load.share(now), REPAIR_SHARE_MAX);
        load.look(now + 5 * REPAIR_BUSY_NS);
        assert_eq!(load.share(now + 5 * REPAIR_BUSY_NS), WHOLE_SHARE);
    }

    #[test]
    fn the_strain_of_a_peer_counts_as_the_own() {
        let mut load = Load::default();
        let mut now = serve(&mut load, 1, 500, MS);
        let before = load.share(now);
        for _ in 0..50 {
            load.note_peer(now, Burden::Strained);
            now += 50 * MS;
        }
        assert!(before >= REPAIR_SHARE_BUSY && load.share(now - 50 * MS) == REPAIR_SHARE_MIN);
    }
}
