//! Blocks of sorted entries: prefix-compressed keys with restart points (docs/formats/table.md).
//!
//! An entry is a key, a version and a value, or no value where the key was deleted. Entries are sorted by key, and those of one key from
//! the newest version to the oldest. A block is checked from end to end when it is read from disk; from then on its bytes are believed.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::envelope::BlockError;
use crate::limits::{KEY_BYTES_MAX, NUMBER_MAX};
use crate::varint;

/// Builds a block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    restart_entries: usize,
    entries: usize,
    last: Vec<u8>,
}

impl BlockBuilder {
    /// An empty one. Every so manieth entry has its whole key.
    pub fn new(restart_entries: usize) -> BlockBuilder {
        BlockBuilder { restart_entries, ..BlockBuilder::default() }
    }

    /// Adds an entry behind those that are there.
    pub fn add(&mut self, key: &[u8], version: u64, value: Option<&[u8]>) {
        let shared = match self.entries.is_multiple_of(self.restart_entries) {
            true => {
                self.restarts.push(self.bytes.len() as u32);
                0
            }
            false => self.last.iter().zip(key).take_while(|(ours, theirs)| ours == theirs).count(),
        };
        varint::put(&mut self.bytes, shared as u64);
        varint::put(&mut self.bytes, (key.len() - shared) as u64);
        varint::put(&mut self.bytes, version << 1 | u64::from(value.is_some()));
        if let Some(value) = value {
            varint::put(&mut self.bytes, value.len() as u64);
        }
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.entries += 1;
    }

    /// The key that was added last.
    pub fn last(&self) -> &[u8] {
        &self.last
    }

    /// Bytes that the block would have.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len() + 4
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The block's bytes; it is empty again afterwards.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        self.restarts.iter().for_each(|restart| out.extend_from_slice(&restart.to_le_bytes()));
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.bytes.clear();
        self.restarts.clear();
        self.last.clear();
        self.entries = 0;
    }
}

/// A block in memory.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Box<[u8]>,
    /// Where the entries end and the restart points begin.
    end: usize,
}

/// An entry as it lies in its block.
#[derive(Clone, Copy, Debug)]
struct Raw {
    shared: usize,
    /// Where the rest of the key begins.
    suffix: usize,
    /// Where the rest of the key ends and the value begins.
    value: usize,
    /// Where the next entry begins.
    end: usize,
    version: u64,
    has_value: bool,
}

impl Block {
    /// Takes bytes that were read, if they are a block from end to end.
    pub fn parse(bytes: Box<[u8]>) -> Result<Block, BlockError> {
        let content = BlockError::Content;
        let count = bytes.last_chunk::<4>().ok_or(content("the block has no restart points"))?;
        let restarts = u32::from_le_bytes(*count) as usize;
        let end = bytes.len().checked_sub(4).and_then(|end| end.checked_sub(4 * restarts));
        let end = end.ok_or(content("the block has more restart points than bytes"))?;
        let block = Block { bytes, end };
        let (mut at, mut restart) = (0, 0);
        let mut key: Vec<u8> = Vec::new();
        let mut last = u64::MAX;
        while at < end {
            let raw = block.decode(at).ok_or(content("an entry of the block goes beyond it"))?;
            if restart < restarts && block.restart(restart) == at {
                restart += 1;
                if raw.shared > 0 {
                    return Err(content("an entry at a restart point shares bytes"));
                }
            }
            if raw.shared > key.len() || restart == 0 {
                return Err(content("an entry shares more bytes than there are"));
            }
            let suffix = &block.bytes[raw.suffix..raw.value];
            if raw.shared + suffix.len() > KEY_BYTES_MAX {
                return Err(content("a key is longer than any"));
            }
            // The bytes that are shared are equal: the rest decides.
            let follows = match suffix.cmp(&key[raw.shared..]) {
                Ordering::Greater => true,
                Ordering::Equal => raw.version < last,
                Ordering::Less => false,
            };
            if !follows || raw.version > NUMBER_MAX {
                return Err(content("entries are not in their order"));
            }
            key.truncate(raw.shared);
            key.extend_from_slice(suffix);
            last = raw.version;
            at = raw.end;
        }
        match restart == restarts {
            true => Ok(block),
            false => Err(content("a restart point is no entry's")),
        }
    }

    fn restarts(&self) -> usize {
        (self.bytes.len() - 4 - self.end) / 4
    }

