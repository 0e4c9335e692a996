//! Entries in two forms (docs/design/collections.md, section 2): whole, or a *delta*, which says what is added to its base, the record that
//! was accepted before it. What a delta means is the whole that comes of it; the log stores it as it came.

use paxos::{Ballot, Member, Message};

use super::{Effects, Id, Log, Mutation, Replica};

/// How an entry is sent and stored. Its meaning is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Whole,
    /// All but the commands of the base, of which there are so many.
    Delta { base: Ballot, known: usize },
}

/// Deltas that may follow a whole record.
const CHAIN_MAX: usize = 4;

#[derive(Clone, Debug)]
enum Stored {
    Whole(Vec<Id>),
    Delta { base: Ballot, added: Vec<Id> },
}

/// The records that a log has of an entity, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<(Ballot, Stored)>);

impl Records {
    /// The newest record, put together from its chain. None: a part of it is missing.
    pub fn newest(&self) -> Option<Log> {
        let (ballot, _) = self.0.iter().max_by_key(|(ballot, _)| *ballot)?;
        self.chain(*ballot).map(|chain| {
            let parts = chain.iter().rev().map(|place| match &self.0[*place].1 {
                Stored::Whole(ids) | Stored::Delta { added: ids, .. } => ids,
            });
            Log(parts.flatten().copied().collect(), Form::Whole)
        })
    }

    /// The places of a record and of those that it stands on, the newest first.
    fn chain(&self, ballot: Ballot) -> Option<Vec<usize>> {
        let (mut places, mut wanted) = (Vec::new(), ballot);
        loop {
            let place = self.0.iter().position(|(other, _)| *other == wanted)?;
            places.push(place);
            match &self.0[place].1 {
                Stored::Whole(_) => return Some(places),
                Stored::Delta { base, .. } => wanted = *base,
            }
        }
    }

    /// Stores an accepted record: as a delta where that is how it came, or where it is the newest one at another ballot.
    pub fn store(&mut self, ballot: Ballot, log: &Log) {
        let newest = self.0.iter().map(|(ballot, _)| *ballot).max();
        let stored = match (log.1, newest) {
            (Form::Delta { base, known }, Some(newest)) if base == newest => {
                Stored::Delta { base: newest, added: log.0[known..].to_vec() }
            }
            (_, Some(newest)) if self.newest().is_some_and(|own| own == *log) => {
                Stored::Delta { base: newest, added: Vec::new() }
            }
            _ => Stored::Whole(log.0.clone()),
        };
        self.0.push((ballot, stored));
    }

    /// Whether another delta may follow the newest record.
    pub fn may_grow(&self) -> bool {
        let newest = self.0.iter().map(|(ballot, _)| *ballot).max();
        newest.and_then(|newest| self.chain(newest)).is_some_and(|chain| chain.len() <= CHAIN_MAX)
    }

    /// Drops what the newest record does not stand on.
    pub fn merge(&mut self, mutation: Mutation) {
        let Some(newest) = self.0.iter().map(|(ballot, _)| *ballot).max() else { return };
        let mut live = self.chain(newest).unwrap_or_default();
        if mutation == Mutation::MergeKeepsTheNewest {
            live.truncate(1);
        }
        let mut place = 0;
        self.0.retain(|_| {
            place += 1;
            live.contains(&(place - 1))
        });
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Replica {
    /// A delta where the own record is what the entry extends.
    pub(super) fn form_of(&self, log: &Log) -> Form {
        let base = self.inst.state().accepted;
        match self.inst.entry() {
            Some(own) if self.deltas && log.extends(own) && self.records.may_grow() => {
                Form::Delta { base, known: own.0.len() }
            }
            _ => Form::Whole,
        }
    }

    /// An Accept of a delta goes on if its base is the own record. A NeedBase is answered with the whole, at the same ballot.
    pub(super) fn by_form(
        &mut self,
        from: Member,
        message: Message<Log>,
        fx: &mut Effects,
    ) -> Option<Message<Log>> {
        match message {
            Message::Accept { ballot, base, mut entry } => {
                let Form::Delta { base: stands_on, known } = entry.1 else {
                    return Some(Message::Accept { ballot, base, entry });
                };
                let accepted = self.inst.state().accepted;
                let any = self.mutation == Mutation::AnyBase;
                if accepted != ballot && accepted != stands_on && !any {
                    let need = Message::NeedBase { ballot };
                    let vote = Message::Accepted { ballot };
                    let is_vote = self.mutation == Mutation::NeedBaseIsAVote;
                    fx.sends.push((from, if is_vote { vote } else { need }));
                    return None;
                }
                if accepted != ballot {
                    // No more than what is added came with it.
                    let own = self.inst.entry().cloned().unwrap_or_default();
                    let added = entry.0[known..].to_vec();
                    entry.1 = Form::Delta { base: accepted, known: own.0.len() };
                    entry.0 = own.0.into_iter().chain(added).collect();
                }
                Some(Message::Accept { ballot, base, entry })
            }
            Message::NeedBase { ballot } => {
                let whole =
                    self.proposal.as_ref().filter(|(own, _)| *own == ballot && self.inst.is_accepting());
                let mut log = whole.map(|(_, log)| Log(log.0.clone(), Form::Whole))?;
                if self.mutation == Mutation::WholeOfTheBase {
                    log.0.pop();
                }
                let message = Message::Accept { ballot, base: Ballot::ZERO, entry: log };
                fx.sends.push((from, message));
                None
            }
            other => Some(other),
        }
    }

    /// The engine drops what is of no use any more.
    pub fn merge(&mut self) {
        self.records.merge(self.mutation);
    }
}
