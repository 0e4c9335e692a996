//! Writes all metrics in the text format of Prometheus (version 0.0.4).

use std::fmt::Write;

use super::metrics::{Descriptor, Type, BUCKETS, METRICS, TIMINGS};
use super::process::ProcessFacts;
use super::status::{sick, unready};
use super::{CoreState, HostView};

/// The whole exposition.
pub fn render(view: &HostView, process: &ProcessFacts) -> String {
    let mut out = String::with_capacity(16 << 10);
    host(&mut out, view, process);
    for (metric, descriptor) in METRICS {
        head(&mut out, descriptor);
        for page in &view.pages {
            line(&mut out, descriptor.name, &format!("core=\"{}\"", page.core()), page.value(*metric));
        }
    }
    timings(&mut out, view);
    out
}

fn host(out: &mut String, view: &HostView, process: &ProcessFacts) {
    let gauge = |name, help| Descriptor { name, kind: Type::Gauge, help };
    head(out, &gauge("synod_build_info", "Version of the program; the value is 1."));
    let labels = format!(
        "version=\"{}\",cluster=\"{}\",host=\"{}\"",
        env!("CARGO_PKG_VERSION"),
        view.cluster,
        view.host
    );
    line(out, "synod_build_info", &labels, 1);
    let flags = [
        ("synod_host_healthy", "1 while every core of this host is alive.", sick(view).is_empty()),
        ("synod_host_ready", "1 while every core serves and sees a majority.", unready(view).is_empty()),
    ];
    let flags = flags.into_iter().chain([(
        "synod_host_learner",
        "1 while a core of this host is a learner, which lost its log and has no vote.",
        view.is_learner(),
    )]);
    for (name, help, value) in flags {
        head(out, &gauge(name, help));
        line(out, name, "", u64::from(value));
    }
    head(out, &gauge("synod_core_ready", "1 while the core serves."));
    for page in &view.pages {
        let ready = page.state() == CoreState::Ready;
        line(out, "synod_core_ready", &format!("core=\"{}\"", page.core()), u64::from(ready));
    }
    head(out, &gauge("synod_core_silence_seconds", "Time since the core last published its numbers."));
    for page in &view.pages {
        let (core, silent_ms) = (page.core(), page.silent_ms());
        let _ = writeln!(
            out,
            "synod_core_silence_seconds{{core=\"{core}\"}} {}.{:03}",
            silent_ms / 1000,
            silent_ms % 1000
        );
    }
    head(out, &gauge("synod_peer_up", "1 while the core has a link to the peer."));
    for page in &view.pages {
        for (peer, _) in &view.peers {
            let labels = format!("core=\"{}\",peer=\"{peer}\"", page.core());
            line(out, "synod_peer_up", &labels, u64::from(page.peer_up(*peer)));
        }
    }
    process.render(out);
}

fn timings(out: &mut String, view: &HostView) {
    for (timing, name, help) in TIMINGS {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for page in &view.pages {
            let core = page.core();
            let counts = page.timing(*timing);
            let mut sum = 0u64;
            for (count, (_, bound)) in counts.counts.iter().zip(BUCKETS) {
                sum = sum.saturating_add(*count);
                let _ = writeln!(out, "{name}_bucket{{core=\"{core}\",le=\"{bound}\"}} {sum}");
            }
            let all = counts.count();
            let _ = writeln!(out, "{name}_bucket{{core=\"{core}\",le=\"+Inf\"}} {all}");
            let (seconds, nanos) = (counts.sum_ns / 1_000_000_000, counts.sum_ns % 1_000_000_000);
            let _ = writeln!(out, "{name}_sum{{core=\"{core}\"}} {seconds}.{nanos:09}");
            let _ = writeln!(out, "{name}_count{{core=\"{core}\"}} {all}");
        }
    }
}

/// The two lines before the samples of a metric.
pub(super) fn head(out: &mut String, descriptor: &Descriptor) {
    let Descriptor { name, kind, help } = descriptor;
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", help.trim(), kind.word());
}

/// One sample. Labels hold digits, versions and hexadecimal ids only, so nothing needs escaping.
pub(super) fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::status::tests::view;
    use super::super::{Metric, Timing, TimingCounts};
    use super::*;

    /// Checks what promtool checks: help and type before the samples, once per name; samples of one name together and
    /// each once; counters end in `_total` and only they; buckets cumulative and closed by `+Inf` equal to the count.
    pub(crate) fn check(text: &str) -> BTreeMap<String, f64> {
        assert!(text.ends_with('\n'));
        let mut samples = BTreeMap::new();
        let (mut seen, mut current, mut kind) = (BTreeSet::new(), String::new(), String::new());
        for row in text.lines() {
            if let Some(rest) = row.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("help text");
                assert!(!help.is_empty() && seen.insert(name.to_owned()), "{name} comes twice");
                (current, kind) = (name.to_owned(), String::new());
            } else if let Some(rest) = row.strip_prefix("# TYPE ") {
                let (name, word) = rest.split_once(' ').expect("a type");
                assert!(name == current && kind.is_empty(), "type without help: {row}");
                assert_eq!(name.ends_with("_total"), word == "counter", "{name}");
                kind = word.to_owned();
            } else {
                let (key, value) = row.rsplit_once(' ').expect("a sample");
                let name = key.split('{').next().expect("a name");
                let of_histogram =
                    ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{current}{end}"));
                let fits = if kind == "histogram" { of_histogram } else { name == current };
                assert!(fits, "{row} is not of {current}");
                let number: f64 = value.parse().expect("a number");
                assert!(samples.insert(key.to_owned(), number).is_none(), "{key} comes twice");
            }
        }
        samples
    }

    #[test]
    fn the_exposition_is_well_formed_and_true() {
        let view = view();
        let page = &view.pages[1];
        page.set(Metric::Commands, 41);
        page.set_peer(2, true, false);
        let mut counts = TimingCounts::default();
        [10_000, 60_000, 3_000_000_000].iter().for_each(|nanos| counts.record(*nanos));
        page.set_timing(Timing::Commit, &counts);
        let samples = check(&render(&view, &ProcessFacts::read()));
        let table = [
            ("synod_commands_executed_total{core=\"1\"}", 41.0),
            ("synod_commands_executed_total{core=\"0\"}", 0.0),
            ("synod_peer_up{core=\"1\",peer=\"2\"}", 1.0),
            ("synod_peer_up{core=\"1\",peer=\"3\"}", 0.0),
            ("synod_paxos_commit_duration_seconds_bucket{core=\"1\",le=\"0.00005\"}", 1.0),
            ("synod_paxos_commit_duration_seconds_bucket{core=\"1\",le=\"2.5\"}", 2.0),
            ("synod_paxos_commit_duration_seconds_bucket{core=\"1\",le=\"+Inf\"}", 3.0),
            ("synod_paxos_commit_duration_seconds_count{core=\"1\"}", 3.0),
            ("synod_paxos_commit_duration_seconds_sum{core=\"1\"}", 3.00007),
            ("synod_host_ready", 0.0),
        ];
        for (key, expected) in table {
            assert_eq!(samples.get(key), Some(&expected), "{key}");
        }
        assert!(samples["process_resident_memory_bytes"] > 0.0 && samples["process_open_fds"] > 0.0);
    }
}
