//! What can go wrong, by what the caller can do about it.

/// An error of the measuring. A goal that is not met is none.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The options do not fit together, or not the machine; the text says what to change.
    #[error("{0}")]
    Usage(String),
    /// A system, or a tool that measures, did not do its work.
    #[error("{name}: {text}")]
    Tool {
        /// Which.
        name: String,
        /// What it said, or what was missing.
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
    /// Somebody asked to stop.
    #[error("stopped")]
    Interrupted,
}

impl CompareError {
    /// An I/O error with what was being done.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> CompareError {
        CompareError::Io { what: what.into(), source }
    }

    /// A failure of a system or tool.
    pub fn tool(name: impl Into<String>, text: impl Into<String>) -> CompareError {
        CompareError::Tool { name: name.into(), text: text.into() }
    }
}

/// A result of this program.
pub type Result<T> = std::result::Result<T, CompareError>;
