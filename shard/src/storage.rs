//! What the log has to say: recovery and the start of a core, what has become durable, records that were read, and the end when it fails.

use std::mem;

use bitcask::KeyRef;
use paxos::Ballot;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{ballot_of, meta, Accepted, Change, EntityId, Loading, Shard, Status};
use crate::entity::Stage;
use crate::error::Fault;
use crate::held::{Bytes, Held};
use crate::limits::STARTS_BITS;
use crate::turn::Turn;

impl<D: Disk> Shard<D> {
    pub(crate) fn drain_store(&mut self, turn: &mut Turn<'_, D>) {
        while let Some(event) = self.store.poll() {
            match event {
                bitcask::Event::Ready(recovered) => self.on_recovered(&recovered),
                bitcask::Event::Persisted(lsn) => self.on_persisted(turn, lsn),
                bitcask::Event::Read { ticket, result } => match (self.tickets.remove(&ticket), result) {
                    (Some(loading), Ok(found)) => self.on_read_done(turn, loading, found),
                    (_, Err(error)) => self.fail(Fault::read(&error)),
                    (None, Ok(_)) => {}
                },
                bitcask::Event::Stretch { ticket, result: Ok(stretch) } => {
                    self.on_stretch(turn, ticket, &stretch)
                }
                bitcask::Event::Stretch { result: Err(error), .. } => self.fail(Fault::read(&error)),
                bitcask::Event::Full(_) => {}
                bitcask::Event::LossEnded => self.begin_to_serve(turn),
                bitcask::Event::Failed(fault) => self.fail(Fault::from(fault)),
            }
        }
    }

    fn on_recovered(&mut self, recovered: &bitcask::Recovered) {
        let before = self.number(meta::INCARNATION).unwrap_or(0);
        self.losses = recovered.losses;
        self.loss = self.store.loss().cloned();
        self.floor = self.store.meta(meta::FLOOR).and_then(floor_of).unwrap_or(Ballot::ZERO);
        self.bar = self.store.meta(meta::BAR).and_then(bar_of).unwrap_or(0);
        if !self.ranges.recover(self.store.meta(meta::RANGES)) {
            return self.fail(Fault::unreadable_ranges());
        }
        if !self.recover_flush_epoch() {
            return self.fail(Fault::unreadable_flush_epoch());
        }
        if !self.recover_catalog() {
            return self.fail(Fault::unreadable_catalog());
        }
        self.round = recovered.round_max.max(self.floor.round).max(self.bar).max(self.ranges.round_max());
        self.incarnation = before.checked_add(1).expect("four billion starts");
        if planted(101) {
            self.incarnation = before.max(1);
        }
        self.epoch = self.config.epoch.max(self.number(meta::EPOCH).unwrap_or(0));
        self.gather_entries();
        self.take_role();
        self.start();
    }

    /// A durable number of this core.
    pub(crate) fn number(&self, id: u8) -> Option<u32> {
        let bytes = self.store.meta(id)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Has the new incarnation written; what is served waits until it is durable.
    pub(crate) fn start(&mut self) {
        let incarnation = self.incarnation.to_le_bytes();
        let epoch = self.epoch.to_le_bytes();
        let mut written = self
            .store
            .append_meta(meta::INCARNATION, &incarnation)
            .and_then(|_| self.store.append_meta(meta::EPOCH, &epoch));
        if self.config.learner {
            written = written.and_then(|_| self.store.append_meta(meta::ROLE, &[meta::LEARNER]));
        }
        match written {
            Ok(_) if self.incarnation.trailing_zeros() >= STARTS_BITS => self.fail(Fault::starts()),
            Ok(lsn) => self.status = Status::Starting(lsn),
            Err(bitcask::AppendError::Making) => self.status = Status::Recovered,
            Err(error) => self.fail(Fault::refused_start(&error)),
        }
    }

    fn on_persisted(&mut self, turn: &mut Turn<'_, D>, lsn: bitcask::Lsn) {
        if matches!(self.status, Status::Starting(own) if own <= lsn) {
            if self.store.loss().is_some() {
                // The log says now that this core is a learner.
                self.status = Status::EndingLoss;
                self.store.end_loss(turn.disk);
            } else {
                self.begin_to_serve(turn);
            }
        }
        while self.waiting.front().is_some_and(|waiting| waiting.lsn <= lsn) {
            let Some(waiting) = self.waiting.pop_front() else { return };
            match waiting.change {
                Change::Entity(id, token, accepted) => {
                    if let Some(accepted) = accepted {
                        let reference = self.entities[id].reference;
                        self.note_durable(reference, accepted);
                        self.stir_by(turn, id);
                    }
                    self.on_entity_persisted(turn, id, token);
                }
                Change::Vote(id) => self.on_vote_persisted(turn, id),
                Change::Removal(reference, tombstone) => {
                    self.removing.remove(&reference.1);
                    self.abreast.on_dropped(reference, tombstone);
                }
            }
        }
        self.on_ranges_persisted(turn, lsn);
        self.on_epoch_persisted(lsn);
        self.on_role_persisted(turn, lsn);
        self.on_flush_persisted(turn, lsn);
        self.on_catalog_persisted(turn, lsn);
    }

    /// A record is durable and in the directory since this step.
    pub(crate) fn note_durable(&mut self, reference: KeyRef, accepted: Accepted) {
        let Accepted { ballot, copied, ends_ms } = accepted;
        self.expiring.note_record(reference, ends_ms);
        let passed_over = planted(174) && ballot.node == self.node || planted(180);
        self.abreast.on_durable(reference, ballot, copied || passed_over);
    }

    fn begin_to_serve(&mut self, turn: &mut Turn<'_, D>) {
        self.abreast.begin(self.incarnation);
        self.ranges.void();
        self.status = Status::Ready;
        self.note_start();
        self.begin_catalog(turn);
        self.greet(turn);
    }

    /// A change of an entity, and all before it, are durable.
    pub(crate) fn on_entity_persisted(&mut self, turn: &mut Turn<'_, D>, id: EntityId, token: paxos::Token) {
        self.step(turn, id, |instance, _, out| instance.persisted(token, out));
        let entity = &self.entities[id];
        if entity.wants_record() && !entity.loading {
            // Who waited for a delta to become durable, so that it could be read, may have got a whole meanwhile.
            match entity.is_cold() {
                true => self.load(turn, id),
                false => self.on_warm(turn, id),
            }
        }
    }

    /// The slice stops: nothing is stepped any more. The end of the turn clears up.
    pub(crate) fn fail(&mut self, fault: Fault) {
        self.status = Status::Failed;
        self.fault.get_or_insert(fault);
    }

    /// After a failure every command under way gets an answer that says so.
    pub(crate) fn clear_up(&mut self, turn: &mut Turn<'_, D>) {
        let Some(fault) = self.fault.clone() else { return };
        let ids: Vec<EntityId> = self.entities.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.fail_commands(turn, id, &fault);
        }
        self.fail_confirms(turn, &fault);
        self.fail_forwards(turn, &fault);
        self.fail_former(turn, &fault);
        self.fail_surveys(turn, &fault);
        self.fail_flushes(turn, &fault);
        self.fail_catalogs(turn, &fault);
        self.fail_joints(turn, &fault);
        self.fail_repair();
        self.fail_waits(turn);
        self.entities.clear();
        self.kept.clear();
        self.votes.clear();
        self.places.clear();
        self.removing.clear();
        self.ranges.forget_answers();
        self.waiting.clear();
        self.tickets.clear();
        self.deltas.clear();
        self.void_groups();
        self.timers.clear();
        self.touched.clear();
    }

