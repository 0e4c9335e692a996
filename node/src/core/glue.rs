//! The core: what it owns, how an event and the end of a turn go through it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ahash::{HashMap, HashMapExt};
use reactor::uring::{BootError, CoreIndex, Event, Io, Mailboxes, Next, Sender};
use reactor::Nanos;
use shard::{Clock, Effects, Shard};
use slab::Slab;

use super::budget::{Budget, STEP_BYTES};
use super::clients::{Clients, Tag};
use super::mail::{Mail, Waiter};
use super::peers::Peers;
use super::publish::Publisher;
use super::waits::Waits;
use crate::admin::CoreState;
use crate::boot::{Handover, Phase};
use crate::cluster::{ClusterMap, Layout, Liveness};
use crate::server::{Identity, Now, Server};

/// How often a core publishes its page and looks at what changes rarely.
const UPKEEP_NS: Nanos = 100_000_000;

/// A turn that comes shortly before it does it too: a core at rest wakes up once for this and its heartbeats.
const UPKEEP_EARLY_NS: Nanos = UPKEEP_NS / 5;

/// Who asked for what the shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// A connection of this core.
    Here(Waiter),
    /// A connection of another core.
    Core(u16, Waiter),
}

/// One core of the process.
pub(super) struct Core {
    pub index: u16,
    pub handover: Arc<Handover>,
    pub layout: Arc<Layout>,
    /// Place of this host in the layout, which is its member number too.
    pub me: u8,
    pub shard: Shard<Io>,
    pub effects: Effects,
    pub peers: Peers,
    pub clients: Clients,
    pub server: Server,
    pub liveness: Liveness,
    map_epoch: u64,
    pub mailboxes: Mailboxes<Mail>,
    /// Mail that did not fit into its mailbox: sent first in the next turn. Bounded by the commands under way.
    pub unsent_mail: Vec<(u16, Mail)>,
    pub requests: Slab<Asker>,
    pub waits: Waits,
    pub publisher: Publisher,
    pub wall_offset_ns: Nanos,
    next_upkeep: Nanos,
    pub phase: Phase,
    pub phase_since: Nanos,
    settings_version: u64,
    /// How long a request may take.
    pub deadline_ns: Nanos,
    /// Bytes that may wait for one client.
    pub output_bytes_max: usize,
    /// How fast the engine's upkeep may go.
    upkeep_budget: Budget,
    listening: bool,
    /// Whether this core was a voter at the last look.
    votes: bool,
    /// Differs at each start; the links' nonces follow from it.
    seed: u64,
}

