//! Pops of several keys (BLPOP, LMPOP, BZPOPMIN and their like): tries of the keys in their order, and the wait between two tries
//! (docs/design/blocking-pops.md).

use std::collections::BTreeSet;

use shard::command::table::Row;
use shard::command::Pop;
use shard::reply::Reply;
use shard::slot::slot;

use super::{limits, Action, Held, Session, Ticket, WaitStep};
use crate::cluster::{Port, Route};
use crate::server::{text, Now, Server};

/// The pop that a connection is at. It reads nothing until that is answered.
#[derive(Debug)]
pub(super) struct Popping {
    seq: u64,
    pop: Pop,
    /// The slice of each key.
    slices: Vec<u16>,
    /// When it gives up, in monotonic microseconds.
    until_us: Option<u64>,
    /// Place of the key that is being tried. None: it waits.
    tries: Option<usize>,
    /// It has been through all keys.
    tried_all: bool,
    /// Keys that may hold something, as was said before the tries that are under way, and since.
    told: BTreeSet<u32>,
    told_since: BTreeSet<u32>,
    /// What it is answered when it finds nothing any more: its time is over, or somebody said so.
    ending: Option<Reply>,
}

impl Popping {
    fn waits(&self) -> bool {
        self.pop.patience_us.is_some()
    }

    /// Has it end when it finds nothing any more. False: it does not wait, or is to end anyway.
    pub fn end_with(&mut self, why: &Reply) -> bool {
        let ends = self.waits() && self.ending.is_none();
        if ends {
            self.ending = Some(why.clone());
        }
        ends
    }

    fn ticket(&self, place: usize) -> Ticket {
        Ticket { seq: self.seq, part: place as u32 }
    }

    fn steps(&self, step: impl Fn(usize) -> WaitStep) -> Vec<Action> {
        let places = self.slices.iter().enumerate();
        places.map(|(place, slice)| Action::Wait(self.ticket(place), *slice, step(place))).collect()
    }

    /// Tries a key.
    fn try_at(&mut self, place: usize) -> Action {
        self.tries = Some(place);
        let command = self.pop.command(&self.pop.keys[place]);
        Action::Run { ticket: self.ticket(place), slice: self.slices[place], command, scope: None }
    }
}

impl Session {
    /// Begins a pop.
    pub(super) fn pop(
        &mut self,
        row: &'static Row,
        args: &[&[u8]],
        (seq, asking): (u64, bool),
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let planned = Pop::parse_row(row, args, &server.command_limits)
            .and_then(|pop| Ok((self.slices_of(&pop, asking, server)?, pop)));
        let (slices, pop) = match planned {
            Ok(planned) => planned,
            Err(error) => return self.finish(seq, error, server, now),
        };
        let until_us = pop.patience_us.filter(|us| *us > 0).map(|us| now.mono_us.saturating_add(us));
        let (told, told_since) = (BTreeSet::new(), BTreeSet::new());
        let mut popping = Popping {
            seq,
            pop,
            slices,
            until_us,
            tries: None,
            tried_all: false,
            told,
            told_since,
            ending: None,
        };
        self.held = Some(Held::Until(seq));
        if popping.waits() {
            actions.extend(popping.steps(|place| WaitStep::Begins(popping.pop.keys[place].clone())));
        } else {
            actions.push(popping.try_at(0));
        }
        self.client.is_blocked = popping.waits();
        self.popping = Some(Box::new(popping));
    }

    /// On the plain port the keys may be anywhere; on a core port they must be of one slot that is served here.
    fn slices_of(&self, pop: &Pop, asking: bool, server: &Server) -> Result<Vec<u16>, Reply> {
        if pop.keys.len() > limits::PARTS_MAX {
            let (keys, max) = (pop.keys.len(), limits::PARTS_MAX);
            return Err(Reply::Error(format!("ERR {keys} keys in one command, the limit is {max}").into()));
        }
        let mut slots = pop.keys.iter().chain(&pop.to).map(|key| slot(key));
        let first = slots.next().unwrap_or(0);
        let is_one_step = pop.to.is_some();
        if (self.client.port != Port::Plain || is_one_step) && slots.any(|slot| slot != first) {
            return Err(Reply::error(text::CROSSSLOT));
        }
        if let Route::Moved(owner) = server.map.route(first, self.client.port, asking) {
            return Err(owner.moved(first));
        }
        Ok(pop.keys.iter().map(|key| server.map.slice(slot(key))).collect())
    }

