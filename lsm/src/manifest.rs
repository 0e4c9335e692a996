//! The manifest: a log of edits that says which tables the tree has (docs/formats/manifest.md).
//!
//! A frame holds one edit, or a part of one that is too long for it. The first edit of a manifest says everything, so that the manifests before it are of no use. At each start, and
//! when it has grown long, a new one is begun: written and synced under a name that nobody reads, renamed, and the directory synced.

use std::collections::BTreeMap;
use std::ops::Bound;

use reactor::frame::{self, Filling, FrameError, Header};
use reactor::{AlignedBuf, BLOCK_BYTES};

use crate::error::Fault;
use crate::limits::{LEVELS, MANIFEST_FRAME_BYTES_MAX, NUMBER_MAX};
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
        let is_sane =
            edit.next_id <= NUMBER_MAX && edit.flushed_to.is_none_or(|version| version <= NUMBER_MAX);
        (reader.is_empty() && is_sane).then_some(edit)
    }
}

/// What the edits of a manifest come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// By number: level and table.
    pub tables: BTreeMap<u64, (u8, TableMeta)>,
    /// The tables of each level below the first, by their first keys.
    runs: [BTreeMap<Box<[u8]>, u64>; LEVELS],
    pub flushed_to: u64,
    pub next_id: u64,
    /// Bytes at the end that were torn and are dropped.
    pub torn_bytes: u64,
}

impl Contents {
    /// Makes an edit. False: it removes what is not there, or adds what is; what is left then is of no use.
    pub fn apply(&mut self, edit: Edit) -> bool {
        for (level, id) in &edit.removed {
            match self.tables.remove(id) {
                Some((own, meta)) if own == *level => drop(self.runs[usize::from(own)].remove(&meta.first)),
                _ => return false,
            }
        }
        for (level, meta) in edit.added {
            if meta.id >= edit.next_id || level > 0 && !self.has_place(level, &meta) {
                return false;
            }
            if level > 0 {
                self.runs[usize::from(level)].insert(meta.first.clone(), meta.id);
            }
            if self.tables.insert(meta.id, (level, meta)).is_some() {
                return false;
            }
        }
        self.flushed_to = self.flushed_to.max(edit.flushed_to.unwrap_or(0));
        self.next_id = self.next_id.max(edit.next_id);
        true
    }

    /// Whether nothing of the level has keys of the table.
    fn has_place(&self, level: u8, meta: &TableMeta) -> bool {
        let run = &self.runs[usize::from(level)];
        let (_, last) =
            match run.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(&*meta.end))).next_back() {
                Some(last) => last,
                None => return true,
            };
        self.tables.get(last).is_none_or(|(_, other)| !other.overlaps(&meta.first, &meta.end))
    }

    /// The edit that says all of it.
    pub fn to_edit(&self) -> Edit {
        let added = self.tables.values().cloned().collect();
        Edit { added, removed: Vec::new(), flushed_to: Some(self.flushed_to), next_id: self.next_id }
    }
}

/// Of a frame whose edit goes on in the next one.
const GOES_ON: u16 = 1;

/// Of a frame whose edit began in the one before.
const WENT_ON: u16 = 2;

/// Whether the edit of a frame goes on in the next one.
pub(crate) fn goes_on_behind(header: &Header) -> bool {
    header.flags & GOES_ON != 0
}

/// An edit as bytes for the manifest.
pub(crate) struct Sealed {
    pub buf: AlignedBuf,
    /// How many frames it takes.
    pub frames: u64,
    /// Checksum of the last one.
    pub crc: u32,
}

/// Bytes of the frames of an edit.
pub(crate) fn edit_bytes(edit: &Edit) -> u64 {
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    let whole = bytes.len() / MANIFEST_FRAME_BYTES_MAX * frame::frame_bytes(MANIFEST_FRAME_BYTES_MAX);
    (whole + frame::frame_bytes(bytes.len() % MANIFEST_FRAME_BYTES_MAX)) as u64
}

