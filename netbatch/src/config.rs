//! What a core must know to talk to its peers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use reactor::Nanos;

use crate::error::ConfigError;
use crate::limits::{
    ACK_DELAY_DEFAULT, BACKOFF_FLOOR, BACKOFF_MAX_DEFAULT, BACKOFF_MIN_DEFAULT, CONNECT_TIMEOUT_DEFAULT,
    HANDSHAKE_TIMEOUT_DEFAULT, HANG_DEFAULT, HEARTBEAT_DEFAULT, LINKS_PER_PEER_DEFAULT, LINKS_PER_PEER_MAX,
    OUTBOX_BYTES_DEFAULT, PEERS_MAX, REFUSED_RETRY_DEFAULT, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
    STALL_DEFAULT, UNHEALTHY_DEFAULT,
};

/// The number of a host in its set, given at `synod init`.
pub type HostId = u32;

/// Random name of a cluster, given at `synod init`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

/// Random name of a data directory, given when it is made: an emptied one cannot pass for its predecessor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(pub [u8; 16]);

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// The secret that all hosts of a cluster share. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the secret; [`Config::check`] tells whether its length will do.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Who this core is, and who its peers are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; a process of another one is refused.
    pub cluster: ClusterId,
    /// This host.
    pub host: HostId,
    /// This core; it talks to the core of the same number on each peer.
    pub core: u16,
    /// How many slices each host of the set has.
    pub slices: u16,
    /// The member set in force when the process started; told to peers, not compared.
    pub config_epoch: u64,
    /// This host's data directory.
    pub data_id: DataId,
    /// What all hosts of the cluster share and nobody else knows.
    pub secret: Secret,
    /// The peers, with the address that their core of this number listens on.
    pub peers: BTreeMap<HostId, SocketAddr>,
    /// What was learned of the peers' data directories and persisted.
    pub known_peer_data_ids: BTreeMap<HostId, DataId>,
    /// Sizes and times.
    pub tuning: Tuning,
}

/// Sizes and times. The defaults are derived in [`crate::limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Sockets kept to each peer.
    pub links_per_peer: usize,
    /// Most bytes that wait for one peer.
    pub outbox_bytes_max: usize,
    /// A link that carried nothing for this long carries an empty frame.
    pub heartbeat: Nanos,
    /// A link that hears or gets through nothing for this long is closed.
    pub hang: Nanos,
    /// A link with something unacknowledged for this long is avoided.
    pub stall: Nanos,
    /// A peer with something unacknowledged on every link for this long is not healthy.
    pub unhealthy: Nanos,
    /// Messages are acknowledged at the latest after this time.
    pub ack_delay: Nanos,
    /// Time to establish a connection.
    pub connect_timeout: Nanos,
    /// Time for the handshake.
    pub handshake_timeout: Nanos,
    /// The longest wait before the first new attempt to connect.
    pub backoff_min: Nanos,
    /// The longest wait before any attempt to connect.
    pub backoff_max: Nanos,
    /// The longest wait after a refusal.
    pub refused_retry: Nanos,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            links_per_peer: LINKS_PER_PEER_DEFAULT,
            outbox_bytes_max: OUTBOX_BYTES_DEFAULT,
            heartbeat: HEARTBEAT_DEFAULT,
            hang: HANG_DEFAULT,
            stall: STALL_DEFAULT,
            unhealthy: UNHEALTHY_DEFAULT,
            ack_delay: ACK_DELAY_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            handshake_timeout: HANDSHAKE_TIMEOUT_DEFAULT,
            backoff_min: BACKOFF_MIN_DEFAULT,
            backoff_max: BACKOFF_MAX_DEFAULT,
            refused_retry: REFUSED_RETRY_DEFAULT,
        }
    }
}

impl Config {
    /// Tells whether the configuration makes sense; [`crate::Net::new`] takes no other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let secret_bytes = self.secret.bytes().len();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret_bytes) {
            return Err(ConfigError::Secret { bytes: secret_bytes });
        }
        if self.core >= self.slices {
            return Err(ConfigError::Core { core: self.core, slices: self.slices });
        }
        if self.peers.contains_key(&self.host) {
            return Err(ConfigError::OwnPeer(self.host));
        }
        if self.peers.len() > PEERS_MAX {
            return Err(ConfigError::Peers { count: self.peers.len() });
        }
        self.tuning.check()
    }
}

impl Tuning {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = if !(1..=LINKS_PER_PEER_MAX).contains(&self.links_per_peer) {
            "links_per_peer must be 1 to 4"
        } else if self.backoff_min < BACKOFF_FLOOR || self.backoff_max < self.backoff_min {
            "back-off must be at least 1 ms, and its maximum not below its minimum"
        } else if self.heartbeat == 0 || self.hang <= self.heartbeat {
            "the hang time-out must be above the heartbeat, and the heartbeat above zero"
        } else if self.refused_retry < BACKOFF_FLOOR {
            "the wait after a refusal must be at least 1 ms"
        } else {
            return Ok(());
        };
        Err(ConfigError::Tuning(wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            cluster: ClusterId([1; 16]),
            host: 1,
            core: 0,
            slices: 1,
            config_epoch: 1,
            data_id: DataId([2; 16]),
            secret: Secret::new(*b"a secret of the cluster"),
            peers: BTreeMap::new(),
            known_peer_data_ids: BTreeMap::new(),
            tuning: Tuning::default(),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 7500));
        type Change = fn(&mut Config, SocketAddr);
        let table: &[(Change, &str)] = &[
            (
                |c, _| c.secret = Secret::new(*b"short"),
                "the cluster secret has 5 bytes; it must have 16 to 1024",
            ),
            (|c, _| c.core = 1, "core 1 does not exist: there is 1 slice"),
            (|c, a| c.peers = [(1, a)].into(), "host 1 is this host and cannot be its own peer"),
            (
                |c, a| c.peers = (2..18).map(|h| (h, a)).collect(),
                "there are 16 peers; at most 15 are possible",
            ),
            (|c, _| c.tuning.links_per_peer = 5, "links_per_peer must be 1 to 4"),
        ];
        assert_eq!(config().check(), Ok(()));
        for (change, text) in table {
            let mut changed = config();
            change(&mut changed, addr);
            assert_eq!(changed.check().map_err(|e| e.to_string()), Err((*text).to_string()));
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", config()).contains("97, 32"), "no byte values");
        assert_eq!(format!("{:?}", config().secret), "Secret(23 bytes)");
    }
}
