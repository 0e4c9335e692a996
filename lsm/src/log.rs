//! The manifest's file: edits on their way to the disk, one at a time, and new manifests.

use std::collections::VecDeque;
use std::rc::Rc;

use reactor::mutants::planted;
use reactor::{AlignedBuf, DiskError, DiskErrorKind, FileId, Nanos, Op, Outcome};

use crate::error::Fault;
use crate::limits::FULL_RETRY_NS;
use crate::manifest::{self, Contents, Edit};
use crate::names;
use crate::table::Table;

/// What an edit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The job of this number ends with it.
    Job(u64),
    /// A table goes a level down.
    Move,
    /// Tables of which nothing is visible go.
    Drop,
}

/// An edit, and the tables that it adds.
#[derive(Debug)]
pub(crate) struct Planned {
    pub edit: Edit,
    pub tables: Vec<Rc<Table>>,
    pub purpose: Purpose,
}

/// What an operation of the manifest was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOp {
    Append,
    Open,
    Reserve,
    WriteAll,
    /// Makes the length that was set aside durable too.
    Sync,
    Rename,
    SyncDir,
    Close,
    Remove,
}

impl LogOp {
    /// Whether the old manifest is still the manifest for certain.
    fn is_before_rename(self) -> bool {
        matches!(self, LogOp::Open | LogOp::Reserve | LogOp::WriteAll | LogOp::Sync)
    }
}

/// How far a new manifest is.
#[derive(Debug)]
enum Anew {
    /// What is to be done next with the new file.
    Next(LogOp, Option<FileId>),
    Flying(Option<FileId>),
    /// The disk was full. It is tried again at this time.
    Later(Nanos),
}

/// The manifest.
#[derive(Debug)]
pub(crate) struct Log {
    core: u32,
    bytes_max: u64,
    file: Option<FileId>,
    number: u64,
    offset: u64,
    sequence: u64,
    crc: u32,
    /// What the manifest says, with all edits that are durable.
    pub contents: Contents,
    queue: VecDeque<Planned>,
    flying: Option<Planned>,
    anew: Option<Anew>,
    /// Files that are of no use any more.
    cleaning: VecDeque<(Op, LogOp)>,
    is_cleaning: bool,
    /// Whether the disk had no room for a new manifest.
    pub is_full: bool,
}

impl Log {
    /// Goes on from what was found; begins a new manifest of the next number at once.
    pub fn new(core: u32, bytes_max: u64, number: u64, contents: Contents) -> Log {
        Log {
            core,
            bytes_max,
            file: None,
            number,
            offset: 0,
            sequence: 0,
            crc: 0,
            contents,
            queue: VecDeque::new(),
            flying: None,
            anew: Some(Anew::Next(LogOp::Open, None)),
            cleaning: VecDeque::new(),
            is_cleaning: false,
            is_full: false,
        }
    }

    /// Whether there is a manifest that edits can go to.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether edits are on their way.
    pub fn is_busy(&self) -> bool {
        self.flying.is_some() || !self.queue.is_empty()
    }

    pub fn push(&mut self, planned: Planned) {
        self.queue.push_back(planned);
    }

    /// The next operation, if there is one to be started now.
    pub fn next_op(&mut self, now: Nanos) -> Option<(Op, LogOp)> {
        if self.flying.is_none() {
            if let Some(op) = self.next_anew(now) {
                return Some(op);
            }
            if let Some(op) = self.next_append() {
                return Some(op);
            }
        }
        if !self.is_cleaning {
            if let Some((op, kind)) = self.cleaning.pop_front() {
                self.is_cleaning = true;
                return Some((op, kind));
            }
        }
        None
    }

    fn next_append(&mut self) -> Option<(Op, LogOp)> {
        let (file, planned) = (self.file?, self.queue.front()?);
        // While a new manifest is begun, what it says is what is durable.
        if matches!(self.anew, Some(Anew::Next(..) | Anew::Flying(_))) {
            return None;
        }
        let (crc, buf) = manifest::seal(&planned.edit, (self.number, self.sequence), self.crc, self.core);
        if self.offset + buf.len() as u64 > 2 * self.bytes_max {
            self.anew.get_or_insert(Anew::Next(LogOp::Open, None));
            return None;
        }
        self.flying = self.queue.pop_front();
        self.crc = crc;
        let offset = self.offset;
        self.offset += buf.len() as u64;
        Some((Op::Write { file, offset, buf, sync: true }, LogOp::Append))
    }

