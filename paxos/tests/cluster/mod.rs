//! Cores with several keys each: one log, one floor, one round counter and one epoch per core, members that crash, are cut off, lose their
//! logs and come back, copies of chosen records, tombstones that are dropped. The models of what concerns many keys at once stand
//! on it: the range promise (`grants`, run by `ranges.rs`) and the batched confirm (`confirms`, run by `confirm.rs`).
//!
//! Each key of each member is a replica of the driver, and each key has a checker of its own. Every third command deletes. That all members
//! have agreed to drop a tombstone is seen at one moment from outside; how they come to agree is the matter of `dropping.rs`.

mod chaos;
mod coming;
mod confirms;
mod fault;
mod grants;
mod heal;
pub mod plays;

use std::collections::VecDeque;

use paxos::{Ballot, Member, Members, Message};

use self::coming::Coming;
pub use self::fault::Fault;
use crate::checker::Checker;
use crate::driver::{Effects, Event, Id, Log, Replica, Setup};
use crate::model::Random;

/// Keys of the world, all of one slot.
pub const KEYS: usize = 3;

type Verdict = Result<(), String>;

/// What members say to each other.
#[derive(Clone, Debug)]
enum Body {
    Paxos {
        key: usize,
        message: Message<Log>,
    },
    /// The sender refused a message of a lower epoch.
    OtherEpoch,
    Coming(coming::Body),
    /// A record that the sender knows to be chosen.
    Copy {
        key: usize,
        ballot: Ballot,
        log: Log,
    },
    Grant(grants::Body),
    Confirm(confirms::Body),
}

#[derive(Clone, Debug)]
struct Wire {
    from: Member,
    to: Member,
    epoch: u32,
    /// The sender's incarnation.
    start: u32,
    body: Body,
}

/// What is on its way to the log, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// A change of a key's state.
    Record { key: usize, copy: bool },
    /// A promise for the whole slot.
    Slot(Ballot),
}

struct Host {
    keys: Vec<Replica>,
    log: VecDeque<Item>,
    round: u64,
    epoch: u32,
    coming: Option<Coming>,
    question: u32,
    /// Up to this round nothing is promised or accepted: a life before a loss may have promised that. Durable.
    bar: u64,
    /// The highest floor that a member was told of while it comes back.
    floor_told: Ballot,
    /// The promise for all keys, as it will be and as it is durable.
    slot: Ballot,
    slot_durable: Ballot,
    /// Who is to hear of the promise for all keys once it is durable.
    owed: Vec<grants::Owed>,
    grant: Option<grants::Grant>,
    counters: Vec<Option<confirms::Counter>>,
    asker: confirms::Asker,
    /// Digests that were read and have not left.
    digests: Vec<(Member, confirms::Body)>,
}

impl Host {
    fn new(keys: Vec<Replica>) -> Host {
        let counters = vec![None; 5];
        Host {
            keys,
            log: VecDeque::new(),
            round: 0,
            epoch: 1,
            coming: None,
            question: 0,
            bar: 0,
            floor_told: Ballot::ZERO,
            slot: Ballot::ZERO,
            slot_durable: Ballot::ZERO,
            owed: Vec::new(),
            grant: None,
            counters,
            asker: confirms::Asker::default(),
            digests: Vec::new(),
        }
    }

    fn start(&self) -> u32 {
        self.keys[0].incarnation()
    }

    /// The lowest ballot that is not refused whatever the key.
    fn bound(&self) -> Ballot {
        let barred = if self.bar == 0 { Ballot::ZERO } else { Ballot::new(self.bar + 1, 0, 0) };
        self.slot.max(barred)
    }

    /// Whether nothing is under way for the key here. A read that waits for a Confirm is not: it leaves no trace of the key.
    fn is_quiet(&self, key: usize) -> bool {
        self.keys[key].is_idle() && self.log.is_empty()
    }
}

/// What happened in all schedules together, to see that they reach what they are meant to test.
#[derive(Default, Debug)]
pub struct Counts {
    pub granted: u64,
    pub one_trip: u64,
    pub of_absent: u64,
    pub counted: u64,
    pub acked: u64,
    pub reads: u64,
    pub confirmed: u64,
    pub absent: u64,
    pub suspects: u64,
    pub overflows: u64,
    pub crashes: u64,
    pub losses: u64,
    pub returns: u64,
    pub drops: u64,
    pub copies: u64,
}

/// What is modelled in a schedule.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub members: u8,
    pub grants: bool,
    pub confirms: bool,
    pub fault: Fault,
}

