//! The handle that `paxos` carries for an entry: its bytes, or the knowledge that they lie on disk.

pub use bitcask::Bytes;

/// An entry of this core, opaque to `paxos`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Encoded, in memory (see [`crate::record`]).
    Here(Bytes),
    /// Durable here, to be read when somebody needs the bytes. The acceptor decides without them.
    Cold,
}

impl Held {
    /// The bytes, if they are in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Held::Here(bytes) => Some(bytes),
            Held::Cold => None,
        }
    }
}

impl paxos::Entry for Held {
    fn agrees(&self, other: &Held) -> bool {
        match (self, other) {
            (Held::Here(own), Held::Here(theirs)) => own == theirs,
            _ => true,
        }
    }
}
