//! Messages about many keys: for DBSIZE, SCAN, KEYS and their like, which are answered from a majority.
//!
//! Keys go by their fingerprints, which all hosts of a set make with one secret; so what replicas hold is compared from their
//! directories in memory, and a key itself travels only where the asker does not have its newest record.

use bitcask::Fingerprint;
use paxos::Ballot;

use super::bytes::{put_ballot, put_bytes, Malformed, Reader};
use crate::limits::{ASK_KEYS_MAX, LIST_ENTRIES_MAX, RANGE_SLOTS_MAX, SLOTS};
use crate::record::{tag_of, type_of};
use crate::state::Type;

/// Asks a replica about its part of the keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotQuery {
    /// Matches the answer to the question; bears the asker's incarnation in its upper half.
    pub id: u64,
    /// The question.
    pub ask: SlotAsk,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotAsk {
    /// Does the receiver hold the same records in these slots?
    Sums {
        /// The first slot.
        first: u16,
        /// The last slot, fewer than [`RANGE_SLOTS_MAX`] behind the first.
        last: u16,
        /// The sum, modulo 2^128, of the asker's order-free sums of these slots.
        sum: u128,
    },
    /// Which records are there, in order of slot and fingerprint?
    List {
        /// Runs of slots, first and last of each, in order, not empty.
        slots: Vec<(u16, u16)>,
        /// Where to start in the first of them.
        from: Fingerprint,
        /// At most so many: 1 or more.
        max: u16,
    },
    /// What are the keys of these fingerprints?
    Keys {
        /// Their slot.
        slot: u16,
        /// At most [`ASK_KEYS_MAX`].
        fingerprints: Vec<Fingerprint>,
    },
}

/// A replica's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotAnswer {
    /// The question.
    pub id: u64,
    /// The answer.
    pub said: SlotSaid,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotSaid {
    /// To Sums: the same records, all of them.
    Same,
    /// To Sums: others; the sum of each slot.
    Sums(Vec<u128>),
    /// To List.
    List {
        /// The records, in order.
        entries: Vec<SlotEntry>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// To Keys: some of what was asked for, at least one; the rest is asked for again.
    Keys(Vec<SlotKey>),
}

/// One record, as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotEntry {
    /// Its slot.
    pub slot: u16,
    /// Its key's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its ballot.
    pub ballot: Ballot,
    /// Whether it is a tombstone.
    pub dead: bool,
}

/// What became of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotKey {
    /// The fingerprint that was asked for.
    pub fingerprint: Fingerprint,
    /// None: there is no value.
    pub live: Option<LiveKey>,
}

/// A key with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveKey {
    /// The key.
    pub key: Vec<u8>,
    /// When it ends: wall clock milliseconds, 0 = never.
    pub expires_at_ms: u64,
    /// What the value is; None: a type of a later version.
    pub kind: Option<Type>,
}

/// In the place of a type's tag: there is a value, of a type of a later version.
const UNKNOWN_TYPE: u8 = 255;

const SUMS: u8 = 1;
const LIST: u8 = 2;
const KEYS: u8 = 3;
const SAME: u8 = 4;

