//! Putting a damaged log aside: its files are kept under other names, and the directory begins anew.
//!
//! For an owner who has other replicas to take over from ([`crate::Options::put_aside`]). A log with damage in what was
//! acknowledged is worth nothing to it, but may be to an operator, so nothing is removed. What must never happen is that a part of the old log
//! passes for the whole, or the new log for one that never held anything. So a mark is made durable before the first file is
//! renamed, and goes when the owner says that the new log tells what it is: while the mark is there, whatever the directory
//! holds is put aside (again), however often the process ends in between.
//!
//! A disk that refuses anything ends it with that error, and one without space for a new log is left as it is: then the
//! slice stops, as it does where nobody has asked for this.

use reactor::{DiskError, DiskErrorKind, FileId, Op, Outcome};

use crate::core::Core;
use crate::error::Fault;
use crate::limits::READY_WANTED;
use crate::names;
use crate::task::{Step, Task};

/// A log that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many logs were put aside in this directory, this one included: its files are `lost-<number>-...`.
    pub number: u32,
    /// What was wrong with it; none where an earlier process began to put it aside.
    pub damage: Option<Fault>,
}

#[derive(Clone, Copy)]
enum State {
    /// Space for the new log's first segments is asked for, and given back.
    Asking,
    AskOpened,
    Asked,
    AskClosed,
    AskRemoved,
    /// The mark is made.
    MarkOpened,
    MarkClosed,
    Marked,
    /// All files of the log get their other names.
    Listed,
    Moving,
    /// The mark is taken away.
    Unmarking,
    Unmarked,
    Ended,
}

/// Puts the files of a directory aside, or takes the mark away afterwards.
pub(crate) struct Aside {
    pub loss: Loss,
    state: State,
    file: Option<FileId>,
    full: bool,
    moves: Vec<Op>,
}

impl Aside {
    /// For a log in which damage was found just now (`damage`), or whose mark is there.
    pub fn new(loss: Loss) -> Aside {
        let state = if loss.damage.is_some() { State::Asking } else { State::Marked };
        Aside { loss, state, file: None, full: false, moves: Vec::new() }
    }

    /// The new log says what it is.
    pub fn unmark(loss: Loss) -> Aside {
        Aside { loss, state: State::Unmarking, file: None, full: false, moves: Vec::new() }
    }

    fn file(&self) -> FileId {
        self.file.expect("the file was opened first")
    }

    fn mark(&self) -> String {
        names::losing(self.loss.number)
    }

    /// What is to become of the log's files; what others have in the directory stays. One whose other name is taken is from after the renaming: of a log that was begun and never
    /// served.
    fn plan(&self, files: Vec<(String, u64)>) -> Vec<Op> {
        let taken: Vec<&String> = files.iter().map(|(name, _)| name).collect();
        let moved = |name: &String| {
            let (from, to) = (name.clone(), names::lost(self.loss.number, name));
            if name.ends_with(names::UNFINISHED) || taken.binary_search(&&to).is_ok() {
                Op::Remove { name: from }
            } else {
                Op::Rename { from, to }
            }
        };
        taken.iter().filter(|name| names::is_of_the_log(name)).map(|name| moved(name)).collect()
    }

    fn next_move(&mut self) -> (State, Op) {
        self.moves.pop().map_or((State::Ended, Op::SyncDir), |op| (State::Moving, op))
    }

    /// There is no space for a new log: the old one stays where it is, and the slice stops.
    fn no_space(&mut self) -> Fault {
        match self.loss.damage.take() {
            Some(Fault::Damage { file, offset, message }) => {
                let message =
                    format!("{message}; it is not put aside, because the disk has no space to begin anew");
                Fault::Damage { file, offset, message }
            }
            other => other.unwrap_or(Fault::Io { message: "no space to begin anew".to_owned() }),
        }
    }
}

impl Task for Aside {
    fn step(&mut self, core: &mut Core, done: Option<Outcome>) -> Result<Step, Fault> {
        let (next, op) = match (self.state, done) {
            (State::Asking, _) => {
                (State::AskOpened, Op::Open { name: names::SPACE.to_owned(), create: true })
            }
            (State::AskOpened, Some(Outcome::Opened { file, .. })) => {
                self.file = Some(file);
                let bytes = core.options.segment_bytes * (READY_WANTED as u64 + 1);
                (State::Asked, Op::Preallocate { file, bytes })
            }
            (State::Asked, _) => (State::AskClosed, Op::Close { file: self.file() }),
            (State::AskClosed, _) => (State::AskRemoved, Op::Remove { name: names::SPACE.to_owned() }),
            (State::AskRemoved, _) if self.full => return Err(self.no_space()),
            (State::AskRemoved, _) => (State::MarkOpened, Op::Open { name: self.mark(), create: true }),
            (State::MarkOpened, Some(Outcome::Opened { file, .. })) => {
                (State::MarkClosed, Op::Close { file })
            }
            (State::MarkClosed, _) => (State::Marked, Op::SyncDir),
            (State::Marked, _) => (State::Listed, Op::List),
            (State::Listed, Some(Outcome::Listed { files })) => {
                self.moves = self.plan(files);
                self.next_move()
            }
            (State::Moving, _) => self.next_move(),
            (State::Unmarking, _) => (State::Unmarked, Op::Remove { name: self.mark() }),
            (State::Unmarked, _) => (State::Ended, Op::SyncDir),
            (State::Ended, _) => return Ok(Step::Finished),
            (State::AskOpened | State::MarkOpened | State::Listed, done) => {
                let message = format!("putting the log aside: an operation ended as {done:?}");
                return Err(Fault::Io { message });
            }
        };
        self.state = next;
        Ok(Step::Do(op))
    }

    fn refused(&mut self, core: &mut Core, error: DiskError) -> Result<Step, Fault> {
        match (error.kind, self.state) {
            (DiskErrorKind::Full, State::Asked) => {
                self.full = true;
                self.step(core, None)
            }
            (DiskErrorKind::Full, State::AskOpened) => Err(self.no_space()),
            _ => Err(Fault::Io { message: error.message }),
        }
    }
}
