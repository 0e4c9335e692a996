//! What peers ask of this core: messages in, steps of the instances, answers out.

use bitcask::{KeyRef, Kind};
use paxos::{Ballot, Member, Message, Report};
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{stamp_of, EntityId, Shard, Status};
use crate::entity::Stage;
use crate::error;
use crate::held::Held;
use crate::record::{Delta, Record};
use crate::reply::Reply;
use crate::turn::Turn;
use crate::wire::PeerMessage;

impl<D: Disk> Shard<D> {
    /// A message from another member's core of this slice. Malformed ones are counted and dropped.
    pub fn on_message(&mut self, turn: &mut Turn<'_, D>, from: Member, bytes: &[u8]) {
        assert!(
            from < self.members.count() && from != self.config.me,
            "messages come from the other members"
        );
        if self.status != Status::Ready {
            return;
        }
        if self.flushing.is_saving() {
            self.metrics.flush_held += 1;
            return self.hold(from, bytes);
        }
        if self.vote(turn, from, bytes) {
            return;
        }
        self.metrics.messages_in += 1;
        let Ok((theirs, message)) = PeerMessage::decode(bytes) else {
            self.metrics.messages_refused += 1;
            return;
        };
        if !self.heeds_flush_epoch(turn, from, theirs, &message, bytes)
            || !self.heeds_catalog(turn, from, theirs, &message, bytes)
        {
            return;
        }
        let started = self.note_incarnation(from, theirs.incarnation);
        if started {
            self.drop_waiters_of(turn, from);
        }
        self.note_catalog_of(turn, from, theirs);
        if let PeerMessage::Catalog(said) = message {
            // Learners, and who works under another epoch, need it as well: it was chosen.
            return self.on_catalog_said(turn, from, said);
        }
        if !self.heeds_epoch(turn, from, theirs.epoch, &message) || !self.heeds(turn, from, &message) {
            return;
        }
        match message {
            PeerMessage::Paxos { slot, key, message } => self.on_paxos(turn, from, slot, key, message),
            PeerMessage::Forward(forward) => self.on_forward(turn, from, &forward, false),
            PeerMessage::HandOver(forward) => self.on_forward(turn, from, &forward, true),
            PeerMessage::Forwarded { id, reply } => self.on_forwarded(turn, id, reply),
            PeerMessage::NotForwarded { id, never } => self.on_not_forwarded(turn, id, never),
            PeerMessage::ForwardHeld(id) => self.on_forward_held(id),
            PeerMessage::WrongEpoch => self.metrics.messages_refused += 1,
            PeerMessage::Hello { learner } => self.on_hello(turn, from, learner, started),
            PeerMessage::SlotQuery(query) => self.on_slot_query(turn, from, &query),
            PeerMessage::SlotAnswer(answer) => self.on_slot_answer(turn, from, answer),
            PeerMessage::RepairAsk(ask) => self.on_repair_ask(turn, from, &ask),
            PeerMessage::RepairAnswer(answer) => self.on_repair_answer(turn, from, theirs, answer),
            PeerMessage::Name(name) => self.on_name(from, theirs, name),
            PeerMessage::Confirm(confirm) => self.on_confirm(turn, from, &confirm),
            PeerMessage::Confirmed(told) => self.on_confirmed(turn, from, theirs, &told),
            PeerMessage::RangePrepare(asked) => self.on_range_prepare(turn, from, theirs, &asked),
            PeerMessage::RangePromise(promise) => self.on_range_promise(from, theirs, &promise),
            PeerMessage::RangeRefused(refused) => self.on_range_refused(from, refused),
            PeerMessage::Wait(wait) => self.on_wait(turn, from, wait),
            PeerMessage::Flush(flush) => self.on_flush_said(turn, from, theirs, flush),
            PeerMessage::Group(said) => self.on_group_said(turn, from, &said),
            PeerMessage::Catalog(_) => {}
        }
    }

