//! Rows of groups in the core's tree: their keys, and what an entry makes of them. Pure.
//!
//! ```text
//! flush epoch u32 | number of the table u32 | length u32, name of the partition | 0: the name of the entry applied last
//!                                                                               | else: a key of the partition (docs/formats/sql.md)
//! ```
//!
//! Numbers are big endian, so that what an older epoch had, and what a dropped table had, are ranges of keys.

use std::collections::BTreeMap;

use lsm::Batch;
use sql::{Catalog, Layout};

use super::Entry;
use crate::command::{DecodeError, Reader};
use crate::object::Name;

/// The last byte of the key of a group's name row. Keys of a partition begin with 1 or 2.
const NAME: u8 = 0;
/// Above all that a partition's keys begin with.
const END: u8 = 0xFF;

/// What stands in front of the keys of a group.
pub(crate) fn prefix(epoch: u32, table: u32, group: &[u8]) -> Vec<u8> {
    let len = u32::try_from(group.len()).expect("keys are bounded far below 4 GiB");
    let mut key = Vec::with_capacity(3 * size_of::<u32>() + group.len());
    [epoch, table, len].iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key.extend_from_slice(group);
    key
}

/// The key of the row that says which entry was applied last.
pub(crate) fn name_key(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[NAME]].concat()
}

/// Above all keys of a group.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[END]].concat()
}

/// Whether a key within a group is the name row's.
pub(crate) fn is_name(key: &[u8]) -> bool {
    *key == [NAME]
}

/// Whether a key within a group may be that of a row, or of an entry of an index.
pub(crate) fn is_of_row(key: &[u8]) -> bool {
    key.first().is_some_and(|first| (NAME + 1..END).contains(first))
}

/// Whether the tree takes a row of such a length.
pub(crate) fn fits(group: &[u8], key: &[u8], value: &[u8]) -> bool {
    let key_bytes = 3 * size_of::<u32>() + group.len() + key.len();
    key_bytes <= lsm::limits::KEY_BYTES_MAX && value.len() <= lsm::limits::VALUE_BYTES_MAX
}

/// What a name row says.
pub(crate) fn read_name(bytes: &[u8]) -> Result<Name, DecodeError> {
    let mut reader = Reader::new(bytes);
    let name = Name::take(&mut reader)?;
    reader.end()?;
    Ok(name)
}

/// What an entry makes of the rows of its group, its name included: all of it, or nothing.
pub(crate) fn changes_of(prefix: &[u8], entry: &Entry) -> Batch {
    let mut batch = Batch::new();
    if entry.group.base.is_none() {
        batch.delete_range(prefix, &end_of(prefix));
    }
    let mut key = prefix.to_vec();
    for (row, bytes) in entry.group.changes() {
        key.truncate(prefix.len());
        key.extend_from_slice(row);
        match bytes {
            Some(bytes) => batch.put(&key, bytes),
            None => batch.delete(&key),
        }
    }
    let mut name = Vec::new();
    entry.name().encode(&mut name);
    batch.put(&name_key(prefix), &name);
    batch
}

/// Has all rows go that are of an older flush epoch, or of no table of the catalog: a few ranges, however many rows there are.
pub(crate) fn sweep(epoch: u32, catalog: &Catalog) -> Batch {
    let mut batch = Batch::new();
    let at = |table: u32| [epoch.to_be_bytes(), table.to_be_bytes()].concat();
    if epoch > 0 {
        batch.delete_range(&0_u32.to_be_bytes(), &epoch.to_be_bytes());
    }
    let mut tables: Vec<u32> =
        catalog.tables().filter(|table| table.layout == Layout::Large).map(|table| table.id).collect();
    tables.sort_unstable();
    let mut first = 0;
    for table in tables {
        if first < table {
            batch.delete_range(&at(first), &at(table));
        }
        first = table + 1;
    }
    batch.delete_range(&at(first), &at(u32::MAX));
    batch
}

/// What the statements of a batch have changed so far: keys of the partition, and what they have now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Of their keys and bytes.
    pub bytes: usize,
}

impl Overlay {
    /// Adds what a statement changes.
    pub fn add(&mut self, changes: Vec<sql::Change>) {
        for sql::Change { key, value } in changes {
            let value_bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
            self.bytes += value_bytes(&value);
            let key_bytes = key.len();
            match self.rows.insert(key, value) {
                Some(before) => self.bytes -= value_bytes(&before),
                None => self.bytes += key_bytes,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_range_of_keys() {
        let (one, other) = (prefix(0, 7, b"{t:a}"), prefix(0, 7, b"{t:aa}"));
        for row in [&[1][..], &[1, 0xFF], &[2, 0, 0, 0, 1], &[2, 0xFF]] {
            let key = [&one[..], row].concat();
            assert!(name_key(&one) < key && key < end_of(&one), "{row:?}");
            assert!(!(name_key(&other)..end_of(&other)).contains(&key), "{row:?}");
        }
        assert!(
            end_of(&prefix(0, 7, b"x")) < prefix(0, 8, b"") && prefix(0, u32::MAX, b"z") < prefix(1, 0, b"")
        );
    }

    #[test]
    fn an_overlay_counts_its_bytes() {
        let mut overlay = Overlay::default();
        let change = |key: &[u8], value: Option<&[u8]>| sql::Change {
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        overlay.add(vec![change(b"a", Some(b"123")), change(b"bb", None)]);
        assert_eq!(overlay.bytes, 6);
        overlay.add(vec![change(b"a", None), change(b"bb", Some(b"1"))]);
        assert_eq!((overlay.bytes, overlay.rows.len()), (4, 2));
    }
}
