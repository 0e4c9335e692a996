//! A set: different members.

use reactor::mutants::planted;

use super::seq::Seq;
use super::{digest, element_bytes, take_count, varint_bytes, Change, Element, Misfit, Notes, ScanOrder};
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// Members in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    members: Seq<Element>,
    /// Of all members in the encoding.
    bytes: usize,
    notes: Notes,
    scan_order: ScanOrder,
}

impl Set {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn find(&self, member: &[u8]) -> Result<usize, usize> {
        self.members.find(|other| (**other).cmp(member))
    }

    /// Whether it has a member.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.find(member).is_ok()
    }

    /// The member at a place in the order.
    pub fn at(&self, place: usize) -> Option<&Element> {
        self.members.get(place)
    }

    /// All members, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Element> {
        self.members.iter()
    }

    /// Adds a member; whether it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let Err(place) = self.find(member) else { return false };
        self.bytes += element_bytes(member);
        let member = Element::from(member);
        self.scan_order.insert(&member);
        self.members.insert(place, member.clone());
        let term = |member: &[u8]| digest::term(digest::Seed::Set, member);
        self.notes.add(|| Change::AddMember(member.clone()), |digest| digest.wrapping_add(term(&member)));
        true
    }

    /// Removes a member; whether there was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.find(member).map(|place| self.remove_at(place)).is_ok()
    }

    /// Takes away the member at a place where there is one.
    pub fn remove_at(&mut self, place: usize) -> Element {
        let member = self.members.remove(place);
        self.bytes -= element_bytes(&member);
        self.scan_order.remove(&member);
        if planted(519) {
            return member;
        }
        let term = |member: &[u8]| digest::term(digest::Seed::Set, member);
        self.notes.add(|| Change::RemoveMember(member.clone()), |digest| digest.wrapping_sub(term(&member)));
        member
    }

    /// The digest (`object::digest`).
    pub fn digest(&self) -> u64 {
        let sum = |sum: u64, member: &Element| sum.wrapping_add(digest::term(digest::Seed::Set, member));
        self.notes.digest().unwrap_or_else(|| self.iter().fold(0, sum))
    }

    /// Applies one change.
    pub fn apply(&mut self, change: Change) -> Result<(), Misfit> {
        let fits = match change {
            Change::AddMember(member) => self.insert(&member),
            Change::RemoveMember(member) => self.remove(&member),
            _ => false,
        };
        fits.then_some(()).ok_or(Misfit)
    }

    pub(crate) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// In which order it is read page by page.
    pub(crate) fn scan_order(&self) -> &ScanOrder {
        &self.scan_order
    }

    /// It is kept, so that pages of it may be asked for one after the other.
    pub(crate) fn begin_scans(&mut self) {
        self.scan_order.begin();
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        varint_bytes(self.len()) + self.bytes
    }

    /// Appends the encoding: count, then each member behind its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.members.iter().for_each(|member| put_bytes(out, member));
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Set, DecodeError> {
        let (mut members, mut total) = (Vec::new(), 0);
        Set::walk(bytes, |member| {
            total += element_bytes(member);
            members.push(member.into());
        })?;
        Ok(Set {
            members: Seq::from(members),
            bytes: total,
            notes: Notes::default(),
            scan_order: ScanOrder::default(),
        })
    }

    /// Whether bytes are an encoding, without making copies.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        Set::walk(bytes, |_| {})
    }

    fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut last = None;
        for _ in 0..take_count(&mut reader)? {
            let member = reader.bytes()?;
            if last.replace(member).is_some_and(|last| last >= member) {
                return Err(DecodeError::Malformed);
            }
            each(member);
        }
        reader.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reactor::rng::Rng;

    use super::*;

    /// A twin: a set of the standard library.
    #[test]
    fn whatever_is_done_a_set_says_the_same() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut set, mut twin) = (Set::default(), BTreeSet::new());
            for _ in 0..200 {
                let member = rng.below(40).to_string().into_bytes();
                if rng.below(3) > 0 {
                    assert_eq!(set.insert(&member), twin.insert(member.clone()));
                } else {
                    assert_eq!(set.remove(&member), twin.remove(&member));
                }
                assert_eq!((set.len(), set.is_empty()), (twin.len(), twin.is_empty()));
                assert_eq!(set.contains(&member), twin.contains(&member));
                assert!(set.iter().map(|member| member.to_vec()).eq(twin.iter().cloned()));
                let mut bytes = Vec::new();
                set.encode(&mut bytes);
                assert_eq!(bytes.len(), set.encoded_bytes());
                if !set.is_empty() {
                    assert_eq!((Set::decode(&bytes), Set::check(&bytes)), (Ok(set.clone()), Ok(())));
                    let cut = rng.below(bytes.len() as u64) as usize;
                    assert!(Set::check(&bytes[..cut]).is_err());
                }
            }
        }
    }

    #[test]
    fn members_that_are_not_in_order_are_refused() {
        for bytes in [&b"\x02\x01b\x01a"[..], b"\x02\x01a\x01a", b"\x00", b"\x01\x01ax"] {
            assert!(Set::decode(bytes).is_err() && Set::check(bytes).is_err());
        }
    }
}
