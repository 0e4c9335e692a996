//! Deltas: entries that say only what changes in the object of another record, their *base* (docs/design/collections.md, section 2).
//!
//! ```text
//! as a record of format 1 or 2, with its flush epoch in front, and one body of kind 2, whose bytes are
//! base ballot (16 bytes) | digest u64 | entries varint | changes, each: what it is u8, then its arguments
//! ```
//!
//! In format 2 the place of the requests that clients numbered themselves has what became of them ([`crate::requests::Changes`]). What else is not in the changes
//! is in the delta as it is after it: version, flush epoch, type, expiry, ids of commands. The digests, the count of entries and those tell whether a whole
//! record means the same ([`Delta::means`]).

use paxos::Ballot;
use reactor::mutants::planted;

use super::{
    has_requests, put_head, tag_of, type_of, Applied, Head, Record, FORMAT, FORMAT_WITH_REQUESTS,
    FORMAT_WITH_TIES, KIND_DELTA,
};
use crate::command::{put_varint, DecodeError};
use crate::flush::epoch;
use crate::limits::DELTA_BYTES_MAX;
use crate::object::{Change, Misfit};
use crate::requests;
use crate::state::{Type, Value};
use crate::wire::bytes::{put_ballot, put_bytes, Malformed, Reader};

/// A decoded delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The ballot of the record whose object it changes.
    pub base: Ballot,
    /// The version after it.
    pub version: u64,
    /// The flush epoch in which it was made: that of its base.
    pub epoch: u32,
    /// The type of the object.
    pub kind: Type,
    /// When the object ends: wall clock milliseconds, 0 = never.
    pub expires_at_ms: u64,
    /// Request ids with results, all of them.
    pub applied: Applied,
    /// What became of the requests that clients numbered themselves.
    pub requests: requests::Changes,
    /// The digest of the object after it.
    pub digest: u64,
    /// Fields, elements or members of the object after it.
    pub entries: u32,
    /// What changes, encoded ([`Change`]); perhaps nothing.
    pub changes: Vec<u8>,
}

/// Why records do not make an object, although each of them is what was written. For whoever reads them it is as bad as a checksum that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A record is malformed, or of a newer version.
    #[error("{0}")]
    Record(Malformed),
    /// A delta stands on another record than the one before it, or on one without an object of its type.
    #[error("a delta whose base is another record")]
    Base,
    /// A delta cannot be applied, or what comes of it is not what it says.
    #[error("a delta that does not fit its base")]
    Misfit,
}

impl From<Malformed> for Damage {
    fn from(malformed: Malformed) -> Damage {
        Damage::Record(malformed)
    }
}

impl From<Misfit> for Damage {
    fn from(_: Misfit) -> Damage {
        Damage::Misfit
    }
}

impl Delta {
    /// The delta that makes a record's object of its base's, where `changes` and `requests` are what became of it and of what clients numbered. None: there
    /// is no object, or there are ties.
    pub fn new(
        base: Ballot,
        record: &Record,
        changes: Vec<u8>,
        requests: requests::Changes,
    ) -> Option<Delta> {
        let value = record.value.as_ref().filter(|value| !matches!(value, Value::Str(_)))?;
        let entries = u32::try_from(value.entries()).ok()?;
        record.ties.is_none().then(|| Delta {
            base,
            version: record.version,
            epoch: record.epoch,
            kind: value.kind(),
            expires_at_ms: if planted(572) { 0 } else { record.expires_at_ms },
            applied: record.applied.clone(),
            requests,
            digest: value.digest(),
            entries,
            changes,
        })
    }

    /// Appends the encoding, if that is not more than a delta may have; says whether it is not.
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        epoch::put(self.epoch, out);
        let kinds = [KIND_DELTA, tag_of(self.kind)];
        let format = if self.requests.is_empty() { FORMAT } else { FORMAT_WITH_REQUESTS };
        put_head(out, format, self.version, kinds, self.expires_at_ms);
        let mut body = Vec::with_capacity(HEAD_BYTES + 5 + self.changes.len());
        put_ballot(&mut body, self.base);
        body.extend_from_slice(&self.digest.to_le_bytes());
        put_varint(&mut body, u64::from(self.entries));
        body.extend_from_slice(&self.changes);
        put_bytes(out, &body);
        self.applied.encode(out);
        if !self.requests.is_empty() {
            self.requests.encode(out);
        }
        let fits = out.len() - start <= DELTA_BYTES_MAX;
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// The base of an encoded delta, by its head alone. None: the bytes are no delta's.
    pub fn base_of(bytes: &[u8]) -> Option<Ballot> {
        if !Record::is_delta(bytes) {
            return None;
        }
        let mut reader = Reader::new(epoch::split(bytes).ok()?.1, WHAT);
        let body = Head::take(&mut reader).ok()?.body;
        Reader::new(body, WHAT).ballot().ok()
    }

