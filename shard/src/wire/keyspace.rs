//! Messages about whole slots: for DBSIZE, SCAN and KEYS, which are answered from a majority.

use super::bytes::{put_ballot, put_bytes, Malformed, Reader};
use crate::limits::SLOTS;
use paxos::Ballot;

/// Asks for part of what a replica holds of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotQuery {
    /// Matches the answer to the question; bears the asker's incarnation.
    pub id: u64,
    /// The slot.
    pub slot: u16,
    /// The order-free sum of what the asker holds of the slot: an equal replica need not list anything.
    pub sum: u128,
    /// Keys are wanted, not only the count.
    pub keys: bool,
}

/// One record of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotEntry {
    /// The key.
    pub key: Vec<u8>,
    /// The ballot of the record.
    pub ballot: Ballot,
    /// Whether it is a tombstone or past its end.
    pub dead: bool,
}

/// What a replica holds of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotAnswer {
    /// The question.
    pub id: u64,
    /// The slot.
    pub slot: u16,
    /// None: the same as the asker. Else all records.
    pub entries: Option<Vec<SlotEntry>>,
}

impl SlotQuery {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.sum.to_le_bytes());
        out.push(u8::from(self.keys));
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<SlotQuery, Malformed> {
        let (id, slot) = (reader.u64()?, reader.u16()?);
        let sum = u128::from(reader.u64()?) | u128::from(reader.u64()?) << 64;
        let keys = reader.u8()? != 0;
        if slot >= SLOTS {
            return Err(reader.malformed());
        }
        reader.end()?;
        Ok(SlotQuery { id, slot, sum, keys })
    }
}

impl SlotAnswer {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.push(u8::from(self.entries.is_some()));
        for entry in self.entries.iter().flatten() {
            put_bytes(out, &entry.key);
            put_ballot(out, entry.ballot);
            out.push(u8::from(entry.dead));
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<SlotAnswer, Malformed> {
        let (id, slot) = (reader.u64()?, reader.u16()?);
        if slot >= SLOTS {
            return Err(reader.malformed());
        }
        if reader.u8()? == 0 {
            reader.end()?;
            return Ok(SlotAnswer { id, slot, entries: None });
        }
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let key = reader.bytes()?.to_vec();
            entries.push(SlotEntry { key, ballot: reader.ballot()?, dead: reader.u8()? != 0 });
        }
        Ok(SlotAnswer { id, slot, entries: Some(entries) })
    }
}
