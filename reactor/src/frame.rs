//! The frame: one checksummed, block-aligned write of a log.
//!
//! A frame is a 40-byte header, a payload, and zeros up to a whole block. The layout is in docs/formats/frame.md. The
//! envelope (header layout and checksum) is the same in every version; the version says what the payload means, so a
//! newer frame is told from a damaged one.
//!
//! The segment id in the header tells a frame from what an earlier use of the same file left behind; the sequence and
//! the previous frame's checksum chain the frames of a log. This module checks only that a frame is whole; whether it
//! is the one that is due is the log's to check.

use crate::buffer::{AlignedBuf, BLOCK_BYTES};
use crate::mutants::planted;

/// The payload version of most frames.
pub const FRAME_VERSION: u16 = 1;

/// The newest payload version that this build writes and reads. A frame bears it only where its payload needs it, so that an older build
/// reads all others.
pub const FRAME_VERSION_MAX: u16 = 2;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 40;

/// The longest payload, in bytes: one record of 20 MB with its key of 64 KiB, and room to spare. A length above it
/// is never believed.
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;

/// "SYNF", little-endian: the first bytes of every frame.
const MAGIC: u32 = u32::from_le_bytes(*b"SYNF");

/// Where the checksum lies in the header; it counts as zero while the checksum is computed.
const CRC_AT: usize = 36;

const _: () = assert!(HEADER_BYTES < BLOCK_BYTES, "the header fits into the first block");
const _: () = assert!(PAYLOAD_BYTES_MAX < u32::MAX as usize, "a length fits into its field");

/// What a frame says about itself, besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Meaning of the payload.
    pub version: u16,
    /// For the log's own use.
    pub flags: u16,
    /// The core that wrote it.
    pub core: u32,
    /// Checksum of the frame before this one in the log; zero for the first.
    pub previous_crc: u32,
    /// The segment it was written to.
    pub segment: u64,
    /// Position in the log, counted in frames.
    pub sequence: u64,
    /// Length of the payload in bytes.
    pub payload_bytes: u32,
    /// CRC32C over the header (this field as zero) and the payload.
    pub crc: u32,
}

impl Header {
    /// How many bytes the frame takes on disk, padding included.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes as usize)
    }
}

/// How many bytes a frame with a payload of this length takes on disk, padding included.
pub fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(BLOCK_BYTES)
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The place holds zeros where a header would start: nothing was written here.
    Blank,
    /// The first bytes are not a frame's.
    Magic(u32),
    /// The frame goes on beyond the bytes at hand, of which it needs this many.
    Short {
        /// Bytes of the whole frame.
        needed: usize,
    },
    /// The header announces more than any frame holds.
    Length(u32),
    /// Header or payload differ from what was written.
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The frame is whole but of a newer version.
    Newer {
        /// Its version.
        found: u16,
        /// The newest that this build reads.
        supported: u16,
    },
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Blank => write!(f, "no frame was written here"),
            FrameError::Magic(found) => write!(f, "no frame starts here (first bytes {found:#010x})"),
            FrameError::Short { needed } => write!(f, "the frame is cut off: it needs {needed} bytes"),
            FrameError::Length(bytes) => {
                write!(f, "the frame announces {bytes} bytes, more than {PAYLOAD_BYTES_MAX}")
            }
            FrameError::Checksum { stored, computed } => {
                write!(f, "the frame's checksum is {computed:#010x}, its header says {stored:#010x}")
            }
            FrameError::Newer { found, supported } => {
                write!(f, "the frame has version {found}, this build reads up to version {supported}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Reads a header without checking the checksum, to learn how long the frame claims to be.
pub fn peek(bytes: &[u8]) -> Result<Header, FrameError> {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(FrameError::Short { needed: HEADER_BYTES });
    };
    if head.iter().all(|&byte| byte == 0) {
        return Err(FrameError::Blank);
    }
    let magic = u32_at(head, 0);
    if magic != MAGIC {
        return Err(FrameError::Magic(magic));
    }
    let header = Header {
        version: u16::from_le_bytes([head[4], head[5]]),
        flags: u16::from_le_bytes([head[6], head[7]]),
        core: u32_at(head, 8),
        previous_crc: u32_at(head, 12),
        segment: u64_at(head, 16),
        sequence: u64_at(head, 24),
        payload_bytes: u32_at(head, 32),
        crc: u32_at(head, CRC_AT),
    };
    if header.payload_bytes as usize > PAYLOAD_BYTES_MAX {
        return Err(FrameError::Length(header.payload_bytes));
    }
    Ok(header)
}

/// Reads a whole frame from the start of `bytes`, and checks it. What follows the frame is ignored.
pub fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let header = peek(bytes)?;
    let end = HEADER_BYTES + header.payload_bytes as usize;
    let Some(payload) = bytes.get(HEADER_BYTES..end) else {
        return Err(FrameError::Short { needed: header.frame_bytes() });
    };
    let computed = checksum(&bytes[..HEADER_BYTES], payload);
    if computed != header.crc && !planted(301) {
        return Err(FrameError::Checksum { stored: header.crc, computed });
    }
    if header.version > FRAME_VERSION_MAX {
        return Err(FrameError::Newer { found: header.version, supported: FRAME_VERSION_MAX });
    }
    Ok((header, payload))
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, payload)
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A frame that is being filled: the payload is written straight behind the room for the header.
#[derive(Debug, Default)]
pub struct Filling {
    buf: AlignedBuf,
    payload_bytes: usize,
    /// What the payload needs, if that is more than [`FRAME_VERSION`].
    version: u16,
}

