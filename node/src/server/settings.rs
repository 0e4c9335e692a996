//! Runtime settings, as CONFIG GET and CONFIG SET name them: Redis' names.
//!
//! Three kinds. *Acting*: sessions and slow log read them ([`Settings`] has a typed call for each).
//! *Remembered*: knobs of Redis' data structures that mean nothing here; tools set them and read them back,
//! so they are kept and do nothing. *Fixed*: facts about this server; another value is refused, because
//! accepting `appendonly no` would promise a change that does not happen. Settings of Synod's own, under
//! Synod's names, come from [`NodeSettings`].

use std::collections::BTreeMap;

use shard::command::glob;
use shard::reply::Reply;

use super::text;

/// Settings of the node under its own names (`request_deadline_ms`), shown and changed beside Redis'.
pub trait NodeSettings {
    /// Names and texts, ordered by name. Secrets are left out.
    fn all(&self) -> Vec<(String, String)>;
    /// Whether there is a setting of this name.
    fn has(&self, name: &str) -> bool;
    /// Changes one. None: no such setting. An error says what was expected, or that a restart is needed.
    fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>>;
    /// What its settings say under Redis' names, where one knob has both (`clients_max` is `maxclients`):
    /// read after each change and by [`Settings::reload`]. Texts as CONFIG SET takes them.
    fn aliases(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Its name and text for a knob under Redis' name, where one knob has both: CONFIG SET changes it there.
    fn own(&self, name: &str, value: &str) -> Option<(&'static str, String)> {
        let _ = (name, value);
        None
    }
}

/// No settings of its own.
impl NodeSettings for () {
    fn all(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn set(&mut self, _: &str, _: &str) -> Option<Result<(), String>> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// yes or no.
    Switch,
    /// A number between bounds.
    Number(i64, i64),
    /// Bytes, with Redis' units, between bounds.
    Memory(i64, i64),
    /// Any text.
    Text,
    /// Only what it is.
    Fixed,
}

struct Row {
    name: &'static str,
    default: &'static str,
    kind: Kind,
}

const fn row(name: &'static str, default: &'static str, kind: Kind) -> Row {
    Row { name, default, kind }
}

const ANY: Kind = Kind::Number(i64::MIN, i64::MAX);

/// In order of names.
const TABLE: &[Row] = &[
    row("activerehashing", "yes", Kind::Switch),
    row("active-expire-effort", "1", Kind::Number(1, 10)),
    row("appendfsync", "always", Kind::Fixed),
    row("appendonly", "yes", Kind::Fixed),
    row("bind", "", Kind::Fixed),
    row("busy-reply-threshold", "5000", ANY),
    row("client-output-buffer-limit", "normal 67108864 0 0", Kind::Fixed),
    row("client-query-buffer-limit", "67108864", Kind::Memory(1 << 20, i64::MAX)),
    row("close-on-oom", "no", Kind::Switch),
    row("cluster-enabled", "yes", Kind::Fixed),
    row("cluster-node-timeout", "15000", ANY),
    row("cluster-require-full-coverage", "no", Kind::Switch),
    row("databases", "1", Kind::Fixed),
    row("dir", "", Kind::Fixed),
    row("enable-debug-command", "no", Kind::Fixed),
    row("hash-max-listpack-entries", "512", ANY),
    row("hash-max-listpack-value", "64", ANY),
    row("hash-max-ziplist-entries", "512", ANY),
    row("hash-max-ziplist-value", "64", ANY),
    row("hll-sparse-max-bytes", "3000", ANY),
    row("hz", "10", ANY),
    row("io-threads", "1", Kind::Fixed),
    row("latency-monitor-threshold", "0", Kind::Number(0, i64::MAX)),
    row("latency-tracking", "yes", Kind::Switch),
    row("latency-tracking-info-percentiles", "50 99 99.9", Kind::Fixed),
    row("lazyfree-lazy-eviction", "no", Kind::Switch),
    row("lazyfree-lazy-expire", "no", Kind::Switch),
    row("lazyfree-lazy-server-del", "no", Kind::Switch),
    row("lazyfree-lazy-user-del", "no", Kind::Switch),
    row("lazyfree-lazy-user-flush", "no", Kind::Switch),
    row("list-compress-depth", "0", ANY),
    row("list-max-listpack-size", "-2", ANY),
    row("list-max-ziplist-size", "-2", ANY),
    row("lua-time-limit", "5000", ANY),
    row("maxclients", "10000", Kind::Number(1, 1_000_000)),
    row("maxmemory", "0", Kind::Fixed),
    row("maxmemory-policy", "noeviction", Kind::Fixed),
    row("maxmemory-samples", "5", ANY),
    row("notify-keyspace-events", "", Kind::Fixed),
    row("port", "6379", Kind::Fixed),
    row("protected-mode", "yes", Kind::Switch),
    row("proto-max-bulk-len", "20971520", Kind::Memory(1 << 20, BULK_MAX)),
    row("requirepass", "", Kind::Text),
    row("sanitize-dump-payload", "no", Kind::Text),
    row("save", "", Kind::Fixed),
    row("set-max-intset-entries", "512", ANY),
    row("set-max-listpack-entries", "128", ANY),
    row("set-max-listpack-value", "64", ANY),
    row("slowlog-log-slower-than", "10000", Kind::Number(-1, i64::MAX)),
    row("slowlog-max-len", "128", Kind::Number(0, super::limits::SLOWLOG_ENTRIES_MAX)),
    row("stream-node-max-bytes", "4096", Kind::Memory(0, i64::MAX)),
    row("stream-node-max-entries", "100", ANY),
    row("timeout", "0", Kind::Number(0, i32::MAX as i64)),
    row("zset-max-listpack-entries", "128", ANY),
    row("zset-max-listpack-value", "64", ANY),
    row("zset-max-ziplist-entries", "128", ANY),
    row("zset-max-ziplist-value", "64", ANY),
];

const BULK_MAX: i64 = crate::resp::limits::BULK_BYTES_MAX as i64;

/// The settings of one core; CONFIG SET goes to all cores of the host.
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    node: Box<dyn NodeSettings>,
    /// Typed copies of what is read per request.
    acting: Acting,
}

#[derive(Clone, Copy, Debug, Default)]
struct Acting {
    slower_than_us: i64,
    slowlog_entries_max: usize,
    latency_threshold_ms: u64,
    tracks_latency: bool,
    protected: bool,
    bulk_bytes_max: usize,
    request_bytes_max: usize,
}

impl Settings {
    /// The defaults, with `given` in place of some of them (facts included: `port`, `dir`,
    /// `enable-debug-command`). An unknown name is the caller's mistake.
    pub fn new(given: &[(&str, String)], node: Box<dyn NodeSettings>) -> Settings {
        let mut values: BTreeMap<&'static str, String> =
            TABLE.iter().map(|row| (row.name, row.default.to_owned())).collect();
        for (name, value) in given {
            let row = TABLE.iter().find(|row| row.name == *name);
            let row = row.unwrap_or_else(|| panic!("{name} is no runtime setting"));
            values.insert(row.name, value.clone());
        }
        let mut settings = Settings { values, node, acting: Acting::default() };
        settings.refresh();
        settings
    }

