//! One thread of a load: an epoll loop over the connections of its clients.
//!
//! A round: issue what may be issued, write to the connections that got something, wait, read what came. The clock is
//! read once per round and once per read, not per operation.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use super::keys::{Kind, Source};
use super::link::{Input, Link, Pending, Purpose, State};
use super::requests::Requests;
use super::tally::{Interval, Tally};
use super::topology::Topology;
use super::Plan;
use crate::error::BenchError;
use crate::limits::{CONNECT_TIMEOUT, INPUT_BYTES_MIN, NODES_MAX, REDIRECTS_MAX, SLOTS};
use crate::resp::{self, Reply};

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

/// The time of one part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// When it starts.
    pub start: Instant,
    /// Not measured, from the start.
    pub warmup: Duration,
    /// Measured, after the warm-up; `None`: until the source is empty and all is answered.
    pub length: Option<Duration>,
}

impl Phase {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn warm_ns(&self) -> u64 {
        self.warmup.as_nanos() as u64
    }

    fn end_ns(&self) -> u64 {
        self.length.map_or(u64::MAX, |length| (self.warmup + length).as_nanos() as u64)
    }
}

/// When the operations of an open loop are due.
#[derive(Debug)]
struct Pace {
    first_ns: f64,
    gap_ns: f64,
    issued: u64,
    timer: OwnedFd,
}

impl Pace {
    fn due_ns(&self) -> u64 {
        (self.first_ns + self.issued as f64 * self.gap_ns) as u64
    }

