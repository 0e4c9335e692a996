//! The texts and lists of CLUSTER SLOTS, SHARDS, NODES and INFO.
//!
//! Source: CLUSTER SLOTS, SHARDS, NODES and INFO of Redis 7, and what clients insist on in them: explicit
//! addresses, ids of 40 characters, a line break behind the last line of NODES, exactly one `myself`.

use std::fmt::Write as _;

use shard::reply::Reply;
use shard::slot::SLOTS;

use super::map::{hex_id, ClusterMap, Port, Primary};

impl ClusterMap {
    /// CLUSTER SLOTS: `[first, last, [ip, port, id, {}]]` per run of slots, in order of slots. The same bytes
    /// on all hosts.
    pub fn slots_reply(&self) -> Reply {
        let mut runs: Vec<(u16, u16, &Primary)> = Vec::new();
        for primary in self.primaries() {
            runs.extend(primary.ranges.iter().map(|&(first, last)| (first, last, primary)));
        }
        runs.sort_by_key(|run| run.0);
        Reply::Array(runs.iter().map(|&(first, last, primary)| slots_entry(first, last, primary)).collect())
    }

    /// CLUSTER SHARDS: one shard of one node per announced port. The same bytes on all hosts.
    pub fn shards_reply(&self) -> Reply {
        let announced = self.primaries().iter().filter(|primary| !primary.ranges.is_empty());
        Reply::Array(announced.map(shard_entry).collect())
    }

    /// CLUSTER NODES as seen by a client of `port`: one line per core port, dead ones with `fail` and without
    /// slots; on the plain port one more, without slots, for that port itself.
    pub fn nodes_text(&self, port: Port) -> String {
        let own = self.own(port);
        let mut text = String::new();
        for (place, primary) in self.primaries().iter().enumerate() {
            let is_me = own.is_some_and(|own| own.id == primary.id);
            let _ = write!(text, "{}", self.node_line(primary, is_me, place + 1));
        }
        if own.is_none() {
            let host = &self.layout().hosts()[self.me()];
            let (id, ip, plain, peer) = (self.my_id(port), host.ip, host.plain_port, host.peer_port_base);
            let _ = writeln!(text, "{id} {ip}:{plain}@{peer} myself,master - 0 0 0 connected");
        }
        text
    }

    fn node_line(&self, primary: &Primary, is_me: bool, epoch: usize) -> String {
        let flags = match (is_me, primary.live) {
            (true, _) => "myself,master",
            (false, true) => "master",
            (false, false) => "master,fail",
        };
        let link = if is_me || primary.live { "connected" } else { "disconnected" };
        let mut line = format!(
            "{} {}@{} {flags} - 0 0 {epoch} {link}",
            primary.id,
            primary.addr_text(),
            primary.peer_port
        );
        for &(first, last) in &primary.ranges {
            let _ = if first == last { write!(line, " {first}") } else { write!(line, " {first}-{last}") };
        }
        line.push('\n');
        line
    }

    /// CLUSTER INFO. `fail` where a slice has no majority of reachable hosts: nothing can be chosen there.
    pub fn info_text(&self) -> String {
        let slots_ok = self.slots_with_majority();
        let slots_fail = usize::from(SLOTS) - slots_ok;
        let state = if slots_fail == 0 { "ok" } else { "fail" };
        let known = self.primaries().len();
        let size = self.primaries().iter().filter(|primary| !primary.ranges.is_empty()).count();
        let epoch = self.epoch();
        format!(
            "cluster_state:{state}\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{slots_ok}\r\n\
             cluster_slots_pfail:0\r\ncluster_slots_fail:{slots_fail}\r\ncluster_known_nodes:{known}\r\n\
             cluster_size:{size}\r\ncluster_current_epoch:{epoch}\r\ncluster_my_epoch:{epoch}\r\n\
             cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n\
             total_cluster_links_buffer_limit_exceeded:0\r\n"
        )
    }

    /// Slots whose slice has a majority of its hosts reachable.
    fn slots_with_majority(&self) -> usize {
        let ports_per_slice = usize::from(self.layout().ports_per_host() / self.layout().slices());
        let has_majority = |slice: u16| {
            let live =
                self.primaries().iter().filter(|primary| primary.slice == slice && primary.live).count();
            live / ports_per_slice >= self.layout().majority()
        };
        let slices = self.layout().slices();
        let slots = |slice| super::layout::slice_slots(slice, slices);
        (0..slices)
            .filter(|&slice| has_majority(slice))
            .map(|slice| usize::from(slots(slice).1 - slots(slice).0) + 1)
            .sum()
    }

    /// CLUSTER MYID: the id of the port the client came in by.
    pub fn my_id(&self, port: Port) -> String {
        let host = &self.layout().hosts()[self.me()];
        let plain = || hex_id(&format!("node/{}/{}/plain", self.layout().cluster_id(), host.id));
        self.own(port).map_or_else(plain, |own| own.id.clone())
    }

    /// CLUSTER MYSHARDID.
    pub fn my_shard_id(&self, port: Port) -> String {
        let host = &self.layout().hosts()[self.me()];
        let plain = || hex_id(&format!("shard/{}/{}/plain", self.layout().cluster_id(), host.id));
        self.own(port).map_or_else(plain, |own| own.shard_id.clone())
    }
}

fn slots_entry(first: u16, last: u16, primary: &Primary) -> Reply {
    let node = Reply::Array(vec![
        Reply::bulk(primary.addr.ip().to_string()),
        Reply::Int(i64::from(primary.addr.port())),
        Reply::bulk(&primary.id),
        Reply::Map(vec![]),
    ]);
    Reply::Array(vec![Reply::Int(i64::from(first)), Reply::Int(i64::from(last)), node])
}

fn shard_entry(primary: &Primary) -> Reply {
    let bound = |slot: u16| Reply::Int(i64::from(slot));
    let slots = primary.ranges.iter().flat_map(|&(first, last)| [bound(first), bound(last)]).collect();
    let ip = primary.addr.ip().to_string();
    let health = if primary.live { "online" } else { "failed" };
    let node = Reply::Map(vec![
        (Reply::bulk("id"), Reply::bulk(&primary.id)),
        (Reply::bulk("port"), Reply::Int(i64::from(primary.addr.port()))),
        (Reply::bulk("ip"), Reply::bulk(&ip)),
        (Reply::bulk("endpoint"), Reply::bulk(&ip)),
        (Reply::bulk("role"), Reply::bulk("master")),
        (Reply::bulk("replication-offset"), Reply::Int(0)),
        (Reply::bulk("health"), Reply::bulk(health)),
    ]);
    Reply::Map(vec![
        (Reply::bulk("slots"), Reply::Array(slots)),
        (Reply::bulk("nodes"), Reply::Array(vec![node])),
    ])
}
