//! How a client of the lab comes in: by a plain port, or by the core ports with a slot map of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::limits::{CLIENT_TIMEOUT, REDIRECTS_MAX};
use crate::load::topology::{parse_slots, Range};
use crate::resp::Value;
use crate::slot::slot_of;
use crate::wire::Wire;

/// What came back, and from where.
#[derive(Debug)]
pub struct Asked {
    /// Which host was asked, from 0.
    pub host: usize,
    /// What it answered.
    pub answer: io::Result<Value>,
}

/// A client's connections.
#[derive(Debug)]
pub struct Door<'a> {
    hosts: &'a [SocketAddr],
    home: usize,
    way: Way,
    /// Connections lost or not made.
    pub reconnects: u64,
}

#[derive(Debug)]
enum Way {
    Plain { host: usize, wire: Option<Wire> },
    Cores { map: Vec<Range>, wires: BTreeMap<SocketAddr, Wire> },
}

impl<'a> Door<'a> {
    /// A door whose first host is that of `index`, modulo their number.
    pub fn new(hosts: &'a [SocketAddr], index: usize, cores: bool) -> Door<'a> {
        let home = index % hosts.len();
        let way = match cores {
            true => Way::Cores { map: Vec::new(), wires: BTreeMap::new() },
            false => Way::Plain { host: home, wire: None },
        };
        Door { hosts, home, way, reconnects: 0 }
    }

    /// Back to the first host, after it was away; a cluster client looks for the map in force.
    pub fn go_home(&mut self) {
        match &mut self.way {
            Way::Plain { host, wire } if *host != self.home => {
                *host = self.home;
                *wire = None;
            }
            Way::Plain { .. } => {}
            Way::Cores { map, .. } => map.clear(),
        }
    }

    /// Asks; none if no host can be reached. A connection that gave no answer is dropped, and the next call
    /// goes elsewhere.
    pub fn call(&mut self, key: &[u8], words: &[Vec<u8>]) -> Option<Asked> {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match self.way {
            Way::Plain { .. } => self.call_plain(&words),
            Way::Cores { .. } => self.call_core(key, &words),
        }
    }

    fn call_plain(&mut self, words: &[&[u8]]) -> Option<Asked> {
        let Way::Plain { host, wire } = &mut self.way else { return None };
        for _ in 0..self.hosts.len() {
            if wire.is_none() {
                *wire = Wire::connect(self.hosts[*host], None, CLIENT_TIMEOUT).ok();
            }
            let asked = *host;
            match wire {
                Some(open) => {
                    let answer = open.call(words);
                    if answer.is_err() {
                        *wire = None;
                        *host = (*host + 1) % self.hosts.len();
                        self.reconnects += 1;
                    }
                    return Some(Asked { host: asked, answer });
                }
                None => {
                    *host = (*host + 1) % self.hosts.len();
                    self.reconnects += 1;
                }
            }
        }
        None
    }

    fn call_core(&mut self, key: &[u8], words: &[&[u8]]) -> Option<Asked> {
        let hosts = self.hosts;
        let slot = slot_of(key);
        let Way::Cores { map, wires } = &mut self.way else { return None };
        for _ in 0..REDIRECTS_MAX {
            if map.is_empty() {
                *map = read_map(hosts, self.home)?;
            }
            let node = map.iter().find(|range| (range.start..=range.end).contains(&slot))?.node;
            let wire = match wires.get_mut(&node) {
                Some(wire) => wire,
                None => match Wire::connect(node, None, CLIENT_TIMEOUT) {
                    Ok(wire) => wires.entry(node).or_insert(wire),
                    Err(_) => {
                        self.reconnects += 1;
                        map.clear();
                        continue;
                    }
                },
            };
            let answer = wire.call(words);
            match &answer {
                Ok(Value::Error(text)) if text.starts_with(b"MOVED ") => {
                    follow(map, text, slot);
                    continue;
                }
                Ok(_) => {}
                Err(_) => {
                    wires.remove(&node);
                    map.clear();
                    self.reconnects += 1;
                }
            }
            let host = hosts.iter().position(|host| host.ip() == node.ip())?;
            return Some(Asked { host, answer });
        }
        None
    }
}

/// The map of the first host that has one, beginning with `first`.
fn read_map(hosts: &[SocketAddr], first: usize) -> Option<Vec<Range>> {
    let ask = |host: SocketAddr| {
        let mut wire = Wire::connect(host, None, CLIENT_TIMEOUT).ok()?;
        parse_slots(&wire.call(&[b"CLUSTER", b"SLOTS"]).ok()?, host.ip()).ok()
    };
    (0..hosts.len()).find_map(|step| ask(hosts[(first + step) % hosts.len()]))
}

/// Does what `MOVED slot ip:port` says, for its one slot; what cannot be read makes the map be read again.
fn follow(map: &mut Vec<Range>, text: &[u8], slot: usize) {
    let words = String::from_utf8_lossy(text);
    match words.split_ascii_whitespace().nth(2).and_then(|node| node.parse().ok()) {
        Some(node) => map.insert(0, Range { start: slot, end: slot, node }),
        None => map.clear(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_goes_before_the_map() {
        let node = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut map = vec![Range { start: 0, end: 16_383, node: node(1) }];
        follow(&mut map, b"MOVED 5 127.0.0.1:2", 5);
        let of = |map: &[Range], slot| map.iter().find(|r| (r.start..=r.end).contains(&slot)).map(|r| r.node);
        assert_eq!((of(&map, 5), of(&map, 6)), (Some(node(2)), Some(node(1))));
        follow(&mut map, b"MOVED 5", 5);
        assert!(map.is_empty(), "an unreadable redirect makes the map be read again");
    }
}
