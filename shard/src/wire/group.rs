//! What is said of log groups: who lacks an entry that is chosen asks for it by its name, and, where it is in no log any more, for rows.

use super::bytes::{put_bytes, Malformed, Reader};
use crate::limits::{ENTRIES_MAX, GIVEN_ROWS_MAX};
use crate::object::Name;
use crate::record::Record;
use crate::slot;

/// A word about entries of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupSaid<'a> {
    /// Asks for an entry that is chosen, and for those that it stands on.
    Ask {
        /// The group's key.
        key: &'a [u8],
        /// The entry.
        name: Name,
        /// The flush epoch that it is of,
        epoch: u32,
        /// and the number of the table.
        table: u32,
        /// What the asker has; none: it has nothing.
        have: Option<Name>,
    },
    /// An entry, the one that it stands on, and so on, as records without ids. None: it is not here.
    Tell {
        /// The group's key.
        key: &'a [u8],
        /// The entry that was asked for.
        name: Name,
        /// The entries.
        entries: Vec<&'a [u8]>,
    },
    /// An entry is in the log no more; the rows are of that one, or of a later one.
    Gone {
        /// The group's key.
        key: &'a [u8],
        /// The entry that was asked for.
        name: Name,
        /// What the rows are of.
        at: Name,
    },
    /// Asks for rows of an entry, or of a later one.
    AskRows {
        /// The group's key.
        key: &'a [u8],
        /// The entry.
        name: Name,
        /// Its flush epoch,
        epoch: u32,
        /// and the number of its table.
        table: u32,
        /// What the rows that have come so far are of; none: none have.
        at: Option<Name>,
        /// The last of them; empty: none have come.
        behind: &'a [u8],
    },
    /// Rows in the order of their keys, the name row first.
    Rows {
        /// The group's key.
        key: &'a [u8],
        /// What they are of.
        at: Name,
        /// They come behind this one; empty: they are the first.
        behind: &'a [u8],
        /// There are more.
        more: bool,
        /// Their keys within the group, and their bytes.
        rows: Vec<(&'a [u8], &'a [u8])>,
    },
}

const ASK: u8 = 1;
const TELL: u8 = 2;
const GONE: u8 = 3;
const ASK_ROWS: u8 = 4;
const ROWS: u8 = 5;

fn take_name(reader: &mut Reader<'_>) -> Result<Name, Malformed> {
    let (version, origin) = (reader.u64()?, reader.ballot()?);
    match version < crate::limits::VERSION_MAX && !origin.is_zero() {
        true => Ok(Name { version, origin }),
        false => Err(reader.malformed()),
    }
}

fn put_optional(out: &mut Vec<u8>, name: Option<Name>) {
    out.push(name.is_some().into());
    name.iter().for_each(|name| name.encode(out));
}

fn take_optional(reader: &mut Reader<'_>) -> Result<Option<Name>, Malformed> {
    take_flag(reader)?.then(|| take_name(reader)).transpose()
}

fn take_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed()),
    }
}

