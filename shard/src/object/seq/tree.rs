//! The tree of a sequence, and how it stays balanced. Places are those of the items in it, counted from 0.

use std::cmp::Ordering;
use std::rc::Rc;

/// Most items of a leaf: what a tree of four levels holds. Smaller leaves make all that is done slower; larger ones are more for a write to copy.
const LEAF_ITEMS_MAX: usize = 15;
/// How many times heavier one side may be than the other.
const HEAVIER_MAX: usize = 3;
/// From which ratio of inner to outer side on two rotations are needed instead of one.
const DOUBLE_FROM: usize = 2;
/// The fewest items of one side where a leaf that is full and one item more become two leaves, and an item between them.
const SIDE_ITEMS_MIN: usize = (LEAF_ITEMS_MAX + 2).div_ceil(HEAVIER_MAX + 1) - 1;

// A fork has items on both sides, even while one of them lacks an item.
const _: () = assert!(SIDE_ITEMS_MIN > 0 && SIDE_ITEMS_MIN <= LEAF_ITEMS_MAX / 2);

#[derive(Clone)]
pub(super) enum Tree<T> {
    Empty,
    /// 1 to [`LEAF_ITEMS_MAX`] items.
    Leaf(Rc<Leaf<T>>),
    /// More than that.
    Fork(Rc<Fork<T>>),
}

#[derive(Clone)]
pub(super) struct Leaf<T> {
    count: usize,
    /// So many, then none.
    items: [Option<T>; LEAF_ITEMS_MAX],
}

/// It knows the counts of its sides, so that not both need to be read.
#[derive(Clone)]
pub(super) struct Fork<T> {
    pub(super) left: Tree<T>,
    pub(super) right: Tree<T>,
    /// Of the left side.
    pub(super) before: usize,
    /// Of all.
    count: usize,
    pub(super) item: T,
}

/// The item in a slot that has one.
pub(super) fn taken<T>(slot: &Option<T>) -> &T {
    slot.as_ref().expect("slots below the count hold an item")
}

impl<T> Leaf<T> {
    fn of(items: impl Iterator<Item = T>) -> Leaf<T> {
        let mut leaf = Leaf { count: 0, items: [const { None }; LEAF_ITEMS_MAX] };
        items.for_each(|item| leaf.push(item));
        leaf
    }

    fn push(&mut self, item: T) {
        self.items[self.count] = Some(item);
        self.count += 1;
    }

    fn insert(&mut self, at: usize, item: T) {
        self.push(item);
        self.items[at..self.count].rotate_right(1);
    }

    fn remove(&mut self, at: usize) -> T {
        self.items[at..self.count].rotate_left(1);
        self.count -= 1;
        self.items[self.count].take().expect("slots below the count hold an item")
    }

    fn replace(&mut self, at: usize, item: T) -> T {
        self.items[at].replace(item).expect("slots below the count hold an item")
    }

    /// Takes the items at a place and behind it away.
    fn split_off(&mut self, at: usize) -> Leaf<T> {
        let behind = Leaf::of(self.items[at..self.count].iter_mut().filter_map(Option::take));
        self.count = at;
        behind
    }

    fn into_tree(self) -> Tree<T> {
        match self.count {
            0 => Tree::Empty,
            _ => Tree::Leaf(Rc::new(self)),
        }
    }
}

impl<T> Fork<T> {
    fn is_balanced(&self) -> bool {
        let (left, right) = (self.before + 1, self.count - self.before);
        left <= HEAVIER_MAX * right && right <= HEAVIER_MAX * left
    }
}

impl<T> Tree<T> {
    pub(super) fn count(&self) -> usize {
        match self {
            Tree::Empty => 0,
            Tree::Leaf(leaf) => leaf.count,
            Tree::Fork(fork) => fork.count,
        }
    }

    fn weight(&self) -> usize {
        self.count() + 1
    }

    fn is_heavy_beside(&self, other: &Tree<T>) -> bool {
        self.weight() > HEAVIER_MAX * other.weight()
    }

    pub(super) fn take(&mut self) -> Tree<T> {
        std::mem::replace(self, Tree::Empty)
    }

