//! Tables by SQL: what sessions do with statements, and definers, who change the catalog under them.
//!
//! A definer has the table made, changed, dropped and made anew, and other tables beside it. A change is answered when every slice has it; so a
//! statement that began after that, at any host, goes by it: where the table was dropped its keys are empty, to the history, from a moment
//! between question and answer on.

use paxos::{Ballot, Member};
use reactor::clock::{Nanos, MILLISECOND, SECOND};
use reactor::rng::Rng;
use shard::command::{Catalog, Command, KeyCommand, Keyspace, Op, CATALOG_KEY};
use shard::reply::Reply;
use shard::RequestId;
use synod_bench::history::{self, OperationId};

use super::clients::{Asker, Outstanding};
use super::core::Input;
use super::{Event, Phase, Place, World};
use crate::indexes::Schemas;
use crate::limits::DEADLINE_MAX;
use crate::rows::{self, Table};
use crate::violation::{invariant, Checked, Violation};

/// Changes that each definer asks for.
const CHANGES: u32 = 16;

/// Longest pause of a definer, in a run: between these.
const THINK: (Nanos, Nanos) = (10 * MILLISECOND, 200 * MILLISECOND);

/// How long a definer waits for an answer.
const PATIENCE: Nanos = 2 * SECOND;

/// Threads of definers in the history.
const DEFINERS: u32 = 5000;

/// What happens by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum TableEvent {
    /// A definer asks for its next change.
    Define(usize),
    /// A definer does not wait any longer for the answers to a change.
    GiveUp(usize, u32),
}

/// Who asked about tables.
#[derive(Clone, Copy, Debug)]
pub(super) enum TableAsk {
    /// A session, because of a statement of a client that it cannot plan.
    Session(RequestId),
    /// A definer: its change is to be chosen.
    Choose(usize, u32),
    /// It wants the bytes of the newest catalog.
    Fetch(usize, u32),
    /// It wants one slice to have them.
    Spread(usize, u32),
}

#[derive(Debug, Default)]
struct Definer {
    left: u32,
    /// The change that it waits for.
    change: Option<u32>,
    at: Option<Place>,
    /// Slices that have not answered.
    slices: usize,
    /// What a change that drops the table is to each key.
    clears: Vec<OperationId>,
    drops: Option<Table>,
}

/// A change that may drop a table.
#[derive(Clone, Copy, Debug)]
struct OpenDrop {
    change: u32,
    definer: usize,
    asked_at: Nanos,
    table: Table,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Tables {
    rng: Rng,
    think: Nanos,
    definers: Vec<Definer>,
    changes: u32,
    /// There is a large table, too.
    has_large: bool,
    /// What tables and indexes there ever were.
    pub schemas: Schemas,
    /// Changes that may drop a table, or may still do so, whatever their definers were told.
    open_drops: Vec<OpenDrop>,
}

impl Tables {
    pub fn new(mut rng: Rng, has_large: bool) -> Tables {
        let definer = || Definer { left: CHANGES, ..Definer::default() };
        let definers = (0..rng.between(1, 2)).map(|_| definer()).collect();
        let think = rng.between(THINK.0, THINK.1);
        Tables {
            rng,
            think,
            definers,
            changes: 0,
            has_large,
            schemas: Schemas::default(),
            open_drops: Vec::new(),
        }
    }

    /// Whether all changes were asked for and answered.
    pub fn is_done(&self) -> bool {
        self.definers.iter().all(|definer| definer.left == 0 && definer.change.is_none())
    }

    /// Draws a change; the table that it drops. Where there is a large table both are made first.
    fn draw(&mut self) -> (String, Option<Table>) {
        let first = [Table::Large, Table::Small];
        if let Some(table) = first.get(self.changes as usize).filter(|_| self.has_large) {
            return (table.create().to_owned(), None);
        }
        let table = if self.has_large && self.rng.coin() { Table::Large } else { Table::Small };
        let (name, one) = (table.name(), self.rng.below(6));
        match self.rng.below(12) {
            0..=4 => (table.create().replace("TABLE", "TABLE IF NOT EXISTS"), None),
            5 => (format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS c{one} INT DEFAULT {one}"), None),
            6 => (format!("CREATE INDEX IF NOT EXISTS i{one} ON {name} (v)"), None),
            7 => (format!("DROP INDEX IF EXISTS i{one}"), None),
            8 => (format!("CREATE TABLE IF NOT EXISTS t{one} (k INT PRIMARY KEY)"), None),
            9 => (format!("DROP TABLE IF EXISTS t{one}"), None),
            // Half as often where there is a large one: its groups are to become long.
            _ if self.has_large && self.rng.coin() => (table.create().to_owned(), None),
            _ => (format!("DROP TABLE {name}"), Some(table)),
        }
    }

    fn waits_for(&mut self, definer: usize, change: u32) -> Option<&mut Definer> {
        self.definers.get_mut(definer).filter(|definer| definer.change == Some(change))
    }
}

fn on_catalog(op: Op) -> Command {
    Command::Key(KeyCommand { key: CATALOG_KEY.into(), op })
}

impl World {
    pub(super) fn begin_tables(&mut self) {
        let definers = self.tables.as_ref().map_or(0, |tables| tables.definers.len());
        for definer in 0..definers {
            self.schedule(0, Event::Table(TableEvent::Define(definer)));
        }
    }

