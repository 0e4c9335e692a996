//! Messages of repair: sums, lists and copies of records (docs/design/repair.md).
//!
//! Like those of surveys they name keys by fingerprints; a key travels with its record only.

use bitcask::{Fingerprint, LogPlace};
use paxos::{Ballot, MemberSet, Members};

use super::abreast::{put_counted, take_counted, Counted};
use super::bytes::{put_ballot, put_bytes, Malformed, Reader};
use super::keyspace::{put_fingerprint, put_run, take_fingerprint, take_flag, take_run, take_slot, take_sum};
use crate::limits::{
    DROP_BATCH, LIST_ENTRIES_MAX, ORIGINS_MAX, RANGE_SLOTS_MAX, REPAIR_TAIL_RECORDS_MAX, REPAIR_WANTS_MAX,
    SLOTS,
};
use crate::repair::Burden;

/// A question of a replica that looks for what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairAsk {
    /// Matches the answer to the question; bears the asker's incarnation in its upper half, but for a learner's question for
    /// epochs, where it is drawn.
    pub id: u64,
    /// The question.
    pub asked: RepairAsked,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairAsked {
    /// Does the receiver hold the same records in these slots?
    Range {
        /// The first slot.
        first: u16,
        /// The last slot, fewer than [`RANGE_SLOTS_MAX`] behind the first.
        last: u16,
        /// The sum, modulo 2^128, of the asker's sums of these slots.
        sum: u128,
    },
    /// In which of these slots does the receiver hold other records than these sums say? Rising by slot, not empty.
    Slots(Vec<(u16, u128)>),
    /// Which records are in this slot, in order of fingerprint?
    List {
        /// The slot.
        slot: u16,
        /// Where to start.
        from: Fingerprint,
        /// At most so many: 1 or more.
        max: u16,
    },
    /// Under which epoch does the receiver work? Asked by learners, and answered whatever the asker's epoch is.
    Epoch,
    /// The records themselves.
    Fetch {
        /// Their slot.
        slot: u16,
        /// Bytes of records in the answer, about; one record is always answered.
        bytes_max: u32,
        /// At most [`REPAIR_WANTS_MAX`], not empty.
        wants: Vec<Wanted>,
    },
    /// What of the receiver's log may the asker lack?
    Tail {
        /// From where on. None: from where the receiver lost the asker.
        from: Option<LogPlace>,
        /// Bytes of the log to read for it, about.
        bytes: u32,
        /// Whom the asker asks for their tails: the receiver, and others that send what they proposed themselves.
        among: MemberSet,
    },
    /// Does the receiver agree that these tombstones go?
    Consent {
        /// Their slot.
        slot: u16,
        /// What is settled, for all that the asker has heard: the receiver takes that over before it answers.
        watermarks: Vec<Watermark>,
        /// By fingerprint and ballot; at most [`DROP_BATCH`], not empty.
        tombstones: Vec<(Fingerprint, Ballot)>,
    },
    /// No question: all members have agreed that these tombstones go.
    Drop {
        /// Their slot.
        slot: u16,
        /// By key and ballot; at most [`DROP_BATCH`], not empty.
        tombstones: Vec<(Box<[u8]>, Ballot)>,
    },
}

/// What a core said of its own travelling commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The core.
    pub node: u32,
    /// Its start. Of older ones everything is settled.
    pub incarnation: u32,
    /// Of that start, every travelling command below this is settled.
    pub settled_below: u64,
}

/// A record that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its key's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its ballot; a newer one is as good.
    pub ballot: Ballot,
    /// The asker knows that the record at this ballot is chosen.
    pub proven: bool,
}

