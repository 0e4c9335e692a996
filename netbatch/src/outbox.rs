//! The outbox of one peer: messages become frames as they are pushed, with room left for the header.
//!
//! A message is copied once, into the frame that it will leave in. A message that fits into no frame becomes
//! a run of frames that one link takes as a whole, so that its parts stay in order; other links go on with
//! what lies behind it.

use std::collections::VecDeque;

use crate::frame::{put, Part, FIRST_PART_BYTES, HEADER_BYTES, PART_BYTES};
use crate::limits::{BODY_BYTES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, OUTBOX_RESERVE_BYTES_MAX};

/// A frame without its header.
#[derive(Debug)]
pub struct Unsealed {
    /// Room for the header, and the body.
    pub bytes: Vec<u8>,
    /// Messages and parts in the body.
    pub count: u32,
    /// Messages that end in the body.
    pub messages: u32,
    /// The next frame goes on with the message that this one ends in.
    pub more: bool,
    /// Nothing may be appended.
    full: bool,
}

impl Unsealed {
    fn new(reserve_bytes: usize) -> Unsealed {
        let mut bytes = Vec::with_capacity(reserve_bytes.max(HEADER_BYTES));
        bytes.resize(HEADER_BYTES, 0);
        Unsealed { bytes, count: 0, messages: 0, more: false, full: false }
    }

    /// A frame that carries nothing.
    pub fn empty() -> Unsealed {
        Unsealed::new(HEADER_BYTES)
    }

    /// Length of the body in bytes.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    fn put(&mut self, part: Part<'_>) {
        put(&mut self.bytes, part);
        assert!(self.bytes.len() <= FRAME_BYTES_MAX, "a frame stays below its bound");
        self.count += 1;
        self.more = matches!(part, Part::First { .. } | Part::Middle(_));
        self.messages += u32::from(!self.more);
    }
}

/// Frames that wait for a link, bounded in bytes.
#[derive(Debug)]
pub struct Outbox {
    frames: VecDeque<Unsealed>,
    /// Bytes of all bodies here, and of those that a link has taken and not yet sent.
    held_bytes: usize,
    bytes_max: usize,
    reserve_bytes: usize,
}

impl Outbox {
    /// An empty outbox that holds at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Outbox {
        Outbox { frames: VecDeque::new(), held_bytes: 0, bytes_max, reserve_bytes: HEADER_BYTES }
    }

    /// Bytes that wait here or with a link.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether no frame waits here.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes a message, or drops it as a whole: then nothing has changed and the answer is false.
    pub fn push(&mut self, message: &[u8]) -> bool {
        assert!(message.len() <= MESSAGE_BYTES_MAX, "a message stays below its bound");
        let bytes = wire_bytes(message.len());
        if bytes > self.bytes_max.saturating_sub(self.held_bytes) {
            return false;
        }
        if bytes <= BODY_BYTES_MAX {
            self.filling(bytes).put(Part::Whole(message));
        } else {
            self.split(message);
        }
        self.held_bytes += bytes;
        true
    }

    /// The frame that has room for so many bytes more.
    fn filling(&mut self, bytes: usize) -> &mut Unsealed {
        let room =
            self.frames.back().is_some_and(|last| !last.full && last.body_bytes() + bytes <= BODY_BYTES_MAX);
        if !room {
            self.frames.push_back(Unsealed::new(self.reserve_bytes.max(HEADER_BYTES + bytes)));
        }
        self.frames.back_mut().expect("one was pushed if there was none")
    }

    /// Makes a run of frames of a message that fits into none.
    fn split(&mut self, message: &[u8]) {
        let total_bytes = message.len();
        let (first, mut rest) = message.split_at(BODY_BYTES_MAX - FIRST_PART_BYTES);
        self.push_full(Part::First { total_bytes, bytes: first });
        while rest.len() > BODY_BYTES_MAX - PART_BYTES {
            let (middle, after) = rest.split_at(BODY_BYTES_MAX - PART_BYTES);
            self.push_full(Part::Middle(middle));
            rest = after;
        }
        self.push_full(Part::Last(rest));
    }

    fn push_full(&mut self, part: Part<'_>) {
        let mut frame = Unsealed::new(HEADER_BYTES);
        frame.put(part);
        frame.full = true;
        self.frames.push_back(frame);
    }

    /// Takes the next frame out, and with it the frames that must follow it on the same link. Their bytes
    /// count until they are released.
    pub fn take(&mut self, follow: &mut VecDeque<Unsealed>) -> Option<Unsealed> {
        let frame = self.frames.pop_front()?;
        let mut more = frame.more;
        while more {
            let next = self.frames.pop_front().expect("a split message is in the outbox to its end");
            more = next.more;
            follow.push_back(next);
        }
        self.reserve_bytes = frame.bytes.len().min(OUTBOX_RESERVE_BYTES_MAX);
        Some(frame)
    }

    /// A frame that was taken is on its way, or lost.
    pub fn release(&mut self, frame: &Unsealed) {
        let bytes = frame.body_bytes();
        assert!(bytes <= self.held_bytes, "only what was taken is released");
        self.held_bytes -= bytes;
    }

    /// Drops all that waits here and says how many messages that were.
    pub fn clear(&mut self) -> u64 {
        let mut messages = 0;
        while let Some(frame) = self.frames.pop_front() {
            messages += u64::from(frame.messages);
            self.release(&frame);
        }
        messages
    }
}

