//! Tables by SQL in the small layout: the catalog is one for all that begins after it was changed, and rows are values like others.

mod chosen;
mod deltas;
pub mod hashes;
mod messages;
mod plans;
mod rows;
pub mod scans;
mod trouble;

use shard::command::{Catalog, Command, KeyCommand, Keyspace, Op, Planned, Sql, CATALOG_KEY};
use shard::reply::Reply;
use sql::{Context, Plan, Statement};

use crate::keyspace::cluster::Cluster;

pub fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn is_uncertain(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"))
}

/// Names of columns and rows of texts and numbers, as clients get them.
pub fn rows(names: &[&str], rows: &[&[&str]]) -> Reply {
    let value = |text: &&str| match text.parse() {
        Ok(number) => Reply::Int(number),
        Err(_) if *text == "NULL" => Reply::Nil,
        Err(_) => bulk(text),
    };
    let names = Reply::Array(names.iter().map(|name| bulk(name)).collect());
    let lines = rows.iter().map(|row| Reply::Array(row.iter().map(value).collect()));
    Reply::Array(std::iter::once(names).chain(lines).collect())
}

pub fn statement(text: &str, catalog: u64, writes: bool) -> Box<Sql> {
    let (now_micros, random) = (1_700_000_000_000_000, [1, 2]);
    Box::new(Sql {
        text: text.as_bytes().into(),
        parameters: Vec::new(),
        now_micros,
        random,
        catalog,
        writes,
        share: None,
        planned: Planned::default(),
    })
}

fn on_catalog(op: Op) -> Command {
    Command::Key(KeyCommand { key: CATALOG_KEY.into(), op })
}

