//! The acceptor: a pure function over a small state (consensus.md section 2).

use crate::ballot::Ballot;
use crate::mutants::planted;

/// What one replica remembers of one entity. `promised`, `accepted` and `taken_over` are durable; `chosen_to` is knowledge
/// that may be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AcceptorState {
    /// The lowest ballot still accepted. Never goes down.
    pub promised: Ballot,
    /// The ballot of the accepted record; ZERO when there is none.
    pub accepted: Ballot,
    /// The highest ballot known to be chosen.
    pub chosen_to: Ballot,
    /// The record was copied while the replica was a learner: it is no vote.
    pub taken_over: bool,
}

/// What the acceptor does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Granted, and durable state changed.
    Changed,
    /// Granted before; nothing changes.
    Again,
    /// Refused.
    Refused,
    /// The record that the request stands on is not here.
    NeedBase,
}

impl AcceptorState {
    /// Whether `accepted` is known to be chosen: only equality proves it.
    pub fn is_chosen(&self) -> bool {
        !self.accepted.is_zero() && self.chosen_to == self.accepted
    }

    /// Takes note that `ballot` is chosen.
    pub fn learn_chosen(&mut self, ballot: Ballot) {
        self.chosen_to = self.chosen_to.max(ballot);
    }

    /// Whether the vote for `ballot` was given before, and its record is still here.
    fn holds_vote(&self, ballot: Ballot) -> bool {
        !ballot.is_zero() && ballot == self.accepted && !self.taken_over
    }

    /// Whether `ballot` is barred: below the promise, or the entity is absent and the floor covers the ballot. A bare
    /// promise counts as absent. Nothing is ever proposed at ballot zero: who sends it is broken, and is refused.
    fn bars(&self, floor: Ballot, ballot: Ballot) -> bool {
        let promised = if planted(7) { self.accepted } else { self.promised };
        ballot.is_zero() || ballot < promised || (self.accepted.is_zero() && ballot <= floor)
    }

    /// Prepare{ballot}.
    pub fn prepare(&mut self, floor: Ballot, ballot: Ballot) -> Verdict {
        if self.bars(floor, ballot) {
            return Verdict::Refused;
        }
        if ballot == self.promised {
            return Verdict::Again;
        }
        self.promised = ballot;
        Verdict::Changed
    }

    /// Accept{ballot, base}. Equality with the accepted ballot is tested before the promise: a repeated Accept
    /// is answered again, although its own first arrival raised the promise above it.
    pub fn accept(&mut self, floor: Ballot, ballot: Ballot, base: Ballot) -> Verdict {
        if self.holds_vote(ballot) {
            self.learn_chosen(base);
            return Verdict::Again;
        }
        if self.bars(floor, ballot) {
            return Verdict::Refused;
        }
        let before = self.promised;
        self.accepted = ballot;
        // The pre-authorisation: exactly a Prepare{succ(ballot)} by the same proposer that travels with the accept.
        self.promised = if planted(8) { ballot } else { ballot.succ() };
        self.taken_over = false;
        self.learn_chosen(base);
        assert!(self.promised > before, "a promise never goes down");
        Verdict::Changed
    }

    /// Restamp{ballot, of}: as accept, with the entry taken from the own record if that is the one at `of`.
    pub fn restamp(&mut self, floor: Ballot, ballot: Ballot, of: Ballot) -> Verdict {
        if self.holds_vote(ballot) {
            return Verdict::Again;
        }
        if self.bars(floor, ballot) {
            return Verdict::Refused;
        }
        if self.accepted != of && !planted(10) || of.is_zero() {
            return Verdict::NeedBase;
        }
        self.accept(floor, ballot, Ballot::ZERO)
    }

