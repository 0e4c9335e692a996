//! The slot map of a cluster, read with CLUSTER SLOTS, and the thread that reads it again when a worker asks.
//!
//! Workers keep their own copy and look at one version number per round; only a refresh takes the lock.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::Plan;
use crate::error::BenchError;
use crate::limits::{CONNECT_TIMEOUT, MAP_REFRESH_MIN, NODES_MAX, SLOTS};
use crate::resp::Value;
use crate::wire::Wire;

/// A range of slots and the node that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First slot.
    pub start: usize,
    /// Last slot.
    pub end: usize,
    /// The primary.
    pub node: SocketAddr,
}

/// Reads the reply to CLUSTER SLOTS. `asked` stands in for a host that is null or empty, as clients do.
///
/// # Errors
/// What is wrong with the reply.
pub fn parse_slots(value: &Value, asked: IpAddr) -> Result<Vec<Range>, String> {
    let ranges = match value {
        Value::Array(ranges) => ranges,
        Value::Error(text) => return Err(String::from_utf8_lossy(text).into_owned()),
        _ => return Err("CLUSTER SLOTS did not answer an array".to_owned()),
    };
    let found: Option<Vec<Range>> = ranges.iter().map(|range| parse_range(range, asked)).collect();
    let found = found.ok_or("CLUSTER SLOTS answered a range that cannot be read")?;
    if found.is_empty() {
        return Err("CLUSTER SLOTS answered an empty map".to_owned());
    }
    Ok(found)
}

fn parse_range(range: &Value, asked: IpAddr) -> Option<Range> {
    let Value::Array(fields) = range else { return None };
    let (Some(Value::Int(start)), Some(Value::Int(end)), Some(Value::Array(node))) =
        (fields.first(), fields.get(1), fields.get(2))
    else {
        return None;
    };
    let ip = match node.first()? {
        Value::Bulk(host) if !host.is_empty() => std::str::from_utf8(host).ok()?.parse().ok()?,
        Value::Bulk(_) | Value::Nil => asked,
        _ => return None,
    };
    let Value::Int(port) = node.get(1)? else { return None };
    let node = SocketAddr::new(ip, u16::try_from(*port).ok()?);
    let (start, end) = (usize::try_from(*start).ok()?, usize::try_from(*end).ok()?);
    (start <= end && end < SLOTS).then_some(Range { start, end, node })
}

#[derive(Debug)]
struct Shared {
    ranges: Mutex<Arc<Vec<Range>>>,
    version: AtomicU64,
    wanted: AtomicBool,
    stopped: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Arc<Vec<Range>>> {
        self.ranges.lock().expect("no thread panics while it holds the map: a panic aborts")
    }
}

