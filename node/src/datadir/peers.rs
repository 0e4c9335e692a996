//! The other hosts' data-directory ids: remembered at first contact, so that an emptied host is not taken for the old.
//!
//! An empty directory cannot know that it was once full. A host that comes back with another data-directory id has
//! lost what it promised, and counting it would let a majority forget; so it is refused until an operator says, with
//! `synod recover`, that the loss is known. Even then it comes back as a learner only, which is what its new id says
//! ([`DirectoryId::is_learner`]); another voter under the old number is refused whatever was said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::{io, DataDirError};
use super::identity::{read_peers, write_peers};
use super::limits::HOSTS_MAX;
use super::{sealed, DirectoryId};

/// What the book says about a host that introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The same directory as ever.
    Known,
    /// First contact; it is remembered from now on, durably.
    New,
    /// It came with another directory than the one that is known, as a learner, and an operator has said that the loss is
    /// known. The new one is the known one from now on, durably.
    Recovered {
        /// The id that is forgotten.
        lost: DirectoryId,
    },
    /// Another directory than the one that is known: to be refused.
    Other {
        /// The id that is known.
        known: DirectoryId,
    },
    /// The same, and the loss is known, but it did not come as a learner: to be refused.
    NotRejoined {
        /// The id that is known.
        known: DirectoryId,
    },
    /// The book is full: to be refused.
    TooMany,
}

/// The book of one host. Shared by its cores; used at handshakes only, so a lock and a sync now and then do no harm.
#[derive(Debug)]
pub struct PeerBook {
    directory: PathBuf,
    known: Mutex<BTreeMap<u32, DirectoryId>>,
}

impl PeerBook {
    /// Reads the book of a data directory.
    pub fn open(directory: &Path) -> Result<PeerBook, DataDirError> {
        Ok(PeerBook { directory: directory.to_owned(), known: Mutex::new(read_peers(directory)?) })
    }

    /// A host introduces itself with the id of its data directory. What is new is durable before this returns: some
    /// milliseconds, once in the life of a pair of hosts.
    pub fn meet(&self, host: u32, directory: DirectoryId) -> Result<Met, DataDirError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let met = match known.get(&host) {
            Some(id) if *id == directory => return Ok(Met::Known),
            Some(id) if self.is_pardoned(host, *id) && directory.is_learner() => Met::Recovered { lost: *id },
            Some(id) if self.is_pardoned(host, *id) => return Ok(Met::NotRejoined { known: *id }),
            Some(id) => return Ok(Met::Other { known: *id }),
            None if known.len() >= HOSTS_MAX => return Ok(Met::TooMany),
            None => Met::New,
        };
        let mut next = known.clone();
        next.insert(host, directory);
        write_peers(&self.directory, &next)?;
        *known = next;
        if met != Met::New {
            let pardon = pardon_path(&self.directory, host);
            std::fs::remove_file(&pardon).map_err(io("remove", &pardon))?;
        }
        Ok(met)
    }

    /// The directories as they are known now. A host that comes with another one is to be met before it is let in.
    pub fn known(&self) -> BTreeMap<u32, DirectoryId> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_pardoned(&self, host: u32, lost: DirectoryId) -> bool {
        let path = pardon_path(&self.directory, host);
        sealed::read(&path).ok().flatten().is_some_and(|text| text.trim() == lost.to_string())
    }
}

/// Notes in the data directory of this host that another host has lost the directory known so far, and may come back
/// with a new one, once, as a learner. A process that serves from the directory heeds it when that host calls next. Returns
/// the id that is given up; none when the host is not known here.
pub fn pardon(directory: &Path, host: u32) -> Result<Option<DirectoryId>, DataDirError> {
    let Some(lost) = read_peers(directory)?.remove(&host) else { return Ok(None) };
    sealed::write(directory, &pardon_name(host), &format!("{lost}\n"))?;
    Ok(Some(lost))
}

fn pardon_name(host: u32) -> String {
    format!("recover-{host}")
}

fn pardon_path(directory: &Path, host: u32) -> PathBuf {
    directory.join(pardon_name(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: DirectoryId = DirectoryId([2; 16]);
    const NEW: DirectoryId = DirectoryId([3; 16]);
    const VOTER: DirectoryId = DirectoryId([4; 16]);

    #[test]
    fn an_emptied_host_is_refused_until_the_loss_is_known() {
        let dir = tempfile::tempdir().expect("a folder");
        let book = PeerBook::open(dir.path()).expect("an empty book");
        let meet = |host, id| book.meet(host, id).expect("no I/O error");
        assert_eq!(pardon(dir.path(), 2).expect("no I/O error"), None);
        assert_eq!(
            [meet(2, OLD), meet(2, OLD), meet(2, NEW)],
            [Met::New, Met::Known, Met::Other { known: OLD }]
        );
        let reopened = PeerBook::open(dir.path()).expect("reads");
        assert_eq!(reopened.meet(2, NEW).expect("no I/O error"), Met::Other { known: OLD });
        assert_eq!(meet(2, VOTER), Met::Other { known: OLD });
        assert_eq!(pardon(dir.path(), 2).expect("no I/O error"), Some(OLD));
        assert_eq!(meet(2, VOTER), Met::NotRejoined { known: OLD }, "what was lost is not promised anew");
        assert_eq!(meet(2, OLD), Met::Known, "it was not lost after all");
        assert_eq!(book.known(), BTreeMap::from([(2, OLD)]));
        assert_eq!(meet(2, NEW), Met::Recovered { lost: OLD });
        assert_eq!(PeerBook::open(dir.path()).expect("reads").known(), BTreeMap::from([(2, NEW)]));
        assert_eq!(
            [meet(2, NEW), meet(2, OLD)],
            [Met::Known, Met::Other { known: NEW }],
            "a pardon counts once"
        );
    }

    #[test]
    fn the_book_is_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        let book = PeerBook::open(dir.path()).expect("an empty book");
        for host in 0..HOSTS_MAX as u32 {
            assert_eq!(book.meet(host, OLD).expect("no I/O error"), Met::New);
        }
        assert_eq!(book.meet(99, OLD).expect("no I/O error"), Met::TooMany);
    }
}
