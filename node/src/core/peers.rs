//! The core's links to its peers: netbatch's state machines on the ring's sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;

use ahash::{HashMap, HashMapExt, HashSet, HashSetExt};
use netbatch::{ClusterId, Config, DataId, Effect, LinkId, Net, Recipient, Secret, Tuning};
use reactor::uring::{BootError, ConnId, Io};
use reactor::Nanos;
use shard::Shard;

use super::clients::Tag;
use super::glue::Core;
use crate::boot::Handover;
use crate::datadir::{DataDirError, DirectoryId, Met, PeerBook};

/// All peers of one core.
pub(super) struct Peers {
    /// None: this host is on its own, or its storage failed and the others shall see that.
    pub net: Option<Net>,
    /// Hosts by place in the layout; the own one is not looked at.
    hosts: Vec<u32>,
    own: usize,
    from: IpAddr,
    links: HashMap<LinkId, ConnId>,
    conns: HashMap<ConnId, LinkId>,
    /// Which peers were reachable at the end of the last turn.
    up: Vec<bool>,
    /// Which of them are learners, as they say.
    learners: Vec<bool>,
    book: Arc<PeerBook>,
    /// Peers that showed another data directory and are being looked up in the book, until its answer is heeded.
    asked: HashSet<u32>,
    /// Which directory of a peer was complained of last, so that it is said once.
    told: HashMap<u32, DataId>,
    /// What the book says.
    answers: (Sender<Answer>, Receiver<Answer>),
}

/// What the book says of a peer that showed another data directory.
type Answer = (u32, DataId, Result<Met, DataDirError>);

impl Peers {
    /// No links yet.
    pub fn new(index: u16, handover: &Handover) -> Peers {
        let config = &handover.config;
        let core = &config.cores[usize::from(index)];
        let hosts: Vec<u32> = config.members.iter().map(|member| member.id).collect();
        let own = hosts.iter().position(|host| *host == config.identity.host).expect("this host is a member");
        Peers {
            net: None,
            up: vec![false; hosts.len()],
            learners: vec![false; hosts.len()],
            hosts,
            own,
            from: core.peer.ip(),
            links: HashMap::new(),
            conns: HashMap::new(),
            book: handover.peers.clone(),
            asked: HashSet::new(),
            told: HashMap::new(),
            answers: channel(),
        }
    }

    /// Listens to the peers, and dials them at the end of the turn: once the log is read, so that who sees this core up
    /// gets answers from it.
    pub fn open(&mut self, index: u16, handover: &Handover, seed: u64, io: &mut Io) -> Result<(), BootError> {
        if self.hosts.len() > 1 {
            io.listen(handover.config.cores[usize::from(index)].peer, Tag::Peer.number())?;
            self.net = Some(Net::new(net_config(index, handover), seed));
        }
        Ok(())
    }

    /// Whether the connection is a peer's.
    pub fn has(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    /// When netbatch wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        self.net.as_ref().and_then(Net::deadline)
    }

    /// How many peers are reachable.
    pub fn count_up(&self) -> usize {
        self.up.iter().filter(|up| **up).count()
    }

    /// How many of them are learners.
    pub fn count_learners(&self) -> usize {
        self.up.iter().zip(&self.learners).filter(|(up, learner)| **up && **learner).count()
    }

