//! Start-up: the newest manifest says which tables there are; each is opened, and what nobody names is removed.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use reactor::mutants::planted;
use reactor::{AlignedBuf, DiskError, FileId, Op, OpId, Outcome, BLOCK_BYTES};

use crate::envelope::{self, BlockKind};
use crate::error::Fault;
use crate::limits::OPENING_MAX;
use crate::manifest::{self, Contents};
use crate::names::{self, Name};
use crate::ranges::Ranges;
use crate::table::footer::{Footer, FOOTER_BYTES};
use crate::table::{SectionRef, Table, TableMeta};

/// How much of a table's end is read at first: in nearly all cases what is needed.
const TAIL_BYTES: u64 = 64 << 10;

/// What an operation of recovery is.
#[derive(Debug)]
enum Step {
    List,
    OpenManifest,
    /// What is read must not be what a power failure could take back: files are removed because of it.
    SyncManifest(FileId, u64),
    SyncNames(FileId, u64),
    ReadManifest(FileId),
    Clean,
    OpenTable(Opening),
    /// Where the read began.
    ReadTail(Opening, u64),
}

/// A table on its way to being open.
#[derive(Debug)]
struct Opening {
    level: u8,
    meta: TableMeta,
    file: Option<FileId>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The number of the newest manifest.
    pub number: u64,
    pub contents: Contents,
    /// Level and table.
    pub tables: Vec<(u8, Rc<Table>)>,
    pub orphans: u64,
    pub fresh: bool,
}

/// Recovery under way.
#[derive(Default)]
pub(crate) struct Recovery {
    ops: BTreeMap<OpId, Step>,
    queue: VecDeque<(Op, Step)>,
    files: Vec<(String, u64)>,
    pub found: Found,
    is_over: bool,
}

impl Recovery {
    pub fn new() -> Recovery {
        Recovery { queue: VecDeque::from([(Op::List, Step::List)]), ..Recovery::default() }
    }

    pub fn owns(&self, op: OpId) -> bool {
        self.ops.contains_key(&op)
    }

    /// The next operation, if there is one to be started now. The owner says under which name it was submitted.
    pub fn next_op(&mut self) -> Option<(Op, impl FnOnce(&mut Recovery, OpId) + use<>)> {
        if self.ops.len() >= OPENING_MAX {
            return None;
        }
        let (op, step) = self.queue.pop_front()?;
        Some((op, move |recovery: &mut Recovery, id: OpId| drop(recovery.ops.insert(id, step))))
    }

    /// Whether everything is found.
    pub fn is_over(&self) -> bool {
        self.is_over && self.ops.is_empty() && self.queue.is_empty()
    }

    /// An operation ended.
    pub fn done(&mut self, op: OpId, result: Result<Outcome, DiskError>) -> Result<(), Fault> {
        let Some(step) = self.ops.remove(&op) else { return Ok(()) };
        let missing = |name: &str, error: &DiskError| Fault::Damage {
            file: name.to_owned(),
            offset: 0,
            message: format!("the manifest names it: {}", error.message),
        };
        let outcome = match (result, &step) {
            (Ok(outcome), _) => outcome,
            (Err(error), Step::OpenTable(opening)) => {
                return Err(missing(&names::table(opening.meta.id), &error))
            }
            (Err(error), _) => return Err(Fault::Io { message: error.message }),
        };
        match (step, outcome) {
            (Step::List, Outcome::Listed { files }) => self.on_list(files),
            (Step::OpenManifest, Outcome::Opened { file, len }) if planted(603) => {
                self.read_manifest(file, len)
            }
            (Step::OpenManifest, Outcome::Opened { file, len }) => {
                self.queue.push_back((Op::Sync { file }, Step::SyncManifest(file, len)));
            }
            (Step::SyncManifest(file, len), _) => {
                self.queue.push_back((Op::SyncDir, Step::SyncNames(file, len)));
            }
            (Step::SyncNames(file, len), _) => self.read_manifest(file, len),
            (Step::ReadManifest(file), Outcome::Read { buf, bytes }) => {
                let name = names::manifest(self.found.number);
                let bytes = &buf.as_slice()[..bytes / BLOCK_BYTES * BLOCK_BYTES];
                self.found.contents = manifest::read(&name, self.found.number, bytes)?;
                self.queue.push_back((Op::Close { file }, Step::Clean));
                self.on_manifest();
            }
            (Step::Clean, _) => {}
            (Step::OpenTable(opening), Outcome::Opened { file, len }) => {
                self.on_opened(opening, file, len)?
            }
            (Step::ReadTail(opening, start), Outcome::Read { buf, bytes }) => {
                self.on_tail(opening, start, &buf.as_slice()[..bytes])?;
            }
            (step, outcome) => {
                return Err(Fault::Io { message: format!("{step:?} ended as {outcome:?}") });
            }
        }
        Ok(())
    }

