//! Votes without an entity: what an acceptor is asked most, in its shortest form.
//!
//! Of what peers ask of a core nearly all is one Accept for a key that nothing is under way for here. An entity with its
//! instance would be made for it, and dropped a sync later. A [`Vote`] is what is left when nothing else happens
//! meanwhile: the message, until its record is durable, and then the Accepted.
//!
//! The rule is that of `paxos`, [`AcceptorState::accept`] over the state that the directory has. A message that is not plainly
//! granted goes the long way, and as soon as anything else concerns the key the vote becomes an entity: a fresh
//! instance over the same durable state gets the same Accept, so it decides the same; what it wants to have written is
//! what was written. Nothing can change the durable state meanwhile, because whatever does goes through the entity.

use bitcask::{KeyRef, Record as LogRecord};
use paxos::{AcceptorState, Ballot, Member, Message, Output};
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{stamp_of, Accepted, Change, EntityId, Shard, Waiting};
use crate::error::Fault;
use crate::expiring::kind_of;
use crate::held::{Bytes, Held};
use crate::record::{Delta, Record};
use crate::turn::Turn;
use crate::wire::{AcceptMessage, PeerMessage};

/// Index of a vote.
pub(crate) type VoteId = usize;

/// What is under way for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An entity.
    Entity(EntityId),
    /// A vote alone.
    Vote(VoteId),
}

/// A vote that waits for the log.
#[derive(Debug)]
pub(crate) enum Vote {
    /// Nothing else concerns its key.
    Alone(Alone),
    /// It became an entity, which waits for this token.
    Joined { entity: EntityId, token: paxos::Token, reference: KeyRef, accepted: Accepted },
}

/// The Accept of a vote.
#[derive(Debug)]
pub(crate) struct Alone {
    from: Member,
    reference: KeyRef,
    accepted: Accepted,
    base: Ballot,
    key_bytes: usize,
    is_delta: bool,
    /// The key, and the entry behind it.
    bytes: Box<[u8]>,
}

impl Alone {
    fn new(from: Member, reference: KeyRef, accept: &AcceptMessage<'_>, accepted: Accepted) -> Alone {
        let AcceptMessage { key, base, entry, is_delta, .. } = *accept;
        let mut bytes = Vec::with_capacity(key.len() + entry.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(entry);
        let (key_bytes, bytes) = (key.len(), bytes.into_boxed_slice());
        Alone { from, reference, accepted, base, key_bytes, is_delta, bytes }
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_bytes]
    }

    fn entry(&self) -> &[u8] {
        &self.bytes[self.key_bytes..]
    }

    fn message(&self) -> Message<Held> {
        let bytes = Bytes::from(self.entry());
        let entry = if self.is_delta { Held::Delta(bytes) } else { Held::Here(bytes) };
        Message::Accept { ballot: self.accepted.ballot, base: self.base, entry }
    }
}

