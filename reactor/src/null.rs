//! A disk that does nothing, at once: for measuring what work costs the processor alone.

use std::collections::VecDeque;

use crate::{Completion, Disk, FileId, Op, OpId, Outcome};

/// Takes every write and forgets it; lists no files; what it reads is what was in the buffer.
#[derive(Debug, Default)]
pub struct NullDisk {
    done: VecDeque<Completion>,
    last: u64,
}

impl NullDisk {
    /// What was submitted since the last call, done, in order.
    pub fn take_completions(&mut self) -> VecDeque<Completion> {
        std::mem::take(&mut self.done)
    }
}

impl Disk for NullDisk {
    fn submit(&mut self, op: Op) -> OpId {
        self.last += 1;
        let outcome = match op {
            Op::Open { .. } => Outcome::Opened { file: FileId(self.last as u32), len: 0 },
            Op::Write { buf, .. } => Outcome::Written { buf },
            Op::Read { buf, .. } => Outcome::Read { bytes: buf.len(), buf },
            Op::List => Outcome::Listed { files: Vec::new() },
            _ => Outcome::Done,
        };
        self.done.push_back(Completion { id: OpId(self.last), result: Ok(outcome) });
        OpId(self.last)
    }
}
