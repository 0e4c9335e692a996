//! Two cores: the plain port has the keys of both, a core port its own.

use std::collections::BTreeSet;

use super::client::{Client, Value};
use super::host::Cluster;

#[test]
fn the_plain_port_has_all_keys_and_a_core_port_its_own() {
    const KEYS: usize = 40;
    let cluster = Cluster::start(1, 2, "");
    let host = &cluster.hosts[0];
    let mut plain = host.client();
    let names: Vec<String> = (0..KEYS).map(|i| format!("key-{i}")).collect();
    let mut words = vec!["MSET"];
    names.iter().for_each(|name| words.extend([name.as_str(), name.as_str()]));
    assert_eq!(plain.call(&words), Value::ok());
    let mut words = vec!["MGET"];
    words.extend(names.iter().map(String::as_str));
    let all: Vec<Value> = names.iter().map(|name| Value::bulk(name)).collect();
    assert_eq!(plain.call(&words), Value::Array(all));
    assert_eq!(plain.call(&["DBSIZE"]), Value::Int(KEYS as i64));

    let mut cores: Vec<Client> = (0..2).map(|core| Client::connect(&host.core(core))).collect();
    let mut owned = [BTreeSet::new(), BTreeSet::new()];
    for name in &names {
        let replies: Vec<Value> = cores.iter_mut().map(|core| core.call(&["GET", name])).collect();
        let own = replies.iter().position(|reply| *reply == Value::bulk(name)).expect("one core has it");
        let Value::Int(slot) = plain.call(&["CLUSTER", "KEYSLOT", name]) else { panic!("a slot") };
        let moved = format!("MOVED {slot} {}", host.core(own as u16));
        assert_eq!(replies[1 - own], Value::error(&moved), "the other says who has it");
        assert_eq!(cores[1 - own].call(&["SET", name, "x"]), Value::error(&moved));
        owned[own].insert(name.clone());
    }
    assert!(owned.iter().all(|names| !names.is_empty()), "forty keys on both cores");
    for (core, names) in cores.iter_mut().zip(&owned) {
        assert_eq!(core.call(&["DBSIZE"]), Value::Int(names.len() as i64), "a core port counts its own");
    }
    // One connection, many keys of both cores in one go: replies in the order of the requests.
    for name in &names {
        plain.send(&super::client::request(&[b"GET", name.as_bytes()])).expect("sent");
    }
    for name in &names {
        assert_eq!(plain.reply().expect("a reply"), Value::bulk(name));
    }
    let mut words = vec!["DEL"];
    words.extend(names.iter().map(String::as_str));
    assert_eq!(plain.call(&words), Value::Int(KEYS as i64));
    assert_eq!(plain.call(&["DBSIZE"]), Value::Int(0));
}

#[test]
fn three_hosts_of_two_cores_serve_every_key_from_every_plain_port() {
    let cluster = Cluster::start(3, 2, "");
    for (place, host) in cluster.hosts.iter().enumerate() {
        let mut client = host.client();
        for i in 0..20 {
            assert_eq!(client.call(&["INCR", &format!("counter-{i}")]), Value::Int(place as i64 + 1));
        }
    }
}
