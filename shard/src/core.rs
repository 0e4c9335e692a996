//! The core itself: its entities, its store, its counters; timers, and the steps that all others are made of. What its log has to say is
//! [`crate::storage`]'s matter.

use std::collections::VecDeque;

use ahash::RandomState;
use bitcask::{Bitcask, Fingerprint, FingerprintHasher, KeyRef, Kind, Record as LogRecord, Stamp};
use hashbrown::{HashMap, HashSet};
use paxos::{Ballot, Instance, Member, Members, Message, Output, Recorded};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::rng::Rng;
use reactor::{Completion, Disk};
use slab::Slab;

use crate::abreast::Abreast;
use crate::catalog::Catalogs;
use crate::config::Config;
use crate::deltas::{Accepting, Deltas, Written};
use crate::entity::Entity;
use crate::error::{self, Fault};
use crate::expiring::Expiring;
use crate::flush::Flushing;
use crate::forward::Forwards;
use crate::group::Groups;
use crate::held::Held;
use crate::joint::Joints;
use crate::keyspace::Surveys;
use crate::limits::{ROUND_JUMP_MAX, ROUND_MAX};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::ranges::Ranges;
use crate::readers::Readers;
use crate::record::Record;
use crate::repair::Repair;
use crate::reply::Reply;
use crate::rounds::Rounds;
use crate::timers::Timers;
use crate::tree::Tree;
use crate::turn::Turn;
use crate::votes::{Place, Vote, VoteId};
use crate::waits::Waits;
use crate::wire::{PeerMessage, Sender};

/// Durable facts of a core beside its records, by their number in the log.
pub(crate) mod meta {
    /// How often the core was started: four bytes.
    pub const INCARNATION: u8 = 1;
    /// The ballot that absent entities refuse up to: sixteen bytes.
    pub const FLOOR: u8 = 2;
    /// The config epoch last worked under: four bytes.
    pub const EPOCH: u8 = 3;
    /// Whether the core votes: one byte, [`LEARNER`] or [`VOTER`]. Without it, what the configuration says.
    pub const ROLE: u8 = 4;
    /// The round up to which the core votes for nothing, because a life of it before a loss may have promised that: eight bytes.
    pub const BAR: u8 = 5;
    /// The promises for whole ranges of slots: twenty bytes for each run.
    pub const RANGES: u8 = 6;
    /// The flush epoch: four bytes.
    pub const FLUSH: u8 = 7;
    /// The catalog of tables, with its version.
    pub const CATALOG: u8 = 8;
    /// Up to which version of the catalog partitions of dropped tables were looked for: eight bytes.
    pub const VACUUMED: u8 = 9;
    /// It lost what it had promised, and votes for nothing.
    pub const LEARNER: u8 = 1;
    /// It has taken over what it had lost.
    pub const VOTER: u8 = 2;
}

/// Where a core stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The log is being read.
    Recovering,
    /// The log is read, and makes the segment that the new incarnation is to be written to.
    Recovered,
    /// The new incarnation is being made durable.
    Starting(bitcask::Lsn),
    /// The log that was put aside as damaged is named for good, and its successor says so.
    EndingLoss,
    /// Serving.
    Ready,
    /// Its storage failed; nothing is served until the process is restarted.
    Failed,
}

/// Index of an entity in memory.
pub(crate) type EntityId = usize;

/// A change on its way to stable storage.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub lsn: bitcask::Lsn,
    pub change: Change,
}

/// Whose change it is.
#[derive(Debug)]
pub(crate) enum Change {
    /// An entity's, with the record that it accepts, if it is not a promise.
    Entity(EntityId, paxos::Token, Option<Accepted>),
    /// A vote's.
    Vote(VoteId),
    /// The removal of a tombstone.
    Removal(KeyRef, Ballot),
}

/// A record on its way to the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub ballot: Ballot,
    /// It is known to be chosen as soon as it is here: a copy, and no vote.
    pub copied: bool,
    /// When its value ends: wall clock milliseconds, 0 = never.
    pub ends_ms: u64,
}

