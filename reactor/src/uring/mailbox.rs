//! Messages between cores, and from threads that are not cores.
//!
//! From each core to each other core there is one bounded single-producer single-consumer queue. The sender notes whom
//! it has written to; at the end of its turn it wakes each of them once, by an operation of its ring that posts a
//! completion into theirs. A thread outside (signals, admin) has a bounded queue of its own per core and wakes by an
//! event counter that the core's ring reads.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Arc;

use super::event::CoreIndex;
use super::io::Io;
use super::limits::{MAILBOX_MESSAGES_MAX, OUTSIDE_MESSAGES_MAX};

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A core of this process.
    Core(CoreIndex),
    /// A thread that is not a core.
    Outside,
}

/// One core's ends of all mailboxes.
pub struct Mailboxes<M> {
    to: Vec<Option<rtrb::Producer<M>>>,
    from: Vec<Option<rtrb::Consumer<M>>>,
    outside: Option<Receiver<M>>,
    /// The queue to look at first, so that no core is preferred.
    next: usize,
}

impl<M: Send> Mailboxes<M> {
    /// The mailboxes of `cores` cores, each with its queue from outside.
    pub(super) fn mesh(outside: Vec<Option<Receiver<M>>>) -> Vec<Mailboxes<M>> {
        let cores = outside.len();
        let mut all: Vec<Mailboxes<M>> = outside
            .into_iter()
            .map(|outside| Mailboxes {
                to: (0..cores).map(|_| None).collect(),
                from: (0..cores).map(|_| None).collect(),
                outside,
                next: 0,
            })
            .collect();
        for sender in 0..cores {
            for receiver in (0..cores).filter(|&receiver| receiver != sender) {
                let (producer, consumer) = rtrb::RingBuffer::new(MAILBOX_MESSAGES_MAX);
                all[sender].to[receiver] = Some(producer);
                all[receiver].from[sender] = Some(consumer);
            }
        }
        all
    }

    /// How many cores the process has.
    pub fn cores(&self) -> usize {
        self.to.len()
    }

    /// Puts a message into another core's mailbox; it is woken at the end of the turn. Hands the message back if the
    /// mailbox is full. Sending to oneself or to a core that does not exist is a broken invariant.
    pub fn send(&mut self, io: &mut Io, to: CoreIndex, message: M) -> Result<(), M> {
        let mailbox = self.to.get_mut(usize::from(to.0)).and_then(Option::as_mut);
        let mailbox = mailbox.expect("mailboxes lead to the other cores of the process");
        match mailbox.push(message) {
            Ok(()) => {
                io.wake(to);
                Ok(())
            }
            Err(rtrb::PushError::Full(message)) => Err(message),
        }
    }

    /// The next message, the senders taking turns. Drain until none is left on [`Event::Woken`](super::Event::Woken).
    pub fn receive(&mut self) -> Option<(Sender, M)> {
        let cores = self.from.len();
        for step in 0..cores {
            let core = (self.next + step) % cores;
            let Some(mailbox) = self.from[core].as_mut() else { continue };
            if let Ok(message) = mailbox.pop() {
                self.next = (core + 1) % cores;
                return Some((Sender::Core(CoreIndex(core as u16)), message));
            }
        }
        let message = self.outside.as_ref()?.try_recv().ok()?;
        Some((Sender::Outside, message))
    }
}

/// Why a message from outside was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum OutsideError<M> {
    /// The core's queue is full; try again later.
    Full(M),
    /// The core has stopped.
    Stopped(M),
}

/// A thread's end of a core's queue from outside. Clones share the queue.
pub struct Outside<M> {
    queue: SyncSender<M>,
    counter: Arc<OwnedFd>,
}

impl<M> Clone for Outside<M> {
    fn clone(&self) -> Self {
        Outside { queue: self.queue.clone(), counter: Arc::clone(&self.counter) }
    }
}

impl<M: Send> Outside<M> {
    /// Hands a message to the core and wakes it. Never blocks.
    pub fn send(&self, message: M) -> Result<(), OutsideError<M>> {
        self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => OutsideError::Full(message),
            TrySendError::Disconnected(message) => OutsideError::Stopped(message),
        })?;
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer has the eight bytes that an event counter takes. The counter is far from full, so this
        // neither blocks nor fails.
        let written = unsafe { libc::write(self.counter.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        assert!(written == 8, "an event counter takes eight bytes");
        Ok(())
    }
}

/// The core's end of a queue from outside; goes into its [`CoreSpec`](super::CoreSpec).
pub struct OutsideEnd<M> {
    pub(super) queue: Receiver<M>,
    pub(super) counter: Arc<OwnedFd>,
}

/// Makes a queue from outside to one core.
pub fn outside<M: Send>() -> io::Result<(Outside<M>, OutsideEnd<M>)> {
    // SAFETY: the call touches no memory; its result is checked.
    let counter = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if counter < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    let counter = Arc::new(unsafe { OwnedFd::from_raw_fd(counter) });
    let (sender, receiver) = sync_channel(OUTSIDE_MESSAGES_MAX);
    let end = OutsideEnd { queue: receiver, counter: Arc::clone(&counter) };
    Ok((Outside { queue: sender, counter }, end))
}

/// What a core needs to wake the others and to be woken from outside.
pub(super) struct Wakes {
    /// The rings of all cores, by index; none until all cores are up. They stay open until the last core is gone, so
    /// that a wake of a core that has stopped meets no stranger's descriptor.
    pub rings: Option<Arc<[OwnedFd]>>,
    /// Whom to wake at the end of the turn, each once.
    pub pending: Vec<CoreIndex>,
    /// The event counter of the queue from outside.
    pub counter: Option<Arc<OwnedFd>>,
    /// Where the kernel puts the counter's value.
    pub count: Box<u64>,
    /// Whether the read of the counter is armed.
    pub armed: bool,
}

impl Wakes {
    /// The ring of a core.
    pub fn ring(&self, core: CoreIndex) -> Option<BorrowedFd<'_>> {
        self.rings.as_ref()?.get(usize::from(core.0)).map(AsFd::as_fd)
    }

    /// Notes that a core has to be woken.
    pub fn note(&mut self, core: CoreIndex) {
        if !self.pending.contains(&core) {
            self.pending.push(core);
        }
    }
}
