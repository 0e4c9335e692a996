//! Copies in, and entities settled whose record nobody can prove to be chosen.

use bitcask::AppendError;
use reactor::clock::Nanos;
use reactor::Disk;

use crate::core::{EntityId, Shard};
use crate::entity::Stage;
use crate::expiring::kind_of;
use crate::held::{Bytes, Held};
use crate::limits::{REPAIR_SETTLES_MAX, REPAIR_SETTLE_NS};
use crate::record::Record;
use crate::turn::Turn;
use crate::wire::Copied;

/// An entity that repair wants settled, beside the commands that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settle {
    pub why: Why,
    /// When that is given up.
    pub until: Nanos,
}

/// What an entity is settled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody can prove that its record is chosen.
    Unproven,
    /// What is found is to be accepted at a fresh ballot even if it is known to be chosen: something here is in its way.
    InTheWay,
    /// Its value is of an older flush epoch: a tombstone takes its place. What is found to be of this one stays as it is.
    Flushed,
}

impl<D: Disk> Shard<D> {
    /// A record that a peer knows to be chosen. It is handled as an Accept: a promise or the floor may be in its way
    /// (amendment 8), and then the entity is settled at a fresh ballot.
    /// False: the log is not ready for it, and will be in a moment.
    pub(super) fn take_copy(&mut self, turn: &mut Turn<'_, D>, slot: u16, record: &Copied<'_>) -> bool {
        let Copied { key, ballot, entry } = *record;
        let readable = key.len() <= self.config.limits.key_bytes_max && Record::check(entry).is_ok();
        let readable = readable && self.is_of_known_epoch(key, entry);
        if crate::slot::slot(key) != slot || !readable || !self.see_round(ballot.round) {
            self.metrics.messages_refused += 1;
            return true;
        }
        if self.config.learner && Record::is_group(entry) && !self.has_room_to_regain() {
            return false;
        }
        let Some(id) = self.open(slot, key) else { return false };
        let before = self.peek(id).instance.state().accepted;
        if before > ballot {
            return true;
        }
        if before < ballot && self.is_flushed_whole(entry) && !self.config.learner {
            self.settle_entity(turn, id, Why::Flushed);
            return true;
        }
        let (kind, _) = kind_of(entry);
        match self.admits_record(self.peek(id).reference, key.len(), kind, entry) {
            Ok(()) => {}
            Err(AppendError::Making | AppendError::Backlog) => return false,
            // A full disk takes as long as it takes: a later look tries again. A learner has nothing else to do.
            Err(_) => return !self.config.learner,
        }
        let bytes = Held::Here(Bytes::from(entry.to_vec()));
        self.step(turn, id, |instance, floor, out| instance.take_over(ballot, bytes, floor, out));
        if self.peek(id).instance.state().accepted < ballot {
            self.settle_entity(turn, id, Why::InTheWay);
        } else if before < ballot {
            self.repair.copied += 1;
            self.repair.copied_bytes += (key.len() + entry.len()) as u64;
        }
        true
    }

    /// Has an entity settled that nothing else is under way for. One that has something under way is left to that.
    pub(super) fn settle_entity(&mut self, turn: &mut Turn<'_, D>, id: EntityId, why: Why) {
        let learner = self.config.learner;
        let entity = self.entity(id);
        if entity.stage != Stage::Idle || entity.settle.is_some() || learner {
            return;
        }
        if self.repair.settling >= REPAIR_SETTLES_MAX {
            return;
        }
        let until = turn.clock.now + REPAIR_SETTLE_NS;
        self.entity(id).settle = Some(Settle { why, until });
        self.repair.settling += 1;
        self.repair.settled += 1;
        self.start_batch(turn, id);
        self.touch(id);
    }

    /// As [`Shard::settle_entity`], for a key.
    pub(super) fn settle_key(&mut self, turn: &mut Turn<'_, D>, slot: u16, key: &[u8], why: Why) {
        if let Some(id) = self.open(slot, key) {
            self.settle_entity(turn, id, why);
        }
    }

    /// The entity is no longer to be settled: it is, or the time is over.
    pub(crate) fn end_settle(&mut self, id: EntityId) {
        if self.entity(id).settle.take().is_some() {
            self.repair.settling -= 1;
        }
    }
}
