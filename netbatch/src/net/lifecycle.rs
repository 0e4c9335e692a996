//! How links become ready, and how they end.

use std::net::IpAddr;

use reactor::mutants::planted;

use super::{Effect, Ended, Net};
use crate::config::HostId;
use crate::error::{Reason, Refusal};
use crate::flow::Flow;
use crate::handshake::{refuse_message, Proven, Role};
use crate::limits::{LINKS_SURPLUS_MAX, UNPROVEN_LINKS_MAX};
use crate::link::{Link, LinkId, Stage};
use crate::refusals::Origin;

impl Net {
    /// Closes the oldest accepted connection that has not proved itself, if there are as many as there may
    /// be.
    pub(super) fn make_room_for_unproven(&mut self) {
        let unproven = |(_, link): &(&LinkId, &Link)| link.role == Role::Acceptor && link.ready().is_none();
        let mut oldest_first = self.links.iter().filter(unproven).map(|(id, _)| *id);
        let Some(oldest) = oldest_first.next() else { return };
        if oldest_first.count() + 1 >= UNPROVEN_LINKS_MAX {
            self.end(oldest, Ended::Evicted);
        }
    }

    /// The other side proved itself. The dialer then knows that both agree; the acceptor waits for the first
    /// frame.
    pub(super) fn on_proven(&mut self, id: LinkId, proven: Proven) {
        let host = proven.host;
        if self.own.data_ids.insert(host, proven.data_id).is_none() {
            self.effect(Effect::LearnedDataId { peer: host, id: proven.data_id });
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.peer = Some(host);
        link.stage = Stage::Flowing(Box::new(Flow::new(now, proven)));
        if link.role == Role::Dialer {
            self.on_ready(id);
        }
    }

    /// Both sides have accepted each other.
    pub(super) fn on_ready(&mut self, id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Flowing(flow) = &mut link.stage else { return };
        flow.confirmed = true;
        flow.speak_now(now);
        let (proven, addr) = (flow.proven, link.addr);
        self.refusals.forget(proven.host, addr.ip());
        self.metrics.links_ready += 1;
        self.end_links_of_former_start(&proven);
        self.join_pool(id, &proven);
        self.end_surplus_link(id, proven.host);
    }

    /// A peer that was started anew has forgotten its former links, even if they have not ended here yet.
    fn end_links_of_former_start(&mut self, proven: &Proven) {
        let Some(peer) = self.peers.get(&proven.host) else { return };
        if peer.instance != Some(proven.instance) {
            for link in peer.links.clone() {
                self.end(link, Ended::Evicted);
            }
        }
    }

    fn join_pool(&mut self, id: LinkId, proven: &Proven) {
        let Some(peer) = self.peers.get_mut(&proven.host) else { return };
        peer.on_ready(self.now, &self.own.config.tuning, &mut self.rng);
        peer.links.push(id);
        peer.dialing = peer.dialing.filter(|dialing| *dialing != id);
        peer.config_epoch = Some(proven.config_epoch);
        let known_before = peer.instance.replace(proven.instance).is_some();
        if peer.links.len() == 1 {
            peer.healthy = true;
            self.metrics.reconnects += u64::from(known_before);
            if !(known_before && planted(402)) {
                self.effect(Effect::PeerUp(proven.host));
            }
        }
    }

    /// Closes the link that was silent for the longest time if the peer has more than it may have.
    fn end_surplus_link(&mut self, newest: LinkId, host: HostId) {
        let Some(peer) = self.peers.get(&host) else { return };
        if peer.links.len() <= self.own.config.tuning.links_per_peer + LINKS_SURPLUS_MAX {
            return;
        }
        let heard_at = |id: &LinkId| self.links.get(id).and_then(Link::ready).map(Flow::heard_at);
        let silent = peer.links.iter().copied().filter(|id| *id != newest).min_by_key(heard_at);
        if let Some(silent) = silent {
            self.end(silent, Ended::Evicted);
        }
    }

    /// Ends a connection for a reason of ours.
    pub(super) fn end(&mut self, id: LinkId, ended: Ended) {
        let Some(link) = self.links.remove(&id) else { return };
        let mut refused = false;
        match ended {
            Ended::Refused(refusal) => {
                // What is not our protocol gets no answer in it, and may be a passing damage: it is tried
                // again soon.
                refused = refusal.reason != Reason::Malformed;
                if refused {
                    let bytes = refuse_message(refusal.reason);
                    self.metrics.bytes_out += bytes.len() as u64;
                    self.effect(Effect::Send { link: id, bytes });
                }
                if let Some((peer, id)) = refusal.shown {
                    self.effect(Effect::OtherDataId { peer, id });
                }
                self.report(&link, false, refusal);
            }
            Ended::ByPeer(reason) => {
                refused = true;
                self.report(&link, true, Refusal::new(reason, reason.to_refused()));
            }
            Ended::BadFrame(error) => {
                self.metrics.bad_frames += 1;
                if let Some(peer) = link.peer {
                    self.effect(Effect::BadFrame { peer, error });
                }
            }
            Ended::TimedOut if link.ready().is_some() => self.metrics.hangs += 1,
            Ended::TimedOut => self.metrics.timeouts += 1,
            Ended::Evicted => self.metrics.evicted += 1,
        }
        self.effect(Effect::Close { link: id, after_sent: refused });
        self.on_gone(id, link, refused);
    }

    fn report(&mut self, link: &Link, by_peer: bool, refusal: Refusal) {
        self.metrics.refused += 1;
        let claimed = match &link.stage {
            Stage::Shaking(handshake) => handshake.claimed(),
            Stage::Connecting | Stage::Flowing(_) => link.peer,
        };
        let origin = match link.role {
            Role::Dialer => link.peer.map(Origin::Peer),
            Role::Acceptor => self.peer_at(link.addr.ip()).map(Origin::Peer),
        };
        let origin = origin.unwrap_or(Origin::Address(link.addr.ip()));
        if self.refusals.is_new(origin, by_peer, refusal.reason) {
            self.effect(Effect::Refused { peer: claimed, addr: link.addr, by_peer, refusal });
        }
    }

    /// The peer that is configured with this address: what goes wrong in both directions is reported once.
    /// What the other side says of itself does not count, as anybody can say it.
    fn peer_at(&self, addr: IpAddr) -> Option<HostId> {
        self.peers.iter().find(|(_, peer)| peer.addr.ip() == addr).map(|(host, _)| *host)
    }

    /// A connection is no more, whoever ended it.
    pub(super) fn on_gone(&mut self, id: LinkId, link: Link, refused: bool) {
        let tuning = &self.own.config.tuning;
        let Some(host) = link.peer else { return };
        let Some(peer) = self.peers.get_mut(&host) else { return };
        if peer.dialing == Some(id) {
            peer.dialing = None;
            self.metrics.dials_failed += 1;
            if refused {
                peer.on_dial_refused(self.now, tuning, &mut self.rng);
            } else {
                peer.on_dial_failed(self.now, tuning, &mut self.rng);
            }
        }
        let Some(flow) = link.ready() else { return };
        self.metrics.links_lost += 1;
        peer.links.retain(|other| *other != id);
        for frame in &flow.follow {
            self.metrics.dropped_link_lost += u64::from(frame.messages);
            peer.outbox.release(frame);
        }
        peer.on_lost(self.now, tuning, &mut self.rng);
        if peer.links.is_empty() {
            self.metrics.dropped_link_lost += peer.outbox.clear();
            peer.healthy = false;
            self.effect(Effect::PeerDown(host));
        }
    }
}