/// What a message of this length takes in the bodies of its frames, in bytes.
fn wire_bytes(message_bytes: usize) -> usize {
    if message_bytes <= BODY_BYTES_MAX - PART_BYTES {
        return PART_BYTES + message_bytes;
    }
    let behind_first = message_bytes - (BODY_BYTES_MAX - FIRST_PART_BYTES);
    FIRST_PART_BYTES + message_bytes + behind_first.div_ceil(BODY_BYTES_MAX - PART_BYTES) * PART_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_one_frame() {
        let mut outbox = Outbox::new(1 << 20);
        for message in [&b"a"[..], b"", b"ccc"] {
            assert!(outbox.push(message));
        }
        let frame = outbox.take(&mut VecDeque::new()).unwrap();
        assert_eq!((frame.count, frame.messages, frame.more), (3, 3, false));
        assert_eq!(outbox.held_bytes(), frame.body_bytes());
        outbox.release(&frame);
        assert!(outbox.is_empty() && outbox.held_bytes() == 0);
    }

    #[test]
    fn lengths_around_a_frame() {
        for bytes in [BODY_BYTES_MAX - 9, BODY_BYTES_MAX - 4, BODY_BYTES_MAX - 3, 2 * BODY_BYTES_MAX - 12] {
            for more in 0..3 {
                let mut outbox = Outbox::new(OUTBOX);
                assert!(outbox.push(&vec![1; bytes + more]));
                let held = outbox.held_bytes();
                let mut follow = VecDeque::new();
                let first = outbox.take(&mut follow).unwrap();
                let taken = first.body_bytes() + follow.iter().map(Unsealed::body_bytes).sum::<usize>();
                assert_eq!(held, taken, "{bytes} + {more}");
                assert!(outbox.is_empty());
            }
        }
    }

    const OUTBOX: usize = 32 << 20;

    #[test]
    fn the_longest_message_fits_and_a_second_is_dropped_whole() {
        let mut outbox = Outbox::new(crate::limits::OUTBOX_BYTES_DEFAULT);
        let longest = vec![7; MESSAGE_BYTES_MAX];
        assert!(outbox.push(&longest));
        let held = outbox.held_bytes();
        assert!(!outbox.push(&longest));
        assert_eq!(outbox.held_bytes(), held);
        assert!(outbox.push(b"small"));
        assert_eq!(outbox.clear(), 2);
        assert_eq!(outbox.held_bytes(), 0);
    }

    #[test]
    fn a_split_message_leaves_with_all_its_frames() {
        let mut outbox = Outbox::new(OUTBOX);
        assert!(outbox.push(&vec![1; 3 << 20]));
        assert!(outbox.push(b"behind"));
        let mut follow = VecDeque::new();
        let first = outbox.take(&mut follow).unwrap();
        assert!(first.more);
        assert_eq!(follow.iter().map(|frame| frame.more).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(outbox.take(&mut follow).map(|frame| frame.messages), Some(1));
    }
}
