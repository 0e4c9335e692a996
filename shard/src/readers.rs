//! Whom an agreed read asks first: as many as make a majority with this core, and no more.
//!
//! A majority is all that a read needs, so of three hosts one answer. To ask everybody would cost every host the work of
//! answers that nobody waits for. What is given up is the other answer when the one is late: so a read that has waited for
//! some times what reads took lately asks the rest, and the next reads ask others first. What a read may conclude is not
//! touched by any of this: a question that was not sent is as good as one that was lost.

use paxos::{Member, MemberSet, Members};
use reactor::clock::Nanos;

use crate::limits::{READ_PATIENCE_NS_MIN, RESEND_NS};

/// A read is late when it takes so many times what reads took lately.
const PATIENCE: Nanos = 4;

/// How much of the mean is old, in eighths, when a read ends.
const OLD_EIGHTHS: Nanos = 7;

/// The choice of one core.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    me: Member,
    members: Members,
    /// Who is asked first; those behind it follow, around the circle.
    first: Member,
    /// Since when.
    since: Nanos,
    /// What reads took lately, mean.
    took: Nanos,
}

impl Readers {
    /// Each host begins with the one behind it, so that all are asked alike.
    pub fn new(me: Member, members: Members) -> Readers {
        Readers { me, members, first: (me + 1) % members.count(), since: 0, took: 0 }
    }

    /// Whom to ask, of those that are `up`. None: everybody, because too few are up for a choice.
    pub fn choose(&self, up: &[bool]) -> Option<MemberSet> {
        let count = self.members.count();
        let wanted = self.members.majority() - 1;
        let mut chosen = MemberSet::EMPTY;
        let circle = (0..count).map(|step| (self.first + step) % count);
        let there = circle.filter(|member| *member != self.me && up[usize::from(*member)]);
        there.take(usize::from(wanted)).for_each(|member| chosen.insert(member));
        (chosen.count() == wanted).then_some(chosen)
    }

    /// How long to wait for them.
    pub fn patience(&self) -> Nanos {
        (self.took * PATIENCE).clamp(READ_PATIENCE_NS_MIN, RESEND_NS)
    }

    /// A read ended with the answers of those that were asked.
    pub fn on_answer(&mut self, took: Nanos) {
        self.took = (self.took * OLD_EIGHTHS + took.min(RESEND_NS)) / (OLD_EIGHTHS + 1);
    }

    /// Those who were asked at `asked` did not answer in time: others are asked first from now on. What was asked before the
    /// last such change says nothing of them.
    pub fn on_late(&mut self, now: Nanos, asked: Nanos) {
        if asked < self.since {
            return;
        }
        self.since = now;
        self.took = (self.took * 2).clamp(READ_PATIENCE_NS_MIN / PATIENCE, RESEND_NS);
        self.first = (self.first + 1) % self.members.count();
    }
}

const _: () = assert!(READ_PATIENCE_NS_MIN < RESEND_NS);

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u8) -> Members {
        Members::new(count).expect("an odd count")
    }

    fn chosen(readers: &Readers, up: &[bool]) -> Option<Vec<Member>> {
        let set = readers.choose(up)?;
        Some((0..up.len() as Member).filter(|member| set.contains(*member)).collect())
    }

    #[test]
    fn a_majority_is_asked_and_no_more() {
        let asked = |me: Member, up: &[bool]| chosen(&Readers::new(me, members(up.len() as u8)), up);
        assert_eq!(asked(0, &[false]), Some(vec![]));
        assert_eq!(asked(0, &[false, true, true]), Some(vec![1]));
        assert_eq!(asked(2, &[true, true, false]), Some(vec![0]));
        assert_eq!(asked(0, &[false, false, true]), Some(vec![2]));
        assert_eq!(asked(0, &[false, false, false]), None);
        assert_eq!(asked(3, &[true, true, true, false, false]), Some(vec![0, 1]));
    }

    #[test]
    fn who_is_late_is_not_asked_first_again() {
        let up = [false, true, true];
        let mut readers = Readers::new(0, members(3));
        assert_eq!(readers.patience(), READ_PATIENCE_NS_MIN);
        readers.on_late(10, 5);
        readers.on_late(11, 9);
        assert_eq!(chosen(&readers, &up), Some(vec![2]));
        (0..100).for_each(|_| readers.on_answer(5_000_000));
        assert!((15_000_000..=20_000_000).contains(&readers.patience()), "{}", readers.patience());
        (0..100).for_each(|n| readers.on_late(20 + n, 20 + n));
        assert_eq!(readers.patience(), RESEND_NS);
        (0..100).for_each(|_| readers.on_answer(0));
        assert_eq!(readers.patience(), READ_PATIENCE_NS_MIN);
    }
}
