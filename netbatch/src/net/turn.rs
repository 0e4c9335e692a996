//! The end of a turn: what is overdue is given up, what waits leaves, who is missing is dialled.

use reactor::Nanos;

use super::{Effect, Ended, Net};
use crate::config::HostId;
use crate::flow::Flow;
use crate::handshake::Role;
use crate::link::{Link, LinkId, Stage};
use crate::outbox::Unsealed;

impl Net {
    /// Ends a turn: makes frames of what was pushed, acknowledges, dials, gives up.
    pub fn end_turn(&mut self, now: Nanos) {
        self.advance(now);
        self.forgive_own_pause();
        self.end_overdue();
        let beats = self.beats();
        for index in 0..self.hosts.len() {
            let host = self.hosts[index];
            self.flush(host);
            self.speak_where_due(host, beats);
            self.dial_if_due(host);
            self.judge_health(host);
        }
        self.due = self.next_due();
    }

    /// When [`Net::end_turn`] has something to do even if nothing happens until then, as of the end of the
    /// last turn.
    pub fn deadline(&self) -> Option<Nanos> {
        self.due
    }

    fn next_due(&self) -> Option<Nanos> {
        let links = self.links.values().map(|link| self.link_deadline(link));
        let dials = self.peers.iter().filter_map(|(host, peer)| self.dial_at(*host, peer));
        links.chain(dials).min()
    }

    fn link_deadline(&self, link: &Link) -> Nanos {
        let tuning = &self.own.config.tuning;
        let ends_at = link.ends_at(tuning);
        let Some(flow) = link.ready() else { return ends_at };
        // What lies in the past waits for something else: a busy socket for being sent, bad health for being
        // heard. A busy socket may be free by then without anybody being woken for it.
        let ahead = |at: Nanos| if at > self.now { at } else { ends_at };
        let speaks_at = ahead(flow.speak_at(tuning));
        let unhealthy_at = ahead(flow.unhealthy_at(tuning));
        ends_at.min(speaks_at).min(unhealthy_at)
    }

    fn dial_at(&self, host: HostId, peer: &crate::peer::Peer) -> Option<Nanos> {
        peer.dial_at(self.own.config.host, host, &self.own.config.tuning)
    }

    /// If this turn comes much later than it was due, this process was stopped or starved, and what its peers
    /// sent meanwhile may not have been looked at yet.
    fn forgive_own_pause(&mut self) {
        let now = self.now;
        let pause = self.due.map_or(0, |due| now.saturating_sub(due));
        if pause > self.own.config.tuning.heartbeat {
            self.links.values_mut().filter_map(Link::ready_mut).for_each(|flow| flow.forgive(now, pause));
        }
    }

    fn end_overdue(&mut self) {
        let overdue = |link: &Link| link.ends_at(&self.own.config.tuning) <= self.now;
        let ids: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| overdue(link)).map(|(id, _)| *id).collect();
        for id in ids {
            self.end(id, Ended::TimedOut);
        }
    }

    /// Sends what waits for a peer: first what is bound to a link, then what any free link may take.
    fn flush(&mut self, host: HostId) {
        if self.outbox_bytes(host) == 0 {
            return;
        }
        let mut index = 0;
        while let Some(id) = self.link_at(host, index) {
            let next = self.free_link(id).and_then(|flow| flow.follow.pop_front());
            if let Some(frame) = next {
                self.send_frame(host, id, frame);
            }
            index += 1;
        }
        while let Some(id) = self.best_link(host) {
            let Some(peer) = self.peers.get_mut(&host) else { return };
            let Some(flow) = self.links.get_mut(&id).and_then(Link::ready_mut) else { return };
            assert!(flow.follow.is_empty(), "a link that is bound to a split message was served before");
            let Some(frame) = peer.outbox.take(&mut flow.follow) else { return };
            self.send_frame(host, id, frame);
        }
    }

    /// The link's frames, if the link is ready and its socket has taken all that it was given.
    fn free_link(&mut self, id: LinkId) -> Option<&mut Flow> {
        self.links.get_mut(&id).filter(|link| !link.busy).and_then(Link::ready_mut)
    }

    /// The link to use next: free, and rather one that is not stuck; the oldest of them.
    fn best_link(&self, host: HostId) -> Option<LinkId> {
        let tuning = &self.own.config.tuning;
        let free = |id: &LinkId| {
            let link = self.links.get(id).filter(|link| !link.busy)?;
            let flow = link.ready()?;
            Some((flow.is_stalled(self.now, tuning), *id))
        };
        let peer = self.peers.get(&host).filter(|peer| !peer.outbox.is_empty())?;
        peer.links.iter().filter_map(free).min_by_key(|(stalled, _)| *stalled).map(|(_, id)| id)
    }

    fn send_frame(&mut self, host: HostId, id: LinkId, frame: Unsealed) {
        let now = self.now;
        let Some(flow) = self.links.get_mut(&id).and_then(Link::ready_mut) else { return };
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.outbox.release(&frame);
        }
        self.metrics.frames_out += 1;
        self.metrics.messages_out += u64::from(frame.messages);
        let bytes = flow.seal(now, frame);
        self.send(id, bytes);
    }

    /// Whether a link has to carry an empty frame now because it carried nothing for long. Then all that carried nothing for half as long do:
    /// a host at rest wakes up once for its heartbeats, and its peers hear of all its links at a time.
    fn beats(&self) -> bool {
        let tuning = &self.own.config.tuning;
        let mut ready = self.links.values().filter(|link| !link.busy).filter_map(Link::ready);
        ready.any(|flow| flow.beat_at(tuning) <= self.now)
    }

    /// Sends empty frames on links that were silent for long or owe an acknowledgement; `soon`: on those, too, that will have been before long.
    fn speak_where_due(&mut self, host: HostId, soon: bool) {
        let now = self.now;
        let early = if soon { self.own.config.tuning.heartbeat / 2 } else { 0 };
        let mut index = 0;
        while let Some(id) = self.link_at(host, index) {
            index += 1;
            let flow = self.links.get(&id).filter(|link| !link.busy).and_then(Link::ready);
            let tuning = &self.own.config.tuning;
            let due = flow.is_some_and(|flow| {
                flow.speak_at(tuning) <= now || flow.beat_at(tuning) <= now.saturating_add(early)
            });
            if due {
                self.send_frame(host, id, Unsealed::empty());
            }
        }
    }

    fn dial_if_due(&mut self, host: HostId) {
        let due = |peer: &&crate::peer::Peer| self.dial_at(host, peer).is_some_and(|at| at <= self.now);
        let Some(addr) = self.peers.get(&host).filter(due).map(|peer| peer.addr) else { return };
        let link = self.insert_link(Link {
            addr,
            role: Role::Dialer,
            peer: Some(host),
            since: self.now,
            busy: false,
            stage: Stage::Connecting,
        });
        if let Some(peer) = self.peers.get_mut(&host) {
            peer.dialing = Some(link);
        }
        self.metrics.dials += 1;
        self.effect(Effect::Connect { link, peer: host, addr });
    }

    fn judge_health(&mut self, host: HostId) {
        let tuning = &self.own.config.tuning;
        let well = |id: &LinkId| {
            self.links.get(id).and_then(Link::ready).is_some_and(|flow| flow.unhealthy_at(tuning) > self.now)
        };
        let Some(peer) = self.peers.get_mut(&host) else { return };
        peer.healthy = peer.links.iter().any(well);
    }
}
