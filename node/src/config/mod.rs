//! The settings: one table, defined once, that drives the TOML file, the environment and the flags.
//!
//! [`table`] names every setting with its type, default, bounds, and whether it may be changed while serving. A value
//! comes from the highest of four layers: flag, environment (`SYNOD_…`), file, default; [`layers`] remembers which one
//! it was, down to the line of the file, so that an error and `--print-config` can say where to look. [`check`] holds
//! what concerns more than one setting, [`host`] turns the result into the typed [`HostConfig`] that the cores get.
//!
//! Left out: reading secrets' files and the data directory (that is [`crate::boot`]), so that a configuration can be
//! printed and checked on a machine that is not the host.
//!
//! Invariants: a name that is not in the table is refused, with a suggestion; a value is checked against its bounds
//! when it is read, whatever layer it came from; a secret is never printed.

pub mod check;
pub mod file;
pub mod host;
pub mod layers;
pub mod limits;
pub mod print;
pub mod table;
pub mod value;

pub use host::{CoreConfig, HostConfig, Limits, Member, Ports, Storage};
pub use layers::{load, Loaded, Origin, Sources};
pub use table::{Change, Settings, Spec, TABLE};
pub use value::{Bytes, Count, HostEntry, Millis, Secret};

/// What is wrong with a configuration: one sentence per problem, each saying where and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    /// At least one sentence, without a full stop at the end.
    pub problems: Vec<String>,
}

impl ConfigError {
    /// An error of one sentence.
    pub fn one(problem: impl Into<String>) -> ConfigError {
        ConfigError { problems: vec![problem.into()] }
    }
}

/// The name nearest to `word`, if one is near enough to be meant.
pub fn suggest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let limit = limits::SUGGESTION_DISTANCE_MAX.min(word.len().div_ceil(3));
    names
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = || TABLE.iter().map(|spec| spec.name);
        let table = [
            ("plain_prot", Some("plain_port")),
            ("plain-port", Some("plain_port")),
            ("PLAIN_PORT", Some("plain_port")),
            ("datadir", Some("data_dir")),
            ("hosts", Some("host")),
            ("request_deadline", Some("request_deadline_ms")),
            ("colour", None),
            ("x", None),
        ];
        for (word, expected) in table {
            assert_eq!(suggest(word, names()), expected, "{word}");
        }
    }
}
