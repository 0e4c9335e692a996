//! Two hosts that do not hear each other, and a third that hears both: each of the two has a majority with it.

use shard::reply::Reply;

use crate::keyspace::cluster::{Cluster, MS};

/// Hosts 0 and 1 do not hear each other, and know it.
fn bridge(cluster: &mut Cluster) {
    cluster.loss = Box::new(|from, to, _| from + to == 1);
    cluster.link(0, 1, false);
    cluster.link(1, 0, false);
}

#[test]
fn both_ends_of_a_cut_link_are_answered_soon() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, 500 + seed);
        // The fast path of host 0 is warm when the link is cut.
        for value in [b"1", b"2"] {
            assert_eq!(cluster.ask(0, &[b"SET", b"k", value]), Reply::OK);
        }
        bridge(&mut cluster);
        for round in 0..6_usize {
            let (writer, reader) = (1 - round % 2, round % 2);
            let value = round.to_string();
            let at = cluster.now;
            assert_eq!(cluster.ask(writer, &[b"SET", b"k", value.as_bytes()]), Reply::OK);
            assert_eq!(cluster.ask(reader, &[b"GET", b"k"]), Reply::Bulk(value.into_bytes()));
            assert_eq!(cluster.ask(reader, &[b"SET", b"k", b"other", b"NX"]), Reply::Nil);
            let took = cluster.now - at;
            assert!(took < 250 * MS, "seed {seed}, round {round}: {} ms", took / MS);
        }
    }
}
