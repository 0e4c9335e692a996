//! The all-knowing ledger: every entry, vote and promise of every key, checked as they come to be (consensus.md section 8).
//!
//! It knows what hosts say from the messages as they leave (before the network touches them), and what is durable from
//! looking into each core after each turn. A vote counts when it is durable, or when a message that may only leave
//! afterwards claims it; the claim itself is checked against the durable state.
//!
//! Keys of the *appended* kind are only ever appended to, by tokens that are all different. So the value of an entry is its
//! whole lineage, and "extends" is "has it as a prefix": the strongest check there is, on the wire, without hooks.

mod key;

use std::collections::BTreeMap;

use paxos::{AcceptorState, Ballot, Member, Members};
use shard::slot::SLOTS;
use shard::wire::PeerMessage;

use crate::entries::Lineage;
use crate::violation::{invariant, Checked, Violation};

use key::{Copy, Entry, Key};

/// Bytes of a token that is appended.
pub const TOKEN_BYTES: usize = 8;

/// See the module's essay.
#[derive(Debug)]
pub struct Ledger {
    members: Members,
    slices: u16,
    keys: BTreeMap<Vec<u8>, Key>,
    /// Which slots a ballot was asked to be promised for.
    ranges: BTreeMap<Ballot, Vec<(u16, u16)>>,
    /// The newest flush epoch that anybody spoke in, by slice.
    flush_epochs: Vec<u32>,
    /// Choices made, over all keys.
    pub choices: u64,
}

impl Ledger {
    /// An empty ledger for a cluster whose hosts have so many cores.
    pub fn new(members: Members, slices: u16) -> Ledger {
        let flush_epochs = vec![0; usize::from(slices)];
        Ledger { members, slices, keys: BTreeMap::new(), ranges: BTreeMap::new(), flush_epochs, choices: 0 }
    }

    /// From now on the key is watched. `appended`: see the module's essay.
    pub fn watch(&mut self, key: &[u8], appended: bool) {
        let new = Key::new(self.slice_of(key), appended, self.members);
        self.keys.insert(key.to_vec(), new);
    }

    /// The newest flush epoch that anybody spoke in.
    pub fn flush_epoch(&self, slice: u16) -> u32 {
        self.flush_epochs[usize::from(slice)]
    }

    /// The keys watched.
    pub fn watched(&self) -> Vec<Vec<u8>> {
        self.keys.keys().cloned().collect()
    }

    /// The core of each host that owns a key: the slots are cut into runs of equal length, give or take one.
    pub fn slice_of(&self, key: &[u8]) -> u16 {
        (u32::from(shard::slot::slot(key)) * u32::from(self.slices) / u32::from(SLOTS)) as u16
    }

    /// Looks at what is durable on a core: `durable` tells it for each key of its slice.
    pub fn look(
        &mut self,
        member: Member,
        slice: u16,
        durable: impl Fn(&[u8]) -> (AcceptorState, Ballot),
    ) -> Checked {
        let flushed = self.flush_epoch(slice);
        for (name, key) in self.keys.iter_mut().filter(|(_, key)| key.slice == slice) {
            let (state, ranged) = durable(name);
            let bound = key.note_ranged(member, ranged, name)?;
            key.heeds_bound(member, bound, state.accepted, name)?;
            let copy = &key.copies[usize::from(member)];
            if state.promised == copy.promised && state.accepted == copy.accepted {
                continue;
            }
            let dropped = state.accepted.is_zero() && !copy.accepted.is_zero();
            if dropped {
                key.may_be_dropped(member, flushed, name)?;
            }
            let copy = &mut key.copies[usize::from(member)];
            if state.promised < copy.promised || state.accepted < copy.accepted && !dropped {
                let detail = format!(
                    "key {} on host {member}: promised {} accepted {} were durable, now promised {} accepted {}",
                    show(name), copy.promised, copy.accepted, state.promised, state.accepted
                );
                return Err(Violation::new(invariant::PROMISES_RISE, detail));
            }
            (copy.promised, copy.accepted, copy.lost) = (state.promised, state.accepted, false);
            let (mut votes, left): (Vec<Ballot>, Vec<Ballot>) =
                copy.own.iter().partition(|ballot| **ballot <= state.accepted);
            copy.own = left;
            votes.push(state.accepted);
            for ballot in votes {
                self.choices += u64::from(key.vote(self.members, member, ballot, name)?);
            }
        }
        Ok(())
    }

