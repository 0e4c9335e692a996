//! A member that was away for long: the entries that it lacks are gone from the logs of the others, and it takes over rows.

use shard::metrics::Metrics;
use shard::reply::Reply;

use super::CHAT;
use crate::catalog::{define, planned, sql};
use crate::keyspace::cluster::Cluster;
use crate::tree::Rows;

const AWAY: usize = 2;

/// Hosts that keep no entries which their trees have.
fn cluster(seed: u64) -> Cluster {
    Cluster::with(3, seed, |config| config.entries_kept_bytes = 0)
}

fn metrics(cluster: &Cluster, host: usize) -> Metrics {
    *cluster.hosts[host].shard.metrics()
}

/// What a host has of a room: all rows are read for it.
fn count(cluster: &mut Cluster, host: usize, room: &str) -> Reply {
    sql(cluster, host, &counting(room))
}

fn counting(room: &str) -> String {
    format!("SELECT COUNT(*), MIN(at), MAX(at), SUM(at), MIN(who), MAX(who) FROM chat WHERE room = '{room}'")
}

/// The same, for whoever does not wait for the reply.
fn ask_count(cluster: &mut Cluster, host: usize, room: &str) -> u64 {
    let catalog = cluster.hosts[host].shard.catalog().clone();
    let command = planned(&catalog, &counting(room)).expect("a plan");
    cluster.submit_command(host, command, None, 10_000)
}

/// Writes so many rows of so many bytes, some at a time.
fn fill(cluster: &mut Cluster, room: &str, (rows, bytes): (usize, usize)) {
    let places: Vec<usize> = (0..rows).collect();
    for some in places.chunks(20) {
        let row = |at: &usize| format!("('{room}', {at}, '{at:0bytes$}')");
        let values: Vec<String> = some.iter().map(row).collect();
        let text = format!("INSERT INTO chat VALUES {}", values.join(", "));
        assert_eq!(sql(cluster, some[0] / 20 % 2, &text), Reply::Int(some.len() as i64));
    }
}

/// Rows that a member was away for, while the others have let their entries go. Now it is back.
fn gone(cluster: &mut Cluster, rooms: &[(&str, (usize, usize))]) {
    assert_eq!(define(cluster, 0, CHAT), Reply::OK);
    for (room, _) in rooms {
        let text = format!("INSERT INTO chat VALUES ('{room}', 100000, 'x')");
        assert_eq!(sql(cluster, AWAY, &text), Reply::Int(1));
    }
    cluster.cut_off(AWAY);
    for (room, size) in rooms {
        // What goes from a group goes from the tree of who was away.
        let text = format!("DELETE FROM chat WHERE room = '{room}' AND at = 100000");
        assert_eq!(sql(cluster, 1, &text), Reply::Int(1));
        fill(cluster, room, *size);
    }
    // What was applied when a flush began is known to be on disk when the next one has ended.
    for at in 0..3 {
        let text = format!("INSERT INTO chat VALUES ('other', {at}, 'x')");
        assert_eq!(sql(cluster, 0, &text), Reply::Int(1));
        for host in 0..2 {
            count(cluster, host, "other");
            cluster.flush_tree(host);
        }
        cluster.pass(500);
    }
    for host in 0..2 {
        let Metrics { entries_applied, entries_trimmed, .. } = metrics(cluster, host);
        // Of each room but the other one all, and of that one what came before the last flush but one.
        assert!(entries_trimmed + 3 >= entries_applied, "{entries_trimmed} of {entries_applied}");
        // Those that it had in memory are gone, too.
        cluster.restart_unlinked(host, |_| {});
    }
    cluster.heal();
}

/// Rows and bytes of a row: of one page, and of several.
const SIZES: [(usize, usize); 3] = [(40, 10), (600, 4_000), (6_000, 10)];

#[test]
fn rows_are_taken_over_where_entries_are_gone() {
    for (seed, size) in (2400..).zip(SIZES) {
        let mut cluster = cluster(seed);
        gone(&mut cluster, &[("a", size)]);
        let wanted = count(&mut cluster, 0, "a");
        // Nobody else can be asked.
        cluster.cut_off(1);
        assert_eq!(count(&mut cluster, AWAY, "a"), wanted, "{size:?}");
        let taken = metrics(&cluster, AWAY);
        assert_eq!(taken.rows_taken as usize, size.0 + 1, "with the name: {taken:?}");
        assert_eq!(taken.row_pages_taken > 1, size != SIZES[0], "{taken:?}");
        // What was taken over is extended, and there after a crash.
        assert_eq!(sql(&mut cluster, AWAY, "INSERT INTO chat VALUES ('a', 200000, 'x')"), Reply::Int(1));
        let wanted = count(&mut cluster, 0, "a");
        cluster.restart_after(AWAY, |_| {});
        assert_eq!(count(&mut cluster, AWAY, "a"), wanted, "{size:?}");
    }
}

/// Whoever takes over rows begins anew, whether it or who gave them dies.
#[test]
fn a_death_in_the_middle_changes_nothing() {
    for (seed, dies) in (2420..).zip([AWAY, 0, AWAY, 0]) {
        let mut cluster = cluster(seed);
        gone(&mut cluster, &[("a", SIZES[1])]);
        let wanted = count(&mut cluster, 1, "a");
        let asked = ask_count(&mut cluster, AWAY, "a");
        cluster.run_while(|cluster| metrics(cluster, AWAY).row_pages_taken < 1 + seed % 2);
        cluster.restart_after(dies, |_| {});
        cluster.pass(4_000);
        if dies != AWAY {
            assert_eq!(cluster.reply(asked), Some(wanted.clone()), "who asked is answered");
        }
        assert_eq!(count(&mut cluster, AWAY, "a"), wanted, "{dies} died");
        assert!(metrics(&cluster, AWAY).rows_taken > 0);
    }
}

/// While rows are taken over, the group goes on at the others; what comes meanwhile follows by entries, or by rows once more.
#[test]
fn the_group_goes_on_meanwhile() {
    let mut cluster = cluster(2440);
    gone(&mut cluster, &[("a", SIZES[1]), ("b", SIZES[1]), ("c", SIZES[0])]);
    let asked = ["a", "b", "c"].map(|room| ask_count(&mut cluster, AWAY, room));
    for at in 0..50 {
        let text = format!("INSERT INTO chat VALUES ('{}', {}, 'y')", ["a", "b"][at % 2], 300_000 + at);
        assert_eq!(sql(&mut cluster, at % 2, &text), Reply::Int(1));
    }
    cluster.pass(5_000);
    for id in asked {
        let reply = cluster.reply(id);
        assert!(matches!(reply, Some(Reply::Array(_))), "{reply:?}");
    }
    for room in ["a", "b", "c"] {
        let wanted = count(&mut cluster, 1, room);
        assert_eq!(count(&mut cluster, AWAY, room), wanted);
    }
}

/// With room for them entries stay, and nobody takes over rows.
#[test]
fn entries_stay_for_who_was_away_shortly() {
    let mut cluster = Cluster::new(3, 2450);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.cut_off(AWAY);
    fill(&mut cluster, "a", (400, 100));
    (0..2).for_each(|host| cluster.flush_tree(host));
    let wanted = count(&mut cluster, 0, "a");
    cluster.heal();
    assert_eq!(count(&mut cluster, AWAY, "a"), wanted);
    let Metrics { rows_taken, entries_learned, .. } = metrics(&cluster, AWAY);
    assert!(rows_taken == 0 && entries_learned > 10, "{rows_taken} rows, {entries_learned} entries");
}
