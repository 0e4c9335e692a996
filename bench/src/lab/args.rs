//! The options of `drill chaos`, and what they come to.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::chaos::{Plan, Story};
use super::disk::Medium;
use super::fault::{Draw, Kind, Need, KINDS};
use super::ledger;
use super::limits::HOSTS;
use super::means::Means;
use super::report::Report;
use super::scenario::{Outcome, Scenario};
use crate::error::BenchError;
use crate::limits::{DRILL_CLIENTS_MAX, DRILL_KEYS_MAX};

/// The options of `drill chaos`.
#[derive(Debug, Clone, Args)]
pub struct ChaosArgs {
    /// The synod to test; without it the one beside this program.
    #[arg(long, value_name = "PATH")]
    pub bin: Option<PathBuf>,
    /// Seconds of faults.
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// End after so many episodes of faults, even if there is time left; 0 for no such end.
    #[arg(long, default_value_t = 0)]
    pub episodes: usize,
    /// Faults to draw from: all, cuts, disks, none, or names with commas between them (see docs/bench.md).
    #[arg(long, default_value = "all", value_name = "KINDS")]
    pub faults: String,
    /// Instead of faults by the seed, a drill with a figure to hold, and with the disks that it needs.
    #[arg(long, value_enum, value_name = "NAME")]
    pub scenario: Option<Scenario>,
    /// Seed of faults and clients.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Longest time that a fault lasts, seconds.
    #[arg(long, default_value_t = 6.0, value_name = "SECONDS")]
    pub fault_seconds: f64,
    /// Longest pause of a host, seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub pause_seconds: f64,
    /// Disks of the hosts: folder, memory, image or tmpfs for all, or mixed.
    #[arg(long, default_value = "mixed", value_name = "MEDIUM")]
    pub disks: String,
    /// Cores of each host.
    #[arg(long, default_value_t = 2)]
    pub cores: usize,
    /// Clients; every third is a cluster client.
    #[arg(long, default_value_t = 12)]
    pub clients: usize,
    /// Keys of each kind: registers with one writer, shared registers, contended keys.
    #[arg(long, default_value_t = 24)]
    pub keys: usize,
    /// Operations per second, of all clients together.
    #[arg(long, default_value_t = 1_500.0)]
    pub rate: f64,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the history of all operations, for `synod-bench check`.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Add the counts of this run to a ledger, and tell its sums for this commit.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The commit under test, for the ledger; without it that of the current folder.
    #[arg(long, value_name = "ID")]
    pub commit: Option<String>,
    /// Keep logs and configurations of the hosts here.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// No word while it runs.
    #[arg(long)]
    pub quiet: bool,
    /// The drill starts itself again inside its walls, with the folder of the run.
    #[arg(long, value_name = "DIR", hide = true)]
    pub inside: Option<PathBuf>,
}

/// Cores of a host: a few, so that slices matter; the ports of a lab without a network of its own have room for
/// no more.
const CORES_MAX: usize = 4;

impl ChaosArgs {
    /// Checks that the numbers fit.
    ///
    /// # Errors
    /// [`BenchError::Usage`] that names the option.
    pub fn check(&self) -> Result<(), BenchError> {
        let seconds = |seconds: f64| (0.0..=1e6).contains(&seconds);
        let rules = [
            (seconds(self.seconds), "--seconds: 0 to 1,000,000".to_owned()),
            (seconds(self.fault_seconds), "--fault-seconds: 0 to 1,000,000".to_owned()),
            (seconds(self.pause_seconds), "--pause-seconds: 0 to 1,000,000".to_owned()),
            ((1..=CORES_MAX).contains(&self.cores), format!("--cores: 1 to {CORES_MAX}")),
            ((1..=DRILL_CLIENTS_MAX).contains(&self.clients), format!("--clients: 1 to {DRILL_CLIENTS_MAX}")),
            ((1..=DRILL_KEYS_MAX).contains(&self.keys), format!("--keys: 1 to {DRILL_KEYS_MAX}")),
            (self.rate > 0.0 && self.rate.is_finite(), "--rate: above 0".to_owned()),
        ];
        if let Some((_, text)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(BenchError::Usage(text));
        }
        self.medium()?;
        self.kinds().map(|_| ())
    }

