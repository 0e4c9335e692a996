//! Losses: a host's disks are gone, or one core's, and the operator brings it back: `recover` at the others, an empty directory that says
//! that it was made to rejoin at the host. It is a learner until it has taken over what it lost.
//!
//! Never more hosts at one time than are not needed for a majority are without their promises: learners, hosts that were given up, and
//! hosts whose disks are damaged count alike. What the ledger knows of the lost copies is forgotten; the votes they gave are votes
//! for ever, since whatever a majority of members ever accepted must not be undone by anything that learners take over.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};
use reactor::sim::SimDisk;

use super::host::Death;
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::limits::LEVEL_MAX;
use crate::violation::{invariant, Checked, Violation};

/// What became of a core's disks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    /// How many of its disks were lost.
    pub count: u8,
    /// It was not a voter since the last one.
    pub waits: bool,
    /// It was started since the last one.
    started: bool,
    /// How many logs lie aside in its directory, as far as is known.
    aside: u32,
}

impl Loss {
    /// What becomes of a core that loses its disk now.
    pub fn again(self) -> Loss {
        Loss { count: self.count.saturating_add(1), waits: true, started: false, aside: 0 }
    }

    /// Whether its directory was made to rejoin.
    pub fn rejoins(self) -> bool {
        self.count > 0
    }
}

impl World {
    /// The disks of a host are lost, all of them or that of one core.
    pub(super) fn lose_disks(&mut self, place: Place) {
        let (whole, after) = (self.nemesis.coin(), self.nemesis.between(MILLISECOND, 300 * MILLISECOND));
        let host = place.host;
        let waits = self.hosts[usize::from(host)].cores.iter().any(|core| core.loss.waits);
        // Most losses meet voters, and leave a learner the time to become one.
        let spared = self.nemesis.below(if waits { 16 } else { 3 }) > 0;
        if spared || !self.may_lose(host) {
            return;
        }
        if self.hosts[usize::from(host)].lost {
            return self.replace(host, after);
        }
        let was_up = self.hosts[usize::from(host)].is_up();
        self.die(host, Death::Power, Some(after).filter(|_| was_up));
        let cores = if whole { 0..self.plan.cores } else { place.core..place.core + 1 };
        for core in cores {
            self.lose_disk(Place { host, core });
        }
        self.label(if whole { "a host lost all its disks" } else { "a core lost its disk" });
    }

    /// The operator has thrown the disks of a host away that was given up, and brings it back with others.
    pub(super) fn may_replace(&mut self, host: Member) {
        if self.phase == Phase::Faults && self.hosts[usize::from(host)].lost && self.may_lose(host) {
            self.drop_messages_of(host);
            self.replace(host, 0);
        }
    }

    fn replace(&mut self, host: Member, after: Nanos) {
        self.hosts[usize::from(host)].lost = false;
        for place in self.places(host) {
            self.lose_disk(place);
        }
        self.label("a host that was given up came back");
        let life = self.hosts[usize::from(host)].life;
        self.schedule(self.now + after, Event::Start { host, life });
    }

    fn lose_disk(&mut self, place: Place) {
        let (seed, latency) = (self.nemesis.next_u64(), self.plan.disk);
        let core = self.core_mut(place);
        let mut disk = SimDisk::new(seed);
        disk.set_latency(latency);
        core.lose_disk(disk);
        self.faults += 1;
        self.ledger.lose(place.host, place.core);
        self.tell(|| format!("the disk of {place} is lost"));
        self.expect_new_directory(place);
    }

    /// Whether the protocol bears it that this host loses what it promised.
    fn may_lose(&self, host: Member) -> bool {
        let minority = usize::from(self.plan.hosts - 1) / 2;
        let others = (0..self.plan.hosts).filter(|other| *other != host);
        let without = others.filter(|other| {
            let entry = &self.hosts[usize::from(*other)];
            entry.lost || entry.cores.iter().any(|core| core.loss.waits || core.is_damaged)
        });
        // Where disks rot, only those of the victims do, at any time: then they alone are lost.
        let rots = [Class::Rot, Class::Astray].iter().any(|class| self.plan.classes.has(*class));
        without.count() < minority && (!rots || self.plan.victims.contains(&host))
    }

    /// A core serves from now on. Where it found its log damaged it has put it aside, and is a learner.
    pub(super) fn note_put_aside(&mut self, place: Place) -> Checked {
        let core = self.core(place);
        let Some(shard) = core.shard() else { return Ok(()) };
        let aside = shard.losses();
        if shard.loss().is_none() && aside == core.loss.aside && (core.loss.waits || !shard.is_learner()) {
            return Ok(());
        }
        if !core.is_damaged && aside == core.loss.aside {
            let detail = format!("{place} put its log aside, and its disk was never damaged");
            return Err(Violation::new(invariant::NO_FAULT, detail));
        }
        let lies = core.disk.faults().misdirected_per_million > 0;
        // What went astray may have been meant for the tree, which is not put aside.
        let has_tree = self.plan.classes.has(Class::LargeTables);
        let stays = lies || has_tree && (core.disk.has_lied() || core.tree_rots);
        let core = self.core_mut(place);
        core.loss = Loss { waits: true, started: true, aside, ..core.loss };
        (core.is_damaged, core.lost_its_end) = (stays, false);
        self.ledger.lose(place.host, place.core);
        self.label("a damaged log was put aside");
        self.tell(|| format!("{place} has put its damaged log aside"));
        Ok(())
    }

    /// A core is about to start.
    pub(super) fn note_start(&mut self, place: Place) {
        let loss = &mut self.core_mut(place).loss;
        if loss.waits && std::mem::replace(&mut loss.started, true) {
            self.label("a learner was started again");
        }
    }

    /// A learner may have become a voter.
    pub(super) fn note_role(&mut self, place: Place) {
        let core = self.core_mut(place);
        let votes = core.shard().is_some_and(|shard| shard.is_ready() && !shard.is_learner());
        if core.loss.waits && votes {
            core.loss.waits = false;
            self.tell(|| format!("{place} votes again"));
            self.label("a learner became a voter");
            if self.phase == Phase::Faults {
                self.label("a learner became a voter under faults");
            }
        }
    }

    /// A core that is still a learner, of the hosts that were not given up.
    pub(super) fn learner(&self) -> Option<Place> {
        let hosts = self.hosts.iter().filter(|host| !host.lost);
        hosts.flat_map(|host| &host.cores).find(|core| core.loss.waits).map(|core| core.place)
    }

    /// Every learner must be a voter some time after the faults have stopped.
    pub(super) fn check_voters(&self, waited: Nanos) -> Checked {
        match self.learner() {
            Some(place) if waited > LEVEL_MAX => {
                let detail = format!("{place} is a learner still");
                Err(Violation::new(invariant::CONVERGES, detail))
            }
            _ => Ok(()),
        }
    }
}
