//! The acceptor's side: which runs of slots are promised at which ballot. Pure.

use paxos::Ballot;

use crate::limits::{RANGE_PROMISES_MAX, SLOTS};
use crate::wire::bytes::{put_ballot, Reader};

/// A promise for all keys of some slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u16,
    last: u16,
    ballot: Ballot,
}

/// Promises for runs of slots, in order and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promised {
    runs: Vec<Run>,
}

impl Promised {
    /// What is below it is refused, for keys of this slot.
    pub fn bound(&self, slot: u16) -> Ballot {
        let next = self.runs.partition_point(|run| run.last < slot);
        self.runs.get(next).filter(|run| run.first <= slot).map_or(Ballot::ZERO, |run| run.ballot)
    }

    /// The highest promise for any of these slots.
    pub fn highest(&self, slots: &[(u16, u16)]) -> Ballot {
        let meets = |run: &&Run| slots.iter().any(|(first, last)| run.first <= *last && *first <= run.last);
        self.runs.iter().filter(meets).map(|run| run.ballot).max().unwrap_or(Ballot::ZERO)
    }

    /// Whether all of these slots are promised at this very ballot.
    pub fn has(&self, slots: &[(u16, u16)], ballot: Ballot) -> bool {
        let within = |run: &Run, (first, last): (u16, u16)| run.first <= first && last <= run.last;
        slots.iter().all(|slots| self.runs.iter().any(|run| run.ballot == ballot && within(run, *slots)))
    }

    /// Promises these slots, in order and apart, at a ballot.
    pub fn raise(&mut self, slots: &[(u16, u16)], ballot: Ballot) {
        let mut runs: Vec<Run> =
            slots.iter().map(|(first, last)| Run { first: *first, last: *last, ballot }).collect();
        for run in &self.runs {
            let mut from = run.first;
            for (first, last) in slots.iter().filter(|(first, last)| run.first <= *last && *first <= run.last)
            {
                if from < *first {
                    runs.push(Run { first: from, last: first - 1, ballot: run.ballot });
                }
                from = last + 1;
            }
            if from <= run.last {
                runs.push(Run { first: from, ..*run });
            }
        }
        runs.sort_by_key(|run| run.first);
        runs.dedup_by(|next, run| {
            let one = run.ballot == next.ballot && run.last + 1 == next.first;
            run.last = if one { next.last } else { run.last };
            one
        });
        self.runs = runs;
        self.join_neighbours();
    }

    /// At the bound the two neighbours that are shortest together become one, with the slots between them, at the higher ballot: more is
    /// refused than was asked for, which costs proposers of those slots a ballot and harms nobody.
    fn join_neighbours(&mut self) {
        while self.runs.len() > RANGE_PROMISES_MAX {
            let length = |at: &usize| self.runs[at + 1].last - self.runs[*at].first;
            let Some(at) = (0..self.runs.len() - 1).min_by_key(length) else { return };
            let next = self.runs.remove(at + 1);
            let run = &mut self.runs[at];
            (run.last, run.ballot) = (next.last, run.ballot.max(next.ballot));
        }
    }

    /// The highest round of all.
    pub fn round_max(&self) -> u64 {
        self.runs.iter().map(|run| run.ballot.round).max().unwrap_or(0)
    }

    /// The bytes that the log keeps: 20 for each run.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20 * self.runs.len());
        for run in &self.runs {
            bytes.extend_from_slice(&run.first.to_le_bytes());
            bytes.extend_from_slice(&run.last.to_le_bytes());
            put_ballot(&mut bytes, run.ballot);
        }
        bytes
    }

    /// Reads them back. None: they are none of these.
    pub fn decode(bytes: &[u8]) -> Option<Promised> {
        let mut reader = Reader::new(bytes, "range promises");
        let mut runs: Vec<Run> = Vec::new();
        while !reader.is_empty() {
            let (first, last) = (reader.u16().ok()?, reader.u16().ok()?);
            let ballot = reader.ballot().ok()?;
            let apart = runs.last().is_none_or(|run| run.last < first);
            if !apart || last < first || last >= SLOTS || runs.len() >= RANGE_PROMISES_MAX {
                return None;
            }
            runs.push(Run { first, last, ballot });
        }
        Some(Promised { runs })
    }
}

