//! A chain of frames through segments: what the log and merge each write.

use reactor::frame::{self, Filling, Header};
use reactor::mutants::planted;
use reactor::{Op, BLOCK_BYTES};

use crate::core::Core;
use crate::record::{self, Raw, RecordKind, SealBody};
use crate::types::Stamp;
use crate::walk::{LOG, MERGE};

/// Where a chain goes on in its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    /// Index of the segment.
    pub segment: u16,
    /// Where the next frame goes, in bytes.
    pub offset: u64,
}

/// The chain's end.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Flags of its frames.
    pub flags: u16,
    /// Sequence of the next frame.
    pub sequence: u64,
    /// Checksum of the last one.
    pub previous_crc: u32,
    /// The segment it is in; none before the first, and between two.
    pub writer: Option<Writer>,
}

impl Chain {
    pub fn new(flags: u16) -> Chain {
        Chain { flags, sequence: 0, previous_crc: 0, writer: None }
    }

    /// Whether a frame with a payload of this many bytes fits into the segment, and a seal after it.
    pub fn fits(&self, core: &Core, payload_bytes: usize) -> bool {
        self.writer.is_some_and(|writer| {
            let end = writer.offset + (frame::frame_bytes(payload_bytes) + BLOCK_BYTES) as u64;
            end <= core.segments.at(writer.segment).capacity
        })
    }

    /// What is left of its segment, in bytes.
    pub fn rest(&self, core: &Core) -> u64 {
        self.writer.map_or(0, |writer| core.segments.at(writer.segment).capacity - writer.offset)
    }

    /// Makes the write of the next frame, and moves on behind it. Also says where the frame starts.
    pub fn write(&mut self, core: &Core, filling: Filling) -> (Op, u64) {
        let writer = self.writer.as_mut().expect("a frame is written to a segment");
        let segment = core.segments.at(writer.segment);
        assert!(!segment.sealed, "a sealed segment is never written again");
        let (header, buf) = filling.seal(Header {
            version: frame::FRAME_VERSION,
            flags: self.flags,
            core: core.options.core,
            previous_crc: self.previous_crc,
            segment: segment.id,
            sequence: self.sequence,
            payload_bytes: 0,
            crc: 0,
        });
        let offset = writer.offset;
        writer.offset += buf.len() as u64;
        assert!(writer.offset <= segment.capacity, "a frame lies within its segment");
        self.sequence += 1;
        self.previous_crc = header.crc;
        let sync = !(planted(202) && self.flags == LOG || planted(220) && self.flags == MERGE);
        (Op::Write { file: segment.file, offset, buf, sync }, offset)
    }

    /// A frame that holds nothing but a seal.
    pub fn seal_frame(seal: SealBody) -> Filling {
        let mut filling = Filling::default();
        push_seal(&mut filling, seal);
        filling
    }
}

/// Adds a seal to a frame.
pub(crate) fn push_seal(filling: &mut Filling, seal: SealBody) {
    let body = seal.to_bytes();
    let raw = Raw { kind: RecordKind::Seal, slot: 0, stamp: Stamp::ZERO, base: None, key: &[], body: &body };
    record::push(&raw, raw.encoded_bytes(), filling);
}

/// The longest payload of a frame that fits into an empty segment of the usual size, with a seal after it.
pub(crate) fn payload_max(segment_bytes: u64) -> usize {
    segment_bytes as usize - BLOCK_BYTES - frame::HEADER_BYTES
}
