//! Hashes: what the commands do with them, and how they read their arguments.

use super::codec::Arguments;
use super::numbers::{self, Float};
use super::objects::{bytes_of, copy, count, keep, object, Chosen};
use super::parse::{is, Args};
use super::scan::Scan;
use super::{errors, Command, Context, Op};
use crate::object::{Element, Hash};
use crate::reply::Reply;
use crate::state::State;

/// What can be done with a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOp {
    /// HSET and HMSET: fields and values in turns.
    Set {
        /// Field, value, field, value …
        pairs: Vec<Box<[u8]>>,
        /// HSET: answers how many are new; HMSET: OK.
        counts: bool,
    },
    /// HSETNX.
    SetIfAbsent(Box<[u8]>, Box<[u8]>),
    /// HGET.
    Get(Box<[u8]>),
    /// HMGET.
    GetMany(Vec<Box<[u8]>>),
    /// HGETALL.
    GetAll,
    /// HKEYS.
    Fields,
    /// HVALS.
    Values,
    /// HLEN.
    Count,
    /// HEXISTS.
    Exists(Box<[u8]>),
    /// HSTRLEN.
    Length(Box<[u8]>),
    /// HDEL.
    Delete(Vec<Box<[u8]>>),
    /// HINCRBY.
    Add(Box<[u8]>, i64),
    /// HINCRBYFLOAT, by an argument that is known to be a float.
    AddFloat(Box<[u8]>, Box<[u8]>),
    /// HRANDFIELD without a count.
    Random,
    /// HRANDFIELD with a count, and with values or without.
    RandomMany(Chosen, bool),
    /// HSCAN.
    Scan(Scan),
}

impl HashOp {
    /// Bytes of the arguments that can be long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            HashOp::Set { pairs: list, .. } | HashOp::GetMany(list) | HashOp::Delete(list) => bytes_of(list),
            HashOp::SetIfAbsent(one, other) | HashOp::AddFloat(one, other) => one.len() + other.len(),
            HashOp::Get(field) | HashOp::Exists(field) | HashOp::Length(field) | HashOp::Add(field, _) => {
                field.len()
            }
            HashOp::Scan(scan) => scan.bytes(),
            HashOp::GetAll
            | HashOp::Fields
            | HashOp::Values
            | HashOp::Count
            | HashOp::Random
            | HashOp::RandomMany(..) => 0,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        match self {
            HashOp::Set { .. }
            | HashOp::SetIfAbsent(..)
            | HashOp::Delete(_)
            | HashOp::Add(..)
            | HashOp::AddFloat(..) => false,
            HashOp::Get(_)
            | HashOp::GetMany(_)
            | HashOp::GetAll
            | HashOp::Fields
            | HashOp::Values
            | HashOp::Count
            | HashOp::Exists(_)
            | HashOp::Length(_)
            | HashOp::Random
            | HashOp::RandomMany(..)
            | HashOp::Scan(_) => true,
        }
    }

    /// Its argument list.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        match self {
            HashOp::Set { pairs, counts } => {
                to.text(if *counts { "HSET" } else { "HMSET" }).bytes(key).all(pairs)
            }
            HashOp::SetIfAbsent(field, value) => to.text("HSETNX").bytes(key).bytes(field).bytes(value),
            HashOp::Get(field) => to.text("HGET").bytes(key).bytes(field),
            HashOp::GetMany(fields) => to.text("HMGET").bytes(key).all(fields),
            HashOp::GetAll => to.text("HGETALL").bytes(key),
            HashOp::Fields => to.text("HKEYS").bytes(key),
            HashOp::Values => to.text("HVALS").bytes(key),
            HashOp::Count => to.text("HLEN").bytes(key),
            HashOp::Exists(field) => to.text("HEXISTS").bytes(key).bytes(field),
            HashOp::Length(field) => to.text("HSTRLEN").bytes(key).bytes(field),
            HashOp::Delete(fields) => to.text("HDEL").bytes(key).all(fields),
            HashOp::Add(field, by) => to.text("HINCRBY").bytes(key).bytes(field).number(by),
            HashOp::AddFloat(field, by) => to.text("HINCRBYFLOAT").bytes(key).bytes(field).bytes(by),
            HashOp::Random => to.text("HRANDFIELD").bytes(key),
            HashOp::RandomMany(chosen, with_values) => {
                to.text("HRANDFIELD").bytes(key).number(chosen.number());
                if *with_values {
                    to.text("WITHVALUES");
                }
                to
            }
            HashOp::Scan(scan) => {
                scan.spell(to.text("HSCAN").bytes(key));
                to
            }
        }
    }
}