    /// The other hosts: whether they are up, and learners.
    pub fn states(&self) -> impl Iterator<Item = (u32, bool, bool)> + '_ {
        let others = (0..self.hosts.len()).filter(|place| *place != self.own);
        others.map(|place| (self.hosts[place], self.up[place], self.learners[place]))
    }

    pub fn on_accepted(&mut self, io: &mut Io, conn: ConnId, from: SocketAddr) {
        let Some(net) = &mut self.net else { return io.close(conn) };
        let link = net.on_accepted(io.now(), from);
        self.links.insert(link, conn);
        self.conns.insert(conn, link);
    }

    pub fn on_connected(&mut self, io: &mut Io, conn: ConnId) {
        if let (Some(net), Some(link)) = (&mut self.net, self.conns.get(&conn)) {
            net.on_connected(io.now(), *link);
        }
    }

    pub fn on_sent(&mut self, io: &mut Io, conn: ConnId) {
        if let (Some(net), Some(link)) = (&mut self.net, self.conns.get(&conn)) {
            if io.unsent_bytes(conn) == 0 {
                net.on_sent(*link);
            }
        }
    }

    pub fn on_closed(&mut self, io: &mut Io, conn: ConnId) {
        let Some(link) = self.conns.remove(&conn) else { return };
        self.links.remove(&link);
        if let Some(net) = &mut self.net {
            net.on_closed(io.now(), link);
        }
    }

    /// Ends all links for good.
    pub fn close(&mut self, io: &mut Io) {
        self.net = None;
        self.links.clear();
        for (conn, _) in self.conns.drain() {
            io.close(conn);
        }
    }

    fn learn(&self, peer: u32, id: DataId) {
        // It is synced, which takes milliseconds: not on a core. Happens once in the life of a pair of hosts.
        let book = self.book.clone();
        let learn = move || match book.meet(peer, DirectoryId(id.0)) {
            Ok(met) => tracing::info!(peer, directory = %id, ?met, "met a peer's data directory"),
            Err(error) => tracing::error!(peer, %error, "cannot remember a peer's data directory"),
        };
        if let Err(error) = std::thread::Builder::new().name("peer-book".into()).spawn(learn) {
            tracing::error!(peer, %error, "cannot start a thread to remember a peer's data directory");
        }
    }

    /// A peer showed another data directory than the one that is known, and was refused: it may be that an operator has
    /// noted the loss meanwhile. The book is on disk, so a thread looks it up; the peer tries again about once a second anyway.
    fn look_up(&mut self, peer: u32, id: DataId) {
        if !self.asked.insert(peer) {
            return;
        }
        let (book, answers) = (self.book.clone(), self.answers.0.clone());
        // The core may have ended meanwhile.
        let look = move || drop(answers.send((peer, id, book.meet(peer, DirectoryId(id.0)))));
        if let Err(error) = std::thread::Builder::new().name("peer-book".into()).spawn(look) {
            tracing::error!(peer, %error, "cannot start a thread to look up a peer's data directory");
            self.asked.remove(&peer);
        }
    }

    /// Lets in whom the book knows. To be called now and then.
    pub fn heed_book(&mut self) {
        while let Ok((peer, id, met)) = self.answers.1.try_recv() {
            self.asked.remove(&peer);
            let net = self.net.as_mut();
            let expect =
                |net: Option<&mut Net>| net.into_iter().for_each(|net| net.expect_data_id(peer, Some(id)));
            match met {
                Ok(Met::Known) => expect(net),
                Ok(Met::Recovered { lost }) => {
                    tracing::info!(peer, directory = %id, %lost, "a host that lost its data comes back as a learner");
                    expect(net);
                }
                Ok(Met::NotRejoined { .. }) if self.told.insert(peer, id) != Some(id) => tracing::warn!(
                    peer,
                    directory = %id,
                    "a host whose loss is known came back as a voter and is refused: empty its data directory and run \
                     `synod init --rejoin` there"
                ),
                Ok(_) => {}
                Err(error) => tracing::error!(peer, %error, "cannot look up a peer's data directory"),
            }
        }
    }

    /// Whether a peer can be talked to.
    fn is_healthy(&self, place: usize) -> bool {
        self.net.as_ref().is_some_and(|net| net.healthy(self.hosts[place]))
    }

    /// Carries out what netbatch wants.
    fn carry_out(&mut self, io: &mut Io) {
        while let Some(effect) = self.net.as_mut().and_then(Net::poll) {
            match effect {
                Effect::Connect { link, addr, .. } => {
                    let conn = io.connect(Some(self.from), addr);
                    self.links.insert(link, conn);
                    self.conns.insert(conn, link);
                }
                Effect::Send { link, bytes } => {
                    if let Some(conn) = self.links.get(&link) {
                        io.send(*conn, bytes);
                    }
                }
                Effect::Close { link, after_sent } => {
                    if let Some(conn) = self.links.remove(&link) {
                        self.conns.remove(&conn);
                        if after_sent {
                            io.close_when_sent(conn);
                        } else {
                            io.close(conn);
                        }
                    }
                }
                Effect::PeerUp(host) => tracing::info!(peer = host, "peer is up"),
                Effect::PeerDown(host) => tracing::warn!(peer = host, "peer is down"),
                Effect::LearnedDataId { peer, id } => self.learn(peer, id),
                Effect::OtherDataId { peer, id } => self.look_up(peer, id),
                Effect::Refused { peer, addr, by_peer, refusal } => {
                    tracing::warn!(?peer, %addr, by_peer, %refusal, "a connection between hosts was refused");
                }
                Effect::BadFrame { peer, error } => {
                    tracing::error!(peer, %error, "a frame from a peer failed its checks; the connection is closed");
                }
            }
        }
    }
}

