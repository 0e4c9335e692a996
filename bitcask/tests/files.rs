//! The engine on real files, through the standard library: what the simulated disk may have wrong in its idea of a
//! file system shows here.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bitcask::{Bitcask, Event, Kind, Options, Read, Record};
use reactor::{AlignedBuf, Completion, Disk, DiskError, DiskErrorKind, FileId, Op, OpId, Outcome};

use crate::world::{options, slot, stamp};

/// A directory, whose operations are carried out when they are polled for.
struct FsDisk {
    folder: PathBuf,
    files: BTreeMap<FileId, File>,
    queue: VecDeque<(OpId, Op)>,
    next: u64,
}

impl FsDisk {
    fn new(folder: PathBuf) -> FsDisk {
        FsDisk { folder, files: BTreeMap::new(), queue: VecDeque::new(), next: 0 }
    }

    fn perform(&mut self, op: Op) -> std::io::Result<Outcome> {
        let path = |name: &String| self.folder.join(name);
        match op {
            Op::Open { name, create } => {
                let file = File::options().read(true).write(true).create_new(create).open(path(&name))?;
                let (id, len) = (FileId(self.next as u32), file.metadata()?.len());
                self.files.insert(id, file);
                return Ok(Outcome::Opened { file: id, len });
            }
            Op::Close { file } => {
                self.files.remove(&file);
            }
            Op::Read { file, offset, mut buf } => {
                let bytes = read_full(&self.files[&file], offset, &mut buf)?;
                return Ok(Outcome::Read { buf, bytes });
            }
            Op::Write { file, offset, buf, sync } => {
                self.files[&file].write_all_at(buf.as_slice(), offset)?;
                if sync {
                    self.files[&file].sync_data()?;
                }
                return Ok(Outcome::Written { buf });
            }
            Op::Preallocate { file, bytes } => {
                let file = &self.files[&file];
                file.set_len(file.metadata()?.len().max(bytes))?;
            }
            Op::Sync { file } => self.files[&file].sync_all()?,
            Op::Rename { from, to } => std::fs::rename(path(&from), path(&to))?,
            Op::Remove { name } => std::fs::remove_file(path(&name))?,
            Op::SyncDir => File::open(&self.folder)?.sync_all()?,
            Op::List => {
                let mut files = Vec::new();
                for entry in std::fs::read_dir(&self.folder)? {
                    let entry = entry?;
                    files.push((entry.file_name().into_string().unwrap(), entry.metadata()?.len()));
                }
                files.sort();
                return Ok(Outcome::Listed { files });
            }
        }
        Ok(Outcome::Done)
    }
}

fn read_full(file: &File, offset: u64, buf: &mut AlignedBuf) -> std::io::Result<usize> {
    let mut done = 0;
    loop {
        match file.read_at(&mut buf.as_mut_slice()[done..], offset + done as u64)? {
            0 => return Ok(done),
            count => done += count,
        }
    }
}

impl Disk for FsDisk {
    fn submit(&mut self, op: Op) -> OpId {
        self.next += 1;
        self.queue.push_back((OpId(self.next), op));
        OpId(self.next)
    }
}

/// Turns until nothing is under way; the events.
fn settle(disk: &mut FsDisk, bitcask: &mut Bitcask) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        bitcask.flush(disk);
        if bitcask.background_wanted() {
            bitcask.background(disk, 0, 1 << 20);
        }
        events.extend(std::iter::from_fn(|| bitcask.poll()));
        let Some((id, op)) = disk.queue.pop_front() else { return events };
        let result = disk
            .perform(op)
            .map_err(|error| DiskError { kind: DiskErrorKind::Io, message: error.to_string() });
        assert!(bitcask.on_disk(disk, Completion { id, result }));
    }
}

#[test]
fn real_files_hold_what_was_written() {
    let folder = std::env::temp_dir().join(format!("bitcask-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let body = |n: u64, round: u64| vec![(n + round) as u8; 2_000];
    for life in 1..=4_u64 {
        let mut disk = FsDisk::new(folder.clone());
        let mut bitcask = Bitcask::open(Options { cache_bytes: 0, ..options() }, &mut disk);
        let events = settle(&mut disk, &mut bitcask);
        let Some(Event::Ready(recovered)) = events.first() else { panic!("{events:?}") };
        assert_eq!((recovered.fresh, recovered.entries), (life == 1, if life == 1 { 0 } else { 100 }));
        for n in 0..100_u64 {
            let key = n.to_le_bytes();
            if life > 1 {
                let Read::Pending(ticket) = bitcask.read(&mut disk, slot(&key), &key) else { panic!() };
                let events = settle(&mut disk, &mut bitcask);
                let read = events.iter().find_map(|event| match event {
                    Event::Read { ticket: t, result } if *t == ticket => {
                        Some(result.clone().unwrap().unwrap())
                    }
                    _ => None,
                });
                assert_eq!(*read.unwrap().body, *body(n, life - 1));
            }
            let body = body(n, life);
            let record =
                Record { slot: slot(&key), key: &key, stamp: stamp(life), kind: Kind::Value, body: &body };
            bitcask.append(record).unwrap();
            if n % 7 == 0 {
                settle(&mut disk, &mut bitcask);
            }
        }
        // The process ends without a word; what it did not write was not acknowledged, so all of it is, here.
        settle(&mut disk, &mut bitcask);
        assert!(life < 3 || bitcask.stats().counters.merges > 0);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
