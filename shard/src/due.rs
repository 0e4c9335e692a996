//! What is due of an entity: an attempt that begins anew after a pause, a question that is repeated, commands whose deadline has passed.

use std::collections::VecDeque;
use std::mem;

use reactor::clock::Nanos;
use reactor::Disk;

use crate::core::{EntityId, Shard};
use crate::entity::{Asked, Queued, Stage};
use crate::limits::{RESEND_NS, RESEND_NS_MAX, ROUND_NS_MAX};
use crate::turn::Turn;

impl<D: Disk> Shard<D> {
    /// The time that the entity asked for has come.
    pub(crate) fn on_wake(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let now = turn.clock.now;
        match self.entity(id).stage {
            Stage::Idle => {}
            Stage::Loading => {
                self.drop_expired(turn, id);
                self.wake_by_deadline(id, now + ROUND_NS_MAX);
            }
            Stage::Running => {
                let is_late = |queued: &Queued| queued.deadline <= now;
                if !self.peek(id).batch.iter().any(is_late) {
                    return self.wake_by_deadline(id, now + ROUND_NS_MAX);
                }
                // What is run is as the batch was: without those that are late it is run anew.
                self.give_up_run(id);
                self.drop_expired(turn, id);
                self.start_batch(turn, id);
            }
            Stage::Backoff | Stage::Settling => {
                let entity = self.entity(id);
                entity.stage = Stage::Idle;
                self.drop_expired(turn, id);
                self.start_batch(turn, id);
            }
            Stage::Reading | Stage::Proposing => {
                self.drop_expired(turn, id);
                if self.entity(id).batch.is_empty() && self.entity(id).settle.is_none() {
                    return self.end_attempt(turn, id);
                }
                if self.peek(id).asked == Asked::Few {
                    let since = self.peek(id).since;
                    if now >= since + self.readers.patience() {
                        self.readers.on_late(now, since);
                    }
                    return self.ask_the_rest(turn, id, Asked::Race);
                }
                let again_at = self.peek(id).since + self.patience(id);
                if now < again_at {
                    return self.wake_by_deadline(id, again_at);
                }
                self.repeat(turn, id);
            }
        }
    }

    /// How long the question of an entity may go unanswered before everybody is asked again.
    fn patience(&self, id: EntityId) -> Nanos {
        match self.peek(id).stage {
            Stage::Proposing => self.rounds.patience(),
            _ => RESEND_NS,
        }
    }

    /// A question was not answered in time: ask again, or, where a rival stands in the way, at a higher ballot.
    fn repeat(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let entity = self.entity(id);
        if entity.instance.is_contested() {
            let accept_sent = entity.instance.is_accepting();
            entity.instance.abandon();
            return self.on_lost(turn, id, accept_sent);
        }
        entity.resends += 1;
        let wait = (RESEND_NS << entity.resends.min(4)).min(RESEND_NS_MAX);
        let reading = entity.stage == Stage::Reading;
        let wait = wait.max(self.patience(id));
        self.metrics.resends += 1;
        self.wake_by_deadline(id, turn.clock.now + wait);
        self.step(turn, id, |instance, _, out| {
            if reading {
                instance.settle_read(out);
            }
            instance.resend(out);
        });
    }

    /// Answers the commands whose deadline passed, whatever those before them have. An Accept that is out may carry those of
    /// the batch.
    pub(crate) fn drop_expired(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let now = turn.clock.now;
        if self.peek(id).queue.iter().any(|queued| queued.deadline <= now) {
            let queue = mem::take(&mut self.entity(id).queue);
            let (late, kept): (VecDeque<_>, VecDeque<_>) =
                queue.into_iter().partition(|queued| queued.deadline <= now);
            self.entity(id).queue = kept;
            late.into_iter().for_each(|queued| self.answer_expired(turn, queued, 0));
        }
        if self.entity(id).settle.is_some_and(|settle| settle.until <= now) {
            self.end_settle(id);
        }
        let entity = self.entity(id);
        if entity.batch.iter().all(|queued| queued.deadline > now) {
            return;
        }
        let accepting = entity.instance.is_accepting();
        let answers =
            if matches!(entity.stage, Stage::Idle | Stage::Loading) { 0 } else { entity.instance.answered() };
        let mut kept = Vec::new();
        let mut kept_replies = Vec::new();
        let batch = mem::take(&mut entity.batch);
        let mut replies = mem::take(&mut entity.replies).into_iter();
        let mut expired = Vec::new();
        for mut queued in batch {
            let reply = replies.next();
            if queued.deadline <= now {
                queued.sent |= accepting;
                expired.push(queued);
            } else {
                kept.push(queued);
                kept_replies.extend(reply);
            }
        }
        entity.batch = kept;
        entity.replies = kept_replies;
        for queued in expired {
            self.answer_expired(turn, queued, answers);
        }
    }

    /// Wakes the entity at a time, or at the earliest deadline of its batch if that is sooner. One in the queue is
    /// noticed with the next repetition: looking through the queue at each attempt would cost more than that is worth.
    pub(crate) fn wake_by_deadline(&mut self, id: EntityId, at: Nanos) {
        let entity = self.peek(id);
        let settle = entity.settle.map(|settle| settle.until);
        let deadline = entity.batch.iter().map(|queued| queued.deadline).chain(settle).min();
        self.wake_at(id, deadline.map_or(at, |deadline| deadline.min(at)));
    }
}
