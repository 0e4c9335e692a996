//! What a host says of itself: the status, and from it whether it is healthy and ready.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::limits::STALL_MS;
use super::{CorePage, CoreState, Metric};
use crate::config::HostConfig;

/// Everything that the admin thread knows: the configuration's facts and the cores' pages.
#[derive(Debug)]
pub struct HostView {
    /// Cluster id, 32 hexadecimal digits.
    pub cluster: String,
    /// Host id.
    pub host: u32,
    /// The other hosts: id and address.
    pub peers: Vec<(u32, String)>,
    /// Where clients come in by.
    pub plain: Vec<String>,
    /// Data directory.
    pub data_dir: String,
    /// One page per core.
    pub pages: Vec<Arc<CorePage>>,
    /// When the process started serving.
    pub started: Instant,
}

impl HostView {
    /// The view of a host about to serve, with these pages.
    pub fn new(config: &HostConfig, pages: Vec<Arc<CorePage>>) -> HostView {
        HostView {
            cluster: config.identity.cluster.to_string(),
            host: config.identity.host,
            peers: config.peers().map(|peer| (peer.id, peer.address.to_string())).collect(),
            plain: config.plain.iter().map(ToString::to_string).collect(),
            data_dir: config.settings.data_dir.display().to_string(),
            pages,
            started: Instant::now(),
        }
    }

    /// Whether a core of this host is a learner.
    pub fn is_learner(&self) -> bool {
        self.pages.iter().any(|page| page.value(Metric::Learner) != 0)
    }
}

/// The status of a host, as `/status` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Cluster id.
    pub cluster: String,
    /// Host id.
    pub host: u32,
    /// Whether a core of this host is a learner: it serves clients, but has no vote until it has taken over what it lost.
    #[serde(default)]
    pub learner: bool,
    /// How far this host is with becoming equal to the others.
    #[serde(default)]
    pub repair: RepairStatus,
    /// Seconds since the process started serving.
    pub uptime_seconds: u64,
    /// Where clients come in by, when they know nothing of clusters.
    pub plain: Vec<String>,
    /// Data directory.
    pub data_dir: String,
    /// Live keys on this host, of all cores.
    pub keys: u64,
    /// Client connections, of all cores.
    pub clients: u64,
    /// Whether every core is alive.
    pub healthy: bool,
    /// Whether every core serves and sees a majority.
    pub ready: bool,
    /// Why it is not healthy or not ready, one sentence each.
    pub reasons: Vec<String>,
    /// The cores, in order.
    pub cores: Vec<CoreStatus>,
    /// The other hosts, in order of their ids.
    pub peers: Vec<PeerStatus>,
}

/// One core of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Its number.
    pub core: u16,
    /// `starting`, `recovering`, `ready`, `draining` or `failed`.
    pub state: String,
    /// How often it has started on its data.
    pub incarnation: u64,
    /// Live keys.
    pub keys: u64,
    /// Client connections.
    pub clients: u64,
    /// Peers that are up, to this core.
    pub peers_up: Vec<u32>,
    /// Its tree, where the rows of large tables lie.
    #[serde(default)]
    pub tree: TreeStatus,
}

/// How the tree of a core stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// It did not open, or a write to it failed: the core serves no rows of large tables.
    pub closed: bool,
    /// Bytes of its tables on disk.
    pub disk_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Levels that have tables.
    pub levels: u64,
    /// Tables with damage.
    pub damaged_tables: u64,
    /// Bytes that compaction has yet to move.
    pub debt_bytes: u64,
    /// 0: it keeps up with what is applied; 1: writes are slowed down; 2: they wait.
    pub pressure: u64,
}

/// How far a host is with becoming equal to the others, all cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairStatus {
    /// Slots still to be gone through.
    pub slots_behind: u64,
    /// Records still to be taken over, as far as they are known.
    pub records_behind: u64,
    /// Bytes of them.
    pub bytes_behind: u64,
    /// Records taken over since the start.
    pub copied_records: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
    /// Tombstones dropped since the start because every host agreed to it.
    #[serde(default)]
    pub dropped_tombstones: u64,
    /// Damaged logs that were put aside and still lie in the data directory, as `lost-...` files.
    #[serde(default)]
    pub logs_aside: u64,
}

/// One other host, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Host id.
    pub host: u32,
    /// Its address.
    pub address: String,
    /// Whether all cores here have a link to it.
    pub up: bool,
    /// Whether it is a learner, which counts toward no majority.
    #[serde(default)]
    pub learner: bool,
}

/// Why the host is not alive as a whole; empty when it is.
pub fn sick(view: &HostView) -> Vec<String> {
    let mut reasons = Vec::new();
    for page in &view.pages {
        let core = page.core();
        if page.state() == CoreState::Failed {
            reasons.push(format!(
                "core {core} has stopped after a disk error; see the log, then restart the process"
            ));
        } else if page.state() != CoreState::Starting && page.silent_ms() > STALL_MS {
            reasons.push(format!("core {core} has not been heard of for {} ms", page.silent_ms()));
        }
    }
    reasons
}

