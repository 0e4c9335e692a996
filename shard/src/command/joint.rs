//! Commands on several keys as one step: what they do once the states of all their keys are known. How these come to be known side by side, and
//! what becomes of the writes, is [`crate::joint`]'s matter (docs/design/several-keys.md).

use std::mem;

use reactor::mutants::planted;

use super::algebra::{self, SetAlgebra, SortedSetAlgebra};
use super::lcs::{self, Lcs};
use super::list::End;
use super::parse::{is, Args};
use super::pops::PopAtOnce;
use super::sort::{self, Sort};
use super::sorted_set::Range;
use super::transaction::Replies;
use super::{errors, strings, Command, Context, Gather, Given, ListOp, Numbered, Op, SetOp, Split};
use crate::joint::{Ran, Snapshot, Write};
use crate::limits::{JOINT_KEYS_MAX, JOINT_WRITE_BYTES_MAX};
use crate::reply::Reply;
use crate::slot::slot;
use crate::state::{State, Type, Value};

/// A command on one or more keys that it sees and changes as one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    /// All different. The first one is the anchor: its new value goes into the decision's own record, so it is best the key with the largest one.
    pub keys: Vec<Box<[u8]>>,
    /// The request that it is.
    pub request: Option<Numbered>,
    work: Work,
}

/// What is done. Numbers are places among the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// RENAME, RENAMENX.
    Rename { from: usize, to: usize, only_if_absent: bool },
    /// COPY.
    Copy { from: usize, to: usize, replaces: bool },
    /// SMOVE.
    MoveMember { from: usize, to: usize, member: Box<[u8]> },
    /// LMOVE, RPOPLPUSH.
    MoveElement { from: usize, to: usize, ends: (End, End) },
    /// MSETNX.
    SetAllIfAbsent(Vec<(usize, Box<[u8]>)>),
    /// SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD.
    OnSets(SetAlgebra),
    /// ZINTER, ZUNION, ZDIFF, their STORE forms, ZINTERCARD.
    OnSortedSets(SortedSetAlgebra),
    /// ZRANGESTORE.
    StoreRange { from: usize, to: usize, range: Range },
    /// SORT with STORE.
    StoreSorted { from: usize, to: usize, sort: Sort },
    /// LCS.
    Lcs(Lcs),
    /// BLPOP, BRPOP, LMPOP, BLMPOP, BZPOPMIN, BZPOPMAX, ZMPOP, BZMPOP, where they are one step.
    Pop(PopAtOnce),
    /// MSET, DEL and UNLINK: operations on one key each, and how their replies make one.
    Parts(Vec<(usize, Op)>, Gather),
    /// What was queued between MULTI and EXEC.
    Exec { versions: Vec<(usize, u64)>, steps: Vec<Step> },
}

/// One command of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Operations on one key each, and how their replies make one.
    Parts(Vec<(usize, Op)>, Gather),
    /// One that is joint by itself, and where its keys are among those of the transaction.
    Joint(Vec<usize>, Work),
}

/// Keys that are named, each once.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Box<[u8]>>);

impl Keys {
    /// The place of a key.
    pub fn place(&mut self, key: &[u8]) -> usize {
        self.0.iter().position(|known| **known == *key).unwrap_or_else(|| {
            self.0.push(key.into());
            self.0.len() - 1
        })
    }

    /// The command on them.
    pub fn joint(self, work: Work) -> Result<Command, Reply> {
        if self.0.len() > JOINT_KEYS_MAX {
            return Err(errors::too_many_keys(self.0.len()));
        }
        Ok(Command::Joint(Box::new(Joint { keys: self.0, request: None, work })))
    }
}

/// The states of the keys that some work is about.
pub(super) struct States<'a> {
    all: &'a mut [State],
    /// Where they are among those. None: each where its number says.
    places: Option<&'a [usize]>,
}

impl States<'_> {
    /// That at a place.
    pub fn at(&mut self, place: usize) -> &mut State {
        let place = self.places.map_or(place, |places| places[place]);
        &mut self.all[place]
    }

    /// That at a place, to be looked at beside others.
    pub fn look(&self, place: usize) -> &State {
        let place = self.places.map_or(place, |places| places[place]);
        &self.all[place]
    }
}

