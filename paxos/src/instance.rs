//! One entity on one replica: acceptor, proposer and agreed read around one record, with withheld messages.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::acceptor::{AcceptorState, Verdict};
use crate::ballot::Ballot;
use crate::limits::{PENDING_MAX, WITHHELD_MAX};
use crate::message::{Message, Report};
use crate::mutants::planted;
use crate::proposer::{hopeless, Accepting, Phase, Phase1, Preparing};
use crate::quorum::{Member, MemberSet, Members};
use crate::read::{ReadOutcome, ReadRound};

/// What the crate must know of an entry, and no more.
pub trait Entry: Clone {
    /// Whether both mean the same. May answer true when it cannot tell: this finds corruption, it decides nothing.
    fn agrees(&self, other: &Self) -> bool;
}

/// Names one pending change of durable state of one instance. Tokens grow; `persisted` covers all up to one.
pub type Token = u64;

/// A change to write to stable storage before anything that depends on it may leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recorded<E> {
    /// The promise rose to `ballot`, above what the accepted record implies.
    Promised {
        /// The promise.
        ballot: Ballot,
    },
    /// `entry` was accepted at `ballot`, and the promise is the ballot's successor.
    Accepted {
        /// The ballot of the record.
        ballot: Ballot,
        /// The record.
        entry: E,
    },
}

/// The state that phase 1 found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<E> {
    /// The ballot at which it was accepted.
    pub ballot: Ballot,
    /// The entry.
    pub entry: E,
    /// Whether it is known to be chosen. If not, it must be finished or extended before it is answered from.
    pub chosen: bool,
}

/// A ballot that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The ballot; it is spent.
    pub ballot: Ballot,
    /// Whether an Accept left at it: then its entry may yet be chosen by somebody else.
    pub accept_sent: bool,
    /// The highest promise that was named against it.
    pub rival: Ballot,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Make the record durable, then call [`Instance::persisted`].
    Persist {
        /// What to say when it is durable.
        token: Token,
        /// The change.
        record: Recorded<E>,
    },
    /// Send a message to a member (never to this one).
    Send {
        /// The receiver.
        to: Member,
        /// The message.
        message: Message<E>,
    },
    /// Phase 1 is done: run the commands on the state found, then call [`Instance::propose`], [`Instance::finish`] or
    /// [`Instance::abandon`].
    Prepared {
        /// None: the entity is absent.
        found: Option<Found<E>>,
    },
    /// The entry proposed at this ballot is chosen.
    Chosen {
        /// The ballot.
        ballot: Ballot,
    },
    /// The current ballot can no longer win.
    Lost(Lost),
    /// The agreed read is decided. Of the outputs of one call it stands before all that makes the caller go on, so that
    /// [`Instance::entry`] is still the record that it names; the caller looks before its next call.
    Read {
        /// The question.
        id: u64,
        /// The answer.
        outcome: ReadOutcome<E>,
    },
    /// A member sent another entry for a ballot that this replica accepted: corruption or a forged ballot. Refused.
    Corrupt {
        /// The sender.
        from: Member,
        /// The ballot.
        ballot: Ballot,
    },
}

/// The accepted record with its state, as durable or as about to be.
#[derive(Clone, Debug, Hash)]
struct Copy<E> {
    state: AcceptorState,
    entry: Option<E>,
}

/// The proposer's own vote that becomes valid with a pending change.
#[derive(Clone, Debug, Hash)]
enum OwnVote<E> {
    Promise(Ballot, Report<E>),
    Accept(Ballot),
}

/// A change on its way to stable storage, and all that waits for it.
#[derive(Clone, Debug)]
struct Pending<E> {
    token: Token,
    copy: Copy<E>,
    withheld: Vec<(Member, Message<E>)>,
    own_vote: Option<OwnVote<E>>,
}

/// One entity on one replica.
#[derive(Clone, Debug)]
pub struct Instance<E> {
    me: Member,
    members: Members,
    stable: Copy<E>,
    working: Copy<E>,
    pending: VecDeque<Pending<E>>,
    last_token: Token,
    phase: Phase<E>,
    read: Option<ReadRound<E>>,
}

