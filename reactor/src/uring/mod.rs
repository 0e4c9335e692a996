//! The kernel side: one io_uring per core for all hot I/O, and the pump that drives it under a glommio executor.
//!
//! What it holds: the ring and what is armed on it ([`Io`]: sockets, the core's directory, wakes between cores), the
//! loop that turns completions into events and asks the owner at the end of each turn ([`Turn`], [`run_cores`]),
//! mailboxes between cores ([`Mailboxes`]) and from threads outside ([`outside`]), and the check of the machine
//! ([`check`]).
//!
//! What it leaves out: any protocol, any timer but the next deadline, any future per request. An owner steps memory and
//! asks for operations; nothing here calls it from within its own calls.
//!
//! Invariants:
//!
//! 1. This folder is the only place of the project with unsafe code, and each such block says why it is sound. Memory
//!    that the kernel may touch is owned by a slab until the last completion of its operation has been taken.
//! 2. The pump alone sleeps, inside `io_uring_enter`, and only when there is nothing to take, to tell or to do.
//! 3. Every id carries a generation; a dead id does nothing.
//! 4. What the kernel says it has lost (a dropped completion) ends the process: no state could be trusted after it.

#![allow(unsafe_code)]

mod boot;
mod buffers;
mod conn;
mod cores;
mod disk;
mod event;
mod io;
pub mod limits;
mod mailbox;
mod net;
mod pump;
mod ring;
mod slab;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod token;
mod watched;

pub use boot::{check, BootError, BootReason, EXIT_CONFIG};
pub use cores::{cpus, run_cores, CoreSpec};
pub use event::{ConnId, CoreIndex, Event, ListenerId};
pub use io::Io;
pub use mailbox::{outside, Mailboxes, Outside, OutsideEnd, OutsideError, Sender};
pub use pump::{Next, Turn};
pub use stats::Stats;
pub use watched::Watched;