pub struct World<'a> {
    random: Random,
    plan: Plan,
    members: Members,
    hosts: Vec<Host>,
    checkers: Vec<Checker>,
    net: Vec<Wire>,
    old: Vec<Wire>,
    /// What members that died had sent, and is long on its way.
    late: Vec<Wire>,
    loss: u64,
    away: Option<Member>,
    next_id: Id,
    /// The tombstone of each key that all members have agreed to drop.
    agreed: [Ballot; KEYS],
    /// The longest log of each key that was dropped, and its ballot.
    dropped: Vec<(Ballot, Log)>,
    /// The highest promise of each member for each key that no crash takes back.
    promised: Vec<[Ballot; KEYS]>,
    counts: &'a mut Counts,
}

const STEPS: usize = 700;
const OLD_MAX: usize = 64;
const BALLOTS_PER_OP: u8 = 4;

impl World<'_> {
    pub fn new(seed: u64, plan: Plan, counts: &mut Counts) -> World<'_> {
        let count = plan.members;
        let mut random = Random(seed ^ u64::from(count) << 56 ^ 0x5107);
        let finish_first = random.percent(50);
        let setup = Setup::fair(count, finish_first);
        let host = |me| Host::new((0..KEYS).map(|_| Replica::new(me, setup)).collect());
        World {
            loss: if random.percent(40) { 0 } else { random.next() % 20 },
            random,
            plan,
            members: Members::new(count).expect("a member count"),
            hosts: (0..count).map(host).collect(),
            checkers: (0..KEYS).map(|_| Checker::new(count, plan.fault == Fault::None)).collect(),
            net: Vec::new(),
            old: Vec::new(),
            late: Vec::new(),
            away: None,
            next_id: 1,
            agreed: [Ballot::ZERO; KEYS],
            dropped: vec![(Ballot::ZERO, Log::default()); KEYS],
            promised: vec![[Ballot::ZERO; KEYS]; usize::from(count)],
            counts,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.plan.fault == fault
    }

    fn host(&mut self, me: Member) -> &mut Host {
        &mut self.hosts[usize::from(me)]
    }

    fn peek(&self, me: Member) -> &Host {
        &self.hosts[usize::from(me)]
    }

    fn any(&mut self) -> Member {
        u8::try_from(self.random.below(self.hosts.len())).expect("five at most")
    }

    fn others(&self, me: Member) -> Vec<Member> {
        self.members.all().filter(|to| *to != me).collect()
    }

    fn send(&mut self, from: Member, to: Member, body: Body) {
        let (epoch, start) = (self.peek(from).epoch, self.peek(from).start());
        let wire = Wire { from, to, epoch, start, body };
        if self.old.len() < OLD_MAX {
            self.old.push(wire.clone());
        } else if self.random.percent(10) {
            let index = self.random.below(OLD_MAX);
            self.old[index] = wire.clone();
        }
        self.net.push(wire);
    }

    fn tell_all(&mut self, from: Member, body: &Body) {
        self.others(from).into_iter().for_each(|to| self.send(from, to, body.clone()));
    }

    /// Steps a replica, and carries out what comes of it.
    fn with(&mut self, me: Member, key: usize, call: impl FnOnce(&mut Replica, &mut Effects)) -> Verdict {
        let mut fx = Effects::default();
        let host = self.host(me);
        let round = host.round;
        let replica = &mut host.keys[key];
        replica.see_round(round);
        let (written, accepted) = (replica.written(), replica.state().accepted);
        call(replica, &mut fx);
        host.round = round.max(replica.round());
        let (more, now) = (replica.written() - written, replica.state().accepted);
        // What is known to be chosen as soon as it is here was copied.
        let copy = now != accepted && replica.state().is_chosen();
        (0..more).for_each(|_| host.log.push_back(Item::Record { key, copy }));
        if now != accepted && !copy && self.is(Fault::CountedBeforeDurable) {
            self.count(me, key, now);
        }
        for (to, message) in fx.sends {
            self.send(me, to, Body::Paxos { key, message });
        }
        for event in fx.events {
            self.note(me, key, event)?;
        }
        Ok(())
    }

    /// Has an event judged.
    fn note(&mut self, me: Member, key: usize, event: Event) -> Verdict {
        let event = match event {
            // Nothing is there, because the last tombstone was dropped.
            Event::ReadDone { ballot, log } if ballot.is_zero() && log.0.is_empty() => {
                let (ballot, log) = self.dropped[key].clone();
                Event::ReadDone { ballot, log }
            }
            event => event,
        };
        match &event {
            Event::Acked { .. } => self.counts.acked += 1,
            Event::ReadDone { .. } => self.counts.reads += 1,
            _ => {}
        }
        self.checkers[key].event(me, &event).map_err(|what| format!("key {key}, member {me}: {what}"))
    }

    /// The log finishes the oldest change that is under way.
    fn persist(&mut self, me: Member) -> Verdict {
        let Some(item) = self.host(me).log.pop_front() else { return Ok(()) };
        match item {
            Item::Record { key, copy } => {
                let before = self.peek(me).keys[key].durable_accepted();
                self.with(me, key, Replica::persist)?;
                let now = self.peek(me).keys[key].durable_accepted();
                if now != before && !copy && !self.is(Fault::CountedBeforeDurable) {
                    self.count(me, key, now);
                }
            }
            Item::Slot(ballot) => self.on_slot_durable(me, ballot),
        }
        self.check_promises(me)
    }

    /// What is promised for whatever key binds all of them.
    fn bind(&mut self, me: Member) {
        let spares_absent = self.is(Fault::AbsentNotCovered);
        let own_free = self.is(Fault::OwnBallotsNotBound);
        let host = self.host(me);
        let bound = host.bound();
        host.round = host.round.max(bound.round);
        for replica in &mut host.keys {
            let absent = spares_absent && replica.state().accepted.is_zero();
            let bound = if absent { Ballot::ZERO } else { bound };
            replica.bind(bound, if own_free { Ballot::ZERO } else { bound });
        }
    }

    /// No crash takes a promise back, and nothing else does.
    fn check_promises(&mut self, me: Member) -> Verdict {
        let host = &self.hosts[usize::from(me)];
        if self.plan.fault != Fault::None || host.coming.is_some() {
            return Ok(());
        }
        for (key, replica) in host.keys.iter().enumerate() {
            let absent = replica.durable_accepted().is_zero();
            let floor = if absent { replica.floor() } else { Ballot::ZERO };
            let now = replica.durable_promise().max(host.slot_durable).max(floor);
            let before = &mut self.promised[usize::from(me)][key];
            if now < *before {
                return Err(format!("member {me} has promised {before} for key {key}, and now {now}"));
            }
            *before = now;
        }
        Ok(())
    }

    fn deliver(&mut self, wire: Wire) -> Verdict {
        let Wire { from, to, epoch, start, body } = wire;
        let about_epochs = matches!(&body, Body::Coming(body) if body.is_about_epochs());
        if epoch > self.peek(to).epoch && !about_epochs {
            self.take_epoch(to, epoch)?;
        }
        if epoch < self.peek(to).epoch && !about_epochs {
            if !matches!(body, Body::OtherEpoch) {
                self.send(to, from, Body::OtherEpoch);
            }
            return Ok(());
        }
        let silent = self.peek(to).coming.is_some();
        match body {
            Body::Coming(body) => self.on_coming(from, to, epoch, body),
            Body::Grant(body) if !silent || self.is(Fault::LearnerGrants) => self.on_grant(from, to, body),
            Body::Confirm(body) if !silent || self.is(Fault::LearnerConfirms) => {
                self.on_confirm(from, to, start, body)
            }
            _ if silent => Ok(()),
            Body::Grant(_) | Body::Confirm(_) | Body::OtherEpoch => Ok(()),
            Body::Paxos { key, message } => self.on_paxos(from, to, key, message),
            Body::Copy { key, ballot, log } => {
                self.counts.copies += 1;
                self.with(to, key, |replica, fx| replica.take_over(ballot, log, fx))
            }
        }
    }

    fn on_paxos(&mut self, from: Member, to: Member, key: usize, message: Message<Log>) -> Verdict {
        self.bind(to);
        let slot = self.peek(to).slot;
        let granted = matches!(&message, Message::Accept { ballot, .. } if *ballot == slot);
        if !(granted && self.is(Fault::FloorIgnored)) {
            return self.with(to, key, |replica, fx| replica.deliver(from, message, fx));
        }
        self.with(to, key, |replica, fx| {
            let floor = replica.floor();
            replica.set_floor(Ballot::ZERO);
            replica.deliver(from, message, fx);
            replica.set_floor(floor);
        })
    }

    /// A higher epoch: what rests on answers is void.
    fn take_epoch(&mut self, me: Member, epoch: u32) -> Verdict {
        let keeps_grant = self.is(Fault::FormerLifeFree);
        let host = self.host(me);
        host.epoch = epoch;
        if !keeps_grant {
            host.grant = None;
        }
        self.void_confirms(me)?;
        (0..KEYS).try_for_each(|key| self.with(me, key, Replica::change_epoch))
    }

    /// A client asks for something.
    fn client(&mut self) -> Verdict {
        let (me, key) = (self.any(), self.random.below(KEYS));
        if self.peek(me).coming.is_some() {
            return Ok(());
        }
        self.host(me).keys[key].ballots_left = BALLOTS_PER_OP;
        let reads = if self.plan.confirms { 60 } else { 40 };
        if self.random.percent(reads) {
            if self.is_reading(me, key) {
                return Ok(());
            }
            if self.plan.confirms && self.random.percent(80) {
                return self.start_confirmed_read(me, key);
            }
            return self.with(me, key, Replica::start_read);
        }
        if self.peek(me).keys[key].has_write() {
            return Ok(());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.with(me, key, |replica, fx| replica.take_write(id, fx))?;
        self.go_on(me, key)
    }

    fn is_reading(&self, me: Member, key: usize) -> bool {
        self.peek(me).keys[key].has_read() || self.peek(me).asker.reads(key)
    }

    /// What waits for a ballot gets one: the one that was promised for all keys, if there is such.
    fn go_on(&mut self, me: Member, key: usize) -> Verdict {
        if !self.peek(me).keys[key].wants_ballot() {
            return Ok(());
        }
        self.bind(me);
        if self.plan.grants && self.write_granted(me, key)? {
            return Ok(());
        }
        self.with(me, key, Replica::poke)
    }

    fn retry(&mut self) -> Verdict {
        let (me, key) = (self.any(), self.random.below(KEYS));
        if self.peek(me).coming.is_some() {
            return Ok(());
        }
        match self.random.below(10) {
            0..=4 => self.go_on(me, key),
            5 | 6 => self.with(me, key, Replica::resend),
            7 => self.with(me, key, Replica::settle),
            8 => self.with(me, key, |replica, _| replica.give_up_ballot()),
            9 if self.random.percent(30) => self.with(me, key, Replica::give_up_requests),
            _ => self.with(me, key, |replica, _| replica.recycle()),
        }
    }

    /// A member gives the others what it knows to be chosen.
    fn copy(&mut self, me: Member) {
        let unproven = self.is(Fault::CopyUnproven);
        for key in 0..KEYS {
            let (ballot, chosen_to, log) = self.peek(me).keys[key].tell();
            if let Some(log) = log.filter(|_| ballot == chosen_to || unproven) {
                self.tell_all(me, &Body::Copy { key, ballot, log });
            }
        }
    }
}

