//! Running commands: a batch of them on the state that its entry extends, or a read on a record that is known to be the newest.
//!
//! Commands run in their order, and none that comes behind one that waits for a claim overtakes it. What was applied before is not run again:
//! it is answered as it was then (consensus.md section 3).

use std::mem;
use std::rc::Rc;

use paxos::Ballot;
use reactor::mutants::planted;
use reactor::Disk;

use crate::command;
use crate::command::on_tree::table_on_tree;
use crate::core::{EntityId, Shard};
use crate::entity::{Queued, Stage, Waiter};
use crate::error;
use crate::group::{Entry, OnTree};
use crate::held::{is_large, Bytes, Held};
use crate::joint::{self, Claim};
use crate::limits::{ORIGIN_IDS_MAX, ROUND_NS_MAX, SCRATCH_BYTES_MAX, VERSION_BITS};
use crate::record::{Applied, Known, Record};
use crate::repair::Why;
use crate::reply::Reply;
use crate::state::State;
use crate::turn::Turn;

/// What running a batch on a state came to.
pub(crate) enum Ran {
    /// Nothing changes: the replies may leave as soon as the state itself is confirmed.
    Unchanged,
    /// The entry that must be chosen before the replies may leave.
    Changed(Held),
    /// The state's bytes cannot be read by this version; every command has that for its reply.
    Unreadable,
    /// It waits for rows, and goes on by itself ([`After`]).
    Waits,
    /// The rows that it needs are not here: it is tried again in a moment.
    PutOff,
}

/// What is done with what a run comes to.
#[derive(Clone, Debug)]
pub(crate) enum After {
    /// It ran on the own record of this ballot. Its entry is proposed at one that was promised for the slot, or at the next one.
    Own { own: Ballot, granted: Option<Ballot> },
    /// It ran on what phase 1 has found: its ballot, the entry, and whether that is known to be chosen.
    Found(Option<(Ballot, Held)>, bool),
    /// It is a read.
    Read,
}

/// A batch that is being run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Which one, if it waits.
    pub number: u64,
    pub after: After,
    /// Where the entry would be proposed. Zero: it is a read.
    pub ballot: Ballot,
    /// The entry that it runs on, if it is a group's.
    pub found: Option<Rc<Entry>>,
    pub state: State,
    pub applied: Applied,
    pub tree: OnTree,
    is_absent: bool,
    extends: Option<Ballot>,
    had_value: bool,
    expired: bool,
    /// Joint commands wait for their turn at the key.
    someone_waits: bool,
    /// The command that is run next.
    place: usize,
    replies: Vec<Option<Reply>>,
    /// Commands that wait for a claim, and the claim.
    waiting: Vec<usize>,
    met: Option<Claim>,
}

/// What becomes of one command.
pub(crate) enum Next {
    /// Its reply. None: nobody waits for it any more.
    Reply(Option<Reply>),
    /// It waits for a claim.
    Claimed,
    /// It waits for rows: the run goes on when they are here.
    Paused,
    /// The run cannot go on now.
    PutOff,
    /// The entry is large enough: this command, and those behind it, are the next batch.
    Full,
}

impl<D: Disk> Shard<D> {
    /// Runs the batch on a state, in order, and holds the replies. `ballot` is where the entry would be proposed.
    pub(crate) fn run_batch(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        base: Option<(Ballot, Held)>,
        ballot: Ballot,
        after: After,
    ) -> Ran {
        match self.begin_run(turn, id, base, ballot, after) {
            Some(run) => self.go_on_with_run(turn, id, run),
            None => {
                let entity = self.entity(id);
                entity.replies = entity.batch.iter().map(|_| Some(error::UNREADABLE)).collect();
                Ran::Unreadable
            }
        }
    }

