//! The core's directory through the ring, on a real file system.

use std::collections::BTreeMap;
use std::sync::mpsc::{channel, Sender};
use std::thread::JoinHandle;

use super::support::{pattern, PATIENCE};
use crate::uring::{outside, run_cores, CoreSpec, Event, Io, Mailboxes, Next, Outside, Turn};
use crate::{AlignedBuf, Disk, DiskError, DiskErrorKind, FileId, Nanos, Op, OpId, Outcome, BLOCK_BYTES};

type Answer = Result<Outcome, DiskError>;

/// A core that carries out disk operations for the test's thread.
struct Servant {
    mailboxes: Mailboxes<Vec<(Op, Sender<Answer>)>>,
    waiting: BTreeMap<OpId, Sender<Answer>>,
    stop: bool,
}

impl Turn for Servant {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        match event {
            Event::Woken => {
                while let Some((_, batch)) = self.mailboxes.receive() {
                    self.stop |= batch.is_empty();
                    for (op, to) in batch {
                        let id = io.submit(op);
                        assert!(self.waiting.insert(id, to).is_none(), "an id is used once");
                    }
                }
            }
            Event::Disk(completion) => {
                let to = self.waiting.remove(&completion.id).expect("an operation completes once");
                to.send(completion.result).expect("the test waits");
            }
            _ => panic!("no sockets here"),
        }
    }

    fn end_turn(&mut self, _io: &mut Io, _now: Nanos) -> Next {
        Next { stop: self.stop, ..Next::default() }
    }

    fn background(&mut self, _io: &mut Io, _now: Nanos) {}
}

struct TestDisk {
    folder: tempfile::TempDir,
    control: Outside<Vec<(Op, Sender<Answer>)>>,
    thread: Option<JoinHandle<()>>,
}

impl TestDisk {
    fn new() -> TestDisk {
        let folder = tempfile::tempdir().expect("a directory can be made");
        let (control, end) = outside().expect("an event counter can be made");
        let mut spec = CoreSpec::new(folder.path());
        spec.outside = Some(end);
        let thread = std::thread::spawn(|| {
            run_cores(vec![spec], |_, _, mailboxes| {
                Ok(Servant { mailboxes, waiting: BTreeMap::new(), stop: false })
            })
            .expect("a core starts here");
        });
        TestDisk { folder, control, thread: Some(thread) }
    }

    /// Submits all in one turn; the answers in the order of the operations.
    fn all(&self, ops: Vec<Op>) -> Vec<Answer> {
        let (batch, answers): (Vec<_>, Vec<_>) = ops
            .into_iter()
            .map(|op| {
                let (to, answer) = channel();
                ((op, to), answer)
            })
            .unzip();
        assert!(self.control.send(batch).is_ok(), "the core runs");
        let wait = |answer: std::sync::mpsc::Receiver<Answer>| answer.recv_timeout(PATIENCE);
        answers.into_iter().map(|answer| wait(answer).expect("an operation completes")).collect()
    }

    fn one(&self, op: Op) -> Answer {
        self.all(vec![op]).remove(0)
    }

    fn done(&self, op: Op) {
        let what = format!("{op:?}");
        assert!(matches!(self.one(op), Ok(Outcome::Done)), "{what}");
    }

    fn open(&self, name: &str, create: bool) -> Result<(FileId, u64), DiskError> {
        match self.one(Op::Open { name: name.to_owned(), create })? {
            Outcome::Opened { file, len } => Ok((file, len)),
            other => panic!("an open ends in a file, not {other:?}"),
        }
    }

    fn write(&self, file: FileId, offset: u64, bytes: &[u8], sync: bool) {
        let op = Op::Write { file, offset, buf: AlignedBuf::from_padded(bytes), sync };
        match self.one(op).expect("it can be written") {
            Outcome::Written { buf } => assert!(buf.as_slice().starts_with(bytes), "the buffer comes back"),
            other => panic!("a write ends in its buffer, not {other:?}"),
        }
    }

    fn read(&self, file: FileId, offset: u64, bytes: usize) -> Vec<u8> {
        let op = Op::Read { file, offset, buf: AlignedBuf::zeroed(bytes) };
        match self.one(op).expect("it can be read") {
            Outcome::Read { buf, bytes } => buf.as_slice()[..bytes].to_vec(),
            other => panic!("a read ends in bytes, not {other:?}"),
        }
    }

    fn list(&self) -> Vec<(String, u64)> {
        match self.one(Op::List).expect("it can be listed") {
            Outcome::Listed { files } => files,
            other => panic!("a list ends in names, not {other:?}"),
        }
    }
}

impl Drop for TestDisk {
    fn drop(&mut self) {
        let stopped = self.control.send(Vec::new()).is_ok();
        let joined = self.thread.take().is_some_and(|thread| thread.join().is_ok());
        // A failed test has its own message.
        assert!((stopped && joined) || std::thread::panicking(), "the core stops in order");
    }
}

fn fails_as(kind: DiskErrorKind, words: &str, result: Result<impl std::fmt::Debug, DiskError>) {
    let error = result.expect_err("this cannot work");
    assert_eq!(error.kind, kind, "{}", error.message);
    assert!(error.message.contains(words), "{}", error.message);
}

