//! Waiting for a key to hold something: what a blocking pop does until there is something to take (docs/design/blocking-pops.md).
//!
//! A wait changes nothing and promises nothing. It brings the word that it is worth to try: the try is a command like any other, and it may
//! find that somebody else was faster. So waits are in memory only, words about them may be lost, and nothing that is chosen rests on them.
//!
//! All who wait for a key are kept by one core, in one queue: the core that is preferred for its slot, which sees what is written there. Each
//! core says to that one what its clients wait for, and moves its waits when another one is preferred, or that one is gone.
//!
//! Parts: `queue` (what this core keeps for all; pure), and here what it waits for itself, at whichever core.

mod queue;

use std::collections::{BTreeMap, BTreeSet};

use bitcask::{Fingerprint, KeyRef};
use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use self::queue::Queues;
use crate::core::{EntityId, Shard, Status};
use crate::error;
use crate::held::Held;
use crate::limits::{WAITS_MAX, WAIT_SAY_NS, WAIT_SAY_NS_MAX};
use crate::record::Record;
use crate::reply::Reply;
use crate::turn::{Turn, WaitId};
use crate::wire::{PeerMessage, Wait, Waiting};

/// What a core's clients wait for, and what it keeps for all.
#[derive(Debug)]
pub(crate) struct Waits {
    own: BTreeMap<WaitId, Own>,
    /// When each of those is said again: only of those that another core keeps.
    says: BTreeSet<(Nanos, WaitId)>,
    /// Waits begun.
    begun: u64,
    /// Other cores may be the ones to keep them now.
    moved: bool,
    queues: Queues,
}

/// A wait of this core's clients.
#[derive(Debug)]
struct Own {
    key: KeyRef,
    /// Who keeps it.
    keeper: Member,
    /// When it is said to that one again, and how long until the time after that.
    say_at: Nanos,
    pause: Nanos,
}

impl Waits {
    /// Nobody waits.
    pub fn new(me: Member) -> Waits {
        let (own, says) = (BTreeMap::new(), BTreeSet::new());
        Waits { own, says, begun: 0, moved: false, queues: Queues::new(me) }
    }

    /// Other routes, or another host that cannot be talked to: looked at by the end of the turn.
    pub fn note_moved(&mut self) {
        self.moved = true;
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Nanos> {
        let say = self.says.first().map(|(at, _)| *at);
        say.into_iter().chain(self.queues.deadline()).min()
    }
}

impl<D: Disk> Shard<D> {
    /// A client waits until the key may hold something to take: [`crate::Effects::woken`] says when that is. At first at once, if nobody
    /// waits already.
    pub fn wait(&mut self, turn: &mut Turn<'_, D>, key: &[u8]) -> Result<WaitId, Reply> {
        if let Some(reply) = self.refusal() {
            return Err(reply);
        }
        if self.waits.own.len() >= WAITS_MAX {
            self.metrics.refused += 1;
            return Err(error::BUSY);
        }
        let slot = crate::slot::slot(key);
        let key = self.store.key_ref(slot, key);
        self.waits.begun += 1;
        let id = WaitId(u64::from(self.incarnation) << 32 | self.waits.begun & u64::from(u32::MAX));
        let keeper = self.keeper(slot);
        self.waits.own.insert(id, Own { key, keeper, say_at: 0, pause: WAIT_SAY_NS });
        self.say_wait(turn, id);
        self.wake(turn);
        Ok(id)
    }

    /// A client tried, and there was nothing: it waits on, in its place.
    pub fn missed(&mut self, turn: &mut Turn<'_, D>, id: WaitId) {
        let Some(own) = self.waits.own.get(&id) else { return };
        let (key, keeper) = (own.key.1, own.keeper);
        if keeper == self.config.me {
            self.waits.queues.missed(key, (keeper, id.0), turn.clock.now);
        } else {
            self.send_wait(turn, keeper, Wait { id: id.0, key, what: Waiting::Missed });
        }
        self.wake(turn);
    }

