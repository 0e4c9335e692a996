//! `synod-bench drill chaos`: a cluster of real processes on a real kernel, broken in every way that a machine
//! lends itself to, under load, and then the proof that nothing went wrong.
//!
//! **Holds**: the walls around it all ([`enclosure`]), what this machine offers ([`means`]), the network
//! ([`net`], [`switch`], [`link`]), the disks ([`disk`]), the hosts ([`host`], [`cluster`]), the faults and how a
//! seed draws them ([`fault`]), the clients ([`client`], [`door`]), and the drill itself ([`mod@chaos`]) with its
//! report and its ledger of all runs.
//!
//! **Leaves out**: virtual time, and schedules that can be seen again. A seed decides which faults come in which
//! order and what clients ask for; how that meets the kernel differs from run to run. The simulator is for the
//! rest; this is for what it cannot see: sockets, io_uring, file systems, signals.
//!
//! **Invariants**: nothing is left behind when a drill ends, however it ends, and the machine's own network,
//! clock and disks are not touched. A fault that cannot happen here is named and skipped, never counted. An
//! error of the machine ends the drill without a verdict (exit code 3); an error of a host is a verdict.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::BenchError;
use chaos::Plan;
use cluster::{Cluster, Layout};
use means::Means;
use report::Report;

pub mod args;
pub mod chaos;
pub mod client;
pub mod cluster;
pub mod disk;
pub mod door;
pub mod enclosure;
pub mod fault;
pub mod host;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod means;
pub mod net;
pub mod report;
pub mod scenario;
pub mod switch;
mod sys;
mod tool;

/// Runs a chaos drill: outside, it starts itself again within walls; inside, it does what was asked. Gives the
/// exit code.
///
/// # Errors
/// Options that do not fit, or a machine that refuses: nothing is proven.
pub fn chaos(args: &args::ChaosArgs, arguments: impl Iterator<Item = OsString>) -> Result<u8, BenchError> {
    let binary = host::find_binary(args.bin.as_deref())?;
    args.check()?;
    match &args.inside {
        None => enclosure::run(arguments, args.keep.as_deref()),
        Some(folder) => inside(args, binary, folder).map(|good| u8::from(!good)),
    }
}

fn inside(args: &args::ChaosArgs, binary: PathBuf, folder: &Path) -> Result<bool, BenchError> {
    let enclosed = enclosure::furnish()?;
    let mut means = Means::look();
    if !enclosed {
        means.enclosure = means.enclosure.and(Err("no namespaces of its own".to_owned()));
        // The library leaves shared memory behind, which here nobody would remove.
        means.clock = means.clock.and(Err("needs root".to_owned()));
    }
    let media = args.media(&means);
    let (kinds, skipped) = means.sort(&args.kinds()?, &media);
    for (kind, why) in skipped.iter().filter(|_| args.scenario.is_none()) {
        eprintln!("SKIPPED {}: {why}", kind.name());
    }
    let layout =
        Layout { binary, folder: folder.to_owned(), cores: args.cores, media, seed: args.seed, enclosed };
    let plan: Plan = args.plan(kinds, layout.media.clone());
    let mut cluster = Cluster::start(&layout, &means)?;
    if let Some(scenario) = args.scenario {
        let outcome = scenario::run(scenario, &plan, &mut cluster)?;
        drop(cluster);
        args.write_outcome(&outcome)?;
        return Ok(outcome.good);
    }
    let story = chaos::run(&plan, &mut cluster)?;
    let frames = cluster.frames();
    drop(cluster);
    let disks = layout.media.iter().map(|medium| medium.name()).collect();
    let report = Report::new(args.seed, disks, frames, &story, &skipped);
    args.write(&report, &story)?;
    Ok(report.good)
}
