//! The range promise (docs/design/range-promise.md): phase 1 for all keys of a slot at once.
//!
//! A proposer asks all others for a promise that binds every key of the slot, those included of which nothing is held. Who has made it
//! durable says so, and lists from then on what it holds, key by key, at any time later; where the two are abreast by a counter
//! (`confirms`), what was counted since stands for the lists. With a majority that has promised, this member among them, and of which
//! none has told of a newer record than the own one, phase 1 is done for the key.

use std::collections::BTreeMap;

use paxos::{Ballot, Member, MemberSet};

use super::confirms::{Place, Told};
use super::{Fault, Verdict, World, KEYS};

/// An answer that waits until a promise is durable.
#[derive(Clone, Debug)]
pub struct Owed {
    to: Member,
    ballot: Ballot,
    place: Option<Place>,
    early: Vec<Ballot>,
    since: Option<Told>,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// Asks for the promise, and for what was counted since.
    Prepare {
        ballot: Ballot,
        place: Option<Place>,
    },
    /// It is durable, and this was counted until then. What was held when the question came is heeded by [`Fault::ListedEarly`] alone.
    Granted {
        ballot: Ballot,
        early: Vec<Ballot>,
        since: Option<Told>,
    },
    /// A higher one was promised.
    Refused {
        promised: Ballot,
    },
    /// What does the receiver hold of a key, now that it has promised?
    List {
        ballot: Ballot,
        key: usize,
    },
    Listed {
        ballot: Ballot,
        key: usize,
        accepted: Ballot,
    },
}

/// A ballot for all keys, and who has promised it.
#[derive(Clone, Debug)]
pub struct Grant {
    ballot: Ballot,
    granted: MemberSet,
    /// What a member held of a key at some time after its promise.
    listed: BTreeMap<(Member, usize), Ballot>,
    /// Who has promised and told what it had counted by then: the keys that were counted, as bits.
    counted: BTreeMap<Member, u8>,
}

