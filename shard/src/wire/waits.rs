//! What cores say of clients that wait for a key (docs/design/blocking-pops.md).

use bitcask::Fingerprint;

use super::bytes::{Malformed, Reader};
use super::keyspace::{put_fingerprint, take_fingerprint};

/// A word about one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The number that the core gave it whose client waits.
    pub id: u64,
    /// The key.
    pub key: Fingerprint,
    /// What is said.
    pub what: Waiting,
}

/// What is said of a wait: by who waits, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It waits.
    Registers,
    /// It tried, found nothing, and waits on.
    Missed,
    /// It has found something.
    Took,
    /// It waits no more, and took nothing.
    GaveUp,
    /// To who waits: try.
    Wakes,
}

const ALL: [Waiting; 5] =
    [Waiting::Registers, Waiting::Missed, Waiting::Took, Waiting::GaveUp, Waiting::Wakes];

impl Wait {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        put_fingerprint(out, self.key);
        let tag = ALL.iter().position(|what| *what == self.what).expect("all are listed");
        out.push(tag as u8 + 1);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Wait, Malformed> {
        let (id, key, tag) = (reader.u64()?, take_fingerprint(&mut reader)?, reader.u8()?);
        let what = ALL.get(usize::from(tag).wrapping_sub(1)).copied().ok_or(reader.malformed())?;
        reader.end()?;
        Ok(Wait { id, key, what })
    }
}
