//! The head of a log group: what the record of its key has for a value. It is the group's newest entry as well (docs/design/log-groups.md).
//!
//! An entry says what changes in the rows of the group, and on which entry that stands. Its *name* is the version of its record with the ballot
//! at which it was first proposed: whoever finishes it at a higher ballot leaves the name as it is.

use std::rc::Rc;

use paxos::Ballot;

use super::Indexes;
use crate::command::{put_bytes, put_varint, DecodeError, Reader};
use crate::limits::VERSION_MAX;

/// Names an entry of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The version of its record. Of two chosen entries of a group the later one has the greater name: its version is no lower, and its origin
    /// is greater.
    pub version: u64,
    /// The ballot at which it was first proposed.
    pub origin: Ballot,
}

/// The newest entry of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The number of the table whose rows they are.
    pub table: u32,
    /// The ballot at which it was first proposed.
    pub origin: Ballot,
    /// The entry before it, which is chosen. None: it starts from no rows.
    pub base: Option<Name>,
    /// Which indexes of the table have entries among the rows that it makes.
    pub indexes: Indexes,
    changes: Rc<[u8]>,
}

/// What becomes of a row: its key within the group, and its bytes, if it stays.
pub type RowChange<'a> = (&'a [u8], Option<&'a [u8]>);

const GONE: u8 = 0;
const THERE: u8 = 1;

/// Bytes of a name.
pub const NAME_BYTES: usize = 8 + 8 + 4 + 4;

impl Name {
    /// Appends the encoding, little endian.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.origin.round.to_le_bytes());
        out.extend_from_slice(&self.origin.node.to_le_bytes());
        out.extend_from_slice(&self.origin.incarnation.to_le_bytes());
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Name, DecodeError> {
        let version = u64::from_le_bytes(array(reader)?);
        let origin = take_ballot(reader)?;
        match version < VERSION_MAX && !origin.is_zero() {
            true => Ok(Name { version, origin }),
            false => Err(DecodeError::Malformed),
        }
    }
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    reader.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
}

fn take_ballot(reader: &mut Reader<'_>) -> Result<Ballot, DecodeError> {
    let round = u64::from_le_bytes(array(reader)?);
    let (node, incarnation) = (u32::from_le_bytes(array(reader)?), u32::from_le_bytes(array(reader)?));
    Ok(Ballot { round, node, incarnation })
}

impl Group {
    /// An entry with these changes, in the order of their keys.
    pub fn new<'a>(
        table: u32,
        origin: Ballot,
        base: Option<Name>,
        indexes: Indexes,
        changes: impl ExactSizeIterator<Item = RowChange<'a>>,
    ) -> Group {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, changes.len() as u64);
        for (key, value) in changes {
            bytes.push(if value.is_some() { THERE } else { GONE });
            put_bytes(&mut bytes, key);
            value.into_iter().for_each(|value| put_bytes(&mut bytes, value));
        }
        Group { table, origin, base, indexes, changes: bytes.into() }
    }

    /// Its name, in a record of this version.
    pub fn name(&self, version: u64) -> Name {
        Name { version, origin: self.origin }
    }

    /// What changes, in the order of the keys.
    pub fn changes(&self) -> impl Iterator<Item = RowChange<'_>> {
        let mut reader = Reader::new(&self.changes);
        let count = reader.varint().unwrap_or(0);
        (0..count).map_while(move |_| take_change(&mut reader).ok())
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        let base = 1 + if self.base.is_some() { NAME_BYTES } else { 0 };
        let head = size_of::<u32>() + NAME_BYTES - size_of::<u64>() + base;
        head + self.indexes.encoded_bytes() + self.changes.len()
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.table.to_le_bytes());
        out.extend_from_slice(&self.origin.round.to_le_bytes());
        out.extend_from_slice(&self.origin.node.to_le_bytes());
        out.extend_from_slice(&self.origin.incarnation.to_le_bytes());
        out.push(self.base.is_some().into());
        self.base.into_iter().for_each(|base| base.encode(out));
        self.indexes.encode(out);
        out.extend_from_slice(&self.changes);
    }

    /// Reads an encoding, all of it, in a record of this version.
    pub fn decode(bytes: &[u8], version: u64) -> Result<Group, DecodeError> {
        let (mut group, changes) = Group::take_head(bytes, version)?;
        check_changes(changes)?;
        group.changes = changes.into();
        Ok(group)
    }

    /// Whether [`Group::decode`] reads the bytes.
    pub fn check(bytes: &[u8], version: u64) -> Result<(), DecodeError> {
        check_changes(Group::take_head(bytes, version)?.1)
    }

    fn take_head(bytes: &[u8], version: u64) -> Result<(Group, &[u8]), DecodeError> {
        let mut reader = Reader::new(bytes);
        let table = u32::from_le_bytes(array(&mut reader)?);
        let origin = take_ballot(&mut reader)?;
        let base = match reader.byte()? {
            0 => None,
            1 => Some(Name::take(&mut reader)?),
            _ => return Err(DecodeError::Malformed),
        };
        let follows = |base: Name| base.version <= version && base.origin < origin;
        if origin.is_zero() || !base.is_none_or(follows) {
            return Err(DecodeError::Malformed);
        }
        let indexes = Indexes::take(&mut reader)?;
        Ok((Group { table, origin, base, indexes, changes: Rc::default() }, reader.rest()))
    }
}

