//! The chaos drill: faults drawn by a seed, clients all the while, everything read back and judged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::SeedableRng;

use super::client::{Client, Seen, World};
use super::cluster::Cluster;
use super::fault::{Draw, Fault};
use super::limits::CLIENT_TIMEOUT;
use crate::drill::judge::{self, Judgement};
use crate::error::BenchError;
use crate::history::History;

/// What to do to a cluster, and for how long.
#[derive(Debug)]
pub struct Plan {
    /// How long faults happen.
    pub seconds: Duration,
    /// No more episodes than this; 0 for as many as the time allows.
    pub episodes: usize,
    /// How faults are drawn.
    pub draw: Draw,
    /// Seed of faults and clients.
    pub seed: u64,
    /// Clients.
    pub clients: usize,
    /// Keys of each kind.
    pub keys: usize,
    /// Operations per second, of all clients together.
    pub rate: f64,
    /// Tell on standard error what happens.
    pub progress: bool,
}

/// Faults that happened at once, and what came of it. Times are nanoseconds from the start.
#[derive(Debug, Clone)]
pub struct Episode {
    /// The faults.
    pub faults: Vec<Fault>,
    /// When the first began.
    pub begin: u64,
    /// When they were ended.
    pub heal: u64,
    /// When every host served again.
    pub healed: u64,
    /// The longest time, ns, that one host's threads together waited for a CPU from the beginning to the heal: on a
    /// machine with nothing else to do it is next to nothing, but for a host whose CPU is limited.
    pub cpu_wait: u64,
}

/// What happened, and what was seen.
#[derive(Debug)]
pub struct Story {
    /// In order.
    pub episodes: Vec<Episode>,
    /// What must not be, in words: hosts that ended by themselves, or do not come back.
    pub troubles: Vec<String>,
    /// By client.
    pub seen: Vec<Seen>,
    /// Everything that clients asked, the reads at the end included.
    pub history: History,
    /// What it proves; none if not everything could be read back.
    pub judgement: Option<Judgement>,
    /// How long it took, reading back and all.
    pub took: Duration,
}

/// What clients saw while something was done to their cluster.
#[derive(Debug)]
pub struct Watched<T> {
    /// What came of what was done.
    pub told: T,
    /// By client.
    pub seen: Vec<Seen>,
    /// Everything that clients asked, the reads at the end included.
    pub history: History,
    /// What it proves, or why not everything could be read back.
    pub judged: Result<Judgement, String>,
    /// How long it took, reading back and all.
    pub took: Duration,
}

/// Does something to a cluster while clients use it; then reads everything back and judges it.
///
/// # Errors
/// What `script` gives.
pub fn under_load<T>(
    plan: &Plan,
    cluster: &mut Cluster,
    script: impl FnOnce(&mut Cluster, &World) -> Result<T, BenchError>,
) -> Result<Watched<T>, BenchError> {
    let world = World {
        start: Instant::now(),
        stop: AtomicBool::new(false),
        healed: AtomicU64::new(0),
        hosts: cluster.plain(),
        clients: plan.clients,
        keys: plan.keys,
        rate: plan.rate / plan.clients as f64,
        seed: plan.seed,
    };
    let (told, mut seen) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.clients)
            .map(|index| {
                let client = Client::new(&world, index);
                scope.spawn(move || client.run())
            })
            .collect();
        let told = script(cluster, &world);
        world.stop.store(true, Ordering::Release);
        let seen = threads.into_iter().map(|thread| thread.join().expect("a panic aborts the process"));
        (told, seen.collect::<Vec<Seen>>())
    });
    let told = told?;
    let mut history = History::new();
    for one in &mut seen {
        history.operations.append(&mut one.operations);
    }
    let judged = read_and_judge(&world, &mut history);
    Ok(Watched { told, seen, history, judged, took: world.start.elapsed() })
}

