//! A disk is lost: what the peers refuse, how the host comes back as a learner, and that no write is lost on the way.

use std::net::TcpStream;

use crate::host::process::run;
use crate::world::client::Value;
use crate::world::host::{eventually, Cluster};

const NO_WRITE: &str = "ERR no quorum: 1 of 3 hosts answers; nothing was written";
const NO_READ: &str = "ERR no quorum: 1 of 3 hosts answers; cannot confirm the newest value";

/// Host 3 loses its data directory and gets a new one. The process is dead.
fn lose_data(cluster: &Cluster, rejoin: bool) {
    std::fs::remove_dir_all(&cluster.hosts[2].data).expect("removed");
    let config = cluster.hosts[2].config.display().to_string();
    let mut words = vec!["init", "--config", &config, "--cores", "2", "--cluster-id", &cluster.id];
    words.extend(rejoin.then_some("--rejoin"));
    let finished = run(cluster.path(), &words);
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert_eq!(finished.out.contains("synod recover --lost-host 3"), rejoin, "{}", finished.out);
}

/// Says on a host that the loss of host 3 is known, while the host serves.
fn recover(cluster: &Cluster, place: usize) {
    let config = cluster.hosts[place].config.display().to_string();
    let finished = run(cluster.path(), &["recover", "--config", &config, "--lost-host", "3"]);
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert!(finished.out.contains("synod init --rejoin"), "{}", finished.out);
}

fn is_written(cluster: &Cluster, place: usize, key: &str, value: &str) {
    assert_eq!(
        cluster.hosts[place].client().call(&["SET", key, value]),
        Value::ok(),
        "{key} by host {}",
        place + 1
    );
}

fn is_read(cluster: &Cluster, place: usize, key: &str, value: &str) {
    let read = cluster.hosts[place].client().call(&["GET", key]);
    assert_eq!(read, Value::bulk(value), "{key} from host {}", place + 1);
}

