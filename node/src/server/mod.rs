//! What a host answers by itself, without a key: connection, cluster map, configuration, introspection.
//!
//! **What it holds.** [`Server`]: the state of one core that such commands read and change (settings,
//! counters, slow log, cluster map). [`execute`]: one command of level
//! [`shard::command::table::Level::Host`], to an [`Outcome`]. What other cores know a part of is asked of
//! them ([`CoreAsk`], answered by [`answer`]). [`catalog`]: all commands there are.
//!
//! **What it leaves out.** Sockets and sessions (it sees a [`Client`] at a time), the commands on keys, and
//! where the numbers of INFO come from: [`InfoSource`] is plain data that the core's glue fills.
//!
//! **Invariants.** Each core has its own [`Server`]; nothing is shared. Texts are those of Redis 7 where
//! Redis has the command, because clients compare them; what cannot be done is refused with a sentence, never
//! accepted silently.

mod acl;
mod ask;
pub mod catalog;
mod client;
mod command;
mod debug;
mod hello;
mod info;
pub mod latency;
pub mod limits;
mod settings;
pub mod slowlog;
pub mod stats;
pub(crate) mod text;
mod tips;

use std::sync::Arc;

use reactor::rng::Rng;
use shard::command::table::Row;
use shard::reply::Reply;

pub use ask::{answer, ClientFilter, Connection, Connections, CoreAsk};
pub use client::{Client, Replies};
pub use info::{render as info, InfoSource};
pub use settings::{NodeSettings, Settings};

use crate::cluster::ClusterMap;
use crate::gather::Join;
use latency::LatencyLog;
use slowlog::Slowlog;
use stats::Stats;

/// The version of Redis whose commands and texts these are. Clients refuse versions below 7.4 here and there.
pub const REDIS_VERSION: &str = "7.4.0";

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, in microseconds, from any start.
    pub mono_us: u64,
    /// Since 1970, in microseconds.
    pub wall_us: u64,
}

impl Now {
    /// Whole seconds since an earlier moment.
    pub fn seconds_since(self, earlier: Now) -> u64 {
        self.mono_us.saturating_sub(earlier.mono_us) / 1_000_000
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> u64 {
        self.wall_us / 1_000_000
    }
}

/// Who this core is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 40 hexadecimal characters, new at each start.
    pub run_id: String,
    /// Number of this core.
    pub core: u16,
    /// Cores of this host.
    pub cores: u16,
    /// Version of Synod.
    pub version: &'static str,
    /// Path of the configuration file, empty without one.
    pub config_file: String,
}

/// A running CLIENT PAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Monotonic microseconds.
    pub until_us: u64,
    /// Whether reads go on.
    pub writes_only: bool,
}

/// The state of one core that the host's commands read and change.
pub struct Server {
    /// Who this core is.
    pub identity: Identity,
    /// Runtime settings.
    pub settings: Settings,
    /// Bounds of keys and values.
    pub command_limits: shard::command::Limits,
    /// Counts per command and error.
    pub stats: Stats,
    /// Slow commands.
    pub slowlog: Slowlog,
    /// Slow samples.
    pub latency: LatencyLog,
    /// The cluster as clients see it; replaced when who is reachable changes.
    pub map: Arc<ClusterMap>,
    /// The tables, as this core knows them; replaced when it learns of newer ones.
    pub tables: Arc<sql::Catalog>,
    /// Statements that its clients have sent before.
    pub(crate) statements: sql::Statements,
    /// Held by each statement of this core's clients that reads all partitions of a table: so they are counted.
    pub scans: Arc<()>,
    /// CLIENT PAUSE, if there is one.
    pub pause: Option<Pause>,
    /// What sessions draw for statements.
    pub(crate) rng: Rng,
}

impl Server {
    /// The state of a core that has just started. `seed` differs at each start.
    pub fn new(identity: Identity, settings: Settings, map: Arc<ClusterMap>, seed: u64) -> Server {
        let slowlog = Slowlog::new(identity.core, identity.cores);
        Server {
            identity,
            settings,
            command_limits: shard::command::Limits::default(),
            stats: Stats::default(),
            slowlog,
            latency: LatencyLog::default(),
            map,
            tables: Arc::default(),
            statements: sql::Statements::new(shard::limits::STATEMENTS_BYTES_MAX),
            scans: Arc::default(),
            pause: None,
            rng: Rng::new(seed),
        }
    }

