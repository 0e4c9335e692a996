//! The file of a table in the making: chunks on their way to the disk.

use std::collections::VecDeque;

use reactor::mutants::planted;
use reactor::{AlignedBuf, FileId, Op, Outcome};

use crate::error::Fault;
use crate::limits::CHUNKS_MAX;
use crate::names;
use crate::table::build::{BuildOptions, Built, TableBuilder};

/// What an operation of a sink was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinkOp {
    Open,
    Write,
    Sync,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Opening,
    Open,
    Syncing,
    Done,
}

/// A table, and its file.
pub(crate) struct Sink {
    pub builder: TableBuilder,
    stage: Stage,
    file: Option<FileId>,
    chunks: VecDeque<(u64, AlignedBuf)>,
    writing: usize,
    built: Option<Built>,
}

impl Sink {
    pub fn new(id: u64, options: BuildOptions) -> Sink {
        Sink {
            builder: TableBuilder::new(id, options),
            stage: Stage::New,
            file: None,
            chunks: VecDeque::new(),
            writing: 0,
            built: None,
        }
    }

    pub fn id(&self) -> u64 {
        self.builder.id()
    }

    /// Whether entries may be added now: the disk keeps up.
    pub fn has_room(&self) -> bool {
        self.built.is_none() && self.chunks.len() + self.writing < CHUNKS_MAX
    }

    /// Takes what is ready from the builder. To be called after entries were added.
    pub fn gather(&mut self) {
        while let Some(chunk) = self.builder.next_chunk(self.built.is_some()) {
            self.chunks.push_back(chunk);
        }
    }

    /// All entries are in: the rest of the table goes out.
    pub fn finish(&mut self, ranges: crate::ranges::Ranges) {
        assert!(self.built.is_none(), "a table ends once");
        self.built = Some(self.builder.finish(ranges));
        self.gather();
    }

    /// The next operation, if there is one to be started now.
    pub fn next_op(&mut self) -> Option<(Op, SinkOp)> {
        match self.stage {
            Stage::New => {
                self.stage = Stage::Opening;
                Some((Op::Open { name: names::table(self.id()), create: true }, SinkOp::Open))
            }
            Stage::Open => {
                let file = self.file?;
                if let Some((offset, buf)) = self.chunks.pop_front() {
                    self.writing += 1;
                    return Some((Op::Write { file, offset, buf, sync: false }, SinkOp::Write));
                }
                if self.built.is_none() || self.writing > 0 {
                    return None;
                }
                if planted(604) {
                    self.stage = Stage::Done;
                    return None;
                }
                self.stage = Stage::Syncing;
                Some((Op::Sync { file }, SinkOp::Sync))
            }
            Stage::Opening | Stage::Syncing | Stage::Done => None,
        }
    }

    /// An operation ended well.
    pub fn done(&mut self, op: SinkOp, outcome: Outcome) -> Result<(), Fault> {
        match (op, outcome) {
            (SinkOp::Open, Outcome::Opened { file, .. }) => {
                self.file = Some(file);
                self.stage = Stage::Open;
            }
            (SinkOp::Write, Outcome::Written { .. }) => self.writing -= 1,
            (SinkOp::Sync, Outcome::Done) => self.stage = Stage::Done,
            (op, outcome) => {
                return Err(Fault::Io { message: format!("{op:?} of a table ended as {outcome:?}") });
            }
        }
        Ok(())
    }

    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub fn file(&self) -> Option<FileId> {
        self.file
    }

    /// What was made, once it is durable.
    pub fn into_built(self) -> (Built, FileId) {
        assert!(self.is_done(), "a table is used when it is durable");
        (self.built.expect("a table that is done was finished"), self.file.expect("and its file is open"))
    }
}
