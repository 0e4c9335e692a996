//! One host of the lab: a real `synod` process, and the signals it gets.

use std::fs::{self, File, OpenOptions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

use super::limits::{HOST_LOOK_AGAIN, HOST_PATIENCE, LOG_LINES_SHOWN, PROBE_KEYS, PROBE_TIMEOUT};
use super::tool;
use crate::error::BenchError;
use crate::resp::Value;
use crate::wire::Wire;

/// Settings of the hosts come from their files alone: variables with this prefix would override them.
const PRODUCT_PREFIX: &str = "SYNOD_";

/// Where a host listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Takes every key.
    pub plain: u16,
    /// Core c takes the keys of its slice on this port + c.
    pub core_base: u16,
    /// The same for peers.
    pub peer_base: u16,
    /// Status over HTTP.
    pub admin: u16,
}

/// What it takes to start hosts.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program under test.
    pub binary: PathBuf,
    /// Everything of this run lies here.
    pub folder: PathBuf,
    /// Cores of each host.
    pub cores: usize,
    /// Where each host listens.
    pub ports: Ports,
    /// Addresses, in order of the hosts.
    pub addresses: Vec<IpAddr>,
    /// Network namespaces, in the same order; empty if all share that of the lab.
    pub namespaces: Vec<String>,
    /// The library that shifts the clock, if there is one.
    pub clock: Option<PathBuf>,
    /// Longest time that a request without a majority may take, ms; a setting of the product.
    pub deadline_ms: u64,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Counted from 1.
    pub number: usize,
    setup: Setup,
    child: Option<Child>,
    /// How often it was started.
    pub starts: u64,
}

impl Host {
    /// Host `number`, not started.
    pub fn new(number: usize, setup: &Setup) -> Host {
        Host { number, setup: setup.clone(), child: None, starts: 0 }
    }

    /// Its folder with everything but the data directory.
    fn folder(&self) -> PathBuf {
        self.setup.folder.join(format!("host-{}", self.number))
    }

    /// Where its data directory is: a folder, or what was mounted there.
    pub fn disk(&self) -> PathBuf {
        self.folder().join("disk")
    }

