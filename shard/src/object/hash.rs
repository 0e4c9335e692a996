//! A hash: values by field.

use super::seq::Seq;
use super::{digest, element_bytes, take_count, varint_bytes, Change, Element, Misfit, Notes, ScanOrder};
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// Fields with their values, in the order of the fields' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    fields: Seq<(Element, Element)>,
    /// Of all fields and values in the encoding.
    bytes: usize,
    notes: Notes,
    scan_order: ScanOrder,
}

fn entry_bytes(field: &[u8], value: &[u8]) -> usize {
    element_bytes(field) + element_bytes(value)
}

impl Hash {
    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn find(&self, field: &[u8]) -> Result<usize, usize> {
        self.fields.find(|(name, _)| (**name).cmp(field))
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&Element> {
        let at = self.find(field).ok()?;
        self.fields.get(at).map(|(_, value)| value)
    }

    /// The place of the first field that is not below this one.
    pub fn place_of(&self, field: &[u8]) -> usize {
        self.find(field).unwrap_or_else(|place| place)
    }

    /// The field and value at a place in the order.
    pub fn at(&self, place: usize) -> Option<&(Element, Element)> {
        self.fields.get(place)
    }

    /// Sets a field; whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.bytes += entry_bytes(field, value);
        let value = Element::from(value);
        let (name, old) = match self.find(field) {
            Ok(at) => {
                let name = self.fields.get(at).map(|(name, _)| name.clone()).unwrap_or_default();
                let (_, old) = self.fields.replace(at, (name.clone(), value.clone()));
                self.bytes -= entry_bytes(field, &old);
                (name, Some(old))
            }
            Err(at) => {
                let name = Element::from(field);
                self.scan_order.insert(&name);
                self.fields.insert(at, (name.clone(), value.clone()));
                (name, None)
            }
        };
        let is_new = old.is_none();
        self.notes.add(
            || Change::SetField(name, value.clone()),
            |digest| {
                let gone = old.map_or(0, |old| digest::field_term(field, &old));
                digest.wrapping_sub(gone).wrapping_add(digest::field_term(field, &value))
            },
        );
        is_new
    }

    /// Removes a field; whether there was one.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Ok(at) = self.find(field) else { return false };
        let (name, value) = self.fields.remove(at);
        self.bytes -= entry_bytes(field, &value);
        self.scan_order.remove(field);
        self.notes.add(
            || Change::RemoveField(name),
            |digest| digest.wrapping_sub(digest::field_term(field, &value)),
        );
        true
    }

    /// The digest (`object::digest`).
    pub fn digest(&self) -> u64 {
        let sum = |sum: u64, (field, value): &(Element, Element)| {
            sum.wrapping_add(digest::field_term(field, value))
        };
        self.notes.digest().unwrap_or_else(|| self.iter().fold(0, sum))
    }

    /// Applies one change.
    pub fn apply(&mut self, change: Change) -> Result<(), Misfit> {
        match change {
            Change::SetField(field, value) => drop(self.set(&field, &value)),
            Change::RemoveField(field) if self.remove(&field) => {}
            _ => return Err(Misfit),
        }
        Ok(())
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

    /// All fields and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(Element, Element)> {
        self.fields.iter()
    }

    /// Fields and values from a place on, in order.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &(Element, Element)> {
        self.fields.iter_from(place)
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        varint_bytes(self.len()) + self.bytes
    }

    /// Appends the encoding: count, then field and value of each, behind their lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        for (field, value) in self.iter() {
            put_bytes(out, field);
            put_bytes(out, value);
        }
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Hash, DecodeError> {
        let (mut fields, mut total) = (Vec::new(), 0);
        Hash::walk(bytes, |field, value| {
            total += entry_bytes(field, value);
            fields.push((field.into(), value.into()));
        })?;
        Ok(Hash {
            fields: Seq::from(fields),
            bytes: total,
            notes: Notes::default(),
            scan_order: ScanOrder::default(),
        })
    }

    /// Whether bytes are an encoding, without making copies.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        Hash::walk(bytes, |_, _| {})
    }

    fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut last = None;
        for _ in 0..take_count(&mut reader)? {
            let (field, value) = (reader.bytes()?, reader.bytes()?);
            if last.replace(field).is_some_and(|last| last >= field) {
                return Err(DecodeError::Malformed);
            }
            each(field, value);
        }
        reader.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reactor::rng::Rng;

    use super::*;

    /// A twin: a map of the standard library.
    #[test]
    fn whatever_is_done_a_map_says_the_same() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut hash, mut twin) = (Hash::default(), BTreeMap::new());
            for step in 0..300_u64 {
                let field = rng.below(40).to_string().into_bytes();
                if rng.below(3) > 0 {
                    let value = vec![b'x'; rng.below(300) as usize];
                    assert_eq!(
                        hash.set(&field, &value),
                        twin.insert(field.clone(), value).is_none(),
                        "{step}"
                    );
                } else {
                    assert_eq!(hash.remove(&field), twin.remove(&field).is_some(), "{step}");
                }
                assert_eq!(hash.len(), twin.len());
                assert_eq!(hash.get(&field).map(|value| &**value), twin.get(&field).map(|value| &**value));
                let all = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec()));
                assert!(all.eq(twin.clone()));
                let mut bytes = Vec::new();
                hash.encode(&mut bytes);
                assert_eq!(bytes.len(), hash.encoded_bytes());
                if hash.is_empty() {
                    assert_eq!(Hash::decode(&bytes), Err(DecodeError::Malformed));
                } else {
                    assert_eq!(Hash::decode(&bytes), Ok(hash.clone()));
                    assert_eq!(Hash::check(&bytes), Ok(()));
                    let cut = rng.below(bytes.len() as u64) as usize;
                    assert!(Hash::check(&bytes[..cut]).is_err());
                }
            }
        }
    }

    #[test]
    fn fields_that_are_not_in_order_are_refused() {
        for bytes in [&b"\x02\x01b\x00\x01a\x00"[..], b"\x02\x01a\x00\x01a\x00", b"\x00", b"\x01\x01a\x00x"] {
            assert!(Hash::decode(bytes).is_err() && Hash::check(bytes).is_err());
        }
    }
}
