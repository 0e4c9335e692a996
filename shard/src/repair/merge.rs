//! What of a slot is to be fetched: the lists of the peers next to the own directory. Pure.

use std::collections::{BTreeMap, VecDeque};

use bitcask::Fingerprint;
use paxos::{Ballot, Member};
use reactor::mutants::planted;

use crate::wire::Listed;

/// What one peer listed of a slot and is not merged yet.
#[derive(Debug)]
pub(super) struct Lister {
    pub member: Member,
    pub entries: VecDeque<Listed>,
    /// Where its next page starts; None: it has listed everything.
    pub next: Option<Fingerprint>,
    /// The question for that page is out.
    pub asked: bool,
    /// The subscription under which all pages so far were read, if it is one: what is newer in them is noted ([`crate::abreast`]).
    noted: Option<u64>,
    /// There were pages.
    begun: bool,
}

impl Lister {
    /// Nothing listed yet.
    pub fn new(member: Member) -> Lister {
        Lister {
            member,
            entries: VecDeque::new(),
            next: Some(Fingerprint::MIN),
            asked: false,
            noted: None,
            begun: false,
        }
    }

    /// Takes a page.
    pub fn take(&mut self, page: Vec<Listed>, more: bool) {
        self.asked = false;
        let last = page.last().map(|entry| entry.fingerprint);
        self.next = if more { last.and_then(Fingerprint::next) } else { None };
        self.entries.extend(page);
    }

    /// A page came; what is newer in it than here was noted under this subscription, or was not. Whether that holds for all pages, and this was
    /// the last one.
    pub fn note(&mut self, subscription: Option<u64>) -> bool {
        if !self.begun || self.noted != subscription {
            self.noted = subscription.filter(|_| !self.begun);
        }
        self.begun = true;
        self.noted.is_some() && self.next.is_none()
    }

    /// Whether everything it has was listed and merged.
    pub fn is_over(&self) -> bool {
        self.next.is_none() && self.entries.is_empty()
    }

    /// Whether it is to be asked for its next page.
    pub fn wants_page(&self) -> bool {
        self.entries.is_empty() && self.next.is_some() && !self.asked
    }

    fn is_waiting(&self) -> bool {
        self.entries.is_empty() && self.next.is_some()
    }
}

/// The newest record of a key among those listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub fingerprint: Fingerprint,
    pub ballot: Ballot,
    pub dead: bool,
    /// A majority lists it, or somebody knows that it is chosen.
    pub proven: bool,
    pub bytes: u32,
    /// Who is to be asked for it.
    pub from: Member,
}

/// Merges as far as all have listed, and takes that off the lists. Empty while somebody's page is missing. `turn` spreads the
/// questions over those who hold the same.
pub(super) fn merge(listers: &mut [Lister], majority: u8, turn: usize) -> Vec<Item> {
    if listers.iter().any(Lister::is_waiting) {
        return Vec::new();
    }
    // Who has more pages is known up to where the next one starts.
    let until = listers.iter().filter_map(|lister| lister.next).min();
    let within = |entry: &Listed| until.is_none_or(|until| entry.fingerprint < until);
    let mut newest: BTreeMap<Fingerprint, Vec<(Member, Listed)>> = BTreeMap::new();
    for lister in listers {
        while let Some(entry) = lister.entries.pop_front_if(|entry| within(entry)) {
            let held = newest.entry(entry.fingerprint).or_default();
            let best = held.first().map_or(Ballot::ZERO, |(_, best)| best.ballot);
            if entry.ballot > best {
                held.clear();
            }
            if entry.ballot >= best {
                held.push((lister.member, entry));
            }
        }
    }
    newest.into_values().filter_map(|held| item(&held, majority, turn)).collect()
}

