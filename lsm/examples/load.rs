//! What one core's tree does on a real disk: the figures to set beside RocksDB's `fillrandom`, `readrandom` and `seekrandom`.
//!
//! `cargo run --profile dist -p lsm --example load -- --keys 10000000 --seconds 5 --dir DIR`
//!
//! Loads an empty directory with so many random keys of 16 bytes and values of 100, one in a batch, compaction included; then measures, for
//! so many seconds each, gets from memory, of which a third finds nothing, and scans of 100 rows; starts again with a cache of a tenth of the
//! data, which it times, and measures gets from the disk. Ends with a line of JSON.

use std::path::PathBuf;
use std::sync::mpsc::{channel, Sender};
use std::time::{Duration, Instant};

use lsm::{ApplyError, Batch, Event, Get, Lsm, Options, Scan, Scanned};
use reactor::rng::Rng;
use reactor::uring::{run_cores, CoreSpec, Event as RingEvent, Io, Mailboxes, Next, Turn};
use reactor::Nanos;

/// Reads under way from the disk.
const READ_DEPTH: usize = 32;
/// Rows of a scan.
const SCAN_ROWS: usize = 100;
const VALUE_BYTES: usize = 100;
/// Bytes of one step of background work.
const STEP_BYTES: u64 = 256 << 10;
/// Rows that are put in a turn.
const PUTS: u64 = 512;

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
    match args.directory.as_os_str().is_empty() {
        true => Err("--dir DIR is needed".to_owned()),
        false => Ok(args),
    }
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"0000000000000000";
    let mut left = number;
    for digit in key.iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    key
}

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Load {
        next: u64,
    },
    /// Everything is flushed, and compacted as far as it has to be.
    Settle,
    /// What is asked for is read once, so that it is in memory.
    Warm {
        next: u64,
        pending: usize,
    },
    Gets,
    Scans,
    ColdGets {
        pending: usize,
    },
    Over,
}