/// Whether the last command of an entry deletes.
fn is_tombstone(log: &Log) -> bool {
    log.0.last().is_some_and(|id| *id != crate::driver::DROPPED && id % 3 == 0)
}

/// Plays one schedule.
pub fn schedule(seed: u64, plan: Plan, counts: &mut Counts) -> Verdict {
    let mut world = World::new(seed, plan, counts);
    for _ in 0..STEPS {
        world.step()?;
    }
    if plan.fault == Fault::None {
        world.heal()?;
    }
    Ok(())
}

/// Seeds in which each part that is left out must be found.
const FAULT_SEEDS: u64 = 60_000;

/// Plays schedules with each fault until one fails, and tells which. The search begins at the seed that is named, where the fault was found
/// last, so that it is short; asked for another number of seeds, it begins at 0.
pub fn hunt_all(plan: Plan, planted: &[(Fault, u64)]) {
    let asked = std::env::var_os("PAXOS_MODEL_SEEDS").is_some();
    let mut missed = Vec::new();
    for (fault, first) in planted {
        let first = if asked { 0 } else { *first };
        let (plan, mut counts) = (Plan { fault: *fault, ..plan }, Counts::default());
        let found = (first..FAULT_SEEDS)
            .chain(0..first)
            .find_map(|seed| Some((seed, schedule(seed, plan, &mut counts).err()?)));
        match found {
            Some((seed, what)) => println!("{fault:?}, {} members: seed {seed}: {what}", plan.members),
            None => missed.push((fault, counts)),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

/// Plays so many schedules of the rule as it is.
pub fn play(plan: Plan, seeds: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in 0..seeds {
        if let Err(what) = schedule(seed, plan, &mut counts) {
            panic!("seed {seed}, {plan:?}: {what}");
        }
    }
    println!("{plan:?}: {counts:?}");
    counts
}

/// How many seeds to play: as many as asked for, or the default.
pub fn seeds(default: u64) -> u64 {
    let wanted = std::env::var("PAXOS_MODEL_SEEDS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(default)
}
