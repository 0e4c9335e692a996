//! That a flush is one moment for all keys of its slice: for each key alone the history of that key is judged as any.
//!
//! A read that shows a value from before a flush comes before the flush, and one that shows a key without value comes after it, where nothing else
//! can have emptied the key. So no read of the first sort may be called after one of the second returned, whatever their keys.

use std::collections::BTreeMap;

use synod_bench::history::{Command, Operation, OperationId, Outcome, Reply};

use crate::ledger::show;
use crate::violation::{invariant, Checked, Violation};

/// A flush that a client asked for.
#[derive(Clone, Debug)]
pub struct Flush {
    /// The slice.
    pub slice: u16,
    /// When it was asked for.
    pub call: u64,
    /// What it is to each key, in the history.
    pub operations: Vec<OperationId>,
    /// What became of it is known.
    pub is_settled: bool,
}

/// When a flush, or an operation, was asked for and answered.
#[derive(Clone, Copy, Debug)]
struct Span {
    call: u64,
    returned: Option<u64>,
}

impl Span {
    fn of(operation: &Operation) -> Span {
        Span { call: operation.call, returned: operation.returned() }
    }

    /// Whether it may take effect between two moments.
    fn may_be_within(self, from: u64, to: u64) -> bool {
        self.call <= to && self.returned.is_none_or(|at| at >= from)
    }
}

/// Judges all flushes by the reads of keys that nothing but flushes empties (`is_sharp`).
pub fn check(flushes: &[Flush], history: &[Operation], is_sharp: impl Fn(&[u8]) -> bool) -> Checked {
    let mut keys: BTreeMap<&[u8], Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|operation| is_sharp(&operation.key)) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    let span = |flush: &Flush| {
        let first = &history[flush.operations.first()?.0];
        (first.outcome != Outcome::Failed).then_some((flush.slice, Span::of(first)))
    };
    let spans: Vec<(u16, Span)> = flushes.iter().filter_map(span).collect();
    for (nth, (slice, flush)) in spans.iter().enumerate() {
        let others = || {
            let others = spans.iter().enumerate().filter(|(other, (of, _))| *other != nth && of == slice);
            others.map(|(_, (_, span))| *span)
        };
        let cleared =
            |key: &[u8]| keys[key].iter().any(|one| one.command == Command::Clear && one.call == flush.call);
        let (mut not_yet, mut done): (Option<&Operation>, Option<&Operation>) = (None, None);
        for operations in keys.iter().filter(|(key, _)| cleared(key)).map(|(_, operations)| operations) {
            let writes = || operations.iter().filter(|one| matches!(one.command, Command::Set(_)));
            let before = |write: &&&Operation| write.returned().is_some_and(|at| at < flush.call);
            for read in operations.iter().filter(|one| one.command == Command::Get) {
                let Some(returned) = read.returned() else { continue };
                match read.reply() {
                    Some(Reply::Value(value)) => {
                        let shown =
                            writes().filter(before).any(|write| write.command == Command::Set(value.clone()));
                        if shown && not_yet.is_none_or(|known| known.call < read.call) {
                            not_yet = Some(*read);
                        }
                    }
                    Some(Reply::Nil) => {
                        // The last write that was there before both: something emptied the key since.
                        let there = writes().filter(before);
                        let there = there.filter(|write| write.returned().is_some_and(|at| at < read.call));
                        let Some(since) = there.map(|write| write.call).max() else { continue };
                        let alone = !others().any(|other| other.may_be_within(since, returned));
                        if alone && done.and_then(|known| known.returned()).is_none_or(|at| at > returned) {
                            done = Some(*read);
                        }
                    }
                    _ => {}
                }
            }
        }
        let (Some(not_yet), Some(done)) = (not_yet, done) else { continue };
        if done.returned().is_some_and(|at| at < not_yet.call) {
            let detail = format!(
                "a flush asked for at {} was over at {}, where {done:?} had returned, and not at {}, with {not_yet:?}",
                flush.call,
                show(&done.key),
                show(&not_yet.key)
            );
            return Err(Violation::new(invariant::TOGETHER, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_bench::history::History;

    /// Two keys that were written, and a flush from 10 to 20: reads of them, with what they show, and whether that may be.
    #[test]
    fn a_flush_is_one_moment() {
        type Read = (&'static str, u64, u64, bool);
        let table: [(&[Read], bool); 6] = [
            (&[("a", 11, 12, true), ("b", 13, 14, false), ("a", 15, 16, false)], true),
            (&[("a", 11, 12, false), ("b", 13, 14, true)], false),
            (&[("a", 11, 14, false), ("b", 13, 15, true)], true),
            (&[("a", 11, 12, false), ("a", 13, 14, true)], false),
            (&[("a", 21, 22, false), ("b", 11, 12, true)], true),
            (&[("a", 21, 22, false), ("b", 23, 24, true)], false),
        ];
        for (reads, may_be) in table {
            let mut history = History::new();
            for key in [b"a", b"b"] {
                let write = history.call(0, key, Command::Set(key.to_vec()), 1);
                history.replied(write, 2, Reply::Ok, None);
            }
            let operations: Vec<OperationId> =
                [b"a", b"b"].iter().map(|key| history.call(1, *key, Command::Clear, 10)).collect();
            operations.iter().for_each(|one| history.replied(*one, 20, Reply::Ok, None));
            for (key, call, returned, there) in reads {
                let read = history.call(2, key.as_bytes(), Command::Get, *call);
                let reply = if *there { Reply::Value(key.as_bytes().to_vec()) } else { Reply::Nil };
                history.replied(read, *returned, reply, None);
            }
            let flushes = [Flush { slice: 0, call: 10, operations, is_settled: true }];
            assert_eq!(check(&flushes, &history.operations, |_| true).is_ok(), may_be, "{reads:?}");
            // Another one may have been first.
            let mut two = flushes.to_vec();
            let other = history.call(3, b"a", Command::Clear, 3);
            two.push(Flush { slice: 0, call: 3, operations: vec![other], is_settled: false });
            assert!(check(&two, &history.operations, |_| true).is_ok(), "{reads:?}");
        }
    }
}
