//! The proposer's side: phase 1, the fast path, the votes and what ends a ballot.

use alloc::vec::Vec;

use super::{Instance, OwnVote};
use crate::acceptor::Verdict;
use crate::ballot::Ballot;
use crate::message::{Message, Report};
use crate::mutants::planted;
use crate::output::{Entry, Found, Lost, Output, Recorded};
use crate::proposer::{hopeless, Accepting, Phase, Phase1, Preparing};
use crate::quorum::{Member, MemberSet};

impl<E: Entry> Instance<E> {
    /// Whether Accept may be sent at the next ballot at once (consensus.md section 3, Fast): the last record here is this very
    /// proposer's, is chosen, and nobody has raised the promise since.
    pub fn can_fast(&self, node: u32, incarnation: u32) -> bool {
        let state = &self.working.state;
        matches!(self.phase, Phase::Idle)
            && state.is_chosen()
            && !state.taken_over
            && (state.accepted.same_proposer(Ballot::new(0, node, incarnation)) || planted(22))
            && state.promised == state.accepted.succ()
    }

    /// Starts phase 1 at a fresh ballot.
    pub fn prepare(&mut self, ballot: Ballot, floor: Ballot, out: &mut Vec<Output<E>>) {
        assert!(matches!(self.phase, Phase::Idle), "one proposal at a time");
        let holds = self.working.state.accepted;
        self.phase = Phase::Preparing(Preparing {
            ballot,
            holds,
            promises: Vec::new(),
            refused: MemberSet::EMPTY,
            rival: Ballot::ZERO,
        });
        match self.working.state.prepare(floor, ballot) {
            // Promised before: the own last accept pre-authorised this very ballot, and no Accept has used it, else the promise
            // were above it. It is recorded once more, so that the own promise counts by the one rule there is.
            Verdict::Changed | Verdict::Again => {
                let report = self.report(holds);
                self.persist(Recorded::Promised { ballot }, Some(OwnVote::Promise(ballot, report)), out);
                if planted(5) {
                    self.on_promise(self.me, ballot, self.report(holds), out);
                }
                self.resend(out);
            }
            // The ballot was not fresh: nothing left, nothing is lost but the ballot.
            Verdict::Refused | Verdict::NeedBase => self.lose(self.working.state.promised, out),
        }
    }

    /// Sends Accept for `entry`: after [`Output::Prepared`], or at once where [`Instance::can_fast`]. Its base is the state
    /// found, if that is known chosen. False: the own acceptor promised somebody else meanwhile; nothing left, and
    /// [`Output::Lost`] says so.
    pub fn propose(&mut self, entry: E, floor: Ballot, out: &mut Vec<Output<E>>) -> bool {
        let (ballot, base) = match &self.phase {
            Phase::Prepared { ballot, found, chosen, .. } => {
                (*ballot, if *chosen || planted(30) { *found } else { Ballot::ZERO })
            }
            Phase::Idle => {
                let accepted = self.working.state.accepted;
                assert!(self.working.state.is_chosen(), "the fast path stands on a chosen record");
                (accepted.succ(), accepted)
            }
            _ => panic!("a proposal follows phase 1 or the fast path"),
        };
        self.send_accepts(ballot, base, entry, Ballot::ZERO, MemberSet::EMPTY, floor, out)
    }

    /// Sends Accept for `entry` at a ballot that a majority has promised for every entity of the slot, none of them with a newer
    /// record than the own one when it had promised (docs/design/range-promise.md). The base is the own record, if that is known
    /// chosen. That the ballot carries one entry is seen to by the own acceptor, which grants it once. False: it refused; nothing
    /// left, and [`Output::Lost`] says so.
    pub fn propose_granted(
        &mut self,
        ballot: Ballot,
        entry: E,
        floor: Ballot,
        out: &mut Vec<Output<E>>,
    ) -> bool {
        assert!(matches!(self.phase, Phase::Idle), "one proposal at a time");
        let state = self.working.state;
        let base = if state.is_chosen() { state.accepted } else { Ballot::ZERO };
        self.send_accepts(ballot, base, entry, Ballot::ZERO, MemberSet::EMPTY, floor, out)
    }

