//! The record: one key, stamp, kind and body in a frame. The layout is in docs/formats/segment.md.
//!
//! Every record has a checksum of its own, so that one read from disk without its frame proves itself.

use reactor::frame::Filling;

use crate::limits::{BODY_BYTES_MAX, DELTA_BODY_BYTES_MAX, KEY_BYTES_MAX, ROUND_MAX, SLOTS, UNIT_BYTES};
use crate::types::{Kind, Stamp};

/// Bytes before the key, or before the base where there is one.
pub(crate) const HEADER_BYTES: usize = 32;

/// Bytes of a base: round, node, incarnation.
pub(crate) const BASE_BYTES: usize = 16;

/// The flag of a record that extends another.
const EXTENDS: u8 = 1;

/// The version of frames with records that extend others.
const DELTA_VERSION: u16 = 2;

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

    /// Whether the directory has it as the key's entry, if it is the newest.
    pub fn is_entry(self) -> bool {
        matches!(self, RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone)
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
    /// The stamp of the record that it extends.
    pub base: Option<Stamp>,
    pub key: &'a [u8],
    pub body: &'a [u8],
}

impl Raw<'_> {
    /// Length on disk in bytes, padding included.
    #[inline]
    pub fn encoded_bytes(&self) -> usize {
        match self.base {
            None => encoded_bytes(self.key.len(), self.body.len()),
            Some(_) => delta_bytes(self.key.len(), self.body.len()),
        }
    }
}

/// Length on disk in bytes of a record that extends none, padding included.
pub(crate) fn encoded_bytes(key: usize, body: usize) -> usize {
    (HEADER_BYTES + key + body).next_multiple_of(UNIT_BYTES)
}

/// As [`encoded_bytes`], of a record that extends another.
pub(crate) fn delta_bytes(key: usize, body: usize) -> usize {
    encoded_bytes(BASE_BYTES + key, body)
}

/// Adds the record, of so many bytes, to a frame.
pub(crate) fn push(raw: &Raw<'_>, bytes: usize, filling: &mut Filling) {
    need_version(raw, filling);
    encode(raw, filling.extend(bytes));
}

/// A frame with a record that extends another says so: who does not know of such records refuses the frame by its version.
pub(crate) fn need_version(raw: &Raw<'_>, filling: &mut Filling) {
    if raw.base.is_some() {
        filling.need_version(DELTA_VERSION);
    }
}

/// Writes the record; `out` is as long as [`Raw::encoded_bytes`] says.
pub(crate) fn encode(raw: &Raw<'_>, out: &mut [u8]) {
    let key_at = HEADER_BYTES + raw.base.map_or(0, |_| BASE_BYTES);
    let body_at = key_at + raw.key.len();
    let end = body_at + raw.body.len();
    assert!(out.len() == end.next_multiple_of(UNIT_BYTES), "a record fills the room that was made for it");
    write_header(raw, &mut out[..HEADER_BYTES]);
    if let Some(base) = raw.base {
        write_stamp(base, &mut out[HEADER_BYTES..key_at]);
    }
    out[key_at..body_at].copy_from_slice(raw.key);
    out[body_at..end].copy_from_slice(raw.body);
    out[end..].fill(0);
    let crc = crc32c::crc32c(&out[4..end]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Writes all of the header but the checksum, which becomes zero.
fn write_header(raw: &Raw<'_>, out: &mut [u8]) {
    out[0..4].fill(0);
    out[4] = raw.kind as u8;
    out[5] = raw.base.map_or(0, |_| EXTENDS);
    out[6..8].copy_from_slice(&raw.slot.to_le_bytes());
    write_stamp(raw.stamp, &mut out[8..24]);
    out[24..28].copy_from_slice(&(raw.key.len() as u32).to_le_bytes());
    out[28..32].copy_from_slice(&(raw.body.len() as u32).to_le_bytes());
}

fn write_stamp(stamp: Stamp, out: &mut [u8]) {
    out[..8].copy_from_slice(&stamp.round.to_le_bytes());
    out[8..12].copy_from_slice(&stamp.node.to_le_bytes());
    out[12..].copy_from_slice(&stamp.incarnation.to_le_bytes());
}

fn read_stamp(bytes: &[u8; BASE_BYTES]) -> Result<Stamp, String> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let round = u64::from(word(0)) | u64::from(word(4)) << 32;
    if round > ROUND_MAX {
        return Err(format!("a record with round {round}"));
    }
    Ok(Stamp { round, node: word(8), incarnation: word(12) })
}

/// A record's header, with its lengths checked against their bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub crc: u32,
    pub kind: RecordKind,
    pub slot: u16,
    pub stamp: Stamp,
    /// The stamp of the record that it extends.
    pub base: Option<Stamp>,
    pub key_bytes: usize,
    pub body_bytes: usize,
}

impl Head {
    /// Where the key starts.
    pub fn key_at(&self) -> usize {
        HEADER_BYTES + self.base.map_or(0, |_| BASE_BYTES)
    }

    /// Where the body starts.
    pub fn body_at(&self) -> usize {
        self.key_at() + self.key_bytes
    }

    /// Where the body ends.
    pub fn end(&self) -> usize {
        self.body_at() + self.body_bytes
    }

    /// Length with padding.
    pub fn taken(&self) -> usize {
        self.end().next_multiple_of(UNIT_BYTES)
    }
}