impl Filling {
    /// An empty frame that reuses the buffer's memory.
    pub fn new(buf: AlignedBuf) -> Filling {
        Filling { buf, payload_bytes: 0, version: 0 }
    }

    /// What was added has a meaning from this version on only.
    pub fn need_version(&mut self, version: u16) {
        assert!(version <= FRAME_VERSION_MAX, "a version that this build reads");
        self.version = self.version.max(version);
    }

    /// Bytes of payload so far.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// How many bytes the frame would take on disk now.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.payload_bytes == 0
    }

    /// Adds room for `bytes` more bytes of payload and lends it to be written in full: it may hold old bytes.
    pub fn extend(&mut self, bytes: usize) -> &mut [u8] {
        let start = HEADER_BYTES + self.payload_bytes;
        let end = start + bytes;
        assert!(end - HEADER_BYTES <= PAYLOAD_BYTES_MAX, "a payload stays below its bound");
        if end > self.buf.len() {
            self.buf.resize(end.max(self.buf.capacity().min(2 * self.buf.len())));
        }
        self.payload_bytes += bytes;
        &mut self.buf.as_mut_slice()[start..end]
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        self.buf.as_slice().get(HEADER_BYTES..HEADER_BYTES + self.payload_bytes).unwrap_or_default()
    }

    /// Writes the header and the checksum and cuts the buffer to the frame, padding zeroed. `header`'s version,
    /// payload length and checksum are ignored; the header as written comes back.
    pub fn seal(mut self, header: Header) -> (Header, AlignedBuf) {
        let end = HEADER_BYTES + self.payload_bytes;
        self.buf.resize(end);
        let version = FRAME_VERSION.max(self.version);
        let sealed = Header { version, payload_bytes: self.payload_bytes as u32, crc: 0, ..header };
        let bytes = self.buf.as_mut_slice();
        bytes[end..].fill(0);
        write_header(&mut bytes[..HEADER_BYTES], &sealed);
        let crc = checksum(&bytes[..HEADER_BYTES], &bytes[HEADER_BYTES..end]);
        bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        (Header { crc, ..sealed }, self.buf)
    }
}

fn write_header(out: &mut [u8], header: &Header) {
    out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    out[4..6].copy_from_slice(&header.version.to_le_bytes());
    out[6..8].copy_from_slice(&header.flags.to_le_bytes());
    out[8..12].copy_from_slice(&header.core.to_le_bytes());
    out[12..16].copy_from_slice(&header.previous_crc.to_le_bytes());
    out[16..24].copy_from_slice(&header.segment.to_le_bytes());
    out[24..32].copy_from_slice(&header.sequence.to_le_bytes());
    out[32..36].copy_from_slice(&header.payload_bytes.to_le_bytes());
    out[CRC_AT..HEADER_BYTES].copy_from_slice(&header.crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(payload: &[u8]) -> (Header, AlignedBuf) {
        let mut filling = Filling::new(AlignedBuf::from_padded(&[0xff; 9000]));
        filling.extend(payload.len()).copy_from_slice(payload);
        filling.seal(Header {
            version: 0,
            flags: 3,
            core: 5,
            previous_crc: 6,
            segment: 7,
            sequence: 1 << 40,
            payload_bytes: 0,
            crc: 0,
        })
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        for bytes in [0, 1, 4056, 4057, 100_000] {
            let payload = vec![0xab; bytes];
            let (header, buf) = sample(&payload);
            assert_eq!(buf.len(), header.frame_bytes());
            let (read, body) = decode(buf.as_slice()).unwrap();
            assert_eq!((read, body), (header, payload.as_slice()));
            assert!(buf.as_slice()[HEADER_BYTES + bytes..].iter().all(|&byte| byte == 0), "padding is zero");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (_, buf) = sample(b"payload");
        for bit in 0..(HEADER_BYTES + 7) * 8 {
            let mut bytes = buf.as_slice().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let (header, buf) = sample(&[1; 5000]);
        let whole = buf.as_slice();
        assert_eq!(decode(&[0; 4096]), Err(FrameError::Blank));
        assert_eq!(decode(&[9; 4096]), Err(FrameError::Magic(0x0909_0909)));
        assert_eq!(decode(&whole[..4096]), Err(FrameError::Short { needed: 8192 }));
        assert_eq!(decode(&whole[..10]), Err(FrameError::Short { needed: HEADER_BYTES }));
        let mut long = whole.to_vec();
        long[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&long), Err(FrameError::Length(u32::MAX)));
        let mut newer = whole.to_vec();
        newer[4..6].copy_from_slice(&(FRAME_VERSION_MAX + 1).to_le_bytes());
        let crc = checksum(&newer[..HEADER_BYTES], &newer[HEADER_BYTES..HEADER_BYTES + 5000]);
        newer[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        let error = FrameError::Newer { found: FRAME_VERSION_MAX + 1, supported: FRAME_VERSION_MAX };
        assert_eq!(decode(&newer), Err(error));
        assert_eq!(error.to_string(), "the frame has version 3, this build reads up to version 2");
        assert_ne!(header.crc, crc);
    }

    #[test]
    fn a_frame_has_the_version_that_its_payload_needs() {
        let (header, _) = sample(b"payload");
        assert_eq!(header.version, FRAME_VERSION);
        let mut filling = Filling::default();
        filling.need_version(FRAME_VERSION_MAX);
        let (newer, buf) = filling.seal(header);
        assert_eq!((newer.version, decode(buf.as_slice()).unwrap().0), (FRAME_VERSION_MAX, newer));
    }
}
