//! The two calls of the kernel that no safe library offers: making a TAP device, and shutting a file system
//! down. The only unsafe code of the harness.

// Each block below says why it is sound; there is no other way to these two ioctls.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::ioctl::{ioctl, Setter};

/// `TUNSETIFF` of `linux/if_tun.h`: `_IOW('T', 202, int)`.
const TUNSETIFF: u32 = 0x4004_54ca;

/// `EXT4_IOC_SHUTDOWN`, the same number as `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, __u32)`.
const FS_SHUTDOWN: u32 = 0x8004_587d;

/// The journal is not written: what was not synced is gone, as when the power fails.
const SHUTDOWN_WITHOUT_LOG: u32 = 2;

/// `IFF_TAP | IFF_NO_PI`: whole Ethernet frames, nothing in front of them.
const TAP_WITHOUT_HEADER: u16 = 0x0002 | 0x1000;

/// The longest name of an interface, with the zero at its end.
const NAME_BYTES: usize = 16;

/// `struct ifreq`, as far as `TUNSETIFF` reads it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40, "the kernel copies 40 bytes");

/// Makes a TAP device in this network namespace. Reads and writes of the file are frames and never block; the
/// device goes when the file is closed.
///
/// # Errors
/// What the system said: no `/dev/net/tun`, no right to make one.
pub fn open_tap(name: &str) -> io::Result<File> {
    let mut request = InterfaceRequest { name: [0; NAME_BYTES], flags: TAP_WITHOUT_HEADER, rest: [0; 22] };
    let room = request.name.get_mut(..name.len()).filter(|_| name.len() < NAME_BYTES);
    room.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(name.as_bytes());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open("/dev/net/tun")?;
    // SAFETY: for TUNSETIFF the kernel reads a `struct ifreq`, whose size and layout `InterfaceRequest` has.
    unsafe { ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }?;
    Ok(file)
}

/// Shuts down the file system (ext4 or XFS) that is mounted at `path`: from now on every operation on it
/// fails, and what was not synced is not there when it is mounted again.
///
/// # Errors
/// What the system said: another file system, no right.
pub fn shut_down(path: &Path) -> io::Result<()> {
    let root = File::open(path)?;
    // SAFETY: for this opcode both file systems read one 32-bit number of flags.
    unsafe { ioctl(&root, Setter::<FS_SHUTDOWN, u32>::new(SHUTDOWN_WITHOUT_LOG)) }?;
    Ok(())
}
