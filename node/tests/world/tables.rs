//! Tables by SQL on whole clusters: what one host was told of tables every host knows at once, whoever was away, and rows are where their table is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, Value};
use super::host::{eventually, Cluster};

const PARTITIONS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const WRITERS: usize = 3;

/// Runs a statement that must be answered.
pub fn run(client: &mut Client, text: &str) -> Value {
    let reply = client.call(&["SQL", text]);
    assert_eq!(reply.as_error(), None, "{text}");
    reply
}

/// The rows of an answer, without the names of their columns.
fn rows(reply: Value) -> Vec<Value> {
    let Value::Array(mut lines) = reply else { panic!("no rows: {reply:?}") };
    assert!(matches!(lines.first(), Some(Value::Array(_))), "the names come first");
    lines.remove(0);
    lines
}

/// The numbers in the only column of an answer.
pub fn numbers(reply: Value) -> Vec<i64> {
    let number = |row| match row {
        Value::Array(values) => match values.as_slice() {
            [Value::Int(number)] => *number,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    rows(reply).into_iter().map(number).collect()
}

#[test]
fn what_a_client_was_told_of_tables_every_host_knows() {
    let mut cluster = Cluster::start(3, 2, "");
    let mut clients: Vec<Client> = cluster.hosts.iter().map(|host| host.client()).collect();
    for turn in 0..12 {
        let (at, next, last) = (turn % 3, (turn + 1) % 3, (turn + 2) % 3);
        let table = format!("t{turn}");
        let create = format!("CREATE TABLE {table} (k TEXT, n INT, v NUMERIC(8,2), PRIMARY KEY (k, n))");
        assert_eq!(run(&mut clients[at], &create), Value::ok());
        for key in PARTITIONS {
            let insert = format!("INSERT INTO {table} VALUES ('{key}', 1, 1), ('{key}', 2, 2.5)");
            assert_eq!(run(&mut clients[next], &insert), Value::Int(2));
            let select = format!("SELECT n, v FROM {table} WHERE k = '{key}' ORDER BY n DESC");
            let want =
                [(2, "2.50"), (1, "1.00")].map(|(n, v)| Value::Array(vec![Value::Int(n), Value::bulk(v)]));
            assert_eq!(rows(run(&mut clients[last], &select)), want);
            let update = format!("UPDATE {table} SET v = v + 1 WHERE k = '{key}' AND n = 1 IF v = 1");
            assert_eq!(run(&mut clients[at], &update), Value::Int(1));
            assert_eq!(run(&mut clients[next], &update), Value::Nil, "it is another one by now");
            let delete = format!("DELETE FROM {table} WHERE k = '{key}' AND n < 3");
            assert_eq!(run(&mut clients[last], &delete), Value::Int(2));
        }
        assert_eq!(
            run(&mut clients[next], &format!("ALTER TABLE {table} ADD COLUMN note TEXT DEFAULT 'x'")),
            Value::ok()
        );
        let insert = format!("INSERT INTO {table} (k, n, note) VALUES ('a', 7, 'y') RETURNING note");
        assert_eq!(rows(run(&mut clients[last], &insert)), [Value::Array(vec![Value::bulk("y")])]);
        if turn % 2 == 0 {
            assert_eq!(run(&mut clients[last], &format!("DROP TABLE {table}")), Value::ok());
            let select = format!("SELECT n FROM {table} WHERE k = 'a'");
            let told = clients[at].call(&["SQL", &select]);
            assert!(told.as_error().is_some_and(|text| text.starts_with("SQL 42P01")), "{told:?}");
        }
    }
    let tables = rows(run(&mut clients[0], "SHOW TABLES"));
    // All of them go, and come back.
    cluster.hosts.iter_mut().for_each(super::host::Host::kill);
    cluster.start_all();
    for host in &cluster.hosts {
        let mut client = host.client();
        assert_eq!(rows(run(&mut client, "SHOW TABLES")), tables);
        for turn in (1..12).step_by(2) {
            let select = format!("SELECT n, v, note FROM t{turn} WHERE k = 'a'");
            let want = Value::Array(vec![Value::Int(7), Value::Nil, Value::bulk("y")]);
            assert_eq!(rows(run(&mut client, &select)), [want]);
        }
    }
}

/// A table that is dropped and made anew while a host is away: to that host, too, the old rows are gone.
#[test]
fn a_table_that_is_made_anew_has_no_old_rows_anywhere() {
    let mut cluster = Cluster::start(3, 2, "");
    let create = "CREATE TABLE t (k TEXT, n INT, PRIMARY KEY (k, n))";
    run(&mut cluster.hosts[2].client(), create);
    for turn in 0..6 {
        let frozen = turn % 2 == 0;
        for key in PARTITIONS {
            run(&mut cluster.hosts[turn % 3].client(), &format!("INSERT INTO t VALUES ('{key}', {turn})"));
        }
        let mut waiting = cluster.hosts[2].client();
        if frozen {
            cluster.hosts[2].freeze();
        } else {
            cluster.hosts[2].kill();
            cluster.await_peers();
        }
        let mut client = cluster.hosts[turn % 2].client();
        run(&mut client, "DROP TABLE t");
        run(&mut client, create);
        for key in &PARTITIONS[..3] {
            run(&mut client, &format!("INSERT INTO t VALUES ('{key}', {})", 100 + turn));
        }
        if frozen {
            cluster.hosts[2].signal("CONT");
        } else {
            cluster.hosts[2].start();
            waiting = cluster.hosts[2].client();
        }
        for (place, key) in PARTITIONS.iter().enumerate() {
            let select = format!("SELECT n FROM t WHERE k = '{key}'");
            let want = if place < 3 { vec![100 + turn as i64] } else { vec![] };
            // It may have to find its peers first.
            eventually("the host that was away answers", || {
                let reply = waiting.call(&["SQL", &select]);
                let refused = reply
                    .as_error()
                    .is_some_and(|text| text.starts_with("ERR") || text.starts_with("TRYAGAIN"));
                assert!(refused || numbers(reply) == want, "{key} of turn {turn}");
                !refused
            });
        }
        cluster.await_peers();
        run(&mut client, "DROP TABLE t");
        run(&mut client, create);
    }
}

/// What a read of a hash is answered: fields and values in turns.
fn fields(client: &mut Client, name: &str) -> Vec<String> {
    let Value::Array(values) = client.call(&["HGETALL", name]) else { panic!("{name} is read as a hash") };
    let text = |value| match value {
        Value::Bulk(bytes) => String::from_utf8(bytes).expect("UTF-8"),
        other => panic!("{other:?}"),
    };
    values.into_iter().map(text).collect()
}

/// A row is a hash at every host as soon as it is written, though its table is new and a host was away when it was made.
#[test]
fn rows_are_hashes_at_every_host() {
    let cluster = Cluster::start(3, 2, "");
    for turn in 0..4 {
        let (at, away, other) = (turn % 3, (turn + 1) % 3, (turn + 2) % 3);
        cluster.hosts[away].freeze();
        let mut client = cluster.hosts[at].client();
        run(
            &mut client,
            &format!("CREATE TABLE r{turn} (k TEXT, n INT, v NUMERIC(8,2), w TEXT, PRIMARY KEY (k, n DESC))"),
        );
        for key in PARTITIONS {
            run(
                &mut client,
                &format!("INSERT INTO r{turn} VALUES ('{key}:x', -1, 2.5, NULL), ('{key}:x', 2, 0, 'y')"),
            );
        }
        cluster.hosts[away].signal("CONT");
        for (place, key) in PARTITIONS.iter().enumerate() {
            let name = format!("{{r{turn}:{key}%3ax}}:-1");
            let want = ["k", &format!("{key}:x"), "n", "-1", "v", "2.50"];
            let mut reader = cluster.hosts[if place % 2 == 0 { away } else { other }].client();
            eventually("the host that was away answers", || {
                let reply = reader.call(&["HLEN", &name]);
                assert!(reply.as_error().is_some() || reply == Value::Int(3), "{name}: {reply:?}");
                reply == Value::Int(3)
            });
            assert_eq!(fields(&mut reader, &name), want);
            // In one pipeline with what changes it, in its order.
            let update = format!("UPDATE r{turn} SET w = 'z', v = NULL WHERE k = '{key}:x' AND n = -1");
            let words: [&[&[u8]]; 3] = [
                &[b"HMGET", name.as_bytes(), b"v", b"w"],
                &[b"SQL", update.as_bytes()],
                &[b"HMGET", name.as_bytes(), b"v", b"w"],
            ];
            let bytes: Vec<u8> = words.iter().flat_map(|words| super::client::request(words)).collect();
            reader.send(&bytes).expect("sent");
            let replies = [(); 3].map(|()| reader.reply().expect("a reply"));
            let pair = |v, w| Value::Array(vec![v, w]);
            assert_eq!(
                replies,
                [pair(Value::bulk("2.50"), Value::Nil), Value::Int(1), pair(Value::Nil, Value::bulk("z"))]
            );
            // A hash of a client's own under that name is in front of it, until it is gone.
            assert_eq!(reader.call(&["HSET", &name, "f", "v"]), Value::Int(1));
            assert_eq!(fields(&mut client, &name), ["f", "v"]);
            assert_eq!(client.call(&["DEL", &name]), Value::Int(1));
            assert_eq!(reader.call(&["HGET", &name, "w"]), Value::bulk("z"));
            assert_eq!(reader.call(&["EXISTS", &name]), Value::Int(0));
        }
        cluster.await_peers();
    }
}

/// Rows that a writer was told are there, and how many more may be.
#[derive(Default)]
struct Written {
    rows: Vec<(usize, i64)>,
    unsure: usize,
}

fn write(number: usize, address: &str, stop: &AtomicBool) -> Written {
    let (mut client, mut written) = (Client::connect(address), Written::default());
    for turn in (number as i64..).step_by(WRITERS) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let place = turn as usize % PARTITIONS.len();
        let text = format!("INSERT INTO t (k, n, v) VALUES ('{}', {turn}, {})", PARTITIONS[place], turn % 5);
        match client.call(&["SQL", &text]) {
            Value::Error(why) if why.starts_with("UNCERTAIN") => written.unsure += 1,
            Value::Error(why) => assert!(why.starts_with("TRYAGAIN"), "INSERT was answered with {why}"),
            reply => {
                assert_eq!(reply, Value::Int(1));
                written.rows.push((place, turn));
            }
        }
    }
    written
}

#[test]
fn tables_change_under_statements_and_no_row_is_lost() {
    let cluster = Cluster::start(3, 2, "");
    run(&mut cluster.hosts[0].client(), "CREATE TABLE t (k TEXT, n INT, v INT, PRIMARY KEY (k, n))");
    let stop = AtomicBool::new(false);
    let mut changes = 0;
    let written: Vec<Written> = std::thread::scope(|scope| {
        let stop = &stop;
        let writer = |number: usize| {
            let address = cluster.hosts[number % 3].plain.clone();
            scope.spawn(move || write(number, &address, stop))
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let until = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < until {
            for text in [
                "CREATE INDEX by_v ON t (v)".to_owned(),
                format!("ALTER TABLE t ADD COLUMN c{changes} INT DEFAULT {changes}"),
                "CREATE TABLE other (a INT PRIMARY KEY)".to_owned(),
                "DROP TABLE other".to_owned(),
                "DROP INDEX by_v".to_owned(),
            ] {
                assert_eq!(run(&mut cluster.hosts[changes % 3].client(), &text), Value::ok());
                changes += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    let told: usize = written.iter().map(|one| one.rows.len()).sum();
    assert!(changes >= 5 && told > 20, "{changes} changes, {told} rows");
    run(&mut cluster.hosts[1].client(), "CREATE INDEX by_v ON t (v)");
    let mut found = 0;
    for (place, key) in PARTITIONS.iter().enumerate() {
        let mut want: Vec<i64> =
            written.iter().flat_map(|one| &one.rows).filter(|row| row.0 == place).map(|row| row.1).collect();
        want.sort_unstable();
        for host in &cluster.hosts {
            let mut client = host.client();
            let there = numbers(run(&mut client, &format!("SELECT n FROM t WHERE k = '{key}' ORDER BY n")));
            assert!(
                want.iter().all(|n| there.binary_search(n).is_ok()),
                "rows of {key} are lost: {want:?} {there:?}"
            );
            let mut indexed: Vec<i64> = (0..5)
                .flat_map(|v| {
                    numbers(run(&mut client, &format!("SELECT n FROM t WHERE k = '{key}' AND v = {v}")))
                })
                .collect();
            indexed.sort_unstable();
            assert_eq!(indexed, there, "by the index of {key}");
            found += there.len();
        }
    }
    let unsure: usize = written.iter().map(|one| one.unsure).sum();
    assert!(
        (told..=told + unsure).contains(&(found / 3)),
        "{found} rows in three reads, {told} told, {unsure} unsure"
    );
}

/// On a host of its own, so that nobody takes the place of one that is late.
#[test]
fn a_core_port_says_where_a_partition_is() {
    let cluster = Cluster::start(1, 2, "");
    let host = &cluster.hosts[0];
    let mut cores: Vec<Client> = (0..2).map(|core| Client::connect(&host.core(core))).collect();
    // What is about tables, and not about rows, every port takes.
    assert_eq!(run(&mut cores[0], "CREATE TABLE t (k TEXT, PRIMARY KEY (k))"), Value::ok());
    assert_eq!(rows(run(&mut cores[1], "SHOW TABLES")).len(), 1);
    let mut owned = [0, 0];
    for key in PARTITIONS {
        let name = format!("{{t:{key}}}");
        let Value::Int(slot) = host.client().call(&["CLUSTER", "KEYSLOT", &name]) else { panic!("a slot") };
        let insert = format!("INSERT INTO t VALUES ('{key}')");
        let replies: Vec<Value> = cores.iter_mut().map(|core| core.call(&["SQL", &insert])).collect();
        let own = replies.iter().position(|reply| *reply == Value::Int(1)).expect("one core has it");
        let moved = Value::error(&format!("MOVED {slot} {}", host.core(own as u16)));
        assert_eq!(replies[1 - own], moved, "the other says who has it");
        assert_eq!(cores[1 - own].call(&["GET", &name]), moved, "it is where the key is");
        assert_eq!(run(&mut host.client(), &format!("DELETE FROM t WHERE k = '{key}'")), Value::Int(1));
        owned[own] += 1;
    }
    assert!(owned[0] > 0 && owned[1] > 0, "both cores have some: {owned:?}");
}

#[test]
fn without_a_majority_no_table_changes_and_none_is_described() {
    let mut cluster = Cluster::start(3, 1, "");
    run(&mut cluster.hosts[0].client(), "CREATE TABLE t (k TEXT, PRIMARY KEY (k))");
    run(&mut cluster.hosts[0].client(), "INSERT INTO t VALUES ('a')");
    cluster.hosts[1].kill();
    cluster.hosts[2].kill();
    let mut client = cluster.hosts[0].client();
    for text in [
        "DROP TABLE t",
        "SHOW TABLES",
        "SELECT * FROM t WHERE k = 'a'",
        "INSERT INTO t VALUES ('b')",
        "SELECT * FROM u WHERE k = 'a'",
    ] {
        let reply = client.call(&["SQL", text]);
        let why = reply.as_error().unwrap_or_else(|| panic!("{text}: {reply:?}"));
        assert!(why.starts_with("ERR") || why.starts_with("UNCERTAIN"), "{text}: {why}");
    }
    cluster.start_all();
    let mut client = cluster.hosts[1].client();
    run(&mut client, "CREATE TABLE IF NOT EXISTS t (k TEXT, PRIMARY KEY (k))");
    assert_eq!(rows(run(&mut client, "SHOW TABLES")).len(), 1);
}
