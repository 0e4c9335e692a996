//! The core's client sessions: sockets in, requests to shards and cores, replies out.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ahash::HashMap;
use reactor::uring::{ConnId, Io};
use reactor::Nanos;
use shard::command::{Command, Keyspace};
use shard::reply::Reply;
use shard::{Request, RequestId};
use slab::Slab;

use super::glue::{Asker, Core};
use super::mail::{Mail, SessionId, Waiter};
use super::waits::nanos;
use crate::boot::{Handover, Phase, Seat};
use crate::cluster::{ClusterMap, Port};
use crate::gather::Scope;
use crate::server::{self, Connections, CoreAsk, InfoSource, NodeSettings, Settings};
use crate::session::{Action, Session, Ticket, WaitStep, SHUTTING_DOWN, TOO_MANY_CLIENTS};

/// A command on the keyspace may look at every key; its deadline is this many nanoseconds, whatever the one of others.
const KEYSPACE_DEADLINE_NS: Nanos = 60_000_000_000;

/// How long one page of the partitions of a table may take: a thousand keys that peers may have to be asked for.
const PARTITIONS_DEADLINE_NS: Nanos = 10_000_000_000;

/// What a listener is for; its number rides on the ring's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Plain,
    Peer,
    Core(u16),
}

impl Tag {
    pub fn number(self) -> u32 {
        match self {
            Tag::Plain => 0,
            Tag::Peer => 1,
            Tag::Core(port) => 2 + u32::from(port),
        }
    }

    pub fn from_number(number: u32) -> Tag {
        match number {
            0 => Tag::Plain,
            1 => Tag::Peer,
            port => Tag::Core((port - 2) as u16),
        }
    }
}

struct Client {
    session: Session,
    conn: ConnId,
    generation: u32,
    /// Listed for the end of the turn.
    dirty: bool,
    paused: bool,
    /// When its wait for a key is over.
    waits_until: Option<Nanos>,
    /// INFO being gathered, by request: what is there, how many cores are missing.
    infos: Vec<(Ticket, Vec<String>, InfoSource, usize)>,
    _seat: Seat,
}

/// All client connections of one core.
pub(super) struct Clients {
    table: Slab<Client>,
    by_conn: HashMap<ConnId, usize>,
    dirty: Vec<usize>,
    sleeping: Vec<(Nanos, Waiter)>,
    /// When waits for keys are over, by place.
    late: BTreeSet<(Nanos, usize)>,
    /// Sessions that wait for a key.
    pub blocked: u64,
    generations: u32,
    accepted: u64,
    pub refused: u64,
    pub slow_closed: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Clients {
    pub fn new(by_conn: HashMap<ConnId, usize>) -> Clients {
        Clients {
            table: Slab::new(),
            by_conn,
            dirty: Vec::new(),
            sleeping: Vec::new(),
            late: BTreeSet::new(),
            blocked: 0,
            generations: 0,
            accepted: 0,
            refused: 0,
            slow_closed: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Open connections, and those accepted so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.table.len() as u64, self.accepted)
    }

    /// Whether no connection waits for a reply.
    pub fn is_drained(&self) -> bool {
        self.table.iter().all(|(_, client)| client.session.waiting() == 0 && !client.session.has_output())
    }

    /// When a DEBUG SLEEP or a wait for a key is over.
    pub fn deadline(&self) -> Option<Nanos> {
        let late = self.late.first().map(|(at, _)| *at);
        self.sleeping.iter().map(|(at, _)| *at).chain(late).min()
    }

    /// The places of all connections.
    pub fn places(&self) -> Vec<usize> {
        self.table.iter().map(|(place, _)| place).collect()
    }

    /// A connection whose wait for a key is over by now.
    pub fn take_late(&mut self, now: Nanos) -> Option<usize> {
        let first = self.late.first().copied().filter(|(at, _)| *at <= now)?;
        self.late.remove(&first);
        Some(first.1)
    }

    /// The session at a place; it is looked at when the turn ends.
    pub fn session_at(&mut self, place: usize) -> Option<&mut Session> {
        if self.table.contains(place) {
            self.dirty_at(place);
        }
        self.table.get_mut(place).map(|client| &mut client.session)
    }

    /// A session, if its connection is still there; it is looked at when the turn ends.
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.find(id)?;
        self.session_at(id.place as usize)
    }

