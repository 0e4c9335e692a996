//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: what one connection queues, on keys of one slot, and the keys it watches
//! (docs/design/transactions.md). What is on one key is a transaction there; what is on several is one joint command.

use shard::command::table::{self, Level, Row};
use shard::command::{self, Command, Gather, KeyCommand, Op, Pop, Split, Transaction, NOT_TO_BE_NUMBERED};
use shard::reply::Reply;
use shard::slot::slot;

use super::{limits, Action, Held, Session};
use crate::cluster::Route;
use crate::server::{execute, text, Now, Outcome, Server};

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
    /// EXECs whose replies are awaited, and what the host answered in the place of commands on keys.
    answered: Vec<(u64, Answered)>,
}

/// What the host answered within a transaction, each with how many replies stand before it.
type Answered = Vec<(usize, Reply)>;

/// Commands that the host answers by itself and that a transaction may have.
const OF_THE_HOST: [&str; 7] =
    ["ping", "echo", "time", "select", "client|id", "client|getname", "client|setname"];

#[derive(Debug, Default)]
struct Queue {
    /// Which keys it is about: all of one slot.
    keys: Vec<Key>,
    commands: Vec<Command>,
    /// Commands that the host answers, each with how many stand before it, and its arguments.
    of_the_host: Vec<(usize, &'static Row, Vec<Key>)>,
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
        self.queue.as_ref().is_some_and(|queue| queue.commands.iter().any(Command::is_write))
    }

    /// Whether EXEC would be on several keys.
    pub(super) fn are_joint(&self) -> bool {
        let queued = self.queue.iter().flat_map(|queue| &queue.keys);
        let mut keys = queued.chain(self.watched.iter().map(|(key, _)| key));
        let first = keys.next();
        let one = first.is_none_or(|first| keys.all(|key| key == first));
        !one || self.queue.iter().flat_map(|queue| &queue.commands).any(|command| !is_of_one_key(command))
    }

