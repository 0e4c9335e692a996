//! Range deletions: which version of which keys a deletion of a whole range hides.
//!
//! They are kept as fragments that do not overlap, each with the versions of all deletions that cover it, so that what covers a key is
//! found by one binary search.

use crate::limits::NUMBER_MAX;
use crate::varint::{self, Reader};

/// A piece of the key space, and the deletions over all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub first: Box<[u8]>,
    /// Above all its keys.
    pub end: Box<[u8]>,
    /// The newest first.
    pub versions: Vec<u64>,
}

/// The range deletions of one memtable or table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    fragments: Vec<Fragment>,
}

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// The first key of all, and the end above all.
    pub fn bounds(&self) -> Option<(&[u8], &[u8])> {
        Some((&self.fragments.first()?.first, &self.fragments.last()?.end))
    }

    /// Adds a deletion of the keys from `first` on and below `end`.
    pub fn add(&mut self, first: &[u8], end: &[u8], version: u64) {
        self.add_and(first, end, version, |_| {});
    }

    /// As `add`, for a deletion that is newer than all that are there. What nobody can tell apart any more is one: of the deletions between
    /// two of the `snapshots` (which ascend) the newest is left.
    pub fn add_thin(&mut self, first: &[u8], end: &[u8], version: u64, snapshots: &[u64]) {
        self.add_and(first, end, version, |versions| {
            let mut stripe = None;
            versions.retain(|version| {
                let mine = snapshots.partition_point(|snapshot| snapshot < version);
                stripe.replace(mine) != Some(mine)
            });
        });
    }

    fn add_and(&mut self, first: &[u8], end: &[u8], version: u64, tidy: impl Fn(&mut Vec<u64>)) {
        assert!(first < end, "a range has a key");
        // Neighbours that only touch it are looked at as well: they may be of one piece with it.
        let from = self.fragments.partition_point(|fragment| *fragment.end < *first);
        let to = self.fragments.partition_point(|fragment| *fragment.first <= *end);
        let covered = Ranges { fragments: self.fragments[from..to].to_vec() };
        let new = Fragment { first: first.into(), end: end.into(), versions: vec![version] };
        let pieces = union(covered.fragments, vec![new], tidy);
        self.fragments.splice(from..to, pieces);
    }

    /// The newest deletion up to `version` that covers the key; 0: none.
    #[inline]
    pub fn covering(&self, key: &[u8], version: u64) -> u64 {
        if self.fragments.is_empty() {
            return 0;
        }
        let at = self.fragments.partition_point(|fragment| *fragment.end <= *key);
        let fragment = self.fragments.get(at).filter(|fragment| *fragment.first <= *key);
        let visible = |fragment: &Fragment| fragment.versions.iter().copied().find(|other| *other <= version);
        fragment.and_then(visible).unwrap_or(0)
    }

    /// From which version on nothing is seen of the keys from `first` on and below `end`, of what has versions up to `newest`. None: some of
    /// it is seen for ever.
    pub fn hidden_from(&self, first: &[u8], end: &[u8], newest: u64) -> Option<u64> {
        let from = self.fragments.partition_point(|fragment| *fragment.end <= *first);
        let (mut at, mut hidden_from) = (first, 0);
        for fragment in &self.fragments[from..] {
            if *fragment.first > *at {
                return None;
            }
            // Of the deletions that are newer the oldest: snapshots before it see what is there.
            hidden_from =
                hidden_from.max(fragment.versions.iter().copied().rfind(|version| *version > newest)?);
            at = &fragment.end;
            if *at >= *end {
                return Some(hidden_from);
            }
        }
        None
    }

    /// The fragments that have keys from `first` on and below `end`, where those are given.
    fn about(&self, first: Option<&[u8]>, end: Option<&[u8]>) -> &[Fragment] {
        let from = first.map_or(0, |first| self.fragments.partition_point(|f| *f.end <= *first));
        let to = end.map_or(self.fragments.len(), |end| self.fragments.partition_point(|f| *f.first < *end));
        self.fragments.get(from..to).unwrap_or_default()
    }

    /// What of it lies from `first` on and below `end`, where those are given.
    pub fn within(&self, first: Option<&[u8]>, end: Option<&[u8]>) -> Ranges {
        let cut = |fragment: &Fragment| {
            let first = first.map_or(&*fragment.first, |first| first.max(&fragment.first));
            let end = end.map_or(&*fragment.end, |end| end.min(&fragment.end));
            Fragment { first: first.into(), end: end.into(), versions: fragment.versions.clone() }
        };
        Ranges { fragments: self.about(first, end).iter().map(cut).collect() }
    }

    /// As `within`, and of each key no more than the newest deletion up to `version`.
    pub fn seen_within(&self, first: &[u8], end: Option<&[u8]>, version: u64) -> Ranges {
        let cut = |fragment: &Fragment| {
            let newest = fragment.versions.iter().copied().find(|other| *other <= version)?;
            let end = end.map_or(&*fragment.end, |end| end.min(&fragment.end));
            let first = first.max(&fragment.first);
            Some(Fragment { first: first.into(), end: end.into(), versions: vec![newest] })
        };
        Ranges { fragments: self.about(Some(first), end).iter().filter_map(cut).collect() }
    }

    /// Adds what lies behind all that is there.
    pub fn append(&mut self, other: &Ranges) {
        self.fragments.extend(other.fragments.iter().cloned());
        assert!(self.fragments.is_sorted_by(|a, b| a.end <= b.first), "runs have their ranges in order");
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: Ranges) {
        if other.is_empty() {
            return;
        }
        self.fragments = match self.is_empty() {
            true => other.fragments,
            false => union(std::mem::take(&mut self.fragments), other.fragments, |_| {}),
        };
    }

    /// Drops deletions that nobody can tell from their neighbours: of those between two of the `snapshots` (which ascend) only the newest
    /// counts. `keeps` says of the ones that are left whether something may still lie below them.
    pub fn thin_out(&mut self, snapshots: &[u64], keeps: impl Fn(u64, &Fragment) -> bool) {
        for fragment in &mut self.fragments {
            let mut stripe = None;
            let whole = fragment.clone();
            fragment.versions.retain(|version| {
                let mine = snapshots.partition_point(|snapshot| snapshot < version);
                let newest = stripe.replace(mine) != Some(mine);
                newest && keeps(*version, &whole)
            });
        }
        self.fragments.retain(|fragment| !fragment.versions.is_empty());
    }

    /// How many deletions there are, counted by fragment.
    pub fn count(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.versions.len()).sum()
    }

    /// The oldest and the newest version.
    pub fn versions(&self) -> Option<(u64, u64)> {
        let all = || self.fragments.iter().flat_map(|fragment| fragment.versions.iter().copied());
        Some((all().min()?, all().max()?))
    }

    /// Adds to every version.
    pub fn shift(&mut self, by: u64) {
        self.fragments
            .iter_mut()
            .flat_map(|fragment| &mut fragment.versions)
            .for_each(|version| *version += by);
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.fragments.len() as u64);
        for Fragment { first, end, versions } in &self.fragments {
            varint::put_bytes(out, first);
            varint::put_bytes(out, end);
            varint::put(out, versions.len() as u64);
            versions.iter().for_each(|version| varint::put(out, *version));
        }
    }

    pub fn decode(bytes: &[u8]) -> Option<Ranges> {
        let mut reader = Reader::new(bytes);
        let mut ranges = Ranges::default();
        for _ in 0..reader.number()? {
            let (first, end): (Box<[u8]>, Box<[u8]>) = (reader.bytes()?.into(), reader.bytes()?.into());
            let mut versions = Vec::new();
            for _ in 0..reader.number()? {
                versions.push(reader.number()?);
            }
            let follows = ranges.fragments.last().is_none_or(|last| *last.end <= *first);
            let descends = versions.windows(2).all(|pair| pair[0] > pair[1])
                && versions.iter().all(|version| *version <= NUMBER_MAX);
            if first >= end || versions.is_empty() || !follows || !descends {
                return None;
            }
            ranges.fragments.push(Fragment { first, end, versions });
        }
        reader.is_empty().then_some(ranges)
    }
}

