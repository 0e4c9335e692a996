//! One connection, from the attempt to its end.

use std::net::SocketAddr;

use reactor::Nanos;

use crate::config::{HostId, Tuning};
use crate::flow::Flow;
use crate::handshake::{Handshake, Role};

/// A connection, named by the [`crate::Net`] that it belongs to. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How far a connection has come.
#[derive(Debug)]
pub enum Stage {
    /// The operating system has not yet said that it is there.
    Connecting,
    /// The sides have not yet proved themselves.
    Shaking(Box<Handshake>),
    /// The other side has proved itself; frames flow.
    Flowing(Box<Flow>),
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    /// Where the other end is.
    pub addr: SocketAddr,
    /// Which side we are.
    pub role: Role,
    /// Whom we called, or who proved itself.
    pub peer: Option<HostId>,
    /// When the stages before frames flow began: connecting, then the handshake.
    pub since: Nanos,
    /// Bytes are on their way to the socket.
    pub busy: bool,
    /// How far it has come.
    pub stage: Stage,
}

impl Link {
    /// The frames, once both sides have accepted each other.
    pub fn ready(&self) -> Option<&Flow> {
        match &self.stage {
            Stage::Flowing(flow) if flow.confirmed => Some(flow),
            _ => None,
        }
    }

    /// As [`Link::ready`], to be changed.
    pub fn ready_mut(&mut self) -> Option<&mut Flow> {
        match &mut self.stage {
            Stage::Flowing(flow) if flow.confirmed => Some(flow),
            _ => None,
        }
    }

    /// When it is to be given up.
    pub fn ends_at(&self, tuning: &Tuning) -> Nanos {
        match (&self.stage, self.ready()) {
            (_, Some(flow)) => flow.hang_at(tuning),
            (Stage::Connecting, _) => self.since.saturating_add(tuning.connect_timeout),
            _ => self.since.saturating_add(tuning.handshake_timeout),
        }
    }
}
