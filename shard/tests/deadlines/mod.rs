//! A client gets its answer when its time is over, whoever is served before it.

use shard::limits::{MS, RESEND_NS_MAX};

use crate::keyspace::cluster::Cluster;

/// Found by fuzzing: behind a command with a long deadline, short ones waited for that.
#[test]
fn a_long_deadline_holds_up_no_short_one() {
    let mut cluster = Cluster::new(3, 1);
    // Links are up, and nothing comes through.
    cluster.loss = Box::new(|_, _, _| true);
    let long = cluster.submit(0, &[b"SET", b"k", b"v"], None, 30_000);
    let short: Vec<u64> = (0..3).map(|_| cluster.submit(0, &[b"INCR", b"k"], None, 100)).collect();
    let shorter = cluster.submit(0, &[b"GET", b"k"], None, 50);
    cluster.pass(100 + RESEND_NS_MAX / MS);
    assert!(short.into_iter().chain([shorter]).all(|id| cluster.reply(id).is_some()), "answered in time");
    assert!(cluster.reply(long).is_none(), "it still has time");
    cluster.heal();
    assert_eq!(cluster.wait(long), shard::reply::Reply::OK);
}
