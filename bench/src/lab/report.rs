//! What a chaos drill tells: a line per fault, what clients saw, and the lines that count.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::chaos::{Episode, Story};
use super::client::Event;
use super::fault::{Fault, Kind};
use super::limits::{CUT_GRACE, HOSTS};
use crate::drill::judge::Judgement;
use crate::error::BenchError;
use crate::load::tally::count_bounded;

/// One episode, as it was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Seconds from the start.
    pub at_s: f64,
    /// The faults.
    pub faults: Vec<String>,
    /// How long they lasted, seconds.
    pub lasted_s: f64,
    /// How long after their end every host served a write.
    pub back_s: f64,
    /// How long one host's threads waited for a CPU meanwhile, at most, seconds: how busy the machine was.
    pub cpu_wait_s: f64,
    /// The longest time between two answers to one client on the majority's side, ms; none if there is no such
    /// side.
    pub longest_gap_ms: Option<f64>,
    /// Failures on the majority's side, until every host served.
    pub majority_failures: u64,
    /// Of them: asked, or ended, more than 200 ms after a cut. Counted where nothing else happened.
    pub late_failures: u64,
    /// Failures at the hosts that were struck.
    pub struck_failures: u64,
    /// All of them, by kind.
    pub by_kind: BTreeMap<String, u64>,
}

/// The result of a chaos drill.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Seed of faults and clients.
    pub seed: u64,
    /// The disk of each host.
    pub disks: Vec<&'static str>,
    /// Seconds, reading back and all.
    pub seconds: f64,
    /// Kinds of faults that were wanted and cannot happen here, and why.
    pub skipped: BTreeMap<&'static str, String>,
    /// By episode.
    pub lines: Vec<Line>,
    /// How often each kind of fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// Frames that passed between hosts and clients, and frames that were lost on purpose.
    pub frames: (u64, u64),
    /// Operations, the reads at the end included.
    pub operations: usize,
    /// Of them: answered.
    pub answered: usize,
    /// Of them: outcome unknown.
    pub unknown: usize,
    /// Of them: failed for certain.
    pub failed: usize,
    /// Connections lost or not made.
    pub reconnects: u64,
    /// Acknowledged writes lost, on keys with one writer.
    pub lost: u64,
    /// Increments that took effect twice.
    pub duplicated: u64,
    /// Keys whose history is not linearizable.
    pub violations: usize,
    /// Keys that the checker could not decide.
    pub undecided: usize,
    /// Failures on the majority's side later than 200 ms after a cut.
    pub late_failures: u64,
    /// What must not be, in words.
    pub troubles: Vec<String>,
    /// Nothing is wrong.
    pub good: bool,
    #[serde(skip)]
    checked: String,
}

impl Report {
    /// Sums up a drill.
    pub fn new(
        seed: u64,
        disks: Vec<&'static str>,
        frames: (u64, u64),
        story: &Story,
        skipped: &[(Kind, String)],
    ) -> Report {
        let lines: Vec<Line> = story.episodes.iter().map(|episode| line(episode, story)).collect();
        let mut faults = BTreeMap::new();
        for fault in story.episodes.iter().flat_map(|episode| &episode.faults) {
            *faults.entry(fault.kind.name()).or_default() += 1;
        }
        let summary = story.judgement.as_ref().map(|judgement| &judgement.summary);
        let late_failures = lines.iter().map(|line| line.late_failures).sum();
        let judged = story.judgement.as_ref();
        Report {
            seed,
            disks,
            seconds: story.took.as_secs_f64(),
            skipped: skipped.iter().map(|(kind, why)| (kind.name(), why.clone())).collect(),
            lines,
            faults,
            frames,
            operations: story.history.operations.len(),
            answered: summary.map_or(0, |summary| summary.replied),
            unknown: summary.map_or(0, |summary| summary.unknown),
            failed: summary.map_or(0, |summary| summary.failed),
            reconnects: story.seen.iter().map(|seen| seen.reconnects).sum(),
            lost: judged.map_or(0, |judgement| judgement.lost),
            duplicated: judged.map_or(0, |judgement| judgement.duplicated),
            violations: summary.map_or(0, |summary| summary.violations.len()),
            undecided: summary.map_or(0, |summary| summary.undecided.len()),
            late_failures,
            good: judged.is_some_and(Judgement::is_good) && late_failures == 0 && story.troubles.is_empty(),
            troubles: story.troubles.clone(),
            checked: summary.map(|summary| summary.to_text(&story.history)).unwrap_or_default(),
        }
    }

