//! Strings: what the commands do with the state of a key.

use xxhash_rust::xxh3::xxh3_64;

use super::errors;
use super::numbers::{self, Float};
use super::{Expiry, Limits};
use crate::reply::Reply;
use crate::state::{State, Type, Value};

/// A SET, in all its variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The new value.
    pub value: Box<[u8]>,
    /// When to set it; None = always.
    pub condition: Option<Condition>,
    /// What becomes of the expiry.
    pub expiry: Expiry,
    /// What to answer.
    pub given: Given,
}

/// What a value, or its absence, is compared with before it is replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// NX: the key is absent.
    Absent,
    /// XX: the key is present.
    Present,
    /// IFEQ: the key is present with this value.
    Equals(Box<[u8]>),
    /// IFNE: the key has not this value; absent counts.
    Differs(Box<[u8]>),
    /// IFDEQ: the key is present and its value has this XXH3 digest.
    DigestEquals(u64),
    /// IFDNE: the value has not this digest; absent counts.
    DigestDiffers(u64),
    /// SETV: the key is at this version; 0 = absent.
    Version(u64),
}

impl Condition {
    /// The type that a value must have to be compared, if it must have one.
    pub(super) fn wants(&self) -> Option<Type> {
        match self {
            Condition::Absent | Condition::Present | Condition::Version(_) => None,
            Condition::Equals(_)
            | Condition::Differs(_)
            | Condition::DigestEquals(_)
            | Condition::DigestDiffers(_) => Some(Type::String),
        }
    }

    /// Bytes of the value to compare with.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Condition::Equals(value) | Condition::Differs(value) => value.len(),
            _ => 0,
        }
    }
}

/// What a SET answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// `+OK`, or nil if the condition did not hold.
    Ok,
    /// SETNX: 1 or 0.
    Flag,
    /// GET: the old value, or nil.
    Old,
    /// SETV: the new version, or an error that tells the present one.
    Version,
}

impl Condition {
    /// Whether a state meets it.
    pub(super) fn holds(&self, state: &State) -> bool {
        let value = string(state);
        match self {
            Condition::Absent => state.value.is_none(),
            Condition::Present => state.value.is_some(),
            Condition::Equals(want) => value == Some(&**want),
            Condition::Differs(other) => value != Some(&**other),
            Condition::DigestEquals(want) => value.map(xxh3_64) == Some(*want),
            Condition::DigestDiffers(other) => value.map(xxh3_64) != Some(*other),
            Condition::Version(want) => version(state) == *want,
        }
    }
}

/// The value, if it is a string.
pub(super) fn string(state: &State) -> Option<&[u8]> {
    match &state.value {
        Some(Value::Str(bytes)) => Some(bytes),
        _ => None,
    }
}

/// The version that clients see. An absent key has none, whether its tombstone is still kept or not.
/// The version of a key as commands see it: 0 for an absent one.
pub(super) fn version(state: &State) -> u64 {
    if state.value.is_some() {
        state.version
    } else {
        0
    }
}

fn bulk_or_nil(state: &State) -> Reply {
    string(state).map_or(Reply::Nil, Reply::bulk)
}

