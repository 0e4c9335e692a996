//! Faults: who dies, what is cut, what stops, which clocks jump.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND};
use reactor::sim::{Faults, Latency};

use super::host::Death;
use super::{Event, Phase, Place, World};
use crate::plan::{Plan, Routes, Transport};
use crate::violation::Checked;

/// What the nemesis can do.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Crash,
    Blackout,
    CutPair,
    CutOneWay,
    Isolate,
    Pause,
    SlowDisk,
    FalseSignal,
    Clock,
    Reroute,
    DiskError,
}

/// Which strikes a plan allows. Listed twice means twice as likely.
fn strikes(plan: &Plan) -> Vec<Strike> {
    let table: [(bool, &[Strike]); 8] = [
        (plan.crashes, &[Strike::Crash, Strike::Crash]),
        (plan.blackouts, &[Strike::Blackout]),
        (plan.partitions, &[Strike::CutPair, Strike::CutOneWay, Strike::Isolate]),
        (plan.pauses, &[Strike::Pause]),
        (plan.slow_disks, &[Strike::SlowDisk]),
        (plan.false_signals && plan.transport == Transport::Messages, &[Strike::FalseSignal]),
        (plan.clocks, &[Strike::Clock]),
        (plan.disk_errors, &[Strike::DiskError]),
    ];
    let mut allowed: Vec<Strike> =
        table.iter().filter(|(on, _)| *on).flat_map(|(_, strikes)| strikes.iter().copied()).collect();
    if plan.routes == Routes::Torn {
        allowed.push(Strike::Reroute);
    }
    allowed
}

impl World {
    /// One step of the nemesis, and the time of the next.
    pub(super) fn strike(&mut self) -> Checked {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let every = self.plan.nemesis_every;
        let next = self.now + self.nemesis.between(every / 2, every * 2);
        self.schedule(next, Event::Nemesis);
        let allowed = strikes(&self.plan);
        if allowed.is_empty() {
            return Ok(());
        }
        let strike = allowed[self.nemesis.below(allowed.len() as u64) as usize];
        let host = self.nemesis.below(u64::from(self.plan.hosts)) as Member;
        let peer =
            (host + 1 + self.nemesis.below(u64::from(self.plan.hosts) - 1) as Member) % self.plan.hosts;
        let core =
            if self.plan.cores > 1 { self.nemesis.below(u64::from(self.plan.cores)) as u16 } else { 0 };
        self.carry_out_strike(strike, Place { host, core }, peer);
        Ok(())
    }

    fn carry_out_strike(&mut self, strike: Strike, place: Place, peer: Member) {
        let host = place.host;
        match strike {
            Strike::Crash => {
                let (death, after) = (self.draw_death(), self.draw_downtime());
                self.die(host, death, Some(after));
            }
            Strike::Blackout if self.nemesis.below(3) > 0 => {}
            Strike::Blackout => self.black_out(),
            Strike::CutPair => {
                self.label("two hosts were cut off from each other");
                self.cut(&[(host, peer), (peer, host)]);
            }
            Strike::CutOneWay => {
                self.label("one direction was cut");
                self.cut(&[(host, peer)]);
            }
            Strike::Isolate => {
                self.label("a host was isolated");
                let others = (0..self.plan.hosts).filter(|other| *other != host);
                let ways: Vec<_> = others.flat_map(|other| [(host, other), (other, host)]).collect();
                self.cut(&ways);
            }
            Strike::Pause => self.pause(host),
            Strike::SlowDisk => self.slow_disk(place),
            Strike::FalseSignal => self.mislead(place, peer),
            Strike::Clock => self.turn_clock(host),
            Strike::Reroute => {
                self.label("routes changed");
                self.set_routes_of(place);
            }
            Strike::DiskError => self.hurt_disk(place),
        }
    }

    fn black_out(&mut self) {
        self.label("all hosts died at once");
        let death = self.draw_death();
        for host in 0..self.plan.hosts {
            let after = self.draw_downtime();
            self.die(host, death, Some(after));
        }
    }

    fn cut(&mut self, ways: &[(Member, Member)]) {
        let span = self.nemesis.between(2 * MILLISECOND, 400 * MILLISECOND);
        for (from, to) in ways {
            self.set_blocked(*from, *to, true);
            self.schedule(self.now + span, Event::Heal { from: *from, to: *to });
        }
    }

    fn pause(&mut self, host: Member) {
        let span = [20, 200, 2_000][self.nemesis.below(3) as usize] * MILLISECOND;
        let until = self.now + self.nemesis.below(span);
        self.hosts[usize::from(host)].paused_until = until;
        self.label("a host was paused");
        self.tell(|| format!("host {host} stops until {} ms", until / MILLISECOND));
    }

    fn slow_disk(&mut self, place: Place) {
        let slow = self.plan.disk;
        let slow = Latency {
            sync: (slow.sync.0 * 20, slow.sync.1 * 20),
            read: (slow.read.0 * 20, slow.read.1 * 20),
            ..slow
        };
        self.core_mut(place).disk.set_latency(slow);
        let span = self.nemesis.between(5 * MILLISECOND, 300 * MILLISECOND);
        self.label("a disk was slow");
        self.tell(|| format!("the disk of {place} is slow"));
        self.schedule(self.now + span, Event::Quicken(place));
    }

    fn mislead(&mut self, place: Place, peer: Member) {
        let up = !self.core(place).up[usize::from(peer)];
        self.label("a host was told wrong things of a peer");
        self.signal(place, peer, up, 0);
    }

    fn turn_clock(&mut self, host: Member) {
        let far: i64 = if self.nemesis.below(4) == 0 { 3_600_000 } else { 400 };
        let skew = self.nemesis.below(2 * far.unsigned_abs()) as i64 - far;
        self.hosts[usize::from(host)].skew_ms = skew;
        self.label("a clock jumped");
        self.tell(|| format!("the clock of host {host} is off by {skew} ms"));
    }

    fn hurt_disk(&mut self, place: Place) {
        let rate = self.nemesis.below(200_000) as u32;
        let faults = match self.nemesis.below(3) {
            0 => Faults { write_error_per_million: rate, ..Faults::default() },
            1 => Faults { sync_error_per_million: rate, ..Faults::default() },
            _ => Faults { short_write_per_million: rate, ..Faults::default() },
        };
        self.core_mut(place).disk.set_faults(faults);
        self.label("a disk had errors");
        self.tell(|| format!("the disk of {place} fails some operations"));
    }

    pub(super) fn draw_death(&mut self) -> Death {
        if self.crash.below(4) == 0 {
            Death::Process
        } else {
            Death::Power
        }
    }

    pub(super) fn draw_downtime(&mut self) -> Nanos {
        let longest = [2, 30, 500][self.crash.below(3) as usize];
        self.crash.between(MILLISECOND / 2, longest * MILLISECOND)
    }
}
