//! Members that lose their logs and come back by a new epoch (docs/design/repair.md section 4): random schedules with all the other
//! faults, three and five members, and planted faults that prove that each part of the rule is needed.
//!
//! The driver's replicas are as in the other model. What is added stands around them: every message bears an epoch, a higher one
//! is taken on at once and voids what rests on answers, another one is not heeded. A member without its log is silent, asks enough
//! voters for their epochs, takes a higher one, asks them under that one for what they hold, takes over the highest record when it
//! is proven chosen, has it settled when it is not, and votes from then on, in a life of its own.
//!
//! PAXOS_MODEL_SEEDS says how many seeds to run instead of the default.

use std::collections::BTreeMap;

use paxos::{Ballot, Member, Members, Message};

use crate::checker::Checker;
use crate::driver::{Effects, Event, Id, Log, Replica, Setup};
use crate::model::Random;

/// A part of the rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A member without its log votes at once.
    VoteAtOnce,
    /// The highest record is taken over whether it is chosen or not.
    TakeUnchosen,
    /// One source fewer than needed is asked.
    TooFew,
    /// A source tells what is durable while more is on its way to the disk.
    TellEarly,
    /// The epoch stays the same.
    SameEpoch,
    /// The new life issues ballots that the former one has issued.
    SameLife,
    /// The new life is not bound by promises of the former one.
    FreeOfPromises,
}

#[derive(Clone, Debug)]
enum Body {
    Paxos(Message<Log>),
    /// The sender refused a message of a lower epoch.
    OtherEpoch,
    /// A member without its log asks for epochs.
    AskEpoch {
        id: u32,
    },
    TellEpoch {
        id: u32,
    },
    /// It asks for records.
    Ask {
        id: u32,
    },
    Tell {
        id: u32,
        /// No promise of the teller from before the epoch is above this round.
        round: u64,
        accepted: Ballot,
        chosen_to: Ballot,
        log: Option<Log>,
    },
    /// It wants the receiver's record settled.
    Settle,
}

#[derive(Clone, Debug)]
struct Wire {
    from: Member,
    to: Member,
    epoch: u32,
    body: Body,
}

/// How far a member is with coming back.
#[derive(Clone, Debug)]
enum Coming {
    Epochs(BTreeMap<Member, u32>),
    Records(BTreeMap<Member, (Ballot, Ballot, Option<Log>)>),
    /// What was taken over waits for the disk.
    Saving,
}

struct Host {
    replica: Replica,
    epoch: u32,
    coming: Option<Coming>,
    question: u32,
    lives: u32,
    /// It votes for nothing up to this round: its former life may have promised that. Durable.
    bar: u64,
}

#[derive(Default, Debug)]
struct Counts {
    losses: u64,
    returns: u64,
    settles: u64,
    taken: u64,
    acked: u64,
    reads: u64,
    crashes: u64,
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
    clients: BTreeMap<Id, Member>,
    next_id: Id,
    counts: &'a mut Counts,
}

const STEPS: usize = 900;
const OLD_MAX: usize = 64;
const BALLOTS_PER_OP: u8 = 4;

