//! Tombstones that are dropped (docs/design/repair.md section 3): random schedules of three and five members with forwarded commands,
//! late copies of them, restarts and members that are away, and planted faults that prove that each part of the rule is needed.
//!
//! The driver's replicas are as in the other models. Every third command deletes. Who drops a tombstone forgets the record, with all
//! the ids in it; what is proposed on nothing afterwards extends, in the checker's eyes alone, the longest log that was ever dropped. So a deleted
//! value that comes back, a lost write and a command applied twice all show.
//!
//! PAXOS_MODEL_SEEDS says how many seeds to run instead of the default.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use paxos::{Ballot, Member, Members, Message};

use crate::checker::Checker;
use crate::driver::{Effects, Event, Form, Id, Log, Replica, Setup, DROPPED};
use crate::model::Random;

/// A part of the rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The record goes, and the floor stays where it is.
    FloorNotRaised,
    /// Members agree without taking over what is settled.
    MarksNotTaken,
    /// Members take over what is settled when they hear the word to drop, and not before they agree.
    MarksTooLate,
    /// A member agrees, and drops, although a command for the key is under way there.
    UnderWay,
    /// A majority is asked instead of all.
    MajorityOnly,
    /// Nobody looks whether the commands in the tombstone are settled.
    IdsNotLooked,
    /// Whatever is held is dropped, not just the very tombstone.
    AnyRecord,
}

/// What a member knows of another one's commands: those of older lives, and of this one those below the number, are settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    life: u32,
    below: Id,
}

#[derive(Clone, Debug)]
enum Body {
    Paxos(Message<Log>),
    /// A command for the receiver, in the life that the sender knows of, to be proposed there.
    Forward {
        id: Id,
        to_life: u32,
        mark: Mark,
    },
    /// A record that the sender knows to be chosen.
    Copy {
        ballot: Ballot,
        log: Log,
    },
    /// It is chosen.
    Forwarded {
        id: Id,
    },
    /// Does the receiver agree that the tombstone goes?
    /// The sender says what of its own commands is settled.
    Settled {
        mark: Mark,
    },
    AskDrop {
        question: u32,
        tombstone: Ballot,
        marks: Vec<(Member, Mark)>,
    },
    Agreed {
        question: u32,
    },
    /// All have agreed. The marks are heeded by [`Fault::MarksTooLate`] alone.
    Drop {
        tombstone: Ballot,
        marks: Vec<(Member, Mark)>,
    },
}

#[derive(Clone, Debug)]
struct Wire {
    from: Member,
    to: Member,
    body: Body,
}

/// A question to all members, and who has agreed.
#[derive(Clone, Debug)]
struct Asking {
    question: u32,
    tombstone: Ballot,
    marks: Vec<(Member, Mark)>,
    agreed: BTreeSet<Member>,
}

struct Host {
    replica: Replica,
    life: u32,
    /// Commands of its own clients that are not settled.
    open: BTreeSet<Id>,
    /// Commands that wait for their turn here.
    queue: VecDeque<Id>,
    /// Forwarded commands that were taken in.
    taken_in: BTreeSet<Id>,
    marks: BTreeMap<Member, Mark>,
    asking: Option<Asking>,
    questions: u32,
}

impl Host {
    /// Whether nothing is under way here for the key.
    fn is_quiet(&self) -> bool {
        self.replica.is_idle() && self.queue.is_empty()
    }

    fn is_stale(&self, origin: Member, life: u32, id: Id) -> bool {
        let mark = self.marks.get(&origin).copied().unwrap_or_default();
        mark.life > life || mark.life == life && id < mark.below
    }

    fn learn(&mut self, origin: Member, new: Mark) {
        let mark = self.marks.entry(origin).or_default();
        if (new.life, new.below) > (mark.life, mark.below) {
            *mark = new;
        }
    }
}

#[derive(Default, Debug)]
struct Counts {
    drops: u64,
    rounds: u64,
    forwards: u64,
    stale: u64,
    acked: u64,
    reads: u64,
    crashes: u64,
    after_a_drop: u64,
}