    /// Starts to read a record; the result is used when it comes, or at once if it is cached.
    pub(crate) fn load(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        // What is on its way to the log cannot be read yet: it is read when it is durable.
        let entity = &self.entities[id];
        if !entity.loading && entity.is_durable() && self.read_entity(turn, id) {
            self.on_warm(turn, id);
        }
    }

    /// Has a cold entity's record read: true if it is here already, because it was cached.
    pub(crate) fn read_entity(&mut self, turn: &mut Turn<'_, D>, id: EntityId) -> bool {
        let entity = &mut self.entities[id];
        self.metrics.disk_reads += 1;
        match self.store.read_as(turn.disk, entity.reference, &entity.key) {
            bitcask::Read::Pending(ticket) => {
                entity.loading = true;
                self.tickets.insert(ticket, Loading::Entity(id));
                false
            }
            bitcask::Read::Ready(found) => {
                self.reload(id, &found);
                true
            }
            bitcask::Read::Absent => panic!("an entity is cold while the directory has its record"),
        }
    }

    /// Remembers what a pending read is for.
    pub(crate) fn expect_read(&mut self, ticket: bitcask::Ticket, loading: Loading) {
        self.tickets.insert(ticket, loading);
    }

    fn on_read_done(&mut self, turn: &mut Turn<'_, D>, loading: Loading, result: Option<bitcask::Found>) {
        match loading {
            Loading::Entity(id) => self.on_loaded(turn, id, result),
            Loading::Survey(read) => self.on_survey_read(turn, read, result),
            Loading::Serving(read) => self.on_serving_read(turn, read, result),
            Loading::Dropping(read) => self.on_dropping_read(turn, read, result),
            Loading::Emptying(slot) => self.on_emptying_read(turn, slot, result),
            Loading::Expiring(slot) => self.on_expiring_read(turn, slot, result),
            Loading::Regaining => self.on_regaining_read(turn, result),
            Loading::Entry(group, ticket) => self.on_entry_read(turn, (group, ticket), result),
            Loading::Trimming(kept) => self.on_trimming_read(turn, kept, result),
        }
    }

    /// The record is here, or it was replaced meanwhile: then its successor is in memory already.
    fn on_loaded(&mut self, turn: &mut Turn<'_, D>, id: EntityId, found: Option<bitcask::Found>) {
        let entity = &mut self.entities[id];
        assert!(entity.loading, "only a load that is under way ends");
        entity.loading = false;
        if let Some(found) = found {
            self.reload(id, &found);
        }
        self.on_warm(turn, id);
    }

    fn reload(&mut self, id: EntityId, found: &bitcask::Found) {
        let reference = self.entities[id].reference;
        // What is damage is nothing that anybody could run commands on, or take for an entry.
        let held = self.held_of(reference, found).unwrap_or(Held::Here(Bytes::from(&[][..])));
        self.entities[id].instance.reload(ballot_of(found.stamp), &held);
    }

    /// What waited for the record goes on.
    fn on_warm(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let entity = &mut self.entities[id];
        if entity.is_cold() {
            // The directory moved between the read and now, to a record that is durable and cold again: read that one.
            self.load(turn, id);
            return;
        }
        let sends = mem::take(&mut entity.waiting_sends);
        let steps = mem::take(&mut entity.waiting_steps);
        for (to, message) in sends {
            self.send(turn, id, to, message);
        }
        for (from, message) in steps {
            self.receive_late(turn, id, from, message);
        }
        if self.entities[id].stage == Stage::Loading {
            self.entities[id].stage = Stage::Idle;
            self.start_batch(turn, id);
        }
        self.touch(id);
    }
}

fn bar_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The floor of its encoding.
pub(crate) fn floor_of(bytes: &[u8]) -> Option<Ballot> {
    crate::wire::bytes::Reader::new(bytes, "floor").ballot().ok()
}
