//! A host without sockets, disks and peers: sessions and servers are the product's, the shards are one
//! ordered map.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reactor::rng::Rng;
use shard::command::{
    execute, glob, Catalog, Command, Context, Joint, Keyspace, Limits, Statements, CATALOG_KEY,
};
use shard::joint::{Snapshot, Write};
use shard::reply::Reply;
use shard::slot::slot;
use shard::state::{State, Value};
use synod::cluster::{ClusterMap, Host, Layout, Liveness, Port};
use synod::gather::Scope;
use synod::server::{self, Connection, Connections, Identity, InfoSource, Now, Server, Settings};
use synod::session::{Action, Session, Ticket, WaitStep};

/// Bytes as text: what is not printable is escaped; quotes are left alone.
pub fn readable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

/// How a world differs from one host of one core.
pub struct Options {
    pub hosts: u32,
    pub slices: u16,
    pub me: usize,
    pub settings: Vec<(&'static str, String)>,
    /// The longest value, in bytes.
    pub value_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hosts: 1,
            slices: 1,
            me: 0,
            settings: vec![("slowlog-log-slower-than", "-1".to_owned())],
            value_bytes_max: Limits::default().value_bytes_max,
        }
    }
}

/// The layout of `hosts` hosts on loopback addresses.
pub fn layout(hosts: u32, slices: u16) -> Arc<Layout> {
    let host = |id: u32| Host {
        id,
        ip: IpAddr::from([127, 0, 0, id as u8]),
        core_port_base: 7000,
        peer_port_base: 7500,
        plain_port: 6379,
    };
    Arc::new(Layout::new("c0ffee", (1..=hosts).map(host).collect(), slices).expect("a good layout"))
}

/// The sessions of one core.
#[derive(Default)]
pub struct Sessions(pub Vec<Session>);

impl Connections for Sessions {
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn Connection)) {
        self.0.iter_mut().for_each(|session| visit(session));
    }
}

/// One host.
pub struct World {
    pub servers: Vec<Server>,
    pub sessions: Vec<Sessions>,
    pub store: BTreeMap<Vec<u8>, State>,
    pub now: Now,
    pub map: Arc<ClusterMap>,
    pub liveness: Liveness,
    /// What SHUTDOWN asked for.
    pub shutdown: Option<server::Shutdown>,
    /// The newest that a core has adopted.
    tables: Catalog,
    limits: Limits,
    next_id: u64,
    /// Who waits, in the order in which they came.
    waiting: Vec<((usize, usize), Ticket)>,
}

impl World {
    pub fn new(options: &Options) -> World {
        let layout = layout(options.hosts, options.slices);
        let liveness = Liveness::all(&layout);
        let map = Arc::new(ClusterMap::new(layout, options.me, &liveness, 1));
        let server = |core| {
            let given: Vec<(&str, String)> = options.settings.clone();
            let identity = Identity {
                run_id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                core,
                cores: options.slices,
                version: "0.1.0",
                config_file: String::new(),
            };
            Server::new(identity, Settings::new(&given, Box::new(())), map.clone(), u64::from(core))
        };
        World {
            servers: (0..options.slices).map(server).collect(),
            sessions: (0..options.slices).map(|_| Sessions::default()).collect(),
            store: BTreeMap::new(),
            now: Now { mono_us: 5_000_000, wall_us: 1_700_000_000_123_456 },
            map,
            liveness,
            shutdown: None,
            tables: Catalog::default(),
            limits: Limits { value_bytes_max: options.value_bytes_max, ..Limits::default() },
            next_id: 1,
            waiting: Vec::new(),
        }
    }

    /// A client on a core's loop; returns its place there.
    pub fn connect(&mut self, core: usize, port: Port, peer: &str) -> usize {
        let peer: SocketAddr = peer.parse().expect("an address");
        let local: SocketAddr = "127.0.0.1:6379".parse().expect("an address");
        let session = Session::new(self.next_id, peer, local, port, &self.servers[core], self.now);
        self.next_id += 1;
        self.sessions[core].0.push(session);
        self.sessions[core].0.len() - 1
    }

    /// Sends bytes and returns what came back, with everything done that was asked for.
    pub fn send(&mut self, (core, place): (usize, usize), bytes: &[u8]) -> Vec<u8> {
        let mut actions = Vec::new();
        self.sessions[core].0[place].feed(bytes, &mut self.servers[core], self.now, &mut actions);
        while !actions.is_empty() {
            for action in std::mem::take(&mut actions) {
                self.act((core, place), action);
            }
            self.sessions[core].0[place].resume(&mut self.servers[core], self.now, &mut actions);
        }
        self.wake();
        self.sessions[core].0[place].take_output()
    }

