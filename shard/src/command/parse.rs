//! Reading argument lists: what all commands share, and the commands on strings.

use super::expiry::positive;
use super::strings::{Condition, Given, Set};
use super::table::{Level, Row};
use super::{errors, numbers, Command, Expiry, Gather, KeyCommand, Limits, Op, Split};
use crate::reply::Reply;

/// The arguments of a command whose arity has been checked, with its row.
pub(super) struct Args<'a> {
    /// The row that the arguments were resolved to.
    pub row: &'static Row,
    /// All arguments, the name first.
    pub all: &'a [&'a [u8]],
}

impl<'a> Args<'a> {
    /// An argument that the arity promises.
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.all.get(index).copied().expect("the arity was checked")
    }

    /// A copy of an argument that the arity promises.
    pub fn owned(&self, index: usize) -> Box<[u8]> {
        self.at(index).into()
    }

    /// An integer argument that the arity promises.
    pub fn integer(&self, index: usize) -> Result<i64, Reply> {
        numbers::integer(self.at(index)).ok_or(errors::NOT_AN_INTEGER)
    }

    /// The arguments from an index on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all.iter().skip(index).copied()
    }

    /// An operation on the row's first key.
    pub fn on_key(&self, op: Op) -> Result<Command, Reply> {
        let first = usize::try_from(self.row.keys.first).expect("a row of one key has a position for it");
        Ok(Command::Key(KeyCommand { key: self.owned(first), op }))
    }
}

/// Whether an argument is an option, in any case.
pub(super) fn is(argument: &[u8], option: &str) -> bool {
    argument.eq_ignore_ascii_case(option.as_bytes())
}

/// Reads an argument list that was resolved to a row, and checks it against the limits.
pub(super) fn parse(row: &'static Row, args: &[&[u8]], limits: &Limits) -> Result<Command, Reply> {
    let reader = match row.level {
        Level::Key(reader) | Level::Keyspace(reader) => reader.0,
        Level::Pop(_) | Level::Host => return Err(errors::NOT_DATA),
    };
    if !row.takes(args.len()) {
        return Err(errors::arity(row.name));
    }
    if args.iter().any(|arg| arg.len() > limits.value_bytes_max) {
        return Err(errors::value_too_long(limits));
    }
    if row.keys_of(args).any(|key| key.len() > limits.key_bytes_max) {
        return Err(errors::key_too_long(limits));
    }
    if row.keys_of(args).any(super::sql::is_reserved) {
        return Err(errors::RESERVED_KEY);
    }
    reader(&Args { row, all: args })
}

/// What SET, GETEX and SETV may say after their fixed arguments.
#[derive(Default)]
struct Options<'a> {
    condition: Option<Condition>,
    get: bool,
    keep: bool,
    persist: bool,
    /// The time, whether in milliseconds, whether absolute.
    time: Option<(&'a [u8], bool, bool)>,
}

/// Which options a command knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Conditions, GET, KEEPTTL and times.
    Set,
    /// KEEPTTL and times.
    SetVersioned,
    /// PERSIST and times.
    GetExpire,
}