    // ---- sessions ----

    /// A statement arrives at a host: it is planned by the catalog of the core that the client is connected to. None: that has none for it, and the
    /// newest is asked for first.
    pub(super) fn plan(&mut self, request: RequestId, at: Place, mut command: Command) -> Option<Command> {
        let Command::Key(KeyCommand { op: Op::Sql(sql), .. }) = &mut command else { return Some(command) };
        let catalog = self.core(at).shard().map(|shard| shard.catalog().clone())?;
        if rows::refusal(&catalog, sql).is_none() {
            sql.catalog = catalog.version();
            return Some(command);
        }
        self.label("a session asked for the newest catalog");
        let deadline = self.outstanding.get(&request).map_or(self.now, |one| one.deadline);
        let ask = TableAsk::Session(request);
        self.ask_about_tables(at, self.ledger.slice_of(CATALOG_KEY), on_catalog(Op::Catalog), deadline, ask);
        None
    }

    /// The newest catalog has come, or an error.
    fn on_session(&mut self, request: RequestId, reply: Reply) -> Checked {
        let Some(outstanding) = self.outstanding.get(&request) else { return Ok(()) };
        let (at, slice, deadline) = (outstanding.at, outstanding.slice, outstanding.deadline);
        let mut command = outstanding.command.clone();
        let owner = Place { core: slice, ..at };
        let Reply::Bulk(bytes) = reply else { return self.reply(owner, request, reply) };
        let Ok(catalog) = Catalog::decode(&bytes) else {
            let detail = format!("{at} was given a catalog that cannot be read");
            return Err(Violation::new(invariant::WELL_FORMED, detail));
        };
        self.arrive(at, Input::Catalog(bytes.into()));
        let Command::Key(KeyCommand { op: Op::Sql(sql), .. }) = &mut command else { return Ok(()) };
        match rows::refusal(&catalog, sql) {
            Some(refusal) => self.reply(owner, request, refusal),
            None => {
                sql.catalog = catalog.version();
                self.arrive(owner, Input::Request { id: request, command, deadline });
                Ok(())
            }
        }
    }

    fn ask_about_tables(&mut self, at: Place, slice: u16, command: Command, deadline: Nanos, ask: TableAsk) {
        let (arrived, chosen) = (true, Ballot::ZERO);
        let asker = Asker::Table(ask);
        let request = self.open_request(Outstanding {
            at,
            slice,
            asker,
            deadline,
            command: command.clone(),
            arrived,
            chosen,
        });
        self.arrive(Place { core: slice, ..at }, Input::Request { id: request, command, deadline });
    }

    /// A core has a newer catalog: the others of its host are told.
    pub(super) fn tell_of_catalog(&mut self, place: Place, bytes: &[u8]) {
        if let (Some(tables), Ok(catalog)) = (&mut self.tables, Catalog::decode(bytes)) {
            tables.schemas.note(&catalog);
        }
        for other in self.places(place.host).filter(|other| *other != place) {
            self.arrive(other, Input::Catalog(bytes.into()));
        }
    }

    // ---- definers ----

    pub(super) fn on_table_event(&mut self, event: TableEvent) {
        match event {
            TableEvent::Define(definer) => self.define(definer),
            TableEvent::GiveUp(definer, change) => self.end_change(definer, change, None),
        }
    }

