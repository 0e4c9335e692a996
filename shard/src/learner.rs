//! A host that has lost what it had promised: it votes for nothing, proposes nothing, and hands its clients' commands over.
//!
//! A replica that forgot its promises could help a majority to forget what another one chose: its votes are worth nothing until
//! it has come back under a new epoch (`repair::rejoin`). Until then it is safe by silence: it answers no question that
//! counts toward a majority. Nobody counts on it, so the others go on with a majority of *all* members, without it.
//!
//! What it takes from clients it hands over, to one voter, once, and never takes back. The voter treats it like a command
//! of a client of its own, under an id of its own: the ids of a host that forgot how far it had counted could be those of
//! commands that were applied long ago. For the same reason a learner's own names for its commands start at random numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use paxos::Member;
use reactor::clock::Nanos;
use reactor::Disk;

use crate::command::Command;
use crate::core::{Shard, Status};
use crate::entity::Waiter;
use crate::error::{self, Fault};
use crate::forward::Travelling;
use crate::limits::HAND_OVER_MARGIN_NS;
use crate::record::CommandId;
use crate::reply::Reply;
use crate::turn::Turn;
use crate::wire::PeerMessage;

/// What this voter has taken in from learners, so that a repeated message is not taken in twice.
///
/// Links deliver nothing of a former start after something of a newer one, so the newest start of each learner is enough.
#[derive(Debug, Default)]
pub(crate) struct HandedIn {
    learners: BTreeMap<u32, Newest>,
}

/// The newest start of one learner.
#[derive(Debug)]
struct Newest {
    start: u32,
    settled_below: u64,
    /// Commands taken in from there on.
    taken_in: BTreeSet<u64>,
}

impl HandedIn {
    /// Takes a command in: false if it was taken in before, or is settled.
    pub fn take_in(&mut self, id: CommandId, settled_below: u64) -> bool {
        let new = || Newest { start: id.incarnation, settled_below: 0, taken_in: BTreeSet::new() };
        let newest = self.learners.entry(id.node).or_insert_with(new);
        if newest.start != id.incarnation {
            *newest = new();
        }
        newest.settled_below = newest.settled_below.max(settled_below);
        newest.taken_in = newest.taken_in.split_off(&newest.settled_below);
        id.seq >= newest.settled_below && newest.taken_in.insert(id.seq)
    }
}

impl<D: Disk> Shard<D> {
    /// The link to a member came up or went down.
    pub fn on_peer(&mut self, turn: &mut Turn<'_, D>, member: Member, up: bool) {
        self.links_up[usize::from(member)] = up;
        self.peers_up[usize::from(member)] = up && !self.learners[usize::from(member)];
        self.note_away(member, up);
        if !up {
            self.drop_held(member);
            self.catalogs.forget_telling(member);
            self.void_comparison();
            self.take_back_forwards(turn, Some(member));
            self.give_up_former(turn, |travelling, _| travelling.at == Some(member));
            self.drop_waiters_of(turn, member);
        } else if self.status == Status::Ready {
            self.waits.note_moved();
            self.say_hello(turn, member);
            self.look_soon(turn.clock.now);
        }
    }

    /// Tells whether a member is a learner: it counts toward no majority, and commands do not go there. To be told before
    /// its link is said to be up.
    pub fn set_learner(&mut self, member: Member, learner: bool) {
        self.learners[usize::from(member)] = learner;
        self.peers_up[usize::from(member)] = self.links_up[usize::from(member)] && !learner;
    }

