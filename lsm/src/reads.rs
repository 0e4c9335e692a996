//! Gets and scans that wait for the disk.

use std::collections::BTreeMap;
use std::rc::Rc;

use reactor::{AlignedBuf, Disk, DiskError, Op, OpId, Outcome, BLOCK_BYTES};

use crate::cache::BlockCache;
use crate::envelope::{BlockError, BlockKind};
use crate::error::{Damage, ReadError};
use crate::fetch::{self, Fetch, Held, Need};
use crate::get::Lookup;
use crate::limits::SCAN_READ_BYTES_MAX;
use crate::scan::Scanner;
use crate::table::Table;
use crate::types::{Counters, Rows, Ticket, Value};

/// What reads.
pub(crate) enum Reader {
    Get(Lookup),
    Scan(Box<Scanner>),
}

/// What came of it.
pub(crate) enum Brought {
    Value(Option<Value>),
    Rows(Rows),
}

/// A read that waits.
struct Waiting {
    reader: Reader,
    held: Held,
    /// Blocks that it lacks.
    lacks: usize,
    /// What it reads ahead, in bytes.
    ahead: usize,
}

/// A read from disk, and who waits for it.
struct Load {
    need: Need,
    /// Bytes in front of the block in the buffer.
    skip: usize,
    tickets: Vec<Ticket>,
}

/// A read that ended.
pub(crate) struct Ended {
    pub ticket: Ticket,
    pub is_scan: bool,
    pub result: Result<Brought, ReadError>,
}

/// All that wait.
#[derive(Default)]
pub(crate) struct Reads {
    last_ticket: u64,
    waiting: BTreeMap<Ticket, Waiting>,
    loads: BTreeMap<OpId, Load>,
    /// Which read from disk brings which block: of the table of this number, at this place.
    places: BTreeMap<(u64, u64), OpId>,
}

/// What a read needs from the engine.
pub(crate) struct Around<'a, D: Disk + ?Sized> {
    pub disk: &'a mut D,
    pub cache: &'a mut BlockCache,
    pub counters: &'a mut Counters,
}

impl Reads {
    pub fn owns(&self, op: OpId) -> bool {
        self.loads.contains_key(&op)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The name of a read that is refused at once.
    pub fn refused(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// Begins a read that lacks these blocks.
    pub fn begin<D: Disk + ?Sized>(
        &mut self,
        around: &mut Around<'_, D>,
        reader: Reader,
        needs: Vec<Need>,
    ) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let waiting = Waiting { reader, held: Held::default(), lacks: needs.len(), ahead: 0 };
        self.waiting.insert(ticket, waiting);
        needs.into_iter().for_each(|need| self.load(around, ticket, need, 0));
        ticket
    }

    fn load<D: Disk + ?Sized>(
        &mut self,
        around: &mut Around<'_, D>,
        ticket: Ticket,
        need: Need,
        ahead: usize,
    ) {
        let place = (need.table.meta.id, need.offset);
        if let Some(load) = self.places.get(&place).and_then(|op| self.loads.get_mut(op)) {
            load.tickets.push(ticket);
            return;
        }
        let (op, skip) = read_op(&need, ahead);
        if let Op::Read { buf, .. } = &op {
            around.counters.disk_reads += 1;
            around.counters.disk_read_bytes += buf.len() as u64;
        }
        let op = around.disk.submit(op);
        self.places.insert(place, op);
        self.loads.insert(op, Load { need, skip, tickets: vec![ticket] });
    }

    /// A read from disk ended. `damage`: is told of what cannot be believed.
    pub fn done<D: Disk + ?Sized>(
        &mut self,
        around: &mut Around<'_, D>,
        op: OpId,
        result: Result<Outcome, DiskError>,
        ended: &mut Vec<Ended>,
    ) -> Option<(Rc<Table>, Damage)> {
        let Load { need, skip, tickets } = self.loads.remove(&op)?;
        let table = need.table.meta.id;
        self.places.remove(&(table, need.offset));
        let blocks = match bytes_of(result).map(|(buf, bytes)| unpack(&need, &buf, skip, bytes)) {
            Ok(Ok(blocks)) => blocks,
            Ok(Err((offset, error))) => {
                let damage = need.table.damage(offset, error.to_string());
                let error = ReadError::Damaged(damage.clone());
                tickets.into_iter().for_each(|ticket| self.refuse(ticket, error.clone(), ended));
                return Some((need.table, damage));
            }
            Err(error) => {
                tickets.into_iter().for_each(|ticket| self.refuse(ticket, error.clone(), ended));
                return None;
            }
        };
        for (offset, cached) in &blocks {
            around.cache.insert(table, *offset, cached.clone());
        }
        for ticket in tickets {
            let Some(waiting) = self.waiting.get_mut(&ticket) else { continue };
            let sources = match &waiting.reader {
                Reader::Get(_) => 1,
                Reader::Scan(scanner) => scanner.sources(),
            };
            waiting.held.renew(table, blocks.clone(), 2 * sources);
            waiting.lacks -= 1;
            if waiting.lacks == 0 {
                self.go_on(around, ticket, ended);
            }
        }
        None
    }

    /// All that a read lacked is there.
    fn go_on<D: Disk + ?Sized>(
        &mut self,
        around: &mut Around<'_, D>,
        ticket: Ticket,
        ended: &mut Vec<Ended>,
    ) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        let mut needs = Vec::new();
        let mut fetch = Fetch { cache: Some(around.cache), held: &waiting.held, needs: &mut needs };
        let (brought, is_scan) = match &mut waiting.reader {
            Reader::Get(lookup) => (lookup.run(&mut fetch).map(Brought::Value), false),
            Reader::Scan(scanner) => (scanner.run(&mut fetch).map(Brought::Rows), true),
        };
        if let Some(brought) = brought {
            self.waiting.remove(&ticket);
            ended.push(Ended { ticket, is_scan, result: Ok(brought) });
            return;
        }
        assert!(!needs.is_empty(), "who does not get on lacks a block");
        if is_scan && needs.iter().any(|need| need.kind == BlockKind::Data) {
            waiting.ahead = (2 * waiting.ahead).clamp(SCAN_READ_BYTES_MAX / 8, SCAN_READ_BYTES_MAX);
        }
        let ahead = waiting.ahead;
        waiting.lacks = needs.len();
        needs.into_iter().for_each(|need| self.load(around, ticket, need, ahead));
    }

