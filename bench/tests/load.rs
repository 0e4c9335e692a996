//! Load, end to end against servers in the test.

use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use synod_bench::error::BenchError;
use synod_bench::load::commands::Command;
use synod_bench::load::confirm::Confirm;
use synod_bench::load::keys::Distribution;
use synod_bench::load::report::Report;
use synod_bench::load::{self, Plan};

use crate::server::{Behaviour, Server};

fn plan(servers: &[&Server]) -> Plan {
    Plan {
        hosts: servers.iter().map(|server| server.addr).collect(),
        cluster: false,
        connections: 4,
        pipeline: 3,
        read: Command::GET,
        write: Command::SET,
        mix: (1, 1),
        keys: 200,
        members: 1,
        distribution: Distribution::Uniform,
        key_prefix: "key:".to_owned(),
        value_bytes: 10,
        preload: false,
        seconds: Duration::from_millis(300),
        warmup: Duration::ZERO,
        threads: 1,
        confirm: None,
        rate: None,
        password: None,
        seed: 1,
        timeout: Duration::from_secs(10),
        pids: Vec::new(),
        progress: false,
    }
}

fn run(plan: &Plan) -> Report {
    load::run(plan).unwrap()
}

#[test]
fn a_closed_loop_counts_what_the_server_did() {
    let server = Server::start(Behaviour { password: Some("secret"), ..Behaviour::default() });
    let password = Some("secret".to_owned());
    let warmup = Duration::from_millis(50);
    let report = run(&Plan { preload: true, password, warmup, threads: 2, ..plan(&[&server]) });
    assert_eq!((report.errors, report.misses, report.redirects, report.disconnects), (0, 0, 0, 0));
    assert_eq!(report.preload.as_ref().unwrap().keys, 200);
    assert_eq!(server.keys().len(), 200);
    assert_eq!(server.keys()[7], b"key:000000000007");
    assert!(report.reads.operations > 0 && report.writes.operations > 0);
    assert_eq!(report.all.operations, report.reads.operations + report.writes.operations);
    assert!(report.all.operations + 200 <= server.commands(), "no more is counted than was done");
    assert!(report.all.p50_us > 0.0 && report.all.p50_us <= report.all.p99_us);
    let cpu = report.servers.as_ref().expect("the server is this very process");
    assert_eq!(cpu.pids, [std::process::id()]);
}

