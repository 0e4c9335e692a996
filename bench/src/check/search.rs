//! The search, for any commands of [`super::model`].
//!
//! Wing and Gong, "Testing and verifying concurrent objects" (1993), in the form that Lowe, "Testing for
//! linearizability" (2017), calls just-in-time: the events are gone through in order of time with the set of
//! all *configurations* that explain what was seen so far, each a state and the open operations that have
//! taken effect in it. At a return, operations are put into effect until the returning one is; configurations
//! where that is impossible fall out. None left: not linearizable. The set is the memo; its size depends on
//! how many operations are open at once, not on the length.
//!
//! Some rules keep it small, and each leaves the verdict as it is. A read takes effect as soon as the state
//! fits its reply: moving it there changes nothing. Of equal unknown operations the one called first takes
//! effect first. An unknown operation that changes nothing never takes effect, for it need not. Of two
//! configurations that differ in unknown operations alone the one that has used up fewer is kept: whatever
//! the other explains, it explains as well. An unknown SET or GETSET whose value nobody saw is dropped, where
//! every other command of the key would have shown it or overwritten it.

use std::collections::BTreeSet;

use ahash::AHashMap;

use super::model::{agrees, apply, State};
use super::{Evidence, Indexed, Verdict};
use crate::history::{Command, Operation, Outcome, Reply};
use crate::limits::{CONFIGURATIONS_MAX, OPEN_OPERATIONS_MAX};

/// A way to explain what was seen: the state, and which open operations have taken effect (by their places).
#[derive(Debug, Clone)]
struct Configuration {
    state: State,
    done: u128,
}

/// Configurations, without those that others stand for: for each state and set of known operations the least sets of unknown ones.
struct Least {
    unknown: u128,
    sets: AHashMap<(State, u128), Vec<u128>>,
    len: usize,
}

impl Least {
    /// None yet. `unknown`: the places of operations that may have happened or not.
    fn new(unknown: u128) -> Least {
        Least { unknown, sets: AHashMap::new(), len: 0 }
    }

    /// Takes one in, unless there is one that stands for it; says whether it did.
    fn insert(&mut self, configuration: &Configuration) -> bool {
        let unknown = configuration.done & self.unknown;
        let sets =
            self.sets.entry((configuration.state.clone(), configuration.done & !self.unknown)).or_default();
        if sets.iter().any(|set| set & !unknown == 0) {
            return false;
        }
        let before = sets.len();
        sets.retain(|set| unknown & !set != 0);
        sets.push(unknown);
        self.len = self.len + sets.len() - before;
        true
    }

    fn into_configurations(self) -> Vec<Configuration> {
        let all = self.sets.into_iter().flat_map(|((state, known), sets)| {
            sets.into_iter().map(move |unknown| Configuration { state: state.clone(), done: known | unknown })
        });
        all.collect()
    }
}

/// A call or a return, of the operation at this place of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    // In this order: a call at the time of a return counts as before it, since equal times mean "at once".
    Call(usize),
    Return(usize),
}

/// Judges one key.
pub fn check(operations: &[Indexed<'_>]) -> Verdict {
    let operations = relevant(operations);
    let mut events: Vec<(u64, Event)> = Vec::with_capacity(operations.len() * 2);
    for (at, indexed) in operations.iter().enumerate() {
        events.push((indexed.operation.call, Event::Call(at)));
        if let Some(returned) = indexed.operation.returned() {
            events.push((returned, Event::Return(at)));
        }
    }
    events.sort_unstable();
    let mut search = Search {
        operations: &operations,
        open: vec![None; OPEN_OPERATIONS_MAX],
        configurations: vec![Configuration { state: None, done: 0 }],
    };
    for (_, event) in events {
        let step = match event {
            Event::Call(at) => search.call(at),
            Event::Return(at) => search.returned(at),
        };
        if let Err(verdict) = step {
            return verdict;
        }
    }
    Verdict::Linearizable
}

/// Drops what says nothing: unknown reads, and unknown SETs and GETSETs that nobody saw.
fn relevant<'a>(operations: &[Indexed<'a>]) -> Vec<Indexed<'a>> {
    let shows = |command: &Command| {
        matches!(
            command,
            Command::Get | Command::Set(_) | Command::GetSet(_) | Command::GetDel | Command::Clear
        )
    };
    let all_show = operations.iter().all(|indexed| shows(&indexed.operation.command));
    let seen: BTreeSet<&[u8]> = operations
        .iter()
        .filter_map(|indexed| match indexed.operation.reply() {
            Some(Reply::Value(value)) => Some(value.as_slice()),
            _ => None,
        })
        .collect();
    let says_something = |operation: &Operation| match (&operation.outcome, &operation.command) {
        (Outcome::Replied { .. }, _) => true,
        (_, command) if command.is_read() => false,
        (_, Command::Set(value) | Command::GetSet(value)) if all_show => seen.contains(value.as_slice()),
        _ => true,
    };
    operations.iter().copied().filter(|indexed| says_something(indexed.operation)).collect()
}

