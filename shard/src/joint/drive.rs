//! Carries the steps of joint commands to the queues of their keys, their answers back, and lets what meets a claim wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcask::KeyRef;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::finder::{At, Finder, Next};
use super::ops::JointOp;
use super::runner::{Runner, Todo};
use super::ties::{Claim, Decision, JointId};
use crate::command::{Command, Context, Joint, KeyCommand, Op};
use crate::config::node_of;
use crate::core::{EntityId, Shard};
use crate::entity::{Queued, Stage, Waiter};
use crate::error::{self, Fault};
use crate::limits::{
    CLAIM_GIVE_UPS_MAX, CLAIM_HELD_NS, CLAIM_LOOK_NS, CLAIM_PATIENCE_NS, JOINTS_BYTES_MAX, JOINTS_MAX,
    JOINTS_MENDED_MAX, JOINT_PAUSES_MAX, JOINT_PAUSE_NS, JOINT_STEP_NS,
};
use crate::record::{Applied, Known};
use crate::reply::Reply;
use crate::slot::slot;
use crate::state::State;
use crate::turn::{RequestId, Turn};
use crate::wire::PeerMessage;

/// Names a step: whose it is, and at which of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepTicket {
    party: u64,
    place: u32,
}

/// What this core has under way about several keys.
#[derive(Debug, Default)]
pub(crate) struct Joints {
    parties: BTreeMap<u64, Party>,
    /// The finder of a key.
    finders: BTreeMap<Box<[u8]>, u64>,
    /// What is run at the moment, attempt by attempt.
    ids: BTreeSet<JointId>,
    /// How many run commands, and the bytes of what they have found.
    running: usize,
    found_bytes: usize,
    /// Steps that are not answered.
    steps: usize,
    last: u64,
    last_id: u64,
    /// Steps that were answered. They are looked at before the turn ends, because whoever answers may be in the middle of something.
    answered: VecDeque<(StepTicket, Reply)>,
    due: BTreeSet<(Nanos, u64)>,
}

#[derive(Debug)]
enum Party {
    Runner(Box<Running>),
    Finder(Box<Finding>),
}

/// A joint command on its way.
#[derive(Debug)]
struct Running {
    runner: Runner,
    joint: Box<Joint>,
    request: RequestId,
    bytes: usize,
    found_bytes: usize,
    deadline: Nanos,
    /// How long it has paused between attempts, as a power of two.
    pauses: u32,
}

/// A claim that somebody waits for.
#[derive(Debug)]
struct Finding {
    finder: Finder,
    reference: KeyRef,
    /// When whoever has it is not waited for any longer.
    gives_up_at: Nanos,
    /// A step of it is not answered.
    is_asking: bool,
    /// Nobody waits any more: it ends with the answer.
    is_over: bool,
}

impl Joints {
    /// When the next of them wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        let answered = (!self.answered.is_empty()).then_some(0);
        answered.or(self.due.first().map(|(at, _)| *at))
    }

    /// A step was answered.
    pub fn on_answer(&mut self, ticket: StepTicket, reply: Reply) {
        self.steps -= 1;
        self.answered.push_back((ticket, reply));
    }

    /// Another flush epoch begins.
    pub fn on_flushed(&mut self) {
        for party in self.parties.values_mut() {
            if let Party::Runner(running) = party {
                running.runner.on_flushed();
            }
        }
    }

    /// How many are under way, claims that are waited for included.
    pub fn len(&self) -> usize {
        self.parties.len()
    }

    /// Steps among the commands of the core, which are not counted against what clients may have under way.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Whether somebody waits for the claim of a key here.
    pub fn awaits(&self, key: &[u8]) -> bool {
        !self.finders.is_empty() && self.finders.contains_key(key)
    }

    /// Ids start at a random number where those of a former life are not known.
    pub fn begin_at(&mut self, id: u64) {
        self.last_id = id;
    }

    fn insert(&mut self, party: Party) -> u64 {
        self.last += 1;
        self.parties.insert(self.last, party);
        self.last
    }

    fn is_running(&self, id: JointId) -> bool {
        self.ids.contains(&id)
    }

    fn remove_runner(&mut self, party: u64) {
        let Some(Party::Runner(running)) = self.parties.remove(&party) else { return };
        self.ids.remove(&running.runner.id());
        self.running -= 1;
        self.found_bytes -= running.found_bytes;
    }
}