    /// The text of a setting of the table.
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        self.value(name).parse().expect("a number of the table was checked when it was set")
    }

    fn refresh(&mut self) {
        let size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        self.acting = Acting {
            slower_than_us: self.number("slowlog-log-slower-than"),
            slowlog_entries_max: size(self.number("slowlog-max-len")),
            latency_threshold_ms: self.number("latency-monitor-threshold").unsigned_abs(),
            tracks_latency: self.value("latency-tracking") == "yes",
            protected: self.value("protected-mode") == "yes",
            bulk_bytes_max: size(self.number("proto-max-bulk-len")),
            request_bytes_max: size(self.number("client-query-buffer-limit"))
                .min(crate::resp::limits::REQUEST_BYTES_MAX),
        };
    }

    /// Takes over what the node's own settings say, after they changed by another way than CONFIG SET on this
    /// core.
    pub fn reload(&mut self) {
        for (name, value) in self.node.aliases() {
            let row = TABLE.iter().find(|row| row.name == name);
            let row = row.unwrap_or_else(|| panic!("{name} is no runtime setting"));
            if let Ok(value) = self.check(row, &value) {
                self.values.insert(row.name, value);
            }
        }
        self.refresh();
    }

    /// The password that AUTH must give; None where none is set.
    pub fn password(&self) -> Option<&str> {
        Some(self.value("requirepass")).filter(|password| !password.is_empty())
    }

    /// Whether clients from elsewhere are refused while no password is set.
    pub fn is_protected(&self) -> bool {
        self.acting.protected
    }

    /// Longest bulk in bytes.
    pub fn bulk_bytes_max(&self) -> usize {
        self.acting.bulk_bytes_max
    }

    /// Most bytes of one request.
    pub fn request_bytes_max(&self) -> usize {
        self.acting.request_bytes_max
    }

    /// Microseconds from which on a command goes into the slow log; negative: none does.
    pub fn slower_than_us(&self) -> i64 {
        self.acting.slower_than_us
    }