#[cfg(test)]
mod tests {
    use reactor::rng::Rng;

    use super::*;

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, 1, 1)
    }

    #[test]
    fn slots_are_bound_by_what_was_promised_last() {
        let mut promised = Promised::default();
        assert_eq!((promised.bound(5), promised.highest(&[(0, 9)])), (Ballot::ZERO, Ballot::ZERO));
        promised.raise(&[(0, 99), (200, 299)], ballot(1));
        promised.raise(&[(50, 249)], ballot(2));
        let bounds = [(0, 1), (49, 1), (50, 2), (150, 2), (249, 2), (250, 1), (299, 1)];
        for (slot, round) in bounds {
            assert_eq!(promised.bound(slot), ballot(round), "slot {slot}");
        }
        assert_eq!(promised.bound(300), Ballot::ZERO);
        assert_eq!(promised.highest(&[(0, 10), (260, 400)]), ballot(1));
        assert_eq!(promised.highest(&[(0, 50)]), ballot(2));
        assert!(promised.has(&[(50, 99), (200, 249)], ballot(2)) && !promised.has(&[(49, 99)], ballot(2)));
        assert_eq!(promised.round_max(), 2);
        promised.raise(&[(0, 16_383)], ballot(3));
        assert_eq!(promised.runs.len(), 1);
    }

    /// A twin: a ballot for each slot.
    #[test]
    fn whatever_is_raised_a_table_of_all_slots_says_the_same() {
        let mut rng = Rng::new(1);
        for _ in 0..200 {
            let mut promised = Promised::default();
            let mut table = vec![Ballot::ZERO; 400];
            for round in 1..30 {
                let mut at = rng.below(100) as u16;
                let mut slots = Vec::new();
                for _ in 0..1 + rng.below(3) {
                    let last = at + rng.below(60) as u16;
                    slots.push((at, last));
                    at = last + 1 + rng.below(20) as u16;
                }
                promised.raise(&slots, ballot(round));
                slots.iter().for_each(|(first, last)| {
                    table[usize::from(*first)..=usize::from(*last)].fill(ballot(round));
                });
                assert!(promised.has(&slots, ballot(round)));
                let bounds: Vec<Ballot> = (0..400).map(|slot| promised.bound(slot)).collect();
                assert_eq!(bounds, table);
                assert_eq!(Promised::decode(&promised.encode()), Some(promised.clone()));
            }
        }
    }

    #[test]
    fn at_the_bound_more_is_promised_and_nothing_less() {
        let mut promised = Promised::default();
        for run in 0..200u16 {
            promised.raise(&[(run * 50, run * 50 + run % 7)], ballot(u64::from(run % 5) + 1));
            for before in 0..=run {
                assert!(promised.bound(before * 50) >= ballot(u64::from(before % 5) + 1));
            }
        }
        assert_eq!(promised.runs.len(), RANGE_PROMISES_MAX);
        assert!(Promised::decode(&promised.encode()).is_some());
    }

    #[test]
    fn bytes_that_make_no_sense_are_refused() {
        let mut promised = Promised::default();
        promised.raise(&[(3, 4), (9, 9)], ballot(1));
        let bytes = promised.encode();
        for cut in (1..bytes.len()).filter(|cut| cut % 20 != 0) {
            assert_eq!(Promised::decode(&bytes[..cut]), None);
        }
        let swapped = [&bytes[20..], &bytes[..20]].concat();
        assert_eq!(Promised::decode(&swapped), None);
        assert_eq!(Promised::decode(&[bytes.clone(), bytes].concat()), None);
    }
}