impl<D: Disk> Shard<D> {
    // ---- joint commands ----

    /// A command of several keys from a client of this host.
    pub(crate) fn submit_joint(
        &mut self,
        turn: &mut Turn<'_, D>,
        request: RequestId,
        joint: Box<Joint>,
        deadline: Nanos,
    ) {
        let slots = joint.keys.iter().map(|key| slot(key));
        let (first, last) =
            slots.fold((u16::MAX, 0), |(first, last), slot| (first.min(slot), last.max(slot)));
        if first != last {
            return turn.effects.replies.push((request, error::CROSS_SLOT));
        }
        let bytes = joint.bytes();
        let full = self.joints.running >= JOINTS_MAX
            || self.joints.found_bytes > JOINTS_BYTES_MAX
            || self.command_bytes + bytes > self.config.command_bytes_max;
        if full {
            self.metrics.refused += 1;
            return turn.effects.replies.push((request, error::BUSY));
        }
        self.metrics.joint_commands += 1;
        self.joints.running += 1;
        self.command_bytes += bytes;
        let id = self.joint_id();
        let runner = Runner::new(joint.keys.clone(), joint.is_read(), joint.request.clone(), id);
        let running = Running { runner, joint, request, bytes, found_bytes: 0, deadline, pauses: 0 };
        let party = self.joints.insert(Party::Runner(Box::new(running)));
        self.joints.due.insert((deadline, party));
        self.resume_runner(turn, party);
    }

    /// A name for an attempt that no other ever had.
    fn joint_id(&mut self) -> JointId {
        self.joints.last_id += 1;
        JointId { node: self.node, incarnation: self.own_start(), seq: self.joints.last_id }
    }

    fn resume_runner(&mut self, turn: &mut Turn<'_, D>, party: u64) {
        let id = self.joint_id();
        let now = turn.clock.now;
        let Some(Party::Runner(running)) = self.joints.parties.get_mut(&party) else { return };
        let late = running.deadline <= now;
        let todos = if late && running.runner.is_between_attempts() {
            running.runner.end(error::TIMED_OUT)
        } else {
            let mut todos = if late { running.runner.on_deadline() } else { Vec::new() };
            self.joints.ids.remove(&running.runner.id());
            todos.extend(running.runner.resume(id));
            self.joints.ids.insert(running.runner.id());
            todos
        };
        self.do_all(turn, party, todos);
    }

    fn do_all(&mut self, turn: &mut Turn<'_, D>, party: u64, todos: Vec<Todo>) {
        let mut todos = VecDeque::from(todos);
        while let Some(todo) = todos.pop_front() {
            let Some(Party::Runner(running)) = self.joints.parties.get_mut(&party) else { return };
            match todo {
                Todo::Ask(place, step) => {
                    let key = running.runner.keys()[place].clone();
                    // What was decided is finished, whether its client still waits or not.
                    let deadline = match step {
                        JointOp::Release { .. } | JointOp::Forget { .. } => {
                            running.deadline.max(turn.clock.now + JOINT_STEP_NS)
                        }
                        _ => running.deadline,
                    };
                    let ticket = StepTicket { party, place: place as u32 };
                    self.take_step(turn, ticket, key, step, deadline);
                }
                Todo::Run => {
                    let limits = self.config.limits;
                    let now_wall_ms = turn.clock.wall_ms;
                    let (catalog, statements) = self.catalogs.for_commands();
                    let mut context =
                        Context { now_wall_ms, limits: &limits, rng: &mut self.rng, catalog, statements };
                    let ran = running.joint.run(running.runner.states(), &mut context);
                    todos.extend(running.runner.on_ran(ran));
                }
                Todo::Pause => {
                    running.pauses = (running.pauses + 1).min(JOINT_PAUSES_MAX);
                    let span = JOINT_PAUSE_NS << running.pauses;
                    let at = turn.clock.now + 1 + self.rng.below(span);
                    self.metrics.joint_collisions += 1;
                    self.joints.due.insert((at, party));
                }
                Todo::Answer(reply) => {
                    self.metrics.uncertain += u64::from(reply == error::UNCERTAIN);
                    turn.effects.replies.push((running.request, reply));
                }
                Todo::End => {
                    self.command_bytes -= running.bytes;
                    self.joints.remove_runner(party);
                    return;
                }
            }
        }
    }

