//! Rows read as hashes: at the key, then at the partition, as a session does it.

use shard::command::{Command, KeyCommand, Limits, Op};
use shard::reply::Reply;

use super::{bulk, define, sql, CHAT};
use crate::keyspace::cluster::Cluster;

fn command(words: &[&str]) -> KeyCommand {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    match Command::parse(&words, &Limits::default()).expect("it is valid") {
        Command::Key(command) => command,
        other => panic!("{other:?}"),
    }
}

/// What a session that knows nothing of tables does with a read of a hash: what comes of it, and in how many reads.
pub fn read(cluster: &mut Cluster, host: usize, words: &[&str]) -> (Reply, u32) {
    let command = command(words);
    if command.row_name().is_none() {
        return (cluster.ask_command(host, Command::Key(command)), 1);
    }
    match cluster.ask_command(host, Command::Key(command.at_name())) {
        Reply::Nil => (cluster.ask_command(host, Command::Key(command.at_row())), 2),
        Reply::Array(mut found) => (found.remove(0), 1),
        error => (error, 1),
    }
}

pub fn hash(pairs: &[(&str, &str)]) -> Reply {
    Reply::Map(pairs.iter().map(|(field, value)| (bulk(field), bulk(value))).collect())
}

fn wrong_type(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("WRONGTYPE"))
}

#[test]
fn every_read_of_a_hash_reads_a_row() {
    let mut cluster = Cluster::new(3, 1600);
    let create = "CREATE TABLE t (k TEXT, n INT, at TIMESTAMP, v NUMERIC(6,2), w TEXT, ok BOOL, PRIMARY KEY (k, n DESC, at))";
    assert_eq!(define(&mut cluster, 0, create), Reply::OK);
    let insert = "INSERT INTO t VALUES ('a:b', -7, '2024-05-06', 1.5, NULL, true)";
    assert_eq!(sql(&mut cluster, 1, insert), Reply::Int(1));
    let name = "{t:a%3ab}:-7:2024-05-06%2000%3a00%3a00";
    // In the order of the fields' names, as every hash.
    let at = "2024-05-06 00:00:00";
    let pairs = [("at", at), ("k", "a:b"), ("n", "-7"), ("ok", "t"), ("v", "1.50")];
    let all = |of: fn(&(&str, &str)) -> Reply| Reply::Array(pairs.iter().map(of).collect());
    let table: [(&[&str], Reply); 12] = [
        (&["HGETALL", name], hash(&pairs)),
        (&["HGET", name, "v"], bulk("1.50")),
        (&["HGET", name, "w"], Reply::Nil),
        (&["HGET", name, "V"], Reply::Nil),
        (&["HMGET", name, "n", "w", "k"], Reply::Array(vec![bulk("-7"), Reply::Nil, bulk("a:b")])),
        (&["HKEYS", name], all(|(field, _)| bulk(field))),
        (&["HVALS", name], all(|(_, value)| bulk(value))),
        (&["HLEN", name], Reply::Int(5)),
        (&["HEXISTS", name, "ok"], Reply::Int(1)),
        (&["HEXISTS", name, "w"], Reply::Int(0)),
        (&["HSTRLEN", name, "at"], Reply::Int(19)),
        (
            &["HSCAN", name, "0", "MATCH", "k*"],
            Reply::Array(vec![bulk("0"), Reply::Array(vec![bulk("k"), bulk("a:b")])]),
        ),
    ];
    for (host, (words, want)) in (0..3).cycle().zip(table) {
        assert_eq!(read(&mut cluster, host, words), (want, 2), "{words:?}");
    }
    assert!(matches!(read(&mut cluster, 0, &["HRANDFIELD", name]), (Reply::Bulk(_), 2)));
    // No row of this table, and names of none: absent keys.
    for absent in ["{t:a%3ab}:-6:2024-05-06%2000%3a00%3a00", "{t:c}:-7:2024-05-06%2000%3a00%3a00"] {
        assert_eq!(read(&mut cluster, 1, &["HGETALL", absent]), (hash(&[]), 2));
        assert_eq!(
            read(&mut cluster, 1, &["HMGET", absent, "k", "n"]),
            (Reply::Array(vec![Reply::Nil; 2]), 2)
        );
    }
    let others = [
        "{t:a%3Ab}:-7:2024-05-06%2000%3a00%3a00",
        "{t:a%3ab}:-7:2024-05-06",
        "{t:a%3ab}:-7",
        "{t:x}:y:z",
        "{u:a}:b",
    ];
    for other in others {
        assert_eq!(read(&mut cluster, 2, &["HGETALL", other]), (hash(&[]), 1), "{other}");
    }
    // The partition is rows, whatever is asked of it.
    let (reply, reads) = read(&mut cluster, 0, &["HGETALL", "{t:a%3ab}"]);
    assert!(wrong_type(&reply) && reads == 1, "{reply:?}");
    // The last row takes the partition with it.
    assert_eq!(sql(&mut cluster, 2, "DELETE FROM t WHERE k = 'a:b'"), Reply::Int(1));
    assert_eq!(read(&mut cluster, 1, &["HGETALL", name]), (hash(&[]), 2));
}