    /// When a CLIENT PAUSE ends, in monotonic microseconds: the glue wakes by then to call
    /// [`Server::end_pause`].
    pub fn pause_ends_us(&self) -> Option<u64> {
        self.pause.map(|pause| pause.until_us)
    }

    /// Ends a CLIENT PAUSE whose time is over. Returns whether one ended, so that held sessions go on.
    pub fn end_pause(&mut self, now: Now) -> bool {
        let over = self.pause.is_some_and(|pause| pause.until_us <= now.mono_us);
        if over {
            self.pause = None;
        }
        over
    }

    /// Whether a command of this row has to wait now. `writes`: it writes, whatever its row says.
    pub(crate) fn holds(&self, row: &Row, writes: bool, now: Now) -> bool {
        let Some(pause) = self.pause else { return false };
        pause.until_us > now.mono_us
            && (!pause.writes_only || writes || row.is_write())
            // So that a pause can be ended, and looked at, by those it holds.
            && !matches!(row.name, "client|unpause" | "client|list" | "hello" | "auth")
    }
}

/// How the process is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// SHUTDOWN NOW: without waiting for clients to be answered.
    pub now: bool,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Answered.
    Reply(Reply),
    /// Answered, and the connection ends.
    Close(Reply),
    /// Not answered (CLIENT REPLY OFF).
    Silent,
    /// To be asked of the cores that the client's port speaks for.
    AskAll(CoreAsk, Join),
    /// INFO with these sections: the numbers are to be gathered.
    Info(Vec<String>),
    /// Answered OK after so many microseconds, and nothing more read until then.
    Sleep(u64),
    /// The core stands still for so many microseconds, then answers OK.
    Stall(u64),
    /// The process ends. It answers only if it cannot.
    Shutdown(Shutdown),
}

/// Executes a command that the host answers. `args` has the name (and subcommand) first; arity has been
/// checked. `pending`: bytes of requests and of replies that wait at the connection.
pub fn execute(
    row: &'static Row,
    args: &[&[u8]],
    client: &mut Client,
    server: &mut Server,
    pending: (usize, usize),
    now: Now,
) -> Outcome {
    let rest = args.get(1..).unwrap_or_default();
    let (container, sub) = row.name.split_once('|').unwrap_or((row.name, ""));
    match container {
        "ping" => ping(rest),
        "echo" => Outcome::Reply(Reply::bulk(rest.first().copied().unwrap_or_default())),
        "quit" => Outcome::Close(Reply::OK),
        "reset" => {
            client.reset(server.settings.password().is_none());
            Outcome::Reply(Reply::Simple("RESET".into()))
        }
        "auth" => hello::auth(client, server, rest),
        "hello" => hello::hello(client, server, rest),
        "select" => Outcome::Reply(select(rest)),
        "time" => Outcome::Reply(time(now)),
        "client" => client::command(client, sub, rest, pending, now),
        "command" => Outcome::Reply(command::command(sub, rest)),
        "info" => {
            Outcome::Info(rest.iter().map(|section| text::printable(section, 64).to_lowercase()).collect())
        }
        "config" => config(server, sub, rest),
        "readonly" | "readwrite" => Outcome::Reply(Reply::OK),
        "asking" => {
            client.asking = true;
            Outcome::Reply(Reply::OK)
        }
        "wait" => Outcome::Reply(wait(server, rest)),
        "waitaof" => Outcome::Reply(wait_aof(server, rest)),
        "module" => Outcome::Reply(module(sub)),
        "acl" => Outcome::Reply(acl::command(server, sub, rest)),
        "function" => Outcome::Reply(function(sub, rest)),
        "debug" => debug::command(client, server, rest),
        "lastsave" => Outcome::Reply(Reply::Int(i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX))),
        "shutdown" => shutdown(rest),
        "slowlog" => slowlog_command(sub, rest),
        "latency" => latency_command(server, sub, rest),
        "cluster" => Outcome::Reply(crate::cluster::cluster_command(&server.map, client.port, sub, rest)),
        "object" => Outcome::Reply(text::help("OBJECT", OBJECT_HELP)),
        "memory" => Outcome::Reply(text::help("MEMORY", MEMORY_HELP)),
        _ => Outcome::Reply(Reply::Error(
            format!("ERR '{}' is in the table of commands but not answered", row.name).into(),
        )),
    }
}