/// A figure of the JSON line.
type Figure = (&'static str, f64);

struct Core {
    lsm: Lsm,
    phase: Phase,
    is_cold: bool,
    keys: u64,
    seconds: f64,
    rng: Rng,
    batch: Batch,
    value: [u8; VALUE_BYTES],
    done: u64,
    since: Instant,
    figures: Sender<Figure>,
}

impl Core {
    fn begin(&mut self, phase: Phase) {
        (self.phase, self.done, self.since) = (phase, 0, Instant::now());
    }

    fn tell(&self, name: &'static str, figure: f64) {
        println!("{name}: {figure:.2}");
        self.figures.send((name, figure)).expect("the main thread listens");
    }

    fn rate(&self) -> f64 {
        self.done as f64 / self.since.elapsed().as_secs_f64()
    }

    fn is_time(&self) -> bool {
        self.since.elapsed() >= Duration::from_secs_f64(self.seconds)
    }

    fn on_engine(&mut self, event: Event) {
        match event {
            Event::Ready(_) if !self.is_cold => self.begin(Phase::Load { next: 0 }),
            Event::Ready(_) => {
                self.tell("start_seconds", self.since.elapsed().as_secs_f64());
                self.begin(Phase::ColdGets { pending: 0 });
            }
            Event::Got { result, .. } => {
                result.expect("the disk reads");
                self.done += 1;
                if let Phase::ColdGets { pending } | Phase::Warm { pending, .. } = &mut self.phase {
                    *pending -= 1;
                }
            }
            Event::Scanned { result, .. } => {
                result.expect("the disk reads");
                if let Phase::Warm { pending, .. } = &mut self.phase {
                    *pending -= 1;
                }
            }
            Event::Failed(fault) => panic!("the engine has stopped: {fault}"),
            _ => {}
        }
    }

    /// One turn of what is being done. True: the next one is to follow at once.
    fn work(&mut self, io: &mut Io) -> bool {
        match self.phase {
            Phase::Starting | Phase::Over => false,
            Phase::Load { next } => self.load(next),
            Phase::Settle => self.settle(),
            Phase::Warm { next, pending } => self.warm(io, next, pending),
            Phase::Gets => self.gets(io),
            Phase::Scans => self.scans(io),
            Phase::ColdGets { pending } => self.cold_gets(io, pending),
        }
    }

    fn load(&mut self, mut next: u64) -> bool {
        for _ in 0..PUTS {
            if next == self.keys {
                self.tell("load_per_second", self.rate());
                self.lsm.flush();
                self.phase = Phase::Settle;
                return true;
            }
            self.batch.clear();
            // Half of a value repeats, as that of RocksDB's benchmark does.
            self.rng.fill(&mut self.value[..VALUE_BYTES / 2]);
            self.batch.put(&key(self.rng.below(self.keys)), &self.value);
            match self.lsm.apply(&self.batch) {
                Ok(_) => {}
                Err(ApplyError::Stalled) => break,
                Err(error) => panic!("a put is refused: {error}"),
            }
            (next, self.done) = (next + 1, self.done + 1);
        }
        self.phase = Phase::Load { next };
        true
    }

    fn settle(&mut self) -> bool {
        let stats = self.lsm.stats();
        if stats.memtable_bytes > 0 || stats.debt_bytes > 0 || self.lsm.background_wanted() {
            return false;
        }
        self.tell("load_and_compact_per_second", self.rate());
        let counters = stats.counters;
        let written = counters.flushed_bytes + counters.compacted_out_bytes;
        let rows = (self.keys * (16 + VALUE_BYTES as u64)) as f64;
        self.tell("written_per_byte", written as f64 / rows);
        self.tell("kept_bytes_per_row_byte", stats.table_bytes.iter().sum::<u64>() as f64 / rows);
        println!(
            "tables by level: {:?}; {} moves, {} compactions",
            stats.tables, counters.moves, counters.compactions
        );
        self.begin(Phase::Warm { next: 0, pending: 0 });
        true
    }

    /// Reads everything once.
    fn warm(&mut self, io: &mut Io, mut next: u64, mut pending: usize) -> bool {
        while pending < READ_DEPTH && next < self.keys {
            let scan = Scan {
                first: key(next).into(),
                end: Some(key(next + 1_000).into()),
                rows_max: 1_000,
                bytes_max: 1 << 20,
                reverse: false,
            };
            if let Scanned::Pending(_) = self.lsm.scan(io, scan, None) {
                pending += 1;
            }
            next += 1_000;
        }
        self.phase = Phase::Warm { next, pending };
        if next >= self.keys && pending == 0 {
            self.begin(Phase::Gets);
        }
        true
    }

    fn gets(&mut self, io: &mut Io) -> bool {
        for _ in 0..1_000 {
            match self.lsm.get(io, &key(self.rng.below(self.keys)), None) {
                Get::Ready(_) => self.done += 1,
                Get::Pending(_) => {}
            }
        }
        if self.is_time() {
            self.tell("warm_gets_per_second", self.rate());
            self.begin(Phase::Scans);
        }
        true
    }

    fn scans(&mut self, io: &mut Io) -> bool {
        for _ in 0..50 {
            let first = key(self.rng.below(self.keys)).into();
            let scan = Scan { first, rows_max: SCAN_ROWS, bytes_max: usize::MAX, ..Scan::default() };
            if let Scanned::Ready(_) = self.lsm.scan(io, scan, None) {
                self.done += 1;
            }
        }
        if self.is_time() {
            self.tell("warm_scans_per_second", self.rate());
            self.begin(Phase::Over);
        }
        true
    }

    fn cold_gets(&mut self, io: &mut Io, mut pending: usize) -> bool {
        while pending < READ_DEPTH && !self.is_time() {
            match self.lsm.get(io, &key(self.rng.below(self.keys)), None) {
                Get::Ready(_) => self.done += 1,
                Get::Pending(_) => pending += 1,
            }
        }
        self.phase = Phase::ColdGets { pending };
        if self.is_time() && pending == 0 {
            self.tell("cold_gets_per_second", self.rate());
            let reads = self.lsm.stats().counters.disk_reads as f64 / self.done as f64;
            self.tell("disk_reads_per_cold_get", reads);
            self.begin(Phase::Over);
        }
        false
    }
}

impl Turn for Core {
    fn on_event(&mut self, io: &mut Io, event: RingEvent<'_>) {
        let RingEvent::Disk(completion) = event else { return };
        assert!(self.lsm.on_disk(io, completion), "every operation is the engine's");
        while let Some(event) = self.lsm.poll() {
            self.on_engine(event);
        }
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        let at_once = self.work(io);
        while let Some(event) = self.lsm.poll() {
            self.on_engine(event);
        }
        let stop = matches!(self.phase, Phase::Over);
        Next { deadline: at_once.then_some(now), background: self.lsm.background_wanted() && !stop, stop }
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        self.lsm.background(io, now, STEP_BYTES);
    }
}

fn start(args: &Args, is_cold: bool, figures: &Sender<Figure>) {
    let data_bytes = args.keys * (16 + VALUE_BYTES as u64);
    let cache_bytes = if is_cold { data_bytes / 10 } else { 2 * data_bytes };
    let options = Options { cache_bytes, ..Options::new(0) };
    let spec: CoreSpec<()> = CoreSpec::new(&args.directory);
    run_cores(vec![spec], |_, io: &mut Io, _: Mailboxes<()>| {
        Ok(Core {
            lsm: Lsm::open(options, io),
            phase: Phase::Starting,
            is_cold,
            keys: args.keys,
            seconds: args.seconds,
            rng: Rng::new(1),
            batch: Batch::new(),
            value: [b'v'; VALUE_BYTES],
            done: 0,
            since: Instant::now(),
            figures: figures.clone(),
        })
    })
    .expect("a core runs here");
}

fn main() {
    let args = args().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    std::fs::create_dir_all(&args.directory).expect("the directory can be made");
    let (figures, told) = channel();
    start(&args, false, &figures);
    start(&args, true, &figures);
    drop(figures);
    let fields: Vec<String> = told.iter().map(|(name, figure)| format!("\"{name}\":{figure:.3}")).collect();
    println!("{{{}}}", fields.join(","));
}