/// Why the host cannot serve everything; empty when it can.
pub fn unready(view: &HostView) -> Vec<String> {
    let mut reasons = sick(view);
    let hosts = view.peers.len() + 1;
    let majority = hosts / 2 + 1;
    for page in &view.pages {
        let core = page.core();
        match page.state() {
            CoreState::Ready | CoreState::Failed => {}
            state => reasons.push(format!("core {core} is {}", state.word())),
        }
        let votes = |host: u32| page.peer_up(host) && !page.peer_learner(host);
        let learner = page.value(Metric::Learner) != 0;
        let seen = usize::from(!learner) + view.peers.iter().filter(|(host, _)| votes(*host)).count();
        if seen < majority {
            let voters = if learner { " (a learner does not count)" } else { "" };
            reasons.push(format!("core {core} sees {seen} of {hosts} hosts, which is no majority{voters}"));
        }
    }
    reasons
}

/// The whole status.
pub fn status(view: &HostView) -> Status {
    let reasons = unready(view);
    let sum = |metric| view.pages.iter().fold(0u64, |sum, page| sum.saturating_add(page.value(metric)));
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: view.cluster.clone(),
        host: view.host,
        learner: view.is_learner(),
        repair: RepairStatus {
            slots_behind: sum(Metric::SlotsBehind),
            records_behind: sum(Metric::RecordsBehind),
            bytes_behind: sum(Metric::BytesBehind),
            copied_records: sum(Metric::RepairRecords),
            copied_bytes: sum(Metric::RepairBytes),
            dropped_tombstones: sum(Metric::TombstonesDropped),
            logs_aside: sum(Metric::LogsAside),
        },
        uptime_seconds: view.started.elapsed().as_secs(),
        plain: view.plain.clone(),
        data_dir: view.data_dir.clone(),
        keys: sum(Metric::Keys),
        clients: sum(Metric::Clients),
        healthy: sick(view).is_empty(),
        ready: reasons.is_empty(),
        reasons,
        cores: view.pages.iter().map(|page| core_status(view, page)).collect(),
        peers: view
            .peers
            .iter()
            .map(|(host, address)| PeerStatus {
                host: *host,
                address: address.clone(),
                up: view.pages.iter().all(|page| page.peer_up(*host)),
                learner: view.pages.iter().any(|page| page.peer_learner(*host)),
            })
            .collect(),
    }
}

fn core_status(view: &HostView, page: &CorePage) -> CoreStatus {
    CoreStatus {
        core: page.core(),
        state: page.state().word().to_owned(),
        incarnation: page.value(Metric::Incarnation),
        keys: page.value(Metric::Keys),
        clients: page.value(Metric::Clients),
        peers_up: view.peers.iter().map(|(host, _)| *host).filter(|host| page.peer_up(*host)).collect(),
        tree: TreeStatus {
            closed: page.value(Metric::TreeClosed) != 0,
            disk_bytes: page.value(Metric::TreeDiskBytes),
            tables: page.value(Metric::TreeTables),
            levels: page.value(Metric::TreeLevels),
            damaged_tables: page.value(Metric::TreeDamaged),
            debt_bytes: page.value(Metric::TreeDebt),
            pressure: page.value(Metric::TreePressure),
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A view of host 1 of three with two cores, for the tests of this module's neighbours.
    pub(crate) fn view() -> HostView {
        HostView {
            cluster: "c1".repeat(16),
            host: 1,
            peers: vec![(2, "10.0.0.2".to_owned()), (3, "10.0.0.3".to_owned())],
            plain: vec!["10.0.0.1:6379".to_owned()],
            data_dir: "data".to_owned(),
            pages: (0..2).map(|core| Arc::new(CorePage::new(core))).collect(),
            started: Instant::now(),
        }
    }

    #[test]
    fn a_host_is_ready_when_all_cores_serve_and_see_a_majority() {
        let view = view();
        assert_eq!(sick(&view), Vec::<String>::new());
        view.pages.iter().for_each(|page| page.set_state(CoreState::Ready));
        view.pages[0].set_peer(2, true, false);
        assert_eq!(unready(&view), ["core 1 sees 1 of 3 hosts, which is no majority"]);
        view.pages[1].set_peer(3, true, false);
        assert!(status(&view).ready);
        assert!(status(&view).peers.iter().all(|peer| !peer.up), "a peer is up when all cores reach it");
        view.pages[0].set_state(CoreState::Draining);
        assert_eq!(unready(&view), ["core 0 is draining"]);
        view.pages[1].set_state(CoreState::Failed);
        let status = status(&view);
        assert!(!status.healthy && !status.ready && status.reasons.len() == 2, "{:?}", status.reasons);
    }

    #[test]
    fn a_learner_counts_toward_no_majority() {
        let view = view();
        view.pages.iter().for_each(|page| page.set_state(CoreState::Ready));
        view.pages.iter().for_each(|page| page.set_peer(3, true, true));
        assert_eq!(unready(&view).len(), 2, "this host and a learner are no majority of three");
        view.pages.iter().for_each(|page| page.set_peer(2, true, false));
        assert!(status(&view).ready && !status(&view).learner);
        assert_eq!(status(&view).peers.iter().map(|peer| peer.learner).collect::<Vec<_>>(), [false, true]);
        // The learner itself needs two others.
        view.pages.iter().for_each(|page| page.set_peer(3, true, false));
        view.pages.iter().for_each(|page| page.set(Metric::Learner, 1));
        assert!(status(&view).ready && status(&view).learner);
        view.pages[0].set_peer(2, false, false);
        assert_eq!(
            unready(&view),
            ["core 0 sees 1 of 3 hosts, which is no majority (a learner does not count)"]
        );
    }

    #[test]
    fn the_status_reads_back_from_json() {
        let status = status(&view());
        let text = serde_json::to_string(&status).expect("JSON");
        assert_eq!(serde_json::from_str::<Status>(&text).expect("reads"), status);
    }
}
