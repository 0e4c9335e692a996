//! Running commands: a batch of them on the state that its entry extends, or a read on a record that is known to be the newest.
//!
//! Commands run in their order, and none that comes behind one that waits for a claim overtakes it. What was applied before is not run again:
//! it is answered as it was then (consensus.md section 3).

use std::mem;

use paxos::Ballot;
use reactor::mutants::planted;
use reactor::Disk;

use crate::command;
use crate::core::{EntityId, Shard};
use crate::entity::{Queued, Waiter};
use crate::error;
use crate::held::{is_large, Bytes, Held};
use crate::joint;
use crate::limits::{ORIGIN_IDS_MAX, SCRATCH_BYTES_MAX, VERSION_BITS};
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
}

impl<D: Disk> Shard<D> {
    /// Runs the batch on a state, in order, and holds the replies. `ballot` is where the entry would be proposed.
    pub(crate) fn run_batch(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        base: Option<(Ballot, Held)>,
        ballot: Ballot,
    ) -> Ran {
        let base = base.map(|(ballot, held)| (ballot, self.open_base(id, ballot, held)));
        let epoch = self.flushing.epoch();
        let record = match base.as_ref().and_then(|(_, held)| held.record_in(epoch)).transpose() {
            Ok(record) => record.unwrap_or_default(),
            Err(_) => {
                let entity = self.entity(id);
                entity.replies = entity.batch.iter().map(|_| Some(error::UNREADABLE)).collect();
                return Ran::Unreadable;
            }
        };
        let Record { version, value, expires_at_ms, applied, requests, ties, .. } = record;
        let had_value = value.is_some();
        let mut state = State { version, value, expires_at_ms, requests, ties, ..State::default() };
        let extends = base.as_ref().map(|(ballot, _)| *ballot).filter(|_| !ballot.is_zero());
        let extends = extends.filter(|base| self.take_notes(id, *base, &mut state));
        // One round leaves room for the versions of a whole batch (amendment 10).
        state.version_floor = ballot.round << VERSION_BITS;
        let mut applied = if planted(104) { Applied::default() } else { applied };
        self.prune(id, &mut applied);
        let (wall_ms, limits) = (turn.clock.wall_ms, self.config.limits);
        let expired = state.expire(wall_ms);
        let mut batch = mem::take(&mut self.entity(id).batch);
        let mut replies = mem::take(&mut self.entity(id).replies);
        replies.clear();
        replies.reserve_exact(batch.len());
        let mut waiting: Vec<usize> = Vec::new();
        let mut met = None;
        let entity = self.peek(id);
        let someone_waits = entity.is_claimed && !entity.queue.iter().all(joint::passes);
        for (place, queued) in batch.iter().enumerate() {
            // Whoever comes behind one that waits does not overtake it.
            if !waiting.is_empty() && !joint::passes(queued)
                || joint::waits_for_claim(queued, &state, &applied)
            {
                met = met.or_else(|| state.claim().cloned());
                waiting.push(place);
                continue;
            }
            // Nor does a joint command whose turn at another key has come.
            let is_behind = (someone_waits || !waiting.is_empty()) && joint::claims_another(queued);
            if is_behind && !queued.sent && applied.find(queued.id) == Known::New {
                replies.push(Some(Reply::Nil));
                continue;
            }
            let (catalog, statements) = self.catalogs.for_commands();
            let mut context = command::Context {
                now_wall_ms: wall_ms,
                limits: &limits,
                rng: &mut self.rng,
                catalog,
                statements,
            };
            replies.push(run_one(queued, &mut state, &mut applied, &mut context, &mut self.scratch));
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
            self.count_hits(id, had_value && !expired);
        }
        if !state.changed {
            return Ran::Unchanged;
        }
        if state.version < state.version_floor && base.is_none() {
            // An entry that only notes a command, where there is nothing: a tombstone may have been dropped, and its version was
            // below this.
            state.touch();
        }
        self.metrics.expired_keys += u64::from(expired && !ballot.is_zero());
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
        if joint::waits_for_claim(queued, &state, &applied) {
            return None;
        }
        let (wall_ms, limits) = (turn.clock.wall_ms, self.config.limits);
        let (catalog, statements) = self.catalogs.for_commands();
        let mut context = command::Context {
            now_wall_ms: wall_ms,
            limits: &limits,
            rng: &mut self.rng,
            catalog,
            statements,
        };
        let reply = run_one(queued, &mut state, &mut applied, &mut context, &mut self.scratch);
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

/// Runs one command. None: nobody waits for it any more.
fn run_one(
    queued: &Queued,
    state: &mut State,
    applied: &mut Applied,
    context: &mut command::Context<'_>,
    scratch: &mut Vec<u8>,
) -> Option<Reply> {
    if (queued.sent || queued.id.travels()) && !planted(103) {
        let is_of_before = command::is_of_older_catalog(&queued.command, context.catalog.version());
        match applied.find(queued.id) {
            Known::New => {}
            // By which catalog it was planned when it was applied, nobody knows.
            Known::Applied(_) if is_of_before && !planted(536) => return Some(error::UNCERTAIN),
            Known::Applied(Some(bytes)) if bytes.is_empty() => return Some(error::UNCERTAIN),
            Known::Applied(Some(bytes)) => {
                return Some(Reply::decode(&bytes).unwrap_or(error::REPLY_LOST));
            }
            Known::Applied(None) => {
                return Some(queued.lost_reply.as_deref().cloned().unwrap_or(error::REPLY_LOST));
            }
            Known::Stale if !matches!(queued.waiter, Waiter::Peer(_)) => return Some(error::UNCERTAIN),
            Known::Stale => return None,
        }
        if applied.count(queued.id.node) >= ORIGIN_IDS_MAX {
            return Some(error::BUSY);
        }
    }
    let before = mem::replace(&mut state.changed, false);
    let reply = command::execute(&queued.command, state, context);
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
    Some(reply)
}
