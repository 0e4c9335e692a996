//! Peers that let forwarded commands lapse, or hold them up again and again: slow ones, which are up and answer, but late.
//!
//! Forwarding is a matter of speed, never of correctness, so what a slow peer is preferred for is coordinated here instead,
//! and its slowness is no concern of the clients of other hosts. Now and then one command is forwarded as a probe; when it is
//! answered in time, the peer is trusted again. A peer that lapses again soon after is probed less often each time: it keeps
//! up as long as nothing is asked of it.
//!
//! What "held up" means is told by the other peers, whose answers take what they take at this load and over these ways, and by what is coordinated
//! here: where all are slow, nobody is, but who answers nothing at all for a second. A host that gets a tenth of a CPU, ten milliseconds in each
//! hundred, never lapses, and holds up all clients for nine tenths of the time. Only what was seen lately counts: hosts that do not trust each other propose the same keys against each
//! other, which makes all of them slow; by what the others took before that none would ever be trusted again.

use std::collections::BTreeMap;

use paxos::{Member, Members};
use reactor::clock::Nanos;

use crate::limits::{FORWARD_NS, HOLD_UPS, HOLD_UP_NS, SLOW_PEER_NS, SLOW_PEER_NS_MAX};

/// An answer is late when it takes so many times what the other peers take, and [`HOLD_UP_NS`] more.
const LATE: Nanos = 4;

/// How much of the mean is old, in eighths, with each answer.
const OLD_EIGHTHS: Nanos = 7;

/// What is known of one peer that has lapsed.
#[derive(Debug)]
struct Lapse {
    /// How long it is left alone.
    pause: Nanos,
    /// When the next probe may go to it.
    probe_at: Nanos,
    /// The command that probes it, while it is away.
    probe: Option<u64>,
    /// Since when it is trusted again.
    trusted: Option<Nanos>,
}

/// How long a peer takes.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The mean of its answers; zero: none was seen.
    mean: Nanos,
    /// When the last one was seen.
    seen: Nanos,
    /// Answers that came late lately, each for a moment of its own: what waits together is held up once.
    held_up: u32,
    /// The last of them, and the first.
    last: Nanos,
    first: Nanos,
    /// Since when it has answered nothing of what would have been slow here as well.
    silent_since: Option<Nanos>,
}

impl Pace {
    fn note(&mut self, now: Nanos, took: Nanos) {
        let took = took.clamp(1, FORWARD_NS);
        let mean = self.lately(now).unwrap_or(took);
        (self.mean, self.seen) = ((mean * OLD_EIGHTHS + took) / (OLD_EIGHTHS + 1), now);
        self.silent_since = None;
    }

    /// The mean, if there were answers lately.
    fn lately(&self, now: Nanos) -> Option<Nanos> {
        Some(self.mean).filter(|mean| *mean > 0 && now.saturating_sub(self.seen) <= SLOW_PEER_NS)
    }

    /// An answer came late; whether that is too often.
    fn is_held_up(&mut self, now: Nanos) -> bool {
        if self.held_up > 0 && now - self.last < HOLD_UP_NS {
            return false;
        }
        if now - self.first > SLOW_PEER_NS {
            (self.held_up, self.first) = (0, now);
        }
        (self.held_up, self.last) = (self.held_up + 1, now);
        self.held_up >= HOLD_UPS
    }
}

/// The peers that have lapsed, and how long each takes; at most one entry per member.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    lapses: BTreeMap<Member, Lapse>,
    paces: [Pace; Members::MAX as usize],
    /// How long what is coordinated here takes.
    own: Pace,
}

impl Patience {
    /// Whether a command may be forwarded to a member now.
    pub fn admits(&self, member: Member, now: Nanos) -> bool {
        self.lapses
            .get(&member)
            .is_none_or(|lapse| lapse.trusted.is_some() || (lapse.probe.is_none() && lapse.probe_at <= now))
    }

    /// A command was forwarded: the probe, if the member is not trusted.
    pub fn on_sent(&mut self, member: Member, seq: u64) {
        if let Some(lapse) = self.lapses.get_mut(&member).filter(|lapse| lapse.trusted.is_none()) {
            assert!(lapse.probe.is_none(), "one probe at a time");
            lapse.probe = Some(seq);
        }
    }

