//! The record: one key, stamp, kind and body in a frame. The layout is in docs/formats/segment.md.
//!
//! Every record has a checksum of its own, so that one read from disk without its frame proves itself.

use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX, ROUND_MAX, SLOTS, UNIT_BYTES};
use crate::types::{Kind, Stamp};

/// Bytes before the key.
pub(crate) const HEADER_BYTES: usize = 32;

/// What a record on disk is. The numbers are the format's; those from 8 on are free (5 bits are reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Value = 1,
    Tombstone = 2,
    Promise = 3,
    /// A named value of the owner; the key is its name of one byte, the round counts its versions.
    Meta = 4,
    /// The key's records up to the stamp, and its promises up to the one in the body, are gone.
    Remove = 5,
    /// The segment is complete; the body is a [`SealBody`].
    Seal = 6,
    /// A value that ends at a time of which the owner knows.
    Expiring = 7,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        Some(match byte {
            1 => RecordKind::Value,
            2 => RecordKind::Tombstone,
            3 => RecordKind::Promise,
            4 => RecordKind::Meta,
            5 => RecordKind::Remove,
            6 => RecordKind::Seal,
            7 => RecordKind::Expiring,
            _ => return None,
        })
    }

    /// What the record of a key says about it.
    pub fn of_key(self) -> Kind {
        match self {
            RecordKind::Tombstone => Kind::Tombstone,
            RecordKind::Expiring => Kind::Expiring,
            _ => Kind::Value,
        }
    }

    /// Whether it needs room that is not kept back: what may be refused when the disk is full.
    pub fn is_value(self) -> bool {
        matches!(self, RecordKind::Value | RecordKind::Expiring)
    }
}

/// A record as it lies in a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    pub kind: RecordKind,
    pub slot: u16,
    pub stamp: Stamp,
    pub key: &'a [u8],
    pub body: &'a [u8],
}

/// Length on disk in bytes, padding included.
pub(crate) fn encoded_bytes(key: usize, body: usize) -> usize {
    (HEADER_BYTES + key + body).next_multiple_of(UNIT_BYTES)
}

/// Writes the record; `out` is as long as [`encoded_bytes`] says.
pub(crate) fn encode(raw: &Raw<'_>, out: &mut [u8]) {
    let body_at = HEADER_BYTES + raw.key.len();
    let end = body_at + raw.body.len();
    assert!(out.len() == end.next_multiple_of(UNIT_BYTES), "a record fills the room that was made for it");
    write_header(raw, &mut out[..HEADER_BYTES]);
    out[HEADER_BYTES..body_at].copy_from_slice(raw.key);
    out[body_at..end].copy_from_slice(raw.body);
    out[end..].fill(0);
    let crc = crc32c::crc32c(&out[4..end]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Writes all of the header but the checksum, which becomes zero.
pub(crate) fn write_header(raw: &Raw<'_>, out: &mut [u8]) {
    out[0..4].fill(0);
    out[4] = raw.kind as u8;
    out[5] = 0;
    out[6..8].copy_from_slice(&raw.slot.to_le_bytes());
    out[8..16].copy_from_slice(&raw.stamp.round.to_le_bytes());
    out[16..20].copy_from_slice(&raw.stamp.node.to_le_bytes());
    out[20..24].copy_from_slice(&raw.stamp.incarnation.to_le_bytes());
    out[24..28].copy_from_slice(&(raw.key.len() as u32).to_le_bytes());
    out[28..32].copy_from_slice(&(raw.body.len() as u32).to_le_bytes());
}

/// A record's header, with its lengths checked against their bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub crc: u32,
    pub kind: RecordKind,
    pub slot: u16,
    pub stamp: Stamp,
    pub key_bytes: usize,
    pub body_bytes: usize,
}

/// Reads a header from the start of `bytes`.
pub(crate) fn head(bytes: &[u8]) -> Result<Head, String> {
    let Some(h) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(format!("a record's header is cut off after {} bytes", bytes.len()));
    };
    let word = |at: usize| u32::from_le_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]);
    let kind = RecordKind::from_byte(h[4]).ok_or_else(|| format!("a record of unknown kind {}", h[4]))?;
    if h[5] != 0 {
        return Err(format!("a record with unknown flags {:#04x}", h[5]));
    }
    let slot = u16::from_le_bytes([h[6], h[7]]);
    let stamp = Stamp {
        round: u64::from(word(8)) | u64::from(word(12)) << 32,
        node: word(16),
        incarnation: word(20),
    };
    let (key_bytes, body_bytes) = (word(24) as usize, word(28) as usize);
    if key_bytes > KEY_BYTES_MAX || body_bytes > BODY_BYTES_MAX || slot as usize >= SLOTS {
        return Err(format!(
            "a record of slot {slot} with {key_bytes} bytes of key and {body_bytes} of body"
        ));
    }
    if stamp.round > ROUND_MAX {
        return Err(format!("a record with round {}", stamp.round));
    }
    Ok(Head { crc: word(0), kind, slot, stamp, key_bytes, body_bytes })
}

