//! All sockets of one core: what is armed, what is sent, what is let go of, and in which order.
//!
//! Rules that hold everything together:
//!
//! * A connection's slot and descriptor live until the last completion of its operations has been taken. So a
//!   completion always finds its connection, and a descriptor number is never reused under an operation.
//! * One send operation per connection is with the kernel at a time, because the kernel does not order two.
//! * A *quiet* send is tried without waiting (MSG_DONTWAIT) and reports only failure. It has therefore ended when the
//!   entry that submitted it returns: if no failure is visible then, all its bytes are out. Its buffer is freed and
//!   `Sent` is told at the start of the next turn.
//! * Nothing is armed or sent inside a call of the owner: connections are listed and looked at once, before the
//!   submission, so that everything one turn sends to a connection leaves together.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{opcode, squeue};
use socket2::SockAddr;

use super::buffers::GROUP;
use super::conn::{Conn, Receiving, Sending, State};
use super::event::{ConnId, ListenerId, Raw};
use super::limits::{
    ACCEPT_REST_MS, CONNECTIONS_MAX, LINGER_MS, LISTENERS_MAX, RECV_BUFFER_BYTES, SEND_OP_BYTES_MAX,
};
use super::ring::{Cqe, Ring};
use super::slab::Slab;
use super::socket;
use super::token::{encode, Key, Kind};
use super::watched::Watched;
use crate::clock::MILLISECOND;
use crate::Nanos;

struct Listener {
    fd: OwnedFd,
    tag: u32,
    address: SocketAddr,
    armed: bool,
    /// Not armed again before this time.
    rests_until: Nanos,
}

/// All sockets of one core.
pub struct Net {
    listeners: Vec<Listener>,
    conns: Slab<Conn>,
    /// Connections to look at before the next submission.
    listed: Vec<Key>,
    /// Quiet sends since the last entry into the kernel.
    quiet: Vec<Key>,
    /// Lingering connections and when each is closed, in that order. May name some that are gone.
    lingering: VecDeque<(Nanos, Key)>,
    watched: Arc<Watched>,
}

fn listener_key(index: usize) -> Key {
    Key { slot: index as u32, generation: 0 }
}

impl Net {
    /// No sockets yet; those that come are noted where a thread outside sees them.
    pub fn new(watched: Arc<Watched>) -> Net {
        Net {
            listeners: Vec::new(),
            conns: Slab::new(CONNECTIONS_MAX),
            listed: Vec::new(),
            quiet: Vec::new(),
            lingering: VecDeque::new(),
            watched,
        }
    }

    /// Opens a listener; it accepts from the next submission on.
    pub fn listen(&mut self, address: SocketAddr, shared: bool, tag: u32) -> io::Result<ListenerId> {
        assert!(self.listeners.len() < LISTENERS_MAX, "a core has at most {LISTENERS_MAX} listeners");
        let fd = socket::listener(address, shared)?;
        let address = socket::local(&fd).unwrap_or(address);
        self.watched.listens(self.listeners.len(), fd.as_raw_fd());
        self.listeners.push(Listener { fd, tag, address, armed: false, rests_until: 0 });
        Ok(ListenerId(self.listeners.len() as u32 - 1))
    }

    /// Where a listener listens.
    pub fn listener_address(&self, id: ListenerId) -> SocketAddr {
        self.listeners.get(id.0 as usize).expect("listeners are never removed").address
    }

    /// Starts a connection. Whatever fails is told as `Closed`.
    pub fn connect(
        &mut self,
        ring: &mut Ring,
        from: Option<IpAddr>,
        to: SocketAddr,
    ) -> Result<ConnId, io::Error> {
        let fd = socket::connecting(from, to)?;
        let address = Box::new(SockAddr::from(to));
        let (pointer, length) = (address.as_ptr().cast(), address.len());
        let connect = opcode::Connect::new(Fd(fd.as_raw_fd()), pointer, length);
        let key = self.add(Conn::new(fd, State::Connecting, Some(address)));
        let conn = self.conns.find_mut(key).expect("just inserted");
        conn.in_flight += 1;
        // SAFETY: the address is boxed and kept in the connection until the completion.
        unsafe { ring.push(connect.build().user_data(encode(Kind::Connect, key))) };
        ring.stats.connects += 1;
        Ok(ConnId(key))
    }

    fn add(&mut self, conn: Conn) -> Key {
        let fd = conn.raw();
        let key = self.conns.insert(conn);
        self.watched.connected(key.slot, fd);
        key
    }

