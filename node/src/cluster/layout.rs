//! What the configuration says of the cluster, checked once.

use std::net::{IpAddr, SocketAddr};

use shard::slot::SLOTS;

/// Number of a host, as in its identity.
pub type HostId = u32;

/// One host, with the addresses that clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its number.
    pub id: HostId,
    /// The address announced to clients: explicit, never a wildcard (clients rewrite or refuse those).
    pub ip: IpAddr,
    /// Client port of core 0; core c has this plus c.
    pub core_port_base: u16,
    /// Peer port of core 0, shown behind the `@` of CLUSTER NODES.
    pub peer_port_base: u16,
    /// The plain port.
    pub plain_port: u16,
}

/// The cluster as configured, equal on all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    cluster_id: String,
    hosts: Vec<Host>,
    slices: u16,
}

/// Why a layout is refused. The sentence says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No host at all.
    #[error("the cluster has no host: name at least one")]
    NoHost,
    /// More slices than the ids of ports and cursors have room for, or none.
    #[error("{0} slices: must be 1 to {max}", max = super::super::session::limits::CORES_MAX)]
    Slices(u16),
    /// Two hosts with one number.
    #[error("host {0} is named twice")]
    TwoHosts(HostId),
    /// An address that clients cannot use.
    #[error("host {0} announces {1}: announce an address that clients can connect to")]
    Wildcard(HostId, IpAddr),
    /// The core ports of a host would run past 65535 or over its plain port.
    #[error("host {0}: core ports {1} to {2} run past 65535 or over plain port {3}: choose another base")]
    Ports(HostId, u16, u32, u16),
    /// One address and port announced twice.
    #[error("{0} would be announced twice")]
    TwoPorts(SocketAddr),
}

impl Layout {
    /// Checks and orders a layout: hosts by number.
    pub fn new(cluster_id: &str, mut hosts: Vec<Host>, slices: u16) -> Result<Layout, LayoutError> {
        if hosts.is_empty() {
            return Err(LayoutError::NoHost);
        }
        if slices == 0 || usize::from(slices) > super::super::session::limits::CORES_MAX {
            return Err(LayoutError::Slices(slices));
        }
        hosts.sort_by_key(|host| host.id);
        if let Some(pair) = hosts.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(LayoutError::TwoHosts(pair[0].id));
        }
        let layout = Layout { cluster_id: cluster_id.to_owned(), hosts, slices };
        layout.check_addresses()?;
        Ok(layout)
    }

    fn check_addresses(&self) -> Result<(), LayoutError> {
        let mut seen = std::collections::BTreeSet::new();
        for host in &self.hosts {
            if host.ip.is_unspecified() {
                return Err(LayoutError::Wildcard(host.id, host.ip));
            }
            let first = u32::from(host.core_port_base);
            let last = first + u32::from(self.ports_per_host()) - 1;
            let plain = u32::from(host.plain_port);
            if last > u32::from(u16::MAX) || (first..=last).contains(&plain) {
                return Err(LayoutError::Ports(host.id, host.core_port_base, last, host.plain_port));
            }
            for port in 0..self.ports_per_host() {
                let addr = SocketAddr::new(host.ip, host.core_port_base + port);
                if !seen.insert(addr) {
                    return Err(LayoutError::TwoPorts(addr));
                }
            }
        }
        Ok(())
    }

    /// Name of the cluster, as drawn by `synod init`.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The hosts, by number.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Place of a host in [`Layout::hosts`].
    pub fn index_of(&self, id: HostId) -> Option<usize> {
        self.hosts.binary_search_by_key(&id, |host| host.id).ok()
    }

    /// Slices per host, equal on all: also the number of cores.
    pub fn slices(&self) -> u16 {
        self.slices
    }

    /// Core ports that each host listens on: one per slice, but two if the whole cluster is one core, because
    /// a cluster of one primary is refused by redis-benchmark.
    pub fn ports_per_host(&self) -> u16 {
        if self.hosts.len() == 1 && self.slices == 1 {
            2
        } else {
            self.slices
        }
    }

    /// The slice that a core port belongs to.
    pub fn slice_of_port(&self, port: u16) -> u16 {
        port.min(self.slices - 1)
    }

    /// Members of the majority of a set: what every reply of a write waited for.
    pub fn majority(&self) -> usize {
        self.hosts.len() / 2 + 1
    }
}

/// The slice of a slot: the slots are cut into `slices` runs of equal length, give or take one.
pub fn slice_of(slot: u16, slices: u16) -> u16 {
    assert!(slot < SLOTS && slices > 0, "a slot below 16384 and at least one slice: {slot}, {slices}");
    let slice = u32::from(slot) * u32::from(slices) / u32::from(SLOTS);
    slice as u16
}

/// The slots of a slice, first and last.
pub fn slice_slots(slice: u16, slices: u16) -> (u16, u16) {
    assert!(slice < slices, "slice {slice} of {slices}");
    let start = |slice: u32| (slice * u32::from(SLOTS)).div_ceil(u32::from(slices));
    (start(u32::from(slice)) as u16, (start(u32::from(slice) + 1) - 1) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: HostId, ip: &str, base: u16) -> Host {
        let ip = ip.parse().expect("an address");
        Host { id, ip, core_port_base: base, peer_port_base: 7500, plain_port: 6379 }
    }

    #[test]
    fn slices_cover_all_slots_in_order() {
        for slices in [1_u16, 2, 3, 5, 7, 8, 64, 100, 256] {
            let mut next = 0;
            for slice in 0..slices {
                let (first, last) = slice_slots(slice, slices);
                assert_eq!(first, next, "{slices} slices");
                assert!((first..=last).all(|slot| slice_of(slot, slices) == slice), "{slice} of {slices}");
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn what_is_refused() {
        let one = || host(1, "127.0.0.1", 7000);
        let refused = |hosts, slices| Layout::new("c", hosts, slices).expect_err("refused").to_string();
        assert!(refused(vec![], 1).contains("no host"));
        assert!(refused(vec![one()], 0).contains("0 slices"));
        assert!(refused(vec![one()], 257).contains("1 to 256"));
        assert!(refused(vec![one(), one()], 1).contains("host 1 is named twice"));
        assert!(refused(vec![host(1, "0.0.0.0", 7000)], 1).contains("can connect to"));
        assert!(refused(vec![host(1, "127.0.0.1", 65535)], 1).contains("past 65535"));
        assert!(refused(vec![host(1, "127.0.0.1", 6378)], 4).contains("plain port 6379"));
        assert!(
            refused(vec![one(), host(2, "127.0.0.1", 7001)], 2).contains("127.0.0.1:7001 would be announced")
        );
    }

    #[test]
    fn a_single_core_announces_two_ports() {
        let ports =
            |hosts: Vec<Host>, slices| Layout::new("c", hosts, slices).expect("good").ports_per_host();
        assert_eq!(ports(vec![host(1, "127.0.0.1", 7000)], 1), 2);
        assert_eq!(ports(vec![host(1, "127.0.0.1", 7000)], 3), 3);
        assert_eq!(ports(vec![host(1, "127.0.0.1", 7000), host(2, "127.0.0.2", 7000)], 1), 1);
    }
}
