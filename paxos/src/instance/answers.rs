//! The acceptor's side: what a request changes, what is told when, and what is withheld until it is durable.

use alloc::vec::Vec;

use super::{Copy, Instance, OwnVote, Pending};
use crate::acceptor::{AcceptorState, Verdict};
use crate::ballot::Ballot;
use crate::limits::WITHHELD_MAX;
use crate::message::{Message, Report};
use crate::mutants::planted;
use crate::output::{Entry, Output, Recorded};
use crate::quorum::Member;

impl<E: Entry> Instance<E> {
    pub(super) fn on_prepare(
        &mut self,
        from: Member,
        ballot: Ballot,
        holds: Ballot,
        floor: Ballot,
        out: &mut Vec<Output<E>>,
    ) {
        match self.working.state.prepare(floor, ballot) {
            Verdict::Changed => {
                let message = Message::Promise { ballot, report: self.report(holds) };
                if planted(1) {
                    out.push(Output::Send { to: from, message: message.clone() });
                }
                if !planted(3) {
                    self.persist(Recorded::Promised { ballot }, None, out);
                }
                self.answer(from, message, out);
            }
            Verdict::Again => {
                let message = Message::Promise { ballot, report: self.report(holds) };
                self.answer(from, message, out);
            }
            Verdict::Refused | Verdict::NeedBase => self.reject(from, ballot, floor, out),
        }
    }

    pub(super) fn on_accept(
        &mut self,
        from: Member,
        ballot: Ballot,
        base: Ballot,
        entry: E,
        floor: Ballot,
        out: &mut Vec<Output<E>>,
    ) {
        if !ballot.is_zero() && ballot == self.working.state.accepted {
            let same = self.working.entry.as_ref().is_some_and(|own| own.agrees(&entry));
            if !same {
                out.push(Output::Corrupt { from, ballot });
                return;
            }
        }
        match self.working.state.accept(floor, ballot, base) {
            Verdict::Changed => {
                self.working.entry = Some(entry.clone());
                if planted(2) {
                    out.push(Output::Send { to: from, message: Message::Accepted { ballot } });
                }
                self.persist(Recorded::Accepted { ballot, entry }, None, out);
                self.answer(from, Message::Accepted { ballot }, out);
            }
            Verdict::Again => self.answer(from, Message::Accepted { ballot }, out),
            Verdict::Refused => self.reject(from, ballot, floor, out),
            Verdict::NeedBase => self.answer(from, Message::NeedBase { ballot }, out),
        }
    }

    pub(super) fn on_restamp(
        &mut self,
        from: Member,
        ballot: Ballot,
        of: Ballot,
        floor: Ballot,
        out: &mut Vec<Output<E>>,
    ) {
        match self.working.state.restamp(floor, ballot, of) {
            Verdict::Changed => {
                let entry = self.working.entry.clone().expect("a record that is restamped is held");
                self.persist(Recorded::Accepted { ballot, entry }, None, out);
                self.answer(from, Message::Accepted { ballot }, out);
            }
            Verdict::Again => self.answer(from, Message::Accepted { ballot }, out),
            Verdict::Refused => self.reject(from, ballot, floor, out),
            Verdict::NeedBase => self.answer(from, Message::NeedBase { ballot }, out),
        }
    }

    fn reject(&mut self, to: Member, ballot: Ballot, floor: Ballot, out: &mut Vec<Output<E>>) {
        let AcceptorState { promised, accepted, chosen_to, .. } = self.working.state;
        self.answer(to, Message::Reject { ballot, promised, accepted, chosen_to, floor }, out);
    }

    /// Sends an answer, or withholds it until every change it may rest on is durable.
    fn answer(&mut self, to: Member, message: Message<E>, out: &mut Vec<Output<E>>) {
        let Some(pending) = self.pending.back_mut() else {
            out.push(Output::Send { to, message });
            return;
        };
        let withheld = &mut pending.withheld;
        match withheld.iter().position(|(member, kept)| *member == to && kept.same_answer(&message)) {
            Some(index) => withheld[index] = (to, message),
            None if withheld.len() < WITHHELD_MAX => withheld.push((to, message)),
            // As good as lost on the way.
            None => {}
        }
    }

    pub(super) fn persist(
        &mut self,
        record: Recorded<E>,
        own_vote: Option<OwnVote<E>>,
        out: &mut Vec<Output<E>>,
    ) {
        self.last_token += 1;
        let token = self.last_token;
        if self.pending.capacity() == 0 {
            // One change at a time is the rule, and instances are many.
            self.pending.reserve_exact(1);
        }
        self.pending.push_back(Pending { token, copy: self.working.clone(), withheld: Vec::new(), own_vote });
        out.push(Output::Persist { token, record });
    }

    /// The record as it will be once everything pending is durable.
    pub(super) fn report(&self, holds: Ballot) -> Report<E> {
        Self::report_of(&self.working, self.working.state.chosen_to, holds)
    }

    /// The record as it is durable now.
    pub(super) fn stable_report(&self, holds: Ballot) -> Report<E> {
        Self::report_of(&self.stable, self.working.state.chosen_to, holds)
    }

    fn report_of(copy: &Copy<E>, chosen_to: Ballot, holds: Ballot) -> Report<E> {
        let AcceptorState { accepted, taken_over, .. } = copy.state;
        let entry = if accepted > holds { copy.entry.clone() } else { None };
        Report { accepted, chosen_to, taken_over, entry }
    }
}
