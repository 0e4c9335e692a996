//! What the program does with wrong options and missing programs.

use std::process::Command;

fn compare(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_synod-compare")).args(args).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

#[test]
fn what_cannot_be_measured_is_named_and_the_rest_is_written() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, html, dir) = (file("a.json"), file("a.html"), file(""));
    let args = [
        "--only",
        "get",
        "--quick",
        "--synod",
        "/no/such/synod",
        "--dir",
        &dir,
        "--json",
        &json,
        "--html",
        &html,
    ];
    let (code, said) = compare(&args);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("not measured: get: starting synod3"), "{said}");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(written["failed"][0].as_str().unwrap().starts_with("get:"));
    assert!(std::fs::read_to_string(&html).unwrap().contains("Not measured"));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the folder of the data is gone: {left:?}");
}

#[test]
fn wrong_options_are_refused() {
    assert_eq!(
        compare(&["--only", "speed"]),
        (
            Some(3),
            "compare: there is no group speed: set, get, one, load, etcd, idle, objects, large, sql, hot, tail, cores, engine, tree\n"
                .to_owned()
        )
    );
    assert_eq!(compare(&["--points", "fast"]).0, Some(2));
    let (code, said) = compare(&["--dir", "/dev/shm", "--only", "get"]);
    assert!(code == Some(3) && said.contains("lies in memory"), "{said}");
}
