//! Starting the cores of a process and waiting for their end.
//!
//! Each core is a thread with a glommio executor, its ring made on that thread. No core runs before all of them are
//! up: if one cannot start, the others go away again and the process hears why.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::Instant;

use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares};

use super::boot::BootError;
use super::buffers::Buffers;
use super::event::CoreIndex;
use super::io::Io;
use super::limits::{
    BACKGROUND_SHARES, CORES_MAX, EXECUTOR_IO_BYTES, EXECUTOR_RING_DEPTH, FOREGROUND_SHARES,
};
use super::mailbox::{Mailboxes, OutsideEnd};
use super::pump::{Core, Shared, Turn};
use super::watched::Watched;

/// One core to run.
pub struct CoreSpec<M> {
    /// The CPU to stay on; none where several hosts share a machine and the system has to place them.
    pub cpu: Option<usize>,
    /// Where the core's files live. It has to exist.
    pub directory: PathBuf,
    /// The queue by which threads outside reach the core.
    pub outside: Option<OutsideEnd<M>>,
    /// What a thread outside sees of the core.
    pub watched: Arc<Watched>,
}

impl<M> CoreSpec<M> {
    /// A core that stays on no CPU and that nothing outside talks to.
    pub fn new(directory: impl Into<PathBuf>) -> CoreSpec<M> {
        CoreSpec { cpu: None, directory: directory.into(), outside: None, watched: Arc::default() }
    }
}

/// The CPUs that this process may use, in the system's order.
pub fn cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// What a core tells when it is up: its ring.
type Up = Result<OwnedFd, BootError>;

/// A core's way through its start.
struct Start {
    core: CoreIndex,
    cpu: Option<usize>,
    directory: PathBuf,
    counter: Option<Arc<OwnedFd>>,
    watched: Arc<Watched>,
    started: Instant,
    up: Sender<(CoreIndex, Up)>,
    /// The rings of all cores when all are up; closed if one is not.
    go: Receiver<Arc<[OwnedFd]>>,
}

/// Runs the cores until every one of them has stopped. `make` builds each core's owner on the core's own thread and
/// may listen, connect and begin disk operations; messages it sends arrive when all cores are up. The error is the
/// first that kept a core from starting; then no core has run a turn.
pub fn run_cores<M, T, F>(cores: Vec<CoreSpec<M>>, make: F) -> Result<(), BootError>
where
    M: Send,
    T: Turn + 'static,
    F: Fn(CoreIndex, &mut Io, Mailboxes<M>) -> Result<T, BootError> + Sync,
{
    assert!((1..=CORES_MAX).contains(&cores.len()), "a process has 1 to {CORES_MAX} cores");
    let started = Instant::now();
    let (up, ups) = channel();
    let mut goes = Vec::new();
    let mut starts = Vec::new();
    let mut queues = Vec::new();
    for (index, spec) in cores.into_iter().enumerate() {
        let (go, wait) = channel();
        goes.push(go);
        let (queue, counter) = match spec.outside {
            Some(end) => (Some(end.queue), Some(end.counter)),
            None => (None, None),
        };
        queues.push(queue);
        let core = CoreIndex(index as u16);
        let (cpu, directory, watched, up) = (spec.cpu, spec.directory, spec.watched, up.clone());
        starts.push(Start { core, cpu, directory, counter, watched, started, up, go: wait });
    }
    drop(up);
    let mailboxes = Mailboxes::mesh(queues);
    std::thread::scope(|scope| {
        let make = &make;
        let mut threads = Vec::new();
        let mut refused = None;
        for (start, mailboxes) in starts.into_iter().zip(mailboxes) {
            let name = format!("core-{}", start.core.0);
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, || run_core(start, mailboxes, make));
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => refused = refused.or(Some(BootError::system("start a thread", &error))),
            }
        }
        let result = refused.map_or_else(|| release(&ups, &goes), Err);
        drop(goes);
        for thread in threads {
            // A core that panicked has broken an invariant: so has the process.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        result
    })
}

