//! Drills with a figure to hold: what one fault costs, measured under load, beside the same load without it.
//!
//! Everything that clients saw is judged besides, as in the chaos drill.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use super::chaos::{under_load, Plan, Watched};
use super::client::{Event, Seen, World};
use super::cluster::Cluster;
use super::disk::fuse::Ill;
use super::disk::Medium;
use super::fault::{Fault, Kind};
use super::limits::{
    DISTANCE, FILL_BYTES, FILL_PIPELINE, FILL_VALUE_BYTES, HOSTS, RESTART_PER_GB, SCENARIO_ROUNDS,
    SLOW_P99_FACTOR, STOP_WITHIN,
};
use crate::error::BenchError;
use crate::resp::Value;
use crate::wire::Wire;

/// Which drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A sync fails: its core stops within 100 ms, the sync is not tried again, the host comes back clean.
    FailingSync,
    /// One host has a slow disk, then little CPU: the p99 of the others' clients is at most twice the healthy one.
    SlowHost,
    /// Hosts are 10 ms apart: a SET takes at most a round trip and two syncs.
    FarApart,
    /// Each host holds 1 GB and is killed: it serves again within 2 s.
    Restart,
}

impl Scenario {
    /// The disks that it needs.
    pub fn medium(self) -> Medium {
        match self {
            Scenario::FailingSync => Medium::Memory,
            Scenario::SlowHost => Medium::Image,
            Scenario::FarApart | Scenario::Restart => Medium::Folder,
        }
    }
}

/// One figure of a drill.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// What it must not be above; none: it is told only.
    pub most: Option<f64>,
}

impl Figure {
    fn told(what: impl Into<String>, value: f64) -> Figure {
        Figure { what: what.into(), value, most: None }
    }

    fn held(what: impl Into<String>, value: f64, most: f64) -> Figure {
        Figure { what: what.into(), value, most: Some(most) }
    }

    fn is_good(&self) -> bool {
        self.most.is_none_or(|most| self.value <= most)
    }
}

/// What came of a drill.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The figures.
    pub figures: Vec<Figure>,
    /// Acknowledged writes lost.
    pub lost: u64,
    /// Keys whose history is not linearizable.
    pub violations: usize,
    /// What must not be, in words.
    pub troubles: Vec<String>,
    /// Every figure holds, and nothing is wrong.
    pub good: bool,
}

