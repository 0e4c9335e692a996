//! What a replica shares with the other keys of its core: a bound on ballots, the floor, the log, and the ballot that was promised for
//! all of them at once (docs/design/range-promise.md).

use paxos::{AcceptorState, Ballot, Message};

use super::{Effects, Event, Id, Job, Log, Reading, Replica};

impl Replica {
    /// Requests below `bound` are refused from now on, and nothing is proposed below `own`.
    pub fn bind(&mut self, bound: Ballot, own: Ballot) {
        (self.bound, self.own_bound) = (bound, own);
        self.round = self.round.max(bound.round).max(own.round);
    }

    /// What is said to a request below the bound, as if everything up to there were promised.
    pub(super) fn refusal(&self, message: &Message<Log>) -> Option<Message<Log>> {
        let (Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Restamp { ballot, .. }) = *message
        else {
            return None;
        };
        let state = self.inst.state();
        // What is accepted here is confirmed again, whatever was promised since.
        let again = !ballot.is_zero() && ballot == state.accepted;
        let (promised, floor) = (self.bound, self.floor);
        let [accepted, chosen_to] = [Ballot::ZERO; 2];
        (ballot < self.bound && !again).then_some(Message::Reject {
            ballot,
            promised,
            accepted,
            chosen_to,
            floor,
        })
    }

    /// The acceptor's state, with what is on its way to the disk.
    pub fn state(&self) -> AcceptorState {
        self.inst.state()
    }

    /// The accepted entry, with what is on its way to the disk.
    pub fn entry(&self) -> Option<&Log> {
        self.inst.entry()
    }

    /// The ballot of the record that no crash takes back.
    pub fn durable_accepted(&self) -> Ballot {
        self.durable.accepted
    }

    /// How often it was started.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Changes that were ever handed to the disk.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The floor is one for all keys of a core.
    pub fn set_floor(&mut self, floor: Ballot) {
        self.floor = floor;
    }

    /// A client sent a write; what becomes of it is for the caller to say.
    pub fn take_write(&mut self, id: Id, fx: &mut Effects) {
        assert!(self.write.is_none(), "one write at a time");
        self.write = Some(id);
        fx.events.push(Event::WriteStarted { id });
    }

    /// Has the waiting write accepted at a ballot that was promised for all keys, if the own acceptor grants it. False: nothing
    /// was done.
    pub fn write_at(&mut self, ballot: Ballot, fx: &mut Effects) -> bool {
        let state = self.inst.state();
        let barred = state.accepted.is_zero() && ballot <= self.floor;
        let free = !self.has_ballot() && self.read != Some(Reading::Finish);
        let granted = ballot >= state.promised && ballot > state.accepted && !barred;
        let log = self.inst.entry().cloned().unwrap_or_else(|| self.absent.clone());
        let Some(id) = self.write.filter(|id| !log.has(*id)) else { return false };
        if !free || !granted || ballot < self.own_bound {
            return false;
        }
        self.job = Some(Job::Write(id));
        let (mut out, log) = (Vec::new(), log.with(id));
        self.round = self.round.max(ballot.round);
        self.proposal = Some((ballot, log.clone()));
        if self.inst.propose_granted(ballot, log.clone(), self.floor, &mut out) {
            fx.events.push(Event::Proposed { ballot, log });
        }
        self.run(out, fx);
        true
    }
}
