//! REQID: a request that its client numbered, so that it can be sent again, to any host, and is done once
//! (docs/design/request-ids.md, section 2).

use std::collections::HashSet;

use reactor::mutants::planted;

use super::bytes::DecodeError;
use super::codec::{self, Arguments};
use super::{errors, numbers, Command, Context, KeyCommand, Op, Split};
use crate::error::UNCERTAIN;
use crate::limits::CLIENT_NAME_BYTES_MAX;
use crate::reply::Reply;
use crate::requests::Remembered;
use crate::state::State;

/// Who asked, and the how manieth request of theirs it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The client's own name, of 1 to 64 bytes.
    pub client: Box<[u8]>,
    /// Grows with each request; not 0.
    pub seq: u64,
}

/// An operation that is done unless it was done before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose request it is.
    pub request: Numbered,
    /// A write.
    pub op: Op,
}

/// The first argument, of clients and between hosts.
const NAME: &str = "REQID";

impl Numbered {
    /// None: a name or a number that no client can give.
    pub(crate) fn new(client: &[u8], seq: u64) -> Option<Numbered> {
        let fits = (1..=CLIENT_NAME_BYTES_MAX).contains(&client.len()) && seq > 0;
        fits.then(|| Numbered { client: client.into(), seq })
    }

    /// Reads the name and the number of a client's arguments.
    pub fn parse(client: &[u8], seq: &[u8]) -> Result<Numbered, Reply> {
        if client.is_empty() || client.len() > CLIENT_NAME_BYTES_MAX {
            return Err(errors::CLIENT_NAME);
        }
        let seq = numbers::unsigned(seq).filter(|seq| *seq > 0).ok_or(errors::REQUEST_NUMBER)?;
        Ok(Numbered { client: client.into(), seq })
    }
}

impl Command {
    /// The same, to be done once. A read stays what it is; what concerns the keyspace cannot be numbered.
    pub fn numbered(self, request: &Numbered) -> Result<Command, Reply> {
        match self {
            Command::Key(command) if command.op.is_read() => Ok(Command::Key(command)),
            Command::Key(KeyCommand { key, op }) => {
                let op = Op::Once(Box::new(Once { request: request.clone(), op }));
                Ok(Command::Key(KeyCommand { key, op }))
            }
            Command::Many(Split { parts, gather }) => {
                let parts = last_writes(parts).into_iter().map(|part| part.numbered(request));
                Ok(Command::Many(Split { parts: parts.collect::<Result<_, _>>()?, gather }))
            }
            Command::Joint(joint) if joint.is_read() => Ok(Command::Joint(joint)),
            Command::Joint(mut joint) => {
                joint.request = Some(request.clone());
                Ok(Command::Joint(joint))
            }
            Command::Keyspace(_) => Err(errors::NOT_TO_BE_NUMBERED),
        }
    }
}

/// Of the writes to one key (`MSET k 1 k 2`, `DEL k k`) the last one, which is what they come to: a key would take the second one for the first
/// that comes again.
fn last_writes(parts: Vec<Command>) -> Vec<Command> {
    let mut seen = HashSet::new();
    let mut is_last: Vec<bool> =
        parts.iter().rev().map(|part| !part.is_write() || seen.insert(key_of(part))).collect();
    is_last.reverse();
    parts.into_iter().zip(is_last).filter_map(|(part, is_last)| is_last.then_some(part)).collect()
}

fn key_of(part: &Command) -> Option<Box<[u8]>> {
    match part {
        Command::Key(command) => Some(command.key.clone()),
        _ => None,
    }
}

impl Once {
    pub(super) fn bytes(&self) -> usize {
        self.request.client.len() + std::mem::size_of::<Once>() + self.op.bytes()
    }

    pub(super) fn spell(&self, key: &[u8], to: &mut Arguments<'_>) {
        let mut inner = Vec::new();
        codec::put_list(&mut inner, |to| codec::on_key(key, &self.op, to));
        to.text(NAME).bytes(&self.request.client).number(self.request.seq).bytes(&inner);
    }

    /// Reads the arguments that [`Once::spell`] wrote; None: they are another command's.
    pub(super) fn read(arguments: &[&[u8]]) -> Option<Result<Command, DecodeError>> {
        let [name, client, seq, inner] = arguments else { return None };
        (*name == NAME.as_bytes()).then(|| Once::read_inner(client, seq, inner))
    }

    fn read_inner(client: &[u8], seq: &[u8], inner: &[u8]) -> Result<Command, DecodeError> {
        let request = Numbered::parse(client, seq).map_err(|_| DecodeError::Malformed)?;
        let arguments = codec::arguments(inner)?;
        let command = super::Transaction::read(&arguments).unwrap_or_else(|| codec::plain(&arguments))?;
        match command {
            Command::Key(command) if !command.op.is_read() => {
                Command::Key(command).numbered(&request).map_err(|_| DecodeError::Malformed)
            }
            _ => Err(DecodeError::Malformed),
        }
    }
}

/// What a request is answered that was done before.
pub(crate) fn reply_before(reply: Option<&[u8]>) -> Reply {
    match reply {
        None => errors::REQUEST_REPLY_LOST,
        Some([]) => UNCERTAIN,
        Some(bytes) => Reply::decode(bytes).unwrap_or(errors::REQUEST_REPLY_LOST),
    }
}

/// Runs it, or answers what it was answered before.
pub(super) fn run(once: &Once, state: &mut State, context: &mut Context<'_>) -> Reply {
    let Numbered { client, seq } = &once.request;
    match state.requests.find(client, *seq) {
        Remembered::Done(reply) => return reply_before(reply.as_deref()),
        Remembered::Forgotten => return errors::REQUEST_FORGOTTEN,
        Remembered::New => {}
    }
    let reply = super::run(&once.op, state, context);
    // Noted even if it changed nothing: the client takes the reply for the outcome, and an earlier copy of the request that is
    // still under way must not undo that later.
    if !planted(197) {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        state.requests.insert(client, *seq, &bytes, context.now_wall_ms);
        state.has_noted = true;
    }
    reply
}
