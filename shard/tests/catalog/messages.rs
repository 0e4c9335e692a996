//! What is said of catalogs: its bytes, and what is not to be believed.

use shard::reply::Reply;
use shard::wire::{CatalogSaid, PeerMessage, Sender};

use super::{define, sql, versions, CHAT};
use crate::keyspace::cluster::Cluster;

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 1 << 40 };

fn bytes_of(sender: Sender, message: &PeerMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(sender, &mut bytes);
    bytes
}

#[test]
fn what_is_written_is_read() {
    for said in [CatalogSaid::Ask, CatalogSaid::Have, CatalogSaid::Tell(b"bytes")] {
        let message = PeerMessage::Catalog(said);
        let bytes = bytes_of(SENDER, &message);
        assert_eq!(PeerMessage::decode(&bytes), Ok((SENDER, message)));
        let is_told = matches!(said, CatalogSaid::Tell(_));
        for cut in 0..bytes.len() {
            let read = PeerMessage::decode(&bytes[..cut]);
            assert!(read.is_err() || is_told && cut > bytes.len() - 6, "{said:?} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_catalog_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::new(3, 1500);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    let whole = cluster.hosts[0].shard.catalog().encode().expect("it is bounded");
    let before = versions(&cluster);
    let shard = &cluster.hosts[1].shard;
    let sender =
        Sender { epoch: shard.epoch(), incarnation: shard.incarnation(), flush: 0, catalog: before[0] + 1 };
    for cut in 0..whole.len() {
        let bytes = bytes_of(sender, &PeerMessage::Catalog(CatalogSaid::Tell(&whole[..cut])));
        cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
    }
    // One that it has, from who says that it has a newer one.
    let bytes = bytes_of(sender, &PeerMessage::Catalog(CatalogSaid::Tell(&whole)));
    cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
    cluster.pass(200);
    assert_eq!(versions(&cluster), before);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
}