    /// Takes note of a member's start; whether that is news.
    pub(crate) fn note_incarnation(&mut self, member: Member, incarnation: u32) -> bool {
        let newest = &mut self.peer_incarnations[usize::from(member)];
        let news = incarnation > std::mem::replace(newest, incarnation.max(*newest));
        if news {
            self.abreast.on_start_of(member);
        }
        news
    }

    fn on_paxos(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        slot: u16,
        key: &[u8],
        message: Message<Held>,
    ) {
        let reference = self.store.key_ref(slot, key);
        let vote = matches!(message, Message::Accepted { .. } | Message::State { .. });
        if vote && !self.places.contains_key(&reference.1) {
            // Nobody waits for it any more: a majority was there before.
            return;
        }
        let readable = key.len() <= self.config.limits.key_bytes_max && self.is_readable(key, &message);
        if crate::slot::slot(key) != slot || !readable || !self.see_round(message.round_max()) {
            self.metrics.messages_refused += 1;
            return;
        }
        if let Some(ballot) = self.out_of_bounds(reference, &message) {
            return self.refuse(turn, from, (slot, key), ballot);
        }
        if let Message::NeedBase { ballot } = &message {
            self.on_need_base(turn, from, reference, key, *ballot);
        }
        match &message {
            answer if is_answer(answer) => {
                if let Some(id) = self.find(reference, key) {
                    let race = self.peek(id).is_race();
                    self.step(turn, id, |instance, floor, out| instance.receive(from, message, floor, out));
                    self.weigh_what_there_is(turn, id);
                    let entity = self.peek(id);
                    if race && !entity.is_race() && entity.stage != Stage::Settling {
                        self.readers.on_decided(turn.clock.now, from);
                    }
                }
            }
            Message::Query { id, holds } if !self.places.contains_key(&reference.1) => {
                self.answer_query(turn, from, reference, key, *id, *holds);
            }
            _ => self.on_request(turn, from, reference, key, message),
        }
    }

    /// Whether a former life may have promised somebody not to vote for this ballot ([`crate::repair`]).
    pub(crate) fn is_barred(&self, ballot: Ballot) -> bool {
        ballot.round <= self.bar
    }

    /// The ballot of a request that is barred, or below what is promised for the slot of its key.
    fn out_of_bounds(&self, reference: KeyRef, message: &Message<Held>) -> Option<Ballot> {
        let (Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Restamp { ballot, .. }) = message
        else {
            return None;
        };
        (self.is_barred(*ballot) || self.is_out_of_range(reference, *ballot)).then_some(*ballot)
    }

