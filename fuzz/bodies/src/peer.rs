//! Links to peers: bytes before the proof deliver nothing, and after it a bad frame ends the link and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netbatch::limits::{UNPROVEN_BYTES_MAX, UNPROVEN_LINKS_MAX};
use netbatch::{ClusterId, Config, DataId, Effect, LinkId, Net, Secret, Tuning};

use crate::input::{put_chunk, Cuts, Input};
use crate::limits::ANY_BYTES;

/// One byte that says which side is fuzzed, two that say how the stream is cut, then the stream.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, cuts) = (input.byte() % 4, Cuts::new(input.word()));
    match kind {
        0 => unproven(input.rest(), cuts, true),
        1 => unproven(input.rest(), cuts, false),
        2 => proven(input.rest(), cuts),
        _ => proven(&forged(&mut input), cuts),
    }
}

fn addr(host: u32) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host as u8], 7500))
}

fn net(host: u32) -> Net {
    let config = Config {
        cluster: ClusterId([7; 16]),
        host,
        core: 0,
        slices: 1,
        config_epoch: 1,
        data_id: DataId([host as u8; 16]),
        secret: Secret::new(*b"the secret of the cluster"),
        peers: [(3 - host, addr(3 - host))].into(),
        known_peer_data_ids: BTreeMap::new(),
        tuning: Tuning { links_per_peer: 1, ..Tuning::default() },
    };
    Net::new(config, u64::from(host))
}

fn drain(net: &mut Net) -> Vec<Effect> {
    std::iter::from_fn(|| net.poll()).collect()
}

/// Feeds a stream in pieces, and counts what arrived as messages. Memory follows the bytes.
fn feed(net: &mut Net, link: LinkId, stream: &[u8], mut cuts: Cuts) -> usize {
    let (held, mut at, mut delivered) = (net.partial_bytes(), 0, 0);
    while at < stream.len() {
        let piece = &stream[at..stream.len().min(at + cuts.next() * 8)];
        net.on_bytes(1, link, piece, &mut |from, message| {
            assert!(from == 2 && message.len() <= stream.len(), "it is the peer's, and was sent");
            delivered += 1;
        });
        at += piece.len();
        assert!(net.partial_bytes() <= held + 2 * at + ANY_BYTES, "memory grows with what arrived");
    }
    net.end_turn(1);
    assert!(net.deadline().is_none_or(|deadline| deadline > 1), "the deadline lies in the future");
    delivered
}

/// A stranger, who calls or is called.
fn unproven(stream: &[u8], cuts: Cuts, calls: bool) {
    let mut net = net(1);
    net.end_turn(0);
    let effects = drain(&mut net);
    let link = match effects.as_slice() {
        [Effect::Connect { link, .. }] if !calls => {
            net.on_connected(0, *link);
            *link
        }
        _ => net.on_accepted(0, addr(2)),
    };
    let delivered = feed(&mut net, link, stream, cuts);
    assert_eq!((delivered, net.link_count(2)), (0, 0), "nothing passes before the proof");
    assert!(net.partial_bytes() <= UNPROVEN_LINKS_MAX * UNPROVEN_BYTES_MAX);
}

/// A peer that knows the secret.
fn proven(stream: &[u8], cuts: Cuts) {
    let (mut one, link) = connected();
    feed(&mut one, link, stream, cuts);
    let ended = drain(&mut one).iter().any(|effect| matches!(effect, Effect::Close { .. }));
    assert_eq!(one.metrics().bad_frames, u64::from(ended), "a bad frame, and nothing else, ends the link");
    assert_eq!(one.link_count(2), usize::from(!ended));
}

