//! The bounds of the kernel side, each with where it comes from.

use std::time::Duration;

/// Entries of the submission queue. A turn of a loaded core queues a few hundred operations; what does not fit waits
/// in the ring's backlog and costs one more system call.
pub const SQ_ENTRIES: u32 = 1024;

/// How often a ring is tried to be made while the kernel has no memory for it.
pub const RING_TRIES: u32 = 20;

/// The wait between two of these tries: together two seconds, in which the kernel gives up gigabytes of cached files.
pub const RING_TRY_PAUSE: Duration = Duration::from_millis(100);

/// Entries of the completion queue. The kernel keeps what does not fit and hands it over later, but ends multishot
/// operations meanwhile; eight times the submission queue keeps that rare.
pub const CQ_ENTRIES: u32 = 8 * SQ_ENTRIES;

/// Receive buffers of one core. A power of two, as the kernel asks. Each is handed back within the turn that reads
/// it, so the number bounds how many sockets can be read by one entry into the kernel, not how many may be open.
pub const RECV_BUFFERS: u16 = 256;

/// Bytes of one receive buffer: four blocks, so that a command with a 4 KiB value arrives in one piece, while all
/// buffers of a core (4 MiB) do not crowd its cache.
pub const RECV_BUFFER_BYTES: usize = 16 * 1024;

/// Open connections of one core, both directions. What is accepted beyond it is closed at once.
pub const CONNECTIONS_MAX: usize = 16 * 1024;

/// Listeners of one core: a plain port, a core port, a peer port, and as many again for a second address.
pub const LISTENERS_MAX: usize = 8;

/// A send of at most this many bytes is tried without waiting and reports only failure, which saves the completion
/// and, on an idle core, a system call. Larger ones often do not fit the socket's buffer at once.
pub const QUIET_SEND_BYTES_MAX: usize = 16 * 1024;

/// Later sends of a connection are copied behind a queued one up to this many bytes, so that many small replies
/// leave as one system-level send; beyond it, copying costs more than a second send.
pub const JOINED_SEND_BYTES_MAX: usize = 64 * 1024;

/// The most bytes one send operation asks the kernel for, well inside its 32-bit length.
pub const SEND_OP_BYTES_MAX: usize = 1 << 30;

/// Disk operations of one core that the kernel holds at a time (the usual depth of a device queue); more wait here.
pub const DISK_IN_FLIGHT_MAX: usize = 256;

/// Disk operations of one core that may wait. Engines bound their own; reaching this is a runaway loop.
pub const DISK_WAITING_MAX: usize = 1 << 20;

/// The longest file name in bytes, as Linux has it.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// The most bytes of one disk operation: the kernel cuts longer ones short.
pub const DISK_OP_BYTES_MAX: usize = 1 << 30;

/// Messages that a mailbox from one core to another holds.
pub const MAILBOX_MESSAGES_MAX: usize = 1024;

/// Messages from threads that are not cores (signals, admin) that one core's queue holds.
pub const OUTSIDE_MESSAGES_MAX: usize = 256;

/// Cores of one process: slots of the wake set, and far above any machine meant.
pub const CORES_MAX: usize = 1024;

/// Entries into the kernel that one turn makes to collect work that is already there. Each runs about 20
/// to 40 deferred completions, so a turn takes in a hundred or two before it acts on them.
pub const ENTERS_PER_TURN_MAX: usize = 4;

/// Rest of a listener after the process ran out of files or memory, in milliseconds.
pub const ACCEPT_REST_MS: u64 = 100;

/// Time that a connection closed by `close_when_sent` is still read after its last byte was sent, unless the other side
/// closes first, in milliseconds. Enough for a round trip to the other end of the world and a slow reader.
pub const LINGER_MS: u64 = 1_000;

/// Pending connections that a listener asks the kernel to hold (the system caps it at net.core.somaxconn).
pub const LISTEN_BACKLOG: i32 = 4096;

/// Silence after which the kernel asks whether the other end is still there, in seconds. With the two below, a client
/// whose machine vanished is noticed within two minutes, long before the router on the way forgets it.
pub const KEEPALIVE_IDLE_S: u64 = 60;

/// Time between such questions, in seconds.
pub const KEEPALIVE_INTERVAL_S: u64 = 15;

/// Unanswered questions that end a connection.
pub const KEEPALIVE_RETRIES: u32 = 4;

/// Kernel worker threads of one core's ring for operations that block (sync, open, rename, fallocate).
pub const KERNEL_WORKERS_MAX: u32 = 4;

/// Time that a stopping core waits for the kernel to give its memory back, in milliseconds.
pub const STOP_MS_MAX: u64 = 5_000;

/// The least limit of open files that a node starts with: connections, files and rings of a small host.
pub const OPEN_FILES_MIN: u64 = 1024;

/// The limit of open files asked for where the hard limit allows it.
pub const OPEN_FILES_WANTED: u64 = 1 << 20;

/// The least limit of locked memory in bytes: what glommio insists on for its executors.
pub const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Memory that each glommio executor registers for its own file I/O, in bytes. We use none of it.
pub const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Depth of glommio's own rings, of which we use nothing but its preemption timer.
pub const EXECUTOR_RING_DEPTH: usize = 32;

/// CPU shares of the pump against those of background work, when both want to run.
pub const FOREGROUND_SHARES: usize = 1000;

/// See [`FOREGROUND_SHARES`].
pub const BACKGROUND_SHARES: usize = 100;

const _: () = assert!(RECV_BUFFERS.is_power_of_two());
const _: () = assert!(QUIET_SEND_BYTES_MAX <= JOINED_SEND_BYTES_MAX);
const _: () = assert!(JOINED_SEND_BYTES_MAX <= SEND_OP_BYTES_MAX && SEND_OP_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(RECV_BUFFERS as usize <= CQ_ENTRIES as usize);
const _: () = assert!(DISK_IN_FLIGHT_MAX < SQ_ENTRIES as usize);
const _: () =
    assert!(DISK_OP_BYTES_MAX.is_multiple_of(crate::BLOCK_BYTES) && DISK_OP_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(CONNECTIONS_MAX < super::token::SLOTS_MAX);
const _: () = assert!(OPEN_FILES_MIN <= OPEN_FILES_WANTED);
const _: () = assert!(BACKGROUND_SHARES < FOREGROUND_SHARES && FOREGROUND_SHARES <= 1000);
