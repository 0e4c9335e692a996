//! Background work that makes tables: a flush, a compaction, an ingestion.
//!
//! A job reads from its source as fast as the budget lets it, and fills tables one after the other. When all of them are durable, and their
//! names are, its edit goes to the manifest; until then nothing of it counts, and a crash leaves files that nobody names.

use std::cell::Cell;
use std::rc::Rc;

use reactor::{Op, Outcome};

use crate::cache::Cached;
use crate::compact::Compaction;
use crate::error::Fault;
use crate::fetch::{Held, Need};
use crate::flush::Flush;
use crate::ingest::Ingestion;
use crate::manifest::Edit;
use crate::ranges::Ranges;
use crate::sink::{Sink, SinkOp};
use crate::table::build::{BuildOptions, Built};
use crate::table::Table;

/// What an operation of a job was.
#[derive(Clone, Debug)]
pub(crate) enum JobOp {
    /// Of the table of this number.
    Sink(u64, SinkOp),
    /// A read of what the source lacked. How many bytes lie in front of it in the buffer.
    Read(Need, usize),
    SyncDir,
}

/// What a source did with its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It used up its budget, or a table is complete.
    More,
    /// It lacks blocks, or the disk is behind.
    Waits,
    /// All of it is in tables.
    Over,
}

/// Where the tables' entries come from.
pub(crate) enum Source {
    Flush(Flush),
    Compaction(Box<Compaction>),
    Ingestion(Ingestion),
}

/// What a source fills: tables, one after the other.
pub(crate) struct Tables {
    pub options: BuildOptions,
    /// The number of the next one that anybody makes.
    pub next_id: Rc<Cell<u64>>,
    pub current: Option<Sink>,
    /// Those that have all their entries.
    pub ended: Vec<Sink>,
    /// Bytes of entries that went in.
    pub bytes: u64,
}

impl Tables {
    /// Where the next entry goes.
    pub fn current(&mut self) -> &mut Sink {
        let (next_id, options) = (&self.next_id, self.options);
        self.current.get_or_insert_with(|| Sink::new(next_id.replace(next_id.get() + 1), options))
    }

    /// Ends the table that is being filled.
    pub fn end(&mut self, ranges: Ranges) {
        if ranges.is_empty() && self.current.is_none() {
            return;
        }
        self.current();
        if let Some(mut sink) = self.current.take() {
            sink.finish(ranges);
            self.ended.push(sink);
        }
    }

    /// Whether another entry may be added now.
    pub fn has_room(&self) -> bool {
        let ended_waits = self.ended.iter().filter(|sink| !sink.is_done()).count();
        ended_waits < 2 && self.current.as_ref().is_none_or(Sink::has_room)
    }

    pub fn sinks(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.ended.iter_mut().chain(&mut self.current)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Filling,
    /// All entries are in tables, which are on their way.
    Ending,
    SyncingDir,
    /// Its edit may go to the manifest.
    Ready,
}

/// One piece of background work.
pub(crate) struct Job {
    pub source: Source,
    pub tables: Tables,
    stage: Stage,
    pub held: Held,
    /// What the source lacks, and is not asked for yet.
    pub needs: Vec<Need>,
    /// Reads under way.
    pub reading: usize,
    /// Operations under way, reads included.
    pub flying: usize,
    /// It is given up: its files go when its operations have ended.
    pub is_lost: bool,
    /// Its edit is on its way.
    pub is_planned: bool,
}

impl Job {
    pub fn new(source: Source, options: BuildOptions, next_id: Rc<Cell<u64>>) -> Job {
        let tables = Tables { options, next_id, current: None, ended: Vec::new(), bytes: 0 };
        Job {
            source,
            tables,
            stage: Stage::Filling,
            held: Held::default(),
            needs: Vec::new(),
            reading: 0,
            flying: 0,
            is_lost: false,
            is_planned: false,
        }
    }

