//! Reads from disk that are under way.

use std::collections::BTreeMap;
use std::rc::Rc;

use reactor::{AlignedBuf, DiskError, Op, OpId, Outcome, BLOCK_BYTES};

use crate::core::Core;
use crate::directory::KeyRef;
use crate::error::{Fault, ReadError};
use crate::limits::{READ_BUFFERS_MAX, READ_BUFFER_BYTES_MAX, UNIT_BYTES};
use crate::record;
use crate::table::Location;
use crate::types::{Bytes, Event, Found, Stamp, Ticket};

struct Pending {
    ticket: Ticket,
    key: KeyRef,
    /// The key that was asked for; none if it was asked for by its fingerprint.
    name: Option<Box<[u8]>>,
    stamp: Stamp,
    location: Location,
}

/// The reads of one engine.
#[derive(Default)]
pub(crate) struct Reads {
    pending: BTreeMap<OpId, Pending>,
    buffers: Vec<AlignedBuf>,
    next_ticket: u64,
}

impl Reads {
    pub fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub fn owns(&self, id: OpId) -> bool {
        self.pending.contains_key(&id)
    }

    /// The operation that reads the blocks around a record.
    pub fn op(&mut self, core: &mut Core, at: Location) -> Op {
        let start = u64::from(at.offset) * UNIT_BYTES as u64;
        let offset = start / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let mut buf = self.buffers.pop().unwrap_or_default();
        buf.resize((start - offset + at.bytes()) as usize);
        let segment = core.segments.at_mut(at.segment);
        segment.readers += 1;
        Op::Read { file: segment.file, offset, buf }
    }

    pub fn started(
        &mut self,
        id: OpId,
        key: KeyRef,
        name: Option<&[u8]>,
        stamp: Stamp,
        at: Location,
    ) -> Ticket {
        let ticket = self.next_ticket();
        let name = name.map(Box::from);
        self.pending.insert(id, Pending { ticket, key, name, stamp, location: at });
        ticket
    }

    /// A read has ended: checks the record, and tells the owner.
    pub fn done(&mut self, core: &mut Core, id: OpId, result: Result<Outcome, DiskError>) {
        let pending = self.pending.remove(&id).expect("the read is under way");
        core.segments.at_mut(pending.location.segment).readers -= 1;
        core.counters.disk_reads += 1;
        let result = match result {
            Ok(Outcome::Read { buf, bytes }) => {
                let found = check(core, &pending, &buf.as_slice()[..bytes]);
                self.keep(buf);
                found
            }
            Ok(outcome) => Err(Fault::Io { message: format!("a read ended as {outcome:?}") }),
            Err(error) => Err(Fault::Io { message: error.message }),
        };
        let result = result.map_err(|fault| {
            let message = fault.to_string();
            core.fail(fault);
            ReadError { message }
        });
        core.events.push_back(Event::Read { ticket: pending.ticket, result });
    }

    fn keep(&mut self, buf: AlignedBuf) {
        if self.buffers.len() < READ_BUFFERS_MAX && buf.capacity() <= READ_BUFFER_BYTES_MAX {
            self.buffers.push(buf);
        }
    }
}

/// Checks that the blocks hold the record that the directory says, and makes it the answer. `None` if it is another
/// key's with the same fingerprint.
fn check(core: &mut Core, pending: &Pending, blocks: &[u8]) -> Result<Option<Found>, Fault> {
    let start = u64::from(pending.location.offset) * UNIT_BYTES as u64;
    let within = (start % BLOCK_BYTES as u64) as usize;
    let end = within + pending.location.bytes() as usize;
    let damage = |message: String| Fault::Damage {
        file: core.segments.at(pending.location.segment).name(),
        offset: start,
        message,
    };
    let Some(bytes) = blocks.get(within..end) else {
        return Err(damage(format!("a record of {} bytes is cut off", pending.location.bytes())));
    };
    let (raw, taken) = record::decode(bytes).map_err(damage)?;
    let another = raw.slot != pending.key.0
        || raw.stamp != pending.stamp
        || taken != bytes.len()
        || core.keyed.fingerprint(raw.key) != pending.key.1;
    if another {
        return Err(damage("another record lies here than was written".to_owned()));
    }
    let record: Rc<[u8]> = Rc::from(bytes);
    core.cache.insert(pending.key.1, record.clone());
    Ok(found(record, pending.name.as_deref()))
}

/// The answer that a proved record gives; `None` if its key is not the one that was asked for.
pub(crate) fn found(record: Rc<[u8]>, name: Option<&[u8]>) -> Option<Found> {
    let head = record::head(&record).ok()?;
    let body_at = record::HEADER_BYTES + head.key_bytes;
    let key = Bytes::part(&record, record::HEADER_BYTES..body_at);
    if name.is_some_and(|name| name != &*key) {
        return None;
    }
    let body = Bytes::part(&record, body_at..body_at + head.body_bytes);
    Some(Found { stamp: head.stamp, kind: head.kind.of_key(), key, body })
}
