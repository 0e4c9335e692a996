//! Three hosts on this machine in the background, for scripts and drills: start, kill, restart, status, stop.
//!
//! Where [`crate::dev::cluster`] supervises its hosts and takes them along when it ends, here nobody does: the hosts run on by
//! themselves, and a file per host below the folder says which process it is. Before a process is signalled it is looked at:
//! a number that belongs to somebody else by now is left alone.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::admin::http;
use crate::boot::Failure;
use crate::config::table::ENV_PREFIX;
use crate::config::Loaded;
use crate::datadir::sealed;
use crate::dev;

/// Time for a host to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What scripts read: the last line that `start` and `restart` print, and `DIR/cluster.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Described {
    plain: Vec<String>,
    cores: Vec<String>,
    admin: Vec<String>,
    pids: Vec<u32>,
}

/// One of the hosts.
struct Host {
    number: u32,
    config: PathBuf,
    directory: PathBuf,
    admin: String,
}

/// Runs one verb on the cluster below `directory`.
pub fn run(verb: &str, directory: &Path, number: Option<u32>, loaded: &Loaded) -> Result<(), Failure> {
    match verb {
        "start" => start(directory, loaded),
        "stop" => stop(directory, loaded),
        "status" => status(directory, loaded),
        "kill" => kill(&one(directory, number, loaded)?),
        "restart" => restart(directory, &one(directory, number, loaded)?, loaded),
        other => {
            Err(Failure::Usage(format!("there is no verb {other}: start, kill, restart, status or stop")))
        }
    }
}

fn hosts(directory: &Path, loaded: &Loaded) -> Result<Vec<Host>, Failure> {
    let directory = directory.canonicalize().map_err(|e| {
        Failure::Usage(format!("no cluster below {}: {e}; make one with the verb start", directory.display()))
    })?;
    let admin_port = loaded.settings.admin_port;
    let host = |number: u32| Host {
        number,
        config: directory.join(format!("host-{number}.toml")),
        admin: format!("127.0.0.{number}:{admin_port}"),
        directory: directory.clone(),
    };
    Ok((1..=dev::HOSTS).map(host).collect())
}

fn one(directory: &Path, number: Option<u32>, loaded: &Loaded) -> Result<Host, Failure> {
    let number = number.ok_or_else(|| Failure::Usage("say which host: 1, 2 or 3".to_owned()))?;
    let found = hosts(directory, loaded)?.into_iter().find(|host| host.number == number);
    found.ok_or_else(|| Failure::Usage(format!("there is no host {number}: 1, 2 or 3")))
}

fn start(directory: &Path, loaded: &Loaded) -> Result<(), Failure> {
    dev::prepare(directory, loaded)?;
    let hosts = hosts(directory, loaded)?;
    for host in &hosts {
        if host.pid().is_none() {
            host.spawn(loaded)?;
        }
    }
    for host in &hosts {
        host.await_ready()?;
    }
    describe(directory, &hosts, loaded)
}

fn restart(directory: &Path, host: &Host, loaded: &Loaded) -> Result<(), Failure> {
    if let Some(pid) = host.pid() {
        return Err(Failure::Usage(format!(
            "host {} runs already, as process {}",
            host.number,
            pid.as_raw_nonzero()
        )));
    }
    host.spawn(loaded)?;
    host.await_ready()?;
    describe(directory, &hosts(directory, loaded)?, loaded)
}

fn kill(host: &Host) -> Result<(), Failure> {
    let pid = host.pid().ok_or_else(|| Failure::Other(format!("host {} does not run", host.number)))?;
    kill_process(pid, Signal::KILL)
        .map_err(|e| Failure::Other(format!("cannot kill host {}: {e}", host.number)))?;
    host.await_end()?;
    println!("killed host {} (process {})", host.number, pid.as_raw_nonzero());
    Ok(())
}

