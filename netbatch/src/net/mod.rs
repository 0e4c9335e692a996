//! One core's links to all peers: events in, effects out.

mod lifecycle;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use reactor::rng::Rng;
use reactor::Nanos;

use crate::config::{Config, DataId, HostId};
use crate::error::{BadFrame, Reason, Refusal};
use crate::flow::{Plain, Recipient, Sink};
use crate::handshake::{Failed, Handshake, Nonces, Own, Progress, Role};
use crate::limits::{EFFECTS_MAX, MESSAGE_BYTES_MAX};
use crate::link::{Link, LinkId, Stage};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::refusals::Refusals;

/// What the owner is to do, in the order in which it is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect; then [`Net::on_connected`] or [`Net::on_closed`].
    Connect {
        /// What the connection will be called.
        link: LinkId,
        /// The peer that should be there.
        peer: HostId,
        /// Where.
        addr: SocketAddr,
    },
    /// Send the bytes, after all that was handed out for this link before; [`Net::on_sent`] when the
    /// socket has taken it all.
    Send {
        /// Where to.
        link: LinkId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close the connection. Nothing more is expected of it, not even [`Net::on_closed`].
    Close {
        /// Which.
        link: LinkId,
        /// First send what was handed out for it.
        after_sent: bool,
    },
    /// The first link to a peer is ready.
    PeerUp(HostId),
    /// The last link to a peer ended, or the peer was started anew. What waited for it is lost.
    PeerDown(HostId),
    /// To be persisted and given to the next start in [`Config::known_peer_data_ids`].
    LearnedDataId {
        /// Whose.
        peer: HostId,
        /// Which.
        id: DataId,
    },
    /// A peer that proved itself was refused because it has another data directory than the one that is known. Comes each time:
    /// where the owner finds that the loss is known, [`Net::expect_data_id`] lets the peer in when it tries again.
    OtherDataId {
        /// Whose.
        peer: HostId,
        /// Which it has now.
        id: DataId,
    },
    /// A connection was refused, by us or by the other side. To be logged: it comes once per origin and
    /// reason, until there was a link again.
    Refused {
        /// Whom we called, or who the other side says it is.
        peer: Option<HostId>,
        /// The other side's address.
        addr: SocketAddr,
        /// The other side refused us.
        by_peer: bool,
        /// Why, and what to do.
        refusal: Refusal,
    },
    /// A link was closed because a frame failed a check. To be logged.
    BadFrame {
        /// Whose.
        peer: HostId,
        /// What was wrong.
        error: BadFrame,
    },
}

/// Why a connection ends by our own decision.
#[derive(Debug)]
enum Ended {
    Refused(Refusal),
    ByPeer(Reason),
    BadFrame(BadFrame),
    /// Connecting, the handshake, or a ready link took too long.
    TimedOut,
    /// Room is needed for newer ones, or the peer was started anew.
    Evicted,
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Ended {
        match failed {
            Failed::Refused(refusal) => Ended::Refused(refusal),
            Failed::ByPeer(reason) => Ended::ByPeer(reason),
        }
    }
}

/// One core's links to the cores of the same number on all peers. See the crate's essay.
#[derive(Debug)]
pub struct Net {
    own: Own,
    nonces: Nonces,
    rng: Rng,
    now: Nanos,
    /// When the next turn is due.
    due: Option<Nanos>,
    last_link: u64,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<HostId, Peer>,
    /// The keys of `peers`, which never change.
    hosts: Vec<HostId>,
    effects: VecDeque<Effect>,
    refusals: Refusals,
    metrics: Metrics,
}

impl Net {
    /// A core without links, which dials its peers at the end of the first turn. The seed must differ at each
    /// start of the process: nonces follow from it.
    ///
    /// # Panics
    ///
    /// If [`Config::check`] finds fault with the configuration.
    pub fn new(config: Config, seed: u64) -> Net {
        assert_eq!(config.check(), Ok(()), "the configuration was checked");
        let mut nonces = Nonces::new(seed, config.host, config.core);
        let [a, b, c, d, e, f, g, h, ..] = nonces.next(&config.secret);
        let hosts = config.peers.keys().copied().collect();
        let peers =
            config.peers.iter().map(|(host, addr)| (*host, Peer::new(*addr, &config.tuning))).collect();
        Net {
            own: Own::new(config, u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            nonces,
            rng: Rng::new(seed),
            now: 0,
            due: Some(0),
            last_link: 0,
            links: BTreeMap::new(),
            peers,
            hosts,
            effects: VecDeque::new(),
            refusals: Refusals::default(),
            metrics: Metrics::default(),
        }
    }

    /// Puts a message into the peer's outbox; it leaves at the end of the turn, or as soon as a link is free.
    /// False means that it was dropped: no link, outbox full, or longer than [`MESSAGE_BYTES_MAX`]. True
    /// promises nothing.
    pub fn push(&mut self, peer: HostId, message: &[u8]) -> bool {
        let Some(peer) = self.peers.get_mut(&peer).filter(|peer| !peer.links.is_empty()) else {
            self.metrics.dropped_no_link += 1;
            return false;
        };
        let taken = message.len() <= MESSAGE_BYTES_MAX && peer.outbox.push(message);
        self.metrics.dropped_full += u64::from(!taken);
        taken
    }

    /// A connection was accepted; this is its name from now on.
    pub fn on_accepted(&mut self, now: Nanos, from: SocketAddr) -> LinkId {
        self.advance(now);
        let nonce = self.nonces.next(&self.own.config.secret);
        self.make_room_for_unproven();
        self.insert_link(Link {
            addr: from,
            role: Role::Acceptor,
            peer: None,
            since: self.now,
            busy: false,
            stage: Stage::Shaking(Box::new(Handshake::accept(nonce))),
        })
    }

    /// A connection that [`Effect::Connect`] asked for is there.
    pub fn on_connected(&mut self, now: Nanos, link: LinkId) {
        self.advance(now);
        let Some(entry) = self.links.get_mut(&link) else { return };
        let (Stage::Connecting, Some(called)) = (&entry.stage, entry.peer) else { return };
        let (handshake, hello) =
            Handshake::dial(&self.own, called, self.nonces.next(&self.own.config.secret));
        entry.since = self.now;
        entry.stage = Stage::Shaking(Box::new(handshake));
        self.send(link, hello);
    }

    /// Bytes arrived. Each message that is whole with them goes into the sink, in the order in which the peer
    /// sent them on this link.
    pub fn on_bytes(&mut self, now: Nanos, link: LinkId, bytes: &[u8], sink: Sink<'_>) {
        self.receive(now, link, bytes, &mut Plain(sink));
    }

    /// As [`Net::on_bytes`], for an owner who looks ahead.
    pub fn receive(&mut self, now: Nanos, link: LinkId, bytes: &[u8], recipient: &mut dyn Recipient) {
        self.advance(now);
        self.metrics.bytes_in += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() && self.links.contains_key(&link) {
            if let Err(ended) = self.step_link(link, &mut rest, recipient) {
                self.end(link, ended);
            }
        }
    }

    /// The socket has taken all that was handed out for it: the link can be used again.
    pub fn on_sent(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.busy = false;
        }
    }

