//! One core of a host: its slice of the keys, its disk, its links, what has arrived for it, and its turns.

use std::collections::VecDeque;

use netbatch::Net;
use paxos::{AcceptorState, Ballot, Member};
use reactor::clock::Nanos;
use reactor::sim::{Faults, SimDisk};
use shard::command::Command;
use shard::record::Record;
use shard::wire::{PeerMessage, RepairAnswer, RepairSaid, Sender};
use shard::{Config, Effects, Request, RequestId, Shard, Turn};

use super::host::HostClock;
use super::jobs::{Stint, Waits};
use super::losses::Loss;
use super::streams::{self, Socket};
use super::trees::{all_rows, GroupSums};
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::limits::{COUNTED_RING, LARGE_OBJECT_BYTES, TURN_NS, UPKEEP_NS};
use crate::plan::{Plan, Transport};
use crate::story::describe;
use crate::violation::{invariant, Checked, Violation};

/// Types of RepairAnswer and Confirmed (docs/formats/peer-message.md).
const ANSWERS: [u8; 2] = [25, 28];

/// Something that has arrived and waits for the next turn.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Message { from: Member, bytes: std::rc::Rc<[u8]> },
    Request { id: RequestId, command: Command, deadline: Nanos },
    Signal { peer: Member, up: bool },
    Routes(Vec<Member>),
    Socket(Socket),
    Wait { stint: Stint, key: Vec<u8> },
    Missed { stint: Stint },
    EndWait { stint: Stint, took: bool },
    Catalog(Box<[u8]>),
}

/// See the module's head.
pub(super) struct Core {
    pub place: Place,
    pub disk: SimDisk,
    /// None while the host is down.
    shard: Option<Shard<SimDisk>>,
    /// Its links, where the network is made of byte streams.
    pub net: Option<Net>,
    pub inbox: VecDeque<Input>,
    turn_at: Option<Nanos>,
    ready: bool,
    /// Its storage failed: it answers with errors until the host is started again.
    failed: bool,
    effects: Effects,
    waits: Waits,
    /// Its tree was seen to be closed since the host was started.
    pub tree_closed: bool,
    /// What it counted of log groups, in all its lives but the present one.
    pub groups: GroupSums,
    /// Its disk fails, or has failed since the host was started.
    pub is_sick: bool,
    /// Its disk has lost or changed what was written, perhaps.
    pub is_damaged: bool,
    /// A bit of a table of its tree flipped.
    pub tree_rots: bool,
    /// The last write before its end went astray: recovery cannot know that it is missing.
    pub lost_its_end: bool,
    /// Whether it lost its disk, and is a voter again.
    pub loss: Loss,
    /// What it was told of its peers.
    pub up: Vec<bool>,
}

impl Core {
    pub fn new(place: Place, plan: &Plan, seed: u64) -> Core {
        let mut disk = SimDisk::new(seed);
        disk.set_latency(plan.disk);
        Core {
            place,
            disk,
            shard: None,
            net: None,
            inbox: VecDeque::new(),
            turn_at: None,
            ready: false,
            failed: false,
            effects: Effects::new(plan.hosts),
            waits: Waits::default(),
            tree_closed: false,
            groups: GroupSums::default(),
            is_sick: false,
            is_damaged: false,
            tree_rots: false,
            lost_its_end: false,
            loss: Loss::default(),
            up: vec![false; usize::from(plan.hosts)],
        }
    }

    /// Whether its process runs.
    pub fn is_up(&self) -> bool {
        self.shard.is_some()
    }

    /// Whether it takes clients.
    pub fn serves(&self) -> bool {
        self.ready && self.is_up()
    }

    /// Whether its peers can reach it: its process runs, and its storage has not failed.
    pub fn is_reachable(&self) -> bool {
        self.is_up() && !self.failed
    }

    pub fn shard(&self) -> Option<&Shard<SimDisk>> {
        self.shard.as_ref()
    }

