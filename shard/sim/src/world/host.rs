//! One host: its core, its disk, what has arrived for it; its turns, its deaths and its starts.

use std::collections::VecDeque;

use netbatch::Net;
use paxos::Member;
use reactor::clock::Nanos;
use reactor::sim::{Faults, Latency, SimDisk};
use shard::command::Command;
use shard::{Clock, Config, Effects, Request, RequestId, Shard, Turn};

use super::streams::{self, Socket};
use super::{Event, Phase, World};
use crate::limits::{TURN_NS, UPKEEP_NS};
use crate::plan::{Plan, Routes, Transport};
use crate::story::describe;
use crate::violation::{invariant, Checked, Violation};

/// Milliseconds since 1970 at which every run begins.
const WALL_MS: i64 = 1_700_000_000_000;

/// Something that has arrived and waits for the next turn.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Message { from: Member, bytes: std::rc::Rc<[u8]> },
    Request { id: RequestId, command: Command, deadline: Nanos },
    Signal { peer: Member, up: bool },
    Routes(Vec<Member>),
    Socket(Socket),
}

/// See the module's head.
pub(super) struct Host {
    member: Member,
    pub disk: SimDisk,
    /// None while the host is down.
    core: Option<Shard<SimDisk>>,
    /// Its links, where the network is made of byte streams.
    pub net: Option<Net>,
    pub inbox: VecDeque<Input>,
    turn_at: Option<Nanos>,
    pub paused_until: Nanos,
    pub skew_ms: i64,
    /// How often it was started.
    pub life: u32,
    ready: bool,
    effects: Effects,
    segment_bytes: u64,
    cache_bytes: u64,
    slice_seed: u64,
    hosts: u8,
    transport: Transport,
    /// What it was told of its peers.
    pub up: Vec<bool>,
}

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// The process: what was written stays.
    Process,
    /// The machine: what was not synced is lost or torn.
    Power,
}

impl Host {
    pub fn new(member: Member, plan: &Plan, seed: u64) -> Host {
        let mut disk = SimDisk::new(seed);
        disk.set_latency(plan.disk);
        Host {
            member,
            disk,
            core: None,
            net: None,
            inbox: VecDeque::new(),
            turn_at: None,
            paused_until: 0,
            skew_ms: 0,
            life: 0,
            ready: false,
            effects: Effects::new(plan.hosts),
            segment_bytes: plan.segment_bytes,
            cache_bytes: plan.cache_bytes,
            slice_seed: plan.seed,
            hosts: plan.hosts,
            transport: plan.transport,
            up: vec![false; usize::from(plan.hosts)],
        }
    }

    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// Whether it takes clients.
    pub fn serves(&self) -> bool {
        self.ready && self.is_up()
    }

    /// Whether it died in this life and was not started since.
    pub fn is_down_in(&self, life: u32) -> bool {
        self.core.is_none() && self.life == life
    }

    pub fn core(&self) -> Option<&Shard<SimDisk>> {
        self.core.as_ref()
    }

    fn boot(&mut self, now: Nanos) {
        self.life += 1;
        self.ready = false;
        self.disk.advance(now);
        let seed = self
            .slice_seed
            .wrapping_mul(31)
            .wrapping_add(u64::from(self.member) << 32 | u64::from(self.life));
        let hosts = (0..u16::from(self.hosts)).map(|host| host + 1).collect();
        let config = Config::new(hosts, self.member, 0, seed);
        let mut store = bitcask::Options::new(0, *b"simulated finger");
        store.segment_bytes = self.segment_bytes;
        store.cache_bytes = self.cache_bytes;
        self.core = Some(Shard::new(config, store, &mut self.disk));
        if self.transport == Transport::Streams {
            self.net = Some(streams::new_net(self.member, self.hosts, seed));
        }
    }

    fn clock(&self, now: Nanos) -> Clock {
        let wall_ms = WALL_MS + self.skew_ms + (now / 1_000_000) as i64;
        Clock { now, wall_ms: wall_ms.unsigned_abs() }
    }

