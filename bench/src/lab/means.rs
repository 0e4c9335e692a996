//! What this machine offers, found out by looking; what is missing is named, with the faults that it costs.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::disk::Medium;
use super::fault::{Kind, Need, KINDS};
use super::tool;

/// Something that is there, or why it is not.
pub type Offer<T> = Result<T, String>;

/// Where Debian and Fedora keep the library that shifts clocks.
const CLOCK_LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// What this machine offers.
#[derive(Debug, Clone)]
pub struct Means {
    /// Namespaces, and TAP devices in them.
    pub enclosure: Offer<()>,
    /// The library that shifts the clock of a process.
    pub clock: Offer<PathBuf>,
    /// The folder of the controller that limits CPU.
    pub cpu: Offer<PathBuf>,
    /// The folder of the controller that limits writes to a device.
    pub writes: Offer<PathBuf>,
    /// A file system in memory, by FUSE.
    pub memory: Offer<()>,
    /// A file system in a file.
    pub image: Offer<()>,
}

impl Means {
    /// Looks.
    pub fn look() -> Means {
        let enclosure = enclosure();
        let inside = |offer: Offer<()>| enclosure.clone().and(offer);
        Means {
            clock: clock(),
            cpu: controller("cpu", "cpu.cfs_quota_us"),
            writes: controller("blkio", "blkio.throttle.write_iops_device"),
            memory: inside(writable("/dev/fuse")),
            image: inside(
                tools(&["losetup", "mkfs.ext4", "mount", "umount"]).and(writable("/dev/loop-control")),
            ),
            enclosure,
        }
    }

    /// Whether a medium can be had.
    pub fn medium(&self, medium: Medium) -> Offer<()> {
        match medium {
            Medium::Folder => Ok(()),
            Medium::Memory => self.memory.clone(),
            Medium::Image => self.image.clone(),
            Medium::Tmpfs => self.enclosure.clone(),
        }
    }

    /// Why a kind of fault cannot happen here with these disks; none if it can.
    pub fn lacks(&self, kind: Kind, media: &[Medium]) -> Option<String> {
        let lack = |offer: Offer<()>| offer.err();
        match kind.need() {
            Need::Nothing => None,
            Need::Network => lack(self.enclosure.clone()),
            Need::Clock => lack(self.clock.clone().map(|_| ())),
            Need::Cpu => lack(self.cpu.clone().map(|_| ())),
            Need::Throttle if media.contains(&Medium::Image) => lack(self.writes.clone().map(|_| ())),
            Need::Throttle => Some(format!("no host has a disk of the kind {}", Medium::Image.name())),
            Need::Disk(fit) if media.iter().any(|medium| fit.contains(medium)) => None,
            Need::AllDisks(fit) if media.iter().all(|medium| fit.contains(medium)) => None,
            Need::Disk(fit) => {
                let missing = fit.iter().find_map(|&medium| self.medium(medium).err());
                Some(missing.unwrap_or_else(|| format!("no host has a disk of the kind {}", names(fit))))
            }
            Need::AllDisks(fit) => Some(format!("not all disks are of the kind {}", names(fit))),
        }
    }

    /// The kinds of faults that can happen here, and why the others cannot.
    pub fn sort(&self, wanted: &[Kind], media: &[Medium]) -> (Vec<Kind>, Vec<(Kind, String)>) {
        let (mut able, mut skipped) = (Vec::new(), Vec::new());
        for (kind, ..) in KINDS.iter().filter(|(kind, ..)| wanted.contains(kind)) {
            match self.lacks(*kind, media) {
                None => able.push(*kind),
                Some(why) => skipped.push((*kind, why)),
            }
        }
        (able, skipped)
    }
}

fn names(media: &[Medium]) -> String {
    media.iter().map(|medium| medium.name()).collect::<Vec<_>>().join(" or ")
}

fn enclosure() -> Offer<()> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    tools(&["unshare", "setpriv", "nsenter", "ip", "mount"])?;
    writable("/dev/net/tun")
}

fn tools(names: &[&str]) -> Offer<()> {
    match names.iter().find(|name| tool::find(name).is_none()) {
        Some(missing) => Err(format!("{missing} is not installed")),
        None => Ok(()),
    }
}

fn writable(path: &str) -> Offer<()> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map(|_| ())
        .map_err(|error| format!("{path}: {error}"))
}

fn clock() -> Offer<PathBuf> {
    let found = CLOCK_LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| "libfaketime is not installed (Debian: faketime)".to_owned())
}

/// A controller of the first version of cgroups, mounted where systems mount it, with the file that it is
/// wanted for.
fn controller(name: &str, file: &str) -> Offer<PathBuf> {
    let folder = Path::new("/sys/fs/cgroup").join(name);
    if !rustix::process::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    let probe = folder.join(format!("synod-lab-{}-probe", std::process::id()));
    let made = std::fs::create_dir(&probe).map_err(|error| format!("cgroup {name}: {error}"));
    let found = made.map(|()| probe.join(file).is_file());
    // It was just made and is empty; if it cannot be removed, the sweep of the next run tries again.
    let _ = std::fs::remove_dir(&probe);
    match found? {
        true => Ok(folder),
        false => Err(format!("cgroup {name} has no {file} here (cgroups of the first version)")),
    }
}