/// Reads the record at the start of `bytes` and checks it; also says how many bytes it takes.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Raw<'_>, usize), String> {
    let (raw, crc, taken) = split(bytes)?;
    let end = HEADER_BYTES + raw.key.len() + raw.body.len();
    let computed = crc32c::crc32c(&bytes[4..end]);
    if computed != crc {
        return Err(format!("a record's checksum is {computed:#010x}, its header says {crc:#010x}"));
    }
    Ok((raw, taken))
}

/// As [`decode`] for bytes that the frame's checksum has proved already.
pub(crate) fn decode_proved(bytes: &[u8]) -> Result<(Raw<'_>, usize), String> {
    split(bytes).map(|(raw, _, taken)| (raw, taken))
}

fn split(bytes: &[u8]) -> Result<(Raw<'_>, u32, usize), String> {
    let head = head(bytes)?;
    let body_at = HEADER_BYTES + head.key_bytes;
    let end = body_at + head.body_bytes;
    let taken = end.next_multiple_of(UNIT_BYTES);
    let (Some(key), Some(body)) = (bytes.get(HEADER_BYTES..body_at), bytes.get(body_at..end)) else {
        return Err(format!("a record of {end} bytes is cut off after {}", bytes.len()));
    };
    if taken > bytes.len() {
        return Err("a record's padding is cut off".to_owned());
    }
    Ok((Raw { kind: head.kind, slot: head.slot, stamp: head.stamp, key, body }, head.crc, taken))
}

/// What a `Remove` record's body says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RemoveBody {
    /// Promises up to this one are gone too.
    pub promised: Stamp,
    /// The record is needed while a segment with a count up to this one exists; 0 until merge first moves it.
    pub barrier: u32,
}

/// Length of a [`RemoveBody`].
pub(crate) const REMOVE_BODY_BYTES: usize = 24;

impl RemoveBody {
    pub(crate) fn to_bytes(self) -> [u8; REMOVE_BODY_BYTES] {
        let mut out = [0; REMOVE_BODY_BYTES];
        out[0..8].copy_from_slice(&self.promised.round.to_le_bytes());
        out[8..12].copy_from_slice(&self.promised.node.to_le_bytes());
        out[12..16].copy_from_slice(&self.promised.incarnation.to_le_bytes());
        out[16..20].copy_from_slice(&self.barrier.to_le_bytes());
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<RemoveBody, String> {
        let Ok(b) = <&[u8; REMOVE_BODY_BYTES]>::try_from(bytes) else {
            return Err(format!("a removal with {} bytes of body", bytes.len()));
        };
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Ok(RemoveBody {
            promised: Stamp {
                round: u64::from(word(0)) | u64::from(word(4)) << 32,
                node: word(8),
                incarnation: word(12),
            },
            barrier: word(16),
        })
    }
}

/// What a `Seal` record's body says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealBody {
    /// Sequence of the frame that holds the seal.
    pub sequence: u64,
    /// The newest segment count given out by then: no older record of a key can lie in a segment above it.
    pub barrier: u32,
    /// Count of the segment in which the log goes on; 0 in a segment that merge wrote.
    pub next: u32,
    /// Flags of the segment's frames.
    pub flags: u16,
    /// The segment holds one record that is too large for a usual one.
    pub oversize: bool,
    /// Bytes of the segment's records, the seal left out.
    pub used: u64,
}

