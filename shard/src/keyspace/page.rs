//! Merging what a majority lists of one slot: of each key the greatest ballot counts.

use std::collections::BTreeMap;

use bitcask::{Fingerprint, Kind};
use paxos::{Ballot, Member};
use reactor::mutants::planted;

use super::place::Place;
use super::survey::Lister;
use crate::core::ballot_of;

/// The newest record of a key among those listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub ballot: Ballot,
    pub dead: bool,
    /// Bytes of the own record on disk.
    pub bytes: u32,
    /// Who has it; None = this replica.
    pub holder: Option<Member>,
}

/// A part of a slot.
#[derive(Debug)]
pub(super) struct Page {
    pub items: BTreeMap<Fingerprint, Item>,
    /// Everything from where it started to here is in it.
    pub until: Place,
}

/// Merges the part of a slot that starts at `at`. `own`: what this replica lists from there on, at most `max` records; the
/// members' lists reach beyond `at`. At most `cut` records are taken, give or take one group.
pub(super) fn merge(
    at: Place,
    own: &[(Fingerprint, bitcask::Entry)],
    max: usize,
    listers: &mut [Lister],
    cut: Option<usize>,
) -> Page {
    let place = |fingerprint| Place { slot: at.slot, fingerprint };
    let reached = own.last().filter(|_| own.len() >= max).map(|last| at.reached(place(last.0)));
    let own_until = reached.unwrap_or(at.next_slot());
    let mut until = listers.iter().map(|lister| lister.until).fold(own_until, Place::min);
    assert!(until > at, "every list reaches beyond the start of the page");
    let mut items = BTreeMap::new();
    for (fingerprint, entry) in own.iter().filter(|(fingerprint, _)| place(*fingerprint) < until) {
        let dead = entry.kind == Kind::Tombstone;
        let item = Item { ballot: ballot_of(entry.stamp), dead, bytes: entry.bytes, holder: None };
        items.insert(*fingerprint, item);
    }
    for lister in &*listers {
        let entries = lister.entries.iter().map(|entry| (Place::from(entry), entry));
        let within = entries.skip_while(|(place, _)| *place < at).take_while(|(place, _)| *place < until);
        for (_, entry) in within {
            let item = Item { ballot: entry.ballot, dead: entry.dead, bytes: 0, holder: Some(lister.member) };
            let known = items.entry(entry.fingerprint).or_insert(item);
            if (known.ballot < entry.ballot) != planted(161) {
                *known = item;
            }
        }
    }
    let behind = cut.and_then(|cut| items.keys().nth(cut)).map(|fingerprint| at.reached(place(*fingerprint)));
    if let Some(behind) = behind {
        until = until.min(behind);
        items.retain(|fingerprint, _| place(*fingerprint) < until);
    }
    for lister in listers {
        while lister.entries.front().is_some_and(|entry| Place::from(entry) < until) {
            lister.entries.pop_front();
        }
    }
    Page { items, until }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bitcask::{Entry, Stamp};
    use reactor::rng::Rng;

    use super::*;
    use crate::wire::SlotEntry;

    const SLOT: u16 = 5;

    /// What a replica holds of the slot: the round of each record, odd where it is a tombstone.
    type Replica = BTreeMap<Fingerprint, u64>;

    fn replica(rng: &mut Rng, records: u64) -> Replica {
        let records = (0..records).filter(|_| rng.coin()).collect::<Vec<_>>();
        let fingerprint = |record: u64| Fingerprint { hi: record.wrapping_mul(0x9e37_79b9_7f4a_7c15), lo: 3 };
        records.into_iter().map(|record| (fingerprint(record), 1 + rng.below(9))).collect()
    }

    fn own_list(replica: &Replica, from: Fingerprint, max: usize) -> Vec<(Fingerprint, Entry)> {
        let entry = |round: u64| {
            let kind = if round % 2 == 1 { Kind::Tombstone } else { Kind::Value };
            Entry {
                stamp: Stamp { round, node: 1, incarnation: 1 },
                kind,
                marked: false,
                delta: false,
                bytes: 99,
            }
        };
        replica.range(from..).take(max).map(|(fingerprint, round)| (*fingerprint, entry(*round))).collect()
    }

    fn list(member: Member, replica: &Replica, at: Place, max: usize) -> Lister {
        let entry = |(fingerprint, round): (&Fingerprint, &u64)| SlotEntry {
            slot: SLOT,
            fingerprint: *fingerprint,
            ballot: Ballot { round: *round, node: 1, incarnation: 1 },
            dead: round % 2 == 1,
        };
        let entries: VecDeque<SlotEntry> = replica.range(at.fingerprint..).take(max).map(entry).collect();
        let more = replica.range(at.fingerprint..).count() > max;
        let reached = entries.back().filter(|_| more).map(|last| at.reached(Place::from(last)));
        Lister { member, until: reached.unwrap_or(at.next_slot()), entries }
    }

    #[test]
    fn pages_make_the_union() {
        let mut rng = Rng::new(1);
        for _ in 0..300 {
            let records = rng.below(120);
            let replicas: Vec<Replica> = (0..3).map(|_| replica(&mut rng, records)).collect();
            let (own_max, list_max) = (2 + rng.below(40) as usize, 2 + rng.below(40) as usize);
            let cut = rng.coin().then(|| 1 + rng.below(20) as usize);
            let mut at = Place::start(SLOT);
            let mut listers = vec![list(1, &replicas[1], at, list_max), list(2, &replicas[2], at, list_max)];
            let mut found: Vec<(Fingerprint, u64, Option<Member>)> = Vec::new();
            while at.slot == SLOT {
                for lister in listers.iter_mut().filter(|lister| lister.until <= at) {
                    *lister = list(lister.member, &replicas[usize::from(lister.member)], at, list_max);
                }
                let own = own_list(&replicas[0], at.fingerprint, own_max);
                let page = merge(at, &own, own_max, &mut listers, cut);
                assert!(cut.is_none_or(|cut| page.items.len() <= cut), "a page ends where it should");
                for (fingerprint, item) in page.items {
                    assert_eq!(item.dead, item.ballot.round % 2 == 1);
                    found.push((fingerprint, item.ballot.round, item.holder));
                }
                at = page.until;
            }
            let mut want: BTreeMap<Fingerprint, (u64, Option<Member>)> = BTreeMap::new();
            for (holder, replica) in [None, Some(1), Some(2)].into_iter().zip(&replicas) {
                for (fingerprint, round) in replica {
                    let best = want.entry(*fingerprint).or_insert((*round, holder));
                    if best.0 < *round {
                        *best = (*round, holder);
                    }
                }
            }
            let want: Vec<_> = want.into_iter().map(|(key, (round, holder))| (key, round, holder)).collect();
            assert_eq!(found, want, "each once, in order, from whoever has the newest");
        }
    }
}