    /// A forwarded command was answered after so long, and before it lapsed.
    pub fn on_answer(&mut self, member: Member, seq: u64, now: Nanos, took: Nanos) {
        let late = self.usual(member, now).is_some_and(|usual| took > usual * LATE + HOLD_UP_NS);
        let pace = &mut self.paces[usize::from(member)];
        pace.note(now, took);
        let slow = late && pace.is_held_up(now);
        if slow {
            (pace.held_up, pace.first) = (0, now);
        }
        match self.lapses.get_mut(&member).filter(|lapse| lapse.probe == Some(seq)) {
            Some(lapse) if !late => {
                lapse.probe = None;
                lapse.trusted = Some(now);
            }
            Some(_) => self.on_lapse(member, seq, now),
            None if slow => self.on_lapse(member, seq, now),
            None => {}
        }
    }

    /// A command of a client that was coordinated here was answered after so long.
    pub fn on_own(&mut self, now: Nanos, took: Nanos) {
        self.own.note(now, took);
    }

    /// What the quickest of the others takes, if there is one that answers, or what is coordinated here, if that takes longer.
    fn usual(&self, member: Member, now: Nanos) -> Option<Nanos> {
        let others = (0..).zip(&self.paces).filter(|(other, _)| *other != member);
        let quickest = others.filter_map(|(_, pace)| pace.lately(now)).min()?;
        Some(quickest.max(self.own.lately(now).unwrap_or(0)))
    }

    /// A forwarded command was not answered in time.
    pub fn on_timeout(&mut self, member: Member, seq: u64, now: Nanos) {
        if self.own.lately(now).is_none_or(|own| own * LATE < FORWARD_NS) {
            return self.on_lapse(member, seq, now);
        }
        // Where all are slow some of what is forwarded is answered all the same.
        let silent_since = *self.paces[usize::from(member)].silent_since.get_or_insert(now);
        if now.saturating_sub(silent_since) >= SLOW_PEER_NS {
            return self.on_lapse(member, seq, now);
        }
        // It would not have been answered much sooner here.
        if let Some(lapse) = self.lapses.get_mut(&member).filter(|lapse| lapse.probe == Some(seq)) {
            (lapse.probe, lapse.trusted) = (None, Some(now));
        }
    }

    /// It is slow: a forwarded command was not answered in time, or too many were late.
    fn on_lapse(&mut self, member: Member, seq: u64, now: Nanos) {
        let new = Lapse { pause: SLOW_PEER_NS, probe_at: now + SLOW_PEER_NS, probe: None, trusted: None };
        let Some(lapse) = self.lapses.get_mut(&member) else {
            self.lapses.insert(member, new);
            return;
        };
        match lapse.trusted {
            // It did well for long: it starts anew.
            Some(since) if now - since > SLOW_PEER_NS_MAX => *lapse = new,
            // Of those that were under way when it was found slow, none says more.
            None if lapse.probe != Some(seq) => {}
            _ => {
                lapse.pause = (lapse.pause * 2).min(SLOW_PEER_NS_MAX);
                lapse.probe_at = now + lapse.pause;
                lapse.probe = None;
                lapse.trusted = None;
            }
        }
    }