fn ping(rest: &[&[u8]]) -> Outcome {
    Outcome::Reply(match rest {
        [] => Reply::Simple("PONG".into()),
        [text] => Reply::bulk(text),
        _ => text::arity("ping"),
    })
}

fn select(rest: &[&[u8]]) -> Reply {
    match rest.first().copied().and_then(text::integer) {
        Some(0) => Reply::OK,
        Some(_) => Reply::error("ERR SELECT is not allowed in cluster mode"),
        None => Reply::error(text::NOT_AN_INTEGER),
    }
}

fn time(now: Now) -> Reply {
    let bulk = |number: u64| Reply::bulk(number.to_string());
    Reply::Array(vec![bulk(now.unix_seconds()), bulk(now.wall_us % 1_000_000)])
}

/// The first words behind a container, as integers.
fn integers<const N: usize>(rest: &[&[u8]]) -> Result<[i64; N], Reply> {
    let mut numbers = [0; N];
    for (place, number) in numbers.iter_mut().enumerate() {
        let word = rest.get(place).copied().unwrap_or_default();
        *number = text::integer(word).ok_or(Reply::error(text::NOT_AN_INTEGER))?;
    }
    Ok(numbers)
}

/// Hosts besides this one that have every write of this connection synced, at least: a write is answered only
/// when a majority has it, and this answer leaves behind the answers before it.
fn others(server: &Server) -> i64 {
    i64::try_from(server.map.layout().majority() - 1).unwrap_or(i64::MAX)
}

fn wait(server: &Server, rest: &[&[u8]]) -> Reply {
    match integers(rest) {
        Ok([_, timeout]) if timeout < 0 => Reply::error("ERR timeout is negative"),
        Ok([_, _]) => Reply::Int(others(server)),
        Err(error) => error,
    }
}

fn wait_aof(server: &Server, rest: &[&[u8]]) -> Reply {
    match integers(rest) {
        Ok([local, _, _]) if !(0..=1).contains(&local) => {
            Reply::error("ERR value is out of range, must be between 0 and 1")
        }
        Ok([_, replicas, _]) if replicas < 0 => Reply::error("ERR value is out of range, must be positive"),
        Ok([_, _, timeout]) if timeout < 0 => Reply::error("ERR timeout is negative"),
        Ok([_, _, _]) => Reply::Array(vec![Reply::Int(1), Reply::Int(others(server))]),
        Err(error) => error,
    }
}

fn module(sub: &str) -> Reply {
    match sub {
        "list" => Reply::Array(vec![]),
        _ => text::help("MODULE", &["LIST", "    Return a list of loaded modules: none."]),
    }
}

fn function(sub: &str, rest: &[&[u8]]) -> Reply {
    match (sub, rest.get(1..).unwrap_or_default()) {
        ("flush", []) => Reply::OK,
        ("flush", [how]) if text::is(how, "SYNC") || text::is(how, "ASYNC") => Reply::OK,
        ("flush", _) => Reply::error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ("list", _) => Reply::Array(vec![]),
        ("stats", _) => Reply::Map(vec![
            (Reply::bulk("running_script"), Reply::Nil),
            (Reply::bulk("engines"), Reply::Map(vec![])),
        ]),
        _ => text::help("FUNCTION", &["FLUSH [ASYNC|SYNC]", "    Delete all the libraries: there are none."]),
    }
}

