//! An entry as bytes: what the log stores, what Accept carries, what a checksum covers (docs/formats/record.md).
//!
//! ```text
//! format u8 = 1 | bodies u8 | version u64 | bodies × body | origins u8 | origins × origin
//! body:   key_len u32, key (empty: the entity's own) | kind u8 (1 full, 2 delta, 3 tombstone)
//!         | type u8 (1 string) | expires_at_ms u64 | len u32, bytes
//! origin: node u32 | incarnation u32 | settled_below u64 | ids u16 × { seq u64, result u16 len, bytes }
//! ```
//!
//! A register has one body. Deltas and further bodies are part of the format from the first version on, so that
//! collections and groups need no new one; a reader of this version refuses them by name.

use std::rc::Rc;

use reactor::mutants::planted;

use crate::limits::{BATCH_COMMANDS_MAX, ORIGINS_MAX, RESULT_BYTES_MAX};
use crate::state::{State, Value};
use crate::wire::bytes::{put_bytes, Malformed, Reader};

const FORMAT: u8 = 1;
const KIND_FULL: u8 = 1;
const KIND_TOMBSTONE: u8 = 3;
const TYPE_NONE: u8 = 0;
const TYPE_STRING: u8 = 1;

/// Names a command across hosts: the core that coordinates it, that core's incarnation, and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId {
    /// The coordinating core, as in a ballot.
    pub node: u32,
    /// Its incarnation.
    pub incarnation: u32,
    /// Grows with each command; odd when the command may travel to another host.
    pub seq: u64,
}

impl CommandId {
    /// Whether the command may have been handed to another host: then a late copy of it may turn up anywhere, and only a
    /// watermark in the entry keeps it from being applied again.
    pub fn travels(self) -> bool {
        self.seq & 1 == 1
    }
}

/// What one coordinating core has had applied to an entity: its commands that may still be asked for, and the watermark
/// below which none will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The coordinating core.
    pub node: u32,
    /// Its newest incarnation seen by the entity; commands of older ones are refused.
    pub incarnation: u32,
    /// Every travelling command below this is settled: its client has its answer, nobody will ask again.
    pub settled_below: u64,
    /// Applied commands from there on, in the order of application, with their encoded replies (None: too large to keep).
    pub applied: Vec<(u64, Option<Rc<[u8]>>)>,
}

/// The table of request ids of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    origins: Vec<Origin>,
}

/// What the table says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Never applied here.
    New,
    /// Applied; its encoded reply, unless that was too large to keep.
    Applied(Option<Rc<[u8]>>),
    /// Settled or of an older incarnation: a late repetition that nobody waits for.
    Stale,
}

impl Applied {
    /// Looks a command up.
    pub fn find(&self, id: CommandId) -> Known {
        let Some(origin) = self.origins.iter().find(|origin| origin.node == id.node) else {
            return Known::New;
        };
        if origin.incarnation != id.incarnation {
            return if origin.incarnation > id.incarnation { Known::Stale } else { Known::New };
        }
        match origin.applied.iter().find(|(seq, _)| *seq == id.seq) {
            Some((_, reply)) => Known::Applied(reply.clone()),
            None if id.travels() && id.seq < origin.settled_below && !planted(113) => Known::Stale,
            None => Known::New,
        }
    }

    /// Notes that a command is applied by the entry being built.
    pub fn insert(&mut self, id: CommandId, reply: &[u8]) {
        assert!(self.find(id) == Known::New, "a command is applied at most once");
        let kept = (reply.len() <= RESULT_BYTES_MAX).then(|| Rc::from(reply));
        if let Some(origin) = self.origins.iter_mut().find(|origin| origin.node == id.node) {
            if origin.incarnation < id.incarnation {
                *origin = Origin { settled_below: 0, applied: Vec::new(), ..*origin };
                origin.incarnation = id.incarnation;
            }
            origin.applied.push((id.seq, kept));
            return;
        }
        self.origins.push(Origin {
            node: id.node,
            incarnation: id.incarnation,
            settled_below: 0,
            applied: vec![(id.seq, kept)],
        });
    }

