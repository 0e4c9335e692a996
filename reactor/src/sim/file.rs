//! One file of the simulated disk: what is durable, and what lies over it and is not.

use std::collections::BTreeMap;

use crate::rng::Rng;
use crate::BLOCK_BYTES;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// What a block is that was never written.
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// All sectors of a block.
const ALL: u8 = 0xff;

const _: () = assert!(BLOCK_BYTES / SECTOR_BYTES == 8, "the sectors of a block fit into a mask of 8 bits");

type Block = Box<[u8; BLOCK_BYTES]>;

/// Sectors of one block that were written and not synced.
#[derive(Clone, Debug)]
struct Unsynced {
    bytes: Block,
    /// Which sectors hold newer bytes than the durable block.
    written: u8,
    /// Which of them a failed sync has given up: no later sync makes them durable.
    forsaken: u8,
}

/// The bytes of one file. A block that is not there is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    len: u64,
    durable_len: u64,
    durable: BTreeMap<u64, Block>,
    unsynced: BTreeMap<u64, Unsynced>,
    /// What durable blocks were before they were last written, where that was not zero.
    before: BTreeMap<u64, Block>,
}

impl File {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether bytes were written that are not durable.
    pub fn is_dirty(&self) -> bool {
        !self.unsynced.is_empty()
    }

    pub fn grow(&mut self, bytes: u64) {
        self.len = self.len.max(bytes);
    }

