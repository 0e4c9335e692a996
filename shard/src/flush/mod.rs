//! Flushes: all keys of a core emptied at once (docs/design/flush.md, modelled in `paxos/tests/flush.rs`).
//!
//! A core has a flush epoch, a durable number that only grows; every entry bears the one in which it was made, and one of an older epoch than
//! the core's counts as a tombstone. Every message bears its sender's. A core that hears of a newer one makes it durable before it looks at
//! that message, and lets all that come behind it wait as well: to it they come later, no more. So whatever a core says in an epoch, or takes for an
//! answer to what it asked in it, rests on that being durable where it came from.
//!
//! Parts: `epoch` (what stands in front of an entry, and what becomes of it; pure), `job` (flushes of this core's clients), and here the epoch of
//! the core: heard of, made durable, begun.
//!
//! Left out: giving the space back. Sweeps for tombstones ([`crate::repair`]) take what is of older epochs for tombstones, and where those
//! cannot be dropped have them take the place of the values.
//!
//! Invariants: no entry here is of a newer epoch than the core's, but those of the catalog's key, which count for every epoch. An epoch is begun when it is durable, and not before; with it all that is
//! under way begins anew. What a learner says, and what it has, counts for no flush.

pub(crate) mod epoch;
mod job;

use std::collections::VecDeque;

use paxos::Member;
use reactor::mutants::planted;
use reactor::Disk;

use self::job::{Asker, Job};
use crate::command::CATALOG_KEY;
use crate::core::{meta, EntityId, Shard};
use crate::entity::Stage;
use crate::held::Held;
use crate::limits::{FLUSH_EPOCH_MAX, FLUSH_HELD_BYTES_MAX, FLUSH_JUMP_MAX};
use crate::record::Record;
use crate::turn::Turn;
use crate::wire::{FlushSaid, PeerMessage, Sender};

/// What a core keeps of flushes.
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    /// Durable, and begun.
    epoch: u32,
    /// The one that is being made durable.
    saving: Option<Saving>,
    /// Messages that wait for that, in order, and their bytes.
    held: VecDeque<(Member, Box<[u8]>)>,
    held_bytes: usize,
    /// The flush that goes on, and clients who wait for the next.
    job: Option<Job>,
    waiting: Vec<Asker>,
    last_question: u32,
}

/// An epoch on its way to the log.
#[derive(Clone, Copy, Debug)]
struct Saving {
    epoch: u32,
    lsn: bitcask::Lsn,
}

impl Flushing {
    /// The epoch that this core is in.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether messages wait until a newer one is durable.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }
}

impl<D: Disk> Shard<D> {
    /// The flush epoch that this core is in: it is durable.
    pub fn flush_epoch(&self) -> u32 {
        self.flushing.epoch
    }

    /// The flush epoch that the log has: for the simulator.
    pub fn durable_flush_epoch(&self) -> u32 {
        self.number(meta::FLUSH).unwrap_or(0)
    }

    /// Takes on what is durable. False: it cannot be read by this version.
    pub(crate) fn recover_flush_epoch(&mut self) -> bool {
        let epoch = self.durable_flush_epoch();
        let is_whole = self.store.meta(meta::FLUSH).is_none_or(|bytes| bytes.len() == size_of::<u32>());
        self.flushing.epoch = epoch;
        self.store.set_era(epoch);
        is_whole && epoch <= FLUSH_EPOCH_MAX
    }

    /// Whether an entry is of an older epoch, and so a tombstone.
    pub(crate) fn is_flushed(&self, entry: &[u8]) -> bool {
        epoch::is_older(entry, self.flushing.epoch)
    }

    /// As [`Shard::is_flushed`], for one that may be decoded.
    pub(crate) fn is_held_flushed(&self, entry: &Held) -> bool {
        entry.is_older(self.flushing.epoch)
    }

    /// Whether an entry is a tombstone by its epoch alone, so that it takes the place of a value.
    pub(crate) fn is_flushed_value(&self, entry: &Held) -> bool {
        self.is_held_flushed(entry) && !entry.is_tombstone()
    }

    /// As [`Shard::is_flushed_value`], for encoded bytes; of a chain, those that it begins with.
    pub(crate) fn is_flushed_whole(&self, entry: &[u8]) -> bool {
        self.is_flushed(entry) && Record::is_tombstone(entry) == Ok(false)
    }

    /// Whether an entry is a tombstone here: by what it says, or by its epoch.
    pub(crate) fn is_dead(&self, entry: &[u8]) -> bool {
        self.is_flushed(entry) || Record::is_tombstone(entry) == Ok(true)
    }

    /// Whether an entry of a key is of an epoch that its sender, and so this core, may be in.
    pub(crate) fn is_of_known_epoch(&self, key: &[u8], entry: &[u8]) -> bool {
        match epoch::of(entry) {
            epoch::EVER => key == CATALOG_KEY,
            epoch => epoch <= self.flushing.epoch || planted(533),
        }
    }

    /// The epoch of what is written for a key now.
    pub(crate) fn epoch_for(&self, key: &[u8]) -> u32 {
        match key == CATALOG_KEY && !planted(543) {
            true => epoch::EVER,
            false => self.flushing.epoch,
        }
    }

    // ---- an epoch is heard of ----

