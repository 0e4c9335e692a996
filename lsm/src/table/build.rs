//! Making a table: entries in order go in, chunks of its file come out.

use reactor::{AlignedBuf, BLOCK_BYTES};

use crate::block::BlockBuilder;
use crate::envelope::{BlockKind, Codec, Packer};
use crate::limits::{CHUNK_BYTES, RESTART_ENTRIES, SECTION_BLOCKS_MAX};
use crate::ranges::Ranges;
use crate::table::footer::{Extent, Footer, FOOTER_BYTES};
use crate::table::section::SectionBuilder;
use crate::table::{SectionRef, TableMeta};

/// How a table is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildOptions {
    pub block_bytes: usize,
    pub bits_per_key: usize,
    pub codec: Codec,
}

/// A table whose bytes are all there.
#[derive(Debug)]
pub(crate) struct Built {
    pub meta: TableMeta,
    pub sections: Box<[SectionRef]>,
    pub ranges: Ranges,
}

/// A table in the making.
pub(crate) struct TableBuilder {
    options: BuildOptions,
    meta: TableMeta,
    versions: Option<(u64, u64)>,
    block: BlockBuilder,
    section: SectionBuilder,
    section_start: u64,
    sections: Vec<SectionRef>,
    packer: Packer,
    raw: Vec<u8>,
    /// What is sealed and was not taken yet; it begins at `offset` of the file.
    out: Vec<u8>,
    offset: u64,
}

impl TableBuilder {
    pub fn new(id: u64, options: BuildOptions) -> TableBuilder {
        TableBuilder {
            options,
            meta: TableMeta { id, ..TableMeta::default() },
            versions: None,
            block: BlockBuilder::new(RESTART_ENTRIES),
            section: SectionBuilder::default(),
            section_start: 0,
            sections: Vec::new(),
            packer: Packer::default(),
            raw: Vec::new(),
            out: Vec::new(),
            offset: 0,
        }
    }

    pub fn id(&self) -> u64 {
        self.meta.id
    }

    /// Bytes of the file so far, about.
    pub fn bytes(&self) -> u64 {
        self.offset + self.out.len() as u64 + self.block.bytes() as u64 / 2
    }

    /// Adds an entry behind those that are there. All versions of a key are in one block.
    pub fn add(&mut self, key: &[u8], version: u64, value: Option<&[u8]>) {
        let is_new = self.block.is_empty() || self.block.last() != key;
        if is_new && self.block.bytes() >= self.options.block_bytes {
            let separator = separator(self.block.last(), key);
            self.end_block(&separator);
        }
        assert!(self.block.is_empty() || self.block.last() <= key, "entries come in order");
        if self.meta.entries == 0 {
            self.meta.first = key.into();
        }
        if is_new {
            self.section.add_key(key);
        }
        self.block.add(key, version, value);
        self.meta.entries += 1;
        self.meta.deletions += u64::from(value.is_none());
        let (oldest, newest) = self.versions.unwrap_or((version, version));
        self.versions = Some((oldest.min(version), newest.max(version)));
    }

    fn end_block(&mut self, separator: &[u8]) {
        self.raw.clear();
        self.block.finish(&mut self.raw);
        let place = self.offset + self.out.len() as u64;
        let before = self.out.len();
        let place = (self.meta.id, place);
        self.packer.seal(&mut self.out, &self.raw, BlockKind::Data, self.options.codec, place);
        self.section.add_block(separator, self.out.len() - before);
        if self.section.blocks() >= SECTION_BLOCKS_MAX {
            self.end_section();
        }
    }

    fn end_section(&mut self) {
        if self.section.blocks() == 0 {
            return;
        }
        let mut raw = Vec::new();
        let separator = self.section.finish(self.options.bits_per_key, &mut raw);
        let Extent { offset, bytes } = self.put(&raw, BlockKind::Section);
        self.sections.push(SectionRef { separator, start: self.section_start, offset, bytes });
        self.section_start = offset + u64::from(bytes);
    }

