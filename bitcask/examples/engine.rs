//! What one core's engine does on a real disk, beside nothing but the disk itself: `scripts/compare` sets it beside RocksDB.
//!
//! `cargo run --release -p bitcask --example engine -- --keys 10000000 --seconds 5 --dir DIR`
//!
//! Fills an empty directory with so many keys of 16 bytes and values of 100; then measures, for so many seconds each, synced puts of 64
//! writers that wait for their own, and reads of values in memory; starts again, which it times; then measures reads from the disk, and
//! plain reads of as many blocks at the same depth; and times one more start, without the hints. Ends with a line of JSON, whose fields
//! `bench/compare` reads.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Sender};
use std::time::{Duration, Instant};

use bitcask::{AppendError, Bitcask, Event, KeyRef, Kind, Lsn, Options, Read, Record, Recovered, Stamp};
use reactor::rng::Rng;
use reactor::uring::{run_cores, CoreSpec, Event as RingEvent, Io, Mailboxes, Next, Turn};
use reactor::{AlignedBuf, Completion, Disk, FileId, Nanos, Op, OpId, Outcome, BLOCK_BYTES};

/// Writers that each wait for their put, as RocksDB's benchmark has them.
const WRITERS: usize = 64;
/// Puts under way while the directory is filled.
const FILL_DEPTH: usize = 8_192;
/// Reads under way from the disk.
const READ_DEPTH: usize = 32;
/// Keys that are read from memory: 10 MB of values, which the cache holds and the processor's caches do not.
const WARM_KEYS: u64 = 100_000;
/// Reads from memory in a turn, as many as a core looks ahead over.
const WARM_BATCH: usize = 64;
const BODY_BYTES: usize = 100;
/// Bytes of one step of background work.
const STEP_BYTES: u64 = 256 << 10;

struct Args {
    keys: u64,
    seconds: f64,
    directory: PathBuf,
}

fn args() -> Result<Args, String> {
    let mut args = Args { keys: 1_000_000, seconds: 3.0, directory: PathBuf::new() };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--keys" => args.keys = value.parse().map_err(|error| format!("--keys {value}: {error}"))?,
            "--seconds" => {
                args.seconds = value.parse().map_err(|error| format!("--seconds {value}: {error}"))?;
            }
            "--dir" => args.directory = value.into(),
            _ => return Err(format!("{name} is not known; there are --keys N, --seconds S and --dir DIR")),
        }
    }
    if args.directory.as_os_str().is_empty() || args.keys < WARM_KEYS {
        return Err(format!("--dir DIR is needed, and at least {WARM_KEYS} keys"));
    }
    Ok(args)
}

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    let mut left = n;
    for digit in key[4..].iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    key
}

fn slot(n: u64) -> u16 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as u16
}

/// What is being done.
enum Phase {
    /// The engine reads its log.
    Starting,
    Fill {
        next: u64,
    },
    Puts,
    /// The keys that will be read from memory are read from the disk, so far up to this one.
    Warming {
        next: u64,
        pending: usize,
    },
    Warm,
    /// Hints are written, and what else the engine does when it has time.
    Resting,
    Cold {
        pending: usize,
    },
    /// The segments are looked for, opened, read: all of them, for part of the disk may be in somebody's memory.
    Raw {
        unopened: usize,
        files: Vec<(FileId, u64)>,
        pending: VecDeque<OpId>,
    },
    Over,
}

/// What a start is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// To fill an empty directory.
    Fill,
    /// To read what is there.
    Read,
    /// To be timed without hints.
    Hintless,
}

