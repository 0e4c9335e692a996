//! A key whose whole slot is emptied at once (docs/design/flush.md): members have an *epoch*, which only grows; every message bears it, an older
//! one is refused, and what was written in an older one is as good as never written.
//!
//! Within an epoch the key is the protocol's as ever ([`Replica`], checked by a [`Checker`] of its own). What is modelled here is what makes the
//! epochs follow each other: a flush asks a majority, and raises it; who hears of an epoch has it durable before it answers anything. So whatever is
//! served in an epoch has brought it to a majority itself. `PAXOS_FLUSH_SEEDS`: how many seeds to run instead of the default.

use std::collections::BTreeMap;

use paxos::{Member, Message};

use crate::checker::Checker;
use crate::driver::{Effects, Event, Id, Log, Mutation, Replica, Setup};
use crate::model::Random;

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// What bears an older epoch is taken all the same.
    Refusal,
    /// An epoch is answered in before it is durable.
    Durability,
    /// A flush goes one beyond what its own host knows.
    Question,
    /// What was written before is kept.
    Forgetting,
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
    /// As the disk has it, of the older epoch, as long as the newer one is not durable.
    before: Option<Replica>,
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
    checkers: BTreeMap<u64, Checker>,
    count: u8,
    /// The newest epoch in which anything was answered.
    newest: u64,
    /// What it was when each host's write, read and flush began.
    began: Vec<[u64; 3]>,
    next_id: Id,
    flushes: u64,
    acked: u64,
    reads: u64,
}

const STEPS: usize = 500;
const SEEDS: u64 = 5_000;
const FAULT_SEEDS: u64 = 20_000;

fn bit(member: Member) -> u8 {
    1 << member
}

impl World {
    fn new(seed: u64, count: u8, without: Without) -> World {
        let mut random = Random(seed ^ u64::from(count) << 56);
        let setup = Setup {
            members: count,
            mutation: Mutation::None,
            quick_disk: false,
            finish_first: random.percent(50),
            lamport: true,
            ballots: 0,
            deltas: false,
        };
        let host = |me| Host {
            replica: Replica::new(me, setup),
            before: None,
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
            checkers: BTreeMap::new(),
            count,
            newest: 0,
            began: vec![[0; 3]; usize::from(count)],
            next_id: 1,
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
        let began = &mut self.began[usize::from(me)];
        let which = match event {
            Event::WriteStarted { .. } => {
                began[0] = self.newest;
                None
            }
            Event::ReadStarted => {
                began[1] = self.newest;
                None
            }
            Event::Acked { .. } => Some(0),
            Event::ReadDone { .. } => Some(1),
            _ => None,
        };
        self.acked += u64::from(matches!(event, Event::Acked { .. }));
        self.reads += u64::from(matches!(event, Event::ReadDone { .. }));
        if let Some(which) = which {
            if epoch < began[which] {
                return Err(format!("{event:?} of epoch {epoch}, begun when {} was there", began[which]));
            }
            self.newest = self.newest.max(epoch);
        }
        let count = self.count;
        self.checkers.entry(epoch).or_insert_with(|| Checker::new(count, true)).event(me, event)
    }

    /// A member has heard of a newer epoch: what it has is of no use any more, what its clients wait for is not known.
    fn adopt(&mut self, me: Member, epoch: u64) -> Result<(), String> {
        if epoch <= self.host(me).epoch {
            return Ok(());
        }
        self.with(me, Replica::give_up_requests)?;
        let (forgets, at_once) = (self.without != Without::Forgetting, self.without == Without::Durability);
        let host = self.host(me);
        host.before.get_or_insert_with(|| host.replica.clone());
        if forgets {
            host.replica.forget_all();
        }
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
            Note::Paxos(message) if epoch == own || self.without == Without::Refusal => {
                self.with(to, |replica, fx| replica.deliver(from, message, fx))
            }
            // Who is behind hears of it by whatever it is told.
            Note::Paxos(_) => {
                self.send(to, Some(from), &Note::Raised);
                Ok(())
            }
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
            (host.durable_epoch, host.before) = (host.epoch, None);
            return self.raised(me);
        }
        if host.replica.has_unsaved() {
            return self.with(me, Replica::persist);
        }
        Ok(())
    }

    fn crash(&mut self, me: Member) -> Result<(), String> {
        let host = self.host(me);
        if let Some(before) = host.before.take() {
            let epoch = std::mem::replace(&mut host.epoch, host.durable_epoch);
            assert!(epoch > host.epoch, "an epoch that is not durable is newer");
            host.replica = before;
        }
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
                let (reads, id) = (self.random.percent(45), self.next_id + 1);
                self.host(me).replica.ballots_left = 4;
                match (reads, self.host(me).replica.has_read(), self.host(me).replica.has_write()) {
                    (true, false, _) => self.with(me, Replica::start_read),
                    (false, _, false) => {
                        self.next_id = id;
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
    for without in [Without::Refusal, Without::Durability, Without::Question, Without::Forgetting] {
        let found = (0..FAULT_SEEDS).find_map(|seed| Some((seed, schedule(seed, 3, without).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{without:?} was not found"));
        println!("without {without:?}: seed {seed}: {what}");
    }
}
