//! The catalog of tables at one core (docs/design/tables.md): heard of, made durable, begun, and spread.
//!
//! It is chosen as the value of one key (`command/sql.rs`), and adopted by every core as a flush epoch is ([`crate::flush`]): every message bears
//! its sender's version; one that bears a newer one than the core's waits until the bytes have been asked for and are durable. With a new
//! catalog all that is under way begins anew. So whatever is answered was answered by a majority none of which knew of a newer one.
//!
//! Parts: `spread` (a change of the catalog that a client of this host waits for), and here the core's own catalog.
//!
//! Left out: what a statement means (the crate `sql`), and where it is sent (the session).
//!
//! Invariants: versions grow. A catalog is begun when it is durable, and not before. What a learner has counts for nothing.

mod spread;

use std::sync::Arc;

use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;
use sql::{Catalog, Layout, Statements, Table};

use self::spread::Spread;
use crate::command::{Command, KeyCommand, Op};
use crate::core::{meta, Shard, Status};
use crate::error;
use crate::limits::{CATALOG_RESEND_NS, CATALOG_WAITING_MAX, STATEMENTS_BYTES_MAX, VERSION_MAX};
use crate::turn::{Request, Turn};
use crate::wire::{CatalogSaid, PeerMessage, Sender};

/// What a core keeps of catalogs.
#[derive(Debug, Default)]
pub(crate) struct Catalogs {
    /// Durable, and begun; with its bytes, of which the first one has none.
    current: Arc<Catalog>,
    bytes: Box<[u8]>,
    /// Statements that were read before, for whatever catalog.
    statements: Statements,
    /// The one that is being made durable.
    saving: Option<Saving>,
    /// When a newer one was asked for that has not come.
    asked_at: Option<Nanos>,
    /// The newest one that could not be taken when it came, before this core served, or because the log had no room: its version and bytes.
    wanted: Option<(u64, Box<[u8]>)>,
    /// When it is tried again.
    try_at: Option<Nanos>,
    /// What each member was told last, and when.
    told_at: Vec<(u64, Nanos)>,
    /// Statements that were planned by a newer one.
    waiting: Vec<Request>,
    spread: Spread,
    /// Up to which version partitions of tables that were dropped have gone from the slots that this core is preferred for.
    vacuumed: u64,
}

/// A catalog on its way to the log.
#[derive(Debug)]
struct Saving {
    catalog: Catalog,
    bytes: Box<[u8]>,
    lsn: bitcask::Lsn,
}

impl Catalogs {
    /// Without any table, of a core with so many members.
    pub fn new(members: usize) -> Catalogs {
        let statements = Statements::new(STATEMENTS_BYTES_MAX);
        Catalogs {
            spread: Spread::new(members),
            told_at: vec![(0, 0); members],
            statements,
            ..Catalogs::default()
        }
    }

    /// What this core plans by.
    pub fn current(&self) -> &Catalog {
        &self.current
    }

    /// The same, for whoever needs it while the core changes.
    pub fn shared(&self) -> Arc<Catalog> {
        Arc::clone(&self.current)
    }

    /// The same, and the statements that were read before.
    pub fn for_commands(&mut self) -> (&Catalog, &mut Statements) {
        (&self.current, &mut self.statements)
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.current.version()
    }

    /// The newest version that this core has the bytes of.
    fn newest(&self) -> u64 {
        self.saving.as_ref().map_or(self.version(), |saving| saving.catalog.version())
    }

    /// When they want a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        let asked = self.asked_at.map(|at| at + CATALOG_RESEND_NS);
        let waiting = self.waiting.iter().map(|request| request.deadline);
        waiting.chain(asked).chain(self.try_at).chain(self.spread.deadline()).min()
    }

    /// The link to a member is down: what it was told is as good as lost with that.
    pub fn forget_telling(&mut self, member: Member) {
        self.told_at[usize::from(member)] = (0, 0);
    }

    /// Keeps the bytes of one that cannot be taken now, if it is the newest.
    fn want(&mut self, version: u64, bytes: &[u8]) {
        if self.wanted.as_ref().is_none_or(|(newest, _)| *newest < version) {
            self.wanted = Some((version, bytes.into()));
        }
    }
}