    /// The items of a leaf.
    pub(super) fn slots(&self) -> &[Option<T>] {
        match self {
            Tree::Leaf(leaf) => &leaf.items[..leaf.count],
            Tree::Empty | Tree::Fork(_) => &[],
        }
    }
}

impl<T: Clone> Tree<T> {
    pub(super) fn insert(&mut self, at: usize, item: T) {
        match self {
            Tree::Empty => *self = Leaf::of([item].into_iter()).into_tree(),
            Tree::Leaf(leaf) if leaf.count < LEAF_ITEMS_MAX => Rc::make_mut(leaf).insert(at, item),
            Tree::Leaf(_) => *self = grown(self.take().into_leaf(), at, item),
            Tree::Fork(fork) => {
                let fork = Rc::make_mut(fork);
                fork.count += 1;
                if at <= fork.before {
                    fork.before += 1;
                    fork.left.insert(at, item);
                } else {
                    fork.right.insert(at - fork.before - 1, item);
                }
                self.settle();
            }
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        match self {
            Tree::Empty => unreachable!("there is an item at the place"),
            Tree::Leaf(leaf) if leaf.count > 1 => Rc::make_mut(leaf).remove(at),
            Tree::Leaf(_) => self.take().into_leaf().remove(at),
            Tree::Fork(fork) => {
                let fork = Rc::make_mut(fork);
                fork.count -= 1;
                let item = match at.cmp(&fork.before) {
                    Ordering::Less => {
                        fork.before -= 1;
                        fork.left.remove(at)
                    }
                    Ordering::Equal => std::mem::replace(&mut fork.item, fork.right.remove(0)),
                    Ordering::Greater => fork.right.remove(at - fork.before - 1),
                };
                self.settle();
                item
            }
        }
    }

    pub(super) fn replace(&mut self, at: usize, item: T) -> T {
        match self {
            Tree::Empty => unreachable!("there is an item at the place"),
            Tree::Leaf(leaf) => Rc::make_mut(leaf).replace(at, item),
            Tree::Fork(fork) => {
                let fork = Rc::make_mut(fork);
                match at.cmp(&fork.before) {
                    Ordering::Less => fork.left.replace(at, item),
                    Ordering::Equal => std::mem::replace(&mut fork.item, item),
                    Ordering::Greater => fork.right.replace(at - fork.before - 1, item),
                }
            }
        }
    }

    /// Balances a fork with one item more or less than when it was balanced, or makes it a leaf.
    fn settle(&mut self) {
        let Tree::Fork(fork) = self else { return };
        if fork.count <= LEAF_ITEMS_MAX || !fork.is_balanced() {
            let (left, item, right) = self.take().open();
            *self = balance(left, item, right);
        }
    }

    /// The items of what is no fork: its own, or copies if others hold it too.
    fn into_leaf(self) -> Leaf<T> {
        match self {
            Tree::Empty => Leaf::of([].into_iter()),
            Tree::Leaf(leaf) => Rc::unwrap_or_clone(leaf),
            Tree::Fork(_) => unreachable!("few items are a leaf"),
        }
    }

    /// The parts of a fork, or what would be those of a leaf: its own, or copies if others hold it too.
    fn open(self) -> (Tree<T>, T, Tree<T>) {
        if let Tree::Fork(fork) = self {
            let Fork { left, right, item, .. } = Rc::unwrap_or_clone(fork);
            return (left, item, right);
        }
        let mut leaf = self.into_leaf();
        let right = leaf.split_off(leaf.count / 2 + 1);
        let item = leaf.remove(leaf.count - 1);
        (leaf.into_tree(), item, right.into_tree())
    }
}

/// A full leaf and one item more. At an end more will come, so the leaf beyond keeps most.
fn grown<T: Clone>(mut leaf: Leaf<T>, at: usize, item: T) -> Tree<T> {
    let before = match at {
        0 => SIDE_ITEMS_MIN,
        LEAF_ITEMS_MAX => LEAF_ITEMS_MAX - SIDE_ITEMS_MIN,
        _ => LEAF_ITEMS_MAX / 2,
    };
    let is_left = at <= before;
    let mut right = leaf.split_off(if is_left { before } else { before + 1 });
    if is_left {
        leaf.insert(at, item);
    } else {
        right.insert(at - before - 1, item);
    }
    let item = leaf.remove(before);
    fork(leaf.into_tree(), item, right.into_tree())
}

/// Two trees that are balanced side by side, and an item between them.
fn fork<T: Clone>(left: Tree<T>, item: T, right: Tree<T>) -> Tree<T> {
    let before = left.count();
    let count = before + 1 + right.count();
    if count > LEAF_ITEMS_MAX {
        return Tree::Fork(Rc::new(Fork { left, right, before, count, item }));
    }
    let mut leaf = left.into_leaf();
    leaf.push(item);
    right.into_leaf().items.into_iter().flatten().for_each(|item| leaf.push(item));
    leaf.into_tree()
}

/// Two trees that differ by what one insertion, removal or join can make of balanced ones.
fn balance<T: Clone>(left: Tree<T>, item: T, right: Tree<T>) -> Tree<T> {
    if left.count() + right.count() < LEAF_ITEMS_MAX {
        return fork(left, item, right);
    }
    if right.is_heavy_beside(&left) {
        let (inner, top, outer) = right.open();
        if inner.weight() < DOUBLE_FROM * outer.weight() {
            return fork(fork(left, item, inner), top, outer);
        }
        let (a, middle, b) = inner.open();
        return fork(fork(left, item, a), middle, fork(b, top, outer));
    }
    if left.is_heavy_beside(&right) {
        let (outer, top, inner) = left.open();
        if inner.weight() < DOUBLE_FROM * outer.weight() {
            return fork(outer, top, fork(inner, item, right));
        }
        let (a, middle, b) = inner.open();
        return fork(fork(outer, top, a), middle, fork(b, item, right));
    }
    fork(left, item, right)
}

/// Two trees of any weight, and an item between them.
pub(super) fn join<T: Clone>(left: Tree<T>, item: T, right: Tree<T>) -> Tree<T> {
    if left.count() + right.count() < LEAF_ITEMS_MAX {
        return fork(left, item, right);
    }
    if left.is_heavy_beside(&right) {
        let (outer, top, inner) = left.open();
        return balance(outer, top, join(inner, item, right));
    }
    if right.is_heavy_beside(&left) {
        let (inner, top, outer) = right.open();
        return balance(join(left, item, inner), top, outer);
    }
    fork(left, item, right)
}

/// What is before a place, and what is there and behind it.
pub(super) fn split<T: Clone>(tree: Tree<T>, at: usize) -> (Tree<T>, Tree<T>) {
    if !matches!(tree, Tree::Fork(_)) {
        let mut leaf = tree.into_leaf();
        let behind = leaf.split_off(at.min(leaf.count));
        return (leaf.into_tree(), behind.into_tree());
    }
    let (left, item, right) = tree.open();
    let before = left.count();
    if at <= before {
        let (first, second) = split(left, at);
        (first, join(second, item, right))
    } else {
        let (first, second) = split(right, at - before - 1);
        (join(left, item, first), second)
    }
}

/// A tree of the next items, so many of them. Its leaves are full as far as balance allows.
pub(super) fn build<T>(items: &mut std::vec::IntoIter<T>, count: usize) -> Tree<T> {
    if count <= LEAF_ITEMS_MAX {
        return Leaf::of(items.take(count)).into_tree();
    }
    let before = left_of(count);
    let left = build(items, before);
    let item = items.next().expect("as many items as were counted");
    let right = build(items, count - before - 1);
    Tree::Fork(Rc::new(Fork { left, right, before, count, item }))
}

/// How many of the items of a fork are on its left side for leaves to be full: all of its leaves are, each with an item behind it.
fn left_of(count: usize) -> usize {
    let leaves = (count + 1).div_ceil(LEAF_ITEMS_MAX + 1);
    let before = leaves / 2 * (LEAF_ITEMS_MAX + 1) - 1;
    // Of two leaves, the other is to have enough beside a full one.
    let beside_full = (LEAF_ITEMS_MAX + 1).div_ceil(HEAVIER_MAX) - 1;
    before.min(count - 1 - beside_full)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::Seq;
    use super::*;

    /// How many items and leaves a tree has, after a look at all that is to hold for it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Counts {
        pub items: usize,
        pub leaves: usize,
    }

