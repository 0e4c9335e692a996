//! A key whose whole slot is emptied at once (docs/design/flush.md): members have an *epoch*, which only grows; every message bears it, and every
//! entry that in which it was made. What is of an older one counts as a tombstone, with its ids; the protocol of the key goes on.
//!
//! What is modelled here is what makes the epochs follow each other: a flush asks a majority, and raises it; who hears of an epoch has it durable
//! before it answers anything, and gives up what is under way. So whatever is served in an epoch has brought it to a majority itself. (Entries of
//! an older epoch may well be accepted and chosen after that: they are tombstones already, and whoever proposed them has heard of the epoch from
//! those whose votes it needs.)
//! `PAXOS_FLUSH_SEEDS`: how many seeds to run instead of the default.

use std::collections::BTreeMap;

use paxos::{Member, Message};

use crate::checker::Checker;
use crate::driver::{Effects, Event, Id, Log, Mutation, Replica, Setup};
use crate::model::Random;

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// An epoch is answered in before it is durable.
    Durability,
    /// A flush goes one beyond what its own host knows.
    Question,
    /// A command that is found in an older epoch is acknowledged.
    Doubt,
    /// What is under way goes on in the newer epoch.
    GivingUp,
}

#[derive(Clone, Debug)]
enum Note {
    Paxos(Message<Log>),
    /// Asks for the epoch, which every message bears.
    Ask {
        id: u64,
    },
    Told {
        id: u64,
    },
    /// The epoch that this message bears is durable here.
    Raised,
}

/// What a member is about besides the key's own requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    None,
    /// A majority is asked; the newest epoch so far, and who has answered.
    Asking {
        id: u64,
        newest: u64,
        heard: u8,
    },
    /// This one is being raised.
    Raising(u64),
}

struct Host {
    replica: Replica,
    epoch: u64,
    durable_epoch: u64,
    /// Who is known to have it durable.
    has_it: u8,
    flush: Flush,
    asked: u64,
}

struct World {
    random: Random,
    without: Without,
    loss: u64,
    disk: u64,
    /// Nobody hears of this one, nor it of anybody.
    away: Option<Member>,
    crashes: u64,
    hosts: Vec<Host>,
    net: Vec<(Member, Member, u64, Note)>,
    checker: Checker,
    count: u8,
    /// The newest epoch in which anything was answered.
    newest: u64,
    /// What it was when each host's write, read and flush began.
    began: Vec<[u64; 3]>,
    /// And when each command was first asked for.
    write_began: BTreeMap<Id, u64>,
    next_id: Id,
    /// Commands whose outcome is not known.
    unsure: Vec<Id>,
    flushes: u64,
    acked: u64,
    reads: u64,
}

const STEPS: usize = 500;
const SEEDS: u64 = 5_000;
const FAULT_SEEDS: u64 = 60_000;

fn bit(member: Member) -> u8 {
    1 << member
}

impl World {
    fn new(seed: u64, count: u8, without: Without) -> World {
        let mut random = Random(seed ^ u64::from(count) << 56);
        let mutation = if without == Without::Doubt { Mutation::OlderIdsCount } else { Mutation::None };
        let setup = Setup { mutation, ..Setup::fair(count, random.percent(50)) };
        let host = |me| Host {
            replica: Replica::new(me, setup),
            epoch: 0,
            durable_epoch: 0,
            has_it: u8::MAX,
            flush: Flush::None,
            asked: 0,
        };
        World {
            loss: random.next() % 25,
            away: None,
            disk: 10 + random.next() % 90,
            crashes: random.next() % 20,
            random,
            without,
            hosts: (0..count).map(host).collect(),
            net: Vec::new(),
            checker: Checker::new(count, true),
            count,
            newest: 0,
            began: vec![[0; 3]; usize::from(count)],
            write_began: BTreeMap::new(),
            next_id: 1,
            unsure: Vec::new(),
            flushes: 0,
            acked: 0,
            reads: 0,
        }
    }

