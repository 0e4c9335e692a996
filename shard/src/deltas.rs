//! Entries in two forms: who proposes a delta, who takes one, and what becomes of one whose base is not here (docs/design/collections.md, section 2).
//!
//! A proposer that changes a large object proposes a delta, where its own accepted record is what the batch ran on and the log takes one more of them for the
//! key; else the whole. It is one entry by its meaning: the instance knows no difference. An acceptor takes a delta where its own accepted
//! record is the base. Where it is not, the base may be on its way, or on its way to the log, and the delta waits for a moment; then the answer is
//! NeedBase, nothing changes, and the proposer sends that member the whole at the same ballot, or at a later one of its own.

use std::collections::VecDeque;
use std::rc::Rc;

use bitcask::{AppendError, KeyRef};
use paxos::acceptor::Verdict;
use paxos::{Ballot, Instance, Member, Members, Message};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{stamp_of, EntityId, Shard};
use crate::entity::Entity;
use crate::held::{is_large, Bytes, Held, Object};
use crate::limits::{
    DELTAS_WAITING_BYTES_MAX, DELTAS_WAITING_MAX, DELTA_BYTES_MAX, DELTA_WAIT_NS, WHOLE_NS_PER_BYTE,
    WHOLE_PAUSE_NS,
};
use crate::record::{Applied, Delta, Record};
use crate::requests;
use crate::state::State;
use crate::turn::Turn;

/// How an entry is written.
pub(crate) enum Written {
    /// There is none: a promise.
    Nothing,
    /// Whole.
    Whole(Bytes),
    /// As a delta on the record of this ballot.
    Delta(Bytes, Ballot),
}

/// The own accepted record before a step: what a delta that the step writes stands on.
pub(crate) struct Accepting {
    ballot: Ballot,
    object: Option<Rc<Object>>,
}

impl Accepting {
    /// The one of an instance that is about to be stepped.
    pub fn of(instance: &Instance<Held>) -> Accepting {
        let object = match instance.entry() {
            Some(Held::Object(object)) => Some(object.clone()),
            _ => None,
        };
        Accepting { ballot: instance.state().accepted, object }
    }

    /// Whether it is the same object, which is accepted once more.
    fn is_of(&self, object: &Rc<Object>) -> bool {
        self.object.as_ref().is_some_and(|own| Rc::ptr_eq(own, object))
    }
}

/// When members were sent a whole because they lacked what a delta stands on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lacking {
    sent: [Option<(Ballot, Nanos)>; Members::MAX as usize],
}

impl Lacking {
    /// Whether the whole of this ballot was sent to a member: then it is not asked to take the delta again.
    fn has(&self, member: Member, ballot: Ballot) -> bool {
        self.sent.get(usize::from(member)).is_some_and(|sent| sent.is_some_and(|(at, _)| at == ballot))
    }

    /// Whether it is time to send one of so many bytes. Else it is on its way, or the member takes them more slowly than they are made: repair
    /// sees to it then.
    fn is_due(&self, member: Member, bytes: usize, now: Nanos) -> bool {
        let pause = WHOLE_PAUSE_NS.max(bytes as u64 * WHOLE_NS_PER_BYTE);
        let sent = self.sent.get(usize::from(member)).copied().flatten();
        sent.is_none_or(|(_, at)| now >= at + pause)
    }

    fn note(&mut self, member: Member, ballot: Ballot, now: Nanos) {
        self.sent.iter_mut().skip(usize::from(member)).take(1).for_each(|sent| *sent = Some((ballot, now)));
    }
}

/// A delta that waits for its base.
#[derive(Debug)]
struct Waiting {
    until: Nanos,
    from: Member,
    reference: KeyRef,
    key: Box<[u8]>,
    ballot: Ballot,
    base: Ballot,
    delta: Bytes,
}

/// Those that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Deltas {
    /// When the first of them has waited long enough.
    pub fn deadline(&self) -> Option<Nanos> {
        self.waiting.front().map(|waiting| waiting.until)
    }

    fn has_room_for(&self, delta: &Bytes) -> bool {
        self.waiting.len() < DELTAS_WAITING_MAX && self.bytes + delta.len() <= DELTAS_WAITING_BYTES_MAX
    }

    /// Forgets them: as good as lost on their way.
    pub fn clear(&mut self) {
        *self = Deltas::default();
    }
}

