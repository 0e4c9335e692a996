//! Which refusals were reported already, so that a process that keeps trying fills no log.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::HostId;
use crate::error::Reason;
use crate::limits::REFUSALS_REMEMBERED_MAX;

/// Where a refused connection came from or went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A peer that we called.
    Peer(HostId),
    /// Whoever called us from there.
    Address(IpAddr),
}

/// The pairs that were reported.
#[derive(Debug, Default)]
pub struct Refusals {
    reported: BTreeSet<(Origin, bool, Reason)>,
}

impl Refusals {
    /// Whether this is to be reported: the first of its kind, and there is room to remember it.
    pub fn is_new(&mut self, origin: Origin, by_peer: bool, reason: Reason) -> bool {
        let key = (origin, by_peer, reason);
        !self.reported.contains(&key)
            && self.reported.len() < REFUSALS_REMEMBERED_MAX
            && self.reported.insert(key)
    }

    /// A link came about: what is refused from now on is news again.
    pub fn forget(&mut self, peer: HostId, addr: IpAddr) {
        self.reported
            .retain(|(origin, ..)| *origin != Origin::Peer(peer) && *origin != Origin::Address(addr));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_each_until_forgotten_and_bounded() {
        let mut refusals = Refusals::default();
        let addr = IpAddr::from([10, 0, 0, 1]);
        assert!(refusals.is_new(Origin::Peer(1), false, Reason::Secret));
        assert!(!refusals.is_new(Origin::Peer(1), false, Reason::Secret));
        assert!(refusals.is_new(Origin::Peer(1), true, Reason::Secret));
        assert!(refusals.is_new(Origin::Peer(1), false, Reason::Cluster));
        refusals.forget(1, addr);
        assert!(refusals.is_new(Origin::Peer(1), false, Reason::Secret));
        let news =
            (0..1000).filter(|host| refusals.is_new(Origin::Peer(*host + 2), false, Reason::Core)).count();
        assert_eq!(news, REFUSALS_REMEMBERED_MAX - 1);
    }
}
