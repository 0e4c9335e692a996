//! What writes and reads cost, by the counters of INFO on all three hosts.

use super::client::Value;
use super::host::{eventually, Cluster};

const NAMES: [&str; 6] = [
    "log_frames",
    "log_records",
    "peer_round_trips",
    "proposals_fast",
    "proposals_granted",
    "proposals_classic",
];

/// The counters of each host, and what was counted since an earlier look.
struct Counters(Vec<Vec<u64>>);

impl Counters {
    fn now(cluster: &Cluster) -> Counters {
        Counters(cluster.hosts.iter().map(|host| host.client().infos(&NAMES)).collect())
    }

    fn since(&self, name: &str, earlier: &Counters) -> Vec<u64> {
        let place = NAMES.iter().position(|known| *known == name).expect("one of the names");
        self.0.iter().zip(&earlier.0).map(|(now, then)| now[place] - then[place]).collect()
    }
}

/// The slowest of three hosts is not waited for by clients: counts are compared when it has its share too, its frame as well
/// as its record, so when nothing is counted any more.
fn settled(cluster: &Cluster, before: &Counters, records: u64) -> Counters {
    let mut now = Counters::now(cluster);
    eventually("each host has a record of each write", || {
        let last = std::mem::replace(&mut now, Counters::now(cluster));
        now.0 == last.0 && now.since("log_records", before).iter().all(|count| *count >= records)
    });
    now
}

#[test]
fn a_write_is_one_record_per_replica_and_one_round_trip_and_a_read_writes_nothing() {
    const WRITES: u64 = 40;
    let cluster = Cluster::start(3, 1, "");
    let preferred = &cluster.hosts[0];
    let key = preferred.own_key("counted-");
    let mut client = preferred.client();

    // Until its peers have promised all of its slots the first touch of a key takes promises of its own, and another round trip.
    let mut number = 0;
    eventually("a ballot for ranges", || {
        number += 1;
        let other = preferred.own_key(&format!("before-{number}-"));
        assert_eq!(client.call(&["SET", &other, "v"]), Value::ok());
        client.infos(&["proposals_granted"])[0] > 0
    });
    let begun = Counters::now(&cluster);
    let before = settled(&cluster, &begun, 0);
    assert_eq!(client.call(&["SET", &key, "first"]), Value::ok());
    let first = settled(&cluster, &before, 1);
    assert_eq!(first.since("peer_round_trips", &before), [1, 0, 0], "the first touch");
    assert_eq!(first.since("proposals_granted", &before), [1, 0, 0]);
    assert_eq!(first.since("proposals_classic", &before), [0, 0, 0]);
    assert_eq!(first.since("proposals_fast", &before), [0, 0, 0]);

    // What the first touch still has to write anywhere must not be counted below.
    assert_eq!(client.call(&["SET", &key, "second"]), Value::ok());
    let before = settled(&cluster, &first, 1);
    for write in 0..WRITES {
        assert_eq!(client.call(&["SET", &key, &write.to_string()]), Value::ok());
    }
    let written = settled(&cluster, &before, WRITES);
    assert_eq!(written.since("proposals_fast", &before), [WRITES, 0, 0]);
    assert_eq!(written.since("proposals_classic", &before), [0, 0, 0]);
    assert_eq!(written.since("peer_round_trips", &before), [WRITES, 0, 0]);
    let (records, frames) = (written.since("log_records", &before), written.since("log_frames", &before));
    assert!(records.iter().all(|count| *count <= WRITES + 1), "about one record per write: {records:?}");
    // One more, on a host whose frame with the write before was still under way when the counting began.
    assert!(frames.iter().all(|count| *count <= WRITES + 1), "about one frame per write at most: {frames:?}");

    for _ in 0..WRITES {
        assert_eq!(client.call(&["GET", &key]), Value::bulk(&(WRITES - 1).to_string()));
    }
    let read = Counters::now(&cluster);
    assert_eq!(read.since("log_frames", &written), [0; 3], "a read writes nothing");
    assert_eq!(read.since("log_records", &written), [0; 3]);
    assert_eq!(
        read.since("peer_round_trips", &written),
        [WRITES, 0, 0],
        "a read is one round trip of its host"
    );
}
