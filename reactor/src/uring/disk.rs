//! The core's directory: every operation of [`Disk`](crate::Disk) as an operation of the ring.
//!
//! Files are opened with O_DIRECT, so what was written is what the device got, and a read costs no page cache. On a
//! file system that refuses it (some network and memory ones) they are opened without, which is logged once.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

use super::event::Raw;
use super::limits::{DISK_IN_FLIGHT_MAX, DISK_OP_BYTES_MAX, DISK_WAITING_MAX, FILE_NAME_BYTES_MAX};
use super::ring::{Cqe, Ring};
use super::slab::Slab;
use super::token::{encode, Key, Kind};
use crate::{AlignedBuf, Completion, DiskError, DiskErrorKind, FileId, Op, OpId, Outcome, BLOCK_BYTES};

const FILE_MODE: libc::mode_t = 0o640;

struct OpenFile {
    fd: OwnedFd,
    name: String,
}

/// An operation with everything that the kernel may read or write until it completes.
enum Held {
    Open { name: String, path: CString, create: bool, direct: bool },
    Close { file: FileId, name: String, fd: Option<OwnedFd> },
    Read { file: FileId, offset: u64, buf: AlignedBuf, done: usize },
    Write { file: FileId, offset: u64, buf: AlignedBuf, sync: bool },
    Preallocate { file: FileId, bytes: u64 },
    Sync { file: FileId },
    Rename { from: String, to: String, from_path: CString, to_path: CString },
    Remove { name: String, path: CString },
    SyncDir,
}

/// The directory of one core, its open files and its operations.
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    files: BTreeMap<FileId, OpenFile>,
    next_file: u32,
    next_op: u64,
    /// With the kernel.
    ops: Slab<(OpId, Held)>,
    /// Not yet with the kernel.
    waiting: VecDeque<(OpId, Held)>,
    /// Whether files are still opened with O_DIRECT.
    direct: bool,
}