#[test]
fn what_is_there_under_the_name_wins() {
    let mut cluster = Cluster::new(3, 1610);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    let row = hash(&[("at", "1"), ("room", "a"), ("who", "x")]);
    assert_eq!(read(&mut cluster, 1, &["HGETALL", "{chat:a}:1"]), (row.clone(), 2));
    // What is written by that name is a hash like others, and no row.
    assert_eq!(cluster.ask(2, &[b"HSET", b"{chat:a}:1", b"who", b"y"]), Reply::Int(1));
    assert_eq!(read(&mut cluster, 0, &["HGETALL", "{chat:a}:1"]), (hash(&[("who", "y")]), 1));
    assert_eq!(read(&mut cluster, 0, &["HGET", "{chat:a}:1", "room"]), (Reply::Nil, 1));
    assert_eq!(cluster.ask(1, &[b"PEXPIRE", b"{chat:a}:1", b"20"]), Reply::Int(1));
    cluster.pass(50);
    assert_eq!(read(&mut cluster, 2, &["HGETALL", "{chat:a}:1"]), (row.clone(), 2));
    assert_eq!(cluster.ask(1, &[b"SET", b"{chat:a}:1", b"text"]), Reply::OK);
    assert!(wrong_type(&read(&mut cluster, 2, &["HGETALL", "{chat:a}:1"]).0));
    assert_eq!(cluster.ask(1, &[b"DEL", b"{chat:a}:1"]), Reply::Int(1));
    assert_eq!(read(&mut cluster, 2, &["HGETALL", "{chat:a}:1"]), (row, 2));
    // A client's own value under the name of the partition: there are no rows in it.
    assert_eq!(cluster.ask(1, &[b"SET", b"{chat:b}", b"mine"]), Reply::OK);
    assert_eq!(read(&mut cluster, 2, &["HGETALL", "{chat:b}:1"]), (hash(&[]), 2));
    assert_eq!(cluster.ask(1, &[b"HSET", b"{chat:c}", b"f", b"v"]), Reply::Int(1));
    assert_eq!(read(&mut cluster, 2, &["HGETALL", "{chat:c}:1"]), (hash(&[]), 2));
    assert_eq!(read(&mut cluster, 2, &["HGETALL", "{chat:c}"]), (hash(&[("f", "v")]), 1));
    // Nothing but reads of hashes finds rows.
    let nothing: [(&[&[u8]], Reply); 4] = [
        (&[b"EXISTS", b"{chat:a}:1"], Reply::Int(0)),
        (&[b"TYPE", b"{chat:a}:1"], Reply::Simple("none".into())),
        (&[b"DEL", b"{chat:a}:1"], Reply::Int(0)),
        (&[b"TTL", b"{chat:a}:1"], Reply::Int(-2)),
    ];
    for (words, want) in nothing {
        assert_eq!(cluster.ask(0, words), want);
    }
}

#[test]
fn a_row_that_is_a_partition_is_one_read() {
    for count in [1, 3] {
        let mut cluster = Cluster::new(count, 1620 + u64::from(count));
        assert_eq!(define(&mut cluster, 0, "CREATE TABLE one (k INT PRIMARY KEY, v TEXT)"), Reply::OK);
        assert_eq!(sql(&mut cluster, 0, "INSERT INTO one VALUES (7, 'x')"), Reply::Int(1));
        let last = usize::from(count) - 1;
        let row = hash(&[("k", "7"), ("v", "x")]);
        assert_eq!(read(&mut cluster, last, &["HGETALL", "{one:7}"]), (row.clone(), 1));
        assert_eq!(read(&mut cluster, last, &["HGETALL", "{one:8}"]), (hash(&[]), 1));
        assert_eq!(read(&mut cluster, last, &["HGETALL", "{one:7}:"]), (hash(&[]), 1));
        // Of columns that came later the default, and of a table made anew nothing.
        assert_eq!(define(&mut cluster, 0, "ALTER TABLE one ADD COLUMN w INT DEFAULT 3"), Reply::OK);
        let row = hash(&[("k", "7"), ("v", "x"), ("w", "3")]);
        assert_eq!(read(&mut cluster, last, &["HGETALL", "{one:7}"]), (row, 1));
        cluster.restart_all();
        assert_eq!(define(&mut cluster, 0, "DROP TABLE one"), Reply::OK);
        assert_eq!(define(&mut cluster, 0, "CREATE TABLE one (k INT PRIMARY KEY)"), Reply::OK);
        assert_eq!(read(&mut cluster, last, &["HGETALL", "{one:7}"]), (hash(&[]), 1));
    }
}

