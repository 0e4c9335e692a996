//! A few cores of one slice on simulated disks, with messages that take a while and may be lost.

use std::collections::BTreeMap;

use reactor::rng::Rng;
use reactor::sim::SimDisk;
use shard::command::{Command, Limits};
use shard::reply::Reply;
use shard::{Clock, Config, Effects, Request, RequestId, Scope, Shard, Turn, WaitId};

pub const MS: u64 = 1_000_000;
const WALL_MS: u64 = 1_800_000_000_000;
const STEPS_MAX: usize = 3_000_000;

/// Message types, as in docs/formats/peer-message.md.
pub const PREPARE: u8 = 1;
pub const ACCEPT: u8 = 3;
pub const SLOT_QUERY: u8 = 20;
pub const SLOT_ANSWER: u8 = 21;
pub const HELLO: u8 = 22;
pub const REPAIR_ASK: u8 = 24;
pub const REPAIR_ANSWER: u8 = 25;
pub const NAME: u8 = 26;
pub const CONFIRM: u8 = 27;
pub const CONFIRMED: u8 = 28;
pub const RANGE_PREPARE: u8 = 29;
pub const RANGE_PROMISE: u8 = 30;
pub const RANGE_REFUSED: u8 = 31;
pub const WAIT: u8 = 32;
pub const ACCEPTED: u8 = 5;
pub const FLUSH: u8 = 35;
pub const CATALOG: u8 = 36;

pub struct Host {
    pub disk: SimDisk,
    pub shard: Shard<SimDisk>,
    effects: Effects,
}

impl Host {
    fn empty(count: u8, me: u8, seed: u64, change: &impl Fn(&mut Config)) -> Host {
        let mut disk = SimDisk::new(seed);
        let mut config = Config::new((1..=u16::from(count)).collect(), me, 0, seed);
        change(&mut config);
        let shard = Shard::new(config, options(), tree(TREE_CACHE_BYTES), &mut disk);
        Host { disk, shard, effects: Effects::new(count) }
    }
}

fn options() -> bitcask::Options {
    let mut store = bitcask::Options::new(0, *b"the same for all");
    store.segment_bytes = 1 << 20;
    store.cache_bytes = 16 << 10;
    store.put_aside = true;
    store
}

/// What the cache of a tree holds, where nothing else is said.
const TREE_CACHE_BYTES: u64 = 1 << 20;

/// Memtables and tables so small that a few rows fill them.
fn tree(cache_bytes: u64) -> lsm::Options {
    lsm::Options { memtable_bytes: 16 << 10, table_bytes: 12 << 10, cache_bytes, ..lsm::Options::new(0) }
}

/// Whether a message is lost: sender, receiver, bytes.
pub type Loss = Box<dyn FnMut(usize, usize, &[u8]) -> bool>;

pub struct Cluster {
    pub hosts: Vec<Host>,
    pub now: u64,
    pub rng: Rng,
    pub loss: Loss,
    /// Whether the messages of repair pass; without them replicas stay as they are.
    pub repair: bool,
    /// How much a host that starts anew must lack to ask for tails.
    pub tail_records: u64,
    /// What the caches of trees hold that are opened from now on.
    pub tree_cache_bytes: u64,
    /// Who is preferred for which slots, in the eyes of all hosts; empty: each host is, in its own.
    pub routes: Vec<u8>,
    /// Whose messages take longer, and by how much.
    pub slow: Option<(usize, u64)>,
    messages: BTreeMap<(u64, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    last_request: u64,
    replies: BTreeMap<u64, Reply>,
    /// Who was told to try, and when.
    pub woken: Vec<(u64, usize, WaitId)>,
    /// The longest message seen, and how many of each type were sent.
    pub longest: usize,
    pub types: BTreeMap<u8, u64>,
}

impl Cluster {
    pub fn new(count: u8, seed: u64) -> Cluster {
        Cluster::with(count, seed, |_| {})
    }

    pub fn with(count: u8, seed: u64, change: impl Fn(&mut Config)) -> Cluster {
        let mut rng = Rng::new(seed);
        let hosts = (0..count).map(|me| Host::empty(count, me, rng.next_u64(), &change)).collect();
        let mut cluster = Cluster {
            hosts,
            now: 0,
            rng,
            loss: Box::new(|_, _, _| false),
            repair: false,
            tail_records: shard::limits::REPAIR_TAIL_RECORDS,
            tree_cache_bytes: TREE_CACHE_BYTES,
            routes: Vec::new(),
            slow: None,
            messages: BTreeMap::new(),
            sent: 0,
            last_request: 0,
            replies: BTreeMap::new(),
            woken: Vec::new(),
            longest: 0,
            types: BTreeMap::new(),
        };
        cluster.run_while(|cluster| cluster.hosts.iter().any(|host| !host.shard.is_ready()));
        cluster.all_up();
        cluster
    }

