//! What the commands on all objects share: how they find one, and how they leave one.

use super::parse::Args;
use super::{errors, Context, Limits};
use crate::command::limits::OBJECT_ENTRIES_MAX;
use crate::object::{Hash, List, Set, SortedSet};
use crate::reply::Reply;
use crate::state::{State, Value};

/// An object as a value of a key.
pub(super) trait Object: Clone + Default {
    fn of(value: &Value) -> Option<&Self>;
    fn into_value(self) -> Value;
    fn entries(&self) -> usize;
    fn encoded_bytes(&self) -> usize;
}

macro_rules! object {
    ($type:ident) => {
        impl Object for $type {
            fn of(value: &Value) -> Option<&$type> {
                match value {
                    Value::$type(object) => Some(object),
                    _ => None,
                }
            }

            fn into_value(self) -> Value {
                Value::$type(self)
            }

            fn entries(&self) -> usize {
                self.len()
            }

            fn encoded_bytes(&self) -> usize {
                self.encoded_bytes()
            }
        }
    };
}

object!(Hash);
object!(List);
object!(Set);
object!(SortedSet);

/// The object that a key holds. The type was checked.
pub(super) fn object<T: Object>(state: &State) -> Option<&T> {
    state.value.as_ref().and_then(T::of)
}

/// A copy of it to change, or an empty one.
pub(super) fn copy<T: Object>(state: &State) -> T {
    object(state).cloned().unwrap_or_default()
}

/// Leaves a changed object, whose key expires when it did; an empty one takes the key with it. Too large a one is refused, and nothing
/// changes.
pub(super) fn keep<T: Object>(state: &mut State, object: T, context: &Context<'_>) -> Result<(), Reply> {
    if object.entries() == 0 {
        state.delete();
        return Ok(());
    }
    check(self::object::<T>(state), &object, context.limits)?;
    let expires_at_ms = state.expires_at_ms;
    state.put(object.into_value(), expires_at_ms);
    Ok(())
}

/// What is over a bound may shrink: it was made under another one, and whoever empties it must be able to.
fn check<T: Object>(old: Option<&T>, object: &T, limits: &Limits) -> Result<(), Reply> {
    let (bytes, entries) = old.map_or((0, 0), |old| (old.encoded_bytes(), old.entries()));
    if object.encoded_bytes() > limits.value_bytes_max.max(bytes) {
        return Err(errors::object_too_long(limits));
    }
    if object.entries() > OBJECT_ENTRIES_MAX.max(entries) {
        return Err(errors::too_many_entries());
    }
    Ok(())
}

/// A count as a reply.
pub(super) fn count(number: usize) -> Reply {
    Reply::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Bytes of many arguments: what admission counts.
pub(super) fn bytes_of(list: &[Box<[u8]>]) -> usize {
    list.iter().map(|bytes| bytes.len() + size_of::<Box<[u8]>>()).sum()
}

/// Which entries a command takes by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// So many different ones at most, or all.
    Different(u64),
    /// So many, each any one.
    Any(u64),
}

impl Chosen {
    /// As an argument: negative where the same one may come twice.
    pub(super) fn number(self) -> i64 {
        match self {
            Chosen::Different(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Chosen::Any(count) => -i64::try_from(count).unwrap_or(i64::MAX),
        }
    }

    /// Reads that argument.
    pub(super) fn read(args: &Args<'_>, index: usize) -> Result<Chosen, Reply> {
        let number = args.integer(index)?;
        let count = number.checked_abs().ok_or(errors::COUNT_RANGE)?.unsigned_abs();
        Ok(if number < 0 { Chosen::Any(count) } else { Chosen::Different(count) })
    }

    /// The same, where each entry is two parts of the reply: their number must be one, too.
    pub(super) fn of_pairs(self) -> Result<Chosen, Reply> {
        let fits = self.number().checked_mul(2).is_some_and(|parts| parts != i64::MIN);
        fits.then_some(self).ok_or(errors::OUT_OF_RANGE)
    }

    /// Places among `len` entries. Different ones are in rising order. `bytes` tells how much an entry adds to the reply.
    pub(super) fn places(
        self,
        len: usize,
        bytes: impl Fn(usize) -> usize,
        context: &mut Context<'_>,
    ) -> Result<Vec<usize>, Reply> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let (places, mut room) = (len as u64, super::limits::RANDOM_REPLY_BYTES_MAX);
        let mut chosen = Vec::new();
        match self {
            Chosen::Different(count) if count >= places => chosen.extend(0..len),
            Chosen::Different(1) => chosen.push(context.rng.below(places) as usize),
            Chosen::Different(count) => {
                // Knuth's algorithm S: each place is taken with the chance that makes the count come out.
                let mut wanted = count;
                for place in 0..len {
                    if context.rng.below((len - place) as u64) < wanted {
                        chosen.push(place);
                        wanted -= 1;
                    }
                }
            }
            Chosen::Any(count) => {
                for _ in 0..count {
                    let place = context.rng.below(places) as usize;
                    room =
                        room.checked_sub(bytes(place) + size_of::<Reply>()).ok_or(errors::REPLY_TOO_LONG)?;
                    chosen.push(place);
                }
            }
        }
        Ok(chosen)
    }
}
