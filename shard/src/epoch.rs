//! The epoch of the slice, and what a core is in it: a voter, or a learner (docs/design/repair.md section 4).
//!
//! An epoch is one number for all members. A member that lost its log takes one above all that it was ever in, and everybody
//! who hears of it makes it durable and forgets the answers that were gathered before: what the member had promised in its
//! former life counts for nothing from then on. From the moment a core hears of an epoch until that is durable it
//! answers nothing; the log is durable in order, so by then everything that it accepted before is durable as well.

use paxos::Member;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{meta, EntityId, Shard, Status};
use crate::entity::Stage;
use crate::forward::Forwards;
use crate::limits::{BACKOFF_NS, EPOCH_MAX};
use crate::turn::Turn;
use crate::wire::{PeerMessage, RepairAsked, RepairSaid};

impl<D: Disk> Shard<D> {
    /// Takes on what the core is by its log; where that does not say, by its configuration, or because the log before it was put
    /// aside.
    pub(crate) fn take_role(&mut self) {
        let told = self.store.meta(meta::ROLE).and_then(|role| role.first().copied());
        let learner = match told {
            Some(meta::VOTER) => false,
            Some(_) => true,
            None if planted(142) => false,
            None => self.config.learner || self.store.loss().is_some(),
        };
        self.config.learner = learner;
        if learner {
            self.forwards = Forwards::of_learner(&mut self.rng);
            self.joints.begin_at(self.rng.next_u64() >> 2);
        }
    }

    /// The epoch that this core is in, durable or about to be.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether a message of this epoch is to be looked at. A higher epoch is taken on. What is said about commands counts as no
    /// vote, and is heeded whatever the epoch.
    pub(crate) fn heeds_epoch(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: u32,
        message: &PeerMessage<'_>,
    ) -> bool {
        let about_epochs = match message {
            PeerMessage::RepairAsk(ask) => ask.asked == RepairAsked::Epoch,
            PeerMessage::RepairAnswer(answer) => answer.said == RepairSaid::Epoch,
            _ => false,
        };
        if theirs > self.epoch && !about_epochs {
            self.take_epoch(turn, theirs);
        }
        let saving = self.epoch_saving.is_some();
        match message {
            PeerMessage::Hello { .. }
            | PeerMessage::Forward(_)
            | PeerMessage::HandOver(_)
            | PeerMessage::Forwarded { .. }
            | PeerMessage::NotForwarded { .. }
            | PeerMessage::ForwardHeld(_) => true,
            _ if about_epochs => !saving,
            PeerMessage::WrongEpoch => {
                self.metrics.messages_refused += 1;
                false
            }
            _ if theirs < self.epoch => {
                self.metrics.messages_refused += 1;
                let sender = self.sender();
                turn.effects.message(from, |out| PeerMessage::WrongEpoch.encode(sender, out));
                false
            }
            _ => theirs == self.epoch && !saving,
        }
    }

    /// Takes a higher epoch on: durable before anything is answered, and nothing that was gathered before counts.
    pub(crate) fn take_epoch(&mut self, turn: &mut Turn<'_, D>, epoch: u32) {
        assert!(epoch > self.epoch, "epochs grow");
        if epoch > EPOCH_MAX || self.status != Status::Ready {
            self.metrics.messages_refused += 1;
            return;
        }
        match self.store.append_meta(meta::EPOCH, &epoch.to_le_bytes()) {
            Ok(lsn) => self.epoch_saving = Some(lsn).filter(|_| !planted(165)),
            // Without room for it the core stays where it is, and is no use to those who went on.
            Err(_) => return,
        }
        self.epoch = epoch;
        self.fast_above = self.round;
        // What waits was sent under the epoch before.
        self.deltas.clear();
        self.void_comparison();
        self.void_flush();
        self.void_spread();
        self.void_confirms(turn);
        self.ranges.void();
        self.ranges.forget_answers();
        let ids: Vec<EntityId> = self.entities.iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.void_answers(turn, id));
    }

    /// Answers gathered for an entity count for nothing any more; its attempt begins anew in a moment.
    pub(crate) fn void_answers(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let entity = self.entity(id);
        match entity.stage {
            Stage::Proposing => {
                let accept_sent = entity.instance.is_accepting();
                entity.instance.abandon();
                self.on_lost(turn, id, accept_sent);
            }
            Stage::Reading | Stage::Running => {
                entity.instance.abandon();
                entity.instance.abandon_read();
                entity.run = None;
                entity.stage = Stage::Backoff;
                entity.replies.clear();
                let at = turn.clock.now + 1 + self.rng.below(BACKOFF_NS);
                self.wake_at(id, at);
            }
            Stage::Idle | Stage::Loading | Stage::Settling | Stage::Backoff => {}
        }
    }

    /// As [`Shard::void_answers`], where nobody stands in the way: a flush is no reason to wait long, or to believe in a rival.
    pub(crate) fn ask_anew(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let before = self.peek(id).collisions;
        self.void_answers(turn, id);
        let entity = self.entity(id);
        if entity.stage == Stage::Backoff {
            // Nor to forget that there was an attempt: a ballot that was promised for the slot is used once.
            entity.collisions = before.max(1);
            let at = turn.clock.now + 1 + self.rng.below(BACKOFF_NS);
            self.wake_by_deadline(id, at);
        }
    }

    /// Records up to this one are durable.
    pub(crate) fn on_epoch_persisted(&mut self, lsn: bitcask::Lsn) {
        if self.epoch_saving.is_some_and(|own| own <= lsn) {
            self.epoch_saving = None;
        }
    }

    /// Says to all who can hear it what this core is: when that changes, and now and then, because who did not hear it would
    /// take a voter for a learner for as long as the link stays up.
    pub(crate) fn greet(&mut self, turn: &mut Turn<'_, D>) {
        let me = self.config.me;
        for member in (0..self.members.count()).filter(|member| *member != me) {
            if self.links_up[usize::from(member)] {
                self.say_hello(turn, member);
            }
        }
    }

    /// A member says what it is, perhaps again. What is new, or that it has just started, is a reason to compare with it.
    pub(crate) fn on_hello(&mut self, turn: &mut Turn<'_, D>, from: Member, learner: bool, started: bool) {
        let changed = self.learners[usize::from(from)] != learner;
        if changed {
            self.set_learner(from, learner);
            self.waits.note_moved();
        }
        if changed || started {
            self.look_soon(turn.clock.now);
        }
    }

    /// Whether a member is a learner, as far as this core was told.
    pub fn peer_is_learner(&self, member: Member) -> bool {
        self.learners[usize::from(member)]
    }
}
