//! What can go wrong, by what the caller can do about it.

use std::net::SocketAddr;

/// An error of the harness itself. Errors of the servers under test are results: they are counted, not
/// returned.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The options do not fit together; the text says what to change.
    #[error("{0}")]
    Usage(String),
    /// A server could not be reached or stopped answering; start it, or name another.
    #[error("{addr}: {source}")]
    Connection {
        /// The server.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server answered, but not what was needed.
    #[error("{addr}: {text}")]
    Server {
        /// The server.
        addr: SocketAddr,
        /// What it answered, or what was missing.
        text: String,
    },
    /// A file or another resource of this machine failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command that kills or restarts a host failed.
    #[error("{0}")]
    Command(String),
}

impl BenchError {
    /// An I/O error with what was being done.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> BenchError {
        BenchError::Io { what: what.into(), source }
    }
}
