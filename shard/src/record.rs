//! An entry as bytes: what the log stores, what Accept carries, what a checksum covers (docs/formats/record.md).
//!
//! ```text
//! [16 u8 | flush epoch varint] | format u8 = 1, 2, 3 | bodies u8 | version u64 | bodies × body | origins u8 | origins × origin | in format 2: requests
//!     | in format 3: 0 or 1 u8, requests if 1; ties
//! body:   key_len u32, key (empty: the entity's own) | kind u8 (1 full, 2 delta, 3 tombstone)
//!         | type u8 (1 string, 2 hash, 3 list, 4 set, 5 sorted set, 6 rows, 7 rows: the head of a group) | expires_at_ms u64 | len u32, bytes
//! origin: node u32 | incarnation u32 | settled_below u64 | ids u16 × { seq u64, result u16 len, bytes }
//! ```
//!
//! A register has one body. A body of kind 2 says what changes in the object of another record: [`Delta`], which is all that reads it. Further
//! bodies are part of the format from the first version on, so that groups need no new one; a reader of this version refuses them by name.

mod body;
mod delta;

use std::rc::Rc;

use reactor::mutants::planted;

use self::body::{check_whole, tag_of_value, take_whole, type_of_body, TYPE_GROUP, TYPE_NONE, UNKNOWN_BODY};
pub(crate) use self::body::{put_value, tag_of, take_value, type_of};
pub use self::delta::{Damage, Delta};
use crate::flush::epoch;
use crate::joint::Ties;
use crate::limits::{BATCH_COMMANDS_MAX, ORIGINS_MAX, RESULT_BYTES_MAX, VERSION_MAX};
use crate::requests::Requests;
use crate::state::{State, Type, Value};
use crate::wire::bytes::{put_bytes, Malformed, Reader};

