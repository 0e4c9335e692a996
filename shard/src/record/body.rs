//! Values as bodies of records: their tags and bytes.

use crate::object::{Group, Hash, List, Set, SortedSet};
use crate::state::{Type, Value};
use crate::wire::bytes::Malformed;

pub(super) const TYPE_NONE: u8 = 0;
const TYPE_STRING: u8 = 1;
/// The head of a log group.
pub(super) const TYPE_GROUP: u8 = 7;

/// The tag of a type in records and messages.
pub(crate) fn tag_of(kind: Type) -> u8 {
    match kind {
        Type::String => TYPE_STRING,
        Type::Hash => 2,
        Type::List => 3,
        Type::Set => 4,
        Type::SortedSet => 5,
        Type::Rows => 6,
    }
}

/// The tag of a value: rows have two forms.
pub(super) fn tag_of_value(value: &Value) -> u8 {
    match value {
        Value::Group(_) => TYPE_GROUP,
        value => tag_of(value.kind()),
    }
}

/// The type of a whole body with this tag.
pub(super) fn type_of_body(tag: u8) -> Option<Type> {
    if tag == TYPE_GROUP {
        return Some(Type::Rows);
    }
    type_of(tag)
}

/// The type that has a tag.
pub(crate) fn type_of(tag: u8) -> Option<Type> {
    Type::ALL.into_iter().find(|kind| tag_of(*kind) == tag)
}

/// Appends the bytes of a value.
pub(crate) fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Str(bytes) => out.extend_from_slice(bytes),
        Value::Hash(hash) | Value::Rows(hash) => hash.encode(out),
        Value::List(list) => list.encode(out),
        Value::Set(set) => set.encode(out),
        Value::SortedSet(set) => set.encode(out),
        Value::Group(group) => group.encode(out),
    }
}

const MALFORMED_OBJECT: Malformed = Malformed("record: the bytes of an object make no sense");

pub(super) const UNKNOWN_BODY: Malformed =
    Malformed("record: a kind of body that this version does not read");

/// Reads the body of a record of this version, whole.
pub(super) fn take_whole(tag: u8, body: &[u8], version: u64) -> Result<Value, Malformed> {
    match tag {
        TYPE_GROUP => Group::decode(body, version).map(Value::Group).map_err(|_| MALFORMED_OBJECT),
        tag => take_value(tag, body),
    }
}

/// Whether [`take_whole`] reads a body, without making copies of what is in it.
pub(super) fn check_whole(tag: u8, body: &[u8], version: u64) -> bool {
    match tag {
        TYPE_GROUP => Group::check(body, version).is_ok(),
        tag => check_body(tag, body),
    }
}

/// Reads the bytes of a value; of a group's there are none but in a record of its own.
pub(crate) fn take_value(tag: u8, body: &[u8]) -> Result<Value, Malformed> {
    let value = match type_of(tag).ok_or(UNKNOWN_BODY)? {
        Type::String => Ok(Value::Str(body.to_vec())),
        Type::Hash => Hash::decode(body).map(Value::Hash),
        Type::List => List::decode(body).map(Value::List),
        Type::Set => Set::decode(body).map(Value::Set),
        Type::SortedSet => SortedSet::decode(body).map(Value::SortedSet),
        Type::Rows => Hash::decode(body).map(Value::Rows),
    };
    value.map_err(|_| MALFORMED_OBJECT)
}

/// Whether [`take_value`] reads a body, without making copies of what is in it.
fn check_body(tag: u8, body: &[u8]) -> bool {
    type_of(tag).is_some_and(|kind| match kind {
        Type::String => true,
        Type::Hash | Type::Rows => Hash::check(body).is_ok(),
        Type::List => List::check(body).is_ok(),
        Type::Set => Set::check(body).is_ok(),
        Type::SortedSet => SortedSet::check(body).is_ok(),
    })
}
