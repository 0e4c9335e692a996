//! What hosts are told of each other: a peer is up, or down. True, but late; or false for a while.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};

use super::host::Input;
use super::{Event, World};
use crate::plan::Routes;

/// The newest signal on its way, for each host about each peer: older ones are overtaken.
#[derive(Debug)]
pub(super) struct Signals {
    stamps: Vec<Vec<u64>>,
}

impl Signals {
    pub fn new(hosts: usize) -> Signals {
        Signals { stamps: vec![vec![0; hosts]; hosts] }
    }
}

impl World {
    /// Whether two hosts can talk, in both directions.
    fn connected(&self, one: Member, other: Member) -> bool {
        let (a, b) = (usize::from(one), usize::from(other));
        self.hosts[a].is_up() && self.hosts[b].is_up() && !self.blocked[a][b] && !self.blocked[b][a]
    }

    /// A host was started or died: it, and all others about it, will hear.
    pub(super) fn signal_all(&mut self, host: Member) {
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            self.signal_pair(host, peer);
        }
    }

    /// Both hosts will hear the truth of each other.
    pub(super) fn signal_pair(&mut self, one: Member, other: Member) {
        if self.has_streams() {
            // The links find out by themselves.
            return;
        }
        let up = self.connected(one, other);
        for (at, peer) in [(one, other), (other, one)] {
            // A death is heard by the reset of its connections, or found out by silence.
            let lag = match (up, self.net.below(3)) {
                (true, _) | (false, 0) => self.net.below(20 * MILLISECOND),
                (false, _) => self.net.below(300 * MILLISECOND),
            };
            self.signal(at, peer, up, lag);
        }
    }

    /// A host will hear something of a peer.
    pub(super) fn signal(&mut self, at: Member, peer: Member, up: bool, lag: Nanos) {
        let stamp = &mut self.signals.stamps[usize::from(at)][usize::from(peer)];
        *stamp += 1;
        let stamp = *stamp;
        self.schedule(self.now + lag, Event::Signal { at, peer, up, stamp });
    }

    pub(super) fn on_signal(&mut self, at: Member, peer: Member, up: bool, stamp: u64) {
        let newest = self.signals.stamps[usize::from(at)][usize::from(peer)];
        let entry = &self.hosts[usize::from(at)];
        if stamp == newest && entry.is_up() {
            self.hear(at, peer, up);
        }
    }

    /// A host hears of a peer.
    pub(super) fn hear(&mut self, at: Member, peer: Member, up: bool) {
        self.hosts[usize::from(at)].up[usize::from(peer)] = up;
        self.story.mix(u64::from(at) << 16 | u64::from(peer) << 8 | u64::from(up));
        self.tell(|| format!("host {at} hears that host {peer} is {}", if up { "up" } else { "down" }));
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
            self.signal_pair(from, to);
        }
    }
}