    /// Drops what the origin `node` in this incarnation says is settled; the watermark stays, so that a late repetition is
    /// known as one.
    pub fn settle(&mut self, node: u32, incarnation: u32, below: u64) {
        let origin = self.origins.iter_mut().find(|o| o.node == node && o.incarnation == incarnation);
        if let Some(origin) = origin {
            origin.settled_below = origin.settled_below.max(below);
            let below = origin.settled_below;
            let settled = |seq: u64| CommandId { node, incarnation, seq }.travels() && seq < below;
            origin.applied.retain(|(seq, _)| !settled(*seq));
        }
    }

    /// Drops commands of one coordinating core that `keep` refuses. Only for commands that never travelled to another host:
    /// nobody but their own core can ask for them again, and that core knows that it will not.
    pub fn retain(&mut self, node: u32, incarnation: u32, keep: impl Fn(u64) -> bool) {
        let origin = self.origins.iter_mut().find(|o| o.node == node && o.incarnation == incarnation);
        if let Some(origin) = origin {
            origin.applied.retain(|(seq, _)| keep(*seq));
        }
    }

    /// How many commands of a coordinating core are kept.
    pub fn count(&self, node: u32) -> usize {
        self.origins.iter().find(|o| o.node == node).map_or(0, |o| o.applied.len())
    }

    /// The origins in the table.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }
}

/// A decoded entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The round of the ballot at which it was first proposed. Only grows over the life of a key.
    pub version: u64,
    /// The value; None = tombstone.
    pub value: Option<Value>,
    /// Wall-clock milliseconds since 1970 at which it ends; 0 = never.
    pub expires_at_ms: u64,
    /// Request ids with results.
    pub applied: Applied,
}

impl Record {
    /// The state that commands run on.
    pub fn state(&self) -> State {
        State {
            value: self.value.clone(),
            expires_at_ms: self.expires_at_ms,
            version: self.version,
            version_floor: 0,
            changed: false,
        }
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.push(1);
        out.extend_from_slice(&self.version.to_le_bytes());
        put_bytes(out, b"");
        let (kind, kind_of_value, bytes): (u8, u8, &[u8]) = match &self.value {
            Some(Value::Str(bytes)) => (KIND_FULL, TYPE_STRING, bytes),
            None => (KIND_TOMBSTONE, TYPE_NONE, &[]),
        };
        out.extend_from_slice(&[kind, kind_of_value]);
        out.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        put_bytes(out, bytes);
        assert!(self.applied.origins.len() <= ORIGINS_MAX, "one origin for each core of the slice");
        out.push(self.applied.origins.len() as u8);
        for origin in &self.applied.origins {
            origin.encode(out);
        }
    }

    /// Whether encoded bytes hold a tombstone, by their head alone. An error where no encoder of this version wrote them.
    pub fn is_tombstone(bytes: &[u8]) -> Result<bool, Malformed> {
        let mut reader = Reader::new(bytes, "record");
        let head = (reader.u8()?, reader.u8()?);
        reader.u64()?;
        let key = reader.bytes()?;
        match (head, key.is_empty(), reader.u8()?) {
            ((FORMAT, 1), true, KIND_FULL) => Ok(false),
            ((FORMAT, 1), true, KIND_TOMBSTONE) => Ok(true),
            _ => Err(reader.malformed()),
        }
    }

    /// When the value in encoded bytes ends (wall clock milliseconds, 0 = never), by their head alone. None: a tombstone.
    pub fn value_ends_at(bytes: &[u8]) -> Result<Option<u64>, Malformed> {
        if Record::is_tombstone(bytes)? {
            return Ok(None);
        }
        let mut reader = Reader::new(bytes, "record");
        // Format, bodies, version, the empty key, kind, type.
        reader.take(1 + 1 + 8 + 4 + 1 + 1)?;
        reader.u64().map(Some)
    }

