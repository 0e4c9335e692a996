//! All that ever happened to one key: who proposed what, who voted for it, and what is chosen of that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use paxos::{Ballot, Member, MemberSet, Members, Message, Report};
use shard::record::{CommandId, Delta, Record};
use shard::Held;

use super::{show, TOKEN_BYTES};
use crate::entries::Lineage;
use crate::rows;
use crate::violation::{invariant, Checked, Violation};
use crate::workload::text_of;

/// One entry, at one ballot.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    record: Record,
    /// What the proposer says it extends, if that was known to be chosen; ZERO when nothing was said.
    base: Ballot,
    votes: MemberSet,
    pub chosen: bool,
    /// What its value is to the history.
    text: Vec<u8>,
}

impl Entry {
    fn is_dead(&self, flushed: u32) -> bool {
        self.record.value.is_none() || self.record.epoch < flushed
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// What is durable on one host about one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Copy {
    pub promised: Ballot,
    pub accepted: Ballot,
    /// Ballots at which the host itself proposed in its present life: accepted, and durable once something above is.
    pub own: Vec<Ballot>,
    /// What is promised for all keys of its slot, since the host was looked at.
    pub ranged: Option<Ballot>,
    /// It lost its disk, and nothing of the key was durable there since.
    pub lost: bool,
}

/// All that ever happened to one key.
#[derive(Debug)]
pub(super) struct Key {
    /// The core of each host that owns it.
    pub slice: u16,
    pub appended: bool,
    pub entries: BTreeMap<Ballot, Entry>,
    pub copies: Vec<Copy>,
    pub newest_chosen: Ballot,
    /// Entries of its log group, if it is one.
    pub lineage: Lineage,
    /// Values that were asked to be written more than once.
    pub again: BTreeSet<Vec<u8>>,
}

impl Key {
    /// One that nothing happened to. `slice`: the core of each host that owns it; `appended`: see the ledger's essay.
    pub fn new(slice: u16, appended: bool, members: Members) -> Key {
        Key {
            slice,
            appended,
            entries: BTreeMap::new(),
            copies: vec![Copy::default(); usize::from(members.count())],
            newest_chosen: Ballot::ZERO,
            lineage: Lineage::default(),
            again: BTreeSet::new(),
        }
    }

    /// What is promised for the key's slot, now; what was before.
    pub fn note_ranged(&mut self, member: Member, ranged: Ballot, name: &[u8]) -> Result<Ballot, Violation> {
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
    pub fn heeds_bound(&self, member: Member, bound: Ballot, accepted: Ballot, name: &[u8]) -> Checked {
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
    pub fn is_dead(&self, ballot: Ballot, flushed: u32) -> bool {
        self.entries.get(&ballot).is_some_and(|entry| entry.chosen && entry.is_dead(flushed))
    }

    /// A host holds nothing any more of what it accepted: that was a tombstone, and no other host has anything older of the key
    /// left, or would take it.
    pub fn may_be_dropped(&self, member: Member, flushed: u32, name: &[u8]) -> Checked {
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
    pub fn vote(
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

    pub fn on_message(
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

    pub fn applied_once(&self, name: &[u8]) -> Checked {
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