    /// Runs one turn over all that has arrived. Whether a disk operation ended in it.
    fn run(&mut self, now: Nanos, disk_first: bool, upkeep: bool) -> bool {
        let clock = self.clock(now);
        let Some(core) = &mut self.core else { return false };
        let completions = self.disk.poll_completions(now);
        let ended = !completions.is_empty();
        let mut turn = Turn { disk: &mut self.disk, clock, effects: &mut self.effects };
        let mut completions = completions.into_iter();
        if disk_first {
            completions.by_ref().for_each(|completion| core.on_disk(&mut turn, completion));
        }
        for input in self.inbox.drain(..) {
            match input {
                Input::Message { from, bytes } => core.on_message(&mut turn, from, &bytes),
                Input::Request { id, command, deadline } => {
                    core.submit(&mut turn, Request { id, command, deadline, scope: None });
                }
                Input::Signal { peer, up } => core.on_peer(&mut turn, peer, up),
                Input::Routes(routes) => core.set_routes(routes),
                Input::Socket(input) => {
                    let Some(net) = &mut self.net else { continue };
                    streams::on_input(net, now, input, &mut |from, bytes| {
                        core.on_message(&mut turn, from, bytes)
                    });
                }
            }
        }
        completions.for_each(|completion| core.on_disk(&mut turn, completion));
        core.end_turn(&mut turn);
        if upkeep && core.background_wanted() {
            core.background(&mut turn, 256 << 10);
        }
        ended
    }

    /// When it wants its next turn.
    fn next_turn(&self, now: Nanos) -> Option<Nanos> {
        let core = self.core.as_ref()?;
        let upkeep = core.background_wanted().then_some(now + UPKEEP_NS);
        let waiting = (!self.inbox.is_empty()).then_some(now + TURN_NS);
        let links = self.net.as_ref().and_then(Net::deadline);
        let times = [self.disk.next_event(), core.deadline(), links, upkeep, waiting];
        times.into_iter().flatten().min().map(|at| at.max(now + TURN_NS))
    }
}

impl World {
    /// A host starts.
    pub(super) fn start(&mut self, host: Member) -> Checked {
        let now = self.now;
        let entry = &mut self.hosts[usize::from(host)];
        assert!(!entry.is_up(), "only a host that is down starts");
        entry.boot(now);
        entry.up.fill(false);
        let life = entry.life;
        self.tell(|| format!("host {host} starts, life {life}"));
        self.set_routes_of(host);
        self.signal_all(host);
        self.wake(host, now + TURN_NS);
        Ok(())
    }

    /// A host dies.
    pub(super) fn die(&mut self, host: Member, death: Death, back_after: Option<Nanos>) {
        let entry = &mut self.hosts[usize::from(host)];
        if entry.core.take().is_none() {
            return;
        }
        match death {
            Death::Process => entry.disk.kill(),
            Death::Power => entry.disk.crash(),
        }
        entry.net = None;
        entry.inbox.clear();
        entry.turn_at = None;
        entry.paused_until = 0;
        entry.effects = Effects::new(entry.hosts);
        let life = entry.life;
        self.story.mix(u64::from(host) << 8 | 0xdead);
        self.tell(|| format!("host {host} dies ({death:?})"));
        self.label("a host died");
        self.hang_up(host);
        self.drop_links(host, death);
        self.signal_all(host);
        if let Some(after) = back_after {
            self.schedule(self.now + after, Event::Start { host, life });
        }
    }

    /// Something arrives at a host that is up.
    pub(super) fn arrive(&mut self, host: Member, input: Input) {
        if !self.hosts[usize::from(host)].is_up() {
            return;
        }
        self.hosts[usize::from(host)].inbox.push_back(input);
        let at = self.now + TURN_NS + self.jitter.below(10_000);
        self.wake(host, at);
    }

    /// Has the host take a turn at this time, unless it does so earlier.
    pub(super) fn wake(&mut self, host: Member, at: Nanos) {
        let entry = &mut self.hosts[usize::from(host)];
        let at = at.max(entry.paused_until);
        if entry.turn_at.is_none_or(|before| at < before) {
            entry.turn_at = Some(at);
            self.schedule(at, Event::Turn(host));
        }
    }