    fn begin_run(
        &mut self,
        turn: &Turn<'_, D>,
        id: EntityId,
        base: Option<(Ballot, Held)>,
        ballot: Ballot,
        after: After,
    ) -> Option<Run> {
        let base = base.map(|(ballot, held)| (ballot, self.open_base(id, ballot, held)));
        let epoch = self.flushing.epoch();
        let record = base.as_ref().and_then(|(_, held)| held.record_in(epoch)).transpose().ok()?;
        let record: Record = record.unwrap_or_default();
        let found = Entry::of(&record).map(Rc::new);
        let Record { version, value, expires_at_ms, applied, requests, ties, .. } = record;
        let had_value = value.is_some();
        let mut state = State { version, value, expires_at_ms, requests, ties, ..State::default() };
        let tree = OnTree::of(&state);
        let extends = base.as_ref().map(|(ballot, _)| *ballot).filter(|_| !ballot.is_zero());
        let extends = extends.filter(|base| self.take_notes(id, *base, &mut state));
        // One round leaves room for the versions of a whole batch (amendment 10).
        state.version_floor = ballot.round << VERSION_BITS;
        let mut applied = if planted(104) { Applied::default() } else { applied };
        self.prune(id, &mut applied);
        let expired = state.expire(turn.clock.wall_ms);
        let entity = self.entity(id);
        let mut replies = mem::take(&mut entity.replies);
        replies.clear();
        replies.reserve_exact(entity.batch.len());
        let someone_waits = entity.is_claimed && !entity.queue.iter().all(joint::passes);
        Some(Run {
            number: 0,
            after,
            ballot,
            found,
            state,
            applied,
            tree,
            is_absent: base.is_none(),
            extends,
            had_value,
            expired,
            someone_waits,
            place: 0,
            replies,
            waiting: Vec::new(),
            met: None,
        })
    }

    /// Runs what is left of a batch.
    fn go_on_with_run(&mut self, turn: &mut Turn<'_, D>, id: EntityId, mut run: Run) -> Ran {
        let batch = mem::take(&mut self.entity(id).batch);
        while let Some(queued) = batch.get(run.place) {
            match self.run_next(turn, id, &mut run, queued) {
                Next::Reply(reply) => run.replies.push(reply),
                Next::Claimed => {
                    run.met = run.met.or_else(|| run.state.claim().cloned());
                    run.waiting.push(run.place);
                }
                Next::Paused => {
                    self.entity(id).batch = batch;
                    self.pause(turn, id, run);
                    return Ran::Waits;
                }
                Next::PutOff => {
                    self.entity(id).batch = batch;
                    return Ran::PutOff;
                }
                Next::Full => break,
            }
            run.place += 1;
        }
        self.end_run(turn, id, run, batch)
    }

    fn run_next(&mut self, turn: &mut Turn<'_, D>, id: EntityId, run: &mut Run, queued: &Queued) -> Next {
        // Whoever comes behind one that waits does not overtake it.
        if !run.waiting.is_empty() && !joint::passes(queued)
            || joint::waits_for_claim(queued, &run.state, &run.applied)
        {
            return Next::Claimed;
        }
        // Nor does a joint command whose turn at another key has come.
        let is_behind = (run.someone_waits || !run.waiting.is_empty()) && joint::claims_another(queued);
        if is_behind && !queued.sent && run.applied.find(queued.id) == Known::New {
            return Next::Reply(Some(Reply::Nil));
        }
        let catalog = self.catalogs.current();
        if table_on_tree(&queued.command, run.state.value.as_ref(), catalog).is_some() {
            return self.run_on_tree(turn, id, run, queued);
        }
        let mut scratch = mem::take(&mut self.scratch);
        let reply = self.with_context(turn.clock.wall_ms, |context| {
            run_one(queued, &mut run.state, &mut run.applied, context, &mut scratch)
        });
        self.scratch = scratch;
        Next::Reply(reply)
    }

