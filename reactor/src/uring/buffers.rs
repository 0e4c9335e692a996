//! The receive buffers of one core: the kernel takes one when bytes arrive, we hand it back when they are read.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::limits::{RECV_BUFFERS, RECV_BUFFER_BYTES};
use super::ring::Ring;

/// The kernel's name of the group of buffers.
pub const GROUP: u16 = 0;

const RING_BYTES: usize = RECV_BUFFERS as usize * std::mem::size_of::<BufRingEntry>();
const DATA_BYTES: usize = RECV_BUFFERS as usize * RECV_BUFFER_BYTES;
const MAPPED_BYTES: usize = RING_BYTES.next_multiple_of(4096) + DATA_BYTES;

/// The buffers and the ring through which they change hands.
pub struct Buffers {
    /// The ring of entries, then the bytes. Shared with the kernel while registered.
    memory: NonNull<u8>,
    tail: u16,
}

impl Buffers {
    /// Maps the memory and registers it; all buffers are the kernel's.
    pub fn new(ring: &Ring) -> io::Result<Buffers> {
        // SAFETY: a fresh private mapping; the result is checked before use.
        let memory = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), MAPPED_BYTES, access, flags, -1, 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast::<u8>()).expect("mmap never returns null here");
        let mut buffers = Buffers { memory, tail: 0 };
        for buffer in 0..RECV_BUFFERS {
            buffers.give_back(buffer);
        }
        // SAFETY: the mapping is page-aligned, long enough, and unmapped only after the ring is gone: `Io` drops its
        // ring before its buffers, or leaks both.
        unsafe {
            let address = buffers.memory.as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(address, RECV_BUFFERS, GROUP, 0)?;
        }
        Ok(buffers)
    }

    fn data(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < RECV_BUFFERS, "the kernel names one of our buffers");
        let offset = RING_BYTES.next_multiple_of(4096) + buffer as usize * RECV_BUFFER_BYTES;
        // SAFETY: the offset lies inside the mapping, by the assertion above.
        unsafe { self.memory.as_ptr().add(offset) }
    }

    /// The first `bytes` bytes of a buffer that the kernel filled and we have not handed back.
    pub fn bytes(&self, buffer: u16, bytes: usize) -> &[u8] {
        assert!(bytes <= RECV_BUFFER_BYTES, "the kernel stays inside a buffer");
        // SAFETY: the memory is mapped, initialised (zero pages or written by the kernel), and ours until
        // `give_back`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.data(buffer), bytes) }
    }

    /// Lets the kernel fill the buffer again.
    pub fn give_back(&mut self, buffer: u16) {
        let address = self.data(buffer) as u64;
        let index = self.tail & (RECV_BUFFERS - 1);
        let ring = self.memory.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index lies inside the ring; the entry is ours until the tail below publishes it. The fields
        // are set one by one because the first entry's reserved field is the tail itself.
        unsafe {
            let entry = &mut *ring.add(usize::from(index));
            entry.set_addr(address);
            entry.set_len(RECV_BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry of the page-aligned ring; the kernel reads it with acquire.
        unsafe {
            let tail = BufRingEntry::tail(ring).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; the ring that shared it is gone.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), MAPPED_BYTES) };
    }
}
