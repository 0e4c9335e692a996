//! The frame: its header, and the messages in its body. docs/formats/peer-frame.md has the bytes.
//!
//! The header has a checksum of its own, so that a damaged length is seen at once and not after a megabyte
//! was waited for. The body's checksum lies in the header, so both together cover every byte.

use reactor::mutants::planted;

use crate::error::BadFrame;
use crate::limits::{BODY_BYTES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};

/// The version of frames that this build writes and reads.
pub const VERSION: u8 = 3;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 40;

/// Bytes before each message or part of one: kind and length.
pub const PART_BYTES: usize = 4;

/// Bytes before the first part of a split message: kind, length, and the length of the whole.
pub const FIRST_PART_BYTES: usize = PART_BYTES + 4;

/// The first bytes of every frame.
const MAGIC: [u8; 4] = *b"SYNP";

const BODY_CRC_AT: usize = 32;
const HEADER_CRC_AT: usize = 36;

const KIND_SHIFT: u32 = 30;
const LENGTH_MASK: u32 = (1 << KIND_SHIFT) - 1;
const WHOLE: u32 = 0;
const FIRST: u32 = 1;
const MIDDLE: u32 = 2;
const LAST: u32 = 3;

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the body in bytes.
    pub body_bytes: u32,
    /// Messages and parts of messages in the body.
    pub count: u32,
    /// Number of the frame on its link and in its direction, from 1.
    pub sequence: u64,
    /// Sequence of the last frame that the sender received on this link.
    pub acknowledged: u64,
    /// CRC32C of the body.
    pub body_crc: u32,
}

