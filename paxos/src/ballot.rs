//! Ballots: who proposes, in which order.

use core::fmt;

/// `(round, node, incarnation)`, ordered lexicographically. `ZERO` means none. A ballot carries one entry, ever
/// (consensus.md section 1); `node` names the proposing core, so that two cores of one host never share a ballot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Position in the order, from the proposing core's Lamport counter.
    pub round: u64,
    /// The proposing core.
    pub node: u32,
    /// The start of that core which issued the ballot.
    pub incarnation: u32,
}

impl Ballot {
    /// No ballot; below every ballot that is ever issued.
    pub const ZERO: Ballot = Ballot { round: 0, node: 0, incarnation: 0 };

    /// A ballot of the given parts.
    pub const fn new(round: u64, node: u32, incarnation: u32) -> Ballot {
        Ballot { round, node, incarnation }
    }

    /// The same proposer's next ballot: what its accept at `self` pre-authorises.
    ///
    /// Rounds are bounded far below the end of `u64` by the caller, who refuses absurd ones at the door.
    pub fn succ(self) -> Ballot {
        let round = self.round.checked_add(1).expect("rounds are bounded at the door");
        Ballot { round, ..self }
    }

    /// Whether this is no ballot at all.
    pub fn is_zero(self) -> bool {
        self == Ballot::ZERO
    }

    /// Whether both ballots were issued by the same start of the same core.
    pub fn same_proposer(self, other: Ballot) -> bool {
        self.node == other.node && self.incarnation == other.incarnation
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("-");
        }
        write!(f, "{}.{}.{}", self.round, self.node, self.incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::Ballot;

    #[test]
    fn order_is_round_then_node_then_incarnation() {
        let ladder = [
            Ballot::ZERO,
            Ballot::new(1, 1, 1),
            Ballot::new(1, 1, 2),
            Ballot::new(1, 2, 1),
            Ballot::new(2, 1, 1),
        ];
        assert!(ladder.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn succ_is_the_same_proposers_and_above_every_rival_of_the_round() {
        let b = Ballot::new(7, 1, 3);
        assert!(b.succ().same_proposer(b));
        assert!(b.succ() > Ballot::new(7, u32::MAX, u32::MAX));
    }
}