    /// A client waits no more. `took`: it found something.
    pub fn end_wait(&mut self, turn: &mut Turn<'_, D>, id: WaitId, took: bool) {
        let Some(own) = self.waits.own.remove(&id) else { return };
        self.waits.says.remove(&(own.say_at, id));
        self.leave(turn, own.keeper, own.key.1, id, took);
        self.wake(turn);
    }

    /// Waits of this core's clients, and those that it keeps for all.
    pub fn waits(&self) -> (usize, usize) {
        (self.waits.own.len(), self.waits.queues.waiters())
    }

    /// Who keeps those who wait for a key of a slot.
    fn keeper(&self, slot: u16) -> Member {
        let preferred = self.preferred(slot);
        match self.is_reachable(preferred) {
            true => preferred,
            // A learner sees nothing of what is written.
            false if self.config.learner => {
                let voters = (0..self.members.count()).find(|member| self.is_reachable(*member));
                voters.unwrap_or(self.config.me)
            }
            false => self.config.me,
        }
    }

    fn leave(&mut self, turn: &mut Turn<'_, D>, keeper: Member, key: Fingerprint, id: WaitId, took: bool) {
        if keeper == self.config.me {
            return self.waits.queues.end((keeper, id.0), took, turn.clock.now);
        }
        let what = if took { Waiting::Took } else { Waiting::GaveUp };
        self.send_wait(turn, keeper, Wait { id: id.0, key, what });
    }

    /// Says to its keeper that somebody waits. What is said may be lost, so it is said again, less and less often.
    fn say_wait(&mut self, turn: &mut Turn<'_, D>, id: WaitId) {
        let (me, now) = (self.config.me, turn.clock.now);
        let Some(own) = self.waits.own.get_mut(&id) else { return };
        let (key, keeper) = (own.key.1, own.keeper);
        self.waits.says.remove(&(own.say_at, id));
        if keeper == me {
            return self.waits.queues.register(key, (me, id.0), now);
        }
        own.say_at = now + own.pause;
        own.pause = (own.pause * 4).min(WAIT_SAY_NS_MAX);
        self.waits.says.insert((own.say_at, id));
        self.send_wait(turn, keeper, Wait { id: id.0, key, what: Waiting::Registers });
    }

    fn send_wait(&mut self, turn: &mut Turn<'_, D>, to: Member, wait: Wait) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::Wait(wait).encode(sender, out));
    }

    /// A member says something of a wait: one of its clients', or one of this core's.
    pub(crate) fn on_wait(&mut self, turn: &mut Turn<'_, D>, from: Member, wait: Wait) {
        let (who, key, now) = ((from, wait.id), wait.key, turn.clock.now);
        let queues = &mut self.waits.queues;
        match wait.what {
            Waiting::Registers => queues.register(key, who, now),
            Waiting::Missed => queues.missed(key, who, now),
            Waiting::Took => queues.end(who, true, now),
            Waiting::GaveUp => queues.end(who, false, now),
            Waiting::Wakes if self.waits.own.contains_key(&WaitId(wait.id)) => {
                turn.effects.woken.push(WaitId(wait.id));
            }
            Waiting::Wakes => self.leave(turn, from, key, WaitId(wait.id), false),
        }
        self.wake(turn);
    }

    /// How many entries there are to take of an encoded record; none of one of an older flush epoch.
    pub(crate) fn entries_in(&self, entry: &[u8]) -> u32 {
        match self.is_flushed(entry) {
            true => 0,
            false => Record::entries(entry).unwrap_or(1),
        }
    }

    /// As [`Shard::entries_in`], where it may be decoded.
    fn entries_held(&self, entry: &Held) -> u32 {
        match self.is_held_flushed(entry) {
            true => 0,
            false => entry.entries(),
        }
    }

