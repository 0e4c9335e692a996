//! A statement on the rows of a group: it asks for keys and stretches of keys, which are those of the tree with what the batch has changed so far
//! over it, and may wait for the disk.

use lsm::{Get, Lsm, ReadError, Scan, Scanned, Snapshot, Ticket};
use reactor::mutants::planted;
use reactor::Disk;
use sql::{Backfill, Change, Execution, Input, Outcome, Step};

use super::rows::Overlay;
use crate::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MORE_MAX};
use crate::object::indexes::Task;

/// The rows that a statement runs on.
pub(crate) struct Source<'a, D> {
    /// The tree, which stands at the head that the batch extends. None: there are no rows.
    pub tree: Option<(&'a mut Lsm, &'a mut D)>,
    /// What stands in front of the group's keys.
    pub prefix: &'a [u8],
    /// Held from the first read on that waits for the disk: until then nothing else is applied.
    pub snapshot: &'a mut Option<Snapshot>,
    /// What the batch has changed.
    pub overlay: &'a Overlay,
    /// Reads that were begun.
    pub begun: &'a mut Vec<Ticket>,
}

/// Why a statement has no outcome.
pub(crate) enum Trouble {
    Sql(sql::Error),
    Read(ReadError),
    /// Too many wait for the disk already: it is to be tried again.
    Busy,
}