    /// Compares with what a core would come back with: `back` tells it for each key of its slice.
    pub fn survives(
        &self,
        member: Member,
        slice: u16,
        back: impl Fn(&[u8]) -> (AcceptorState, Ballot),
    ) -> Checked {
        for (name, key) in self.keys.iter().filter(|(_, key)| key.slice == slice) {
            let ((state, ranged), copy) = (back(name), &key.copies[usize::from(member)]);
            // A removal may be durable before the host that wrote it knows.
            let dropped = state.accepted.is_zero() && key.is_dead(copy.accepted, self.flush_epoch(slice));
            if state.promised < copy.promised
                || state.accepted < copy.accepted && !dropped
                || Some(ranged) < copy.ranged
            {
                let detail = format!(
                    "key {} on host {member}: promised {} accepted {} are durable; after a power failure promised {} accepted {}",
                    show(name), copy.promised, copy.accepted, state.promised, state.accepted
                );
                return Err(Violation::new(invariant::SURVIVES, detail));
            }
        }
        Ok(())
    }

    /// A core lost its memory: what it proposed and had not made durable is gone. To be called after [`Ledger::look`].
    pub fn forget(&mut self, member: Member, slice: u16) {
        for key in self.keys.values_mut().filter(|key| key.slice == slice) {
            key.copies[usize::from(member)].own.clear();
        }
    }

    /// A core lost its disk: nothing is durable there any more. What it voted for stays voted for.
    pub fn lose(&mut self, member: Member, slice: u16) {
        for key in self.keys.values_mut().filter(|key| key.slice == slice) {
            key.copies[usize::from(member)] = Copy { lost: true, ..Copy::default() };
        }
    }

    /// A message leaves a core.
    pub fn on_message(&mut self, from: Member, slice: u16, bytes: &[u8]) -> Checked {
        let decoded = PeerMessage::decode(bytes);
        if let Ok((sender, _)) = &decoded {
            let newest = &mut self.flush_epochs[usize::from(slice)];
            *newest = sender.flush.max(*newest);
        }
        let message = match decoded {
            Ok((_, PeerMessage::Paxos { key, message, .. })) => (key, message),
            Ok((_, PeerMessage::RangePrepare(asked))) => {
                self.ranges.insert(asked.ballot, asked.slots);
                return Ok(());
            }
            Ok((_, PeerMessage::RangePromise(promise))) => {
                return self.has_promised(from, slice, promise.ballot);
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                let detail = format!("host {from} sent what cannot be read: {error:?}");
                return Err(Violation::new(invariant::WELL_FORMED, detail));
            }
        };
        let (name, message) = message;
        let Some(key) = self.keys.get_mut(name) else { return Ok(()) };
        if key.slice != slice {
            let detail = format!(
                "core {slice} of host {from} speaks of key {}, which core {} owns",
                show(name),
                key.slice
            );
            return Err(Violation::new(invariant::WELL_FORMED, detail));
        }
        self.choices += u64::from(key.on_message(self.members, from, message, name)?);
        Ok(())
    }

