//! The agreed read, and the copy of a record that it brings.

use alloc::vec::Vec;

use super::Instance;
use crate::acceptor::Verdict;
use crate::ballot::Ballot;
use crate::message::{Message, Report};
use crate::mutants::planted;
use crate::output::{Entry, Output, Recorded};
use crate::quorum::{Member, MemberSet};
use crate::read::{ReadOutcome, ReadRound};

impl<E: Entry> Instance<E> {
    /// Asks all others for their records (Agreed read). A read under way is replaced.
    pub fn query(&mut self, id: u64, out: &mut Vec<Output<E>>) {
        let mut all = MemberSet::EMPTY;
        self.members.all().for_each(|member| all.insert(member));
        self.query_some(id, all, out);
    }

    /// As [`Instance::query`], but asks only those of `whom` at first. [`Instance::resend`] asks the rest too: a question that is not
    /// sent is as good as one that was lost.
    pub fn query_some(&mut self, id: u64, whom: MemberSet, out: &mut Vec<Output<E>>) {
        let holds = self.working.state.accepted;
        self.read =
            Some(ReadRound { id, holds, reports: Vec::with_capacity(usize::from(self.members.count()) - 1) });
        let others = self.members.all().filter(|member| *member != self.me && whom.contains(*member));
        out.extend(others.map(|to| Output::Send { to, message: Message::Query { id, holds } }));
        self.weigh_read(false, out);
    }

    /// Decides the read with the answers there are: Conflict unless they suffice. Without a majority nothing is decided.
    pub fn settle_read(&mut self, out: &mut Vec<Output<E>>) {
        self.weigh_read(true, out);
    }

    /// Drops the read under way.
    pub fn abandon_read(&mut self) {
        self.read = None;
    }

    /// Takes over a record that is known to be chosen (an agreed read brought it). Refused, without harm, if a higher ballot
    /// was promised.
    pub fn take_over(&mut self, ballot: Ballot, entry: E, floor: Ballot, out: &mut Vec<Output<E>>) {
        if self.working.state.copy(floor, ballot) == Verdict::Changed {
            self.working.entry = Some(entry.clone());
            self.persist(Recorded::Accepted { ballot, entry }, None, out);
        }
    }

    pub(super) fn on_state(&mut self, from: Member, id: u64, report: Report<E>, out: &mut Vec<Output<E>>) {
        let Some(round) = &mut self.read else { return };
        let answered = round.answered().contains(from);
        if (round.id == id || planted(26)) && (!answered || planted(27)) {
            round.reports.push((from, report));
            self.weigh_read(false, out);
        }
    }

    pub(super) fn weigh_read(&mut self, last: bool, out: &mut Vec<Output<E>>) {
        let Some(round) = &self.read else { return };
        let stable = if planted(25) { &self.working } else { &self.stable }.state.accepted;
        let Some(outcome) = round.weigh(self.members, &self.working.state, stable, last) else { return };
        let id = round.id;
        self.read = None;
        if let ReadOutcome::Local { ballot } = &outcome {
            self.mark_chosen(*ballot, true);
        }
        out.push(Output::Read { id, outcome });
    }
}
