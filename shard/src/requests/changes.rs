//! What became of a table of requests: which were done since, for whoever has the table as it was (docs/formats/record.md, deltas).
//!
//! ```text
//! digest u64 | used_ms u64 | done u16 × { len u8, name | seq u64 | now_ms u64 | len u16, reply }
//! ```

use std::rc::Rc;

use super::{put_reply, Remembered, Requests};
use crate::limits::{BATCH_COMMANDS_MAX, CLIENT_NAME_BYTES_MAX, RESULT_BYTES_MAX};
use crate::object::Misfit;
use crate::wire::bytes::{Malformed, Reader};

/// A request that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whose it was.
    pub name: Box<[u8]>,
    /// Its number.
    pub seq: u64,
    /// When it was done: wall clock, milliseconds since 1970.
    pub now_ms: u64,
    /// Its encoded reply (None: too large to keep).
    pub reply: Option<Rc<[u8]>>,
}

/// What makes a table of the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of the table after it; 0 where that is empty.
    pub digest: u64,
    /// When a request of that table was done last: wall clock, milliseconds since 1970.
    pub used_ms: u64,
    /// In the order in which they were done.
    pub done: Vec<Done>,
}

impl Changes {
    /// Whether nothing is remembered before and after.
    pub fn is_empty(&self) -> bool {
        self.digest == 0 && self.done.is_empty()
    }

    /// Those that leave a table as it is.
    pub fn none_of(requests: &Requests) -> Changes {
        Changes { digest: requests.digest(), used_ms: requests.used_ms(), done: Vec::new() }
    }

    /// Makes the table of the one before it. Whether it is the one that was meant its digest tells.
    pub fn apply(&self, requests: &mut Requests) -> Result<(), Misfit> {
        for Done { name, seq, now_ms, reply } in &self.done {
            if requests.find(name, *seq) != Remembered::New {
                return Err(Misfit);
            }
            requests.insert_kept(name, *seq, reply.clone(), *now_ms);
        }
        Ok(())
    }

    /// Appends the encoding; none of what is empty.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.digest.to_le_bytes());
        out.extend_from_slice(&self.used_ms.to_le_bytes());
        let count = u16::try_from(self.done.len()).expect("a batch has fewer commands");
        out.extend_from_slice(&count.to_le_bytes());
        for Done { name, seq, now_ms, reply } in &self.done {
            out.push(name.len() as u8);
            out.extend_from_slice(name);
            out.extend_from_slice(&seq.to_le_bytes());
            out.extend_from_slice(&now_ms.to_le_bytes());
            put_reply(reply.as_deref(), out);
        }
    }

    /// Reads an encoding.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Changes, Malformed> {
        let mut done = Vec::new();
        let (digest, used_ms) = walk(reader, |name, seq, now_ms, reply| {
            done.push(Done { name: name.into(), seq, now_ms, reply: reply.map(Rc::from) });
        })?;
        Ok(Changes { digest, used_ms, done })
    }

    /// Whether bytes are an encoding, without making copies.
    pub(crate) fn check(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        walk(reader, |_, _, _, _| {}).map(drop)
    }
}

fn walk<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&'a [u8], u64, u64, Option<&'a [u8]>),
) -> Result<(u64, u64), Malformed> {
    let (digest, used_ms, count) = (reader.u64()?, reader.u64()?, usize::from(reader.u16()?));
    if digest == 0 || count > BATCH_COMMANDS_MAX {
        return Err(reader.malformed());
    }
    for _ in 0..count {
        let len = usize::from(reader.u8()?);
        let name = reader.take(len)?;
        let (seq, now_ms, len) = (reader.u64()?, reader.u64()?, reader.u16()?);
        if name.is_empty() || name.len() > CLIENT_NAME_BYTES_MAX || seq == 0 {
            return Err(reader.malformed());
        }
        let reply = match usize::from(len) {
            _ if len == u16::MAX => None,
            len if len <= RESULT_BYTES_MAX => Some(reader.take(len)?),
            _ => return Err(reader.malformed()),
        };
        each(name, seq, now_ms, reply);
    }
    Ok((digest, used_ms))
}

const _: () = assert!(BATCH_COMMANDS_MAX <= u16::MAX as usize, "two bytes count them");
