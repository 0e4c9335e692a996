//! The same statements on a table in the large layout and on one in the small layout: the same answers.

use reactor::rng::Rng;
use shard::reply::Reply;

use crate::catalog::{define, sql};
use crate::keyspace::cluster::Cluster;

const COLUMNS: &str = "(p INT, a INT, b TEXT, v TEXT, PRIMARY KEY (p, a, b))";

fn key(rng: &mut Rng) -> (u64, u64, u64) {
    (rng.below(2), rng.below(60), rng.below(3))
}

fn statement(rng: &mut Rng) -> String {
    let (p, a, b) = key(rng);
    let (low, high) = (rng.below(60), rng.below(60));
    let value = format!("v{}{}", rng.below(1000), "x".repeat(rng.below(600) as usize));
    match rng.below(12) {
        0..=3 => format!("UPSERT INTO %t VALUES ({p}, {a}, 'b{b}', '{value}')"),
        4 => format!("INSERT INTO %t VALUES ({p}, {a}, 'b{b}', '{value}')"),
        5 => {
            let rows: Vec<String> =
                (0..30).map(|at| format!("({p}, {}, 'm', '{value}')", low + at)).collect();
            format!("UPSERT INTO %t VALUES {}", rows.join(", "))
        }
        6 => format!("UPDATE %t SET v = '{value}' WHERE p = {p} AND a >= {low} AND a < {high}"),
        7 => format!("DELETE FROM %t WHERE p = {p} AND a >= {low} AND a < {}", low + rng.below(20)),
        8 => format!("SELECT * FROM %t WHERE p = {p} AND a >= {low} LIMIT {}", 1 + rng.below(100)),
        9 => format!("SELECT a, b, v FROM %t WHERE p = {p} AND a <= {high} ORDER BY a DESC, b DESC LIMIT 70"),
        10 => format!("SELECT count(*), max(v) FROM %t WHERE p = {p} AND a IN ({low}, {high}, {a})"),
        _ => format!("SELECT * FROM %t WHERE p = {p} AND a = {a} AND b = 'b{b}'"),
    }
}

/// The reply, without the name of the table in what is said of errors.
fn plain(reply: Reply) -> String {
    format!("{reply:?}").replace("small", "%t").replace("large", "%t")
}

fn both(cluster: &mut Cluster, host: usize, text: &str) -> [String; 2] {
    ["small", "large"].map(|name| plain(sql(cluster, host, &text.replace("%t", name))))
}

#[test]
fn the_large_layout_answers_as_the_small_one() {
    let (mut flushed, mut paused) = (0, 0);
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut cluster = Cluster::new(3, 2200 + seed);
        for (name, layout) in [("small", "small"), ("large", "large")] {
            let text = format!("CREATE TABLE {name} {COLUMNS} WITH (layout = '{layout}')");
            assert_eq!(define(&mut cluster, 0, &text), Reply::OK);
        }
        for step in 0..220 {
            if step % 70 == 69 {
                let hosts = &cluster.hosts;
                flushed += hosts.iter().map(|host| host.shard.tree().stats().counters.flushes).sum::<u64>();
                paused += hosts.iter().map(|host| host.shard.metrics().runs_paused).sum::<u64>();
                cluster.restart_all();
            }
            let (text, host) = (statement(&mut rng), rng.below(3) as usize);
            let [small, large] = both(&mut cluster, host, &text);
            assert_eq!(small, large, "seed {seed}, step {step}, host {host}: {text}");
        }
        for host in 0..3 {
            for p in 0..2 {
                let [small, large] = both(&mut cluster, host, &format!("SELECT * FROM %t WHERE p = {p}"));
                assert_eq!(small, large, "seed {seed}, host {host}, partition {p}");
            }
        }
    }
    assert!(flushed > 20 && paused > 100, "rows were read from disk: {flushed} flushes, {paused} pauses");
}
