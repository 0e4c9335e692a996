//! Whom an agreed read asks first: as many as make a majority with this core, and no more.
//!
//! A majority is all that a read needs, so of three hosts one answer. To ask everybody would cost every host the work of
//! answers that nobody waits for. What is given up is the other answer when the one is late: so a read that has waited for
//! some times what reads took lately asks the rest, and whose answer decides it then is asked first by the next reads. So who
//! never answers, or seldom in time, sinks to the end of the order and stays there: a moment of another brings it
//! forward only if it is the quicker one even then. Who is slow and never late would stay in front: so a read now and then
//! asks everybody at once, and has the same effect. What a read may conclude is not
//! touched by any of this: a question that was not sent is as good as one that was lost.

use paxos::{Member, MemberSet, Members};
use reactor::clock::Nanos;

use crate::limits::{READ_PATIENCE_NS_MIN, RESEND_NS};

/// A read is late when it takes so many times what reads took lately.
const PATIENCE: Nanos = 4;

/// How much of the mean is old, in eighths, when a read ends.
const OLD_EIGHTHS: Nanos = 7;

/// One of so many reads asks everybody at once.
const RACE: u32 = 64;

/// The choice of one core.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    members: Members,
    /// The other members; the first of them are asked.
    order: Vec<Member>,
    /// When one was late last, or the order changed. What was asked before says nothing more.
    since: Nanos,
    /// What reads took lately, mean.
    took: Nanos,
}

impl Readers {
    /// Each host begins with the one behind it, so that all are asked alike.
    pub fn new(me: Member, members: Members) -> Readers {
        let count = members.count();
        let order = (1..count).map(|step| (me + step) % count).collect();
        Readers { members, order, since: 0, took: 0 }
    }

    /// Whom to ask, of those that are `up`. None: everybody, because too few are up for a choice.
    pub fn choose(&self, up: &[bool]) -> Option<MemberSet> {
        let wanted = self.members.majority() - 1;
        let mut chosen = MemberSet::EMPTY;
        let there = self.order.iter().filter(|member| up[usize::from(**member)]);
        there.take(usize::from(wanted)).for_each(|member| chosen.insert(*member));
        (chosen.count() == wanted).then_some(chosen)
    }

    /// Whether the read of this number asks everybody at once, to see who is quick.
    pub fn is_race(&self, number: u32) -> bool {
        number.is_multiple_of(RACE)
    }

    /// How long to wait for them.
    pub fn patience(&self) -> Nanos {
        (self.took * PATIENCE).clamp(READ_PATIENCE_NS_MIN, RESEND_NS)
    }

    /// A read ended with the answers of those that were asked.
    pub fn on_answer(&mut self, took: Nanos) {
        self.took = (self.took * OLD_EIGHTHS + took.min(RESEND_NS)) / (OLD_EIGHTHS + 1);
    }

    /// Those who were asked at `asked` did not answer in time. Perhaps all are slower now: more patience is in place.
    pub fn on_late(&mut self, now: Nanos, asked: Nanos) {
        if asked >= self.since {
            self.since = now;
            self.took = (self.took * 2).clamp(READ_PATIENCE_NS_MIN / PATIENCE, RESEND_NS);
        }
    }

    /// A read that had asked everybody was decided by this member's answer: it is asked first from now on.
    pub fn on_decided(&mut self, now: Nanos, by: Member) {
        let place = self.order.iter().position(|member| *member == by);
        let place = place.expect("answers come from the other members");
        if place > 0 {
            self.order[..=place].rotate_right(1);
            self.since = now;
        }
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
    fn who_decides_what_was_late_is_asked_first() {
        let mut readers = Readers::new(1, members(5));
        let up = [true, false, true, true, true];
        assert_eq!(chosen(&readers, &up), Some(vec![2, 3]));
        for (by, asked) in [(2, [2, 3]), (4, [2, 4]), (0, [0, 4]), (4, [0, 4]), (3, [3, 4])] {
            readers.on_decided(10, by);
            assert_eq!(chosen(&readers, &up), Some(asked.to_vec()), "{by}");
        }
    }

    #[test]
    fn patience_follows_what_reads_take() {
        let mut readers = Readers::new(0, members(3));
        assert_eq!(readers.patience(), READ_PATIENCE_NS_MIN);
        // The second of them was asked before the first was late: both tell of one moment.
        (0..5).for_each(|_| readers.on_late(10, 5));
        readers.on_late(11, 9);
        assert_eq!(readers.patience(), READ_PATIENCE_NS_MIN);
        (0..100).for_each(|_| readers.on_answer(5_000_000));
        assert!((15_000_000..=20_000_000).contains(&readers.patience()), "{}", readers.patience());
        (0..100).for_each(|n| readers.on_late(20 + n, 20 + n));
        assert_eq!(readers.patience(), RESEND_NS);
        (0..100).for_each(|_| readers.on_answer(0));
        assert_eq!(readers.patience(), READ_PATIENCE_NS_MIN);
    }
}