    /// Whether a further connection fits.
    pub fn is_full(&self) -> bool {
        self.conns.is_full()
    }

    /// How many connections there are, those included that the kernel has not let go of.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Operations whose last completion has not been taken.
    pub fn in_flight(&self) -> usize {
        let armed = self.listeners.iter().filter(|listener| listener.armed).count();
        let of_conn = |key| self.conns.find(key).map_or(0, |conn| conn.in_flight as usize);
        armed + self.quiet.len() + self.conns.keys().into_iter().map(of_conn).sum::<usize>()
    }

    /// Closes every connection, for a core that stops.
    pub fn close_all(&mut self, ring: &mut Ring) {
        self.watched.ended();
        for key in self.conns.keys() {
            self.let_go(ring, key);
        }
    }

    /// Queues bytes.
    pub fn send(&mut self, id: ConnId, bytes: Vec<u8>) {
        let Some(conn) = self.conns.find_mut(id.0) else { return };
        if !conn.is_live() || bytes.is_empty() {
            return;
        }
        conn.enqueue(bytes);
        self.list(id.0);
    }

    /// Bytes that the socket has not taken; 0 for a dead id.
    pub fn unsent_bytes(&self, id: ConnId) -> usize {
        self.conns.find(id.0).filter(|conn| conn.state != State::Closing).map_or(0, Conn::unsent_bytes)
    }

    /// Stops or resumes reading.
    pub fn pause_reading(&mut self, ring: &mut Ring, id: ConnId, paused: bool) {
        let Some(conn) = self.conns.find_mut(id.0).filter(|conn| conn.is_live()) else { return };
        conn.paused = paused;
        if paused && conn.receiving == Receiving::Armed {
            conn.receiving = Receiving::Cancelling;
            let receive = CancelBuilder::user_data(encode(Kind::Receive, id.0));
            push_silent(ring, opcode::AsyncCancel2::new(receive).build());
        }
        self.list(id.0);
    }

    /// Ends the connection for its owner; unsent bytes are dropped.
    pub fn close(&mut self, ring: &mut Ring, id: ConnId) {
        if self.conns.find(id.0).is_some_and(|conn| conn.is_live() || conn.state == State::Draining) {
            self.let_go(ring, id.0);
        }
    }

    /// Cancels what the kernel holds of a connection and gives it up as soon as that has ended.
    fn let_go(&mut self, ring: &mut Ring, key: Key) {
        let conn = self.conns.find_mut(key).expect("a connection is let go of while it is there");
        if conn.state == State::Closing {
            return;
        }
        conn.state = State::Closing;
        conn.drop_queue();
        if !conn.is_idle() {
            conn.in_flight += 1;
            let all = CancelBuilder::fd(Fd(conn.raw())).all();
            let cancel = opcode::AsyncCancel2::new(all).build().user_data(encode(Kind::Cancel, key));
            // SAFETY: the entry points to no memory.
            unsafe { ring.push(cancel) };
        }
        self.release_if_idle(ring, key);
    }

    /// Ends the connection when everything queued is sent, at once if it is not up yet; `Closed` tells when.
    pub fn close_when_sent(&mut self, ring: &mut Ring, id: ConnId, out: &mut VecDeque<Raw>) {
        let Some(conn) = self.conns.find_mut(id.0) else { return };
        match conn.state {
            State::Open => {
                conn.state = State::Draining;
                self.list(id.0);
            }
            State::Connecting => out.extend(self.end(ring, id.0)),
            State::Draining | State::Lingering | State::Closing => {}
        }
    }

    fn list(&mut self, key: Key) {
        let conn = self.conns.find_mut(key).expect("only live connections are listed");
        if !conn.listed {
            conn.listed = true;
            self.listed.push(key);
        }
    }

    /// Closes the connection and tells its owner, unless it is over for him already.
    fn end(&mut self, ring: &mut Ring, key: Key) -> Option<Raw> {
        let conn = self.conns.find(key).expect("an ending connection is there");
        let known = matches!(conn.state, State::Closing | State::Lingering);
        self.let_go(ring, key);
        (!known).then_some(Raw::Closed { conn: ConnId(key) })
    }

