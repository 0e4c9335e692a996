//! Walking through the frames of a file, one read at a time.
//!
//! Recovery, hint writing and merge read files the same way: large reads, each starting at the first frame that the
//! one before did not hold whole.

use reactor::frame::{self, FrameError, HEADER_BYTES};
use reactor::mutants::planted;
use reactor::BLOCK_BYTES;

use crate::error::Fault;
use crate::limits::{BACKGROUND_READ_BYTES, SCAN_BYTES, SCAN_BYTES_MIN};
use crate::record::RecordKind;

/// Flags of frames that the log wrote.
pub(crate) const LOG: u16 = 0;
/// Flags of frames that merge wrote.
pub(crate) const MERGE: u16 = 1;
/// Flags of a hint's frames.
pub(crate) const HINT: u16 = 2;
/// Flags of the identity file's frame.
pub(crate) const IDENTITY: u16 = 3;

/// Where a walk stands.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// The file, for messages.
    pub name: String,
    id: u64,
    core: u32,
    /// Length of the file in bytes.
    end: u64,
    /// Where the next frame starts, in bytes.
    pub offset: u64,
    /// The last frame's sequence and checksum; none before the first frame.
    pub last: Option<(u64, u32)>,
    /// Where that frame starts, in bytes.
    pub last_at: u64,
    /// The frames' flags; they are the same in all.
    pub flags: u16,
    need: usize,
    read_bytes: usize,
}

/// What lies where the next frame should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// No header of this file.
    Nothing,
    /// The header of the frame that is due, of so many bytes.
    Torn(usize),
    /// A header of another frame: no write that was torn leaves that.
    Another,
}

/// How a walk goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// With the read that [`Walk::wants`] says.
    More,
    /// Not at all: what is at the offset is not the next frame, for this reason.
    End(String),
}

/// How much one read of recovery takes of a file of this length.
pub(crate) fn scan_bytes(len: u64) -> usize {
    (len / 16).clamp(SCAN_BYTES_MIN as u64, SCAN_BYTES as u64) as usize / BLOCK_BYTES * BLOCK_BYTES
}

impl Walk {
    pub fn new(name: String, id: u64, core: u32, end: u64) -> Walk {
        let read_bytes = scan_bytes(end);
        Walk { name, id, core, end, offset: 0, last: None, last_at: 0, flags: 0, need: 0, read_bytes }
    }

    /// The same walk in smaller reads.
    pub fn in_background(self) -> Walk {
        Walk { read_bytes: BACKGROUND_READ_BYTES, ..self }
    }

    /// The next read: where, and how many bytes. None at the end of the file.
    pub fn wants(&self) -> Option<(u64, usize)> {
        let left = self.end.saturating_sub(self.offset) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let bytes = (self.read_bytes.max(self.need) as u64).min(left);
        (bytes > 0).then_some((self.offset, bytes as usize))
    }

    /// Takes the bytes of the read that `wants` said, and calls `each` with every payload in them and where it starts
    /// in the file.
    pub fn feed<'a>(
        &mut self,
        bytes: &'a [u8],
        mut each: impl FnMut(u64, &'a [u8]) -> Result<(), String>,
    ) -> Result<Walked, Fault> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (header, payload) = match self.frame(rest)? {
                Ok(frame) => frame,
                Err(walked) => return Ok(walked),
            };
            each(self.offset + HEADER_BYTES as u64, payload).map_err(|message| self.damage(message))?;
            self.last = Some((header.sequence, header.crc));
            self.last_at = self.offset;
            self.flags = header.flags;
            self.offset += header.frame_bytes() as u64;
            at += header.frame_bytes();
        }
    }

    /// The frame at the start of `rest`, if it is the next one.
    fn frame<'a>(&mut self, rest: &'a [u8]) -> Result<Result<(frame::Header, &'a [u8]), Walked>, Fault> {
        let end = |reason: String| Ok(Err(Walked::End(reason)));
        if self.offset + BLOCK_BYTES as u64 > self.end {
            return end("the file ends here".to_owned());
        }
        if rest.len() < HEADER_BYTES {
            self.need = 0;
            return Ok(Err(Walked::More));
        }
        match frame::peek(rest) {
            Ok(header) if header.segment != self.id => {
                return end("a frame of an earlier use of the file".to_owned());
            }
            Ok(_) => {}
            Err(error) => return end(error.to_string()),
        }
        let (header, payload) = match frame::decode(rest) {
            Ok(frame) => frame,
            Err(FrameError::Short { needed }) if self.offset + needed as u64 <= self.end => {
                self.need = needed;
                return Ok(Err(Walked::More));
            }
            Err(FrameError::Newer { found, supported }) => {
                return Err(Fault::Newer { file: self.name.clone(), found, supported });
            }
            Err(error) => return end(error.to_string()),
        };
        if planted(213) && is_last(rest, &header) {
            return end("a frame with nothing behind it".to_owned());
        }
        if header.core != self.core {
            return Err(self.damage(format!("core {} wrote it, this is core {}", header.core, self.core)));
        }
        if let Some((sequence, crc)) = self.last {
            if (header.sequence, header.previous_crc, header.flags) != (sequence + 1, crc, self.flags) {
                return end(format!("frame {} does not follow frame {sequence}", header.sequence));
            }
        }
        Ok(Ok((header, payload)))
    }

    /// Damage at the present place.
    pub fn damage(&self, message: String) -> Fault {
        Fault::Damage { file: self.name.clone(), offset: self.offset, message }
    }

    /// What the block says in which the due frame should start.
    pub fn due(&self, block: &[u8]) -> Due {
        match (frame::peek(block), self.last) {
            (Ok(header), Some((sequence, _)))
                if header.segment == self.id && header.sequence != sequence + 1 =>
            {
                Due::Another
            }
            // Before the first frame of a file nothing is known of its sequence.
            (Ok(header), _) if header.segment == self.id => Due::Torn(header.frame_bytes()),
            _ => Due::Nothing,
        }
    }

    /// Looks in whole blocks for the header of a frame of this file; where it is.
    pub fn later_frame(&self, blocks: &[u8]) -> Option<usize> {
        let found = blocks
            .chunks(BLOCK_BYTES)
            .position(|block| frame::peek(block).is_ok_and(|header| header.segment == self.id));
        found.map(|index| index * BLOCK_BYTES)
    }
}