/// The slot map and its reader. Without cluster mode it is empty and nothing runs.
#[derive(Debug)]
pub struct Topology {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

impl Topology {
    /// Reads the map from the first host that has one and starts the reader; does nothing without cluster
    /// mode.
    ///
    /// # Errors
    /// No host gave a map: the error of the last one.
    pub fn start(plan: &Plan) -> Result<Topology, BenchError> {
        let shared = Arc::new(Shared {
            ranges: Mutex::new(Arc::new(Vec::new())),
            version: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        if !plan.cluster {
            return Ok(Topology { shared, reader: None });
        }
        let first = read_any(&plan.hosts, plan.password.as_deref())?;
        publish(&shared, first);
        let (for_reader, hosts, password) = (Arc::clone(&shared), plan.hosts.clone(), plan.password.clone());
        let reader = std::thread::Builder::new()
            .name("slot-map".to_owned())
            .spawn(move || keep_reading(&for_reader, &hosts, password.as_deref()))
            .map_err(|source| BenchError::io("starting the slot map's thread", source))?;
        Ok(Topology { shared, reader: Some(reader) })
    }

    /// Counts the maps published so far; workers compare it with that of their copy.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// The map in force.
    pub fn ranges(&self) -> Arc<Vec<Range>> {
        Arc::clone(&self.shared.lock())
    }

    /// The nodes of the map in force.
    pub fn nodes(&self) -> Vec<SocketAddr> {
        let mut nodes: Vec<SocketAddr> = self.ranges().iter().map(|range| range.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Asks for the map to be read again, soon.
    pub fn refresh(&self) {
        if let Some(reader) = &self.reader {
            self.shared.wanted.store(true, Ordering::Release);
            reader.thread().unpark();
        }
    }

    /// Ends the reader.
    pub fn stop(self) {
        self.shared.stopped.store(true, Ordering::Release);
        if let Some(reader) = self.reader {
            reader.thread().unpark();
            reader.join().expect("the reader does not panic: a panic aborts");
        }
    }
}

fn publish(shared: &Shared, ranges: Vec<Range>) {
    *shared.lock() = Arc::new(ranges);
    shared.version.fetch_add(1, Ordering::AcqRel);
}

fn keep_reading(shared: &Shared, hosts: &[SocketAddr], password: Option<&str>) {
    while !shared.stopped.load(Ordering::Acquire) {
        if !shared.wanted.swap(false, Ordering::AcqRel) {
            std::thread::park();
            continue;
        }
        // The nodes of the map first: they are the ones in use. Then the hosts that were named.
        let mut candidates: Vec<SocketAddr> = Vec::new();
        let ranges = Arc::clone(&shared.lock());
        for addr in ranges.iter().map(|range| range.node).chain(hosts.iter().copied()) {
            if !candidates.contains(&addr) && candidates.len() < NODES_MAX {
                candidates.push(addr);
            }
        }
        if let Ok(read) = read_any(&candidates, password) {
            if read != **ranges {
                publish(shared, read);
            }
        }
        std::thread::sleep(MAP_REFRESH_MIN);
    }
}

fn read_any(hosts: &[SocketAddr], password: Option<&str>) -> Result<Vec<Range>, BenchError> {
    let mut last = BenchError::Usage("--hosts: name at least one ip:port".to_owned());
    for &addr in hosts {
        match read_one(addr, password) {
            Ok(ranges) => return Ok(ranges),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_one(addr: SocketAddr, password: Option<&str>) -> Result<Vec<Range>, BenchError> {
    let connection = |source| BenchError::Connection { addr, source };
    let mut wire = Wire::connect(addr, password, CONNECT_TIMEOUT).map_err(connection)?;
    let value = wire.call(&[b"CLUSTER", b"SLOTS"]).map_err(connection)?;
    parse_slots(&value, addr.ip()).map_err(|text| BenchError::Server { addr, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64, host: Value, port: i64) -> Value {
        let node =
            Value::Array(vec![host, Value::Int(port), Value::Bulk(vec![b'a'; 40]), Value::Array(Vec::new())]);
        Value::Array(vec![Value::Int(start), Value::Int(end), node])
    }

    #[test]
    fn maps_are_read_and_odd_ones_refused() {
        let asked: IpAddr = "127.0.0.7".parse().unwrap();
        let good = Value::Array(vec![
            range(0, 8_191, Value::Bulk(b"10.0.0.1".to_vec()), 7_000),
            range(8_192, 16_383, Value::Nil, 7_001),
        ]);
        let read = parse_slots(&good, asked).unwrap();
        assert_eq!(read[0], Range { start: 0, end: 8_191, node: "10.0.0.1:7000".parse().unwrap() });
        assert_eq!(read[1].node, "127.0.0.7:7001".parse().unwrap());
        let bad = [
            Value::Nil,
            Value::Error(b"ERR This instance has cluster support disabled".to_vec()),
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 16_384, Value::Nil, 7_000)]),
            Value::Array(vec![range(5, 4, Value::Nil, 7_000)]),
            Value::Array(vec![range(0, 1, Value::Nil, 70_000)]),
            Value::Array(vec![range(0, 1, Value::Bulk(b"?".to_vec()), 7_000)]),
        ];
        for value in bad {
            assert!(parse_slots(&value, asked).is_err(), "{value:?}");
        }
    }
}
