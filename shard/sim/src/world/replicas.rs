//! What replicas hold when all is over, byte for byte: each core's log is opened anew, in a copy, and every record of it read. That the
//! slots' sums are equal (`finish`) says that all hold the same keys at the same ballots; this says that they hold the same of them.

use std::collections::BTreeMap;

use bitcask::{Bitcask, Event, Fingerprint, Found, Kind, Read, Stamp};
use paxos::Member;
use reactor::sim::SimDisk;
use shard::slot::SLOTS;

use super::core::store_options;
use super::{Place, World};
use crate::ledger::show;
use crate::limits::{SHADOW_TURNS_MAX, SLOT_RECORDS_MAX};
use crate::violation::{invariant, Checked, Violation};

/// A record: its stamp, what it is, and its body.
type Held = (Stamp, Kind, Vec<u8>);

impl World {
    /// The replicas of each slice hold the same records.
    pub(super) fn check_bytes(&mut self) -> Checked {
        let left = self.hosts_left();
        for core in 0..self.plan.cores {
            let mut first: Option<(Member, BTreeMap<Vec<u8>, Held>)> = None;
            for host in &left {
                let held = self.records(Place { host: *host, core })?;
                match &first {
                    None => first = Some((*host, held)),
                    Some((other, expected)) => compare(core, (*other, expected), (*host, &held))?,
                }
            }
        }
        Ok(())
    }

    /// All records of a core, as its log has them.
    fn records(&self, place: Place) -> Result<BTreeMap<Vec<u8>, Held>, Violation> {
        let mut disk = self.core(place).disk.after_kill(self.plan.seed);
        let mut store = Bitcask::open(store_options(place.core, &self.plan), &mut disk);
        let fails = |why: String| {
            let detail = format!("the log of {place}, opened once more: {why}");
            Violation::new(invariant::CONVERGES, detail)
        };
        wait(&mut store, &mut disk, |event| matches!(event, Event::Ready(_)).then_some(())).map_err(fails)?;
        let mut records = BTreeMap::new();
        for slot in (0..SLOTS).filter(|slot| store.slot_summary(*slot).records > 0).collect::<Vec<_>>() {
            for (fingerprint, _) in store.slot_entries(slot, Fingerprint::MIN, SLOT_RECORDS_MAX) {
                let found = read(&mut store, &mut disk, slot, fingerprint).map_err(fails)?;
                records.insert(found.key.to_vec(), (found.stamp, found.kind, found.body.to_vec()));
            }
        }
        Ok(records)
    }
}

fn read(
    store: &mut Bitcask,
    disk: &mut SimDisk,
    slot: u16,
    fingerprint: Fingerprint,
) -> Result<Found, String> {
    let found = match store.read_fingerprint(disk, slot, fingerprint) {
        Read::Ready(found) => Some(found),
        Read::Absent => None,
        Read::Pending(wanted) => wait(store, disk, |event| match event {
            Event::Read { ticket, result } if ticket == wanted => Some(result),
            _ => None,
        })?
        .map_err(|error| error.to_string())?,
    };
    found.ok_or_else(|| format!("a record of slot {slot} that is listed cannot be read"))
}

/// Has the engine go on until an event is the one that is waited for.
fn wait<T>(
    store: &mut Bitcask,
    disk: &mut SimDisk,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> Result<T, String> {
    for _ in 0..SHADOW_TURNS_MAX {
        while let Some(event) = store.poll() {
            if let Event::Failed(fault) = &event {
                return Err(fault.to_string());
            }
            if let Some(found) = wanted(event) {
                return Ok(found);
            }
        }
        for completion in disk.poll_completions(0) {
            store.on_disk(disk, completion);
        }
        store.flush(disk);
    }
    Err("it does not end".to_owned())
}

fn compare(
    core: u16,
    (one, expected): (Member, &BTreeMap<Vec<u8>, Held>),
    (other, held): (Member, &BTreeMap<Vec<u8>, Held>),
) -> Checked {
    let all = expected.keys().chain(held.keys());
    let Some(key) = all.into_iter().find(|key| expected.get(*key) != held.get(*key)) else { return Ok(()) };
    let tell = |held: Option<&Held>| match held {
        Some((stamp, kind, body)) => format!("{kind:?} at {stamp:?} {}", show(body)),
        None => "nothing".to_owned(),
    };
    let (mine, theirs) = (tell(expected.get(key)), tell(held.get(key)));
    let detail = format!("key {} on core {core}: host {one} holds {mine}, host {other} {theirs}", show(key));
    Err(Violation::new(invariant::CONVERGES, detail))
}
