//! The trees of cores, beside their logs: no files where no rows are kept, opened where there are some, closed where they are damaged, and keys
//! are served all the while.

use std::path::{Path, PathBuf};

use lsm::{Batch, Event, Lsm, Options};
use reactor::sim::SimDisk;

use super::client::Value;
use super::host::Cluster;
use crate::host::process::run;

/// The files of the trees below a data directory.
fn files(data: &Path) -> Vec<PathBuf> {
    let folders = (0..2).map(|core| data.join(format!("core-{core}")));
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).expect("lists"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_of_a_tree =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lsm-"));
    let mut files: Vec<PathBuf> = paths.filter(is_of_a_tree).collect();
    files.sort();
    files
}

/// Turns until the engine tells this.
fn await_event(lsm: &mut Lsm, disk: &mut SimDisk, is_it: impl Fn(&Event) -> bool) {
    loop {
        if std::iter::from_fn(|| lsm.poll()).any(|event| is_it(&event)) {
            return;
        }
        lsm.background(disk, 0, 1 << 20);
        let due = disk.next_event().expect("something is under way");
        for completion in disk.poll_completions(due) {
            assert!(lsm.on_disk(disk, completion));
        }
    }
}

/// Puts a tree of one table into the folder of a core: what the engine makes on a simulated disk.
fn plant(folder: &Path) {
    let mut disk = SimDisk::new(1);
    let mut lsm = Lsm::open(Options { manifest_bytes: 64 << 10, ..Options::new(0) }, &mut disk);
    await_event(&mut lsm, &mut disk, |event| matches!(event, Event::Ready(_)));
    let mut batch = Batch::new();
    (0..1_000_u32).for_each(|number| batch.put(&number.to_be_bytes(), b"a row"));
    lsm.apply(&batch).expect("it is open");
    lsm.flush();
    await_event(&mut lsm, &mut disk, |event| matches!(event, Event::Flushed(_)));
    for (name, _) in disk.list() {
        std::fs::write(folder.join(&name), disk.bytes_of(&name).expect("listed")).expect("written");
    }
}

fn serves_keys(cluster: &Cluster) {
    let mut client = cluster.hosts[0].client();
    for number in 0..20 {
        let (key, value) = (format!("key-{number}"), format!("value-{number}"));
        assert_eq!(client.call(&["GET", &key]), Value::bulk(&value));
        assert_eq!(client.call(&["SET", &key, &value]), Value::ok());
    }
}

#[test]
fn a_tree_is_opened_where_there_is_one_and_closed_where_it_is_damaged() {
    let mut cluster = Cluster::start(1, 2, "");
    let mut client = cluster.hosts[0].client();
    for number in 0..20 {
        let (key, value) = (format!("key-{number}"), format!("value-{number}"));
        assert_eq!(client.call(&["SET", &key, &value]), Value::ok());
    }
    assert_eq!(client.infos(&["tree_tables", "memory_rows_bytes", "trees_closed"]), [0, 0, 0]);
    drop(client);
    assert_eq!(cluster.hosts[0].stop(), Some(0));
    let data = cluster.hosts[0].data.clone();
    assert_eq!(files(&data), [""; 0].map(PathBuf::from), "a directory as it was before there were trees");

    plant(&data.join("core-0"));
    cluster.start_all();
    serves_keys(&cluster);
    let [tables, levels, bytes] =
        cluster.hosts[0].client().infos(&["tree_tables", "tree_levels", "tree_disk_bytes"])[..]
    else {
        panic!("three numbers")
    };
    assert!(
        (tables, levels) == (1, 1) && bytes >= 4_096,
        "{tables} tables of {bytes} bytes in {levels} levels"
    );
    assert_eq!(cluster.hosts[0].stop(), Some(0));
    let [table, manifest] = &files(&data)[..] else { panic!("a table and a manifest: {:?}", files(&data)) };
    for (file, want) in [(manifest, "+ level 0: table"), (table, "1000 entries")] {
        let inspected = run(cluster.path(), &["inspect", &file.display().to_string()]);
        let told = inspected.code == Some(0) && inspected.out.contains(want);
        assert!(told, "{}: {}{}", file.display(), inspected.out, inspected.err);
    }

    let mut bytes = std::fs::read(manifest).expect("reads");
    bytes[60] ^= 1;
    std::fs::write(manifest, bytes).expect("written");
    let before = files(&data);
    cluster.start_all();
    serves_keys(&cluster);
    assert_eq!(cluster.hosts[0].client().infos(&["trees_closed", "tree_tables"]), [1, 0]);
    let log = cluster.hosts[0].log();
    let told = log.lines().find(|line| line.contains("the tree of this core is closed")).expect("it says so");
    assert!(told.contains("is damaged at byte 0: "), "{told}");
    let config = cluster.hosts[0].config.display().to_string();
    let status = run(cluster.path(), &["status", "--config", &config]);
    assert_eq!(status.code, Some(0), "it is ready nevertheless: {}", status.err);
    assert!(status.out.contains("the tree of core 0 is closed"), "{}", status.out);
    assert_eq!(cluster.hosts[0].stop(), Some(0));
    assert_eq!(files(&data), before, "nothing of it was touched");
}
