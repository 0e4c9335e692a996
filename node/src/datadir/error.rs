//! What can be wrong with a data directory, by what the operator can do about it.

use std::path::{Path, PathBuf};

/// Why a data directory is refused. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Nothing is there yet, or nothing of ours.
    #[error("{} holds no data of Synod; run `synod init` first ({hint})", .path.display())]
    NotInitialised {
        /// The directory.
        path: PathBuf,
        /// What was found.
        hint: &'static str,
    },
    /// `synod init` on a directory that is somebody's.
    #[error("{0}")]
    Occupied(String),
    /// It belongs to another host, cluster or number of slices.
    #[error("{0}")]
    Foreign(String),
    /// Written by a newer version.
    #[error(
        "{} has format {found}, and this version of Synod reads up to {known}; start it with a newer version", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// A file of ours that does not read, or a part that is gone.
    #[error("{0}")]
    Damaged(String),
    /// Another process has it open.
    #[error("{} is in use by another process{holder}; one data directory serves one process", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who holds it, when that can be told.
        holder: String,
    },
    /// The system refused an operation.
    #[error("cannot {verb} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Adds verb and object to an error of the system.
pub(super) fn io<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> DataDirError + 'a {
    move |source| DataDirError::Io { verb, path: path.to_owned(), source }
}