    /// Takes note of when the wait of a session begins or ends.
    fn note_wait(&mut self, place: usize, begins: bool) {
        let Some(client) = self.table.get_mut(place) else { return };
        if let Some(at) = client.waits_until.take() {
            self.late.remove(&(at, place));
        }
        self.blocked = if begins { self.blocked + 1 } else { self.blocked.saturating_sub(1) };
        client.waits_until = client.session.waits_until_us().filter(|_| begins).map(nanos);
        self.late.extend(client.waits_until.map(|at| (at, place)));
    }

    /// Has the connection looked at when the turn ends.
    pub fn dirty(&mut self, conn: ConnId) {
        if let Some(place) = self.by_conn.get(&conn).copied() {
            self.dirty_at(place);
        }
    }

    fn dirty_at(&mut self, place: usize) {
        let client = &mut self.table[place];
        if !std::mem::replace(&mut client.dirty, true) {
            self.dirty.push(place);
        }
    }

    /// The connection is gone. Replies that still come for it are dropped.
    pub fn remove(&mut self, conn: ConnId) -> Option<(SessionId, Session)> {
        let place = self.by_conn.remove(&conn)?;
        if self.table[place].session.is_blocked() {
            self.note_wait(place, false);
        }
        let client = self.table.remove(place);
        Some((SessionId { place: place as u32, generation: client.generation }, client.session))
    }

    /// Tells clients that asked for it that slots moved.
    pub fn push_migrated(&mut self, before: &ClusterMap, after: &std::sync::Arc<ClusterMap>, sequence: u64) {
        for place in self.table.iter().map(|(place, _)| place).collect::<Vec<_>>() {
            self.table[place].session.push_migrated(before, after, sequence);
            self.dirty_at(place);
        }
    }

    fn find(&mut self, id: SessionId) -> Option<&mut Client> {
        self.table.get_mut(id.place as usize).filter(|client| client.generation == id.generation)
    }
}

impl Connections for Clients {
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn server::Connection)) {
        for place in self.table.iter().map(|(place, _)| place).collect::<Vec<_>>() {
            visit(&mut self.table[place].session);
            self.dirty_at(place);
        }
    }
}

impl Core {
    /// A client connected.
    pub(super) fn on_client(
        &mut self,
        io: &mut Io,
        tag: Tag,
        conn: ConnId,
        peer: SocketAddr,
        local: SocketAddr,
    ) {
        let cores = self.handover.config.cores.len();
        let max = self.server.settings.clients_max();
        let seat = match self.phase {
            Phase::Serving => self.handover.seats.take(max).ok_or(TOO_MANY_CLIENTS),
            Phase::Draining | Phase::Stopping => Err(SHUTTING_DOWN),
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(words) => {
                self.clients.refused += 1;
                io.send(conn, words.to_vec());
                return io.close_when_sent(conn);
            }
        };
        let port = match tag {
            Tag::Core(port) => Port::Core(port),
            _ => Port::Plain,
        };
        self.clients.accepted += 1;
        self.clients.generations = self.clients.generations.wrapping_add(1);
        // Unique over the cores of the host, and growing on each.
        let id = self.clients.accepted * cores as u64 + u64::from(self.index);
        let session = Session::new(id, peer, local, port, &self.server, self.moment(io.now()));
        let generation = self.clients.generations;
        let refused = session.closing().is_some();
        self.clients.refused += u64::from(refused);
        let place = self.clients.table.insert(Client {
            session,
            conn,
            generation,
            dirty: false,
            paused: false,
            waits_until: None,
            infos: Vec::new(),
            _seat: seat,
        });
        self.clients.by_conn.insert(conn, place);
        self.clients.dirty_at(place);
    }