fn take_change<'a>(reader: &mut Reader<'a>) -> Result<RowChange<'a>, DecodeError> {
    let what = reader.byte()?;
    let key = reader.bytes()?;
    match what {
        GONE => Ok((key, None)),
        THERE => Ok((key, Some(reader.bytes()?))),
        _ => Err(DecodeError::Malformed),
    }
}

fn check_changes(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut before: Option<&[u8]> = None;
    for _ in 0..reader.count()? {
        let (key, _) = take_change(&mut reader)?;
        if key.is_empty() || before.is_some_and(|before| before >= key) {
            return Err(DecodeError::Malformed);
        }
        before = Some(key);
    }
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(base: Option<Name>) -> Group {
        let changes: [RowChange<'_>; 3] = [(b"a", Some(b"1")), (b"b", None), (b"bc", Some(b""))];
        Group::new(7, Ballot::new(9, 1, 2), base, Indexes::default(), changes.into_iter())
    }

    #[test]
    fn an_entry_comes_back() {
        let base = Name { version: 300, origin: Ballot::new(8, 1, 2) };
        for base in [None, Some(base)] {
            let group = group(base);
            let mut bytes = Vec::new();
            group.encode(&mut bytes);
            assert_eq!(bytes.len(), group.encoded_bytes());
            assert_eq!(Group::decode(&bytes, 301), Ok(group.clone()));
            let changes: Vec<RowChange<'_>> = group.changes().collect();
            assert_eq!(changes, [(&b"a"[..], Some(&b"1"[..])), (b"b", None), (b"bc", Some(b""))]);
            (0..bytes.len())
                .for_each(|end| assert!(Group::check(&bytes[..end], 301).is_err(), "cut at {end}"));
            bytes.push(0);
            assert_eq!(Group::check(&bytes, 301), Err(DecodeError::Trailing));
        }
        let none = Group::new(1, Ballot::new(1, 1, 1), None, Indexes::default(), std::iter::empty());
        assert_eq!(none.changes().count(), 0);
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let encoded = |group: &Group| {
            let mut bytes = Vec::new();
            group.encode(&mut bytes);
            bytes
        };
        let late = Name { version: 3, origin: Ballot::new(9, 1, 2) };
        assert_eq!(
            Group::check(&encoded(&group(Some(late))), 301),
            Err(DecodeError::Malformed),
            "its own base"
        );
        let none = Group { origin: Ballot::ZERO, ..group(None) };
        assert_eq!(Group::check(&encoded(&none), 301), Err(DecodeError::Malformed), "no origin");
        for keys in [[&b"b"[..], b"a"], [b"a", b"a"], [b"", b"a"]] {
            let changes = keys.into_iter().map(|key| (key, None));
            let group = Group::new(7, Ballot::new(9, 1, 2), None, Indexes::default(), changes);
            assert_eq!(Group::check(&encoded(&group), 301), Err(DecodeError::Malformed), "{keys:?}");
        }
        let mut bytes = encoded(&group(None));
        bytes[20] = 2;
        assert_eq!(Group::check(&bytes, 301), Err(DecodeError::Malformed), "neither a base nor none");
        let of = |version| Name { version, origin: Ballot::new(1, 1, 1) };
        assert!(Group::check(&encoded(&group(Some(of(301)))), 301).is_ok(), "it only remembers a command");
        assert!(Group::check(&encoded(&group(Some(of(302)))), 301).is_err(), "of a later version");
        let far = Name { version: VERSION_MAX, origin: Ballot::new(1, 1, 1) };
        assert!(Group::check(&encoded(&group(Some(far))), 301).is_err(), "a version above all");
    }
}