fn length_reply(bytes: usize) -> Reply {
    Reply::Int(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn version_reply(version: u64) -> Reply {
    Reply::Int(i64::try_from(version).unwrap_or(i64::MAX))
}

pub(super) fn get(state: &State) -> Reply {
    bulk_or_nil(state)
}

pub(super) fn get_versioned(state: &State) -> Reply {
    Reply::Array(vec![version_reply(version(state)), bulk_or_nil(state)])
}

pub(super) fn version_of(state: &State) -> Reply {
    version_reply(version(state))
}

pub(super) fn get_delete(state: &mut State) -> Reply {
    let reply = bulk_or_nil(state);
    state.delete();
    reply
}

pub(super) fn get_expire(state: &mut State, expiry: Expiry, now_ms: u64) -> Reply {
    let reply = bulk_or_nil(state);
    let (old_ms, new_ms) = (state.expires_at_ms, expiry.apply(state.expires_at_ms, now_ms));
    let set = matches!(expiry, Expiry::Set(_));
    if state.value.is_some() && (set || new_ms != old_ms) {
        state.expires_at_ms = new_ms;
        state.touch();
        state.expire(now_ms);
    }
    reply
}

pub(super) fn length(state: &State) -> Reply {
    length_reply(string(state).map_or(0, <[u8]>::len))
}

pub(super) fn digest(state: &State) -> Reply {
    string(state).map_or(Reply::Nil, |value| Reply::bulk(format!("{:016x}", xxh3_64(value))))
}

pub(super) fn get_range(state: &State, first: i64, last: i64) -> Reply {
    let value = string(state).unwrap_or_default();
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from_start = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    // Two positions before the start would both become 0, and show the first byte of a range that has none.
    if first < 0 && last < 0 && first > last {
        return Reply::bulk("");
    }
    let (first, last) = (from_start(first), from_start(last).min(length.saturating_sub(1)));
    let range = usize::try_from(first).ok().zip(usize::try_from(last).ok());
    Reply::bulk(range.and_then(|(first, last)| value.get(first..=last)).unwrap_or_default())
}

pub(super) fn set(state: &mut State, set: &Set, now_ms: u64) -> Reply {
    let old = (set.given == Given::Old).then(|| bulk_or_nil(state));
    let holds = set.condition.as_ref().is_none_or(|condition| condition.holds(state));
    let before = version(state);
    if holds {
        let expires_at_ms = set.expiry.apply(state.expires_at_ms, now_ms);
        state.put(Value::Str(set.value.to_vec()), expires_at_ms);
    }
    let reply = match (set.given, holds) {
        (Given::Ok, true) => Reply::OK,
        (Given::Ok, false) => Reply::Nil,
        (Given::Flag, holds) => Reply::Int(holds.into()),
        (Given::Old, _) => old.unwrap_or(Reply::Nil),
        (Given::Version, true) => version_reply(state.version),
        (Given::Version, false) => mismatch(before, set.condition.as_ref()),
    };
    // EXAT and PXAT may name a moment that has passed: the value is gone at once.
    state.expire(now_ms);
    reply
}

fn mismatch(is: u64, condition: Option<&Condition>) -> Reply {
    match condition {
        Some(Condition::Version(expected)) => errors::version_mismatch(is, *expected),
        _ => Reply::Nil,
    }
}

pub(super) fn add(state: &mut State, by: i64) -> Reply {
    let Some(old) = string(state).map_or(Some(0), numbers::integer) else {
        return errors::NOT_AN_INTEGER;
    };
    let Some(sum) = old.checked_add(by) else {
        return errors::OVERFLOW;
    };
    let expires_at_ms = state.expires_at_ms;
    state.put(Value::Str(sum.to_string().into_bytes()), expires_at_ms);
    Reply::Int(sum)
}

pub(super) fn add_float(state: &mut State, by: &[u8]) -> Reply {
    let old = string(state).map_or(Some(Float::ZERO), Float::parse);
    let Some((old, by)) = old.zip(Float::parse(by)) else {
        return errors::NOT_A_FLOAT;
    };
    let Some(sum) = old.add(by) else {
        return errors::NOT_FINITE;
    };
    let text = sum.format();
    let expires_at_ms = state.expires_at_ms;
    state.put(Value::Str(text.clone().into_bytes()), expires_at_ms);
    Reply::Bulk(text.into_bytes())
}

pub(super) fn append(state: &mut State, bytes: &[u8], limits: &Limits) -> Reply {
    let length = string(state).map_or(0, <[u8]>::len);
    let total = length.saturating_add(bytes.len());
    if total > limits.value_bytes_max {
        return errors::value_too_long(limits);
    }
    // Even nothing, as who watches the key sees in Redis.
    splice(state, length, bytes);
    length_reply(total)
}

pub(super) fn set_range(state: &mut State, offset: u64, bytes: &[u8], limits: &Limits) -> Reply {
    let length = string(state).map_or(0, <[u8]>::len);
    if bytes.is_empty() {
        return length_reply(length);
    }
    let end =
        usize::try_from(offset).ok().and_then(|offset| Some((offset, offset.checked_add(bytes.len())?)));
    match end {
        Some((offset, end)) if end <= limits.value_bytes_max => {
            splice(state, offset, bytes);
            length_reply(end.max(length))
        }
        _ => errors::value_too_long(limits),
    }
}

/// Writes bytes over a value from an offset on, with zeros up to there, and grows it as needed. The caller has checked
/// the limit.
fn splice(state: &mut State, offset: usize, bytes: &[u8]) {
    let Value::Str(value) = state.value.get_or_insert_with(|| Value::Str(Vec::new())) else {
        unreachable!("the type was checked")
    };
    let end = offset + bytes.len();
    if value.len() < end {
        value.resize(end, 0);
    }
    value[offset..end].copy_from_slice(bytes);
    state.touch();
}