    /// The kinds of faults that are asked for.
    ///
    /// # Errors
    /// A name that is none.
    pub fn kinds(&self) -> Result<Vec<Kind>, BenchError> {
        let mut kinds = Vec::new();
        for name in self.faults.split(',') {
            let before = kinds.len();
            kinds.extend(
                KINDS.iter().filter(|(kind, own, need)| name_means(name, *kind, own, *need)).map(|k| k.0),
            );
            if kinds.len() == before && name != "none" {
                let names: Vec<&str> = KINDS.iter().map(|(_, name, _)| *name).collect();
                let names = names.join(", ");
                return Err(BenchError::Usage(format!(
                    "--faults: {name} is none of all, cuts, disks, none, {names}"
                )));
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        Ok(kinds)
    }

    fn medium(&self) -> Result<Option<Medium>, BenchError> {
        let all = [Medium::Folder, Medium::Memory, Medium::Image, Medium::Tmpfs];
        match all.into_iter().find(|medium| medium.name() == self.disks) {
            Some(medium) => Ok(Some(medium)),
            None if self.disks == "mixed" => Ok(None),
            None => Err(BenchError::Usage("--disks: mixed, folder, memory, image or tmpfs".to_owned())),
        }
    }

    /// The disk of each host: as asked, or mixed by the seed; a folder where the machine cannot do it.
    pub fn media(&self, means: &Means) -> Vec<Medium> {
        let mixed = [Medium::Memory, Medium::Image, Medium::Tmpfs, Medium::Memory];
        let asked = self.scenario.map(Scenario::medium).or_else(|| self.medium().ok().flatten());
        let wanted =
            |host: usize| asked.unwrap_or(mixed[(self.seed as usize).wrapping_add(host) % mixed.len()]);
        let able = |medium: Medium| means.medium(medium).map_or(Medium::Folder, |()| medium);
        (0..HOSTS).map(|host| able(wanted(host))).collect()
    }

    /// The drill, with the faults that can happen.
    pub fn plan(&self, kinds: Vec<Kind>, media: Vec<Medium>) -> Plan {
        let lasts_max = Duration::from_secs_f64(self.fault_seconds);
        let pause_max = Duration::from_secs_f64(self.pause_seconds);
        Plan {
            seconds: Duration::from_secs_f64(self.seconds),
            episodes: self.episodes,
            draw: Draw { kinds, media, lasts_max, pause_max },
            seed: self.seed,
            clients: self.clients,
            keys: self.keys,
            rate: self.rate,
            progress: !self.quiet,
        }
    }

    /// Writes what was asked for, and prints the table.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, report: &Report, story: &Story) -> Result<(), BenchError> {
        if let Some(path) = &self.json {
            report.write_json(path)?;
        }
        if let Some(path) = &self.history {
            std::fs::write(path, story.history.to_text())
                .map_err(|source| BenchError::io(format!("writing {}", path.display()), source))?;
        }
        let mut text = String::new();
        if let Some(path) = &self.ledger {
            text = ledger::add(path, self.commit.as_deref(), report)?;
        }
        print(&(text + &report.table()));
        Ok(())
    }

    /// Writes what came of a scenario, as asked for, and prints its table.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_outcome(&self, outcome: &Outcome) -> Result<(), BenchError> {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(outcome).expect("an outcome has only plain values");
            std::fs::write(path, text + "\n")
                .map_err(|source| BenchError::io(format!("writing {}", path.display()), source))?;
        }
        print(&outcome.table());
        Ok(())
    }
}

/// Prints to standard output; a reader that went away ends nothing but the printing.
fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn name_means(name: &str, kind: Kind, own: &str, need: Need) -> bool {
    match name {
        "all" => true,
        "cuts" => kind.is_cut(),
        "disks" => matches!(need, Need::Disk(_) | Need::AllDisks(_) | Need::Throttle),
        name => name == own,
    }
}