/// Runs a command on a key that holds a hash or nothing.
pub(super) fn run(op: &HashOp, state: &mut State, context: &mut Context<'_>) -> Reply {
    let changed = match op {
        HashOp::Set { pairs, counts } => set(state, pairs, *counts, context),
        HashOp::SetIfAbsent(field, value) => set_if_absent(state, field, value, context),
        HashOp::Delete(fields) => delete(state, fields, context),
        HashOp::Add(field, by) => add(state, field, *by, context),
        HashOp::AddFloat(field, by) => add_float(state, field, by, context),
        read => return look(read, object(state), context).unwrap_or_else(|error| error),
    };
    changed.unwrap_or_else(|error| error)
}

/// What changes nothing. No hash: as an absent key.
pub(super) fn look(op: &HashOp, hash: Option<&Hash>, context: &mut Context<'_>) -> Result<Reply, Reply> {
    let get = |field: &[u8]| hash.and_then(|hash| hash.get(field));
    let value = |field: &[u8]| get(field).map_or(Reply::Nil, Reply::bulk);
    let entries = || hash.into_iter().flat_map(Hash::iter);
    let len = hash.map_or(0, Hash::len);
    let at = |place: usize| hash.and_then(|hash| hash.at(place)).expect("places are below the length");
    Ok(match op {
        HashOp::Get(field) => value(field),
        HashOp::GetMany(fields) => Reply::Array(fields.iter().map(|field| value(field)).collect()),
        HashOp::GetAll => {
            Reply::Map(entries().map(|(field, value)| (Reply::bulk(field), Reply::bulk(value))).collect())
        }
        HashOp::Fields => Reply::Array(entries().map(|(field, _)| Reply::bulk(field)).collect()),
        HashOp::Values => Reply::Array(entries().map(|(_, value)| Reply::bulk(value)).collect()),
        HashOp::Count => count(len),
        HashOp::Exists(field) => Reply::Int(get(field).is_some().into()),
        HashOp::Length(field) => count(get(field).map_or(0, |value| value.len())),
        HashOp::Random => {
            let places = Chosen::Different(1).places(len, |_| 0, context)?;
            places.first().map_or(Reply::Nil, |place| Reply::bulk(&at(*place).0))
        }
        HashOp::RandomMany(chosen, with_values) => {
            let bytes = |place: usize| at(place).0.len() + at(place).1.len();
            let places = chosen.places(len, bytes, context)?;
            if *with_values {
                let pair = |(field, value): &(Element, Element)| (Reply::bulk(field), Reply::bulk(value));
                Reply::Pairs(places.into_iter().map(|place| pair(at(place))).collect())
            } else {
                Reply::Array(places.into_iter().map(|place| Reply::bulk(&at(place).0)).collect())
            }
        }
        HashOp::Scan(scan) => {
            let none = Hash::default();
            let hash = hash.unwrap_or(&none);
            scan.page(hash.scan_order(), hash.iter().map(|(field, _)| field), |field, replies| {
                replies.push(Reply::bulk(field));
                if !scan.names_only {
                    replies.push(value(field));
                }
            })
        }
        HashOp::Set { .. }
        | HashOp::SetIfAbsent(..)
        | HashOp::Delete(_)
        | HashOp::Add(..)
        | HashOp::AddFloat(..) => unreachable!("it is a write"),
    })
}

fn set(state: &mut State, pairs: &[Box<[u8]>], counts: bool, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut hash: Hash = copy(state);
    let before = hash.len();
    for pair in pairs.chunks_exact(2) {
        hash.set(&pair[0], &pair[1]);
    }
    let new = hash.len() - before;
    keep(state, hash, context)?;
    Ok(if counts { count(new) } else { Reply::OK })
}

fn set_if_absent(
    state: &mut State,
    field: &[u8],
    value: &[u8],
    context: &Context<'_>,
) -> Result<Reply, Reply> {
    let mut hash: Hash = copy(state);
    if hash.get(field).is_some() {
        return Ok(Reply::Int(0));
    }
    hash.set(field, value);
    keep(state, hash, context)?;
    Ok(Reply::Int(1))
}

fn delete(state: &mut State, fields: &[Box<[u8]>], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut hash: Hash = copy(state);
    let gone = fields.iter().filter(|field| hash.remove(field)).count();
    if gone > 0 {
        keep(state, hash, context)?;
    }
    Ok(count(gone))
}