    /// Whoever waits tries again.
    fn wake(&mut self) {
        for ((core, place), ticket) in self.waiting.clone() {
            let mut actions = Vec::new();
            self.sessions[core].0[place].woken(ticket, self.now, &mut actions);
            actions.into_iter().for_each(|action| self.act((core, place), action));
        }
    }

    /// Ends waits that are over, or were told to end.
    pub fn end_waits(&mut self) {
        for (core, place) in self.places() {
            let mut actions = Vec::new();
            let session = &mut self.sessions[core].0[place];
            session.end_wait(&mut self.servers[core], self.now, &mut actions);
            session.resume(&mut self.servers[core], self.now, &mut actions);
            actions.into_iter().for_each(|action| self.act((core, place), action));
        }
    }

    /// A connection is gone.
    pub fn hang_up(&mut self, (core, place): (usize, usize)) {
        let mut actions = Vec::new();
        self.sessions[core].0[place].give_up_waits(&mut actions);
        actions.into_iter().for_each(|action| self.act((core, place), action));
    }

    fn is_blocked(&self, (core, place): (usize, usize)) -> bool {
        self.sessions[core].0[place].is_blocked()
    }

    fn places(&self) -> Vec<(usize, usize)> {
        let of_core =
            |(core, sessions): (usize, &Sessions)| (0..sessions.0.len()).map(move |place| (core, place));
        self.sessions.iter().enumerate().flat_map(of_core).collect()
    }

    /// Does one action and hands its reply back.
    pub fn act(&mut self, (core, place): (usize, usize), action: Action) {
        let (ticket, reply) = match action {
            Action::Run { ticket, slice, command, scope } => (ticket, self.run(slice, &command, &scope)),
            Action::Ask { ticket, core, ask } => {
                let core = usize::from(core);
                let reply = server::answer(&ask, &mut self.servers[core], &mut self.sessions[core], self.now);
                self.end_waits();
                (ticket, reply)
            }
            Action::Wait(ticket, slice, step) => {
                match step {
                    WaitStep::Begins(key) => {
                        assert_eq!(self.map.slice(slot(&key)), slice, "a key goes to its slice");
                        self.waiting.push(((core, place), ticket));
                    }
                    WaitStep::Missed => {}
                    WaitStep::Ends { .. } => {
                        self.waiting.retain(|(who, other)| (*who, *other) != ((core, place), ticket));
                    }
                }
                return;
            }
            Action::Adopt(bytes) => return self.adopt(core, &bytes),
            Action::Info { ticket, sections } => {
                let server = &self.servers[core];
                let source = InfoSource {
                    now: self.now,
                    tcp_port: 6379,
                    clients: 1,
                    clients_blocked: self.places().iter().filter(|who| self.is_blocked(**who)).count() as u64,
                    keys: self.store.len() as u64,
                    stats: server.stats.clone(),
                    ..InfoSource::default()
                };
                (ticket, server::info(&sections, &source, server))
            }
            Action::Sleep { ticket, micros } | Action::Stall { ticket, micros } => {
                self.now.mono_us += micros;
                self.now.wall_us += micros;
                (ticket, Reply::OK)
            }
            Action::Shutdown { how, .. } => {
                self.shutdown = Some(how);
                return;
            }
        };
        let mut actions = Vec::new();
        let session = &mut self.sessions[core].0[place];
        session.reply(ticket, reply, &mut self.servers[core], self.now, &mut actions);
        session.resume(&mut self.servers[core], self.now, &mut actions);
        actions.into_iter().for_each(|action| self.act((core, place), action));
    }

    /// What the shard of a slice would answer.
    pub fn run(&mut self, slice: u16, command: &Command, scope: &Scope) -> Reply {
        match command {
            Command::Key(one) => {
                assert_eq!(self.map.slice(slot(&one.key)), slice, "a key goes to its slice");
                let state = self.store.entry(one.key.to_vec()).or_default();
                let (now_wall_ms, limits) = (self.now.wall_us / 1000, &self.limits);
                let mut context = Context {
                    now_wall_ms,
                    limits,
                    rng: &mut Rng::new(1),
                    catalog: &self.tables,
                    statements: &mut Statements::default(),
                };
                let reply = execute(command, state, &mut context);
                if state.value.is_none() && state.requests.is_empty() {
                    self.store.remove(&*one.key);
                }
                reply
            }
            Command::Keyspace(command) => self.keyspace(slice, command, scope),
            Command::Joint(joint) => self.joint(slice, joint),
            Command::Many(_) => panic!("a shard never sees a command on many keys"),
        }
    }

    /// A core takes a catalog of tables, if it is newer than its own.
    pub fn adopt(&mut self, core: usize, bytes: &[u8]) {
        let catalog = Catalog::decode(bytes).expect("a catalog");
        if catalog.version() > self.servers[core].tables.version() {
            self.servers[core].tables = Arc::new(catalog.clone());
        }
        if catalog.version() > self.tables.version() {
            self.tables = catalog;
        }
    }