/// The deletions of two lists of fragments. `tidy`: what is done with the versions of a piece that both have.
fn union(a: Vec<Fragment>, b: Vec<Fragment>, tidy: impl Fn(&mut Vec<u64>)) -> Vec<Fragment> {
    let mut pieces: Vec<Fragment> = Vec::with_capacity(a.len() + b.len() + 1);
    let mut push = |piece: Fragment| match pieces.last_mut() {
        Some(last) if last.end == piece.first && last.versions == piece.versions => last.end = piece.end,
        _ => pieces.push(piece),
    };
    let (mut rest_a, mut rest_b) = (a.into_iter(), b.into_iter());
    let (mut next_a, mut next_b) = (rest_a.next(), rest_b.next());
    while let (Some(one), Some(two)) = (&mut next_a, &mut next_b) {
        if one.end <= two.first {
            push(std::mem::replace(&mut next_a, rest_a.next()).expect("it was looked at"));
        } else if two.end <= one.first {
            push(std::mem::replace(&mut next_b, rest_b.next()).expect("it was looked at"));
        } else if one.first < two.first {
            push(cut_front(one, two.first.clone()));
        } else if two.first < one.first {
            push(cut_front(two, one.first.clone()));
        } else {
            let end = (&one.end).min(&two.end).clone();
            let mut versions = joined(&one.versions, &two.versions);
            tidy(&mut versions);
            push(Fragment { first: one.first.clone(), end: end.clone(), versions });
            for (next, rest) in [(&mut next_a, &mut rest_a), (&mut next_b, &mut rest_b)] {
                match next {
                    Some(fragment) if fragment.end > end => fragment.first = end.clone(),
                    _ => *next = rest.next(),
                }
            }
        }
    }
    next_a.into_iter().chain(rest_a).chain(next_b).chain(rest_b).for_each(push);
    pieces
}

