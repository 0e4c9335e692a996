//! Indexes of tables in the large layout: kept by what writes, filled and cleared step by step where rows were there before.

use reactor::rng::Rng;
use shard::reply::Reply;

use super::CHAT;
use crate::catalog::{define, rows, sql};
use crate::keyspace::cluster::Cluster;

/// A cluster whose steps are small.
fn cluster(seed: u64) -> Cluster {
    Cluster::with(3, seed, |config| config.fill_rows_max = 3)
}

fn steps(cluster: &Cluster) -> u64 {
    cluster.hosts.iter().map(|host| host.shard.metrics().fill_steps).sum()
}

/// Sweeps until nothing is left to be done.
fn settle(cluster: &mut Cluster) {
    let is_behind = |cluster: &Cluster| cluster.hosts.iter().any(|host| host.shard.is_expiry_behind(0));
    cluster.run_while(is_behind);
}

fn is_uncertain(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"))
}

fn insert(cluster: &mut Cluster, count: i64) {
    for at in 0..count {
        let text = format!("INSERT INTO chat VALUES ('a', {at}, 'w{}')", at % 4);
        assert_eq!(sql(cluster, at as usize % 3, &text), Reply::Int(1));
    }
}

const BY_WHO: &str = "SELECT at FROM chat WHERE room = 'a' AND who = 'w1' ORDER BY who, at";