impl Entity {
    /// The form in which an entry goes to a member. Whom it was sent whole gets it so again, and not more often than it takes wholes.
    pub fn form_for(&mut self, member: Member, ballot: Ballot, entry: &Held, now: Nanos) -> Held {
        let Held::Object(object) = entry else { return entry.clone() };
        let lacks = self.lacking.has(member, ballot);
        match object.delta_at(ballot) {
            Some(delta) if !lacks || !self.lacking.is_due(member, object.value_bytes(), now) => {
                Held::Delta(delta.clone())
            }
            Some(_) => {
                self.lacking.note(member, ballot, now);
                Held::Here(object.whole().clone())
            }
            None => Held::Here(object.whole().clone()),
        }
    }
}

impl<D: Disk> Shard<D> {
    // ---- the proposer ----

    /// A record that a batch is to run on, with a large object decoded; the entity has it like that from then on.
    pub(crate) fn open_base(&mut self, id: EntityId, ballot: Ballot, held: Held) -> Held {
        if !matches!(held, Held::Here(_)) || ballot != self.peek(id).instance.state().accepted {
            return held;
        }
        let held = self.open_object(self.peek(id).reference, ballot, held);
        if matches!(held, Held::Object(_)) {
            self.entity(id).instance.reload(ballot, &held);
        }
        held
    }

    /// Has a large object note what becomes of it, if the own accepted record is what the batch runs on; says whether it does.
    pub(crate) fn take_notes(&self, id: EntityId, base: Ballot, state: &mut State) -> bool {
        let extends = base == self.peek(id).instance.state().accepted && state.ties.is_none();
        if !extends || !is_large(state.value.as_ref(), self.config.delta_object_bytes_min) {
            return false;
        }
        let Some(value) = &mut state.value else { return false };
        // More would be hardly better than the whole.
        value.begin_notes(DELTA_BYTES_MAX.min(value.bytes() / 2));
        state.requests.begin_notes();
        true
    }

    /// The entry of a record with a large object, as a delta of the own record where that is possible.
    pub(crate) fn object_of(
        &mut self,
        id: EntityId,
        mut record: Record,
        ballot: Ballot,
        extends: Option<Ballot>,
    ) -> Held {
        let changes = record.value.as_mut().and_then(|value| value.changes());
        let requests = record.requests.changes().map(|requests| match planted(542) {
            true => requests::Changes { done: Vec::new(), ..requests },
            false => requests,
        });
        let delta = extends
            .zip(changes.zip(requests))
            .and_then(|(base, (changes, requests))| Delta::new(base, &record, changes, requests));
        let delta = delta.and_then(|delta| {
            let mut bytes = Vec::new();
            delta.encode(&mut bytes).then(|| Bytes::from(bytes))
        });
        let entity = self.peek(id);
        let taken = |delta: &Bytes| {
            let base = Delta::base_of(delta).map(stamp_of);
            base.is_some_and(|base| {
                self.store.takes_delta_as(entity.reference, entity.key.len(), base, delta)
            })
        };
        let delta = delta.filter(taken);
        let object = Rc::new(Object::new(ballot, record, delta));
        if let Some(base) = extends.filter(|_| planted(518)) {
            self.entity(id).instance.reload(base, &Held::Object(object.clone()));
        }
        Held::Object(object)
    }

    /// How an entry is written: as the delta that it is, or as one that says the same again where it is the end of a chain; else whole.
    pub(crate) fn form_to_write(
        &self,
        id: EntityId,
        before: &Accepting,
        ballot: Ballot,
        entry: &Held,
    ) -> Written {
        let entity = self.peek(id);
        let takes = |delta: Bytes| {
            let base = Delta::base_of(&delta)?;
            let base = if planted(512) { entity.instance.stable_accepted() } else { base };
            // The log may not know of what is under way: a delta on anything else than the own record would stand behind another.
            let is_base = planted(512)
                || base == before.ballot
                    && self.store.takes_delta_as(entity.reference, entity.key.len(), stamp_of(base), &delta);
            is_base.then_some(Written::Delta(delta, base))
        };
        let delta = match entry {
            Held::Delta(delta) => takes(delta.clone()),
            Held::Object(object) => match object.delta_at(ballot) {
                Some(delta) => takes(delta.clone()),
                // The same again: it says so of the record that it was accepted in last.
                None if before.is_of(object) => object.delta_of_nothing(before.ballot).and_then(takes),
                None => None,
            },
            Held::Here(_) | Held::Cold => None,
        };
        let whole = || entry.bytes().expect("a delta is taken where the log takes it").clone();
        delta.unwrap_or_else(|| Written::Whole(whole()))
    }

