//! Entries that are chosen and not here: peers are asked for them by name, and what they stand on comes with them.
//!
//! Whoever has an entry may tell it, chosen or not as far as it knows: the asker knows that the entry is chosen, and so is all that it stands on.

use bitcask::{Fingerprint, Kind};
use paxos::Member;
use reactor::clock::Nanos;
use reactor::Disk;

use super::give::RowsAsked;
use super::log::Logged;
use super::take::PageTold;
use super::{Entry, Place};
use crate::core::Shard;
use crate::limits::{
    ENTRIES_BYTES_MAX, ENTRIES_MAX, ENTRIES_RESENDS_MAX, ENTRIES_RESEND_NS, GROUP_SERVES_MAX,
};
use crate::object::Name;
use crate::turn::Turn;
use crate::wire::{GroupSaid, PeerMessage};

/// An entry that peers were asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub name: Name,
    /// When they are asked again.
    pub again_at: Nanos,
    resends: u32,
    /// Who has it no more, but rows that it is in.
    pub gone: Option<Member>,
}

/// A peer that waits for entries, while the first of them is read.
#[derive(Debug)]
pub(super) struct Serving {
    to: Member,
    place: Place,
    name: Name,
    have: Option<Name>,
}

impl<D: Disk> Shard<D> {
    /// Asks the others for an entry that is chosen. None: they were asked often enough.
    pub(super) fn ask_for_entry(
        &mut self,
        turn: &mut Turn<'_, D>,
        place: &Place,
        (name, have): (Name, Option<Name>),
        before: Option<Asked>,
    ) -> Option<Asked> {
        let now = turn.clock.now;
        let before = before.filter(|asked| asked.name == name);
        let resends = before.map_or(0, |asked| asked.resends + 1);
        if before.is_some_and(|asked| asked.again_at > now) {
            return before;
        }
        if resends > ENTRIES_RESENDS_MAX {
            return None;
        }
        let sender = self.sender();
        let me = self.config.me;
        for member in (0..self.members.count()).filter(|member| *member != me) {
            if self.peers_up[usize::from(member)] {
                self.metrics.messages_out += 1;
                let (epoch, table) = (place.epoch, place.table);
                let said = GroupSaid::Ask { key: &place.key, name, epoch, table, have };
                turn.effects.message(member, |out| PeerMessage::Group(said).encode(sender, out));
            }
        }
        self.metrics.entries_asked += 1;
        let gone = before.and_then(|asked| asked.gone);
        Some(Asked { name, again_at: now + ENTRIES_RESEND_NS, resends, gone })
    }

    /// A peer says something of entries.
    pub(crate) fn on_group_said(&mut self, turn: &mut Turn<'_, D>, from: Member, said: &GroupSaid<'_>) {
        let (first, last) = self.config.slots();
        let slot = said.slot();
        if !(first..=last).contains(&slot) {
            self.metrics.messages_refused += 1;
            return;
        }
        match said {
            GroupSaid::Ask { key, name, epoch, table, have } => {
                let reference = self.store.key_ref(slot, key);
                let place = Place { reference, key: (*key).into(), epoch: *epoch, table: *table };
                self.serve_entries(turn, Serving { to: from, place, name: *name, have: *have });
            }
            GroupSaid::Tell { key, name, entries } => self.on_entries(turn, (slot, key), *name, entries),
            GroupSaid::Gone { key, name, .. } => {
                let group = self.store.key_ref(slot, key).1;
                if let Some(asked) = self.asked_for(group, key, *name) {
                    asked.gone = Some(from);
                }
            }
            GroupSaid::AskRows { key, name, epoch, table, at, behind } => {
                let (name, epoch, table, at) = (*name, *epoch, *table, *at);
                self.give_rows(turn, from, slot, RowsAsked { key, name, epoch, table, at, behind });
            }
            GroupSaid::Rows { key, at, behind, more, rows } => {
                let told = PageTold { key, at: *at, behind, more: *more, rows };
                self.on_rows_told(turn, from, slot, told);
            }
        }
    }

    /// Tells a peer the entry that it asks for, and what that stands on, as far as it is at hand.
    fn serve_entries(&mut self, turn: &mut Turn<'_, D>, serving: Serving) {
        let Serving { to, place, name, have } = &serving;
        let key = &place.key;
        let mut entries: Vec<Vec<u8>> = Vec::new();
        let (mut bytes, mut next) = (0, Some(*name));
        while let Some(name) = next.filter(|next| have.is_none_or(|have| have < *next)) {
            if entries.len() == ENTRIES_MAX || bytes >= ENTRIES_BYTES_MAX {
                break;
            }
            match self.logged(turn, (place.reference, key), name) {
                Logged::Here(entry) => {
                    next = entry.group.base;
                    let encoded = entry.encode();
                    bytes += encoded.len();
                    entries.push(encoded);
                }
                Logged::Reading(ticket) if entries.is_empty() => {
                    if self.groups.serving.len() < GROUP_SERVES_MAX {
                        self.groups.serving.push((ticket, serving));
                    }
                    return;
                }
                Logged::Absent if entries.is_empty() => {
                    return self.look_for_gone(turn, *to, place, name);
                }
                Logged::Reading(_) | Logged::Absent => break,
            }
        }
        let entries = entries.iter().map(|entry| &entry[..]).collect();
        self.say_of_group(turn, *to, &GroupSaid::Tell { key, name: *name, entries });
    }

    /// An entry was read for a peer, if one waits for it.
    pub(super) fn serve_read(&mut self, turn: &mut Turn<'_, D>, ticket: bitcask::Ticket) {
        while let Some(at) = self.groups.serving.iter().position(|(of, _)| *of == ticket) {
            let (_, serving) = self.groups.serving.swap_remove(at);
            self.serve_entries(turn, serving);
        }
    }

    /// A peer has told entries: those that the job of this group waits for are logged.
    fn on_entries(&mut self, turn: &mut Turn<'_, D>, (slot, key): (u16, &[u8]), name: Name, told: &[&[u8]]) {
        let reference = self.store.key_ref(slot, key);
        if self.asked_for(reference.1, key, name).is_none() || told.is_empty() {
            return;
        }
        let mut next = Some(name);
        for bytes in told {
            let Some(entry) = Entry::of_head(bytes).filter(|entry| Some(entry.name()) == next) else {
                self.metrics.messages_refused += 1;
                break;
            };
            next = entry.group.base;
            if self.admits_record(reference, key.len(), Kind::Value, bytes).is_err() {
                break;
            }
            self.metrics.entries_learned += 1;
            self.log_entry(reference, key, entry);
        }
        self.go_on_with_job(turn, reference.1);
    }

    /// Has jobs ask again whose peers did not answer, and lets go of what peers do not ask for any more.
    pub(crate) fn group_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        self.drop_given(now);
        self.regain(turn);
        if self.groups.deadline().is_none_or(|at| at > now) {
            return;
        }
        let due: Vec<Fingerprint> = self.groups.asking(now);
        due.into_iter().for_each(|group| self.go_on_with_job(turn, group));
    }
}