/// Where a peer's messages go: the shard.
struct Inbox<'a> {
    shard: &'a mut Shard<Io>,
    turn: shard::Turn<'a, Io>,
    hosts: &'a [u32],
}

impl Recipient for Inbox<'_> {
    fn ahead(&mut self, _: u32, messages: &[&[u8]]) {
        self.shard.look_ahead(messages);
    }

    fn message(&mut self, from: u32, message: &[u8]) {
        if let Some(member) = self.hosts.iter().position(|known| *known == from) {
            self.shard.on_message(&mut self.turn, member as u8, message);
        }
    }
}

fn net_config(index: u16, handover: &Handover) -> Config {
    let config = &handover.config;
    let peers = config.peers().map(|peer| (peer.id, SocketAddr::new(peer.address, config.ports.peer(index))));
    Config {
        cluster: ClusterId(config.identity.cluster.0),
        host: config.identity.host,
        core: index,
        slices: config.identity.slices,
        config_epoch: 1,
        data_id: DataId(config.identity.directory.0),
        secret: Secret::new(config.cluster_secret.reveal().as_bytes()),
        peers: peers.collect(),
        known_peer_data_ids: config.known_peers.iter().map(|(host, id)| (*host, DataId(id.0))).collect(),
        tuning: Tuning::default(),
    }
}

impl Core {
    /// Bytes from a peer: each whole message goes to the shard.
    pub(super) fn on_peer_bytes(&mut self, io: &mut Io, conn: ConnId, bytes: &[u8]) {
        let clock = self.clock(io.now());
        let Peers { net: Some(net), conns, hosts, .. } = &mut self.peers else { return };
        let Some(link) = conns.get(&conn) else { return };
        let now = io.now();
        let turn = shard::Turn { disk: io, clock, effects: &mut self.effects };
        net.receive(now, *link, bytes, &mut Inbox { shard: &mut self.shard, turn, hosts });
    }

    /// Hands the turn's messages to netbatch, ends its turn, and notes who is reachable. True: that changed, and the shard may
    /// have more to send.
    pub(super) fn send_to_peers(&mut self, io: &mut Io, now: Nanos) -> bool {
        let Some(net) = &mut self.peers.net else {
            self.effects.outboxes.iter_mut().for_each(shard::Outbox::clear);
            return false;
        };
        for (host, outbox) in self.peers.hosts.iter().zip(&mut self.effects.outboxes) {
            if !outbox.is_empty() {
                for message in outbox.messages() {
                    net.push(*host, message);
                }
                outbox.clear();
            }
        }
        net.end_turn(now);
        self.peers.carry_out(io);
        let mut changed = false;
        for place in 0..self.peers.hosts.len() {
            let (up, learner) = (self.peers.is_healthy(place), self.shard.peer_is_learner(place as u8));
            if place == self.peers.own || (self.peers.up[place], self.peers.learners[place]) == (up, learner)
            {
                continue;
            }
            self.peers.learners[place] = learner;
            if std::mem::replace(&mut self.peers.up[place], up) != up {
                self.with_shard(io, |shard, turn| shard.on_peer(turn, place as u8, up));
            }
            // Clients are not sent to a learner, and commands do not go there.
            self.broadcast_reachable(io, place, self.index, up && !learner);
            changed = true;
        }
        changed
    }
}
