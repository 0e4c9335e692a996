//! The range promise: phase 1 for all keys of some slots at once (docs/design/range-promise.md, modelled in `paxos/tests/ranges.rs`).
//!
//! A core takes one ballot for the slots that it is preferred for, and has the other members promise it for all keys of them. What they
//! hold it knows by being abreast of them ([`crate::abreast`]); so with a majority that has promised, phase 1 is done for every key of which
//! it holds the newest record that they told of, or of which nobody told anything. The first write of such a key takes one round trip.
//!
//! Parts: `promised` (what this core has promised, by runs of slots; pure), `grant` (the ballot that this core has, and who has promised it;
//! pure). What was promised is one named value of the log; the ballot is volatile, and one that is lost costs round trips.
//!
//! Invariants: what a member says after its promise is durable is read after that. A ballot that is promised for a slot binds this core's own
//! proposals as well. A ballot for ranges carries one entry of each key: the own acceptor grants it once. A learner neither asks
//! nor promises.

mod grant;
mod promised;

use std::collections::VecDeque;

use bitcask::KeyRef;
use paxos::{Ballot, Member};
use reactor::mutants::planted;
use reactor::Disk;

use self::grant::Grant;
use self::promised::Promised;
use crate::abreast::Noted;
use crate::config::node_of;
use crate::core::{ballot_of, meta, EntityId, Shard};
use crate::limits::RANGE_SAVES_MAX;
use crate::turn::Turn;
use crate::votes::Place;
use crate::wire::{Counted, PeerMessage, RangePrepare, RangePromise, RangeRefused, Sender, Told};

/// What a core keeps of promises for ranges of slots: those it gave, and the one it has.
#[derive(Debug)]
pub(crate) struct Ranges {
    promised: Promised,
    /// As it is durable.
    durable: Promised,
    /// Promises on their way to the log, in order.
    saving: VecDeque<Saving>,
    grant: Grant,
}

/// A promise on its way to the log.
#[derive(Debug)]
struct Saving {
    lsn: bitcask::Lsn,
    promised: Promised,
    ballot: Ballot,
    /// Who waits for it; nobody where it is the own one.
    owed: Option<Owed>,
}

/// An answer that leaves when a promise is durable.
#[derive(Clone, Debug)]
struct Owed {
    to: Member,
    /// Up to where the two are abreast, by what was asked, and the start of this core that is meant.
    place: (Counted, u32),
    /// What was counted when it was asked for; heeded by a planted bug alone.
    early: Option<Told>,
}

impl Ranges {
    /// Nothing promised, to nobody.
    pub fn new(members: usize) -> Ranges {
        Ranges {
            promised: Promised::default(),
            durable: Promised::default(),
            saving: VecDeque::new(),
            grant: Grant::new(members),
        }
    }

    /// Takes on what is durable. False: it cannot be read by this version.
    pub fn recover(&mut self, bytes: Option<&[u8]>) -> bool {
        let bytes = bytes.filter(|_| !planted(191)).unwrap_or_default();
        let Some(durable) = Promised::decode(bytes) else { return false };
        self.promised = durable.clone();
        self.durable = durable;
        true
    }

    /// The highest round that was promised.
    pub fn round_max(&self) -> u64 {
        self.promised.round_max()
    }

    /// What is durably promised for a slot.
    pub fn durable(&self, slot: u16) -> Ballot {
        self.durable.bound(slot)
    }

    /// The ballot of this core counts for nothing any more: it has started, or is in another epoch, or preferred for other slots.
    pub fn void(&mut self) {
        self.grant.void();
    }

    /// A ballot is lost for a key. If it is the one for ranges, somebody else has one above it.
    pub fn on_lost(&mut self, ballot: Ballot) {
        self.grant.on_lost(ballot);
    }

    /// What is on its way to the log is answered to nobody.
    pub fn forget_answers(&mut self) {
        self.saving.iter_mut().for_each(|saving| saving.owed = None);
    }
}

impl<D: Disk> Shard<D> {
    // ---- the acceptor ----

    /// Whatever is below it is refused, for keys of this slot: by what was promised for it, and what a former life may have promised.
    pub(crate) fn bound(&self, slot: u16) -> Ballot {
        let barred = if self.bar == 0 { Ballot::ZERO } else { Ballot::new(self.bar + 1, 0, 0) };
        self.ranges.promised.bound(slot).max(barred)
    }