    /// The link to a member went down: what comes up again is another matter.
    pub fn forget(&mut self, member: Member) {
        self.lapses.remove(&member);
        self.paces[usize::from(member)] = Pace::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Member = 1;

    #[test]
    fn a_peer_that_lapses_gets_one_probe_at_a_time_until_it_answers_one() {
        let mut patience = Patience::default();
        assert!(patience.admits(PEER, 0));
        patience.on_lapse(PEER, 1, 0);
        patience.on_lapse(PEER, 2, 5);
        assert!(!patience.admits(PEER, SLOW_PEER_NS - 1) && patience.admits(PEER, SLOW_PEER_NS));
        assert!(patience.admits(2, 0), "the others are trusted");
        patience.on_sent(PEER, 3);
        assert!(!patience.admits(PEER, SLOW_PEER_NS), "one is enough");
        patience.on_answer(PEER, 2, SLOW_PEER_NS, 1);
        assert!(!patience.admits(PEER, SLOW_PEER_NS), "a late answer to another one proves nothing");
        patience.on_answer(PEER, 3, SLOW_PEER_NS, 1);
        assert!(patience.admits(PEER, SLOW_PEER_NS));
    }

    #[test]
    fn who_lapses_again_and_again_is_asked_less_and_less() {
        let mut patience = Patience::default();
        let (mut now, mut pauses) = (0, Vec::new());
        patience.on_lapse(PEER, 0, now);
        for seq in 1..8 {
            let from = now;
            while !patience.admits(PEER, now) {
                now += SLOW_PEER_NS / 4;
            }
            pauses.push((now - from) / SLOW_PEER_NS);
            patience.on_sent(PEER, seq);
            // Some of the probes are answered; what is sent after them lapses.
            if seq % 2 == 0 {
                patience.on_answer(PEER, seq, now, 1);
            }
            patience.on_lapse(PEER, seq, now);
        }
        assert_eq!(pauses[..4], [1, 2, 4, 8]);
        assert_eq!(pauses[6], SLOW_PEER_NS_MAX / SLOW_PEER_NS);
        while !patience.admits(PEER, now) {
            now += SLOW_PEER_NS;
        }
        patience.on_sent(PEER, 9);
        patience.on_answer(PEER, 9, now, 1);
        patience.on_lapse(PEER, 10, now + 2 * SLOW_PEER_NS_MAX);
        assert!(patience.admits(PEER, now + 2 * SLOW_PEER_NS_MAX + SLOW_PEER_NS), "long ago is forgotten");
    }

    const MS: Nanos = 1_000_000;
    const OTHER: Member = 2;

    /// Answers of a peer once in 100 ms, each of them together with some others; how many until it is not admitted, if ever.
    fn answers_until_slow(patience: &mut Patience, took: Nanos) -> Option<u64> {
        (1..=100).find(|round| {
            let now = round * 100 * MS;
            let others = patience.paces[usize::from(OTHER)].mean;
            if others > 0 {
                patience.on_answer(OTHER, 0, now, others);
            }
            for seq in 10 * round..10 * round + 5 {
                patience.on_sent(PEER, seq);
                patience.on_answer(PEER, seq, now + seq % 10, took);
            }
            !patience.admits(PEER, now)
        })
    }

    #[test]
    fn who_holds_up_what_others_do_not_is_slow_without_a_lapse() {
        let others = |took: Nanos| {
            let mut patience = Patience::default();
            (0..50).for_each(|seq| patience.on_answer(OTHER, seq, 0, took));
            patience
        };
        assert_eq!(answers_until_slow(&mut others(MS), 60 * MS), Some(u64::from(HOLD_UPS)));
        assert_eq!(answers_until_slow(&mut others(MS), 10 * MS), None, "not much slower");
        assert_eq!(answers_until_slow(&mut others(30 * MS), 60 * MS), None, "all are slow");
        assert_eq!(answers_until_slow(&mut Patience::default(), 60 * MS), None, "there is nobody else");
        // One that is late now and then is not slow.
        let mut patience = others(MS);
        for round in 1..100 {
            patience.on_answer(PEER, round, round * 3_000 * MS, 60 * MS);
            patience.on_answer(PEER, round, round * 3_000 * MS + 100 * MS, 60 * MS);
            assert!(patience.admits(PEER, round * 3_000 * MS + 100 * MS), "{round}");
        }
    }

    #[test]
    fn where_all_are_slow_nobody_is() {
        // What others took long ago says nothing.
        let mut patience = Patience::default();
        (0..50).for_each(|seq| patience.on_answer(OTHER, seq, 0, MS));
        patience.on_timeout(PEER, 60, 0);
        patience.on_timeout(OTHER, 61, 0);
        assert!(!patience.admits(PEER, SLOW_PEER_NS / 2));
        patience.on_sent(PEER, 62);
        patience.on_answer(PEER, 62, 2 * SLOW_PEER_NS, 60 * MS);
        assert!(patience.admits(PEER, 2 * SLOW_PEER_NS), "the probe was answered");
        // What is coordinated here takes as long.
        let mut patience = Patience::default();
        for round in 1..=100 {
            patience.on_answer(OTHER, round, round * 100 * MS, MS);
            patience.on_own(round * 100 * MS, 30 * MS);
            patience.on_answer(PEER, round, round * 100 * MS, 60 * MS);
            assert!(patience.admits(PEER, round * 100 * MS), "{round}");
        }
        // Nor is it slow to answer late what would be late here.
        for (own, slow) in [(MS, true), (FORWARD_NS / LATE - 1, true), (FORWARD_NS / LATE + 1, false)] {
            let mut patience = Patience::default();
            patience.on_own(0, own);
            patience.on_timeout(PEER, 1, 0);
            assert_eq!(patience.admits(PEER, 0), !slow, "{own}");
        }
        let mut patience = Patience::default();
        patience.on_own(0, FORWARD_NS);
        patience.on_timeout(PEER, 2, 10 * SLOW_PEER_NS);
        assert!(!patience.admits(PEER, 10 * SLOW_PEER_NS), "that was long ago");
        // But who answers nothing at all has stopped, however long all else takes.
        let mut patience = Patience::default();
        let mut now = 0;
        while patience.admits(PEER, now) {
            assert!(now <= SLOW_PEER_NS, "it has not answered for {now} ns");
            patience.on_own(now, FORWARD_NS / 2);
            patience.on_answer(OTHER, 3, now, FORWARD_NS / 2);
            patience.on_timeout(PEER, 3, now);
            now += FORWARD_NS / 3;
        }
        now += SLOW_PEER_NS;
        patience.on_own(now, FORWARD_NS / 2);
        patience.on_sent(PEER, 4);
        patience.on_timeout(PEER, 4, now);
        assert!(!patience.admits(PEER, now + SLOW_PEER_NS) && patience.admits(PEER, now + 2 * SLOW_PEER_NS));
        patience.on_sent(PEER, 5);
        patience.on_answer(PEER, 5, now + 2 * SLOW_PEER_NS, FORWARD_NS / 2);
        patience.on_own(now + 2 * SLOW_PEER_NS, FORWARD_NS / 2);
        patience.on_timeout(PEER, 6, now + 2 * SLOW_PEER_NS);
        assert!(patience.admits(PEER, now + 2 * SLOW_PEER_NS), "it answers again");
        // A probe that was not answered in time, when it would have been no sooner here, is one that was.
        let mut patience = Patience::default();
        patience.on_timeout(PEER, 1, 0);
        patience.on_own(SLOW_PEER_NS, FORWARD_NS);
        patience.on_sent(PEER, 2);
        patience.on_timeout(PEER, 2, SLOW_PEER_NS);
        assert!(patience.admits(PEER, SLOW_PEER_NS));
    }

    #[test]
    fn a_probe_that_is_late_is_none() {
        let mut patience = Patience::default();
        patience.on_lapse(PEER, 2, 0);
        patience.on_sent(PEER, 3);
        patience.on_answer(OTHER, 1, SLOW_PEER_NS, MS);
        patience.on_answer(PEER, 3, SLOW_PEER_NS, 60 * MS);
        assert!(!patience.admits(PEER, 2 * SLOW_PEER_NS) && patience.admits(PEER, 3 * SLOW_PEER_NS));
        patience.on_sent(PEER, 4);
        patience.on_answer(PEER, 4, 3 * SLOW_PEER_NS, MS);
        assert!(patience.admits(PEER, 3 * SLOW_PEER_NS));
    }

    #[test]
    fn a_new_link_starts_anew() {
        let mut patience = Patience::default();
        patience.on_lapse(PEER, 1, 0);
        patience.forget(PEER);
        assert!(patience.admits(PEER, 0));
        patience.on_sent(PEER, 2);
        patience.on_answer(PEER, 2, 0, 1);
        assert!(patience.admits(PEER, 0));
    }
}