    /// A host comes back without its data: as a learner, or as a voter that has forgotten what it promised.
    pub fn lose_data(&mut self, host: usize, learner: bool) {
        let count = self.hosts.len();
        let seed = self.rng.next_u64();
        let tail_records = self.tail_records;
        let others = move |peer: &usize| *peer != host;
        (0..count).filter(others).for_each(|peer| self.link(peer, host, false));
        self.messages.retain(|_, (from, to, _)| *from != host && *to != host);
        let change = |config: &mut Config| {
            (config.learner, config.repair_tail_records) = (learner, tail_records);
        };
        self.hosts[host] = Host::empty(count as u8, host as u8, seed, &change);
        self.set_routes_of(host);
        self.run_while(|cluster| !cluster.hosts[host].shard.is_ready());
        for peer in (0..count).filter(others) {
            self.hosts[peer].shard.set_learner(host as u8, learner);
            self.link(peer, host, true);
            self.link(host, peer, true);
        }
        // What they say when links come up arrives.
        self.pass(1);
    }

    /// The machine of a host fails, something happens to its disk, and it starts again; all links come up.
    pub fn restart_after(&mut self, host: usize, happens: impl FnOnce(&mut SimDisk)) {
        self.restart_unlinked(host, happens);
        self.heal();
        self.pass(1);
    }

    /// The same, but that its links stay down, and what is lost stays so.
    pub fn restart_unlinked(&mut self, host: usize, happens: impl FnOnce(&mut SimDisk)) {
        let (count, seed) = (self.hosts.len(), self.rng.next_u64());
        for peer in (0..count).filter(|peer| *peer != host) {
            self.link(peer, host, false);
        }
        self.messages.retain(|_, (from, to, _)| *from != host && *to != host);
        let Host { disk, shard, effects } = &mut self.hosts[host];
        disk.crash();
        happens(disk);
        let config = Config::new((1..=count as u16).collect(), host as u8, 0, seed);
        *shard = Shard::new(config, options(), tree(self.tree_cache_bytes), disk);
        *effects = Effects::new(count as u8);
        self.set_routes_of(host);
        self.run_while(|cluster| !cluster.hosts[host].shard.is_ready());
    }

    /// All hosts stop and start again over their disks; all links come up.
    pub fn restart_all(&mut self) {
        self.messages.clear();
        let count = self.hosts.len();
        for host in 0..count {
            let seed = self.rng.next_u64();
            let hosts = (1..=count as u16).collect();
            let Host { disk, shard, effects } = &mut self.hosts[host];
            disk.kill();
            let tree = tree(self.tree_cache_bytes);
            *shard = Shard::new(Config::new(hosts, host as u8, 0, seed), options(), tree, disk);
            *effects = Effects::new(count as u8);
            self.set_routes_of(host);
        }
        self.run_while(|cluster| cluster.hosts.iter().any(|host| !host.shard.is_ready()));
        self.heal();
    }

    /// From now on each host is preferred for an equal part of the slots.
    pub fn spread(&mut self) {
        self.routes = (0..self.hosts.len() as u8).collect();
        (0..self.hosts.len()).for_each(|host| self.set_routes_of(host));
    }

    fn set_routes_of(&mut self, host: usize) {
        if !self.routes.is_empty() {
            let routes = self.routes.clone();
            self.hosts[host].shard.set_routes(routes);
        }
    }

    /// Every link is up.
    pub fn all_up(&mut self) {
        for host in 0..self.hosts.len() {
            for peer in (0..self.hosts.len()).filter(|peer| *peer != host) {
                self.link(host, peer, true);
            }
        }
    }

    pub fn link(&mut self, host: usize, peer: usize, up: bool) {
        self.with_turn(host, |shard, turn| shard.on_peer(turn, peer as u8, up));
    }

    /// Nothing reaches or leaves a host, and all know.
    pub fn cut_off(&mut self, away: usize) {
        self.loss = Box::new(move |from, to, _| from == away || to == away);
        for host in (0..self.hosts.len()).filter(|host| *host != away) {
            self.link(host, away, false);
            self.link(away, host, false);
        }
    }

    /// Everything works.
    pub fn heal(&mut self) {
        self.loss = Box::new(|_, _, _| false);
        self.all_up();
    }

    pub fn wall_ms(&self) -> u64 {
        WALL_MS + self.now / MS
    }