impl Header {
    /// Length of the frame in bytes.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.body_bytes as usize
    }

    /// Reads and checks a header.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Header, BadFrame> {
        let (magic, rest) = bytes.split_at(4);
        if magic != MAGIC {
            return Err(BadFrame::Magic);
        }
        if crc32c::crc32c(&bytes[..HEADER_CRC_AT]) != u32_at(bytes, HEADER_CRC_AT) {
            return Err(BadFrame::HeaderChecksum);
        }
        if rest[0] != VERSION {
            return Err(BadFrame::Version(rest[0]));
        }
        if rest[1..4] != [0; 3] {
            return Err(BadFrame::Flags);
        }
        let header = Header {
            body_bytes: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            acknowledged: u64_at(bytes, 24),
            body_crc: u32_at(bytes, BODY_CRC_AT),
        };
        let body_bytes = header.body_bytes as usize;
        if body_bytes > BODY_BYTES_MAX || header.count as usize > body_bytes / PART_BYTES {
            return Err(BadFrame::Length);
        }
        Ok(header)
    }

    /// Checks the body against the header.
    pub fn check_body(&self, body: &[u8]) -> Result<(), BadFrame> {
        if crc32c::crc32c(body) == self.body_crc || planted(401) {
            Ok(())
        } else {
            Err(BadFrame::BodyChecksum)
        }
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Writes the header of a frame whose body lies behind room for it.
pub fn seal(frame: &mut [u8], count: u32, sequence: u64, acknowledged: u64) {
    assert!(
        (HEADER_BYTES..=FRAME_BYTES_MAX).contains(&frame.len()),
        "a frame has room for its header and stays below its bound"
    );
    let (header, body) = frame.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&[VERSION, 0, 0, 0]);
    header[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&count.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    header[24..32].copy_from_slice(&acknowledged.to_le_bytes());
    header[BODY_CRC_AT..HEADER_CRC_AT].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = crc32c::crc32c(&header[..HEADER_CRC_AT]);
    header[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

/// A message, or a part of one that is split over frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A message that lies in this frame as a whole.
    Whole(&'a [u8]),
    /// The start of a split message.
    First {
        /// Length of the message in bytes.
        total_bytes: usize,
        /// Its first bytes.
        bytes: &'a [u8],
    },
    /// More of a split message.
    Middle(&'a [u8]),
    /// The end of a split message.
    Last(&'a [u8]),
}

/// Appends a message or part to a body. The caller keeps the frame below its bound.
pub fn put(frame: &mut Vec<u8>, part: Part<'_>) {
    let (kind, bytes, total) = match part {
        Part::Whole(bytes) => (WHOLE, bytes, None),
        Part::First { total_bytes, bytes } => (FIRST, bytes, Some(total_bytes as u32)),
        Part::Middle(bytes) => (MIDDLE, bytes, None),
        Part::Last(bytes) => (LAST, bytes, None),
    };
    assert!(bytes.len() <= BODY_BYTES_MAX, "a part fits into a frame");
    let length = bytes.len() as u32 + if total.is_some() { 4 } else { 0 };
    frame.extend_from_slice(&(kind << KIND_SHIFT | length).to_le_bytes());
    if let Some(total) = total {
        frame.extend_from_slice(&total.to_le_bytes());
    }
    frame.extend_from_slice(bytes);
}

/// Takes the next message or part off the front of a body.
pub fn take<'a>(body: &mut &'a [u8]) -> Result<Part<'a>, BadFrame> {
    let (word, rest) = body.split_first_chunk::<PART_BYTES>().ok_or(BadFrame::Messages)?;
    let word = u32::from_le_bytes(*word);
    let length = (word & LENGTH_MASK) as usize;
    let (bytes, rest) = rest.split_at_checked(length).ok_or(BadFrame::Messages)?;
    *body = rest;
    match word >> KIND_SHIFT {
        WHOLE => Ok(Part::Whole(bytes)),
        FIRST => {
            let (total, bytes) = bytes.split_first_chunk::<4>().ok_or(BadFrame::Parts)?;
            let total_bytes = u32::from_le_bytes(*total) as usize;
            if total_bytes > MESSAGE_BYTES_MAX {
                return Err(BadFrame::MessageLength);
            }
            Ok(Part::First { total_bytes, bytes })
        }
        MIDDLE => Ok(Part::Middle(bytes)),
        _ => Ok(Part::Last(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        put(&mut frame, Part::Whole(b"one"));
        put(&mut frame, Part::First { total_bytes: 2_000_000, bytes: b"two" });
        seal(&mut frame, 2, 7, 1 << 40);
        frame
    }

    fn decode(frame: &[u8]) -> Result<(Header, &[u8]), BadFrame> {
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().ok_or(BadFrame::Length)?;
        let header = Header::parse(header)?;
        header.check_body(body)?;
        Ok((header, body))
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        let frame = sample();
        let (header, mut body) = decode(&frame).unwrap();
        assert_eq!((header.count, header.sequence, header.acknowledged), (2, 7, 1 << 40));
        assert_eq!(header.frame_bytes(), frame.len());
        assert_eq!(take(&mut body), Ok(Part::Whole(b"one")));
        assert_eq!(take(&mut body), Ok(Part::First { total_bytes: 2_000_000, bytes: b"two" }));
        assert!(body.is_empty());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let frame = sample();
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }

    /// The bytes of docs/formats/peer-frame.md: they may change only with the version.
    #[test]
    fn the_layout_is_the_documented_one() {
        let mut frame = vec![0; HEADER_BYTES];
        put(&mut frame, Part::Whole(b"hi"));
        seal(&mut frame, 1, 2, 3);
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&hex[..64], "53594e5003000000060000000100000002000000000000000300000000000000");
    }

    #[test]
    fn a_valid_checksum_does_not_excuse_nonsense() {
        let table: &[(usize, u8, BadFrame)] = &[
            (0, b'X', BadFrame::Magic),
            (4, 1, BadFrame::Version(1)),
            (5, 1, BadFrame::Flags),
            (7, 1, BadFrame::Flags),
            (11, 1, BadFrame::Length),
            (12, 200, BadFrame::Length),
        ];
        for &(at, byte, expected) in table {
            let mut frame = sample();
            frame[at] = byte;
            let crc = crc32c::crc32c(&frame[..HEADER_CRC_AT]);
            frame[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(decode(&frame), Err(expected), "byte {at}");
        }
    }

    #[test]
    fn bodies_that_do_not_add_up() {
        let word = |kind: u32, length: u32| (kind << KIND_SHIFT | length).to_le_bytes();
        let long = [word(FIRST, 4), (MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes()].concat();
        let table: &[(&[u8], BadFrame)] = &[
            (&[0, 0], BadFrame::Messages),
            (&word(WHOLE, 1), BadFrame::Messages),
            (&word(WHOLE, LENGTH_MASK), BadFrame::Messages),
            (&word(FIRST, 0), BadFrame::Parts),
            (&long, BadFrame::MessageLength),
        ];
        for &(body, expected) in table {
            assert_eq!(take(&mut &body[..]), Err(expected));
        }
    }
}