    /// A single copy of a record known to be chosen at `ballot` (a read or a repair brought it). Handled as an accept, so that
    /// it can never undo a promise.
    pub fn copy(&mut self, floor: Ballot, ballot: Ballot) -> Verdict {
        if planted(9) && ballot > self.accepted && ballot < self.promised {
            *self = AcceptorState {
                promised: ballot.succ(),
                accepted: ballot,
                chosen_to: ballot,
                taken_over: false,
            };
            return Verdict::Changed;
        }
        let verdict = self.accept(floor, ballot, Ballot::ZERO);
        if verdict != Verdict::Refused {
            self.learn_chosen(ballot);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::{AcceptorState, Verdict};
    use crate::ballot::Ballot;

    fn b(round: u64, node: u32) -> Ballot {
        Ballot::new(round, node, 1)
    }

    #[test]
    fn the_table_of_prepare_and_accept() {
        let held = AcceptorState { promised: b(5, 1).succ(), accepted: b(5, 1), ..Default::default() };
        let bare = AcceptorState { promised: b(5, 2), ..Default::default() };
        // (state, floor, ballot, verdict of prepare, verdict of accept)
        let table = [
            (AcceptorState::default(), 0, b(1, 1), Verdict::Changed, Verdict::Changed),
            (AcceptorState::default(), 3, b(3, 0), Verdict::Refused, Verdict::Refused),
            (AcceptorState::default(), 3, b(4, 1), Verdict::Changed, Verdict::Changed),
            (held, 0, b(5, 1), Verdict::Refused, Verdict::Again),
            (held, 0, b(5, 2), Verdict::Refused, Verdict::Refused),
            (held, 9, b(6, 1), Verdict::Again, Verdict::Changed),
            (held, 9, b(7, 0), Verdict::Changed, Verdict::Changed),
            (bare, 0, b(5, 1), Verdict::Refused, Verdict::Refused),
            (bare, 0, b(5, 2), Verdict::Again, Verdict::Changed),
            (bare, 9, b(6, 2), Verdict::Refused, Verdict::Refused),
        ];
        for (index, (state, floor, ballot, prepare, accept)) in table.into_iter().enumerate() {
            let floor = Ballot::new(floor, u32::MAX, u32::MAX);
            assert_eq!(state.clone().prepare(floor, ballot), prepare, "prepare, row {index}");
            assert_eq!(state.clone().accept(floor, ballot, Ballot::ZERO), accept, "accept, row {index}");
        }
    }

    #[test]
    fn a_restamp_needs_the_very_record() {
        let mut state = AcceptorState::default();
        assert_eq!(state.restamp(Ballot::ZERO, b(2, 1), Ballot::ZERO), Verdict::NeedBase);
        assert_eq!(state.accept(Ballot::ZERO, b(1, 1), Ballot::ZERO), Verdict::Changed);
        assert_eq!(state.restamp(Ballot::ZERO, b(3, 2), b(1, 2)), Verdict::NeedBase);
        assert_eq!(state.restamp(Ballot::ZERO, b(3, 2), b(1, 1)), Verdict::Changed);
        assert_eq!((state.accepted, state.promised), (b(3, 2), b(4, 2)));
        assert_eq!(state.restamp(Ballot::ZERO, b(3, 2), b(1, 1)), Verdict::Again);
    }

    #[test]
    fn a_copy_marks_chosen_and_respects_the_promise() {
        let mut state = AcceptorState { promised: b(9, 1), ..Default::default() };
        assert_eq!(state.copy(Ballot::ZERO, b(8, 1)), Verdict::Refused);
        assert_eq!(state.chosen_to, Ballot::ZERO);
        assert_eq!(state.copy(Ballot::ZERO, b(9, 1)), Verdict::Changed);
        assert!(state.is_chosen());
    }

    #[test]
    fn a_taken_over_record_becomes_a_vote_only_by_an_accept() {
        let mut state =
            AcceptorState { promised: b(4, 1), accepted: b(4, 1), taken_over: true, ..Default::default() };
        assert_eq!(state.accept(Ballot::ZERO, b(4, 1), Ballot::ZERO), Verdict::Changed);
        assert!(!state.taken_over);
    }
}
