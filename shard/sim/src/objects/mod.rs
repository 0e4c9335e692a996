//! Keys that hold objects: what of an object stands for a value, and how commands are said about it.
//!
//! Tokens are appended to a list; a register and a counter are a field of a hash or the score of a member of a sorted set; what is
//! conditional is whether a set has its member. And of some keys it is of no account what they hold: when that ends stands for a value ([`ends`]).

pub mod ends;

use reactor::rng::Rng;
use shard::reply::Reply;
use shard::state::Value;
use synod_bench::history::{self, Command};

use crate::ledger::TOKEN_BYTES;
use crate::limits::{LENGTHENED_MAX, LENGTH_BYTES};
use crate::workload::{Kind, Told};

/// The field of a hash, or the member of a set, that stands for a value.
const FIELD: &[u8] = b"f";

/// One that stands for nothing.
const OTHER: &[u8] = b"g";

/// What ends the names of keys that hold long objects.
const LONG: char = 'l';

/// What a key holds in the place of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Its elements begin with tokens.
    List,
    /// With one field.
    Hash,
    /// With one member, or without.
    Set,
    /// With one member, whose score is the value.
    SortedSet,
    /// A set whose members are tokens: of those between which things are moved.
    Members,
    /// Anything: when it ends is the value.
    End,
}

/// What keys of a kind can hold, if that is an object.
pub fn shape_for(kind: Kind, rng: &mut Rng) -> Option<Shape> {
    match kind {
        Kind::Appended => Some(Shape::List),
        Kind::Register | Kind::Counter => Some(if rng.coin() { Shape::Hash } else { Shape::SortedSet }),
        Kind::Mixed => Some(Shape::Set),
        _ => None,
    }
}

/// What ends the name of a key that holds an object.
pub fn suffix(shape: Shape, is_long: bool) -> String {
    let letter = match shape {
        Shape::List => 'L',
        Shape::Hash => 'H',
        Shape::Set => 'S',
        Shape::SortedSet => 'Z',
        Shape::Members => 'M',
        Shape::End => 'E',
    };
    let mut suffix = letter.to_string();
    suffix.extend(is_long.then_some(LONG));
    suffix
}

/// What a key holds, by its name; None: a string, or rows.
pub fn shape_of(key: &[u8]) -> Option<Shape> {
    let short = key.strip_suffix(&[LONG as u8]).unwrap_or(key);
    Some(match short.last()? {
        b'L' => Shape::List,
        b'H' => Shape::Hash,
        b'S' => Shape::Set,
        b'Z' => Shape::SortedSet,
        b'M' => Shape::Members,
        b'E' => Shape::End,
        _ => return None,
    })
}

/// Whether an object is long, by its key's name.
fn is_long(key: &[u8]) -> bool {
    key.last() == Some(&(LONG as u8))
}

/// Whether a key may be there without what stands for its value.
pub fn may_lack_value(key: &[u8]) -> bool {
    match shape_of(key) {
        Some(Shape::Set) => is_long(key),
        Some(Shape::End) => true,
        _ => false,
    }
}

/// What makes an object longer, and means nothing, if the command with this token is to do so.
pub fn length_of(key: &[u8], token: &[u8]) -> Option<Vec<u8>> {
    let unique: u64 = std::str::from_utf8(token.get(2..7)?).ok()?.parse().ok()?;
    (is_long(key) && unique.is_multiple_of(6) && unique <= LENGTHENED_MAX).then(|| vec![b'x'; LENGTH_BYTES])
}

/// What is asked about an object instead of a command drawn for its kind.
pub fn as_said(shape: Shape, command: Command) -> Command {
    match (shape, command) {
        // Members have no values: there is one, and who finds it adds none.
        (Shape::Set, Command::SetIfAbsent(_) | Command::CompareSet { .. } | Command::GetSet(_)) => {
            Command::SetIfAbsent(FIELD.to_vec())
        }
        (Shape::Set, Command::GetDel) => Command::Del,
        (Shape::End, command) => ends::as_said(command),
        (_, command) => command,
    }
}

/// The words of a command about an object.
pub fn words(shape: Shape, key: &[u8], command: &Command) -> Vec<Vec<u8>> {
    let words: Vec<&[u8]> = match (shape, command) {
        (Shape::End, command) => return ends::words(key, command),
        (Shape::Members, Command::Get) => vec![b"SMEMBERS", key],
        (Shape::List, Command::Strlen) => vec![b"LLEN", key],
        (Shape::List, Command::Get) => vec![b"LRANGE", key, b"0", b"-1"],
        (Shape::Hash, Command::Get) => vec![b"HGET", key, FIELD],
        (Shape::SortedSet, Command::Get) => vec![b"ZSCORE", key, FIELD],
        (Shape::Set, Command::Get) => vec![b"SMEMBERS", key],
        (Shape::Set, Command::Exists) => vec![b"SISMEMBER", key, FIELD],
        (Shape::Set, Command::Del | Command::Clear) => vec![b"SREM", key, FIELD],
        (Shape::Set, Command::SetIfAbsent(member)) => vec![b"SADD", key, member],
        (Shape::List, Command::Append(token)) => {
            let length = length_of(key, token).unwrap_or_default();
            return vec![b"RPUSH".to_vec(), key.to_vec(), [token.as_slice(), &length].concat()];
        }
        (Shape::Hash | Shape::SortedSet, Command::Set(token)) => return put(shape, key, token),
        (Shape::Hash | Shape::SortedSet, Command::IncrBy(step)) => {
            let (name, step) = (key.to_vec(), step.to_string().into_bytes());
            return match shape {
                Shape::Hash => vec![b"HINCRBY".to_vec(), name, FIELD.to_vec(), step],
                _ => vec![b"ZINCRBY".to_vec(), name, step, FIELD.to_vec()],
            };
        }
        (_, Command::Del | Command::Clear) => vec![b"DEL", key],
        (_, Command::Exists) => vec![b"EXISTS", key],
        other => unreachable!("not said of an object: {other:?}"),
    };
    words.into_iter().map(<[u8]>::to_vec).collect()
}

