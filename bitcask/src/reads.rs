//! Reads from disk that are under way.

use std::collections::BTreeMap;
use std::rc::Rc;

use reactor::{AlignedBuf, Disk, DiskError, Op, OpId, Outcome, BLOCK_BYTES};

use crate::chain_reads::ChainReads;
use crate::core::Core;
use crate::directory::KeyRef;
use crate::error::{Fault, ReadError};
use crate::limits::{READ_BUFFERS_MAX, READ_BUFFER_BYTES_MAX, UNIT_BYTES};
use crate::record::{self, Head, Raw};
use crate::table::Location;
use crate::types::{Bytes, Event, Found, Stamp, Ticket};

/// How much of a key is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The newest record and all that it extends.
    Chain,
    /// The newest record by itself.
    Newest,
}

/// What is read.
pub(crate) struct Wanted {
    pub key: KeyRef,
    /// The key that was asked for; none if it was asked for by its fingerprint.
    pub name: Option<Box<[u8]>>,
    /// Of the newest record.
    pub stamp: Stamp,
}

struct Pending {
    ticket: Ticket,
    wanted: Wanted,
    location: Location,
}

/// The reads of one engine.
#[derive(Default)]
pub(crate) struct Reads {
    pending: BTreeMap<OpId, Pending>,
    chains: ChainReads,
    buffers: Vec<AlignedBuf>,
    next_ticket: u64,
}

impl Reads {
    pub fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub fn owns(&self, id: OpId) -> bool {
        self.pending.contains_key(&id) || self.chains.owns(id)
    }

    /// The operation that reads the blocks around a record, whose segment stays until it was looked at.
    pub fn op(&mut self, core: &mut Core, at: Location) -> Op {
        core.segments.at_mut(at.segment).readers += 1;
        self.op_at(core, at)
    }

    fn op_at(&mut self, core: &Core, at: Location) -> Op {
        let start = u64::from(at.offset) * UNIT_BYTES as u64;
        let offset = start / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let mut buf = self.buffers.pop().unwrap_or_default();
        buf.resize((start - offset + at.bytes()) as usize);
        Op::Read { file: core.segments.at(at.segment).file, offset, buf }
    }

    pub fn started(&mut self, id: OpId, wanted: Wanted, at: Location) -> Ticket {
        let ticket = self.next_ticket();
        self.pending.insert(id, Pending { ticket, wanted, location: at });
        ticket
    }

    /// Begins to read a key's newest record, which lies at this place, and all that it extends.
    pub fn start_chain<D: Disk + ?Sized>(
        &mut self,
        core: &mut Core,
        disk: &mut D,
        wanted: Wanted,
        newest: Location,
    ) -> Ticket {
        let ticket = self.next_ticket();
        self.chains.begin(core, ticket, wanted, newest);
        self.read_parts(core, disk, ticket);
        ticket
    }

    /// Reads as much of a chain as may be read now.
    fn read_parts<D: Disk + ?Sized>(&mut self, core: &Core, disk: &mut D, ticket: Ticket) {
        while let Some((part, at)) = self.chains.next_part(core, ticket) {
            let op = self.op_at(core, at);
            self.chains.started(disk.submit(op), ticket, part);
        }
    }

