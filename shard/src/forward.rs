//! Forwarding to the preferred core (consensus.md section 3): commands in from clients, out to where they are proposed best, and
//! back here if that does not answer.
//!
//! A forwarded command may be applied by two hosts independently, and an old copy of it may turn up at any time. So its
//! id travels with it and into the entry; an entry keeps the ids that somebody may still ask for, and for each origin a watermark
//! below which everything is settled. No clock is involved: a command is settled when its client has its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::rng::Rng;
use reactor::Disk;

use crate::command::{Command, Keyspace};
use crate::config::node_of;
use crate::core::{Shard, Status};
use crate::entity::{Queued, Waiter};
use crate::error::{self, Fault};
use crate::learner::HandedIn;
use crate::limits::FORWARD_NS;
use crate::patience::Patience;
use crate::record::CommandId;
use crate::reply::Reply;
use crate::turn::{Request, Turn};
use crate::wire::{Forward, PeerMessage, Watermark};

/// A travelling command of this core that is not settled.
#[derive(Debug)]
pub(crate) struct Travelling {
    /// A client of this host, or a joint command of this core.
    pub waiter: Waiter,
    pub command: Rc<Command>,
    pub bytes: usize,
    pub slot: u16,
    pub deadline: Nanos,
    /// The member that has it, until it answers or this core takes the command back.
    pub at: Option<Member>,
    pub sent_at: Nanos,
    /// It waits there because its key is claimed.
    pub is_held: bool,
}

/// The travelling commands of this core, and the watermarks of the others.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    /// By sequence number, so that the first one is the watermark.
    pub travelling: BTreeMap<u64, Travelling>,
    watermarks: Vec<Watermark>,
    /// Commands taken in above the watermarks, so that a repeated Forward is not taken in twice: (node, seq).
    taken_in: BTreeSet<(u32, u64)>,
    last_seq: u64,
    /// The peers that were slow to answer.
    patience: Patience,
    /// What learners have handed over to this core.
    handed_in: HandedIn,
    /// On a learner: what stands for the incarnation in its ids.
    start: Option<u32>,
    /// On a learner: its travelling commands in the order of their deadlines.
    pub due: BTreeSet<(Nanos, u64)>,
}

impl Forwards {
    /// Those of a learner. It may have used any number before it lost its log, so its ids start at random ones: an answer to
    /// a command of a former life is then not taken for the answer to a new one.
    pub fn of_learner(rng: &mut Rng) -> Forwards {
        let last_seq = (rng.next_u64() >> 2) & !1;
        Forwards { start: Some(rng.next_u64() as u32), last_seq, ..Forwards::default() }
    }

    /// Takes a travelling command off the list.
    pub fn remove(&mut self, seq: u64) -> Option<Travelling> {
        let travelling = self.travelling.remove(&seq)?;
        self.due.remove(&(travelling.deadline, seq));
        Some(travelling)
    }

    /// The watermarks of the other cores of the slice, one each.
    pub fn watermarks(&self) -> &[Watermark] {
        &self.watermarks
    }

    /// When the first command that another core has is to be taken back, or expires.
    pub fn deadline(&self) -> Option<Nanos> {
        if self.start.is_some() {
            return self.due.first().map(|(at, _)| *at);
        }
        // Commands are sent in the order of their numbers, but for those already taken back.
        self.travelling.values().find(|t| t.at.is_some()).map(|t| t.deadline.min(t.sent_at + FORWARD_NS))
    }

    fn next_seq(&mut self, travels: bool) -> u64 {
        self.last_seq += 2;
        self.last_seq | u64::from(travels)
    }

    /// Takes a command in: false if it was taken in before, or is settled.
    fn take_in(&mut self, id: CommandId, settled_below: u64) -> bool {
        if self.is_stale(id) {
            return false;
        }
        self.learn(Watermark { node: id.node, incarnation: id.incarnation, settled_below });
        let settled =
            self.taken_in.range((id.node, 0)..(id.node, settled_below)).copied().collect::<Vec<_>>();
        settled.iter().for_each(|one| {
            self.taken_in.remove(one);
        });
        self.taken_in.insert((id.node, id.seq)) || planted(110)
    }

