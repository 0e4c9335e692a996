//! The table of settings: each defined once, with everything that the layers, the flags and the documents need.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::limits;
use super::value::{Bytes, Count, DebugCommand, HostEntry, LogFormat, LogLevel, Millis, Secret, Setting};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// While serving, through `CONFIG SET`.
    Online,
    /// At the next start.
    Restart,
    /// Never: `synod init` writes it into the data directory.
    Init,
}

/// One setting, as the layers see it.
#[derive(Debug)]
pub struct Spec {
    /// Its name in the file; the flag and the environment variable follow from it.
    pub name: &'static str,
    /// What it does, a paragraph.
    pub doc: &'static str,
    /// The text of the default; empty is "unset", or "found out at start" where the doc says so.
    pub default: &'static str,
    /// When a changed value takes effect.
    pub change: Change,
    /// Whether it must never be printed.
    pub secret: bool,
    /// Whether the file writes it without quotes.
    pub bare: bool,
    /// Whether it is true or false, so that the flag alone means true.
    pub switch: bool,
    /// Reads a text, holds it against the bounds, and prints it back in its usual form.
    pub normalise: fn(&str) -> Result<String, String>,
}

impl Spec {
    /// The environment variable: `SYNOD_PLAIN_PORT`.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// The flag without its dashes: `plain-port`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// What every environment variable of ours begins with.
pub const ENV_PREFIX: &str = "SYNOD_";

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.name == name)
}

fn within<T: Setting>(value: T, range: Option<std::ops::RangeInclusive<u64>>) -> Result<T, String> {
    match (value.number(), range) {
        (Some(number), Some(range)) if !range.contains(&number) => Err(format!(
            "{} is out of bounds: give {} to {}",
            value.print(),
            T::print_bound(*range.start()),
            T::print_bound(*range.end())
        )),
        _ => Ok(value),
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal, $change:ident $(, in $range:expr)?;)+) => {
        /// Every setting, typed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// Every setting, in the order in which it is printed.
        pub const TABLE: &[Spec] = &[$(Spec {
            name: stringify!($name),
            doc: concat!($($doc),+),
            default: $default,
            change: Change::$change,
            secret: <$type as Setting>::SECRET,
            bare: <$type as Setting>::BARE,
            switch: is_switch(stringify!($type)),
            normalise: |text| Ok(readers::$name(text)?.print()),
        },)+];

        mod readers {
            use super::*;
            $(pub(super) fn $name(text: &str) -> Result<$type, String> {
                #[allow(unused_mut, unused_assignments)]
                let mut range = None;
                $(range = Some($range);)?
                within(<$type as Setting>::parse(text)?, range)
            })+
        }

        impl Settings {
            /// Types the texts; a name that is missing has its default. The error names each setting that does not
            /// read, with the reason.
            pub fn from_texts(texts: &BTreeMap<&str, String>) -> Result<Settings, Vec<(&'static str, String)>> {
                let mut problems = Vec::new();
                $(let $name = match readers::$name(texts.get(stringify!($name)).map_or($default, String::as_str)) {
                    Ok(value) => Some(value),
                    Err(reason) => {
                        problems.push((stringify!($name), reason));
                        None
                    }
                };)+
                match ($($name,)+) {
                    ($(Some($name),)+) => Ok(Settings { $($name),+ }),
                    _ => Err(problems),
                }
            }

            /// The text of a setting, as `CONFIG GET` shows it; none when there is no such setting.
            pub fn text(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($name) => Some(self.$name.print()),)+
                    _ => None,
                }
            }

            /// Sets one setting from text; the error says what was expected. It does not look at [`Change`]: that is
            /// the caller's to refuse.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
                match name {
                    $(stringify!($name) => self.$name = readers::$name(text)?,)+
                    _ => return Err(format!("there is no setting {name:?}")),
                }
                Ok(())
            }
        }
    };
}

const fn is_switch(type_name: &str) -> bool {
    matches!(type_name.as_bytes(), b"bool")
}