/// Reads a header from the start of `bytes`.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> Result<Head, String> {
    let Some(h) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(format!("a record's header is cut off after {} bytes", bytes.len()));
    };
    let word = |at: usize| u32::from_le_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]);
    let kind = RecordKind::from_byte(h[4]).ok_or_else(|| format!("a record of unknown kind {}", h[4]))?;
    if h[5] & !EXTENDS != 0 {
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
    let base = if h[5] == 0 { None } else { Some(base(bytes, kind, stamp, body_bytes)?) };
    Ok(Head { crc: word(0), kind, slot, stamp, base, key_bytes, body_bytes })
}

/// The base behind a header that announces one.
#[cold]
fn base(bytes: &[u8], kind: RecordKind, stamp: Stamp, body_bytes: usize) -> Result<Stamp, String> {
    let Some(base) = bytes[HEADER_BYTES..].first_chunk::<BASE_BYTES>() else {
        return Err(format!("a record's base is cut off after {} bytes", bytes.len()));
    };
    let base = read_stamp(base)?;
    if !kind.is_value() || body_bytes > DELTA_BODY_BYTES_MAX {
        return Err(format!(
            "a record of kind {kind:?} with {body_bytes} bytes of body that extends another"
        ));
    }
    if base == Stamp::ZERO || base >= stamp {
        return Err(format!("a record of round {} that extends one of round {}", stamp.round, base.round));
    }
    Ok(base)
}

/// Reads the record at the start of `bytes` and checks it; also says how many bytes it takes.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Raw<'_>, usize), String> {
    let (raw, head) = split(bytes)?;
    let computed = crc32c::crc32c(&bytes[4..head.end()]);
    if computed != head.crc {
        return Err(format!("a record's checksum is {computed:#010x}, its header says {:#010x}", head.crc));
    }
    Ok((raw, head.taken()))
}

/// As [`decode`] for bytes that the frame's checksum has proved already.
pub(crate) fn decode_proved(bytes: &[u8]) -> Result<(Raw<'_>, usize), String> {
    split(bytes).map(|(raw, head)| (raw, head.taken()))
}

fn split(bytes: &[u8]) -> Result<(Raw<'_>, Head), String> {
    let head = head(bytes)?;
    let (body_at, end) = (head.body_at(), head.end());
    let (Some(key), Some(body)) = (bytes.get(head.key_at()..body_at), bytes.get(body_at..end)) else {
        return Err(format!("a record of {end} bytes is cut off after {}", bytes.len()));
    };
    if head.taken() > bytes.len() {
        return Err("a record's padding is cut off".to_owned());
    }
    let Head { kind, slot, stamp, base, .. } = head;
    Ok((Raw { kind, slot, stamp, base, key, body }, head))
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
        Raw { kind: RecordKind::Value, slot: 16_383, stamp, base: None, key, body }
    }

    fn encoded(raw: &Raw<'_>) -> Vec<u8> {
        let mut out = vec![0xee; raw.encoded_bytes()];
        encode(raw, &mut out);
        out
    }

    const BASE: Stamp = Stamp { round: 1 << 39, node: 8, incarnation: u32::MAX };

    #[test]
    fn a_delta_has_its_base_between_header_and_key() {
        for (key, body) in [(&b""[..], &b""[..]), (b"k", b""), (b"key", b"body of some length")] {
            let bytes = encoded(&Raw { base: Some(BASE), ..sample(key, body) });
            assert_eq!((bytes.len(), bytes[5]), (delta_bytes(key.len(), body.len()), EXTENDS));
            let (raw, taken) = decode(&bytes).unwrap();
            assert_eq!((raw.base, raw.key, raw.body, taken), (Some(BASE), key, body, bytes.len()));
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let padding = HEADER_BYTES + BASE_BYTES + key.len() + body.len();
                assert!(decode(&bad).is_err() || bit / 8 >= padding, "bit {bit}");
            }
            assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut]).is_err()));
        }
    }

    #[test]
    fn a_delta_extends_an_older_value_and_is_one() {
        let sample = sample(b"key", b"body");
        let stamp = sample.stamp;
        let fine = Raw { base: Some(BASE), ..sample };
        let just = Stamp { incarnation: stamp.incarnation - 1, ..stamp };
        for good in [fine, Raw { kind: RecordKind::Expiring, ..fine }, Raw { base: Some(just), ..fine }] {
            assert!(decode(&encoded(&good)).is_ok());
        }
        let long = vec![0; DELTA_BODY_BYTES_MAX + 1];
        let newer = Stamp { node: stamp.node + 1, ..stamp };
        let beyond = Stamp { round: 1 << 47, ..BASE };
        let bases = [Stamp::ZERO, stamp, newer, beyond].map(|base| Raw { base: Some(base), ..fine });
        let kinds = [2, 3, 4, 5, 6].map(|kind| RecordKind::from_byte(kind).unwrap());
        let kinds = kinds.map(|kind| Raw { kind, ..fine });
        for bad in bases.into_iter().chain(kinds).chain([Raw { body: &long, ..fine }]) {
            assert!(decode(&encoded(&bad)).is_err(), "{:?} {:?}", bad.kind, bad.base);
        }
        let mut flags = encoded(&fine);
        flags[5] = 3;
        assert_eq!(decode(&flags).unwrap_err(), "a record with unknown flags 0x03");
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
