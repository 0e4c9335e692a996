//! Pops of several keys: the first of them that holds something, at once or when it comes (BLPOP, LMPOP, BZPOPMIN and their like).
//!
//! None of them is a command of one key, and those that move what they take are joint commands. Who has the client tries the keys in their order, each by the command that pops from one key
//! ([`Pop::command`]), and waits between two tries (docs/design/blocking-pops.md). In a transaction, or with a number, they are one step on all of their keys that does not wait
//! ([`Pop::in_one_step`]).

use super::joint::{Keys, States, Work};
use super::list::End;
use super::parse::{is, Args};
use super::table::{Level, Row};
use super::{errors, joint, numbers, Command, Context, KeyCommand, Limits, ListOp, Op, SortedSetOp};
use crate::reply::Reply;

/// What such a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pop {
    /// In the order in which they are tried; at least one.
    pub keys: Vec<Box<[u8]>>,
    /// The list that takes what is taken, if one does.
    pub to: Option<Box<[u8]>>,
    /// What it takes.
    takes: Takes,
    /// How many entries at most. None: one, and it is not in a list of its own.
    count: Option<u64>,
    /// How long it waits for something, in microseconds; 0 = for as long as it takes. None: not at all.
    pub patience_us: Option<u64>,
}

/// Which entries of which type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Elements(End),
    Lowest,
    Highest,
    /// An element from one end, for an end of another list.
    Move(End, End),
}

impl Pop {
    /// Reads an argument list that was resolved to a row of [`Level::Pop`], and checks it against the limits.
    pub fn parse_row(row: &'static Row, args: &[&[u8]], limits: &Limits) -> Result<Pop, Reply> {
        let Level::Pop(reader) = row.level else { return Err(errors::NOT_DATA) };
        if !row.takes(args.len()) {
            return Err(errors::arity(row.name));
        }
        if args.iter().any(|arg| arg.len() > limits.value_bytes_max) {
            return Err(errors::value_too_long(limits));
        }
        let pop = reader.0(&Args { row, all: args })?;
        if pop.keys.iter().chain(&pop.to).any(|key| key.len() > limits.key_bytes_max) {
            return Err(errors::key_too_long(limits));
        }
        if pop.keys.iter().chain(&pop.to).any(|key| super::sql::is_reserved(key)) {
            return Err(errors::RESERVED_KEY);
        }
        Ok(pop)
    }

    /// The command that tries one of its keys.
    pub fn command(&self, key: &[u8]) -> Command {
        match self.takes.on_one(self.count) {
            Ok(op) => Command::Key(KeyCommand { key: key.into(), op }),
            Err(ends) => joint::move_between(key, self.to.as_deref().unwrap_or(key), ends),
        }
    }

    /// All of its tries as one step, which does not wait: the keys are then of one slot.
    pub fn in_one_step(self) -> Result<Command, Reply> {
        match self.takes.on_one(self.count) {
            Err(_) => Ok(self.command(&self.keys[0])),
            Ok(op) => {
                let mut keys = Keys::default();
                let places = self.keys.iter().map(|key| keys.place(key)).collect();
                keys.joint(Work::Pop(PopAtOnce { pop: self, places, op }))
            }
        }
    }

    /// What the client is told when the try of a key was answered so. None: there was nothing.
    pub fn reply(&self, key: &[u8], tried: Reply) -> Option<Reply> {
        let key = Reply::bulk(key);
        match tried {
            Reply::Nil | Reply::NilArray => None,
            element @ Reply::Bulk(_) if self.to.is_some() => Some(element),
            Reply::Array(entries) if entries.is_empty() => None,
            Reply::Pairs(pairs) if pairs.is_empty() => None,
            Reply::Pairs(pairs) => {
                let pairs = pairs.into_iter().map(|(member, score)| Reply::Array(vec![member, score]));
                Some(Reply::Array(vec![key, Reply::Array(pairs.collect())]))
            }
            Reply::Array(member) if self.count.is_none() => {
                Some(Reply::Array(std::iter::once(key).chain(member).collect()))
            }
            element @ (Reply::Bulk(_) | Reply::Array(_)) => Some(Reply::Array(vec![key, element])),
            error => Some(error),
        }
    }
}

impl Takes {
    /// What takes so many entries from one key, or else the ends between which an element goes.
    fn on_one(self, count: Option<u64>) -> Result<Op, (End, End)> {
        match self {
            Takes::Elements(end) => Ok(Op::OnList(ListOp::Pop(end, count))),
            Takes::Lowest => Ok(Op::OnSortedSet(SortedSetOp::Pop { highest: false, count })),
            Takes::Highest => Ok(Op::OnSortedSet(SortedSetOp::Pop { highest: true, count })),
            Takes::Move(take, give) => Err((take, give)),
        }
    }
}

/// A pop that tries all of its keys in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PopAtOnce {
    pop: Pop,
    /// Of its keys, in their order.
    places: Vec<usize>,
    /// What tries a key.
    op: Op,
}

impl PopAtOnce {
    pub fn bytes(&self) -> usize {
        self.pop.keys.iter().map(|key| key.len() + size_of::<(Box<[u8]>, usize)>()).sum()
    }

