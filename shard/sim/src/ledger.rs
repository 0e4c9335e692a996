//! The all-knowing ledger: every entry, vote and promise of every key, checked as they come to be (consensus.md section 8).
//!
//! It knows what hosts say from the messages as they leave (before the network touches them), and what is durable from
//! looking into each core after each turn. A vote counts when it is durable, or when a message that may only leave
//! afterwards claims it; the claim itself is checked against the durable state.
//!
//! Keys of the *appended* kind are only ever appended to, by tokens that are all different. So the value of an entry is its
//! whole lineage, and "extends" is "has it as a prefix": the strongest check there is, on the wire, without hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use paxos::{AcceptorState, Ballot, Member, MemberSet, Members, Message, Report};
use shard::record::{CommandId, Delta, Record};
use shard::slot::SLOTS;
use shard::wire::PeerMessage;
use shard::Held;

use crate::entries::Lineage;
use crate::rows;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::text_of;

/// Bytes of a token that is appended.
pub const TOKEN_BYTES: usize = 8;

/// One entry, at one ballot.
#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    record: Record,
    /// What the proposer says it extends, if that was known to be chosen; ZERO when nothing was said.
    base: Ballot,
    votes: MemberSet,
    chosen: bool,
    /// What its value is to the history.
    text: Vec<u8>,
}

impl Entry {
    fn is_dead(&self, flushed: u32) -> bool {
        self.record.value.is_none() || self.record.epoch < flushed
    }

    fn text(&self) -> &[u8] {
        &self.text
    }
}

/// What is durable on one host about one key.
#[derive(Clone, Debug, Default)]
struct Copy {
    promised: Ballot,
    accepted: Ballot,
    /// Ballots at which the host itself proposed in its present life: accepted, and durable once something above is.
    own: Vec<Ballot>,
    /// What is promised for all keys of its slot, since the host was looked at.
    ranged: Option<Ballot>,
    /// It lost its disk, and nothing of the key was durable there since.
    lost: bool,
}

/// All that ever happened to one key.
#[derive(Debug)]
struct Key {
    /// The core of each host that owns it.
    slice: u16,
    appended: bool,
    entries: BTreeMap<Ballot, Entry>,
    copies: Vec<Copy>,
    newest_chosen: Ballot,
    /// Entries of its log group, if it is one.
    lineage: Lineage,
    /// Values that were asked to be written more than once.
    again: BTreeSet<Vec<u8>>,
}

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
        let copies = vec![Copy::default(); usize::from(self.members.count())];
        let new = Key {
            slice: self.slice_of(key),
            appended,
            entries: BTreeMap::new(),
            copies,
            newest_chosen: Ballot::ZERO,
            lineage: Lineage::default(),
            again: BTreeSet::new(),
        };
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

impl Key {
    /// What is promised for the key's slot, now; what was before.
    fn note_ranged(&mut self, member: Member, ranged: Ballot, name: &[u8]) -> Result<Ballot, Violation> {
        let copy = &mut self.copies[usize::from(member)];
        let before = copy.ranged.replace(ranged).unwrap_or(Ballot::ZERO);
        if ranged < before {
            let detail = format!(
                "key {} on host {member}: {before} was promised for its slot, now {ranged}",
                show(name)
            );
            return Err(Violation::new(invariant::PROMISES_RISE, detail));
        }
        Ok(before)
    }

    /// Whether what a host has accepted since it was looked at last is no lower than what was promised for the slot by then, or a copy of what is
    /// chosen.
    fn heeds_bound(&self, member: Member, bound: Ballot, accepted: Ballot, name: &[u8]) -> Checked {
        let known = self.copies[usize::from(member)].accepted == accepted;
        let chosen = self.entries.get(&accepted).is_some_and(|entry| entry.chosen);
        if known || chosen || accepted.is_zero() || accepted >= bound {
            return Ok(());
        }
        let detail = format!(
            "key {}: host {member} accepted {accepted}, and had promised {bound} for its slot",
            show(name)
        );
        Err(Violation::new(invariant::RANGE_BINDS, detail))
    }

    /// Whether the entry at a ballot is a chosen tombstone, by what it says or by its flush epoch.
    fn is_dead(&self, ballot: Ballot, flushed: u32) -> bool {
        self.entries.get(&ballot).is_some_and(|entry| entry.chosen && entry.is_dead(flushed))
    }

    /// A host holds nothing any more of what it accepted: that was a tombstone, and no other host has anything older of the key
    /// left, or would take it.
    fn may_be_dropped(&self, member: Member, flushed: u32, name: &[u8]) -> Checked {
        let gone = self.copies[usize::from(member)].accepted;
        let old = |copy: &Copy| copy.accepted < gone && copy.promised < gone && !copy.lost;
        let why = if self.entries.get(&gone).is_none_or(|entry| !entry.is_dead(flushed)) {
            "it is no tombstone".to_owned()
        } else if let Some(host) = self.copies.iter().position(old) {
            format!("host {host} knows nothing of it")
        } else {
            return Ok(());
        };
        let detail = format!("key {}: host {member} dropped {gone}: {why}", show(name));
        Err(Violation::new(invariant::PROMISES_RISE, detail))
    }