impl Directory {
    /// Opens the directory, which has to exist.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let directory = File::open(path)?;
        if !directory.metadata()?.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        Ok(Directory {
            fd: directory.into(),
            path: path.to_owned(),
            files: BTreeMap::new(),
            next_file: 0,
            next_op: 0,
            ops: Slab::new(DISK_IN_FLIGHT_MAX),
            waiting: VecDeque::new(),
            direct: true,
        })
    }

    /// Takes an operation; see [`crate::Disk::submit`].
    pub fn submit(&mut self, ring: &mut Ring, op: Op, out: &mut VecDeque<Raw>) -> OpId {
        let id = OpId(self.next_op);
        self.next_op += 1;
        let Some(held) = self.hold(op) else {
            out.push_back(Raw::Disk(Completion { id, result: self.list() }));
            return id;
        };
        assert!(self.waiting.len() < DISK_WAITING_MAX, "more disk operations wait than any engine may have");
        self.waiting.push_back((id, held));
        self.start_waiting(ring);
        id
    }

    /// Checks an operation and takes hold of its memory; none for `List`, which the kernel has no operation for.
    fn hold(&mut self, op: Op) -> Option<Held> {
        Some(match op {
            Op::Open { name, create } => {
                Held::Open { path: plain_name(&name), name, create, direct: self.direct }
            }
            Op::Close { file } => {
                let open = self.files.remove(&file).expect("a file is closed once");
                Held::Close { file, name: open.name, fd: Some(open.fd) }
            }
            Op::Read { file, offset, buf } => {
                check_span(offset, &buf);
                Held::Read { file, offset, buf, done: 0 }
            }
            Op::Write { file, offset, buf, sync } => {
                check_span(offset, &buf);
                Held::Write { file, offset, buf, sync }
            }
            Op::Preallocate { file, bytes } => Held::Preallocate { file, bytes },
            Op::Sync { file } => Held::Sync { file },
            Op::Rename { from, to } => {
                Held::Rename { from_path: plain_name(&from), to_path: plain_name(&to), from, to }
            }
            Op::Remove { name } => Held::Remove { path: plain_name(&name), name },
            Op::SyncDir => Held::SyncDir,
            Op::List => return None,
        })
    }

    fn start_waiting(&mut self, ring: &mut Ring) {
        while !self.ops.is_full() {
            let Some(op) = self.waiting.pop_front() else { return };
            let key = self.ops.insert(op);
            self.start(ring, key);
        }
    }

    fn start(&mut self, ring: &mut Ring, key: Key) {
        let fd_of = |file: &FileId| {
            let open = self.files.get(file).expect("an operation is on an open file");
            Fd(open.fd.as_raw_fd())
        };
        let directory = Fd(self.fd.as_raw_fd());
        let (_, held) = self.ops.find_mut(key).expect("the operation to start is there");
        let entry = match held {
            Held::Open { path, create, direct, .. } => opcode::OpenAt::new(directory, path.as_ptr())
                .flags(open_flags(*create, *direct))
                .mode(FILE_MODE)
                .build(),
            Held::Close { fd, .. } => {
                let fd = fd.take().expect("a close starts once");
                opcode::Close::new(Fd(fd.into_raw_fd())).build()
            }
            Held::Read { file, offset, buf, done } => {
                let rest = buf.as_mut_slice().get_mut(*done..).expect("a read stays inside its buffer");
                let (pointer, length, at) = (rest.as_mut_ptr(), rest.len() as u32, *offset + *done as u64);
                opcode::Read::new(fd_of(file), pointer, length).offset(at).build()
            }
            Held::Write { file, offset, buf, sync } => write_entry(fd_of(file), *offset, buf, *sync),
            Held::Preallocate { file, bytes } => opcode::Fallocate::new(fd_of(file), *bytes).build(),
            Held::Sync { file } => opcode::Fsync::new(fd_of(file)).flags(FsyncFlags::DATASYNC).build(),
            Held::Rename { from_path, to_path, .. } => {
                opcode::RenameAt::new(directory, from_path.as_ptr(), directory, to_path.as_ptr()).build()
            }
            Held::Remove { path, .. } => opcode::UnlinkAt::new(directory, path.as_ptr()).build(),
            Held::SyncDir => opcode::Fsync::new(directory).build(),
        };
        // SAFETY: names and buffers are on the heap, owned by `ops` and untouched until the completion takes the
        // operation out; moving the operation inside the slab does not move them.
        unsafe { ring.push(entry.user_data(encode(Kind::Disk, key))) };
    }

    /// Handles a completion of the kernel.
    pub fn on_completion(&mut self, ring: &mut Ring, key: Key, cqe: Cqe) -> Option<Raw> {
        let (id, mut held) = self.ops.remove(key).expect("a disk operation completes once");
        let again = match &mut held {
            Held::Open { name, direct, .. } if *direct && cqe.result == -libc::EINVAL => {
                *direct = false;
                self.go_without_direct(name);
                true
            }
            Held::Read { buf, done, .. } => went_on(buf.len(), done, cqe.result),
            _ => false,
        };
        if again {
            self.waiting.push_front((id, held));
            self.start_waiting(ring);
            return None;
        }
        let result = self.finish(ring, held, cqe);
        self.start_waiting(ring);
        Some(Raw::Disk(Completion { id, result }))
    }

    /// From now on files are opened without O_DIRECT. Said once.
    fn go_without_direct(&mut self, name: &str) {
        if self.direct {
            tracing::warn!(
                directory = %self.path.display(),
                file = name,
                "the file system refuses O_DIRECT: files go through the page cache"
            );
        }
        self.direct = false;
    }

    fn finish(&mut self, ring: &mut Ring, held: Held, cqe: Cqe) -> Result<Outcome, DiskError> {
        if cqe.result < 0 {
            return Err(self.failure(&held, &cqe.error()));
        }
        let done = cqe.result as usize;
        match held {
            Held::Open { name, .. } => {
                // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
                let fd = unsafe { OwnedFd::from_raw_fd(cqe.result) };
                self.opened(fd, name)
            }
            Held::Read { buf, done, .. } => {
                ring.stats.disk_reads += 1;
                ring.stats.disk_bytes_read += done as u64;
                Ok(Outcome::Read { buf, bytes: done })
            }
            Held::Write { ref buf, .. } if done != buf.len() => {
                let short = io::Error::other(format!("only {done} bytes were written"));
                Err(self.failure(&held, &short))
            }
            Held::Write { buf, .. } => {
                ring.stats.disk_writes += 1;
                ring.stats.disk_bytes_written += done as u64;
                Ok(Outcome::Written { buf })
            }
            Held::Sync { .. } | Held::SyncDir => {
                ring.stats.disk_syncs += 1;
                Ok(Outcome::Done)
            }
            Held::Close { .. } | Held::Preallocate { .. } | Held::Rename { .. } | Held::Remove { .. } => {
                Ok(Outcome::Done)
            }
        }
    }

    fn opened(&mut self, fd: OwnedFd, name: String) -> Result<Outcome, DiskError> {
        let file = File::from(fd);
        let len = file.metadata().map_err(|error| disk_error(format!("open {name}"), &error))?.len();
        let id = FileId(self.next_file);
        self.next_file = self.next_file.checked_add(1).expect("a core opens fewer than 2^32 files");
        self.files.insert(id, OpenFile { fd: file.into(), name });
        Ok(Outcome::Opened { file: id, len })
    }

    /// Names and lengths of the files, read without the ring: once per start, before anything is served.
    fn list(&self) -> Result<Outcome, DiskError> {
        let failed = |error: &io::Error| disk_error(format!("list {}", self.path.display()), error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let metadata = entry.metadata().map_err(|error| failed(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if metadata.is_file() {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(Outcome::Listed { files })
    }

    fn failure(&self, held: &Held, error: &io::Error) -> DiskError {
        let name = |file: &FileId| self.files.get(file).map_or("a closed file", |open| open.name.as_str());
        let what = match held {
            Held::Open { name, create: false, .. } => format!("open {name}"),
            Held::Open { name, .. } => format!("create {name}"),
            Held::Close { name, file, .. } => format!("close {name} (file {})", file.0),
            Held::Read { file, offset, buf, .. } => {
                format!("read {} bytes at {offset} of {}", buf.len(), name(file))
            }
            Held::Write { file, offset, buf, .. } => {
                format!("write {} bytes at {offset} of {}", buf.len(), name(file))
            }
            Held::Preallocate { file, bytes } => format!("preallocate {bytes} bytes of {}", name(file)),
            Held::Sync { file } => format!("sync {}", name(file)),
            Held::Rename { from, to, .. } => format!("rename {from} to {to}"),
            Held::Remove { name, .. } => format!("remove {name}"),
            Held::SyncDir => format!("sync {}", self.path.display()),
        };
        disk_error(what, error)
    }

    /// Operations that the kernel holds.
    pub fn in_flight(&self) -> usize {
        self.ops.len()
    }
}

/// Counts what a read has brought; whether the rest has to be asked for. A read that ends short at a whole block may
/// have met the end of the file or only a boundary of the device; a further one tells. (One that ends inside a block
/// has met the end.)
fn went_on(length: usize, done: &mut usize, result: i32) -> bool {
    let bytes = usize::try_from(result).unwrap_or(0);
    *done += bytes;
    assert!(*done <= length, "a read stays inside its buffer");
    bytes > 0 && *done < length && (*done).is_multiple_of(BLOCK_BYTES)
}

/// A name as the kernel takes it. Names are made by the engines, never by clients, so a path is a broken invariant.
fn plain_name(name: &str) -> CString {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    assert!(plain && name.len() <= FILE_NAME_BYTES_MAX, "{name:?} is not a plain file name");
    CString::new(name).expect("a file name has no zero byte")
}

fn check_span(offset: u64, buf: &AlignedBuf) {
    assert!(offset.is_multiple_of(BLOCK_BYTES as u64), "offset {offset} is not a whole block");
    assert!(!buf.is_empty() && buf.len() <= DISK_OP_BYTES_MAX, "an operation has 1 block to 1 GiB");
}

fn open_flags(create: bool, direct: bool) -> i32 {
    let create = if create { libc::O_CREAT | libc::O_EXCL } else { 0 };
    let direct = if direct { libc::O_DIRECT } else { 0 };
    libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW | create | direct
}

fn write_entry(fd: Fd, offset: u64, buf: &AlignedBuf, sync: bool) -> squeue::Entry {
    let bytes = buf.as_slice();
    let flags = if sync { libc::RWF_DSYNC } else { 0 };
    opcode::Write::new(fd, bytes.as_ptr(), bytes.len() as u32).offset(offset).rw_flags(flags).build()
}

fn disk_error(what: String, error: &io::Error) -> DiskError {
    let kind = match error.raw_os_error() {
        Some(libc::ENOENT) => DiskErrorKind::NotFound,
        Some(libc::ENOSPC | libc::EDQUOT) => DiskErrorKind::Full,
        _ => DiskErrorKind::Io,
    };
    DiskError { kind, message: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do_and_what_was_tried() {
        for (errno, kind) in [
            (libc::ENOENT, DiskErrorKind::NotFound),
            (libc::ENOSPC, DiskErrorKind::Full),
            (libc::EDQUOT, DiskErrorKind::Full),
            (libc::EIO, DiskErrorKind::Io),
            (libc::EEXIST, DiskErrorKind::Io),
        ] {
            let error = disk_error("sync log".to_owned(), &io::Error::from_raw_os_error(errno));
            assert_eq!(error.kind, kind);
            assert!(error.message.starts_with("sync log: "), "{}", error.message);
        }
    }

    #[test]
    fn a_read_goes_on_until_the_end_is_certain() {
        for (before, result, after, again) in [
            (0, 16384, 16384, false),
            (0, 4096, 4096, true),
            (4096, 0, 4096, false),
            (4096, 12288, 16384, false),
            (0, 5000, 5000, false),
            (8192, -libc::EIO, 8192, false),
        ] {
            let mut done = before;
            assert_eq!(went_on(16384, &mut done, result), again, "{before} and {result}");
            assert_eq!(done, after);
        }
    }

    /// No file system at hand refuses O_DIRECT, so the kernel's answer is made up.
    #[test]
    fn a_file_system_without_direct_files_is_used_all_the_same() {
        let folder = tempfile::tempdir().expect("a directory can be made");
        let mut ring = Ring::new().expect("a ring can be made");
        let mut directory = Directory::open(folder.path()).expect("it is there");
        let mut out = VecDeque::new();
        let open = Op::Open { name: "log".to_owned(), create: true };
        let id = directory.submit(&mut ring, open, &mut out);
        let refused = Cqe { token: 0, result: -libc::EINVAL, flags: 0 };
        let first = Key { slot: 0, generation: 0 };
        // The made-up answer comes instead of the kernel's to the first try, which is thrown away unsent.
        drop(ring);
        let mut ring = Ring::new().expect("a ring can be made");
        assert!(directory.on_completion(&mut ring, first, refused).is_none(), "it is tried again");
        let mut answers = Vec::new();
        ring.enter(super::super::ring::Wait::Forever);
        ring.take(|cqe| answers.push(cqe));
        let (_, second) = super::super::token::decode(answers[0].token);
        match directory.on_completion(&mut ring, second, answers[0]) {
            Some(Raw::Disk(Completion { id: told, result: Ok(Outcome::Opened { file, len: 0 }) })) => {
                assert_eq!(told, id);
                let fd = directory.files[&file].fd.as_raw_fd();
                // SAFETY: asks for the flags of an open file.
                let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
                assert_eq!(flags & libc::O_DIRECT, 0);
            }
            _ => panic!("the second try opens the file"),
        }
        assert!(!directory.direct, "the next file is opened without at once");
    }

    #[test]
    #[should_panic(expected = "not a plain file name")]
    fn a_path_is_no_name() {
        plain_name("../secret");
    }

    #[test]
    fn flags_follow_what_is_asked() {
        assert_eq!(open_flags(false, false) & (libc::O_CREAT | libc::O_DIRECT), 0);
        assert_ne!(open_flags(true, false) & libc::O_EXCL, 0);
        assert_ne!(open_flags(false, true) & libc::O_DIRECT, 0);
    }
}
