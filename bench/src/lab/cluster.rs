//! The three hosts with their network, disks and limits, and what a fault does to them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::disk::fuse::{Ill, MemoryDisk};
use super::disk::{Disk, Medium};
use super::fault::{Fault, Kind};
use super::host::{Host, Ports, Setup};
use super::limits::HOSTS;
use super::link::Link;
use super::means::Means;
use super::net;
use super::switch::Switch;
use crate::error::BenchError;
use crate::procs;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The program under test.
    pub binary: PathBuf,
    /// Where everything lies.
    pub folder: PathBuf,
    /// Cores of each host.
    pub cores: usize,
    /// The disk of each host.
    pub media: Vec<Medium>,
    /// Seed of the network.
    pub seed: u64,
    /// Whether the lab has namespaces of its own.
    pub enclosed: bool,
}

/// Ports of hosts that have an address, and a network, of their own.
const OWN_PORTS: Ports = Ports { plain: 6379, core_base: 7000, peer_base: 7500, admin: 7900 };

/// The three hosts.
#[derive(Debug)]
pub struct Cluster {
    /// In order of their numbers.
    pub hosts: Vec<Host>,
    disks: Vec<Disk>,
    switch: Option<Switch>,
    means: Means,
    folder: PathBuf,
    /// Hosts, from 1, that have to be started again when all is healed.
    fallen: Vec<usize>,
    stopped: Vec<usize>,
    /// Hosts, from 1, that get a new disk when all is healed.
    lost: Vec<usize>,
    cluster_id: String,
}

impl Cluster {
    /// Makes network and disks, prepares and starts the hosts, and waits until all of them serve.
    ///
    /// # Errors
    /// What could not be made, or what a host said.
    pub fn start(layout: &Layout, means: &Means) -> Result<Cluster, BenchError> {
        let switch = if layout.enclosed { Some(net::build(layout.seed)?) } else { None };
        let setup = setup(layout, means);
        let hosts: Vec<Host> = (1..=HOSTS).map(|number| Host::new(number, &setup)).collect();
        let mut disks = Vec::new();
        let mut cluster_id = None;
        for (host, &medium) in hosts.iter().zip(&layout.media) {
            disks.push(Disk::mount(medium, &host.disk(), layout.seed ^ host.number as u64)?);
            let id = host.init(cluster_id.as_deref())?;
            cluster_id.get_or_insert(id);
        }
        let mut cluster = Cluster {
            hosts,
            disks,
            switch,
            means: means.clone(),
            folder: layout.folder.clone(),
            fallen: Vec::new(),
            stopped: Vec::new(),
            lost: Vec::new(),
            cluster_id: cluster_id.unwrap_or_default(),
        };
        for host in &mut cluster.hosts {
            host.start()?;
        }
        for host in &mut cluster.hosts {
            host.wait_until_it_serves()?;
        }
        Ok(cluster)
    }

    /// Plain ports of the hosts.
    pub fn plain(&self) -> Vec<SocketAddr> {
        self.hosts.iter().map(Host::plain).collect()
    }

    /// Lets a fault happen.
    ///
    /// # Errors
    /// The machine refuses: then nothing is proven.
    pub fn inject(&mut self, fault: &Fault) -> Result<(), BenchError> {
        match fault.kind {
            Kind::Kill => self.fell(fault.host),
            Kind::KillAll => (1..=HOSTS).try_for_each(|host| self.fell(host)),
            Kind::Pause => self.pause(fault.host),
            Kind::Isolate
            | Kind::CutPair
            | Kind::OneWay
            | Kind::Mute
            | Kind::Deaf
            | Kind::Delay
            | Kind::Reorder
            | Kind::Loss
            | Kind::Repeat => self.disturb(fault),
            Kind::Clock => self.set_clock(fault.host, ["+3600", "-3600"][fault.choice(2)]),
            Kind::Cpu => self.limit_cpu(fault.host),
            Kind::SlowDisk => self.disks[fault.host - 1].spoil(Ill::Slow),
            Kind::Throttle => self.throttle(fault.host),
            Kind::FullDisk => self.disks[fault.host - 1].fill(),
            Kind::FailingSync => self.spoil(fault.host, [Ill::Syncs, Ill::NextSync][fault.choice(2)]),
            Kind::FailingWrite => {
                let after = Ill::WriteAfter(fault.salt / 2 % 100);
                self.spoil(fault.host, [Ill::Writes, after][fault.choice(2)])
            }
            Kind::PowerCut => self.cut_power(fault.host),
            Kind::PowerCutAll => (1..=HOSTS).try_for_each(|host| self.cut_power(host)),
            Kind::Shutdown => {
                self.must_start(fault.host);
                self.disks[fault.host - 1].shut_down()
            }
            Kind::LostDisk => {
                self.lost.push(fault.host);
                self.fell(fault.host)
            }
            Kind::BitRot => self.rot(fault.host),
        }
    }