impl<'a> GroupSaid<'a> {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            GroupSaid::Ask { key, name, epoch, table, have } => {
                put_head(out, ASK, key, *name);
                put_table(out, *epoch, *table);
                put_optional(out, *have);
            }
            GroupSaid::Tell { key, name, entries } => {
                assert!(entries.len() <= ENTRIES_MAX, "answers are bounded where they are made");
                put_head(out, TELL, key, *name);
                entries.iter().for_each(|entry| put_bytes(out, entry));
            }
            GroupSaid::Gone { key, name, at } => {
                put_head(out, GONE, key, *name);
                at.encode(out);
            }
            GroupSaid::AskRows { key, name, epoch, table, at, behind } => {
                put_head(out, ASK_ROWS, key, *name);
                put_table(out, *epoch, *table);
                put_optional(out, *at);
                put_bytes(out, behind);
            }
            GroupSaid::Rows { key, at, behind, more, rows } => {
                assert!(rows.len() <= GIVEN_ROWS_MAX, "pages are bounded where they are made");
                put_head(out, ROWS, key, *at);
                put_bytes(out, behind);
                out.push((*more).into());
                for (key, value) in rows {
                    put_bytes(out, key);
                    put_bytes(out, value);
                }
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'a>) -> Result<GroupSaid<'a>, Malformed> {
        let what = reader.u8()?;
        let key = reader.bytes()?;
        let name = take_name(&mut reader)?;
        match what {
            ASK => {
                let (epoch, table) = (reader.u32()?, reader.u32()?);
                let have = take_optional(&mut reader)?;
                reader.end()?;
                Ok(GroupSaid::Ask { key, name, epoch, table, have })
            }
            TELL => {
                let mut entries = Vec::new();
                while !reader.is_empty() {
                    let entry = reader.bytes()?;
                    if entries.len() == ENTRIES_MAX || !Record::is_group(entry) {
                        return Err(reader.malformed());
                    }
                    Record::check(entry)?;
                    entries.push(entry);
                }
                Ok(GroupSaid::Tell { key, name, entries })
            }
            GONE => {
                let (at, malformed) = (take_name(&mut reader)?, reader.malformed());
                reader.end()?;
                match at >= name {
                    true => Ok(GroupSaid::Gone { key, name, at }),
                    false => Err(malformed),
                }
            }
            ASK_ROWS => {
                let (epoch, table) = (reader.u32()?, reader.u32()?);
                let (at, behind) = (take_optional(&mut reader)?, reader.bytes()?);
                let malformed = reader.malformed();
                reader.end()?;
                match at.is_some() || behind.is_empty() {
                    true => Ok(GroupSaid::AskRows { key, name, epoch, table, at, behind }),
                    false => Err(malformed),
                }
            }
            ROWS => {
                let (behind, more) = (reader.bytes()?, take_flag(&mut reader)?);
                let mut rows = Vec::new();
                while !reader.is_empty() {
                    if rows.len() == GIVEN_ROWS_MAX {
                        return Err(reader.malformed());
                    }
                    rows.push((reader.bytes()?, reader.bytes()?));
                }
                Ok(GroupSaid::Rows { key, at: name, behind, more, rows })
            }
            _ => Err(reader.malformed()),
        }
    }

    /// The slot of the group.
    pub fn slot(&self) -> u16 {
        match self {
            GroupSaid::Ask { key, .. }
            | GroupSaid::Tell { key, .. }
            | GroupSaid::Gone { key, .. }
            | GroupSaid::AskRows { key, .. }
            | GroupSaid::Rows { key, .. } => slot::slot(key),
        }
    }
}

fn put_head(out: &mut Vec<u8>, what: u8, key: &[u8], name: Name) {
    out.push(what);
    put_bytes(out, key);
    name.encode(out);
}

fn put_table(out: &mut Vec<u8>, epoch: u32, table: u32) {
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&table.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use paxos::Ballot;

    use super::*;
    use crate::object::{Group, Indexes};
    use crate::state::Value;

    fn entry() -> Vec<u8> {
        let group =
            Group::new(1, Ballot::new(7, 1, 1), None, Indexes::default(), [(&b"k"[..], None)].into_iter());
        let record = Record { version: 9, value: Some(Value::Group(group)), ..Record::default() };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_said_comes_back_and_nothing_else() {
        let entry = entry();
        let name = Name { version: 9, origin: Ballot::new(7, 1, 1) };
        let later = Name { version: 10, ..name };
        let (key, epoch, table) = (&b"{t:a}"[..], 2, 3);
        let (first, row): (&[u8], &[u8]) = (&[0], &[1, 7]);
        let all = [
            GroupSaid::Ask { key, name, epoch, table, have: None },
            GroupSaid::Ask { key, name, epoch, table, have: Some(name) },
            GroupSaid::Tell { key, name, entries: Vec::new() },
            GroupSaid::Tell { key, name, entries: vec![&entry, &entry] },
            GroupSaid::Gone { key, name, at: later },
            GroupSaid::AskRows { key, name, epoch, table, at: None, behind: b"" },
            GroupSaid::AskRows { key, name, epoch, table, at: Some(later), behind: row },
            GroupSaid::Rows {
                key,
                at: later,
                behind: b"",
                more: true,
                rows: vec![(first, b"n"), (row, b"")],
            },
            GroupSaid::Rows { key, at: later, behind: row, more: false, rows: Vec::new() },
        ];
        for said in all {
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            assert_eq!(GroupSaid::decode(Reader::new(&bytes, "said")), Ok(said.clone()));
            for end in 0..bytes.len() {
                let cut = GroupSaid::decode(Reader::new(&bytes[..end], "said"));
                let is_list = matches!(said, GroupSaid::Tell { .. } | GroupSaid::Rows { .. });
                assert!(cut.is_err() || is_list && cut != Ok(said.clone()));
            }
        }
        let tombstone = {
            let mut bytes = Vec::new();
            Record::default().encode(&mut bytes);
            bytes
        };
        let mut bytes = Vec::new();
        GroupSaid::Tell { key: b"k", name, entries: vec![&tombstone] }.encode(&mut bytes);
        assert!(GroupSaid::decode(Reader::new(&bytes, "said")).is_err(), "no entry of a group");
        let refused = [
            GroupSaid::Gone { key: b"k", name: later, at: name },
            GroupSaid::AskRows { key: b"k", name, epoch: 0, table: 1, at: None, behind: b"b" },
        ];
        for said in refused {
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            assert!(GroupSaid::decode(Reader::new(&bytes, "said")).is_err(), "{said:?}");
        }
    }
}
