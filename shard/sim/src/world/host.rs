//! One host: a process of several cores, which start and die together; its clocks and its routes.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};
use reactor::sim::{Faults, Latency};
use shard::Clock;

use super::core::{Core, Input};
use super::{Event, Phase, Place, World};
use crate::limits::{TURN_NS, WALL_MS};
use crate::plan::{Plan, Routes};
use crate::violation::Checked;

/// See the module's head.
pub(super) struct Host {
    pub cores: Vec<Core>,
    /// Its process runs.
    running: bool,
    pub paused_until: Nanos,
    pub clock: HostClock,
    /// How often it was started.
    pub life: u32,
    /// How many of its next starts end soon: a loop of crashes.
    pub falls: u32,
    /// It was given up: it stays down.
    pub lost: bool,
}

/// What a host takes for the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostClock {
    /// How far its wall clock is off, in milliseconds.
    pub skew_ms: i64,
    /// How much too fast both of its clocks run, in a million.
    pub drift_ppm: i64,
}

impl HostClock {
    fn rate(self) -> u128 {
        (1_000_000 + self.drift_ppm).unsigned_abs().into()
    }

    /// Its monotonic time.
    pub fn local(self, now: Nanos) -> Nanos {
        (u128::from(now) * self.rate() / 1_000_000) as Nanos
    }

    /// The first moment at which its monotonic time has come so far.
    pub fn global(self, local: Nanos) -> Nanos {
        Nanos::try_from((u128::from(local) * 1_000_000).div_ceil(self.rate())).unwrap_or(Nanos::MAX)
    }

    /// Both of its clocks.
    pub fn read(self, now: Nanos) -> Clock {
        let now = self.local(now);
        let wall_ms = WALL_MS + self.skew_ms + (now / 1_000_000) as i64;
        Clock { now, wall_ms: wall_ms.unsigned_abs() }
    }
}

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// The process: what was written stays.
    Process,
    /// The machine: what was not synced is lost or torn.
    Power,
}

impl Host {
    /// A host that was never started. `seed` draws one for each disk.
    pub fn new(host: Member, plan: &Plan, mut seed: impl FnMut() -> u64) -> Host {
        let cores = (0..plan.cores).map(|core| Core::new(Place { host, core }, plan, seed())).collect();
        let clock = HostClock { skew_ms: 0, drift_ppm: plan.drift_ppm[usize::from(host)] };
        Host { cores, running: false, paused_until: 0, clock, life: 0, falls: 0, lost: false }
    }

    pub fn is_up(&self) -> bool {
        self.running
    }

    /// Whether it died in this life, was not started since, and was not given up.
    pub fn may_start(&self, life: u32) -> bool {
        !self.running && self.life == life && !self.lost
    }
}

impl World {
    /// The cores of a host.
    pub(super) fn places(&self, host: Member) -> impl Iterator<Item = Place> {
        (0..self.plan.cores).map(move |core| Place { host, core })
    }

    /// A host starts.
    pub(super) fn start(&mut self, host: Member) -> Checked {
        let now = self.now;
        for place in self.places(host) {
            self.check_failed_start(place)?;
            self.note_start(place);
        }
        let World { hosts, plan, .. } = self;
        let entry = &mut hosts[usize::from(host)];
        assert!(!entry.running, "only a host that is down starts");
        entry.running = true;
        entry.life += 1;
        let life = entry.life;
        entry.cores.iter_mut().for_each(|core| core.boot(plan, life, now));
        let falls = entry.falls > 0;
        entry.falls = entry.falls.saturating_sub(1);
        if falls {
            let longest = [MILLISECOND, 20 * MILLISECOND][self.crash.below(2) as usize];
            let at = now + self.crash.below(longest);
            self.schedule(at, Event::Fall { host, life });
        }
        self.tell(|| format!("host {host} starts, life {life}"));
        for place in self.places(host) {
            self.set_routes_of(place);
        }
        self.signal_all(host);
        for place in self.places(host) {
            self.wake(place, now + TURN_NS);
        }
        Ok(())
    }

    /// A host dies.
    pub(super) fn die(&mut self, host: Member, death: Death, back_after: Option<Nanos>) {
        let entry = &mut self.hosts[usize::from(host)];
        if !std::mem::replace(&mut entry.running, false) {
            return;
        }
        for core in &mut entry.cores {
            core.end();
            match death {
                Death::Process => core.disk.kill(),
                Death::Power => core.disk.crash(),
            }
        }
        entry.paused_until = 0;
        let life = entry.life;
        self.story.mix(u64::from(host) << 8 | 0xdead);
        self.tell(|| format!("host {host} dies ({death:?})"));
        self.label("a host died");
        self.hang_up(host);
        self.forget_messages_of(host);
        for place in self.places(host) {
            self.drop_links(place, death);
        }
        self.signal_all(host);
        if let Some(after) = back_after {
            self.schedule(self.now + after, Event::Start { host, life });
        }
    }

    /// A host with a failed slice is started again, if nothing else ended its process meanwhile.
    pub(super) fn restart(&mut self, host: Member, life: u32) -> Checked {
        let entry = &self.hosts[usize::from(host)];
        if !entry.running || entry.life != life {
            return Ok(());
        }
        let death = self.draw_death();
        self.die(host, death, None);
        self.start(host)
    }

    /// Sets the routes of a core as its view of the peers wants them. After the faults each host coordinates by itself, so that
    /// the last reads meet what is undecided on any of them.
    pub(super) fn set_routes_of(&mut self, place: Place) {
        let host = place.host;
        if self.phase != Phase::Faults || self.plan.routes == Routes::Own {
            return self.arrive(place, Input::Routes(vec![host]));
        }
        let count = self.plan.hosts;
        let own = self.plan.routes != Routes::Fixed;
        let torn = self.plan.routes == Routes::Torn;
        let up = self.core(place).up.clone();
        let mut routes: Vec<Member> = (0..count * 2).map(|range| range % count).collect();
        for route in &mut routes {
            if torn {
                *route = self.nemesis.below(u64::from(count)) as Member;
            } else if own && *route != host && !up[usize::from(*route)] {
                let next = (0..count).map(|step| (*route + step) % count);
                *route = next.clone().find(|next| *next == host || up[usize::from(*next)]).unwrap_or(host);
            }
        }
        self.arrive(place, Input::Routes(routes));
    }

    /// All disks are healthy from now on.
    pub(super) fn mend_disks(&mut self) {
        for core in self.hosts.iter_mut().flat_map(|host| &mut host.cores) {
            core.disk.set_faults(Faults::default());
            core.disk.set_latency(Latency::default());
            core.disk.set_capacity(u64::MAX);
            core.disk.clear_aimed();
        }
    }
}
