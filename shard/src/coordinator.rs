//! The coordinator: commands in, batches through the protocol (consensus.md sections 3 and 4). What a batch comes to is [`crate::batch`]'s matter, how
//! it is answered [`crate::answers`]'.
//!
//! Commands of one entity wait in its queue while an attempt is under way and are merged into the next one. An attempt that is
//! all reads is an agreed read; else commands run on the state that the proposal extends, and their replies are held
//! until the entry is chosen. A batch that changes nothing is a read and is answered like one: never from the fast state
//! alone.

use std::mem;

use bitcask::{KeyRef, Kind};
use paxos::{Ballot, Found, ReadOutcome};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use crate::batch::{After, Ran};
use crate::core::{EntityId, Shard, Status};
use crate::entity::{Asked, Queued, Stage};
use crate::error;
use crate::held::Held;
use crate::joint;
use crate::limits::{
    BACKOFF_NS, BACKOFF_NS_MAX, BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, CLAIM_ROOM, CONFLICTS_MAX,
    READ_PATIENCE_NS_MIN, READ_SETTLE_NS, RESEND_NS, ROUND_NS_MAX,
};
use crate::repair::Why;
use crate::reply::Reply;
use crate::turn::Turn;

impl<D: Disk> Shard<D> {
    // ---- in ----

    /// Puts a command into its entity's queue. The bounds of the core were checked.
    pub(crate) fn enqueue(&mut self, turn: &mut Turn<'_, D>, slot: u16, queued: Queued) {
        let key = queued.command.key().expect("a queued command concerns one key");
        let reference = self.store.key_ref(slot, key);
        let Some(queued) = self.await_confirm(turn, reference, queued) else { return };
        self.let_reads_pass(turn, reference);
        self.enqueue_as(turn, reference, queued);
    }

    /// As [`Shard::enqueue`], for what no Confirm serves.
    pub(crate) fn enqueue_as(&mut self, turn: &mut Turn<'_, D>, reference: KeyRef, queued: Queued) {
        let key = queued.command.key().expect("a queued command concerns one key");
        let Some(id) = self.open_as(reference, key) else {
            self.metrics.refused += 1;
            return self.answer(turn, queued, error::BUSY);
        };
        let waits = queued.deadline <= turn.clock.now || self.store.is_full();
        self.touch(id);
        let entity = self.entity(id);
        if entity.stage != Stage::Idle {
            return entity.queue.push_back(queued);
        }
        // The first command of an idle entity is the batch, unless it has to be refused there.
        if waits || !entity.queue.is_empty() || !entity.batch.is_empty() {
            entity.queue.push_back(queued);
        } else {
            entity.batch.reserve_exact(1);
            entity.batch.push(queued);
        }
        self.start_batch(turn, id);
    }

    /// Starts the next attempt of an idle entity: with the commands at hand if there are any left of the last one, else with what
    /// waits in the queue.
    pub(crate) fn start_batch(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let entity = self.entity(id);
        assert!(entity.stage == Stage::Idle, "one attempt at a time");
        (entity.run, entity.finishes) = (None, false);
        self.fill_batch(turn, id);
        let up = self.hosts_up();
        let majority = self.members.majority();
        let entity = self.entity(id);
        if entity.batch.is_empty() && entity.settle.is_none() {
            entity.collisions = 0;
            return;
        }
        if entity.is_cold() && (entity.loading || !entity.is_durable() || !self.read_entity(turn, id)) {
            self.entity(id).stage = Stage::Loading;
            return self.wake_by_deadline(id, turn.clock.now + ROUND_NS_MAX);
        }
        let entity = self.entity(id);
        assert!(!entity.is_cold(), "what is decided on is known");
        if up < majority {
            // Nothing leaves without a majority to answer it, so that the error at the deadline can say "nothing was written".
            entity.stage = Stage::Backoff;
            let at = turn.clock.now + RESEND_NS;
            return self.wake_by_deadline(id, at);
        }
        let collisions = entity.collisions;
        let reads = entity.settle.is_none_or(|settle| settle.why == Why::Unproven);
        if self.is_all_reads(id) && collisions < CONFLICTS_MAX && reads {
            self.start_read(turn, id);
        } else if !self.has_place(id) {
            self.put_off(turn, id);
        } else {
            self.start_write(turn, id);
        }
    }