    fn any(&mut self) -> Member {
        u8::try_from(self.random.below(self.hosts.len())).expect("five at most")
    }

    fn host(&mut self, me: Member) -> &mut Host {
        &mut self.hosts[usize::from(me)]
    }

    fn is_majority(&self, members: u8) -> bool {
        (members & ((1 << self.count) - 1)).count_ones() > u32::from(self.count) / 2
    }

    fn send(&mut self, from: Member, to: Option<Member>, note: &Note) {
        let epoch = self.host(from).epoch;
        for other in (0..self.count).filter(|other| *other != from && to.is_none_or(|to| to == *other)) {
            self.net.push((from, other, epoch, note.clone()));
        }
    }

    fn with(&mut self, me: Member, call: impl FnOnce(&mut Replica, &mut Effects)) -> Result<(), String> {
        let mut fx = Effects::default();
        call(&mut self.host(me).replica, &mut fx);
        let epoch = self.host(me).epoch;
        for (to, message) in fx.sends {
            self.net.push((me, to, epoch, Note::Paxos(message)));
        }
        for event in fx.events {
            self.event(me, epoch, &event)?;
        }
        Ok(())
    }

    fn event(&mut self, me: Member, epoch: u64, event: &Event) -> Result<(), String> {
        let (member, newest) = (usize::from(me), self.newest);
        match event {
            Event::WriteStarted { id } => {
                // A retry began when its first attempt did.
                let began = *self.write_began.entry(*id).or_insert(newest);
                self.began[member][0] = began;
            }
            Event::ReadStarted => self.began[member][1] = newest,
            Event::Acked { id, log, .. } => {
                self.acked += 1;
                self.free(*id);
                let epoch = log.epoch_of(*id).unwrap_or_default();
                self.answered(event, epoch, self.began[member][0])?;
            }
            Event::WriteDropped { id } => self.unsure.push(*id),
            Event::ReadDone { .. } => {
                self.reads += 1;
                self.answered(event, epoch, self.began[member][1])?;
            }
            _ => {}
        }
        self.checker.event(me, event)
    }

    /// Something was answered as of an epoch. What was answered before it began bounds that from below.
    fn answered(&mut self, event: &Event, epoch: u64, began: u64) -> Result<(), String> {
        if epoch < began {
            return Err(format!("{event:?} of epoch {epoch}, begun when {began} was there"));
        }
        self.newest = self.newest.max(epoch);
        Ok(())
    }

    /// Nobody asks for the command again.
    fn free(&mut self, id: Id) {
        self.unsure.retain(|other| *other != id);
    }

    /// A member has heard of a newer epoch: what it has is of no use any more, what its clients wait for is not known.
    fn adopt(&mut self, me: Member, epoch: u64) -> Result<(), String> {
        if epoch <= self.host(me).epoch {
            return Ok(());
        }
        if self.without != Without::GivingUp {
            self.with(me, Replica::give_up_requests)?;
        }
        let at_once = self.without == Without::Durability;
        let host = self.host(me);
        host.replica.set_epoch(epoch);
        host.epoch = epoch;
        host.has_it = 0;
        if matches!(host.flush, Flush::Raising(to) if to < epoch) {
            // Somebody went further: that empties the slot as well.
            host.flush = Flush::Raising(epoch);
        }
        if at_once {
            self.raised(me)?;
        }
        Ok(())
    }

    /// The epoch is durable, or is taken to be.
    fn raised(&mut self, me: Member) -> Result<(), String> {
        self.host(me).has_it |= bit(me);
        self.send(me, None, &Note::Raised);
        self.confirmed(me)
    }

