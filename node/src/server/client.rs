//! What is known of one client connection, and the CLIENT commands on it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use shard::reply::Reply;

use super::ask::{ClientFilter, CoreAsk};
use super::{text, Now, Outcome};
use crate::cluster::Port;
use crate::gather::Join;
use crate::resp::Protocol;
use crate::session::limits::NAME_BYTES_MAX;

/// Whether replies are given (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// To each command.
    #[default]
    On,
    /// To none.
    Off,
    /// To none until the next command has been read, then On.
    SkipNext,
}

/// The state of one client, as commands see and change it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Number of the connection, unique on this host.
    pub id: u64,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// The port it came in by.
    pub port: Port,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it gave the password, or none was set when it came.
    pub authenticated: bool,
    /// Its name, empty at first.
    pub name: String,
    /// Name of its library (CLIENT SETINFO).
    pub lib_name: String,
    /// Version of its library.
    pub lib_ver: String,
    /// Whether the next command follows an ASK redirect.
    pub asking: bool,
    /// Whether it wants pushes when slots move.
    pub wants_maintenance: bool,
    /// Whether replies are given.
    pub replies: Replies,
    /// CLIENT NO-EVICT, remembered for CLIENT LIST.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH, remembered for CLIENT LIST.
    pub no_touch: bool,
    /// It waits for a key to hold something.
    pub is_blocked: bool,
    /// Commands queued since MULTI; None without one.
    pub queued: Option<usize>,
    /// Keys that it watches.
    pub watched: usize,
    /// Bytes of what is queued and watched.
    pub transaction_bytes: usize,
    /// When it came.
    pub since: Now,
    /// When its last request was read.
    pub last: Now,
    /// Name of its last command, as COMMAND has it.
    pub last_command: &'static str,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes of replies made.
    pub bytes_out: u64,
    /// Commands read.
    pub commands: u64,
}

impl Client {
    /// A client that just came.
    pub fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        port: Port,
        authenticated: bool,
        now: Now,
    ) -> Client {
        Client {
            id,
            peer,
            local,
            port,
            protocol: Protocol::Resp2,
            authenticated,
            name: String::new(),
            lib_name: String::new(),
            lib_ver: String::new(),
            asking: false,
            wants_maintenance: false,
            replies: Replies::On,
            no_evict: false,
            no_touch: false,
            is_blocked: false,
            queued: None,
            watched: 0,
            transaction_bytes: 0,
            since: now,
            last: now,
            last_command: "NULL",
            bytes_in: 0,
            bytes_out: 0,
            commands: 0,
        }
    }

    /// RESET: as if it had just come; `authenticated` as for a client that comes now.
    pub fn reset(&mut self, authenticated: bool) {
        let fresh = Client::new(self.id, self.peer, self.local, self.port, authenticated, self.since);
        let (bytes_in, bytes_out, commands) = (self.bytes_in, self.bytes_out, self.commands);
        let (lib_name, lib_ver) = (std::mem::take(&mut self.lib_name), std::mem::take(&mut self.lib_ver));
        *self = Client { last: self.last, bytes_in, bytes_out, commands, lib_name, lib_ver, ..fresh };
    }

    /// Its line of CLIENT LIST and INFO, without a line break. `input` and `output`: bytes waiting.
    pub fn line(&self, now: Now, input: usize, output: usize) -> String {
        let mut flags = String::new();
        flags.extend(self.is_blocked.then_some('b'));
        flags.extend(self.queued.map(|_| 'x'));
        flags.extend(self.no_evict.then_some('e'));
        flags.extend(self.no_touch.then_some('T'));
        if flags.is_empty() {
            flags.push('N');
        }
        let mut line = String::with_capacity(256);
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 \
             multi={} watch={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={output} \
             oll=0 omem=0 tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={} \
             tot-net-in={} tot-net-out={} tot-cmds={}",
            self.id,
            self.peer,
            self.local,
            self.name,
            now.seconds_since(self.since),
            now.seconds_since(self.last),
            self.queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX)),
            self.watched,
            self.transaction_bytes,
            input + output,
            self.last_command,
            self.protocol.number(),
            self.lib_name,
            self.lib_ver,
            self.bytes_in,
            self.bytes_out,
            self.commands,
        );
        line
    }

    /// Whether CLIENT LIST or KILL with this filter means it. `asker`: number of the client that asks.
    pub fn matches(&self, filter: &ClientFilter, now: Now) -> bool {
        let ClientFilter { ids, kind, addr, laddr, user, skip, max_age } = filter;
        (ids.is_empty() || ids.contains(&self.id))
            && kind.is_none_or(|normal| normal)
            && addr.is_none_or(|addr| addr == self.peer)
            && laddr.is_none_or(|laddr| laddr == self.local)
            && user.is_none_or(|default| default)
            && skip.is_none_or(|skip| skip != self.id)
            && max_age.is_none_or(|seconds| now.seconds_since(self.since) >= seconds)
    }

    /// Notes the name that SETNAME or HELLO gives; the error is the reply.
    pub(super) fn set_name(&mut self, name: &[u8]) -> Result<(), Reply> {
        self.name = word(name).ok_or(Reply::error(text::BAD_CLIENT_NAME))?;
        Ok(())
    }
}

