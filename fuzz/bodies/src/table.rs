//! Tables and manifests of a tree whose checksums are right and which say anything: they can be shown, and an engine that opens them ends
//! ready or failed, and what it reads then it can read to the end.

use lsm::{Event, Lsm, Options, Scan, Scanned};
use reactor::frame::{Filling, Header};
use reactor::sim::SimDisk;

use crate::input::{put_chunk, Input};
use crate::limits::TURNS_MAX;

const TABLE: u64 = 7;
const BLOCK_BYTES: usize = 4096;

/// One byte that says whether it is a manifest; then the payloads of its edits, or the blocks of a table: kind, and raw bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut disk = SimDisk::new(1);
    let manifest = if input.byte().is_multiple_of(2) {
        let manifest = edits(&mut input);
        lsm::inspect(&manifest);
        manifest
    } else {
        let table = blocks(&mut input);
        assert!(lsm::inspect(&table).is_some_and(|lines| !lines.is_empty()), "a table can be shown");
        disk.put(&format!("lsm-{TABLE:016x}.table"), &table);
        frame(0, 0, &edit_of(table.len() as u64)).1
    };
    disk.put("lsm-manifest-0000000000000001", &manifest);
    let mut lsm = Lsm::open(Options { manifest_bytes: 16 << 10, ..Options::new(0) }, &mut disk);
    let mut ready = false;
    drive(&mut lsm, &mut disk, |event| ready |= matches!(event, Event::Ready(_)));
    if !ready {
        return;
    }
    for reverse in [false, true] {
        let scan = Scan { rows_max: 10_000, bytes_max: 1 << 20, reverse, ..Scan::default() };
        if let Scanned::Pending(ticket) = lsm.scan(&mut disk, scan, None) {
            let mut ended = false;
            drive(&mut lsm, &mut disk, |event| {
                ended |= matches!(event, Event::Scanned { ticket: t, .. } if t == ticket)
            });
            assert!(ended, "a scan ends");
        }
    }
}

/// Turns until nothing is under way.
fn drive(lsm: &mut Lsm, disk: &mut SimDisk, mut hear: impl FnMut(Event)) {
    for _ in 0..TURNS_MAX {
        while let Some(event) = lsm.poll() {
            hear(event);
        }
        let Some(due) = disk.next_event() else { return };
        for completion in disk.poll_completions(due) {
            lsm.on_disk(disk, completion);
        }
    }
    panic!("the engine comes to rest");
}

/// A frame of the manifest.
fn frame(sequence: u64, previous_crc: u32, payload: &[u8]) -> (u32, Vec<u8>) {
    let mut filling = Filling::default();
    filling.extend(payload.len()).copy_from_slice(payload);
    let (header, buf) = filling.seal(Header {
        version: 0,
        flags: 0,
        core: 0,
        previous_crc,
        segment: 1,
        sequence,
        payload_bytes: 0,
        crc: 0,
    });
    (header.crc, buf.as_slice().to_vec())
}

fn edits(input: &mut Input<'_>) -> Vec<u8> {
    let (mut bytes, mut crc, mut sequence) = (Vec::new(), 0, 0);
    while !input.is_empty() && bytes.len() < 1 << 18 {
        let (own, frame) = frame(sequence, crc, input.chunk());
        (crc, sequence) = (own, sequence + 1);
        bytes.extend_from_slice(&frame);
    }
    bytes
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The edit that adds one table of so many bytes, with keys from "" on and below four times 0xff.
fn edit_of(bytes: u64) -> Vec<u8> {
    let mut edit = Vec::new();
    for number in [TABLE + 1, 10, 0, 1, 0, TABLE, bytes, 1, 0, 1, 0, 9, 0, 0, 4] {
        put_number(&mut edit, number);
    }
    edit.extend_from_slice(&[0xff; 4]);
    edit
}

/// A table of these blocks, with a footer that names the last ones of each kind.
fn blocks(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut extents = [(0_u64, 0_u32); 6];
    while !input.is_empty() && bytes.len() < 1 << 18 {
        let kind = 1 + input.byte() % 5;
        let raw = input.chunk();
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0, kind, 0, 0]);
        bytes.extend_from_slice(raw);
        let mut checked = TABLE.to_le_bytes().to_vec();
        checked.extend_from_slice(&(at as u64).to_le_bytes());
        checked.extend_from_slice(&bytes[at + 4..]);
        let crc = crc32c::crc32c(&checked);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        extents[usize::from(kind)] = (at as u64, (bytes.len() - at) as u32);
    }
    let whole = (bytes.len() + 64).next_multiple_of(BLOCK_BYTES);
    bytes.resize(whole - 64, 0);
    let mut footer = [0; 64];
    footer[..8].copy_from_slice(b"SYNTABLE");
    footer[8] = 1;
    footer[12..20].copy_from_slice(&TABLE.to_le_bytes());
    for (at, kind) in [(20, 4), (32, 3), (44, 5)] {
        let (offset, length) = extents[kind];
        footer[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        footer[at + 8..at + 12].copy_from_slice(&length.to_le_bytes());
    }
    let crc = crc32c::crc32c(&footer[..60]);
    footer[60..].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&footer);
    bytes
}

/// Edits that add and remove; a table of one section with one block, and one with range deletions.
pub fn seeds() -> Vec<Vec<u8>> {
    // Three entries, of which one is a deletion.
    let data = [
        &[0, 1, 3, 1, b'a', b'1'][..],
        &[1, 1, 5, 1, b'b', b'2'],
        &[0, 1, 2, b'b'],
        &[0, 0, 0, 0, 1, 0, 0, 0],
    ]
    .concat();
    let section = [&[0, 1, 2][..], b"ab", &[data.len() as u8 + 16]].concat();
    let sections = [&[2][..], b"ab", &[0, data.len() as u8 + 16, section.len() as u8 + 16]].concat();
    let ranges = [1, 1, b'a', 1, b'c', 2, 5, 3];
    let mut table = vec![1];
    for (kind, raw) in [(0, &data[..]), (1, &section), (2, &ranges), (3, &sections), (4, &[])] {
        table.push(kind);
        put_chunk(&mut table, raw);
    }
    let mut manifest = vec![0];
    put_chunk(&mut manifest, &edit_of(8_192));
    let mut removal = Vec::new();
    [TABLE + 2, 0, 1, 0, TABLE, 0].into_iter().for_each(|number| put_number(&mut removal, number));
    put_chunk(&mut manifest, &removal);
    vec![table, manifest, vec![0], vec![1]]
}
