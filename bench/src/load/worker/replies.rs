//! What a worker does with replies: counts them, follows redirects, keeps its copy of the slot map.

use std::net::SocketAddr;

use super::Worker;
use crate::error::BenchError;
use crate::limits::{NODES_MAX, REDIRECTS_MAX, SLOTS};
use crate::load::keys::Kind;
use crate::load::link::{Input, Pending, Purpose};
use crate::resp::{self, Reply};

impl Worker<'_> {
    pub(super) fn take_replies(
        &mut self,
        index: usize,
        input: &mut Input,
        now: u64,
    ) -> Result<(), resp::Malformed> {
        let mut any = false;
        while let Some((reply, used)) = resp::scan(input.unread())? {
            let pending =
                self.links[index].queue.pop_front().ok_or(resp::Malformed("a reply without a request"))?;
            any = true;
            match pending.purpose {
                Purpose::Load(kind) => self.on_reply(index, pending, kind, reply, now),
                Purpose::Auth => self.on_auth(index, reply),
                Purpose::Asking => {}
                Purpose::Confirm => {
                    let enough = self.plan.confirm.as_ref().is_some_and(|confirm| {
                        confirm.is_enough(input.unread().get(..used).unwrap_or_default())
                    });
                    self.on_confirm(index, enough, now);
                }
            }
            input.take(used);
        }
        if any {
            self.links[index].on_reply(now);
        }
        Ok(())
    }

    fn on_auth(&mut self, index: usize, reply: Reply<'_>) {
        if let Reply::Error(text) = reply {
            let addr = self.nodes[self.links[index].node];
            let text = String::from_utf8_lossy(text).into_owned();
            self.refused = Some(BenchError::Server { addr, text });
        }
    }

    /// The writes before the confirmation are answered, or were not copied as asked.
    fn on_confirm(&mut self, index: usize, enough: bool, now: u64) {
        let client = self.links[index].client;
        for pending in std::mem::take(&mut self.links[index].held) {
            if enough {
                self.tally.answered(Kind::Write, now.saturating_sub(pending.from_ns));
            } else {
                self.tally.error("not confirmed");
            }
            self.give_room(client);
        }
    }

    fn on_reply(&mut self, index: usize, pending: Pending, kind: Kind, reply: Reply<'_>, now: u64) {
        let client = self.links[index].client;
        match reply {
            Reply::Error(text) => {
                let text = String::from_utf8_lossy(text);
                if self.redirect(index, pending, &text) {
                    return;
                }
                self.tally.error(text.split_ascii_whitespace().next().unwrap_or("empty error"));
                if self.plan.cluster {
                    self.topology.refresh();
                }
            }
            _ if kind == Kind::Write && self.plan.confirm.is_some() => {
                self.links[index].held.push(pending);
                return;
            }
            reply => {
                self.tally.misses += u64::from(reply == Reply::Nil && kind == Kind::Read);
                self.tally.answered(kind, now.saturating_sub(pending.from_ns));
            }
        }
        self.give_room(client);
    }

    /// Notes a MOVED or ASK to be followed; false if the error is another one or was followed often enough.
    fn redirect(&mut self, index: usize, mut pending: Pending, text: &str) -> bool {
        let mut words = text.split_ascii_whitespace();
        let asking = match words.next() {
            Some("MOVED") => false,
            Some("ASK") => true,
            _ => return false,
        };
        let slot = words.next().and_then(|slot| slot.parse::<usize>().ok()).filter(|&slot| slot < SLOTS);
        let from = self.nodes[self.links[index].node];
        let target = words.next().and_then(|target| address(target, from));
        let (Some(slot), Some(target)) = (slot, target) else { return false };
        if !self.plan.cluster || pending.redirects >= REDIRECTS_MAX {
            return false;
        }
        let Some(node) = self.node_index(target) else { return false };
        pending.redirects += 1;
        self.tally.redirects += 1;
        if !asking {
            self.owner[slot] = node as u16;
            self.topology.refresh();
        }
        self.redirected.push((self.links[index].client, pending, node, asking));
        true
    }

    pub(super) fn follow(&mut self, client: usize, pending: Pending, node: usize, asking: bool, now: u64) {
        let link = self.link(client, node);
        if !self.open(link, now) {
            self.parked.push_back((client, pending));
            return;
        }
        if asking {
            let request = Pending { purpose: Purpose::Asking, ..pending };
            self.links[link].push(request, now, |out| resp::request(out, &[b"ASKING"]));
        }
        self.queue(link, pending, now);
    }

    /// Takes over a slot map that was published since.
    pub(super) fn update_map(&mut self) {
        let version = self.topology.version();
        if version == self.map_version {
            return;
        }
        self.map_version = version;
        for range in self.topology.ranges().iter() {
            if let Some(node) = self.node_index(range.node) {
                self.owner[range.start..=range.end].fill(node as u16);
            }
        }
    }

    fn node_index(&mut self, addr: SocketAddr) -> Option<usize> {
        if let Some(index) = self.nodes.iter().position(|&node| node == addr) {
            return Some(index);
        }
        (self.nodes.len() < NODES_MAX).then(|| {
            self.nodes.push(addr);
            self.nodes.len() - 1
        })
    }
}

/// The address in a redirect; without a host it is that of the node which answered.
fn address(text: &str, from: SocketAddr) -> Option<SocketAddr> {
    match text.strip_prefix(':').filter(|port| !port.contains(':')) {
        Some(port) => Some(SocketAddr::new(from.ip(), port.parse().ok()?)),
        None => {
            let (host, port) = text.rsplit_once(':')?;
            Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_addresses() {
        let from: SocketAddr = "10.0.0.1:7000".parse().unwrap();
        let table = [
            ("10.0.0.2:7001", Some("10.0.0.2:7001")),
            (":7002", Some("10.0.0.1:7002")),
            ("::1:7003", Some("[::1]:7003")),
            ("[::1]:7003", Some("[::1]:7003")),
            ("nonsense", None),
            ("10.0.0.2:70000", None),
        ];
        for (text, expected) in table {
            assert_eq!(address(text, from), expected.map(|addr| addr.parse().unwrap()), "{text}");
        }
    }
}
