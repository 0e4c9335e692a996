//! The manifest's file: edits on their way to the disk, one at a time, and new manifests.

use std::collections::VecDeque;
use std::rc::Rc;

use reactor::mutants::planted;
use reactor::{DiskError, DiskErrorKind, FileId, Nanos, Op, Outcome};

use crate::error::Fault;
use crate::limits::FULL_RETRY_NS;
use crate::manifest::{self, Contents, Edit, Sealed};
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

impl Planned {
    /// Bytes that it takes in the manifest.
    fn bytes(&self) -> u64 {
        manifest::edit_bytes(&self.edit)
    }
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
    /// Bytes that were set aside for the manifest.
    reserved: u64,
    /// And for the one that is being made.
    reserving: u64,
    /// Bytes of its first edit.
    first_bytes: u64,
    /// What the manifest says, with the edit that is on its way.
    contents: Contents,
    queue: VecDeque<Planned>,
    flying: Option<Planned>,
    anew: Option<Anew>,
    is_open: bool,
    /// Files that are of no use any more.
    cleaning: VecDeque<(Op, LogOp)>,
    is_cleaning: bool,
    /// Whether the disk had no room for a new manifest.
    pub is_full: bool,
    /// Why nothing goes on any more.
    fault: Option<Fault>,
}

impl Log {
    /// Goes on from what was found, in a new manifest of the next number, which is begun at once; where there was none, with the first edit.
    pub fn new(core: u32, bytes_max: u64, number: u64, contents: Contents) -> Log {
        Log {
            core,
            bytes_max,
            file: None,
            number,
            offset: 0,
            sequence: 0,
            crc: 0,
            reserved: 0,
            reserving: 0,
            first_bytes: 0,
            contents,
            queue: VecDeque::new(),
            flying: None,
            anew: (number > 0).then_some(Anew::Next(LogOp::Open, None)),
            is_open: number == 0,
            cleaning: VecDeque::new(),
            is_cleaning: false,
            is_full: false,
            fault: None,
        }
    }

    /// Whether edits are taken, if not written at once: there is a manifest, or the first edit begins it, or it is begun when there is space.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// When a manifest for which the disk had no room is begun again.
    pub fn retry_at(&self) -> Option<Nanos> {
        match self.anew {
            Some(Anew::Later(at)) => Some(at),
            _ => None,
        }
    }

    /// Whether an edit would have to wait.
    pub fn is_busy(&self) -> bool {
        self.flying.is_some() || !self.queue.is_empty() || self.is_beginning()
    }

    /// Whether a new manifest is being made.
    fn is_beginning(&self) -> bool {
        matches!(self.anew, Some(Anew::Next(..) | Anew::Flying(_)))
    }

    /// Whether an edit that is on its way takes this table from the tree, or from its level.
    pub fn removes(&self, id: u64) -> bool {
        let planned = self.flying.iter().chain(&self.queue);
        planned.flat_map(|planned| &planned.edit.removed).any(|(_, other)| *other == id)
    }

