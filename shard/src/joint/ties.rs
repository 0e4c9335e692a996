//! What a record says of joint commands beside its value.

use crate::command::{put_bytes, put_varint, DecodeError, Reader};
use crate::limits::{DECISIONS_HELD_BYTES, DECISIONS_MAX, JOINT_KEYS_MAX};
use crate::object::Hash;
use crate::record;
use crate::state::{State, Type, Value};

/// Names a joint command: the core that runs it, that core's incarnation, and a number. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JointId {
    /// The core that runs it, as in a ballot.
    pub node: u32,
    /// Its incarnation.
    pub incarnation: u32,
    /// Grows with each joint command.
    pub seq: u64,
}

/// The key is claimed: nobody else reads or writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose claim it is.
    pub id: JointId,
    /// The key that decides.
    pub anchor: Box<[u8]>,
}

/// What a key becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The type and the encoding of the value; None: the key goes. It goes from core to core, which values in memory do not.
    value: Option<(Type, Box<[u8]>)>,
    /// Wall-clock milliseconds since 1970 at which it ends; 0 = never.
    expires_at_ms: u64,
}

/// Writes by key.
pub type Writes = Vec<(Box<[u8]>, Write)>;

/// A joint command that has happened: what is still to be done at other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which one.
    pub id: JointId,
    /// By key.
    pub writes: Writes,
}

/// The claim of a key, and the decisions that are kept with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties {
    /// Whose the key is at the moment.
    pub claim: Option<Claim>,
    /// Joint commands whose anchor this key is, and which are not forgotten; oldest first.
    pub decisions: Vec<Decision>,
}

/// What a joint command gets to know of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the record, whether there is a value in it or not; 0: there is none at all.
    pub version: u64,
    /// What is there.
    pub is: Write,
}

impl JointId {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.node.into());
        put_varint(out, self.incarnation.into());
        put_varint(out, self.seq);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<JointId, DecodeError> {
        let mut small = || u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed);
        let (node, incarnation) = (small()?, small()?);
        Ok(JointId { node, incarnation, seq: reader.varint()? })
    }
}

impl Write {
    /// What is in a state. Of a log group no more than that it is rows: a joint command reads none, and writes none.
    pub fn of(state: &State) -> Write {
        let mut rows = Hash::default();
        rows.set(b"", b"");
        let rows = Value::Rows(rows);
        let is_group = matches!(state.value, Some(Value::Group(_)));
        let value = if is_group { Some(&rows) } else { state.value.as_ref() };
        let value = value.map(|value| {
            let mut bytes = Vec::with_capacity(value.bytes());
            record::put_value(value, &mut bytes);
            (value.kind(), bytes.into_boxed_slice())
        });
        Write { value, expires_at_ms: state.expires_at_ms }
    }

    /// The state of a key that has become so, in a record of this version.
    pub fn state(&self, version: u64) -> State {
        let value = self.value.as_ref().map(|(kind, bytes)| {
            record::take_value(record::tag_of(*kind), bytes).expect("it was checked when it was read")
        });
        State { value, expires_at_ms: self.expires_at_ms, version, ..State::default() }
    }

    /// Makes the state so. Always a change, but where there was nothing and is to be nothing.
    pub(super) fn put_into(&self, state: &mut State) {
        match self.state(0).value {
            Some(value) => state.put(value, self.expires_at_ms),
            None => drop(state.delete()),
        }
    }

    /// How many bytes its encoding has, or some more.
    pub fn bytes(&self) -> usize {
        16 + self.value.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let Some((kind, bytes)) = &self.value else { return out.push(0) };
        out.push(record::tag_of(*kind));
        put_varint(out, self.expires_at_ms);
        put_bytes(out, bytes);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Write, DecodeError> {
        let tag = reader.byte()?;
        if tag == 0 {
            return Ok(Write::default());
        }
        let (expires_at_ms, bytes) = (reader.varint()?, reader.bytes()?);
        let kind = record::type_of(tag).filter(|_| record::take_value(tag, bytes).is_ok());
        Ok(Write { value: Some((kind.ok_or(DecodeError::Malformed)?, bytes.into())), expires_at_ms })
    }

    /// As bytes of their own.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        self.put(&mut out);
        out
    }