/// An answer to a [`RepairAsk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairAnswer<'a> {
    /// The question's id.
    pub id: u64,
    /// Whether the sender has commands to serve: repair is to leave them what they need.
    pub burden: Burden,
    /// The sender's floor at this moment.
    pub floor: Ballot,
    /// The sender's round counter at this moment: all that it ever promised lies at or below it.
    pub round: u64,
    /// Every travelling command of this start of the sender below this is settled.
    pub settled_below: u64,
    /// What the sender had counted for the receiver when it read from its directory what it says here. Subscription 0: nothing was
    /// read, or nothing is counted.
    pub counted: Counted,
    /// The answer.
    pub said: RepairSaid<'a>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairSaid<'a> {
    /// To Range: the same records, all of them.
    Same,
    /// To Range: others; the sum of each slot.
    Sums(Vec<u128>),
    /// To Epoch: the one in the head of the message, which is durable.
    Epoch,
    /// To Slots: the slots with other records, rising.
    Differ(Vec<u16>),
    /// To List.
    Listed {
        /// The records, rising by fingerprint.
        entries: Vec<Listed>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// To Fetch.
    Copies {
        /// The question's wants from the first on that this answer is about: 1 or more. Those of them without a copy here are not
        /// there any more, or are being settled.
        taken: u16,
        /// Records that are known to be chosen.
        records: Vec<Copied<'a>>,
    },
    /// To Tail.
    Tail {
        /// Where the log goes on. None: not at all, as far as the asker was away.
        next: Option<LogPlace>,
        /// Bytes of the log that this answer stands for.
        read: u32,
        /// How many more records there are that others of those asked know best to be chosen.
        left: u32,
        /// Records of it that are known to be chosen, the newest of their keys; at most [`REPAIR_TAIL_RECORDS_MAX`].
        records: Vec<Copied<'a>>,
    },
    /// To Consent: which of the tombstones may go, by their place in the question, rising.
    Consents(Vec<u16>),
}

/// One record, as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its ballot.
    pub ballot: Ballot,
    /// Whether it is a tombstone.
    pub dead: bool,
    /// Whether the sender knows that it is chosen.
    pub chosen: bool,
    /// Bytes on the sender's disk.
    pub bytes: u32,
}

/// A record that is known to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The ballot at which it is chosen.
    pub ballot: Ballot,
    /// The encoded record.
    pub entry: &'a [u8],
}

const RANGE: u8 = 1;
const SLOT_SUMS: u8 = 2;
const LIST: u8 = 3;
const FETCH: u8 = 4;
const SAME: u8 = 5;
const SUMS: u8 = 6;
const DIFFER: u8 = 7;
const COPIES: u8 = 8;
const EPOCH: u8 = 9;
const CONSENT: u8 = 10;
const DROP: u8 = 11;
const TAIL: u8 = 12;

/// Bits of a listed record's flags.
const DEAD: u8 = 1;
const CHOSEN: u8 = 2;

