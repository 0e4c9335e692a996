//! For trying things out: one replica, or three hosts on this machine, without a configuration.
//!
//! `synod cluster --dev` writes a configuration and a data directory per host below one folder, starts three
//! `synod serve` processes and waits for them. It is a supervisor of the simplest kind: a host that dies stays dead (that
//! is what one wants to watch), and how to start it again is printed.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, set_parent_process_death_signal, Pid, Signal};
use serde::Serialize;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::http;
use crate::boot::Failure;
use crate::config::table::ENV_PREFIX;
use crate::config::{print, Loaded};
use crate::datadir::{self, error::DataDirError, sealed, ClusterId, Identity, Init};

/// Hosts of a cluster for trying things out.
pub(crate) const HOSTS: u32 = 3;

/// Most cores of one replica for trying things out: the machine has other things to do.
const CORES_MAX: usize = 4;

/// Small, so that starting is quick and a folder stays small; still room for the largest value.
const SEGMENT_BYTES: &str = "32 MiB";

/// Time for three hosts to be ready, on a slow disk.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for a host to drain before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// What one replica takes instead of the defaults of the table.
pub fn one_host(directory: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("data_dir", directory.display().to_string()),
        ("segment_bytes", SEGMENT_BYTES.to_owned()),
        ("pin_cores", "false".to_owned()),
    ]
}

/// Makes the data directory of one replica if there is none.
pub fn init_if_empty(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    match datadir::expect_identity(&settings.data_dir) {
        Err(DataDirError::NotInitialised { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Ok(()),
    }
    let cpus = reactor::uring::cpus().len();
    let cores = settings.cores.map_or(cpus.clamp(1, CORES_MAX) as u64, |cores| cores.0);
    let init = Init {
        cluster: ClusterId::random()?,
        host: u32::try_from(settings.host_id.0).expect("the bounds of host_id are those of 16 bits"),
        slices: u16::try_from(cores).expect("the bounds of cores are those of slices"),
        learner: false,
    };
    datadir::init(&settings.data_dir, init)?;
    Ok(())
}

/// Has the kernel end this process when the one that started it ends.
pub fn die_with_parent() -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| Failure::Other(format!("cannot ask to end with the parent process: {e}")))
}

/// What `DIR/cluster.json` holds, for scripts.
#[derive(Debug, Serialize)]
struct Cluster {
    plain: Vec<String>,
    cores: Vec<String>,
    admin: Vec<String>,
    pids: Vec<u32>,
    configs: Vec<PathBuf>,
}

/// Runs three hosts until told to stop.
pub fn cluster(directory: &Path, loaded: &Loaded) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGCHLD]).map_err(failed("listen for signals"))?;
    let configs = prepare(directory, loaded)?;
    let mut hosts = Hosts(Vec::new());
    for (host, config) in (1..=HOSTS).zip(&configs) {
        hosts.0.push((host, Some(spawn(loaded, host, config, directory)?)));
    }
    let described = describe(loaded, &configs, &hosts);
    let json = serde_json::to_string(&described).map_err(|e| Failure::Other(e.to_string()))?;
    sealed::write_plain(directory, "cluster.json", &format!("{json}\n"))?;
    if await_ready(&mut hosts, &described, &mut signals, directory)? == Wait::Stopped {
        return Ok(());
    }
    announce(&described, directory);
    for signal in signals.forever() {
        match signal {
            SIGCHLD => hosts.notice_deaths(&configs),
            _ => return hosts.stop(),
        }
        if hosts.running() == 0 {
            return Err(Failure::Other(format!(
                "all hosts have ended; see the logs in {}",
                directory.display()
            )));
        }
    }
    Ok(())
}

fn failed(verb: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::Other(format!("cannot {verb}: {e}"))
}

/// Makes what is not there yet: secret, configurations, data directories. Returns the configuration files.
pub(crate) fn prepare(directory: &Path, loaded: &Loaded) -> Result<Vec<PathBuf>, Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make the folder"))?;
    let directory = directory.canonicalize().map_err(failed("find the folder"))?;
    let secret = directory.join("cluster.secret");
    if !secret.exists() {
        datadir::create_secret(&secret)?;
    }
    let founded = Identity::read(&directory.join("host-1"))?;
    let cluster = founded.map_or_else(ClusterId::random, |identity| Ok(identity.cluster))?;
    let cores = loaded.settings.cores.map_or(1, |cores| cores.0);
    let mut configs = Vec::new();
    for host in 1..=HOSTS {
        let data = directory.join(format!("host-{host}"));
        if Identity::read(&data)?.is_none() {
            let slices = u16::try_from(cores).expect("the bounds of cores are those of slices");
            datadir::init(&data, Init { cluster, host, slices, learner: false })?;
        }
        let name = format!("host-{host}.toml");
        sealed::write_plain(&directory, &name, &configuration(loaded, host, &data, &secret)?)?;
        configs.push(directory.join(name));
    }
    Ok(configs)
}

/// The configuration of one of the hosts: what was asked for, with what must differ or must be so.
fn configuration(loaded: &Loaded, host: u32, data: &Path, secret: &Path) -> Result<String, Failure> {
    let hosts: Vec<String> = (1..=HOSTS).map(|host| format!("{host}=127.0.0.{host}")).collect();
    let mut settings = loaded.settings.clone();
    settings.announce_host = None;
    settings.cluster_secret = None;
    let fixed = [
        ("data_dir", data.display().to_string()),
        ("host_id", host.to_string()),
        ("host", hosts.join(",")),
        ("cores", String::new()),
        ("bind", String::new()),
        ("cluster_secret_file", secret.display().to_string()),
        ("pin_cores", "false".to_owned()),
    ];
    let sized = (*loaded.origin("segment_bytes") == crate::config::Origin::Default)
        .then(|| ("segment_bytes", SEGMENT_BYTES.to_owned()));
    for (name, text) in fixed.into_iter().chain(sized) {
        settings.set(name, &text).map_err(|reason| Failure::Unusable(format!("{name}: {reason}")))?;
    }
    Ok(print::file(&settings))
}

