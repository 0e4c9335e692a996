//! A full disk, for which a small one is mounted: only root can.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Value;
use super::host::{eventually, Cluster};

/// A file system in memory at this path, until dropped.
struct Small(PathBuf);

impl Small {
    /// None: this process may not mount.
    fn mount(path: &Path, size: &str) -> Option<Small> {
        std::fs::create_dir_all(path).expect("made");
        let mut command = Command::new("mount");
        let output =
            command.args(["-t", "tmpfs", "-o"]).arg(format!("size={size}")).arg("tmpfs").arg(path).output();
        match output {
            Ok(output) if output.status.success() => Some(Small(path.to_owned())),
            refused => {
                let reason = refused.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
                // Past the test's own capture, for a check that did not run must be seen.
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED: the test of a full disk mounts one, and may not: {reason:?}"
                );
                None
            }
        }
    }

    fn resize(&self, size: &str) {
        let mut command = Command::new("mount");
        let status = command.arg("-o").arg(format!("remount,size={size}")).arg(&self.0).status();
        assert!(status.expect("mount runs").success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the processes on it are gone a moment later, also when the test has failed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let mut cluster = Cluster::empty(1, "segment_bytes = \"1 MiB\"\nvalue_bytes_max = \"256 KiB\"\n");
    let Some(small) = Small::mount(&cluster.path().join("data-1"), "12m") else { return };
    cluster.add_hosts(3);
    cluster.start_all();
    let mut client = cluster.hosts[0].client();
    let value = "v".repeat(60_000);
    let mut written = Vec::new();
    let mut refused = None;
    for i in 0..2000 {
        let key = format!("key-{i}");
        match client.call(&["SET", &key, &value]) {
            Value::Error(words) => {
                refused = Some((key, words));
                break;
            }
            reply => assert_eq!(reply, Value::ok()),
        }
        written.push(key);
    }
    let (refused, words) = refused.expect("twelve megabytes hold no thousand");
    let expected = "OOM the disk of this host is full; nothing was written. Reads and deletes work; free space or add a disk";
    assert_eq!(words, expected);
    assert_eq!(client.call(&["GET", &refused]), Value::Nil, "what was refused is not there");
    assert_eq!(client.call(&["GET", &written[0]]), Value::bulk(&value), "reads work");
    assert_eq!(client.call(&["DEL", &written[0]]), Value::Int(1), "deletes work");
    assert_eq!(client.call(&["GET", &written[0]]), Value::Nil);
    written.remove(0);
    // Who comes in by another host writes on: two of three have room.
    let mut other = cluster.hosts[1].client();
    for i in 0..10 {
        let key = format!("other-{i}");
        assert_eq!(
            other.call(&["SET", &key, &value]),
            Value::ok(),
            "clients of other hosts are not disturbed"
        );
        written.push(key);
    }
    eventually("the log says so", || cluster.hosts[0].log().contains("the disk is full"));

    small.resize("100m");
    assert_eq!(cluster.hosts[0].stop(), Some(0));
    cluster.start_all();
    let mut client = cluster.hosts[0].client();
    for key in &written {
        assert_eq!(client.call(&["GET", key]), Value::bulk(&value), "{key} is there after a restart");
    }
    eventually("with space it writes again", || client.call(&["SET", "again", &value]) == Value::ok());
    drop(cluster);
    drop(small);
}