impl<'a> Options<'a> {
    fn read(mut from: impl Iterator<Item = &'a [u8]>, known: Known) -> Result<Options<'a>, Reply> {
        let mut options = Options::default();
        while let Some(option) = from.next() {
            let fits = if let Some((in_ms, absolute)) = unit(option) {
                let time = from.next().ok_or(errors::SYNTAX)?;
                // As in Redis, the same unit may come twice, and the last one counts.
                let old = options.time.replace((time, in_ms, absolute));
                let same = old.is_none_or(|(_, ms, since_1970)| (ms, since_1970) == (in_ms, absolute));
                same && !options.keep && !options.persist
            } else if is(option, "KEEPTTL") && known != Known::GetExpire {
                options.keep = true;
                options.time.is_none()
            } else if is(option, "PERSIST") && known == Known::GetExpire {
                options.persist = true;
                options.time.is_none()
            } else if is(option, "GET") && known == Known::Set {
                options.get = true;
                true
            } else if known == Known::Set {
                let condition = condition(option, &mut from)?;
                // Redis takes the same flag twice, but no two different ones.
                let same =
                    options.condition.as_ref().is_none_or(|old| *old == condition && has_no_value(old));
                options.condition = Some(condition);
                same
            } else {
                false
            };
            if !fits {
                return Err(errors::SYNTAX);
            }
        }
        Ok(options)
    }

    /// What becomes of the expiry, or `otherwise` where nothing is said.
    fn expiry(&self, args: &Args<'_>, otherwise: Expiry) -> Result<Expiry, Reply> {
        match self.time {
            Some((time, in_ms, absolute)) => positive(args, time, in_ms, absolute),
            None if self.keep => Ok(Expiry::Keep),
            None if self.persist => Ok(Expiry::Never),
            None => Ok(otherwise),
        }
    }
}

/// Whether a time option counts milliseconds, and whether since 1970.
fn unit(option: &[u8]) -> Option<(bool, bool)> {
    let units = [("EX", false, false), ("PX", true, false), ("EXAT", false, true), ("PXAT", true, true)];
    units.iter().find(|(name, ..)| is(option, name)).map(|(_, in_ms, absolute)| (*in_ms, *absolute))
}

fn has_no_value(condition: &Condition) -> bool {
    matches!(condition, Condition::Absent | Condition::Present)
}

type MakeCondition = fn(&[u8]) -> Result<Condition, Reply>;

/// NX, XX, or a comparison with the argument that follows.
fn condition<'a>(option: &[u8], from: &mut impl Iterator<Item = &'a [u8]>) -> Result<Condition, Reply> {
    if is(option, "NX") {
        return Ok(Condition::Absent);
    }
    if is(option, "XX") {
        return Ok(Condition::Present);
    }
    let makers: [(&str, MakeCondition); 4] = [
        ("IFEQ", |value| Ok(Condition::Equals(value.into()))),
        ("IFNE", |value| Ok(Condition::Differs(value.into()))),
        ("IFDEQ", |value| digest(value).map(Condition::DigestEquals)),
        ("IFDNE", |value| digest(value).map(Condition::DigestDiffers)),
    ];
    let (_, make) = makers.iter().find(|(name, _)| is(option, name)).ok_or(errors::SYNTAX)?;
    make(from.next().ok_or(errors::SYNTAX)?)
}

fn digest(text: &[u8]) -> Result<u64, Reply> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16 && !text.starts_with('+'));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(errors::DIGEST)
}

/// GET key.
pub(super) fn get(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Get)
}

/// GETV key.
pub(super) fn get_versioned(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::GetVersioned)
}

/// GETDEL key.
pub(super) fn get_delete(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::GetDelete)
}

/// STRLEN key.
pub(super) fn length(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Length)
}

/// DIGEST key.
pub(super) fn value_digest(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Digest)
}

/// GETRANGE and SUBSTR key start end.
pub(super) fn get_range(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::GetRange(args.integer(2)?, args.integer(3)?))
}

/// GETEX key [EX|PX|EXAT|PXAT time | PERSIST].
pub(super) fn get_expire(args: &Args<'_>) -> Result<Command, Reply> {
    let options = Options::read(args.from(2), Known::GetExpire)?;
    args.on_key(Op::GetExpire(options.expiry(args, Expiry::Keep)?))
}

/// `SET key value [condition] [GET] [time | KEEPTTL]`.
pub(super) fn set(args: &Args<'_>) -> Result<Command, Reply> {
    let options = Options::read(args.from(3), Known::Set)?;
    let expiry = options.expiry(args, Expiry::Never)?;
    let given = if options.get { Given::Old } else { Given::Ok };
    args.on_key(Op::Set(Set { value: args.owned(2), condition: options.condition, expiry, given }))
}

/// SETV key version value [time | KEEPTTL].
pub(super) fn set_versioned(args: &Args<'_>) -> Result<Command, Reply> {
    let version = numbers::unsigned(args.at(2)).ok_or(errors::VERSION)?;
    let expiry = Options::read(args.from(4), Known::SetVersioned)?.expiry(args, Expiry::Never)?;
    let condition = Some(Condition::Version(version));
    args.on_key(Op::Set(Set { value: args.owned(3), condition, expiry, given: Given::Version }))
}