    /// Whether a majority has the epoch: then a flush that raised it is over.
    fn confirmed(&mut self, me: Member) -> Result<(), String> {
        let Host { has_it, epoch, flush, .. } = *self.host(me);
        if !self.is_majority(has_it) || !matches!(flush, Flush::Raising(to) if to == epoch) {
            return Ok(());
        }
        self.host(me).flush = Flush::None;
        self.flushes += 1;
        if epoch <= self.began[usize::from(me)][2] {
            return Err(format!(
                "a flush came to epoch {epoch}, in which there were answers before it began"
            ));
        }
        self.newest = self.newest.max(epoch);
        Ok(())
    }

    fn answers(&mut self, me: Member) -> bool {
        let host = self.host(me);
        host.durable_epoch == host.epoch || self.without == Without::Durability
    }

    fn deliver(&mut self, from: Member, to: Member, epoch: u64, note: Note) -> Result<(), String> {
        self.adopt(to, epoch)?;
        let own = self.host(to).epoch;
        // Until the epoch is durable here whatever comes is as good as lost.
        if !self.answers(to) {
            return Ok(());
        }
        match note {
            // Who is behind hears of it by the answer.
            Note::Paxos(message) => self.with(to, |replica, fx| replica.deliver(from, message, fx)),
            Note::Ask { id } => {
                self.send(to, Some(from), &Note::Told { id });
                Ok(())
            }
            Note::Told { id } => self.told(from, to, epoch, id),
            Note::Raised if epoch == own => {
                self.host(to).has_it |= bit(from);
                self.confirmed(to)
            }
            Note::Raised => Ok(()),
        }
    }

    fn told(&mut self, from: Member, me: Member, epoch: u64, id: u64) -> Result<(), String> {
        let Flush::Asking { id: own, newest, heard } = self.host(me).flush else { return Ok(()) };
        if own != id {
            return Ok(());
        }
        let (newest, heard) = (newest.max(epoch), heard | bit(from));
        self.host(me).flush = Flush::Asking { id, newest, heard };
        if self.is_majority(heard) {
            return self.raise(me, newest);
        }
        Ok(())
    }

    fn raise(&mut self, me: Member, newest: u64) -> Result<(), String> {
        let to = newest.max(self.host(me).epoch) + 1;
        self.host(me).flush = Flush::Raising(to);
        self.adopt(me, to)
    }

    fn begin_flush(&mut self, me: Member) -> Result<(), String> {
        self.began[usize::from(me)][2] = self.newest;
        if self.without == Without::Question {
            return self.raise(me, 0);
        }
        let host = self.host(me);
        host.asked += 1;
        let id = host.asked;
        host.flush = Flush::Asking { id, newest: host.epoch, heard: bit(me) };
        self.send(me, None, &Note::Ask { id });
        Ok(())
    }

    /// Says again what may have been lost.
    fn again(&mut self, me: Member) -> Result<(), String> {
        if let Flush::Asking { id, .. } = self.host(me).flush {
            self.send(me, None, &Note::Ask { id });
        }
        if self.answers(me) {
            self.send(me, None, &Note::Raised);
        }
        self.with(me, Replica::resend)
    }

    fn persist(&mut self, me: Member) -> Result<(), String> {
        let host = self.host(me);
        if host.durable_epoch < host.epoch {
            host.durable_epoch = host.epoch;
            return self.raised(me);
        }
        if host.replica.has_unsaved() {
            return self.with(me, Replica::persist);
        }
        Ok(())
    }

    fn crash(&mut self, me: Member) -> Result<(), String> {
        let host = self.host(me);
        host.epoch = host.durable_epoch;
        host.replica.set_epoch(host.durable_epoch);
        host.flush = Flush::None;
        host.asked += 1 << 20;
        host.has_it = bit(me);
        self.with(me, Replica::crash)
    }

