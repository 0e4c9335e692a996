//! Sections: where the blocks of a part of a table lie, and which keys it certainly has not.

use crate::envelope::{BlockError, ENVELOPE_BYTES};
use crate::filter;
use crate::limits::{BLOCK_DISK_BYTES_MAX, KEY_BYTES_MAX};
use crate::varint::{self, Reader};

/// Where a section lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionRef {
    /// Not below any of its keys, and below all of the next section's.
    pub separator: Box<[u8]>,
    /// Where its data begins, in bytes from the start of the file.
    pub start: u64,
    /// Where its data ends and its own block begins.
    pub offset: u64,
    /// Bytes of its own block, envelope included.
    pub bytes: u32,
}

impl SectionRef {
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put_bytes(out, &self.separator);
        varint::put(out, self.start);
        varint::put(out, self.offset);
        varint::put(out, u64::from(self.bytes));
    }

    /// Reads the sections of a table of so many bytes.
    pub fn decode_all(bytes: &[u8], file_bytes: u64) -> Option<Box<[SectionRef]>> {
        let mut reader = Reader::new(bytes);
        let mut sections: Vec<SectionRef> = Vec::new();
        while !reader.is_empty() {
            let separator: Box<[u8]> = reader.bytes()?.into();
            let (start, offset) = (reader.number()?, reader.number()?);
            let section =
                SectionRef { separator, start, offset, bytes: u32::try_from(reader.number()?).ok()? };
            let end = offset.checked_add(u64::from(section.bytes))?;
            let follows = sections.last().is_none_or(|last| {
                last.separator < section.separator && last.offset + u64::from(last.bytes) <= section.start
            });
            let is_block = is_block(u64::from(section.bytes));
            if section.start > section.offset || end > file_bytes || !is_block || !follows {
                return None;
            }
            sections.push(section);
        }
        Some(sections.into())
    }
}

/// Whether a block, with its envelope, can have so many bytes.
fn is_block(bytes: u64) -> bool {
    (ENVELOPE_BYTES as u64..=(ENVELOPE_BYTES + BLOCK_DISK_BYTES_MAX) as u64).contains(&bytes)
}

/// Gathers a section while its blocks are written.
#[derive(Debug, Default)]
pub(crate) struct SectionBuilder {
    /// Separator of each block, and how many bytes it takes.
    blocks: Vec<(Box<[u8]>, u32)>,
    hashes: Vec<u64>,
}

impl SectionBuilder {
    pub fn add_key(&mut self, key: &[u8]) {
        self.hashes.push(filter::hash(key));
    }

    pub fn add_block(&mut self, separator: &[u8], bytes: usize) {
        self.blocks.push((separator.into(), bytes as u32));
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The bytes of its block, and its separator; it is empty again afterwards.
    pub fn finish(&mut self, bits_per_key: usize, out: &mut Vec<u8>) -> Box<[u8]> {
        let separator = self.blocks.last().map(|(separator, _)| separator.clone()).unwrap_or_default();
        varint::put_bytes(out, &filter::build(&self.hashes, bits_per_key));
        varint::put(out, self.blocks.len() as u64);
        for (separator, bytes) in self.blocks.drain(..) {
            varint::put_bytes(out, &separator);
            varint::put(out, u64::from(bytes));
        }
        self.hashes.clear();
        separator
    }
}

/// A section in memory.
#[derive(Debug)]
pub(crate) struct Section {
    filter: Box<[u8]>,
    separators: Box<[u8]>,
    /// Where each separator ends.
    ends: Box<[u32]>,
    /// Where each block lies: from the section's start, and how many bytes.
    blocks: Box<[(u32, u32)]>,
}

impl Section {
    /// Takes the raw bytes of a section's block. `data_bytes`: of the data that it is about.
    pub fn parse(bytes: &[u8], data_bytes: u64) -> Result<Section, BlockError> {
        Section::read(bytes, data_bytes).ok_or(BlockError::Content("the section's index makes no sense"))
    }

    fn read(bytes: &[u8], data_bytes: u64) -> Option<Section> {
        let mut reader = Reader::new(bytes);
        let filter = reader.bytes()?.into();
        let count = reader.number()?;
        let (mut separators, mut ends, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0_u64;
        let mut last: Option<&[u8]> = None;
        for _ in 0..count {
            let separator = reader.bytes()?;
            let block_bytes = reader.number()?;
            let is_sorted = last.is_none_or(|last| last < separator);
            if separator.len() > KEY_BYTES_MAX || !is_sorted || !is_block(block_bytes) {
                return None;
            }
            last = Some(separator);
            separators.extend_from_slice(separator);
            ends.push(u32::try_from(separators.len()).ok()?);
            blocks.push((u32::try_from(at).ok()?, block_bytes as u32));
            at += block_bytes;
        }
        let fits = at == data_bytes && reader.is_empty() && count > 0;
        fits.then(|| Section {
            filter,
            separators: separators.into(),
            ends: ends.into(),
            blocks: blocks.into(),
        })
    }

    /// Whether the key of this hash may be there.
    #[inline]
    pub fn may_have(&self, hash: u64) -> bool {
        filter::may_have(&self.filter, hash)
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The block that has the key, if it is there: the first one whose separator is not below it.
    pub fn block_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.separator(middle) < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low.min(self.blocks.len() - 1)
    }

    fn separator(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.separators[start..self.ends[index] as usize]
    }

    /// Where a block lies: bytes from the section's start, and how many of them.
    pub fn block(&self, index: usize) -> (u64, usize) {
        let (start, bytes) = self.blocks[index];
        (u64::from(start), bytes as usize)
    }

    /// About what it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.filter.len() + self.separators.len() + 12 * self.blocks.len() + 96
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;

    fn built() -> (Vec<u8>, u64) {
        let mut builder = SectionBuilder::default();
        for n in 0..100_u8 {
            builder.add_key(&[n]);
            if n % 10 == 9 {
                builder.add_block(&[n], 1_000 + n as usize);
            }
        }
        let mut bytes = Vec::new();
        assert_eq!(*builder.finish(10, &mut bytes), [99]);
        (bytes, (0..10).map(|n| 1_009 + 10 * n).sum())
    }

    #[test]
    fn it_knows_where_keys_lie() {
        let (bytes, data_bytes) = built();
        let section = Section::parse(&bytes, data_bytes).unwrap();
        for n in 0..100_u8 {
            assert_eq!(section.block_of(&[n]), n as usize / 10);
            assert!(section.may_have(filter::hash(&[n])));
        }
        assert_eq!(section.block(2), (1_009 + 1_019, 1_029));
        assert_eq!(section.blocks(), 10);
    }

    #[test]
    fn sections_that_no_block_can_be_are_refused() {
        let of = |bytes: u32| {
            let mut out = Vec::new();
            SectionRef { separator: [1].into(), start: 0, offset: 64, bytes }.encode(&mut out);
            SectionRef::decode_all(&out, 1 << 40).is_some()
        };
        assert!(!of(0) && !of(15) && of(16) && of(4_096) && !of(u32::MAX));
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let (bytes, data_bytes) = built();
        assert!(Section::parse(&bytes, data_bytes + 1).is_err());
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let mut other = bytes.clone();
            let at = rng.below(other.len() as u64) as usize;
            other[at] = rng.next_u64() as u8;
            other.truncate(rng.below(2 * other.len() as u64) as usize);
            if let Ok(section) = Section::parse(&other, data_bytes) {
                section.block_of(&[50]);
                section.may_have(rng.next_u64());
            }
        }
    }
}
