//! A list: elements in an order of their own.

use super::seq::Seq;
use super::{digest, element_bytes, take_count, varint_bytes, Change, Element, Misfit, Notes};
use crate::command::{put_bytes, put_varint, DecodeError, End, Reader};

/// Elements in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    elements: Seq<Element>,
    /// Of all elements in the encoding.
    bytes: usize,
    notes: Notes,
}

/// Terms that are gone through where an element comes or goes at a place.
fn nearer(place: usize, len: usize) -> usize {
    place.min(len - place)
}

impl List {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The element at a place.
    pub fn get(&self, place: usize) -> Option<&Element> {
        self.elements.get(place)
    }

    /// Elements from a place on.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &Element> {
        self.elements.iter_from(place)
    }

    /// Puts an element at a place, before what is there; the place is at most the length.
    pub fn insert(&mut self, place: usize, element: &[u8]) {
        let (len, sums) = (self.len(), self.sums(place));
        self.bytes += element_bytes(element);
        let element = Element::from(element);
        self.elements.insert(place, element.clone());
        let digest = sums.map(|(before, behind)| {
            let new = digest::at_place(place, &element);
            before.wrapping_add(new).wrapping_add(digest::moved_up(behind, 1))
        });
        let change = || match place {
            0 => Change::Push(End::Left, element),
            _ if place == len => Change::Push(End::Right, element),
            _ => Change::Insert(place, element),
        };
        self.notes.put(change, digest, nearer(place, len));
    }

    /// Puts another element at a place where there is one.
    pub fn replace(&mut self, place: usize, element: &[u8]) {
        self.bytes += element_bytes(element);
        let element = Element::from(element);
        let old = self.elements.replace(place, element.clone());
        self.bytes -= element_bytes(&old);
        let terms = |digest: u64| {
            let digest = digest.wrapping_sub(digest::at_place(place, &old));
            digest.wrapping_add(digest::at_place(place, &element))
        };
        let digest = self.notes.digest().map(terms);
        self.notes.put(|| Change::Replace(place, element), digest, 0);
    }

    /// Takes away the element at a place where there is one.
    pub fn remove(&mut self, place: usize) -> Element {
        let (len, sums) = (self.len(), self.sums(place));
        let element = self.elements.remove(place);
        self.bytes -= element_bytes(&element);
        let digest = sums.map(|(before, behind)| {
            let rest = behind.wrapping_sub(digest::at_place(place, &element));
            before.wrapping_add(digest::moved_down(rest, 1))
        });
        let change = || match place {
            0 => Change::Pop(End::Left, 1),
            _ if place == len - 1 => Change::Pop(End::Right, 1),
            _ => Change::RemoveAt(place),
        };
        self.notes.put(change, digest, nearer(place, len));
        element
    }

    /// Leaves the elements from a place up to another, which is not before it.
    pub fn cut(&mut self, from: usize, to: usize) {
        let len = self.len();
        let behind = self.elements.split_off(to);
        let kept = self.elements.split_off(from);
        let gone = self.elements.iter().chain(behind.iter());
        self.bytes -= gone.map(|element| element_bytes(element)).sum::<usize>();
        let digest = self.notes.digest().map(|digest| match to - from <= len / 2 {
            true => digest::of_elements(0, kept.iter()),
            false => {
                let before = digest::of_elements(0, self.elements.iter());
                let behind = digest::of_elements(to, behind.iter());
                digest::moved_down(digest.wrapping_sub(before).wrapping_sub(behind), from)
            }
        });
        self.elements = kept;
        if self.len() < len {
            self.notes.put(|| Change::Keep(from, to - from), digest, 0);
        }
    }

    /// What the elements before a place add to the digest, and those from there on, told from the nearer end. None: the digest is not kept up.
    fn sums(&self, place: usize) -> Option<(u64, u64)> {
        let (before, behind) = (place, self.len() - place);
        let digest = self.notes.digest_for(before.min(behind), self.len())?;
        Some(if before < behind {
            let sum = digest::of_elements(0, self.elements.iter().take(before));
            (sum, digest.wrapping_sub(sum))
        } else {
            let sum = digest::of_elements(place, self.elements.iter_from(place));
            (digest.wrapping_sub(sum), sum)
        })
    }

    /// The digest (`object::digest`).
    pub fn digest(&self) -> u64 {
        self.notes.digest().unwrap_or_else(|| digest::of_elements(0, self.elements.iter()))
    }

    /// Applies one change.
    pub fn apply(&mut self, change: Change) -> Result<(), Misfit> {
        let len = self.len();
        match change {
            Change::Push(End::Left, element) => self.insert(0, &element),
            Change::Push(End::Right, element) => self.insert(len, &element),
            Change::Pop(End::Left, count) if (1..=len).contains(&count) => self.cut(count, len),
            Change::Pop(End::Right, count) if (1..=len).contains(&count) => self.cut(0, len - count),
            Change::Replace(place, element) if place < len => self.replace(place, &element),
            Change::Insert(place, element) if (1..len).contains(&place) => self.insert(place, &element),
            Change::RemoveAt(place) if place > 0 && place + 1 < len => drop(self.remove(place)),
            Change::Keep(from, count) if count > 0 && count < len && from <= len - count => {
                self.cut(from, from + count);
            }
            _ => return Err(Misfit),
        }
        Ok(())
    }

    pub(crate) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        varint_bytes(self.len()) + self.bytes
    }

    /// Appends the encoding: count, then each element behind its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.elements.iter().for_each(|element| put_bytes(out, element));
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<List, DecodeError> {
        let (mut elements, mut total) = (Vec::new(), 0);
        List::walk(bytes, |element| {
            total += element_bytes(element);
            elements.push(element.into());
        })?;
        Ok(List { elements: Seq::from(elements), bytes: total, notes: Notes::default() })
    }

    /// Whether bytes are an encoding, without making copies.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        List::walk(bytes, |_| {})
    }

    fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        for _ in 0..take_count(&mut reader)? {
            each(reader.bytes()?);
        }
        reader.end()
    }
}

