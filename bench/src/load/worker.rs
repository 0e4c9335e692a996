//! One thread of a load: an epoll loop over the connections of its clients.
//!
//! A round: issue what may be issued, write to the connections that got something, wait, read what came. The
//! clock is read once per round and once per read, not per operation.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};

use super::keys::{Kind, Source};
use super::link::{Input, Link, Pending, Purpose, State};
use super::pace::{Pace, Phase};
use super::requests::Requests;
use super::tally::{Interval, Tally};
use super::topology::Topology;
use super::Plan;
use crate::error::BenchError;
use crate::limits::{CONNECT_TIMEOUT, INPUT_BYTES_MIN, SLOTS};
use crate::resp;

mod replies;

/// The token of the timer; connections have the index of their link.
const TIMER: Token = Token(usize::MAX);

/// No link of this client to that node yet.
const NO_LINK: u32 = u32::MAX;

/// No node of this slot is known.
const NO_NODE: u16 = u16::MAX;

/// The longest wait of a round: timeouts, ends and new maps are noticed after so long at the latest.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Between two looks at all connections for timeouts.
const TIMEOUT_CHECK: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Client {
    /// Operations that it may still put in flight.
    room: usize,
    /// Its link to each node.
    links: Vec<u32>,
    /// The node it uses in plain mode.
    home: usize,
    /// Whether it is on the list of those with room.
    listed: bool,
}

/// One thread's state.
#[derive(Debug)]
pub struct Worker<'a> {
    plan: &'a Plan,
    topology: &'a Topology,
    phase: Phase,
    poll: Poll,
    nodes: Vec<SocketAddr>,
    owner: Vec<u16>,
    map_version: u64,
    links: Vec<Link>,
    inputs: Vec<Input>,
    clients: Vec<Client>,
    /// Clients with room, in turn.
    ready: VecDeque<u32>,
    /// Links with bytes to write.
    dirty: Vec<usize>,
    /// Operations that found no usable connection: tried again each round.
    parked: VecDeque<(usize, Pending)>,
    /// Redirects of this round: client, operation, node, whether by ASK.
    redirected: Vec<(usize, Pending, usize, bool)>,
    source: Source,
    source_empty: bool,
    in_flight: u64,
    pace: Option<Pace>,
    requests: Requests,
    tally: Tally,
    second: usize,
    measuring: bool,
    checked_ns: u64,
    sender: Sender<Interval>,
    refused: Option<BenchError>,
}