    /// Finishes what decisions that were found at their anchor name, whoever made them, if they still say so.
    pub(crate) fn finish_decisions(&mut self, turn: &mut Turn<'_, D>, anchor: &[u8], found: Vec<Decision>) {
        for Decision { id, writes } in found {
            if self.joints.is_running(id) {
                continue;
            }
            for (key, write) in writes {
                if self.joints.len() >= self.joints.running + JOINTS_MENDED_MAX {
                    return;
                }
                self.metrics.decisions_swept += 1;
                let reference = self.store.key_ref(slot(&key), &key);
                let mut finder = Finder::new(&key, Claim { id, anchor: anchor.into() });
                let next = finder.finish(write);
                let finding = Finding { finder, reference, gives_up_at: 0, is_asking: false, is_over: true };
                let party = self.joints.insert(Party::Finder(Box::new(finding)));
                self.find_next(turn, party, next);
            }
        }
    }

    fn take_step(
        &mut self,
        turn: &mut Turn<'_, D>,
        ticket: StepTicket,
        key: Box<[u8]>,
        step: JointOp,
        deadline: Nanos,
    ) {
        let waiter = Waiter::Joint(ticket);
        self.joints.steps += 1;
        if let Some(reply) = self.refusal() {
            return self.tell(turn, waiter, reply);
        }
        let slot = slot(&key);
        let command = Command::Key(KeyCommand { key, op: Op::Joint(Box::new(step)) });
        self.route(turn, waiter, slot, command, deadline);
    }

    // ---- time ----

    /// Goes on with what was answered, and with what is due.
    pub(crate) fn joint_timers(&mut self, turn: &mut Turn<'_, D>) {
        while let Some((ticket, reply)) = self.joints.answered.pop_front() {
            self.on_step_answered(turn, ticket, reply);
        }
        while let Some((at, party)) = self.joints.due.first().copied() {
            if at > turn.clock.now {
                return;
            }
            self.joints.due.pop_first();
            match self.joints.parties.get(&party) {
                Some(Party::Runner(_)) => self.resume_runner(turn, party),
                Some(Party::Finder(_)) => self.look_for(turn, party),
                None => {}
            }
        }
    }

    fn on_step_answered(&mut self, turn: &mut Turn<'_, D>, ticket: StepTicket, reply: Reply) {
        match self.joints.parties.get_mut(&ticket.party) {
            Some(Party::Runner(running)) => {
                let todos = running.runner.on_reply(ticket.place as usize, reply);
                let before = std::mem::replace(&mut running.found_bytes, running.runner.bytes());
                self.joints.found_bytes = self.joints.found_bytes + running.found_bytes - before;
                self.do_all(turn, ticket.party, todos);
            }
            Some(Party::Finder(finding)) => {
                finding.is_asking = false;
                let next = finding.finder.on_reply(&reply);
                self.find_next(turn, ticket.party, next);
            }
            None => {}
        }
    }

    // ---- claims that are met ----

