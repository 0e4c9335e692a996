//! The tree of a core, beside its log: rows that are applied in turns, over crashes, faults and damage.

mod faults;
mod rows;

use std::collections::BTreeMap;

use lsm::{Batch, Event, Get, Pressure, Scan, Scanned, Version};
use shard::reply::Reply;
use shard::tree::{Standing, Tree};

use crate::keyspace::cluster::Cluster;

pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a test does with the tree of a host.
pub trait Rows {
    fn tree(&self, host: usize) -> &Tree;
    /// Waits until the tree stands where it will stand.
    fn settle_tree(&mut self, host: usize);
    /// Applies a batch, waiting where background work has to get on first. None: the tree is closed.
    fn apply(&mut self, host: usize, batch: &Batch) -> Option<Version>;
    /// Of the last change that is there.
    fn tree_version(&mut self, host: usize) -> Version;
    /// Has what was applied flushed, and waits.
    fn flush_tree(&mut self, host: usize);
    fn row(&mut self, host: usize, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    fn rows(&mut self, host: usize) -> Result<Map, String>;
    /// The names of the tree's files.
    fn tree_files(&self, host: usize) -> Vec<String>;
}

impl Rows for Cluster {
    fn tree(&self, host: usize) -> &Tree {
        self.hosts[host].shard.tree()
    }

    fn settle_tree(&mut self, host: usize) {
        self.run_while(|cluster| *cluster.tree(host).standing() == Standing::Opening);
    }

    fn apply(&mut self, host: usize, batch: &Batch) -> Option<Version> {
        loop {
            self.settle_tree(host);
            let applied =
                self.with_turn(host, |shard, _| shard.tree_mut().rows().map(|rows| rows.apply(batch)))?;
            match applied {
                Ok(version) => return Some(version),
                Err(error) => assert_eq!(error, lsm::ApplyError::Stalled),
            }
            assert_eq!(self.tree(host).pressure(), Pressure::Stop);
            self.run_while(|cluster| cluster.tree(host).pressure() == Pressure::Stop);
        }
    }

    fn tree_version(&mut self, host: usize) -> Version {
        let rows = self.hosts[host].shard.tree_mut().rows();
        rows.expect("the tree is open").version()
    }

    fn flush_tree(&mut self, host: usize) {
        let version = self.with_turn(host, |shard, _| {
            let rows = shard.tree_mut().rows().expect("the tree is open");
            rows.flush();
            rows.version()
        });
        // The core itself hears of it.
        while !self.with_turn(host, |shard, _| {
            shard.tree_mut().rows().expect("the tree is open").is_durable(version)
        }) {
            self.pass(1);
        }
    }

    fn row(&mut self, host: usize, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let found = self.with_turn(host, |shard, turn| {
            shard.tree_mut().rows().map(|rows| rows.get(turn.disk, key, None))
        });
        let ticket = match found.ok_or("closed")? {
            Get::Ready(value) => return Ok(value.map(|value| value.to_vec())),
            Get::Pending(ticket) => ticket,
        };
        let told =
            answer(self, host, |event| matches!(event, Event::Got { ticket: of, .. } if *of == ticket));
        match told {
            Event::Got { result, .. } => {
                result.map(|value| value.map(|v| v.to_vec())).map_err(|e| e.to_string())
            }
            other => panic!("not an answer: {other:?}"),
        }
    }

    fn rows(&mut self, host: usize) -> Result<Map, String> {
        let scan = Scan { rows_max: usize::MAX, bytes_max: usize::MAX, ..Scan::default() };
        let found = self.with_turn(host, |shard, turn| {
            shard.tree_mut().rows().map(|rows| rows.scan(turn.disk, scan, None))
        });
        let rows = match found.ok_or("closed")? {
            Scanned::Ready(rows) => rows,
            Scanned::Pending(ticket) => {
                let is_it =
                    |event: &Event| matches!(event, Event::Scanned { ticket: of, .. } if *of == ticket);
                match answer(self, host, is_it) {
                    Event::Scanned { result, .. } => result.map_err(|error| error.to_string())?,
                    other => panic!("not an answer: {other:?}"),
                }
            }
        };
        Ok(rows.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn tree_files(&self, host: usize) -> Vec<String> {
        let names = self.hosts[host].disk.list().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("lsm-")).collect()
    }
}

/// Waits until the tree tells something; what else it tells is forgotten.
fn answer(cluster: &mut Cluster, host: usize, is_it: impl Fn(&Event) -> bool) -> Event {
    for _ in 0..10_000 {
        let told = cluster.with_turn(host, |shard, _| {
            std::iter::from_fn(|| shard.tree_mut().poll()).find(|event| is_it(event))
        });
        match told {
            Some(event) => return event,
            None => cluster.pass(1),
        }
    }
    panic!("a read ends");
}

/// One row.
pub fn put(key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

/// Whether records are served as ever: one is written, and read from all hosts.
pub fn serves_records(cluster: &mut Cluster, host: usize, value: &[u8]) {
    assert_eq!(cluster.ask(host, &[b"SET", b"key", value]), Reply::OK);
    for other in 0..cluster.hosts.len() {
        assert_eq!(cluster.ask(other, &[b"GET", b"key"]), Reply::Bulk(value.to_vec()));
    }
}
