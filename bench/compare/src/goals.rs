//! Whether the goals of the project are met: a pure function of what was measured.
//!
//! A goal is judged run by run, by the ratio of two figures of that run. The goals hold for the core ports; plain ports, where a
//! command often travels one host further, are asked for [`PLAIN`] of them.

use serde::Serialize;

use crate::groups::{
    cores, engine, etcd, hot, idle, large, objects, reads, single, sql, tail, touch, tree, writes,
};
use crate::point::Point;
use crate::record::{Operation, Outcome, Record, Who};

/// What plain ports are asked for, of what core ports are asked for.
const PLAIN: f64 = 0.7;

/// The share of what the machine can do at all (synced bandwidth, the harness against a null server) that counts as reaching it.
const CEILING: f64 = 0.8;

/// A goal, and how each run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// The group that it is judged by.
    pub group: &'static str,
    /// What is compared.
    pub text: String,
    /// Each run that has the figures for it.
    pub runs: Vec<Judged>,
}

/// One run's verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The run, from 1.
    pub run: usize,
    /// What was reached.
    pub value: f64,
    /// The bound.
    pub wanted: f64,
    /// Whether `value` must be at least `wanted`; otherwise at most.
    pub at_least: bool,
    /// Whether the goal is met.
    pub met: bool,
}

impl Goal {
    /// In how many runs it was met.
    pub fn met(&self) -> usize {
        self.runs.iter().filter(|judged| judged.met).count()
    }
}

/// The judge of one group.
type Part<'a> = fn(&mut Bench<'a>) -> Option<()>;

/// Judges everything there are figures for.
pub fn judge<'a>(record: &'a Record) -> Vec<Goal> {
    let mut bench = Bench { record, group: "", run: 0, goals: Vec::new() };
    let parts: [(&'static str, Part<'a>); 14] = [
        (writes::NAME, Bench::writes),
        (reads::NAME, Bench::reads),
        (single::NAME, Bench::single),
        (touch::NAME, Bench::touch),
        (etcd::NAME, Bench::etcd),
        (idle::NAME, Bench::idle),
        (objects::NAME, Bench::objects),
        (large::NAME, Bench::large),
        (sql::NAME, Bench::sql),
        (hot::NAME, Bench::hot),
        (tail::NAME, Bench::tail),
        (cores::NAME, Bench::cores),
        (engine::NAME, Bench::engine),
        (tree::NAME, Bench::tree),
    ];
    for (group, part) in parts {
        for run in record.runs(group) {
            (bench.group, bench.run) = (group, run);
            // Where a figure is missing the rest of that part cannot be judged; what was judged before stays.
            let _ = part(&mut bench);
        }
    }
    bench.goals
}

/// Where verdicts are noted, for one group and run at a time.
struct Bench<'a> {
    record: &'a Record,
    group: &'static str,
    run: usize,
    goals: Vec<Goal>,
}