/// One core's keys. See the crate's essay.
pub struct Shard<D> {
    pub(crate) config: Config,
    pub(crate) members: Members,
    pub(crate) node: u32,
    pub(crate) incarnation: u32,
    pub(crate) floor: Ballot,
    /// Of what peers ask up to this round, nothing is promised or accepted: a former life may have promised it to others.
    pub(crate) bar: u64,
    /// The config epoch that this core works under.
    pub(crate) epoch: u32,
    /// A newer epoch is being made durable: until then nothing that comes in is answered.
    pub(crate) epoch_saving: Option<bitcask::Lsn>,
    /// There is no fast path for records up to this round: they are from before an epoch.
    pub(crate) fast_above: u64,
    pub(crate) status: Status,
    pub(crate) fault: Option<Fault>,
    /// The log that was put aside at this start.
    pub(crate) loss: Option<bitcask::Loss>,
    /// How many logs lie aside in the directory.
    pub(crate) losses: u32,
    pub(crate) store: Bitcask,
    /// Rows in their order.
    pub(crate) tree: Tree,
    /// The Lamport counter: the highest round seen or issued.
    pub(crate) round: u64,
    pub(crate) last_query: u32,
    pub(crate) entities: Slab<Box<Entity>>,
    /// Memory of entities that are done, for the next ones.
    #[allow(clippy::vec_box, reason = "entities stay where they are: they are handed on, not moved")]
    pub(crate) kept: Vec<Box<Entity>>,
    /// Votes that wait for the log.
    pub(crate) votes: Slab<Vote>,
    /// What is under way, by the fingerprint of its key.
    pub(crate) places: HashMap<Fingerprint, Place, FingerprintHasher>,
    /// Keys whose tombstone goes: the removal is in the log and not durable. What is stepped meanwhile is stepped without it.
    pub(crate) removing: HashSet<Fingerprint, FingerprintHasher>,
    pub(crate) touched: Vec<EntityId>,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) tickets: HashMap<bitcask::Ticket, Loading, RandomState>,
    pub(crate) timers: Timers,
    /// Whom agreed reads ask first.
    pub(crate) readers: Readers,
    /// How long the questions of proposals take.
    pub(crate) rounds: Rounds,
    /// What reads that are confirmed rest on.
    pub(crate) abreast: Abreast,
    /// What was promised for whole ranges of slots, and to this core.
    pub(crate) ranges: Ranges,
    pub(crate) forwards: Forwards,
    /// What this core handed over while it was a learner and nobody has answered.
    pub(crate) former: Option<Forwards>,
    pub(crate) surveys: Surveys,
    /// Commands on several keys, and claims of them.
    pub(crate) joints: Joints,
    pub(crate) repair: Repair,
    /// Keys whose time comes.
    pub(crate) expiring: Expiring,
    /// Large objects, decoded.
    pub(crate) objects: Objects,
    /// Deltas that wait for their bases.
    pub(crate) deltas: Deltas,
    /// Log groups.
    pub(crate) groups: Groups,
    /// The flush epoch, and flushes.
    pub(crate) flushing: Flushing,
    /// The catalog of tables.
    pub(crate) catalogs: Catalogs,
    /// Clients that wait for keys.
    pub(crate) waits: Waits,
    /// Which links are up.
    pub(crate) links_up: Vec<bool>,
    /// Which voters can be talked to; never a learner.
    pub(crate) peers_up: Vec<bool>,
    /// Which members are learners, as they say.
    pub(crate) learners: Vec<bool>,
    /// The newest incarnation heard of, per member; 0 = none yet.
    pub(crate) peer_incarnations: Vec<u32>,
    /// Per slot range: see [`Shard::set_routes`].
    pub(crate) routes: Vec<Member>,
    pub(crate) commands: usize,
    pub(crate) command_bytes: usize,
    pub(crate) rng: Rng,
    pub(crate) metrics: Metrics,
    spare: Vec<Vec<Output<Held>>>,
    /// Where entries are encoded before their length is known.
    pub(crate) scratch: Vec<u8>,
    disk: std::marker::PhantomData<D>,
}

/// What a disk read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loading {
    /// The bytes of an entity's record.
    Entity(EntityId),
    /// A key for a survey of a slot.
    Survey(crate::keyspace::SurveyRead),
    /// A record for a peer that lacks it.
    Serving(crate::repair::ServingRead),
    /// A tombstone that may go.
    Dropping(crate::repair::DroppingRead),
    /// A record of this slot that may be a flushed value.
    Emptying(u16),
    /// A record of this slot that ends at some time.
    Expiring(u16),
    /// An entry of the group with this fingerprint.
    Entry(Fingerprint, bitcask::Ticket),
    /// An entry that a learner has in its log.
    Regaining,
    /// An entry of a group that may go.
    Trimming(crate::group::Kept),
}