    /// Whether a ballot is below what was promised for the slot of a key. What was accepted before is confirmed again.
    pub(crate) fn is_out_of_range(&self, reference: KeyRef, ballot: Ballot) -> bool {
        let spared = || planted(187) && self.accepted_here(reference).is_zero();
        ballot < self.ranges.promised.bound(reference.0)
            && self.accepted_here(reference) != ballot
            && !spared()
    }

    /// The ballot of a key's record here, durable or on its way to the log.
    fn accepted_here(&self, reference: KeyRef) -> Ballot {
        match self.places.get(&reference.1) {
            Some(Place::Entity(id)) => self.peek(*id).instance.state().accepted,
            Some(Place::Vote(id)) => self.votes[*id].ballot(),
            None => self.store.info_as(reference).entry.map_or(Ballot::ZERO, |entry| ballot_of(entry.stamp)),
        }
    }

    /// A member asks for a promise.
    pub(crate) fn on_range_prepare(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        asked: &RangePrepare,
    ) {
        let RangePrepare { ballot, place, incarnation, ref slots } = *asked;
        let node = node_of(self.config.hosts[usize::from(from)], self.config.slice);
        let (first, last) = self.config.slots();
        let own = slots.iter().all(|run| first <= run.0 && run.1 <= last);
        let theirs = (ballot.node, ballot.incarnation) == (node, theirs.incarnation);
        if !theirs || !own || !self.see_round(ballot.round) {
            self.metrics.messages_refused += 1;
            return;
        }
        let place = (place, incarnation);
        let early = planted(184).then(|| self.told_to(from, place));
        let owed = Owed { to: from, place, early };
        if self.ranges.durable.has(slots, ballot) {
            return self.say_promised(turn, ballot, owed);
        }
        let bound = slots.iter().map(|run| self.bound(run.0)).max().unwrap_or(Ballot::ZERO);
        let promised = self.ranges.promised.highest(slots).max(bound);
        if ballot < promised && !planted(189) {
            return self.say_refused(turn, from, RangeRefused { ballot, promised });
        }
        // What is on its way to the log is answered when it is durable.
        if !self.ranges.promised.has(slots, ballot) && self.promise_range(slots, ballot, Some(owed.clone())) {
            self.metrics.range_promises += 1;
            if planted(183) {
                self.say_promised(turn, ballot, owed);
            }
        }
    }

    /// Promises slots at a ballot: it binds at once, and is said when it is durable. False: the log does not take it now.
    fn promise_range(&mut self, slots: &[(u16, u16)], ballot: Ballot, owed: Option<Owed>) -> bool {
        if self.ranges.saving.len() >= RANGE_SAVES_MAX {
            return false;
        }
        let mut promised = self.ranges.promised.clone();
        promised.raise(slots, ballot);
        let Ok(lsn) = self.store.append_meta(meta::RANGES, &promised.encode()) else { return false };
        self.ranges.promised = promised.clone();
        self.ranges.saving.push_back(Saving { lsn, promised, ballot, owed });
        true
    }

    /// Records up to this one are durable, and in the directory.
    pub(crate) fn on_ranges_persisted(&mut self, turn: &mut Turn<'_, D>, lsn: bitcask::Lsn) {
        while let Some(saving) = self.ranges.saving.pop_front_if(|saving| saving.lsn <= lsn) {
            self.ranges.durable = saving.promised;
            match saving.owed {
                Some(owed) if !planted(183) => self.say_promised(turn, saving.ballot, owed),
                _ => self.ranges.grant.on_own(saving.ballot),
            }
        }
    }

    /// Tells of a durable promise, and what was counted until now.
    fn say_promised(&mut self, turn: &mut Turn<'_, D>, ballot: Ballot, owed: Owed) {
        let told = owed.early.unwrap_or_else(|| self.told_to(owed.to, owed.place));
        let sender = self.sender();
        self.metrics.messages_out += 1;
        let promise = RangePromise { ballot, told };
        turn.effects.message(owed.to, |out| PeerMessage::RangePromise(promise).encode(sender, out));
    }

    fn say_refused(&mut self, turn: &mut Turn<'_, D>, to: Member, refused: RangeRefused) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::RangeRefused(refused).encode(sender, out));
    }

    // ---- the proposer ----

