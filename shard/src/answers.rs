//! Replies out: of a batch whose entry is chosen, of what is refused, of what comes too late, and of everything when the core has failed.

use std::mem;

use paxos::Member;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{EntityId, Shard};
use crate::entity::{Queued, Stage, Waiter};
use crate::error::{self, Fault};
use crate::record::CommandId;
use crate::reply::Reply;
use crate::turn::Turn;
use crate::wire::PeerMessage;

impl<D: Disk> Shard<D> {
    /// Sends the replies of the batch and goes on with the queue.
    pub(crate) fn finish_batch(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let entity = self.entity(id);
        let mut batch = mem::take(&mut entity.batch);
        let mut replies = mem::take(&mut entity.replies);
        assert!(batch.len() == replies.len(), "every command of a batch has a reply");
        for (queued, reply) in batch.drain(..).zip(replies.drain(..)) {
            match reply {
                Some(reply) => self.answer(turn, queued, reply),
                None => self.release(&queued),
            }
        }
        // The memory serves the next batch.
        let entity = self.entity(id);
        assert!(entity.batch.is_empty() && entity.replies.is_empty(), "an answer starts nothing");
        (entity.batch, entity.replies) = (batch, replies);
        self.end_attempt(turn, id);
    }

    /// Answers the batch with an error: it was not proposed. What an earlier attempt sent may still be applied.
    pub(crate) fn refuse_batch(&mut self, turn: &mut Turn<'_, D>, id: EntityId, reply: &Reply) {
        if *reply == error::NOT_YET {
            return self.put_off(turn, id);
        }
        self.metrics.refused += self.entity(id).batch.len() as u64;
        let entity = self.entity(id);
        let uncertain = |queued: &Queued| queued.sent && queued.command.is_write();
        let reply = |queued| Some(if uncertain(queued) { error::UNCERTAIN } else { reply.clone() });
        entity.replies = entity.batch.iter().map(reply).collect();
        self.finish_batch(turn, id);
    }

    pub(crate) fn end_attempt(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        self.end_settle(id);
        let entity = self.entity(id);
        entity.instance.abandon();
        entity.instance.abandon_read();
        entity.stage = Stage::Idle;
        entity.collisions = 0;
        entity.wake_at = None;
        if !entity.queue.is_empty() {
            self.start_batch(turn, id);
        }
    }

    /// Answers a command, wherever its waiter is, and takes it off the books.
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_, D>, queued: Queued, reply: Reply) {
        self.release(&queued);
        self.note_own_answer(turn, &queued);
        match queued.waiter {
            Waiter::Client(_) | Waiter::Joint(_) => {
                self.settle(queued.id);
                self.tell(turn, queued.waiter, reply);
            }
            Waiter::Expiring(_) => self.tell(turn, queued.waiter, reply),
            Waiter::Peer(member) => self.send_forwarded(turn, member, queued.id, &reply),
            Waiter::Learner(member, id) => {
                self.settle(queued.id);
                self.send_forwarded(turn, member, id, &reply);
            }
        }
    }

    fn send_forwarded(&mut self, turn: &mut Turn<'_, D>, to: Member, id: CommandId, reply: &Reply) {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Forwarded { id, reply: &bytes }.encode(sender, out));
    }

    /// Takes a command off the books.
    pub(crate) fn release(&mut self, queued: &Queued) {
        self.commands -= 1;
        self.command_bytes -= queued.bytes;
    }

    /// Answers a command whose deadline passed. `answers`: how many hosts answered the attempt under way, 0 when there
    /// was none.
    pub(crate) fn answer_expired(&mut self, turn: &mut Turn<'_, D>, queued: Queued, answers: u8) {
        self.metrics.expired_deadlines += 1;
        let read = queued.command.is_read();
        let answers = if answers == 0 { self.hosts_up() } else { answers };
        let reply = if queued.sent && !read && !planted(107) {
            self.metrics.uncertain += 1;
            error::UNCERTAIN
        } else if answers < self.members.majority() {
            self.metrics.no_quorum += 1;
            error::no_quorum(answers, self.members.count(), read)
        } else {
            error::TIMED_OUT
        };
        self.answer(turn, queued, reply);
    }

    /// Every command of the entity is answered with the failure of the core.
    pub(crate) fn fail_commands(&mut self, turn: &mut Turn<'_, D>, id: EntityId, fault: &Fault) {
        let entity = self.entity(id);
        let sent = entity.instance.is_accepting();
        let mut batch = mem::take(&mut entity.batch);
        batch.iter_mut().for_each(|queued| queued.sent |= sent);
        batch.extend(mem::take(&mut entity.queue));
        for queued in batch {
            let uncertain = queued.sent && !queued.command.is_read();
            self.answer(turn, queued, error::failed(fault, uncertain));
        }
    }
}
