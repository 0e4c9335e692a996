//! Messages of the batched confirm: names of slots, and what was counted for them (docs/design/batched-confirm.md).

use bitcask::Fingerprint;
use paxos::Ballot;

use super::bytes::{put_ballot, Malformed, Reader};
use super::keyspace::{put_fingerprint, put_run, take_fingerprint, take_flag, take_slot};
use crate::limits::{COUNTED_RING_MAX, NAMED_RANGES_MAX};

/// A moment of the counter that a member has for another. The member's start is in the head of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What the slots were named under; bears the incarnation of who named them in its upper half. 0: there is no counter.
    pub subscription: u64,
    /// Votes counted.
    pub count: u64,
}

/// The sender is preferred for these slots, and has votes for their keys counted from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its number for that, which bears its incarnation in the upper half.
    pub subscription: u64,
    /// Runs of slots, first and last of each, in order and apart; 1 to [`NAMED_RANGES_MAX`].
    pub named: Vec<(u16, u16)>,
}

/// What did the receiver count since?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Grows with each question of a start of the asker.
    pub id: u64,
    /// Up to where the two are abreast.
    pub place: Counted,
    /// The receiver's start that this is about.
    pub incarnation: u32,
}

/// The answer to a [`Confirm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The question.
    pub id: u64,
    /// What was counted.
    pub told: Told,
}

/// What a member has counted since a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The count that was asked about.
    pub from: u64,
    /// Where the counter stands now.
    pub place: Counted,
    /// What was counted between the two, by fingerprint and ballot; at most [`COUNTED_RING_MAX`]. None: that is not known any more,
    /// or the counter is not the one that was meant.
    pub records: Option<Vec<(Fingerprint, Ballot)>>,
}

pub(super) fn put_counted(out: &mut Vec<u8>, counted: Counted) {
    out.extend_from_slice(&counted.subscription.to_le_bytes());
    out.extend_from_slice(&counted.count.to_le_bytes());
}

pub(super) fn take_counted(reader: &mut Reader<'_>) -> Result<Counted, Malformed> {
    Ok(Counted { subscription: reader.u64()?, count: reader.u64()? })
}

pub(super) fn put_slots(out: &mut Vec<u8>, slots: &[(u16, u16)]) {
    slots.iter().for_each(|run| put_run(out, *run));
}

/// Runs of slots up to the end: in order and apart.
pub(super) fn take_slots(reader: &mut Reader<'_>) -> Result<Vec<(u16, u16)>, Malformed> {
    let mut slots: Vec<(u16, u16)> = Vec::new();
    while !reader.is_empty() {
        let (first, last) = (take_slot(reader)?, take_slot(reader)?);
        let rising = slots.last().is_none_or(|(_, before)| *before < first);
        if !rising || last < first || slots.len() >= NAMED_RANGES_MAX {
            return Err(reader.malformed());
        }
        slots.push((first, last));
    }
    if slots.is_empty() {
        return Err(reader.malformed());
    }
    Ok(slots)
}

pub(super) fn put_told(out: &mut Vec<u8>, told: &Told) {
    out.extend_from_slice(&told.from.to_le_bytes());
    put_counted(out, told.place);
    out.push(u8::from(told.records.is_some()));
    for (fingerprint, ballot) in told.records.iter().flatten() {
        put_fingerprint(out, *fingerprint);
        put_ballot(out, *ballot);
    }
}

/// What was counted, up to the end.
pub(super) fn take_told(reader: &mut Reader<'_>) -> Result<Told, Malformed> {
    let (from, place) = (reader.u64()?, take_counted(reader)?);
    if !take_flag(reader)? {
        let told = Told { from, place, records: None };
        return if reader.is_empty() { Ok(told) } else { Err(reader.malformed()) };
    }
    let mut records = Vec::new();
    while !reader.is_empty() {
        let (fingerprint, ballot) = (take_fingerprint(reader)?, reader.ballot()?);
        if ballot.is_zero() || records.len() >= COUNTED_RING_MAX {
            return Err(reader.malformed());
        }
        records.push((fingerprint, ballot));
    }
    Ok(Told { from, place, records: Some(records) })
}

impl Name {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.subscription.to_le_bytes());
        put_slots(out, &self.named);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Name, Malformed> {
        let subscription = reader.u64()?;
        Ok(Name { subscription, named: take_slots(&mut reader)? })
    }
}

impl Confirm {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        put_counted(out, self.place);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Confirm, Malformed> {
        let (id, place) = (reader.u64()?, take_counted(&mut reader)?);
        let incarnation = reader.u32()?;
        reader.end()?;
        Ok(Confirm { id, place, incarnation })
    }
}

impl Confirmed {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        put_told(out, &self.told);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Confirmed, Malformed> {
        let id = reader.u64()?;
        Ok(Confirmed { id, told: take_told(&mut reader)? })
    }
}
