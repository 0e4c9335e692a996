//! One core's ring with everything on it: sockets, disk, wakes. What a core's owner holds in its hands.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use super::boot::BootError;
use super::disk::Directory;
use super::event::{ConnId, CoreIndex, ListenerId, Raw};
use super::limits::{ENTERS_PER_TURN_MAX, STOP_MS_MAX};
use super::mailbox::Wakes;
use super::net::Net;
use super::ring::{Cqe, Ring, Wait};
use super::stats::Stats;
use super::token::{decode, encode, Key, Kind};
use super::watched::Watched;
use crate::clock::MILLISECOND;
use crate::{Disk, Nanos, Op, OpId};

/// The kernel, as one core sees it. Not `Send`: it stays on the thread that made it.
pub struct Io {
    core: CoreIndex,
    started: Instant,
    now: Nanos,
    ring: Ring,
    net: Net,
    directory: Directory,
    wakes: Wakes,
    /// A wake has arrived and was not yet told.
    woken: bool,
    /// Completions taken and not yet handled.
    taken: VecDeque<Cqe>,
    /// Events that no completion stands for, for the next turn.
    own: VecDeque<Raw>,
    /// Those of this turn.
    own_now: VecDeque<Raw>,
    /// Connections that could not even be begun; each gets an id that was never alive.
    stillborn: u32,
    /// Quiet sends are left whose fate could not be seen yet.
    unsettled: bool,
    watched: Arc<Watched>,
}

fn nowhere() -> Key {
    Key { slot: 0, generation: 0 }
}

impl Io {
    pub(super) fn new(
        core: CoreIndex,
        directory: &Path,
        counter: Option<Arc<OwnedFd>>,
        started: Instant,
        watched: Arc<Watched>,
    ) -> Result<Io, BootError> {
        watched.begins();
        let ring = Ring::new().map_err(|error| BootError::ring(&error))?;
        let directory =
            Directory::open(directory).map_err(|error| BootError::directory(directory, &error))?;
        let wakes = Wakes { rings: None, pending: Vec::new(), counter, count: Box::new(0), armed: false };
        Ok(Io {
            core,
            started,
            now: 0,
            ring,
            net: Net::new(Arc::clone(&watched)),
            directory,
            wakes,
            woken: false,
            taken: VecDeque::new(),
            own: VecDeque::new(),
            own_now: VecDeque::new(),
            stillborn: 0,
            unsettled: false,
            watched,
        })
    }

    /// Which core this is.
    pub fn core(&self) -> CoreIndex {
        self.core
    }

    /// The monotonic time at which this turn began, counted from the start of the process' cores.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// What the core's ring has done so far.
    pub fn stats(&self) -> Stats {
        self.ring.stats
    }

    /// How many connections are open or being closed.
    pub fn connections(&self) -> usize {
        self.net.connections()
    }

    /// Listens for connections, which come as `Accepted` with this tag. For this core alone.
    pub fn listen(&mut self, address: SocketAddr, tag: u32) -> Result<ListenerId, BootError> {
        self.net.listen(address, false, tag).map_err(|error| BootError::listen(address, &error))
    }

    /// As [`Io::listen`], on an address that several cores share (SO_REUSEPORT): the kernel spreads connections.
    pub fn listen_shared(&mut self, address: SocketAddr, tag: u32) -> Result<ListenerId, BootError> {
        self.net.listen(address, true, tag).map_err(|error| BootError::listen(address, &error))
    }

    /// Where a listener listens: the port that the system chose, when it was asked for port 0.
    pub fn listener_address(&self, listener: ListenerId) -> SocketAddr {
        self.net.listener_address(listener)
    }

    /// Starts a connection, from a given local address if wanted. Ends in `Connected` or `Closed`; there is no time
    /// limit but the kernel's. What is sent before `Connected` is sent then.
    pub fn connect(&mut self, from: Option<IpAddr>, to: SocketAddr) -> ConnId {
        let begun = if self.net.is_full() {
            Err(std::io::Error::other("the core has its most connections"))
        } else {
            self.net.connect(&mut self.ring, from, to)
        };
        begun.unwrap_or_else(|error| {
            tracing::warn!(%to, ?from, %error, "cannot begin to connect");
            let conn = ConnId(Key { slot: u32::MAX, generation: self.stillborn });
            self.stillborn = self.stillborn.wrapping_add(1);
            self.own.push_back(Raw::Closed { conn });
            conn
        })
    }

