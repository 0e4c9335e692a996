//! Rows of tables read as hashes (docs/design/tables.md): reads of hashes whose key may be the name of a row.
//!
//! Where this core knows a table of that name, the key and the partition are asked at once, so that the read has its place among what the
//! connection asks of both; what is there under the key wins. Where it does not, as with all hashes that merely have such a name, the key alone is
//! asked. Its core may know better: then the partition is asked next. Until that is known no statement of the connection is begun, since one
//! might change the row before it is read.

use shard::command::{Command, KeyCommand};
use shard::reply::Reply;
use shard::slot::slot;

use super::{Action, Session, Ticket};
use crate::cluster::Route;
use crate::gather::{self, Join};
use crate::server::{Now, Server};

impl Session {
    /// A command on one key that may be to read a row; given back if it is not.
    pub(super) fn row_or_key(
        &mut self,
        seq: u64,
        command: KeyCommand,
        asking: bool,
        server: &Server,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reply> {
        let Some((table, partition)) = command.row_name() else {
            return self.one_key(seq, command, asking, server, actions);
        };
        let is_known = server.tables.has_table(table);
        let is_whole = partition.len() == command.key.len();
        let slot = slot(&command.key);
        let slice = match server.map.route(slot, self.client.port, asking) {
            Route::Moved(owner) => return Err(owner.moved(slot)),
            Route::Here(slice) => slice,
        };
        let run = |part, command| {
            let command = Command::Key(command);
            Action::Run { ticket: Ticket { seq, part }, slice, command, scope: None }
        };
        actions.push(run(0, command.at_name()));
        if is_known && !is_whole {
            actions.push(run(1, command.at_row()));
            self.order.gather(2, Join::Row);
        } else if is_whole {
            self.order.gather(1, Join::Row);
        } else {
            self.rows.insert(seq, command);
        }
        Ok(())
    }

    /// Whether a row of a table that this core does not know may have been asked for.
    pub(super) fn may_await_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// If the reply is of a key that was asked alone: what the client is answered, unless its partition has to be asked.
    pub(super) fn on_row(
        &mut self,
        ticket: Ticket,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<Reply> {
        let Some(command) = self.rows.remove(&ticket.seq) else { return Some(reply) };
        match reply {
            Reply::Nil => {
                let slice = server.map.slice(slot(&command.key));
                let command = Command::Key(command.at_row());
                actions.push(Action::Run { ticket, slice, command, scope: None });
            }
            found => self.finish(ticket.seq, gather::row(vec![found]), server, now),
        }
        None
    }
}