#[test]
fn reports_are_written_as_table_json_and_hdr() {
    let server = Server::start(Behaviour::default());
    let report = run(&Plan { mix: (1, 0), seconds: Duration::from_millis(1_200), ..plan(&[&server]) });
    assert_eq!(report.misses, report.reads.operations, "nothing was ever set");
    assert!(report.table().contains("\nget ") && !report.table().contains("\nset "));
    let folder = std::env::temp_dir().join(format!("synod-bench-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (json, hdr) = (folder.join("a.json"), folder.join("a.hdr"));
    report.write_json(&json).unwrap();
    report.write_hdr(&hdr).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(read["all"]["operations"], report.all.operations);
    assert_eq!(read["loop_kind"], "closed");
    let log = std::fs::read(&hdr).unwrap();
    let mut deserializer = hdrhistogram::serialization::Deserializer::new();
    let mut total = 0;
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            assert_eq!(interval.tag().unwrap().as_str(), "get");
            total += deserialize(&mut deserializer, interval.encoded_histogram());
        }
    }
    assert_eq!(total, report.reads.operations);
    assert_eq!(report.ops_by_second.len(), 2, "one interval per second begun");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn deserialize(deserializer: &mut hdrhistogram::serialization::Deserializer, encoded: &str) -> u64 {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    deserializer.deserialize::<u64, _>(&mut bytes.as_slice()).unwrap().len()
}

#[test]
fn an_open_loop_counts_the_wait_of_what_a_stall_held_up() {
    let stall = (100, Duration::from_millis(200));
    let server = Server::start(Behaviour { stall: Some(stall), ..Behaviour::default() });
    // One connection, one in flight: what is due during the stall cannot even be sent, and waits all the
    // same.
    let open = Plan {
        connections: 1,
        pipeline: 1,
        rate: Some(1_000.0),
        seconds: Duration::from_millis(1_000),
        ..plan(&[&server])
    };
    let report = run(&open);
    let due = report.all.operations + report.unanswered;
    assert_eq!(due, 1_000, "operations that were due");
    // 200 were due during the stall; half of them waited at least 100 ms. A closed loop would have seen one.
    assert!(report.all.p99_us >= 100_000.0, "{}", report.table());
    assert!(report.all.max_us >= 199_000.0, "{}", report.table());
    let closed = Plan { rate: None, ..open };
    let server = Server::start(Behaviour { stall: Some(stall), ..Behaviour::default() });
    let closed = run(&Plan { hosts: vec![server.addr], ..closed });
    assert!(closed.all.max_us >= 199_000.0 && closed.all.p99_us < 100_000.0, "{}", closed.table());
}

#[test]
fn writes_count_when_enough_copies_confirm_them() {
    let server = Server::start(Behaviour::default());
    let confirm = |text| Some(Confirm::parse(text).unwrap());
    let report = run(&Plan { confirm: confirm("WAIT 1 1000"), ..plan(&[&server]) });
    assert!(
        report.reads.operations > 0 && report.writes.operations > 0 && report.errors == 0,
        "{}",
        report.table()
    );
    let confirmations = server.commands() - report.all.operations;
    assert!(confirmations > 0, "each batch with a write is confirmed");
    let report = run(&Plan { confirm: confirm("WAIT 2 1000"), ..plan(&[&server]) });
    assert!(report.reads.operations > 0 && report.writes.operations == 0, "{}", report.table());
    assert_eq!(report.errors_by_kind.keys().collect::<Vec<_>>(), ["not confirmed"]);
}

#[test]
fn an_overloaded_open_loop_tells_what_it_could_not_do() {
    let server =
        Server::start(Behaviour { stall: Some((50, Duration::from_secs(3))), ..Behaviour::default() });
    let report = run(&Plan { rate: Some(1_000.0), seconds: Duration::from_millis(500), ..plan(&[&server]) });
    assert!(report.all.operations <= 49, "nothing is answered after the stall began");
    assert_eq!(report.all.operations + report.unanswered, 500, "operations that were due");
    assert!(report.all.p50_us > 200_000.0);
}

#[test]
fn cluster_mode_routes_by_slot() {
    let map = |a, b| vec![(0, 8_191, a), (8_192, 16_383, b)];
    let (a, b) = Server::pair(|a, b| {
        let at_a = Behaviour { map: map(a, b), moved: Some((8_192, 16_383, b)), ..Behaviour::default() };
        let at_b = Behaviour { map: map(a, b), moved: Some((0, 8_191, a)), ..Behaviour::default() };
        (at_a, at_b)
    });
    let report = run(&Plan { cluster: true, preload: true, ..plan(&[&a]) });
    assert_eq!((report.errors, report.misses, report.redirects), (0, 0, 0));
    assert_eq!(a.keys().len() + b.keys().len(), 200);
    assert!(a.commands() > 200 && b.commands() > 200);
}

#[test]
fn any_command_is_sent_as_its_line_says() {
    let server = Server::start(Behaviour::default());
    let write = Command::write("SET a__rand_int__b__member__ '__data__ c'").unwrap();
    let read = Command::read("GET a__rand_int__b__member__").unwrap();
    let some = Plan { write, read, keys: 10, members: 3, preload: true, ..plan(&[&server]) };
    let report = run(&some);
    assert_eq!((report.errors, report.misses, report.preload.as_ref().unwrap().keys), (0, 0, 30));
    assert_eq!(server.keys().len(), 30);
    assert_eq!(server.keys()[4], b"a000000000001b000000000001");
    assert!(report.table().contains("\nget-read ") && report.table().contains("\nset-write "));
    assert!(report.what.ends_with(
        "get-read: GET a__rand_int__b__member__, set-write: SET a__rand_int__b__member__ '__data__ c'"
    ));
}

#[test]
fn cluster_mode_follows_moved_where_the_map_is_wrong() {
    let (a, b) = Server::pair(|a, b| {
        let at_a =
            Behaviour { map: vec![(0, 16_383, a)], moved: Some((8_192, 16_383, b)), ..Behaviour::default() };
        (at_a, Behaviour::default())
    });
    let report = run(&Plan { cluster: true, preload: true, ..plan(&[&a]) });
    assert_eq!((report.errors, report.misses), (0, 0));
    assert!(report.redirects > 0, "the first operation of each slot of the second half was moved");
    assert!(!b.keys().is_empty() && a.keys().len() + b.keys().len() == 200);
    let plain = run(&plan(&[&a]));
    assert!(plain.errors_by_kind["MOVED"] > 0 && plain.redirects == 0, "plain mode follows nothing");
}

#[test]
fn an_endless_chain_of_redirects_ends() {
    let (a, _b) = Server::pair(|a, b| {
        let to = |node, map| Behaviour { moved: Some((0, 16_383, node)), map, ..Behaviour::default() };
        (to(b, vec![(0, 16_383, a)]), to(a, Vec::new()))
    });
    let report = run(&Plan { cluster: true, ..plan(&[&a]) });
    assert_eq!(report.all.operations, 0);
    assert!(report.errors_by_kind["MOVED"] > 0);
}

#[test]
fn what_servers_do_wrong_is_counted() {
    let table: [(Behaviour, &str); 3] = [
        (Behaviour { always: Some(b"-OOM not now\r\n"), ..Behaviour::default() }, "OOM"),
        (Behaviour { always: Some(b"what?\r\n"), ..Behaviour::default() }, "malformed reply"),
        (Behaviour { always: Some(b""), ..Behaviour::default() }, "timeout"),
    ];
    for (behaviour, kind) in table {
        let server = Server::start(behaviour);
        let report = run(&Plan { timeout: Duration::from_millis(100), ..plan(&[&server]) });
        assert!(report.errors_by_kind.get(kind).is_some_and(|&count| count > 0), "{}", report.table());
        assert_eq!(report.all.operations, 0, "{kind}");
        assert!(report.servers.is_none());
    }
}

#[test]
fn lost_connections_are_made_again() {
    let server = Server::start(Behaviour { close_after: Some(10), ..Behaviour::default() });
    let report = run(&plan(&[&server]));
    assert!(report.disconnects > 4 && report.errors_by_kind["connection lost"] > 4, "{}", report.table());
    assert!(report.all.operations > 40, "ten on each of several connections: {}", report.table());
}

#[test]
fn a_host_that_is_down_is_left_out() {
    let server = Server::start(Behaviour::default());
    let down = crate::server::free_address();
    let report = run(&Plan { hosts: vec![down, server.addr], ..plan(&[&server]) });
    assert_eq!(report.errors, 0, "what was never sent went elsewhere");
    assert!(report.all.operations > 0);
}

#[test]
fn what_cannot_work_is_refused() {
    let server = Server::start(Behaviour { password: Some("secret"), ..Behaviour::default() });
    let good = plan(&[&server]);
    let wrong = Plan { password: Some("wrong".to_owned()), ..good.clone() };
    assert!(load::run(&wrong).is_err_and(|error| error.to_string().contains("WRONGPASS")));
    let no_map = Plan { cluster: true, ..good.clone() };
    assert!(load::run(&no_map).is_err_and(|error| error.to_string().contains("NOAUTH")));
    let odd = [
        (Plan { hosts: Vec::new(), ..good.clone() }, "--hosts"),
        (Plan { threads: 5, ..good.clone() }, "--connections"),
        (Plan { pipeline: 0, ..good.clone() }, "--pipeline"),
        (Plan { mix: (0, 0), ..good.clone() }, "--mix"),
        (Plan { keys: 0, ..good.clone() }, "--keys"),
        (Plan { value_bytes: usize::MAX, ..good.clone() }, "--value-bytes"),
        (Plan { rate: Some(0.0), ..good.clone() }, "--rate"),
        (Plan { seconds: Duration::ZERO, ..good.clone() }, "--seconds"),
        (Plan { distribution: Distribution::Zipf { exponent: f64::NAN }, ..good }, "--zipf"),
    ];
    for (plan, option) in odd {
        let error = load::run(&plan).unwrap_err();
        assert!(
            matches!(&error, BenchError::Usage(text) if text.starts_with(option)),
            "{error} for {option}"
        );
    }
}
