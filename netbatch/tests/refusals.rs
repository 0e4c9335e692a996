//! Who is refused, with which words, and that it is said once.

use netbatch::{ClusterId, Config, DataId, Effect, HostId, Net, Reason, Secret};
use reactor::clock::MILLISECOND;

use crate::world::{addr, config, Weather, World};

/// The refusals that a host reported: by whom, why, in which words.
fn reports(world: &World, host: HostId) -> Vec<(bool, Reason, String)> {
    let report = |effect: &Effect| match effect {
        Effect::Refused { by_peer, refusal, .. } => Some((*by_peer, refusal.reason, refusal.detail.clone())),
        _ => None,
    };
    world.hosts[&host].effects.iter().filter_map(report).collect()
}

type Change = fn(&mut Config);

#[test]
fn who_does_not_belong_is_refused_on_both_sides_once_with_the_reason() {
    let table: &[(Change, Reason, &str)] = &[
        (
            |c| c.secret = Secret::new(*b"another secret, as long"),
            Reason::Secret,
            "does not know the cluster secret",
        ),
        (|c| c.cluster = ClusterId([8; 16]), Reason::Cluster, "host 2 belongs to cluster 08080808"),
        (|c| c.core = 1, Reason::Core, "core 1 of host 2 is at the other end, core 0 should be"),
        (|c| c.slices = 3, Reason::Slices, "host 2 has 3 slices, this host 2"),
        (
            |c| c.data_id = DataId([9; 16]),
            Reason::DataDirectory,
            "run `synod recover --lost-host 2` on the other hosts",
        ),
    ];
    for (change, reason, words) in table {
        let mut world = World::new(1, Weather::fair());
        let mut one = config(1, 2);
        one.slices = 2;
        one.known_peer_data_ids.insert(2, DataId([2; 16]));
        let mut two = config(2, 2);
        two.slices = 2;
        change(&mut two);
        world.start(one);
        world.start(two);
        world.run(10_000 * MILLISECOND);
        for host in [1, 2] {
            let net = &world.hosts[&host].net;
            assert!(world.hosts[&host].up.is_empty() && net.link_count(3 - host) == 0, "{reason:?}: no link");
            let reports = reports(&world, host);
            assert!(reports.iter().all(|report| report.1 == *reason), "{reason:?}: {reports:?}");
            assert!((1..=4).contains(&reports.len()), "each way and each side once: {reports:?}");
            assert!(net.metrics().refused > 8, "it keeps trying: {}", net.metrics().refused);
            assert!(net.metrics().dials < 60, "but not often: {}", net.metrics().dials);
        }
        let said: Vec<String> = reports(&world, 1).into_iter().filter(|r| !r.0).map(|r| r.2).collect();
        assert!(said.iter().any(|said| said.contains(words)), "{reason:?}: {said:?}");
    }
}

#[test]
fn an_emptied_host_learns_what_to_do() {
    let mut world = World::new(1, Weather::fair());
    let mut one = config(1, 2);
    one.known_peer_data_ids.insert(2, DataId([0xdd; 16]));
    world.start(one);
    world.start(config(2, 2));
    world.run(500 * MILLISECOND);
    let told = reports(&world, 2);
    assert!(
        told.iter().any(|(by_peer, _, words)| *by_peer && words.contains("and here `synod init --rejoin`")),
        "{told:?}"
    );
    let shown = Effect::OtherDataId { peer: 2, id: DataId([2; 16]) };
    assert!(world.hosts[&1].effects.contains(&shown), "the owner may look whether the loss is known");
    assert_eq!(world.hosts[&1].net.data_id(2), Some(DataId([0xdd; 16])));
    // After the recovery the peers expect the new directory.
    world.hosts.get_mut(&1).unwrap().net.expect_data_id(2, Some(DataId([2; 16])));
    world.run(2000 * MILLISECOND);
    assert!(world.all_up());
    // What goes wrong after a link was there is news.
    let before = reports(&world, 1).len();
    world.hosts.get_mut(&1).unwrap().net.expect_data_id(2, Some(DataId([0xdd; 16])));
    world.lose_all_silently(2);
    world.run(20 * MILLISECOND);
    assert_eq!(reports(&world, 1).len(), before + 1);
}

#[test]
fn data_directories_are_learned_once() {
    let mut world = World::new(1, Weather::fair());
    (1..=2).for_each(|host| world.start(config(host, 2)));
    world.run(50 * MILLISECOND);
    world.cut_one(1);
    world.run(50 * MILLISECOND);
    for host in [1, 2] {
        let learned = Effect::LearnedDataId { peer: 3 - host, id: DataId([3 - host as u8; 16]) };
        assert_eq!(world.hosts[&host].effects, [learned]);
        assert_eq!(world.hosts[&host].net.peer_config_epoch(3 - host), Some(1));
    }
}