impl<D: Disk> Shard<D> {
    /// A core over its directory: starts to read its log and its tree. It serves once [`Shard::is_ready`], which does not wait for the tree.
    pub fn new(config: Config, store: bitcask::Options, tree: lsm::Options, disk: &mut D) -> Shard<D> {
        let members = config.members();
        assert!(config.me < members.count(), "a core is one of the members");
        let store = bitcask::Options { era_of: Record::epoch_of, ..store };
        let mut rng = Rng::new(config.seed);
        let hashes = || RandomState::with_seeds(config.seed, 1, 2, 3);
        Shard {
            members,
            node: config.node(),
            incarnation: 0,
            floor: Ballot::ZERO,
            bar: 0,
            epoch: config.epoch,
            epoch_saving: None,
            fast_above: 0,
            status: Status::Recovering,
            fault: None,
            loss: None,
            losses: 0,
            store: Bitcask::open(store, disk),
            tree: Tree::open(tree, disk),
            round: 0,
            last_query: 0,
            entities: Slab::new(),
            kept: Vec::new(),
            votes: Slab::new(),
            places: HashMap::with_hasher(FingerprintHasher),
            removing: HashSet::with_hasher(FingerprintHasher),
            touched: Vec::new(),
            waiting: VecDeque::new(),
            tickets: HashMap::with_hasher(hashes()),
            timers: Timers::default(),
            readers: Readers::new(config.me, members),
            rounds: Rounds::default(),
            abreast: Abreast::new(config.hosts.len(), config.counted_ring),
            ranges: Ranges::new(config.hosts.len()),
            forwards: Forwards::default(),
            former: None,
            surveys: Surveys::default(),
            joints: Joints::default(),
            repair: Repair::new(config.repair),
            expiring: Expiring::new(config.slots()),
            objects: Objects::new(config.objects_bytes),
            deltas: Deltas::default(),
            groups: Groups::new(hashes()),
            flushing: Flushing::default(),
            catalogs: Catalogs::new(config.hosts.len()),
            waits: Waits::new(config.me),
            links_up: vec![false; config.hosts.len()],
            peers_up: vec![false; config.hosts.len()],
            learners: vec![false; config.hosts.len()],
            peer_incarnations: vec![0; config.hosts.len()],
            routes: vec![config.me],
            commands: 0,
            command_bytes: 0,
            rng: rng.fork(),
            metrics: Metrics::default(),
            spare: Vec::new(),
            scratch: Vec::new(),
            disk: std::marker::PhantomData,
            config,
        }
    }

    /// Changes the limits of values and keys.
    pub fn set_limits(&mut self, limits: crate::command::Limits) {
        self.config.limits = limits;
    }

    /// Tells which member is preferred for which slots: the slots are cut into as many equal ranges as there are routes.
    pub fn set_routes(&mut self, routes: Vec<Member>) {
        assert!(
            !routes.is_empty() && routes.iter().all(|m| *m < self.members.count()),
            "routes name members"
        );
        self.routes = routes;
        self.waits.note_moved();
        self.take_named();
    }

    /// A disk operation ended.
    pub fn on_disk(&mut self, turn: &mut Turn<'_, D>, completion: Completion) {
        if self.tree.owns(completion.id) {
            self.tree.on_disk(turn.disk, completion);
            return self.drain_tree(turn);
        }
        self.store.on_disk(turn.disk, completion);
        self.drain_store(turn);
    }

    /// Ends the turn: what is due by the clock, then one write, then what nothing needs any more is dropped.
    pub fn end_turn(&mut self, turn: &mut Turn<'_, D>) {
        self.run_timers(turn);
        self.forward_timers(turn);
        self.survey_timers(turn);
        self.flush_timers(turn);
        self.catalog_timers(turn);
        self.joint_timers(turn);
        self.hasten_look(turn.clock.now);
        self.repair_timers(turn);
        self.expiry_timers(turn);
        self.wait_timers(turn);
        self.group_timers(turn);
        self.try_deltas(turn);
        self.drain_tree(turn);
        self.look_for_space(turn);
        if self.status == Status::Ready {
            self.ask_confirms(turn);
            self.ask_ranges(turn);
        }
        if self.status == Status::Recovered {
            self.start();
        }
        self.store.flush(turn.disk);
        self.drain_store(turn);
        if self.status == Status::Failed {
            self.clear_up(turn);
        } else {
            self.drop_idle();
        }
    }

