//! Sets: what the commands do with them, and how they read their arguments.

use super::codec::Arguments;
use super::list::count_behind_key;
use super::objects::{bytes_of, copy, count, keep, object, Chosen};
use super::parse::Args;
use super::scan::Scan;
use super::{errors, numbers, Command, Context, Op};
use crate::object::Set;
use crate::reply::Reply;
use crate::state::State;

/// What can be done with a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOp {
    /// SADD.
    Add(Vec<Box<[u8]>>),
    /// SREM.
    Remove(Vec<Box<[u8]>>),
    /// SPOP, with a count or without.
    Pop(Option<u64>),
    /// SCARD.
    Count,
    /// SISMEMBER.
    Contains(Box<[u8]>),
    /// SMISMEMBER.
    ContainsEach(Vec<Box<[u8]>>),
    /// SMEMBERS.
    Members,
    /// SRANDMEMBER without a count.
    Random,
    /// SRANDMEMBER with a count.
    RandomMany(Chosen),
    /// SSCAN.
    Scan(Scan),
}

impl SetOp {
    /// Bytes of the arguments that can be long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            SetOp::Add(members) | SetOp::Remove(members) | SetOp::ContainsEach(members) => bytes_of(members),
            SetOp::Contains(member) => member.len(),
            SetOp::Scan(scan) => scan.bytes(),
            SetOp::Pop(_) | SetOp::Count | SetOp::Members | SetOp::Random | SetOp::RandomMany(_) => 0,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        match self {
            SetOp::Add(_) | SetOp::Remove(_) | SetOp::Pop(_) => false,
            SetOp::Count
            | SetOp::Contains(_)
            | SetOp::ContainsEach(_)
            | SetOp::Members
            | SetOp::Random
            | SetOp::RandomMany(_)
            | SetOp::Scan(_) => true,
        }
    }

    /// Its argument list.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        match self {
            SetOp::Add(members) => to.text("SADD").bytes(key).all(members),
            SetOp::Remove(members) => to.text("SREM").bytes(key).all(members),
            SetOp::Pop(None) => to.text("SPOP").bytes(key),
            SetOp::Pop(Some(count)) => to.text("SPOP").bytes(key).number(count),
            SetOp::Count => to.text("SCARD").bytes(key),
            SetOp::Contains(member) => to.text("SISMEMBER").bytes(key).bytes(member),
            SetOp::ContainsEach(members) => to.text("SMISMEMBER").bytes(key).all(members),
            SetOp::Members => to.text("SMEMBERS").bytes(key),
            SetOp::Random => to.text("SRANDMEMBER").bytes(key),
            SetOp::RandomMany(chosen) => to.text("SRANDMEMBER").bytes(key).number(chosen.number()),
            SetOp::Scan(scan) => {
                scan.spell(to.text("SSCAN").bytes(key));
                to
            }
        }
    }
}

/// Runs a command on a key that holds a set or nothing.
pub(super) fn run(op: &SetOp, state: &mut State, context: &mut Context<'_>) -> Reply {
    let changed = match op {
        SetOp::Add(members) => add(state, members, context),
        SetOp::Remove(members) => remove(state, members, context),
        SetOp::Pop(wanted) => pop(state, *wanted, context),
        read => look(read, object(state), context),
    };
    changed.unwrap_or_else(|error| error)
}

/// What changes nothing.
fn look(op: &SetOp, set: Option<&Set>, context: &mut Context<'_>) -> Result<Reply, Reply> {
    let contains = |member: &[u8]| Reply::Int(set.is_some_and(|set| set.contains(member)).into());
    let members = || set.into_iter().flat_map(Set::iter);
    let len = set.map_or(0, Set::len);
    let at = |place: usize| set.and_then(|set| set.at(place)).expect("places are below the length");
    Ok(match op {
        SetOp::Count => count(len),
        SetOp::Contains(member) => contains(member),
        SetOp::ContainsEach(list) => Reply::Array(list.iter().map(|member| contains(member)).collect()),
        SetOp::Members => Reply::Set(members().map(Reply::bulk).collect()),
        SetOp::Random => {
            let places = Chosen::Different(1).places(len, |_| 0, context)?;
            places.first().map_or(Reply::Nil, |place| Reply::bulk(at(*place)))
        }
        SetOp::RandomMany(chosen) => {
            let places = chosen.places(len, |place| at(place).len(), context)?;
            Reply::Array(places.into_iter().map(|place| Reply::bulk(at(place))).collect())
        }
        SetOp::Scan(scan) => {
            let none = Set::default();
            let set = set.unwrap_or(&none);
            scan.page(set.scan_order(), set.iter(), |member, replies| replies.push(Reply::bulk(member)))
        }
        SetOp::Add(_) | SetOp::Remove(_) | SetOp::Pop(_) => unreachable!("it is a write"),
    })
}