/// The catalog that whoever asks has to go by.
fn newest(cluster: &mut Cluster, host: usize) -> Vec<u8> {
    match cluster.ask_command(host, on_catalog(Op::Catalog)) {
        Reply::Bulk(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// What a session does with a change of the catalog.
pub fn define(cluster: &mut Cluster, host: usize, text: &str) -> Reply {
    let reply = cluster.ask_command(host, on_catalog(Op::Define(statement(text, 0, true))));
    let Reply::Int(_) = reply else { return reply };
    let bytes = newest(cluster, host);
    cluster.ask_command(host, Command::Keyspace(Keyspace::Spread(bytes.into())))
}

/// The command of a statement on rows, planned by a catalog; or why there is none.
pub fn planned(catalog: &Catalog, text: &str) -> Result<Command, sql::Error> {
    let parsed = Statement::parse(text.as_bytes())?;
    let context = Context { parameters: &[], now_micros: 1_700_000_000_000_000, random: [1, 2] };
    let Plan::Query(query) = Plan::new(catalog, &parsed, &context)? else { panic!("on rows: {text}") };
    let key = query.partition().expect("on one partition").routing.as_bytes().into();
    let mut sql = statement(text, catalog.version(), query.writes());
    sql.planned = Planned::new(query);
    Ok(Command::Key(KeyCommand { key, op: Op::Sql(sql) }))
}

/// What a session does with a statement on rows.
pub fn sql(cluster: &mut Cluster, host: usize, text: &str) -> Reply {
    let own = cluster.hosts[host].shard.catalog().clone();
    if let Ok(command) = planned(&own, text) {
        return cluster.ask_command(host, command);
    }
    let bytes = newest(cluster, host);
    cluster.with_turn(host, |shard, turn| shard.take_catalog(turn, &bytes));
    match planned(&Catalog::decode(&bytes).expect("a catalog"), text) {
        Ok(command) => cluster.ask_command(host, command),
        Err(error) => shard::command::sql_error(&error),
    }
}

fn versions(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.catalog().version()).collect()
}

const CHAT: &str = "CREATE TABLE chat (room TEXT, at BIGINT, who TEXT, PRIMARY KEY (room, at))";

#[test]
fn a_table_is_there_for_all_as_soon_as_it_is_answered() {
    for count in [1, 3, 5] {
        let mut cluster = Cluster::new(count, 1200 + u64::from(count));
        let error = sql(&mut cluster, 0, "SELECT * FROM chat WHERE room = 'a'");
        assert!(matches!(&error, Reply::Error(text) if text.starts_with("SQL 42P01 ")), "{error:?}");
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        for host in 0..usize::from(count) {
            let text = format!("INSERT INTO chat VALUES ('a', {host}, 'w{host}')");
            assert_eq!(sql(&mut cluster, host, &text), Reply::Int(1));
        }
        let wanted = [["0", "w0"], ["1", "w1"], ["2", "w2"], ["3", "w3"], ["4", "w4"]];
        let wanted: Vec<&[&str]> = wanted[..usize::from(count)].iter().map(|row| &row[..]).collect();
        let all = rows(&["at", "who"], &wanted);
        for host in (0..usize::from(count)).rev() {
            assert_eq!(sql(&mut cluster, host, "SELECT at, who FROM chat WHERE room = 'a'"), all);
        }
        cluster.restart_all();
        for host in 0..usize::from(count) {
            assert_eq!(sql(&mut cluster, host, "SELECT at, who FROM chat WHERE room = 'a'"), all);
        }
        let error = define(&mut cluster, 0, CHAT);
        assert!(matches!(&error, Reply::Error(text) if text.starts_with("SQL 42P07 ")), "{error:?}");
        let again = CHAT.replace("TABLE", "TABLE IF NOT EXISTS");
        assert_eq!(define(&mut cluster, 0, &again), Reply::OK);
    }
}

#[test]
fn a_table_made_anew_has_nothing_of_the_one_before() {
    let mut cluster = Cluster::new(3, 1210);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    cluster.pass(50);
    assert_eq!(sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    // One host hears nothing of it, and plans by what it has.
    cluster.cut_off(2);
    assert_eq!(define(&mut cluster, 0, "DROP TABLE chat"), Reply::OK);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(
        sql(&mut cluster, 1, "SELECT * FROM chat WHERE room = 'a'"),
        rows(&["room", "at", "who"], &[])
    );
    let before = versions(&cluster);
    cluster.heal();
    assert_eq!(cluster.hosts[2].shard.catalog().version(), before[2]);
    assert_eq!(sql(&mut cluster, 2, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[]));
    assert_eq!(sql(&mut cluster, 2, "INSERT INTO chat VALUES ('a', 2, 'y')"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 0, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[&["2"]]));
    let after = versions(&cluster);
    assert!(after[2] > before[2] && after.iter().all(|version| *version == after[0]), "{after:?}");
}

#[test]
fn a_statement_waits_for_the_catalog_that_it_was_planned_by() {
    let mut cluster = Cluster::new(3, 1220);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let catalog = cluster.hosts[0].shard.catalog().clone();
    let bytes = catalog.encode().expect("it is bounded");
    let mut other = Cluster::new(3, 1221);
    let command = planned(&catalog, "INSERT INTO chat VALUES ('a', 1, 'x')").expect("a plan");
    let late = other.submit_command(0, command.clone(), None, 50);
    let id = other.submit_command(0, command, None, 20_000);
    other.pass(100);
    assert!(matches!(other.reply(late), Some(Reply::Error(text)) if text.contains("nothing was written")));
    assert_eq!(other.reply(id), None);
    other.with_turn(0, |shard, turn| shard.take_catalog(turn, &bytes));
    assert_eq!(other.wait(id), Reply::Int(1));
    // Its peers have heard of it with the first question.
    assert!(versions(&other).iter().filter(|version| **version == catalog.version()).count() >= 2);
}

#[test]
fn a_flush_takes_rows_and_no_tables() {
    let mut cluster = Cluster::new(3, 1230);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    for host in 0..3 {
        assert_eq!(sql(&mut cluster, host, "SELECT at FROM chat WHERE room = 'a'"), rows(&["at"], &[]));
    }
    let before = versions(&cluster)[0];
    assert_eq!(define(&mut cluster, 2, "CREATE TABLE other (k INT PRIMARY KEY)"), Reply::OK);
    assert!(versions(&cluster).iter().filter(|version| **version > before).count() >= 2);
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO chat VALUES ('a', 2, 'x')"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO other VALUES (2)"), Reply::Int(1));
    // All forget but the log.
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    cluster.restart_all();
    assert_eq!(sql(&mut cluster, 0, "SELECT k FROM other WHERE k = 2"), rows(&["k"], &[]));
}

#[test]
fn the_catalogs_key_is_nobodys() {
    let mut cluster = Cluster::new(3, 1240);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let nothing = Reply::Array(vec![]);
    for host in 0..3 {
        assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(0));
        assert_eq!(cluster.ask(host, &[b"KEYS", b"*"]), nothing);
        assert_eq!(cluster.ask(host, &[b"RANDOMKEY"]), Reply::Nil);
        let page = cluster.ask(host, &[b"SCAN", b"0", b"COUNT", b"100000"]);
        assert_eq!(page, Reply::Array(vec![Reply::bulk("0"), nothing.clone()]));
    }
    let limits = shard::command::Limits::default();
    let commands: [&[&[u8]]; 5] = [
        &[b"GET", CATALOG_KEY],
        &[b"SET", CATALOG_KEY, b"x"],
        &[b"DEL", b"a", CATALOG_KEY],
        &[b"RENAME", CATALOG_KEY, b"b"],
        &[b"SORT", b"a", b"STORE", CATALOG_KEY],
    ];
    for command in commands {
        let error = Command::parse(command, &limits).expect_err("it is reserved");
        assert!(matches!(error, Reply::Error(text) if text.contains("reserved")));
    }
}
