//! What a core counts per command and per error, for INFO commandstats, errorstats, latencystats and LATENCY
//! HISTOGRAM.

use std::collections::BTreeMap;

use shard::reply::Reply;

use super::limits::{ERROR_CODES_MAX, LATENCY_BUCKETS};

/// The counts of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandStat {
    /// Executed, with success or not.
    pub calls: u64,
    /// Microseconds from reading the request to its reply, summed.
    pub usec: u64,
    /// Refused before they were executed.
    pub rejected: u64,
    /// Executed, and answered with an error.
    pub failed: u64,
    /// Calls that took up to 2^index microseconds.
    pub buckets: [u64; LATENCY_BUCKETS],
}

impl Default for CommandStat {
    fn default() -> CommandStat {
        CommandStat { calls: 0, usec: 0, rejected: 0, failed: 0, buckets: [0; LATENCY_BUCKETS] }
    }
}

impl CommandStat {
    /// The microseconds that this share of the calls did not exceed, by the upper ends of the buckets; None
    /// without calls.
    pub fn percentile_us(&self, share: f64) -> Option<u64> {
        let total: u64 = self.buckets.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && total > 0 {
                return Some(1 << index);
            }
        }
        None
    }

    fn add(&mut self, other: &CommandStat) {
        self.calls += other.calls;
        self.usec += other.usec;
        self.rejected += other.rejected;
        self.failed += other.failed;
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }
}

/// The counts of one core. Ordered by name where they are printed.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    commands: ahash::HashMap<&'static str, CommandStat>,
    errors: BTreeMap<String, u64>,
    /// Commands executed.
    pub commands_total: u64,
    /// Error replies.
    pub errors_total: u64,
}

impl Stats {
    /// A command was executed and answered. `tracks_latency`: whether its time goes into a bucket.
    pub fn executed(&mut self, name: &'static str, micros: u64, reply: &Reply, tracks_latency: bool) {
        self.commands_total += 1;
        let stat = self.commands.entry(name).or_default();
        stat.calls += 1;
        stat.usec = stat.usec.saturating_add(micros);
        if tracks_latency {
            stat.buckets[bucket(micros)] += 1;
        }
        if let Reply::Error(text) = reply {
            stat.failed += 1;
            self.error(text);
        }
    }

    /// A command was refused before it was executed; None: there is no such command.
    pub fn rejected(&mut self, name: Option<&'static str>, reply: &Reply) {
        if let Some(name) = name {
            self.commands.entry(name).or_default().rejected += 1;
        }
        if let Reply::Error(text) = reply {
            self.error(text);
        }
    }

    fn error(&mut self, text: &str) {
        self.errors_total += 1;
        let code = text.split(' ').next().unwrap_or(text);
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else {
            let code = if self.errors.len() < ERROR_CODES_MAX { code } else { "other" };
            *self.errors.entry(code.to_owned()).or_default() += 1;
        }
    }

    /// Commands and their counts, by name.
    pub fn commands(&self) -> Vec<(&'static str, &CommandStat)> {
        let mut all: Vec<_> = self.commands.iter().map(|(name, stat)| (*name, stat)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }

    /// Codes of error replies and how often they were given, by code.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Adds the counts of another core.
    pub fn merge(&mut self, other: &Stats) {
        for (name, stat) in &other.commands {
            self.commands.entry(name).or_default().add(stat);
        }
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        self.commands_total += other.commands_total;
        self.errors_total += other.errors_total;
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        *self = Stats::default();
    }
}

/// The bucket of a time: the smallest power of two that is not below it.
fn bucket(micros: u64) -> usize {
    let power = micros.max(1).next_power_of_two().max(micros).trailing_zeros() as usize;
    power.min(LATENCY_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_times_up_to_their_power() {
        for (micros, want) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (1 << 40, 30)]
        {
            assert_eq!(bucket(micros), want, "{micros}");
        }
    }

    #[test]
    fn counts_and_percentiles() {
        let mut stats = Stats::default();
        for micros in 1..=100 {
            stats.executed("get", micros, &Reply::Nil, true);
        }
        stats.executed("get", 7, &Reply::error("WRONGTYPE no"), true);
        stats.rejected(Some("get"), &Reply::error("ERR wrong"));
        stats.rejected(None, &Reply::error("ERR unknown"));
        let (name, get) = stats.commands()[0];
        assert_eq!((name, get.calls, get.failed, get.rejected), ("get", 101, 1, 1));
        assert_eq!(get.percentile_us(0.5), Some(64));
        assert_eq!(get.percentile_us(1.0), Some(128));
        assert_eq!(stats.errors().get("ERR"), Some(&2));
        let mut twice = stats.clone();
        twice.merge(&stats);
        assert_eq!(twice.commands()[0].1.calls, 202);
        assert_eq!((twice.commands_total, twice.errors_total), (202, 6));
    }

    #[test]
    fn error_codes_are_bounded() {
        let mut stats = Stats::default();
        for number in 0..1000 {
            stats.rejected(None, &Reply::Error(format!("E{number} text").into()));
        }
        assert_eq!(stats.errors().len(), ERROR_CODES_MAX + 1);
        assert_eq!(stats.errors_total, 1000);
    }
}
