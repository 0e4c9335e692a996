//! The loop that runs a core's turns, and how it shares the core with background work.
//!
//! See docs/design/executor.md. The pump is the only task that sleeps, and it sleeps inside `io_uring_enter`: one
//! system call submits what the last turn asked for and waits for the next event or deadline. While background work is
//! wanted, it never sleeps: it submits, and hands over to the background task whenever there is nothing to take; the
//! background task does one step and hands back. When both have work, the executor's shares decide.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::buffers::Buffers;
use super::event::{Event, Raw};
use super::io::Io;
use crate::Nanos;

/// What a turn wants of the pump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Run another turn at this time at the latest; none = only when something happens.
    pub deadline: Option<Nanos>,
    /// There is background work: call [`Turn::background`] when nothing else is to be done.
    pub background: bool,
    /// End this core. What was sent in this turn is still submitted; connections are then closed.
    pub stop: bool,
}

/// What a core's owner implements; the pump drives it. All calls come from the core's thread, one at a time.
pub trait Turn {
    /// Something happened. Only steps memory, and asks the ring for operations.
    fn on_event(&mut self, io: &mut Io, event: Event<'_>);

    /// All events of the turn are in. `now` is the time at which the turn began.
    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next;

    /// One step of background work, at most some hundred microseconds long. A turn follows each step.
    fn background(&mut self, io: &mut Io, now: Nanos);
}

impl<T: Turn + ?Sized> Turn for Box<T> {
    fn on_event(&mut self, io: &mut Io, event: Event<'_>) {
        (**self).on_event(io, event);
    }

    fn end_turn(&mut self, io: &mut Io, now: Nanos) -> Next {
        (**self).end_turn(io, now)
    }

    fn background(&mut self, io: &mut Io, now: Nanos) {
        (**self).background(io, now);
    }
}

/// Everything that shares memory with the kernel. The ring goes first, then the memory.
struct Kernel {
    io: Io,
    buffers: Buffers,
}

/// A core: its owner, and the kernel as it sees it.
pub(super) struct Core<T> {
    turn: T,
    next: Next,
    kernel: ManuallyDrop<Kernel>,
}

impl<T: Turn> Core<T> {
    pub(super) fn new(turn: T, io: Io, buffers: Buffers) -> Core<T> {
        // The first turn comes at once, before anything happens, so that the owner can say what it wants.
        let next = Next { deadline: Some(0), ..Next::default() };
        Core { turn, next, kernel: ManuallyDrop::new(Kernel { io, buffers }) }
    }

    /// One turn: submit and take, step, flush. Returns what the owner wants next.
    fn turn(&mut self) -> Next {
        let Kernel { io, buffers } = &mut *self.kernel;
        io.enter((!self.next.background).then_some(self.next.deadline));
        io.count_turn();
        while let Some(raw) = io.next_raw() {
            deliver(&mut self.turn, io, buffers, raw);
        }
        if io.take_woken() {
            self.turn.on_event(io, Event::Woken);
        }
        let now = io.now();
        self.next = self.turn.end_turn(io, now);
        io.flush();
        if self.next.background || self.next.stop {
            // Nothing waits for the background step that follows.
            io.submit_now();
        }
        self.next
    }

    fn has_work(&mut self) -> bool {
        self.kernel.io.has_work()
    }

    fn background(&mut self) {
        let io = &mut self.kernel.io;
        io.stats_mut().background_steps += 1;
        let now = io.clock();
        self.turn.background(io, now);
    }
}

fn deliver<T: Turn>(turn: &mut T, io: &mut Io, buffers: &mut Buffers, raw: Raw) {
    match raw {
        Raw::Received { conn, buffer, bytes } => {
            let bytes = buffers.bytes(buffer, bytes);
            turn.on_event(io, Event::Received { conn, bytes });
            buffers.give_back(buffer);
        }
        Raw::Returned { buffer } => buffers.give_back(buffer),
        Raw::Accepted { listener, tag, conn, peer } => {
            turn.on_event(io, Event::Accepted { listener, tag, conn, peer });
        }
        Raw::Connected { conn } => turn.on_event(io, Event::Connected { conn }),
        Raw::Sent { conn } => turn.on_event(io, Event::Sent { conn }),
        Raw::Closed { conn } => turn.on_event(io, Event::Closed { conn }),
        Raw::Disk(completion) => turn.on_event(io, Event::Disk(completion)),
    }
}

impl<T> Drop for Core<T> {
    fn drop(&mut self) {
        if self.kernel.io.stop() {
            // SAFETY: dropped once, here, and not used again: the kernel holds nothing of it any more.
            unsafe { ManuallyDrop::drop(&mut self.kernel) };
        }
    }
}

/// A flag that a task of the same thread waits for.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.open.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Waits until the gate is open, and closes it behind.
    fn pass(&self) -> Pass<'_> {
        Pass { gate: self }
    }
}

struct Pass<'a> {
    gate: &'a Gate,
}

impl Future for Pass<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.gate.open.replace(false) {
            return Poll::Ready(());
        }
        self.gate.waiter.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

/// What the two tasks of a core share. The core is borrowed only between two awaits.
pub(super) struct Shared<T> {
    core: RefCell<Core<T>>,
    /// Opened by the background task when a step is done.
    pump: Gate,
    /// Opened by the pump when a background step is wanted, or when the core stops.
    background: Gate,
    stopped: Cell<bool>,
}

impl<T: Turn> Shared<T> {
    pub(super) fn new(core: Core<T>) -> Rc<Shared<T>> {
        Rc::new(Shared {
            core: RefCell::new(core),
            pump: Gate::default(),
            background: Gate::default(),
            stopped: Cell::new(false),
        })
    }

    /// Runs turns until the owner stops. The task of the foreground queue.
    pub(super) async fn pump(self: Rc<Self>) {
        loop {
            let next = self.core.borrow_mut().turn();
            if next.stop {
                self.stopped.set(true);
                self.background.open();
                return;
            }
            if !next.background {
                continue;
            }
            self.background.open();
            let busy = self.core.borrow_mut().has_work();
            if busy {
                glommio::executor().yield_task_queue_now().await;
            } else {
                self.pump.pass().await;
            }
        }
    }

    /// Runs background steps, one for each time that the pump asks. The task of the background queue.
    pub(super) async fn background(self: Rc<Self>) {
        loop {
            self.background.pass().await;
            if self.stopped.get() {
                return;
            }
            self.core.borrow_mut().background();
            self.pump.open();
            glommio::executor().yield_task_queue_now().await;
        }
    }
}
