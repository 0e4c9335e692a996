//! What was measured, as data: samples of loads, and single figures.

use serde::Serialize;

use crate::point::Point;

/// A system as clients reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Who {
    /// Three Synod hosts of one core each, by their core ports.
    Synod,
    /// The same, by the plain ports.
    SynodPlain,
    /// Valkey, a primary and two replicas, `appendfsync always` on each, writes confirmed by `WAITAOF 1 1`.
    ValkeyWaitaof,
    /// Redis, a primary and two replicas in memory, writes confirmed by `WAIT 1`.
    RedisWait,
    /// Redis, one process, `appendfsync always`.
    RedisAlways,
    /// Redis, one process, no persistence.
    RedisMemory,
    /// Valkey, one process, no persistence.
    ValkeyMemory,
    /// One Synod host of one core, by its core port.
    One,
    /// The same, by its plain port.
    OnePlain,
    /// A server that answers without doing anything.
    Null,
    /// Three etcd hosts.
    Etcd,
    /// Three Synod hosts of four cores each, by their core ports.
    SynodFour,
}

impl Who {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Who::Synod => "Synod, 3 hosts, core ports",
            Who::SynodPlain => "Synod, 3 hosts, plain ports",
            Who::ValkeyWaitaof => "Valkey, 3 replicas, fsync on each, WAITAOF 1 1",
            Who::RedisWait => "Redis, 3 replicas in memory, WAIT 1",
            Who::RedisAlways => "Redis, one process, appendfsync always",
            Who::RedisMemory => "Redis, one process, no persistence",
            Who::ValkeyMemory => "Valkey, one process, no persistence",
            Who::One => "Synod, one host, core port",
            Who::OnePlain => "Synod, one host, plain port",
            Who::Null => "null server (the harness' ceiling)",
            Who::Etcd => "etcd, 3 hosts",
            Who::SynodFour => "Synod, 3 hosts of 4 cores, core ports",
        }
    }
}

/// What a load does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Operation {
    /// GET; etcd's linearizable range of one key.
    Get,
    /// SET; etcd's put. Of keys that exist.
    Set,
    /// SET of keys that do not exist yet, each once.
    FirstSet,
    /// SET in an open loop: at a fixed rate, latency from when it was due.
    PacedSet,
    /// SET of keys that all have the same tag.
    TaggedSet,
    /// INCR of one key.
    Incr,
    /// LPUSH of a value.
    Lpush,
    /// RPOP of one.
    Rpop,
    /// LRANGE of the first hundred.
    Lrange,
    /// SADD of one member.
    Sadd,
    /// HSET of one field.
    Hset,
    /// ZADD of one member.
    Zadd,
    /// INSERT of a row.
    Insert,
    /// INSERT of a row into a table with an index.
    IndexedInsert,
    /// SELECT of fifty rows by a range of the clustering key.
    SelectRows,
}

impl Operation {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "GET",
            Operation::Set => "SET",
            Operation::FirstSet => "SET, first touch",
            Operation::PacedSet => "SET, open loop",
            Operation::TaggedSet => "SET, one tag",
            Operation::Incr => "INCR, one key",
            Operation::Lpush => "LPUSH",
            Operation::Rpop => "RPOP",
            Operation::Lrange => "LRANGE_100",
            Operation::Sadd => "SADD",
            Operation::Hset => "HSET",
            Operation::Zadd => "ZADD",
            Operation::Insert => "INSERT",
            Operation::IndexedInsert => "INSERT, an index",
            Operation::SelectRows => "SELECT, 50 rows",
        }
    }

    /// Whether it writes nothing.
    pub fn reads(self) -> bool {
        matches!(self, Operation::Get | Operation::Lrange | Operation::SelectRows)
    }

    /// The command of the harness. Statements are lines of their own, with the table that they are on (`groups/sql.rs`).
    pub fn command(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Set | Operation::FirstSet | Operation::PacedSet | Operation::TaggedSet => "set",
            Operation::Incr => "incr",
            Operation::Lpush => "lpush",
            Operation::Rpop => "rpop",
            Operation::Lrange => "lrange-100",
            Operation::Sadd => "sadd",
            Operation::Hset => "hset",
            Operation::Zadd => "zadd",
            Operation::Insert | Operation::IndexedInsert | Operation::SelectRows => "sql",
        }
    }
}

/// One load of one system at one point.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The group of measurements it belongs to.
    pub group: &'static str,
    /// The run, from 1.
    pub run: usize,
    /// The system.
    pub who: Who,
    /// What was done.
    pub operation: Operation,
    /// How many at once.
    pub point: Point,
    /// Asked rate of an open loop, operations per second.
    pub rate: Option<f64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a load. Latencies in microseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Operations answered without an error, per second.
    pub ops_per_second: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Errors of all kinds.
    pub errors: u64,
    /// CPU time of all processes of the system, user and kernel, per operation.
    pub servers_us_per_operation: Option<f64>,
    /// CPUs that the harness used.
    pub harness_cores: Option<f64>,
    /// CPUs that neither the system nor the harness used: the kernel's own threads, and whoever else is on the machine.
    pub other_cores: Option<f64>,
    /// Bytes that the system wrote to the disk, per operation.
    pub disk_bytes_per_operation: Option<f64>,
    /// Share of the latencies, and the latency below which it lies.
    pub curve: Vec<(f64, f64)>,
}

/// A figure that is no load.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The group of measurements it belongs to.
    pub group: &'static str,
    /// The run, from 1.
    pub run: usize,
    /// What it is.
    pub name: &'static str,
    /// In `unit`.
    pub value: f64,
    /// Such as `us`.
    pub unit: &'static str,
}

/// Everything measured so far.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// Loads.
    pub samples: Vec<Sample>,
    /// Single figures.
    pub figures: Vec<Figure>,
    /// What was not measured because it does not fit this machine or these options, and why.
    pub left_out: Vec<String>,
    /// What should have been measured and could not be.
    pub failed: Vec<String>,
}

impl Record {
    /// Adds a figure.
    pub fn figure(
        &mut self,
        group: &'static str,
        run: usize,
        name: &'static str,
        value: f64,
        unit: &'static str,
    ) {
        self.figures.push(Figure { group, run, name, value, unit });
    }

    /// Everything that was not measured, for either reason.
    pub fn missing(&self) -> impl Iterator<Item = &String> {
        self.failed.iter().chain(&self.left_out)
    }

    /// The sample of a run.
    pub fn sample(
        &self,
        group: &str,
        run: usize,
        who: Who,
        operation: Operation,
        point: Point,
    ) -> Option<&Outcome> {
        let is = |s: &&Sample| {
            s.group == group && s.run == run && s.who == who && s.operation == operation && s.point == point
        };
        self.samples.iter().find(is).map(|sample| &sample.outcome)
    }

    /// The figure of a run.
    pub fn value(&self, run: usize, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.run == run && figure.name == name).map(|figure| figure.value)
    }

    /// The runs of a group, in order.
    pub fn runs(&self, group: &str) -> Vec<usize> {
        let samples = self.samples.iter().filter(|s| s.group == group).map(|s| s.run);
        let figures = self.figures.iter().filter(|f| f.group == group).map(|f| f.run);
        let mut runs: Vec<usize> = samples.chain(figures).collect();
        runs.sort_unstable();
        runs.dedup();
        runs
    }
}

/// The median; of an even number the mean of the two in the middle. `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + *values.get(middle.checked_sub(1)?)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
    }
}
