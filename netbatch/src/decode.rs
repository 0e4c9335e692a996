//! From bytes in any pieces to whole, checked frames, and from frames to messages.
//!
//! A frame that lies whole in the bytes at hand is checked and read where it lies. Only one that arrives in
//! pieces is copied, and memory for it grows with the bytes that arrived, never with the length that was
//! announced.

use crate::error::BadFrame;
use crate::frame::{Header, Part, HEADER_BYTES};
use crate::limits::{FRAME_BYTES_MAX, PARTIAL_KEPT_BYTES};

/// What is to be done with each frame.
pub type OnFrame<'a> = &'a mut dyn FnMut(&Header, &[u8]) -> Result<(), BadFrame>;

/// Finds the frames of one link's byte stream. After an error it must not be fed again.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The start of a frame that is not yet whole.
    partial: Vec<u8>,
    /// Its header, once that is whole.
    header: Option<Header>,
}

impl Decoder {
    /// Hands out each frame that is whole with these bytes, in order.
    pub fn feed(&mut self, bytes: &[u8], on_frame: OnFrame<'_>) -> Result<(), BadFrame> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.partial.is_empty() {
                rest = self.feed_in_place(rest, on_frame)?;
            } else {
                rest = self.feed_partial(rest, on_frame)?;
            }
        }
        Ok(())
    }

    /// Bytes of memory held for a frame that is not yet whole.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Reads one frame where it lies, or keeps what there is of it.
    fn feed_in_place<'a>(&mut self, bytes: &'a [u8], on_frame: OnFrame<'_>) -> Result<&'a [u8], BadFrame> {
        if let Some(head) = bytes.first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(head)?;
            if let Some((frame, rest)) = bytes.split_at_checked(header.frame_bytes()) {
                deliver(&header, frame, on_frame)?;
                self.rest_if_idle(&header);
                return Ok(rest);
            }
            self.header = Some(header);
        }
        self.keep(bytes);
        Ok(&[])
    }

    /// Completes the header, then the frame, from the front of the bytes.
    fn feed_partial<'a>(&mut self, bytes: &'a [u8], on_frame: OnFrame<'_>) -> Result<&'a [u8], BadFrame> {
        let due_bytes = self.header.map_or(HEADER_BYTES, |header| header.frame_bytes());
        assert!(self.partial.len() < due_bytes, "what is kept is not yet whole");
        let (taken, rest) = bytes.split_at(bytes.len().min(due_bytes - self.partial.len()));
        self.keep(taken);
        if self.header.is_none() {
            if let Some(head) = self.partial.first_chunk::<HEADER_BYTES>() {
                self.header = Some(Header::parse(head)?);
            }
        }
        if let Some(header) = self.header.filter(|header| header.frame_bytes() == self.partial.len()) {
            deliver(&header, &self.partial, on_frame)?;
            self.header = None;
            self.partial.clear();
            self.rest_if_idle(&header);
        }
        Ok(rest)
    }

    /// A busy link keeps its memory for the next frame; an empty frame says that it is busy no more.
    fn rest_if_idle(&mut self, header: &Header) {
        if header.count == 0 {
            self.partial.shrink_to(PARTIAL_KEPT_BYTES);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        reserve(&mut self.partial, bytes.len(), FRAME_BYTES_MAX);
        self.partial.extend_from_slice(bytes);
        assert!(self.partial.len() <= FRAME_BYTES_MAX, "no more than one frame is kept");
    }
}

/// Makes room for more bytes: twice what there was, so that growing costs little, but never beyond what can
/// come.
fn reserve(bytes: &mut Vec<u8>, more_bytes: usize, bytes_max: usize) {
    let needed = bytes.len() + more_bytes;
    if needed > bytes.capacity() {
        let doubled = (2 * bytes.capacity()).min(bytes_max);
        bytes.reserve_exact(needed.max(doubled) - bytes.len());
    }
}

fn deliver(header: &Header, frame: &[u8], on_frame: OnFrame<'_>) -> Result<(), BadFrame> {
    let body = &frame[HEADER_BYTES..];
    header.check_body(body)?;
    on_frame(header, body)
}

/// Puts the parts of a split message together again. One message at a time: a split message's parts follow
/// each other.
#[derive(Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
    /// Length of the message whose parts are arriving.
    total_bytes: Option<usize>,
}

