//! The flush epoch of an entry: in front of its bytes, and what it makes of the entry in a newer one. Pure.
//!
//! ```text
//! 16 u8 | epoch varint, not 0 | the entry in one of the other formats
//! ```
//!
//! An entry of epoch 0 has nothing in front of it. One of [`EVER`] is never older than an epoch: the catalog of tables is no client's, and
//! outlives flushes.

use reactor::mutants::planted;

use crate::command::{put_varint, Reader};
use crate::limits::FLUSH_EPOCH_MAX;
use crate::record::Record;
use crate::wire::bytes::Malformed;

/// The first byte of an entry that bears an epoch.
const FORMAT_IN_EPOCH: u8 = 16;

/// What entries bear that count for every epoch: those of the catalog's key, and no others.
pub(crate) const EVER: u32 = u32::MAX;
const _: () = assert!(EVER > FLUSH_EPOCH_MAX);

const MALFORMED_EPOCH: Malformed = Malformed("record: its flush epoch makes no sense");

/// Puts what stands in front of an entry.
pub(crate) fn put(epoch: u32, out: &mut Vec<u8>) {
    assert!(epoch <= FLUSH_EPOCH_MAX || epoch == EVER, "flush epochs are bounded when they are taken on");
    if epoch > 0 {
        out.push(FORMAT_IN_EPOCH);
        put_varint(out, epoch.into());
    }
}

/// The epoch of an entry, and the rest of its bytes.
pub(crate) fn split(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let Some((&FORMAT_IN_EPOCH, rest)) = bytes.split_first() else { return Ok((0, bytes)) };
    let mut reader = Reader::new(rest);
    let epoch = reader.varint().ok().and_then(|epoch| u32::try_from(epoch).ok());
    let is_valid = |epoch: &u32| (1..=FLUSH_EPOCH_MAX).contains(epoch) || *epoch == EVER;
    let epoch = epoch.filter(is_valid).ok_or(MALFORMED_EPOCH)?;
    Ok((epoch, reader.rest()))
}

/// The epoch of an entry; 0 where its bytes do not say.
pub(crate) fn of(bytes: &[u8]) -> u32 {
    split(bytes).map_or(0, |(epoch, _)| epoch)
}

/// Whether an entry is of an older epoch than this, and so a tombstone.
pub(crate) fn is_older(bytes: &[u8], epoch: u32) -> bool {
    epoch > 0 && of(bytes) < epoch
}

impl Record {
    /// The flush epoch of an encoding, whole or a delta; 0 where its bytes do not say. What a log's engine is told as `era_of`: it has one era for
    /// all that a slot holds, and takes what counts for every epoch for dead after the first flush; so nothing goes by what it says of that
    /// (`Shard::is_catalogs`).
    pub fn epoch_of(bytes: &[u8]) -> u32 {
        Some(of(bytes)).filter(|epoch| *epoch != EVER).unwrap_or(0)
    }

    /// Reads an encoding as what it is in an epoch.
    pub fn decode_in(bytes: &[u8], epoch: u32) -> Result<Record, Malformed> {
        Ok(Record::decode(bytes)?.in_epoch(epoch))
    }

