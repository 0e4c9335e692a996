//! Making a segment ready: created, preallocated, filled with zeros, named durably, all before the log needs it.
//!
//! Space is asked for here and nowhere else, so a full disk is known before a write meets it.

use reactor::mutants::planted;
use reactor::{AlignedBuf, DiskError, DiskErrorKind, FileId, Op, Outcome};

use crate::core::{Core, Ready};
use crate::error::Fault;
use crate::limits::{FILL_BYTES, FULL_RETRY_NS, READY_WANTED};
use crate::names;
use crate::task::{Step, Task};

#[derive(Clone, Copy)]
enum State {
    Start,
    Created,
    Filling,
    Synced,
    Renamed,
    Named,
    /// There was no space: the handle is closed, then the file removed.
    Closed,
    Removed,
}

/// Makes one segment.
pub(crate) struct Prepare {
    id: u64,
    bytes: u64,
    oversize: bool,
    state: State,
    file: Option<FileId>,
    filled: u64,
    zeros: AlignedBuf,
}

impl Prepare {
    /// What is wanted most, if anything is.
    pub fn wanted(core: &mut Core) -> Option<Prepare> {
        if core.full && core.now < core.full_retry_at || !core.segments.has_room() {
            return None;
        }
        let missing = core.oversize_wanted.filter(|_| core.oversize_ready.is_none());
        let (bytes, oversize) = match missing {
            Some(bytes) if core.ready.len() > 1 => (bytes, true),
            _ if core.ready.len() < READY_WANTED => (core.options.segment_bytes, false),
            Some(bytes) => (bytes, true),
            None => return None,
        };
        let id = core.new_id();
        let zeros = AlignedBuf::default();
        Some(Prepare { id, bytes, oversize, state: State::Start, file: None, filled: 0, zeros })
    }

    fn unfinished(&self) -> String {
        names::segment(self.id) + names::UNFINISHED
    }

    fn file(&self) -> FileId {
        self.file.expect("the file was opened first")
    }

    /// The next write of zeros, or the sync after the last. A segment for one record is written once, so zeros gain
    /// nothing there.
    fn fill(&mut self, core: &mut Core) -> Op {
        core.coming = !self.oversize;
        let file = self.file();
        if self.oversize || self.filled == self.bytes {
            self.state = State::Synced;
            return Op::Sync { file };
        }
        let mut buf = std::mem::take(&mut self.zeros);
        buf.resize((self.bytes - self.filled).min(FILL_BYTES as u64) as usize);
        let offset = self.filled;
        self.filled += buf.len() as u64;
        Op::Write { file, offset, buf, sync: false }
    }

    fn hand_over(&self, core: &mut Core) {
        core.coming = false;
        let ready = Ready { id: self.id, file: self.file(), capacity: self.bytes };
        if self.oversize {
            core.oversize_ready = Some(ready);
            core.oversize_wanted = None;
        } else {
            core.ready.push_back(ready);
        }
        core.look = true;
        settle_full(core);
    }
}

/// Space is back once everything that is wanted is there.
pub(crate) fn settle_full(core: &mut Core) {
    if core.ready.len() >= READY_WANTED && core.oversize_wanted.is_none() {
        core.set_full(false);
    }
}

impl Task for Prepare {
    fn step(&mut self, core: &mut Core, done: Option<Outcome>) -> Result<Step, Fault> {
        Ok(Step::Do(match (self.state, done) {
            (State::Start, _) => {
                self.state = State::Created;
                Op::Open { name: self.unfinished(), create: true }
            }
            (State::Created, Some(Outcome::Opened { file, .. })) => {
                self.file = Some(file);
                self.state = State::Filling;
                Op::Preallocate { file, bytes: self.bytes }
            }
            (State::Filling, done) => {
                if let Some(Outcome::Written { buf }) = done {
                    self.zeros = buf;
                }
                self.fill(core)
            }
            (State::Synced, _) => {
                self.state = State::Renamed;
                Op::Rename { from: self.unfinished(), to: names::segment(self.id) }
            }
            (State::Renamed, _) if !planted(217) => {
                self.state = State::Named;
                Op::SyncDir
            }
            (State::Renamed | State::Named, _) => {
                self.hand_over(core);
                return Ok(Step::Finished);
            }
            (State::Closed, _) => {
                self.state = State::Removed;
                Op::Remove { name: self.unfinished() }
            }
            (State::Removed, _) => {
                core.full_retry_at = core.now + FULL_RETRY_NS;
                core.set_full(true);
                return Ok(Step::Finished);
            }
            (State::Created, done) => {
                return Err(Fault::Io { message: format!("an open ended as {done:?}") });
            }
        }))
    }

    fn refused(&mut self, core: &mut Core, error: DiskError) -> Result<Step, Fault> {
        core.coming = false;
        match (error.kind, self.state, self.file) {
            (DiskErrorKind::Full, State::Filling | State::Synced, Some(file)) => {
                self.state = State::Closed;
                Ok(Step::Do(Op::Close { file }))
            }
            (DiskErrorKind::Full, State::Created, None) => {
                self.state = State::Removed;
                self.step(core, None)
            }
            _ => Err(Fault::Io { message: error.message }),
        }
    }
}
