//! The value cache: whole records by fingerprint, bounded in bytes.
//!
//! Reads are direct, so the kernel caches nothing. A cached record is used only while its stamp is the directory's, so
//! nothing has to be thrown out when a record is replaced.

use std::rc::Rc;

use quick_cache::unsync::Cache;
use quick_cache::Weighter;

use crate::fingerprint::{Fingerprint, FingerprintHasher};

/// What an entry takes besides its bytes, about.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// The size of record for which the cache makes room in its own tables at first; they grow where records are smaller.
const TYPICAL_RECORD_BYTES: u64 = 1024;

/// Records larger than this part of the cache are not kept: one of them would push out too much.
const LARGEST_PART: u64 = 8;

#[derive(Clone)]
struct BytesWeighter;

impl Weighter<Fingerprint, Rc<[u8]>> for BytesWeighter {
    fn weight(&self, _: &Fingerprint, record: &Rc<[u8]>) -> u64 {
        record.len() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// The value cache of one core.
pub(crate) struct ValueCache {
    cache: Cache<Fingerprint, Rc<[u8]>, BytesWeighter, FingerprintHasher>,
    largest: u64,
    pub hits: u64,
    pub misses: u64,
}

impl ValueCache {
    pub fn new(bytes: u64) -> ValueCache {
        let entries = (bytes / TYPICAL_RECORD_BYTES).max(16) as usize;
        let cache = Cache::with(entries, bytes, BytesWeighter, FingerprintHasher, Default::default());
        ValueCache { cache, largest: bytes / LARGEST_PART, hits: 0, misses: 0 }
    }

    /// The record, if it is there and `fits`.
    pub fn find(&mut self, fingerprint: Fingerprint, fits: impl Fn(&[u8]) -> bool) -> Option<Rc<[u8]>> {
        let found = self.cache.get(&fingerprint).filter(|record| fits(record)).cloned();
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        found
    }

    /// Reads the first byte of each of these records, so that the waits for memory overlap. Does not count as a use.
    pub fn warm(&self, fingerprints: impl Iterator<Item = Fingerprint>) {
        let first = |fingerprint| self.cache.peek(&fingerprint).and_then(|record| record.first().copied());
        std::hint::black_box(fingerprints.filter_map(first).fold(0, u8::wrapping_add));
    }

    /// Whether a record of this length would be kept.
    pub fn keeps(&self, bytes: usize) -> bool {
        bytes as u64 + ENTRY_OVERHEAD_BYTES <= self.largest
    }

    pub fn insert(&mut self, fingerprint: Fingerprint, record: Rc<[u8]>) {
        if self.keeps(record.len()) {
            self.cache.insert(fingerprint, record);
        }
    }

    pub fn remove(&mut self, fingerprint: Fingerprint) {
        self.cache.remove(&fingerprint);
    }

    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bytes() {
        let mut cache = ValueCache::new(64 << 10);
        for n in 0..10_000_u64 {
            let fingerprint = Fingerprint { hi: n << 40, lo: n as u16 };
            cache.insert(fingerprint, Rc::from(vec![n as u8; 100]));
            assert!(cache.bytes() <= 64 << 10);
            assert_eq!(cache.find(fingerprint, |_| true).as_deref(), Some(&[n as u8; 100][..]));
            assert_eq!(cache.find(fingerprint, |_| false), None);
        }
        let huge = Fingerprint { hi: 1, lo: 1 };
        cache.insert(huge, Rc::from(vec![0; 32 << 10]));
        assert_eq!(cache.find(huge, |_| true), None);
    }
}