    /// A read has ended: checks the record, and tells the owner, or goes on.
    pub fn done<D: Disk + ?Sized>(
        &mut self,
        core: &mut Core,
        disk: &mut D,
        id: OpId,
        result: Result<Outcome, DiskError>,
    ) {
        let result = match result {
            Ok(Outcome::Read { buf, bytes }) => Ok((buf, bytes)),
            Ok(outcome) => Err(Fault::Io { message: format!("a read ended as {outcome:?}") }),
            Err(error) => Err(Fault::Io { message: error.message }),
        };
        let blocks = result.as_ref().map(|(buf, bytes)| &buf.as_slice()[..*bytes]);
        let ended = match self.pending.remove(&id) {
            Some(pending) => {
                core.segments.at_mut(pending.location.segment).readers -= 1;
                let found = blocks.map_err(Fault::clone).and_then(|blocks| check(core, &pending, blocks));
                Some((pending.ticket, found))
            }
            None => {
                let ticket = self.chains.done(core, id, blocks.map_err(Fault::clone));
                self.read_parts(core, disk, ticket);
                self.chains.ended(core, ticket).map(|found| (ticket, found))
            }
        };
        if let Ok((buf, _)) = result {
            self.keep(buf);
        }
        let Some((ticket, result)) = ended else { return };
        core.counters.disk_reads += 1;
        let result = result.map_err(|fault| {
            let message = fault.to_string();
            core.fail(fault);
            ReadError { message }
        });
        core.events.push_back(Event::Read { ticket, result });
    }

    fn keep(&mut self, buf: AlignedBuf) {
        if self.buffers.len() < READ_BUFFERS_MAX && buf.capacity() <= READ_BUFFER_BYTES_MAX {
            self.buffers.push(buf);
        }
    }
}

/// The record that lies at a place, of the blocks around it, if it is one of this key.
pub(crate) fn record_in<'a>(
    core: &Core,
    key: KeyRef,
    at: Location,
    blocks: &'a [u8],
) -> Result<(&'a [u8], Raw<'a>), Fault> {
    let within = (u64::from(at.offset) * UNIT_BYTES as u64 % BLOCK_BYTES as u64) as usize;
    let Some(bytes) = blocks.get(within..within + at.bytes() as usize) else {
        return Err(damage(core, at, format!("a record of {} bytes is cut off", at.bytes())));
    };
    let (raw, taken) = record::decode(bytes).map_err(|message| damage(core, at, message))?;
    if raw.slot != key.0 || taken != bytes.len() || core.keyed.fingerprint(raw.key) != key.1 {
        return Err(another(core, at));
    }
    Ok((bytes, raw))
}

/// What lies there is whole, but not what was written there.
pub(crate) fn another(core: &Core, at: Location) -> Fault {
    damage(core, at, "another record lies here than was written".to_owned())
}

fn damage(core: &Core, at: Location, message: String) -> Fault {
    let file = core.segments.at(at.segment).name();
    Fault::Damage { file, offset: u64::from(at.offset) * UNIT_BYTES as u64, message }
}

/// Checks that the blocks hold the record that the directory says, and makes it the answer. `None` if it is another
/// key's with the same fingerprint.
fn check(core: &mut Core, pending: &Pending, blocks: &[u8]) -> Result<Option<Found>, Fault> {
    let Pending { wanted, location, .. } = pending;
    let (bytes, raw) = record_in(core, wanted.key, *location, blocks)?;
    if raw.stamp != wanted.stamp {
        return Err(another(core, *location));
    }
    let record: Rc<[u8]> = Rc::from(bytes);
    if raw.base.is_none() {
        core.cache.insert(wanted.key.1, record.clone());
    }
    Ok(found(record, wanted.name.as_deref(), Extent::Newest))
}

/// The answer that proved records give: the newest, and behind it what it extends, newest first. `None` if their key is not the one that
/// was asked for.
pub(crate) fn found(records: Rc<[u8]>, name: Option<&[u8]>, extent: Extent) -> Option<Found> {
    let mut head = record::head(&records).ok()?;
    let Head { stamp, kind, .. } = head;
    let key = Bytes::part(&records, head.key_at()..head.body_at());
    if name.is_some_and(|name| name != &*key) {
        return None;
    }
    let (mut at, mut deltas) = (0, Vec::new());
    while head.base.is_some() && extent == Extent::Chain {
        deltas.push(Bytes::part(&records, at + head.body_at()..at + head.end()));
        at += head.taken();
        head = record::head(records.get(at..)?).ok()?;
    }
    deltas.reverse();
    let body = Bytes::part(&records, at + head.body_at()..at + head.end());
    Some(Found { stamp, kind: kind.of_key(), key, body, deltas, base: head.base })
}
