//! The witness check, where the store tells the version of what it wrote or read.
//!
//! If versions are what the store says they are, the order of a key's operations by version explains all
//! replies: a change has a version of its own, a read of a version shows what the change of that version
//! wrote, and an operation that returned before another was called has no higher version, a lower one if the
//! other is a change. A breach means that the store is not linearizable, or that it tells wrong versions. O(n
//! log n), and independent of the other two checks.

use ahash::AHashMap;

use super::{Evidence, Indexed};
use crate::history::{Command, Reply};

/// Evidence against the versions of one key; `None` if there are none or all is well.
pub fn check(operations: &[Indexed<'_>]) -> Option<Evidence> {
    let mut told: Vec<Told<'_>> = operations.iter().filter_map(Told::new).collect();
    told.sort_by_key(|told| told.call);
    values_agree(&told).or_else(|| times_agree(&told))
}

/// An answered operation with a version.
struct Told<'a> {
    index: usize,
    call: u64,
    returned: u64,
    version: u64,
    changes: bool,
    value: Option<&'a [u8]>,
}

impl<'a> Told<'a> {
    fn new(indexed: &Indexed<'a>) -> Option<Told<'a>> {
        let operation = indexed.operation;
        let reply = operation.reply()?;
        let (changes, value) = match (&operation.command, reply) {
            (Command::Set(value) | Command::GetSet(value), _) => (true, Some(value.as_slice())),
            (Command::Get, Reply::Value(value)) => (false, Some(value.as_slice())),
            // What changed, or not, by another command is not told here: its order in time still is.
            _ => (false, None),
        };
        let (version, returned) = (operation.version?, operation.returned()?);
        Some(Told { index: indexed.index, call: operation.call, returned, version, changes, value })
    }
}

/// What is known of one version.
#[derive(Default)]
struct Version<'a> {
    /// The operation that changed to it.
    change: Option<usize>,
    /// The first operation that told its value, and the value.
    value: Option<(usize, &'a [u8])>,
}

fn values_agree(told: &[Told<'_>]) -> Option<Evidence> {
    let mut versions: AHashMap<u64, Version<'_>> = AHashMap::with_capacity(told.len() / 2);
    for one in told {
        let version = versions.entry(one.version).or_default();
        let evidence = |text: &str, other: usize| {
            Some(Evidence { text: text.to_owned(), operations: vec![other, one.index] })
        };
        if one.changes {
            if let Some(other) = version.change.replace(one.index) {
                return evidence("two changes have one version", other);
            }
        }
        match (one.value, version.value) {
            (Some(value), Some((other, before))) if value != before => {
                return evidence("one version has two values", other);
            }
            (Some(value), None) => version.value = Some((one.index, value)),
            _ => {}
        }
    }
    None
}

/// `told` is in order of calls. Goes through it with those that returned before each call.
fn times_agree(told: &[Told<'_>]) -> Option<Evidence> {
    let mut by_return: Vec<&Told<'_>> = told.iter().collect();
    by_return.sort_unstable_by_key(|told| told.returned);
    let mut returned = by_return.into_iter().peekable();
    let mut newest: Option<&Told<'_>> = None;
    for one in told {
        while let Some(earlier) = returned.next_if(|earlier| earlier.returned < one.call) {
            if newest.is_none_or(|newest| earlier.version > newest.version) {
                newest = Some(earlier);
            }
        }
        let Some(newest) = newest else { continue };
        if one.version < newest.version || (one.changes && one.version == newest.version) {
            let text = "a version is not above that of an operation that was over before".to_owned();
            return Some(Evidence { text, operations: vec![newest.index, one.index] });
        }
    }
    None
}