impl Joint {
    /// Whether it leaves everything as it is.
    pub fn is_read(&self) -> bool {
        self.work.is_read()
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.len() + mem::size_of::<Box<[u8]>>()).sum();
        mem::size_of::<Joint>() + keys + self.work.bytes()
    }

    /// Runs it on what was found at its keys, in their order.
    pub fn run(&self, found: &[Snapshot], context: &mut Context<'_>) -> Ran {
        let state = |Snapshot { version, is }: &Snapshot| {
            let mut state = is.state(*version);
            state.expire(context.now_wall_ms);
            state
        };
        let mut all: Vec<State> = found.iter().map(state).collect();
        if all.iter().any(|state| matches!(state.value, Some(Value::Rows(_) | Value::Group(_))))
            && !self.work.is_read()
        {
            return Ran { reply: errors::ROWS, writes: vec![None; all.len()] };
        }
        let reply = self.work.run(&mut States { all: &mut all, places: None }, context);
        let writes = all.iter().map(|state| state.changed.then(|| Write::of(state)));
        Ran { reply, writes: writes.collect() }
    }
}

impl Work {
    fn is_read(&self) -> bool {
        match self {
            Work::OnSets(work) => work.is_read(),
            Work::OnSortedSets(work) => work.is_read(),
            Work::Lcs(_) => true,
            Work::Parts(parts, _) => parts.iter().all(|(_, op)| op.is_read()),
            Work::Exec { steps, .. } => steps.iter().all(Step::is_read),
            Work::Rename { .. }
            | Work::Copy { .. }
            | Work::MoveMember { .. }
            | Work::MoveElement { .. }
            | Work::SetAllIfAbsent(_)
            | Work::StoreRange { .. }
            | Work::StoreSorted { .. }
            | Work::Pop(_) => false,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Work::MoveMember { member, .. } => member.len(),
            Work::SetAllIfAbsent(pairs) => pairs.iter().map(|(_, value)| value.len() + 24).sum(),
            Work::Parts(parts, _) => bytes_of(parts),
            Work::Exec { steps, .. } => steps.iter().map(Step::bytes).sum(),
            Work::StoreRange { range, .. } => range.span.bytes(),
            Work::Pop(pop) => pop.bytes(),
            Work::Rename { .. }
            | Work::Copy { .. }
            | Work::MoveElement { .. }
            | Work::OnSets(_)
            | Work::OnSortedSets(_)
            | Work::StoreSorted { .. }
            | Work::Lcs(_) => 0,
        }
    }

    fn run(&self, states: &mut States<'_>, context: &mut Context<'_>) -> Reply {
        match self {
            Work::Rename { from, to, only_if_absent } => rename(states, *from, *to, *only_if_absent),
            Work::Copy { from, to, replaces } => {
                let is_there = states.at(*from).value.is_some();
                if !is_there || states.at(*to).value.is_some() && !replaces && !planted(574) {
                    return Reply::Int(0);
                }
                let (value, expires_at_ms) = content(states.at(*from));
                put(states.at(*to), value, if planted(583) { 0 } else { expires_at_ms });
                Reply::Int(1)
            }
            Work::MoveMember { from, to, member } => move_member(states, (*from, *to), member, context),
            Work::MoveElement { from, to, ends } => move_element(states, (*from, *to), *ends, context),
            Work::SetAllIfAbsent(pairs) => {
                let looked_at = if planted(578) { 1 } else { pairs.len() };
                if pairs.iter().take(looked_at).any(|(place, _)| states.at(*place).value.is_some()) {
                    return Reply::Int(0);
                }
                for (place, value) in pairs {
                    states.at(*place).put(Value::Str(value.to_vec()), 0);
                }
                Reply::Int(1)
            }
            Work::OnSets(work) => algebra::run_on_sets(work, states, context),
            Work::OnSortedSets(work) => algebra::run_on_sorted_sets(work, states, context),
            Work::StoreRange { from, to, range } => {
                algebra::store_range(states, (*from, *to), range, context)
            }
            Work::StoreSorted { from, to, sort } => sort::store(states, (*from, *to), sort, context),
            Work::Lcs(work) => lcs::run(work, states).unwrap_or_else(|error| error),
            Work::Pop(pop) => pop.run(states, context),
            Work::Parts(parts, gather) => run_parts(parts, *gather, states, context),
            Work::Exec { versions, steps } => exec(states, versions, steps, context),
        }
    }
}