#[test]
fn a_read_that_begins_after_a_change_of_the_catalog_goes_by_it() {
    let mut cluster = Cluster::new(3, 1630);
    for turn in 0..6 {
        // One host hears nothing of it, and is asked then.
        let (other, away) = (turn % 3, (turn + 1) % 3);
        cluster.cut_off(away);
        let table = format!("t{turn}");
        let create = format!("CREATE TABLE {table} (k TEXT, n INT, PRIMARY KEY (k, n))");
        assert_eq!(define(&mut cluster, other, &create), Reply::OK);
        assert_eq!(sql(&mut cluster, other, &format!("INSERT INTO {table} VALUES ('a', 1)")), Reply::Int(1));
        cluster.heal();
        assert!(!cluster.hosts[away].shard.catalog().has_table(&table));
        let name = format!("{{{table}:a}}:1");
        let row = hash(&[("k", "a"), ("n", "1")]);
        assert_eq!(read(&mut cluster, away, &["HGETALL", &name]), (row, 2));
        cluster.cut_off(away);
        assert_eq!(define(&mut cluster, other, &format!("DROP TABLE {table}")), Reply::OK);
        cluster.heal();
        assert!(cluster.hosts[away].shard.catalog().has_table(&table));
        assert_eq!(read(&mut cluster, away, &["HLEN", &name]).0, Reply::Int(0));
    }
}

#[test]
fn reads_of_rows_travel_between_hosts() {
    for words in [
        &["HGETALL", "{t:a}:1"][..],
        &["HMGET", "{t:a}:1", "", "x"],
        &["HSCAN", "{t:a}:1", "5", "COUNT", "7", "MATCH", "*"],
        &["HRANDFIELD", "{t:a}:1", "-3", "WITHVALUES"],
    ] {
        let command = command(words);
        for sent in [command.at_name(), command.at_row()] {
            let sent = Command::Key(sent);
            let mut bytes = Vec::new();
            sent.encode(&mut bytes);
            assert_eq!(Command::decode(&bytes).expect("what was encoded"), sent);
            assert!(sent.is_read() && !sent.only_deletes() && sent.bytes() > 7);
            (0..bytes.len()).for_each(|cut| assert!(Command::decode(&bytes[..cut]).is_err()));
        }
    }
    assert!(Command::parse(&[b"ASHASH", b"", b"HGETALL", b"k"], &Limits::default()).is_err(), "no client's");
    let spelt = |words: &[&str]| {
        let mut bytes = vec![words.len() as u8];
        for word in words {
            bytes.push(word.len() as u8);
            bytes.extend(word.as_bytes());
        }
        Command::decode(&bytes)
    };
    assert!(matches!(
        spelt(&["ASHASH", "", "HLEN", "k"]),
        Ok(Command::Key(KeyCommand { op: Op::AsHash(_), .. }))
    ));
    for wrong in [
        &["ASHASH"][..],
        &["ASHASH", ""],
        &["ASHASH", "", "HSET", "k", "f", "v"],
        &["ASHASH", "", "GET", "k"],
        &["ASHASH", "", "ASHASH", "", "HLEN", "k"],
        &["ASHASH", "n", "HLEN"],
    ] {
        assert!(spelt(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_a_partition_is_asked_for_is_checked_there() {
    let mut cluster = Cluster::new(3, 1640);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    // A name of another partition, and one of none, as no session would ask.
    let command = command(&["HLEN", "{chat:a}:1"]);
    let KeyCommand { op, .. } = command.at_row();
    let elsewhere = KeyCommand { key: (*b"{chat:b}").into(), op };
    assert_eq!(cluster.ask_command(1, Command::Key(elsewhere)), Reply::Int(0));
    let mut command = command.at_row();
    let Op::AsHash(read) = &mut command.op else { panic!("{command:?}") };
    read.row = Some((*b"{chat:a}:one").into());
    assert_eq!(cluster.ask_command(1, Command::Key(command)), Reply::Int(0));
}
