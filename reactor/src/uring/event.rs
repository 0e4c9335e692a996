//! What a core hears from its ring, and the names it uses for sockets.

use std::net::SocketAddr;

use super::token::Key;
use crate::Completion;

/// Identifies a core of this process: its index in the list that `run_cores` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreIndex(pub u16);

/// A connection of one core. Carries a generation, so the id of a closed connection never means its successor; every
/// call with a dead id does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(super) Key);

/// A listener of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub(super) u32);

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A listener took a connection; it is being read from now on.
    Accepted {
        /// Which listener.
        listener: ListenerId,
        /// What `listen` was told to call it.
        tag: u32,
        /// The new connection.
        conn: ConnId,
        /// The other end.
        peer: SocketAddr,
    },
    /// A connection begun by `connect` is up; it is being read from now on.
    Connected {
        /// Which.
        conn: ConnId,
    },
    /// Bytes arrived. They are lent for the length of the call.
    Received {
        /// From which connection.
        conn: ConnId,
        /// At least one byte, at most a receive buffer.
        bytes: &'a [u8],
    },
    /// A send operation has finished: `unsent_bytes` shrank. Several `send` calls may have been joined into it. That
    /// of a small send may come with the core's next turn instead of causing one, so nobody should hold back output
    /// for it that fits a small send.
    Sent {
        /// On which connection.
        conn: ConnId,
    },
    /// The connection ended: the other side closed it (or only its sending half) or reset it, it could not be made, or what `close_when_sent`
    /// waited for is out and our half is closed. The id is dead. Never follows the owner's own `close`.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// A disk operation finished.
    Disk(Completion),
    /// A mailbox or the queue from outside may have messages: drain them. Comes at most once per turn, and may come
    /// when they are already drained.
    Woken,
}

/// An event before its bytes are looked up: they lie in a receive buffer that the pump holds.
pub(super) enum Raw {
    Accepted {
        listener: ListenerId,
        tag: u32,
        conn: ConnId,
        peer: SocketAddr,
    },
    Connected {
        conn: ConnId,
    },
    Received {
        conn: ConnId,
        buffer: u16,
        bytes: usize,
    },
    /// Bytes of a connection whose owner closed it: only the buffer matters.
    Returned {
        buffer: u16,
    },
    Sent {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
    },
    Disk(Completion),
}
