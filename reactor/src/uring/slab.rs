//! A slab whose keys carry a generation: a key of a removed entry never finds its successor.

use super::token::{Key, GENERATION_MASK};

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Entries with stable keys.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    slots_max: usize,
}

impl<T> Slab<T> {
    /// An empty slab for at most `slots_max` entries.
    pub fn new(slots_max: usize) -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new(), slots_max }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no further entry fits.
    pub fn is_full(&self) -> bool {
        self.len() >= self.slots_max
    }

    /// Adds an entry. The caller has checked [`Slab::is_full`].
    pub fn insert(&mut self, value: T) -> Key {
        assert!(!self.is_full(), "a slab of {} entries is full", self.slots_max);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        assert!(place.value.is_none(), "a free slot is empty");
        place.value = Some(value);
        Key { slot, generation: place.generation }
    }

    /// The entry, if it is still there.
    pub fn find(&self, key: Key) -> Option<&T> {
        let place = self.slots.get(key.slot as usize)?;
        place.value.as_ref().filter(|_| place.generation == key.generation)
    }

    /// The entry, if it is still there.
    pub fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        place.value.as_mut().filter(|_| place.generation == key.generation)
    }

    /// Takes the entry out; its key is dead from here on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.free.push(key.slot);
        Some(value)
    }

    /// The keys of all entries, in slot order.
    pub fn keys(&self) -> Vec<Key> {
        let taken = self.slots.iter().enumerate().filter(|(_, place)| place.value.is_some());
        taken.map(|(slot, place)| Key { slot: slot as u32, generation: place.generation }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_key_never_finds_the_successor() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!((second.slot, second.generation), (first.slot, first.generation + 1));
        assert_eq!(slab.find(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.find(second), Some(&'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn it_fills_up_and_lists_what_it_holds() {
        let mut slab = Slab::new(2);
        let keys = [slab.insert(1), slab.insert(2)];
        assert!(slab.is_full());
        assert_eq!(slab.keys(), keys);
        slab.remove(keys[0]);
        assert!(!slab.is_full());
        assert_eq!(slab.keys(), keys[1..]);
    }
}