impl Core {
    /// A core on its own thread, before its first turn: starts to read its log, listens to its peers.
    pub fn new(
        index: u16,
        handover: Arc<Handover>,
        layout: Arc<Layout>,
        io: &mut Io,
        mailboxes: Mailboxes<Mail>,
    ) -> Result<Core, BootError> {
        let config = &handover.config;
        let me = layout.index_of(config.identity.host).expect("the layout has this host");
        let random = || {
            super::random_seed()
                .map_err(|failure| BootError::new(reactor::uring::BootReason::System, failure.to_string()))
        };
        let seed = random()?;
        let hosts: Vec<u16> = layout.hosts().iter().map(|host| host.id as u16).collect();
        let mut shard_config = shard::Config::new(hosts, me as u8, index, seed);
        shard_config.slices = layout.slices();
        shard_config.learner = config.identity.is_learner();
        shard_config.limits = command_limits(&handover);
        shard_config.repair = repair_rate(&handover);
        shard_config.objects_bytes = size(config.storage.objects_bytes);
        shard_config.delta_object_bytes_min = size(config.storage.delta_object_bytes_min);
        let mut store = bitcask::Options::new(u32::from(index), super::fingerprint_key(config));
        store.segment_bytes = config.storage.segment_bytes;
        store.cache_bytes = config.storage.cache_bytes;
        store.keys_max = config.storage.keys_max;
        let members = shard_config.members().count();
        // A host alone has nobody to take over from.
        store.put_aside = members > 1;
        let shard = Shard::new(shard_config, store, config.storage.tree(index), io);
        let mut liveness = Liveness::all(&layout);
        // Clients are never sent to a learner, by itself neither; its plain port serves who comes. Whether this core still is one
        // its log will tell.
        for host in (0..layout.hosts().len()).filter(|host| *host != me || config.identity.is_learner()) {
            liveness.set_host(host, false);
        }
        let map = Arc::new(ClusterMap::new(layout.clone(), me, &liveness, 1));
        let identity = Identity {
            run_id: format!(
                "{:032x}{:08x}",
                xxhash_rust::xxh3::xxh3_128(&seed.to_le_bytes()),
                std::process::id()
            ),
            core: index,
            cores: config.cores.len() as u16,
            version: env!("CARGO_PKG_VERSION"),
            config_file: String::new(),
        };
        let settings = super::clients::settings(&handover);
        let mut server = Server::new(identity, settings, map, random()?);
        server.command_limits = command_limits(&handover);
        let peers = Peers::new(index, &handover);
        let publisher = Publisher::new(handover.pages[usize::from(index)].clone());
        let wall = wall_ns();
        let mut core = Core {
            index,
            layout,
            me: me as u8,
            shard,
            effects: Effects::new(members),
            peers,
            clients: Clients::new(HashMap::new()),
            server,
            liveness,
            map_epoch: 1,
            mailboxes,
            unsent_mail: Vec::new(),
            requests: Slab::new(),
            waits: Waits::default(),
            publisher,
            wall_offset_ns: wall.saturating_sub(io.now()),
            next_upkeep: 0,
            phase: Phase::Serving,
            phase_since: 0,
            settings_version: u64::MAX,
            deadline_ns: 0,
            output_bytes_max: 0,
            upkeep_budget: Budget::new(config.storage.merge_bytes_per_second),
            listening: false,
            votes: !config.identity.is_learner(),
            seed,
            handover,
        };
        core.publisher.state(CoreState::Recovering);
        core.update_routes();
        Ok(core)
    }

    /// The time of the turn for the shard.
    pub fn clock(&self, now: Nanos) -> Clock {
        Clock { now, wall_ms: self.wall_offset_ns.saturating_add(now) / 1_000_000 }
    }

    /// The time of the turn for sessions.
    pub fn moment(&self, now: Nanos) -> Now {
        Now { mono_us: now / 1000, wall_us: self.wall_offset_ns.saturating_add(now) / 1000 }
    }