    /// A draining connection has sent everything: closes our half, and the rest when the other side has closed too.
    fn linger(&mut self, ring: &mut Ring, key: Key, now: Nanos) -> Option<Raw> {
        let conn = self.conns.find_mut(key).expect("a draining connection is there");
        if conn.receiving == Receiving::Ended {
            return self.end(ring, key);
        }
        conn.state = State::Lingering;
        // SAFETY: the descriptor is open; nothing else is touched. Failure means that the other side is gone, which
        // the receive will tell.
        unsafe { libc::shutdown(conn.raw(), libc::SHUT_WR) };
        arm_receive(ring, key, conn);
        self.lingering.push_back((now + LINGER_MS * MILLISECOND, key));
        Some(Raw::Closed { conn: ConnId(key) })
    }

    /// Closes the connections that have lingered long enough.
    fn end_lingering(&mut self, ring: &mut Ring, now: Nanos) {
        while let Some(&(until, key)) = self.lingering.front() {
            let there = self.conns.find(key).is_some_and(|conn| conn.state == State::Lingering);
            if there && now < until {
                return;
            }
            self.lingering.pop_front();
            if there {
                self.let_go(ring, key);
            }
        }
    }

    /// Gives descriptor and slot up when the kernel holds nothing of the connection any more.
    fn release_if_idle(&mut self, ring: &mut Ring, key: Key) {
        let conn = self.conns.find(key).expect("a connection is released once");
        if conn.state != State::Closing || !conn.is_idle() {
            return;
        }
        let conn = self.conns.remove(key).expect("found above");
        self.watched.closed(key.slot);
        ring.stats.closed += 1;
        push_silent(ring, opcode::Close::new(Fd(conn.fd.into_raw_fd())).build());
    }

    /// Before a submission: arms and sends what has to be, for every connection that something happened to.
    pub fn flush(&mut self, ring: &mut Ring, now: Nanos, out: &mut VecDeque<Raw>) {
        for index in 0..self.listeners.len() {
            self.arm_listener(ring, index, now);
        }
        self.end_lingering(ring, now);
        let listed = std::mem::take(&mut self.listed);
        for &key in &listed {
            let Some(conn) = self.conns.find_mut(key) else { continue };
            conn.listed = false;
            if conn.state == State::Draining && conn.unsent_bytes() == 0 && conn.sending.is_none() {
                out.extend(self.linger(ring, key, now));
                continue;
            }
            arm_receive(ring, key, conn);
            if start_send(ring, key, conn) {
                self.quiet.push(key);
            }
        }
        assert!(self.listed.is_empty(), "looking at connections lists none");
        self.listed = listed;
        self.listed.clear();
    }

