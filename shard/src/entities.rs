//! The entities in memory: found by key, made from the directory, dropped when nothing is under way for them any more.

use std::mem;

use bitcask::limits::WARM_KEYS;
use bitcask::{Fingerprint, KeyRef, Kind};
use paxos::{AcceptorState, Ballot, Instance};
use reactor::mutants::planted;
use reactor::Disk;

use crate::command::Command;
use crate::core::{ballot_of, stamp_of, EntityId, Shard};
use crate::entity::Entity;
use crate::held::Held;
use crate::limits::{ENTITIES_KEPT_MAX, ENTITIES_MAX};
use crate::votes::Place;
use crate::wire::asked_for;

impl<D: Disk> Shard<D> {
    /// The entity of a key if something is under way for it; a vote becomes an entity by this.
    pub(crate) fn find(&mut self, reference: KeyRef, key: &[u8]) -> Option<EntityId> {
        let id = match *self.places.get(&reference.1)? {
            Place::Entity(id) => id,
            Place::Vote(vote) => self.promote(vote),
        };
        // Two keys with one fingerprint: the second waits until the first is done, as if there were no room for it.
        (*self.entities[id].key == *key).then_some(id)
    }

    /// An entity in memory, to look at.
    pub(crate) fn peek(&self, id: EntityId) -> &Entity {
        &self.entities[id]
    }

    /// An entity in memory.
    pub(crate) fn entity(&mut self, id: EntityId) -> &mut Entity {
        &mut self.entities[id]
    }

    /// The entity of a key, made from the directory if it is not in memory. None at the bound.
    pub(crate) fn open(&mut self, slot: u16, key: &[u8]) -> Option<EntityId> {
        self.open_as(self.store.key_ref(slot, key), key)
    }

    /// As [`Shard::open`], where the key's reference is at hand.
    pub(crate) fn open_as(&mut self, reference: KeyRef, key: &[u8]) -> Option<EntityId> {
        if self.places.contains_key(&reference.1) {
            return self.find(reference, key);
        }
        if !self.has_room_for_more() {
            return None;
        }
        Some(self.make(reference, key))
    }

    /// Whether one more may be under way.
    pub(crate) fn has_room_for_more(&self) -> bool {
        self.places.len() < ENTITIES_MAX
    }

    /// Makes the entity of a key from the directory.
    pub(crate) fn make(&mut self, reference: KeyRef, key: &[u8]) -> EntityId {
        let (state, held) = self.durable_object(reference);
        let entity = match self.kept.pop() {
            Some(mut entity) => {
                entity.renew(key, reference, state, held);
                entity
            }
            None => {
                let instance = Instance::new(self.config.me, self.members, state, held);
                Box::new(Entity::new(key, reference, instance))
            }
        };
        let id = self.entities.insert(entity);
        self.places.insert(reference.1, Place::Entity(id));
        self.touch(id);
        id
    }

    /// These messages of a peer come next: what the directory knows of their keys is brought near.
    pub fn look_ahead(&self, messages: &[&[u8]]) {
        self.warm(messages.iter().filter_map(|bytes| asked_for(bytes)), false);
    }

    /// These commands come next: what the store knows of their keys is brought near.
    pub fn look_ahead_of<'c>(&self, commands: impl Iterator<Item = &'c Command>) {
        let keys = commands.filter_map(Command::key);
        self.warm(keys.map(|key| (crate::slot::slot(key), key)), true);
    }

    /// Brings what is known of keys near, a few at a time; `values`: their values too.
    fn warm<'k>(&self, mut keys: impl Iterator<Item = (u16, &'k [u8])>, values: bool) {
        let mut references = [(0, Fingerprint::MIN); WARM_KEYS];
        loop {
            let mut count = 0;
            for (place, (slot, key)) in references.iter_mut().zip(&mut keys) {
                *place = self.store.key_ref(slot, key);
                count += 1;
            }
            self.store.warm(&references[..count], values);
            if count < WARM_KEYS {
                return;
            }
        }
    }

    /// The acceptor state of a key from which an instance goes on: as the directory has it, or, where the removal of a
    /// tombstone is on its way to the log, as it will have it. What is written from now on is durable after that.
    pub(crate) fn durable_state(&self, reference: KeyRef) -> (AcceptorState, Option<Held>) {
        if !self.removing.is_empty() && self.removing.contains(&reference.1) {
            return (AcceptorState::default(), None);
        }
        self.stored_state(reference)
    }

    /// The acceptor state of a key as the directory has it.
    pub(crate) fn stored_state(&self, reference: KeyRef) -> (AcceptorState, Option<Held>) {
        let info = self.store.info_as(reference);
        let promised = info.promised.map_or(Ballot::ZERO, ballot_of);
        let Some(entry) = info.entry.filter(|entry| entry.kind != Kind::Tombstone || !planted(118)) else {
            return (AcceptorState { promised, ..AcceptorState::default() }, None);
        };
        let accepted = ballot_of(entry.stamp);
        let state = AcceptorState {
            promised: promised.max(accepted.succ()),
            accepted,
            chosen_to: if entry.marked || planted(108) { accepted } else { Ballot::ZERO },
            taken_over: false,
        };
        (state, Some(Held::Cold))
    }

    /// As [`Shard::durable_state`], with a large object that is kept decoded.
    fn durable_object(&mut self, reference: KeyRef) -> (AcceptorState, Option<Held>) {
        let (state, held) = self.durable_state(reference);
        let object = self.objects.find(reference.1, state.accepted).filter(|_| held.is_some());
        (state, object.map(Held::Object).or(held))
    }

    /// Lists the entity for the check at the end of the turn.
    pub(crate) fn touch(&mut self, id: EntityId) {
        if !mem::replace(&mut self.entities[id].touched, true) {
            self.touched.push(id);
        }
    }

    /// Drops the entities of this turn that nothing is under way for any more.
    pub(crate) fn drop_idle(&mut self) {
        let mut touched = mem::take(&mut self.touched);
        for id in touched.drain(..) {
            let entity = &mut self.entities[id];
            entity.touched = false;
            if !entity.is_idle() {
                continue;
            }
            let state = entity.instance.state();
            let reference = entity.reference;
            if state.is_chosen() || planted(112) {
                self.store.mark_as(reference, stamp_of(state.accepted));
            }
            if let Some(Held::Object(object)) = entity.instance.entry() {
                self.objects.put(reference.1, state.accepted, object.clone());
            }
            self.places.remove(&reference.1);
            let mut entity = self.entities.remove(id);
            if self.kept.len() < ENTITIES_KEPT_MAX && entity.is_small() {
                entity.rest();
                self.kept.push(entity);
            }
        }
        self.touched = touched;
    }
}