fn spawn(loaded: &Loaded, host: u32, config: &Path, directory: &Path) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(failed("find this program"))?;
    let log_path = directory.join(format!("host-{host}.log"));
    let mut options = std::fs::OpenOptions::new();
    let log = options.create(true).append(true).open(&log_path).map_err(failed("open a log"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--die-with-parent").arg("--config").arg(config);
    // The configuration has it all; a variable meant for one host would override it in all three.
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(ENV_PREFIX)).for_each(
        |(name, _)| {
            command.env_remove(name);
        },
    );
    if let Some(password) = &loaded.settings.requirepass {
        command.env("SYNOD_REQUIREPASS", password.reveal());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed("start a host"))
}

/// The three processes. Dropping it kills what still runs, so that no error path leaves a host behind.
struct Hosts(Vec<(u32, Option<Child>)>);

impl Drop for Hosts {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            if let Some(mut child) = child.take() {
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Hosts {
    fn running(&self) -> usize {
        self.0.iter().filter(|(_, child)| child.is_some()).count()
    }

    fn notice_deaths(&mut self, configs: &[PathBuf]) {
        for ((host, child), config) in self.0.iter_mut().zip(configs) {
            let ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                *child = None;
                say(format_args!(
                    "host {host} has ended ({status}); to start it again: synod serve --config {}",
                    config.display()
                ));
            }
        }
    }

    /// Lets all drain, and kills what does not end in time.
    fn stop(mut self) -> Result<(), Failure> {
        say(format_args!("stopping"));
        let pids =
            self.0.iter().filter_map(|(_, child)| Pid::from_raw(i32::try_from(child.as_ref()?.id()).ok()?));
        // One that has just ended by itself needs no signal.
        for pid in pids {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        for (host, child) in &mut self.0 {
            let Some(running) = child.as_mut() else { continue };
            while running.try_wait().map_err(failed("wait for a host"))?.is_none() {
                if Instant::now() >= deadline {
                    return Err(Failure::Other(format!("host {host} did not stop in time and was killed")));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            *child = None;
        }
        Ok(())
    }
}

fn describe(loaded: &Loaded, configs: &[PathBuf], hosts: &Hosts) -> Cluster {
    let settings = &loaded.settings;
    let at = |port: u64| (1..=HOSTS).map(move |host| format!("127.0.0.{host}:{port}"));
    let cores = settings.cores.map_or(1, |cores| cores.0);
    Cluster {
        plain: at(settings.plain_port.into()).collect(),
        cores: (0..cores)
            .flat_map(|core| at(u64::from(settings.client_port_base).saturating_add(core)))
            .collect(),
        admin: at(settings.admin_port.into()).collect(),
        pids: hosts.0.iter().filter_map(|(_, child)| child.as_ref().map(Child::id)).collect(),
        configs: configs.to_vec(),
    }
}

/// Whoever read the standard output may have left; the hosts go on.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[derive(PartialEq)]
enum Wait {
    Ready,
    Stopped,
}

fn await_ready(
    hosts: &mut Hosts,
    cluster: &Cluster,
    signals: &mut Signals,
    directory: &Path,
) -> Result<Wait, Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let logs = directory.join("host-N.log");
    loop {
        if signals.pending().any(|signal| signal != SIGCHLD) {
            std::mem::replace(hosts, Hosts(Vec::new())).stop()?;
            return Ok(Wait::Stopped);
        }
        for (host, child) in &mut hosts.0 {
            let ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                let log =
                    std::fs::read_to_string(directory.join(format!("host-{host}.log"))).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                let words = format!("host {host} has ended ({status}) before it was ready: {last}");
                return Err(if status.code() == Some(78) {
                    Failure::Unusable(words)
                } else {
                    Failure::Other(words)
                });
            }
        }
        let ready = |admin: &String| {
            admin
                .parse()
                .is_ok_and(|address| http::get(address, "/readyz").is_ok_and(|(code, _)| code == 200))
        };
        if cluster.admin.iter().all(ready) {
            return Ok(Wait::Ready);
        }
        if Instant::now() >= deadline {
            return Err(Failure::Other(format!("the hosts were not ready in time; see {}", logs.display())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn announce(cluster: &Cluster, directory: &Path) {
    let split =
        |address: &String| address.rsplit_once(':').map(|(ip, port)| (ip.to_owned(), port.to_owned()));
    say(format_args!("three hosts are ready; data, logs and configurations are in {}", directory.display()));
    for (host, ((plain, pid), admin)) in
        (1..).zip(cluster.plain.iter().zip(&cluster.pids).zip(&cluster.admin))
    {
        say(format_args!("  host {host}: {plain}  process {pid}  http://{admin}/"));
    }
    if let Some((ip, port)) = cluster.plain.first().and_then(split) {
        say(format_args!("try:  redis-cli -h {ip} -p {port} set greeting hello"));
    }
    if let Some((ip, port)) = cluster.cores.first().and_then(split) {
        say(format_args!("or:   redis-cli -c -h {ip} -p {port} get greeting"));
    }
    if let Some(pid) = cluster.pids.last() {
        say(format_args!("then: kill -9 {pid}  and read it again. Ctrl-C stops all."));
    }
}
