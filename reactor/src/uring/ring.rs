//! One io_uring: queue operations, enter the kernel once, take what completed.
//!
//! The ring belongs to the thread that made it (SINGLE_ISSUER) and runs its completions only inside our own entries
//! (DEFER_TASKRUN), so nothing interrupts a turn. TASKRUN_FLAG lets us see by a memory load that there is work.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{squeue, EnterFlags, IoUring};

use super::limits::{CQ_ENTRIES, KERNEL_WORKERS_MAX, RING_TRIES, RING_TRY_PAUSE, SQ_ENTRIES};
use super::stats::Stats;
use crate::Nanos;

/// One completion, copied out of the shared queue.
#[derive(Clone, Copy, Debug)]
pub struct Cqe {
    /// The tag of the operation.
    pub token: u64,
    /// What the system call would have returned; negative is an error number.
    pub result: i32,
    /// Flags of the completion.
    pub flags: u32,
}

impl Cqe {
    /// Whether the multishot operation goes on.
    pub fn more(&self) -> bool {
        io_uring::cqueue::more(self.flags)
    }

    /// The provided buffer that holds the bytes.
    pub fn buffer(&self) -> Option<u16> {
        io_uring::cqueue::buffer_select(self.flags)
    }

    /// The error that the result stands for.
    pub fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(-self.result)
    }
}

/// How long an entry into the kernel may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until something completes, at most this many nanoseconds.
    AtMost(Nanos),
    /// Until something completes.
    Forever,
}

/// The ring of one core.
pub struct Ring {
    ring: IoUring,
    /// Operations that did not fit the submission queue.
    backlog: VecDeque<squeue::Entry>,
    /// Counters of the whole core.
    pub stats: Stats,
}

/// The flags that every ring of ours is made with, shared with the start-up check. Blocks for up to a few seconds where the
/// kernel has no memory for it.
pub fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    let make = || {
        IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completions)
            .build(entries)
    };
    insist(make, RING_TRY_PAUSE)
}

/// Tries again what the kernel has no memory for. It takes the pages of a ring in one go, and gives up where few pages
/// are free because files are cached in all others: a usual state of a host, which the attempt itself starts to mend.
fn insist<T>(mut make: impl FnMut() -> io::Result<T>, pause: Duration) -> io::Result<T> {
    for _ in 1..RING_TRIES {
        match make() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => std::thread::sleep(pause),
            made => return made,
        }
    }
    make()
}

impl Ring {
    /// Makes the ring of the calling thread.
    pub fn new() -> io::Result<Ring> {
        Ring::with_room(SQ_ENTRIES, CQ_ENTRIES)
    }

    /// A ring with queues of these lengths.
    fn with_room(entries: u32, completions: u32) -> io::Result<Ring> {
        let ring = build(entries, completions)?;
        let mut workers = [KERNEL_WORKERS_MAX; 2];
        ring.submitter().register_iowq_max_workers(&mut workers)?;
        Ok(Ring { ring, backlog: VecDeque::new(), stats: Stats::default() })
    }

