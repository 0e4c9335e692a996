//! The types that a setting can have: how each is read from text and printed back.
//!
//! Every layer hands over text (the file's integers, booleans and lists are spelled out), so that one function per
//! type decides what is valid, wherever the value came from. Printing and reading are inverse to each other.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// A type that a setting can have.
pub trait Setting: Sized + Clone {
    /// Whether the value must never be printed.
    const SECRET: bool = false;
    /// Whether the file writes the value without quotes.
    const BARE: bool = false;
    /// Reads a value; the error says what was expected, and fits after "name: ".
    fn parse(text: &str) -> Result<Self, String>;
    /// The text that reads back as this value.
    fn print(&self) -> String;
    /// The number to hold against the setting's bounds, if it is one, and how to print a bound.
    fn number(&self) -> Option<u64> {
        None
    }
    /// A bound of this type, in the user's terms.
    fn print_bound(bound: u64) -> String {
        bound.to_string()
    }
}

/// A size in bytes. Reads `4096`, `64 KiB`, `20 MB`; decimal units are powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A duration in milliseconds. Reads `1000`, `1000 ms`, `1 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// A plain number. Reads `10000` and `10_000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

/// Something that must not be shown: its `Debug` hides it, and `--print-config` does too.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// One host of the cluster in the member list. In text: `1=10.0.0.1`, or `1=10.0.0.1/203.0.113.1` with the address
/// that clients are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostEntry {
    /// Its number, the same on every host.
    pub id: u32,
    /// Where its peers reach it.
    pub address: IpAddr,
    /// Where its clients reach it, when that differs.
    pub announce: Option<IpAddr>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human when the standard error output is a terminal, JSON otherwise.
    Auto,
    /// One line for a person per event.
    Human,
    /// One JSON object per event and line.
    Json,
}

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugCommand {
    /// Nobody.
    No,
    /// Clients of this machine.
    Local,
    /// Every client.
    Yes,
}

/// The least severe events that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something is broken and needs a person.
    Error,
    /// Something is wrong and handled.
    Warn,
    /// Changes of state.
    Info,
    /// What a developer asks for.
    Debug,
    /// Everything.
    Trace,
}

impl Secret {
    /// The secret itself; not for printing.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(hidden)")
    }
}

const BYTE_UNITS: [(&str, u64); 9] = [
    ("GIB", 1 << 30),
    ("MIB", 1 << 20),
    ("KIB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("TIB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

fn split_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.replace('_', "").parse().ok()?, unit.trim().to_ascii_uppercase()))
}

impl Setting for Bytes {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a size such as 4096, \"64 KiB\" or \"20 MB\", not {text:?}");
        let (number, unit) = split_unit(text).ok_or_else(expected)?;
        let factor = match unit.as_str() {
            "" => 1,
            unit => {
                BYTE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f).ok_or_else(expected)?
            }
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(expected)
    }
    fn print(&self) -> String {
        Self::print_bound(self.0)
    }
    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
    fn print_bound(bound: u64) -> String {
        let units =
            [(1 << 30, "GiB"), (1_000_000_000, "GB"), (1 << 20, "MiB"), (1_000_000, "MB"), (1 << 10, "KiB")];
        match units.iter().find(|(factor, _)| bound > 0 && bound.is_multiple_of(*factor)) {
            Some((factor, unit)) => format!("{} {unit}", bound / factor),
            None => bound.to_string(),
        }
    }
}

impl Setting for Millis {
    const BARE: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected milliseconds such as 1000, or \"1 s\", not {text:?}");
        let (number, unit) = split_unit(text).ok_or_else(expected)?;
        let factor = match unit.as_str() {
            "" | "MS" => 1,
            "S" => 1000,
            _ => return Err(expected()),
        };
        number.checked_mul(factor).map(Millis).ok_or_else(expected)
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl Setting for Count {
    const BARE: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim().replace('_', "");
        digits.parse().map(Count).map_err(|_| format!("expected a whole number, not {text:?}"))
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl Setting for u16 {
    const BARE: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected a port number up to 65535, not {text:?}"))
    }
    fn print(&self) -> String {
        self.to_string()
    }
    fn number(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

impl Setting for bool {
    const BARE: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(format!("expected true or false, not {text:?}")),
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("expected a path, not an empty text".to_owned()),
            path => Ok(PathBuf::from(path)),
        }
    }
    fn print(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for Secret {
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret(text.to_owned()))
    }
    fn print(&self) -> String {
        self.0.clone()
    }
}