    /// Whether a message is to be looked at: what asks for votes is not a learner's business, and what a learner says is no
    /// vote.
    pub(crate) fn heeds(&mut self, turn: &mut Turn<'_, D>, from: Member, message: &PeerMessage<'_>) -> bool {
        let theirs = self.learners[usize::from(from)];
        let heeded = match message {
            PeerMessage::Paxos { .. }
            | PeerMessage::SlotQuery(_)
            | PeerMessage::SlotAnswer(_)
            | PeerMessage::RangePrepare(_)
            | PeerMessage::RangePromise(_)
            | PeerMessage::RangeRefused(_)
            | PeerMessage::Name(_)
            | PeerMessage::Confirm(_)
            | PeerMessage::Confirmed(_)
            | PeerMessage::Flush(_) => !self.config.learner && !theirs,
            PeerMessage::RepairAsk(_) => !self.config.learner,
            PeerMessage::RepairAnswer(_) => !theirs,
            PeerMessage::Forward(forward) | PeerMessage::HandOver(forward) if self.config.learner => {
                self.send_not_forwarded(turn, from, forward.id, false);
                false
            }
            PeerMessage::Forward(_) => !theirs,
            _ => true,
        };
        self.metrics.messages_ignored += u64::from(!heeded);
        heeded
    }

