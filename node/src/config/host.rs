//! The typed configuration that the cores get: everything decided, nothing left to look up.
//!
//! [`resolve`] is pure: settings, identity and the CPUs in, [`HostConfig`] out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::limits::{KEYS, KEY_DIRECTORY_BYTES, TREE_MEMTABLE_BYTES, TREE_MEMTABLE_SHARE_BYTES_MAX};
use super::{ConfigError, Loaded, Secret, Settings};
use crate::datadir::{DirectoryId, Identity};

/// One host of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Host id.
    pub id: u32,
    /// Where its peers reach it.
    pub address: IpAddr,
    /// Where its clients reach it: what the slot map shows.
    pub announce: IpAddr,
}

/// The port numbers, the same on every host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Takes every key.
    pub plain: u16,
    /// Core c: this + c.
    pub client_base: u16,
    /// Core c: this + c.
    pub peer_base: u16,
    /// Metrics, health, status.
    pub admin: u16,
}

impl Ports {
    /// The client port of a core.
    pub fn client(&self, core: u16) -> u16 {
        self.client_base.checked_add(core).expect("the configuration check keeps core ports below 65536")
    }

    /// The peer port of a core.
    pub fn peer(&self, core: u16) -> u16 {
        self.peer_base.checked_add(core).expect("the configuration check keeps core ports below 65536")
    }
}

/// What one core gets for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Its number on this host, from 0; also its slice.
    pub core: u16,
    /// The folder of its files; it exists.
    pub directory: PathBuf,
    /// The CPU to pin it to; none: leave it to the scheduler.
    pub cpu: Option<usize>,
    /// Where it listens for cluster clients.
    pub client: Vec<SocketAddr>,
    /// Where it listens for its peers.
    pub peer: SocketAddr,
}

/// Bounds on what clients may ask, in force at start; all of them may be changed online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes.
    pub value_bytes_max: u64,
    /// Longest key in bytes.
    pub key_bytes_max: u64,
    /// Milliseconds after which a request without a majority is answered.
    pub request_deadline_ms: u64,
    /// Client connections of this host.
    pub clients_max: u64,
    /// Bytes that wait for one client.
    pub output_bytes_max: u64,
}

/// What the engine of each core gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Size of a log segment in bytes.
    pub segment_bytes: u64,
    /// Bytes of values in memory, per core.
    pub cache_bytes: u64,
    /// Bytes of decoded objects in memory, per core.
    pub objects_bytes: u64,
    /// Bytes of blocks of rows in memory, per core.
    pub tree_cache_bytes: u64,
    /// Bytes of rows that are gathered in memory before they are written, per core.
    pub tree_memtable_bytes: u64,
    /// Size of the smallest object that is written as what changes in it.
    pub delta_object_bytes_min: u64,
    /// Merge budget in bytes per second, per core.
    pub merge_bytes_per_second: u64,
    /// Keys per core.
    pub keys_max: u64,
}

/// The configuration of one host, complete.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Who this host is, from its data directory.
    pub identity: Identity,
    /// All hosts of the cluster, this one included, in order of their ids. One entry when it is on its own.
    pub members: Vec<Member>,
    /// The cores, in order. As many as slices.
    pub cores: Vec<CoreConfig>,
    /// Where the plain port listens; every core takes its share of the connections, or core 0 all of them.
    pub plain: Vec<SocketAddr>,
    /// Where the admin port listens.
    pub admin: Vec<SocketAddr>,
    /// The port numbers.
    pub ports: Ports,
    /// What hosts prove to each other. Empty when this host is on its own.
    pub cluster_secret: Secret,
    /// Data-directory ids of other hosts as they were when this host last met them.
    pub known_peers: BTreeMap<u32, DirectoryId>,
    /// Password of clients.
    pub requirepass: Option<Secret>,
    /// Without a password, take commands from this machine only.
    pub protected_mode: bool,
    /// What clients may ask.
    pub limits: Limits,
    /// What engines get.
    pub storage: Storage,
    /// All settings as they were loaded: `CONFIG GET` prints from here, `CONFIG SET` changes a copy.
    pub settings: Settings,
}

impl HostConfig {
    /// The entry of this host in the member list.
    pub fn own(&self) -> &Member {
        let own = self.identity.host;
        self.members.iter().find(|member| member.id == own).expect("resolve puts this host into the list")
    }

    /// The other hosts, in order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.id != self.identity.host)
    }
}