impl World<'_> {
    fn new(seed: u64, count: u8, fault: Fault, counts: &mut Counts) -> World<'_> {
        let mut random = Random(seed ^ u64::from(count) << 56 ^ 0x5eed);
        let finish_first = random.percent(50);
        let setup = Setup::fair(count, finish_first);
        let host = |me| Host {
            replica: Replica::new(me, setup),
            epoch: 1,
            coming: None,
            question: 0,
            lives: 1,
            bar: 0,
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
            clients: BTreeMap::new(),
            next_id: 1,
            counts,
        }
    }

    fn host(&mut self, me: Member) -> &mut Host {
        &mut self.hosts[usize::from(me)]
    }

    fn any(&mut self) -> Member {
        u8::try_from(self.random.below(self.hosts.len())).expect("five at most")
    }

    /// How many voters must have answered.
    fn sources(&self) -> usize {
        let enough = usize::from(self.members.count() - self.members.majority() + 1);
        enough - usize::from(self.fault == Fault::TooFew)
    }

    fn send(&mut self, from: Member, to: Member, body: Body) {
        let epoch = self.hosts[usize::from(from)].epoch;
        let wire = Wire { from, to, epoch, body };
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
        for event in &fx.events {
            self.checker.event(me, event)?;
            match event {
                Event::Acked { id, .. } => {
                    self.counts.acked += 1;
                    self.clients.remove(id);
                }
                Event::ReadDone { .. } => self.counts.reads += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..=54 => self.arrive(),
            55..=76 => self.disk(),
            77..=86 => self.client(),
            87..=93 => self.retry(),
            94..=96 => self.come_back(),
            97 => self.crash(),
            _ => self.lose(),
        }
    }

    fn arrive(&mut self) -> Result<(), String> {
        if !self.old.is_empty() && self.loss > 0 && self.random.percent(4) {
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
        if self.random.percent(self.loss) {
            return Ok(());
        }
        self.deliver(wire)
    }

    fn deliver(&mut self, wire: Wire) -> Result<(), String> {
        let Wire { from, to, epoch, body } = wire;
        let epochs_alone = matches!(body, Body::AskEpoch { .. } | Body::TellEpoch { .. });
        if epoch > self.host(to).epoch && !epochs_alone {
            self.host(to).epoch = epoch;
            self.with(to, Replica::change_epoch)?;
        }
        if epoch < self.host(to).epoch && !epochs_alone {
            if !matches!(body, Body::OtherEpoch) {
                self.send(to, from, Body::OtherEpoch);
            }
            return Ok(());
        }
        let silent = self.host(to).coming.is_some();
        match body {
            Body::Tell { id, round, accepted, chosen_to, log } => {
                self.raise_bar(to, id, round);
                self.on_tell(from, to, id, (accepted, chosen_to, log))
            }
            Body::TellEpoch { id } => {
                self.on_epoch(from, to, id, epoch);
                Ok(())
            }
            _ if silent => Ok(()),
            Body::Paxos(
                Message::Prepare { ballot, .. }
                | Message::Accept { ballot, .. }
                | Message::Restamp { ballot, .. },
            ) if ballot.round <= self.host(to).bar => {
                let promised = Ballot::new(self.host(to).bar, u32::MAX, u32::MAX);
                let [accepted, chosen_to, floor] = [Ballot::ZERO; 3];
                let refusal = Message::Reject { ballot, promised, accepted, chosen_to, floor };
                self.send(to, from, Body::Paxos(refusal));
                Ok(())
            }
            Body::Paxos(message) => self.with(to, |replica, fx| replica.deliver(from, message, fx)),
            Body::AskEpoch { id } => {
                self.send(to, from, Body::TellEpoch { id });
                Ok(())
            }
            // What was accepted under an older epoch, and is not durable yet, would be a vote that the asker never heard of.
            Body::Ask { .. } if self.host(to).replica.has_unsaved() && self.fault != Fault::TellEarly => {
                Ok(())
            }
            Body::Ask { id } => {
                let round = self.host(to).replica.round();
                let (accepted, chosen_to, log) = self.host(to).replica.tell();
                self.send(to, from, Body::Tell { id, round, accepted, chosen_to, log });
                Ok(())
            }
            Body::Settle if !self.host(to).replica.has_read() => {
                self.counts.settles += 1;
                self.host(to).replica.ballots_left = BALLOTS_PER_OP;
                self.with(to, Replica::start_read)
            }
            Body::Settle | Body::OtherEpoch => Ok(()),
        }
    }

    fn on_epoch(&mut self, from: Member, me: Member, id: u32, epoch: u32) {
        let enough = self.sources();
        let same = self.fault == Fault::SameEpoch;
        let host = self.host(me);
        let Some(Coming::Epochs(told)) = &mut host.coming else { return };
        if host.question != id {
            return;
        }
        told.insert(from, epoch);
        if told.len() >= enough {
            let highest = told.values().copied().max().unwrap_or(0).max(host.epoch);
            host.epoch = if same { highest } else { highest + 1 };
            host.coming = Some(Coming::Records(BTreeMap::new()));
            self.ask(me);
        }
    }

    /// A member is told what may have been promised under older epochs. Of the members that its former life made a promise with
    /// to a proposer that has not heard of the epoch, at least one is among those that it hears.
    fn raise_bar(&mut self, me: Member, id: u32, round: u64) {
        let free = self.fault == Fault::FreeOfPromises;
        let host = self.host(me);
        if host.question == id && !free {
            host.bar = host.bar.max(round);
            host.replica.see_round(round);
        }
    }

    fn on_tell(
        &mut self,
        from: Member,
        me: Member,
        id: u32,
        told: (Ballot, Ballot, Option<Log>),
    ) -> Result<(), String> {
        let (enough, majority) = (self.sources(), usize::from(self.members.majority()));
        let unchosen = self.fault == Fault::TakeUnchosen;
        let host = self.host(me);
        let Some(Coming::Records(records)) = &mut host.coming else { return Ok(()) };
        if host.question != id {
            return Ok(());
        }
        records.insert(from, told);
        if records.len() < enough {
            return Ok(());
        }
        let top = records.values().map(|told| told.0).max().unwrap_or(Ballot::ZERO);
        let holders = records.iter().filter(|(_, told)| told.0 == top);
        let proven = holders.clone().count() >= majority || records.values().any(|told| told.1 == top);
        let holder = holders.clone().map(|(member, _)| *member).next();
        let log = holders.filter_map(|(_, told)| told.2.clone()).next();
        match (log, holder) {
            (Some(log), _) if proven || unchosen => {
                host.coming = Some(Coming::Saving);
                self.counts.taken += 1;
                self.with(me, |replica, fx| replica.take_over(top, log, fx))
            }
            (Some(_), Some(holder)) => {
                self.send(me, holder, Body::Settle);
                Ok(())
            }
            _ => {
                host.coming = Some(Coming::Saving);
                Ok(())
            }
        }
    }

    /// Asks all others for their records, under the epoch taken.
    fn ask(&mut self, me: Member) {
        let host = self.host(me);
        host.question += 1;
        let id = host.question;
        let body = match &mut host.coming {
            Some(Coming::Epochs(told)) => {
                told.clear();
                Body::AskEpoch { id }
            }
            Some(Coming::Records(told)) => {
                told.clear();
                Body::Ask { id }
            }
            _ => return,
        };
        for to in self.members.all().filter(|to| *to != me) {
            self.send(me, to, body.clone());
        }
    }

    /// A member that comes back goes on.
    fn come_back(&mut self) -> Result<(), String> {
        let me = self.any();
        let (same_life, fault) = (self.fault == Fault::SameLife, self.fault);
        let host = self.host(me);
        match &host.coming {
            Some(Coming::Saving) if !host.replica.has_unsaved() => {
                host.lives += 1;
                let life = if same_life { 0 } else { host.epoch * 10_000 };
                host.coming = None;
                if life > 0 && fault != Fault::SameEpoch {
                    host.replica.start_life(life);
                }
                self.counts.returns += 1;
            }
            Some(_) => self.ask(me),
            None => {}
        }
        Ok(())
    }

    fn lose(&mut self) -> Result<(), String> {
        let away = self.hosts.iter().filter(|host| host.coming.is_some()).count();
        if away + 1 >= usize::from(self.members.majority()) || !self.random.percent(12) {
            return Ok(());
        }
        let me = self.any();
        if self.host(me).coming.is_some() {
            return Ok(());
        }
        self.counts.losses += 1;
        let at_once = self.fault == Fault::VoteAtOnce;
        let host = self.host(me);
        (host.epoch, host.bar) = (1, 0);
        host.coming = if at_once { None } else { Some(Coming::Epochs(BTreeMap::new())) };
        self.clients.retain(|_, at| *at != me);
        self.with(me, Replica::lose_log)?;
        self.ask(me);
        Ok(())
    }

    fn crash(&mut self) -> Result<(), String> {
        if !self.random.percent(15) {
            return Ok(());
        }
        let me = self.any();
        self.counts.crashes += 1;
        self.clients.retain(|_, at| *at != me);
        // Who comes back keeps its epoch, which is durable, and what it has taken over.
        let host = self.host(me);
        if matches!(host.coming, Some(Coming::Saving)) {
            host.coming = Some(Coming::Records(BTreeMap::new()));
        }
        self.with(me, Replica::crash)
    }

    fn disk(&mut self) -> Result<(), String> {
        let me = self.any();
        while self.host(me).replica.has_unsaved() && self.random.percent(60) {
            self.with(me, Replica::persist)?;
        }
        Ok(())
    }

    fn client(&mut self) -> Result<(), String> {
        let at = self.any();
        if self.host(at).coming.is_some() {
            return Ok(());
        }
        self.host(at).replica.ballots_left = BALLOTS_PER_OP;
        let (writes, reads) = (self.host(at).replica.has_write(), self.host(at).replica.has_read());
        if self.random.percent(40) && !reads {
            return self.with(at, Replica::start_read);
        }
        if writes {
            return Ok(());
        }
        // Now and then a write that is under way, or was given up, is tried elsewhere.
        let open: Vec<Id> = self.clients.keys().copied().collect();
        let id = if !open.is_empty() && self.random.percent(20) {
            open[self.random.below(open.len())]
        } else {
            self.next_id += 1;
            self.next_id
        };
        self.clients.insert(id, at);
        self.with(at, |replica, fx| replica.start_write(id, fx))
    }

    fn retry(&mut self) -> Result<(), String> {
        let me = self.any();
        if self.host(me).coming.is_some() {
            return Ok(());
        }
        match self.random.below(10) {
            0..=4 if self.host(me).replica.wants_ballot() => self.with(me, Replica::poke),
            5 | 6 => self.with(me, Replica::resend),
            7 => self.with(me, Replica::settle),
            8 => self.with(me, |replica, _| replica.give_up_ballot()),
            9 if self.random.percent(30) => self.with(me, Replica::give_up_requests),
            _ => {
                self.host(me).replica.recycle();
                Ok(())
            }
        }
    }

    /// Faults stop: everything arrives, and in the end everybody is a voter and answers.
    fn heal(&mut self) -> Result<(), String> {
        for round in 0..60 {
            let mut waiting = false;
            for me in self.members.all() {
                self.quiet()?;
                self.host(me).replica.ballots_left = BALLOTS_PER_OP;
                if self.host(me).coming.is_some() {
                    waiting = true;
                    let host = self.host(me);
                    match &host.coming {
                        Some(Coming::Saving) => {
                            host.coming = None;
                            host.replica.start_life(host.epoch * 10_000);
                        }
                        _ => self.ask(me),
                    }
                    continue;
                }
                self.with(me, Replica::resend)?;
                self.quiet()?;
                self.with(me, Replica::settle)?;
                self.quiet()?;
                if self.host(me).replica.has_ballot() {
                    // Refused by some and unheard by others: it is given up, as a host does after a while.
                    self.host(me).replica.give_up_ballot();
                }
                if self.host(me).replica.wants_ballot() {
                    self.with(me, Replica::poke)?;
                    self.quiet()?;
                }
                let replica = &self.host(me).replica;
                waiting |= replica.has_write() || replica.has_read();
                if round == 30 && !replica.has_read() {
                    self.with(me, Replica::start_read)?;
                    waiting = true;
                }
            }
            if round > 30 && !waiting {
                return Ok(());
            }
        }
        let state = |host: &Host| {
            let Host { replica, epoch, coming, .. } = host;
            let waits = (replica.has_write(), replica.has_read(), replica.has_ballot());
            format!("epoch {epoch}, {coming:?}, write, read, ballot {waits:?}")
        };
        let states: Vec<String> = self.hosts.iter().map(state).collect();
        Err(format!("faults have stopped, and somebody still waits: {states:#?}"))
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
    counts
}

#[test]
fn three_members_lose_their_logs_and_come_back() {
    let counts = run(3);
    assert!(counts.returns > 100 && counts.taken > 100 && counts.settles > 100, "{counts:?}");
    assert!(counts.acked > counts.losses && counts.reads > 0 && counts.crashes > 0, "{counts:?}");
}

#[test]
fn five_members_lose_their_logs_and_come_back() {
    let counts = run(5);
    assert!(counts.returns > 100 && counts.taken > 100 && counts.settles > 100, "{counts:?}");
}

#[test]
fn parts_of_the_rule_are_needed() {
    let planted = [
        (Fault::VoteAtOnce, 3),
        (Fault::TakeUnchosen, 3),
        (Fault::TooFew, 3),
        (Fault::TellEarly, 3),
        (Fault::SameEpoch, 3),
        (Fault::SameLife, 3),
    ];
    for (fault, members) in planted {
        let mut counts = Counts::default();
        let found = (0..FAULT_SEEDS)
            .find_map(|seed| Some((seed, schedule(seed, members, fault, &mut counts).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{fault:?} was not found: {counts:?}"));
        println!("{fault:?}, {members} members: seed {seed}: {what}");
    }
}

/// Has the mail among these members delivered and everything written; what goes to or comes from others is lost, and without
/// `accepts` so are those.
fn among(world: &mut World<'_>, members: &[Member], accepts: bool) -> Result<(), String> {
    loop {
        for me in members {
            while world.host(*me).replica.has_unsaved() {
                world.with(*me, Replica::persist)?;
            }
        }
        let Some(wire) = world.net.pop() else { return Ok(()) };
        let lost = !accepts && matches!(wire.body, Body::Paxos(Message::Accept { .. }));
        if members.contains(&wire.from) && members.contains(&wire.to) && !lost {
            world.deliver(wire)?;
        }
    }
}

/// Of five, 3 has the promises of 0 and 1 and accepts its own entry alone. 0 loses its log and comes back by what 1, 2 and 4 tell it,
/// who have never heard of that entry. If it is not bound by what it promised, 2 can have another entry chosen below with 0 and 4,
/// and the one of 3 undoes it later.
fn a_promise_outlives_its_log(fault: Fault) -> Result<(), String> {
    let mut counts = Counts::default();
    let mut world = World::new(0, 5, fault, &mut counts);
    (0..5).for_each(|me| world.host(me).replica.ballots_left = BALLOTS_PER_OP);
    world.with(3, |replica, fx| replica.start_write(1, fx))?;
    among(&mut world, &[0, 1, 3], false)?;
    world.host(0).coming = Some(Coming::Epochs(BTreeMap::new()));
    world.with(0, Replica::lose_log)?;
    world.ask(0);
    among(&mut world, &[0, 1, 2, 4], true)?;
    assert!(matches!(world.host(0).coming, Some(Coming::Saving)), "three voters have told what they hold");
    world.host(0).coming = None;
    world.host(0).replica.start_life(20_000);
    world.with(2, |replica, fx| replica.start_write(2, fx))?;
    among(&mut world, &[0, 2, 4], true)?;
    world.heal()
}

#[test]
fn a_promise_of_a_former_life_binds_the_new_one() {
    assert_eq!(a_promise_outlives_its_log(Fault::None), Ok(()));
    let what = a_promise_outlives_its_log(Fault::FreeOfPromises).expect_err("the bar is needed");
    assert!(what.contains("undoes"), "{what}");
}