    /// Runs `step` on the shard with what a turn has at hand.
    pub fn with_shard<R>(
        &mut self,
        io: &mut Io,
        step: impl FnOnce(&mut Shard<Io>, &mut shard::Turn<'_, Io>) -> R,
    ) -> R {
        let clock = self.clock(io.now());
        let mut turn = shard::Turn { disk: io, clock, effects: &mut self.effects };
        step(&mut self.shard, &mut turn)
    }

    /// Sends mail to another core, or keeps it until its mailbox has room.
    pub fn post(&mut self, io: &mut Io, to: u16, mail: Mail) {
        if !self.unsent_mail.is_empty() {
            self.publisher.mailbox_full += 1;
            self.unsent_mail.push((to, mail));
        } else if let Err(mail) = self.mailboxes.send(io, CoreIndex(to), mail) {
            self.publisher.mailbox_full += 1;
            self.unsent_mail.push((to, mail));
        }
    }

    fn repost(&mut self, io: &mut Io) {
        for (to, mail) in std::mem::take(&mut self.unsent_mail) {
            self.post(io, to, mail);
        }
    }

    fn on_mail(&mut self, io: &mut Io) {
        while let Some((sender, mail)) = self.mailboxes.receive() {
            let from = match sender {
                Sender::Core(core) => core.0,
                Sender::Outside => self.index,
            };
            match mail {
                Mail::Run { waiter, command, scope } => {
                    self.run(io, Asker::Core(from, waiter), command, scope);
                }
                Mail::Ask { waiter, ask } => {
                    let reply = self.answer_ask(io, &ask);
                    self.post(io, from, Mail::Reply { waiter, reply });
                }
                Mail::Wait { waiter, step } => self.on_wait_step(io, Asker::Core(from, waiter), step),
                Mail::Woken { waiter } => {
                    self.on_woken(io, waiter);
                }
                Mail::Refused { waiter, why } => {
                    self.on_refused(io, waiter, &why);
                }
                Mail::AskInfo { waiter } => {
                    let source = Box::new(self.info_source(io));
                    self.post(io, from, Mail::Info { waiter, source });
                }
                Mail::Reply { waiter, reply } => {
                    self.deliver(io, waiter, reply);
                }
                Mail::Info { waiter, source } => self.on_info(io, waiter, &source),
                Mail::Reachable { host_index, slice, live } => self.on_reachable(host_index, slice, live),
                Mail::Catalog(bytes) => self.with_shard(io, |shard, turn| shard.take_catalog(turn, &bytes)),
                Mail::Look => self.look(io),
            }
        }
    }

    /// A slice of a host became reachable, or is no longer: the map flips at once, and clients that asked hear of it.
    pub fn on_reachable(&mut self, host_index: usize, slice: u16, live: bool) {
        if !self.liveness.set(host_index, slice, live) {
            return;
        }
        self.map_epoch += 1;
        let me = usize::from(self.me);
        let map = Arc::new(ClusterMap::new(self.layout.clone(), me, &self.liveness, self.map_epoch));
        let before = std::mem::replace(&mut self.server.map, map);
        self.update_routes();
        self.clients.push_migrated(&before, &self.server.map, self.map_epoch);
    }

    /// Tells the shard where commands are proposed best: at the host that clients are sent to.
    fn update_routes(&mut self) {
        let map = &self.server.map;
        let routes = (0..crate::cluster::SLOTS).map(|slot| map.owner(slot).host_index as u8).collect();
        self.shard.set_routes(routes);
    }

    /// Looks at what the process says: stop, or new settings.
    fn look(&mut self, io: &mut Io) {
        let phase = self.handover.control.phase();
        if phase > self.phase {
            self.phase = phase;
            self.phase_since = io.now();
            self.publisher.state(CoreState::Draining);
        }
        // Those too that begin to wait while the host stops.
        if self.phase != Phase::Serving && self.clients.blocked > 0 {
            self.end_all_waits(io);
        }
        let version = self.handover.control.version();
        if version != self.settings_version {
            self.settings_version = version;
            self.shard.set_limits(command_limits(&self.handover));
            self.server.command_limits = command_limits(&self.handover);
            self.server.settings.reload();
            let settings = self.handover.control.settings();
            self.deadline_ns = settings.request_deadline_ms.0.saturating_mul(1_000_000);
            self.upkeep_budget.set_rate(settings.merge_bytes_per_second.0);
            self.shard.set_repair_rate(repair_rate(&self.handover));
            self.output_bytes_max = usize::try_from(settings.output_bytes_max.0).unwrap_or(usize::MAX);
        }
    }

    /// Upkeep of ten times a second.
    fn upkeep(&mut self, io: &mut Io, now: Nanos) {
        if now + UPKEEP_EARLY_NS < self.next_upkeep && (self.listening || !self.shard.is_ready()) {
            return;
        }
        self.next_upkeep = now + UPKEEP_NS;
        self.wall_offset_ns = wall_ns().saturating_sub(now);
        self.look(io);
        self.start_listening(io);
        self.peers.heed_book();
        self.look_at_role(io);
        self.close_idle(io);
        self.publish(io);
    }

    /// Clients are sent to this core while it votes, and elsewhere while it is a learner.
    fn look_at_role(&mut self, io: &mut Io) {
        let votes = !self.shard.is_learner();
        if !self.shard.is_ready() || self.votes == votes {
            return;
        }
        self.votes = votes;
        let core = self.index;
        if votes {
            tracing::info!(core, "this core has taken over what it had lost, and votes again");
        } else {
            self.tell_loss();
        }
        self.broadcast_reachable(io, usize::from(self.me), core, votes);
    }

    /// Says that this core is a learner, and why.
    fn tell_loss(&self) {
        let core = self.index;
        let Some(bitcask::Loss { number, damage }) = self.shard.loss() else {
            return tracing::warn!(
                core,
                "this core has lost its log: it is a learner until it has taken over what it lost"
            );
        };
        let directory = &self.handover.config.cores[usize::from(core)].directory;
        let damage = damage.as_ref().map_or("found at an earlier start".to_owned(), ToString::to_string);
        tracing::error!(
            core,
            %damage,
            "the log of this core is damaged: its files are kept as {}/lost-{number}-*, and it is a learner until it has taken \
             over from the other hosts what it lost",
            directory.display()
        );
    }

    /// Clients are let in once the log is read.
    fn start_listening(&mut self, io: &mut Io) {
        if self.listening || !self.shard.is_ready() {
            return;
        }
        self.listening = true;
        if let Err(error) = self.peers.open(self.index, &self.handover, self.seed, io) {
            tracing::error!(%error, "cannot listen for peers; the process stops");
            return self.handover.control.fail(error.to_string());
        }
        let config = &self.handover.config;
        let core = &config.cores[usize::from(self.index)];
        let mut wanted: Vec<_> = config.plain.iter().map(|address| (*address, Tag::Plain, true)).collect();
        for port in (0..self.layout.ports_per_host()).filter(|p| self.layout.slice_of_port(*p) == self.index)
        {
            let number = config.ports.client_base + port;
            wanted.extend(
                core.client
                    .iter()
                    .map(|address| (std::net::SocketAddr::new(address.ip(), number), Tag::Core(port), false)),
            );
        }
        for (address, tag, shared) in wanted {
            let made = if shared {
                io.listen_shared(address, tag.number())
            } else {
                io.listen(address, tag.number())
            };
            if let Err(error) = made {
                tracing::error!(%error, "cannot listen for clients; the process stops");
                return self.handover.control.fail(error.to_string());
            }
        }
        // Last: who reads that the core is ready may connect at once.
        self.publisher.state(CoreState::Ready);
    }

    /// The shard failed: the other hosts carry its slice. Peers see the links close, clients are sent elsewhere.
    fn on_failure(&mut self, io: &mut Io) {
        if self.publisher.is_failed() || self.shard.fault().is_none() {
            return;
        }
        if let Some(fault) = self.shard.fault() {
            tracing::error!(core = self.index, %fault, "the storage of a core failed; its slice stops until a restart");
        }
        self.publisher.state(CoreState::Failed);
        self.peers.close(io);
        let (me, index) = (usize::from(self.me), self.index);
        self.broadcast_reachable(io, me, index, false);
        if self.layout.hosts().len() == 1 || self.shard.incarnation() == 0 {
            // Nobody carries the slice, or nothing of it could be read: better no process than half of one.
            self.handover.control.fail(self.shard.fault().map(ToString::to_string).unwrap_or_default());
        }
    }

    /// Notes what this core found out about a slice, and tells the other cores.
    pub fn broadcast_reachable(&mut self, io: &mut Io, host_index: usize, slice: u16, live: bool) {
        self.on_reachable(host_index, slice, live);
        for core in self.other_cores() {
            self.post(io, core, Mail::Reachable { host_index, slice, live });
        }
    }

    /// A newer catalog of tables has begun here: the sessions plan by it, and the other cores are told.
    pub fn tell_catalog(&mut self, io: &mut Io) {
        let Some(bytes) = self.effects.catalog.take() else { return };
        self.server.tables = self.shard.catalog().clone();
        let bytes: Arc<[u8]> = bytes.into();
        for core in self.other_cores() {
            self.post(io, core, Mail::Catalog(bytes.clone()));
        }
    }

    /// The other cores of this host.
    pub fn other_cores(&self) -> impl Iterator<Item = u16> {
        let own = self.index;
        (0..self.mailboxes.cores() as u16).filter(move |core| *core != own)
    }

    /// When a CLIENT PAUSE is over and held sessions go on.
    fn pause_ends(&self, now: Nanos) -> Option<Nanos> {
        let left_us = self.server.pause_ends_us()?.saturating_sub(self.moment(now).mono_us);
        Some(now.saturating_add(left_us.saturating_mul(1000)))
    }

    fn end_shard_turn(&mut self, io: &mut Io) {
        // Replies first: they may let sessions read on, and what those ask for still joins this turn's one append.
        self.deliver_replies(io);
        self.with_shard(io, |shard, turn| shard.end_turn(turn));
        // What the last replies made sessions ask for must not wait for the next event.
        while self.deliver_replies(io) {
            self.with_shard(io, |shard, turn| shard.end_turn(turn));
        }
    }

    /// Whether the core may end.
    fn is_over(&self, now: Nanos) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Draining => self.clients.is_drained() || now > self.phase_since + super::DRAIN_NS_MAX,
            Phase::Stopping => true,
        }
    }
}

