//! A sequence whose copy is one pointer: what changes in a copy leaves the original as it is, and both share the rest.
//!
//! A weight-balanced tree by place, with the parameters of Hirai and Yamamoto ("Balancing weight-balanced trees", 2011): reading, finding,
//! inserting, removing, cutting and joining take a logarithmic number of steps. What nobody else holds is changed in place. Kept in
//! an order, it is a map or a set that knows the rank of each item.
//!
//! The ends of the tree are leaves of several items that lie side by side ("PaC-trees", Dhulipala, Blelloch, Gu and Sun, 2022): who
//! goes through them waits for memory once a leaf, not once an item. A leaf stands for a tree of its items that is perfectly
//! balanced, and comes apart as one where a rotation wants it to, so the rules of balance are those of the tree. A write onto what
//! others hold too copies one leaf and the path to it.

mod tree;

use std::cmp::Ordering;
use std::{fmt, slice};

use self::tree::{build, join, split, taken, Fork, Tree};

/// See the module's head. Copies of items should be cheap.
#[derive(Clone)]
pub struct Seq<T> {
    root: Tree<T>,
}

impl<T> Seq<T> {
    /// Nothing.
    pub const fn new() -> Seq<T> {
        Seq { root: Tree::Empty }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.root.count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self.root, Tree::Empty)
    }

    /// The item at a place, counted from 0.
    pub fn get(&self, mut at: usize) -> Option<&T> {
        let mut tree = &self.root;
        while let Tree::Fork(fork) = tree {
            tree = match at.cmp(&fork.before) {
                Ordering::Less => &fork.left,
                Ordering::Equal => return Some(&fork.item),
                Ordering::Greater => {
                    at -= fork.before + 1;
                    &fork.right
                }
            };
        }
        tree.slots().get(at).map(taken)
    }

    /// The place of an item, or where it would be, in a sequence that is in the order that `compare` has items stand to it.
    pub fn find(&self, mut compare: impl FnMut(&T) -> Ordering) -> Result<usize, usize> {
        let (mut tree, mut before) = (&self.root, 0);
        while let Tree::Fork(fork) = tree {
            tree = match compare(&fork.item) {
                Ordering::Equal => return Ok(before + fork.before),
                Ordering::Greater => &fork.left,
                Ordering::Less => {
                    before += fork.before + 1;
                    &fork.right
                }
            };
        }
        // By halves, and no further than to the item: to compare one is to wait for its memory.
        let mut slots = tree.slots();
        while !slots.is_empty() {
            let (left, right) = slots.split_at(slots.len() / 2);
            slots = match compare(taken(&right[0])) {
                Ordering::Equal => return Ok(before + left.len()),
                Ordering::Greater => left,
                Ordering::Less => {
                    before += left.len() + 1;
                    &right[1..]
                }
            };
        }
        Err(before)
    }

    /// How many items at the front `is_before` holds for, in a sequence where it holds for no item behind one that it does not hold for.
    pub fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let place = self.find(|item| if is_before(item) { Ordering::Less } else { Ordering::Greater });
        place.unwrap_or_else(|place| place)
    }

    /// All items in their order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    /// The items from a place on.
    pub fn iter_from(&self, mut at: usize) -> Iter<'_, T> {
        let count = self.len().saturating_sub(at);
        let (mut tree, mut path) = (&self.root, Vec::new());
        while let Tree::Fork(fork) = tree {
            if at <= fork.before {
                path.push(&**fork);
                tree = &fork.left;
            } else {
                at -= fork.before + 1;
                tree = &fork.right;
            }
        }
        Iter { leaf: tree.slots().get(at..).unwrap_or_default().iter(), path, count }
    }
}

impl<T: Clone> Seq<T> {
    /// Puts an item at a place, before what was there. The place is at most the length.
    pub fn insert(&mut self, at: usize, item: T) {
        assert!(at <= self.len(), "an item is put within a sequence or at its end");
        self.root.insert(at, item);
    }

    /// Takes the item at a place away, which there is.
    pub fn remove(&mut self, at: usize) -> T {
        assert!(at < self.len(), "there is an item at the place");
        self.root.remove(at)
    }

    /// Puts another item in the place of one, which there is, and hands that one out.
    pub fn replace(&mut self, at: usize, item: T) -> T {
        assert!(at < self.len(), "there is an item at the place");
        self.root.replace(at, item)
    }

    /// Cuts off what is at a place and behind it.
    pub fn split_off(&mut self, at: usize) -> Seq<T> {
        let (left, right) = split(self.root.take(), at);
        self.root = left;
        Seq { root: right }
    }

    /// Puts another sequence behind this one.
    pub fn append(&mut self, mut other: Seq<T>) {
        if self.is_empty() {
            self.root = other.root;
        } else if !other.is_empty() {
            let first = other.root.remove(0);
            self.root = join(self.root.take(), first, other.root);
        }
    }
}

impl<T> Default for Seq<T> {
    fn default() -> Seq<T> {
        Seq::new()
    }
}

