//! Entries in two forms (docs/design/collections.md, section 2): whole, or a *delta*, which says what is added to its base, the record that
//! was accepted before it. What a delta means is the whole that comes of it; the log stores it as it came.

use paxos::Ballot;

use super::{Id, Log, Mutation};

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
