//! One client connection, sans I/O: bytes in, actions and bytes out.
//!
//! **What it holds.** [`Session`]: the parser's state and unread input, the state of the client, the requests
//! that wait for replies. [`Session::feed`] reads requests; what the host answers itself is answered at once,
//! the rest becomes [`Action`]s for the core's glue: run on a slice, ask the other cores, gather numbers,
//! wait. [`Session::reply`] takes the answers, in any order and in parts; [`Session::take_output`] has the
//! bytes for the socket.
//!
//! **What it leaves out.** Sockets, mailboxes and timers, which are the glue's, and the time, which is passed
//! in.
//!
//! **Invariants.**
//! 1. Replies leave in the order of their requests, whatever order they come in, each in the protocol that
//!    its request found.
//! 2. A request is either answered once or the connection ends; a reply to a connection that ended is dropped
//!    by the glue, which knows the generation of its connections.
//! 3. At most [`limits::PIPELINE_DEPTH_MAX`] requests wait; then nothing is read until half of them are
//!    answered. What is unread stays unread at the client, not in memory.
//! 4. Replies that a client does not read are bounded by [`limits::OUTPUT_BYTES_MAX`]; it is closed above
//!    that.
//! 5. Broken requests end the connection behind the replies to the whole ones before.

mod blocking;
pub mod limits;
mod order;
mod request;
mod rows;
mod scan;
mod sql;
mod transaction;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use shard::command::{Command, KeyCommand, Numbered};
use shard::reply::Reply;

use self::scan::Scans;
use self::sql::Asked;
use crate::cluster::{self, ClusterMap, Port};
use crate::gather::Scope;
use crate::resp::{encode, Limits, Parser, Protocol, Step};
use crate::server::{text, Client, Connection, CoreAsk, Now, Server, Shutdown};
use blocking::Popping;
use order::Order;
use transaction::Transactions;

/// Which request of a session a reply belongs to, and which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Number of the request on its connection, from 0.
    pub seq: u64,
    /// Part of it; 0 where it is whole.
    pub part: u32,
}

/// What the core's glue is to do. Each that has a ticket is answered by [`Session::reply`] with it, but for the last.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run a command on a slice of this host: here, or through the mailbox of the core that has it.
    Run {
        /// Whose reply it is.
        ticket: Ticket,
        /// The slice.
        slice: u16,
        /// On one key, or on the keyspace.
        command: Command,
        /// For the keyspace: which slots. None: all of the slice.
        scope: Scope,
    },
    /// Ask one core of this host, maybe this one: [`crate::server::answer`] there has the reply.
    Ask {
        /// Whose reply it is.
        ticket: Ticket,
        /// The core.
        core: u16,
        /// What it is asked.
        ask: CoreAsk,
    },
    /// Somebody waits for a key of a slice: it goes on, or ends. Answered by [`Session::woken`], any number of times, or by a reply that is an
    /// error.
    Wait(Ticket, u16, WaitStep),
    /// Give this core's shard a catalog of tables that may be newer than its own. Nothing is answered.
    Adopt(Vec<u8>),
    /// Gather the numbers of INFO and reply with [`crate::server::info`] of these sections.
    Info {
        /// Whose reply it is.
        ticket: Ticket,
        /// In lower case; none means the default ones.
        sections: Vec<String>,
    },
    /// Reply OK after so many microseconds. The session reads nothing until then.
    Sleep {
        /// Whose reply it is.
        ticket: Ticket,
        /// From now on.
        micros: u64,
    },
    /// Let the whole core stand still for so many microseconds, then reply OK.
    Stall {
        /// Whose reply it is.
        ticket: Ticket,
        /// From now on.
        micros: u64,
    },
    /// End the process in good order. Reply only if that cannot be.
    Shutdown {
        /// Whose error it would be.
        ticket: Ticket,
        /// How.
        how: Shutdown,
    },
}