    /// Takes over what a core's commands are known to be settled up to. Of a new start of it nothing was taken in before.
    pub fn learn(&mut self, new: Watermark) {
        match self.watermarks.iter_mut().find(|watermark| watermark.node == new.node) {
            Some(watermark) if watermark.incarnation == new.incarnation => {
                watermark.settled_below = watermark.settled_below.max(new.settled_below);
            }
            Some(watermark) if watermark.incarnation > new.incarnation => {}
            Some(watermark) => {
                *watermark = new;
                self.taken_in.retain(|(node, _)| *node != new.node);
            }
            None => self.watermarks.push(new),
        }
    }

    fn is_stale(&self, id: CommandId) -> bool {
        self.watermarks.iter().any(|watermark| {
            watermark.node == id.node
                && (watermark.incarnation > id.incarnation
                    || watermark.incarnation == id.incarnation && id.seq < watermark.settled_below)
        })
    }
}

impl<D: Disk> Shard<D> {
    /// A command from a client of this host. Its reply comes as an effect, exactly once, at its deadline at the latest (or when
    /// the next timer runs after it).
    pub fn submit(&mut self, turn: &mut Turn<'_, D>, request: Request) {
        self.metrics.commands += 1;
        self.repair.note_command();
        if let Some(reply) = self.refusal() {
            return turn.effects.replies.push((request.id, reply));
        }
        let Some(request) = self.wait_for_catalog(turn, request) else { return };
        let command = match request.command {
            Command::Key(command) => Command::Key(command),
            Command::Keyspace(Keyspace::Spread(bytes)) => {
                return self.submit_spread(turn, request.id, &bytes, request.deadline);
            }
            Command::Keyspace(_) if self.config.learner => {
                self.metrics.refused += 1;
                return turn.effects.replies.push((request.id, error::LEARNER_KEYSPACE));
            }
            Command::Keyspace(keyspace) => {
                self.metrics.surveys += 1;
                return self.survey(turn, request.id, keyspace, request.scope, request.deadline);
            }
            Command::Joint(joint) => return self.submit_joint(turn, request.id, joint, request.deadline),
            Command::Many(_) => {
                let reply = Reply::error("ERR a command of many keys is split before it reaches a core");
                return turn.effects.replies.push((request.id, reply));
            }
        };
        let bytes = command.bytes();
        if !self.has_room_for(bytes) {
            self.metrics.refused += 1;
            return turn.effects.replies.push((request.id, error::BUSY));
        }
        let slot = crate::slot::slot(command.key().expect("a command of one key has one"));
        self.route(turn, Waiter::Client(request.id), slot, command, request.deadline);
    }