#[test]
fn an_index_that_is_there_first_is_kept_by_what_writes() {
    let mut cluster = cluster(2300);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(define(&mut cluster, 1, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    settle(&mut cluster);
    insert(&mut cluster, 12);
    for host in 0..3 {
        assert_eq!(sql(&mut cluster, host, BY_WHO), rows(&["at"], &[&["1"], &["5"], &["9"]]));
    }
    let update = "UPDATE chat SET who = 'w1' WHERE room = 'a' AND who = 'w2' AND at > 5";
    assert_eq!(sql(&mut cluster, 0, update), Reply::Int(2));
    assert_eq!(
        sql(&mut cluster, 1, "DELETE FROM chat WHERE room = 'a' AND who = 'w1' AND at < 9"),
        Reply::Int(3)
    );
    cluster.restart_all();
    for host in 0..3 {
        assert_eq!(sql(&mut cluster, host, BY_WHO), rows(&["at"], &[&["9"], &["10"]]));
    }
    assert_eq!(steps(&cluster), 0, "nothing had to be filled");
}

#[test]
fn an_index_that_comes_later_is_filled_step_by_step() {
    let mut cluster = cluster(2310);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    insert(&mut cluster, 20);
    assert_eq!(define(&mut cluster, 1, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    // Before it is filled, what needs its order is told so, and all else goes by the key.
    let early = sql(&mut cluster, 2, BY_WHO);
    assert!(
        matches!(&early, Reply::Error(text) if text.contains("\"by_who\" is still being filled")),
        "{early:?}"
    );
    let by_key = "SELECT at FROM chat WHERE room = 'a' AND who = 'w1'";
    let wanted = rows(&["at"], &[&["1"], &["5"], &["9"], &["13"], &["17"]]);
    assert_eq!(sql(&mut cluster, 2, by_key), wanted);
    // What is written meanwhile is kept.
    assert_eq!(sql(&mut cluster, 0, "DELETE FROM chat WHERE room = 'a' AND at = 13"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 21, 'w1')"), Reply::Int(1));
    settle(&mut cluster);
    assert!(steps(&cluster) >= 7, "20 rows, 3 at a time: {}", steps(&cluster));
    for host in 0..3 {
        let wanted = rows(&["at"], &[&["1"], &["5"], &["9"], &["17"], &["21"]]);
        assert_eq!(sql(&mut cluster, host, BY_WHO), wanted);
    }
    // And cleared when it goes.
    let before = steps(&cluster);
    assert_eq!(define(&mut cluster, 1, "DROP INDEX by_who"), Reply::OK);
    settle(&mut cluster);
    assert!(steps(&cluster) >= before + 7, "20 entries, 3 at a time");
    assert_eq!(define(&mut cluster, 2, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    cluster.restart_all();
    settle(&mut cluster);
    let wanted = rows(&["at"], &[&["1"], &["5"], &["9"], &["17"], &["21"]]);
    assert_eq!(sql(&mut cluster, 0, BY_WHO), wanted);
}

#[test]
fn a_page_goes_on_by_the_path_that_it_began_by() {
    let mut cluster = cluster(2320);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    insert(&mut cluster, 12);
    let page = |cursor: &str| {
        format!("SELECT at FROM chat WHERE room = 'a' AND who = 'w1' LIMIT 1 CURSOR '{cursor}'")
    };
    let cursor_of = |reply: &Reply| match reply {
        Reply::Array(parts) => match &parts[0] {
            Reply::Bulk(cursor) => String::from_utf8_lossy(cursor).into_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let first = sql(&mut cluster, 0, &page("0"));
    assert_eq!(define(&mut cluster, 1, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    let second = sql(&mut cluster, 1, &page(&cursor_of(&first)));
    settle(&mut cluster);
    let third = sql(&mut cluster, 2, &page(&cursor_of(&second)));
    for (reply, at) in [(first, "1"), (second, "5"), (third, "9")] {
        let Reply::Array(parts) = reply else { panic!("{reply:?}") };
        assert_eq!(parts[1], rows(&["at"], &[&[at]]));
    }
}

#[test]
fn both_layouts_answer_alike_while_indexes_come_and_go() {
    for seed in 0..4 {
        let mut rng = Rng::new(seed);
        let mut cluster = cluster(2330 + seed);
        for layout in ["small", "large"] {
            let columns = "(p INT, a INT, b INT, v TEXT, PRIMARY KEY (p, a))";
            let text = format!("CREATE TABLE {layout} {columns} WITH (layout = '{layout}')");
            assert_eq!(define(&mut cluster, 0, &text), Reply::OK);
        }
        for step in 0..160 {
            let (host, a, b, low) = (rng.below(3) as usize, rng.below(40), rng.below(8), rng.below(40));
            let text = match rng.below(10) {
                0..=3 => format!("UPSERT INTO %t VALUES (1, {a}, {b}, 'v{step}')"),
                4 => format!("UPDATE %t SET b = {b} WHERE p = 1 AND b = {}", rng.below(8)),
                5 => format!("DELETE FROM %t WHERE p = 1 AND b = {b} AND a < {low}"),
                6 => {
                    let index = rng.below(2);
                    let what = match rng.coin() {
                        true => format!("CREATE INDEX IF NOT EXISTS %t{index} ON %t (b, v)"),
                        false => format!("DROP INDEX IF EXISTS %t{index}"),
                    };
                    for layout in ["small", "large"] {
                        assert_eq!(define(&mut cluster, host, &what.replace("%t", layout)), Reply::OK);
                    }
                    if rng.coin() {
                        settle(&mut cluster);
                    }
                    continue;
                }
                7 if step % 40 == 7 => {
                    cluster.restart_all();
                    continue;
                }
                _ => format!(
                    "SELECT count(*), sum(a), min(v), max(v) FROM %t WHERE p = 1 AND b >= {b} AND b < {}",
                    b + 3
                ),
            };
            let ask = |cluster: &mut Cluster| {
                ["small", "large"].map(|layout| sql(cluster, host, &text.replace("%t", layout)))
            };
            let [mut small, mut large] = ask(&mut cluster);
            if [&small, &large].iter().any(|reply| is_uncertain(reply)) {
                // Tables were changed while it was under way. Once more, and the second time has nothing to do at either.
                (_, [small, large]) = (ask(&mut cluster), ask(&mut cluster));
            }
            assert_eq!(small, large, "seed {seed}, step {step}, host {host}: {text}");
        }
        assert!(steps(&cluster) > 0, "something was filled");
    }
}
