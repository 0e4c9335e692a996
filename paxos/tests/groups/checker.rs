//! All-knowing: which entries are chosen, what every tree must be, what clients were told.

use std::collections::BTreeMap;

use paxos::{Ballot, Member, MemberSet, Members};

use super::member::{Change, Event, Id, Tree};

pub struct Checker {
    members: Members,
    proposed: BTreeMap<Ballot, Change>,
    votes: BTreeMap<Ballot, MemberSet>,
    /// The chosen entry of each version.
    chosen: BTreeMap<u64, Change>,
    /// The newest version that a write was acknowledged with, or a read was answered from.
    seen: u64,
    /// What each member's open read must not be older than.
    reads: Vec<u64>,
}

impl Checker {
    pub fn new(count: u8) -> Checker {
        Checker {
            members: Members::new(count).expect("a member count"),
            proposed: BTreeMap::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            seen: 0,
            reads: vec![0; usize::from(count)],
        }
    }

    /// The newest chosen version.
    pub fn newest(&self) -> u64 {
        self.chosen.last_key_value().map_or(0, |(version, _)| *version)
    }

    pub fn event(&mut self, me: Member, event: &Event) -> Result<(), String> {
        match event {
            Event::Proposed { ballot, change } => match self.proposed.insert(*ballot, change.clone()) {
                Some(other) if other != *change => {
                    Err(format!("{ballot:?} carries {other:?} and {change:?}"))
                }
                _ => Ok(()),
            },
            Event::Voted { ballot, change } => self.vote(me, *ballot, change),
            Event::Tree(tree) => self.tree(tree),
            Event::Acked { id } => {
                let version =
                    self.version_of(*id).ok_or_else(|| format!("{id} is acknowledged, not chosen"))?;
                self.seen = self.seen.max(version);
                Ok(())
            }
            Event::ReadStarted => {
                self.reads[usize::from(me)] = self.seen;
                Ok(())
            }
            Event::ReadDone { version } if *version < self.reads[usize::from(me)] => {
                Err(format!("{me} answers a read from {version}; {} was seen", self.reads[usize::from(me)]))
            }
            Event::ReadDone { version } => {
                self.seen = self.seen.max(*version);
                Ok(())
            }
            Event::Broken(what) => Err(format!("{me}: {what}")),
            Event::WriteStarted | Event::WriteDropped { .. } | Event::ReadDropped | Event::Counted(_) => {
                Ok(())
            }
        }
    }

    fn version_of(&self, id: Id) -> Option<u64> {
        self.chosen.values().find(|change| change.id == id).map(|change| change.version)
    }

    fn vote(&mut self, me: Member, ballot: Ballot, change: &Change) -> Result<(), String> {
        let votes = self.votes.entry(ballot).or_insert(MemberSet::EMPTY);
        votes.insert(me);
        if votes.count() < self.members.majority() {
            return Ok(());
        }
        match self.chosen.get(&change.version) {
            Some(other) if other != change => return Err(format!("{other:?} and {change:?} are chosen")),
            Some(_) => return Ok(()),
            None => {}
        }
        let before = change.version.checked_sub(1).ok_or("versions begin at 1")?;
        let base = self.chosen.get(&before).map_or(Ballot::ZERO, |change| change.origin);
        if base != change.base || before > 0 && !self.chosen.contains_key(&before) {
            return Err(format!("{change:?} is chosen and does not extend {base:?}"));
        }
        if let Some(version) = self.version_of(change.id) {
            return Err(format!("{} is applied at {version} and at {}", change.id, change.version));
        }
        self.chosen.insert(change.version, change.clone());
        Ok(())
    }

    fn tree(&self, tree: &Tree) -> Result<(), String> {
        let origin = self.chosen.get(&tree.version).map(|change| change.origin);
        if origin != Some(tree.origin) {
            return Err(format!(
                "{:?} of version {} is applied, {origin:?} is chosen",
                tree.origin, tree.version
            ));
        }
        let ids = self.chosen.range(..=tree.version).map(|(_, change)| change.id);
        match ids.eq(tree.ids.iter().copied()) {
            true => Ok(()),
            false => Err(format!("the tree of version {} is {:?}", tree.version, tree.ids)),
        }
    }
}