    /// Counts a vote; true if it makes a majority.
    fn vote(
        &mut self,
        members: Members,
        member: Member,
        ballot: Ballot,
        name: &[u8],
    ) -> Result<bool, Violation> {
        if ballot.is_zero() {
            return Ok(false);
        }
        let Some(entry) = self.entries.get_mut(&ballot) else {
            let detail =
                format!("key {}: host {member} accepted {ballot}, which nobody proposed", show(name));
            return Err(Violation::new(invariant::ONE_ENTRY, detail));
        };
        entry.votes.insert(member);
        if entry.chosen || entry.votes.count() <= members.count() / 2 {
            return Ok(false);
        }
        entry.chosen = true;
        self.lineage.choose(&entry.record);
        self.newest_chosen = self.newest_chosen.max(ballot);
        let entry = &self.entries[&ballot];
        for (above, other) in self.entries.range((Bound::Excluded(ballot), Bound::Unbounded)) {
            self.extends((*above, other), (ballot, entry), name)?;
        }
        if let Some((below, other)) = self.chosen_below(ballot) {
            self.extends((ballot, entry), (below, other), name)?;
        }
        Ok(true)
    }

    fn chosen_below(&self, ballot: Ballot) -> Option<(Ballot, &Entry)> {
        let mut below = self.entries.range(..ballot).rev().filter(|(_, entry)| entry.chosen);
        below.next().map(|(ballot, entry)| (*ballot, entry))
    }

    fn extends(
        &self,
        (above, new): (Ballot, &Entry),
        (below, old): (Ballot, &Entry),
        name: &[u8],
    ) -> Checked {
        let fails = |why: &str| {
            let detail = format!("key {}: {below} is chosen, and {above} {why}", show(name));
            Err(Violation::new(invariant::EXTENDS, detail))
        };
        if new.record.version < old.record.version {
            return fails("has a lower version");
        }
        if !new.base.is_zero() && new.base < below {
            return fails(&format!("says that it extends {}", new.base));
        }
        if !self.lineage.goes_on(&new.record, &old.record) {
            return fails("does not stand on its rows");
        }
        if self.appended && !new.text().starts_with(old.text()) {
            return fails(&format!("has {} where {} was", show(new.text()), show(old.text())));
        }
        Ok(())
    }

    fn on_message(
        &mut self,
        members: Members,
        from: Member,
        message: Message<Held>,
        name: &[u8],
    ) -> Result<bool, Violation> {
        match message {
            Message::Accept { ballot, base, entry } => {
                self.is_chosen(from, base, name)?;
                let bytes = match &entry {
                    Held::Delta(delta) => self.meaning(from, delta, name)?,
                    entry => entry.bytes().map(|bytes| bytes.to_vec()).unwrap_or_default(),
                };
                self.propose(from, ballot, base, bytes, name)?;
            }
            Message::Restamp { ballot, of } => {
                let Some(held) = self.entries.get(&of) else { return Err(unknown(from, of, name)) };
                let bytes = held.bytes.clone();
                self.propose(from, ballot, Ballot::ZERO, bytes, name)?;
            }
            Message::Accepted { ballot } => {
                self.is_durable(from, "accepted", ballot, self.copies[usize::from(from)].accepted, name)?;
                return self.vote(members, from, ballot, name);
            }
            Message::Promise { ballot, report } => {
                self.is_durable(from, "promised", ballot, self.copies[usize::from(from)].promised, name)?;
                return self.on_report(members, from, &report, name);
            }
            Message::State { report, .. } => return self.on_report(members, from, &report, name),
            Message::Reject { chosen_to, .. } => self.is_chosen(from, chosen_to, name)?,
            Message::Prepare { .. } | Message::Query { .. } | Message::NeedBase { .. } => {}
        }
        Ok(false)
    }

    /// What a delta means: the whole, by the entry that it stands on.
    fn meaning(&self, from: Member, delta: &[u8], name: &[u8]) -> Result<Vec<u8>, Violation> {
        let fails = |why: &str| {
            let detail = format!("key {}: host {from} sent a delta {why}", show(name));
            Violation::new(invariant::WELL_FORMED, detail)
        };
        let delta =
            Delta::decode(delta).map_err(|error| fails(&format!("that cannot be read: {error:?}")))?;
        let Some(base) = self.entries.get(&delta.base) else { return Err(unknown(from, delta.base, name)) };
        let mut record = base.record.clone();
        delta.apply(&mut record).map_err(|damage| fails(&format!("on {}: {damage}", delta.base)))?;
        if !delta.means(&record) {
            return Err(fails(&format!("on {} with another digest", delta.base)));
        }
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        Ok(bytes)
    }