/// What becomes of a wait for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitStep {
    /// It begins.
    Begins(Box<[u8]>),
    /// The key was tried, and there was nothing: it goes on.
    Missed,
    /// It is over.
    Ends {
        /// Something was found at this key.
        took: bool,
    },
}

/// Why a connection ends, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// QUIT.
    Quit,
    /// A request that cannot be read.
    Broken,
    /// HTTP spoken to this port: somebody may be made to by a web page.
    Http,
    /// Not from this machine, in protected mode.
    Refused,
    /// CLIENT KILL.
    Killed,
    /// Replies are not read.
    SlowReader,
}

/// One client connection.
pub struct Session {
    client: Client,
    parser: Parser,
    /// Bytes received and not yet part of a whole request, from `read` on.
    input: Vec<u8>,
    read: usize,
    order: Order,
    transactions: Transactions,
    popping: Option<Box<Popping>>,
    asked: Option<Box<Asked>>,
    /// Reads of hashes whose key may be the name of a row, by their requests: at most [`limits::PIPELINE_DEPTH_MAX`].
    rows: BTreeMap<u64, KeyCommand>,
    scans: Scans,
    /// What stood in front of the request that is being read.
    number: Option<Numbered>,
    out: Vec<u8>,
    closing: Option<Closing>,
    /// Why nothing is read at the moment.
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Too many requests wait.
    Depth,
    /// A request must be answered before the next is read.
    Until(u64),
    /// CLIENT PAUSE.
    Pause,
    /// What was asked before must be answered first.
    Answers,
}

/// What a client above the limit of clients gets before it is closed.
pub const TOO_MANY_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";

/// What a connection is told that comes while the host drains.
pub const SHUTTING_DOWN: &[u8] = b"-ERR this host is shutting down; use another one\r\n";

