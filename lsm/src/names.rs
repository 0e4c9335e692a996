//! The names of the engine's files. No other engine's names begin like these.

use crate::limits::NUMBER_MAX;

/// What every name begins with.
const PREFIX: &str = "lsm-";

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The table of this number.
    Table(u64),
    /// The manifest of this number.
    Manifest(u64),
    /// A manifest that is not complete.
    Unfinished,
    /// Another engine's, or nobody's.
    Foreign,
}

pub(crate) fn table(id: u64) -> String {
    format!("{PREFIX}{id:016x}.table")
}

pub(crate) fn manifest(number: u64) -> String {
    format!("{PREFIX}manifest-{number:016x}")
}

pub(crate) fn unfinished(number: u64) -> String {
    format!("{PREFIX}unfinished-{number:016x}")
}

pub(crate) fn parse(name: &str) -> Name {
    let Some(rest) = name.strip_prefix(PREFIX) else { return Name::Foreign };
    let number = |digits: &str| {
        let is_plain =
            digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(digits, 16).ok().filter(|number| is_plain && *number <= NUMBER_MAX)
    };
    if let Some(number) = rest.strip_prefix("manifest-").and_then(number) {
        return Name::Manifest(number);
    }
    if rest.strip_prefix("unfinished-").and_then(number).is_some() {
        return Name::Unfinished;
    }
    rest.strip_suffix(".table").and_then(number).map_or(Name::Foreign, Name::Table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!(parse(&table(77)), Name::Table(77));
        assert_eq!(parse(&manifest(NUMBER_MAX)), Name::Manifest(NUMBER_MAX));
        assert_eq!(parse(&table(u64::MAX)), Name::Foreign, "nobody counts that far");
        assert_eq!(parse(&unfinished(3)), Name::Unfinished);
        for name in
            ["seg-0000000000000001.log", "lsm-1.table", "lsm-000000000000000G.table", "lsm-manifest-1", ""]
        {
            assert_eq!(parse(name), Name::Foreign);
        }
    }
}
