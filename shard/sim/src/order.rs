//! Checks of histories that know more than replies: the order of tokens, and versions that were asked for.

use std::collections::BTreeMap;

use synod_bench::history::{Command, Operation, Outcome, Reply};

use crate::ledger::{show, TOKEN_BYTES};
use crate::violation::{invariant, Checked, Violation};

/// Judges an appended key: the chosen text tells the order of all writes, so it is a certificate. Every answered operation has a
/// place in it (for a write: after its token; for a read: after what it saw), and places agree with time. O(n log n).
pub fn check(key: &[u8], operations: &[&Operation], text: &[u8]) -> Checked {
    let place_of: BTreeMap<&[u8], usize> = text
        .chunks(TOKEN_BYTES)
        .enumerate()
        .map(|(index, token)| (token, (index + 1) * TOKEN_BYTES))
        .collect();
    let mut placed = Vec::new();
    for operation in operations {
        match (&operation.command, &operation.outcome) {
            (Command::Append(token), Outcome::Failed) if place_of.contains_key(token.as_slice()) => {
                let why = "was told that nothing was written, and it was";
                return Err(violation(key, operation, why));
            }
            (Command::Append(token), Outcome::Replied { at, reply }) => {
                let place = place_of.get(token.as_slice()).copied();
                if place.map(|place| Reply::Int(place as i64)).as_ref() != Some(reply) {
                    return Err(violation(key, operation, "got a length that is not its token's place"));
                }
                placed.push((*operation, *at, place.unwrap_or_default(), true));
            }
            (_, Outcome::Replied { at, reply }) => {
                let place = match reply {
                    Reply::Value(value) if text.starts_with(value) => value.len(),
                    Reply::Int(length) => usize::try_from(*length).unwrap_or(usize::MAX),
                    Reply::Nil => 0,
                    _ => return Err(violation(key, operation, "saw what is no part of the whole")),
                };
                placed.push((*operation, *at, place, false));
            }
            _ => {}
        }
    }
    times_agree(key, placed)
}

/// No operation comes before one that returned before it was called.
fn times_agree(key: &[u8], mut placed: Vec<(&Operation, u64, usize, bool)>) -> Checked {
    placed.sort_by_key(|(operation, ..)| operation.call);
    let mut by_return = placed.clone();
    by_return.sort_by_key(|(_, returned, ..)| *returned);
    let mut returned = by_return.into_iter().peekable();
    let mut highest = 0;
    for (operation, _, place, writes) in placed {
        while let Some((_, _, earlier, _)) = returned.next_if(|(_, at, ..)| *at < operation.call) {
            highest = highest.max(earlier);
        }
        if place < highest || writes && place <= highest {
            let why = format!("is at {place}, and {highest} was seen before it was called");
            return Err(violation(key, operation, &why));
        }
    }
    Ok(())
}

fn violation(key: &[u8], operation: &Operation, why: &str) -> Violation {
    let detail = format!("key {}: {operation:?} {why}", show(key));
    Violation::new(invariant::LINEARIZABLE, detail)
}

/// A SETV that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Its key, which nothing else ever changes.
    pub key: Vec<u8>,
    /// The version that it named.
    pub expected: u64,
    /// The version that it got.
    pub version: u64,
    /// When it was asked for.
    pub call: u64,
    /// When it was answered.
    pub returned: u64,
}

/// A SETV that succeeded replaced the very version that it named: none that succeeded lies between the two, or has the same. But one that
/// named no version may come after others where a flush, of the history, emptied the key between them.
pub fn check_swaps(swaps: &[Swap], history: &[Operation]) -> Checked {
    let clears = history.iter().filter(|one| one.command == Command::Clear && one.outcome != Outcome::Failed);
    let mut cleared: BTreeMap<&[u8], Vec<&Operation>> = BTreeMap::new();
    clears.for_each(|clear| cleared.entry(&clear.key).or_default().push(clear));
    let is_emptied = |first: &Swap, second: &Swap| {
        let clears = cleared.get(&*first.key).map_or(&[][..], Vec::as_slice);
        let between = |clear: &&Operation| {
            clear.call <= second.returned && clear.returned().is_none_or(|at| at >= first.call)
        };
        second.expected == 0 && clears.iter().any(between)
    };
    let mut by_key: BTreeMap<&[u8], Vec<&Swap>> = BTreeMap::new();
    for swap in swaps {
        by_key.entry(&swap.key).or_default().push(swap);
    }
    for (key, mut swaps) in by_key {
        swaps.sort_by_key(|swap| swap.version);
        let passed =
            swaps.windows(2).find(|pair| pair[1].expected < pair[0].version && !is_emptied(pair[0], pair[1]));
        if let Some(pair) = passed {
            let detail = format!("key {}: of two SETVs one did not see the other: {pair:?}", show(key));
            return Err(Violation::new(invariant::LINEARIZABLE, detail));
        }
    }
    Ok(())
}
