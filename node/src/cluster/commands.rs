//! CLUSTER and its subcommands.

use shard::reply::Reply;
use shard::slot::slot;

use super::map::{ClusterMap, Port};
use crate::server::text;

const HELP: &[&str] = &[
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "MYID",
    "    Return the node id.",
    "MYSHARDID",
    "    Return the shard id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Return <node-id> replicas.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
];

/// Executes CLUSTER with `args` (the words behind CLUSTER) for a client of `port`. `sub` is the first in
/// lower case; its arity has been checked. The two that count and list keys of a slot are not here: those are
/// commands on the keyspace.
pub fn cluster_command(map: &ClusterMap, port: Port, sub: &str, args: &[&[u8]]) -> Reply {
    let arg = |index: usize| args.get(index).copied().unwrap_or_default();
    match sub {
        "slots" => map.slots_reply(),
        "shards" => map.shards_reply(),
        "nodes" => Reply::Verbatim(map.nodes_text(port)),
        "info" => Reply::Verbatim(map.info_text()),
        "myid" => Reply::bulk(map.my_id(port)),
        "myshardid" => Reply::bulk(map.my_shard_id(port)),
        "keyslot" => Reply::Int(i64::from(slot(arg(1)))),
        "links" => Reply::Array(vec![]),
        "help" => text::help("CLUSTER", HELP),
        "replicas" | "slaves" => of_node(map, port, arg(1), Reply::Array(vec![])),
        "count-failure-reports" => of_node(map, port, arg(1), Reply::Int(0)),
        other => Reply::Error(
            format!(
                "ERR CLUSTER {} is not supported: hosts, ports and slots come from the configuration file of \
                 each Synod host; change it there and restart",
                other.to_ascii_uppercase()
            )
            .into(),
        ),
    }
}

fn of_node(map: &ClusterMap, port: Port, id: &[u8], found: Reply) -> Reply {
    let known = map.primaries().iter().any(|primary| primary.id.as_bytes() == id);
    if known || map.my_id(port).as_bytes() == id {
        return found;
    }
    Reply::Error(format!("ERR Unknown node {}", text::printable(id, 64)).into())
}