impl Step {
    fn is_read(&self) -> bool {
        match self {
            Step::Parts(parts, _) => parts.iter().all(|(_, op)| op.is_read()),
            Step::Joint(_, work) => work.is_read(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Step::Parts(parts, _) => bytes_of(parts),
            Step::Joint(_, work) => mem::size_of::<Work>() + work.bytes(),
        }
    }
}

fn bytes_of(parts: &[(usize, Op)]) -> usize {
    parts.iter().map(|(_, op)| mem::size_of::<(usize, Op)>() + op.bytes()).sum()
}

fn run_parts(
    parts: &[(usize, Op)],
    gather: Gather,
    states: &mut States<'_>,
    context: &mut Context<'_>,
) -> Reply {
    let run = |(place, op): &(usize, Op)| super::run(op, states.at(*place), context);
    gather.join(parts.iter().map(run).collect())
}

impl Split {
    /// The same as one step, where that can be: it writes, its keys are several of one slot, no more than a step may have, and what it writes is
    /// no more than a step may write.
    pub fn in_one_step(self) -> Command {
        let of_parts = || self.parts.iter().filter_map(Command::key);
        let is_of_one = of_parts().zip(of_parts().skip(1)).all(|(one, next)| slot(one) == slot(next));
        let bytes: usize = self.parts.iter().map(Command::bytes).sum();
        if !is_of_one || self.parts.len() > JOINT_KEYS_MAX || bytes > JOINT_WRITE_BYTES_MAX / 2 {
            return Command::Many(self);
        }
        let mut keys = Keys::default();
        let place = |part: &Command| match part {
            Command::Key(part) if !part.op.is_read() => Some(keys.place(&part.key)),
            _ => None,
        };
        let places: Option<Vec<usize>> = self.parts.iter().map(place).collect();
        let Some(places) = places.filter(|_| keys.0.len() > 1) else { return Command::Many(self) };
        let ops = self.parts.into_iter().filter_map(|part| match part {
            Command::Key(part) => Some(part.op),
            _ => None,
        });
        let work = Work::Parts(places.into_iter().zip(ops).collect(), self.gather);
        Command::Joint(Box::new(Joint { keys: keys.0, request: None, work }))
    }
}

fn content(state: &State) -> (Option<Value>, u64) {
    (state.value.clone(), state.expires_at_ms)
}

/// Puts what was at one key to another one, with its expiry.
fn put(state: &mut State, value: Option<Value>, expires_at_ms: u64) {
    match value {
        Some(value) => state.put(value, expires_at_ms),
        None => drop(state.delete()),
    }
}

/// Whether a key holds something of another type.
pub(super) fn is_other(state: &State, kind: Type) -> bool {
    state.value.as_ref().is_some_and(|value| value.kind() != kind)
}

fn rename(states: &mut States<'_>, from: usize, to: usize, only_if_absent: bool) -> Reply {
    let (value, expires_at_ms) = content(states.at(from));
    if value.is_none() {
        return errors::NO_SUCH_KEY;
    }
    if only_if_absent && states.at(to).value.is_some() {
        return Reply::Int(0);
    }
    if from != to {
        if !planted(573) {
            states.at(from).delete();
        }
        put(states.at(to), value, expires_at_ms);
    }
    if only_if_absent {
        Reply::Int(1)
    } else {
        Reply::OK
    }
}

fn move_member(
    states: &mut States<'_>,
    (from, to): (usize, usize),
    member: &[u8],
    context: &mut Context<'_>,
) -> Reply {
    if states.at(from).value.is_none() {
        return Reply::Int(0);
    }
    if is_other(states.at(from), Type::Set) || is_other(states.at(to), Type::Set) {
        return errors::WRONG_TYPE;
    }
    if from == to {
        return super::run(&Op::OnSet(SetOp::Contains(member.into())), states.at(from), context);
    }
    // What is put there may be refused; what is taken away is not.
    let contains = super::run(&Op::OnSet(SetOp::Contains(member.into())), states.at(from), context);
    if contains != Reply::Int(1) {
        return Reply::Int(0);
    }
    let added = super::run(&Op::OnSet(SetOp::Add(vec![member.into()])), states.at(to), context);
    if added.is_error() {
        return added;
    }
    if !planted(575) {
        super::run(&Op::OnSet(SetOp::Remove(vec![member.into()])), states.at(from), context);
    }
    Reply::Int(1)
}

fn move_element(
    states: &mut States<'_>,
    (from, to): (usize, usize),
    (take, give): (End, End),
    context: &mut Context<'_>,
) -> Reply {
    if states.at(from).value.is_none() {
        return Reply::Nil;
    }
    if is_other(states.at(from), Type::List) || is_other(states.at(to), Type::List) {
        return errors::WRONG_TYPE;
    }
    let place = if take == End::Left { 0 } else { -1 };
    let element = super::run(&Op::OnList(ListOp::Get(place)), states.at(from), context);
    let Reply::Bulk(bytes) = &element else { return element };
    let give = if planted(576) { End::Right } else { give };
    let push =
        ListOp::Push { end: give, if_present: false, elements: vec![bytes.clone().into_boxed_slice()] };
    // Taken first where both are one list: it is no longer in between.
    let mut taken = states.at(from).clone();
    super::run(&Op::OnList(ListOp::Pop(take, None)), &mut taken, context);
    if from == to {
        taken.expires_at_ms = states.at(from).expires_at_ms;
        let pushed = super::run(&Op::OnList(push), &mut taken, context);
        if pushed.is_error() {
            return pushed;
        }
    } else {
        let pushed = super::run(&Op::OnList(push), states.at(to), context);
        if pushed.is_error() {
            return pushed;
        }
    }
    *states.at(from) = taken;
    element
}

fn exec(
    states: &mut States<'_>,
    versions: &[(usize, u64)],
    steps: &[Step],
    context: &mut Context<'_>,
) -> Reply {
    if versions.iter().any(|(place, version)| strings::version(states.at(*place)) != *version) {
        return Reply::NilArray;
    }
    let mut replies = Replies::new(context.limits, steps.len());
    for step in steps {
        replies.add(step.is_read(), || match step {
            Step::Parts(parts, gather) => run_parts(parts, *gather, states, context),
            Step::Joint(places, work) => {
                work.run(&mut States { all: states.all, places: Some(places) }, context)
            }
        });
    }
    replies.end()
}

/// What MULTI queues, where it is about several keys.
#[derive(Debug, Default)]
pub struct Queue {
    keys: Keys,
    steps: Vec<Step>,
}

impl Queue {
    /// Takes one more command; false if it cannot be part of a transaction on several keys.
    pub fn push(&mut self, command: Command) -> bool {
        let step = match command {
            Command::Joint(joint) => {
                let places = joint.keys.iter().map(|key| self.keys.place(key)).collect();
                Step::Joint(places, joint.work)
            }
            Command::Keyspace(_) => return false,
            one_or_many => {
                let Split { parts, gather } = one_or_many.split();
                let mut ops = Vec::with_capacity(parts.len());
                for part in parts {
                    let Command::Key(part) = part else { return false };
                    if !part.op.is_step() || tells_version(&part.op) {
                        return false;
                    }
                    ops.push((self.keys.place(&part.key), part.op));
                }
                Step::Parts(ops, gather)
            }
        };
        self.steps.push(step);
        true
    }

