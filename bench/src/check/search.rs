//! The search, for any commands of [`super::model`], or of another [`Model`].
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
use std::hash::Hash;

use ahash::AHashMap;

use super::model::OneKey;
use super::{Evidence, Indexed, Verdict};
use crate::history::{Command, Operation, Outcome, Reply};
use crate::limits::{CONFIGURATIONS_MAX, OPEN_OPERATIONS_MAX};

/// What is judged as one thing, a key or several: what commands do to it, one after the other.
pub trait Model {
    /// What it is like. The default is what it begins as.
    type State: Clone + Default + Eq + Hash;
    /// What can be asked.
    type Command: Ord;
    /// What can be answered.
    type Reply;

    /// The state after a command, and its reply.
    fn apply(state: &Self::State, command: &Self::Command) -> (Self::State, Self::Reply);

    /// Whether what was told says what the model says.
    fn agrees(command: &Self::Command, model: &Self::Reply, told: &Self::Reply) -> bool;

    /// Whether a command never changes anything.
    fn is_read(command: &Self::Command) -> bool;
}

/// An operation on what is judged.
#[derive(Debug)]
pub struct Asked<'a, M: Model> {
    /// When it was called.
    pub call: u64,
    /// What was asked.
    pub command: &'a M::Command,
    /// When it returned, and with what. None: nobody knows whether it took effect, or will.
    pub told: Option<(u64, &'a M::Reply)>,
}

impl<'a> Asked<'a, OneKey> {
    fn of(operation: &'a Operation) -> Asked<'a, OneKey> {
        let told = operation.returned().zip(operation.reply());
        Asked { call: operation.call, command: &operation.command, told }
    }
}

/// What a search comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Some order explains everything.
    Order,
    /// No order explains the reply of an operation; those that were open then, it among them. All by their places in the list.
    Nothing {
        /// The operation.
        at: usize,
        /// Those that were open.
        open: Vec<usize>,
    },
    /// The bounds of the search were reached.
    Undecided(&'static str),
}

/// A way to explain what was seen: the state, and which open operations have taken effect (by their places).
#[derive(Debug, Clone)]
struct Configuration<S> {
    state: S,
    done: u128,
}

/// Configurations, without those that others stand for: for each state and set of known operations the least sets of unknown ones.
struct Least<S> {
    unknown: u128,
    sets: AHashMap<(S, u128), Vec<u128>>,
    len: usize,
}

impl<S: Clone + Eq + Hash> Least<S> {
    /// None yet. `unknown`: the places of operations that may have happened or not.
    fn new(unknown: u128) -> Least<S> {
        Least { unknown, sets: AHashMap::new(), len: 0 }
    }

    /// Takes one in, unless there is one that stands for it; says whether it did.
    fn insert(&mut self, configuration: &Configuration<S>) -> bool {
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

    fn into_configurations(self) -> Vec<Configuration<S>> {
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
    let asked: Vec<Asked<'_, OneKey>> = operations.iter().map(|of| Asked::of(of.operation)).collect();
    match search(&asked) {
        Found::Order => Verdict::Linearizable,
        Found::Undecided(why) => Verdict::Undecided(why),
        Found::Nothing { at, open } => Verdict::Violation(evidence(&operations, at, &open)),
    }
}

/// Looks for an order that explains what was told.
pub fn search<M: Model>(operations: &[Asked<'_, M>]) -> Found {
    let mut events: Vec<(u64, Event)> = Vec::with_capacity(operations.len() * 2);
    for (at, operation) in operations.iter().enumerate() {
        events.push((operation.call, Event::Call(at)));
        if let Some((returned, _)) = operation.told {
            events.push((returned, Event::Return(at)));
        }
    }
    events.sort_unstable();
    let mut search = Search {
        operations,
        open: vec![None; OPEN_OPERATIONS_MAX],
        configurations: vec![Configuration { state: M::State::default(), done: 0 }],
    };
    for (_, event) in events {
        let step = match event {
            Event::Call(at) => search.call(at),
            Event::Return(at) => search.returned(at),
        };
        if let Err(found) = step {
            return found;
        }
    }
    Found::Order
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

struct Search<'a, M: Model> {
    operations: &'a [Asked<'a, M>],
    /// Which operation is open at each place.
    open: Vec<Option<usize>>,
    configurations: Vec<Configuration<M::State>>,
}

impl<M: Model> Search<'_, M> {
    fn call(&mut self, at: usize) -> Result<(), Found> {
        let free = self.open.iter().position(Option::is_none);
        let place = free.ok_or(Found::Undecided("too many operations open at once"))?;
        self.open[place] = Some(at);
        Ok(())
    }

    fn returned(&mut self, at: usize) -> Result<(), Found> {
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
                return Err(Found::Undecided("too many ways to explain it"));
            }
            self.expand(&configuration, &mut stack);
        }
        if results.len == 0 {
            return Err(Found::Nothing { at, open: self.open.iter().flatten().copied().collect() });
        }
        self.open[place] = None;
        self.configurations = results.into_configurations();
        Ok(())
    }

