//! What is said of flushes.

use super::bytes::{Malformed, Reader};
use crate::limits::FLUSH_EPOCH_MAX;

/// A word about a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The question, whose answer bears the same: the asker's incarnation in the upper half.
    pub id: u64,
    /// What is said.
    pub said: FlushSaid,
}

/// What is said in a [`Flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushSaid {
    /// Asks for the receiver's flush epoch, which every message bears.
    Ask,
    /// The answer to both questions.
    Told,
    /// Asks the receiver to have at least this epoch.
    Raise(u32),
}

const ASK: u8 = 1;
const TOLD: u8 = 2;
const RAISE: u8 = 3;

impl Flush {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        match self.said {
            FlushSaid::Ask => out.push(ASK),
            FlushSaid::Told => out.push(TOLD),
            FlushSaid::Raise(epoch) => {
                out.push(RAISE);
                out.extend_from_slice(&epoch.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Flush, Malformed> {
        let id = reader.u64()?;
        let said = match reader.u8()? {
            ASK => FlushSaid::Ask,
            TOLD => FlushSaid::Told,
            RAISE => FlushSaid::Raise(reader.u32()?),
            _ => return Err(reader.malformed()),
        };
        let is_valid = match said {
            FlushSaid::Raise(epoch) => (1..=FLUSH_EPOCH_MAX).contains(&epoch),
            FlushSaid::Ask | FlushSaid::Told => true,
        };
        if !is_valid {
            return Err(reader.malformed());
        }
        reader.end()?;
        Ok(Flush { id, said })
    }
}
