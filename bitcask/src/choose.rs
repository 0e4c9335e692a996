//! Which segment to merge next: a pure decision.

/// What the decision needs to know of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its index, handed back.
    pub index: u16,
    /// Its age: lower is older.
    pub count: u32,
    /// Its removals protect against segments up to this count.
    pub barrier: u32,
    /// Bytes that could be needed: the whole file, or, of what merge packed already, its records.
    pub usable: u64,
    /// Bytes that a rewrite would not write again.
    pub dead: u64,
    /// Bytes of removals that are still needed, because another segment may hold what they removed.
    pub pinned: u64,
    /// May be merged: does not hold one live record that is too large to be moved.
    pub movable: bool,
}

/// How much the space is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Merge what pays.
    Normal,
    /// The disk is full: merge whatever frees anything.
    Full,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing is worth it.
    None,
    /// This segment.
    Merge(u16),
}

/// In a normal state a segment is merged when at least this part of it, in percent, is not needed: each byte copied
/// then frees at least one.
const DEAD_PERCENT: u64 = 50;

/// On a full disk, this part is enough: each byte copied still frees an eighth.
const DEAD_PERCENT_FULL: u64 = 12;

/// When removals that only old segments keep alive make up this part of everything, in percent, the oldest segment is
/// rewritten, however live it is: that sets them free.
const PINNED_PERCENT: u64 = 10;

/// Chooses the segment with the most dead bytes for its size, if it pays; or the oldest, if removals pile up that its
/// rewriting would set free. Either way every choice is a step towards a state in which nothing is chosen.
pub fn choose(candidates: &[Candidate], pressure: Pressure) -> Choice {
    let percent = match pressure {
        Pressure::Normal => DEAD_PERCENT,
        Pressure::Full => DEAD_PERCENT_FULL,
    };
    let movable = || candidates.iter().filter(|c| c.movable);
    let worth = movable().filter(|c| c.dead * 100 >= c.usable * percent);
    // Relative to its size, and the older one of two alike, so that the choice never depends on the order.
    let best = worth.max_by_key(|c| (c.dead * 10_000 / c.usable.max(1), std::cmp::Reverse(c.count)));
    if let Some(best) = best {
        return Choice::Merge(best.index);
    }
    let Some(oldest) = movable().min_by_key(|c| c.count) else { return Choice::None };
    let total: u64 = candidates.iter().map(|c| c.usable).sum();
    let set_free: u64 = candidates.iter().filter(|c| c.barrier >= oldest.count).map(|c| c.pinned).sum();
    if set_free > 0 && set_free * 100 >= total * PINNED_PERCENT {
        return Choice::Merge(oldest.index);
    }
    Choice::None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(index: u16, dead: u64, pinned: u64) -> Candidate {
        let count = u32::from(index);
        Candidate { index, count, barrier: count, usable: 1000, dead, pinned, movable: true }
    }

    #[test]
    fn the_table() {
        let large = |dead| Candidate { movable: dead > 0, ..segment(9, dead, 0) };
        let (normal, full) = (Pressure::Normal, Pressure::Full);
        let table: [(&str, &[Candidate], Pressure, Choice); 13] = [
            ("nothing there", &[], normal, Choice::None),
            ("all live", &[segment(1, 0, 0)], normal, Choice::None),
            ("not enough dead", &[segment(1, 499, 0)], normal, Choice::None),
            ("just enough", &[segment(1, 500, 0)], normal, Choice::Merge(1)),
            ("most dead first", &[segment(1, 600, 0), segment(2, 910, 0)], normal, Choice::Merge(2)),
            ("older of two alike", &[segment(2, 910, 0), segment(1, 910, 0)], normal, Choice::Merge(1)),
            ("full: less will do", &[segment(1, 120, 0)], full, Choice::Merge(1)),
            ("full: but not nothing", &[segment(1, 119, 0)], full, Choice::None),
            ("few removals pinned", &[segment(1, 0, 0), segment(2, 0, 199)], normal, Choice::None),
            ("removals pile up", &[segment(1, 0, 0), segment(2, 0, 200)], normal, Choice::Merge(1)),
            ("by none of these", &[segment(3, 0, 0), segment(2, 0, 0), large(0)], normal, Choice::None),
            ("a large live record stays", &[large(0)], normal, Choice::None),
            ("a large dead one goes", &[large(1000)], normal, Choice::Merge(9)),
        ];
        for (name, candidates, pressure, choice) in table {
            assert_eq!(choose(candidates, pressure), choice, "{name}");
        }
        // Rewriting a segment that is younger than what the removals protect against would set nothing free.
        let late = Candidate { barrier: 1, ..segment(2, 0, 900) };
        assert_eq!(choose(&[late, segment(3, 0, 0)], normal), Choice::None);
    }
}
