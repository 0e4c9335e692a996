//! Merging what a majority lists of one slot: of each key the greatest ballot counts.

use std::collections::BTreeMap;

use bitcask::{Fingerprint, Kind};
use paxos::{Ballot, Member};

use super::place::Place;
use super::survey::Lister;
use crate::core::ballot_of;

/// The newest record of a key among those listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub ballot: Ballot,
    pub dead: bool,
    /// Bytes of the own record on disk.
    pub bytes: u32,
    /// Who has it; None = this replica.
    pub holder: Option<Member>,
}

/// A part of a slot.
#[derive(Debug)]
pub(super) struct Page {
    pub items: BTreeMap<Fingerprint, Item>,
    /// Everything from where it started to here is in it.
    pub until: Place,
}

/// Merges the part of a slot that starts at `at`. `own`: what this replica lists from there on, at most `max` records; the
/// members' lists reach beyond `at`. At most `cut` records are taken, give or take one group.
pub(super) fn merge(
    at: Place,
    own: &[(Fingerprint, bitcask::Entry)],
    max: usize,
    listers: &mut [Lister],
    cut: Option<usize>,
) -> Page {
    let place = |fingerprint| Place { slot: at.slot, fingerprint };
    let reached = own.last().filter(|_| own.len() >= max).map(|last| at.reached(place(last.0)));
    let own_until = reached.unwrap_or(at.next_slot());
    let mut until = listers.iter().map(|lister| lister.until).fold(own_until, Place::min);
    assert!(until > at, "every list reaches beyond the start of the page");
    let mut items = BTreeMap::new();
    for (fingerprint, entry) in own.iter().filter(|(fingerprint, _)| place(*fingerprint) < until) {
        let dead = entry.kind == Kind::Tombstone;
        let item = Item { ballot: ballot_of(entry.stamp), dead, bytes: entry.bytes, holder: None };
        items.insert(*fingerprint, item);
    }
    for lister in &*listers {
        let entries = lister.entries.iter().map(|entry| (Place::from(entry), entry));
        let within = entries.skip_while(|(place, _)| *place < at).take_while(|(place, _)| *place < until);
        for (_, entry) in within {
            let item = Item { ballot: entry.ballot, dead: entry.dead, bytes: 0, holder: Some(lister.member) };
            let known = items.entry(entry.fingerprint).or_insert(item);
            if known.ballot < entry.ballot {
                *known = item;
            }
        }
    }
    let behind = cut.and_then(|cut| items.keys().nth(cut)).map(|fingerprint| at.reached(place(*fingerprint)));
    if let Some(behind) = behind {
        until = until.min(behind);
        items.retain(|fingerprint, _| place(*fingerprint) < until);
    }
    for lister in listers {
        while lister.entries.front().is_some_and(|entry| Place::from(entry) < until) {
            lister.entries.pop_front();
        }
    }
    Page { items, until }
}
