//! Clients that wait for a key to hold something: between their sessions and the shards that have the keys.

use ahash::HashMap;
use reactor::uring::Io;
use reactor::Nanos;
use shard::reply::Reply;
use shard::WaitId;

use super::glue::{Asker, Core};
use super::mail::{Mail, Waiter};
use crate::server::text;
use crate::session::{Action, WaitStep};

/// The waits at this core's shard, by who waits and by the shard's name for it.
#[derive(Debug, Default)]
pub(super) struct Waits {
    askers: HashMap<WaitId, Asker>,
    ids: HashMap<Asker, WaitId>,
    /// Who cannot wait, and why: told when all keys of its command have been asked about.
    refused: Vec<(Asker, Reply)>,
}

impl Core {
    /// What becomes of the wait of a session of this core.
    pub(super) fn step_wait(&mut self, io: &mut Io, waiter: Waiter, slice: u16, step: WaitStep) {
        if slice == self.index {
            self.on_wait_step(io, Asker::Here(waiter), step);
        } else {
            self.post(io, slice, Mail::Wait { waiter, step });
        }
    }

    /// What becomes of a wait for a key of this core's slice.
    pub(super) fn on_wait_step(&mut self, io: &mut Io, asker: Asker, step: WaitStep) {
        match (step, self.waits.ids.get(&asker).copied()) {
            (WaitStep::Begins(key), None) => {
                match self.with_shard(io, |shard, turn| shard.wait(turn, &key)) {
                    Ok(id) => {
                        self.waits.askers.insert(id, asker);
                        self.waits.ids.insert(asker, id);
                    }
                    Err(why) => self.waits.refused.push((asker, why)),
                }
            }
            (WaitStep::Missed, Some(id)) => self.with_shard(io, |shard, turn| shard.missed(turn, id)),
            (WaitStep::Ends { took }, Some(id)) => {
                self.waits.ids.remove(&asker);
                self.waits.askers.remove(&id);
                self.with_shard(io, |shard, turn| shard.end_wait(turn, id, took));
            }
            (WaitStep::Begins(_), Some(_)) | (WaitStep::Missed | WaitStep::Ends { .. }, None) => {}
        }
    }

    /// Tells sessions what the shard has to say. True: some of them have asked for something.
    pub(super) fn deliver_woken(&mut self, io: &mut Io) -> bool {
        let mut more = false;
        for (asker, why) in std::mem::take(&mut self.waits.refused) {
            match asker {
                Asker::Here(waiter) => more |= self.on_refused(io, waiter, &why),
                Asker::Core(core, waiter) => self.post(io, core, Mail::Refused { waiter, why }),
            }
        }
        for id in std::mem::take(&mut self.effects.woken) {
            match self.waits.askers.get(&id).copied() {
                Some(Asker::Here(waiter)) => more |= self.on_woken(io, waiter),
                Some(Asker::Core(core, waiter)) => self.post(io, core, Mail::Woken { waiter }),
                None => {}
            }
        }
        more
    }

    /// A key that a session of this core waits for may hold something. True: the session has asked for something.
    pub(super) fn on_woken(&mut self, io: &mut Io, waiter: Waiter) -> bool {
        let now = self.moment(io.now());
        let mut actions = Vec::new();
        let Some(session) = self.clients.session(waiter.session) else { return false };
        session.woken(waiter.ticket, now, &mut actions);
        let more = !actions.is_empty();
        self.act(io, waiter.session.place as usize, actions);
        more
    }

    /// A key that a session of this core wanted to wait for cannot be. True: the session has asked for something.
    pub(super) fn on_refused(&mut self, io: &mut Io, waiter: Waiter, why: &Reply) -> bool {
        let (now, place) = (self.moment(io.now()), waiter.session.place as usize);
        let mut actions = Vec::new();
        let Some(session) = self.clients.session(waiter.session) else { return false };
        session.refused(waiter.ticket, why, &mut self.server, now, &mut actions);
        session.resume(&mut self.server, now, &mut actions);
        let more = !actions.is_empty();
        self.act(io, place, actions);
        more
    }

    /// Ends waits whose time is over. True: that let some session ask for more.
    pub(super) fn end_late_waits(&mut self, io: &mut Io) -> bool {
        let mut more = false;
        while let Some(place) = self.clients.take_late(io.now()) {
            more |= self.end_wait_at(io, place);
        }
        more
    }

    /// Ends waits that were told to end, of all sessions.
    pub(super) fn end_told_waits(&mut self, io: &mut Io) {
        for place in self.clients.places() {
            self.end_wait_at(io, place);
        }
    }

    /// The host stops: nobody waits here any more.
    pub(super) fn end_all_waits(&mut self, io: &mut Io) {
        let why = Reply::error(text::UNBLOCKED_BY_STOP);
        crate::server::Connections::each(&mut self.clients, &mut |connection| {
            connection.unblock(&why);
        });
        self.end_told_waits(io);
    }

    fn end_wait_at(&mut self, io: &mut Io, place: usize) -> bool {
        let now = self.moment(io.now());
        let mut actions = Vec::new();
        if let Some(session) = self.clients.session_at(place) {
            session.end_wait(&mut self.server, now, &mut actions);
            if !session.wants_bytes() {
                session.resume(&mut self.server, now, &mut actions);
            }
        }
        let more = !actions.is_empty();
        self.act(io, place, actions);
        more
    }

    /// A connection is gone, and what it waited for with it.
    pub(super) fn remove_client(&mut self, io: &mut Io, conn: reactor::uring::ConnId) {
        let Some((session, mut client)) = self.clients.remove(conn) else { return };
        let mut actions = Vec::new();
        client.give_up_waits(&mut actions);
        for action in actions {
            if let Action::Wait(ticket, slice, step) = action {
                self.step_wait(io, Waiter { session, ticket }, slice, step);
            }
        }
    }
}

/// When the wait of a session is over.
pub(super) fn nanos(until_us: u64) -> Nanos {
    until_us.saturating_mul(1000)
}
