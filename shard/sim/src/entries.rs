//! What the entries of a log group make of its rows, by definition: each on its base (docs/design/log-groups.md). The ledger has one for each key,
//! and what the trees of the cores hold is compared with it.

use std::collections::BTreeMap;
use std::rc::Rc;

use paxos::Ballot;
use shard::object::{Group, Name};
use shard::record::Record;
use shard::state::Value;

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
    /// A record is proposed, for the first time or again: what the rows are, if it is an entry, or what is wrong with it.
    ///
    /// # Errors
    /// What stands on an entry that is not chosen, or on one of other rows, is wrong, and so is another entry of the same name.
    pub fn propose(&mut self, record: &Record) -> Result<Option<&Rows>, String> {
        let Some((name, group)) = entry_of(record) else { return Ok(None) };
        if !self.entries.contains_key(&name) {
            let rows = Rc::new(self.rows_of(record.epoch, group)?);
            let entry = Entry { epoch: record.epoch, group: group.clone(), rows, chosen: false };
            self.entries.insert(name, entry);
        } else if !self.entries[&name].chosen {
            self.finished += 1;
        }
        let entry = &self.entries[&name];
        if (entry.epoch, &entry.group) != (record.epoch, group) {
            return Err(format!("there is another entry named {}", shown(name)));
        }
        Ok(Some(&entry.rows))
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

    /// A record is chosen.
    pub fn choose(&mut self, record: &Record) {
        let entry = entry_of(record).and_then(|(name, _)| self.entries.get_mut(&name));
        entry.into_iter().for_each(|entry| entry.chosen = true);
    }

    /// Whether a record goes on from what a chosen one says of rows: both are entries of the same rows, and it is that entry, or stands on it. Of
    /// other records nothing is said.
    pub fn goes_on(&self, new: &Record, old: &Record) -> bool {
        let (Some((name, new_group)), Some((from, old_group))) = (entry_of(new), entry_of(old)) else {
            return true;
        };
        let base = |name: &Name| self.entries.get(name).and_then(|entry| entry.group.base);
        (new.epoch, new_group.table) != (old.epoch, old_group.table)
            || std::iter::successors(Some(name), base).any(|name| name == from)
    }

    /// The rows of an entry that is chosen.
    pub fn chosen_rows(&self, name: Name) -> Option<&Rows> {
        self.entries.get(&name).filter(|entry| entry.chosen).map(|entry| &*entry.rows)
    }

    /// The newest entry that is chosen.
    pub fn newest(&self) -> Option<Name> {
        self.entries.iter().rev().find(|(_, entry)| entry.chosen).map(|(name, _)| *name)
    }

    /// The entries that are chosen, in their order, and the rows that each makes.
    pub fn all_chosen(&self) -> impl DoubleEndedIterator<Item = (&Group, &Rows)> {
        self.entries.values().filter(|entry| entry.chosen).map(|entry| (&entry.group, &*entry.rows))
    }

    /// How many entries are chosen.
    pub fn chosen(&self) -> u64 {
        self.entries.values().filter(|entry| entry.chosen).count() as u64
    }
}

/// The entry that a record is, with its name.
fn entry_of(record: &Record) -> Option<(Name, &Group)> {
    let Some(Value::Group(group)) = &record.value else { return None };
    Some((group.name(record.version), group))
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
    use shard::object::Indexes;

    use super::*;

    type Changes<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];

    fn entry(version: u64, (epoch, table): (u32, u32), base: Option<Name>, changes: Changes<'_>) -> Record {
        let group =
            Group::new(table, Ballot::new(version, 1, 1), base, Indexes::default(), changes.iter().copied());
        Record { version, epoch, value: Some(Value::Group(group)), ..Record::default() }
    }

    #[test]
    fn rows_follow_from_bases() {
        let of = (0, 7);
        let mut lineage = Lineage::default();
        let one = entry(1, of, None, &[(b"a", Some(b"1")), (b"b", Some(b"2"))]);
        let name = Name { version: 1, origin: Ballot::new(1, 1, 1) };
        assert_eq!(lineage.propose(&one).expect("it has no base").map(Rows::len), Some(2));
        let two = entry(2, of, Some(name), &[(b"a", None), (b"c", Some(b"3"))]);
        assert!(lineage.propose(&two).is_err(), "its base is not chosen");
        assert_eq!(lineage.propose(&one).map(|rows| rows.map(Rows::len)), Ok(Some(2)));
        assert_eq!((lineage.finished, lineage.newest(), lineage.chosen_rows(name)), (1, None, None));
        lineage.choose(&one);
        let rows = lineage.propose(&two).expect("its base is chosen").expect("it is an entry");
        assert_eq!(rows.keys().map(|key| &key[..]).collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!((lineage.newest(), lineage.chosen(), lineage.finished), (Some(name), 1, 1));
        for (what, wrong) in [
            ("of another table", entry(3, (0, 8), Some(name), &[])),
            ("of another epoch", entry(3, (1, 7), Some(name), &[])),
            ("of the same name", entry(2, of, Some(name), &[])),
        ] {
            assert!(lineage.propose(&wrong).is_err(), "{what}");
        }
        assert!(lineage.goes_on(&two, &one) && lineage.goes_on(&one, &one));
        assert!(!lineage.goes_on(&one, &two));
        assert!(lineage.goes_on(&entry(3, (1, 7), None, &[]), &two), "other rows");
        assert!(!lineage.goes_on(&entry(3, of, None, &[]), &two));
        assert_eq!(lineage.propose(&Record::default()), Ok(None));
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let base = Name { version: 9, origin: Ballot::new(2, 3, 4) };
        let group = Group::new(1, Ballot::new(5, 6, 7), Some(base), Indexes::default(), std::iter::empty());
        let mut bytes = Vec::new();
        group.encode(&mut bytes);
        // Table, origin, that there is a base, and its name.
        let name = &bytes[4 + 16 + 1..][..24];
        assert_eq!(read_name(name), group.base);
        assert_eq!(read_name(&name[1..]), None);
    }
}
