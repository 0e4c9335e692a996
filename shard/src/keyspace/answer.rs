//! Answers to the surveys of peers: sums and lists from the directory at once, keys when they are read.

use std::collections::VecDeque;

use bitcask::{Fingerprint, Found, Kind, Read};
use paxos::Member;
use reactor::Disk;

use super::survey::{live, Reads};
use super::{Reader, SurveyId, SurveyRead};
use crate::core::{ballot_of, Loading, Shard};
use crate::limits::{ANSWERS_MAX, ANSWER_KEY_BYTES_MAX, KEY_BYTES_MAX};
use crate::turn::Turn;
use crate::wire::{PeerMessage, SlotAnswer, SlotAsk, SlotEntry, SlotKey, SlotQuery, SlotSaid};

/// What a key takes in an answer beside its bytes.
const KEY_HEAD_BYTES: usize = 10 + 1 + 8 + 4;

/// An answer in the making: keys are being read for a peer.
#[derive(Debug)]
pub(super) struct Answering {
    to: Member,
    query: u64,
    slot: u16,
    pub reads: Reads,
    keys: Vec<SlotKey>,
    /// Bytes of the answer that are left, the most that reads under way may take already taken off.
    room: usize,
}

impl Answering {
    /// Takes what a read found.
    pub fn take_found(&mut self, fingerprint: Fingerprint, bytes: u32, found: Option<&Found>, epoch: u32) {
        let live = found.and_then(|found| live(found, epoch));
        let taken = live.as_ref().map_or(0, |live| live.key.len()) + KEY_HEAD_BYTES;
        self.room = (self.room + most_bytes(bytes)).saturating_sub(taken);
        self.keys.push(SlotKey { fingerprint, live });
    }

    /// The next read, if the answer has room for what it may find. The first one always fits.
    fn next(&mut self) -> Option<(Fingerprint, u32)> {
        let most = most_bytes(self.reads.queue.front()?.1);
        if most > self.room {
            // The rest is asked for again.
            self.reads.queue.clear();
            return None;
        }
        let next = self.reads.next()?;
        self.room -= most;
        Some(next)
    }
}

/// The most that a record of so many bytes adds to an answer.
fn most_bytes(record_bytes: u32) -> usize {
    (record_bytes as usize).min(KEY_BYTES_MAX) + KEY_HEAD_BYTES
}

const _: () = assert!(ANSWER_KEY_BYTES_MAX >= KEY_BYTES_MAX + KEY_HEAD_BYTES);

impl<D: Disk> Shard<D> {
    /// A peer asks about its survey.
    pub(crate) fn on_slot_query(&mut self, turn: &mut Turn<'_, D>, from: Member, query: &SlotQuery) {
        let said = match &query.ask {
            SlotAsk::Sums { first, last, sum } => self.compare_sums(*first, *last, *sum),
            SlotAsk::List { slots, from, max } => self.list(slots, *from, usize::from(*max)),
            SlotAsk::Keys { slot, fingerprints } => {
                return self.start_answering(turn, from, query.id, *slot, fingerprints)
            }
        };
        self.send_answer(turn, from, SlotAnswer { id: query.id, said });
    }

    fn send_answer(&mut self, turn: &mut Turn<'_, D>, to: Member, answer: SlotAnswer) {
        let sender = self.sender();
        self.metrics.messages_out += 1;
        turn.effects.message(to, |out| PeerMessage::SlotAnswer(answer).encode(sender, out));
    }

    fn compare_sums(&self, first: u16, last: u16, theirs: u128) -> SlotSaid {
        if self.store.range_sum(first, last) == theirs {
            SlotSaid::Same
        } else {
            SlotSaid::Sums((first..=last).map(|slot| self.store.slot_summary(slot).sum).collect())
        }
    }

    fn list(&self, slots: &[(u16, u16)], from: Fingerprint, max: usize) -> SlotSaid {
        let mut entries = Vec::new();
        let mut start = from;
        for slot in slots.iter().flat_map(|run| run.0..=run.1) {
            // One more than fits tells whether there is more.
            let here = self.store.slot_entries(slot, start, max + 1 - entries.len());
            entries.extend(here.into_iter().map(|(fingerprint, entry)| {
                let dead = entry.kind == Kind::Tombstone;
                SlotEntry { slot, fingerprint, ballot: ballot_of(entry.stamp), dead }
            }));
            if entries.len() > max {
                entries.truncate(max);
                return SlotSaid::List { entries, more: true };
            }
            start = Fingerprint::MIN;
        }
        SlotSaid::List { entries, more: false }
    }

    /// Reads keys for a peer, unless there is too much of that; then the peer asks again.
    fn start_answering(
        &mut self,
        turn: &mut Turn<'_, D>,
        to: Member,
        query: u64,
        slot: u16,
        fingerprints: &[Fingerprint],
    ) {
        let repeated = self.surveys.answers.values().any(|other| (other.to, other.query) == (to, query));
        if repeated || self.surveys.answers.len() >= ANSWERS_MAX {
            return;
        }
        let mut queue = VecDeque::new();
        let mut keys = Vec::new();
        for fingerprint in fingerprints {
            let entry = self.store.slot_entries(slot, *fingerprint, 1).into_iter().next();
            match entry.filter(|(found, entry)| found == fingerprint && entry.kind != Kind::Tombstone) {
                Some((_, entry)) => queue.push_back((*fingerprint, entry.bytes)),
                None => keys.push(SlotKey { fingerprint: *fingerprint, live: None }),
            }
        }
        let room = ANSWER_KEY_BYTES_MAX - keys.len() * KEY_HEAD_BYTES;
        let answering = Answering { to, query, slot, reads: Reads::of(queue), keys, room };
        let id = self.surveys.next_id();
        self.go_on_answering(turn, id, answering);
    }

    /// Starts reads for an answer, and sends it once they are through.
    pub(super) fn go_on_answering(&mut self, turn: &mut Turn<'_, D>, id: SurveyId, mut answering: Answering) {
        while let Some((fingerprint, bytes)) = answering.next() {
            self.metrics.disk_reads += 1;
            let found = match self.store.read_newest_fingerprint(turn.disk, (answering.slot, fingerprint)) {
                Read::Pending(ticket) => {
                    let read = SurveyRead { reader: Reader::Answer(id), fingerprint, bytes };
                    self.expect_read(ticket, Loading::Survey(read));
                    continue;
                }
                Read::Ready(found) => Some(found),
                Read::Absent => None,
            };
            answering.reads.ended(bytes);
            answering.take_found(fingerprint, bytes, found.as_ref(), self.flushing.epoch());
        }
        if answering.reads.is_over() {
            let answer = SlotAnswer { id: answering.query, said: SlotSaid::Keys(answering.keys) };
            self.metrics.survey_answers += 1;
            return self.send_answer(turn, answering.to, answer);
        }
        self.surveys.answers.insert(id, answering);
    }
}

const _: () = assert!(ANSWER_KEY_BYTES_MAX > crate::limits::ASK_KEYS_MAX * KEY_HEAD_BYTES + KEY_BYTES_MAX);
