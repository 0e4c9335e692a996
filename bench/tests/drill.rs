//! The kill drill, end to end: servers that are processes, really killed and restarted.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use synod_bench::drill::{self, Control, Plan};
use synod_bench::history::History;
use synod_bench::procs;

use crate::server;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("synod-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a drill against one server, whose writes survive in a log if `durable`.
fn kill_one(name: &str, durable: bool, kills: usize) -> (drill::report::Report, History) {
    let folder = folder(name);
    let addr = server::free_address();
    let log = durable.then(|| folder.join("log"));
    let mut first = server::spawn_child(addr, log.as_deref());
    let restart = format!("({}) >/dev/null 2>&1 &", server::child_command(addr, log.as_deref()));
    let plan = Plan {
        hosts: vec![addr],
        password: None,
        control: Control::Commands { kill: None, restart },
        seconds: Duration::from_millis(1_000) * kills as u32,
        clients: 3,
        keys: 20,
        kills,
        seed: 7,
        timeout: Duration::from_secs(5),
        progress: false,
    };
    let done = drill::run(&plan).unwrap();
    first.wait().unwrap();
    for process in procs::listening(&[addr]) {
        Command::new("sh").args(["-c", &format!("kill -KILL {}", process.pid)]).status().unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
    done
}

#[test]
fn a_durable_server_loses_nothing() {
    let (report, history) = kill_one("durable", true, 2);
    assert!(report.good, "{}", report.table());
    assert_eq!((report.lost, report.duplicated, report.violations, report.undecided), (0, 0, 0, 0));
    assert_eq!(report.kills.len(), 2);
    assert_ne!(report.kills[0].pids, report.kills[1].pids, "another process each time");
    assert!(report.acknowledged > 100 && report.clients.iter().all(|line| line.reconnects > 0));
    for (kill, line) in
        report.kills.iter().flat_map(|kill| report.clients.iter().map(move |line| (kill, line)))
    {
        let down_ms = (kill.restarted_at_s - kill.gone_at_s) * 1e3;
        assert!(line.longest_gap_ms >= down_ms, "nobody answered for {down_ms} ms: {line:?}");
    }
    assert!(report.table().ends_with("acknowledged writes lost: 0\n"));
    let read = History::from_text(&history.to_text()).unwrap();
    assert!(synod_bench::check::check(&read).is_linearizable());
}

#[test]
fn a_forgetful_server_is_found_out() {
    let (report, _) = kill_one("forgetful", false, 1);
    assert!(!report.good && report.lost > 0 && report.violations > 0, "{}", report.table());
    assert!(report.table().ends_with(&format!("acknowledged writes lost: {}\n", report.lost)));
}

#[test]
fn a_kill_that_does_not_happen_is_an_error() {
    let addr = server::free_address();
    let mut child = server::spawn_child(addr, None);
    let plan = Plan {
        hosts: vec![addr],
        password: None,
        control: Control::Commands { kill: Some("exit 3".to_owned()), restart: "true".to_owned() },
        seconds: Duration::from_millis(500),
        clients: 1,
        keys: 1,
        kills: 1,
        seed: 1,
        timeout: Duration::from_secs(5),
        progress: false,
    };
    let error = drill::run(&plan).unwrap_err().to_string();
    assert!(error.contains("the command to kill host 1 ended with exit status: 3"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
}
