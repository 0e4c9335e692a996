//! A network in virtual time between `Net`s: connections that deliver bytes in random pieces, cut, damage and
//! block.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use netbatch::{ClusterId, Config, DataId, Effect, HostId, LinkId, Net, Secret, Tuning};
use reactor::clock::{MICROSECOND, MILLISECOND};
use reactor::rng::Rng;
use reactor::Nanos;

/// What the network does to connections.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Time from one host to another.
    pub latency: Nanos,
    /// Most bytes that arrive in one piece.
    pub piece_bytes_max: usize,
    /// Chance in a million, per piece, that a bit of it flips.
    pub damage: u32,
    /// Chance in a million, per piece, that its connection is cut instead.
    pub cut: u32,
    /// Chance in a million, per send, that the socket takes the bytes only after 100 ms.
    pub block: u32,
    /// Chance in a million, per send, that a packet is lost: the socket takes the bytes, which arrive after
    /// 200 ms.
    pub lose: u32,
}

impl Weather {
    pub fn fair() -> Weather {
        Weather {
            latency: 100 * MICROSECOND,
            piece_bytes_max: 64 << 10,
            damage: 0,
            cut: 0,
            block: 0,
            lose: 0,
        }
    }
}

#[derive(Debug)]
enum Event {
    Established(usize),
    Piece { conn: usize, to: usize, bytes: Vec<u8> },
    Sent { conn: usize, by: usize },
    Closed { conn: usize, at: usize },
}

/// One connection: end 0 dialled, end 1 accepted.
struct Conn {
    hosts: [HostId; 2],
    links: [Option<LinkId>; 2],
    /// No byte arrives before the ones that left earlier.
    arrived: [Nanos; 2],
    damaged: bool,
    /// Number of the last message delivered, by receiving end.
    last_number: [u64; 2],
}

pub struct Host {
    pub net: Net,
    pub running: bool,
    pub up: BTreeSet<HostId>,
    /// Who sent, and what.
    pub delivered: Vec<(HostId, Vec<u8>)>,
    pub effects: Vec<Effect>,
    ends: BTreeMap<LinkId, (usize, usize)>,
}

pub struct World {
    pub now: Nanos,
    pub hosts: BTreeMap<HostId, Host>,
    pub weather: Weather,
    pub trace: Vec<String>,
    /// Pairs of hosts between which nothing passes, and nobody is told.
    pub partition: BTreeSet<(HostId, HostId)>,
    /// From whom to whom no bytes pass, while the other direction is fine.
    pub mute: BTreeSet<(HostId, HostId)>,
    pub rng: Rng,
    conns: Vec<Conn>,
    queue: BTreeMap<(Nanos, u64), Event>,
    queued: u64,
    pushed: BTreeMap<u64, (HostId, HostId, Vec<u8>)>,
    numbers: u64,
}

pub fn addr(host: HostId) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host as u8], 7500))
}

