//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: what one connection queues, all on one key, and the keys it watches
//! (docs/design/transactions.md).

use shard::command::table::{self, Level, Row};
use shard::command::{Command, Gather, KeyCommand, Op, Split, Transaction, NOT_TO_BE_NUMBERED};
use shard::reply::Reply;
use shard::slot::slot;

use super::{limits, Action, Held, Session};
use crate::cluster::Route;
use crate::server::{text, Now, Server};

type Key = Box<[u8]>;

/// The transaction of a connection, while there is one.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// What came since MULTI.
    queue: Option<Queue>,
    /// Keys, and the version that each had when it was watched.
    watched: Vec<(Key, u64)>,
    /// The request whose reply has the versions of these keys.
    watching: Option<(u64, Vec<Key>)>,
    /// A WATCH failed: what comes behind it must not run as if nothing had been watched.
    watch_failed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// Which key it is about, once that is known.
    key: Option<Key>,
    commands: Transaction,
    bytes: usize,
    /// A command was refused: EXEC does nothing.
    is_broken: bool,
}

impl Transactions {
    /// Whether MULTI was said.
    pub(super) fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether EXEC would write.
    pub(super) fn writes(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.commands.is_read())
    }

    /// Commands queued, keys watched, and the bytes of both: for CLIENT LIST.
    pub(super) fn counts(&self) -> (Option<usize>, usize, usize) {
        let queued = self.queue.as_ref().map(|queue| queue.commands.steps.len());
        let bytes = self.queue.as_ref().map_or(0, |queue| queue.bytes) + self.watched_bytes();
        (queued, self.watched.len(), bytes)
    }

    fn watched_bytes(&self) -> usize {
        self.watched.iter().map(|(key, _)| key.len()).sum()
    }

    /// A command between MULTI and EXEC was refused. What was queued is not needed any more.
    pub(super) fn spoil(&mut self) {
        if let Some(queue) = &mut self.queue {
            *queue = Queue { is_broken: true, ..Queue::default() };
        }
    }

    /// Whether a request is the WATCH whose reply is awaited.
    pub(super) fn is_watch(&self, seq: u64) -> bool {
        self.watching.as_ref().is_some_and(|(watch, _)| *watch == seq)
    }

    /// Takes the versions out of the reply of that WATCH; what is left is for the client.
    pub(super) fn take_versions(&mut self, reply: Reply) -> Reply {
        let Some((_, keys)) = self.watching.take() else { return reply };
        let Reply::Array(versions) = reply else {
            self.watch_failed = true;
            return reply;
        };
        for (key, version) in keys.into_iter().zip(versions) {
            let Reply::Int(version) = version else { continue };
            if !self.watched.iter().any(|(known, _)| *known == key) {
                self.watched.push((key, version.unsigned_abs()));
            }
        }
        Reply::OK
    }
}

impl Queue {
    /// Queues a command on one key.
    fn push(&mut self, key: &[u8], command: Command, bytes_max: usize) -> Result<(), Reply> {
        if let Some(first) = self.key.as_deref().filter(|first| *first != key) {
            return Err(crossing(first, key));
        }
        let bytes = command.bytes();
        let count = self.commands.steps.len();
        if count >= limits::QUEUED_MAX || count > 0 && self.bytes + bytes > bytes_max {
            let max = limits::QUEUED_MAX;
            let text = format!("ERR a transaction has up to {max} commands of {bytes_max} bytes together");
            return Err(Reply::Error(text.into()));
        }
        if !self.commands.push(key, command) {
            return Err(Reply::error(text::ONE_KEY));
        }
        self.key.get_or_insert_with(|| key.into());
        self.bytes += bytes;
        Ok(())
    }
}

/// Two keys in one transaction.
fn crossing(one: &[u8], other: &[u8]) -> Reply {
    match slot(one) == slot(other) {
        true => Reply::error(text::ONE_KEY),
        false => Reply::error(text::CROSSSLOT),
    }
}

impl Session {
    /// One of the commands that begin and end transactions.
    pub(super) fn transaction_command(
        &mut self,
        row: &'static Row,
        args: &[&[u8]],
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let reply = match row.name {
            "multi" if self.transactions.is_open() => Err(Reply::error("ERR MULTI calls can not be nested")),
            "multi" => {
                self.transactions.queue = Some(Queue::default());
                Ok(Some(Reply::OK))
            }
            "exec" => self.exec(seq, asking, server, actions),
            "discard" if !self.transactions.is_open() => Err(Reply::error("ERR DISCARD without MULTI")),
            "discard" => {
                self.transactions = Transactions::default();
                Ok(Some(Reply::OK))
            }
            "watch" if self.transactions.is_open() => {
                Err(Reply::error("ERR WATCH inside MULTI is not allowed"))
            }
            "watch" => {
                let asked = self.watch(seq, args, asking, server, actions);
                self.transactions.watch_failed |= asked.is_err();
                asked
            }
            _ if self.transactions.is_open() => {
                self.transactions.spoil();
                Err(Reply::error(
                    "ERR UNWATCH inside MULTI is not supported: it would watch until EXEC anyway",
                ))
            }
            _ => {
                self.transactions = Transactions::default();
                Ok(Some(Reply::OK))
            }
        };
        match reply {
            Ok(None) => {}
            Ok(Some(reply)) | Err(reply) => self.finish(seq, reply, server, now),
        }
    }