    /// Bytes from a client.
    pub(super) fn on_client_bytes(&mut self, io: &mut Io, conn: ConnId, bytes: &[u8]) {
        let Some(place) = self.clients.by_conn.get(&conn).copied() else { return };
        self.clients.bytes_in += bytes.len() as u64;
        let now = self.moment(io.now());
        let mut actions = Vec::new();
        self.clients.table[place].session.feed(bytes, &mut self.server, now, &mut actions);
        self.clients.dirty_at(place);
        self.look_ahead(&actions);
        self.act(io, place, actions);
    }

    /// What is done here in a moment is brought near first, all at once.
    fn look_ahead(&self, actions: &[Action]) {
        let own = self.index;
        let commands = actions.iter().filter_map(|action| match action {
            Action::Run { slice, command, .. } if *slice == own => Some(command),
            _ => None,
        });
        if actions.len() > 1 {
            self.shard.look_ahead_of(commands);
        }
    }

    pub(super) fn act(&mut self, io: &mut Io, place: usize, actions: Vec<Action>) {
        let Some(client) = self.clients.table.get(place) else { return };
        let session = SessionId { place: place as u32, generation: client.generation };
        for action in actions {
            let waiter = |ticket| Waiter { session, ticket };
            match action {
                Action::Run { ticket, slice, command, scope } if slice == self.index => {
                    self.run(io, Asker::Here(waiter(ticket)), command, scope);
                }
                Action::Run { ticket, slice, command, scope } => {
                    self.publisher.forwarded += 1;
                    self.post(io, slice, Mail::Run { waiter: waiter(ticket), command, scope });
                }
                Action::Ask { ticket, core, ask } if core == self.index => {
                    let reply = self.answer_ask(io, &ask);
                    self.deliver(io, waiter(ticket), reply);
                }
                Action::Ask { ticket, core, ask } => {
                    self.post(io, core, Mail::Ask { waiter: waiter(ticket), ask })
                }
                Action::Wait(ticket, slice, step) => {
                    // All its keys begin and end together; the first one stands for them.
                    if ticket.part == 0 && step != WaitStep::Missed {
                        self.clients.note_wait(place, matches!(step, WaitStep::Begins(_)));
                    }
                    self.step_wait(io, waiter(ticket), slice, step);
                }
                Action::Adopt(catalog) => {
                    self.with_shard(io, |shard, turn| shard.take_catalog(turn, &catalog))
                }
                Action::Info { ticket, sections } => self.gather_info(io, waiter(ticket), sections),
                Action::Sleep { ticket, micros } => {
                    self.clients.sleeping.push((io.now() + micros * 1000, waiter(ticket)));
                }
                Action::Stall { ticket, micros } => {
                    tracing::warn!(core = self.index, micros, "a client lets this core stand still");
                    std::thread::sleep(std::time::Duration::from_micros(micros));
                    self.deliver(io, waiter(ticket), Reply::OK);
                }
                Action::Shutdown { how, .. } => {
                    let phase = if how.now { Phase::Stopping } else { Phase::Draining };
                    tracing::info!(?phase, "a client asked the process to end");
                    self.handover.control.advance(phase);
                    // The one who asked gets no answer and must not be waited for.
                    if let Some(client) = self.clients.find(session) {
                        server::Connection::kill(&mut client.session);
                        self.clients.dirty_at(place);
                    }
                }
            }
        }
    }

    /// Runs a command on this core's slice.
    pub(super) fn run(&mut self, io: &mut Io, asker: Asker, command: Command, scope: Scope) {
        let deadline = match &command {
            Command::Keyspace(Keyspace::Spread(_)) => self.deadline_ns,
            Command::Keyspace(Keyspace::Partitions { .. }) => PARTITIONS_DEADLINE_NS,
            Command::Keyspace(_) => KEYSPACE_DEADLINE_NS,
            _ => self.deadline_ns,
        };
        let id = RequestId(self.requests.insert(asker) as u64);
        let deadline = io.now() + deadline;
        let request = Request { id, command, deadline, scope };
        self.with_shard(io, |shard, turn| shard.submit(turn, request));
    }

