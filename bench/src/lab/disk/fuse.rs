//! A [`Store`] served as a file system by FUSE, and the switches that make it fail.
//!
//! Nothing goes through the page cache: every read and write of the host, of its ring too, arrives here as it was
//! made, with the flag that says whether it is to be durable. One thread serves one request after the other, as
//! the slowest disks do, so a slow request holds up those behind it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rand::rngs::SmallRng;
use rand::SeedableRng;

use super::store::{About, Store, Trouble, BLOCK_BYTES};
use crate::error::BenchError;
use crate::lab::limits::{DISK_BYTES_MAX, SLOW_DISK_WRITE};

/// Names and attributes are asked for again each time: a power cut changes them behind the kernel's back.
const FRESH: Duration = Duration::ZERO;

/// `O_DSYNC` and `O_SYNC`, which holds it: the write is to be durable when it is answered.
const SYNCED: i32 = rustix::fs::OFlags::DSYNC.bits() as i32;

/// `FALLOC_FL_KEEP_SIZE`: room is asked for without making the file longer.
const KEEP_SIZE: i32 = 1;

/// What is wrong with the disk at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ill {
    /// Nothing.
    #[default]
    No,
    /// There is no power: nothing works.
    Off,
    /// Every write takes [`SLOW_DISK_WRITE`].
    Slow,
    /// There is no room for new blocks.
    Full,
    /// Each sync fails, that of a synced write too.
    Syncs,
    /// Each write fails.
    Writes,
    /// The next sync fails; those after it succeed, and have lost what was to be synced.
    NextSync,
    /// The n-th write from now fails, counted down; those after it succeed.
    WriteAfter(u64),
}

/// What the disk has seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Syncs, and writes that were to be durable.
    pub syncs: u64,
    /// When the first sync or write failed on purpose, since the disk was last told to.
    pub failed_at: Option<Instant>,
    /// Syncs of the file whose sync has failed, or synced writes to it, since then.
    pub syncs_after_failure: u64,
}

#[derive(Debug)]
struct State {
    store: Store,
    ill: Ill,
    counts: Counts,
    /// The file whose sync has failed.
    failed: Option<u64>,
    random: SmallRng,
}

#[derive(Debug, Clone)]
struct Served {
    state: Arc<Mutex<State>>,
}

/// A disk in memory, mounted.
#[derive(Debug)]
pub struct MemoryDisk {
    served: Served,
    session: Option<BackgroundSession>,
}

impl MemoryDisk {
    /// Mounts an empty disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn mount(mountpoint: &Path, seed: u64) -> Result<MemoryDisk, BenchError> {
        let state = State {
            store: Store::new(DISK_BYTES_MAX),
            ill: Ill::No,
            counts: Counts::default(),
            failed: None,
            random: SmallRng::seed_from_u64(seed),
        };
        let served = Served { state: Arc::new(Mutex::new(state)) };
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("synod-lab".to_owned()), MountOption::DefaultPermissions];
        let session = fuser::spawn_mount(served.clone(), mountpoint, &config)
            .map_err(|source| BenchError::io("mounting a disk by FUSE", source))?;
        Ok(MemoryDisk { served, session: Some(session) })
    }

    /// Makes it fail from now on, or stop failing.
    pub fn set(&self, ill: Ill) {
        let mut state = self.served.lock();
        state.ill = ill;
        if ill != Ill::No {
            state.counts.failed_at = None;
            state.counts.syncs_after_failure = 0;
            state.failed = None;
        }
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        self.served.lock().counts
    }

    /// Lets so many bits flip: see [`Store::rot`].
    pub fn rot(&self, bits: usize) {
        let mut guard = self.served.lock();
        let state = &mut *guard;
        state.store.rot(bits, &mut state.random);
    }

    /// Cuts the power, and keeps it off until [`MemoryDisk::set`]. `kill` is called while the disk answers
    /// nobody, so that its host dies without having seen an error.
    ///
    /// # Errors
    /// What `kill` said.
    pub fn cut_power(&self, kill: impl FnOnce() -> Result<(), BenchError>) -> Result<(), BenchError> {
        let mut guard = self.served.lock();
        kill()?;
        let state = &mut *guard;
        state.store.cut_power(&mut state.random);
        state.ill = Ill::Off;
        Ok(())
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // What does not go now goes with the lab's mount namespace.
            let _ = session.umount_and_join();
        }
    }
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds a disk: a panic aborts")
    }

    /// The state, unless there is no power.
    fn on(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let state = self.lock();
        match state.ill {
            Ill::Off => Err(Errno::EIO),
            _ => Ok(state),
        }
    }

    fn write_bytes(&self, number: u64, offset: u64, bytes: &[u8], synced: bool) -> Result<(), Errno> {
        let slow = self.on()?.ill == Ill::Slow;
        if slow {
            std::thread::sleep(SLOW_DISK_WRITE);
        }
        {
            let mut state = self.on()?;
            state.counts.writes += 1;
            if state.write_fails() {
                state.note_failure(number);
                return Err(Errno::EIO);
            }
            state.refuse_if_full(number, offset, bytes.len())?;
            state.store.write(number, offset, bytes).map_err(errno)?;
        }
        // Between the two the power may fail, and tear what was written.
        if synced {
            let mut state = self.on()?;
            state.sync_or_fail(number)?;
            state.store.sync_range(number, offset, bytes.len()).map_err(errno)?;
        }
        Ok(())
    }
}

