//! What a thread outside sees of a core: how many turns it has taken, and which sockets it holds, so that the clients of
//! a core that does not turn any more can be sent away.
//!
//! The core writes words of its own and asks nobody: one store per turn, one per connection that comes or goes. The
//! other side reads them, and may be late: a descriptor may stand for another socket by then. So each word holds a part of
//! the socket's cookie, which the kernel gives out once, and it is compared right before the socket is shut down. Should
//! the core come back to life between the two, a stranger's connection is cut: it connects again, and nothing is lost.
//!
//! Handing over duplicates of the descriptors instead would cost one more of them for each connection, and would keep
//! connections open that the core has closed.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use super::limits::{CONNECTIONS_MAX, LISTENERS_MAX, LISTEN_BACKLOG};

/// Bits of a word that hold a part of the cookie; the rest is the descriptor, plus one.
const COOKIE_BITS: u32 = 40;

/// Descriptors above it are not watched: more than any process has.
const DESCRIPTOR_MAX: i32 = (1 << (63 - COOKIE_BITS)) - 2;

/// Turns of a core that has ended.
const ENDED: u64 = u64::MAX;

/// One core, as a thread outside sees it.
pub struct Watched {
    turns: AtomicU64,
    /// The core's thread, as the system numbers it; 0 before it runs.
    thread: AtomicI32,
    /// Descriptors, plus one.
    listeners: [AtomicI32; LISTENERS_MAX],
    conns: Box<[AtomicU64]>,
}

impl Default for Watched {
    fn default() -> Watched {
        Watched {
            turns: AtomicU64::new(0),
            thread: AtomicI32::new(0),
            listeners: std::array::from_fn(|_| AtomicI32::new(0)),
            conns: (0..CONNECTIONS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Watched {
    /// How many turns the core has taken; none before the first, and when it has ended.
    pub fn turns(&self) -> Option<u64> {
        Some(self.turns.load(Ordering::Relaxed)).filter(|turns| *turns != 0 && *turns != ENDED)
    }

    /// How long the core's thread has waited for a CPU since it began: who waits for that is not stuck. None where the system
    /// does not say.
    pub fn waited(&self) -> Option<Duration> {
        let thread = self.thread.load(Ordering::Relaxed);
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    }

    /// Ends every connection of the core, and those that wait to be accepted; how many there were. For a core that does not
    /// turn: one that does hears that its connections were closed. Harmless when it is repeated.
    pub fn cut_off(&self) -> usize {
        let conns = self.conns.iter().filter(|word| shut_down(word.load(Ordering::Relaxed))).count();
        let waiting: usize =
            self.listeners.iter().map(|place| turn_away(place.load(Ordering::Relaxed) - 1)).sum();
        conns + waiting
    }

    /// Called on the core's own thread.
    pub(super) fn begins(&self) {
        // SAFETY: the call touches no memory and cannot fail.
        self.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    }

    pub(super) fn turned(&self, turns: u64) {
        self.turns.store(turns, Ordering::Relaxed);
    }

    pub(super) fn listens(&self, index: usize, fd: RawFd) {
        if let Some(place) = self.listeners.get(index) {
            place.store(fd + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn connected(&self, slot: u32, fd: RawFd) {
        if let Some(place) = self.conns.get(slot as usize).filter(|_| fd <= DESCRIPTOR_MAX) {
            place.store(word(fd), Ordering::Relaxed);
        }
    }

    pub(super) fn closed(&self, slot: u32) {
        if let Some(place) = self.conns.get(slot as usize) {
            place.store(0, Ordering::Relaxed);
        }
    }

    /// Before the core's descriptors are closed for good.
    pub(super) fn ended(&self) {
        self.turns.store(ENDED, Ordering::Relaxed);
        self.listeners.iter().for_each(|place| place.store(0, Ordering::Relaxed));
        self.conns.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }
}

fn word(fd: RawFd) -> u64 {
    ((fd + 1) as u64) << COOKIE_BITS | cookie(fd).unwrap_or(0) & ((1 << COOKIE_BITS) - 1)
}

/// The number that the kernel gave this socket and gives no other.
fn cookie(fd: RawFd) -> Option<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to locals that outlive the call, and the length is that of the first.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, (&raw mut cookie).cast(), &raw mut length)
    };
    (result == 0).then_some(cookie)
}

/// Shuts the socket of a word down, if the descriptor still stands for it.
fn shut_down(was: u64) -> bool {
    let fd = (was >> COOKIE_BITS) as RawFd - 1;
    // SAFETY: no memory is touched. At worst the descriptor is another one by now: see the head of this file.
    was != 0 && word(fd) == was && unsafe { libc::shutdown(fd, libc::SHUT_RDWR) } == 0
}

/// Accepts and closes what waits at a listener; how many.
fn turn_away(listener: RawFd) -> usize {
    if listener < 0 {
        return 0;
    }
    // The core may come back to life and accept first: then the accept here must not wait.
    give_up_after(listener, 1);
    let mut away = 0;
    while away < LISTEN_BACKLOG as usize && is_waited_at(listener) {
        // SAFETY: null pointers ask for no address.
        let fd = unsafe {
            libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
        };
        if fd < 0 {
            break;
        }
        // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        away += 1;
    }
    give_up_after(listener, 0);
    away
}

/// Whether a connection waits to be accepted.
fn is_waited_at(listener: RawFd) -> bool {
    let mut entry = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry is given, and it outlives the call, which does not wait.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 && entry.revents & libc::POLLIN != 0 }
}

/// How long a blocking accept waits, in milliseconds; 0 = for ever. The ring's own accepts never block.
fn give_up_after(listener: RawFd, ms: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: ms * 1000 };
    // SAFETY: the value outlives the call and its size is given. Failure means that the listener is gone.
    unsafe {
        libc::setsockopt(
            listener,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            size_of_val(&time) as libc::socklen_t,
        );
    }
}
