//! One entity with something under way: its protocol instance, the commands that wait, and what it waits for itself.
//!
//! An entity exists in memory only while something is under way. All that must outlive it is in the store: the record, the
//! promise, and the one bit "known chosen".

use std::collections::VecDeque;
use std::rc::Rc;

use bitcask::KeyRef;
use paxos::{AcceptorState, Ballot, Instance, Member, Message};
use reactor::clock::Nanos;

use crate::batch::Run;
use crate::command::Command;
use crate::deltas::Lacking;
use crate::error;
use crate::expiring::Swept;
use crate::held::Held;
use crate::joint::StepTicket;
use crate::limits::{KEPT_KEY_BYTES_MAX, KEPT_LIST_MAX};
use crate::record::CommandId;
use crate::repair::Settle;
use crate::reply::Reply;
use crate::turn::RequestId;

/// Who waits for a command's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A client of this host.
    Client(RequestId),
    /// The core of another host that forwarded the command.
    Peer(Member),
    /// The core of a learner that handed the command over, under its own name for it.
    Learner(Member, CommandId),
    /// The sweep of this core for keys whose time has come.
    Expiring(Swept),
    /// A joint command that this core runs, or finishes.
    Joint(StepTicket),
}

/// A command on its way.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub waiter: Waiter,
    pub id: CommandId,
    pub command: Rc<Command>,
    pub bytes: usize,
    pub deadline: Nanos,
    /// It may have been applied already: an Accept carried it, or another host had it. Only a chosen entry with its id, or one
    /// above all ballots that carried it, tells.
    pub sent: bool,
    /// When it came in, if nobody else had it before; else 0.
    pub since: Nanos,
    /// Since when it waits for a claim.
    pub held_since: Option<Nanos>,
    /// What it came to wherever an Accept carried it, if that was the same each time: its reply, should one of those be chosen after all.
    pub lost_reply: Option<Box<Reply>>,
}

impl Queued {
    /// A command that nothing was done about yet.
    pub fn new(waiter: Waiter, id: CommandId, command: Rc<Command>, bytes: usize, deadline: Nanos) -> Queued {
        Queued {
            waiter,
            id,
            command,
            bytes,
            deadline,
            sent: false,
            since: 0,
            held_since: None,
            lost_reply: None,
        }
    }

    /// An Accept carried it, with this reply, and is lost; it may be chosen yet.
    pub fn note_lost(&mut self, reply: Option<Reply>) {
        let same = !self.sent || self.lost_reply.as_deref() == reply.as_ref();
        self.lost_reply = reply.filter(|reply| same && *reply != error::REPLY_LOST).map(Box::new);
        self.sent = true;
    }
}

/// What the coordinator side of an entity is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing; a batch may start.
    Idle,
    /// The value is being read from disk; then the batch goes on.
    Loading,
    /// The batch is being run, and waits for rows.
    Running,
    /// An agreed read is out.
    Reading,
    /// An agreed read met a write in flight and gives it a moment.
    Settling,
    /// Prepare or Accept is out.
    Proposing,
    /// A ballot was lost, or there is no majority to talk to.
    Backoff,
}

/// Whom an agreed read has asked ([`crate::readers`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No more members than it needs.
    Few,
    /// Everybody, because those were late, or to see who is quick: whose answer decides it is asked first from then on.
    Race,
    /// Everybody, for another reason.
    All,
}

/// An entity with something under way.
#[derive(Debug)]
pub(crate) struct Entity {
    pub key: Vec<u8>,
    /// What stands for the key in the store: its slot and fingerprint.
    pub reference: KeyRef,
    pub instance: Instance<Held>,
    pub queue: VecDeque<Queued>,
    /// The commands of the attempt under way, and, once they were executed, their replies.
    pub batch: Vec<Queued>,
    pub replies: Vec<Option<Reply>>,
    pub stage: Stage,
    /// When the stage began, for repetition.
    pub since: Nanos,
    /// Repetitions of the question under way.
    pub resends: u32,
    /// Whom the agreed read under way has asked.
    pub asked: Asked,
    /// Attempts of this batch that came to nothing.
    pub collisions: u32,
    /// The next time to look; the timer queue may hold older times.
    pub wake_at: Option<Nanos>,
    /// A disk read of the accepted entry is under way.
    pub loading: bool,
    /// Answers that wait for the bytes of the entry that they carry.
    pub waiting_sends: Vec<(Member, Message<Held>)>,
    /// Requests that wait for the bytes of the own entry.
    pub waiting_steps: Vec<(Member, Message<Held>)>,
    /// Repair wants the entity settled, with or without commands.
    pub settle: Option<Settle>,
    /// Members that lack what deltas stand on, and when they were sent a whole last.
    pub lacking: Lacking,
    /// A joint command has the key: what waits in the queue waits for that, but for steps of joint commands.
    pub is_claimed: bool,
    /// The run of the batch, while it waits for rows.
    pub run: Option<Box<Run>>,
    /// What is proposed is the head that was found, as it is: the batch comes after it.
    pub finishes: bool,
    /// Joint commands in a row that were given up at this key.
    pub give_ups: u32,
    /// Whether the entity is listed for the check at the end of the turn.
    pub touched: bool,
}