    /// Hands the replies of the shard to who asked. True: sessions read on and asked for more.
    pub(super) fn deliver_replies(&mut self, io: &mut Io) -> bool {
        let now = io.now();
        while let Some(place) = self.clients.sleeping.iter().position(|(at, _)| *at <= now) {
            let (_, waiter) = self.clients.sleeping.swap_remove(place);
            self.deliver(io, waiter, Reply::OK);
        }
        self.tell_catalog(io);
        let mut more = self.end_late_waits(io);
        more |= self.deliver_woken(io);
        for (id, reply) in std::mem::take(&mut self.effects.replies) {
            match self.requests.remove(id.0 as usize) {
                Asker::Here(waiter) => more |= self.deliver(io, waiter, reply),
                Asker::Core(core, waiter) => self.post(io, core, Mail::Reply { waiter, reply }),
            }
        }
        more
    }

    /// A reply for a session of this core. True: it read on and asked for more.
    pub(super) fn deliver(&mut self, io: &mut Io, waiter: Waiter, reply: Reply) -> bool {
        let now = self.moment(io.now());
        let place = waiter.session.place as usize;
        let Some(client) = self.clients.find(waiter.session) else { return false };
        let mut actions = Vec::new();
        client.session.reply(waiter.ticket, reply, &mut self.server, now, &mut actions);
        if !client.session.wants_bytes() {
            client.session.resume(&mut self.server, now, &mut actions);
        }
        self.clients.dirty_at(place);
        let more = !actions.is_empty();
        self.act(io, place, actions);
        more
    }

    /// Answers what another core, or this one, asks of this core.
    pub(super) fn answer_ask(&mut self, io: &mut Io, ask: &CoreAsk) -> Reply {
        let now = self.moment(io.now());
        let reply = server::answer(ask, &mut self.server, &mut self.clients, now);
        match ask {
            CoreAsk::ResetStat => self.publisher.reset(),
            CoreAsk::Unblock { .. } => self.end_told_waits(io),
            _ => {}
        }
        reply
    }

    fn gather_info(&mut self, io: &mut Io, waiter: Waiter, sections: Vec<String>) {
        let source = self.info_source(io);
        let cores = self.mailboxes.cores();
        if cores > 1 {
            if let Some(client) = self.clients.find(waiter.session) {
                client.infos.push((waiter.ticket, sections, source, cores - 1));
            }
            for core in self.other_cores() {
                self.post(io, core, Mail::AskInfo { waiter });
            }
            return;
        }
        let reply = server::info(&sections, &source, &self.server);
        self.deliver(io, waiter, reply);
    }

    /// Another core's numbers.
    pub(super) fn on_info(&mut self, io: &mut Io, waiter: Waiter, source: &InfoSource) {
        let Some(client) = self.clients.find(waiter.session) else { return };
        let Some(place) = client.infos.iter().position(|(ticket, ..)| *ticket == waiter.ticket) else {
            return;
        };
        let (_, _, sum, missing) = &mut client.infos[place];
        super::publish::add(sum, source);
        *missing -= 1;
        if *missing == 0 {
            let (_, sections, sum, _) = client.infos.swap_remove(place);
            let reply = server::info(&sections, &sum, &self.server);
            self.deliver(io, waiter, reply);
        }
    }

