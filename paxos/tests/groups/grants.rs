//! Promises for all groups of a slot at once (docs/design/range-promise.md), and what a group does with them.

use paxos::{Ballot, Message, Output};

use super::member::{Change, Effects, Event, GroupMember, Id, Job};
use super::Mutation;

impl GroupMember {
    /// What a promise for the whole slot is made of: the ballot that it would be at, and the head that must not be older than anybody's.
    pub fn stands(&self) -> (u64, Ballot) {
        let state = self.inst.state();
        (self.round.max(state.promised.round).max(self.bound.round), state.accepted)
    }

    /// Promises for the whole slot.
    pub fn bind(&mut self, bound: Ballot) {
        self.bound = self.bound.max(bound);
        self.round = self.round.max(bound.round);
    }

    /// A majority has promised it.
    pub fn take_grant(&mut self, round: u64) -> Ballot {
        let ballot = Ballot::new(round, u32::from(self.me), self.incarnation);
        self.grant = Some(ballot);
        ballot
    }

    pub(super) fn may_use_grant(&mut self) -> bool {
        let state = self.inst.state();
        self.grant = self
            .grant
            .filter(|ballot| *ballot >= self.bound && *ballot >= state.promised && *ballot > state.accepted);
        self.grant.is_some()
    }

    /// A head that is not known to be chosen is finished first.
    pub(super) fn use_grant(&mut self, id: Id, out: &mut Vec<Output<Change>>, fx: &mut Effects) {
        let ballot = self.grant.take().expect("it was looked at");
        let head = self.inst.entry().cloned();
        let is_known = self.inst.state().is_chosen() || self.mutation == Mutation::GrantExtendsUndecided;
        let change = match head {
            Some(head) if !is_known => head,
            head => {
                let entry = head.map_or((0, Ballot::ZERO), |head| (head.version, head.origin));
                if !self.advance(entry, fx) {
                    return self.want(entry, fx);
                }
                if self.tree.version > entry.0 || self.has_applied(id) {
                    // Somebody went on, or the command is there already: the long way finds out.
                    return;
                }
                fx.events.push(Event::Counted("granted"));
                Change { version: entry.0 + 1, origin: ballot, base: entry.1, id }
            }
        };
        self.job = Some(Job::Write(id));
        self.round = self.round.max(ballot.round);
        self.proposal = Some((ballot, change.clone()));
        if self.inst.propose_granted(ballot, change.clone(), Ballot::ZERO, out) {
            fx.events.push(Event::Proposed { ballot, change });
        }
    }

    /// What is said to a request below the bound.
    pub(super) fn refusal(&self, message: &Message<Change>) -> Option<Message<Change>> {
        let (Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Restamp { ballot, .. }) = *message
        else {
            return None;
        };
        let is_again = ballot == self.inst.state().accepted;
        let (promised, floor) = (self.bound, Ballot::ZERO);
        let [accepted, chosen_to] = [Ballot::ZERO; 2];
        let refusal = Message::Reject { ballot, promised, accepted, chosen_to, floor };
        (ballot < self.bound && !is_again).then_some(refusal)
    }
}
