//! Random schedules of a group's members.

use std::collections::BTreeMap;

use paxos::Member;

use super::checker::Checker;
use super::member::{Effects, Event, GroupMember, Id, Note};
use super::Mutation;
use crate::model::Random;

/// What happened in all schedules together.
#[derive(Debug, Default)]
pub struct Counts {
    pub crashes: u64,
    pub damages: u64,
    pub lost: u64,
    pub acked: u64,
    pub retried: u64,
    pub reads: u64,
    pub trims: u64,
    pub versions: u64,
    pub named: BTreeMap<&'static str, u64>,
}

/// A client: one request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Free,
    Writing {
        id: Id,
        at: Member,
    },
    /// The write was given up with an unknown outcome; it may be tried again with its id.
    Unsure {
        id: Id,
    },
    Reading {
        at: Member,
    },
}

type Envelope = (Member, Member, Note);

/// How rough one schedule is, in percent.
struct Weather {
    loss: u64,
    repeat: u64,
    crashes: u64,
    flushes: u64,
    window: u64,
}

struct World<'a> {
    random: Random,
    weather: Weather,
    members: Vec<GroupMember>,
    checker: Checker,
    net: Vec<Envelope>,
    cut: Vec<(Member, Member)>,
    clients: Vec<Client>,
    next_id: Id,
    /// Whose tree was damaged, and is not yet as new as the newest of then.
    damaged: Option<(Member, u64)>,
    counts: &'a mut Counts,
}

const CLIENTS: usize = 4;
const STEPS: usize = 900;
const BALLOTS_PER_OP: u8 = 4;