    /// Starts a host on a disk that has decayed while it was down. What it makes of it is seen until all is healed.
    fn rot(&mut self, host: usize) -> Result<(), BenchError> {
        self.lost.push(host);
        self.fell(host)?;
        self.disks[host - 1].rot()?;
        self.hosts[host - 1].start()
    }

    /// A new disk for each host that lost its data, as the operator's handbook says. The processes of those are dead.
    fn replace_disks(&self, lost: &[usize]) -> Result<(), BenchError> {
        for &host in lost {
            self.hosts[host - 1].lose_data()?;
            self.hosts[host - 1].rejoin(&self.cluster_id)?;
            let others = self.hosts.iter().filter(|other| other.number != host);
            others.into_iter().try_for_each(|other| other.recover(host))?;
        }
        Ok(())
    }

    /// Kills a host; it stays down until all is healed.
    fn fell(&mut self, host: usize) -> Result<(), BenchError> {
        self.must_start(host);
        self.hosts[host - 1].kill()
    }

    /// Has a host started anew when all is healed.
    pub fn must_start(&mut self, host: usize) {
        if !self.fallen.contains(&host) {
            self.fallen.push(host);
        }
    }

    fn pause(&mut self, host: usize) -> Result<(), BenchError> {
        self.stopped.push(host);
        match self.hosts[host - 1].pid() {
            Some(_) => self.hosts[host - 1].signal(Signal::STOP),
            // The other fault of the episode has killed it already.
            None => Ok(()),
        }
    }

    /// A failing disk stops cores of its host; the host has to be started again.
    fn spoil(&mut self, host: usize, ill: Ill) -> Result<(), BenchError> {
        self.must_start(host);
        self.disks[host - 1].spoil(ill)
    }

    fn cut_power(&mut self, host: usize) -> Result<(), BenchError> {
        self.must_start(host);
        let process = &self.hosts[host - 1];
        self.disks[host - 1].cut_power(|| match process.pid() {
            Some(_) => process.signal(Signal::KILL),
            None => Ok(()),
        })?;
        self.hosts[host - 1].kill()
    }

    fn throttle(&self, host: usize) -> Result<(), BenchError> {
        let controller = self.means.writes.clone().map_err(BenchError::Command)?;
        let device = self.disks[host - 1].device()?;
        self.limit(&controller, host, &[("blkio.throttle.write_iops_device", &format!("{device} 20"))])
    }

    fn disturb(&mut self, fault: &Fault) -> Result<(), BenchError> {
        let switch =
            self.switch.as_ref().ok_or_else(|| BenchError::Usage("no network of its own".to_owned()))?;
        let between_hosts = (1..=HOSTS).flat_map(|from| (1..=HOSTS).map(move |to| (from, to)));
        switch.change(|links| {
            for (from, to) in between_hosts.filter(|(from, to)| from != to) {
                disturb(&mut links[from][to], fault, from, to);
            }
        });
        Ok(())
    }

    fn set_clock(&self, host: usize, shift: &str) -> Result<(), BenchError> {
        fs::write(self.hosts[host - 1].clock_file(), format!("{shift}\n"))
            .map_err(|source| BenchError::io("shifting a clock", source))
    }

    /// The control group of a host, made if need be. Its name tells whose it is, for the sweep.
    fn group(&self, controller: &Path, host: usize) -> Result<PathBuf, BenchError> {
        let run = self.folder.file_name().unwrap_or_default();
        let group = controller.join(run).join(format!("host-{host}"));
        fs::create_dir_all(&group).map_err(|source| BenchError::io("making a control group", source))?;
        Ok(group)
    }

