//! A segment, hint or identity file as lines of text: `synod inspect FILE`.

use reactor::frame::{self, FrameError, HEADER_BYTES};

use crate::hint;
use crate::record::{self, Raw, RecordKind, RemoveBody, SealBody};
use crate::walk;

/// How many bytes of a key are shown.
const KEY_SHOWN_BYTES: usize = 64;

/// Describes a file of this engine by its bytes, whatever its name and state: one line per frame and record, ending
/// with why no further frame was found. Secrets are not shown.
pub fn inspect(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = 0;
    let mut previous: Option<frame::Header> = None;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            lines.push(format!("{at:>10}  end of file"));
            return lines;
        }
        match frame::decode(rest) {
            Ok((header, payload)) if previous.is_some_and(|p| p.segment != header.segment) => {
                let _ = payload;
                lines.push(format!("{at:>10}  end: a frame of segment {:016x} follows", header.segment));
                return lines;
            }
            Ok((header, payload)) => {
                lines.push(frame_line(at, &header, previous.as_ref()));
                records(at + HEADER_BYTES, &header, payload, &mut lines);
                previous = Some(header);
                at += header.frame_bytes();
            }
            Err(FrameError::Blank) => {
                lines.push(format!("{at:>10}  end: no frame was written here"));
                return lines;
            }
            Err(error) => {
                lines.push(format!("{at:>10}  end: {error}"));
                return lines;
            }
        }
    }
}

fn frame_line(at: usize, header: &frame::Header, previous: Option<&frame::Header>) -> String {
    let kind = match header.flags {
        walk::LOG => "log",
        walk::MERGE => "merge",
        walk::HINT => "hint",
        walk::IDENTITY => "identity",
        _ => "unknown",
    };
    let chained = previous
        .is_none_or(|p| (header.sequence, header.previous_crc) == (p.sequence.wrapping_add(1), p.crc));
    format!(
        "{at:>10}  {kind} frame {} of segment {:016x}, version {}, core {}, {} bytes, crc {:08x}{}",
        header.sequence,
        header.segment,
        header.version,
        header.core,
        header.payload_bytes,
        header.crc,
        if chained { "" } else { ", NOT CHAINED to the one before" }
    )
}

fn records(at: usize, header: &frame::Header, payload: &[u8], lines: &mut Vec<String>) {
    let mut found = Vec::new();
    let result = match header.flags {
        walk::LOG | walk::MERGE => record::each(payload, |raw, offset, taken| {
            found.push(format!("{:>10}    {}", at + offset, record_line(&raw, taken)));
            Ok(())
        }),
        walk::HINT => hint::each(payload, |entry| {
            let (offset, length) = (u64::from(entry.offset) * 8, entry.length as usize * 8);
            found.push(format!("              at {offset}: {}", record_line(&entry.raw, length)));
            Ok(())
        }),
        _ => Ok(()),
    };
    lines.append(&mut found);
    if let Err(message) = result {
        lines.push(format!("{at:>10}    unreadable: {message}"));
    }
}

fn record_line(raw: &Raw<'_>, bytes: usize) -> String {
    let stamp = format!("{}.{}.{}", raw.stamp.round, raw.stamp.node, raw.stamp.incarnation);
    let shown = &raw.key[..raw.key.len().min(KEY_SHOWN_BYTES)];
    let more = if shown.len() < raw.key.len() { "..." } else { "" };
    let key = format!("\"{}\"{more}", shown.escape_ascii());
    let extends = raw
        .base
        .map_or(String::new(), |base| format!(", extends {}.{}.{}", base.round, base.node, base.incarnation));
    match raw.kind {
        RecordKind::Value => format!("value {key} slot {} stamp {stamp}{extends}, {bytes} bytes", raw.slot),
        RecordKind::Expiring => {
            format!("expiring value {key} slot {} stamp {stamp}{extends}, {bytes} bytes", raw.slot)
        }
        RecordKind::Tombstone => format!("tombstone {key} slot {} stamp {stamp}, {bytes} bytes", raw.slot),
        RecordKind::Promise => format!("promise {key} slot {} stamp {stamp}", raw.slot),
        RecordKind::Meta => {
            let id = raw.key.first().copied().unwrap_or_default();
            format!("named value {id} version {}, {} bytes", raw.stamp.round, raw.body.len())
        }
        RecordKind::Remove => {
            let barrier = RemoveBody::from_bytes(raw.body).map_or(0, |body| body.barrier);
            format!("removal {key} slot {} stamp {stamp}, barrier {barrier}", raw.slot)
        }
        RecordKind::Seal => match SealBody::from_bytes(raw.body) {
            Ok(seal) => format!("seal, barrier {}, goes on in {}", seal.barrier, seal.next),
            Err(message) => message,
        },
    }
}
