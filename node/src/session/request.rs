//! One request: may it run, who answers it, and where is it sent.

use shard::command::table::{Level, Row};
use shard::command::{Command, Joint, KeyCommand, Keyspace, Numbered, Pop, Split, NOT_TO_BE_NUMBERED};
use shard::reply::Reply;
use shard::slot::slot;

use super::sql::Parsed;
use super::{limits, Action, Closing, Held, Session, Ticket};
use crate::cluster::{Port, Route};
use crate::gather::{self, Join, SlicePart};
use crate::server::slowlog::Brief;
use crate::server::{catalog, execute, text, CoreAsk, Now, Outcome, Replies, Server};

impl Session {
    /// Runs one request. `behind`: bytes that arrived behind it. If it has to wait, it was not run.
    pub(super) fn request(
        &mut self,
        args: &[&[u8]],
        behind: usize,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Held> {
        let numbered = match args {
            [reqid, client, seq, inner @ ..] if !inner.is_empty() && text::is(reqid, "REQID") => {
                Some((Numbered::parse(client, seq), inner))
            }
            _ => None,
        };
        let (number, args) = numbered.map_or((None, args), |(number, inner)| (Some(number), inner));
        let row = match (catalog::resolve(args), &number) {
            (Ok(row), Some(Ok(_))) if !may_be_numbered(row) => Err(NOT_TO_BE_NUMBERED),
            (Ok(_), Some(Err(error))) => Err(error.clone()),
            (row, _) => row,
        };
        self.number = number.and_then(Result::ok);
        let is_sql = self.client.authenticated && row.as_ref().is_ok_and(|row| row.name == "sql");
        let statement = is_sql.then(|| Parsed::new(args, server));
        let row = match row {
            Ok(row) if server.holds(row, row.name == "exec" && self.transactions.writes(), now) => {
                return Some(Held::Pause);
            }
            Ok(_) if is_sql && self.may_await_rows() => return Some(Held::Answers),
            // Claims of a joint command go ahead of what waits for a key, so that must not be what this client asked before; nor is a flush, or a
            // change of the catalog, to come before what is under way, which it makes uncertain.
            Ok(row) if !self.order.is_empty() && self.is_barrier(row, args, statement.as_ref()) => {
                return Some(Held::Answers);
            }
            Ok(row) => Ok(row),
            Err(_) if is_http(args) => {
                let peer = self.client.peer;
                tracing::warn!(client = self.client.id, %peer, "closed a client that speaks HTTP");
                self.close(Closing::Http);
                return None;
            }
            Err(error) => Err(error),
        };
        let asking = std::mem::take(&mut self.client.asking);
        self.client.last = now;
        self.client.commands += 1;
        let silent = self.is_silent();
        match row {
            Err(error) => {
                self.transactions.spoil();
                self.note_transaction();
                self.refuse(None, silent, error, server);
            }
            Ok(row) if !self.client.authenticated && !row.has_flag("no_auth") => {
                self.refuse(Some(row), silent, Reply::error(text::NOAUTH), server);
            }
            Ok(row) => {
                self.client.last_command = row.name;
                let brief = Some((Brief::new(row.name, args), now));
                let seq = self.order.open(self.client.protocol, silent, brief);
                match (row.level, statement) {
                    _ if row.group == "transactions" => {
                        self.transaction_command(row, args, (seq, asking), server, now, actions);
                    }
                    _ if self.transactions.is_open() && !matches!(row.name, "quit" | "reset") => {
                        self.queue_command(row, args, (seq, asking), server, now);
                    }
                    (_, Some(statement)) => {
                        self.sql(statement, args, (seq, asking), server, now, actions);
                    }
                    (Level::Pop(_), None) if self.number.is_some() => {
                        let pop = Pop::parse_row(row, args, &server.command_limits);
                        match pop.and_then(Pop::in_one_step) {
                            Ok(command) => self.data_command(seq, command, asking, server, now, actions),
                            Err(error) => self.finish(seq, error, server, now),
                        }
                    }
                    (Level::Pop(_), None) => self.pop(row, args, (seq, asking), server, now, actions),
                    (Level::Host, None) => self.host_command(row, args, (seq, behind), server, now, actions),
                    _ => match Command::parse_row(row, args, &server.command_limits) {
                        Ok(command) => self.data_command(seq, command, asking, server, now, actions),
                        Err(error) => self.finish(seq, error, server, now),
                    },
                }
                if row.group == "transactions" || row.name == "reset" || self.transactions.is_open() {
                    self.note_transaction();
                }
            }
        }
        None
    }

    /// Whether a request waits for the answers of those before it: one that is, or may be, on several keys as one step, a flush, a change of
    /// the catalog, and what reads all partitions of a table.
    fn is_barrier(&self, row: &'static Row, args: &[&[u8]], statement: Option<&Parsed>) -> bool {
        let is_queued = self.transactions.is_open();
        let is_joint = row.is_joint_with(args)
            || matches!(row.level, Level::Pop(_)) && self.number.is_some()
            || matches!(row.name, "mset" | "del" | "unlink") && is_of_one_slot(row, args)
            || matches!(row.name, "flushall" | "flushdb")
            || statement.is_some_and(|statement| statement.is_schema() || statement.may_scan());
        is_joint && !is_queued || row.name == "exec" && self.transactions.are_joint()
    }

    /// Whether the reply to the next request is dropped.
    fn is_silent(&mut self) -> bool {
        match self.client.replies {
            Replies::On => false,
            Replies::Off => true,
            Replies::SkipNext => {
                self.client.replies = Replies::On;
                true
            }
        }
    }

    fn refuse(&mut self, row: Option<&'static Row>, silent: bool, error: Reply, server: &mut Server) {
        server.stats.rejected(row.map(|row| row.name), &error);
        let seq = self.order.open(self.client.protocol, silent, None);
        self.settle(Ticket { seq, part: 0 }, error);
    }

    fn host_command(
        &mut self,
        row: &'static Row,
        args: &[&[u8]],
        (seq, behind): (u64, usize),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let pending = (behind, self.out.len() + self.order.held_bytes());
        let outcome = execute(row, args, &mut self.client, server, pending, now);
        if row.name == "reset" {
            self.transactions.forget();
        }
        let ticket = Ticket { seq, part: 0 };
        match outcome {
            Outcome::Reply(reply) => {
                let turned_on = row.name == "client|reply" && self.client.replies == Replies::On;
                self.order.speak(seq, self.client.protocol, turned_on);
                self.finish(seq, reply, server, now);
            }
            Outcome::Close(reply) => {
                self.close(Closing::Quit);
                self.finish(seq, reply, server, now);
            }
            Outcome::Silent => {
                self.order.silence(seq);
                self.finish(seq, Reply::OK, server, now);
            }
            Outcome::AskAll(ask, join) => self.ask_all(seq, ask, join, server, now, actions),
            Outcome::Info(sections) => actions.push(Action::Info { ticket, sections }),
            Outcome::Sleep(micros) => {
                self.held = Some(Held::Until(seq));
                actions.push(Action::Sleep { ticket, micros });
            }
            Outcome::Stall(micros) => actions.push(Action::Stall { ticket, micros }),
            Outcome::Shutdown(how) => {
                self.held = Some(Held::Until(seq));
                actions.push(Action::Shutdown { ticket, how });
            }
        }
    }

    fn ask_all(
        &mut self,
        seq: u64,
        ask: CoreAsk,
        join: Join,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        // What this core refuses is not tried elsewhere. The own part is asked like the others, so that the
        // answer of each core is made in one place; setting the same value twice changes nothing.
        if let CoreAsk::ConfigSet(pairs) = &ask {
            if let Err(error) = server.settings.set(pairs) {
                return self.finish(seq, error, server, now);
            }
        }
        let own = server.identity.core;
        // A core port speaks for its core, as a node of a cluster does: a client that asks all nodes adds up.
        let cores = match (self.client.port, &ask) {
            (Port::Core(_), ask) if !ask.concerns_host() => own..own + 1,
            _ => 0..server.identity.cores,
        };
        self.order.gather(cores.len(), join);
        // A setting decides how the next request is read, so that request waits.
        self.held = Some(Held::Until(seq));
        let asked = |(core, part)| Action::Ask { ticket: Ticket { seq, part }, core, ask: ask.clone() };
        actions.extend(cores.zip(0..).map(asked));
    }

    fn data_command(
        &mut self,
        seq: u64,
        command: Command,
        asking: bool,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let command = match command {
            Command::Many(split) => split.in_one_step(),
            other => other,
        };
        let command = match self.number.take() {
            Some(number) => command.numbered(&number),
            None => Ok(command),
        };
        let command = match command {
            Ok(command) => command,
            Err(error) => return self.finish(seq, error, server, now),
        };
        let planned = match command {
            Command::Key(command) => self.row_or_key(seq, command, asking, server, actions),
            Command::Many(split) => self.many_keys(seq, split, asking, server, actions),
            Command::Joint(joint) => self.several_keys(seq, joint, asking, server, actions),
            Command::Keyspace(command) => {
                // What comes behind a flush is after it.
                let flushes = command == Keyspace::Flush;
                gather::spread(command, &server.map, self.client.port, seq).map(|(parts, join)| {
                    self.run_parts(seq, parts, join, actions);
                    self.held = self.held.or(flushes.then_some(Held::Until(seq)));
                })
            }
        };
        if let Err(reply) = planned {
            self.finish(seq, reply, server, now);
        }
    }

    pub(super) fn one_key(
        &mut self,
        seq: u64,
        command: KeyCommand,
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reply> {
        let slot = slot(&command.key);
        match server.map.route(slot, self.client.port, asking) {
            Route::Moved(owner) => Err(owner.moved(slot)),
            Route::Here(slice) => {
                let ticket = Ticket { seq, part: 0 };
                actions.push(Action::Run { ticket, slice, command: Command::Key(command), scope: None });
                Ok(())
            }
        }
    }

    /// On the plain port the keys may be anywhere; on a core port they must be of one slot, as in Redis
    /// Cluster.
    pub(super) fn many_keys(
        &mut self,
        seq: u64,
        split: Split,
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reply> {
        let map = &server.map;
        if split.parts.len() > limits::PARTS_MAX {
            let (keys, max) = (split.parts.len(), limits::PARTS_MAX);
            return Err(Reply::Error(format!("ERR {keys} keys in one command, the limit is {max}").into()));
        }
        if self.client.port != Port::Plain {
            let mut slots = split.parts.iter().filter_map(Command::key).map(slot);
            let first = slots.next().unwrap_or(0);
            if slots.any(|slot| slot != first) {
                return Err(Reply::error(text::CROSSSLOT));
            }
            if let Route::Moved(owner) = map.route(first, self.client.port, asking) {
                return Err(owner.moved(first));
            }
        }
        self.order.gather(split.parts.len(), Join::Keys(split.gather));
        for (part, command) in split.parts.into_iter().enumerate() {
            let slice = map.slice(slot(command.key().unwrap_or_default()));
            let ticket = Ticket { seq, part: part as u32 };
            actions.push(Action::Run { ticket, slice, command, scope: None });
        }
        Ok(())
    }

    /// As one step: then the keys are of one slot, on the plain port too. What comes behind it on the connection waits for it.
    pub(super) fn several_keys(
        &mut self,
        seq: u64,
        joint: Box<Joint>,
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reply> {
        let mut slots = joint.keys.iter().map(|key| slot(key));
        let first = slots.next().unwrap_or(0);
        if slots.any(|slot| slot != first) {
            return Err(Reply::error(text::CROSSSLOT));
        }
        match server.map.route(first, self.client.port, asking) {
            Route::Moved(owner) => Err(owner.moved(first)),
            Route::Here(slice) => {
                let ticket = Ticket { seq, part: 0 };
                actions.push(Action::Run { ticket, slice, command: Command::Joint(joint), scope: None });
                self.held = Some(Held::Until(seq));
                Ok(())
            }
        }
    }

    pub(super) fn run_parts(
        &mut self,
        seq: u64,
        parts: Vec<SlicePart>,
        join: Join,
        actions: &mut Vec<Action>,
    ) {
        self.order.gather(parts.len(), join);
        for (part, one) in parts.into_iter().enumerate() {
            let (slice, command, scope) = one.into();
            actions.push(Action::Run { ticket: Ticket { seq, part: part as u32 }, slice, command, scope });
        }
    }

    /// Counts a command that is answered.
    pub(super) fn count(&self, brief: Brief, started: Now, reply: &Reply, server: &mut Server, now: Now) {
        let micros = now.mono_us.saturating_sub(started.mono_us);
        let tracks = server.settings.tracks_latency();
        server.stats.executed(brief.name(), micros, reply, tracks);
        let threshold_ms = server.settings.latency_threshold_ms();
        if threshold_ms > 0 && micros / 1000 >= threshold_ms {
            server.latency.add("command", now.unix_seconds(), micros / 1000);
        }
        let slower_than = server.settings.slower_than_us();
        if slower_than >= 0 && micros >= slower_than.unsigned_abs() {
            let (addr, name) = (self.client.peer.to_string(), self.client.name.clone());
            let entries_max = server.settings.slowlog_entries_max();
            server.slowlog.push(brief, now.unix_seconds(), micros, addr, name, entries_max);
        }
    }
}

/// Whether REQID may stand in front of a command: of a write of keys that does not wait, or EXEC. In front of a read it says nothing.
fn may_be_numbered(row: &Row) -> bool {
    match row.level {
        Level::Key(_) => true,
        Level::Pop(_) => !row.has_flag("blocking"),
        Level::Keyspace(_) | Level::Host => row.name == "exec",
    }
}

/// Whether a command's keys are several of one slot.
fn is_of_one_slot(row: &Row, args: &[&[u8]]) -> bool {
    let mut keys = row.keys_of(args);
    let first = keys.next().map(slot);
    let mut others = keys.peekable();
    others.peek().is_some() && others.all(|key| Some(slot(key)) == first)
}

/// A browser that a web page makes speak to this port begins so. Redis closes it as well.
fn is_http(args: &[&[u8]]) -> bool {
    args.first().is_some_and(|name| text::is(name, "POST") || text::is(name, "HOST:"))
}
