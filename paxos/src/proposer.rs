//! The proposer's own memory: which phase its current ballot is in, and who has answered.
//!
//! What to do is decided here from the answers alone; [`crate::Instance`] carries it out.

use alloc::vec::Vec;

use crate::ballot::Ballot;
use crate::message::Report;
use crate::mutants::planted;
use crate::quorum::{Member, MemberSet, Members};

/// Where the current ballot stands.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Phase<E> {
    /// No proposal under way.
    Idle,
    /// Phase 1 is out.
    Preparing(Preparing<E>),
    /// Phase 1 is done; the caller has been told what was found and will propose.
    Prepared { ballot: Ballot, found: Ballot, chosen: bool, entry: Option<E>, holders: MemberSet },
    /// Phase 2 is out.
    Accepting(Accepting<E>),
}

/// Phase 1 under way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Preparing<E> {
    pub ballot: Ballot,
    pub holds: Ballot,
    pub promises: Vec<(Member, Report<E>)>,
    pub refused: MemberSet,
    /// The highest promise that was named against the ballot.
    pub rival: Ballot,
}

/// Phase 2 under way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Accepting<E> {
    pub ballot: Ballot,
    pub base: Ballot,
    pub entry: E,
    /// A finish: the members in `holders` have the entry at this ballot already.
    pub of: Ballot,
    pub holders: MemberSet,
    pub acks: MemberSet,
    pub refused: MemberSet,
    pub rival: Ballot,
}

/// What a majority of promises says of the entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase1<E> {
    /// Not yet a majority.
    Wait,
    /// A chosen ballot was named that these promises did not bring: the ballot is lost, retry higher.
    Behind,
    /// The state to extend: the highest accepted record, ZERO when there is none.
    Found { ballot: Ballot, entry: Option<E>, chosen: bool, holders: MemberSet },
}

impl<E: Clone> Preparing<E> {
    /// Whether the member has promised.
    pub fn has_promise_of(&self, member: Member) -> bool {
        self.promises.iter().any(|(from, _)| *from == member)
    }

    /// Weighs the promises so far. `own` is the record of the proposer, `me`, for when that is the highest; `chosen_to` is what
    /// the proposer itself knows.
    pub fn weigh(
        &self,
        members: Members,
        me: Member,
        own: (Ballot, Option<&E>),
        chosen_to: Ballot,
    ) -> Phase1<E> {
        if self.promises.len() < usize::from(members.majority()) && !planted(12) {
            return Phase1::Wait;
        }
        let reports = || self.promises.iter().map(|(_, report)| report);
        let top = reports().map(|r| r.accepted).max().unwrap_or(Ballot::ZERO);
        let top = if planted(19) { reports().map(|r| r.accepted).min().unwrap_or(top) } else { top };
        let known = reports().map(|r| r.chosen_to).fold(chosen_to, Ballot::max);
        let known = if planted(19) { known.min(top) } else { known };
        if known > top {
            return Phase1::Behind;
        }
        if top.is_zero() || planted(17) && known < top {
            let ballot = Ballot::ZERO;
            return Phase1::Found { ballot, entry: None, chosen: false, holders: MemberSet::EMPTY };
        }
        let mut holders = MemberSet::EMPTY;
        let mut votes = 0;
        let holds = |report: &Report<E>| report.accepted == top;
        for (member, report) in self.promises.iter().filter(|(_, report)| holds(report) || planted(10)) {
            holders.insert(*member);
            votes += u8::from(holds(report) && !report.taken_over);
        }
        let sent = reports().filter(|r| r.accepted == top).find_map(|r| r.entry.clone());
        let entry = if own.0 == top { own.1.cloned() } else { sent };
        match entry {
            Some(entry) => Phase1::Found {
                ballot: top,
                entry: Some(entry),
                chosen: planted(18) || known == top || votes >= members.majority(),
                holders,
            },
            // The peers left out what they believed to be known here, and hold less than this replica: its own promise, still
            // on its way to stable storage, will bring the higher record.
            None if top < self.holds && !self.has_promise_of(me) => Phase1::Wait,
            // Only a peer that breaks the protocol reports a record without its entry: as good as no promise.
            None => Phase1::Behind,
        }
    }
}

/// Whether so many refusals leave no majority.
pub(crate) fn hopeless(members: Members, refused: MemberSet) -> bool {
    refused.count() > members.count() - members.majority()
}
