//! DEBUG, for tests: refused unless the setting `enable-debug-command` allows it.

use shard::reply::Reply;

use super::client::Client;
use super::limits::SLEEP_SECONDS_MAX;
use super::{text, Outcome, Server};

const NOT_ALLOWED: &str =
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
     it from a local connection, otherwise you need to set this option in the configuration file, and \
     then restart the server.";

/// DEBUG; `args` are the words behind it.
pub(super) fn command(client: &Client, server: &Server, args: &[&[u8]]) -> Outcome {
    if !server.settings.allows_debug(client.peer.ip().is_loopback()) {
        return Outcome::Reply(Reply::error(NOT_ALLOWED));
    }
    Outcome::Reply(match args {
        [sub, seconds] if text::is(sub, "SLEEP") => match sleep_micros(seconds) {
            Some(micros) => return Outcome::Sleep(micros),
            None => Reply::error("ERR value is not a valid float"),
        },
        [sub, seconds] if text::is(sub, "STALL-CORE") => match sleep_micros(seconds) {
            Some(micros) => return Outcome::Stall(micros),
            None => Reply::error("ERR value is not a valid float"),
        },
        // Expired keys are dropped when they are met; there is no cycle to switch off, so nothing to change.
        [sub, on] if text::is(sub, "SET-ACTIVE-EXPIRE") => match text::integer(on) {
            Some(0 | 1) => Reply::OK,
            _ => Reply::error(text::SYNTAX),
        },
        [sub, message] if text::is(sub, "LOG") => {
            tracing::warn!(client = client.id, message = %text::printable(message, 1024), "DEBUG LOG");
            Reply::OK
        }
        [sub] if text::is(sub, "JMAP") => Reply::OK,
        [sub] if text::is(sub, "HELP") => text::help("DEBUG", HELP),
        [sub, ..] => text::unknown_subcommand("debug", sub),
        [] => text::arity("debug"),
    })
}

fn sleep_micros(seconds: &[u8]) -> Option<u64> {
    let seconds: f64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    let bounded = seconds.is_finite().then(|| seconds.clamp(0.0, SLEEP_SECONDS_MAX))?;
    Some((bounded * 1e6) as u64)
}

const HELP: &[&str] = &[
    "LOG <message>",
    "    Write <message> to the server log.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Accepted; keys expire when they are met.",
    "SLEEP <seconds>",
    "    Hold this connection back for <seconds>. Decimals allowed.",
    "STALL-CORE <seconds>",
    "    Let the core of this connection stand still for <seconds>, as a fault of the host would.",
];