    /// A member lacks what a delta of this core stands on: it gets the whole, of the newest entry that this core proposed.
    pub(crate) fn on_need_base(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        reference: KeyRef,
        key: &[u8],
        ballot: Ballot,
    ) {
        if !ballot.same_proposer(Ballot::new(0, self.node, self.incarnation)) {
            return;
        }
        self.metrics.need_base_received += 1;
        let Some(id) = self.open_as(reference, key) else { return };
        let now = turn.clock.now;
        let entity = self.entity(id);
        let at = entity.instance.state().accepted;
        let is_own = at >= ballot && at.same_proposer(ballot);
        let Some(Held::Object(object)) = entity.instance.entry().filter(|_| is_own) else { return };
        let object = object.clone();
        if object.delta_at(at).is_none() || !entity.lacking.is_due(from, object.value_bytes(), now) {
            return;
        }
        entity.lacking.note(from, at, now);
        let whole = match planted(513) {
            true => {
                let record = Record { applied: Applied::default(), ..object.record.clone() };
                Object::new(at, record, None).whole().clone()
            }
            false => object.whole().clone(),
        };
        self.metrics.wholes_sent += 1;
        let message = Message::Accept { ballot: at, base: Ballot::ZERO, entry: Held::Here(whole) };
        self.send(turn, id, from, message);
        self.touch(id);
    }

    // ---- the acceptor ----

    /// Steps an Accept with a delta, if its base is here.
    pub(crate) fn receive_delta(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        from: Member,
        (ballot, base): (Ballot, Ballot),
        delta: Bytes,
    ) {
        self.try_delta(turn, id, turn.clock.now + DELTA_WAIT_NS, from, (ballot, base), delta);
    }

    fn try_delta(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        until: Nanos,
        from: Member,
        (ballot, base): (Ballot, Ballot),
        delta: Bytes,
    ) {
        let now = turn.clock.now;
        let entity = self.peek(id);
        let state = entity.instance.state();
        let (reference, key_bytes) = (entity.reference, entity.key.len());
        let stands_on = Delta::base_of(&delta).expect("deltas are checked when they arrive");
        let grants =
            state.accepted != ballot && state.clone().accept(self.floor, ballot, base) == Verdict::Changed;
        let stands_on = if planted(512) { state.accepted } else { stands_on };
        let fits = || {
            let (kind, _) = crate::expiring::kind_of(&delta);
            if state.accepted != stands_on || state.accepted.is_zero() {
                return Err(AppendError::Changed);
            }
            self.store.admits_delta_as(reference, key_bytes, kind, stamp_of(stands_on), &delta)
        };
        match if grants { fits() } else { Ok(()) } {
            Ok(()) => {
                let message = Message::Accept { ballot, base, entry: Held::Delta(delta) };
                self.step(turn, id, |instance, floor, out| instance.receive(from, message, floor, out));
            }
            // The base may be under way, or on its way to the log.
            Err(AppendError::Changed)
                if state.accepted <= stands_on && now < until && self.deltas.has_room_for(&delta) =>
            {
                let key = entity.key.clone().into_boxed_slice();
                self.deltas.bytes += delta.len();
                let waiting = Waiting { until, from, reference, key, ballot, base, delta };
                let place = self.deltas.waiting.partition_point(|other| other.until <= until);
                self.deltas.waiting.insert(place, waiting);
            }
            Err(AppendError::Changed | AppendError::Chain) => {
                self.metrics.need_base_sent += 1;
                let message =
                    if planted(514) { Message::Accepted { ballot } } else { Message::NeedBase { ballot } };
                self.send(turn, id, from, message);
            }
            Err(_) => self.metrics.messages_refused += 1,
        }
        self.touch(id);
    }

    /// Deltas that waited: whose base is here, or whose time is over.
    pub(crate) fn try_deltas(&mut self, turn: &mut Turn<'_, D>) {
        // Each once: one that goes on waiting holds up nobody.
        let waiting = std::mem::take(&mut self.deltas).waiting;
        for waiting in waiting {
            let Waiting { until, from, reference, key, ballot, base, delta } = waiting;
            // More may have been promised for the slot meanwhile, or an epoch begun.
            let heeded =
                !self.is_barred(ballot) && ballot >= self.bound(reference.0) && self.epoch_saving.is_none();
            if let Some(id) = self.open_as(reference, &key).filter(|_| heeded) {
                self.try_delta(turn, id, until, from, (ballot, base), delta);
            }
        }
    }
}