    /// How many commands were queued.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All of it as one command, with the versions that keys must still have.
    pub fn exec(mut self, watched: &[(Box<[u8]>, u64)]) -> Result<Command, Reply> {
        let versions = watched.iter().map(|(key, version)| (self.keys.place(key), *version)).collect();
        self.keys.joint(Work::Exec { versions, steps: self.steps })
    }
}

/// Whether an operation answers with a version, which a joint command does not know yet.
pub(super) fn tells_version(op: &Op) -> bool {
    match op {
        Op::GetVersioned | Op::Version => true,
        Op::Set(set) => set.given == Given::Version,
        _ => false,
    }
}

// ---- arguments ----

/// The destination comes first: it is the anchor.
fn two(args: &Args<'_>) -> (Keys, usize, usize) {
    let mut keys = Keys::default();
    let to = keys.place(args.at(2));
    let from = keys.place(args.at(1));
    (keys, from, to)
}

/// RENAME key newkey.
pub(super) fn parse_rename(args: &Args<'_>) -> Result<Command, Reply> {
    let (keys, from, to) = two(args);
    keys.joint(Work::Rename { from, to, only_if_absent: false })
}

/// RENAMENX key newkey.
pub(super) fn parse_rename_absent(args: &Args<'_>) -> Result<Command, Reply> {
    let (keys, from, to) = two(args);
    keys.joint(Work::Rename { from, to, only_if_absent: true })
}

/// `COPY source destination [DB destination-db] [REPLACE]`.
pub(super) fn parse_copy(args: &Args<'_>) -> Result<Command, Reply> {
    let mut replaces = false;
    let mut from = args.from(3);
    while let Some(option) = from.next() {
        if is(option, "REPLACE") {
            replaces = true;
        } else if is(option, "DB") {
            let number = from.next().ok_or(errors::SYNTAX)?;
            match super::numbers::integer(number) {
                Some(0) => {}
                Some(_) => return Err(errors::DB_INDEX),
                None => return Err(errors::NOT_AN_INTEGER),
            }
        } else {
            return Err(errors::SYNTAX);
        }
    }
    let (keys, from, to) = two(args);
    if from == to {
        return Err(errors::SAME_OBJECT);
    }
    keys.joint(Work::Copy { from, to, replaces })
}

/// SMOVE source destination member.
pub(super) fn parse_move_member(args: &Args<'_>) -> Result<Command, Reply> {
    let (keys, from, to) = two(args);
    keys.joint(Work::MoveMember { from, to, member: args.owned(3) })
}

/// RPOPLPUSH source destination.
pub(super) fn parse_pop_push(args: &Args<'_>) -> Result<Command, Reply> {
    Ok(move_between(args.at(1), args.at(2), (End::Right, End::Left)))
}

/// Takes an element from an end of one list to an end of another. The destination is the anchor.
pub(super) fn move_between(from: &[u8], to: &[u8], ends: (End, End)) -> Command {
    let mut keys = Keys::default();
    let to = keys.place(to);
    let from = keys.place(from);
    let work = Work::MoveElement { from, to, ends };
    Command::Joint(Box::new(Joint { keys: keys.0, request: None, work }))
}

/// The ends that LMOVE and BLMOVE name.
pub(super) fn ends(args: &Args<'_>) -> Result<(End, End), Reply> {
    let end = |word: &[u8]| match word {
        word if is(word, "LEFT") => Ok(End::Left),
        word if is(word, "RIGHT") => Ok(End::Right),
        _ => Err(errors::SYNTAX),
    };
    Ok((end(args.at(3))?, end(args.at(4))?))
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT.
pub(super) fn parse_move_element(args: &Args<'_>) -> Result<Command, Reply> {
    Ok(move_between(args.at(1), args.at(2), ends(args)?))
}

/// `MSETNX key value [key value …]`.
pub(super) fn parse_set_all_if_absent(args: &Args<'_>) -> Result<Command, Reply> {
    if args.all.len().is_multiple_of(2) {
        return Err(errors::arity(args.row.name));
    }
    let mut keys = Keys::default();
    let pairs = args.from(1).step_by(2).zip(args.from(2).step_by(2));
    let pairs = pairs.map(|(key, value)| (keys.place(key), value.into())).collect();
    keys.joint(Work::SetAllIfAbsent(pairs))
}
