//! Being abreast: one question confirms all reads of a core (docs/design/batched-confirm.md, modelled in `paxos/tests/confirm.rs`).
//!
//! A core names the slots that it is preferred for to the other members, who count from then on the votes for them at ballots of anybody
//! but this start of it. What it compares with them anyway, to stay equal ([`crate::repair`]), says where it stands in these counts.
//! So it knows, slot by slot, of every vote that a member had counted by some place, and one short Confirm asks for the rest: then all
//! its clean records are the newest, whatever their keys.
//!
//! Parts: `counter` (what others have named; pure), `asker` (where this core stands with each member; pure), `confirm` (reads that wait
//! and Confirms that are out). All of it is volatile, and all that is lost costs agreed reads. Nothing rests on a clock, nor on being
//! preferred: whoever else writes these keys is counted.
//!
//! Invariants: a vote is counted in the step in which its record enters the directory, so that whatever is said of the directory has a place
//! among the counts. Nobody is asked before there is a read. A learner neither names, nor counts, nor confirms.

mod asker;
mod confirm;
mod counter;

use bitcask::{Fingerprint, KeyRef};
use paxos::{Ballot, Member};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use self::asker::Asker;
pub(crate) use self::asker::Noted;
use self::confirm::Confirms;
use self::counter::Counters;
use crate::config::node_of;
use crate::core::Shard;
use crate::limits::{HASTEN_NS, NAMED_RANGES_MAX, SLOTS};
use crate::turn::Turn;
use crate::wire::{Counted, Name, PeerMessage, Sender};

/// What a core keeps for reads that are confirmed: of its own, and for others.
#[derive(Debug)]
pub(crate) struct Abreast {
    counters: Counters,
    /// Where this core stands with each member.
    pub asker: Asker,
    confirms: Confirms,
    /// When a comparison may be hastened again.
    hasten_at: Nanos,
}

impl Abreast {
    /// Nothing known of anybody.
    pub fn new(members: usize, ring_max: usize) -> Abreast {
        Abreast {
            counters: Counters::new(members, ring_max),
            asker: Asker::new(members),
            confirms: Confirms::default(),
            hasten_at: 0,
        }
    }

    /// A start of the core, or a life of it, begins.
    pub fn begin(&mut self, incarnation: u32) {
        self.counters.clear();
        self.asker.begin(incarnation);
    }

    /// A member has started anew: what it had counted is lost.
    pub fn on_start_of(&mut self, member: Member) {
        if !planted(177) {
            self.asker.begin_anew(member);
        }
    }

    /// A record of a key is durable and in the directory: a vote, or a copy of what is chosen, which is none.
    pub fn on_durable(&mut self, reference: KeyRef, ballot: Ballot, copied: bool) {
        self.asker.on_reached(reference.1, ballot);
        if !copied {
            self.counters.count(reference, ballot);
        }
    }

    /// The removal of a tombstone that all have agreed to drop is durable.
    pub fn on_dropped(&mut self, reference: KeyRef, tombstone: Ballot) {
        self.asker.on_reached(reference.1, tombstone);
    }

    /// Where the counter of a member stands.
    pub fn counted(&self, member: Member) -> Counted {
        self.counters.counted(member)
    }

    /// A member said something of what it holds; whether that may make slots abreast.
    pub fn on_counted(&mut self, member: Member, incarnation: u32, counted: Counted) -> bool {
        self.asker.on_counted(member, incarnation, counted)
    }

    /// A member holds nothing of these slots that is not here or noted.
    pub fn note_level(&mut self, member: Member, first: u16, last: u16) {
        self.asker.note_level(member, first, last);
    }

    /// Notes what a member lists of a slot and is newer than what is here. False: the slot is none of those named, or there is no room.
    pub fn note_listed(&mut self, slot: u16, newer: impl Iterator<Item = (Fingerprint, Ballot)>) -> bool {
        self.asker.has_named(slot) && self.asker.note_listed(newer)
    }

    /// When it wants a turn.
    pub fn deadline(&self) -> Option<Nanos> {
        self.confirms.deadline()
    }
}

impl<D: Disk> Shard<D> {
    /// With how many slots this core is abreast of a member: of those it is preferred for, reads of so many may be confirmed by it.
    pub fn slots_abreast(&self, member: Member) -> u32 {
        self.abreast.asker.level(member)
    }

    /// The slots that this core is preferred for may be others now.
    pub(crate) fn take_named(&mut self) {
        let (first, last) = self.config.slots();
        let me = self.config.me;
        let mut named: Vec<(u16, u16)> = Vec::new();
        let routes = self.routes.len();
        let start = |route: usize| (route * usize::from(SLOTS)).div_ceil(routes) as u16;
        for (route, _) in self.routes.iter().enumerate().filter(|(_, member)| **member == me) {
            let run = (start(route).max(first), (start(route + 1) - 1).min(last));
            let full = named.len() >= NAMED_RANGES_MAX;
            match named.last_mut() {
                _ if run.0 > run.1 => {}
                Some(before) if full || before.1 + 1 == run.0 => before.1 = run.1,
                _ => named.push(run),
            }
        }
        if self.abreast.asker.set_named(named) {
            self.ranges.void();
        }
    }

    /// Names this core's slots to the voters that have not heard of them, with each comparison: what is lost is said again.
    pub(crate) fn name_slots(&mut self, turn: &mut Turn<'_, D>, voters: &[Member]) {
        self.abreast.asker.wants_look = false;
        if self.config.learner {
            return;
        }
        let sender = self.sender();
        for member in voters {
            let Some((subscription, named)) = self.abreast.asker.naming(*member) else { continue };
            let name = Name { subscription, named: named.to_vec() };
            self.metrics.messages_out += 1;
            turn.effects.message(*member, |out| PeerMessage::Name(name).encode(sender, out));
        }
        self.ask_grant(turn, true);
    }

    /// A member names its slots.
    pub(crate) fn on_name(&mut self, from: Member, theirs: Sender, name: Name) {
        if (name.subscription >> 32) as u32 != theirs.incarnation {
            self.metrics.messages_refused += 1;
            return;
        }
        let node = node_of(self.config.hosts[usize::from(from)], self.config.slice);
        self.abreast.counters.name(from, node, name.subscription, name.named);
    }

    /// Has a comparison begin soon where slots are to be compared anew.
    pub(crate) fn hasten_look(&mut self, now: Nanos) {
        if self.abreast.asker.wants_look && now >= self.abreast.hasten_at && !self.config.learner {
            self.abreast.hasten_at = now + HASTEN_NS;
            self.look_soon(now);
        }
    }
}