    fn open_operations(&self) -> impl Iterator<Item = (usize, &Asked<'_, M>)> {
        let place = |(place, open): (usize, &Option<usize>)| Some((place, &self.operations[(*open)?]));
        self.open.iter().enumerate().filter_map(place)
    }

    /// The places of operations that may have happened or not.
    fn unknown(&self) -> u128 {
        let unknown = self.open_operations().filter(|(_, operation)| operation.told.is_none());
        unknown.fold(0, |places, (place, _)| places | 1 << place)
    }

    /// Puts into effect every open read that the state fits.
    fn absorb_reads(&self, configuration: &mut Configuration<M::State>) {
        for (place, operation) in self.open_operations() {
            let Some((_, reply)) = operation.told else { continue };
            if M::is_read(operation.command) && configuration.done & (1 << place) == 0 {
                let (_, model) = M::apply(&configuration.state, operation.command);
                if M::agrees(operation.command, &model, reply) {
                    configuration.done |= 1 << place;
                }
            }
        }
    }

    /// Pushes each configuration in which one more open operation has taken effect.
    fn expand(&self, configuration: &Configuration<M::State>, stack: &mut Vec<Configuration<M::State>>) {
        let mut unknown: BTreeSet<&M::Command> = BTreeSet::new();
        let mut waiting: Vec<(usize, usize, &Asked<'_, M>)> = self
            .open
            .iter()
            .enumerate()
            .filter_map(|(place, open)| open.map(|at| (at, place, &self.operations[at])))
            .filter(|(_, place, _)| configuration.done & (1 << place) == 0)
            .collect();
        waiting.sort_unstable_by_key(|&(at, _, operation)| (operation.call, at));
        for (_, place, operation) in waiting {
            if operation.told.is_none() && !unknown.insert(operation.command) {
                continue;
            }
            let (state, model) = M::apply(&configuration.state, operation.command);
            let takes_effect = match operation.told {
                Some((_, reply)) => M::agrees(operation.command, &model, reply),
                None => state != configuration.state,
            };
            if takes_effect {
                stack.push(Configuration { state, done: configuration.done | (1 << place) });
            }
        }
    }
}

/// The operation that cannot be explained, and those open at its return.
fn evidence(operations: &[Indexed<'_>], at: usize, open: &[usize]) -> Evidence {
    let mut indexes: Vec<usize> = open.iter().map(|open| operations[*open].index).collect();
    indexes.sort_unstable();
    let reply = operations[at].operation;
    let text = format!(
        "no order of what was called before {} explains the reply of client {} ({} operations were open)",
        reply.returned().unwrap_or(u64::MAX),
        reply.client,
        indexes.len()
    );
    Evidence { text, operations: indexes }
}
