//! Whether this machine can run a node: what `synod check` prints, and what `serve` refuses to start without.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{getrlimit, Resource};

use super::Failure;
use crate::config::Settings;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, but less well than it could.
    Warn,
    /// A node cannot run like this.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// How it ended.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    pub fix: Option<String>,
}

impl Finding {
    fn good(name: &'static str, found: impl Into<String>) -> Finding {
        Finding { name, grade: Grade::Good, found: found.into(), fix: None }
    }

    fn other(name: &'static str, grade: Grade, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { name, grade, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Descriptors besides the clients': log files, peers, rings, listeners.
const SPARE_FDS: u64 = 512;

/// Durable writes of the disk probe: enough for a median, few enough for a slow disk.
const PROBE_WRITES: usize = 32;

/// A durable write that takes longer makes every acknowledged write slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);

/// Refuses to go on where a node cannot run, and raises the limits of this process as far as it may. To be called
/// before any thread exists.
pub fn require() -> Result<(), Failure> {
    reactor::uring::check().map_err(|error| Failure::Unusable(error.sentence))
}

/// What works, but less well than it could: for the log of a host that starts.
pub fn warnings(settings: &Settings) -> Vec<Finding> {
    [files(settings)].into_iter().filter(|finding| finding.grade != Grade::Good).collect()
}

/// Everything that `synod check` looks at. `directory` is the data directory or, before it is made, the nearest one
/// above it.
pub fn all(settings: &Settings, directory: &Path) -> Vec<Finding> {
    vec![kernel(), files(settings), memlock(), file_system(directory), disk(directory)]
}

/// What the cores need of the kernel, as the reactor checks it.
fn kernel() -> Finding {
    let name = "io_uring";
    match reactor::uring::check() {
        Ok(()) => Finding::good(name, "available, with all operations that are used"),
        Err(error) => match error.sentence.split_once(": ") {
            Some((found, fix)) => Finding::other(name, Grade::Bad, found, fix),
            None => Finding::other(name, Grade::Bad, error.sentence, "see above"),
        },
    }
}

fn files(settings: &Settings) -> Finding {
    let name = "open files";
    let wanted = settings.clients_max.0.saturating_add(SPARE_FDS);
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    match hard {
        hard if hard >= wanted => Finding::good(name, format!("up to {hard}, {wanted} needed")),
        hard => Finding::other(
            name,
            Grade::Warn,
            format!("up to {hard}, but clients_max = {} needs {wanted}", settings.clients_max.0),
            format!("set LimitNOFILE={wanted} in the unit (or `ulimit -Hn {wanted}`), or lower clients_max"),
        ),
    }
}

fn memlock() -> Finding {
    let name = "locked memory";
    match getrlimit(Resource::Memlock).maximum {
        None => Finding::good(name, "unlimited"),
        Some(bytes) if bytes >= 8 << 20 => Finding::good(name, format!("up to {} MiB", bytes >> 20)),
        Some(bytes) => Finding::other(
            name,
            Grade::Warn,
            format!("up to {} KiB", bytes >> 10),
            "set LimitMEMLOCK=infinity in the unit (or `ulimit -l unlimited`); old kernels need it for rings",
        ),
    }
}

const TMPFS_MAGIC: u64 = 0x0102_1994;

fn file_system(directory: &Path) -> Finding {
    let name = "file system";
    match rustix::fs::statfs(directory) {
        Err(e) => Finding::other(name, Grade::Bad, e.to_string(), "make the directory, or correct data_dir"),
        Ok(facts) if facts.f_type as u64 == TMPFS_MAGIC => Finding::other(
            name,
            Grade::Warn,
            "in memory (tmpfs): nothing outlives the machine",
            "put data_dir on a disk (ext4 or xfs)",
        ),
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(u64::try_from(facts.f_bsize).unwrap_or(0));
            Finding::good(name, format!("{} GiB free", free >> 30))
        }
    }
}

fn disk(directory: &Path) -> Finding {
    let name = "durable write";
    match probe(directory) {
        Err(e) => {
            let path = directory.display();
            Finding::other(
                name,
                Grade::Bad,
                format!("cannot write to {path}: {e}"),
                "correct data_dir or its owner",
            )
        }
        Ok(median) if median > SLOW_SYNC => Finding::other(
            name,
            Grade::Warn,
            format!("{:.1} ms for 4 KiB", median.as_secs_f64() * 1e3),
            "every acknowledged write waits for one; use a disk with power-loss protection",
        ),
        Ok(median) => Finding::good(name, format!("{:.2} ms for 4 KiB (median)", median.as_secs_f64() * 1e3)),
    }
}

/// The median time of a durable 4 KiB write over written blocks, which is what the log does.
fn probe(directory: &Path) -> std::io::Result<Duration> {
    let path = directory.join(format!(".synod-check-{}", std::process::id()));
    let _remove = Remove(&path);
    let block = [0x5a; 4096];
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(&block.repeat(PROBE_WRITES))?;
    file.sync_all()?;
    drop(file);
    let dsync = i32::try_from(rustix::fs::OFlags::DSYNC.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().write(true).custom_flags(dsync).open(&path)?;
    let mut times = Vec::new();
    for _ in 0..PROBE_WRITES {
        let begun = Instant::now();
        file.write_all(&block)?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times.get(PROBE_WRITES / 2).copied().unwrap_or_default())
}

struct Remove<'a>(&'a Path);

impl Drop for Remove<'_> {
    fn drop(&mut self) {
        // When it is not there any more, that is as well.
        let _ = std::fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_measures_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let median = probe(dir.path()).expect("writes");
        assert!(median > Duration::ZERO);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_bad_and_says_what_to_do() {
        for finding in [disk(Path::new("/no/such/folder")), file_system(Path::new("/no/such/folder"))] {
            assert!(finding.grade == Grade::Bad && finding.fix.is_some(), "{finding:?}");
        }
    }
}