struct World<'a> {
    random: Random,
    fault: Fault,
    members: Members,
    hosts: Vec<Host>,
    checker: Checker,
    net: Vec<Wire>,
    old: Vec<Wire>,
    loss: u64,
    away: Option<Member>,
    /// Who issued a command, and in which life.
    origins: BTreeMap<Id, (Member, u32)>,
    next_id: Id,
    /// The longest log that was dropped, and its ballot.
    dropped: (Ballot, Log),
    counts: &'a mut Counts,
}

const STEPS: usize = 900;
const OLD_MAX: usize = 64;
const BALLOTS_PER_OP: u8 = 4;

impl World<'_> {
    fn new(seed: u64, count: u8, fault: Fault, counts: &mut Counts) -> World<'_> {
        let mut random = Random(seed ^ u64::from(count) << 56 ^ 0xd509);
        let finish_first = random.percent(50);
        let setup = Setup::fair(count, finish_first);
        let host = |me| Host {
            replica: Replica::new(me, setup),
            life: 1,
            open: BTreeSet::new(),
            queue: VecDeque::new(),
            taken_in: BTreeSet::new(),
            marks: BTreeMap::new(),
            asking: None,
            questions: 0,
        };
        World {
            loss: if random.percent(40) { 0 } else { random.next() % 20 },
            random,
            fault,
            members: Members::new(count).expect("a member count"),
            hosts: (0..count).map(host).collect(),
            checker: Checker::new(count, fault == Fault::None),
            net: Vec::new(),
            old: Vec::new(),
            away: None,
            origins: BTreeMap::new(),
            next_id: 1,
            dropped: (Ballot::ZERO, Log::default()),
            counts,
        }
    }

    fn host(&mut self, me: Member) -> &mut Host {
        &mut self.hosts[usize::from(me)]
    }

    fn any(&mut self) -> Member {
        u8::try_from(self.random.below(self.hosts.len())).expect("five at most")
    }

    fn send(&mut self, from: Member, to: Member, body: Body) {
        let wire = Wire { from, to, body };
        if self.old.len() < OLD_MAX {
            self.old.push(wire.clone());
        } else if self.random.percent(10) {
            let index = self.random.below(OLD_MAX);
            self.old[index] = wire.clone();
        }
        self.net.push(wire);
    }

    fn with(&mut self, me: Member, call: impl FnOnce(&mut Replica, &mut Effects)) -> Result<(), String> {
        let mut fx = Effects::default();
        call(&mut self.host(me).replica, &mut fx);
        for (to, message) in fx.sends {
            self.send(me, to, Body::Paxos(message));
        }
        for event in fx.events {
            let event = match event {
                // Nothing is there, because the last tombstone was dropped.
                Event::ReadDone { ballot, log } if ballot.is_zero() && log.0.is_empty() => {
                    let (ballot, log) = self.dropped.clone();
                    Event::ReadDone { ballot, log }
                }
                event => event,
            };
            self.checker.event(me, &event)?;
            match event {
                Event::Acked { id, log, .. } => {
                    self.counts.acked += 1;
                    self.counts.after_a_drop += u64::from(log.0.contains(&DROPPED));
                    self.on_answered(me, id);
                }
                Event::WriteDropped { id } => drop(self.host(me).open.remove(&id)),
                Event::ReadDone { .. } => self.counts.reads += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// A command was answered at `me`.
    fn on_answered(&mut self, me: Member, id: Id) {
        let (origin, _) = self.origins[&id];
        if origin == me {
            self.host(me).open.remove(&id);
        } else {
            self.send(me, origin, Body::Forwarded { id });
        }
    }

    /// What a member says of its own commands.
    fn mark(&self, me: Member) -> Mark {
        let host = &self.hosts[usize::from(me)];
        Mark { life: host.life, below: host.open.first().copied().unwrap_or(self.next_id) }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..=49 => self.arrive(),
            50..=69 => self.disk(),
            70..=76 => self.client(),
            77..=82 => self.take_up(),
            83..=90 => self.retry(),
            91..=93 => {
                let me = self.any();
                self.copy(me);
                self.tell_settled(me);
                Ok(())
            }
            94..=97 => {
                if self.random.percent(30) {
                    self.calm()?;
                }
                let me = self.any();
                self.ask_drop(me)
            }
            98 => self.crash(),
            _ => {
                self.away = if self.random.percent(70) { None } else { Some(self.any()) };
                Ok(())
            }
        }
    }

    fn arrive(&mut self) -> Result<(), String> {
        if !self.old.is_empty() && self.loss > 0 && self.random.percent(6) {
            let index = self.random.below(self.old.len());
            let wire = self.old[index].clone();
            return self.deliver(wire);
        }
        if self.net.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.net.len());
        let repeat = self.random.percent(self.loss);
        let wire = if repeat { self.net[index].clone() } else { self.net.swap_remove(index) };
        if self.random.percent(self.loss)
            || self.away.is_some_and(|away| [wire.from, wire.to].contains(&away))
        {
            return Ok(());
        }
        self.deliver(wire)
    }

    fn deliver(&mut self, wire: Wire) -> Result<(), String> {
        let Wire { from, to, body } = wire;
        match body {
            Body::Paxos(message) => self.with(to, |replica, fx| replica.deliver(from, message, fx)),
            Body::Forward { id, to_life, mark } => {
                self.on_forward(from, to, id, to_life, mark);
                Ok(())
            }
            Body::Forwarded { id } => {
                let host = self.host(to);
                host.open.remove(&id);
                host.queue.retain(|waiting| *waiting != id);
                Ok(())
            }
            Body::Copy { ballot, log } => self.with(to, |replica, fx| replica.take_over(ballot, log, fx)),
            Body::Settled { mark } => {
                self.host(to).learn(from, mark);
                Ok(())
            }
            Body::AskDrop { question, tombstone, marks } => {
                // First: a late copy of what the tombstone remembers finds no member that takes it for new, whoever drops.
                self.take_marks(to, &marks);
                if self.agrees(to, tombstone) {
                    self.send(to, from, Body::Agreed { question });
                }
                Ok(())
            }
            Body::Agreed { question } => self.on_agreed(from, to, question),
            Body::Drop { tombstone, marks } => self.on_drop(to, tombstone, &marks),
        }
    }

    fn on_forward(&mut self, from: Member, me: Member, id: Id, to_life: u32, mark: Mark) {
        let host = self.host(me);
        if to_life != host.life {
            return;
        }
        if host.is_stale(from, mark.life, id) {
            self.counts.stale += 1;
            return;
        }
        host.learn(from, mark);
        if host.taken_in.insert(id) {
            host.queue.push_back(id);
        }
    }

    /// Whether a member agrees that a tombstone goes.
    fn agrees(&self, me: Member, tombstone: Ballot) -> bool {
        let host = &self.hosts[usize::from(me)];
        let (accepted, _, log) = host.replica.tell();
        let same = accepted == tombstone && log.is_some_and(|log| is_tombstone(&log));
        let gone = accepted.is_zero() && tombstone <= host.replica.floor();
        let quiet = host.is_quiet() || self.fault == Fault::UnderWay && !host.replica.has_unsaved();
        quiet && (same || gone)
    }

    /// A member gives the others what it knows to be chosen.
    fn copy(&mut self, me: Member) {
        let (ballot, chosen_to, log) = self.host(me).replica.tell();
        let Some(log) = log.filter(|_| ballot == chosen_to) else { return };
        for to in self.members.all().filter(|to| *to != me) {
            self.send(me, to, Body::Copy { ballot, log: log.clone() });
        }
    }

    /// For a while all is well, but for some messages that take their time, and whoever is away.
    fn calm(&mut self) -> Result<(), String> {
        let mut late = Vec::new();
        for me in self.members.all().filter(|me| self.away != Some(*me)).collect::<Vec<_>>() {
            for _ in 0..4 {
                self.host(me).replica.ballots_left = BALLOTS_PER_OP;
                if let Some(id) = self.hosts[usize::from(me)].queue.front().copied() {
                    if !self.host(me).replica.has_write() {
                        self.host(me).queue.pop_front();
                        self.with(me, |replica, fx| replica.start_write(id, fx))?;
                    }
                }
                if !self.host(me).replica.has_ballot() && self.host(me).replica.wants_ballot() {
                    self.with(me, Replica::poke)?;
                }
                self.with(me, Replica::resend)?;
                self.quiet_but(&mut late)?;
            }
            self.copy(me);
            self.tell_settled(me);
            self.quiet_but(&mut late)?;
        }
        self.net.append(&mut late);
        Ok(())
    }

    /// Everything arrives, but for a part of the commands that are on their way and of the votes.
    fn quiet_but(&mut self, late: &mut Vec<Wire>) -> Result<(), String> {
        loop {
            for me in self.members.all() {
                while self.host(me).replica.has_unsaved() {
                    self.with(me, Replica::persist)?;
                }
            }
            let Some(wire) = self.net.pop() else { return Ok(()) };
            let away = self.away.is_some_and(|away| [wire.from, wire.to].contains(&away));
            let chance = if matches!(wire.body, Body::Forward { .. }) { 60 } else { 3 };
            if self.random.percent(chance) {
                late.push(wire);
            } else if !away {
                self.deliver(wire)?;
            }
        }
    }

    /// The marks of all, if those that this member has heard of cover every command in its tombstone.
    fn marks_for(&self, me: Member, log: &Log) -> Option<Vec<(Member, Mark)>> {
        let host = &self.hosts[usize::from(me)];
        let of = |member: Member| {
            let told = host.marks.get(&member).copied().unwrap_or_default();
            (member, if member == me { self.mark(me) } else { told })
        };
        let marks: Vec<(Member, Mark)> = self.members.all().map(of).collect();
        let settled = |id: &Id| {
            let (origin, life) = self.origins[id];
            let mark = marks[usize::from(origin)].1;
            mark.life > life || mark.life == life && *id < mark.below
        };
        let all = log.0.iter().rev().take_while(|id| **id != DROPPED).all(settled);
        (all || self.fault == Fault::IdsNotLooked).then_some(marks)
    }

    fn take_marks(&mut self, me: Member, marks: &[(Member, Mark)]) {
        if self.fault != Fault::MarksNotTaken && self.fault != Fault::MarksTooLate {
            let host = self.host(me);
            marks
                .iter()
                .filter(|(member, _)| *member != me)
                .for_each(|(member, mark)| host.learn(*member, *mark));
        }
    }

    fn ask_drop(&mut self, me: Member) -> Result<(), String> {
        let (tombstone, _, log) = self.host(me).replica.tell();
        let Some(log) = log.filter(|_| self.agrees(me, tombstone)) else { return Ok(()) };
        let Some(marks) = self.marks_for(me, &log) else { return Ok(()) };
        self.counts.rounds += 1;
        let host = self.host(me);
        host.questions += 1;
        let question = host.life << 16 | host.questions;
        host.asking =
            Some(Asking { question, tombstone, marks: marks.clone(), agreed: BTreeSet::from([me]) });
        for to in self.members.all().filter(|to| *to != me) {
            self.send(me, to, Body::AskDrop { question, tombstone, marks: marks.clone() });
        }
        Ok(())
    }

    fn on_agreed(&mut self, from: Member, me: Member, question: u32) -> Result<(), String> {
        let needed = match self.fault {
            Fault::MajorityOnly => self.members.majority(),
            _ => self.members.count(),
        };
        let Some(asking) = self.host(me).asking.as_mut().filter(|asking| asking.question == question) else {
            return Ok(());
        };
        asking.agreed.insert(from);
        if asking.agreed.len() < usize::from(needed) {
            return Ok(());
        }
        let (tombstone, marks) = (asking.tombstone, asking.marks.clone());
        self.host(me).asking = None;
        for to in self.members.all().filter(|to| *to != me) {
            self.send(me, to, Body::Drop { tombstone, marks: marks.clone() });
        }
        self.on_drop(me, tombstone, &marks)
    }

    fn on_drop(&mut self, me: Member, tombstone: Ballot, marks: &[(Member, Mark)]) -> Result<(), String> {
        let (fault, dies) = (self.fault, self.random.percent(10));
        let host = self.host(me);
        if fault == Fault::MarksTooLate {
            marks
                .iter()
                .filter(|(member, _)| *member != me)
                .for_each(|(member, mark)| host.learn(*member, *mark));
        }
        let (accepted, _, log) = host.replica.tell();
        let exact = accepted == tombstone || fault == Fault::AnyRecord && !accepted.is_zero();
        let quiet = host.is_quiet() || fault == Fault::UnderWay && !host.replica.has_unsaved();
        let Some(log) = log.filter(|_| exact && quiet) else { return Ok(()) };
        if fault != Fault::FloorNotRaised {
            host.replica.raise_floor();
        }
        if dies {
            // The floor is durable, and the removal behind it in the log is not.
            return self.die(me);
        }
        host.replica.forget_record();
        self.counts.drops += 1;
        if log.0.len() > self.dropped.1 .0.len() {
            let absent = Log(log.0.iter().copied().chain([DROPPED]).collect(), Form::Whole);
            self.dropped = (accepted, log);
            self.hosts.iter_mut().for_each(|host| host.replica.absent = absent.clone());
        }
        Ok(())
    }

    /// A member tells another one what is settled.
    fn tell_settled(&mut self, me: Member) {
        let mark = self.mark(me);
        let to = self.any();
        if to != me {
            self.send(me, to, Body::Settled { mark });
        }
    }

    fn crash(&mut self) -> Result<(), String> {
        if !self.random.percent(40) {
            return Ok(());
        }
        let me = self.any();
        self.die(me)
    }

    fn die(&mut self, me: Member) -> Result<(), String> {
        self.counts.crashes += 1;
        let host = self.host(me);
        host.life += 1;
        host.open.clear();
        host.queue.clear();
        host.taken_in.clear();
        host.marks.clear();
        host.asking = None;
        self.with(me, Replica::crash)
    }

    fn disk(&mut self) -> Result<(), String> {
        let me = self.any();
        while self.host(me).replica.has_unsaved() && self.random.percent(60) {
            self.with(me, Replica::persist)?;
        }
        Ok(())
    }

    /// A client asks for something: here, by way of another member, or by both.
    fn client(&mut self) -> Result<(), String> {
        let me = self.any();
        self.host(me).replica.ballots_left = BALLOTS_PER_OP;
        if self.random.percent(30) {
            if self.host(me).replica.has_read() {
                return Ok(());
            }
            return self.with(me, Replica::start_read);
        }
        let id = self.next_id;
        self.next_id += 1;
        let life = self.host(me).life;
        self.origins.insert(id, (me, life));
        self.host(me).open.insert(id);
        let (away, here) = (self.random.percent(60), self.random.percent(60));
        let to = self.any();
        if away && to != me {
            self.counts.forwards += 1;
            let (mark, to_life) = (self.mark(me), self.hosts[usize::from(to)].life);
            self.send(me, to, Body::Forward { id, to_life, mark });
        }
        if here || !away || to == me {
            self.host(me).queue.push_back(id);
        }
        Ok(())
    }

    /// The next command that waits is taken up.
    fn take_up(&mut self) -> Result<(), String> {
        let me = self.any();
        let host = self.host(me);
        if host.replica.has_write() {
            return Ok(());
        }
        let Some(id) = host.queue.pop_front() else { return Ok(()) };
        host.replica.ballots_left = BALLOTS_PER_OP;
        self.with(me, |replica, fx| replica.start_write(id, fx))
    }

    fn retry(&mut self) -> Result<(), String> {
        let me = self.any();
        match self.random.below(10) {
            0..=4 if self.host(me).replica.wants_ballot() => self.with(me, Replica::poke),
            5 | 6 => self.with(me, Replica::resend),
            7 => self.with(me, Replica::settle),
            8 => self.with(me, |replica, _| replica.give_up_ballot()),
            9 if self.random.percent(30) => {
                // The clients' time is over: whatever becomes of their commands, nobody asks again.
                let host = self.host(me);
                let waiting: Vec<Id> = host.queue.drain(..).collect();
                host.open.retain(|id| !waiting.contains(id));
                if self.random.percent(50) {
                    self.host(me).open.clear();
                }
                self.with(me, Replica::give_up_requests)
            }
            _ => {
                self.host(me).replica.recycle();
                Ok(())
            }
        }
    }

    /// Faults stop: everything arrives, everybody answers.
    fn heal(&mut self) -> Result<(), String> {
        self.away = None;
        for round in 0..80 {
            let mut waiting = false;
            for me in self.members.all() {
                self.quiet()?;
                self.host(me).replica.ballots_left = BALLOTS_PER_OP;
                self.with(me, Replica::resend)?;
                self.quiet()?;
                self.with(me, Replica::settle)?;
                self.quiet()?;
                if self.host(me).replica.has_ballot() {
                    self.host(me).replica.give_up_ballot();
                }
                if self.host(me).replica.wants_ballot() {
                    self.with(me, Replica::poke)?;
                    self.quiet()?;
                }
                if !self.host(me).replica.has_write() {
                    if let Some(id) = self.host(me).queue.pop_front() {
                        self.with(me, |replica, fx| replica.start_write(id, fx))?;
                    }
                }
                let host = &self.hosts[usize::from(me)];
                waiting |= host.replica.has_write() || host.replica.has_read() || !host.queue.is_empty();
                if round == 50 && !host.replica.has_read() {
                    self.with(me, Replica::start_read)?;
                    waiting = true;
                }
            }
            if round > 50 && !waiting {
                return Ok(());
            }
        }
        Err("faults have stopped, and somebody still waits".to_owned())
    }

    fn quiet(&mut self) -> Result<(), String> {
        loop {
            for me in self.members.all() {
                while self.host(me).replica.has_unsaved() {
                    self.with(me, Replica::persist)?;
                }
            }
            let Some(wire) = self.net.pop() else { return Ok(()) };
            self.deliver(wire)?;
        }
    }
}