impl State {
    fn write_fails(&mut self) -> bool {
        match &mut self.ill {
            Ill::Writes => true,
            Ill::WriteAfter(left) if *left > 0 => {
                *left -= 1;
                false
            }
            Ill::WriteAfter(_) => {
                self.ill = Ill::No;
                true
            }
            _ => false,
        }
    }

    fn note_failure(&mut self, number: u64) {
        self.counts.failed_at.get_or_insert_with(Instant::now);
        self.failed.get_or_insert(number);
    }

    /// Counts a sync, and lets it fail if it is to.
    fn sync_or_fail(&mut self, number: u64) -> Result<(), Errno> {
        self.counts.syncs += 1;
        if self.failed == Some(number) {
            self.counts.syncs_after_failure += 1;
        }
        if !matches!(self.ill, Ill::Syncs | Ill::NextSync) {
            return Ok(());
        }
        if self.ill == Ill::NextSync {
            self.ill = Ill::No;
        }
        self.note_failure(number);
        self.store.fail_sync(number).map_err(errno)?;
        Err(Errno::EIO)
    }

    /// On a full disk only what was asked for in advance can be written.
    fn refuse_if_full(&self, number: u64, offset: u64, bytes: usize) -> Result<(), Errno> {
        let end = (offset + bytes as u64).div_ceil(BLOCK_BYTES as u64);
        let about = self.store.about(number).map_err(errno)?;
        match self.ill == Ill::Full && end > about.blocks {
            true => Err(Errno::ENOSPC),
            false => Ok(()),
        }
    }
}

fn errno(trouble: Trouble) -> Errno {
    match trouble {
        Trouble::NotFound => Errno::ENOENT,
        Trouble::Exists => Errno::EEXIST,
        Trouble::WrongKind => Errno::ENOTDIR,
        Trouble::NotEmpty => Errno::ENOTEMPTY,
        Trouble::Full => Errno::ENOSPC,
    }
}