    /// Adds a block that is not compressed: what it holds is looked at for each key, or once.
    fn put(&mut self, raw: &[u8], kind: BlockKind) -> Extent {
        let offset = self.offset + self.out.len() as u64;
        let before = self.out.len();
        self.packer.seal(&mut self.out, raw, kind, Codec::None, (self.meta.id, offset));
        Extent { offset, bytes: (self.out.len() - before) as u32 }
    }

    /// Adds the range deletions, and all that follows the entries. The chunks that are left are to be taken then.
    pub fn finish(&mut self, ranges: Ranges) -> Built {
        if !self.block.is_empty() {
            let last = self.block.last().to_vec();
            self.meta.end = after(&last);
            self.end_block(&last);
        }
        self.end_section();
        if let Some((first, end)) = ranges.bounds() {
            let is_alone = self.meta.entries == 0;
            if is_alone || *first < *self.meta.first {
                self.meta.first = first.into();
            }
            if is_alone || *end > *self.meta.end {
                self.meta.end = end.into();
            }
        }
        self.meta.ranges = ranges.count() as u64;
        let both = self.versions.into_iter().chain(ranges.versions());
        (self.meta.oldest, self.meta.newest) =
            both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).expect("a table has something");
        let mut footer = Footer { table: self.meta.id, ..Footer::default() };
        if !ranges.is_empty() {
            let mut raw = Vec::new();
            ranges.encode(&mut raw);
            footer.ranges = self.put(&raw, BlockKind::Ranges);
        }
        let mut raw = Vec::new();
        self.sections.iter().for_each(|section| section.encode(&mut raw));
        footer.sections = self.put(&raw, BlockKind::Sections);
        // The file's length is not known before this block is: the manifest has it.
        let mut raw = Vec::new();
        self.meta.encode(&mut raw);
        footer.statistics = self.put(&raw, BlockKind::Statistics);
        let end = self.offset as usize % BLOCK_BYTES + self.out.len() + FOOTER_BYTES;
        let padding = end.next_multiple_of(BLOCK_BYTES) - end;
        self.out.resize(self.out.len() + padding, 0);
        self.out.extend_from_slice(&footer.encode());
        self.meta.bytes = self.offset + self.out.len() as u64;
        let sections = std::mem::take(&mut self.sections).into();
        Built { meta: self.meta.clone(), sections, ranges }
    }

    /// The next chunk of the file, and where it goes, if there is a whole one; at the `end` a shorter one too.
    pub fn next_chunk(&mut self, end: bool) -> Option<(u64, AlignedBuf)> {
        let bytes = match self.out.len() {
            0 => return None,
            there if there >= CHUNK_BYTES => CHUNK_BYTES,
            there if end => there,
            _ => return None,
        };
        assert!(bytes.is_multiple_of(BLOCK_BYTES), "a file is whole blocks");
        let chunk = AlignedBuf::from_padded(&self.out[..bytes]);
        let at = self.offset;
        self.out.drain(..bytes);
        self.offset += bytes as u64;
        Some((at, chunk))
    }
}

/// The shortest key that is not below `last`, and is below `next`.
fn separator(last: &[u8], next: &[u8]) -> Box<[u8]> {
    assert!(last < next, "keys come in order");
    let shared = last.iter().zip(next).take_while(|(a, b)| a == b).count();
    match last.get(shared) {
        // What `next` begins with, one byte beyond what they share, is above `last`; unless it is all of `next`.
        Some(_) if shared + 1 < next.len() => next[..=shared].into(),
        _ => last.into(),
    }
}

/// The first key above this one.
pub(crate) fn after(key: &[u8]) -> Box<[u8]> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;

    #[test]
    fn a_separator_separates() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let key = |rng: &mut Rng| -> Vec<u8> { (0..rng.below(5)).map(|_| rng.below(3) as u8).collect() };
            let (mut low, mut high) = (key(&mut rng), key(&mut rng));
            if low == high {
                continue;
            }
            if low > high {
                std::mem::swap(&mut low, &mut high);
            }
            let between = separator(&low, &high);
            assert!(*low <= *between && *between < *high, "{low:?} {between:?} {high:?}");
        }
        assert_eq!(*separator(b"chat:1:zzzz", b"chat:2:aaaa"), *b"chat:2");
    }
}