    /// The data directory.
    fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder().join("synod.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// The file from which the clock of its process is read.
    pub fn clock_file(&self) -> PathBuf {
        self.folder().join("clock")
    }

    /// The plain port.
    pub fn plain(&self) -> SocketAddr {
        SocketAddr::new(self.address(), self.setup.ports.plain)
    }

    fn address(&self) -> IpAddr {
        self.setup.addresses[self.number - 1]
    }

    /// Makes folders, configuration and data directory; `cluster` is the id that the first host chose. Gives
    /// that id.
    ///
    /// # Errors
    /// A file that cannot be written, or what `synod init` said.
    pub fn init(&self, cluster: Option<&str>) -> Result<String, BenchError> {
        let what = || format!("preparing host {}", self.number);
        fs::create_dir_all(self.disk()).map_err(|source| BenchError::io(what(), source))?;
        fs::write(self.config(), self.config_text()).map_err(|source| BenchError::io(what(), source))?;
        fs::write(self.clock_file(), "+0\n").map_err(|source| BenchError::io(what(), source))?;
        let cores = self.setup.cores.to_string();
        let said = match cluster {
            None => self.command("init", &["--cores", &cores, "--new-cluster"])?,
            Some(id) => self.command("init", &["--cores", &cores, "--cluster-id", id])?,
        };
        let id = said.lines().find_map(|line| line.strip_prefix("cluster_id = "));
        id.map(str::to_owned).ok_or_else(|| {
            BenchError::Command(format!("synod init of host {} gave no id: {said}", self.number))
        })
    }

    /// Runs a command of the program on this host's configuration, and gives what it printed.
    fn command(&self, name: &str, arguments: &[&str]) -> Result<String, BenchError> {
        let what = || format!("synod {name} on host {}", self.number);
        let mut command = Command::new(&self.setup.binary);
        command.arg(name).arg("--config").arg(self.config()).args(arguments);
        without_settings(&mut command);
        let output = command.output().map_err(|source| BenchError::io(what(), source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(BenchError::Command(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr))))
    }

    /// Loses its data directory. The process is dead.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn lose_data(&self) -> Result<(), BenchError> {
        match fs::remove_dir_all(self.data()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(BenchError::io(format!("losing the data of host {}", self.number), source))
            }
            _ => Ok(()),
        }
    }

    /// What the operator does for a host that lost its data: a new directory, as a learner's.
    ///
    /// # Errors
    /// What the program said.
    pub fn rejoin(&self, cluster: &str) -> Result<(), BenchError> {
        let cores = self.setup.cores.to_string();
        self.command("init", &["--cores", &cores, "--cluster-id", cluster, "--rejoin"]).map(drop)
    }

    /// What the operator does on the other hosts: says that the loss of `host` is known.
    ///
    /// # Errors
    /// What the program said.
    pub fn recover(&self, host: usize) -> Result<(), BenchError> {
        self.command("recover", &["--lost-host", &host.to_string()]).map(drop)
    }

    fn config_text(&self) -> String {
        let Ports { plain, core_base, peer_base, admin } = self.setup.ports;
        let mut text = format!(
            "data_dir = \"{}\"\nhost_id = {}\ncluster_secret_file = \"{}\"\nprotected_mode = false\n\
             pin_cores = false\nsegment_bytes = \"16 MiB\"\nvalue_bytes_max = \"1 MiB\"\nrequest_deadline_ms = {}\nplain_port = {plain}\n\
             client_port_base = {core_base}\npeer_port_base = {peer_base}\nadmin_port = {admin}\n",
            self.data().display(),
            self.number,
            self.setup.folder.join("secret").display(),
            self.setup.deadline_ms,
        );
        for (index, address) in self.setup.addresses.iter().enumerate() {
            text.push_str(&format!("\n[[host]]\nid = {}\naddress = \"{address}\"\n", index + 1));
        }
        text
    }

    /// Starts the process. That it serves is another matter: see [`Host::wait_until_it_serves`].
    ///
    /// # Errors
    /// The log cannot be opened, or the program not be started.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self) -> Result<(), BenchError> {
        assert!(self.child.is_none(), "host {} is started once at a time", self.number);
        let what = || format!("starting host {}", self.number);
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(|source| BenchError::io(what(), source))?;
        let mut command = self.program()?;
        command.arg("serve").arg("--config").arg(self.config());
        without_settings(&mut command);
        self.set_clock(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().map_err(|source| BenchError::io(what(), source))?);
        self.starts += 1;
        Ok(())
    }

    /// The program, in the host's namespace; without namespaces it ends with the drill because it asks to. The tool in
    /// front becomes the program, so its process is the host's.
    fn program(&self) -> Result<Command, BenchError> {
        let namespace = self.setup.namespaces.get(self.number - 1);
        let name = if namespace.is_some() { "nsenter" } else { "setpriv" };
        let tool = tool::find(name)
            .ok_or_else(|| BenchError::Command(format!("{name} is not installed (util-linux)")))?;
        let mut command = Command::new(tool);
        match namespace {
            Some(namespace) => command.arg(format!("--net=/run/netns/{namespace}")),
            None => command.args(["--pdeathsig", "KILL", "--"]),
        };
        command.arg(&self.setup.binary);
        Ok(command)
    }

    /// Only the clock of the day is shifted: the one that counts from the boot never jumps, on no machine. The file is read
    /// at each look at the clock, so that a jump is seen at once.
    fn set_clock(&self, command: &mut Command) {
        if let Some(library) = &self.setup.clock {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock_file())
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
    }

    /// The id of the process, if one was started and not buried.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// If the process ended by itself: how, and the end of its log. It is buried by that.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(format!("host {} ended by itself, {}:\n{}", self.number, how(status), self.last_words()))
    }

    /// The end of the log.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default();
        shown.iter().map(|line| format!("    {line}\n")).collect()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// There is no process, or the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), BenchError> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| BenchError::Command(format!("host {} does not run", self.number)))?;
        kill_process(pid, signal)
            .map_err(|error| BenchError::io(format!("signal for host {}", self.number), error.into()))
    }

    /// Kills the process and waits until it is gone; nothing if there is none.
    ///
    /// # Errors
    /// The system refuses, or it does not end within [`HOST_PATIENCE`].
    pub fn kill(&mut self) -> Result<(), BenchError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        child.kill().map_err(|source| BenchError::io(format!("killing host {}", self.number), source))?;
        let begin = Instant::now();
        while !matches!(child.try_wait(), Ok(Some(_))) {
            if begin.elapsed() > HOST_PATIENCE {
                return Err(BenchError::Command(format!("host {} does not end", self.number)));
            }
            std::thread::sleep(HOST_LOOK_AGAIN);
        }
        self.child = None;
        Ok(())
    }

    /// Waits until a write through the plain port is acknowledged; gives how long that took.
    ///
    /// # Errors
    /// It was not, within [`HOST_PATIENCE`]: what the host said last.
    pub fn wait_until_it_serves(&mut self) -> Result<Duration, BenchError> {
        let begin = Instant::now();
        loop {
            let said = match probe(self.plain()) {
                Ok(()) => return Ok(begin.elapsed()),
                Err(said) => said,
            };
            if let Some(end) = self.ended() {
                return Err(BenchError::Command(end));
            }
            if begin.elapsed() > HOST_PATIENCE {
                let words = self.last_words();
                let text = format!("host {} does not serve: {said}\n{words}", self.number);
                return Err(BenchError::Server { addr: self.plain(), text });
            }
            std::thread::sleep(HOST_LOOK_AGAIN);
        }
    }
}