impl Session {
    /// A connection that has just come in. In protected mode one from elsewhere is refused: look at
    /// [`Session::closing`] and send what is there.
    pub fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        port: Port,
        server: &Server,
        now: Now,
    ) -> Session {
        let open = server.settings.password().is_none();
        let mut session = Session {
            client: Client::new(id, peer, local, port, open, now),
            parser: Parser::default(),
            input: Vec::new(),
            read: 0,
            order: Order::default(),
            transactions: Transactions::default(),
            popping: None,
            asked: None,
            rows: BTreeMap::new(),
            scans: Scans::default(),
            number: None,
            out: Vec::new(),
            closing: None,
            held: None,
        };
        if open && server.settings.is_protected() && !peer.ip().to_canonical().is_loopback() {
            encode(&Reply::error(text::PROTECTED_MODE), Protocol::Resp2, &mut session.out);
            session.closing = Some(Closing::Refused);
        }
        session
    }

    /// Reads what arrived. Actions are appended in the order of the requests.
    pub fn feed(&mut self, bytes: &[u8], server: &mut Server, now: Now, actions: &mut Vec<Action>) {
        self.client.bytes_in = self.client.bytes_in.saturating_add(bytes.len() as u64);
        if self.closing.is_some() {
            return;
        }
        if !self.input.is_empty() || self.held.is_some() {
            self.input.extend_from_slice(bytes);
            return self.resume(server, now, actions);
        }
        let used = self.read_requests(bytes, server, now, actions);
        if self.closing.is_none() {
            self.input.extend_from_slice(bytes.get(used..).unwrap_or_default());
        }
    }

    /// Reads on what is already here, after replies came or a pause ended.
    pub fn resume(&mut self, server: &mut Server, now: Now, actions: &mut Vec<Action>) {
        if self.held.is_some_and(|held| !self.is_over(held, server, now)) || self.closing.is_some() {
            return;
        }
        self.held = None;
        let input = std::mem::take(&mut self.input);
        let used = self.read_requests(input.get(self.read..).unwrap_or_default(), server, now, actions);
        self.input = input;
        self.read += used;
        self.forget_read();
    }

    fn is_over(&self, held: Held, server: &Server, now: Now) -> bool {
        match held {
            Held::Depth => self.order.len() <= limits::PIPELINE_DEPTH_MAX / 2,
            Held::Until(seq) => self.order.is_answered(seq),
            Held::Answers => self.order.is_empty(),
            Held::Pause => server.pause.is_none_or(|pause| pause.until_us <= now.mono_us),
        }
    }

    /// Drops input that was read, now and then, so that each byte is moved a bounded number of times.
    fn forget_read(&mut self) {
        if self.read >= self.input.len() || self.closing.is_some() {
            self.read = 0;
            self.input.clear();
            if self.input.capacity() > limits::INPUT_BYTES_KEPT {
                self.input = Vec::new();
            }
        } else if self.read >= self.input.len() / 2 {
            self.input.drain(..self.read);
            self.read = 0;
        }
    }

    /// Reads requests at the start of `input` until one is not whole, or something holds. Returns the bytes
    /// used.
    fn read_requests(
        &mut self,
        input: &[u8],
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> usize {
        let mut parser = std::mem::take(&mut self.parser);
        let mut used = 0;
        while self.closing.is_none() && self.held.is_none() {
            if self.order.len() >= limits::PIPELINE_DEPTH_MAX {
                self.held = Some(Held::Depth);
                break;
            }
            let rest = input.get(used..).unwrap_or_default();
            let bounds = Limits {
                bulk_bytes_max: server.settings.bulk_bytes_max(),
                request_bytes_max: server.settings.request_bytes_max(),
                authenticated: self.client.authenticated,
                ..Limits::default()
            };
            match parser.step(rest, &bounds) {
                Step::More => break,
                Step::Empty(bytes) => used += bytes,
                Step::Request(bytes) => {
                    let held = {
                        let args: smallvec::SmallVec<[&[u8]; 8]> = parser.args(rest).iter().collect();
                        self.request(&args, rest.len() - bytes, server, now, actions)
                    };
                    if let Some(held) = held {
                        self.held = Some(held);
                        parser.next_request();
                        break;
                    }
                    used += bytes;
                }
                Step::Broken(error) => {
                    self.answer_broken(Reply::Error(error.0), server);
                    used = input.len();
                }
            }
            parser.next_request();
        }
        self.parser = parser;
        used
    }

    /// The error goes behind the replies to the requests before it.
    fn answer_broken(&mut self, error: Reply, server: &mut Server) {
        server.stats.rejected(None, &error);
        let seq = self.order.open(self.client.protocol, false, None);
        self.close(Closing::Broken);
        self.settle(Ticket { seq, part: 0 }, error);
    }

    /// Takes the reply to a request, or to a part of one.
    pub fn reply(
        &mut self,
        ticket: Ticket,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if self.is_try(ticket) {
            return self.on_tried(ticket, reply, server, now, actions);
        }
        if self.has_asked(ticket) {
            return self.on_catalog(reply, server, now, actions);
        }
        if self.scans.awaits(ticket) {
            return self.on_scanned(ticket, reply, server, now, actions);
        }
        let Some(reply) = self.on_row(ticket, reply, server, now, actions) else { return };
        if let Some(reply) = self.order.join(ticket, reply) {
            self.finish(ticket.seq, reply, server, now);
        }
    }

    /// Counts a request that is answered, and its reply leaves when its turn comes.
    fn finish(&mut self, seq: u64, mut reply: Reply, server: &mut Server, now: Now) {
        if self.transactions.is_watch(seq) {
            reply = self.transactions.take_versions(reply);
            self.note_transaction();
        }
        self.transactions.complete(seq, &mut reply);
        if let Some((brief, started)) = self.order.take_brief(seq) {
            self.count(brief, started, &reply, server, now);
        }
        self.settle(Ticket { seq, part: 0 }, reply);
    }

    fn note_transaction(&mut self) {
        let client = &mut self.client;
        (client.queued, client.watched, client.transaction_bytes) = self.transactions.counts();
    }

    fn settle(&mut self, ticket: Ticket, reply: Reply) {
        let before = self.out.len();
        self.order.settle(ticket.seq, reply, &mut self.out);
        self.client.bytes_out = self.client.bytes_out.saturating_add((self.out.len() - before) as u64);
    }

    fn close(&mut self, why: Closing) {
        self.closing.get_or_insert(why);
    }

    /// Bytes for the socket, made since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether there are bytes for the socket.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether the glue should go on receiving for this connection. If not, it calls [`Session::resume`] when
    /// replies came or a pause ended, and asks again.
    pub fn wants_bytes(&self) -> bool {
        self.held.is_none() && self.closing.is_none()
    }

    /// Whether the glue should stop receiving: it does not while the session waits for a key, within bounds, because a connection that is gone
    /// is noticed by receiving.
    pub fn holds_back(&self) -> bool {
        let room = self.input.len() < limits::BLOCKED_INPUT_BYTES_MAX;
        let waits = self.is_blocked() && room && self.closing.is_none();
        !self.wants_bytes() && !waits
    }

    /// Why the connection ends, if it does. The glue takes no more bytes for it and closes it when all that
    /// was asked is answered ([`Session::is_done`]) and sent.
    pub fn closing(&self) -> Option<Closing> {
        self.closing
    }

    /// Whether the connection ends and nothing is waited for: what is left to do is to send its output.
    pub fn is_done(&self) -> bool {
        match self.closing {
            Some(Closing::Killed | Closing::SlowReader) => true,
            Some(_) => self.order.is_empty(),
            None => false,
        }
    }

    /// Holds the replies that wait against the limit; `unsent`: bytes in the socket's queue. True: the client
    /// reads too slowly, and ends now.
    pub fn is_too_slow(&mut self, unsent: usize, output_bytes_max: usize) -> bool {
        let waiting = self.out.len().saturating_add(self.order.held_bytes()).saturating_add(unsent);
        let too_slow = waiting > output_bytes_max;
        if too_slow {
            self.closing = Some(Closing::SlowReader);
        }
        too_slow
    }

    /// Tells a client that asked for it, and can be told, that slots moved.
    pub fn push_migrated(&mut self, before: &ClusterMap, after: &Arc<ClusterMap>, sequence: u64) {
        if !self.client.wants_maintenance || self.client.protocol != Protocol::Resp3 || self.closing.is_some()
        {
            return;
        }
        let reload = self.client.lib_name.starts_with("go-redis").then_some(self.client.port);
        if let Some(push) = cluster::migrated(before, after, reload, sequence) {
            encode(&push, Protocol::Resp3, &mut self.out);
        }
    }

    /// Whether it waits for a key to hold something.
    pub fn is_blocked(&self) -> bool {
        self.client.is_blocked
    }

    /// Requests that wait for their replies.
    pub fn waiting(&self) -> usize {
        self.order.len()
    }

    /// Bytes of memory behind the unread input.
    pub fn input_capacity(&self) -> usize {
        self.input.capacity()
    }

    /// Whether nothing was heard of the client for so many seconds and it waits for nothing (setting
    /// `timeout`).
    pub fn is_idle(&self, seconds: u64, now: Now) -> bool {
        self.order.is_empty() && now.seconds_since(self.client.last) >= seconds
    }
}

impl Connection for Session {
    fn client(&self) -> &Client {
        &self.client
    }

    fn waiting_bytes(&self) -> (usize, usize) {
        (self.input.len() - self.read.min(self.input.len()), self.out.len() + self.order.held_bytes())
    }

    fn kill(&mut self) {
        self.closing = Some(Closing::Killed);
    }

    fn unblock(&mut self, why: &Reply) -> bool {
        self.popping.as_mut().is_some_and(|popping| popping.end_with(why))
    }
}