    /// A host says that it has promised a ballot for all keys of some slots.
    fn has_promised(&self, from: Member, slice: u16, ballot: Ballot) -> Checked {
        let Some(slots) = self.ranges.get(&ballot) else {
            let detail = format!("host {from} says that it has promised {ballot}, which nobody asked for");
            return Err(Violation::new(invariant::WELL_FORMED, detail));
        };
        let asked = |slot: u16| slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        for (name, key) in self.keys.iter().filter(|(_, key)| key.slice == slice) {
            let Some(durable) = key.copies[usize::from(from)].ranged else { continue };
            if asked(shard::slot::slot(name)) && durable < ballot {
                let detail = format!(
                    "key {}: host {from} says that {ballot} is promised for its slot; durable is {durable}",
                    show(name)
                );
                return Err(Violation::new(invariant::DURABLE_FIRST, detail));
            }
        }
        Ok(())
    }

    /// A client was told that its token is appended.
    pub fn appended(&self, name: &[u8], token: &[u8]) -> Checked {
        let text = self.chosen_text(name);
        if text.chunks(TOKEN_BYTES).any(|chunk| chunk == token) {
            return Ok(());
        }
        let detail =
            format!("key {}: {} was acknowledged, and no chosen entry has it", show(name), show(token));
        Err(Violation::new(invariant::REPLY_CHOSEN, detail))
    }

    /// A client asks once more for this value to be written: one that may have been written before.
    pub fn written_again(&mut self, name: &[u8], value: &[u8]) {
        if let Some(key) = self.keys.get_mut(name) {
            key.again.insert(value.to_vec());
        }
    }

    /// A client was shown the value of a key, and had asked when this was the newest chosen ballot of it. Commands of one batch see what the ones
    /// before them leave, which is chosen with all of it or not at all; so a value that is in no entry says nothing, unless it is appended to,
    /// nor does one that may have been written again.
    pub fn shown(&self, name: &[u8], value: &[u8], asked_at: Ballot) -> Checked {
        let Some(key) = self.keys.get(name) else { return Ok(()) };
        let stale = match key.appended {
            true => value.len() < key.entries.get(&asked_at).map_or(0, |entry| entry.text().len()),
            false => {
                let shows = |entry: &Entry| entry.chosen && entry.text() == value;
                !key.again.contains(value)
                    && key.entries.range(..asked_at).any(|(_, entry)| shows(entry))
                    && !key.entries.range(asked_at..).any(|(_, entry)| entry.text() == value)
            }
        };
        let what = format!("key {}: {} was shown", show(name), show(value));
        if stale {
            let detail = format!("{what}, and {asked_at} was chosen above it before that was asked");
            return Err(Violation::new(invariant::NEWEST, detail));
        }
        if key.appended && !self.chosen_text(name).starts_with(value) {
            return Err(Violation::new(invariant::REPLY_CHOSEN, format!("{what}, which is not chosen")));
        }
        Ok(())
    }

    /// The entries of a key that is a log group.
    pub fn lineage(&self, name: &[u8]) -> Option<&Lineage> {
        self.keys.get(name).map(|key| &key.lineage)
    }

    /// The newest chosen ballot of a key.
    pub fn newest_chosen(&self, name: &[u8]) -> Ballot {
        self.keys.get(name).map_or(Ballot::ZERO, |key| key.newest_chosen)
    }

    /// Whether the newest chosen entry of a key is a tombstone, by what it says or by its flush epoch.
    pub fn is_gone(&self, name: &[u8]) -> bool {
        self.keys.get(name).is_some_and(|key| key.is_dead(key.newest_chosen, self.flush_epoch(key.slice)))
    }

    /// The newest chosen value of an appended key: all its tokens in order.
    pub fn chosen_text(&self, name: &[u8]) -> &[u8] {
        let newest = self.keys.get(name).and_then(|key| key.entries.get(&key.newest_chosen));
        newest.map_or(b"", Entry::text)
    }

    /// At the end: no command was applied twice, as the chosen entries tell.
    pub fn finish(&self) -> Checked {
        for (name, key) in &self.keys {
            key.applied_once(name)?;
        }
        Ok(())
    }
}

/// Bytes for people.
pub fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
