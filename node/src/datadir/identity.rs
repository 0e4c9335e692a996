//! Who a data directory belongs to: the ids, and the file that holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::error::DataDirError;
use super::limits::{ID_BYTES, SLICES_MAX};
use super::sealed;

/// Name of the identity file in a data directory.
pub const IDENTITY_FILE: &str = "identity.toml";

/// Name of the file that holds the data-directory ids of other hosts.
pub const PEERS_FILE: &str = "peers.toml";

/// The format of a data directory that this version writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; ID_BYTES]);

        impl $name {
            /// A new one, from the system's random numbers.
            pub fn random() -> Result<$name, DataDirError> {
                let mut bytes = [0; ID_BYTES];
                getrandom::fill(&mut bytes).map_err(|e| DataDirError::Io {
                    verb: "read random bytes for", path: stringify!($name).into(), source: e.into() })?;
                Ok($name(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<$name, String> {
                let expected = || format!("expected {} hexadecimal digits, not {text:?}", 2 * ID_BYTES);
                let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = (digits && text.len() == 2 * ID_BYTES).then(|| u128::from_str_radix(text, 16));
                Ok($name(number.ok_or_else(expected)?.map_err(|_| expected())?.to_be_bytes()))
            }
        }
    };
}

id! {
    /// Names a cluster. Hosts of different clusters refuse each other.
    ClusterId
}
id! {
    /// Names one data directory, so that an emptied one under an old host id is not taken for the old one.
    DirectoryId
}

/// The bit of a data-directory id that says what its host is; see [`DirectoryId::is_learner`].
const LEARNER_BIT: u8 = 1;

impl DirectoryId {
    /// A new one for a voter or a learner.
    pub fn new(learner: bool) -> Result<DirectoryId, DataDirError> {
        let mut id = DirectoryId::random()?;
        let last = &mut id.0[ID_BYTES - 1];
        *last = if learner { *last | LEARNER_BIT } else { *last & !LEARNER_BIT };
        Ok(id)
    }

    /// Whether the directory was made to replace one that was lost: then its host does not know what it had promised, and
    /// votes for nothing. It is part of the id, so that nothing that is lost or restored later can make a voter of it,
    /// and every peer knows it from the first handshake on.
    pub fn is_learner(self) -> bool {
        self.0[ID_BYTES - 1] & LEARNER_BIT != 0
    }
}

/// Who a data directory belongs to. Written once, by `synod init`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The host's number in it.
    pub host: u32,
    /// This directory, whoever had the number before.
    pub directory: DirectoryId,
    /// Slices, one per core; the same on all hosts of the cluster.
    pub slices: u16,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    #[serde(rename = "format")]
    _format: u64,
    cluster: String,
    host: u32,
    directory: String,
    slices: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeersFile {
    #[serde(rename = "format")]
    _format: u64,
    #[serde(default)]
    directory: BTreeMap<String, String>,
}

impl Identity {
    /// Whether this host is a learner: see [`DirectoryId::is_learner`].
    pub fn is_learner(&self) -> bool {
        self.directory.is_learner()
    }

    pub(super) fn text(&self) -> String {
        format!(
            "# Who this data directory belongs to. Written by `synod init`; do not edit.\nformat = {FORMAT}\n\
             cluster = \"{}\"\nhost = {}\ndirectory = \"{}\"\nslices = {}\n",
            self.cluster, self.host, self.directory, self.slices
        )
    }

    /// Reads the identity of a data directory; none when it has none.
    pub fn read(directory: &Path) -> Result<Option<Identity>, DataDirError> {
        let path = directory.join(IDENTITY_FILE);
        let Some(text) = sealed::read(&path)? else { return Ok(None) };
        let file: IdentityFile = typed(&path, &text)?;
        let wrong = |reason: String| damaged(&path, &reason);
        if !(1..=SLICES_MAX).contains(&file.slices) {
            return Err(wrong(format!("slices = {} is out of bounds", file.slices)));
        }
        Ok(Some(Identity {
            cluster: file.cluster.parse().map_err(wrong)?,
            host: file.host,
            directory: file.directory.parse().map_err(wrong)?,
            slices: file.slices,
        }))
    }

    /// An identity for tests and examples: fixed ids, this host, this many slices.
    #[cfg(test)]
    pub(crate) fn example(host: u32, slices: u16) -> Identity {
        Identity {
            cluster: ClusterId([0xc1; ID_BYTES]),
            host,
            directory: DirectoryId([0xd0; ID_BYTES]),
            slices,
        }
    }
}

/// Reads the data-directory ids of other hosts; none known when there is no file.
pub fn read_peers(directory: &Path) -> Result<BTreeMap<u32, DirectoryId>, DataDirError> {
    let path = directory.join(PEERS_FILE);
    let Some(text) = sealed::read(&path)? else { return Ok(BTreeMap::new()) };
    let file: PeersFile = typed(&path, &text)?;
    let wrong = |reason: String| damaged(&path, &reason);
    let entry = |(host, id): (&String, &String)| {
        Ok((host.parse().map_err(|_| format!("host {host:?}"))?, id.parse()?))
    };
    file.directory.iter().map(entry).collect::<Result<_, String>>().map_err(wrong)
}

/// Writes the data-directory ids of other hosts, durably.
pub(super) fn write_peers(directory: &Path, peers: &BTreeMap<u32, DirectoryId>) -> Result<(), DataDirError> {
    let mut text = format!(
        "# Data-directory ids of the other hosts as they were at first contact.\nformat = {FORMAT}\n[directory]\n"
    );
    peers.iter().for_each(|(host, id)| text.push_str(&format!("{host} = \"{id}\"\n")));
    sealed::write(directory, PEERS_FILE, &text)
}

/// Types a file's text, its format version first: a newer one is named as such, not as damage.
fn typed<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, DataDirError> {
    let format: Format = toml::from_str(text).map_err(|e| damaged(path, e.message()))?;
    if format.format > FORMAT {
        return Err(DataDirError::Newer { path: path.to_owned(), found: format.format, known: FORMAT });
    }
    toml::from_str(text).map_err(|e| damaged(path, e.message()))
}

fn damaged(path: &Path, reason: &str) -> DataDirError {
    DataDirError::Damaged(format!(
        "{} is damaged: {reason}; restore it from a copy of this host",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_nothing_else_is_an_id() {
        let id = ClusterId::random().expect("random");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, ClusterId::random().expect("random"));
        for text in ["", "12", "+1234567890123456789012345678901", &"g".repeat(32), &"1".repeat(33)] {
            assert!(text.parse::<ClusterId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_lowest_bit_of_the_last_byte_tells_a_learner() {
        for learner in [false, true] {
            for _ in 0..32 {
                let id = DirectoryId::new(learner).expect("random");
                assert_eq!(id.is_learner(), learner);
                let read: DirectoryId = id.to_string().parse().expect("an id");
                assert_eq!(read.is_learner(), learner);
                let digit = id.to_string().chars().last().and_then(|digit| digit.to_digit(16));
                assert_eq!(digit.map(|digit| digit % 2 == 1), Some(learner), "the last digit is odd: {id}");
            }
        }
    }

    #[test]
    fn identity_and_peers_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let identity = Identity::example(2, 7);
        sealed::write(dir.path(), IDENTITY_FILE, &identity.text()).expect("written");
        assert_eq!(Identity::read(dir.path()).expect("reads"), Some(identity));
        let peers = BTreeMap::from([(1, DirectoryId([1; 16])), (30, DirectoryId([3; 16]))]);
        write_peers(dir.path(), &peers).expect("written");
        assert_eq!(read_peers(dir.path()).expect("reads"), peers);
    }

    #[test]
    fn a_newer_format_is_named_with_both_numbers() {
        let dir = tempfile::tempdir().expect("a folder");
        sealed::write(dir.path(), IDENTITY_FILE, "format = 2\nsomething = \"new\"\n").expect("written");
        let error = Identity::read(dir.path()).expect_err("refused").to_string();
        assert!(error.contains("has format 2, and this version of Synod reads up to 1"), "{error}");
    }
}
