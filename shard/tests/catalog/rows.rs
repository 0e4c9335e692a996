//! Rows as a value: what the other commands say of them, indexes, and bounds.

use reactor::rng::Rng;
use shard::command::{execute, Catalog, Context, Limits, Statements};
use shard::object::Hash;
use shard::reply::Reply;
use shard::state::{State, Value};

use super::{bulk, define, planned, rows, sql, CHAT};
use crate::keyspace::cluster::Cluster;

#[test]
fn rows_are_sqls_alone() {
    let mut cluster = Cluster::new(3, 1300);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    let key: &[u8] = b"{chat:a}";
    let refused: [&[&[u8]]; 12] = [
        &[b"GET", key],
        &[b"SET", key, b"v"],
        &[b"DEL", key],
        &[b"HGETALL", key],
        &[b"HSET", key, b"f", b"v"],
        &[b"EXPIRE", key, b"10"],
        &[b"PERSIST", key],
        &[b"APPEND", key, b"x"],
        &[b"RENAME", key, b"{chat:a}2"],
        &[b"COPY", key, b"{chat:a}2"],
        &[b"SUNIONSTORE", key, b"{chat:a}2"],
        &[b"GETDEL", key],
    ];
    for command in refused {
        let reply = cluster.ask(1, command);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("WRONGTYPE")),
            "{command:?}: {reply:?}"
        );
    }
    assert_eq!(cluster.ask(1, &[b"TYPE", key]), Reply::Simple("rows".into()));
    assert_eq!(cluster.ask(1, &[b"OBJECT", b"ENCODING", key]), bulk("rows"));
    assert_eq!(cluster.ask(1, &[b"EXISTS", key]), Reply::Int(1));
    assert_eq!(cluster.ask(1, &[b"TTL", key]), Reply::Int(-1));
    assert_eq!(cluster.ask(1, &[b"DBSIZE"]), Reply::Int(1));
    assert_eq!(cluster.ask(1, &[b"KEYS", b"*"]), Reply::Array(vec![Reply::bulk(key)]));
    assert_eq!(sql(&mut cluster, 2, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[&["1"]]));
    // The last row takes the partition with it.
    assert_eq!(sql(&mut cluster, 2, "DELETE FROM chat WHERE room = 'a' AND at = 1"), Reply::Int(1));
    assert_eq!(cluster.ask(0, &[b"EXISTS", key]), Reply::Int(0));
    // A value of a client's own under the name of a partition is in the way, and the error says so.
    assert_eq!(cluster.ask(0, &[b"SET", key, b"mine"]), Reply::OK);
    let reply = sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 1, 'x')");
    assert!(matches!(&reply, Reply::Error(text) if text.starts_with("WRONGTYPE")), "{reply:?}");
}

#[test]
fn an_index_that_came_later_has_all_rows() {
    let mut cluster = Cluster::new(3, 1310);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    for at in 0..40 {
        let text = format!("INSERT INTO chat VALUES ('a', {at}, 'w{}')", at % 4);
        assert_eq!(sql(&mut cluster, at % 3, &text), Reply::Int(1));
    }
    assert_eq!(define(&mut cluster, 1, "CREATE INDEX by_who ON chat (who, at DESC)"), Reply::OK);
    let text = "SELECT at FROM chat WHERE room = 'a' AND who = 'w3' ORDER BY who, at DESC LIMIT 3";
    let wanted = rows(&["at"], &[&["39"], &["35"], &["31"]]);
    for host in 0..3 {
        assert_eq!(sql(&mut cluster, host, text), wanted);
    }
    assert_eq!(sql(&mut cluster, 2, "DELETE FROM chat WHERE room = 'a' AND at = 35"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 0, text), rows(&["at"], &[&["39"], &["31"], &["27"]]));
    // Another index with another number takes nothing of it over.
    assert_eq!(define(&mut cluster, 0, "DROP INDEX by_who"), Reply::OK);
    assert_eq!(define(&mut cluster, 0, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    let text = "SELECT count(*) FROM chat WHERE room = 'a' AND who = 'w3'";
    assert_eq!(sql(&mut cluster, 1, text), rows(&["count"], &[&["9"]]));
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 99, 'w3')"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 2, text), rows(&["count"], &[&["10"]]));
}

#[test]
fn rows_of_before_have_the_defaults_of_new_columns() {
    let mut cluster = Cluster::new(3, 1320);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    assert_eq!(define(&mut cluster, 0, "ALTER TABLE chat ADD COLUMN n INT NOT NULL DEFAULT 7"), Reply::OK);
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 2, NULL, 8)"), Reply::Int(1));
    let wanted = rows(&["at", "who", "n"], &[&["1", "x", "7"], &["2", "NULL", "8"]]);
    assert_eq!(sql(&mut cluster, 2, "SELECT at, who, n FROM chat WHERE room = 'a'"), wanted);
}

#[test]
fn conditions_and_errors_change_nothing() {
    let mut cluster = Cluster::new(3, 1330);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    let update = "UPDATE chat SET who = 'y' WHERE room = 'a' AND at = 1 IF who = 'z'";
    assert_eq!(sql(&mut cluster, 1, update), Reply::Nil);
    let error = sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 2, 'x'), ('a', 1, 'x')");
    assert!(matches!(&error, Reply::Error(text) if text.starts_with("SQL 23505 ")), "{error:?}");
    assert_eq!(
        sql(&mut cluster, 1, "SELECT at, who FROM chat WHERE room = 'a'"),
        rows(&["at", "who"], &[&["1", "x"]])
    );
}

