//! The server processes as the kernel sees them: which process listens on an address, and the CPU time it has
//! used.
//!
//! Reads `/proc` and nothing else, so it works for any server on this machine and finds nothing for one
//! elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Clock ticks per second in `/proc/PID/stat`: USER_HZ, fixed by the Linux ABI on every machine Rust servers
/// run on.
const TICKS_PER_SECOND: u64 = 100;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// One process, told apart from a later one of the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Ticks after boot at which it started.
    pub started: u64,
}

/// The fields after the name in `/proc/PID/stat`; the name may hold spaces and brackets.
fn stat_fields(stat: &str) -> Option<Vec<&str>> {
    let (_, tail) = stat.rsplit_once(')')?;
    Some(tail.split_ascii_whitespace().collect())
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

impl Process {
    /// The running process of this id; `None` if there is none, or if it is only waiting to be reaped.
    pub fn running(pid: u32) -> Option<Process> {
        let stat = stat(pid)?;
        let fields = stat_fields(&stat)?;
        let state = *fields.first()?;
        let started = fields.get(19)?.parse().ok()?;
        (!matches!(state, "Z" | "X" | "x")).then_some(Process { pid, started })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Process::running(self.pid) == Some(*self)
    }

    /// CPU time used so far, user and system, in microseconds (to 10 ms, as the kernel counts); `None` once
    /// it is gone.
    pub fn cpu_us(&self) -> Option<u64> {
        let stat = stat(self.pid)?;
        let fields = stat_fields(&stat)?;
        let user: u64 = fields.get(11)?.parse().ok()?;
        let system: u64 = fields.get(12)?.parse().ok()?;
        Some(user.saturating_add(system).saturating_mul(1_000_000 / TICKS_PER_SECOND))
    }
}

/// How long the threads of a process have been ready to run and had to wait for a CPU, in ns, all together; 0
/// if the kernel does not tell. A drill that measures time says by it how busy the machine was.
pub fn cpu_wait_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let waited = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(|task| waited(task.path())).sum()
}

/// The processes that listen on any of the addresses, in order of their ids. Empty for servers on another
/// machine, and for processes whose descriptors this user may not see.
pub fn listening(addrs: &[SocketAddr]) -> Vec<Process> {
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(|line| listening_inode(line, addrs)));
    }
    if inodes.is_empty() {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Process> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| holds_any(pid, &inodes))
        .filter_map(Process::running)
        .collect();
    found.sort_unstable();
    found
}

fn holds_any(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

/// The inode of a line of `/proc/net/tcp`, if it listens where one of the addresses would reach it.
fn listening_inode(line: &str, addrs: &[SocketAddr]) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let (ip, port) = (hex_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    let reaches = |addr: &SocketAddr| addr.port() == port && (ip.is_unspecified() || addr.ip() == ip);
    addrs.iter().any(reaches).then(|| inode.parse().ok())?
}

/// An address as the kernel prints it: 32-bit words in the machine's byte order.
fn hex_ip(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<u32>> =
        (0..text.len() / 8).map(|i| u32::from_str_radix(text.get(i * 8..i * 8 + 8)?, 16).ok()).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(sixteen)).to_canonical())
}

/// CPU time of a set of processes over a span of time.
#[derive(Debug)]
pub struct CpuMeter {
    at_start: Vec<(Process, u64)>,
}

impl CpuMeter {
    /// Starts measuring.
    pub fn start(processes: &[Process]) -> CpuMeter {
        let at_start = processes.iter().filter_map(|process| Some((*process, process.cpu_us()?))).collect();
        CpuMeter { at_start }
    }

    /// Microseconds of CPU since the start, over all processes; `None` if there were none or one of them is
    /// gone.
    pub fn elapsed_us(&self) -> Option<u64> {
        if self.at_start.is_empty() {
            return None;
        }
        let spent = |(process, before): &(Process, u64)| Some(process.cpu_us()?.saturating_sub(*before));
        self.at_start.iter().map(spent).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_found_by_its_address_and_only_by_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let me = Process::running(std::process::id()).unwrap();
        assert_eq!(listening(&[addr]), vec![me]);
        assert!(me.is_alive() && me.cpu_us().is_some());
        assert_eq!(cpu_wait_ns(u32::MAX), 0, "there is no such process");
        assert!(!Process { started: me.started + 1, ..me }.is_alive(), "an id used again is another process");
        assert_eq!(listening(&[SocketAddr::new("127.0.0.9".parse().unwrap(), addr.port())]), Vec::new());
    }

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let fields = stat_fields("7 (a) b (c) S 1 2").unwrap();
        assert_eq!(fields, ["S", "1", "2"]);
    }
}