    /// Has the state found by phase 1 chosen at the current ballot, unchanged.
    pub fn finish(&mut self, floor: Ballot, out: &mut Vec<Output<E>>) -> bool {
        let Phase::Prepared { ballot, found, entry: Some(entry), holders, .. } = &self.phase else {
            panic!("only a state that phase 1 found can be finished");
        };
        let (ballot, found, entry, holders) = (*ballot, *found, entry.clone(), *holders);
        self.send_accepts(ballot, Ballot::ZERO, entry, found, holders, floor, out)
    }

    /// Drops the current ballot: it is spent, and late answers count for nothing.
    pub fn abandon(&mut self) {
        self.phase = Phase::Idle;
    }

    /// Repeats the current question to every member that has not answered it.
    pub fn resend(&mut self, out: &mut Vec<Output<E>>) {
        let others = self.members.all().filter(|member| *member != self.me);
        match &self.phase {
            Phase::Preparing(p) => {
                let (ballot, holds) = (p.ballot, p.holds);
                let silent = others.filter(|m| !p.refused.contains(*m) && !p.has_promise_of(*m));
                out.extend(silent.map(|to| Output::Send { to, message: Message::Prepare { ballot, holds } }));
            }
            Phase::Accepting(a) => {
                let silent = others.filter(|m| !a.acks.contains(*m) && !a.refused.contains(*m));
                out.extend(silent.map(|to| Output::Send { to, message: a.message_to(to) }));
            }
            _ => {}
        }
        if let Some(round) = &self.read {
            let (id, holds, answered) = (round.id, round.holds, round.answered());
            let silent = self.members.all().filter(|m| *m != self.me && !answered.contains(*m));
            out.extend(silent.map(|to| Output::Send { to, message: Message::Query { id, holds } }));
        }
    }

