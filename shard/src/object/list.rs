//! A list: elements in an order of their own.

use super::seq::Seq;
use super::{element_bytes, take_count, varint_bytes, Element};
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// Elements in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    elements: Seq<Element>,
    /// Of all elements in the encoding.
    bytes: usize,
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
        self.bytes += element_bytes(element);
        self.elements.insert(place, element.into());
    }

    /// Puts another element at a place where there is one.
    pub fn replace(&mut self, place: usize, element: &[u8]) {
        self.bytes += element_bytes(element);
        let old = self.elements.replace(place, element.into());
        self.bytes -= element_bytes(&old);
    }

    /// Takes away the element at a place where there is one.
    pub fn remove(&mut self, place: usize) -> Element {
        let element = self.elements.remove(place);
        self.bytes -= element_bytes(&element);
        element
    }

    /// Leaves the elements from a place up to another, which is not before it.
    pub fn cut(&mut self, from: usize, to: usize) {
        let behind = self.elements.split_off(to);
        let kept = self.elements.split_off(from);
        let gone = self.elements.iter().chain(behind.iter());
        self.bytes -= gone.map(|element| element_bytes(element)).sum::<usize>();
        self.elements = kept;
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
        Ok(List { elements: Seq::from(elements), bytes: total })
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