fn repair_rate(handover: &Handover) -> shard::RepairRate {
    let settings = handover.control.settings();
    shard::RepairRate {
        bytes_per_second: settings.repair_bytes_per_second.0,
        records_per_second: settings.repair_records_per_second.0,
    }
}

/// Nanoseconds since 1970; 64 bits are enough until 2554.
fn wall_ns() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}

/// Bytes as a size in memory.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn command_limits(handover: &Handover) -> shard::command::Limits {
    let limits = crate::config::host::limits(&handover.control.settings());
    shard::command::Limits {
        value_bytes_max: size(limits.value_bytes_max),
        key_bytes_max: size(limits.key_bytes_max),
    }
}

impl reactor::uring::Turn for Core {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Accepted { tag, conn, peer, listener } => match Tag::from_number(tag) {
                Tag::Peer => self.peers.on_accepted(io, conn, peer),
                tag => {
                    let local = io.listener_address(listener);
                    self.on_client(io, tag, conn, peer, local);
                }
            },
            Event::Connected { conn } => self.peers.on_connected(io, conn),
            Event::Received { conn, bytes } => {
                if self.peers.has(conn) {
                    self.on_peer_bytes(io, conn, bytes);
                } else {
                    self.on_client_bytes(io, conn, bytes);
                }
            }
            Event::Sent { conn } => {
                if self.peers.has(conn) {
                    self.peers.on_sent(io, conn);
                } else {
                    self.clients.dirty(conn);
                }
            }
            Event::Closed { conn } => {
                if self.peers.has(conn) {
                    self.peers.on_closed(io, conn);
                } else {
                    self.remove_client(io, conn);
                }
            }
            Event::Disk(completion) => self.with_shard(io, |shard, turn| shard.on_disk(turn, completion)),
            Event::Woken => self.on_mail(io),
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        self.repost(io);
        self.upkeep(io, now);
        self.end_shard_turn(io);
        self.on_failure(io);
        while self.send_to_peers(io, now) {
            self.end_shard_turn(io);
        }
        self.send_to_clients(io);
        let stop = self.is_over(now);
        if stop {
            self.publish(io);
        }
        let again = !self.unsent_mail.is_empty();
        // Connections that were closed just now may have waited.
        let left =
            !self.effects.woken.is_empty() || self.effects.outboxes.iter().any(|outbox| !outbox.is_empty());
        let deadlines = [
            self.shard.deadline(),
            self.peers.deadline(),
            self.clients.deadline(),
            self.pause_ends(now),
            Some(self.next_upkeep),
            again.then_some(now + 50_000),
            left.then_some(now),
        ];
        let wanted = self.shard.background_wanted();
        let upkeep = if wanted { self.upkeep_budget.look(now) } else { Ok(()) };
        let deadline = deadlines.into_iter().chain([upkeep.err()]).flatten().min();
        Next { deadline, background: wanted && upkeep.is_ok(), stop }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        if self.upkeep_budget.look(now).is_ok() {
            self.upkeep_budget.spend();
            self.with_shard(io, |shard, turn| shard.background(turn, STEP_BYTES));
        }
    }
}