fn put(shape: Shape, key: &[u8], token: &[u8]) -> Vec<Vec<u8>> {
    let length = length_of(key, token);
    let key = key.to_vec();
    match shape {
        Shape::SortedSet => {
            let mut words = vec![b"ZADD".to_vec(), key, token[..TOKEN_BYTES - 1].to_vec(), FIELD.to_vec()];
            words.extend(length.into_iter().flat_map(|length| [b"0".to_vec(), length]));
            words
        }
        _ => {
            let mut words = vec![b"HSET".to_vec(), key, FIELD.to_vec(), token.to_vec()];
            words.extend(length.into_iter().flat_map(|length| [token[..1].to_vec(), length]));
            words
        }
    }
}

/// What makes a set longer, before its member is added.
pub fn lengthening(key: &[u8]) -> Vec<Vec<u8>> {
    vec![b"SADD".to_vec(), key.to_vec(), vec![b'x'; LENGTH_BYTES]]
}

/// The same as two steps, of which the second one tells what the whole would tell.
pub fn in_steps(shape: Shape, key: &[u8], command: &Command) -> Option<[Vec<Vec<u8>>; 2]> {
    let step = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    let whole = || words(shape, key, command);
    Some(match (shape, command) {
        (Shape::List, Command::Append(_)) => [whole(), words(shape, key, &Command::Strlen)],
        (Shape::Hash, Command::Set(_)) => [step(&[b"HSET", key, OTHER, b"1"]), whole()],
        (Shape::SortedSet, Command::Set(_)) => [step(&[b"ZADD", key, b"1", OTHER]), whole()],
        (Shape::Hash | Shape::SortedSet, Command::IncrBy(by)) => {
            let add = |by| words(shape, key, &Command::IncrBy(by));
            [add(by + 1), add(-1)]
        }
        (Shape::Set, Command::SetIfAbsent(_)) => [lengthening(key), whole()],
        (Shape::Set, Command::Del) => [step(&[b"SREM", key, OTHER]), whole()],
        (Shape::End, Command::Set(_) | Command::SetIfAbsent(_)) => ends::in_steps(key, command),
        _ => return None,
    })
}

/// What a reply about an object says, if that is not what the same reply says about a string.
pub fn told(shape: Shape, key: &[u8], command: &Command, reply: &Reply) -> Option<Told> {
    let counts = key.starts_with(b"c");
    let told = match (shape, command, reply) {
        (Shape::End, command, Reply::Int(number)) => ends::told(key, command, *number)?,
        (Shape::Members, Command::Get, Reply::Array(members) | Reply::Set(members))
            if !members.is_empty() =>
        {
            let mut tokens: Vec<&[u8]> = members.iter().filter_map(bytes).collect();
            tokens.sort_unstable();
            history::Reply::Value(tokens.concat())
        }
        (Shape::List, _, Reply::Int(elements)) => history::Reply::Int(elements * TOKEN_BYTES as i64),
        (Shape::List, _, Reply::Array(elements)) if !elements.is_empty() => {
            let tokens = elements.iter().filter_map(bytes).flat_map(token_of);
            history::Reply::Value(tokens.copied().collect())
        }
        (Shape::Set, Command::Get, Reply::Array(members) | Reply::Set(members)) => {
            match members.iter().filter_map(bytes).any(|member| member == FIELD) {
                true => history::Reply::Value(FIELD.to_vec()),
                false => history::Reply::Nil,
            }
        }
        (Shape::SortedSet, Command::IncrBy(_), reply) => history::Reply::Int(score(reply)? as i64),
        (Shape::SortedSet, Command::Get, reply) => {
            let score = score(reply)?;
            history::Reply::Value(if counts { score.to_string().into_bytes() } else { token(score) })
        }
        (_, Command::Set(_), Reply::Int(_)) => history::Reply::Ok,
        _ => return None,
    };
    Some(Told::Reply(told, None))
}

fn bytes(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Bulk(bytes) => Some(bytes),
        _ => None,
    }
}

/// The token that an element of a list begins with.
fn token_of(element: &[u8]) -> &[u8] {
    element.get(..TOKEN_BYTES).unwrap_or(element)
}

/// The token whose number is a score.
fn token(score: f64) -> Vec<u8> {
    format!("{score:07};").into_bytes()
}

fn score(reply: &Reply) -> Option<f64> {
    match reply {
        Reply::Double(score) => Some(*score),
        Reply::Bulk(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// What an object is to the history: of a list the tokens of all elements one behind the other.
pub fn text_of(value: &Value) -> Vec<u8> {
    match value {
        Value::List(list) => {
            list.iter_from(0).flat_map(|element| token_of(element).iter().copied()).collect()
        }
        Value::Hash(hash) => hash.get(FIELD).map(|value| value.to_vec()).unwrap_or_default(),
        Value::Set(set) => {
            if set.contains(FIELD) {
                FIELD.to_vec()
            } else {
                Vec::new()
            }
        }
        Value::SortedSet(set) => set.score(FIELD).map(|score| token(score.value())).unwrap_or_default(),
        Value::Str(_) | Value::Rows(_) | Value::Group(_) => Vec::new(),
    }
}
