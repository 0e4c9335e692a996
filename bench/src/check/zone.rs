//! The zone check, for registers whose written values are all different.
//!
//! Gibbons and Korach, "Testing shared memories" (SIAM J. Comput. 26, 1997), section 4.2. A *cluster* is a
//! write and the reads that saw it; absence is a write before all time. Let `f` be the first return in a
//! cluster and `s` its last call. Cluster A must come wholly before B if some operation of A returned before
//! one of B was called: `f(A) < s(B)`. The history is linearizable if no read returned before its write was
//! called, and no two clusters must each come before the other. With zones, `[f, s]` *forward* if `f < s` and
//! `[s, f]` *backward* otherwise, that is: no two forward zones overlap, and no backward zone lies inside a
//! forward one.

use ahash::AHashMap;

use super::{Evidence, Indexed, Verdict};
use crate::history::{Command, Reply};

/// A write and the reads that saw it. Times are shifted by one, so that absence has time 0.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    written: u64,
    first_return: u64,
    first_returned: Option<usize>,
    last_call: u64,
    last_called: Option<usize>,
    /// A write of unknown outcome that nobody saw says nothing.
    counts: bool,
}

impl Cluster {
    /// Must come, wholly, before the other.
    fn precedes(&self, other: &Cluster) -> bool {
        self.first_return < other.last_call
    }

    fn is_forward(&self) -> bool {
        self.first_return < self.last_call
    }
}

/// Judges one key; `None` if the method does not fit: other commands than GET and SET, or a value written
/// twice.
pub fn check(operations: &[Indexed<'_>]) -> Option<Verdict> {
    let absence = Cluster {
        written: 0,
        first_return: 0,
        first_returned: None,
        last_call: 0,
        last_called: None,
        counts: true,
    };
    let mut clusters = vec![absence];
    let mut by_value: AHashMap<&[u8], usize> = AHashMap::with_capacity(operations.len() / 2);
    for Indexed { index, operation } in operations {
        match &operation.command {
            Command::Get => {}
            Command::Set(value) => {
                if by_value.insert(value, clusters.len()).is_some() {
                    return None;
                }
                let written = operation.call.saturating_add(1);
                let returned = operation.returned().map(|at| at.saturating_add(1));
                clusters.push(Cluster {
                    written,
                    first_return: returned.unwrap_or(u64::MAX),
                    first_returned: returned.map(|_| *index),
                    last_call: written,
                    last_called: Some(*index),
                    counts: returned.is_some(),
                });
            }
            _ => return None,
        }
    }
    for indexed in operations {
        if let Some(evidence) = add_read(indexed, &mut clusters, &by_value) {
            return Some(Verdict::Violation(evidence));
        }
    }
    clusters.retain(|cluster| cluster.counts);
    Some(conflict(clusters).map_or(Verdict::Linearizable, Verdict::Violation))
}

/// Adds a read, or the reply of a write, to its cluster; evidence if it fits none.
fn add_read(
    indexed: &Indexed<'_>,
    clusters: &mut [Cluster],
    by_value: &AHashMap<&[u8], usize>,
) -> Option<Evidence> {
    let Indexed { index, operation } = *indexed;
    let reply = operation.reply()?;
    let impossible = |text: &str| Some(Evidence { text: text.to_owned(), operations: vec![index] });
    let place = match (&operation.command, reply) {
        (Command::Set(_), Reply::Ok) => return None,
        (Command::Get, Reply::Nil) => 0,
        (Command::Get, Reply::Value(value)) => match by_value.get(value.as_slice()) {
            Some(&place) => place,
            None => return impossible("a read saw a value that nobody wrote"),
        },
        _ => return impossible("a reply that its command cannot have"),
    };
    let cluster = &mut clusters[place];
    let returned = operation.returned()?.saturating_add(1);
    let called = operation.call.saturating_add(1);
    if returned < cluster.written {
        return impossible("a read saw a value before its write was called");
    }
    cluster.counts = true;
    if returned < cluster.first_return {
        (cluster.first_return, cluster.first_returned) = (returned, Some(index));
    }
    if called > cluster.last_call {
        (cluster.last_call, cluster.last_called) = (called, Some(index));
    }
    None
}

/// Two clusters that must each come before the other.
fn conflict(clusters: Vec<Cluster>) -> Option<Evidence> {
    let (mut forward, backward): (Vec<Cluster>, Vec<Cluster>) =
        clusters.into_iter().partition(Cluster::is_forward);
    forward.sort_unstable_by_key(|zone| (zone.first_return, zone.last_call));
    for pair in forward.windows(2) {
        if let [earlier, later] = pair {
            if later.precedes(earlier) {
                return Some(evidence(earlier, later));
            }
        }
    }
    for inner in &backward {
        // The forward zones do not overlap, so only the last that starts before this one can hold it.
        let behind = forward.partition_point(|outer| outer.precedes(inner));
        if let Some(outer) = behind.checked_sub(1).and_then(|at| forward.get(at)) {
            if inner.precedes(outer) {
                return Some(evidence(outer, inner));
            }
        }
    }
    None
}

fn evidence(a: &Cluster, b: &Cluster) -> Evidence {
    let mut operations: Vec<usize> =
        [a.first_returned, b.last_called, b.first_returned, a.last_called].into_iter().flatten().collect();
    operations.sort_unstable();
    operations.dedup();
    Evidence { text: "of two values, each must have been there before the other".to_owned(), operations }
}
