//! What goes into a turn and what comes out of it.

use paxos::Member;
use reactor::clock::Nanos;

use crate::command::Command;
use crate::reply::Reply;

/// The time of a turn, read once by its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic.
    pub now: Nanos,
    /// Milliseconds since 1970; for expiry alone, so that a clock that jumps can shorten or lengthen lives, nothing else.
    pub wall_ms: u64,
}

/// Names a request of the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names somebody who waits for a key to hold something: see [`crate::Shard::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

/// A command with somebody who waits for its reply.
#[derive(Clone, Debug)]
pub struct Request {
    /// The owner's name for it; its reply comes back under it, exactly once.
    pub id: RequestId,
    /// What to do: one key's command, or one about the keyspace.
    pub command: Command,
    /// When the owner stops waiting, in monotonic time.
    pub deadline: Nanos,
    /// For a command about the keyspace: its slots, first and last of each run. None: all of the slice.
    pub scope: Scope,
}

/// Runs of slots, first and last of each; None = all of the slice.
pub type Scope = Option<Box<[(u16, u16)]>>;

/// Messages of one turn for one peer, back to back.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Outbox {
    /// Adds the message that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them, keeping the memory unless a large message blew it up.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
        self.ends.clear();
    }
}

/// What a turn wants done.
#[derive(Debug)]
pub struct Effects {
    /// Replies to requests.
    pub replies: Vec<(RequestId, Reply)>,
    /// Who waits and is to try: the key may hold something.
    pub woken: Vec<WaitId>,
    /// Messages by member; the own one stays empty.
    pub outboxes: Vec<Outbox>,
    /// The bytes of a newer catalog of tables that began here: for the other cores of the host ([`crate::Shard::take_catalog`]).
    pub catalog: Option<Box<[u8]>>,
}

impl Effects {
    /// No effects, for a set of this many members.
    pub fn new(members: u8) -> Effects {
        let outboxes = vec![Outbox::default(); usize::from(members)];
        Effects { replies: Vec::new(), woken: Vec::new(), outboxes, catalog: None }
    }

    /// Adds a message to a member.
    pub fn message(&mut self, to: Member, write: impl FnOnce(&mut Vec<u8>)) {
        self.outboxes[usize::from(to)].push(write);
    }
}

/// What every step of a turn has at hand.
pub struct Turn<'a, D> {
    /// The core's disk.
    pub disk: &'a mut D,
    /// The time.
    pub clock: Clock,
    /// Where effects go.
    pub effects: &'a mut Effects,
}