/// Host 1 with a link to host 2, which called and has proved itself; nothing is held of it.
fn connected() -> (Net, LinkId) {
    let (mut one, mut two) = (net(1), net(2));
    one.end_turn(0);
    drain(&mut one);
    two.end_turn(0);
    let Some(Effect::Connect { link: dialled, .. }) = two.poll() else { panic!("it dials") };
    let accepted = one.on_accepted(0, addr(2));
    two.on_connected(0, dialled);
    for _ in 0..4 {
        carry(&mut two, dialled, &mut one, accepted);
        carry(&mut one, accepted, &mut two, dialled);
    }
    assert_eq!((one.link_count(2), two.link_count(1)), (1, 1), "they know each other");
    (one, accepted)
}

/// Hands over what one end sends.
fn carry(from: &mut Net, link: LinkId, to: &mut Net, at: LinkId) {
    from.end_turn(0);
    for effect in drain(from) {
        if let Effect::Send { link: sent, bytes } = effect {
            assert_eq!(sent, link, "there is one link");
            from.on_sent(link);
            to.on_bytes(0, at, &bytes, &mut |_, _| panic!("nothing was pushed"));
        }
    }
}

/// Frames with right checksums. Each has a byte of knobs and a body: parts, or bytes as they are.
fn forged(input: &mut Input<'_>) -> Vec<u8> {
    let (mut stream, mut sequence) = (Vec::new(), 2_u64);
    while !input.is_empty() {
        let knobs = input.byte();
        let mut body = Vec::new();
        let mut count = 0_u32;
        if knobs & 1 == 0 {
            for _ in 0..knobs >> 4 {
                let kind = input.byte();
                let part = input.chunk();
                let announced = part.len() as u32 + 4 * u32::from(kind % 4 == 1);
                body.extend_from_slice(&(u32::from(kind % 4) << 30 | announced).to_le_bytes());
                if kind % 4 == 1 {
                    body.extend_from_slice(&u32::from(input.word()).to_le_bytes());
                }
                body.extend_from_slice(part);
                count += 1;
            }
        } else {
            body.extend_from_slice(input.chunk());
            count = u32::from(knobs >> 4);
        }
        let acknowledged = u64::from(knobs & 2 != 0) * u64::from(input.byte());
        sequence += u64::from(knobs & 4 != 0) * u64::from(input.byte());
        stream.extend(frame(&body, count, sequence, acknowledged));
        sequence += 1;
    }
    stream
}

/// A frame, laid out as docs/formats/peer-frame.md has it.
fn frame(body: &[u8], count: u32, sequence: u64, acknowledged: u64) -> Vec<u8> {
    let mut frame = b"SYNP\x01\0\0\0".to_vec();
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&count.to_le_bytes());
    frame.extend_from_slice(&sequence.to_le_bytes());
    frame.extend_from_slice(&acknowledged.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = crc32c::crc32c(&frame);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A stranger's hello, a good frame as it is, and forged frames of whole and split messages.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut two = net(2);
    two.end_turn(0);
    let mut hello = Vec::new();
    if let Some(Effect::Connect { link, .. }) = two.poll() {
        two.on_connected(0, link);
        if let Some(Effect::Send { bytes, .. }) = two.poll() {
            hello = bytes;
        }
    }
    let mut whole = vec![3, 1, 0, 0x20, 0];
    put_chunk(&mut whole, b"one");
    whole.push(0);
    put_chunk(&mut whole, b"two");
    let mut split = vec![3, 9, 0, 0x30, 1];
    put_chunk(&mut split, b"abc");
    split.extend([7, 0, 2]);
    put_chunk(&mut split, b"de");
    split.push(3);
    put_chunk(&mut split, b"fg");
    let good = frame(b"\x03\0\0\0abc", 1, 2, 0);
    vec![
        [&[0, 0, 0], hello.as_slice()].concat(),
        [&[1, 5, 0], hello.as_slice()].concat(),
        [&[2, 2, 0], good.as_slice()].concat(),
        [&[2, 3, 0], frame(b"", 0, 2, 0).as_slice(), good.as_slice()].concat(),
        whole,
        split,
        vec![3, 0, 0, 0x11, 2, 0, 1, 2, 0],
    ]
}
