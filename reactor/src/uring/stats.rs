//! What a core's ring has done so far, as plain numbers of that core alone.

/// Counters since the core started. All of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries into the kernel (`io_uring_enter`), the one system call of the hot path.
    pub enters: u64,
    /// Of these, the ones that were ready to sleep.
    pub waits: u64,
    /// Operations handed to the kernel.
    pub submissions: u64,
    /// Completions taken from the kernel.
    pub completions: u64,
    /// Turns of the pump.
    pub turns: u64,
    /// Steps of background work.
    pub background_steps: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused because the core has its most already.
    pub refused: u64,
    /// Connections begun by this core.
    pub connects: u64,
    /// Connections that are gone.
    pub closed: u64,
    /// Pieces of input received.
    pub receives: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Receives that found no free buffer and were armed again.
    pub receives_short_of_buffers: u64,
    /// Send operations, first tries only.
    pub sends: u64,
    /// Send operations repeated for what the socket did not take at once.
    pub sends_repeated: u64,
    /// Bytes that sockets took.
    pub bytes_out: u64,
    /// Disk reads completed.
    pub disk_reads: u64,
    /// Bytes read from disk.
    pub disk_bytes_read: u64,
    /// Disk writes completed.
    pub disk_writes: u64,
    /// Bytes written to disk.
    pub disk_bytes_written: u64,
    /// Syncs of files and of the directory completed.
    pub disk_syncs: u64,
    /// Wakes sent to other cores.
    pub wakes_sent: u64,
    /// Wakes that arrived, from cores and from outside.
    pub wakes_received: u64,
}
