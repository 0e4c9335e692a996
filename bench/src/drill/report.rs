//! What a drill tells: a table, JSON, and the line that counts.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::client::Line;
use super::hosts::Kill;
use super::judge::Judgement;
use super::Plan;
use crate::error::BenchError;
use crate::history::History;

/// The result of a drill.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Seconds of load.
    pub seconds: f64,
    /// Hosts that were really killed, and came back.
    pub kills: Vec<Kill>,
    /// Client by client.
    pub clients: Vec<Line>,
    /// Writes acknowledged, by all clients.
    pub acknowledged: u64,
    /// Writes of unknown outcome.
    pub unknown: u64,
    /// Errors.
    pub errors: u64,
    /// The longest gap of any client, ms.
    pub longest_gap_ms: f64,
    /// Acknowledged writes lost.
    pub lost: u64,
    /// Unknown writes that took effect after a later, acknowledged one.
    pub late: u64,
    /// Increments that took effect twice.
    pub duplicated: u64,
    /// Keys whose history is not linearizable.
    pub violations: usize,
    /// Keys that the checker could not decide.
    pub undecided: usize,
    /// Nothing lost, all linearizable, as many kills as asked.
    pub good: bool,
    #[serde(skip)]
    checked: String,
}

impl Report {
    /// Sums up a drill.
    pub fn new(
        plan: &Plan,
        kills: Vec<Kill>,
        clients: Vec<Line>,
        history: &History,
        judgement: Judgement,
    ) -> Report {
        let mut checked = judgement.summary.to_text(history);
        for key in judgement.keys_with_losses.iter().take(10) {
            let _ = writeln!(checked, "writes lost: key {}", String::from_utf8_lossy(key));
        }
        Report {
            seconds: plan.seconds.as_secs_f64(),
            good: judgement.is_good() && kills.len() == plan.kills,
            kills,
            acknowledged: clients.iter().map(|line| line.acknowledged).sum(),
            unknown: clients.iter().map(|line| line.unknown).sum(),
            errors: clients.iter().map(|line| line.errors).sum(),
            longest_gap_ms: clients.iter().map(|line| line.longest_gap_ms).fold(0.0, f64::max),
            clients,
            lost: judgement.lost,
            late: judgement.late,
            duplicated: judgement.duplicated,
            violations: judgement.summary.violations.len(),
            undecided: judgement.summary.undecided.len(),
            checked,
        }
    }

    /// The table for people; its last line is `acknowledged writes lost: N`.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for kill in &self.kills {
            let _ = writeln!(
                out,
                "host {} ({}, processes {:?}) killed at {:.2} s, restarted at {:.2} s, answered at {:.2} s",
                kill.host, kill.addr, kill.pids, kill.killed_at_s, kill.restarted_at_s, kill.back_at_s
            );
        }
        let _ = writeln!(
            out,
            "\n{:<8}{:>14}{:>10}{:>9}{:>9}{:>12}{:>18}{:>9}",
            "client", "writes acked", "reads", "errors", "unknown", "reconnects", "longest gap ms", "until s"
        );
        for line in &self.clients {
            let kinds: Vec<String> =
                line.by_kind.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(
                out,
                "{:<8}{:>14}{:>10}{:>9}{:>9}{:>12}{:>18.1}{:>9.2}  {}{}",
                line.client,
                line.acknowledged,
                line.reads,
                line.errors,
                line.unknown,
                line.reconnects,
                line.longest_gap_ms,
                line.longest_gap_end_s,
                kinds.join(", "),
                if line.stopped_early { " (stopped early: its share of the record is full)" } else { "" },
            );
        }
        let reads: u64 = self.clients.iter().map(|line| line.reads).sum();
        let reconnects: u64 = self.clients.iter().map(|line| line.reconnects).sum();
        let _ = writeln!(
            out,
            "{:<8}{:>14}{reads:>10}{:>9}{:>9}{reconnects:>12}{:>18.1}\n",
            "all", self.acknowledged, self.errors, self.unknown, self.longest_gap_ms
        );
        out.push_str(&self.checked);
        let _ = writeln!(out, "hosts killed: {}", self.kills.len());
        let _ = writeln!(out, "unknown writes that took effect late: {}", self.late);
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
            .map_err(|error| BenchError::io(format!("writing {}", path.display()), error))
    }
}
