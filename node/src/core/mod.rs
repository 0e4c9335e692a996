//! One core of the process: the glue between ring, peers, shard and client sessions. No decision of its own beyond
//! "who gets this": everything it glues is sans I/O and tested alone.
//!
//! ```text
//! event ─▶ clients.rs ─▶ session ─▶ Run ─▶ shard (here) or mailbox (another core)
//!       ─▶ peers.rs ───▶ netbatch ─▶ shard.on_message
//!       ─▶ shard.on_disk
//! end of turn: replies ─▶ sessions ─▶ sockets; messages ─▶ netbatch ─▶ sockets; one append; one submit
//! ```

mod budget;
mod clients;
mod glue;
mod mail;
mod peers;
mod publish;
mod waits;

use std::sync::Arc;

use reactor::uring::{outside, run_cores, CoreSpec};
use xxhash_rust::xxh3::xxh3_128;

use crate::boot::{Failure, Handover};
use crate::cluster::{Host, Layout};
use crate::config::HostConfig;
use glue::Core;
use mail::Mail;

use crate::watchdog::Watchdog;

/// Mailbox messages and their limits are the reactor's; this is how long a drain may take, in nanoseconds.
pub(crate) const DRAIN_NS_MAX: u64 = 10_000_000_000;

/// Runs the cores until they are told to stop.
pub fn run(handover: Handover) -> Result<(), Failure> {
    let layout = Arc::new(layout(&handover.config)?);
    let handover = Arc::new(handover);
    let mut specs = Vec::new();
    let mut watched = Vec::new();
    for core in &handover.config.cores {
        let (sender, end) = outside::<Mail>()
            .map_err(|error| Failure::Other(format!("cannot make a queue to core {}: {error}", core.core)))?;
        // A full queue means that the core has not looked yet; it will, and finds the newest state.
        handover.control.on_change(move || drop(sender.send(Mail::Look)));
        let mut spec = CoreSpec::new(&core.directory);
        spec.cpu = core.cpu;
        spec.outside = Some(end);
        watched.push((spec.watched.clone(), handover.pages[usize::from(core.core)].clone()));
        specs.push(spec);
    }
    let _watchdog = Watchdog::start(watched, handover.control.settings().stall_ms.0)?;
    run_cores(specs, |index, io, mailboxes| {
        Core::new(index.0, handover.clone(), layout.clone(), io, mailboxes)
    })
    .map_err(|error| Failure::Unusable(error.to_string()))?;
    handover.control.failure().map_or(Ok(()), |reason| Err(Failure::Other(reason)))
}

fn layout(config: &HostConfig) -> Result<Layout, Failure> {
    let host = |member: &crate::config::host::Member| Host {
        id: member.id,
        ip: member.announce,
        core_port_base: config.ports.client_base,
        peer_port_base: config.ports.peer_base,
        plain_port: config.ports.plain,
    };
    let hosts = config.members.iter().map(host).collect();
    Layout::new(&config.identity.cluster.to_string(), hosts, config.identity.slices)
        .map_err(|error| Failure::Unusable(error.to_string()))
}

/// What fingerprints of keys are keyed with: the same on all hosts of a cluster, so that their slot sums can be compared,
/// and unknown to clients.
fn fingerprint_key(config: &HostConfig) -> [u8; 16] {
    let mut seed = config.identity.cluster.0.to_vec();
    seed.extend_from_slice(config.cluster_secret.reveal().as_bytes());
    if config.members.len() == 1 {
        seed.extend_from_slice(&config.identity.directory.0);
    }
    xxh3_128(&seed).to_le_bytes()
}

/// A number that differs at each start.
fn random_seed() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|error| Failure::Other(format!("cannot get random bytes from the kernel: {error}")))
}
