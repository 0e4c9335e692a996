//! The disks of the lab's hosts: a folder, a file system in the drill's memory ([`fuse`], over [`store`]), ext4 in
//! a file, and a tmpfs. Each does some of the faults and refuses the others, which are drawn only where they fit.

use std::fs;
use std::path::{Path, PathBuf};

use super::limits::{BALLAST_BYTES, ROTTEN_BITS, SMALL_DISK_BYTES};
use super::{sys, tool};
use crate::error::BenchError;
use fuse::{Ill, MemoryDisk};

pub mod fuse;
pub mod store;

/// The file that fills a tmpfs.
const BALLAST: &str = "ballast";

/// What a host's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// A folder of the machine's own file system: no faults.
    Folder,
    /// A file system in the drill's memory, by FUSE: it knows what was synced and fails on demand.
    Memory,
    /// ext4 in a file, on a loop device.
    Image,
    /// A tmpfs of a small size.
    Tmpfs,
}

impl Medium {
    /// The name that people use.
    pub fn name(self) -> &'static str {
        match self {
            Medium::Folder => "folder",
            Medium::Memory => "memory",
            Medium::Image => "image",
            Medium::Tmpfs => "tmpfs",
        }
    }
}

/// A disk in use.
#[derive(Debug)]
pub struct Disk {
    mountpoint: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder,
    Memory(MemoryDisk),
    Image { file: PathBuf, down: bool },
    Tmpfs,
}

impl Disk {
    /// Mounts a disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn mount(medium: Medium, mountpoint: &Path, seed: u64) -> Result<Disk, BenchError> {
        fs::create_dir_all(mountpoint).map_err(|source| BenchError::io("making a mount point", source))?;
        let kind = match medium {
            Medium::Folder => Kind::Folder,
            Medium::Memory => Kind::Memory(MemoryDisk::mount(mountpoint, seed)?),
            Medium::Image => {
                let file = mountpoint.with_extension("image");
                make_image(&file)?;
                mount_image(&file, mountpoint)?;
                Kind::Image { file, down: false }
            }
            Medium::Tmpfs => {
                let size = format!("size={SMALL_DISK_BYTES}");
                tool::run(
                    "mount",
                    &[
                        "-t".as_ref(),
                        "tmpfs".as_ref(),
                        "-o".as_ref(),
                        size.as_ref(),
                        "synod-lab".as_ref(),
                        mountpoint.as_os_str(),
                    ],
                )?;
                Kind::Tmpfs
            }
        };
        Ok(Disk { mountpoint: mountpoint.to_owned(), kind })
    }

    /// The disk in memory, if it is one.
    pub fn memory(&self) -> Option<&MemoryDisk> {
        match &self.kind {
            Kind::Memory(disk) => Some(disk),
            _ => None,
        }
    }

    /// Makes it fail; a disk that does not know how is a mistake of who drew the fault.
    ///
    /// # Errors
    /// The disk is of another kind.
    pub fn spoil(&self, ill: Ill) -> Result<(), BenchError> {
        let disk = self.memory().ok_or_else(|| BenchError::Usage("this disk fails no write".to_owned()))?;
        disk.set(ill);
        Ok(())
    }

    /// Fills it up.
    ///
    /// # Errors
    /// What the system said, but that it is full.
    pub fn fill(&self) -> Result<(), BenchError> {
        match &self.kind {
            Kind::Memory(disk) => disk.set(Ill::Full),
            _ => fill(&self.mountpoint.join(BALLAST))?,
        }
        Ok(())
    }

    /// Cuts the power: `kill` kills its host, and what was not synced is gone.
    ///
    /// # Errors
    /// What `kill` or the system said.
    pub fn cut_power(&mut self, kill: impl FnOnce() -> Result<(), BenchError>) -> Result<(), BenchError> {
        match &self.kind {
            Kind::Memory(disk) => disk.cut_power(kill),
            _ => {
                kill()?;
                self.shut_down()
            }
        }
    }

    /// Shuts its file system down.
    ///
    /// # Errors
    /// It has none that can be, or what the system said.
    pub fn shut_down(&mut self) -> Result<(), BenchError> {
        let Kind::Image { down, .. } = &mut self.kind else {
            return Err(BenchError::Usage("this disk cannot be shut down".to_owned()));
        };
        if !*down {
            sys::shut_down(&self.mountpoint)
                .map_err(|source| BenchError::io("shutting a file system down", source))?;
            *down = true;
        }
        Ok(())
    }

    /// Lets bits of its larger files flip. Nobody uses it.
    ///
    /// # Errors
    /// The disk is of another kind.
    pub fn rot(&self) -> Result<(), BenchError> {
        let disk = self.memory().ok_or_else(|| BenchError::Usage("this disk does not rot".to_owned()))?;
        disk.rot(ROTTEN_BITS);
        Ok(())
    }

    /// The number of its block device, as control groups have it: major:minor.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn device(&self) -> Result<String, BenchError> {
        let about =
            fs::metadata(&self.mountpoint).map_err(|source| BenchError::io("looking at a disk", source))?;
        let device = std::os::unix::fs::MetadataExt::dev(&about);
        Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
    }

    /// Makes it healthy again. A file system that was shut down is mounted again: nobody may use it then.
    ///
    /// # Errors
    /// What the system said.
    pub fn mend(&mut self) -> Result<(), BenchError> {
        match &mut self.kind {
            Kind::Folder => {}
            Kind::Memory(disk) => disk.set(Ill::No),
            Kind::Image { file, down } if *down => {
                tool::run("umount", &[self.mountpoint.as_os_str()])?;
                mount_image(file, &self.mountpoint)?;
                *down = false;
            }
            Kind::Image { .. } => {}
            Kind::Tmpfs => {
                let ballast = self.mountpoint.join(BALLAST);
                if ballast.exists() {
                    fs::remove_file(ballast).map_err(|source| BenchError::io("emptying a disk", source))?;
                }
            }
        }
        Ok(())
    }
}

fn make_image(file: &Path) -> Result<(), BenchError> {
    let made = fs::File::create(file).and_then(|made| made.set_len(SMALL_DISK_BYTES));
    made.map_err(|source| BenchError::io("making a disk image", source))?;
    tool::run("mkfs.ext4", &["-q".as_ref(), "-E".as_ref(), "lazy_itable_init=0".as_ref(), file.as_os_str()])?;
    Ok(())
}

/// The loop device goes when the file system is unmounted.
fn mount_image(file: &Path, mountpoint: &Path) -> Result<(), BenchError> {
    tool::run("mount", &["-o".as_ref(), "loop".as_ref(), file.as_os_str(), mountpoint.as_os_str()])?;
    Ok(())
}

fn fill(file: &Path) -> Result<(), BenchError> {
    use std::io::Write as _;
    let what = |source| BenchError::io("filling a disk", source);
    let mut out = fs::File::create(file).map_err(what)?;
    let block = vec![0x5a; BALLAST_BYTES];
    loop {
        match out.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(what(error)),
        }
    }
}
