//! What the entries of a log group make of its rows, by definition: each on its base (docs/design/log-groups.md). The ledger has one for each key,
//! and what the trees of the cores hold is compared with it.

use std::collections::BTreeMap;
use std::rc::Rc;

use paxos::Ballot;
use shard::object::{Group, Name};

/// Rows of a group: bytes by key.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
struct Entry {
    epoch: u32,
    group: Group,
    rows: Rc<Rows>,
    chosen: bool,
}

/// The entries that were ever proposed for a key, by their names.
#[derive(Debug, Default)]
pub struct Lineage {
    entries: BTreeMap<Name, Entry>,
    /// Entries that were proposed again before they were chosen.
    pub finished: u64,
}

impl Lineage {
    /// An entry is proposed, for the first time or again. What its rows are, or what is wrong with it.
    ///
    /// # Errors
    /// What stands on an entry that is not chosen, or on one of other rows, is wrong, and so is another entry of the same name.
    pub fn propose(&mut self, name: Name, epoch: u32, group: &Group) -> Result<&Rows, String> {
        if !self.entries.contains_key(&name) {
            let rows = Rc::new(self.rows_of(epoch, group)?);
            let entry = Entry { epoch, group: group.clone(), rows, chosen: false };
            self.entries.insert(name, entry);
        } else if !self.entries[&name].chosen {
            self.finished += 1;
        }
        let entry = &self.entries[&name];
        if (entry.epoch, &entry.group) != (epoch, group) {
            return Err(format!("there is another entry named {}", shown(name)));
        }
        Ok(&entry.rows)
    }

    fn rows_of(&self, epoch: u32, group: &Group) -> Result<Rows, String> {
        let mut rows = match group.base {
            None => Rows::new(),
            Some(name) => {
                let base = self.entries.get(&name);
                let base = base.ok_or_else(|| format!("nobody proposed its base {}", shown(name)))?;
                if !base.chosen {
                    return Err(format!("its base {} is not chosen", shown(name)));
                }
                if (base.epoch, base.group.table) != (epoch, group.table) {
                    return Err(format!("its base {} is of other rows", shown(name)));
                }
                (*base.rows).clone()
            }
        };
        for (key, value) in group.changes() {
            match value {
                Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(rows)
    }

    /// An entry is chosen, and so is all that it stands on.
    pub fn choose(&mut self, name: Name) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.chosen = true;
        }
    }

    /// Whether an entry is another one, or stands on it.
    pub fn descends(&self, name: Name, from: Name) -> bool {
        let base = |name: &Name| self.entries.get(name).and_then(|entry| entry.group.base);
        std::iter::successors(Some(name), base).any(|name| name == from)
    }

    /// The rows of an entry that is chosen.
    pub fn chosen_rows(&self, name: Name) -> Option<&Rows> {
        self.entries.get(&name).filter(|entry| entry.chosen).map(|entry| &*entry.rows)
    }

    /// The newest entry that is chosen.
    pub fn newest(&self) -> Option<Name> {
        self.entries.iter().rev().find(|(_, entry)| entry.chosen).map(|(name, _)| *name)
    }

    /// How many entries are chosen.
    pub fn chosen(&self) -> u64 {
        self.entries.values().filter(|entry| entry.chosen).count() as u64
    }
}

/// A name for people.
pub fn shown(name: Name) -> String {
    format!("{}@{}", name.version, name.origin)
}

/// The name in a name row (docs/formats/sql.md).
pub fn read_name(bytes: &[u8]) -> Option<Name> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (round, rest) = rest.split_first_chunk()?;
    let (node, rest) = rest.split_first_chunk()?;
    let origin = Ballot {
        round: u64::from_le_bytes(*round),
        node: u32::from_le_bytes(*node),
        incarnation: u32::from_le_bytes(rest.try_into().ok()?),
    };
    Some(Name { version: u64::from_le_bytes(*version), origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(table: u32, origin: Ballot, base: Option<Name>, changes: &[(&[u8], Option<&[u8]>)]) -> Group {
        Group::new(table, origin, base, changes.iter().copied())
    }

    #[test]
    fn rows_follow_from_bases() {
        let [first, second, third] = [1, 2, 3].map(|round| Ballot::new(round, 1, 1));
        let mut lineage = Lineage::default();
        let one = entry(7, first, None, &[(b"a", Some(b"1")), (b"b", Some(b"2"))]);
        let name = one.name(1);
        assert_eq!(lineage.propose(name, 0, &one).expect("it has no base").len(), 2);
        let two = entry(7, second, Some(name), &[(b"a", None), (b"c", Some(b"3"))]);
        assert!(lineage.propose(two.name(2), 0, &two).is_err(), "its base is not chosen");
        assert_eq!(lineage.propose(name, 0, &one).map(Rows::len), Ok(2));
        assert_eq!((lineage.finished, lineage.newest(), lineage.chosen_rows(name)), (1, None, None));
        lineage.choose(name);
        let rows = lineage.propose(two.name(2), 0, &two).expect("its base is chosen");
        assert_eq!(rows.keys().map(|key| &key[..]).collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!((lineage.newest(), lineage.chosen(), lineage.finished), (Some(name), 1, 1));
        let of_others = entry(8, third, Some(name), &[]);
        assert!(lineage.propose(of_others.name(3), 0, &of_others).is_err());
        assert!(lineage.propose(entry(7, third, Some(name), &[]).name(3), 1, &two).is_err());
        let same_name = entry(7, second, Some(name), &[]);
        assert!(lineage.propose(same_name.name(2), 0, &same_name).is_err());
        assert!(lineage.descends(two.name(2), name) && lineage.descends(name, name));
        assert!(!lineage.descends(name, two.name(2)));
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let group =
            entry(1, Ballot::new(5, 6, 7), Some(Name { version: 9, origin: Ballot::new(2, 3, 4) }), &[]);
        let mut bytes = Vec::new();
        group.encode(&mut bytes);
        // Table, origin, that there is a base, and its name.
        let name = &bytes[4 + 16 + 1..][..24];
        assert_eq!(read_name(name), group.base);
        assert_eq!(read_name(&name[1..]), None);
    }
}