const FORMAT: u8 = 1;
/// As format 1, and behind it the requests that clients numbered themselves, of which there are some.
const FORMAT_WITH_REQUESTS: u8 = 2;
/// As format 1, and behind it what joint commands have left there, and requests, if there are any.
const FORMAT_WITH_TIES: u8 = 3;
const KIND_FULL: u8 = 1;
const KIND_DELTA: u8 = 2;
const KIND_TOMBSTONE: u8 = 3;
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
    /// Applied commands from there on, rising, with their encoded replies (None: too large to keep).
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
    /// Applied; its encoded reply, unless that was too large to keep. Empty: it was applied before a flush, or is as good as not applied.
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
        match origin.applied.binary_search_by_key(&id.seq, |(seq, _)| *seq) {
            Ok(at) => Known::Applied(origin.applied[at].1.clone()),
            Err(_) if id.travels() && id.seq < origin.settled_below && !planted(113) => Known::Stale,
            Err(_) => Known::New,
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
            // Nearly always the last: commands of one core come in their order.
            let at = origin.applied.partition_point(|(seq, _)| *seq < id.seq);
            origin.applied.insert(at, (id.seq, kept));
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

    /// Nobody is told of what was applied so far: it was in an older flush epoch.
    pub(crate) fn doubt(&mut self) {
        let applied = self.origins.iter_mut().flat_map(|origin| &mut origin.applied);
        applied.for_each(|(_, reply)| *reply = Some(Rc::from(&[][..])));
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
    /// The flush epoch in which it was made.
    pub epoch: u32,
    /// The value; None = tombstone.
    pub value: Option<Value>,
    /// Wall-clock milliseconds since 1970 at which it ends; 0 = never.
    pub expires_at_ms: u64,
    /// Request ids with results.
    pub applied: Applied,
    /// Requests that clients numbered themselves.
    pub requests: Requests,
    /// Joint commands that have to do with the key; None rather than empty.
    pub ties: Option<Box<Ties>>,
}

impl Record {
    /// The state that commands run on.
    pub fn state(&self) -> State {
        State {
            value: self.value.clone(),
            expires_at_ms: self.expires_at_ms,
            version: self.version,
            requests: self.requests.clone(),
            ties: self.ties.clone(),
            ..State::default()
        }
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        epoch::put(self.epoch, out);
        let format = match &self.ties {
            Some(_) => FORMAT_WITH_TIES,
            None => format_without_ties(&self.requests),
        };
        let kinds = match &self.value {
            Some(value) => [KIND_FULL, tag_of_value(value)],
            None => [KIND_TOMBSTONE, TYPE_NONE],
        };
        put_head(out, format, self.version, kinds, self.expires_at_ms);
        self.encode_body(out);
        self.applied.encode(out);
        if self.ties.is_some() {
            out.push(u8::from(!self.requests.is_empty()));
        }
        if !self.requests.is_empty() {
            self.requests.encode(out);
        }
        if let Some(ties) = &self.ties {
            ties.encode(out);
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        if let Some(Value::Str(bytes)) = &self.value {
            return put_bytes(out, bytes);
        }
        let at = out.len();
        put_bytes(out, b"");
        let Some(value) = &self.value else { return };
        put_value(value, out);
        let body = at + LEN_BYTES;
        let len = u32::try_from(out.len() - body).expect("objects are bounded far below that");
        out[at..body].copy_from_slice(&len.to_le_bytes());
    }

    /// Whether encoded bytes hold a tombstone, by their head alone: no value, nor anything that is not to be dropped. An error where no encoder
    /// of this version wrote them.
    pub fn is_tombstone(bytes: &[u8]) -> Result<bool, Malformed> {
        Ok(!Record::has_value(bytes)? && !Record::is_tied(bytes))
    }

    /// Whether joint commands have left something in encoded bytes.
    pub fn is_tied(bytes: &[u8]) -> bool {
        epoch::split(bytes).is_ok_and(|(_, bytes)| bytes.first() == Some(&FORMAT_WITH_TIES))
    }

    /// Whether encoded bytes have a claim. Reads all of them, where there are ties.
    pub fn is_claimed(bytes: &[u8]) -> bool {
        let claim = |record: Record| record.ties.is_some_and(|ties| ties.claim.is_some());
        Record::is_tied(bytes) && Record::decode(bytes).is_ok_and(claim)
    }

    fn has_value(bytes: &[u8]) -> Result<bool, Malformed> {
        let (_, bytes) = epoch::split(bytes)?;
        let mut reader = Reader::new(bytes, "record");
        let head = (reader.u8()?, reader.u8()?);
        reader.u64()?;
        let key = reader.bytes()?;
        match (head, key.is_empty(), reader.u8()?) {
            ((FORMAT..=FORMAT_WITH_TIES, 1), true, KIND_FULL) => Ok(true),
            ((FORMAT..=FORMAT_WITH_REQUESTS, 1), true, KIND_DELTA) => Ok(true),
            ((FORMAT..=FORMAT_WITH_TIES, 1), true, KIND_TOMBSTONE) => Ok(false),
            _ => Err(reader.malformed()),
        }
    }

    /// The type of the value in encoded bytes, and when it ends (wall clock milliseconds, 0 = never), by their head alone. None: there is none.
    pub fn head(bytes: &[u8]) -> Result<Option<(Type, u64)>, Malformed> {
        if !Record::has_value(bytes)? {
            return Ok(None);
        }
        let mut reader = Reader::new(epoch::split(bytes)?.1, "record");
        // Format, bodies, version, the empty key, kind.
        reader.take(1 + 1 + 8 + 4 + 1)?;
        let tag = reader.u8()?;
        let kind = type_of_body(tag).ok_or(reader.malformed())?;
        Ok(Some((kind, reader.u64()?)))
    }

    /// Whether encoded bytes are the head of a log group, by their head alone.
    pub fn is_group(bytes: &[u8]) -> bool {
        // Behind format, bodies, version and the empty key: kind and type.
        let kinds = epoch::split(bytes).ok().and_then(|(_, bytes)| bytes.get(1 + 1 + 8 + 4..)?.get(..2));
        kinds == Some(&[KIND_FULL, TYPE_GROUP])
    }

    /// How many elements or members the list or sorted set in encoded bytes has; 0: it is something else, or nothing.
    pub fn entries(bytes: &[u8]) -> Result<u32, Malformed> {
        let head = Record::head(bytes)?;
        let is_passed_over = matches!(head, Some((Type::SortedSet, _))) && planted(579);
        if !matches!(head, Some((Type::List | Type::SortedSet, _))) || is_passed_over {
            return Ok(0);
        }
        let mut reader = Reader::new(epoch::split(bytes)?.1, "record");
        // Format, bodies, version, the empty key, kind, type, expiry.
        reader.take(1 + 1 + 8 + 4)?;
        let is_delta = reader.u8()? == KIND_DELTA;
        reader.take(1 + 8)?;
        let count = match is_delta {
            true => delta::entries(reader.bytes()?),
            false => crate::command::Reader::new(reader.bytes()?).count(),
        };
        count.ok().and_then(|count| u32::try_from(count).ok()).ok_or(reader.malformed())
    }

    /// Whether encoded bytes are a delta's, by their head alone.
    pub fn is_delta(bytes: &[u8]) -> bool {
        // Behind format, bodies, version and the empty key.
        epoch::split(bytes).is_ok_and(|(_, bytes)| bytes.get(1 + 1 + 8 + 4) == Some(&KIND_DELTA))
    }

    /// Whether bytes are an encoding that [`Record::decode`] reads, without making copies of what is in it.
    pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
        let (_, bytes) = epoch::split(bytes)?;
        let mut reader = Reader::new(bytes, "record");
        let head = Head::take(&mut reader)?;
        let is_valid = match head.kind {
            KIND_FULL => check_whole(head.tag, head.body, head.version),
            KIND_TOMBSTONE => head.tag == TYPE_NONE && head.body.is_empty(),
            _ => false,
        };
        if !is_valid {
            return Err(reader.malformed());
        }
        Applied::check(&mut reader)?;
        if has_requests(head.format, &mut reader)? {
            Requests::check(&mut reader)?;
        }
        if head.format == FORMAT_WITH_TIES {
            Ties::decode(reader.rest()).map_err(|_| MALFORMED_TIES)?;
            return Ok(());
        }
        reader.end()
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let (epoch, bytes) = epoch::split(bytes)?;
        let mut reader = Reader::new(bytes, "record");
        let Head { format, version, kind, tag, expires_at_ms, body } = Head::take(&mut reader)?;
        let value = match (kind, tag) {
            (KIND_FULL, tag) => Some(take_whole(tag, body, version)?),
            (KIND_TOMBSTONE, TYPE_NONE) if body.is_empty() => None,
            _ => return Err(UNKNOWN_BODY),
        };
        let applied = Applied::decode(&mut reader)?;
        let requests = match has_requests(format, &mut reader)? {
            true => Requests::decode(&mut reader)?,
            false => Requests::default(),
        };
        let ties = if format == FORMAT_WITH_TIES {
            Some(Box::new(Ties::decode(reader.rest()).map_err(|_| MALFORMED_TIES)?))
        } else {
            reader.end()?;
            None
        };
        Ok(Record { version, epoch, value, expires_at_ms, applied, requests, ties })
    }
}

/// What every record begins with.
struct Head<'a> {
    format: u8,
    version: u64,
    kind: u8,
    tag: u8,
    expires_at_ms: u64,
    body: &'a [u8],
}

