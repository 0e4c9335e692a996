//! Sockets: many connections, large messages, backpressure, and ids that die with their connection.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

use super::support::{any_port, client, pattern, Echo, Handler, Server, PATIENCE};
use crate::clock::MICROSECOND;
use crate::rng::Rng;
use crate::uring::limits::{LINGER_MS, RECV_BUFFERS, RECV_BUFFER_BYTES};
use crate::uring::{ConnId, Event, Io, Next};
use crate::Nanos;

fn echo_server(unsent_max: usize) -> (Server, Receiver<usize>) {
    let (unsent_seen, seen) = channel();
    let server = Server::start(move || Echo { unsent_max, unsent_seen: unsent_seen.clone() });
    (server, seen)
}

/// Writes and reads at once, as a client of an echo must that sends more than the buffers on the way hold.
fn round_trip(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = client(address);
    let mut writer = stream.try_clone().expect("a socket can be cloned");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).expect("the server reads"));
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).expect("the server answers");
        back
    })
}

#[test]
fn what_is_sent_comes_back() {
    let (server, _seen) = echo_server(1 << 20);
    for bytes in [1, 2, 4095, 16 * 1024, 16 * 1024 + 1, 300_000, 24 << 20] {
        let sent = pattern(bytes as u64, bytes);
        assert!(round_trip(server.address, &sent) == sent, "{bytes} bytes come back as they went");
    }
    let stats = server.stop();
    let all = 1 + 2 + 4095 + 16 * 1024 * 2 + 1 + 300_000 + (24 << 20);
    assert_eq!((stats.bytes_in, stats.bytes_out), (all, all));
    assert_eq!((stats.accepted, stats.closed), (7, 7));
}

#[test]
fn many_connections_at_once() {
    const CLIENTS: u64 = 400;
    const ROUNDS: usize = 20;
    let (server, _seen) = echo_server(1 << 20);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(server.address)).collect();
    for round in 0..ROUNDS {
        let message = |index: usize| pattern((index * ROUNDS + round) as u64, 64 + index * 3);
        for (index, stream) in clients.iter_mut().enumerate() {
            stream.write_all(&message(index)).expect("the server reads");
        }
        for (index, stream) in clients.iter_mut().enumerate() {
            let expected = message(index);
            let mut back = vec![0; expected.len()];
            stream.read_exact(&mut back).expect("the server answers");
            assert!(back == expected, "connection {index} gets its own bytes");
        }
    }
    drop(clients);
    let stats = server.stop();
    assert_eq!(stats.accepted, CLIENTS);
    assert!(stats.enters < CLIENTS * ROUNDS as u64, "turns take many messages together: {stats:?}");
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    const UNSENT_MAX: usize = 64 * 1024;
    let (server, seen) = echo_server(UNSENT_MAX);
    let sent = pattern(3, 64 << 20);
    let mut stream = client(server.address);
    let mut writer = stream.try_clone().expect("a socket can be cloned");
    let back = std::thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || writer.write_all(sent).expect("the server reads on when it may"));
        // Nothing is read until the server has stopped reading: it holds more than the limit.
        while seen.recv().expect("the server runs") <= UNSENT_MAX {}
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).expect("the server sends on");
        back
    });
    assert!(back == sent, "nothing is lost or moved by pausing");
    server.stop();
    let most = seen.try_iter().max().unwrap_or(0);
    let overshoot = usize::from(RECV_BUFFERS) * RECV_BUFFER_BYTES;
    assert!(most <= UNSENT_MAX + overshoot, "unsent bytes stay near the limit, not {most}");
}

/// Sends small pieces, one per turn and only when the last is out, and tells when one is not.
struct Drip {
    to: Option<ConnId>,
    sent: usize,
    stuck: std::sync::mpsc::Sender<()>,
}

const PIECE: usize = 11_111;
const DRIPS: usize = 4_000;