    /// Queues bytes on a connection. They leave at the end of the turn, joined with what else is queued; one send
    /// operation is under way at a time.
    pub fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.net.send(conn, bytes);
    }

    /// Bytes given to `send` that the socket has not taken, for output limits. 0 for a dead id.
    pub fn unsent_bytes(&self, conn: ConnId) -> usize {
        self.net.unsent_bytes(conn)
    }

    /// Stops or resumes reading a connection. What the kernel has already put into receive buffers still comes:
    /// at most all of them, for all connections together. The end of a connection is noticed only while it is read or written.
    pub fn pause_reading(&mut self, conn: ConnId, paused: bool) {
        self.net.pause_reading(&mut self.ring, conn, paused);
    }

    /// Ends a connection. Unsent bytes are dropped, no further event of it comes.
    pub fn close(&mut self, conn: ConnId) {
        self.net.close(&mut self.ring, conn);
    }

    /// Ends a connection when everything given to `send` is out; then comes `Closed`. Until then only `close` does
    /// anything with it. There is no time limit: the owner keeps one if the other side may never read.
    pub fn close_when_sent(&mut self, conn: ConnId) {
        self.net.close_when_sent(&mut self.ring, conn, &mut self.own);
    }
}

impl Disk for Io {
    fn submit(&mut self, op: Op) -> OpId {
        self.directory.submit(&mut self.ring, op, &mut self.own)
    }
}

/// What the pump and the mailboxes use.
impl Io {
    /// The ring, for registrations and for its descriptor.
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// A turn begins.
    pub(super) fn count_turn(&mut self) {
        self.ring.stats.turns += 1;
        self.watched.turned(self.ring.stats.turns);
    }