impl Host {
    /// Waits until no core of it is a learner any more.
    ///
    /// # Errors
    /// It ended, or some core still was after [`HOST_PATIENCE`].
    pub fn wait_until_it_votes(&mut self) -> Result<(), BenchError> {
        let begin = Instant::now();
        while !votes(self.plain()) {
            if let Some(end) = self.ended() {
                return Err(BenchError::Command(end));
            }
            if begin.elapsed() > HOST_PATIENCE {
                let words = self.last_words();
                let text = format!("host {} is a learner still\n{words}", self.number);
                return Err(BenchError::Server { addr: self.plain(), text });
            }
            std::thread::sleep(HOST_LOOK_AGAIN);
        }
        Ok(())
    }
}

fn votes(addr: SocketAddr) -> bool {
    let info = Wire::connect(addr, None, PROBE_TIMEOUT).and_then(|mut wire| wire.call(&[b"INFO"]));
    matches!(info, Ok(Value::Bulk(text)) if text.windows(9).any(|window| window == b"learner:0"))
}

impl Drop for Host {
    fn drop(&mut self) {
        // What cannot be killed here ends with the lab's process namespace.
        let _ = self.kill();
    }
}

/// Writes through a host, on keys of its own: so many that every core has one.
fn probe(addr: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(addr, None, PROBE_TIMEOUT).map_err(|error| error.to_string())?;
    for number in 0..PROBE_KEYS {
        let key = format!("probe:{addr}:{number}");
        let answer = wire.call(&[b"SET", key.as_bytes(), b"1"]).map_err(|error| error.to_string())?;
        if let Value::Error(text) = answer {
            return Err(String::from_utf8_lossy(&text).into_owned());
        }
    }
    Ok(())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

fn without_settings(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with(PRODUCT_PREFIX)) {
        command.env_remove(name);
    }
}

/// Finds the program: as named, else beside this one.
///
/// # Errors
/// There is none; the text says how to build it.
pub fn find_binary(named: Option<&Path>) -> Result<PathBuf, BenchError> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("synod"));
    let found = named.map(Path::to_owned).or_else(beside).filter(|path| path.is_file());
    let found = found.and_then(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        let text =
            "no synod to test: give --bin PATH, or build it beside this program (cargo build -p synod)";
        BenchError::Usage(text.to_owned())
    })
}