impl Setting for IpAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected an IP address such as 10.0.0.1, not {text:?}"))
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Setting for HostEntry {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected id=address or id=address/announced-address, not {text:?}");
        let (id, addresses) = text.trim().split_once('=').ok_or_else(expected)?;
        let (address, announce) = match addresses.split_once('/') {
            Some((address, announce)) => (address, Some(IpAddr::parse(announce)?)),
            None => (addresses, None),
        };
        let id = id.trim().parse().map_err(|_| expected())?;
        Ok(HostEntry { id, address: IpAddr::parse(address)?, announce })
    }
    fn print(&self) -> String {
        match self.announce {
            Some(announce) => format!("{}={}/{announce}", self.id, self.address),
            None => format!("{}={}", self.id, self.address),
        }
    }
}

/// A list: items separated by commas. The file may write it as an array.
impl<T: Setting> Setting for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }
    fn print(&self) -> String {
        self.iter().map(T::print).collect::<Vec<_>>().join(",")
    }
}

/// A value that may be unset: the empty text.
impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;
    const BARE: bool = T::BARE;
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            text => T::parse(text).map(Some),
        }
    }
    fn print(&self) -> String {
        self.as_ref().map(T::print).unwrap_or_default()
    }
    fn number(&self) -> Option<u64> {
        self.as_ref().and_then(T::number)
    }
    fn print_bound(bound: u64) -> String {
        T::print_bound(bound)
    }
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+) => {
        impl Setting for $type {
            fn parse(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok($type::$variant),)+
                    _ => Err(format!("expected one of {}, not {text:?}", [$($word),+].join(", "))),
                }
            }
            fn print(&self) -> String {
                match self { $($type::$variant => $word.to_owned()),+ }
            }
        }
    };
}

words!(DebugCommand: No = "no", Local = "local", Yes = "yes");
words!(LogFormat: Auto = "auto", Human = "human", Json = "json");
words!(LogLevel: Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        let table = [
            ("4096", Some(4096)),
            ("20 MB", Some(20_000_000)),
            ("20MB", Some(20_000_000)),
            ("64 KiB", Some(65_536)),
            ("1_000 kb", Some(1_000_000)),
            ("0", Some(0)),
            ("", None),
            ("MB", None),
            ("-1", None),
            ("1.5 MB", None),
            ("20 apples", None),
            ("99999999999999999999", None),
            ("99999999999 TiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(Bytes::parse(text).ok().map(|b| b.0), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in
            [0, 1, 1000, 1024, 4097, 20_000_000, 1 << 20, 256 << 20, 1 << 30, 3_000_000_000, u64::MAX]
        {
            assert_eq!(Bytes::parse(&Bytes(bytes).print()), Ok(Bytes(bytes)));
        }
        for text in ["1=10.0.0.1", "2=::1/203.0.113.9"] {
            assert_eq!(HostEntry::parse(text).map(|h| h.print()).as_deref(), Ok(text));
        }
        let hosts = Vec::<HostEntry>::parse("1=127.0.0.1, 2=127.0.0.2").expect("a list");
        assert_eq!(hosts.print(), "1=127.0.0.1,2=127.0.0.2");
        assert_eq!(Option::<u16>::parse("").map(|v| v.print()).as_deref(), Ok(""));
    }

    #[test]
    fn a_secret_is_hidden_from_debug_output() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_a_host_is_refused() {
        for text in ["10.0.0.1", "one=10.0.0.1", "1=localhost", "1=10.0.0.1/", "-1=10.0.0.1"] {
            assert!(HostEntry::parse(text).is_err(), "{text}");
        }
    }
}