/// The frames of an edit. `at`: number of the manifest, and place in it, counted in frames.
pub(crate) fn seal(edit: &Edit, at: (u64, u64), previous_crc: u32, core: u32) -> Sealed {
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    let count = bytes.len().div_ceil(MANIFEST_FRAME_BYTES_MAX).max(1);
    let mut sealed = Sealed { buf: AlignedBuf::default(), frames: count as u64, crc: previous_crc };
    let mut all = Vec::new();
    for (sequence, part) in (at.1..).zip(bytes.chunks(MANIFEST_FRAME_BYTES_MAX)) {
        let mut filling = Filling::new(AlignedBuf::default());
        filling.extend(part.len()).copy_from_slice(part);
        let goes_on = if sequence + 1 == at.1 + count as u64 { 0 } else { GOES_ON };
        let went_on = if sequence == at.1 { 0 } else { WENT_ON };
        let (header, buf) = filling.seal(Header {
            version: 0,
            flags: goes_on | went_on,
            core,
            previous_crc: sealed.crc,
            segment: at.0,
            sequence,
            payload_bytes: 0,
            crc: 0,
        });
        sealed.crc = header.crc;
        if count == 1 {
            sealed.buf = buf;
            return sealed;
        }
        all.extend_from_slice(buf.as_slice());
    }
    sealed.buf = AlignedBuf::zeroed(all.len());
    sealed.buf.as_mut_slice().copy_from_slice(&all);
    sealed
}

/// Reads all of a manifest.
pub(crate) fn read(file: &str, number: u64, bytes: &[u8]) -> Result<Contents, Fault> {
    let mut contents = Contents::default();
    let (mut at, mut sequence, mut previous_crc) = (0, 0, 0);
    // What came so far of an edit that takes several frames, and where it begins.
    let (mut parts, mut begins, mut is_said) = (Vec::new(), 0, false);
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
            // The first edit was durable before the manifest had its name.
            Err(error) if !is_said || goes_on(&bytes[at..], number, sequence) => {
                return Err(damage(error.to_string()));
            }
            Err(_) => break,
        };
        parts.extend_from_slice(payload);
        at += header.frame_bytes();
        (sequence, previous_crc) = (sequence + 1, header.crc);
        if goes_on_behind(&header) {
            continue;
        }
        let damage = |message: &str| {
            let (offset, message) = (begins as u64, message.to_owned());
            Fault::Damage { file: file.to_owned(), offset, message }
        };
        let edit = Edit::decode(&parts).ok_or_else(|| damage("the edit makes no sense"))?;
        if !contents.apply(edit) {
            return Err(damage("the edit does not fit what is there"));
        }
        parts.clear();
        (begins, is_said) = (at, true);
    }
    if !is_said {
        let message = "the manifest is empty, or does not say all".to_owned();
        return Err(Fault::Damage { file: file.to_owned(), offset: 0, message });
    }
    contents.torn_bytes = bytes.len().saturating_sub(begins) as u64;
    Ok(contents)
}

/// Whether a later edit of the manifest lies behind a bad frame: then that one was whole once, for edits are written one by one.
fn goes_on(bytes: &[u8], number: u64, sequence: u64) -> bool {
    let starts = (BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES);
    let is_later = |header: Header| {
        header.segment == number && header.sequence > sequence && header.flags & WENT_ON == 0
    };
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
            let sealed = seal(edit, (8, sequence), crc, 0);
            assert_eq!(sealed.frames, 1);
            crc = sealed.crc;
            bytes.extend_from_slice(sealed.buf.as_slice());
        }
        bytes
    }

    #[test]
    fn edits_add_up() {
        let bytes = written(&edits());
        let contents = read("m", 8, &bytes).unwrap();
        assert_eq!(contents.to_edit().added, [(6, meta(3, 0, 4)), (6, meta(4, 4, 9))]);
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
    fn an_edit_that_takes_several_frames_is_there_as_a_whole_or_not_at_all() {
        let key = |number: u64, last: u8| {
            let mut key = vec![b'k'; 60_000];
            key.extend_from_slice(&number.to_be_bytes());
            key.push(last);
            key.into_boxed_slice()
        };
        let large = |numbers: std::ops::Range<u64>| {
            let table =
                |number| (6, TableMeta { first: key(number, 0), end: key(number, 9), ..meta(number, 0, 9) });
            Edit { added: numbers.clone().map(table).collect(), next_id: numbers.end, ..Edit::default() }
        };
        let first = seal(&large(1..300), (8, 0), 0, 0);
        let second = seal(&large(300..500), (8, first.frames), first.crc, 0);
        assert!(first.frames > 2 && second.frames == 2);
        let mut bytes = first.buf.as_slice().to_vec();
        let all = read("m", 8, &bytes).unwrap();
        assert_eq!(all.to_edit().added.len(), 299);
        for cut in [4_096, bytes.len() / 2, bytes.len() - 4_096] {
            assert!(matches!(read("m", 8, &bytes[..cut]), Err(Fault::Damage { .. })), "it was durable once");
        }
        bytes.extend_from_slice(second.buf.as_slice());
        assert_eq!(read("m", 8, &bytes).unwrap().to_edit().added.len(), 499);
        bytes.truncate(bytes.len() - 4_096);
        assert_eq!(read("m", 8, &bytes).unwrap().to_edit(), all.to_edit(), "half of the second is nothing");
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
