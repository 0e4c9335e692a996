//! Faults: who dies, what is cut, what stops, which clocks jump. What happens to disks is in `disks`, to the network in `cuts`.

use paxos::Member;
use reactor::clock::{Nanos, MILLISECOND, SECOND};

use super::host::Death;
use super::{Event, Phase, Place, World};
use crate::class::Class;
use crate::plan::{Plan, Transport};
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
    CrashLoop,
    Bridge,
    Scatter,
    Split,
    Flap,
    Clog,
    LongPause,
    FailSlow,
    ReadError,
    FullDisk,
    Rot,
    Astray,
    StaleRead,
    Loss,
}

/// Which strikes each class has. Listed twice means twice as likely.
const STRIKES: [(Class, &[Strike]); 21] = [
    (Class::Crashes, &[Strike::Crash, Strike::Crash]),
    (Class::Blackouts, &[Strike::Blackout]),
    (Class::Cuts, &[Strike::CutPair, Strike::CutOneWay, Strike::Isolate]),
    (Class::Pauses, &[Strike::Pause]),
    (Class::SlowDisks, &[Strike::SlowDisk]),
    (Class::FalseSignals, &[Strike::FalseSignal]),
    (Class::Clocks, &[Strike::Clock]),
    (Class::DiskErrors, &[Strike::DiskError]),
    (Class::Reroutes, &[Strike::Reroute]),
    (Class::CrashLoops, &[Strike::CrashLoop]),
    (Class::Shapes, &[Strike::Bridge, Strike::Scatter, Strike::Split]),
    (Class::Flaps, &[Strike::Flap]),
    (Class::Clogs, &[Strike::Clog]),
    (Class::LongPauses, &[Strike::LongPause]),
    (Class::FailSlow, &[Strike::FailSlow]),
    (Class::ReadErrors, &[Strike::ReadError]),
    (Class::FullDisks, &[Strike::FullDisk]),
    (Class::Rot, &[Strike::Rot]),
    (Class::Astray, &[Strike::Astray]),
    (Class::StaleReads, &[Strike::StaleRead]),
    (Class::Losses, &[Strike::Loss]),
];

/// Which strikes a plan draws from, with their classes.
fn strikes(plan: &Plan) -> Vec<(Class, Strike)> {
    // Links find out by themselves who is up.
    let applies = |class| class != Class::FalseSignals || plan.transport == Transport::Messages;
    let drawn = STRIKES.iter().filter(|(class, _)| plan.classes.is_drawn(*class) && applies(*class));
    drawn.flat_map(|(class, strikes)| strikes.iter().map(|strike| (*class, *strike))).collect()
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
        let (class, strike) = allowed[self.nemesis.below(allowed.len() as u64) as usize];
        let hosts = u64::from(self.plan.hosts);
        let host = self.nemesis.below(hosts) as Member;
        let peer = (host + 1 + self.nemesis.below(hosts - 1) as Member) % self.plan.hosts;
        if !self.plan.is_broad {
            self.carry_out_strike(strike, Place { host, core: 0 }, peer);
            return Ok(());
        }
        let core = self.nemesis.below(u64::from(self.plan.cores)) as u16;
        // What a strike draws is its own, so that one which is left out does not shift those after it.
        let own = self.nemesis.fork();
        let index = self.strikes;
        self.strikes += 1;
        if self.plan.classes.has(class) && !self.plan.spared.contains(&index) {
            let after = std::mem::replace(&mut self.nemesis, own);
            self.tell(|| format!("strike {index}: {strike:?}"));
            self.carry_out_strike(strike, Place { host, core }, peer);
            self.nemesis = after;
        }
        Ok(())
    }

    fn carry_out_strike(&mut self, strike: Strike, place: Place, peer: Member) {
        let host = place.host;
        self.faults += 1;
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
            Strike::Isolate => self.isolate(host),
            Strike::Bridge => self.bridge(host),
            Strike::Scatter => self.scatter(),
            Strike::Split => self.split(),
            Strike::Flap => self.flap(host, peer),
            Strike::Clog => self.clog(host, peer),
            Strike::Pause => self.pause(host, 2 * SECOND),
            Strike::LongPause => self.pause(host, 60 * SECOND),
            Strike::SlowDisk => self.slow_disk(place),
            Strike::FailSlow => self.fail_slow(place),
            Strike::FalseSignal => self.mislead(place, peer),
            Strike::Clock => self.turn_clock(host),
            Strike::Reroute => {
                self.label("routes changed");
                self.set_routes_of(place);
            }
            Strike::DiskError => self.hurt_disk(place),
            Strike::ReadError => self.fail_reads(place),
            Strike::FullDisk => self.fill_disk(place),
            Strike::Rot => self.rot(place),
            Strike::Astray => self.lead_astray(place),
            Strike::StaleRead => self.serve_stale(place),
            Strike::Loss => self.lose_disks(place),
            Strike::CrashLoop => self.loop_crashes(host),
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

    /// The next starts of a host end soon after they began, most of them during recovery.
    fn loop_crashes(&mut self, host: Member) {
        self.label("a host died again and again");
        self.hosts[usize::from(host)].falls = self.nemesis.between(2, 6) as u32;
        let (death, after) = (self.draw_death(), self.draw_downtime());
        self.die(host, death, Some(after));
    }

    /// A host in a loop of crashes falls.
    pub(super) fn fall(&mut self, host: Member, life: u32) {
        let entry = &self.hosts[usize::from(host)];
        if self.phase == Phase::Faults && entry.is_up() && entry.life == life {
            let (death, after) = (self.draw_death(), self.crash.below(5 * MILLISECOND));
            self.die(host, death, Some(after));
        }
    }

    fn pause(&mut self, host: Member, longest: Nanos) {
        let span = [longest / 100, longest / 10, longest][self.nemesis.below(3) as usize];
        let before = self.hosts[usize::from(host)].paused_until;
        let until = before.max(self.now + self.nemesis.below(span));
        self.hosts[usize::from(host)].paused_until = until;
        self.label("a host was paused");
        if until > self.now + 10 * SECOND {
            self.label("a host was paused for more than ten seconds");
        }
        self.tell(|| format!("host {host} stops until {} ms", until / MILLISECOND));
    }

    fn mislead(&mut self, place: Place, peer: Member) {
        let up = !self.core(place).up[usize::from(peer)];
        self.label("a host was told wrong things of a peer");
        self.signal(place, peer, up, 0);
    }

    fn turn_clock(&mut self, host: Member) {
        let far: i64 = if self.nemesis.below(4) == 0 { 3_600_000 } else { 400 };
        let skew = self.nemesis.below(2 * far.unsigned_abs()) as i64 - far;
        self.hosts[usize::from(host)].clock.skew_ms = skew;
        self.label("a clock jumped");
        self.tell(|| format!("the clock of host {host} is off by {skew} ms"));
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