    fn step(&mut self) -> Result<(), String> {
        let me = self.any();
        match self.random.below(100) {
            0..=54 if !self.net.is_empty() => {
                let at = self.random.below(self.net.len());
                let (from, to, epoch, note) =
                    if self.random.percent(10) { self.net[at].clone() } else { self.net.swap_remove(at) };
                match self.away == Some(from) || self.away == Some(to) || self.random.percent(self.loss) {
                    true => Ok(()),
                    false => self.deliver(from, to, epoch, note),
                }
            }
            55..=74 if self.random.percent(self.disk) => self.persist(me),
            75..=87 => {
                let reads = self.random.percent(45);
                let retry = self.unsure.last().copied().filter(|_| self.random.percent(50));
                let id = retry.unwrap_or(self.next_id + 1);
                self.host(me).replica.ballots_left = 4;
                match (reads, self.host(me).replica.has_read(), self.host(me).replica.has_write()) {
                    (true, false, _) => self.with(me, Replica::start_read),
                    (false, _, false) => {
                        self.next_id = self.next_id.max(id);
                        self.free(id);
                        self.with(me, |replica, fx| replica.start_write(id, fx))
                    }
                    _ => Ok(()),
                }
            }
            88..=91 if self.host(me).replica.wants_ballot() => self.with(me, Replica::poke),
            92 if self.random.percent(30) => {
                self.away = if self.away.is_some() { None } else { Some(me) };
                Ok(())
            }
            93 | 94 => self.again(me),
            95 => self.with(me, Replica::settle),
            96 if self.host(me).flush == Flush::None && self.random.percent(30) => self.begin_flush(me),
            97..=99 if self.random.percent(self.crashes) => self.crash(me),
            _ => Ok(()),
        }
    }

    /// After faults stop all come to one epoch, serve in it, and every request is answered.
    fn heal(&mut self) -> Result<(), String> {
        for round in 0..60 {
            let mut waits = false;
            for me in 0..self.count {
                self.host(me).replica.ballots_left = 4;
                self.again(me)?;
                if self.host(me).replica.wants_ballot() {
                    self.with(me, Replica::poke)?;
                }
                if round == 30 && !self.host(me).replica.has_read() {
                    self.with(me, Replica::start_read)?;
                }
                while let Some((from, to, epoch, note)) = self.net.pop() {
                    self.deliver(from, to, epoch, note)?;
                    for other in 0..self.count {
                        while self.host(other).durable_epoch < self.host(other).epoch
                            || self.host(other).replica.has_unsaved()
                        {
                            self.persist(other)?;
                        }
                    }
                }
                let newest = self.hosts.iter().map(|host| host.epoch).max();
                let host = self.host(me);
                waits |= host.replica.has_read() || host.replica.has_write() || host.flush != Flush::None;
                waits |= Some(host.epoch) != newest;
            }
            if round > 30 && !waits {
                return Ok(());
            }
        }
        Err("faults have stopped, and epochs differ or somebody waits".to_owned())
    }
}

fn schedule(seed: u64, count: u8, without: Without) -> Result<World, String> {
    let mut world = World::new(seed, count, without);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.heal()?;
    Ok(world)
}

fn run(count: u8) {
    let wanted = std::env::var("PAXOS_FLUSH_SEEDS").ok().and_then(|text| text.parse().ok());
    let (mut flushes, mut acked, mut reads) = (0, 0, 0);
    for seed in 0..wanted.unwrap_or(SEEDS) {
        match schedule(seed, count, Without::Nothing) {
            Ok(world) => {
                flushes += world.flushes;
                acked += world.acked;
                reads += world.reads;
            }
            Err(what) => panic!("seed {seed}, {count} members: {what}"),
        }
    }
    println!("{count} members: {flushes} flushes, {acked} writes, {reads} reads");
    assert!(flushes > 1_000 && acked > 1_000 && reads > 1_000);
}

#[test]
fn three_members_flush() {
    run(3);
}

#[test]
fn five_members_flush() {
    run(5);
}

#[test]
fn rules_of_flushes_left_out_are_found() {
    for without in [Without::Durability, Without::Question, Without::Doubt, Without::GivingUp] {
        let found = (0..FAULT_SEEDS).find_map(|seed| Some((seed, schedule(seed, 3, without).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{without:?} was not found"));
        println!("without {without:?}: seed {seed}: {what}");
    }
}
