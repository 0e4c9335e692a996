//! Statements that read all partitions of a table (SELECT ... ALLOW SCAN; docs/design/tables.md).
//!
//! Partitions are found as SCAN finds keys, slice by slice and page by page, and each is read where it is, by a statement of its own; some are read
//! at a time, and what comes of them is taken in their order. How it is put together is `sql::Scan`'s matter. Nothing more is read from the
//! connection until it is answered.
//!
//! All that waits has a deadline of its own, after which it is answered with an error, which ends the statement. What is still under way then is
//! nobody's when it comes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shard::command::{sql_error, sql_reply, Command, KeyCommand, Keyspace, Op, Sql};
use shard::reply::Reply;
use shard::slot::slot;
use sql::{End, Part, Query, Scan};

use super::{limits, Action, Held, Session, Ticket};
use crate::cluster::Port;
use crate::gather::{self, Join, Parts};
use crate::server::{Now, Server};

/// The statement that a connection is at, and what is left of those before it.
#[derive(Debug, Default)]
pub(super) struct Scans {
    under_way: Option<Box<Scanning>>,
    /// Replies to statements that have ended, which are still to come.
    late: BTreeMap<u64, usize>,
}

#[derive(Debug)]
struct Scanning {
    seq: u64,
    scan: Scan,
    sql: Box<Sql>,
    began_us: u64,
    /// Parts of the request that were given out.
    parts: u32,
    /// Where the walk over the keys goes on; None: it is through.
    walk: Option<u64>,
    /// The step of the walk that is under way: its part, its slice, and how its page is turned.
    walking: Option<(u32, u16, Join)>,
    /// Partitions that were found and not asked: the cursor that begins with each, and its name.
    found: VecDeque<(u64, Box<[u8]>)>,
    /// Those that were asked, in their order.
    reading: VecDeque<Reading>,
    /// The last one whose part was taken.
    last: Option<(u64, Box<[u8]>)>,
    /// It counts among those of the core.
    _counted: Arc<()>,
}

/// Where a statement ends.
#[derive(Clone, Copy, Debug)]
enum Where {
    /// Behind the last partition.
    Last,
    /// In the last partition whose part was taken, or behind it.
    AtLast,
    /// Between partitions.
    Walk(u64),
}

/// A partition that is being read.
#[derive(Debug)]
struct Reading {
    part: u32,
    place: u64,
    name: Box<[u8]>,
    came: Option<Result<Part, Reply>>,
}

const TOO_MANY: Reply =
    Reply::error("ERR busy: other statements with ALLOW SCAN are under way at this core; try again later");
const OTHER_CURSOR: Reply =
    Reply::error("SQL 34000 the cursor is of a cluster with other cores; begin with CURSOR '0'");
const UNKNOWN_PAGE: Reply = Reply::error("ERR internal: a page of partitions cannot be read");
const UNKNOWN_PART: Reply = Reply::error("ERR internal: what a partition gave cannot be read");

impl Scans {
    /// Whether a reply is for such a statement, and not for the client.
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.under_way.as_ref().is_some_and(|scanning| scanning.seq == ticket.seq)
            || self.late.contains_key(&ticket.seq)
    }
}

