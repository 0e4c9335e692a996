//! Tables in the large layout: partitions are log groups, whose rows lie in the trees of the cores.

mod away;
mod indexes;
mod learner;
mod reads;
mod trouble;
mod twins;

use shard::reply::Reply;

use crate::catalog::{define, rows, sql};
use crate::keyspace::cluster::Cluster;

const CHAT: &str =
    "CREATE TABLE chat (room TEXT, at BIGINT, who TEXT, PRIMARY KEY (room, at)) WITH (layout = 'large')";

/// The rows of a partition at a host, or what it says instead.
fn seen(cluster: &mut Cluster, host: usize, room: &str) -> Reply {
    sql(cluster, host, &format!("SELECT at, who FROM chat WHERE room = '{room}'"))
}

#[test]
fn rows_are_there_for_all() {
    for count in [1, 3, 5] {
        let mut cluster = Cluster::new(count, 2100 + u64::from(count));
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        assert_eq!(seen(&mut cluster, 0, "a"), rows(&["at", "who"], &[]));
        for at in 0..9 {
            let text = format!("INSERT INTO chat VALUES ('a', {at}, 'w{at}')");
            assert_eq!(sql(&mut cluster, at % usize::from(count), &text), Reply::Int(1));
        }
        assert_eq!(sql(&mut cluster, 0, "DELETE FROM chat WHERE room = 'a' AND at < 7"), Reply::Int(7));
        let update = "UPDATE chat SET who = 'x' WHERE room = 'a' AND at = 8";
        assert_eq!(sql(&mut cluster, usize::from(count) - 1, update), Reply::Int(1));
        let wanted = rows(&["at", "who"], &[&["7", "w7"], &["8", "x"]]);
        for host in (0..usize::from(count)).rev() {
            assert_eq!(seen(&mut cluster, host, "a"), wanted);
            assert_eq!(seen(&mut cluster, host, "b"), rows(&["at", "who"], &[]));
        }
        cluster.restart_all();
        for host in 0..usize::from(count) {
            assert_eq!(seen(&mut cluster, host, "a"), wanted);
        }
        assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 9, 'y')"), Reply::Int(1));
        let wanted = rows(&["at", "who"], &[&["7", "w7"], &["8", "x"], &["9", "y"]]);
        assert_eq!(seen(&mut cluster, usize::from(count) - 1, "a"), wanted);
    }
}

#[test]
fn a_partition_is_a_key_of_rows() {
    let mut cluster = Cluster::new(3, 2110);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    let key: &[u8] = b"{chat:a}";
    assert_eq!(cluster.ask(1, &[b"TYPE", key]), Reply::Simple("rows".into()));
    assert_eq!(cluster.ask(1, &[b"EXISTS", key]), Reply::Int(1));
    assert_eq!(cluster.ask(2, &[b"DBSIZE"]), Reply::Int(1));
    let refused: [&[&[u8]]; 6] = [
        &[b"GET", key],
        &[b"SET", key, b"v"],
        &[b"DEL", key],
        &[b"HSET", key, b"f", b"v"],
        &[b"EXPIRE", key, b"10"],
        &[b"RENAME", key, b"{chat:a}2"],
    ];
    for command in refused {
        let reply = cluster.ask(1, command);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("WRONGTYPE")),
            "{command:?}: {reply:?}"
        );
    }
    assert_eq!(seen(&mut cluster, 2, "a"), rows(&["at", "who"], &[&["1", "x"]]));
    // A value of a client's own under the name of a partition is in the way.
    assert_eq!(cluster.ask(0, &[b"SET", b"{chat:b}", b"mine"]), Reply::OK);
    let reply = sql(&mut cluster, 1, "INSERT INTO chat VALUES ('b', 1, 'x')");
    assert!(matches!(&reply, Reply::Error(text) if text.starts_with("WRONGTYPE")), "{reply:?}");
}

#[test]
fn a_table_made_anew_has_nothing_of_the_one_before() {
    let mut cluster = Cluster::new(3, 2120);
    for round in 0..3 {
        let large = round != 1;
        let text = if large { CHAT } else { CHAT.split(" WITH").next().unwrap_or_default() };
        assert_eq!(define(&mut cluster, 0, text), Reply::OK);
        assert_eq!(seen(&mut cluster, 1, "a"), rows(&["at", "who"], &[]));
        assert_eq!(sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
        let text = format!("INSERT INTO chat VALUES ('a', 2, 'y{round}')");
        assert_eq!(sql(&mut cluster, round, &text), Reply::Int(1));
        cluster.restart_all();
        let wanted = rows(&["at", "who"], &[&["1", "x"], &["2", &format!("y{round}")]]);
        (0..3).for_each(|host| assert_eq!(seen(&mut cluster, host, "a"), wanted));
        if round < 2 {
            assert_eq!(define(&mut cluster, 0, "DROP TABLE chat"), Reply::OK);
        }
    }
}

#[test]
fn a_flush_takes_rows_and_no_tables() {
    let mut cluster = Cluster::new(3, 2130);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    for at in 0..4 {
        let text = format!("INSERT INTO chat VALUES ('a', {at}, 'x')");
        assert_eq!(sql(&mut cluster, 0, &text), Reply::Int(1));
    }
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    (0..3).for_each(|host| assert_eq!(seen(&mut cluster, host, "a"), rows(&["at", "who"], &[])));
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 2, 'y')"), Reply::Int(1));
    cluster.restart_all();
    (0..3).for_each(|host| assert_eq!(seen(&mut cluster, host, "a"), rows(&["at", "who"], &[&["2", "y"]])));
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::new(3, 2140);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let error = sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 2, 'x'), ('a', 2, 'x')");
    assert!(matches!(&error, Reply::Error(text) if text.starts_with("SQL ")), "{error:?}");
    assert_eq!(seen(&mut cluster, 0, "a"), rows(&["at", "who"], &[]));
}