impl Outcome {
    fn new<T>(figures: Vec<Figure>, watched: &Watched<T>) -> Outcome {
        let judged = watched.judged.as_ref();
        let good = judged.is_ok_and(|judgement| judgement.is_good()) && figures.iter().all(Figure::is_good);
        Outcome {
            figures,
            lost: judged.map_or(0, |judgement| judgement.lost),
            violations: judged.map_or(0, |judgement| judgement.summary.violations.len()),
            troubles: judged.err().into_iter().cloned().collect(),
            good,
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for figure in &self.figures {
            let bound = figure.most.map_or(String::new(), |most| format!("  at most {most:.2}"));
            let verdict = if figure.is_good() { "" } else { "  NOT HELD" };
            let _ = writeln!(out, "{:<66}{:>10.2}{bound}{verdict}", figure.what, figure.value);
        }
        for trouble in &self.troubles {
            let _ = writeln!(out, "TROUBLE {trouble}");
        }
        let _ = writeln!(out, "keys not linearizable: {}", self.violations);
        let _ = writeln!(out, "acknowledged writes lost: {}", self.lost);
        out
    }
}

/// Runs a drill on a cluster that serves.
///
/// # Errors
/// The machine refuses, or a host does not come back.
pub fn run(scenario: Scenario, plan: &Plan, cluster: &mut Cluster) -> Result<Outcome, BenchError> {
    match scenario {
        Scenario::FailingSync => failing_sync(plan, cluster),
        Scenario::SlowHost => slow_host(plan, cluster),
        Scenario::FarApart => far_apart(plan, cluster),
        Scenario::Restart => restart(plan, cluster),
    }
}

/// A stretch of a drill, ns from its start.
struct Stretch {
    name: &'static str,
    begin: u64,
    end: u64,
}

fn stretch(world: &World, name: &'static str, lasts: Duration) -> Stretch {
    let begin = world.now_ns();
    std::thread::sleep(lasts);
    Stretch { name, begin, end: world.now_ns() }
}

/// Latencies, ms in order, of what was answered within a stretch.
fn latencies(seen: &[Seen], stretch: &Stretch, wanted: impl Fn(&Seen, &Event) -> bool) -> Vec<f64> {
    let inside = |event: &Event| event.call >= stretch.begin && event.call < stretch.end;
    let mut all: Vec<f64> = seen
        .iter()
        .flat_map(|seen| seen.events.iter().map(move |event| (seen, event)))
        .filter(|(seen, event)| event.failure.is_none() && inside(event) && wanted(seen, event))
        .map(|(_, event)| Duration::from_nanos(event.end - event.call).as_secs_f64() * 1e3)
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

/// A percentile of figures in order; 0 of none.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn failing_sync(plan: &Plan, cluster: &mut Cluster) -> Result<Outcome, BenchError> {
    let watched = under_load(plan, cluster, |cluster, world| {
        (0..SCENARIO_ROUNDS).map(|round| fail_one_sync(cluster, world, round)).collect::<Result<Vec<_>, _>>()
    })?;
    let figures = watched.told.iter().flatten().cloned().collect();
    Ok(Outcome::new(figures, &watched))
}

/// Lets one sync fail, those after it succeed, and looks what the host does.
fn fail_one_sync(cluster: &mut Cluster, world: &World, round: usize) -> Result<Vec<Figure>, BenchError> {
    let host = round % HOSTS + 1;
    std::thread::sleep(Duration::from_secs(1));
    cluster.memory_disk(host)?.set(Ill::NextSync);
    let told_at = refusal_of_a_core(cluster, host)?;
    std::thread::sleep(Duration::from_secs(1));
    let counts = cluster.memory_disk(host)?.counts();
    let failed_at = counts.failed_at.ok_or_else(|| BenchError::Command("no sync failed".to_owned()))?;
    cluster.must_start(host);
    let back = cluster.heal()?;
    world.healed.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    let name = format!("round {}, host {host}", round + 1);
    let stopped_ms = told_at.saturating_duration_since(failed_at).as_secs_f64() * 1e3;
    let most = STOP_WITHIN.as_secs_f64() * 1e3;
    let again = counts.syncs_after_failure as f64;
    Ok(vec![
        Figure::held(format!("{name}: from the failed sync to the first refusal, ms"), stopped_ms, most),
        Figure::held(format!("{name}: syncs of that file after it, within a second"), again, 0.0),
        Figure::told(
            format!("{name}: from its restart until all hosts served, ms"),
            back.as_secs_f64() * 1e3,
        ),
    ])
}

/// Writes keys of all cores through a host until one is refused because of the storage; gives when.
fn refusal_of_a_core(cluster: &Cluster, host: usize) -> Result<Instant, BenchError> {
    let addr = cluster.plain()[host - 1];
    let failed = |source| BenchError::Connection { addr, source };
    let begin = Instant::now();
    let mut wire = Wire::connect(addr, None, super::limits::CLIENT_TIMEOUT).map_err(failed)?;
    while begin.elapsed() < super::limits::HOST_PATIENCE {
        for number in 0..super::limits::PROBE_KEYS {
            let key = format!("stop:{number}");
            if let Value::Error(text) = wire.call(&[b"SET", key.as_bytes(), b"1"]).map_err(failed)? {
                if String::from_utf8_lossy(&text).contains("storage") {
                    return Ok(Instant::now());
                }
            }
        }
    }
    Err(BenchError::Server { addr, text: "no core stopped, although a sync failed".to_owned() })
}

fn slow_host(plan: &Plan, cluster: &mut Cluster) -> Result<Outcome, BenchError> {
    const SLOW: usize = 1;
    let fault = |kind| Fault { kind, host: SLOW, other: 2, lasts: Duration::ZERO, salt: 0 };
    let part = plan.seconds / 5;
    let watched = under_load(plan, cluster, |cluster, world| {
        let mut stretches = vec![stretch(world, "healthy", part)];
        for (kind, name) in [(Kind::Throttle, "20 writes a second"), (Kind::Cpu, "a tenth of a CPU")] {
            cluster.inject(&fault(kind))?;
            stretches.push(stretch(world, name, part));
            cluster.heal()?;
            stretches.push(stretch(world, "healthy", part));
        }
        Ok(stretches)
    })?;
    let others = |_: &Seen, event: &Event| event.host + 1 != SLOW;
    let p99 = |stretch: &Stretch| percentile(&latencies(&watched.seen, stretch, others), 0.99);
    let healthy: Vec<f64> = watched.told.iter().filter(|s| s.name == "healthy").map(p99).collect();
    // The worst of three: a machine with other things to do is not calm all the time.
    let worst = healthy.iter().copied().fold(0.0, f64::max);
    let mut figures = Vec::new();
    for (at, stretch) in watched.told.iter().enumerate() {
        let (what, value) =
            (format!("{}. {}: p99 of the other hosts' clients, ms", at + 1, stretch.name), p99(stretch));
        figures.push(match stretch.name {
            "healthy" => Figure::told(what, value),
            _ => Figure::held(what, value, worst * SLOW_P99_FACTOR),
        });
        let median = percentile(&latencies(&watched.seen, stretch, others), 0.5);
        figures.push(Figure::told(format!("{}. {}: p50, ms", at + 1, stretch.name), median));
    }
    Ok(Outcome::new(figures, &watched))
}

fn far_apart(plan: &Plan, cluster: &mut Cluster) -> Result<Outcome, BenchError> {
    let part = plan.seconds / 2;
    let watched = under_load(plan, cluster, |cluster, world| {
        let near = stretch(world, "near", part);
        cluster.set_distance(DISTANCE)?;
        // What was under way belongs to neither.
        std::thread::sleep(Duration::from_secs(1));
        let far = stretch(world, "far", part);
        cluster.heal()?;
        Ok([near, far])
    })?;
    let [near, far] = &watched.told;
    let p50 = |stretch: &Stretch, routed: bool| {
        percentile(&latencies(&watched.seen, stretch, |seen, event| event.set && seen.routed == routed), 0.5)
    };
    let round_trip = DISTANCE.as_secs_f64() * 2e3;
    let figures = vec![
        Figure::told("round trip between hosts, ms", round_trip),
        Figure::told("near: SET p50 of cluster clients (a round trip of 0, and syncs), ms", p50(near, true)),
        Figure::held(
            "far: SET p50 of cluster clients, ms",
            p50(far, true),
            round_trip + 2.0 * p50(near, true),
        ),
        Figure::told("near: SET p50 of plain clients, ms", p50(near, false)),
        Figure::told("far: SET p50 of plain clients (two of three forward), ms", p50(far, false)),
    ];
    Ok(Outcome::new(figures, &watched))
}

fn restart(plan: &Plan, cluster: &mut Cluster) -> Result<Outcome, BenchError> {
    let watched = under_load(plan, cluster, |cluster, world| {
        fill(cluster)?;
        let mut figures = Vec::new();
        let most = RESTART_PER_GB.as_secs_f64() * FILL_BYTES as f64 / 1e9;
        for host in 1..=HOSTS {
            let fault = Fault { kind: Kind::Kill, host, other: 1, lasts: Duration::ZERO, salt: 0 };
            cluster.inject(&fault)?;
            std::thread::sleep(Duration::from_secs(1));
            let back = cluster.heal()?.as_secs_f64();
            world.healed.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            let what = format!("host {host}: from its start after SIGKILL until all cores served, s");
            figures.push(Figure::held(what, back, most));
        }
        Ok(figures)
    })?;
    let mut figures = vec![Figure::told("bytes of values on each host, GB", FILL_BYTES as f64 / 1e9)];
    figures.extend(watched.told.iter().cloned());
    Ok(Outcome::new(figures, &watched))
}

/// Writes [`FILL_BYTES`] of values, which every host then holds.
fn fill(cluster: &Cluster) -> Result<(), BenchError> {
    let addr = cluster.plain()[0];
    let failed = |source| BenchError::Connection { addr, source };
    let mut wire = Wire::connect(addr, None, super::limits::HOST_PATIENCE).map_err(failed)?;
    let value = vec![0x61; FILL_VALUE_BYTES];
    let keys: Vec<String> =
        (0..FILL_BYTES / FILL_VALUE_BYTES).map(|number| format!("fill:{number}")).collect();
    for keys in keys.chunks(FILL_PIPELINE) {
        for key in keys {
            wire.send(&[b"SET", key.as_bytes(), &value]).map_err(failed)?;
        }
        for _ in keys {
            if let Value::Error(text) = wire.receive().map_err(failed)? {
                let text = format!("filling: {}", String::from_utf8_lossy(&text));
                return Err(BenchError::Server { addr, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_bounds() {
        let sorted: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 0.5), percentile(&sorted, 0.99)), (50.0, 99.0));
        assert_eq!((percentile(&[], 0.5), percentile(&[3.0], 1.0)), (0.0, 3.0));
        assert!(Figure::told("x", 9.0).is_good() && Figure::held("x", 2.0, 2.0).is_good());
        assert!(!Figure::held("x", 2.1, 2.0).is_good());
    }
}