    /// Whether a message is to be looked at now. What speaks of a newer epoch waits until that is durable.
    pub(crate) fn heeds_flush_epoch(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        message: &PeerMessage<'_>,
        bytes: &[u8],
    ) -> bool {
        let envelope = if planted(533) { 0 } else { theirs.flush };
        let wanted = match message {
            PeerMessage::Flush(flush) if self.hears_of_flushes(from) && theirs.epoch == self.epoch => {
                match flush.said {
                    FlushSaid::Raise(epoch) => epoch,
                    FlushSaid::Ask | FlushSaid::Told => 0,
                }
            }
            _ => 0,
        };
        if envelope.max(wanted) <= self.flushing.epoch {
            return true;
        }
        if envelope.max(wanted) - self.flushing.epoch > FLUSH_JUMP_MAX && !self.config.learner {
            self.metrics.messages_refused += 1;
            return false;
        }
        if !self.save_flush_epoch(turn, envelope.max(wanted)) {
            // Without room for it the core stays where it is, and is no use to those who went on.
            self.metrics.messages_refused += 1;
            return false;
        }
        if self.flushing.is_saving() {
            self.metrics.flush_held += 1;
            self.hold(from, bytes);
        }
        !self.flushing.is_saving()
    }

    /// Whether a word about a flush counts: between voters.
    fn hears_of_flushes(&self, from: Member) -> bool {
        !self.config.learner && !self.learners[usize::from(from)]
    }

    /// Whose message has waited longest.
    pub(crate) fn first_held(&self) -> Option<Member> {
        self.flushing.held.front().map(|(from, _)| *from)
    }

    /// Has a message wait for the epoch, or for a catalog.
    pub(crate) fn hold(&mut self, from: Member, bytes: &[u8]) {
        if self.flushing.held_bytes + bytes.len() > FLUSH_HELD_BYTES_MAX {
            self.metrics.messages_refused += 1;
            return;
        }
        self.flushing.held_bytes += bytes.len();
        self.flushing.held.push_back((from, bytes.into()));
    }

    /// The link to a member is down: what waits of it is as good as lost with the link, lest it come after what that end has done here.
    pub(crate) fn drop_held(&mut self, from: Member) {
        self.flushing.held.retain(|(of, _)| *of != from);
        self.flushing.held_bytes = self.flushing.held.iter().map(|(_, bytes)| bytes.len()).sum();
    }

    /// Has a newer epoch made durable. False: the log does not take it now.
    fn save_flush_epoch(&mut self, turn: &mut Turn<'_, D>, epoch: u32) -> bool {
        assert!(epoch > self.flushing.epoch && epoch <= FLUSH_EPOCH_MAX, "flush epochs grow, to their bound");
        if self.flushing.saving.is_some_and(|saving| saving.epoch >= epoch) {
            return true;
        }
        let Ok(lsn) = self.store.append_meta(meta::FLUSH, &epoch.to_le_bytes()) else { return false };
        if planted(530) {
            self.begin_flush_epoch(turn, epoch);
            return true;
        }
        self.flushing.saving = Some(Saving { epoch, lsn });
        true
    }

    /// Records up to this one are durable.
    pub(crate) fn on_flush_persisted(&mut self, turn: &mut Turn<'_, D>, lsn: bitcask::Lsn) {
        let Some(Saving { epoch, .. }) = self.flushing.saving.take_if(|saving| saving.lsn <= lsn) else {
            return;
        };
        self.begin_flush_epoch(turn, epoch);
        self.look_at_held(turn);
    }

    /// Looks at what was held, in its order: one that speaks of a newer epoch yet holds up the others.
    pub(crate) fn look_at_held(&mut self, turn: &mut Turn<'_, D>) {
        let mut held = std::mem::take(&mut self.flushing.held);
        while let Some((from, bytes)) = held.pop_front() {
            self.flushing.held_bytes -= bytes.len();
            self.on_message(turn, from, &bytes);
            if self.flushing.is_saving() {
                self.flushing.held.append(&mut held);
            }
        }
    }

    // ---- an epoch begins ----

    /// All that is under way begins anew: what was answered so far was answered in the epoch before.
    fn begin_flush_epoch(&mut self, turn: &mut Turn<'_, D>, epoch: u32) {
        assert!(epoch > self.flushing.epoch, "flush epochs grow");
        self.flushing.epoch = epoch;
        self.store.set_era(epoch);
        self.metrics.flush_epochs += 1;
        self.metrics.flush_epochs_learned += u64::from(self.config.learner);
        self.repair.note_flush(turn.clock.now);
        if !planted(534) {
            self.begin_anew(turn);
        }
        self.go_on_flushing(turn);
    }

    /// All that is under way begins anew: what was answered so far was answered before.
    pub(crate) fn begin_anew(&mut self, turn: &mut Turn<'_, D>) {
        self.void_groups();
        self.sweep_tree();
        let asks = |stage| matches!(stage, Stage::Proposing | Stage::Reading | Stage::Running);
        let asking = self.entities.iter().filter(|(_, entity)| asks(entity.stage)).map(|(id, _)| id);
        let asking: Vec<EntityId> = asking.collect();
        self.metrics.flush_voided += asking.len() as u64;
        asking.into_iter().for_each(|id| self.ask_anew(turn, id));
        self.joints.on_flushed();
        // After those: what they begin is of this epoch.
        self.ask_confirms_anew(turn);
        self.survey_anew(turn);
    }
}