    fn arm_listener(&mut self, ring: &mut Ring, index: usize, now: Nanos) {
        let listener = &mut self.listeners[index];
        if listener.armed || now < listener.rests_until {
            return;
        }
        listener.armed = true;
        let accept = opcode::AcceptMulti::new(Fd(listener.fd.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        // SAFETY: the entry points to no memory.
        unsafe { ring.push(accept.build().user_data(encode(Kind::Accept, listener_key(index)))) };
    }

    /// When a resting listener or a lingering connection has to be looked at.
    pub fn deadline(&self) -> Option<Nanos> {
        let resting = self.listeners.iter().filter(|listener| !listener.armed);
        let lingering = self.lingering.front().map(|(until, _)| *until);
        resting.map(|listener| listener.rests_until).chain(lingering).min()
    }

    /// A completion of a send was seen, before any is handled: it is not a quiet success.
    pub fn on_send_seen(&mut self, key: Key) {
        let conn = self.conns.find_mut(key).expect("a send's connection outlives it");
        let sending = conn.sending.as_mut().expect("a send's bytes outlive it");
        if sending.quiet {
            // From here on it is an ordinary operation whose completion will be handled.
            sending.quiet = false;
            conn.in_flight += 1;
        }
    }

    /// Everything submitted has been taken by the kernel and every failure was seen: the quiet sends that are still
    /// quiet have succeeded.
    pub fn settle_quiet(&mut self, ring: &mut Ring, out: &mut VecDeque<Raw>) {
        let quiet = std::mem::take(&mut self.quiet);
        for &key in &quiet {
            // One that failed has become an ordinary send, and may even be over.
            let Some(conn) = self.conns.find_mut(key) else { continue };
            let Some(sending) = conn.sending.as_ref().filter(|sending| sending.quiet) else { continue };
            assert!(sending.with_kernel && sending.sent == 0, "a quiet send is a first try");
            ring.stats.bytes_out += sending.bytes.len() as u64;
            conn.sending = None;
            self.on_send_done(ring, key, out);
        }
        self.quiet = quiet;
        self.quiet.clear();
    }

    /// Whether quiet sends wait to be settled.
    pub fn has_quiet(&self) -> bool {
        !self.quiet.is_empty()
    }

    fn on_send_done(&mut self, ring: &mut Ring, key: Key, out: &mut VecDeque<Raw>) {
        let conn = self.conns.find_mut(key).expect("the sender is there");
        match conn.state {
            State::Closing => self.release_if_idle(ring, key),
            State::Draining | State::Lingering => self.list(key),
            State::Open | State::Connecting => {
                out.push_back(Raw::Sent { conn: ConnId(key) });
                self.list(key);
            }
        }
    }

    /// Handles a completion of an accept.
    pub fn on_accept(&mut self, ring: &mut Ring, key: Key, cqe: Cqe, now: Nanos) -> Option<Raw> {
        let index = key.slot as usize;
        let listener = self.listeners.get_mut(index).expect("listeners are never removed");
        listener.armed = cqe.more();
        if cqe.result < 0 {
            let error = cqe.error();
            let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].map(|e| -e);
            if exhausted.contains(&cqe.result) {
                tracing::warn!(address = %listener.address, %error, "cannot accept connections, resting");
                listener.rests_until = now + ACCEPT_REST_MS * MILLISECOND;
            } else {
                tracing::debug!(address = %listener.address, %error, "a connection ended before it was accepted");
            }
            return None;
        }
        // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(cqe.result) };
        let tag = listener.tag;
        let peer = socket::peer(&fd)?;
        if self.conns.is_full() {
            ring.stats.refused += 1;
            return None;
        }
        ring.stats.accepted += 1;
        let conn = self.add(Conn::new(fd, State::Open, None));
        self.list(conn);
        Some(Raw::Accepted { listener: ListenerId(key.slot), tag, conn: ConnId(conn), peer })
    }

    /// Handles the completion of a connect.
    pub fn on_connect(&mut self, ring: &mut Ring, key: Key, cqe: Cqe) -> Option<Raw> {
        let conn = self.conns.find_mut(key).expect("a connect's connection outlives it");
        conn.in_flight -= 1;
        conn.address = None;
        if conn.state == State::Closing {
            self.release_if_idle(ring, key);
            return None;
        }
        assert!(conn.state == State::Connecting, "a connection connects once");
        if cqe.result < 0 {
            tracing::debug!(error = %cqe.error(), "cannot connect");
            return self.end(ring, key);
        }
        conn.state = State::Open;
        self.list(key);
        Some(Raw::Connected { conn: ConnId(key) })
    }

    /// Handles a completion of a receive.
    pub fn on_receive(&mut self, ring: &mut Ring, key: Key, cqe: Cqe) -> (Option<Raw>, Option<Raw>) {
        let conn = self.conns.find_mut(key).expect("a receive's connection outlives it");
        if !cqe.more() {
            conn.in_flight -= 1;
            conn.receiving = Receiving::No;
        }
        let owner_listens = conn.state == State::Open;
        let closing = conn.state == State::Closing;
        let data = cqe.buffer().map(|buffer| {
            let bytes = usize::try_from(cqe.result).unwrap_or(0);
            assert!(bytes <= RECV_BUFFER_BYTES, "the kernel stays inside a buffer");
            if owner_listens && bytes > 0 {
                ring.stats.receives += 1;
                ring.stats.bytes_in += bytes as u64;
                Raw::Received { conn: ConnId(key), buffer, bytes }
            } else {
                Raw::Returned { buffer }
            }
        });
        if closing {
            self.release_if_idle(ring, key);
            return (data, None);
        }
        (data, self.after_receive(ring, key, cqe))
    }

    /// What follows from a receive's result for a connection that is not closing.
    fn after_receive(&mut self, ring: &mut Ring, key: Key, cqe: Cqe) -> Option<Raw> {
        let conn = self.conns.find_mut(key).expect("checked by the caller");
        match -cqe.result {
            0 if conn.state == State::Draining => {
                conn.receiving = Receiving::Ended;
                None
            }
            0 => self.end(ring, key),
            libc::ENOBUFS => {
                ring.stats.receives_short_of_buffers += 1;
                self.list(key);
                None
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {
                self.list(key);
                None
            }
            error if error > 0 => {
                tracing::debug!(error = %cqe.error(), "a connection broke while reading");
                self.end(ring, key)
            }
            _ => {
                if !cqe.more() {
                    self.list(key);
                }
                None
            }
        }
    }

    /// Handles the completion of a send that is not quiet, or no longer.
    pub fn on_send(&mut self, ring: &mut Ring, key: Key, cqe: Cqe, out: &mut VecDeque<Raw>) {
        let conn = self.conns.find_mut(key).expect("a send's connection outlives it");
        conn.in_flight -= 1;
        let sending = conn.sending.as_mut().expect("a send's bytes outlive it");
        assert!(sending.with_kernel && !sending.quiet, "one send is with the kernel");
        sending.with_kernel = false;
        if conn.state == State::Closing {
            conn.sending = None;
            self.release_if_idle(ring, key);
            return;
        }
        match cqe.result {
            taken if taken >= 0 => {
                ring.stats.bytes_out += taken as u64;
                sending.sent += taken as usize;
                assert!(sending.sent <= sending.bytes.len(), "a socket takes no more than it is given");
                if sending.sent == sending.bytes.len() {
                    conn.sending = None;
                    self.on_send_done(ring, key, out);
                } else {
                    self.list(key);
                }
            }
            error if [-libc::EAGAIN, -libc::EINTR].contains(&error) => self.list(key),
            _ => {
                tracing::debug!(error = %cqe.error(), "a connection broke while sending");
                out.extend(self.end(ring, key));
            }
        }
    }

    /// Handles the completion of the cancellation of a closing connection. What it may have missed (an operation
    /// between two tries) is ended by shutting the socket down.
    pub fn on_cancel(&mut self, ring: &mut Ring, key: Key, cqe: Cqe) {
        let conn = self.conns.find_mut(key).expect("a cancellation's connection outlives it");
        conn.in_flight -= 1;
        if cqe.result.max(0) as u32 != conn.in_flight && !conn.is_idle() {
            // SAFETY: the descriptor is open; nothing else is touched. Failure means that it is shut down already.
            unsafe { libc::shutdown(conn.raw(), libc::SHUT_RDWR) };
        }
        self.release_if_idle(ring, key);
    }
}

/// Queues an entry that nobody waits for and that points to no memory.
fn push_silent(ring: &mut Ring, entry: squeue::Entry) {
    let token = encode(Kind::Ignored, Key { slot: 0, generation: 0 });
    // SAFETY: the entries made in this file for this function point to no memory.
    unsafe { ring.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(token)) };
}

fn arm_receive(ring: &mut Ring, key: Key, conn: &mut Conn) {
    // Draining and lingering connections are read into nothing: see `State::Lingering`.
    let wanted = match conn.state {
        State::Open => !conn.paused,
        State::Draining | State::Lingering => true,
        State::Connecting | State::Closing => false,
    };
    if !wanted || conn.receiving != Receiving::No {
        return;
    }
    conn.receiving = Receiving::Armed;
    conn.in_flight += 1;
    let receive = opcode::RecvMulti::new(Fd(conn.raw()), GROUP).build();
    // SAFETY: the entry points to no memory of its own; the group's buffers live as long as the ring.
    unsafe { ring.push(receive.user_data(encode(Kind::Receive, key))) };
}

/// Starts the next send or repeats the unfinished one; returns whether it is quiet.
fn start_send(ring: &mut Ring, key: Key, conn: &mut Conn) -> bool {
    conn.next_sending();
    if conn.state == State::Closing {
        return false;
    }
    let fd = Fd(conn.raw());
    let Some(sending) = conn.sending.as_mut().filter(|sending| !sending.with_kernel) else { return false };
    let first = sending.sent == 0;
    let entry = send_entry(fd, sending).user_data(encode(Kind::Send, key));
    sending.with_kernel = true;
    let quiet = sending.quiet;
    if !quiet {
        conn.in_flight += 1;
    }
    ring.stats.sends += u64::from(first);
    ring.stats.sends_repeated += u64::from(!first);
    // SAFETY: the bytes stay in `conn.sending`, untouched, until the completion was handled or, if quiet, until
    // the submitting entry has returned and the send is settled; the connection outlives both.
    unsafe { ring.push(entry) };
    quiet
}

fn send_entry(fd: Fd, sending: &Sending) -> squeue::Entry {
    let rest = sending.bytes.get(sending.sent..).expect("no more was sent than there is");
    let length = rest.len().min(SEND_OP_BYTES_MAX) as u32;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
    let send = opcode::Send::new(fd, rest.as_ptr(), length);
    if sending.quiet {
        send.flags(flags | libc::MSG_DONTWAIT).build().flags(squeue::Flags::SKIP_SUCCESS)
    } else {
        send.flags(flags).build()
    }
}