impl<T: PartialEq> PartialEq for Seq<T> {
    fn eq(&self, other: &Seq<T>) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Seq<T> {}

impl<T: fmt::Debug> fmt::Debug for Seq<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<T> From<Vec<T>> for Seq<T> {
    fn from(items: Vec<T>) -> Seq<T> {
        let count = items.len();
        Seq { root: build(&mut items.into_iter(), count) }
    }
}

/// Items in their order.
#[derive(Clone)]
pub struct Iter<'a, T> {
    /// What is next.
    leaf: slice::Iter<'a, Option<T>>,
    /// The forks that are next then, the very next one last, each with all to its right.
    path: Vec<&'a Fork<T>>,
    /// Of all items that are still to come.
    count: usize,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if let Some(slot) = self.leaf.next() {
            self.count -= 1;
            return Some(taken(slot));
        }
        let fork = self.path.pop()?;
        let mut tree = &fork.right;
        while let Tree::Fork(next) = tree {
            self.path.push(next);
            tree = &next.left;
        }
        self.leaf = tree.slots().iter();
        self.count -= 1;
        Some(&fork.item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use reactor::rng::Rng;

    use super::tree::tests::check;
    use super::*;

    /// A twin: a vector. Copies are taken now and then, and are to stay as they are.
    #[test]
    fn whatever_is_done_a_vector_says_the_same() {
        let mut rng = Rng::new(1);
        for round in 0..60 {
            let (mut seq, mut twin) = (Seq::new(), Vec::new());
            let mut copies = Vec::new();
            for step in 0..300_u64 {
                let len = twin.len() as u64;
                // It grows and shrinks in turn, now and then to nothing.
                let is_shrinking = round % 3 == 0 && step % 100 >= 40;
                match rng.below(if round % 2 == 0 { 10 } else { 8 }) {
                    0..=4 if is_shrinking && len > 0 => {
                        let at = rng.below(len) as usize;
                        assert_eq!(seq.remove(at), twin.remove(at));
                    }
                    0..=4 => {
                        let at = rng.below(len + 1) as usize;
                        seq.insert(at, step);
                        twin.insert(at, step);
                    }
                    5 if len > 0 => {
                        let at = rng.below(len) as usize;
                        assert_eq!(seq.remove(at), twin.remove(at));
                    }
                    6 if len > 0 => {
                        let at = rng.below(len) as usize;
                        assert_eq!(seq.replace(at, step), std::mem::replace(&mut twin[at], step));
                    }
                    7 => copies.push((seq.clone(), twin.clone())),
                    8 => {
                        let at = rng.below(len + 1) as usize;
                        let (tail, twin_tail) = (seq.split_off(at), twin.split_off(at));
                        assert_eq!(check(&tail.root).items, twin_tail.len());
                        assert!(tail.iter().eq(&twin_tail));
                        if rng.coin() {
                            seq.append(tail);
                            twin.extend(twin_tail);
                        }
                    }
                    _ => {
                        let more: Vec<u64> = (0..rng.below(50)).collect();
                        seq.append(Seq::from(more.clone()));
                        twin.extend(more);
                    }
                }
                assert_eq!(check(&seq.root).items, twin.len());
                assert_eq!((seq.len(), seq.is_empty()), (twin.len(), twin.is_empty()));
                assert!(seq.iter().eq(&twin));
                let at = rng.below(twin.len() as u64 + 2) as usize;
                assert_eq!(seq.get(at), twin.get(at));
                let behind = seq.iter_from(at);
                assert_eq!(behind.len(), twin.len().saturating_sub(at));
                assert!(behind.eq(twin.iter().skip(at)));
            }
            for (copy, twin) in copies {
                assert_eq!(check(&copy.root).items, twin.len());
                assert!(copy.iter().eq(&twin));
                assert_eq!(copy, Seq::from(twin));
            }
        }
    }

    /// A sequence of each length cut at each place, and put together again with each other half: leaves meet trees of every height.
    #[test]
    fn what_is_cut_and_joined_is_balanced() {
        for count in 0..120 {
            for at in 0..=count {
                let mut left = Seq::from((0..count).collect::<Vec<usize>>());
                let whole = left.clone();
                let right = left.split_off(at);
                assert_eq!((check(&left.root).items, check(&right.root).items), (at, count - at));
                let mut turned = right.clone();
                turned.append(left.clone());
                check(&turned.root);
                assert!(turned.iter().copied().eq((at..count).chain(0..at)));
                left.append(right);
                check(&left.root);
                assert_eq!(left, whole);
            }
        }
    }

    #[test]
    fn items_in_order_are_found() {
        for count in (0..100).chain([1000]) {
            let end = count * 2;
            let seq = Seq::from((0..count).map(|number| number * 2).collect::<Vec<usize>>());
            for wanted in 0..end + 2 {
                let found = seq.find(|item| item.cmp(&wanted));
                let place = wanted.div_ceil(2).min(count);
                let is_there = wanted % 2 == 0 && wanted < end;
                assert_eq!(found, if is_there { Ok(place) } else { Err(place) });
                assert_eq!(seq.partition_point(|item| *item < wanted), place);
            }
        }
    }
}
