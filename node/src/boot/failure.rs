//! Why the process ends, by what the operator can do; and the exit code that says so.

use crate::config::ConfigError;
use crate::datadir::DataDirError;

/// The end of a command that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong: correct it. Exit code 64 (`EX_USAGE`).
    #[error("{0}")]
    Usage(String),
    /// The configuration, the data directory or the host cannot be used: correct it, for a restart alone changes
    /// nothing. Exit code 78 (`EX_CONFIG`).
    #[error("{0}")]
    Unusable(String),
    /// Anything else. Exit code 1.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 64,
            Failure::Unusable(_) => 78,
            Failure::Other(_) => 1,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Unusable(error.to_string())
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Failure {
        match error {
            DataDirError::Io { .. } => Failure::Other(error.to_string()),
            _ => Failure::Unusable(error.to_string()),
        }
    }
}