    /// Whether the batch at hand changes nothing by what it asks.
    fn is_all_reads(&self, id: EntityId) -> bool {
        self.peek(id).batch.iter().all(|queued| queued.command.is_read())
    }

    /// Whether the log has a place for what the batch may write. It is asked here once more, before phase 1 costs a round trip.
    fn has_place(&self, id: EntityId) -> bool {
        let entity = self.peek(id);
        let bytes: usize =
            entity.batch.iter().filter(|queued| needs_room(queued)).map(|queued| queued.bytes).sum();
        bytes == 0
            || self.store.admits_as(entity.reference, entity.key.len(), Kind::Value, bytes)
                != Err(bitcask::AppendError::Making)
    }

    /// Tries the batch again in a moment, when the log has gone on.
    pub(crate) fn put_off(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let jitter = self.rng.below(BACKOFF_NS);
        let entity = self.entity(id);
        entity.instance.abandon();
        entity.stage = Stage::Backoff;
        entity.replies.clear();
        self.wake_by_deadline(id, turn.clock.now + BACKOFF_NS + jitter);
    }

    /// Moves commands from the queue into the batch, up to its bounds; those past their deadline are answered.
    fn fill_batch(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let now = turn.clock.now;
        let full = self.store.is_full();
        let mut expired = Vec::new();
        let mut refused = Vec::new();
        let entity = &mut self.entity(id);
        let mut bytes: usize = entity.batch.iter().map(|queued| queued.bytes).sum();
        let mut at = 0;
        // What waits for a claim goes on behind what may end it, in the same batch.
        let mut goes_on = !entity.is_claimed;
        loop {
            let Some(next) = entity.queue.get(at) else {
                if goes_on || !entity.batch.iter().any(joint::may_end_claim) {
                    break;
                }
                (at, goes_on) = (0, true);
                continue;
            };
            if !goes_on && !joint::passes(next) {
                at += 1;
                continue;
            }
            let room = entity.batch.len() < BATCH_COMMANDS_MAX && bytes + next.bytes <= BATCH_BYTES_MAX;
            if !room && !entity.batch.is_empty() {
                break;
            }
            let Some(queued) = entity.queue.remove(at) else { break };
            if queued.deadline <= now {
                expired.push(queued);
            } else if full && needs_room(&queued) {
                refused.push(queued);
            } else {
                bytes += queued.bytes;
                entity.batch.push(queued);
            }
        }
        for queued in expired {
            self.answer_expired(turn, queued, 0);
        }
        for queued in refused {
            // What another host was asked to do before may have been done there.
            let reply = if queued.sent { error::UNCERTAIN } else { error::DISK_FULL };
            self.metrics.uncertain += u64::from(queued.sent);
            self.answer(turn, queued, reply);
        }
    }

    pub(crate) fn start_read(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        self.last_query = self.last_query.wrapping_add(1);
        let query = u64::from(self.incarnation) << 32 | u64::from(self.last_query);
        self.metrics.agreed_reads += 1;
        // After a conflict everybody is asked: somebody who was not may be who knows.
        let race = self.readers.is_race(self.last_query);
        let choose = self.entity(id).collisions == 0 && !race;
        let few = if choose { self.readers.choose(&self.peers_up) } else { None };
        let Some(few) = few else {
            self.begin(turn, id, Stage::Reading, RESEND_NS);
            self.entity(id).asked = if race { Asked::Race } else { Asked::All };
            return self.step(turn, id, |instance, _, out| instance.query(query, out));
        };
        self.begin(turn, id, Stage::Reading, self.readers.patience());
        self.entity(id).asked = Asked::Few;
        self.step(turn, id, |instance, _, out| instance.query_some(query, few, out));
    }

