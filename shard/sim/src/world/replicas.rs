//! What replicas hold when all is over, byte for byte: each core's log is opened anew, in a copy, and every record of it read. That the
//! slots' sums are equal (`finish`) says that all hold the same keys at the same ballots; this says that they hold the same of them.

use std::collections::{BTreeMap, BTreeSet};

use bitcask::{Bitcask, Event, Fingerprint, Found, Kind, Read, Stamp};
use paxos::{Ballot, Member};
use reactor::sim::SimDisk;
use shard::record::{Delta, Record};
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
            let mut all = Vec::new();
            for host in &left {
                all.push((*host, self.records(Place { host: *host, core })?));
            }
            if left.len() < usize::from(self.plan.hosts) {
                self.leave_out_dropped(core, &mut all);
            }
            let Some((first, others)) = all.split_first() else { continue };
            others.iter().try_for_each(|other| compare(core, (first.0, &first.1), (other.0, &other.1)))?;
        }
        Ok(())
    }

    /// No record is left that ended before this, by the wall clock, in a slot that some core sweeps.
    pub(super) fn check_ended(&mut self, wall_ms: u64) -> Checked {
        for place in (0..self.plan.hosts).flat_map(|host| self.places(host)).collect::<Vec<_>>() {
            for (key, (_, kind, body)) in self.records(place)? {
                let slot = shard::slot::slot(&key);
                let swept = |host: Member| {
                    let shard = self.core(Place { host, core: place.core }).shard();
                    shard.is_some_and(|shard| shard.sweeps_slot(slot))
                };
                let ends_ms = Record::head(&body).ok().flatten().map_or(0, |(_, ends_ms)| ends_ms);
                let is_old = kind != Kind::Tombstone && (1..wall_ms).contains(&ends_ms);
                if is_old && (0..self.plan.hosts).any(swept) {
                    let ago = wall_ms - ends_ms;
                    let detail =
                        format!("{place} still holds {}, which ended {ago} ms before that", show(&key));
                    return Err(Violation::new(invariant::ENDED, detail));
                }
            }
        }
        Ok(())
    }

    /// Leaves out the tombstones that another host has dropped: the rest of them goes when the host that is away comes back.
    fn leave_out_dropped(&self, core: u16, all: &mut [(Member, BTreeMap<Vec<u8>, Held>)]) {
        let names: BTreeSet<Vec<u8>> = all.iter().flat_map(|(_, held)| held.keys().cloned()).collect();
        for name in names {
            let newest = all
                .iter()
                .filter_map(|(_, held)| held.get(&name))
                .map(|held| (held.0, held.1))
                .max_by_key(|held| held.0);
            let Some((stamp, Kind::Tombstone)) = newest else { continue };
            let ballot = Ballot { round: stamp.round, node: stamp.node, incarnation: stamp.incarnation };
            let floor = |host: Member| {
                self.core(Place { host, core }).shard().map_or(Ballot::ZERO, |shard| shard.floor())
            };
            let same = |held: &BTreeMap<Vec<u8>, Held>| held.get(&name).map(|held| held.0);
            if all.iter().all(|(host, held)| {
                same(held) == Some(stamp) || same(held).is_none() && floor(*host) >= ballot
            }) {
                all.iter_mut().for_each(|(_, held)| drop(held.remove(&name)));
            }
        }
    }

    /// All records of a core, as its log has them. What is from before a flush is a tombstone.
    fn records(&self, place: Place) -> Result<BTreeMap<Vec<u8>, Held>, Violation> {
        let epoch = self.core(place).shard().map_or(0, |shard| shard.flush_epoch());
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
                let bytes = whole(&found).map_err(fails)?;
                let older = Record::decode(&bytes).is_ok_and(|record| record.epoch < epoch);
                let kind = if older { Kind::Tombstone } else { found.kind };
                records.insert(found.key.to_vec(), (found.stamp, kind, bytes));
            }
        }
        Ok(records)
    }
}

/// What a record means, whether it is whole or the end of a chain.
fn whole(found: &Found) -> Result<Vec<u8>, String> {
    if found.deltas.is_empty() {
        return Ok(found.body.to_vec());
    }
    let record = Delta::fold(&found.body, found.deltas.iter().map(|delta| &**delta));
    let mut bytes = Vec::new();
    record.map_err(|damage| damage.to_string())?.encode(&mut bytes);
    Ok(bytes)
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
