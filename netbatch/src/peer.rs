//! One peer: its outbox, its ready links, and when to dial it again.

use std::net::SocketAddr;

use reactor::rng::Rng;
use reactor::Nanos;

use crate::config::{HostId, Tuning};
use crate::limits::BACKOFF_FLOOR;
use crate::outbox::Outbox;
use crate::LinkId;

/// What is known of one peer.
#[derive(Debug)]
pub struct Peer {
    /// Where its core of our number listens.
    pub addr: SocketAddr,
    /// What waits for it.
    pub outbox: Outbox,
    /// Its ready links, in the order in which they became ready.
    pub links: Vec<LinkId>,
    /// The attempt to connect that is under way.
    pub dialing: Option<LinkId>,
    /// Its start, as the newest link's handshake told.
    pub instance: Option<u64>,
    /// The member set that it has in force, as the newest link's handshake told.
    pub config_epoch: Option<u64>,
    /// Messages are believed to get through.
    pub healthy: bool,
    redial: Redial,
}

/// When to dial: exponential back-off with full jitter.
#[derive(Debug, Default)]
struct Redial {
    not_before: Nanos,
    failures: u32,
}

impl Peer {
    /// A peer without links, to be dialled at once.
    pub fn new(addr: SocketAddr, tuning: &Tuning) -> Peer {
        Peer {
            addr,
            outbox: Outbox::new(tuning.outbox_bytes_max),
            links: Vec::new(),
            dialing: None,
            instance: None,
            config_epoch: None,
            healthy: false,
            redial: Redial::default(),
        }
    }

    /// When to dial next, if at all. Without any link both sides dial, so that whichever can be reached is;
    /// then the host with the lower number completes the pool.
    pub fn dial_at(&self, own: HostId, peer: HostId, tuning: &Tuning) -> Option<Nanos> {
        let wanted = if own < peer { tuning.links_per_peer } else { 1 };
        (self.dialing.is_none() && self.links.len() < wanted).then_some(self.redial.not_before)
    }

    /// An attempt failed.
    pub fn on_dial_failed(&mut self, now: Nanos, tuning: &Tuning, rng: &mut Rng) {
        let window =
            tuning.backoff_min.saturating_mul(1 << self.redial.failures.min(31)).min(tuning.backoff_max);
        self.redial.failures = self.redial.failures.saturating_add(1);
        self.redial_within(now, window, rng);
    }

    /// An attempt was refused: only an operator can mend that.
    pub fn on_dial_refused(&mut self, now: Nanos, tuning: &Tuning, rng: &mut Rng) {
        self.redial_within(now, tuning.refused_retry, rng);
    }

    /// A link is ready, whoever dialled: the next attempt is the first again.
    pub fn on_ready(&mut self, now: Nanos, tuning: &Tuning, rng: &mut Rng) {
        self.redial.failures = 0;
        self.redial_within(now, tuning.backoff_min, rng);
    }

    /// A ready link ended.
    pub fn on_lost(&mut self, now: Nanos, tuning: &Tuning, rng: &mut Rng) {
        self.redial_within(now, tuning.backoff_min, rng);
    }

    fn redial_within(&mut self, now: Nanos, window: Nanos, rng: &mut Rng) {
        let wait = rng.between(BACKOFF_FLOOR.min(window), window);
        self.redial.not_before = now.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::clock::MILLISECOND;

    #[test]
    fn back_off_grows_to_its_bound_and_starts_anew() {
        let tuning = Tuning::default();
        let mut rng = Rng::new(1);
        let mut peer = Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), &tuning);
        assert_eq!(peer.dial_at(1, 2, &tuning), Some(0));
        for window_ms in [5, 10, 20, 40, 80, 100, 100] {
            peer.on_dial_failed(1000, &tuning, &mut rng);
            let wait = peer.dial_at(1, 2, &tuning).unwrap() - 1000;
            assert!((MILLISECOND..=window_ms * MILLISECOND).contains(&wait), "{wait} in {window_ms} ms");
        }
        peer.on_ready(0, &tuning, &mut rng);
        assert!(peer.dial_at(1, 2, &tuning).unwrap() <= 5 * MILLISECOND);
    }

    #[test]
    fn the_lower_host_completes_the_pool() {
        let tuning = Tuning::default();
        let mut peer = Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), &tuning);
        let dials =
            |peer: &Peer| (peer.dial_at(1, 2, &tuning).is_some(), peer.dial_at(3, 2, &tuning).is_some());
        assert_eq!(dials(&peer), (true, true));
        peer.links.push(LinkId(1));
        assert_eq!(dials(&peer), (true, false));
        peer.links.push(LinkId(2));
        assert_eq!(dials(&peer), (false, false));
        peer.links.clear();
        peer.dialing = Some(LinkId(3));
        assert_eq!(dials(&peer), (false, false));
    }
}
