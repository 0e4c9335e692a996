//! The requests of one connection that wait for their replies, in order.

use std::collections::VecDeque;

use shard::reply::Reply;

use super::Ticket;
use crate::gather::{Join, Parts};
use crate::resp::{encode, Protocol};
use crate::server::slowlog::Brief;
use crate::server::Now;

/// One request on its way.
#[derive(Debug)]
struct Pending {
    state: State,
    /// What its reply is encoded in: what the client spoke when it asked.
    protocol: Protocol,
    /// CLIENT REPLY OFF: the reply is dropped.
    silent: bool,
    /// What is counted when it is answered.
    brief: Option<(Brief, Now)>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Gathering(Box<Parts>),
    /// Encoded, waiting for those before it. Bytes rather than a reply, so that what is held is measured
    /// exactly.
    Ready(Vec<u8>),
}

/// The requests of one connection, oldest first.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Number of the oldest that waits.
    first: u64,
    pending: VecDeque<Pending>,
    /// Bytes in replies that wait for earlier ones.
    held_bytes: usize,
}

impl Order {
    /// Requests that are not answered, or whose reply waits for an earlier one.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Enters a request; returns its number.
    pub(super) fn open(&mut self, protocol: Protocol, silent: bool, brief: Option<(Brief, Now)>) -> u64 {
        self.pending.push_back(Pending { state: State::Waiting, protocol, silent, brief });
        self.first + self.pending.len() as u64 - 1
    }

    /// Makes the newest request wait for several parts.
    pub(super) fn gather(&mut self, count: usize, join: Join) {
        let newest = self.pending.back_mut().expect("a request was just entered");
        newest.state = State::Gathering(Box::new(Parts::new(count, join)));
    }

    /// The reply of this request is encoded so, because the request itself chose that (HELLO, CLIENT REPLY
    /// ON).
    pub(super) fn speak(&mut self, seq: u64, protocol: Protocol, turned_on: bool) {
        let one = self.at(seq);
        one.protocol = protocol;
        one.silent &= !turned_on;
    }

    /// The reply of this request is dropped.
    pub(super) fn silence(&mut self, seq: u64) {
        self.at(seq).silent = true;
    }

    /// Whether the reply of this request has left, or is ready to.
    pub(super) fn is_answered(&self, seq: u64) -> bool {
        self.place(seq)
            .and_then(|place| self.pending.get(place))
            .is_none_or(|one| matches!(one.state, State::Ready(_)))
    }

    fn place(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.first)?).ok()
    }

    fn at(&mut self, seq: u64) -> &mut Pending {
        let place = self.place(seq).expect("a reply to a request that was answered before");
        self.pending.get_mut(place).expect("a reply to a request that was never made")
    }

    /// Notes the reply of a part, or of a whole request; returns the reply of the whole when it is known.
    pub(super) fn join(&mut self, ticket: Ticket, reply: Reply) -> Option<Reply> {
        match &mut self.at(ticket.seq).state {
            State::Gathering(parts) => parts.put(ticket.part as usize, reply),
            State::Waiting => {
                assert_eq!(ticket.part, 0, "a request that was not spread has one part");
                Some(reply)
            }
            State::Ready(_) => panic!("request {} was answered twice", ticket.seq),
        }
    }

    /// What a request takes counts from now on.
    pub(super) fn restart(&mut self, seq: u64, now: Now) {
        if let Some((_, started)) = &mut self.at(seq).brief {
            *started = now;
        }
    }

    /// What is to be counted of a request: once.
    pub(super) fn take_brief(&mut self, seq: u64) -> Option<(Brief, Now)> {
        self.at(seq).brief.take()
    }

    /// Appends to `out` the replies whose turn has come, with this one.
    pub(super) fn settle(&mut self, seq: u64, reply: Reply, out: &mut Vec<u8>) {
        let oldest = self.first == seq;
        let one = self.at(seq);
        if oldest {
            if !one.silent {
                encode(&reply, one.protocol, out);
            }
            self.pending.pop_front();
            self.first += 1;
            return self.settle_ready(out);
        }
        let mut bytes = Vec::new();
        if !one.silent {
            encode(&reply, one.protocol, &mut bytes);
        }
        let held = bytes.len();
        one.state = State::Ready(bytes);
        self.held_bytes += held;
    }

    fn settle_ready(&mut self, out: &mut Vec<u8>) {
        while let Some(Pending { state: State::Ready(bytes), .. }) = self.pending.front() {
            out.extend_from_slice(bytes);
            self.held_bytes -= bytes.len();
            self.pending.pop_front();
            self.first += 1;
        }
    }
}