    /// The process starts.
    pub fn boot(&mut self, plan: &Plan, life: u32, now: Nanos) {
        self.ready = false;
        self.failed = false;
        self.tree_closed = false;
        self.is_sick = self.disk.is_failing();
        self.up.fill(false);
        self.disk.advance(now);
        let Place { host, core } = self.place;
        let which = u64::from(core) << 48 | u64::from(host) << 32 | u64::from(life);
        let seed = plan.seed.wrapping_mul(31).wrapping_add(which);
        self.shard = Some(new_shard(self.place, plan, (seed, self.loss), &mut self.disk));
        if plan.transport == Transport::Streams {
            self.net = Some(streams::new_net(self.place, plan, (seed, self.loss)));
        }
    }

    /// The process is gone, with all that was in memory.
    pub fn end(&mut self) {
        self.lost_its_end |= self.disk.is_astray();
        // Stale reads are for a core that serves: a log whose end is not shown cannot know that it is missing.
        self.disk.set_faults(Faults { stale_read_per_million: 0, ..self.disk.faults() });
        self.groups = self.group_sums();
        self.shard = None;
        self.net = None;
        self.inbox.clear();
        self.turn_at = None;
        self.effects = Effects::new(self.up.len() as u8);
        self.waits = Waits::default();
    }

    /// Its disk is gone; another one, with nothing on it, takes its place.
    pub fn lose_disk(&mut self, disk: SimDisk) {
        assert!(!self.is_up(), "a core that runs has its disk");
        self.disk = disk;
        (self.is_sick, self.is_damaged, self.lost_its_end) = (false, false, false);
        self.tree_rots = false;
        self.loss = self.loss.again();
    }

    /// What it counted of log groups, in all its lives.
    pub fn group_sums(&self) -> GroupSums {
        let own = self.shard.as_ref().map(|shard| GroupSums::of(shard.metrics())).unwrap_or_default();
        self.groups + own
    }

    /// All rows of its tree, when the run is over. None: there is none, or it cannot be read.
    pub fn rows(&mut self, now: Nanos) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        all_rows(self.shard.as_mut()?, &mut self.disk, now)
    }

    /// Runs one turn over all that has arrived. Whether a disk operation ended in it.
    fn run(&mut self, clock: HostClock, now: Nanos, disk_first: bool, upkeep: bool) -> bool {
        let Some(shard) = &mut self.shard else { return false };
        let completions = self.disk.poll_completions(now);
        let ended = !completions.is_empty();
        let time = clock.read(now);
        let mut turn = Turn { disk: &mut self.disk, clock: time, effects: &mut self.effects };
        let mut completions = completions.into_iter();
        if disk_first {
            completions.by_ref().for_each(|completion| shard.on_disk(&mut turn, completion));
        }
        for input in self.inbox.drain(..) {
            match input {
                Input::Message { from, bytes } => shard.on_message(&mut turn, from, &bytes),
                Input::Request { id, command, deadline } => {
                    let deadline = clock.local(deadline);
                    shard.submit(&mut turn, Request { id, command, deadline, scope: None });
                }
                Input::Signal { peer, up } => shard.on_peer(&mut turn, peer, up),
                Input::Routes(routes) => shard.set_routes(routes),
                Input::Wait { stint, key } => self.waits.begin(stint, shard.wait(&mut turn, &key)),
                Input::Missed { stint } => {
                    self.waits.find(stint).into_iter().for_each(|id| shard.missed(&mut turn, id));
                }
                Input::EndWait { stint, took } => {
                    self.waits.end(stint).into_iter().for_each(|id| shard.end_wait(&mut turn, id, took));
                }
                Input::Catalog(bytes) => shard.take_catalog(&mut turn, &bytes),
                Input::Socket(input) => {
                    let Some(net) = &mut self.net else { continue };
                    streams::on_input(net, time.now, input, &mut |from, bytes| {
                        shard.on_message(&mut turn, from, bytes)
                    });
                }
            }
        }
        completions.for_each(|completion| shard.on_disk(&mut turn, completion));
        shard.end_turn(&mut turn);
        if upkeep && shard.background_wanted() {
            shard.background(&mut turn, 256 << 10);
        }
        ended
    }

    /// When it wants its next turn.
    fn next_turn(&self, clock: HostClock, now: Nanos) -> Option<Nanos> {
        let shard = self.shard.as_ref()?;
        let upkeep = shard.background_wanted().then_some(now + UPKEEP_NS);
        let waiting = (!self.inbox.is_empty()).then_some(now + TURN_NS);
        let links = self.net.as_ref().and_then(Net::deadline);
        let [own, links] = [shard.deadline(), links].map(|at| at.map(|local| clock.global(local)));
        let times = [self.disk.next_event(), own, links, upkeep, waiting];
        times.into_iter().flatten().min().map(|at| at.max(now + TURN_NS))
    }
}

