//! What happens to the members of the world: the network, the disk, deaths, losses, cuts, tombstones that go.

use paxos::{Ballot, Member};

use super::coming::Coming;
use super::{confirms, is_tombstone, Body, Fault, Item, Verdict, Wire, World, KEYS};
use crate::driver::{Form, Log, Replica, DROPPED};

impl World<'_> {
    pub(super) fn step(&mut self) -> Verdict {
        match self.random.below(100) {
            0..=39 => self.arrive(),
            40..=54 => self.disk(),
            55..=66 => self.client(),
            67..=74 => self.retry(),
            75..=91 => {
                let me = self.any();
                self.features(me)
            }
            92 | 93 => {
                let me = self.any();
                if self.peek(me).coming.is_none() {
                    self.copy(me);
                }
                Ok(())
            }
            94 | 95 => self.drop_tombstones(),
            96 => {
                let me = self.any();
                self.come_back(me)
            }
            97 => self.crash(),
            98 => self.lose(),
            _ => {
                self.away = if self.random.percent(60) { None } else { Some(self.any()) };
                Ok(())
            }
        }
    }

    /// What is modelled beside single keys goes on by itself.
    pub(super) fn features(&mut self, me: Member) -> Verdict {
        if self.peek(me).coming.is_some() {
            return Ok(());
        }
        match (self.plan.grants, self.plan.confirms) {
            (true, true) if self.random.percent(50) => self.step_grant(me),
            (true, false) => self.step_grant(me),
            _ => self.step_confirm(me),
        }
    }

    /// Some of what a member had sent before it died turns up long after.
    fn delay(&mut self, me: Member) {
        if self.random.percent(50) {
            let (late, net): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.net).into_iter().partition(|wire| wire.from == me);
            self.net = net;
            self.late.extend(late);
        }
    }

    fn arrive(&mut self) -> Verdict {
        if !self.late.is_empty() && self.random.percent(2) {
            let index = self.random.below(self.late.len());
            let wire = self.late.swap_remove(index);
            return self.deliver(wire);
        }
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
        let away = self.is_away(&wire);
        if self.random.percent(self.loss) || away {
            return Ok(());
        }
        self.deliver(wire)
    }

    fn is_away(&self, wire: &Wire) -> bool {
        self.away.is_some_and(|away| [wire.from, wire.to].contains(&away))
    }

    fn disk(&mut self) -> Verdict {
        let me = self.any();
        while !self.peek(me).log.is_empty() && self.random.percent(70) {
            self.persist(me)?;
        }
        Ok(())
    }

    fn crash(&mut self) -> Verdict {
        if !self.random.percent(50) {
            return Ok(());
        }
        let me = self.any();
        self.die(me)
    }

    /// Power loss and restart.
    pub(super) fn die(&mut self, me: Member) -> Verdict {
        self.counts.crashes += 1;
        self.delay(me);
        let keeps_grant = self.is(Fault::UsedAfterRestart);
        self.void_confirms(me)?;
        for key in 0..KEYS {
            self.with(me, key, Replica::crash)?;
        }
        let host = self.host(me);
        host.log.clear();
        host.owed.clear();
        host.digests.clear();
        host.slot = host.slot_durable;
        if !keeps_grant {
            host.grant = None;
        }
        host.counters.iter_mut().for_each(|counter| *counter = None);
        host.asker = confirms::Asker::default();
        host.round = host.keys.iter().map(Replica::round).max().unwrap_or(0);
        // Who comes back keeps its epoch, which is durable, and what it has taken over.
        if matches!(host.coming, Some(Coming::Saving)) {
            host.coming = Some(Coming::records());
        }
        self.bind(me);
        self.check_promises(me)
    }

    fn lose(&mut self) -> Verdict {
        let away = self.hosts.iter().filter(|host| host.coming.is_some()).count();
        if away + 1 >= usize::from(self.members.majority()) || !self.random.percent(25) {
            return Ok(());
        }
        let me = self.any();
        if self.peek(me).coming.is_some() {
            return Ok(());
        }
        self.lose_log(me)
    }

    pub(super) fn lose_log(&mut self, me: Member) -> Verdict {
        self.counts.losses += 1;
        self.delay(me);
        self.void_confirms(me)?;
        for key in 0..KEYS {
            self.with(me, key, Replica::lose_log)?;
        }
        self.promised[usize::from(me)] = [Ballot::ZERO; KEYS];
        let host = self.host(me);
        host.log.clear();
        host.owed.clear();
        host.digests.clear();
        (host.grant, host.round, host.floor_told) = (None, 0, Ballot::ZERO);
        (host.slot, host.slot_durable, host.bar, host.epoch) = (Ballot::ZERO, Ballot::ZERO, 0, 1);
        host.counters.iter_mut().for_each(|counter| *counter = None);
        host.asker = confirms::Asker::default();
        host.coming = Some(Coming::epochs());
        self.bind(me);
        self.ask(me);
        Ok(())
    }

    /// All members agree that a tombstone goes, or one of them drops what was agreed on.
    fn drop_tombstones(&mut self) -> Verdict {
        if self.random.percent(25) {
            self.calm()?;
        }
        for key in 0..KEYS {
            let first = self.hosts[0].keys[key].durable_accepted();
            let dead = self.hosts[0].keys[key].entry().is_some_and(is_tombstone);
            let same = |host: &super::Host| {
                host.coming.is_none() && host.is_quiet(key) && host.keys[key].durable_accepted() == first
            };
            if dead && self.hosts.iter().all(same) {
                self.agreed[key] = first;
            }
            let me = self.any();
            if self.random.percent(70) {
                self.drop_at(me, key)?;
            }
        }
        Ok(())
    }

    fn drop_at(&mut self, me: Member, key: usize) -> Verdict {
        let (tombstone, dies) = (self.agreed[key], self.random.percent(10));
        let host = self.host(me);
        let exact = host.keys[key].durable_accepted() == tombstone && !tombstone.is_zero();
        if !exact || !host.is_quiet(key) || host.coming.is_some() {
            return Ok(());
        }
        // The key's own promise: that of the slot is not forgotten with the key.
        let floor = host.keys[key].floor().max(host.keys[key].durable_promise());
        host.keys.iter_mut().for_each(|replica| replica.set_floor(floor));
        if dies {
            // The floor is durable, and the removal behind it in the log is not.
            return self.die(me);
        }
        let log = host.keys[key].entry().cloned().unwrap_or_default();
        host.keys[key].forget_record();
        host.asker.on_dropped(key, tombstone);
        self.counts.drops += 1;
        if log.0.len() > self.dropped[key].1 .0.len() {
            let absent = Log(log.0.iter().copied().chain([DROPPED]).collect(), Form::Whole);
            self.dropped[key] = (tombstone, log);
            self.hosts.iter_mut().for_each(|host| host.keys[key].absent = absent.clone());
        }
        self.check_promises(me)
    }

    /// For a while all is well, but for some messages that take their time, and whoever is away.
    fn calm(&mut self) -> Verdict {
        let mut late = Vec::new();
        for me in self.members.all().filter(|me| self.away != Some(*me)).collect::<Vec<_>>() {
            if self.peek(me).coming.is_some() {
                self.come_back(me)?;
                continue;
            }
            for key in 0..KEYS {
                self.urge(me, key)?;
            }
            self.quiet_but(&mut late)?;
            self.copy(me);
            self.quiet_but(&mut late)?;
        }
        self.net.append(&mut late);
        Ok(())
    }

    /// What a client waits for is asked for again.
    pub(super) fn urge(&mut self, me: Member, key: usize) -> Verdict {
        self.host(me).keys[key].ballots_left = super::BALLOTS_PER_OP;
        if !self.peek(me).keys[key].has_ballot() {
            self.go_on(me, key)?;
        }
        self.with(me, key, Replica::resend)
    }

    /// Everything arrives, but for a few messages.
    fn quiet_but(&mut self, late: &mut Vec<Wire>) -> Verdict {
        loop {
            self.write_all()?;
            let Some(wire) = self.net.pop() else { return Ok(()) };
            if self.random.percent(4) {
                late.push(wire);
            } else if !self.is_away(&wire) {
                self.deliver(wire)?;
            }
        }
    }

    pub(super) fn write_all(&mut self) -> Verdict {
        for me in self.members.all() {
            while !self.peek(me).log.is_empty() {
                self.persist(me)?;
            }
        }
        Ok(())
    }

    /// A promise for the whole slot goes to the log.
    pub(super) fn write_slot(&mut self, me: Member, ballot: Ballot) {
        let host = self.host(me);
        host.slot = ballot;
        host.log.push_back(Item::Slot(ballot));
        self.bind(me);
    }

    /// Sends what a member says of itself.
    pub(super) fn say(&mut self, me: Member, to: Member, body: confirms::Body) {
        self.send(me, to, Body::Confirm(body));
    }
}