    /// Lets a member know this start's incarnation, so that it may send commands here at once, and what this core is.
    pub(crate) fn say_hello(&mut self, turn: &mut Turn<'_, D>, to: Member) {
        let (sender, learner) = (self.sender(), self.config.learner);
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Hello { learner }.encode(sender, out));
    }

    /// Hands a command to a voter. The bounds of the core were checked.
    pub(crate) fn hand_over(
        &mut self,
        turn: &mut Turn<'_, D>,
        waiter: Waiter,
        slot: u16,
        command: Command,
        deadline: Nanos,
    ) {
        let Some(to) = self.voter_for(slot) else {
            self.metrics.no_quorum += 1;
            let reply = error::no_quorum(0, self.members.count(), command.is_read());
            return self.tell(turn, waiter, reply);
        };
        let bytes = command.bytes();
        self.commands += 1;
        self.command_bytes += bytes;
        self.metrics.forwarded += 1;
        let id = self.own_id(true);
        let (at, sent_at, command) = (Some(to), turn.clock.now, Rc::new(command));
        let travelling = Travelling { waiter, command, bytes, slot, deadline, at, sent_at, is_held: false };
        self.send_forward(turn, to, id, &travelling);
        self.forwards.due.insert((deadline, id.seq));
        self.forwards.travelling.insert(id.seq, travelling);
    }

    /// The preferred voter of a slot if it can be talked to, or else another one.
    fn voter_for(&self, slot: u16) -> Option<Member> {
        let preferred = self.preferred(slot);
        let others = (0..self.members.count()).filter(|member| *member != preferred);
        std::iter::once(preferred).chain(others).find(|member| self.is_reachable(*member))
    }

    /// Whether commands may be sent to another member.
    pub(crate) fn is_reachable(&self, member: Member) -> bool {
        let place = usize::from(member);
        member != self.config.me && self.peers_up[place] && self.peer_incarnations[place] != 0
    }

    /// How long a voter may take over a command, in milliseconds: its answer must be here before the client's time is over.
    pub(crate) fn time_to_tell(&self, remaining: Nanos) -> u32 {
        let margin = if self.config.learner { (remaining / 4).min(HAND_OVER_MARGIN_NS) } else { 0 };
        u32::try_from((remaining - margin) / crate::limits::MS).unwrap_or(u32::MAX)
    }

    /// The voter that has a command is gone, or began anew, or its client's time is over. A read may be asked of another voter; a write
    /// may be applied or not, and is not given to anybody else.
    pub(crate) fn give_up_on(&mut self, turn: &mut Turn<'_, D>, seq: u64) {
        let Some(mut travelling) = self.forwards.remove(seq) else { return };
        let read = travelling.command.is_read();
        let late = travelling.deadline <= turn.clock.now;
        let other = self.voter_for(travelling.slot).filter(|_| read && !late);
        if let Some(to) = other {
            travelling.at = Some(to);
            let id = CommandId { node: self.node, incarnation: self.own_start(), seq };
            self.send_forward(turn, to, id, &travelling);
            self.forwards.due.insert((travelling.deadline, seq));
            self.forwards.travelling.insert(seq, travelling);
            return;
        }
        self.metrics.expired_deadlines += u64::from(late);
        self.metrics.uncertain += u64::from(!read);
        self.answer_handed_over(turn, travelling, if read { error::READ_LOST } else { error::UNCERTAIN });
    }

    /// A voter says that it did nothing with a command, and will not.
    pub(crate) fn on_not_taken_up(&mut self, turn: &mut Turn<'_, D>, seq: u64) {
        if let Some(travelling) = self.forwards.remove(seq) {
            self.metrics.refused += 1;
            self.answer_handed_over(turn, travelling, error::NOT_TAKEN_UP);
        }
    }

    fn answer_handed_over(&mut self, turn: &mut Turn<'_, D>, travelling: Travelling, reply: Reply) {
        self.commands -= 1;
        self.command_bytes -= travelling.bytes;
        self.tell(turn, travelling.waiter, reply);
    }

    /// What this core handed over while it was a learner and nobody has answered, of that what `which` names: it is a voter now, and
    /// asks nobody else.
    pub(crate) fn give_up_former(
        &mut self,
        turn: &mut Turn<'_, D>,
        which: impl Fn(&Travelling, Nanos) -> bool,
    ) {
        let Some(former) = &self.former else { return };
        let now = turn.clock.now;
        let found = former.travelling.iter().filter(|(_, travelling)| which(travelling, now));
        let seqs: Vec<u64> = found.map(|(seq, _)| *seq).collect();
        for seq in seqs {
            self.answer_former(turn, seq, None);
        }
    }

    /// Answers a command that was handed over by this core when it was a learner. None: with what one knows without an answer.
    pub(crate) fn answer_former(&mut self, turn: &mut Turn<'_, D>, seq: u64, reply: Option<Reply>) {
        let Some(former) = &mut self.former else { return };
        let travelling = former.remove(seq);
        if former.travelling.is_empty() {
            self.former = None;
        }
        let Some(travelling) = travelling else { return };
        let read = travelling.command.is_read();
        let reply = reply.unwrap_or(if read { error::READ_LOST } else { error::UNCERTAIN });
        self.metrics.uncertain += u64::from(reply == error::UNCERTAIN);
        self.answer_handed_over(turn, travelling, reply);
    }

    /// The core failed.
    pub(crate) fn fail_former(&mut self, turn: &mut Turn<'_, D>, fault: &Fault) {
        for (_, travelling) in self.former.take().map(|former| former.travelling).into_iter().flatten() {
            let write = travelling.command.is_write();
            self.answer_handed_over(turn, travelling, error::failed(fault, write));
        }
    }

    /// Gives up on what was not answered in its clients' time.
    pub(crate) fn hand_over_timers(&mut self, turn: &mut Turn<'_, D>) {
        while self.status == Status::Ready {
            let first = self.forwards.due.first().filter(|(at, _)| *at <= turn.clock.now).copied();
            let Some((_, seq)) = first else { return };
            self.give_up_on(turn, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_command_is_taken_in_once_and_a_new_start_begins_anew() {
        let mut handed = HandedIn::default();
        let id = |start, seq| CommandId { node: 7, incarnation: start, seq };
        assert!(handed.take_in(id(1, 11), 11));
        assert!(handed.take_in(id(1, 15), 11), "another one may arrive before it");
        assert!(handed.take_in(id(1, 13), 11));
        assert!(!handed.take_in(id(1, 11), 11) && !handed.take_in(id(1, 15), 11), "repeated");
        assert!(handed.take_in(id(1, 17), 15));
        assert!(!handed.take_in(id(1, 13), 13), "settled");
        assert_eq!(handed.learners[&7].taken_in.len(), 2);
        assert!(handed.take_in(id(2, 3), 3), "a new start");
    }
}