    /// Commands met a claim: they wait in front of the queue, until it is gone.
    pub(crate) fn meet_claim(
        &mut self,
        turn: &mut Turn<'_, D>,
        id: EntityId,
        claim: &Claim,
        waiting: Vec<Queued>,
    ) {
        self.metrics.claims_met += 1;
        let now = turn.clock.now;
        for mut queued in waiting.into_iter().rev() {
            if let (None, Waiter::Peer(member)) = (queued.held_since, queued.waiter) {
                let (sender, held) = (self.sender(), queued.id);
                turn.effects.message(member, |out| PeerMessage::ForwardHeld(held).encode(sender, out));
            }
            queued.held_since.get_or_insert(now);
            self.entity(id).queue.push_front(queued);
        }
        let entity = self.entity(id);
        if entity.queue.iter().all(passes) {
            return;
        }
        entity.is_claimed = true;
        let (key, reference) = (entity.key.clone(), entity.reference);
        let known = self.joints.finders.get(&*key).copied();
        if let Some(Party::Finder(finding)) = known.and_then(|party| self.joints.parties.get(&party)) {
            if finding.finder.claim() == claim && !finding.is_over {
                return;
            }
        }
        self.drop_finder(&key);
        let patience = CLAIM_PATIENCE_NS << self.peek(id).give_ups.min(CLAIM_GIVE_UPS_MAX);
        let finding = Finding {
            finder: Finder::new(&key, claim.clone()),
            reference,
            gives_up_at: now + patience,
            is_asking: false,
            is_over: false,
        };
        let party = self.joints.insert(Party::Finder(Box::new(finding)));
        self.joints.finders.insert(key.into_boxed_slice(), party);
        self.joints.due.insert((now + CLAIM_LOOK_NS, party));
    }

    /// A batch found no claim at a key where one was waited for.
    pub(crate) fn note_unclaimed(&mut self, id: EntityId) {
        let entity = self.entity(id);
        entity.is_claimed = false;
        let key = entity.key.clone();
        self.drop_finder(&key);
    }

    /// Nobody waits for the claim of a key any more.
    fn drop_finder(&mut self, key: &[u8]) {
        let Some(party) = self.joints.finders.remove(key) else { return };
        if let Some(Party::Finder(finding)) = self.joints.parties.get_mut(&party) {
            finding.is_over = true;
            if !finding.is_asking {
                self.joints.parties.remove(&party);
            }
        }
    }

    /// Looks again what became of a claim.
    fn look_for(&mut self, turn: &mut Turn<'_, D>, party: u64) {
        let now = turn.clock.now;
        let Some(Party::Finder(finding)) = self.joints.parties.get(&party) else { return };
        let (reference, key) = (finding.reference, finding.finder.key().to_vec());
        let (asking, gives_up_at, runner) =
            (finding.is_asking, finding.gives_up_at, finding.finder.claim().id);
        let entity = self.find(reference, &key);
        if let Some(id) = entity {
            self.touch(id);
            self.drop_expired(turn, id);
            self.give_back(turn, id);
        }
        if entity.is_none_or(|id| self.peek(id).queue.iter().all(passes)) {
            entity.into_iter().for_each(|id| self.entity(id).is_claimed = false);
            return self.drop_finder(&key);
        }
        self.joints.due.insert((now + CLAIM_LOOK_NS, party));
        if asking {
            return;
        }
        let gives_up = now >= gives_up_at || self.is_gone(runner);
        if let Some(id) = entity.filter(|_| gives_up) {
            self.entity(id).give_ups += 1;
            self.metrics.claims_given_up += 1;
        }
        if let Some(Party::Finder(finding)) = self.joints.parties.get_mut(&party) {
            let next = finding.finder.look(gives_up);
            self.find_next(turn, party, next);
        }
    }

    /// Other hosts' commands that have waited for long wait where they came from: their hosts would take them back anyway.
    fn give_back(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let now = turn.clock.now;
        let is_others =
            |queued: &Queued| matches!(queued.waiter, Waiter::Peer(_)) && !queued.sent && !passes(queued);
        let is_late = |queued: &Queued| {
            is_others(queued) && queued.held_since.is_some_and(|since| now >= since + CLAIM_HELD_NS)
        };
        if !self.peek(id).queue.iter().any(is_late) {
            return;
        }
        // All of them, so that none overtakes another.
        let queue = std::mem::take(&mut self.entity(id).queue);
        let (late, kept): (VecDeque<_>, VecDeque<_>) = queue.into_iter().partition(is_others);
        self.entity(id).queue = kept;
        for queued in late {
            self.release(&queued);
            if let Waiter::Peer(member) = queued.waiter {
                self.send_not_forwarded(turn, member, queued.id, true);
            }
        }
    }