    /// Where the entry of a restart point begins.
    fn restart(&self, index: usize) -> usize {
        let at = self.end + 4 * index;
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
            as usize
    }

    #[inline]
    fn decode(&self, at: usize) -> Option<Raw> {
        let bytes = self.bytes.get(at..self.end)?;
        let (shared, a) = varint::read(bytes)?;
        let (unshared, b) = varint::read(&bytes[a..])?;
        let (tag, c) = varint::read(&bytes[a + b..])?;
        let has_value = tag & 1 == 1;
        let mut head = a + b + c;
        let mut value_bytes = 0;
        if has_value {
            let (count, d) = varint::read(&bytes[head..])?;
            (value_bytes, head) = (count, head + d);
        }
        let left = (bytes.len() - head) as u64;
        if unshared > left || value_bytes > left - unshared || shared > KEY_BYTES_MAX as u64 {
            return None;
        }
        let suffix = at + head;
        let value = suffix + unshared as usize;
        let end = value + value_bytes as usize;
        Some(Raw { shared: shared as usize, suffix, value, end, version: tag >> 1, has_value })
    }

    /// The whole key of the entry at a restart point.
    fn restart_key(&self, index: usize) -> &[u8] {
        match self.decode(self.restart(index)) {
            Some(raw) => &self.bytes[raw.suffix..raw.value],
            None => &[],
        }
    }

    /// All of it, restart points included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// About what it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + 64
    }
}

/// A place in a block, at an entry or at none.
#[derive(Clone, Debug)]
pub(crate) struct BlockCursor {
    block: Rc<Block>,
    key: Vec<u8>,
    at: usize,
    raw: Option<Raw>,
}

impl BlockCursor {
    /// At no entry.
    pub fn new(block: Rc<Block>) -> BlockCursor {
        BlockCursor { block, key: Vec::new(), at: 0, raw: None }
    }

    /// As `new`, with the memory of this one.
    pub fn renew(&mut self, block: Rc<Block>) {
        self.block = block;
        (self.at, self.raw) = (0, None);
    }

    /// Goes to the first entry.
    pub fn first(&mut self) {
        self.go_to(0);
    }

    /// Goes to the last entry.
    pub fn last(&mut self) {
        self.raw = None;
        let Some(restart) = self.block.restarts().checked_sub(1) else { return };
        self.go_to(self.block.restart(restart));
        while self.raw.is_some_and(|raw| raw.end < self.block.end) {
            self.next();
        }
    }

    /// Goes to the first entry whose key is this one or above it.
    pub fn seek(&mut self, key: &[u8]) {
        self.seek_by(|other| other < key);
    }

    /// Goes to the last entry whose key is below this one.
    pub fn seek_before(&mut self, key: &[u8]) {
        self.seek(key);
        match self.raw {
            Some(_) => self.prev(),
            None => self.last(),
        }
    }

