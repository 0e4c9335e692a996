//! A table or a manifest as lines of text: `synod inspect FILE`.

use reactor::frame::{self, FrameError};
use reactor::BLOCK_BYTES;

use crate::block::{Block, BlockCursor};
use crate::envelope::{self, BlockKind, ENVELOPE_BYTES};
use crate::manifest::{self, Edit};
use crate::ranges::Ranges;
use crate::table::footer::Footer;
use crate::table::{Section, SectionRef, TableMeta};
use crate::varint::Reader;

/// How many bytes of a key are shown.
const KEY_SHOWN_BYTES: usize = 48;

/// Describes a table or a manifest by its bytes, whatever its name and state: a line for each block, or for each edit and table of it, ending
/// with why nothing further was found. None: it begins and ends like neither.
pub fn inspect(bytes: &[u8]) -> Option<Vec<String>> {
    match Footer::decode(bytes, "the file", bytes.len() as u64) {
        Ok(footer) => Some(blocks(bytes, &footer)),
        Err(_) if frame::peek(bytes).is_ok() => edits(bytes),
        Err(_) => None,
    }
}

fn shown(key: &[u8]) -> String {
    let cut = if key.len() > KEY_SHOWN_BYTES { "..." } else { "" };
    format!("\"{}{cut}\"", key[..key.len().min(KEY_SHOWN_BYTES)].escape_ascii())
}

fn blocks(bytes: &[u8], footer: &Footer) -> Vec<String> {
    let mut lines = vec![format!("table {:016x}, {} bytes", footer.table, bytes.len())];
    let (mut at, mut data_bytes) = (0, 0);
    while let Ok((taken, kind)) = envelope::peek(bytes.get(at..).unwrap_or_default()) {
        if kind == 0 || at + taken > bytes.len() {
            break;
        }
        let place = (footer.table, at as u64);
        let whole = &bytes[at..at + taken];
        let said = match kind {
            1 => envelope::open(whole, BlockKind::Data, place)
                .and_then(Block::parse)
                .map(|block| data(block, whole)),
            2 => envelope::open(whole, BlockKind::Section, place)
                .and_then(|raw| Section::parse(&raw, data_bytes))
                .map(|section| format!("section of {} blocks", section.blocks())),
            3 => envelope::open(whole, BlockKind::Ranges, place).map(|raw| match Ranges::decode(&raw) {
                Some(ranges) => format!("range deletions: {} fragments", ranges.fragments().len()),
                None => "range deletions that make no sense".to_owned(),
            }),
            4 => envelope::open(whole, BlockKind::Sections, place).map(|raw| {
                match SectionRef::decode_all(&raw, bytes.len() as u64) {
                    Some(sections) => format!("{} sections", sections.len()),
                    None => "sections that make no sense".to_owned(),
                }
            }),
            5 => envelope::open(whole, BlockKind::Statistics, place).map(|raw| {
                TableMeta::decode(&mut Reader::new(&raw))
                    .map_or("statistics that make no sense".to_owned(), |meta| table(&meta))
            }),
            _ => break,
        };
        data_bytes = if kind == 1 { data_bytes + taken as u64 } else { 0 };
        let said = said.unwrap_or_else(|error| format!("damaged: {error}"));
        lines.push(format!("{at:>10}  {taken} bytes: {said}"));
        at += taken;
    }
    lines.push(format!("{at:>10}  end: no further block"));
    lines
}

fn data(block: Block, whole: &[u8]) -> String {
    let codec = ["plain", "LZ4", "Zstandard"].get(usize::from(whole[12])).unwrap_or(&"?");
    let raw_bytes = block.bytes().len();
    let mut cursor = BlockCursor::new(block.into());
    cursor.first();
    let first = shown(cursor.key());
    let (mut entries, mut deletions) = (0, 0);
    while cursor.is_valid() {
        entries += 1;
        deletions += u32::from(cursor.value().is_none());
        cursor.next();
    }
    let stored = whole.len() - ENVELOPE_BYTES;
    format!("data, {codec}, {stored} of {raw_bytes} bytes: {entries} entries, {deletions} deletions, from {first}")
}

fn table(meta: &TableMeta) -> String {
    let TableMeta { id, bytes, entries, deletions, ranges, oldest, newest, base, first, end } = meta;
    let base = if *base > 0 { format!(" behind {base}") } else { String::new() };
    format!(
        "table {id:016x}, {bytes} bytes, {entries} entries, {deletions} deletions, {ranges} range deletions, versions {oldest} to {newest}{base}, from {} to below {}",
        shown(first),
        shown(end)
    )
}

fn edits(bytes: &[u8]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    let mut at = 0;
    let mut parts = Vec::new();
    while at < bytes.len() {
        let (header, payload) = match frame::decode(&bytes[at..]) {
            Ok(read) => read,
            Err(FrameError::Blank) => {
                lines.push(format!("{at:>10}  end: no frame was written here"));
                return Some(lines);
            }
            Err(error) => {
                lines.push(format!("{at:>10}  end: {error}"));
                return Some(lines);
            }
        };
        parts.extend_from_slice(payload);
        if manifest::goes_on_behind(&header) {
            lines.push(format!("{at:>10}  a part of an edit of manifest {:016x}", header.segment));
            at += header.frame_bytes();
            continue;
        }
        let edit = Edit::decode(&parts);
        parts.clear();
        let Some(edit) = edit else {
            // The first frame says whether it is a manifest at all.
            if at == 0 {
                return None;
            }
            lines.push(format!("{at:>10}  end: the edit makes no sense"));
            return Some(lines);
        };
        let flushed = edit.flushed_to.map(|version| format!(", flushed to {version}")).unwrap_or_default();
        lines
            .push(format!("{at:>10}  edit {} of manifest {:016x}{flushed}", header.sequence, header.segment));
        for (level, id) in &edit.removed {
            lines.push(format!("            - level {level}: table {id:016x}"));
        }
        for (level, meta) in &edit.added {
            lines.push(format!("            + level {level}: {}", table(meta)));
        }
        at += header.frame_bytes().max(BLOCK_BYTES);
    }
    lines.push(format!("{at:>10}  end of file"));
    Some(lines)
}
