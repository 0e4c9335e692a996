//! One replica and three hosts on this machine, started and stopped as people do.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::process::{free_ports, port, run, signal, Running};

fn with<'a>(base: &[&'a str], flags: &'a [String]) -> Vec<&'a str> {
    base.iter().copied().chain(flags.iter().map(String::as_str)).collect()
}

fn get(admin: &str, path: &str) -> u16 {
    let address: SocketAddr = admin.parse().expect("an address");
    synod::admin::http::get(address, path).expect("the admin port answers").0
}

#[test]
fn one_replica_starts_serves_and_stops() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = free_ports();
    let admin = format!("127.0.0.1:{}", port(&flags, "admin-port"));
    let start = with(&["start", "--dev", "--dir", "data", "--cores", "1"], &flags);
    let mut replica = Running::start(dir.path(), &start);
    let line = replica.await_line("is ready");
    assert!(line.contains(&format!("plain 127.0.0.1:{}", port(&flags, "plain-port"))), "{line}");
    assert!(line.contains("data data"), "{line}");
    assert_eq!([get(&admin, "/healthz"), get(&admin, "/readyz"), get(&admin, "/metrics")], [200; 3]);
    let status = run(dir.path(), &["status", "--admin", &admin]);
    assert!(status.code == Some(0) && status.out.contains("ready"), "{}{}", status.out, status.err);

    let second = run(dir.path(), &start);
    assert_eq!(second.code, Some(78));
    assert!(second.err.contains("is in use by another process (process "), "{}", second.err);

    let other = run(dir.path(), &with(&["start", "--dev", "--dir", "other", "--cores", "1"], &flags));
    assert_eq!(other.code, Some(78));
    for setting in ["plain_port", "client_port_base", "admin_port"] {
        assert!(other.err.contains(&format!("choose another {setting}")), "{}", other.err);
    }

    replica.signal("TERM");
    let (code, errors) = replica.finish();
    assert_eq!(code, Some(0), "{errors}");
    for line in errors.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
    }
    assert!(errors.contains("\"message\":\"stopped\""), "{errors}");

    let mut again = Running::start(dir.path(), &start);
    again.await_line("is ready");
    again.signal("INT");
    assert_eq!(again.finish().0, Some(0));
}

#[test]
fn a_taken_admin_port_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = free_ports();
    let _taken = TcpListener::bind(format!("127.0.0.1:{}", port(&flags, "admin-port"))).expect("free");
    let finished = run(dir.path(), &with(&["start", "--dev", "--cores", "1"], &flags));
    assert_eq!(finished.code, Some(78), "{}", finished.err);
    assert!(finished.err.contains("choose another admin_port"), "{}", finished.err);
}

#[test]
fn a_folder_that_lost_its_log_is_not_served_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = free_ports();
    let start = with(&["start", "--dev", "--dir", "data", "--cores", "1"], &flags);
    let mut replica = Running::start(dir.path(), &start);
    replica.await_line("is ready");
    replica.signal("TERM");
    assert_eq!(replica.finish().0, Some(0));
    let core = dir.path().join("data/core-0");
    std::fs::remove_dir_all(&core).expect("removed");
    std::fs::create_dir(&core).expect("made");
    let refused = run(dir.path(), &start);
    assert_eq!(refused.code, Some(78));
    assert!(refused.err.contains("core-0 is empty, though this host has served from it"), "{}", refused.err);
}

#[test]
fn three_hosts_start_lose_one_and_stop() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = free_ports();
    let start = with(&["cluster", "--dev", "--dir", "c"], &flags);
    let mut cluster = Running::start(dir.path(), &start);
    cluster.await_line("three hosts are ready");
    assert!(cluster
        .await_line("redis-cli")
        .contains(&format!("-h 127.0.0.1 -p {}", port(&flags, "plain-port"))));
    let described = described(dir.path());
    let config = described["configs"][1].as_str().expect("a path").to_owned();
    let status = run(dir.path(), &["status", "--config", &config]);
    assert_eq!(status.code, Some(0), "{}{}", status.out, status.err);
    assert_eq!(status.out.lines().filter(|line| line.contains(" ready ")).count(), 3, "{}", status.out);

    let killed = described["pids"][2].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process");
    signal(killed, "KILL");
    assert!(cluster.await_line("host 3 has ended").contains("synod serve --config"));
    let status = run(dir.path(), &["status", "--config", &config, "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    let up: Vec<Option<bool>> = (0..3).map(|row| rows[row]["up"].as_bool()).collect();
    assert_eq!((status.code, up), (Some(1), vec![Some(true), Some(true), Some(false)]));

    cluster.signal("INT");
    let (code, errors) = cluster.finish();
    assert_eq!(code, Some(0), "{errors}");
    let admin = format!("127.0.0.1:{}", port(&flags, "admin-port"));
    assert!(TcpListener::bind(admin).is_ok(), "the hosts are gone");
}

fn described(directory: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(directory.join("c/cluster.json")).expect("text");
    serde_json::from_str(&text).expect("JSON")
}
