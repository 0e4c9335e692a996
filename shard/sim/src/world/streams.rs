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

use super::core::Input;
use super::host::Death;
use super::losses::Loss;
use super::{Event, Place, World};
use crate::plan::{Plan, Transport};

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
    /// Cores talk to their like.
    core: u16,
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
    ends: BTreeMap<(Place, LinkId), (usize, usize)>,
}

fn host_id(member: Member) -> HostId {
    HostId::from(member) + 1
}

fn member(host: HostId) -> Member {
    Member::try_from(host - 1).expect("the simulator names at most five hosts")
}

fn addr(place: Place) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, place.host + 1], 7500 + place.core))
}

/// The links of a core that starts.
pub(super) fn new_net(place: Place, plan: &Plan, (seed, loss): (u64, Loss)) -> Net {
    let Place { host: own, core } = place;
    let others = (0..plan.hosts).filter(|peer| *peer != own);
    let config = Config {
        cluster: ClusterId([7; 16]),
        host: host_id(own),
        core,
        slices: plan.cores,
        config_epoch: 1,
        data_id: data_id(own, loss),
        secret: Secret::new(*b"the secret of the cluster"),
        peers: others.map(|peer| (host_id(peer), addr(Place { host: peer, core }))).collect(),
        known_peer_data_ids: BTreeMap::new(),
        tuning: Tuning::default(),
    };
    Net::new(config, seed)
}

/// The id of a core's directory: a new one after each loss.
fn data_id(host: Member, loss: Loss) -> DataId {
    let mut id = [host + 1; 16];
    id[0] = loss.count;
    DataId(id)
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
    /// Ends the turn of a core's links and carries out what they want.
    pub(super) fn end_turn_of_links(&mut self, place: Place) {
        let now = self.hosts[usize::from(place.host)].clock.local(self.now);
        if let Some(net) = &mut self.core_mut(place).net {
            net.end_turn(now);
        }
        while let Some(effect) = self.core_mut(place).net.as_mut().and_then(Net::poll) {
            match effect {
                Effect::Connect { link, peer, .. } => self.connect(place, link, member(peer)),
                Effect::Send { link, bytes } => self.send_bytes(place, link, &bytes),
                Effect::Close { link, .. } => self.close(place, link),
                Effect::PeerUp(peer) => self.hear(place, member(peer), true),
                Effect::PeerDown(peer) => self.hear(place, member(peer), false),
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

    fn connect(&mut self, from: Place, link: LinkId, to: Member) {
        let conn = self.streams.conns.len();
        self.streams.conns.push(Conn {
            hosts: [from.host, to],
            core: from.core,
            links: [Some(link), None],
            pieces: [VecDeque::new(), VecDeque::new()],
            arrived: [self.now; 2],
        });
        self.streams.ends.insert((from, link), (conn, 0));
        let at = self.now + self.way();
        self.schedule(at, Event::Wire(Wire::Called(conn)));
    }

    fn send_bytes(&mut self, place: Place, link: LinkId, bytes: &[u8]) {
        let Some((conn, end)) = self.streams.ends.get(&(place, link)).copied() else { return };
        let to = 1 - end;
        let delay = self.way();
        let peer = self.streams.conns[conn].hosts[to];
        let mut at = self.arrival(place.host, peer, delay).max(self.streams.conns[conn].arrived[to]);
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

    /// A core closes its end; the other end hears of it after all bytes that are on their way.
    fn close(&mut self, place: Place, link: LinkId) {
        let Some((conn, end)) = self.streams.ends.remove(&(place, link)) else { return };
        self.streams.conns[conn].links[end] = None;
        let at = (self.now + self.way()).max(self.streams.conns[conn].arrived[1 - end]);
        self.schedule(at, Event::Wire(Wire::Closed { conn, at: 1 - end }));
    }

    /// A core is dead: its ends are gone, and the peers are told unless its machine is dead as well.
    pub(super) fn drop_links(&mut self, place: Place, death: Death) {
        let ends = &self.streams.ends;
        let own: Vec<LinkId> = ends
            .range((place, LinkId(0))..)
            .map(|((of, link), _)| (*of, *link))
            .take_while(|(of, _)| *of == place)
            .map(|(_, link)| link)
            .collect();
        for link in own {
            if death == Death::Process {
                self.close(place, link);
            } else if let Some((conn, end)) = self.streams.ends.remove(&(place, link)) {
                self.streams.conns[conn].links[end] = None;
            }
        }
    }

    /// A core lost its disk: the operator tells the others which directory it comes back with.
    pub(super) fn expect_new_directory(&mut self, place: Place) {
        let id = data_id(place.host, self.core(place).loss);
        for host in (0..self.plan.hosts).filter(|host| *host != place.host) {
            if let Some(net) = &mut self.core_mut(Place { host, ..place }).net {
                net.expect_data_id(host_id(place.host), Some(id));
            }
        }
    }

    /// A core's storage failed: it ends its links, and takes no new ones.
    pub(super) fn hang_up_links(&mut self, place: Place) {
        self.core_mut(place).net = None;
        self.drop_links(place, Death::Process);
    }

    /// The core at an end of a connection.
    fn end_of(&self, conn: usize, end: usize) -> Place {
        let entry = &self.streams.conns[conn];
        Place { host: entry.hosts[end], core: entry.core }
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
                if let Some(link) = self.streams.conns[conn].links[by] {
                    self.arrive(self.end_of(conn, by), Input::Socket(Socket::Sent(link)));
                }
            }
            Wire::Closed { conn, at } => self.on_closed(conn, at),
        }
    }

    fn on_called(&mut self, conn: usize) {
        let [from, to] = [0, 1].map(|end| self.end_of(conn, end));
        let Some(link) = self.streams.conns[conn].links[0] else { return };
        if !self.is_open(conn, 0) || !self.is_open(conn, 1) {
            // Nobody answers; the caller gives up after its own time.
            return;
        }
        let now = self.now;
        let local = self.hosts[usize::from(to.host)].clock.local(now);
        let Some(net) = &mut self.core_mut(to).net else {
            return self.schedule(now, Event::Wire(Wire::Closed { conn, at: 0 }));
        };
        let accepted = net.on_accepted(local, addr(from));
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
        let place = self.end_of(conn, to);
        let entry = &mut self.streams.conns[conn];
        let Some(mut bytes) = entry.pieces[to].pop_front() else { return };
        let Some(link) = entry.links[to] else {
            // Nobody is there any more: the writer is told, if the machine is up.
            if self.core(place).is_up() {
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
        self.arrive(place, Input::Socket(Socket::Bytes(link, bytes)));
    }

    fn on_closed(&mut self, conn: usize, at: usize) {
        if !self.is_open(conn, at) {
            return;
        }
        let place = self.end_of(conn, at);
        if let Some(link) = self.streams.conns[conn].links[at].take() {
            self.streams.ends.remove(&(place, link));
            self.arrive(place, Input::Socket(Socket::Closed(link)));
        }
    }

    /// Whether this run has byte streams.
    pub(super) fn has_streams(&self) -> bool {
        self.plan.transport == Transport::Streams
    }
}