    /// Has something run with what commands are run with.
    pub(crate) fn with_context<T>(
        &mut self,
        now_wall_ms: u64,
        run: impl FnOnce(&mut command::Context<'_>) -> T,
    ) -> T {
        let limits = self.config.limits;
        let (catalog, statements) = self.catalogs.for_commands();
        let rng = &mut self.rng;
        run(&mut command::Context { now_wall_ms, limits: &limits, rng, catalog, statements })
    }

    /// The run waits for rows.
    fn pause(&mut self, turn: &Turn<'_, D>, id: EntityId, run: Run) {
        let entity = self.entity(id);
        entity.stage = Stage::Running;
        entity.run = Some(Box::new(run));
        self.metrics.runs_paused += 1;
        self.wake_by_deadline(id, turn.clock.now + ROUND_NS_MAX);
    }

    /// A run that waited goes on, unless what it ran on is no more what its entry would extend: then the batch is run again.
    pub(crate) fn resume(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let Some(run) = self.entity(id).run.take() else { return };
        assert!(self.peek(id).stage == Stage::Running, "a run that waits is what its entity does");
        self.touch(id);
        if !self.is_still_due(id, &run) && !planted(553) {
            self.give_up_run(id);
            return self.start_batch(turn, id);
        }
        let (ballot, after) = (run.ballot, run.after.clone());
        let ran = self.go_on_with_run(turn, id, *run);
        match after {
            After::Own { own, granted } => self.after_own(turn, id, (own, ballot), granted, ran),
            After::Found(found, chosen) => self.after_found(turn, id, found, chosen, ran),
            After::Read => self.after_read(turn, id, ran),
        }
    }

    /// Whether what a run comes to may still be proposed, or answered.
    fn is_still_due(&mut self, id: EntityId, run: &Run) -> bool {
        let (node, incarnation) = (self.node, self.incarnation);
        let entity = self.peek(id);
        match &run.after {
            After::Read => true,
            // What was promised for the slot meanwhile binds this member, too.
            After::Found(..) => {
                entity.instance.current_ballot() == Some(run.ballot)
                    && run.ballot >= self.bound(entity.slot())
            }
            After::Own { own, granted } => {
                let is_fast =
                    entity.instance.can_fast(node, incarnation) && run.ballot >= self.bound(entity.slot());
                let is_same = entity.instance.state().accepted == *own;
                is_same && if granted.is_some() { self.granted_ballot(id) == *granted } else { is_fast }
            }
        }
    }

    fn end_run(&mut self, turn: &mut Turn<'_, D>, id: EntityId, run: Run, mut batch: Vec<Queued>) -> Ran {
        let Run { ballot, mut state, applied, tree, extends, replies, waiting, met, .. } = run;
        // What is behind the last that was run comes first in the next batch.
        for mut queued in batch.drain(run.place..).rev() {
            queued.held_since.get_or_insert(turn.clock.now);
            self.entity(id).queue.push_front(queued);
        }
        if self.flushing.epoch() > 0 {
            let doubted = replies.iter().flatten().filter(|reply| **reply == error::UNCERTAIN);
            self.metrics.flush_doubts += doubted.count() as u64;
        }
        let version = self.catalogs.version();
        if version > 0 {
            let doubted = |(queued, reply): &(&Queued, &Option<Reply>)| {
                command::is_of_older_catalog(&queued.command, version) && **reply == Some(error::UNCERTAIN)
            };
            self.metrics.catalog_doubts += batch.iter().zip(&replies).filter(doubted).count() as u64;
        }
        let waiting: Vec<Queued> = waiting.into_iter().rev().map(|place| batch.remove(place)).collect();
        let entity = self.entity(id);
        entity.batch = batch;
        entity.replies = replies;
        match (met, state.claim()) {
            (Some(_), Some(claim)) => {
                let claim = claim.clone();
                self.meet_claim(turn, id, &claim, waiting.into_iter().rev().collect());
            }
            (met, _) => {
                if met.is_none() && self.peek(id).is_claimed && state.claim().is_none() || met.is_some() {
                    self.note_unclaimed(id);
                }
                // The claim went in the same batch: they are in the next one.
                for mut queued in waiting {
                    queued.held_since.get_or_insert(turn.clock.now);
                    self.entity(id).queue.push_front(queued);
                }
            }
        }
        if ballot.is_zero() {
            self.count_hits(id, run.had_value && !run.expired);
        }
        if !state.changed {
            return Ran::Unchanged;
        }
        if state.version < state.version_floor && run.is_absent {
            // An entry that only notes a command, where there is nothing: a tombstone may have been dropped, and its version was
            // below this.
            state.touch();
        }
        tree.make_entry(&mut state, ballot);
        self.metrics.expired_keys += u64::from(run.expired && !ballot.is_zero());
        Ran::Changed(self.encode(id, state, applied, ballot, extends))
    }

    /// Runs a read on the record of its key. Nothing in the reply's place: nobody waits for it. None at all: something changes by the
    /// read, because an expiry came due, or it has to wait for a claim.
    pub(crate) fn run_read(
        &mut self,
        turn: &Turn<'_, D>,
        queued: &Queued,
        held: Option<&Held>,
    ) -> Option<Option<Reply>> {
        let epoch = if planted(535) { 0 } else { self.flushing.epoch() };
        let Ok(record) = held.and_then(|held| held.record_in(epoch)).transpose() else {
            return Some(Some(error::UNREADABLE));
        };
        let Record { version, value, expires_at_ms, mut applied, requests, ties, .. } =
            record.unwrap_or_default();
        let hit = value.is_some();
        let mut state = State { version, value, expires_at_ms, requests, ties, ..State::default() };
        let catalog = self.catalogs.current();
        let waits_for_rows = table_on_tree(&queued.command, state.value.as_ref(), catalog).is_some();
        if joint::waits_for_claim(queued, &state, &applied) || waits_for_rows {
            return None;
        }
        let mut scratch = mem::take(&mut self.scratch);
        let reply = self.with_context(turn.clock.wall_ms, |context| {
            run_one(queued, &mut state, &mut applied, context, &mut scratch)
        });
        self.scratch = scratch;
        if state.changed {
            return None;
        }
        self.metrics.keyspace_hits += u64::from(hit);
        self.metrics.keyspace_misses += u64::from(!hit);
        Some(reply)
    }

    /// Drops from a table of applied commands what nobody will ask for again.
    fn prune(&self, id: EntityId, applied: &mut Applied) {
        let entity = self.peek(id);
        // What waits for a claim may have been in a batch before; it is in front of all that was not.
        let waits = entity.queue.iter().take_while(|queued| queued.held_since.is_some() && !planted(510));
        let sent = entity.batch.iter().chain(waits).filter(|queued| queued.sent);
        // Commands that never left this core are asked for again by their own batch only.
        let mut asked: Vec<u64> = sent
            .map(|queued| queued.id)
            .filter(|id| id.node == self.node && !id.travels())
            .map(|id| id.seq)
            .collect();
        asked.sort_unstable();
        let own_watermark = self.own_settled_below();
        applied.retain(self.node, self.incarnation, |seq| seq & 1 == 1 || asked.binary_search(&seq).is_ok());
        applied.settle(self.node, self.incarnation, own_watermark);
        for watermark in self.forwards.watermarks() {
            applied.settle(watermark.node, watermark.incarnation, watermark.settled_below);
        }
    }

    fn count_hits(&mut self, id: EntityId, hit: bool) {
        let asked =
            |queued: &&Queued| queued.command.is_read() && !matches!(queued.waiter, Waiter::Expiring(_));
        let reads = self.entity(id).batch.iter().filter(asked).count() as u64;
        if hit {
            self.metrics.keyspace_hits += reads;
        } else {
            self.metrics.keyspace_misses += reads;
        }
    }

    /// The entry of an entity of which a majority holds nothing.
    pub(crate) fn tombstone(&mut self, id: EntityId, ballot: Ballot) -> Held {
        let mut state = State { version_floor: ballot.round << VERSION_BITS, ..State::default() };
        state.touch();
        self.encode(id, state, Applied::default(), ballot, None)
    }

    /// The entry that the batch leads to. `extends`: the ballot of the own record, of which what was noted is a change.
    fn encode(
        &mut self,
        id: EntityId,
        state: State,
        applied: Applied,
        ballot: Ballot,
        extends: Option<Ballot>,
    ) -> Held {
        let version = if planted(116) && state.value.is_none() { 0 } else { state.version };
        let State { value, expires_at_ms, requests, ties, .. } = state;
        let epoch = self.epoch_for(&self.peek(id).key);
        let record = Record { version, epoch, value, expires_at_ms, applied, requests, ties };
        if is_large(record.value.as_ref(), self.config.delta_object_bytes_min) && !ballot.is_zero() {
            return self.object_of(id, record, ballot, extends);
        }
        self.hold_entry(&record)
    }

    /// What an entry of an older flush epoch is in this one, so that what is finished is that. None: it is of this one.
    pub(crate) fn flushed_entry(&mut self, entry: &Held) -> Option<Held> {
        let older = self.is_held_flushed(entry);
        let record = older.then(|| entry.record_in(self.flushing.epoch())?.ok()).flatten()?;
        Some(self.hold_entry(&record))
    }

    /// The tombstone that takes the place of a flushed value, if repair wants that of the entity.
    pub(crate) fn emptied_entry(&mut self, id: EntityId, held: &Held) -> Option<Held> {
        let wanted = self.peek(id).settle.is_some_and(|settle| settle.why == Why::Flushed);
        let wanted = wanted && self.is_flushed_value(held);
        wanted.then(|| self.flushed_entry(held)).flatten()
    }

    fn hold_entry(&mut self, record: &Record) -> Held {
        self.scratch.clear();
        record.encode(&mut self.scratch);
        let bytes = Bytes::from(&self.scratch[..]);
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_BYTES_MAX);
        Held::Here(bytes)
    }
}