#[test]
fn a_file_from_its_making_to_its_end() {
    let disk = TestDisk::new();
    fails_as(DiskErrorKind::NotFound, "open log", disk.open("log", false));
    let (file, len) = disk.open("log", true).expect("it is new");
    assert_eq!(len, 0);
    fails_as(DiskErrorKind::Io, "create log", disk.open("log", true));
    disk.done(Op::Preallocate { file, bytes: 1 << 20 });
    let bytes = pattern(1, 5 * BLOCK_BYTES);
    disk.write(file, 0, &bytes, true);
    disk.write(file, 8 * BLOCK_BYTES as u64, &bytes, false);
    disk.done(Op::Sync { file });
    disk.done(Op::SyncDir);
    assert!(disk.read(file, 0, bytes.len()) == bytes);
    assert!(disk.read(file, 8 * BLOCK_BYTES as u64, bytes.len()) == bytes);
    assert!(
        disk.read(file, 5 * BLOCK_BYTES as u64, BLOCK_BYTES) == [0; BLOCK_BYTES],
        "the gap reads as zero"
    );
    disk.done(Op::Close { file });

    let (again, len) = disk.open("log", false).expect("it was made");
    assert!(again != file, "a handle is never reused");
    assert_eq!(len, 1 << 20);
    let on_disk = std::fs::read(disk.folder.path().join("log")).expect("the file is there");
    assert!(on_disk.starts_with(&bytes), "what the ring wrote is in the file");

    disk.open("other", true).expect("it is new");
    assert_eq!(disk.list(), [("log".to_owned(), 1 << 20), ("other".to_owned(), 0)]);
    disk.done(Op::Rename { from: "log".to_owned(), to: "other".to_owned() });
    disk.done(Op::SyncDir);
    assert_eq!(disk.list(), [("other".to_owned(), 1 << 20)]);
    assert!(disk.read(again, 0, bytes.len()) == bytes, "a handle outlives a new name");
    disk.done(Op::Remove { name: "other".to_owned() });
    assert_eq!(disk.list(), []);
    fails_as(DiskErrorKind::NotFound, "remove other", disk.one(Op::Remove { name: "other".to_owned() }));
    let rename = Op::Rename { from: "other".to_owned(), to: "log".to_owned() };
    fails_as(DiskErrorKind::NotFound, "rename other to log", disk.one(rename));
}

#[test]
fn reads_are_short_only_at_the_end() {
    let disk = TestDisk::new();
    let bytes = pattern(2, 2 * BLOCK_BYTES + 100);
    std::fs::write(disk.folder.path().join("odd"), &bytes).expect("it can be written");
    let (file, len) = disk.open("odd", false).expect("it is there");
    assert_eq!(len, bytes.len() as u64);
    assert!(disk.read(file, 0, 4 * BLOCK_BYTES) == bytes);
    assert!(disk.read(file, 2 * BLOCK_BYTES as u64, BLOCK_BYTES) == bytes[2 * BLOCK_BYTES..]);
    assert_eq!(disk.read(file, 3 * BLOCK_BYTES as u64, BLOCK_BYTES), [0; 0]);

    let (even, _) = disk.open("even", true).expect("it is new");
    disk.write(even, 0, &bytes[..BLOCK_BYTES], false);
    assert!(disk.read(even, 0, 4 * BLOCK_BYTES) == bytes[..BLOCK_BYTES], "the end lies at a whole block");
}

#[test]
fn a_length_beyond_any_file_is_refused() {
    let disk = TestDisk::new();
    let (file, _) = disk.open("huge", true).expect("it is new");
    // More than the file system can hold, so that it refuses before it fills the disk of everybody else here.
    let huge = Op::Preallocate { file, bytes: 1 << 62 };
    fails_as(DiskErrorKind::Io, "preallocate 4611686018427387904 bytes of huge", disk.one(huge));
}

#[test]
fn more_operations_than_the_kernel_holds_all_complete() {
    const BLOCKS: u64 = 700;
    let disk = TestDisk::new();
    let (file, _) = disk.open("blocks", true).expect("it is new");
    disk.done(Op::Preallocate { file, bytes: BLOCKS * BLOCK_BYTES as u64 });
    let offset = |block: u64| block * BLOCK_BYTES as u64;
    let write = |block: u64| Op::Write {
        file,
        offset: offset(block),
        buf: AlignedBuf::from_padded(&pattern(block, BLOCK_BYTES)),
        sync: block.is_multiple_of(16),
    };
    for written in disk.all((0..BLOCKS).map(write).collect()) {
        assert!(matches!(written, Ok(Outcome::Written { .. })), "{written:?}");
    }
    // Backwards, so that nothing fits by its order alone.
    let read = |block: u64| Op::Read { file, offset: offset(block), buf: AlignedBuf::zeroed(BLOCK_BYTES) };
    let blocks = disk.all((0..BLOCKS).rev().map(read).collect());
    for (block, answer) in (0..BLOCKS).rev().zip(blocks) {
        match answer {
            Ok(Outcome::Read { buf, bytes: BLOCK_BYTES }) => {
                assert!(buf.as_slice() == pattern(block, BLOCK_BYTES), "block {block} is its own");
            }
            other => panic!("block {block} is read, not {other:?}"),
        }
    }
}