    /// Takes a ballot for the slots that this core is preferred for, if one is wanted and members can be asked; and asks those that it
    /// has become abreast of.
    pub(crate) fn ask_ranges(&mut self, turn: &mut Turn<'_, D>) {
        let news = std::mem::take(&mut self.abreast.asker.has_news);
        let due = self.ranges.grant.is_due(turn.clock.now) && !self.config.learner;
        if due && !self.abreast.asker.named().is_empty() && self.has_begun_with_enough() {
            let slots = self.abreast.asker.named().to_vec();
            let ballot = self.fresh_ballot();
            if self.promise_range(&slots, ballot, None) {
                self.metrics.range_ballots += 1;
                self.ranges.grant.take(ballot, slots, turn.clock.now);
                return self.ask_grant(turn, false);
            }
        }
        if news {
            self.ask_grant(turn, false);
        }
    }

    /// Whether a majority of members, this one among them, could promise so that it counts.
    fn has_begun_with_enough(&self) -> bool {
        let begun =
            (0..).zip(&self.peers_up).filter(|(member, up)| **up && self.abreast.asker.has_begun(*member));
        begun.count() + 1 >= usize::from(self.members.majority())
    }

    /// Asks members that are up and abreast, and have not promised since they are. `again`: those too who were asked before.
    pub(crate) fn ask_grant(&mut self, turn: &mut Turn<'_, D>, again: bool) {
        let sender = self.sender();
        for member in (0..self.members.count()).filter(|member| *member != self.config.me) {
            let place = self.abreast.asker.place(member).filter(|_| self.peers_up[usize::from(member)]);
            let Some((place, incarnation)) = place else { continue };
            let Some(ballot) = self.ranges.grant.asking(member, (place, incarnation), again) else {
                continue;
            };
            let slots = self.ranges.grant.slots().to_vec();
            let prepare = RangePrepare { ballot, place, incarnation, slots };
            self.metrics.messages_out += 1;
            turn.effects.message(member, |out| PeerMessage::RangePrepare(prepare).encode(sender, out));
        }
    }

    /// A member has promised.
    pub(crate) fn on_range_promise(&mut self, from: Member, theirs: Sender, promise: &RangePromise) {
        let RangePromise { ballot, told } = promise;
        if self.note_told(from, theirs, told) == Noted::Told {
            self.ranges.grant.on_promise(from, *ballot, (told.place, theirs.incarnation));
        }
    }

    /// A member has not.
    pub(crate) fn on_range_refused(&mut self, from: Member, refused: RangeRefused) {
        if !self.see_round(refused.promised.round) {
            self.metrics.messages_refused += 1;
            return;
        }
        self.ranges.grant.on_refused(from, refused.ballot);
    }

    /// The ballot at which an entity's next entry may be proposed at once, if phase 1 is done for it there.
    pub(crate) fn granted_ballot(&mut self, id: EntityId) -> Option<Ballot> {
        let ballot = self.ranges.grant.ballot()?;
        let entity = self.peek(id);
        let (reference, state) = (entity.reference, entity.instance.state());
        let slot = reference.0;
        let first =
            entity.collisions == 0 && entity.settle.is_none() && entity.instance.current_ballot().is_none();
        if !first || !self.ranges.grant.has(slot) || state.accepted >= ballot || state.promised > ballot {
            return None;
        }
        let outlived = state.accepted.is_zero() && ballot.round <= self.floor.round;
        let left = usize::from(self.members.count()) - self.ranges.grant.refusals();
        if outlived || ballot < self.bound(slot) || left < usize::from(self.members.majority()) {
            self.ranges.grant.want();
            return None;
        }
        let newest = self.abreast.asker.need(reference.1) <= state.accepted || planted(185);
        let wanted = self.members.majority() - u8::from(planted(186) && self.members.majority() > 2);
        (newest && !state.taken_over && self.promised_by(slot) >= wanted).then_some(ballot)
    }

    /// How many members, this one among them, have promised so that what they hold of a slot is known.
    fn promised_by(&self, slot: u16) -> u8 {
        let asker = &self.abreast.asker;
        let covers = |member: &Member| {
            let (Some((then, start)), Some((now, of))) =
                (self.ranges.grant.promised(*member), asker.place(*member))
            else {
                return false;
            };
            let same = (then.subscription, start) == (now.subscription, of) && then.count <= now.count;
            same && (asker.is_abreast(*member, slot) || planted(190))
        };
        1 + (0..self.members.count()).filter(covers).count() as u8
    }
}