    /// A command between MULTI and EXEC.
    pub(super) fn queue_command(
        &mut self,
        row: &'static Row,
        args: &[&[u8]],
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
    ) {
        // It counts when EXEC has run it, as EXEC.
        self.order.take_brief(seq);
        let reply = match self.queue_one(row, args, asking, server) {
            Ok(()) => Reply::Simple("QUEUED".into()),
            Err(error) => {
                self.transactions.spoil();
                server.stats.rejected(Some(row.name), &error);
                error
            }
        };
        self.finish(seq, reply, server, now);
    }

    fn queue_one(
        &mut self,
        row: &'static Row,
        args: &[&[u8]],
        asking: bool,
        server: &Server,
    ) -> Result<(), Reply> {
        let key = row.keys_of(args).next().filter(|_| matches!(row.level, Level::Key(_)));
        let Some(key) = key else {
            let name = row.name;
            let text = format!("ERR '{name}' cannot be in a transaction: it is no command on one key");
            return Err(Reply::Error(text.into()));
        };
        if self.number.take().is_some() {
            return Err(Reply::error("ERR REQID goes in front of EXEC, not of what is queued"));
        }
        let command = Command::parse_row(row, args, &server.command_limits)?;
        if let Some(other) = row.keys_of(args).find(|other| *other != key) {
            return Err(crossing(key, other));
        }
        let slot = slot(key);
        if let Route::Moved(owner) = server.map.route(slot, self.client.port, asking) {
            return Err(owner.moved(slot));
        }
        match &mut self.transactions.queue {
            Some(queue) if !queue.is_broken => {
                let bytes_max = server.command_limits.value_bytes_max.max(limits::QUEUED_BYTES_MIN);
                queue.push(key, command, bytes_max)
            }
            _ => Ok(()),
        }
    }

    fn exec(
        &mut self,
        seq: u64,
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Reply>, Reply> {
        if !self.transactions.is_open() {
            return Err(Reply::error("ERR EXEC without MULTI"));
        }
        let Transactions { queue, watched, watch_failed, .. } = std::mem::take(&mut self.transactions);
        let Queue { key, mut commands, is_broken, .. } = queue.unwrap_or_default();
        if is_broken || watch_failed {
            return Err(Reply::error("EXECABORT Transaction discarded because of previous errors."));
        }
        let key = key.or_else(|| watched.first().map(|(key, _)| key.clone()));
        let Some(key) = key else { return Ok(Some(Reply::Array(Vec::new()))) };
        if let Some((other, _)) = watched.iter().find(|(watched, _)| *watched != key) {
            return Err(crossing(&key, other));
        }
        commands.version = watched.first().map(|(_, version)| *version);
        let command = KeyCommand { key, op: Op::Transaction(Box::new(commands)) };
        let command = match self.number.take() {
            Some(number) => Command::Key(command).numbered(&number)?,
            None => Command::Key(command),
        };
        let Command::Key(command) = command else { return Err(NOT_TO_BE_NUMBERED) };
        self.one_key(seq, command, asking, server, actions).map(|()| None)
    }

    /// Asks for the versions of the keys. Nothing more is read until they are there.
    fn watch(
        &mut self,
        seq: u64,
        args: &[&[u8]],
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Reply>, Reply> {
        let keys = args.get(1..).unwrap_or_default();
        let bytes = self.transactions.watched_bytes() + keys.iter().map(|key| key.len()).sum::<usize>();
        if self.transactions.watched.len() + keys.len() > limits::WATCHED_MAX
            || bytes > limits::WATCHED_BYTES_MAX
        {
            let (keys, bytes) = (limits::WATCHED_MAX, limits::WATCHED_BYTES_MAX);
            let text = format!("ERR a connection watches up to {keys} keys of {bytes} bytes together");
            return Err(Reply::Error(text.into()));
        }
        let version = |key: &&[u8]| {
            let args: [&[u8]; 3] = [b"OBJECT", b"VERSION", key];
            Command::parse_row(table::resolve(&args)?, &args, &server.command_limits)
        };
        let parts = keys.iter().map(version).collect::<Result<Vec<_>, _>>()?;
        self.many_keys(seq, Split { parts, gather: Gather::List }, asking, server, actions)?;
        self.transactions.watching = Some((seq, keys.iter().map(|key| Key::from(*key)).collect()));
        self.held = Some(Held::Until(seq));
        Ok(None)
    }
}
