//! One connection: what it is doing with the kernel, and what waits to be sent.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use socket2::SockAddr;

use super::limits::{JOINED_SEND_BYTES_MAX, QUIET_SEND_BYTES_MAX};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The kernel is connecting it.
    Connecting,
    /// Up.
    Open,
    /// Up, closes when everything queued is sent; what arrives is dropped.
    Draining,
    /// Over for its owner, everything sent and our half closed; reads into nothing until the other side closes too or
    /// the time is up. Closing with input unread would be a reset, which takes with it what was sent last.
    Lingering,
    /// Over for its owner; waits for the kernel to let go of its operations.
    Closing,
}

/// The multishot receive of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// Not armed.
    No,
    /// Armed.
    Armed,
    /// Armed, and its cancellation is under way.
    Cancelling,
    /// The other side sends no more.
    Ended,
}

/// A send in progress.
pub struct Sending {
    /// The bytes; the kernel reads them, so they stay where they are until the operation has ended.
    pub bytes: Vec<u8>,
    /// How many of them the socket has taken.
    pub sent: usize,
    /// Whether the kernel holds an operation on them now.
    pub with_kernel: bool,
    /// Whether that operation reports only failure.
    pub quiet: bool,
}

/// One connection.
pub struct Conn {
    /// The socket.
    pub fd: OwnedFd,
    /// Where it is in its life.
    pub state: State,
    /// Its multishot receive.
    pub receiving: Receiving,
    /// The owner wants no input.
    pub paused: bool,
    /// The send in progress.
    pub sending: Option<Sending>,
    /// What is sent after it.
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// Operations whose last completion has not been taken, quiet sends not counted.
    pub in_flight: u32,
    /// Whether it is on the list of those to look at before the next submission.
    pub listed: bool,
    /// The address to connect to; the kernel reads it until the connect has ended.
    pub address: Option<Box<SockAddr>>,
}

impl Conn {
    /// A connection that nothing has been done with.
    pub fn new(fd: OwnedFd, state: State, address: Option<Box<SockAddr>>) -> Conn {
        Conn {
            fd,
            state,
            receiving: Receiving::No,
            paused: false,
            sending: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            in_flight: 0,
            listed: false,
            address,
        }
    }

    /// The socket as the kernel names it.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether the owner still takes part.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open)
    }

    /// Bytes queued and in progress that the socket has not taken.
    pub fn unsent_bytes(&self) -> usize {
        self.queued_bytes + self.sending.as_ref().map_or(0, |sending| sending.bytes.len() - sending.sent)
    }

    /// Queues bytes, joined to the last queued ones while these are small.
    pub fn enqueue(&mut self, bytes: Vec<u8>) {
        self.queued_bytes += bytes.len();
        match self.queue.back_mut() {
            Some(last) if last.len() + bytes.len() <= JOINED_SEND_BYTES_MAX => last.extend_from_slice(&bytes),
            _ => self.queue.push_back(bytes),
        }
    }

    /// Forgets what is queued; what the kernel holds stays.
    pub fn drop_queue(&mut self) {
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
    }

    /// Makes the next queued bytes the send in progress, if there is none. A small one that nothing waits behind is
    /// quiet: nobody needs to hear at once that it is done.
    pub fn next_sending(&mut self) {
        if self.sending.is_some() || !matches!(self.state, State::Open | State::Draining) {
            return;
        }
        let Some(bytes) = self.queue.pop_front() else { return };
        self.queued_bytes -= bytes.len();
        let quiet = bytes.len() <= QUIET_SEND_BYTES_MAX && self.queue.is_empty() && self.state == State::Open;
        self.sending = Some(Sending { bytes, sent: 0, with_kernel: false, quiet });
    }

    /// Whether nothing of the connection is left with the kernel.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && !self.sending.as_ref().is_some_and(|sending| sending.with_kernel)
    }
}
