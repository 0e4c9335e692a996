//! Background work: chains of disk operations, one at a time each, that the owner's budget lets go on.

use reactor::{DiskError, Op, Outcome, BLOCK_BYTES};

use crate::core::Core;
use crate::error::Fault;

/// What a task wants next.
pub(crate) enum Step {
    /// This operation.
    Do(Op),
    /// To be asked again later: something it needs is not there yet.
    Wait,
    /// Nothing: it is done.
    Finished,
}

/// A chain of operations.
pub(crate) trait Task {
    /// Goes on: with what the last operation yielded, or with nothing at the start and after [`Step::Wait`].
    fn step(&mut self, core: &mut Core, done: Option<Outcome>) -> Result<Step, Fault>;

    /// Whether something that [`Step::Wait`] was said for may be there now.
    fn is_ready(&self, core: &Core) -> bool {
        let _ = core;
        true
    }

    /// The last operation failed. By default that is the end of the slice.
    fn refused(&mut self, core: &mut Core, error: DiskError) -> Result<Step, Fault> {
        let _ = core;
        Err(Fault::Io { message: error.message })
    }
}

/// What a task is waiting for.
enum State {
    /// For the budget to let this operation go.
    Parked(Box<Op>),
    /// For its operation to end.
    Flying,
    /// For something else.
    Waiting,
}

/// A task and what it waits for.
pub(crate) struct Running<T> {
    pub task: T,
    state: State,
}

impl<T: Task> Running<T> {
    pub fn new(task: T) -> Running<T> {
        Running { task, state: State::Waiting }
    }

    /// Whether a call of [`Running::go`] would get anywhere.
    pub fn is_ready(&self, core: &Core) -> bool {
        match self.state {
            State::Parked(_) => true,
            State::Flying => false,
            State::Waiting => self.task.is_ready(core),
        }
    }

    /// Starts the next operation, if there is one; its cost in bytes comes with it. True in the second place when the
    /// task is finished.
    pub fn go(&mut self, core: &mut Core) -> Result<(Option<(Op, u64)>, bool), Fault> {
        if let State::Waiting = self.state {
            let step = self.task.step(core, None)?;
            if self.settle(step) {
                return Ok((None, true));
            }
        }
        match std::mem::replace(&mut self.state, State::Flying) {
            State::Parked(op) => {
                let cost = cost(&op);
                Ok((Some((*op, cost)), false))
            }
            other => {
                self.state = other;
                Ok((None, false))
            }
        }
    }

    /// The operation has ended. True when the task is finished.
    pub fn done(&mut self, core: &mut Core, result: Result<Outcome, DiskError>) -> Result<bool, Fault> {
        let step = match result {
            Ok(outcome) => self.task.step(core, Some(outcome))?,
            Err(error) => self.task.refused(core, error)?,
        };
        Ok(self.settle(step))
    }

    fn settle(&mut self, step: Step) -> bool {
        match step {
            Step::Do(op) => self.state = State::Parked(Box::new(op)),
            Step::Wait => self.state = State::Waiting,
            Step::Finished => return true,
        }
        false
    }
}

/// What an operation takes from the budget, in bytes.
fn cost(op: &Op) -> u64 {
    match op {
        Op::Read { buf, .. } | Op::Write { buf, .. } => buf.len() as u64,
        _ => BLOCK_BYTES as u64,
    }
}