    /// Those that an agreed read has asked do not suffice, or are late: the others are asked too.
    pub(crate) fn ask_the_rest(&mut self, turn: &mut Turn<'_, D>, id: EntityId, asked: Asked) {
        let entity = self.entity(id);
        entity.asked = asked;
        // Where this turn itself comes late, they get a moment nevertheless before they are asked again.
        let at = (entity.since + RESEND_NS).max(turn.clock.now + READ_PATIENCE_NS_MIN);
        self.metrics.resends += 1;
        self.wake_by_deadline(id, at);
        self.step(turn, id, |instance, _, out| instance.resend(out));
    }

    pub(crate) fn start_write(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let (node, incarnation, fast_above) = (self.node, self.incarnation, self.fast_above);
        let bound = self.bound(self.peek(id).slot());
        // After two conflicts phase 1 it is: the own record looks the newest from here, but a peer that cannot be outvoted holds
        // a newer one, and a batch that changes nothing would only be read, and met by it, again.
        let entity = self.entity(id);
        let accepted = entity.instance.state().accepted;
        let bound = if planted(188) { Ballot::ZERO } else { bound };
        let fresh = accepted.round > fast_above && accepted.succ() >= bound;
        let calm = fresh && entity.collisions < CONFLICTS_MAX && entity.instance.can_fast(node, incarnation);
        // What waits for a claim has to hear of its end, which others may have chosen.
        let wary = self.may_meet_claim(id) || self.empties_from_afar(id);
        if calm && !wary {
            return self.start_from_own(turn, id, accepted.succ(), None);
        }
        // Unlike a record's, a group's next entry does not contain what is there: that is finished first.
        let wary = wary || self.is_undecided_head(id);
        if let Some(ballot) = self.granted_ballot(id).filter(|_| !wary) {
            return self.start_from_own(turn, id, ballot, Some(ballot));
        }
        if let Err(reply) = self.admit(id, Kind::Promise, 0) {
            return self.refuse_batch(turn, id, &reply);
        }
        let ballot = self.fresh_ballot();
        self.metrics.classic_proposals += 1;
        self.begin(turn, id, Stage::Proposing, self.rounds.patience());
        self.step(turn, id, |instance, floor, out| instance.prepare(ballot, floor, out));
    }

    /// Whether the own record is the head of a group that is not known to be chosen.
    fn is_undecided_head(&self, id: EntityId) -> bool {
        let entity = self.peek(id);
        let is_head = |held: &Held| held.is_group() && !self.is_held_flushed(held);
        !entity.instance.state().is_chosen() && entity.instance.entry().is_some_and(is_head)
    }

    /// Whether the own record says that a command of the batch has to wait for a claim.
    fn may_meet_claim(&self, id: EntityId) -> bool {
        let entity = self.peek(id);
        let own = entity.instance.entry();
        own.is_some_and(|held| held.is_claimed() && !self.is_held_flushed(held))
            && !entity.batch.iter().all(joint::passes)
    }

    /// Whether a flushed value is to give way that is not here.
    fn empties_from_afar(&self, id: EntityId) -> bool {
        let entity = self.peek(id);
        let own = entity.instance.entry();
        entity.settle.is_some_and(|settle| settle.why == Why::Flushed)
            && !own.is_some_and(|held| self.is_flushed_value(held))
    }

    /// Runs the batch on the own record, because phase 1 is done for the ballot, and proposes what comes of it. `granted`: it is the one that
    /// was promised for the slot.
    fn start_from_own(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        ballot: Ballot,
        granted: Option<Ballot>,
    ) {
        let base = self.entity(id).warm();
        let own = base.as_ref().map_or(Ballot::ZERO, |(own, _)| *own);
        let emptied = base.as_ref().and_then(|(_, held)| self.emptied_entry(id, held));
        let ran = match self.run_batch(turn, id, base, ballot, After::Own { own, granted }) {
            Ran::Unchanged => emptied.map_or(Ran::Unchanged, Ran::Changed),
            ran => ran,
        };
        self.after_own(turn, id, (own, ballot), granted, ran);
    }

