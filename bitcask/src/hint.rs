//! The entries of a hint: what start-up needs to know of a sealed segment. The layout is in docs/formats/hint.md.
//!
//! An entry is eight bytes of location and the record's header with its key; bodies are left out, except of those
//! records whose body the directory itself needs.

use reactor::frame::Filling;

use crate::limits::{DELTA_UNITS_MAX, RECORD_UNITS_MAX, UNIT_BYTES};
use crate::record::{self, Raw, RecordKind};

/// Bytes before the record's header.
pub(crate) const LOCATION_BYTES: usize = 8;

/// An entry of a hint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HintEntry<'a> {
    /// The record, with an empty body where the hint leaves it out.
    pub raw: Raw<'a>,
    /// Where the record lies in the segment, in units.
    pub offset: u32,
    /// How long it is with its padding, in units.
    pub length: u32,
}

/// Whether a hint keeps the body of a record of this kind.
fn keeps_body(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Meta | RecordKind::Remove | RecordKind::Seal)
}

fn reduced<'a>(raw: &Raw<'a>) -> Raw<'a> {
    if keeps_body(raw.kind) {
        *raw
    } else {
        Raw { body: &[], ..*raw }
    }
}

/// Length of an entry for this record, in bytes.
pub(crate) fn encoded_bytes(raw: &Raw<'_>) -> usize {
    LOCATION_BYTES + reduced(raw).encoded_bytes()
}

/// Adds an entry to a frame.
pub(crate) fn push(entry: &HintEntry<'_>, filling: &mut Filling) {
    record::need_version(&entry.raw, filling);
    encode(entry, filling.extend(encoded_bytes(&entry.raw)));
}

/// Writes an entry; `out` is as long as [`encoded_bytes`] says.
fn encode(entry: &HintEntry<'_>, out: &mut [u8]) {
    out[..4].copy_from_slice(&entry.offset.to_le_bytes());
    out[4..LOCATION_BYTES].copy_from_slice(&entry.length.to_le_bytes());
    record::encode(&reduced(&entry.raw), &mut out[LOCATION_BYTES..]);
}

/// Calls `each` with every entry of a payload that its frame has proved.
pub(crate) fn each<'a>(
    payload: &'a [u8],
    mut each: impl FnMut(HintEntry<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut rest = payload;
    while !rest.is_empty() {
        let Some((place, record)) = rest.split_first_chunk::<LOCATION_BYTES>() else {
            return Err("an entry of a hint is cut off".to_owned());
        };
        let word = |at: usize| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]]);
        let (raw, taken) = record::decode_proved(record)?;
        each(HintEntry { raw, offset: word(0), length: word(4) })?;
        rest = &record[taken..];
    }
    Ok(())
}

/// Checks that an entry's location lies within a segment of this length, and is one of such a record.
pub(crate) fn check_location(entry: &HintEntry<'_>, segment_bytes: u64) -> Result<(), String> {
    let least = entry.raw.encoded_bytes();
    let most = entry.raw.base.map_or(RECORD_UNITS_MAX, |_| DELTA_UNITS_MAX);
    let end = (u64::from(entry.offset) + u64::from(entry.length)) * UNIT_BYTES as u64;
    if end > segment_bytes || entry.length > most || (entry.length as usize) * UNIT_BYTES < least {
        return Err(format!("an entry at unit {} of length {} lies outside", entry.offset, entry.length));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Stamp;

    #[test]
    fn entries_keep_keys_and_leave_bodies_out() {
        let stamp = Stamp { round: 3, node: 2, incarnation: 1 };
        let record = |kind, body| Raw { kind, slot: 5, stamp, base: None, key: b"key", body };
        let (value, meta) = (record(RecordKind::Value, b"a long body"), record(RecordKind::Meta, b"kept"));
        let base = Some(Stamp { round: 2, ..stamp });
        let mut payload = Vec::new();
        for (raw, offset) in [(value, 5), (meta, 50), (Raw { base, ..value }, 60)] {
            let start = payload.len();
            payload.resize(start + encoded_bytes(&raw), 0);
            encode(&HintEntry { raw, offset, length: 7 }, &mut payload[start..]);
        }
        let mut seen = Vec::new();
        each(&payload, |entry| {
            check_location(&entry, 1000)?;
            let Raw { kind, base, key, body, .. } = entry.raw;
            seen.push((kind, base, key, body, entry.offset, entry.length));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                (RecordKind::Value, None, &b"key"[..], &b""[..], 5, 7),
                (RecordKind::Meta, None, &b"key"[..], &b"kept"[..], 50, 7),
                (RecordKind::Value, base, &b"key"[..], &b""[..], 60, 7)
            ]
        );
        for (raw, most) in [(value, RECORD_UNITS_MAX), (Raw { base, ..value }, DELTA_UNITS_MAX)] {
            assert!(check_location(&HintEntry { raw, offset: 0, length: most }, 1 << 28).is_ok());
            assert!(check_location(&HintEntry { raw, offset: 0, length: most + 1 }, 1 << 28).is_err());
        }
        assert!(each(&payload[..payload.len() - 1], |_| Ok(())).is_err());
        assert!(check_location(&HintEntry { raw: value, offset: 120, length: 7 }, 1000).is_err());
    }
}