/// The reply to a command that is not run, because it was applied before, or may have been. None in it: nobody waits for it any more.
pub(crate) fn known_reply(queued: &Queued, applied: &Applied, catalog: u64) -> Option<Option<Reply>> {
    if !(queued.sent || queued.id.travels()) || planted(103) {
        return None;
    }
    let is_of_before = command::is_of_older_catalog(&queued.command, catalog);
    match applied.find(queued.id) {
        Known::New => {}
        // By which catalog it was planned when it was applied, nobody knows.
        Known::Applied(_) if is_of_before && !planted(536) => return Some(Some(error::UNCERTAIN)),
        Known::Applied(Some(bytes)) if bytes.is_empty() => return Some(Some(error::UNCERTAIN)),
        Known::Applied(Some(bytes)) => {
            return Some(Some(Reply::decode(&bytes).unwrap_or(error::REPLY_LOST)));
        }
        Known::Applied(None) => {
            return Some(Some(queued.lost_reply.as_deref().cloned().unwrap_or(error::REPLY_LOST)));
        }
        Known::Stale if !matches!(queued.waiter, Waiter::Peer(_)) => return Some(Some(error::UNCERTAIN)),
        Known::Stale => return Some(None),
    }
    (applied.count(queued.id.node) >= ORIGIN_IDS_MAX).then_some(Some(error::BUSY))
}