impl Session {
    /// Begins a statement. What it is answered, if that is known at once.
    pub(super) fn begin_scan(
        &mut self,
        query: Box<Query>,
        sql: Box<Sql>,
        seq: u64,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Reply> {
        let scan = match Scan::new(*query) {
            Ok(scan) => scan,
            Err(error) => return Some(sql_error(&error)),
        };
        // Each that is under way holds it, and so does the core.
        if Arc::strong_count(&server.scans) > limits::SCANS_MAX {
            return Some(TOO_MANY);
        }
        if scan.is_full() {
            return Some(finished(scan, End::Last));
        }
        let mut scanning = Box::new(Scanning {
            seq,
            walk: Some(scan.begins_at()),
            scan,
            sql,
            began_us: now.mono_us,
            parts: 0,
            walking: None,
            found: VecDeque::new(),
            reading: VecDeque::new(),
            last: None,
            _counted: Arc::clone(&server.scans),
        });
        if let Err(refused) = scanning.walk_on(server, actions) {
            return Some(refused);
        }
        self.held = Some(Held::Until(seq));
        self.scans.under_way = Some(scanning);
        None
    }

    /// A page of partitions, or what one of them gave.
    pub(super) fn on_scanned(
        &mut self,
        ticket: Ticket,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if let Some(left) = self.scans.late.get_mut(&ticket.seq) {
            *left -= 1;
            if *left == 0 {
                self.scans.late.remove(&ticket.seq);
            }
            return;
        }
        let Some(scanning) = self.scans.under_way.take() else { return };
        match scanning.on_reply(ticket.part, reply, server, now, actions) {
            Ok(scanning) => self.scans.under_way = Some(scanning),
            Err((late, reply)) => {
                if late > 0 {
                    self.scans.late.insert(ticket.seq, late);
                }
                self.finish(ticket.seq, reply, server, now);
            }
        }
    }
}

fn finished(scan: Scan, end: End<'_>) -> Reply {
    match scan.finish(end) {
        Ok(reply) => sql_reply(reply),
        Err(error) => sql_error(&error),
    }
}

impl Scanning {
    /// Takes a reply and goes on, or ends: how many replies are still to come, and what the client is answered.
    fn on_reply(
        mut self: Box<Self>,
        part: u32,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<Box<Self>, (usize, Reply)> {
        let taken = match self.walking.take_if(|(asked, ..)| *asked == part) {
            Some((_, slice, join)) => self.take_page(slice, join, reply),
            None => {
                self.take_part(part, reply);
                Ok(())
            }
        };
        let ends = taken.and_then(|()| self.go_on(server, now, actions));
        if let Ok(None) = ends {
            return Ok(self);
        }
        let waiting = self.reading.iter().filter(|reading| reading.came.is_none()).count();
        let late = waiting + usize::from(self.walking.is_some());
        let Scanning { scan, last, .. } = *self;
        let reply = match (ends, &last) {
            (Err(refused), _) => refused,
            (Ok(Some(Where::AtLast)), Some((place, name))) => finished(scan, End::In(*place, name)),
            (Ok(Some(Where::Walk(at))), _) => finished(scan, End::At(at)),
            (Ok(_), _) => finished(scan, End::Last),
        };
        Err((late, reply))
    }

    /// Takes what has come, and asks for more. Some: it ends.
    fn go_on(
        &mut self,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Where>, Reply> {
        let (micros, is_page) = (now.mono_us.saturating_sub(self.began_us), self.scan.is_page());
        if !is_page && micros >= limits::SCAN_SECONDS_MAX * 1_000_000 {
            return Err(sql_error(&sql::too_long(limits::SCAN_SECONDS_MAX)));
        }
        let is_late = is_page && micros >= limits::SCAN_PAGE_US;
        while self.reading.front().is_some_and(|first| first.came.is_some()) {
            let Some(Reading { place, name, came: Some(came), .. }) = self.reading.pop_front() else { break };
            let part = came?;
            if !self.scan.has_room_for(&part) {
                // By now fewer rows are wanted than when it was asked.
                let reading = self.read(place, name, server, actions);
                reading.into_iter().for_each(|reading| self.reading.push_front(reading));
                break;
            }
            self.scan.take(part).map_err(|error| sql_error(&error))?;
            self.last = Some((place, name));
            if self.scan.is_full() || is_late {
                return Ok(Some(Where::AtLast));
            }
        }
        while self.reading.len() < limits::SCAN_PARTITIONS {
            let Some((place, name)) = self.found.pop_front() else { break };
            let reading = self.read(place, name, server, actions);
            self.reading.extend(reading);
        }
        if !self.found.is_empty() || self.walking.is_some() {
            return Ok(None);
        }
        match self.walk {
            Some(at) if is_late && self.reading.is_empty() => Ok(Some(Where::Walk(at))),
            Some(_) => self.walk_on(server, actions).map(|()| None),
            None => Ok(self.reading.is_empty().then_some(Where::Last)),
        }
    }

    fn next_part(&mut self) -> u32 {
        self.parts += 1;
        self.parts
    }

    /// Looks for more partitions.
    fn walk_on(&mut self, server: &Server, actions: &mut Vec<Action>) -> Result<(), Reply> {
        let Some(cursor) = self.walk.take() else { return Ok(()) };
        let table = self.scan.table().name.as_bytes().into();
        let command = Keyspace::Partitions { cursor, table, count: limits::SCAN_KEYS };
        // Of all slices, whatever port this is, as with what is about tables.
        let spread = gather::spread(command, &server.map, Port::Plain, self.seq);
        let (parts, join) = spread.map_err(|_| OTHER_CURSOR)?;
        for step in parts {
            let part = self.next_part();
            self.walking = Some((part, step.slice, join));
            let (slice, command, scope) = step.into();
            actions.push(Action::Run { ticket: Ticket { seq: self.seq, part }, slice, command, scope });
        }
        Ok(())
    }

    /// Takes a page of partitions.
    fn take_page(&mut self, slice: u16, join: Join, reply: Reply) -> Result<(), Reply> {
        let page = Parts::new(1, join).put(0, reply).unwrap_or(UNKNOWN_PAGE);
        let (cursor, items) = match page {
            Reply::Array(fields) => match <[Reply; 2]>::try_from(fields) {
                Ok([Reply::Bulk(cursor), Reply::Array(items)]) => (cursor, items),
                _ => return Err(UNKNOWN_PAGE),
            },
            refused @ Reply::Error(_) => return Err(refused),
            _ => return Err(UNKNOWN_PAGE),
        };
        let next = number(&cursor).ok_or(UNKNOWN_PAGE)?;
        self.walk = Some(next).filter(|next| *next != 0);
        for item in items {
            let Reply::Array(pair) = item else { return Err(UNKNOWN_PAGE) };
            let Ok([Reply::Bulk(place), Reply::Bulk(name)]) = <[Reply; 2]>::try_from(pair) else {
                return Err(UNKNOWN_PAGE);
            };
            let place = gather::cursor_in(slice, number(&place).ok_or(UNKNOWN_PAGE)?);
            if place != self.scan.begins_at() || !self.scan.is_read(&name) {
                self.found.push_back((place, name.into()));
            }
        }
        self.found.make_contiguous().sort_unstable();
        Ok(())
    }

    /// Asks a partition. None: it is none of this table.
    fn read(
        &mut self,
        place: u64,
        name: Box<[u8]>,
        server: &mut Server,
        actions: &mut Vec<Action>,
    ) -> Option<Reading> {
        let share = self.scan.share(&name)?;
        let part = self.next_part();
        let mut sql = self.sql.clone();
        // What is drawn at random is another thing in each partition.
        sql.random = [server.rng.next_u64(), server.rng.next_u64()];
        sql.share = Some(Box::new(share));
        let slice = server.map.slice(slot(&name));
        let command = Command::Key(KeyCommand { key: name.clone(), op: Op::Sql(sql) });
        actions.push(Action::Run { ticket: Ticket { seq: self.seq, part }, slice, command, scope: None });
        Some(Reading { part, place, name, came: None })
    }

    /// Takes what a partition gave.
    fn take_part(&mut self, part: u32, reply: Reply) {
        let Some(reading) = self.reading.iter_mut().find(|reading| reading.part == part) else { return };
        reading.came = Some(match reply {
            Reply::Bulk(bytes) => Part::decode(&bytes).map_err(|error| sql_error(&error)),
            refused @ Reply::Error(_) => Err(refused),
            _ => Err(UNKNOWN_PART),
        });
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