    /// Entries that the slow log keeps.
    pub fn slowlog_entries_max(&self) -> usize {
        self.acting.slowlog_entries_max
    }

    /// Milliseconds from which on LATENCY keeps a sample; 0: it keeps none.
    pub fn latency_threshold_ms(&self) -> u64 {
        self.acting.latency_threshold_ms
    }

    /// Whether latencies per command are counted.
    pub fn tracks_latency(&self) -> bool {
        self.acting.tracks_latency
    }

    /// Clients of the host.
    pub fn clients_max(&self) -> usize {
        usize::try_from(self.number("maxclients")).unwrap_or(usize::MAX)
    }

    /// Bytes that keys, values and objects in memory may take.
    pub fn memory_max(&self) -> u64 {
        self.number("maxmemory").unsigned_abs()
    }

    /// Seconds after which an idle client is closed; 0: never.
    pub fn timeout_seconds(&self) -> u64 {
        self.number("timeout").unsigned_abs()
    }

    /// Whether DEBUG is allowed for a client from this machine, or from elsewhere.
    pub fn allows_debug(&self, from_loopback: bool) -> bool {
        match self.value("enable-debug-command") {
            "yes" => true,
            "local" => from_loopback,
            _ => false,
        }
    }

    /// CONFIG GET: names and values that match any of the patterns, by name.
    pub fn matching(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        all.extend(self.node.all());
        all.sort();
        all.dedup_by(|a, b| a.0 == b.0);
        let lower: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        all.retain(|(name, _)| lower.iter().any(|pattern| glob(pattern, name.as_bytes())));
        all
    }

    /// CONFIG SET: all or, if one is refused, none of Redis' settings. The error is the reply. Those that the node has under a
    /// name of its own are changed there, for all cores.
    pub fn set(&mut self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Reply> {
        let (mut ready, mut own) = (Vec::new(), Vec::new());
        for (index, (name, value)) in pairs.iter().enumerate() {
            let name = String::from_utf8_lossy(name).to_lowercase();
            if pairs.iter().take(index).any(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())) {
                return Err(failed(&name, "duplicate parameter"));
            }
            let Ok(value) = std::str::from_utf8(value) else {
                return Err(failed(&name, "argument must be text"));
            };
            match TABLE.iter().find(|row| row.name == name) {
                Some(row) => {
                    let value = self.check(row, value)?;
                    match self.node.own(row.name, &value) {
                        Some((there, text)) => own.push((name, there.to_owned(), text)),
                        None => ready.push((row.name, value)),
                    }
                }
                None if self.node.has(&name) => own.push((name.clone(), name, value.to_owned())),
                None => return Err(unknown(&name)),
            }
        }
        for (given, name, text) in &own {
            match self.node.set(name, text) {
                Some(Ok(())) => {}
                Some(Err(reason)) => return Err(failed(given, &reason)),
                None => return Err(unknown(given)),
            }
        }
        self.values.extend(ready);
        self.reload();
        Ok(())
    }

    /// The value in its usual form, or why it is refused.
    fn check(&self, row: &Row, value: &str) -> Result<String, Reply> {
        let refused = |reason: &str| Err(failed(row.name, reason));
        match row.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Fixed if value == self.value(row.name) => Ok(value.to_owned()),
            Kind::Fixed => refused("can't set immutable config"),
            Kind::Switch => match value.to_ascii_lowercase().as_str() {
                "yes" => Ok("yes".to_owned()),
                "no" => Ok("no".to_owned()),
                _ => refused("argument must be 'yes' or 'no'"),
            },
            Kind::Number(min, max) => match text::integer(value.as_bytes()) {
                None => refused("argument couldn't be parsed into an integer"),
                Some(number) if !(min..=max).contains(&number) => {
                    refused(&format!("argument must be between {min} and {max} inclusive"))
                }
                Some(number) => Ok(number.to_string()),
            },
            Kind::Memory(min, max) => match memory(value) {
                None => refused("argument must be a memory value"),
                Some(bytes) if !(min..=max).contains(&bytes) => {
                    refused(&format!("argument must be between {min} and {max} inclusive"))
                }
                Some(bytes) => Ok(bytes.to_string()),
            },
        }
    }
}

fn failed(name: &str, reason: &str) -> Reply {
    let name = text::printable(name.as_bytes(), 128);
    Reply::Error(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}").into())
}

fn unknown(name: &str) -> Reply {
    let name = text::printable(name.as_bytes(), 128);
    Reply::Error(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into())
}

