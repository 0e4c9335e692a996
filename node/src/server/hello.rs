//! AUTH and HELLO.

use shard::reply::Reply;

use super::client::Client;
use super::{text, Outcome, Server};
use crate::resp::Protocol;

/// `AUTH [user] password`.
pub(super) fn auth(client: &mut Client, server: &Server, args: &[&[u8]]) -> Outcome {
    Outcome::Reply(match args {
        [password] => {
            if server.settings.password().is_none() {
                return Outcome::Reply(Reply::error(text::NO_PASSWORD_SET));
            }
            log_in(client, server, b"default", password)
        }
        [user, password] => log_in(client, server, user, password),
        _ => Reply::error(text::SYNTAX),
    })
}

fn log_in(client: &mut Client, server: &Server, user: &[u8], password: &[u8]) -> Reply {
    let expected = server.settings.password();
    let right = expected.is_none_or(|expected| same(expected.as_bytes(), password));
    if user != b"default" || !right {
        return Reply::error(text::WRONGPASS);
    }
    client.authenticated = true;
    Reply::OK
}

/// Whether two passwords are equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// HELLO [2|3 [AUTH user password] [SETNAME name]]. Nothing changes unless all of it is right.
pub(super) fn hello(client: &mut Client, server: &Server, args: &[&[u8]]) -> Outcome {
    match try_hello(client, server, args) {
        Ok(()) => Outcome::Reply(greeting(client)),
        Err(error) => Outcome::Reply(error),
    }
}

fn try_hello(client: &mut Client, server: &Server, args: &[&[u8]]) -> Result<(), Reply> {
    let (mut next, mut rest) = (client.clone(), args);
    if let [version, tail @ ..] = args {
        let not_a_number = "ERR Protocol version is not an integer or out of range";
        next.protocol = match text::integer(version).ok_or(Reply::error(not_a_number))? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Reply::error("NOPROTO unsupported protocol version")),
        };
        rest = tail;
    }
    loop {
        rest = match rest {
            [] => break,
            [option, user, password, tail @ ..] if text::is(option, "AUTH") => {
                let reply = log_in(&mut next, server, user, password);
                if reply.is_error() {
                    return Err(reply);
                }
                tail
            }
            [option, name, tail @ ..] if text::is(option, "SETNAME") => {
                next.set_name(name)?;
                tail
            }
            [option, ..] => {
                let option = text::printable(option, 128);
                return Err(Reply::Error(format!("ERR Syntax error in HELLO option '{option}'").into()));
            }
        };
    }
    if !next.authenticated {
        return Err(Reply::error(text::HELLO_NOAUTH));
    }
    *client = next;
    Ok(())
}

fn greeting(client: &Client) -> Reply {
    Reply::Map(vec![
        (Reply::bulk("server"), Reply::bulk("redis")),
        (Reply::bulk("version"), Reply::bulk(super::REDIS_VERSION)),
        (Reply::bulk("proto"), Reply::Int(client.protocol.number())),
        (Reply::bulk("id"), Reply::Int(i64::try_from(client.id).unwrap_or(i64::MAX))),
        (Reply::bulk("mode"), Reply::bulk("cluster")),
        (Reply::bulk("role"), Reply::bulk("master")),
        (Reply::bulk("modules"), Reply::Array(vec![])),
    ])
}
