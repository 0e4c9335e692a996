//! Range deletions: which version of which keys a deletion of a whole range hides.
//!
//! They are kept as fragments that do not overlap, each with the versions of all deletions that cover it, so that what covers a key is
//! found by one binary search.

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
        assert!(first < end, "a range has a key");
        let from = self.fragments.partition_point(|fragment| *fragment.end <= *first);
        let to = self.fragments.partition_point(|fragment| *fragment.first < *end);
        let mut pieces = Vec::new();
        let mut at: Box<[u8]> = first.into();
        for fragment in &self.fragments[from..to] {
            if *fragment.first < *at {
                pieces.push(Fragment { end: at.clone(), ..fragment.clone() });
            } else if *at < *fragment.first {
                pieces.push(Fragment { first: at, end: fragment.first.clone(), versions: vec![version] });
            }
            let start = first.max(&fragment.first);
            let stop = end.min(&fragment.end);
            let mut versions = fragment.versions.clone();
            let place = versions.partition_point(|other| *other > version);
            if versions.get(place) != Some(&version) {
                versions.insert(place, version);
            }
            pieces.push(Fragment { first: start.into(), end: stop.into(), versions });
            if *stop < *fragment.end {
                pieces.push(Fragment { first: stop.into(), ..fragment.clone() });
            }
            at = stop.into();
        }
        if *at < *end {
            pieces.push(Fragment { first: at, end: end.into(), versions: vec![version] });
        }
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

    /// What of it lies from `first` on and below `end`, where those are given.
    pub fn within(&self, first: Option<&[u8]>, end: Option<&[u8]>) -> Ranges {
        let cut = |fragment: &Fragment| {
            let first = first.map_or(&*fragment.first, |first| first.max(&fragment.first));
            let end = end.map_or(&*fragment.end, |end| end.min(&fragment.end));
            (first < end).then(|| Fragment { first: first.into(), end: end.into(), ..fragment.clone() })
        };
        Ranges { fragments: self.fragments.iter().filter_map(cut).collect() }
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: &Ranges) {
        for fragment in &other.fragments {
            for version in fragment.versions.iter().rev() {
                self.add(&fragment.first, &fragment.end, *version);
            }
        }
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
            let descends = versions.windows(2).all(|pair| pair[0] > pair[1]);
            if first >= end || versions.is_empty() || !follows || !descends {
                return None;
            }
            ranges.fragments.push(Fragment { first, end, versions });
        }
        reader.is_empty().then_some(ranges)
    }
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
            let (first, end) = (rng.below(30) as u8, 31 + rng.below(5) as u8);
            let newest = rng.below(15);
            let is_hidden = |at: u64| (first..end).all(|key| covering(&list, key, at) > newest);
            let expected = (0..=99).find(|at| is_hidden(*at));
            assert_eq!(ranges.hidden_from(&[first], &[end], newest), expected, "seed {seed}");
        }
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
