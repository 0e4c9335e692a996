//! The manifest: a log of edits that says which tables the tree has (docs/formats/manifest.md).
//!
//! A frame holds one edit. The first edit of a manifest says everything, so that the manifests before it are of no use. At each start, and
//! when it has grown long, a new one is begun: written and synced under a name that nobody reads, renamed, and the directory synced.

use reactor::frame::{self, Filling, FrameError, Header};
use reactor::{AlignedBuf, BLOCK_BYTES};

use crate::error::Fault;
use crate::limits::LEVELS;
use crate::table::TableMeta;
use crate::varint::{self, Reader};

/// A change of the tree, all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Level and table.
    pub added: Vec<(u8, TableMeta)>,
    /// Level and number.
    pub removed: Vec<(u8, u64)>,
    /// Everything up to this version is in tables.
    pub flushed_to: Option<u64>,
    /// Tables get numbers from this one on.
    pub next_id: u64,
}

impl Edit {
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.next_id);
        varint::put(out, self.flushed_to.map_or(0, |version| version + 1));
        varint::put(out, self.removed.len() as u64);
        for (level, id) in &self.removed {
            out.push(*level);
            varint::put(out, *id);
        }
        varint::put(out, self.added.len() as u64);
        for (level, meta) in &self.added {
            out.push(*level);
            meta.encode(out);
        }
    }

    pub fn decode(bytes: &[u8]) -> Option<Edit> {
        let mut reader = Reader::new(bytes);
        let mut edit = Edit { next_id: reader.number()?, ..Edit::default() };
        edit.flushed_to = reader.number()?.checked_sub(1);
        let level = |reader: &mut Reader<'_>| reader.byte().filter(|level| usize::from(*level) < LEVELS);
        for _ in 0..reader.number()? {
            edit.removed.push((level(&mut reader)?, reader.number()?));
        }
        for _ in 0..reader.number()? {
            edit.added.push((level(&mut reader)?, TableMeta::decode(&mut reader)?));
        }
        reader.is_empty().then_some(edit)
    }
}

/// What the edits of a manifest come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub tables: Vec<(u8, TableMeta)>,
    pub flushed_to: u64,
    pub next_id: u64,
    /// Bytes at the end that were torn and are dropped.
    pub torn_bytes: u64,
}

impl Contents {
    /// Makes an edit. False: it removes what is not there, or adds what is.
    pub fn apply(&mut self, edit: Edit) -> bool {
        for (level, id) in &edit.removed {
            let Some(at) = self.tables.iter().position(|(l, meta)| (l, &meta.id) == (level, id)) else {
                return false;
            };
            self.tables.swap_remove(at);
        }
        for (level, meta) in edit.added {
            let overlaps = |(l, other): &(u8, TableMeta)| {
                *l == level && level > 0 && other.overlaps(&meta.first, &meta.end)
            };
            if self.tables.iter().any(|other| other.1.id == meta.id || overlaps(other))
                || meta.id >= edit.next_id
            {
                return false;
            }
            self.tables.push((level, meta));
        }
        self.flushed_to = self.flushed_to.max(edit.flushed_to.unwrap_or(0));
        self.next_id = self.next_id.max(edit.next_id);
        true
    }

    /// The edit that says all of it.
    pub fn to_edit(&self) -> Edit {
        let Contents { tables, flushed_to, next_id, .. } = self.clone();
        Edit { added: tables, removed: Vec::new(), flushed_to: Some(flushed_to), next_id }
    }
}

/// The frame of an edit. `at`: number of the manifest, and place in it, counted in frames.
pub(crate) fn seal(edit: &Edit, at: (u64, u64), previous_crc: u32, core: u32) -> (u32, AlignedBuf) {
    let mut payload = Vec::new();
    edit.encode(&mut payload);
    let mut filling = Filling::new(AlignedBuf::default());
    filling.extend(payload.len()).copy_from_slice(&payload);
    let (header, buf) = filling.seal(Header {
        version: 0,
        flags: 0,
        core,
        previous_crc,
        segment: at.0,
        sequence: at.1,
        payload_bytes: 0,
        crc: 0,
    });
    (header.crc, buf)
}