    pub fn with_turn<R>(
        &mut self,
        host: usize,
        step: impl FnOnce(&mut Shard<SimDisk>, &mut Turn<'_, SimDisk>) -> R,
    ) -> R {
        let clock = Clock { now: self.now, wall_ms: self.wall_ms() };
        let Host { disk, shard, effects } = &mut self.hosts[host];
        disk.advance(clock.now);
        let result = step(shard, &mut Turn { disk, clock, effects });
        self.collect(host);
        result
    }

    fn collect(&mut self, from: usize) {
        let effects = &mut self.hosts[from].effects;
        for (RequestId(id), reply) in effects.replies.drain(..) {
            assert!(self.replies.insert(id, reply).is_none(), "a request is answered once");
        }
        self.woken.extend(effects.woken.drain(..).map(|id| (self.now, from, id)));
        for (to, outbox) in effects.outboxes.iter_mut().enumerate() {
            for message in outbox.messages() {
                self.longest = self.longest.max(message.len());
                *self.types.entry(message[0]).or_default() += 1;
                let passes = self.repair || ![REPAIR_ASK, REPAIR_ANSWER].contains(&message[0]);
                if passes && !(self.loss)(from, to, message) {
                    self.sent += 1;
                    let longer = self.slow.filter(|(host, _)| *host == from).map_or(0, |(_, ns)| ns);
                    let at = self.now + 50_000 + self.rng.below(100_000) + longer;
                    self.messages.insert((at, self.sent), (from, to, message.to_vec()));
                }
            }
            outbox.clear();
        }
    }

    /// Sends a command to a host; its number.
    pub fn submit(&mut self, host: usize, args: &[&[u8]], scope: Scope, wait_ms: u64) -> u64 {
        let command = Command::parse(args, &Limits::default()).expect("a command");
        self.submit_command(host, command, scope, wait_ms)
    }

    pub fn submit_command(&mut self, host: usize, command: Command, scope: Scope, wait_ms: u64) -> u64 {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        let deadline = self.now + wait_ms * MS;
        self.with_turn(host, |shard, turn| {
            shard.submit(turn, Request { id, command, deadline, scope });
        });
        self.last_request
    }

    pub fn reply(&mut self, id: u64) -> Option<Reply> {
        self.replies.remove(&id)
    }

    /// Waits for a reply.
    pub fn wait(&mut self, id: u64) -> Reply {
        self.run_while(|cluster| !cluster.replies.contains_key(&id));
        self.reply(id).expect("answered")
    }

    /// Asks a host and waits.
    pub fn ask(&mut self, host: usize, args: &[&[u8]]) -> Reply {
        let id = self.submit(host, args, None, 20_000);
        self.wait(id)
    }

    /// As [`Cluster::ask`], of what is parsed already.
    pub fn ask_command(&mut self, host: usize, command: Command) -> Reply {
        let id = self.submit_command(host, command, None, 20_000);
        self.wait(id)
    }

    /// Asks many things of a host at once, and waits for all.
    pub fn ask_all(&mut self, host: usize, commands: &[Vec<&[u8]>]) -> Vec<Reply> {
        let ids: Vec<u64> = commands.iter().map(|args| self.submit(host, args, None, 20_000)).collect();
        ids.into_iter().map(|id| self.wait(id)).collect()
    }

    /// Takes turns for a time.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now + ms * MS;
        while self.now < until {
            if self.next().is_none_or(|at| at > until) {
                self.now = until;
            }
            self.turns();
        }
    }

    /// Takes turns until a moment.
    pub fn run_while_below(&mut self, until: u64) {
        while self.now < until && self.next().is_some_and(|at| at <= until) {
            self.turns();
        }
        self.now = self.now.max(until);
    }

    /// What a host holds, slot by slot.
    pub fn sums(&self, host: usize) -> Vec<(u16, u128)> {
        self.hosts[host].shard.slot_sums().collect()
    }

    /// Whether all hosts hold the same records.
    pub fn is_level(&self) -> bool {
        let first = self.sums(0);
        (1..self.hosts.len()).all(|host| self.sums(host) == first)
    }

    pub fn run_while(&mut self, wanted: impl Fn(&Cluster) -> bool) {
        for _ in 0..STEPS_MAX {
            if !wanted(self) {
                return;
            }
            self.turns();
        }
        panic!("no end after {STEPS_MAX} turns");
    }

    fn next(&self) -> Option<u64> {
        let disks = self.hosts.iter().filter_map(|host| host.disk.next_event());
        let timers = self.hosts.iter().filter_map(|host| host.shard.deadline());
        let message = self.messages.first_key_value().map(|((at, _), _)| *at);
        disks.chain(timers).chain(message).min()
    }

    /// Goes to the next moment at which something happens; each host takes a turn.
    fn turns(&mut self) {
        self.now = self.next().map_or(self.now + MS, |at| at.max(self.now + 1));
        while let Some(entry) = self.messages.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, to, bytes) = entry.remove();
            self.with_turn(to, |shard, turn| shard.on_message(turn, from as u8, &bytes));
        }
        for host in 0..self.hosts.len() {
            let done = self.hosts[host].disk.poll_completions(self.now);
            self.with_turn(host, |shard, turn| {
                done.into_iter().for_each(|completion| shard.on_disk(turn, completion));
                shard.end_turn(turn);
                if shard.background_wanted() {
                    shard.background(turn, 256 << 10);
                }
            });
        }
    }
}
