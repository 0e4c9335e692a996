//! Members and majorities.

/// Index of a replica in the entity's member set.
pub type Member = u8;

/// The size of a member set: 1, 3 or 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Members(u8);

impl Members {
    /// The largest member set.
    pub const MAX: u8 = 5;

    /// A member set of 1, 3 or 5 replicas; None for any other count.
    pub const fn new(count: u8) -> Option<Members> {
        match count {
            1 | 3 | 5 => Some(Members(count)),
            _ => None,
        }
    }

    /// How many replicas there are.
    pub const fn count(self) -> u8 {
        self.0
    }

    /// How many make a majority.
    pub const fn majority(self) -> u8 {
        self.0 / 2 + 1
    }

    /// All indices.
    pub fn all(self) -> impl Iterator<Item = Member> {
        0..self.0
    }
}

/// A set of members, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberSet(u8);

impl MemberSet {
    /// The empty set.
    pub const EMPTY: MemberSet = MemberSet(0);

    /// Adds a member.
    pub fn insert(&mut self, member: Member) {
        assert!(member < Members::MAX, "a member index is below the largest member set");
        self.0 |= 1 << member;
    }

    /// Whether the member is in the set.
    pub fn contains(self, member: Member) -> bool {
        member < Members::MAX && self.0 & (1 << member) != 0
    }

    /// How many members the set has.
    pub fn count(self) -> u8 {
        u8::try_from(self.0.count_ones()).expect("eight bits have at most eight ones")
    }

    /// The members of both sets.
    pub fn union(self, other: MemberSet) -> MemberSet {
        MemberSet(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberSet, Members};

    #[test]
    fn two_majorities_always_meet() {
        for count in [1, 3, 5] {
            let members = Members::new(count).expect("an odd count");
            assert!(2 * members.majority() > members.count());
            assert!(2 * (members.majority() - 1) < members.count() + 1);
        }
        assert!([0, 2, 4, 6, 7, 255].iter().all(|count| Members::new(*count).is_none()));
    }

    #[test]
    fn a_member_counts_once() {
        let mut set = MemberSet::EMPTY;
        set.insert(2);
        set.insert(2);
        set.insert(4);
        assert_eq!(set.count(), 2);
        assert!(set.contains(2) && !set.contains(0) && !set.contains(200));
    }
}
