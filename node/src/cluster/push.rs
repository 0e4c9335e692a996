//! The RESP3 push that tells clients of a changed map: `SMIGRATED`, for those that sent CLIENT
//! MAINT_NOTIFICATIONS ON.
//!
//! Format, as redis-py and go-redis parse it: `>3 "SMIGRATED" :<sequence> *k [ *3 "src-ip:port" "dst-ip:port"
//! "0-5460,6000" ]`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use shard::reply::Reply;
use shard::slot::SLOTS;

use super::map::{ClusterMap, Port};

/// The push for a client when the map changed from `before` to `after`; None if no slot moved.
///
/// go-redis listens only to triplets whose source is the address it is connected to. So a client of that kind
/// gets one more, from its own port `reload` to itself, unless it is there anyway: that makes it load the new
/// map.
pub fn migrated(
    before: &ClusterMap,
    after: &ClusterMap,
    reload: Option<Port>,
    sequence: u64,
) -> Option<Reply> {
    let mut moves = moves(before, after);
    if moves.is_empty() {
        return None;
    }
    if let Some(own) = reload.and_then(|port| after.own(port)) {
        let addr = own.addr_text();
        if let (false, Some(&range)) = (moves.keys().any(|(from, _)| *from == addr), own.ranges.first()) {
            moves.insert((addr.clone(), addr), vec![range]);
        }
    }
    let triplet = |((from, to), ranges): (&(String, String), &Vec<(u16, u16)>)| {
        Reply::Array(vec![Reply::bulk(from), Reply::bulk(to), Reply::bulk(ranges_text(ranges))])
    };
    Some(Reply::Push(vec![
        Reply::bulk("SMIGRATED"),
        Reply::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
        Reply::Array(moves.iter().map(triplet).collect()),
    ]))
}

/// Runs of slots by the ports they went from and to.
fn moves(before: &ClusterMap, after: &ClusterMap) -> BTreeMap<(String, String), Vec<(u16, u16)>> {
    let mut moves: BTreeMap<(String, String), Vec<(u16, u16)>> = BTreeMap::new();
    for slot in 0..SLOTS {
        let (from, to) = (before.owner(slot), after.owner(slot));
        if from.addr == to.addr {
            continue;
        }
        let ranges = moves.entry((from.addr_text(), to.addr_text())).or_default();
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == slot => last.1 = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    moves
}

fn ranges_text(ranges: &[(u16, u16)]) -> String {
    let mut text = String::new();
    for &(first, last) in ranges {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = if first == last {
            write!(text, "{comma}{first}")
        } else {
            write!(text, "{comma}{first}-{last}")
        };
    }
    text
}
