//! A sorted set: different members, each with a score.

use reactor::mutants::planted;

use super::seq::Seq;
use super::{
    digest, element_bytes, take_count, varint_bytes, Change, Element, Misfit, Notes, ScanOrder, Score,
};
use crate::command::{put_bytes, put_varint, DecodeError, Reader};

/// Members with their scores: in the order of the members' bytes, and by score, then bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedSet {
    by_member: Seq<(Element, Score)>,
    by_score: Seq<(Score, Element)>,
    /// Of all members and scores in the encoding.
    bytes: usize,
    notes: Notes,
    scan_order: ScanOrder,
}

/// Bytes of a score in the encoding.
const SCORE_BYTES: usize = 8;

/// The terms of members with their scores.
fn sum<'a>(members: impl Iterator<Item = &'a (Score, Element)>) -> u64 {
    members.fold(0, |sum: u64, (score, member)| sum.wrapping_add(digest::score_term(member, *score)))
}

impl SortedSet {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.by_member.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_member.is_empty()
    }

    fn find(&self, member: &[u8]) -> Result<usize, usize> {
        self.by_member.find(|(other, _)| (**other).cmp(member))
    }

    fn place(&self, score: Score, member: &[u8]) -> Result<usize, usize> {
        self.by_score.find(|(other, name)| (*other, &**name).cmp(&(score, member)))
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<Score> {
        let place = self.find(member).ok()?;
        self.by_member.get(place).map(|(_, score)| *score)
    }

    /// How many members have a lower score, or the same and lower bytes.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        self.place(self.score(member)?, member).ok()
    }

    /// The score and member of a rank.
    pub fn at(&self, rank: usize) -> Option<&(Score, Element)> {
        self.by_score.get(rank)
    }

    /// Scores and members from a rank on.
    pub fn iter_from(&self, rank: usize) -> impl ExactSizeIterator<Item = &(Score, Element)> {
        self.by_score.iter_from(rank)
    }

    /// How many, from the lowest rank on, `is_before` holds for.
    pub fn partition_point(&self, mut is_before: impl FnMut(Score, &[u8]) -> bool) -> usize {
        self.by_score.partition_point(|(score, member)| is_before(*score, member))
    }

    /// Gives a member a score; the one that it had.
    pub fn set(&mut self, member: &[u8], score: Score) -> Option<Score> {
        let (name, old) = match self.find(member) {
            Ok(place) => {
                let name = self.by_member.get(place).map(|(name, _)| name.clone()).unwrap_or_default();
                let (_, old) = self.by_member.replace(place, (name.clone(), score));
                self.forget(old, member);
                (name, Some(old))
            }
            Err(place) => {
                let name = Element::from(member);
                self.scan_order.insert(&name);
                self.by_member.insert(place, (name.clone(), score));
                self.bytes += element_bytes(member) + SCORE_BYTES;
                (name, None)
            }
        };
        let place = self.place(score, member).expect_err("a member has one score");
        self.by_score.insert(place, (score, name.clone()));
        if old.is_some() && planted(544) {
            return old;
        }
        self.notes.add(
            || Change::SetScore(name, score),
            |digest| {
                let gone = old.map_or(0, |old| digest::score_term(member, old));
                digest.wrapping_sub(gone).wrapping_add(digest::score_term(member, score))
            },
        );
        old
    }

    fn forget(&mut self, score: Score, member: &[u8]) {
        let place = self.place(score, member).expect("every member has its place by score");
        self.by_score.remove(place);
    }

    /// Removes a member; whether there was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Ok(place) = self.find(member) else { return false };
        let (name, score) = self.by_member.remove(place);
        self.forget(score, member);
        self.bytes -= element_bytes(member) + SCORE_BYTES;
        self.scan_order.remove(member);
        self.notes.add(
            || Change::RemoveScored(name),
            |digest| digest.wrapping_sub(digest::score_term(member, score)),
        );
        true
    }

    /// Takes away the members from a rank up to another, which is behind it unless there is nothing to take.
    pub fn remove_ranks(&mut self, from: usize, to: usize) -> Vec<(Score, Element)> {
        let behind = self.by_score.split_off(to);
        let gone = self.by_score.split_off(from);
        self.by_score.append(behind);
        for (_, member) in gone.iter() {
            let place = self.find(member).expect("every member has its place by name");
            self.by_member.remove(place);
            self.scan_order.remove(member);
            self.bytes -= element_bytes(member) + SCORE_BYTES;
        }
        if from < to {
            self.notes
                .add(|| Change::RemoveRanks(from, to - from), |digest| digest.wrapping_sub(sum(gone.iter())));
        }
        gone.iter().cloned().collect()
    }

    /// The digest (`object::digest`).
    pub fn digest(&self) -> u64 {
        self.notes.digest().unwrap_or_else(|| sum(self.by_score.iter()))
    }

    /// Applies one change.
    pub fn apply(&mut self, change: Change) -> Result<(), Misfit> {
        match change {
            Change::SetScore(member, score) => drop(self.set(&member, score)),
            Change::RemoveScored(member) if self.remove(&member) => {}
            Change::RemoveRanks(from, count) if count > 0 => {
                let to = from.checked_add(count).filter(|to| *to <= self.len()).ok_or(Misfit)?;
                self.remove_ranks(from, to);
            }
            _ => return Err(Misfit),
        }
        Ok(())
    }

    pub(crate) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// In which order it is read page by page.
    pub(crate) fn scan_order(&self) -> &ScanOrder {
        &self.scan_order
    }

    /// It is kept, so that pages of it may be asked for one after the other.
    pub(crate) fn begin_scans(&mut self) {
        self.scan_order.begin();
    }

    /// Bytes of the encoding.
    pub fn encoded_bytes(&self) -> usize {
        varint_bytes(self.len()) + self.bytes
    }

    /// Appends the encoding: count, then by score each member behind its length, and its score: the bits of a double, lowest byte first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        for (score, member) in self.by_score.iter() {
            put_bytes(out, member);
            out.extend_from_slice(&score.to_bytes());
        }
    }

    /// Reads an encoding, all of it.
    pub fn decode(bytes: &[u8]) -> Result<SortedSet, DecodeError> {
        let (mut by_score, mut total) = (Vec::new(), 0);
        SortedSet::walk(bytes, |score, member| {
            total += element_bytes(member) + SCORE_BYTES;
            by_score.push((score, Element::from(member)));
        })?;
        let mut by_member: Vec<(Element, Score)> =
            by_score.iter().map(|(score, member)| (member.clone(), *score)).collect();
        by_member.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        if by_member.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(DecodeError::Malformed);
        }
        let (by_member, by_score) = (Seq::from(by_member), Seq::from(by_score));
        Ok(SortedSet {
            by_member,
            by_score,
            bytes: total,
            notes: Notes::default(),
            scan_order: ScanOrder::default(),
        })
    }

    /// Whether bytes are an encoding, as far as can be told without making copies: not whether a member is there twice.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        SortedSet::walk(bytes, |_, _| {})
    }

    fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(Score, &'a [u8])) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut last = None;
        for _ in 0..take_count(&mut reader)? {
            let member = reader.bytes()?;
            let bits = reader.take(SCORE_BYTES)?.try_into().expect("so many were taken");
            let score = Score::from_bytes(bits).ok_or(DecodeError::Malformed)?;
            if last.replace((score, member)).is_some_and(|last| last >= (score, member)) {
                return Err(DecodeError::Malformed);
            }
            each(score, member);
        }
        reader.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reactor::rng::Rng;

    use super::*;

    fn score(value: f64) -> Score {
        Score::new(value).expect("is a number")
    }

    /// A twin: a map of the standard library, sorted anew each time.
    #[test]
    fn whatever_is_done_a_map_says_the_same() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut set, mut twin) = (SortedSet::default(), BTreeMap::<Vec<u8>, Score>::new());
            for _ in 0..150 {
                let member = rng.below(40).to_string().into_bytes();
                match rng.below(8) {
                    0..=4 => {
                        let score = score(rng.below(6) as f64 - 2.5);
                        assert_eq!(set.set(&member, score), twin.insert(member.clone(), score));
                    }
                    5 | 6 => assert_eq!(set.remove(&member), twin.remove(&member).is_some()),
                    _ if rng.below(4) == 0 => {
                        let from = rng.below(twin.len() as u64 + 1) as usize;
                        let to = from + rng.below((twin.len() - from) as u64 + 1) as usize;
                        for (score, member) in set.remove_ranks(from, to) {
                            assert_eq!(twin.remove(&*member), Some(score));
                        }
                    }
                    _ => {}
                }
                let mut order: Vec<(Score, Vec<u8>)> =
                    twin.iter().map(|(member, score)| (*score, member.clone())).collect();
                order.sort();
                assert!(set.iter_from(0).map(|(score, member)| (*score, member.to_vec())).eq(order.clone()));
                assert_eq!((set.len(), set.is_empty()), (twin.len(), twin.is_empty()));
                assert_eq!(set.score(&member), twin.get(&member).copied());
                assert_eq!(set.rank(&member), order.iter().position(|(_, name)| *name == member));
                let mut bytes = Vec::new();
                set.encode(&mut bytes);
                assert_eq!(bytes.len(), set.encoded_bytes());
                if !set.is_empty() {
                    assert_eq!(
                        (SortedSet::decode(&bytes), SortedSet::check(&bytes)),
                        (Ok(set.clone()), Ok(()))
                    );
                    let cut = rng.below(bytes.len() as u64) as usize;
                    assert!(SortedSet::check(&bytes[..cut]).is_err());
                }
            }
        }
    }

    #[test]
    fn members_that_are_not_in_order_or_there_twice_are_refused() {
        type Members<'a> = &'a [(f64, &'a [u8])];
        let encoded = |members: Members<'_>| {
            let mut bytes = vec![members.len() as u8];
            for (score, member) in members {
                put_bytes(&mut bytes, member);
                bytes.extend_from_slice(&score.to_bits().to_le_bytes());
            }
            bytes
        };
        let table: [(Members<'_>, bool); 6] = [
            (&[(1.0, b"b"), (2.0, b"a")], true),
            (&[(2.0, b"a"), (1.0, b"b")], false),
            (&[(1.0, b"a"), (1.0, b"a")], false),
            (&[(f64::NAN, b"a")], false),
            (&[(-0.0, b"a")], false),
            (&[], false),
        ];
        for (members, is_valid) in table {
            let bytes = encoded(members);
            assert_eq!(
                (SortedSet::decode(&bytes).is_ok(), SortedSet::check(&bytes).is_ok()),
                (is_valid, is_valid)
            );
        }
        assert!(SortedSet::decode(&encoded(&[(1.0, b"a"), (2.0, b"a")])).is_err());
    }
}
