//! Names of the simulated disk: what a process sees, and what a crash leaves.
//!
//! File systems keep the order of directory changes, so a crash keeps a prefix of what was not synced.

use std::collections::BTreeMap;

use crate::rng::Rng;

/// One change of a name.
#[derive(Clone, Debug)]
enum Change {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

/// The names of one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    unsynced: Vec<Change>,
}

impl Directory {
    /// Whether a crash may undo something.
    pub fn is_dirty(&self) -> bool {
        !self.unsynced.is_empty()
    }

    pub fn find(&self, name: &str) -> Option<u64> {
        self.now.get(name).copied()
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.now.iter().map(|(name, &inode)| (name.as_str(), inode))
    }

    /// Every file that a name leads to now, or may lead to after a crash.
    pub fn inodes(&self) -> impl Iterator<Item = u64> + '_ {
        let made = self.unsynced.iter().filter_map(|change| match change {
            Change::Create(_, inode) => Some(*inode),
            _ => None,
        });
        self.now.values().copied().chain(self.durable.values().copied()).chain(made)
    }

    pub fn create(&mut self, name: &str, inode: u64) {
        self.change(Change::Create(name.to_owned(), inode));
    }

    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let there = self.now.contains_key(from);
        if there {
            self.change(Change::Rename(from.to_owned(), to.to_owned()));
        }
        there
    }

    pub fn remove(&mut self, name: &str) -> bool {
        let there = self.now.contains_key(name);
        if there {
            self.change(Change::Remove(name.to_owned()));
        }
        there
    }

    pub fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.unsynced.clear();
    }

    pub fn put_durably(&mut self, name: &str, inode: u64) {
        self.create(name, inode);
        self.sync();
    }

    pub fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.between(0, self.unsynced.len() as u64) as usize;
        for change in self.unsynced.drain(..).take(kept) {
            apply(&mut self.durable, &change);
        }
        self.now.clone_from(&self.durable);
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.unsynced.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Change) {
    match change {
        Change::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}