impl<'a> Head<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Head<'a>, Malformed> {
        let format = reader.u8()?;
        if !matches!(format, FORMAT..=FORMAT_WITH_TIES) {
            return Err(Malformed(
                "record: its format version is not 1 to 3, nor 16; a newer synod wrote it",
            ));
        }
        if reader.u8()? != 1 {
            return Err(Malformed("record: several bodies, which this version does not read"));
        }
        let version = check_version(reader.u64()?)?;
        if !reader.bytes()?.is_empty() {
            return Err(Malformed("record: a body of another key, which this version does not read"));
        }
        let (kind, tag, expires_at_ms) = (reader.u8()?, reader.u8()?, reader.u64()?);
        Ok(Head { format, version, kind, tag, expires_at_ms, body: reader.bytes()? })
    }
}

/// Appends what every record begins with, up to the body.
fn put_head(out: &mut Vec<u8>, format: u8, version: u64, kinds: [u8; 2], expires_at_ms: u64) {
    out.extend_from_slice(&[format, 1]);
    out.extend_from_slice(&version.to_le_bytes());
    put_bytes(out, b"");
    out.extend_from_slice(&kinds);
    out.extend_from_slice(&expires_at_ms.to_le_bytes());
}

fn format_without_ties(requests: &Requests) -> u8 {
    if requests.is_empty() {
        FORMAT
    } else {
        FORMAT_WITH_REQUESTS
    }
}

impl Applied {
    fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.origins.len() <= ORIGINS_MAX, "one origin for each core of the slice");
        out.push(self.origins.len() as u8);
        self.origins.iter().for_each(|origin| origin.encode(out));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Applied, Malformed> {
        let count = usize::from(reader.u8()?);
        if count > ORIGINS_MAX {
            return Err(reader.malformed());
        }
        let mut applied = Applied::default();
        for _ in 0..count {
            let origin = Origin::decode(reader)?;
            if applied.origins.iter().any(|other| other.node == origin.node) {
                return Err(reader.malformed());
            }
            applied.origins.push(origin);
        }
        Ok(applied)
    }

    /// As [`Applied::decode`], without making copies.
    fn check(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let count = usize::from(reader.u8()?);
        if count > ORIGINS_MAX {
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
            let mut before = None;
            for _ in 0..reader.u16()? {
                rising(reader, &mut before)?;
                match reader.u16()? {
                    u16::MAX => {}
                    len if usize::from(len) <= RESULT_BYTES_MAX => drop(reader.take(usize::from(len))?),
                    _ => return Err(reader.malformed()),
                }
            }
        }
        Ok(())
    }
}

/// A version that a history can come to.
fn check_version(version: u64) -> Result<u64, Malformed> {
    let valid = version < VERSION_MAX;
    valid.then_some(version).ok_or(Malformed("record: its version is above all that there are"))
}

/// Whether requests follow the origins.
fn has_requests(format: u8, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match format {
        FORMAT_WITH_REQUESTS => Ok(true),
        FORMAT_WITH_TIES => match reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(reader.malformed()),
        },
        _ => Ok(false),
    }
}

const MALFORMED_TIES: Malformed = Malformed("record: what joint commands left there makes no sense");

/// Bytes of a length in front of a body.
const LEN_BYTES: usize = 4;

/// The next number of an origin's commands, above the one before it.
fn rising(reader: &mut Reader<'_>, before: &mut Option<u64>) -> Result<u64, Malformed> {
    let seq = reader.u64()?;
    let rises = before.replace(seq).is_none_or(|before| before < seq);
    if rises {
        Ok(seq)
    } else {
        Err(reader.malformed())
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
        let mut before = None;
        for _ in 0..count {
            let (seq, len) = (rising(reader, &mut before)?, reader.u16()?);
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
