//! What proposers and acceptors say to each other. The envelope (entity, config epoch, sender) is the caller's.

use crate::ballot::Ballot;

/// What a replica says of its record in a Promise or a State.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Report<E> {
    /// The ballot of its accepted record; ZERO when it has none.
    pub accepted: Ballot,
    /// The highest ballot it knows to be chosen.
    pub chosen_to: Ballot,
    /// The record was copied while the replica was a learner: reported, but no vote (consensus.md section 6).
    pub taken_over: bool,
    /// The accepted entry, unless the asker said that it has it, or the report is of nothing.
    pub entry: Option<E>,
}

/// A protocol message of consensus.md sections 2 and 4 (Agreed read).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<E> {
    /// Phase 1: asks for a promise at `ballot`. The entry accepted at `holds` need not be sent.
    Prepare {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The ballot of the record that the proposer has itself.
        holds: Ballot,
    },
    /// The promise, with the acceptor's record.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// The acceptor's record.
        report: Report<E>,
    },
    /// Phase 2.
    Accept {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The ballot of the chosen record that the entry extends; says that it is chosen. ZERO claims nothing.
        base: Ballot,
        /// The entry.
        entry: E,
    },
    /// Phase 2 for a record that the acceptor already holds: the entry is the one it accepted at `of`.
    Restamp {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The ballot at which the acceptor should hold the entry.
        of: Ballot,
    },
    /// The vote for `ballot`.
    Accepted {
        /// The ballot accepted.
        ballot: Ballot,
    },
    /// A refusal of a Prepare, an Accept or a Restamp at `ballot`.
    Reject {
        /// The ballot refused.
        ballot: Ballot,
        /// What the acceptor promised.
        promised: Ballot,
        /// The ballot of its record.
        accepted: Ballot,
        /// The highest ballot it knows to be chosen.
        chosen_to: Ballot,
        /// The replica's floor.
        floor: Ballot,
    },
    /// The acceptor lacks the record that `ballot` stands on; its state did not change.
    NeedBase {
        /// The ballot refused for now.
        ballot: Ballot,
    },
    /// An agreed read asks for the durable state. An entry newer than `holds` is wanted.
    Query {
        /// Matches the answer to the question; bears the asker's incarnation.
        id: u64,
        /// The ballot of the record that the asker has itself.
        holds: Ballot,
    },
    /// The answer to a Query.
    State {
        /// The question's id.
        id: u64,
        /// The acceptor's durable record.
        report: Report<E>,
    },
}

impl<E> Message<E> {
    /// Whether `later` is the same answer to the same question, so that this one need not be kept beside it.
    pub(crate) fn same_answer(&self, later: &Message<E>) -> bool {
        match (self, later) {
            (Message::Promise { ballot: a, .. }, Message::Promise { ballot: b, .. })
            | (Message::Accepted { ballot: a }, Message::Accepted { ballot: b })
            | (Message::Reject { ballot: a, .. }, Message::Reject { ballot: b, .. })
            | (Message::NeedBase { ballot: a }, Message::NeedBase { ballot: b }) => a == b,
            _ => false,
        }
    }

    /// The highest round named in the message, for the receiver's Lamport counter.
    pub fn round_max(&self) -> u64 {
        let report = |r: &Report<E>| r.accepted.round.max(r.chosen_to.round);
        match self {
            Message::Prepare { ballot, holds } => ballot.round.max(holds.round),
            Message::Promise { ballot, report: r } => ballot.round.max(report(r)),
            Message::Accept { ballot, base, .. } => ballot.round.max(base.round),
            Message::Restamp { ballot, of } => ballot.round.max(of.round),
            Message::Accepted { ballot } | Message::NeedBase { ballot } => ballot.round,
            Message::Reject { ballot, promised, accepted, chosen_to, floor } => {
                [ballot, promised, accepted, chosen_to, floor].map(|b| b.round).into_iter().fold(0, u64::max)
            }
            Message::Query { holds, .. } => holds.round,
            Message::State { report: r, .. } => report(r),
        }
    }
}