impl Vote {
    /// What was voted for.
    pub fn ballot(&self) -> Ballot {
        match self {
            Vote::Alone(vote) => vote.accepted.ballot,
            Vote::Joined { accepted, .. } => accepted.ballot,
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Takes an Accept that is plainly granted. False, and nothing has changed: the message has to go the long way.
    pub(crate) fn vote(&mut self, turn: &mut Turn<'_, D>, from: Member, bytes: &[u8]) -> bool {
        let Some(accept) = AcceptMessage::read(bytes) else { return false };
        if !self.heeds_vote(from, &accept) {
            return false;
        }
        let AcceptMessage { slot, key, ballot, base, entry, sender, is_delta } = accept;
        let reference = self.store.key_ref(slot, key);
        if self.places.contains_key(&reference.1) || !self.has_room_for_more() {
            return false;
        }
        let (mut state, _) = self.durable_state(reference);
        // A delta stands on the own record, or goes the long way.
        let stands_on = Some(state.accepted).filter(|_| is_delta);
        if stands_on.is_some_and(|own| own.is_zero() || Delta::base_of(entry) != Some(own) && !planted(512)) {
            return false;
        }
        if !is_granted(&mut state, self.floor, ballot, base) {
            return false;
        }
        let (kind, ends_ms) = kind_of(entry);
        let admits = match stands_on.map(stamp_of) {
            Some(base) => self.store.admits_delta_as(reference, key.len(), kind, base, entry),
            None => self.admits_record(reference, key.len(), kind, entry),
        };
        if admits.is_err() || !self.see_round(ballot.round.max(base.round)) {
            return false;
        }
        self.metrics.messages_in += 1;
        if self.note_incarnation(from, sender.incarnation) {
            self.drop_waiters_of(turn, from);
        }
        let head = self.log_entry_of(reference, key, entry);
        let record = LogRecord { slot, key, kind, stamp: stamp_of(ballot), body: entry };
        self.metrics.deltas_written += u64::from(is_delta);
        self.metrics.delta_bytes += if is_delta { entry.len() as u64 } else { 0 };
        let written = match stands_on.map(stamp_of) {
            Some(base) => self.store.append_delta_as(reference, record, base),
            None => self.store.append_as(reference, record, false),
        };
        match written {
            Ok(lsn) => {
                let accepted = Accepted { ballot, copied: false, ends_ms };
                let id = self.votes.insert(Vote::Alone(Alone::new(from, reference, &accept, accepted)));
                self.places.insert(reference.1, Place::Vote(id));
                self.waiting.push_back(Waiting { lsn, change: Change::Vote(id) });
                if let Some(head) = head {
                    self.follow(turn, reference, key, &head);
                }
                if planted(180) {
                    self.abreast.on_durable(reference, ballot, false);
                }
                if planted(144) {
                    self.say_accepted(turn, from, slot, key, ballot);
                }
            }
            // What cannot be written was refused before; so this is the end of the log.
            Err(error) => self.fail(Fault::append(&error)),
        }
        true
    }

    /// Whether the Accept is one that this core heeds and can store.
    fn heeds_vote(&self, from: Member, accept: &AcceptMessage<'_>) -> bool {
        let here = accept.sender.epoch == self.epoch
            && self.epoch_saving.is_none()
            && (accept.sender.flush <= self.flushing.epoch() || planted(533))
            && accept.sender.catalog <= self.catalogs.version();
        let voters = !self.config.learner && !self.learners[usize::from(from)];
        let readable = || {
            accept.key.len() <= self.config.limits.key_bytes_max
                && crate::slot::slot(accept.key) == accept.slot
                && if accept.is_delta { Delta::check(accept.entry) } else { Record::check(accept.entry) }
                    .is_ok()
                && self.is_of_known_epoch(accept.key, accept.entry)
        };
        here && voters && accept.ballot >= self.bound(accept.slot) && readable()
    }

    /// The record of a vote is durable: it is told, unless an entity tells it.
    pub(crate) fn on_vote_persisted(&mut self, turn: &mut Turn<'_, D>, id: VoteId) {
        match self.votes.remove(id) {
            Vote::Alone(vote) => {
                let place = self.places.remove(&vote.reference.1);
                assert!(place == Some(Place::Vote(id)), "a vote alone is what is under way for its key");
                self.note_durable(vote.reference, vote.accepted);
                if !planted(144) {
                    self.say_accepted(turn, vote.from, vote.reference.0, vote.key(), vote.accepted.ballot);
                }
                let entries = self.entries_in(vote.entry());
                self.stir(turn, vote.reference.1, entries);
            }
            Vote::Joined { entity, token, reference, accepted } => {
                self.note_durable(reference, accepted);
                self.stir_by(turn, entity);
                self.on_entity_persisted(turn, entity, token);
            }
        }
    }

    fn say_accepted(&mut self, turn: &mut Turn<'_, D>, to: Member, slot: u16, key: &[u8], ballot: Ballot) {
        let (sender, message) = (self.sender(), Message::Accepted { ballot });
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Paxos { slot, key, message }.encode(sender, out));
    }

    /// Makes an entity of a vote, because something else concerns its key now.
    pub(crate) fn promote(&mut self, id: VoteId) -> EntityId {
        let Vote::Alone(vote) = &self.votes[id] else {
            panic!("what is under way for a key is in one place")
        };
        let (from, message, reference, accepted) = (vote.from, vote.message(), vote.reference, vote.accepted);
        let key = vote.key().to_vec();
        let entity = self.make(reference, &key);
        let mut outputs = Vec::new();
        // The floor may have risen since; it does not take back what was granted.
        self.entities[entity].instance.receive(from, message, Ballot::ZERO, &mut outputs);
        let token = match outputs[..] {
            [Output::Persist { token, .. }] => token,
            _ => panic!("an instance grants what was granted, and withholds its answer"),
        };
        self.votes[id] = Vote::Joined { entity, token, reference, accepted };
        entity
    }
}

/// Whether the Accept changes the state, and so is granted. One that was accepted before is compared, which is not done here.
fn is_granted(state: &mut AcceptorState, floor: Ballot, ballot: Ballot, base: Ballot) -> bool {
    ballot != state.accepted && state.accept(floor, ballot, base) == paxos::acceptor::Verdict::Changed
}
