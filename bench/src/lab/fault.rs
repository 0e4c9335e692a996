//! The faults, and how a seed draws them. Pure: what a fault does is in [`super::cluster`].

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::RngExt;

use super::disk::Medium;
use super::limits::HOSTS;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL for one host.
    Kill,
    /// SIGKILL for all hosts at once.
    KillAll,
    /// SIGSTOP for one host.
    Pause,
    /// One host hears nobody and nobody hears it; its clients reach it.
    Isolate,
    /// Two hosts do not hear each other; the third hears both (a bridge).
    CutPair,
    /// One host does not hear one other, which hears it.
    OneWay,
    /// Nobody hears one host, which hears all.
    Mute,
    /// One host hears nobody, and all hear it.
    Deaf,
    /// Every frame between hosts takes longer.
    Delay,
    /// Frames between hosts take so different times that they overtake each other.
    Reorder,
    /// Frames between hosts are lost.
    Loss,
    /// Frames between hosts come twice.
    Repeat,
    /// The clock of one host jumps by an hour, forward or back, and back at the end.
    Clock,
    /// One host gets a tenth of a CPU.
    Cpu,
    /// The disk of one host takes 20 writes a second.
    SlowDisk,
    /// The same, by the kernel: a control group limits what one host writes to its loop device.
    Throttle,
    /// The disk of one host is full.
    FullDisk,
    /// The next sync of one host's disk fails, and all after it.
    FailingSync,
    /// The next write of one host's disk fails, and all after it.
    FailingWrite,
    /// One host loses its power: the process dies, what was not synced is gone or torn.
    PowerCut,
    /// All hosts lose their power at once.
    PowerCutAll,
    /// The file system of one host is shut down under it: nothing works, what was not synced is gone.
    Shutdown,
    /// One host loses its data directory; with an empty one it comes back as a learner, and must become a voter.
    LostDisk,
    /// Bits of one host's disk flip while it is down; it is started on them, and gets a new disk at the end.
    BitRot,
}

/// Every kind, with the name that people use and what it needs.
pub const KINDS: [(Kind, &str, Need); 24] = [
    (Kind::Kill, "kill", Need::Nothing),
    (Kind::KillAll, "kill-all", Need::Nothing),
    (Kind::Pause, "pause", Need::Nothing),
    (Kind::Isolate, "isolate", Need::Network),
    (Kind::CutPair, "cut-pair", Need::Network),
    (Kind::OneWay, "one-way", Need::Network),
    (Kind::Mute, "mute", Need::Network),
    (Kind::Deaf, "deaf", Need::Network),
    (Kind::Delay, "delay", Need::Network),
    (Kind::Reorder, "reorder", Need::Network),
    (Kind::Loss, "loss", Need::Network),
    (Kind::Repeat, "repeat", Need::Network),
    (Kind::Clock, "clock", Need::Clock),
    (Kind::Cpu, "cpu", Need::Cpu),
    (Kind::SlowDisk, "slow-disk", Need::Disk(&[Medium::Memory])),
    (Kind::Throttle, "throttle", Need::Throttle),
    (Kind::FullDisk, "full-disk", Need::Disk(&[Medium::Memory, Medium::Tmpfs])),
    (Kind::FailingSync, "failing-sync", Need::Disk(&[Medium::Memory])),
    (Kind::FailingWrite, "failing-write", Need::Disk(&[Medium::Memory])),
    (Kind::PowerCut, "power-cut", Need::Disk(&[Medium::Memory, Medium::Image])),
    (Kind::PowerCutAll, "power-cut-all", Need::AllDisks(&[Medium::Memory, Medium::Image])),
    (Kind::Shutdown, "shutdown", Need::Disk(&[Medium::Image])),
    (Kind::LostDisk, "lost-disk", Need::Nothing),
    (Kind::BitRot, "bit-rot", Need::Disk(&[Medium::Memory])),
];