    /// Whether the bounds of the core leave room for one more command of a client.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.commands - self.joints.steps() < self.config.commands_max
            && self.command_bytes + bytes <= self.config.command_bytes_max
    }

    /// Sends a command of one key to where it is proposed best. The bounds of the core were checked, where it has any.
    pub(crate) fn route(
        &mut self,
        turn: &mut Turn<'_, D>,
        waiter: Waiter,
        slot: u16,
        command: Command,
        deadline: Nanos,
    ) {
        if self.config.learner {
            return self.hand_over(turn, waiter, slot, command, deadline);
        }
        let preferred = self.preferred(slot);
        let bytes = command.bytes();
        self.commands += 1;
        self.command_bytes += bytes;
        let command = Rc::new(command);
        let now = turn.clock.now;
        // A client's goes behind what was given back, and waits here for a claim.
        let is_clients = matches!(waiter, Waiter::Client(_));
        let is_awaited = is_clients && command.key().is_some_and(|key| self.joints.awaits(key));
        if is_awaited || !self.is_reachable(preferred) || !self.forwards.patience.admits(preferred, now) {
            let id = self.own_id(false);
            let queued = Queued { since: now, ..Queued::new(waiter, id, command, bytes, deadline) };
            return self.enqueue(turn, slot, queued);
        }
        let id = self.own_id(true);
        let at = Some(preferred);
        let travelling =
            Travelling { waiter, command, bytes, slot, deadline, at, sent_at: now, is_held: false };
        self.send_forward(turn, preferred, id, &travelling);
        self.forwards.patience.on_sent(preferred, id.seq);
        self.forwards.travelling.insert(id.seq, travelling);
        self.metrics.forwarded += 1;
    }

    /// The member preferred for a slot.
    pub(crate) fn preferred(&self, slot: u16) -> Member {
        let ranges = self.routes.len();
        self.routes[usize::from(slot) * ranges / usize::from(crate::limits::SLOTS)]
    }

    pub(crate) fn own_id(&mut self, travels: bool) -> CommandId {
        let seq = self.forwards.next_seq(travels);
        CommandId { node: self.node, incarnation: self.own_start(), seq }
    }

    /// What stands in the ids of this core's commands for this start of it.
    pub(crate) fn own_start(&self) -> u32 {
        self.forwards.start.unwrap_or(self.incarnation)
    }

    /// Every travelling command of this core below this is settled.
    pub(crate) fn own_settled_below(&self) -> u64 {
        let first = self.forwards.travelling.keys().next();
        // Behind the last number, whether that one travelled or not.
        first.copied().unwrap_or(self.forwards.last_seq + 2)
    }

    /// A command of this core has been answered.
    pub(crate) fn settle(&mut self, id: CommandId) {
        self.forwards.travelling.remove(&id.seq);
    }

    pub(crate) fn send_forward(
        &mut self,
        turn: &mut Turn<'_, D>,
        to: Member,
        id: CommandId,
        travelling: &Travelling,
    ) {
        let mut command = Vec::with_capacity(travelling.bytes);
        travelling.command.encode(&mut command);
        let settled_below = self.own_settled_below().min(id.seq);
        let to_incarnation = self.peer_incarnations[usize::from(to)];
        let remaining_ms = self.time_to_tell(travelling.deadline.saturating_sub(turn.clock.now));
        let (sender, learner) = (self.sender(), self.config.learner);
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| {
            let forward = Forward { id, to_incarnation, settled_below, remaining_ms, command: &command };
            let wrap = if learner { PeerMessage::HandOver } else { PeerMessage::Forward };
            wrap(forward).encode(sender, out);
        });
    }

    /// Tells that a command is not taken up, and whether no earlier start can have done so (see [`PeerMessage::NotForwarded`]).
    pub(crate) fn send_not_forwarded(
        &mut self,
        turn: &mut Turn<'_, D>,
        to: Member,
        id: CommandId,
        never: bool,
    ) {
        let sender = self.sender();
        turn.effects.message(to, |out| PeerMessage::NotForwarded { id, never }.encode(sender, out));
    }

    /// A command from a core that is not preferred for its slot, or one that a learner has handed over for good.
    pub(crate) fn on_forward(
        &mut self,
        turn: &mut Turn<'_, D>,
        from: Member,
        forward: &Forward<'_>,
        handed_over: bool,
    ) {
        let id = forward.id;
        let coordinator = node_of(self.config.hosts[usize::from(from)], self.config.slice);
        let command = Command::decode(forward.command);
        let Ok(Command::Key(command)) = command else {
            self.metrics.messages_refused += 1;
            return;
        };
        if id.node != coordinator || !id.travels() {
            self.metrics.messages_refused += 1;
            return;
        }
        if forward.to_incarnation != self.incarnation {
            return self.send_not_forwarded(turn, from, id, false);
        }
        let new = if handed_over {
            self.forwards.handed_in.take_in(id, forward.settled_below)
        } else {
            self.forwards.take_in(id, forward.settled_below)
        };
        if !new {
            return;
        }
        let command = Command::Key(command);
        let bytes = command.bytes();
        if self.commands >= self.config.commands_max
            || self.command_bytes + bytes > self.config.command_bytes_max
        {
            return self.send_not_forwarded(turn, from, id, true);
        }
        self.metrics.forwarded_in += 1;
        self.repair.note_command();
        self.commands += 1;
        self.command_bytes += bytes;
        let slot = crate::slot::slot(command.key().expect("a command of one key has one"));
        let deadline = turn.clock.now + u64::from(forward.remaining_ms) * crate::limits::MS;
        let (waiter, id) = match handed_over {
            true => (Waiter::Learner(from, id), self.own_id(false)),
            false => (Waiter::Peer(from), id),
        };
        self.enqueue(turn, slot, Queued::new(waiter, id, Rc::new(command), bytes, deadline));
    }

    /// The preferred core answered.
    pub(crate) fn on_forwarded(&mut self, turn: &mut Turn<'_, D>, id: CommandId, reply: &[u8]) {
        let Ok(reply) = Reply::decode(reply) else {
            self.metrics.messages_refused += 1;
            return;
        };
        let taken_back = |t: &Travelling| t.at.is_none() && !planted(124);
        if self.is_former(id) {
            return self.answer_former(turn, id.seq, Some(reply));
        }
        if !self.is_own(id) || self.forwards.travelling.get(&id.seq).is_none_or(taken_back) {
            // Taken back meanwhile: the attempt here finds the id in the entry and answers the same.
            return;
        }
        self.note_answer(turn, id.seq);
        let full = reply == error::DISK_FULL || reply == error::RESERVE_USED;
        if full && !self.store.is_full() && !self.config.learner {
            // Nothing was proposed there. Here there is room: a full disk is no matter of who comes in by another host.
            return self.take_back(turn, id.seq);
        }
        if let Some(travelling) = self.forwards.remove(id.seq) {
            self.commands -= 1;
            self.command_bytes -= travelling.bytes;
            self.tell(turn, travelling.waiter, reply);
        }
    }

    /// Gives a reply to whoever waits for it on this host.
    pub(crate) fn tell(&mut self, turn: &mut Turn<'_, D>, waiter: Waiter, reply: Reply) {
        match waiter {
            Waiter::Client(request) => turn.effects.replies.push((request, reply)),
            Waiter::Joint(ticket) => self.joints.on_answer(ticket, reply),
            Waiter::Expiring(swept) => self.expiring.on_answer(turn.clock.now, swept, &reply),
            Waiter::Peer(_) | Waiter::Learner(..) => panic!("who waits at another host is not told here"),
        }
    }

    /// A command that came in here was answered: how long that took tells what others may take.
    pub(crate) fn note_own_answer(&mut self, turn: &Turn<'_, D>, queued: &Queued) {
        if matches!(queued.waiter, Waiter::Client(_)) && queued.since > 0 && queued.held_since.is_none() {
            let now = turn.clock.now;
            self.forwards.patience.on_own(now, now.saturating_sub(queued.since));
        }
    }

    /// The preferred core does not take the command up.
    pub(crate) fn on_not_forwarded(&mut self, turn: &mut Turn<'_, D>, id: CommandId, never: bool) {
        if self.is_former(id) {
            return self.answer_former(turn, id.seq, never.then_some(error::NOT_TAKEN_UP));
        }
        // A read is not given to somebody else: the same one might be asked again, and refuse it again at once.
        let read = self.forwards.travelling.get(&id.seq).is_some_and(|t| t.command.is_read());
        match self.is_own(id) {
            true if self.config.learner && (never || read) => self.on_not_taken_up(turn, id.seq),
            true if self.config.learner => self.give_up_on(turn, id.seq),
            true => {
                self.note_answer(turn, id.seq);
                self.take_back(turn, id.seq);
            }
            false => {}
        }
    }

    /// The member that has a command lets it wait for a claim.
    pub(crate) fn on_forward_held(&mut self, id: CommandId) {
        if self.is_own(id) {
            if let Some(travelling) = self.forwards.travelling.get_mut(&id.seq) {
                travelling.is_held = true;
            }
        }
    }

    /// The member that has a command said something about it.
    fn note_answer(&mut self, turn: &Turn<'_, D>, seq: u64) {
        let Some(travelling) = self.forwards.travelling.get(&seq) else { return };
        let Some(member) = travelling.at.filter(|_| !travelling.is_held) else { return };
        let took = turn.clock.now.saturating_sub(travelling.sent_at);
        self.forwards.patience.on_answer(member, seq, turn.clock.now, took);
    }

    /// Whether a command is one that this core handed over while it was a learner.
    fn is_former(&self, id: CommandId) -> bool {
        let former = self.former.as_ref().filter(|former| former.start == Some(id.incarnation));
        id.node == self.node && former.is_some_and(|former| former.travelling.contains_key(&id.seq))
    }

    fn is_own(&self, id: CommandId) -> bool {
        id.node == self.node && (id.incarnation == self.own_start() || planted(115))
    }

    /// Proposes a travelling command here after all. Whoever has it may apply it too: the id keeps it single.
    fn take_back(&mut self, turn: &mut Turn<'_, D>, seq: u64) {
        if self.config.learner {
            return self.give_up_on(turn, seq);
        }
        let id = CommandId { node: self.node, incarnation: self.incarnation, seq };
        let Some(travelling) = self.forwards.travelling.get_mut(&seq) else { return };
        if travelling.at.take().is_none() {
            return;
        }
        let waiter = travelling.waiter;
        let (command, bytes, deadline) = (travelling.command.clone(), travelling.bytes, travelling.deadline);
        let slot = travelling.slot;
        self.metrics.forward_fallbacks += 1;
        let id = if planted(105) { self.own_id(true) } else { id };
        let queued = Queued { sent: true, ..Queued::new(waiter, id, command, bytes, deadline) };
        if deadline <= turn.clock.now {
            return self.answer_expired(turn, queued, 0);
        }
        self.enqueue(turn, slot, queued);
    }

    /// Takes back what a member has (all members: None).
    pub(crate) fn take_back_forwards(&mut self, turn: &mut Turn<'_, D>, member: Option<Member>) {
        if let Some(member) = member {
            self.forwards.patience.forget(member);
        }
        let there = |t: &Travelling| t.at.is_some() && (member.is_none() || t.at == member);
        let seqs: Vec<u64> =
            self.forwards.travelling.iter().filter(|(_, t)| there(t)).map(|(seq, _)| *seq).collect();
        seqs.into_iter().for_each(|seq| self.take_back(turn, seq));
    }

    /// Takes back what was not answered in time.
    pub(crate) fn forward_timers(&mut self, turn: &mut Turn<'_, D>) {
        if self.config.learner {
            return self.hand_over_timers(turn);
        }
        if self.former.as_ref().and_then(Forwards::deadline).is_some_and(|at| at <= turn.clock.now) {
            self.give_up_former(turn, |travelling, now| travelling.deadline <= now);
        }
        let now = turn.clock.now;
        while self.status == Status::Ready && self.forwards.deadline().is_some_and(|at| at <= now) {
            let first = self.forwards.travelling.iter().find_map(|(seq, t)| Some((*seq, t.at?)));
            let Some((seq, member)) = first else { return };
            if self.forwards.travelling.get(&seq).is_some_and(|travelling| !travelling.is_held) {
                self.forwards.patience.on_timeout(member, seq, now);
            }
            self.take_back(turn, seq);
        }
    }

    /// The core failed: what is away elsewhere may be applied there.
    pub(crate) fn fail_forwards(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        self.forwards.due.clear();
        for (_, travelling) in std::mem::take(&mut self.forwards.travelling) {
            if travelling.at.is_some() {
                self.commands -= 1;
                self.command_bytes -= travelling.bytes;
                let write = travelling.command.is_write();
                self.tell(turn, travelling.waiter, error::failed(fault, write));
            }
        }
    }
}
