//! Reads of chains: a key's newest record and all that it extends, each part read by itself, some at a time.
//!
//! The places are those of the moment when the read was asked for, and their segments stay until it ends. So whatever is written, merged or
//! removed meanwhile, the answer is what the key had then, as that of any read is.

use std::collections::BTreeMap;
use std::rc::Rc;

use reactor::OpId;

use crate::core::Core;
use crate::error::Fault;
use crate::limits::CHAIN_READS_MAX;
use crate::reads::{another, found, record_in, Extent, Wanted};
use crate::record;
use crate::table::Location;
use crate::types::{Found, Ticket};

/// A chain that is being read.
struct ChainRead {
    wanted: Wanted,
    /// The records, newest first, each as it comes.
    records: Rc<[u8]>,
    /// Where each lies, and where it goes.
    parts: Vec<(Location, usize)>,
    /// How many of them were asked for.
    asked: usize,
    /// How many are under way.
    flying: usize,
    /// Why nothing comes of it.
    fault: Option<Fault>,
}

/// The chains that are being read.
#[derive(Default)]
pub(crate) struct ChainReads {
    reads: BTreeMap<Ticket, ChainRead>,
    /// Which part of which chain an operation reads.
    parts: BTreeMap<OpId, (Ticket, usize)>,
}

impl ChainReads {
    pub fn owns(&self, id: OpId) -> bool {
        self.parts.contains_key(&id)
    }

    /// A chain is to be read whose newest record lies at this place.
    pub fn begin(&mut self, core: &mut Core, ticket: Ticket, wanted: Wanted, newest: Location) {
        let mut bytes = 0;
        let places = std::iter::once(newest).chain(core.directory.extended(wanted.key));
        let parts: Vec<(Location, usize)> = places
            .map(|at| {
                let start = bytes;
                bytes += at.bytes() as usize;
                (at, start)
            })
            .collect();
        parts.iter().for_each(|(at, _)| core.segments.at_mut(at.segment).readers += 1);
        let records = std::iter::repeat_n(0, bytes).collect();
        self.reads.insert(ticket, ChainRead { wanted, records, parts, asked: 0, flying: 0, fault: None });
    }

    /// The next part to be read, if one may be read now: which, and where it lies.
    pub fn next_part(&mut self, core: &Core, ticket: Ticket) -> Option<(usize, Location)> {
        let read = self.reads.get_mut(&ticket)?;
        if core.failed || read.fault.is_some() || read.flying == CHAIN_READS_MAX {
            return None;
        }
        let (at, _) = *read.parts.get(read.asked)?;
        read.asked += 1;
        read.flying += 1;
        Some((read.asked - 1, at))
    }

    pub fn started(&mut self, id: OpId, ticket: Ticket, part: usize) {
        self.parts.insert(id, (ticket, part));
    }

    /// The read of a part has ended; of which chain.
    pub fn done(&mut self, core: &mut Core, id: OpId, blocks: Result<&[u8], Fault>) -> Ticket {
        let (ticket, part) = self.parts.remove(&id).expect("the read is under way");
        let read = self.reads.get_mut(&ticket).expect("a chain is there while parts of it are read");
        read.flying -= 1;
        let (at, start) = read.parts[part];
        core.segments.at_mut(at.segment).readers -= 1;
        match blocks.and_then(|blocks| record_in(core, read.wanted.key, at, blocks)) {
            Ok((bytes, _)) => {
                let records = Rc::get_mut(&mut read.records).expect("nobody has it before it is whole");
                records[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Err(fault) => drop(read.fault.get_or_insert(fault)),
        }
        ticket
    }

    /// What a chain came to, if its read has ended.
    pub fn ended(&mut self, core: &mut Core, ticket: Ticket) -> Option<Result<Option<Found>, Fault>> {
        let read = self.reads.get(&ticket).filter(|read| read.flying == 0)?;
        let unread = &read.parts[read.asked..];
        unread.iter().for_each(|(at, _)| core.segments.at_mut(at.segment).readers -= 1);
        let stopped = || Fault::Io { message: "the slice has stopped".to_owned() };
        let ended_early = (!unread.is_empty()).then(stopped);
        let read = self.reads.remove(&ticket)?;
        Some(match read.fault.or(ended_early) {
            Some(fault) => Err(fault),
            None => put_together(core, &read.wanted, read.parts, read.records),
        })
    }
}

/// Checks that each part extends the one behind it, and makes all of them the answer.
fn put_together(
    core: &mut Core,
    wanted: &Wanted,
    parts: Vec<(Location, usize)>,
    records: Rc<[u8]>,
) -> Result<Option<Found>, Fault> {
    let mut due = Some(wanted.stamp);
    for (at, start) in &parts {
        let head = record::head(&records[*start..]).map_err(|_| another(core, *at))?;
        if due != Some(head.stamp) {
            return Err(another(core, *at));
        }
        due = head.base;
    }
    if let (Some(_), Some((at, _))) = (due, parts.last()) {
        return Err(another(core, *at));
    }
    core.counters.chain_reads += 1;
    core.counters.delta_reads += parts.len() as u64 - 1;
    core.cache.insert(wanted.key.1, records.clone());
    Ok(found(records, wanted.name.as_deref(), Extent::Chain))
}