    fn limit_cpu(&self, host: usize) -> Result<(), BenchError> {
        let controller = self.means.cpu.clone().map_err(BenchError::Command)?;
        self.limit(&controller, host, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")])
    }

    /// Puts a host into its control group with these settings.
    fn limit(&self, controller: &Path, host: usize, settings: &[(&str, &str)]) -> Result<(), BenchError> {
        let group = self.group(controller, host)?;
        for (file, text) in settings {
            self.write_group(&group, file, text)?;
        }
        match self.hosts[host - 1].pid() {
            Some(pid) => self.write_group(&group, "cgroup.procs", &pid.to_string()),
            None => Ok(()),
        }
    }

    /// Lets a host have everything again: back into the group of all.
    fn free(&self, host: usize) -> Result<(), BenchError> {
        let Some(pid) = self.hosts[host - 1].pid() else { return Ok(()) };
        for controller in [&self.means.cpu, &self.means.writes].into_iter().flatten() {
            let run = self.folder.file_name().unwrap_or_default();
            if controller.join(run).join(format!("host-{host}")).is_dir() {
                self.write_group(controller, "cgroup.procs", &pid.to_string())?;
            }
        }
        Ok(())
    }

    fn write_group(&self, group: &Path, file: &str, text: &str) -> Result<(), BenchError> {
        let path = group.join(file);
        fs::write(&path, text).map_err(|source| BenchError::io(format!("writing {}", path.display()), source))
    }

    /// Ends all faults, starts what is down, and waits until every host serves; gives how long that took.
    ///
    /// # Errors
    /// A host does not come back: the text says which and what it said.
    pub fn heal(&mut self) -> Result<Duration, BenchError> {
        let begin = std::time::Instant::now();
        if let Some(switch) = &self.switch {
            switch.change(|links| *links = Default::default());
        }
        for host in std::mem::take(&mut self.stopped) {
            if self.hosts[host - 1].pid().is_some() {
                self.hosts[host - 1].signal(Signal::CONT)?;
            }
        }
        for host in 1..=HOSTS {
            self.set_clock(host, "+0")?;
            self.free(host)?;
        }
        let fallen = std::mem::take(&mut self.fallen);
        for host in &fallen {
            self.hosts[host - 1].kill()?;
        }
        for disk in &mut self.disks {
            disk.mend()?;
        }
        let lost = std::mem::take(&mut self.lost);
        self.replace_disks(&lost)?;
        for host in &fallen {
            self.hosts[host - 1].start()?;
        }
        for host in &mut self.hosts {
            host.wait_until_it_serves()?;
        }
        for host in lost {
            self.hosts[host - 1].wait_until_it_votes()?;
        }
        Ok(begin.elapsed())
    }

    /// The hosts that ended by themselves since the last look, in words.
    pub fn ended(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        for index in 0..self.hosts.len() {
            if let Some(text) = self.hosts[index].ended() {
                texts.push(text);
                self.must_start(index + 1);
            }
        }
        texts
    }

    /// The disk in memory of a host, from 1.
    ///
    /// # Errors
    /// Its disk is of another kind.
    pub fn memory_disk(&self, host: usize) -> Result<&MemoryDisk, BenchError> {
        let disk = self.disks[host - 1].memory();
        disk.ok_or_else(|| {
            BenchError::Usage(format!("host {host} has no disk in memory: give --disks memory"))
        })
    }

    /// Delays every frame between hosts.
    ///
    /// # Errors
    /// There is no network of the lab's own.
    pub fn set_distance(&mut self, delay: Duration) -> Result<(), BenchError> {
        let switch =
            self.switch.as_ref().ok_or_else(|| BenchError::Usage("no network of its own".to_owned()))?;
        switch.change(|links| {
            for link in links.iter_mut().skip(1).flat_map(|row| row.iter_mut().skip(1)) {
                link.delay = delay;
            }
        });
        Ok(())
    }

    /// How long each host's threads have waited for a CPU since its process started, ns.
    pub fn cpu_waits(&self) -> Vec<(u64, u64)> {
        let wait = |host: &Host| (host.starts, host.pid().map_or(0, procs::cpu_wait_ns));
        self.hosts.iter().map(wait).collect()
    }

    /// Frames that the switch passed on, and frames it dropped.
    pub fn frames(&self) -> (u64, u64) {
        self.switch.as_ref().map_or((0, 0), Switch::counts)
    }
}

fn setup(layout: &Layout, means: &Means) -> Setup {
    let local = |number: usize| IpAddr::V4(Ipv4Addr::new(127, 0, 0, number as u8));
    // Without a network of its own, ports that other hosts of this machine hardly use, and other drills not.
    let base = 20_000 + (std::process::id() % 2_000) as u16 * 16;
    let shared = Ports { plain: base, core_base: base + 1, peer_base: base + 6, admin: base + 11 };
    let numbers = 1..=HOSTS;
    Setup {
        binary: layout.binary.clone(),
        folder: layout.folder.clone(),
        cores: layout.cores,
        ports: if layout.enclosed { OWN_PORTS } else { shared },
        addresses: numbers.clone().map(if layout.enclosed { net::address } else { local }).collect(),
        namespaces: if layout.enclosed { numbers.map(net::namespace).collect() } else { Vec::new() },
        clock: means.clock.clone().ok(),
        deadline_ms: 1_000,
    }
}

/// What a fault of the network makes of the link from one host to another.
fn disturb(link: &mut Link, fault: &Fault, from: usize, to: usize) {
    let (host, other) = (fault.host, fault.other);
    // A third of all lossy networks are hardly so, a third are hard to work with.
    let strength = [10, 50, 200][fault.choice(3)];
    match fault.kind {
        Kind::Isolate if from == host || to == host => link.cut = true,
        Kind::CutPair if (from == host && to == other) || (from == other && to == host) => link.cut = true,
        Kind::OneWay if from == other && to == host => link.cut = true,
        Kind::Mute if from == host => link.cut = true,
        Kind::Deaf if to == host => link.cut = true,
        Kind::Delay => link.delay = Duration::from_millis(u64::from(strength) / 4 + 1),
        Kind::Reorder => link.jitter = Duration::from_millis(u64::from(strength) / 10 + 1),
        Kind::Loss => link.lost = strength,
        Kind::Repeat => link.repeated = strength,
        _ => {}
    }
}
