//! What the machine itself can do: synced writes from several writers at once, and round trips over loopback.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use rustix::fs::OFlags;

use crate::error::{CompareError, Result};
use crate::limits::{PROBE_FILE_BYTES, ROUND_TRIPS, SYNC_ROUNDS, SYNC_WRITERS};
use crate::record::median;

/// The unit of direct I/O.
const BLOCK: usize = 4096;

/// A large write, as a busy log makes them.
const LARGE: usize = 128 << 10;

/// What the disk does for [`SYNC_WRITERS`] writers at once.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Median time of one of three 4 KiB overwrites that begin at once, each synced, in microseconds.
    pub sync_us: f64,
    /// Synced bytes per second of 128 KiB overwrites, all writers together.
    pub bytes_per_second: f64,
}

/// Measures the disk below `dir`.
pub fn disk(dir: &Path) -> Result<Disk> {
    let files: Result<Vec<File>> =
        (0..SYNC_WRITERS).map(|index| probe_file(&dir.join(format!("probe-{index}")))).collect();
    let files = files?;
    let small = rounds(&files, BLOCK, SYNC_ROUNDS)?;
    let started = Instant::now();
    let count = PROBE_FILE_BYTES / LARGE;
    rounds(&files, LARGE, count)?;
    let bytes = (SYNC_WRITERS * count * LARGE) as f64;
    let sync_us = median(small).expect("there is a round at least");
    Ok(Disk { sync_us, bytes_per_second: bytes / started.elapsed().as_secs_f64() })
}

/// A file that is full of written blocks, so that overwriting it changes no metadata.
fn probe_file(path: &Path) -> Result<File> {
    let failed = |error| CompareError::io(format!("preparing {}", path.display()), error);
    let flags = i32::try_from((OFlags::DIRECT | OFlags::DSYNC).bits()).expect("flags of open are an int");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let room = Aligned::new(LARGE);
    for at in (0..PROBE_FILE_BYTES).step_by(LARGE) {
        file.write_all_at(room.bytes(), at as u64).map_err(failed)?;
    }
    Ok(file)
}

/// Bytes that begin at a multiple of a block, as direct I/O wants them.
struct Aligned {
    room: Vec<u8>,
    from: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        let room = vec![0xA5; length + BLOCK];
        let from = room.as_ptr().align_offset(BLOCK);
        assert!(from < BLOCK, "a byte pointer can be aligned by moving it less than a block");
        Aligned { room, from, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[self.from..self.from + self.length]
    }
}

/// Every writer overwrites `bytes` at once, again and again; the microseconds of each write. In each round all begin together.
fn rounds(files: &[File], bytes: usize, count: usize) -> Result<Vec<f64>> {
    let barrier = Barrier::new(files.len());
    let writer = |file: &File| -> (Vec<f64>, std::io::Result<()>) {
        let room = Aligned::new(bytes);
        let mut times = Vec::with_capacity(count);
        let mut result = Ok(());
        for round in 0..count {
            barrier.wait();
            let at = (round * bytes) % PROBE_FILE_BYTES;
            let start = Instant::now();
            // After a failure the others must not wait for ever at the barrier, so the rounds go on without writing.
            if result.is_ok() {
                result = file.write_all_at(room.bytes(), at as u64);
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        (times, result)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = files.iter().map(|file| scope.spawn(|| writer(file))).collect();
        let mut all = Vec::new();
        for thread in threads {
            let (times, result) = thread.join().expect("a writer returns its errors");
            result.map_err(|error| CompareError::io("writing a probe file", error))?;
            all.extend(times);
        }
        Ok(all)
    })
}

/// Median of a round trip of a few bytes between two threads over loopback, in microseconds.
pub fn loopback_us() -> Result<f64> {
    let failed = |error| CompareError::io("a round trip over loopback", error);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let mut near = TcpStream::connect(listener.local_addr().map_err(failed)?).map_err(failed)?;
    let (mut far, _) = listener.accept().map_err(failed)?;
    near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).map_err(failed)?;
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; 16];
        while far.read_exact(&mut bytes).and_then(|()| far.write_all(&bytes)).is_ok() {}
    });
    let mut bytes = [7; 16];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        near.write_all(&bytes).and_then(|()| near.read_exact(&mut bytes)).map_err(failed)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    drop(near);
    echo.join().expect("the echo ends when its connection does");
    Ok(median(times).expect("there is a round trip at least"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_measure_something() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let disk = disk(dir.path()).unwrap();
        assert!(disk.sync_us > 0.0 && disk.bytes_per_second > 0.0);
        assert!(loopback_us().unwrap() > 0.0);
    }
}