fn config(server: &mut Server, sub: &str, rest: &[&[u8]]) -> Outcome {
    let rest = rest.get(1..).unwrap_or_default();
    Outcome::Reply(match sub {
        "get" => {
            let pair = |(name, value): (String, String)| (Reply::bulk(name), Reply::bulk(value));
            Reply::Map(server.settings.matching(rest).into_iter().map(pair).collect())
        }
        "set" if rest.len() % 2 != 0 => text::arity("config|set"),
        "set" => {
            let pairs = rest.chunks_exact(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect();
            return Outcome::AskAll(CoreAsk::ConfigSet(pairs), Join::AllOk);
        }
        "resetstat" => return Outcome::AskAll(CoreAsk::ResetStat, Join::AllOk),
        "rewrite" if server.identity.config_file.is_empty() => {
            Reply::error("ERR The server is running without a config file")
        }
        "rewrite" => Reply::Error(
            format!(
                "ERR CONFIG REWRITE is not supported: CONFIG SET lasts until the restart; \
                 write the setting into {}",
                server.identity.config_file
            )
            .into(),
        ),
        _ => text::help("CONFIG", CONFIG_HELP),
    })
}

fn shutdown(rest: &[&[u8]]) -> Outcome {
    let mut how = Shutdown::default();
    for word in rest {
        match word {
            word if text::is(word, "NOW") => how.now = true,
            // Everything that was answered is synced: there is nothing to save, and nothing to leave out.
            word if ["SAVE", "NOSAVE", "FORCE"].iter().any(|known| text::is(word, known)) => {}
            word if text::is(word, "ABORT") => {
                return Outcome::Reply(Reply::error("ERR No shutdown in progress."));
            }
            _ => return Outcome::Reply(Reply::error(text::SYNTAX)),
        }
    }
    Outcome::Shutdown(how)
}

/// Entries that SLOWLOG GET gives for an argument: all for a negative one.
fn slowlog_count(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn slowlog_command(sub: &str, rest: &[&[u8]]) -> Outcome {
    match (sub, rest) {
        ("get", [_]) => Outcome::AskAll(CoreAsk::SlowlogGet(10), Join::Slowlog(10)),
        ("get", [_, count]) => match text::integer(count).filter(|count| *count >= -1) {
            Some(count) => Outcome::AskAll(CoreAsk::SlowlogGet(count), Join::Slowlog(slowlog_count(count))),
            None => Outcome::Reply(Reply::error("ERR count should be greater than or equal to -1")),
        },
        ("get", _) => Outcome::Reply(text::arity("slowlog|get")),
        ("len", _) => Outcome::AskAll(CoreAsk::SlowlogLen, Join::Sum),
        ("reset", _) => Outcome::AskAll(CoreAsk::SlowlogReset, Join::AllOk),
        _ => Outcome::Reply(text::help("SLOWLOG", SLOWLOG_HELP)),
    }
}

fn latency_command(server: &Server, sub: &str, rest: &[&[u8]]) -> Outcome {
    let events = rest.get(1..).unwrap_or_default();
    Outcome::Reply(match sub {
        "latest" => server.latency.latest(),
        "history" => server.latency.history(events.first().copied().unwrap_or_default()),
        "doctor" => Reply::Verbatim(server.latency.doctor(server.settings.latency_threshold_ms())),
        "histogram" => latency::histogram(&server.stats, events),
        "reset" => {
            let events = events.iter().map(|event| event.to_vec()).collect();
            return Outcome::AskAll(CoreAsk::LatencyReset(events), Join::Sum);
        }
        _ => text::help("LATENCY", LATENCY_HELP),
    })
}

const CONFIG_HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Not supported: write settings into the configuration file.",
];

const SLOWLOG_HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];

const LATENCY_HELP: &[&str] = &[
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of commands latencies in histogram format.",
    "    (default: all commands)",
];

const MEMORY_HELP: &[&str] = &[
    "USAGE <key> [SAMPLES <count>]",
    "    Return the bytes of the value of <key>, as each replica stores it.",
];

const OBJECT_HELP: &[&str] = &[
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>: not tracked.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>: not tracked, always 0.",
    "REFCOUNT <key>",
    "    Return the number of references of the value: always 1.",
    "VERSION <key>",
    "    Return the version of the <key>, 0 if there is none: another one after each change.",
];