impl SlotQuery {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        match &self.ask {
            SlotAsk::Sums { first, last, sum } => {
                out.push(SUMS);
                put_run(out, (*first, *last));
                out.extend_from_slice(&sum.to_le_bytes());
            }
            SlotAsk::List { slots, from, max } => {
                out.push(LIST);
                put_fingerprint(out, *from);
                out.extend_from_slice(&max.to_le_bytes());
                slots.iter().for_each(|run| put_run(out, *run));
            }
            SlotAsk::Keys { slot, fingerprints } => {
                out.push(KEYS);
                out.extend_from_slice(&slot.to_le_bytes());
                fingerprints.iter().for_each(|one| put_fingerprint(out, *one));
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<SlotQuery, Malformed> {
        let id = reader.u64()?;
        let ask = match reader.u8()? {
            SUMS => {
                let (first, last) = take_run(&mut reader)?;
                let sum = take_sum(&mut reader)?;
                reader.end()?;
                SlotAsk::Sums { first, last, sum }
            }
            LIST => {
                let (from, max) = (take_fingerprint(&mut reader)?, reader.u16()?);
                let slots = take_runs(&mut reader)?;
                if slots.is_empty() || max == 0 || usize::from(max) > LIST_ENTRIES_MAX {
                    return Err(reader.malformed());
                }
                SlotAsk::List { slots, from, max }
            }
            KEYS => {
                let slot = take_slot(&mut reader)?;
                let mut fingerprints = Vec::new();
                while !reader.is_empty() {
                    fingerprints.push(take_fingerprint(&mut reader)?);
                }
                if fingerprints.is_empty() || fingerprints.len() > ASK_KEYS_MAX {
                    return Err(reader.malformed());
                }
                SlotAsk::Keys { slot, fingerprints }
            }
            _ => return Err(reader.malformed()),
        };
        Ok(SlotQuery { id, ask })
    }
}

impl SlotAnswer {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        match &self.said {
            SlotSaid::Same => out.push(SAME),
            SlotSaid::Sums(sums) => {
                out.push(SUMS);
                sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
            }
            SlotSaid::List { entries, more } => {
                out.extend_from_slice(&[LIST, u8::from(*more)]);
                for entry in entries {
                    out.extend_from_slice(&entry.slot.to_le_bytes());
                    put_fingerprint(out, entry.fingerprint);
                    put_ballot(out, entry.ballot);
                    out.push(u8::from(entry.dead));
                }
            }
            SlotSaid::Keys(keys) => {
                out.push(KEYS);
                for key in keys {
                    put_fingerprint(out, key.fingerprint);
                    let tag = |live: &LiveKey| live.kind.map_or(UNKNOWN_TYPE, tag_of);
                    out.push(key.live.as_ref().map_or(0, tag));
                    if let Some(LiveKey { key, expires_at_ms, .. }) = &key.live {
                        out.extend_from_slice(&expires_at_ms.to_le_bytes());
                        put_bytes(out, key);
                    }
                }
            }
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<SlotAnswer, Malformed> {
        let id = reader.u64()?;
        let said = match reader.u8()? {
            SAME => {
                reader.end()?;
                SlotSaid::Same
            }
            SUMS => {
                let mut sums = Vec::new();
                while !reader.is_empty() {
                    sums.push(take_sum(&mut reader)?);
                }
                if sums.is_empty() || sums.len() > usize::from(RANGE_SLOTS_MAX) {
                    return Err(reader.malformed());
                }
                SlotSaid::Sums(sums)
            }
            LIST => {
                let more = take_flag(&mut reader)?;
                let entries = take_entries(&mut reader)?;
                // More behind nothing would be asked for again and again.
                if more && entries.is_empty() {
                    return Err(reader.malformed());
                }
                SlotSaid::List { entries, more }
            }
            KEYS => SlotSaid::Keys(take_keys(&mut reader)?),
            _ => return Err(reader.malformed()),
        };
        Ok(SlotAnswer { id, said })
    }
}

fn take_entries(reader: &mut Reader<'_>) -> Result<Vec<SlotEntry>, Malformed> {
    let mut entries: Vec<SlotEntry> = Vec::new();
    while !reader.is_empty() {
        let entry = SlotEntry {
            slot: take_slot(reader)?,
            fingerprint: take_fingerprint(reader)?,
            ballot: reader.ballot()?,
            dead: take_flag(reader)?,
        };
        let place = (entry.slot, entry.fingerprint);
        let rising = entries.last().is_none_or(|last| (last.slot, last.fingerprint) < place);
        if !rising || entries.len() >= LIST_ENTRIES_MAX {
            return Err(reader.malformed());
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn take_keys(reader: &mut Reader<'_>) -> Result<Vec<SlotKey>, Malformed> {
    let mut keys = Vec::new();
    while !reader.is_empty() {
        let fingerprint = take_fingerprint(reader)?;
        let live = match reader.u8()? {
            0 => None,
            tag => {
                let kind = type_of(tag);
                if kind.is_none() && tag != UNKNOWN_TYPE {
                    return Err(reader.malformed());
                }
                let expires_at_ms = reader.u64()?;
                Some(LiveKey { key: reader.bytes()?.to_vec(), expires_at_ms, kind })
            }
        };
        keys.push(SlotKey { fingerprint, live });
    }
    if keys.is_empty() || keys.len() > ASK_KEYS_MAX {
        return Err(reader.malformed());
    }
    Ok(keys)
}

pub(super) fn take_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed()),
    }
}

pub(super) fn put_run(out: &mut Vec<u8>, (first, last): (u16, u16)) {
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&last.to_le_bytes());
}

pub(super) fn take_slot(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let slot = reader.u16()?;
    if slot >= SLOTS {
        return Err(reader.malformed());
    }
    Ok(slot)
}

pub(super) fn take_run(reader: &mut Reader<'_>) -> Result<(u16, u16), Malformed> {
    let (first, last) = (take_slot(reader)?, take_slot(reader)?);
    if first > last || last - first >= RANGE_SLOTS_MAX {
        return Err(reader.malformed());
    }
    Ok((first, last))
}

/// Runs in order, of no more slots in all than one question may be about.
fn take_runs(reader: &mut Reader<'_>) -> Result<Vec<(u16, u16)>, Malformed> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    while !reader.is_empty() {
        let run = take_run(reader)?;
        let start = runs.first().map_or(run.0, |first| first.0);
        let rising = runs.last().is_none_or(|last| last.1 < run.0);
        if !rising || run.1 - start >= RANGE_SLOTS_MAX {
            return Err(reader.malformed());
        }
        runs.push(run);
    }
    Ok(runs)
}

pub(super) fn take_sum(reader: &mut Reader<'_>) -> Result<u128, Malformed> {
    let (low, high) = (reader.u64()?, reader.u64()?);
    Ok(u128::from(low) | u128::from(high) << 64)
}

pub(super) fn put_fingerprint(out: &mut Vec<u8>, fingerprint: Fingerprint) {
    out.extend_from_slice(&fingerprint.hi.to_le_bytes());
    out.extend_from_slice(&fingerprint.lo.to_le_bytes());
}

pub(super) fn take_fingerprint(reader: &mut Reader<'_>) -> Result<Fingerprint, Malformed> {
    Ok(Fingerprint { hi: reader.u64()?, lo: reader.u16()? })
}
