//! Commands that end by themselves: what they print, what they refuse, and with which exit code.

use super::process::{run, synod};

#[test]
fn wrong_usage_ends_with_64_and_says_what_is_right() {
    let dir = tempfile::tempdir().expect("a folder");
    let table: [(&[&str], &str); 6] = [
        (&["serve", "--plain-prot", "1"], "--plain-port"),
        (&["sreve"], "serve"),
        (&[], "Usage"),
        (&["start"], "`synod start` needs --dev"),
        (&["inspect"], "<FILE>"),
        (&["init", "--cluster-id", "xyz"], "--cluster-id: expected 32 hexadecimal digits, not \"xyz\""),
    ];
    for (arguments, expected) in table {
        let finished = run(dir.path(), arguments);
        assert_eq!(finished.code, Some(64), "{arguments:?}: {}", finished.err);
        assert!(finished.err.contains(expected), "{arguments:?}: {}", finished.err);
    }
    for arguments in [["--version"], ["--help"]] {
        let finished = run(dir.path(), &arguments);
        assert!(finished.code == Some(0) && finished.out.contains("synod"), "{}", finished.err);
    }
}

#[test]
fn print_config_shows_each_value_with_its_origin() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(
        dir.path().join("s.toml"),
        "plain_port = 1001\ncache_bytes = \"1 MiB\"\nadmin_port = 1002\n",
    )
    .expect("written");
    let mut command = synod(dir.path());
    command.args(["serve", "--config", "s.toml", "--print-config", "--admin-port", "1003"]);
    let output =
        command.env("SYNOD_CACHE_BYTES", "2 MiB").env("SYNOD_REQUIREPASS", "hunter2").output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<String> =
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "plain_port = 1001 # s.toml:1",
        "cache_bytes = \"2 MiB\" # env SYNOD_CACHE_BYTES",
        "admin_port = 1003 # flag --admin-port",
        "peer_port_base = 7500 # default",
        "# requirepass = (hidden) # env SYNOD_REQUIREPASS",
    ] {
        assert!(lines.iter().any(|line| line == expected), "no {expected:?} in\n{text}");
    }
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_configuration_that_is_wrong_ends_with_78_and_a_line_per_problem() {
    let dir = tempfile::tempdir().expect("a folder");
    let content = "plain_prot = 1\nlog_levle = \"info\"\n";
    std::fs::write(dir.path().join("s.toml"), content).expect("written");
    let finished = run(dir.path(), &["serve", "-c", "s.toml"]);
    assert_eq!(finished.code, Some(78));
    let lines: Vec<&str> = finished.err.lines().collect();
    let expected = [
        "synod: s.toml:1: there is no setting `plain_prot`; did you mean `plain_port`?",
        "synod: s.toml:2: there is no setting `log_levle`; did you mean `log_level`?",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn init_founds_and_joins_a_cluster() {
    let dir = tempfile::tempdir().expect("a folder");
    let hosts = "--host=1=127.0.0.1,2=127.0.0.2,3=127.0.0.3";
    let base = ["init", hosts, "--cores", "2", "--cluster-secret-file", "secret"];
    let with = |more: &[&str]| run(dir.path(), &[&base, more].concat());
    let refused = with(&["--data-dir", "one"]);
    assert_eq!(refused.code, Some(64));
    assert!(refused.err.contains("give --new-cluster on the first of them"), "{}", refused.err);
    let founded = with(&["--data-dir", "one", "--new-cluster"]);
    assert_eq!(founded.code, Some(0), "{}", founded.err);
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let cluster = value(&founded.out, "cluster_id");
    assert_eq!((value(&founded.out, "cores").as_str(), value(&founded.out, "host_id").as_str()), ("2", "1"));
    assert!(founded.out.contains(&format!("--cluster-id {cluster}")), "{}", founded.out);
    assert!(dir.path().join("secret").exists());
    let joined = with(&["--data-dir", "two", "--host-id", "2", "--cluster-id", &cluster]);
    assert_eq!((joined.code, value(&joined.out, "cluster_id")), (Some(0), cluster.clone()), "{}", joined.err);
    assert_ne!(value(&joined.out, "directory_id"), value(&founded.out, "directory_id"));
    let again = with(&["--data-dir", "two", "--host-id", "2", "--cluster-id", &cluster]);
    assert!(again.code == Some(78) && again.err.contains("is initialised already: host 2"), "{}", again.err);
    let inspected = run(dir.path(), &["inspect", "two"]);
    assert!(inspected.code == Some(0) && inspected.out.contains(&cluster), "{}", inspected.err);
    let unknown =
        run(dir.path(), &["recover", "--data-dir", "two", "--host-id=2", hosts, "--lost-host", "1"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("host 1 has never been met here"),
        "{}",
        unknown.err
    );
}

#[test]
fn serve_refuses_what_is_not_this_hosts() {
    let dir = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], expected: &str| {
        let finished = run(dir.path(), arguments);
        assert_eq!(finished.code, Some(78), "{arguments:?}: {}", finished.err);
        assert!(finished.err.contains(expected), "{arguments:?}: {}", finished.err);
    };
    refused(&["serve"], "run `synod init` first (the directory does not exist)");
    std::fs::create_dir(dir.path().join("synod-data")).expect("made");
    refused(
        &["serve"],
        "the directory is empty; if this host has served before, its disk is not mounted or is lost",
    );
    assert_eq!(run(dir.path(), &["init", "--cores", "2"]).code, Some(0));
    refused(&["serve", "--host-id", "7"], "belongs to host 1, but this host is configured as 7");
    refused(&["serve", "--cores", "3"], "was initialised with 2; remove the setting or set it to 2");
    refused(
        &["serve", "--host", "1=127.0.0.1,2=127.0.0.2,3=127.0.0.3"],
        "several hosts need a shared secret",
    );
    let identity = dir.path().join("synod-data/identity.toml");
    let text = std::fs::read_to_string(&identity).expect("text");
    std::fs::write(&identity, text.replace("slices = 2", "slices = 1")).expect("written");
    refused(&["serve"], "identity.toml is damaged");
    refused(&["inspect", "synod-data"], "identity.toml is damaged");
    std::fs::write(dir.path().join("noise"), b"not a frame at all").expect("written");
    let noise = run(dir.path(), &["inspect", "noise"]);
    assert!(noise.code == Some(0) && noise.out.contains("end: "), "{}{}", noise.out, noise.err);
}

#[test]
fn check_looks_at_this_machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let finished = run(dir.path(), &["check", "--data-dir", "not/made/yet"]);
    assert_eq!(finished.code, Some(0), "{}{}", finished.out, finished.err);
    for name in ["io_uring", "open files", "locked memory", "file system", "durable write"] {
        assert!(finished.out.contains(name), "{}", finished.out);
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "nothing is left behind");
}

#[test]
fn status_says_which_host_does_not_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    // A port that was just free: nobody answers there.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").to_string();
    let finished = run(dir.path(), &["status", "--admin", &free]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.out.contains("down") && finished.err.contains("1 of 1 hosts not ready"),
        "{}",
        finished.out
    );
    let json = run(dir.path(), &["status", "--admin", &free, "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json.code, &value[0]["up"]), (Some(1), &serde_json::Value::Bool(false)));
}