    /// When the core wants a turn although nothing arrived.
    pub fn deadline(&self) -> Option<Nanos> {
        let timer = self.timers.first().map(|(at, _)| at);
        let store = self.store.background_deadline().into_iter().chain(self.tree.background_deadline()).min();
        let (forwards, surveys) = (self.forwards.deadline(), self.surveys.deadline());
        let former = self.former.as_ref().and_then(Forwards::deadline);
        let (confirms, waits) =
            (self.abreast.deadline(), self.waits.deadline().into_iter().chain(self.deltas.deadline()).min());
        let (repair, expiry, joints) =
            (self.repair_deadline(), self.expiry_deadline(), self.joints.deadline());
        let flushes = self.flushing.deadline().into_iter().chain(self.catalogs.deadline()).min();
        let flushes = flushes.into_iter().chain(self.groups.deadline()).min();
        let all = [timer, store, forwards, former, surveys, confirms, waits, repair, expiry, joints, flushes];
        all.into_iter().flatten().min()
    }

    /// On a full disk the engines ask for space again at a time that they know only when they are told the time: nothing else may
    /// want upkeep then.
    fn look_for_space(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        if self.store.background_deadline().is_some_and(|at| at <= now) {
            self.store.background(turn.disk, now, 0);
        }
        if self.tree.background_deadline().is_some_and(|at| at <= now) {
            self.tree.background(turn.disk, now, 0);
        }
    }

    /// Whether the engines have upkeep to do.
    pub fn background_wanted(&self) -> bool {
        self.store.background_wanted() || self.tree.background_wanted()
    }

    /// One step of an engine's upkeep, of about so many bytes read or written.
    pub fn background(&mut self, turn: &mut Turn<'_, D>, budget_bytes: u64) {
        if self.tree.takes_step(self.store.background_wanted()) {
            self.tree.background(turn.disk, turn.clock.now, budget_bytes);
            return self.drain_tree(turn);
        }
        self.store.background(turn.disk, turn.clock.now, budget_bytes);
        self.drain_store(turn);
    }

    // ---- steps ----

    /// Steps an instance and carries out what comes of it.
    pub(crate) fn step(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        step: impl FnOnce(&mut Instance<Held>, Ballot, &mut Vec<Output<Held>>),
    ) {
        let mut outputs = self.spare.pop().unwrap_or_default();
        let instance = &mut self.entities[id].instance;
        let before = Accepting::of(instance);
        step(instance, self.floor, &mut outputs);
        for output in outputs.drain(..) {
            if self.status == Status::Failed {
                return;
            }
            self.carry_out(turn, id, &before, output);
        }
        self.spare.push(outputs);
        self.touch(id);
    }

    fn carry_out(&mut self, turn: &mut Turn<'_, D>, id: EntityId, before: &Accepting, output: Output<Held>) {
        match output {
            Output::Persist { token, record } => {
                self.persist(id, before, token, &record);
                if let Recorded::Accepted { entry: Held::Here(head), .. } = &record {
                    self.follow_own(turn, id, head);
                }
            }
            Output::Send { to, message } => self.send(turn, id, to, message),
            Output::Prepared { found } => self.on_prepared(turn, id, found),
            Output::Chosen { .. } => self.on_chosen(turn, id),
            Output::Lost(lost) => {
                self.ranges.on_lost(lost.ballot);
                self.on_lost(turn, id, lost.accept_sent);
            }
            Output::Read { outcome, .. } => self.on_read(turn, id, outcome),
            Output::Corrupt { .. } => self.metrics.corrupt_entries += 1,
        }
    }

    fn persist(&mut self, id: EntityId, before: &Accepting, token: paxos::Token, record: &Recorded<Held>) {
        if let Recorded::Accepted { entry: Held::Here(head), .. } = record {
            self.log_own_entry(id, head);
        }
        let entity = &self.entities[id];
        let copied = entity.instance.state().is_chosen();
        let (kind, ends_ms, ballot, written) = match record {
            Recorded::Promised { ballot } => (Kind::Promise, 0, *ballot, Written::Nothing),
            Recorded::Accepted { ballot, entry } => {
                let (kind, ends_ms) = entry.kind().expect("a record is in memory when it is accepted");
                (kind, ends_ms, *ballot, self.form_to_write(id, before, *ballot, entry))
            }
        };
        let (stamp, slot, key) = (stamp_of(ballot), entity.slot(), &*entity.key);
        // Who proposes a key is who is asked for it: the other replicas need its value when that one is gone.
        let own = ballot.node == self.node;
        let record = |body| LogRecord { slot, key, kind, stamp, body };
        let written = match &written {
            Written::Nothing => self.store.append_as(entity.reference, record(&[]), own),
            Written::Whole(bytes) => {
                self.metrics.folds += u64::from(self.store.chain(entity.reference).is_some());
                self.store.append_as(entity.reference, record(bytes), own)
            }
            Written::Delta(bytes, base) => {
                self.metrics.deltas_written += 1;
                self.metrics.delta_bytes += bytes.len() as u64;
                self.store.append_delta_as(entity.reference, record(bytes), stamp_of(*base))
            }
        };
        match written {
            Ok(lsn) => {
                let accepted = (kind != Kind::Promise).then_some(Accepted { ballot, copied, ends_ms });
                if planted(180) && kind != Kind::Promise {
                    self.abreast.on_durable(self.entities[id].reference, ballot, copied);
                }
                self.waiting.push_back(Waiting { lsn, change: Change::Entity(id, token, accepted) });
            }
            // What cannot be written was refused before the instance was stepped; so this is the end of the log.
            Err(error) => self.fail(Fault::append(&error)),
        }
    }

