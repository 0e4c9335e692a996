//! What an instance tells its caller, and what it must know of an entry.

use crate::ballot::Ballot;
use crate::message::Message;
use crate::quorum::Member;
use crate::read::ReadOutcome;

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
    /// Make the record durable, then call [`Instance::persisted`](crate::Instance::persisted).
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
    /// Phase 1 is done: run the commands on the state found, then call [`Instance::propose`](crate::Instance::propose), [`Instance::finish`](crate::Instance::finish) or
    /// [`Instance::abandon`](crate::Instance::abandon).
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
    /// [`Instance::entry`](crate::Instance::entry) is still the record that it names; the caller looks before its next call.
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
