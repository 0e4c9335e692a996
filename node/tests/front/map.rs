//! The slot map: whole, stable and the same everywhere, whoever is dead.

use std::collections::BTreeSet;
use std::sync::Arc;

use shard::reply::Reply;
use synod::cluster::{migrated, slice_of, ClusterMap, Liveness, Port, Route, SLOTS};
use synod::resp::{encode, Protocol};

use super::world::{layout, readable};

const SHAPES: [(u32, u16); 7] = [(1, 1), (1, 4), (3, 1), (3, 2), (3, 7), (5, 1), (5, 3)];

fn map(shape: (u32, u16), me: usize, dead: u32) -> ClusterMap {
    let layout = layout(shape.0, shape.1);
    let mut liveness = Liveness::all(&layout);
    for host in 0..shape.0 {
        if dead & (1 << host) != 0 {
            liveness.set_host(host as usize, false);
        }
    }
    ClusterMap::new(layout, me, &liveness, 1)
}

fn bytes(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    encode(reply, Protocol::Resp3, &mut out);
    out
}

/// Subsets of the hosts that leave at least one alive.
fn deaths(hosts: u32) -> impl Iterator<Item = u32> {
    0..(1 << hosts) - 1
}

#[test]
fn each_slot_has_one_live_primary_of_its_own_slice() {
    for shape in SHAPES {
        for dead in deaths(shape.0) {
            let map = map(shape, 0, dead);
            let mut seen = BTreeSet::new();
            for primary in map.primaries() {
                for &(first, last) in &primary.ranges {
                    for slot in first..=last {
                        assert!(seen.insert(slot), "{shape:?} dead {dead:b}: slot {slot} twice");
                        assert_eq!(slice_of(slot, shape.1), primary.slice, "a slot stays in its slice");
                        assert_eq!(map.owner(slot).id, primary.id);
                        assert!(primary.live, "{shape:?} dead {dead:b}: slot {slot} is at a dead host");
                    }
                }
            }
            assert_eq!(seen.len(), usize::from(SLOTS), "{shape:?} dead {dead:b}");
        }
    }
}

#[test]
fn the_load_of_the_dead_is_shared_evenly() {
    for shape in SHAPES {
        for dead in deaths(shape.0) {
            let map = map(shape, 0, dead);
            for slice in 0..shape.1 {
                let of_slice = |primary: &&synod::cluster::Primary| primary.slice == slice && primary.live;
                let slots = |primary: &synod::cluster::Primary| -> u32 {
                    primary.ranges.iter().map(|&(first, last)| u32::from(last - first) + 1).sum()
                };
                let counts: Vec<u32> = map.primaries().iter().filter(of_slice).map(slots).collect();
                let (most, least) = (counts.iter().max(), counts.iter().min());
                let spread = most.zip(least).map_or(0, |(most, least)| most - least);
                assert!(spread <= 2 * shape.0, "{shape:?} dead {dead:b} slice {slice}: {counts:?}");
            }
        }
    }
}

#[test]
fn all_hosts_show_the_same_bytes() {
    for shape in SHAPES {
        for dead in deaths(shape.0) {
            let first = map(shape, 0, dead);
            for me in 1..shape.0 as usize {
                let other = map(shape, me, dead);
                assert_eq!(bytes(&first.slots_reply()), bytes(&other.slots_reply()));
                assert_eq!(bytes(&first.shards_reply()), bytes(&other.shards_reply()));
                let without_myself = |map: &ClusterMap| map.nodes_text(Port::Core(0)).replace("myself,", "");
                if dead == 0 {
                    assert_eq!(without_myself(&first), without_myself(&other));
                }
            }
        }
    }
}

#[test]
fn ids_are_unique_stable_and_of_40_hexadecimal_characters() {
    for shape in SHAPES {
        let whole = map(shape, 0, 0);
        let mut ids = BTreeSet::new();
        for primary in whole.primaries() {
            for id in [&primary.id, &primary.shard_id] {
                assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
                assert!(ids.insert(id.clone()), "{id} twice");
            }
        }
        assert!(whole.primaries().len() >= 2, "{shape:?}: clients refuse a cluster of one");
        let wounded = map(shape, 0, deaths(shape.0).last().unwrap_or(0));
        for (a, b) in whole.primaries().iter().zip(wounded.primaries()) {
            assert_eq!((&a.id, &a.addr), (&b.id, &b.addr));
        }
    }
    assert_eq!(map((3, 1), 0, 0).primaries()[0].id, "44b68e4e9784322f954473468432879c63de7d84");
}