/// SETEX key seconds value.
pub(super) fn set_seconds(args: &Args<'_>) -> Result<Command, Reply> {
    plain_set(args, 3, None, positive(args, args.at(2), false, false)?, Given::Ok)
}

/// PSETEX key milliseconds value.
pub(super) fn set_milliseconds(args: &Args<'_>) -> Result<Command, Reply> {
    plain_set(args, 3, None, positive(args, args.at(2), true, false)?, Given::Ok)
}

/// SETNX key value.
pub(super) fn set_absent(args: &Args<'_>) -> Result<Command, Reply> {
    plain_set(args, 2, Some(Condition::Absent), Expiry::Never, Given::Flag)
}

/// GETSET key value.
pub(super) fn get_set(args: &Args<'_>) -> Result<Command, Reply> {
    plain_set(args, 2, None, Expiry::Never, Given::Old)
}

fn plain_set(
    args: &Args<'_>,
    value: usize,
    condition: Option<Condition>,
    expiry: Expiry,
    given: Given,
) -> Result<Command, Reply> {
    args.on_key(Op::Set(Set { value: args.owned(value), condition, expiry, given }))
}

/// INCR key.
pub(super) fn increment(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Add(1))
}

/// DECR key.
pub(super) fn decrement(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Add(-1))
}

/// INCRBY key increment.
pub(super) fn add(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Add(args.integer(2)?))
}

/// DECRBY key decrement.
pub(super) fn subtract(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Add(args.integer(2)?.checked_neg().ok_or(errors::DECREMENT_OVERFLOW)?))
}

/// INCRBYFLOAT key increment.
pub(super) fn add_float(args: &Args<'_>) -> Result<Command, Reply> {
    numbers::Float::parse(args.at(2)).ok_or(errors::NOT_A_FLOAT)?;
    args.on_key(Op::AddFloat(args.owned(2)))
}

/// APPEND key value.
pub(super) fn append(args: &Args<'_>) -> Result<Command, Reply> {
    args.on_key(Op::Append(args.owned(2)))
}

/// SETRANGE key offset value.
pub(super) fn set_range(args: &Args<'_>) -> Result<Command, Reply> {
    let offset = u64::try_from(args.integer(2)?).map_err(|_| errors::OFFSET)?;
    args.on_key(Op::SetRange(offset, args.owned(3)))
}

/// MGET key …
pub(super) fn get_many(args: &Args<'_>) -> Result<Command, Reply> {
    Ok(Split::each(args.from(1), Op::Get, Gather::List))
}

/// MSET key value …
pub(super) fn set_many(args: &Args<'_>) -> Result<Command, Reply> {
    if args.all.len().is_multiple_of(2) {
        return Err(errors::arity(args.row.name));
    }
    let set = |value: &[u8]| {
        Op::Set(Set { value: value.into(), condition: None, expiry: Expiry::Never, given: Given::Ok })
    };
    let (keys, values) = (args.from(1).step_by(2), args.from(2).step_by(2));
    Ok(Split::of(keys.zip(values.map(set)), Gather::AllOk))
}

/// DEL and UNLINK key …
pub(super) fn delete(args: &Args<'_>) -> Result<Command, Reply> {
    Ok(Split::each(args.from(1), Op::Delete(None), Gather::Sum))
}

/// DELEX key [condition].
pub(super) fn delete_if(args: &Args<'_>) -> Result<Command, Reply> {
    let mut from = args.from(2);
    let Some(option) = from.next() else {
        return args.on_key(Op::Delete(None));
    };
    let condition = condition(option, &mut from)?;
    if has_no_value(&condition) || from.next().is_some() {
        return Err(errors::SYNTAX);
    }
    args.on_key(Op::Delete(Some(condition)))
}

/// EXISTS and TOUCH key …
pub(super) fn exists(args: &Args<'_>) -> Result<Command, Reply> {
    Ok(Split::each(args.from(1), Op::Exists, Gather::Sum))
}