    /// The batch was run on the own record of a ballot, to be proposed at another.
    pub(crate) fn after_own(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        (own, ballot): (Ballot, Ballot),
        granted: Option<Ballot>,
        ran: Ran,
    ) {
        match ran {
            Ran::Waits => {}
            Ran::PutOff => self.put_off(turn, id),
            Ran::Unchanged if planted(111) => self.finish_batch(turn, id),
            Ran::Unchanged => self.start_read(turn, id),
            Ran::Unreadable => self.finish_batch(turn, id),
            Ran::Changed(entry) => {
                // The ballot is not from the counter: the counter must not issue its round again to somebody else's loss.
                assert!(self.see_round(ballot.round), "the next round is no jump");
                let with = u64::from(granted.is_some());
                self.metrics.fast_proposals += 1 - with;
                self.metrics.granted_proposals += with;
                self.metrics.granted_absent += if own.is_zero() { with } else { 0 };
                self.propose(turn, id, entry, granted);
            }
        }
    }

    /// Proposes an entry, unless the log has no room for it: nothing has left yet, so nothing is written. `granted`: at the ballot that was
    /// promised for the slot.
    fn propose(&mut self, turn: &mut Turn<'_, D>, id: EntityId, entry: Held, granted: Option<Ballot>) {
        if let Err(reply) = self.admit_entry(id, &entry) {
            return self.refuse_batch(turn, id, &reply);
        }
        if let Err(reply) = self.admit_claims(id, &entry) {
            return self.refuse_batch(turn, id, &reply);
        }
        self.begin(turn, id, Stage::Proposing, self.rounds.patience());
        self.step(turn, id, |instance, floor, out| {
            match granted {
                Some(ballot) => instance.propose_granted(ballot, entry, floor, out),
                None => instance.propose(entry, floor, out),
            };
        });
        if planted(106) && !self.peek(id).batch.is_empty() {
            self.finish_batch(turn, id);
        }
    }

    /// Whether there is room to end the claims of a batch as well: a disk that is filling up refuses those, and not what ends them.
    fn admit_claims(&self, id: EntityId, entry: &Held) -> Result<(), Reply> {
        match self.peek(id).batch.iter().any(joint::claims) {
            true => self.admit(id, Kind::Value, CLAIM_ROOM * entry.bytes().map_or(0, |bytes| bytes.len())),
            false => Ok(()),
        }
    }

    /// Notes that a question goes out to the peers now, and how long to wait before it is repeated.
    pub(crate) fn begin(&mut self, turn: &mut Turn<'_, D>, id: EntityId, stage: Stage, patience: Nanos) {
        self.metrics.peer_round_trips += 1;
        let entity = self.entity(id);
        entity.stage = stage;
        entity.since = turn.clock.now;
        entity.resends = 0;
        entity.asked = Asked::All;
        self.wake_by_deadline(id, turn.clock.now + patience);
    }

    /// A majority has answered what a proposal asked.
    fn note_round(&mut self, turn: &Turn<'_, D>, id: EntityId) {
        let since = self.peek(id).since;
        let now = turn.clock.now;
        self.rounds.on_answer(now, now - since);
        self.repair.note_round(now, now - since);
    }

    // ---- what the protocol says ----

    /// Phase 1 is done.
    pub(crate) fn on_prepared(&mut self, turn: &mut Turn<'_, D>, id: EntityId, found: Option<Found<Held>>) {
        self.note_round(turn, id);
        let ballot = self.entity(id).instance.current_ballot().expect("phase 1 ends at a ballot");
        if ballot < self.bound(self.peek(id).slot()) && !planted(188) {
            // More was promised for the slot meanwhile: that binds the own proposals too.
            self.entity(id).instance.abandon();
            return self.on_lost(turn, id, false);
        }
        let base = found.as_ref().map(|found| (found.ballot, found.entry.clone()));
        assert!(!base.as_ref().is_some_and(|(_, held)| held.is_cold()), "loaded before phase 1");
        self.drop_expired(turn, id);
        let settled = found.as_ref().is_none_or(|found| found.chosen);
        let entity = self.entity(id);
        if entity.batch.is_empty() && entity.settle.is_none() {
            return self.end_attempt(turn, id);
        }
        if let Some((_, head)) = base.as_ref().filter(|(_, held)| !settled && held.is_group()) {
            if !self.is_held_flushed(head) && !planted(546) {
                let head = head.clone();
                return self.finish_head(turn, id, &head);
            }
        }
        let ran = self.run_batch(turn, id, base.clone(), ballot, After::Found(base.clone(), settled));
        self.after_found(turn, id, base, settled, ran);
    }

