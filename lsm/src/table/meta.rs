//! What the manifest says of a table.

use crate::limits::NUMBER_MAX;
use crate::varint::{self, Reader};

/// A table, as the manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableMeta {
    /// Names its file; never given out twice.
    pub id: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Entries, deletions included.
    pub entries: u64,
    /// Entries that are deletions.
    pub deletions: u64,
    /// Range deletions, by fragment.
    pub ranges: u64,
    /// The oldest version of anything in it, as it counts in the tree.
    pub oldest: u64,
    /// The newest version of anything in it.
    pub newest: u64,
    /// What is added to the versions in the file: not 0 for a table that was taken in whole, whose versions were not known when it
    /// was written.
    pub base: u64,
    /// The first key, of an entry or a range deletion.
    pub first: Box<[u8]>,
    /// Above all keys.
    pub end: Box<[u8]>,
}

impl TableMeta {
    /// Whether it has keys from `first` on and below `end`.
    pub fn overlaps(&self, first: &[u8], end: &[u8]) -> bool {
        *self.first < *end && *first < *self.end
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        for number in [
            self.id,
            self.bytes,
            self.entries,
            self.deletions,
            self.ranges,
            self.oldest,
            self.newest,
            self.base,
        ] {
            varint::put(out, number);
        }
        varint::put_bytes(out, &self.first);
        varint::put_bytes(out, &self.end);
    }

    pub fn decode(reader: &mut Reader<'_>) -> Option<TableMeta> {
        let meta = TableMeta {
            id: reader.number()?,
            bytes: reader.number()?,
            entries: reader.number()?,
            deletions: reader.number()?,
            ranges: reader.number()?,
            oldest: reader.number()?,
            newest: reader.number()?,
            base: reader.number()?,
            first: reader.bytes()?.into(),
            end: reader.bytes()?.into(),
        };
        let are_versions = meta.oldest.max(meta.base) <= meta.newest && meta.newest <= NUMBER_MAX;
        (meta.first < meta.end && are_versions && meta.id <= NUMBER_MAX).then_some(meta)
    }
}
