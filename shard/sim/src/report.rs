//! What a run comes to, and the sums of many.

use std::collections::BTreeMap;

use reactor::clock::Nanos;

use crate::violation::Violation;

/// The outcome of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What broke, if anything did.
    pub violation: Option<Violation>,
    /// A hash of all events: equal for equal runs.
    pub hash: u64,
    /// Events.
    pub steps: u64,
    /// Virtual time.
    pub virtual_ns: Nanos,
    /// Operations that clients had an answer for.
    pub replied: u64,
    /// Operations that were not applied, for certain.
    pub failed: u64,
    /// Operations of unknown outcome.
    pub unknown: u64,
    /// Entries chosen.
    pub choices: u64,
    /// Faults that happened: strikes of the nemesis, deaths at turns, operations of disks that failed.
    pub faults: u64,
    /// How often rare states were met.
    pub labels: BTreeMap<&'static str, u64>,
}

/// The sums of many runs.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Runs.
    pub seeds: u64,
    /// See [`Report::steps`].
    pub steps: u64,
    /// See [`Report::virtual_ns`].
    pub virtual_ns: u128,
    /// See [`Report::replied`].
    pub replied: u64,
    /// See [`Report::failed`].
    pub failed: u64,
    /// See [`Report::unknown`].
    pub unknown: u64,
    /// See [`Report::choices`].
    pub choices: u64,
    /// See [`Report::faults`].
    pub faults: u64,
    /// See [`Report::labels`].
    pub labels: BTreeMap<&'static str, u64>,
}

impl Sums {
    /// Adds the sums of other runs.
    pub fn join(&mut self, other: &Sums) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.virtual_ns += other.virtual_ns;
        self.replied += other.replied;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.choices += other.choices;
        self.faults += other.faults;
        for (label, count) in &other.labels {
            *self.labels.entry(label).or_default() += count;
        }
    }

    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.steps += report.steps;
        self.virtual_ns += u128::from(report.virtual_ns);
        self.replied += report.replied;
        self.failed += report.failed;
        self.unknown += report.unknown;
        self.choices += report.choices;
        self.faults += report.faults;
        for (label, count) in &report.labels {
            *self.labels.entry(label).or_default() += count;
        }
    }
}
