//! Hosts as processes: configured and initialised as an operator does it, killed and started again, gone when the test is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Client;
use crate::host::process::{free_ports, port, run, signal, synod};

/// Time for something that must happen: far more than it takes on a machine that is busy with all the other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Hosts with one configuration, below one folder that goes with them.
pub struct Cluster {
    pub hosts: Vec<Host>,
    /// What `synod init --new-cluster` printed.
    pub id: String,
    cores: u32,
    ports: Vec<String>,
    settings: String,
    /// Last, so that processes end before their files.
    dir: TempDir,
}

/// One host: its files, and its process while it runs.
pub struct Host {
    pub number: usize,
    pub config: PathBuf,
    pub data: PathBuf,
    pub plain: String,
    admin: String,
    client_base: u16,
    peer_base: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Cluster {
    /// Hosts that serve and see each other. `settings`: lines for each configuration besides what every host needs.
    pub fn start(hosts: usize, cores: u32, settings: &str) -> Cluster {
        let mut cluster = Cluster::prepare(hosts, cores, settings);
        cluster.start_all();
        cluster
    }

    /// Configurations and data directories, but no process yet.
    pub fn prepare(hosts: usize, cores: u32, settings: &str) -> Cluster {
        let mut cluster = Cluster::empty(cores, settings);
        cluster.add_hosts(hosts);
        cluster
    }

    /// A folder and ports.
    pub fn empty(cores: u32, settings: &str) -> Cluster {
        let dir = tempfile::tempdir().expect("a folder");
        let (ports, settings) = (free_ports(), settings.to_owned());
        Cluster { hosts: Vec::new(), id: String::new(), cores, ports, settings, dir }
    }

    /// Configurations and data directories for so many hosts, below a folder that has none yet.
    pub fn add_hosts(&mut self, hosts: usize) {
        assert!(self.hosts.is_empty(), "the list of members is the same for all");
        self.hosts = (1..=hosts).map(|number| self.configure(number, hosts)).collect();
        (0..hosts).for_each(|place| self.init(place));
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn configure(&self, number: usize, hosts: usize) -> Host {
        let (config, data) =
            (self.path().join(format!("{number}.toml")), self.path().join(format!("data-{number}")));
        let mut text = format!(
            "data_dir = {data:?}\nhost_id = {number}\ncluster_secret_file = {:?}\npin_cores = false\n\
             cache_bytes = \"4 MiB\"\n",
            self.path().join("secret")
        );
        for flag in &self.ports {
            let (name, value) = flag.trim_start_matches('-').split_once('=').expect("a flag with its value");
            text.push_str(&format!("{} = {value}\n", name.replace('-', "_")));
        }
        // Small files make for quick starts, and tests share a machine whose disk takes its time; a test's own line stands
        // instead of one of these.
        for line in ["segment_bytes = \"2 MiB\"", "value_bytes_max = \"1 MiB\"", "stall_ms = 10000"] {
            let (name, _) = line.split_once(' ').expect("a name");
            if !self.settings.contains(name) {
                text.push_str(&format!("{line}\n"));
            }
        }
        text.push_str(&self.settings);
        for id in 1..=hosts {
            text.push_str(&format!("\n[[host]]\nid = {id}\naddress = \"127.0.0.{id}\"\n"));
        }
        std::fs::write(&config, text).expect("written");
        let at = |name| format!("127.0.0.{number}:{}", port(&self.ports, name));
        let base = |name| port(&self.ports, name).parse().expect("a port");
        Host {
            number,
            plain: at("plain-port"),
            admin: at("admin-port"),
            client_base: base("client-port-base"),
            peer_base: base("peer-port-base"),
            log: self.path().join(format!("{number}.log")),
            config,
            data,
            child: None,
        }
    }

    /// Makes the data directory of a host; that of the first founds the cluster.
    pub fn init(&mut self, place: usize) {
        let host = &self.hosts[place];
        let (config, cores) = (host.config.display().to_string(), self.cores.to_string());
        let mut words = vec!["init", "--config", &config, "--cores", &cores];
        match self.id.as_str() {
            "" => words.push("--new-cluster"),
            id => words.extend(["--cluster-id", id]),
        }
        let finished = run(self.path(), &words);
        assert_eq!(finished.code, Some(0), "{}", finished.err);
        let id = finished.out.lines().find_map(|line| line.strip_prefix("cluster_id = "));
        self.id = id.expect("init prints the id of the cluster").to_owned();
    }

    /// Starts all that do not run, and waits until they see each other.
    pub fn start_all(&mut self) {
        self.hosts.iter_mut().filter(|host| host.child.is_none()).for_each(Host::spawn);
        self.hosts.iter_mut().for_each(Host::await_ready);
        self.await_peers();
    }

    /// Waits until each running host sees all other running hosts, and no more.
    pub fn await_peers(&self) {
        let others = self.hosts.iter().filter(|host| host.child.is_some()).count() - 1;
        // A host on its own waits for nobody.
        for host in self.hosts.iter().filter(|host| host.child.is_some() && self.hosts.len() > 1) {
            host.await_peers(others);
        }
    }
}

impl Host {
    /// Starts the process.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "host {} runs already", self.number);
        let folder = self.config.parent().expect("it lies in a folder").to_owned();
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let mut command = synod(&folder);
        command.args(["serve", "--die-with-parent", "--config"]).arg(&self.config);
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("the program runs"));
    }