struct Search<'a> {
    operations: &'a [Indexed<'a>],
    /// Which operation is open at each place.
    open: Vec<Option<usize>>,
    configurations: Vec<Configuration>,
}

impl Search<'_> {
    fn call(&mut self, at: usize) -> Result<(), Verdict> {
        let free = self.open.iter().position(Option::is_none);
        let place = free.ok_or(Verdict::Undecided("too many operations open at once"))?;
        self.open[place] = Some(at);
        Ok(())
    }

    fn returned(&mut self, at: usize) -> Result<(), Verdict> {
        let place =
            self.open.iter().position(|&open| open == Some(at)).expect("a return comes after its call");
        let bit = 1u128 << place;
        let unknown = self.unknown();
        let (mut seen, mut results) = (Least::new(unknown), Least::new(unknown));
        let mut stack = std::mem::take(&mut self.configurations);
        while let Some(mut configuration) = stack.pop() {
            self.absorb_reads(&mut configuration);
            if configuration.done & bit != 0 {
                configuration.done &= !bit;
                results.insert(&configuration);
                continue;
            }
            if !seen.insert(&configuration) {
                continue;
            }
            if seen.len + results.len > CONFIGURATIONS_MAX {
                return Err(Verdict::Undecided("too many ways to explain it"));
            }
            self.expand(&configuration, &mut stack);
        }
        if results.len == 0 {
            return Err(Verdict::Violation(self.evidence(at)));
        }
        self.open[place] = None;
        self.configurations = results.into_configurations();
        Ok(())
    }

    fn open_operations(&self) -> impl Iterator<Item = (usize, &Operation)> {
        let place =
            |(place, open): (usize, &Option<usize>)| Some((place, self.operations[(*open)?].operation));
        self.open.iter().enumerate().filter_map(place)
    }

    /// The places of operations that may have happened or not.
    fn unknown(&self) -> u128 {
        let unknown = self.open_operations().filter(|(_, operation)| operation.reply().is_none());
        unknown.fold(0, |places, (place, _)| places | 1 << place)
    }

    /// Puts into effect every open read that the state fits.
    fn absorb_reads(&self, configuration: &mut Configuration) {
        for (place, operation) in self.open_operations() {
            let Some(reply) = operation.reply() else { continue };
            if operation.command.is_read() && configuration.done & (1 << place) == 0 {
                let (_, model) = apply(&configuration.state, &operation.command);
                if agrees(&operation.command, &model, reply) {
                    configuration.done |= 1 << place;
                }
            }
        }
    }

    /// Pushes each configuration in which one more open operation has taken effect.
    fn expand(&self, configuration: &Configuration, stack: &mut Vec<Configuration>) {
        let mut unknown: BTreeSet<&Command> = BTreeSet::new();
        let mut waiting: Vec<(usize, usize, &Operation)> = self
            .open
            .iter()
            .enumerate()
            .filter_map(|(place, open)| open.map(|at| (at, place, self.operations[at].operation)))
            .filter(|(_, place, _)| configuration.done & (1 << place) == 0)
            .collect();
        waiting.sort_unstable_by_key(|&(at, _, operation)| (operation.call, at));
        for (_, place, operation) in waiting {
            if operation.reply().is_none() && !unknown.insert(&operation.command) {
                continue;
            }
            let (state, model) = apply(&configuration.state, &operation.command);
            let takes_effect = match operation.reply() {
                Some(reply) => agrees(&operation.command, &model, reply),
                None => state != configuration.state,
            };
            if takes_effect {
                stack.push(Configuration { state, done: configuration.done | (1 << place) });
            }
        }
    }

    /// The operation that cannot be explained, and those open at its return.
    fn evidence(&self, at: usize) -> Evidence {
        let mut operations: Vec<usize> =
            self.open.iter().flatten().map(|&open| self.operations[open].index).collect();
        operations.sort_unstable();
        let reply = self.operations[at].operation;
        let text = format!(
            "no order of what was called before {} explains the reply of client {} ({} operations were open)",
            reply.returned().unwrap_or(u64::MAX),
            reply.client,
            operations.len()
        );
        Evidence { text, operations }
    }
}
