//! What was measured: latencies and counts, per second and in total.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::keys::Kind;
use crate::limits::{ERROR_KINDS_MAX, ERROR_NAME_CHARS_MAX, LATENCY_DIGITS, LATENCY_NS_MAX};

/// The kind under which errors are counted once there are [`ERROR_KINDS_MAX`] others.
const OTHER_ERRORS: &str = "other";

/// Latencies and counts.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Latencies of reads, ns.
    pub reads: Histogram<u64>,
    /// Latencies of writes, ns.
    pub writes: Histogram<u64>,
    /// Operations answered without an error: (reads, writes).
    pub done: (u64, u64),
    /// Operations of an open loop that were due and still unanswered at the end.
    pub unanswered: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// MOVED and ASK that were followed.
    pub redirects: u64,
    /// Connections that were lost.
    pub disconnects: u64,
    errors: BTreeMap<String, u64>,
}

/// Counts by name, with a bound on the number of names and on their lengths.
pub(crate) fn count_bounded(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count += by;
        return;
    }
    let name = if counts.len() < ERROR_KINDS_MAX { name } else { OTHER_ERRORS };
    let name: String = name.chars().take(ERROR_NAME_CHARS_MAX).collect();
    *counts.entry(name).or_default() += by;
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .expect("bounds that are constants and valid")
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Tally {
        Tally {
            reads: histogram(),
            writes: histogram(),
            done: (0, 0),
            unanswered: 0,
            misses: 0,
            redirects: 0,
            disconnects: 0,
            errors: BTreeMap::new(),
        }
    }

    /// An operation was answered after so many ns.
    pub fn answered(&mut self, kind: Kind, ns: u64) {
        self.latency(kind, ns);
        match kind {
            Kind::Read => self.done.0 += 1,
            Kind::Write => self.done.1 += 1,
        }
    }

    /// An operation was due for so many ns when the time was over.
    pub fn unanswered(&mut self, kind: Kind, ns: u64) {
        self.latency(kind, ns);
        self.unanswered += 1;
    }

    fn latency(&mut self, kind: Kind, ns: u64) {
        match kind {
            Kind::Read => self.reads.saturating_record(ns),
            Kind::Write => self.writes.saturating_record(ns),
        }
    }

    /// An operation failed; the name is the first word of the server's error or one of the harness' own.
    pub fn error(&mut self, name: &str) {
        count_bounded(&mut self.errors, name, 1);
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.reads.add(&other.reads).expect("all histograms have the same bounds");
        self.writes.add(&other.writes).expect("all histograms have the same bounds");
        self.done.0 += other.done.0;
        self.done.1 += other.done.1;
        self.unanswered += other.unanswered;
        self.misses += other.misses;
        self.redirects += other.redirects;
        self.disconnects += other.disconnects;
        for (name, count) in &other.errors {
            count_bounded(&mut self.errors, name, *count);
        }
    }

    /// Operations answered without an error.
    pub fn operations(&self) -> u64 {
        self.done.0 + self.done.1
    }

    /// Errors by kind.
    pub fn errors_named(&self) -> BTreeMap<String, u64> {
        self.errors.clone()
    }

    /// Errors of all kinds.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::new()
    }
}

/// What was measured within one second of the run.
#[derive(Debug)]
pub struct Interval {
    /// The second, counted from the start of the measured time.
    pub second: usize,
    /// What was measured.
    pub tally: Tally,
}

/// Adds one thread's interval to those of all threads, which stay in order of time.
pub fn merge_into(intervals: &mut Vec<Interval>, interval: Interval) {
    match intervals.binary_search_by_key(&interval.second, |known| known.second) {
        Ok(at) => intervals[at].tally.add(&interval.tally),
        Err(at) => intervals.insert(at, interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_errors_are_bounded_and_none_is_lost() {
        let mut tally = Tally::new();
        for i in 0..100 {
            tally.error(&format!("ERR{i}"));
            tally.error(&"x".repeat(1_000));
        }
        let mut sum = Tally::new();
        sum.error("own");
        sum.add(&tally);
        assert_eq!(sum.errors(), 201);
        assert!(sum.errors_named().len() <= ERROR_KINDS_MAX + 1);
        assert!(sum.errors_named().keys().all(|name| name.chars().count() <= ERROR_NAME_CHARS_MAX));
    }

    #[test]
    fn intervals_merge_in_order() {
        let mut all = Vec::new();
        for second in [1, 0, 1, 3] {
            let mut tally = Tally::new();
            tally.answered(Kind::Read, 5);
            merge_into(&mut all, Interval { second, tally });
        }
        let counts: Vec<(usize, u64)> = all.iter().map(|i| (i.second, i.tally.operations())).collect();
        assert_eq!(counts, [(0, 1), (1, 2), (3, 1)]);
    }
}
