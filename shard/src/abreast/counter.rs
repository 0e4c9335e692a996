//! The counting side: what became durable here for the slots that another member has named. Pure.
//!
//! Each member that has named slots has one counter, for the newest subscription of its newest start. It counts votes, when they are
//! durable, at ballots of anybody but this start of the member, and remembers the last of them in a ring.

use std::collections::VecDeque;

use bitcask::{Fingerprint, KeyRef};
use paxos::{Ballot, Member};
use reactor::mutants::planted;

use crate::wire::{Counted, Told};

/// Votes, by the fingerprint of their key.
pub(crate) type Records = Vec<(Fingerprint, Ballot)>;

/// What is counted for one member.
#[derive(Debug)]
struct Counter {
    /// The member's core, as its ballots name it, and its start.
    node: u32,
    start: u32,
    subscription: u64,
    /// Runs of slots, first and last of each, in order and apart.
    named: Vec<(u16, u16)>,
    count: u64,
    ring: VecDeque<(Fingerprint, Ballot)>,
}

impl Counter {
    fn has(&self, slot: u16) -> bool {
        self.named.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// What was counted since it stood at a count. None: the ring does not reach back.
    fn since(&self, count: u64) -> Option<Records> {
        let missed = usize::try_from(self.count.checked_sub(count)?).ok()?;
        let kept = missed.min(self.ring.len());
        let whole = kept == missed || planted(176);
        whole.then(|| self.ring.range(self.ring.len() - kept..).copied().collect())
    }

    /// Whether the ballot is of this very start of the member, whose own acceptor holds what it proposes.
    fn is_own(&self, ballot: Ballot) -> bool {
        ballot.node == self.node && ballot.incarnation == self.start
    }
}

/// The counters of a core, by member.
#[derive(Debug)]
pub(crate) struct Counters {
    counters: Vec<Option<Counter>>,
    ring_max: usize,
}

impl Counters {
    /// Nobody has named anything.
    pub fn new(members: usize, ring_max: usize) -> Counters {
        Counters { counters: (0..members).map(|_| None).collect(), ring_max }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.counters.fill_with(|| None);
    }

    /// A member names slots under a subscription, whose number bears its start. One that is older than what is known is passed over, and
    /// the same one once more changes nothing.
    pub fn name(&mut self, member: Member, node: u32, subscription: u64, named: Vec<(u16, u16)>) {
        let counter = &mut self.counters[usize::from(member)];
        if counter.as_ref().is_some_and(|known| known.subscription >= subscription) {
            return;
        }
        let start = (subscription >> 32) as u32;
        *counter = Some(Counter { node, start, subscription, named, count: 0, ring: VecDeque::new() });
    }

    /// A vote for a key is durable and in the directory.
    pub fn count(&mut self, (slot, fingerprint): KeyRef, ballot: Ballot) {
        for counter in self.counters.iter_mut().flatten() {
            if counter.is_own(ballot) || !counter.has(slot) {
                continue;
            }
            counter.count += 1;
            if counter.ring.len() == self.ring_max {
                counter.ring.pop_front();
            }
            counter.ring.push_back((fingerprint, ballot));
        }
    }

    /// Where a member's counter stands; subscription 0 where it has none.
    pub fn counted(&self, member: Member) -> Counted {
        let counter = self.counters[usize::from(member)].as_ref();
        counter.map_or(Counted::default(), |counter| Counted {
            subscription: counter.subscription,
            count: counter.count,
        })
    }

    /// Where the counter of a member stands, and what was counted since a place, if the counter is the one that is meant and the ring
    /// reaches back to there. `start`: this core's own, `of`: the one that the place is about.
    pub fn told(&self, member: Member, start: u32, (asked, of): (Counted, u32)) -> Told {
        let from = asked.count;
        let Some(counter) = self.counters[usize::from(member)].as_ref() else {
            let (place, records) =
                if planted(177) { (asked, Some(Vec::new())) } else { (Counted::default(), None) };
            return Told { from, place, records };
        };
        let place = Counted { subscription: counter.subscription, count: counter.count };
        let same = (counter.subscription, start) == (asked.subscription, of);
        Told { from, place, records: if same { counter.since(from) } else { None } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 3;

    fn subscription(number: u64) -> u64 {
        u64::from(START) << 32 | number
    }

    fn key(slot: u16, hi: u64) -> KeyRef {
        (slot, Fingerprint { hi, lo: 0 })
    }

    fn place(number: u64, incarnation: u32, count: u64) -> (Counted, u32) {
        (Counted { subscription: subscription(number), count }, incarnation)
    }

    fn told(counters: &Counters, asked: (Counted, u32)) -> Option<Vec<u64>> {
        Some(counters.told(1, 9, asked).records?.iter().map(|(fingerprint, _)| fingerprint.hi).collect())
    }

    #[test]
    fn votes_of_others_are_counted_and_told() {
        let mut counters = Counters::new(3, 4);
        counters.count(key(5, 1), Ballot::new(1, 7, 1));
        assert_eq!(counters.counted(1), Counted::default());
        counters.name(1, 100, subscription(1), vec![(4, 6), (9, 9)]);
        for (slot, hi, node, start) in
            [(5, 1, 7, 1), (5, 2, 100, START), (9, 3, 100, START - 1), (7, 4, 7, 1), (6, 5, 8, 1)]
        {
            counters.count(key(slot, hi), Ballot::new(1, node, start));
        }
        assert_eq!(counters.counted(1), Counted { subscription: subscription(1), count: 3 });
        assert_eq!(counters.counted(2), Counted::default());
        assert_eq!(told(&counters, place(1, 9, 0)), Some(vec![1, 3, 5]));
        assert_eq!(told(&counters, place(1, 9, 2)), Some(vec![5]));
        assert_eq!(told(&counters, place(1, 9, 3)), Some(vec![]));
        // A place that it never came to, another start, another subscription, another member.
        for other in [place(1, 9, 4), place(1, 8, 3), place(2, 9, 3)] {
            assert_eq!(told(&counters, other), None, "{other:?}");
        }
        let nothing = Told { from: 0, place: Counted::default(), records: None };
        assert_eq!(counters.told(2, 9, place(1, 9, 0)), nothing);
    }

    #[test]
    fn a_ring_that_does_not_reach_back_says_so() {
        let mut counters = Counters::new(3, 4);
        counters.name(1, 100, subscription(1), vec![(0, 9)]);
        (0..6).for_each(|hi| counters.count(key(5, hi), Ballot::new(1, 7, 1)));
        assert_eq!(told(&counters, place(1, 9, 1)), None);
        assert_eq!(told(&counters, place(1, 9, 2)), Some(vec![2, 3, 4, 5]));
    }

    #[test]
    fn the_newest_subscription_counts() {
        let mut counters = Counters::new(3, 4);
        counters.name(1, 100, subscription(2), vec![(0, 9)]);
        counters.count(key(5, 1), Ballot::new(1, 7, 1));
        counters.name(1, 100, subscription(2), vec![(0, 9)]);
        counters.name(1, 100, subscription(1), vec![(0, 1)]);
        assert_eq!(counters.counted(1), Counted { subscription: subscription(2), count: 1 });
        counters.name(1, 100, subscription(3), vec![(0, 1)]);
        assert_eq!(counters.counted(1), Counted { subscription: subscription(3), count: 0 });
        counters.clear();
        assert_eq!(counters.counted(1), Counted::default());
    }
}
