//! Files that are not as they were left: what is damaged is named, what is torn is cut off, and the other hosts carry on.
//!
//! Ports that are taken, unknown settings, two processes on one data directory and a data directory of another host are with the
//! commands, in `host/`.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::client::Value;
use super::host::Cluster;
use crate::host::process::run;

/// A segment of host 3, and where these bytes lie in it.
fn find(cluster: &Cluster, bytes: &[u8]) -> (PathBuf, u64) {
    find_of(cluster, 2, bytes)
}

/// The same for the host at a place.
fn find_of(cluster: &Cluster, host: usize, bytes: &[u8]) -> (PathBuf, u64) {
    let folder = cluster.hosts[host].data.join("core-0");
    for entry in std::fs::read_dir(&folder).expect("lists") {
        let path = entry.expect("an entry").path();
        let content = std::fs::read(&path).expect("reads");
        let is_segment = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seg-"));
        if let Some(place) =
            content.windows(bytes.len()).position(|window| window == bytes).filter(|_| is_segment)
        {
            return (path, place as u64);
        }
    }
    panic!("no segment holds {:?}", bytes.escape_ascii().to_string());
}

/// Three hosts; the third holds forty values and is killed.
fn killed() -> Cluster {
    let mut cluster = Cluster::start(3, 1, "");
    let mut client = cluster.hosts[0].client();
    for i in 0..40 {
        assert_eq!(
            client.call(&["SET", &format!("key-{i}"), &format!("the value of key {i}.")]),
            Value::ok()
        );
    }
    // What it answers itself it has itself: a read is served from a majority that the own record belongs to.
    let mut third = cluster.hosts[2].client();
    super::host::eventually("the third host has all", || third.info("log_records") >= 40);
    cluster.hosts[2].kill();
    cluster.hosts[0].await_peers(1);
    cluster.hosts[1].await_peers(1);
    cluster
}

fn flip(path: &PathBuf, place: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).expect("reads");
    file.write_all_at(&[byte[0] ^ 1], place).expect("writes");
}

#[test]
fn damage_in_the_middle_of_a_segment_makes_a_learner_that_becomes_a_voter() {
    let mut cluster = killed();
    let (path, place) = find(&cluster, b"the value of key 10.");
    flip(&path, place);
    // Of the pair that chose it one has forgotten; it takes it over from the other one.
    assert_eq!(cluster.hosts[0].client().call(&["SET", "pair", "acknowledged"]), Value::ok());
    cluster.start_all();
    super::host::eventually("it votes again", || cluster.hosts[2].log().contains("votes again"));
    let log = cluster.hosts[2].log();
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let told = log.lines().find(|line| line.contains("the log of this core is damaged")).expect("it says so");
    assert!(told.contains(&format!("{name} is damaged at byte ")) && told.contains("/lost-1-*"), "{told}");
    let offset = told.split("is damaged at byte ").nth(1).expect("checked above");
    let offset: u64 =
        offset.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number");
    assert!(offset <= place && place - offset < 64 << 10, "byte {offset} for the damage at {place}");
    // The operator has it all.
    let aside = path.with_file_name(format!("lost-1-{name}"));
    let inspected = run(cluster.path(), &["inspect", &aside.display().to_string()]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.err);
    let mut client = cluster.hosts[2].client();
    assert_eq!((client.info("learner"), client.info("logs_aside")), (0, 1));
    let config = cluster.hosts[2].config.display().to_string();
    let status = run(cluster.path(), &["status", "--config", &config]);
    assert!(status.out.contains("damaged logs were put aside: 1; their files are lost-*"), "{}", status.out);
    // It counts: another host may go.
    cluster.hosts[0].kill();
    cluster.hosts[2].await_peers(1);
    assert_eq!(client.call(&["GET", "key-10"]), Value::bulk("the value of key 10."));
    assert_eq!(client.call(&["GET", "pair"]), Value::bulk("acknowledged"));
    assert_eq!(client.call(&["SET", "goes", "on"]), Value::ok());
}

/// Nobody has what it lost: it stops, names the place, and touches nothing.
#[test]
fn damage_on_a_host_alone_is_named() {
    let mut cluster = Cluster::start(1, 1, "");
    let mut client = cluster.hosts[0].client();
    for i in 0..40 {
        let value = format!("the value of key {i}.");
        assert_eq!(client.call(&["SET", &format!("key-{i}"), &value]), Value::ok());
    }
    cluster.hosts[0].kill();
    let (path, place) = find_of(&cluster, 0, b"the value of key 10.");
    flip(&path, place);
    let config = cluster.hosts[0].config.display().to_string();
    let finished = run(cluster.path(), &["serve", "--config", &config]);
    assert!(!matches!(finished.code, None | Some(0)), "it must not serve: {}", finished.err);
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(finished.err.contains(&format!("{name} is damaged at byte ")), "{}", finished.err);
    // The same byte again: whole, and nothing else was touched.
    flip(&path, place);
    cluster.start_all();
    assert_eq!(cluster.hosts[0].client().call(&["GET", "key-10"]), Value::bulk("the value of key 10."));
}

#[test]
fn a_torn_tail_is_cut_off_and_the_host_serves() {
    let mut cluster = killed();
    let (path, place) = find(&cluster, b"the value of key 39.");
    flip(&path, place);
    cluster.start_all();
    for host in &cluster.hosts {
        let mut client = host.client();
        for i in 0..40 {
            let value = client.call(&["GET", &format!("key-{i}")]);
            assert_eq!(value, Value::bulk(&format!("the value of key {i}.")), "from host {}", host.number);
        }
    }
    assert_eq!(cluster.hosts[2].client().call(&["SET", "key-39", "again"]), Value::ok());
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused() {
    let cluster = Cluster::prepare(1, 1, "");
    let host = &cluster.hosts[0];
    let text = "format = 2\nwhat = \"nobody knows yet\"\n";
    synod::datadir::sealed::write(&host.data, "identity.toml", text).expect("written");
    let finished = run(cluster.path(), &["serve", "--config", &host.config.display().to_string()]);
    assert_eq!(finished.code, Some(78), "{}", finished.err);
    let words = "has format 2, and this version of Synod reads up to 1; start it with a newer version";
    assert!(finished.err.contains(words), "{}", finished.err);
}
