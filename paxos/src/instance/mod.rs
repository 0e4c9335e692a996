//! One entity on one replica: acceptor, proposer and agreed read around one record, with withheld messages.
//!
//! Here is what all three share: the record as durable and as about to be, what waits for the disk, and where messages go.

mod answers;
mod proposals;
mod reads;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::acceptor::AcceptorState;
use crate::ballot::Ballot;
use crate::limits::PENDING_MAX;
use crate::message::{Message, Report};
use crate::mutants::planted;
use crate::output::{Entry, Output, Token};
use crate::proposer::Phase;
use crate::quorum::{Member, MemberSet, Members};
use crate::read::ReadRound;

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

    /// Becomes the instance of another entity, as [`Instance::new`] makes it, in the memory of this one, which is idle.
    pub fn renew(&mut self, state: AcceptorState, entry: Option<E>) {
        assert!(self.is_idle(), "what is under way for an entity is not forgotten");
        let pending = core::mem::take(&mut self.pending);
        *self = Instance { pending, ..Instance::new(self.me, self.members, state, entry) };
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