    /// Why nothing goes on any more, once.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    pub fn push(&mut self, planned: Planned) {
        self.queue.push_back(planned);
    }

    /// The next operation, if there is one to be started now.
    pub fn next_op(&mut self, now: Nanos) -> Option<(Op, LogOp)> {
        if self.flying.is_none() {
            if self.wants_anew() {
                self.anew = Some(Anew::Next(LogOp::Open, None));
            }
            if let Some(op) = self.next_anew(now).or_else(|| self.next_append()) {
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

    /// Whether a new manifest is due: this one has grown long, or has no room for what comes next, or there is none for it.
    fn wants_anew(&self) -> bool {
        if self.anew.is_some() || self.file.is_none() {
            return self.anew.is_none() && !self.queue.is_empty();
        }
        let has_room =
            self.queue.front().is_none_or(|planned| self.offset + planned.bytes() <= self.reserved);
        self.offset > self.bytes_max && self.offset > 2 * self.first_bytes || !has_room
    }

    fn next_append(&mut self) -> Option<(Op, LogOp)> {
        let (file, planned) = (self.file?, self.queue.front()?);
        // While a new manifest is begun, what it says is what is durable; and where there is no space for one, the old one's may do.
        if self.is_beginning() || self.offset + planned.bytes() > self.reserved || self.fault.is_some() {
            return None;
        }
        let planned = self.queue.pop_front()?;
        // Looked at before it is written: what does not fit must never be durable.
        if !self.contents.apply(planned.edit.clone()) {
            let message = format!("an edit does not fit what is there: {:?}", planned.purpose);
            self.fault =
                Some(Fault::Damage { file: names::manifest(self.number), offset: self.offset, message });
            return None;
        }
        let sealed = manifest::seal(&planned.edit, (self.number, self.sequence), self.crc, self.core);
        self.flying = Some(planned);
        self.crc = sealed.crc;
        self.sequence += sealed.frames;
        let offset = self.offset;
        self.offset += sealed.buf.len() as u64;
        Some((Op::Write { file, offset, buf: sealed.buf, sync: true }, LogOp::Append))
    }

    /// All that it says, for the manifest that comes next.
    fn seal_all(&self) -> Sealed {
        manifest::seal(&self.contents.to_edit(), (self.number + 1, 0), 0, self.core)
    }

    fn next_anew(&mut self, now: Nanos) -> Option<(Op, LogOp)> {
        let (kind, file) = match &self.anew {
            Some(Anew::Next(kind, file)) => (*kind, *file),
            // The file of the last try has to be gone.
            Some(Anew::Later(at)) if *at <= now && self.cleaning.is_empty() && !self.is_cleaning => {
                (LogOp::Open, None)
            }
            _ => return None,
        };
        let number = self.number + 1;
        let op = match (kind, file) {
            (LogOp::Open, _) => Op::Open { name: names::unfinished(number), create: true },
            (LogOp::Reserve, Some(file)) => {
                // Room for as much again, and for what waits.
                let waits: u64 = self.queue.iter().map(Planned::bytes).sum();
                let bytes = (2 * self.bytes_max).max(2 * self.seal_all().buf.len() as u64) + waits;
                self.reserving = bytes;
                Op::Preallocate { file, bytes }
            }
            (LogOp::WriteAll, Some(file)) => {
                Op::Write { file, offset: 0, buf: self.seal_all().buf, sync: false }
            }
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
        let sealed = self.seal_all();
        if let Some(old) = self.file {
            self.cleaning.push_back((Op::Close { file: old }, LogOp::Close));
        }
        if self.number > 0 {
            self.cleaning.push_back((Op::Remove { name: names::manifest(self.number) }, LogOp::Remove));
        }
        self.file = file;
        self.number += 1;
        self.first_bytes = sealed.buf.len() as u64;
        (self.offset, self.sequence, self.crc) = (self.first_bytes, sealed.frames, sealed.crc);
        self.reserved = self.reserving;
        self.anew = None;
        (self.is_open, self.is_full) = (true, false);
    }

    /// There is no space for a new manifest: the old one has room for a while, and if there is none, no edit is written before there is space.
    fn give_way(&mut self, now: Nanos) {
        if let Some(Anew::Flying(Some(file))) = self.anew {
            self.cleaning.push_back((Op::Close { file }, LogOp::Close));
        }
        self.cleaning.push_back((Op::Remove { name: names::unfinished(self.number + 1) }, LogOp::Remove));
        self.anew = Some(Anew::Later(now + FULL_RETRY_NS));
        (self.is_open, self.is_full) = (true, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableMeta;

    /// A manifest that says that table 1 is in level 5, and is open.
    fn open() -> Log {
        let meta = TableMeta { id: 1, end: [9].into(), ..TableMeta::default() };
        let mut contents = Contents::default();
        assert!(contents.apply(Edit { added: vec![(5, meta)], next_id: 2, ..Edit::default() }));
        let mut log = Log::new(0, 4096, 1, contents);
        while let Some((op, kind)) = log.next_op(0) {
            let outcome = match op {
                Op::Open { .. } => Outcome::Opened { file: FileId(3), len: 0 },
                Op::Write { buf, .. } => Outcome::Written { buf },
                _ => Outcome::Done,
            };
            assert!(log.done(kind, Ok(outcome), 0).unwrap().is_none());
        }
        assert!(log.is_open() && !log.is_busy());
        log
    }

    fn planned(added: Option<u8>, removed: u8, purpose: Purpose) -> Planned {
        let meta = TableMeta { id: 1, end: [9].into(), ..TableMeta::default() };
        let added = added.map(|level| (level, meta)).into_iter().collect();
        let edit = Edit { added, removed: vec![(removed, 1)], flushed_to: None, next_id: 2 };
        Planned { edit, tables: Vec::new(), purpose }
    }

    #[test]
    fn what_is_on_its_way_down_is_known_to_be() {
        let mut log = open();
        assert!(!log.removes(1));
        log.push(planned(Some(6), 5, Purpose::Move));
        assert!(log.removes(1));
        let (_, kind) = log.next_op(0).unwrap();
        assert!(log.removes(1) && !log.removes(2) && log.is_busy());
        let buf = reactor::AlignedBuf::default();
        assert!(log.done(kind, Ok(Outcome::Written { buf }), 0).unwrap().is_some());
        assert!(!log.removes(1));
    }

    #[test]
    fn an_edit_that_does_not_fit_is_never_written() {
        let mut log = open();
        log.push(planned(None, 6, Purpose::Drop));
        assert!(log.next_op(0).is_none());
        assert!(matches!(log.take_fault(), Some(Fault::Damage { .. })));
    }
}