    /// Starts the process and waits until it serves: it sees a majority.
    pub fn start(&mut self) {
        self.spawn();
        self.await_ready();
    }

    pub fn await_ready(&mut self) {
        let admin = self.admin.parse().expect("an address");
        eventually("the host is ready", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("it was started here"));
            assert!(ended.is_none(), "host {} ended with {ended:?}: {}", self.number, self.log());
            synod::admin::http::get(admin, "/readyz").is_ok_and(|(code, _)| code == 200)
        });
    }

    /// Waits until this host sees so many others.
    pub fn await_peers(&self, others: usize) {
        eventually("hosts see each other", || self.client().info("peers_up") == others as u64);
    }

    /// A client of the plain port.
    pub fn client(&self) -> Client {
        Client::connect(&self.plain)
    }

    /// The client port of a core.
    pub fn core(&self, core: u16) -> String {
        format!("127.0.0.{}:{}", self.number, self.client_base + core)
    }

    /// The peer port of core 0.
    pub fn peer(&self) -> String {
        format!("127.0.0.{}:{}", self.number, self.peer_base)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGKILL, and no trace of the process afterwards.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it was started here");
        child.wait().expect("it was started here");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGSTOP, and no thread runs afterwards: the process hangs, and its connections stay open.
    pub fn freeze(&self) {
        self.signal("STOP");
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat =
                std::fs::read_to_string(task.expect("an entry").path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses.
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        eventually("all threads are stopped", || {
            std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs").all(is_stopped)
        });
    }

    /// Waits for the end of the process; its exit code, none for a signal.
    pub fn await_exit(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let mut status = None;
        eventually("the process ends", || {
            status = child.try_wait().expect("it was started here");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// SIGTERM and the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.await_exit()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Bytes of memory that the process has at the moment.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// A key whose preferred host this is, on its core 0: keys with `prefix` are tried until none is sent elsewhere.
    pub fn own_key(&self, prefix: &str) -> String {
        let mut client = Client::connect(&self.core(0));
        let is_own = |client: &mut Client, key: &str| client.call(&["GET", key]).as_error().is_none();
        let found = (0..1000).map(|i| format!("{prefix}{i}")).find(|key| is_own(&mut client, key));
        found.unwrap_or_else(|| panic!("host {} owns none of a thousand keys", self.number))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                eprintln!("log of host {}:\n{}", self.number, self.log());
            }
        }
    }
}