    fn seek_by(&mut self, is_below: impl Fn(&[u8]) -> bool) {
        let (mut low, mut high) = (0, self.block.restarts());
        // The last restart point below the key, if there is one: what is sought lies between it and the next one.
        while low < high {
            let middle = (low + high) / 2;
            match is_below(self.block.restart_key(middle)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        if self.block.end == 0 {
            self.raw = None;
            return;
        }
        self.go_to(self.block.restart(low.saturating_sub(1)));
        while self.raw.is_some() && is_below(&self.key) {
            self.next();
        }
    }

    /// Goes to an entry that has its whole key.
    fn go_to(&mut self, at: usize) {
        self.key.clear();
        self.settle(at);
    }

    #[inline]
    fn settle(&mut self, at: usize) {
        self.at = at;
        self.raw = self.block.decode(at);
        if let Some(raw) = self.raw {
            self.key.truncate(raw.shared);
            self.key.extend_from_slice(&self.block.bytes[raw.suffix..raw.value]);
        }
    }

    /// Goes one entry on.
    #[inline]
    pub fn next(&mut self) {
        if let Some(raw) = self.raw {
            self.settle(raw.end);
        }
    }

    /// Goes one entry back.
    pub fn prev(&mut self) {
        let here = self.at;
        if here == 0 || self.raw.is_none() {
            self.raw = None;
            return;
        }
        let (mut low, mut high) = (0, self.block.restarts());
        while low < high {
            let middle = (low + high) / 2;
            match self.block.restart(middle).cmp(&here) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        self.go_to(self.block.restart(low - 1));
        while self.raw.is_some_and(|raw| raw.end < here) {
            self.next();
        }
    }

    /// Whether it is at an entry.
    #[inline]
    pub fn is_valid(&self) -> bool {
        self.raw.is_some()
    }

    /// The entry's key; of no meaning where there is no entry.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The entry's version.
    #[inline]
    pub fn version(&self) -> u64 {
        self.raw.map_or(0, |raw| raw.version)
    }

    /// Where the entry's value lies, if it has one: the block, and the part of its bytes.
    pub fn value_part(&self) -> Option<(Rc<Block>, std::ops::Range<usize>)> {
        let raw = self.raw.filter(|raw| raw.has_value)?;
        Some((self.block.clone(), raw.value..raw.end))
    }

    /// The entry's value, if it has one.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        let raw = self.raw.filter(|raw| raw.has_value)?;
        Some(&self.block.bytes[raw.value..raw.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;

    type Entry = (Vec<u8>, u64, Option<Vec<u8>>);

    fn entries(rng: &mut Rng, count: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = (0..count)
            .map(|_| {
                let mut key = vec![b'k'; rng.below(20) as usize];
                key.extend_from_slice(&rng.below(60).to_be_bytes()[5..]);
                let value = (rng.below(5) > 0).then(|| vec![7; rng.below(300) as usize]);
                (key, rng.below(1 << 40), value)
            })
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        entries.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
        entries
    }

    fn block(entries: &[Entry], restart_entries: usize) -> Rc<Block> {
        let mut builder = BlockBuilder::new(restart_entries);
        entries.iter().for_each(|(key, version, value)| builder.add(key, *version, value.as_deref()));
        let mut bytes = Vec::new();
        let expected = builder.bytes();
        builder.finish(&mut bytes);
        assert_eq!(bytes.len(), expected);
        Rc::new(Block::parse(bytes.into()).unwrap())
    }

    fn here(cursor: &BlockCursor) -> Option<Entry> {
        cursor
            .is_valid()
            .then(|| (cursor.key().to_vec(), cursor.version(), cursor.value().map(<[u8]>::to_vec)))
    }

    #[test]
    fn a_cursor_goes_as_one_over_a_list_does() {
        let mut rng = Rng::new(1);
        for count in [0, 1, 2, 15, 16, 17, 200] {
            for restart_entries in [1, 2, 16] {
                let entries = entries(&mut rng, count);
                let block = block(&entries, restart_entries);
                let mut cursor = BlockCursor::new(block);
                cursor.first();
                for entry in &entries {
                    assert_eq!(here(&cursor).as_ref(), Some(entry));
                    cursor.next();
                }
                assert_eq!(here(&cursor), None);
                cursor.last();
                for entry in entries.iter().rev() {
                    assert_eq!(here(&cursor).as_ref(), Some(entry));
                    cursor.prev();
                }
                assert_eq!(here(&cursor), None);
                for _ in 0..100 {
                    let mut key = vec![b'k'; rng.below(21) as usize];
                    key.extend_from_slice(&rng.below(61).to_be_bytes()[5..]);
                    cursor.seek(&key);
                    assert_eq!(here(&cursor).as_ref(), entries.iter().find(|entry| entry.0 >= key));
                    cursor.seek_before(&key);
                    assert_eq!(here(&cursor).as_ref(), entries.iter().rfind(|entry| entry.0 < key));
                }
            }
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_walked_without_harm() {
        let mut rng = Rng::new(2);
        let good = entries(&mut rng, 60);
        let mut builder = BlockBuilder::new(16);
        good.iter().for_each(|(key, version, value)| builder.add(key, *version, value.as_deref()));
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        for _ in 0..20_000 {
            let mut other = bytes.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(other.len() as u64) as usize;
                other[at] = rng.next_u64() as u8;
            }
            other.truncate(rng.below(other.len() as u64 * 2) as usize);
            let Ok(block) = Block::parse(other.into()) else { continue };
            let mut cursor = BlockCursor::new(Rc::new(block));
            cursor.first();
            while cursor.is_valid() {
                cursor.next();
            }
            cursor.last();
            while cursor.is_valid() {
                cursor.prev();
            }
            cursor.seek(b"kkk");
            cursor.seek_before(b"kkkkkk");
        }
    }
}