/// Takes what lies below a key off the front of a fragment.
fn cut_front(fragment: &mut Fragment, end: Box<[u8]>) -> Fragment {
    let first = std::mem::replace(&mut fragment.first, end.clone());
    Fragment { first, end, versions: fragment.versions.clone() }
}

/// Two descending lists as one, each version once.
fn joined(a: &[u64], b: &[u64]) -> Vec<u64> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let mut all = Vec::new();
    while let Some(next) = a.peek().copied().max(b.peek().copied()) {
        a.next_if_eq(&next);
        b.next_if_eq(&next);
        all.push(next);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;

    #[test]
    fn it_says_what_a_list_of_deletions_says() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut ranges = Ranges::default();
            let mut list = Vec::new();
            for version in 1..=rng.below(20) {
                let first = rng.below(30) as u8;
                let end = first + 1 + rng.below(10) as u8;
                ranges.add(&[first], &[end], version);
                list.push((first, end, version));
                let sorted = ranges.fragments.windows(2).all(|pair| *pair[0].end <= *pair[1].first);
                assert!(sorted && ranges.fragments.iter().all(|fragment| fragment.first < fragment.end));
            }
            let mut bytes = Vec::new();
            ranges.encode(&mut bytes);
            assert_eq!(Ranges::decode(&bytes), Some(ranges.clone()));
            let covering = |list: &[(u8, u8, u64)], key: u8, at: u64| {
                let covers =
                    |(first, end, version): &&(u8, u8, u64)| *first <= key && key < *end && *version <= at;
                list.iter().filter(covers).map(|(_, _, version)| *version).max().unwrap_or(0)
            };
            let part = ranges.within(Some(&[7]), Some(&[20]));
            for key in 0..45 {
                for at in 0..21 {
                    assert_eq!(ranges.covering(&[key], at), covering(&list, key, at), "seed {seed}");
                    let expected = if (7..20).contains(&key) { covering(&list, key, at) } else { 0 };
                    assert_eq!(part.covering(&[key], at), expected, "seed {seed}");
                }
            }
            let mut seen = ranges.seen_within(&[7], Some(&[20]), 12);
            assert_eq!(
                (7..20).map(|key| seen.covering(&[key], 12)).collect::<Vec<_>>(),
                (7..20).map(|key| covering(&list, key, 12)).collect::<Vec<_>>()
            );
            seen.merge(ranges.within(None, Some(&[9])));
            assert_eq!(seen.covering(&[8], 21), covering(&list, 8, 21), "seed {seed}");
            let (odd, even): (Vec<_>, Vec<_>) =
                list.iter().copied().partition(|(.., version)| version % 2 == 1);
            let [mut odd, even] = [odd, even].map(|list| {
                let mut ranges = Ranges::default();
                list.into_iter().for_each(|(first, end, version)| ranges.add(&[first], &[end], version));
                ranges
            });
            odd.merge(even);
            assert_eq!(odd, ranges, "seed {seed}");
            let (first, end) = (rng.below(30) as u8, 31 + rng.below(5) as u8);
            let newest = rng.below(15);
            let is_hidden = |at: u64| (first..end).all(|key| covering(&list, key, at) > newest);
            let expected = (0..=99).find(|at| is_hidden(*at));
            assert_eq!(ranges.hidden_from(&[first], &[end], newest), expected, "seed {seed}");
        }
    }

    #[test]
    fn a_queue_that_is_trimmed_is_one_deletion() {
        let mut ranges = Ranges::default();
        for version in 1..=1_000_u64 {
            ranges.add_thin(b"q", format!("q{version:05}").as_bytes(), version, &[]);
        }
        assert_eq!(ranges.fragments.len(), 1);
        assert!(ranges.fragments.iter().all(|fragment| fragment.versions.len() == 1));
        let mut seen = Ranges::default();
        (1..=9).for_each(|version| seen.add_thin(b"a", b"c", version, &[3, 7]));
        assert_eq!(seen.fragments[0].versions, [9, 7, 3]);
    }

    #[test]
    fn between_two_snapshots_the_newest_is_enough() {
        let mut ranges = Ranges::default();
        (1..=9).for_each(|version| ranges.add(b"a", b"c", version));
        ranges.thin_out(&[3, 7], |_, _| true);
        assert_eq!(ranges.fragments[0].versions, [9, 7, 3]);
        ranges.thin_out(&[], |version, _| version > 9);
        assert!(ranges.is_empty());
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let mut rng = Rng::new(3);
        let mut ranges = Ranges::default();
        (0..20).for_each(|n| ranges.add(&[n], &[n + 3], u64::from(n) + 1));
        let mut bytes = Vec::new();
        ranges.encode(&mut bytes);
        for _ in 0..10_000 {
            let mut other = bytes.clone();
            let at = rng.below(other.len() as u64) as usize;
            other[at] = rng.next_u64() as u8;
            Ranges::decode(&other);
        }
        assert_eq!(Ranges::decode(&bytes[..bytes.len() - 1]), None);
    }
}