    /// A host's turn, and what comes of it.
    pub(super) fn turn(&mut self, host: Member) -> Checked {
        let now = self.now;
        let entry = &mut self.hosts[usize::from(host)];
        if !entry.is_up() || entry.turn_at != Some(now) {
            return Ok(());
        }
        entry.turn_at = None;
        if entry.paused_until > now {
            let until = entry.paused_until;
            self.wake(host, until);
            return Ok(());
        }
        let (disk_first, upkeep) = (self.jitter.coin(), self.jitter.below(4) > 0);
        let entry = &mut self.hosts[usize::from(host)];
        let ended = entry.run(now, disk_first, upkeep);
        self.story.mix(now);
        self.look(host, ended)?;
        let dies = self.phase == Phase::Faults && self.crash.chance(self.plan.crash_per_million);
        // A host that dies at its turn has sent a part of what the turn was to send.
        let sent = if dies { self.crash.below(4) as usize } else { usize::MAX };
        self.carry_out(host, sent)?;
        if dies {
            let (death, after) = (self.draw_death(), self.draw_downtime());
            self.label("a host died at a turn");
            self.die(host, death, Some(after));
            return Ok(());
        }
        if let Some(at) = self.hosts[usize::from(host)].next_turn(now) {
            self.wake(host, at);
        }
        Ok(())
    }

    /// Looks into the core: what is durable, and whether it still serves.
    fn look(&mut self, host: Member, ended: bool) -> Checked {
        let entry = &mut self.hosts[usize::from(host)];
        let Some(core) = &entry.core else { return Ok(()) };
        if let Some(fault) = core.fault() {
            if !self.plan.disk_errors {
                return Err(Violation::new(invariant::NO_FAULT, format!("host {host}: {fault}")));
            }
            let line = format!("the core of host {host} failed: {fault}");
            self.tell(|| line);
            self.label("a core failed");
            let after = self.draw_downtime();
            self.schedule_restart_of_failed(host, after);
            return Ok(());
        }
        let started = core.is_ready() && !entry.ready;
        if started || core.is_ready() && ended {
            entry.ready = true;
            self.ledger.look(host, |key| core.inspect(key))?;
        }
        if started {
            self.ledger.forget(host);
            self.tell(|| format!("host {host} serves"));
        }
        Ok(())
    }

    /// Carries out the effects of a turn: all, or the first `sent` messages for each peer and no reply.
    fn carry_out(&mut self, host: Member, sent: usize) -> Checked {
        let members = self.plan.hosts;
        let entry = &mut self.hosts[usize::from(host)];
        let mut effects = std::mem::replace(&mut entry.effects, Effects::new(members));
        for (peer, outbox) in effects.outboxes.iter().enumerate() {
            let peer = peer as Member;
            for (index, bytes) in outbox.messages().enumerate() {
                self.ledger.on_message(host, bytes).inspect_err(|_| {
                    self.story.tell(self.now, || format!("host {host} -> host {peer}: {}", describe(bytes)));
                })?;
                if index < sent {
                    self.send(host, peer, bytes);
                }
            }
        }
        if self.has_streams() {
            self.end_turn_of_links(host);
        }
        if sent == usize::MAX {
            for (request, reply) in effects.replies.drain(..) {
                self.reply(host, request, reply)?;
            }
        }
        Ok(())
    }

    /// Sets the routes of a host as its view of the peers wants them. After the faults each host coordinates by itself, so that
    /// the last reads meet what is undecided on any of them.
    pub(super) fn set_routes_of(&mut self, host: Member) {
        if self.phase != Phase::Faults {
            return self.arrive(host, Input::Routes(vec![host]));
        }
        let count = self.plan.hosts;
        let own = self.plan.routes != Routes::Fixed;
        let torn = self.plan.routes == Routes::Torn;
        let entry = &self.hosts[usize::from(host)];
        let up = entry.up.clone();
        let mut routes: Vec<Member> = (0..count * 2).map(|range| range % count).collect();
        for route in &mut routes {
            if torn {
                *route = self.nemesis.below(u64::from(count)) as Member;
            } else if own && *route != host && !up[usize::from(*route)] {
                let next = (0..count).map(|step| (*route + step) % count);
                *route = next.clone().find(|next| *next == host || up[usize::from(*next)]).unwrap_or(host);
            }
        }
        self.arrive(host, Input::Routes(routes));
    }

    /// All disks are healthy from now on.
    pub(super) fn mend_disks(&mut self) {
        for host in &mut self.hosts {
            host.disk.set_faults(Faults::default());
            host.disk.set_latency(Latency::default());
            host.disk.clear_aimed();
        }
    }
}