/// Every third command deletes.
fn is_tombstone(log: &Log) -> bool {
    log.0.last().is_some_and(|id| *id != DROPPED && id % 3 == 0)
}

fn schedule(seed: u64, members: u8, fault: Fault, counts: &mut Counts) -> Result<(), String> {
    let mut world = World::new(seed, members, fault, counts);
    for _ in 0..STEPS {
        world.step()?;
    }
    if fault == Fault::None {
        world.heal()?;
    }
    Ok(())
}

const SEEDS: u64 = 6_000;
const FAULT_SEEDS: u64 = 60_000;

fn run(members: u8) -> Counts {
    let wanted = std::env::var("PAXOS_MODEL_SEEDS").ok().and_then(|text| text.parse().ok());
    let mut counts = Counts::default();
    for seed in 0..wanted.unwrap_or(SEEDS) {
        if let Err(what) = schedule(seed, members, Fault::None, &mut counts) {
            panic!("seed {seed}, {members} members: {what}");
        }
    }
    println!("{members} members: {counts:?}");
    assert!(counts.drops > 100 && counts.stale > 10 && counts.after_a_drop > 100, "{counts:?}");
    assert!(counts.acked > 100 && counts.reads > 100 && counts.crashes > 100, "{counts:?}");
    counts
}

#[test]
fn three_members_drop_tombstones() {
    let counts = run(3);
    assert!(counts.rounds > counts.drops / 3 && counts.forwards > 1_000, "{counts:?}");
}

#[test]
fn five_members_drop_tombstones() {
    run(5);
}

#[test]
fn parts_of_the_rule_are_needed() {
    let planted = [
        Fault::FloorNotRaised,
        Fault::MarksNotTaken,
        Fault::MarksTooLate,
        Fault::UnderWay,
        Fault::MajorityOnly,
        Fault::IdsNotLooked,
        Fault::AnyRecord,
    ];
    for fault in planted {
        let mut counts = Counts::default();
        let found =
            (0..FAULT_SEEDS).find_map(|seed| Some((seed, schedule(seed, 3, fault, &mut counts).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{fault:?} was not found: {counts:?}"));
        println!("{fault:?}: seed {seed}: {what}");
    }
}