    /// Reads what [`Write::encoded`] made.
    pub fn decode(bytes: &[u8]) -> Result<Write, DecodeError> {
        let mut reader = Reader::new(bytes);
        let write = Write::take(&mut reader)?;
        reader.end()?;
        Ok(write)
    }
}

impl Snapshot {
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.is.bytes() + 10);
        put_varint(&mut out, self.version);
        self.is.put(&mut out);
        out
    }

    /// Reads the reply to a claim or a fetch.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
        let mut reader = Reader::new(bytes);
        let snapshot = Snapshot { version: reader.varint()?, is: Write::take(&mut reader)? };
        reader.end()?;
        Ok(snapshot)
    }
}

impl Ties {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.claim.is_none() && self.decisions.is_empty()
    }

    /// Whether no decision can be added: then the key is not claimed.
    pub(super) fn is_full(&self) -> bool {
        let bytes = |writes: &[(Box<[u8]>, Write)]| writes_bytes(writes);
        let held: usize = self.decisions.iter().map(|decision| bytes(&decision.writes)).sum();
        self.decisions.len() >= DECISIONS_MAX || held >= DECISIONS_HELD_BYTES
    }

    /// What is still to be done at a key.
    pub(super) fn write_of(&self, id: JointId, key: &[u8]) -> Option<&Write> {
        let writes = self.decisions.iter().filter(|decision| decision.id == id).flat_map(|one| &one.writes);
        writes.into_iter().find(|(other, _)| **other == *key).map(|(_, write)| write)
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.claim.is_some()));
        if let Some(claim) = &self.claim {
            claim.id.put(out);
            put_bytes(out, &claim.anchor);
        }
        put_varint(out, self.decisions.len() as u64);
        for decision in &self.decisions {
            decision.id.put(out);
            put_writes(&decision.writes, out);
        }
    }

    /// Reads an encoding, all of it. Ties that are empty are written by nobody.
    pub fn decode(bytes: &[u8]) -> Result<Ties, DecodeError> {
        let mut reader = Reader::new(bytes);
        let claim = match reader.byte()? {
            0 => None,
            1 => Some(Claim { id: JointId::take(&mut reader)?, anchor: reader.bytes()?.into() }),
            _ => return Err(DecodeError::Malformed),
        };
        let count = reader.count()?;
        if count > DECISIONS_MAX || count == 0 && claim.is_none() {
            return Err(DecodeError::Malformed);
        }
        let mut decisions = Vec::new();
        for _ in 0..count {
            decisions.push(Decision { id: JointId::take(&mut reader)?, writes: take_writes(&mut reader)? });
        }
        reader.end()?;
        Ok(Ties { claim, decisions })
    }
}

/// How many bytes writes take.
pub(super) fn writes_bytes(writes: &[(Box<[u8]>, Write)]) -> usize {
    writes.iter().map(|(key, write)| key.len() + write.bytes()).sum()
}

pub(super) fn put_writes(writes: &[(Box<[u8]>, Write)], out: &mut Vec<u8>) {
    put_varint(out, writes.len() as u64);
    for (key, write) in writes {
        put_bytes(out, key);
        write.put(out);
    }
}

pub(super) fn take_writes(reader: &mut Reader<'_>) -> Result<Writes, DecodeError> {
    let count = reader.count()?;
    if count > JOINT_KEYS_MAX {
        return Err(DecodeError::Malformed);
    }
    let mut writes = Vec::new();
    for _ in 0..count {
        writes.push((reader.bytes()?.into(), Write::take(reader)?));
    }
    Ok(writes)
}
