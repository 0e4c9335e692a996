//! Commands about the keyspace: what a client asks of one slice, what it may be told, and which keys it must or must not see.
//!
//! A survey promises this: a write that was answered before it began is seen, or a newer one; what is under way, or was never
//! finished, may be seen or not (`shard/src/keyspace`). So each key is *there*, *not there* or *either* for the time of a
//! survey, by what clients were told of it and nothing else ([`presence`]), and [`judge`] holds the reply against that.

use std::collections::{BTreeMap, BTreeSet};

use reactor::clock::Nanos;
use shard::reply::Reply;
use shard::slot::slot;
use synod_bench::history::{self, Command, Operation, Outcome};

use crate::ledger::show;
use crate::violation::{invariant, Checked, Violation};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// DBSIZE.
    Size,
    /// KEYS, of all keys or of those with a first letter.
    Keys(Option<u8>),
    /// A page of SCAN.
    Scan(Scan),
    /// RANDOMKEY.
    Random,
    /// CLUSTER COUNTKEYSINSLOT.
    CountInSlot(u16),
    /// CLUSTER GETKEYSINSLOT, of so many keys at most.
    KeysInSlot(u16, u64),
    /// FLUSHALL: which of the flushes of the run.
    Flush(usize),
}

/// A walk through a slice, page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The slice of the keys.
    pub slice: u16,
    /// When its first page was asked for.
    pub since: Nanos,
    /// Where it goes on.
    pub cursor: u64,
    /// COUNT.
    pub count: u64,
    /// What it has brought.
    pub keys: Vec<Vec<u8>>,
}

/// Whether a key is seen by whoever asks all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there from the start to the end.
    There,
    /// It may be there, or not, or only for a part of the time.
    Either,
    /// It is not there at any time.
    Absent,
}

impl Query {
    /// Its words, as a client says them.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        match self {
            Query::Size => words(&["DBSIZE"]),
            Query::Keys(None) => words(&["KEYS", "*"]),
            Query::Keys(Some(letter)) => words(&["KEYS", &format!("{}*", char::from(*letter))]),
            Query::Scan(scan) => words(&["SCAN", &scan.cursor.to_string(), "COUNT", &scan.count.to_string()]),
            Query::Random => words(&["RANDOMKEY"]),
            Query::CountInSlot(slot) => words(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]),
            Query::KeysInSlot(slot, count) => {
                words(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &count.to_string()])
            }
            Query::Flush(_) => words(&["FLUSHALL"]),
        }
    }

    /// Whether it is about this key of its slice.
    fn concerns(&self, key: &[u8]) -> bool {
        match self {
            Query::Keys(Some(letter)) => key.first() == Some(letter),
            Query::CountInSlot(of) | Query::KeysInSlot(of, _) => slot(key) == *of,
            _ => true,
        }
    }
}

/// What clients know of a key for the time from `from` to `to`: `operations` are those on it. Values that `ends` end by
/// themselves, at any time.
pub fn presence(operations: &[&Operation], ends: bool, from: Nanos, to: Nanos) -> Presence {
    let answered = |operation: &Operation| operation.returned().filter(|at| *at < from);
    // What may take effect after something that was called at `call`: all that did not return before, and has begun by `to`.
    let may_follow = |operation: &Operation, call: Nanos| {
        let before = operation.returned().is_some_and(|at| at < call);
        operation.outcome != Outcome::Failed && !before && operation.call <= to
    };
    let stays = |shown: &&&Operation, undone: fn(&Command) -> bool| {
        let others = operations.iter().filter(|other| !std::ptr::eq(**other, **shown));
        !others.into_iter().any(|other| undone(&other.command) && may_follow(other, shown.call))
    };
    let known = |there: bool| {
        operations.iter().filter(move |one| answered(one).is_some() && shows(one) == Some(there))
    };
    if !ends && known(true).any(|one| stays(&one, deletes)) {
        return Presence::There;
    }
    let begun = operations.iter().any(|one| sets(&one.command) && may_follow(one, 0));
    if !begun || known(false).any(|one| stays(&one, sets)) {
        return Presence::Absent;
    }
    Presence::Either
}

fn sets(command: &Command) -> bool {
    !command.is_read() && !deletes(command)
}

fn deletes(command: &Command) -> bool {
    matches!(command, Command::Del | Command::GetDel | Command::Clear)
}

/// Whether the key was there right after an operation, if its reply tells.
fn shows(operation: &Operation) -> Option<bool> {
    let reply = operation.reply()?;
    match (&operation.command, reply) {
        (command, _) if deletes(command) => Some(false),
        (Command::Get, history::Reply::Nil) => Some(false),
        (Command::Exists, history::Reply::Int(count)) => Some(*count > 0),
        (Command::Get, history::Reply::Value(_))
        | (Command::Set(_), history::Reply::Ok)
        | (
            Command::SetIfAbsent(_) | Command::CompareSet { .. },
            history::Reply::Ok | history::Reply::Int(1),
        )
        | (Command::GetSet(_), _)
        | (Command::IncrBy(_) | Command::Append(_), history::Reply::Int(_)) => Some(true),
        _ => None,
    }
}