/// Whether nothing was written behind a frame at the start of `rest`, and it is not a seal.
fn is_last(rest: &[u8], header: &frame::Header) -> bool {
    let seal = rest.get(HEADER_BYTES + 4) == Some(&(RecordKind::Seal as u8));
    let behind = rest.get(header.frame_bytes()..).unwrap_or_default();
    !seal && frame::peek(behind) == Err(FrameError::Blank)
}

#[cfg(test)]
mod tests {
    use reactor::frame::{Filling, Header};

    use super::*;

    fn frame(sequence: u64, previous_crc: u32, payload: &[u8]) -> (u32, Vec<u8>) {
        let mut filling = Filling::default();
        filling.extend(payload.len()).copy_from_slice(payload);
        let header = Header {
            version: 0,
            flags: LOG,
            core: 3,
            previous_crc,
            segment: 9,
            sequence,
            payload_bytes: 0,
            crc: 0,
        };
        let (header, buf) = filling.seal(header);
        (header.crc, buf.as_slice().to_vec())
    }

    fn walk(bytes: &[u8]) -> (Walk, Vec<usize>, Walked) {
        let mut walk = Walk::new("f".into(), 9, 3, bytes.len() as u64);
        let mut lengths = Vec::new();
        loop {
            let Some((offset, count)) = walk.wants() else {
                return (walk, lengths, Walked::End("no more".into()));
            };
            let part = &bytes[offset as usize..offset as usize + count];
            let walked = walk.feed(part, |_, payload| {
                lengths.push(payload.len());
                Ok(())
            });
            match walked {
                Ok(Walked::More) => {}
                Ok(end) => return (walk, lengths, end),
                Err(fault) => panic!("{fault}"),
            }
        }
    }

    #[test]
    fn frames_longer_than_a_read_are_found() {
        let mut bytes = Vec::new();
        let mut crc = 0;
        let lengths = [10, SCAN_BYTES - 5000, 2 * SCAN_BYTES, 3];
        for (sequence, &length) in lengths.iter().enumerate() {
            let (next, frame) = frame(sequence as u64 + 5, crc, &vec![1; length]);
            crc = next;
            bytes.extend(frame);
        }
        bytes.extend([0; 4096]);
        let (walk, found, end) = walk(&bytes);
        assert_eq!(found, lengths);
        assert_eq!(end, Walked::End("no frame was written here".into()));
        assert_eq!(walk.last, Some((8, crc)));
        assert_eq!(walk.offset as usize, bytes.len() - 4096);
    }

    #[test]
    fn a_gap_and_a_torn_frame_end_the_walk() {
        let (crc, first) = frame(0, 0, b"one");
        let (_, gap) = frame(2, crc, b"three");
        let (walk_, found, end) = walk(&[first.clone(), gap.clone()].concat());
        assert_eq!((found, end), (vec![3], Walked::End("frame 2 does not follow frame 0".into())));
        assert_eq!((walk_.due(&gap), walk_.later_frame(&gap)), (Due::Another, Some(0)));
        let (_, mut torn) = frame(1, crc, &[5; 6000]);
        torn[4096..].fill(0);
        let (walk_, found, end) = walk(&[first, torn.clone(), gap].concat());
        assert_eq!(found, vec![3]);
        assert!(matches!(end, Walked::End(reason) if reason.contains("checksum")));
        assert_eq!(walk_.due(&torn), Due::Torn(8192));
        assert_eq!(walk_.later_frame(&torn[4096..]), None);
    }
}