fn stop(directory: &Path, loaded: &Loaded) -> Result<(), Failure> {
    let hosts = hosts(directory, loaded)?;
    for pid in hosts.iter().filter_map(Host::pid) {
        // One that has just ended by itself needs no signal.
        let _ = kill_process(pid, Signal::TERM);
    }
    hosts.iter().try_for_each(Host::await_end)?;
    println!("stopped");
    Ok(())
}

fn status(directory: &Path, loaded: &Loaded) -> Result<(), Failure> {
    let mut down = 0;
    for host in hosts(directory, loaded)? {
        let ready = host.is_ready();
        down += u32::from(!ready);
        let word = if ready { "ready" } else { "not ready" };
        match host.pid() {
            Some(pid) => println!("host {}: process {}, {word}", host.number, pid.as_raw_nonzero()),
            None => println!("host {}: does not run", host.number),
        }
    }
    match down {
        0 => Ok(()),
        down => Err(Failure::Other(format!("{down} of {} hosts are not ready", dev::HOSTS))),
    }
}

fn describe(directory: &Path, hosts: &[Host], loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let cores = settings.cores.map_or(1, |cores| cores.0);
    let at = |host: &Host, port: u64| format!("127.0.0.{}:{port}", host.number);
    let core_port = |core| u64::from(settings.client_port_base).saturating_add(core);
    let described = Described {
        plain: hosts.iter().map(|host| at(host, settings.plain_port.into())).collect(),
        cores: hosts.iter().flat_map(|host| (0..cores).map(move |core| at(host, core_port(core)))).collect(),
        admin: hosts.iter().map(|host| host.admin.clone()).collect(),
        pids: hosts
            .iter()
            .map(|host| host.pid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()))
            .collect(),
    };
    let json = serde_json::to_string(&described).map_err(|e| Failure::Other(e.to_string()))?;
    sealed::write_plain(directory, "cluster.json", &format!("{json}\n"))?;
    println!("{json}");
    Ok(())
}

impl Host {
    fn pid_file(&self) -> PathBuf {
        self.directory.join(format!("host-{}.pid", self.number))
    }

    /// The process of the host, if it runs: the one that was noted and still serves this configuration.
    fn pid(&self) -> Option<Pid> {
        let number: i32 = std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let line = std::fs::read(format!("/proc/{number}/cmdline")).ok()?;
        let config = self.config.to_string_lossy();
        let ours = line.split(|byte| *byte == 0).any(|word| word == config.as_bytes());
        ours.then(|| Pid::from_raw(number)).flatten()
    }

    fn spawn(&self, loaded: &Loaded) -> Result<(), Failure> {
        let failed = |verb: &str, e: std::io::Error| Failure::Other(format!("cannot {verb}: {e}"));
        let program = std::env::current_exe().map_err(|e| failed("find this program", e))?;
        let log = self.directory.join(format!("host-{}.log", self.number));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|e| failed("open a log", e))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&self.config);
        // The configuration has it all; a variable meant for one host would override it in all three.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(ENV_PREFIX))
        {
            command.env_remove(name);
        }
        if let Some(password) = &loaded.settings.requirepass {
            command.env("SYNOD_REQUIREPASS", password.reveal());
        }
        // A process group of its own: what interrupts the script does not interrupt the hosts.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().map_err(|e| failed("start a host", e))?;
        sealed::write_plain(
            &self.directory,
            &format!("host-{}.pid", self.number),
            &format!("{}\n", child.id()),
        )?;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.admin
            .parse()
            .is_ok_and(|address| http::get(address, "/readyz").is_ok_and(|(code, _)| code == 200))
    }

    fn await_ready(&self) -> Result<(), Failure> {
        let log = self.directory.join(format!("host-{}.log", self.number));
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            if self.pid().is_none() {
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                let last = words.lines().last().unwrap_or_default().to_owned();
                return Err(Failure::Other(format!(
                    "host {} has ended before it was ready: {last}",
                    self.number
                )));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Other(format!(
                    "host {} is not ready in time; see {}",
                    self.number,
                    log.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn await_end(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while self.pid().is_some() {
            if Instant::now() >= deadline {
                return Err(Failure::Other(format!("host {} does not end", self.number)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
