//! One non-blocking connection: bytes out, bytes in, and the operations that wait for a reply.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::keys::Kind;
use crate::limits::{BULK_BYTES_MAX, INPUT_BYTES_MIN, LINE_BYTES_MAX, RECONNECT_MAX, RECONNECT_MIN};

/// What a reply will be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An operation of the load.
    Load(Kind),
    /// AUTH: a refusal ends the run.
    Auth,
    /// ASKING: the reply says nothing.
    Asking,
    /// The confirmation of the writes before it.
    Confirm,
}

/// A request that waits for its reply, or for being sent.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// What it is.
    pub purpose: Purpose,
    /// The number of the operation: its key and member.
    pub number: u64,
    /// From when its latency counts, ns since the start of the phase.
    pub from_ns: u64,
    /// Times it was sent elsewhere.
    pub redirects: u8,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not connected; not before this time (ns) is it tried again.
    Down {
        /// ns since the start of the phase.
        retry_ns: u64,
    },
    /// The system is connecting; requests may queue.
    Connecting,
    /// Usable.
    Up,
}

/// One connection of one client to one node.
#[derive(Debug)]
pub struct Link {
    /// The client it belongs to.
    pub client: usize,
    /// The node it leads to.
    pub node: usize,
    /// How it stands.
    pub state: State,
    /// What waits for a reply, oldest first.
    pub queue: VecDeque<Pending>,
    /// Writes sent since the last confirmation was asked for.
    pub unconfirmed: bool,
    /// Writes that were answered and wait for the confirmation behind them.
    pub held: Vec<Pending>,
    /// When the newest reply came, or the first request of an empty queue went: what a timeout counts from.
    pub progress_ns: u64,
    /// Already on the worker's list of connections to write to.
    pub dirty: bool,
    stream: Option<TcpStream>,
    output: Vec<u8>,
    written: usize,
    backoff: Duration,
}

impl Link {
    /// A connection that is not made yet.
    pub fn new(client: usize, node: usize) -> Link {
        Link {
            client,
            node,
            state: State::Down { retry_ns: 0 },
            queue: VecDeque::new(),
            unconfirmed: false,
            held: Vec::new(),
            progress_ns: 0,
            dirty: false,
            stream: None,
            output: Vec::new(),
            written: 0,
            backoff: RECONNECT_MIN,
        }
    }

    /// Whether requests may be queued now.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Down { .. })
    }

    /// Starts to connect.
    pub fn connect(&mut self, addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<()> {
        assert!(
            self.stream.is_none() && self.queue.is_empty(),
            "a connection is made again only after its end"
        );
        let mut stream = TcpStream::connect(addr)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.stream = Some(stream);
        self.state = State::Connecting;
        Ok(())
    }

    /// Finds out, when the system says that the socket may be written, whether it is connected.
    pub fn finish_connecting(&mut self) -> io::Result<bool> {
        let Some(stream) = &self.stream else { return Ok(false) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => {
                stream.set_nodelay(true)?;
                self.state = State::Up;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Queues a request: `encode` appends its bytes.
    pub fn push(&mut self, pending: Pending, now_ns: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.queue.is_empty() {
            self.progress_ns = now_ns;
        }
        self.queue.push_back(pending);
        encode(&mut self.output);
    }

    /// Writes what the socket takes. The rest goes when it becomes writable again.
    pub fn write(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once into the free end of `input`. `Ok(None)`: nothing there now.
    pub fn read(&mut self, input: &mut Input) -> io::Result<Option<usize>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match stream.read(input.space()?) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                input.end += count;
                Ok(Some(count))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A reply came: the next failure starts with a short pause again.
    pub fn on_reply(&mut self, now_ns: u64) {
        self.progress_ns = now_ns;
        self.backoff = RECONNECT_MIN;
    }

    /// Closes the socket and hands back what waited.
    pub fn close(&mut self, registry: &Registry, now_ns: u64) -> VecDeque<Pending> {
        if let Some(mut stream) = self.stream.take() {
            // The descriptor is closed next, which ends its registration whatever this call says.
            let _ = registry.deregister(&mut stream);
        }
        self.output.clear();
        self.written = 0;
        self.state = State::Down { retry_ns: now_ns.saturating_add(self.backoff.as_nanos() as u64) };
        self.backoff = (self.backoff * 2).min(RECONNECT_MAX);
        self.unconfirmed = false;
        let mut waiting = std::mem::take(&mut self.queue);
        waiting.extend(self.held.drain(..));
        waiting
    }
}

/// The bytes that a connection has received and not read yet.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What was received and not taken.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes so many bytes.
    pub fn take(&mut self, count: usize) {
        self.start += count;
        assert!(self.start <= self.end, "no more is taken than was received");
    }

    /// Drops everything, at the end of a connection.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Free space at the end; makes some if there is little. It grows with what arrived, never with what was
    /// announced.
    fn space(&mut self) -> io::Result<&mut [u8]> {
        if self.start == self.end {
            self.clear();
        }
        if self.bytes.len() - self.end < INPUT_BYTES_MIN / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.bytes.len() - self.end < INPUT_BYTES_MIN / 2 {
                let grown =
                    (self.bytes.len() * 2).clamp(INPUT_BYTES_MIN, BULK_BYTES_MAX + 2 * LINE_BYTES_MAX);
                if grown <= self.bytes.len() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply longer than any value"));
                }
                self.bytes.resize(grown, 0);
            }
        }
        Ok(self.bytes.get_mut(self.end..).unwrap_or_default())
    }
}
