//! `\copy table from`: rows of CSV to statements, many of them under way.
//!
//! Rows that follow one another in the file and are of one partition share a statement. Statements are answered in their order. When one is not
//! done, nothing more is sent; what is under way is waited for, and then done anew, one statement after the other and in the order of the file:
//! all of it, also what was done behind the failure, so that of rows with the same key the last one stands. A statement of several rows that is
//! refused is taken apart, which tells the row.
//!
//! That is for UPSERT. INSERT is never repeated where it may have been done: such rows are told, and the copy ends.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::answer::Answer;
use super::client::Client;
use super::command::CopyIn;
use super::csv::{Reader, Record};
use super::error::Trouble;
use super::limits::{
    COPY_PATIENCE, COPY_PAUSE, SHARED_BYTES_MAX, STATEMENT_ROWS_MAX, WINDOW_BYTES, WINDOW_STATEMENTS,
};
use super::progress::Progress;
use super::target::{Columns, Target};

/// Rows of one statement, at least one.
struct Batch {
    rows: Vec<Record>,
    bytes: usize,
}

impl Batch {
    fn line(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.line)
    }

    fn last_line(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.line)
    }
}

fn bytes_of(row: &Record) -> usize {
    row.fields.iter().map(|field| size_of::<Vec<u8>>() + field.as_ref().map_or(0, Vec::len)).sum()
}

/// The rows of a file, in batches.
struct Batches<R> {
    reader: Reader<R>,
    /// The row that did not fit into the batch before.
    next: Option<Record>,
    /// Why there are no more.
    ended: Option<Result<(), Trouble>>,
}

impl<R: BufRead> Batches<R> {
    /// The next rows; none when they are at their end, which may be a broken row.
    fn next(&mut self, target: &Target) -> Option<Batch> {
        let mut batch = Batch { rows: Vec::new(), bytes: 0 };
        while let Some(row) = self.next.take().or_else(|| self.row(target)) {
            let bytes = bytes_of(&row);
            let full = batch.rows.len() >= STATEMENT_ROWS_MAX || batch.bytes + bytes > SHARED_BYTES_MAX;
            if !batch.rows.is_empty() && (full || !target.shares(&batch.rows, &row)) {
                self.next = Some(row);
                break;
            }
            batch.bytes += bytes;
            batch.rows.push(row);
        }
        (!batch.rows.is_empty()).then_some(batch)
    }

    fn row(&mut self, target: &Target) -> Option<Record> {
        if self.ended.is_some() {
            return None;
        }
        let row = self.reader.record().and_then(|row| match row {
            Some(row) => target.check(&row).map(|()| Some(row)),
            None => Ok(None),
        });
        match row {
            Ok(Some(row)) => return Some(row),
            Ok(None) => self.ended = Some(Ok(())),
            Err(trouble) => self.ended = Some(Err(trouble)),
        }
        None
    }
}

/// A copy under way.
struct Copy<'a> {
    client: &'a mut Client,
    target: Target,
    stop: &'a AtomicBool,
    /// Sent, and not answered.
    window: VecDeque<Batch>,
    window_bytes: usize,
    /// Rows that are known to be written.
    written: u64,
    /// Of them, how many stand behind the row at which the copy has ended.
    behind: u64,
}

/// Copies, and says how many rows. `name` is that of the file, `size` its bytes if they are known.
pub(super) fn run(
    client: &mut Client,
    copy: &CopyIn,
    (name, size): (&str, Option<u64>),
    input: &mut dyn BufRead,
    stop: &AtomicBool,
) -> Result<u64, Trouble> {
    let placed = |trouble: Trouble| match trouble {
        Trouble::Local(what) => Trouble::Local(format!("{name}, {what}")),
        other => Trouble::Local(format!("{name}: {other}")),
    };
    let columns = Columns::ask(client, &copy.table)?;
    let mut reader = Reader::new(input);
    let header = match copy.header {
        false => None,
        true => {
            let missing = || {
                Trouble::Local("line 1: there is no header; write noheader if there shall be none".to_owned())
            };
            Some(reader.record().and_then(|header| header.ok_or_else(missing)).map_err(placed)?)
        }
    };
    let target = Target::new(&columns, copy, header.as_ref());
    let target = target.map_err(|trouble| match &header {
        Some(header) => Trouble::Local(format!("{name}, line {}: {trouble}", header.line)),
        None => trouble,
    })?;
    let mut batches = Batches { reader, next: None, ended: None };
    let window = VecDeque::new();
    let mut copy = Copy { client, target, stop, window, window_bytes: 0, written: 0, behind: 0 };
    let copied = copy.copy(&mut batches, &Progress::new(size, false));
    let count = copy.written;
    copied.map(|()| count).map_err(|trouble| match (count, copy.behind) {
        (0, _) => Trouble::Local(format!("{}\nno row is written", placed(trouble))),
        (_, 0) => Trouble::Local(format!("{}\n{count} rows are written", placed(trouble))),
        (_, behind) => Trouble::Local(format!(
            "{}\n{count} rows are written, {behind} of them behind it",
            placed(trouble)
        )),
    })
}

