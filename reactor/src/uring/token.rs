//! The 64-bit tag that travels with an operation to the kernel and back: what it is and whose it is.
//!
//! Layout: kind in the top 8 bits, generation in the next 24, slot in the low 32. The generation makes a slot's next
//! owner different from its last, so that a completion can never reach the wrong one unnoticed.

/// Slots that a token can name.
pub const SLOTS_MAX: usize = 1 << 32;

const GENERATION_BITS: u32 = 24;
/// Generations count up and wrap inside these bits.
pub const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nobody waits for it (cancel, close); it reports only failure, which is harmless.
    Ignored = 0,
    /// Multishot accept of a listener.
    Accept = 1,
    /// Multishot receive of a connection.
    Receive = 2,
    /// Send of a connection.
    Send = 3,
    /// Connect of a connection.
    Connect = 4,
    /// Cancels everything of a connection that closes.
    Cancel = 5,
    /// Disk operation.
    Disk = 6,
    /// Posted by another core's ring.
    Wake = 7,
    /// The own wake of another core, reported only when it failed; the slot is the target.
    WakeFailed = 8,
    /// Read of the event counter by which threads outside wake the core.
    Outside = 9,
}

const KINDS: [Kind; 10] = [
    Kind::Ignored,
    Kind::Accept,
    Kind::Receive,
    Kind::Send,
    Kind::Connect,
    Kind::Cancel,
    Kind::Disk,
    Kind::Wake,
    Kind::WakeFailed,
    Kind::Outside,
];

/// A slot and the generation of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index into a slab.
    pub slot: u32,
    /// Which owner of the slot, at most [`GENERATION_MASK`].
    pub generation: u32,
}

/// Packs a tag.
pub fn encode(kind: Kind, key: Key) -> u64 {
    assert!(key.generation <= GENERATION_MASK, "a generation fits its bits");
    (u64::from(kind as u8) << 56) | (u64::from(key.generation) << 32) | u64::from(key.slot)
}

/// Unpacks a tag. The kernel only hands back what [`encode`] made, so another kind is a broken invariant.
pub fn decode(token: u64) -> (Kind, Key) {
    let kind = KINDS.get((token >> 56) as usize).copied();
    let key = Key { slot: token as u32, generation: (token >> 32) as u32 & GENERATION_MASK };
    (kind.expect("the kernel returns the tags it was given"), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_as_they_went() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            for (slot, generation) in [(0, 0), (1, 2), (u32::MAX, GENERATION_MASK), (7, GENERATION_MASK)] {
                let key = Key { slot, generation };
                assert_eq!(decode(encode(kind, key)), (kind, key));
            }
        }
    }
}