    /// What it is in an epoch: if it is of an older one, a tombstone with its ids, and with nothing of joint commands. What was done in an older one
    /// is not told any more: nobody knows whether that was before the flush, or is as good as not there.
    pub fn in_epoch(mut self, epoch: u32) -> Record {
        if self.epoch >= epoch {
            return self;
        }
        if self.value.take().is_some() {
            // Above that of the value, and below that of whatever is written later.
            self.version += 1;
        }
        (self.epoch, self.expires_at_ms, self.ties) = (epoch, 0, None);
        if !planted(532) {
            self.applied.doubt();
            self.requests.doubt();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joint::{Claim, JointId, Ties};
    use crate::limits::VERSION_MAX;
    use crate::record::{CommandId, Known};
    use crate::requests::Remembered;
    use crate::state::Value;

    fn record() -> Record {
        let mut record = Record {
            version: 7,
            epoch: 3,
            value: Some(Value::Str(b"value".to_vec())),
            expires_at_ms: 9,
            ..Record::default()
        };
        record.applied.insert(CommandId { node: 1, incarnation: 1, seq: 5 }, b"reply");
        record.requests.insert(b"client", 4, b"reply", 8);
        let claim = Claim { id: JointId { node: 1, incarnation: 1, seq: 1 }, anchor: (*b"k").into() };
        record.ties = Some(Box::new(Ties { claim: Some(claim), decisions: Vec::new() }));
        record
    }

    #[test]
    fn an_older_entry_is_a_tombstone_that_remembers_ids() {
        let (record, id) = (record(), CommandId { node: 1, incarnation: 1, seq: 5 });
        assert_eq!(record.clone().in_epoch(3), record);
        assert_eq!(record.clone().in_epoch(2), record);
        let older = record.clone().in_epoch(4);
        assert_eq!((older.epoch, older.version, older.value.clone(), older.expires_at_ms), (4, 8, None, 0));
        assert_eq!((older.ties.clone(), older.requests.used_ms()), (None, 8));
        assert_eq!(older.applied.find(id), Known::Applied(Some((*b"").into())));
        assert_eq!(older.requests.find(b"client", 4), Remembered::Done(Some((*b"").into())));
        // A tombstone stays as it is, however many epochs follow.
        assert_eq!(older.clone().in_epoch(9), Record { epoch: 9, ..older });
    }

    #[test]
    fn versions_leave_room_for_one_more() {
        for (version, valid) in [(VERSION_MAX - 1, true), (VERSION_MAX, false), (u64::MAX, false)] {
            let mut bytes = Vec::new();
            Record { version, ..record() }.encode(&mut bytes);
            assert_eq!(Record::check(&bytes).is_ok(), valid, "{version}");
            let read = Record::decode_in(&bytes, 4).map(|record| record.version);
            assert_eq!(read.ok(), valid.then(|| version + 1), "{version}");
        }
    }

    #[test]
    fn the_epoch_stands_in_front() {
        for epoch in [0, 1, 127, 128, FLUSH_EPOCH_MAX, EVER] {
            let record = Record { epoch, ..record() };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!((of(&bytes), Record::check(&bytes)), (epoch, Ok(())));
            assert_eq!(Record::decode(&bytes), Ok(record.clone()));
            let next = epoch.saturating_add(1);
            assert_eq!((is_older(&bytes, epoch), is_older(&bytes, next)), (false, epoch != EVER));
            assert_eq!(Record::decode_in(&bytes, next), Ok(record.clone().in_epoch(next)));
            assert_eq!(Record::epoch_of(&bytes), if epoch == EVER { 0 } else { epoch });
            assert_eq!(record.clone().in_epoch(FLUSH_EPOCH_MAX) == record, epoch >= FLUSH_EPOCH_MAX);
            assert!(
                Record::is_tied(&bytes)
                    && Record::is_claimed(&bytes)
                    && Record::is_tombstone(&bytes) == Ok(false)
            );
            let before = bytes.len();
            (0..before).for_each(|end| assert!(Record::check(&bytes[..end]).is_err(), "cut at {end}"));
        }
    }

    #[test]
    fn epochs_that_nobody_writes_are_refused() {
        let mut plain = Vec::new();
        Record::default().encode(&mut plain);
        let over = u64::from(FLUSH_EPOCH_MAX) + 1;
        let (ever, last) = (u64::from(EVER), u64::MAX);
        for (epoch, valid) in
            [(0, false), (1, true), (over, false), (ever - 1, false), (ever, true), (last, false)]
        {
            let mut bytes = vec![FORMAT_IN_EPOCH];
            put_varint(&mut bytes, epoch);
            bytes.extend_from_slice(&plain);
            assert_eq!(Record::check(&bytes).is_ok(), valid, "{epoch}");
            assert_eq!(Record::decode(&bytes).is_ok(), valid, "{epoch}");
        }
        let twice = [&[FORMAT_IN_EPOCH, 1, FORMAT_IN_EPOCH, 1], &plain[..]].concat();
        assert!(Record::check(&twice).is_err() && Record::decode(&twice).is_err());
        assert!(Record::check(&[FORMAT_IN_EPOCH, 0x81, 0]).is_err(), "longer than need be");
    }
}
