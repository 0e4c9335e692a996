//! How fast two `Net`s exchange messages in memory: what a core spends on its links, without the sockets.
//!
//! `cargo run --release -p netbatch --example throughput [MESSAGE_BYTES] [MESSAGES_PER_TURN]`

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netbatch::{ClusterId, Config, DataId, Effect, HostId, LinkId, Net, Secret, Tuning};
use reactor::Nanos;

/// Bytes that the receiving socket hands over at once, as a ring with provided buffers would.
const PIECE_BYTES: usize = 64 << 10;

/// Simulated time of one turn.
const TURN: Nanos = 10_000;

struct Pair {
    nets: [Net; 2],
    /// The link at the other end, by side and link.
    other: BTreeMap<(usize, LinkId), LinkId>,
    received: u64,
    now: Nanos,
}

fn config(host: HostId) -> Config {
    let peer = 3 - host;
    Config {
        cluster: ClusterId([1; 16]),
        host,
        core: 0,
        slices: 1,
        config_epoch: 1,
        data_id: DataId([2; 16]),
        secret: Secret::new(*b"a secret for the bench"),
        peers: BTreeMap::from([(peer, SocketAddr::from(([127, 0, 0, 1], 7500)))]),
        known_peer_data_ids: BTreeMap::new(),
        tuning: Tuning::default(),
    }
}

impl Pair {
    /// Ends a turn of one side, and hands its bytes to the other.
    fn turn(&mut self, side: usize) {
        self.now += TURN;
        self.nets[side].end_turn(self.now);
        while let Some(effect) = self.nets[side].poll() {
            match effect {
                Effect::Connect { link, .. } => {
                    let from = SocketAddr::from(([127, 0, 0, 1], 1000));
                    let accepted = self.nets[1 - side].on_accepted(self.now, from);
                    self.other.insert((side, link), accepted);
                    self.other.insert((1 - side, accepted), link);
                    self.nets[side].on_connected(self.now, link);
                }
                Effect::Send { link, bytes } => {
                    let Some(to) = self.other.get(&(side, link)).copied() else { continue };
                    let received = &mut self.received;
                    for piece in bytes.chunks(PIECE_BYTES) {
                        self.nets[1 - side].on_bytes(self.now, to, piece, &mut |_, _| *received += 1);
                    }
                    self.nets[side].on_sent(link);
                }
                _ => (),
            }
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let mut next = |default| match numbers.next() {
        Some(Ok(number)) => number,
        Some(Err(error)) => panic!("both arguments are numbers: {error}"),
        None => default,
    };
    let (message_bytes, per_turn) = (next(100), next(64));
    let nets = [Net::new(config(1), 1), Net::new(config(2), 2)];
    let mut pair = Pair { nets, other: BTreeMap::new(), received: 0, now: 0 };
    for side in [0, 1].repeat(100) {
        pair.turn(side);
    }
    assert!(pair.nets[0].healthy(2) && pair.nets[1].healthy(1), "the pair is connected");

    let message = vec![0xab; message_bytes];
    let start = Instant::now();
    let mut pushed = 0_u64;
    while start.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            for _ in 0..per_turn {
                pushed += u64::from(pair.nets[0].push(2, &message));
            }
            pair.turn(0);
            pair.turn(1);
        }
    }
    while pair.nets[0].outbox_bytes(2) > 0 {
        pair.turn(0);
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(pair.received, pushed, "all arrived");
    let messages = pushed as f64 / seconds;
    let frames = pair.nets[0].metrics().frames_out as f64;
    println!("{message_bytes} bytes, {per_turn} messages a turn: {messages:.0} messages/s");
    println!(
        "{:.0} MB/s, {:.0} ns a message, sending and receiving",
        messages * message_bytes as f64 / 1e6,
        1e9 / messages
    );
    println!("{:.1} messages a frame", pushed as f64 / frames);
}
