//! What can be done with a key of any type.

use super::parse::{is, Args};
use super::strings::Condition;
use super::{errors, numbers, Command, Op};
use crate::reply::Reply;
use crate::state::{State, Value};

/// Longest string that Redis keeps in one allocation with its header (`embstr`).
const EMBEDDED_BYTES_MAX: usize = 44;

pub(super) fn delete(state: &mut State, condition: Option<&Condition>) -> Reply {
    let holds = condition.is_none_or(|condition| condition.holds(state));
    Reply::Int((holds && state.delete()).into())
}

pub(super) fn type_of(state: &State) -> Reply {
    Reply::Simple(state.value.as_ref().map_or("none", |value| value.kind().name()).into())
}

/// What Redis would say of a value freshly made.
pub(super) fn encoding(state: &State) -> Reply {
    let Some(value) = &state.value else { return Reply::Nil };
    Reply::bulk(match value {
        Value::Str(bytes) if numbers::integer(bytes).is_some() => "int",
        Value::Str(bytes) if bytes.len() <= EMBEDDED_BYTES_MAX => "embstr",
        Value::Str(_) => "raw",
        Value::Hash(hash) => super::hash::encoding(hash),
        Value::List(list) => super::list::encoding(list),
        Value::Set(set) => super::set::encoding(set),
        Value::SortedSet(set) => super::sorted_set::encoding(set),
        Value::Rows(_) | Value::Group(_) => "rows",
    })
}

/// The same answer for every key that is present.
pub(super) fn of_present(state: &State, reply: Reply) -> Reply {
    if state.value.is_some() {
        reply
    } else {
        Reply::Nil
    }
}

/// TYPE key.
pub(super) fn parse_type(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Type)
}

/// OBJECT ENCODING key.
pub(super) fn parse_encoding(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Encoding)
}

/// OBJECT FREQ key.
pub(super) fn parse_frequency(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Frequency)
}

/// OBJECT IDLETIME key.
pub(super) fn parse_idle_time(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::IdleTime)
}

/// OBJECT REFCOUNT key.
pub(super) fn parse_reference_count(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::ReferenceCount)
}

/// Bytes of the value, as it is stored.
pub(super) fn memory(state: &State) -> Reply {
    state.value.as_ref().map_or(Reply::Nil, |value| super::objects::count(value.bytes()))
}

/// `MEMORY USAGE key [SAMPLES count]`. Nothing is sampled: the size is known.
pub(super) fn parse_memory(args: &Args<'_>) -> Result<Command, Reply> {
    let mut options = args.from(3);
    while let Some(option) = options.next() {
        let count = options.next().filter(|_| is(option, "SAMPLES")).ok_or(errors::SYNTAX)?;
        if numbers::integer(count).ok_or(errors::NOT_AN_INTEGER)? < 0 {
            return Err(errors::SYNTAX);
        }
    }
    args.on_key(Op::Memory)
}

/// OBJECT VERSION key.
pub(super) fn parse_version(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Version)
}
