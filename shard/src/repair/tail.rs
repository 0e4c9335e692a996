//! Taking over the tail of the peers' logs, in their order: what a core lacks that was down for long (docs/design/repair.md section 2).
//!
//! Nothing rests on it: copies are taken as all others are, and what the tails left out is found by the next comparison. A peer is
//! asked for one stretch after the other; where one is of little use the next is asked for further on.

use std::collections::BTreeMap;

use bitcask::LogPlace;
use paxos::{Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::Shard;
use crate::limits::{
    REPAIR_RESENDS_MAX, REPAIR_RESEND_NS, REPAIR_STALL_NS, REPAIR_TAIL_BELIEVED, REPAIR_TAIL_BYTES,
    REPAIR_TAIL_BYTES_BUSY, REPAIR_TAIL_BYTES_PER_RECORD, REPAIR_TAIL_LEAP_BLOCKS,
    REPAIR_TAIL_LEAP_BLOCKS_MAX, REPAIR_TAIL_PATIENCE, REPAIR_TAIL_SAMPLE, REPAIR_TAIL_STALLS_MAX,
};
use crate::turn::Turn;
use crate::wire::{Copied, RepairAsked};

/// The tails that are taken over.
#[derive(Debug)]
pub(super) struct Tails {
    among: MemberSet,
    readings: BTreeMap<Member, Reading>,
    /// Records that others were said to send, and that were reckoned to be of use.
    believed: u64,
    /// Records that came of it.
    pub taken: u64,
    /// Bytes of them.
    pub taken_bytes: u64,
}

/// Where one member's tail stands.
#[derive(Debug)]
struct Reading {
    /// Where it goes on. None: where the member chooses to begin.
    from: Option<LogPlace>,
    /// The question that is out, and since when.
    asked: Option<(u64, Nanos)>,
    /// How often that was asked again.
    resends: u32,
    /// The log took no copies: it is asked again then.
    stalled_until: Option<Nanos>,
    /// How often that happened in a row.
    stalls: u32,
    /// Bytes of its log that may yet be of no use before it leaps.
    patience: u64,
    /// Blocks that were leapt over last.
    leap: u32,
}

impl Reading {
    fn new() -> Reading {
        Reading {
            from: None,
            asked: None,
            resends: 0,
            stalled_until: None,
            stalls: 0,
            patience: REPAIR_TAIL_PATIENCE,
            leap: 0,
        }
    }

    fn due(&self) -> Option<Nanos> {
        self.asked.map(|(_, since)| since + REPAIR_RESEND_NS).or(self.stalled_until)
    }

    /// Where the next stretch is looked for, behind one of so many bytes and records of use. One without a record may hold promises only, or the middle of
    /// a long frame: it takes more of them in a row to leap.
    fn leap_from(&mut self, next: LogPlace, read: u32, of_use: u64) -> LogPlace {
        let worth = of_use * REPAIR_TAIL_BYTES_PER_RECORD;
        if worth >= u64::from(read) {
            self.leap = 0;
        }
        let patience = (self.patience + worth).min(REPAIR_TAIL_PATIENCE + u64::from(read));
        if let Some(left) = patience.checked_sub(u64::from(read)) {
            self.patience = left;
            return next;
        }
        self.patience = REPAIR_TAIL_PATIENCE / 2;
        self.leap = (2 * self.leap).clamp(REPAIR_TAIL_LEAP_BLOCKS, REPAIR_TAIL_LEAP_BLOCKS_MAX);
        LogPlace { block: next.block.saturating_add(self.leap), ..next }
    }
}

/// What the records in a stretch came to.
#[derive(Clone, Copy, Debug, Default)]
struct Yield {
    /// Those that were sent and newer than what was here.
    useful: u64,
    /// Those that were sent.
    sent: u64,
    /// Those that others send.
    left: u64,
}

impl Yield {
    /// How many of those that others send are of use, as far as can be told: as many as of those that were sent.
    fn reckoned_of_others(self) -> u64 {
        // Of a few that were sent little can be said: as if one more had been, and been of use.
        self.left * (self.useful + 1) / (self.sent + 1)
    }
}

impl Tails {
    /// How many records of a stretch are of use, here or in what others send. Of others' so many are believed as were taken before: each that
    /// one sends stands as left in the tails of the rest. They may not send them: after a restart nobody knows what is chosen.
    fn of_use(&mut self, yielded: Yield) -> u64 {
        self.taken += yielded.useful;
        let others = u64::from(self.among.count().saturating_sub(1));
        let credit = (REPAIR_TAIL_BELIEVED + others * self.taken).saturating_sub(self.believed);
        let believed = yielded.reckoned_of_others().min(credit);
        self.believed += believed;
        yielded.useful + believed
    }

    /// When one of them goes on by itself.
    pub fn due(&self) -> Option<Nanos> {
        self.readings.values().filter_map(Reading::due).min()
    }

    /// Gives up whoever does not answer, or cannot be talked to any more.
    fn look(&mut self, now: Nanos, up: &[bool]) {
        self.readings.retain(|member, reading| {
            if reading.asked.is_some_and(|(_, since)| since + REPAIR_RESEND_NS <= now) {
                reading.asked = None;
                reading.resends += 1;
            }
            reading.stalled_until = reading.stalled_until.filter(|until| *until > now);
            let answers = reading.resends <= REPAIR_RESENDS_MAX && up[usize::from(*member)];
            answers && reading.stalls <= REPAIR_TAIL_STALLS_MAX
        });
    }
}

impl<D: Disk> Shard<D> {
    /// Begins with the tails where enough is lacked, and goes on with them. False: there are none under way.
    pub(super) fn pull_tails(&mut self, turn: &mut Turn<'_, D>) -> bool {
        if self.wants_tails() {
            self.begin_tails();
        }
        let now = turn.clock.now;
        let Some(tails) = &mut self.repair.tails else { return false };
        tails.look(now, &self.peers_up);
        if tails.readings.is_empty() {
            self.end_tails();
            return false;
        }
        let idle =
            |(_, reading): &(&Member, &Reading)| reading.asked.is_none() && reading.stalled_until.is_none();
        let idle: Vec<Member> = tails.readings.iter().filter(idle).map(|(member, _)| *member).collect();
        for member in idle {
            let busy = self.is_busy(now);
            if let Err(at) = self.repair.pace.look(now, self.background_share(now)) {
                self.repair.paced_until = Some(at);
                return true;
            }
            self.ask_tail(turn, member, busy);
        }
        true
    }

    /// Whether so much is lacked, by the slots that were listed in this pass, that the tails come first.
    fn wants_tails(&self) -> bool {
        let repair = &self.repair;
        let (seen, slots) = (repair.pass.records, repair.pass.slots);
        let others = (seen * repair.queue.len() as u64).checked_div(slots).unwrap_or(0);
        let least = self.config.repair_tail_records;
        let enough = seen * REPAIR_TAIL_SAMPLE >= least && seen + others >= least;
        let before = if self.config.learner { repair.had_tails } else { repair.pass.tails };
        enough && !before && !repair.queue.is_empty()
    }

    fn begin_tails(&mut self) {
        let (mut among, mut readings) = (MemberSet::EMPTY, BTreeMap::new());
        for member in self.voters_up() {
            among.insert(member);
            readings.insert(member, Reading::new());
        }
        (self.repair.pass.tails, self.repair.had_tails) = (true, true);
        // Copies that are on the way are of tombstones, too: none of those may be dropped meanwhile.
        self.repair.lacking = true;
        self.repair.tails = Some(Tails { among, readings, believed: 0, taken: 0, taken_bytes: 0 });
    }

    /// All were taken over, or given up. Where that was of as much use as was hoped for, most slots are level now: which are not a new
    /// comparison tells. Else this pass goes through them, or tails of little use might follow each other for ever.
    fn end_tails(&mut self) {
        let Some(Tails { among, taken, .. }) = self.repair.tails.take() else { return };
        if planted(166) {
            let (first, last) = self.config.slots();
            let members = (0..self.members.count()).filter(|member| among.contains(*member));
            members.for_each(|member| {
                (first..=last).for_each(|slot| self.repair.coming.note_level(slot, member))
            });
        }
        self.repair.pass_lacks |= taken > 0;
        if taken > 0 && taken >= self.config.repair_tail_records {
            self.repair.queue.clear();
        }
    }

    fn ask_tail(&mut self, turn: &mut Turn<'_, D>, member: Member, busy: bool) {
        let Some(tails) = &self.repair.tails else { return };
        let Some(reading) = tails.readings.get(&member) else { return };
        let bytes = if busy { REPAIR_TAIL_BYTES_BUSY } else { REPAIR_TAIL_BYTES };
        let asked = RepairAsked::Tail { from: reading.from, bytes, among: tails.among };
        let id = self.ask_repair(turn, member, asked);
        if let Some(reading) = self.repair.tails.as_mut().and_then(|tails| tails.readings.get_mut(&member)) {
            reading.asked = Some((id, turn.clock.now));
        }
    }

    /// A stretch of a member's log.
    pub(super) fn on_tail(
        &mut self,
        turn: &mut Turn<'_, D>,
        (from, id): (Member, u64),
        (next, read, left): (Option<LogPlace>, u32, u32),
        records: &[Copied<'_>],
    ) {
        let Some(tails) = &mut self.repair.tails else { return };
        let tails_asked = tails.among.count();
        let Some(reading) = tails.readings.get_mut(&from) else { return };
        if reading.asked.take_if(|(asked, _)| *asked == id).is_none() {
            return;
        }
        reading.resends = 0;
        let behind = next.is_none_or(|next| Some(next) > reading.from);
        if !behind {
            // It would go on for ever.
            self.metrics.messages_refused += 1;
            tails.readings.remove(&from);
        }
        let before = (self.repair.copied, self.repair.copied_bytes);
        let whole = self.take_copies(turn, records);
        let bytes = |record: &Copied<'_>| (record.key.len() + record.entry.len()) as u64;
        let sent: u64 = records.iter().map(bytes).sum();
        // Reading is not for nothing: as if each of those asked had sent a like part of what was read.
        let part = u64::from(read) / u64::from(tails_asked.max(1));
        self.repair.pace.take(sent.max(part), records.len() as u64);
        let (useful, useful_bytes) = (self.repair.copied - before.0, self.repair.copied_bytes - before.1);
        self.metrics.tail_records += useful;
        let now = turn.clock.now;
        let Some(tails) = &mut self.repair.tails else { return };
        tails.taken_bytes += useful_bytes;
        let of_use = tails.of_use(Yield { useful, sent: records.len() as u64, left: u64::from(left) });
        if let Some(reading) = tails.readings.get_mut(&from) {
            match next {
                // The same once more: what was taken is passed over then.
                _ if !whole => {
                    reading.stalled_until = Some(now + (REPAIR_STALL_NS << reading.stalls));
                    reading.stalls += 1;
                }
                Some(next) => {
                    reading.stalls = 0;
                    reading.from = Some(reading.leap_from(next, read, of_use));
                }
                None => drop(tails.readings.remove(&from)),
            }
        }
        self.pull(turn);
    }

    /// Takes what is newer than what is here. False: not all of it, because the log is not ready for it.
    fn take_copies(&mut self, turn: &mut Turn<'_, D>, records: &[Copied<'_>]) -> bool {
        let (first, last) = self.config.slots();
        let key = |record: &Copied<'_>| self.store.key_ref(crate::slot::slot(record.key), record.key);
        let keys: Vec<bitcask::KeyRef> = records.iter().map(key).collect();
        self.store.warm(&keys, false);
        for (record, key) in records.iter().zip(keys) {
            let (slot, dead) = (key.0, self.is_dead(record.entry));
            if !(first..=last).contains(&slot) {
                self.metrics.messages_refused += 1;
                continue;
            }
            let own = self.store.info_as(key).entry;
            if self.is_newer(own, record.ballot, dead) && !self.take_copy(turn, slot, record) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaps_double_up_to_their_bound_and_end_where_there_is_something() {
        let mut reading = Reading::new();
        let next = LogPlace { segment: 7, block: 100 };
        let mut leap = |read, useful| reading.leap_from(next, read, useful).block - 100;
        // Now and then one without a record.
        for _ in 0..100 {
            assert_eq!((leap(256 << 10, 64), leap(256 << 10, 0)), (0, 0));
        }
        let mut leaps = |useful| (0..30).map(|_| leap(256 << 10, useful)).collect::<Vec<_>>();
        let barren = leaps(0);
        assert_eq!(barren[..7], [0, 0, 0, 256, 0, 0, 512], "after 1 MiB, and half as much behind each leap");
        assert_eq!(barren.iter().max(), Some(&REPAIR_TAIL_LEAP_BLOCKS_MAX));
        assert_eq!(leaps(32)[3..], [0; 27]);
        let first = leaps(0).into_iter().find(|leap| *leap > 0);
        assert_eq!(first, Some(REPAIR_TAIL_LEAP_BLOCKS), "they begin anew");
        let last = LogPlace { segment: u32::MAX, block: u32::MAX };
        assert_eq!(reading.leap_from(last, u32::MAX, 0), last, "there is no place behind it");
    }

    #[test]
    fn what_others_send_counts_like_what_was_sent() {
        let mut among = MemberSet::EMPTY;
        (0..3).for_each(|member| among.insert(member));
        let tails = || Tails { among, readings: BTreeMap::new(), believed: 0, taken: 0, taken_bytes: 0 };
        let reckoned = |useful, sent, left| tails().of_use(Yield { useful, sent, left });
        assert_eq!(reckoned(10, 10, 30), 40);
        assert_eq!(reckoned(5, 10, 33), 23);
        assert_eq!((reckoned(0, 99, 300), reckoned(0, 2, 300)), (3, 100));
        assert_eq!((reckoned(0, 0, 30), reckoned(0, 0, 0)), (30, 0));
        // Up to what was taken, and something to begin with.
        let mut tails = tails();
        let believed: u64 = (0..1_000).map(|_| tails.of_use(Yield { useful: 0, sent: 0, left: 30 })).sum();
        assert_eq!(believed, REPAIR_TAIL_BELIEVED);
        assert_eq!(tails.of_use(Yield { useful: 10, sent: 10, left: 300 }), 10 + 2 * 10);
    }
}