    /// Whether bytes are an encoding that [`Record::decode`] reads, without making copies of what is in it.
    pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes, "record");
        let dead = Record::is_tombstone(bytes)?;
        // Format, bodies, version, the empty key, kind.
        reader.take(1 + 1 + 8 + 4 + 1)?;
        let kind_of_value = reader.u8()?;
        reader.u64()?;
        let body = reader.bytes()?;
        let wanted = if dead { TYPE_NONE } else { TYPE_STRING };
        let count = usize::from(reader.u8()?);
        if kind_of_value != wanted || dead && !body.is_empty() || count > ORIGINS_MAX {
            return Err(reader.malformed());
        }
        let mut nodes = [0; ORIGINS_MAX];
        for known in 0..count {
            let node = reader.u32()?;
            if nodes.iter().take(known).any(|other| *other == node) {
                return Err(reader.malformed());
            }
            nodes.iter_mut().skip(known).take(1).for_each(|place| *place = node);
            reader.take(4 + 8)?;
            for _ in 0..reader.u16()? {
                reader.u64()?;
                match reader.u16()? {
                    u16::MAX => {}
                    len if usize::from(len) <= RESULT_BYTES_MAX => drop(reader.take(usize::from(len))?),
                    _ => return Err(reader.malformed()),
                }
            }
        }
        reader.end()
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut reader = Reader::new(bytes, "record");
        if reader.u8()? != FORMAT {
            return Err(Malformed("record: its format version is not 1; a newer synod wrote it"));
        }
        if reader.u8()? != 1 {
            return Err(Malformed("record: several bodies, which this version does not read"));
        }
        let version = reader.u64()?;
        if !reader.bytes()?.is_empty() {
            return Err(Malformed("record: a body of another key, which this version does not read"));
        }
        let (kind, kind_of_value) = (reader.u8()?, reader.u8()?);
        let expires_at_ms = reader.u64()?;
        let body = reader.bytes()?;
        let value = match (kind, kind_of_value) {
            (KIND_FULL, TYPE_STRING) => Some(Value::Str(body.to_vec())),
            (KIND_TOMBSTONE, TYPE_NONE) if body.is_empty() => None,
            _ => return Err(Malformed("record: a kind of body that this version does not read")),
        };
        let count = usize::from(reader.u8()?);
        if count > ORIGINS_MAX {
            return Err(reader.malformed());
        }
        let mut applied = Applied::default();
        for _ in 0..count {
            let origin = Origin::decode(&mut reader)?;
            if applied.origins.iter().any(|other| other.node == origin.node) {
                return Err(reader.malformed());
            }
            applied.origins.push(origin);
        }
        reader.end()?;
        Ok(Record { version, value, expires_at_ms, applied })
    }
}

impl Origin {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.settled_below.to_le_bytes());
        let count =
            u16::try_from(self.applied.len()).expect("the ids of an origin are bounded by its batches");
        out.extend_from_slice(&count.to_le_bytes());
        for (seq, reply) in &self.applied {
            out.extend_from_slice(&seq.to_le_bytes());
            let len = reply.as_ref().map_or(u16::MAX, |reply| reply.len() as u16);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(reply.as_deref().unwrap_or_default());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Origin, Malformed> {
        let (node, incarnation, settled_below) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let count = reader.u16()?;
        let mut applied = Vec::with_capacity(usize::from(count).min(BATCH_COMMANDS_MAX));
        for _ in 0..count {
            let (seq, len) = (reader.u64()?, reader.u16()?);
            let reply = if len == u16::MAX {
                None
            } else if usize::from(len) <= RESULT_BYTES_MAX {
                Some(Rc::from(reader.take(usize::from(len))?))
            } else {
                return Err(reader.malformed());
            };
            applied.push((seq, reply));
        }
        Ok(Origin { node, incarnation, settled_below, applied })
    }
}

const _: () = assert!(RESULT_BYTES_MAX < u16::MAX as usize);
