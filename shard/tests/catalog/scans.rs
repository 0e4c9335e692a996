//! What a statement that reads all partitions asks cores for: the partitions of a table, and what each of them gives.

use std::collections::BTreeMap;

use shard::command::{Command, KeyCommand, Keyspace, Op};
use shard::reply::Reply;
use sql::{Context, End, Part, Plan, Query, Scan, Share, Statement};

use super::{define, sql, statement, CHAT};
use crate::keyspace::cluster::Cluster;

/// All partitions of a table, page by page, with the cursor that begins with each.
pub fn partitions(
    cluster: &mut Cluster,
    host: usize,
    table: &str,
    count: u64,
    from: u64,
) -> BTreeMap<String, u64> {
    let (mut cursor, mut found) = (from, BTreeMap::new());
    loop {
        let command = Keyspace::Partitions { cursor, table: table.as_bytes().into(), count };
        let reply = cluster.ask_command(host, Command::Keyspace(command));
        let Reply::Array(fields) = reply else { panic!("{reply:?}") };
        let [Reply::Bulk(next), Reply::Array(items)] = &fields[..] else { panic!("{fields:?}") };
        for item in items {
            let Reply::Array(pair) = item else { panic!("{item:?}") };
            let [Reply::Bulk(place), Reply::Bulk(name)] = &pair[..] else { panic!("{pair:?}") };
            let name = String::from_utf8(name.clone()).expect("a name");
            assert_eq!(found.insert(name, number(place)), None, "none twice");
        }
        cursor = number(next);
        if cursor == 0 {
            return found;
        }
    }
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).expect("digits").parse().expect("a number")
}

fn insert(cluster: &mut Cluster, host: usize, room: u32) {
    let text = format!("INSERT INTO chat VALUES ('r{room}', 1, 'x'), ('r{room}', 2, 'y')");
    assert_eq!(sql(cluster, host, &text), Reply::Int(2));
}

#[test]
fn the_partitions_of_a_table_are_found_and_nothing_else() {
    let mut cluster = Cluster::new(3, 1700);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(define(&mut cluster, 0, "CREATE TABLE chat2 (k TEXT PRIMARY KEY)"), Reply::OK);
    for number in 0..40 {
        insert(&mut cluster, number as usize % 3, number);
        let other = format!("INSERT INTO chat2 VALUES ('r{number}')");
        assert_eq!(sql(&mut cluster, 0, &other), Reply::Int(1));
        let key = format!("{{chat:s{number}}}");
        assert_eq!(cluster.ask(0, &[b"SET", key.as_bytes(), b"v"]), Reply::OK);
        assert_eq!(
            cluster.ask(0, &[b"HSET", format!("{{chat:r{number}}}:1").as_bytes(), b"f", b"v"]),
            Reply::Int(1)
        );
    }
    assert_eq!(sql(&mut cluster, 1, "DELETE FROM chat WHERE room = 'r7'"), Reply::Int(2));
    let want: Vec<String> =
        (0..40).filter(|room| *room != 7).map(|room| format!("{{chat:r{room}}}")).collect();
    let first = partitions(&mut cluster, 0, "chat", 1000, 0);
    let mut sorted = want.clone();
    sorted.sort();
    assert_eq!(first.keys().cloned().collect::<Vec<_>>(), sorted);
    for host in 0..3 {
        for count in [1, 7, 1000] {
            assert_eq!(
                partitions(&mut cluster, host, "chat", count, 0),
                first,
                "the same places, from {host}"
            );
        }
    }
    // From the place of each on there are that one and what comes behind it.
    let mut places: Vec<u64> = first.values().copied().collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), first.len(), "each has its own");
    for (place, at) in places.iter().enumerate() {
        let behind = partitions(&mut cluster, 2, "chat", 9, *at);
        assert!(behind.values().all(|other| other >= at) && behind.len() == places.len() - place);
    }
    assert_eq!(partitions(&mut cluster, 1, "cha", 1000, 0).len(), 0);
    assert_eq!(partitions(&mut cluster, 1, "nothing", 1000, 0).len(), 0);
}

#[test]
fn partitions_that_a_host_has_missed_are_found_there() {
    let mut cluster = Cluster::new(3, 1710);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    (0..20).for_each(|room| insert(&mut cluster, 0, room));
    cluster.cut_off(2);
    (20..40).for_each(|room| insert(&mut cluster, 0, room));
    assert_eq!(sql(&mut cluster, 0, "DELETE FROM chat WHERE room = 'r3'"), Reply::Int(2));
    cluster.heal();
    assert_eq!(partitions(&mut cluster, 2, "chat", 10, 0).len(), 39);
    // Without a majority nobody says anything.
    cluster.cut_off(1);
    let command = Keyspace::Partitions { cursor: 0, table: (*b"chat").into(), count: 10 };
    let reply = cluster.ask_command(1, Command::Keyspace(command));
    assert!(reply.is_error(), "{reply:?}");
}

fn query(cluster: &Cluster, text: &str) -> Query {
    let statement = Statement::parse(text.as_bytes()).expect("a statement");
    let context = Context { parameters: &[], now_micros: 1_700_000_000_000_000, random: [1, 2] };
    match Plan::new(cluster.hosts[0].shard.catalog(), &statement, &context).expect("a plan") {
        Plan::Query(query) => *query,
        Plan::Answer(answer) => panic!("{answer:?}"),
    }
}