/// A number of bytes, with the units of redis.conf: k and kb differ, and so on.
fn memory(value: &str) -> Option<i64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(digits)?;
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
        let outcome = settings.set(&[(name.as_bytes().to_vec(), value.as_bytes().to_vec())]);
        outcome.map_err(|reply| match reply {
            Reply::Error(text) => text.into_owned(),
            other => panic!("not an error: {other:?}"),
        })
    }

    #[test]
    fn the_table_is_in_order_and_its_defaults_are_accepted() {
        let mut settings = Settings::new(&[], Box::new(()));
        for row in TABLE {
            set(&mut settings, row.name, row.default).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        }
        let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn what_is_refused_and_how() {
        let mut settings = Settings::new(&[], Box::new(()));
        let table = [
            ("foo", "1", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
            ("appendonly", "no", "(possibly related to argument 'appendonly') - can't set immutable config"),
            ("maxmemory", "1gb", "(possibly related to argument 'maxmemory') - can't set immutable config"),
            ("protected-mode", "maybe", "- argument must be 'yes' or 'no'"),
            ("slowlog-max-len", "x", "- argument couldn't be parsed into an integer"),
            ("maxclients", "0", "- argument must be between 1 and 1000000 inclusive"),
            ("proto-max-bulk-len", "1xb", "- argument must be a memory value"),
            ("proto-max-bulk-len", "1gb", "- argument must be between 1048576 and 20971520 inclusive"),
        ];
        for (name, value, want) in table {
            let error = set(&mut settings, name, value).expect_err(name);
            assert!(error.ends_with(want), "{name} {value}: {error}");
        }
    }

    #[test]
    fn what_acts_is_read_back() {
        let mut settings = Settings::new(&[("port", "7777".to_owned())], Box::new(()));
        assert_eq!(settings.password(), None);
        assert_eq!(set(&mut settings, "REQUIREPASS", "secret"), Ok(()));
        assert_eq!(settings.password(), Some("secret"));
        assert_eq!(set(&mut settings, "proto-max-bulk-len", "2mb"), Ok(()));
        assert_eq!(settings.bulk_bytes_max(), 2 << 20);
        assert_eq!(settings.matching(&[b"proto*", b"PORT"]).len(), 2);
        assert_eq!(settings.matching(&[b"port"]), [("port".to_owned(), "7777".to_owned())]);
        assert_eq!(settings.matching(&[b"nothing"]), []);
    }

    /// A node with one setting that Redis has as well.
    struct Node(u32);

    impl NodeSettings for Node {
        fn all(&self) -> Vec<(String, String)> {
            vec![("clients_max".to_owned(), self.0.to_string())]
        }

        fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
            let number = value.parse().map_err(|_| "give a number".to_owned());
            (name == "clients_max").then(|| number.map(|number| self.0 = number))
        }

        fn has(&self, name: &str) -> bool {
            name == "clients_max"
        }

        fn own(&self, name: &str, value: &str) -> Option<(&'static str, String)> {
            (name == "maxclients").then(|| ("clients_max", value.to_owned()))
        }

        fn aliases(&self) -> Vec<(&'static str, String)> {
            vec![("maxclients", self.0.to_string())]
        }
    }

    #[test]
    fn a_knob_with_two_names_is_one_knob() {
        let mut settings = Settings::new(&[], Box::new(Node(5)));
        settings.reload();
        assert_eq!(settings.clients_max(), 5);
        assert_eq!(set(&mut settings, "clients_max", "9"), Ok(()));
        assert_eq!(settings.clients_max(), 9);
        assert_eq!(set(&mut settings, "maxclients", "11"), Ok(()));
        assert_eq!(settings.matching(&[b"clients_max"]), [("clients_max".to_owned(), "11".to_owned())]);
        // What comes from elsewhere later does not bring the old value back.
        settings.reload();
        assert_eq!(settings.clients_max(), 11);
        assert_eq!(set(&mut settings, "clients_max", "9"), Ok(()));
        let pairs = [("maxclients", "5"), ("nonsense", "1")];
        let pairs = pairs.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        assert!(settings.set(&pairs).is_err());
        assert_eq!(settings.clients_max(), 9, "one bad name keeps the others as they were");
        let error = set(&mut settings, "clients_max", "x").expect_err("no number");
        assert!(error.ends_with("(possibly related to argument 'clients_max') - give a number"), "{error}");
        assert_eq!(settings.matching(&[b"clients*"]), [("clients_max".to_owned(), "9".to_owned())]);
    }

    #[test]
    fn one_bad_name_keeps_the_others_as_they_were() {
        let mut settings = Settings::new(&[], Box::new(()));
        let pairs = [("maxclients", "5"), ("nonsense", "1")];
        let pairs = pairs.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        assert!(settings.set(&pairs).is_err());
        assert_eq!(settings.clients_max(), 10_000);
    }
}