impl Handler for Drip {
    fn on_event(&mut self, _io: &mut Io, event: Event<'_>) {
        if let Event::Accepted { conn, .. } = event {
            self.to = Some(conn);
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        let Some(to) = self.to.filter(|_| self.sent < DRIPS) else { return Next::default() };
        if io.unsent_bytes(to) > 0 {
            // The test may have heard it before.
            let _ = self.stuck.send(());
            return Next::default();
        }
        io.send(to, pattern(self.sent as u64, PIECE));
        self.sent += 1;
        Next { deadline: Some(now), ..Next::default() }
    }
}

#[test]
fn small_sends_survive_a_full_socket() {
    let (stuck, is_stuck) = channel();
    let server = Server::start(move || Drip { to: None, sent: 0, stuck: stuck.clone() });
    let mut stream = client(server.address);
    is_stuck.recv_timeout(PATIENCE).expect("the buffers on the way are full at some time");
    for piece in 0..DRIPS {
        let mut back = vec![0; PIECE];
        stream.read_exact(&mut back).expect("the server sends on");
        assert!(back == pattern(piece as u64, PIECE), "piece {piece} comes whole and in order");
    }
    let stats = server.stop();
    assert!(stats.sends_repeated > 0, "what did not fit was sent again: {stats:?}");
    assert_eq!(stats.bytes_out, (DRIPS * PIECE) as u64);
}

/// Echoes, pausing and resuming at random.
struct Moody {
    rng: Rng,
    conns: Vec<ConnId>,
}

impl Handler for Moody {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Accepted { conn, .. } => self.conns.push(conn),
            Event::Closed { conn } => self.conns.retain(|other| *other != conn),
            Event::Received { conn, bytes } => {
                // In two pieces of any size, the first perhaps empty.
                let cut = self.rng.below(bytes.len() as u64) as usize;
                io.send(conn, bytes[..cut].to_vec());
                io.send(conn, bytes[cut..].to_vec());
                if self.rng.chance(300_000) {
                    io.pause_reading(conn, true);
                }
            }
            _ => {}
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        for &conn in &self.conns {
            // Sometimes both within one turn, in either order.
            if self.rng.coin() {
                io.pause_reading(conn, false);
            }
            if self.rng.chance(50_000) {
                io.pause_reading(conn, true);
                io.pause_reading(conn, self.rng.coin());
            }
        }
        Next { deadline: Some(now + 20 * MICROSECOND), ..Next::default() }
    }
}

#[test]
fn pausing_at_random_loses_nothing() {
    const CLIENTS: u64 = 12;
    let server = Server::start(|| Moody { rng: Rng::new(11), conns: Vec::new() });
    let address = server.address;
    std::thread::scope(|scope| {
        for seed in 0..CLIENTS {
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..5 {
                    let sent = pattern(rng.next_u64(), rng.between(1, 2 << 20) as usize);
                    assert!(round_trip(address, &sent) == sent, "client {seed} gets its own bytes back");
                }
            });
        }
    });
    let stats = server.stop();
    assert_eq!(stats.accepted, 5 * CLIENTS);
    assert_eq!(stats.bytes_in, stats.bytes_out);
}

/// Sends a long answer and closes when it is out.
struct AnswerAndClose;

impl Handler for AnswerAndClose {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        if let Event::Received { conn, .. } = event {
            io.send(conn, pattern(5, 8 << 20));
            io.send(conn, b"end".to_vec());
            io.close_when_sent(conn);
            io.send(conn, b"never".to_vec());
        }
    }
}

#[test]
fn close_when_sent_sends_first_and_reads_into_nothing() {
    let server = Server::start(|| AnswerAndClose);
    // More than all receive buffers hold, so that each of them has to come back.
    let ignored = vec![0; usize::from(RECV_BUFFERS) * RECV_BUFFER_BYTES + (4 << 20)];
    for _ in 0..2 {
        let mut stream = client(server.address);
        stream.write_all(b"go").expect("the server reads");
        stream.read_exact(&mut [0; 1]).expect("the answer begins");
        stream.write_all(&ignored).expect("the server reads on");
        let mut back = vec![pattern(5, 1)[0]];
        stream.read_to_end(&mut back).expect("the server closes in order");
        let mut expected = pattern(5, 8 << 20);
        expected.extend_from_slice(b"end");
        assert!(back == expected, "all of it comes, and no more");
    }
    let stats = server.stop();
    assert!(stats.bytes_in < 1 << 20, "what nobody wants is not counted: {stats:?}");
}

/// Refuses whoever comes, and tells when nothing of the connection is left.
struct Refuse {
    refused: bool,
    gone: std::sync::mpsc::Sender<Nanos>,
}

impl Handler for Refuse {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Accepted { conn, .. } => {
                io.send(conn, b"no".to_vec());
                io.close_when_sent(conn);
            }
            Event::Closed { conn } => {
                self.refused = true;
                // It is over for its owner: this must not cut the lingering short.
                io.close(conn);
            }
            event => panic!("a refused connection has no {event:?}"),
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        if self.refused && io.connections() == 0 {
            // Told in every turn from then on; the test hears the first.
            let _ = self.gone.send(now);
        }
        Next::default()
    }
}

#[test]
fn a_client_that_never_closes_is_not_kept() {
    let (gone, is_gone) = channel();
    let server = Server::start(move || Refuse { refused: false, gone: gone.clone() });
    let mut stream = client(server.address);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server closes its half");
    assert_eq!(answer, b"no");
    let waited = Instant::now();
    is_gone.recv_timeout(PATIENCE).expect("the server closes the rest");
    let linger = Duration::from_millis(LINGER_MS);
    assert!(waited.elapsed() > linger / 4, "it lingers before");
    drop(stream);
    server.stop();
}