#[test]
fn a_partition_has_the_bound_of_values() {
    let mut cluster = Cluster::with(3, 1340, |config| config.limits.value_bytes_max = 2_000);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let long = "x".repeat(300);
    let replies: Vec<Reply> = (0..10)
        .map(|at| sql(&mut cluster, 0, &format!("INSERT INTO chat VALUES ('a', {at}, '{long}')")))
        .collect();
    let fits = replies.iter().filter(|reply| **reply == Reply::Int(1)).count();
    assert!((5..=6).contains(&fits), "{replies:?}");
    let is_refused = |reply: &Reply| matches!(reply, Reply::Error(text) if text.contains("value_bytes_max"));
    assert!(replies[fits..].iter().all(is_refused), "{replies:?}");
    let count = sql(&mut cluster, 1, "SELECT count(*) FROM chat WHERE room = 'a'");
    assert_eq!(count, rows(&["count"], &[&[&fits.to_string()]]));
}

#[test]
fn partitions_of_dropped_tables_go() {
    for restarts in [false, true] {
        let mut cluster = Cluster::new(3, 1360);
        cluster.spread();
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        assert_eq!(define(&mut cluster, 1, "CREATE TABLE other (k INT PRIMARY KEY)"), Reply::OK);
        cluster.pass(100);
        let long = "x".repeat(300);
        for room in 0..60 {
            for at in 0..=room % 9 {
                let text = format!("INSERT INTO chat VALUES ('{room}', {at}, '{long}')");
                assert_eq!(sql(&mut cluster, room % 3, &text), Reply::Int(1));
            }
            let text = format!("INSERT INTO other VALUES ({room})");
            assert_eq!(sql(&mut cluster, 0, &text), Reply::Int(1));
        }
        assert_eq!(cluster.ask(0, &[b"SET", b"{chat:mine}", b"a string"]), Reply::OK);
        assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(121));
        assert_eq!(define(&mut cluster, 0, "DROP TABLE chat"), Reply::OK);
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('7', 1, 'new')"), Reply::Int(1));
        if restarts {
            cluster.restart_all();
        }
        cluster.pass(4_000);
        assert_eq!(cluster.ask(2, &[b"DBSIZE"]), Reply::Int(62));
        let text = "SELECT at, who FROM chat WHERE room = '7'";
        assert_eq!(sql(&mut cluster, 2, text), rows(&["at", "who"], &[&["1", "new"]]));
        assert_eq!(sql(&mut cluster, 2, "SELECT k FROM other WHERE k = 59"), rows(&["k"], &[&["59"]]));
    }
}

#[test]
fn changes_of_large_partitions_are_written_as_such() {
    let mut cluster = Cluster::new(3, 1350);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    for at in 0..200 {
        let text = format!("INSERT INTO chat VALUES ('a', {at}, 'somebody with a name of some length')");
        assert_eq!(sql(&mut cluster, 0, &text), Reply::Int(1));
    }
    let deltas = cluster.hosts[0].shard.metrics().deltas_written;
    assert!(deltas > 100, "{deltas} of 200");
    let catalog = cluster.hosts[1].shard.catalog().clone();
    let command = planned(&catalog, "SELECT count(*) FROM chat WHERE room = 'a'").expect("a plan");
    assert_eq!(cluster.ask_command(1, command), rows(&["count"], &[&["200"]]));
}

/// Headers that nobody writes: refused, and not worked on for an index that is not there, number by number.
#[test]
fn headers_that_make_no_sense_are_refused() {
    let mut cluster = Cluster::new(1, 1360);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(define(&mut cluster, 0, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    let catalog = Catalog::clone(cluster.hosts[0].shard.catalog());
    let select = planned(&catalog, "SELECT count(*) FROM chat WHERE room = 'a'").expect("a plan");
    let table = catalog.table("chat").expect("it is there");
    assert!(table.id == 1 && table.version < 100 && table.next_index == 2);
    let (version, last) = (table.version as u8, [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let headers: [(&[u8], bool); 8] = [
        (&[1, version, 2], true),
        (&[1, version - 1, 1], true),
        (&[7, 100, 100], true),
        (&[1, version + 1, 2], false),
        (&[1, version - 1, 3], false),
        (&[&[1, version - 1][..], &last].concat(), false),
        (&[1, version], false),
        (&[1, version, 2, 0], false),
    ];
    for (header, valid) in headers {
        let mut rows = Hash::default();
        rows.set(b"", header);
        let mut state = State { value: Some(Value::Rows(rows)), version: 9, ..State::default() };
        let (limits, rng) = (&Limits::default(), &mut Rng::new(1));
        let mut context = Context {
            now_wall_ms: 1,
            limits,
            rng,
            catalog: &catalog,
            statements: &mut Statements::default(),
        };
        let reply = execute(&select, &mut state, &mut context);
        match valid {
            true => assert_eq!(reply, super::rows(&["count"], &[&["0"]]), "{header:?}"),
            false => assert!(
                matches!(&reply, Reply::Error(text) if text.contains("cannot be read")),
                "{header:?}: {reply:?}"
            ),
        }
    }
}
