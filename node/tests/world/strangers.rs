//! The peer port: whoever cannot prove that it belongs to the cluster is closed, and those who belong are not disturbed.

use super::client::Value;
use super::host::{eventually, Cluster};

#[test]
fn garbage_at_the_peer_port_is_closed_and_disturbs_nobody() {
    let cluster = Cluster::start(3, 1, "");
    let host = &cluster.hosts[0];
    let mut client = host.client();
    let noise: Vec<u8> = (0..8000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0; 4096], &[0xff; 4096], &noise]
    {
        let mut stranger = super::client::Client::connect(&host.peer());
        // It may be closed before all is sent.
        let _ = stranger.send(bytes);
        stranger.read_to_close();
        assert_eq!(client.call(&["INCR", "n"]).as_error(), None);
        assert_eq!(client.info("peers_up"), 2);
    }
    // One that says nothing keeps nobody out.
    let _silent: Vec<_> = (0..70).map(|_| super::client::Client::connect(&host.peer())).collect();
    assert_eq!(client.call(&["INCR", "n"]), Value::Int(6));
    let log = host.log();
    let refusals = log.lines().filter(|line| line.contains("a connection between hosts was refused")).count();
    assert!((1..20).contains(&refusals), "refusals are told, and not for ever: {refusals}\n{log}");
}

/// Host 3 is gone, and another process comes in its place.
fn impostor(change: impl FnOnce(&mut Cluster), told: &str) -> Cluster {
    let mut cluster = Cluster::start(3, 1, "");
    assert_eq!(cluster.hosts[0].client().call(&["SET", "k", "v"]), Value::ok());
    assert_eq!(cluster.hosts[2].stop(), Some(0));
    cluster.await_two();
    change(&mut cluster);
    cluster.hosts[2].spawn();
    for place in 0..2 {
        eventually("its peers say why they refuse it", || cluster.hosts[place].log().contains(told));
    }
    eventually("it is told too", || {
        cluster.hosts[2].log().contains("a connection between hosts was refused")
    });
    for place in 0..2 {
        let mut client = cluster.hosts[place].client();
        assert_eq!(client.info("peers_up"), 1, "it is no peer");
        assert_eq!(client.call(&["GET", "k"]), Value::bulk("v"));
        assert_eq!(client.call(&["SET", "by", &place.to_string()]), Value::ok());
    }
    let alone = cluster.hosts[2].client().call(&["SET", "k", "stolen"]);
    assert_eq!(alone, Value::error("ERR no quorum: 1 of 3 hosts answers; nothing was written"));
    cluster
}

impl Cluster {
    fn await_two(&self) {
        for place in 0..2 {
            self.hosts[place].await_peers(1);
        }
    }

    /// Takes the data directory of host 3 away and makes an empty one for it.
    fn replace_data(&mut self) {
        std::fs::rename(&self.hosts[2].data, self.path().join("lost")).expect("moved");
        self.init(2);
    }
}

#[test]
fn a_host_of_another_cluster_is_refused() {
    let change = |cluster: &mut Cluster| {
        cluster.id = "0123456789abcdef0123456789abcdef".to_owned();
        cluster.replace_data();
    };
    impostor(change, "cluster");
}

#[test]
fn a_host_without_the_secret_is_refused() {
    let change = |cluster: &mut Cluster| {
        let text = std::fs::read_to_string(&cluster.hosts[2].config).expect("text");
        let secret = cluster.path().join("secret").display().to_string();
        let other = cluster.path().join("other-secret").display().to_string();
        synod::datadir::create_secret(std::path::Path::new(&other)).expect("made");
        std::fs::write(&cluster.hosts[2].config, text.replace(&secret, &other)).expect("written");
    };
    impostor(change, "secret");
}

#[test]
fn an_emptied_data_directory_is_refused() {
    // How it comes back as a learner is in crate::learner.
    impostor(Cluster::replace_data, "synod recover --lost-host 3");
}