    /// Whether nobody runs a joint command any more, as far as it can be told here.
    fn is_gone(&self, id: JointId) -> bool {
        if id.node == self.node {
            return id.incarnation != self.own_start() || !self.joints.is_running(id);
        }
        let slice = self.config.slice;
        let host = self.config.hosts.iter().position(|host| node_of(*host, slice) == id.node);
        host.is_some_and(|member| !self.links_up[member])
    }

    fn find_next(&mut self, turn: &mut Turn<'_, D>, party: u64, next: Next) {
        let Some(Party::Finder(finding)) = self.joints.parties.get_mut(&party) else { return };
        let (key, anchor) = (finding.finder.key().into(), finding.finder.claim().anchor.clone());
        let is_over = finding.is_over;
        let deadline = turn.clock.now + JOINT_STEP_NS;
        let ticket = StepTicket { party, place: 0 };
        match next {
            Next::Wait if is_over => drop(self.joints.parties.remove(&party)),
            Next::Wait => {}
            Next::Ask(at, step) => {
                finding.is_asking = true;
                let key = if at == At::Key { key } else { anchor };
                self.take_step(turn, ticket, key, step, deadline);
            }
            Next::Over(step) => {
                let reference = finding.reference;
                self.joints.parties.remove(&party);
                if let Some((at, step)) = step {
                    // Of no interest to anybody: what it leaves behind is found by the sweep.
                    let key = if at == At::Key { key.clone() } else { anchor };
                    self.take_step(turn, ticket, key, step, deadline);
                }
                if self.joints.finders.get(&key) != Some(&party) {
                    // Another claim is waited for by now.
                    return;
                }
                self.joints.finders.remove(&key);
                if let Some(id) = self.find(reference, &key) {
                    self.entity(id).is_claimed = false;
                    self.touch(id);
                    if self.peek(id).stage == Stage::Idle {
                        self.start_batch(turn, id);
                    }
                }
            }
        }
    }

    /// The core failed: whoever waits is told.
    pub(crate) fn fail_joints(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        for party in std::mem::take(&mut self.joints).parties.into_values() {
            let Party::Runner(running) = party else { continue };
            let Running { runner, joint, request, bytes, .. } = *running;
            self.command_bytes -= bytes;
            if !runner.is_answered() {
                let uncertain = runner.may_have_happened() && !joint.is_read();
                turn.effects.replies.push((request, error::failed(fault, uncertain)));
            }
        }
    }
}

/// Whether a command may end a claim, so that what waits for it may go on behind it.
pub(crate) fn may_end_claim(queued: &Queued) -> bool {
    match &*queued.command {
        Command::Key(KeyCommand { op: Op::Joint(step), .. }) => step.may_end_claim(),
        _ => false,
    }
}

/// Whether a command is a claim of a key that is not the anchor: it comes behind whatever waits for the key, and does not wait itself.
pub(crate) fn claims_another(queued: &Queued) -> bool {
    match &*queued.command {
        Command::Key(KeyCommand { key, op: Op::Joint(step) }) => {
            matches!(&**step, JointOp::Claim { anchor, .. } if *anchor != *key)
        }
        _ => false,
    }
}

/// Whether a command begins a claim, so that there must be room to end it.
pub(crate) fn claims(queued: &Queued) -> bool {
    matches!(&*queued.command, Command::Key(KeyCommand { op: Op::Joint(step), .. }) if matches!(**step, JointOp::Claim { .. }))
}

/// Whether a command goes ahead of what waits for a claim.
pub(crate) fn passes(queued: &Queued) -> bool {
    match &*queued.command {
        Command::Key(KeyCommand { key, op: Op::Joint(step) }) => !step.waits(key),
        _ => false,
    }
}

/// Whether a command of a batch has to wait, because its key is claimed.
pub(crate) fn waits_for_claim(queued: &Queued, state: &State, applied: &Applied) -> bool {
    if state.claim().is_none() {
        return false;
    }
    // What was applied before is answered, claimed or not.
    let may_be_known = queued.sent || queued.id.travels();
    let is_known = may_be_known && applied.find(queued.id) != Known::New;
    !is_known && !passes(queued) && !planted(502)
}
