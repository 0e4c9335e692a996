//! All partitions of a table on whole clusters: read from any host, by any port, page by page from one host after the other, beside writers and with
//! a host away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, Value};
use super::host::{eventually, Cluster};

const PARTITIONS: i64 = 120;

fn run(client: &mut Client, text: &str) -> Value {
    let reply = client.call(&["SQL", text]);
    assert_eq!(reply.as_error(), None, "{text}");
    reply
}

/// The rows of an answer, of numbers.
fn rows(reply: Value) -> Vec<Vec<i64>> {
    let Value::Array(lines) = reply else { panic!("no rows: {reply:?}") };
    let row = |line| match line {
        Value::Array(values) => values
            .into_iter()
            .map(|value| if let Value::Int(number) = value { number } else { panic!("{value:?}") })
            .collect(),
        other => panic!("{other:?}"),
    };
    lines.into_iter().skip(1).map(row).collect()
}

/// A page: the cursor and its rows.
fn page(client: &mut Client, text: &str) -> (String, Vec<Vec<i64>>) {
    let Value::Array(mut both) = run(client, text) else { panic!("a page: {text}") };
    let lines = both.pop().expect("rows");
    let Some(Value::Bulk(cursor)) = both.pop() else { panic!("a cursor: {text}") };
    (String::from_utf8(cursor).expect("digits"), rows(lines))
}

/// All rows page by page, each from another host; and how many pages there were.
fn by_cursor(cluster: &Cluster, select: &str, limit: u32) -> (Vec<Vec<i64>>, usize) {
    let (mut cursor, mut all, mut pages) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let mut client = cluster.hosts[pages % 3].client();
        let (next, rows) = page(&mut client, &format!("{select} LIMIT {limit} ALLOW SCAN CURSOR '{cursor}'"));
        assert!(rows.len() <= limit as usize);
        all.extend(rows);
        pages += 1;
        cursor = next;
        if cursor == "0" {
            return (all, pages);
        }
    }
}

#[test]
fn all_partitions_are_read_from_any_host() {
    let mut cluster = Cluster::start(3, 2, "");
    run(&mut cluster.hosts[0].client(), "CREATE TABLE t (k INT, n INT, v INT, PRIMARY KEY (k, n))");
    run(&mut cluster.hosts[0].client(), "CREATE TABLE t2 (k INT PRIMARY KEY)");
    let mut want = Vec::new();
    for k in 0..PARTITIONS {
        let mut client = cluster.hosts[k as usize % 3].client();
        for n in 0..k % 4 {
            run(&mut client, &format!("INSERT INTO t VALUES ({k}, {n}, {})", k * n));
            want.push(vec![k, n, k * n]);
        }
        run(&mut client, &format!("INSERT INTO t2 VALUES ({k})"));
        assert_eq!(client.call(&["SET", &format!("{{t:{k}}}x"), "v"]), Value::ok());
    }
    let sorted = |mut rows: Vec<Vec<i64>>| {
        rows.sort();
        rows
    };
    let total = want.len() as i64;
    let (sum, few) =
        (want.iter().map(|row| row[2]).sum::<i64>(), want.iter().filter(|row| row[1] == 2).count());
    for host in &cluster.hosts {
        for mut client in [host.client(), Client::connect(&host.core(0)), Client::connect(&host.core(1))] {
            let all = rows(run(&mut client, "SELECT * FROM t ALLOW SCAN"));
            assert_eq!(sorted(all.clone()), want);
            assert!(
                all.chunk_by(|a, b| a[0] == b[0]).all(|rows| rows.len() as i64 == rows[0][0] % 4),
                "partition by partition"
            );
            let totals = rows(run(&mut client, "SELECT count(*), sum(v), max(k), min(n) FROM t ALLOW SCAN"));
            assert_eq!(totals, [[total, sum, PARTITIONS - 1, 0]]);
            assert_eq!(rows(run(&mut client, "SELECT k FROM t WHERE n = 2 ALLOW SCAN")).len(), few);
            assert_eq!(rows(run(&mut client, "SELECT k, n FROM t LIMIT 7 ALLOW SCAN")).len(), 7);
        }
    }
    for limit in [1, 10, 1000] {
        let (all, pages) = by_cursor(&cluster, "SELECT * FROM t", limit);
        assert_eq!(sorted(all), want);
        assert!(pages as i64 >= total / i64::from(limit));
    }
    // Without one host as with it; without two there is an error, in time.
    cluster.hosts[2].kill();
    let mut client = cluster.hosts[0].client();
    eventually("the others go on", || {
        let reply = client.call(&["SQL", "SELECT count(*) FROM t ALLOW SCAN"]);
        reply.as_error().is_none() && rows(reply) == [[total]]
    });
    cluster.hosts[1].freeze();
    let begun = Instant::now();
    let reply = client.call(&["SQL", "SELECT count(*) FROM t ALLOW SCAN"]);
    assert!(reply.as_error().is_some(), "{reply:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    cluster.hosts[1].signal("CONT");
}

/// Rows that were there before a statement began, and are not touched, are found exactly once, whatever is written beside them.
#[test]
fn what_stays_is_read_once_beside_writers() {
    let cluster = Cluster::start(3, 2, "");
    run(&mut cluster.hosts[0].client(), "CREATE TABLE t (k INT, n INT, PRIMARY KEY (k, n))");
    for k in 0..PARTITIONS {
        run(&mut cluster.hosts[1].client(), &format!("INSERT INTO t VALUES ({k}, 0)"));
    }
    let stop = AtomicBool::new(false);
    let want: Vec<i64> = (0..PARTITIONS).collect();
    std::thread::scope(|scope| {
        // Whatever becomes of the test, the writers end.
        let _ends = Ends(&stop);
        for number in 0..2 {
            let (cluster, stop) = (&cluster, &stop);
            scope.spawn(move || {
                let mut client = cluster.hosts[number].client();
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    // Rows beside those, and partitions that come and go.
                    let k = turn * 7 % (3 * PARTITIONS);
                    let n = number as i64 + 1;
                    run(&mut client, &format!("UPSERT INTO t (k, n) VALUES ({k}, {n})"));
                    run(&mut client, &format!("DELETE FROM t WHERE k = {k} AND n = {n}"));
                }
            });
        }
        for turn in 0..6 {
            let stays = |rows: Vec<Vec<i64>>| {
                let mut keys: Vec<i64> =
                    rows.into_iter().filter(|row| row[1] == 0).map(|row| row[0]).collect();
                keys.sort_unstable();
                keys
            };
            let mut client = cluster.hosts[turn % 3].client();
            assert_eq!(stays(rows(run(&mut client, "SELECT k, n FROM t ALLOW SCAN"))), want);
            assert_eq!(stays(by_cursor(&cluster, "SELECT k, n FROM t", 17).0), want);
            assert_eq!(
                rows(run(&mut client, "SELECT count(*) FROM t WHERE n = 0 ALLOW SCAN")),
                [[PARTITIONS]]
            );
        }
    });
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