    fn define(&mut self, definer: usize) {
        if self.phase != Phase::Faults {
            return self.check_done();
        }
        let host = self.work.below(u64::from(self.plan.hosts)) as Member;
        let core = self.work.below(u64::from(self.plan.cores)) as u16;
        let at = Place { host, core };
        let serves = self.places(host).all(|place| self.core(place).serves());
        let Some(tables) = self.tables.as_mut().filter(|_| serves) else {
            let pause = self.work.between(MILLISECOND, 20 * MILLISECOND);
            return self.schedule(self.now + pause, Event::Table(TableEvent::Define(definer)));
        };
        if tables.definers[definer].left == 0 {
            return self.check_done();
        }
        let (text, drops) = tables.draw();
        tables.changes += 1;
        let change = tables.changes;
        let entry = &mut tables.definers[definer];
        entry.left -= 1;
        (entry.change, entry.at, entry.drops) = (Some(change), Some(at), drops);
        if let Some(table) = drops {
            let thread = DEFINERS + definer as u32;
            let is_of = |key: &Vec<u8>| rows::partition_of(key).is_some_and(|(of, _)| of == table);
            let keys = self.ledger.watched().into_iter().filter(is_of);
            let clear = |key: Vec<u8>| self.history.call(thread, &key, history::Command::Clear, self.now);
            let clears: Vec<OperationId> = keys.map(clear).collect();
            if let Some(tables) = &mut self.tables {
                tables.definers[definer].clears = clears;
                let asked_at = self.now;
                tables.open_drops.push(OpenDrop { change, definer, asked_at, table });
            }
        }
        self.tell(|| format!("definer {definer} at {at}: {text}"));
        let deadline = self.now + self.work.between(30 * MILLISECOND, DEADLINE_MAX);
        let command = on_catalog(Op::Define(Box::new(rows::sql_of(&text, true))));
        let slice = self.ledger.slice_of(CATALOG_KEY);
        self.ask_about_tables(at, slice, command, deadline, TableAsk::Choose(definer, change));
        self.schedule(self.now + PATIENCE, Event::Table(TableEvent::GiveUp(definer, change)));
    }

    /// Something about tables was answered.
    pub(super) fn on_table_reply(&mut self, ask: TableAsk, reply: Reply) -> Checked {
        let (definer, change) = match ask {
            TableAsk::Session(request) => return self.on_session(request, reply),
            TableAsk::Choose(definer, change)
            | TableAsk::Fetch(definer, change)
            | TableAsk::Spread(definer, change) => (definer, change),
        };
        let Some(entry) = self.tables.as_mut().and_then(|tables| tables.waits_for(definer, change)) else {
            return Ok(());
        };
        let at = entry.at.unwrap_or(Place { host: 0, core: 0 });
        let deadline = self.now + DEADLINE_MAX;
        match (ask, reply) {
            (TableAsk::Choose(..), Reply::Int(_)) => {
                let slice = self.ledger.slice_of(CATALOG_KEY);
                let command = on_catalog(Op::Catalog);
                self.ask_about_tables(at, slice, command, deadline, TableAsk::Fetch(definer, change));
            }
            (TableAsk::Choose(..), Reply::Error(text)) if !text.starts_with("UNCERTAIN") => {
                self.label("a change of the catalog was refused");
                self.end_change(definer, change, Some(false));
            }
            (TableAsk::Fetch(..), Reply::Bulk(bytes)) => {
                entry.slices = usize::from(self.plan.cores);
                for slice in 0..self.plan.cores {
                    let command = Command::Keyspace(Keyspace::Spread(bytes.clone().into()));
                    self.ask_about_tables(at, slice, command, deadline, TableAsk::Spread(definer, change));
                }
            }
            (TableAsk::Spread(..), Reply::Simple(_)) => {
                entry.slices -= 1;
                if entry.slices == 0 {
                    self.label("the catalog was changed");
                    self.end_change(definer, change, Some(true));
                }
            }
            _ => {
                self.label("a change of the catalog is uncertain");
                self.end_change(definer, change, None);
            }
        }
        Ok(())
    }

    /// A change was made, or refused; or nobody knows.
    fn end_change(&mut self, definer: usize, change: u32, made: Option<bool>) {
        let now = self.now;
        let Some(tables) = &mut self.tables else { return };
        let Some(entry) = tables.waits_for(definer, change) else { return };
        entry.change = None;
        let clears = std::mem::take(&mut entry.clears);
        if entry.drops.take().is_some() {
            match made {
                None => self.workload.note_unsure_flush(),
                Some(made) => {
                    tables.open_drops.retain(|open| open.change != change);
                    for operation in clears {
                        match made {
                            true => self.history.replied(operation, now, history::Reply::Ok, None),
                            false => self.history.failed(operation),
                        }
                    }
                }
            }
        }
        let pause = self.tables.as_mut().map_or(0, |tables| tables.rng.below(tables.think));
        self.schedule(now + pause, Event::Table(TableEvent::Define(definer)));
    }

    /// A key comes to be: changes that may drop its table empty it, too.
    pub(super) fn note_new_partition(&mut self, key: &[u8]) {
        let Some((table, _)) = rows::partition_of(key) else { return };
        let Some(tables) = self.tables.as_mut() else { return };
        for open in tables.open_drops.iter().filter(|open| open.table == table) {
            let thread = DEFINERS + open.definer as u32;
            let operation = self.history.call(thread, key, history::Command::Clear, open.asked_at);
            let entry = &mut tables.definers[open.definer];
            if entry.change == Some(open.change) {
                entry.clears.push(operation);
            }
        }
    }
}
