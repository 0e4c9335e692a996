//! What commands about the keyspace may be told, and what they may not.

use std::collections::BTreeMap;

use shard::reply::Reply as Told;
use sim::survey::{judge, presence, Presence, Query, Scan};
use synod_bench::history::{Command, Operation, Outcome, Reply};

/// An operation called at `call`: answered at a time with something, failed, or of unknown outcome.
fn operation(call: u64, command: Command, outcome: Outcome) -> Operation {
    Operation { client: 0, key: b"g0.0".to_vec(), call, command, outcome, version: None }
}

fn answered(call: u64, at: u64, command: Command, reply: Reply) -> Operation {
    operation(call, command, Outcome::Replied { at, reply })
}

fn set(call: u64, at: u64) -> Operation {
    answered(call, at, Command::Set(b"v".to_vec()), Reply::Ok)
}

fn del(call: u64, at: u64) -> Operation {
    answered(call, at, Command::Del, Reply::Int(1))
}

#[test]
fn a_key_is_there_by_what_was_told_before_and_nothing_undid_since() {
    use Presence::{Absent, Either, There};
    let unknown = |call, command| operation(call, command, Outcome::Unknown);
    let failed = |call, command| operation(call, command, Outcome::Failed);
    let value = || Command::Set(b"v".to_vec());
    let read = |call, at, reply| answered(call, at, Command::Get, reply);
    // For a survey from 100 to 200.
    let table: Vec<(Vec<Operation>, Presence)> = vec![
        (vec![], Absent),
        (vec![set(10, 20)], There),
        (vec![set(90, 110)], Either),
        (vec![set(201, 210)], Absent),
        (vec![unknown(10, value())], Either),
        (vec![failed(10, value())], Absent),
        (vec![set(10, 20), del(30, 40)], Absent),
        (vec![set(10, 20), del(15, 40)], Either),
        (vec![set(10, 20), unknown(30, Command::Del)], Either),
        (vec![set(10, 20), failed(30, Command::Del)], There),
        (vec![unknown(5, Command::Del), set(10, 20)], Either),
        (vec![del(1, 5), set(10, 20)], There),
        (vec![set(10, 20), del(150, 160)], Either),
        (vec![set(10, 20), del(201, 210)], There),
        (vec![set(10, 20), del(30, 40), set(150, 160)], Either),
        (vec![set(10, 20), del(30, 40), unknown(35, value())], Either),
        (vec![unknown(10, value()), read(30, 40, Reply::Value(b"v".to_vec()))], There),
        (vec![unknown(10, value()), read(30, 40, Reply::Nil)], Either),
        (vec![set(10, 20), unknown(25, Command::GetDel), read(30, 40, Reply::Nil)], Absent),
    ];
    for (index, (operations, wanted)) in table.into_iter().enumerate() {
        let operations: Vec<&Operation> = operations.iter().collect();
        assert_eq!(presence(&operations, false, 100, 200), wanted, "line {index}");
    }
    assert_eq!(presence(&[&set(10, 20)], true, 100, 200), Either, "what ends by itself may be gone");
}

#[test]
fn replies_are_held_against_what_is_known() {
    let name = |name: &str| name.as_bytes().to_vec();
    let keys = BTreeMap::from([
        (name("a0.0"), Presence::There),
        (name("g1.0"), Presence::There),
        (name("g2.0"), Presence::Either),
        (name("r3.0"), Presence::Absent),
    ]);
    let list = |names: &[&str]| Told::Array(names.iter().map(|one| Told::bulk(*one)).collect());
    let page = |cursor: &str, names: &[&str]| Told::Array(vec![Told::bulk(cursor), list(names)]);
    let walk = |seen: &[&str]| {
        let keys = seen.iter().map(|one| name(one)).collect();
        Query::Scan(Scan { slice: 0, since: 0, cursor: 7, count: 1, keys })
    };
    let slot = shard::slot::slot(b"g1.0");
    let table: Vec<(Query, Told, bool)> = vec![
        (Query::Size, Told::Int(1), false),
        (Query::Size, Told::Int(2), true),
        (Query::Size, Told::Int(3), true),
        (Query::Size, Told::Int(4), false),
        (Query::Size, Told::Nil, false),
        (Query::Keys(None), list(&["g1.0", "a0.0"]), true),
        (Query::Keys(None), list(&["a0.0", "g2.0"]), false),
        (Query::Keys(None), list(&["a0.0", "g1.0", "r3.0"]), false),
        (Query::Keys(None), list(&["a0.0", "g1.0", "g1.0"]), false),
        (Query::Keys(None), list(&["a0.0", "g1.0", "never written"]), false),
        (Query::Keys(Some(b'g')), list(&["g1.0"]), true),
        (Query::Keys(Some(b'g')), list(&["g1.0", "a0.0"]), false),
        (Query::Random, Told::Nil, false),
        (Query::Random, Told::bulk("g2.0"), true),
        (Query::Random, Told::bulk("r3.0"), false),
        (Query::CountInSlot(slot), Told::Int(1), true),
        (Query::CountInSlot(slot), Told::Int(2), false),
        (Query::KeysInSlot(slot, 2), list(&["g1.0"]), true),
        (Query::KeysInSlot(slot, 2), list(&[]), false),
        (walk(&["a0.0"]), page("0", &["g1.0"]), true),
        (walk(&["a0.0"]), page("0", &[]), false),
        (walk(&["a0.0"]), page("9", &[]), true),
        (walk(&["a0.0"]), page("9", &["a0.0"]), false),
        (Query::Flush(0), Told::OK, true),
        (Query::Flush(0), Told::Int(1), false),
    ];
    for (query, reply, good) in table {
        assert_eq!(judge(&query, &reply, &keys).is_ok(), good, "{query:?} told {reply:?}");
    }
}