fn part(cluster: &Cluster, text: &str, key: &str, share: Option<Share>) -> Command {
    let mut sql = statement(text, cluster.hosts[0].shard.catalog().version(), false);
    sql.share = share.map(Box::new);
    Command::Key(KeyCommand { key: key.as_bytes().into(), op: Op::Sql(sql) })
}

/// What a session does with such a statement.
pub fn scan(cluster: &mut Cluster, host: usize, text: &str) -> Reply {
    let mut scan = Scan::new(query(cluster, text)).expect("it reads all partitions");
    for name in partitions(cluster, host, "chat", 10, 0).into_keys() {
        let command = part(cluster, text, &name, scan.share(name.as_bytes()));
        let Reply::Bulk(bytes) = cluster.ask_command(host, command) else { panic!("{name}") };
        scan.take(Part::decode(&bytes).expect("a part")).expect("it fits");
    }
    shard::command::sql_reply(scan.finish(End::Last).expect("an answer"))
}

#[test]
fn each_partition_gives_its_part() {
    let mut cluster = Cluster::new(3, 1720);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    (0..15).for_each(|room| insert(&mut cluster, room as usize % 3, room));
    let want = super::rows(&["count", "max", "min"], &[&["30", "y", "1"]]);
    for host in 0..3 {
        let text = "SELECT count(*), max(who), min(at) FROM chat ALLOW SCAN";
        assert_eq!(scan(&mut cluster, host, text), want);
    }
    // An index that came later is filled for each part that reads by it.
    assert_eq!(define(&mut cluster, 0, "CREATE INDEX by_who ON chat (who)"), Reply::OK);
    let Reply::Array(rows) = scan(&mut cluster, 2, "SELECT room FROM chat WHERE who = 'y' ALLOW SCAN") else {
        panic!("rows")
    };
    assert_eq!(rows.len(), 16);
}

#[test]
fn a_part_is_of_the_table_that_the_statement_was_planned_for() {
    let mut cluster = Cluster::new(3, 1730);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    insert(&mut cluster, 0, 1);
    let text = "SELECT at FROM chat ALLOW SCAN";
    let share = Scan::new(query(&cluster, text)).expect("it reads all").share(b"{chat:r1}").expect("a share");
    let is_changed = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("TRYAGAIN"));
    let mut wrong = vec![
        part(&cluster, text, "{chat:r1}", Some(Share { version: share.version + 1, ..share.clone() })),
        part(&cluster, text, "{chat:r1}", Some(Share { table: share.table + 1, ..share.clone() })),
        part(&cluster, text, "{chat:%41}", Some(share.clone())),
        part(&cluster, text, "{other:r1}", Some(share.clone())),
        part(&cluster, "SELECT at FROM chat WHERE room = 'r1'", "{chat:r1}", Some(share.clone())),
        part(&cluster, "SELECT at FROM nothing ALLOW SCAN", "{chat:r1}", Some(share.clone())),
        part(&cluster, "DELETE FROM chat WHERE room = 'r1'", "{chat:r1}", Some(share.clone())),
        part(&cluster, "SHOW TABLES", "{chat:r1}", Some(share.clone())),
        part(&cluster, text, "{chat:r1}", None),
    ];
    for command in wrong.drain(..) {
        let reply = cluster.ask_command(1, command.clone());
        assert!(is_changed(&reply), "{command:?}: {reply:?}");
    }
    // No rows: what is there is something else, or nothing.
    assert_eq!(cluster.ask(0, &[b"SET", b"{chat:r2}", b"v"]), Reply::OK);
    for key in ["{chat:r2}", "{chat:r3}"] {
        let reply = cluster.ask_command(1, part(&cluster, text, key, Some(share.clone())));
        let Reply::Bulk(bytes) = reply else { panic!("{reply:?}") };
        let mut scan = Scan::new(query(&cluster, text)).expect("it reads all");
        scan.take(Part::decode(&bytes).expect("a part")).expect("nothing");
        let Reply::Array(lines) = shard::command::sql_reply(scan.finish(End::Last).expect("an answer"))
        else {
            panic!("rows")
        };
        assert_eq!(lines.len(), 1);
    }
    assert_eq!(define(&mut cluster, 0, "DROP TABLE chat"), Reply::OK);
    let late = part(&cluster, text, "{chat:r1}", Some(share));
    assert!(is_changed(&cluster.ask_command(2, late)));
}

#[test]
fn shares_travel_between_hosts() {
    let cluster = Cluster::new(1, 1740);
    for (rows_max, behind) in
        [(None, None), (Some(0), Some(vec![1, 2])), (Some(u64::MAX), Some(vec![0; 300]))]
    {
        let share = Share { table: u32::MAX, version: 1 << 59, rows_max, behind };
        let command = part(&cluster, "SELECT 1", "{t:1}", Some(share));
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        assert_eq!(Command::decode(&bytes).expect("what was encoded"), command);
        assert!(command.is_read());
        (0..bytes.len()).for_each(|cut| assert!(Command::decode(&bytes[..cut]).is_err(), "cut at {cut}"));
    }
}
