//! Messages of the range promise (docs/design/range-promise.md).

use paxos::Ballot;

use super::abreast::{put_counted, put_slots, put_told, take_counted, take_slots, take_told};
use super::bytes::{put_ballot, Malformed, Reader};
use super::{Counted, Told};

/// Asks for a promise for all keys of some slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePrepare {
    /// The ballot, of the sender's present start.
    pub ballot: Ballot,
    /// Up to where the two are abreast.
    pub place: Counted,
    /// The receiver's start that this is about.
    pub incarnation: u32,
    /// Runs of slots, first and last of each, in order and apart; 1 to [`crate::limits::NAMED_RANGES_MAX`].
    pub slots: Vec<(u16, u16)>,
}

/// It is promised, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePromise {
    /// The ballot.
    pub ballot: Ballot,
    /// What was counted since the place of the question, as of a moment after the promise.
    pub told: Told,
}

/// It is not promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRefused {
    /// The ballot.
    pub ballot: Ballot,
    /// A higher one that is promised for some of the slots.
    pub promised: Ballot,
}

impl RangePrepare {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_ballot(out, self.ballot);
        put_counted(out, self.place);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        put_slots(out, &self.slots);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<RangePrepare, Malformed> {
        let ballot = take_ballot(&mut reader)?;
        let (place, incarnation) = (take_counted(&mut reader)?, reader.u32()?);
        let slots = take_slots(&mut reader)?;
        Ok(RangePrepare { ballot, place, incarnation, slots })
    }
}

impl RangePromise {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_ballot(out, self.ballot);
        put_told(out, &self.told);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<RangePromise, Malformed> {
        let ballot = take_ballot(&mut reader)?;
        Ok(RangePromise { ballot, told: take_told(&mut reader)? })
    }
}

impl RangeRefused {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_ballot(out, self.ballot);
        put_ballot(out, self.promised);
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<RangeRefused, Malformed> {
        let (ballot, promised) = (take_ballot(&mut reader)?, reader.ballot()?);
        reader.end()?;
        Ok(RangeRefused { ballot, promised })
    }
}

fn take_ballot(reader: &mut Reader<'_>) -> Result<Ballot, Malformed> {
    let ballot = reader.ballot()?;
    if ballot.is_zero() {
        return Err(reader.malformed());
    }
    Ok(ballot)
}