    fn joint(&mut self, slice: u16, joint: &Joint) -> Reply {
        let mut found = Vec::new();
        for key in &joint.keys {
            assert_eq!(self.map.slice(slot(key)), slice, "a key goes to its slice");
            let state = self.store.entry(key.to_vec()).or_default();
            found.push(Snapshot { version: state.version, is: Write::of(state) });
        }
        let (now_wall_ms, limits) = (self.now.wall_us / 1000, &self.limits);
        let ran = joint.run(
            &found,
            &mut Context {
                now_wall_ms,
                limits,
                rng: &mut Rng::new(1),
                catalog: &self.tables,
                statements: &mut Statements::default(),
            },
        );
        for (key, write) in joint.keys.iter().zip(ran.writes) {
            let state = self.store.entry(key.to_vec()).or_default();
            if let Some(write) = write {
                *state = write.state(state.version + 1);
            }
            if state.value.is_none() && state.requests.is_empty() {
                self.store.remove(&**key);
            }
        }
        ran.reply
    }

    fn keyspace(&mut self, slice: u16, command: &Keyspace, scope: &Scope) -> Reply {
        let map = self.map.clone();
        let inside = |key: &&Vec<u8>| {
            let slot = slot(key);
            let in_scope =
                scope.as_ref().is_none_or(|ranges| ranges.iter().any(|&(a, b)| (a..=b).contains(&slot)));
            map.slice(slot) == slice && in_scope
        };
        let is_there = |key: &Vec<u8>, state: &State| state.value.is_some() && key != CATALOG_KEY;
        let there = self.store.iter().filter(|(key, state)| is_there(key, state));
        let keys: Vec<Vec<u8>> = there.map(|(key, _)| key).filter(inside).cloned().collect();
        let list = |keys: &mut dyn Iterator<Item = &Vec<u8>>| Reply::Array(keys.map(Reply::bulk).collect());
        match command {
            Keyspace::Size => Reply::Int(keys.len() as i64),
            Keyspace::Keys(pattern) => list(&mut keys.iter().filter(|key| glob(pattern, key))),
            Keyspace::Random => keys.first().map_or(Reply::Nil, Reply::bulk),
            Keyspace::Flush => {
                for key in keys {
                    self.store.remove(&key);
                }
                Reply::OK
            }
            Keyspace::Spread(bytes) => {
                self.adopt(usize::from(slice), bytes);
                Reply::OK
            }
            Keyspace::CountInSlot(wanted) => {
                Reply::Int(keys.iter().filter(|key| slot(key) == *wanted).count() as i64)
            }
            Keyspace::KeysInSlot { slot: wanted, count } => {
                list(&mut keys.iter().filter(|key| slot(key) == *wanted).take(*count as usize))
            }
            Keyspace::Partitions { cursor, table, count } => {
                let (from, count) = (*cursor as usize, *count as usize);
                let page = keys.iter().enumerate().skip(from).take(count);
                let prefix = [b"{", &table[..], b":"].concat();
                let is_one = |key: &Vec<u8>| {
                    key.starts_with(&prefix) && matches!(self.store[key].value, Some(Value::Rows(_)))
                };
                let item = |(place, key): (usize, &Vec<u8>)| {
                    Reply::Array(vec![Reply::bulk(place.to_string()), Reply::bulk(key)])
                };
                // Not in their order: that is for who asked.
                let found = page.filter(|(_, key)| is_one(key)).map(item).rev();
                let next = if from + count < keys.len() { from + count } else { 0 };
                Reply::Array(vec![Reply::bulk(next.to_string()), Reply::Array(found.collect())])
            }
            Keyspace::Scan { cursor, pattern, count, .. } => {
                let (from, count) = (*cursor as usize, *count as usize);
                let page = keys.iter().skip(from).take(count);
                let matches = |key: &&Vec<u8>| pattern.as_ref().is_none_or(|pattern| glob(pattern, key));
                let next = if from + count < keys.len() { from + count } else { 0 };
                Reply::Array(vec![Reply::bulk(next.to_string()), list(&mut page.filter(matches))])
            }
        }
    }

    /// Hosts die or come back: a new map on all cores.
    pub fn set_live(&mut self, host_index: usize, live: bool) {
        assert!(self.liveness.set_host(host_index, live), "a change");
        let (layout, me) = (Arc::new(self.map.layout().clone()), self.map.me());
        let before = self.map.clone();
        self.map = Arc::new(ClusterMap::new(layout, me, &self.liveness, before.epoch() + 1));
        for (server, sessions) in self.servers.iter_mut().zip(&mut self.sessions) {
            server.map = self.map.clone();
            for session in &mut sessions.0 {
                session.push_migrated(&before, &self.map, self.map.epoch());
            }
        }
    }
}