    /// The ring's descriptor, which other cores send wakes to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the ring, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// For registrations.
    pub fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Queues an operation for the next [`Ring::enter`].
    ///
    /// # Safety
    ///
    /// All memory that the entry points to stays valid, and is not touched in ways that conflict with the
    /// operation, until its last completion has been taken; for an entry that reports only failure, until the entry
    /// into the kernel that submits it has returned.
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller's promise is the one that `push` asks for.
        let pushed = self.backlog.is_empty() && unsafe { self.ring.submission().push(&entry) }.is_ok();
        if !pushed {
            self.backlog.push_back(entry);
        }
    }

    /// Whether operations wait to be submitted.
    pub fn has_unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.ring.submission().is_empty()
    }

    /// Whether completions can be taken without entering the kernel.
    pub fn has_visible(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Whether an entry into the kernel would do something without sleeping. Only loads of memory.
    pub fn needs_enter(&mut self) -> bool {
        self.has_unsubmitted() || self.has_deferred()
    }

    /// Whether there is anything to submit, run or take. Only loads of memory.
    pub fn has_work(&mut self) -> bool {
        self.needs_enter() || self.has_visible()
    }

    /// Whether the kernel holds completions that an entry would run.
    pub fn has_deferred(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Whether everything queued was submitted and every completion so far is visible: from here on, an operation
    /// that reports only failure and has not reported has succeeded.
    pub fn is_settled(&mut self) -> bool {
        !self.has_unsubmitted() && !self.ring.submission().cq_overflow()
    }

    /// Submits everything queued, runs what completed, and sleeps as `wait` says if nothing is visible: one
    /// system call, or a few when the backlog is long.
    pub fn enter(&mut self, wait: Wait) {
        while !self.backlog.is_empty() {
            self.refill();
            if self.backlog.is_empty() {
                break;
            }
            if self.enter_once(Wait::No) == 0 {
                // The kernel is out of room until completions are taken: the rest goes with the next turn.
                return;
            }
        }
        self.enter_once(wait);
    }

    fn refill(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever queued the entry promised what `push` asks for.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// One `io_uring_enter`; returns how many operations the kernel took.
    fn enter_once(&mut self, wait: Wait) -> usize {
        let queued = self.ring.submission().len();
        let mut flags = EnterFlags::GETEVENTS;
        let mut args = SubmitArgs::new();
        let timespec;
        if let Wait::AtMost(nanos) = wait {
            timespec = Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32);
            args = args.timespec(&timespec);
        }
        flags.insert(EnterFlags::EXT_ARG);
        let least = u32::from(wait != Wait::No);
        self.stats.enters += 1;
        self.stats.waits += u64::from(least);
        // SAFETY: the flags match the type of the argument, which lives across the call.
        let result = unsafe { self.ring.submitter().enter(queued as u32, least, flags.bits(), Some(&args)) };
        self.check();
        let taken = queued - self.ring.submission().len();
        self.stats.submissions += taken as u64;
        if let Err(error) = result {
            match error.raw_os_error() {
                // The time was up, a signal came, or the kernel wants completions taken first: all are normal.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => panic!("io_uring_enter failed: {error}"),
            }
        }
        taken
    }

    /// A completion or an operation that the kernel lost cannot be made up for: end the process.
    fn check(&mut self) {
        let lost = self.ring.completion().overflow();
        assert!(lost == 0, "the kernel dropped {lost} completions: the completion queue overflowed");
        let dropped = self.ring.submission().dropped();
        assert!(dropped == 0, "the kernel dropped {dropped} malformed operations");
    }

    /// Takes every visible completion.
    pub fn take(&mut self, mut sink: impl FnMut(Cqe)) {
        let mut completions = 0;
        for cqe in self.ring.completion() {
            completions += 1;
            sink(Cqe { token: cqe.user_data(), result: cqe.result(), flags: cqe.flags() });
        }
        self.stats.completions += completions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_nop(ring: &mut Ring, token: u64) {
        // SAFETY: the entry points to no memory.
        unsafe { ring.push(io_uring::opcode::Nop::new().build().user_data(token)) };
    }

    #[test]
    fn only_a_lack_of_memory_is_tried_again() {
        let attempts = |errno: i32, lacks: u32| {
            let mut made = 0;
            let make = || {
                made += 1;
                if made > lacks {
                    Ok(())
                } else {
                    Err(io::Error::from_raw_os_error(errno))
                }
            };
            let outcome = insist(make, Duration::ZERO).map_err(|error| error.raw_os_error());
            (made, outcome)
        };
        assert_eq!(attempts(libc::ENOMEM, 0), (1, Ok(())));
        assert_eq!(attempts(libc::ENOMEM, 3), (4, Ok(())));
        assert_eq!(attempts(libc::ENOMEM, RING_TRIES - 1), (RING_TRIES, Ok(())));
        assert_eq!(attempts(libc::ENOMEM, u32::MAX), (RING_TRIES, Err(Some(libc::ENOMEM))));
        assert_eq!(attempts(libc::EPERM, u32::MAX), (1, Err(Some(libc::EPERM))));
    }

    #[test]
    fn full_queues_delay_but_lose_nothing() {
        const OPERATIONS: u64 = 100;
        let mut ring = Ring::with_room(8, 16).expect("a ring can be made");
        for token in 0..OPERATIONS {
            push_nop(&mut ring, token);
        }
        assert!(ring.has_unsubmitted() && ring.has_work());
        let mut tokens = Vec::new();
        let mut overflowed = false;
        for _ in 0..OPERATIONS {
            ring.enter(Wait::No);
            overflowed |= !ring.is_settled();
            ring.take(|cqe| tokens.push(cqe.token));
        }
        tokens.sort_unstable();
        assert_eq!(tokens, (0..OPERATIONS).collect::<Vec<_>>());
        assert!(overflowed, "more completed than the queue holds, and the ring knew");
        assert!(ring.is_settled() && !ring.has_work());
        assert_eq!((ring.stats.submissions, ring.stats.completions), (OPERATIONS, OPERATIONS));
    }

    #[test]
    fn waiting_ends_with_the_time_or_with_a_completion() {
        let mut ring = Ring::with_room(8, 16).expect("a ring can be made");
        let begun = std::time::Instant::now();
        ring.enter(Wait::AtMost(3_000_000));
        assert!(begun.elapsed() >= std::time::Duration::from_millis(3), "nothing ended the sleep early");
        assert!(!ring.has_visible());
        push_nop(&mut ring, 1);
        ring.enter(Wait::Forever);
        assert!(ring.has_visible());
        assert_eq!((ring.stats.enters, ring.stats.waits), (2, 2));
    }
}
