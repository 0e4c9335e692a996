//! A sequence whose copy is one pointer: what changes in a copy leaves the original as it is, and both share the rest.
//!
//! A weight-balanced tree by place, with the parameters of Hirai and Yamamoto ("Balancing weight-balanced trees", 2011): reading, finding,
//! inserting, removing, cutting and joining take a logarithmic number of steps. What nobody else holds is changed in place. Kept in
//! an order, it is a map or a set that knows the rank of each item.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

/// How many times heavier one side may be than the other.
const HEAVIER_MAX: usize = 3;
/// From which ratio of inner to outer side on two rotations are needed instead of one.
const DOUBLE_FROM: usize = 2;

type Link<T> = Option<Rc<Node<T>>>;

#[derive(Clone)]
struct Node<T> {
    left: Link<T>,
    right: Link<T>,
    count: usize,
    item: T,
}

/// See the module's head. Copies of items should be cheap.
#[derive(Clone)]
pub struct Seq<T> {
    root: Link<T>,
}

impl<T> Seq<T> {
    /// Nothing.
    pub const fn new() -> Seq<T> {
        Seq { root: None }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        count(&self.root)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The item at a place, counted from 0.
    pub fn get(&self, mut at: usize) -> Option<&T> {
        let mut link = &self.root;
        while let Some(node) = link {
            let before = count(&node.left);
            link = match at.cmp(&before) {
                Ordering::Less => &node.left,
                Ordering::Equal => return Some(&node.item),
                Ordering::Greater => {
                    at -= before + 1;
                    &node.right
                }
            };
        }
        None
    }

    /// The place of an item, or where it would be, in a sequence that is in the order that `compare` has items stand to it.
    pub fn find(&self, mut compare: impl FnMut(&T) -> Ordering) -> Result<usize, usize> {
        let (mut link, mut before) = (&self.root, 0);
        while let Some(node) = link {
            let here = before + count(&node.left);
            link = match compare(&node.item) {
                Ordering::Equal => return Ok(here),
                Ordering::Greater => &node.left,
                Ordering::Less => {
                    before = here + 1;
                    &node.right
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
        let (mut link, mut path) = (&self.root, Vec::new());
        while let Some(node) = link {
            let before = count(&node.left);
            if at <= before {
                path.push(&**node);
                link = &node.left;
            } else {
                at -= before + 1;
                link = &node.right;
            }
        }
        Iter { path }
    }
}

impl<T: Clone> Seq<T> {
    /// Puts an item at a place, before what was there. The place is at most the length.
    pub fn insert(&mut self, at: usize, item: T) {
        assert!(at <= self.len(), "an item is put within a sequence or at its end");
        self.root = Some(insert(self.root.take(), at, item));
    }

    /// Takes the item at a place away, which there is.
    pub fn remove(&mut self, at: usize) -> T {
        let root = self.root.take().filter(|root| at < root.count).expect("there is an item at the place");
        let (item, rest) = remove(root, at);
        self.root = rest;
        item
    }

    /// Puts another item in the place of one, which there is, and hands that one out.
    pub fn replace(&mut self, mut at: usize, item: T) -> T {
        let mut link = &mut self.root;
        loop {
            let node = Rc::make_mut(link.as_mut().expect("there is an item at the place"));
            let before = count(&node.left);
            link = match at.cmp(&before) {
                Ordering::Less => &mut node.left,
                Ordering::Equal => return std::mem::replace(&mut node.item, item),
                Ordering::Greater => {
                    at -= before + 1;
                    &mut node.right
                }
            };
        }
    }

    /// Cuts off what is at a place and behind it.
    pub fn split_off(&mut self, at: usize) -> Seq<T> {
        let (left, right) = split(self.root.take(), at);
        self.root = left;
        Seq { root: right }
    }

    /// Puts another sequence behind this one.
    pub fn append(&mut self, other: Seq<T>) {
        self.root = match (self.root.take(), other.root) {
            (left, None) => left,
            (left, Some(right)) => {
                let (first, rest) = remove(right, 0);
                Some(join(left, first, rest))
            }
        };
    }
}

fn count<T>(link: &Link<T>) -> usize {
    link.as_ref().map_or(0, |node| node.count)
}

fn weight<T>(link: &Link<T>) -> usize {
    count(link) + 1
}

fn is_heavy<T>(one: &Link<T>, other: &Link<T>) -> bool {
    weight(one) > HEAVIER_MAX * weight(other)
}

fn node<T>(left: Link<T>, item: T, right: Link<T>) -> Rc<Node<T>> {
    let count = count(&left) + count(&right) + 1;
    Rc::new(Node { left, right, count, item })
}

/// The parts of a node: its own, or copies if others hold it too.
fn open<T: Clone>(node: Link<T>) -> (Link<T>, T, Link<T>) {
    let Node { left, right, item, .. } = Rc::unwrap_or_clone(node.expect("the heavy side has a node"));
    (left, item, right)
}

/// Two trees that differ by what one insertion, removal or join can make of balanced ones.
fn balance<T: Clone>(left: Link<T>, item: T, right: Link<T>) -> Rc<Node<T>> {
    if is_heavy(&right, &left) {
        let (inner, top, outer) = open(right);
        if weight(&inner) < DOUBLE_FROM * weight(&outer) {
            return node(Some(node(left, item, inner)), top, outer);
        }
        let (a, middle, b) = open(inner);
        return node(Some(node(left, item, a)), middle, Some(node(b, top, outer)));
    }
    if is_heavy(&left, &right) {
        let (outer, top, inner) = open(left);
        if weight(&inner) < DOUBLE_FROM * weight(&outer) {
            return node(outer, top, Some(node(inner, item, right)));
        }
        let (a, middle, b) = open(inner);
        return node(Some(node(outer, top, a)), middle, Some(node(b, item, right)));
    }
    node(left, item, right)
}

/// Two trees of any weight, and an item between them.
fn join<T: Clone>(left: Link<T>, item: T, right: Link<T>) -> Rc<Node<T>> {
    if is_heavy(&left, &right) {
        let (outer, top, inner) = open(left);
        return balance(outer, top, Some(join(inner, item, right)));
    }
    if is_heavy(&right, &left) {
        let (inner, top, outer) = open(right);
        return balance(Some(join(left, item, inner)), top, outer);
    }
    node(left, item, right)
}

fn insert<T: Clone>(link: Link<T>, at: usize, new: T) -> Rc<Node<T>> {
    if link.is_none() {
        return node(None, new, None);
    }
    let (left, item, right) = open(link);
    let before = count(&left);
    if at <= before {
        balance(Some(insert(left, at, new)), item, right)
    } else {
        balance(left, item, Some(insert(right, at - before - 1, new)))
    }
}

fn remove<T: Clone>(root: Rc<Node<T>>, at: usize) -> (T, Link<T>) {
    let (left, item, right) = open(Some(root));
    let before = count(&left);
    match (at.cmp(&before), left, right) {
        (Ordering::Less, Some(left), right) => {
            let (taken, left) = remove(left, at);
            (taken, Some(balance(left, item, right)))
        }
        (Ordering::Greater, left, Some(right)) => {
            let (taken, right) = remove(right, at - before - 1);
            (taken, Some(balance(left, item, right)))
        }
        (_, left, None) => (item, left),
        (_, left, Some(right)) => {
            let (next, right) = remove(right, 0);
            (item, Some(balance(left, next, right)))
        }
    }
}

fn split<T: Clone>(link: Link<T>, at: usize) -> (Link<T>, Link<T>) {
    if link.is_none() {
        return (None, None);
    }
    let (left, item, right) = open(link);
    let before = count(&left);
    if at <= before {
        let (first, second) = split(left, at);
        (first, Some(join(second, item, right)))
    } else {
        let (first, second) = split(right, at - before - 1);
        (Some(join(left, item, first)), second)
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
        fn build<T>(items: &mut std::vec::IntoIter<T>, count: usize) -> Link<T> {
            let left = build_some(items, count / 2);
            let item = items.next()?;
            let right = build_some(items, count - count / 2 - 1);
            Some(node(left, item, right))
        }
        fn build_some<T>(items: &mut std::vec::IntoIter<T>, count: usize) -> Link<T> {
            if count == 0 {
                None
            } else {
                build(items, count)
            }
        }
        let count = items.len();
        Seq { root: build_some(&mut items.into_iter(), count) }
    }
}

/// Items in their order.
#[derive(Clone)]
pub struct Iter<'a, T> {
    /// The nodes that are next, the very next one last, each with all to its right.
    path: Vec<&'a Node<T>>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let node = self.path.pop()?;
        let mut link = &node.right;
        while let Some(next) = link {
            self.path.push(next);
            link = &next.left;
        }
        Some(&node.item)
    }
}

#[cfg(test)]
mod tests {
    use reactor::rng::Rng;

    use super::*;

    fn check<T>(link: &Link<T>) -> usize {
        let Some(node) = link else { return 0 };
        assert!(!is_heavy(&node.left, &node.right) && !is_heavy(&node.right, &node.left), "it is balanced");
        assert_eq!(node.count, check(&node.left) + check(&node.right) + 1);
        node.count
    }

    /// A twin: a vector. Copies are taken now and then, and are to stay as they are.
    #[test]
    fn whatever_is_done_a_vector_says_the_same() {
        let mut rng = Rng::new(1);
        for round in 0..60 {
            let (mut seq, mut twin) = (Seq::new(), Vec::new());
            let mut copies = Vec::new();
            for step in 0..300_u64 {
                let len = twin.len() as u64;
                match rng.below(if round % 2 == 0 { 10 } else { 8 }) {
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
                        check(&tail.root);
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
                assert_eq!(check(&seq.root), twin.len());
                assert!(seq.iter().eq(&twin));
                let at = rng.below(twin.len() as u64 + 2) as usize;
                assert_eq!(seq.get(at), twin.get(at));
                assert!(seq.iter_from(at).eq(twin.iter().skip(at)));
            }
            for (copy, twin) in copies {
                assert!(copy.iter().eq(&twin));
                assert_eq!(copy, Seq::from(twin));
            }
        }
    }

    #[test]
    fn items_in_order_are_found() {
        let seq = Seq::from((0..1000).map(|number| number * 2).collect::<Vec<u32>>());
        for wanted in 0..2001 {
            let found = seq.find(|item| item.cmp(&wanted));
            let place = (wanted as usize).div_ceil(2);
            assert_eq!(
                found,
                if wanted % 2 == 0 && wanted < 2000 { Ok(place) } else { Err(place.min(1000)) }
            );
        }
    }
}
