//! LATENCY: samples of slow events of one core. There is one event, `command`, as in Redis.

use std::collections::{BTreeMap, VecDeque};

use shard::reply::Reply;

use super::limits::{LATENCY_EVENTS_MAX, LATENCY_SAMPLES_MAX};
use super::stats::Stats;

/// Samples per event: seconds since 1970 and milliseconds.
#[derive(Debug, Default)]
pub struct LatencyLog {
    events: BTreeMap<&'static str, Event>,
}

#[derive(Debug, Default)]
struct Event {
    samples: VecDeque<(u64, u64)>,
    max_ms: u64,
}

fn int(number: u64) -> Reply {
    Reply::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

impl LatencyLog {
    /// Notes a sample. Samples of one second are one: the slowest.
    pub fn add(&mut self, event: &'static str, unix_seconds: u64, ms: u64) {
        if self.events.len() >= LATENCY_EVENTS_MAX && !self.events.contains_key(event) {
            return;
        }
        let event = self.events.entry(event).or_default();
        event.max_ms = event.max_ms.max(ms);
        match event.samples.back_mut() {
            Some(last) if last.0 == unix_seconds => last.1 = last.1.max(ms),
            _ => event.samples.push_back((unix_seconds, ms)),
        }
        while event.samples.len() > LATENCY_SAMPLES_MAX {
            event.samples.pop_front();
        }
    }

    /// LATENCY LATEST: per event its name, time and milliseconds of the newest sample, and the slowest ever.
    pub fn latest(&self) -> Reply {
        let entry = |(name, event): (&&str, &Event)| {
            let (seconds, ms) = event.samples.back().copied()?;
            Some(Reply::Array(vec![Reply::bulk(name), int(seconds), int(ms), int(event.max_ms)]))
        };
        Reply::Array(self.events.iter().filter_map(entry).collect())
    }

    /// LATENCY HISTORY.
    pub fn history(&self, event: &[u8]) -> Reply {
        let found = self.events.iter().find(|(name, _)| name.as_bytes() == event);
        let samples = found.into_iter().flat_map(|(_, event)| &event.samples);
        Reply::Array(samples.map(|&(seconds, ms)| Reply::Array(vec![int(seconds), int(ms)])).collect())
    }

    /// LATENCY RESET of these events, or of all; returns how many there were.
    pub fn reset(&mut self, events: &[&[u8]]) -> usize {
        let before = self.events.len();
        self.events.retain(|name, _| !events.is_empty() && !events.contains(&name.as_bytes()));
        before - self.events.len()
    }

    /// LATENCY DOCTOR.
    pub fn doctor(&self, threshold_ms: u64) -> String {
        if threshold_ms == 0 {
            return "Latency monitoring is disabled in this instance. You may use \"CONFIG SET \
                    latency-monitor-threshold <milliseconds>.\" in order to enable it.\n"
                .to_owned();
        }
        if self.events.is_empty() {
            return format!("No latency spike of {threshold_ms} ms or more was observed on this core.\n");
        }
        let line = |(name, event): (&&str, &Event)| {
            format!("{name}: {} samples, slowest {} ms\n", event.samples.len(), event.max_ms)
        };
        self.events.iter().map(line).collect()
    }
}

/// LATENCY HISTOGRAM: per command its calls and, cumulated, how many took up to so many microseconds. Without
/// names: all.
pub fn histogram(stats: &Stats, names: &[&[u8]]) -> Reply {
    let wanted = |name: &str| {
        names.is_empty()
            || names.iter().any(|asked| {
                let whole = name.as_bytes().eq_ignore_ascii_case(asked);
                let container =
                    name.split_once('|').is_some_and(|(own, _)| own.as_bytes().eq_ignore_ascii_case(asked));
                whole || container
            })
    };
    let entry = |(name, stat): (&'static str, &super::stats::CommandStat)| {
        let mut seen = 0;
        let mut buckets = Vec::new();
        for (index, &count) in stat.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            seen += count;
            buckets.push((int(1 << index), int(seen)));
        }
        let fields =
            vec![(Reply::bulk("calls"), int(seen)), (Reply::bulk("histogram_usec"), Reply::Map(buckets))];
        (Reply::bulk(name), Reply::Map(fields))
    };
    let all = stats.commands().into_iter().filter(|(name, stat)| stat.calls > 0 && wanted(name));
    Reply::Map(all.map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_second_are_one_and_old_ones_go() {
        let mut log = LatencyLog::default();
        for seconds in 0..1000 {
            log.add("command", seconds, 5);
            log.add("command", seconds, 9);
            log.add("command", seconds, 7);
        }
        let Reply::Array(samples) = log.history(b"command") else { panic!("a list") };
        assert_eq!(samples.len(), LATENCY_SAMPLES_MAX);
        assert_eq!(samples.last(), Some(&Reply::Array(vec![int(999), int(9)])));
        assert_eq!(log.history(b"nothing"), Reply::Array(vec![]));
        assert_eq!(log.reset(&[b"nothing"]), 0);
        assert_eq!(log.reset(&[]), 1);
        assert_eq!(log.latest(), Reply::Array(vec![]));
    }

    #[test]
    fn the_histogram_is_cumulated() {
        let mut stats = Stats::default();
        for micros in [1, 3, 3, 100] {
            stats.executed("get", micros, &Reply::Nil, true);
        }
        let want = "histogram_usec";
        let Reply::Map(commands) = histogram(&stats, &[b"GET"]) else { panic!("a map") };
        let [(_, Reply::Map(fields))] = commands.as_slice() else { panic!("one command: {commands:?}") };
        assert_eq!(fields[1].0, Reply::bulk(want));
        assert_eq!(fields[1].1, Reply::Map(vec![(int(1), int(1)), (int(4), int(3)), (int(128), int(4))]));
        assert_eq!(histogram(&stats, &[b"set"]), Reply::Map(vec![]));
    }
}