    /// What is to hold for every tree does for this one.
    pub fn check<T>(tree: &Tree<T>) -> Counts {
        match tree {
            Tree::Empty => Counts::default(),
            Tree::Leaf(leaf) => {
                assert!((1..=LEAF_ITEMS_MAX).contains(&leaf.count), "a leaf has items");
                let is_item = leaf.items.iter().map(Option::is_some);
                assert!(is_item.eq((0..LEAF_ITEMS_MAX).map(|slot| slot < leaf.count)), "items, then none");
                Counts { items: leaf.count, leaves: 1 }
            }
            Tree::Fork(fork) => {
                let (left, right) = (check(&fork.left), check(&fork.right));
                assert!(left.items > 0 && right.items > 0, "a fork has two sides");
                assert_eq!((fork.before, fork.count), (left.items, left.items + 1 + right.items));
                assert!(fork.count > LEAF_ITEMS_MAX, "few items are a leaf");
                assert!(fork.is_balanced(), "{} items beside {}", left.items, right.items);
                Counts { items: fork.count, leaves: left.leaves + right.leaves }
            }
        }
    }

    /// Where the nodes of a tree are.
    fn nodes<T>(tree: &Tree<T>, to: &mut BTreeSet<*const u8>) {
        match tree {
            Tree::Empty => {}
            Tree::Leaf(leaf) => drop(to.insert(Rc::as_ptr(leaf).cast())),
            Tree::Fork(fork) => {
                to.insert(Rc::as_ptr(fork).cast());
                nodes(&fork.left, to);
                nodes(&fork.right, to);
            }
        }
    }