    /// Has the head of a group chosen that phase 1 has found: the batch extends it then.
    fn finish_head(&mut self, turn: &mut Turn<'_, D>, id: EntityId, head: &Held) {
        if let Err(reply) = self.admit_entry(id, head) {
            return self.refuse_batch(turn, id, &reply);
        }
        self.metrics.finished += 1;
        self.entity(id).finishes = true;
        self.begin(turn, id, Stage::Proposing, self.rounds.patience());
        self.step(turn, id, |instance, floor, out| {
            instance.finish(floor, out);
        });
    }

    /// The batch was run on what phase 1 has found, which is known to be chosen, or is not.
    pub(crate) fn after_found(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        base: Option<(Ballot, Held)>,
        settled: bool,
        ran: Ran,
    ) {
        let ballot = self.entity(id).instance.current_ballot().unwrap_or_default();
        let is_absent = base.is_none();
        let entity = self.peek(id);
        let why = entity.settle.map(|settle| settle.why);
        let own = !entity.instance.state().accepted.is_zero();
        let settle = match why {
            Some(Why::Flushed) => base.as_ref().is_some_and(|(_, held)| self.is_flushed_value(held)),
            why => why.is_some(),
        };
        match ran {
            Ran::Waits => {}
            Ran::PutOff => self.put_off(turn, id),
            // The majority of promises was asked after these commands arrived: it is an agreed read as well.
            Ran::Unchanged if settled && !settle => self.finish_batch(turn, id),
            // A majority holds nothing: what is here was never chosen, and gives way to a tombstone.
            Ran::Unchanged if is_absent && own => {
                let entry = self.tombstone(id, ballot);
                self.propose(turn, id, entry, None);
            }
            Ran::Unchanged if is_absent => self.finish_batch(turn, id),
            Ran::Unchanged => {
                if let Some(entry) = base.as_ref().and_then(|(_, held)| self.flushed_entry(held)) {
                    return self.propose(turn, id, entry, None);
                }
                if let Err(reply) = base.map_or(Ok(()), |(_, held)| self.admit_entry(id, &held)) {
                    return self.refuse_batch(turn, id, &reply);
                }
                self.metrics.finished += 1;
                self.begin(turn, id, Stage::Proposing, self.rounds.patience());
                self.step(turn, id, |instance, floor, out| {
                    instance.finish(floor, out);
                });
            }
            Ran::Changed(entry) => self.propose(turn, id, entry, None),
            Ran::Unreadable => self.finish_batch(turn, id),
        }
    }

    /// The entry of the batch is chosen: its replies leave.
    pub(crate) fn on_chosen(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        self.note_round(turn, id);
        self.metrics.chosen += 1;
        self.apply_chosen(turn, id);
        if mem::take(&mut self.entity(id).finishes) {
            let entity = self.entity(id);
            entity.stage = Stage::Idle;
            return match entity.batch.is_empty() {
                true => self.end_attempt(turn, id),
                false => self.start_batch(turn, id),
            };
        }
        self.metrics.chosen_commands += self.entity(id).batch.len() as u64;
        self.finish_batch(turn, id);
    }

    /// The ballot is lost: wait with full jitter, then try again above what was seen.
    pub(crate) fn on_lost(&mut self, turn: &mut Turn<'_, D>, id: EntityId, accept_sent: bool) {
        self.metrics.lost += 1;
        if planted(117) && accept_sent {
            return self.finish_batch(turn, id);
        }
        let entity = self.entity(id);
        entity.collisions += 1;
        entity.stage = Stage::Backoff;
        let mut replies = mem::take(&mut entity.replies).into_iter();
        if accept_sent && !planted(121) {
            entity.batch.iter_mut().for_each(|queued| queued.note_lost(replies.next().flatten()));
        }
        let shift = entity.collisions.min(16);
        let span = (BACKOFF_NS << shift).min(BACKOFF_NS_MAX);
        let at = turn.clock.now + 1 + self.rng.below(span);
        self.wake_by_deadline(id, at);
    }