    /// A record of a key is durable here, with so many entries to take, or one where that is not known.
    pub(crate) fn stir(&mut self, turn: &mut Turn<'_, D>, key: Fingerprint, entries: u32) {
        if !self.waits.queues.has(key) || planted(196) {
            return;
        }
        self.waits.queues.stir(key, entries, turn.clock.now);
        self.wake(turn);
    }

    /// As [`Shard::stir`], for the record that an entity has now.
    pub(crate) fn stir_by(&mut self, turn: &mut Turn<'_, D>, id: EntityId) {
        let key = self.peek(id).reference.1;
        if self.waits.queues.has(key) {
            let entry = self.peek(id).warm();
            let entries = entry.map_or(1, |(_, held)| self.entries_held(&held));
            self.stir(turn, key, entries);
        }
    }

    /// Tells who is to try.
    fn wake(&mut self, turn: &mut Turn<'_, D>) {
        for ((member, id), key) in std::mem::take(&mut self.waits.queues.woken) {
            if member == self.config.me {
                turn.effects.woken.push(WaitId(id));
            } else {
                self.send_wait(turn, member, Wait { id, key, what: Waiting::Wakes });
            }
        }
    }

    /// A member is gone, or began anew: who waited there says so again, and what waits here is taken elsewhere.
    pub(crate) fn drop_waiters_of(&mut self, turn: &mut Turn<'_, D>, member: Member) {
        self.waits.note_moved();
        self.waits.queues.drop_member(member, turn.clock.now);
        self.wake(turn);
        let there: Vec<WaitId> =
            self.waits.own.iter().filter(|(_, own)| own.keeper == member).map(|(id, _)| *id).collect();
        for id in there {
            self.move_wait(turn, id);
        }
    }

    fn move_wait(&mut self, turn: &mut Turn<'_, D>, id: WaitId) {
        let Some(slot) = self.waits.own.get(&id).map(|own| own.key.0) else { return };
        let keeper = self.keeper(slot);
        if let Some(own) = self.waits.own.get_mut(&id) {
            own.keeper = keeper;
            own.pause = WAIT_SAY_NS;
        }
        self.say_wait(turn, id);
    }

    /// What is due by the clock.
    pub(crate) fn wait_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        if self.status != Status::Ready {
            return;
        }
        if std::mem::take(&mut self.waits.moved) {
            self.move_waits(turn);
        }
        while let Some((_, id)) = self.waits.says.first().copied().filter(|(at, _)| *at <= now) {
            self.say_wait(turn, id);
        }
        self.waits.queues.look(now);
        self.wake(turn);
    }

    /// Takes what waits to the cores that are preferred now.
    fn move_waits(&mut self, turn: &mut Turn<'_, D>) {
        let elsewhere = |own: &Own| self.keeper(own.key.0) != own.keeper;
        let moving: Vec<WaitId> =
            self.waits.own.iter().filter(|(_, own)| elsewhere(own)).map(|(id, _)| *id).collect();
        for id in moving {
            let Some((keeper, key)) = self.waits.own.get(&id).map(|own| (own.keeper, own.key.1)) else {
                continue;
            };
            self.leave(turn, keeper, key, id, false);
            self.move_wait(turn, id);
        }
    }

    /// This core begins another life: its peers have forgotten what waits here.
    pub(crate) fn begin_waits(&mut self) {
        let ids: Vec<WaitId> = self.waits.own.keys().copied().collect();
        for id in ids {
            if let Some(own) = self.waits.own.get_mut(&id).filter(|own| own.keeper != self.config.me) {
                self.waits.says.remove(&(own.say_at, id));
                (own.say_at, own.pause) = (0, WAIT_SAY_NS);
                self.waits.says.insert((0, id));
            }
        }
    }

    /// The core failed: who waits tries, and is told.
    pub(crate) fn fail_waits(&mut self, turn: &mut Turn<'_, D>) {
        self.waits.queues.clear();
        self.waits.says.clear();
        turn.effects.woken.extend(std::mem::take(&mut self.waits.own).into_keys());
    }
}