#[test]
fn survivors_keep_what_they_had() {
    for shape in [(3, 1), (3, 2), (5, 3)] {
        let whole = map(shape, 0, 0);
        for dead in deaths(shape.0) {
            let wounded = map(shape, 0, dead);
            for slot in 0..SLOTS {
                let before = whole.owner(slot);
                if dead & (1 << before.host_index) == 0 {
                    assert_eq!(
                        before.id,
                        wounded.owner(slot).id,
                        "{shape:?} dead {dead:b}: slot {slot} moved"
                    );
                }
            }
        }
    }
}

#[test]
fn nobody_is_sent_to_a_dead_host() {
    for dead in deaths(3) {
        for me in (0..3).filter(|me| dead & (1 << me) == 0) {
            let map = map((3, 2), me, dead);
            for slot in (0..SLOTS).step_by(7) {
                assert_eq!(map.route(slot, Port::Plain, false), Route::Here(map.slice(slot)));
                assert_eq!(map.route(slot, Port::Core(0), true), Route::Here(map.slice(slot)));
                match map.route(slot, Port::Core(1), false) {
                    Route::Here(slice) => assert_eq!((slice, map.owner(slot).host_index), (1, me)),
                    Route::Moved(to) => {
                        assert!(dead & (1 << to.host_index) == 0);
                        assert!((to.host_index, to.port_index) != (me, 1));
                    }
                }
            }
        }
    }
}

#[test]
fn one_slice_may_die_alone() {
    let layout = layout(3, 2);
    let mut liveness = Liveness::all(&layout);
    assert!(liveness.set(1, 0, false));
    assert!(!liveness.set(1, 0, false), "no change");
    let map = ClusterMap::new(layout, 0, &liveness, 2);
    let ports: Vec<(usize, u16, bool)> =
        map.primaries().iter().map(|one| (one.host_index, one.slice, one.ranges.is_empty())).collect();
    assert_eq!(
        ports,
        [(0, 0, false), (0, 1, false), (1, 0, true), (1, 1, false), (2, 0, false), (2, 1, false)]
    );
}

#[test]
fn a_slice_that_nobody_serves_keeps_its_slots() {
    let layout = layout(3, 2);
    let mut liveness = Liveness::all(&layout);
    (0..3).for_each(|host| assert!(liveness.set(host, 1, false)));
    let map = ClusterMap::new(layout, 0, &liveness, 2);
    assert_eq!(map.owner(16383).slice, 1);
    assert_eq!(map.route(16383, Port::Core(0), false), Route::Here(1), "the shard there says what is wrong");
    assert!(map.info_text().contains("cluster_state:fail\r\n"));
    assert!(map.info_text().contains("cluster_slots_ok:8192\r\n"));
}

#[test]
fn pushes_name_what_moved() {
    let (before, after) = (map((3, 1), 0, 0), map((3, 1), 0, 0b010));
    let text = |push: Reply| readable(&bytes(&push)).replace("\\r\\n", " ");
    let own = migrated(&before, &after, Some(Port::Core(0)), 7).expect("slots moved");
    assert_eq!(
        text(own),
        ">3 $9 SMIGRATED :7 *3 *3 $14 127.0.0.1:7000 $14 127.0.0.1:7000 $6 0-8190 *3 $14 127.0.0.2:7000 $14 \
         127.0.0.1:7000 $9 5461-8190 *3 $14 127.0.0.2:7000 $14 127.0.0.3:7000 $10 8191-10921 "
    );
    let back = migrated(&after, &before, Some(Port::Core(0)), 8).expect("slots moved");
    assert!(text(back)
        .starts_with(">3 $9 SMIGRATED :8 *2 *3 $14 127.0.0.1:7000 $14 127.0.0.2:7000 $9 5461-8190 "));
    assert_eq!(migrated(&before, &before, Some(Port::Core(0)), 9), None);
    for reload in [None, Some(Port::Plain)] {
        let others = migrated(&before, &after, reload, 7).expect("slots moved");
        assert!(text(others).contains(":7 *2 "), "no triplet from a port to itself for {reload:?}");
    }
}

#[test]
fn making_a_map_is_cheap_enough_to_do_at_each_change() {
    let layout = Arc::new(layout(5, 64).as_ref().clone());
    let liveness = Liveness::all(&layout);
    let map = ClusterMap::new(layout, 4, &liveness, 1);
    assert_eq!(map.primaries().len(), 320);
    let ranges: usize = map.primaries().iter().map(|one| one.ranges.len()).sum();
    assert_eq!(ranges, 320, "one run each while all live");
}
