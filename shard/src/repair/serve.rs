//! Questions of peers: sums and lists from the directory at once, copies once they are read.

use std::collections::VecDeque;

use bitcask::{Bitcask, Entry, Fingerprint, Found, KeyRef, Kind, Read, Stamp};
use paxos::Member;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::copy::Why;
use crate::core::{ballot_of, stamp_of, Loading, Shard};
use crate::held::Bytes;
use crate::limits::{REPAIR_FETCH_BYTES, REPAIR_READS_BUSY_MAX, REPAIR_READS_MAX, REPAIR_SERVES_MAX};
use crate::turn::Turn;
use crate::wire::{Copied, Listed, RepairAsk, RepairAsked, RepairSaid, Wanted};

/// What a disk read of this module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServingRead {
    serving: u64,
    reading: Reading,
}

/// A record to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    fingerprint: Fingerprint,
    /// The record at this stamp is known to be chosen; the mark may not say so yet.
    proven: Option<Stamp>,
    /// It is to be sent; else it is to be settled, for which its key is wanted.
    send: bool,
}

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Serving {
    to: Member,
    question: u64,
    slot: u16,
    taken: u16,
    queue: VecDeque<Reading>,
    reading: usize,
    found: Vec<(Bytes, Stamp, Bytes)>,
    /// Keys to be settled.
    unproven: Vec<(Bytes, Why)>,
}

/// About how many bytes a copy of an entry takes: it is whole, whatever lies in the log.
pub(super) fn copy_bytes(store: &Bitcask, key: KeyRef, entry: &Entry) -> u32 {
    let chain = store.chain(key).filter(|_| entry.delta);
    chain.map_or(entry.bytes, |chain| u32::try_from(chain.whole + chain.bytes).unwrap_or(u32::MAX))
}

impl<D: Disk> Shard<D> {
    /// A peer looks for what it lacks.
    pub(crate) fn on_repair_ask(&mut self, turn: &mut Turn<'_, D>, from: Member, ask: &RepairAsk) {
        let (id, store, away) = (ask.id, &self.store, &mut self.repair.away);
        let said = match &ask.asked {
            RepairAsked::Epoch => RepairSaid::Epoch,
            RepairAsked::Range { first, last, sum } => {
                if store.range_sum(*first, *last) == *sum {
                    away.note_compared(from, 1, 0);
                    RepairSaid::Same
                } else {
                    RepairSaid::Sums((*first..=*last).map(|slot| store.slot_summary(slot).sum).collect())
                }
            }
            RepairAsked::Slots(sums) => {
                let others = sums.iter().filter(|(slot, sum)| store.slot_summary(*slot).sum != *sum);
                let others: Vec<u16> = others.map(|(slot, _)| *slot).collect();
                away.note_compared(from, sums.len(), others.len());
                RepairSaid::Differ(others)
            }
            RepairAsked::List { slot, from, max } => {
                let max = usize::from(*max);
                let mut entries = store.slot_entries(*slot, *from, max + 1);
                let more = entries.len() > max;
                entries.truncate(max);
                // That one counts for every flush epoch, which the engine does not know.
                let catalogs = self.catalog_key_in(*slot).map(|key| key.1);
                let listed = |(fingerprint, entry): (Fingerprint, Entry)| Listed {
                    fingerprint,
                    ballot: ballot_of(entry.stamp),
                    dead: entry.kind == Kind::Tombstone && catalogs != Some(fingerprint),
                    chosen: entry.marked,
                    bytes: copy_bytes(store, (*slot, fingerprint), &entry),
                };
                RepairSaid::Listed { entries: entries.into_iter().map(listed).collect(), more }
            }
            RepairAsked::Consent { slot, watermarks, tombstones } => {
                RepairSaid::Consents(self.consent(*slot, watermarks, tombstones))
            }
            RepairAsked::Drop { slot, tombstones } => return self.drop_tombstones(*slot, tombstones),
            RepairAsked::Tail { from: place, bytes, among } => {
                return self.start_tail(turn, (from, id), *place, *bytes, *among);
            }
            RepairAsked::Fetch { slot, bytes_max, wants } => {
                return self.start_serving(turn, (from, id), *slot, *bytes_max, wants);
            }
        };
        self.say_repair(turn, from, id, said);
    }