    /// Reads from `offset`; how many bytes there were.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(out.len() as u64) as usize;
        for (at, part) in pieces(offset, count) {
            let target = &mut out[part.clone()];
            let from = at.within..at.within + target.len();
            match (self.unsynced.get(&at.block), self.durable.get(&at.block)) {
                (Some(over), _) => target.copy_from_slice(&over.bytes[from]),
                (None, Some(block)) => target.copy_from_slice(&block[from]),
                (None, None) => target.fill(0),
            }
        }
        count
    }

    /// The bytes that no power failure takes away.
    pub fn durable_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.durable_len as usize];
        for (block, from) in &self.durable {
            let start = (*block as usize).saturating_mul(BLOCK_BYTES);
            let to = bytes.get_mut(start..).unwrap_or_default();
            to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = *from);
        }
        bytes
    }

    /// Puts into `out`, which was read from `offset`, what its `index`th block was before it was last written.
    pub fn read_stale(&self, offset: u64, out: &mut [u8], index: usize) {
        let block = offset / BLOCK_BYTES as u64 + index as u64;
        if let Some(part) = out.chunks_mut(BLOCK_BYTES).nth(index) {
            match self.before.get(&block) {
                Some(before) => part.copy_from_slice(&before[..part.len()]),
                None => part.fill(0),
            }
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.grow(offset + bytes.len() as u64);
        for (at, part) in pieces(offset, bytes.len()) {
            let mask = sectors(at.within, part.len());
            self.write_block(at.block, at.within, &bytes[part], mask);
        }
    }

    /// Writes each sector or leaves it, by chance: what a failed or interrupted write does.
    pub fn write_some_sectors(&mut self, offset: u64, bytes: &[u8], rng: &mut Rng) {
        // All or nothing is as likely as a tear, so that each is met often.
        let how = rng.below(4);
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let kept = match how {
                0 => true,
                1 => false,
                _ => rng.coin(),
            };
            if kept {
                self.write(offset + (index * SECTOR_BYTES) as u64, sector);
            }
        }
    }

    fn write_block(&mut self, block: u64, within: usize, bytes: &[u8], mask: u8) {
        let durable = &self.durable;
        let over = self.unsynced.entry(block).or_insert_with(|| Unsynced {
            bytes: durable.get(&block).cloned().unwrap_or_else(|| Box::new([0; BLOCK_BYTES])),
            written: 0,
            forsaken: 0,
        });
        over.bytes[within..within + bytes.len()].copy_from_slice(bytes);
        over.written |= mask;
        over.forsaken &= !mask;
    }

    /// Makes all of the file durable, except what a failed sync has given up.
    pub fn sync(&mut self) {
        self.durable_len = self.len;
        for (block, over) in std::mem::take(&mut self.unsynced) {
            self.settle(block, over, ALL);
        }
    }

    /// Makes a range durable, as a write with RWF_DSYNC does.
    pub fn sync_range(&mut self, offset: u64, count: usize) {
        self.durable_len = self.durable_len.max(offset + count as u64);
        for (at, _) in pieces(offset, count) {
            if let Some(over) = self.unsynced.remove(&at.block) {
                self.settle(at.block, over, ALL);
            }
        }
    }

    /// A failed sync: what is not durable never will be, though it can still be read.
    pub fn forsake(&mut self) {
        for over in self.unsynced.values_mut() {
            over.forsaken |= over.written;
        }
    }

    pub fn crash(&mut self, rng: &mut Rng) {
        if self.len != self.durable_len && rng.coin() {
            self.len = self.durable_len;
        }
        self.durable_len = self.len;
        for (block, over) in std::mem::take(&mut self.unsynced) {
            let kept = match rng.below(4) {
                0 => ALL,
                1 => 0,
                _ => rng.next_u64() as u8,
            };
            let kept = kept & over.written & !over.forsaken;
            self.settle(block, Unsynced { written: kept, forsaken: 0, ..over }, ALL);
        }
        let blocks = self.len.div_ceil(BLOCK_BYTES as u64);
        self.durable.retain(|&block, _| block < blocks);
    }

    /// Changes durable bytes and what lies over them. False, and nothing is done, if the file is shorter.
    pub fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> bool {
        if offset + bytes.len() as u64 > self.len {
            return false;
        }
        for (at, part) in pieces(offset, bytes.len()) {
            let to = at.within..at.within + part.len();
            let block = self.durable.entry(at.block).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
            block[to.clone()].copy_from_slice(&bytes[part.clone()]);
            if let Some(over) = self.unsynced.get_mut(&at.block) {
                over.bytes[to].copy_from_slice(&bytes[part]);
            }
        }
        true
    }

    pub fn flip_bit(&mut self, bit: u64) {
        let mut byte = [0];
        self.read(bit / 8, &mut byte);
        byte[0] ^= 1 << (bit % 8);
        self.overwrite(bit / 8, &byte);
    }

    fn keep_before(&mut self, block: u64, before: Option<Block>) {
        match before {
            Some(before) => self.before.insert(block, before),
            None => self.before.remove(&block),
        };
    }

    fn settle(&mut self, block: u64, over: Unsynced, mask: u8) {
        let take = over.written & !over.forsaken & mask;
        let left = over.written & over.forsaken;
        if take == ALL && over.bytes[..] == ZEROS[..] {
            let before = self.durable.remove(&block);
            return self.keep_before(block, before);
        }
        if take == ALL {
            let before = self.durable.insert(block, over.bytes);
            return self.keep_before(block, before);
        }
        if take != 0 {
            let target = self.durable.entry(block).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
            for sector in (0..8).filter(|sector| take & (1 << sector) != 0) {
                let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                target[range.clone()].copy_from_slice(&over.bytes[range]);
            }
        }
        if left != 0 {
            self.unsynced.insert(block, Unsynced { written: left, forsaken: left, ..over });
        }
    }
}

/// A place in a file.
struct Place {
    block: u64,
    within: usize,
}

/// Cuts a range of a file at block boundaries: where each piece lies, and which part of the caller's bytes it is.
fn pieces(offset: u64, count: usize) -> impl Iterator<Item = (Place, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == count {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK_BYTES as u64) as usize;
        let part = done..count.min(done + BLOCK_BYTES - within);
        done = part.end;
        Some((Place { block: at / BLOCK_BYTES as u64, within }, part))
    })
}

/// The mask of the sectors that a range within a block touches.
fn sectors(within: usize, count: usize) -> u8 {
    let first = within / SECTOR_BYTES;
    let last = (within + count - 1) / SECTOR_BYTES;
    (first..=last).fold(0, |mask, sector| mask | 1 << sector)
}