impl Copy<'_> {
    fn copy<R: BufRead>(&mut self, batches: &mut Batches<R>, progress: &Progress) -> Result<(), Trouble> {
        loop {
            let stopped = self.stop.load(Ordering::Relaxed);
            let more = !stopped && self.fill(batches)?;
            // Half of it, so that both sides have something to do.
            self.settle_down_to(if more { WINDOW_STATEMENTS / 2 } else { 0 })?;
            progress.show(self.written, batches.reader.bytes());
            if stopped {
                return Err(Trouble::Interrupted);
            }
            if !more {
                return batches.ended.take().unwrap_or(Ok(()));
            }
        }
    }

    /// Sends as much as may be under way. Whether there is more to come.
    fn fill<R: BufRead>(&mut self, batches: &mut Batches<R>) -> Result<bool, Trouble> {
        let mut more = true;
        while more && self.window.len() < WINDOW_STATEMENTS && self.window_bytes < WINDOW_BYTES {
            match batches.next(&self.target) {
                Some(batch) => self.push(batch)?,
                None => more = false,
            }
        }
        Ok(more)
    }

    /// Puts a statement behind those that are under way.
    fn push(&mut self, batch: Batch) -> Result<(), Trouble> {
        if self.window.is_empty() {
            // Patience is for a host that goes while others are there; at the very beginning it shows at once that nobody is.
            self.connect()?;
        }
        let words = self.target.statement(&batch.rows);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.client.link()?.push(&words);
        self.window_bytes += batch.bytes;
        self.window.push_back(batch);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + COPY_PATIENCE;
        loop {
            match self.client.link() {
                Ok(_) => return Ok(()),
                Err(trouble @ Trouble::Unreachable(_)) => self.pause(deadline, trouble)?,
                Err(other) => return Err(other),
            }
        }
    }

    /// Waits a moment, unless that was done long enough.
    fn pause(&self, deadline: Instant, trouble: Trouble) -> Result<(), Trouble> {
        if self.stop.load(Ordering::Relaxed) || Instant::now() >= deadline {
            return Err(trouble);
        }
        std::thread::sleep(COPY_PAUSE);
        Ok(())
    }

    /// The answer to the oldest statement under way.
    fn receive(&mut self) -> Result<(), Trouble> {
        match self.client.link()?.reply() {
            Ok(value) => done(value),
            Err(error) => Err(self.client.lost(&error)),
        }
    }

    /// Waits until no more than so many statements are under way.
    fn settle_down_to(&mut self, count: usize) -> Result<(), Trouble> {
        if self.window.is_empty() {
            return Ok(());
        }
        let mut answer = match self.client.link()?.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.client.lost(&error)),
        };
        while self.window.len() > count {
            answer = answer.and_then(|()| self.receive());
            match std::mem::replace(&mut answer, Ok(())) {
                Ok(()) => {
                    let batch = self.window.pop_front().expect("there is more than count");
                    self.window_bytes -= batch.bytes;
                    self.written += batch.rows.len() as u64;
                }
                Err(trouble) => return self.on_failure(trouble),
            }
        }
        Ok(())
    }

    /// The oldest statement under way was not done: waits for the others, and does anew what may be.
    fn on_failure(&mut self, first: Trouble) -> Result<(), Trouble> {
        let mut lost = matches!(first, Trouble::Lost { .. }).then(|| first.clone());
        let mut outcomes = vec![Err(first)];
        while outcomes.len() < self.window.len() {
            let outcome = match &lost {
                Some(trouble) => Err(trouble.clone()),
                None => self.receive(),
            };
            if let Err(trouble @ Trouble::Lost { .. }) = &outcome {
                lost = Some(trouble.clone());
            }
            outcomes.push(outcome);
        }
        let window: Vec<Batch> = std::mem::take(&mut self.window).into();
        self.window_bytes = 0;
        let rows_done = |from: usize| -> u64 {
            let done = window.iter().zip(&outcomes).skip(from).filter(|(_, outcome)| outcome.is_ok());
            done.map(|(batch, _)| batch.rows.len() as u64).sum()
        };
        self.written += rows_done(0);
        for (place, (batch, outcome)) in window.iter().zip(&outcomes).enumerate() {
            let unsure = matches!(outcome, Err(Trouble::Lost { .. } | Trouble::Uncertain(_)));
            let again = match self.target.repeatable {
                true => self.again(batch, outcome.is_err()),
                false if unsure => Err(unsure_rows(&window[place..], &outcomes[place..])),
                false if outcome.is_err() => self.again(batch, true),
                false => Ok(()),
            };
            if let Err(trouble) = again {
                self.behind = rows_done(place + 1);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Does a statement anew; row by row, if it is refused. `counts`: its rows are not among those that are written.
    fn again(&mut self, batch: &Batch, counts: bool) -> Result<(), Trouble> {
        let whole = self.patiently(&batch.rows);
        match whole {
            Ok(()) => self.written += if counts { batch.rows.len() as u64 } else { 0 },
            Err(Trouble::Refused { .. }) if batch.rows.len() > 1 => {
                for row in &batch.rows {
                    self.patiently(std::slice::from_ref(row))?;
                    self.written += u64::from(counts);
                }
            }
            Err(trouble) => return Err(trouble),
        }
        Ok(())
    }

    /// Does a statement, at whichever host does it. An error names the line.
    fn patiently(&mut self, rows: &[Record]) -> Result<(), Trouble> {
        let words = self.target.statement(rows);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let deadline = Instant::now() + COPY_PATIENCE;
        let line = rows.first().map_or(0, |row| row.line);
        loop {
            let trouble = match self.client.call(&words, false).and_then(done) {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            match &trouble {
                Trouble::Lost { .. } | Trouble::Uncertain(_) if self.target.repeatable => {}
                Trouble::Busy(_) | Trouble::Unreachable(_) => self.client.leave(),
                // The statement is taken apart where it has several rows.
                Trouble::Refused { .. } if rows.len() > 1 => return Err(trouble),
                Trouble::Lost { .. } | Trouble::Uncertain(_) => {
                    return Err(Trouble::Local(format!(
                        "line {line}: the row may or may not be written: {trouble}"
                    )))
                }
                _ => return Err(Trouble::Local(format!("line {line}: {trouble}"))),
            }
            self.pause(deadline, Trouble::Local(format!("line {line}: {trouble}")))?;
        }
    }
}

/// What it means for rows that a statement was answered.
fn done(value: super::link::Value) -> Result<(), Trouble> {
    match Answer::read(value)? {
        Answer::Count(_) => Ok(()),
        _ => Err(Trouble::Local("the answer is no number of rows: is this a host of Synod?".to_owned())),
    }
}

/// Says which rows nobody knows about, from the first such statement on.
fn unsure_rows(window: &[Batch], outcomes: &[Result<(), Trouble>]) -> Trouble {
    let is_unsure =
        |outcome: &Result<(), Trouble>| matches!(outcome, Err(Trouble::Lost { .. } | Trouble::Uncertain(_)));
    let last = outcomes.iter().rposition(is_unsure).unwrap_or(0);
    let why = outcomes
        .first()
        .and_then(|outcome| outcome.as_ref().err())
        .map_or(String::new(), ToString::to_string);
    let (from, to) = (window.first().map_or(0, Batch::line), window.get(last).map_or(0, Batch::last_line));
    Trouble::Local(format!(
        "line {from}: rows from this line to line {to} may or may not be written, which INSERT must not repeat: {why}"
    ))
}
