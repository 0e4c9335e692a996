//! Several operations on one key as one step: what MULTI, EXEC and WATCH come to (docs/design/transactions.md).

use reactor::mutants::planted;

use super::bytes::{put_varint, DecodeError};
use super::codec::{self, Arguments};
use super::limits::{TRANSACTION_OPS_MAX, TRANSACTION_REPLY_BYTES_MIN};
use super::{errors, numbers, strings, Command, Context, Gather, KeyCommand, Limits, Op};
use crate::reply::Reply;
use crate::state::State;

/// Operations on one key that are one step: they are in one entry, which is chosen whole or not at all, and nothing comes between
/// them. As in Redis, one that fails leaves the others as they are. What they change has one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The version that the key must still have (WATCH): if it has another, nothing is done and the answer is nil.
    pub version: Option<u64>,
    /// What is done, in order, and whether the reply stands in a list (MGET of the one key).
    pub steps: Vec<(Op, Gather)>,
}

impl Transaction {
    /// Takes one more command, which concerns `key` alone; false if it is none of those.
    pub fn push(&mut self, key: &[u8], command: Command) -> bool {
        let (parts, gather) = match command {
            Command::Many(split) => (split.parts, split.gather),
            one => (vec![one], Gather::One),
        };
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next()) {
            (Some(Command::Key(command)), None) if *command.key == *key && command.op.is_step() => {
                self.steps.push((command.op, gather));
                true
            }
            _ => false,
        }
    }

    /// Whether it leaves everything as it is.
    pub fn is_read(&self) -> bool {
        self.steps.iter().all(|(op, _)| op.is_read())
    }

    pub(super) fn bytes(&self) -> usize {
        self.steps.iter().map(|(op, _)| std::mem::size_of::<Op>() + op.bytes()).sum()
    }

    /// Whether all it can do to the size of the value is to make it smaller.
    pub(super) fn only_deletes(&self) -> bool {
        self.steps.iter().all(|(op, _)| op.is_read() || op.only_deletes())
    }

    pub(super) fn spell(&self, key: &[u8], to: &mut Arguments<'_>) {
        to.text(NAME).bytes(key);
        match self.version {
            Some(version) => to.number(version),
            None => to.text(""),
        };
        for (op, gather) in &self.steps {
            let mut step = Vec::new();
            // A reply in a list is MGET's: the only command of many keys whose reply is not the same for one.
            let count = match gather {
                Gather::List => codec::spelt(&mut step, |to| {
                    to.text("MGET").bytes(key);
                }),
                _ => codec::spelt(&mut step, |to| codec::on_key(key, op, to)),
            };
            let mut counted = Vec::with_capacity(step.len() + 2);
            put_varint(&mut counted, count);
            counted.extend_from_slice(&step);
            to.bytes(&counted);
        }
    }

    /// Reads the arguments that [`Transaction::spell`] wrote; None: they are another command's.
    pub(super) fn read(arguments: &[&[u8]]) -> Option<Result<Command, DecodeError>> {
        let [name, key, version, steps @ ..] = arguments else { return None };
        (*name == NAME.as_bytes()).then(|| Transaction::read_steps(key, version, steps))
    }

    fn read_steps(key: &[u8], version: &[u8], steps: &[&[u8]]) -> Result<Command, DecodeError> {
        let version = match version {
            [] => None,
            digits => Some(numbers::unsigned(digits).ok_or(DecodeError::Malformed)?),
        };
        if steps.len() > TRANSACTION_OPS_MAX {
            return Err(DecodeError::Malformed);
        }
        let mut transaction = Transaction { version, steps: Vec::with_capacity(steps.len()) };
        for step in steps {
            let command = codec::plain(&codec::arguments(step)?)?;
            if !transaction.push(key, command) {
                return Err(DecodeError::Malformed);
            }
        }
        Ok(Command::Key(KeyCommand { key: (*key).into(), op: Op::Transaction(Box::new(transaction)) }))
    }
}

/// The first argument of a transaction on its way. No client can send it: EXEC is the host's.
const NAME: &str = "EXEC";

/// Runs all of it.
pub(super) fn run(transaction: &Transaction, state: &mut State, context: &mut Context<'_>) -> Reply {
    let changed = |version| version != strings::version(state) && !planted(193);
    if transaction.version.is_some_and(changed) {
        if let (true, Some((op, _))) = (planted(194), transaction.steps.first()) {
            super::run(op, state, context);
        }
        return Reply::NilArray;
    }
    let mut replies = Replies::new(context.limits, transaction.steps.len());
    for (op, gather) in &transaction.steps {
        replies.add(op.is_read(), || gather.join(vec![super::run(op, state, context)]));
    }
    replies.end()
}

/// The replies of a transaction, up to a bound of their bytes.
pub(super) struct Replies {
    bytes_max: usize,
    bytes: usize,
    is_full: bool,
    replies: Vec<Reply>,
}

impl Replies {
    /// None yet, of so many commands.
    pub fn new(limits: &Limits, commands: usize) -> Replies {
        let bytes_max = limits.value_bytes_max.max(TRANSACTION_REPLY_BYTES_MIN);
        Replies { bytes_max, bytes: 0, is_full: false, replies: Vec::with_capacity(commands) }
    }

    /// That of one more command, which is not run if it is a read and there is no room.
    pub fn add(&mut self, is_read: bool, run: impl FnOnce() -> Reply) {
        if self.is_full && is_read {
            return self.replies.push(errors::TRANSACTION_READ_LEFT_OUT);
        }
        let reply = run();
        let own = reply.encoded_bytes();
        if self.replies.is_empty() || self.bytes + own <= self.bytes_max {
            self.bytes += own;
            self.replies.push(reply);
        } else {
            self.is_full = true;
            self.replies.push(errors::TRANSACTION_REPLY_LEFT_OUT);
        }
    }

    /// All of them.
    pub fn end(self) -> Reply {
        Reply::Array(self.replies)
    }
}
