//! Hosts that are away, answers that are lost, and what comes again.

use shard::command::{Catalog, Command, Keyspace, Op};
use shard::reply::Reply;

use super::{define, is_uncertain, newest, on_catalog, planned, rows, sql, statement, versions, CHAT};
use crate::keyspace::cluster::{Cluster, ACCEPTED, CATALOG};

#[test]
fn without_a_majority_a_change_is_uncertain_and_comes_late() {
    let mut cluster = Cluster::new(3, 1400);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    let table = "CREATE TABLE other (k INT PRIMARY KEY)";
    let reply = cluster.ask_command(0, on_catalog(Op::Define(statement(table, 0, true))));
    assert!(matches!(reply, Reply::Int(_)), "{reply:?}");
    let bytes = newest(&mut cluster, 0);
    // Nobody is told.
    cluster.loss = Box::new(|from, _, _| from == 0);
    let spread = Command::Keyspace(Keyspace::Spread(bytes.into()));
    let id = cluster.submit_command(0, spread, None, 300);
    assert!(is_uncertain(&cluster.wait(id)));
    // It was chosen: whoever asks knows of it.
    cluster.heal();
    assert_eq!(sql(&mut cluster, 1, "SELECT * FROM other WHERE k = 1"), rows(&["k"], &[]));
    assert_eq!(sql(&mut cluster, 2, "INSERT INTO other VALUES (1)"), Reply::Int(1));
}

#[test]
fn told_in_vain_it_is_told_again() {
    let mut cluster = Cluster::new(3, 1410);
    let mut said = 0;
    cluster.loss = Box::new(move |_, _, bytes| {
        said += usize::from(bytes[0] == CATALOG);
        bytes[0] == CATALOG && said % 3 != 0
    });
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 2, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[&["1"]]));
}

/// A statement whose entry was voted for before the catalog changed, and that is found when it is tried again: nobody knows whether it was
/// planned before the change or after it.
#[test]
fn found_after_a_change_it_is_uncertain() {
    let mut cluster = Cluster::new(3, 1420);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    let catalog = cluster.hosts[2].shard.catalog().clone();
    let command = planned(&catalog, "INSERT INTO chat VALUES ('a', 1, 'x')").expect("a plan");
    // The votes for it do not come back.
    cluster.loss = Box::new(|_, to, bytes| to == 2 && bytes[0] == ACCEPTED);
    let id = cluster.submit_command(2, command, None, 20_000);
    cluster.pass(20);
    assert_eq!(cluster.reply(id), None);
    assert_eq!(define(&mut cluster, 0, "CREATE TABLE other (k INT PRIMARY KEY)"), Reply::OK);
    cluster.heal();
    assert!(is_uncertain(&cluster.wait(id)));
    assert_eq!(cluster.hosts[2].shard.metrics().catalog_doubts, 1);
    // Whatever it was answered, it happened once.
    assert_eq!(sql(&mut cluster, 1, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[&["1"]]));
}

/// Chosen, and told to nobody before a flush: the next one stands on it, and has another version.
#[test]
fn no_two_catalogs_have_one_version() {
    let mut cluster = Cluster::new(3, 1460);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    let define_only = |cluster: &mut Cluster, host: usize, name: &str| {
        let text = format!("CREATE TABLE {name} (k INT PRIMARY KEY)");
        match cluster.ask_command(host, on_catalog(Op::Define(statement(&text, 0, true)))) {
            Reply::Int(version) => version,
            other => panic!("{other:?}"),
        }
    };
    let lost = define_only(&mut cluster, 0, "lost");
    assert_eq!(cluster.ask(2, &[b"FLUSHALL"]), Reply::OK);
    cluster.pass(2_000);
    let next = define_only(&mut cluster, 1, "next");
    assert!(next > lost, "{lost}, then {next}");
    let names: Vec<String> = Catalog::decode(&newest(&mut cluster, 2))
        .map(|catalog| catalog.tables().map(|table| table.name.clone()).collect())
        .expect("a catalog");
    assert_eq!(names, ["chat", "lost", "next"]);
}

/// A host that has heard nothing of a change proposes by what it knows, and hears of it from the votes: they are votes for what was planned by the
/// older catalog, and count for nothing.
#[test]
fn votes_that_bear_a_newer_catalog_do_not_count() {
    let mut cluster = Cluster::new(3, 1450);
    // Nobody else sweeps away what it is about to write on.
    cluster.hosts.iter_mut().for_each(|host| host.shard.set_routes(vec![2]));
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    assert_eq!(sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    cluster.pass(50);
    cluster.loss = Box::new(|_, to, _| to == 2);
    assert_eq!(define(&mut cluster, 0, "DROP TABLE chat"), Reply::OK);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let before = versions(&cluster)[2];
    assert!(before < versions(&cluster)[0]);
    // No other word gets through than votes, and the catalog.
    cluster.loss = Box::new(|_, to, bytes| to == 2 && ![ACCEPTED, CATALOG].contains(&bytes[0]));
    let catalog = cluster.hosts[2].shard.catalog().clone();
    let command = planned(&catalog, "INSERT INTO chat VALUES ('a', 2, 'y')").expect("a plan");
    let id = cluster.submit_command(2, command, None, 20_000);
    cluster.run_while(|cluster| cluster.hosts[2].shard.catalog().version() == before);
    cluster.heal();
    let told = cluster.wait(id);
    assert!(told == Reply::Int(1) || is_uncertain(&told), "{told:?}");
    let there = sql(&mut cluster, 0, "SELECT at FROM chat WHERE room = 'a'");
    let both = [rows(&["at"], &[&["2"]]), rows(&["at"], &[])];
    assert!(there == both[0] || is_uncertain(&told) && there == both[1], "{told:?}, and then {there:?}");
}

#[test]
fn who_comes_back_without_its_data_has_the_catalog_before_it_votes() {
    let mut cluster = Cluster::new(3, 1430);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    cluster.repair = true;
    cluster.lose_data(2, true);
    assert_eq!(versions(&cluster)[2], versions(&cluster)[0]);
    cluster.pass(3_000);
    assert_eq!(sql(&mut cluster, 2, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[&["1"]]));
}

#[test]
fn changes_at_the_same_time_are_all_there() {
    let mut cluster = Cluster::new(3, 1440);
    let text = |nth: usize| format!("CREATE TABLE t{nth} (k INT PRIMARY KEY)");
    let ids: Vec<u64> = (0..12)
        .map(|nth| {
            let command = on_catalog(Op::Define(statement(&text(nth), 0, true)));
            cluster.submit_command(nth % 3, command, None, 20_000)
        })
        .collect();
    let mut made: Vec<Reply> = ids.into_iter().map(|id| cluster.wait(id)).collect();
    made.sort_by_key(|reply| if let Reply::Int(version) = reply { *version } else { panic!("{reply:?}") });
    made.dedup();
    assert_eq!(made.len(), 12, "each has a version of its own");
    for nth in 0..12 {
        let text = format!("INSERT INTO t{nth} VALUES (1)");
        assert_eq!(sql(&mut cluster, (nth + 1) % 3, &text), Reply::Int(1));
    }
}
