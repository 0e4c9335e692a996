//! The data directory: whose it is, that one process has it, and what must not be started on it.
//!
//! ```text
//! DIR/identity.toml   cluster, host, data-directory id, slices, format; written once by `synod init`
//! DIR/peers.toml      data-directory ids of the other hosts, as of first contact
//! DIR/LOCK            locked by the process that serves; holds its process id
//! DIR/used            there since the first start that served: from then on no core folder may be empty
//! DIR/core-0/ ..      one folder per core: the log's segments and hints
//! ```
//!
//! docs/formats/datadir.md has every byte. Left out: what lies in the core folders, which is the engine's.
//!
//! Invariants: `synod init` writes into an empty directory only, and the identity last, so that a half-made directory
//! has none; every write is durable before the call returns; a directory that lost a core's files is not served, since
//! it would have forgotten what it promised.

pub mod error;
pub mod identity;
pub mod limits;
pub mod peers;
pub mod sealed;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{flock, FlockOperation};

pub use error::DataDirError;
pub use identity::{ClusterId, DirectoryId, Identity};
pub use peers::{Met, PeerBook};

use error::io;
use identity::IDENTITY_FILE;

const LOCK_FILE: &str = "LOCK";
const USED_FILE: &str = "used";

/// A data directory that this process holds: locked until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

/// What `synod init` writes.
#[derive(Clone, Copy, Debug)]
pub struct Init {
    /// The cluster to found or to join.
    pub cluster: ClusterId,
    /// This host's number.
    pub host: u32,
    /// Slices, one per core.
    pub slices: u16,
    /// In place of a directory that was lost: the host is a learner.
    pub learner: bool,
}