#[test]
fn a_host_that_lost_its_disk_comes_back_as_a_learner_and_becomes_a_voter() {
    let mut cluster = Cluster::start(3, 2, "");
    is_written(&cluster, 0, "before", "1");
    for (text, want) in [
        ("CREATE TABLE tables (k TEXT, PRIMARY KEY (k))", Value::ok()),
        ("INSERT INTO tables VALUES ('a')", Value::Int(1)),
    ] {
        assert_eq!(cluster.hosts[0].client().call(&["SQL", text]), want);
    }
    // This one is held by hosts 2 and 3 alone, and host 3 is about to forget it.
    cluster.hosts[0].kill();
    cluster.await_peers();
    is_written(&cluster, 1, "pair", "acknowledged");
    cluster.hosts[2].kill();
    lose_data(&cluster, false);
    cluster.hosts[0].start();
    cluster.await_peers();

    // As a voter that forgot it is refused, before and after the loss is known.
    cluster.hosts[2].spawn();
    let log_of = |cluster: &Cluster, place: usize| cluster.hosts[place].log();
    for place in 0..2 {
        let told =
            "run `synod recover --lost-host 3` on the other hosts, and `synod init --rejoin` on that one";
        eventually("the peers say what to do", || log_of(&cluster, place).contains(told));
        recover(&cluster, place);
        let told =
            "came back as a voter and is refused: empty its data directory and run `synod init --rejoin`";
        eventually("a voter is refused all the same", || log_of(&cluster, place).contains(told));
        assert_eq!(cluster.hosts[place].client().info("peers_up"), 1);
    }
    assert!(cluster.hosts[2].log().contains("and here `synod init --rejoin` in an empty directory"));
    assert_eq!(cluster.hosts[2].client().call(&["SET", "x", "y"]), Value::error(NO_WRITE));

    // As a learner it waits for all others of three: without host 2 nobody knows what the two of them have chosen.
    cluster.hosts[2].kill();
    lose_data(&cluster, true);
    cluster.hosts[1].kill();
    cluster.hosts[2].spawn();
    eventually("it says what it is", || log_of(&cluster, 2).contains("this host is a learner"));
    eventually("it listens", || TcpStream::connect(&cluster.hosts[2].plain).is_ok());
    cluster.await_peers();
    let learner = |cluster: &Cluster, place: usize| cluster.hosts[place].client().info("learner");
    assert_eq!(learner(&cluster, 2), 1);
    assert_eq!(cluster.hosts[0].client().info("peers_up_learners"), 1);
    for place in [0, 2] {
        let mut client = cluster.hosts[place].client();
        for key in ["pair", "before", "new"] {
            assert_eq!(client.call(&["GET", key]), Value::error(NO_READ), "{key} from host {}", place + 1);
            assert_eq!(client.call(&["SET", key, "other"]), Value::error(NO_WRITE), "{key} by {}", place + 1);
        }
    }
    let keys = cluster.hosts[2].client().call(&["DBSIZE"]);
    assert!(keys.as_error().is_some_and(|words| words.starts_with("ERR this host is a learner")), "{keys:?}");

    // With all others there it takes over what it lost, and votes again; hosts that were not restarted let it.
    cluster.hosts[1].start();
    cluster.await_peers();
    eventually("it is a voter", || learner(&cluster, 2) == 0);
    // The last core to become one is seen by INFO before its line has reached the file.
    eventually("it says so", || log_of(&cluster, 2).contains("votes again"));
    eventually("the others know", || {
        (0..2).all(|place| cluster.hosts[place].client().info("peers_up_learners") == 0)
    });
    let config = cluster.hosts[0].config.display().to_string();
    eventually("its status says so", || {
        let status = run(cluster.path(), &["status", "--config", &config]);
        status.out.matches(" ready ").count() == 3
    });
    for number in 0..40 {
        let key = format!("key-{number}");
        is_written(&cluster, 2, &key, "by the voter");
        is_read(&cluster, number % 2, &key, "by the voter");
    }
    assert_eq!(cluster.hosts[2].client().call(&["DBSIZE"]), Value::Int(43));

    // Another host may go now: what it held with the one that lost its disk is not lost.
    cluster.hosts[1].kill();
    cluster.await_peers();
    for place in [0, 2] {
        is_read(&cluster, place, "pair", "acknowledged");
        is_read(&cluster, place, "before", "1");
        is_written(&cluster, place, "new", "written by two");
        let count = cluster.hosts[place].client().call(&["SQL", "SELECT count(*) FROM tables WHERE k = 'a'"]);
        let (name, one) = (Value::Array(vec![Value::bulk("count")]), Value::Array(vec![Value::Int(1)]));
        assert_eq!(count, Value::Array(vec![name, one]), "tables are taken over as well");
    }
    cluster.hosts[1].start();
    cluster.await_peers();

    // It is the same after restarts of all.
    for place in 0..3 {
        assert_eq!(cluster.hosts[place].stop(), Some(0));
    }
    cluster.start_all();
    (0..3).for_each(|place| is_read(&cluster, place, "pair", "acknowledged"));
    assert_eq!(learner(&cluster, 2), 0, "its log remembers");
}

#[test]
fn rejoin_is_for_a_host_of_a_cluster() {
    let dir = tempfile::tempdir().expect("a folder");
    let id = "0123456789abcdef0123456789abcdef";
    for (words, said) in [
        (&["init", "--rejoin"][..], "--cluster-id"),
        (&["init", "--rejoin", "--new-cluster"], "cannot be used with"),
        (&["init", "--rejoin", "--cluster-id", id], "--rejoin needs the member list with the other hosts"),
    ] {
        let finished = run(dir.path(), words);
        assert_eq!(finished.code, Some(64), "{words:?}: {}", finished.err);
        assert!(finished.err.contains(said), "{words:?}: {}", finished.err);
    }
    let hosts = "--host=1=127.0.0.1,2=127.0.0.2,3=127.0.0.3";
    let made = run(dir.path(), &["init", "--rejoin", "--cluster-id", id, hosts, "--cores", "1"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let alone = run(dir.path(), &["serve"]);
    assert_eq!(alone.code, Some(78), "{}", alone.err);
    assert!(alone.err.contains("a learner's, which serves nothing without the other hosts"), "{}", alone.err);
}