/// What all those who hold a key's newest record say of it.
fn item(held: &[(Member, Listed)], majority: u8, turn: usize) -> Option<Item> {
    let knowing: Vec<_> = held.iter().filter(|(_, entry)| entry.chosen).collect();
    let known = knowing.len();
    let (from, entry) =
        if known > 0 { *knowing.get(turn % known)? } else { held.get(turn % held.len().max(1))? };
    Some(Item {
        fingerprint: entry.fingerprint,
        ballot: entry.ballot,
        dead: entry.dead,
        proven: known > 0 || held.len() >= usize::from(majority) || planted(132),
        bytes: entry.bytes,
        from: *from,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reactor::rng::Rng;

    use super::*;

    fn entry(hi: u64, round: u64, chosen: bool) -> Listed {
        let ballot = Ballot::new(round, 1, 1);
        Listed { fingerprint: Fingerprint { hi, lo: 0 }, ballot, dead: false, chosen, bytes: 10 }
    }

    fn lister(member: Member, entries: &[Listed]) -> Lister {
        let mut lister = Lister::new(member);
        lister.take(entries.to_vec(), false);
        lister
    }

    #[test]
    fn two_of_three_prove_and_one_that_knows_does() {
        let mut listers = [
            lister(1, &[entry(1, 5, false), entry(2, 5, false), entry(3, 5, true), entry(4, 9, false)]),
            lister(2, &[entry(1, 5, false), entry(2, 4, true), entry(4, 8, false)]),
        ];
        let items = merge(&mut listers, 2, 1);
        let told: Vec<_> =
            items.iter().map(|i| (i.fingerprint.hi, i.ballot.round, i.proven, i.from)).collect();
        assert_eq!(told, [(1, 5, true, 2), (2, 5, false, 1), (3, 5, true, 1), (4, 9, false, 1)]);
        assert!(listers.iter().all(Lister::is_over));
    }

    #[test]
    fn a_page_that_is_missing_holds_up_what_lies_behind_the_other_ones() {
        let mut listers = [lister(1, &[entry(1, 1, true), entry(9, 1, true)]), Lister::new(2)];
        assert_eq!(merge(&mut listers, 2, 0), []);
        listers[1].take(vec![entry(1, 2, true), entry(4, 1, true)], true);
        let seen: Vec<_> = merge(&mut listers, 2, 0).iter().map(|item| item.fingerprint.hi).collect();
        assert_eq!(seen, [1, 4]);
        assert!(listers[1].wants_page() && !listers[0].wants_page());
        listers[1].take(vec![], false);
        let seen: Vec<_> = merge(&mut listers, 2, 0).iter().map(|item| item.fingerprint.hi).collect();
        assert_eq!(seen, [9]);
    }

    #[test]
    fn a_list_is_noted_if_all_pages_are_under_one_subscription() {
        let table: [(&[Option<u64>], bool); 7] = [
            (&[Some(1)], true),
            (&[None], false),
            (&[Some(1), Some(1), Some(1)], true),
            (&[Some(1), Some(2)], false),
            (&[None, Some(1)], false),
            (&[Some(1), None, Some(1)], false),
            (&[Some(1), Some(2), Some(1)], false),
        ];
        for (pages, want) in table {
            let mut lister = Lister::new(1);
            let noted: Vec<bool> = (0..)
                .zip(pages)
                .map(|(number, subscription)| {
                    lister.take(vec![entry(number, 1, false)], number + 1 < pages.len() as u64);
                    lister.note(*subscription)
                })
                .collect();
            assert_eq!(noted.last(), Some(&want), "{pages:?}");
            assert!(noted[..pages.len() - 1].iter().all(|noted| !noted), "only the last page ends it");
        }
    }

    /// A twin: whatever the pages, the newest of each key, once, in order.
    #[test]
    fn pages_of_any_size_merge_to_the_same() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let held: Vec<Vec<Listed>> = (0..1 + rng.below(4))
                .map(|_| {
                    let keys: BTreeSet<u64> = (0..rng.below(40)).map(|_| rng.below(60)).collect();
                    keys.into_iter().map(|key| entry(key, 1 + rng.below(4), rng.coin())).collect()
                })
                .collect();
            let mut want: BTreeMap<u64, u64> = BTreeMap::new();
            for one in held.iter().flatten() {
                let best = want.entry(one.fingerprint.hi).or_default();
                *best = one.ballot.round.max(*best);
            }
            let mut listers: Vec<Lister> = (0..held.len()).map(|m| Lister::new(m as Member)).collect();
            let mut found = Vec::new();
            while !listers.iter().all(Lister::is_over) {
                for lister in listers.iter_mut().filter(|lister| lister.wants_page()) {
                    let from = lister.next.expect("there is a page");
                    let rest = held[usize::from(lister.member)].iter().filter(|e| e.fingerprint >= from);
                    let size = 1 + rng.below(7) as usize;
                    let page: Vec<Listed> = rest.clone().copied().take(size).collect();
                    lister.take(page, rest.count() > size);
                }
                found.extend(merge(&mut listers, 3, seed as usize));
            }
            let found: Vec<_> = found.iter().map(|item| (item.fingerprint.hi, item.ballot.round)).collect();
            assert_eq!(found, want.into_iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