/// What [`resolve`] needs besides the settings.
#[derive(Debug)]
pub struct Facts {
    /// From the data directory.
    pub identity: Identity,
    /// From the data directory.
    pub known_peers: BTreeMap<u32, DirectoryId>,
    /// The data directory's folder per core, in order.
    pub core_directories: Vec<PathBuf>,
    /// The CPUs that this process may use.
    pub cpus: Vec<usize>,
    /// The cluster secret, read from its file where it lies in one.
    pub cluster_secret: Option<Secret>,
}

/// Puts settings and facts together; refuses what does not fit, with the remedy.
pub fn resolve(loaded: &Loaded, facts: Facts) -> Result<HostConfig, ConfigError> {
    let settings = &loaded.settings;
    let members = members(settings);
    let slices = u64::from(facts.identity.slices);
    if let Some(cores) = settings.cores.filter(|cores| cores.0 != slices) {
        return Err(ConfigError::one(format!(
            "{}: cores: {} is configured, but {} was initialised with {slices}; remove the setting or set it to {slices} \
             (the number is fixed by `synod init`)",
            loaded.origin("cores"),
            cores.0,
            settings.data_dir.display()
        )));
    }
    let cluster_secret = match (facts.cluster_secret, members.len()) {
        (Some(secret), _) => secret,
        (None, 1) => Secret::new(""),
        (None, _) => {
            return Err(ConfigError::one(
                "cluster_secret_file: several hosts need a shared secret; run `synod init --new-cluster` on the first \
                 host, copy the file that it makes to the others, and set cluster_secret_file on all",
            ))
        }
    };
    let own = members
        .iter()
        .find(|member| u64::from(member.id) == settings.host_id.0)
        .copied()
        .expect("the configuration check finds this host in the list");
    let bind = bind(settings, own.address);
    let ports = Ports {
        plain: settings.plain_port,
        client_base: settings.client_port_base,
        peer_base: settings.peer_port_base,
        admin: settings.admin_port,
    };
    let admin_bind = if settings.admin_bind.is_empty() { &bind } else { &settings.admin_bind };
    let cores = cores(settings, &facts.core_directories, &facts.cpus, &bind, own.address, ports)?;
    Ok(HostConfig {
        plain: on_all(&bind, ports.plain),
        admin: on_all(admin_bind, ports.admin),
        ports,
        members,
        cluster_secret,
        known_peers: facts.known_peers,
        identity: facts.identity,
        requirepass: settings.requirepass.clone().filter(|password| !password.reveal().is_empty()),
        protected_mode: settings.protected_mode,
        limits: limits(settings),
        storage: Storage::new(settings, cores.len()),
        cores,
        settings: settings.clone(),
    })
}

impl Storage {
    /// As the settings have it, for so many cores.
    fn new(settings: &Settings, cores: usize) -> Storage {
        let mut storage = Storage {
            segment_bytes: settings.segment_bytes.0,
            cache_bytes: settings.cache_bytes.0,
            objects_bytes: settings.objects_bytes.0,
            tree_cache_bytes: settings.tree_cache_bytes.0,
            tree_memtable_bytes: settings.tree_memtable_bytes.0,
            delta_object_bytes_min: settings.delta_object_bytes_min.0,
            merge_bytes_per_second: settings.merge_bytes_per_second.0,
            keys_max: settings.keys_max.0,
        };
        if settings.memory_max.0 > 0 {
            let share = settings.memory_max.0 / cores.max(1) as u64;
            storage.keys_max = (share / 2 / KEY_DIRECTORY_BYTES).clamp(*KEYS.start(), *KEYS.end());
            storage.cache_bytes = share / 4;
            storage.objects_bytes = share / 10;
            storage.tree_cache_bytes = share / 10;
            let memtable = share / 20 / lsm::limits::MEMTABLES_MAX as u64;
            storage.tree_memtable_bytes =
                memtable.clamp(*TREE_MEMTABLE_BYTES.start(), TREE_MEMTABLE_SHARE_BYTES_MAX);
        }
        storage
    }

    /// What keys, values, objects and rows in memory take at most on so many cores.
    pub fn memory_max(&self, cores: usize) -> u64 {
        let keys = self.keys_max.saturating_mul(KEY_DIRECTORY_BYTES);
        let memtables = self.tree_memtable_bytes.saturating_mul(lsm::limits::MEMTABLES_MAX as u64);
        let parts = [keys, self.cache_bytes, self.objects_bytes, self.tree_cache_bytes, memtables];
        parts.into_iter().fold(0, u64::saturating_add).saturating_mul(cores as u64)
    }