settings! {
    /// Where this host keeps everything. Made and marked by `synod init`; belongs to one host of one cluster.
    data_dir: PathBuf = "synod-data", Restart;
    /// The number of this host, 1 to 65535: the same as in its own entry of the member list, different on every host.
    host_id: Count = "1", Init, in 1..=limits::HOST_ID_MAX;
    /// The hosts of the cluster, the same list on every host: 1, 3 or 5 of them. In the file one `[[host]]` table per
    /// host with `id`, `address` (IP address for its peers) and optionally `announce` (IP address told to clients); as
    /// text `1=10.0.0.1,2=10.0.0.2,3=10.0.0.3`, with `1=10.0.0.1/203.0.113.1` to announce another address. Empty: one
    /// host on its own.
    host: Vec<HostEntry> = "", Restart;
    /// Cores that serve, each with its own slice of the keys, its own files and ports. Fixed by `synod init` and equal
    /// on all hosts. Empty: at `synod init` the number of CPUs, afterwards what `synod init` wrote.
    cores: Option<Count> = "", Init, in 1..=limits::CORES_MAX;
    /// Port that takes every key and never redirects: for clients that know nothing of clusters.
    plain_port: u16 = "6379", Restart, in limits::PORTS;
    /// Core c listens for cluster clients on this port + c.
    client_port_base: u16 = "7000", Restart, in limits::PORTS;
    /// Core c listens for its peers on this port + c. The same on every host.
    peer_port_base: u16 = "7500", Restart, in limits::PORTS;
    /// Port of metrics, health and status over HTTP.
    admin_port: u16 = "7900", Restart, in limits::PORTS;
    /// Addresses that clients may come in by. Empty: the address of this host in the member list, and 127.0.0.1 unless
    /// that is a loopback address too; without a member list 127.0.0.1.
    bind: Vec<IpAddr> = "", Restart;
    /// Address that peers come in by. Empty: the address of this host in the member list.
    peer_bind: Option<IpAddr> = "", Restart;
    /// Addresses of the admin port. Empty: the same as `bind`.
    admin_bind: Vec<IpAddr> = "", Restart;
    /// IP address that clients are told to come to, for a host without a member list; with one, write `announce` into
    /// the `[[host]]` entry, because all hosts must show the same map.
    announce_host: Option<IpAddr> = "", Restart;
    /// The secret that hosts of the cluster prove to each other, 16 characters at least. Better kept in
    /// `cluster_secret_file`.
    cluster_secret: Option<Secret> = "", Restart;
    /// File that holds the cluster secret, readable by its owner alone. `synod init --new-cluster` makes it.
    cluster_secret_file: Option<PathBuf> = "", Restart;
    /// Password that clients must give with AUTH. Empty: none.
    requirepass: Option<Secret> = "", Online;
    /// Without a password, take commands from this machine only.
    protected_mode: bool = "true", Online;
    /// Longest value in bytes; a longer one is refused.
    value_bytes_max: Bytes = "20 MB", Online, in limits::VALUE_BYTES;
    /// Longest key in bytes; a longer one is refused.
    key_bytes_max: Bytes = "64 KiB", Online, in limits::KEY_BYTES;
    /// Milliseconds after which a request that has no majority is answered with an error.
    request_deadline_ms: Millis = "1000", Online, in limits::DEADLINE_MS;
    /// Milliseconds that a core may stand still, because the disk or the machine hangs, before its connections are closed so that
    /// clients go on at another host.
    stall_ms: Millis = "300", Restart, in limits::STALL_MS;
    /// Client connections of this host; more are refused.
    clients_max: Count = "10000", Online, in limits::CLIENTS;
    /// Bytes of replies that wait for one client; a client that reads more slowly is closed.
    output_bytes_max: Bytes = "64 MB", Online, in limits::OUTPUT_BYTES;
    /// Size of a log segment in bytes. Some segments are made ahead of time, per core.
    segment_bytes: Bytes = "256 MiB", Restart, in limits::SEGMENT_BYTES;
    /// Bytes of values that each core keeps in memory.
    cache_bytes: Bytes = "64 MiB", Restart, in limits::CACHE_BYTES;
    /// Bytes of large objects that each core keeps decoded in memory.
    objects_bytes: Bytes = "128 MiB", Restart, in limits::OBJECTS_BYTES;
    /// Bytes of blocks of rows that each core keeps in memory, decompressed: what it has read of its tree, where the rows of large tables lie.
    tree_cache_bytes: Bytes = "64 MiB", Restart, in limits::TREE_CACHE_BYTES;
    /// Bytes of rows that each core gathers in memory before they are written to its tree, in order; three times as many may be in memory.
    /// Levels of the tree begin with 16 times as much. A start applies again what was gathered and not written.
    tree_memtable_bytes: Bytes = "64 MiB", Restart, in limits::TREE_MEMTABLE_BYTES;
    /// Bytes that keys, values, objects and rows in memory may take, of all cores together: half of it for directories of keys, a quarter
    /// for values, a tenth for objects, a tenth for blocks of rows and a twentieth for rows that are gathered, in the place of `keys_max`,
    /// `cache_bytes`, `objects_bytes`, `tree_cache_bytes` and `tree_memtable_bytes`. 0: these five say it, per core.
    memory_max: Bytes = "0", Restart, in limits::MEMORY;
    /// Size of a hash, list, set or sorted set in bytes from which on what changes in it is written and sent, not all of it.
    delta_object_bytes_min: Bytes = "1 KiB", Restart, in limits::DELTA_OBJECT_BYTES;
    /// Bytes per second that each core may read and write beside its commands: to reclaim the space of dead records, and to write and
    /// compact rows in their order.
    merge_bytes_per_second: Bytes = "64 MiB", Online, in limits::MERGE_BYTES;
    /// Bytes per second that each core takes over from other hosts when it was down or lost its log; a fiftieth to a half of it while commands are served, by what they leave.
    repair_bytes_per_second: Bytes = "128 MiB", Online, in limits::REPAIR_BYTES;
    /// Records per second that each core takes over from other hosts; a fiftieth to a half of it while commands are served, by what they leave.
    repair_records_per_second: Count = "250000", Online, in limits::REPAIR_RECORDS;
    /// Keys that each core may hold; each takes up to 32 bytes of memory. At the bound, writes of new keys are refused.
    keys_max: Count = "32000000", Restart, in limits::KEYS;
    /// Pin each core to a CPU of its own. Off where several hosts share a machine.
    pin_cores: bool = "true", Restart;
    /// Who may use the command DEBUG, which is for tests: `no`, `local` (clients of this machine) or `yes`.
    enable_debug_command: DebugCommand = "no", Restart;
    /// How logs are written to the standard error output: `human`, `json`, or `auto` (human on a terminal).
    log_format: LogFormat = "auto", Restart;
    /// Least severe events that are logged: `error`, `warn`, `info`, `debug` or `trace`.
    log_level: LogLevel = "info", Restart;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_and_names_are_unique() {
        let settings = Settings::from_texts(&BTreeMap::new()).expect("the defaults are valid");
        for spec in TABLE {
            (spec.normalise)(spec.default).unwrap_or_else(|e| panic!("{}: {e}", spec.name));
            assert!(settings.text(spec.name).is_some());
            assert_eq!(TABLE.iter().filter(|other| other.name == spec.name).count(), 1);
            assert!(spec.doc.trim_end().ends_with('.'), "{} has no sentence", spec.name);
        }
        assert_eq!(settings.value_bytes_max, Bytes(20_000_000));
        assert_eq!(settings.requirepass, None);
    }

    #[test]
    fn bounds_are_held_in_every_way_in() {
        let table = [
            ("plain_port", "0", "0 is out of bounds: give 1 to 65535"),
            ("plain_port", "70000", "expected a port number up to 65535, not \"70000\""),
            ("value_bytes_max", "21 MiB", "21 MiB is out of bounds: give 1 to 20 MiB"),
            ("request_deadline_ms", "1", "1 is out of bounds: give 10 to 60000"),
            ("cores", "0", "0 is out of bounds: give 1 to 256"),
            ("protected_mode", "maybe", "expected true or false, not \"maybe\""),
            ("log_level", "loud", "expected one of error, warn, info, debug, trace, not \"loud\""),
        ];
        let mut settings = Settings::from_texts(&BTreeMap::new()).expect("the defaults are valid");
        for (name, text, expected) in table {
            assert_eq!(settings.set(name, text), Err(expected.to_owned()));
            let texts = BTreeMap::from([(name, text.to_owned())]);
            assert_eq!(Settings::from_texts(&texts), Err(vec![(name, expected.to_owned())]));
        }
        assert!(settings.set("no_such", "1").is_err());
        assert_eq!(settings.set("clients_max", "7"), Ok(()));
        assert_eq!(settings.text("clients_max").as_deref(), Some("7"));
    }
}
