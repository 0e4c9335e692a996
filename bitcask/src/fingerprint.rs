//! Fingerprints: what stands for a key in RAM.
//!
//! 80 bits of SipHash-1-3-128 under a secret key of the directory. Among a billion keys the chance of any collision
//! is below 10^-6, and a client who does not know the secret cannot make one. The key is still compared on every
//! read, so a collision could make a write go wrong, never a read.

use std::hash::{BuildHasher, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::types::Stamp;

/// 80 bits that stand for a key; ordered, so that a slot can be walked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// The upper 64 bits.
    pub hi: u64,
    /// The lower 16 bits.
    pub lo: u16,
}

impl Fingerprint {
    /// The least fingerprint: where a walk through a slot starts.
    pub const MIN: Fingerprint = Fingerprint { hi: 0, lo: 0 };

    /// The next one in order, or none after the last.
    pub fn next(self) -> Option<Fingerprint> {
        match self.lo.checked_add(1) {
            Some(lo) => Some(Fingerprint { hi: self.hi, lo }),
            None => self.hi.checked_add(1).map(|hi| Fingerprint { hi, lo: 0 }),
        }
    }
}

/// Hashes fingerprints for maps in memory: they are hashes already, and are taken as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct FingerprintHasher;

impl BuildHasher for FingerprintHasher {
    type Hasher = Taken;

    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

/// The hasher behind [`FingerprintHasher`].
#[derive(Debug)]
pub struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    fn write_u16(&mut self, word: u16) {
        self.0 = self.0.rotate_left(16) ^ u64::from(word);
    }
}

/// Makes fingerprints, and what else needs the directory's secret.
#[derive(Clone, Debug)]
pub struct Keyed {
    hasher: SipHasher13,
    secret: [u8; 16],
}

impl Keyed {
    /// With this secret.
    pub fn new(secret: [u8; 16]) -> Keyed {
        Keyed { hasher: SipHasher13::new_with_key(&secret), secret }
    }

    /// The secret, to be stored.
    pub fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// The fingerprint of a key.
    pub fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        let hash = self.hasher.hash(key);
        Fingerprint { hi: hash.h1, lo: hash.h2 as u16 }
    }

    /// One term of a slot's sum.
    pub fn term(&self, fingerprint: Fingerprint, stamp: Stamp) -> u128 {
        let mut bytes = [0; 26];
        bytes[..8].copy_from_slice(&fingerprint.hi.to_le_bytes());
        bytes[8..10].copy_from_slice(&fingerprint.lo.to_le_bytes());
        bytes[10..18].copy_from_slice(&stamp.round.to_le_bytes());
        bytes[18..22].copy_from_slice(&stamp.node.to_le_bytes());
        bytes[22..].copy_from_slice(&stamp.incarnation.to_le_bytes());
        self.hasher.hash(&bytes).as_u128()
    }

    /// The id of the `count`th segment: the count above, 32 bits below that a client cannot guess, so that no value
    /// can pass for a frame of the segment it lies in.
    pub fn segment_id(&self, count: u32) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(b"segment");
        hasher.write_u32(count);
        u64::from(count) << 32 | hasher.finish128().h1 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_decides() {
        let (one, other) = (Keyed::new([1; 16]), Keyed::new([2; 16]));
        assert_eq!(one.fingerprint(b"a"), Keyed::new([1; 16]).fingerprint(b"a"));
        assert_ne!(one.fingerprint(b"a"), other.fingerprint(b"a"));
        assert_ne!(one.fingerprint(b"a"), one.fingerprint(b"b"));
        assert_eq!(one.segment_id(7) >> 32, 7);
        assert_ne!(one.segment_id(7), other.segment_id(7));
    }

    #[test]
    fn a_walk_goes_on_behind_any_fingerprint() {
        let next = |hi, lo| Fingerprint { hi, lo }.next();
        assert_eq!(next(1, 2), Some(Fingerprint { hi: 1, lo: 3 }));
        assert_eq!(next(1, u16::MAX), Some(Fingerprint { hi: 2, lo: 0 }));
        assert_eq!(next(u64::MAX, u16::MAX), None);
    }
}