    pub(super) fn on_promise(
        &mut self,
        from: Member,
        ballot: Ballot,
        report: Report<E>,
        out: &mut Vec<Output<E>>,
    ) {
        let Phase::Preparing(preparing) = &mut self.phase else { return };
        if preparing.ballot != ballot && !planted(14) || preparing.has_promise_of(from) && !planted(16) {
            return;
        }
        let ballot = preparing.ballot;
        preparing.promises.push((from, report));
        let own = (self.working.state.accepted, self.working.entry.as_ref());
        match preparing.weigh(self.members, self.me, own, self.working.state.chosen_to) {
            Phase1::Wait => {}
            Phase1::Behind => self.lose(Ballot::ZERO, out),
            Phase1::Found { ballot: found, entry, chosen, holders } => {
                self.mark_chosen(found, chosen);
                self.phase = Phase::Prepared { ballot, found, chosen, entry: entry.clone(), holders };
                let found = entry.map(|entry| Found { ballot: found, entry, chosen });
                out.push(Output::Prepared { found });
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn send_accepts(
        &mut self,
        ballot: Ballot,
        base: Ballot,
        entry: E,
        of: Ballot,
        holders: MemberSet,
        floor: Ballot,
        out: &mut Vec<Output<E>>,
    ) -> bool {
        if self.working.state.accept(floor, ballot, base) != Verdict::Changed {
            let rival = self.working.state.promised;
            self.phase = Phase::Idle;
            out.push(Output::Lost(Lost { ballot, accept_sent: false, rival }));
            return false;
        }
        self.working.entry = Some(entry.clone());
        let accepting = Accepting {
            ballot,
            base,
            entry: entry.clone(),
            of,
            holders,
            acks: MemberSet::EMPTY,
            refused: MemberSet::EMPTY,
            rival: Ballot::ZERO,
        };
        self.phase = Phase::Accepting(accepting);
        // The peers write while the own record is being written; a crash in between is harmless, because the incarnation in
        // the ballot makes it unrepeatable.
        self.resend(out);
        self.persist(Recorded::Accepted { ballot, entry }, Some(OwnVote::Accept(ballot)), out);
        if planted(4) {
            self.on_accepted(self.me, ballot, out);
        }
        true
    }

    pub(super) fn on_accepted(&mut self, from: Member, ballot: Ballot, out: &mut Vec<Output<E>>) {
        let Phase::Accepting(accepting) = &mut self.phase else { return };
        if accepting.ballot != ballot && !planted(13) {
            return;
        }
        let ballot = accepting.ballot;
        if planted(15) && accepting.acks.contains(from) {
            accepting.acks.insert((from + 1) % self.members.count());
        }
        accepting.acks.insert(from);
        if accepting.acks.count() >= self.members.majority() || planted(11) {
            self.phase = Phase::Idle;
            self.working.state.learn_chosen(ballot);
            // The read first: on hearing of Chosen the caller proposes the next entry, and then `entry` is that one.
            self.weigh_read(false, out);
            out.push(Output::Chosen { ballot });
        }
    }

    pub(super) fn on_reject(
        &mut self,
        from: Member,
        ballot: Ballot,
        promised: Ballot,
        out: &mut Vec<Output<E>>,
    ) {
        let (current, granted, refused, rival) = match &mut self.phase {
            Phase::Preparing(p) => (p.ballot, p.has_promise_of(from), &mut p.refused, &mut p.rival),
            Phase::Accepting(a) => (a.ballot, a.acks.contains(from), &mut a.refused, &mut a.rival),
            _ => return,
        };
        // What was granted stays granted: a repeated question that meets a later promise takes nothing back.
        if current != ballot || granted {
            return;
        }
        if planted(31) {
            return self.on_accepted(from, ballot, out);
        }
        refused.insert(from);
        *rival = promised.max(*rival);
        let rival = *rival;
        if hopeless(self.members, *refused) {
            self.lose(rival, out);
        }
    }

    /// A member lacks what a finish stands on: it gets the entry whole.
    pub(super) fn on_need_base(&mut self, from: Member, ballot: Ballot, out: &mut Vec<Output<E>>) {
        let Phase::Accepting(accepting) = &mut self.phase else { return };
        if accepting.ballot == ballot && accepting.holders.contains(from) {
            let Accepting { base, ref entry, .. } = *accepting;
            let message = Message::Accept { ballot, base, entry: entry.clone() };
            out.push(Output::Send { to: from, message });
        }
    }

    /// Takes note that the record found is chosen, if it is the one held here. Of a record that is not held nothing is kept: it
    /// may be a tombstone that all others drop, and then nobody could ever show it again.
    pub(super) fn mark_chosen(&mut self, ballot: Ballot, chosen: bool) {
        if chosen && self.working.state.accepted == ballot {
            self.working.state.learn_chosen(ballot);
        }
    }

    fn lose(&mut self, rival: Ballot, out: &mut Vec<Output<E>>) {
        let accept_sent = self.is_accepting();
        if planted(21) && accept_sent {
            self.working.state.learn_chosen(self.working.state.accepted);
        }
        if let Some(ballot) = self.current_ballot() {
            out.push(Output::Lost(Lost { ballot, accept_sent, rival }));
        }
        self.phase = Phase::Idle;
    }
}

impl<E: Clone> Accepting<E> {
    /// What a member is asked: a finish spares those that hold the entry already its bytes.
    fn message_to(&self, member: Member) -> Message<E> {
        let ballot = self.ballot;
        if self.holders.contains(member) {
            return Message::Restamp { ballot, of: self.of };
        }
        Message::Accept { ballot, base: self.base, entry: self.entry.clone() }
    }
}