pub fn config(host: HostId, count: u32) -> Config {
    Config {
        cluster: ClusterId([7; 16]),
        host,
        core: 0,
        slices: 1,
        config_epoch: 1,
        data_id: DataId([host as u8; 16]),
        secret: Secret::new(*b"the secret of the cluster"),
        peers: (1..=count).filter(|peer| *peer != host).map(|peer| (peer, addr(peer))).collect(),
        known_peer_data_ids: BTreeMap::new(),
        tuning: Tuning::default(),
    }
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> World {
        World {
            now: 0,
            hosts: BTreeMap::new(),
            weather,
            trace: Vec::new(),
            partition: BTreeSet::new(),
            mute: BTreeSet::new(),
            rng: Rng::new(seed),
            conns: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            pushed: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub fn start(&mut self, config: Config) {
        let host = config.host;
        let net = Net::new(config, self.rng.next_u64());
        let new = Host {
            net,
            running: true,
            up: BTreeSet::new(),
            delivered: Vec::new(),
            effects: Vec::new(),
            ends: BTreeMap::new(),
        };
        self.hosts.insert(host, new);
        self.turn(host);
    }

    /// The process ends; the operating system tells the peers.
    pub fn kill(&mut self, host: HostId) {
        let entry = self.hosts.get_mut(&host).unwrap();
        entry.running = false;
        for (_, (conn, end)) in std::mem::take(&mut entry.ends) {
            self.conns[conn].links[end] = None;
            self.end_conn(conn);
        }
    }

    /// Pushes a message with a number of its own in front.
    pub fn push(&mut self, from: HostId, to: HostId, bytes: usize) -> bool {
        self.numbers += 1;
        let mut message = vec![0; bytes];
        self.rng.fill(&mut message);
        message.splice(..0, self.numbers.to_le_bytes());
        let taken = self.hosts.get_mut(&from).unwrap().net.push(to, &message);
        self.pushed.insert(self.numbers, (from, to, message));
        taken
    }

    /// Ends a host's turn and does what it wants done.
    pub fn turn(&mut self, host: HostId) {
        let now = self.now;
        let net = &mut self.hosts.get_mut(&host).unwrap().net;
        net.end_turn(now);
        assert!(net.deadline().is_none_or(|deadline| deadline > now), "the deadline lies in the future");
        while let Some(effect) = self.hosts.get_mut(&host).unwrap().net.poll() {
            self.carry_out(host, effect);
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Nanos) {
        let end = self.now + span;
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.now = next;
            let mut touched: BTreeSet<HostId> = BTreeSet::new();
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= next) {
                let event = entry.remove();
                self.on_event(event, &mut touched);
            }
            for (id, host) in &self.hosts {
                if host.running && host.net.deadline().is_some_and(|deadline| deadline <= next) {
                    touched.insert(*id);
                }
            }
            for host in touched {
                self.turn(host);
            }
        }
        self.now = end;
    }

    /// Whether every host takes every other one for up and healthy.
    pub fn all_up(&self) -> bool {
        let running = || self.hosts.iter().filter(|(_, host)| host.running).map(|(id, _)| *id);
        running().all(|a| {
            running().all(|b| a == b || (self.hosts[&a].up.contains(&b) && self.hosts[&a].net.healthy(b)))
        })
    }

    /// Damaged connections that nobody has closed.
    pub fn damaged_open(&self) -> usize {
        self.conns.iter().filter(|conn| conn.damaged && conn.links.iter().any(Option::is_some)).count()
    }

    /// All connections of the host end there, and the other ends do not hear of it.
    pub fn lose_all_silently(&mut self, host: HostId) {
        let entry = self.hosts.get_mut(&host).unwrap();
        for (link, (conn, end)) in std::mem::take(&mut entry.ends) {
            self.conns[conn].links[end] = None;
            entry.net.on_closed(self.now, link);
        }
        self.turn(host);
    }

    /// The oldest open connection of the host, by its own name for it.
    pub fn first_link(&self, host: HostId) -> LinkId {
        *self.hosts[&host].ends.keys().next().expect("the host has a connection")
    }

    /// Cuts one open connection of the host.
    pub fn cut_one(&mut self, host: HostId) {
        if let Some((conn, _)) = self.hosts[&host].ends.values().next().copied() {
            self.cut(conn);
        }
    }

    fn next_time(&self) -> Option<Nanos> {
        let deadlines =
            self.hosts.values().filter(|host| host.running).filter_map(|host| host.net.deadline());
        deadlines.chain(self.queue.first_key_value().map(|((at, _), _)| *at)).min()
    }

    fn enqueue(&mut self, at: Nanos, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    fn carry_out(&mut self, host: HostId, effect: Effect) {
        self.trace_effect(host, &effect);
        match effect {
            Effect::Connect { link, peer, .. } => self.connect(host, link, peer),
            Effect::Send { link, bytes } => self.send(host, link, &bytes),
            Effect::Close { link, .. } => {
                if let Some((conn, end)) = self.hosts.get_mut(&host).unwrap().ends.remove(&link) {
                    self.conns[conn].links[end] = None;
                    self.end_conn(conn);
                }
            }
            Effect::PeerUp(peer) => {
                assert!(self.hosts.get_mut(&host).unwrap().up.insert(peer), "up only once")
            }
            Effect::PeerDown(peer) => {
                assert!(self.hosts.get_mut(&host).unwrap().up.remove(&peer), "down only once")
            }
            other => self.hosts.get_mut(&host).unwrap().effects.push(other),
        }
    }

    fn connect(&mut self, from: HostId, link: LinkId, to: HostId) {
        let conn = self.conns.len();
        self.conns.push(Conn {
            hosts: [from, to],
            links: [Some(link), None],
            arrived: [self.now; 2],
            damaged: false,
            last_number: [0; 2],
        });
        self.hosts.get_mut(&from).unwrap().ends.insert(link, (conn, 0));
        let at = self.now + 2 * self.weather.latency;
        self.enqueue(at, Event::Established(conn));
    }

    fn send(&mut self, host: HostId, link: LinkId, bytes: &[u8]) {
        let Some((conn, end)) = self.hosts[&host].ends.get(&link).copied() else { return };
        let to = 1 - end;
        let blocked = self.rng.chance(self.weather.block);
        let mut at = self.conns[conn].arrived[to].max(self.now + self.weather.latency);
        if blocked {
            at += 100 * MILLISECOND;
        }
        if self.rng.chance(self.weather.lose) {
            at += 200 * MILLISECOND;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = self.weather.piece_bytes_max.min(rest.len());
            let (piece, after) = rest.split_at(self.rng.between(1, most as u64) as usize);
            rest = after;
            at += self.rng.below(3) * MICROSECOND;
            self.enqueue(at, Event::Piece { conn, to, bytes: piece.to_vec() });
        }
        self.conns[conn].arrived[to] = at;
        let sent_at = if blocked { at } else { self.now };
        self.enqueue(sent_at, Event::Sent { conn, by: end });
    }

    fn cut(&mut self, conn: usize) {
        self.end_conn(conn);
        for end in 0..2 {
            self.enqueue(self.now, Event::Closed { conn, at: end });
        }
    }

    /// Tells both ends that are still there, after all that is on its way.
    fn end_conn(&mut self, conn: usize) {
        for end in 0..2 {
            let at = self.conns[conn].arrived[end].max(self.now + self.weather.latency);
            self.enqueue(at, Event::Closed { conn, at: end });
        }
    }

    fn passes(&self, conn: usize) -> bool {
        let [a, b] = self.conns[conn].hosts;
        !self.partition.contains(&(a.min(b), a.max(b)))
    }

    fn on_event(&mut self, event: Event, touched: &mut BTreeSet<HostId>) {
        match event {
            Event::Established(conn) => self.on_established(conn, touched),
            Event::Piece { conn, to, bytes } => self.on_piece(conn, to, bytes, touched),
            Event::Sent { conn, by } => {
                if let Some(link) = self.conns[conn].links[by] {
                    let host = self.conns[conn].hosts[by];
                    self.hosts.get_mut(&host).unwrap().net.on_sent(link);
                    touched.insert(host);
                }
            }
            Event::Closed { conn, at } => {
                if !self.passes(conn) {
                    return;
                }
                if let Some(link) = self.conns[conn].links[at].take() {
                    let id = self.conns[conn].hosts[at];
                    let host = self.hosts.get_mut(&id).unwrap();
                    host.ends.remove(&link);
                    host.net.on_closed(self.now, link);
                    self.trace(id, format!("link {} closed", link.0));
                    touched.insert(id);
                }
            }
        }
    }

    fn on_established(&mut self, conn: usize, touched: &mut BTreeSet<HostId>) {
        if !self.passes(conn) {
            return;
        }
        let [from, to] = self.conns[conn].hosts;
        let Some(dialled) = self.conns[conn].links[0] else { return };
        if !self.hosts.get(&to).is_some_and(|host| host.running) {
            self.enqueue(self.now, Event::Closed { conn, at: 0 });
            return;
        }
        let now = self.now;
        let acceptor = self.hosts.get_mut(&to).unwrap();
        let accepted = acceptor.net.on_accepted(now, addr(from));
        acceptor.ends.insert(accepted, (conn, 1));
        self.conns[conn].links[1] = Some(accepted);
        self.hosts.get_mut(&from).unwrap().net.on_connected(now, dialled);
        self.trace(from, format!("link {} connected", dialled.0));
        self.trace(to, format!("link {} accepted", accepted.0));
        touched.extend([from, to]);
    }

    fn on_piece(&mut self, conn: usize, to: usize, mut bytes: Vec<u8>, touched: &mut BTreeSet<HostId>) {
        let Some(link) = self.conns[conn].links[to].filter(|_| self.passes(conn)) else { return };
        if self.mute.contains(&(self.conns[conn].hosts[1 - to], self.conns[conn].hosts[to])) {
            return;
        }
        if self.rng.chance(self.weather.cut) {
            return self.cut(conn);
        }
        if self.rng.chance(self.weather.damage) {
            let bit = self.rng.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.conns[conn].damaged = true;
        }
        let id = self.conns[conn].hosts[to];
        touched.insert(id);
        let mut messages = Vec::new();
        let net = &mut self.hosts.get_mut(&id).unwrap().net;
        net.on_bytes(self.now, link, &bytes, &mut |from, message| messages.push((from, message.to_vec())));
        for (from, message) in messages {
            self.check_delivery(conn, to, from, &message);
            self.hosts.get_mut(&id).unwrap().delivered.push((from, message));
        }
    }

    /// A delivered message is one that was pushed, and later than those before it on the same connection.
    fn check_delivery(&mut self, conn: usize, end: usize, from: HostId, message: &[u8]) {
        let number = u64::from_le_bytes(*message.first_chunk().unwrap());
        let receiver = self.conns[conn].hosts[end];
        let (sender, addressee, pushed) = self.pushed.get(&number).expect("it was pushed, and arrives once");
        assert_eq!((*sender, *addressee), (from, receiver), "it is delivered to whom it was for");
        assert!(pushed == message, "it is delivered as it was pushed");
        self.pushed.remove(&number);
        assert!(number > self.conns[conn].last_number[end], "messages of one link stay in order");
        self.conns[conn].last_number[end] = number;
    }

    fn trace(&mut self, host: HostId, line: String) {
        let (ms, us) = (self.now / MILLISECOND, self.now % MILLISECOND / MICROSECOND);
        self.trace.push(format!("{ms:>4}.{us:03} host {host}: {line}"));
    }

    fn trace_effect(&mut self, host: HostId, effect: &Effect) {
        let line = match effect {
            Effect::Connect { link, peer, .. } => format!("link {} connects to host {peer}", link.0),
            Effect::Send { link, bytes } => {
                format!("link {} sends {}", link.0, crate::golden::describe(bytes))
            }
            Effect::Close { link, after_sent: false } => format!("closes link {}", link.0),
            Effect::Close { link, after_sent: true } => format!("closes link {} after what was sent", link.0),
            Effect::PeerUp(peer) => format!("host {peer} is up"),
            Effect::PeerDown(peer) => format!("host {peer} is down"),
            Effect::LearnedDataId { peer, id } => format!("learned that host {peer} has data directory {id}"),
            Effect::OtherDataId { peer, id } => format!("host {peer} has another data directory: {id}"),
            Effect::Refused { by_peer: false, refusal, .. } => format!("refused: {refusal}"),
            Effect::Refused { refusal, .. } => format!("was refused: {refusal}"),
            Effect::BadFrame { peer, error } => format!("bad frame of host {peer}: {error}"),
        };
        self.trace(host, line);
    }
}