    fn on_list(&mut self, files: Vec<(String, u64)>) {
        let number = |(name, _): &(String, u64)| match names::parse(name) {
            Name::Manifest(number) => Some(number),
            _ => None,
        };
        let newest = files.iter().filter_map(number).max();
        self.files = files;
        match newest {
            Some(number) => {
                self.found.number = number;
                let name = names::manifest(number);
                self.queue.push_back((Op::Open { name, create: false }, Step::OpenManifest));
            }
            None => {
                self.found.fresh = true;
                self.found.contents.next_id = 1;
                self.on_manifest();
            }
        }
    }

    fn read_manifest(&mut self, file: FileId, len: u64) {
        // A manifest that somebody emptied is read like any other, for its reader knows what to say about it.
        let buf = AlignedBuf::zeroed((len as usize).max(BLOCK_BYTES).next_multiple_of(BLOCK_BYTES));
        self.queue.push_back((Op::Read { file, offset: 0, buf }, Step::ReadManifest(file)));
    }

    /// The manifest is read: what nobody names goes, the tables are opened.
    fn on_manifest(&mut self) {
        for (name, _) in std::mem::take(&mut self.files) {
            let goes = match names::parse(&name) {
                Name::Table(id) => {
                    // No number is given out twice, even if its file was never named.
                    self.found.contents.next_id = self.found.contents.next_id.max(id + 1);
                    !self.found.contents.tables.contains_key(&id)
                }
                Name::Manifest(number) => number != self.found.number,
                Name::Unfinished => true,
                Name::Foreign => false,
            };
            if goes {
                self.found.orphans += 1;
                self.queue.push_back((Op::Remove { name }, Step::Clean));
            }
        }
        if self.found.orphans > 0 {
            self.queue.push_back((Op::SyncDir, Step::Clean));
        }
        for (level, meta) in self.found.contents.tables.clone().into_values() {
            let name = names::table(meta.id);
            let opening = Opening { level, meta, file: None };
            self.queue.push_back((Op::Open { name, create: false }, Step::OpenTable(opening)));
        }
        self.is_over = true;
    }

    fn on_opened(&mut self, opening: Opening, file: FileId, len: u64) -> Result<(), Fault> {
        if len != opening.meta.bytes || len < BLOCK_BYTES as u64 {
            let message = format!("it has {len} bytes, the manifest says {}", opening.meta.bytes);
            return Err(Fault::Damage { file: names::table(opening.meta.id), offset: 0, message });
        }
        let start = len.saturating_sub(TAIL_BYTES) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let opening = Opening { file: Some(file), ..opening };
        self.read_tail(opening, file, start);
        Ok(())
    }

    fn read_tail(&mut self, opening: Opening, file: FileId, start: u64) {
        let buf = AlignedBuf::zeroed((opening.meta.bytes - start) as usize);
        self.queue.push_back((Op::Read { file, offset: start, buf }, Step::ReadTail(opening, start)));
    }

    fn on_tail(&mut self, opening: Opening, start: u64, tail: &[u8]) -> Result<(), Fault> {
        let (meta, name) = (&opening.meta, names::table(opening.meta.id));
        let damage = |offset: u64, message: String| Fault::Damage { file: name.clone(), offset, message };
        if tail.len() as u64 != meta.bytes - start {
            return Err(damage(start, format!("{} bytes of its end were read", tail.len())));
        }
        let footer = Footer::decode(&tail[tail.len() - FOOTER_BYTES..], &name, meta.bytes)?;
        if footer.table != meta.id {
            return Err(damage(0, format!("it is table {:x}", footer.table)));
        }
        let from = match footer.ranges.bytes {
            0 => footer.sections.offset,
            _ => footer.sections.offset.min(footer.ranges.offset),
        };
        let file = opening.file.expect("a table is read when it is open");
        if from < start {
            let from = from / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
            self.read_tail(opening, file, from);
            return Ok(());
        }
        let block = |extent: crate::table::footer::Extent, kind: BlockKind| {
            let at = (extent.offset - start) as usize;
            let bytes = tail.get(at..at + extent.bytes as usize).unwrap_or_default();
            envelope::open(bytes, kind, (meta.id, extent.offset))
                .map_err(|error| damage(extent.offset, error.to_string()))
        };
        let raw = block(footer.sections, BlockKind::Sections)?;
        let sections = SectionRef::decode_all(&raw, meta.bytes);
        let sense = || damage(footer.sections.offset, "the block makes no sense".to_owned());
        let sections = sections.ok_or_else(sense)?;
        let mut ranges = Ranges::default();
        // A table that was taken in may have a deletion that had nothing to hide: the manifest does not count it.
        if footer.ranges.bytes > 0 && meta.ranges > 0 {
            let raw = block(footer.ranges, BlockKind::Ranges)?;
            ranges = Ranges::decode(&raw).ok_or_else(sense)?;
            ranges.shift(meta.base);
        }
        let table = Table { meta: opening.meta, file, sections, ranges, is_damaged: Cell::new(false) };
        self.found.tables.push((opening.level, Rc::new(table)));
        Ok(())
    }
}