/// Waits until every core is up, and gives each the rings of all.
fn release(ups: &Receiver<(CoreIndex, Up)>, goes: &[Sender<Arc<[OwnedFd]>>]) -> Result<(), BootError> {
    let mut rings: Vec<Option<OwnedFd>> = goes.iter().map(|_| None).collect();
    for _ in goes {
        // A core that panics tells nothing; its panic is passed on when its thread is joined.
        let Ok((core, up)) = ups.recv() else { return Ok(()) };
        rings[usize::from(core.0)] = Some(up?);
    }
    let rings: Arc<[OwnedFd]> = rings.into_iter().flatten().collect();
    assert!(rings.len() == goes.len(), "every core has told its ring");
    for go in goes {
        // A core that is gone has panicked; see above.
        let _ = go.send(Arc::clone(&rings));
    }
    Ok(())
}

fn run_core<M, T, F>(start: Start, mailboxes: Mailboxes<M>, make: &F)
where
    M: Send,
    T: Turn + 'static,
    F: Fn(CoreIndex, &mut Io, Mailboxes<M>) -> Result<T, BootError>,
{
    let Start { core, cpu, directory, counter, watched, started, up, go } = start;
    let place = Place { core, directory: &directory, counter, watched, started };
    match executor(cpu, core) {
        Ok(executor) => executor.run(async {
            let opened = open(place, mailboxes, make);
            let (told, opened) = match opened {
                Ok((ring, opened)) => (Ok(ring), Some(opened)),
                Err(error) => (Err(error), None),
            };
            // Nobody hears it if another core could not start. The sender goes with it, so that the one who waits
            // for all cores notices if one of them panics instead.
            let _ = up.send((core, told));
            drop(up);
            let Some(opened) = opened else { return };
            let Ok(rings) = go.recv() else { return };
            pump(opened, rings).await;
        }),
        Err(error) => {
            let _ = up.send((core, Err(error)));
        }
    }
}

/// Where and when a core runs.
struct Place<'a> {
    core: CoreIndex,
    directory: &'a Path,
    counter: Option<Arc<OwnedFd>>,
    watched: Arc<Watched>,
    started: Instant,
}

/// A core that is up and has not run.
struct Opened<T> {
    turn: T,
    io: Io,
    buffers: Buffers,
}

fn executor(cpu: Option<usize>, core: CoreIndex) -> Result<LocalExecutor, BootError> {
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("core-{}", core.0))
        .io_memory(EXECUTOR_IO_BYTES)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .make()
        .map_err(|error| BootError::executor(cpu, &error))
}

fn open<M, T, F>(
    place: Place<'_>,
    mailboxes: Mailboxes<M>,
    make: &F,
) -> Result<(OwnedFd, Opened<T>), BootError>
where
    F: Fn(CoreIndex, &mut Io, Mailboxes<M>) -> Result<T, BootError>,
{
    let mut io = Io::new(place.core, place.directory, place.counter, place.started, place.watched)?;
    let buffers = Buffers::new(io.ring())
        .map_err(|error| BootError::system("register receive buffers with io_uring", &error))?;
    let ring = io.ring().fd().as_fd().try_clone_to_owned();
    let ring = ring.map_err(|error| BootError::system("share a ring", &error))?;
    let turn = make(place.core, &mut io, mailboxes)?;
    Ok((ring, Opened { turn, io, buffers }))
}

async fn pump<T: Turn + 'static>(opened: Opened<T>, rings: Arc<[OwnedFd]>) {
    let Opened { turn, mut io, buffers } = opened;
    io.set_rings(rings);
    let shared = Shared::new(Core::new(turn, io, buffers));
    let queue = |shares, name| {
        glommio::executor().create_task_queue(Shares::Static(shares), Latency::NotImportant, name)
    };
    let foreground = queue(FOREGROUND_SHARES, "pump");
    let background = queue(BACKGROUND_SHARES, "background");
    let steps = glommio::spawn_local_into(Rc::clone(&shared).background(), background)
        .expect("the queue was just made");
    glommio::spawn_local_into(shared.pump(), foreground).expect("the queue was just made").await;
    steps.await;
}
