//! What must hold, checked on every event (the list of docs/design/consensus.md, "What must hold").

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use paxos::{Ballot, Member, Members};

use crate::driver::{Event, Id, Log, DROPPED};

/// Everything that ever happened and matters to the invariants.
#[derive(Clone, Debug, Hash)]
pub struct Checker {
    members: Members,
    /// Checks the reasons too (an acknowledged entry is chosen at that moment, a promise given is durable). Without it, only what a
    /// client or a later ballot can see.
    strict: bool,
    issued: BTreeMap<Ballot, Log>,
    votes: BTreeMap<Ballot, (Log, u8)>,
    chosen: BTreeMap<Ballot, Log>,
    /// The longest log that a client was shown.
    confirmed: Log,
    /// What was confirmed when the open read of each replica began.
    read_from: [Option<Log>; 5],
    /// How much was confirmed when a write was first sent.
    write_from: BTreeMap<Id, usize>,
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(message())
    }
}

impl Checker {
    pub fn new(members: u8, strict: bool) -> Checker {
        Checker {
            members: Members::new(members).expect("a member count"),
            strict,
            issued: BTreeMap::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            confirmed: Log::default(),
            read_from: [const { None }; 5],
            write_from: BTreeMap::new(),
        }
    }

    /// The longest log that a client was shown.
    pub fn confirmed(&self) -> &Log {
        &self.confirmed
    }

    pub fn event(&mut self, replica: Member, event: &Event) -> Verdict {
        match event {
            Event::Proposed { ballot, log } => self.on_proposed(*ballot, log),
            Event::Voted { ballot, log } => self.on_voted(replica, *ballot, log),
            Event::WriteStarted { id } => {
                self.write_from.entry(*id).or_insert(self.confirmed.0.len());
                Ok(())
            }
            Event::Acked { id, ballot, log } => self.on_acked(*id, *ballot, log),
            Event::ReadStarted => {
                self.read_from[usize::from(replica)] = Some(self.confirmed.clone());
                Ok(())
            }
            Event::ReadDone { ballot, log } => self.on_read(replica, *ballot, log),
            Event::ReadDropped => {
                self.read_from[usize::from(replica)] = None;
                Ok(())
            }
            Event::WriteDropped { .. } => Ok(()),
            Event::Broken(what) => ensure(!self.strict, || (*what).to_string()),
        }
    }

    fn on_proposed(&mut self, ballot: Ballot, log: &Log) -> Verdict {
        let ids = || log.0.iter().filter(|id| **id != DROPPED);
        let unique = ids().collect::<BTreeSet<_>>().len() == ids().count();
        ensure(unique, || format!("a request id is applied twice: {log:?} at {ballot}"))?;
        let first = self.issued.entry(ballot).or_insert_with(|| log.clone());
        ensure(first == log, || format!("ballot {ballot} carries {first:?} and {log:?}"))?;
        for (below, chosen) in self.chosen.range(..ballot) {
            ensure(log.extends(chosen), || {
                format!("{log:?} at {ballot} undoes {chosen:?} chosen at {below}")
            })?;
        }
        Ok(())
    }

    fn on_voted(&mut self, replica: Member, ballot: Ballot, log: &Log) -> Verdict {
        let (voted, mask) = self.votes.entry(ballot).or_insert_with(|| (log.clone(), 0));
        ensure(voted == log, || format!("ballot {ballot} was accepted with {voted:?} and {log:?}"))?;
        *mask |= 1 << replica;
        let count = mask.count_ones();
        if count < u32::from(self.members.majority()) || self.chosen.contains_key(&ballot) {
            return Ok(());
        }
        self.chosen.insert(ballot, log.clone());
        for (above, later) in self.issued.range((Bound::Excluded(ballot), Bound::Unbounded)) {
            ensure(later.extends(log), || format!("{later:?} at {above} undoes {log:?} chosen at {ballot}"))?;
        }
        self.in_line_with_the_confirmed(log)
    }

    fn in_line_with_the_confirmed(&self, log: &Log) -> Verdict {
        let confirmed = &self.confirmed;
        let in_line = log.extends(confirmed) || confirmed.extends(log);
        ensure(in_line, || format!("clients have seen {confirmed:?}; now {log:?} is chosen or shown"))
    }

    fn show(&mut self, ballot: Ballot, log: &Log) -> Verdict {
        self.in_line_with_the_confirmed(log)?;
        let chosen = ballot.is_zero() && log.0.is_empty() || self.chosen.get(&ballot) == Some(log);
        ensure(chosen || !self.strict, || format!("{log:?} was shown, but is not chosen at {ballot}"))?;
        if log.0.len() > self.confirmed.0.len() {
            self.confirmed = log.clone();
        }
        Ok(())
    }

    fn on_acked(&mut self, id: Id, ballot: Ballot, log: &Log) -> Verdict {
        self.show(ballot, log)?;
        let position = log.0.iter().position(|applied| *applied == id);
        let from = self.write_from.get(&id).copied().unwrap_or(0);
        ensure(position.is_some_and(|position| position >= from), || {
            format!("write {id}, begun after {from} commands were confirmed, was acknowledged by {log:?}")
        })
    }

    fn on_read(&mut self, replica: Member, ballot: Ballot, log: &Log) -> Verdict {
        let from = self.read_from[usize::from(replica)].take().expect("a read that ends has begun");
        ensure(log.extends(&from), || format!("a read begun after {from:?} was confirmed returned {log:?}"))?;
        self.show(ballot, log)
    }
}
