//! The entries of a hint: what start-up needs to know of a sealed segment. The layout is in docs/formats/hint.md.
//!
//! An entry is eight bytes of location and the record's header with its key; bodies are left out, except of those
//! records whose body the directory itself needs. Where a value has an era that stands in the place of its body.

use reactor::frame::Filling;

use crate::limits::{DELTA_UNITS_MAX, RECORD_UNITS_MAX, UNIT_BYTES};
use crate::record::{self, Raw, RecordKind};

/// Bytes before the record's header.
pub(crate) const LOCATION_BYTES: usize = 8;

/// Bytes of an era.
const ERA_BYTES: usize = 4;

/// An entry of a hint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HintEntry<'a> {
    /// The record, with an empty body where the hint leaves it out.
    pub raw: Raw<'a>,
    /// Where the record lies in the segment, in units.
    pub offset: u32,
    /// How long it is with its padding, in units.
    pub length: u32,
    /// Of a value, its era.
    pub era: u32,
}

/// Whether a hint keeps the body of a record of this kind.
fn keeps_body(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Meta | RecordKind::Remove | RecordKind::Seal)
}

fn reduced<'a>(raw: &Raw<'a>, era: &'a [u8]) -> Raw<'a> {
    if keeps_body(raw.kind) {
        *raw
    } else {
        Raw { body: era, ..*raw }
    }
}

/// What stands in the place of a value's body.
fn era_bytes(era: &[u8; ERA_BYTES]) -> &[u8] {
    if *era == [0; ERA_BYTES] {
        &[]
    } else {
        era
    }
}

/// Length of an entry for this record of this era, in bytes.
pub(crate) fn encoded_bytes(raw: &Raw<'_>, era: u32) -> usize {
    LOCATION_BYTES + reduced(raw, era_bytes(&era.to_le_bytes())).encoded_bytes()
}

/// Adds an entry to a frame.
pub(crate) fn push(entry: &HintEntry<'_>, filling: &mut Filling) {
    record::need_version(&entry.raw, filling);
    encode(entry, filling.extend(encoded_bytes(&entry.raw, entry.era)));
}

/// Writes an entry; `out` is as long as [`encoded_bytes`] says.
fn encode(entry: &HintEntry<'_>, out: &mut [u8]) {
    out[..4].copy_from_slice(&entry.offset.to_le_bytes());
    out[4..LOCATION_BYTES].copy_from_slice(&entry.length.to_le_bytes());
    let era = entry.era.to_le_bytes();
    record::encode(&reduced(&entry.raw, era_bytes(&era)), &mut out[LOCATION_BYTES..]);
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
        let era = match raw.body.try_into() {
            Ok(era) if !keeps_body(raw.kind) => u32::from_le_bytes(era),
            _ => 0,
        };
        each(HintEntry { raw, offset: word(0), length: word(4), era })?;
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
        let (extends, older) = (Raw { base, ..value }, 1_u32 << 30);
        for (raw, offset, era) in
            [(value, 5, 0), (meta, 50, 0), (extends, 60, 0), (value, 70, older), (extends, 80, older)]
        {
            let start = payload.len();
            payload.resize(start + encoded_bytes(&raw, era), 0);
            encode(&HintEntry { raw, offset, length: 7, era }, &mut payload[start..]);
        }
        let mut seen = Vec::new();
        each(&payload, |entry| {
            check_location(&entry, 1000)?;
            let Raw { kind, base, key, body, .. } = entry.raw;
            seen.push((kind, base, key, body, entry.offset, entry.length, entry.era));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                (RecordKind::Value, None, &b"key"[..], &b""[..], 5, 7, 0),
                (RecordKind::Meta, None, &b"key"[..], &b"kept"[..], 50, 7, 0),
                (RecordKind::Value, base, &b"key"[..], &b""[..], 60, 7, 0),
                (RecordKind::Value, None, &b"key"[..], &older.to_le_bytes()[..], 70, 7, older),
                (RecordKind::Value, base, &b"key"[..], &older.to_le_bytes()[..], 80, 7, older),
            ]
        );
        for (raw, most) in [(value, RECORD_UNITS_MAX), (Raw { base, ..value }, DELTA_UNITS_MAX)] {
            assert!(check_location(&HintEntry { raw, offset: 0, length: most, era: 0 }, 1 << 28).is_ok());
            assert!(check_location(&HintEntry { raw, offset: 0, length: most + 1, era: 0 }, 1 << 28).is_err());
        }
        assert!(each(&payload[..payload.len() - 1], |_| Ok(())).is_err());
        assert!(check_location(&HintEntry { raw: value, offset: 120, length: 7, era: 0 }, 1000).is_err());
    }
}