/// Reads all of a manifest.
pub(crate) fn read(file: &str, number: u64, bytes: &[u8]) -> Result<Contents, Fault> {
    let mut contents = Contents::default();
    let (mut at, mut sequence, mut previous_crc) = (0, 0, 0);
    while at < bytes.len() {
        let damage = |message: String| Fault::Damage { file: file.to_owned(), offset: at as u64, message };
        let (header, payload) = match frame::decode(&bytes[at..]) {
            Ok((header, payload))
                if (header.segment, header.sequence, header.previous_crc)
                    == (number, sequence, previous_crc) =>
            {
                (header, payload)
            }
            Ok(_) => return Err(damage("the frame is another one than the one that is due".to_owned())),
            Err(FrameError::Newer { found, supported }) => {
                return Err(Fault::Newer { file: file.to_owned(), found, supported });
            }
            Err(error) if sequence == 0 || goes_on(&bytes[at..], number, sequence) => {
                return Err(damage(error.to_string()));
            }
            Err(_) => break,
        };
        let edit = Edit::decode(payload).ok_or_else(|| damage("the edit makes no sense".to_owned()))?;
        if !contents.apply(edit) {
            return Err(damage("the edit does not fit what is there".to_owned()));
        }
        at += header.frame_bytes();
        (sequence, previous_crc) = (sequence + 1, header.crc);
    }
    if sequence == 0 {
        let message = "the manifest is empty".to_owned();
        return Err(Fault::Damage { file: file.to_owned(), offset: 0, message });
    }
    contents.torn_bytes = bytes.len().saturating_sub(at) as u64;
    Ok(contents)
}

/// Whether a later frame of the manifest lies behind a bad one: then that one was whole once, for frames are written one by one.
fn goes_on(bytes: &[u8], number: u64, sequence: u64) -> bool {
    let starts = (BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES);
    let is_later = |header: Header| header.segment == number && header.sequence > sequence;
    starts.map(|at| frame::decode(&bytes[at..])).any(|read| read.is_ok_and(|(header, _)| is_later(header)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::rng::Rng;

    fn meta(id: u64, first: u8, end: u8) -> TableMeta {
        TableMeta {
            id,
            bytes: 4096 * id,
            entries: 5,
            oldest: 1,
            newest: id,
            first: [first].into(),
            end: [end].into(),
            ..TableMeta::default()
        }
    }

    fn edits() -> [Edit; 3] {
        let all =
            Edit { added: vec![(0, meta(1, 0, 9))], flushed_to: Some(7), next_id: 2, ..Edit::default() };
        let flush =
            Edit { added: vec![(0, meta(2, 3, 5))], flushed_to: Some(9), next_id: 3, ..Edit::default() };
        let added = vec![(6, meta(3, 0, 4)), (6, meta(4, 4, 9))];
        [all, flush, Edit { added, removed: vec![(0, 1), (0, 2)], flushed_to: None, next_id: 5 }]
    }

    fn written(edits: &[Edit]) -> Vec<u8> {
        let (mut bytes, mut crc) = (Vec::new(), 0);
        for (sequence, edit) in (0..).zip(edits) {
            let (own, buf) = seal(edit, (8, sequence), crc, 0);
            crc = own;
            bytes.extend_from_slice(buf.as_slice());
        }
        bytes
    }

    #[test]
    fn edits_add_up() {
        let bytes = written(&edits());
        let contents = read("m", 8, &bytes).unwrap();
        assert_eq!(contents.tables, [(6, meta(3, 0, 4)), (6, meta(4, 4, 9))]);
        assert_eq!((contents.flushed_to, contents.next_id, contents.torn_bytes), (9, 5, 0));
        assert_eq!(read("m", 8, &written(&[contents.to_edit()])), Ok(contents));
        assert!(matches!(read("m", 9, &bytes), Err(Fault::Damage { .. })), "another manifest's");
        assert!(matches!(read("m", 8, &[]), Err(Fault::Damage { .. })));
    }

    #[test]
    fn a_torn_end_is_dropped_and_damage_is_not() {
        let bytes = written(&edits());
        let mut torn = bytes.clone();
        torn[8_192..].fill(0);
        let contents = read("m", 8, &torn).unwrap();
        assert_eq!((contents.flushed_to, contents.torn_bytes), (9, 4_096));
        let mut damaged = bytes;
        damaged[4_140] ^= 1;
        assert!(matches!(read("m", 8, &damaged), Err(Fault::Damage { offset: 4_096, .. })));
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        let [all, flush, _] = edits();
        let twice = written(&[all.clone(), flush.clone(), flush]);
        assert!(matches!(read("m", 8, &twice), Err(Fault::Damage { offset: 8_192, .. })));
        let overlapping =
            Edit { added: vec![(3, meta(2, 0, 5)), (3, meta(3, 4, 6))], next_id: 4, ..Edit::default() };
        assert!(read("m", 8, &written(&[all, overlapping])).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let mut bytes = Vec::new();
        edits()[2].encode(&mut bytes);
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let mut other = bytes.clone();
            let at = rng.below(other.len() as u64) as usize;
            other[at] = rng.next_u64() as u8;
            other.truncate(rng.below(2 * other.len() as u64) as usize);
            Edit::decode(&other);
        }
    }
}
