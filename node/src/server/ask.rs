//! Questions that one core asks the cores of its host, itself included: what each of them knows a part of.

use std::net::SocketAddr;

use shard::reply::Reply;

use super::client::Client;
use super::{slowlog_count, text, Now, Pause, Server};

/// Which clients CLIENT LIST and CLIENT KILL mean. All that is given must hold; nothing given means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Any of these numbers.
    pub ids: Vec<u64>,
    /// Whether normal clients are meant: all of ours are.
    pub kind: Option<bool>,
    /// Where it comes from.
    pub addr: Option<SocketAddr>,
    /// Where it arrived.
    pub laddr: Option<SocketAddr>,
    /// Whether the user named is the default one, as all are.
    pub user: Option<bool>,
    /// Not this number.
    pub skip: Option<u64>,
    /// Connected for so many seconds or more.
    pub max_age: Option<u64>,
}

/// What a core is asked. Small, owned, sendable between cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreAsk {
    /// Lines of CLIENT LIST.
    ClientList(ClientFilter),
    /// To close clients; how many.
    ClientKill(ClientFilter),
    /// To end the wait of a client; how many.
    Unblock {
        /// Its number.
        id: u64,
        /// With an error rather than as if its time were over.
        error: bool,
    },
    /// To hold commands back until a monotonic time in microseconds.
    Pause {
        /// Until when.
        until_us: u64,
        /// Only those that may write.
        writes_only: bool,
    },
    /// To end that.
    Unpause,
    /// To change settings that the asking core has found valid.
    ConfigSet(Vec<(Vec<u8>, Vec<u8>)>),
    /// To set the counters of INFO to zero.
    ResetStat,
    /// The newest slow commands; negative: all.
    SlowlogGet(i64),
    /// How many slow commands are kept.
    SlowlogLen,
    /// To forget them.
    SlowlogReset,
    /// To forget samples of these events, or of all; how many events.
    LatencyReset(Vec<Vec<u8>>),
}

impl CoreAsk {
    /// Whether all cores of the host are meant, also by a client of a core port: what has one value per host,
    /// and connections by number or address, which are unique on the host.
    pub fn concerns_host(&self) -> bool {
        matches!(self, CoreAsk::ConfigSet(_) | CoreAsk::ClientKill(_) | CoreAsk::Unblock { .. })
    }
}

/// One connection, as a core shows it to what goes over all of them.
pub trait Connection {
    /// Its state.
    fn client(&self) -> &Client;
    /// Bytes that wait: of requests, of replies.
    fn waiting_bytes(&self) -> (usize, usize);
    /// To be closed when its replies are sent.
    fn kill(&mut self);
    /// Has a command that waits end with this reply; false if there is none.
    fn unblock(&mut self, why: &Reply) -> bool;
}

/// All connections of a core.
pub trait Connections {
    /// Calls `visit` once per connection.
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn Connection));
}

/// Answers `ask` for one core, whose connections these are.
pub fn answer(ask: &CoreAsk, server: &mut Server, connections: &mut dyn Connections, now: Now) -> Reply {
    match ask {
        CoreAsk::ClientList(filter) => {
            let mut lines = String::new();
            connections.each(&mut |connection| {
                if connection.client().matches(filter, now) {
                    let (input, output) = connection.waiting_bytes();
                    lines.push_str(&connection.client().line(now, input, output));
                    lines.push('\n');
                }
            });
            Reply::Verbatim(lines)
        }
        CoreAsk::ClientKill(filter) => {
            let mut killed = 0;
            connections.each(&mut |connection| {
                if connection.client().matches(filter, now) {
                    connection.kill();
                    killed += 1;
                }
            });
            Reply::Int(killed)
        }
        CoreAsk::Unblock { id, error } => {
            let why = if *error { Reply::error(text::UNBLOCKED) } else { Reply::NilArray };
            let mut unblocked = 0;
            connections.each(&mut |connection| {
                unblocked += i64::from(connection.client().id == *id && connection.unblock(&why));
            });
            Reply::Int(unblocked)
        }
        CoreAsk::Pause { until_us, writes_only } => {
            server.pause = Some(Pause { until_us: *until_us, writes_only: *writes_only });
            Reply::OK
        }
        CoreAsk::Unpause => {
            // Over at once, and noticed by `end_pause` like one that ends by itself.
            if let Some(pause) = &mut server.pause {
                pause.until_us = 0;
            }
            Reply::OK
        }
        CoreAsk::ConfigSet(pairs) => server.settings.set(pairs).map_or_else(|error| error, |()| Reply::OK),
        CoreAsk::ResetStat => {
            server.stats.reset();
            Reply::OK
        }
        CoreAsk::SlowlogGet(count) => server.slowlog.newest(slowlog_count(*count)),
        CoreAsk::SlowlogLen => Reply::Int(i64::try_from(server.slowlog.len()).unwrap_or(i64::MAX)),
        CoreAsk::SlowlogReset => {
            server.slowlog.reset();
            Reply::OK
        }
        CoreAsk::LatencyReset(events) => {
            let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
            Reply::Int(i64::try_from(server.latency.reset(&events)).unwrap_or(i64::MAX))
        }
    }
}