    /// The counters, for what the pump counts.
    pub(super) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.ring.stats
    }

    /// All cores are up: their rings, by index.
    pub(super) fn set_rings(&mut self, rings: Arc<[OwnedFd]>) {
        self.wakes.rings = Some(rings);
    }

    /// Wakes a core at the end of the turn.
    pub(super) fn wake(&mut self, core: CoreIndex) {
        self.wakes.note(core);
    }

    /// Whether a turn would have something to do now. Only loads of memory.
    pub(super) fn has_work(&mut self) -> bool {
        !self.own.is_empty() || self.unsettled || self.ring.has_work()
    }

    /// The monotonic time, read now.
    pub(super) fn clock(&self) -> Nanos {
        Nanos::try_from(self.started.elapsed().as_nanos()).expect("a process runs for less than 500 years")
    }

    /// The end of a turn: everything that the turn asked for becomes operations.
    pub(super) fn flush(&mut self) {
        self.net.flush(&mut self.ring, self.now, &mut self.own);
        self.arm_counter();
        self.send_wakes();
    }

    /// Submits without sleeping, and leaves what completes for the next turn.
    pub(super) fn submit_now(&mut self) {
        if self.ring.has_unsubmitted() {
            self.ring.enter(Wait::No);
        }
    }

    fn arm_counter(&mut self) {
        let Some(counter) = self.wakes.counter.as_ref().filter(|_| !self.wakes.armed) else { return };
        let count: *mut u64 = &mut *self.wakes.count;
        let read = opcode::Read::new(Fd(counter.as_raw_fd()), count.cast(), 8).build();
        // SAFETY: the count is boxed, and not read or freed until the completion; the counter is kept with it.
        unsafe { self.ring.push(read.user_data(encode(Kind::Outside, nowhere()))) };
        self.wakes.armed = true;
    }

    fn send_wakes(&mut self) {
        if self.wakes.rings.is_none() {
            return;
        }
        for core in std::mem::take(&mut self.wakes.pending) {
            let ring = self.wakes.ring(core).expect("a mailbox leads to a core");
            let token = encode(Kind::Wake, nowhere());
            let wake = opcode::MsgRingData::new(Fd(ring.as_raw_fd()), 0, token, None).build();
            let own = encode(Kind::WakeFailed, Key { slot: u32::from(core.0), generation: 0 });
            // SAFETY: the entry points to no memory.
            unsafe { self.ring.push(wake.flags(squeue::Flags::SKIP_SUCCESS).user_data(own)) };
            self.ring.stats.wakes_sent += 1;
        }
    }

    /// The beginning of a turn: submits, sleeps as long as it may, takes what is there. `None` never sleeps,
    /// `Some(None)` until something happens, `Some(Some(deadline))` until then at most.
    pub(super) fn enter(&mut self, sleep: Option<Option<Nanos>>) {
        let wait = self.wait(sleep);
        let mut enters = 0;
        if wait != Wait::No || self.ring.needs_enter() {
            self.ring.enter(wait);
            enters += 1;
        }
        self.collect();
        while self.ring.has_deferred() && enters < ENTERS_PER_TURN_MAX {
            self.ring.enter(Wait::No);
            self.collect();
            enters += 1;
        }
        self.now = self.clock();
        if self.net.has_quiet() {
            self.unsettled = !self.ring.is_settled();
            if !self.unsettled {
                self.net.settle_quiet(&mut self.ring, &mut self.own);
            }
        }
        assert!(self.own_now.is_empty(), "a turn delivers all its events");
        std::mem::swap(&mut self.own, &mut self.own_now);
    }

    fn wait(&mut self, sleep: Option<Option<Nanos>>) -> Wait {
        let awake = !self.own.is_empty() || self.unsettled || self.ring.has_visible();
        let Some(deadline) = sleep.filter(|_| !awake) else { return Wait::No };
        let Some(deadline) = earliest(deadline, self.net.deadline()) else { return Wait::Forever };
        match deadline.saturating_sub(self.clock()) {
            0 => Wait::No,
            left => Wait::AtMost(left),
        }
    }

    fn collect(&mut self) {
        let (net, taken) = (&mut self.net, &mut self.taken);
        self.ring.take(|cqe| {
            if let (Kind::Send, key) = decode(cqe.token) {
                net.on_send_seen(key);
            }
            taken.push_back(cqe);
        });
    }

    /// The next event of the turn.
    pub(super) fn next_raw(&mut self) -> Option<Raw> {
        loop {
            if let Some(raw) = self.own_now.pop_front() {
                return Some(raw);
            }
            let cqe = self.taken.pop_front()?;
            if let Some(raw) = self.handle(cqe) {
                return Some(raw);
            }
        }
    }

    /// Whether a wake came in this turn; asking takes it.
    pub(super) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    fn handle(&mut self, cqe: Cqe) -> Option<Raw> {
        let (kind, key) = decode(cqe.token);
        let ring = &mut self.ring;
        match kind {
            Kind::Ignored => None,
            Kind::Accept => self.net.on_accept(ring, key, cqe, self.now),
            Kind::Connect => self.net.on_connect(ring, key, cqe),
            Kind::Receive => {
                let (data, event) = self.net.on_receive(ring, key, cqe);
                self.own_now.extend(event);
                data
            }
            Kind::Send => {
                self.net.on_send(ring, key, cqe, &mut self.own_now);
                None
            }
            Kind::Cancel => {
                self.net.on_cancel(ring, key, cqe);
                None
            }
            Kind::Disk => self.directory.on_completion(ring, key, cqe),
            Kind::Wake | Kind::Outside => {
                self.on_woken(kind, cqe);
                None
            }
            Kind::WakeFailed => {
                self.on_wake_failed(key, cqe);
                None
            }
        }
    }

    fn on_woken(&mut self, kind: Kind, cqe: Cqe) {
        if kind == Kind::Outside {
            self.wakes.armed = false;
            let fine = cqe.result == 8 || cqe.result == -libc::EINTR || cqe.result == -libc::ECANCELED;
            assert!(fine, "an event counter is read eight bytes at a time, not {}", cqe.result);
        }
        self.woken = true;
        self.ring.stats.wakes_received += 1;
    }

    /// A core that has stopped needs no wake; any other failure is a want of memory or room, so try again.
    fn on_wake_failed(&mut self, key: Key, cqe: Cqe) {
        if ![libc::EOWNERDEAD, libc::EBADF, libc::EBADFD].contains(&-cqe.result) {
            self.wakes.note(CoreIndex(key.slot as u16));
        }
    }

    /// Ends every operation and waits for the kernel to let go of our memory. False if it did not in time: then the
    /// memory must never be freed.
    pub(super) fn stop(&mut self) -> bool {
        self.net.close_all(&mut self.ring);
        let all = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::any()).build();
        let token = encode(Kind::Ignored, nowhere());
        // SAFETY: the entry points to no memory.
        unsafe { self.ring.push(all.flags(squeue::Flags::SKIP_SUCCESS).user_data(token)) };
        let end = self.clock() + STOP_MS_MAX * MILLISECOND;
        loop {
            self.ring.enter(Wait::No);
            self.collect();
            if self.ring.is_settled() {
                self.net.settle_quiet(&mut self.ring, &mut self.own);
            }
            while self.next_raw().is_some() {}
            let held = self.net.in_flight() + self.directory.in_flight() + usize::from(self.wakes.armed);
            if held == 0 {
                // What is left closes descriptors and holds no memory of ours.
                self.ring.enter(Wait::No);
                return true;
            }
            if self.clock() >= end {
                tracing::error!(core = self.core.0, operations = held, "the kernel holds on to operations");
                return false;
            }
            self.ring.enter(Wait::AtMost(10 * MILLISECOND));
            self.collect();
        }
    }
}

/// The earlier of two deadlines.
fn earliest(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
