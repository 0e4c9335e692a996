//! The simulated disk: [`Disk`] under virtual time and a seed.
//!
//! What was written is volatile until it is synced. A crash keeps, loses or tears what is volatile, sector by sector,
//! and undoes directory operations that no `SyncDir` followed. Faults are switched on by [`Faults`], or aimed at one
//! operation by [`SimDisk::fail_nth`]. Everything follows from the seed and the calls, so a failing run is repeated by
//! its seed.
//!
//! Left out: the kernel's page cache (all real I/O of engines is direct) and metadata of the file system itself.

mod directory;
mod fault;
mod file;

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;
use crate::{Completion, Disk, DiskError, DiskErrorKind, FileId, Nanos, Op, OpId, Outcome, BLOCK_BYTES};

use directory::Directory;
pub use fault::{Fault, Faults, Latency};
use file::File;

/// Counts what was done, for tests that assert costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Operations submitted, of any kind.
    pub submitted: u64,
    /// Reads completed.
    pub reads: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes of them.
    pub write_bytes: u64,
    /// Writes with sync, `Sync` and `SyncDir` completed.
    pub syncs: u64,
    /// Operations that failed by an injected fault.
    pub faults: u64,
}

/// One core's directory, in memory.
#[derive(Debug)]
pub struct SimDisk {
    now: Nanos,
    rng: Rng,
    faults: Faults,
    latency: Latency,
    capacity_bytes: u64,
    directory: Directory,
    files: BTreeMap<u64, File>,
    handles: BTreeMap<FileId, u64>,
    pending: BTreeMap<(Nanos, OpId), Op>,
    aimed: BTreeMap<u64, Fault>,
    /// Files whose last write went to another place.
    astray: BTreeSet<u64>,
    next_op: u64,
    next_file: u32,
    next_inode: u64,
    has_lied: bool,
    counters: Counters,
}

