//! The proposer's side: a ballot that members have promised for all keys of some slots. Pure.

use paxos::{Ballot, Member};
use reactor::clock::Nanos;

use crate::limits::RANGE_RENEW_NS;
use crate::wire::Counted;

/// A moment of a member's counter, with the member's start.
pub(crate) type Moment = (Counted, u32);

/// What a member has said of the ballot.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// Where the two were abreast when it was asked last.
    asked: Option<Moment>,
    /// It has promised, and all that it had counted by this moment, which is no earlier than the promise, is noted.
    promised: Option<Moment>,
    /// It has refused.
    refused: bool,
}

/// The ballot, and who has promised it.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Zero: there is none.
    ballot: Ballot,
    /// Runs of slots, in order and apart.
    slots: Vec<(u16, u16)>,
    /// The own promise is durable.
    here: bool,
    answers: Vec<Answer>,
    /// A ballot is wanted, or another one: the one there is was refused, or does not go for absent keys any more.
    wanted: bool,
    /// When another one may be taken.
    at: Nanos,
}

impl Grant {
    /// None, and one is wanted.
    pub fn new(members: usize) -> Grant {
        Grant {
            ballot: Ballot::ZERO,
            slots: Vec::new(),
            here: false,
            answers: vec![Answer::default(); members],
            wanted: true,
            at: 0,
        }
    }

    /// The ballot counts for nothing any more.
    pub fn void(&mut self) {
        (self.ballot, self.here, self.wanted) = (Ballot::ZERO, false, true);
        self.answers.fill(Answer::default());
    }

    /// Another ballot would be of use.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether another ballot is to be taken now.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.wanted && self.at <= now
    }

    /// Takes a ballot for these slots.
    pub fn take(&mut self, ballot: Ballot, slots: Vec<(u16, u16)>, now: Nanos) {
        self.void();
        (self.ballot, self.slots, self.wanted, self.at) = (ballot, slots, false, now + RANGE_RENEW_NS);
    }

    /// The ballot, if there is one that this core itself has promised, durably.
    pub fn ballot(&self) -> Option<Ballot> {
        (self.here && !self.ballot.is_zero()).then_some(self.ballot)
    }

    /// Whether the slot is one of those that the ballot is for.
    pub fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// The slots that the ballot is for.
    pub fn slots(&self) -> &[(u16, u16)] {
        &self.slots
    }

    /// The own promise of a ballot is durable.
    pub fn on_own(&mut self, ballot: Ballot) {
        self.here |= self.ballot == ballot;
    }

    /// The ballot that a member is to be asked to promise, where the two are abreast now: it has not refused, and was
    /// not asked since they began. `again`: what was not answered is asked once more.
    pub fn asking(&mut self, member: Member, place: Moment, again: bool) -> Option<Ballot> {
        let answer = &mut self.answers[usize::from(member)];
        let since = |moment: &Moment| moment.0.subscription == place.0.subscription && moment.1 == place.1;
        let asked = answer.asked.filter(since).is_some() && !again;
        if self.ballot.is_zero() || asked || answer.refused || answer.promised.filter(since).is_some() {
            return None;
        }
        answer.asked = Some(place);
        Some(self.ballot)
    }

    /// A member has promised a ballot, and all that it had counted by this moment is noted.
    pub fn on_promise(&mut self, member: Member, ballot: Ballot, moment: Moment) {
        if ballot == self.ballot {
            self.answers[usize::from(member)].promised = Some(moment);
        }
    }

    /// When a member had promised at the latest, if it has.
    pub fn promised(&self, member: Member) -> Option<Moment> {
        self.answers[usize::from(member)].promised
    }

    /// A member refuses a ballot.
    pub fn on_refused(&mut self, member: Member, ballot: Ballot) {
        self.answers[usize::from(member)].refused |= ballot == self.ballot;
    }

    /// How many members have refused.
    pub fn refusals(&self) -> usize {
        self.answers.iter().filter(|answer| answer.refused).count()
    }

    /// A ballot is lost for a key; if it is this one, a majority has promised more.
    pub fn on_lost(&mut self, ballot: Ballot) {
        self.wanted |= ballot == self.ballot;
    }
}