fn attributes(about: About) -> FileAttr {
    FileAttr {
        ino: INodeNo(about.number),
        size: about.size,
        blocks: about.blocks * (BLOCK_BYTES as u64 / 512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(about),
        perm: about.mode,
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

fn kind(about: About) -> FileType {
    match about.is_directory {
        true => FileType::Directory,
        false => FileType::RegularFile,
    }
}

/// Answers with one of two methods of a reply.
macro_rules! answer {
    ($reply:expr, $result:expr, $good:expr) => {
        match $result {
            Ok(value) => $good($reply, value),
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Served {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.on().and_then(|state| state.store.lookup(parent.0, name).map_err(errno));
        answer!(reply, found, |reply: ReplyEntry, about| reply.entry(
            &FRESH,
            &attributes(about),
            Generation(0)
        ));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.on().and_then(|state| state.store.about(ino.0).map_err(errno));
        answer!(reply, found, |reply: ReplyAttr, about| reply.attr(&FRESH, &attributes(about)));
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = self.on().and_then(|mut state| {
            if let Some(mode) = mode {
                state.store.set_mode(ino.0, (mode & 0o7777) as u16).map_err(errno)?;
            }
            if let Some(size) = size {
                state.store.resize(ino.0, size).map_err(errno)?;
            }
            state.store.about(ino.0).map_err(errno)
        });
        answer!(reply, done, |reply: ReplyAttr, about| reply.attr(&FRESH, &attributes(about)));
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mode = (mode & !umask & 0o7777) as u16;
        let made =
            self.on().and_then(|mut state| state.store.make(parent.0, name, true, mode).map_err(errno));
        answer!(reply, made, |reply: ReplyEntry, about| reply.entry(
            &FRESH,
            &attributes(about),
            Generation(0)
        ));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.on().and_then(|mut state| state.store.remove(parent.0, name).map_err(errno));
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(req, parent, name, reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        let done = self.on().and_then(|mut state| {
            if flags.contains(RenameFlags::RENAME_NOREPLACE)
                && state.store.lookup(newparent.0, newname).is_ok()
            {
                return Err(Errno::EEXIST);
            }
            state.store.rename((parent.0, name), (newparent.0, newname)).map_err(errno)
        });
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let done = self.on().map(|mut state| state.store.opened(ino.0));
        answer!(reply, done, |reply: ReplyOpen, ()| reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO));
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mode = (mode & !umask & 0o7777) as u16;
        let made = self.on().and_then(|mut state| {
            let about = state.store.make(parent.0, name, false, mode).map_err(errno)?;
            state.store.opened(about.number);
            Ok(about)
        });
        answer!(reply, made, |reply: ReplyCreate, about| reply.created(
            &FRESH,
            &attributes(about),
            Generation(0),
            FileHandle(0),
            FopenFlags::FOPEN_DIRECT_IO
        ));
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.on().and_then(|state| state.store.read(ino.0, offset, size as usize).map_err(errno));
        answer!(reply, read, |reply: ReplyData, bytes: Vec<u8>| reply.data(&bytes));
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.write_bytes(ino.0, offset, data, flags.0 & SYNCED != 0);
        answer!(reply, done, |reply: ReplyWrite, ()| reply.written(data.len() as u32));
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.lock().store.closed(ino.0);
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        if self.lock().ill == Ill::Slow {
            std::thread::sleep(SLOW_DISK_WRITE);
        }
        let done = self.on().and_then(|mut state| {
            state.sync_or_fail(ino.0)?;
            state.store.sync(ino.0).map_err(errno)
        });
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let done = self.on().and_then(|mut state| state.store.sync_directory(ino.0).map_err(errno));
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode & !KEEP_SIZE != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let done = self.on().and_then(|mut state| {
            state.refuse_if_full(ino.0, offset, length as usize)?;
            state.store.reserve(ino.0, offset + length, mode & KEEP_SIZE != 0).map_err(errno)
        });
        answer!(reply, done, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.on().and_then(|state| state.store.list(ino.0).map_err(errno)) {
            Err(error) => reply.error(error),
            Ok(entries) => {
                for (place, (name, about)) in entries.into_iter().enumerate().skip(offset as usize) {
                    if reply.add(INodeNo(about.number), place as u64 + 1, kind(about), name) {
                        break;
                    }
                }
                reply.ok();
            }
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let state = self.lock();
        let (all, mut free) = state.store.space();
        if state.ill == Ill::Full {
            free = 0;
        }
        let block = BLOCK_BYTES as u32;
        reply.statfs(all, free, free, 1 << 20, 1 << 20, block, 255, block);
    }
}
