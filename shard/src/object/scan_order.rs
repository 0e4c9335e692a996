//! The order in which a large object is read page by page (HSCAN, SSCAN, ZSCAN): that of a hash of its entries' names.
//!
//! A place in this order is a number, which is all that a cursor can be, and stays one whatever comes and goes. To find the entries behind a
//! place among entries that are kept in another order is to hash them all, for every page. So an object that is kept decoded has the names in
//! this order beside it from the first page of a scan on: changes keep it up, at the cost of one more tree, and the last page drops it.
//!
//! It follows from the names alone, and is no part of what the object is: copies share it, and one whose names change takes a copy of its own.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64;

use super::seq::Seq;
use super::Element;

/// Bits of a place: clients that count in floats can bear them.
const PLACE_BITS: u32 = 48;

/// A name and its place. Names of one place stand in any order.
type Placed = (u64, Element);

/// About what a name takes here: a tree has it beside its place, and some room.
const NAME_BYTES: usize = 40;

/// See the module's head. None: the object is not kept, and its pages are found among all names.
#[derive(Clone, Default)]
pub struct ScanOrder(Option<Rc<RefCell<Option<Seq<Placed>>>>>);

/// The place of a name.
fn place(name: &[u8]) -> u64 {
    xxh3_64(name) >> (u64::BITS - PLACE_BITS)
}

impl ScanOrder {
    /// From now on pages find their names where the last one ended.
    pub(crate) fn begin(&mut self) {
        self.0.get_or_insert_default();
    }

    /// The object has one more name.
    pub(super) fn insert(&mut self, name: &Element) {
        self.change(|names| {
            let at = place(name);
            names.insert(names.partition_point(|(other, _)| *other < at), (at, name.clone()));
        });
    }

    /// The object has a name no more.
    pub(super) fn remove(&mut self, name: &[u8]) {
        self.change(|names| {
            let at = place(name);
            let first = names.partition_point(|(other, _)| *other < at);
            let those = names.iter_from(first).take_while(|(other, _)| *other == at);
            let behind = those.take_while(|(_, other)| **other != *name).count();
            let (_, gone) = names.remove(first + behind);
            assert!(*gone == *name, "every name of an object has its place in the order of scans");
        });
    }

    /// Other copies of the object go on with what is theirs.
    fn change(&mut self, change: impl FnOnce(&mut Seq<Placed>)) {
        let Some(shared) = &mut self.0 else { return };
        match Rc::get_mut(shared) {
            Some(own) => drop(own.get_mut().as_mut().map(change)),
            None => {
                let names = shared.borrow().clone();
                self.0 = names.map(|mut names| {
                    change(&mut names);
                    Rc::new(RefCell::new(Some(names)))
                });
            }
        }
    }

    /// The names of an object from a place on, at least so many if there are, and the place behind them; None: there are no more. `names`: all of
    /// them.
    pub(crate) fn page<'a>(
        &self,
        names: impl ExactSizeIterator<Item = &'a Element>,
        from: u64,
        count: usize,
    ) -> (Vec<Element>, Option<u64>) {
        let all = names.len();
        let placed = names.map(|name| (place(name), name));
        if from == 0 && count >= all {
            return (placed.map(|(_, name)| name.clone()).collect(), None);
        }
        let Some(shared) = &self.0 else { return page_of(placed.filter(|(at, _)| *at >= from), count) };
        let mut kept = shared.borrow_mut();
        let order = kept.get_or_insert_with(|| {
            let mut placed: Vec<Placed> = placed.map(|(at, name)| (at, name.clone())).collect();
            placed.sort_unstable_by_key(|(at, _)| *at);
            Seq::from(placed)
        });
        assert!(order.len() == all, "the order of scans has all names of the object");
        let first = order.partition_point(|(at, _)| *at < from);
        let mut rest = order.iter_from(first).peekable();
        let (mut page, mut last) = (Vec::new(), None);
        // Names of one place come together.
        while let Some((at, name)) = rest.next_if(|(at, _)| page.len() < count || last == Some(*at)) {
            page.push(name.clone());
            last = Some(*at);
        }
        let next = rest.peek().and(last).map(|last| last + 1);
        if next.is_none() {
            *kept = None;
        }
        (page, next)
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names = |kept: &RefCell<Option<Seq<Placed>>>| kept.borrow().as_ref().map_or(0, Seq::len);
        NAME_BYTES * self.0.as_deref().map_or(0, names)
    }
}

/// A page of those that are left, which stand in no order of theirs.
fn page_of<'a>(left: impl Iterator<Item = (u64, &'a Element)>, count: usize) -> (Vec<Element>, Option<u64>) {
    let mut left: Vec<(u64, &Element)> = left.collect();
    let mut next = None;
    if left.len() > count {
        let (_, (until, _), _) = left.select_nth_unstable_by_key(count - 1, |(at, _)| *at);
        let until = *until;
        next = left.iter().any(|(at, _)| *at > until).then_some(until + 1);
        left.retain(|(at, _)| *at <= until);
    }
    (left.into_iter().map(|(_, name)| name.clone()).collect(), next)
}