/// What a kind of fault needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Signals only.
    Nothing,
    /// A network of the lab's own.
    Network,
    /// A clock that can be shifted for one process.
    Clock,
    /// A share of CPU that can be limited for one process.
    Cpu,
    /// A host on a device whose writes can be limited for one process.
    Throttle,
    /// A host whose disk is one of these.
    Disk(&'static [Medium]),
    /// Disks of these kinds only.
    AllDisks(&'static [Medium]),
}

impl Kind {
    /// The name that people use.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).expect("every kind stands in the table").1
    }

    /// What it needs.
    pub fn need(self) -> Need {
        KINDS.iter().find(|(kind, ..)| *kind == self).expect("every kind stands in the table").2
    }

    /// Whether hosts are kept from hearing each other, and nothing else happens.
    pub fn is_cut(self) -> bool {
        matches!(self, Kind::Isolate | Kind::CutPair | Kind::OneWay | Kind::Mute | Kind::Deaf)
    }

    /// Whether it strikes all hosts, so that there is no majority's side.
    pub fn strikes_all(self) -> bool {
        matches!(self, Kind::KillAll | Kind::PowerCutAll)
    }

    /// Whether a host loses for good what it had promised: of three, the others must keep theirs meanwhile.
    pub fn loses_data(self) -> bool {
        matches!(self, Kind::LostDisk | Kind::BitRot)
    }

    /// Whether the host that it strikes is expected to end by itself, or to stop its cores.
    pub fn may_end_host(self) -> bool {
        matches!(
            self,
            Kind::FailingSync
                | Kind::FailingWrite
                | Kind::PowerCut
                | Kind::PowerCutAll
                | Kind::Shutdown
                | Kind::FullDisk
        ) || self.loses_data()
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// The host that it strikes, from 1; for all at once, the first.
    pub host: usize,
    /// Another one, where it takes two.
    pub other: usize,
    /// How long.
    pub lasts: Duration,
    /// A number for whatever else is to be drawn.
    pub salt: u64,
}

impl Fault {
    /// The hosts, from 1, that have lost something: their own clients may see errors.
    pub fn struck(&self) -> Vec<usize> {
        match self.kind {
            kind if kind.strikes_all() => (1..=HOSTS).collect(),
            // Everybody still hears a majority, the host itself included.
            Kind::CutPair | Kind::OneWay => Vec::new(),
            Kind::Delay | Kind::Reorder | Kind::Loss | Kind::Repeat | Kind::Clock => Vec::new(),
            _ => vec![self.host],
        }
    }

    /// One of so many ways.
    pub fn choice(&self, ways: u64) -> usize {
        (self.salt % ways) as usize
    }

    /// For people.
    pub fn text(&self) -> String {
        let name = self.kind.name();
        match self.kind {
            kind if kind.strikes_all() => name.to_owned(),
            Kind::CutPair => format!("{name} {}-{}", self.host, self.other),
            Kind::OneWay => format!("{name} {}->{}", self.other, self.host),
            Kind::Delay | Kind::Reorder | Kind::Loss | Kind::Repeat => name.to_owned(),
            _ => format!("{name} {}", self.host),
        }
    }
}

/// How faults are drawn.
#[derive(Debug, Clone)]
pub struct Draw {
    /// The kinds to draw from; none: it is always quiet.
    pub kinds: Vec<Kind>,
    /// What each host's disk is.
    pub media: Vec<Medium>,
    /// The longest time a fault lasts.
    pub lasts_max: Duration,
    /// The longest pause of a host.
    pub pause_max: Duration,
}

/// The shortest time a fault lasts.
const LASTS_MIN: Duration = Duration::from_millis(300);

impl Draw {
    /// The faults of the next episode, which happen at once: none in a quarter of all cases, two in a fifth of
    /// the others.
    pub fn episode(&self, random: &mut SmallRng) -> Vec<Fault> {
        if self.kinds.is_empty() || random.random_range(0..4) == 0 {
            return Vec::new();
        }
        let count = if random.random_range(0..5) == 0 { 2 } else { 1 };
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..count {
            let fault = self.fault(random);
            let bearable = |other: &Fault| {
                other.kind != fault.kind && !(other.kind.loses_data() && fault.kind.loses_data())
            };
            if faults.iter().all(bearable) {
                faults.push(fault);
            }
        }
        faults
    }

    /// How long a quiet episode lasts, or the quiet between two others.
    pub fn quiet(&self, random: &mut SmallRng) -> Duration {
        between(LASTS_MIN, self.lasts_max / 2, random)
    }

    fn fault(&self, random: &mut SmallRng) -> Fault {
        let kind = self.kinds[random.random_range(0..self.kinds.len())];
        let hosts: Vec<usize> = (1..=HOSTS).filter(|&host| self.can_strike(kind, host)).collect();
        assert!(!hosts.is_empty(), "a kind that no host can suffer was left out before");
        let host = hosts[random.random_range(0..hosts.len())];
        let other = (host + random.random_range(1..HOSTS) - 1) % HOSTS + 1;
        let longest = if kind == Kind::Pause { self.pause_max } else { self.lasts_max };
        let lasts = between(LASTS_MIN, longest, random);
        Fault { kind, host, other, lasts, salt: random.random() }
    }

    fn can_strike(&self, kind: Kind, host: usize) -> bool {
        match kind.need() {
            Need::Disk(media) => media.contains(&self.media[host - 1]),
            Need::Throttle => self.media[host - 1] == Medium::Image,
            _ => true,
        }
    }
}

fn between(least: Duration, most: Duration, random: &mut SmallRng) -> Duration {
    let most = most.max(least + Duration::from_millis(1));
    Duration::from_nanos(random.random_range(least.as_nanos() as u64..=most.as_nanos() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_seed_draws_every_kind_and_a_quarter_of_quiet() {
        let kinds: Vec<Kind> = KINDS.iter().map(|(kind, ..)| *kind).collect();
        let media = vec![Medium::Memory, Medium::Image, Medium::Tmpfs];
        let lasts_max = Duration::from_secs(8);
        let draw = Draw { kinds: kinds.clone(), media, lasts_max, pause_max: Duration::from_secs(10) };
        let episodes = |seed| {
            let mut random = SmallRng::seed_from_u64(seed);
            (0..4_000).map(|_| draw.episode(&mut random)).collect::<Vec<_>>()
        };
        let drawn = episodes(1);
        assert_eq!(drawn, episodes(1), "a seed decides everything");
        assert_ne!(drawn, episodes(2));
        let quiet = drawn.iter().filter(|faults| faults.is_empty()).count();
        assert!((900..1_100).contains(&quiet), "{quiet} of 4,000 were quiet");
        let losses = |faults: &[Fault]| faults.iter().filter(|fault| fault.kind.loses_data()).count();
        assert!(
            drawn.iter().all(|faults| losses(faults) < 2),
            "of three hosts one may lose its data at a time"
        );
        let faults: Vec<Fault> = drawn.into_iter().flatten().collect();
        for kind in kinds {
            assert!(faults.iter().any(|fault| fault.kind == kind), "{} is never drawn", kind.name());
        }
        for fault in faults {
            assert!(fault.host != fault.other && (1..=HOSTS).contains(&fault.other), "{fault:?}");
            assert!(fault.kind != Kind::Shutdown || fault.host == 2, "only an image can be shut down");
            assert!(fault.lasts >= LASTS_MIN);
        }
    }
}