fn add(state: &mut State, members: &[Box<[u8]>], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: Set = copy(state);
    let new = members.iter().filter(|member| set.insert(member)).count();
    if new > 0 {
        keep(state, set, context)?;
    }
    Ok(count(new))
}

fn remove(state: &mut State, members: &[Box<[u8]>], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut set: Set = copy(state);
    let gone = members.iter().filter(|member| set.remove(member)).count();
    if gone > 0 {
        keep(state, set, context)?;
    }
    Ok(count(gone))
}

fn pop(state: &mut State, wanted: Option<u64>, context: &mut Context<'_>) -> Result<Reply, Reply> {
    let mut set: Set = copy(state);
    let places = Chosen::Different(wanted.unwrap_or(1)).places(set.len(), |_| 0, context)?;
    // From the end, so that the places of the others stay.
    let mut popped: Vec<Reply> =
        places.iter().rev().map(|place| Reply::bulk(set.remove_at(*place))).collect();
    if !popped.is_empty() {
        keep(state, set, context)?;
    }
    match wanted {
        Some(_) => Ok(Reply::Set(popped)),
        None => Ok(popped.pop().unwrap_or(Reply::Nil)),
    }
}

/// Most members, all of them integers, of a set that Redis keeps as such.
const INTEGERS_MAX: usize = 512;
/// Most members, and the longest one, of a set that Redis keeps in one piece.
const PACKED: (usize, usize) = (128, 64);

/// What Redis would say of a set freshly made.
pub(super) fn encoding(set: &Set) -> &'static str {
    if set.len() <= INTEGERS_MAX && set.iter().all(|member| numbers::integer(member).is_some()) {
        "intset"
    } else if set.len() <= PACKED.0 && set.iter().all(|member| member.len() <= PACKED.1) {
        "listpack"
    } else {
        "hashtable"
    }
}

fn on_key(args: &Args<'_>, op: SetOp) -> Result<Command, Reply> {
    args.on_key(Op::OnSet(op))
}

/// SADD key member …
pub(super) fn parse_add(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Add(args.from(2).map(Into::into).collect()))
}

/// SREM key member …
pub(super) fn parse_remove(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Remove(args.from(2).map(Into::into).collect()))
}

/// `SPOP key [count]`.
pub(super) fn parse_pop(args: &Args<'_>) -> Result<Command, Reply> {
    if args.all.len() > 3 {
        return Err(errors::SYNTAX);
    }
    on_key(args, SetOp::Pop(count_behind_key(args)?))
}

/// SCARD key.
pub(super) fn parse_count(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Count)
}

/// SISMEMBER key member.
pub(super) fn parse_contains(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Contains(args.owned(2)))
}

/// SMISMEMBER key member …
pub(super) fn parse_contains_each(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::ContainsEach(args.from(2).map(Into::into).collect()))
}

/// SMEMBERS key.
pub(super) fn parse_members(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Members)
}

/// `SRANDMEMBER key [count]`.
pub(super) fn parse_random(args: &Args<'_>) -> Result<Command, Reply> {
    match args.all.len() {
        2 => on_key(args, SetOp::Random),
        3 => on_key(args, SetOp::RandomMany(Chosen::read(args, 2)?)),
        _ => Err(errors::SYNTAX),
    }
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`.
pub(super) fn parse_scan(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, SetOp::Scan(Scan::read(args, false)?))
}