    /// How the tree of a core is set up. The base level is as large as sixteen memtables, so that a core with small ones rewrites no more for each of
    /// them.
    pub fn tree(&self, core: u16) -> lsm::Options {
        let mut options = lsm::Options::new(u32::from(core));
        options.cache_bytes = self.tree_cache_bytes;
        options.memtable_bytes = usize::try_from(self.tree_memtable_bytes).unwrap_or(usize::MAX);
        options.levels.base_bytes = 16 * self.tree_memtable_bytes;
        options
    }
}

/// The bounds on clients as the settings have them; `CONFIG SET` calls it again after a change.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        value_bytes_max: settings.value_bytes_max.0,
        key_bytes_max: settings.key_bytes_max.0,
        request_deadline_ms: settings.request_deadline_ms.0,
        clients_max: settings.clients_max.0,
        output_bytes_max: settings.output_bytes_max.0,
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The hosts in order of their ids; without a list this host alone, on the loopback address or what it is told to show.
pub fn members(settings: &Settings) -> Vec<Member> {
    let mut members: Vec<Member> = settings
        .host
        .iter()
        .map(|entry| Member {
            id: entry.id,
            address: entry.address,
            announce: entry.announce.unwrap_or(entry.address),
        })
        .collect();
    if members.is_empty() {
        let id = u32::try_from(settings.host_id.0).expect("the bounds of host_id are those of 16 bits");
        let reachable = settings.bind.iter().find(|address| !address.is_unspecified()).copied();
        let address = reachable.unwrap_or(LOOPBACK);
        members.push(Member { id, address, announce: settings.announce_host.unwrap_or(address) });
    }
    members.sort();
    members
}

fn bind(settings: &Settings, own: IpAddr) -> Vec<IpAddr> {
    match (settings.bind.is_empty(), own.is_loopback()) {
        (false, _) => settings.bind.clone(),
        (true, true) => vec![own],
        (true, false) => vec![own, LOOPBACK],
    }
}

