//! Ingestion: a range of keys is replaced by sorted rows that come from elsewhere, without passing through the memtable.
//!
//! The tables that are made delete the whole range and hold the new rows, one version apart. Their versions are given when they are taken
//! in, so that they are newer than all that was applied before; until then the versions in the files count from zero.

use std::collections::VecDeque;

use crate::job::{Progress, Tables};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::ranges::Ranges;
use crate::types::IngestId;

/// In a file that is taken in: the version of the deletion of the range.
const DELETION: u64 = 1;
/// And that of the rows, which survive it.
const ROWS: u64 = 2;

/// Key and value.
type Row = (Box<[u8]>, Box<[u8]>);

/// Rows on their way into tables.
pub(crate) struct Ingestion {
    pub id: IngestId,
    pub first: Box<[u8]>,
    pub end: Box<[u8]>,
    rows: VecDeque<Row>,
    /// Bytes of them.
    pub waiting: usize,
    last: Option<Box<[u8]>>,
    is_ended: bool,
    cut: Option<Box<[u8]>>,
    table_bytes: u64,
    /// Once its rows are in tables: what was applied by then, which is flushed first.
    pub waits_for: Option<u64>,
}

impl Ingestion {
    pub fn new(id: IngestId, first: &[u8], end: &[u8], table_bytes: u64) -> Ingestion {
        Ingestion {
            id,
            first: first.into(),
            end: end.into(),
            rows: VecDeque::new(),
            waiting: 0,
            last: None,
            is_ended: false,
            cut: None,
            table_bytes,
            waits_for: None,
        }
    }

    /// Takes a row. False: it is not above the last one, not in the range, or too large.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let follows = self.last.as_ref().is_none_or(|last| **last < *key);
        let fits = key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX;
        if !fits || !follows || *key < *self.first || *key >= *self.end || self.is_ended {
            return false;
        }
        self.last = Some(key.into());
        self.waiting += key.len() + value.len();
        self.rows.push_back((key.into(), value.into()));
        true
    }

    /// No more rows will come.
    pub fn end(&mut self) {
        self.is_ended = true;
    }

    /// Whether there is something to be done.
    pub fn is_fed(&self) -> bool {
        self.is_ended || !self.rows.is_empty()
    }

    fn deletion(&self, end: Option<&[u8]>) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.add(self.cut.as_deref().unwrap_or(&self.first), end.unwrap_or(&self.end), DELETION);
        ranges
    }

    /// Adds rows, about so many bytes.
    pub fn fill(&mut self, tables: &mut Tables, bytes: u64) -> Progress {
        let mut added = 0;
        while added < bytes && tables.has_room() {
            let Some((key, value)) = self.rows.pop_front() else { break };
            if tables.current.is_some() && tables.current().builder.bytes() >= self.table_bytes {
                let ranges = self.deletion(Some(&key));
                tables.end(ranges);
                self.cut = Some(key.clone());
            }
            let sink = tables.current();
            sink.builder.add(&key, ROWS, Some(&value));
            sink.gather();
            self.waiting -= key.len() + value.len();
            added += (key.len() + value.len() + 16) as u64;
        }
        tables.bytes += added;
        if !self.rows.is_empty() || !self.is_ended {
            return Progress::Waits;
        }
        let ranges = self.deletion(None);
        tables.end(ranges);
        Progress::Over
    }
}
