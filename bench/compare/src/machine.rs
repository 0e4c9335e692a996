//! The machine as the kernel tells it: what it is, and how busy it is.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::error::{CompareError, Result};

/// Clock ticks per second in `/proc/stat`: USER_HZ, fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `statfs` says of a tmpfs (linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// What stands in the JSON and on the page about the machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The model of the first of them.
    pub model: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Load average over one minute when the comparison began: how busy the machine was without it.
    pub load_before: f64,
    /// What each program says its version is.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// Looks at this machine.
    pub fn look(synod: &Path) -> Machine {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
        let memory = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let load = read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok());
        let versions = [
            ("synod", version(Command::new(synod).arg("--version"))),
            ("redis-server", version(Command::new("redis-server").arg("--version"))),
            ("valkey-server", version(Command::new("valkey-server").arg("--version"))),
            ("etcd", version(Command::new("etcd").arg("--version"))),
        ];
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.unwrap_or("unknown").trim().to_owned(),
            memory_bytes: memory.unwrap_or(0).saturating_mul(1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load.unwrap_or(0.0),
            versions: versions.into_iter().map(|(name, version)| (name.to_owned(), version)).collect(),
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first line that a program prints about its version, or why there is none.
fn version(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned(),
        Err(error) => format!("not found ({error})"),
    }
}

/// Refuses a folder that lies in memory: nothing there is synced, so nothing could be compared.
pub fn must_be_a_disk(dir: &Path) -> Result<()> {
    let found = rustix::fs::statfs(dir);
    let stat =
        found.map_err(|error| CompareError::io(format!("looking at {}", dir.display()), error.into()))?;
    if stat.f_type as i64 == TMPFS_MAGIC {
        return Err(CompareError::Usage(format!(
            "{} lies in memory; name a folder on a disk with --dir",
            dir.display()
        )));
    }
    Ok(())
}

/// CPU time that the whole machine has spent working, in CPU seconds since it started.
fn busy_seconds() -> Option<f64> {
    let text = read("/proc/stat");
    busy_of(text.lines().next()?)
}

/// user, nice, system, irq, softirq and steal of the first line; guests are in user, and idle and iowait are no work.
fn busy_of(line: &str) -> Option<f64> {
    let fields: Vec<f64> =
        line.strip_prefix("cpu ")?.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let working = [0, 1, 2, 5, 6, 7].into_iter().map(|index| fields.get(index).copied());
    working.sum::<Option<f64>>().map(|ticks| ticks / TICKS_PER_SECOND)
}

/// What the machine did during a span of time.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    pids: Vec<u32>,
    busy: Option<f64>,
    written: Option<u64>,
}

impl Watch {
    /// Starts watching, these processes' writes to the disk among the rest.
    pub fn start(pids: &[u32]) -> Watch {
        Watch { start: Instant::now(), pids: pids.to_vec(), busy: busy_seconds(), written: disk_bytes(pids) }
    }

    /// CPUs busy on average since the start.
    pub fn busy_cores(&self) -> Option<f64> {
        let seconds = self.start.elapsed().as_secs_f64();
        busy_seconds().zip(self.busy).map(|(now, then)| (now - then) / seconds)
    }

    /// Bytes that the processes had written to the disk per second since the start.
    pub fn written_per_second(&self) -> Option<f64> {
        let seconds = self.start.elapsed().as_secs_f64();
        disk_bytes(&self.pids).zip(self.written).map(|(now, then)| now.saturating_sub(then) as f64 / seconds)
    }
}

/// Bytes that processes have had written to the disk so far; `None` where the kernel does not say.
fn disk_bytes(pids: &[u32]) -> Option<u64> {
    let written = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok())
    };
    pids.iter().map(written).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_and_waiting_is_not() {
        assert_eq!(busy_of("cpu  100 20 300 9000 500 10 20 50 7 0"), Some(5.0));
        assert_eq!(busy_of("cpu  1 2 3"), None);
        assert!(busy_seconds().is_some_and(|seconds| seconds > 0.0));
        assert!(disk_bytes(&[std::process::id()]).is_some());
    }

    #[test]
    fn memory_is_no_disk() {
        assert!(must_be_a_disk(Path::new("/dev/shm")).is_err());
    }
}
