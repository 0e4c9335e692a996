//! The batched confirm (docs/design/batched-confirm.md): one question for all reads of a core.
//!
//! A member, the asker, names its keys to the others, who count from then on what becomes durable for them at ballots of anybody but this
//! start of the asker, and remember the last few in a ring. A digest of what is held, read in one step with the counter, makes the two
//! abreast there. A Confirm asks for what was counted since; where nothing was, or where that is noted, the asker serves reads from
//! its own records, if they are known to be chosen and nothing newer is known of.

use std::collections::VecDeque;

use paxos::{Ballot, Member, MemberSet};

use super::{Fault, Verdict, World, KEYS};
use crate::driver::{Event, Log, Replica};

/// Which counter is meant, and where it stood: the asker's number for its set of keys, and the start of the counting member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    subscription: u32,
    start: u32,
    count: u64,
}

/// Subscriptions of one start of an asker: their numbers bear it, as those of all questions do, so that what answers a former start is not
/// taken for an answer to this one.
const OF_ONE_START: u32 = 1 << 12;

#[derive(Clone, Debug)]
pub enum Body {
    /// The sender wants these keys counted, and compared.
    Compare {
        subscription: u32,
        keys: u8,
    },
    /// What is held of one of them.
    Digest {
        place: Place,
        key: usize,
        accepted: Ballot,
    },
    /// What was counted since?
    Confirm {
        id: u32,
        place: Place,
    },
    Confirmed {
        id: u32,
        told: Told,
    },
}

/// What was counted for an asker from one place to another.
#[derive(Clone, Debug)]
pub struct Told {
    from: u64,
    to: Place,
    /// None: the ring does not reach back so far.
    records: Option<Vec<(usize, Ballot)>>,
}

/// Up to where an asker is abreast with a member.
#[derive(Clone, Copy, Debug)]
struct Abreast {
    /// What was counted from there on is noted.
    from: u64,
    at: Place,
    /// The keys whose digest was read no earlier than that, as bits.
    keys: u8,
}

/// What a member counts for an asker.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The asker's start.
    start: u32,
    subscription: u32,
    keys: u8,
    count: u64,
    ring: VecDeque<(usize, Ballot)>,
}

/// As short as can be, so that it overflows.
const RING_MAX: usize = 3;

/// Reads that one Confirm is to serve.
#[derive(Clone, Debug)]
struct Batch {
    id: u32,
    keys: Vec<usize>,
    answered: MemberSet,
}

/// Confirms that are out at a time.
const OUT_MAX: usize = 3;

/// What an asker remembers.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// Subscriptions so far, and what their numbers start from.
    number: u32,
    base: u32,
    /// The subscription at each member; 0 before the first.
    subscription: [u32; 5],
    /// Its keys, as bits.
    keys: u8,
    /// Up to where it is abreast with each member.
    abreast: [Option<Abreast>; 5],
    /// Below this ballot a record is not the newest.
    need: [Ballot; KEYS],
    /// Reads that came after the last Confirm left.
    waiting: Vec<usize>,
    /// Confirms that are out, in their order. An answer to one is an answer to those before it, too, as if their reads had waited for it.
    out: VecDeque<Batch>,
    confirms: u32,
}

impl Asker {
    /// Whether a read of the key waits here.
    pub fn reads(&self, key: usize) -> bool {
        self.waiting.contains(&key) || self.out.iter().any(|batch| batch.keys.contains(&key))
    }

    /// The own record of a key was a tombstone that all members have agreed to drop.
    pub fn on_dropped(&mut self, key: usize, tombstone: Ballot) {
        if self.need[key] <= tombstone {
            self.need[key] = Ballot::ZERO;
        }
    }

    /// Up to where it is abreast with a member.
    pub fn place(&self, member: Member) -> Option<Place> {
        self.abreast[usize::from(member)].map(|abreast| abreast.at)
    }

    /// Below this ballot a record of the key is not the newest.
    pub fn need(&self, key: usize) -> Ballot {
        self.need[key]
    }

    /// The two are not abreast any more, and compare anew: under a new number, because what is still on its way under the old one
    /// does not fit together with that.
    fn begin_anew(&mut self, member: Member) {
        let member = usize::from(member);
        self.abreast[member] = None;
        if self.keys != 0 {
            self.number += 1;
            self.subscription[member] = self.base + self.number;
        }
    }

