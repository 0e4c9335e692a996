//! Single-decree Paxos per entity, as a pure state machine.
//!
//! # What it holds
//!
//! The acceptor and the proposer of docs/design/consensus.md for *one* entity: [`Instance`]. Messages are plain enums
//! ([`Message`]) generic over an opaque entry handle. A step takes an input and pushes [`Output`]s: records to persist,
//! messages to send, and news for the caller (phase 1 done, chosen, ballot lost, read decided).
//!
//! # What it leaves out, and why
//!
//! No clock, no randomness, no file, no socket, no map of entities, no serialisation, no std, no dependency. Ballots are
//! given by the caller (who keeps the Lamport counter of the core), retries are started by the caller (who keeps the time).
//! So every rule of the protocol can be read, tested and exhausted here alone.
//!
//! # Withheld messages
//!
//! A change of durable state is announced as [`Output::Persist`] with a token. Every message that depends on it stays inside
//! the instance until the caller says [`Instance::persisted`] for that token. "Persist before you promise" is thus a
//! property of this crate and is tested here.
//!
//! # Invariants
//!
//! 1. A ballot carries one entry, ever.
//! 2. `promised` never goes down.
//! 3. No answer leaves before the state it reports is durable; a [`Message::Query`] is answered from the last durable state.
//! 4. The proposer counts itself only when its own record is durable, and no peer ever counts it on its behalf.
//! 5. After anything but success there is no fast path.
//! 6. What waits for the disk is bounded ([`limits`]); beyond it a request is dropped, as if the network had lost it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acceptor;
pub mod ballot;
pub mod instance;
pub mod limits;
pub mod message;
pub mod mutants;
pub mod output;
pub mod proposer;
pub mod quorum;
pub mod read;

pub use acceptor::AcceptorState;
pub use ballot::Ballot;
pub use instance::Instance;
pub use message::{Message, Report};
pub use output::{Entry, Found, Lost, Output, Recorded, Token};
pub use quorum::{Member, MemberSet, Members};
pub use read::ReadOutcome;
