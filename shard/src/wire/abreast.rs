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

impl Name {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.subscription.to_le_bytes());
        self.named.iter().for_each(|run| put_run(out, *run));
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Name, Malformed> {
        let subscription = reader.u64()?;
        let mut named: Vec<(u16, u16)> = Vec::new();
        while !reader.is_empty() {
            let (first, last) = (take_slot(&mut reader)?, take_slot(&mut reader)?);
            let rising = named.last().is_none_or(|(_, before)| *before < first);
            if !rising || last < first || named.len() >= NAMED_RANGES_MAX {
                return Err(reader.malformed());
            }
            named.push((first, last));
        }
        if named.is_empty() {
            return Err(reader.malformed());
        }
        Ok(Name { subscription, named })
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
        out.extend_from_slice(&self.from.to_le_bytes());
        put_counted(out, self.place);
        out.push(u8::from(self.records.is_some()));
        for (fingerprint, ballot) in self.records.iter().flatten() {
            put_fingerprint(out, *fingerprint);
            put_ballot(out, *ballot);
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Confirmed, Malformed> {
        let (id, from, place) = (reader.u64()?, reader.u64()?, take_counted(&mut reader)?);
        if !take_flag(&mut reader)? {
            reader.end()?;
            return Ok(Confirmed { id, from, place, records: None });
        }
        let mut records = Vec::new();
        while !reader.is_empty() {
            let (fingerprint, ballot) = (take_fingerprint(&mut reader)?, reader.ballot()?);
            if ballot.is_zero() || records.len() >= COUNTED_RING_MAX {
                return Err(reader.malformed());
            }
            records.push((fingerprint, ballot));
        }
        Ok(Confirmed { id, from, place, records: Some(records) })
    }
}