/// Notes what a command that was run has come to. `before`: whether something had changed before it.
pub(crate) fn note_applied(
    queued: &Queued,
    state: &mut State,
    applied: &mut Applied,
    reply: &Reply,
    before: bool,
    scratch: &mut Vec<u8>,
) {
    // A write that may be applied elsewhere too is answered only by a chosen entry that bears its id, even if it changes
    // nothing (amendment 6): or else a late copy of it could still change something.
    let may_be_elsewhere = queued.sent && queued.command.is_write() && !planted(114);
    state.changed |= mem::take(&mut state.has_noted) || may_be_elsewhere;
    if state.changed {
        scratch.clear();
        reply.encode(scratch);
        applied.insert(queued.id, scratch);
    }
    state.changed |= before;
}

/// Runs one command. None: nobody waits for it any more.
fn run_one(
    queued: &Queued,
    state: &mut State,
    applied: &mut Applied,
    context: &mut command::Context<'_>,
    scratch: &mut Vec<u8>,
) -> Option<Reply> {
    if let Some(known) = known_reply(queued, applied, context.catalog.version()) {
        return known;
    }
    let before = mem::replace(&mut state.changed, false);
    let reply = command::execute(&queued.command, state, context);
    note_applied(queued, state, applied, &reply, before, scratch);
    Some(reply)
}
