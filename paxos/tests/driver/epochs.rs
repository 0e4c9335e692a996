//! Epochs of a slot (docs/design/flush.md): an entry bears the one in which it was made, and what was written in an older one than the
//! slot's counts as a tombstone, whose ids are kept. In the log of commands a mark stands where a newer epoch began.

use paxos::{Ballot, Found, Output};

use super::{Effects, Event, Form, Id, Log, Mutation, Replica};

/// Marks are ids from this one on.
const MARKS: Id = Id::MAX - 1_000;

fn mark(epoch: u64) -> Id {
    MARKS + Id::try_from(epoch).expect("a play has few epochs")
}

fn is_mark(id: Id) -> bool {
    (MARKS..Id::MAX).contains(&id)
}

impl Log {
    /// The epoch that the entry bears.
    pub fn epoch(&self) -> u64 {
        let newest = self.0.iter().rev().copied().find(|id| is_mark(*id));
        newest.map_or(0, |id| u64::from(id - MARKS))
    }

    /// In which epoch a command was applied, if it was.
    pub fn epoch_of(&self, id: Id) -> Option<u64> {
        let at = self.0.iter().position(|known| *known == id)?;
        Some(Log(self.0[..at].to_vec(), Form::Whole).epoch())
    }

    /// What it is in a newer epoch.
    pub fn in_epoch(mut self, epoch: u64) -> Log {
        if self.epoch() < epoch {
            self.0.push(mark(epoch));
        }
        self
    }
}

impl Replica {
    /// The slot's epoch is another one. What is under way is given up by the owner before.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// What is known of a write from the entry that has it: of an older epoch, whether it was before the flush or is as good as not there,
    /// nobody can tell.
    pub(super) fn on_known(&mut self, id: Id, ballot: Ballot, log: Log, fx: &mut Effects) {
        self.write = None;
        let is_older = log.epoch_of(id).is_some_and(|epoch| epoch < self.epoch);
        fx.events.push(match is_older && self.mutation != Mutation::OlderIdsCount {
            true => Event::WriteDropped { id },
            false => Event::Acked { id, ballot, log },
        });
    }

    /// Has what phase 1 found chosen: as it is, or, of an older epoch, as what it is in this one.
    pub(super) fn settle_found(&mut self, found: Found<Log>, out: &mut Vec<Output<Log>>, fx: &mut Effects) {
        if found.entry.epoch() >= self.epoch {
            return self.finish(found, out, fx);
        }
        let ballot = self.inst.current_ballot().expect("phase 1 is done");
        self.propose(ballot, found.entry.in_epoch(self.epoch), out, fx);
    }
}