impl Assembly {
    /// Bytes of memory held for a message that is not yet whole.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes a part and hands out the message that is whole with it, if one is.
    pub fn step(&mut self, part: Part<'_>, deliver: &mut dyn FnMut(&[u8])) -> Result<(), BadFrame> {
        match (part, self.total_bytes) {
            (Part::Whole(message), None) => deliver(message),
            (Part::First { total_bytes, bytes }, None) => {
                self.total_bytes = Some(total_bytes);
                self.append(bytes, total_bytes)?;
            }
            (Part::Middle(bytes), Some(total_bytes)) => self.append(bytes, total_bytes)?,
            (Part::Last(bytes), Some(total_bytes)) => {
                if self.bytes.len() + bytes.len() != total_bytes {
                    return Err(BadFrame::Parts);
                }
                let mut message = std::mem::take(&mut self.bytes);
                message.extend_from_slice(bytes);
                self.total_bytes = None;
                deliver(&message);
            }
            _ => return Err(BadFrame::Parts),
        }
        Ok(())
    }

    /// Adds bytes that are not the last ones.
    fn append(&mut self, bytes: &[u8], total_bytes: usize) -> Result<(), BadFrame> {
        if bytes.is_empty() || self.bytes.len() + bytes.len() >= total_bytes {
            return Err(BadFrame::Parts);
        }
        reserve(&mut self.bytes, bytes.len(), total_bytes);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{put, seal};

    fn stream() -> Vec<u8> {
        let mut stream = Vec::new();
        for (sequence, bytes) in [(1, 3), (2, 0), (3, 70_000), (4, 40)] {
            let mut frame = vec![0; HEADER_BYTES];
            put(&mut frame, Part::Whole(&vec![sequence as u8; bytes]));
            seal(&mut frame, 1, sequence, 0);
            stream.extend(frame);
        }
        stream
    }

    #[test]
    fn any_pieces_give_the_same_frames() {
        let stream = stream();
        for piece in [1, 2, 39, 40, 41, 1000, 70_000, stream.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            let mut fed = 0;
            for bytes in stream.chunks(piece) {
                decoder
                    .feed(bytes, &mut |header, body| {
                        seen.push((header.sequence, body.len()));
                        Ok(())
                    })
                    .unwrap();
                fed += bytes.len();
                assert!(decoder.held_bytes() <= (2 * fed).max(64), "memory grows with what arrived");
            }
            assert_eq!(seen, [(1, 7), (2, 4), (3, 70_004), (4, 44)], "pieces of {piece}");
            assert!(decoder.held_bytes() <= 2 * 70_044, "a busy link keeps its memory");
            let mut empty = vec![0; HEADER_BYTES];
            seal(&mut empty, 0, 5, 0);
            decoder.feed(&empty, &mut |_, _| Ok(())).unwrap();
            assert!(decoder.held_bytes() <= PARTIAL_KEPT_BYTES, "an idle one does not");
        }
    }

    #[test]
    fn a_frame_in_one_piece_is_not_copied() {
        let stream = stream();
        let range = stream.as_ptr_range();
        let mut decoder = Decoder::default();
        decoder
            .feed(&stream, &mut |_, body| {
                assert!(range.contains(&body.as_ptr()));
                Ok(())
            })
            .unwrap();
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        seal(&mut frame, 0, 1, 0);
        let mut decoder = Decoder::default();
        decoder.feed(&frame[..100], &mut |_, _| Ok(())).unwrap();
        assert!(decoder.held_bytes() <= 200);
    }

    #[test]
    fn parts_must_follow_each_other() {
        use Part::{First, Last, Middle, Whole};
        let first = First { total_bytes: 4, bytes: b"ab" };
        let good: &[&[Part<'_>]] = &[&[first, Last(b"cd")], &[first, Middle(b"c"), Last(b"d"), Whole(b"e")]];
        let bad: &[&[Part<'_>]] = &[
            &[Middle(b"a")],
            &[Last(b"a")],
            &[first, Whole(b"x")],
            &[first, first],
            &[first, Last(b"c")],
            &[first, Last(b"cde")],
            &[first, Middle(b"cd")],
            &[first, Middle(b"")],
            &[First { total_bytes: 1, bytes: b"" }],
            &[First { total_bytes: 1, bytes: b"ab" }],
        ];
        let run = |parts: &[Part<'_>]| {
            let mut assembly = Assembly::default();
            let mut messages = Vec::new();
            parts
                .iter()
                .try_for_each(|part| assembly.step(*part, &mut |message| messages.push(message.to_vec())))
                .map(|()| messages)
        };
        assert_eq!(run(good[0]), Ok(vec![b"abcd".to_vec()]));
        assert_eq!(run(good[1]), Ok(vec![b"abcd".to_vec(), b"e".to_vec()]));
        for parts in bad {
            assert_eq!(run(parts), Err(BadFrame::Parts), "{parts:?}");
        }
    }
}