    /// Whether reads of a key can be confirmed by a member.
    fn is_abreast(&self, member: Member, key: usize) -> bool {
        self.abreast[usize::from(member)].is_some_and(|abreast| abreast.keys & 1 << key != 0)
    }

    /// Takes note of what a member has counted: the keys that are abreast with it by then. None: that says nothing.
    pub fn on_told(&mut self, from: Member, told: &Told, fault: Fault) -> Option<u8> {
        let place = &mut self.abreast[usize::from(from)];
        let abreast = place.as_mut()?;
        if (abreast.at.subscription, abreast.at.start) != (told.to.subscription, told.to.start) {
            return None;
        }
        let grows = told.from <= abreast.at.count || fault == Fault::FormerStartAnswers;
        assert!(grows, "places of one subscription and start only grow");
        let Some(records) = &told.records else {
            self.begin_anew(from);
            return None;
        };
        abreast.at.count = abreast.at.count.max(told.to.count);
        let keys = abreast.keys;
        if fault != Fault::SuspectsForgotten {
            self.suspect(records);
        }
        Some(keys)
    }

    fn suspect(&mut self, records: &[(usize, Ballot)]) {
        records.iter().for_each(|(key, ballot)| self.need[*key] = self.need[*key].max(*ballot));
    }

    fn has(&self, key: usize) -> bool {
        self.keys & 1 << key != 0
    }
}