    /// Whether a call of [`Job::fill`] would get anywhere.
    pub fn can_fill(&self) -> bool {
        let waits = !self.needs.is_empty() || self.reading > 0 || !self.tables.has_room();
        let is_fed = match &self.source {
            Source::Ingestion(ingestion) => ingestion.is_fed(),
            Source::Flush(_) | Source::Compaction(_) => true,
        };
        self.stage == Stage::Filling && !self.is_lost && !waits && is_fed
    }

    /// What a read brought.
    pub fn take_blocks(&mut self, table: u64, blocks: Vec<(u64, Cached)>) {
        let sources = match &self.source {
            Source::Compaction(compaction) => compaction.sources(),
            Source::Flush(_) | Source::Ingestion(_) => 0,
        };
        self.held.renew(table, blocks, 2 * sources);
    }

    /// Moves entries from the source into tables, about so many bytes; says how many it were.
    pub fn fill(&mut self, bytes: u64) -> u64 {
        let before = self.tables.bytes;
        while self.can_fill() && self.tables.bytes - before < bytes {
            let left = bytes - (self.tables.bytes - before);
            let progress = match &mut self.source {
                Source::Flush(flush) => flush.fill(&mut self.tables, left),
                Source::Compaction(compaction) => {
                    compaction.fill(&mut self.tables, &self.held, &mut self.needs, left)
                }
                Source::Ingestion(ingestion) => ingestion.fill(&mut self.tables, left),
            };
            match progress {
                Progress::More => {}
                Progress::Waits => break,
                Progress::Over => self.stage = Stage::Ending,
            }
        }
        self.tables.bytes - before
    }

    /// The next operation to start, if there is one.
    pub fn next_op(&mut self) -> Option<(Op, JobOp)> {
        if self.is_lost {
            return None;
        }
        for sink in self.tables.sinks() {
            let id = sink.id();
            if let Some((op, kind)) = sink.next_op() {
                self.flying += 1;
                return Some((op, JobOp::Sink(id, kind)));
            }
        }
        if self.stage == Stage::Ending && self.tables.ended.iter().all(Sink::is_done) {
            self.stage = Stage::SyncingDir;
            if self.tables.ended.is_empty() {
                self.stage = Stage::Ready;
                return None;
            }
            self.flying += 1;
            return Some((Op::SyncDir, JobOp::SyncDir));
        }
        None
    }

    /// An operation that was no read ended well.
    pub fn done(&mut self, op: JobOp, outcome: Outcome) -> Result<(), Fault> {
        match op {
            JobOp::Sink(id, kind) => {
                let sink =
                    self.tables.sinks().find(|sink| sink.id() == id).expect("a table's file is the job's");
                sink.done(kind, outcome)
            }
            JobOp::SyncDir => {
                self.stage = Stage::Ready;
                Ok(())
            }
            JobOp::Read(..) => Err(Fault::Io { message: "a read ended as something else".to_owned() }),
        }
    }

    /// Whether its edit may go to the manifest.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready && !self.is_lost
    }

    /// Whether all its entries are in tables.
    pub fn is_ending(&self) -> bool {
        self.stage != Stage::Filling
    }

    /// The tables that it made, which are durable.
    pub fn take_tables(&mut self) -> Vec<Table> {
        let open = |sink: Sink| {
            let (Built { meta, sections, ranges }, file) = sink.into_built();
            Table { meta, file, sections, ranges, is_damaged: Cell::new(false) }
        };
        std::mem::take(&mut self.tables.ended).into_iter().map(open).collect()
    }

    /// Level and number of what it takes from the tree.
    pub fn removes(&self) -> Vec<(u8, u64)> {
        match &self.source {
            Source::Compaction(compaction) => compaction.inputs.clone(),
            Source::Flush(_) | Source::Ingestion(_) => Vec::new(),
        }
    }

    /// The edit, for tables that go to this level.
    pub fn edit(&self, tables: &[Rc<Table>], level: usize, next_id: u64) -> Edit {
        let flushed_to = match &self.source {
            Source::Flush(flush) => Some(flush.flushed_to),
            Source::Compaction(_) | Source::Ingestion(_) => None,
        };
        let added = tables.iter().map(|table| (level as u8, table.meta.clone())).collect();
        Edit { added, removed: self.removes(), flushed_to, next_id }
    }
}
