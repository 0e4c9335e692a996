//! What the cores of one host say to each other.

use std::sync::Arc;

use shard::command::Command;
use shard::reply::Reply;

use crate::gather::Scope;
use crate::server::{CoreAsk, InfoSource};
use crate::session::{Ticket, WaitStep};

/// A client connection of a core: its place, with a generation, so that a late reply never reaches its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Place in the core's table.
    pub place: u32,
    /// Counts the connections that had the place.
    pub generation: u32,
}

/// Who waits for a reply: a request, or a part of one, of a client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// The connection, on the core that took the request.
    pub session: SessionId,
    /// Which request of it.
    pub ticket: Ticket,
}

/// A message from core to core, or from a thread outside.
#[derive(Debug)]
pub enum Mail {
    /// Run a command on the receiver's slice.
    Run {
        /// Who waits.
        waiter: Waiter,
        /// What to run.
        command: Command,
        /// For the keyspace: which slots.
        scope: Scope,
    },
    /// A question about the receiver itself.
    Ask {
        /// Who waits.
        waiter: Waiter,
        /// The question.
        ask: CoreAsk,
    },
    /// What becomes of a wait for a key of the receiver's slice.
    Wait {
        /// Who waits.
        waiter: Waiter,
        /// What becomes of it.
        step: WaitStep,
    },
    /// A key of the sender's slice may hold something.
    Woken {
        /// Who waits for it, on the receiver.
        waiter: Waiter,
    },
    /// A key of the sender's slice cannot be waited for.
    Refused {
        /// Who wanted to, on the receiver.
        waiter: Waiter,
        /// Why.
        why: Reply,
    },
    /// The receiver's numbers for INFO, please.
    AskInfo {
        /// Who waits.
        waiter: Waiter,
    },
    /// The answer to `Run` or `Ask`.
    Reply {
        /// Who waits, on the receiver.
        waiter: Waiter,
        /// The answer.
        reply: Reply,
    },
    /// The answer to `AskInfo`.
    Info {
        /// Who waits, on the receiver.
        waiter: Waiter,
        /// The sender's numbers.
        source: Box<InfoSource>,
    },
    /// The sender's slice of a host became reachable, or is no longer.
    Reachable {
        /// Place of the host in the layout.
        host_index: usize,
        /// The sender's slice.
        slice: u16,
        /// Whether it is.
        live: bool,
    },
    /// A catalog of tables that began at the sender.
    Catalog(Arc<[u8]>),
    /// The process is told to stop, or settings changed: look at the control.
    Look,
}