/// The cursor and the keys of a page of SCAN.
pub fn page(reply: &Reply) -> Option<(u64, Vec<Vec<u8>>)> {
    let Reply::Array(parts) = reply else { return None };
    let [Reply::Bulk(cursor), keys] = parts.as_slice() else { return None };
    Some((std::str::from_utf8(cursor).ok()?.parse().ok()?, names(keys)?))
}

fn names(reply: &Reply) -> Option<Vec<Vec<u8>>> {
    let Reply::Array(keys) = reply else { return None };
    keys.iter().map(|key| if let Reply::Bulk(key) = key { Some(key.clone()) } else { None }).collect()
}

/// Holds a reply against what is known of each key of the slice. A SCAN is judged with all its pages, `scan`, when `reply` was its last.
pub fn judge(query: &Query, reply: &Reply, keys: &BTreeMap<Vec<u8>, Presence>) -> Checked {
    let concerned = || keys.iter().filter(|(key, _)| query.concerns(key));
    match (query, reply) {
        (Query::Size | Query::CountInSlot(_), Reply::Int(count)) => {
            let least = concerned().filter(|(_, presence)| **presence == Presence::There).count() as i64;
            let most = concerned().filter(|(_, presence)| **presence != Presence::Absent).count() as i64;
            if (least..=most).contains(count) {
                return Ok(());
            }
            let there = concerned().filter(|(_, presence)| **presence == Presence::There);
            let names: Vec<String> = there.map(|(key, _)| show(key)).collect();
            wrong(
                query,
                &format!("got {count}, where {least} to {most} keys are there: {}", names.join(", ")),
            )
        }
        (Query::Random, Reply::Nil) => all_seen(query, &[], keys),
        (Query::Random, Reply::Bulk(key)) => none_made_up(query, std::slice::from_ref(key), keys),
        (Query::Keys(_), reply) => {
            let Some(seen) = names(reply) else { return strange(query, reply) };
            none_made_up(query, &seen, keys)?;
            all_seen(query, &seen, keys)
        }
        (Query::KeysInSlot(_, most), reply) => {
            let Some(seen) = names(reply) else { return strange(query, reply) };
            none_made_up(query, &seen, keys)?;
            match (seen.len() as u64).cmp(most) {
                std::cmp::Ordering::Less => all_seen(query, &seen, keys),
                std::cmp::Ordering::Equal => Ok(()),
                std::cmp::Ordering::Greater => wrong(query, "got more keys than it asked for"),
            }
        }
        (Query::Scan(scan), reply) => {
            let Some((cursor, more)) = page(reply) else { return strange(query, reply) };
            let seen = [scan.keys.as_slice(), &more].concat();
            none_made_up(query, &seen, keys)?;
            if cursor == 0 {
                all_seen(query, &seen, keys)
            } else {
                Ok(())
            }
        }
        (Query::Flush(_), Reply::Simple(_)) => Ok(()),
        (_, reply) => strange(query, reply),
    }
}

fn none_made_up(query: &Query, seen: &[Vec<u8>], keys: &BTreeMap<Vec<u8>, Presence>) -> Checked {
    let once: BTreeSet<&Vec<u8>> = seen.iter().collect();
    if once.len() < seen.len() {
        return wrong(query, "got a key twice");
    }
    let there = |key: &&Vec<u8>| {
        query.concerns(key) && keys.get(*key).is_some_and(|presence| *presence != Presence::Absent)
    };
    match seen.iter().find(|key| !there(key)) {
        None => Ok(()),
        Some(key) => wrong(query, &format!("got {}, which is not there", show(key))),
    }
}

fn all_seen(query: &Query, seen: &[Vec<u8>], keys: &BTreeMap<Vec<u8>, Presence>) -> Checked {
    let missed = |(key, presence): &(&Vec<u8>, &Presence)| {
        **presence == Presence::There && query.concerns(key) && !seen.contains(*key)
    };
    match keys.iter().find(missed) {
        None => Ok(()),
        Some((key, _)) => wrong(query, &format!("missed {}, which is there all the time", show(key))),
    }
}

fn strange(query: &Query, reply: &Reply) -> Checked {
    wrong(query, &format!("got {reply:?}"))
}

fn wrong(query: &Query, why: &str) -> Checked {
    Err(Violation::new(invariant::SURVEY, format!("{query:?} {why}")))
}