impl<'a> Worker<'a> {
    /// Prepares thread `index` of the plan.
    ///
    /// # Errors
    /// The system gives no epoll instance or timer.
    pub fn new(
        plan: &'a Plan,
        topology: &'a Topology,
        phase: Phase,
        index: usize,
        source: Source,
        sender: Sender<Interval>,
    ) -> Result<Worker<'a>, BenchError> {
        let poll = Poll::new().map_err(|error| BenchError::io("making an epoll instance", error))?;
        let pace =
            plan.rate.map(|rate| Pace::new(rate, index, plan.threads, poll.registry(), TIMER)).transpose()?;
        let (from, to) = super::share(plan.connections as u64, plan.threads, index);
        let client = |number: u64| Client {
            room: plan.pipeline,
            links: Vec::new(),
            home: number as usize % plan.hosts.len(),
            listed: true,
        };
        let clients: Vec<Client> = (from..to).map(client).collect();
        Ok(Worker {
            plan,
            topology,
            phase,
            poll,
            nodes: if plan.cluster { Vec::new() } else { plan.hosts.clone() },
            owner: vec![NO_NODE; SLOTS],
            map_version: 0,
            links: Vec::new(),
            inputs: Vec::new(),
            ready: (0..clients.len() as u32).collect(),
            clients,
            dirty: Vec::new(),
            parked: VecDeque::new(),
            redirected: Vec::new(),
            source,
            source_empty: false,
            in_flight: 0,
            pace,
            requests: Requests::new(plan, plan.seed.wrapping_add(index as u64)),
            tally: Tally::new(),
            second: 0,
            measuring: phase.warmup.is_zero(),
            checked_ns: 0,
            sender,
            refused: None,
        })
    }

    /// Runs until the phase is over; sends what was measured each second.
    ///
    /// # Errors
    /// A refused password, or a failure of epoll itself.
    pub fn run(mut self) -> Result<(), BenchError> {
        let mut events = Events::with_capacity(1_024);
        loop {
            let now = self.phase.now_ns();
            self.turn_second(now);
            if now >= self.phase.end_ns() || (self.source_empty && self.in_flight == 0) {
                break;
            }
            self.update_map();
            self.unpark(now);
            self.issue(now);
            self.write_dirty(now);
            let wait = self.wait(self.phase.now_ns())?;
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(BenchError::io("waiting for sockets", error));
                }
                _ => {}
            }
            for event in &events {
                if event.token() != TIMER {
                    self.on_event(event.token().0, event);
                }
            }
            self.check_timeouts();
            if let Some(error) = self.refused.take() {
                return Err(error);
            }
        }
        self.count_unanswered();
        self.send_interval();
        Ok(())
    }

    /// Starts the measured time, and sends the tally of a second that is over.
    fn turn_second(&mut self, now: u64) {
        let Some(measured_ns) = now.checked_sub(self.phase.warm_ns()) else { return };
        if !self.measuring {
            self.measuring = true;
            self.tally = Tally::new();
        }
        let second = (measured_ns / 1_000_000_000) as usize;
        if second != self.second && now < self.phase.end_ns() {
            self.send_interval();
            self.second = second;
        }
    }

    fn send_interval(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        // The receiver is gone only when the run is over.
        let _ = self.sender.send(Interval { second: self.second, tally });
    }

    /// Counts what was due in an open loop and is not answered at the end.
    fn count_unanswered(&mut self) {
        let Some(mut pace) = self.pace.take() else { return };
        let end = self.phase.end_ns();
        let waiting = self.links.iter().flat_map(|link| link.queue.iter().chain(&link.held));
        let waiting = waiting.chain(self.parked.iter().map(|(_, pending)| pending));
        for pending in waiting {
            if let Purpose::Load(kind) = pending.purpose {
                self.tally.unanswered(kind, end.saturating_sub(pending.from_ns));
            }
        }
        while pace.due_ns() < end {
            let due = pace.take();
            if let Some((kind, _)) = self.source.take() {
                self.tally.unanswered(kind, end - due);
            }
        }
    }

    /// How long the next wait may be.
    fn wait(&self, now: u64) -> Result<Duration, BenchError> {
        let end = Duration::from_nanos(self.phase.end_ns().saturating_sub(now));
        let mut wait = if self.parked.is_empty() { WAIT_MAX } else { Duration::from_millis(1) }.min(end);
        if let (Some(pace), false) = (&self.pace, self.ready.is_empty()) {
            let due = Duration::from_nanos(pace.due_ns().saturating_sub(now));
            if due.is_zero() {
                wait = Duration::ZERO;
            } else if due < wait {
                pace.arm(due)?;
            }
        }
        Ok(wait)
    }

    /// Puts operations in flight: all that fit (closed loop), or all that are due (open loop), one client
    /// after the other.
    fn issue(&mut self, now: u64) {
        while let Some(&client) = self.ready.front() {
            let from_ns = match &mut self.pace {
                None => now,
                Some(pace) if pace.due_ns() > now => return,
                Some(pace) => pace.take(),
            };
            let Some((kind, number)) = self.source.take() else {
                self.source_empty = true;
                return;
            };
            let index = client as usize;
            self.clients[index].room -= 1;
            self.in_flight += 1;
            let full = self.clients[index].room == 0;
            if full || self.pace.is_some() {
                self.ready.pop_front();
            }
            match (full, &self.pace) {
                (true, _) => self.clients[index].listed = false,
                (false, Some(_)) => self.ready.push_back(client),
                (false, None) => {}
            }
            self.place(index, Pending { purpose: Purpose::Load(kind), number, from_ns, redirects: 0 }, now);
        }
    }

    /// The node that an operation of this client should go to.
    fn route(&self, client: usize, number: u64) -> usize {
        if !self.plan.cluster {
            return self.clients[client].home;
        }
        match self.owner[crate::slot::slot_of(&self.requests.key(number))] {
            NO_NODE => number as usize % self.nodes.len().max(1),
            node => usize::from(node),
        }
    }

    fn place(&mut self, client: usize, pending: Pending, now: u64) {
        let node = self.route(client, pending.number);
        match self.usable_link(client, node, now) {
            Some(link) => self.queue(link, pending, now),
            None => self.parked.push_back((client, pending)),
        }
    }

    /// An open link of the client to the node, or, if that node cannot be reached now, to another.
    fn usable_link(&mut self, client: usize, node: usize, now: u64) -> Option<usize> {
        for step in 0..self.nodes.len() {
            let candidate = (node + step) % self.nodes.len();
            let link = self.link(client, candidate);
            if self.open(link, now) {
                if !self.plan.cluster {
                    self.clients[client].home = candidate;
                }
                return Some(link);
            }
        }
        None
    }

    /// The link of a client to a node, made if there is none.
    fn link(&mut self, client: usize, node: usize) -> usize {
        let links = &mut self.clients[client].links;
        if links.len() <= node {
            links.resize(node + 1, NO_LINK);
        }
        if links[node] == NO_LINK {
            links[node] = self.links.len() as u32;
            self.links.push(Link::new(client, node));
            self.inputs.push(Input::default());
        }
        links[node] as usize
    }

    /// Whether the link may be used; starts to connect where that is due.
    fn open(&mut self, index: usize, now: u64) -> bool {
        let link = &mut self.links[index];
        match link.state {
            State::Up | State::Connecting => true,
            State::Down { retry_ns } if retry_ns > now => false,
            State::Down { .. } => {
                link.progress_ns = now;
                if link.connect(self.nodes[link.node], self.poll.registry(), Token(index)).is_err() {
                    self.lose(index, "cannot connect", now);
                    return false;
                }
                if let Some(password) = &self.plan.password {
                    let auth = Pending { purpose: Purpose::Auth, number: 0, from_ns: now, redirects: 0 };
                    let encode = |out: &mut Vec<u8>| resp::request(out, &[b"AUTH", password.as_bytes()]);
                    self.links[index].push(auth, now, encode);
                }
                true
            }
        }
    }

    fn queue(&mut self, index: usize, pending: Pending, now: u64) {
        let Purpose::Load(kind) = pending.purpose else { return };
        let link = &mut self.links[index];
        assert!(link.is_open(), "operations go to links that are open");
        link.push(pending, now, |out| self.requests.push(out, kind, pending.number));
        link.unconfirmed |= kind == Kind::Write && self.plan.confirm.is_some();
        self.mark_dirty(index);
    }

    fn mark_dirty(&mut self, index: usize) {
        let link = &mut self.links[index];
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(index);
        }
    }

    fn write_dirty(&mut self, now: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let link = &mut self.links[index];
            link.dirty = false;
            if let (true, Some(confirm)) = (link.unconfirmed, &self.plan.confirm) {
                link.unconfirmed = false;
                let asked = Pending { purpose: Purpose::Confirm, number: 0, from_ns: now, redirects: 0 };
                link.push(asked, now, |out| out.extend_from_slice(confirm.request()));
            }
            if link.state == State::Up && link.write().is_err() {
                self.lose(index, "connection lost", now);
            }
        }
        // What was lost may have been queued elsewhere meanwhile.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    fn unpark(&mut self, now: u64) {
        for _ in 0..self.parked.len() {
            if let Some((client, pending)) = self.parked.pop_front() {
                self.place(client, pending, now);
            }
        }
    }

    fn on_event(&mut self, index: usize, event: &Event) {
        let now = self.phase.now_ns();
        if self.links[index].state == State::Connecting {
            match self.links[index].finish_connecting() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.lose(index, "cannot connect", now),
            }
        }
        if event.is_writable() && self.links[index].is_open() && self.links[index].write().is_err() {
            return self.lose(index, "connection lost", now);
        }
        let closed = event.is_read_closed() || event.is_error();
        if (event.is_readable() || closed) && self.links[index].is_open() {
            self.read(index, closed);
        }
    }

    /// Reads until nothing is left, or to the end of a connection that the server closed: events come once
    /// per change.
    fn read(&mut self, index: usize, closed: bool) {
        let mut input = std::mem::take(&mut self.inputs[index]);
        let mut lost = None;
        loop {
            let asked = self.links[index].read(&mut input);
            let now = self.phase.now_ns();
            let count = match asked {
                Ok(None) => break,
                Ok(Some(count)) => count,
                Err(_) => {
                    lost = Some("connection lost");
                    break;
                }
            };
            if self.take_replies(index, &mut input, now).is_err() {
                lost = Some("malformed reply");
                break;
            }
            if count < INPUT_BYTES_MIN / 2 && !closed {
                // Less than there was space for: the socket is empty.
                break;
            }
        }
        self.inputs[index] = input;
        let now = self.phase.now_ns();
        if let Some(name) = lost {
            self.lose(index, name, now);
        }
        for (client, pending, node, asking) in std::mem::take(&mut self.redirected) {
            self.follow(client, pending, node, asking, now);
        }
    }

    fn give_room(&mut self, client: usize) {
        self.in_flight -= 1;
        let state = &mut self.clients[client];
        state.room += 1;
        // A closed loop sends the next batch when the last one is answered; an open loop uses each free
        // place.
        if !state.listed && (self.pace.is_some() || state.room == self.plan.pipeline) {
            state.listed = true;
            self.ready.push_back(client as u32);
        }
    }

    /// Ends a connection. What was sent on it has an unknown outcome and counts as an error; what was only
    /// queued while it was being made goes elsewhere.
    fn lose(&mut self, index: usize, name: &str, now: u64) {
        let was_up = self.links[index].state == State::Up;
        let waiting = self.links[index].close(self.poll.registry(), now);
        self.inputs[index].clear();
        self.tally.disconnects += u64::from(was_up);
        self.topology.refresh();
        let client = self.links[index].client;
        for pending in waiting {
            if !matches!(pending.purpose, Purpose::Load(_)) {
                continue;
            }
            if was_up {
                self.tally.error(name);
                self.give_room(client);
            } else {
                self.parked.push_back((client, pending));
            }
        }
    }

    fn check_timeouts(&mut self) {
        let now = self.phase.now_ns();
        if now.saturating_sub(self.checked_ns) < TIMEOUT_CHECK.as_nanos() as u64 {
            return;
        }
        self.checked_ns = now;
        for index in 0..self.links.len() {
            let link = &self.links[index];
            let waited = Duration::from_nanos(now.saturating_sub(link.progress_ns));
            match link.state {
                State::Up if !link.queue.is_empty() && waited > self.plan.timeout => {
                    self.lose(index, "timeout", now)
                }
                State::Connecting if waited > CONNECT_TIMEOUT => self.lose(index, "cannot connect", now),
                _ => {}
            }
        }
    }
}