/// A name as a line of CLIENT LIST can show it.
fn word(bytes: &[u8]) -> Option<String> {
    let good = bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if good {
        String::from_utf8(bytes.to_vec()).ok()
    } else {
        None
    }
}

/// CLIENT with the subcommand `sub` in lower case; `args` are the words behind CLIENT.
pub(super) fn command(
    client: &mut Client,
    sub: &str,
    args: &[&[u8]],
    pending: (usize, usize),
    now: Now,
) -> Outcome {
    let rest = args.get(1..).unwrap_or_default();
    let first = rest.first().copied().unwrap_or_default();
    let reply = match sub {
        "id" => Ok(Reply::Int(i64::try_from(client.id).unwrap_or(i64::MAX))),
        "getname" if client.name.is_empty() => Ok(Reply::Nil),
        "getname" => Ok(Reply::bulk(&client.name)),
        "setname" => client.set_name(first).map(|()| Reply::OK),
        "setinfo" => set_info(client, rest),
        "info" => Ok(Reply::Verbatim(client.line(now, pending.0, pending.1) + "\n")),
        "no-evict" => set_switch(&mut client.no_evict, first),
        "no-touch" => set_switch(&mut client.no_touch, first),
        "reply" => return replies(client, first),
        "list" => match list_filter(rest) {
            Ok(filter) => return Outcome::AskAll(CoreAsk::ClientList(filter), Join::Text),
            Err(error) => Err(error),
        },
        "kill" => match kill_filter(client.id, rest) {
            Ok((filter, join)) => return Outcome::AskAll(CoreAsk::ClientKill(filter), join),
            Err(error) => Err(error),
        },
        "pause" => match pause(rest, now) {
            Ok(ask) => return Outcome::AskAll(ask, Join::AllOk),
            Err(error) => Err(error),
        },
        "unpause" => return Outcome::AskAll(CoreAsk::Unpause, Join::AllOk),
        "unblock" => match unblock(rest) {
            Ok(ask) => return Outcome::AskAll(ask, Join::Sum),
            Err(error) => Err(error),
        },
        "tracking" => tracking(first),
        "trackinginfo" => Ok(tracking_info()),
        "getredir" => Ok(Reply::Int(-1)),
        "caching" => Err(Reply::error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
             OPTOUT mode enabled",
        )),
        "maint_notifications" => maintenance(client, rest),
        "help" => Ok(text::help("CLIENT", HELP)),
        other => Err(text::unknown_subcommand("client", other.as_bytes())),
    };
    Outcome::Reply(reply.unwrap_or_else(|error| error))
}

fn set_switch(place: &mut bool, word: &[u8]) -> Result<Reply, Reply> {
    *place = switch(word)?;
    Ok(Reply::OK)
}

fn switch(word: &[u8]) -> Result<bool, Reply> {
    match word {
        on if text::is(on, "ON") => Ok(true),
        off if text::is(off, "OFF") => Ok(false),
        _ => Err(Reply::error(text::SYNTAX)),
    }
}

