//! The network of byte streams: connections under the product's own links (`netbatch`). Bytes arrive in order and in pieces of
//! any size, or the connection is reset in the middle of a frame, or a bit flips that no lower layer saw.
//!
//! A cut holds bytes back, as TCP does; they arrive some time after it is healed. A machine that lost its power says nothing;
//! whoever writes to it later is reset.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use netbatch::{ClusterId, Config, DataId, Effect, HostId, LinkId, Net, Secret, Tuning};
use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};

use super::host::{Death, Input};
use super::{Event, World};
use crate::plan::Transport;

/// How long bytes that were held back by a cut wait for the next attempt.
const RETRANSMIT: Nanos = 20 * MILLISECOND;

/// Loss and repetition of whole messages are drawn more often than resets and damage of pieces by this factor: a reset costs
/// everything that is on the way.
const RARER: u32 = 40;

/// What happens to connections.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    /// A call arrives at the host that it is for.
    Called(usize),
    /// The next piece of a direction arrives at this end.
    Piece { conn: usize, to: usize },
    /// The socket of this end has taken what it was given.
    Sent { conn: usize, by: usize },
    /// This end learns that the connection is gone.
    Closed { conn: usize, at: usize },
}

/// One connection: end 0 called, end 1 was called.
#[derive(Debug)]
struct Conn {
    hosts: [Member; 2],
    links: [Option<LinkId>; 2],
    /// Bytes on their way to each end.
    pieces: [VecDeque<Vec<u8>>; 2],
    /// When the last of them arrives.
    arrived: [Nanos; 2],
}

/// All connections there ever were, and whose ends are whose.
#[derive(Debug, Default)]
pub(super) struct Streams {
    conns: Vec<Conn>,
    ends: BTreeMap<(Member, LinkId), (usize, usize)>,
}

fn host_id(member: Member) -> HostId {
    HostId::from(member) + 1
}

fn member(host: HostId) -> Member {
    Member::try_from(host - 1).expect("the simulator names at most five hosts")
}

fn addr(member: Member) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, member + 1], 7500))
}

/// The links of a host that starts.
pub(super) fn new_net(own: Member, hosts: u8, seed: u64) -> Net {
    let others = (0..hosts).filter(|peer| *peer != own);
    let config = Config {
        cluster: ClusterId([7; 16]),
        host: host_id(own),
        core: 0,
        slices: 1,
        config_epoch: 1,
        data_id: DataId([own + 1; 16]),
        secret: Secret::new(*b"the secret of the cluster"),
        peers: others.map(|peer| (host_id(peer), addr(peer))).collect(),
        known_peer_data_ids: BTreeMap::new(),
        tuning: Tuning::default(),
    };
    Net::new(config, seed)
}

/// Puts a message into the outbox of a peer.
pub(super) fn push(net: &mut Net, to: Member, bytes: &[u8]) -> bool {
    net.push(host_id(to), bytes)
}

/// Steps the links with something that arrived; messages that are whole with it go into the sink.
pub(super) fn on_input(net: &mut Net, now: Nanos, input: Socket, sink: &mut dyn FnMut(Member, &[u8])) {
    match input {
        Socket::Connected(link) => net.on_connected(now, link),
        Socket::Bytes(link, bytes) => {
            net.on_bytes(now, link, &bytes, &mut |from, bytes| sink(member(from), bytes))
        }
        Socket::Sent(link) => net.on_sent(link),
        Socket::Closed(link) => net.on_closed(now, link),
    }
}

/// Something that a host's socket has to say.
#[derive(Clone, Debug)]
pub(super) enum Socket {
    Connected(LinkId),
    Bytes(LinkId, Vec<u8>),
    Sent(LinkId),
    Closed(LinkId),
}

impl World {
    /// Ends the turn of a host's links and carries out what they want.
    pub(super) fn end_turn_of_links(&mut self, host: Member) {
        let now = self.now;
        if let Some(net) = &mut self.hosts[usize::from(host)].net {
            net.end_turn(now);
        }
        while let Some(effect) = self.hosts[usize::from(host)].net.as_mut().and_then(Net::poll) {
            match effect {
                Effect::Connect { link, peer, .. } => self.connect(host, link, member(peer)),
                Effect::Send { link, bytes } => self.send_bytes(host, link, &bytes),
                Effect::Close { link, .. } => self.close(host, link),
                Effect::PeerUp(peer) => self.hear(host, member(peer), true),
                Effect::PeerDown(peer) => self.hear(host, member(peer), false),
                Effect::BadFrame { .. } => self.label("a frame was refused"),
                // What is for the operator's eyes, and for the data directory.
                _ => {}
            }
        }
    }

    fn way(&mut self) -> Nanos {
        let (low, high) = self.weather.delay;
        let delay = self.net.between(low, high);
        if self.net.chance(self.weather.tail) {
            delay * 8
        } else {
            delay
        }
    }

    fn connect(&mut self, from: Member, link: LinkId, to: Member) {
        let conn = self.streams.conns.len();
        self.streams.conns.push(Conn {
            hosts: [from, to],
            links: [Some(link), None],
            pieces: [VecDeque::new(), VecDeque::new()],
            arrived: [self.now; 2],
        });
        self.streams.ends.insert((from, link), (conn, 0));
        let at = self.now + self.way();
        self.schedule(at, Event::Wire(Wire::Called(conn)));
    }

