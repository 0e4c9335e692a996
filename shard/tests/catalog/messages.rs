//! What is said of catalogs: its bytes, and what is not to be believed.

use shard::command::{Catalog, Command, KeyCommand, Op};
use shard::limits::VERSION_MAX;
use shard::reply::Reply;
use shard::wire::{CatalogSaid, PeerMessage, Sender};

use super::{define, sql, statement, versions, CHAT};
use crate::keyspace::cluster::{Cluster, CATALOG};

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

/// A catalog that nobody can have made, or from somebody who says to have another one, is not taken.
#[test]
fn a_version_that_no_catalog_has_is_refused() {
    for (version, head) in [(sql::limits::VERSION_MAX, 1), (VERSION_MAX + 1, VERSION_MAX), (50, 40), (40, 50)]
    {
        let mut cluster = Cluster::new(3, 1520);
        let bytes = Catalog::default().at_version(version).encode().expect("it is bounded");
        let shard = &cluster.hosts[1].shard;
        let sender =
            Sender { epoch: shard.epoch(), incarnation: shard.incarnation(), flush: 0, catalog: head };
        let bytes = bytes_of(sender, &PeerMessage::Catalog(CatalogSaid::Tell(&bytes)));
        cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
        cluster.pass(200);
        assert_eq!(versions(&cluster), [0; 3], "{version} from {head}");
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    }
}

#[test]
fn who_asks_again_and_again_is_not_told_each_time() {
    let mut cluster = Cluster::new(3, 1530);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    let before = cluster.types[&CATALOG];
    let shard = &cluster.hosts[1].shard;
    let (epoch, incarnation) = (shard.epoch(), shard.incarnation());
    let sender = Sender { epoch, incarnation, flush: 0, catalog: 0 };
    let bytes = bytes_of(sender, &PeerMessage::Catalog(CatalogSaid::Ask));
    cluster.with_turn(0, |shard, turn| (0..1000).for_each(|_| shard.on_message(turn, 1, &bytes)));
    assert!(cluster.types[&CATALOG] <= before + 2, "{} answers", cluster.types[&CATALOG] - before);
    cluster.pass(50);
    // Later it is told again.
    let before = cluster.types[&CATALOG];
    cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
    assert_eq!(cluster.types[&CATALOG], before + 1);
}

#[test]
fn statements_that_wait_for_a_catalog_have_the_bounds_of_others() {
    let mut cluster = Cluster::with(3, 1540, |config| config.command_bytes_max = 1 << 20);
    let text = format!("INSERT INTO chat VALUES ('a', 1, '{}')", "x".repeat(100 << 10));
    let ids: Vec<u64> = (0..20)
        .map(|_| {
            let op = Op::Sql(statement(&text, 5, true));
            let command = Command::Key(KeyCommand { key: (*b"{chat:a}").into(), op });
            cluster.submit_command(0, command, None, 100)
        })
        .collect();
    let is_busy = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("ERR busy"));
    let busy: Vec<Reply> = ids.iter().filter_map(|id| cluster.reply(*id)).collect();
    assert!(busy.len() >= 10 && busy.iter().all(is_busy), "{busy:?}");
    cluster.pass(200);
    assert_eq!(ids.iter().filter_map(|id| cluster.reply(*id)).count(), 20 - busy.len());
    assert_eq!(cluster.hosts[0].shard.under_way(), (0, 0));
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"v"]), Reply::OK);
}