    fn next_anew(&mut self, now: Nanos) -> Option<(Op, LogOp)> {
        let all = |log: &Log| {
            let edit = log.contents.to_edit();
            manifest::seal(&edit, (log.number + 1, 0), 0, log.core)
        };
        let grown = self.offset > self.bytes_max && self.anew.is_none();
        if grown && self.offset > 2 * all(self).1.len() as u64 {
            self.anew = Some(Anew::Next(LogOp::Open, None));
        }
        let (kind, file) = match &self.anew {
            Some(Anew::Next(kind, file)) => (*kind, *file),
            Some(Anew::Later(at)) if *at <= now => (LogOp::Open, None),
            _ => return None,
        };
        let number = self.number + 1;
        let op = match (kind, file) {
            (LogOp::Open, _) => Op::Open { name: names::unfinished(number), create: true },
            (LogOp::Reserve, Some(file)) => {
                let bytes = (2 * self.bytes_max).max(2 * all(self).1.len() as u64);
                Op::Preallocate { file, bytes }
            }
            (LogOp::WriteAll, Some(file)) => Op::Write { file, offset: 0, buf: all(self).1, sync: false },
            (LogOp::Sync, Some(file)) => Op::Sync { file },
            (LogOp::Rename, _) => Op::Rename { from: names::unfinished(number), to: names::manifest(number) },
            _ => Op::SyncDir,
        };
        self.anew = Some(Anew::Flying(file));
        Some((op, kind))
    }

    /// An operation ended. What is durable now comes back.
    pub fn done(
        &mut self,
        kind: LogOp,
        result: Result<Outcome, DiskError>,
        now: Nanos,
    ) -> Result<Option<Planned>, Fault> {
        if matches!(kind, LogOp::Close | LogOp::Remove) {
            // A file that cannot be removed now is removed at the next start.
            self.is_cleaning = false;
            return Ok(None);
        }
        let outcome = match result {
            // Once it may have its name, the old one is not to be gone on with.
            Err(error) if error.kind == DiskErrorKind::Full && kind.is_before_rename() => {
                self.give_way(now);
                return Ok(None);
            }
            Err(error) => return Err(Fault::Io { message: error.message }),
            Ok(outcome) => outcome,
        };
        if kind == LogOp::Append {
            let planned = self.flying.take().expect("an edit was on its way");
            self.sequence += 1;
            assert!(self.contents.apply(planned.edit.clone()), "an edit fits what is there");
            return Ok(Some(planned));
        }
        let Some(Anew::Flying(file)) = self.anew else { return Ok(None) };
        self.anew = Some(match (kind, outcome) {
            (LogOp::Open, Outcome::Opened { file, .. }) => Anew::Next(LogOp::Reserve, Some(file)),
            (LogOp::Reserve, _) => Anew::Next(LogOp::WriteAll, file),
            (LogOp::WriteAll, _) => Anew::Next(LogOp::Sync, file),
            (LogOp::Sync, _) => Anew::Next(LogOp::Rename, file),
            (LogOp::Rename, _) if planted(614) => {
                self.switch(file);
                return Ok(None);
            }
            (LogOp::Rename, _) => Anew::Next(LogOp::SyncDir, file),
            (LogOp::SyncDir, _) => {
                self.switch(file);
                return Ok(None);
            }
            (kind, outcome) => return Err(Fault::Io { message: format!("{kind:?} ended as {outcome:?}") }),
        });
        Ok(None)
    }

    /// The new manifest is the manifest.
    fn switch(&mut self, file: Option<FileId>) {
        let (crc, buf) = manifest::seal(&self.contents.to_edit(), (self.number + 1, 0), 0, self.core);
        if let Some(old) = self.file {
            self.cleaning.push_back((Op::Close { file: old }, LogOp::Close));
        }
        if self.number > 0 {
            self.cleaning.push_back((Op::Remove { name: names::manifest(self.number) }, LogOp::Remove));
        }
        self.file = file;
        self.number += 1;
        (self.offset, self.sequence, self.crc) = (AlignedBuf::len(&buf) as u64, 1, crc);
        self.anew = None;
        self.is_full = false;
    }

    /// There is no space for a new manifest: the old one has room for a while, and if there is none, nothing goes on before there is space.
    fn give_way(&mut self, now: Nanos) {
        if let Some(Anew::Flying(Some(file))) = self.anew {
            self.cleaning.push_back((Op::Close { file }, LogOp::Close));
        }
        self.cleaning.push_back((Op::Remove { name: names::unfinished(self.number + 1) }, LogOp::Remove));
        self.anew = Some(Anew::Later(now + FULL_RETRY_NS));
        self.is_full = true;
    }
}