    /// Takes from the first key that holds something; nil where none does.
    pub fn run(&self, states: &mut States<'_>, context: &mut Context<'_>) -> Reply {
        let mut tries = self.pop.keys.iter().zip(&self.places);
        let took = tries.find_map(|(key, place)| {
            let tried = super::run(&self.op, states.at(*place), context);
            self.pop.reply(key, tried)
        });
        took.unwrap_or(Reply::NilArray)
    }
}

/// A time to wait, in seconds, as microseconds.
fn patience(word: &[u8]) -> Result<Option<u64>, Reply> {
    let seconds = numbers::score(word).ok_or(errors::TIMEOUT)?.value();
    if seconds < 0.0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    let micros = (seconds * 1e6).ceil();
    // Redis counts milliseconds in a signed number.
    if micros / 1e3 > i64::MAX as f64 {
        return Err(errors::TIMEOUT_RANGE);
    }
    Ok(Some(micros as u64))
}

/// `key [key ...] timeout`.
fn waits(args: &Args<'_>, takes: Takes) -> Result<Pop, Reply> {
    let (timeout, keys) = args.all.split_last().expect("the arity was checked");
    let keys = keys.iter().skip(1).map(|key| Box::from(*key)).collect();
    Ok(Pop { keys, to: None, takes, count: None, patience_us: patience(timeout)? })
}

/// `numkeys key [key ...] where [COUNT count]`, from an index on.
fn counted(
    args: &Args<'_>,
    at: usize,
    patience_us: Option<u64>,
    sides: [(&str, Takes); 2],
) -> Result<Pop, Reply> {
    let number = numbers::integer(args.at(at)).filter(|number| *number > 0).ok_or(errors::NUMKEYS)?;
    let mut words = args.from(at + 1);
    let number = usize::try_from(number).unwrap_or(usize::MAX).min(args.all.len());
    let keys: Vec<Box<[u8]>> = words.by_ref().take(number).map(Into::into).collect();
    let side = words.next().ok_or(errors::SYNTAX)?;
    let (_, takes) = sides.into_iter().find(|(name, _)| is(side, name)).ok_or(errors::SYNTAX)?;
    let mut count = None;
    while let Some(option) = words.next() {
        if count.is_some() || !is(option, "COUNT") {
            return Err(errors::SYNTAX);
        }
        let number = words.next().ok_or(errors::SYNTAX)?;
        let number = numbers::integer(number).and_then(|number| u64::try_from(number).ok());
        count = Some(number.filter(|number| *number > 0).ok_or(errors::COUNT)?);
    }
    Ok(Pop { keys, to: None, takes, count: count.or(Some(1)), patience_us })
}

const ENDS: [(&str, Takes); 2] =
    [("LEFT", Takes::Elements(End::Left)), ("RIGHT", Takes::Elements(End::Right))];
const SCORES: [(&str, Takes); 2] = [("MIN", Takes::Lowest), ("MAX", Takes::Highest)];

/// `BLPOP key [key ...] timeout`.
pub(super) fn wait_left(args: &Args<'_>) -> Result<Pop, Reply> {
    waits(args, Takes::Elements(End::Left))
}

/// `BRPOP key [key ...] timeout`.
pub(super) fn wait_right(args: &Args<'_>) -> Result<Pop, Reply> {
    waits(args, Takes::Elements(End::Right))
}

/// `BZPOPMIN key [key ...] timeout`.
pub(super) fn wait_lowest(args: &Args<'_>) -> Result<Pop, Reply> {
    waits(args, Takes::Lowest)
}

/// `BZPOPMAX key [key ...] timeout`.
pub(super) fn wait_highest(args: &Args<'_>) -> Result<Pop, Reply> {
    waits(args, Takes::Highest)
}

/// What BLMOVE and BRPOPLPUSH wait for.
fn moves(args: &Args<'_>, (take, give): (End, End), timeout: &[u8]) -> Result<Pop, Reply> {
    let (keys, to) = (vec![args.owned(1)], Some(args.owned(2)));
    Ok(Pop { keys, to, takes: Takes::Move(take, give), count: None, patience_us: patience(timeout)? })
}

/// BRPOPLPUSH source destination timeout.
pub(super) fn wait_pop_push(args: &Args<'_>) -> Result<Pop, Reply> {
    moves(args, (End::Right, End::Left), args.at(3))
}

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout.
pub(super) fn wait_move(args: &Args<'_>) -> Result<Pop, Reply> {
    moves(args, joint::ends(args)?, args.at(5))
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
pub(super) fn elements(args: &Args<'_>) -> Result<Pop, Reply> {
    counted(args, 1, None, ENDS)
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
pub(super) fn wait_elements(args: &Args<'_>) -> Result<Pop, Reply> {
    counted(args, 2, patience(args.at(1))?, ENDS)
}

/// `ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`.
pub(super) fn members(args: &Args<'_>) -> Result<Pop, Reply> {
    counted(args, 1, None, SCORES)
}

/// `BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]`.
pub(super) fn wait_members(args: &Args<'_>) -> Result<Pop, Reply> {
    counted(args, 2, patience(args.at(1))?, SCORES)
}