    fn nodes_of<T>(seq: &Seq<T>) -> BTreeSet<*const u8> {
        let mut all = BTreeSet::new();
        nodes(&seq.root, &mut all);
        all
    }

    fn numbers(count: usize) -> Seq<usize> {
        Seq::from((0..count).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_built_has_no_more_leaves_than_it_needs() {
        for count in 0..2_000 {
            let seq = numbers(count);
            let leaves = if count == 0 { 0 } else { (count + 1).div_ceil(LEAF_ITEMS_MAX + 1) };
            assert_eq!(check(&seq.root), Counts { items: count, leaves });
            assert!(seq.iter().copied().eq(0..count));
        }
    }

    #[test]
    fn what_grows_at_one_end_has_leaves_that_are_filled() {
        let (mut up, mut down) = (Seq::new(), Seq::new());
        for count in 0..2_000 {
            up.insert(count, count);
            down.insert(0, count);
            let filled = LEAF_ITEMS_MAX - SIDE_ITEMS_MIN;
            for seq in [&up, &down] {
                let counts = check(&seq.root);
                assert!(counts.leaves <= 2 + count / (filled + 1), "{count} items: {counts:?}");
            }
        }
        assert!(up.iter().copied().eq(0..2_000) && down.iter().copied().eq((0..2_000).rev()));
    }

    #[test]
    fn what_nobody_else_holds_is_changed_in_place_and_of_the_rest_one_path_is_copied() {
        let mut seq = numbers(10_000);
        let before = nodes_of(&seq);
        for place in 0..10_000 {
            assert_eq!(seq.replace(place, place + 1), place);
        }
        assert!(nodes_of(&seq) == before, "in place");
        for place in [0, 4_000, 9_999] {
            let (copy, height) = (seq.clone(), 10_000_usize.ilog2() as usize);
            assert!(nodes_of(&copy) == before, "a copy is one pointer");
            assert_eq!(seq.replace(place, 0), place + 1);
            let changed = nodes_of(&seq);
            let new = changed.difference(&before).count();
            assert!(changed.len() == before.len() && (1..=height).contains(&new), "{new} of {height}");
            assert!(nodes_of(&copy) == before && copy.get(place) == Some(&(place + 1)));
            seq = copy;
        }
    }

    /// To drop a tree, or to build one, takes as many calls inside one another as it is high.
    #[test]
    fn a_large_one_needs_little_stack() {
        let large = || {
            let mut seq = numbers(1_000_000);
            let kept = seq.clone();
            (0..1_000).for_each(|_| seq.insert(0, 0));
            check(&seq.root);
            drop((kept, seq));
        };
        let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(large);
        thread.expect("a thread starts").join().expect("the stack was enough");
    }
}