/// Length of a [`SealBody`].
pub(crate) const SEAL_BODY_BYTES: usize = 28;

impl SealBody {
    pub(crate) fn to_bytes(self) -> [u8; SEAL_BODY_BYTES] {
        let mut out = [0; SEAL_BODY_BYTES];
        out[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        out[8..12].copy_from_slice(&self.barrier.to_le_bytes());
        out[12..16].copy_from_slice(&self.next.to_le_bytes());
        out[16..18].copy_from_slice(&self.flags.to_le_bytes());
        out[18] = u8::from(self.oversize);
        out[20..28].copy_from_slice(&self.used.to_le_bytes());
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<SealBody, String> {
        let Ok(b) = <&[u8; SEAL_BODY_BYTES]>::try_from(bytes) else {
            return Err(format!("a seal with {} bytes of body", bytes.len()));
        };
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Ok(SealBody {
            sequence: u64::from(word(0)) | u64::from(word(4)) << 32,
            barrier: word(8),
            next: word(12),
            flags: u16::from_le_bytes([b[16], b[17]]),
            oversize: b[18] != 0,
            used: u64::from(word(20)) | u64::from(word(24)) << 32,
        })
    }
}

/// Calls `each` with every record of a payload that its frame has proved: the record, its place in the payload and its
/// length, both in bytes.
pub(crate) fn each<'a>(
    payload: &'a [u8],
    mut each: impl FnMut(Raw<'a>, usize, usize) -> Result<(), String>,
) -> Result<(), String> {
    let mut at = 0;
    while at < payload.len() {
        let (raw, taken) = decode_proved(&payload[at..])?;
        each(raw, at, taken)?;
        at += taken;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(key: &'a [u8], body: &'a [u8]) -> Raw<'a> {
        let stamp = Stamp { round: 1 << 40, node: 7, incarnation: 9 };
        Raw { kind: RecordKind::Value, slot: 16_383, stamp, key, body }
    }

    fn encoded(raw: &Raw<'_>) -> Vec<u8> {
        let mut out = vec![0xee; encoded_bytes(raw.key.len(), raw.body.len())];
        encode(raw, &mut out);
        out
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (key, body) in [(&b""[..], &b""[..]), (b"k", b""), (b"key", b"body of some length")] {
            let bytes = encoded(&sample(key, body));
            let (raw, taken) = decode(&bytes).unwrap();
            assert_eq!((raw.kind, raw.slot, raw.key, raw.body), (RecordKind::Value, 16_383, key, body));
            assert_eq!(raw.stamp, Stamp { round: 1 << 40, node: 7, incarnation: 9 });
            assert_eq!((taken, taken % 8), (bytes.len(), 0));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = encoded(&sample(b"key", b"body5"));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut {cut}");
        }
    }

    #[test]
    fn a_seal_keeps_its_body() {
        let body =
            SealBody { sequence: 1 << 33, barrier: 2, next: 3, flags: 4, oversize: true, used: 1 << 34 };
        assert_eq!(SealBody::from_bytes(&body.to_bytes()), Ok(body));
        assert!(SealBody::from_bytes(&[0; 19]).is_err());
    }

    #[test]
    fn a_removal_keeps_its_body() {
        let body = RemoveBody { promised: Stamp { round: 5, node: 6, incarnation: 7 }, barrier: 8 };
        assert_eq!(RemoveBody::from_bytes(&body.to_bytes()), Ok(body));
        assert!(RemoveBody::from_bytes(&[0; 3]).is_err());
    }
}