    /// Wakes the loop up after so long.
    fn arm(&self, wait: Duration) -> Result<(), BenchError> {
        // A timer of zero would be switched off.
        let nanos = wait.as_nanos().clamp(1, 999_999_999) as i64;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: 0, tv_nsec: nanos } };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .map_err(|error| BenchError::io("setting a timer", error.into()))?;
        Ok(())
    }
}

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
        let pace = plan.rate.map(|rate| pace(plan, rate, index, &poll)).transpose()?;
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
            requests: Requests::new(&plan.key_prefix, plan.value_bytes, plan.seed.wrapping_add(index as u64)),
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
        let waiting = self.links.iter().flat_map(|link| link.queue.iter());
        let waiting = waiting.chain(self.parked.iter().map(|(_, pending)| pending));
        for pending in waiting {
            if let Purpose::Load(kind) = pending.purpose {
                self.tally.unanswered(kind, end.saturating_sub(pending.from_ns));
            }
        }
        while pace.due_ns() < end {
            let due = pace.due_ns();
            pace.issued += 1;
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

    /// Puts operations in flight: all that fit (closed loop), or all that are due (open loop), one client after the other.
    fn issue(&mut self, now: u64) {
        while let Some(&client) = self.ready.front() {
            let from_ns = match &mut self.pace {
                None => now,
                Some(pace) if pace.due_ns() > now => return,
                Some(pace) => {
                    let due = pace.due_ns();
                    pace.issued += 1;
                    due
                }
            };
            let Some((kind, key)) = self.source.take() else {
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
            self.place(index, Pending { purpose: Purpose::Load(kind), key, from_ns, redirects: 0 }, now);
        }
    }

    /// The node that an operation of this client should go to.
    fn route(&self, client: usize, key: u64) -> usize {
        if !self.plan.cluster {
            return self.clients[client].home;
        }
        match self.owner[crate::slot::slot_of(&self.requests.key(key))] {
            NO_NODE => key as usize % self.nodes.len().max(1),
            node => usize::from(node),
        }
    }

    fn place(&mut self, client: usize, pending: Pending, now: u64) {
        let node = self.route(client, pending.key);
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
                    let auth = Pending { purpose: Purpose::Auth, key: 0, from_ns: now, redirects: 0 };
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
        link.push(pending, now, |out| self.requests.push(out, kind, pending.key));
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

    /// Reads until nothing is left, or to the end of a connection that the server closed: events come once per change.
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

    fn take_replies(&mut self, index: usize, input: &mut Input, now: u64) -> Result<(), resp::Malformed> {
        let mut any = false;
        while let Some((reply, used)) = resp::scan(input.unread())? {
            let pending =
                self.links[index].queue.pop_front().ok_or(resp::Malformed("a reply without a request"))?;
            any = true;
            match pending.purpose {
                Purpose::Load(kind) => self.on_reply(index, pending, kind, reply, now),
                Purpose::Auth => self.on_auth(index, reply),
                Purpose::Asking => {}
            }
            input.take(used);
        }
        if any {
            self.links[index].on_reply(now);
        }
        Ok(())
    }

    fn on_auth(&mut self, index: usize, reply: Reply<'_>) {
        if let Reply::Error(text) = reply {
            let addr = self.nodes[self.links[index].node];
            let text = String::from_utf8_lossy(text).into_owned();
            self.refused = Some(BenchError::Server { addr, text });
        }
    }

    fn on_reply(&mut self, index: usize, pending: Pending, kind: Kind, reply: Reply<'_>, now: u64) {
        let client = self.links[index].client;
        match reply {
            Reply::Error(text) => {
                let text = String::from_utf8_lossy(text);
                if self.redirect(index, pending, &text) {
                    return;
                }
                self.tally.error(text.split_ascii_whitespace().next().unwrap_or("empty error"));
                if self.plan.cluster {
                    self.topology.refresh();
                }
            }
            reply => {
                self.tally.misses += u64::from(reply == Reply::Nil && kind == Kind::Get);
                self.tally.answered(kind, now.saturating_sub(pending.from_ns));
            }
        }
        self.give_room(client);
    }

    /// Notes a MOVED or ASK to be followed; false if the error is another one or was followed often enough.
    fn redirect(&mut self, index: usize, mut pending: Pending, text: &str) -> bool {
        let mut words = text.split_ascii_whitespace();
        let asking = match words.next() {
            Some("MOVED") => false,
            Some("ASK") => true,
            _ => return false,
        };
        let slot = words.next().and_then(|slot| slot.parse::<usize>().ok()).filter(|&slot| slot < SLOTS);
        let from = self.nodes[self.links[index].node];
        let target = words.next().and_then(|target| address(target, from));
        let (Some(slot), Some(target)) = (slot, target) else { return false };
        if !self.plan.cluster || pending.redirects >= REDIRECTS_MAX {
            return false;
        }
        let Some(node) = self.node_index(target) else { return false };
        pending.redirects += 1;
        self.tally.redirects += 1;
        if !asking {
            self.owner[slot] = node as u16;
            self.topology.refresh();
        }
        self.redirected.push((self.links[index].client, pending, node, asking));
        true
    }

    fn follow(&mut self, client: usize, pending: Pending, node: usize, asking: bool, now: u64) {
        let link = self.link(client, node);
        if !self.open(link, now) {
            self.parked.push_back((client, pending));
            return;
        }
        if asking {
            let request = Pending { purpose: Purpose::Asking, ..pending };
            self.links[link].push(request, now, |out| resp::request(out, &[b"ASKING"]));
        }
        self.queue(link, pending, now);
    }

    fn give_room(&mut self, client: usize) {
        self.in_flight -= 1;
        let state = &mut self.clients[client];
        state.room += 1;
        // A closed loop sends the next batch when the last one is answered; an open loop uses each free place.
        if !state.listed && (self.pace.is_some() || state.room == self.plan.pipeline) {
            state.listed = true;
            self.ready.push_back(client as u32);
        }
    }

    /// Ends a connection. What was sent on it has an unknown outcome and counts as an error; what was only queued while it
    /// was being made goes elsewhere.
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

    /// Takes over a slot map that was published since.
    fn update_map(&mut self) {
        let version = self.topology.version();
        if version == self.map_version {
            return;
        }
        self.map_version = version;
        for range in self.topology.ranges().iter() {
            if let Some(node) = self.node_index(range.node) {
                self.owner[range.start..=range.end].fill(node as u16);
            }
        }
    }

    fn node_index(&mut self, addr: SocketAddr) -> Option<usize> {
        if let Some(index) = self.nodes.iter().position(|&node| node == addr) {
            return Some(index);
        }
        (self.nodes.len() < NODES_MAX).then(|| {
            self.nodes.push(addr);
            self.nodes.len() - 1
        })
    }
}

fn pace(plan: &Plan, rate: f64, index: usize, poll: &Poll) -> Result<Pace, BenchError> {
    let failed = |error| BenchError::io("making a timer", error);
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE).map_err(failed)?;
    let gap_ns = 1e9 * plan.threads as f64 / rate;
    // The threads take turns, so that together they are even.
    let first_ns = gap_ns * index as f64 / plan.threads as f64;
    Ok(Pace { first_ns, gap_ns, issued: 0, timer })
}

/// The address in a redirect; without a host it is that of the node which answered.
fn address(text: &str, from: SocketAddr) -> Option<SocketAddr> {
    match text.strip_prefix(':').filter(|port| !port.contains(':')) {
        Some(port) => Some(SocketAddr::new(from.ip(), port.parse().ok()?)),
        None => {
            let (host, port) = text.rsplit_once(':')?;
            Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_addresses() {
        let from: SocketAddr = "10.0.0.1:7000".parse().unwrap();
        let table = [
            ("10.0.0.2:7001", Some("10.0.0.2:7001")),
            (":7002", Some("10.0.0.1:7002")),
            ("::1:7003", Some("[::1]:7003")),
            ("[::1]:7003", Some("[::1]:7003")),
            ("nonsense", None),
            ("10.0.0.2:70000", None),
        ];
        for (text, expected) in table {
            assert_eq!(address(text, from), expected.map(|addr| addr.parse().unwrap()), "{text}");
        }
    }
}