    /// Sends a message about an entity, once the bytes of the entry that it carries are in memory.
    pub(crate) fn send(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        to: Member,
        mut message: Message<Held>,
    ) {
        let sender = self.sender();
        let entity = &mut self.entities[id];
        if let Message::Promise { report, .. } | Message::State { report, .. } = &mut message {
            if report.entry.as_ref().is_some_and(Held::is_cold) {
                match entity.warm() {
                    Some((ballot, held)) if ballot == report.accepted => report.entry = Some(held),
                    // Replaced since: the asker repeats its question.
                    Some(_) => return,
                    None => {
                        entity.waiting_sends.push((to, message));
                        self.load(turn, id);
                        return;
                    }
                }
            }
        }
        if let Message::Accept { ballot, entry, .. } = &mut message {
            *entry = entity.form_for(to, *ballot, entry, turn.clock.now);
            self.metrics.deltas_sent += u64::from(matches!(entry, Held::Delta(_)));
        }
        let (slot, key, sender) = (entity.slot(), &entity.key, sender);
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Paxos { slot, key, message }.encode(sender, out));
    }

    /// What this core's messages say of it.
    pub(crate) fn sender(&self) -> Sender {
        let (flush, catalog) = (self.flushing.epoch(), self.catalogs.version());
        Sender { epoch: self.epoch, incarnation: self.incarnation, flush, catalog }
    }

    /// Whether the log takes a record of the entity now: asked before an instance is stepped, because what it has decided
    /// cannot be taken back. The error is for a client; a peer gets no answer, as if the message were lost.
    pub(crate) fn admit(&self, id: EntityId, kind: Kind, body_bytes: usize) -> Result<(), Reply> {
        let entity = &self.entities[id];
        let key_bytes = entity.key.len();
        self.store.admits_as(entity.reference, key_bytes, kind, body_bytes).map_err(error::refused)
    }

    // ---- rounds and timers ----

    /// A ballot above everything this core has seen.
    pub(crate) fn fresh_ballot(&mut self) -> Ballot {
        assert!(!self.config.learner, "a learner issues no ballot");
        self.round = self.round.max(self.floor.round) + u64::from(!planted(102));
        assert!(self.round < ROUND_MAX, "rounds are used up");
        Ballot::new(self.round, self.node, self.incarnation)
    }

    /// Takes note of a round; false when no honest history could have reached it.
    pub(crate) fn see_round(&mut self, round: u64) -> bool {
        if round > self.round.saturating_add(ROUND_JUMP_MAX) || round >= ROUND_MAX {
            return false;
        }
        self.round = self.round.max(round);
        true
    }

    /// Has the entity looked at again at a time.
    pub(crate) fn wake_at(&mut self, id: EntityId, at: Nanos) {
        let entity = &mut self.entities[id];
        if entity.wake_at != Some(at) {
            entity.wake_at = Some(at);
            self.timers.push(at, id);
        }
    }

    fn run_timers(&mut self, turn: &mut Turn<'_, D>) {
        while let Some((at, id)) = self.timers.first() {
            if at > turn.clock.now || self.status == Status::Failed {
                return;
            }
            self.timers.pop();
            // Timers are not withdrawn: one of an entity that is gone, or that wants another time now, is passed over.
            if self.entities.get(id).is_some_and(|entity| entity.wake_at == Some(at)) {
                self.entities[id].wake_at = None;
                self.on_wake(turn, id);
                self.touch(id);
            }
        }
    }
}

/// The ballot that a stamp stands for.
pub(crate) fn ballot_of(stamp: Stamp) -> Ballot {
    Ballot { round: stamp.round, node: stamp.node, incarnation: stamp.incarnation }
}

/// The stamp that stands for a ballot.
pub(crate) fn stamp_of(ballot: Ballot) -> Stamp {
    Stamp { round: ballot.round, node: ballot.node, incarnation: ballot.incarnation }
}