impl RepairAsk {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        match &self.asked {
            RepairAsked::Range { first, last, sum } => {
                out.push(RANGE);
                put_run(out, (*first, *last));
                out.extend_from_slice(&sum.to_le_bytes());
            }
            RepairAsked::Epoch => out.push(EPOCH),
            RepairAsked::Slots(sums) => {
                out.push(SLOT_SUMS);
                for (slot, sum) in sums {
                    out.extend_from_slice(&slot.to_le_bytes());
                    out.extend_from_slice(&sum.to_le_bytes());
                }
            }
            RepairAsked::List { slot, from, max } => {
                out.push(LIST);
                out.extend_from_slice(&slot.to_le_bytes());
                put_fingerprint(out, *from);
                out.extend_from_slice(&max.to_le_bytes());
            }
            RepairAsked::Fetch { slot, bytes_max, wants } => {
                out.push(FETCH);
                out.extend_from_slice(&slot.to_le_bytes());
                out.extend_from_slice(&bytes_max.to_le_bytes());
                for want in wants {
                    put_fingerprint(out, want.fingerprint);
                    put_ballot(out, want.ballot);
                    out.push(u8::from(want.proven));
                }
            }
            RepairAsked::Tail { from, bytes, among } => {
                out.push(TAIL);
                put_place(out, *from);
                out.extend_from_slice(&bytes.to_le_bytes());
                put_members(out, *among);
            }
            RepairAsked::Consent { slot, watermarks, tombstones } => {
                out.push(CONSENT);
                out.extend_from_slice(&slot.to_le_bytes());
                put_watermarks(out, watermarks);
                for (fingerprint, ballot) in tombstones {
                    put_fingerprint(out, *fingerprint);
                    put_ballot(out, *ballot);
                }
            }
            RepairAsked::Drop { slot, tombstones } => {
                out.push(DROP);
                out.extend_from_slice(&slot.to_le_bytes());
                for (key, ballot) in tombstones {
                    put_bytes(out, key);
                    put_ballot(out, *ballot);
                }
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<RepairAsk, Malformed> {
        let id = reader.u64()?;
        let asked = match reader.u8()? {
            RANGE => {
                let (first, last) = take_run(&mut reader)?;
                let sum = take_sum(&mut reader)?;
                reader.end()?;
                RepairAsked::Range { first, last, sum }
            }
            EPOCH => {
                reader.end()?;
                RepairAsked::Epoch
            }
            SLOT_SUMS => RepairAsked::Slots(rising(&mut reader, |reader| {
                let slot = take_slot(reader)?;
                Ok((slot, take_sum(reader)?))
            })?),
            LIST => {
                let slot = take_slot(&mut reader)?;
                let (from, max) = (take_fingerprint(&mut reader)?, reader.u16()?);
                if max == 0 || usize::from(max) > LIST_ENTRIES_MAX {
                    return Err(reader.malformed());
                }
                reader.end()?;
                RepairAsked::List { slot, from, max }
            }
            FETCH => {
                let (slot, bytes_max) = (take_slot(&mut reader)?, reader.u32()?);
                RepairAsked::Fetch { slot, bytes_max, wants: take_wants(&mut reader)? }
            }
            TAIL => {
                let (from, bytes) = (take_place(&mut reader)?, reader.u32()?);
                let among = take_members(&mut reader)?;
                reader.end()?;
                RepairAsked::Tail { from, bytes, among }
            }
            CONSENT => {
                let (slot, watermarks) = (take_slot(&mut reader)?, take_watermarks(&mut reader)?);
                let tombstones = take_tombstones(&mut reader, take_fingerprint)?;
                RepairAsked::Consent { slot, watermarks, tombstones }
            }
            DROP => {
                let slot = take_slot(&mut reader)?;
                let tombstones = take_tombstones(&mut reader, |reader| Ok(Box::from(reader.bytes()?)))?;
                RepairAsked::Drop { slot, tombstones }
            }
            _ => return Err(reader.malformed()),
        };
        Ok(RepairAsk { id, asked })
    }
}

impl<'a> RepairAnswer<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.push(self.burden as u8);
        put_ballot(out, self.floor);
        out.extend_from_slice(&self.round.to_le_bytes());
        out.extend_from_slice(&self.settled_below.to_le_bytes());
        put_counted(out, self.counted);
        match &self.said {
            RepairSaid::Same => out.push(SAME),
            RepairSaid::Epoch => out.push(EPOCH),
            RepairSaid::Sums(sums) => {
                out.push(SUMS);
                sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
            }
            RepairSaid::Differ(slots) => {
                out.push(DIFFER);
                slots.iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
            }
            RepairSaid::Listed { entries, more } => {
                out.extend_from_slice(&[LIST, u8::from(*more)]);
                entries.iter().for_each(|entry| put_listed(out, entry));
            }
            RepairSaid::Copies { taken, records } => {
                out.push(COPIES);
                out.extend_from_slice(&taken.to_le_bytes());
                put_copies(out, records);
            }
            RepairSaid::Tail { next, read, left, records } => {
                out.push(TAIL);
                put_place(out, *next);
                out.extend_from_slice(&read.to_le_bytes());
                out.extend_from_slice(&left.to_le_bytes());
                put_copies(out, records);
            }
            RepairSaid::Consents(agreed) => {
                out.push(CONSENT);
                agreed.iter().for_each(|index| out.extend_from_slice(&index.to_le_bytes()));
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'a>) -> Result<RepairAnswer<'a>, Malformed> {
        let id = reader.u64()?;
        let burden = match reader.u8()? {
            0 => Burden::Idle,
            1 => Burden::Busy,
            2 => Burden::Strained,
            _ => return Err(reader.malformed()),
        };
        let (floor, round, settled_below) = (reader.ballot()?, reader.u64()?, reader.u64()?);
        let counted = take_counted(&mut reader)?;
        let said = match reader.u8()? {
            SAME => {
                reader.end()?;
                RepairSaid::Same
            }
            EPOCH => {
                reader.end()?;
                RepairSaid::Epoch
            }
            SUMS => {
                let mut sums = Vec::with_capacity(reader.left() / size_of::<u128>());
                while !reader.is_empty() {
                    sums.push(take_sum(&mut reader)?);
                }
                if sums.is_empty() || sums.len() > usize::from(RANGE_SLOTS_MAX) {
                    return Err(reader.malformed());
                }
                RepairSaid::Sums(sums)
            }
            DIFFER if reader.is_empty() => RepairSaid::Differ(Vec::new()),
            DIFFER => {
                let slots = rising(&mut reader, |reader| Ok((take_slot(reader)?, ())))?;
                RepairSaid::Differ(slots.into_iter().map(|(slot, ())| slot).collect())
            }
            LIST => {
                let more = take_flag(&mut reader)?;
                let entries = take_listed(&mut reader)?;
                // More behind nothing would be asked for again and again.
                if more && entries.is_empty() {
                    return Err(reader.malformed());
                }
                RepairSaid::Listed { entries, more }
            }
            COPIES => {
                let taken = reader.u16()?;
                if taken == 0 {
                    return Err(reader.malformed());
                }
                RepairSaid::Copies { taken, records: take_copies(&mut reader, usize::from(taken))? }
            }
            TAIL => {
                let (next, read, left) = (take_place(&mut reader)?, reader.u32()?, reader.u32()?);
                let records = take_copies(&mut reader, REPAIR_TAIL_RECORDS_MAX)?;
                RepairSaid::Tail { next, read, left, records }
            }
            CONSENT => RepairSaid::Consents(take_places(&mut reader)?),
            _ => return Err(reader.malformed()),
        };
        Ok(RepairAnswer { id, burden, floor, round, settled_below, counted, said })
    }
}

/// Items to the end, each with a slot above the one before, at least one.
fn rising<T>(
    reader: &mut Reader<'_>,
    mut take: impl FnMut(&mut Reader<'_>) -> Result<(u16, T), Malformed>,
) -> Result<Vec<(u16, T)>, Malformed> {
    let mut items: Vec<(u16, T)> = Vec::new();
    while !reader.is_empty() {
        let item = take(reader)?;
        if items.last().is_some_and(|last| last.0 >= item.0) {
            return Err(reader.malformed());
        }
        items.push(item);
    }
    if items.is_empty() || items.len() > usize::from(SLOTS) {
        return Err(reader.malformed());
    }
    Ok(items)
}

fn put_listed(out: &mut Vec<u8>, entry: &Listed) {
    put_fingerprint(out, entry.fingerprint);
    put_ballot(out, entry.ballot);
    out.push(if entry.dead { DEAD } else { 0 } | if entry.chosen { CHOSEN } else { 0 });
    out.extend_from_slice(&entry.bytes.to_le_bytes());
}

fn take_listed(reader: &mut Reader<'_>) -> Result<Vec<Listed>, Malformed> {
    let mut entries: Vec<Listed> = Vec::new();
    while !reader.is_empty() {
        let (fingerprint, ballot) = (take_fingerprint(reader)?, reader.ballot()?);
        let (flags, bytes) = (reader.u8()?, reader.u32()?);
        let rising = entries.last().is_none_or(|last| last.fingerprint < fingerprint);
        if !rising || ballot.is_zero() || flags > DEAD | CHOSEN || entries.len() >= LIST_ENTRIES_MAX {
            return Err(reader.malformed());
        }
        let (dead, chosen) = (flags & DEAD != 0, flags & CHOSEN != 0);
        entries.push(Listed { fingerprint, ballot, dead, chosen, bytes });
    }
    Ok(entries)
}

fn put_watermarks(out: &mut Vec<u8>, watermarks: &[Watermark]) {
    assert!(watermarks.len() <= ORIGINS_MAX, "one watermark for each core of the slice");
    out.push(watermarks.len() as u8);
    for watermark in watermarks {
        out.extend_from_slice(&watermark.node.to_le_bytes());
        out.extend_from_slice(&watermark.incarnation.to_le_bytes());
        out.extend_from_slice(&watermark.settled_below.to_le_bytes());
    }
}

fn take_watermarks(reader: &mut Reader<'_>) -> Result<Vec<Watermark>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count > ORIGINS_MAX {
        return Err(reader.malformed());
    }
    let mut take = || {
        let (node, incarnation) = (reader.u32()?, reader.u32()?);
        Ok(Watermark { node, incarnation, settled_below: reader.u64()? })
    };
    (0..count).map(|_| take()).collect()
}

fn take_tombstones<T>(
    reader: &mut Reader<'_>,
    mut name: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<(T, Ballot)>, Malformed> {
    let mut tombstones = Vec::new();
    while !reader.is_empty() {
        let (name, ballot) = (name(reader)?, reader.ballot()?);
        if ballot.is_zero() || tombstones.len() >= DROP_BATCH {
            return Err(reader.malformed());
        }
        tombstones.push((name, ballot));
    }
    if tombstones.is_empty() {
        return Err(reader.malformed());
    }
    Ok(tombstones)
}

fn take_places(reader: &mut Reader<'_>) -> Result<Vec<u16>, Malformed> {
    let mut places: Vec<u16> = Vec::new();
    while !reader.is_empty() {
        let place = reader.u16()?;
        if places.last().is_some_and(|last| *last >= place) || usize::from(place) >= DROP_BATCH {
            return Err(reader.malformed());
        }
        places.push(place);
    }
    Ok(places)
}

fn take_wants(reader: &mut Reader<'_>) -> Result<Vec<Wanted>, Malformed> {
    let mut wants = Vec::new();
    while !reader.is_empty() {
        let (fingerprint, ballot) = (take_fingerprint(reader)?, reader.ballot()?);
        wants.push(Wanted { fingerprint, ballot, proven: take_flag(reader)? });
    }
    if wants.is_empty() || wants.len() > REPAIR_WANTS_MAX {
        return Err(reader.malformed());
    }
    Ok(wants)
}

/// Segments are counted from 1 on: 0 stands for none.
fn put_place(out: &mut Vec<u8>, place: Option<LogPlace>) {
    let LogPlace { segment, block } = place.unwrap_or_default();
    out.extend_from_slice(&segment.to_le_bytes());
    out.extend_from_slice(&block.to_le_bytes());
}

fn take_place(reader: &mut Reader<'_>) -> Result<Option<LogPlace>, Malformed> {
    match (reader.u32()?, reader.u32()?) {
        (0, 0) => Ok(None),
        (0, _) => Err(reader.malformed()),
        (segment, block) => Ok(Some(LogPlace { segment, block })),
    }
}

fn put_members(out: &mut Vec<u8>, members: MemberSet) {
    let bits = (0..Members::MAX).filter(|member| members.contains(*member)).map(|member| 1 << member);
    out.push(bits.sum());
}

fn take_members(reader: &mut Reader<'_>) -> Result<MemberSet, Malformed> {
    let bits = reader.u8()?;
    if bits == 0 || bits >> Members::MAX != 0 {
        return Err(reader.malformed());
    }
    let mut members = MemberSet::EMPTY;
    (0..Members::MAX).filter(|member| bits & 1 << member != 0).for_each(|member| members.insert(member));
    Ok(members)
}

fn put_copies(out: &mut Vec<u8>, records: &[Copied<'_>]) {
    for record in records {
        put_bytes(out, record.key);
        put_ballot(out, record.ballot);
        put_bytes(out, record.entry);
    }
}

fn take_copies<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Vec<Copied<'a>>, Malformed> {
    let mut records = Vec::new();
    while !reader.is_empty() {
        let key = reader.bytes()?;
        let ballot = reader.ballot()?;
        let entry = reader.bytes()?;
        if ballot.is_zero() || records.len() >= most {
            return Err(reader.malformed());
        }
        records.push(Copied { key, ballot, entry });
    }
    Ok(records)
}