fn replies(client: &mut Client, mode: &[u8]) -> Outcome {
    if text::is(mode, "ON") {
        client.replies = Replies::On;
        return Outcome::Reply(Reply::OK);
    }
    if text::is(mode, "OFF") {
        client.replies = Replies::Off;
    } else if !text::is(mode, "SKIP") {
        return Outcome::Reply(Reply::error(text::SYNTAX));
    } else if client.replies == Replies::On {
        client.replies = Replies::SkipNext;
    }
    Outcome::Silent
}

fn set_info(client: &mut Client, rest: &[&[u8]]) -> Result<Reply, Reply> {
    let (attribute, value) =
        (rest.first().copied().unwrap_or_default(), rest.get(1).copied().unwrap_or_default());
    let (place, name) = match attribute {
        name if text::is(name, "LIB-NAME") => (&mut client.lib_name, "lib-name"),
        name if text::is(name, "LIB-VER") => (&mut client.lib_ver, "lib-ver"),
        other => {
            let other = text::printable(other, 128);
            return Err(Reply::Error(format!("ERR Unrecognized option '{other}'").into()));
        }
    };
    *place = word(value).ok_or_else(|| {
        Reply::Error(format!("ERR {name} cannot contain spaces, newlines or special characters.").into())
    })?;
    Ok(Reply::OK)
}

fn list_filter(rest: &[&[u8]]) -> Result<ClientFilter, Reply> {
    let mut filter = ClientFilter::default();
    match rest {
        [] => {}
        [what, kind] if text::is(what, "TYPE") => filter.kind = Some(client_kind(kind)?),
        [what, ids @ ..] if text::is(what, "ID") && !ids.is_empty() => {
            for id in ids {
                filter.ids.push(client_id(id).ok_or(Reply::error("ERR Invalid client ID"))?);
            }
        }
        _ => return Err(Reply::error(text::SYNTAX)),
    }
    Ok(filter)
}

/// Whether it is the type that all our clients have.
fn client_kind(kind: &[u8]) -> Result<bool, Reply> {
    match kind {
        kind if text::is(kind, "NORMAL") => Ok(true),
        kind if ["MASTER", "SLAVE", "REPLICA", "PUBSUB"].iter().any(|other| text::is(kind, other)) => {
            Ok(false)
        }
        other => {
            let other = text::printable(other, 128);
            Err(Reply::Error(format!("ERR Unknown client type '{other}'").into()))
        }
    }
}

fn client_id(id: &[u8]) -> Option<u64> {
    text::integer(id).filter(|id| *id > 0).and_then(|id| u64::try_from(id).ok())
}

/// CLIENT KILL addr:port, or with filters; the former answers OK or an error, the latter how many.
fn kill_filter(own: u64, rest: &[&[u8]]) -> Result<(ClientFilter, Join), Reply> {
    let syntax = || Reply::error(text::SYNTAX);
    let addr = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<SocketAddr>().ok());
    if let [only] = rest {
        let no_such = || Reply::error("ERR No such client");
        let addr = Some(addr(only).ok_or_else(no_such)?);
        return Ok((ClientFilter { addr, ..ClientFilter::default() }, Join::Killed));
    }
    let mut filter = ClientFilter { skip: Some(own), ..ClientFilter::default() };
    // An address that nobody has: the filter then means nobody.
    let nobody = || SocketAddr::from(([0, 0, 0, 0], 0));
    for pair in rest.chunks(2) {
        let [what, value] = pair else { return Err(syntax()) };
        match what {
            what if text::is(what, "ID") => {
                let id = client_id(value).ok_or(Reply::error("ERR client-id should be greater than 0"))?;
                filter.ids.push(id);
            }
            what if text::is(what, "TYPE") => filter.kind = Some(client_kind(value)?),
            what if text::is(what, "ADDR") => filter.addr = Some(addr(value).unwrap_or_else(nobody)),
            what if text::is(what, "LADDR") => filter.laddr = Some(addr(value).unwrap_or_else(nobody)),
            what if text::is(what, "USER") => {
                if *value != b"default" {
                    let user = text::printable(value, 128);
                    return Err(Reply::Error(format!("ERR No such user '{user}'").into()));
                }
                filter.user = Some(true);
            }
            what if text::is(what, "SKIPME") => match value {
                yes if text::is(yes, "YES") => filter.skip = Some(own),
                no if text::is(no, "NO") => filter.skip = None,
                _ => return Err(syntax()),
            },
            what if text::is(what, "MAXAGE") => {
                let age = text::integer(value).filter(|age| *age > 0).and_then(|age| u64::try_from(age).ok());
                filter.max_age = Some(age.ok_or(Reply::error("ERR maxage should be greater than 0"))?);
            }
            _ => return Err(syntax()),
        }
    }
    Ok((filter, Join::Sum))
}

