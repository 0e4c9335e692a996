//! Child processes: servers that run until they are dropped, and commands that run to their end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{CompareError, Result};
use crate::limits::{LAST_LINES, POLL, STOP_PATIENCE};

/// Whether somebody asked to stop, by Ctrl-C or SIGTERM.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the signals set this flag instead of ending the process.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))
                .map_err(|error| CompareError::io("listening for signals", error))?;
        }
        Ok(stop)
    }

    /// [`CompareError::Interrupted`] if somebody asked.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(CompareError::Interrupted);
        }
        Ok(())
    }

    /// Waits for so long, or until somebody asks to stop.
    pub fn sleep(&self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.check()?;
            std::thread::sleep(left.min(POLL));
        }
        self.check()
    }
}

/// A server of ours. Dropping it ends it: SIGTERM, and SIGKILL when that does not help.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a command as a server, with its output in `DIR/NAME.log`, out of reach of the terminal's Ctrl-C.
    pub fn start(name: &str, command: &mut Command, dir: &Path) -> Result<Server> {
        let log = dir.join(format!("{name}.log"));
        redirect(command, &log)?;
        let child = command.process_group(0).spawn();
        let child = child.map_err(|error| CompareError::io(format!("starting {name}"), error))?;
        Ok(Server { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(CompareError::tool(&self.name, format!("ended ({status}): {}", last_words(&self.log))))
            }
            Err(error) => Err(CompareError::io(format!("looking after {}", self.name), error)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let end = Instant::now() + STOP_PATIENCE;
        signal(&self.child, Signal::TERM);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= end {
                // A process that does not end by itself is of no further use.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may just have ended; it has not been waited for, so the id is still its own.
        let _ = kill_process(pid, signal);
    }
}

fn redirect(command: &mut Command, log: &Path) -> Result<()> {
    let failed = |error| CompareError::io(format!("making {}", log.display()), error);
    let out = File::create(log).map_err(failed)?;
    let err = out.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    Ok(())
}

/// The end of a log, on one line. Not the last line alone: what a program printed early may be flushed late, behind its error.
fn last_words(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines
        .get(from..)
        .filter(|lines| !lines.is_empty())
        .map_or("nothing was said".to_owned(), |lines| lines.join(" | "))
}

/// Runs a command to its end, with its output in `log`; gives its exit status and what it printed.
///
/// # Errors
/// It cannot be started, takes longer than `patience`, or somebody asked to stop: then it is killed.
pub fn run(
    name: &str,
    command: &mut Command,
    log: &Path,
    patience: Duration,
    stop: &Stop,
) -> Result<(ExitStatus, String)> {
    redirect(command, log)?;
    let child = command.process_group(0).spawn();
    let mut child = child.map_err(|error| CompareError::io(format!("starting {name}"), error))?;
    let status = await_end(name, &mut child, patience, stop);
    if status.is_err() {
        // What is not awaited any longer must not go on.
        let _ = child.kill();
        let _ = child.wait();
    }
    let bytes =
        std::fs::read(log).map_err(|error| CompareError::io(format!("reading {}", log.display()), error))?;
    Ok((status?, String::from_utf8_lossy(&bytes).into_owned()))
}

fn await_end(name: &str, child: &mut Child, patience: Duration, stop: &Stop) -> Result<ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        stop.check()?;
        let ended =
            child.try_wait().map_err(|error| CompareError::io(format!("waiting for {name}"), error))?;
        if let Some(status) = ended {
            return Ok(status);
        }
        if Instant::now() >= end {
            return Err(CompareError::tool(name, format!("not done after {} s", patience.as_secs())));
        }
        std::thread::sleep(POLL);
    }
}

/// As [`run`], and an error unless the command ends well.
pub fn run_well(
    name: &str,
    command: &mut Command,
    log: &Path,
    patience: Duration,
    stop: &Stop,
) -> Result<String> {
    let (status, text) = run(name, command, log, patience, stop)?;
    if !status.success() {
        return Err(CompareError::tool(name, format!("{status}: {}", last_words(log))));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_bench::procs::Process;

    #[test]
    fn a_server_ends_with_its_owner_and_tells_why_it_ended_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start("sleep", Command::new("sleep").arg("600"), dir.path()).unwrap();
        let process = Process::running(server.pid()).unwrap();
        server.check().unwrap();
        drop(server);
        assert!(!process.is_alive());
        let mut short =
            Server::start("sh", Command::new("sh").args(["-c", "echo no room >&2; exit 3"]), dir.path())
                .unwrap();
        let error = loop {
            if let Err(error) = short.check() {
                break error.to_string();
            }
        };
        assert!(error.contains("no room") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_command_that_takes_too_long_or_is_interrupted_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let stop = Stop::default();
        let sleep =
            |patience, stop: &Stop| run("sleep", Command::new("sleep").arg("600"), &log, patience, stop);
        assert!(matches!(sleep(Duration::ZERO, &stop), Err(CompareError::Tool { .. })));
        stop.0.store(true, Ordering::Relaxed);
        assert!(matches!(sleep(Duration::from_secs(600), &stop), Err(CompareError::Interrupted)));
        let said = run_well(
            "sh",
            Command::new("sh").args(["-c", "echo well"]),
            &log,
            Duration::from_secs(60),
            &Stop::default(),
        );
        assert_eq!(said.unwrap(), "well\n");
    }
}