    /// Sends what sessions have for their sockets, closes what ends, and holds back who does not read.
    pub(super) fn send_to_clients(&mut self, io: &mut Io) {
        let now = self.moment(io.now());
        if self.server.end_pause(now) {
            self.resume_all(io);
        }
        let output_max = self.output_bytes_max;
        for place in std::mem::take(&mut self.clients.dirty) {
            let Some(client) = self.clients.table.get_mut(place).filter(|client| client.dirty) else {
                continue;
            };
            client.dirty = false;
            if client.session.has_output() {
                let bytes = client.session.take_output();
                self.clients.bytes_out += bytes.len() as u64;
                io.send(client.conn, bytes);
            }
            let unsent = io.unsent_bytes(client.conn);
            if client.session.is_too_slow(unsent, output_max) {
                self.clients.slow_closed += 1;
            }
            if client.session.is_done() {
                let slow = matches!(client.session.closing(), Some(crate::session::Closing::SlowReader));
                let conn = client.conn;
                if slow {
                    io.close(conn);
                } else {
                    io.close_when_sent(conn);
                }
                self.remove_client(io, conn);
                continue;
            }
            // A client that reads slowly is not held back but closed, at the bound: one that writes all before it reads anything
            // would wait for itself.
            let hold = client.session.holds_back();
            if hold != client.paused {
                client.paused = hold;
                io.pause_reading(client.conn, hold);
            }
        }
    }

    fn resume_all(&mut self, io: &mut Io) {
        let now = self.moment(io.now());
        for place in self.clients.table.iter().map(|(place, _)| place).collect::<Vec<_>>() {
            let Some(client) = self.clients.table.get_mut(place) else { continue };
            let mut actions = Vec::new();
            client.session.resume(&mut self.server, now, &mut actions);
            self.clients.dirty_at(place);
            self.act(io, place, actions);
        }
    }

    /// Closes clients that were silent for longer than the setting `timeout` allows.
    pub(super) fn close_idle(&mut self, io: &mut Io) {
        let seconds = self.server.settings.timeout_seconds();
        let now = self.moment(io.now());
        if seconds == 0 {
            return;
        }
        for place in self.clients.table.iter().map(|(place, _)| place).collect::<Vec<_>>() {
            let client = &mut self.clients.table[place];
            if client.session.is_idle(seconds, now) {
                server::Connection::kill(&mut client.session);
                self.clients.dirty_at(place);
            }
        }
    }
}

/// The runtime settings of a core, as `CONFIG GET` shows them.
pub(super) fn settings(handover: &Handover) -> Settings {
    let debug = handover.control.settings().text("enable_debug_command").unwrap_or_default();
    let memory_max = handover.config.storage.memory_max(handover.config.cores.len());
    let given = [
        ("port", handover.config.ports.plain.to_string()),
        ("enable-debug-command", debug),
        ("maxmemory", memory_max.to_string()),
    ];
    let mut settings = Settings::new(&given, Box::new(Own(handover.control.clone())));
    settings.reload();
    settings
}

/// The node's own settings behind CONFIG GET and SET.
struct Own(std::sync::Arc<crate::boot::Control>);

impl NodeSettings for Own {
    fn all(&self) -> Vec<(String, String)> {
        let settings = self.0.settings();
        let shown = crate::config::table::TABLE.iter().filter(|spec| !spec.secret);
        shown.filter_map(|spec| Some((spec.name.to_owned(), settings.text(spec.name)?))).collect()
    }

    fn has(&self, name: &str) -> bool {
        crate::config::table::find(name).is_some()
    }

    fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        crate::config::table::find(name)?;
        Some(self.0.change(&[(name, value)]))
    }

    fn aliases(&self) -> Vec<(&'static str, String)> {
        let settings = self.0.settings();
        let mut aliases = vec![
            ("maxclients", settings.clients_max.0.to_string()),
            ("protected-mode", if settings.protected_mode { "yes" } else { "no" }.to_owned()),
            ("proto-max-bulk-len", settings.value_bytes_max.0.to_string()),
        ];
        let password = settings.requirepass.as_ref().map_or("", |password| password.reveal());
        aliases.push(("requirepass", password.to_owned()));
        aliases
    }

    fn own(&self, name: &str, value: &str) -> Option<(&'static str, String)> {
        Some(match name {
            "maxclients" => ("clients_max", value.to_owned()),
            "protected-mode" => ("protected_mode", (value == "yes").to_string()),
            "proto-max-bulk-len" => ("value_bytes_max", value.to_owned()),
            "requirepass" => ("requirepass", value.to_owned()),
            _ => return None,
        })
    }
}
