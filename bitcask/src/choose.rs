//! Which segment to merge next: a pure decision.

/// What the decision needs to know of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its index, handed back.
    pub index: u16,
    /// Its age: lower is older.
    pub count: u32,
    /// Length of the file in bytes.
    pub capacity: u64,
    /// Bytes of records that are needed.
    pub live: u64,
    /// Bytes of removals that may still be needed, because an older segment exists.
    pub pinned: u64,
    /// Holds one record too large to be moved.
    pub oversize: bool,
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

/// Chooses the segment with the most dead bytes for its size, if it pays; or the oldest, if removals pile up.
pub fn choose(candidates: &[Candidate], pressure: Pressure) -> Choice {
    let percent = match pressure {
        Pressure::Normal => DEAD_PERCENT,
        Pressure::Full => DEAD_PERCENT_FULL,
    };
    let movable = || candidates.iter().filter(|c| !c.oversize || c.live + c.pinned == 0);
    let dead = |c: &Candidate| c.capacity.saturating_sub(c.live + c.pinned);
    let worth = movable().filter(|c| dead(c) * 100 >= c.capacity * percent);
    // Relative to its size, and the older one of two alike, so that the choice never depends on the order.
    let best = worth.max_by_key(|c| (dead(c) * 10_000 / c.capacity.max(1), std::cmp::Reverse(c.count)));
    if let Some(best) = best {
        return Choice::Merge(best.index);
    }
    let total: u64 = candidates.iter().map(|c| c.capacity).sum();
    let pinned: u64 = candidates.iter().map(|c| c.pinned).sum();
    match movable().min_by_key(|c| c.count) {
        Some(oldest) if pinned > 0 && pinned * 100 >= total * PINNED_PERCENT => Choice::Merge(oldest.index),
        _ => Choice::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(index: u16, live: u64, pinned: u64) -> Candidate {
        Candidate { index, count: u32::from(index), capacity: 1000, live, pinned, oversize: false }
    }

    #[test]
    fn the_table() {
        let oversize = |live| Candidate { oversize: true, ..segment(9, live, 0) };
        let table: [(&str, &[Candidate], Pressure, Choice); 12] = [
            ("nothing there", &[], Pressure::Normal, Choice::None),
            ("all live", &[segment(1, 1000, 0)], Pressure::Normal, Choice::None),
            ("not enough dead", &[segment(1, 501, 0)], Pressure::Normal, Choice::None),
            ("just enough", &[segment(1, 500, 0)], Pressure::Normal, Choice::Merge(1)),
            ("most dead first", &[segment(1, 400, 0), segment(2, 90, 0)], Pressure::Normal, Choice::Merge(2)),
            (
                "older of two alike",
                &[segment(2, 90, 0), segment(1, 90, 0)],
                Pressure::Normal,
                Choice::Merge(1),
            ),
            ("full: less will do", &[segment(1, 880, 0)], Pressure::Full, Choice::Merge(1)),
            ("full: but not nothing", &[segment(1, 881, 0)], Pressure::Full, Choice::None),
            ("pinned counts as live", &[segment(2, 450, 90)], Pressure::Normal, Choice::None),
            (
                "pinned pile up",
                &[segment(1, 990, 0), segment(2, 450, 200)],
                Pressure::Normal,
                Choice::Merge(1),
            ),
            ("oversize stays", &[oversize(400)], Pressure::Normal, Choice::None),
            ("oversize goes when dead", &[oversize(0)], Pressure::Normal, Choice::Merge(9)),
        ];
        for (name, candidates, pressure, choice) in table {
            assert_eq!(choose(candidates, pressure), choice, "{name}");
        }
    }
}