impl<E: Entry> Instance<E> {
    /// An instance over durable state: the acceptor state and the accepted entry, if there is one.
    pub fn new(me: Member, members: Members, state: AcceptorState, entry: Option<E>) -> Instance<E> {
        assert!(me < members.count(), "a replica is one of the members");
        assert!(state.accepted.is_zero() == entry.is_none(), "an accepted ballot has an entry");
        assert!(state.accepted.is_zero() || state.promised > state.accepted || state.taken_over, "succ");
        let copy = Copy { state, entry };
        Instance {
            me,
            members,
            stable: copy.clone(),
            working: copy,
            pending: VecDeque::new(),
            last_token: 0,
            phase: Phase::Idle,
            read: None,
        }
    }

    /// The size of the member set.
    pub fn members(&self) -> Members {
        self.members
    }

    /// The acceptor state, changes that are not yet durable included.
    pub fn state(&self) -> AcceptorState {
        self.working.state
    }

    /// The accepted entry, changes that are not yet durable included.
    pub fn entry(&self) -> Option<&E> {
        self.working.entry.as_ref()
    }

    /// The ballot of the accepted record that is durable here.
    pub fn stable_accepted(&self) -> Ballot {
        self.stable.state.accepted
    }

    /// Whether nothing is under way, so that the instance can be dropped and made again from durable state and the one
    /// bit "accepted is chosen".
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && matches!(self.phase, Phase::Idle) && self.read.is_none()
    }

    /// The ballot under way, if any.
    pub fn current_ballot(&self) -> Option<Ballot> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Preparing(p) => Some(p.ballot),
            Phase::Prepared { ballot, .. } => Some(*ballot),
            Phase::Accepting(a) => Some(a.ballot),
        }
    }

    /// Whether an Accept at the current ballot is out.
    pub fn is_accepting(&self) -> bool {
        matches!(self.phase, Phase::Accepting(_))
    }

    /// Whether somebody refused the current ballot: repeating it is of little use.
    pub fn is_contested(&self) -> bool {
        match &self.phase {
            Phase::Preparing(p) => p.refused.count() > 0,
            Phase::Accepting(a) => a.refused.count() > 0,
            _ => false,
        }
    }

    /// How many members, this one included, have answered the current ballot or read in any way.
    pub fn answered(&self) -> u8 {
        let mut set = match &self.phase {
            Phase::Preparing(p) => p.promises.iter().fold(p.refused, |mut set, (member, _)| {
                set.insert(*member);
                set
            }),
            Phase::Accepting(a) => a.acks.union(a.refused),
            _ => self.read.as_ref().map_or(MemberSet::EMPTY, ReadRound::answered),
        };
        set.insert(self.me);
        set.count()
    }

    /// Records that `ballot` is chosen, where the caller knows it (it kept the bit while the instance was away).
    pub fn learn_chosen(&mut self, ballot: Ballot) {
        self.working.state.learn_chosen(ballot);
    }

    /// Exchanges the handle of the entry accepted at `ballot` for another of the same entry (the caller has loaded its bytes).
    pub fn reload(&mut self, ballot: Ballot, entry: &E) {
        for copy in [&mut self.stable, &mut self.working] {
            if (copy.state.accepted == ballot || planted(29)) && copy.entry.is_some() {
                copy.entry = Some(entry.clone());
            }
        }
    }

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

    /// Asks all others for their records (Agreed read). A read under way is replaced.
    pub fn query(&mut self, id: u64, out: &mut Vec<Output<E>>) {
        let holds = self.working.state.accepted;
        self.read = Some(ReadRound { id, holds, reports: Vec::new() });
        let others = self.members.all().filter(|member| *member != self.me);
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

    /// The change named by `token`, and all before it, are on stable storage.
    pub fn persisted(&mut self, token: Token, out: &mut Vec<Output<E>>) {
        while self.pending.front().is_some_and(|pending| pending.token <= token || planted(6)) {
            let Some(pending) = self.pending.pop_front() else { return };
            assert!(
                pending.copy.state.promised >= self.stable.state.promised,
                "a durable promise never goes down"
            );
            self.stable = pending.copy;
            // A read that waited for the own record to become durable may be decidable now.
            self.weigh_read(false, out);
            out.extend(pending.withheld.into_iter().map(|(to, message)| Output::Send { to, message }));
            match pending.own_vote {
                Some(OwnVote::Promise(ballot, report)) => self.on_promise(self.me, ballot, report, out),
                Some(OwnVote::Accept(ballot)) => self.on_accepted(self.me, ballot, out),
                None => {}
            }
        }
    }

    /// A message from another member.
    pub fn receive(&mut self, from: Member, message: Message<E>, floor: Ballot, out: &mut Vec<Output<E>>) {
        assert!(from != self.me && from < self.members.count(), "messages come from the other members");
        match message {
            // As good as lost on the way: a stalled disk must not gather the world's requests.
            Message::Prepare { .. } | Message::Accept { .. } | Message::Restamp { .. }
                if self.pending.len() >= PENDING_MAX => {}
            Message::Prepare { ballot, holds } => self.on_prepare(from, ballot, holds, floor, out),
            Message::Accept { ballot, base, entry } => self.on_accept(from, ballot, base, entry, floor, out),
            Message::Restamp { ballot, of } => self.on_restamp(from, ballot, of, floor, out),
            Message::Query { id, holds } => {
                let report = if planted(28) { self.report(holds) } else { self.stable_report(holds) };
                out.push(Output::Send { to: from, message: Message::State { id, report } });
            }
            Message::Promise { ballot, report } => self.on_promise(from, ballot, report, out),
            Message::Accepted { ballot } => self.on_accepted(from, ballot, out),
            Message::Reject { ballot, promised, .. } => self.on_reject(from, ballot, promised, out),
            Message::NeedBase { ballot } => self.on_need_base(from, ballot, out),
            Message::State { id, report } => self.on_state(from, id, report, out),
        }
    }

    // ---- acceptor side ----

    fn on_prepare(
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

    fn on_accept(
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

    fn on_restamp(
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

    fn persist(&mut self, record: Recorded<E>, own_vote: Option<OwnVote<E>>, out: &mut Vec<Output<E>>) {
        self.last_token += 1;
        let token = self.last_token;
        self.pending.push_back(Pending { token, copy: self.working.clone(), withheld: Vec::new(), own_vote });
        out.push(Output::Persist { token, record });
    }

    /// The record as it will be once everything pending is durable.
    fn report(&self, holds: Ballot) -> Report<E> {
        Self::report_of(&self.working, self.working.state.chosen_to, holds)
    }

    /// The record as it is durable now.
    fn stable_report(&self, holds: Ballot) -> Report<E> {
        Self::report_of(&self.stable, self.working.state.chosen_to, holds)
    }

    fn report_of(copy: &Copy<E>, chosen_to: Ballot, holds: Ballot) -> Report<E> {
        let AcceptorState { accepted, taken_over, .. } = copy.state;
        let entry = if accepted > holds { copy.entry.clone() } else { None };
        Report { accepted, chosen_to, taken_over, entry }
    }

    // ---- proposer side ----

    fn on_promise(&mut self, from: Member, ballot: Ballot, report: Report<E>, out: &mut Vec<Output<E>>) {
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

    fn on_accepted(&mut self, from: Member, ballot: Ballot, out: &mut Vec<Output<E>>) {
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

    fn on_reject(&mut self, from: Member, ballot: Ballot, promised: Ballot, out: &mut Vec<Output<E>>) {
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
    fn on_need_base(&mut self, from: Member, ballot: Ballot, out: &mut Vec<Output<E>>) {
        let Phase::Accepting(accepting) = &mut self.phase else { return };
        if accepting.ballot == ballot && accepting.holders.contains(from) {
            let Accepting { base, ref entry, .. } = *accepting;
            let message = Message::Accept { ballot, base, entry: entry.clone() };
            out.push(Output::Send { to: from, message });
        }
    }

    /// Takes note that the record found is chosen, if it is the one held here. Of a record that is not held nothing is kept: it
    /// may be a tombstone that all others drop, and then nobody could ever show it again.
    fn mark_chosen(&mut self, ballot: Ballot, chosen: bool) {
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

    // ---- reads ----

    fn on_state(&mut self, from: Member, id: u64, report: Report<E>, out: &mut Vec<Output<E>>) {
        let Some(round) = &mut self.read else { return };
        let answered = round.answered().contains(from);
        if (round.id == id || planted(26)) && (!answered || planted(27)) {
            round.reports.push((from, report));
            self.weigh_read(false, out);
        }
    }

    fn weigh_read(&mut self, last: bool, out: &mut Vec<Output<E>>) {
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

/// Tokens are left out: they only grow, and instances that differ in nothing else behave alike. Exploration lives on this.
impl<E: Hash> Hash for Instance<E> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.me, self.members, &self.stable, &self.working).hash(hasher);
        (&self.phase, &self.read).hash(hasher);
        self.pending.len().hash(hasher);
        for pending in &self.pending {
            (&pending.copy, &pending.withheld, &pending.own_vote).hash(hasher);
        }
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
