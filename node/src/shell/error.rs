//! What can go wrong, by what can be done about it.

use std::io::ErrorKind;

/// Why a statement or a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// A host refused it, and nothing was done: correct it. The SQLSTATE, or the word that an error begins with.
    #[error("ERROR {state}: {message}")]
    Refused { state: String, message: String },
    /// A host could not do it now, and nothing was done: try again.
    #[error("ERROR: {0}")]
    Busy(String),
    /// It may or may not have been done.
    #[error("ERROR: {0}")]
    Uncertain(String),
    /// The connection ended before the answer came: it may or may not have been done.
    #[error("the connection to {host} is lost before it has answered: {why}")]
    Lost { host: String, why: String },
    /// No host takes a connection; nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// A file or what was typed: correct it.
    #[error("{0}")]
    Local(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Who read the output has gone.
    #[error("nobody reads the output any more")]
    Closed,
}

impl Trouble {
    /// What a host's error means.
    pub(super) fn of_error(text: &str) -> Trouble {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let refused = |state: &str, message: &str| Trouble::Refused {
            state: printable(state),
            message: printable(message),
        };
        match code {
            "SQL" => {
                let (state, message) = rest.split_once(' ').unwrap_or((rest, ""));
                refused(state, message)
            }
            "UNCERTAIN" => Trouble::Uncertain(printable(text)),
            "ERR" | "TRYAGAIN" | "LOADING" => Trouble::Busy(printable(text)),
            "MOVED" => refused(code, "this is the port of one core; give the plain port of a host"),
            _ => refused(code, rest),
        }
    }

    /// What a write to the output, or to a file, met.
    pub(super) fn of_output(what: &str, error: &std::io::Error) -> Trouble {
        match error.kind() {
            ErrorKind::BrokenPipe => Trouble::Closed,
            _ => Trouble::Local(format!("cannot write to {what}: {error}")),
        }
    }

    /// Where it happened, in front.
    pub(super) fn at(self, place: &str) -> Trouble {
        match self {
            Trouble::Closed => Trouble::Closed,
            other => Trouble::Local(format!("{place}: {other}")),
        }
    }
}

/// A text from elsewhere as one line without control characters, which could command a terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_what_can_be_done() {
        let shown = |text: &str| Trouble::of_error(text).to_string();
        assert_eq!(shown("SQL 42P01 table \"x\" does not exist"), "ERROR 42P01: table \"x\" does not exist");
        assert_eq!(shown("NOAUTH Authentication required."), "ERROR NOAUTH: Authentication required.");
        assert!(shown("MOVED 12 127.0.0.1:7001").contains("give the plain port"));
        assert!(matches!(Trouble::of_error("ERR no quorum"), Trouble::Busy(_)));
        assert!(matches!(Trouble::of_error("TRYAGAIN later"), Trouble::Busy(_)));
        assert!(matches!(Trouble::of_error("UNCERTAIN write may"), Trouble::Uncertain(_)));
        assert_eq!(shown("SQL"), "ERROR : ");
        assert_eq!(shown("SQL 22P02 a\u{1b}[2J\u{7}"), "ERROR 22P02: a\\x1b[2J\\x07");
    }
}