    /// Commands queued, keys watched, and the bytes of both: for CLIENT LIST.
    pub(super) fn counts(&self) -> (Option<usize>, usize, usize) {
        let queued = self.queue.as_ref().map(Queue::len);
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

    /// Nothing is queued and watched any more. EXECs that are under way go on.
    pub(super) fn forget(&mut self) -> Transactions {
        let answered = std::mem::take(&mut self.answered);
        std::mem::replace(self, Transactions { answered, ..Transactions::default() })
    }

    /// Whether a request is the WATCH whose reply is awaited.
    pub(super) fn is_watch(&self, seq: u64) -> bool {
        self.watching.as_ref().is_some_and(|(watch, _)| *watch == seq)
    }

    /// Puts what the host answered into the reply of an EXEC that was run.
    pub(super) fn complete(&mut self, seq: u64, reply: &mut Reply) {
        let Some(at) = self.answered.iter().position(|(exec, _)| *exec == seq) else { return };
        let (_, answered) = self.answered.swap_remove(at);
        if let Reply::Array(replies) = reply {
            for (at, reply) in answered {
                replies.insert(at.min(replies.len()), reply);
            }
        }
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
    fn len(&self) -> usize {
        self.commands.len() + self.of_the_host.len()
    }

    fn check(&self, bytes: usize, bytes_max: usize) -> Result<(), Reply> {
        let count = self.len();
        if count >= limits::QUEUED_MAX || count > 0 && self.bytes + bytes > bytes_max {
            let max = limits::QUEUED_MAX;
            let text = format!("ERR a transaction has up to {max} commands of {bytes_max} bytes together");
            return Err(Reply::Error(text.into()));
        }
        Ok(())
    }

    /// Queues a command that the host answers.
    fn push_of_the_host(&mut self, row: &'static Row, args: &[&[u8]], bytes_max: usize) -> Result<(), Reply> {
        let bytes = args.iter().map(|arg| arg.len()).sum();
        self.check(bytes, bytes_max)?;
        let args = args.iter().map(|arg| Key::from(*arg)).collect();
        self.of_the_host.push((self.len(), row, args));
        self.bytes += bytes;
        Ok(())
    }

    /// Queues a command on these keys.
    fn push(&mut self, keys: &[&[u8]], command: Command, bytes_max: usize) -> Result<(), Reply> {
        let bytes = command.bytes();
        self.check(bytes, bytes_max)?;
        let first = self.keys.first().map(|key| slot(key));
        if keys.iter().any(|key| slot(key) != first.unwrap_or_else(|| slot(keys[0]))) {
            return Err(Reply::error(text::CROSSSLOT));
        }
        for key in keys {
            if !self.keys.iter().any(|known| **known == **key) {
                self.keys.push((*key).into());
            }
        }
        self.commands.push(command);
        if self.keys.len() > 1 && self.commands.iter().any(Command::tells_version) {
            return Err(Reply::error(text::VERSIONS_OF_ONE_KEY));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// What EXEC asks for. None: nothing.
    fn exec(self, watched: &[(Key, u64)]) -> Result<Option<Command>, Reply> {
        let mut keys = self.keys.iter().chain(watched.iter().map(|(key, _)| key));
        let Some(key) = keys.next() else { return Ok(None) };
        if keys.clone().any(|other| slot(other) != slot(key)) {
            return Err(Reply::error(text::CROSSSLOT));
        }
        if keys.all(|other| other == key) && self.commands.iter().all(is_of_one_key) {
            let version = watched.first().map(|(_, version)| *version);
            let mut transaction = Transaction { version, ..Transaction::default() };
            let key = key.clone();
            for command in self.commands {
                if !transaction.push(&key, command) {
                    return Err(NOT_IN_TRANSACTION);
                }
            }
            return Ok(Some(Command::Key(KeyCommand { key, op: Op::Transaction(Box::new(transaction)) })));
        }
        if self.commands.iter().any(Command::tells_version) {
            return Err(Reply::error(text::VERSIONS_OF_ONE_KEY));
        }
        let mut queue = command::Queue::default();
        for command in self.commands {
            if !queue.push(command) {
                return Err(NOT_IN_TRANSACTION);
            }
        }
        queue.exec(watched).map(Some)
    }
}

/// What is refused when it is queued.
const NOT_IN_TRANSACTION: Reply = Reply::error("ERR this command cannot be in a transaction");

/// Why a command is refused when it is queued.
fn not_in_transaction(row: &Row) -> Reply {
    let why = match row.name {
        "sql" => "whose statement is one step by itself",
        _ => "which is on no keys",
    };
    Reply::Error(format!("ERR Command not allowed inside a transaction: '{}', {why}", row.name).into())
}

fn is_of_one_key(command: &Command) -> bool {
    match command {
        Command::Key(_) => true,
        Command::Many(split) => split.parts.len() == 1,
        Command::Joint(_) | Command::Keyspace(_) => false,
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
            "exec" => self.exec(seq, asking, server, now, actions),
            "discard" if !self.transactions.is_open() => Err(Reply::error("ERR DISCARD without MULTI")),
            "discard" => {
                self.transactions.forget();
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
                self.transactions.forget();
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
        let bytes_max = server.command_limits.value_bytes_max.max(limits::QUEUED_BYTES_MIN);
        if OF_THE_HOST.contains(&row.name) && self.number.is_none() {
            return match &mut self.transactions.queue {
                Some(queue) if !queue.is_broken => queue.push_of_the_host(row, args, bytes_max),
                _ => Ok(()),
            };
        }
        let keys: Vec<&[u8]> = row.keys_of(args).collect();
        let is_on_keys = matches!(row.level, Level::Key(_) | Level::Pop(_));
        if is_on_keys && self.number.take().is_some() {
            return Err(Reply::error("ERR REQID goes in front of EXEC, not of what is queued"));
        }
        let command = match row.level {
            Level::Key(_) => Command::parse_row(row, args, &server.command_limits)?,
            // As in Redis they do not wait here.
            Level::Pop(_) => Pop::parse_row(row, args, &server.command_limits)?.in_one_step()?,
            _ => return Err(not_in_transaction(row)),
        };
        let Some(key) = keys.first() else { return Err(not_in_transaction(row)) };
        let slot = slot(key);
        if let Route::Moved(owner) = server.map.route(slot, self.client.port, asking) {
            return Err(owner.moved(slot));
        }
        match &mut self.transactions.queue {
            Some(queue) if !queue.is_broken => queue.push(&keys, command, bytes_max),
            _ => Ok(()),
        }
    }

    fn exec(
        &mut self,
        seq: u64,
        asking: bool,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Reply>, Reply> {
        if !self.transactions.is_open() {
            return Err(Reply::error("ERR EXEC without MULTI"));
        }
        let Transactions { queue, watched, watch_failed, .. } = self.transactions.forget();
        let mut queue = queue.unwrap_or_default();
        if queue.is_broken || watch_failed {
            return Err(Reply::error("EXECABORT Transaction discarded because of previous errors."));
        }
        let of_the_host = std::mem::take(&mut queue.of_the_host);
        let command = queue.exec(&watched)?;
        let answered = of_the_host.into_iter().map(|(at, row, args)| {
            let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
            match execute(row, &args, &mut self.client, server, (0, 0), now) {
                Outcome::Reply(reply) => (at, reply),
                other => unreachable!("{} is answered at once, not by {other:?}", row.name),
            }
        });
        let answered: Answered = answered.collect();
        let Some(command) = command else {
            return Ok(Some(Reply::Array(answered.into_iter().map(|(_, reply)| reply).collect())));
        };
        let command = match self.number.take() {
            Some(number) => command.numbered(&number)?,
            None => command,
        };
        match command {
            Command::Key(command) => self.one_key(seq, command, asking, server, actions)?,
            Command::Joint(joint) => self.several_keys(seq, joint, asking, server, actions)?,
            Command::Many(_) | Command::Keyspace(_) => return Err(NOT_TO_BE_NUMBERED),
        }
        if !answered.is_empty() {
            self.transactions.answered.push((seq, answered));
        }
        Ok(None)
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