impl Entity {
    pub fn new(key: &[u8], reference: KeyRef, instance: Instance<Held>) -> Entity {
        Entity {
            key: key.to_vec(),
            reference,
            instance,
            queue: VecDeque::new(),
            batch: Vec::new(),
            replies: Vec::new(),
            stage: Stage::Idle,
            since: 0,
            resends: 0,
            asked: Asked::All,
            collisions: 0,
            wake_at: None,
            loading: false,
            waiting_sends: Vec::new(),
            waiting_steps: Vec::new(),
            settle: None,
            lacking: Lacking::default(),
            is_claimed: false,
            run: None,
            finishes: false,
            give_ups: 0,
            touched: false,
        }
    }

    /// Becomes the entity of another key in the memory of this one, which is idle.
    pub fn renew(&mut self, key: &[u8], reference: KeyRef, state: AcceptorState, held: Option<Held>) {
        let done = self.is_idle() && self.batch.is_empty() && self.replies.is_empty();
        assert!(done, "an entity is done before another takes its place");
        self.key.clear();
        self.key.extend_from_slice(key);
        self.reference = reference;
        self.instance.renew(state, held);
        self.stage = Stage::Idle;
        (self.since, self.resends, self.collisions) = (0, 0, 0);
        (self.wake_at, self.settle, self.touched, self.asked) = (None, None, false, Asked::All);
        (self.is_claimed, self.give_ups, self.lacking) = (false, 0, Lacking::default());
        (self.run, self.finishes) = (None, false);
    }

    /// Gives back the value of its key: what is kept is the memory for another entity, not what a client stored.
    pub fn rest(&mut self) {
        self.instance.renew(AcceptorState::default(), None);
    }

    /// Whether its memory is worth keeping for another: not where many or large things were under way.
    pub fn is_small(&self) -> bool {
        let asked = [self.queue.capacity(), self.batch.capacity(), self.replies.capacity()];
        let waited = [self.waiting_sends.capacity(), self.waiting_steps.capacity()];
        asked.iter().chain(&waited).all(|capacity| *capacity <= KEPT_LIST_MAX)
            && self.key.capacity() <= KEPT_KEY_BYTES_MAX
    }

    /// Whether an agreed read is under way whose first answer tells who is quick.
    pub fn is_race(&self) -> bool {
        self.stage == Stage::Reading && self.asked == Asked::Race
    }

    /// The slot of its key.
    pub fn slot(&self) -> u16 {
        self.reference.0
    }

    /// Whether it can be dropped: everything about it is in the store.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
            && self.queue.is_empty()
            && !self.loading
            && self.instance.is_idle()
            && self.waiting_sends.is_empty()
            && self.waiting_steps.is_empty()
    }

    /// Whether what the accepted entry means is on disk only.
    pub fn is_cold(&self) -> bool {
        self.instance.entry().is_some_and(Held::is_cold)
    }

    /// The accepted entry, if what it means is here, with its ballot.
    pub fn warm(&self) -> Option<(Ballot, Held)> {
        let held = self.instance.entry().filter(|held| !held.is_cold())?;
        Some((self.instance.state().accepted, held.clone()))
    }

    /// Whether something waits for what the accepted entry means.
    pub fn wants_record(&self) -> bool {
        self.stage == Stage::Loading || !self.waiting_sends.is_empty() || !self.waiting_steps.is_empty()
    }

    /// Whether the accepted entry is durable.
    pub fn is_durable(&self) -> bool {
        self.instance.stable_accepted() == self.instance.state().accepted
    }
}

#[cfg(test)]
mod tests {
    use bitcask::Bytes;
    use paxos::Members;

    use super::*;

    #[test]
    fn an_entity_that_is_kept_holds_no_value() {
        let held = Held::Here(Bytes::from(&b"value"[..]));
        let ballot = Ballot::new(3, 1, 1);
        let state = AcceptorState { promised: ballot.succ(), accepted: ballot, ..AcceptorState::default() };
        let members = Members::new(3).expect("an odd count");
        let reference = (1, bitcask::Fingerprint::MIN);
        let mut entity = Entity::new(b"key", reference, Instance::new(0, members, state, Some(held.clone())));
        entity.rest();
        assert_eq!(entity.instance.entry(), None);
        entity.renew(b"other", reference, state, Some(held.clone()));
        assert_eq!((&*entity.key, entity.instance.entry()), (&b"other"[..], Some(&held)));
        assert_eq!(entity.instance.state(), state);
    }
}