    /// Whether bytes are an encoding that [`Delta::decode`] reads, without making copies of what is in it.
    pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(epoch::split(bytes)?.1, WHAT);
        let head = Head::take(&mut reader)?;
        Body::take(&head, bytes)?;
        Applied::check(&mut reader)?;
        if has_requests(head.format, &mut reader)? {
            requests::Changes::check(&mut reader)?;
        }
        reader.end()
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Delta, Malformed> {
        let (epoch, behind) = epoch::split(bytes)?;
        let mut reader = Reader::new(behind, WHAT);
        let head = Head::take(&mut reader)?;
        let Body { kind, base, digest, entries, changes } = Body::take(&head, bytes)?;
        let applied = Applied::decode(&mut reader)?;
        let requests = match has_requests(head.format, &mut reader)? {
            true => requests::Changes::decode(&mut reader)?,
            false => requests::Changes::default(),
        };
        reader.end()?;
        let Head { version, expires_at_ms, .. } = head;
        let changes = changes.to_vec();
        Ok(Delta { base, version, epoch, kind, expires_at_ms, applied, requests, digest, entries, changes })
    }

    /// Whether a whole record is what the delta means, as far as can be told without its base.
    pub fn means(&self, whole: &Record) -> bool {
        let value = |value: &Value| {
            value.kind() == self.kind
                && value.entries() == self.entries as usize
                && value.digest() == self.digest
        };
        whole.value.as_ref().is_some_and(value) && whole.ties.is_none() && self.is_beside(whole)
    }

    /// Whether what both have beside the object is the same.
    fn is_beside(&self, whole: &Record) -> bool {
        let own = (self.version, self.epoch, self.expires_at_ms, &self.applied);
        own == (whole.version, whole.epoch, whole.expires_at_ms, &whole.applied)
            && self.requests.digest == whole.requests.digest()
    }

    /// Whether two deltas on one base mean the same, and so whether two on any bases do.
    pub fn agrees(&self, other: &Delta) -> bool {
        let meaning = |delta: &Delta| {
            (delta.version, delta.epoch, delta.kind, delta.expires_at_ms, delta.digest, delta.entries)
        };
        meaning(self) == meaning(other)
            && self.applied == other.applied
            && self.requests.digest == other.requests.digest
    }

    /// Makes the record that this delta means of the one that it stands on. The digests are not compared: who applies many does so once, at the end
    /// ([`Delta::means`]).
    pub fn apply(&self, record: &mut Record) -> Result<(), Damage> {
        let value = record.value.as_mut().filter(|value| value.kind() == self.kind).ok_or(Damage::Base)?;
        // A base of an older epoch is a tombstone, which nothing changes.
        if record.ties.is_some() || record.epoch != self.epoch {
            return Err(Damage::Base);
        }
        value.apply(&self.changes)?;
        record.version = self.version;
        record.expires_at_ms = self.expires_at_ms;
        record.applied = self.applied.clone();
        Ok(self.requests.apply(&mut record.requests)?)
    }

    /// The record that a chain means: a whole one, and deltas, each on the one before it. What the first one stands on is the reader's matter.
    pub fn fold<'a>(whole: &[u8], deltas: impl IntoIterator<Item = &'a [u8]>) -> Result<Record, Damage> {
        let mut record = Record::decode(whole)?;
        let mut last: Option<Delta> = None;
        for bytes in deltas {
            let delta = Delta::decode(bytes)?;
            if last.as_ref().is_some_and(|last| last.base >= delta.base || last.version > delta.version) {
                return Err(Damage::Base);
            }
            delta.apply(&mut record)?;
            last = Some(delta);
        }
        if last.is_some_and(|last| !last.means(&record)) {
            return Err(Damage::Misfit);
        }
        Ok(record)
    }
}

const WHAT: &str = "delta";

/// Bytes of base and digest.
const HEAD_BYTES: usize = 16 + 8;

/// What a delta's body holds.
struct Body<'a> {
    kind: Type,
    base: Ballot,
    digest: u64,
    entries: u32,
    changes: &'a [u8],
}

impl<'a> Body<'a> {
    fn take(head: &Head<'a>, all: &[u8]) -> Result<Body<'a>, Malformed> {
        let mut reader = Reader::new(head.body, WHAT);
        let kind = type_of(head.tag).filter(|kind| *kind != Type::String);
        let is_long = all.len() > DELTA_BYTES_MAX;
        let (Some(kind), KIND_DELTA, false) = (kind, head.kind, is_long || head.format == FORMAT_WITH_TIES)
        else {
            return Err(reader.malformed());
        };
        let (base, digest) = (reader.ballot()?, reader.u64()?);
        let mut rest = crate::command::Reader::new(reader.rest());
        let entries = rest.varint().ok().and_then(|count| u32::try_from(count).ok());
        let (Some(entries @ 1..), false) = (entries, base.is_zero()) else {
            return Err(Malformed(WHAT));
        };
        let changes = rest.rest();
        Change::check(changes).map_err(|_| Malformed("delta: changes that this version does not know"))?;
        Ok(Body { kind, base, digest, entries, changes })
    }
}

/// How many entries the object has after a delta with this body.
pub(super) fn entries(body: &[u8]) -> Result<usize, DecodeError> {
    let rest = body.get(HEAD_BYTES..).ok_or(DecodeError::Truncated)?;
    let count = crate::command::Reader::new(rest).varint()?;
    usize::try_from(count).map_err(|_| DecodeError::Malformed)
}