    /// Refuses what is barred, or below the promise for the slot, as if all up to there were promised.
    fn refuse(&mut self, turn: &mut Turn<'_, D>, to: Member, (slot, key): (u16, &[u8]), ballot: Ballot) {
        let promised = self.bound(slot);
        let [accepted, chosen_to] = [Ballot::ZERO; 2];
        let message = Message::Reject { ballot, promised, accepted, chosen_to, floor: self.floor };
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Paxos { slot, key, message }.encode(sender, out));
    }

    fn on_request(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        reference: KeyRef,
        key: &[u8],
        message: Message<Held>,
    ) {
        let Some(id) = self.open_as(reference, key) else {
            self.metrics.messages_refused += 1;
            return;
        };
        if matches!(message, Message::Restamp { .. }) && self.entity(id).is_cold() {
            self.entity(id).waiting_steps.push((from, message));
            self.load(turn, id);
            return;
        }
        match message {
            Message::Accept { ballot, base, entry: Held::Delta(delta) } => {
                self.receive_delta(turn, id, from, (ballot, base), delta);
            }
            message => self.receive(turn, id, from, message),
        }
    }

    /// Steps a request that waited for the record of its key. More may have been promised for the slot meanwhile.
    pub(crate) fn receive_late(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        from: Member,
        message: Message<Held>,
    ) {
        let reference = self.peek(id).reference;
        if matches!(message, Message::Restamp { .. }) && self.peek(id).is_cold() {
            // One before it put a delta in the place of what was read.
            self.entity(id).waiting_steps.push((from, message));
            return self.load(turn, id);
        }
        match self.out_of_bounds(reference, &message) {
            Some(ballot) if !planted(192) => {
                let key = self.peek(id).key.clone();
                self.refuse(turn, from, (reference.0, &key), ballot);
            }
            _ => self.receive(turn, id, from, message),
        }
    }

    /// Steps a request, if the log has room for what it may have written. Without room there is no vote; the other replicas may
    /// still make a majority.
    fn receive(&mut self, turn: &mut Turn<'_, D>, id: EntityId, from: Member, message: Message<Held>) {
        let own = self.peek(id).instance.entry();
        let room = match &message {
            Message::Prepare { .. } => self.admit(id, Kind::Promise, 0),
            Message::Accept { entry, .. } => self.admit_entry(id, entry),
            Message::Restamp { .. } => own.map_or(Ok(()), |held| self.admit_entry(id, held)),
            _ => Ok(()),
        };
        match room {
            Ok(()) => self.step(turn, id, |instance, floor, out| instance.receive(from, message, floor, out)),
            Err(_) => self.metrics.messages_refused += 1,
        }
    }

    /// Whether the log takes an entry of the entity now, in the form in which it is to be written.
    pub(crate) fn admit_entry(&self, id: EntityId, entry: &Held) -> Result<(), Reply> {
        let entity = self.peek(id);
        if let Held::Object(object) = entry {
            let base = object.delta.as_ref().and_then(|delta| Delta::base_of(delta)).map(stamp_of);
            if let Some((base, delta)) = base.zip(object.delta.as_ref()) {
                let (reference, key_bytes) = (entity.reference, entity.key.len());
                if self.store.takes_delta_as(reference, key_bytes, base, delta) {
                    let admits = self.store.admits_delta_as(reference, key_bytes, Kind::Value, base, delta);
                    return admits.map_err(error::refused);
                }
            }
        }
        let Some(bytes) = entry.bytes() else { return Ok(()) };
        // Of an older flush epoch or not: what is written are these bytes.
        let dead = Record::is_tombstone(bytes) == Ok(true);
        let kind = if dead { Kind::Tombstone } else { Kind::Value };
        self.admits_record(entity.reference, entity.key.len(), kind, bytes).map_err(error::refused)
    }

    /// Whether the entry that a message carries, if it does, is one that this version can store.
    fn is_readable(&self, key: &[u8], message: &Message<Held>) -> bool {
        let entry = match message {
            Message::Accept { entry, .. } => Some(entry),
            Message::Promise { report, .. } | Message::State { report, .. } => report.entry.as_ref(),
            _ => None,
        };
        entry.is_none_or(|entry| match entry {
            Held::Delta(delta) => Delta::check(delta).is_ok() && self.is_of_known_epoch(key, delta),
            entry => entry
                .bytes()
                .is_none_or(|bytes| Record::check(bytes).is_ok() && self.is_of_known_epoch(key, bytes)),
        })
    }

    /// Answers a Query about an entity that nothing is under way for: from the directory, without making an instance.
    fn answer_query(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        reference: KeyRef,
        key: &[u8],
        query: u64,
        holds: Ballot,
    ) {
        let (state, _) = self.durable_state(reference);
        if state.accepted > holds {
            return self.on_request(turn, from, reference, key, Message::Query { id: query, holds });
        }
        let (accepted, chosen_to, taken_over) = (state.accepted, state.chosen_to, state.taken_over);
        let report = Report { accepted, chosen_to, taken_over, entry: None };
        let message = Message::State { id: query, report };
        let (sender, slot) = (self.sender(), reference.0);
        self.metrics.messages_out += 1;
        turn.effects.message(from, |out| PeerMessage::Paxos { slot, key, message }.encode(sender, out));
    }
}

/// Whether the message answers a question.
fn is_answer(message: &Message<Held>) -> bool {
    matches!(
        message,
        Message::Promise { .. }
            | Message::Accepted { .. }
            | Message::Reject { .. }
            | Message::NeedBase { .. }
            | Message::State { .. }
    )
}
