//! Deltas: records that extend the newest one of their key. A key's *chain* is a whole and the deltas that extend it, each its predecessor.
//!
//! What a delta means is its owner's affair; here it is a record like others, whose base is needed as long as it is. A whole ends the
//! chain, and so does a removal: then all of it is not needed any more. All records of a chain are of one era; when a newer one begins the
//! chain counts as a tombstone as a whole, and nothing extends it any more.

use reactor::Disk;

use crate::directory::KeyRef;
use crate::engine::Bitcask;
use crate::error::AppendError;
use crate::limits::{BASE_BYTES_MIN, DELTAS_MAX, DELTA_PART, KEY_BYTES_MAX, ROUND_MAX};
use crate::reads::Extent;
use crate::record::{self, Raw, RecordKind};
use crate::types::{ChainSize, Kind, Lsn, Read, Record, Stamp};

impl Bitcask {
    /// As [`Bitcask::append`], for a value that extends the key's newest record, the one of the stamp `base`, below its own.
    ///
    /// The base must be the newest of the key's records of all that were appended, of the era of this one and no older than that of the engine, and
    /// no removal of it ([`AppendError::Changed`] otherwise, as
    /// far as the engine can tell; that a newer one was under way which it does not know of is an assertion when the delta is durable). Whether
    /// it is durable or under way does not matter: the log is durable in order. And it stays so: no record with a stamp between them is ever
    /// appended, for recovery would take it for what is left of the chain.
    pub fn append_delta(&mut self, record: Record<'_>, base: Stamp) -> Result<Lsn, AppendError> {
        self.append_delta_as(self.key_ref(record.slot, record.key), record, base)
    }

    /// As [`Bitcask::append_delta`], for a key of which the reference is at hand. The value cache does not have deltas until somebody reads
    /// the key: then it has the whole chain.
    pub fn append_delta_as(
        &mut self,
        reference: KeyRef,
        record: Record<'_>,
        base: Stamp,
    ) -> Result<Lsn, AppendError> {
        let Record { slot, key, stamp, kind, body } = record;
        assert!(slot == reference.0 && base < stamp, "a delta is newer than what it extends");
        if stamp.round > ROUND_MAX || !self.core.directory.has_room_for(stamp) {
            return Err(AppendError::Round);
        }
        let (kind, chain) = self.check_delta(reference, key.len(), kind, base, body)?;
        let raw = Raw { kind, slot, stamp, base: Some(base), key, body };
        self.log.append_delta(&mut self.core, reference, &raw, chain)
    }

    /// Whether [`Bitcask::append_delta`] would take such a record now, as far as its stamp does not matter: see [`Bitcask::admits`].
    pub fn admits_delta_as(
        &self,
        reference: KeyRef,
        key_bytes: usize,
        kind: Kind,
        base: Stamp,
        body: &[u8],
    ) -> Result<(), AppendError> {
        let (kind, _) = self.check_delta(reference, key_bytes, kind, base, body)?;
        self.log.admits(&self.core, kind, record::delta_bytes(key_bytes, body.len()))
    }

    /// Whether the key's newest record is `base`, as far as [`Bitcask::append_delta`] can tell, and has a value that one more delta may extend, with this body, which is of its era: the chain has no more than
    /// [`DELTAS_MAX`] of them then, and they take no more than a [`DELTA_PART`]th of the whole, which has [`BASE_BYTES_MIN`] bytes at least. Says nothing of room in the log.
    pub fn takes_delta(&self, slot: u16, key: &[u8], base: Stamp, body: &[u8]) -> bool {
        self.takes_delta_as(self.key_ref(slot, key), key.len(), base, body)
    }

    /// As [`Bitcask::takes_delta`], for a key of so many bytes of which the reference is at hand.
    pub fn takes_delta_as(&self, reference: KeyRef, key_bytes: usize, base: Stamp, body: &[u8]) -> bool {
        self.chain_with(reference, key_bytes, base, body).is_ok()
    }

    /// How large the chain of a key is; none if its newest durable record is no delta.
    pub fn chain(&self, reference: KeyRef) -> Option<ChainSize> {
        self.core.directory.chain(reference)
    }

    /// As [`Bitcask::read_as`], without what the newest record extends.
    pub fn read_newest<D: Disk + ?Sized>(&mut self, disk: &mut D, reference: KeyRef, key: &[u8]) -> Read {
        self.read_record(disk, reference, Some(key), Extent::Newest)
    }

    /// As [`Bitcask::read_fingerprint`], without what the newest record extends.
    pub fn read_newest_fingerprint<D: Disk + ?Sized>(&mut self, disk: &mut D, key: KeyRef) -> Read {
        self.read_record(disk, key, None, Extent::Newest)
    }

    fn check_delta(
        &self,
        reference: KeyRef,
        key_bytes: usize,
        kind: Kind,
        base: Stamp,
        body: &[u8],
    ) -> Result<(RecordKind, ChainSize), AppendError> {
        self.check_open()?;
        assert!(matches!(kind, Kind::Value | Kind::Expiring), "what extends a value is one");
        if key_bytes > KEY_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        // On a full disk nothing that ends the chain would be taken either: who asks for that hears of the disk first.
        let kind = self.admit(reference, kind)?;
        Ok((kind, self.chain_with(reference, key_bytes, base, body)?))
    }

    /// The chain as a record with this body would make it.
    fn chain_with(
        &self,
        key: KeyRef,
        key_bytes: usize,
        base: Stamp,
        body: &[u8],
    ) -> Result<ChainSize, AppendError> {
        let bytes = record::delta_bytes(key_bytes, body.len());
        let is_base = |of: Stamp, era: u32| of == base && era == (self.core.options.era_of)(body);
        let newest = self.log.newest(&self.core, key).filter(|(stamp, era, _)| is_base(*stamp, *era));
        let (_, _, ChainSize { deltas, bytes: before, whole }) = newest.ok_or(AppendError::Changed)?;
        let chain = ChainSize { deltas: deltas + 1, bytes: before + bytes as u64, whole };
        if chain.deltas > DELTAS_MAX || chain.bytes * DELTA_PART > whole || whole < BASE_BYTES_MIN as u64 {
            return Err(AppendError::Chain);
        }
        Ok(chain)
    }
}