impl SimDisk {
    /// An empty, healthy disk without a bound on its space.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk {
            now: 0,
            rng: Rng::new(seed),
            faults: Faults::default(),
            latency: Latency::default(),
            capacity_bytes: u64::MAX,
            directory: Directory::default(),
            files: BTreeMap::new(),
            handles: BTreeMap::new(),
            pending: BTreeMap::new(),
            aimed: BTreeMap::new(),
            astray: BTreeSet::new(),
            next_op: 1,
            next_file: 1,
            next_inode: 1,
            has_lied: false,
            counters: Counters::default(),
        }
    }

    /// Sets the faults that operations submitted or finished from now on may meet.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The faults that operations may meet.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Whether operations may fail or lie, or space is bounded.
    pub fn is_failing(&self) -> bool {
        self.faults != Faults::default() || self.capacity_bytes != u64::MAX
    }

    /// Whether the last write to any file went to another place: what it should have written, and no later write to that file, is
    /// missing.
    pub fn is_astray(&self) -> bool {
        self.astray.iter().any(|inode| self.files.contains_key(inode))
    }

    /// Sets how long operations submitted from now on take.
    pub fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    /// Sets the space in bytes. What is there stays, even when it is more.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity_bytes = bytes;
    }

    /// Bytes that the files take, removed files with open handles included.
    pub fn used_bytes(&self) -> u64 {
        self.files.values().map(File::len).sum()
    }

    /// Makes the operation fail that is submitted after `n` others from now on (0 is the next one), whatever it is.
    pub fn fail_nth(&mut self, n: u64, fault: Fault) {
        self.aimed.insert(self.next_op + n, fault);
    }

    /// Forgets what [`SimDisk::fail_nth`] aimed and has not hit yet.
    pub fn clear_aimed(&mut self) {
        self.aimed.clear();
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Tells the disk the time; operations submitted afterwards start then.
    pub fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    /// When the next operation is done, if any is under way.
    pub fn next_event(&self) -> Option<Nanos> {
        self.pending.first_key_value().map(|(&(due, _), _)| due)
    }

    /// How many operations are under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Carries out what is due by `now` and hands over its completions, in order of time.
    pub fn poll_completions(&mut self, now: Nanos) -> Vec<Completion> {
        self.advance(now);
        let mut done = Vec::new();
        while let Some(entry) = self.pending.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let ((_, id), op) = entry.remove_entry();
            let result = self.perform(id, op);
            done.push(Completion { id, result });
        }
        done
    }

    /// The power fails: operations under way are done in part or not at all and never complete; what was not synced is
    /// kept, lost or torn; handles are void. The disk can then be used by the restarted process.
    pub fn crash(&mut self) {
        for (_, op) in std::mem::take(&mut self.pending) {
            self.half_done(op);
        }
        self.handles.clear();
        self.aimed.clear();
        self.directory.crash(&mut self.rng);
        for file in self.files.values_mut() {
            file.crash(&mut self.rng);
        }
        self.collect();
    }

    /// A healthy disk as this one would be, had the power failed now, before anything that is under way was begun. `seed`
    /// draws what is kept of what is not durable. This disk goes on untouched.
    pub fn after_power_loss(&self, seed: u64) -> SimDisk {
        let mut disk = self.after_kill(seed);
        disk.crash();
        disk
    }

    /// A healthy disk as this one would be, had the process ended now, before anything that is under way was begun: what is not
    /// durable can still be read. `seed` draws what its faults and crashes do. This disk goes on untouched.
    pub fn after_kill(&self, seed: u64) -> SimDisk {
        SimDisk {
            now: self.now,
            latency: Latency::none(),
            directory: self.directory.clone(),
            files: self.files.clone(),
            next_inode: self.next_inode,
            ..SimDisk::new(seed)
        }
    }

    /// Whether bytes of any file are not durable.
    pub fn has_volatile_bytes(&self) -> bool {
        self.files.values().any(File::is_dirty)
    }

    /// Whether a write ever went elsewhere, or left other bytes, and nobody was told.
    pub fn has_lied(&self) -> bool {
        self.has_lied
    }

    /// Whether names were changed since the last `SyncDir`.
    pub fn has_volatile_names(&self) -> bool {
        self.directory.is_dirty()
    }

    /// The process ends but the machine does not: what was written stays as it is, handles and operations under way are
    /// gone.
    pub fn kill(&mut self) {
        for (_, op) in std::mem::take(&mut self.pending) {
            self.half_done(op);
        }
        self.handles.clear();
        self.aimed.clear();
        self.collect();
    }

    /// The names now in the directory, with their lengths in bytes.
    pub fn list(&self) -> Vec<(String, u64)> {
        let len = |inode| self.files.get(&inode).map_or(0, File::len);
        self.directory.names().map(|(name, inode)| (name.to_owned(), len(inode))).collect()
    }

    /// A file's bytes as a reader sees them now.
    pub fn bytes_of(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.get(&self.directory.find(name)?)?;
        let mut bytes = vec![0; file.len() as usize];
        file.read(0, &mut bytes);
        Some(bytes)
    }

    /// Those of a file's bytes that no power failure takes away.
    pub fn durable_bytes_of(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.files.get(&self.directory.find(name)?)?.durable_bytes())
    }

    /// Changes bytes behind the engine's back, durably: damage for tests. True if the file has that place.
    pub fn overwrite(&mut self, name: &str, offset: u64, bytes: &[u8]) -> bool {
        let Some(file) = self.directory.find(name).and_then(|inode| self.files.get_mut(&inode)) else {
            return false;
        };
        file.overwrite(offset, bytes)
    }

    /// Puts a file there, durably, replacing one of that name.
    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        let inode = self.new_inode();
        self.directory.put_durably(name, inode);
        if let Some(file) = self.files.get_mut(&inode) {
            file.grow(bytes.len() as u64);
            file.sync();
            file.overwrite(0, bytes);
        }
        self.collect();
    }

    fn new_inode(&mut self) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.files.insert(inode, File::default());
        inode
    }

    /// Drops files that neither a name nor a handle leads to.
    fn collect(&mut self) {
        let mut live: BTreeSet<u64> = self.handles.values().copied().collect();
        live.extend(self.directory.inodes());
        self.files.retain(|inode, _| live.contains(inode));
    }

    fn perform(&mut self, id: OpId, op: Op) -> Result<Outcome, DiskError> {
        if let Some(fault) = self.draw_fault(id, &op) {
            self.counters.faults += 1;
            return self.perform_faulty(op, fault);
        }
        match op {
            Op::Open { name, create } => self.open(name, create),
            Op::Close { file } => {
                self.handles.remove(&file);
                self.collect();
                Ok(Outcome::Done)
            }
            Op::Read { file, offset, mut buf } => {
                self.counters.reads += 1;
                let flip = self.rng.chance(self.faults.read_rot_per_million);
                let bit = self.rng.next_u64();
                let stale = self.rng.chance(self.faults.stale_read_per_million);
                let target = self.file(file)?;
                let bytes = target.read(offset, buf.as_mut_slice());
                if stale && bytes > 0 {
                    let index = bit as usize % bytes.div_ceil(BLOCK_BYTES);
                    target.read_stale(offset, &mut buf.as_mut_slice()[..bytes], index);
                }
                if flip && bytes > 0 {
                    let at = bit as usize % (bytes * 8);
                    buf.as_mut_slice()[at / 8] ^= 1 << (at % 8);
                }
                Ok(Outcome::Read { buf, bytes })
            }
            Op::Write { file, offset, buf, sync } => {
                self.write(file, offset, buf.as_slice(), sync)?;
                Ok(Outcome::Written { buf })
            }
            Op::Preallocate { file, bytes } => {
                self.reserve(file, bytes)?;
                self.file(file)?.grow(bytes);
                Ok(Outcome::Done)
            }
            Op::Sync { file } => {
                self.counters.syncs += 1;
                self.file(file)?.sync();
                Ok(Outcome::Done)
            }
            Op::Rename { from, to } => match self.directory.rename(&from, &to) {
                true => self.collected(),
                false => Err(not_found("rename", &from)),
            },
            Op::Remove { name } => match self.directory.remove(&name) {
                true => self.collected(),
                false => Err(not_found("remove", &name)),
            },
            Op::SyncDir => {
                self.counters.syncs += 1;
                self.directory.sync();
                self.collected()
            }
            Op::List => Ok(Outcome::Listed { files: self.list() }),
        }
    }

    fn collected(&mut self) -> Result<Outcome, DiskError> {
        self.collect();
        Ok(Outcome::Done)
    }

    fn open(&mut self, name: String, create: bool) -> Result<Outcome, DiskError> {
        let inode = match (self.directory.find(&name), create) {
            (Some(inode), false) => inode,
            (None, true) => {
                let inode = self.new_inode();
                self.directory.create(&name, inode);
                inode
            }
            (None, false) => return Err(not_found("open", &name)),
            (Some(_), true) => return Err(io(format!("create {name}: the file exists"))),
        };
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.handles.insert(file, inode);
        Ok(Outcome::Opened { file, len: self.files.get(&inode).map_or(0, File::len) })
    }

    fn file(&mut self, file: FileId) -> Result<&mut File, DiskError> {
        let inode = self.handles.get(&file).ok_or_else(|| io(format!("file {} is not open", file.0)))?;
        self.files.get_mut(inode).ok_or_else(|| io(format!("file {} has no bytes", file.0)))
    }

    fn reserve(&mut self, file: FileId, bytes: u64) -> Result<(), DiskError> {
        let len = self.file(file)?.len();
        if bytes > len && self.used_bytes() + (bytes - len) > self.capacity_bytes {
            let message = format!("no space for {bytes} bytes");
            return Err(DiskError { kind: DiskErrorKind::Full, message });
        }
        Ok(())
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8], sync: bool) -> Result<(), DiskError> {
        self.reserve(file, offset + bytes.len() as u64)?;
        self.counters.writes += 1;
        self.counters.write_bytes += bytes.len() as u64;
        self.counters.syncs += u64::from(sync);
        let misdirected = self.rng.chance(self.faults.misdirected_per_million);
        let rotten = self.rng.chance(self.faults.write_rot_per_million);
        self.has_lied |= misdirected || rotten;
        let (place, bit) = (self.rng.next_u64(), self.rng.next_u64());
        let inode = self.handles.get(&file).copied().unwrap_or_default();
        let asked = offset;
        let target = self.file(file)?;
        let whole = (target.len().max(offset + 1) / BLOCK_BYTES as u64).max(1);
        // Where the bytes fit into the file.
        let blocks = whole.saturating_sub(bytes.len().div_ceil(BLOCK_BYTES) as u64 - 1).max(1);
        let offset = if misdirected { place % blocks * BLOCK_BYTES as u64 } else { offset };
        target.write(offset, bytes);
        if sync {
            target.sync_range(offset, bytes.len());
        }
        if rotten {
            target.flip_bit(offset * 8 + bit % (bytes.len() as u64 * 8));
        }
        if offset == asked {
            self.astray.remove(&inode);
        } else {
            self.astray.insert(inode);
        }
        Ok(())
    }

    /// Draws once per kind of fault, so that one fault's rate does not shift another's draws.
    fn draw_fault(&mut self, id: OpId, op: &Op) -> Option<Fault> {
        let aimed = self.aimed.remove(&id.0);
        let drawn = match op {
            Op::Read { .. } => self.rng.chance(self.faults.read_error_per_million).then_some(Fault::Io),
            Op::Write { .. } => {
                let error = self.rng.chance(self.faults.write_error_per_million);
                let short = self.rng.chance(self.faults.short_write_per_million);
                error.then_some(Fault::Io).or(short.then_some(Fault::ShortWrite))
            }
            Op::Sync { .. } | Op::SyncDir => {
                self.rng.chance(self.faults.sync_error_per_million).then_some(Fault::Io)
            }
            _ => None,
        };
        aimed.or(drawn)
    }

    fn perform_faulty(&mut self, op: Op, fault: Fault) -> Result<Outcome, DiskError> {
        let what = fault::verb(&op);
        match op {
            Op::Write { file, offset, buf, .. } => {
                let rng = &mut self.rng.fork();
                let target = self.file(file)?;
                match fault {
                    Fault::ShortWrite => target.write(offset, &buf.as_slice()[..buf.len() / 2]),
                    Fault::Io => target.write_some_sectors(offset, buf.as_slice(), rng),
                    Fault::Full => {}
                }
            }
            // After a failed sync the kernel counts the pages as clean: they can be read, and a later sync says
            // nothing about them.
            Op::Sync { file } => self.file(file)?.forsake(),
            _ => {}
        }
        let kind = if fault == Fault::Full { DiskErrorKind::Full } else { DiskErrorKind::Io };
        Err(DiskError { kind, message: format!("{what}: injected {fault:?}") })
    }

    /// An operation that a crash interrupts.
    fn half_done(&mut self, op: Op) {
        let rng = &mut self.rng.fork();
        if let Op::Write { file, offset, buf, .. } = &op {
            if self.reserve(*file, offset + buf.len() as u64).is_ok() {
                if let Ok(target) = self.file(*file) {
                    target.write_some_sectors(*offset, buf.as_slice(), rng);
                }
            }
        } else if !matches!(op, Op::Read { .. } | Op::Open { .. } | Op::Close { .. }) && rng.coin() {
            // The result goes to nobody: the process that asked is gone.
            self.perform(OpId(0), op).ok();
        }
    }
}

impl Disk for SimDisk {
    fn submit(&mut self, op: Op) -> OpId {
        check(&op);
        let id = OpId(self.next_op);
        self.next_op += 1;
        self.counters.submitted += 1;
        let due = self.now + self.latency.draw(&op, &mut self.rng);
        self.pending.insert((due, id), op);
        id
    }
}

/// The contract of [`Op`], which the kernel would answer with EINVAL.
fn check(op: &Op) {
    match op {
        Op::Read { offset, buf, .. } | Op::Write { offset, buf, .. } => {
            assert!(offset % BLOCK_BYTES as u64 == 0, "offsets are whole blocks");
            assert!(!buf.is_empty(), "something is read or written");
        }
        Op::Open { name, .. } | Op::Remove { name } => assert!(plain(name), "{name} is a plain file name"),
        Op::Rename { from, to } => assert!(plain(from) && plain(to), "{from} and {to} are plain file names"),
        _ => {}
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}

fn not_found(verb: &str, name: &str) -> DiskError {
    DiskError { kind: DiskErrorKind::NotFound, message: format!("{verb} {name}: no such file") }
}

fn io(message: String) -> DiskError {
    DiskError { kind: DiskErrorKind::Io, message }
}

#[cfg(test)]
mod tests;