/// Makes a data directory. The directory may exist if it is empty, or half made by an init that was interrupted.
pub fn init(path: &Path, init: Init) -> Result<Identity, DataDirError> {
    assert!((1..=limits::SLICES_MAX).contains(&init.slices), "the bounds of `cores` are those of slices");
    make_directory(path)?;
    let _lock = lock(path)?;
    if let Some(identity) = Identity::read(path)? {
        return Err(DataDirError::Occupied(format!(
            "{} is initialised already: host {} of cluster {}, {} slices; nothing was changed",
            path.display(),
            identity.host,
            identity.cluster,
            identity.slices
        )));
    }
    if let Some(name) = foreign_entry(path)? {
        return Err(DataDirError::Occupied(format!(
            "{} is not empty (it holds {name}); name an empty directory, or one that does not exist",
            path.display()
        )));
    }
    let identity = Identity {
        cluster: init.cluster,
        host: init.host,
        directory: DirectoryId::new(init.learner)?,
        slices: init.slices,
    };
    for core in 0..init.slices {
        make_directory(&core_directory(path, core))?;
    }
    sealed::sync_directory(path)?;
    sealed::write(path, IDENTITY_FILE, &identity.text())?;
    sealed::sync_directory(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(identity)
}

impl DataDir {
    /// Opens a data directory to serve it: locks it and refuses it if it is not this host's, or not whole.
    /// `host` is the configured host id; a cluster id is compared where one is configured.
    pub fn open(path: &Path, host: u32) -> Result<DataDir, DataDirError> {
        let identity = expect_identity(path)?;
        let lock = lock(path)?;
        if identity.host != host {
            return Err(DataDirError::Foreign(format!(
                "{} belongs to host {}, but this host is configured as {host}; correct host_id or data_dir",
                path.display(),
                identity.host
            )));
        }
        let dir = DataDir { path: path.to_owned(), identity, _lock: lock };
        dir.refuse_if_lost()?;
        Ok(dir)
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of each core, in order.
    pub fn core_directories(&self) -> Vec<PathBuf> {
        (0..self.identity.slices).map(|core| core_directory(&self.path, core)).collect()
    }

    /// Notes, durably, that cores have served from here: from now on an empty core folder means loss.
    ///
    /// While a core's folder is still empty this does nothing, since then nothing can have been lost.
    pub fn mark_used(&self) -> Result<(), DataDirError> {
        let holds_files =
            |core: &PathBuf| std::fs::read_dir(core).is_ok_and(|mut entries| entries.next().is_some());
        match self.path.join(USED_FILE).exists() || !self.core_directories().iter().all(holds_files) {
            true => Ok(()),
            false => sealed::write_plain(&self.path, USED_FILE, ""),
        }
    }

    /// The other hosts' data-directory ids, to hold against what they say of themselves.
    pub fn peer_book(&self) -> Result<PeerBook, DataDirError> {
        PeerBook::open(&self.path)
    }

    /// The other hosts' data-directory ids as they are known now.
    pub fn known_peers(&self) -> Result<BTreeMap<u32, DirectoryId>, DataDirError> {
        Ok(self.peer_book()?.known())
    }

    fn refuse_if_lost(&self) -> Result<(), DataDirError> {
        let used = self.path.join(USED_FILE).exists();
        for directory in self.core_directories() {
            let reason = match std::fs::read_dir(&directory).map(Iterator::count) {
                Ok(0) if used => "is empty, though this host has served from it",
                Ok(_) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => "is gone",
                Err(e) => return Err(io("list", &directory)(e)),
            };
            return Err(DataDirError::Damaged(format!(
                "{} {reason}: its data is lost, and serving would forget what this host has promised; mount the right \
                 disk, or if the data is gone come back as a learner (`synod init --rejoin`, docs/operations.md)",
                directory.display()
            )));
        }
        Ok(())
    }
}

/// Reads whose directory it is, without locking it; an error that says what to do when it is nobody's.
pub fn expect_identity(path: &Path) -> Result<Identity, DataDirError> {
    let missing = |hint| DataDirError::NotInitialised { path: path.to_owned(), hint };
    if !path.exists() {
        return Err(missing("the directory does not exist"));
    }
    if let Some(identity) = Identity::read(path)? {
        return Ok(identity);
    }
    match foreign_entry(path)? {
        None => Err(missing(
            "the directory is empty; if this host has served before, its disk is not mounted or is lost",
        )),
        Some(_) => Err(missing("there are other files in it")),
    }
}

fn core_directory(path: &Path, core: u16) -> PathBuf {
    path.join(format!("core-{core}"))
}

fn make_directory(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create", path))
}

/// Something in the directory that an interrupted init would not have left; `lost+found` is the file system's.
fn foreign_entry(path: &Path) -> Result<Option<String>, DataDirError> {
    for entry in std::fs::read_dir(path).map_err(io("list", path))? {
        let entry = entry.map_err(io("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = [LOCK_FILE, "lost+found", "identity.toml.new"].contains(&name.as_str());
        let empty = || std::fs::read_dir(entry.path()).is_ok_and(|mut entries| entries.next().is_none());
        let made_by_init = ours || name.starts_with("core-") && empty();
        if !made_by_init {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let name = path.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&name).map_err(io("open", &name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let digits = Read::by_ref(&mut file).take(20).read_to_string(&mut holder).is_ok()
                && !holder.trim().is_empty();
            let holder = if digits { format!(" (process {})", holder.trim()) } else { String::new() };
            return Err(DataDirError::Locked { path: path.to_owned(), holder });
        }
        Err(e) => return Err(io("lock", &name)(e.into())),
    }
    // The number is a courtesy to whoever finds the directory locked; the lock is what counts.
    file.set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
        .map_err(io("write", &name))?;
    Ok(file)
}

/// Makes a file with a new cluster secret, readable by its owner alone; refuses to replace one.
pub fn create_secret(path: &Path) -> Result<(), DataDirError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| io("read random bytes for", path)(e.into()))?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(io("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", path))?;
    sealed::sync_directory(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests;
