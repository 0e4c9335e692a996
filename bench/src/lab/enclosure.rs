//! The walls of the lab: namespaces of its own for processes, mounts and network, and a folder, all of which go
//! when the lab ends, however it ends.
//!
//! The drill starts itself again inside. There it is the first process of a process namespace: when it ends, by
//! a panic or a signal too, the kernel ends every host with it; mounts, devices, interfaces and loop devices
//! that only those namespaces held go as well. The process outside waits, passes on an interruption by killing
//! the one inside, and removes the folder and the control groups, which no namespace holds. If the one outside
//! is killed itself, the one inside dies with it, and the next run sweeps up what is left: names tell whose
//! they are.
//!
//! Without root there are no walls, and a lab of plain processes on loopback addresses is left; the faults that
//! it cannot have are named by [`super::means`].

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{kill_process, waitid, Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::means::Means;
use super::tool;
use crate::error::BenchError;
use crate::procs::Process;

/// In front of the names of folders and control groups; the process id of the drill outside follows.
const NAME: &str = "synod-lab-";

/// Where controllers of the first version of cgroups are mounted.
const CONTROLLERS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/blkio"];

/// Exit code of a drill that was interrupted, as shells have it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Starts this program again with the same arguments and `--inside FOLDER`, within walls if there can be any,
/// and waits for it. Gives its exit code.
///
/// # Errors
/// The folder cannot be made, or the program not be started.
pub fn run(arguments: impl Iterator<Item = OsString>, keep: Option<&Path>) -> Result<u8, BenchError> {
    sweep();
    let name = format!("{NAME}{}", std::process::id());
    let folder = std::env::temp_dir().join(&name);
    fs::create_dir_all(&folder)
        .map_err(|source| BenchError::io(format!("making {}", folder.display()), source))?;
    let done = run_inside(arguments, &folder);
    if let Some(keep) = keep {
        keep_logs(&folder, keep)?;
    }
    remove(&folder, &name);
    done
}

fn run_inside(arguments: impl Iterator<Item = OsString>, folder: &Path) -> Result<u8, BenchError> {
    let program = std::env::current_exe().map_err(|source| BenchError::io("finding this program", source))?;
    let mut command = walls()?;
    command.arg(program).args(arguments).arg("--inside").arg(folder);
    // A process group of its own: an interruption from the terminal comes to the process outside alone.
    command.process_group(0);
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| BenchError::io("listening for signals", source))?;
    let mut child = command.spawn().map_err(|source| BenchError::io("starting the lab", source))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
    let handle = signals.handle();
    let killer = std::thread::spawn(move || {
        let interrupted = signals.forever().next().is_some();
        if interrupted {
            // One that has just ended by itself needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        interrupted
    });
    // The child is only looked at, so that its number stays its own until the killer is done.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(pid), look), Err(Errno::INTR)) {}
    handle.close();
    let interrupted = killer.join().expect("the thread that listens for signals does not panic");
    let status = child.wait().map_err(|source| BenchError::io("waiting for the lab", source))?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        None if interrupted => Ok(INTERRUPTED),
        None => {
            let signal = status.signal().unwrap_or_default();
            Err(BenchError::Command(format!("the lab ended by signal {signal}")))
        }
    }
}

/// The command in front of the program: dies with this process, and has namespaces if it may.
fn walls() -> Result<Command, BenchError> {
    let setpriv = tool::find("setpriv")
        .ok_or_else(|| BenchError::Command("setpriv is not installed (util-linux)".to_owned()))?;
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]);
    if Means::look().enclosure.is_ok() {
        command.args(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        command.args(["--propagation", "private", "--"]);
    }
    Ok(command)
}

/// Furnishes the inside: places of its own for the names of network namespaces and for shared memory. Tells
/// whether there are walls at all.
///
/// # Errors
/// What `mount` or `ip` said.
pub fn furnish() -> Result<bool, BenchError> {
    // The first process of a process namespace: only then is anything that is mounted seen by the lab alone.
    if std::process::id() != 1 {
        return Ok(false);
    }
    for place in ["/run", "/dev/shm"] {
        tool::run("mount", &["-t", "tmpfs", "-o", "size=16m", "synod-lab", place])?;
    }
    tool::run("ip", &["link", "set", "lo", "up"])?;
    Ok(true)
}

/// Removes what runs left whose process outside is gone.
fn sweep() {
    let gone = |name: &str| {
        let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next()?.parse().ok());
        pid.is_some_and(|pid| Process::running(pid).is_none())
    };
    let folders = CONTROLLERS.iter().map(PathBuf::from).chain([std::env::temp_dir()]);
    for entry in folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if gone(&name) {
            remove(&std::env::temp_dir().join(&name), &name);
        }
    }
}

/// Removes a run's folder and control groups. What cannot be removed now is swept up by a later run.
fn remove(folder: &Path, name: &str) {
    let _ = fs::remove_dir_all(folder);
    for controller in CONTROLLERS {
        let group = Path::new(controller).join(name);
        for entry in fs::read_dir(&group).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&group);
    }
}

/// Copies what people want to read afterwards: logs and configurations.
fn keep_logs(folder: &Path, keep: &Path) -> Result<(), BenchError> {
    let what = |source| BenchError::io(format!("keeping logs in {}", keep.display()), source);
    for entry in fs::read_dir(folder).map_err(what)?.flatten().filter(|entry| entry.path().is_dir()) {
        let place = keep.join(entry.file_name());
        fs::create_dir_all(&place).map_err(what)?;
        for name in ["log", "synod.toml"] {
            if entry.path().join(name).is_file() {
                fs::copy(entry.path().join(name), place.join(name)).map_err(what)?;
            }
        }
    }
    Ok(())
}
