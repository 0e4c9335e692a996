//! Agreed read (consensus.md section 4): a majority proves which record is the newest, and nothing is written.

use alloc::vec::Vec;

use crate::acceptor::AcceptorState;
use crate::ballot::Ballot;
use crate::message::Report;
use crate::mutants::planted;
use crate::quorum::{Member, MemberSet, Members};

/// How an agreed read ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome<E> {
    /// The own record, accepted at this ballot, is the newest and chosen. ZERO: the entity is absent.
    Local {
        /// The ballot of the own record.
        ballot: Ballot,
    },
    /// A newer record is chosen, and a peer sent it.
    Remote {
        /// The ballot at which it is chosen.
        ballot: Ballot,
        /// The entry.
        entry: E,
    },
    /// The newest record is not known to be chosen: it must be finished before anything is answered.
    Conflict,
}

/// A question that is out.
#[derive(Clone, Debug, Hash)]
pub(crate) struct ReadRound<E> {
    pub id: u64,
    pub holds: Ballot,
    pub reports: Vec<(Member, Report<E>)>,
}

impl<E: Clone> ReadRound<E> {
    /// Who has answered.
    pub fn answered(&self) -> MemberSet {
        let mut set = MemberSet::EMPTY;
        self.reports.iter().for_each(|(member, _)| set.insert(*member));
        set
    }

    /// Weighs the answers together with the own record. None: more answers are needed (or, with `last`, there is no
    /// majority). `stable` is the ballot of the own *durable* record: the only one that counts as a vote.
    pub fn weigh(
        &self,
        members: Members,
        own: &AcceptorState,
        stable: Ballot,
        last: bool,
    ) -> Option<ReadOutcome<E>> {
        if self.reports.len() + 1 < usize::from(members.majority()) && !planted(23) {
            return None;
        }
        let reports = || self.reports.iter().map(|(_, report)| report);
        let top = reports().map(|r| r.accepted).fold(own.accepted, Ballot::max);
        let known = reports().map(|r| r.chosen_to).fold(own.chosen_to, Ballot::max);
        let own_vote = u8::from(stable == top && !own.taken_over);
        let votes = reports().filter(|r| r.accepted == top && !r.taken_over).fold(own_vote, |n, _| n + 1);
        if known <= top && (known == top || planted(24) || votes >= members.majority()) {
            if own.accepted == top {
                return Some(ReadOutcome::Local { ballot: top });
            }
            let sent = reports().filter(|r| r.accepted == top).find_map(|r| r.entry.clone());
            if let Some(entry) = sent {
                return Some(ReadOutcome::Remote { ballot: top, entry });
            }
        }
        // The own record is the newest, and its vote, which the disk is about to give, decides: no reason for a new ballot.
        let own_decides =
            own.accepted == top && own_vote == 0 && !own.taken_over && votes + 1 >= members.majority();
        if own_decides && known <= top && !last {
            return None;
        }
        let all = self.reports.len() + 1 == usize::from(members.count());
        (all || last).then_some(ReadOutcome::Conflict)
    }
}
