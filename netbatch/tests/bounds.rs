//! Bounds hold whatever comes from outside, and nothing that comes from outside panics.

use netbatch::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, UNPROVEN_BYTES_MAX, UNPROVEN_LINKS_MAX};
use netbatch::{Effect, LinkId, Net};
use reactor::clock::MILLISECOND;
use reactor::rng::Rng;

use crate::world::{addr, config, Weather, World};

fn drain(net: &mut Net) -> Vec<Effect> {
    std::iter::from_fn(|| net.poll()).collect()
}

fn closes(effects: &[Effect]) -> Vec<LinkId> {
    let closed = |effect: &Effect| match effect {
        Effect::Close { link, .. } => Some(*link),
        _ => None,
    };
    effects.iter().filter_map(closed).collect()
}

#[test]
fn a_flood_of_connections_pushes_out_its_oldest() {
    let mut net = Net::new(config(1, 1), 1);
    let links: Vec<LinkId> = (0..1000).map(|_| net.on_accepted(0, addr(9))).collect();
    let closed = closes(&drain(&mut net));
    assert_eq!(closed, links[..1000 - UNPROVEN_LINKS_MAX]);
    assert_eq!(net.metrics().evicted, closed.len() as u64);
}

#[test]
fn who_says_nothing_is_closed_after_a_second() {
    let mut net = Net::new(config(1, 1), 1);
    let link = net.on_accepted(5, addr(9));
    net.end_turn(5);
    let deadline = net.deadline().unwrap();
    assert_eq!(deadline, 5 + 1000 * MILLISECOND);
    net.end_turn(deadline - 1);
    assert_eq!(drain(&mut net), []);
    net.end_turn(deadline);
    assert_eq!(closes(&drain(&mut net)), [link]);
    assert_eq!(net.deadline(), None);
}

#[test]
fn random_bytes_before_the_proof_take_no_memory_and_end_the_connection() {
    let mut rng = Rng::new(3);
    let mut net = Net::new(config(1, 2), 1);
    for round in 0..2000_u64 {
        let link = net.on_accepted(round, addr(9));
        let mut bytes = vec![0; rng.between(1, 5000) as usize];
        rng.fill(&mut bytes);
        if rng.coin() {
            // As far as a plausible envelope.
            let head = [
                b'S',
                b'Y',
                b'N',
                b'H',
                1,
                1,
                rng.between(0, 4) as u8,
                0,
                rng.between(0, 255) as u8,
                0,
                0,
                0,
            ];
            let head = &head[..bytes.len().min(12)];
            bytes[..head.len()].copy_from_slice(head);
        }
        for piece in bytes.chunks(rng.between(1, 600) as usize) {
            net.on_bytes(round, link, piece, &mut |_, _| panic!("nothing is delivered before the proof"));
            assert!(net.partial_bytes() <= UNPROVEN_LINKS_MAX * UNPROVEN_BYTES_MAX);
        }
        net.end_turn(round);
        drain(&mut net);
        if bytes.len() > 1024 {
            assert_eq!(net.partial_bytes(), 0, "it was closed");
        }
        net.on_closed(round, link);
    }
}

/// Two nets with a ready link between them, and what the first would send next on it.
fn proven_pair(seed: u64) -> World {
    let mut world = World::new(seed, Weather::fair());
    (1..=2).for_each(|host| world.start(config(host, 2)));
    world.run(20 * MILLISECOND);
    assert!(world.all_up());
    world
}