    fn send_bytes(&mut self, host: Member, link: LinkId, bytes: &[u8]) {
        let Some((conn, end)) = self.streams.ends.get(&(host, link)).copied() else { return };
        let to = 1 - end;
        let mut at = (self.now + self.way()).max(self.streams.conns[conn].arrived[to]);
        let mut rest = bytes;
        while !rest.is_empty() {
            let longest = if self.net.below(4) == 0 { 64 } else { 64 << 10 };
            let (piece, after) = rest.split_at(self.net.between(1, longest.min(rest.len() as u64)) as usize);
            rest = after;
            at += self.net.below(3_000);
            self.streams.conns[conn].pieces[to].push_back(piece.to_vec());
            self.schedule(at, Event::Wire(Wire::Piece { conn, to }));
        }
        self.streams.conns[conn].arrived[to] = at;
        self.schedule(self.now + 1_000, Event::Wire(Wire::Sent { conn, by: end }));
    }

    /// A host closes its end; the other end hears of it after all bytes that are on their way.
    fn close(&mut self, host: Member, link: LinkId) {
        let Some((conn, end)) = self.streams.ends.remove(&(host, link)) else { return };
        self.streams.conns[conn].links[end] = None;
        let at = (self.now + self.way()).max(self.streams.conns[conn].arrived[1 - end]);
        self.schedule(at, Event::Wire(Wire::Closed { conn, at: 1 - end }));
    }

    /// A host is dead: its ends are gone, and the peers are told unless its machine is dead as well.
    pub(super) fn drop_links(&mut self, host: Member, death: Death) {
        let ends = &self.streams.ends;
        let own: Vec<LinkId> = ends
            .range((host, LinkId(0))..)
            .map(|((of, link), _)| (*of, *link))
            .take_while(|(of, _)| *of == host)
            .map(|(_, link)| link)
            .collect();
        for link in own {
            if death == Death::Process {
                self.close(host, link);
            } else if let Some((conn, end)) = self.streams.ends.remove(&(host, link)) {
                self.streams.conns[conn].links[end] = None;
            }
        }
    }

    /// Whether bytes get through to this end now.
    fn is_open(&self, conn: usize, to: usize) -> bool {
        let hosts = self.streams.conns[conn].hosts;
        !self.blocked[usize::from(hosts[1 - to])][usize::from(hosts[to])]
    }

    pub(super) fn on_wire(&mut self, wire: Wire) {
        match wire {
            Wire::Called(conn) => self.on_called(conn),
            Wire::Piece { conn, to } => self.on_piece(conn, to),
            Wire::Sent { conn, by } => {
                let (host, link) = (self.streams.conns[conn].hosts[by], self.streams.conns[conn].links[by]);
                if let Some(link) = link {
                    self.arrive(host, Input::Socket(Socket::Sent(link)));
                }
            }
            Wire::Closed { conn, at } => self.on_closed(conn, at),
        }
    }

    fn on_called(&mut self, conn: usize) {
        let [from, to] = self.streams.conns[conn].hosts;
        let Some(link) = self.streams.conns[conn].links[0] else { return };
        if !self.is_open(conn, 0) || !self.is_open(conn, 1) {
            // Nobody answers; the caller gives up after its own time.
            return;
        }
        let now = self.now;
        let Some(net) = &mut self.hosts[usize::from(to)].net else {
            return self.schedule(now, Event::Wire(Wire::Closed { conn, at: 0 }));
        };
        let accepted = net.on_accepted(now, addr(from));
        self.streams.conns[conn].links[1] = Some(accepted);
        self.streams.ends.insert((to, accepted), (conn, 1));
        self.wake(to, now);
        self.arrive(from, Input::Socket(Socket::Connected(link)));
    }

    fn on_piece(&mut self, conn: usize, to: usize) {
        if !self.is_open(conn, to) {
            return self.schedule(self.now + RETRANSMIT, Event::Wire(Wire::Piece { conn, to }));
        }
        let reset = self.net.chance(self.weather.loss / RARER);
        let damaged = self.net.chance(self.weather.repeat / RARER);
        let entry = &mut self.streams.conns[conn];
        let Some(mut bytes) = entry.pieces[to].pop_front() else { return };
        let host = entry.hosts[to];
        let Some(link) = entry.links[to] else {
            // Nobody is there any more: the writer is told, if the machine is up.
            if self.hosts[usize::from(host)].is_up() {
                let at = self.now + self.way();
                self.schedule(at, Event::Wire(Wire::Closed { conn, at: 1 - to }));
            }
            return;
        };
        if reset {
            self.label("a connection was reset");
            self.on_closed(conn, to);
            return self.on_closed(conn, 1 - to);
        }
        if damaged {
            self.label("a bit flipped on the way");
            let bit = self.net.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        self.story.mix_bytes(&bytes);
        self.arrive(host, Input::Socket(Socket::Bytes(link, bytes)));
    }

    fn on_closed(&mut self, conn: usize, at: usize) {
        if !self.is_open(conn, at) {
            return;
        }
        let entry = &mut self.streams.conns[conn];
        let host = entry.hosts[at];
        if let Some(link) = entry.links[at].take() {
            self.streams.ends.remove(&(host, link));
            self.arrive(host, Input::Socket(Socket::Closed(link)));
        }
    }

    /// Whether this run has byte streams.
    pub(super) fn has_streams(&self) -> bool {
        self.plan.transport == Transport::Streams
    }
}