/// The product's core over a disk, before it has read anything.
pub(super) fn new_shard(
    place: Place,
    plan: &Plan,
    (seed, loss): (u64, Loss),
    disk: &mut SimDisk,
) -> Shard<SimDisk> {
    let Place { host, core } = place;
    let hosts = (0..u16::from(plan.hosts)).map(|host| host + 1).collect();
    let mut config = Config::new(hosts, host, core, seed);
    config.slices = plan.cores;
    config.learner = loss.rejoins();
    // Few keys are lacked in a run: in every other start the tails of the peers' logs come first, however few.
    if seed.is_multiple_of(2) {
        config.repair_tail_records = 0;
    }
    // Few votes are counted in a run: in every third start so few are remembered that they do not suffice.
    if seed.is_multiple_of(3) {
        config.counted_ring = COUNTED_RING;
    }
    if plan.classes.is_drawn(Class::Deltas) {
        config.delta_object_bytes_min = LARGE_OBJECT_BYTES;
        // In every fourth start none is kept decoded, in every other one few.
        config.objects_bytes = [0, 8 << 10, 1 << 20, 8 << 10][(seed / 8 % 4) as usize];
    }
    // Groups are small: in most starts no entries stay in the log that the tree has, and their rows are more than a page.
    config.entries_kept_bytes = [0, 0, 2 << 10, config.entries_kept_bytes][(seed / 32 % 4) as usize];
    config.fill_rows_max = [1, 2, 3, config.fill_rows_max][(seed / 4 % 4) as usize];
    config.row_page_max = [2, config.row_page_max][(seed / 128 % 2) as usize];
    Shard::new(config, store_options(core, plan), tree_options(core, plan), disk)
}

/// How a core's engine is set up.
pub(super) fn store_options(core: u16, plan: &Plan) -> bitcask::Options {
    let mut store = bitcask::Options::new(u32::from(core), *b"simulated finger");
    store.segment_bytes = plan.segment_bytes;
    store.cache_bytes = plan.cache_bytes;
    store.put_aside = true;
    store.era_of = Record::epoch_of;
    store
}

/// How a core's tree is set up: so small that what a run applies is flushed and compacted.
fn tree_options(core: u16, plan: &Plan) -> lsm::Options {
    // Where there is a large table: in two seeds of three so small that most entries are on disk soon, and are read from there in every other.
    let memtable_bytes = [1, 4 << 10, 32 << 10][(plan.seed % 3) as usize];
    lsm::Options {
        memtable_bytes,
        table_bytes: 16 << 10,
        cache_bytes: if plan.seed.is_multiple_of(2) { 0 } else { 64 << 10 },
        manifest_bytes: 16 << 10,
        ..lsm::Options::new(u32::from(core))
    }
}

/// What a core has made durable of a key, and of its slot.
pub(super) fn inspect(shard: &Shard<SimDisk>, key: &[u8]) -> (AcceptorState, Ballot) {
    (shard.inspect(key), shard.range_promise(shard::slot::slot(key)))
}

impl World {
    /// Something arrives at a core whose process runs.
    pub(super) fn arrive(&mut self, place: Place, input: Input) {
        if !self.core(place).is_up() {
            return;
        }
        self.core_mut(place).inbox.push_back(input);
        let at = self.now + TURN_NS + self.jitter.below(10_000);
        self.wake(place, at);
    }

    /// Has the core take a turn at this time, unless it does so earlier.
    pub(super) fn wake(&mut self, place: Place, at: Nanos) {
        let at = at.max(self.hosts[usize::from(place.host)].paused_until);
        let core = self.core_mut(place);
        if core.turn_at.is_none_or(|before| at < before) {
            core.turn_at = Some(at);
            self.schedule(at, Event::Turn(place));
        }
    }