impl fmt::Debug for ScanOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScanOrder")
    }
}

/// It says nothing of what an object is.
impl PartialEq for ScanOrder {
    fn eq(&self, _: &ScanOrder) -> bool {
        true
    }
}

impl Eq for ScanOrder {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::{BTreeMap, BTreeSet};

    use reactor::rng::Rng;

    use super::*;
    use crate::object::Set;

    /// All names, and how many of them were gone through for it.
    struct Counted<'a, I> {
        names: I,
        len: usize,
        seen: &'a Cell<usize>,
    }

    impl<'a, 'b, I: Iterator<Item = &'b Element>> Iterator for Counted<'a, I> {
        type Item = &'b Element;

        fn next(&mut self) -> Option<&'b Element> {
            let next = self.names.next();
            self.seen.set(self.seen.get() + usize::from(next.is_some()));
            next
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.len, Some(self.len))
        }
    }

    impl<'b, I: Iterator<Item = &'b Element>> ExactSizeIterator for Counted<'_, I> {}

    fn page(set: &Set, from: u64, count: usize, seen: &Cell<usize>) -> (Vec<Element>, Option<u64>) {
        set.scan_order().page(Counted { names: set.iter(), len: set.len(), seen }, from, count)
    }

    fn set_of(names: u64) -> Set {
        let mut set = Set::default();
        (0..names).for_each(|name| assert!(set.insert(name.to_string().as_bytes())));
        set
    }

    /// A twin: the same set without an order, whose pages are found among all names.
    #[test]
    fn pages_are_those_of_a_set_without_an_order() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut set, seen) = (set_of(1 + rng.below(300)), Cell::new(0));
            for _ in 0..30 {
                set.begin_scans();
                let mut plain = Set::default();
                set.iter().for_each(|name| assert!(plain.insert(name)));
                let (from, count) = (rng.next_u64() >> (16 + rng.below(48)), 1 + rng.below(80) as usize);
                let sorted = |(mut page, next): (Vec<Element>, Option<u64>)| {
                    page.sort_unstable();
                    (page, next)
                };
                let is = sorted(page(&set, from, count, &seen));
                assert_eq!(is, sorted(page(&plain, from, count, &seen)));
                // What others make of a copy, scanned or not, is theirs.
                let mut other = set.clone();
                for _ in 0..rng.below(20) {
                    let name = rng.below(400).to_string();
                    if rng.below(2) == 0 {
                        other.insert(name.as_bytes());
                    } else if other.len() > 1 {
                        other.remove(name.as_bytes());
                    }
                }
                if rng.below(2) == 0 {
                    set = other;
                }
            }
        }
    }

    #[test]
    fn a_page_costs_what_it_gives() {
        let (mut set, seen) = (set_of(10_000), Cell::new(0));
        set.begin_scans();
        let (mut found, mut from, mut pages) = (BTreeMap::<Element, u32>::new(), Some(0), 0);
        while let Some(place) = from {
            let names;
            (names, from) = page(&set, place, 10, &seen);
            pages += 1;
            // Changes in between do not have the order made again.
            let name = format!("new {pages}");
            assert!(set.insert(name.as_bytes()));
            assert!(set.remove(name.as_bytes()));
            set.begin_scans();
            names.into_iter().for_each(|name| *found.entry(name).or_default() += 1);
        }
        assert!(pages > 900, "{pages}");
        assert_eq!(seen.get(), 10_000, "the order is made once, for the first page");
        assert!(found.values().all(|times| *times == 1));
        assert!(set.iter().all(|name| found.contains_key(name)));
        assert_eq!(set.scan_order().memory_bytes(), 0, "the last page drops it");
        let (all, next) = page(&set, 0, 10_000, &seen);
        assert_eq!((all.len(), next, set.scan_order().memory_bytes()), (10_000, None, 0));
        page(&set, 0, 9_999, &seen);
        assert_eq!(set.scan_order().memory_bytes(), 10_000 * NAME_BYTES);
    }

    /// Whatever else comes and goes, copies and what is read anew included.
    #[test]
    fn what_is_there_all_the_time_is_found() {
        let mut rng = Rng::new(2);
        for _ in 0..20 {
            let (mut set, seen) = (set_of(500), Cell::new(0));
            let (mut found, mut from) = (BTreeSet::new(), Some(0));
            while let Some(place) = from {
                match rng.below(4) {
                    0 => set.begin_scans(),
                    1 => {
                        let mut bytes = Vec::new();
                        set.encode(&mut bytes);
                        set = Set::decode(&bytes).expect("what was encoded");
                    }
                    _ => {}
                }
                let names;
                (names, from) = page(&set, place, 1 + rng.below(20) as usize, &seen);
                found.extend(names);
                for _ in 0..rng.below(10) {
                    let name = format!("{}", 250 + rng.below(500));
                    match rng.below(2) {
                        0 => set.insert(name.as_bytes()),
                        _ => set.remove(name.as_bytes()),
                    };
                }
            }
            assert!((0..250).all(|name: u64| found.contains(name.to_string().as_bytes())));
        }
    }
}
