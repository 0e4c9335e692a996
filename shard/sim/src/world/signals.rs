//! What hosts are told of each other: a peer is up, or down. True, but late; or false for a while.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};

use super::core::Input;
use super::{Event, Place, World};
use crate::plan::Routes;

/// The newest signal on its way, for each core about each peer: older ones are overtaken.
#[derive(Debug)]
pub(super) struct Signals {
    /// By core, host and peer.
    stamps: Vec<Vec<Vec<u64>>>,
}

impl Signals {
    pub fn new(hosts: usize, cores: usize) -> Signals {
        Signals { stamps: vec![vec![vec![0; hosts]; hosts]; cores] }
    }
}

impl World {
    /// Whether a core and its like on a peer can talk, in both directions.
    fn connected(&self, one: Place, peer: Member) -> bool {
        let (a, b) = (usize::from(one.host), usize::from(peer));
        let other = Place { host: peer, ..one };
        self.core(one).is_reachable()
            && self.core(other).is_reachable()
            && !self.blocked[a][b]
            && !self.blocked[b][a]
    }

    /// A host was started or died: it, and all others about it, will hear.
    pub(super) fn signal_all(&mut self, host: Member) {
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            self.places(host).for_each(|place| self.signal_pair(place, peer));
        }
    }

    /// A core and its like on a peer will hear the truth of each other.
    pub(super) fn signal_pair(&mut self, one: Place, other: Member) {
        if self.has_streams() {
            // The links find out by themselves.
            return;
        }
        let up = self.connected(one, other);
        for (at, peer) in [(one, other), (Place { host: other, ..one }, one.host)] {
            // A death is heard by the reset of its connections, or found out by silence.
            let lag = match (up, self.net.below(3)) {
                (true, _) | (false, 0) => self.net.below(20 * MILLISECOND),
                (false, _) => self.net.below(300 * MILLISECOND),
            };
            self.signal(at, peer, up, lag);
        }
    }

    /// A core will hear something of a peer.
    pub(super) fn signal(&mut self, at: Place, peer: Member, up: bool, lag: Nanos) {
        let stamp = &mut self.signals.stamps[usize::from(at.core)][usize::from(at.host)][usize::from(peer)];
        *stamp += 1;
        let stamp = *stamp;
        self.schedule(self.now + lag, Event::Signal { at, peer, up, stamp });
    }

    pub(super) fn on_signal(&mut self, at: Place, peer: Member, up: bool, stamp: u64) {
        let newest = self.signals.stamps[usize::from(at.core)][usize::from(at.host)][usize::from(peer)];
        if stamp == newest && self.core(at).is_up() {
            self.hear(at, peer, up);
        }
    }

    /// A core hears of a peer.
    pub(super) fn hear(&mut self, at: Place, peer: Member, up: bool) {
        self.core_mut(at).up[usize::from(peer)] = up;
        self.story
            .mix(u64::from(at.core) << 24 | u64::from(at.host) << 16 | u64::from(peer) << 8 | u64::from(up));
        self.tell(|| format!("{at} hears that host {peer} is {}", if up { "up" } else { "down" }));
        self.arrive(at, Input::Signal { peer, up });
        if self.plan.routes == Routes::Liveness {
            self.set_routes_of(at);
        }
    }

    /// Opens or cuts the way from one host to another.
    pub(super) fn set_blocked(&mut self, from: Member, to: Member, blocked: bool) {
        let way = &mut self.blocked[usize::from(from)][usize::from(to)];
        if *way != blocked {
            *way = blocked;
            let verb = if blocked { "cut" } else { "open" };
            self.tell(|| format!("the way from host {from} to host {to} is {verb}"));
            self.places(from).for_each(|place| self.signal_pair(place, to));
        }
    }
}
