//! Interned (node, incarnation) pairs: the part of a stamp that few values share, in 16 bits.
//!
//! Every restart of every core makes a new pair, so pairs are counted and their numbers reused.

use std::collections::BTreeMap;

use crate::limits::ORIGINS_MAX;

/// The pairs in use.
#[derive(Default)]
pub(crate) struct Origins {
    pairs: Vec<(u32, u32, u32)>,
    by_pair: BTreeMap<(u32, u32), u16>,
    free: Vec<u16>,
    last: Option<((u32, u32), u16)>,
}

impl Origins {
    /// The pair behind a number.
    pub fn pair(&self, origin: u16) -> (u32, u32) {
        let (node, incarnation, users) = self.pairs[origin as usize];
        assert!(users > 0, "an origin in use is counted");
        (node, incarnation)
    }

    /// The number of a pair, counted once more. None when all numbers are taken.
    pub fn acquire(&mut self, pair: (u32, u32)) -> Option<u16> {
        let origin = match self.last {
            Some((last, origin)) if last == pair => origin,
            _ => self.find_or_make(pair)?,
        };
        self.last = Some((pair, origin));
        self.pairs[origin as usize].2 += 1;
        Some(origin)
    }

    /// Whether a pair has a number, or could get one.
    pub fn has_room(&self, pair: (u32, u32)) -> bool {
        self.by_pair.contains_key(&pair) || self.by_pair.len() < ORIGINS_MAX
    }

    /// Counts the number once less.
    pub fn release(&mut self, origin: u16) {
        let (node, incarnation, users) = &mut self.pairs[origin as usize];
        *users = users.checked_sub(1).expect("an origin is released as often as it was acquired");
        if *users == 0 {
            self.by_pair.remove(&(*node, *incarnation));
            self.free.push(origin);
            self.last = None;
        }
    }

    fn find_or_make(&mut self, pair: (u32, u32)) -> Option<u16> {
        if let Some(&origin) = self.by_pair.get(&pair) {
            return Some(origin);
        }
        let origin = match self.free.pop() {
            Some(origin) => origin,
            None if self.pairs.len() < ORIGINS_MAX => {
                self.pairs.push((0, 0, 0));
                (self.pairs.len() - 1) as u16
            }
            None => return None,
        };
        self.pairs[origin as usize] = (pair.0, pair.1, 0);
        self.by_pair.insert(pair, origin);
        Some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shared_and_reused() {
        let mut origins = Origins::default();
        let one = origins.acquire((1, 1)).unwrap();
        assert_eq!(origins.acquire((1, 1)), Some(one));
        let two = origins.acquire((2, 1)).unwrap();
        assert_ne!(one, two);
        origins.release(one);
        assert_eq!(origins.pair(one), (1, 1));
        origins.release(one);
        assert_eq!(origins.acquire((3, 9)), Some(one));
        assert_eq!((origins.pair(one), origins.pair(two)), ((3, 9), (2, 1)));
    }

    #[test]
    fn they_run_out() {
        let mut origins = Origins::default();
        for node in 0..ORIGINS_MAX as u32 {
            assert!(origins.acquire((node, 0)).is_some());
        }
        assert_eq!(origins.acquire((0, 1)), None);
        assert!(origins.has_room((5, 0)) && !origins.has_room((0, 1)));
    }
}
