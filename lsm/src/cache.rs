//! The block cache of one core, bounded in bytes. Reads are direct, so the kernel caches nothing.

use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use quick_cache::unsync::Cache;
use quick_cache::Weighter;

use crate::block::Block;
use crate::table::Section;

/// What an entry takes besides its bytes, about.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// The size of block for which the cache makes room in its own tables at first.
const TYPICAL_BLOCK_BYTES: u64 = 16 << 10;

/// A block in memory.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    Data(Rc<Block>),
    Section(Rc<Section>),
}

impl Cached {
    fn memory_bytes(&self) -> usize {
        match self {
            Cached::Data(block) => block.memory_bytes(),
            Cached::Section(section) => section.memory_bytes(),
        }
    }
}

#[derive(Clone)]
struct BytesWeighter;

impl Weighter<(u64, u64), Cached> for BytesWeighter {
    fn weight(&self, _: &(u64, u64), cached: &Cached) -> u64 {
        cached.memory_bytes() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// Mixes a table's number and a place. Clients choose neither, and what is thrown out must follow from the calls alone.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Blocks by the table's number and their place in its file.
pub(crate) struct BlockCache {
    cache: Cache<(u64, u64), Cached, BytesWeighter, BuildHasherDefault<PlaceHasher>>,
    pub hits: u64,
    pub misses: u64,
}

impl BlockCache {
    pub fn new(bytes: u64) -> BlockCache {
        let entries = (bytes / TYPICAL_BLOCK_BYTES).max(16) as usize;
        let cache = Cache::with(entries, bytes, BytesWeighter, Default::default(), Default::default());
        BlockCache { cache, hits: 0, misses: 0 }
    }

    #[inline]
    pub fn find(&mut self, table: u64, offset: u64) -> Option<Cached> {
        let found = self.cache.get(&(table, offset)).cloned();
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        found
    }

    pub fn insert(&mut self, table: u64, offset: u64, cached: Cached) {
        self.cache.insert((table, offset), cached);
    }

    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}