/// Closes each connection in the turn of its first bytes, with output still queued, and checks that no event of a
/// closed one follows.
#[derive(Default)]
struct HangUp {
    open: std::collections::BTreeSet<ConnId>,
    dead: std::collections::BTreeSet<ConnId>,
}

impl Handler for HangUp {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Accepted { conn, .. } => {
                assert!(self.open.insert(conn) && !self.dead.contains(&conn), "an id is used once");
            }
            Event::Received { conn, bytes } => {
                assert!(self.open.remove(&conn), "bytes come only from open connections");
                self.dead.insert(conn);
                if bytes.first() == Some(&b'!') {
                    io.send(conn, vec![b'x'; 1 << 20]);
                }
                io.close(conn);
                assert_eq!(io.unsent_bytes(conn), 0, "a dead id has nothing");
                io.send(conn, b"to nobody".to_vec());
                io.pause_reading(conn, true);
                io.close(conn);
                io.close_when_sent(conn);
            }
            Event::Closed { conn } => assert!(self.open.remove(&conn), "an owner's close is not told back"),
            Event::Sent { conn } => assert!(self.open.contains(&conn), "a dead connection sends nothing"),
            _ => {}
        }
    }
}

#[test]
fn a_dead_id_never_comes_back() {
    const ROUNDS: u64 = 500;
    let server = Server::start(HangUp::default);
    for round in 0..ROUNDS {
        let mut stream = client(server.address);
        // What follows the first bytes finds a connection that is being closed, or is gone.
        let first: &[u8] = if round % 2 == 0 { b"!" } else { b"?" };
        stream.write_all(first).expect("the server listens");
        let _ = stream.write_all(&[0; 4096]);
        if round % 3 == 0 {
            let mut rest = Vec::new();
            // Ends orderly or by a reset, as the bytes crossed; it ends.
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() <= 1 << 20);
        }
    }
    let stats = server.stop();
    assert_eq!(stats.accepted, ROUNDS);
}

/// Connects to itself, from a chosen address, and to nobody; talks over the first.
struct Caller {
    target: Option<SocketAddr>,
    calls: Vec<ConnId>,
    outcome: std::sync::mpsc::Sender<&'static str>,
}

impl Handler for Caller {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Accepted { peer, .. } => {
                assert_eq!(
                    peer.ip().to_string(),
                    "127.0.0.2",
                    "the connection comes from where it was bound"
                );
            }
            Event::Connected { conn } => {
                assert_eq!(conn, self.calls[0], "only the first call has somebody to answer it");
                self.outcome.send("connected").expect("the test listens");
            }
            Event::Received { conn, bytes } if self.calls.contains(&conn) => {
                assert_eq!(bytes, b"hello");
                io.close(conn);
                self.outcome.send("answered").expect("the test listens");
            }
            Event::Received { conn, bytes } => io.send(conn, bytes.to_vec()),
            Event::Closed { conn } if self.calls.contains(&conn) => {
                assert_eq!(conn, self.calls[1], "only the second call fails");
                self.outcome.send("refused").expect("the test listens");
            }
            _ => {}
        }
    }

    fn end_turn(&mut self, io: &mut Io, _now: Nanos) -> Next {
        if let Some(target) = self.target.take() {
            let from = Some([127, 0, 0, 2].into());
            self.calls.push(io.connect(from, target));
            // Sent as soon as the connection is up.
            io.send(self.calls[0], b"hello".to_vec());
            let nobody = std::net::TcpListener::bind(any_port()).expect("a port is free");
            let refused = nobody.local_addr().expect("it has an address");
            drop(nobody);
            self.calls.push(io.connect(None, refused));
        }
        Next::default()
    }
}

#[test]
fn connecting_ends_in_connected_or_closed() {
    let (outcome, outcomes) = channel();
    let answering = std::net::TcpListener::bind(any_port()).expect("a port is free");
    let target = answering.local_addr().expect("it has an address");
    let peer = std::thread::spawn(move || {
        let (mut stream, from) = answering.accept().expect("somebody calls");
        assert_eq!(from.ip().to_string(), "127.0.0.2", "the call comes from where it was bound");
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).expect("the caller talks");
        stream.write_all(&bytes).expect("the caller listens");
        assert_eq!(stream.read(&mut bytes).expect("the caller closes in order"), 0);
    });
    let server =
        Server::start(move || Caller { target: Some(target), calls: Vec::new(), outcome: outcome.clone() });
    let mut seen: Vec<_> = outcomes.iter().take(3).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["answered", "connected", "refused"]);
    peer.join().expect("the peer was content");
    server.stop();
}