    fn propose(
        &mut self,
        from: Member,
        ballot: Ballot,
        base: Ballot,
        bytes: Vec<u8>,
        name: &[u8],
    ) -> Checked {
        if let Some(known) = self.entries.get(&ballot) {
            return self.is_same(known, ballot, &bytes, name);
        }
        let record = Record::decode(&bytes).map_err(|error| {
            let detail =
                format!("key {}: host {from} proposed an entry that cannot be read: {error:?}", show(name));
            Violation::new(invariant::WELL_FORMED, detail)
        })?;
        let made = self.lineage.propose(&record).map_err(|why| {
            let detail = format!("key {}: {ballot} is an entry of its group, and {why}", show(name));
            Violation::new(invariant::EXTENDS, detail)
        })?;
        let text = match made {
            Some(rows) => rows::text_of(rows.values().map(Vec::as_slice)),
            None => text_of(record.value.as_ref()),
        };
        let entry = Entry { bytes, record, base, votes: MemberSet::EMPTY, chosen: false, text };
        if let Some((below, old)) = self.chosen_below(ballot) {
            self.extends((ballot, &entry), (below, old), name)?;
        }
        self.entries.insert(ballot, entry);
        self.copies[usize::from(from)].own.push(ballot);
        Ok(())
    }

    fn is_same(&self, known: &Entry, ballot: Ballot, bytes: &[u8], name: &[u8]) -> Checked {
        if known.bytes == bytes {
            return Ok(());
        }
        let (one, other) = (show(&known.bytes), show(bytes));
        let detail = format!("key {}: {ballot} carries {one} and {other}", show(name));
        Err(Violation::new(invariant::ONE_ENTRY, detail))
    }

    fn on_report(
        &mut self,
        members: Members,
        from: Member,
        report: &Report<Held>,
        name: &[u8],
    ) -> Result<bool, Violation> {
        self.is_durable(from, "accepted", report.accepted, self.copies[usize::from(from)].accepted, name)?;
        if let Some(bytes) = report.entry.as_ref().and_then(Held::bytes) {
            let Some(known) = self.entries.get(&report.accepted) else {
                return Err(unknown(from, report.accepted, name));
            };
            self.is_same(known, report.accepted, bytes, name)?;
        }
        let chosen = if report.taken_over { false } else { self.vote(members, from, report.accepted, name)? };
        self.is_chosen(from, report.chosen_to, name)?;
        Ok(chosen)
    }

    fn is_durable(&self, from: Member, what: &str, said: Ballot, durable: Ballot, name: &[u8]) -> Checked {
        if said <= durable {
            return Ok(());
        }
        let detail = format!("key {}: host {from} says {what} {said}; durable is {durable}", show(name));
        Err(Violation::new(invariant::DURABLE_FIRST, detail))
    }

    fn is_chosen(&self, from: Member, ballot: Ballot, name: &[u8]) -> Checked {
        if ballot.is_zero() || self.entries.get(&ballot).is_some_and(|entry| entry.chosen) {
            return Ok(());
        }
        let votes = self.entries.get(&ballot).map_or(0, |entry| entry.votes.count());
        let detail =
            format!("key {}: host {from} says that {ballot} is chosen; it has {votes} votes", show(name));
        Err(Violation::new(invariant::CHOSEN_IS_CHOSEN, detail))
    }

    fn applied_once(&self, name: &[u8]) -> Checked {
        let mut ever: BTreeSet<CommandId> = BTreeSet::new();
        let mut before: BTreeSet<CommandId> = BTreeSet::new();
        for (ballot, entry) in self.entries.iter().filter(|(_, entry)| entry.chosen) {
            let mut now = BTreeSet::new();
            for origin in entry.record.applied.origins() {
                let id = |seq: u64| CommandId { node: origin.node, incarnation: origin.incarnation, seq };
                now.extend(origin.applied.iter().map(|(seq, _)| id(*seq)));
            }
            if let Some(id) = now.iter().find(|id| !before.contains(id) && ever.contains(id)) {
                let detail = format!("key {}: {id:?} is applied again at {ballot}", show(name));
                return Err(Violation::new(invariant::ONCE, detail));
            }
            ever.extend(now.iter().copied());
            before = now;
        }
        let newest = self.entries.get(&self.newest_chosen).filter(|_| self.appended);
        let text = newest.map_or(&b""[..], Entry::text);
        let tokens: BTreeSet<&[u8]> = text.chunks(TOKEN_BYTES).collect();
        if tokens.len() * TOKEN_BYTES != text.len() {
            let detail = format!("key {}: a token is there twice, or torn: {}", show(name), show(text));
            return Err(Violation::new(invariant::ONCE, detail));
        }
        Ok(())
    }
}

fn unknown(from: Member, ballot: Ballot, name: &[u8]) -> Violation {
    let detail =
        format!("key {}: host {from} speaks of an entry at {ballot} that nobody proposed", show(name));
    Violation::new(invariant::ONE_ENTRY, detail)
}

/// Bytes for people.
pub fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