impl<'a> Bench<'a> {
    fn sample(&self, who: Who, operation: Operation, point: Point) -> Option<&'a Outcome> {
        self.record.sample(self.group, self.run, who, operation, point)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.record.value(self.run, name)
    }

    fn note(&mut self, text: String, value: f64, wanted: f64, at_least: bool) {
        let met = if at_least { value >= wanted } else { value <= wanted };
        let judged = Judged { run: self.run, value, wanted, at_least, met };
        match self.goals.iter_mut().find(|goal| goal.group == self.group && goal.text == text) {
            Some(goal) => goal.runs.push(judged),
            None => self.goals.push(Goal { group: self.group, text, runs: vec![judged] }),
        }
    }

    fn at_least(&mut self, text: impl Into<String>, value: f64, wanted: f64) {
        self.note(text.into(), value, wanted, true);
    }

    fn at_most(&mut self, text: impl Into<String>, value: f64, wanted: f64) {
        self.note(text.into(), value, wanted, false);
    }

    /// The points that were measured in this group and run, in the order of the reference figures, others behind.
    fn points(&self) -> Vec<Point> {
        let samples = self.record.samples.iter().filter(|s| s.group == self.group && s.run == self.run);
        let mut points: Vec<Point> = samples.map(|sample| sample.point).collect();
        points.sort_unstable_by_key(|point| (point.pipeline, point.connections));
        points.dedup();
        points
    }

    /// Judges each point by itself: what is missing at one says nothing about the others.
    fn each_point(&mut self, judge: fn(&mut Bench<'a>, Point) -> Option<()>) -> Option<()> {
        for point in self.points() {
            let _ = judge(self, point);
        }
        Some(())
    }

    fn writes(&mut self) -> Option<()> {
        self.each_point(Bench::writes_at)
    }

    fn writes_at(&mut self, point: Point) -> Option<()> {
        let valkey = self.sample(Who::ValkeyWaitaof, Operation::Set, point)?;
        let redis = self.sample(Who::RedisWait, Operation::Set, point)?;
        for (who, ease) in [(Who::Synod, 1.0), (Who::SynodPlain, PLAIN)] {
            let ours = self.sample(who, Operation::Set, point)?;
            let ratio = ours.ops_per_second / valkey.ops_per_second;
            let name = |text: &str| format!("SET {point}, {}: {text}", ports(who));
            if point.is_single() {
                self.at_least(name("rate / Valkey WAITAOF"), ratio, 3.0 * ease);
                self.at_most(name("p50 / Valkey WAITAOF"), ours.p50_us / valkey.p50_us, 1.0 / 3.0 / ease);
                continue;
            }
            let bandwidth = self.value(writes::BANDWIDTH)?;
            // The smaller of both systems' bytes: whoever writes more than needed is not asked for less.
            let bytes = [ours, valkey].into_iter().filter_map(|outcome| outcome.disk_bytes_per_operation);
            let bytes = bytes.filter(|bytes| *bytes > 0.0).fold(f64::INFINITY, f64::min);
            let bound = if bytes.is_finite() { CEILING * bandwidth / bytes } else { f64::INFINITY };
            let wanted = (4.0 * valkey.ops_per_second).min(bound) * ease / valkey.ops_per_second;
            self.at_least(name("rate / Valkey WAITAOF (4, or what the disk takes)"), ratio, wanted);
            let ratio = ours.ops_per_second / redis.ops_per_second;
            self.at_least(name("rate / Redis 3 replicas WAIT 1"), ratio, ease);
        }
        Some(())
    }

    fn reads(&mut self) -> Option<()> {
        self.each_point(Bench::reads_at)
    }

    fn reads_at(&mut self, point: Point) -> Option<()> {
        let redis = self.sample(Who::RedisMemory, Operation::Get, point)?;
        for (who, ease) in [(Who::Synod, 1.0), (Who::SynodPlain, PLAIN)] {
            let ours = self.sample(who, Operation::Get, point)?;
            let name = |text: &str| format!("GET {point}, {}: {text}", ports(who));
            if point.is_single() {
                let ratio = ours.ops_per_second / redis.ops_per_second;
                self.at_least(name("rate / Redis single process"), ratio, 0.7 * ease);
            } else {
                let ratio = redis.servers_us_per_operation? / ours.servers_us_per_operation?;
                self.at_least(name("per server CPU second / Redis single process"), ratio, ease);
            }
        }
        Some(())
    }

    fn single(&mut self) -> Option<()> {
        self.each_point(Bench::single_at)
    }

    fn single_at(&mut self, point: Point) -> Option<()> {
        let always = self.sample(Who::RedisAlways, Operation::Set, point)?;
        let memory = self.sample(Who::RedisMemory, Operation::Set, point)?;
        let valkey = self.sample(Who::ValkeyMemory, Operation::Get, point)?;
        let ceiling = |operation| Some(CEILING * self.sample(Who::Null, operation, point)?.ops_per_second);
        let (set_ceiling, get_ceiling) = (ceiling(Operation::Set)?, ceiling(Operation::Get)?);
        for (who, ease) in [(Who::One, 1.0), (Who::OnePlain, PLAIN)] {
            let set = self.sample(who, Operation::Set, point)?.ops_per_second;
            let get = self.sample(who, Operation::Get, point)?.ops_per_second;
            let name = |text: &str| format!("{text}, {point}, {}", ports(who));
            let (text, base, factor) = if point.connections == 50 && point.pipeline <= 16 {
                ("SET / Redis appendfsync always", always.ops_per_second, 2.0)
            } else {
                ("SET / Redis without persistence", memory.ops_per_second, 0.95)
            };
            self.at_least(name(text), set / base, (factor * base).min(set_ceiling) * ease / base);
            let base = valkey.ops_per_second;
            self.at_least(
                name("GET / Valkey without persistence"),
                get / base,
                base.min(get_ceiling) * ease / base,
            );
        }
        Some(())
    }

    fn touch(&mut self) -> Option<()> {
        let first = self.sample(Who::Synod, Operation::FirstSet, touch::POINT)?;
        let again = self.sample(Who::Synod, Operation::Set, touch::POINT)?;
        self.at_least("first touch / repeated writes", first.ops_per_second / again.ops_per_second, 0.7);
        Some(())
    }

    fn etcd(&mut self) -> Option<()> {
        let asked = [(Operation::Set, "put", 7.0, 10.0), (Operation::Get, "linearizable get", 8.0, 20.0)];
        for (operation, text, rate, cpu) in asked {
            let ours = self.sample(Who::Synod, operation, etcd::POINT)?;
            let theirs = self.sample(Who::Etcd, operation, etcd::POINT)?;
            self.at_least(format!("{text}: rate / etcd"), ours.ops_per_second / theirs.ops_per_second, rate);
            let ratio = theirs.servers_us_per_operation? / ours.servers_us_per_operation?;
            self.at_least(format!("{text}: per server CPU second / etcd"), ratio, cpu);
        }
        Some(())
    }

    fn idle(&mut self) -> Option<()> {
        let floor = self.value(idle::SYNC)? + 2.0 * self.value(idle::LOOPBACK)?;
        let ping = self.value(idle::PING)?;
        for (names, ease) in idle::ONE_CLIENT.chunks_exact(2).zip([1.0, PLAIN]) {
            let &[set, get] = names else { continue };
            self.at_most(
                format!("{set} / (sync + 2 loopback round trips)"),
                self.value(set)? / floor,
                1.5 / ease,
            );
            self.at_most(format!("{get} / Redis PING"), self.value(get)? / ping, 2.5 / ease);
        }
        self.at_most(idle::AT_REST, self.value(idle::AT_REST)?, 0.01);
        Some(())
    }

    fn objects(&mut self) -> Option<()> {
        for operation in objects::OPERATIONS {
            for (who, ease) in [(Who::Synod, 1.0), (Who::SynodPlain, PLAIN)] {
                let rate = |who| Some(self.sample(who, operation, objects::POINT)?.ops_per_second);
                if let Some((ours, valkey)) = rate(who).zip(rate(Who::ValkeyWaitaof)) {
                    let text = format!("{}, {}: rate / Valkey WAITAOF", operation.name(), ports(who));
                    self.at_least(text, ours / valkey, 2.0 * ease);
                }
            }
        }
        Some(())
    }

    fn large(&mut self) -> Option<()> {
        let rate = |operation| Some(self.sample(Who::Synod, operation, large::POINT)?.ops_per_second);
        let set = rate(Operation::Set)?;
        let others = large::OPERATIONS.map(|operation| (operation, rate(operation)));
        let tagged = rate(Operation::TaggedSet);
        for (operation, rate) in others {
            if let Some(rate) = rate {
                self.at_least(format!("{} of a megabyte: rate / SET", operation.name()), rate / set, 0.5);
            }
        }
        self.at_least("SET of a tag of 100,000 keys: rate / SET of others", tagged? / set, 0.5);
        Some(())
    }

    fn sql(&mut self) -> Option<()> {
        let rate = |operation| Some(self.sample(Who::Synod, operation, sql::POINT)?.ops_per_second);
        let (set, rows) = (rate(Operation::Set), rate(Operation::SelectRows));
        let inserts = [(Operation::Insert, 0.6), (Operation::IndexedInsert, 0.4)];
        let inserts = inserts.map(|(operation, wanted)| (operation, rate(operation), wanted));
        for (operation, rate, wanted) in inserts {
            if let (Some(rate), Some(set)) = (rate, set) {
                self.at_least(
                    format!("{} into 1,000 partitions: rate / SET", operation.name()),
                    rate / set,
                    wanted,
                );
            }
        }
        self.at_least("SELECT of 50 rows by a range, per second", rows?, 50_000.0);
        Some(())
    }

    fn hot(&mut self) -> Option<()> {
        self.at_least(hot::SLOWEST, self.value(hot::SLOWEST)?, 100_000.0);
        Some(())
    }

    fn tail(&mut self) -> Option<()> {
        let ours = self.sample(Who::Synod, Operation::PacedSet, tail::POINT)?;
        let theirs = self.sample(Who::ValkeyWaitaof, Operation::PacedSet, tail::POINT)?;
        self.at_most("SET p99.9 / Valkey WAITAOF at the same rate", ours.p999_us / theirs.p999_us, 1.0);
        Some(())
    }

    fn cores(&mut self) -> Option<()> {
        for operation in [Operation::Set, Operation::Get] {
            let one = self.sample(Who::Synod, operation, cores::POINT)?;
            let four = self.sample(Who::SynodFour, operation, cores::POINT)?;
            let text = format!("{}: four cores / one core", operation.name());
            self.at_least(text, four.ops_per_second / one.ops_per_second, 3.4);
        }
        Some(())
    }

    fn engine(&mut self) -> Option<()> {
        if let (Some(ours), Some(theirs)) = (self.value(engine::PUTS), self.value(engine::ROCKSDB_PUTS)) {
            self.at_least("synced puts of 64 writers / RocksDB", ours / theirs, 4.0);
        }
        if let Some(rate) = self.value(engine::WARM) {
            self.at_least(engine::WARM, rate, 1e6);
        }
        if let (Some(ours), Some(raw)) = (self.value(engine::COLD), self.value(engine::RAW)) {
            self.at_most("raw direct reads / cold gets", raw / ours, 1.15);
        }
        if let Some(bytes) = self.value(engine::MEMORY) {
            self.at_most(engine::MEMORY, bytes, 32.0);
        }
        if let Some(seconds) = self.value(engine::START) {
            self.at_most(engine::START, seconds, 5.0);
        }
        Some(())
    }

    fn tree(&mut self) -> Option<()> {
        let more = [
            (tree::LOAD, tree::ROCKSDB_LOAD, 1.0),
            (tree::LOAD, tree::FJALL_LOAD, 1.0),
            (tree::WARM, tree::ROCKSDB_WARM, 1.0),
            (tree::COLD, tree::ROCKSDB_COLD, 1.0),
            (tree::SCANS, tree::ROCKSDB_SCANS, 3.0),
        ];
        for (ours, theirs, wanted) in more {
            if let (Some(rate), Some(base)) = (self.value(ours), self.value(theirs)) {
                self.at_least(format!("{ours} / {theirs}"), rate / base, wanted);
            }
        }
        for (ours, theirs) in [(tree::WRITTEN, tree::ROCKSDB_WRITTEN), (tree::KEPT, tree::ROCKSDB_KEPT)] {
            if let (Some(bytes), Some(base)) = (self.value(ours), self.value(theirs)) {
                self.at_most(format!("{ours} / {theirs}"), bytes / base, 1.0);
            }
        }
        // What the device gives is measured with the engine of values, in the same run.
        if let (Some(gets), Some(raw)) = (self.value(tree::COLD), self.value(engine::RAW)) {
            self.at_most("raw direct reads / cold gets of rows", raw / gets, 1.2);
        }
        Some(())
    }
}