    /// A core's turn, and what comes of it.
    pub(super) fn turn(&mut self, place: Place) -> Checked {
        let now = self.now;
        let host = &mut self.hosts[usize::from(place.host)];
        let (until, clock) = (host.paused_until, host.clock);
        let core = &mut host.cores[usize::from(place.core)];
        if !core.is_up() || core.turn_at != Some(now) {
            return Ok(());
        }
        core.turn_at = None;
        if until > now {
            self.wake(place, until);
            return Ok(());
        }
        let (disk_first, upkeep) = (self.jitter.coin(), self.jitter.below(4) > 0);
        let before = self.core(place).shard().map(|shard| (shard.epoch(), shard.under_way().1));
        let ended = self.core_mut(place).run(clock, now, disk_first, upkeep);
        self.story.mix(now);
        let epoch = self.core(place).shard().map(Shard::epoch);
        if before.is_some_and(|(before, commands)| epoch != Some(before) && commands > 0) {
            self.label("an epoch was heard with commands under way");
        }
        self.look(place, ended)?;
        let dies = self.phase == Phase::Faults && self.crash.chance(self.plan.crash_per_million);
        // A host that dies at its turn has sent a part of what the turn was to send.
        let sent = if dies { self.crash.below(4) as usize } else { usize::MAX };
        self.carry_out(place, sent)?;
        if dies {
            let (death, after) = (self.draw_death(), self.draw_downtime());
            self.label("a host died at a turn");
            self.faults += 1;
            self.die(place.host, death, Some(after));
            return Ok(());
        }
        if let Some(at) = self.core(place).next_turn(clock, now) {
            self.wake(place, at);
        }
        Ok(())
    }

    /// Looks into the core: what is durable, and whether it still serves.
    fn look(&mut self, place: Place, ended: bool) -> Checked {
        let core = self.core(place);
        let Some(shard) = core.shard().filter(|_| !core.failed) else { return Ok(()) };
        if let Some(fault) = shard.fault() {
            let fault = fault.to_string();
            if core.ready && ended {
                // What became durable before that, in the same turn, is said if the slice fails alone.
                self.look_at_durable(place)?;
                self.check_shadow(place, true)?;
            }
            return self.on_core_failed(place, &fault);
        }
        let ready = shard.is_ready();
        let started = ready && !core.ready;
        if started {
            self.note_put_aside(place)?;
        }
        let astray = self.core(place).lost_its_end;
        if started && astray {
            return self.give_up_host(place, "the last frame went astray, unnoticed");
        }
        self.note_role(place);
        self.note_tree(place)?;
        if started || ready && ended {
            self.core_mut(place).ready = true;
            self.look_at_durable(place)?;
        }
        if started {
            self.note_flush_epoch(place);
            self.ledger.forget(place.host, place.core);
            self.tell(|| format!("{place} serves"));
        }
        if started || ended && self.core(place).ready {
            self.check_shadow(place, started)?;
        }
        Ok(())
    }

    /// What is answered at once leaves under an epoch that is durable. What waited for something, the log or the disk, was asked before the epoch
    /// was heard of: whoever takes a new one on has nothing of that count (docs/design/batched-confirm.md, section 7).
    fn check_epoch(&self, place: Place, bytes: &[u8]) -> Checked {
        self.check_flush_epoch(place, bytes)?;
        if !bytes.first().is_some_and(|kind| ANSWERS.contains(kind)) {
            return Ok(());
        }
        let durable = self.core(place).shard().map_or(u32::MAX, Shard::durable_epoch);
        let Ok((Sender { epoch, .. }, message)) = PeerMessage::decode(bytes) else { return Ok(()) };
        let waited = matches!(
            message,
            PeerMessage::RepairAnswer(RepairAnswer {
                said: RepairSaid::Copies { .. } | RepairSaid::Tail { .. },
                ..
            })
        );
        if epoch > durable && !waited {
            let detail =
                format!("{place} answers under epoch {epoch}, and {durable} is durable: {message:?}");
            return Err(Violation::new(invariant::DURABLE_FIRST, detail));
        }
        Ok(())
    }

