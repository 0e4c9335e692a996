//! How a block lies in a table file: compressed, checked, and saying how long it is (docs/formats/table.md).
//!
//! The checksum covers the table's number and the block's place as well, so that a block which a disk wrote or read elsewhere is not
//! taken for the one that was asked for.

use crate::limits::BLOCK_DISK_BYTES_MAX;

/// Bytes in front of a block.
pub(crate) const ENVELOPE_BYTES: usize = 16;

/// Higher levels cost several times the CPU for a twentieth of the bytes.
const ZSTD_LEVEL: i32 = 1;

/// How the bytes of a block are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// LZ4: fast both ways.
    Lz4,
    /// Zstandard at its lowest level: a third smaller than LZ4, five times slower to read.
    Zstd,
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Data = 1,
    Section = 2,
    Ranges = 3,
    Sections = 4,
    Statistics = 5,
}

/// Why bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockError {
    Short,
    Length,
    Checksum,
    Kind,
    Codec,
    /// The block is whole, and does not make sense.
    Content(&'static str),
}

impl std::fmt::Display for BlockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BlockError::Short => "the block is cut off",
            BlockError::Length => "the block's length makes no sense",
            BlockError::Checksum => "the block's checksum is not that of its bytes",
            BlockError::Kind => "the block is of another kind",
            BlockError::Codec => "the block cannot be decompressed",
            BlockError::Content(what) => what,
        })
    }
}

/// Seals blocks; keeps what a codec needs for it from one block to the next.
#[derive(Default)]
pub(crate) struct Packer {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    scratch: Vec<u8>,
}

impl Packer {
    /// Appends a block to `out`. `place`: the table's number, and where in its file the block will lie.
    pub fn seal(&mut self, out: &mut Vec<u8>, raw: &[u8], kind: BlockKind, codec: Codec, place: (u64, u64)) {
        assert!(raw.len() < BLOCK_DISK_BYTES_MAX, "a block stays below its bound");
        let compressed = match codec {
            Codec::None => None,
            Codec::Lz4 => self.lz4(raw),
            Codec::Zstd => self.zstd(raw),
        };
        // What does not become smaller by an eighth is not worth the work at each read.
        let compressed = compressed
            .map(|bytes| &self.scratch[..bytes])
            .filter(|bytes| bytes.len() + raw.len() / 8 <= raw.len());
        let codec = if compressed.is_some() { codec } else { Codec::None };
        let stored = compressed.unwrap_or(raw);
        let start = out.len();
        out.resize(start + ENVELOPE_BYTES, 0);
        out[start + 4..start + 8].copy_from_slice(&(stored.len() as u32).to_le_bytes());
        out[start + 8..start + 12].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        out[start + 12] = codec as u8;
        out[start + 13] = kind as u8;
        out.extend_from_slice(stored);
        let crc = checksum(&out[start + 4..], place);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Compresses into the scratch. None: it cannot be done.
    fn lz4(&mut self, raw: &[u8]) -> Option<usize> {
        self.scratch.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
        lz4_flex::block::compress_into(raw, &mut self.scratch).ok()
    }

    fn zstd(&mut self, raw: &[u8]) -> Option<usize> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        self.scratch.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        self.zstd.as_mut()?.compress_to_buffer(raw, &mut self.scratch[..]).ok()
    }
}

fn checksum(bytes: &[u8], (table, offset): (u64, u64)) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&table.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// What the envelope at the start of `bytes` says of its block: how many bytes it takes in all, and its kind as a number.
pub(crate) fn peek(bytes: &[u8]) -> Result<(usize, u8), BlockError> {
    let head = bytes.first_chunk::<ENVELOPE_BYTES>().ok_or(BlockError::Short)?;
    let stored = u32_at(head, 4) as usize;
    if stored > BLOCK_DISK_BYTES_MAX {
        return Err(BlockError::Length);
    }
    Ok((ENVELOPE_BYTES + stored, head[13]))
}

/// Opens the block at the start of `bytes`: its raw bytes.
pub(crate) fn open(bytes: &[u8], kind: BlockKind, place: (u64, u64)) -> Result<Box<[u8]>, BlockError> {
    let (taken, found) = peek(bytes)?;
    let whole = bytes.get(..taken).ok_or(BlockError::Short)?;
    let stored = u32::from_le_bytes([whole[0], whole[1], whole[2], whole[3]]);
    if checksum(&whole[4..], place) != stored && !reactor::mutants::planted(601) {
        return Err(BlockError::Checksum);
    }
    if found != kind as u8 {
        return Err(BlockError::Kind);
    }
    let raw_bytes = u32::from_le_bytes([whole[8], whole[9], whole[10], whole[11]]) as usize;
    if raw_bytes > BLOCK_DISK_BYTES_MAX {
        return Err(BlockError::Length);
    }
    let body = &whole[ENVELOPE_BYTES..];
    match whole[12] {
        0 if body.len() == raw_bytes => Ok(body.into()),
        0 => Err(BlockError::Length),
        1 | 2 => decompress(body, raw_bytes, whole[12] == 1),
        _ => Err(BlockError::Codec),
    }
}

fn decompress(body: &[u8], raw_bytes: usize, is_lz4: bool) -> Result<Box<[u8]>, BlockError> {
    // Neither codec makes more than this of a byte: what says otherwise gets no memory.
    if raw_bytes / 32_768 > body.len() {
        return Err(BlockError::Length);
    }
    let mut raw = vec![0; raw_bytes];
    let done = match is_lz4 {
        true => lz4_flex::block::decompress_into(body, &mut raw).ok(),
        false => zstd::bulk::decompress_to_buffer(body, &mut raw[..]).ok(),
    };
    match done {
        Some(bytes) if bytes == raw_bytes => Ok(raw.into()),
        _ => Err(BlockError::Codec),
    }
}

fn u32_at(head: &[u8; ENVELOPE_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (u64, u64) = (7, 4096);

    fn sealed(raw: &[u8], codec: Codec) -> Vec<u8> {
        let mut out = vec![9; 3];
        Packer::default().seal(&mut out, raw, BlockKind::Data, codec, PLACE);
        out.split_off(3)
    }

    #[test]
    fn blocks_come_back() {
        let plain: Vec<u8> = (0..900_u32).flat_map(|n| format!("row {n} of many;").into_bytes()).collect();
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            for raw in [&plain[..], &[], &[1], &plain[..300]] {
                let bytes = sealed(raw, codec);
                assert_eq!(peek(&bytes), Ok((bytes.len(), BlockKind::Data as u8)));
                assert_eq!(open(&bytes, BlockKind::Data, PLACE).as_deref(), Ok(raw), "{codec:?}");
            }
            assert_eq!(sealed(&plain, codec).len() < plain.len(), codec != Codec::None);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen_and_so_is_another_place() {
        let bytes = sealed(b"some bytes some bytes some bytes some bytes", Codec::Lz4);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&other, BlockKind::Data, PLACE).is_err(), "bit {bit}");
        }
        assert_eq!(open(&bytes, BlockKind::Data, (7, 8192)), Err(BlockError::Checksum));
        assert_eq!(open(&bytes, BlockKind::Data, (8, 4096)), Err(BlockError::Checksum));
        assert_eq!(open(&bytes, BlockKind::Section, PLACE), Err(BlockError::Kind));
        assert_eq!(open(&bytes[..20], BlockKind::Data, PLACE), Err(BlockError::Short));
    }
}
