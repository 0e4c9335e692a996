//! The binary: what it prints and its exit codes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::server::{self, Behaviour, Server};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synod-bench")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("synod-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn check_says_what_is_wrong() {
    let folder = folder("check");
    let file = folder.join("history");
    // What stands in the file, the exit code, and what is said.
    let table = [
        ("synod-history 1\n1 \"k\" 1 2 SET \"a\" => OK\n", 0, "verdict: linearizable"),
        (
            "synod-history 1\n1 \"k\" 1 2 INCRBY 1 => 1\n1 \"k\" 3 4 GET => NIL\n",
            1,
            "verdict: NOT linearizable for 1 keys",
        ),
        ("synod-history 1\n1 \"k\" 1 2 FLY => OK\n", 3, "line 2: an unknown command"),
        ("", 3, "line 1"),
    ];
    for (history, code, said) in table {
        std::fs::write(&file, history).unwrap();
        let output = bench(&["check", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{history}");
        let both = text(&output.stdout) + &text(&output.stderr);
        assert!(both.contains(said), "{both}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn load_prints_a_table_and_wants_answers() {
    let good = Server::start(Behaviour::default());
    let bad = Server::start(Behaviour { always: Some(b"-ERR no\r\n"), ..Behaviour::default() });
    for (server, code) in [(good, 0), (bad, 1)] {
        let hosts = server.addr.to_string();
        let output = bench(&[
            "load",
            "--hosts",
            &hosts,
            "--seconds",
            "0.2",
            "--warmup",
            "0",
            "-c",
            "2",
            "--mix",
            "3:1",
        ]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("closed loop, 2 connections x 1 deep, 1 threads, get:set 3:1"));
    }
    let nobody = server::free_address().to_string();
    let output = bench(&["load", "--hosts", &nobody, "--cluster"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains(&nobody));
    for wrong in [
        ["load", "--mix=9"],
        ["load", "--read=GET 'a"],
        ["load", "--hosts=nowhere"],
        ["load", "--seconds=-1"],
        ["drill", "kill"],
    ] {
        assert_eq!(bench(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn drill_kill_works_by_a_cluster_script() {
    let folder = folder("script");
    let addr = server::free_address();
    let log = folder.join("log");
    let script = folder.join("cluster");
    // The process of host 1 is written to a file, as a cluster's script does.
    let lines = format!(
        "#!/bin/sh\nset -e\n[ \"$3\" = 1 ]\ncase $1 in\n\
         kill) kill -KILL $(cat $2/pid) ;;\n\
         restart) ({}) >/dev/null 2>&1 &\necho $! >$2/pid ;;\nesac\n",
        server::child_command(addr, Some(&log))
    );
    std::fs::write(&script, lines).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.join("cluster.json"), format!("{{\"plain\": [\"{addr}\"], \"cores\": []}}\n"))
        .unwrap();
    let (script, dir) = (script.to_str().unwrap(), folder.to_str().unwrap());
    assert!(Command::new(script).args(["restart", dir, "1"]).status().unwrap().success());
    let history = folder.join("history").display().to_string();
    let output = bench(&[
        "drill",
        "kill",
        "--cluster-dir",
        dir,
        "--script",
        script,
        "--seconds",
        "1",
        "--clients",
        "2",
        "--keys",
        "10",
        "--history",
        &history,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).ends_with("acknowledged writes lost: 0\n"));
    assert_eq!(bench(&["check", &history]).status.code(), Some(0));
    assert!(Command::new(script).args(["kill", dir, "1"]).status().unwrap().success());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn scale_starts_loads_and_stops_each_number_of_cores() {
    let folder = folder("scale");
    let server = Server::start(Behaviour::default());
    let (hosts, at) = (server.addr.to_string(), folder.display());
    let (start, stop) = (format!("touch {at}/started-{{cores}}"), format!("touch {at}/stopped-{{cores}}"));
    let json = format!("{at}/{{cores}}.json");
    let load = ["--hosts", &hosts, "-c", "2", "--seconds", "0.2", "--warmup", "0", "--keys", "100"];
    let scale =
        |more: &[&str]| bench(&[&["scale", "--start", &start, "--stop", &stop], &load[..], more].concat());
    let output = scale(&["--cores", "1,4096", "--json", &json]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("left out: 4096 cores"), "{said}");
    for name in ["started-1", "stopped-1", "1.json"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert!(!folder.join("started-4096").exists(), "what is left out is not started");
    let refused = scale(&["--json", "one-file"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("write {cores} in the name"), "{}", text(&refused.stderr));
    let failed = bench(&["scale", "--start", "exit 7", "--stop", &stop]);
    assert!(
        failed.status.code() == Some(3) && text(&failed.stderr).contains("exit 7"),
        "{}",
        text(&failed.stderr)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