    /// The agreed read is decided.
    pub(crate) fn on_read(&mut self, turn: &mut Turn<'_, D>, id: EntityId, outcome: ReadOutcome<Held>) {
        if self.peek(id).asked == Asked::Few {
            self.readers.on_answer(turn.clock.now - self.peek(id).since);
        }
        let base = match outcome {
            ReadOutcome::Local { ballot } if ballot.is_zero() => None,
            ReadOutcome::Local { ballot } => match self.entity(id).warm() {
                Some(warm) if warm.0 == ballot => Some(warm),
                _ => return self.retry(turn, id),
            },
            ReadOutcome::Remote { ballot, entry } => {
                if entry.is_cold() {
                    return self.retry(turn, id);
                }
                let copy = entry.clone();
                if self.admit_entry(id, &entry).is_ok() {
                    self.metrics.taken_over += 1;
                    self.step(turn, id, |instance, floor, out| instance.take_over(ballot, copy, floor, out));
                }
                Some((ballot, entry))
            }
            ReadOutcome::Conflict if planted(119) => self.entity(id).warm(),
            ReadOutcome::Conflict => {
                self.metrics.read_conflicts += 1;
                let jitter = self.rng.below(READ_SETTLE_NS);
                let entity = self.entity(id);
                entity.collisions += 1;
                entity.stage = Stage::Settling;
                return self.wake_by_deadline(id, turn.clock.now + READ_SETTLE_NS + jitter);
            }
        };
        let ran = self.run_batch(turn, id, base, Ballot::ZERO, After::Read);
        self.after_read(turn, id, ran);
    }

    /// The batch was run as a read.
    pub(crate) fn after_read(&mut self, turn: &mut Turn<'_, D>, id: EntityId, ran: Ran) {
        match ran {
            Ran::Waits => {}
            Ran::PutOff => self.put_off(turn, id),
            Ran::Changed(_) if planted(109) && self.is_all_reads(id) => self.finish_batch(turn, id),
            Ran::Unchanged | Ran::Unreadable => {
                self.metrics.read_commands += self.entity(id).batch.len() as u64;
                self.finish_batch(turn, id);
            }
            // An expiry came due, or a command that changed nothing before now does.
            Ran::Changed(_) => self.start_write(turn, id),
        }
    }

    /// Decides an agreed read once all who can be talked to have answered: nobody waits for a host that is away.
    pub(crate) fn weigh_what_there_is(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let up = self.hosts_up();
        let entity = self.peek(id);
        if entity.stage != Stage::Reading {
            return;
        }
        let answered = entity.instance.answered();
        if up < self.members.count() && answered >= up {
            self.step(turn, id, |instance, _, out| instance.settle_read(out));
        } else if entity.asked == Asked::Few && answered >= self.members.majority() {
            self.ask_the_rest(turn, id, Asked::All);
        }
    }

    /// Something moved under the attempt; it starts again at once.
    pub(crate) fn retry(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        self.entity(id).stage = Stage::Idle;
        self.start_batch(turn, id);
    }

    /// How many voters can be talked to, this host included if it is one.
    pub(crate) fn hosts_up(&self) -> u8 {
        let others =
            self.peers_up.iter().enumerate().filter(|(m, up)| **up && *m != usize::from(self.config.me));
        u8::from(!self.config.learner) + others.count() as u8
    }

    /// Whether the core takes commands in.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        match self.status {
            Status::Ready => None,
            Status::Failed => self.fault().map(|fault| error::failed(fault, false)),
            Status::Recovering | Status::Recovered | Status::Starting(_) | Status::EndingLoss => {
                Some(Reply::error("ERR this core is still reading its log"))
            }
        }
    }
}

/// Whether a command may add bytes to the disk: deletes go into the reserve.
fn needs_room(queued: &Queued) -> bool {
    queued.command.is_write() && !queued.command.only_deletes()
}