fn on_all(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

fn cores(
    settings: &Settings,
    directories: &[PathBuf],
    cpus: &[usize],
    bind: &[IpAddr],
    own: IpAddr,
    ports: Ports,
) -> Result<Vec<CoreConfig>, ConfigError> {
    let last = directories.len().saturating_sub(1) as u64;
    for (name, base) in [("client_port_base", ports.client_base), ("peer_port_base", ports.peer_base)] {
        if u64::from(base) + last > u64::from(u16::MAX) {
            return Err(ConfigError::one(format!(
                "{name}: {} cores do not fit below port 65536",
                directories.len()
            )));
        }
    }
    // Two cores on one CPU would wait for each other; then the scheduler does better.
    let pin = settings.pin_cores && cpus.len() >= directories.len();
    let peer_address = settings.peer_bind.unwrap_or(own);
    let core = |(core, directory): (u16, &PathBuf)| CoreConfig {
        core,
        directory: directory.clone(),
        cpu: cpus.get(usize::from(core)).copied().filter(|_| pin),
        client: on_all(bind, ports.client(core)),
        peer: SocketAddr::new(peer_address, ports.peer(core)),
    };
    Ok((0u16..).zip(directories).map(core).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{load, Sources};
    use super::*;

    fn resolved(
        flags: &[(&str, &str)],
        slices: u16,
        cpus: &[usize],
        secret: bool,
    ) -> Result<HostConfig, String> {
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let loaded = load(&Sources { flags, ..Sources::default() }).expect("valid");
        let facts = Facts {
            identity: Identity::example(u32::try_from(loaded.settings.host_id.0).expect("small"), slices),
            known_peers: BTreeMap::new(),
            core_directories: (0..slices).map(|core| PathBuf::from(format!("core-{core}"))).collect(),
            cpus: cpus.to_vec(),
            cluster_secret: secret.then(|| Secret::new("a secret of the cluster")),
        };
        resolve(&loaded, facts).map_err(|e| e.to_string())
    }

    #[test]
    fn one_bound_on_memory_is_shared_out() {
        let storage = |flags: &[(&str, &str)], slices: u16| {
            let cpus: Vec<usize> = (0..usize::from(slices)).collect();
            let config = resolved(flags, slices, &cpus, false).expect("valid");
            (config.storage.memory_max(config.cores.len()), config.storage)
        };
        let (max, apart) = storage(&[("keys_max", "1000000"), ("cache_bytes", "64 MiB")], 2);
        assert_eq!(
            (apart.keys_max, apart.cache_bytes, apart.objects_bytes),
            (1_000_000, 64 << 20, 128 << 20)
        );
        assert_eq!((apart.tree_cache_bytes, apart.tree_memtable_bytes), (64 << 20, 64 << 20));
        assert_eq!(max, 2 * (32_000_000 + (192 << 20) + (256 << 20)));
        let (max, shared) = storage(&[("memory_max", "8 GB"), ("cache_bytes", "1 MiB")], 4);
        let share = 2_000_000_000;
        assert_eq!(
            (shared.keys_max, shared.cache_bytes, shared.objects_bytes),
            (share / 64, share / 4, share / 10)
        );
        assert_eq!((shared.tree_cache_bytes, shared.tree_memtable_bytes), (share / 10, share / 60));
        assert!((7_999_000_000..=8_000_000_000).contains(&max), "{max}");
        let (_, least) = storage(&[("memory_max", "1")], 1);
        assert_eq!((least.keys_max, least.cache_bytes), (1_000, 0), "never no keys at all");
        assert_eq!((least.tree_cache_bytes, least.tree_memtable_bytes), (0, 1 << 20), "nor no room for rows");
        let (_, most) = storage(&[("memory_max", "1 TB")], 1);
        assert_eq!(most.tree_memtable_bytes, 256 << 20, "what a crash has to apply again has a bound");
    }

    #[test]
    fn the_levels_of_a_tree_begin_with_what_it_gathers() {
        let tree = |memtable: &str| {
            let flags = [("tree_memtable_bytes", memtable), ("tree_cache_bytes", "3 MiB")];
            resolved(&flags, 2, &[0, 1], false).expect("valid").storage.tree(1)
        };
        let (small, default) = (tree("2 MiB"), tree("64 MiB"));
        assert_eq!((small.core, small.cache_bytes, small.memtable_bytes), (1, 3 << 20, 2 << 20));
        assert_eq!(small.levels.base_bytes, 32 << 20);
        let plain = lsm::Options::new(1);
        assert_eq!(default.memtable_bytes, plain.memtable_bytes);
        assert_eq!(default.levels.base_bytes, plain.levels.base_bytes);
    }

    const THREE: (&str, &str) = ("host", "3=10.0.0.3,1=10.0.0.1,2=10.0.0.2/203.0.113.2");

    #[test]
    fn a_host_of_three_listens_on_its_own_addresses() {
        let host = resolved(&[THREE, ("host_id", "2")], 2, &[4, 6], true).expect("valid");
        assert_eq!(host.members.iter().map(|m| m.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(host.own().announce.to_string(), "203.0.113.2");
        assert_eq!(host.peers().map(|m| m.id).collect::<Vec<_>>(), [1, 3]);
        let core = &host.cores[1];
        assert_eq!((core.core, core.cpu, core.peer.to_string().as_str()), (1, Some(6), "10.0.0.2:7501"));
        let text = |list: &[SocketAddr]| list.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
        assert_eq!(text(&core.client), ["10.0.0.2:7001", "127.0.0.1:7001"]);
        assert_eq!(text(&host.plain), ["10.0.0.2:6379", "127.0.0.1:6379"]);
        assert_eq!(text(&host.admin), ["10.0.0.2:7900", "127.0.0.1:7900"]);
    }

    #[test]
    fn a_host_on_its_own_stays_on_the_loopback_address() {
        let host = resolved(&[], 2, &[0], false).expect("valid");
        assert_eq!(host.plain, [SocketAddr::new(LOOPBACK, 6379)]);
        assert_eq!(host.own().announce, LOOPBACK);
        assert!(host.cores.iter().all(|core| core.cpu.is_none()), "two cores on one CPU are not pinned");
        let bound = resolved(&[("bind", "0.0.0.0,10.1.2.3")], 1, &[0], false).expect("valid");
        assert_eq!(bound.own().announce.to_string(), "10.1.2.3");
    }

    #[test]
    fn what_does_not_fit_the_data_directory_is_refused() {
        type Row = (&'static [(&'static str, &'static str)], u16, bool, &'static str);
        let table: [Row; 3] = [
            (&[("cores", "4")], 2, false, "4 is configured, but synod-data was initialised with 2"),
            (&[THREE], 1, false, "several hosts need a shared secret"),
            (
                &[("client_port_base", "65535")],
                2,
                false,
                "client_port_base: 2 cores do not fit below port 65536",
            ),
        ];
        for (flags, slices, secret, expected) in table {
            let error = resolved(flags, slices, &[0], secret).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
    }
}