fn pause(rest: &[&[u8]], now: Now) -> Result<CoreAsk, Reply> {
    let ms = rest.first().copied().and_then(text::integer);
    let ms = ms.ok_or(Reply::error("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Reply::error("ERR timeout is negative"))?;
    let writes_only = match rest.get(1..).unwrap_or_default() {
        [] => false,
        [mode] if text::is(mode, "ALL") => false,
        [mode] if text::is(mode, "WRITE") => true,
        _ => return Err(Reply::error("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    Ok(CoreAsk::Pause { until_us: now.mono_us.saturating_add(ms.saturating_mul(1000)), writes_only })
}

fn unblock(rest: &[&[u8]]) -> Result<CoreAsk, Reply> {
    let id = rest.first().copied().and_then(text::integer);
    let error = match rest.get(1..).unwrap_or_default() {
        [] => false,
        [how] if text::is(how, "TIMEOUT") => false,
        [how] if text::is(how, "ERROR") => true,
        [_] => return Err(Reply::error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(Reply::error(text::SYNTAX)),
    };
    let id = id.ok_or(Reply::error(text::NOT_AN_INTEGER))?;
    Ok(CoreAsk::Unblock { id: u64::try_from(id).unwrap_or(0), error })
}

fn tracking(mode: &[u8]) -> Result<Reply, Reply> {
    if switch(mode)? {
        return Err(Reply::error(
            "ERR CLIENT TRACKING is not supported: use the client's cache without invalidation",
        ));
    }
    Ok(Reply::OK)
}

fn tracking_info() -> Reply {
    Reply::Map(vec![
        (Reply::bulk("flags"), Reply::Set(vec![Reply::bulk("off")])),
        (Reply::bulk("redirect"), Reply::Int(-1)),
        (Reply::bulk("prefixes"), Reply::Array(vec![])),
    ])
}

/// CLIENT MAINT_NOTIFICATIONS ON [moving-endpoint-type TYPE] | OFF. Pushes need RESP3.
fn maintenance(client: &mut Client, rest: &[&[u8]]) -> Result<Reply, Reply> {
    let on = switch(rest.first().copied().unwrap_or_default())?;
    match rest.get(1..).unwrap_or_default() {
        [] => {}
        [what, _] if on && text::is(what, "MOVING-ENDPOINT-TYPE") => {}
        _ => return Err(Reply::error(text::SYNTAX)),
    }
    if on && client.protocol != Protocol::Resp3 {
        return Err(Reply::error("ERR CLIENT MAINT_NOTIFICATIONS ON needs RESP3: send HELLO 3 first"));
    }
    client.wants_maintenance = on;
    Ok(Reply::OK)
}

const HELP: &[&str] = &[
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are: ADDR, LADDR, TYPE, USER, SKIPME, ID, MAXAGE.",
    "LIST [options ...]",
    "    Return information about client connections. Options: TYPE NORMAL, ID <id> [...].",
    "MAINT_NOTIFICATIONS (ON [MOVING-ENDPOINT-TYPE <type>]|OFF)",
    "    Push a notification when slots move to another node. Needs RESP3.",
    "NO-EVICT (ON|OFF)",
    "    Accepted; clients are not evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted; accesses are not tracked.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are: LIB-NAME, LIB-VER.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "UNPAUSE",
    "    Stop the current client pause.",
];