/// A figure of the JSON line.
type Figure = (&'static str, f64);

struct Core {
    engine: Bitcask,
    phase: Phase,
    run: Run,
    keys: u64,
    seconds: f64,
    rng: Rng,
    round: u64,
    /// Puts under way, in order.
    puts: VecDeque<Lsn>,
    done: u64,
    since: Instant,
    warm: Vec<(KeyRef, [u8; 16])>,
    figures: Sender<Figure>,
}

impl Core {
    fn begin(&mut self, phase: Phase) {
        (self.phase, self.done, self.since) = (phase, 0, Instant::now());
    }

    fn tell(&self, name: &'static str, figure: f64) {
        println!("{name}: {figure:.1}");
        self.figures.send((name, figure)).expect("the main thread listens");
    }

    fn rate(&self) -> f64 {
        self.done as f64 / self.since.elapsed().as_secs_f64()
    }

    fn is_time(&self) -> bool {
        self.since.elapsed() >= Duration::from_secs_f64(self.seconds)
    }

    /// Puts a key. False: not now.
    fn put(&mut self, n: u64) -> bool {
        self.round += 1;
        let stamp = Stamp { round: self.round, node: 1, incarnation: 1 };
        let (key, body) = (key(n), [n as u8; BODY_BYTES]);
        let record = Record { slot: slot(n), key: &key, stamp, kind: Kind::Value, body: &body };
        match self.engine.append(record) {
            Ok(lsn) => self.puts.push_back(lsn),
            Err(AppendError::Making | AppendError::Backlog) => return false,
            Err(error) => panic!("a put is refused: {error:?}"),
        }
        true
    }

    fn on_engine(&mut self, event: Event) {
        match event {
            Event::Ready(_) if self.run == Run::Fill => self.begin(Phase::Fill { next: 0 }),
            Event::Ready(recovered) => self.started(&recovered),
            Event::Persisted(lsn) => {
                while self.puts.front().is_some_and(|first| *first <= lsn) {
                    self.puts.pop_front();
                    self.done += 1;
                }
            }
            Event::Read { result, .. } => {
                let found = result.expect("the disk reads").expect("each key has a value");
                assert_eq!(found.body.len(), BODY_BYTES);
                self.done += 1;
                if let Phase::Cold { pending } | Phase::Warming { pending, .. } = &mut self.phase {
                    *pending -= 1;
                }
            }
            Event::Failed(fault) => panic!("the engine has stopped: {fault}"),
            _ => {}
        }
    }

    fn started(&mut self, recovered: &Recovered) {
        assert_eq!(self.engine.stats().keys, self.keys, "all keys are there again");
        let hints = (recovered.hints_used, recovered.segments);
        println!(
            "{} of {} segments were read by their hints, {} bytes",
            hints.0, hints.1, recovered.bytes_read
        );
        let seconds = self.since.elapsed().as_secs_f64();
        if self.run == Run::Hintless {
            self.tell("start_without_hints_seconds", seconds);
            self.begin(Phase::Over);
        } else {
            self.tell("start_seconds", seconds);
            self.begin(Phase::Cold { pending: 0 });
        }
    }

    /// One turn of what is being done. True: the next one is to follow at once.
    fn work(&mut self, io: &mut Io) -> bool {
        let is_time = self.is_time();
        let before = std::mem::discriminant(&self.phase);
        match &mut self.phase {
            Phase::Starting => {}
            Phase::Fill { next } if *next == self.keys && self.puts.is_empty() => self.filled(),
            Phase::Fill { .. } => self.fill(),
            Phase::Puts => self.put_and_wait(is_time),
            Phase::Warming { .. } => self.warm_up(io),
            Phase::Warm => self.read_warm(io),
            Phase::Resting if !self.engine.background_wanted() => self.begin(Phase::Over),
            Phase::Resting => {}
            Phase::Cold { .. } => self.read_cold(io),
            Phase::Raw { .. } => self.read_raw(io),
            Phase::Over => {}
        }
        // What is begun here has nothing under way yet that would wake the core up.
        matches!(self.phase, Phase::Warm) || std::mem::discriminant(&self.phase) != before
    }

    fn fill(&mut self) {
        while self.puts.len() < FILL_DEPTH {
            let Phase::Fill { next } = self.phase else { return };
            if next == self.keys || !self.put(next) {
                return;
            }
            self.phase = Phase::Fill { next: next + 1 };
        }
    }

    fn filled(&mut self) {
        println!("filled with {} keys: {:.0} a second", self.keys, self.rate());
        self.tell("ram_bytes_per_key", self.engine.directory_bytes() as f64 / self.keys as f64);
        self.begin(Phase::Puts);
    }

    /// Each writer whose put is durable puts the next.
    fn put_and_wait(&mut self, is_time: bool) {
        while !is_time && self.puts.len() < WRITERS {
            let n = self.rng.below(self.keys);
            if !self.put(n) {
                return;
            }
        }
        if is_time && self.puts.is_empty() {
            self.tell("synced_puts_per_second", self.rate());
            self.begin(Phase::Warming { next: 0, pending: 0 });
        }
    }

    /// Reads the keys that are to be in memory.
    fn warm_up(&mut self, io: &mut Io) {
        let Phase::Warming { next, pending } = &mut self.phase else { return };
        while *pending < READ_DEPTH && *next < WARM_KEYS {
            let name = key(*next);
            let reference = self.engine.key_ref(slot(*next), &name);
            if let Read::Pending(_) = self.engine.read_as(io, reference, &name) {
                *pending += 1;
            }
            self.warm.push((reference, name));
            *next += 1;
        }
        if *next == WARM_KEYS && *pending == 0 {
            self.begin(Phase::Warm);
        }
    }

    fn read_warm(&mut self, io: &mut Io) {
        for _ in 0..64 {
            let at: [usize; WARM_BATCH] =
                std::array::from_fn(|_| self.rng.below(self.warm.len() as u64) as usize);
            let references = at.map(|at| self.warm[at].0);
            self.engine.warm(&references, true);
            for at in at {
                let (reference, name) = &self.warm[at];
                match self.engine.read_as(io, *reference, name) {
                    Read::Ready(found) => assert_eq!(found.body.len(), BODY_BYTES),
                    other => panic!("a value that was just read is not in memory: {other:?}"),
                }
            }
            self.done += WARM_BATCH as u64;
        }
        if self.is_time() {
            self.tell("warm_gets_per_second", self.rate());
            self.begin(Phase::Resting);
        }
    }

    fn read_cold(&mut self, io: &mut Io) {
        let over = self.is_time();
        let Phase::Cold { pending } = &mut self.phase else { return };
        while !over && *pending < READ_DEPTH {
            let n = self.rng.below(self.keys);
            let read = self.engine.read(io, slot(n), &key(n));
            assert!(matches!(read, Read::Pending(_)), "nothing is in memory");
            *pending += 1;
        }
        if over && *pending == 0 {
            self.tell("cold_gets_per_second", self.rate());
            self.begin(Phase::Raw {
                unopened: usize::MAX,
                files: Vec::new(),
                pending: VecDeque::from([io.submit(Op::List)]),
            });
        }
    }

    fn read_raw(&mut self, io: &mut Io) {
        let over = self.is_time();
        let Phase::Raw { unopened: 0, files, pending } = &mut self.phase else { return };
        while !over && pending.len() < READ_DEPTH {
            // Segments are of one size.
            let (file, blocks) = &files[self.rng.below(files.len() as u64) as usize];
            let offset = self.rng.below(*blocks) * BLOCK_BYTES as u64;
            pending.push_back(io.submit(Op::Read {
                file: *file,
                offset,
                buf: AlignedBuf::zeroed(BLOCK_BYTES),
            }));
        }
        if over && pending.is_empty() {
            self.tell("raw_reads_per_second", self.rate());
            self.begin(Phase::Over);
        }
    }

    /// What this benchmark asked of the disk itself. True: it was that.
    fn on_raw(&mut self, io: &mut Io, completion: &mut Option<Completion>) -> bool {
        let Phase::Raw { unopened, files, pending } = &mut self.phase else { return false };
        let Some(at) = completion.as_ref().and_then(|done| pending.iter().position(|id| *id == done.id))
        else {
            return false;
        };
        pending.remove(at);
        match completion.take().map(|done| done.result.expect("the disk reads")) {
            Some(Outcome::Listed { files: listed }) => {
                let segments = listed.into_iter().filter(|(name, _)| name.starts_with("seg-"));
                let opens = segments.map(|(name, _)| io.submit(Op::Open { name, create: false }));
                pending.extend(opens);
                *unopened = pending.len();
            }
            Some(Outcome::Opened { file, len }) => {
                files.push((file, len / BLOCK_BYTES as u64));
                *unopened -= 1;
                self.since = Instant::now();
            }
            Some(Outcome::Read { bytes: BLOCK_BYTES, .. }) => self.done += 1,
            other => panic!("a read ended as {other:?}"),
        }
        true
    }
}

impl Turn for Core {
    fn on_event(&mut self, io: &mut Io, event: RingEvent<'_>) {
        let RingEvent::Disk(completion) = event else { return };
        let mut completion = Some(completion);
        if !self.on_raw(io, &mut completion) {
            let completion = completion.expect("it was not taken");
            assert!(self.engine.on_disk(io, completion), "every operation is somebody's");
        }
        while let Some(event) = self.engine.poll() {
            self.on_engine(event);
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        let at_once = self.work(io);
        self.engine.flush(io);
        while let Some(event) = self.engine.poll() {
            self.on_engine(event);
        }
        let stop = matches!(self.phase, Phase::Over);
        Next { deadline: at_once.then_some(now), background: self.engine.background_wanted() && !stop, stop }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        self.engine.background(io, now, STEP_BYTES);
    }
}

fn start(args: &Args, run: Run, figures: &Sender<Figure>) {
    let cache_bytes = if run == Run::Fill { 64 << 20 } else { 0 };
    let options = Options { cache_bytes, ..Options::new(0, *b"a key of a bench") };
    let (keys, seconds) = (args.keys, args.seconds);
    let spec: CoreSpec<()> = CoreSpec::new(&args.directory);
    run_cores(vec![spec], |_, io: &mut Io, _: Mailboxes<()>| {
        let since = Instant::now();
        Ok(Core {
            engine: Bitcask::open(options.clone(), io),
            phase: Phase::Starting,
            run,
            keys,
            seconds,
            rng: Rng::new(1),
            round: 0,
            puts: VecDeque::new(),
            done: 0,
            since,
            warm: Vec::new(),
            figures: figures.clone(),
        })
    })
    .expect("a core runs here");
}

fn remove_hints(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("hint-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn main() {
    let args = args().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    std::fs::create_dir_all(&args.directory).expect("the directory can be made");
    let (figures, told) = channel();
    start(&args, Run::Fill, &figures);
    start(&args, Run::Read, &figures);
    remove_hints(&args.directory).expect("hints can be removed");
    start(&args, Run::Hintless, &figures);
    drop(figures);
    let fields: Vec<String> = told.iter().map(|(name, figure)| format!("\"{name}\":{figure:.3}")).collect();
    println!("{{{}}}", fields.join(","));
}
