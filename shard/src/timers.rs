//! When entities want to be looked at again.
//!
//! Nearly every attempt asks for one of two things: to be repeated a fixed time after it began, or, of a read, to be
//! looked at soon. Each of those comes in order, so they stand in two queues, and only what fits into neither in a heap. Nothing is withdrawn: whoever takes a time out asks the entity whether it
//! still wants it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use reactor::clock::Nanos;

use crate::core::EntityId;

/// The times, with whose they are.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Each in order.
    queues: [VecDeque<(Nanos, EntityId)>; 2],
    others: BinaryHeap<Reverse<(Nanos, EntityId)>>,
}

impl Timers {
    /// Adds a time.
    pub fn push(&mut self, at: Nanos, id: EntityId) {
        let last = |queue: &VecDeque<(Nanos, EntityId)>| queue.back().map_or(0, |(last, _)| *last);
        // Into the queue that ends latest of those that it fits, so that the other one stays open for what is sooner.
        match self.queues.iter_mut().filter(|queue| last(queue) <= at).max_by_key(|queue| last(queue)) {
            Some(queue) => queue.push_back((at, id)),
            None => self.others.push(Reverse((at, id))),
        }
    }

    /// The earliest.
    pub fn first(&self) -> Option<(Nanos, EntityId)> {
        let ordered = self.queues.iter().filter_map(|queue| queue.front().copied());
        ordered.chain(self.others.peek().map(|Reverse(time)| *time)).min()
    }

    /// Takes the earliest out.
    pub fn pop(&mut self) -> Option<(Nanos, EntityId)> {
        let first = self.first()?;
        match self.queues.iter_mut().find(|queue| queue.front() == Some(&first)) {
            Some(queue) => queue.pop_front(),
            None => self.others.pop().map(|Reverse(time)| time),
        }
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use reactor::rng::Rng;

    use super::*;

    #[test]
    fn times_come_out_in_order() {
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let (mut timers, mut sorted) = (Timers::default(), Vec::new());
            for id in 0..rng.below(60) as usize {
                let at = rng.below(40) + id as u64;
                timers.push(at, id);
                sorted.push((at, id));
            }
            sorted.sort_unstable();
            assert_eq!(timers.first(), sorted.first().copied());
            assert_eq!(std::iter::from_fn(|| timers.pop()).collect::<Vec<_>>(), sorted);
        }
        let mut timers = Timers::default();
        timers.push(2, 0);
        timers.push(1, 0);
        timers.clear();
        assert_eq!(timers.pop(), None);
    }
}
