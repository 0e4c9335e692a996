//! Peers that let forwarded commands lapse: slow ones, which are up and answer, but late.
//!
//! Forwarding is a matter of speed, never of correctness, so what a slow peer is preferred for is coordinated here instead,
//! and its slowness is no concern of the clients of other hosts. Now and then one command is forwarded as a probe; when it is
//! answered in time, the peer is trusted again. A peer that lapses again soon after is probed less often each time: it keeps
//! up as long as nothing is asked of it.

use std::collections::BTreeMap;

use paxos::Member;
use reactor::clock::Nanos;

use crate::limits::{SLOW_PEER_NS, SLOW_PEER_NS_MAX};

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

/// The peers that have lapsed, at most one entry per member.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    lapses: BTreeMap<Member, Lapse>,
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

    /// A forwarded command was answered in time.
    pub fn on_answer(&mut self, member: Member, seq: u64, now: Nanos) {
        if let Some(lapse) = self.lapses.get_mut(&member).filter(|lapse| lapse.probe == Some(seq)) {
            lapse.probe = None;
            lapse.trusted = Some(now);
        }
    }

    /// A forwarded command was not.
    pub fn on_lapse(&mut self, member: Member, seq: u64, now: Nanos) {
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
        patience.on_answer(PEER, 2, SLOW_PEER_NS);
        assert!(!patience.admits(PEER, SLOW_PEER_NS), "a late answer to another one proves nothing");
        patience.on_answer(PEER, 3, SLOW_PEER_NS);
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
                patience.on_answer(PEER, seq, now);
            }
            patience.on_lapse(PEER, seq, now);
        }
        assert_eq!(pauses[..4], [1, 2, 4, 8]);
        assert_eq!(pauses[6], SLOW_PEER_NS_MAX / SLOW_PEER_NS);
        while !patience.admits(PEER, now) {
            now += SLOW_PEER_NS;
        }
        patience.on_sent(PEER, 9);
        patience.on_answer(PEER, 9, now);
        patience.on_lapse(PEER, 10, now + 2 * SLOW_PEER_NS_MAX);
        assert!(patience.admits(PEER, now + 2 * SLOW_PEER_NS_MAX + SLOW_PEER_NS), "long ago is forgotten");
    }

    #[test]
    fn a_new_link_starts_anew() {
        let mut patience = Patience::default();
        patience.on_lapse(PEER, 1, 0);
        patience.forget(PEER);
        assert!(patience.admits(PEER, 0));
        patience.on_sent(PEER, 2);
        patience.on_answer(PEER, 2, 0);
        assert!(patience.admits(PEER, 0));
    }
}