    /// Starts to read what a peer wants, unless there is too much of that; then the peer asks again.
    fn start_serving(
        &mut self,
        turn: &mut Turn<'_, D>,
        (to, question): (Member, u64),
        slot: u16,
        bytes_max: u32,
        wants: &[Wanted],
    ) {
        if self.repair.serving.len() >= REPAIR_SERVES_MAX {
            return;
        }
        let room = u64::from(bytes_max.min(REPAIR_FETCH_BYTES));
        let (mut taken, mut bytes, mut queue) = (0_u16, 0_u64, VecDeque::new());
        for want in wants {
            let found = self.store.slot_entries(slot, want.fingerprint, 1).into_iter().next();
            let entry = found.filter(|(fingerprint, _)| *fingerprint == want.fingerprint);
            if let Some((fingerprint, entry)) = entry.filter(|(_, e)| ballot_of(e.stamp) >= want.ballot) {
                let copy = u64::from(copy_bytes(&self.store, (slot, fingerprint), &entry));
                if taken > 0 && bytes + copy > room {
                    break;
                }
                bytes += copy;
                let known =
                    planted(131) || entry.marked || want.proven && entry.stamp == stamp_of(want.ballot);
                queue.push_back(Reading { fingerprint, proven: known.then_some(entry.stamp), send: known });
            }
            taken += 1;
        }
        let serving =
            Serving { to, question, slot, taken, queue, reading: 0, found: Vec::new(), unproven: Vec::new() };
        self.repair.last_serving += 1;
        self.go_on_serving(turn, self.repair.last_serving, serving);
    }

    /// How many reads for peers may be under way.
    fn reads_max(&self, now: Nanos) -> usize {
        if self.is_busy(now) {
            REPAIR_READS_BUSY_MAX
        } else {
            REPAIR_READS_MAX
        }
    }

    /// Starts reads for an answer, and sends it once they are through.
    fn go_on_serving(&mut self, turn: &mut Turn<'_, D>, id: u64, mut serving: Serving) {
        let most = self.reads_max(turn.clock.now);
        while self.repair.reading < most {
            let Some(reading) = serving.queue.pop_front() else { break };
            self.metrics.disk_reads += 1;
            match self.store.read_fingerprint(turn.disk, serving.slot, reading.fingerprint) {
                Read::Pending(ticket) => {
                    serving.reading += 1;
                    self.repair.reading += 1;
                    self.expect_read(ticket, Loading::Serving(ServingRead { serving: id, reading }));
                }
                Read::Ready(found) => self.take_found(&mut serving, reading, found),
                Read::Absent => {}
            }
        }
        if serving.queue.is_empty() && serving.reading == 0 {
            return self.end_serving(turn, serving);
        }
        self.repair.serving.insert(id, serving);
    }

    fn take_found(&mut self, serving: &mut Serving, reading: Reading, found: Found) {
        if !reading.send {
            serving.unproven.push((found.key, Why::Unproven));
            return;
        }
        // Whoever has no room for a value would ask for it forever. A learner cannot have the tombstone chosen that takes its place.
        if self.is_flushed_whole(&found.body) && !self.learners[usize::from(serving.to)] {
            serving.unproven.push((found.key, Why::Flushed));
            return;
        }
        // A successor that came since is left to the next look.
        if reading.proven == Some(found.stamp) {
            self.store.mark(serving.slot, &found.key, found.stamp);
            if let Some(whole) = self.whole_of(&found) {
                serving.found.push((found.key, found.stamp, whole));
            }
        }
    }

    fn end_serving(&mut self, turn: &mut Turn<'_, D>, serving: Serving) {
        let Serving { to, question, slot, taken, found, unproven, .. } = serving;
        let records = found
            .iter()
            .map(|(key, stamp, body)| Copied { key, ballot: ballot_of(*stamp), entry: body })
            .collect();
        self.say_repair(turn, to, question, RepairSaid::Copies { taken, records });
        for (key, why) in unproven {
            self.settle_key(turn, slot, &key, why);
        }
    }

    /// A record of this module was read.
    pub(crate) fn on_serving_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        read: ServingRead,
        found: Option<Found>,
    ) {
        self.repair.reading -= 1;
        let Some(mut serving) = self.repair.serving.remove(&read.serving) else { return };
        serving.reading -= 1;
        if let Some(found) = found {
            self.take_found(&mut serving, read.reading, found);
        }
        self.go_on_serving(turn, read.serving, serving);
        self.wake_serving(turn);
    }

    /// An answer that found no room for its first read goes on.
    fn wake_serving(&mut self, turn: &mut Turn<'_, D>) {
        if self.repair.reading >= self.reads_max(turn.clock.now) {
            return;
        }
        let stalled = self.repair.serving.iter().find(|(_, serving)| serving.reading == 0);
        let Some(id) = stalled.map(|(id, _)| *id) else { return };
        if let Some(serving) = self.repair.serving.remove(&id) {
            self.go_on_serving(turn, id, serving);
        }
    }
}