    /// The table for people; its last line is `acknowledged writes lost: N`.
    pub fn table(&self) -> String {
        let mut out = format!("seed {}, disks {}\n", self.seed, self.disks.join(", "));
        for (kind, why) in &self.skipped {
            let _ = writeln!(out, "SKIPPED {kind}: {why}");
        }
        let _ = writeln!(
            out,
            "\n{:>8} {:<30}{:>8}{:>8}{:>8}{:>9}{:>10}{:>7}{:>8}",
            "at s", "fault", "lasted", "back s", "wait s", "gap ms", "failures", "late", "struck"
        );
        for line in &self.lines {
            let gap = line.longest_gap_ms.map_or("-".to_owned(), |gap| format!("{gap:.0}"));
            let kinds: Vec<String> =
                line.by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            let _ = writeln!(
                out,
                "{:>8.1} {:<30}{:>8.1}{:>8.2}{:>8.2}{gap:>9}{:>10}{:>7}{:>8}  {}",
                line.at_s,
                line.faults.join(" + "),
                line.lasted_s,
                line.back_s,
                line.cpu_wait_s,
                line.majority_failures,
                line.late_failures,
                line.struck_failures,
                kinds.join(", ")
            );
        }
        let counts: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let _ = writeln!(
            out,
            "\nfaults: {}",
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        );
        let (passed, dropped) = self.frames;
        let _ = writeln!(
            out,
            "frames: {passed} passed, {dropped} lost on purpose; reconnects: {}",
            self.reconnects
        );
        out.push_str(&self.checked);
        for trouble in &self.troubles {
            let _ = writeln!(out, "TROUBLE {trouble}");
        }
        let grace = CUT_GRACE.as_millis();
        let _ = writeln!(
            out,
            "failures on the majority's side later than {grace} ms after a cut: {}",
            self.late_failures
        );
        let _ = writeln!(out, "increments applied twice: {}", self.duplicated);
        let _ = writeln!(out, "acknowledged writes lost: {}", self.lost);
        out
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), BenchError> {
        let text =
            serde_json::to_string_pretty(self).expect("a report has only string keys and plain values");
        std::fs::write(path, text + "\n")
            .map_err(|source| BenchError::io(format!("writing {}", path.display()), source))
    }
}

fn line(episode: &Episode, story: &Story) -> Line {
    let struck: Vec<usize> = episode.faults.iter().flat_map(Fault::struck).collect();
    let on_majority = |event: &Event| !struck.contains(&(event.host + 1));
    // Where two things happen at once, a cut may leave nobody a majority.
    let only_cut = matches!(episode.faults.as_slice(), [fault] if fault.kind.is_cut());
    let grace = episode.begin + CUT_GRACE.as_nanos() as u64;
    let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
    let mut line = Line {
        at_s: seconds(episode.begin),
        faults: episode.faults.iter().map(Fault::text).collect(),
        lasted_s: seconds(episode.heal - episode.begin),
        back_s: seconds(episode.healed - episode.heal),
        cpu_wait_s: seconds(episode.cpu_wait),
        longest_gap_ms: None,
        majority_failures: 0,
        late_failures: 0,
        struck_failures: 0,
        by_kind: BTreeMap::new(),
    };
    for seen in &story.seen {
        let from = seen.events.partition_point(|event| event.end < episode.begin);
        let to = seen.events.partition_point(|event| event.end <= episode.healed);
        for event in seen.events.get(from..to).unwrap_or_default() {
            let Some(failure) = &event.failure else { continue };
            count_bounded(&mut line.by_kind, failure, 1);
            if on_majority(event) {
                line.majority_failures += 1;
                line.late_failures += u64::from(only_cut && event.end > grace);
            } else {
                line.struck_failures += 1;
            }
        }
        if struck.len() < HOSTS {
            let around = seen.events.get(from.saturating_sub(1)..(to + 1).min(seen.events.len()));
            if let Some(gap) = longest_gap(around.unwrap_or_default(), &struck) {
                line.longest_gap_ms = Some(line.longest_gap_ms.unwrap_or(0.0).max(gap));
            }
        }
    }
    line
}

/// The longest time between two answers, ms, for a client that asked none of the hosts that were struck.
fn longest_gap(events: &[Event], struck: &[usize]) -> Option<f64> {
    if events.iter().any(|event| struck.contains(&(event.host + 1))) {
        return None;
    }
    let answered: Vec<u64> =
        events.iter().filter(|event| event.failure.is_none()).map(|event| event.end).collect();
    let gap = answered.windows(2).map(|pair| pair[1] - pair[0]).max()?;
    Some(Duration::from_nanos(gap).as_secs_f64() * 1e3)
}