fn ports(who: Who) -> &'static str {
    match who {
        Who::SynodPlain | Who::OnePlain => "plain port",
        _ => "core port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Sample;

    /// A record of one run of writes at c50 P16, at these rates.
    fn writes(core: f64, plain: f64, valkey: f64, redis: f64, bandwidth: f64) -> Record {
        let mut record = Record::default();
        record.figure(writes::NAME, 1, writes::BANDWIDTH, bandwidth, "bytes/s");
        let systems = [
            (Who::Synod, core),
            (Who::SynodPlain, plain),
            (Who::ValkeyWaitaof, valkey),
            (Who::RedisWait, redis),
        ];
        for (who, ops_per_second) in systems {
            // Synod writes ten times what Valkey writes: that must not make the goal easier.
            let bytes = if who == Who::ValkeyWaitaof { 100.0 } else { 1_000.0 };
            let outcome =
                Outcome { ops_per_second, disk_bytes_per_operation: Some(bytes), ..Outcome::default() };
            let point = Point::new(50, 16);
            let sample = Sample {
                group: writes::NAME,
                run: 1,
                who,
                operation: Operation::Set,
                point,
                rate: None,
                outcome,
            };
            record.samples.push(sample);
        }
        record
    }

    fn met(record: &Record) -> Vec<bool> {
        judge(record).iter().map(|goal| goal.met() == 1).collect()
    }

    #[test]
    fn writes_are_judged_by_ratios_of_one_run() {
        // Core port against Valkey, against Redis; then the plain port, which is asked for 0.7 of each.
        let table = [
            ((401.0, 281.0, 100.0, 400.0, 1e9), [true, true, true, true]),
            ((399.0, 279.0, 100.0, 400.0, 1e9), [false, false, false, false]),
            // The disk takes 300 operations of 100 bytes a second: 0.8 of that is enough beside Valkey.
            ((241.0, 169.0, 100.0, 100.0, 30_000.0), [true, true, true, true]),
            ((239.0, 167.0, 100.0, 100.0, 30_000.0), [false, true, false, true]),
        ];
        for ((core, plain, valkey, redis, bandwidth), wanted) in table {
            let record = writes(core, plain, valkey, redis, bandwidth);
            assert_eq!(met(&record), wanted, "{core} {plain}");
        }
    }

    #[test]
    fn the_ceiling_of_the_harness_bounds_what_is_asked() {
        let rates = |one: f64| {
            let systems = [
                (Who::One, Operation::Set, one),
                (Who::One, Operation::Get, one),
                (Who::OnePlain, Operation::Set, one),
                (Who::OnePlain, Operation::Get, one),
                (Who::RedisAlways, Operation::Set, 70.0),
                (Who::RedisMemory, Operation::Set, 100.0),
                (Who::ValkeyMemory, Operation::Get, 110.0),
                (Who::Null, Operation::Set, 110.0),
                (Who::Null, Operation::Get, 110.0),
            ];
            let mut record = Record::default();
            for (who, operation, ops_per_second) in systems {
                let outcome = Outcome { ops_per_second, ..Outcome::default() };
                let point = Point::new(50, 16);
                record.samples.push(Sample {
                    group: single::NAME,
                    run: 1,
                    who,
                    operation,
                    point,
                    rate: None,
                    outcome,
                });
            }
            record
        };
        // Twice 70 is above 0.8 of what the harness reaches at all, which is 88; so 88 counts, and 0.7 of it at the plain port.
        assert_eq!(met(&rates(89.0)), [true, true, true, true]);
        assert_eq!(met(&rates(87.0)), [false, false, true, true]);
        assert_eq!(met(&rates(61.0)), [false, false, false, false]);
    }

    #[test]
    fn objects_are_judged_one_by_one() {
        let mut record = Record::default();
        let rates = [(Operation::Lpush, Who::Synod, 200.0), (Operation::Sadd, Who::Synod, 199.0)];
        let rates = rates
            .into_iter()
            .chain(objects::OPERATIONS.map(|operation| (operation, Who::ValkeyWaitaof, 100.0)));
        for (operation, who, ops_per_second) in rates.chain([(Operation::Sadd, Who::SynodPlain, 141.0)]) {
            let outcome = Outcome { ops_per_second, ..Outcome::default() };
            let (group, point) = (objects::NAME, objects::POINT);
            record.samples.push(Sample { group, run: 1, who, operation, point, rate: None, outcome });
        }
        assert_eq!(met(&record), [true, false, true]);
    }

    #[test]
    fn large_things_are_judged_beside_set() {
        let mut record = Record::default();
        let rates = [(Operation::Set, 100.0), (Operation::TaggedSet, 51.0), (Operation::Lpush, 49.0)];
        for (operation, ops_per_second) in rates {
            let outcome = Outcome { ops_per_second, ..Outcome::default() };
            let (group, who, point) = (large::NAME, Who::Synod, large::POINT);
            record.samples.push(Sample { group, run: 1, who, operation, point, rate: None, outcome });
        }
        assert_eq!(met(&record), [false, true]);
    }

    #[test]
    fn statements_are_judged_beside_set() {
        let mut record = Record::default();
        let rates = [
            (Operation::Set, 100_000.0),
            (Operation::Insert, 61_000.0),
            (Operation::IndexedInsert, 39_000.0),
            (Operation::SelectRows, 50_001.0),
        ];
        for (operation, ops_per_second) in rates {
            let outcome = Outcome { ops_per_second, ..Outcome::default() };
            let (group, who, point) = (sql::NAME, Who::Synod, sql::POINT);
            record.samples.push(Sample { group, run: 1, who, operation, point, rate: None, outcome });
        }
        assert_eq!(met(&record), [true, false, true]);
        record.samples.retain(|sample| sample.operation != Operation::Set);
        assert_eq!(met(&record), [true], "rows are judged by themselves");
    }

    #[test]
    fn the_engine_is_judged_by_what_it_tells() {
        let mut record = Record::default();
        let figures = [
            (engine::PUTS, 41.0),
            (engine::ROCKSDB_PUTS, 10.0),
            (engine::MEMORY, 33.0),
            (engine::START, 4.0),
        ];
        for (name, value) in figures {
            record.figure(engine::NAME, 1, name, value, "");
        }
        assert_eq!(met(&record), [true, false, true]);
    }

    #[test]
    fn the_tree_is_judged_by_rates_and_by_bytes() {
        let mut record = Record::default();
        let figures = [
            (tree::LOAD, 10.0),
            (tree::ROCKSDB_LOAD, 10.0),
            (tree::FJALL_LOAD, 11.0),
            (tree::SCANS, 29.0),
            (tree::ROCKSDB_SCANS, 10.0),
            (tree::WRITTEN, 4.0),
            (tree::ROCKSDB_WRITTEN, 5.0),
        ];
        for (name, value) in figures {
            record.figure(tree::NAME, 1, name, value, "");
        }
        assert_eq!(met(&record), [true, false, false, true]);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let mut record = writes(1.0, 1.0, 1.0, 1.0, 1.0);
        record.samples.retain(|sample| sample.who != Who::RedisWait);
        assert_eq!(judge(&record), []);
        assert_eq!(judge(&Record::default()), []);
    }
}
