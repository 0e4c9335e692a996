//! What can be wrong: with the configuration, with a frame, with whoever is at the other end.

use std::fmt;

use crate::config::{DataId, HostId};
use crate::limits::{BODY_BYTES_MAX, MESSAGE_BYTES_MAX, PEERS_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// Why a configuration makes no sense. The operator mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The secret is too short or too long.
    Secret {
        /// Its length.
        bytes: usize,
    },
    /// There is no such core.
    Core {
        /// The core.
        core: u16,
        /// How many there are.
        slices: u16,
    },
    /// The host is listed among its own peers.
    OwnPeer(HostId),
    /// Too many peers.
    Peers {
        /// How many.
        count: usize,
    },
    /// Sizes or times that contradict each other.
    Tuning(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Secret { bytes } => write!(
                f,
                "the cluster secret has {bytes} bytes; it must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}"
            ),
            ConfigError::Core { core, slices: 1 } => {
                write!(f, "core {core} does not exist: there is 1 slice")
            }
            ConfigError::Core { core, slices } => {
                write!(f, "core {core} does not exist: there are {slices} slices")
            }
            ConfigError::OwnPeer(host) => write!(f, "host {host} is this host and cannot be its own peer"),
            ConfigError::Peers { count } => {
                write!(f, "there are {count} peers; at most {PEERS_MAX} are possible")
            }
            ConfigError::Tuning(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why bytes of a proven peer are not frames. The connection is closed; what it carried is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// The first bytes are not a frame's.
    Magic,
    /// The header differs from what was written.
    HeaderChecksum,
    /// Another version than the handshake agreed upon.
    Version(u8),
    /// Flags or reserved bytes that this version does not know.
    Flags,
    /// The header announces a longer body than any frame has, or a count that cannot fit into it.
    Length,
    /// The body differs from what was written.
    BodyChecksum,
    /// A frame is missing, or was repeated.
    Sequence,
    /// Frames are acknowledged that were never sent, or acknowledgements go back.
    Acknowledgement,
    /// The body's messages do not add up.
    Messages,
    /// Parts of a split message in the wrong order, or more or less of them than announced.
    Parts,
    /// A split message is announced that is longer than any message.
    MessageLength,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFrame::Magic => write!(f, "no frame starts where one should"),
            BadFrame::HeaderChecksum => write!(f, "a frame's header does not match its checksum"),
            BadFrame::Version(version) => {
                write!(f, "a frame has version {version}, which was not agreed upon")
            }
            BadFrame::Flags => write!(f, "a frame has flags that this version does not know"),
            BadFrame::Length => {
                write!(
                    f,
                    "a frame announces more than {BODY_BYTES_MAX} bytes, or more messages than fit into it"
                )
            }
            BadFrame::BodyChecksum => write!(f, "a frame's body does not match its checksum"),
            BadFrame::Sequence => write!(f, "a frame is missing or was repeated"),
            BadFrame::Acknowledgement => write!(f, "a frame acknowledges what was never sent"),
            BadFrame::Messages => write!(f, "the messages of a frame do not add up to its body"),
            BadFrame::Parts => write!(f, "the parts of a split message do not add up"),
            BadFrame::MessageLength => {
                write!(f, "a split message is announced as longer than {MESSAGE_BYTES_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for BadFrame {}

/// Why a connection was refused in the handshake, in one word for counting and for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// What was sent is not this protocol's handshake.
    Malformed = 1,
    /// No version is spoken by both sides.
    Version = 2,
    /// Another cluster.
    Cluster = 3,
    /// A host that is not in the configuration.
    UnknownHost = 4,
    /// Another host than the one that was called.
    WrongHost = 5,
    /// Another core.
    Core = 6,
    /// Another number of slices.
    Slices = 7,
    /// The secret was not proved.
    Secret = 8,
    /// The peer's data directory is not the one that is known.
    DataDirectory = 9,
}

impl Reason {
    /// The code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a code; a code of a later version counts as malformed.
    pub fn from_code(code: u8) -> Reason {
        match code {
            2 => Reason::Version,
            3 => Reason::Cluster,
            4 => Reason::UnknownHost,
            5 => Reason::WrongHost,
            6 => Reason::Core,
            7 => Reason::Slices,
            8 => Reason::Secret,
            9 => Reason::DataDirectory,
            _ => Reason::Malformed,
        }
    }

    /// What it means to the side that was refused, and what its operator can do.
    pub fn to_refused(self) -> &'static str {
        match self {
            Reason::Malformed => "the peer could not read our handshake",
            Reason::Version => {
                "the peer speaks no version of the protocol that we speak; run releases that are neighbours"
            }
            Reason::Cluster => {
                "the peer belongs to another cluster; compare the cluster ids in both configurations"
            }
            Reason::UnknownHost => "the peer does not have this host in its configuration",
            Reason::WrongHost => "another host than expected listens at the peer's address",
            Reason::Core => "the peer's core here has another number; compare the peer ports",
            Reason::Slices => "the peer was initialised with another number of slices",
            Reason::Secret => "the peer has another cluster secret",
            Reason::DataDirectory => {
                "the peer knows another data directory of this host; if it was lost, run `synod recover \
                 --lost-host` on the other hosts, and here `synod init --rejoin` in an empty directory"
            }
        }
    }
}

/// A refusal: the reason, and a sentence for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence that names what was found.
    pub detail: String,
    /// The data directory that a proven peer showed, where that is why.
    pub shown: Option<(HostId, DataId)>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Refusal {
        Refusal { reason, detail: detail.into(), shown: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for code in 1..=9 {
            assert_eq!(Reason::from_code(code).code(), code);
        }
        assert_eq!(Reason::from_code(200), Reason::Malformed);
    }
}