impl From<sql::Error> for Trouble {
    fn from(error: sql::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

/// What runs on rows.
#[derive(Debug)]
pub(crate) enum Work {
    /// A statement of SQL.
    Execution(Execution),
    /// One row, by its key in the partition.
    Row(Vec<u8>),
    /// A step of what is to be done for an index, of so many rows at most.
    Fill(Task, Backfill, usize),
}

/// What work came to.
#[derive(Debug)]
pub(crate) enum Ended {
    Execution(Execution, Outcome),
    Row(Option<Vec<u8>>),
    /// What the step changes, and where the task goes on.
    Fill(Task, Vec<Change>, Option<Vec<u8>>),
}

/// Work under way.
#[derive(Debug)]
pub(crate) struct Statement {
    /// None once it is at its end.
    work: Option<Work>,
    asked: Asked,
    trouble: Option<ReadError>,
}

#[derive(Debug)]
enum Asked {
    Start,
    Values(Values),
    Page(Page),
}

/// Keys that were asked for.
#[derive(Debug)]
struct Values {
    keys: Vec<Vec<u8>>,
    values: Vec<Option<Vec<u8>>>,
    /// Those that are being read, each with its place.
    reading: Vec<(Ticket, usize)>,
}

/// A stretch of keys that was asked for: what is there of it, and what is left to be read of the tree.
#[derive(Debug)]
struct Page {
    from: Vec<u8>,
    to: Vec<u8>,
    backwards: bool,
    limit: usize,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    reading: bool,
    /// It is all there, and whether there is more in the stretch.
    ended: Option<bool>,
}

impl Statement {
    pub fn new(work: Work) -> Statement {
        Statement { work: Some(work), asked: Asked::Start, trouble: None }
    }

    /// Whether it waits for the disk.
    pub fn is_waiting(&self) -> bool {
        match &self.asked {
            Asked::Start => false,
            Asked::Values(values) => !values.reading.is_empty(),
            Asked::Page(page) => page.reading,
        }
    }

    /// Goes on. None: it waits for the disk.
    pub fn step<D: Disk>(&mut self, source: &mut Source<'_, D>) -> Option<Result<Ended, Trouble>> {
        loop {
            if self.is_waiting() {
                return None;
            }
            if let Some(error) = self.trouble.take() {
                return Some(Err(Trouble::Read(error)));
            }
            match self.turn(source) {
                Ok(Some(ended)) => return Some(Ok(ended)),
                Ok(None) => {}
                Err(trouble) => return Some(Err(trouble)),
            }
        }
    }

    fn turn<D: Disk>(&mut self, source: &mut Source<'_, D>) -> Result<Option<Ended>, Trouble> {
        if let Asked::Page(page @ Page { ended: None, .. }) = &mut self.asked {
            page.read(source)?;
            return Ok(None);
        }
        let asked = std::mem::replace(&mut self.asked, Asked::Start);
        let input = match &asked {
            Asked::Start => Input::Start,
            Asked::Values(values) => Input::Values(values.values.iter().map(Option::as_deref).collect()),
            Asked::Page(page) => {
                let entries = page.entries.iter().map(|(key, value)| (&**key, &**value)).collect();
                Input::Page { entries, more: page.ended == Some(true) }
            }
        };
        let step = match self.work.as_mut().expect("nothing goes on behind its end") {
            Work::Execution(execution) => execution.step(input)?,
            Work::Row(key) => match input {
                Input::Values(values) => {
                    let row = values.into_iter().flatten().next().map(<[u8]>::to_vec);
                    return Ok(Some(Ended::Row(row)));
                }
                _ => Step::Get(vec![key.clone()]),
            },
            Work::Fill(task, backfill, rows_max) => match (input, backfill.wanted()) {
                (Input::Start, Some((from, to, limit))) => {
                    let (from, to, limit) = (from.to_vec(), to.to_vec(), limit.min(*rows_max));
                    Step::Scan { from, to, backwards: false, limit }
                }
                (input, _) => {
                    let (entries, more) = match input {
                        Input::Page { entries, more } => (entries, more),
                        _ => (Vec::new(), false),
                    };
                    let changes = backfill.step(&entries, more)?;
                    let place = backfill.place().map(<[u8]>::to_vec);
                    return Ok(Some(Ended::Fill(task.clone(), changes, place)));
                }
            },
        };
        match step {
            Step::Done(outcome) => match self.work.take() {
                Some(Work::Execution(execution)) => return Ok(Some(Ended::Execution(execution, outcome))),
                other => panic!("only statements have an outcome: {other:?}"),
            },
            Step::Get(keys) => {
                let mut values = Values { values: vec![None; keys.len()], keys, reading: Vec::new() };
                values.read(source)?;
                self.asked = Asked::Values(values);
            }
            Step::Scan { from, to, backwards, limit } => {
                let (entries, bytes) = (Vec::new(), 0);
                self.asked = Asked::Page(Page {
                    from,
                    to,
                    backwards,
                    limit,
                    entries,
                    bytes,
                    reading: false,
                    ended: None,
                });
            }
        }
        Ok(None)
    }

    /// A key was read.
    pub fn got(&mut self, ticket: Ticket, result: Result<Option<lsm::Value>, ReadError>) {
        let Asked::Values(values) = &mut self.asked else { return };
        let Some(at) = values.reading.iter().position(|(reading, _)| *reading == ticket) else { return };
        let (_, place) = values.reading.swap_remove(at);
        match result {
            Ok(value) => values.values[place] = value.map(|value| value.to_vec()),
            Err(error) => self.trouble = Some(error),
        }
    }

    /// A stretch was read.
    pub fn scanned(&mut self, prefix: &[u8], overlay: &Overlay, result: Result<lsm::Rows, ReadError>) {
        let Asked::Page(page) = &mut self.asked else { return };
        page.reading = false;
        match result {
            Ok(rows) => page.take(prefix, overlay, &rows),
            Err(error) => self.trouble = Some(error),
        }
    }
}

/// Holds on to the tree, from the first read on that waits.
fn hold(lsm: &Lsm, snapshot: &mut Option<Snapshot>) -> Result<(), Trouble> {
    if snapshot.is_none() {
        *snapshot = lsm.snapshot();
    }
    snapshot.as_ref().map(|_| ()).ok_or(Trouble::Busy)
}

impl Values {
    fn read<D: Disk>(&mut self, source: &mut Source<'_, D>) -> Result<(), Trouble> {
        for (place, key) in self.keys.iter().enumerate() {
            if let Some(value) = source.overlay.rows.get(key).filter(|_| !planted(554)) {
                self.values[place].clone_from(value);
                continue;
            }
            let Some((lsm, disk)) = &mut source.tree else { continue };
            let key = [source.prefix, key].concat();
            match lsm.get(*disk, &key, source.snapshot.as_ref()) {
                Get::Ready(value) => self.values[place] = value.map(|value| value.to_vec()),
                Get::Pending(ticket) => {
                    source.begun.push(ticket);
                    self.reading.push((ticket, place));
                    hold(lsm, source.snapshot)?;
                }
            }
        }
        Ok(())
    }
}

impl Page {
    /// Reads on in the tree.
    fn read<D: Disk>(&mut self, source: &mut Source<'_, D>) -> Result<(), Trouble> {
        let Some((lsm, disk)) = &mut source.tree else {
            self.merge(source.overlay, Vec::new(), false);
            return Ok(());
        };
        // What the batch has deleted is read and passed over.
        let deleted =
            self.changed(source.overlay).filter(|(_, value)| value.is_none()).take(PAGE_ROWS_MORE_MAX);
        let rows_max = self.limit - self.entries.len() + deleted.count();
        let scan = Scan {
            first: [source.prefix, &self.from].concat().into(),
            end: Some([source.prefix, &self.to].concat().into()),
            reverse: self.backwards,
            rows_max,
            bytes_max: PAGE_BYTES_MAX,
        };
        match lsm.scan(*disk, scan, source.snapshot.as_ref()) {
            Scanned::Ready(rows) => self.take(source.prefix, source.overlay, &rows),
            Scanned::Pending(ticket) => {
                source.begun.push(ticket);
                self.reading = true;
                hold(lsm, source.snapshot)?;
            }
        }
        Ok(())
    }

    fn changed<'a>(
        &self,
        overlay: &'a Overlay,
    ) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> {
        let (from, to) = (self.from.clone(), self.to.clone().max(self.from.clone()));
        overlay.rows.range(from..to)
    }

    fn take(&mut self, prefix: &[u8], overlay: &Overlay, rows: &lsm::Rows) {
        let within = |(key, value): (&[u8], &[u8])| (key[prefix.len()..].to_vec(), value.to_vec());
        let found: Vec<(Vec<u8>, Vec<u8>)> = rows.iter().map(within).collect();
        self.merge(overlay, found, rows.more);
    }

    /// Adds what was found next in the tree, with what the batch has changed there.
    fn merge(&mut self, overlay: &Overlay, found: Vec<(Vec<u8>, Vec<u8>)>, more: bool) {
        // Up to where the tree was read.
        let last = found.last().map(|(key, _)| key.clone()).filter(|_| more);
        let covered = |key: &Vec<u8>| match (&last, self.backwards) {
            (None, _) => true,
            (Some(last), false) => key <= last,
            (Some(last), true) => key >= last,
        };
        let changed: Vec<(&Vec<u8>, &Option<Vec<u8>>)> =
            self.changed(overlay).filter(|(key, _)| covered(key)).collect();
        let is_changed = |key: &Vec<u8>| overlay.rows.contains_key(key);
        let mut all: Vec<(Vec<u8>, Vec<u8>)> =
            found.into_iter().filter(|(key, _)| !is_changed(key)).collect();
        let there = changed.into_iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        all.extend(there);
        all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        if self.backwards {
            all.reverse();
        }
        self.bytes += all.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.entries.append(&mut all);
        let is_cut = self.entries.len() > self.limit;
        self.entries.truncate(self.limit);
        let is_full = self.entries.len() == self.limit || self.bytes >= PAGE_BYTES_MAX;
        match last {
            _ if is_cut => self.ended = Some(true),
            None => self.ended = Some(false),
            Some(_) if is_full && !self.entries.is_empty() => self.ended = Some(true),
            // Behind it.
            Some(last) if self.backwards => self.to = last,
            Some(last) => self.from = [&last[..], &[0]].concat(),
        }
    }
}