#[test]
fn random_and_forged_frames_after_the_proof_end_the_link() {
    let mut rng = Rng::new(4);
    for round in 0..60 {
        let mut world = proven_pair(round);
        let now = world.now;
        let link = world.first_link(1);
        let net = &mut world.hosts.get_mut(&1).unwrap().net;
        let before = net.link_count(2);
        let mut bytes = vec![0; rng.between(40, 3000) as usize];
        rng.fill(&mut bytes);
        if rng.coin() {
            forge(&mut bytes, rng.next_u64());
        }
        let held = net.partial_bytes();
        let mut fed = 0;
        for piece in bytes.chunks(rng.between(1, 700) as usize) {
            net.on_bytes(now, link, piece, &mut |_, _| ());
            fed += piece.len();
            assert!(net.partial_bytes() <= held + 2 * fed, "memory grows with what arrived");
        }
        drain(net);
        assert_eq!(net.link_count(2), before - 1, "round {round}: the link was closed");
        assert_eq!(net.metrics().bad_frames, 1);
    }
}

/// Gives random bytes a header that is right but for its meaning.
fn forge(bytes: &mut [u8], draw: u64) {
    let body_bytes = (bytes.len() - 40) as u32;
    bytes[..8].copy_from_slice(&[b'S', b'Y', b'N', b'P', 1, 0, 0, 0]);
    bytes[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    bytes[12..16].copy_from_slice(&((draw % (u64::from(body_bytes) / 4 + 1)) as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&2_u64.to_le_bytes());
    bytes[24..32].copy_from_slice(&1_u64.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[40..]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn an_outbox_drops_whole_messages_and_never_grows() {
    let mut world = World::new(1, Weather::fair());
    for host in 1..=2 {
        let mut config = config(host, 2);
        config.tuning.outbox_bytes_max = 100_000;
        world.start(config);
    }
    world.run(20 * MILLISECOND);
    let taken = (0..1000).filter(|_| world.push(1, 2, 988)).count();
    assert_eq!(taken, 100, "each takes 1000 bytes");
    assert_eq!(world.hosts[&1].net.outbox_bytes(2), 100_000);
    assert!(!world.push(1, 2, 0) && !world.push(1, 2, 200_000));
    assert_eq!(world.hosts[&1].net.metrics().dropped_full, 902);
    world.turn(1);
    world.run(5 * MILLISECOND);
    assert_eq!(world.hosts[&2].delivered.len(), 100, "what was taken arrives");
    assert_eq!(
        world.hosts[&2].net.metrics().frames_in - world.hosts[&1].net.metrics().frames_in,
        1,
        "as one frame"
    );
}

#[test]
fn one_send_is_under_way_per_link_and_none_is_longer_than_a_frame() {
    let mut world = proven_pair(2);
    let net = &mut world.hosts.get_mut(&1).unwrap().net;
    let longest = vec![1; MESSAGE_BYTES_MAX];
    assert!(net.push(2, &longest) && net.push(2, &longest[..3 << 20]));
    assert!(!net.push(2, &vec![0; MESSAGE_BYTES_MAX + 1]), "longer than any message");
    for _ in 0..5 {
        net.end_turn(world.now);
    }
    let sends: Vec<(LinkId, usize)> = drain(net)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send { link, bytes } => Some((link, bytes.len())),
            _ => None,
        })
        .collect();
    assert_eq!(sends.len(), 2, "one per link: {sends:?}");
    assert!(sends.iter().all(|(_, bytes)| *bytes == FRAME_BYTES_MAX) && sends[0].0 != sends[1].0);
}

#[test]
fn what_waits_for_a_lost_peer_is_dropped_and_counted() {
    let mut world = proven_pair(3);
    world.weather.block = 1_000_000;
    let longest = vec![1; 20 << 20];
    assert!(world.hosts.get_mut(&1).unwrap().net.push(2, &longest));
    world.turn(1);
    assert!(world.push(1, 2, 10) && world.push(1, 2, 10));
    world.kill(2);
    world.run(MILLISECOND);
    let net = &mut world.hosts.get_mut(&1).unwrap().net;
    assert_eq!(net.outbox_bytes(2), 0);
    assert_eq!(net.metrics().dropped_link_lost, 3);
    assert!(!net.push(2, b"x") && net.metrics().dropped_no_link == 1);
    assert!(!net.push(77, b"x"), "no such peer");
}