impl World<'_> {
    /// A proposer goes on with its ballot for all keys, or asks for a new one.
    pub(super) fn step_grant(&mut self, me: Member) -> Verdict {
        let chance = if self.peek(me).grant.is_none() { 30 } else { 4 };
        if self.random.percent(chance) {
            self.bind(me);
            self.ask_grant(me);
            return Ok(());
        }
        let Some(grant) = self.peek(me).grant.clone() else { return Ok(()) };
        let ballot = grant.ballot;
        for to in self.others(me) {
            if !grant.granted.contains(to) {
                self.ask_slot(me, to, ballot);
                continue;
            }
            for key in (0..KEYS).filter(|key| !grant.listed.contains_key(&(to, *key))) {
                self.send(me, to, super::Body::Grant(Body::List { ballot, key }));
            }
        }
        Ok(())
    }

    pub(super) fn ask_grant(&mut self, me: Member) {
        let host = self.host(me);
        let ballot = Ballot::new(host.round + 1, u32::from(me), host.start());
        host.round = ballot.round;
        host.grant = Some(Grant {
            ballot,
            granted: MemberSet::EMPTY,
            listed: BTreeMap::new(),
            counted: BTreeMap::new(),
        });
        self.write_slot(me, ballot);
        self.others(me).into_iter().for_each(|to| self.ask_slot(me, to, ballot));
    }

    fn ask_slot(&mut self, me: Member, to: Member, ballot: Ballot) {
        let place = self.peek(me).asker.place(to);
        self.send(me, to, super::Body::Grant(Body::Prepare { ballot, place }));
    }

    pub(super) fn on_grant(&mut self, from: Member, me: Member, body: Body) -> Verdict {
        match body {
            Body::Prepare { ballot, place } => self.on_slot_prepare(from, me, ballot, place),
            Body::Refused { promised } => {
                let host = self.host(me);
                host.round = host.round.max(promised.round);
            }
            Body::Granted { ballot, early, since } => self.on_granted(from, me, ballot, early, since),
            Body::List { ballot, key } => {
                let early = self.is(Fault::GrantedEarly);
                let host = self.peek(me);
                if host.slot_durable >= ballot || early && host.slot >= ballot {
                    let accepted = host.keys[key].durable_accepted();
                    self.send(me, from, super::Body::Grant(Body::Listed { ballot, key, accepted }));
                }
            }
            Body::Listed { ballot, key, accepted } => {
                if let Some(grant) = self.host(me).grant.as_mut().filter(|grant| grant.ballot == ballot) {
                    grant.granted.insert(from);
                    grant.listed.entry((from, key)).or_insert(accepted);
                }
            }
        }
        Ok(())
    }

    fn on_granted(
        &mut self,
        from: Member,
        me: Member,
        ballot: Ballot,
        early: Vec<Ballot>,
        since: Option<Told>,
    ) {
        let (listed_early, fault) = (self.is(Fault::ListedEarly), self.plan.fault);
        let host = self.host(me);
        let Some(grant) = host.grant.as_mut().filter(|grant| grant.ballot == ballot) else { return };
        grant.granted.insert(from);
        if listed_early {
            let early = early.into_iter().enumerate();
            grant.listed.extend(early.map(|(key, accepted)| ((from, key), accepted)));
        }
        let keys = since.and_then(|told| host.asker.on_told(from, &told, fault));
        grant.counted.extend(keys.map(|keys| (from, keys)));
        self.counts.counted += u64::from(keys.is_some());
        for key in 0..KEYS {
            self.send(me, from, super::Body::Grant(Body::List { ballot, key }));
        }
    }

    fn on_slot_prepare(&mut self, from: Member, me: Member, ballot: Ballot, place: Option<Place>) {
        let lowered = self.is(Fault::SlotPromiseLowered);
        let host = self.host(me);
        host.round = host.round.max(ballot.round);
        let owed = Owed { to: from, ballot, place, early: self.durable_records(me), since: None };
        let host = self.host(me);
        if ballot == host.slot_durable {
            return self.say_granted(me, owed);
        }
        if ballot < host.bound() && !lowered {
            let promised = host.bound();
            return self.send(me, from, super::Body::Grant(Body::Refused { promised }));
        }
        let since = place.and_then(|place| self.told(me, from, place));
        self.host(me).owed.push(Owed { since, ..owed.clone() });
        self.write_slot(me, ballot);
        if self.is(Fault::GrantedEarly) {
            self.say_granted(me, owed);
        }
    }

    fn durable_records(&self, me: Member) -> Vec<Ballot> {
        self.peek(me).keys.iter().map(|replica| replica.durable_accepted()).collect()
    }

    fn say_granted(&mut self, me: Member, owed: Owed) {
        let Owed { to, ballot, place, early, since } = owed;
        let now = place.and_then(|place| self.told(me, to, place));
        let since = if self.is(Fault::CountedEarly) { since } else { now };
        self.send(me, to, super::Body::Grant(Body::Granted { ballot, early, since }));
    }

    /// A promise for all keys, and everything that was accepted before it, is durable.
    pub(super) fn on_slot_durable(&mut self, me: Member, ballot: Ballot) {
        self.counts.granted += 1;
        let host = self.host(me);
        host.slot_durable = ballot;
        if let Some(grant) = host.grant.as_mut().filter(|grant| grant.ballot == ballot) {
            grant.granted.insert(me);
        }
        let (owed, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut host.owed).into_iter().partition(|owed| owed.ballot == ballot);
        host.owed = kept;
        owed.into_iter().for_each(|owed| self.say_granted(me, owed));
    }

    /// Whether phase 1 is done for a key at the ballot that was promised for all.
    fn is_covered(&self, me: Member, key: usize, grant: &Grant) -> bool {
        let own = self.peek(me).keys[key].state().accepted;
        let (newer, asker) = (self.is(Fault::NewerIgnored), &self.peek(me).asker);
        let covers = |member: &Member| {
            let counted = grant.counted.get(member).is_some_and(|keys| keys & 1 << key != 0);
            let told = match grant.listed.get(&(*member, key)) {
                Some(accepted) => *accepted <= own || newer,
                None => *member == me || counted && (asker.need(key) <= own || newer),
            };
            grant.granted.contains(*member) && told
        };
        let wanted = self.members.majority() - u8::from(self.is(Fault::GrantedByMinority));
        let granted_here = grant.granted.contains(me) || self.is(Fault::UsedAfterRestart);
        granted_here && self.members.all().filter(covers).count() >= usize::from(wanted)
    }

    /// Has the write that waits for a key accepted at once, if phase 1 is done for it. False: nothing was done.
    pub(super) fn write_granted(&mut self, me: Member, key: usize) -> Result<bool, String> {
        let Some(grant) = self.peek(me).grant.clone() else { return Ok(false) };
        if !self.is_covered(me, key, &grant) {
            return Ok(false);
        }
        let (ballot, ignored) = (grant.ballot, self.is(Fault::FloorIgnored));
        let absent = self.peek(me).keys[key].state().accepted.is_zero();
        let mut left = false;
        self.with(me, key, |replica, fx| {
            let floor = replica.floor();
            if ignored {
                replica.set_floor(Ballot::ZERO);
            }
            left = replica.write_at(ballot, fx);
            replica.set_floor(floor);
        })?;
        self.counts.one_trip += u64::from(left);
        self.counts.of_absent += u64::from(left && absent);
        Ok(left)
    }
}