impl<D: Disk> Shard<D> {
    /// The catalog of tables that this core plans by: it is durable.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalogs.current
    }

    /// The version of the catalog that the log has: for the simulator.
    pub fn durable_catalog_version(&self) -> u64 {
        let bytes = self.store.meta(meta::CATALOG);
        bytes.and_then(|bytes| Catalog::decode(bytes).ok()).map_or(0, |catalog| catalog.version())
    }

    /// Takes on what is durable. False: it cannot be read by this version.
    pub(crate) fn recover_catalog(&mut self) -> bool {
        let Some(bytes) = self.store.meta(meta::CATALOG) else { return true };
        let Ok(catalog) = Catalog::decode(bytes) else { return false };
        (self.catalogs.current, self.catalogs.bytes) = (Arc::new(catalog), bytes.into());
        let vacuumed = self.store.meta(meta::VACUUMED).and_then(|bytes| bytes.try_into().ok());
        self.catalogs.vacuumed = vacuumed.map_or(0, u64::from_le_bytes);
        true
    }

    /// The core begins to serve: the others of its host are told what it has, and it takes what they have said.
    pub(crate) fn begin_catalog(&mut self, turn: &mut Turn<'_, D>) {
        if !self.catalogs.bytes.is_empty() {
            turn.effects.catalog = Some(self.catalogs.bytes.clone());
        }
        if self.catalogs.vacuumed < self.catalogs.version() {
            self.expiring.note_outdated();
        }
        self.take_wanted(turn);
    }

    fn take_wanted(&mut self, turn: &mut Turn<'_, D>) {
        if let Some((_, bytes)) = self.catalogs.wanted.take() {
            self.take_catalog(turn, &bytes);
        }
    }

    /// Bytes of a catalog that was chosen, from another core of this host or a client's session: a newer one than the own is made durable, and
    /// begins then.
    pub fn take_catalog(&mut self, turn: &mut Turn<'_, D>, bytes: &[u8]) {
        if self.status == Status::Failed {
            return;
        }
        let Some(catalog) = Catalog::decode(bytes).ok().filter(|catalog| catalog.version() <= VERSION_MAX)
        else {
            self.metrics.messages_refused += 1;
            return;
        };
        let version = catalog.version();
        if self.status != Status::Ready {
            return self.catalogs.want(version, bytes);
        }
        if version <= self.catalogs.newest() {
            return;
        }
        let lsn = match self.store.append_meta(meta::CATALOG, bytes) {
            Ok(lsn) => lsn,
            // Without room for it the core stays where it is, and is no use to those who went on; nobody may tell it again.
            Err(error) => {
                if error != bitcask::AppendError::TooLarge {
                    self.catalogs.want(version, bytes);
                    self.catalogs.try_at = Some(turn.clock.now + CATALOG_RESEND_NS);
                }
                return;
            }
        };
        let saving = Saving { catalog, bytes: bytes.into(), lsn };
        self.catalogs.asked_at = None;
        if planted(537) {
            return self.begin_with(turn, saving);
        }
        self.catalogs.saving = Some(saving);
    }

    // ---- a newer one is heard of ----

    /// Whether a message is to be looked at now. What bears a newer version waits until that is durable.
    pub(crate) fn heeds_catalog(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        theirs: Sender,
        message: &PeerMessage<'_>,
        bytes: &[u8],
    ) -> bool {
        if theirs.catalog <= self.catalogs.version() || planted(538) {
            return true;
        }
        if let PeerMessage::Catalog(CatalogSaid::Tell(told)) = message {
            match Catalog::decode(told).is_ok_and(|catalog| catalog.version() == theirs.catalog) {
                true => self.take_catalog(turn, told),
                false => self.metrics.messages_refused += 1,
            }
            return false;
        }
        self.metrics.catalog_held += 1;
        self.hold(from, bytes);
        if theirs.catalog > self.catalogs.newest() && self.catalogs.asked_at.is_none() {
            self.ask_for_catalog(turn, from);
        }
        false
    }

    fn ask_for_catalog(&mut self, turn: &mut Turn<'_, D>, of: Member) {
        self.catalogs.asked_at = Some(turn.clock.now);
        self.say_of_catalog(turn, of, CatalogSaid::Ask);
    }

    fn say_of_catalog(&mut self, turn: &mut Turn<'_, D>, to: Member, said: CatalogSaid<'_>) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Catalog(said).encode(sender, out));
    }

    /// A member says something of the catalog. What its message bears is durable here.
    pub(crate) fn on_catalog_said(&mut self, turn: &mut Turn<'_, D>, from: Member, said: CatalogSaid<'_>) {
        match said {
            // Who asks again at once is not told again at once: a question is short, and the answer long.
            CatalogSaid::Ask if self.was_just_told(turn, from) => {}
            CatalogSaid::Ask if !self.catalogs.bytes.is_empty() => self.tell_catalog(turn, from),
            CatalogSaid::Ask => self.say_of_catalog(turn, from, CatalogSaid::Have),
            CatalogSaid::Tell(_) => self.say_of_catalog(turn, from, CatalogSaid::Have),
            CatalogSaid::Have => {}
        }
    }

    /// Whether a member was told what this core has, so lately that it cannot be tired of waiting.
    fn was_just_told(&self, turn: &Turn<'_, D>, member: Member) -> bool {
        let (version, at) = self.catalogs.told_at[usize::from(member)];
        version > 0 && version == self.catalogs.version() && turn.clock.now < at + CATALOG_RESEND_NS / 2
    }

    fn tell_catalog(&mut self, turn: &mut Turn<'_, D>, to: Member) {
        self.catalogs.told_at[usize::from(to)] = (self.catalogs.version(), turn.clock.now);
        let bytes = std::mem::take(&mut self.catalogs.bytes);
        self.say_of_catalog(turn, to, CatalogSaid::Tell(&bytes));
        self.catalogs.bytes = bytes;
    }

    // ---- a catalog begins ----

    /// Records up to this one are durable.
    pub(crate) fn on_catalog_persisted(&mut self, turn: &mut Turn<'_, D>, lsn: bitcask::Lsn) {
        let Some(saving) = self.catalogs.saving.take_if(|saving| saving.lsn <= lsn) else { return };
        self.begin_with(turn, saving);
        if !self.flushing.is_saving() {
            self.look_at_held(turn);
        }
    }

    /// All that is under way begins anew: what was answered so far was answered under the catalog before.
    fn begin_with(&mut self, turn: &mut Turn<'_, D>, Saving { catalog, bytes, .. }: Saving) {
        assert!(catalog.version() > self.catalogs.version(), "versions of the catalog grow");
        let before = std::mem::replace(&mut self.catalogs.current, Arc::new(catalog));
        self.catalogs.bytes = bytes;
        if leaves_work(&before, &self.catalogs.current) {
            self.expiring.note_outdated();
        } else if self.catalogs.vacuumed == before.version() {
            self.note_vacuumed();
        }
        self.metrics.catalogs += 1;
        turn.effects.catalog = Some(self.catalogs.bytes.clone());
        if !planted(539) {
            self.begin_anew(turn);
        }
        let me = self.config.me;
        for member in (0..self.members.count()).filter(|member| *member != me) {
            if self.links_up[usize::from(member)] {
                self.say_of_catalog(turn, member, CatalogSaid::Have);
            }
        }
        self.go_on_spreading(turn);
        let version = self.catalogs.version();
        let waiting = std::mem::take(&mut self.catalogs.waiting);
        for request in waiting {
            match is_planned_by(&request.command).is_some_and(|by| by > version) {
                true => self.catalogs.waiting.push(request),
                false => {
                    self.release_waiting(&request);
                    self.submit(turn, request);
                }
            }
        }
    }

    /// No partition of a table that was dropped is left that this core has to see to. If that is not noted in the log, it is looked for again at the
    /// next start.
    pub(crate) fn note_vacuumed(&mut self) {
        self.catalogs.vacuumed = self.catalogs.version();
        let _ = self.store.append_meta(meta::VACUUMED, &self.catalogs.vacuumed.to_le_bytes());
    }

    /// A statement waits no more.
    fn release_waiting(&mut self, request: &Request) {
        self.commands -= 1;
        self.command_bytes -= request.command.bytes();
    }

    /// Has a statement wait that was planned by a newer catalog than the core's; gives back any other request.
    pub(crate) fn wait_for_catalog(&mut self, turn: &mut Turn<'_, D>, request: Request) -> Option<Request> {
        if is_planned_by(&request.command).is_none_or(|by| by <= self.catalogs.version()) {
            return Some(request);
        }
        let bytes = request.command.bytes();
        if self.catalogs.waiting.len() >= CATALOG_WAITING_MAX || !self.has_room_for(bytes) {
            self.metrics.refused += 1;
            turn.effects.replies.push((request.id, error::BUSY));
            return None;
        }
        self.commands += 1;
        self.command_bytes += bytes;
        self.catalogs.waiting.push(request);
        None
    }

    /// What is due by the clock.
    pub(crate) fn catalog_timers(&mut self, turn: &mut Turn<'_, D>) {
        if self.status != Status::Ready {
            return;
        }
        let now = turn.clock.now;
        if self.catalogs.try_at.take_if(|at| *at <= now).is_some() {
            self.take_wanted(turn);
        }
        if self.catalogs.asked_at.is_some_and(|at| at + CATALOG_RESEND_NS <= now) {
            self.catalogs.asked_at = None;
            // Whoever was asked may be gone, with what it had sent.
            if let Some(from) = self.first_held().filter(|_| self.catalogs.saving.is_none()) {
                self.metrics.resends += 1;
                self.ask_for_catalog(turn, from);
            }
        }
        let late: Vec<Request> =
            self.catalogs.waiting.extract_if(.., |request| request.deadline <= now).collect();
        for request in late {
            self.release_waiting(&request);
            self.metrics.expired_deadlines += 1;
            turn.effects.replies.push((request.id, error::TIMED_OUT));
        }
        self.spread_timers(turn);
    }
}

/// The version of the catalog that a statement was planned by.
fn is_planned_by(command: &Command) -> Option<u64> {
    match command {
        Command::Key(KeyCommand { op: Op::Sql(sql), .. }) => Some(sql.catalog),
        _ => None,
    }
}

/// Whether partitions are left, after a change, in which there is something to be done: of tables that are gone, and of large ones whose indexes are
/// others now. (In the small layout whoever writes rows sees to their indexes.)
fn leaves_work(before: &Catalog, now: &Catalog) -> bool {
    before.tables().any(|table| match now.table_by_id(table.id) {
        None => true,
        Some(now) => {
            let ids = |table: &Table| table.indexes.iter().map(|index| index.id).collect::<Vec<u32>>();
            now.layout == Layout::Large && ids(table) != ids(now)
        }
    })
}