    /// Whether a reply is for the pop, and not for the client.
    pub(super) fn is_try(&self, ticket: Ticket) -> bool {
        self.popping.as_ref().is_some_and(|popping| popping.seq == ticket.seq)
    }

    /// What came of a try, or why nobody may wait.
    pub(super) fn on_tried(
        &mut self,
        ticket: Ticket,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(popping) = &mut self.popping else { return };
        let place = ticket.part as usize;
        let Some(key) = popping.pop.keys.get(place) else { return };
        let found = match popping.pop.reply(key, reply) {
            // Who waits goes on waiting when the key becomes something else, as in Redis.
            Some(Reply::Error(error))
                if popping.tried_all && popping.pop.to.is_none() && error.starts_with("WRONGTYPE") =>
            {
                None
            }
            found => found,
        };
        match found {
            Some(reply) => {
                let took = (!reply.is_error()).then_some(place);
                self.end_pop(took, reply, server, now, actions);
            }
            None if place + 1 < popping.pop.keys.len() => actions.push(popping.try_at(place + 1)),
            None => self.on_nothing(server, now, actions),
        }
    }

    /// All keys were tried, and there was nothing.
    fn on_nothing(&mut self, server: &mut Server, now: Now, actions: &mut Vec<Action>) {
        let Some(popping) = &mut self.popping else { return };
        (popping.tries, popping.tried_all) = (None, true);
        if !popping.waits() || popping.ending.is_some() {
            let reply = popping.ending.take().unwrap_or(Reply::NilArray);
            return self.end_pop(None, reply, server, now, actions);
        }
        for part in std::mem::take(&mut popping.told) {
            let slice = popping.slices[part as usize];
            actions.push(Action::Wait(popping.ticket(part as usize), slice, WaitStep::Missed));
        }
        if !popping.told_since.is_empty() {
            self.try_all(now, actions);
        }
    }

    /// Tries the keys from the first one on.
    fn try_all(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(popping) = &mut self.popping else { return };
        popping.told = std::mem::take(&mut popping.told_since);
        actions.push(popping.try_at(0));
        // What it waited is not what it took.
        self.order.restart(popping.seq, now);
    }

    /// A key that it waits for may hold something.
    pub fn woken(&mut self, ticket: Ticket, now: Now, actions: &mut Vec<Action>) {
        let Some(popping) = self.popping.as_mut().filter(|popping| popping.seq == ticket.seq) else { return };
        if (ticket.part as usize) < popping.slices.len() {
            popping.told_since.insert(ticket.part);
        }
        if popping.tries.is_none() {
            self.try_all(now, actions);
        }
    }

    /// A key of it cannot be waited for. What is being tried is not given up.
    pub fn refused(
        &mut self,
        ticket: Ticket,
        why: &Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if let Some(popping) = self.popping.as_mut().filter(|popping| popping.seq == ticket.seq) {
            popping.end_with(why);
            popping.tried_all = true;
            self.end_wait(server, now, actions);
        }
    }

    /// When the wait is over, in monotonic microseconds.
    pub fn waits_until_us(&self) -> Option<u64> {
        self.popping.as_ref().and_then(|popping| popping.until_us)
    }

    /// Ends the wait whose time is over, or that is to end for another reason. One that has not tried yet tries, and one that is trying is answered
    /// when it has found nothing.
    pub fn end_wait(&mut self, server: &mut Server, now: Now, actions: &mut Vec<Action>) {
        let Some(popping) = &mut self.popping else { return };
        if popping.until_us.is_some_and(|until_us| until_us <= now.mono_us) {
            popping.end_with(&Reply::NilArray);
        }
        if popping.tries.is_some() || popping.ending.is_none() {
            return;
        }
        if !popping.tried_all {
            return self.try_all(now, actions);
        }
        let reply = popping.ending.take().unwrap_or(Reply::NilArray);
        // What it waited is not what it took.
        self.order.restart(popping.seq, now);
        self.end_pop(None, reply, server, now, actions);
    }

    /// The connection is gone: nobody waits any more.
    pub fn give_up_waits(&mut self, actions: &mut Vec<Action>) {
        if let Some(popping) = self.popping.take().filter(|popping| popping.waits()) {
            actions.extend(popping.steps(|_| WaitStep::Ends { took: false }));
        }
    }

    fn end_pop(
        &mut self,
        took: Option<usize>,
        reply: Reply,
        server: &mut Server,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(popping) = self.popping.take() else { return };
        if popping.waits() {
            actions.extend(popping.steps(|place| WaitStep::Ends { took: took == Some(place) }));
        }
        self.client.is_blocked = false;
        self.finish(popping.seq, reply, server, now);
    }
}