#[cfg(test)]
mod tests {
    use reactor::rng::Rng;

    use super::*;

    /// A twin: a vector.
    #[test]
    fn whatever_is_done_a_vector_says_the_same() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut list, mut twin) = (List::default(), Vec::<Vec<u8>>::new());
            for _ in 0..200 {
                let element = vec![b'x'; rng.below(200) as usize];
                let place = rng.below(twin.len() as u64 + 1) as usize;
                match rng.below(8) {
                    0..=4 => {
                        list.insert(place, &element);
                        twin.insert(place, element);
                    }
                    5 if place < twin.len() => assert_eq!(list.remove(place).to_vec(), twin.remove(place)),
                    6 if place < twin.len() => {
                        list.replace(place, &element);
                        twin[place] = element;
                    }
                    7 if rng.below(4) == 0 => {
                        let to = place + rng.below((twin.len() - place) as u64 + 1) as usize;
                        list.cut(place, to);
                        twin = twin[place..to].to_vec();
                    }
                    _ => {}
                }
                assert_eq!((list.len(), list.is_empty()), (twin.len(), twin.is_empty()));
                assert!(list.iter_from(0).map(|element| element.to_vec()).eq(twin.iter().cloned()));
                assert_eq!(list.get(place).map(|element| element.to_vec()), twin.get(place).cloned());
                let mut bytes = Vec::new();
                list.encode(&mut bytes);
                assert_eq!(bytes.len(), list.encoded_bytes());
                if !list.is_empty() {
                    assert_eq!((List::decode(&bytes), List::check(&bytes)), (Ok(list.clone()), Ok(())));
                    let cut = rng.below(bytes.len() as u64) as usize;
                    assert!(List::check(&bytes[..cut]).is_err());
                }
            }
        }
    }
}
