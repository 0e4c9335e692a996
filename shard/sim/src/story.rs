//! The story of a run: a hash over all its events, and its lines for whoever wants to read them.

use reactor::clock::Nanos;
use shard::wire::PeerMessage;

use crate::limits::STORY_LINE_BYTES_MAX;

/// See the module's head.
#[derive(Debug)]
pub struct Story {
    printed: bool,
    hash: u64,
}

impl Story {
    /// A story, printed line by line as it happens or only hashed.
    pub fn new(printed: bool) -> Story {
        Story { printed, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// The hash of all that happened so far: equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Adds a number to the hash.
    pub fn mix(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Adds bytes to the hash.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    /// Tells a line, if anybody listens.
    pub fn tell(&mut self, now: Nanos, line: impl FnOnce() -> String) {
        if self.printed {
            let mut line = line();
            if line.len() > STORY_LINE_BYTES_MAX {
                let end = (0..=STORY_LINE_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
                line.truncate(end);
                line.push('…');
            }
            println!("{:>5}.{:06} ms  {line}", now / 1_000_000, now % 1_000_000);
        }
    }
}

/// A message between hosts, in words.
pub fn describe(bytes: &[u8]) -> String {
    match PeerMessage::decode(bytes) {
        Ok((sender, PeerMessage::Paxos { key, message, .. })) => {
            format!("[{}] {} {message:?}", sender.incarnation, key.escape_ascii())
        }
        Ok((sender, message)) => format!("[{}] {message:?}", sender.incarnation),
        Err(error) => format!("unreadable: {error:?}"),
    }
}