fn add(state: &mut State, field: &[u8], by: i64, context: &Context<'_>) -> Result<Reply, Reply> {
    let mut hash: Hash = copy(state);
    let old = hash.get(field).map_or(Some(0), |value| numbers::integer(value));
    let sum = old.ok_or(errors::HASH_NOT_AN_INTEGER)?.checked_add(by).ok_or(errors::OVERFLOW)?;
    hash.set(field, sum.to_string().as_bytes());
    keep(state, hash, context)?;
    Ok(Reply::Int(sum))
}

fn add_float(state: &mut State, field: &[u8], by: &[u8], context: &Context<'_>) -> Result<Reply, Reply> {
    let mut hash: Hash = copy(state);
    let old = hash.get(field).map_or(Some(Float::ZERO), |value| Float::parse(value));
    let old = old.ok_or(errors::HASH_NOT_A_FLOAT)?;
    let by = Float::parse(by).ok_or(errors::NOT_A_FLOAT)?;
    let sum = old.add(by).ok_or(errors::NOT_FINITE)?.format();
    hash.set(field, sum.as_bytes());
    keep(state, hash, context)?;
    Ok(Reply::Bulk(sum.into_bytes()))
}

/// Most fields, and longest field or value, of a hash that Redis keeps in one piece.
const PACKED: (usize, usize) = (512, 64);

/// What Redis would say of a hash freshly made.
pub(super) fn encoding(hash: &Hash) -> &'static str {
    if hash.len() <= PACKED.0 && hash.iter().all(|(field, value)| field.len().max(value.len()) <= PACKED.1) {
        "listpack"
    } else {
        "hashtable"
    }
}

fn on_key(args: &Args<'_>, op: HashOp) -> Result<Command, Reply> {
    args.on_key(Op::OnHash(op))
}

/// HSET and HMSET key field value …
fn pairs(args: &Args<'_>, counts: bool) -> Result<Command, Reply> {
    if args.all.len() % 2 == 1 {
        return Err(errors::arity(args.row.name));
    }
    on_key(args, HashOp::Set { pairs: args.from(2).map(Into::into).collect(), counts })
}

/// HSET key field value …
pub(super) fn parse_set(args: &Args<'_>) -> Result<Command, Reply> {
    pairs(args, true)
}

/// HMSET key field value …
pub(super) fn parse_set_many(args: &Args<'_>) -> Result<Command, Reply> {
    pairs(args, false)
}

/// HSETNX key field value.
pub(super) fn parse_set_if_absent(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::SetIfAbsent(args.owned(2), args.owned(3)))
}

/// HGET key field.
pub(super) fn parse_get(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Get(args.owned(2)))
}

/// HMGET key field …
pub(super) fn parse_get_many(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::GetMany(args.from(2).map(Into::into).collect()))
}

/// HGETALL key.
pub(super) fn parse_get_all(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::GetAll)
}

/// HKEYS key.
pub(super) fn parse_fields(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Fields)
}

/// HVALS key.
pub(super) fn parse_values(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Values)
}

/// HLEN key.
pub(super) fn parse_count(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Count)
}

/// HEXISTS key field.
pub(super) fn parse_exists(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Exists(args.owned(2)))
}

/// HSTRLEN key field.
pub(super) fn parse_length(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Length(args.owned(2)))
}

/// HDEL key field …
pub(super) fn parse_delete(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Delete(args.from(2).map(Into::into).collect()))
}

/// HINCRBY key field increment.
pub(super) fn parse_add(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Add(args.owned(2), args.integer(3)?))
}

/// HINCRBYFLOAT key field increment.
pub(super) fn parse_add_float(args: &Args<'_>) -> Result<Command, Reply> {
    if !Float::parse(args.at(3)).ok_or(errors::NOT_A_FLOAT)?.is_finite() {
        return Err(errors::NAN_OR_INFINITY);
    }
    on_key(args, HashOp::AddFloat(args.owned(2), args.owned(3)))
}

/// `HRANDFIELD key [count [WITHVALUES]]`.
pub(super) fn parse_random(args: &Args<'_>) -> Result<Command, Reply> {
    if args.all.len() == 2 {
        return on_key(args, HashOp::Random);
    }
    let chosen = Chosen::read(args, 2)?;
    let with_values = match (args.all.get(3), args.all.len()) {
        (None, _) => false,
        (Some(option), 4) if is(option, "WITHVALUES") => true,
        _ => return Err(errors::SYNTAX),
    };
    let chosen = if with_values { chosen.of_pairs()? } else { chosen };
    on_key(args, HashOp::RandomMany(chosen, with_values))
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`.
pub(super) fn parse_scan(args: &Args<'_>) -> Result<Command, Reply> {
    on_key(args, HashOp::Scan(Scan::read(args, true)?))
}