#[test]
fn an_unknown_host_and_a_wrong_address_are_refused() {
    let mut world = World::new(1, Weather::fair());
    world.start(config(1, 1));
    world.start(config(2, 2));
    world.run(100 * MILLISECOND);
    assert_eq!(reports(&world, 1)[0].1, Reason::UnknownHost);

    // A call for host 3 that reaches host 2.
    let mut caller = Net::new(config(1, 3), 1);
    let mut called = Net::new(config(2, 3), 2);
    caller.end_turn(0);
    let link = std::iter::from_fn(|| caller.poll())
        .find_map(|effect| match effect {
            Effect::Connect { link, peer: 3, .. } => Some(link),
            _ => None,
        })
        .unwrap();
    caller.on_connected(1, link);
    let accepted = called.on_accepted(1, addr(1));
    let Some(Effect::Send { bytes, .. }) = caller.poll() else { panic!("a hello is sent") };
    called.on_bytes(2, accepted, &bytes, &mut |_, _| panic!("nothing to deliver"));
    let effects: Vec<Effect> = std::iter::from_fn(|| called.poll()).collect();
    let Effect::Refused { refusal, .. } = &effects[1] else { panic!("it is refused: {effects:?}") };
    assert_eq!(refusal.to_string(), "host 1 called host 3, this is host 2");
    assert_eq!(effects[2], Effect::Close { link: accepted, after_sent: true });
}

#[test]
fn an_answer_from_another_host_than_was_called_is_refused() {
    let mut caller = Net::new(config(1, 3), 1);
    let mut third = Net::new(config(3, 3), 3);
    caller.end_turn(0);
    let links: Vec<_> = std::iter::from_fn(|| caller.poll())
        .map(|effect| match effect {
            Effect::Connect { link, peer, .. } => (peer, link),
            other => panic!("it only connects: {other:?}"),
        })
        .collect();
    let [(2, to_second), (3, to_third)] = links[..] else { panic!("to both peers: {links:?}") };
    caller.on_connected(0, to_second);
    caller.on_connected(0, to_third);
    let hellos: Vec<Effect> = std::iter::from_fn(|| caller.poll()).collect();
    let Effect::Send { bytes, .. } = &hellos[1] else { panic!("a hello is sent") };
    let accepted = third.on_accepted(0, addr(1));
    third.on_bytes(0, accepted, bytes, &mut |_, _| panic!("nothing to deliver"));
    let Some(Effect::Send { bytes: answer, .. }) = third.poll() else { panic!("a hello comes back") };
    caller.on_bytes(0, to_second, &answer, &mut |_, _| panic!("nothing to deliver"));
    let effects: Vec<Effect> = std::iter::from_fn(|| caller.poll()).collect();
    let words = "host 3 answered where host 2 should";
    let refused = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Refused { refusal, .. } if refusal.detail == words));
    assert!(refused, "{effects:?}");
}

/// The hello that a host starts with when it is connected, and the net that sent it.
fn hello_of(config: Config) -> (Net, netbatch::LinkId, Vec<u8>) {
    let mut net = Net::new(config, 5);
    net.end_turn(0);
    let Some(Effect::Connect { link, .. }) = net.poll() else { panic!("it connects") };
    net.on_connected(0, link);
    match net.poll() {
        Some(Effect::Send { bytes, .. }) => (net, link, bytes),
        other => panic!("a hello is sent, not {other:?}"),
    }
}

#[test]
fn another_version_is_named_whatever_else_it_changed() {
    let (_, _, mut hello) = hello_of(config(2, 2));
    hello[4..6].copy_from_slice(&[7, 9]);
    hello[8..].fill(0xff);
    let mut net = Net::new(config(1, 2), 1);
    let link = net.on_accepted(0, addr(2));
    net.on_bytes(0, link, &hello, &mut |_, _| panic!("nothing to deliver"));
    let effects: Vec<Effect> = std::iter::from_fn(|| net.poll()).collect();
    let Effect::Refused { refusal, .. } = &effects[1] else { panic!("it is refused: {effects:?}") };
    assert_eq!(refusal.reason, Reason::Version);
    assert!(refusal.detail.starts_with("it speaks versions 7 to 9 of the peer protocol, this build 3 to 3"));
}

#[test]
fn a_proof_cannot_be_reflected_or_replayed() {
    let (mut dialer, link, hello) = hello_of(config(2, 2));
    // Reflected: the dialer's own bytes come back to it.
    dialer.on_bytes(0, link, &hello, &mut |_, _| panic!("nothing to deliver"));
    assert!(std::iter::from_fn(|| dialer.poll()).any(|e| matches!(e, Effect::Refused { .. })));

    // Replayed: what a dialer sent in one handshake is sent again in another.
    let (mut dialer, link, hello) = hello_of(config(2, 2));
    let mut acceptor = Net::new(config(1, 2), 1);
    let answer = |acceptor: &mut Net, bytes: &[u8], link| {
        acceptor.on_bytes(0, link, bytes, &mut |_, _| panic!("nothing to deliver"));
        std::iter::from_fn(|| acceptor.poll()).collect::<Vec<Effect>>()
    };
    let first = acceptor.on_accepted(0, addr(2));
    let effects = answer(&mut acceptor, &hello, first);
    let [Effect::Send { bytes, .. }] = &effects[..] else { panic!("a hello comes back: {effects:?}") };
    dialer.on_bytes(0, link, bytes, &mut |_, _| panic!("nothing to deliver"));
    let Some(Effect::Send { bytes: proof, .. }) = dialer.poll() else { panic!("a proof is sent") };
    let effects = answer(&mut acceptor, &proof, first);
    assert!(
        effects.iter().any(|e| matches!(e, Effect::LearnedDataId { peer: 2, .. })),
        "the original is believed"
    );

    let second = acceptor.on_accepted(0, addr(2));
    answer(&mut acceptor, &hello, second);
    let effects = answer(&mut acceptor, &proof, second);
    let refused = effects
        .iter()
        .any(|e| matches!(e, Effect::Refused { refusal, .. } if refusal.reason == Reason::Secret));
    assert!(refused, "the copy is not: {effects:?}");
}