impl World<'_> {
    // ---- the counting member ----

    /// A vote of `me` for a key is durable. Copies are no votes: who made the record chosen has counted it.
    pub(super) fn count(&mut self, me: Member, key: usize, ballot: Ballot) {
        let fault = self.plan.fault;
        let own = ballot.node == u32::from(me) && fault == Fault::OwnNotCounted;
        if ballot.is_zero() || own {
            return;
        }
        let former = fault == Fault::FormerStartNotForeign;
        for asker in self.others(me) {
            let Some(counter) = &mut self.host(me).counters[usize::from(asker)] else { continue };
            let of_asker = ballot.node == u32::from(asker) && (ballot.incarnation == counter.start || former);
            if !of_asker && counter.keys & 1 << key != 0 {
                counter.count += 1;
                counter.ring.push_back((key, ballot));
                if counter.ring.len() > RING_MAX {
                    counter.ring.pop_front();
                }
            }
        }
    }

    pub(super) fn on_confirm(&mut self, from: Member, me: Member, start: u32, body: Body) -> Verdict {
        match body {
            Body::Compare { subscription, keys } => self.on_compare(from, me, start, (subscription, keys)),
            Body::Confirm { id, place } => self.on_question(from, me, id, place),
            Body::Digest { place, key, accepted } => self.on_digest(from, me, place, key, accepted),
            Body::Confirmed { id, told } => return self.on_confirmed(from, me, id, &told),
        }
        Ok(())
    }

    fn on_compare(&mut self, from: Member, me: Member, start: u32, (subscription, keys): (u32, u8)) {
        let host = self.host(me);
        let counter = &mut host.counters[usize::from(from)];
        let known = counter.as_ref().map(|counter| (counter.start, counter.subscription));
        if known.is_some_and(|known| known > (start, subscription)) {
            return;
        }
        if known != Some((start, subscription)) {
            *counter = Some(Counter { start, subscription, keys, count: 0, ring: VecDeque::new() });
        }
        let count = counter.as_ref().map_or(0, |counter| counter.count);
        let place = Place { subscription, start: host.start(), count };
        for key in (0..KEYS).filter(|key| keys & 1 << key != 0) {
            let accepted = self.peek(me).keys[key].durable_accepted();
            let digest = Body::Digest { place, key, accepted };
            if self.is(Fault::CounterReadLater) {
                self.host(me).digests.push((from, digest));
            } else {
                self.say(me, from, digest);
            }
        }
    }

    fn on_question(&mut self, from: Member, me: Member, id: u32, asked: Place) {
        let forgotten = self.peek(me).counters[usize::from(from)].is_none() && self.is(Fault::RestartIgnored);
        let same = Told { from: asked.count, to: asked, records: Some(Vec::new()) };
        let told = if forgotten { Some(same) } else { self.told(me, from, asked) };
        if let Some(told) = told {
            self.say(me, from, Body::Confirmed { id, told });
        }
    }

    /// What was counted for an asker since its counter stood at a place. None: it is of another start, or of other keys.
    pub(super) fn told(&self, me: Member, from: Member, asked: Place) -> Option<Told> {
        let host = self.peek(me);
        let counter = host.counters[usize::from(from)].as_ref()?;
        let same = (counter.subscription, host.start()) == (asked.subscription, asked.start);
        if !same || asked.count > counter.count {
            return None;
        }
        let missed = usize::try_from(counter.count - asked.count).expect("schedules are short");
        let kept = counter.ring.len().min(missed);
        let records = counter.ring.iter().skip(counter.ring.len() - kept).copied().collect();
        let whole = kept == missed || self.is(Fault::OverflowIgnored);
        let to = Place { count: counter.count, ..asked };
        Some(Told { from: asked.count, to, records: Some(records).filter(|_| whole) })
    }

    // ---- the asker ----

    fn on_digest(&mut self, from: Member, me: Member, place: Place, key: usize, accepted: Ballot) {
        let early = self.is(Fault::EarlyDigest);
        let asker = &mut self.host(me).asker;
        if asker.subscription[usize::from(from)] != place.subscription {
            return;
        }
        asker.suspect(&[(key, accepted)]);
        let abreast = &mut asker.abreast[usize::from(from)];
        match abreast {
            // Of two starts the one with the higher number is the newer one.
            Some(abreast) if abreast.at.start > place.start => {}
            // What was counted between an earlier digest and the place where the two began to be abreast was never told.
            Some(abreast) if abreast.at.start == place.start && place.count < abreast.from && !early => {}
            Some(abreast) if abreast.at.start == place.start => abreast.keys |= 1 << key,
            _ => *abreast = Some(Abreast { from: place.count, at: place, keys: 1 << key }),
        }
    }

    fn on_confirmed(&mut self, from: Member, me: Member, id: u32, told: &Told) -> Verdict {
        let (fault, any_answer) = (self.plan.fault, self.is(Fault::OldAnswer));
        let wanted = self.wanted();
        let asker = &mut self.host(me).asker;
        let abreast = asker.on_told(from, told, fault).is_some();
        match &told.records {
            Some(records) => self.counts.suspects += records.len() as u64,
            None => self.counts.overflows += 1,
        }
        let asker = &mut self.host(me).asker;
        for batch in asker.out.iter_mut().filter(|batch| abreast && (batch.id <= id || any_answer)) {
            batch.answered.insert(from);
        }
        loop {
            let asker = &mut self.host(me).asker;
            let Some(batch) = asker.out.pop_front_if(|batch| batch.answered.count() >= wanted) else {
                return Ok(());
            };
            batch.keys.into_iter().try_for_each(|key| self.serve(me, key, batch.answered))?;
        }
    }

    /// How many others must confirm.
    fn wanted(&self) -> u8 {
        self.members.majority() - 1 - u8::from(self.is(Fault::ConfirmedByMinority))
    }

    /// Serves a confirmed read from the own record, or has it agreed.
    fn serve(&mut self, me: Member, key: usize, answered: MemberSet) -> Verdict {
        let wanted = usize::from(self.wanted());
        let host = self.peek(me);
        let abreast = self.members.all().filter(|m| answered.contains(*m) && host.asker.is_abreast(*m, key));
        let (state, need) = (host.keys[key].state(), host.asker.need[key]);
        let unchosen = self.is(Fault::UnchosenServed);
        let chosen = state.chosen_to == state.accepted || unchosen;
        if !chosen || state.accepted < need || abreast.count() < wanted {
            return self.agree(me, key);
        }
        let log = host.keys[key].entry().cloned().unwrap_or_else(Log::default);
        self.counts.confirmed += 1;
        self.counts.absent += u64::from(state.accepted.is_zero());
        self.note(me, key, Event::ReadDone { ballot: state.accepted, log })
    }

    /// A read that no Confirm serves becomes an agreed read.
    fn agree(&mut self, me: Member, key: usize) -> Verdict {
        self.note(me, key, Event::ReadDropped)?;
        self.host(me).keys[key].ballots_left = super::BALLOTS_PER_OP;
        self.with(me, key, Replica::start_read)
    }

    /// A client asks for a key of which the asker may know that its record is the newest.
    pub(super) fn start_confirmed_read(&mut self, me: Member, key: usize) -> Verdict {
        if !self.peek(me).asker.has(key) {
            return self.with(me, key, Replica::start_read);
        }
        self.host(me).asker.waiting.push(key);
        self.note(me, key, Event::ReadStarted)
    }

    /// A member asks, compares anew, or gives up a question.
    pub(super) fn step_confirm(&mut self, me: Member) -> Verdict {
        self.say_digests(me);
        let asker = &self.peek(me).asker;
        let abreast = asker.abreast.iter().flatten().filter(|abreast| abreast.keys == asker.keys).count();
        if asker.keys == 0 || self.random.percent(2) {
            // Mostly all of them.
            let all = (1 << KEYS) - 1;
            let keys = if self.random.percent(50) { all } else { 1 + self.random.below(all) };
            self.subscribe(me, u8::try_from(keys).expect("few keys"));
            return Ok(());
        }
        if abreast + 1 < self.hosts.len() && self.random.percent(30) {
            self.compare(me);
        }
        if !self.peek(me).asker.out.is_empty() && self.random.percent(6) {
            return self.end_batch(me);
        }
        self.ask_confirm(me);
        Ok(())
    }

    /// Sends one of the Confirms that are out again, or one for what waits.
    pub(super) fn ask_confirm(&mut self, me: Member) {
        let asker = &mut self.host(me).asker;
        let new = asker.out.len() < OUT_MAX && !asker.waiting.is_empty();
        if new {
            asker.confirms += 1;
            let (id, keys) = (asker.confirms, std::mem::take(&mut asker.waiting));
            asker.out.push_back(Batch { id, keys, answered: MemberSet::EMPTY });
        }
        let out: Vec<u32> = asker.out.iter().map(|batch| batch.id).collect();
        let Some(last) = out.last().copied() else { return };
        let id = if new { last } else { out[self.random.below(out.len())] };
        for to in self.others(me) {
            if let Some(place) = self.peek(me).asker.place(to) {
                self.say(me, to, Body::Confirm { id, place });
            }
        }
    }

    fn say_digests(&mut self, me: Member) {
        for (to, mut digest) in std::mem::take(&mut self.host(me).digests) {
            let counter = &self.peek(me).counters[usize::from(to)];
            if let (Body::Digest { place, .. }, Some(counter)) = (&mut digest, counter) {
                if counter.subscription == place.subscription {
                    place.count = counter.count;
                }
            }
            self.say(me, to, digest);
        }
    }

    /// Names a set of keys, under a number of its own.
    pub(super) fn subscribe(&mut self, me: Member, keys: u8) {
        let (changed, former) = (self.is(Fault::KeysChanged), self.is(Fault::FormerStartAnswers));
        let (start, grants) = (self.peek(me).start(), self.plan.grants);
        let asker = &mut self.host(me).asker;
        if changed && asker.keys != 0 {
            asker.keys = keys;
            asker.abreast.iter_mut().flatten().for_each(|abreast| abreast.keys |= keys);
            return;
        }
        asker.base = if former { 0 } else { start * OF_ONE_START };
        asker.keys = keys;
        if !grants {
            // As an asker that has noted as many as it may: comparisons show again what is needed. A grant would be void then.
            asker.need = [Ballot::ZERO; KEYS];
        }
        self.others(me).into_iter().for_each(|member| self.host(me).asker.begin_anew(member));
        self.compare(me);
    }

    pub(super) fn compare(&mut self, me: Member) {
        for to in self.others(me) {
            let asker = &self.peek(me).asker;
            let (subscription, keys) = (asker.subscription[usize::from(to)], asker.keys);
            self.say(me, to, Body::Compare { subscription, keys });
        }
    }

    /// The oldest question was not answered in time.
    fn end_batch(&mut self, me: Member) -> Verdict {
        let keys = self.host(me).asker.out.pop_front().map_or(Vec::new(), |batch| batch.keys);
        keys.into_iter().try_for_each(|key| self.agree(me, key))
    }

    /// Whatever waits for a Confirm is agreed.
    pub(super) fn end_confirmed_reads(&mut self, me: Member) -> Verdict {
        while !self.peek(me).asker.out.is_empty() {
            self.end_batch(me)?;
        }
        let keys = std::mem::take(&mut self.host(me).asker.waiting);
        keys.into_iter().try_for_each(|key| self.agree(me, key))
    }

    /// What was compared and confirmed counts no more, and who waited for it is not answered.
    pub(super) fn void_confirms(&mut self, me: Member) -> Verdict {
        self.members.all().for_each(|member| self.host(me).asker.begin_anew(member));
        let asker = &mut self.host(me).asker;
        let mut keys = std::mem::take(&mut asker.waiting);
        keys.extend(asker.out.drain(..).flat_map(|batch| batch.keys));
        keys.into_iter().try_for_each(|key| self.note(me, key, Event::ReadDropped))
    }
}