    /// Whatever is said is said in a flush epoch, and under a catalog, that are durable.
    fn check_flush_epoch(&self, place: Place, bytes: &[u8]) -> Checked {
        let durable = self.core(place).shard().map_or(u32::MAX, Shard::durable_flush_epoch);
        let Ok((Sender { flush, catalog, .. }, message)) = PeerMessage::decode(bytes) else { return Ok(()) };
        let version = self.core(place).shard().map_or(u64::MAX, Shard::durable_catalog_version);
        if catalog > version {
            let detail =
                format!("{place} speaks of catalog {catalog}, and {version} is durable: {message:?}");
            return Err(Violation::new(invariant::DURABLE_FIRST, detail));
        }
        if flush > durable {
            let detail =
                format!("{place} speaks in flush epoch {flush}, and {durable} is durable: {message:?}");
            return Err(Violation::new(invariant::DURABLE_FIRST, detail));
        }
        Ok(())
    }

    /// A core that starts may have slept through flushes.
    fn note_flush_epoch(&mut self, place: Place) {
        let newest = self.ledger.flush_epoch(place.core);
        let Some(shard) = self.core(place).shard().filter(|_| newest > 0) else { return };
        let label = match shard.flush_epoch() {
            epoch if shard.is_learner() && epoch < newest => "a learner started behind a flush",
            epoch if epoch < newest => "a core started behind a flush",
            _ => "a core started in a flush epoch",
        };
        self.label(label);
    }

    fn look_at_durable(&mut self, place: Place) -> Checked {
        let World { hosts, ledger, .. } = self;
        let core = &hosts[usize::from(place.host)].cores[usize::from(place.core)];
        let Some(shard) = &core.shard else { return Ok(()) };
        ledger.look(place.host, place.core, |key| inspect(shard, key))
    }

    /// The storage of a core failed. Its slice stops until the host is started again, at once or after a while.
    fn on_core_failed(&mut self, place: Place, fault: &str) -> Checked {
        let core = self.core(place);
        if !core.is_sick && !core.is_damaged {
            return Err(Violation::new(invariant::NO_FAULT, format!("{place}: {fault}")));
        }
        let gone = !core.ready && core.is_damaged && !core.disk.is_failing();
        self.tell(|| format!("the storage of {place} failed: {fault}"));
        self.label("a core failed");
        if gone {
            return self.give_up_host(place, "a damaged host could not start");
        }
        let after = self.draw_downtime();
        self.core_mut(place).disk.set_faults(Faults::default());
        let alone = self.plan.slices_fail_alone && self.core(place).ready;
        if !alone {
            let death = self.draw_death();
            self.die(place.host, death, Some(after));
            return Ok(());
        }
        self.label("a slice failed alone");
        self.core_mut(place).failed = true;
        self.hang_up_links(place);
        (0..self.plan.hosts)
            .filter(|peer| *peer != place.host)
            .for_each(|peer| self.signal_pair(place, peer));
        let life = self.hosts[usize::from(place.host)].life;
        self.schedule(self.now + after, Event::Restart { host: place.host, life });
        Ok(())
    }

    /// Carries out the effects of a turn: all, or the first `sent` messages for each peer and no reply.
    fn carry_out(&mut self, place: Place, sent: usize) -> Checked {
        let members = self.plan.hosts;
        let core = self.core_mut(place);
        let mut effects = std::mem::replace(&mut core.effects, Effects::new(members));
        for (peer, outbox) in effects.outboxes.iter().enumerate() {
            let peer = peer as Member;
            for (index, bytes) in outbox.messages().enumerate() {
                self.ledger.on_message(place.host, place.core, bytes).inspect_err(|_| {
                    self.story.tell(self.now, || format!("{place} -> host {peer}: {}", describe(bytes)));
                })?;
                self.check_epoch(place, bytes)?;
                if index < sent {
                    self.send(place, peer, bytes);
                }
            }
        }
        if self.has_streams() {
            self.end_turn_of_links(place);
        }
        if sent == usize::MAX {
            for (request, reply) in effects.replies.drain(..) {
                self.reply(place, request, reply)?;
            }
            if let Some(bytes) = effects.catalog.take() {
                self.label("a core told its host of a catalog");
                self.tell_of_catalog(place, &bytes);
            }
            let waits = &mut self.core_mut(place).waits;
            let woken = effects.woken.iter().filter_map(|id| waits.stint(*id)).collect();
            let refused = std::mem::take(&mut waits.refused);
            self.hear_of_waits(woken, refused);
        }
        Ok(())
    }
}
