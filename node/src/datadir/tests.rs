//! Refusals of the data directory, each with its words.

use super::*;

const INIT: Init = Init { cluster: ClusterId([7; 16]), host: 2, slices: 2, learner: false };

fn made() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("data");
    init(&path, INIT).expect("made");
    (dir, path)
}

fn refused(path: &Path, host: u32) -> String {
    DataDir::open(path, host).expect_err("refused").to_string()
}

#[test]
fn a_made_directory_opens_and_is_whole() {
    let (_dir, path) = made();
    let open = DataDir::open(&path, 2).expect("opens");
    assert_eq!((open.identity().cluster, open.identity().slices), (INIT.cluster, 2));
    assert!(!open.identity().is_learner());
    let other = tempfile::tempdir().expect("a folder");
    assert!(init(other.path(), Init { learner: true, ..INIT }).expect("made").is_learner());
    assert!(DataDir::open(other.path(), 2).expect("opens").identity().is_learner());
    assert!(open.core_directories().iter().all(|core| core.is_dir()));
}

#[test]
fn nothing_is_initialised_twice_or_over_other_files() {
    let (_dir, path) = made();
    let before = std::fs::read(path.join(IDENTITY_FILE)).expect("bytes");
    let error = init(&path, Init { host: 3, ..INIT }).expect_err("refused").to_string();
    assert!(error.contains("is initialised already: host 2 of cluster 0707"), "{error}");
    assert_eq!(std::fs::read(path.join(IDENTITY_FILE)).expect("bytes"), before);
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("thesis.txt"), "x").expect("written");
    let error = init(other.path(), INIT).expect_err("refused").to_string();
    assert!(error.contains("is not empty (it holds thesis.txt)"), "{error}");
}

#[test]
fn an_interrupted_init_can_be_repeated() {
    let (_dir, path) = made();
    std::fs::rename(path.join(IDENTITY_FILE), path.join("identity.toml.new")).expect("renamed");
    assert!(
        refused(&path, 2).contains("run `synod init` first (the directory is empty"),
        "{}",
        refused(&path, 2)
    );
    init(&path, INIT).expect("made again");
    DataDir::open(&path, 2).expect("opens");
}

#[test]
fn what_is_missing_or_foreign_is_refused() {
    let (dir, path) = made();
    assert!(
        refused(&dir.path().join("no"), 2).contains("run `synod init` first (the directory does not exist)")
    );
    assert!(refused(&path, 3).contains("belongs to host 2, but this host is configured as 3"));
    std::fs::remove_dir(path.join("core-1")).expect("removed");
    assert!(refused(&path, 2).contains("core-1 is gone: its data is lost"));
}

#[test]
fn an_emptied_core_is_refused_once_it_has_served() {
    let (_dir, path) = made();
    let open = DataDir::open(&path, 2).expect("opens");
    for core in open.core_directories() {
        std::fs::write(core.join("segment"), "x").expect("written");
    }
    open.mark_used().expect("marked");
    drop(open);
    drop(DataDir::open(&path, 2).expect("opens while whole"));
    std::fs::remove_file(path.join("core-0").join("segment")).expect("removed");
    assert!(refused(&path, 2).contains("core-0 is empty, though this host has served from it"));
}

#[test]
fn two_processes_cannot_have_one_directory() {
    let (_dir, path) = made();
    let first = DataDir::open(&path, 2).expect("opens");
    let error = refused(&path, 2);
    assert!(
        error.contains(&format!("is in use by another process (process {})", std::process::id())),
        "{error}"
    );
    drop(first);
    DataDir::open(&path, 2).expect("opens once the first is gone");
}

#[test]
fn a_damaged_identity_is_refused() {
    let (_dir, path) = made();
    let file = path.join(IDENTITY_FILE);
    let text = std::fs::read_to_string(&file).expect("text").replace("host = 2", "host = 3");
    std::fs::write(&file, text).expect("written");
    assert!(refused(&path, 3).contains("identity.toml is damaged: its closing checksum does not fit"));
}

#[test]
fn a_secret_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("cluster.secret");
    create_secret(&path).expect("made");
    let secret = std::fs::read_to_string(&path).expect("text");
    assert_eq!((secret.len(), secret.trim().len()), (65, 64));
    assert_eq!(std::fs::metadata(&path).expect("facts").permissions().mode() & 0o777, 0o600);
    assert!(create_secret(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("text"), secret);
}