fn read_and_judge(world: &World, history: &mut History) -> Result<Judgement, String> {
    let door =
        judge::Door { hosts: &world.hosts, password: None, timeout: CLIENT_TIMEOUT, start: world.start };
    let finals = judge::read_back(&door, &world.keys(), history).map_err(|error| error.to_string())?;
    Ok(judge::judge(history, &finals))
}

/// Runs the drill on a cluster that serves.
///
/// # Errors
/// The machine refuses a fault: nothing is proven then.
pub fn run(plan: &Plan, cluster: &mut Cluster) -> Result<Story, BenchError> {
    let watched = under_load(plan, cluster, |cluster, world| trouble(plan, cluster, world))?;
    let Watched { told: (episodes, mut troubles), seen, history, judged, took } = watched;
    let judgement = judged.map_err(|error| troubles.push(error)).ok();
    Ok(Story { episodes, troubles, seen, history, judgement, took })
}

/// Faults until the time is over, or a host does not come back.
fn trouble(
    plan: &Plan,
    cluster: &mut Cluster,
    world: &World,
) -> Result<(Vec<Episode>, Vec<String>), BenchError> {
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let (mut episodes, mut troubles) = (Vec::new(), Vec::new());
    while world.start.elapsed() < plan.seconds && (plan.episodes == 0 || episodes.len() < plan.episodes) {
        let faults = plan.draw.episode(&mut random);
        let quiet = plan.draw.quiet(&mut random);
        if !faults.is_empty() {
            let (episode, trouble) = happen(plan, cluster, world, faults)?;
            episodes.push(episode);
            let lasting = trouble.iter().any(|trouble| trouble.lasting);
            troubles.extend(trouble.into_iter().map(|trouble| trouble.text));
            if lasting {
                break;
            }
        }
        std::thread::sleep(quiet.min(plan.seconds.saturating_sub(world.start.elapsed())));
    }
    troubles.extend(cluster.ended());
    Ok((episodes, troubles))
}

/// Something that must not be.
struct Trouble {
    text: String,
    /// It makes no sense to go on.
    lasting: bool,
}

fn happen(
    plan: &Plan,
    cluster: &mut Cluster,
    world: &World,
    faults: Vec<Fault>,
) -> Result<(Episode, Vec<Trouble>), BenchError> {
    let mut troubles = Vec::new();
    let names: Vec<String> = faults.iter().map(Fault::text).collect();
    // What ended before is the fault of the episode before, or of nobody.
    troubles.extend(cluster.ended().into_iter().map(|text| Trouble { text, lasting: false }));
    let waits = cluster.cpu_waits();
    let begin = world.now_ns();
    for fault in &faults {
        cluster.inject(fault)?;
    }
    let lasts = faults.iter().map(|fault| fault.lasts).max().unwrap_or_default();
    std::thread::sleep(lasts);
    let ended = cluster.ended();
    if !faults.iter().any(|fault| fault.kind.may_end_host()) {
        let text =
            |text: String| Trouble { text: format!("{}: {text}", names.join(" and ")), lasting: false };
        troubles.extend(ended.into_iter().map(text));
    }
    let heal = world.now_ns();
    let cpu_wait = longest_wait(&waits, &cluster.cpu_waits());
    if let Err(error) = cluster.heal() {
        troubles.push(Trouble { text: format!("after {}: {error}", names.join(" and ")), lasting: true });
    }
    let healed = world.now_ns();
    world.healed.fetch_add(1, Ordering::AcqRel);
    if plan.progress {
        let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
        eprintln!(
            "{:7.1} s  {:<28} {:5.1} s, back {:.2} s after it",
            seconds(begin),
            names.join(" + "),
            seconds(heal - begin),
            seconds(healed - heal)
        );
    }
    Ok((Episode { faults, begin, heal, healed, cpu_wait }, troubles))
}

/// The longest wait of one host between two looks; a process that is not the same any more counts for nothing.
fn longest_wait(before: &[(u64, u64)], after: &[(u64, u64)]) -> u64 {
    let same = before.iter().zip(after).filter(|(before, after)| before.0 == after.0);
    same.map(|(before, after)| after.1.saturating_sub(before.1)).max().unwrap_or_default()
}