    fn refuse(&mut self, ticket: Ticket, error: ReadError, ended: &mut Vec<Ended>) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            let is_scan = matches!(waiting.reader, Reader::Scan(_));
            ended.push(Ended { ticket, is_scan, result: Err(error) });
        }
    }

    /// The engine has failed: nobody gets an answer from the disk any more.
    pub fn refuse_all(&mut self, ended: &mut Vec<Ended>) {
        let tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
        tickets.into_iter().for_each(|ticket| self.refuse(ticket, ReadError::Failed, ended));
    }
}

/// The read that brings a block, and up to `ahead` bytes in all where more of its section follows; how many bytes lie in front of it.
pub(crate) fn read_op(need: &Need, ahead: usize) -> (Op, usize) {
    let block = BLOCK_BYTES as u64;
    let wanted = match need.kind {
        BlockKind::Data => need.bytes.max(ahead.min((need.data_end - need.offset) as usize)),
        _ => need.bytes,
    };
    let start = need.offset / block * block;
    let end = (need.offset + wanted as u64).next_multiple_of(block);
    let buf = AlignedBuf::zeroed((end - start) as usize);
    (Op::Read { file: need.table.file, offset: start, buf }, (need.offset - start) as usize)
}

/// The bytes that a read brought.
pub(crate) fn bytes_of(result: Result<Outcome, DiskError>) -> Result<(AlignedBuf, usize), ReadError> {
    match result {
        Ok(Outcome::Read { buf, bytes }) => Ok((buf, bytes)),
        Ok(outcome) => Err(ReadError::Io { message: format!("a read ended as {outcome:?}") }),
        Err(error) => Err(ReadError::Io { message: error.message }),
    }
}

/// The blocks of a read.
pub(crate) fn unpack(
    need: &Need,
    buf: &AlignedBuf,
    skip: usize,
    bytes: usize,
) -> Result<Vec<(u64, crate::cache::Cached)>, (u64, BlockError)> {
    let there = buf.as_slice().get(skip..bytes).ok_or((need.offset, BlockError::Short))?;
    fetch::unpack(need, there)
}
