//! What was chosen once: whatever is flushed, lost or refused meanwhile, it is in all catalogs that come later.

use shard::command::{Catalog, Command, Keyspace, Op};
use shard::reply::Reply;
use sql::{Context, Statement};

use super::{define, newest, on_catalog, planned, sql, statement, CHAT};
use crate::keyspace::cluster::Cluster;

/// What a session does with the bytes that it fetched.
fn spread(cluster: &mut Cluster, host: usize, bytes: Vec<u8>) -> Reply {
    cluster.ask_command(host, Command::Keyspace(Keyspace::Spread(bytes.into())))
}

#[test]
fn a_flush_between_a_change_and_its_answer_takes_nothing_of_it() {
    for late in [false, true] {
        let mut cluster = Cluster::new(3, 1500);
        assert_eq!(define(&mut cluster, 1, "CREATE TABLE first (k INT PRIMARY KEY)"), Reply::OK);
        // Chosen, and told to nobody yet.
        let made = cluster.ask_command(0, on_catalog(Op::Define(statement(CHAT, 0, true))));
        assert!(matches!(made, Reply::Int(_)), "{made:?}");
        let fetched = newest(&mut cluster, 0);
        assert_eq!(cluster.ask(2, &[b"FLUSHALL"]), Reply::OK);
        assert_eq!(define(&mut cluster, 1, "CREATE TABLE other (k INT PRIMARY KEY)"), Reply::OK);
        let bytes = if late { newest(&mut cluster, 0) } else { fetched };
        assert_eq!(spread(&mut cluster, 0, bytes), Reply::OK);
        for (host, text) in [
            (0, "INSERT INTO chat VALUES ('a', 1, 'x')"),
            (1, "INSERT INTO chat VALUES ('b', 1, 'x')"),
            (2, "INSERT INTO other VALUES (1)"),
        ] {
            assert_eq!(sql(&mut cluster, host, text), Reply::Int(1), "{late} {text}");
        }
    }
}

#[test]
fn a_core_whose_log_has_no_room_for_a_catalog_takes_it_when_it_has() {
    let columns: String =
        (0..240).map(|column| format!("column_with_a_long_name_that_is_number_{column} TEXT, ")).collect();
    let texts = (0..3).map(|nth| format!("CREATE TABLE t{nth} ({columns} k TEXT PRIMARY KEY)"));
    let large = texts.chain([CHAT.to_owned()]).fold(Catalog::default(), |catalog, text| {
        let parsed = Statement::parse(text.as_bytes()).expect("a statement");
        let context = Context { parameters: &[], now_micros: 0, random: [1, 2] };
        catalog.change(&parsed, &context).expect("it is bounded").catalog.expect("it is changed")
    });
    let mut other = Cluster::new(1, 1511);
    // So much at once that the log has to begin segments, which it does behind the turn.
    let last = (1..=200).fold(large, |catalog, nth| {
        let catalog = catalog.at_version((1 << 40) + nth);
        let bytes = catalog.encode().expect("it is bounded");
        assert!(bytes.len() > 30 << 10, "{}", bytes.len());
        other.with_turn(0, |shard, turn| shard.take_catalog(turn, &bytes));
        catalog
    });
    let command = planned(&last, "INSERT INTO chat VALUES ('a', 1, 'x')").expect("a plan");
    assert_eq!(other.ask_command(0, command), Reply::Int(1));
    assert_eq!(other.hosts[0].shard.catalog().version(), last.version());
}
