//! Builds a serving process out of a configuration, and takes it down again.
//!
//! ```text
//! settings ─▶ data directory (locked) ─▶ HostConfig ─▶ host check, ports ─▶ signals ─▶ admin thread ─▶ cores ─▶ exit
//! ```
//!
//! Everything that can be refused is refused before the first core starts, with a sentence that says what to do and exit
//! code 78. What runs on the cores is handed in as a function of a [`Handover`], so that this module knows neither rings
//! nor shards and is tested without them.

pub mod control;
pub mod failure;
pub mod hostcheck;
pub mod ports;
pub mod seats;
pub mod secret;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use control::{Control, Phase};
pub use failure::Failure;
pub use seats::{Seat, Seats};

use crate::admin::{self, CorePage, CoreState, HostView};
use crate::config::host::{resolve, Facts};
use crate::config::{HostConfig, Loaded};
use crate::datadir::{DataDir, PeerBook};
use crate::log;

/// What the cores get.
#[derive(Debug)]
pub struct Handover {
    /// The configuration, complete.
    pub config: HostConfig,
    /// Stop requests and settings in force.
    pub control: Arc<Control>,
    /// One page per core, in order, to publish into.
    pub pages: Vec<Arc<CorePage>>,
    /// Whose data directories the other hosts had at first contact.
    pub peers: Arc<PeerBook>,
    /// Client connections of the host.
    pub seats: Seats,
}

/// Serves until told to stop. `run` runs the cores and returns when all of them have ended: without an error after
/// [`Phase::Draining`] or [`Phase::Stopping`] was asked for.
pub fn serve(loaded: &Loaded, run: impl FnOnce(Handover) -> Result<(), Failure>) -> Result<(), Failure> {
    hostcheck::require()?;
    let settings = &loaded.settings;
    let directory = DataDir::open(&settings.data_dir, host_id(loaded))?;
    let config = resolve(loaded, facts(loaded, &directory)?)?;
    if config.identity.is_learner() && config.members.len() < 2 {
        return Err(Failure::Unusable(
            "the data directory is a learner's, which serves nothing without the other hosts: list them as [[host]]".to_owned(),
        ));
    }
    ports::probe(&config)?;
    let _log = log::start(settings.log_format, settings.log_level);
    let control = Arc::new(Control::new(settings.clone()));
    let pages: Vec<Arc<CorePage>> =
        config.cores.iter().map(|core| Arc::new(CorePage::new(core.core))).collect();
    let view = Arc::new(HostView::new(&config, pages.clone()));
    let _admin = admin::start(&config.admin, view)
        .map_err(|(address, e)| Failure::Unusable(ports::explain("admin_port", address, &e)))?;
    listen_for_signals(control.clone())?;
    let peers = Arc::new(directory.peer_book()?);
    let watch = Watch { banner: banner(&config), pages: pages.clone(), directory };
    let ended = Arc::new(AtomicBool::new(false));
    let watcher = watch.start(ended.clone())?;
    if config.identity.is_learner() {
        // Each core says when it is a voter again, and its log remembers that.
        tracing::warn!(
            "this host is a learner: its data was lost and its directory made with `synod init --rejoin`; until it has taken \
             over what it lost it serves clients by handing their commands to the other hosts, and has no vote"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = %config.identity.cluster,
        host = config.identity.host,
        cores = config.cores.len(),
        data_dir = %settings.data_dir.display(),
        "starting"
    );
    for warning in hostcheck::warnings(settings) {
        tracing::warn!(found = warning.found, fix = warning.fix, "{}", warning.name);
    }
    let result = run(Handover { config, control, pages, peers, seats: Seats::default() });
    ended.store(true, Ordering::Relaxed);
    // The watcher holds the lock on the data directory: it must not outlive this call.
    watcher.thread().unpark();
    let _ = watcher.join();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}

fn host_id(loaded: &Loaded) -> u32 {
    u32::try_from(loaded.settings.host_id.0).expect("the bounds of host_id are those of 16 bits")
}

fn facts(loaded: &Loaded, directory: &DataDir) -> Result<Facts, Failure> {
    Ok(Facts {
        identity: directory.identity().clone(),
        known_peers: directory.known_peers()?,
        core_directories: directory.core_directories(),
        cpus: reactor::uring::cpus(),
        cluster_secret: secret::read(&loaded.settings)?,
    })
}

/// The first signal asks the cores to drain, the second to stop at once, the third does not ask.
fn listen_for_signals(control: Arc<Control>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Other(format!("cannot listen for signals: {e}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let listen = move || {
        for signal in signals.forever() {
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            match control.phase() {
                Phase::Serving => {
                    tracing::info!(signal = name, "draining; a second signal stops at once");
                    control.advance(Phase::Draining);
                }
                Phase::Draining => {
                    tracing::warn!(signal = name, "stopping at once");
                    control.advance(Phase::Stopping);
                }
                Phase::Stopping => std::process::exit(1),
            }
        }
    };
    std::thread::Builder::new().name("synod-signals".to_owned()).spawn(listen).map_err(failed)?;
    Ok(())
}

/// What a person, a script and systemd want to know once the cores serve.
fn banner(config: &HostConfig) -> String {
    let list = |addresses: &[std::net::SocketAddr]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let clients: Vec<_> = config.cores.iter().filter_map(|core| core.client.first().copied()).collect();
    let peers: Vec<_> = config.cores.iter().map(|core| core.peer).collect();
    let peers = if config.members.len() > 1 { format!("; peers {}", list(&peers)) } else { String::new() };
    format!(
        "synod {} is ready: host {} of {}, plain {}; cores {}{peers}; admin {}; data {}",
        env!("CARGO_PKG_VERSION"),
        config.identity.host,
        config.members.len(),
        list(&config.plain),
        list(&clients),
        list(&config.admin),
        config.settings.data_dir.display()
    )
}

/// How often the watcher looks at the pages; a start is noticed so much later at most.
const WATCH_PERIOD: Duration = Duration::from_millis(10);

/// Waits until every core serves, then says so. Holds the data directory, and with it its lock.
struct Watch {
    banner: String,
    pages: Vec<Arc<CorePage>>,
    directory: DataDir,
}

impl Watch {
    fn start(self, ended: Arc<AtomicBool>) -> Result<std::thread::JoinHandle<()>, Failure> {
        let watch = move || {
            let is_ready = || self.pages.iter().all(|page| page.state() == CoreState::Ready);
            while !ended.load(Ordering::Relaxed) && !is_ready() {
                std::thread::park_timeout(WATCH_PERIOD);
            }
            if !ended.load(Ordering::Relaxed) {
                self.say_ready();
            }
            // A thread may be woken for nothing.
            while !ended.load(Ordering::Relaxed) {
                std::thread::park();
            }
        };
        let failed = |e: std::io::Error| Failure::Other(format!("cannot start a thread: {e}"));
        std::thread::Builder::new().name("synod-watch".to_owned()).spawn(watch).map_err(failed)
    }

    fn say_ready(&self) {
        if let Err(e) = self.directory.mark_used() {
            tracing::warn!(error = %e, "cannot note that this data directory is in use");
        }
        // Whoever read the standard output may have left; that is no reason to stop.
        let _ = writeln!(std::io::stdout(), "{}", self.banner);
        tracing::info!("ready");
        // Outside systemd there is nobody to tell, and the call does nothing.
        if let Err(e) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            tracing::warn!(error = %e, "cannot tell systemd that the node is ready");
        }
    }
}
