//! What can go wrong, by what the user can do about it. Each error bears the SQLSTATE that PostgreSQL has for it, and names the remedy.

use crate::limits::MESSAGE_CHARS_MAX;

/// Why a statement was not done. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the caller and the user can do.
    pub kind: ErrorKind,
    /// The SQLSTATE, as PostgreSQL has it where it has one.
    pub state: &'static str,
    /// What is wrong, and the remedy: one line without control characters.
    pub message: String,
}

/// By what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is no SQL. Correct it; the message has the position.
    Syntax,
    /// It is SQL, but not of the subset. The message names what is not, and a way around.
    Unsupported,
    /// No such table, column, index or function. The message has the nearest name there is.
    Unknown,
    /// There is such a table, column or index already.
    Exists,
    /// Types do not go together. Cast, or compare with another column.
    Type,
    /// A value is out of its range, or not of its form.
    Value,
    /// A row is there already, or NULL is where it must not be.
    Constraint,
    /// The partition key, or an index for the order, is missing. The message names it.
    NeedsKey,
    /// A bound of this crate; the message names it.
    TooLarge,
    /// The statement was planned against an older catalog. Plan it again.
    Stale,
    /// What was stored is not what this crate wrote: repair from a peer.
    Damage,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, state: &'static str, message: impl Into<String>) -> Error {
        // It becomes one line of a reply, and may have parts of the statement in it.
        let line = message
            .into()
            .chars()
            .take(MESSAGE_CHARS_MAX)
            .map(|one| if one.is_control() { ' ' } else { one })
            .collect();
        Error { kind, state, message: line }
    }

    /// It is of the subset, and this version of the owner does not serve it.
    pub fn not_served(message: impl Into<String>) -> Error {
        Error::unsupported(message)
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Syntax, "42601", message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, "0A000", message)
    }

    pub(crate) fn mismatch(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Type, "42804", message)
    }

    pub(crate) fn operator(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Type, "42883", message)
    }

    pub(crate) fn out_of_range(what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Value, "22003", format!("{what} out of range"))
    }

    pub(crate) fn division_by_zero() -> Error {
        Error::new(ErrorKind::Value, "22012", "division by zero")
    }

    pub(crate) fn malformed(kind: &str, text: &str) -> Error {
        let shown = shortened(text);
        Error::new(ErrorKind::Value, "22P02", format!("invalid input syntax for type {kind}: \"{shown}\""))
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::TooLarge, "54000", message)
    }

    pub(crate) fn damage(what: &str) -> Error {
        Error::new(
            ErrorKind::Damage,
            "XX001",
            format!("{what} is damaged: its bytes are not what was written"),
        )
    }
}

/// The beginning of a text that a user sent, for a message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Error {}

/// `; did you mean "name"?` for the nearest of the names there are, if one is near.
pub(crate) fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = names.map(|name| (distance(wrong, name), name)).min();
    match near {
        Some((edits, name)) if edits <= 1 + wrong.len() / 4 => format!("; did you mean \"{name}\"?"),
        _ => String::new(),
    }
}

/// Edits from one text to the other (Levenshtein); names have at most 63 bytes.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, one) in left.chars().take(crate::limits::NAME_BYTES_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(one != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_are_one_short_line() {
        let error = super::Error::syntax(format!("a\r\n-b{}", "c".repeat(1 << 20)));
        assert!(error.message.starts_with("a  -bc"));
        assert_eq!(error.message.chars().count(), crate::limits::MESSAGE_CHARS_MAX);
    }

    #[test]
    fn near_names_are_suggested() {
        let names = ["price", "quantity", "id"];
        assert_eq!(super::suggestion("pirce", names.into_iter()), "; did you mean \"price\"?");
        assert_eq!(super::suggestion("quantitty", names.into_iter()), "; did you mean \"quantity\"?");
        assert_eq!(super::suggestion("weight", names.into_iter()), "");
        assert_eq!(super::suggestion("x", std::iter::empty()), "");
    }
}