    /// A connection ended, or could not be made.
    pub fn on_closed(&mut self, now: Nanos, link: LinkId) {
        self.advance(now);
        if let Some(entry) = self.links.remove(&link) {
            self.on_gone(link, entry, false);
        }
    }

    /// The next thing to do. To be polled until there is none, after each turn.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether messages to the peer are believed to get through: there is a link on which it was heard and
    /// acknowledged lately, as of the end of the last turn.
    pub fn healthy(&self, peer: HostId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.healthy)
    }

    /// The member set that the peer had in force when the newest link to it was made; none before the first.
    pub fn peer_config_epoch(&self, peer: HostId) -> Option<u64> {
        self.peers.get(&peer).and_then(|peer| peer.config_epoch)
    }

    /// Ready links to the peer.
    pub fn link_count(&self, peer: HostId) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.links.len())
    }

    /// Bytes that wait for the peer.
    pub fn outbox_bytes(&self, peer: HostId) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.outbox.held_bytes())
    }

    /// Bytes of memory held for frames and messages that have not arrived as a whole.
    pub fn partial_bytes(&self) -> usize {
        let held = |link: &Link| match &link.stage {
            Stage::Connecting => 0,
            Stage::Shaking(handshake) => handshake.held_bytes(),
            Stage::Flowing(flow) => flow.held_bytes(),
        };
        self.links.values().map(held).sum()
    }

    /// The member set in force has changed; handshakes from now on tell the new one.
    pub fn set_config_epoch(&mut self, config_epoch: u64) {
        self.own.config_epoch = config_epoch;
    }

    /// The operator replaced a peer's data directory: from now on this one is expected, or with none the next
    /// that is seen is learned.
    pub fn expect_data_id(&mut self, peer: HostId, id: Option<DataId>) {
        match id {
            Some(id) => self.own.data_ids.insert(peer, id),
            None => self.own.data_ids.remove(&peer),
        };
    }

    /// The data directory that is expected of a peer; none before the first contact.
    pub fn data_id(&self, peer: HostId) -> Option<DataId> {
        self.own.data_ids.get(&peer).copied()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    fn effect(&mut self, effect: Effect) {
        assert!(self.effects.len() < EFFECTS_MAX, "the owner polls effects after each turn");
        self.effects.push_back(effect);
    }

    /// The peer's ready link of this index, if it has so many: to walk links that may change on the way.
    fn link_at(&self, host: HostId, index: usize) -> Option<LinkId> {
        self.peers.get(&host)?.links.get(index).copied()
    }

    fn insert_link(&mut self, link: Link) -> LinkId {
        self.last_link += 1;
        let id = LinkId(self.last_link);
        self.links.insert(id, link);
        id
    }

    fn send(&mut self, id: LinkId, bytes: Vec<u8>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.busy = true;
        self.metrics.bytes_out += bytes.len() as u64;
        self.effect(Effect::Send { link: id, bytes });
    }

    /// Takes some bytes off the front for one link.
    fn step_link(
        &mut self,
        id: LinkId,
        rest: &mut &[u8],
        recipient: &mut dyn Recipient,
    ) -> Result<(), Ended> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        match &mut link.stage {
            Stage::Connecting => {
                *rest = &[];
                Ok(())
            }
            Stage::Shaking(handshake) => {
                let progress = handshake.step(&self.own, rest)?;
                self.on_progress(id, progress);
                Ok(())
            }
            Stage::Flowing(flow) => {
                let bytes = std::mem::take(rest);
                flow.on_bytes(self.now, &self.own.config.tuning, bytes, &mut self.metrics, recipient)
                    .map_err(Ended::BadFrame)?;
                if !flow.confirmed && flow.has_heard() {
                    self.on_ready(id);
                }
                Ok(())
            }
        }
    }

    fn on_progress(&mut self, id: LinkId, progress: Progress) {
        if let Some(bytes) = progress.send {
            self.send(id, bytes);
        }
        if let Some(proven) = progress.proven {
            self.on_proven(id, proven);
        }
    }
}