impl World<'_> {
    fn new(seed: u64, count: u8, mutation: Mutation, counts: &mut Counts) -> World<'_> {
        let mut random = Random(seed ^ u64::from(count) << 56);
        let calm = random.percent(30);
        let weather = Weather {
            loss: if calm { 0 } else { random.next() % 25 },
            repeat: random.next() % 25,
            crashes: if calm { 0 } else { random.next() % 25 },
            flushes: 5 + random.next() % 60,
            window: random.next() % 3,
        };
        World {
            random,
            weather,
            members: (0..count).map(|me| GroupMember::new(me, count, mutation)).collect(),
            checker: Checker::new(count),
            net: Vec::new(),
            cut: Vec::new(),
            clients: vec![Client::Free; CLIENTS],
            next_id: 0,
            damaged: None,
            counts,
        }
    }

    fn any_member(&mut self) -> Member {
        u8::try_from(self.random.below(self.members.len())).expect("five at most")
    }

    fn all(&self) -> std::ops::Range<Member> {
        0..u8::try_from(self.members.len()).expect("five at most")
    }

    fn with(&mut self, me: Member, call: impl FnOnce(&mut GroupMember, &mut Effects)) -> Result<(), String> {
        let mut fx = Effects::default();
        call(&mut self.members[usize::from(me)], &mut fx);
        self.net.extend(fx.sends.into_iter().map(|(to, note)| (me, to, note)));
        for event in &fx.events {
            self.checker.event(me, event)?;
            self.tell_clients(me, event);
        }
        if self.damaged.is_some_and(|(member, version)| {
            member == me && self.members[usize::from(me)].flushed_version() >= version
        }) {
            self.damaged = None;
        }
        Ok(())
    }

    fn tell_clients(&mut self, me: Member, event: &Event) {
        let mut free = |which: &dyn Fn(&Client) -> bool, next: Client| {
            if let Some(client) = self.clients.iter_mut().find(|client| which(client)) {
                *client = next;
            }
        };
        match event {
            Event::Acked { id } => {
                self.counts.acked += 1;
                free(
                    &|client| matches!(client, Client::Writing { id: open, .. } | Client::Unsure { id: open } if open == id),
                    Client::Free,
                );
            }
            Event::WriteDropped { id } => {
                free(&|client| *client == Client::Writing { id: *id, at: me }, Client::Unsure { id: *id });
            }
            Event::ReadDone { .. } => {
                self.counts.reads += 1;
                free(&|client| *client == Client::Reading { at: me }, Client::Free);
            }
            Event::ReadDropped => free(&|client| *client == Client::Reading { at: me }, Client::Free),
            Event::Counted(what) => *self.counts.named.entry(what).or_default() += 1,
            _ => {}
        }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..=49 => self.deliver(),
            50..=69 => self.disk(),
            70..=81 => self.client(),
            82..=88 => self.poke(),
            89..=92 => self.timers(),
            93..=95 if self.random.percent(20) => self.grant(),
            93..=95 => self.tree(),
            96 => self.links(),
            _ => self.crash(),
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        if self.net.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.net.len());
        let repeat = self.random.percent(self.weather.repeat);
        let (from, to, note) = if repeat { self.net[index].clone() } else { self.net.swap_remove(index) };
        if self.cut.contains(&(from, to)) || self.random.percent(self.weather.loss) {
            self.counts.lost += 1;
            return Ok(());
        }
        self.with(to, |member, fx| member.deliver(from, note, fx))
    }

    fn disk(&mut self) -> Result<(), String> {
        let me = self.any_member();
        while self.members[usize::from(me)].has_unsaved() && self.random.percent(60) {
            self.with(me, GroupMember::persist)?;
        }
        Ok(())
    }

    fn client(&mut self) -> Result<(), String> {
        let index = self.random.below(CLIENTS);
        let at = self.any_member();
        let member = &self.members[usize::from(at)];
        match self.clients[index] {
            Client::Free if self.random.percent(40) && !member.has_read() => {
                self.clients[index] = Client::Reading { at };
                self.members[usize::from(at)].ballots_left = BALLOTS_PER_OP;
                self.with(at, GroupMember::start_read)
            }
            Client::Free if !member.has_write() => {
                self.next_id += 1;
                self.write(index, self.next_id, at)
            }
            Client::Unsure { id } if !member.has_write() && self.random.percent(80) => {
                self.counts.retried += 1;
                self.write(index, id, at)
            }
            Client::Unsure { .. } => {
                self.clients[index] = Client::Free;
                Ok(())
            }
            // An impatient client tries the same request elsewhere, while the first attempt goes on.
            Client::Writing { id, at: first }
                if first != at && !member.has_write() && self.random.percent(10) =>
            {
                self.counts.retried += 1;
                self.write(index, id, at)
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, index: usize, id: Id, at: Member) -> Result<(), String> {
        self.clients[index] = Client::Writing { id, at };
        self.members[usize::from(at)].ballots_left = BALLOTS_PER_OP;
        self.with(at, |member, fx| member.start_write(id, fx))
    }

    fn poke(&mut self) -> Result<(), String> {
        let me = self.any_member();
        match self.members[usize::from(me)].wants_ballot() {
            true => self.with(me, GroupMember::poke),
            false => Ok(()),
        }
    }

    fn timers(&mut self) -> Result<(), String> {
        let me = self.any_member();
        match self.random.below(10) {
            0..=3 => self.with(me, GroupMember::resend),
            4..=6 => self.with(me, GroupMember::settle),
            7 | 8 => self.with(me, |member, _| member.give_up_ballot()),
            _ => self.with(me, GroupMember::give_up_requests),
        }
    }

    fn tree(&mut self) -> Result<(), String> {
        let me = self.any_member();
        let member = &mut self.members[usize::from(me)];
        if member.is_flushing() && self.random.percent(50) {
            return self.with(me, GroupMember::flushed);
        }
        if self.random.percent(self.weather.flushes) {
            member.flush();
        } else if self.random.percent(50) {
            self.counts.trims += 1;
            member.trim(self.weather.window);
        }
        Ok(())
    }

    /// A majority promises a ballot for the whole slot to one whose head is as new as theirs; what each says is durable.
    fn grant(&mut self) -> Result<(), String> {
        let me = self.any_member();
        let mut others: Vec<Member> = self.all().filter(|other| *other != me).collect();
        while others.len() > self.members.len() / 2 {
            others.remove(self.random.below(others.len()));
        }
        let stands = |member: &Member| self.members[usize::from(*member)].stands();
        let (own_round, own) = stands(&me);
        let is_saved = |member: &Member| !self.members[usize::from(*member)].has_unsaved();
        if !others.iter().all(|other| stands(other).1 <= own) || !others.iter().chain([&me]).all(is_saved) {
            return Ok(());
        }
        let round = others.iter().map(|other| stands(other).0).max().unwrap_or(0).max(own_round) + 1;
        let ballot = self.members[usize::from(me)].take_grant(round);
        for member in others.into_iter().chain([me]) {
            self.members[usize::from(member)].bind(ballot);
        }
        Ok(())
    }

    fn links(&mut self) -> Result<(), String> {
        let (from, to) = (self.any_member(), self.any_member());
        if self.random.percent(50) {
            self.cut.clear();
        } else if self.weather.loss > 0 && self.random.percent(50) {
            self.cut.push((from, to));
        } else if self.weather.loss > 0 {
            // One is away.
            self.cut = self.all().flat_map(|other| [(from, other), (other, from)]).collect();
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), String> {
        if !self.random.percent(self.weather.crashes) {
            return Ok(());
        }
        let me = self.any_member();
        // One damaged tree at a time: what all others have lost as well, nobody can give back.
        let damage = self.random.percent(15) && self.damaged.is_none();
        self.counts.crashes += 1;
        if damage {
            self.counts.damages += 1;
            self.damaged = Some((me, self.checker.newest()));
        }
        self.with(me, |member, fx| member.crash(damage, fx))
    }

    /// Everything in flight arrives, everything in memory becomes durable.
    fn quiet(&mut self) -> Result<(), String> {
        loop {
            for me in self.all() {
                while self.members[usize::from(me)].has_unsaved() {
                    self.with(me, GroupMember::persist)?;
                }
                if self.members[usize::from(me)].is_flushing() {
                    self.with(me, GroupMember::flushed)?;
                }
            }
            let Some((from, to, note)) = self.net.pop() else { return Ok(()) };
            self.with(to, |member, fx| member.deliver(from, note, fx))?;
        }
    }

    /// After faults stop, every open request is answered, and every tree is the same.
    fn heal(&mut self) -> Result<(), String> {
        self.cut.clear();
        self.quiet()?;
        for round in 0..40 {
            let mut waiting = false;
            for me in self.all() {
                self.members[usize::from(me)].ballots_left = BALLOTS_PER_OP;
                self.with(me, GroupMember::resend)?;
                self.quiet()?;
                if self.members[usize::from(me)].wants_ballot() {
                    self.with(me, GroupMember::poke)?;
                    self.quiet()?;
                }
                if round == 20 && !self.members[usize::from(me)].has_read() {
                    self.with(me, GroupMember::start_read)?;
                    self.quiet()?;
                }
                let member = &self.members[usize::from(me)];
                waiting |=
                    member.has_write() || member.has_read() || member.version() != self.checker.newest();
            }
            if round > 20 && !waiting {
                self.counts.versions += self.checker.newest();
                return Ok(());
            }
        }
        let versions: Vec<u64> = self.members.iter().map(GroupMember::version).collect();
        Err(format!(
            "faults have stopped, and trees are at {versions:?} of {}, or requests are open",
            self.checker.newest()
        ))
    }
}

pub fn schedule(seed: u64, count: u8, mutation: Mutation, counts: &mut Counts) -> Result<(), String> {
    let mut world = World::new(seed, count, mutation, counts);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.heal()
}
