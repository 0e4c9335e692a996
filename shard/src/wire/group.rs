//! What is said of entries of log groups: who lacks one that is chosen asks for it by its name.

use super::bytes::{put_bytes, Malformed, Reader};
use crate::limits::ENTRIES_MAX;
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
}

const ASK: u8 = 1;
const TELL: u8 = 2;

fn take_name(reader: &mut Reader<'_>) -> Result<Name, Malformed> {
    let (version, origin) = (reader.u64()?, reader.ballot()?);
    match version < crate::limits::VERSION_MAX && !origin.is_zero() {
        true => Ok(Name { version, origin }),
        false => Err(reader.malformed()),
    }
}

impl<'a> GroupSaid<'a> {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            GroupSaid::Ask { key, name, have } => {
                out.push(ASK);
                put_bytes(out, key);
                name.encode(out);
                out.push(have.is_some().into());
                have.iter().for_each(|have| have.encode(out));
            }
            GroupSaid::Tell { key, name, entries } => {
                assert!(entries.len() <= ENTRIES_MAX, "answers are bounded where they are made");
                out.push(TELL);
                put_bytes(out, key);
                name.encode(out);
                entries.iter().for_each(|entry| put_bytes(out, entry));
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'a>) -> Result<GroupSaid<'a>, Malformed> {
        let what = reader.u8()?;
        let key = reader.bytes()?;
        let name = take_name(&mut reader)?;
        match what {
            ASK => {
                let have = match reader.u8()? {
                    0 => None,
                    1 => Some(take_name(&mut reader)?),
                    _ => return Err(reader.malformed()),
                };
                reader.end()?;
                Ok(GroupSaid::Ask { key, name, have })
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
            _ => Err(reader.malformed()),
        }
    }

    /// The slot of the group.
    pub fn slot(&self) -> u16 {
        match self {
            GroupSaid::Ask { key, .. } | GroupSaid::Tell { key, .. } => slot::slot(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use paxos::Ballot;

    use super::*;
    use crate::object::Group;
    use crate::state::Value;

    fn entry() -> Vec<u8> {
        let group = Group::new(1, Ballot::new(7, 1, 1), None, [(&b"k"[..], None)].into_iter());
        let record = Record { version: 9, value: Some(Value::Group(group)), ..Record::default() };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_said_comes_back_and_nothing_else() {
        let entry = entry();
        let name = Name { version: 9, origin: Ballot::new(7, 1, 1) };
        let all = [
            GroupSaid::Ask { key: b"{t:a}", name, have: None },
            GroupSaid::Ask { key: b"{t:a}", name, have: Some(name) },
            GroupSaid::Tell { key: b"{t:a}", name, entries: Vec::new() },
            GroupSaid::Tell { key: b"{t:a}", name, entries: vec![&entry, &entry] },
        ];
        for said in all {
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            assert_eq!(GroupSaid::decode(Reader::new(&bytes, "said")), Ok(said.clone()));
            for end in 0..bytes.len() {
                let cut = GroupSaid::decode(Reader::new(&bytes[..end], "said"));
                assert!(cut.is_err() || matches!(said, GroupSaid::Tell { .. }) && cut != Ok(said.clone()));
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
    }
}
