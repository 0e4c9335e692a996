//! What the tests share: an echo server on a core of its own, and clients on plain threads.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{channel, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::uring::{outside, run_cores, CoreSpec, Event, Io, Mailboxes, Next, Outside, Stats, Turn};
use crate::Nanos;

/// No test takes longer; a client that waits longer fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The address that makes the system choose a port.
pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A blocking client that gives up rather than hang.
pub fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// What a server of one core does with an event; `Woken` with a message stops it.
pub trait Handler {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>);
    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next::default()
    }
    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

struct Stoppable<H> {
    handler: H,
    mailboxes: Mailboxes<()>,
    stats: Sender<Stats>,
    stop: bool,
}

impl<H: Handler> Turn for Stoppable<H> {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Woken => self.stop = self.mailboxes.receive().is_some(),
            event => self.handler.on_event(io, event),
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        let next = self.handler.end_turn(io, now);
        if self.stop {
            self.stats.send(io.stats()).expect("the test waits for the counters");
        }
        Next { stop: self.stop, ..next }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        self.handler.background(io, now);
    }
}

/// A server of one core that runs until it is told to stop.
pub struct Server {
    pub address: SocketAddr,
    control: Outside<()>,
    stats: std::sync::mpsc::Receiver<Stats>,
    thread: JoinHandle<()>,
}

impl Server {
    pub fn start<H: Handler + 'static>(handler: impl Fn() -> H + Send + Sync + 'static) -> Server {
        let (control, end) = outside().expect("an event counter can be made");
        let (tell, told) = channel();
        let (stats, stats_told) = channel();
        let thread = std::thread::spawn(move || {
            let directory = tempfile::tempdir().expect("a directory can be made");
            let mut spec = CoreSpec::new(directory.path());
            spec.outside = Some(end);
            run_cores(vec![spec], |_, io, mailboxes| {
                let listener = io.listen(any_port(), 7)?;
                tell.send(io.listener_address(listener)).expect("the test waits for the address");
                Ok(Stoppable { handler: handler(), mailboxes, stats: stats.clone(), stop: false })
            })
            .expect("a core starts here");
        });
        let address = told.recv_timeout(PATIENCE).expect("the server comes up");
        Server { address, control, stats: stats_told, thread }
    }

    /// Stops the core; its counters.
    pub fn stop(self) -> Stats {
        self.control.send(()).expect("the core takes the message");
        let stats = self.stats.recv_timeout(PATIENCE).expect("the core stops");
        self.thread.join().expect("the core has not panicked");
        stats
    }
}

/// Sends back whatever comes, and stops reading a connection while much of its output is unsent.
pub struct Echo {
    /// Unsent bytes of a connection at which it is no longer read.
    pub unsent_max: usize,
    /// The most unsent bytes that were seen.
    pub unsent_seen: Sender<usize>,
}

impl Handler for Echo {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Received { conn, bytes } => {
                io.send(conn, bytes.to_vec());
                let unsent = io.unsent_bytes(conn);
                // The test may have seen enough.
                let _ = self.unsent_seen.send(unsent);
                if unsent > self.unsent_max {
                    io.pause_reading(conn, true);
                }
            }
            Event::Sent { conn } if io.unsent_bytes(conn) <= self.unsent_max => {
                io.pause_reading(conn, false);
            }
            Event::Accepted { tag, .. } => assert_eq!(tag, 7, "a connection names its listener's tag"),
            _ => {}
        }
    }
}

/// Bytes that differ at every place in a way that shows a lost or moved piece.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    (0..bytes as u64)
        .map(|at| ((at.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(97)) >> 7) as u8)
        .collect()
}
